/** Stores that live in a worker thread: the same verbs, served while this thread is busy, and what its death does. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is what is tested */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as imported from 'chatstore';
import { rejection, runModule, startPeer, temporaryFolder } from './support.mjs';

const { ChatStore } = imported;
const newPath = () => join(temporaryFolder(), 'a.chat');
const said = (content) => ({ sessionId: 's', role: 'user', content });
const texts = async (store) => (await store.messages.list({ sessionId: 's' })).items.map((m) => m.content);

for (const [name, module] of [
  ['import', imported],
  ['require', createRequire(import.meta.url)('chatstore')],
]) {
  test(`${name}: a store in a worker has the same verbs, transactions and errors`, async () => {
    const path = newPath();
    const store = await module.ChatStore.open(path, { worker: true });
    assert.equal(store.info.role, 'owner');
    await store.sessions.create({ id: 's' });
    await Promise.all(Array.from({ length: 100 }, (_, i) => store.messages.add(said(String(i)))));
    await store.transaction((tx) => tx.messages.add(said('tx')));
    assert.equal(await store.snapshot(async (view) => (await view.sessions.get('s')).messageCount), 101);
    assert.equal((await store.search('tx')).items.length, 1);
    const error = await rejection(store.sessions.create({ id: 's' }));
    assert.ok(error instanceof module.ChatStoreError);
    assert.equal(error.code, 'CONSTRAINT_UNIQUE');
    await store.close();
    assert.deepEqual(readdirSync(dirname(path)), ['a.chat']);
  });
}

test('a store in a worker serves other processes while its own thread is busy', async () => {
  const path = newPath();
  const owner = await startPeer();
  await owner.run(
    `state.store = await ChatStore.open(args.path, { worker: true });
    await state.store.sessions.create({ id: 's' });`,
    { path },
  );
  const store = await ChatStore.open(path);
  assert.equal(store.info.role, 'client');
  let busy = true;
  const blocked = owner
    .run(`const until = Date.now() + 1500; while (Date.now() < until); return state.store.info.role`)
    .then((role) => ((busy = false), role));
  for (let i = 0; i < 10; i++) await store.messages.add(said(String(i)));
  assert.equal(busy, true);
  assert.equal(await blocked, 'owner');
  await store.close();
  await owner.kill();
});

test('a process that is a client needs no worker, and gets one when it becomes the owner', async () => {
  const path = newPath();
  const owner = await startPeer();
  await owner.run(`state.store = await ChatStore.open(args.path); await state.store.sessions.create({ id: 's' });`, {
    path,
  });
  const store = await ChatStore.open(path, { worker: true });
  assert.equal(store.info.role, 'client');
  await owner.kill();
  await store.messages.add(said('kept'));
  assert.equal(store.info.role, 'owner');
  await store.close();
});

/** Ends the worker of a store from within, as a fault of its own would. */
const crash = `
  import { Worker } from 'node:worker_threads';
  import { ChatStore } from 'chatstore';
  const workers = [];
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (...args) {
    if (!workers.includes(this)) workers.push(this);
    return post.apply(this, args);
  };
  const store = await ChatStore.open(process.argv[1], { worker: true });
  await store.sessions.create({ id: 's' });
  for (let round = 0; round < 5; round++) {
    const calls = Array.from({ length: 10 }, (_, i) => store.messages.add({ sessionId: 's', role: 'user', content: round + ' ' + i }));
    void workers.at(-1).terminate();
    await Promise.all(calls);
  }
  const { items } = await store.messages.list({ sessionId: 's', limit: 1000 });
  console.log(items.length, new Set(items.map((m) => m.content)).size, workers.length);
  await store.close();
`;

test('a worker that dies is replaced, and the calls that it had are done once', async () => {
  const { lines, errors, code } = await runModule(crash, newPath());
  assert.deepEqual([errors, code], ['', 0]);
  assert.deepEqual(lines, ['50 50 6']);
});

test('memory that died with its worker is not silently replaced', async () => {
  const source = crash.replace('process.argv[1]', "':memory:'").replace(
    'for (let round',
    `await workers.at(-1).terminate();
     console.log(await store.sessions.get('s').catch((error) => error.code + ' ' + error.message));
     process.exit(0);
     for (let round`,
  );
  const { lines, code } = await runModule(source);
  assert.equal(code, 0);
  assert.match(lines[0], /^INTERNAL .*memory is gone/);
});

test('a store in a worker keeps no process alive', async () => {
  const path = newPath();
  const source = `
    import { ChatStore } from 'chatstore';
    const store = await ChatStore.open(process.argv[1], { worker: true });
    await store.sessions.create({ id: 's' });
    await store.messages.add({ sessionId: 's', role: 'user', content: 'kept' });
  `;
  const { code, errors } = await runModule(source, path);
  assert.deepEqual([code, errors], [0, '']);
  const store = await ChatStore.open(path);
  assert.deepEqual(await texts(store), ['kept']);
  await store.close();
});
