/** Wrong arguments: each is refused with its place, what was expected and what came, and changes nothing. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatStore, ChatStoreError } from 'chatstore';
import { rejection } from './support.mjs';

const message = (fields) => ({ sessionId: 's', role: 'user', content: 'x', ...fields });
const parts = (...list) => ({ sessionId: 's', role: 'user', parts: list });
const lone = 'a\ud800b';
const deep = (levels) => {
  let value = 1;
  for (let i = 0; i < levels; i++) value = [value];
  return value;
};
const circle = {};
circle.self = circle;

/** call, argument named in the error, code where it is not INVALID_ARGUMENT */
const cases = [
  // Options: misspelt, of the wrong type, out of range.
  [(s) => s.messages.list({ sessionId: 's', limt: 1 }), 'limt'],
  [(s) => s.messages.list({ sessionId: 's', limit: 0 }), 'limit'],
  [(s) => s.messages.list({ sessionId: 's', limit: 1001 }), 'limit'],
  [(s) => s.messages.list({ sessionId: 's', limit: 1.5 }), 'limit'],
  [(s) => s.messages.list({ sessionId: 's', limit: '5' }), 'limit'],
  [(s) => s.messages.list({ sessionId: 's', cursor: 5 }), 'cursor'],
  [(s) => s.messages.list({ sessionId: 's', cursor: 'forged' }), 'cursor', 'INVALID_CURSOR'],
  [(s) => s.messages.list({ sessionId: 's', cursor: '0'.repeat(60) }), 'cursor', 'INVALID_CURSOR'],
  [(s) => s.messages.list({ sessionId: 's', timeoutMs: 0 }), 'timeoutMs'],
  [(s) => s.messages.list({ sessionId: 's', timeoutMs: Infinity }), 'timeoutMs'],
  [(s) => s.messages.list({ sessionId: 's', signal: {} }), 'signal'],
  [(s) => s.messages.list({ sessionId: 's', branches: 'some' }), 'branches'],
  [(s) => s.messages.list({}), ''],
  [(s) => s.messages.list({ sessionId: 's', botId: 'b' }), ''],
  [(s) => s.messages.list({ sessionId: 's', order: 'asc' }), 'order'],
  [(s) => s.messages.list({ botId: 'b', around: 'm' }), 'around'],
  [(s) => s.messages.list({ sessionId: 's', around: 'm', cursor: 'x' }), 'around'],
  [(s) => s.messages.list('s'), ''],
  [(s) => s.messages.list(null), ''],
  [(s) => s.messages.iterate({}).next(), ''],
  [(s) => s.messages.iterate({ sessionId: 's', limit: 5 }).next(), 'limit'],
  [(s) => s.sessions.list({ pinned: 1 }), 'pinned'],
  [(s) => s.sessions.list({ status: 'deleted' }), 'status'],
  [(s) => s.sessions.list({ tag: '' }), 'tag'],
  [(s) => s.bots.list({ deleted: 'yes' }), 'deleted'],
  [(s) => s.search('x', { prefx: true }), 'prefx'],
  [(s) => s.search(5), 'query'],
  [(s) => s.search(lone), 'query'],
  [(s) => s.search('x'.repeat(10_001)), 'query', 'TOO_LARGE'],
  [(s) => s.query('SELECT 1', { parms: [] }), 'parms'],
  [(s) => s.query('SELECT ?', { params: [Number.NaN] }), 'params[0]'],
  [(s) => s.query('SELECT ?', { params: [2n ** 63n] }), 'params[0]'],
  [(s) => s.query('SELECT ?', { params: [{}] }), 'params[0]'],
  [(s) => s.query('SELECT ?', { params: [undefined] }), 'params[0]'],
  [(s) => s.query('SELECT :a', { params: { a: [] } }), 'params.a'],
  [(s) => s.query('SELECT 1', { limit: 100_001 }), 'limit'],
  [(s) => s.query(''), 'sql'],
  [(s) => s.query(`SELECT '${'x'.repeat(1 << 20)}'`), 'sql', 'TOO_LARGE'],
  [(s) => s.transaction(5), 'callback'],
  [(s) => s.transaction(() => undefined, { leaseMs: -1 }), 'leaseMs'],
  [(s) => s.transaction((tx) => tx.savepoint()), 'callback'],
  // Ids and names.
  [(s) => s.bots.get(''), 'id'],
  [(s) => s.bots.get(undefined), 'id'],
  [(s) => s.bots.get(lone), 'id'],
  [(s) => s.bots.get('x'.repeat(257)), 'id', 'TOO_LARGE'],
  [(s) => s.bots.get('é'.repeat(129)), 'id', 'TOO_LARGE'],
  [(s) => s.messages.get({ sessionId: 's' }), 'ref.id'],
  [(s) => s.messages.get('m'), 'ref'],
  [(s) => s.bots.create(), 'bot'],
  [(s) => s.bots.create({}), 'bot.name'],
  [(s) => s.bots.create({ name: '' }), 'bot.name'],
  [(s) => s.bots.create({ name: null }), 'bot.name'],
  [(s) => s.bots.create({ name: 'x'.repeat(1001) }), 'bot.name', 'TOO_LARGE'],
  [(s) => s.bots.create({ name: 'x', systemprompt: 'y' }), 'bot.systemprompt'],
  [(s) => s.bots.create({ name: 'x', avatar: 'y'.repeat(2 ** 20 + 1) }), 'bot.avatar', 'TOO_LARGE'],
  [(s) => s.bots.update('b', { name: null }), 'patch.name'],
  [(s) => s.bots.update('b', { createdAt: 5 }), 'patch.createdAt'],
  [(s) => s.bots.delete('b', { permanently: true }), 'permanently'],
  // Sessions.
  [(s) => s.sessions.create({ tags: 'x' }), 'session.tags'],
  [(s) => s.sessions.create({ tags: ['a', ''] }), 'session.tags[1]'],
  [(s) => s.sessions.create({ tags: Array.from({ length: 101 }, () => 'a') }), 'session.tags', 'TOO_LARGE'],
  [(s) => s.sessions.create({ title: 'x'.repeat(10_001) }), 'session.title', 'TOO_LARGE'],
  [(s) => s.sessions.create({ createdAt: new Date() }), 'session.createdAt'],
  [(s) => s.sessions.create({}, { ifExists: 'replace' }), 'ifExists'],
  [(s) => s.sessions.update('s', { headId: null }), 'patch.headId'],
  [(s) => s.sessions.purge({}), 'deletedBefore'],
  [(s) => s.sessions.purge({ deletedBefore: 1.5 }), 'deletedBefore'],
  // Messages.
  [(s) => s.messages.add(message({ role: '' })), 'message.role'],
  [(s) => s.messages.add(message({ role: 'x'.repeat(65) })), 'message.role', 'TOO_LARGE'],
  [(s) => s.messages.add(message({ sessionId: undefined })), 'message.sessionId'],
  [(s) => s.messages.add(message({ session: 's' })), 'message.session'],
  [(s) => s.messages.add(message({ content: undefined })), 'message'],
  [(s) => s.messages.add(message({ parts: [] })), 'message'],
  [(s) => s.messages.add(message({ content: 5 })), 'message.content'],
  [(s) => s.messages.add(message({ content: lone })), 'message.content'],
  [(s) => s.messages.add(message({ content: '\udc00' })), 'message.content'],
  [(s) => s.messages.add(message({ content: 'x'.repeat(64 * 2 ** 20 + 1) })), 'message.content', 'TOO_LARGE'],
  [(s) => s.messages.add(message({ createdAt: Number.NaN })), 'message.createdAt'],
  [(s) => s.messages.add(message({ createdAt: Infinity })), 'message.createdAt'],
  [(s) => s.messages.add(message({ createdAt: 1.5 })), 'message.createdAt'],
  [(s) => s.messages.add(message({ createdAt: 8.64e15 + 2 })), 'message.createdAt'],
  [(s) => s.messages.add(message({ status: 'done' })), 'message.status'],
  [(s) => s.messages.add(message({ usage: { inputTokens: -1 } })), 'message.usage.inputTokens'],
  [(s) => s.messages.add(message({ usage: { costUsd: Number.NaN } })), 'message.usage.costUsd'],
  [(s) => s.messages.add(message({ usage: { tokens: 1 } })), 'message.usage.tokens'],
  [(s) => s.messages.add(message({ metadata: { a: { b: [1, 5n] } } })), 'message.metadata.a.b[1]'],
  [(s) => s.messages.add(message({ metadata: { 'a b': Number.NaN } })), 'message.metadata["a b"]'],
  [(s) => s.messages.add(message({ metadata: () => 1 })), 'message.metadata'],
  [(s) => s.messages.add(message({ metadata: { f: Symbol('x') } })), 'message.metadata.f'],
  [(s) => s.messages.add(message({ metadata: [undefined] })), 'message.metadata[0]'],
  [(s) => s.messages.add(message({ metadata: { when: new Date() } })), 'message.metadata.when'],
  [(s) => s.messages.add(message({ metadata: new Map() })), 'message.metadata'],
  [(s) => s.messages.add(message({ metadata: { [lone]: 1 } })), `message.metadata[${JSON.stringify(lone)}]`],
  [(s) => s.messages.add(message({ metadata: 'x'.repeat(2 ** 20) })), 'message.metadata', 'TOO_LARGE'],
  [(s) => s.messages.add(message({ error: { deep: { text: lone } } })), 'message.error.deep.text'],
  [(s) => s.messages.add(parts('text')), 'message.parts[0]'],
  [(s) => s.messages.add(parts({ text: 'x' })), 'message.parts[0].type'],
  [(s) => s.messages.add(parts({ type: 'text', text: lone })), 'message.parts[0].text'],
  [(s) => s.messages.add(parts({ type: 'x', bytes: new Uint8Array(3) })), 'message.parts[0].bytes'],
  [(s) => s.messages.add({ sessionId: 's', role: 'user', parts: { type: 'text' } }), 'message.parts'],
  [(s) => s.messages.addMany(message()), 'messages'],
  [(s) => s.messages.addMany([message(), message({ role: 5 })]), 'messages[1].role'],
  [(s) => s.messages.addMany([message(), null]), 'messages[1]'],
  [
    (s) =>
      s.messages.addMany([
        message(),
        message(),
        message(),
        parts({ type: 'text', text: 'x' }, { type: 'y', z: [lone] }),
      ]),
    'messages[3].parts[1].z[0]',
  ],
  [
    (s) => s.messages.addMany([message(), message({ metadata: 'x'.repeat(2 ** 20) })]),
    'messages[1].metadata',
    'TOO_LARGE',
  ],
  [(s) => s.messages.addMany(Array.from({ length: 100_001 }, () => message())), 'messages', 'TOO_LARGE'],
  [(s) => s.messages.put([message({ id: '' })]), 'messages[0].id'],
  [(s) => s.messages.edit({ sessionId: 's', id: 'm' }, {}), 'body'],
  [(s) => s.messages.edit({ sessionId: 's', id: 'm' }, { content: 'x', role: 'user' }), 'body.role'],
  [(s) => s.messages.update({ sessionId: 's', id: 'm' }, { content: 'x', parts: [] }), 'patch'],
  [(s) => s.messages.update({ sessionId: 's', id: 'm' }, { stauts: 'error' }), 'patch.stauts'],
  [(s) => s.messages.deleteWhere({}), 'filter'],
  [(s) => s.messages.deleteWhere({ before: undefined }), 'filter'],
  [(s) => s.messages.deleteWhere({ sessionID: 's' }), 'filter.sessionID'],
];

