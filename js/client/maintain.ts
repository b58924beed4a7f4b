/**
 * Keeping a store small and quick: each task in steps, so that other calls run in between.
 *
 * Holds: the order of the tasks, how much one step does, and what is told of each. Must not know: files.
 */

import { ChatStoreError } from './errors.js';
import { JobTime } from './job.js';
import type { Link } from './link.js';
import { readCount, readQueryRows, type ReadText } from './rows.js';
import type { JobOptions, MaintainReport, MaintainTaskReport, MaintainTasks, StoreSize } from './types.js';
import { turn } from './upkeep.js';

/** What is done where nothing is named: cheap, and never wrong. */
const USUAL: MaintainTasks = { optimize: true, vacuum: true, checkpoint: true };
/** How old trash has to be, unless it is said. */
const TRASH_KEPT_MS = 30 * 24 * 3_600_000;
/** How long a step should take: whoever comes meanwhile waits for it. */
const STEP_MS = { least: 8, most: 25 };
/** How long a full vacuum waits for snapshots to end, and how often it looks. */
const SNAPSHOTS_END_WITHIN_MS = 30_000;
const SNAPSHOTS_LOOK_MS = 50;
/** To take one message out of the search index costs as much as to put so many in. */
const INDEXED_A_REMOVAL = 4;
/** Fewer than so many are taken out one by one. */
const REMOVALS_MIN = 2_000;
/** What a full vacuum copies in memory at most: half of what SQLite may take. */
const COPY_BYTES_MAX = 512 * 1024 * 1024;

type Task = keyof MaintainTasks;
type Step =
  | 'measure'
  | 'index'
  | 'vacuum'
  | 'vacuumFull'
  | 'analyze'
  | 'optimize'
  | 'mergeSearch'
  | 'resetSearch'
  | 'checkpoint';

/** What a step tells: how large the store is now, and how many rows were changed. */
interface StepReply extends Omit<StoreSize, 'sizeBytes'> {
  changed: number;
  /** What the search index lacks, at least. */
  left: number;
}

/** Does what is asked for, in order; see `ChatStore.maintain`. */
export async function maintain(
  link: Link,
  readText: ReadText,
  pageSizeBytes: number,
  tasks: MaintainTasks,
  options: JobOptions,
): Promise<MaintainReport> {
  const work = new Maintenance(link, readText, pageSizeBytes, options);
  const wanted = Object.keys(tasks).length === 0 ? USUAL : tasks;
  const { purge = false, rebuildSearch = false, vacuum = false } = wanted;
  const beganMs = performance.now();
  const before = await work.size();
  if (purge !== false) {
    const deletedBefore = purge === true ? Date.now() - TRASH_KEPT_MS : purge.deletedBefore;
    await work.run('purge', () => work.purge(deletedBefore));
  }
  if (rebuildSearch) await work.run('rebuildSearch', () => work.rebuildSearch());
  if (wanted.analyze === true) await work.run('analyze', () => work.analyze());
  if (wanted.optimize === true) await work.run('optimize', () => work.optimize());
  // What was freed by all of those can be given back now.
  if (vacuum !== false) {
    await work.run('vacuum', () => (vacuum === 'full' ? work.vacuumFully() : work.vacuum()));
  }
  if (wanted.checkpoint === true) await work.run('checkpoint', () => work.checkpoint());
  return { ms: performance.now() - beganMs, tasks: work.reports, before, after: await work.size() };
}

/** The tasks, and what is told of them. */
class Maintenance {
  readonly reports: MaintainTaskReport[] = [];
  readonly #link: Link;
  readonly #readText: ReadText;
  readonly #options: JobOptions;
  readonly #time: JobTime;
  readonly #pageSizeBytes: number;
  /** Of the part of the work that is under way. */
  #part = '';
  #done = 0;
  #steps = 0;

  constructor(link: Link, readText: ReadText, pageSizeBytes: number, options: JobOptions) {
    this.#link = link;
    this.#readText = readText;
    this.#pageSizeBytes = pageSizeBytes;
    this.#options = options;
    this.#time = new JobTime(options);
  }

  async size(): Promise<StoreSize> {
    const { pages, freePages, logPages } = await this.#step('measure');
    return { pages, freePages, logPages, sizeBytes: (pages + logPages) * this.#pageSizeBytes };
  }

  /** Runs one task, which gives what it has done, and keeps what is to be told of it. */
  async run(task: Task, work: () => Promise<number>): Promise<void> {
    const before = await this.size();
    this.#steps = 0;
    const beganMs = performance.now();
    const done = await work().catch((error: unknown) => {
      throw endedEarly(task, error);
    });
    const ms = performance.now() - beganMs;
    const steps = this.#steps;
    this.#tell(task, done, done);
    this.reports.push({ task, ms, steps, done, before, after: await this.size() });
  }

  /** Removes the trash, a session at least in each step: half of one could be restored meanwhile. */
  async purge(deletedBefore: number): Promise<number> {
    let done = 0;
    await this.#inSlices(500, 20_000, async (limit) => {
      const args = { deletedBefore, limit };
      const reply = await this.#call({ verb: 'sessions.purge', write: true, args });
      const { bots, sessions, messages } = readCount(reply, this.#readText);
      const removed = bots + sessions + messages;
      done += removed;
      this.#tell('purge', done, 0);
      return removed >= limit;
    });
    return done;
  }

  async rebuildSearch(): Promise<number> {
    await this.#step('resetSearch');
    return this.#index('rebuildSearch');
  }

