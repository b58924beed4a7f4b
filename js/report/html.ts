/**
 * A report as one page: nothing is loaded from anywhere, and no script runs in it.
 *
 * Holds: the layout and its colours, light and dark. Must not know: where it is shown.
 */

import type { CategoryReport, ItemReport, Report } from './types.js';
import { day, duration, figuresOf, judged, named, remedyOf, subjectOf, sumOf, verdictOf } from './words.js';

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const text = (value: string): string => value.replaceAll(/[&<>"']/g, (letter) => entities[letter] ?? letter);

const style = `
:root { color-scheme: light dark; --ink: #1c2330; --faint: #5b6577; --paper: #ffffff; --line: #d9dee7; --good: #1d7a46; --bad: #b3261e; --none: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf2; --faint: #9aa5b8; --paper: #12161d; --line: #2c3442; --good: #5fc68d; --bad: #ff8a80; --none: #98a2b3; } }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 62rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { margin-bottom: 0.25rem; } h2 { margin: 2.5rem 0 0.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 1rem; } dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; } th { text-align: left; color: var(--faint); font-weight: 600; }
th, td { padding: 0.35rem 0.6rem 0.35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th, td:first-child, td:nth-child(n + 3) { white-space: nowrap; } td:first-child, td:nth-child(n + 3) { width: 1%; } .faint { color: var(--faint); font-size: 0.9em; }
.passed { color: var(--good); } .failed { color: var(--bad); font-weight: 600; } .none { color: var(--none); }
code { font-size: 0.9em; } .why { overflow-wrap: anywhere; }
@media (max-width: 44rem) { table, tbody, tr, td { display: block; } thead, td:empty { display: none; } td, td:first-child, td:nth-child(n + 3) { width: auto; padding: 0; border: 0; white-space: normal; } tr { padding: 0.35rem 0; border-bottom: 1px solid var(--line); } }
p.verdict { font-size: 1.1rem; margin-top: 0; }
`;

const classes = { passed: 'passed', failed: 'failed', 'not measurable': 'none' } as const;
const words = { passed: '✓ passed', failed: '✗ failed', 'not measurable': '– not measurable' } as const;
const heads = (...names: string[]): string => names.map((name) => `<th scope="col">${name}</th>`).join('');
const status = (value: ItemReport['status']): string => `<span class="${classes[value]}">${words[value]}</span>`;

/** The whole page. */
export function toHtml(report: Report): string {
  const { store } = report;
  const facts = {
    when: `${day(report.startedAt)}, in ${duration(report.durationMs)}`,
    where: report.environment,
    checked: subjectOf(report),
    store: `${store.backend}, ${store.durability}, SQLite ${store.sqliteVersion}, schema ${String(store.schemaVersion)}`,
    seed: String(report.seed),
  };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Verification report</title>
<style>${style}</style>
</head>
<body>
<h1>Verification report</h1>
<p class="verdict">${status(report.passed ? 'passed' : 'failed')}: ${text(verdictOf(report))}.</p>
<dl>
${Object.entries(facts)
  .map(([name, value]) => `<dt>${name}</dt><dd>${text(value)}</dd>`)
  .join('\n')}
</dl>
<table>
<thead><tr>${heads('Status', 'Category', 'Passed')}</tr></thead>
<tbody>
${report.categories
  .map(
    (category) =>
      `<tr><td>${status(category.status)}</td><td><a href="#${text(category.id)}">${text(category.title)}</a></td><td>${sumOf(category)}</td></tr>`,
  )
  .join('\n')}
</tbody>
</table>
${report.categories.map(section).join('\n')}
</body>
</html>
`;
}

const section = ({ id, title, items }: CategoryReport): string => `<h2 id="${text(id)}">${text(title)}</h2>
<table>
<thead><tr>${heads('Status', 'Check', 'Measured', 'Target')}</tr></thead>
<tbody>
${items.map(row).join('\n')}
</tbody>
</table>`;

function row(item: ItemReport): string {
  const decisive = judged(item);
  const more = figuresOf({ ...item, figures: item.figures.filter((one) => one !== decisive) });
  const why =
    item.status === 'passed'
      ? ''
      : `<br><span class="faint why">expected: ${text(item.expected)}<br>seen: ${text(item.seen)}${remedyOf(item)
          .map((remedy) => `<br>what helps: ${text(remedy)}`)
          .join('')}</span>`;
  return `<tr id="${text(item.id)}"><td>${status(item.status)}</td><td>${text(item.title)} <code class="faint">${text(item.id)}</code>${why}${
    more === '' ? '' : `<br><span class="faint">${text(more)}</span>`
  }</td><td>${decisive === undefined ? '' : text(named(decisive))}</td><td>${text(decisive?.target ?? '')}</td></tr>`;
}
