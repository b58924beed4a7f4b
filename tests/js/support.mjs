/**
 * What the tests of the package share: folders that clean up, child processes, chance with a seed.
 *
 * Holds: no test and no rule of the store.
 */
import { fork, spawn } from 'node:child_process';
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

const peers = new Set();
process.once('exit', () => {
  for (const child of peers) child.kill('SIGKILL');
});

/**
 * Another process (peer.mjs), which runs pieces of JavaScript for a test.
 *
 * @param {{ on_told?: (told: any) => void, wrapper?: string[], entry?: string }} [options] `wrapper`: a command that
 *   starts the process, such as one that puts it into namespaces of its own
 */
export async function startPeer({ on_told = () => undefined, wrapper = [], entry = 'tests/js/peer.mjs' } = {}) {
  const program = join(root, entry);
  const child =
    wrapper.length === 0
      ? fork(program, { cwd: root, stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' })
      : spawn(wrapper[0], [...wrapper.slice(1), process.execPath, program], {
          cwd: root,
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
          serialization: 'advanced',
        });
  peers.add(child);
  const waiting = new Map();
  let last = 0;
  let ready;
  const is_ready = new Promise((resolve) => (ready = resolve));
  const ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      peers.delete(child);
      ready(false);
      for (const { reject } of waiting.values())
        reject(Object.assign(new Error('the peer has ended'), { code: 'ENDED' }));
      waiting.clear();
      resolve({ code, signal });
    });
  });
  child.on('message', (/** @type {any} */ { id, value, error, told }) => {
    if (told === 'ready') ready(true);
    if (id === undefined) {
      on_told(told);
      return;
    }
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call.resolve(value);
    else call.reject(Object.assign(new Error(error.message), error));
  });
  await is_ready;
  return {
    child,
    pid: child.pid,
    ended,
    /** Runs a piece in the process; rejects with what it threw. */
    run(code, args = {}) {
      return new Promise((resolve, reject) => {
        const id = ++last;
        waiting.set(id, { resolve, reject });
        child.send({ id, code, args }, (error) => {
          if (error !== null && waiting.delete(id)) reject(Object.assign(error, { code: 'ENDED' }));
        });
      });
    },
    signal: (signal) => process.kill(child.pid, signal),
    kill() {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

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
