/**
 * Programs that open a store's file without this package, such as the plain `sqlite3` shell.
 *
 * They know nothing of the store's owner, whose locks are not in the file: the last of them to close
 * moves the log into the file and deletes it, with all that the owner has written to it since. So an
 * owner looks for them before it acknowledges anything, and ends when it has seen one. Holds: what
 * gives them away. Must not know: what becomes of the store.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, fstatSync, readFileSync, rmSync, statSync } from 'node:fs';
import { ChatStoreError } from '../client/errors.js';

const shmOf = (path: string): string => `${path}-shm`;

/** How often it is looked whether the files are still those of their names; whether the log has one, every time. */
const IDENTITY_CHECK_MS = 1_000;

/**
 * Looks for a stranger before a store is opened. The index of a shared log (`-shm`) that no living
 * program has locked was left behind by one that crashed: it is removed, since it holds nothing that
 * is not in the log.
 */
export function checkNoStranger(path: string): void {
  const shm = shmOf(path);
  if (!existsSync(shm)) return;
  if (isInUse(shm)) {
    throw foreign(path, `${shm} is in use`, 'close it, then open the store again');
  }
  rmSync(shm, { force: true });
}

/** Watches an open store. `descriptors` are the files that its core has open, with their names. */
export class StrangerWatch {
  readonly #path: string;
  readonly #descriptors: ReadonlyMap<number, string>;
  #checkedMs = performance.now();

  constructor(path: string, descriptors: ReadonlyMap<number, string>) {
    this.#path = path;
    this.#descriptors = descriptors;
  }

  /** What a stranger has done to the file; undefined where none was seen. */
  seen(): ChatStoreError | undefined {
    const path = this.#path;
    if (existsSync(shmOf(path))) {
      return foreign(path, `${shmOf(path)} has appeared`, 'close that program, then open the store again');
    }
    const nowMs = performance.now();
    const checkAll = nowMs - this.#checkedMs >= IDENTITY_CHECK_MS;
    if (checkAll) this.#checkedMs = nowMs;
    for (const [descriptor, name] of this.#descriptors) {
      const what = checkAll ? changeOf(descriptor, name) : goneOf(name);
      if (what !== undefined) return foreign(path, `${name} ${what}`, 'open the store again');
    }
    return undefined;
  }
}

/** A log without its name is written to in vain. To look for a name costs a third of asking for the file's state. */
function goneOf(name: string): string | undefined {
  return name.endsWith('-wal') && !existsSync(name) ? 'was deleted' : undefined;
}

function changeOf(descriptor: number, name: string): string | undefined {
  const opened = fstatSync(descriptor);
  const named = statSync(name, { throwIfNoEntry: false });
  if (named === undefined) return 'was deleted or renamed';
  return named.ino === opened.ino && named.dev === opened.dev ? undefined : 'was replaced';
}

/** Whether a living program has a file locked; where the system cannot be asked, whether it may. */
function isInUse(file: string): boolean {
  if (process.platform === 'win32') {
    try {
      // Windows removes no file that is open.
      rmSync(file);
      return false;
    } catch {
      return true;
    }
  }
  try {
    const inode = `:${String(statSync(file).ino)} `;
    return readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .some((line) => line.includes(inode));
  } catch {
    // No Linux, or no /proc: the tool that lists who has a file open.
    return spawnSync('lsof', ['-t', file], { stdio: 'ignore' }).status !== 1;
  }
}

function foreign(path: string, seen: string, advice: string): ChatStoreError {
  return new ChatStoreError(
    'FOREIGN_ACCESS',
    `another program has opened ${path} (${seen}); the store has stopped, and has written nothing since: ${advice}. To look into a store while it is open, use store.query`,
    { details: { path, seen } },
  );
}
