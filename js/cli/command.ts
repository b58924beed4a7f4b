/**
 * What a command of `chatstore` is: its arguments, options and examples, and what it does.
 *
 * Holds: types, the two kinds of errors that are not the store's, and exit codes. Must not know: any command.
 */

import type { Terminal } from './terminal.js';

/** What the program ends with. */
export const exitCodes = {
  ok: 0,
  /** A check has failed: the report's, or that of `verify`. */
  failed: 1,
  usage: 2,
  /** The store, or the system, refused. */
  store: 3,
} as const;

export interface Argument {
  name: string;
  help: string;
  /** Takes all that follow. */
  many?: true;
}

export interface Option {
  /** Absent: a flag. What a value is called in the help. */
  value?: string;
  /** May be given again and again. */
  multiple?: true;
  help: string;
}

/** What a command was called with. */
export interface Call {
  arguments: readonly string[];
  flag(name: string): boolean;
  /** The value of an option; undefined where it was not given. */
  text(name: string): string | undefined;
  texts(name: string): string[] | undefined;
  /** The whole number that an option gives; one that is under the least is a usage error. */
  number(name: string, least?: number): number | undefined;
  terminal: Terminal;
}

export interface Command {
  name: string;
  /** Half a sentence. */
  summary: string;
  /** What the summary does not say. */
  details?: string;
  arguments: Argument[];
  options: Record<string, Option>;
  /** Command lines without the program's name, and what each does. */
  examples: [line: string, what: string][];
  /** Gives the exit code: 0 where it gives nothing. */
  run(call: Call): Promise<number | void>;
}

/** The program was called in a way that it does not understand. */
export class UsageError extends Error {}

/** It was understood, and cannot be done: the file, or the system, does not let it. */
export class CommandError extends Error {}
