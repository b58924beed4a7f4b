/**
 * Checking, copying and replacing a whole store, piece by piece, so that other calls run in between.
 *
 * Holds: the steps of each, and that what was begun is ended whatever happens. Must not know: files;
 * each environment says where a copy goes and where new content comes from.
 */

import { abortedError, patienceOf } from './caller.js';
import { ChatStoreError } from './errors.js';
import type { Link } from './link.js';
import { readQueryRows, type ReadText } from './rows.js';
import type { JobOptions, Progress, ReplaceReport, Row, Stats, VerifyReport } from './types.js';

/** How long a step may be awaited: longer than SQLite takes for the check of its largest table. */
const LEASE_MS = 600_000;
/** Bytes of new content that are sent at a time. */
const PIECE_BYTES = 1 << 20;

const STEP = { verb: 'snapshot.step', write: false };

/** The one row of a reply. */
function rowOf(reply: Uint8Array, readText: ReadText): Row {
  const row = readQueryRows(reply, readText)[0];
  if (row === undefined) throw new ChatStoreError('INTERNAL', 'the core answered with nothing');
  return row;
}

/** Lets others of this thread have a word. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve);
  });

function progressOf(row: Row): Progress {
  return { task: String(row['task']), done: Number(row['done']), expected: Number(row['expected']) };
}

/** Checks everything; see `ChatStore.verify`. */
export async function verify(link: Link, readText: ReadText, options: JobOptions): Promise<VerifyReport> {
  const scope = await link.begin('check', LEASE_MS, patienceOf(options), true);
  try {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one step after the other
      const row = rowOf(await scope.call(STEP, { timeoutMs: LEASE_MS, signal: options.signal }), readText);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the core writes it so
      if (typeof row['report'] === 'string') return JSON.parse(row['report']) as VerifyReport;
      options.onProgress?.(progressOf(row));
      // oxlint-disable-next-line no-await-in-loop -- as above
      await turn();
    }
  } finally {
    scope.end();
  }
}

/** Hands out a copy of the file, in order; gives its size in bytes. */
export async function backup(
  link: Link,
  readText: ReadText,
  options: JobOptions,
  write: (bytes: Uint8Array) => Promise<void> | void,
): Promise<number> {
  const scope = await link.begin('copy', LEASE_MS, patienceOf(options), true);
  try {
    let sizeBytes = 0;
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one step after the other
      const row = rowOf(await scope.call(STEP, { timeoutMs: LEASE_MS, signal: options.signal }), readText);
      const bytes = row['bytes'];
      if (!(bytes instanceof Uint8Array)) throw new ChatStoreError('INTERNAL', 'a piece of the copy has no bytes');
      sizeBytes += bytes.length;
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (bytes.length > 0) await write(bytes);
      options.onProgress?.({ task: 'copy', done: sizeBytes, expected: Number(row['expected']) });
      if (row['more'] === 0) return sizeBytes;
      // oxlint-disable-next-line no-await-in-loop -- as above
      await turn();
    }
  } finally {
    scope.end();
  }
}

/** Sends new content and has it put in the store's place; the old goes to the file `keep`. */
export async function replaceWith(
  link: Link,
  readText: ReadText,
  options: JobOptions,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  keep: string,
): Promise<ReplaceReport> {
  const { signal } = options;
  const wait = { timeoutMs: LEASE_MS, signal };
  const call = (verb: string, args: object, rows?: Uint8Array): Promise<Uint8Array> =>
    link.call(rows === undefined ? { verb, write: false, args } : { verb, write: false, args, rows }, wait);
  await call('replace.begin', {});
  try {
    let offset = 0;
    for await (const piece of pieces) {
      for (let from = 0; from < piece.length; from += PIECE_BYTES) {
        // A copy: the piece may be a view of something larger.
        const rows = piece.slice(from, from + PIECE_BYTES);
        await call('replace.write', { offset }, rows);
        offset += rows.length;
        options.onProgress?.({ task: 'send', done: offset, expected: 0 });
      }
    }
    for (;;) {
      if (signal?.aborted === true) throw abortedError(signal);
      // oxlint-disable-next-line no-await-in-loop -- one step after the other
      const row = rowOf(await call('replace.step', { keep }), readText);
      if (typeof row['report'] === 'string') {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the core writes it so
        const report = JSON.parse(row['report']) as Omit<ReplaceReport, 'keptPath'>;
        return { ...report, keptPath: keep };
      }
      options.onProgress?.(progressOf(row));
      // oxlint-disable-next-line no-await-in-loop -- as above
      await turn();
    }
  } catch (error) {
    // Where that fails as well, the owner gives it up when this client is gone.
    await link.call({ verb: 'replace.end', write: false, args: {} }, {}).catch(() => undefined);
    throw error;
  }
}

/** The figures of a store. */
export async function stats(link: Link, readText: ReadText, options: JobOptions): Promise<Stats> {
  const row = rowOf(await link.call({ verb: 'stats', write: false, args: {} }, options), readText);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns of this reply are known
  return row as unknown as Stats;
}
