/**
 * The address of a file: a listening socket named after it, which one process can have at a time.
 *
 * Holds: that the kernel takes the address back when its process dies, however it dies, so that it is
 * never left behind. Must not know: what is said at the address, or what is in the file.
 */

import { createHash } from 'node:crypto';
import { lstatSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChatStoreError } from '../client/errors.js';

/**
 * `abstract`: a Unix socket in the kernel's own namespace (Linux). `pipe`: a named pipe (Windows).
 * `file`: a Unix socket in the folder for temporary files; its file can outlive its process, so it
 * counts only where somebody answers at it.
 */
export type LockKind = 'abstract' | 'pipe' | 'file';

/** The kind that is right for a platform. */
export function lockKind(platform: NodeJS.Platform = process.platform): LockKind {
  if (platform === 'linux' || platform === 'android') return 'abstract';
  return platform === 'win32' ? 'pipe' : 'file';
}

/** Where the owner of a file listens. */
export function lockAddress(realPath: string, kind: LockKind = lockKind()): string {
  const name = `chatstore-${createHash('sha256').update(realPath).digest('hex')}`;
  if (kind === 'abstract') return `\0${name}`;
  if (kind === 'pipe') return `\\\\.\\pipe\\${name}`;
  // A socket's path may have about a hundred bytes, and temporary folders have long names.
  return join(tmpdir(), `${name.slice(0, 42)}.sock`);
}

/** Takes the address of a file, by its real path; undefined where another has it. */
export async function takeAddress(
  realPath: string,
  onConnection: (socket: Socket) => void,
  kind: LockKind = lockKind(),
): Promise<Server | undefined> {
  const address = lockAddress(realPath, kind);
  const server = await listen(address, onConnection);
  if (server !== undefined || kind !== 'file' || (await answers(address))) return server;
  await putAside(address);
  return listen(address, onConnection);
}

/** A server at the address; undefined where there is one already. */
async function listen(address: string, onConnection: (socket: Socket) => void): Promise<Server | undefined> {
  const server = createServer(onConnection);
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else
        reject(
          new ChatStoreError('IO_ERROR', `the address of the store cannot be taken: ${error.message}`, {
            cause: error,
          }),
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

/** Whether a living process listens at the address. */
export function answers(address: string): Promise<boolean> {
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
