/** Streaming replies: token by token, their ends, halves of characters, failures, and a killed process. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore, ChatStoreError } from 'chatstore';
import { rejection, root, runModule, runNode, seeded, temporaryFolder } from './support.mjs';

async function open(t, path = ':memory:') {
  const store = await ChatStore.open(path);
  t.after(() => store.close());
  await store.sessions.create({ id: 's' }, { ifExists: 'return' });
  return store;
}

const start = (store, id, options) => store.messages.start({ sessionId: 's', id }, options);
const read = (store, id) => store.messages.get({ sessionId: 's', id });
const thrown = (run) => {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('expected it to throw');
};
/** The reason that a signal aborts with; fails after many tries. The stream's own timers keep nothing alive. */
async function aborted(signal) {
  for (let i = 0; i < 1_000 && !signal.aborted; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(signal.aborted, 'the signal did not abort');
  return signal.reason;
}

/** Waits until a message has this content; fails after many tries. */
async function shows(store, id, content) {
  let message;
  for (let i = 0; i < 1_000; i++) {
    message = await read(store, id);
    if (message.content === content) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(message.content, content);
}

test('tokens are stored by themselves, and the end makes an ordinary message of them', async (t) => {
  const store = await open(t);
  const question = await store.messages.add({ sessionId: 's', role: 'user', content: 'Why?' });
  const stream = await store.messages.start(
    { sessionId: 's', id: 'm', model: 'x-1', metadata: { run: 1 }, createdAt: 7 },
    { flushIntervalMs: 1 },
  );
  assert.deepEqual(stream.ref, { sessionId: 's', id: 'm' });
  let content = '';
  for (const token of ['Because ', 'of ', 'the ', 'snow.']) {
    stream.append(token);
    content += token;
    await shows(store, 'm', content);
  }
  const partial = await read(store, 'm');
  assert.deepEqual(
    [partial.status, partial.role, partial.parentId, partial.model, partial.metadata, partial.createdAt],
    ['streaming', 'assistant', question.id, 'x-1', { run: 1 }, 7],
  );
  stream.append({ type: 'reasoning', delta: 'cold' });
  stream.append({ type: 'reasoning', delta: '?' });
  stream.append({ type: 'source', url: 'about:blank', nested: { a: [1, null, 'é'] } });
  const usage = { inputTokens: 2, outputTokens: 5 };
  const reply = await stream.finish({ usage, finishReason: 'stop' });
  assert.deepEqual(reply.parts, [
    { type: 'text', text: 'Because of the snow.' },
    { type: 'reasoning', text: 'cold?' },
    { type: 'source', url: 'about:blank', nested: { a: [1, null, 'é'] } },
  ]);
  assert.deepEqual([reply.status, reply.finishReason, reply.usage], ['complete', 'stop', usage]);
  assert.deepEqual(await read(store, 'm'), reply);
  assert.equal((await store.sessions.get('s')).preview, 'Because of the snow.');
  assert.equal((await store.search('snow')).items.length, 1);
  assert.equal(stream.signal.aborted, false);
});

test('a flush makes what came before it durable, and what comes meanwhile goes with the next', async (t) => {
  const path = join(temporaryFolder(), 'a.chat');
  const store = await open(t, path);
  const stream = await start(store, 'm', { flushIntervalMs: 60_000 });
  stream.append('one');
  assert.equal((await read(store, 'm')).content, '');
  const first = stream.flush();
  stream.append(' two');
  const second = stream.flush();
  stream.append(' three');
  await first;
  assert.ok((await read(store, 'm')).content.startsWith('one'));
  await second;
  assert.ok((await read(store, 'm')).content.startsWith('one two'));
  await stream.flush();
  assert.equal((await read(store, 'm')).content, 'one two three');
  await stream.flush();
  const rows = await store.query('SELECT count(*) AS rows FROM message_deltas');
  assert.ok(rows[0].rows <= 3, 'a flush of nothing writes nothing');
  await stream.finish();
});

test('what comes while a flush waits for its turn is stored by itself after it', async (t) => {
  const store = await open(t);
  const stream = await start(store, 'm', { flushIntervalMs: 1 });
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let began;
  const beginning = new Promise((resolve) => (began = resolve));
  const transaction = store.transaction(() => {
    began();
    return held;
  });
  await beginning;
  stream.append('one');
  const flushing = stream.flush();
  await new Promise((resolve) => setImmediate(resolve));
  stream.append(' two');
  release();
  await Promise.all([transaction, flushing]);
  await shows(store, 'm', 'one two');
  await stream.finish();
});

test('a long piece is stored without waiting for the interval', async (t) => {
  const store = await open(t);
  const stream = await start(store, 'm', { flushIntervalMs: 60_000 });
  const long = 'x'.repeat(70_000);
  stream.append(long);
  await shows(store, 'm', long);
  await stream.finish();
});

test('an abort keeps the partial as incomplete and aborts the signal at once', async (t) => {
  const store = await open(t);
  const stream = await start(store, 'm');
  stream.append('so far');
  const ending = stream.abort('stopped');
  assert.equal(stream.signal.aborted, true);
  assert.equal(stream.signal.reason.code, 'STREAM_ENDED');
  const message = await ending;
  assert.deepEqual([message.content, message.status, message.finishReason], ['so far', 'incomplete', 'stopped']);
});

test('after its end a reply takes nothing more', async (t) => {
  const store = await open(t);
  const stream = await start(store, 'm');
  stream.append('a');
  const finishing = stream.finish();
  assert.equal(thrown(() => stream.append('b')).code, 'STREAM_ENDED');
  await finishing;
  const error = thrown(() => stream.append('b'));
  assert(error instanceof ChatStoreError);
  assert.deepEqual(error.details, { sessionId: 's', id: 'm' });
  for (const call of [stream.flush(), stream.finish(), stream.abort()]) {
    assert.equal((await rejection(call)).code, 'STREAM_ENDED');
  }
  assert.equal((await read(store, 'm')).content, 'a');
});

test('the end may bring the content itself', async (t) => {
  const store = await open(t);
  const parts = [
    { type: 'text', text: 'final' },
    { type: 'source', id: 1 },
  ];
  const first = await start(store, 'm');
  first.append('draft');
  assert.deepEqual((await first.finish({ parts })).parts, parts);
  const second = await start(store, 'n');
  second.append({ type: 'source', id: 1 });
  const message = await second.finish({ content: 'text' });
  assert.deepEqual([message.content, message.parts], ['text', [{ type: 'text', text: 'text' }]]);
});

test('a character cut in two is put together, and a half without its other becomes U+FFFD', async (t) => {
  const store = await open(t);
  const [high, low] = ['\ud83d', '\ude00'];
  let count = 0;
  for (const { name, deltas, expected } of [
    { name: 'two pieces', deltas: [`a${high}`, `${low}b`], expected: [{ type: 'text', text: 'a😀b' }] },
    { name: 'one unit a piece', deltas: [high, low], expected: [{ type: 'text', text: '😀' }] },
    { name: 'an empty piece between', deltas: [high, '', low], expected: [{ type: 'text', text: '😀' }] },
    { name: 'at the end', deltas: [`a${high}`], expected: [{ type: 'text', text: 'a\ufffd' }] },
    { name: 'nothing that fits', deltas: [`a${high}`, 'b'], expected: [{ type: 'text', text: 'a\ufffdb' }] },
    { name: 'two halves of one kind', deltas: [high, high, low], expected: [{ type: 'text', text: '\ufffd😀' }] },
    {
      name: 'another part',
      deltas: [`a${high}`, { type: 'reasoning', delta: 'b' }],
      expected: [
        { type: 'text', text: 'a\ufffd' },
        { type: 'reasoning', text: 'b' },
      ],
    },
    {
      name: 'of another type',
      deltas: [
        { type: 'reasoning', delta: high },
        { type: 'reasoning', delta: low },
      ],
      expected: [{ type: 'reasoning', text: '😀' }],
    },
  ]) {
    for (const flushing of [false, true]) {
      const stream = await start(store, `m${count++}`, { flushIntervalMs: 0 });
      for (const delta of deltas) {
        stream.append(delta);
        if (flushing) await stream.flush();
      }
      assert.deepEqual((await stream.finish()).parts, expected, name);
    }
  }
});

test('no split of a text changes what is stored', async (t) => {
  const store = await open(t);
  const text = 'a😀é👩‍👩‍👧日\u{10ffff}z';
  for (let size = 1; size <= 3; size++) {
    const stream = await start(store, `by ${size}`, { flushIntervalMs: 0 });
    for (let at = 0; at < text.length; at += size) {
      stream.append({ type: 'text', delta: text.slice(at, at + size) });
      if (at % 2 === 0) await stream.flush();
    }
    assert.equal((await stream.finish()).content, text);
  }
});

test('concurrent replies do not mix', async (t) => {
  const store = await open(t);
  const seed = 7;
  const chance = seeded(seed);
  const streams = await Promise.all(
    Array.from({ length: 20 }, (_, i) => start(store, `m${i}`, { flushIntervalMs: i % 4 })),
  );
  const sent = streams.map(() => '');
  for (let i = 0; i < 2_000; i++) {
    const at = Math.floor(chance() * streams.length);
    const token = `${at}:${i} `;
    sent[at] += token;
    streams[at].append(token);
    if (chance() < 0.05) await streams[at].flush();
    if (chance() < 0.02) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const messages = await Promise.all(streams.map((stream) => stream.finish()));
  assert.deepEqual(
    messages.map((message) => message.content),
    sent,
    `seed ${seed}`,
  );
  assert.deepEqual(await store.query('SELECT * FROM message_deltas'), []);
});

test('regenerate makes a sibling of the reply', async (t) => {
  const store = await open(t);
  await store.messages.add({ sessionId: 's', role: 'user', content: 'A number?' });
  const first = await store.messages.add({ sessionId: 's', role: 'assistant', content: '4' });
  const stream = await store.messages.regenerate(first, { id: 'again', model: 'y' });
  stream.append('7');
  const second = await stream.finish();
  assert.deepEqual(
    [second.parentId, second.role, second.id, second.model],
    [first.parentId, 'assistant', 'again', 'y'],
  );
  assert.equal((await rejection(store.messages.regenerate({ sessionId: 's', id: 'none' }))).code, 'NOT_FOUND');
});

test('arguments are checked at once', async (t) => {
  const store = await open(t);
  const stream = await start(store, 'm');
  for (const [delta, argument] of [
    [undefined, 'delta'],
    [7, 'delta'],
    [{ delta: 'x' }, 'delta.type'],
    [{ type: '', delta: 'x' }, 'delta.type'],
    [{ type: 'x', when: new Date() }, 'delta.when'],
    ['\ud83d in the middle', 'delta'],
    ['\ude00', 'delta'],
  ]) {
    const error = thrown(() => stream.append(delta));
    assert.deepEqual([error.code, error.details.argument], ['INVALID_ARGUMENT', argument], error.message);
  }
  for (const call of [
    () => store.messages.start({}),
    () => store.messages.start({ sessionId: 's', content: 'x' }),
    () => store.messages.start({ sessionId: 's' }, { flushIntervalMs: -1 }),
    () => stream.finish({ content: 'a', parts: [] }),
    () => stream.finish({ finshReason: 'stop' }),
    () => stream.abort(7),
  ]) {
    assert.equal((await rejection(call())).code, 'INVALID_ARGUMENT');
  }
  stream.append('still open');
  assert.equal((await stream.finish()).content, 'still open');
});

test('a transaction begins no reply', async (t) => {
  const store = await open(t);
  const error = await rejection(store.transaction((tx) => tx.messages.start({ sessionId: 's' })));
  assert.equal(error.code, 'TRANSACTION_STATE');
  assert.deepEqual(await store.query('SELECT id FROM messages'), []);
});

test('the signal aborts where somebody else ends or deletes the reply, or the store closes', async (t) => {
  const store = await open(t);
  const taken = await start(store, 'taken', { flushIntervalMs: 1 });
  const deleted = await start(store, 'deleted', { flushIntervalMs: 1 });
  await store.messages.update(taken.ref, { content: 'by hand' });
  await store.messages.delete(deleted.ref, { permanent: true });
  for (const [stream, code] of [
    [taken, 'STREAM_ENDED'],
    [deleted, 'NOT_FOUND'],
  ]) {
    stream.append('more');
    assert.equal((await aborted(stream.signal)).code, code);
    assert.equal(thrown(() => stream.append('x')).code, code);
    for (const call of [stream.flush(), stream.finish(), stream.abort()]) {
      assert.equal((await rejection(call)).code, code);
    }
  }
  const other = await ChatStore.open(':memory:');
  await other.sessions.create({ id: 's' });
  const open_still = await start(other, 'm', { flushIntervalMs: 1 });
  await other.close();
  open_still.append('too late');
  assert.equal((await aborted(open_still.signal)).code, 'STORE_CLOSED');
});

test('what is not stored yet is bounded', async (t) => {
  const store = await open(t);
  const stream = await start(store, 'm', { flushIntervalMs: 60_000 });
  const chunk = 'x'.repeat(16 * 1024 * 1024);
  for (let i = 0; i < 3; i++) stream.append(chunk);
  stream.append(chunk.slice(4_096));
  const error = thrown(() => stream.append(chunk));
  assert.deepEqual([error.code, error.details.argument], ['TOO_LARGE', 'delta']);
  // Stored, it makes room again; but a message cannot be longer either.
  await stream.flush();
  stream.append(chunk);
  assert.equal((await rejection(stream.flush())).code, 'TOO_LARGE');
  assert.equal(stream.signal.reason.code, 'TOO_LARGE');
  assert.equal((await read(store, 'm')).content.length, 4 * chunk.length - 4_096);
});

/** What a store that is opened from now on finds in `node:fs`. */
function useFs(functions) {
  Object.assign(fs, functions);
  syncBuiltinESMExports();
}

/** Opens a store whose disk can be made full. */
async function openOnDisk(t) {
  const disk = { full: false };
  const { writeSync, writevSync } = fs;
  const unlessFull =
    (run) =>
    (...args) => {
      if (!disk.full) return run(...args);
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    };
  useFs({ writeSync: unlessFull(writeSync), writevSync: unlessFull(writevSync) });
  try {
    return { disk, store: await open(t, join(temporaryFolder(), 'a.chat')) };
  } finally {
    useFs({ writeSync, writevSync });
  }
}

test('on a full disk nothing is lost: it is kept and stored once there is room', async (t) => {
  const { disk, store } = await openOnDisk(t);
  const stream = await start(store, 'm', { flushIntervalMs: 1 });
  stream.append('one ');
  await stream.flush();
  disk.full = true;
  stream.append('two ');
  assert.equal((await rejection(stream.flush())).code, 'DISK_FULL');
  stream.append('three ');
  stream.append('four');
  assert.equal((await rejection(stream.finish())).code, 'DISK_FULL');
  assert.equal(stream.signal.aborted, false);
  disk.full = false;
  // By itself, without a further call.
  await shows(store, 'm', 'one two three four');
  assert.equal((await stream.finish()).content, 'one two three four');
});

test('where the disk stays full the signal aborts, and the end can still be had later', async (t) => {
  const { disk, store } = await openOnDisk(t);
  const stream = await start(store, 'm', { flushIntervalMs: 1 });
  stream.append('kept');
  disk.full = true;
  let refused = 0;
  for (let i = 0; i < 10 && !stream.signal.aborted; i++) {
    assert.equal((await rejection(stream.flush())).code, 'DISK_FULL');
    refused++;
  }
  assert.ok(refused > 1, 'not at the first failure');
  assert.equal(stream.signal.reason.code, 'DISK_FULL');
  assert.equal(thrown(() => stream.append('x')).code, 'DISK_FULL');
  disk.full = false;
  const message = await stream.abort('disk full');
  assert.deepEqual([message.content, message.status], ['kept', 'incomplete']);
});

test('a reply that waits to be stored does not keep the process alive', async () => {
  const source = `
    import { ChatStore } from 'chatstore';
    const store = await ChatStore.open(':memory:');
    await store.sessions.create({ id: 's' });
    const stream = await store.messages.start({ sessionId: 's' }, { flushIntervalMs: 60000 });
    stream.append('x');
    console.log(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length);
    process.exit(0);`;
  const { code, lines, errors } = await runModule(source);
  assert.deepEqual([code, lines, errors], [0, ['0'], '']);
});

test('a process killed in mid-reply loses no token that was flushed, and the partial is incomplete', async (t) => {
  const seed = Number(process.env.CHATSTORE_TEST_SEED ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} plans the same kills again`);
  const chance = seeded(seed);
  const path = join(temporaryFolder(), 'a.chat');
  for (let round = 0; round < 8; round++) {
    const after_lines = 1 + Math.floor(chance() * 40);
    let seen = 0;
    const { lines, errors, signal } = await runNode([join(root, 'tests/js/stream_writer.mjs'), path, String(round)], {
      on_line: (_, child) => void (++seen === after_lines && child.kill('SIGKILL')),
    });
    assert.deepEqual([errors, signal], ['', 'SIGKILL']);
    const store = await ChatStore.open(path);
    for (const name of ['a', 'b']) {
      const id = `${name}${round}`;
      const flushed = lines.filter((line) => line.startsWith(`${id} `)).map((line) => Number(line.split(' ')[1]));
      const message = await read(store, id);
      const told = `round ${round} of seed ${seed}, ${id}`;
      assert.equal(message.status, 'incomplete', told);
      const tokens = message.content.split(' ').slice(0, -1).map(Number);
      assert.deepEqual(tokens, [...tokens.keys()], `${told}: in order, none missing, none twice`);
      assert.ok(tokens.length > (flushed.at(-1) ?? -1), `${told}: ${tokens.length} of ${flushed.at(-1)}`);
    }
    assert.deepEqual(await store.query('PRAGMA integrity_check'), [{ integrity_check: 'ok' }]);
    assert.deepEqual(await store.query('SELECT * FROM message_deltas'), []);
    await store.close();
  }
});
