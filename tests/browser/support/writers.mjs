/**
 * Tabs that write without end, and what must be true of the store afterwards: nothing that was
 * acknowledged is lost, nothing is there twice, nobody's order is changed.
 *
 * Holds: the loop of a writer and the reckoning. What is acknowledged is noted in the test's own process,
 * which outlives every tab. Must not know: how tabs are closed or killed.
 */
import assert from 'node:assert/strict';
import { until } from './tab.mjs';

/** What the writers of one test have said. */
export class Ledger {
  acknowledged = new Set();
  /** Errors that no writer should have had. */
  failed = [];
  /** Acknowledgements so far of each writer. */
  counts = new Map();

  /** For the `on_told` of a tab. */
  hear = ({ acknowledged, failed }) => {
    if (failed !== undefined) this.failed.push(failed);
    if (acknowledged === undefined) return;
    this.acknowledged.add(acknowledged);
    const [name] = acknowledged.split(' ');
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  };

  /** Resolves when each of the writers has acknowledged something more, after `times` acknowledgements each. */
  async allWrite(names, times = 1) {
    const wanted = new Map(names.map((name) => [name, (this.counts.get(name) ?? 0) + times]));
    const silent = () => names.filter((name) => (this.counts.get(name) ?? 0) < wanted.get(name));
    await until(
      () => `${silent().join()} write again; failed: ${this.failed.join('; ')}`,
      () => this.failed.length > 0 || silent().length === 0,
      { times: 2_000, pause_ms: 20 },
    );
    assert.deepEqual(this.failed, []);
  }

  /** Reads the store in a tab and compares. */
  async check(tab, store_name, about) {
    const { rows, problems } = await tab.run(readAll, store_name);
    assert.deepEqual(problems, [], `${about}: the store is sound`);
    const texts = rows.map(({ text }) => text);
    const present = new Set(texts);
    assert.equal(present.size, texts.length, `${about}: none is there twice`);
    const lost = [...this.acknowledged].filter((text) => !present.has(text));
    assert.deepEqual(lost, [], `${about}: none that was acknowledged is lost`);
    const last = new Map();
    for (const text of texts) {
      const [name, number] = text.split(' ');
      assert.ok((last.get(name) ?? -1) < Number(number), `${about}: ${text} comes in its turn`);
      last.set(name, Number(number));
    }
    return texts.length;
  }
}

async function readAll({ ChatStore, state }, name) {
  const store = state.store ?? (await ChatStore.open(name));
  const rows = await store.query(
    "SELECT m.text FROM messages m JOIN sessions s ON s.key = m.session WHERE s.id = 'shared' ORDER BY m.key",
    { limit: 100_000 },
  );
  const { problems } = await store.verify();
  if (state.store === undefined) await store.close();
  return { rows, problems };
}

/**
 * A piece: opens the store and writes until the tab is no more. The messages have no ids, so that one that
 * took effect twice would be there twice.
 */
export async function write({ ChatStore, state, tell }, { store_name, name }) {
  const store = await ChatStore.open(store_name);
  state.store = store;
  state.stop = false;
  await store.sessions.create({ id: 'shared' }, { ifExists: 'return' });
  const loop = async () => {
    for (let n = 0; !state.stop; n += 3) {
      // Three at once: they are made, and take effect, in this order.
      await Promise.all(
        [n, n + 1, n + 2].map(async (i) => {
          const content = `${name} ${i}`;
          await store.messages.add({ sessionId: 'shared', role: 'user', content });
          tell({ acknowledged: content });
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  state.writing = loop().catch((error) => tell({ failed: `${name}: ${error.code} ${error.message}` }));
}

/** A piece: ends the loop of a writer and waits for what was under way. */
export async function stopWriting({ state }) {
  state.stop = true;
  await state.writing;
}
