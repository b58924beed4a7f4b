/** What one tab is told of the changes of another, whoever leads, and while another comes to lead. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';
import { until } from '../support/tab.mjs';

const timeout = 60_000;
const server = await startServer();
const browser = await startChromium();

const role = ({ state }) => state.store.info.role;

/** Opens a store and notes what is told of it; each session that is told of is read at once. */
async function follow({ ChatStore, state }, name) {
  const store = await ChatStore.open(name);
  state.store = store;
  state.told = [];
  state.unread = [];
  state.unsubscribe = store.subscribe((change) => {
    state.told.push(change);
    for (const id of change.sessions ?? [])
      void store.sessions.get(id).then((session) => session ?? state.unread.push(id));
  });
  // Whoever leads knows by the time that it answers.
  await store.sessions.list();
}

const toldSoFar = ({ state }) => ({ told: state.told, unread: state.unread });
const forget = ({ state }) => {
  state.told.length = 0;
};
const create = ({ state }, id) => state.store.sessions.create({ id }).then(() => undefined);

/** A tab that leads a store, and others. */
async function tabsOn(name, count) {
  const tabs = [];
  for (let i = 0; i < count; i++) {
    const tab = await browser.tab(server.page());
    await tab.run(follow, name);
    tabs.push(tab);
  }
  assert.deepEqual(
    await Promise.all(tabs.map((tab) => tab.run(role))),
    tabs.map((_, i) => (i === 0 ? 'owner' : 'client')),
  );
  return tabs;
}

const namedIn = (told) => new Set(told.flatMap(({ sessions, streaming }) => [...(sessions ?? ['any']), ...streaming]));

/** Waits until a tab was told of sessions; gives all that it was told. */
async function toldOf(tab, ids) {
  let found;
  await until(
    () => `a tab is told of ${ids.join()}; it was told of ${[...namedIn(found.told)].join()}`,
    async () => {
      found = await tab.run(toldSoFar);
      return ids.every((id) => namedIn(found.told).has(id));
    },
  );
  assert.deepEqual(found.unread, [], 'what is told of can be read');
  return found.told;
}

/** After it, a tab has been told what was on its way to it: the answer comes the same way. */
const settle = async (tab) => {
  // Changes may come 16 ms later, together.
  await new Promise((resolve) => setTimeout(resolve, 60));
  await tab.run(({ state }) => state.store.sessions.list({ limit: 1 }).then(() => undefined));
};

const closeAll = (tabs) => Promise.all(tabs.map((tab) => tab.close()));

test('a change is told to every tab, whichever of them has made it, with what has changed', { timeout }, async () => {
  const tabs = await tabsOn('told', 3);
  for (const [i, writer] of tabs.entries()) {
    for (const tab of tabs) await settle(tab);
    for (const tab of tabs) await tab.run(forget);
    const id = `by tab ${i}`;
    await writer.run(create, id);
    for (const tab of tabs) {
      await toldOf(tab, [id]);
      await settle(tab);
      const { told } = await tab.run(toldSoFar);
      assert.deepEqual(told, [{ sessions: [id], streaming: [], bots: false }]);
    }
  }
  // What is taken back is no change.
  for (const tab of tabs) await tab.run(forget);
  await tabs[1].run(({ state }) =>
    state.store
      .transaction(async (tx) => {
        await tx.sessions.create({ id: 'never' });
        throw new Error('no');
      })
      .catch(() => undefined),
  );
  for (const tab of tabs) {
    await settle(tab);
    assert.deepEqual((await tab.run(toldSoFar)).told, []);
  }
  await closeAll(tabs);
});

test('a burst of writes is told as few changes, which name each session', { timeout }, async () => {
  const tabs = await tabsOn('burst', 3);
  const ids = Array.from({ length: 20 }, (_, i) => `s${i}`);
  for (const id of ids) await tabs[0].run(create, id);
  for (const tab of tabs) await settle(tab);
  for (const tab of tabs) await tab.run(forget);
  const start_ms = performance.now();
  // Some one after the other, and others at once.
  await Promise.all(
    tabs.slice(0, 2).map((tab) =>
      tab.run(async ({ state }, sessions) => {
        const add = (i) =>
          state.store.messages.add({ sessionId: sessions[i % sessions.length], role: 'user', content: `${i}` });
        for (let i = 0; i < 200; i++) await add(i);
        await Promise.all(Array.from({ length: 200 }, (_, i) => add(i)));
      }, ids),
    ),
  );
  for (const tab of tabs) await toldOf(tab, ids);
  for (const tab of tabs) await settle(tab);
  const most = 2 + (performance.now() - start_ms) / 16;
  for (const tab of tabs) {
    const { told } = await tab.run(toldSoFar);
    assert.deepEqual([...namedIn(told)].toSorted(), ids.toSorted(), 'nothing else is named');
    assert.ok(told.length <= Math.min(most, 400), `800 writes were told as ${told.length} changes; at most ${most}`);
  }
  await closeAll(tabs);
});

