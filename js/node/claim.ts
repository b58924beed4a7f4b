/**
 * The ownership of a file: one process has it at a time.
 *
 * Three things make an owner, and it gives them back in the opposite order: the address (lock.ts), the
 * kernel's lock on `<file>.lock` where the tool `flock` is there to take it, and the record in that
 * file (record.ts). The address alone decides within a network namespace; the other two keep out
 * containers and machines that share the file's disk.
 *
 * The lock file goes when its owner closes, so that a closed store is one file. That is safe because
 * whoever has locked one looks whether it still has its name: of two that opened it before and after
 * it went, one holds a file that nobody else will open, and begins anew. Must not know: what is in
 * the store, or what is said at the address.
 */

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import type { Server, Socket } from 'node:net';
import { ChatStoreError } from '../client/errors.js';
import { answers, lockAddress, lockKind, takeAddress, type LockKind } from './lock.js';
import { codeOf, ioError } from './paths.js';
import { describeOwner, judge, ownRecord, parseRecord, type OwnerRecord } from './record.js';

/** The ownership of a file, held. */
export interface Claim {
  readonly token: string;
  /** The owner before has died, and clients of it may be on their way here. */
  readonly clientsMayReturn: boolean;
  /** Notes in the record that there are clients now, who will look for the next owner. */
  noteClients(): void;
  release(): void;
}

/** The owner's record was found in the making, or its maker has died: another try will tell more. */
export const AGAIN = Symbol('again');

const READ_WRITE_OR_CREATE = constants.O_RDWR | constants.O_CREAT;
const OWNER_ONLY = 0o600;
/** Each turn means that an owner has closed between two system calls. */
const MAX_LOCK_FILES = 100;

/** The name of a store's lock file. */
export const lockFileOf = (path: string): string => `${path}.lock`;

/**
 * Becomes the owner of a file, by its real path, or finds who is. `onConnection` is called for those
 * who connect to the address from now on.
 *
 * Errors: `LOCKED_ELSEWHERE` where an owner in another container or on another machine may live;
 * `STORE_LOCKED` where it belongs to another user; `READ_ONLY`, `IO_ERROR`.
 */
export async function claim(
  path: string,
  onConnection: (socket: Socket) => void,
  kind: LockKind = lockKind(),
): Promise<Claim | OwnerRecord | typeof AGAIN> {
  const server = await takeAddress(path, onConnection, kind);
  if (server === undefined) return readRecord(path) ?? AGAIN;
  const own = ownRecord(lockAddress(path, kind));
  let descriptor: number | undefined;
  let clientsMayReturn = false;
  try {
    const file = openLocked(path);
    descriptor = file.descriptor;
    const found = parseRecord(readFileSync(descriptor, 'utf8'));
    if (!file.granted) throw lockedElsewhere(path, found);
    if (found !== undefined) {
      // Where temporary folders differ, so do addresses: the one in the record has the last word.
      const livesHere = kind === 'file' && found.address !== own.address && (await answers(found.address));
      if (livesHere) {
        letGo(descriptor, server);
        return found;
      }
      if (judge(found, own, file.byKernel) === 'elsewhere') throw lockedElsewhere(path, found);
    }
    clientsMayReturn = found?.clients === true;
    writeRecord(descriptor, own);
  } catch (error) {
    letGo(descriptor, server);
    throw error instanceof ChatStoreError ? error : ioError(`${lockFileOf(path)} cannot be written`, error);
  }
  let held: number | undefined = descriptor;
  return {
    token: own.token,
    clientsMayReturn,
    noteClients: () => {
      if (held === undefined || own.clients) return;
      own.clients = true;
      writeRecord(held, own);
    },
    release: () => {
      if (held === undefined) return;
      if (hasItsName(held, lockFileOf(path))) rmSync(lockFileOf(path), { force: true });
      letGo(held, server);
      // A descriptor that was closed may be another file's by the next moment.
      held = undefined;
    },
  };
}

