/**
 * Opening and destroying stores in Node.
 *
 * Holds: what a path means, and the order lock, core, store (and back again when one fails). Must
 * not know: SQL, or the packed buffers.
 */

import { closeSync, openSync, readSync, realpathSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fault, checkArgument, checked, describe, text } from '../client/arguments.js';
import { checkOptions, patienceOf } from '../client/caller.js';
import { ChatStoreError } from '../client/errors.js';
import { readQueryRows } from '../client/rows.js';
import { openOptions } from '../client/shapes.js';
import { ChatStore as ClientStore } from '../client/store.js';
import type { OpenOptions, StoreInfo } from '../client/types.js';
import { Host } from '../host/host.js';
import { abortedError } from '../host/queue.js';
import { CoreFile, loadCore } from './core.js';
import { acquireLock } from './lock.js';
import { readTextInNode } from './text.js';

const MEMORY = ':memory:';

/** A store of bots, sessions and messages: one SQLite file, or memory. */
export class ChatStore extends ClientStore {
  private constructor(host: Host, info: StoreInfo) {
    super(host, readTextInNode, info);
  }

  /**
   * Opens a store, and makes its file where there is none (its directory has to exist).
   *
   * One process owns a file at a time: a second one, or a second `open` in the same process, gets
   * `STORE_LOCKED` at once. The path `:memory:` gives a store that is gone when it is closed.
   *
   * Errors: `STORE_LOCKED`; `NOT_A_STORE` for a file that is none, `SCHEMA_TOO_NEW` for one of a
   * newer version: both are left as they are; `IO_ERROR` where the directory does not exist;
   * `READ_ONLY`, `CORRUPT`, `DISK_FULL`.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const bot = await store.bots.create({ name: 'Ada' })
   * const session = await store.sessions.create({ botId: bot.id, title: 'First steps' })
   * await store.messages.add({ sessionId: session.id, role: 'user', content: 'Hello!' })
   * const { items } = await store.messages.list({ sessionId: session.id })
   * assert.equal(items[0].content, 'Hello!')
   * await store.close()
   * ```
   */
  static async open(path: string | URL, options: OpenOptions = {}): Promise<ChatStore> {
    checkOptions(openOptions, options);
    const wanted = pathOf(path);
    const patience = patienceOf(options);
    const deadline = Date.now() + patience.timeoutMs;
    const checkPatience = (): void => {
      if (patience.signal?.aborted === true) throw abortedError(patience.signal);
      if (Date.now() > deadline) {
        throw new ChatStoreError('TIMEOUT', `opening took longer than ${String(patience.timeoutMs)} ms`, {
          details: { timeoutMs: patience.timeoutMs },
        });
      }
    };

    checkPatience();
    const inMemory = wanted === MEMORY;
    const file = inMemory ? MEMORY : realPathOf(wanted);
    const lock = inMemory ? undefined : await acquireLock(file);
    let host: Host;
    try {
      const module = await loadCore();
      checkPatience();
      const core = new CoreFile(module, file, { inMemory, durability: options.durability });
      host = new Host({
        openInstance: () => core.open(),
        discardInstance: () => {
          core.discard();
        },
        releaseOwnership: async () => lock?.release(),
        replaceable: !inMemory,
      });
    } catch (error) {
      await lock?.release();
      throw error;
    }
    try {
      const reply = await host.call({ verb: 'info', write: false, args: {} }, patience);
      return new ChatStore(host, infoOf(readQueryRows(reply, readTextInNode)[0], inMemory));
    } catch (error) {
      await host.close();
      throw error;
    }
  }

  /**
   * Removes a store for good: its file and what SQLite keeps beside it. Nothing happens where there
   * is no such file.
   *
   * Errors: `STORE_LOCKED` where it is open, `NOT_A_STORE` for a file that is none of ours.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open('./short-lived.chat')
   * await store.close()
   * await ChatStore.destroy('./short-lived.chat')
   * ```
   */
  static async destroy(path: string | URL): Promise<void> {
    const wanted = pathOf(path);
    if (wanted === MEMORY) return;
    const file = realPathOf(wanted);
    const lock = await acquireLock(file);
    try {
      checkOurs(file);
      // The file itself goes last: one without its log is only older, a log without its file would
      // be taken for that of the next file of this name.
      for (const suffix of ['-wal', '-journal', '-shm', '']) rmSync(file + suffix, { force: true });
    } catch (cause) {
      throw cause instanceof ChatStoreError ? cause : ioError(`${file} cannot be removed`, cause);
    } finally {
      await lock.release();
    }
  }
}

const checkPath = text(4_096);

function pathOf(path: string | URL): string {
  if (path instanceof URL) {
    return checked('path', () => {
      if (path.protocol !== 'file:') throw new Fault('a path or a file: URL', describe(path.href));
      return fileURLToPath(path);
    });
  }
  checkArgument('path', checkPath, path);
  checked('path', () => {
    if (path.includes('\0')) throw new Fault('a path without NUL', describe(path));
  });
  return path;
}

/** The absolute path without links, the same for everyone who means this file; it need not exist. */
function realPathOf(path: string): string {
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

function ioError(message: string, cause: unknown): ChatStoreError {
  const code = codeOf(cause);
  return new ChatStoreError('IO_ERROR', `${message} (${code})`, { cause, details: { cause: code } });
}

/** `ENOENT` and the like; the whole error in words where it has no such name. */
function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

const APPLICATION_ID = 0x43684174;
const APPLICATION_ID_AT = 68;

/** Refuses to remove what another program wrote. An empty file, or none, is as good as ours. */
function checkOurs(file: string): void {
  const header = Buffer.alloc(100);
  let bytes = 0;
  try {
    const descriptor = openSync(file, 'r');
    try {
      bytes = readSync(descriptor, header, 0, header.length, 0);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (bytes === 0 || header.readUInt32BE(APPLICATION_ID_AT) === APPLICATION_ID) return;
  throw new ChatStoreError('NOT_A_STORE', `${file} is not a chatstore file; it was not removed`, {
    details: { path: file },
  });
}

function infoOf(row: Record<string, unknown> | undefined, ephemeral: boolean): StoreInfo {
  if (row === undefined) throw new ChatStoreError('INTERNAL', 'the core answered with nothing');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns of this reply are known
  const known = row as unknown as Omit<StoreInfo, 'ephemeral' | 'backend'>;
  return { backend: ephemeral ? 'memory' : 'node', ...known, ephemeral };
}
