/**
 * Opening and destroying stores in Node.
 *
 * Holds: the options of `open`, and what may be removed. Must not know: SQL, the packed buffers, or
 * how the owner of a file is found.
 */

import { closeSync, existsSync, openSync, readSync, rmSync } from 'node:fs';
import { Fault, checked, describe } from '../client/arguments.js';
import { checkOptions } from '../client/caller.js';
import { ChatStoreError } from '../client/errors.js';
import { randomName } from '../client/ids.js';
import { Link } from '../client/link.js';
import { readQueryRows } from '../client/rows.js';
import { backupOptions, openOptions, replaceOptions, scheduleOptions } from '../client/shapes.js';
import { ChatStore as ClientStore } from '../client/store.js';
import type {
  BackupInfo,
  BackupOptions,
  BackupTarget,
  OpenOptions,
  ReplaceOptions,
  ReplaceReport,
  ReplaceSource,
  SalvageReport,
  ScheduleOptions,
  StoreInfo,
} from '../client/types.js';
import { whileClosed } from './claim.js';
import { readFrom, writeTo } from './copies.js';
import { salvageFile } from './core.js';
import { MEMORY, codeOf, ioError, pathOf, realPathOf } from './paths.js';
import { Place } from './place.js';
import { schedule } from './schedule.js';
import { readTextInNode } from './text.js';

const DEFAULT_RETRIES = 3;

/** A store of bots, sessions and messages: one SQLite file, or memory. */
export class ChatStore extends ClientStore {
  readonly #place: Place;
  readonly #info: Omit<StoreInfo, 'role'>;
  readonly #onEvent: OpenOptions['onEvent'];

  private constructor(link: Link, place: Place, info: Omit<StoreInfo, 'role'>, onEvent: OpenOptions['onEvent']) {
    super(link, readTextInNode);
    this.#place = place;
    this.#info = info;
    this.#onEvent = onEvent;
  }