test('every wrong argument is refused with its place, and nothing changes', async (t) => {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  await store.bots.create({ id: 'b', name: 'Ada' });
  await store.sessions.create({ id: 's' });
  await store.messages.add(message({ id: 'm' }));
  const state = () => store.query('SELECT (SELECT count(*) FROM bots) AS bots, revision, message_count FROM sessions');
  const before = await state();
  for (const [call, argument, code = 'INVALID_ARGUMENT'] of cases) {
    const error = await rejection(call(store));
    const told = [String(call), error.stack].join('\n');
    assert.ok(error instanceof ChatStoreError, told);
    assert.equal(error.code, code, told);
    assert.equal(error.details.argument, argument, told);
    assert.equal(typeof error.details.expected, 'string', told);
    if (code !== 'INVALID_CURSOR') assert.equal(typeof error.details.received, 'string', told);
    assert.ok(error.message.includes(argument.split('.').at(-1)), told);
    assert.ok(error.message.length < 1000, told);
  }
  assert.deepEqual(await state(), before);
});

test('a misspelt option is told with those that there are and the likely one', async (t) => {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  const error = await rejection(store.bots.list({ limt: 5 }));
  assert.equal(
    error.message,
    "unknown option 'limt'; expected one of deleted, limit, cursor, signal, timeoutMs (did you mean 'limit'?)",
  );
  const inside = await rejection(store.messages.addMany([message({ sesionId: 's' })]));
  assert.match(inside.message, /^messages\[0\]: unknown option 'sesionId'; .*did you mean 'sessionId'/);
});

