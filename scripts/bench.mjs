/**
 * `npm run bench`: measures chatstore and what a user would pick instead, in one run on one machine.
 *
 *   --quick              a small store and one round, in under two minutes: to see that it works
 *   --size N             messages in the store, beside one chat of 10,000 (default 100,000)
 *   --rounds N           at most so many, default 5; of the bulks of 100,000 at most 2
 *   --minutes N          begins no round that would end later, default 15; the first is always run
 *   --rows A,B           only groups of rows that contain one of these
 *   --contestants A,B    only these (chatstore and better-sqlite3-12 are what ratios are made of)
 *   --grow               also a store of 1,000,000 messages
 *   --seed N             of the data and of the order; printed
 *   --folder PATH        where the stores lie (default target/bench): its disk is what is measured
 *
 * Holds: the options and the course of a run. Results go to benches/results/, and of a whole run (not
 * `--quick`, nothing left out) to docs/performance.md. Must not know: how anything is measured.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { contestants as known } from '../benches/contestants.mjs';
import { groups } from '../benches/groups.mjs';
import { bringPeers } from '../benches/peers.mjs';
import { Results } from '../benches/results.mjs';
import { printTable, writeReport } from '../benches/report.mjs';
import { reference, subject } from '../benches/contestants.mjs';
import { Runner } from '../benches/run.mjs';
import { build } from './build.mjs';
import { Failure, main, probe, root } from './process.mjs';

const heavy_rounds = 2;
const small_size = 10_000;
const large_size = 1_000_000;

function readOptions() {
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
      folder: { type: 'string', default: 'target/bench' },
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
    rounds: number('rounds', values.quick ? 1 : 5),
    minutes: number('minutes', 15),
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

/** The groups that are asked for: all, or those whose name or rows contain a word of `--rows`. */
function chosenGroups(words) {
  const names = ['cold', ...Object.keys(groups)].filter((name) => name !== 'prepare' && name !== 'disk');
  if (words === undefined) return names;
  const chosen = names.filter((name) => words.some((word) => name.includes(word)));
  if (chosen.length === 0)
    throw new Failure(`--rows: expected part of one of ${names.join(', ')}, received ${words.join()}`);
  return chosen;
}

function jobsOf(contestants, names, size, round, { quick }) {
  return contestants.flatMap((contestant) => {
    if (contestant.error !== undefined) return [];
    if (contestant.base === undefined) return [{ contestant, group: 'disk', size }];
    return names
      .filter((name) => {
        const { heavy, once } = groups[name] ?? {};
        return (!heavy || (!quick && round < heavy_rounds)) && (!once || round === 0);
      })
      .map((group) => ({ contestant, group, size }));
  });
}

async function machine(options) {
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

await main(async () => {
  const options = readOptions();
  const begun_ms = performance.now();
  const names = chosenGroups(options.rows);
  await build();
  const all = await bringPeers();
  const contestants = all.filter(({ name }) => options.names.includes(name));
  for (const { title, error } of contestants)
    if (error !== undefined) console.log(`- ${title}: not measured: ${error}`);
  console.log(
    `seed ${options.seed}, ${options.size} messages, ${options.rounds} rounds at most, ${names.length} groups`,
  );

  const runner = new Runner(options.folder, options);
  try {
    const results = new Results({ options, machine: await machine(options), contestants });
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
    if (options.rows === undefined && !options.quick) {
      const compared = contestants.filter(({ name }) => [subject, reference].includes(name));
      const growing = Object.keys(groups)
        .filter((name) => groups[name].grows)
        .concat('cold');
      const sizes = [small_size, ...(options.grow ? [large_size] : [])].filter((size) => size !== options.size);
      for (const size of sizes) await measure(compared, growing, size, size === large_size ? 1 : 2);
    }
    const summary = results.summary();
    mkdirSync(join(root, 'benches/results'), { recursive: true });
    const file = `benches/results/${options.whole ? 'latest' : 'partial'}.json`;
    writeFileSync(join(root, file), `${JSON.stringify(summary, rounded, 1)}\n`);
    printTable(summary);
    if (options.whole) writeReport(summary);
    console.log(`\n${file}${options.whole ? ', docs/performance.md' : ''}`);
    if (summary.mismatches.length > 0)
      throw new Failure(
        `answers differ between contestants:\n${summary.mismatches.map((line) => `  ${line}`).join('\n')}`,
      );
    if (summary.failures.some(({ contestant }) => contestant.startsWith(subject)))
      throw new Failure('chatstore failed in rows of its own');
  } finally {
    runner.remove();
  }
});
