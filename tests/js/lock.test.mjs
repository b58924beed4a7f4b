/** The ownership of a file, in each of its kinds that this system can show. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importSource, rejection, root, runNode, temporaryFolder } from './support.mjs';

const { acquireLock, lockAddress, lockKind } = await importSource('js/node/lock.ts');

const holder = `
  import { build } from 'esbuild';
  const { outputFiles } = await build({ entryPoints: [${JSON.stringify(join(root, 'js/node/lock.ts'))}], bundle: true, format: 'esm', platform: 'node', write: false });
  const { acquireLock } = await import('data:text/javascript;base64,' + Buffer.from(outputFiles[0].contents).toString('base64'));
  await acquireLock(process.argv[1], process.argv[2]);
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
  test(`${kind}: a second owner is refused at once and told which file it is`, async () => {
    const path = join(temporaryFolder(), 'a.chat');
    const lock = await acquireLock(path, kind);
    const error = await rejection(acquireLock(path, kind));
    assert.equal(error.code, 'STORE_LOCKED');
    assert.ok(error.message.includes(path));
    await lock.release();
    await (await acquireLock(path, kind)).release();
  });

  test(`${kind}: files with other names do not meet`, async () => {
    const folder = temporaryFolder();
    const locks = await Promise.all(['a', 'b', 'c'].map((name) => acquireLock(join(folder, name), kind)));
    await Promise.all(locks.map((lock) => lock.release()));
  });

  test(`${kind}: of many that want a file at the same time exactly one gets it`, async () => {
    const path = join(temporaryFolder(), 'a.chat');
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(path, kind)));
    const won = results.filter((result) => result.status === 'fulfilled');
    assert.equal(won.length, 1);
    await won[0].value.release();
  });

  test(`${kind}: another process holds it until it is killed`, async () => {
    const path = join(temporaryFolder(), 'a.chat');
    const other = await holdElsewhere(path, kind);
    try {
      assert.equal((await rejection(acquireLock(path, kind))).code, 'STORE_LOCKED');
    } finally {
      await other.kill();
    }
    if (kind === 'file') assert.ok(existsSync(lockAddress(path, kind)), 'a killed process leaves its socket file');
    await (await acquireLock(path, kind)).release();
  });
}
