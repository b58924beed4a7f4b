/** A leader that lives and does not answer, is frozen, or lies in the browser's cache of pages: nobody hangs. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rejection } from '../../js/support.mjs';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';
import { until } from '../support/tab.mjs';

const timeout = 90_000;
const server = await startServer();
const browser = await startChromium();

const openStore = async ({ ChatStore, state }, name) => {
  state.store = await ChatStore.open(name);
  await state.store.sessions.create({ id: 's' }, { ifExists: 'return' });
  return state.store.info.role;
};
const add = ({ state }, { content, timeoutMs = 30_000 }) =>
  state.store.messages.add({ sessionId: 's', role: 'user', content }, { timeoutMs, operationId: `op ${content}` });
const texts = ({ state }) =>
  state.store.messages.list({ sessionId: 's', limit: 1_000 }).then(({ items }) => items.map(({ content }) => content));

/** A leader and a client on one store. */
async function pair(name) {
  const [leader, client] = [await browser.tab(server.page()), await browser.tab(server.page())];
  await leader.run(openStore, name);
  assert.equal(await client.run(openStore, name), 'client');
  return { leader, client };
}

/** Keeps the worker of a tab busy without a pause; resolves when it is, with the promise of its end. */
async function keepBusy(tab, busy_ms) {
  await tab.run(({ state }) => {
    state.is_busy = new Promise((resolve) => {
      new BroadcastChannel('busy').addEventListener('message', resolve, { once: true });
    });
  });
  const end = tab.inWorker((duration_ms) => {
    new BroadcastChannel('busy').postMessage('now');
    const end_ms = Date.now() + duration_ms;
    while (Date.now() < end_ms);
  }, busy_ms);
  await tab.run(({ state }) => state.is_busy.then(() => undefined));
  return { end };
}

test(
  'a leader whose worker is busy without a pause gives LEADER_UNRESPONSIVE in time, and no write is doubled',
  { timeout },
  async () => {
    const { leader, client } = await pair('busy');
    await client.run(add, { content: 'before' });
    const busy = await keepBusy(leader, 6_000);
    const errors = await Promise.all([
      rejection(client.run(add, { content: 'during', timeoutMs: 2_000 })),
      rejection(leader.run(add, { content: 'of its own page', timeoutMs: 2_000 })),
    ]);
    assert.equal(errors[0].code, 'LEADER_UNRESPONSIVE', errors[0].message);
    assert.equal(errors[0].outcome, 'unknown');
    assert.ok(['LEADER_UNRESPONSIVE', 'TIMEOUT'].includes(errors[1].code), errors[1].message);
    await busy.end;
    // The same operation once more: it was done, or is done now, and once in all.
    await client.run(add, { content: 'during' });
    await leader.run(add, { content: 'of its own page' });
    const all = await client.run(texts);
    assert.deepEqual(all.toSorted(), ['before', 'during', 'of its own page']);
    await leader.close();
    await client.close();
  },
);

test(
  'a tab opens a store whose leader does not answer: the call ends in time, and works when it does',
  { timeout },
  async () => {
    const { leader, client } = await pair('busy at open');
    const busy = await keepBusy(leader, 5_000);
    const late = await browser.tab(server.page());
    const error = await rejection(
      late.run(({ ChatStore }) => ChatStore.open('busy at open', { timeoutMs: 1_500 }).then(() => 'opened')),
    );
    assert.equal(error.code, 'LEADER_UNRESPONSIVE', error.message);
    await busy.end;
    assert.equal(await late.run(openStore, 'busy at open'), 'client');
    for (const tab of [leader, client, late]) await tab.close();
  },
);

test('a leader that is frozen holds nobody up, and goes on when it is thawed', { timeout }, async () => {
  const { leader, client } = await pair('frozen');
  await leader.run(add, { content: 'before' });
  await leader.freeze();
  await client.run(add, { content: 'while it is frozen' });
  assert.equal(await client.run(({ state }) => state.store.info.role !== 'client'), true, 'the other one leads now');
  await leader.thaw();
  await leader.run(add, { content: 'after' });
  assert.deepEqual(await leader.run(texts), ['before', 'while it is frozen', 'after']);
  await leader.close();
  await client.close();
});

test('a client that is frozen and thawed goes on, whoever leads by then', { timeout }, async () => {
  const { leader, client } = await pair('frozen client');
  await client.run(add, { content: 'before' });
  await leader.page.bringToFront();
  await client.freeze();
  await leader.run(add, { content: 'while it is frozen' });
  await leader.close();
  await client.thaw();
  await client.run(add, { content: 'after' });
  assert.deepEqual(await client.run(texts), ['before', 'while it is frozen', 'after']);
  await client.close();
});

test('a page that is left and come back to works, from the cache of pages or loaded anew', { timeout }, async (t) => {
  const { leader, client } = await pair('back and forward');
  for (const tab of [leader, client]) {
    await tab.run(({ state }) => {
      state.mark = 'was here';
    });
    await tab.page.goto(`${server.origin}/page/without-opfs`);
    const other = tab === leader ? client : leader;
    await other.run(add, { content: tab === leader ? 'leader away' : 'client away' });
    await tab.page.goBack();
    await tab.page.waitForFunction('globalThis.harness !== undefined');
    const kept = await tab.run(({ state }) => state.mark === 'was here');
    t.diagnostic(`the ${tab === leader ? 'leader' : 'client'} was ${kept ? 'in the cache of pages' : 'loaded anew'}`);
    if (!kept) await tab.run(openStore, 'back and forward');
    await tab.run(add, { content: tab === leader ? 'leader back' : 'client back' });
  }
  const all = ['leader away', 'leader back', 'client away', 'client back'];
  for (const tab of [leader, client]) assert.deepEqual(await tab.run(texts), all);
  await leader.close();
  await client.close();
});

test('calls that were under way when the leader was frozen settle, and take effect once', { timeout }, async () => {
  const { leader, client } = await pair('frozen under way');
  const many = ({ state }, prefix) => {
    state.calls = Promise.allSettled(
      Array.from({ length: 200 }, (_, i) =>
        state.store.messages.add({ sessionId: 's', role: 'user', content: `${prefix} ${i}` }),
      ),
    );
  };
  await leader.run(many, 'leader');
  await client.run(many, 'client');
  await leader.freeze();
  const settled = ({ state }) => state.calls.then((calls) => calls.map(({ status }) => status));
  assert.deepEqual(new Set(await client.run(settled)), new Set(['fulfilled']));
  await leader.thaw();
  assert.deepEqual(new Set(await leader.run(settled)), new Set(['fulfilled']));
  await until('all are there, once each', async () => (await client.run(texts)).length === 400);
  assert.equal(new Set(await client.run(texts)).size, 400);
  await leader.close();
  await client.close();
});
