/** Figures of a store: each moves when its thing happens and not otherwise, and nothing of contents is in any. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ChatStore } from 'chatstore';
import { importSource, rejection, seeded, startPeer, temporaryFolder } from './support.mjs';

const { Figures, Histogram, planWithoutNames, statementOf, withoutLiterals } = await importSource('js/host/figures.ts');

const peers = [];
after(() => Promise.all(peers.map((peer) => peer.kill())));

const said = (content, more = {}) => ({ sessionId: 's', role: 'user', content, ...more });

async function storeWithSession(t, options) {
  const store = await ChatStore.open(join(temporaryFolder(), 'a.chat'), options);
  t.after(() => store.close());
  await store.sessions.create({ id: 's' });
  return store;
}

/** Every number by its path, but those of `deep`. */
function flat(figures, before = '') {
  return Object.entries(figures).flatMap(([key, value]) => {
    const path = `${before}${key}`;
    if (typeof value === 'number') return [[path, value]];
    return typeof value === 'object' && value !== null ? flat(value, `${path}.`) : [];
  });
}

/** The paths of the figures that an action has moved, times and bytes of memory left out. */
async function moved(store, act) {
  const before = new Map(flat(await store.stats()));
  await act();
  const now = flat(await store.stats());
  return now
    .filter(([path, value]) => value !== (before.get(path) ?? 0))
    .map(([path]) => path)
    .filter((path) => !/Ms$|^memory\.|^slow\./.test(path));
}

/** Pages may also be looked at by what the store does when nobody asks anything of it. */
const isLook = (path) => /^(cache|storage)\.(hits|misses|reads|readBytes)$/.test(path);

test('asking for figures moves none of them, but that it finds a page of the file in a cache', async (t) => {
  const store = await storeWithSession(t);
  await store.stats();
  assert.deepEqual(
    (await moved(store, () => undefined)).filter((path) => !isLook(path)),
    [],
  );
});

test('a read moves the times of its verb and the cache, and nothing else', async (t) => {
  const store = await storeWithSession(t);
  await store.sessions.get('s');
  const paths = await moved(store, () => store.sessions.get('s'));
  assert.ok(paths.includes('cache.hits'));
  assert.deepEqual(
    paths.filter((path) => !isLook(path)),
    ['verbs.sessions.get.count'],
  );
  assert.equal((await store.stats()).verbs['sessions.get'].count, 2);
});

test('writes of one moment are one group of their number, wait in the queue and reach the log and the disk', async (t) => {
  const store = await storeWithSession(t);
  const paths = await moved(store, () =>
    Promise.all(Array.from({ length: 10 }, (_, at) => store.messages.add(said(`m${at}`)))),
  );
  for (const path of [
    'groups.count',
    'groups.calls',
    'groups.sizes.max',
    'groups.sizes.p95',
    'queue.deepest',
    'queue.waits.count',
    'verbs.messages.add.count',
    'log.frames',
    'log.bytes',
    'storage.writes',
    'storage.writtenBytes',
    'storage.flushes',
    'cache.writes',
  ])
    assert.ok(paths.includes(path), `${path} among ${paths.join(' ')}`);
  for (const path of paths) assert.doesNotMatch(path, /^(pool|errors|retries|reopened|restarts|link|connections)/);
  const { groups, queue, verbs, log, file } = await store.stats();
  assert.deepEqual(groups, { count: 2, calls: 11, sizes: { p50: 1, p95: 10, max: 10 } });
  assert.deepEqual([queue.waiting, queue.deepest, queue.waits.count], [0, 10, 11]);
  assert.equal(verbs['messages.add'].count, 10);
  assert.equal(log.bytes, 32 + log.frames * (file.pageBytes + 24));
});

