/**
 * Files and streams that a whole store goes to and comes from.
 *
 * Holds: that a copy appears under its name when it is whole and on the disk, and not before. Must not
 * know: how a store is copied.
 */

import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Fault, checked, describe } from '../client/arguments.js';
import type { BackupTarget, ReplaceSource } from '../client/types.js';
import { ioError, pathOf, realPathOf } from './paths.js';

/** Gives the bytes that `copy` hands out to the target. */
export async function writeTo(
  target: BackupTarget,
  overwrite: boolean,
  copy: (write: (bytes: Uint8Array) => Promise<void>) => Promise<number>,
): Promise<number> {
  if (target instanceof WritableStream) {
    const writer = target.getWriter();
    try {
      const sizeBytes = await copy((bytes) => writer.write(bytes));
      await writer.close();
      return sizeBytes;
    } catch (error) {
      await writer.abort(error).catch(() => undefined);
      throw error;
    }
  }
  const path = realPathOf(checkedPath('target', target));
  checked('target', () => {
    if (!overwrite && existsSync(path)) throw new Fault('the path of no file yet, or overwrite: true', describe(path));
  });
  const partial = `${path}.${randomBytes(6).toString('hex')}.partial`;
  try {
    const file = await open(partial, 'wx');
    let sizeBytes: number;
    try {
      sizeBytes = await copy(async (bytes) => {
        await file.writeFile(bytes);
      });
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
    await syncDirectory(dirname(path));
    return sizeBytes;
  } catch (error) {
    await rm(partial, { force: true });
    throw error instanceof Error && 'syscall' in error ? ioError(`${path} cannot be written`, error) : error;
  }
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
export function readFrom(source: ReplaceSource): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (source instanceof Uint8Array) return [source];
  if (source instanceof Blob) return source.stream();
  if (source instanceof ReadableStream) return source;
  return bytesOf(realPathOf(checkedPath('source', source)));
}

async function* bytesOf(path: string): AsyncIterable<Uint8Array> {
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a stream without an encoding gives bytes
      yield piece as Uint8Array;
    }
  } catch (error) {
    throw ioError(`${path} cannot be read`, error);
  }
}
