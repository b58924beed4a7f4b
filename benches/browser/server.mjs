/**
 * What pages of the bench are served from: bundles as an application has them, on an address that counts as secure.
 *
 * Holds: one folder of bundles a contestant, the binary files that its packages bring beside them, the marks that
 * pages make. Must not know: what a page does.
 */
import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { build } from 'esbuild';
import { root } from '../../scripts/process.mjs';

const here = join(root, 'benches/browser');
const packages = join(root, 'benches/peers/node_modules');
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** chatstore is served as its package has it, not bundled once more: its worker and its core lie beside it. */
const own_build = {
  name: 'chatstore',
  setup: ({ onResolve }) => onResolve({ filter: /^chatstore$/ }, () => ({ path: '/dist/browser.js', external: true })),
};

const workerFile = (worker) => (worker.includes('/') ? join(packages, worker) : join(here, 'workers', `${worker}.mjs`));

async function bundle({ name, page, worker }, folder) {
  await build({
    entryPoints: {
      page: join(here, 'page.mjs'),
      ...(worker === undefined ? {} : { worker: workerFile(worker) }),
    },
    outdir: join(folder, name),
    alias: { contestant: join(here, 'contestants', `${page}.mjs`) },
    nodePaths: [packages],
    plugins: [own_build],
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    external: ['node:*', 'fs', 'fs/promises', 'path', 'url', 'module', 'crypto', 'worker_threads'],
    logLevel: 'error',
  });
}

const html = (title) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><body><script type="module" src="page.js"></script>`;

/** Serves contestants' pages at `/NAME/`. `files` has the folders of bundles and of facts. */
export async function startServer(contestants, { bundles, facts }) {
  for (const contestant of contestants) await bundle(contestant, bundles);
  const marks = [];
  const named = new Map(contestants.map((contestant) => [contestant.name, contestant]));
  const find = (path) => {
    if (path.startsWith('/facts-')) return join(facts, path);
    if (path.startsWith('/dist/')) return join(root, path);
    const [, name, file] = path.split('/');
    const contestant = named.get(name);
    if (contestant === undefined || file === undefined) return undefined;
    const places = [join(bundles, name), ...(contestant.assets ?? []).map((each) => join(packages, each))];
    return places.map((place) => join(place, file)).find((candidate) => existsSync(candidate));
  };
  const answer = (path) => {
    if (path.startsWith('/mark/')) {
      marks.push({ name: path.slice('/mark/'.length), at_ms: performance.timeOrigin + performance.now() });
      return { status: 204 };
    }
    const [, name, file] = path.split('/');
    const contestant = named.get(name);
    const headers = contestant?.isolated
      ? { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }
      : {};
    if (contestant !== undefined && file === '')
      return { headers: { ...headers, 'content-type': types['.html'] }, body: html(contestant.title) };
    const found = path.includes('..') ? undefined : find(path);
    if (found === undefined || !existsSync(found)) return { status: 404 };
    return {
      headers: {
        ...headers,
        'content-type': types[extname(found)] ?? 'application/octet-stream',
        'cache-control': path.startsWith('/facts-') ? 'no-store' : 'max-age=31536000, immutable',
      },
      body: readFileSync(found),
    };
  };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const { status = 200, headers = {}, body } = answer(path);
    response.writeHead(status, headers).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    /** The marks since it was last asked. */
    takeMarks: () => marks.splice(0),
    close: () => server.close(),
  };
}
