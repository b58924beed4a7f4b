/**
 * `npm run bench:browser`: the same in headless Chromium, measured by the page that calls.
 *
 *   --quick              a small store and one round: to see that it works
 *   --size N             messages in the store, beside one chat of 10,000 (default 100,000)
 *   --rounds N           at most so many, default 3; of the bulks of 100,000 at most 1
 *   --minutes N          begins no round that would end later, default 20; the first is always run
 *   --rows A,B           only groups of rows that contain one of these
 *   --contestants A,B    only these
 *   --seed N             of the data and of the order; printed
 *   --folder PATH        where the browser's profiles lie (default target/bench-browser): its disk is what is measured
 *
 * Holds: what is measured in a browser. Results go to benches/results/, and of a whole run to docs/performance.md.
 * Must not know: how anything is measured, or the course of a run.
 */
import { contestants, reference, subject } from '../benches/browser/contestants.mjs';
import { PageHost } from '../benches/browser/host.mjs';
import { goals, rows } from '../benches/browser/rows.mjs';
import { runBench } from '../benches/course.mjs';
import { bringBrowserPeers } from '../benches/peers.mjs';
import { build } from './build.mjs';
import { buildPage } from './page.mjs';
import { main } from './process.mjs';

const bench = {
  contestants,
  subject,
  reference,
  rows,
  goals,
  growing: [],
  groups: [
    'cold',
    'reads',
    'searching',
    'writes',
    'relaxed',
    'bulk',
    'bulk_searchable',
    'bulk_many',
    'bulk_many_searchable',
    'traced',
    'demo',
  ],
  defaults: { folder: 'target/bench-browser', rounds: 3, minutes: 20, heavy_rounds: 1 },
  results: { whole: 'browser.json', partial: 'partial.json' },
  report: {
    begin: '<!-- measured: written by npm run bench:browser -->',
    end: '<!-- measured in a browser: end -->',
    heading: '###',
    plots: false,
  },
};

await main(() =>
  runBench(bench, {
    async bring() {
      await build();
      await buildPage();
      return bringBrowserPeers(contestants);
    },
    makeHost: (folder, invited) => PageHost.start(folder, invited),
  }),
);
