/** The verification report: on this machine, on a store that is in use, and on stores that break each promise. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one report after the other */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore, ChatStoreError } from 'chatstore';
import { categories, environmentOf, runReport, toHtml, toMarkdown } from 'chatstore/report';
import { misbehaving, without_snapshots, without_transactions } from './misbehave.mjs';
import { filled } from './stores.mjs';
import { root, temporaryFolder } from './support.mjs';

const all_items = categories.flatMap(({ items }) => items);
const by_clock = all_items.filter(({ timed }) => timed).map(({ id }) => id);

/** Reports are kept where people find them; see CONTRIBUTING.md. */
const artefacts = join(root, 'tmp/reports');

test('every check passes here, and the report is written in each format', async () => {
  const titles = [];
  const report = await runReport({
    environment: environmentOf(ChatStore),
    seed: 7,
    onProgress: ({ title }) => titles.push(title),
  });
  mkdirSync(artefacts, { recursive: true });
  writeFileSync(join(artefacts, 'node.md'), toMarkdown(report));
  writeFileSync(join(artefacts, 'node.html'), toHtml(report));
  writeFileSync(join(artefacts, 'node.json'), JSON.stringify(report, null, 2));
  const items = report.categories.flatMap((category) => category.items);
  assert.deepEqual(
    items.map(({ id }) => id),
    all_items.map(({ id }) => id),
  );
  // Tests never go by the clock: a busy machine is no fault of the store.
  const failed = items.filter(({ status, timed }) => status === 'failed' && !timed);
  assert.deepEqual(
    failed.map(({ id, expected, seen }) => [id, expected, seen]),
    [],
  );
  assert.deepEqual(
    items.filter(({ status }) => status === 'not measurable').map(({ id }) => id),
    [],
  );
  assert.equal(items.length, titles.length - 1);
  assert.equal(report.counts.passed + report.counts.failed + report.counts.notMeasurable, items.length);
});

const fail = (code) => () => Promise.reject(new ChatStoreError(code, 'broken on purpose'));
/** An error is no error. */
const swallowed =
  (value = {}) =>
  (call, args) =>
    call(...args).catch(() => value);
/** What a call gives, changed. */
const changed = (change) => async (call, args, where) => change(await call(...args), args, where);
/** Only where the SQL matches. */
const answering = (pattern, answer) => ({
  query: async (call, args) => (pattern.test(args[0]) ? answer(await call(...args)) : call(...args)),
});
/** What `iterate` gives, changed, in some places. */
const iterating = (change, places = ['store', 'transaction', 'snapshot']) => ({
  'messages.iterate': async function* iterate(call, args, { place }) {
    const all = [];
    for await (const message of call(...args)) all.push(message);
    yield* places.includes(place) ? change(all) : all;
  },
});
/** Fails from the nth call on. */
function failingFrom(nth, code = 'INTERNAL') {
  let calls = 0;
  return (call, args) => (++calls >= nth ? fail(code)() : call(...args));
}
/** Every nth call says that it did what it has not done. */
function lying(nth, answer) {
  let calls = 0;
  return (call, args) => (++calls % nth === 0 ? Promise.resolve(answer) : call(...args));
}
const pooled = (more) => ({ options: (given) => ({ ...given, pool: { ...given.pool, ...more } }) });
/** Figures of `stats`, changed. */
const figures = (change) => ({ verbs: { stats: changed((stats) => change(stats)) } });
const statements = (change) =>
  figures((stats) =>
    stats.deep === null ? stats : { ...stats, deep: { ...stats.deep, statements: change(stats.deep.statements) } },
  );
