/**
 * Browsers and drivers as processes: started in a group of their own, so that all of a browser can be
 * killed at once, and none outlives the tests.
 *
 * Holds: starting, waiting for the line that says where to reach it, killing. Must not know: which
 * program it is.
 */
import { spawn, spawnSync } from 'node:child_process';

const groups = new Set();
const killGroup = (pid) => {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it is gone already.
  }
};
process.once('exit', () => {
  for (const pid of groups) killGroup(pid);
});

/** Where a program is, or undefined. */
export function which(name) {
  const { status, stdout } = spawnSync('sh', ['-c', 'command -v "$1"', 'sh', name], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * Starts a program and waits until its output matches; gives the match and ways to end it.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {RegExp | undefined} ready undefined: do not wait
 * @param {{ env?: Record<string, string>, deadline_ms?: number }} [options]
 */
export async function startProcess(command, args, ready, { env = {}, deadline_ms = 30_000 } = {}) {
  const child = spawn(command, args, {
    detached: true,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid !== undefined) groups.add(pid);
  /** @type {Promise<{ code: number | null, signal: string | null }>} */
  const ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: 127, signal: null }));
  });
  let output = '';
  const hear = (chunk) => (output += chunk);
  child.stdout.setEncoding('utf8').on('data', hear);
  child.stderr.setEncoding('utf8').on('data', hear);
  /** @returns {Promise<string[]>} */
  const isReady = () =>
    new Promise((resolve, reject) => {
      const fail = (why) => {
        clearTimeout(timer);
        if (pid !== undefined) killGroup(pid);
        reject(new Error(`${command} ${why}:\n${output}`));
      };
      const timer = setTimeout(() => fail('was not ready in time'), deadline_ms);
      const look = () => {
        const found = ready?.exec(output);
        if (!found) return;
        clearTimeout(timer);
        resolve(found);
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.once('exit', (code, signal) => fail(`ended with ${signal ?? code}`));
      child.once('error', (error) => fail(error.message));
    });
  const match = ready === undefined ? [] : await isReady();
  return {
    pid,
    match,
    ended,
    output: () => output,
    /** Kills all of its group at once, as a crash or a loss of power does. */
    async kill() {
      killGroup(pid);
      await ended;
      groups.delete(pid);
    },
  };
}
