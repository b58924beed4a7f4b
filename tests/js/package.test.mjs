/** The package as others load it: by import and by require, with its types. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import * as imported from 'chatstore';
import { root, runModule } from './support.mjs';

const exported = ['ChatStore', 'ChatStoreError'];

test('import and require give the same names, and both open a store', async () => {
  const required = createRequire(import.meta.url)('chatstore');
  for (const module of [imported, required]) {
    assert.deepEqual(Object.keys(module).toSorted(), exported);
    const store = await module.ChatStore.open(':memory:');
    assert.equal((await store.sessions.create({ id: 's' })).id, 's');
    await store.close();
  }
});

test('importing the package opens nothing and keeps nothing alive', async () => {
  const source = `
    const before = process.getActiveResourcesInfo();
    await import('chatstore');
    // The loader closes the files that it has read a little later.
    let after;
    for (let i = 0; i < 1000; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      after = process.getActiveResourcesInfo().filter((name) => name !== 'Immediate');
      if (after.length <= before.length) break;
    }
    console.log(JSON.stringify(after) === JSON.stringify(before), after.join());
  `;
  const { lines, errors, code } = await runModule(source);
  assert.deepEqual([lines[0].split(' ')[0], errors, code], ['true', '', 0], lines[0]);
});

test('programs in both module systems compile against the types, strictly', () => {
  const tsc = join(root, 'node_modules/.bin/tsc');
  const args = [
    '--noEmit',
    '--strict',
    '--exactOptionalPropertyTypes',
    '--noUncheckedIndexedAccess',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--lib',
    'es2023,esnext.disposable,dom',
    '--types',
    'node',
    '--ignoreConfig',
    'tests/js/consumer_esm.mts',
    'tests/js/consumer_cjs.cts',
  ];
  const { status, stdout, stderr } = spawnSync(tsc, args, { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
});
