/** Many calls at once on one file: nothing waits for ever, nothing is lost, and nobody sees half of anything. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what each of the many does */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { rejection, temporaryFolder } from './support.mjs';

async function open(t, options = {}) {
  const store = await ChatStore.open(join(temporaryFolder(), 'chats.sqlite'), options);
  t.after(() => store.close());
  await store.sessions.create({ id: 's', metadata: { count: 0 } });
  return store;
}

const times = (count, run) => Promise.all(Array.from({ length: count }, (_, i) => run(i)));
const said = (content) => ({ sessionId: 's', role: 'user', content });

/** All messages of the session, in their order. */
async function texts(api) {
  const all = [];
  for await (const message of api.messages.iterate({ sessionId: 's' })) all.push(message.content);
  return all;
}

test('ten readers beside ten writers see whole transactions only, and each state once it was shown again', async (t) => {
  const store = await open(t);
  const writing = times(10, async (writer) => {
    for (let round = 0; round < 10; round++) {
      await store.transaction(async (tx) => {
        await tx.messages.add(said(`${writer} ${round} a`));
        await tx.messages.add(said(`${writer} ${round} b`));
      });
    }
  });
  const reading = times(10, async () => {
    let before = 0;
    for (let round = 0; round < 10; round++) {
      await store.snapshot(async (view) => {
        const first = await texts(view);
        assert.equal(first.length % 2, 0);
        assert.ok(first.length >= before);
        before = first.length;
        for (let i = 0; i < first.length; i += 2) assert.equal(first[i].slice(0, -1), first[i + 1].slice(0, -1));
        assert.deepEqual(await texts(view), first);
      });
    }
  });
  await Promise.all([writing, reading]);
  assert.equal((await texts(store)).length, 200);
});

test('a reader is done while a write transaction stays open', async (t) => {
  const store = await open(t);
  await store.messages.add(said('before'));
  await store.transaction(async (tx) => {
    await tx.messages.add(said('within'));
    assert.deepEqual(await texts(store), ['before']);
    assert.equal(await store.snapshot(async (view) => (await texts(view)).length), 1);
  });
  assert.deepEqual(await texts(store), ['before', 'within']);
});

test('fifty snapshots are open at once, and one too many is told so', async (t) => {
  const store = await open(t, { pool: { max: 50, acquireTimeoutMs: 50 } });
  await store.messages.add(said('one'));
  let letGo;
  const held = new Promise((resolve) => {
    letGo = resolve;
  });
  let opened = 0;
  const all = times(50, () =>
    store.snapshot(async (view) => {
      opened++;
      if (opened === 50) {
        const error = await rejection(store.snapshot(() => undefined));
        assert.equal(error.code, 'POOL_EXHAUSTED');
        await store.messages.add(said('two'));
        letGo();
      }
      await held;
      return texts(view);
    }),
  );
  for (const seen of await all) assert.deepEqual(seen, ['one']);
  assert.equal(await store.snapshot(async (view) => (await texts(view)).length), 2);
});

test('a hundred operations of all kinds at once all settle, in the order of their calls', async (t) => {
  const store = await open(t);
  const results = await Promise.allSettled(
    Array.from({ length: 100 }, (_, i) => {
      switch (i % 5) {
        case 0:
          return store.messages.add(said(String(i)));
        case 1:
          return store.messages.list({ sessionId: 's' });
        case 2:
          return store.transaction((tx) => tx.messages.add(said(String(i))));
        case 3:
          return store.search(String(i - 3));
        default:
          // Each second one fails.
          return store.bots.create({ name: `bot ${String(i % 10)}` });
      }
    }),
  );
  const failed = results.flatMap(({ reason }, i) => (reason === undefined ? [] : [[i % 5, reason.code]]));
  assert.deepEqual(
    failed,
    Array.from({ length: 18 }, () => [4, 'CONSTRAINT_UNIQUE']),
  );
  assert.deepEqual(
    (await texts(store)).map(Number).toSorted((a, b) => a - b),
    Array.from({ length: 40 }, (_, i) => Math.floor(i / 2) * 5 + (i % 2) * 2),
  );
});

test('of a thousand inserts beside reads, each read shows a beginning, and none is lost', async (t) => {
  const store = await open(t);
  const state = { inserting: true };
  const reading = (async () => {
    let reads = 0;
    for (let seen = 0; state.inserting; reads++) {
      const all = await texts(store);
      assert.deepEqual(
        all,
        Array.from({ length: all.length }, (_, i) => String(i)),
      );
      assert.ok(all.length >= seen);
      seen = all.length;
    }
    return reads;
  })();
  await times(1_000, (i) => store.messages.add(said(String(i))));
  state.inserting = false;
  assert.ok((await reading) > 0);
  assert.equal((await texts(store)).length, 1_000);
});

test('of ten transactions at once that each read and then write, no update is lost', async (t) => {
  const store = await open(t);
  await times(10, () =>
    store.transaction(async (tx) => {
      const { metadata } = await tx.sessions.get('s');
      await tx.sessions.update('s', { metadata: { count: metadata.count + 1 } });
    }),
  );
  assert.equal((await store.sessions.get('s')).metadata.count, 10);
});
