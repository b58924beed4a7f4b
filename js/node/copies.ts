/**
 * Files and streams that a whole store goes to and comes from.
 *
 * Holds: that a copy appears under its name when it is whole and on the disk, and not before, and takes
 * the name of no file that is in use or was not to be replaced; that a file is read as SQLite would
 * read it, and not changed. Must not know: how a store is copied.
 */

import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync, statSync, type BigIntStats } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Fault, checked, describe } from '../client/arguments.js';
import { ChatStoreError } from '../client/errors.js';
import { piecesOf, writeToStream } from '../client/pipes.js';
import type { BackupTarget, ReplaceSource } from '../client/types.js';
import type { Piece, Sink } from '../client/upkeep.js';
import { whileClosed } from './claim.js';
import { answers, lockAddress } from './lock.js';
import { codeOf, ioError, pathOf, realPathOf } from './paths.js';

/** What SQLite would apply to a file of this name. */
const LOGS = ['-wal', '-journal'] as const;

/** Gives the bytes that `copy` hands out to the target. */
export async function writeTo(
  target: BackupTarget,
  overwrite: boolean,
  copy: (sink: Sink) => Promise<number>,
): Promise<number> {
  if (target instanceof WritableStream) return writeToStream(target, copy);
  const path = realPathOf(checkedPath('target', target));
  await unlessTaken(path, overwrite, () => undefined);
  const partial = `${path}.${randomBytes(6).toString('hex')}.partial`;
  try {
    const sizeBytes = await writeFile(partial, copy);
    // Copying takes its time: what was not there before may be there now.
    await unlessTaken(path, overwrite, () => publish(partial, path, overwrite));
    await syncDirectory(dirname(path));
    return sizeBytes;
  } catch (error) {
    await rm(partial, { force: true });
    throw error instanceof Error && 'syscall' in error ? ioError(`${path} cannot be written`, error) : error;
  }
}

async function writeFile(path: string, copy: (sink: Sink) => Promise<number>): Promise<number> {
  let file = await open(path, 'wx');
  try {
    const sizeBytes = await copy({
      write: (bytes) => file.writeFile(bytes),
      restart: async () => {
        await file.close();
        file = await open(path, 'w');
      },
    });
    await file.sync();
    return sizeBytes;
  } finally {
    await file.close();
  }
}

/** Runs something that gives a new file this name, where that harms no other. */
async function unlessTaken(path: string, overwrite: boolean, run: () => Promise<void> | void): Promise<void> {
  const give = async (): Promise<void> => {
    for (const log of LOGS) {
      if (!existsSync(path + log)) continue;
      throw targetError(
        path + log,
        `a path without a log of another file beside it, which would be applied to the copy; remove ${path + log} or choose another path`,
      );
    }
    await run();
  };
  if (!existsSync(path)) await give();
  else if (overwrite) await whileClosed(path, give);
  else throw existsError(path);
}

/** Gives a whole file its name. */
async function publish(partial: string, path: string, overwrite: boolean): Promise<void> {
  if (!overwrite) {
    try {
      // Never over another file, whoever makes one in this very moment.
      await link(partial, path);
      await rm(partial);
      return;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') throw existsError(path);
    }
    // This file system has no links: the name is taken by an empty file of our own first.
    try {
      await (await open(path, 'wx')).close();
    } catch (error) {
      throw codeOf(error) === 'EEXIST' ? existsError(path) : error;
    }
    try {
      await rename(partial, path);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
    return;
  }
  await rename(partial, path);
}

const existsError = (path: string): ChatStoreError =>
  targetError(path, 'the path of no file yet, or overwrite: true, received one that exists');

function targetError(path: string, expected: string): ChatStoreError {
  return new ChatStoreError('INVALID_ARGUMENT', `target: expected ${expected}`, {
    details: { argument: 'target', expected, received: path },
  });
}

/** Some systems do not let a directory be opened or flushed. */
async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch {
    // The copy is whole; that its name survives the loss of power cannot be had here.
  }
}

function checkedPath(argument: string, place: unknown): string {
  return checked(argument, () => {
    const path = typeof place === 'object' && place !== null && 'path' in place ? place.path : undefined;
    if (typeof path !== 'string' && !(path instanceof URL)) {
      throw new Fault('{ path } or a stream', describe(place));
    }
    return pathOf(path);
  });
}

/** The bytes of a source, piece by piece. */
export function readFrom(source: ReplaceSource): AsyncIterable<Piece> {
  return piecesOf(source) ?? filesOf(realPathOf(checkedPath('source', source)));
}

/** A file, with what a process that was killed has left in its logs. */
async function* filesOf(path: string): AsyncGenerator<Piece> {
  if (await answers(lockAddress(path))) {
    throw new ChatStoreError(
      'STORE_LOCKED',
      `${path} is open, here or in another process: close it there first, or give a backup of it`,
      { details: { path } },
    );
  }
  const before = stateOf(path);
  try {
    const modifiedMs = Math.round(statSync(path).mtimeMs);
    for (const suffix of ['', ...LOGS] as const) {
      if (suffix !== '' && before.get(suffix) === undefined) continue;
      for await (const bytes of createReadStream(path + suffix, { highWaterMark: 1 << 20 })) {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a stream without an encoding gives bytes
        yield { suffix, bytes: bytes as Uint8Array, modifiedMs };
      }
    }
  } catch (error) {
    throw ioError(`${path} cannot be read`, error);
  }
  const after = stateOf(path);
  if (['', ...LOGS].every((suffix) => before.get(suffix) === after.get(suffix))) return;
  throw new ChatStoreError('FOREIGN_ACCESS', `another program has changed ${path} while it was read; close it first`, {
    details: { path },
  });
}

/** What tells each of the files from what it is after a change. */
function stateOf(path: string): Map<string, string> {
  const states = new Map<string, string>();
  for (const suffix of ['', ...LOGS]) {
    const stat: BigIntStats | undefined = statSync(path + suffix, { bigint: true, throwIfNoEntry: false });
    if (stat !== undefined) states.set(suffix, [stat.dev, stat.ino, stat.size, stat.mtimeNs].join());
  }
  return states;
}