const never_reused = figures((stats) => ({ ...stats, pool: { ...stats.pool, created: stats.pool.checkouts } }));
/** All or none: only the first ten, in truth. */
const by_half = (call, [messages]) => call(messages).catch(() => call(messages.slice(0, 1)));
/** A byte that was to change and has not. */
const undamaged = {
  damage() {
    return this.restart();
  },
};
/** Opened anew, the messages that a query names are there no more. */
const forgetting = (sql) => ({
  async restart(...args) {
    const store = await Object.getPrototypeOf(this).restart.apply(this, args);
    for (const { session, id } of await store.query(sql))
      await store.messages.delete({ sessionId: session, id }, { permanent: true });
    return store;
  },
});
const message_ids = 'SELECT s.id AS session, m.id AS id FROM messages AS m JOIN sessions AS s ON s.key = m.session';
const unlocked = { lock: () => Promise.resolve(() => Promise.resolve()) };
/** The same calls take more and more. */
const growing = (name) => {
  let leaked = 0;
  return figures((stats) => ({ ...stats, memory: { ...stats.memory, [name]: stats.memory[name] + (leaked += 1e6) } }));
};
/** Snapshots that wait for each other: the more are open, the longer each takes. */
function crowded() {
  let open = 0;
  return {
    snapshot: async (call, args) => {
      open++;
      await new Promise((resolve) => setTimeout(resolve, open ** 2 * 2));
      return call(...args).finally(() => open--);
    },
  };
}
let ticks = 0;
let clock = 0;
let reads = 0;
const other_tables = [
  'message_streams',
  'message_deltas',
  'blobs',
  'attachments',
  'operations',
  'search_pending',
  'search_stale',
  'store_meta',
].map((table) => `schema.${table}`);
const of_part = (part) => ['messages', 'sessions', 'bots'].map((table) => `schema.${table}.${part}`);

/**
 * How each check is made to fail: what is broken, in which calls, and what of the environment.
 *
 * All go red by what they compare, none by the error of a call that was to succeed.
 *
 * @type {{ ids: string[], verbs?: any, options?: any, environment?: any, scratch?: any, after_reopening?: boolean }[]}
 */
