/**
 * `npm start`: brings what the machine lacks, builds the package and the demo page, and serves the page until it
 * is stopped. `PORT` or `-- --port N` chooses the port (default: a free one), `-- --host ADDRESS` who can reach it
 * (default: this machine only).
 *
 * Must not know: what the page is.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from './build.mjs';
import { buildPage, page_folder } from './page.mjs';
import { Failure, main, root } from './process.mjs';
import { serve } from './serve.mjs';

await main(async () => {
  const { host, port } = options();
  await build();
  await buildPage();
  const { server, address } = await serve(join(root, page_folder), { host, port }).catch((error) => {
    throw new Failure(`The page cannot be served at ${host}, port ${port}: ${error.message}`);
  });
  console.log(`chatstore demo: ${address}`);
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
});

function options() {
  let values;
  try {
    ({ values } = parseArgs({ options: { host: { type: 'string' }, port: { type: 'string' } } }));
  } catch (error) {
    throw new Failure(`${error.message}\nThere are: --host ADDRESS, --port NUMBER`);
  }
  const port = Number(values.port ?? (process.env.PORT || 0));
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Failure(`A port is a number from 0 to 65535; this is ${values.port ?? process.env.PORT}.`);
  return { host: values.host ?? '127.0.0.1', port };
}
