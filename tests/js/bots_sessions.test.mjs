/** Each verb of bots and sessions, in a store in memory. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { rejection } from './support.mjs';

async function open(t) {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  return store;
}

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ids = (page) => page.items.map((item) => item.id);

test('a bot is made with defaults, or with everything given, and read back the same', async (t) => {
  const store = await open(t);
  const plain = await store.bots.create({ name: 'Plain' });
  assert.match(plain.id, uuid7);
  assert.equal(plain.createdAt, plain.updatedAt);
  for (const field of ['avatar', 'systemPrompt', 'model', 'params', 'metadata', 'deletedAt'])
    assert.equal(plain[field], null);
  const given = {
    id: 'bot-1',
    name: 'Ada 🤖',
    avatar: 'data:,x',
    systemPrompt: 'Be\0brief.',
    model: 'm',
    createdAt: 5,
    params: { temperature: 0.5, stop: ['\n'] },
    metadata: [1, null, { a: 'é' }],
  };
  const bot = await store.bots.create(given);
  assert.deepEqual(bot, { ...given, updatedAt: bot.updatedAt, deletedAt: null });
  assert.deepEqual(await store.bots.get('bot-1'), bot);
  assert.equal(await store.bots.get('nobody'), null);
});

test('a patch of a bot changes what it names, clears with null and leaves the rest', async (t) => {
  const store = await open(t);
  const bot = await store.bots.create({ name: 'Ada', model: 'm', avatar: 'a', params: { a: 1 }, metadata: 'kept' });
  const changed = await store.bots.update(bot.id, { name: 'Eda', avatar: null, params: { b: 2 }, model: undefined });
  assert.deepEqual(changed, { ...bot, name: 'Eda', avatar: null, params: { b: 2 }, updatedAt: changed.updatedAt });
  const cleared = await store.bots.update(bot.id, { metadata: null, params: null });
  assert.equal(cleared.metadata, null);
  assert.equal(cleared.params, null);
  assert.equal((await rejection(store.bots.update('nobody', { name: 'x' }))).code, 'NOT_FOUND');
});

test('bots are listed in pages that meet, forward and back', async (t) => {
  const store = await open(t);
  for (let i = 0; i < 7; i++) await store.bots.create({ id: `b${i}`, name: `Bot ${i}` });
  const seen = [];
  let page = await store.bots.list({ limit: 3 });
  assert.equal(page.prevCursor, null);
  const first = page;
  for (let i = 0; i < 10 && page.nextCursor !== null; i++) {
    seen.push(...ids(page));
    page = await store.bots.list({ limit: 3, cursor: page.nextCursor });
  }
  seen.push(...ids(page));
  assert.equal(new Set(seen).size, 7);
  assert.equal(seen.length, 7);
  page = await store.bots.list({ limit: 3, cursor: page.prevCursor });
  page = await store.bots.list({ limit: 3, cursor: page.prevCursor });
  assert.deepEqual(page.items, first.items);
});

test('a bot goes to the trash with its sessions, comes back with them, and goes for good', async (t) => {
  const store = await open(t);
  const bot = await store.bots.create({ name: 'Ada' });
  const session = await store.sessions.create({ botId: bot.id });
  const other = await store.sessions.create();
  await store.messages.add({ sessionId: session.id, role: 'user', content: 'hello' });
  assert.deepEqual(await store.bots.delete(bot.id), { bots: 1, sessions: 1, messages: 0 });
  assert.deepEqual(ids(await store.bots.list()), []);
  assert.deepEqual(ids(await store.bots.list({ deleted: true })), [bot.id]);
  assert.deepEqual(ids(await store.sessions.list()), [other.id]);
  assert.ok((await store.bots.get(bot.id)).deletedAt > 0);
  assert.deepEqual((await store.search('hello')).items, []);

  await store.bots.create({ id: 'again', name: 'Ada' });
  assert.equal((await rejection(store.bots.restore(bot.id))).code, 'CONSTRAINT_UNIQUE');
  await store.bots.delete('again', { permanent: true });
  assert.equal((await store.bots.restore(bot.id)).deletedAt, null);
  assert.equal((await store.sessions.get(session.id)).deletedAt, null);
  assert.equal((await store.search('hello')).items.length, 1);

  assert.deepEqual(await store.bots.delete(bot.id, { permanent: true }), { bots: 1, sessions: 1, messages: 1 });
  assert.equal(await store.bots.get(bot.id), null);
  assert.equal(await store.sessions.get(session.id), null);
  assert.equal((await rejection(store.bots.delete(bot.id))).code, 'NOT_FOUND');
  assert.equal((await rejection(store.bots.restore(bot.id))).code, 'NOT_FOUND');
});

test('a session is made with defaults, or with everything given, and read back the same', async (t) => {
  const store = await open(t);
  await store.bots.create({ id: 'b', name: 'Ada' });
  const plain = await store.sessions.create();
  assert.match(plain.id, uuid7);
  assert.deepEqual(
    { ...plain, id: 0, createdAt: 0, updatedAt: 0, revision: 0 },
    {
      id: 0,
      botId: null,
      title: null,
      status: 'active',
      pinned: false,
      tags: [],
      headId: null,
      forkedFrom: null,
      messageCount: 0,
      lastMessageAt: null,
      preview: null,
      revision: 0,
      metadata: null,
      createdAt: 0,
      updatedAt: 0,
      deletedAt: null,
    },
  );
  const given = {
    id: 's',
    botId: 'b',
    title: 'A trip',
    status: 'archived',
    pinned: true,
    tags: ['x', 'ü'],
    metadata: { a: 1 },
    createdAt: 9,
  };
  const session = await store.sessions.create(given);
  for (const [field, value] of Object.entries(given)) assert.deepEqual(session[field], value, field);
  assert.deepEqual(await store.sessions.get('s'), session);
  assert.deepEqual(await store.sessions.create({ id: 's', title: 'other' }, { ifExists: 'return' }), session);
  assert.equal((await rejection(store.sessions.create({ id: 's' }))).code, 'CONSTRAINT_UNIQUE');
});

test('a patch of a session changes what it names, and its revision grows', async (t) => {
  const store = await open(t);
  await store.bots.create({ id: 'b', name: 'Ada' });
  const session = await store.sessions.create({ id: 's', title: 'old', botId: 'b', tags: ['x'], metadata: { a: 1 } });
  const changed = await store.sessions.update('s', { title: 'new', pinned: true, tags: ['y'], status: 'archived' });
  assert.deepEqual(changed, {
    ...session,
    title: 'new',
    pinned: true,
    tags: ['y'],
    status: 'archived',
    revision: changed.revision,
    updatedAt: changed.updatedAt,
  });
  assert.ok(changed.revision > session.revision);
  const cleared = await store.sessions.update('s', { title: null, botId: null, metadata: null });
  assert.deepEqual([cleared.title, cleared.botId, cleared.metadata], [null, null, null]);
  assert.equal((await rejection(store.sessions.update('s', { botId: 'nobody' }))).code, 'CONSTRAINT_FOREIGN_KEY');
  assert.equal((await rejection(store.sessions.update('none', { title: 'x' }))).code, 'NOT_FOUND');
});

test('sessions are listed by their newest activity, filtered, in pages forward and back', async (t) => {
  const store = await open(t);
  await store.bots.create({ id: 'b', name: 'Ada' });
  for (let i = 0; i < 6; i++) {
    await store.sessions.create({
      id: `s${i}`,
      createdAt: 1000 + i,
      pinned: i % 2 === 0,
      ...(i < 3 ? { botId: 'b' } : {}),
      tags: i === 4 ? ['t'] : [],
      status: i === 5 ? 'archived' : 'active',
    });
  }
  assert.deepEqual(ids(await store.sessions.list()), ['s5', 's4', 's3', 's2', 's1', 's0']);
  await store.messages.add({ sessionId: 's1', role: 'user', content: 'x', createdAt: 5000 });
  assert.deepEqual(ids(await store.sessions.list()), ['s1', 's5', 's4', 's3', 's2', 's0']);
  assert.deepEqual(ids(await store.sessions.list({ botId: 'b' })), ['s1', 's2', 's0']);
  assert.deepEqual(ids(await store.sessions.list({ pinned: true })), ['s4', 's2', 's0']);
  assert.deepEqual(ids(await store.sessions.list({ pinned: false, status: 'active' })), ['s1', 's3']);
  assert.deepEqual(ids(await store.sessions.list({ tag: 't' })), ['s4']);
  assert.deepEqual(ids(await store.sessions.list({ botId: 'nobody' })), []);
  const first = await store.sessions.list({ limit: 4 });
  const second = await store.sessions.list({ limit: 4, cursor: first.nextCursor });
  assert.deepEqual([...ids(first), ...ids(second)], ['s1', 's5', 's4', 's3', 's2', 's0']);
  assert.equal(second.nextCursor, null);
  assert.deepEqual(ids(await store.sessions.list({ limit: 4, cursor: second.prevCursor })), ids(first));
  const error = await rejection(store.sessions.list({ limit: 4, pinned: true, cursor: first.nextCursor }));
  assert.equal(error.code, 'INVALID_CURSOR');
});

test('a session goes to the trash, comes back, and is purged by the time it went there', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's' });
  await store.messages.add({ sessionId: 's', role: 'user', content: 'hello' });
  assert.deepEqual(await store.sessions.delete('s'), { bots: 0, sessions: 1, messages: 0 });
  const trashed = await store.sessions.get('s');
  assert.ok(trashed.deletedAt > 0);
  assert.deepEqual(ids(await store.sessions.list({ deleted: true })), ['s']);
  assert.deepEqual(await store.sessions.purge({ deletedBefore: trashed.deletedAt }), {
    bots: 0,
    sessions: 0,
    messages: 0,
  });
  assert.equal((await store.sessions.restore('s')).deletedAt, null);
  await store.sessions.delete('s');
  assert.deepEqual(await store.sessions.purge({ deletedBefore: Date.now() + 60_000 }), {
    bots: 0,
    sessions: 1,
    messages: 1,
  });
  assert.equal(await store.sessions.get('s'), null);
  assert.equal((await rejection(store.sessions.restore('s'))).code, 'NOT_FOUND');
});

test('a fork is a session of its own that holds the path up to its message', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's', title: 'A trip' });
  const [, second] = await store.messages.addMany(
    ['one', 'two', 'three'].map((content) => ({ sessionId: 's', role: 'user', content })),
  );
  const fork = await store.sessions.fork(second);
  assert.notEqual(fork.id, 's');
  assert.deepEqual(fork.forkedFrom, { sessionId: 's', id: second.id });
  const { items } = await store.messages.list({ sessionId: fork.id });
  assert.deepEqual(
    items.map((message) => message.content),
    ['one', 'two'],
  );
  await store.messages.add({ sessionId: fork.id, role: 'user', content: 'other' });
  assert.equal((await store.sessions.get('s')).messageCount, 3);
  assert.equal((await rejection(store.sessions.fork({ sessionId: 's', id: 'none' }))).code, 'NOT_FOUND');
});
