/**
 * From what a check saw to what it found, in words that say both what was expected and what came.
 *
 * Holds: comparison, rules for numbers, percentiles. Must not know: any check.
 */

import type { Figure, Finding } from './types.js';

/** Something that a value is held against, where it need not be one certain value. */
export class Rule {
  readonly text: string;
  readonly holds: (value: unknown) => boolean;

  constructor(text: string, holds: (value: unknown) => boolean) {
    this.text = text;
    this.holds = holds;
  }
}

const withUnit = (value: number, unit: string): string =>
  unit === '' || unit === '%' ? `${rounded(value)}${unit && ' %'}` : `${rounded(value)} ${unit}`;

export const under = (limit: number, unit = ''): Rule =>
  new Rule(`under ${withUnit(limit, unit)}`, (value) => typeof value === 'number' && value < limit);
export const over = (limit: number, unit = ''): Rule =>
  new Rule(`over ${withUnit(limit, unit)}`, (value) => typeof value === 'number' && value > limit);
export const atLeast = (limit: number, unit = ''): Rule =>
  new Rule(`at least ${withUnit(limit, unit)}`, (value) => typeof value === 'number' && value >= limit);
export const atMost = (limit: number, unit = ''): Rule =>
  new Rule(`at most ${withUnit(limit, unit)}`, (value) => typeof value === 'number' && value <= limit);
export const oneOf = (...values: unknown[]): Rule =>
  new Rule(values.map((value) => shown(value)).join(' or '), (value) => values.some((other) => isSame(other, value)));
export const matching = (text: string, pattern: RegExp): Rule =>
  new Rule(text, (value) => typeof value === 'string' && pattern.test(value));

/** Three digits that count, at most. */
export function rounded(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

const MAX_SHOWN = 200;
/** What is shown before the place where two long values begin to differ. */
const LEAD = 40;

/** A value in a report; of a long one, the piece from about a place on. */
export function shown(value: unknown, around = 0): string {
  const text = textOf(value);
  if (text.length <= MAX_SHOWN) return text;
  const whole = Array.isArray(value) ? wholeItemsOf(value, around) : undefined;
  if (whole !== undefined) return whole;
  const from = Math.max(0, around - LEAD);
  const piece = text.slice(from, from + MAX_SHOWN);
  return `${from > 0 ? '…' : ''}${piece}${from + MAX_SHOWN < text.length ? '…' : ''}`;
}

/** As many items of a list as there is room for; undefined where the place is in none of them. */
function wholeItemsOf(values: readonly unknown[], around: number): string | undefined {
  let told: string | undefined;
  for (let count = 1; count < values.length; count++) {
    const text = textOf(values.slice(0, count));
    if (text.length > MAX_SHOWN) break;
    if (text.length > around) told = `${text} and ${String(values.length - count)} more`;
  }
  return told;
}

function textOf(value: unknown): string {
  if (value instanceof Rule) return value.text;
  if (typeof value === 'number') return rounded(value);
  if (typeof value === 'string') return value;
  return JSON.stringify(value, (_, held: unknown) => (typeof held === 'bigint' ? String(held) : held)) ?? 'nothing';
}

/** From where on two values look different. */
function differenceOf([expected, seen]: Pair): number {
  const [one, other] = [textOf(expected), textOf(seen)];
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  return at;
}

function isSame(expected: unknown, seen: unknown): boolean {
  if (expected instanceof Rule) return expected.holds(seen);
  return Object.is(expected, seen) || stable(expected) === stable(seen);
}

/** The same text for the same plain data, whatever the order of its fields. */
function stable(value: unknown): string | undefined {
  return JSON.stringify(value, (_, held: unknown) => {
    if (typeof held === 'bigint') return String(held);
    if (typeof held !== 'object' || held === null || Array.isArray(held)) return held;
    return Object.fromEntries(Object.entries(held).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** What was expected and what was seen of one thing. */
export type Pair = readonly [expected: unknown, seen: unknown];

/**
 * Passed where each pair is the same. The texts name all of them where it passed, and those that differ where
 * it did not.
 */
export function found(pairs: Record<string, Pair>, figures?: Figure[]): Finding {
  const entries = Object.entries(pairs);
  const wrong = entries.filter(([, [expected, seen]]) => !isSame(expected, seen));
  const told = wrong.length > 0 ? wrong : entries;
  const text = (which: 0 | 1): string =>
    told.map(([name, pair]) => `${name}: ${shown(pair[which], differenceOf(pair))}`).join('; ');
  return {
    passed: wrong.length === 0,
    expected: text(0),
    seen: text(1),
    ...(figures === undefined ? {} : { figures }),
  };
}

/** What an environment cannot tell counts neither as passed nor as failed. */
export const notMeasurable = (expected: string, why: string): Finding => ({ passed: null, expected, seen: why });

/** The value that so many hundredths of the values are not above. */
export function percentile(values: readonly number[], hundredths: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * hundredths) / 100) - 1)] ?? Number.NaN;
}

/** Percentiles of times beside a target, which the median has to keep, or another percentile that is named. */
export function times(values: readonly number[], targetMs: number, judged: 50 | 95 = 50): Finding {
  const rule = under(targetMs, 'ms');
  const name = judged === 50 ? 'median' : 'p95';
  const figures: Figure[] = [
    { name: 'median', value: percentile(values, 50), unit: 'ms' },
    { name: 'p95', value: percentile(values, 95), unit: 'ms' },
    { name: 'max', value: percentile(values, 100), unit: 'ms' },
  ];
  for (const one of figures) if (one.name === name) one.target = rule.text;
  const value = percentile(values, judged);
  return { ...found({ [name]: [rule, value] }), seen: `${name}: ${rounded(value)} ms`, figures };
}

/** What a call rejected with: its code and all; what it gave where it did not. */
export interface Failure {
  code: string;
  message: string;
  details: Readonly<Record<string, unknown>>;
  outcome: string | undefined;
}

/** The error of a call that is to fail; its code is `none` where it did not. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    return failureFrom(error);
  }
  return { code: 'none', message: 'the call succeeded', details: {}, outcome: undefined };
}

export function failureFrom(error: unknown): Failure {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each field is looked at
  const { code, message, details, outcome } = error as Partial<Failure>;
  return {
    code: typeof code === 'string' ? code : 'an error without a code',
    message: typeof message === 'string' ? message : String(error),
    details: details ?? {},
    outcome,
  };
}
