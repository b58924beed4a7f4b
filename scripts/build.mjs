/**
 * From sources to `dist/`: the compiled core, its bindings, the package's two bundles and its types.
 *
 * Holds: the order of the steps and what each is made from; a step whose inputs did not change is
 * skipped. Must not know: what a machine lacks (setup.mjs), or what is done with the result.
 */
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { licenses_file, writeLicenses } from './licenses.mjs';
import { all, main, root, run, step } from './process.mjs';
import { locked, setUp, targetFolder, wasm_target } from './setup.mjs';
import { filesUnder, hashOf, unlessDone } from './stamps.mjs';

export const wasm_file = 'dist/wasm/chatstore_bg.wasm';
const raw_folder = '.tools/bindings';

/** What the compilers emit and every supported browser and Node runs. */
const wasm_features = [
  'bulk-memory',
  'bulk-memory-opt',
  'multivalue',
  'mutable-globals',
  'nontrapping-float-to-int',
  'reference-types',
  'sign-ext',
];
// Measured: reads are 4 to 10 percent faster than at -O1. Long functions that have one caller stay by themselves:
// no slower, and 14 KiB less once it is compressed.
const wasm_opt_args = [
  '-O3',
  '--one-caller-inline-max-function-size=50',
  ...wasm_features.map((name) => `--enable-${name}`),
];

/** A worker is found by its address, from either module system: one file serves both. */
const es_modules = { 'js/index.ts': 'dist/index.js', 'js/node/worker.ts': 'dist/worker.js' };
/** The report and the command line: what only they need is loaded with nothing else. */
const tool_modules = {
  'js/report/node.ts': 'dist/report.js',
  'js/report/node_host.ts': 'dist/report_host.js',
  'js/report/browser.ts': 'dist/report_browser.js',
  'js/cli/main.ts': 'dist/cli.js',
};
/** Modules that a tool finds beside it in dist/, as every other program does. */
const beside = { 'js/index.ts': './index.js', 'js/report/node.ts': './report.js' };
/** What a page loads is made small. */
const browser_modules = { 'js/browser/index.ts': 'dist/browser.js', 'js/browser/worker.ts': 'dist/browser_worker.js' };

const bundle_args = [
  '--bundle',
  '--target=es2022',
  '--external:node:*',
  '--log-level=warning',
  '--legal-comments=none',
];
// A CommonJS file has no import.meta: its own address stands in, so that files beside it are found the same way.
const commonjs_args = [
  '--format=cjs',
  '--platform=node',
  '--define:import.meta.url=module_url',
  "--banner:js=const module_url = require('node:url').pathToFileURL(__filename).href;",
];

/** A program that `npm ci` brought. */
const bin = (name) => join(root, 'node_modules/.bin', name);

/** Builds everything; `with_setup: false` where the caller has brought the machine up already. */
export async function build({ with_setup = true } = {}) {
  if (with_setup) await setUp();
  await all(compileCore(), buildTool('bindgen'));
  await writeBindings();
  await all(optimizeWasm(), buildPackage(), collectLicenses());
}

/** Builds a tool of the workspace, in a profile that compiles quickly, and returns the folder that its programs are in. */
export async function buildTool(name) {
  await step(`cargo build: ${name}`, (current) =>
    run('cargo', ['build', ...locked, '--profile', 'tools', '--package', name], { step: current }),
  );
  return join(targetFolder(), 'tools');
}

const compileCore = () =>
  step('cargo build: the core for wasm', (current) =>
    run('cargo', ['build', ...locked, '--release', '--target', wasm_target, '--lib'], { step: current }),
  );

async function writeBindings() {
  const target = targetFolder();
  const tool = join(target, 'tools', 'bindgen');
  const wasm = join(target, wasm_target, 'release', 'chatstore.wasm');
  const outputs = ['dist/wasm/bindings.js', 'dist/wasm/bindings.d.ts'];
  await unlessDone({
    stamp: '.tools/stamps/bindings',
    hash: hashOf([], [tool, wasm].map((file) => hashOf([], readFileSync(file))).join()),
    outputs: [`${raw_folder}/chatstore_bg.wasm`, ...outputs],
    work: () =>
      step('bindings', async () => {
        await run(tool, [wasm, join(root, raw_folder)]);
        mkdirSync(join(root, 'dist/wasm'), { recursive: true });
        for (const file of outputs) copyFileSync(join(root, raw_folder, file.split('/').at(-1)), join(root, file));
      }),
  });
}

