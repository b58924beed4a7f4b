/**
 * What is up to date and what is not.
 *
 * Holds: a stamp is a file that keeps the hash of everything a step was made from; the step is done
 * again when that hash differs or one of its outputs is gone. Contents are hashed, not times, so
 * that a fresh checkout or a moved target folder costs nothing. Must not know: what the steps do.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './process.mjs';

/** Every file under a folder (or the file itself), sorted, as paths from the root. */
export function filesUnder(path) {
  const full = join(root, path);
  if (!existsSync(full)) return [];
  if (!statSync(full).isDirectory()) return [path];
  return readdirSync(full)
    .toSorted()
    .flatMap((name) => filesUnder(join(path, name)));
}

/** The hash of the named files and folders, and of the settings that are not in a file. */
export function hashOf(paths, settings = '') {
  const hash = createHash('sha256').update(settings);
  for (const file of paths.flatMap(filesUnder)) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** Does `work` unless `stamp` says that it was done with this very hash and its outputs are there. */
export async function unlessDone({ stamp, hash, outputs, work }) {
  const path = join(root, stamp);
  const done =
    existsSync(path) && readFileSync(path, 'utf8') === hash && outputs.every((file) => existsSync(join(root, file)));
  if (done) return false;
  // Away before the work starts: a step that is cut short leaves no stamp that vouches for it.
  rmSync(path, { force: true });
  await work();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, hash);
  return true;
}
