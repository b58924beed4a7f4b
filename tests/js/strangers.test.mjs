/** Programs without this package on an open store: they are seen, and the store stops instead of losing writes. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is what is tested */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { rejection, startPeer, temporaryFolder } from './support.mjs';

const said = (content) => ({ sessionId: 's', role: 'user', content });

async function opened(path = join(temporaryFolder(), 'a.chat')) {
  const store = await ChatStore.open(path);
  await store.sessions.create({ id: 's' }, { ifExists: 'return' });
  await store.messages.add(said('acknowledged'));
  return { path, store };
}

/** A shell that has read from the file and stays. */
function shellOn(path) {
  const shell = spawn('sqlite3', [path], { stdio: ['pipe', 'pipe', 'inherit'] });
  shell.stdin.write('SELECT count(*) FROM messages;\n');
  return new Promise((resolve) => {
    shell.stdout.once('data', () => resolve(shell));
  });
}

const ended = (child) => new Promise((resolve) => child.once('exit', resolve));

test('a shell that is open beside the store stops its writes, before any is acknowledged', async () => {
  const { path, store } = await opened();
  const shell = await shellOn(path);
  const error = await rejection(store.messages.add(said('too late')));
  assert.deepEqual([error.code, error.outcome], ['FOREIGN_ACCESS', 'unknown']);
  assert.ok(error.message.includes(path) && error.message.includes('-shm'), error.message);
  assert.equal((await rejection(store.sessions.get('s'))).code, 'FOREIGN_ACCESS');
  await store.close();
  assert.equal((await rejection(ChatStore.open(path))).code, 'FOREIGN_ACCESS');
  const gone = ended(shell);
  shell.stdin.end();
  await gone;
  const again = await opened(path);
  assert.ok((await again.store.sessions.get('s')).messageCount >= 2);
  await again.store.close();
});

test('a shell that came and went has taken the log with it, which is seen at the next write', async () => {
  const { path, store } = await opened();
  spawnSync('sqlite3', [path, 'SELECT 1 FROM messages']);
  assert.ok(!existsSync(`${path}-wal`), 'the shell deletes the log of a store that it knows nothing of');
  assert.equal((await rejection(store.transaction((tx) => tx.messages.add(said('lost'))))).code, 'FOREIGN_ACCESS');
  await store.close();
  const again = await opened(path);
  assert.deepEqual((await again.store.messages.list({ sessionId: 's' })).items[0].content, 'acknowledged');
  await again.store.close();
});

test('a store that only waits notices a shell too, and so do its clients', async () => {
  const { path, store } = await opened();
  const client = await startPeer();
  await client.run('state.store = await ChatStore.open(args.path)', { path });
  const shell = await shellOn(path);
  let error;
  for (let i = 0; i < 200 && error === undefined; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    error = await store.sessions.get('s').then(
      () => undefined,
      (reason) => reason,
    );
  }
  assert.equal(error?.code, 'FOREIGN_ACCESS');
  const theirs = await rejection(client.run(`return state.store.sessions.get('s')`));
  assert.equal(theirs.code, 'FOREIGN_ACCESS');
  const gone = ended(shell);
  shell.kill('SIGKILL');
  await gone;
  await store.close();
  // The killed shell has left its -shm behind, which blocks nobody.
  assert.ok(existsSync(`${path}-shm`));
  assert.equal((await client.run(`return state.store.sessions.get('s')`)).id, 's');
  await client.kill();
});

test('a file that was replaced under the store is not written to', async () => {
  const { path, store } = await opened();
  copyFileSync(path, `${path}.copy`);
  renameSync(`${path}.copy`, path);
  let error;
  for (let i = 0; i < 200 && error === undefined; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    error = await store.messages.add(said(String(i))).then(
      () => undefined,
      (reason) => reason,
    );
  }
  assert.equal(error?.code, 'FOREIGN_ACCESS');
  assert.match(error.message, /was replaced/);
  await store.close();
});

test('a -shm that a crashed program left behind blocks nobody', async () => {
  const { path, store } = await opened();
  await store.close();
  writeFileSync(`${path}-shm`, Buffer.alloc(32_768));
  const again = await opened(path);
  assert.equal((await again.store.sessions.get('s')).messageCount, 2);
  await again.store.close();
});
