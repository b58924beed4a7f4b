/** What a model is given of a session: the newest messages that it has room for. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is the point */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { rejection, seeded } from './support.mjs';

async function open(t) {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  return store;
}

/** Adds messages whose content is as long as it says, and gives the session. */
async function session(store, messages) {
  const { id } = await store.sessions.create();
  await store.messages.addMany(
    messages.map(([role, length], at) => ({
      sessionId: id,
      id: `m${at}`,
      role,
      ...(typeof length === 'number' ? { content: 'x'.repeat(length) } : { parts: length }),
    })),
  );
  return id;
}

const countTokens = (message) => message.content.length;
const idsOf = (messages) => messages.map((message) => message.id);

test('the newest messages that fit are taken, without a gap', async (t) => {
  const store = await open(t);
  const id = await session(store, [
    ['user', 5],
    ['assistant', 20],
    ['user', 3],
    ['assistant', 7],
  ]);
  const taken = async (maxTokens) => idsOf(await store.context(id, { maxTokens, countTokens }));
  assert.deepEqual(await taken(6), []);
  assert.deepEqual(await taken(7), ['m3']);
  assert.deepEqual(await taken(10), ['m2', 'm3']);
  // The first would fit, but what it was answered with does not.
  assert.deepEqual(await taken(29), ['m2', 'm3']);
  assert.deepEqual(await taken(30), ['m1', 'm2', 'm3']);
  assert.deepEqual(await taken(1_000), ['m0', 'm1', 'm2', 'm3']);
  assert.deepEqual(await store.context('none', { maxTokens: 10 }), []);
});

test('a system message at the beginning is always taken, and counted first', async (t) => {
  const store = await open(t);
  const id = await session(store, [
    ['system', 5],
    ['user', 4],
    ['system', 4],
    ['user', 4],
  ]);
  const taken = async (maxTokens) => idsOf(await store.context(id, { maxTokens, countTokens }));
  assert.deepEqual(await taken(5), ['m0']);
  assert.deepEqual(await taken(9), ['m0', 'm3']);
  assert.deepEqual(await taken(13), ['m0', 'm2', 'm3']);
  assert.deepEqual(await taken(17), ['m0', 'm1', 'm2', 'm3']);
  const error = await rejection(store.context(id, { maxTokens: 4, countTokens }));
  assert.deepEqual([error.code, error.details], ['TOO_LARGE', { tokens: 5, maxTokens: 4 }]);
});

test('the result of a tool does not come without its call', async (t) => {
  const store = await open(t);
  const id = await session(store, [
    ['user', 2],
    ['assistant', 2],
    ['tool', 2],
    ['tool', 2],
    ['assistant', 2],
  ]);
  const taken = async (maxTokens) => idsOf(await store.context(id, { maxTokens, countTokens }));
  assert.deepEqual(await taken(7), ['m4']);
  assert.deepEqual(await taken(8), ['m1', 'm2', 'm3', 'm4']);
});

test('only the active path counts, without the trash, and in a transaction what it has written', async (t) => {
  const store = await open(t);
  const id = await session(store, [
    ['user', 1],
    ['assistant', 1],
  ]);
  const edited = await store.messages.edit({ sessionId: id, id: 'm1' }, { content: 'y' });
  assert.deepEqual(idsOf(await store.context(id, { maxTokens: 100 })), ['m0', edited.id]);
  await store.transaction(async (tx) => {
    await tx.messages.add({ sessionId: id, id: 'm9', role: 'user', content: 'z' });
    assert.deepEqual(idsOf(await tx.context(id, { maxTokens: 100 })), ['m0', edited.id, 'm9']);
    assert.deepEqual(idsOf(await store.context(id, { maxTokens: 100 })), ['m0', edited.id]);
  });
  await store.snapshot(async (view) => {
    await store.messages.delete({ sessionId: id, id: 'm9' });
    assert.deepEqual(idsOf(await view.context(id, { maxTokens: 100 })), ['m0', edited.id, 'm9']);
  });
  assert.deepEqual(idsOf(await store.context(id, { maxTokens: 100 })), ['m0', edited.id]);
  assert.equal((await store.stats()).pool.inUse, 0);
});

test('it takes of a long session what a count of all its messages would', async (t) => {
  const store = await open(t);
  const seed = 7;
  const chance = seeded(seed);
  const messages = Array.from({ length: 400 }, (_, i) => [
    i % 2 === 0 ? 'user' : 'assistant',
    Math.ceil(chance() * 30),
  ]);
  const id = await session(store, messages);
  const all = (await store.messages.list({ sessionId: id, limit: 1_000 })).items;
  for (let round = 0; round < 40; round++) {
    const maxTokens = 1 + Math.floor(chance() * 7_000);
    let from = all.length;
    for (let sum = 0; from > 0 && (sum += countTokens(all[from - 1])) <= maxTokens;) from--;
    const taken = await store.context(id, { maxTokens, countTokens });
    assert.deepEqual(taken, all.slice(from), `seed ${seed}, maxTokens ${maxTokens}`);
  }
});

test('without a counter the length of the text is the measure, that of the parts where there are others', async (t) => {
  const store = await open(t);
  const counted = async (...message) => {
    const id = await session(store, [message]);
    for (let maxTokens = 1; maxTokens < 1_000; maxTokens++) {
      if ((await store.context(id, { maxTokens })).length > 0) return maxTokens;
    }
    return Infinity;
  };
  assert.equal(await counted('user', 0), 4);
  assert.equal(await counted('user', 100), 29);
  assert.equal(await counted('user', [{ type: 'text', text: 'Größe 大' }]), 4 + 3 + 1);
  const call = { type: 'tool-call', name: 'look', args: { at: 'the weather' } };
  assert.equal(await counted('assistant', [call]), 4 + Math.ceil(JSON.stringify([call]).length / 4));
});

test('a counter that counts nothing, and options that are none, are refused', async (t) => {
  const store = await open(t);
  const id = await session(store, [['user', 1]]);
  for (const [options, argument] of [
    [{}, 'maxTokens'],
    [{ maxTokens: 0 }, 'maxTokens'],
    [{ maxTokens: 1, countTokens: 3 }, 'countTokens'],
    [{ maxTokens: 1, countTokens: () => NaN }, 'countTokens'],
    [{ maxTokens: 1, countTokens: () => Promise.resolve(1) }, 'countTokens'],
  ]) {
    const error = await rejection(store.context(id, options));
    assert.deepEqual([error.code, error.details.argument], ['INVALID_ARGUMENT', argument]);
  }
  const thrown = new Error('of the counter');
  const error = await rejection(
    store.context(id, {
      maxTokens: 1,
      countTokens: () => {
        throw thrown;
      },
    }),
  );
  assert.equal(error, thrown);
  assert.equal((await store.stats()).pool.inUse, 0);
});
