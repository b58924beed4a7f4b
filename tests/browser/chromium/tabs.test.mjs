/** Many tabs on one store, and what happens to the others when one of them goes, in whatever way. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seeded } from '../../js/support.mjs';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';
import { Ledger, stopWriting, write } from '../support/writers.mjs';

const seed = Number(process.env.CHATSTORE_TEST_SEED ?? Date.now() % 1_000_000);
const server = await startServer();
const browser = await startChromium();

const isLeader = (tab) => tab.run(({ state }) => state.store.info.role !== 'client');

/** Tabs that write to one store, each with a name of its own. */
class Writers {
  ledger = new Ledger();
  alive = [];
  #started = 0;

  constructor(store_name) {
    this.store_name = store_name;
  }

  async start() {
    const name = `w${++this.#started}`;
    const tab = await browser.tab(server.page(), { on_told: this.ledger.hear });
    await tab.run(write, { store_name: this.store_name, name });
    this.alive.push({ name, tab });
  }

  /** Makes a tab that was loaded anew write again, under another name. */
  async resume(writer) {
    writer.name = `w${++this.#started}`;
    await writer.tab.run(write, { store_name: this.store_name, name: writer.name });
  }

  allWrite(times) {
    return this.ledger.allWrite(
      this.alive.map(({ name }) => name),
      times,
    );
  }

  async leader() {
    const leads = await Promise.all(this.alive.map(({ tab }) => isLeader(tab)));
    assert.equal(leads.filter(Boolean).length, 1, 'one tab leads');
    return leads.indexOf(true);
  }

  /** Stops all, checks what there is, and closes. Gives how many messages there are. */
  async end(about) {
    await Promise.all(this.alive.map(({ tab }) => tab.run(stopWriting)));
    assert.deepEqual(this.ledger.failed, [], about);
    const stored = await this.ledger.check(this.alive[0].tab, this.store_name, about);
    for (const { tab } of this.alive) await tab.close();
    return stored;
  }
}

/** The ways in which a tab goes. */
const ways = {
  closed: (tab) => tab.close(),
  crashed: async (tab) => {
    await tab.crash();
    await tab.close();
  },
  'led elsewhere': async (tab) => {
    await tab.page.goto('about:blank');
    await tab.close();
  },
};

test(
  'the leader’s tab goes 30 times while three others write: nothing is lost or doubled',
  { timeout: 300_000 },
  async (t) => {
    t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} chooses the same ways again`);
    const chance = seeded(seed);
    const writers = new Writers('leader goes');
    for (let i = 0; i < 4; i++) await writers.start();
    const names = Object.keys(ways);
    for (let round = 0; round < 30; round++) {
      await writers.allWrite();
      const [{ tab }] = writers.alive.splice(await writers.leader(), 1);
      await ways[names[Math.floor(chance() * names.length)]](tab);
      await writers.allWrite();
      await writers.start();
    }
    const stored = await writers.end(`seed ${seed}`);
    t.diagnostic(`${writers.ledger.acknowledged.size} messages acknowledged, ${stored} stored`);
  },
);

test(
  'ten tabs open one new store at once, 30 times: every call settles and all see the same',
  { timeout: 300_000 },
  async () => {
    const tabs = await Promise.all(Array.from({ length: 10 }, () => browser.tab(server.page())));
    for (let round = 0; round < 30; round++) {
      const store_name = `new ${round}`;
      await Promise.all(
        tabs.map((tab, i) =>
          tab.run(
            async ({ ChatStore, state }, { store_name: wanted, name }) => {
              state.store = await ChatStore.open(wanted);
              await state.store.sessions.create({ id: 'shared' }, { ifExists: 'return' });
              await state.store.messages.add({ sessionId: 'shared', role: 'user', content: name });
            },
            { store_name, name: `tab ${i}` },
          ),
        ),
      );
      const seen = await Promise.all(
        tabs.map((tab) =>
          tab.run(async ({ state }) =>
            (await state.store.messages.list({ sessionId: 'shared' })).items.map(({ content }) => content),
          ),
        ),
      );
      assert.deepEqual(
        seen[0].toSorted(),
        Array.from(tabs, (_, i) => `tab ${i}`),
      );
      for (const each of seen) assert.deepEqual(each, seen[0], `round ${round}`);
      await Promise.all(tabs.map((tab) => tab.run(({ state }) => state.store.close())));
    }
    await Promise.all(tabs.map((tab) => tab.close()));
  },
);

test(
  'tabs are reloaded again and again while all write: nothing is lost or doubled',
  { timeout: 300_000 },
  async (t) => {
    t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} chooses the same tabs again`);
    const chance = seeded(seed + 1);
    const writers = new Writers('reload storm');
    for (let i = 0; i < 4; i++) await writers.start();
    for (let round = 0; round < 40; round++) {
      // Now one, now two of them, in the middle of a reload at times.
      const chosen = new Set(Array.from({ length: 1 + Math.floor(chance() * 2) }, () => Math.floor(chance() * 4)));
      await Promise.all(
        [...chosen].map(async (i) => {
          await writers.alive[i].tab.reload();
          await writers.resume(writers.alive[i]);
        }),
      );
      if (chance() < 0.5) await writers.allWrite();
    }
    await writers.allWrite();
    const stored = await writers.end(`seed ${seed}`);
    t.diagnostic(`${writers.ledger.acknowledged.size} messages acknowledged, ${stored} stored`);
  },
);

