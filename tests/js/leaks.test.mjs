/** What many rounds leave behind: wasm memory, file descriptors, listeners and timers stay flat. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one round after the other is what is tested */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runNode, temporaryFolder } from './support.mjs';

const descriptors = () => (process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0);

/** Runs in a process of its own, where nothing else comes and goes. */
const rounds = `
  import { readdirSync } from 'node:fs';
  import { ChatStore } from 'chatstore';
  const path = process.argv[1];
  const sizes = () => ({
    descriptors: readdirSync('/proc/self/fd').length,
    resources: process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length,
    exit_listeners: process.listenerCount('exit'),
  });
  // What one collection finds, the next ones give back to the system: memory of wasm goes last.
  const settle = async () => {
    for (let i = 0; i < 20; i++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const round = async () => {
    const store = await ChatStore.open(path);
    await store.sessions.create({ id: 's' }, { ifExists: 'return' });
    await store.close();
  };
  for (let i = 0; i < 50; i++) await round();
  await settle();
  const before = { ...sizes(), array_buffers: process.memoryUsage().arrayBuffers, rss: process.memoryUsage().rss };
  for (let i = 0; i < 950; i++) await round();
  await settle();
  const after = { ...sizes(), array_buffers: process.memoryUsage().arrayBuffers, rss: process.memoryUsage().rss };
  console.log(JSON.stringify({ before, after }));
`;

test('1,000 rounds of open and close leave memory, descriptors and listeners flat', async (t) => {
  if (process.platform !== 'linux') {
    t.skip('this system does not list descriptors');
    return;
  }
  const path = join(temporaryFolder(), 'a.chat');
  const { lines, errors, code } = await runNode(['--expose-gc', '--input-type=module', '--eval', rounds, path]);
  assert.deepEqual([errors, code], ['', 0]);
  const { before, after } = JSON.parse(lines[0]);
  t.diagnostic(lines[0]);
  for (const name of ['descriptors', 'resources', 'exit_listeners']) assert.ok(after[name] <= before[name], name);
  // An instance has megabytes: a hundred that stay would be seen.
  assert.ok(after.rss - before.rss < 100 << 20, `${before.rss} -> ${after.rss}`);
  assert.ok(after.array_buffers - before.array_buffers < 20 << 20);
});

test('100,000 calls leave wasm memory, descriptors and the listeners of their signal flat', async (t) => {
  const memories = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = new Proxy(Instance, {
    construct(target, args) {
      const made = Reflect.construct(target, args);
      memories.push(made.exports.memory);
      return made;
    },
  });
  t.after(() => (WebAssembly.Instance = Instance));
  const { ChatStore } = await import('chatstore');
  const store = await ChatStore.open(join(temporaryFolder(), 'a.chat'), { durability: 'relaxed' });
  t.after(() => store.close());
  await store.sessions.create({ id: 's' });
  const { id } = await store.messages.add({ sessionId: 's', role: 'user', content: 'one' });
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const calls = async (count) => {
    for (let i = 0; i < count; i += 50) {
      await Promise.all(Array.from({ length: 44 }, () => store.messages.get({ sessionId: 's', id }, options)));
      await Promise.all(Array.from({ length: 3 }, () => store.sessions.update('s', { title: `t${i}` }, options)));
      await store.transaction((tx) => tx.sessions.update('s', { title: `tx${i}` }), options);
      await store.snapshot((view) => view.sessions.get('s'), options);
      await store.sessions.get('none', options);
    }
  };
  await calls(10_000);
  const before = { wasm: memories.at(-1).buffer.byteLength, descriptors: descriptors() };
  await calls(90_000);
  const after = { wasm: memories.at(-1).buffer.byteLength, descriptors: descriptors() };
  t.diagnostic(JSON.stringify({ before, after }));
  assert.ok(after.wasm <= before.wasm + (1 << 20), `${before.wasm} -> ${after.wasm} bytes`);
  assert.ok(after.descriptors <= before.descriptors);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  assert.equal(memories.length, 1);
});
