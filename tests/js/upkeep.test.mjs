/** Checking, copying, replacing and saving whole stores, on real files. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is the point */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readFileSync,
  readdirSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { filled, ids } from './stores.mjs';
import { rejection, runModule, startPeer, temporaryFolder } from './support.mjs';

test('a backup is the state of its beginning while writes go on, and opens anywhere', async () => {
  const folder = temporaryFolder();
  const store = await filled(join(folder, 'a.chat'), 3_000);
  const copy = join(folder, 'copy.chat');
  let written = 0;
  const progress = [];
  const { sizeBytes } = await store.backup(
    { path: copy },
    {
      onProgress: ({ done, expected }) => {
        progress.push([done, expected]);
        written++;
        void store.messages.add({ sessionId: 's', role: 'user', content: 'meanwhile' });
      },
    },
  );
  assert.ok(written > 1, 'in pieces');
  assert.deepEqual(progress.at(-1), [sizeBytes, sizeBytes]);
  assert.equal(readFileSync(copy).length, sizeBytes);
  assert.equal(execFileSync('sqlite3', [copy, 'PRAGMA integrity_check'], { encoding: 'utf8' }).trim(), 'ok');
  const opened = await ChatStore.open(copy);
  assert.equal((await ids(opened)).length, 3_000);
  assert.equal((await opened.verify()).ok, true);
  await opened.close();
  assert.equal((await ids(store)).length, 3_000 + written);
  const refused = await rejection(store.backup({ path: copy }));
  assert.equal(refused.code, 'INVALID_ARGUMENT');
  await store.backup({ path: copy }, { overwrite: true });
  await store.close();
});

test('a backup that is aborted leaves nothing behind', async () => {
  const folder = temporaryFolder();
  const store = await filled(join(folder, 'a.chat'), 3_000);
  const controller = new AbortController();
  const copy = store.backup(
    { path: join(folder, 'copy.chat') },
    { signal: controller.signal, onProgress: () => controller.abort() },
  );
  assert.equal((await rejection(copy)).code, 'ABORTED');
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('copy')),
    [],
  );
  assert.equal((await store.stats()).pool.inUse, 0);
  await store.close();
});

test('another process can copy and check the store, and give the copy to a stream', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  const store = await filled(path);
  const peer = await startPeer();
  const { role, bytes, ok } = await peer.run(
    `
    const store = await ChatStore.open(args.path);
    let bytes = 0;
    await store.backup(new WritableStream({ write: (piece) => void (bytes += piece.length) }));
    const { ok } = await store.verify();
    const { role } = store.info;
    await store.close();
    return { role, bytes, ok };
    `,
    { path },
  );
  assert.deepEqual([role, ok], ['client', true]);
  assert.ok(bytes > 100_000);
  await peer.kill();
  await store.close();
});

test('a replaced store shows the new content at once, and the old one is kept', async () => {
  const folder = temporaryFolder();
  const other = await filled(join(folder, 'other.chat'), 10);
  await other.close();
  const store = await filled(join(folder, 'a.chat'), 700);
  const { generation } = store.info;
  const report = await store.replaceWith({ path: join(folder, 'other.chat') });
  assert.notEqual(report.generation, generation);
  assert.equal((await ids(store)).length, 10);
  await store.messages.add({ sessionId: 's', role: 'user', content: 'goes on' });
  assert.equal((await store.verify()).ok, true);
  await store.close();
  const again = await ChatStore.open(join(folder, 'a.chat'));
  assert.equal((await ids(again)).length, 11);
  await again.close();
  const kept = await ChatStore.open(report.keptPath);
  assert.equal((await ids(kept)).length, 700);
  await kept.close();
  assert.equal(existsSync(join(folder, 'a.chat-incoming')), false);
});

test('what is no store, or a damaged one, replaces nothing', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  const store = await filled(path, 20);
  const other = join(folder, 'other.chat');
  await (await filled(other, 300)).close();
  const newer = readFileSync(other);
  newer.writeInt32BE(99, 60);
  const cut = readFileSync(other).subarray(0, 40_960);
  for (const [source, code] of [
    [new Uint8Array(5_000).fill(7), 'NOT_A_STORE'],
    [new Blob([]), 'NOT_A_STORE'],
    [new Blob([newer]).stream(), 'SCHEMA_TOO_NEW'],
    [cut, 'CORRUPT'],
  ]) {
    assert.equal((await rejection(store.replaceWith(source))).code, code);
    assert.equal((await ids(store)).length, 20);
    await store.messages.update({ sessionId: 's', id: 'm1' }, { metadata: { code } });
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => /incoming|replaced/.test(name)),
    [],
  );
  await store.close();
});

