/**
 * Checking, copying and replacing a whole store, piece by piece, so that other calls run in between.
 *
 * Holds: the steps of each, and that what was begun is ended whatever happens. Must not know: files;
 * each environment says where a copy goes and where new content comes from.
 */

import { ChatStoreError, withCall } from './errors.js';
import { randomName } from './ids.js';
import { JobTime } from './job.js';
import type { Link } from './link.js';
import { readQueryRows, type ReadText } from './rows.js';
import type { JobOptions, Progress, ReplaceReport, Row, VerifyReport } from './types.js';

/** How long a check or a copy is kept for a client that asks for no further step. */
const LEASE_MS = 600_000;
/** Bytes of new content that are sent at a time. */
const PIECE_BYTES = 1 << 20;

const STEP = { verb: 'snapshot.step', write: false };

/** Where a copy goes. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void> | void;
  /** Takes back what was written; absent where that cannot be. */
  restart?: () => Promise<void>;
}

/** Some bytes of new content: of the file, or of a log beside it, which SQLite needs to read it. */
export interface Piece {
  suffix: '' | '-wal' | '-journal';
  bytes: Uint8Array;
  /** When the file was changed last, epoch milliseconds, where that is known: a store that is sealed knows it too. */
  modifiedMs?: number;
}

/** The one row of a reply. */
function rowOf(reply: Uint8Array, readText: ReadText): Row {
  const row = readQueryRows(reply, readText)[0];
  if (row === undefined) throw new ChatStoreError('INTERNAL', 'the core answered with nothing');
  return row;
}

/** Lets others of this thread have a word. */
export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve);
  });

function progressOf(row: Row): Progress {
  return { task: String(row['task']), done: Number(row['done']), expected: Number(row['expected']) };
}

/** Checks everything; see `ChatStore.verify`. */
export async function verify(link: Link, readText: ReadText, options: JobOptions): Promise<VerifyReport> {
  const time = new JobTime(options);
  const check = async (): Promise<VerifyReport> => {
    const scope = await link.begin('check', LEASE_MS, time.left(), true);
    try {
      for (;;) {
        // oxlint-disable-next-line no-await-in-loop -- one step after the other
        const row = rowOf(await scope.call(STEP, time.left()), readText);
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the core writes it so
        if (typeof row['report'] === 'string') return JSON.parse(row['report']) as VerifyReport;
        options.onProgress?.(progressOf(row));
        // oxlint-disable-next-line no-await-in-loop -- as above
        await turn();
      }
    } finally {
      scope.end();
    }
  };
  return time.reading(link.retries, check, () => Promise.resolve(true));
}

/** Hands out a copy of the file, in order; gives its size in bytes. */
export async function backup(link: Link, readText: ReadText, options: JobOptions, sink: Sink): Promise<number> {
  const time = new JobTime(options);
  let sizeBytes = 0;
  const copy = async (): Promise<number> => {
    const scope = await link.begin('copy', LEASE_MS, time.left(), true);
    try {
      for (;;) {
        // oxlint-disable-next-line no-await-in-loop -- one step after the other
        const row = rowOf(await scope.call(STEP, time.left()), readText);
        const bytes = row['bytes'];
        if (!(bytes instanceof Uint8Array)) throw new ChatStoreError('INTERNAL', 'a piece of the copy has no bytes');
        sizeBytes += bytes.length;
        // oxlint-disable-next-line no-await-in-loop -- as above
        if (bytes.length > 0) await time.wait(sink.write(bytes));
        options.onProgress?.({ task: 'copy', done: sizeBytes, expected: Number(row['expected']) });
        if (row['more'] === 0) return sizeBytes;
        // oxlint-disable-next-line no-await-in-loop -- as above
        await turn();
      }
    } finally {
      scope.end();
    }
  };
  const beginAgain = async (): Promise<boolean> => {
    if (sizeBytes > 0 && sink.restart === undefined) return false;
    if (sizeBytes > 0) await sink.restart?.();
    sizeBytes = 0;
    return true;
  };
  return time.reading(link.retries, copy, beginAgain);
}

/** Sends new content and has it put in the store's place; the old goes to the file `keep`, where one is named. */
export async function replaceWith(
  link: Link,
  readText: ReadText,
  options: JobOptions,
  pieces: AsyncIterable<Piece>,
  keep: string | undefined,
): Promise<ReplaceReport> {
  const time = new JobTime(options);
  // Each step names it: one that was meant for a replacement that is lost goes into no other.
  const job = randomName();
  const call = (verb: string, more: object = {}, rows: { rows?: Uint8Array } = {}): Promise<Uint8Array> =>
    link.call({ verb, write: false, args: { job, ...more }, ...rows }, time.left());
  try {
    await call('replace.begin');
    await send(time, pieces, async (args, bytes) => {
      await call('replace.write', args, { rows: bytes });
      options.onProgress?.({ task: 'send', done: args.sent, expected: 0 });
    });
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one step after the other
      const row = rowOf(await call('replace.step', { keep }), readText);
      options.onProgress?.(progressOf(row));
      if (row['task'] === 'ready') break;
      // oxlint-disable-next-line no-await-in-loop -- as above
      await turn();
    }
    // The only step that changes the store. It is done once, however often it has to be sent.
    const finish = { verb: 'replace.finish', write: true, args: { job, keep } };
    const row = rowOf(await link.call(finish, { ...time.left(), operationId: job }), readText);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the core writes it so
    const report = JSON.parse(String(row['report'])) as Omit<ReplaceReport, 'keptPath'>;
    return { ...report, keptPath: keep ?? null };
  } catch (error) {
    // Where that fails as well, the owner gives it up when this client is gone.
    link.call({ verb: 'replace.end', write: false, args: { job } }, {}).catch(() => undefined);
    // Only the last step can have left it open what became of it.
    if (!(error instanceof ChatStoreError) || error.outcome !== undefined) throw error;
    throw withCall(error, { outcome: 'not-applied' });
  }
}

/** Sends what comes, piece by piece, each with its place in its file. */
async function send(
  time: JobTime,
  pieces: AsyncIterable<Piece>,
  write: (
    args: { suffix: string; offset: number; sent: number; modifiedMs: number | undefined },
    bytes: Uint8Array,
  ) => Promise<void>,
): Promise<void> {
  const offsets = { '': 0, '-wal': 0, '-journal': 0 };
  let sent = 0;
  const source = pieces[Symbol.asyncIterator]();
  try {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one piece after the other
      const next = await time.wait(source.next());
      if (next.done === true) return;
      const { suffix, bytes, modifiedMs } = next.value;
      for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
        // A copy: the piece may be a view of something larger.
        const rows = bytes.slice(from, from + PIECE_BYTES);
        const offset = offsets[suffix];
        sent += rows.length;
        offsets[suffix] += rows.length;
        // oxlint-disable-next-line no-await-in-loop -- as above
        await write({ suffix, offset, sent, modifiedMs }, rows);
      }
    }
  } finally {
    // One that gives nothing any more may not even end.
    source.return?.().catch(() => undefined);
  }
}
