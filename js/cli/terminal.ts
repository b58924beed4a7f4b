/**
 * Where a command writes to: standard output for what was asked for, standard error for everything else.
 *
 * Holds: that a reader who goes away ends the command quietly, progress bars, tables. Must not know: any command.
 */

import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import type { Readable, Writable } from 'node:stream';
import { CommandError } from './command.js';

/** What of a process a command sees. */
export interface Streams {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable & { isTTY?: boolean; columns?: number };
}

const BAR_WIDTH = 24;
const BAR_INTERVAL_MS = 80;

export class Terminal {
  /** Aborted when nobody reads the output any more, or the person wants no more of it. */
  readonly signal: AbortSignal;
  readonly #streams: Streams;
  readonly #controller = new AbortController();
  #readerGone = false;
  #barShown = false;
  #barAt = 0;

  constructor(streams: Streams) {
    this.#streams = streams;
    this.signal = this.#controller.signal;
    streams.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      this.#readerGone = true;
      this.#controller.abort(error);
    });
    // Nobody who could be told is left.
    streams.stderr.on('error', () => undefined);
  }

  /** Whether whoever read the output has gone, as `head` does. */
  get isReaderGone(): boolean {
    return this.#readerGone;
  }

  interrupt(): void {
    this.#controller.abort(new Error('interrupted'));
  }

  /** Writes text, and waits where the reader is slow. */
  async write(text: string | Uint8Array): Promise<void> {
    if (this.#readerGone) return;
    this.clearBar();
    const { stdout } = this.#streams;
    if (stdout.write(text)) return;
    try {
      await once(stdout, 'drain', { signal: this.signal });
    } catch {
      // The reader has gone, or the person has: what is still to be written is not wanted.
    }
  }

  line(text = ''): Promise<void> {
    return this.write(`${text}\n`);
  }

  json(value: unknown): Promise<void> {
    return this.line(toJson(value, 2));
  }

  /** Tells the person something that is not part of the output. */
  note(text: string): void {
    this.clearBar();
    this.#streams.stderr.write(`${text}\n`);
  }

  /** Standard output as a stream of bytes, which fails where nobody reads it any more. */
  get output(): WritableStream<Uint8Array> {
    return new WritableStream({
      write: async (bytes) => {
        await this.write(bytes);
        if (this.#readerGone) throw new CommandError('whoever read standard output went before the copy was whole');
      },
    });
  }

  get isOutputTerminal(): boolean {
    return this.#streams.stdout.isTTY === true;
  }

  /** All of standard input. */
  input(): Promise<Uint8Array> {
    return buffer(this.#streams.stdin);
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
    const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)} ${String(Math.round(share * 100)).padStart(3)} % ${task}`;
    stderr.write(`\r\u001B[2K${bar.slice(0, Math.max(20, (stderr.columns ?? 80) - 1))}`);
  }

  clearBar(): void {
    if (!this.#barShown) return;
    this.#barShown = false;
    this.#streams.stderr.write('\r\u001B[2K');
  }

  /** Rows below each other, each column as wide as it has to be. */
  async table(head: string[], rows: string[][]): Promise<void> {
    const all = [head, ...rows];
    const widths = head.map((_, column) => Math.max(...all.map((row) => widthOf(row[column] ?? ''))));
    for (const row of all) {
      const cells = row.map((text, column) =>
        column === row.length - 1 ? text : text + ' '.repeat((widths[column] ?? 0) - widthOf(text)),
      );
      await this.line(cells.join('  '));
    }
  }
}

const widthOf = (text: string): number => Array.from(text).length;

/** JSON of what SQL and the store give: big numbers as text, bytes as base64. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_, held: unknown) => {
      if (typeof held === 'bigint') return String(held);
      return held instanceof Uint8Array ? Buffer.from(held).toString('base64') : held;
    },
    indent,
  );
}

/** A text on one line that is not longer than so many characters. */
export function oneLine(text: string, length: number): string {
  // Control characters of a stored text do nothing to the terminal that shows it.
  const plain = printable(text).replaceAll(/\s+/g, ' ').trim();
  return widthOf(plain) > length
    ? `${Array.from(plain)
        .slice(0, length - 1)
        .join('')}…`
    : plain;
}

/** A text without what a terminal would obey. */
export const printable = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- those are what is taken out
  text.replaceAll(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g, '\uFFFD');

export function sizeOf(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${step === 0 ? String(value) : value.toFixed(value < 10 ? 1 : 0)} ${units[step] ?? ''}`;
}

export const momentOf = (epochMs: number | null): string =>
  epochMs === null ? '' : new Date(epochMs).toISOString().slice(0, 16).replace('T', ' ');
