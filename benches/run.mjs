/**
 * Runs the processes: prepares one store a file format, then every (contestant, group, round) in a fresh
 * process, in an order that a seed shuffles.
 *
 * Holds: the folders, the order, and what came of each process. Must not know: how a row is measured, or
 * how it is shown.
 */
import { spawn } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { root, step } from '../scripts/process.mjs';
import { makeChats, randomFrom } from './data.mjs';
import { groups } from './groups.mjs';
import { readTrace, tracing } from './trace.mjs';

const worker = join(root, 'benches/worker.mjs');
const process_limit_ms = 10 * 60_000;

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What the groups need to know of a prepared store without making its messages again. */
function factsOf({ bots, sessions, messages }) {
  const counts = new Map();
  const ofBot = new Map();
  for (const { sessionId, botId } of messages) {
    counts.set(sessionId, (counts.get(sessionId) ?? 0) + 1);
    ofBot.set(botId, (ofBot.get(botId) ?? 0) + 1);
  }
  const long_enough = sessions.filter(({ id }) => counts.get(id) >= 50).map(({ id }) => id);
  const stride = Math.max(1, Math.floor(messages.length / 2 / 500));
  return {
    bots: bots.map(({ id }) => id).filter((id) => ofBot.get(id) >= 100),
    sessions: long_enough.filter((_, i) => i % Math.max(1, Math.floor(long_enough.length / 100)) === 0),
    latest: sessions.slice(-8).map(({ id, botId }) => ({ id, botId })),
    last_ms: messages.at(-1).createdAt,
    before_ms: messages[Math.floor(messages.length / 100)].createdAt,
    updates: messages.filter((_, i) => i % stride === stride - 1).map(({ sessionId, id }) => ({ sessionId, id })),
  };
}

export class Runner {
  #folder;
  #options;
  #count = 0;

  /** `folder` is made and removed here; it should lie on the disk that is to be measured. */
  constructor(folder, options) {
    this.#folder = folder;
    this.#options = options;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }

  remove() {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #base(contestant, size) {
    return join(this.#folder, `base-${contestant.base}-${size}`);
  }

  #facts(size) {
    return join(this.#folder, `facts-${size}.json`);
  }

  /** Makes the stores of these contestants with this many messages. Gives the errors of those that failed, by name. */
  async prepare(contestants, size) {
    const errors = new Map();
    const chats = makeChats(this.#options.seed, size);
    writeFileSync(this.#facts(size), JSON.stringify(factsOf(chats)));
    for (const contestant of contestants) {
      if (contestant.error !== undefined || contestant.base === undefined) continue;
      const base = this.#base(contestant, size);
      if (existsSync(base)) continue;
      mkdirSync(base, { recursive: true });
      await step(`store of ${size.toLocaleString('en')} messages: ${contestant.base}`, async () => {
        const result = await this.#run(contestant, { group: 'prepare', size, folder: base });
        if (result.error === undefined) return;
        for (const each of contestants) if (each.base === contestant.base) errors.set(each.name, result.error);
        console.log(`- ${contestant.base}: ${result.error}`);
      });
    }
    return errors;
  }

  /** The size of a prepared store's files, in MiB. */
  sizeOf(contestant, size) {
    if (contestant.error !== undefined || contestant.base === undefined) return undefined;
    return filesIn(this.#base(contestant, size)).reduce((sum, file) => sum + statSync(file).size, 0) / 1024 / 1024;
  }

  /** Runs these jobs, in an order of the seed; `report(job, result)` hears of each. */
  async round(jobs, report) {
    const random = randomFrom(this.#options.seed + jobs.length + this.#count);
    const order = jobs.map((job) => ({ job, at: random() })).toSorted((one, other) => one.at - other.at);
    for (const { job } of order) report(job, await this.#one(job));
  }

  async #one({ contestant, group, size }) {
    const { copy, own } = groups[group] ?? {};
    const scratch = join(this.#folder, `run-${this.#count++}`);
    const folder = copy || own ? scratch : this.#base(contestant, size);
    if (own) mkdirSync(scratch);
    if (copy) {
      cpSync(this.#base(contestant, size), scratch, { recursive: true, preserveTimestamps: true });
      // What the copy left to be written must not be paid for by the first flush that is measured.
      for (const file of filesIn(scratch)) {
        const descriptor = openSync(file, 'r+');
        fsyncSync(descriptor);
        closeSync(descriptor);
      }
    }
    const trace = group === 'traced' ? join(this.#folder, 'trace') : undefined;
    const before = trace === undefined ? [] : tracing(trace);
    if (before === undefined) return { error: 'strace is not installed' };
    const result = await this.#run(contestant, { group, size, folder }, before);
    if (trace !== undefined && result.error === undefined) result.rows = readTrace(trace, folder);
    rmSync(scratch, { recursive: true, force: true });
    return result;
  }

  #run(contestant, { group, size, folder }, before = []) {
    const out = join(this.#folder, 'out.json');
    rmSync(out, { force: true });
    const facts = this.#facts(size);
    const { seed, samples } = this.#options;
    const job = {
      group,
      size,
      folder,
      out,
      seed,
      samples,
      facts,
      module: contestant.module,
      options: contestant.options,
    };
    if (group === 'cold') job.session = JSON.parse(readFileSync(facts, 'utf8')).sessions[0];
    job.started_ms = performance.timeOrigin + performance.now();
    const [command, ...args] = [...before, contestant.node, '--no-warnings', worker, JSON.stringify(job)];
    return new Promise((resolve) => {
      const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'], timeout: process_limit_ms });
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
}
