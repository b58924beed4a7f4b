/**
 * The program `chatstore` in a process of its own, for the tests of it. Holds no test.
 */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './support.mjs';

/** No run takes so long, but one that cannot be ended. */
const patience_ms = 60_000;

export const program = join(root, 'dist/cli.js');

/**
 * Runs the program, and gives what it wrote and ended with.
 *
 * @param {string[]} args
 * @param {{ cwd?: string, input?: string | Uint8Array }} [given]
 */
export function run(args, { cwd = root, input } = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd,
    input,
    maxBuffer: 1 << 28,
  });
  return { code: status, out: stdout.toString('utf8'), bytes: stdout, errors: stderr.toString('utf8') };
}

/**
 * The same without holding up this process, which may have the store open.
 *
 * @param {string[]} args
 * @param {{
 *   on_start?: (child: import('node:child_process').ChildProcess) => void,
 *   on_out?: (child: import('node:child_process').ChildProcess) => void,
 *   stdio?: import('node:child_process').StdioOptions,
 *   env?: Record<string, string>,
 *   reads?: boolean,
 * }} [watch] `on_out` is called with each piece that it writes; with `reads: false` nobody reads what it writes
 * @returns {Promise<{ code: number | null, signal: string | null, out: string, errors: string }>}
 */
export function runBeside(args, { on_start, on_out, stdio = 'pipe', env = {}, reads = true } = {}) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: root,
      stdio,
      env: { ...process.env, ...env },
      timeout: patience_ms,
      killSignal: 'SIGKILL',
    });
    let out = '';
    let errors = '';
    if (reads) {
      child.stdout?.on('data', (text) => {
        out += text;
        on_out?.(child);
      });
    }
    child.stderr?.on('data', (text) => (errors += text));
    on_start?.(child);
    child.once('exit', (code, signal) => {
      // What nobody reads keeps no process waiting that has ended.
      if (!reads) child.stdout?.destroy();
      child.once('close', () => resolve({ code, signal, out, errors }));
    });
  });
}
