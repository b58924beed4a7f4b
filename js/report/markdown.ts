/**
 * A report as Markdown.
 *
 * Holds: the layout. Must not know: where it is printed.
 */

import type { CategoryReport, ItemReport, Report } from './types.js';
import {
  day,
  duration,
  figuresOf,
  hasTargets,
  judged,
  marks,
  named,
  remedyOf,
  subjectOf,
  sumOf,
  verdictOf,
} from './words.js';

/** Text in a cell of a table: no cell ends in it, and no markup begins. */
const cell = (text: string): string => text.replaceAll(/[\\|`*_~&<[]/g, String.raw`\$&`).replaceAll(/\s+/g, ' ');

const table = (head: string[], rows: string[][]): string[] => [
  `| ${head.join(' | ')} |`,
  `|${head.map(() => ' --- ').join('|')}|`,
  ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
];

/** The whole report, ending with a line break. */
export function toMarkdown(report: Report): string {
  const { store } = report;
  const lines = [
    '# Verification report',
    '',
    `**${report.passed ? `${marks.passed} Passed` : `${marks.failed} Failed`}**: ${verdictOf(report)}.`,
    '',
    ...table(
      ['', ''],
      [
        ['when', `${day(report.startedAt)}, in ${duration(report.durationMs)}`],
        ['where', report.environment],
        ['checked', subjectOf(report)],
        [
          'store',
          `${store.backend}, ${store.durability}, SQLite ${store.sqliteVersion}, schema ${String(store.schemaVersion)}`,
        ],
        ['seed', String(report.seed)],
      ],
    ),
    '',
    ...table(
      ['', 'category', 'passed'],
      report.categories.map((category) => [marks[category.status], category.title, sumOf(category)]),
    ),
    ...report.categories.flatMap((category) => ['', ...categoryLines(category)]),
  ];
  return `${lines.join('\n')}\n`;
}

function categoryLines(category: CategoryReport): string[] {
  const failures = category.items.filter(({ status }) => status !== 'passed').flatMap(failureLines);
  return [`## ${category.title}`, '', ...(hasTargets(category) ? measured(category) : checked(category)), ...failures];
}

const checked = ({ items }: CategoryReport): string[] =>
  table(
    ['', 'check', 'figures'],
    items.map((item) => [marks[item.status], item.title, figuresOf(item)]),
  );

const measured = ({ items }: CategoryReport): string[] =>
  table(
    ['', 'what', 'measured', 'target', 'more'],
    items.map((item) => {
      const decisive = judged(item);
      const more = { ...item, figures: item.figures.filter((one) => one !== decisive) };
      return [
        marks[item.status],
        item.title,
        decisive === undefined ? '' : named(decisive),
        decisive?.target ?? '',
        figuresOf(more),
      ];
    }),
  );

function failureLines(item: ItemReport): string[] {
  const { id, title, status, expected, seen } = item;
  if (status === 'not measurable') return ['', `➖ ${title} (\`${id}\`): not measurable: ${cell(seen)}.`];
  return [
    '',
    `❌ **${title}** (\`${id}\`)`,
    '',
    `- expected: ${cell(expected)}`,
    `- seen: ${cell(seen)}`,
    ...remedyOf(item).map((remedy) => `- what helps: ${remedy}`),
  ];
}