async function optimizeWasm() {
  const input = `${raw_folder}/chatstore_bg.wasm`;
  await unlessDone({
    stamp: '.tools/stamps/wasm-opt',
    hash: hashOf([input, 'package-lock.json'], wasm_opt_args.join()),
    outputs: [wasm_file],
    work: () =>
      step('wasm-opt', async () => {
        const unfinished = join(root, raw_folder, 'optimized.wasm');
        await run(bin('wasm-opt'), [join(root, input), ...wasm_opt_args, '-o', unfinished]);
        renameSync(unfinished, join(root, wasm_file));
      }),
  });
}

async function buildPackage() {
  await unlessDone({
    stamp: '.tools/stamps/package',
    hash: hashOf([
      'js',
      'dist/wasm/bindings.js',
      'dist/wasm/bindings.d.ts',
      'tsconfig.json',
      'tsconfig.build.json',
      'package-lock.json',
      'scripts/build.mjs',
    ]),
    outputs: [
      ...Object.values(es_modules),
      ...Object.values(browser_modules),
      ...Object.values(tool_modules),
      'dist/report.cjs',
      'dist/index.cjs',
      'dist/index.d.ts',
      'dist/index.d.cts',
      'dist/report/node.d.ts',
    ],
    work: () =>
      step('bundles and types', async () => {
        for (const file of filesUnder('dist').filter(
          (name) => /\.d\.c?ts$/.test(name) && !name.startsWith('dist/wasm/'),
        ))
          rmSync(join(root, file));
        await all(
          ...Object.entries(es_modules).map(([source, file]) =>
            run(bin('esbuild'), [source, ...bundle_args, '--format=esm', '--platform=neutral', `--outfile=${file}`]),
          ),
          ...Object.entries(browser_modules).map(([source, file]) =>
            run(bin('esbuild'), [source, ...bundle_args, '--format=esm', '--minify', `--outfile=${file}`]),
          ),
          ...Object.entries({ 'js/index.ts': 'dist/index.cjs', 'js/report/node.ts': 'dist/report.cjs' }).map(
            ([source, file]) => run(bin('esbuild'), [source, ...bundle_args, ...commonjs_args, `--outfile=${file}`]),
          ),
          ...Object.entries(tool_modules).map(([source, file]) => bundleTool(source, file)),
          run(bin('tsc'), ['--project', 'tsconfig.build.json']),
        );
        writeCommonjsTypes();
      }),
  });
}

/** Bundles a tool, but for what stands in files of its own already. */
async function bundleTool(source, file) {
  // Only here: where the machine is just being set up, the bundler may have come a moment ago.
  const esbuild = await import('esbuild');
  const besides = {
    name: 'beside',
    setup: (current) => {
      current.onResolve({ filter: /^\./ }, ({ path, resolveDir, kind }) => {
        const module = relative(root, join(resolveDir, path)).replace(/\.js$/, '.ts');
        return kind !== 'entry-point' && module in beside ? { path: beside[module], external: true } : undefined;
      });
    },
  };
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: [source],
    outfile: file,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    // What a page loads is made small.
    minify: source.endsWith('/browser.ts'),
    external: ['node:*'],
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [besides],
  });
}

const collectLicenses = () =>
  unlessDone({
    stamp: '.tools/stamps/licenses',
    hash: hashOf(['Cargo.toml', 'Cargo.lock', 'package-lock.json', 'scripts/licenses.mjs']),
    outputs: [licenses_file],
    work: () => step('licences', writeLicenses),
  });

/** A CommonJS importer reads `.d.cts`: each types file once more, its relative imports renamed alike. */
function writeCommonjsTypes() {
  for (const file of filesUnder('dist').filter((name) => name.endsWith('.d.ts'))) {
    const types = readFileSync(join(root, file), 'utf8').replaceAll(/(['"])(\.{1,2}\/[^'"]*)\.js\1/g, '$1$2.cjs$1');
    writeFileSync(join(root, file.replace(/\.d\.ts$/, '.d.cts')), types);
  }
}

if (fileURLToPath(import.meta.url) === process.argv[1]) await main(() => build());