  /** What the store is and where it lies. The role is that of now: it changes when an owner is lost. */
  override get info(): StoreInfo {
    return { ...this.#info, role: this.#place.role };
  }

  /**
   * Opens a store, and makes its file where there is none (its directory has to exist).
   *
   * The first process that opens a file owns it; others, and other handles in the same process, reach
   * it there, with the same verbs and the same promises. When the owner closes or dies, another takes
   * its place, and calls that were on their way are sent again by themselves.
   *
   * The path `:memory:` gives a store of its own, which is gone when it is closed. So does any path with
   * `durability: 'memory'`, but that handles of one path in one process share it; nothing is written
   * there, and a file that exists is an `INVALID_ARGUMENT`: it would be neither read nor changed.
   *
   * Errors: `NOT_A_STORE` for a file that is none, `SCHEMA_TOO_NEW` for one of a newer version: both
   * are left as they are; `IO_ERROR` where the directory does not exist; `LOCKED_ELSEWHERE` where
   * another machine or container may have it; `OWNER_UNRESPONSIVE` where its owner is stopped or busy
   * without a pause; `FOREIGN_ACCESS` where a program without this package has it open; `STORE_LOCKED`
   * where a process of another user has it; `VERSION_MISMATCH`, `READ_ONLY`, `CORRUPT`, `DISK_FULL`.
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
    const { signal, timeoutMs, pool, slowQueryMs, purgeTrashAfterMs, readOnly } = options;
    const { onEvent, worker = false, retries = DEFAULT_RETRIES } = options;
    const durability = wanted === MEMORY ? 'memory' : options.durability;
    const inMemory = durability === 'memory';
    const file = wanted === MEMORY ? MEMORY : realPathOf(wanted);
    if (inMemory) checkNoFile(file);
    const host = { durability, pool, slowQueryMs, purgeTrashAfterMs, readOnly };
    const place = Place.at(file, { inMemory, worker, ...host });
    const link = new Link(place, {
      name: randomName(),
      retries,
      onNotice: (type, message) => onEvent?.({ type, message }),
    });
    try {
      const reply = await link.call({ verb: 'info', write: false }, { signal, timeoutMs });
      return new ChatStore(link, place, infoOf(readQueryRows(reply, readTextInNode)[0], inMemory), onEvent);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /**
   * Writes a copy of the whole store as it is now, while others go on writing: one plain SQLite file
   * that needs nothing beside it. A file appears under its name when it is whole and flushed, and never
   * over one that was not to be replaced. Where the process that owns the store is lost, the copy begins
   * anew on the next owner, as often as the store's `retries` say; in a stream, only before its first bytes.
   *
   * Errors: `INVALID_ARGUMENT` where the target exists, or a `-wal` or `-journal` of another file lies
   * beside it; `STORE_LOCKED` where the file to be replaced is open; `SNAPSHOT_EXPIRED` where the owner was
   * lost too often, too much is written meanwhile, or the target took nothing for ten minutes; `TIMEOUT`
   * and `ABORTED` by the options, which govern the whole. Nothing is left of the copy then.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * await store.sessions.create({ id: 'trip' })
   * await store.backup({ path: './backup.chat' })
   * await store.close()
   *
   * const copy = await ChatStore.open('./backup.chat')
   * assert.equal((await copy.sessions.get('trip')).id, 'trip')
   * await copy.close()
   * ```
   */
  async backup(target: BackupTarget, options: BackupOptions = {}): Promise<BackupInfo> {
    checkOptions(backupOptions, options);
    const { overwrite = false, ...job } = options;
    return { sizeBytes: await writeTo(target, overwrite, (sink) => this.copyTo(job, sink)) };
  }

  /**
   * Writes a backup into a directory as often as is said, `<file>-<time>.sqlite`, and keeps the newest few:
   * the first one at once, unless there is one that is young enough. Gives a function that ends it; closing
   * the store ends it too.
   *
   * It works while this process runs and does not keep it alive. Where several processes have the store open
   * and a schedule each, the one that owns the file makes the backups. Which files are its own stands in
   * `<file>-backups.json` beside them; no other is ever removed. What was written, and what failed, is told
   * to `onEvent` of `open` as `backup` and `backupFailed`; what failed is tried again after `everyMs`.
   *
   * Errors, thrown at once: `INVALID_ARGUMENT` where the directory has the backups of another store of that
   * name, `IO_ERROR` where it cannot be made or read.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open('./chats.sqlite')
   * const stop = store.scheduleBackups({ everyMs: 3_600_000, keep: 24, directory: './backups' })
   * stop()
   * await store.close()
   * ```
   */
  scheduleBackups(options: ScheduleOptions): () => void {
    checkOptions(scheduleOptions, options);
    return schedule(this, options, (event) => this.#onEvent?.(event));
  }

  /**
   * Puts the content of another store in the place of this one's, at once for everybody. It is checked
   * before; the old content is kept in a file beside. Writes wait while the old content is copied.
   *
   * A source by its path is not changed. What a process that was killed has left in its `-wal` or
   * `-journal` is taken over with it, as SQLite would.
   *
   * Errors: `NOT_A_STORE`, `SCHEMA_TOO_NEW` and `CORRUPT` where the new content is not fit, `BUSY` where
   * another replacement is under way, `STORE_LOCKED` where the source is open, `FOREIGN_ACCESS` where it
   * was changed meanwhile, `TRANSACTION_STATE` where the owner was lost before the last step; `TIMEOUT`
   * and `ABORTED` by the options, which govern the whole. The store is as it was then, and the error's
   * `outcome` is `not-applied`; it is `unknown` only where the answer to the last step did not come.
   *
   * @example
   * ```js example
   * import { readFile } from 'node:fs/promises'
   * import { ChatStore } from 'chatstore'
   *
   * const other = await ChatStore.open('./other.chat')
   * await other.sessions.create({ id: 'trip' })
   * await other.close()
   *
   * const store = await ChatStore.open('./mine.chat')
   * const { keptPath } = await store.replaceWith(await readFile('./other.chat'))
   * assert.equal((await store.sessions.get('trip')).id, 'trip')
   * assert.match(keptPath, /mine\.chat\.replaced-/)
   * await store.close()
   * ```
   */
  async replaceWith(source: ReplaceSource, options: ReplaceOptions = {}): Promise<ReplaceReport> {
    checkOptions(replaceOptions, options);
    const { keepPath, ...job } = options;
    return this.replaceBy(job, readFrom(source), this.#keepPath(keepPath));
  }

  /** Where the old content goes; nowhere for a store in memory, out of which nobody could take it. */
  #keepPath(wanted: string | undefined): string | undefined {
    const { ephemeral, path } = this.#info;
    if (!ephemeral) return wanted === undefined ? `${path}.replaced-${String(Date.now())}` : realPathOf(wanted);
    checked('keepPath', () => {
      if (wanted !== undefined) throw new Fault('nothing here: a store in memory keeps nothing', describe(wanted));
    });
    return undefined;
  }

  /**
   * Copies what can be read of a damaged store into a new one, `<path>.salvaged-<time>` unless `to`
   * says otherwise. The damaged file is not changed, and nobody may have it open.
   *
   * Errors: `STORE_LOCKED`, `LOCKED_ELSEWHERE`; `INVALID_ARGUMENT` where the new file exists.
   */
  static async salvage(path: string | URL, options: { to?: string | URL } = {}): Promise<SalvageReport> {
    const file = realPathOf(pathOf(path));
    const to = options.to === undefined ? `${file}.salvaged-${String(Date.now())}` : realPathOf(pathOf(options.to));
    return whileClosed(file, async () => ({ path: to, ...(await salvageFile(file, to)) }));
  }

  /**
   * Removes a store for good: its file and what lies beside it. Nothing happens where there is no such
   * file.
   *
   * Errors: `STORE_LOCKED` where it is open, `LOCKED_ELSEWHERE` where it may be, `NOT_A_STORE` for a
   * file that is none of ours.
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
    await whileClosed(file, () => {
      try {
        checkOurs(file);
        // The file itself goes last: one without its log is only older, a log without its file would
        // be taken for that of the next file of this name.
        for (const suffix of ['-wal', '-journal', '-shm', '']) rmSync(file + suffix, { force: true });
      } catch (cause) {
        throw cause instanceof ChatStoreError ? cause : ioError(`${file} cannot be removed`, cause);
      }
    });
  }
}

/** A store in memory would hide what is in a file of its name. */
function checkNoFile(path: string): void {
  checked('durability', () => {
    if (path === MEMORY || !existsSync(path)) return;
    throw new Fault(`strict or relaxed for a file that exists (${path})`, 'memory, which would not read it');
  });
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

function infoOf(row: Record<string, unknown> | undefined, ephemeral: boolean): Omit<StoreInfo, 'role'> {
  if (row === undefined) throw new ChatStoreError('INTERNAL', 'the core answered with nothing');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns of this reply are known
  const known = row as unknown as Omit<
    StoreInfo,
    'ephemeral' | 'backend' | 'role' | 'persisted' | 'quotaBytes' | 'usageBytes'
  >;
  return {
    backend: ephemeral ? 'memory' : 'node',
    ...known,
    ephemeral,
    persisted: null,
    quotaBytes: null,
    usageBytes: null,
  };
}
