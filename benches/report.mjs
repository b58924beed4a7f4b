/**
 * What a run has found, for people: a table on the terminal, and the measured part of docs/performance.md.
 *
 * Holds: how figures are written and which belong side by side. Only what stands between the markers of
 * the page is written; the words around it are written by hand. Must not know: how anything is measured.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../scripts/process.mjs';
import { growthPlot, ratioPlot } from './plots.mjs';

const page = 'docs/performance.md';

/** Three figures that count: 0.0123, 1.23, 123, 12,345. */
export function figure(value) {
  if (value === undefined) return '';
  if (value >= 1_000) return Math.round(value).toLocaleString('en');
  return Number(value.toPrecision(3)).toString();
}

const times = (ratio) => `${ratio >= 100 ? Math.round(ratio) : Number(ratio.toPrecision(2))}×`;
const unitOf = (row) => (row.unit === '' ? '' : ` ${row.unit}`);

function cell(result) {
  if (result === undefined) return '';
  if (result.missing !== undefined) return '–';
  const range = result.rounds.length > 1 ? `<br>${figure(result.min)}–${figure(result.max)}` : '';
  const ratio = result.ratio === undefined ? '' : ` (${times(result.ratio.median)})`;
  return `${figure(result.median)}${ratio}${range}`;
}

const table = (head, lines) =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');

/** How far a ratio is from the goal, in words. */
function verdict(ratio, target) {
  if (ratio === undefined) return 'not measured';
  return ratio <= target ? 'reached' : `missed by ${Number((ratio / target).toPrecision(2))}×`;
}

/** Each goal with what was reached: row, whom it is measured against, goal, ratio, verdict. */
function goals({ rows, goals: all, subject, contestants }) {
  const titleOf = (name) => contestants.find((contestant) => contestant.name === name)?.title ?? name;
  return all.map(({ id, contestant, against, best, target, ratio, missing }) => {
    const { title } = rows.find((row) => row.id === id);
    const rivals = (best.length > 0 ? best : against).map(titleOf).join('; ');
    return [
      contestant === subject ? title : `${title}: ${titleOf(contestant)}`,
      against.length > 1 ? `best of ${against.length}: ${rivals}` : rivals,
      `at most ${target}×`,
      ratio === undefined ? '' : `${times(ratio.median)} (${times(ratio.min)}–${times(ratio.max)})`,
      missing ?? verdict(ratio?.median, target),
    ];
  });
}

export function printTable(summary) {
  for (const row of summary.rows) {
    if (Object.values(row.results).every(({ missing }) => missing !== undefined)) continue;
    console.log(`\n${row.title}`);
    for (const { name } of summary.contestants) {
      const result = row.results[name];
      if (result === undefined) continue;
      if (result.missing !== undefined) {
        console.log(`  ${name.padEnd(18)} ${result.missing}`);
        continue;
      }
      const ratio = result.ratio === undefined ? '' : times(result.ratio.median);
      const range = `${figure(result.min)}–${figure(result.max)}`;
      const tail = row.spread ? `p95 ${figure(result.p95)}` : '';
      console.log(
        `  ${name.padEnd(18)} ${figure(result.median).padStart(9)}${unitOf(row).padEnd(4)} ${ratio.padStart(6)}  ${range.padEnd(18)} ${tail}`,
      );
    }
  }
  console.log('\ngoals of chatstore, as ratios in this run');
  for (const [title, against, target, ratio, word] of goals(summary))
    console.log(`  ${title.padEnd(66)} ${target.padEnd(15)} ${ratio.padEnd(22)} ${word.padEnd(16)} against ${against}`);
}

