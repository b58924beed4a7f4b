/**
 * How the page is built: as anybody's page that uses the package would be, and the list of files for its
 * service worker. Must not know: how the package is built, or who serves the result.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { meta_policy } from './policy.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
/** Files of `public/` that the page needs without a network. */
const public_files = ['theme.js', 'icon.svg', 'manifest.webmanifest'];

/** Writes sw.js: the service worker with the names of all that was built, and a version made from it. */
function serviceWorker() {
  return {
    name: 'service-worker',
    apply: 'build',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const hash = createHash('sha256');
        for (const [name, { code, source }] of Object.entries(bundle)) hash.update(name).update(code ?? source);
        for (const name of public_files) hash.update(readFileSync(here(`public/${name}`)));
        // The sample is loaded when somebody asks for it, not by everybody's first visit.
        const built = Object.keys(bundle).filter((name) => name !== 'index.html' && !name.endsWith('.gz'));
        const files = ['/', ...[...built, ...public_files].map((name) => `/${name}`)];
        const source = readFileSync(here('src/service_worker.js'), 'utf8')
          .replace('__VERSION__', hash.digest('hex').slice(0, 16))
          .replace("['__FILES__']", JSON.stringify(files));
        this.emitFile({ type: 'asset', fileName: 'sw.js', source });
      },
    },
  };
}

/** The licences of what is in the package's wasm, beside those of the page's own libraries (`build.license`). */
const coreLicenses = {
  name: 'core-licenses',
  apply: 'build',
  generateBundle() {
    const source = readFileSync(here('../dist/THIRD-PARTY-LICENSES.txt'));
    this.emitFile({ type: 'asset', fileName: 'licenses-of-the-core.txt', source });
  },
};

export default defineConfig({
  root: here('.'),
  logLevel: 'warn',
  plugins: [
    { name: 'policy', transformIndexHtml: (html) => html.replace('%POLICY%', meta_policy) },
    coreLicenses,
    serviceWorker(),
  ],
  worker: { format: 'es' },
  build: {
    outDir: here('../dist/www'),
    emptyOutDir: true,
    target: 'es2022',
    // The first ones that know light-dark(); they know all else that the page needs, too.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // A data: address in place of a small file would be against the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // What ships keeps its licences with it.
    license: { fileName: 'licenses.md' },
  },
});
