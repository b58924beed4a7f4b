/**
 * What many checks do: chats to work on, snapshots that are held, things that happen at once.
 *
 * Holds: no check and no expectation. Must not know: an environment.
 */

import type { Message, NewMessage } from '../client/types.js';
import type { ReadApi } from '../client/snapshot.js';
import { failureFrom, type Failure } from './findings.js';
import type { Context, Store } from './types.js';

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

export const repeat = <T>(times: number, run: (i: number) => T): T[] => Array.from({ length: times }, (_, i) => run(i));

/** So many at once. */
export const together = <T>(times: number, run: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(repeat(times, run));

/** So many one after the other. */
export async function inTurn<T>(times: number, run: (i: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < times; i++) results.push(await run(i));
  return results;
}

/** Asks until the answer is yes, a bounded number of times; gives the last answer. */
export async function until<T>(ask: () => Promise<T>, isEnough: (answer: T) => boolean, tries = 100): Promise<T> {
  let answer = await ask();
  for (let i = 1; i < tries && !isEnough(answer); i++) {
    await pause(20);
    answer = await ask();
  }
  return answer;
}

export const said = (sessionId: string, content: string, more: Partial<NewMessage> = {}): NewMessage =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- content and parts are never given together here
  ({ sessionId, role: 'user', content, ...more }) as NewMessage;

/** A bot with one session and some messages; message `i` has the text `word i`, and a minute between two. */
export async function chat(
  context: Context,
  store: Store,
  messages = 0,
): Promise<{ botId: string; sessionId: string; added: Message[] }> {
  const botId = context.id();
  const sessionId = context.id();
  await store.bots.create({ id: botId, name: `Bot ${botId}` });
  await store.sessions.create({ id: sessionId, botId, title: `Chat ${sessionId}` });
  const added = await store.messages.addMany(
    repeat(messages, (i) =>
      said(sessionId, `word ${String(i)}`, { id: `m${String(i)}`, createdAt: 1_000_000 + i * 60_000 }),
    ),
  );
  return { botId, sessionId, added };
}

/** The texts of a session, in their order. */
export async function texts(view: Pick<ReadApi, 'messages'>, sessionId: string): Promise<string[]> {
  const all: string[] = [];
  for await (const message of view.messages.iterate({ sessionId })) all.push(message.content);
  return all;
}

/** The one number that a query gives. */
export async function count(
  view: Pick<ReadApi, 'query'>,
  sql: string,
  params: (string | number)[] = [],
): Promise<number> {
  const [row] = await view.query(sql, { params });
  return Number(Object.values(row ?? {})[0]);
}

/** How many rows have lost what they belong to. */
export const orphans = (view: Pick<ReadApi, 'query'>): Promise<number> =>
  count(view, 'SELECT count(*) FROM pragma_foreign_key_check');

/** What SQLite says of the whole file: `ok`. */
export async function integrity(view: Pick<ReadApi, 'query'>): Promise<string> {
  const rows = await view.query('PRAGMA integrity_check');
  return rows.map((row) => String(row['integrity_check'])).join('; ');
}

/** Snapshots that stay open until `release` is called; that resolves when all have ended. */
export interface HeldSnapshots {
  /** Those that were opened. */
  views: ReadApi[];
  /** Why the others were not, by code. */
  refused: string[];
  release: () => Promise<void>;
}

/** Opens so many snapshots, or as many as can be had, and keeps them. */
export async function holdSnapshots(context: Context, store: Store, howMany: number): Promise<HeldSnapshots> {
  let letGo!: () => void;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  context.letGoAtEnd(letGo);
  const views: ReadApi[] = [];
  const refused: string[] = [];
  const runs: Promise<unknown>[] = [];
  const settled = repeat(
    howMany,
    () =>
      new Promise<void>((resolve) => {
        const run = store.snapshot(async (view) => {
          // A snapshot begins with its first read.
          await view.sessions.list({ limit: 1 });
          views.push(view);
          resolve();
          await held;
        });
        const noted = run.catch((error: unknown) => {
          refused.push(failureFrom(error).code);
          resolve();
        });
        runs.push(noted);
      }),
  );
  await Promise.all(settled);
  const release = async (): Promise<void> => {
    letGo();
    await Promise.all(runs);
  };
  return { views, refused, release };
}

/** What writers have done so far. */
export interface Written {
  /** Names of the writes that were begun, and of those that were acknowledged. */
  begun: string[];
  done: string[];
  errors: Failure[];
}

/** Writers that write on and on. */
interface Writing {
  readonly written: Written;
  /** Resolves as soon as that much has been done, or no writer is left that could do it. */
  until(isEnough: (written: Written) => boolean): Promise<void>;
  /** Has each of them end with the write that it is at. */
  stop(): Promise<Written>;
}

/** So many writers that write on and on; each ends with its first error. */
export function writeOn(writers: number, write: (name: string) => Promise<unknown>): Writing {
  const written: Written = { begun: [], done: [], errors: [] };
  const over = new AbortController();
  const looks: (() => void)[] = [];
  const look = (): void => {
    for (const one of looks.splice(0)) one();
  };
  const running = together(writers, async (writer) => {
    for (let i = 0; !over.signal.aborted; i++) {
      const name = `w${String(writer)}-${String(i)}`;
      written.begun.push(name);
      try {
        await write(name);
        written.done.push(name);
      } catch (error) {
        written.errors.push(failureFrom(error));
        return;
      } finally {
        look();
      }
    }
  });
  return {
    written,
    until: async (isEnough) => {
      const ended = running.then(() => true);
      let isOver = false;
      while (!isOver && !isEnough(written)) {
        const changed = new Promise<boolean>((resolve) => {
          looks.push(() => {
            resolve(false);
          });
        });
        isOver = await Promise.race([changed, ended]);
      }
    },
    stop: async () => {
      over.abort();
      await running;
      return written;
    },
  };
}

/** The bytes of a whole backup. `onFirst` gets how many have come first, and the copy waits for it. */
export async function backupBytes(store: Store, onFirst?: (bytes: number) => Promise<unknown>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await store.backup(
    new WritableStream<Uint8Array>({
      write: async (piece) => {
        pieces.push(piece.slice());
        if (pieces.length === 1) await onFirst?.(piece.length);
      },
    }),
  );
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Numbers from 0 to 1 that are the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = Math.trunc(seed) >>> 0;
  return () => {
    // A linear congruential generator of 32 bits; its high bits are the better ones, and make the fraction.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
