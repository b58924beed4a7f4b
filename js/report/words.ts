/**
 * A report's numbers and dates in words, the same in every format.
 *
 * Holds: no layout. Must not know: a format.
 */

import { rounded } from './findings.js';
import type { CategoryReport, Figure, ItemReport, Report, Status } from './types.js';

export const marks: Record<Status, string> = { passed: '✅', failed: '❌', 'not measurable': '➖' };

const figure = ({ value, unit }: Figure): string => `${rounded(value)}${unit === '' ? '' : ` ${unit}`}`;

export const duration = (ms: number): string => (ms < 1_000 ? `${rounded(ms)} ms` : `${rounded(ms / 1_000)} s`);

export const day = (epochMs: number): string => `${new Date(epochMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;

/** What was checked, in half a sentence. */
export const subjectOf = ({ subject }: Report): string =>
  subject.kind === 'scratch' ? 'scratch stores, removed afterwards' : `${subject.path}, read only`;

/** The line at the head: how it went. */
export function verdictOf({ counts, categories }: Report): string {
  const failed = categories.filter(({ status }) => status === 'failed').length;
  const sum = `${String(counts.passed)} of ${String(counts.passed + counts.failed)} checks passed`;
  const rest = counts.notMeasurable === 0 ? '' : `, ${String(counts.notMeasurable)} not measurable here`;
  return failed === 0
    ? `${sum}${rest}`
    : `${sum}${rest}; failed in ${String(failed)} of ${String(categories.length)} categories`;
}

export function sumOf({ items }: CategoryReport): string {
  const passed = items.filter(({ status }) => status === 'passed').length;
  const measured = items.filter(({ status }) => status !== 'not measurable').length;
  return `${String(passed)}/${String(measured)}`;
}

/** What a person can do where a check failed on a store of theirs, by its id. */
const remedies: Record<string, string> = {
  'health.fragmentation':
    'store.maintain({ vacuum: true }), or `chatstore maintain FILE --vacuum`, gives free pages back',
  'health.verify': 'a backup; or ChatStore.salvage, which copies what can be read into a new store',
};

/** None, or one. */
export function remedyOf({ id, status }: ItemReport): string[] {
  const remedy = status === 'failed' ? remedies[id] : undefined;
  return remedy === undefined ? [] : [remedy];
}

/** A figure with its name: what of many times it is. */
export const named = (one: Figure): string => `${one.name} ${figure(one)}`;

/** Figures in a table cell: those with a target first, since they decide. */
export const figuresOf = ({ figures }: ItemReport): string =>
  figures.map((one) => `${named(one)}${one.target === undefined ? '' : ` (${one.target})`}`).join(', ');

/** The benchmarks have a table of their own: one figure each, beside its target. */
export const hasTargets = ({ items }: CategoryReport): boolean =>
  items.length > 0 && items.every(({ figures }) => figures.some(({ target }) => target !== undefined));

export const judged = ({ figures }: ItemReport): Figure | undefined =>
  figures.find(({ target }) => target !== undefined);
