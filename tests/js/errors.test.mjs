/** Errors: their codes and details, and that the store is as usable after each as before. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore, ChatStoreError } from 'chatstore';
import { importSource, rejection, root, temporaryFolder } from './support.mjs';

const said = (content, more = {}) => ({ sessionId: 's', role: 'user', content, ...more });

test('the codes and limits are the same here and in the core', async () => {
  const { errorCodes } = await importSource('js/client/errors.ts');
  const { limits } = await importSource('js/client/shapes.ts');
  const { createBindings } = await import(join(root, 'dist/wasm/bindings.js'));
  const { readFileSync } = await import('node:fs');
  const bindings = createBindings();
  bindings.initSync({ module: new WebAssembly.Module(readFileSync(join(root, 'dist/wasm/chatstore_bg.wasm'))) });
  assert.deepEqual(errorCodes, bindings.errorCodes());
  assert.deepEqual({ ...limits }, { ...bindings.limits() });
});

/** Every way to fail, what it fails with, and the details that go with it. */
const failures = {
  'a taken id': {
    run: (store) => store.bots.create({ id: 'b', name: 'other' }),
    code: 'CONSTRAINT_UNIQUE',
    details: { table: 'bots', column: 'id' },
  },
  'a taken name': {
    run: (store) => store.bots.create({ name: 'Ada' }),
    code: 'CONSTRAINT_UNIQUE',
    details: { table: 'bots', column: 'name' },
  },
  'a taken message id': {
    run: (store) => store.messages.add(said('x', { id: 'm' })),
    code: 'CONSTRAINT_UNIQUE',
    details: { table: 'messages' },
  },
  'a session without its bot': {
    run: (store) => store.sessions.create({ botId: 'nobody' }),
    code: 'CONSTRAINT_FOREIGN_KEY',
    details: { table: 'sessions' },
  },
  'a message without its session': {
    run: (store) => store.messages.add(said('x', { sessionId: 'none' })),
    code: 'CONSTRAINT_FOREIGN_KEY',
    details: { table: 'messages' },
  },
  'a message without its parent': {
    run: (store) => store.messages.add(said('x', { parentId: 'none' })),
    code: 'CONSTRAINT_FOREIGN_KEY',
    details: { table: 'messages' },
  },
  'malformed SQL': { run: (store) => store.query('SELECT * FRM messages'), code: 'INVALID_SQL', details: {} },
  'an unknown column': {
    run: (store) => store.query('SELECT nothing FROM messages'),
    code: 'INVALID_SQL',
    details: {},
  },
  'SQL that writes': { run: (store) => store.query('DELETE FROM messages'), code: 'QUERY_NOT_ALLOWED', details: {} },
  'SQL that attaches': { run: (store) => store.query("ATTACH 'x' AS y"), code: 'QUERY_NOT_ALLOWED', details: {} },
  'a forged cursor': { run: (store) => store.bots.list({ cursor: 'forged' }), code: 'INVALID_CURSOR', details: {} },
  'something unknown': { run: (store) => store.bots.update('none', { name: 'x' }), code: 'NOT_FOUND', details: {} },
  'a bad argument': {
    run: (store) => store.bots.create({ name: '' }),
    code: 'INVALID_ARGUMENT',
    details: { argument: 'bot.name' },
  },
  'a callback that throws': {
    run: (store) =>
      store.transaction(async (tx) => {
        await tx.messages.add(said('never'));
        throw new ChatStoreError('UNSUPPORTED', 'thrown by the callback');
      }),
    code: 'UNSUPPORTED',
    details: {},
  },
};

for (const [name, { run, code, details }] of Object.entries(failures)) {
  test(`${name} gives ${code}, changes nothing and leaves the store usable`, async (t) => {
    const path = join(temporaryFolder(), 'a.chat');
    const store = await ChatStore.open(path);
    t.after(() => store.close());
    await store.bots.create({ id: 'b', name: 'Ada' });
    await store.sessions.create({ id: 's', botId: 'b' });
    await store.messages.add(said('first', { id: 'm' }));
    const dump = async () => [
      await store.query('SELECT * FROM bots'),
      await store.query('SELECT * FROM sessions'),
      await store.query('SELECT * FROM messages'),
    ];
    const before = await dump();

    const error = await rejection(run(store));
    assert.ok(error instanceof ChatStoreError, String(error));
    assert.equal(error.name, 'ChatStoreError');
    assert.equal(error.code, code, error.message);
    for (const [key, value] of Object.entries(details))
      assert.equal(error.details[key], value, `${key} of ${JSON.stringify(error.details)}`);

    assert.deepEqual(await dump(), before);
    await store.transaction((tx) => tx.messages.add(said('second')));
    assert.equal((await store.messages.list({ sessionId: 's' })).items.length, 2);
    assert.deepEqual(await store.query('PRAGMA integrity_check'), [{ integrity_check: 'ok' }]);
  });
}

