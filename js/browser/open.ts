/**
 * Opening, listing and removing stores in a browser.
 *
 * Holds: the options of `open`, and what the browser says of its room. Must not know: SQL, the packed
 * buffers, or how the leader of a store is found.
 */

import { Fault, checked, describe } from '../client/arguments.js';
import { checkOptions } from '../client/caller.js';
import { ChatStoreError } from '../client/errors.js';
import { randomName } from '../client/ids.js';
import { Link } from '../client/link.js';
import { piecesOf, writeToStream } from '../client/pipes.js';
import { readQueryRows, readTextAnywhere } from '../client/rows.js';
import { jobOptions, openOptions, replaceInBrowserOptions } from '../client/shapes.js';
import { ChatStore as ClientStore } from '../client/store.js';
import type {
  BackupInfo,
  JobOptions,
  OpenOptions,
  ReplaceReport,
  SalvageReport,
  Stats,
  StoreInfo,
} from '../client/types.js';
import { removeFolder, rootFolder, whyNoFolders } from './files.js';
import { DATABASE, MEMORY, folderOf, leaderLock, nameOf, pathOf } from './names.js';
import { Place } from './place.js';
import { salvageInWorker } from './worker_host.js';

const DEFAULT_RETRIES = 3;
/** How long a store that is to be removed may still be open. */
const FREE_WITHIN_MS = 500;

/** Where a copy goes: a stream, or a file that a person has chosen. */
export type BackupTarget = WritableStream<Uint8Array> | FileSystemFileHandle;

/** Where new content comes from; a `File` is a `Blob`. */
export type ReplaceSource = Uint8Array | Blob | ReadableStream<Uint8Array>;

/** Options of `replaceWith`. */
export interface ReplaceOptions extends JobOptions {
  /** The store that the old content becomes, one that does not exist. Default `<name>.replaced-<time>`. */
  keepName?: string | undefined;
}

/** A store of this origin, as `ChatStore.list` tells of it. */
export interface StoreEntry {
  name: string;
  /** Size of its file in bytes, without what is still in its log. */
  sizeBytes: number;
  /** When its file was last written to. */
  modifiedAt: number;
}

/** What the browser says of this origin's room. */
type Room = Pick<StoreInfo, 'persisted' | 'quotaBytes' | 'usageBytes'>;
type Known = Pick<StoreInfo, 'durability' | 'schemaVersion' | 'sqliteVersion' | 'pageSizeBytes'>;

/** A store of bots, sessions and messages: one SQLite file of this origin, or memory. */
export class ChatStore extends ClientStore {
  readonly #place: Place;
  readonly #known: Known;
  #room: Room;

  private constructor(link: Link, place: Place, known: Known, room: Room) {
    super(link, readTextAnywhere);
    this.#place = place;
    this.#known = known;
    this.#room = room;
  }

