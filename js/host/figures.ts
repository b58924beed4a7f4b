/**
 * What a host counts of the calls that it runs: how long they took, which were slow, which failed.
 *
 * Holds: counts of a fixed size, and the shapes of some calls, never their contents. Must not know: what the core
 * counts itself, or what is done with the figures.
 */

import type { ChatStoreError } from '../client/errors.js';
import { readTextAnywhere } from '../client/rows.js';
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
  keepSlow(
    call: Call,
    runMs: number,
    waitedMs: number,
    error: ChatStoreError | undefined,
    planOf: () => string[],
  ): void {
    const before = this.#slow.findIndex((other) => other.runMs < runMs);
    if (before === -1 && this.#slow.length === KEPT_CALLS) return;
    this.#slow.splice(before === -1 ? this.#slow.length : before, 0, {
      ...told(call, error),
      runMs,
      waitedMs,
      error: error?.code ?? null,
      plan: planOf(),
    });
    this.#slow.splice(KEPT_CALLS);
  }

  /** Keeps a call that has failed, in the place of the one that did longest ago. */
  keepFailed(call: Call, error: ChatStoreError): void {
    if (call.verb.startsWith(UNCOUNTED)) return;
    this.#failed.unshift({ ...told(call, error), error: error.code });
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
const told = (call: Call, error: ChatStoreError | undefined): Omit<FailedCall, 'error'> => ({
  verb: call.verb,
  at: Date.now(),
  args: shapeOfCall(call),
  statement: statementOf(call, error),
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

/**
 * Comments; what follows the statement, of which SQLite may have read nothing; literals and quoted names; parameters as
 * far as SQLite reads them, and names; numbers.
 */
const TOKENS =
  /--[^\n]*|\/\*[^]*?(?:\*\/|$)|[;\0][^]*|[xX]?'(?:[^']|'')*'?|"(?:[^"]|"")*"?|`(?:[^`]|``)*`?|\[[^\]]*\]?|[:@$#](?:::|[\w$\u0080-\uffff])+(?:\([^\s)]*\)?)?|[?]?[\w$\u0080-\uffff.]+/g;
/** What is not plain: quoted, a number, beyond ASCII, as typographic quotes are, or a parameter with more than a name. */
const HIDDEN = /^(?:[xX]?'|["`[\d]|\.\d)|[\u0080-\uffff(]|::/;
const BEYOND_ASCII = /[\u0080-\uffff]/;
const QUOTES = /['"`[]/;

/** A statement without what may stand in it: SQL of a program's own may have anything for a literal. */
export function withoutLiterals(sql: string): string {
  const bare = sql.replaceAll(TOKENS, (token) => {
    if (token.startsWith('--') || token.startsWith('/*')) return ' ';
    if (/^[;\0]/.test(token)) return token.trim().length > 1 ? CUT : '';
    return HIDDEN.test(token) ? '?' : token;
  });
  return bare.replaceAll(/\s+/g, ' ').trim().slice(0, SHOWN_TEXT);
}

/** Stands for the rest of a statement. */
const CUT = ' …';

/** The SQL of a query, without what may stand in it. */
export function statementOf(call: Call, error?: ChatStoreError): string | null {
  const sql = sqlOf(call);
  if (sql === undefined) return null;
  const read = error === undefined ? undefined : readOf(sql, error);
  if (read === undefined) return withoutLiterals(sql);
  const bare = withoutLiterals(read);
  return bare.endsWith(CUT) ? bare : (bare + CUT).trim();
}

export const sqlOf = ({ verb, args }: Call): string | undefined =>
  verb === 'query' && args !== undefined && 'sql' in args && typeof args.sql === 'string' ? args.sql : undefined;

/**
 * As much of a statement that failed as SQLite has read for certain, and so as it is read here: up to the place of its
 * error, else up to the first quote. Undefined: all.
 */
function readOf(sql: string, { code, details }: ChatStoreError): string | undefined {
  // It has run.
  if (code === 'TIMEOUT') return undefined;
  const { sql: its, offset } = details;
  if (its === sql && typeof offset === 'number') return readTextAnywhere(new TextEncoder().encode(sql))(0, offset);
  const quote = sql.search(QUOTES);
  return quote < 0 ? undefined : sql.slice(0, quote);
}

/** A plan in which the names that are hidden in its statement are hidden as well. */
export function planWithoutNames(plan: string[], sql: string): string[] {
  const whole = plan.join('\n').toLowerCase();
  const names = new Set<string>();
  for (const [token] of sql.matchAll(TOKENS)) {
    const [quote = ''] = token;
    const isQuoted = QUOTES.test(quote);
    if (!isQuoted && !BEYOND_ASCII.test(token)) continue;
    for (const name of isQuoted ? [token.slice(1, -1).replaceAll(quote + quote, quote)] : token.split('.')) {
      if (name !== '' && whole.includes(name.toLowerCase())) names.add(name);
    }
  }
  // One that holds another is longer.
  const sorted = [...names].toSorted((one, other) => other.length - one.length);
  return sorted.reduce((steps, name) => {
    const parts = name.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
    const standing = new RegExp(String.raw`(?<![\w$])${parts}(?![\w$])`, 'gi');
    return steps.map((step) => step.replaceAll(standing, '?'));
  }, plan);
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
