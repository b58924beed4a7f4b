/**
 * `npm test`: every gate and every test, one suite after the other. `npm test -- NAME...` runs the
 * named ones, `npm test -- --list` says what there is.
 *
 * Holds: the suites in their order, what each needs first, and the closing summary. A failed suite
 * does not stop the others; the exit code is 1 where any failed. Must not know: how things are built.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { build, buildTool, wasm_file } from './build.mjs';
import { checkPackage } from './package-check.mjs';
import { Failure, main, root, stream } from './process.mjs';
import {
  buildGeckodriver,
  chromedriver_path,
  firefoxEnvironment,
  locked,
  setUp,
  tryWebKitGtk,
  wasm_target,
} from './setup.mjs';

/** What a page loads of the package before its first message shows, and most that all of it may take, compressed. */
const page_files = [wasm_file, 'dist/browser.js', 'dist/browser_worker.js'];
const budget_bytes = 600 * 1024;

const cargo = (args, env) => stream('cargo', args, { env });
const bin = (name, args) => stream(join(root, 'node_modules/.bin', name), args);

const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;

/** Runs commands in turn, all of them, and passes when all have passed. */
async function inTurn(...commands) {
  let passed = true;
  for (const command of commands) passed = (await command()) === 0 && passed;
  return passed;
}

/**
 * The wasm test files, in the one place that each is for: a file that is configured for a browser says
 * so itself, all others run in Node. `only` makes the runner skip those of the other place. It takes
 * Firefox where GECKODRIVER is set.
 */
const wasmTests = (only, env = {}) =>
  inTurn(() => cargo(['test', ...locked, '--target', wasm_target, '--test', 'wasm_*'], { [only]: '1', ...env }));

/** All test files of a folder, one after the other. */
function nodeTests(folder) {
  const files = readdirSync(join(root, folder)).filter((file) => file.endsWith('.test.mjs'));
  if (files.length === 0) throw new Failure(`${folder} holds no *.test.mjs`);
  const paths = files.toSorted().map((file) => `${folder}/${file}`);
  return inTurn(() => stream(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...paths]));
}

const suites = [
  {
    name: 'rustfmt',
    run: () => inTurn(() => cargo(['fmt', '--all', '--check'])),
  },
  {
    name: 'clippy',
    run: () =>
      inTurn(
        () =>
          cargo([
            'clippy',
            ...locked,
            '--package',
            'chatstore',
            '--package',
            'bindgen',
            '--all-targets',
            '--',
            '-D',
            'warnings',
          ]),
        () =>
          cargo(['clippy', ...locked, '--target', wasm_target, '--lib', '--test', 'wasm_*', '--', '-D', 'warnings']),
      ),
  },
  {
    name: 'rustdoc',
    run: () =>
      inTurn(
        ...[[], ['--target', wasm_target]].map(
          (target) => () => cargo(['doc', ...locked, '--no-deps', '--lib', ...target], { RUSTDOCFLAGS: '-D warnings' }),
        ),
      ),
  },
  {
    name: 'native',
    run: () => inTurn(() => cargo(['test', ...locked])),
  },
  {
    name: 'wasm-node',
    needs: 'runner',
    run: () => wasmTests('WASM_BINDGEN_TEST_ONLY_NODE'),
  },
  {
    name: 'wasm-chromium',
    needs: 'runner',
    run: () => wasmTests('WASM_BINDGEN_TEST_ONLY_WEB', { CHROMEDRIVER: chromedriver_path(), GECKODRIVER: undefined }),
  },
  {
    name: 'wasm-firefox',
    needs: 'runner',
    browser: 'firefox',
    run: () => wasmTests('WASM_BINDGEN_TEST_ONLY_WEB', firefoxEnvironment()),
  },
  {
    name: 'build',
    run: async () => {
      await build({ with_setup: false });
      return true;
    },
  },
  {
    name: 'types',
    needs: 'build',
    run: () =>
      inTurn(
        ...['tsconfig.json', 'tsconfig.tests.json', 'www/tsconfig.json'].map(
          (file) => () => bin('tsc', ['--project', file]),
        ),
      ),
  },
  {
    name: 'lint',
    needs: 'build',
    run: () =>
      inTurn(
        () =>
          bin('oxlint', ['--type-aware', '--deny-warnings', 'js', 'tests/js', 'tests/browser', 'scripts', 'examples']),
        // By itself: together, types of the one are looked up with the settings of the other.
        () => bin('oxlint', ['--type-aware', '--deny-warnings', 'www']),
        () => bin('oxfmt', ['--check']),
      ),
  },
  {
    name: 'size',
    needs: 'build',
    run: () => {
      let all_bytes = 0;
      for (const file of page_files) {
        const bytes = readFileSync(join(root, file));
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
        const size_bytes = brotliCompressSync(bytes, { params }).length;
        all_bytes += size_bytes;
        console.log(`${file}: ${kib(size_bytes)} with brotli (${kib(bytes.length)} as it is)`);
      }
      console.log(`all that a page loads: ${kib(all_bytes)}; the budget is ${kib(budget_bytes)}`);
      return all_bytes <= budget_bytes;
    },
  },
  {
    name: 'package',
    needs: 'build',
    run: checkPackage,
  },
  {
    name: 'node-api',
    needs: 'build',
    run: () => nodeTests('tests/js'),
  },
  {
    name: 'browser-api',
    needs: 'build',
    run: () => nodeTests('tests/browser/chromium'),
  },
  {
    name: 'browser-firefox',
    needs: 'build',
    browser: 'firefox',
    run: () => nodeTests('tests/browser/firefox'),
  },
  {
    name: 'webkitgtk',
    needs: 'build',
    browser: 'webkitgtk',
    run: () => nodeTests('tests/browser/webkitgtk'),
  },
];

