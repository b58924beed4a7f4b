/**
 * What a host counts of the calls that it runs: how long they took, which were slow, which failed.
 *
 * Holds: counts of a fixed size, and the shapes of some calls, never their contents. Must not know: what the core
 * counts itself, or what is done with the figures.
 */

import type { ArgumentShape, FailedCall, Row, SlowCall, Times } from '../client/types.js';
import type { Call } from './protocol.js';

/** Buckets in each doubling of the time: each is at most an eighth of its own beginning wide. */
const PER_OCTAVE_BITS = 3;
const PER_OCTAVE = 1 << PER_OCTAVE_BITS;
/** Microseconds are counted in 31 bits: half an hour, and all that is longer. */
const MAX_US = 0x7fff_ffff;
const BUCKETS = (31 - PER_OCTAVE_BITS + 1) * PER_OCTAVE;

/** Counts times on a logarithmic scale. */
export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #count = 0;
  #maxMs = 0;

  add(ms: number): void {
    this.#count++;
    if (ms > this.#maxMs) this.#maxMs = ms;
    const us = ms * 1_000 < MAX_US ? (ms * 1_000) | 0 : MAX_US;
    const shift = 31 - PER_OCTAVE_BITS - Math.clz32(us);
    const bucket = shift <= 0 ? Math.max(0, us) : shift * PER_OCTAVE + (us >>> shift);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  times(): Times {
    return {
      count: this.#count,
      p50Ms: this.#percentile(0.5),
      p95Ms: this.#percentile(0.95),
      p99Ms: this.#percentile(0.99),
      maxMs: this.#maxMs,
    };
  }

  /** The middle of the bucket that holds it. */
  #percentile(share: number): number {
    let left = Math.ceil(share * this.#count);
    const bucket = this.#counts.findIndex((count) => (left -= count) <= 0);
    const shift = Math.max(0, (bucket >> PER_OCTAVE_BITS) - 1);
    const middleUs = (bucket - shift * PER_OCTAVE + 0.5) * 2 ** shift;
    return Math.min(middleUs / 1_000, this.#maxMs);
  }
}

/** Figures of the host, as they cross to whoever asks. */
export interface HostFigures {
  verbs: Record<string, Times>;
  queueWaits: Times;
  poolWaits: Times;
  errors: Record<string, number>;
  reruns: number;
  restarts: number;
  slow: SlowCall[];
  failed: FailedCall[];
}

/** The verb that asks for them. Like all that begin so, it is not counted itself. */
export const HOST_FIGURES = 'stats.host';
/** As `query`, for figures. */
export const LOOK = 'stats.query';
/** The core's own statements. */
export const STATEMENTS = 'stats.statements';
const UNCOUNTED = 'stats';

const DEFAULT_SLOW_MS = 200;
/** Slow calls that are kept, and failed ones. */
const KEPT_CALLS = 20;

/** Counts for one host, however often its core is replaced. */
export class Figures {
  readonly queueWaits = new Histogram();
  readonly poolWaits = new Histogram();
  reruns = 0;
  restarts = 0;
  readonly #slowMs: number;
  readonly #verbs = new Map<string, Histogram>();
  readonly #errors: Record<string, number> = {};
  readonly #slow: SlowCall[] = [];
  readonly #failed: FailedCall[] = [];

  constructor(slowMs = DEFAULT_SLOW_MS) {
    this.#slowMs = slowMs === 0 ? Infinity : slowMs;
  }

  /** A call was answered so long after it came. Only what succeeds may name a verb: anybody can call anything. */
  answered(verb: string, ms: number, error: string | undefined): void {
    let times = this.#verbs.get(verb);
    if (error !== undefined) {
      this.#errors[error] = (this.#errors[error] ?? 0) + 1;
    } else if (times === undefined) {
      if (verb.startsWith(UNCOUNTED)) return;
      times = new Histogram();
      this.#verbs.set(verb, times);
    }
    times?.add(ms);
  }

  isSlow(runMs: number): boolean {
    return runMs >= this.#slowMs;
  }

  /** Keeps a slow call, where it is among the slowest. `planOf` is asked only then. */
  keepSlow(call: Call, runMs: number, waitedMs: number, error: string | undefined, planOf: () => string[]): void {
    const before = this.#slow.findIndex((other) => other.runMs < runMs);
    if (before === -1 && this.#slow.length === KEPT_CALLS) return;
    this.#slow.splice(before === -1 ? this.#slow.length : before, 0, {
      ...told(call),
      runMs,
      waitedMs,
      error: error ?? null,
      plan: planOf(),
    });
    this.#slow.splice(KEPT_CALLS);
  }

  /** Keeps a call that has failed, in the place of the one that did longest ago. */
  keepFailed(call: Call, error: string): void {
    if (call.verb.startsWith(UNCOUNTED)) return;
    this.#failed.unshift({ ...told(call), error });
    this.#failed.splice(KEPT_CALLS);
  }

  take(): HostFigures {
    const verbs: Record<string, Times> = {};
    for (const [verb, times] of this.#verbs) verbs[verb] = times.times();
    return {
      verbs,
      queueWaits: this.queueWaits.times(),
      poolWaits: this.poolWaits.times(),
      errors: this.#errors,
      reruns: this.reruns,
      restarts: this.restarts,
      slow: this.#slow,
      failed: this.#failed,
    };
  }
}

/** What may be told of a call. */
const told = (call: Call): Omit<FailedCall, 'error'> => ({
  verb: call.verb,
  at: Date.now(),
  args: shapeOfCall(call),
  statement: statementOf(call),
});

/** Longest list and longest text that are told of a shape. */
const SHOWN_ITEMS = 20;
const SHOWN_TEXT = 2_000;
/** Deeper than any argument of ours: what a program gives as JSON crosses as one string. */
const SHOWN_LEVELS = 3;

function shapeOfCall({ args = {}, rows }: Call): ArgumentShape {
  return shapeOf(rows === undefined ? args : { ...args, rows }, SHOWN_LEVELS);
}

function shapeOf(value: unknown, levels: number): ArgumentShape {
  if (value === null) return 'null';
  if (typeof value === 'string') return `string(${String(value.length)})`;
  if (value instanceof Uint8Array) return `bytes(${String(value.length)})`;
  if (typeof value !== 'object') return typeof value;
  if (levels === 0) return 'object';
  if (Array.isArray(value)) {
    const shapes = value.slice(0, SHOWN_ITEMS).map((item) => shapeOf(item, levels - 1));
    return value.length > SHOWN_ITEMS ? [...shapes, `and ${String(value.length - SHOWN_ITEMS)} more`] : shapes;
  }
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.slice(0, SHOWN_ITEMS).map(([name, field]) => [name, shapeOf(field, levels - 1)]));
}

/** Comments; literals and quoted names; parameters and names; numbers. */
const TOKENS =
  /--[^\n]*|\/\*[^]*?(?:\*\/|$)|[xX]?'(?:[^']|'')*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?|[?:@$]?[\w$\u0080-\uffff.]+/g;

/** A statement without what may stand in it: SQL of a program's own may have anything for a literal. */
export function withoutLiterals(sql: string): string {
  const bare = sql.replaceAll(TOKENS, (token) => {
    if (token.startsWith('--') || token.startsWith('/*')) return ' ';
    return /^(?:[xX]?'|["`[\d]|\.\d)/.test(token) ? '?' : token;
  });
  return bare.replaceAll(/\s+/g, ' ').trim().slice(0, SHOWN_TEXT);
}

/** The SQL of a query, without what may stand in it. */
export function statementOf({ verb, args }: Call): string | null {
  return verb === 'query' && args !== undefined && 'sql' in args && typeof args.sql === 'string'
    ? withoutLiterals(args.sql)
    : null;
}

/** The plan of the statement that searches have worked most in, for each time that it ran. */
export function planOfSearch(statements: Row[]): string[] {
  let [most, plan] = [-1, ''];
  for (const { sql, runs, steps, plan: its } of statements) {
    const each = Number(steps) / Math.max(1, Number(runs));
    if (each > most && String(sql).includes('messages_fts MATCH')) [most, plan] = [each, String(its)];
  }
  return plan.split('\n').filter((step) => step !== '');
}
