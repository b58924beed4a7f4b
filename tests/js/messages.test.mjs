/** Each verb of messages: content, pages, the tree and its active path, the trash. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { rejection, temporaryFolder } from './support.mjs';

async function open(t, session = { id: 's' }) {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  await store.sessions.create(session);
  return store;
}

const texts = (items) => items.map((message) => message.content);
const said = (content, more = {}) => ({ sessionId: 's', role: 'user', content, ...more });

test('a message is kept with everything that was given', async (t) => {
  const store = await open(t);
  await store.bots.create({ id: 'b', name: 'Ada' });
  const given = {
    sessionId: 's',
    id: 'm',
    role: 'assistant',
    botId: 'b',
    parentId: null,
    createdAt: 123,
    status: 'incomplete',
    finishReason: 'length',
    error: { code: 5 },
    model: 'large-1',
    metadata: { nested: [{ a: null }] },
    usage: { inputTokens: 1, outputTokens: 2, reasoningTokens: 3, cachedTokens: 4, costUsd: 0.125, durationMs: 6 },
    parts: [
      { type: 'reasoning', text: 'hm' },
      { type: 'text', text: 'Hi 😀' },
      { type: 'tool-call', args: { deep: [1, '\0'] } },
    ],
  };
  const message = await store.messages.add(given);
  assert.deepEqual(message, {
    ...given,
    content: 'Hi 😀',
    seq: 1,
    active: true,
    updatedAt: message.updatedAt,
    deletedAt: null,
  });
  assert.deepEqual(await store.messages.get({ sessionId: 's', id: 'm' }), message);
  assert.equal(await store.messages.get({ sessionId: 's', id: 'none' }), null);
  assert.equal(await store.messages.get({ sessionId: 'none', id: 'm' }), null);
});

test('plain text and one text part are the same message', async (t) => {
  const store = await open(t);
  const a = await store.messages.add(said('same'));
  const b = await store.messages.add({ sessionId: 's', role: 'user', parts: [{ type: 'text', text: 'same' }] });
  assert.deepEqual(a.parts, b.parts);
  assert.equal(a.content, b.content);
});

test('a message takes the bot of its session and the head as its parent unless told otherwise', async (t) => {
  const store = await open(t, { id: 'unused' });
  await store.bots.create({ id: 'b', name: 'Ada' });
  await store.sessions.create({ id: 's', botId: 'b' });
  const [first, second, root] = await store.messages.addMany([
    said('1'),
    said('2'),
    said('3', { parentId: null, botId: null }),
  ]);
  assert.deepEqual([first.parentId, second.parentId, root.parentId], [null, first.id, null]);
  assert.deepEqual([first.botId, second.botId, root.botId], ['b', 'b', null]);
  assert.deepEqual([first.seq, second.seq, root.seq], [1, 2, 3]);
  const session = await store.sessions.get('s');
  assert.deepEqual([session.headId, session.messageCount, session.preview], [root.id, 3, '3']);
});

test('ids are unique within a session only', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 't' });
  await store.messages.add(said('in s', { id: 'm' }));
  await store.messages.add({ ...said('in t', { id: 'm' }), sessionId: 't' });
  assert.equal((await rejection(store.messages.add(said('again', { id: 'm' })))).code, 'CONSTRAINT_UNIQUE');
  assert.equal((await store.messages.get({ sessionId: 't', id: 'm' })).content, 'in t');
});

test('addMany adds all or none, and nothing for nothing', async (t) => {
  const store = await open(t);
  assert.deepEqual(await store.messages.addMany([]), []);
  const error = await rejection(store.messages.addMany([said('1'), said('2', { id: 'x' }), said('3', { id: 'x' })]));
  assert.equal(error.code, 'CONSTRAINT_UNIQUE');
  assert.deepEqual((await store.messages.list({ sessionId: 's' })).items, []);
  const added = await store.messages.addMany(Array.from({ length: 2500 }, (_, i) => said(`n ${i}`)));
  assert.deepEqual(
    texts(added),
    Array.from({ length: 2500 }, (_, i) => `n ${i}`),
  );
  assert.equal((await store.sessions.get('s')).messageCount, 2500);
});

test('what an addition gives back is what is read afterwards, whatever was given and in whichever order', async (t) => {
  const store = await open(t);
  await store.bots.create({ id: 'b', name: 'Ada' });
  await store.sessions.create({ id: 'r', botId: 'b' });
  const usage = { inputTokens: 1, costUsd: 0.5 };
  const parts = [
    { type: 'text', text: 'one' },
    { type: 'image', url: 'x', gone: undefined },
    { type: 'text', text: 'two 😀' },
  ];
  // Sessions take turns, the one that was made last first.
  const given = [
    { sessionId: 'r', role: 'user', content: 'with the bot of its session' },
    { sessionId: 's', role: 'user', content: '', id: 'first', metadata: { deep: [null] } },
    {
      sessionId: 'r',
      role: 'assistant',
      parts,
      model: 'm',
      usage,
      status: 'error',
      error: { code: 1 },
      finishReason: 'f',
    },
    { sessionId: 's', role: 'user', parts: [{ type: 'text', text: 'plain' }], botId: 'b', createdAt: 5 },
    { sessionId: 'r', role: 'user', content: 'a root', parentId: null, botId: null },
    { sessionId: 's', role: 'tool', content: 'a branch', parentId: 'first' },
  ];
  const added = await store.messages.addMany(given);
  assert.deepEqual(
    added.map(({ sessionId, seq }) => [sessionId, seq]),
    [
      ['r', 1],
      ['s', 1],
      ['r', 2],
      ['s', 2],
      ['r', 3],
      ['s', 3],
    ],
  );
  const active = async (message) => ({ ...message, active: (await store.messages.get(message)).active });
  for (const message of added) assert.deepEqual(await active(message), await store.messages.get(message));
  for (const message of given.slice(2, 4)) {
    const one = await store.messages.add({ ...message, id: undefined });
    assert.deepEqual(one, await store.messages.get(one));
  }
});

test('an addition that is sent again gives the messages as they are by now', async (t) => {
  const store = await open(t);
  const options = { operationId: 'once' };
  const [first] = await store.messages.addMany([said('as it was')], options);
  await store.messages.update(first, { content: 'as it is' });
  const [again] = await store.messages.addMany([said('as it was')], options);
  assert.deepEqual(again, await store.messages.get(first));
  assert.equal(again.content, 'as it is');
});

test('put replaces by id, adds the rest, chains them and moves the head', async (t) => {
  const store = await open(t);
  const first = await store.messages.put([said('1', { id: 'a' }), said('2', { id: 'b' })]);
  assert.deepEqual(
    first.map((message) => message.parentId),
    [null, 'a'],
  );
  const again = await store.messages.put([said('1', { id: 'a' }), said('two', { id: 'b' }), said('3', { id: 'c' })]);
  assert.deepEqual(texts(again), ['1', 'two', '3']);
  assert.deepEqual(
    again.map((message) => message.parentId),
    [null, 'a', 'b'],
  );
  const { items } = await store.messages.list({ sessionId: 's' });
  assert.deepEqual(texts(items), ['1', 'two', '3']);
  assert.equal((await store.sessions.get('s')).headId, 'c');
});

test('a session opens at its newest page and is read back to its beginning and forth again', async (t) => {
  const store = await open(t);
  await store.messages.addMany(Array.from({ length: 23 }, (_, i) => said(String(i))));
  const pages = [await store.messages.list({ sessionId: 's', limit: 10 })];
  assert.equal(pages[0].nextCursor, null);
  while (pages[0].prevCursor !== null && pages.length < 10) {
    pages.unshift(await store.messages.list({ sessionId: 's', limit: 10, cursor: pages[0].prevCursor }));
  }
  const all = Array.from({ length: 23 }, (_, i) => String(i));
  assert.deepEqual(
    pages.flatMap((page) => texts(page.items)),
    all,
  );
  const forth = [pages[0]];
  while (forth.at(-1).nextCursor !== null && forth.length < 10) {
    forth.push(await store.messages.list({ sessionId: 's', limit: 10, cursor: forth.at(-1).nextCursor }));
  }
  assert.deepEqual(
    forth.flatMap((page) => texts(page.items)),
    all,
  );
  assert.equal((await store.messages.list({ sessionId: 's' })).items.length, 23);
});

test('around opens the page that a message stands in', async (t) => {
  const store = await open(t);
  const added = await store.messages.addMany(Array.from({ length: 30 }, (_, i) => said(String(i))));
  const page = await store.messages.list({ sessionId: 's', around: added[15].id, limit: 5 });
  assert.equal(page.items.length, 5);
  assert.ok(texts(page.items).includes('15'));
  assert.ok(page.prevCursor !== null && page.nextCursor !== null);
  const edge = await store.messages.list({ sessionId: 's', around: added[0].id, limit: 5 });
  assert.equal(edge.prevCursor, null);
  assert.equal(edge.items[0].content, '0');
  assert.equal((await rejection(store.messages.list({ sessionId: 's', around: 'none' }))).code, 'NOT_FOUND');
});

test('an unknown session lists nothing and has no tree', async (t) => {
  const store = await open(t);
  assert.deepEqual(await store.messages.list({ sessionId: 'none' }), { items: [], nextCursor: null, prevCursor: null });
  assert.equal((await rejection(store.messages.tree('none'))).code, 'NOT_FOUND');
});

test('the messages of a bot come by time, from all of its sessions, in either order', async (t) => {
  const store = await open(t);
  await store.bots.create({ id: 'b', name: 'Ada' });
  for (const id of ['x', 'y']) await store.sessions.create({ id, botId: 'b' });
  for (let i = 0; i < 6; i++) {
    await store.messages.add({
      sessionId: i % 2 === 0 ? 'x' : 'y',
      role: 'user',
      content: String(i),
      createdAt: 100 + i,
    });
  }
  assert.deepEqual(texts((await store.messages.list({ botId: 'b' })).items), ['0', '1', '2', '3', '4', '5']);
  assert.deepEqual(texts((await store.messages.list({ botId: 'b', order: 'desc' })).items), [
    '5',
    '4',
    '3',
    '2',
    '1',
    '0',
  ]);
  const first = await store.messages.list({ botId: 'b', order: 'asc', limit: 4 });
  const second = await store.messages.list({ botId: 'b', order: 'asc', limit: 4, cursor: first.nextCursor });
  assert.deepEqual(texts([...first.items, ...second.items]), ['0', '1', '2', '3', '4', '5']);
  const back = await store.messages.list({ botId: 'b', order: 'asc', limit: 4, cursor: second.prevCursor });
  assert.deepEqual(texts(back.items), texts(first.items));
});

test('iterate gives every message once, from the first on, of a session and of a bot', async (t) => {
  const store = await open(t, { id: 'unused' });
  await store.bots.create({ id: 'b', name: 'Ada' });
  await store.sessions.create({ id: 's', botId: 'b' });
  const expected = Array.from({ length: 1203 }, (_, i) => String(i));
  await store.messages.addMany(expected.map((content, i) => said(content, { createdAt: i })));
  for (const options of [{ sessionId: 's' }, { botId: 'b' }]) {
    const seen = [];
    for await (const message of store.messages.iterate(options)) seen.push(message.content);
    assert.deepEqual(seen, expected);
  }
  for await (const message of store.messages.iterate({ sessionId: 'none' })) assert.fail(message.id);
});

test('an edit is a sibling that becomes the head, and switchTo goes back and forth', async (t) => {
  const store = await open(t);
  const [question, answer] = await store.messages.addMany([said('question'), said('answer', { role: 'assistant' })]);
  const edited = await store.messages.edit(question, { content: 'better question' });
  assert.deepEqual([edited.parentId, edited.role, edited.content], [null, 'user', 'better question']);
  assert.deepEqual(texts((await store.messages.list({ sessionId: 's' })).items), ['better question']);
  assert.equal((await store.sessions.get('s')).headId, edited.id);
  const reply = await store.messages.add(said('better answer', { role: 'assistant' }));
  assert.equal(reply.parentId, edited.id);

  assert.deepEqual(texts(await store.messages.branches(question)), ['question', 'better question']);
  assert.deepEqual(texts(await store.messages.branches(edited)), ['question', 'better question']);
  assert.deepEqual(texts((await store.messages.list({ sessionId: 's', branches: 'all' })).items).length, 4);

  const back = await store.messages.switchTo(question);
  assert.equal(back.headId, answer.id);
  assert.deepEqual(texts((await store.messages.list({ sessionId: 's' })).items), ['question', 'answer']);
  assert.equal((await store.messages.switchTo(edited)).headId, reply.id);

  const tree = await store.messages.tree('s');
  assert.deepEqual(
    tree.map((node) => [node.preview, node.parentId, node.active]),
    [
      ['question', null, false],
      ['answer', question.id, false],
      ['better question', null, true],
      ['better answer', edited.id, true],
    ],
  );
  const parts = await store.messages.edit(answer, {
    parts: [
      { type: 'image', url: 'x' },
      { type: 'text', text: 'pictured' },
    ],
  });
  assert.deepEqual([parts.content, parts.role, parts.parentId], ['pictured', 'assistant', question.id]);
});

test('update changes a message in place and leaves its place alone', async (t) => {
  const store = await open(t);
  const message = await store.messages.add(said('draft', { status: 'streaming', metadata: { a: 1 }, model: 'm' }));
  const done = await store.messages.update(message, {
    content: 'done',
    status: 'complete',
    finishReason: 'stop',
    usage: { outputTokens: 3 },
    metadata: null,
  });
  assert.deepEqual(done, {
    ...message,
    content: 'done',
    parts: [{ type: 'text', text: 'done' }],
    status: 'complete',
    finishReason: 'stop',
    usage: { outputTokens: 3 },
    metadata: null,
    updatedAt: done.updatedAt,
  });
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b', extra: true },
  ];
  const rich = await store.messages.update(message, { parts, error: { code: 'late' }, usage: null });
  assert.deepEqual([rich.parts, rich.error, rich.usage], [parts, { code: 'late' }, null]);
  assert.deepEqual(
    (await store.messages.update(message, { parts: [{ type: 'text', text: 'plain' }] })).content,
    'plain',
  );
  assert.equal((await store.messages.update(message, { content: '' })).content, '');
  assert.equal(
    (await rejection(store.messages.update({ sessionId: 's', id: 'none' }, { status: 'error' }))).code,
    'NOT_FOUND',
  );
});

test('a message goes to the trash and comes back; gone for good, its children stay', async (t) => {
  const store = await open(t);
  const [first, second, third] = await store.messages.addMany([said('1'), said('2'), said('3')]);
  assert.deepEqual(await store.messages.delete(second), { bots: 0, sessions: 0, messages: 1 });
  assert.deepEqual(texts((await store.messages.list({ sessionId: 's' })).items), ['1', '3']);
  assert.ok((await store.messages.get(second)).deletedAt > 0);
  assert.equal((await store.sessions.get('s')).messageCount, 2);
  assert.equal((await store.messages.restore(second)).deletedAt, null);
  assert.deepEqual(texts((await store.messages.list({ sessionId: 's' })).items), ['1', '2', '3']);
  await store.messages.delete(second, { permanent: true });
  assert.equal(await store.messages.get(second), null);
  assert.equal((await store.messages.get(third)).parentId, first.id);
  assert.deepEqual(texts((await store.messages.list({ sessionId: 's' })).items), ['1', '3']);
  assert.equal((await rejection(store.messages.delete(second))).code, 'NOT_FOUND');
  assert.equal((await rejection(store.messages.restore(second))).code, 'NOT_FOUND');
});

test('deleteWhere takes what matches all of its filters', async (t) => {
  const store = await open(t, { id: 'unused' });
  await store.bots.create({ id: 'b', name: 'Ada' });
  await store.sessions.create({ id: 's', botId: 'b' });
  await store.sessions.create({ id: 'other' });
  await store.messages.addMany([10, 20, 30].map((createdAt) => said(String(createdAt), { createdAt })));
  await store.messages.add({ sessionId: 'other', role: 'user', content: 'old', createdAt: 5 });
  assert.equal((await store.messages.deleteWhere({ botId: 'b', before: 20 })).messages, 1);
  assert.deepEqual(texts((await store.messages.list({ sessionId: 's' })).items), ['20', '30']);
  assert.equal((await store.messages.deleteWhere({ before: 20 }, { permanent: true })).messages, 2);
  assert.equal((await store.messages.list({ sessionId: 'other' })).items.length, 0);
  assert.equal((await store.messages.deleteWhere({ sessionId: 's' })).messages, 2);
  assert.deepEqual(await store.messages.deleteWhere({ sessionId: 'none' }), { bots: 0, sessions: 0, messages: 0 });
});

test('strange text comes back byte for byte', async (t) => {
  const store = await open(t);
  const strange = [
    '',
    ' ',
    '\0',
    'a\0b',
    '\uFEFFmark',
    '😀👩‍👩‍👧‍👦',
    '\u2028\u2029',
    'é\u0301',
    '\uFFFD',
    '\u0002x\u0003',
    "'; DROP TABLE messages; --",
    '日本語'.repeat(5000),
  ];
  await store.messages.addMany(strange.map((content) => said(content)));
  await store.messages.addMany(
    strange.map((text) => ({
      sessionId: 's',
      role: 'user',
      parts: [
        { type: 'text', text },
        { type: 'x', [text]: text },
      ],
    })),
  );
  const { items } = await store.messages.list({ sessionId: 's', limit: 100 });
  assert.deepEqual(texts(items.slice(0, strange.length)), strange);
  assert.deepEqual(
    items.slice(strange.length).map((message) => message.parts[1]),
    strange.map((text) => ({ type: 'x', [text]: text })),
  );
});

test('a page that does not fit into one reply is an error, and iterate reads on in smaller ones', async (t) => {
  const store = await ChatStore.open(join(temporaryFolder(), 'big.chat'));
  t.after(() => store.close());
  await store.sessions.create({ id: 's' });
  const content = 'x'.repeat(60 * 2 ** 20);
  const ids = ['1', '2', '3', '4', '5'];
  // Behind two pages of others, the page with the long ones is asked for while the one before is read.
  for (const [sessionId, before] of [
    ['s', 0],
    ['behind others', 1_000],
  ]) {
    await store.sessions.create({ id: sessionId }, { ifExists: 'return' });
    await store.messages.addMany(Array.from({ length: before }, (_, i) => said(`short ${i}`, { sessionId })));
    for (const id of ids) await store.messages.add({ sessionId, id, role: 'user', content });
    const error = await rejection(store.messages.list({ sessionId }));
    assert.equal(error.code, 'TOO_LARGE');
    const seen = [];
    for await (const message of store.messages.iterate({ sessionId })) seen.push([message.id, message.content.length]);
    assert.equal(seen.length, before + ids.length);
    assert.deepEqual(
      seen.slice(before),
      ids.map((id) => [id, content.length]),
    );
  }
});

test('in a transaction iterate sees on a later page what was written while an earlier one was read', async (t) => {
  const store = await open(t);
  const added = await store.messages.addMany(Array.from({ length: 1_501 }, (_, i) => said(String(i))));
  const seen = await store.transaction(async (tx) => {
    const all = [];
    for await (const { content } of tx.messages.iterate({ sessionId: 's' })) {
      all.push(content);
      if (all.length === 501) await tx.messages.update(added[1_200], { content: 'changed meanwhile' });
    }
    return all;
  });
  assert.equal(seen.length, 1_501);
  assert.equal(seen[1_200], 'changed meanwhile');
});