/**
 * Runs something while nobody has a file open, by its real path, and nobody can open it.
 *
 * Errors: `STORE_LOCKED` where it is open; those of {@link claim}.
 */
export async function whileClosed<T>(path: string, run: () => Promise<T> | T): Promise<T> {
  const claimed = await claim(path, (socket) => socket.destroy());
  if (claimed === AGAIN || 'pid' in claimed) {
    throw new ChatStoreError('STORE_LOCKED', `${path} is open, here or in another process: close it there first`, {
      details: { path },
    });
  }
  try {
    return await run();
  } finally {
    claimed.release();
  }
}

/** The record of whoever owns a file; undefined where there is none, or only part of one. */
export function readRecord(path: string): OwnerRecord | undefined {
  try {
    return parseRecord(readFileSync(lockFileOf(path), 'utf8'));
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    if (codeOf(cause) !== 'EACCES') throw ioError(`${lockFileOf(path)} cannot be read`, cause);
    throw new ChatStoreError('STORE_LOCKED', `${path} is open in a process of another user`, {
      cause,
      details: { path },
    });
  }
}

interface LockFile {
  descriptor: number;
  /** False where another process has locked it. */
  granted: boolean;
  /** Whether the kernel keeps the lock, or there is no tool to ask it for one. */
  byKernel: boolean;
}

/** Opens the lock file and locks it, and sees to it that it is the one that others will open. */
function openLocked(path: string): LockFile {
  const name = lockFileOf(path);
  for (let i = 0; i < MAX_LOCK_FILES; i++) {
    let descriptor: number;
    try {
      descriptor = openSync(name, READ_WRITE_OR_CREATE, OWNER_ONLY);
    } catch (cause) {
      const readOnly = ['EACCES', 'EPERM', 'EROFS'].includes(codeOf(cause));
      throw ioError(`${name} cannot be opened`, cause, readOnly ? 'READ_ONLY' : 'IO_ERROR');
    }
    const locked = lock(descriptor);
    if (locked === 'refused' || hasItsName(descriptor, name)) {
      return { descriptor, granted: locked !== 'refused', byKernel: locked === 'held' };
    }
    closeSync(descriptor);
  }
  throw new ChatStoreError('BUSY', `${name} was replaced ${String(MAX_LOCK_FILES)} times while it was being opened`);
}

/** Node has no call for it: the tool locks the open file that it shares with this process, and the lock stays. */
function lock(descriptor: number): 'held' | 'refused' | 'unavailable' {
  if (process.platform === 'win32') return 'unavailable';
  const { status } = spawnSync('flock', ['-xn', '3'], { stdio: ['ignore', 'ignore', 'ignore', descriptor] });
  return status === 0 ? 'held' : status === 1 ? 'refused' : 'unavailable';
}

/** Whoever reads it in between finds half a record, and reads it again. */
function writeRecord(descriptor: number, record: OwnerRecord): void {
  ftruncateSync(descriptor);
  writeSync(descriptor, JSON.stringify(record), 0);
}

function hasItsName(descriptor: number, name: string): boolean {
  const opened = fstatSync(descriptor, { bigint: true });
  const named = statSync(name, { bigint: true, throwIfNoEntry: false });
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}

function letGo(descriptor: number | undefined, server: Server): void {
  if (descriptor !== undefined) closeSync(descriptor);
  server.close();
}

function lockedElsewhere(path: string, owner: OwnerRecord | undefined): ChatStoreError {
  const who = owner === undefined ? 'a process of another container or machine' : describeOwner(owner);
  return new ChatStoreError(
    'LOCKED_ELSEWHERE',
    `${path} belongs to ${who}, which cannot be reached or asked from here; close the store there, or, where that process is gone for certain, remove ${lockFileOf(path)}`,
    {
      details: {
        path,
        lockFile: lockFileOf(path),
        ...(owner === undefined ? {} : { pid: owner.pid, host: owner.host }),
      },
    },
  );
}
