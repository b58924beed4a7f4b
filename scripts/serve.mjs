/**
 * A server of files for one folder, for this machine.
 *
 * Holds: types, the policy and how long a browser may keep what. Must not know: what is in the folder. What it
 * serves is read when it is asked for; nothing outside of the folder ever is.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';
import { header_policy } from '../www/policy.mjs';

const types = {
  '.css': 'text/css; charset=utf-8',
  '.gz': 'application/gzip',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.md': 'text/plain; charset=utf-8',
  '.map': 'application/json',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  // Anything else would not be compiled while it comes.
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};
const a_year_s = 365 * 24 * 60 * 60;

/** Starts to serve; resolves to the server and the address it answers at. Port 0 takes a free one. */
export function serve(folder, { host = '127.0.0.1', port = 0 } = {}) {
  const server = createServer((request, response) => {
    answer(folder, request, response).catch((error) => {
      console.error(error);
      response.destroy();
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      const name = host.includes(':') ? `[${host}]` : host;
      const bound = server.address();
      resolve({ server, address: `http://${name}:${typeof bound === 'object' ? bound?.port : port}/` });
    });
  });
}

async function answer(folder, request, response) {
  const headers = {
    'content-security-policy': header_policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { ...headers, allow: 'GET, HEAD' }).end();
    return;
  }
  const file = fileOf(folder, request.url ?? '/');
  const found = file === undefined ? undefined : await stat(file).catch(() => undefined);
  if (file === undefined || found === undefined || !found.isFile()) {
    response.writeHead(404, { ...headers, 'content-type': types['.txt'] }).end('There is nothing here.\n');
    return;
  }
  response.writeHead(200, {
    ...headers,
    'content-type': types[extname(file)] ?? 'application/octet-stream',
    'content-length': found.size,
    // The build puts a hash of the content into the names of these.
    'cache-control': file.includes(`${sep}assets${sep}`) ? `public, max-age=${a_year_s}, immutable` : 'no-cache',
  });
  if (request.method === 'HEAD') response.end();
  else
    createReadStream(file)
      .on('error', () => response.destroy())
      .pipe(response);
}

/** The file that an address names; undefined for what cannot be one of the folder. */
function fileOf(folder, address) {
  try {
    const path = normalize(decodeURIComponent(new URL(address, 'http://localhost').pathname));
    if (path.includes('\0')) return undefined;
    const file = join(folder, path.endsWith(sep) ? `${path}index.html` : path);
    return file.startsWith(folder + sep) ? file : undefined;
  } catch {
    return undefined;
  }
}
