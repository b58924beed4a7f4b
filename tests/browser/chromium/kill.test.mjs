/** The whole browser is killed at random, and workers in the middle of their work: what was acknowledged is there. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rejection, seeded, temporaryFolder } from '../../js/support.mjs';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';
import { until } from '../support/tab.mjs';
import { Ledger, write } from '../support/writers.mjs';

const kills = Number(process.env.CHATSTORE_TEST_KILLS ?? 20);
const seed = Number(process.env.CHATSTORE_TEST_SEED ?? Date.now() % 1_000_000);
const server = await startServer();

/** Streams replies without end, and tells what is flushed and what is finished. */
async function stream({ ChatStore, state, tell }, round) {
  const store = await ChatStore.open('killed');
  state.store = store;
  await store.sessions.create({ id: 'replies' }, { ifExists: 'return' });
  for (let n = 0; ; n++) {
    const id = `${round}-${n}`;
    const reply = await store.messages.start({ sessionId: 'replies', id }, { flushIntervalMs: 10 });
    for (let token = 0; token < 200; token++) {
      reply.append(`${token} `);
      if (token % 7 !== 6) continue;
      await reply.flush();
      tell({ id, flushed: token });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await reply.finish();
    tell({ id, finished: true });
  }
}

/** What a reply is after so many tokens. */
const tokens = (count) => Array.from({ length: count }, (_, i) => `${i} `).join('');

test(
  `a browser killed ${kills} times in the middle of replies loses nothing that it acknowledged`,
  { timeout: 600_000 },
  async (t) => {
    t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} plans the same kills again`);
    const chance = seeded(seed);
    const profile = temporaryFolder();
    const ledger = new Ledger();
    const flushed = new Map();
    const finished = new Set();
    let news = 0;
    const on_told = (told) => {
      news++;
      if (told.id === undefined) ledger.hear(told);
      else if (told.finished) finished.add(told.id);
      else flushed.set(told.id, told.flushed);
    };
    let incomplete = 0;
    for (let round = 0; round < kills; round++) {
      const browser = await startChromium({ profile });
      const about = `round ${round} of seed ${seed}`;
      const streamer = await browser.tab(server.page(), { on_told });
      if (round > 0) {
        await ledger.check(streamer, 'killed', about);
        incomplete += await checkReplies(streamer, about);
      }
      void streamer.run(stream, round).catch(() => undefined);
      const names = ['a', 'b'].map((name) => `${name}${round}`);
      for (const name of names) {
        const tab = await browser.tab(server.page(), { on_told });
        await tab.run(write, { store_name: 'killed', name });
      }
      const enough = news + 20 + Math.floor(chance() * 100);
      await until('the tabs write', () => news >= enough, { times: 3_000, pause_ms: 5 });
      await new Promise((resolve) => setTimeout(resolve, chance() * 30));
      await browser.kill();
    }
    const browser = await startChromium({ profile });
    const tab = await browser.tab(server.page());
    const stored = await ledger.check(tab, 'killed', `seed ${seed}`);
    incomplete += await checkReplies(tab, `seed ${seed}`);
    t.diagnostic(
      `${ledger.acknowledged.size} messages acknowledged, ${stored} stored; ${finished.size} replies finished, ${incomplete} seen incomplete`,
    );
    assert.ok(incomplete > 0, 'some replies were cut off');
    await browser.close();

    /** Every reply has at least what was flushed of it, in order; all but finished ones are incomplete. */
    async function checkReplies(reader, about) {
      const replies = async () =>
        reader.run(async ({ ChatStore }) => {
          const store = await ChatStore.open('killed');
          const found = [];
          for await (const { id, content, status } of store.messages.iterate({ sessionId: 'replies' }))
            found.push({ id, content, status });
          await store.close();
          return found;
        });
      let found = await replies();
      // Those whose page is no more are seen to be so a moment later.
      for (let i = 0; i < 100 && found.some(({ status }) => status === 'streaming'); i++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        found = await replies();
      }
      const by_id = new Map(found.map((reply) => [reply.id, reply]));
      assert.equal(by_id.size, found.length, `${about}: no reply is there twice`);
      for (const { id, content, status } of found) {
        const count = content.split(' ').length - 1;
        assert.equal(content, tokens(count), `${about}: reply ${id} has its tokens in order`);
        const last = flushed.get(id) ?? -1;
        assert.ok(count > last, `${about}: reply ${id} has ${count} tokens, flushed up to ${last}`);
        if (finished.has(id)) assert.equal(status, 'complete', `${about}: reply ${id}`);
        else assert.match(status, count === 200 ? /^(complete|incomplete)$/ : /^incomplete$/, `${about}: reply ${id}`);
      }
      for (const id of flushed.keys()) assert.ok(by_id.has(id), `${about}: reply ${id} is there`);
      return found.filter(({ status }) => status === 'incomplete').length;
    }
  },
);

/** Notes each worker that the page starts, so that a test can end it. */
const noteWorkers = (page) =>
  page.addInitScript(() => {
    globalThis.started_workers = [];
    globalThis.Worker = class extends Worker {
      constructor(...args) {
        super(...args);
        globalThis.started_workers.push(this);
      }
    };
  });

/** The ways in which a worker ends without its page. */
const endings = {
  'is terminated': (tab) =>
    tab.run(() => {
      for (const worker of globalThis.started_workers) worker.terminate();
    }),
  'closes itself': (tab) => tab.inWorker(() => globalThis.close()),
};

for (const [way, end] of Object.entries(endings)) {
  test(
    `a worker that ${way} with an open transaction over 20,000 rows leaves nothing of it`,
    { timeout: 120_000 },
    async () => {
      const browser = await startChromium();
      const tab = await browser.tab(server.page(), { before: noteWorkers });
      await tab.run(async ({ ChatStore, state }) => {
        const store = await ChatStore.open('transaction');
        state.store = store;
        await store.sessions.create({ id: 's' });
        await store.messages.add({ sessionId: 's', role: 'user', content: 'before' });
        await new Promise((opened) => {
          state.transaction = store
            .transaction(async (tx) => {
              for (let i = 0; i < 20; i++)
                await tx.messages.addMany(
                  Array.from({ length: 1_000 }, (_, n) => ({
                    sessionId: 's',
                    role: 'user',
                    content: `row ${i * 1_000 + n} ${'word '.repeat(20)}`,
                  })),
                );
              opened();
              await new Promise((go_on) => {
                state.goOn = go_on;
              });
              await tx.messages.add({ sessionId: 's', role: 'user', content: 'after the end' });
            })
            .then(
              () => 'committed',
              (error) => error.code,
            );
        });
        state.waiting = Promise.allSettled([
          store.messages.add({ sessionId: 's', role: 'user', content: 'waits for its turn' }),
        ]);
      });
      await end(tab);
      const found = await tab.run(async ({ state }) => {
        state.goOn();
        const transaction = await state.transaction;
        const [waiting] = await state.waiting;
        const stored = (await state.store.messages.list({ sessionId: 's', limit: 1_000 })).items.map((m) => m.content);
        const { ok, problems } = await state.store.verify();
        return { transaction, waiting: waiting.status, stored, ok, problems };
      });
      assert.deepEqual(found, {
        transaction: 'TRANSACTION_LOST',
        waiting: 'fulfilled',
        stored: ['before', 'waits for its turn'],
        ok: true,
        problems: [],
      });
      await browser.close();
    },
  );

  test(`calls under way when the worker ${way} settle, and take effect once`, { timeout: 120_000 }, async () => {
    const browser = await startChromium();
    const tab = await browser.tab(server.page(), { before: noteWorkers });
    await tab.run(async ({ ChatStore, state }) => {
      state.store = await ChatStore.open('under way');
      await state.store.sessions.create({ id: 's' });
      state.calls = Promise.allSettled(
        Array.from({ length: 500 }, (_, i) =>
          state.store.messages.add({ sessionId: 's', role: 'user', content: `call ${i}` }),
        ),
      );
    });
    await end(tab);
    const found = await tab.run(async ({ state }) => {
      const failed = (await state.calls).filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code);
      const stored = [];
      for await (const { content } of state.store.messages.iterate({ sessionId: 's' })) stored.push(content);
      return { failed, stored };
    });
    assert.deepEqual(found.failed, []);
    assert.deepEqual(
      found.stored,
      Array.from({ length: 500 }, (_, i) => `call ${i}`),
    );
    await browser.close();
  });
}

test(
  'with retries: 0 nothing is sent again when the worker ends: its outcome is unknown',
  { timeout: 120_000 },
  async (t) => {
    const browser = await startChromium();
    const tab = await browser.tab(server.page(), { before: noteWorkers });
    for (const [way, end] of Object.entries(endings)) {
      // Behind an open transaction they wait for their turn; without one, some are done when the worker ends.
      for (const waiting of [true, false]) {
        const about = `the worker ${way}, the calls ${waiting ? 'wait' : 'run'}`;
        await tab.run(
          async ({ ChatStore, state }, { name, behind }) => {
            const store = await ChatStore.open(name, { retries: 0 });
            state.store = store;
            await store.sessions.create({ id: 's' });
            if (behind) {
              await new Promise((opened) => {
                state.transaction = store
                  .transaction(() => {
                    opened();
                    return new Promise(() => undefined);
                  })
                  .catch(() => undefined);
              });
            }
            state.calls = Promise.allSettled(
              Array.from({ length: 300 }, (_, i) =>
                store.messages.add({ sessionId: 's', role: 'user', content: `call ${i}` }),
              ),
            );
          },
          { name: about, behind: waiting },
        );
        await end(tab);
        const found = await tab.run(async ({ state }) => {
          const calls = await state.calls;
          const acknowledged = calls.flatMap(({ status }, i) => (status === 'fulfilled' ? [`call ${i}`] : []));
          const failed = calls.flatMap(({ reason }) =>
            reason === undefined ? [] : [`${reason.code}, ${reason.outcome}, ${typeof reason.operationId}`],
          );
          // The store itself goes on, with another worker. A worker that closes itself may still have taken the first one.
          const after = () =>
            state.store.messages.add({ sessionId: 's', role: 'user', content: 'after' }, { operationId: 'after' });
          await after().catch((error) => (error.code === 'OUTCOME_UNKNOWN' ? after() : Promise.reject(error)));
          const stored = [];
          for await (const { content } of state.store.messages.iterate({ sessionId: 's' })) stored.push(content);
          const { link } = await state.store.stats();
          return { acknowledged, failed, stored, link };
        });
        t.diagnostic(`${about}: ${found.acknowledged.length} acknowledged, ${found.stored.length - 1} stored`);
        const kinds = [...new Set(found.failed)];
        if (kinds.length > 0) assert.deepEqual(kinds, ['OUTCOME_UNKNOWN, unknown, string'], about);
        assert.deepEqual(found.link, { retries: 0, resent: 0, reconnects: 1 }, about);
        if (waiting) assert.deepEqual(found.stored, ['after'], `${about}: none had its turn`);
        const stored = new Set(found.stored);
        assert.equal(stored.size, found.stored.length, `${about}: none is there twice`);
        assert.deepEqual(
          found.acknowledged.filter((content) => !stored.has(content)),
          [],
          `${about}: none that was acknowledged is lost`,
        );
      }
    }
    await browser.close();
  },
);

test('a store in memory says that what it had is gone when its worker has ended', { timeout: 60_000 }, async () => {
  const browser = await startChromium();
  const tab = await browser.tab(server.page(), { before: noteWorkers });
  await tab.run(async ({ ChatStore, state }) => {
    state.store = await ChatStore.open(':memory:');
    await state.store.sessions.create({ id: 's' });
  });
  await endings['is terminated'](tab);
  const error = await rejection(tab.run(({ state }) => state.store.sessions.get('s', { timeoutMs: 10_000 })));
  assert.deepEqual([error.is_ours, error.code], [true, 'INTERNAL'], error.message);
  await browser.close();
});
