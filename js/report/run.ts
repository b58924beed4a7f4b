/**
 * Running a report: every check in turn, each with an end, and what it found as plain data.
 *
 * Holds: the order, the time-out of a check, and the sums. Must not know: any check or environment.
 */

import { categories as all } from './categories.js';
import { ItemContext } from './context.js';
import { failureFrom } from './findings.js';
import type {
  Category,
  CategoryReport,
  Environment,
  Finding,
  Item,
  ItemReport,
  Report,
  ReportProgress,
  Status,
  Store,
} from './types.js';

/** A check that has not ended by then has failed: nothing here may wait for ever. */
const ITEM_TIMEOUT_MS = 120_000;
const DEFAULT_FAULTS = 200;
const DEFAULT_IDLE_MS = 2_000;

/** Options of `runReport`. */
export interface ReportOptions {
  environment: Environment;
  /**
   * Checks this store instead of scratch stores: those checks only that read. It is not closed. With `path`, what
   * the report calls it.
   */
  store?: Store | undefined;
  /** Only checks whose id begins with one of these: `pool`, `queries.select`. Default: all. */
  only?: readonly string[] | undefined;
  /** What the randomness is drawn from, a whole number. Default: the time of now. */
  seed?: number | undefined;
  /** Faults to inject, 1 or more: default 200. */
  faults?: number | undefined;
  /** How long an idle store is watched, in milliseconds: default 2,000. */
  idleMs?: number | undefined;
  /** Ends the report when it aborts: it rejects with the signal's reason, and its stores are removed. */
  signal?: AbortSignal | undefined;
  /** Called before each check, and at the end. */
  onProgress?: ((progress: ReportProgress) => void) | undefined;
}

/**
 * Runs the checks and gives what they found. A check that fails, or throws, fails by itself; the others run.
 * Closes the environment.
 *
 * @example
 * ```js
 * import { ChatStore } from 'chatstore'
 * import { environmentOf, runReport, toMarkdown } from 'chatstore/report'
 *
 * const report = await runReport({ environment: environmentOf(ChatStore) })
 * console.log(toMarkdown(report))
 * ```
 */
export async function runReport(options: ReportOptions): Promise<Report> {
  const { environment, store: subject, only, signal, onProgress } = options;
  const { seed = Date.now() % 1_000_000, faults = DEFAULT_FAULTS, idleMs = DEFAULT_IDLE_MS } = options;
  const startedAt = Date.now();
  const began = environment.now();
  const context = new ItemContext({ environment, seed, faults, idleMs, signal, subject });
  const reports: CategoryReport[] = [];
  let done = 0;
  try {
    if (!(Number.isSafeInteger(faults) && faults > 0))
      throw new RangeError(`faults: expected a whole number from 1 on, received ${String(faults)}`);
    const chosen = chooseFrom(all, only, subject !== undefined);
    const expected = chosen.reduce((sum, { items }) => sum + items.length, 0);
    const store = subject === undefined ? await factsOfScratch(environment) : factsOf(subject);
    for (const { id, title, items } of chosen) {
      const found: ItemReport[] = [];
      for (const item of items) {
        signal?.throwIfAborted();
        onProgress?.({ done, expected, title: item.title });
        found.push(await runItem(item, context, item === items.at(-1)));
        done++;
      }
      reports.push({ id, title, status: statusOf(found), items: found });
    }
    onProgress?.({ done, expected, title: '' });
    return {
      format: 'chatstore-report',
      formatVersion: 1,
      passed: reports.every(({ status }) => status !== 'failed'),
      startedAt,
      durationMs: environment.now() - began,
      seed,
      environment: environment.name,
      subject: subject === undefined ? { kind: 'scratch' } : { kind: 'store', path: subject.info.path },
      store,
      counts: countsOf(reports.flatMap(({ items }) => items)),
      categories: reports,
    };
  } finally {
    await context.endItem();
    await context.endShared();
    await environment.close();
  }
}

function chooseFrom(from: readonly Category[], only: readonly string[] | undefined, readOnly: boolean): Category[] {
  const isChosen = ({ id, readOnly: reads }: Item): boolean =>
    (!readOnly || reads === true) && (only === undefined || only.some((start) => `${id}.`.startsWith(`${start}.`)));
  const chosen = from
    .map((category) => ({ ...category, items: category.items.filter(isChosen) }))
    .filter(({ items }) => items.length > 0);
  if (chosen.length === 0)
    throw new RangeError(`no check has an id that begins with ${only?.join(' or ') ?? 'anything'}`);
  return chosen;
}

const factsOf = ({ info }: Store): Report['store'] => {
  const { backend, durability, schemaVersion, sqliteVersion, pageSizeBytes } = info;
  return { backend, durability, schemaVersion, sqliteVersion, pageSizeBytes };
};

/** What a store is here, told by one that is made for the question. */
async function factsOfScratch(environment: Environment): Promise<Report['store']> {
  const scratch = await environment.openScratch();
  try {
    return factsOf(scratch.store);
  } finally {
    await environment.remove(scratch);
  }
}

/** Runs a check, and removes what it has made; what is shared too after the last one, and where it failed. */
async function runItem(item: Item, context: ItemContext, isLast: boolean): Promise<ItemReport> {
  const began = context.now();
  let finding: Finding;
  try {
    finding = await within(ITEM_TIMEOUT_MS, item.run(context), context.signal);
  } catch (error) {
    context.signal?.throwIfAborted();
    const { code, message } = failureFrom(error);
    finding = { passed: false, expected: 'a check that runs to its end', seen: `${code}: ${message}` };
  }
  const durationMs = context.now() - began;
  try {
    await within(ITEM_TIMEOUT_MS, context.endItem());
    if (isLast || finding.passed === false) await within(ITEM_TIMEOUT_MS, context.endShared());
  } catch (error) {
    const { code, message } = failureFrom(error);
    finding = { passed: false, expected: 'a store that closes', seen: `${code}: ${message}` };
  }
  const { passed, expected, seen, figures = [] } = finding;
  const status = passed === null ? 'not measurable' : passed ? 'passed' : 'failed';
  return { id: item.id, title: item.title, status, expected, seen, figures, durationMs, timed: item.timed === true };
}

/** What a promise gives, unless the time is over or the signal aborts before. */
async function within<T>(ms: number, promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  const settled = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ended = new Promise<never>((_, reject) => {
    const end = (why: string) => () => {
      reject(new Error(why));
    };
    timer = setTimeout(end(`not done within ${String(ms / 1_000)} seconds`), ms);
    signal?.addEventListener('abort', end('aborted'), { signal: settled.signal });
  });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    clearTimeout(timer);
    settled.abort();
  }
}

function statusOf(items: readonly ItemReport[]): Status {
  if (items.some(({ status }) => status === 'failed')) return 'failed';
  return items.some(({ status }) => status === 'passed') ? 'passed' : 'not measurable';
}

function countsOf(items: readonly ItemReport[]): Report['counts'] {
  const count = (wanted: Status): number => items.filter(({ status }) => status === wanted).length;
  return { passed: count('passed'), failed: count('failed'), notMeasurable: count('not measurable') };
}