  /** Gives free pages back, from the end of the file. */
  async vacuum(): Promise<number> {
    await this.#clearIndex('vacuum');
    const { freePages: expected, pages } = await this.#step('measure');
    let last = pages;
    if (expected > 0) {
      await this.#inSlices(64, 16_384, async (limit) => {
        const now = await this.#step('vacuum', { limit });
        const shrinks = now.pages < last;
        last = now.pages;
        this.#tell('vacuum', expected - now.freePages, expected);
        return shrinks && now.freePages > 0;
      });
    }
    return pages - last;
  }

  /** Copies the store in order, in one step that nothing goes on beside. */
  async vacuumFully(): Promise<number> {
    await this.#clearIndex('vacuum');
    const { pages, freePages } = await this.#step('measure');
    const copyBytes = (pages - freePages) * this.#pageSizeBytes;
    if (copyBytes > COPY_BYTES_MAX) {
      throw new ChatStoreError(
        'TOO_LARGE',
        `a full vacuum would copy ${String(copyBytes)} bytes in memory, and may copy ${String(COPY_BYTES_MAX)}; use vacuum: 'incremental'`,
        { details: { sizeBytes: copyBytes } },
      );
    }
    const endMs = performance.now() + SNAPSHOTS_END_WITHIN_MS;
    for (;;) {
      const isLast = performance.now() > endMs;
      try {
        this.#tell('vacuum', 0, pages);
        // oxlint-disable-next-line no-await-in-loop -- once more only where it could not begin
        const now = await this.#step('vacuumFull', { triedAgain: !isLast });
        this.#tell('vacuum', pages, pages);
        return pages - now.pages;
      } catch (error) {
        if (!(error instanceof ChatStoreError) || error.code !== 'BUSY' || isLast) throw error;
        // oxlint-disable-next-line no-await-in-loop -- as above
        await this.#time.wait(new Promise((resolve) => setTimeout(resolve, SNAPSHOTS_LOOK_MS)));
      }
    }
  }

  async optimize(): Promise<number> {
    await this.#clearIndex('optimize');
    let { changed: done } = await this.#step('optimize');
    let sign = -1;
    await this.#inSlices(64, 4_096, async (limit) => {
      // SQLite's way of asking for all of it to be merged first, and then for more of the same.
      const { changed } = await this.#step('mergeSearch', { limit: sign * limit });
      sign = 1;
      done += changed;
      this.#tell('optimize', done, 0);
      return changed >= 2;
    });
    return done;
  }

  async checkpoint(): Promise<number> {
    const before = await this.size();
    const after = await this.#step('checkpoint');
    return Math.max(before.logPages - after.logPages, 0);
  }

  async analyze(): Promise<number> {
    await this.#step('analyze');
    return 1;
  }

  /** Takes what was deleted out of the search index, or makes it anew where that is less work. */
  async #clearIndex(task: Task): Promise<void> {
    const { left } = await this.#step('index', { limit: 1 });
    if (left >= REMOVALS_MIN) {
      const args = { sql: 'SELECT count(*) AS messages FROM messages' };
      const reply = await this.#call({ verb: 'query', write: false, args });
      const messages = Number(readQueryRows(reply, this.#readText)[0]?.['messages']);
      if (left * INDEXED_A_REMOVAL > messages) await this.#step('resetSearch');
    }
    await this.#index(`${task}.index`);
  }

  /** Brings the search index in step; gives for how many sessions and messages, at least. */
  async #index(part: string): Promise<number> {
    let expected = 0;
    await this.#inSlices(500, 8_000, async (limit) => {
      const { left } = await this.#step('index', { limit });
      expected = Math.max(expected, left);
      this.#tell(part, expected - left, expected);
      return left > 0;
    });
    return expected;
  }

  /** Repeats a step that says whether there is more to do, and finds out how much of it is right at a time. */
  async #inSlices(first: number, most: number, step: (limit: number) => Promise<boolean>): Promise<void> {
    let limit = first;
    for (;;) {
      const beganMs = performance.now();
      // oxlint-disable-next-line no-await-in-loop -- one step after the other
      if (!(await step(limit))) return;
      // With the wait for others: the more there is to do beside, the less is done here.
      const ms = performance.now() - beganMs;
      if (ms < STEP_MS.least) limit = Math.min(limit * 2, most);
      else if (ms > STEP_MS.most) limit = Math.max(limit >> 1, 16);
      // oxlint-disable-next-line no-await-in-loop -- as above
      await turn();
    }
  }

  async #step(task: Step, args = {}): Promise<StepReply> {
    const reply = await this.#call({ verb: `maintain.${task}`, write: task !== 'measure', args });
    const row = readQueryRows(reply, this.#readText)[0];
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the core writes it so
    return row as unknown as StepReply;
  }

  #call(request: { verb: string; write: boolean; args: object }): Promise<Uint8Array> {
    this.#steps++;
    return this.#link.call(request, this.#time.left());
  }

  /** Within a part nothing goes back, whatever others do meanwhile. */
  #tell(part: string, done: number, expected: number): void {
    this.#done = Math.max(done, part === this.#part ? this.#done : 0);
    this.#part = part;
    const isEnd = done === expected;
    const all = isEnd ? this.#done : expected === 0 ? 0 : Math.max(expected, this.#done);
    this.#options.onProgress?.({ task: part, done: this.#done, expected: all });
  }
}

/** What its options have ended says of its last step only that nothing was applied. */
function endedEarly(task: Task, error: unknown): unknown {
  if (!(error instanceof ChatStoreError) || (error.code !== 'ABORTED' && error.code !== 'TIMEOUT')) return error;
  return new ChatStoreError(
    error.code,
    `maintain was ended in ${task} by its ${error.code === 'ABORTED' ? 'signal' : 'timeoutMs'}; what was done before stays done`,
    { cause: error, details: error.details },
  );
}