/** Changes a byte in the middle of the text of a message. */
function damage(path) {
  const at = readFileSync(path).indexOf('message 250 ');
  assert.ok(at > 0);
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, 'M', at);
  closeSync(descriptor);
  return Math.floor(at / 4096) + 1;
}

test('a changed byte is found when its page is read, and the file opens all the same', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  await (await filled(path)).close();
  // What changes bytes without the system knowing is the disk: the time of change stays.
  const { mtime } = statSync(path);
  const page = damage(path);
  utimesSync(path, mtime, mtime);
  const store = await ChatStore.open(path);
  const error = await rejection(ids(store));
  assert.deepEqual([error.code, error.details.page], ['CHECKSUM_MISMATCH', page]);
  assert.equal(error.message, `page ${page} of ${path} is not as it was written`);
  assert.equal((await store.messages.get({ sessionId: 's', id: 'm0' })).id, 'm0', 'other pages can be read');
  await store.sessions.create({ id: 'after' });
  const report = await store.verify();
  assert.equal(report.ok, false);
  assert.ok(report.problems.some((problem) => problem.kind === 'checksum' && problem.key === page));
  await store.close();
});

test('a file that the sqlite3 shell has changed is not called damaged', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  await (await filled(path)).close();
  execFileSync('sqlite3', [path, "UPDATE messages SET metadata = '{}' WHERE id LIKE 'm1%'"]);
  const notices = [];
  const store = await ChatStore.open(path, { onEvent: ({ type }) => notices.push(type) });
  assert.equal((await ids(store)).length, 500);
  assert.deepEqual((await store.messages.get({ sessionId: 's', id: 'm1' })).metadata, {});
  assert.equal((await store.verify()).ok, true);
  assert.deepEqual(notices, ['resealed']);
  await store.close();
});

test('a check of a file that another program has changed names its pages, and changes nothing', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  await (await filled(path)).close();
  execFileSync('sqlite3', [path, "UPDATE messages SET metadata = '{}' WHERE id = 'm250'"]);
  const before = readFileSync(path);
  const store = await ChatStore.open(path);
  const { ok, problems } = await store.verify();
  assert.deepEqual([ok, new Set(problems.map(({ kind }) => kind))], [false, new Set(['checksum'])]);
  await store.close();
  assert.ok(readFileSync(path).equals(before));
});

test('what is opened for reading only stays as it is, whatever lies in it', async () => {
  const folder = temporaryFolder();
  const [path, copy] = ['a.chat', 'copy.chat'].map((name) => join(folder, name));
  const made = await filled(path);
  // For reading only a search finds what is in the index already.
  await made.search('message');
  await made.backup({ path: copy });
  await made.close();
  for (const file of [path, copy]) {
    const before = [readFileSync(file), statSync(file).mtimeMs];
    const store = await ChatStore.open(file, { readOnly: true });
    assert.equal((await ids(store)).length, 500);
    assert.equal((await store.search('message')).items.length > 0, true);
    assert.equal((await store.verify()).ok, true);
    assert.equal((await rejection(store.sessions.create({ id: 'new' }))).code, 'READ_ONLY');
    assert.equal((await rejection(store.maintain())).code, 'READ_ONLY');
    assert.equal((await rejection(store.replaceWith(readFileSync(copy)))).code, 'READ_ONLY');
    const lock = file === path ? 'a.chat.lock' : 'copy.chat.lock';
    assert.deepEqual(readdirSync(folder).toSorted(), ['a.chat', 'copy.chat', lock].toSorted());
    await store.close();
    assert.deepEqual([readFileSync(file), statSync(file).mtimeMs], before);
  }
  assert.deepEqual(readdirSync(folder).toSorted(), ['a.chat', 'copy.chat']);
  const error = await rejection(ChatStore.open(join(folder, 'none.chat'), { readOnly: true }));
  assert.equal(error.code, 'NOT_FOUND');
  assert.equal(existsSync(join(folder, 'none.chat')), false);
  writeFileSync(join(folder, 'none.chat-journal'), 'of a file that is gone');
  const gone = await rejection(ChatStore.open(join(folder, 'none.chat'), { readOnly: true }));
  assert.deepEqual([gone.code, existsSync(join(folder, 'none.chat'))], ['NOT_FOUND', false]);
});

test('a process that comes while the file is open for reading only waits, and writes when it is closed', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  await (await filled(path)).close();
  const reading = await ChatStore.open(path, { readOnly: true });
  let opens = () => undefined;
  const opening = new Promise((resolve) => (opens = resolve));
  const peer = await startPeer({ on_told: opens });
  const writes = peer.run(
    `
    tell('opening');
    const store = await ChatStore.open(args.path);
    await store.messages.add({ sessionId: 's', role: 'user', content: 'new' });
    const { role } = store.info;
    await store.close();
    return role;
    `,
    { path },
  );
  let isDone = false;
  const done = writes.then((role) => {
    isDone = true;
    return role;
  });
  await opening;
  for (let times = 0; times < 20; times++) assert.equal((await ids(reading)).length, 500);
  assert.equal(isDone, false);
  await reading.close();
  assert.equal(await done, 'owner');
  await peer.kill();
});

