/**
 * Backups by the clock: into a directory, the newest few kept.
 *
 * Holds: when one is due, that of several processes one makes it, and that only files are removed that were
 * written here: they stand in a list beside them, under names of one form. Must not know: how a backup is made.
 */

import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ChatStoreError } from '../client/errors.js';
import { MAX_TIMEOUT_MS } from '../client/caller.js';
import type { ScheduleOptions, StoreEvent, StoreInfo } from '../client/types.js';
import { whileClosed } from './claim.js';
import { codeOf, ioError, pathOf, realPathOf } from './paths.js';

/** What the schedule needs of its store. */
export interface Scheduled {
  readonly info: StoreInfo;
  /** Throws where the store is closed. */
  subscribe(listener: () => void): () => void;
  backup(target: { path: string }, options: { signal: AbortSignal }): Promise<unknown>;
}

/** The backups of one store, in the order in which they were made. */
interface Written {
  store: string;
  files: { name: string }[];
  /** One that is being made, or was when its process died. */
  writing?: string;
}

/** How soon it is looked again whether another process, which was making a backup, has made it. */
const LOOK_AGAIN_MS = 60_000;
/** A copy whose file takes nothing for so long has ended. */
const COPY_ENDS_MS = 600_000;
const TIME_OF_NAME = /^(\d{4}-\d\d-\d\dT\d\d)-(\d\d)-(\d\d)-(\d{3}Z)\.sqlite$/;
const PARTIAL = /\.[\da-f]{12}\.partial$/;

/** Makes backups until the function that it gives is called, or the store is closed. */
export function schedule(
  store: Scheduled,
  { everyMs, keep, directory }: ScheduleOptions,
  tell: (event: StoreEvent) => void,
): () => void {
  store.subscribe(() => undefined)();
  const place = new BackupPlace(realFolderOf(directory), store.info.path);
  const ended = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;

  // What the program does with it, an error too, is no part of the backup.
  const say = (type: string, message: string): void => {
    queueMicrotask(() => {
      tell({ type, message });
    });
  };
  const remove = (file: string): boolean => {
    const path = join(place.folder, file);
    try {
      rmSync(path, { force: true });
      return true;
    } catch (error) {
      say('backupNotRemoved', `${path} is not needed any more and cannot be removed: ${String(error)}`);
      return false;
    }
  };
  const dueInMs = (files: string[]): number => {
    const last = files.length === 0 ? -Infinity : place.timeOf(files.at(-1));
    // A clock that was set back must not stop it for long.
    return Math.min(Math.max(last + everyMs - Date.now(), 0), everyMs);
  };
  /** Gives when to look again. Nobody else makes or removes one meanwhile. */
  const makeIfDue = async (): Promise<number> => {
    const files = place.read();
    const ms = dueInMs(files);
    if (ms > 0) return ms;
    place.remains().forEach(remove);
    const file = place.newName();
    place.write(files, file);
    await store.backup({ path: join(place.folder, file) }, { signal: ended.signal });
    say('backup', `a backup was written to ${join(place.folder, file)}`);
    files.push(file);
    const kept = files.slice(-keep);
    const stuck = files.slice(0, -keep).filter((old) => !remove(old));
    try {
      // Those that are still there are tried again.
      place.write([...stuck, ...kept]);
    } catch (error) {
      say('backupFailed', `a backup was written, but not into ${place.list}: ${String(error)}`);
    }
    return everyMs;
  };
  const plan = (ms: number): void => {
    timer = setTimeout(() => void run(), Math.min(ms, MAX_TIMEOUT_MS));
    timer.unref();
  };
  const run = async (): Promise<void> => {
    let nextMs = everyMs;
    let alone = false;
    try {
      nextMs = dueInMs(place.read());
      if (nextMs === 0) {
        nextMs = await whileClosed(place.list, () => {
          alone = true;
          return makeIfDue();
        });
      }
    } catch (error) {
      if (ended.signal.aborted || codeOf(error) === 'STORE_CLOSED') return;
      if (!alone && ['STORE_LOCKED', 'LOCKED_ELSEWHERE'].includes(codeOf(error) ?? '')) {
        nextMs = Math.min(everyMs, LOOK_AGAIN_MS);
      } else {
        nextMs = everyMs;
        say('backupFailed', `no backup was written to ${place.folder}: ${String(error)}`);
      }
    }
    if (!ended.signal.aborted) plan(nextMs);
  };
  // What is wrong with the place is told at once.
  plan(dueInMs(place.read()));
  return () => {
    clearTimeout(timer);
    ended.abort();
  };
}