function machineBlock({ machine, options, contestants }) {
  const { cpu, cores, memory_gib, system, file_system, node, browser, commit, date } = machine;
  const { seed, size, rounds, samples } = options;
  const lines = [
    `${date} UTC, commit ${commit}: ${cores} × ${cpu}, ${memory_gib} GiB, ${system}, ${file_system}, ${browser ?? `Node ${node}`}.`,
    `Seed ${seed}; ${size.toLocaleString('en')} messages and one chat of 10,000; ${rounds} rounds; up to ${samples} samples a row and process.`,
  ];
  const versions = contestants.map(({ title, version, error }) => [
    title,
    error === undefined ? version : `not measured: ${error}`,
  ]);
  return `${lines.join('\n')}\n\n${table(['contestant', 'version'], versions)}`;
}

function measured(summary, bench) {
  const { rows, contestants, growth, subject, reference } = summary;
  const present = contestants.filter(({ error }) => error === undefined);
  const compared = present.filter(({ name }) => name !== 'disk');
  const against = contestants.find(({ name }) => name === reference)?.title ?? reference;
  const main = table(
    ['', ...compared.map(({ title }) => title)],
    rows.map((row) => [
      `${row.title}${row.unit === '' ? '' : `, ${row.unit}`}`,
      ...compared.map(({ name }) => cell(row.results[name])),
    ]),
  );
  const spread = rows
    .filter((row) => row.spread)
    .flatMap((row) =>
      present
        .filter(({ name }) => row.results[name]?.median !== undefined)
        .map(({ name, title }) => [row.title, title, figure(row.results[name].median), figure(row.results[name].p95)]),
    );
  const sizes = growth.map(({ size }) => size);
  const grown = rows
    .filter((row) => bench.growing.includes(row.id))
    .flatMap((row) =>
      [subject, reference].map((name) => {
        const title = contestants.find((contestant) => contestant.name === name)?.title ?? name;
        const figures = growth.map(({ rows: each }) =>
          figure(each.find(({ id }) => id === row.id).results[name]?.median),
        );
        return [row.title, title].concat(figures);
      }),
    );
  const missing = rows.flatMap((row) =>
    Object.entries(row.results)
      .filter(([, result]) => result.missing !== undefined)
      .map(([name, result]) => `- ${row.title}, ${name}: ${result.missing}`),
  );
  const { heading } = bench.report;
  return [
    `${heading} The machine and the versions`,
    machineBlock(summary),
    `${heading} Goals`,
    table(['row', 'against', 'goal', 'ratio (range over the rounds)', ''], goals(summary)),
    ...(bench.report.plots ? [`![Ratios to ${against}](performance/ratios.svg)`] : []),
    `${heading} All rows`,
    `Median over the rounds, in brackets the ratio to ${against}, below the range over the rounds. Less is better.`,
    main,
    ...(missing.length > 0 ? ['Not measured:', missing.join('\n')] : []),
    ...(bench.report.spread === undefined
      ? []
      : [`${heading} Durable rows and the disk`, bench.report.spread, table(['row', '', 'p50', 'p95'], spread)]),
    ...(grown.length === 0
      ? []
      : [
          `${heading} Growth`,
          'Milliseconds by the number of messages in the store, without the chat of 10,000.',
          table(['row', '', ...sizes.map((size) => size.toLocaleString('en'))], grown),
          '![Growth](performance/growth.svg)',
        ]),
  ].join('\n\n');
}

/** Writes the part of the page between the bench's markers, and its plots. */
export function writeReport(summary, bench) {
  const path = join(root, page);
  const { begin, end, plots } = bench.report;
  const text = existsSync(path) ? readFileSync(path, 'utf8') : `${begin}\n${end}\n`;
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`${page}: expected the markers ${begin} and ${end}`);
  if (plots) {
    mkdirSync(join(root, 'docs/performance'), { recursive: true });
    writeFileSync(join(root, 'docs/performance/ratios.svg'), ratioPlot(summary));
    writeFileSync(join(root, 'docs/performance/growth.svg'), growthPlot(summary));
  }
  writeFileSync(path, `${before}${begin}\n\n${measured(summary, bench)}\n\n${end}${after}`);
}