test('checks of the schema hold for what only the core can see', async (t) => {
  const store = await ChatStore.open(':memory:');
  t.after(() => store.close());
  await store.sessions.create({ id: 's' });
  await store.sessions.create({ id: 't' });
  await store.messages.add(said('x', { id: 'm' }));
  // A parent of another session is as unknown as one that does not exist.
  const error = await rejection(store.messages.add(said('y', { sessionId: 't', parentId: 'm' })));
  assert.equal(error.code, 'CONSTRAINT_FOREIGN_KEY');
  const head = await rejection(store.sessions.update('t', { headId: 'm' }));
  assert.ok(['CONSTRAINT_FOREIGN_KEY', 'NOT_FOUND'].includes(head.code), head.code);
});

test('the schema names the check, the not-null column and the table that a value fails', async () => {
  const { createBindings } = await import(join(root, 'dist/wasm/bindings.js'));
  const { readFileSync } = await import('node:fs');
  const { columnsOf, packColumns } = await importSource('js/client/pack.ts');
  const { CoreEvents } = await importSource('js/host/core.ts');
  const pack = (messages) => packColumns(columnsOf(messages));
  const bindings = createBindings();
  bindings.initSync({ module: new WebAssembly.Module(readFileSync(join(root, 'dist/wasm/chatstore_bg.wasm'))) });
  const instance = new bindings.Instance(null, ':memory:', {});
  let last = 0;
  /** Calls a verb and has it done; throws its error. */
  const call = (verb, args, rows) => {
    if (instance.submit(0, ++last, 0, 0, verb, 1_000, args, rows, undefined, 1, 0) !== undefined) return;
    instance.step(0);
    const events = new CoreEvents();
    instance.take(events);
    for (const { error } of events.take()) if (error !== undefined) throw error;
  };
  call('sessions.create', { id: 's' });
  // What the checks of the package let through to nobody, the core refuses by itself.
  for (const bad of [{ status: 'finished' }, { role: '' }, { id: '' }]) {
    let thrown;
    try {
      call('messages.add', undefined, pack([said('x', bad)]));
    } catch (error) {
      thrown = error;
    }
    assert.ok(
      ['CONSTRAINT_CHECK', 'CONSTRAINT_NOT_NULL', 'INVALID_ARGUMENT'].includes(thrown?.code),
      JSON.stringify([bad, thrown]),
    );
  }
  call('messages.add', undefined, pack([said('fine')]));
  instance.close();
  instance.free();
});

test('a closed store says so to every call, and closing again is fine', async () => {
  const store = await ChatStore.open(join(temporaryFolder(), 'a.chat'));
  await store.close();
  await store.close();
  await store[Symbol.asyncDispose]();
  const calls = [
    () => store.bots.list(),
    () => store.sessions.create(),
    () => store.messages.add(said('x')),
    () => store.search('x'),
    () => store.query('SELECT 1'),
    () => store.transaction(() => undefined),
    () => store.snapshot(() => undefined),
    () => store.messages.iterate({ sessionId: 's' }).next(),
  ];
  for (const call of calls) assert.equal((await rejection(call())).code, 'STORE_CLOSED');
});

test('calls that run when a store is closed settle before it is', async (t) => {
  const path = join(temporaryFolder(), 'a.chat');
  const store = await ChatStore.open(path);
  const calls = [
    store.sessions.create({ id: 's' }),
    ...Array.from({ length: 20 }, (_, i) => store.messages.add(said(String(i)))),
  ];
  const closed = store.close();
  await Promise.all(calls);
  await closed;
  const again = await ChatStore.open(path);
  t.after(() => again.close());
  assert.equal((await again.sessions.get('s')).messageCount, 20);
});
