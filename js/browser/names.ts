/**
 * What stores, locks and channels are called in a browser.
 *
 * Holds: the way from the name of a store to its folder and back, and the names that tabs meet under.
 * Must not know: what any of them is used for.
 */

import { Fault, checked, describe } from '../client/arguments.js';

/** The name of a store that is nobody's but its handle's. */
export const MEMORY = ':memory:';
/** The folder of all stores, in the origin's own file system. */
export const ROOT_FOLDER = 'chatstore';
/** The database in a store's folder; SQLite's own suffixes make the names of its logs. */
export const DATABASE = 'store.sqlite';
/** Longest name of a folder, as file systems have it. */
const MAX_FOLDER = 240;

/** The folder of a store: its name, with all but plain letters, digits and a few marks as percent signs. */
export function folderOf(name: unknown): string {
  return checked('name', () => {
    const expected = `the name of a store: text, at most ${String(MAX_FOLDER)} bytes once encoded for a folder`;
    if (typeof name !== 'string' || name === '') throw new Fault(expected, describe(name));
    let folder: string;
    try {
      folder = encodeURIComponent(name).replace(/^\./, '%2E').replaceAll('*', '%2A');
    } catch {
      throw new Fault(expected, 'text with half a surrogate pair');
    }
    if (folder.length > MAX_FOLDER) throw new Fault(expected, `one of ${String(folder.length)} bytes`);
    return folder;
  });
}

/** The name of the store in a folder; undefined for a folder that is none of ours. */
export function nameOf(folder: string): string | undefined {
  try {
    const name = decodeURIComponent(folder);
    return folderOf(name) === folder ? name : undefined;
  } catch {
    return undefined;
  }
}

/** The path of a store's database, as the core and its messages have it. */
export const pathOf = (folder: string): string => `/${ROOT_FOLDER}/${folder}/${DATABASE}`;

/** The folder of such a path; undefined for any other. */
export const folderOfPath = (path: string): string | undefined =>
  path.split('/').length === 4 && path === pathOf(path.split('/')[2] ?? '') ? path.split('/')[2] : undefined;

/** Held by the worker that has the store's files. */
export const leaderLock = (folder: string): string => `chatstore:${folder}`;
/** Held by a page for as long as it lives. */
export const pageLock = (folder: string, page: string): string => `chatstore:${folder}:page:${page}`;
/** Held by a worker for as long as it lives. */
export const workerLock = (folder: string, worker: string): string => `chatstore:${folder}:worker:${worker}`;
/** Where pages ask for the leader, and it says that it is there. */
export const meetingChannel = (folder: string): string => `chatstore:${folder}`;
/** Between the leader and one client. */
export const clientChannel = (folder: string, channel: string): string => `chatstore:${folder}:${channel}`;