test('a reply grows in another tab while it comes', { timeout: 60_000 }, async () => {
  const [writer, reader] = [await browser.tab(server.page()), await browser.tab(server.page())];
  await writer.run(async ({ ChatStore, state }) => {
    const store = await ChatStore.open('grows');
    state.store = store;
    await store.sessions.create({ id: 's' });
    state.reply = await store.messages.start({ sessionId: 's', id: 'reply' });
  });
  await reader.run(async ({ ChatStore, state }) => {
    state.store = await ChatStore.open('grows');
  });
  let text = '';
  for (const word of ['It ', 'goes ', 'at ', 'nine.']) {
    text += word;
    await writer.run(async ({ state }, delta) => {
      state.reply.append(delta);
      await state.reply.flush();
    }, word);
    const seen = await reader.run(({ state }) => state.store.messages.get({ sessionId: 's', id: 'reply' }));
    assert.deepEqual([seen.content, seen.status], [text, 'streaming']);
  }
  // Whoever leads: the reply belongs to its writer, and goes on when the leader is another one.
  await writer.run(({ state }) => state.reply.finish());
  const seen = await reader.run(({ state }) => state.store.messages.get({ sessionId: 's', id: 'reply' }));
  assert.deepEqual([seen.content, seen.status], [text, 'complete']);
  await writer.close();
  await reader.close();
});

test('a reply goes on when the leader goes, and is incomplete when its own tab goes', { timeout: 60_000 }, async () => {
  const leader = await browser.tab(server.page());
  await leader.run(async ({ ChatStore, state }) => {
    state.store = await ChatStore.open('reply and leader');
    await state.store.sessions.create({ id: 's' });
  });
  const [writer, reader] = [await browser.tab(server.page()), await browser.tab(server.page())];
  await reader.run(async ({ ChatStore, state }) => {
    state.store = await ChatStore.open('reply and leader');
  });
  await writer.run(async ({ ChatStore, state }) => {
    state.store = await ChatStore.open('reply and leader');
    state.reply = await state.store.messages.start({ sessionId: 's', id: 'reply' });
    state.reply.append('before ');
    await state.reply.flush();
  });
  assert.equal(await isLeader(leader), true);
  await leader.close();
  await writer.run(async ({ state }) => {
    state.reply.append('and after');
    await state.reply.flush();
  });
  const get = () => reader.run(({ state }) => state.store.messages.get({ sessionId: 's', id: 'reply' }));
  const during = await get();
  assert.deepEqual([during.content, during.status], ['before and after', 'streaming']);
  await writer.crash();
  await writer.close();
  let seen = await get();
  for (let i = 0; i < 200 && seen.status === 'streaming'; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    seen = await get();
  }
  assert.deepEqual([seen.content, seen.status], ['before and after', 'incomplete']);
  await reader.close();
});
