/** A browser that has no more room: a typed error, reads and deletes go on, and it works again with room. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';

const server = await startServer();
const browser = await startChromium();

const mib = 1024 * 1024;

/** Writes messages of 100 KB until one fails. */
async function fillUp({ state }) {
  state.acknowledged = 0;
  for (let i = 0; i < 2_000; i++) {
    try {
      await state.store.messages.add({
        sessionId: 's',
        role: 'user',
        content: `filling ${'a chat of many words '.repeat(5_000)}`,
      });
      state.acknowledged++;
    } catch (error) {
      return { code: error.code, is_ours: error.name === 'ChatStoreError', acknowledged: state.acknowledged };
    }
  }
  return { code: 'never full' };
}

/** Deletes all that `fillUp` has written, message by message: what goes at once has to fit in the log. */
async function deleteAll({ state }) {
  for (let deleted = 0; ;) {
    const { items } = await state.store.messages.list({ sessionId: 's', limit: 20 });
    if (items.length === 0) return deleted;
    for (const { id } of items) await state.store.messages.delete({ sessionId: 's', id }, { permanent: true });
    deleted += items.length;
  }
}

/** A tab on a store that has filled all the room that its origin has. */
async function fullStore(name) {
  const tab = await browser.tab(server.page());
  await tab.run(async ({ ChatStore, state }, wanted) => {
    state.store = await ChatStore.open(wanted);
    await state.store.sessions.create({ id: 's' });
    await state.store.sessions.create({ id: 'other' });
    await state.store.messages.add({ sessionId: 'other', role: 'user', content: 'find me' });
  }, name);
  await tab.quota(48 * mib);
  const full = await tab.run(fillUp);
  assert.deepEqual([full.is_ours, full.code], [true, 'DISK_FULL']);
  assert.ok(full.acknowledged > 10);
  return { tab, full };
}

/** Checks that a store works, removes it and gives the room back. */
async function endOf(tab, name) {
  const found = await tab.run(async ({ ChatStore, state }, wanted) => {
    await state.store.messages.add({ sessionId: 'other', role: 'user', content: 'find me too' });
    const hits = (await state.store.search('find')).items.length;
    const { ok, problems } = await state.store.verify();
    await state.store.close();
    await ChatStore.destroy(wanted);
    return { hits, ok, problems };
  }, name);
  assert.deepEqual(found, { hits: 2, ok: true, problems: [] });
  await tab.quota(undefined);
  await tab.close();
}

test(
  'a full quota is DISK_FULL, reads and searches go on, and with more room so do writes',
  { timeout: 120_000 },
  async (t) => {
    const { tab, full } = await fullStore('full');
    t.diagnostic(`full after ${full.acknowledged} messages of 100 KB`);
    const read = await tab.run(async ({ state }) => {
      const { store } = state;
      const [{ n }] = await store.query("SELECT count(*) AS n FROM messages WHERE text LIKE 'filling%'");
      const list = (await store.messages.list({ sessionId: 's', limit: 10 })).items.length;
      const hits = (await store.search('find')).items.length;
      return { n, list, hits };
    });
    assert.deepEqual(read, { n: full.acknowledged, list: 10, hits: 1 });
    await tab.quota(undefined);
    await endOf(tab, 'full');
  },
);

test(
  'a full store takes messages again once some are deleted, as often as it gets full',
  { timeout: 120_000 },
  async () => {
    const { tab, full } = await fullStore('deletes');
    let there = full.acknowledged;
    for (let round = 0; round < 3; round++) {
      const freed = await tab.run(deleteAll);
      assert.equal(freed, there);
      const again = await tab.run(fillUp);
      assert.deepEqual([again.is_ours, again.code], [true, 'DISK_FULL']);
      assert.ok(again.acknowledged > full.acknowledged / 2, `${again.acknowledged} of ${full.acknowledged}`);
      there = again.acknowledged;
    }
    await tab.run(deleteAll);
    await endOf(tab, 'deletes');
  },
);

test(
  'a store that cannot be made for want of room fails with DISK_FULL, and can be made later',
  { timeout: 60_000 },
  async () => {
    const tab = await browser.tab(server.page());
    await tab.quota(1);
    const failed = await tab.run(({ ChatStore }) =>
      ChatStore.open('no room', { timeoutMs: 20_000 }).then(
        () => 'opened',
        (error) => error.code,
      ),
    );
    assert.equal(failed, 'DISK_FULL');
    await tab.quota(undefined);
    const made = await tab.run(async ({ ChatStore }) => {
      const store = await ChatStore.open('no room');
      await store.sessions.create({ id: 's' });
      await store.close();
      return 'made';
    });
    assert.equal(made, 'made');
    await tab.close();
  },
);

test(
  'where there is no room for the new content and the old the store stays as it was, and nothing is left beside it',
  { timeout: 120_000 },
  async () => {
    const tab = await browser.tab(server.page());
    await tab.run(async ({ ChatStore, state }) => {
      const small = await ChatStore.open(':memory:');
      const pieces = [];
      await small.backup(new WritableStream({ write: (piece) => void pieces.push(piece.slice()) }));
      await small.close();
      state.content = new Blob(pieces);
      state.store = await ChatStore.open('large');
      await state.store.sessions.create({ id: 's' });
      const message = { sessionId: 's', role: 'user', content: 'a chat of many words '.repeat(5_000) };
      for (let i = 0; i < 8; i++) await state.store.messages.addMany(Array.from({ length: 50 }, () => message));
      await state.store.maintain({ checkpoint: true });
    });
    await tab.quota((await tab.run(async () => (await navigator.storage.estimate()).usage)) + 4 * mib);
    const found = await tab.run(async ({ state }) => {
      const tasks = new Set();
      const onProgress = ({ task }) => tasks.add(task);
      const { code, outcome } = await state.store.replaceWith(state.content, { onProgress }).catch((error) => error);
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('chatstore');
      // The other tests have stores of this origin too.
      const folders = async () => (await Array.fromAsync(folder.keys())).filter((name) => name.startsWith('large'));
      // What has held nothing is removed after the answer.
      for (let tries = 0; tries < 100 && (await folders()).length > 1; tries++)
        await new Promise((resolve) => setTimeout(resolve, 20));
      const { items } = await state.store.messages.list({ sessionId: 's', limit: 1 });
      return { code, outcome, wasReady: tasks.has('ready'), folders: await folders(), messages: items.length };
    });
    assert.deepEqual(found, {
      code: 'DISK_FULL',
      outcome: 'not-applied',
      wasReady: true,
      folders: ['large'],
      messages: 1,
    });
    await tab.quota(undefined);
    await tab.run(async ({ ChatStore, state }) => {
      await state.store.close();
      await ChatStore.destroy('large');
    });
    await tab.close();
  },
);
