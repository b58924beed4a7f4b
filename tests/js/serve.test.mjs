/** The server of the demo page: what it says beside each file, and that it gives nothing else away. */
// @ts-nocheck -- callers in JavaScript have no types
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { temporaryFolder } from './support.mjs';

const outside = temporaryFolder();
const folder = join(outside, 'page');
mkdirSync(join(folder, 'assets'), { recursive: true });
writeFileSync(join(outside, 'secret.txt'), 'not for everybody');
writeFileSync(join(outside, 'page-too.txt'), 'beside the folder');
writeFileSync(join(folder, 'index.html'), '<!doctype html>');
writeFileSync(join(folder, 'assets', 'core.wasm'), new Uint8Array([0, 0x61, 0x73, 0x6d]));

const { server, address } = await serve(folder);
after(() => {
  server.close();
  server.closeAllConnections();
});

/** A path as it stands: `fetch` would tidy it up before it is sent. */
const get = (path, method = 'GET') =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(address);
    request({ hostname, port, path, method }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (more) => {
        text += more;
      });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    })
      .on('error', reject)
      .end();
  });

test('the page comes with a policy that allows no script of others', async () => {
  const { status, headers, text } = await get('/');
  assert.deepEqual([status, text], [200, '<!doctype html>']);
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(headers['cache-control'], 'no-cache');
  const policy = headers['content-security-policy'];
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe-inline|'unsafe-eval'/);
});

test('wasm comes with the type that lets it be compiled while it loads, and may be kept', async () => {
  const { headers } = await get('/assets/core.wasm');
  assert.equal(headers['content-type'], 'application/wasm');
  assert.match(headers['cache-control'], /immutable/);
});

test('nothing outside of the folder is given away', async () => {
  const paths = [
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/../../secret.txt',
    '/../page-too.txt',
  ];
  for (const path of paths) {
    const { status, text } = await get(path);
    assert.deepEqual([path, status, /everybody|beside/.test(text)], [path, 404, false]);
  }
});

test('what makes no sense is answered', async () => {
  for (const path of ['/%00', '/%', '/assets', '/assets/', '//', '/nothing']) {
    const { status } = await get(path);
    assert.deepEqual([path, status], [path, 404]);
  }
  const { status, headers } = await get('/', 'POST');
  assert.deepEqual([status, headers.allow], [405, 'GET, HEAD']);
});
