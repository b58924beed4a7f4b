/**
 * Node as the place where contestants run: each job in a fresh process.
 *
 * Holds: how a process is started, traced where the group counts system calls, and what came of it. Must not know:
 * how a row is measured, or in which order jobs run.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../scripts/process.mjs';
import { readTrace, tracing } from './trace.mjs';

const worker = join(root, 'benches/worker.mjs');
export const job_limit_ms = 10 * 60_000;

export class ProcessHost {
  #folder;

  /** `folder` is for the results and traces of the processes. */
  constructor(folder) {
    this.#folder = folder;
  }

  /** Whether a file in a store's folder belongs to the store. */
  isStore() {
    return true;
  }

  async run(contestant, job) {
    if (job.group !== 'traced') return this.#start(contestant, job, []);
    const trace = join(this.#folder, 'trace');
    const before = tracing(trace);
    if (before === undefined) return { error: 'strace is not installed' };
    const result = await this.#start(contestant, job, before);
    if (result.error === undefined) result.rows = readTrace(trace, (path) => path.startsWith(job.folder));
    return result;
  }

  #start(contestant, job, before) {
    const out = join(this.#folder, 'out.json');
    rmSync(out, { force: true });
    const { module, options, node } = contestant;
    const full = JSON.stringify({
      ...job,
      out,
      module,
      options,
      started_ms: performance.timeOrigin + performance.now(),
    });
    const [command, ...args] = [...before, node, '--no-warnings', worker, full];
    return new Promise((resolve) => {
      const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'], timeout: job_limit_ms });
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
      child.on('error', (error) => resolve({ error: error.message }));
      child.on('close', (code, signal) => {
        if (code === 0 && existsSync(out)) resolve(JSON.parse(readFileSync(out, 'utf8')));
        else {
          const why = /^(?:\w*Error.*)$/m.exec(said)?.[0] ?? said.trim().split('\n').at(-1);
          resolve({ error: `${signal ?? `exit code ${code}`}: ${why}`, said });
        }
      });
    });
  }

  async close() {}
}