test('a message says what was expected and what came', async (t) => {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  const error = await rejection(store.messages.addMany([parts({ type: 'text', text: lone })]));
  assert.equal(
    error.message,
    'messages[0].parts[0].text: expected a string of whole characters, received a string with a lone surrogate at index 1',
  );
  assert.deepEqual(error.details, {
    argument: 'messages[0].parts[0].text',
    expected: 'a string of whole characters',
    received: 'a string with a lone surrogate at index 1',
  });
  const date = await rejection(store.sessions.create({ createdAt: new Date(0) }));
  assert.match(date.message, /epoch milliseconds.*use date\.getTime\(\)/);
});

test('values that hold JSON cannot run deeper than its limit, nor in a circle', async (t) => {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  await store.sessions.create({ id: 's', metadata: deep(200) });
  assert.deepEqual((await store.sessions.get('s')).metadata, deep(200));
  for (const metadata of [deep(201), circle]) {
    const error = await rejection(store.sessions.create({ metadata }));
    assert.equal(error.code, 'INVALID_ARGUMENT');
    assert.match(error.message, /levels of JSON/);
  }
});

test('limits are counted in bytes, and exactly', async (t) => {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  for (const id of ['x'.repeat(256), 'é'.repeat(128), '日'.repeat(85), '😀'.repeat(64)]) {
    assert.equal((await store.sessions.create({ id })).id, id);
    assert.equal((await rejection(store.sessions.create({ id: `${id}é` }))).code, 'TOO_LARGE');
  }
  assert.equal(
    (await store.bots.create({ name: 'n'.repeat(1000), metadata: 'x'.repeat(2 ** 20 - 2) })).metadata.length,
    2 ** 20 - 2,
  );
});

test('what was given may be changed after the call, it has crossed by then', async (t) => {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  await store.sessions.create({ id: 's' });
  const given = message({ metadata: { list: [1] } });
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const transaction = store.transaction(() => held);
  const waiting = store.messages.addMany([given, { ...given }]);
  given.content = 'changed';
  given.metadata.list.push(2);
  release();
  await transaction;
  const [first] = await waiting;
  assert.deepEqual([first.content, first.metadata], ['x', { list: [1] }]);
});

test('objects of another realm, without a prototype or with undefined fields are plain data too', async (t) => {
  const { runInNewContext } = await import('node:vm');
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  await store.sessions.create({ id: 's' });
  const foreign = runInNewContext('({ a: [1, { b: 2 }] })');
  const bare = Object.assign(Object.create(null), { c: 3 });
  const added = await store.messages.add(message({ metadata: { foreign, bare, absent: undefined }, botId: undefined }));
  assert.deepEqual(added.metadata, { foreign: { a: [1, { b: 2 }] }, bare: { c: 3 } });
});
