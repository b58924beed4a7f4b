/** A browser that has no more room: a typed error, reads and deletes go on, and it works again with room. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';

const server = await startServer();
const browser = await startChromium();
after(() => browser.close());

const mib = 1024 * 1024;

/** Writes messages of 100 KB until one fails. */
async function fillUp({ state }) {
  for (let i = 0; i < 2_000; i++) {
    try {
      await state.store.messages.add({ sessionId: 's', role: 'user', content: `filling ${'x'.repeat(100_000)}` });
      state.acknowledged = (state.acknowledged ?? 0) + 1;
    } catch (error) {
      return { code: error.code, is_ours: error.name === 'ChatStoreError', acknowledged: state.acknowledged };
    }
  }
  return { code: 'never full' };
}

test(
  'a full quota is DISK_FULL; reads and deletes go on; with room, writes do too',
  { timeout: 120_000 },
  async (t) => {
    const tab = await browser.tab(server.page());
    await tab.run(async ({ ChatStore, state }) => {
      state.store = await ChatStore.open('quota');
      await state.store.sessions.create({ id: 's' });
      await state.store.sessions.create({ id: 'other' });
      await state.store.messages.add({ sessionId: 'other', role: 'user', content: 'find me' });
    });
    await tab.quota(20 * mib);
    const full = await tab.run(fillUp);
    t.diagnostic(`full after ${full.acknowledged} messages of 100 KB`);
    assert.deepEqual([full.is_ours, full.code], [true, 'DISK_FULL']);
    assert.ok(full.acknowledged > 10);

    const read = await tab.run(async ({ state }) => {
      const { store } = state;
      const [{ n }] = await store.query("SELECT count(*) AS n FROM messages WHERE text LIKE 'filling%'");
      const list = (await store.messages.list({ sessionId: 's', limit: 10 })).items.length;
      const hits = (await store.search('find')).items.length;
      const again = await store.sessions.create({ title: 'x'.repeat(9_000) }).catch((error) => error.code);
      return { n, list, hits, again: typeof again };
    });
    assert.deepEqual([read.n, read.list, read.hits], [full.acknowledged, 10, 1]);

    // Room by deleting, within the same quota.
    const freed = await tab.run(async ({ state }) => {
      const { store } = state;
      const count = await store.messages.deleteWhere({ sessionId: 's' }, { permanent: true });
      for (let i = 0; i < 5; i++)
        await store.messages.add({ sessionId: 's', role: 'user', content: `again ${'y'.repeat(100_000)}` });
      const { ok, problems } = await store.verify();
      return { messages: count.messages, ok, problems };
    });
    assert.deepEqual(freed, { messages: full.acknowledged, ok: true, problems: [] });

    // And by a larger quota, after it was full once more.
    assert.equal((await tab.run(fillUp)).code, 'DISK_FULL');
    await tab.quota(undefined);
    const after_all = await tab.run(async ({ state }) => {
      await state.store.messages.add({ sessionId: 'other', role: 'user', content: 'find me too' });
      const hits = (await state.store.search('find')).items.length;
      const { ok, problems } = await state.store.verify();
      await state.store.close();
      return { hits, ok, problems };
    });
    assert.deepEqual(after_all, { hits: 2, ok: true, problems: [] });
    await tab.close();
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