/** The directory, as far as it is about the backups of one store. */
class BackupPlace {
  readonly folder: string;
  readonly list: string;
  readonly #store: string;
  readonly #name: string;

  constructor(folder: string, store: string) {
    this.folder = folder;
    this.#store = store;
    this.#name = basename(store).replaceAll(/[^\w.-]/gu, '_') || 'store';
    this.list = join(folder, `${this.#name}-backups.json`);
  }

  newName(): string {
    return `${this.#name}-${new Date().toISOString().replaceAll(/[:.]/gu, '-')}.sqlite`;
  }

  /** When a backup of this name was made, epoch milliseconds; NaN where it is the name of none. */
  timeOf(file: unknown): number {
    if (typeof file !== 'string' || !file.startsWith(`${this.#name}-`)) return Number.NaN;
    const parts = TIME_OF_NAME.exec(file.slice(this.#name.length + 1));
    return parts === null ? Number.NaN : Date.parse(`${parts.slice(1, 4).join(':')}.${String(parts[4])}`);
  }

  /** Names of the backups, oldest first. What else stands in the list is not ours to touch. */
  read(): string[] {
    let found: Partial<Record<keyof Written, unknown>>;
    let files: unknown[];
    try {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- looked at below
      found = JSON.parse(readFileSync(this.list, 'utf8')) as typeof found;
      if (!Array.isArray(found.files)) throw new TypeError('it lists no files');
      files = found.files;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw new ChatStoreError('IO_ERROR', `${this.list} is no list of backups: ${String(error)}`, { cause: error });
    }
    if (found.store !== this.#store) {
      const wording = `directory: expected one without backups of another store of that name, received that of ${String(found.store)}`;
      throw new ChatStoreError('INVALID_ARGUMENT', wording, { details: { argument: 'directory' } });
    }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- looked at in the next line
    const names = files.map((each) => (each as Partial<Written['files'][0]> | null)?.name);
    const ours = (name: unknown): name is string => !Number.isNaN(this.timeOf(name));
    const { writing } = found;
    // Its process has died between giving it its name and listing it.
    if (ours(writing) && this.#sizeOf(writing) > 0) names.push(writing);
    return names.filter(ours);
  }

  /** At once, so that a list is never half written. */
  write(files: string[], writing?: string): void {
    const written: Written = {
      store: this.#store,
      files: files.map((name) => ({ name })),
      ...(writing && { writing }),
    };
    writeFileSync(`${this.list}.new`, JSON.stringify(written));
    renameSync(`${this.list}.new`, this.list);
  }

  /** What processes that were killed have left of copies. */
  remains(): string[] {
    return readdirSync(this.folder).filter((file) => {
      if (!PARTIAL.test(file) || Number.isNaN(this.timeOf(file.replace(PARTIAL, '')))) return false;
      const changedMs = statSync(join(this.folder, file), { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
      return changedMs < Date.now() - COPY_ENDS_MS;
    });
  }

  #sizeOf(file: string): number {
    return statSync(join(this.folder, file), { throwIfNoEntry: false })?.size ?? 0;
  }
}

function realFolderOf(directory: string | URL): string {
  const wanted = pathOf(directory, 'directory');
  try {
    mkdirSync(wanted, { recursive: true });
  } catch (error) {
    throw ioError(`the directory ${wanted} cannot be made`, error);
  }
  return realPathOf(wanted);
}
