/**
 * The demo page: built from `www/` on the package as anybody would use it, into `dist/www/`.
 *
 * Holds: the build and what it is made from. Must not know: how the package is built, or who serves the page.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build as buildPackage, wasm_file } from './build.mjs';
import { licenses_file } from './licenses.mjs';
import { main, root, run, step } from './process.mjs';
import { hashOf, unlessDone } from './stamps.mjs';

export const page_folder = 'dist/www';

export async function buildPage() {
  await unlessDone({
    stamp: '.tools/stamps/page',
    hash: hashOf([
      'www',
      'dist/browser.js',
      'dist/browser_worker.js',
      wasm_file,
      licenses_file,
      'package.json',
      'package-lock.json',
      'scripts/page.mjs',
    ]),
    outputs: [`${page_folder}/index.html`, `${page_folder}/sw.js`],
    work: () =>
      step('the page', () =>
        run(join(root, 'node_modules/.bin/vite'), ['build', '--config', 'www/vite.config.mjs', '--logLevel', 'warn']),
      ),
  });
}

if (fileURLToPath(import.meta.url) === process.argv[1])
  await main(async () => {
    await buildPackage();
    await buildPage();
  });
