/**
 * A report in a few lines: how it went, and what failed.
 *
 * Holds: the layout. Must not know: where it is printed.
 */

import type { Report } from './types.js';
import { marks, remedyOf, verdictOf } from './words.js';

/** The verdict, and each check that failed with what was expected and seen; ends with a line break. */
export function toText(report: Report): string {
  const lines: string[] = [];
  for (const item of report.categories.flatMap(({ items }) => items)) {
    if (item.status !== 'failed') continue;
    lines.push(`${marks.failed} ${item.title} (${item.id})`);
    lines.push(`   expected: ${item.expected}`, `   seen: ${item.seen}`);
    for (const remedy of remedyOf(item)) lines.push(`   what helps: ${remedy}`);
  }
  lines.push(`${report.passed ? 'Passed' : 'Failed'}: ${verdictOf(report)}.`);
  return `${lines.join('\n')}\n`;
}
