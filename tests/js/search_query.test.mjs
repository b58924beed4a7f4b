/** Search with ordinary and with hostile text, and SQL that reads. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { rejection } from './support.mjs';

async function open(t, contents = []) {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  await store.sessions.create({ id: 's', title: 'A trip' });
  await store.messages.addMany(contents.map((content, i) => ({ sessionId: 's', id: `m${i}`, role: 'user', content })));
  return store;
}

/** SQL that gives so many rows. */
const counting = (rows) =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${rows}) SELECT i FROM n`;

const ids = (page) => page.items.map((hit) => hit.id);

test('a hit tells its message, session, rank and where the words stand in the snippet', async (t) => {
  const store = await open(t, ['nothing here', 'The quick brown fox 😀 and another fox']);
  const { items, nextCursor } = await store.search('fox quick');
  assert.equal(nextCursor, null);
  const [hit] = items;
  assert.equal(items.length, 1);
  assert.deepEqual(
    [hit.sessionId, hit.id, hit.role, hit.seq, hit.sessionTitle, hit.botId],
    ['s', 'm1', 'user', 2, 'A trip', null],
  );
  assert.equal(typeof hit.rank, 'number');
  assert.equal(hit.snippet, 'The quick brown fox 😀 and another fox');
  assert.deepEqual(
    hit.highlights.map(([start, end]) => hit.snippet.slice(start, end)),
    ['quick', 'fox', 'fox'],
  );
});

test('words match without case and accents, all must be there, a prefix only where asked for', async (t) => {
  const store = await open(t, ['Crème Brûlée', 'creme only', 'station']);
  assert.deepEqual(ids(await store.search('creme BRULEE')), ['m0']);
  assert.deepEqual(ids(await store.search('stat')), []);
  assert.deepEqual(ids(await store.search('stat', { prefix: true })), ['m2']);
});

test('no text is a syntax error, whatever is in it', async (t) => {
  const store = await open(t, ['a "quoted" word', 'NOT AND OR NEAR']);
  const hostile = [
    '',
    ' ',
    '"',
    '""',
    '"""',
    '*',
    '^',
    '(',
    ')',
    '((',
    'a*b',
    'NOT',
    'AND',
    'OR',
    'NOT a',
    'a AND',
    'NEAR(',
    'NEAR(a b, 5)',
    'text:',
    'text: a',
    '-a',
    '+',
    'a + b',
    "'",
    "a' OR '1'='1",
    '\\',
    '%',
    '_',
    '\0',
    'a\0b',
    '{a b}: c',
    'é\u0301',
    '😀',
    '\u0002',
    '\u0003',
    '.',
    '...',
    'http://x.y/?a=b&c=d',
    'a'.repeat(5000),
    '" OR text MATCH "',
    '*'.repeat(100),
    '日本語',
    'c++',
    'C#',
    '@name',
    '#tag',
    '$1',
    '?',
    ';',
    '--',
    '/* */',
  ];
  for (const query of hostile) {
    for (const prefix of [false, true]) {
      const page = await store.search(query, { prefix });
      assert.ok(Array.isArray(page.items), query);
    }
  }
  assert.deepEqual(ids(await store.search('"quoted')), ['m0']);
  assert.deepEqual(ids(await store.search('not and or near')), ['m1']);
});

test('hits come in pages that meet, and filters narrow them', async (t) => {
  const store = await open(
    t,
    Array.from({ length: 25 }, (_, i) => `common word ${i}`),
  );
  await store.bots.create({ id: 'b', name: 'Ada' });
  await store.sessions.create({ id: 'other', botId: 'b' });
  await store.messages.add({ sessionId: 'other', id: 'x', role: 'user', content: 'common too' });
  const seen = [];
  let cursor = null;
  for (let i = 0; i < 10; i++) {
    const page = await store.search('common', { limit: 10, cursor });
    seen.push(...page.items.map((hit) => `${hit.sessionId} ${hit.id}`));
    cursor = page.nextCursor;
    if (cursor === null) break;
  }
  assert.equal(seen.length, 26);
  assert.equal(new Set(seen).size, 26);
  assert.deepEqual(ids(await store.search('common', { sessionId: 'other' })), ['x']);
  assert.deepEqual(ids(await store.search('common', { botId: 'b' })), ['x']);
  const error = await rejection(
    store.search('other', { cursor: (await store.search('common', { limit: 10 })).nextCursor }),
  );
  assert.equal(error.code, 'INVALID_CURSOR');
});

test('a search follows every change at once: edits, updates, the trash and deletion', async (t) => {
  const store = await open(t, ['alpha']);
  const found = async (query) => ids(await store.search(query));
  const ref = { sessionId: 's', id: 'm0' };
  assert.deepEqual(await found('alpha'), ['m0']);
  await store.messages.update(ref, { content: 'beta' });
  assert.deepEqual([await found('alpha'), await found('beta')], [[], ['m0']]);
  await store.messages.delete(ref);
  assert.deepEqual(await found('beta'), []);
  await store.messages.restore(ref);
  assert.deepEqual(await found('beta'), ['m0']);
  await store.sessions.delete('s');
  assert.deepEqual(await found('beta'), []);
  await store.sessions.restore('s');
  assert.deepEqual(await found('beta'), ['m0']);
  await store.messages.delete(ref, { permanent: true });
  assert.deepEqual(await found('beta'), []);
  await store.messages.add({
    sessionId: 's',
    role: 'user',
    parts: [
      { type: 'text', text: 'gamma' },
      { type: 'x', text: 'delta' },
    ],
  });
  assert.equal((await found('gamma')).length, 1);
});

test('a query gives rows by column name, with every kind of value in and out', async (t) => {
  const store = await open(t);
  const bytes = Uint8Array.of(0, 1, 255);
  const sql = 'SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f, ? AS g, ? AS h';
  const [row] = await store.query(sql, { params: [null, 1.5, 'é\0😀', bytes, 2n ** 60n, true, -7, 5n] });
  assert.deepEqual(row, { a: null, b: 1.5, c: 'é\0😀', d: bytes, e: 2n ** 60n, f: 1, g: -7, h: 5 });
  assert.deepEqual(await store.query('SELECT :x + :y AS sum', { params: { x: 2, y: 3 } }), [{ sum: 5 }]);
  assert.deepEqual(await store.query('SELECT 1 AS a WHERE 0'), []);
});

test('a query with more rows than its limit is refused rather than cut', async (t) => {
  const store = await open(t);
  assert.deepEqual(await store.query(counting(3), { limit: 3 }), [{ i: 1 }, { i: 2 }, { i: 3 }]);
  assert.equal((await rejection(store.query(counting(4), { limit: 3 }))).code, 'TOO_LARGE');
  assert.equal((await store.query(counting(10_000))).length, 10_000);
  assert.equal((await rejection(store.query(counting(10_001)))).code, 'TOO_LARGE');
  assert.equal((await store.query(counting(100_000), { limit: 100_000 })).length, 100_000);
});

test('a query with the wrong parameters, several statements or a fault says so', async (t) => {
  const store = await open(t);
  for (const [sql, options] of [
    ['SELECT ?', { params: [] }],
    ['SELECT ?', { params: [1, 2] }],
    ['SELECT :a', { params: { b: 1 } }],
    ['SELECT 1; SELECT 2', {}],
    ['', {}],
    ['-- only a comment', {}],
    ['SELECT', {}],
  ]) {
    const error = await rejection(store.query(sql, options));
    assert.ok(
      ['INVALID_SQL', 'INVALID_ARGUMENT'].includes(error.code),
      JSON.stringify([sql, error.code, error.message]),
    );
  }
  const error = await rejection(store.query('SELECT * FRM messages'));
  assert.equal(error.details.offset, 9);
});

test('SQL that would do more than read is refused, also inside a transaction', async (t) => {
  const store = await open(t, ['kept']);
  const refused = [
    'DELETE FROM messages',
    "INSERT INTO bots (id, name) VALUES ('x', 'x')",
    'UPDATE messages SET text = 1',
    'DROP TABLE messages',
    'CREATE TABLE x (a)',
    'CREATE TEMP TABLE x (a)',
    'BEGIN',
    'COMMIT',
    'ROLLBACK',
    'SAVEPOINT x',
    'VACUUM',
    "VACUUM INTO '/tmp/x'",
    "ATTACH ':memory:' AS x",
    'PRAGMA journal_mode = DELETE',
    'PRAGMA query_only = 0',
    'PRAGMA user_version = 9',
    'PRAGMA hard_heap_limit = 1',
    'PRAGMA writable_schema = 1',
    'PRAGMA wal_checkpoint',
    'REINDEX',
    'ANALYZE',
    "INSERT INTO messages_fts (messages_fts) VALUES ('rebuild')",
  ];
  for (const sql of refused) {
    const outside = await rejection(store.query(sql));
    const inside = await rejection(store.transaction((tx) => tx.query(sql)));
    const expected = 'QUERY_NOT_ALLOWED';
    assert.deepEqual([outside.code, inside.code], [expected, expected], sql);
  }
  assert.equal((await store.messages.list({ sessionId: 's' })).items.length, 1);
});
