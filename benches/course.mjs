/**
 * The course of a run, in Node or in a browser.
 *
 * Holds: the options that both share, rounds until time is up, where results go. Must not know: how anything is
 * measured, or where.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure, probe, root } from '../scripts/process.mjs';
import { groups } from './groups.mjs';
import { printTable, writeReport } from './report.mjs';
import { Results } from './results.mjs';
import { Runner } from './run.mjs';

const small_size = 10_000;
const large_size = 1_000_000;

function readOptions({ contestants: known, defaults }) {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      grow: { type: 'boolean', default: false },
      rows: { type: 'string' },
      contestants: { type: 'string' },
      rounds: { type: 'string' },
      minutes: { type: 'string' },
      size: { type: 'string' },
      seed: { type: 'string', default: '1' },
      folder: { type: 'string', default: defaults.folder },
    },
  });
  const number = (name, fallback) => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isInteger(value) || value < 1)
      throw new Failure(`--${name}: expected a whole number from 1, received ${values[name]}`);
    return value;
  };
  const list = (name) => values[name]?.split(',');
  const names = list('contestants') ?? known.map(({ name }) => name);
  const unknown = names.filter((name) => known.every((contestant) => contestant.name !== name));
  if (unknown.length > 0)
    throw new Failure(
      `--contestants: expected some of ${known.map(({ name }) => name).join(', ')}, received ${unknown.join(', ')}`,
    );
  return {
    quick: values.quick,
    grow: values.grow,
    rows: list('rows'),
    names,
    rounds: number('rounds', values.quick ? 1 : defaults.rounds),
    minutes: number('minutes', defaults.minutes),
    size: number('size', values.quick ? 5_000 : 100_000),
    samples: values.quick ? 40 : 200,
    seed: number('seed', 1),
    folder: resolve(root, values.folder),
    whole: !values.quick && values.rows === undefined && values.contestants === undefined,
  };
}

/** Five figures that count: more would be noise. */
const rounded = (_, value) =>
  Number.isFinite(value) && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;

/** The groups that are asked for: all, or those whose name contains a word of `--rows`. */
function chosenGroups(names, words) {
  if (words === undefined) return names;
  const chosen = names.filter((name) => words.some((word) => name.includes(word)));
  if (chosen.length === 0)
    throw new Failure(`--rows: expected part of one of ${names.join(', ')}, received ${words.join()}`);
  return chosen;
}

function jobsOf(contestants, names, size, round, { quick, heavy_rounds }) {
  return contestants.flatMap((contestant) => {
    if (contestant.error !== undefined) return [];
    if (contestant.base === undefined) return [{ contestant, group: 'disk', size }];
    return names
      .filter((name) => {
        const { heavy, once, only = contestant.name } = groups[name] ?? {};
        if (contestant.lacks?.groups.includes(name) || only !== contestant.name) return false;
        return (!heavy || (!quick && round < heavy_rounds)) && (!once || round === 0);
      })
      .map((group) => ({ contestant, group, size }));
  });
}

function machine(options) {
  return {
    cpu: cpus()[0].model.trim(),
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    system: `${platform()} ${release()} ${arch()}`,
    file_system: probe('stat', ['-f', '-c', '%T', options.folder]).stdout.trim(),
    node: process.versions.node,
    commit: probe('git', ['rev-parse', '--short', 'HEAD']).stdout.trim(),
    date: new Date().toISOString().slice(0, 16),
  };
}

/**
 * Runs a bench: `{ contestants, subject, reference, rows, goals, growing, groups, defaults: { folder, rounds, minutes,
 * heavy_rounds }, results, report: { begin, end, heading, plots, spread } }`.
 * `bring()` gives the contestants with versions or errors; `makeHost(folder, contestants)` where they run, with what
 * is to be said of it in `about`. A contestant's `lacks: { groups, rows, why }` is what it has no verb for.
 */
export async function runBench(bench, { bring, makeHost }) {
  const options = { ...readOptions(bench), heavy_rounds: bench.defaults.heavy_rounds };
  const begun_ms = performance.now();
  const names = chosenGroups(bench.groups, options.rows);
  const all = await bring();
  const contestants = all.filter(({ name }) => options.names.includes(name));
  for (const { title, error } of contestants)
    if (error !== undefined) console.log(`- ${title}: not measured: ${error}`);
  console.log(
    `seed ${options.seed}, ${options.size} messages, ${options.rounds} rounds at most, ${names.length} groups`,
  );

  let host;
  const runner = new Runner(options.folder, options, {
    run: (contestant, job) => host.run(contestant, job),
    isStore: (file) => host.isStore(file),
  });
  try {
    host = await makeHost(options.folder, contestants);
    const results = new Results({ bench, options, machine: { ...machine(options), ...host.about }, contestants });
    for (const contestant of contestants)
      for (const row of contestant.lacks?.rows ?? []) results.addMissing(contestant, row, contestant.lacks.why);
    const measure = async (invited, groupNames, size, rounds) => {
      const errors = await runner.prepare(invited, size);
      const who = invited.filter(({ name }) => !errors.has(name));
      for (const contestant of invited.filter(({ name }) => errors.has(name)))
        results.add({ contestant, group: 'prepare', size, round: 0 }, { error: errors.get(contestant.name) });
      for (const contestant of who) results.addSize(contestant, size, runner.sizeOf(contestant, size));
      for (let round = 0; round < rounds; round++) {
        const start_ms = performance.now();
        const jobs = jobsOf(who, groupNames, size, round, options);
        let done = 0;
        await runner.round(jobs, ({ contestant, group }, result) => {
          done++;
          results.add({ contestant, group, size, round }, result);
          const what = result.error === undefined ? '' : `: ${result.error}`;
          if (result.error !== undefined || done % 20 === 0)
            console.log(
              `  ${size} messages, round ${round + 1}, ${done}/${jobs.length} ${contestant.name} ${group}${what}`,
            );
        });
        const end_ms = performance.now();
        if (end_ms - begun_ms + (end_ms - start_ms) > options.minutes * 60_000) break;
      }
    };
    await measure(contestants, names, options.size, options.rounds);
    if (bench.growing.length > 0 && options.rows === undefined && !options.quick) {
      const compared = contestants.filter(({ name }) => [bench.subject, bench.reference].includes(name));
      const growing = Object.keys(groups)
        .filter((name) => groups[name].grows)
        .concat('cold');
      const sizes = [small_size, ...(options.grow ? [large_size] : [])].filter((size) => size !== options.size);
      for (const size of sizes) await measure(compared, growing, size, size === large_size ? 1 : 2);
    }
    const summary = results.summary();
    mkdirSync(join(root, 'benches/results'), { recursive: true });
    const file = `benches/results/${options.whole ? bench.results.whole : bench.results.partial}`;
    writeFileSync(join(root, file), `${JSON.stringify(summary, rounded, 1)}\n`);
    printTable(summary);
    if (options.whole) writeReport(summary, bench);
    console.log(`\n${file}${options.whole ? ', docs/performance.md' : ''}`);
    if (summary.mismatches.length > 0)
      throw new Failure(
        `answers differ between contestants:\n${summary.mismatches.map((line) => `  ${line}`).join('\n')}`,
      );
    if (summary.failures.some(({ contestant }) => contestant.startsWith(bench.subject)))
      throw new Failure('chatstore failed in rows of its own');
  } finally {
    await host?.close();
    runner.remove();
  }
}
