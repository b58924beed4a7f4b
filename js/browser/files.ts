/**
 * The files of a store in the origin's own file system, opened for the core, which cannot wait.
 *
 * Holds: the handles, which are exclusive: whoever has them is the only one at the store, whatever locks
 * say. The database and its logs have their names; what a replacement needs on its way lies in spare
 * files, which mean nothing when the next leader comes. Must not know: what is in the files.
 */

import { ChatStoreError } from '../client/errors.js';
import type { CoreFiles } from './core.js';
import { DATABASE, ROOT_FOLDER, pathOf, leaderLock } from './names.js';

/** What is used of `FileSystemSyncAccessHandle`, which only the types of workers know. */
interface FileHandle {
  close(): void;
  getSize(): number;
  truncate(size: number): void;
}

type FileEntry = FileSystemFileHandle & { createSyncAccessHandle(): Promise<FileHandle> };

const SUFFIXES = ['', '-wal', '-journal'];
const SPARE = /^spare-\d+$/;
const RESERVE = 'reserve';
const RESERVE_BYTES = 16 << 20;
/** Files of other names that a replacement has at once, at most: new content, old content, and their logs. */
export const SPARES = 8;
/** How long a browser may take to free the handles of a worker that has ended. */
const FREE_WITHIN_MS = 15_000;
const FIRST_DELAY_MS = 5;
const LAST_DELAY_MS = 250;

/** Why a worker has no files for stores here; undefined where it has. */
export async function whyNoFiles(): Promise<string | undefined> {
  const reason = await whyNoFolders();
  if (reason !== undefined) return reason;
  // Only workers can tell: pages do not have it anywhere.
  if ('createSyncAccessHandle' in FileSystemFileHandle.prototype) return undefined;
  return 'the file system of this browser has no files that can be flushed';
}

/** Why there is no file system for stores here; undefined where there is one. */
export async function whyNoFolders(): Promise<string | undefined> {
  if (!globalThis.isSecureContext) {
    return 'the page is not from a secure origin; that is https, or this very machine';
  }
  if (typeof navigator.locks === 'undefined') return 'this browser has no locks for pages';
  if (typeof navigator.storage?.getDirectory !== 'function') return 'this browser has no file system for pages';
  try {
    await navigator.storage.getDirectory();
    return undefined;
  } catch (error) {
    // What browsers say in private windows. Anything else may pass: an empty store would look like a lost one.
    if (nameOf(error) === 'SecurityError' || nameOf(error) === 'NotSupportedError') {
      return `this browser does not give pages a file system here (${nameOf(error)})`;
    }
    throw fileError('the file system of this browser cannot be reached', error);
  }
}

/** The folder of all stores; undefined where there is none and none is to be made. */
export async function rootFolder(create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
  const root = await navigator.storage.getDirectory();
  return folderIn(root, ROOT_FOLDER, create);
}

/** A folder in a folder; undefined where there is none and none is to be made. */
export async function folderIn(
  parent: FileSystemDirectoryHandle,
  name: string,
  create: boolean,
): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await parent.getDirectoryHandle(name, { create });
  } catch (error) {
    if (nameOf(error) === 'NotFoundError') return undefined;
    throw error;
  }
}

/** Removes the folder of a store that nobody has open, if there is one. */
export async function removeFolder(folder: string): Promise<void> {
  try {
    const root = await rootFolder(false);
    await whenFree(async () => root?.removeEntry(folder, { recursive: true }));
  } catch (error) {
    if (nameOf(error) !== 'NotFoundError') throw fileError(`the store in ${folder} cannot be removed`, error);
  }
}

/** Removes the folder of a store that nothing has come into, where nobody is about to open it. */
export async function removeEmptyFolder(folder: string): Promise<void> {
  await navigator.locks.request(leaderLock(folder), { ifAvailable: true }, async (lock) => {
    const root = await rootFolder(false);
    const entry = root && (await folderIn(root, folder, false));
    if (lock === null || entry === undefined) return;
    for await (const each of entry.values()) {
      if (each.kind === 'directory' || (await each.getFile()).size > 0) return;
    }
    await root?.removeEntry(folder, { recursive: true });
  });
}

