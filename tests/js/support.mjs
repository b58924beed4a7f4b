/**
 * What the tests of the package share: folders that clean up, child processes, chance with a seed.
 *
 * Holds: no test and no rule of the store.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

export const root = fileURLToPath(new URL('../..', import.meta.url));

const folders = new Set();
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder of the test's own, gone when the process is: a store in it may be closed late. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'chatstore-test-'));
  folders.add(folder);
  return folder;
}

/** A module of the package's inside, for what cannot be seen from outside. */
export async function importSource(path) {
  const outfile = join(temporaryFolder(), `${path.replaceAll('/', '-')}.mjs`);
  await build({
    entryPoints: [join(root, path)],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'silent',
  });
  return import(pathToFileURL(outfile).href);
}

/**
 * Runs a script in a process of its own; resolves with what it wrote and how it ended.
 *
 * @param {string[]} args
 * @param {{
 *   on_start?: (child: import('node:child_process').ChildProcess) => void,
 *   on_line?: (line: string, child: import('node:child_process').ChildProcess) => void,
 * }} [watch]
 * @returns {Promise<{ lines: string[], errors: string, code: number | null, signal: string | null }>}
 */
export function runNode(args, { on_start = () => undefined, on_line = () => undefined } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    on_start(child);
    const lines = [];
    let rest = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      const pieces = (rest + chunk).split('\n');
      rest = pieces.pop() ?? '';
      for (const line of pieces) {
        lines.push(line);
        on_line(line, child);
      }
    });
    child.stderr.setEncoding('utf8').on('data', (chunk) => (errors += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ lines, errors, code, signal }));
  });
}

/** Runs a module's text in a process of its own, from the folder of the package. */
export const runModule = (source, ...args) => runNode(['--input-type=module', '--eval', source, ...args]);

/** Numbers from 0 to 1 that are the same for the same seed. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The error that a promise rejects with; fails where it resolves.
 *
 * @returns {Promise<any>}
 */
export async function rejection(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
}
