#!/usr/bin/env node
/**
 * The program `chatstore`: finds the command, parses what it was given, runs it, and ends with its exit code.
 *
 * Holds: that every error ends in words on standard error and a code. Must not know: what a command does.
 */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ChatStoreError } from '../index.js';
import { CommandError, UsageError, exitCodes, type Call, type Command } from './command.js';
import { helpOf, helpOfAll } from './help.js';
import { backup, maintain, restore, verify, verifyReport } from './keep.js';
import { list, query, search, show, stats } from './read.js';
import { Ending, Terminal } from './terminal.js';

const commands: readonly Command[] = [
  verifyReport,
  stats,
  verify,
  backup,
  restore,
  maintain,
  query,
  list,
  show,
  search,
];

const terminal = new Terminal(process);

/** What `parseArgs` gives, as a command asks for it. */
function parse(command: Command, given: string[]): Call | 'help' {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { value, multiple = false }]) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple },
    ]),
  );
  const { values, positionals } = parseArgs({
    args: given,
    options: { ...options, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  if (values['help'] === true) return 'help';
  const { arguments: wanted } = command;
  const missing = wanted[positionals.length];
  if (missing !== undefined) throw new UsageError(`<${missing.name}> is missing: ${missing.help}`);
  if (positionals.length > wanted.length && wanted.at(-1)?.many !== true) {
    throw new UsageError(`an argument too many: ${positionals[wanted.length] ?? ''}`);
  }
  const held = new Map<string, unknown>(Object.entries(values));
  const value = (name: string): unknown => held.get(name);
  const text = (name: string): string | undefined => {
    const one = value(name);
    return typeof one === 'string' ? one : undefined;
  };
  return {
    arguments: positionals,
    terminal,
    flag: (name) => value(name) === true,
    text,
    texts: (name) => {
      const all = value(name);
      return Array.isArray(all) ? all.map(String) : undefined;
    },
    number: (name, least = 0) => {
      const digits = text(name);
      if (digits === undefined) return undefined;
      if (!/^\d{1,15}$/.test(digits) || Number(digits) < least)
        throw new UsageError(`--${name}: expected a whole number from ${String(least)} on, received ${digits}`);
      return Number(digits);
    },
  };
}

async function run(given: string[]): Promise<number> {
  const [name, ...rest] = given;
  if (name === undefined) {
    terminal.note(...helpOfAll(commands).trimEnd().split('\n'));
    return exitCodes.usage;
  }
  if (name === '--version') {
    await terminal.line(version());
    return exitCodes.ok;
  }
  const wantsHelp = name === 'help' || name === '--help' || name === '-h';
  const command = commands.find((one) => one.name === (wantsHelp ? rest[0] : name));
  if (command === undefined) {
    if (wantsHelp && rest.length === 0) {
      await terminal.write(helpOfAll(commands));
      return exitCodes.ok;
    }
    throw new UsageError(`no such command: ${(wantsHelp ? rest[0] : name) ?? ''}`);
  }
  const call = wantsHelp ? 'help' : parse(command, rest);
  if (call === 'help') {
    await terminal.write(helpOf(command));
    return exitCodes.ok;
  }
  return (await command.run(call)) ?? exitCodes.ok;
}

const version = (): string => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm sees to it
  const { version: own } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return own;
};

/** Says what went wrong, and gives the exit code for it. */
function explain(error: unknown, name: string | undefined): number {
  const known = commands.some((command) => command.name === name);
  const isUsage =
    error instanceof UsageError ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  const message = error instanceof Error ? error.message : String(error);
  if (isUsage) {
    terminal.note(`chatstore: ${message}`, `See: chatstore ${known ? `${name ?? ''} ` : ''}--help`);
    return exitCodes.usage;
  }
  const code = error instanceof ChatStoreError ? `${error.code}: ` : '';
  // What is wrong with the options of a call is wrong with those of the command.
  const isArgument = error instanceof ChatStoreError && error.code === 'INVALID_ARGUMENT';
  terminal.note(`chatstore: ${code}${message}`);
  if (
    !(error instanceof ChatStoreError) &&
    !(error instanceof CommandError) &&
    !(error instanceof Error && 'code' in error)
  ) {
    terminal.note(...(error instanceof Error ? (error.stack ?? '') : '').split('\n'));
  }
  return isArgument ? exitCodes.usage : exitCodes.store;
}

/** What a shell gives a program that such a signal has ended. */
const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
/** How long a command has to close what it has open. */
const GRACE_MS = 2_000;

for (const [signal, exitCode] of Object.entries(signals)) {
  process.on(signal, () => {
    // Who asks a second time does not want to wait.
    if (terminal.ending !== undefined) process.exit(exitCode);
    terminal.end(new Ending(exitCode, 'interrupted'));
    setTimeout(() => process.exit(exitCode), GRACE_MS).unref();
  });
}

const given = process.argv.slice(2);
try {
  process.exitCode = await run(given);
} catch (error) {
  // What fails when the program is to end fails for that.
  process.exitCode = terminal.ending === undefined ? explain(error, given[0]) : exitCodes.ok;
}
terminal.clearBar();
// Whatever is still to be read or written is not wanted any more.
if (terminal.ending !== undefined) process.exit(terminal.ending.exitCode || process.exitCode);
