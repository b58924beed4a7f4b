/** The host with the real core on a real file: a core that dies is replaced, and nothing is lost. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import nodeFs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importSource, rejection, root, temporaryFolder } from './support.mjs';

const { Host } = await importSource('js/host/host.ts');
const { packNewMessages } = await importSource('js/client/pack.ts');
const rows = await importSource('js/client/rows.ts');
const { createBindings } = await import(join(root, 'dist/wasm/bindings.js'));
const module = new WebAssembly.Module(nodeFs.readFileSync(join(root, 'dist/wasm/chatstore_bg.wasm')));

const patient = { timeoutMs: 30_000 };
const add = (content) => ({
  verb: 'messages.add',
  write: true,
  rows: packNewMessages([{ sessionId: 's', role: 'user', content }]),
});
const list = { verb: 'messages.list', write: false, args: { sessionId: 's' } };
const texts = async (host) =>
  rows.readMessages(await host.call(list, patient), rows.readTextAnywhere).items.map((message) => message.content);

/** A host whose instances trap when told to, before or after the core has done its work. */
async function fragileHost(t, fs = nodeFs) {
  const path = join(temporaryFolder(), 'a.chat');
  const trap = { when: 'never', opened: 0 };
  const host = new Host({
    openInstance() {
      trap.opened++;
      const bindings = createBindings();
      bindings.initSync({ module });
      const instance = new bindings.Instance(fs, path, {});
      const fragile = (run) => {
        if (trap.when === 'before') throw new WebAssembly.RuntimeError('unreachable');
        const result = run();
        if (trap.when === 'after') throw new WebAssembly.RuntimeError('unreachable');
        return result;
      };
      return {
        call: (...args) => fragile(() => instance.call(...args)),
        control: (action) => fragile(() => instance.control(action)),
        close: () => instance.close(),
        free: () => instance.free(),
      };
    },
    discardInstance: () => undefined,
    releaseOwnership: async () => undefined,
    replaceable: true,
  });
  await host.call({ verb: 'sessions.create', write: true, args: { id: 's' } }, patient);
  t.after(() => host.close());
  return { host, trap };
}

test('a core that traps is replaced by one that sees every acknowledged write', async (t) => {
  const { host, trap } = await fragileHost(t);
  await host.call(add('1'), patient);
  for (const when of ['before', 'after']) {
    trap.when = when;
    const error = await rejection(host.call(add(`unknown ${when}`), patient));
    assert.deepEqual([error.code, error.outcome], ['INTERNAL', 'unknown']);
    trap.when = 'never';
    await host.call(add(`after ${when}`), patient);
  }
  // The one that trapped after its commit had told nobody, yet it is there: that is what unknown means.
  assert.deepEqual(await texts(host), ['1', 'after before', 'unknown after', 'after after']);
  assert.equal(trap.opened, 3);
});

test('a trap in a transaction takes all of it back', async (t) => {
  const { host, trap } = await fragileHost(t);
  await host.call(add('1'), patient);
  const transaction = await host.begin(60_000, patient);
  await transaction.call(add('2'));
  trap.when = 'after';
  await rejection(transaction.call(add('3')));
  trap.when = 'never';
  assert.equal((await rejection(transaction.lost)).code, 'TRANSACTION_LOST');
  assert.deepEqual(await texts(host), ['1']);
  await host.call(add('4'), patient);
  assert.deepEqual(await texts(host), ['1', '4']);
});

test('a disk that is full refuses writes with its code, keeps reading, and goes on when there is room', async (t) => {
  let full = false;
  const noSpace =
    (run) =>
    (...args) => {
      if (full)
        throw Object.assign(new Error('ENOSPC: no space left on device, write'), {
          code: 'ENOSPC',
          errno: -28,
          syscall: 'write',
        });
      return run(...args);
    };
  const fs = { ...nodeFs, writeSync: noSpace(nodeFs.writeSync), writevSync: noSpace(nodeFs.writevSync) };
  const { host } = await fragileHost(t, fs);
  await host.call(add('1'), patient);
  full = true;
  const error = await rejection(host.call(add('x'.repeat(100_000)), patient));
  assert.equal(error.code, 'DISK_FULL', error.message);
  assert.deepEqual(await texts(host), ['1']);
  full = false;
  await host.call(add('2'), patient);
  assert.deepEqual(await texts(host), ['1', '2']);
});

test('a flush that fails is an IO_ERROR with its cause, and the store can be used again', async (t) => {
  let broken = false;
  const failing =
    (run) =>
    (...args) => {
      if (broken)
        throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO', errno: -5, syscall: 'fdatasync' });
      return run(...args);
    };
  const fs = { ...nodeFs, fsyncSync: failing(nodeFs.fsyncSync), fdatasyncSync: failing(nodeFs.fdatasyncSync) };
  const { host } = await fragileHost(t, fs);
  await host.call(add('1'), patient);
  broken = true;
  const error = await rejection(host.call(add('2'), patient));
  assert.equal(error.code, 'IO_ERROR', error.message);
  assert.match(JSON.stringify(error.details) + error.message, /EIO/);
  broken = false;
  await host.call(add('3'), patient);
  const kept = await texts(host);
  assert.deepEqual([kept[0], kept.at(-1)], ['1', '3']);
});