test('a snapshot takes a connection of the pool and gives it back, to be used again', async (t) => {
  const store = await storeWithSession(t, { pool: { min: 1, max: 2, acquireTimeoutMs: 50 } });
  const { pool: before, connections: open } = await store.stats();
  assert.deepEqual([before.min, before.max, before.size, before.checkouts, before.waits.count], [1, 2, 0, 0, 0]);
  await store.snapshot(async () => {
    const { pool, connections } = await store.stats();
    assert.deepEqual([pool.size, pool.inUse, pool.idle, pool.created, pool.reused], [1, 1, 0, 1, 0]);
    assert.equal(connections, open + 1);
  });
  await store.snapshot(() => undefined);
  const { pool } = await store.stats();
  assert.deepEqual([pool.inUse, pool.idle, pool.created, pool.reused, pool.checkouts], [0, 1, 1, 1, 2]);
  assert.deepEqual([pool.waits.count, pool.timeouts, pool.mostInUse], [2, 0, 1]);
  await store.snapshot(() =>
    store.snapshot(async () => {
      assert.equal((await rejection(store.snapshot(() => undefined))).code, 'POOL_EXHAUSTED');
    }),
  );
  const last = await store.stats();
  assert.deepEqual([last.pool.timeouts, last.pool.waits.count, last.pool.inUse], [1, 4, 0]);
  assert.deepEqual(last.errors, { POOL_EXHAUSTED: 1 });
});