/** The open files of one store. */
export class StoreFiles implements CoreFiles {
  readonly named = new Map<string, FileHandle>();
  /** Those of {@link StoreFiles.openSpares} that the core has no use for just now. */
  spares: FileHandle[] = [];
  readonly reserve = { bytes: RESERVE_BYTES, hold: () => this.#hold(), release: () => this.#release() };
  #reserve: FileHandle | undefined;
  readonly #folder: FileSystemDirectoryHandle;
  readonly #handles = new Set<FileHandle>();
  readonly #spares: FileHandle[] = [];
  #isClosed = false;

  private constructor(folder: FileSystemDirectoryHandle) {
    this.#folder = folder;
  }

  /** Opens the files of the store in a folder, makes them where there are none. */
  static async open(folder: string): Promise<StoreFiles> {
    try {
      const root = await rootFolder(true);
      const entry = root && (await folderIn(root, folder, true));
      if (entry === undefined) throw new Error('the folder was removed while it was made');
      const files = new StoreFiles(entry);
      await files.#openNamed(entry, folder);
      return files;
    } catch (error) {
      throw fileError(`the files of the store in ${folder} cannot be opened`, error);
    }
  }

  /** Opens the files of another store of this origin too, beside this one's. */
  async openOther(folder: string): Promise<void> {
    if (this.named.has(pathOf(folder))) return;
    const root = await rootFolder(true);
    const entry = root && (await folderIn(root, folder, true));
    if (entry !== undefined) await this.#openNamed(entry, folder);
  }

  /** Closes the files of another store again. */
  closeOther(folder: string): void {
    for (const suffix of SUFFIXES) {
      const path = pathOf(folder) + suffix;
      const handle = this.named.get(path);
      if (handle === undefined) continue;
      this.named.delete(path);
      this.#handles.delete(handle);
      handle.close();
    }
  }

  /** Sees to it that there are files for other names. */
  async openSpares(): Promise<void> {
    while (this.#spares.length < SPARES) {
      // oxlint-disable-next-line no-await-in-loop -- rare, and few
      const handle = await this.#openFile(this.#folder, `spare-${String(this.#spares.length)}`);
      this.#spares.push(handle);
      this.spares.push(handle);
    }
  }

  /** All of them are free again: the core that had some is no more. */
  freeSpares(): void {
    this.spares = [...this.#spares];
  }

  /** Closes them. Chromium counts the room that a handle once had as taken until then. */
  closeSpares(): void {
    for (const handle of this.#spares) {
      this.#handles.delete(handle);
      handle.truncate(0);
      handle.close();
    }
    this.#spares.length = 0;
    this.spares.length = 0;
  }

  /** What can wait until the store is open: keeps room back, and removes what replacements of former leaders have left. */
  async tidy(): Promise<void> {
    await this.#openReserve();
    this.#hold();
    for await (const name of this.#folder.keys()) {
      if (SPARE.test(name) && this.#spares.length === 0) await this.#folder.removeEntry(name).catch(() => undefined);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const handle of this.#handles) handle.close();
    this.#handles.clear();
    this.named.clear();
    this.spares.length = 0;
    this.#spares.length = 0;
    this.#reserve = undefined;
  }

  async #openReserve(): Promise<void> {
    const handle = await this.#openFile(this.#folder, RESERVE);
    if (this.#isClosed) handle.close();
    else this.#reserve = handle;
  }

  /** The quota counts a file's size; that costs no more, since nothing is written. */
  #hold(): boolean {
    try {
      if (this.#reserve === undefined) return false;
      if (this.#reserve.getSize() < RESERVE_BYTES) this.#reserve.truncate(RESERVE_BYTES);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Chromium gives room back when a handle is closed; a new one comes as soon as it can be opened. Nothing is
   * thrown: the core that calls this could not catch it.
   */
  #release(): void {
    const handle = this.#reserve;
    if (handle === undefined) return;
    this.#reserve = undefined;
    this.#handles.delete(handle);
    try {
      handle.truncate(0);
    } catch {
      // Then it keeps its room: there is nothing to give.
    }
    handle.close();
    this.#openReserve().catch(() => undefined);
  }

  async #openNamed(entry: FileSystemDirectoryHandle, folder: string): Promise<void> {
    const opened = await Promise.allSettled(
      SUFFIXES.map(async (suffix) => {
        const handle = await this.#openFile(entry, DATABASE + suffix);
        this.named.set(pathOf(folder) + suffix, handle);
      }),
    );
    const failed = opened.find((each) => each.status === 'rejected');
    if (failed === undefined) return;
    this.closeOther(folder);
    throw failed.reason;
  }

  async #openFile(folder: FileSystemDirectoryHandle, name: string): Promise<FileHandle> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `whyNoFiles` has looked
    const entry = (await folder.getFileHandle(name, { create: true })) as FileEntry;
    const handle = await whenFree(() => entry.createSyncAccessHandle());
    this.#handles.add(handle);
    return handle;
  }
}

/** Does what cannot be done with files that are open, and waits where a worker that has ended still has them. */
async function whenFree<T>(act: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + FREE_WITHIN_MS;
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LAST_DELAY_MS)) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- each try follows from the one before
      return await act();
    } catch (error) {
      if (nameOf(error) !== 'NoModificationAllowedError' || performance.now() > endMs) throw error;
    }
    // oxlint-disable-next-line no-await-in-loop -- as above
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }
}

/** The name of a DOMException; empty for what is none. */
export const nameOf = (error: unknown): string => (error instanceof DOMException ? error.name : '');

/** What a browser said of files, as an error of the package. */
export function fileError(what: string, cause: unknown): ChatStoreError {
  if (cause instanceof ChatStoreError) return cause;
  const name = nameOf(cause);
  const told = cause instanceof Error || cause instanceof DOMException ? cause.message : String(cause);
  const code =
    name === 'QuotaExceededError' ? 'DISK_FULL' : name === 'NoModificationAllowedError' ? 'STORE_LOCKED' : 'IO_ERROR';
  return new ChatStoreError(code, `${what}: ${name === '' ? told : `${name}: ${told}`}`, {
    cause,
    details: name === '' ? {} : { cause: name },
  });
}
