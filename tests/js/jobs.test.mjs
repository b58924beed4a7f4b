/** Checks, copies and replacements that are interrupted: by a deadline, a signal, each other, or a lost owner. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is the point */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { filled, ids } from './stores.mjs';
import { rejection, startPeer, temporaryFolder } from './support.mjs';

/** The bytes of a store with so many messages. */
async function bytesOf(messages) {
  const path = join(temporaryFolder(), 'other.chat');
  await (await filled(path, messages)).close();
  return readFileSync(path);
}

/** A store in this process whose file another process owns. */
async function client(t, messages, options = {}) {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  await (await filled(path, messages)).close();
  const owner = await startPeer();
  t.after(() => owner.kill());
  await owner.run(`state.store = await ChatStore.open(args.path)`, { path });
  const store = await ChatStore.open(path, options);
  assert.equal(store.info.role, 'client');
  return { folder, path, owner, store };
}

/** A stream that gives its pieces one by one, each when it is let go. */
function gated(pieces) {
  const asked = [];
  const source = new ReadableStream(
    {
      async pull(controller) {
        await new Promise((resolve) => asked.push(resolve));
        const piece = pieces.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    },
    { highWaterMark: 0 },
  );
  const letGo = async () => {
    for (let i = 0; asked.length === 0 && i < 10_000; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    asked.shift()();
  };
  return { source, letGo };
}

const never = () => new Promise(() => undefined);

test('the time of a whole job is bounded, what lies beyond the store included', async () => {
  const store = await filled(join(temporaryFolder(), 'a.chat'), 300);
  for (const run of [
    (options) => store.backup(new WritableStream({ write: never }), options),
    (options) => store.replaceWith(new ReadableStream({ pull: never }), options),
  ]) {
    const late = await rejection(run({ timeoutMs: 50 }));
    assert.deepEqual([late.code, late.outcome], ['TIMEOUT', 'not-applied']);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const aborted = await rejection(run({ signal: controller.signal }));
    assert.deepEqual([aborted.code, aborted.outcome], ['ABORTED', 'not-applied']);
  }
  // What a job left behind would be in the way of closing.
  assert.equal((await store.stats()).pool.inUse, 0);
  await store.close();
});

test('a job waits for an open transaction no longer than it may', async () => {
  const store = await filled(join(temporaryFolder(), 'a.chat'), 5);
  const content = await bytesOf(10);
  await store.transaction(async (tx) => {
    const late = await rejection(store.replaceWith(content, { timeoutMs: 50 }));
    assert.deepEqual([late.code, late.outcome], ['TIMEOUT', 'not-applied']);
    await tx.sessions.create({ id: 'kept' });
  });
  assert.equal((await ids(store)).length, 5);
  await store.replaceWith(content, { timeoutMs: 60_000 });
  assert.equal((await ids(store)).length, 10);
  await store.close();
});

test('a replacement that is given up makes way for the next at once', async () => {
  const store = await filled(join(temporaryFolder(), 'a.chat'), 5);
  const content = await bytesOf(10);
  const late = await rejection(store.replaceWith(new ReadableStream({ pull: never }), { timeoutMs: 20 }));
  assert.equal(late.code, 'TIMEOUT');
  for (const task of ['send', 'check', 'ready']) {
    const controller = new AbortController();
    const error = await rejection(
      store.replaceWith(content, {
        signal: controller.signal,
        onProgress: (progress) => progress.task === task && controller.abort(),
      }),
    );
    assert.deepEqual([error.code, error.outcome], ['ABORTED', 'not-applied'], task);
    assert.equal((await ids(store)).length, 5);
  }
  await store.replaceWith(content);
  assert.equal((await ids(store)).length, 10);
  await store.close();
});

test('of two replacements at once the later one is told so, on one handle and from two processes', async (t) => {
  const { owner, store, path } = await client(t, 5);
  const content = await bytesOf(10);
  const { source, letGo } = gated([content.subarray(0, 5_000), content.subarray(5_000)]);
  const first = store.replaceWith(source);
  await letGo();
  const [here, there] = [
    await rejection(store.replaceWith(content)),
    await rejection(owner.run(`await state.store.replaceWith({ path: args.path })`, { path: `${path}.none` })),
  ];
  assert.deepEqual([here.code, here.outcome], ['BUSY', 'not-applied']);
  assert.equal(there.code, 'BUSY');
  await letGo();
  await letGo();
  await first;
  assert.equal((await ids(store)).length, 10);
  await store.close();
});

test('a piece of a replacement whose owner was lost does not go into another one', async (t) => {
  const { owner, store } = await client(t, 5);
  const lost = gated([Buffer.alloc(5_000, 1), Buffer.alloc(5_000, 2)]);
  let sent;
  const is_sent = new Promise((resolve) => (sent = resolve));
  const first = rejection(store.replaceWith(lost.source, { onProgress: sent }));
  await lost.letGo();
  await is_sent;
  await owner.kill();
  const content = await bytesOf(10);
  const whole = gated([content.subarray(0, 10_000), content.subarray(10_000)]);
  const second = store.replaceWith(whole.source);
  await whole.letGo();
  await lost.letGo();
  const error = await first;
  assert.deepEqual([error.code, error.outcome], ['TRANSACTION_STATE', 'not-applied']);
  await whole.letGo();
  await whole.letGo();
  await second;
  assert.equal((await ids(store)).length, 10);
  assert.equal((await store.verify()).ok, true);
  await store.close();
});

test('a replacement whose owner is killed in its last step says whether it was done', async (t) => {
  const content = await bytesOf(3_000);
  const seen = { done: 0, lost: 0 };
  for (let round = 0; round < 8; round++) {
    const { owner, store, folder } = await client(t, 700);
    const onProgress = ({ task }) => {
      if (task === 'ready') setTimeout(() => owner.signal('SIGKILL'), round * 4);
    };
    const result = await store.replaceWith(content, { onProgress }).catch((error) => error);
    await owner.ended;
    if (result instanceof Error) {
      seen.lost++;
      assert.deepEqual([result.code, result.outcome], ['TRANSACTION_STATE', 'not-applied']);
      assert.equal((await ids(store)).length, 700);
    } else {
      seen.done++;
      assert.equal((await ids(store)).length, 3_000);
      assert.equal(readFileSync(result.keptPath).length, result.keptBytes);
    }
    await store.close();
    assert.deepEqual(
      readdirSync(folder).filter((name) => !name.includes('.replaced-')),
      ['a.chat'],
    );
  }
  assert.equal(seen.done + seen.lost, 8);
});

test('a signal that aborts the last step after it was sent does not say that nothing was done', async (t) => {
  const { owner, store } = await client(t, 5);
  const controller = new AbortController();
  const onProgress = ({ task }) => {
    if (task !== 'ready') return;
    owner.signal('SIGSTOP');
    setTimeout(() => controller.abort(), 50);
  };
  const error = await rejection(store.replaceWith(await bytesOf(10), { signal: controller.signal, onProgress }));
  owner.signal('SIGCONT');
  assert.deepEqual([error.code, error.outcome], ['ABORTED', 'unknown']);
  assert.ok([5, 10].includes((await ids(store)).length));
  await store.close();
});

test('a check and a copy begin anew where the owner is killed', async (t) => {
  const { owner, store, folder } = await client(t, 3_000);
  const copy = join(folder, 'copy.chat');
  const { sizeBytes } = await store.backup({ path: copy }, { onProgress: () => owner.signal('SIGKILL') });
  assert.equal(store.info.role, 'owner');
  assert.equal(readFileSync(copy).length, sizeBytes);
  const opened = await ChatStore.open(copy);
  assert.equal((await ids(opened)).length, 3_000);
  await opened.close();
  await store.close();

  const next = await client(t, 3_000);
  const report = await next.store.verify({ onProgress: () => next.owner.signal('SIGKILL') });
  assert.deepEqual([report.ok, report.checked.messages], [true, 3_000]);
  await next.store.close();
});

test('a copy that cannot be taken back, or may not be tried again, ends with its owner', async (t) => {
  for (const [retries, target] of [
    [0, (folder) => ({ path: join(folder, 'copy.chat') })],
    [3, () => new WritableStream({ write: () => undefined })],
  ]) {
    const { owner, store, folder } = await client(t, 3_000, { retries });
    const copying = store.backup(target(folder), { onProgress: () => owner.signal('SIGKILL') });
    assert.equal((await rejection(copying)).code, 'SNAPSHOT_EXPIRED');
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('copy')),
      [],
    );
    await store.close();
  }
});
