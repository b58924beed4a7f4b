/**
 * What the tabs of the tests are served: a page that has imported the package, from as many builds of
 * it as a test wants, all under one origin.
 *
 * Holds: addresses, MIME types, and a content security policy without anything that a strict site could
 * not grant. Sends no headers of cross-origin isolation: the package must not need them. Must not know:
 * which browser asks.
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { extname, join, normalize } from 'node:path';
import { after } from 'node:test';
import { root } from '../../js/support.mjs';

const types = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** A page may run what its own origin serves, and compile wasm; nothing else, and no text as code. */
const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' 'nonce-import-map'; object-src 'none'";

const page = (build) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>chatstore</title>
<script type="importmap" nonce="import-map">{ "imports": {
  "chatstore": "/builds/${build}/browser.js", "chatstore/report": "/builds/${build}/report_browser.js"
} }</script>
<script type="module" src="/page.js"></script>
`;

const own_files = Object.fromEntries(
  ['page.js', 'contents.js'].map((name) => [`/${name}`, join(root, 'tests/browser/support', name)]),
);

/**
 * A build of the package: the folder that it lies in, and text that is put before each of its scripts,
 * to be run in the page and in the worker before anything of the package is.
 *
 * @typedef {{ folder: string, before?: string }} Build
 */

/** The package as it is built. */
export const dist = { folder: join(root, 'dist') };

/** The same in a browser that has no OPFS. */
const without_opfs = { folder: dist.folder, before: 'delete globalThis.StorageManager?.prototype.getDirectory;\n' };

/**
 * Serves the test page for each of `builds` at `page(build)`, on a free port of 127.0.0.1, until the
 * tests of the file are over. `files` are bytes that pages get from, and put to, `/files/<name>`.
 *
 * @param {Record<string, Build>} [more_builds] beside `dist` and `without-opfs`
 */
export async function startServer(more_builds = {}) {
  const builds = { dist, 'without-opfs': without_opfs, ...more_builds };

  /** @type {Map<string, Uint8Array>} */
  const files = new Map();

  const find = async (path) => {
    const [, first, build, ...rest] = path.split('/');
    if (first === 'files') return { type: 'application/octet-stream', body: files.get(build) };
    if (first === 'page' && build in builds) return { type: types['.html'], body: page(build) };
    const file =
      first === 'builds' && build in builds ? join(builds[build].folder, normalize(rest.join('/'))) : own_files[path];
    if (file === undefined) return undefined;
    const type = types[extname(file)] ?? 'application/octet-stream';
    const body = await readFile(file).catch(() => undefined);
    if (body === undefined) return undefined;
    const before = first === 'builds' && type === types['.js'] ? (builds[build].before ?? '') : '';
    return { type, body: before === '' ? body : before + body.toString('utf8') };
  };

  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    if (request.method === 'PUT' && path.startsWith('/files/')) {
      files.set(path.slice('/files/'.length), await buffer(request));
      response.writeHead(204).end();
      return;
    }
    const found = await find(path);
    if (found?.body === undefined) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('There is nothing here.');
      return;
    }
    response.writeHead(200, {
      'content-type': found.type,
      'content-security-policy': policy,
      'cache-control': 'no-cache',
    });
    response.end(found.body);
  });
  const port = await listen(server);
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${port}`;
  return { origin, files, page: (build = 'dist') => `${origin}/page/${build}` };
}

/** Lets a server listen on a free port of 127.0.0.1, and gives that. */
export async function listen(server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  return server.address().port;
}
