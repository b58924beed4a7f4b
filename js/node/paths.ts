/**
 * What a caller means by a path, and errors of the file system in words.
 *
 * Holds: that everyone who means the same file gets the same name for it. Must not know: what is in it.
 */

import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fault, checkArgument, checked, describe, text } from '../client/arguments.js';
import { ChatStoreError, type ErrorCode } from '../client/errors.js';

/** The path of a store that is in no file. */
export const MEMORY = ':memory:';

const checkPath = text(4_096);

/** The path that was given, checked; `argument` is its name. */
export function pathOf(path: string | URL, argument = 'path'): string {
  if (path instanceof URL) {
    return checked(argument, () => {
      if (path.protocol !== 'file:') throw new Fault('a path or a file: URL', describe(path.href));
      return fileURLToPath(path);
    });
  }
  checkArgument(argument, checkPath, path);
  checked(argument, () => {
    if (path.includes('\0')) throw new Fault('a path without NUL', describe(path));
  });
  return path;
}

/** The absolute path without links, the same for everyone who means this file; it need not exist. */
export function realPathOf(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync.native(absolute);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw ioError(`${absolute} cannot be opened`, error);
  }
  try {
    return join(realpathSync.native(dirname(absolute)), basename(absolute));
  } catch (cause) {
    throw ioError(`the directory ${dirname(absolute)} of the store does not exist or cannot be read`, cause);
  }
}

/** An error of the file system with its name. */
export function ioError(message: string, cause: unknown, code: ErrorCode = 'IO_ERROR'): ChatStoreError {
  return new ChatStoreError(code, `${message} (${codeOf(cause)})`, { cause, details: { cause: codeOf(cause) } });
}

/** `ENOENT` and the like; the whole error in words where it has no such name. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