const sabotages = [
  {
    ids: by_clock.filter(
      (id) => !['resources.cpu', 'resources.disk', 'persistence.large-read', 'concurrency.time.readers'].includes(id),
    ),
    environment: { now: () => (clock += 20_000) },
  },
  { ids: ['concurrency.time.readers'], verbs: crowded },
  { ids: ['resources.cpu'], environment: { cpuMs: () => (ticks += 10_000) } },

  { ids: ['pool.size', 'pool.exhaustion', 'pool.timeout'], ...pooled({ max: 5 }) },
  { ids: ['pool.default'], ...pooled({ max: 10 }) },
  { ids: ['pool.default'], ...pooled({ min: 0 }) },
  { ids: ['pool.settings'], ...pooled({ min: 1, idleTimeoutMs: 20 }) },
  { ids: ['pool.settings'], options: (given) => ({ ...given, retries: 2 }) },
  { ids: ['pool.settings'], ...pooled({ idleTimeoutMs: 299_999 }) },
  { ids: ['pool.idle'], ...pooled({ idleTimeoutMs: 300_000 }) },
  { ids: ['pool.reuse', 'health.pool-efficiency'], ...never_reused },
  {
    ids: ['pool.leaks'],
    verbs: {
      snapshot: (call, args, { store }) => {
        if (store.leaked !== true) {
          store.leaked = true;
          // The lease is longer than the check has patience.
          store.snapshot(() => new Promise(() => undefined), { leaseMs: 4_000 }).catch(() => undefined);
        }
        return call(...args);
      },
    },
  },
  { ids: ['pool.stale'], ...pooled({ idleTimeoutMs: 300_000 }) },
  { ids: ['pool.stale'], ...figures((stats) => ({ ...stats, pool: { ...stats.pool, stale: 1 } })) },
  { ids: ['pool.lost'], scratch: { kill: () => Promise.resolve() } },
  { ids: ['pool.lost'], verbs: () => ({ snapshot: failingFrom(3) }) },
  {
    ids: ['pool.consistent'],
    verbs: { query: async (call, args, { place }) => (place === 'snapshot' ? [{ n: 19 }] : call(...args)) },
  },

  { ids: ['queries.select.rows'], verbs: { 'messages.get': changed((message) => ({ ...message, metadata: null })) } },
  { ids: ['queries.select.filter'], verbs: { search: (call, [words]) => call(words) } },
  { ids: ['queries.select.limit'], verbs: { 'messages.list': (call, [given]) => call({ ...given, limit: 9 }) } },
  { ids: ['queries.select.sort'], verbs: { 'messages.list': (call, [given]) => call({ ...given, order: 'asc' }) } },
  {
    ids: ['queries.select.null'],
    verbs: { 'messages.get': changed((message) => message && { ...message, model: message.model ?? '' }) },
  },
  { ids: ['queries.select.large'], verbs: iterating((all) => all.filter((_, i) => i !== 5_000)) },
  { ids: ['queries.insert.rows'], verbs: () => ({ 'messages.add': lying(7, {}) }) },
  {
    ids: ['queries.insert.id'],
    verbs: { 'messages.addMany': changed((added) => added.map((message) => ({ ...message, id: 'always the same' }))) },
  },
  {
    ids: ['queries.insert.time-stamp'],
    verbs: { 'messages.add': changed((message) => ({ ...message, createdAt: 5 })) },
  },
  { ids: ['queries.insert.constraint', 'queries.insert.duplicate'], verbs: { 'messages.add': swallowed() } },
  { ids: ['queries.insert.bulk', 'recovery.constraint.usable'], verbs: { 'messages.addMany': by_half } },
  {
    ids: ['queries.update.rows'],
    verbs: { 'messages.update': (call, [ref, patch]) => call(ref, { ...patch, model: 'not asked for' }) },
  },
  {
    ids: ['queries.update.condition', 'queries.update.unintended'],
    verbs: {
      'messages.update': async (call, [ref, patch]) => {
        await call({ ...ref, id: 'm5' }, patch);
        return call(ref, patch);
      },
    },
  },
  { ids: ['queries.update.many'], verbs: () => ({ 'messages.update': lying(10, {}) }) },
  { ids: ['queries.update.many'], verbs: { 'messages.update': changed(() => undefined) } },
  {
    ids: ['queries.delete.rows'],
    verbs: { 'messages.deleteWhere': (call, [{ botId }, given]) => call({ botId }, given) },
  },
  {
    ids: ['queries.delete.cascade'],
    verbs: {
      'bots.delete': async (call, [id, given], { store }) => {
        const { items } = await store.sessions.list({ botId: id });
        for (const session of items) await store.sessions.update(session.id, { botId: null });
        return { ...(await call(id, given)), sessions: items.length };
      },
    },
  },
  { ids: ['queries.delete.soft'], verbs: { 'sessions.delete': (call, [id]) => call(id, { permanent: true }) } },
  { ids: ['queries.delete.cleanup'], verbs: { 'sessions.purge': (call) => call({ deletedBefore: Date.now() + 9e9 }) } },
  {
    ids: ['queries.delete.count'],
    verbs: { 'messages.deleteWhere': changed((count) => ({ ...count, messages: count.messages + 1 })) },
  },
  {
    ids: ['queries.plans'],
    ...statements((all) => [...all, { sql: 'SELECT * FROM messages m', plan: ['SCAN m'], steps: 0, scanSteps: 0 }]),
  },
  {
    ids: ['queries.plans'],
    ...statements((all) => [
      ...all,
      {
        sql: 'SELECT count(*) FROM messages',
        plan: ['SCAN messages USING COVERING INDEX messages_bot'],
        steps: 0,
        scanSteps: 0,
      },
    ]),
  },
  { ids: ['queries.plans', 'health.index-efficiency'], ...statements(() => []) },
  {
    ids: ['health.index-efficiency'],
    ...statements((all) => all.map((one) => ({ ...one, scanSteps: one.steps / 10 }))),
  },
  { ids: ['recovery.sql.logged'], ...figures((stats) => ({ ...stats, errors: {} })) },
  { ids: ['recovery.sql.logged'], ...figures((stats) => ({ ...stats, failed: [] })) },
  {
    ids: ['queries.search'],
    verbs: { search: changed((page) => ({ ...page, items: page.items.map((hit) => ({ ...hit, highlights: [] })) })) },
  },

  {
    ids: ['transactions.commit'],
    verbs: { 'messages.add': (call, [message]) => (message.content === 'two' ? message : call(message)) },
  },
  { ids: ['transactions.integrity', 'schema.orphans'], verbs: answering(/foreign_key_check/, () => [{ n: 1 }]) },
  {
    ids: [
      'transactions.rollback',
      'transactions.rollback-on-error',
      'transactions.parent-rollback',
      'transactions.dirty-read',
      'transactions.serial',
      'transactions.together',
      'transactions.lease',
      'recovery.sql.usable',
      'persistence.crash.rolled-back',
      'concurrency.unblocked',
    ],
    verbs: without_transactions,
  },
  {
    ids: ['transactions.returned'],
    verbs: { 'messages.add': fail('TIMEOUT') },
  },
  {
    ids: ['transactions.savepoint'],
    verbs: {
      savepoint: (call, [run]) =>
        call(async (inner) => {
          await run(inner);
          throw new Error('taken back');
        }).catch(() => undefined),
    },
  },
  {
    ids: ['transactions.savepoint-rollback'],
    verbs: {
      savepoint: async (call, [run]) => {
        await call((inner) => run(inner).catch(() => undefined));
        throw new Error('what it did is kept all the same');
      },
    },
  },
  { ids: ['transactions.non-repeatable-read', 'transactions.phantom-read'], verbs: without_snapshots },

  {
    ids: [
      'recovery.lost.detected',
      'recovery.lost.retried',
      'recovery.lost.sound',
      'recovery.rate',
      'persistence.crash.acknowledged',
      'persistence.crash.rolled-back',
      'persistence.crash.streaming',
    ],
    scratch: { kill: () => Promise.resolve() },
  },
  { ids: ['recovery.lost.detected'], verbs: { 'messages.add': swallowed() } },
  { ids: ['recovery.lost.retried'], options: (given) => ({ ...given, retries: 0 }) },
  {
    ids: ['recovery.lost.retried'],
    verbs: {
      'messages.add': async (call, args) => {
        if (args[0].content === 'w1-1') await call(...args);
        return call(...args);
      },
    },
  },
  { ids: ['recovery.lost.sound'], verbs: () => ({ 'messages.addMany': lying(3, []) }) },
  {
    ids: ['recovery.lost.sound', 'health.verify'],
    verbs: { verify: changed((report) => ({ ...report, ok: false, problems: [{ kind: 'page' }] })) },
  },
  {
    ids: ['recovery.constraint.caught', 'recovery.constraint.named'],
    verbs: {
      'bots.create': (call, args) =>
        call(...args).catch(() => Promise.reject(new ChatStoreError('INTERNAL', 'failed'))),
    },
  },
  {
    ids: ['recovery.sql.detected'],
    verbs: {
      query: (call, args) =>
        call(...args).catch(({ code, message }) => Promise.reject(new ChatStoreError(code, message))),
    },
  },
  {
    ids: ['recovery.locked.waits'],
    verbs: { 'messages.add': (call, args) => (args[0].content === 'second' ? Promise.resolve({}) : call(...args)) },
  },
  { ids: ['recovery.locked.waits', 'recovery.locked.timeout', 'recovery.locked.many'], scratch: unlocked },
  {
    ids: ['recovery.locked.timeout'],
    verbs: { 'messages.add': (call, args) => (args[1]?.timeoutMs === undefined ? call(...args) : Promise.resolve({})) },
  },
  { ids: ['recovery.locked.many'], verbs: () => ({ transaction: lying(7, {}) }) },
  {
    ids: ['recovery.memory.refused', 'recovery.memory.chunked', 'recovery.memory.out', 'recovery.memory.usable'],
    verbs: { query: swallowed([]) },
  },
  { ids: ['recovery.memory.out'], ...figures((stats) => ({ ...stats, restarts: 1 })) },
  { ids: ['recovery.memory.usable'], ...growing('sqliteBytes') },
  { ids: ['recovery.memory.usable'], ...growing('wasmBytes') },
  {
    ids: ['recovery.memory.usable'],
    verbs: {
      // A connection that is never given back, until the check has ended.
      'bots.delete': (call, args, { store }) => {
        const read = async (view) => {
          await view.query('SELECT sum(length(text)) FROM messages');
          await new Promise(() => undefined);
        };
        store.snapshot(read, { leaseMs: 10_000 }).catch(() => undefined);
        return call(...args);
      },
    },
  },
  { ids: ['recovery.rate'], verbs: () => ({ 'messages.add': lying(4, {}) }) },
  { ids: ['recovery.rate'], verbs: { query: swallowed([{ n: 1 }]) } },
  { ids: ['recovery.rate'], verbs: { snapshot: swallowed() } },

  {
    ids: ['concurrency.readers'],
    verbs: () => {
      let calls = 0;
      return iterating((all) => (++calls % 3 === 0 ? all.slice(1) : all), ['snapshot']);
    },
  },
  {
    ids: ['concurrency.write-beside-readers'],
    verbs: { 'messages.add': (call, args) => (args[0].content === 'meanwhile' ? fail('TIMEOUT')() : call(...args)) },
  },
  { ids: ['concurrency.write-beside-readers'], verbs: without_snapshots },
  { ids: ['concurrency.mixed'], verbs: iterating((all) => all.slice(1), ['snapshot']) },
  {
    ids: ['concurrency.writers'],
    verbs: {
      'messages.add': async (call, args) => {
        if (args[0].content === '1-3') await call(...args);
        return call(...args);
      },
    },
  },
  {
    ids: ['concurrency.bulk'],
    verbs: { 'messages.add': (call, args) => (args[0].content === '500' ? args[0] : call(...args)) },
  },
  // Reads that see nothing but the beginning or the end.
  { ids: ['concurrency.bulk'], verbs: iterating((all) => (all.length === 1_000 ? all : []), ['snapshot']) },
  { ids: ['concurrency.mixed'], verbs: iterating((all) => (all.length === 100 ? all : []), ['snapshot']) },
  { ids: ['concurrency.bulk'], ...figures((stats) => ({ ...stats, pool: { ...stats.pool, timeouts: 1 } })) },
  {
    ids: ['concurrency.connections.10', 'concurrency.connections.20', 'concurrency.connections.50'],
    verbs: () => ({ snapshot: failingFrom(5, 'POOL_EXHAUSTED') }),
  },
  { ids: ['concurrency.operations'], verbs: { 'bots.create': swallowed() } },

  {
    ids: ['persistence.simple', 'persistence.large'],
    after_reopening: true,
    verbs: iterating((all) => all.map((message) => ({ ...message, content: '', createdAt: 0 }))),
  },
  {
    ids: ['persistence.simple', 'persistence.large'],
    scratch: {
      restart() {
        return Promise.resolve(this.store);
      },
    },
  },
  { ids: ['persistence.large'], scratch: { sizeBytes: () => Promise.resolve(9 * 1024 * 1024) } },
  {
    ids: ['persistence.large-read'],
    after_reopening: true,
    verbs: {
      'messages.iterate': async function* iterate(call, args) {
        await new Promise((resolve) => setTimeout(resolve, 3_000));
        yield* call(...args);
      },
    },
  },
  {
    ids: ['persistence.again'],
    scratch: { sizeBytes: () => Promise.resolve((ticks += 4_096)) },
  },
  { ids: ['persistence.crash.acknowledged'], verbs: () => ({ 'messages.addMany': lying(3, []) }) },
  {
    // What was sent first is acknowledged first.
    ids: ['persistence.crash.acknowledged'],
    scratch: forgetting(`${message_ids} WHERE m.metadata ->> 'batch' = '0 w0-0'`),
  },
  {
    ids: ['persistence.crash.acknowledged'],
    scratch: forgetting(`${message_ids} WHERE m.metadata IS NOT NULL ORDER BY m.key DESC LIMIT 1`),
  },
  {
    ids: ['persistence.crash.streaming'],
    verbs: { 'messages.get': changed((message) => ({ ...message, content: '' })) },
  },
  {
    ids: ['persistence.checksums'],
    verbs: { verify: changed((report) => ({ ...report, ok: true, problems: [] })) },
  },
  {
    ids: ['persistence.checksums'],
    verbs: {
      verify: changed((report) => ({ ...report, checked: { ...report.checked, pages: report.checked.pages - 1 } })),
    },
  },
  { ids: ['persistence.checksums'], verbs: { 'messages.get': swallowed() } },
  { ids: ['persistence.checksums'], scratch: undamaged },
  {
    ids: ['persistence.corruption', 'schema.checks', 'schema.not-null', 'schema.references', 'schema.unique-rows'],
    verbs: { replaceWith: swallowed() },
  },
  {
    ids: ['schema.checks', 'schema.not-null', 'schema.references', 'schema.unique-rows'],
    // Refused, but not for the rule that was broken.
    verbs: { replaceWith: (call, args) => call(...args).catch(() => fail('CORRUPT')()) },
  },
  { ids: ['persistence.backup'], verbs: { replaceWith: () => Promise.resolve({}) } },
  {
    ids: ['persistence.backup'],
    verbs: {
      // What is written after the first piece is copied too.
      backup: async (call, [target]) => {
        const writer = target.getWriter();
        await writer.write(new Uint8Array(0));
        writer.releaseLock();
        return call(target);
      },
    },
  },
  {
    ids: ['persistence.vacuum', 'health.order', 'health.fragmentation'],
    verbs: { maintain: () => Promise.resolve({}) },
  },

  { ids: [...of_part('columns'), ...other_tables], verbs: answering(/table_xinfo/, (rows) => rows.slice(1)) },
  {
    ids: of_part('defaults'),
    verbs: answering(/table_xinfo/, (rows) => rows.map((row) => ({ ...row, fallback: null }))),
  },
  { ids: of_part('indexes'), verbs: answering(/index_list/, (rows) => rows.slice(1)) },
  {
    ids: of_part('indexes'),
    // One column more, under the same name.
    verbs: answering(/index_list/, (rows) => rows.map((row) => ({ ...row, of_columns: `${row.of_columns}, extra` }))),
  },
  {
    ids: of_part('foreignKeys'),
    verbs: answering(/foreign_key_list/, (rows) => [...rows, { col: 'a', other: 'b', on_delete: 'NO ACTION' }]),
  },
  { ids: of_part('checks'), verbs: answering(/FROM sqlite_schema/, () => [{ sql: 'CREATE TABLE messages (key)' }]) },
  {
    ids: of_part('checks'),
    // The names stay, and nothing is checked.
    verbs: answering(/SELECT sql FROM sqlite_schema/, ([{ sql }]) => [
      { sql: sql.replace(/ CHECK \([^\n]*/g, ' CHECK (1),') },
    ]),
  },
  { ids: ['schema.objects'], verbs: answering(/AS named FROM sqlite_schema/, (rows) => rows.slice(1)) },
  { ids: ['schema.strict'], verbs: answering(/NOT strict/, () => [{ name: 'messages' }]) },
  { ids: ['schema.version'], verbs: answering(/application_id/, () => [{ application_id: 0 }]) },
  { ids: ['schema.version'], verbs: answering(/user_version/, () => [{ user_version: 2 }]) },
  { ids: ['schema.rows'], verbs: answering(/integrity_check/, () => [{ integrity_check: 'row 1 is missing' }]) },
  { ids: ['schema.primary-keys'], verbs: { 'messages.add': changed((message) => ({ ...message, seq: 20 })) } },
  { ids: ['schema.foreign-keys'], verbs: { 'messages.add': swallowed() } },
  { ids: ['schema.foreign-keys'], verbs: { 'bots.delete': (call, [id]) => call(id) } },
  { ids: ['schema.unique'], verbs: { 'bots.create': swallowed() } },
  { ids: ['schema.defaults'], verbs: { 'sessions.create': changed((session) => ({ ...session, pinned: true })) } },
  { ids: ['schema.cascade'], verbs: { 'sessions.delete': (call, [id]) => call(id) } },
  { ids: ['schema.orphan-cleanup'], verbs: { 'bots.delete': () => Promise.resolve({}) } },
  {
    ids: ['schema.index-use'],
    verbs: answering(/INDEXED BY/, ([row]) => [{ ...row, by_index: Number(row.by_index) + 1 }]),
  },

  { ids: ['health.size'], verbs: answering(/sum\(length\(text\)\)/, () => [{ n: 1_000 }]) },
  {
    ids: ['health.fragmentation'],
    verbs: { 'sessions.delete': (call, [id]) => call(id), 'messages.deleteWhere': () => ({}) },
  },
  {
    ids: ['resources.memory'],
    ...figures((stats) => ({ ...stats, memory: { ...stats.memory, perConnectionBytes: 9e6 } })),
  },
  {
    ids: ['resources.disk'],
    ...figures((stats) => {
      reads += 10_000;
      return { ...stats, storage: { ...stats.storage, reads } };
    }),
  },
  {
    ids: ['resources.leaks'],
    ...figures((stats) => {
      ticks += 2 ** 20;
      return { ...stats, memory: { ...stats.memory, sqliteBytes: ticks } };
    }),
  },
  // A second host beside the first.
  { ids: ['resources.locks'], scratch: { another: () => ChatStore.open(':memory:') } },
  { ids: ['resources.locks'], scratch: { leftovers: () => Promise.resolve(['a.sqlite-wal']) } },
];

/** A report of some checks on stores that misbehave. */
async function reportOf({
  ids,
  verbs = {},
  options = (given) => given,
  environment = {},
  scratch = {},
  after_reopening,
}) {
  const opened = new Set();
  const real = environmentOf({
    open: async (path, given) => {
      const store = await ChatStore.open(path, options(given));
      const again = opened.has(path);
      opened.add(path);
      if (after_reopening === true && !again) return store;
      return misbehaving(store, typeof verbs === 'function' ? verbs() : verbs);
    },
  });
  const openScratch = async (given) => Object.assign(await real.openScratch(given), scratch);
  return runReport({
    environment: { ...real, openScratch, ...environment },
    only: ids,
    faults: 20,
    idleMs: 30,
    seed: 3,
  });
}

/** What a check that threw has seen: the code of an error and its message, in the place of what it compares. */
const an_exception = /^([A-Z][A-Z_]+|an error without a code): /;

for (const sabotage of sabotages) {
  test(`broken on purpose: ${sabotage.ids.join(', ')}`, async () => {
    const report = await reportOf(sabotage);
    const items = report.categories.flatMap((category) => category.items);
    const not_red = items.filter(({ status }) => status !== 'failed').map(({ id, seen }) => [id, seen]);
    assert.deepEqual(not_red, []);
    assert.deepEqual(items.map(({ id }) => id).toSorted(), sabotage.ids.toSorted());
    assert.equal(
      report.passed,
      items.every(({ status }) => status !== 'failed'),
    );
    for (const { id, expected, seen } of items) {
      assert.ok(expected !== '' && seen !== '' && expected !== seen);
      assert.doesNotMatch(seen, an_exception, id);
    }
  });
}

test('every check is one that can fail', () => {
  const broken = new Set(sabotages.flatMap(({ ids }) => ids));
  assert.deepEqual(all_items.map(({ id }) => id).toSorted(), [...broken].toSorted());
  assert.equal(new Set(all_items.map(({ id }) => id)).size, all_items.length);
});

test('a store that is in use is read, and not a byte of it is changed', async () => {
  const path = join(temporaryFolder(), 'a.sqlite');
  await (await filled(path)).close();
  const hash = () => createHash('sha256').update(readFileSync(path)).digest('hex');
  const before = hash();
  const store = await ChatStore.open(path);
  const report = await runReport({ environment: environmentOf(ChatStore), store });
  assert.equal(report.passed, true);
  assert.deepEqual(report.subject, { kind: 'store', path: store.info.path });
  const { items } = await store.messages.list({ sessionId: 's' });
  assert.equal(items.length, 50, 'it is still open');
  await store.close();
  assert.equal(hash(), before);
  const ids = report.categories.flatMap((category) => category.items.map(({ id }) => id));
  assert.deepEqual(
    ids,
    all_items.filter(({ readOnly }) => readOnly).map(({ id }) => id),
  );
});

test('an empty store that is in use has nothing wrong with it', async (t) => {
  const store = await ChatStore.open(join(temporaryFolder(), 'a.sqlite'));
  t.after(() => store.close());
  const report = await runReport({ environment: environmentOf(ChatStore), store });
  const failed = report.categories.flatMap(({ items }) => items.filter(({ status }) => status === 'failed'));
  assert.deepEqual(
    failed.map(({ id, seen }) => [id, seen]),
    [],
  );
});

test('a report that is aborted in the midst of a check ends, and leaves no file and no process', async () => {
  const { TMPDIR } = process.env;
  for (const only of ['recovery.locked.timeout', 'pool.exhaustion', 'persistence.crash.acknowledged']) {
    const folder = temporaryFolder();
    process.env.TMPDIR = folder;
    try {
      const controller = new AbortController();
      const report = runReport({
        environment: environmentOf(ChatStore),
        signal: controller.signal,
        only: [only],
        // The check opens its store, and holds something for some time.
        onProgress: ({ title }) => title !== '' && setTimeout(() => controller.abort(), 450),
      });
      // It may have been quicker.
      await report.catch((error) => assert.equal(error.name, 'AbortError'));
      assert.deepEqual(readdirSync(folder), []);
      // A process that has ended is noted as gone a moment later.
      for (let tries = 0; tries < 100 && process.getActiveResourcesInfo().includes('ProcessWrap'); tries++)
        await new Promise((resolve) => setTimeout(resolve, 10));
      assert.ok(!process.getActiveResourcesInfo().includes('ProcessWrap'));
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    }
  }
});

test('the same seed injects the same faults', async () => {
  const rate = async () => {
    const report = await runReport({
      environment: environmentOf(ChatStore),
      only: ['recovery.rate'],
      seed: 11,
      faults: 30,
    });
    return report.categories[0].items[0].figures.map(({ name, value }) => [name, value]);
  };
  assert.deepEqual(await rate(), await rate());
});

test('a page of a report runs no script, loads nothing, and shows text as text', async () => {
  const report = await runReport({ environment: environmentOf(ChatStore), only: ['schema.version'] });
  const hostile = '<img src=x onerror=alert(1)> | `code`';
  const [item] = report.categories[0].items;
  const failed = { ...report, environment: hostile, passed: false };
  failed.categories = [
    { ...report.categories[0], status: 'failed', items: [{ ...item, status: 'failed', seen: hostile }] },
  ];
  const page = toHtml(failed);
  assert.ok(!page.includes('<img') && !page.includes('<script'));
  assert.ok(!/\b(src|href)="(?!#)/.test(page));
  assert.ok(page.includes('prefers-color-scheme: dark'));
  const markdown = toMarkdown(failed);
  assert.ok(markdown.includes(String.raw`\<img src=x onerror=alert(1)> \| \`code\``));
  assert.ok(markdown.includes('expected:') && markdown.includes('seen:'));
});