test('what connections that are closed have found in their caches stays counted', async (t) => {
  const store = await storeWithSession(t, { pool: { min: 0, max: 1, idleTimeoutMs: 1 } });
  await store.snapshot((view) => view.messages.list({ sessionId: 's' }));
  const before = await store.stats();
  assert.equal(before.pool.size, 1);
  for (let tries = 0; tries < 1_000 && (await store.stats()).pool.size > 0; tries++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const now = await store.stats();
  assert.equal(now.pool.size, 0);
  assert.ok(now.cache.hits >= before.cache.hits && now.cache.misses >= before.cache.misses);
});

test('a call that fails is counted by its code, and names no verb that there is not', async (t) => {
  const store = await storeWithSession(t);
  await rejection(store.sessions.create({ id: 's' }));
  await rejection(store.query('SELECT nothing'));
  const { errors, verbs } = await store.stats();
  assert.deepEqual(errors, { CONSTRAINT_UNIQUE: 1, INVALID_SQL: 1 });
  assert.deepEqual(Object.keys(verbs).toSorted(), ['info', 'sessions.create']);
  assert.equal(verbs['sessions.create'].count, 2);
});

test('deletes leave free pages, and a checkpoint is counted', async (t) => {
  const store = await storeWithSession(t);
  await store.messages.addMany(Array.from({ length: 2_000 }, () => said('x'.repeat(1_000))));
  const full = await store.stats();
  await store.sessions.delete('s', { permanent: true });
  const { file, log } = await store.stats();
  assert.ok(file.freePages > 100 && file.freePages > full.file.freePages);
  assert.equal(file.sizeBytes, file.pages * file.pageBytes);
  for (let tries = 0; tries < 1_000 && (await store.stats()).log.checkpoints === 0; tries++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok((await store.stats()).log.checkpoints > log.checkpoints - 1);
  assert.equal(statSync(store.info.path).size, file.sizeBytes);
});

test('the deep figures count rows and pages, and say which statement uses which index', async (t) => {
  const store = await storeWithSession(t);
  const messages = Array.from({ length: 500 }, (_, at) => said(`message number ${at}`, { id: `m${at}` }));
  await store.messages.addMany(messages);
  await store.messages.list({ sessionId: 's' });
  await store.sessions.list();
  await store.search('number');
  const before = await store.stats();
  const { deep, file, verbs } = await store.stats({ deep: true });
  assert.deepEqual(verbs, before.verbs, 'looking is no call of anybody');
  assert.equal((await store.stats()).verbs.query, undefined);
  assert.equal(deep.rows.messages, 500);
  assert.equal(deep.rows.sessions, 1);
  assert.equal(deep.rows.bots, 0);
  const inTrees = deep.trees.reduce((sum, { pages }) => sum + pages, 0);
  // What is neither free nor in a tree says which page belongs where.
  const maps = file.pages - file.freePages - inTrees;
  assert.ok(maps >= 1 && maps <= 2, `${maps} pages are in no tree`);
  assert.ok(deep.fragmentation >= 0 && deep.fragmentation <= 1);
  const messagesTree = deep.trees.find(({ name }) => name === 'messages');
  assert.ok(messagesTree.steps > 0 && messagesTree.gaps <= messagesTree.steps);
  const recency = deep.indexes.find(({ name }) => name === 'sessions_recency');
  assert.equal(recency.table, 'sessions');
  assert.ok(recency.usedBy.length > 0);
  for (const at of recency.usedBy) assert.match(deep.statements[at].sql, /last_active_at/);
  assert.ok(
    deep.statements.some(({ connection, sql }) => connection === 'writer' && sql.startsWith('INSERT INTO messages')),
  );
  const runs = (of) => of.reduce((sum, statement) => sum + statement.runs, 0);
  const scanning = deep.statements.filter(({ scans }) => scans.length > 0);
  assert.equal(deep.indexEfficiency, 1 - runs(scanning) / runs(deep.statements));
  for (const { scans } of scanning)
    for (const table of scans) assert.match(table, /^(search_pending|search_stale|message_deltas|st)$/);
});

test('pages in their order are no fragmentation, and pages between those of another tree are', async (t) => {
  const store = await storeWithSession(t);
  await store.messages.addMany(Array.from({ length: 3_000 }, (_, at) => said('x'.repeat(800), { id: `m${at}` })));
  const tree = async () => (await store.stats({ deep: true })).deep.trees.find(({ name }) => name === 'messages');
  const straight = await tree();
  assert.ok(straight.gaps / straight.steps < 0.5, `${straight.gaps} of ${straight.steps}`);
  await store.sessions.create({ id: 'other' });
  for (let at = 0; at < 300; at++) {
    await store.messages.add(said('y'.repeat(3_000)));
    await store.messages.add({ sessionId: 'other', role: 'user', content: 'y'.repeat(3_000) });
  }
  const mixed = await tree();
  assert.ok(mixed.gaps - straight.gaps > 250, `${mixed.gaps} of ${mixed.steps}`);
});

test('a client elsewhere sees the figures of the owner, and those of its own way', async (t) => {
  const path = join(temporaryFolder(), 'a.chat');
  const owner = await startPeer();
  peers.push(owner);
  await owner.run(`state.store = await ChatStore.open(args.path); await state.store.sessions.create({ id: 's' })`, {
    path,
  });
  const store = await ChatStore.open(path);
  t.after(() => store.close());
  await store.messages.add(said('by the client'));
  const seen = await store.stats({ deep: true });
  assert.equal(seen.verbs['sessions.create'].count, 1);
  assert.equal(seen.verbs['messages.add'].count, 1);
  assert.equal(seen.deep.rows.messages, 1);
  assert.deepEqual(seen.link, { retries: 3, resent: 0, reconnects: 0 });
  assert.equal(seen.room, null);
  const begun = store.transaction(async (tx) => {
    await tx.messages.add(said('lost'));
    await owner.kill();
    await tx.messages.add(said('lost too'));
  });
  assert.equal((await rejection(begun)).code, 'TRANSACTION_LOST');
  await store.messages.add(said('after it'));
  const { link, verbs } = await store.stats();
  assert.equal(link.reconnects, 1);
  assert.equal(verbs['messages.add'].count, 1, 'the next owner counts from its own beginning');
});

test('percentiles are within the width of their bucket of the true ones', () => {
  const seed = Number(process.env.CHATSTORE_SEED ?? 1);
  const random = seeded(seed);
  for (let round = 0; round < 200; round++) {
    const count = 1 + Math.floor(random() * 400);
    // From a microsecond to twenty minutes, evenly by their logarithm.
    const times = Array.from({ length: count }, () => 10 ** (random() * 9 - 3));
    const histogram = new Histogram();
    for (const ms of times) histogram.add(ms);
    const sorted = times.toSorted((one, other) => one - other);
    const found = histogram.times();
    assert.equal(found.count, count);
    assert.equal(found.maxMs, sorted.at(-1));
    for (const [name, share] of Object.entries({ p50Ms: 0.5, p95Ms: 0.95, p99Ms: 0.99 })) {
      const true_ms = sorted[Math.ceil(share * count) - 1];
      const off_ms = Math.abs(found[name] - true_ms);
      assert.ok(
        off_ms <= Math.max(true_ms * 0.0626, 0.001),
        `CHATSTORE_SEED=${seed}, round ${round}: ${name} is ${found[name]}, the true one ${true_ms}`,
      );
    }
  }
  assert.deepEqual(new Histogram().times(), { count: 0, p50Ms: 0, p95Ms: 0, p99Ms: 0, maxMs: 0 });
  const extreme = new Histogram();
  for (const ms of [0, 1e12]) extreme.add(ms);
  assert.deepEqual([extreme.times().count, extreme.times().maxMs], [2, 1e12]);
});

const call = (verb, more = {}) => ({
  call: 1,
  scope: 0,
  verb,
  write: false,
  timeoutMs: 1,
  attempt: 1,
  firstSentMs: 0,
  ...more,
});

test('the twenty slowest calls are kept, in their order, and what is not slow enough is not asked for its plan', () => {
  const figures = new Figures(10);
  const random = seeded(7);
  const times = Array.from({ length: 200 }, () => 10 + random() * 1_000);
  for (const ms of times) figures.keepSlow(call('x'), ms, 0, undefined, () => []);
  const expected = times.toSorted((one, other) => other - one).slice(0, 20);
  assert.deepEqual(
    figures.take().slow.map(({ runMs }) => runMs),
    expected,
  );
  figures.keepSlow(call('x'), 10, 0, undefined, () => assert.fail('its plan was asked for'));
  assert.deepEqual([figures.isSlow(9.9), figures.isSlow(10)], [false, true]);
  assert.equal(new Figures(0).isSlow(1e9), false, '0 turns it off');
  assert.deepEqual([new Figures().isSlow(199), new Figures().isSlow(200)], [false, true]);
});

test('the twenty calls that failed last are kept, the last first, and none that asked for figures', () => {
  const figures = new Figures();
  for (let at = 0; at < 30; at++) figures.keepFailed(call(`x${at}`, { args: { id: 'secret' } }), { code: 'CONFLICT' });
  figures.keepFailed(call('stats.query'), { code: 'INVALID_SQL' });
  const { failed } = figures.take();
  assert.deepEqual(
    failed.map(({ verb }) => verb),
    Array.from({ length: 20 }, (_, at) => `x${29 - at}`),
  );
  const { at, ...last } = failed[0];
  assert.ok(at <= Date.now());
  assert.deepEqual(last, { verb: 'x29', error: 'CONFLICT', args: { id: 'string(6)' }, statement: null });
});

test('of arguments only names, types and lengths are kept', () => {
  const figures = new Figures(1);
  const args = { id: 'secret', tags: ['secret', 1], patch: { title: null, pinned: true, metadata: '{"secret":1}' } };
  figures.keepSlow(call('x', { args, rows: new Uint8Array(800) }), 5, 2, { code: 'TIMEOUT' }, () => []);
  const [slow] = figures.take().slow;
  assert.deepEqual(slow.args, {
    id: 'string(6)',
    tags: ['string(6)', 'number'],
    patch: { title: 'null', pinned: 'boolean', metadata: 'string(12)' },
    rows: 'bytes(800)',
  });
  assert.deepEqual([slow.verb, slow.runMs, slow.waitedMs, slow.error, slow.statement], ['x', 5, 2, 'TIMEOUT', null]);
});

test('nothing that may be contents is left of a statement, however it is written', () => {
  const shown = {
    "SELECT * FROM t1 WHERE a = 'it''s' AND b IN (?1, :name, @x, $y, 17, 1.5e3, .5, 0xff)":
      'SELECT * FROM t1 WHERE a = ? AND b IN (?1, :name, @x, $y, ?, ?, ?, ?)',
    'SELECT "quoted" , `ticks`, [brackets] FROM m -- a comment': 'SELECT ? , ?, ? FROM m',
    "SELECT x'00ff', max(m.key) /* in\n between */ FROM messages m": 'SELECT ?, max(m.key) FROM messages m',
    "SELECT 'never closed": 'SELECT ?',
    'SELECT "a""b SECRET" FROM m;': 'SELECT ? FROM m',
    "SELECT 1; it's SECRET, isn't it": 'SELECT ? …',
    "SELECT 1 \0 it's SECRET, isn't it": 'SELECT ? …',
    'SELECT $a::b(SECRET), @c, #d(e) FROM “SECRET”': 'SELECT ?, @c, ? FROM ?',
  };
  for (const [sql, expected] of Object.entries(shown)) assert.equal(withoutLiterals(sql), expected);

  const seed = Number(process.env.CHATSTORE_SEED ?? 1);
  const random = seeded(seed);
  const pick = (of) => of[Math.floor(random() * of.length)];
  const harmless = ['SELECT ', ' a1', ' = ', '?2', ':p', ' - ', '/', ' * ', '(', ')', ',', '\n', ' x', 'X', '.', ' é'];
  const hiding = [
    (secret) => `'${secret}'`,
    (secret) => `'it''s ${secret}'`,
    (secret) => `"${secret}"`,
    (secret) => `x'${secret}'`,
    (secret) => `\`${secret}\``,
    (secret) => `[${secret}]`,
    (secret) => `--'${secret}"\n`,
    (secret) => `/*'${secret}*/`,
    (secret) => `' -- ${secret} /* '`,
    () => ' 987654321',
    (secret) => `“${secret}”`,
    (secret) => `$a::${secret}`,
    (secret) => `:a(${secret})`,
    (secret) => `"a""${secret}"`,
  ];
  for (let round = 0; round < 5_000; round++) {
    let sql = '';
    // A name directly before a quote is another token in SQL as well.
    for (let at = 0; at < 8; at++) sql += random() < 0.5 ? pick(harmless) : ` ${pick(hiding)('SECRET')}`;
    const left = withoutLiterals(sql);
    assert.doesNotMatch(left, /SECRET|987/, `CHATSTORE_SEED=${seed}, round ${round}: ${sql}`);
  }
});

test('of a statement that fails as much is told as SQLite has read, whatever follows', async (t) => {
  const events = [];
  const store = await storeWithSession(t, { onEvent: ({ message }) => events.push(message) });
  const told = {
    "SELECT * FROM messages WHERE text = 'it's SECRET stuff'": 'SELECT * FROM messages WHERE text = ? …',
    "SELECT 'é𝒳' AS b, 'the dogs' SECRET stuff' FROM messages": 'SELECT ? AS b, ? SECRET …',
    'SELECT * FROM messages WHERE text = «SECRET»': 'SELECT * FROM messages WHERE text = …',
    'SELECT * FROM messages WHERE text = SECRET AND 1': 'SELECT * FROM messages WHERE text = …',
    'SELECT $a::b(SECRET in parens)': 'SELECT …',
    "SELECT 'never closed SECRET": 'SELECT …',
    "SELECT 1; SELECT 2; it's SECRET, isn't it": 'SELECT ? …',
    "SELECT 1; SELECT it's SECRET, isn't it": 'SELECT ? …',
    "CREATE TABLE a (b DEFAULT 'it's SECRET, isn't it')": 'CREATE TABLE a (b DEFAULT …',
    "WITH a AS (SELECT 1), a AS (SELECT 'it's SECRET, isn't it') SELECT": 'WITH a AS (SELECT ?), a AS (SELECT ?s …',
    'SELECT 1 FROM nowhere': 'SELECT ? FROM nowhere',
  };
  for (const sql of Object.keys(told)) await rejection(store.query(sql));
  const { failed } = await store.stats();
  assert.deepEqual(
    failed.map(({ statement }) => statement),
    Object.values(told).toReversed(),
  );
  assert.deepEqual(
    events.map((message) => message.replace(/^query failed with [A-Z_]+: /, '')),
    Object.values(told),
  );
  // What has run is told whole: it was read.
  const query = call('query', { args: { sql: "SELECT 'it''s SECRET' FROM m" } });
  assert.equal(statementOf(query, { code: 'TIMEOUT', details: {} }), 'SELECT ? FROM m');
});

test('names that a statement hides are hidden in its plan, and no others', async (t) => {
  const store = await storeWithSession(t, { slowQueryMs: 1 });
  const slow =
    '(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT sum(i) FROM n)';
  const hidden = [
    '"SECRET alias"',
    '[SECRET]',
    "'SECRET ''s'",
    '`SECRET``s`',
    '"a""SECRET"',
    '“SECRET”',
    '"(SECRET.*"',
  ];
  for (const name of hidden) await store.query(`SELECT ${slow}, key FROM sessions AS ${name}`);
  await store.query(`WITH "SECRET cte" AS MATERIALIZED (SELECT ${slow} AS a) SELECT * FROM "SECRET cte"`);
  const { slow: kept } = await store.stats();
  assert.equal(kept.filter(({ verb }) => verb === 'query').length, hidden.length + 1);
  assert.doesNotMatch(JSON.stringify(kept), /SECRET/);
  for (const { plan, statement } of kept.filter(({ verb }) => verb === 'query'))
    assert.ok(
      plan.some((step) => step.startsWith('SCAN ?')),
      `${statement}: ${plan.join('\n')}`,
    );
  const plan = ['SCAN a USING INDEX ab (a=?)', 'SCAN abc a', 'SEARCH A b.c'];
  assert.deepEqual(planWithoutNames(plan, `SELECT 1 FROM m "a", 'abc a', x."b.c", "n", ""`), [
    'SCAN ? USING INDEX ab (?=?)',
    'SCAN ?',
    'SEARCH ? ?',
  ]);
});

const BUSY = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
  SELECT count(*) AS count FROM n WHERE i || 'secret' <> :wanted`;

test('a slow query is kept with its plan and without its contents, and is told', async (t) => {
  const events = [];
  const store = await storeWithSession(t, { slowQueryMs: 1, onEvent: (event) => events.push(event) });
  await store.query(BUSY, { params: { wanted: 'secret' }, limit: 1 });
  const endless = BUSY.replace('WHERE i < 300000', '');
  await rejection(store.query(endless, { params: { wanted: 'secret' }, timeoutMs: 20 }));
  const { slow } = await store.stats();
  const query = slow.find(({ verb, error }) => verb === 'query' && error === null);
  assert.deepEqual(query.args, { sql: `string(${BUSY.length})`, params: { wanted: 'string(6)' }, limit: 'number' });
  assert.match(query.statement, /^WITH RECURSIVE n \(i\) AS \(SELECT \? UNION ALL/);
  assert.ok(
    query.plan.some((step) => step.startsWith('SCAN n')),
    query.plan.join('\n'),
  );
  assert.ok(query.runMs >= 1 && query.waitedMs === 0 && query.at <= Date.now());
  assert.equal(slow.filter(({ error }) => error === 'TIMEOUT').length, 1);
  const told = events.filter(({ type, message }) => type === 'slow_query' && message.startsWith('query ran'));
  assert.equal(told.length, 2);
  assert.doesNotMatch(JSON.stringify([slow, events]), /secret/);
});

test('a slow search has the plan of its statement, a slow write the time of its own run', async (t) => {
  const store = await storeWithSession(t, { slowQueryMs: 1 });
  const many = Array.from({ length: 20_000 }, (_, at) => said('a secret word', { id: `m${at}` }));
  // Waits behind the large one, and is no slower for it.
  const [, small] = await Promise.all([store.messages.addMany(many), store.messages.add(said('secret'))]);
  assert.equal(small.seq, 20_001);
  await store.search('secret', { sessionId: 's' });
  const { slow } = await store.stats();
  const [write, ...others] = slow.filter(({ verb }) => verb === 'messages.add');
  assert.ok(write.runMs >= 1);
  assert.deepEqual(write.plan, []);
  // On a machine that stops now and then the small one may be slow by itself.
  for (const other of others) assert.ok(other.runMs < write.runMs / 2, `${other.runMs} and ${write.runMs} ms`);
  const search = slow.find(({ verb }) => verb === 'search');
  assert.deepEqual(search.args, { query: 'string(6)', sessionId: 'string(1)' });
  assert.ok(
    search.plan.some((step) => step.includes('VIRTUAL TABLE INDEX')),
    search.plan.join('\n'),
  );
  assert.doesNotMatch(JSON.stringify(slow), /secret/);
});

test('what fails is kept with its statement and without its contents, and SQL that does is told', async (t) => {
  const events = [];
  const store = await storeWithSession(t, { onEvent: (event) => events.push(event) });
  await rejection(store.query("SELECT 'secret' FROM FROM messages"));
  await rejection(store.transaction((tx) => tx.query('SELECT secret FROM nowhere WHERE a = :a', { params: { a: 1 } })));
  await rejection(store.messages.add(said('secret', { sessionId: 'none' })));
  const signal = AbortSignal.abort();
  await rejection(store.messages.add(said('secret'), { signal }));
  const { failed } = await store.stats();
  assert.deepEqual(
    failed.map(({ verb, error, statement }) => [verb, error, statement]),
    [
      ['messages.add', 'CONSTRAINT_FOREIGN_KEY', null],
      ['query', 'INVALID_SQL', 'SELECT secret FROM nowhere WHERE a = :a'],
      ['query', 'INVALID_SQL', 'SELECT ? FROM …'],
    ],
  );
  assert.deepEqual(failed[1].args.params, { a: 'number' });
  assert.deepEqual(events, [
    { type: 'query_failed', message: 'query failed with INVALID_SQL: SELECT ? FROM …' },
    { type: 'query_failed', message: 'query failed with INVALID_SQL: SELECT secret FROM nowhere WHERE a = :a' },
  ]);
});

test('without a threshold nothing is slow', async (t) => {
  const events = [];
  const store = await storeWithSession(t, { slowQueryMs: 0, onEvent: (event) => events.push(event) });
  await store.query(BUSY, { params: { wanted: 'x' } });
  assert.deepEqual((await store.stats()).slow, []);
  assert.deepEqual(events, []);
});
