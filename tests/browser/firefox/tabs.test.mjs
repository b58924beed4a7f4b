/** Several tabs of Firefox on one store: they write at once, and the one that leads is closed meanwhile. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { until } from '../support/tab.mjs';
import { startFirefox } from '../support/webdriver.mjs';
import { Ledger, stopWriting, write } from '../support/writers.mjs';

const timeout = 90_000;
const rounds = 5;
const server = await startServer();
const browser = await startFirefox();

/** Pages cannot call the test here: they tell each other, and one that outlives them notes it. */
const hearAll = ({ state }) => {
  state.heard = [];
  new BroadcastChannel('told').addEventListener('message', ({ data }) => state.heard.push(data));
};
const tellAll = () => {
  const channel = new BroadcastChannel('told');
  globalThis.tellTest = (value) => channel.postMessage(value);
};

test(
  `tabs write at once while the leader is closed, ${rounds} times: nothing is lost or doubled`,
  { timeout },
  async (t) => {
    const ledger = new Ledger();
    const listener = await browser.tab(server.page());
    await listener.run(hearAll);
    const listen = async () => {
      for (const told of await listener.run(({ state }) => state.heard.splice(0))) ledger.hear(told);
      assert.deepEqual(ledger.failed, []);
    };
    const writers = [];
    let started = 0;
    const start = async () => {
      const name = `w${++started}`;
      const tab = await browser.tab(server.page());
      await tab.run(tellAll);
      await tab.run(write, { store_name: 'tabs', name });
      writers.push({ name, tab });
    };
    /** Each of them has acknowledged something more. */
    const allWrite = async () => {
      const before = new Map(ledger.counts);
      await until('all write', async () => {
        await listen();
        return writers.every(({ name }) => (ledger.counts.get(name) ?? 0) > (before.get(name) ?? 0));
      });
    };
    for (let i = 0; i < 3; i++) await start();
    for (let round = 0; round < rounds; round++) {
      await allWrite();
      const roles = [];
      for (const { tab } of writers) roles.push(await tab.run(({ state }) => state.store.info.role));
      assert.equal(roles.filter((role) => role === 'owner').length, 1, `one leads: ${roles.join()}`);
      const [{ tab }] = writers.splice(roles.indexOf('owner'), 1);
      await tab.close();
      await allWrite();
      await start();
    }
    for (const { tab } of writers) await tab.run(stopWriting);
    await listen();
    const stored = await ledger.check(writers[0].tab, 'tabs', 'after all');
    t.diagnostic(`${ledger.acknowledged.size} messages acknowledged, ${stored} stored`);
    for (const { tab } of [...writers, { tab: listener }]) await tab.close();
  },
);

test('a reply that one tab streams grows in another', { timeout }, async () => {
  const [writer, reader] = [await browser.tab(server.page()), await browser.tab(server.page())];
  await writer.run(async ({ ChatStore, state }) => {
    state.store = await ChatStore.open('grows');
    await state.store.sessions.create({ id: 's' });
  });
  await reader.run(async ({ ChatStore, state }) => {
    state.store = await ChatStore.open('grows');
    state.query = state.store.live((view) => view.messages.list({ sessionId: 's' }));
    state.query.subscribe(() => undefined);
  });
  await writer.run(async ({ state }) => {
    state.reply = await state.store.messages.start({ sessionId: 's', id: 'reply' });
  });
  const shows = (text, status) =>
    until(`${text} is shown as ${status}`, async () => {
      const [reply] = await reader.run(({ state }) => state.query.value?.items ?? []);
      return reply?.content === text && reply.status === status;
    });
  let text = '';
  for (const word of ['It ', 'goes ', 'at ', 'nine.']) {
    text += word;
    await writer.run(({ state }, delta) => {
      state.reply.append(delta);
      return state.reply.flush();
    }, word);
    await shows(text, 'streaming');
  }
  await writer.run(({ state }) => state.reply.finish().then(() => undefined));
  await shows(text, 'complete');
  await writer.close();
  await reader.close();
});

test(
  'a page with a store that is left and come back to holds nobody up, and has all that was acknowledged',
  { timeout },
  async (t) => {
    const openStore = async ({ ChatStore, state }) => {
      state.store = await ChatStore.open('left');
      await state.store.sessions.create({ id: 's' }, { ifExists: 'return' });
      return state.store.info.role;
    };
    const add = ({ state }, content) => state.store.messages.add({ sessionId: 's', role: 'user', content });
    const texts = ({ state }) =>
      state.store.messages.list({ sessionId: 's' }).then(({ items }) => items.map(({ content }) => content));
    const [leader, client] = [await browser.tab(server.page()), await browser.tab(server.page())];
    assert.deepEqual([await leader.run(openStore), await client.run(openStore)], ['owner', 'client']);
    const all = [];
    for (const [tab, other] of [
      [leader, client],
      [client, leader],
    ]) {
      const name = tab === leader ? 'first' : 'second';
      await tab.run(({ state }) => {
        state.stays = true;
        addEventListener('pagehide', ({ persisted }) => sessionStorage.setItem('kept', String(persisted)));
      });
      await tab.run(add, `${name} before`);
      await tab.goto(server.page('without-opfs'));
      await other.run(add, `${name} meanwhile`);
      assert.equal(await other.run(({ state }) => state.store.info.role), 'owner', 'who is left leads');
      await tab.back();
      const [told, kept] = await tab.run(({ state }) => [sessionStorage.getItem('kept'), state.stays === true]);
      assert.equal(told, String(kept), 'what the page is told when it is left is what comes true');
      // Firefox decides by the locks that a page has before it tells it, so one with a store is loaded anew.
      t.diagnostic(`the ${name} page was ${kept ? 'kept in the cache of pages' : 'loaded anew, since it had locks'}`);
      if (!kept) assert.equal(await tab.run(openStore), 'client');
      await tab.run(add, `${name} back`);
      all.push(`${name} before`, `${name} meanwhile`, `${name} back`);
      for (const each of [leader, client]) assert.deepEqual(await each.run(texts), all);
    }
    await leader.close();
    await client.close();
  },
);
