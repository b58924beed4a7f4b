/**
 * The ownership of a file: one process, and in it one store, has it at a time.
 *
 * Holds: a listening socket named after the file, which the kernel takes back when its process dies,
 * however it dies; so no lock is ever left behind. Must not know: what is in the file.
 */

import { createHash } from 'node:crypto';
import { lstatSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChatStoreError } from '../client/errors.js';

/**
 * `abstract`: a Unix socket in the kernel's own namespace (Linux). `pipe`: a named pipe (Windows).
 * `file`: a Unix socket in the folder for temporary files; its file can outlive its process, so it
 * counts only where somebody answers at it.
 */
export type LockKind = 'abstract' | 'pipe' | 'file';

/** A lock that is held. */
export interface OwnerLock {
  release(): Promise<void>;
}

/** The kind that is right for a platform. */
export function lockKind(platform: NodeJS.Platform = process.platform): LockKind {
  if (platform === 'linux' || platform === 'android') return 'abstract';
  return platform === 'win32' ? 'pipe' : 'file';
}

/** Where the lock of a file listens. */
export function lockAddress(realPath: string, kind: LockKind): string {
  const name = `chatstore-${createHash('sha256').update(realPath).digest('hex')}`;
  if (kind === 'abstract') return `\0${name}`;
  if (kind === 'pipe') return `\\\\.\\pipe\\${name}`;
  // A socket's path may have about a hundred bytes, and temporary folders have long names.
  return join(tmpdir(), `${name.slice(0, 42)}.sock`);
}

/**
 * Becomes the owner of a file, by its real path.
 *
 * Errors: `STORE_LOCKED` at once where it has one.
 */
export async function acquireLock(realPath: string, kind: LockKind = lockKind()): Promise<OwnerLock> {
  const address = lockAddress(realPath, kind);
  const server = (await listen(address)) ?? (kind === 'file' ? await replaceDead(address) : undefined);
  if (server !== undefined) return { release: () => close(server) };
  throw new ChatStoreError(
    'STORE_LOCKED',
    `${realPath} is open already: in another process, or by another ChatStore in this one`,
    { details: { path: realPath } },
  );
}

/** A server in the place of one that is dead; undefined where it lives, or where another was faster. */
async function replaceDead(address: string): Promise<Server | undefined> {
  if (await answers(address)) return undefined;
  await putAside(address);
  return listen(address);
}

/** A server at the address; undefined where there is one already. */
async function listen(address: string): Promise<Server | undefined> {
  // Whoever connects only wants to know that somebody is here.
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else
        reject(
          new ChatStoreError('IO_ERROR', `the lock of the store cannot be taken: ${error.message}`, { cause: error }),
        );
    });
    // Exclusive: workers of a cluster would share the socket, and each think itself the owner.
    server.listen({ path: address, exclusive: true }, () => {
      // A connection that fails later must not bring the process down.
      server.removeAllListeners('error').on('error', () => undefined);
      // A store that is open is no reason for a process to live on.
      server.unref();
      resolve(server);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
  });
}

/** Whether a living process listens at the address. */
function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // Any other failure is no proof of death.
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

/**
 * Removes the file of a dead socket. Others may be doing the same, and one of them may listen by now:
 * so it is moved first and asked again, and what turns out to be alive is moved back.
 */
async function putAside(address: string): Promise<void> {
  const aside = `${address}.${String(process.pid)}`;
  try {
    if (!lstatSync(address).isSocket()) return;
    renameSync(address, aside);
  } catch {
    return;
  }
  if (await answers(aside)) renameSync(aside, address);
  else rmSync(aside, { force: true });
}
