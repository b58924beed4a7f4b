/** The address of a file, in each of its kinds that this system can show. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importSource, root, runNode, temporaryFolder } from './support.mjs';

const { lockAddress, lockKind, takeAddress } = await importSource('js/node/lock.ts');

const take = (path, kind) => takeAddress(path, (socket) => socket.destroy(), kind);
const letGo = (server) => new Promise((resolve) => server.close(resolve));

const holder = `
  import { build } from 'esbuild';
  const { outputFiles } = await build({ entryPoints: [${JSON.stringify(join(root, 'js/node/lock.ts'))}], bundle: true, format: 'esm', platform: 'node', write: false });
  const { takeAddress } = await import('data:text/javascript;base64,' + Buffer.from(outputFiles[0].contents).toString('base64'));
  await takeAddress(process.argv[1], (socket) => socket.destroy(), process.argv[2]);
  console.log('held');
  setInterval(() => undefined, 1000);
`;

/** Another process that holds the lock until it is killed. */
function holdElsewhere(path, kind) {
  let child;
  let ended;
  const held = new Promise((resolve) => {
    ended = runNode(['--input-type=module', '--eval', holder, path, kind], {
      on_line: (_, process) => {
        child = process;
        resolve();
      },
    });
  });
  return held.then(() => ({
    kill: () => {
      child.kill('SIGKILL');
      return ended;
    },
  }));
}

const kinds = process.platform === 'linux' ? ['abstract', 'file'] : [lockKind()];

for (const kind of kinds) {
  test(`${kind}: a second one does not get the address until the first has let it go`, async () => {
    const path = join(temporaryFolder(), 'a.chat');
    const server = await take(path, kind);
    assert.equal(await take(path, kind), undefined);
    await letGo(server);
    await letGo(await take(path, kind));
  });

  test(`${kind}: files with other names do not meet`, async () => {
    const folder = temporaryFolder();
    const servers = await Promise.all(['a', 'b', 'c'].map((name) => take(join(folder, name), kind)));
    await Promise.all(servers.map(letGo));
  });

  test(`${kind}: of many that want a file at the same time exactly one gets it`, async () => {
    const path = join(temporaryFolder(), 'a.chat');
    const servers = await Promise.all(Array.from({ length: 20 }, () => take(path, kind)));
    const won = servers.filter((server) => server !== undefined);
    assert.equal(won.length, 1);
    await letGo(won[0]);
  });

  test(`${kind}: another process has it until it is killed`, async () => {
    const path = join(temporaryFolder(), 'a.chat');
    const other = await holdElsewhere(path, kind);
    try {
      assert.equal(await take(path, kind), undefined);
    } finally {
      await other.kill();
    }
    if (kind === 'file') assert.ok(existsSync(lockAddress(path, kind)), 'a killed process leaves its socket file');
    await letGo(await take(path, kind));
  });
}