/** Runs one suite. What it says is its own; here it is only named, timed and kept from ending the rest. */
async function runSuite(suite) {
  console.log(`\n=== ${suite.name}`);
  const start_ms = performance.now();
  let passed;
  try {
    passed = await suite.run();
  } catch (error) {
    console.error(error instanceof Failure ? error.message : error);
    passed = false;
  }
  const seconds = ((performance.now() - start_ms) / 1_000).toFixed(1);
  console.log(`=== ${suite.name}: ${passed ? 'passed' : 'FAILED'} in ${seconds} s`);
  return { name: suite.name, passed, time: `${seconds.padStart(7)} s` };
}

/** The chosen suites in their order, with `build` before the first that needs it. */
function choose(names) {
  const unknown = names.filter((name) => suites.every((suite) => suite.name !== name));
  if (unknown.length > 0)
    throw new Failure(
      `No such suite: ${unknown.join(', ')}. There are: ${suites.map((suite) => suite.name).join(', ')}.`,
    );
  const chosen = names.length === 0 ? suites : suites.filter((suite) => names.includes(suite.name));
  const build_needed = chosen.some((suite) => suite.needs === 'build');
  return suites.filter((suite) => chosen.includes(suite) || (build_needed && suite.name === 'build'));
}

await main(async () => {
  const names = process.argv.slice(2);
  if (names.includes('--list')) {
    console.log(suites.map((suite) => suite.name).join('\n'));
    return;
  }
  const chosen = choose(names);
  const start_ms = performance.now();
  await setUp({ tests: true });
  if (chosen.some((suite) => suite.needs === 'runner')) await buildTool('wasm-bindgen-tools');
  if (chosen.some((suite) => suite.browser === 'firefox')) await buildGeckodriver();
  if (chosen.some((suite) => suite.browser === 'webkitgtk')) await tryWebKitGtk();
  const set_up_s = ((performance.now() - start_ms) / 1_000).toFixed(1);

  const results = [];
  for (const suite of chosen) {
    // What stands in dist/ would be an older build: it proves nothing.
    const build_failed = results.some((result) => result.name === 'build' && !result.passed);
    if (suite.needs === 'build' && build_failed)
      results.push({ name: suite.name, passed: false, time: 'not run: the build failed' });
    else results.push(await runSuite(suite));
  }

  console.log(`\n${'set-up'.padEnd(14)} ${''.padEnd(6)} ${set_up_s.padStart(7)} s`);
  for (const { name, passed, time } of results)
    console.log(`${name.padEnd(14)} ${passed ? 'passed' : 'FAILED'} ${time}`);
  const failed = results.filter((result) => !result.passed).length;
  console.log(`suites: ${results.length - failed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
});
