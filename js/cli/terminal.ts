/**
 * Where a command writes to: standard output for what was asked for, standard error for everything else.
 *
 * Holds: that nothing is printed which a terminal would obey, that whatever ends the program early ends the command,
 * progress bars, tables. Must not know: any command.
 */

import { addAbortSignal, type Readable, type Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import stringWidth from 'string-width';
import { exitCodes } from './command.js';

/** What of a process a command sees. */
export interface Streams {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable & { isTTY?: boolean; columns?: number };
}

/** Why the program ends before its command has: a signal, or an output that takes nothing more. */
export class Ending extends Error {
  readonly exitCode: number;

  /** Without a message nobody is told. */
  constructor(exitCode: number, message = '') {
    super(message);
    this.exitCode = exitCode;
  }
}

const BAR_WIDTH = 24;
/** What a bar leaves to the words beside it: where a terminal has less, there are only the words. */
const WORDS_WIDTH = 20;
/** Of a terminal that does not say. */
const TERMINAL_WIDTH = 80;
const BAR_INTERVAL_MS = 80;

export class Terminal {
  /** Aborted where the program is to end: every call that a command makes is to take it. */
  readonly signal: AbortSignal;
  readonly #streams: Streams;
  readonly #controller = new AbortController();
  #ending: Ending | undefined;
  /** Whether standard output is worth nothing unless all of it arrives. */
  #isOutputWhole = false;
  /** Ends the wait for the reader. */
  #endWrite: (() => void) | undefined;
  #barShown = false;
  #barAt = 0;

  constructor(streams: Streams) {
    this.#streams = streams;
    this.signal = this.#controller.signal;
    streams.stdout.on('error', (error) => {
      this.#outputFailed(error);
    });
    // Nobody who could be told is left.
    streams.stderr.on('error', () => undefined);
  }

  /** Set where the program is to end. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** Tells the person why, and ends what the command does. The first reason counts. */
  end(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    if (ending.message !== '') this.note(`chatstore: ${ending.message}`);
    this.#controller.abort(ending);
    this.#endWrite?.();
  }

  #outputFailed(error: NodeJS.ErrnoException): void {
    if (error.code !== 'EPIPE') this.end(new Ending(exitCodes.store, `standard output: ${error.message}`));
    // Who reads a part of a list, as `head` does, wants no more of it.
    else if (!this.#isOutputWhole) this.end(new Ending(exitCodes.ok));
    else this.end(new Ending(exitCodes.store, 'standard output was closed before the copy was whole'));
  }

  /** Writes text but for what a terminal would obey, or bytes as they are, and waits where the reader is slow. */
  async write(what: string | Uint8Array): Promise<void> {
    this.clearBar();
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error | null): void => {
        if (error instanceof Error) this.#outputFailed(error);
        // What a reader who has gone does not take is no error: a check that has failed is still to be told.
        if (this.#ending === undefined || this.#ending.exitCode === exitCodes.ok) resolve();
        else reject(this.#ending);
      };
      this.#endWrite = settle;
      if (this.#ending === undefined)
        this.#streams.stdout.write(typeof what === 'string' ? printable(what) : what, settle);
      else settle();
    });
  }

  /** Writes one line, whatever is in the text. */
  line(text = ''): Promise<void> {
    return this.write(`${inline(text)}\n`);
  }

  json(value: unknown): Promise<void> {
    return this.write(`${toJson(value, 2)}\n`);
  }

  /** Tells the person something that is not part of the output, one line each. */
  note(...lines: string[]): void {
    this.clearBar();
    this.#streams.stderr.write(`${lines.map(inline).join('\n')}\n`);
  }

  /** Standard output as a stream of bytes that is worth nothing unless all of it arrives. */
  get output(): WritableStream<Uint8Array> {
    this.#isOutputWhole = true;
    return new WritableStream({ write: (bytes) => this.write(bytes) });
  }

  get isOutputTerminal(): boolean {
    return this.#streams.stdout.isTTY === true;
  }

  /** All of standard input. */
  input(): Promise<Uint8Array> {
    return buffer(addAbortSignal(this.signal, this.#streams.stdin));
  }

  /** Shows how far something is, to a person only. */
  progress(done: number, expected: number, task: string): void {
    const { stderr } = this.#streams;
    const now = Date.now();
    if (stderr.isTTY !== true || (this.#barShown && now - this.#barAt < BAR_INTERVAL_MS && done < expected)) return;
    this.#barAt = now;
    this.#barShown = true;
    const share = expected > 0 ? Math.min(1, done / expected) : 0;
    const full = Math.round(share * BAR_WIDTH);
    const { columns = 0 } = stderr;
    // The last column stays free: some terminals begin a new line there.
    const room = (columns > 0 ? columns : TERMINAL_WIDTH) - 1;
    const bar = room < BAR_WIDTH + WORDS_WIDTH ? '' : `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)} `;
    const words = `${String(Math.round(share * 100)).padStart(3)} % ${inline(task)}`;
    stderr.write(`\r\u001B[2K${cut(bar + words, room)}`);
  }

  clearBar(): void {
    if (!this.#barShown) return;
    this.#barShown = false;
    this.#streams.stderr.write('\r\u001B[2K');
  }

  /** Rows below each other, each column as wide as it has to be. */
  async table(head: string[], rows: string[][]): Promise<void> {
    const all = [head, ...rows].map((row) => row.map(inline));
    const widths = head.map((_, column) => Math.max(...all.map((row) => stringWidth(row[column] ?? ''))));
    for (const row of all) {
      const cells = row.map((text, column) =>
        column === row.length - 1 ? text : text + ' '.repeat((widths[column] ?? 0) - stringWidth(text)),
      );
      await this.line(cells.join('  '));
    }
  }
}

/** Control characters but for line breaks and tabs, and those that turn the direction of what follows. */
// oxlint-disable-next-line no-control-regex -- those are what is taken out
const obeyed = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/g;

/** A text without what a terminal would obey. */
export const printable = (text: string): string => text.replaceAll('\r\n', '\n').replaceAll(obeyed, '\uFFFD');

/** The same on one line. */
const inline = (text: string): string => printable(text).replaceAll(/[\n\t\u2028\u2029]/g, ' ');

/** A text on one line, its white space drawn together, that takes so many columns at most. */
export const oneLine = (text: string, width: number): string => cut(inline(text).replaceAll(/\s+/g, ' ').trim(), width);

const letters = new Intl.Segmenter();

function cut(text: string, width: number): string {
  let used = 0;
  let kept = 0;
  for (const { segment, index } of letters.segment(text)) {
    used += stringWidth(segment);
    if (used > width) return `${text.slice(0, kept)}…`;
    if (used < width) kept = index + segment.length;
  }
  return text;
}

/** JSON of what SQL and the store give: big numbers as text, bytes as base64. */
export function toJson(value: unknown, indent?: number): string {
  const json = JSON.stringify(
    value,
    (_, held: unknown) => {
      if (typeof held === 'bigint') return String(held);
      return held instanceof Uint8Array ? Buffer.from(held).toString('base64') : held;
    },
    indent,
  );
  // Escaped, what a terminal would obey does nothing to it, and is the same to whoever parses it.
  return json.replaceAll(
    /[\u007F-\u009F\u2028-\u202E\u2066-\u2069]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function sizeOf(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${step === 0 ? String(value) : value.toFixed(value < 10 ? 1 : 0)} ${units[step] ?? ''}`;
}

export const momentOf = (epochMs: number | null): string =>
  epochMs === null ? '' : new Date(epochMs).toISOString().slice(0, 16).replace('T', ' ');
