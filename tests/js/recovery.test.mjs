/** A host with the real core on a real file: a core that dies is replaced, and nothing is lost. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import nodeFs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importSource, rejection, root, temporaryFolder } from './support.mjs';

const { Host } = await importSource('js/host/host.ts');
const { Link } = await importSource('js/client/link.ts');
const { CoreFile } = await importSource('js/node/core.ts');
const { columnsOf, packColumns } = await importSource('js/client/pack.ts');
const pack = (messages) => packColumns(columnsOf(messages));
const rows = await importSource('js/client/rows.ts');
const { createBindings } = await import(join(root, 'dist/wasm/bindings.js'));
const module = new WebAssembly.Module(nodeFs.readFileSync(join(root, 'dist/wasm/chatstore_bg.wasm')));

const patient = { timeoutMs: 30_000 };
const add = (content) => ({
  verb: 'messages.add',
  write: true,
  rows: pack([{ sessionId: 's', role: 'user', content }]),
});
const list = { verb: 'messages.list', write: false, args: { sessionId: 's' } };
const texts = async (link) =>
  rows.readMessages(await link.call(list, patient), rows.readTextAnywhere).items.map((message) => message.content);

/** A client of a host whose instances trap when told to, before or after the core has done its work. */
async function fragileStore(t, fs = nodeFs) {
  const path = join(temporaryFolder(), 'a.chat');
  const trap = { when: 'never', opened: 0 };
  const host = new Host({
    openInstance() {
      trap.opened++;
      const bindings = createBindings();
      bindings.initSync({ module });
      const instance = new bindings.Instance({ node: fs }, path, {});
      const fragile =
        (run) =>
        (...args) => {
          if (trap.when === 'before') throw new WebAssembly.RuntimeError('unreachable');
          const result = run.apply(instance, args);
          if (trap.when === 'after') {
            if (--trap.left <= 0) trap.when = 'never';
            throw new WebAssembly.RuntimeError('unreachable');
          }
          return result;
        };
      return {
        connect: (...args) => instance.connect(...args),
        disconnect: (...args) => instance.disconnect(...args),
        submit: (...args) => instance.submit(...args),
        cancel: (...args) => instance.cancel(...args),
        step: fragile(instance.step),
        take: (sink) => instance.take(sink),
        close: () => instance.close(),
        free: () => instance.free(),
      };
    },
    discardInstance: () => undefined,
    releaseOwnership: async () => undefined,
    nextTurn: setImmediate,
    replaceable: true,
  });
  const connector = {
    awaitsOwner: false,
    lostCode: 'OWNER_UNRESPONSIVE',
    ownerName: 'the owner',
    connect: (events, name) => host.connect(events, name),
    release: () => host.close(),
  };
  const link = new Link(connector, { name: 'test', retries: 3 });
  await link.call({ verb: 'sessions.create', write: true, args: { id: 's' } }, patient);
  t.after(async () => {
    trap.when = 'never';
    await link.close();
  });
  return { link, trap };
}

test('a core that traps is replaced by one that sees every acknowledged write', async (t) => {
  const { link, trap } = await fragileStore(t);
  await link.call(add('1'), patient);
  Object.assign(trap, { when: 'after', left: 1 });
  const error = await rejection(link.call(add('unknown'), patient));
  assert.deepEqual([error.code, error.outcome], ['INTERNAL', 'unknown']);
  await link.call(add('2'), patient);
  // The one that trapped after its commit had told nobody, yet it is there: that is what unknown means.
  assert.deepEqual(await texts(link), ['1', 'unknown', '2']);
  assert.equal(trap.opened, 2);
});

test('a write with an operation id survives a trap after its commit, and takes effect once', async (t) => {
  const { link, trap } = await fragileStore(t);
  Object.assign(trap, { when: 'after', left: 1 });
  await Promise.all(['a', 'b', 'c'].map((text) => link.call(add(text), { ...patient, operationId: text })));
  assert.deepEqual(await texts(link), ['a', 'b', 'c']);
  assert.equal(trap.opened, 2);
});

test('a call that traps twice is the one that fails, with its operation id, and the others are done', async (t) => {
  const { link, trap } = await fragileStore(t);
  Object.assign(trap, { when: 'after', left: 2 });
  const [first, second, third] = await Promise.allSettled(
    ['a', 'b', 'c'].map((text) => link.call(add(text), { ...patient, operationId: text })),
  );
  const { code, outcome, operationId } = first.reason;
  assert.deepEqual([code, outcome, operationId], ['INTERNAL', 'unknown', 'a']);
  assert.deepEqual([second.status, third.status], ['fulfilled', 'fulfilled']);
  assert.deepEqual(await texts(link), ['a', 'b', 'c']);
});

test('a core that was thrown away reaches no file any more, whatever is done with it', () => {
  const path = join(temporaryFolder(), 'a.chat');
  const core = new CoreFile(module, path, { inMemory: false });
  const instance = core.open();
  instance.submit(0, 1, 0, 0, 'sessions.create', 1_000, { id: 's' }, undefined, undefined, 1, 0);
  instance.step(0);
  assert.ok(core.descriptors.size > 0);
  const log = nodeFs.readFileSync(`${path}-wal`);
  core.discard();
  // These get the descriptors that it had.
  const others = Array.from({ length: 20 }, () => nodeFs.openSync(path, 'r'));
  for (const act of ['close', 'free', 'take']) {
    try {
      instance[act]();
    } catch {
      // It may say what it likes.
    }
  }
  for (const descriptor of others) nodeFs.closeSync(descriptor);
  assert.deepEqual(nodeFs.readFileSync(`${path}-wal`), log);
});

test('a trap in a transaction takes all of it back', async (t) => {
  const { link, trap } = await fragileStore(t);
  await link.call(add('1'), patient);
  const transaction = await link.begin('transaction', 60_000, patient, true);
  await transaction.call(add('2'), patient);
  Object.assign(trap, { when: 'after', left: 1 });
  const error = await rejection(transaction.lost);
  assert.equal(error.code, 'TRANSACTION_LOST');
  assert.equal((await rejection(transaction.call(add('3'), patient))).code, 'TRANSACTION_LOST');
  assert.deepEqual(await texts(link), ['1']);
  await link.call(add('4'), patient);
  assert.deepEqual(await texts(link), ['1', '4']);
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
  const { link } = await fragileStore(t, fs);
  await link.call(add('1'), patient);
  full = true;
  const error = await rejection(link.call(add('x'.repeat(100_000)), patient));
  assert.equal(error.code, 'DISK_FULL', error.message);
  assert.deepEqual(await texts(link), ['1']);
  full = false;
  await link.call(add('2'), patient);
  assert.deepEqual(await texts(link), ['1', '2']);
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
  const { link } = await fragileStore(t, fs);
  await link.call(add('1'), patient);
  broken = true;
  const error = await rejection(link.call(add('2'), patient));
  assert.equal(error.code, 'IO_ERROR', error.message);
  assert.match(JSON.stringify(error.details) + error.message, /EIO/);
  broken = false;
  await link.call(add('3'), patient);
  const kept = await texts(link);
  assert.deepEqual([kept[0], kept.at(-1)], ['1', '3']);
});
