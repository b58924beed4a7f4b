/**
 * `npm run bench:figures`: what the figures cost that are always counted, on the hot paths. `ROUNDS` is how often
 * each path is run (default 60).
 *
 * Holds: a build that counts nothing, made from the same sources and the same core. Must not know: what is run, or
 * how it is timed.
 */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build as bundle } from 'esbuild';
import { build } from '../scripts/build.mjs';
import { Failure, main, root } from '../scripts/process.mjs';
import { compareBuilds } from './builds.mjs';

const folder = join(root, 'target/bench-figures');
/** Copies show what is chance, and what comes of being loaded earlier or later. */
const copies = ['without', 'with', 'with-again', 'without-again'];
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

await main(async () => {
  await build();
  rmSync(folder, { recursive: true, force: true });
  const dist = join(root, 'dist');
  for (const name of copies)
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
  cpSync(join(folder, 'without/index.js'), join(folder, 'without-again/index.js'));
  console.log('without figures; with them; with them once more; without them once more');
  await compareBuilds(copies.map((name) => join(folder, name)));
});
