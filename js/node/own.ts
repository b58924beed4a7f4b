/**
 * Owning a file: its claim, the core on it, and the host that serves this process and others.
 *
 * Holds: the order claim, strangers, core, host, and back again when one fails. It runs in the thread
 * that is to own the file: the caller's, or a worker's. Must not know: who connects, or why.
 */

import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { Host } from '../host/host.js';
import { serve } from '../host/serve.js';
import { AGAIN, claim, type Claim } from './claim.js';
import { CoreFile, loadCore, type CoreOptions } from './core.js';
import { SocketPort } from './ports.js';
import type { OwnerRecord } from './record.js';
import { StrangerWatch, checkNoStranger } from './strangers.js';

/** How often a store that nobody writes to is looked at. */
const STRANGER_CHECK_MS = 2_000;

/** A host on memory of its own. */
export async function hostInMemory(path: string, options: CoreOptions): Promise<Host> {
  const core = new CoreFile(await loadCore(), path, options);
  return new Host({
    openInstance: () => core.open(),
    discardInstance: () => {
      core.discard();
    },
    releaseOwnership: () => Promise.resolve(),
    nextTurn: setImmediate,
    replaceable: false,
    slowQueryMs: options.slowQueryMs,
  });
}

/** Becomes the owner of a file, by its real path, and serves it; or finds who is. */
export async function own(path: string, options: CoreOptions): Promise<Host | OwnerRecord | typeof AGAIN> {
  // Others connect as soon as the address is taken; they are answered when the host is there.
  const early: Socket[] = [];
  let accept = (socket: Socket): void => {
    socket.on('error', () => undefined).unref();
    early.push(socket);
  };
  try {
    const claimed = await claim(path, (socket) => {
      accept(socket);
    });
    if (claimed === AGAIN || 'pid' in claimed) return claimed;
    if (options.readOnly === true) {
      // Others may want to write: they wait until it is closed, and look for the next owner then.
      const waiting = new Set<Socket>();
      accept = (socket) => {
        waiting.add(socket);
        // What it says is said again to the next owner. Without reading it nobody would learn that it has gone.
        socket
          .on('error', () => undefined)
          .resume()
          .unref();
        socket.once('close', () => waiting.delete(socket));
      };
      for (const socket of early.splice(0)) accept(socket);
      const release = (): void => {
        claimed.release();
        for (const socket of waiting) socket.destroy();
      };
      return await hostOnFile(path, options, { ...claimed, release });
    }
    const host = await hostOnFile(path, options, claimed);
    accept = (socket) => {
      serve(host, new SocketPort(socket, { trusted: false }), (token) => {
        if (!isToken(token, claimed.token)) return false;
        claimed.noteClients();
        return true;
      });
    };
    for (const socket of early.splice(0)) accept(socket);
    return host;
  } finally {
    // Without a host they have to look elsewhere.
    for (const socket of early) socket.destroy();
  }
}

async function hostOnFile(path: string, options: CoreOptions, claimed: Claim): Promise<Host> {
  try {
    return await openHost(path, options, claimed);
  } catch (error) {
    claimed.release();
    throw error;
  }
}

async function openHost(path: string, options: CoreOptions, claimed: Claim): Promise<Host> {
  const module = await loadCore();
  checkNoStranger(path);
  const clientsMayReturn = options.clientsMayReturn === true || claimed.clientsMayReturn;
  const core = new CoreFile(module, path, { ...options, clientsMayReturn });
  const watch = new StrangerWatch(path, core.descriptors);
  let timer: NodeJS.Timeout | undefined;
  const host = new Host({
    openInstance: () => core.open(),
    discardInstance: () => {
      core.discard();
    },
    releaseOwnership: () => {
      clearInterval(timer);
      claimed.release();
      return Promise.resolve();
    },
    nextTurn: setImmediate,
    replaceable: true,
    slowQueryMs: options.slowQueryMs,
    strangerSeen: () => watch.seen(),
  });
  timer = setInterval(() => {
    const error = watch.seen();
    if (error !== undefined) host.stop(error);
  }, STRANGER_CHECK_MS).unref();
  return host;
}

function isToken(received: string | undefined, expected: string): boolean {
  const [a, b] = [Buffer.from(received ?? ''), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
