/** Files that a whole store goes to and comes from: what lies there already is not lost, and not changed. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is the point */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { filled, ids } from './stores.mjs';
import { rejection, startPeer, temporaryFolder } from './support.mjs';

/** Every file of a folder with its bytes. */
const filesOf = (folder) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('base64')]));

/** Makes the file system one that has no links. */
function withoutLinks(t) {
  const { link } = fsPromises;
  fsPromises.link = () =>
    Promise.reject(
      Object.assign(new Error('EPERM: operation not permitted, link'), { code: 'EPERM', syscall: 'link' }),
    );
  syncBuiltinESMExports();
  t.after(() => {
    fsPromises.link = link;
    syncBuiltinESMExports();
  });
}

for (const links of [true, false]) {
  const where = links ? '' : ', on a file system without links too';
  test(`a file that appears while a backup is made is not overwritten${where}`, async (t) => {
    if (!links) withoutLinks(t);
    const folder = temporaryFolder();
    const store = await filled(join(folder, 'a.chat'));
    const path = join(folder, 'copy.chat');
    const copying = store.backup({ path }, { onProgress: () => writeFileSync(path, 'precious') });
    assert.equal((await rejection(copying)).code, 'INVALID_ARGUMENT');
    assert.equal(readFileSync(path, 'utf8'), 'precious');
    rmSync(path);
    await store.backup({ path });
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('copy')),
      ['copy.chat'],
    );
    await store.close();
    const copy = await ChatStore.open(path);
    assert.equal((await ids(copy)).length, 500);
    await copy.close();
  });
}

test('a backup is not put beside a log of another file, which would be applied to it', async () => {
  const folder = temporaryFolder();
  const store = await filled(join(folder, 'a.chat'));
  const path = join(folder, 'copy.chat');
  for (const log of ['-wal', '-journal']) {
    writeFileSync(path + log, 'of another file');
    for (const overwrite of [false, true]) {
      const error = await rejection(store.backup({ path }, { overwrite }));
      assert.equal(error.code, 'INVALID_ARGUMENT');
      assert.match(error.message, new RegExp(`copy\\.chat${log}`));
    }
    assert.equal(readFileSync(path + log, 'utf8'), 'of another file');
    assert.equal(existsSync(path), false);
    rmSync(path + log);
  }
  // One that appears while the copy is made counts as well.
  const copying = store.backup({ path }, { onProgress: () => writeFileSync(`${path}-wal`, 'of another file') });
  assert.equal((await rejection(copying)).code, 'INVALID_ARGUMENT');
  assert.equal(existsSync(path), false);
  await store.close();
});

test('a backup takes the place of no store that is open', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  const store = await filled(path);
  const elsewhere = join(folder, 'b.chat');
  const peer = await startPeer();
  await peer.run(
    `state.store = await ChatStore.open(args.path); await state.store.sessions.create({ id: 'elsewhere' });`,
    { path: elsewhere },
  );
  for (const target of [path, elsewhere]) {
    const error = await rejection(store.backup({ path: target }, { overwrite: true }));
    assert.equal(error.code, 'STORE_LOCKED', error.message);
  }
  await store.sessions.create({ id: 'goes on' });
  assert.equal(await peer.run(`return (await state.store.sessions.get('elsewhere')).id`), 'elsewhere');
  await peer.run(`await state.store.close()`);
  await store.backup({ path: elsewhere }, { overwrite: true });
  await peer.kill();
  await store.close();
  const copy = await ChatStore.open(elsewhere);
  assert.equal((await copy.sessions.get('goes on')).id, 'goes on');
  assert.equal(await copy.sessions.get('elsewhere'), null);
  await copy.close();
});

test('what a killed process has left in the log of a source is taken over, and the source stays as it is', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'killed.chat');
  const peer = await startPeer();
  await peer.run(
    `
    const store = await ChatStore.open(args.path);
    await store.sessions.create({ id: 's' });
    await store.messages.add({ sessionId: 's', id: 'in the log', role: 'user', content: 'kept' });
    `,
    { path },
  );
  await peer.kill();
  assert.ok(existsSync(`${path}-wal`));
  const before = filesOf(folder);
  const store = await filled(join(temporaryFolder(), 'a.chat'), 5);
  await store.replaceWith({ path });
  assert.deepEqual(await ids(store), ['in the log']);
  assert.equal((await store.verify()).ok, true);
  assert.deepEqual(filesOf(folder), before);
  await store.close();
});

test('half a transaction that a killed program has left in a source is taken back', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  await (await filled(path, 2_000)).close();
  const shell = spawn('sqlite3', [path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const told = new Promise((resolve) => {
    shell.stdout.setEncoding('utf8').on('data', (text) => text.includes('changed') && resolve());
  });
  shell.stdin.write(
    `PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; BEGIN;
     UPDATE messages SET metadata = '{"half":true}' WHERE seq % 2 = 0; SELECT 'changed';\n`,
  );
  await told;
  shell.kill('SIGKILL');
  await new Promise((resolve) => shell.once('exit', resolve));
  assert.ok(existsSync(`${path}-journal`));
  const before = filesOf(folder);
  const store = await filled(join(temporaryFolder(), 'b.chat'), 5);
  await store.replaceWith({ path });
  assert.deepEqual(await store.query(`SELECT count(*) AS n FROM messages`), [{ n: 2_000 }]);
  assert.deepEqual(await store.query(`SELECT count(*) AS n FROM messages WHERE metadata IS NOT NULL`), [{ n: 0 }]);
  assert.deepEqual(filesOf(folder), before);
  await store.close();
});

test('a source that is open, or that changes while it is read, replaces nothing', async () => {
  const folder = temporaryFolder();
  const store = await filled(join(folder, 'a.chat'), 5);
  const path = join(folder, 'other.chat');
  const other = await filled(path, 10);
  for (const source of [path, join(folder, 'a.chat')]) {
    const error = await rejection(store.replaceWith({ path: source }));
    assert.deepEqual([error.code, error.outcome], ['STORE_LOCKED', 'not-applied']);
  }
  await other.close();
  const onProgress = () => appendFileSync(path, 'more');
  const error = await rejection(store.replaceWith({ path }, { onProgress }));
  assert.deepEqual([error.code, error.outcome], ['FOREIGN_ACCESS', 'not-applied']);
  const missing = await rejection(store.replaceWith({ path: join(folder, 'missing.chat') }));
  assert.deepEqual([missing.code, missing.outcome], ['IO_ERROR', 'not-applied']);
  assert.equal((await ids(store)).length, 5);
  await store.close();
});

test('a store in memory can be replaced, and keeps nothing of the old content', async () => {
  const path = join(temporaryFolder(), 'other.chat');
  await (await filled(path, 10)).close();
  const store = await filled(':memory:', 5);
  const kept = await rejection(store.replaceWith({ path }, { keepPath: './kept.chat' }));
  assert.equal(kept.code, 'INVALID_ARGUMENT');
  const { keptPath, keptBytes } = await store.replaceWith({ path });
  assert.deepEqual([keptPath, keptBytes], [null, 0]);
  assert.equal((await ids(store)).length, 10);
  await store.close();
});
