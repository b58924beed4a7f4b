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
 * Holds: what is measured in Node. Results go to benches/results/, and of a whole run (not `--quick`, nothing left
 * out) to docs/performance.md. Must not know: how anything is measured, or the course of a run.
 */
import { contestants, reference, subject } from '../benches/contestants.mjs';
import { runBench } from '../benches/course.mjs';
import { groups } from '../benches/groups.mjs';
import { ProcessHost } from '../benches/host.mjs';
import { bringPeers } from '../benches/peers.mjs';
import { goals, growing, rows } from '../benches/rows.mjs';
import { build } from './build.mjs';
import { main } from './process.mjs';

const bench = {
  contestants,
  subject,
  reference,
  rows,
  goals,
  growing,
  groups: ['cold', ...Object.keys(groups)].filter((name) => name !== 'prepare' && name !== 'disk'),
  defaults: { folder: 'target/bench', rounds: 5, minutes: 15, heavy_rounds: 2 },
  results: { whole: 'latest.json', partial: 'partial.json' },
  report: {
    begin: '<!-- measured: written by npm run bench -->',
    end: '<!-- measured: end -->',
    heading: '##',
    plots: true,
    spread: 'Milliseconds. The disk alone is 4 KiB appended and `fdatasync`, in the same rounds.',
  },
};

await main(() =>
  runBench(bench, {
    async bring() {
      await build();
      return bringPeers();
    },
    makeHost: (folder) => new ProcessHost(folder),
  }),
);