  /** What the store is and where it lies. The role is that of now: it changes when the tab that leads is closed. */
  override get info(): StoreInfo {
    const { ephemeral, path, name, role } = this.#place;
    const [backend, where] = ephemeral ? ['memory', name] : ['opfs', path];
    return { ...this.#known, backend, path: where, ephemeral, role, ...this.#room };
  }

  /**
   * Opens the store of a name, and makes it where there is none. It lies in the browser's file system for
   * this origin.
   *
   * The first tab that opens a name leads; others, and other handles in the same tab, reach the store
   * there, with the same verbs and the same promises. When that tab is closed, another takes its place,
   * and calls that were on their way are sent again by themselves.
   *
   * Where the browser has no such file system (private windows of some, insecure origins), the store is
   * in this page's memory: `info.ephemeral` is true, and an event `ephemeral` says why. So it is with the
   * name `:memory:` and with `durability: 'memory'`.
   *
   * Errors: `NOT_A_STORE`, `SCHEMA_TOO_NEW`: the file is left as it is; `LEADER_UNRESPONSIVE` where the
   * tab that leads does not answer; `VERSION_MISMATCH` where it is of a newer version, so that this page
   * has to be loaded anew; `STORE_LOCKED` where the browser does not free the files; `CORRUPT`,
   * `DISK_FULL`; `INTERNAL` where the worker or the wasm cannot be loaded.
   *
   * @example
   * ```js
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open('my-chats')
   * const session = await store.sessions.create({ title: 'First steps' })
   * await store.messages.add({ sessionId: session.id, role: 'user', content: 'Hello!' })
   * ```
   */
  static async open(name: string, options: OpenOptions = {}): Promise<ChatStore> {
    checkOptions(openOptions, options);
    folderOf(name);
    const { signal, timeoutMs, pool, slowQueryMs, purgeTrashAfterMs, readOnly, wasmUrl, workerUrl } = options;
    const { onEvent, retries = DEFAULT_RETRIES } = options;
    const durability = name === MEMORY ? 'memory' : options.durability;
    const inMemory = durability === 'memory';
    const host = { durability, pool, slowQueryMs, purgeTrashAfterMs, readOnly };
    const place = Place.at(name, { inMemory, host, assets: { wasmUrl, workerUrl } });
    const link = new Link(place, {
      name: randomName(),
      retries,
      onNotice: (type, message) => onEvent?.({ type, message }),
    });
    try {
      const [reply, room] = await Promise.all([
        link.call({ verb: 'info', write: false }, { signal, timeoutMs }),
        roomOfOrigin(),
      ]);
      const row = readQueryRows(reply, readTextAnywhere)[0];
      if (row === undefined) throw new ChatStoreError('INTERNAL', 'the core answered with nothing');
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns of this reply are known
      return new ChatStore(link, place, row as unknown as Known, room);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /** @internal */
  protected override async roomNow(): Promise<Stats['room']> {
    const { quotaBytes, usageBytes } = await roomOfOrigin();
    return quotaBytes === null || usageBytes === null ? null : { quotaBytes, usageBytes };
  }

  /** The stores of this origin. */
  static async list(): Promise<StoreEntry[]> {
    if ((await whyNoFolders()) !== undefined) return [];
    const entries: StoreEntry[] = [];
    const root = await rootFolder(false);
    if (root === undefined) return entries;
    for await (const [folder, entry] of root.entries()) {
      const name = nameOf(folder);
      if (name === undefined || !isFolder(entry)) continue;
      const file = await fileIn(entry);
      if (file !== undefined && file.size > 0) {
        entries.push({ name, sizeBytes: file.size, modifiedAt: file.lastModified });
      }
    }
    return entries;
  }

  /**
   * Removes a store for good. Nothing happens where there is none.
   *
   * Errors: `STORE_LOCKED` where it is open, here or in another tab.
   */
  static async destroy(name: string): Promise<void> {
    const folder = folderOf(name);
    if (name === MEMORY || (await whyNoFolders()) !== undefined) return;
    await whileClosed(name, () => removeFolder(folder));
  }

  /**
   * Copies what can be read of a damaged store into a new one, `<name>.salvaged-<time>` unless `to` says
   * otherwise. The damaged one is not changed, and nobody may have it open.
   *
   * Errors: `STORE_LOCKED`, `NOT_FOUND`; `INVALID_ARGUMENT` where the new store exists.
   */
  static async salvage(
    name: string,
    options: { to?: string } & Pick<OpenOptions, 'wasmUrl' | 'workerUrl'> = {},
  ): Promise<SalvageReport> {
    const { to = `${name}.salvaged-${String(Date.now())}`, wasmUrl, workerUrl } = options;
    const [from, into] = [folderOf(name), folderOf(to)];
    const stores = await ChatStore.list();
    if (stores.every((store) => store.name !== name)) {
      throw new ChatStoreError('NOT_FOUND', `there is no store ${name}`, { details: { name } });
    }
    expectFree('to', to, stores);
    return whileClosed(name, async () => {
      const report = await salvageInWorker({ wasmUrl, workerUrl }, { t: 'salvage', from, to: into });
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the core writes it so
      return { ...(JSON.parse(report) as Omit<SalvageReport, 'path'>), path: to };
    });
  }

  /**
   * Writes a copy of the whole store as it is now, while others go on writing: one plain SQLite file
   * that needs nothing beside it. A file that a person has chosen is changed when the copy is whole.
   *
   * Errors: `SNAPSHOT_EXPIRED` where the leader was lost too often, too much is written meanwhile, or the
   * target took nothing for ten minutes; `TIMEOUT` and `ABORTED` by the options, which govern the whole;
   * what the target fails with.
   *
   * @example
   * ```js
   * const file = await showSaveFilePicker({ suggestedName: 'chats.sqlite' })
   * await store.backup(file)
   * ```
   */
  async backup(target: BackupTarget, options: JobOptions = {}): Promise<BackupInfo> {
    checkOptions(jobOptions, options);
    const stream = target instanceof WritableStream ? target : await streamInto(target);
    return { sizeBytes: await writeToStream(stream, (sink) => this.copyTo(options, sink)) };
  }

  /**
   * Puts the content of a SQLite file of ours in the place of this store's, at once for everybody. It is
   * checked before; the old content becomes a store of its own. Writes wait while it is copied.
   *
   * Errors: `NOT_A_STORE`, `SCHEMA_TOO_NEW` and `CORRUPT` where the new content is not fit, `BUSY` where
   * another replacement is under way, `DISK_FULL` where there is no room for both, `TRANSACTION_STATE`
   * where the leader was lost before the last step; `TIMEOUT` and `ABORTED` by the options, which govern
   * the whole. The store is as it was then, and the error's `outcome` is `not-applied`; it is `unknown`
   * only where the answer to the last step did not come.
   *
   * @example
   * ```js
   * input.addEventListener('change', () => store.replaceWith(input.files[0]))
   * ```
   */
  async replaceWith(source: ReplaceSource, options: ReplaceOptions = {}): Promise<ReplaceReport> {
    checkOptions(replaceInBrowserOptions, options);
    const { keepName, ...job } = options;
    const pieces = checked('source', () => {
      const found = piecesOf(source);
      if (found === undefined) throw new Fault('bytes, a Blob or a stream of bytes', describe(source));
      return found;
    });
    const kept = await this.#keepName(keepName);
    const report = await this.replaceBy(job, pieces, kept === undefined ? undefined : pathOf(folderOf(kept)));
    return { ...report, keptPath: kept ?? null };
  }

  /**
   * Asks the browser to keep what this origin stores, also where room gets short. It may ask the person,
   * and decides by itself otherwise. Gives whether it will.
   */
  async persist(): Promise<boolean> {
    // A worker that has opened a store cannot ask, and neither can an insecure page.
    const persisted = (await navigator.storage?.persist?.()) ?? false;
    this.#room = await roomOfOrigin();
    return persisted;
  }

  /** What the old content becomes; nothing for a store in memory, out of which nobody could take it. */
  async #keepName(wanted: string | undefined): Promise<string | undefined> {
    if (!this.#place.ephemeral) {
      const name = wanted ?? `${this.#place.name}.replaced-${String(Date.now())}`;
      folderOf(name);
      expectFree('keepName', name, await ChatStore.list());
      return name;
    }
    checked('keepName', () => {
      if (wanted !== undefined) throw new Fault('nothing here: a store in memory keeps nothing', describe(wanted));
    });
    return undefined;
  }
}

/** What the browser says of the room that this origin has; nulls where it says nothing. */
async function roomOfOrigin(): Promise<Room> {
  try {
    const [persisted, estimate] = await Promise.all([navigator.storage.persisted(), navigator.storage.estimate()]);
    return { persisted, quotaBytes: estimate.quota ?? null, usageBytes: estimate.usage ?? null };
  } catch {
    return { persisted: null, quotaBytes: null, usageBytes: null };
  }
}

function expectFree(argument: string, name: string, stores: StoreEntry[]): void {
  checked(argument, () => {
    if (stores.some((store) => store.name === name)) throw new Fault('the name of no store yet', describe(name));
  });
}

/** Runs something while nobody has the store open, and lets nobody open it meanwhile. */
async function whileClosed<T>(name: string, run: () => Promise<T>): Promise<T> {
  let runs = false;
  try {
    // A tab that is just being closed has it for some moments more.
    const signal = AbortSignal.timeout(FREE_WITHIN_MS);
    return await navigator.locks.request(leaderLock(folderOf(name)), { signal }, () => {
      runs = true;
      return run();
    });
  } catch (cause) {
    if (runs) throw cause;
    throw new ChatStoreError(
      'STORE_LOCKED',
      `the store ${name} is open, here or in another tab: close it there first`,
      { details: { name }, cause },
    );
  }
}

const isFolder = (entry: FileSystemHandle): entry is FileSystemDirectoryHandle => entry.kind === 'directory';

async function fileIn(folder: FileSystemDirectoryHandle): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(DATABASE)).getFile();
  } catch {
    // There is none, or it has just been removed.
    return undefined;
  }
}

async function streamInto(target: unknown): Promise<WritableStream<Uint8Array>> {
  const isFile = typeof FileSystemFileHandle !== 'undefined' && target instanceof FileSystemFileHandle;
  if (isFile) return target.createWritable();
  return checked('target', () => {
    throw new Fault('a stream or the handle of a file', describe(target));
  });
}