test('a tab that has unsubscribed is told nothing more, while others are', { timeout }, async () => {
  const tabs = await tabsOn('unsubscribed', 3);
  for (const tab of [tabs[0], tabs[2]]) {
    await tab.run(({ state }) => {
      state.unsubscribe();
      state.told.length = 0;
    });
  }
  await tabs[0].run(create, 'by the leader');
  await tabs[2].run(create, 'by a client');
  await toldOf(tabs[1], ['by the leader', 'by a client']);
  for (const tab of [tabs[0], tabs[2]]) {
    await settle(tab);
    assert.deepEqual((await tab.run(toldSoFar)).told, []);
  }
  await closeAll(tabs);
});

test('a live query grows in every tab while one of them streams a reply', { timeout }, async () => {
  const tabs = await tabsOn('live', 3);
  await tabs[0].run(create, 's');
  const words = ['It ', 'goes ', 'at ', 'ten ', 'past ', 'nine.'];
  for (const tab of tabs) {
    await tab.run(({ state }) => {
      const { store } = state;
      state.query = store.live((view) => view.messages.list({ sessionId: 's' }));
      state.shown = new Set();
      state.end = state.query.subscribe(() => {
        const [reply] = state.query.value.items;
        if (reply !== undefined) state.shown.add(`${reply.status}: ${reply.content}`);
      });
    });
  }
  await tabs[1].run(async ({ state }) => {
    state.reply = await state.store.messages.start({ sessionId: 's', id: 'reply' });
  });
  const texts = words.map((_, i) => words.slice(0, i + 1).join(''));
  const shows = (tab, wanted) =>
    until(`a tab shows ${wanted}`, () => tab.run(({ state }, text) => state.shown.has(text), wanted), { times: 200 });
  for (const [i, word] of words.entries()) {
    await tabs[1].run(async ({ state }, delta) => {
      state.reply.append(delta);
      await state.reply.flush();
    }, word);
    for (const tab of tabs) await shows(tab, `streaming: ${texts[i]}`);
  }
  await tabs[1].run(({ state }) => state.reply.finish());
  for (const tab of tabs) await shows(tab, `complete: ${texts.at(-1)}`);
  // The last who looks ends it.
  await tabs[2].run(({ state }) => {
    state.end();
    state.shown.clear();
  });
  await tabs[0].run(({ state }) =>
    state.store.messages.update({ sessionId: 's', id: 'reply' }, { content: 'Changed.' }).then(() => undefined),
  );
  for (const tab of tabs.slice(0, 2)) await shows(tab, 'complete: Changed.');
  await settle(tabs[2]);
  assert.equal(await tabs[2].run(({ state }) => state.shown.size), 0);
  await closeAll(tabs);
});

/** The ways in which a leader goes. */
const ways = {
  closed: (tab) => tab.close(),
  crashed: async (tab) => {
    await tab.crash();
    await tab.close();
  },
  'closing its store': async (tab) => {
    await tab.run(({ state }) => state.store.close());
    await tab.close();
  },
};

test(
  'when leaders go one after the other, the others miss nothing of what is written meanwhile',
  { timeout },
  async () => {
    const tabs = await tabsOn('handed over', 5);
    const [writer, reader] = tabs.splice(-2);
    const of_round = 20;
    for (const [round, way] of Object.keys(ways).entries()) {
      const leader = tabs.shift();
      assert.equal(await leader.run(role), 'owner');
      const ids = Array.from({ length: of_round }, (_, i) => `${round}-${i}`);
      // One query a session: a change that is not told is not made up for by the next one.
      await reader.run(async ({ state }, sessions) => {
        state.queries = sessions.map((id) => state.store.live((view) => view.sessions.get(id)));
        state.told.length = 0;
        await Promise.all(
          state.queries.map(
            (query) =>
              new Promise((read) => {
                query.subscribe(read);
              }),
          ),
        );
      }, ids);
      await writer.run(({ state }, sessions) => {
        const write = async () => {
          for (const id of sessions) {
            await state.store.sessions.create({ id });
            state.written = id;
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        };
        state.written = undefined;
        state.writing = write();
      }, ids);
      await until('the writer writes', () => writer.run(({ state }) => state.written !== undefined));
      await ways[way](leader);
      await writer.run(({ state }) => state.writing);
      await until(`the reader shows all, the leader ${way}`, () =>
        reader.run(({ state }) => state.queries.every(({ value, error }) => error === undefined && value !== null)),
      );
      // Named, or told that anything may have changed.
      const told = namedIn((await reader.run(toldSoFar)).told);
      assert.ok(told.has('any') || ids.every((id) => told.has(id)));
    }
    assert.equal(await writer.run(role), 'owner', 'the last of them leads itself');
    await closeAll([writer, reader]);
  },
);
