/**
 * Runs the jobs: prepares one store a file format, then every (contestant, group, round) by itself, in an order that
 * a seed shuffles.
 *
 * Holds: the folders and the order. Must not know: how a row is measured or shown, or where a job runs: that is the
 * host's part, `{ run(contestant, job) -> result, isStore(file) }`.
 */
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
import { step } from '../scripts/process.mjs';
import { makeChats, randomFrom } from './data.mjs';
import { groups } from './groups.mjs';

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
  #host;
  #count = 0;

  /** `folder` is made and removed here; it should lie on the disk that is to be measured. */
  constructor(folder, options, host) {
    this.#folder = folder;
    this.#options = options;
    this.#host = host;
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
    return (
      filesIn(this.#base(contestant, size))
        .filter((file) => this.#host.isStore(file))
        .reduce((sum, file) => sum + statSync(file).size, 0) /
      1024 /
      1024
    );
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
    const result = await this.#run(contestant, { group, size, folder });
    rmSync(scratch, { recursive: true, force: true });
    return result;
  }

  #run(contestant, { group, size, folder }) {
    const facts = this.#facts(size);
    const { seed, samples } = this.#options;
    const job = { group, size, folder, seed, samples, facts };
    if (group === 'cold') job.session = JSON.parse(readFileSync(facts, 'utf8')).sessions[0];
    return this.#host.run(contestant, job);
  }
}
