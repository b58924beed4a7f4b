/**
 * Backups by the clock: into a directory, the newest few kept.
 *
 * Holds: when one is due, and that only files are removed that were written here: they stand in a list
 * beside them. Must not know: how a backup is made.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ChatStoreError } from '../client/errors.js';
import { MAX_TIMEOUT_MS } from '../client/caller.js';
import type { ScheduleOptions, StoreEvent, StoreInfo } from '../client/types.js';
import { codeOf, ioError, pathOf, realPathOf } from './paths.js';

/** What the schedule needs of its store. */
export interface Scheduled {
  readonly info: StoreInfo;
  backup(target: { path: string }, options: { signal: AbortSignal }): Promise<unknown>;
}

/** What was written for one store, oldest first. */
interface Written {
  store: string;
  files: { name: string; atMs: number }[];
}

/** Makes backups until the function that it gives is called, or the store is closed. */
export function schedule(
  store: Scheduled,
  { everyMs, keep, directory }: ScheduleOptions,
  tell: (event: StoreEvent) => void,
): () => void {
  const folder = realFolderOf(directory);
  const path = store.info.path;
  const name = basename(path).replaceAll(/[^\w.-]/gu, '_') || 'store';
  const list = join(folder, `${name}-backups.json`);
  const ended = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const write = async (): Promise<void> => {
    const atMs = Date.now();
    const file = `${name}-${new Date(atMs).toISOString().replaceAll(/[:.]/gu, '-')}.sqlite`;
    await store.backup({ path: join(folder, file) }, { signal: ended.signal });
    const files = [...readList(list, path).files, { name: file, atMs }];
    const old = files.splice(0, files.length - keep);
    // Those that are to go stand in the list until they are gone.
    writeList(list, { store: path, files: [...old, ...files] });
    for (const { name: gone } of old) rmSync(join(folder, gone), { force: true });
    writeList(list, { store: path, files });
    tell({ type: 'backup', message: `a backup was written to ${join(folder, file)}` });
  };
  const dueInMs = (): number => {
    const last = readList(list, path).files.at(-1)?.atMs ?? -Infinity;
    // A clock that was set back must not stop it for long.
    return Math.min(Math.max(last + everyMs - Date.now(), 0), everyMs);
  };
  const plan = (ms: number): void => {
    timer = setTimeout(() => void run(), Math.min(ms, MAX_TIMEOUT_MS));
    timer.unref();
  };
  const run = async (): Promise<void> => {
    let nextMs = everyMs;
    try {
      const ms = dueInMs();
      if (ms > 0) nextMs = ms;
      // Another process has the file, and backups are its part, where it has a schedule too.
      else if (store.info.role === 'owner') await write();
    } catch (error) {
      if (ended.signal.aborted || codeOf(error) === 'STORE_CLOSED') return;
      tell({ type: 'backupFailed', message: `no backup was written to ${folder}: ${String(error)}` });
    }
    if (!ended.signal.aborted) plan(nextMs);
  };
  // What is wrong with the place is told at once.
  plan(dueInMs());
  return () => {
    clearTimeout(timer);
    ended.abort();
  };
}

function realFolderOf(directory: string | URL): string {
  const wanted = pathOf(directory);
  try {
    mkdirSync(wanted, { recursive: true });
  } catch (error) {
    throw ioError(`the directory ${wanted} cannot be made`, error);
  }
  return realPathOf(wanted);
}

function readList(list: string, store: string): Written {
  if (!existsSync(list)) return { store, files: [] };
  let found: Written;
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- looked at below
    found = JSON.parse(readFileSync(list, 'utf8')) as Written;
    if (!Array.isArray(found.files)) throw new TypeError('it lists no files');
  } catch (error) {
    throw new ChatStoreError('IO_ERROR', `${list} is no list of backups: ${String(error)}`, { cause: error });
  }
  if (found.store === store) return found;
  const wording = `directory: expected one without backups of another store of that name, received that of ${found.store}`;
  throw new ChatStoreError('INVALID_ARGUMENT', wording, { details: { argument: 'directory' } });
}

/** At once, so that a list is never half written. */
function writeList(list: string, written: Written): void {
  writeFileSync(`${list}.new`, JSON.stringify(written));
  renameSync(`${list}.new`, list);
}
