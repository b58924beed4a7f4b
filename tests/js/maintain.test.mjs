/** Keeping stores small, on real files. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is the point */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { filled, ids } from './stores.mjs';
import { rejection, startPeer, temporaryFolder } from './support.mjs';

/** As many as in the collection of real chats that the import is measured with. */
const MANY = 258_145;
const BATCH = 500;
const text = (i) => `message ${i} of many: ${'some words that fill a page '.repeat(8)}`;

/** A store with so many messages in two sessions, whose pages lie between each other. */
async function withTwo(path, messages) {
  const store = await ChatStore.open(path);
  for (const id of ['a', 'b']) await store.sessions.create({ id });
  for (let from = 0; from < messages; from += BATCH) {
    const sessionId = (from / BATCH) % 2 === 0 ? 'a' : 'b';
    await store.messages.addMany(
      Array.from({ length: Math.min(BATCH, messages - from) }, (_, i) => ({
        sessionId,
        role: 'user',
        content: text(from + i),
      })),
    );
  }
  await store.search('message', { limit: 1, timeoutMs: 120_000 });
  return store;
}

test(`of ${MANY} messages half are deleted: their room is given back while others read and write, then pages are put in order`, async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const store = await withTwo(path, MANY);
  await store.maintain({ checkpoint: true });
  const full = statSync(path).size;
  await store.sessions.delete('a', { permanent: true });
  let between = 0;
  const going = [];
  const seen = [];
  const report = await store.maintain(
    { vacuum: 'incremental', checkpoint: true },
    {
      onProgress: ({ task, done, expected }) => {
        seen.push(task);
        assert.ok(done <= expected, `${task}: ${done} of ${expected}`);
        if (going.length > 0) return;
        const run = async () => {
          for (let i = 0; i < 20; i++) {
            await store.messages.add({ sessionId: 'b', role: 'user', content: 'meanwhile' });
            const { items } = await store.messages.list({ sessionId: 'b', limit: 1 });
            assert.equal(items.length, 1);
            between++;
          }
        };
        going.push(run());
      },
    },
  );
  assert.ok(between > 0, 'others ran in between');
  await Promise.all(going);
  const [vacuum, checkpoint] = report.tasks;
  assert.deepEqual([vacuum.task, checkpoint.task], ['vacuum', 'checkpoint']);
  assert.ok(seen.includes('vacuum'));
  assert.ok(vacuum.steps > 5, `${vacuum.steps} steps`);
  assert.equal(vacuum.after.freePages, 0);
  assert.ok(vacuum.done > vacuum.before.pages / 4, `${vacuum.done} of ${vacuum.before.pages} pages`);
  assert.equal(checkpoint.after.logPages, 0);
  await store.maintain({ checkpoint: true });
  assert.ok(statSync(path).size < full * 0.7, `${statSync(path).size} of ${full}`);
  const before = await fragmentation(store, 'messages');
  await store.maintain({ vacuum: 'full' });
  const after = await fragmentation(store, 'messages');
  assert.ok(after < Math.min(before, 0.02), `${after} of pages apart, before ${before}`);
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

/** Share of a table's pages that do not follow the one before. */
async function fragmentation(store, name) {
  const pages = await store.query(`SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path`, {
    params: [name],
    limit: 100_000,
  });
  const apart = pages.filter(({ pageno }, i) => i > 0 && pageno !== pages[i - 1].pageno + 1);
  return apart.length / pages.length;
}

test('a full vacuum puts the pages in order, and the store is the same', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const store = await withTwo(path, 10_000);
  await store.sessions.delete('a', { permanent: true });
  const before = await fragmentation(store, 'messages');
  const { items } = await store.messages.list({ sessionId: 'b', limit: 1_000 });
  const { tasks } = await store.maintain({ vacuum: 'full' });
  const after = await fragmentation(store, 'messages');
  assert.ok(before > 0.05, `${before} before`);
  assert.ok(after < 0.02, `${after} after`);
  assert.equal(tasks[0].after.freePages, 0);
  assert.equal(tasks[0].after.logPages, 0);
  assert.equal(statSync(path).size, tasks[0].after.pages * store.info.pageSizeBytes);
  assert.deepEqual((await store.messages.list({ sessionId: 'b', limit: 1_000 })).items, items);
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

test('a full vacuum waits for a snapshot to end, within its time', async () => {
  const store = await filled(':memory:');
  let end;
  const open = store.snapshot(() => new Promise((resolve) => (end = resolve)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const late = await rejection(store.maintain({ vacuum: 'full' }, { timeoutMs: 200 }));
  assert.equal(late.code, 'TIMEOUT');
  assert.match(late.message, /stays done/);
  const vacuum = store.maintain({ vacuum: 'full' });
  end();
  await open;
  assert.equal((await vacuum).tasks[0].after.freePages, 0);
  // That it could not begin yet is no failure of any call.
  const { errors, failed } = await store.stats();
  assert.deepEqual([errors.BUSY, failed.filter(({ error }) => error === 'BUSY')], [undefined, []]);
  await store.close();
});

test('each part of maintenance is told by a name of its own, in which nothing goes back, and to its end', async () => {
  const store = await withTwo(':memory:', 6_000);
  const every = [
    'purge',
    'rebuildSearch',
    'analyze',
    'optimize.index',
    'optimize',
    'vacuum.index',
    'vacuum',
    'checkpoint',
  ];
  const asked = { purge: { deletedBefore: Date.now() + 60_000 }, rebuildSearch: true, analyze: true, optimize: true };
  for (const vacuum of ['incremental', 'full']) {
    await store.sessions.delete('a', { permanent: vacuum === 'full' });
    const told = [];
    let written = 0;
    const onProgress = (progress) => {
      told.push(progress);
      // What others add meanwhile is more to do, and not less done.
      const rows = Array.from({ length: 50 }, () => ({ sessionId: 'b', role: 'user', content: text(++written) }));
      void store.messages.addMany(rows);
    };
    const { tasks } = await store.maintain({ ...asked, vacuum, checkpoint: true }, { onProgress });
    const names = told.map(({ task }) => task).filter((task, at, all) => task !== all[at - 1]);
    assert.deepEqual(names, every);
    for (const name of every) {
      const of = told.filter(({ task }) => task === name);
      for (const [at, { done, expected }] of of.entries()) {
        assert.ok(done >= (of[at - 1]?.done ?? 0), `${name}: ${JSON.stringify(of)}`);
        assert.ok(expected === 0 || done <= expected, `${name}: ${JSON.stringify(of)}`);
      }
      assert.equal(of.at(-1).done, of.at(-1).expected, `${name}: ${JSON.stringify(of)}`);
      const task = tasks.find((report) => report.task === name);
      if (task !== undefined) assert.ok(of.at(-1).done >= task.done, `${name}: ${JSON.stringify([of, task])}`);
    }
    await store.sessions.create({ id: 'a' });
  }
  await store.close();
});

test('a search index that is made anew finds everything, meanwhile too', async () => {
  const store = await withTwo(':memory:', 6_000);
  const { items: before } = await store.search('"message 17"', { limit: 10 });
  const meanwhile = [];
  const { tasks } = await store.maintain(
    { rebuildSearch: true },
    { onProgress: () => meanwhile.push(store.search('"message 17"', { limit: 10 })) },
  );
  assert.equal(before.length, 1);
  assert.equal(tasks[0].done, 2);
  assert.deepEqual(new Set((await meanwhile[0]).items.map(({ id }) => id)), new Set(before.map(({ id }) => id)));
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

test('a purge takes what is old enough, and only where it is asked for', async () => {
  const store = await filled(':memory:', 2_000);
  await store.sessions.create({ id: 'kept' });
  await store.sessions.delete('s');
  assert.deepEqual(
    (await store.maintain()).tasks.map(({ task }) => task),
    ['optimize', 'vacuum', 'checkpoint'],
  );
  const young = await store.maintain({ purge: true });
  assert.equal(young.tasks[0].done, 0);
  assert.equal((await store.sessions.restore('s')).messageCount, 2_000);
  await store.sessions.delete('s');
  const { tasks } = await store.maintain({ purge: { deletedBefore: Date.now() + 1_000 } });
  assert.equal(tasks[0].done, 2_001);
  assert.equal(await store.sessions.get('s'), null);
  assert.equal((await store.sessions.get('kept')).id, 'kept');
  await store.close();
});

test('what a signal ends keeps what was done, and says so', async () => {
  const store = await withTwo(':memory:', 10_000);
  await store.sessions.delete('a', { permanent: true });
  const controller = new AbortController();
  const ended = await rejection(
    store.maintain(
      { vacuum: true },
      {
        signal: controller.signal,
        onProgress: ({ task, done, expected }) => {
          if (task === 'vacuum' && done > 0 && expected > 500) controller.abort();
        },
      },
    ),
  );
  assert.equal(ended.code, 'ABORTED');
  assert.match(ended.message, /vacuum.*stays done/);
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

test('wrong tasks are refused by name', async () => {
  const store = await ChatStore.open(':memory:');
  for (const tasks of [{ vaccum: true }, { vacuum: 'some' }, { purge: 7 }, { purge: {} }, { analyze: 'yes' }]) {
    const refused = await rejection(store.maintain(tasks));
    assert.equal(refused.code, 'INVALID_ARGUMENT');
    assert.match(refused.message, new RegExp(Object.keys(tasks)[0]));
  }
  const said = {
    "vacuum: expected true, false or one of 'incremental', 'full', received the number 1": { vacuum: 1 },
    'purge: expected true, false or an object, received the string "x"': { purge: 'x' },
    'purge.deletedBefore': { purge: { deletedBefore: 'x' } },
  };
  for (const [message, tasks] of Object.entries(said)) {
    const refused = (await rejection(store.maintain(tasks))).message;
    assert.ok(refused.includes(message) && refused.includes('true') === message.includes('true'), refused);
  }
  await store.close();
});

test('maintenance goes on with the next owner where the process with the file is killed', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const peer = await startPeer();
  await (await withTwo(path, 20_000)).close();
  await peer.run(`globalThis.store = await ChatStore.open(args.path);`, { path });
  const store = await ChatStore.open(path);
  assert.equal(store.info.role, 'client');
  await store.sessions.delete('a', { permanent: true });
  const before = await ids(store, 'b');
  const killed = [];
  const report = await store.maintain(
    { optimize: true, vacuum: true, checkpoint: true },
    {
      onProgress: ({ task, done }) => {
        if (task === 'vacuum' && done > 0 && killed.length === 0) killed.push(peer.kill());
      },
    },
  );
  assert.equal(killed.length, 1);
  await killed[0];
  assert.equal(store.info.role, 'owner');
  assert.equal(report.after.freePages, 0);
  assert.deepEqual(await ids(store, 'b'), before);
  assert.equal((await store.verify()).ok, true);
  await store.close();
});
