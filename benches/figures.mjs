/**
 * `npm run bench:figures`: what the figures cost that are always counted, on the hot paths. `ROUNDS` is how often
 * each path is run in each process (default 60), `PROCESSES` how many there are, one after the other (default 8).
 *
 * Holds: a build that counts nothing, made from the same sources and the same core, and how to tell a small
 * difference from chance. Must not know: what is run, or how it is timed.
 */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build as bundle } from 'esbuild';
import { build } from '../scripts/build.mjs';
import { Failure, main, root, run, step } from '../scripts/process.mjs';
import { more } from './builds.mjs';

const folder = join(root, 'target/bench-figures');
const processes = Number(process.env.PROCESSES ?? 8);
/** What of the sources is only there for the figures, and what stands there without them. */
const left_out = {
  'js/host/figures.ts': [
    [
      /$/,
      `Histogram.prototype.add = () => undefined;
      Figures.prototype.answered = () => undefined;
      Figures.prototype.isSlow = () => false;`,
    ],
  ],
  'js/host/host.ts': [
    ['events.length > 0 ? performance.now() : beganMs', 'beganMs'],
    ['performance.now() - nowMs', '0'],
  ],
  // The core asks for the time to know how long a call has run.
  'dist/wasm/bindings.js': [['const ret = performance.now();', 'const ret = 0;']],
};

const leaving_out = {
  name: 'leaving-out',
  setup: ({ onLoad }) => {
    for (const [file, changes] of Object.entries(left_out)) {
      const path = join(root, file);
      onLoad({ filter: new RegExp(`/${file.replaceAll('.', String.raw`\.`)}$`) }, () => {
        let contents = readFileSync(path, 'utf8');
        for (const [what, instead] of changes) {
          const changed = contents.replaceAll(what instanceof RegExp ? new RegExp(what, 'g') : what, instead);
          if (changed === contents) throw new Failure(`${file}: expected ${what} in it`);
          contents = changed;
        }
        return { contents, loader: file.endsWith('.ts') ? 'ts' : 'js' };
      });
    }
  },
};

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Without figures and with them, in a process of its own. What is loaded later is a little slower or faster. */
async function measure(reversed) {
  const dists = ['without', 'with'].map((name) => join(folder, name));
  if (reversed) dists.reverse();
  const printed = JSON.parse(await run('node', ['benches/builds.mjs', '--json', ...dists]));
  return Object.fromEntries(Object.entries(printed).map(([path, us]) => [path, reversed ? us.toReversed() : us]));
}

await main(async () => {
  await build();
  rmSync(folder, { recursive: true, force: true });
  const dist = join(root, 'dist');
  for (const name of ['without', 'with'])
    for (const part of ['index.js', 'worker.js', 'wasm'])
      cpSync(join(dist, part), join(folder, name, part), { recursive: true });
  await bundle({
    absWorkingDir: root,
    entryPoints: ['js/index.ts'],
    outfile: join(folder, 'without/index.js'),
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    external: ['node:*'],
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [leaving_out],
    allowOverwrite: true,
  });
  const runs = [];
  for (let at = 0; at < processes; at++)
    // oxlint-disable-next-line no-await-in-loop -- one after the other, so that each has the machine to itself
    runs.push(await step(`process ${at + 1} of ${processes}`, () => measure(at % 2 === 1)));
  console.log('µs a call without figures, what they add to it, and the least and most of all processes');
  for (const path of Object.keys(runs[0])) {
    const pairs = runs.map((took_us) => took_us[path]);
    const shares = pairs.map(([without, with_them]) => with_them / without).toSorted((one, other) => one - other);
    const without = mean(pairs.map(([first]) => first));
    const [least, most] = [shares[0], shares.at(-1)].map((share) => more(share, 1));
    console.log(
      `${path.padEnd(24)} ${without.toFixed(2).padStart(8)}  ${more(mean(shares), 1)}  (${least} to ${most})`,
    );
  }
});
