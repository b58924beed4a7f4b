/** A leader that lives and does not answer, is frozen, or lies in the browser's cache of pages: nobody hangs. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
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

/** Waits until a tab leads: a page that is frozen, or left, may have answered a call before it gave up its lock. */
const leads = (tab) => until('the other one leads', () => tab.run(({ state }) => state.store.info.role === 'owner'));

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

/** A signal takes some time to reach every thread of a process that is busy. */
function isStopped(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.every((thread) => /\) T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
}

test(
  'a leader whose process is stopped makes nobody wait for ever, and all goes on when it does',
  { timeout },
  async (t) => {
    const { leader, client } = await pair('stopped');
    const other = await browser.tab(server.page());
    await other.run(openStore, 'stopped');
    const stopped = await leader.processId();
    for (const tab of [client, other]) {
      if ((await tab.processId()) !== stopped) continue;
      t.skip('this browser shows several tabs of one site by one process: stopping one stops all');
      return;
    }
    await client.run(add, { content: 'before' });
    const late = await browser.tab(server.page());
    const calls = Array.from({ length: 100 }, (_, i) => `of the leader ${i}`);
    await leader.run(({ state }, contents) => {
      const send = (content) => state.store.messages.add({ sessionId: 's', role: 'user', content });
      state.calls = Promise.allSettled(contents.map(send));
    }, calls);
    process.kill(stopped, 'SIGSTOP');
    try {
      await until('the process is stopped', () => isStopped(stopped));
      const errors = await Promise.all([
        rejection(client.run(add, { content: 'during', timeoutMs: 1_500 })),
        rejection(other.run(({ state }) => state.store.sessions.list({ timeoutMs: 1_500 }))),
        rejection(late.run(({ ChatStore }) => ChatStore.open('stopped', { timeoutMs: 1_500 }).then(() => 'opened'))),
      ]);
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['LEADER_UNRESPONSIVE', 'LEADER_UNRESPONSIVE', 'LEADER_UNRESPONSIVE'],
        errors.map(({ message }) => message).join('; '),
      );
      assert.equal(errors[0].outcome, 'unknown');
      // This one has more patience.
      await client.run(({ state }) => {
        state.call = state.store.messages.add({ sessionId: 's', role: 'user', content: 'patient' });
      });
    } finally {
      process.kill(stopped, 'SIGCONT');
    }
    await client.run(({ state }) => state.call.then(() => undefined));
    const settled = await leader.run(({ state }) => state.calls);
    assert.deepEqual(new Set(settled.map(({ status }) => status)), new Set(['fulfilled']));
    // The same operation once more: it was done, or is done now, and once in all.
    await client.run(add, { content: 'during' });
    assert.equal(await late.run(openStore, 'stopped'), 'client');
    for (const tab of [leader, client, other, late]) {
      await tab.run(add, { content: 'after' });
      assert.deepEqual(
        (await tab.run(texts)).toSorted(),
        ['after', 'before', 'during', 'patient', ...calls].toSorted(),
      );
      assert.equal(await tab.run(({ state }) => state.store.info.role), tab === leader ? 'owner' : 'client');
    }
    assert.deepEqual(await client.run(({ state }) => state.store.verify().then(({ problems }) => problems)), []);
    for (const tab of [leader, client, other, late]) await tab.close();
  },
);

test('a leader that is frozen holds nobody up, and goes on when it is thawed', { timeout }, async () => {
  const { leader, client } = await pair('frozen');
  await leader.run(add, { content: 'before' });
  await leader.freeze();
  await leads(client);
  await client.run(add, { content: 'while it is frozen' });
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

/** Has a page note what becomes of it, follow the store, and call it to the very end. */
async function prepareToLeave({ state }) {
  const { store } = state;
  const send = (content) => store.messages.add({ sessionId: 's', role: 'user', content });
  state.seen = [];
  for (const type of ['pagehide', 'pageshow'])
    addEventListener(type, ({ persisted }) => state.seen.push(`${type}, ${persisted ? 'kept' : 'not kept'}`));
  state.told = [];
  store.subscribe((change) => state.told.push(change));
  state.query = store.live((view) => view.messages.list({ sessionId: 's', limit: 1_000 }));
  state.query.subscribe(() => undefined);
  await store.sessions.list();
  const under_way = Array.from({ length: 50 }, (_, i) => send(`under way ${i}`));
  state.calls = Promise.allSettled(under_way);
  // The store has given up its locks by then: this one waits until the page is back.
  addEventListener('pagehide', () => {
    state.last = send('said on leaving');
  });
}

/** Why the browser did not keep a page, as it tells the page that is loaded in its place. */
const whyNotKept = () =>
  JSON.stringify(performance.getEntriesByType('navigation').map((entry) => entry.notRestoredReasons));

for (const who of ['leader', 'client', 'only tab']) {
  test(
    `the ${who} is left for another page and come back to: nobody waits for it, and it goes on`,
    { timeout },
    async (t) => {
      const store_name = `left: ${who}`;
      const tabs = await pair(store_name);
      const [tab, other] = who === 'client' ? [tabs.client, tabs.leader] : [tabs.leader, tabs.client];
      if (who === 'only tab') await other.close();
      await tab.run(prepareToLeave);
      await tab.goto(server.page('without-opfs'));
      if (who !== 'only tab') {
        await other.run(add, { content: 'meanwhile' });
        await leads(other);
      }
      await tab.goBack();
      const seen = await tab.run(({ state }) => state.seen ?? []);
      if (seen.length === 0) {
        const reasons = await tab.run(whyNotKept);
        t.diagnostic(`the browser has not kept the page: ${reasons}`);
        assert.doesNotMatch(reasons, /lock|broadcast|worker|message/i, 'the package does not keep it from that');
        await tab.run(openStore, store_name);
        await tab.run(add, { content: 'loaded anew' });
        return;
      }
      assert.deepEqual(seen, ['pagehide, kept', 'pageshow, kept']);
      const calls = await tab.run(({ state }) => state.calls);
      assert.deepEqual(new Set(calls.map(({ status }) => status)), new Set(['fulfilled']));
      await tab.run(({ state }) => state.last.then(() => undefined));
      await tab.run(add, { content: 'back' });
      const all = [...Array.from(calls, (_, i) => `under way ${i}`), 'said on leaving', 'back'];
      if (who !== 'only tab') all.push('meanwhile');
      assert.deepEqual((await tab.run(texts)).toSorted(), all.toSorted());
      assert.equal(await tab.run(({ state }) => state.store.info.role), who === 'only tab' ? 'owner' : 'client');
      // It is told of what has changed meanwhile, and of what changes from now on.
      const shows = (content) =>
        until(`the live query shows ${content}`, () =>
          tab.run(({ state }, text) => state.query.value.items.some((message) => message.content === text), content),
        );
      for (const content of all) await shows(content);
      await tab.run(({ state }) => {
        state.told.length = 0;
      });
      await (who === 'only tab' ? tab : other).run(add, { content: 'later' });
      await shows('later');
      assert.ok(await tab.run(({ state }) => state.told.some(({ sessions }) => sessions?.includes('s'))));
      await tab.close();
      if (who !== 'only tab') await other.close();
    },
  );
}

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
