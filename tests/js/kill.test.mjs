/** A writer is killed at random, again and again: what it acknowledged is there, and nothing by half. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { root, runNode, seeded, temporaryFolder } from './support.mjs';

const rounds = 50;
const seed = Number(process.env.CHATSTORE_TEST_SEED ?? Date.now() % 1_000_000);

test(`${rounds} writers killed at random lose nothing that they acknowledged`, async (t) => {
  t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} plans the same kills again`);
  const path = join(temporaryFolder(), 'a.chat');
  const chance = seeded(seed);
  const acknowledged = new Set();
  let killed_in_open = 0;
  for (let round = 0; round < rounds; round++) {
    // A fifth dies while starting or opening, the others after some lines, and a little later at that.
    const early = chance() < 0.2;
    const delay_ms = early ? chance() * 250 : chance() * 6;
    const after_lines = 1 + Math.floor(chance() * 60);
    let seen = 0;
    let child_process;
    const running = runNode([join(root, 'tests/js/kill_writer.mjs'), path, String(seed * 100 + round)], {
      on_start: (child) => {
        child_process = child;
        if (early) setTimeout(() => child.kill('SIGKILL'), delay_ms);
      },
      on_line: (_, child) => {
        if (++seen === after_lines) setTimeout(() => child.kill('SIGKILL'), delay_ms);
      },
    });
    assert.ok(child_process.pid > 0);
    const { lines, errors, signal } = await running;
    assert.equal(errors, '');
    assert.equal(signal, 'SIGKILL');
    if (lines.length === 0) killed_in_open++;
    for (const line of lines.slice(1)) for (const id of line.split(' ')) acknowledged.add(id);

    const store = await ChatStore.open(path);
    const rows = await store.query('SELECT id, metadata FROM messages', { limit: 100_000 });
    const present = new Set(rows.map((row) => row.id));
    for (const id of acknowledged)
      assert.ok(present.has(id), `round ${round} of seed ${seed}: ${id} was acknowledged and is gone`);
    const batches = new Map();
    for (const row of rows) {
      const { batch, size } = JSON.parse(row.metadata);
      const found = batches.get(batch) ?? { size, count: 0 };
      found.count++;
      batches.set(batch, found);
    }
    for (const [batch, { size, count }] of batches) {
      assert.equal(count, size, `round ${round} of seed ${seed}: ${count} of the ${size} messages of batch ${batch}`);
    }
    assert.deepEqual(await store.query('PRAGMA integrity_check'), [{ integrity_check: 'ok' }]);
    assert.deepEqual(await store.query('PRAGMA foreign_key_check'), []);
    await store.close();
  }
  t.diagnostic(
    `${acknowledged.size} messages were acknowledged, ${killed_in_open} writers died before they had opened`,
  );
  assert.ok(acknowledged.size > rounds * 10);
});
