/**
 * Four processes write to one file at once, and one after the other is killed, the owner as often as
 * not: no acknowledged message is lost, none is there twice, their order is kept, and writing goes on.
 */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one kill after the other */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { seeded, startPeer, temporaryFolder } from './support.mjs';

const kills = Number(process.env.CHATSTORE_TEST_KILLS ?? 200);
const writers = 4;
const seed = Number(process.env.CHATSTORE_TEST_SEED ?? Date.now() % 1_000_000);

/** Writes without ids, so that a message that took effect twice would be there twice. */
const writer = `
  const { path, name } = args;
  const store = await ChatStore.open(path);
  state.store = store;
  for (const id of ['shared', name]) await store.sessions.create({ id }, { ifExists: 'return' });
  tell({ opened: name });
  (async () => {
    for (let n = 0; ; n += 3) {
      // Three at once: they are made, and take effect, in this order.
      await Promise.all([0, 1, 2].map(async (i) => {
        const sessionId = i === 2 ? name : 'shared';
        await store.messages.add({ sessionId, role: 'user', content: name + ' ' + (n + i) });
        tell({ acknowledged: name + ' ' + (n + i) });
      }));
      // Four that write without a pause would leave no time for starting others.
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })().catch((error) => tell({ failed: name + ': ' + error.code + ' ' + error.message }));
`;

test(`${kills} kills over the owner and clients of ${writers} writers lose and double nothing`, async (t) => {
  t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} chooses the same victims again`);
  const path = join(temporaryFolder(), 'a.chat');
  const chance = seeded(seed);
  const acknowledged = new Set();
  const failed = [];
  const alive = [];
  let started = 0;
  let on_acknowledged = () => undefined;

  const launch = () => {
    const name = `w${++started}`;
    const on_told = ({ acknowledged: text, failed: error }) => {
      if (error !== undefined) failed.push(error);
      if (text === undefined) return;
      acknowledged.add(text);
      on_acknowledged(name);
    };
    return { name, process: startPeer({ on_told }) };
  };
  // A process takes a while to start: the next one is always on its way.
  let next = launch();
  const start = async () => {
    const { name, process } = next;
    next = launch();
    const peer = await process;
    await peer.run(writer, { path, name });
    alive.push({ name, peer });
  };
  /** Resolves when each of those who live has acknowledged something more. */
  const allWrite = () =>
    new Promise((resolve) => {
      const silent = new Set(alive.map(({ name }) => name));
      on_acknowledged = (name) => {
        silent.delete(name);
        if (silent.size === 0) resolve();
      };
    });

  for (let i = 0; i < writers; i++) await start();
  const roles = { owner: 0, client: 0 };
  let longest_ms = 0;
  for (let kill = 0; kill < kills; kill++) {
    await allWrite();
    assert.deepEqual(failed, []);
    const owner_wanted = chance() < 0.5;
    const found = await Promise.all(alive.map(({ peer }) => peer.run('return state.store.info.role')));
    const owner = found.indexOf('owner');
    assert.notEqual(owner, -1, `round ${kill} of seed ${seed}: one of ${found} owns the file`);
    const others = alive.map((_, i) => i).filter((i) => i !== owner);
    const victim = owner_wanted ? owner : others[Math.floor(chance() * others.length)];
    roles[found[victim]]++;
    const [{ peer }] = alive.splice(victim, 1);
    const { signal } = await peer.kill();
    assert.equal(signal, 'SIGKILL');
    const killed_ms = performance.now();
    await allWrite();
    if (owner_wanted) longest_ms = Math.max(longest_ms, performance.now() - killed_ms);
    await start();
  }
  await allWrite();
  assert.deepEqual(failed, []);
  await Promise.all([next.process, ...alive.map(({ peer }) => peer)].map(async (peer) => (await peer).kill()));

  const store = await ChatStore.open(path);
  t.after(() => store.close());
  const rows = await store.query(
    'SELECT s.id AS session, m.text FROM messages m JOIN sessions s ON s.key = m.session ORDER BY m.key',
    { limit: 100_000 },
  );
  const texts = rows.map((row) => row.text);
  const present = new Set(texts);
  assert.equal(present.size, texts.length, `seed ${seed}: none is there twice`);
  const lost = [...acknowledged].filter((text) => !present.has(text));
  assert.deepEqual(lost, [], `seed ${seed}: none that was acknowledged is lost`);
  const last = new Map();
  for (const { session, text } of rows) {
    const [name, number] = text.split(' ');
    const key = `${session} ${name}`;
    assert.ok((last.get(key) ?? -1) < Number(number), `seed ${seed}: ${text} comes in its turn in ${session}`);
    last.set(key, Number(number));
  }
  assert.deepEqual(await store.query('PRAGMA integrity_check'), [{ integrity_check: 'ok' }]);
  t.diagnostic(
    `${acknowledged.size} messages acknowledged, ${texts.length} stored; killed: ${roles.owner} owners, ${roles.client} clients; ` +
      `after an owner's death all wrote again within ${longest_ms.toFixed(0)} ms`,
  );
});