test('what a killed process has left is read for reading only, and stays as it is', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const source = `
    import { ChatStore } from 'chatstore';
    const store = await ChatStore.open(process.argv[1]);
    await store.sessions.create({ id: 's' });
    await store.messages.add({ sessionId: 's', role: 'user', content: 'in the log' });
    process.kill(process.pid, 'SIGKILL');
  `;
  await runModule(source, path);
  writeFileSync(`${path}-incoming`, 'what it was about to put in its place');
  const files = [path, `${path}-wal`, `${path}-incoming`];
  const before = files.map((file) => readFileSync(file));
  const store = await ChatStore.open(path, { readOnly: true });
  assert.equal((await store.messages.list({ sessionId: 's' })).items[0].content, 'in the log');
  assert.equal((await store.verify()).ok, true);
  await store.close();
  assert.deepEqual(
    files.map((file) => readFileSync(file)),
    before,
  );
});

test('changes of another program are an error where nothing is to be changed', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  await (await filled(path)).close();
  execFileSync('sqlite3', [path, "UPDATE messages SET metadata = '{}' WHERE id LIKE 'm1%'"]);
  const before = readFileSync(path);
  const read = async () => {
    // It may have to read such a page to open the file.
    const store = await ChatStore.open(path, { readOnly: true });
    try {
      await ids(store);
    } finally {
      await store.close();
    }
  };
  assert.equal((await rejection(read())).code, 'CHECKSUM_MISMATCH');
  assert.ok(readFileSync(path).equals(before));
});

test('a backup that was damaged since takes no store’s place, as a file, as bytes and as a closed store', async () => {
  const folder = temporaryFolder();
  const [path, copy, other] = ['a.chat', 'copy.chat', 'other.chat'].map((name) => join(folder, name));
  const store = await filled(path);
  await store.backup({ path: copy });
  await store.close();
  cpSync(path, other, { preserveTimestamps: true });
  damage(copy);
  const { mtime } = statSync(other);
  damage(other);
  utimesSync(other, mtime, mtime);
  const target = await ChatStore.open(join(folder, 'target.chat'));
  await target.sessions.create({ id: 'kept' });
  for (const source of [{ path: copy }, readFileSync(copy), { path: other }]) {
    const error = await rejection(target.replaceWith(source));
    assert.deepEqual([error.code, error.outcome], ['CORRUPT', 'not-applied']);
    assert.match(error.message, /page \d+ did not match its checksum/);
  }
  assert.equal((await target.sessions.get('kept')).id, 'kept');
  await target.close();
});

test('a backup that the sqlite3 shell has changed takes a store’s place, and that it was changed is told', async () => {
  const folder = temporaryFolder();
  const [path, copy] = ['a.chat', 'copy.chat'].map((name) => join(folder, name));
  const store = await filled(path);
  await store.backup({ path: copy });
  await store.close();
  execFileSync('sqlite3', [copy, "UPDATE messages SET metadata = '{}' WHERE id = 'm1'"]);
  const notices = [];
  const target = await ChatStore.open(join(folder, 'target.chat'), { onEvent: ({ type }) => notices.push(type) });
  await target.replaceWith({ path: copy });
  assert.deepEqual((await target.messages.get({ sessionId: 's', id: 'm1' })).metadata, {});
  assert.deepEqual(notices, ['resealed']);
  assert.equal((await target.verify()).ok, true);
  await target.close();
});

test('what can be read of a damaged file is saved into a new one, and the damaged one stays as it is', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  await (await filled(path)).close();
  const bytes = readFileSync(path);
  bytes.fill(0, 0, 4096);
  writeFileSync(path, bytes);
  assert.equal((await rejection(ChatStore.open(path))).code, 'NOT_A_STORE');
  const report = await ChatStore.salvage(path, { to: join(folder, 'saved.chat') });
  assert.equal(report.tables.find((table) => table.name === 'messages').rows, 500);
  assert.deepEqual(readFileSync(path), bytes);
  const saved = await ChatStore.open(report.path);
  assert.equal((await ids(saved)).length, 500);
  assert.equal((await saved.verify()).ok, true);
  const locked = await rejection(ChatStore.salvage(report.path));
  assert.equal(locked.code, 'STORE_LOCKED');
  await saved.close();
  const exists = await rejection(ChatStore.salvage(path, { to: join(folder, 'saved.chat') }));
  assert.equal(exists.code, 'INVALID_ARGUMENT');
});
