/** Stores in files: who may open what, what is left untouched, and that the plain tools read it. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ChatStore } from 'chatstore';
import { rejection, runModule, temporaryFolder } from './support.mjs';

const said = (content, more = {}) => ({ sessionId: 's', role: 'user', content, ...more });

/** A closed store with one session and some messages. */
async function makeStore(path, count = 3) {
  const store = await ChatStore.open(path);
  await store.sessions.create({ id: 's' });
  await store.messages.addMany(Array.from({ length: count }, (_, i) => said(`message ${i}`)));
  await store.close();
}

/** Runs SQL with the plain shell; rows of text, columns parted by |. */
function plainSqlite(path, sql) {
  const result = spawnSync('sqlite3', [path, sql], { encoding: 'utf8' });
  assert.equal(result.status, 0, `${result.error ?? ''}${result.stderr}`);
  return result.stdout.trim();
}

test('a store is opened by a path, a relative path or a file URL', async () => {
  const path = join(temporaryFolder(), 'a b é.chat');
  await makeStore(path);
  for (const name of [path, relative(process.cwd(), path), pathToFileURL(path)]) {
    const store = await ChatStore.open(name);
    assert.equal((await store.sessions.get('s')).messageCount, 3);
    assert.deepEqual(
      { ...store.info, sqliteVersion: '', generation: '', epoch: 0 },
      {
        backend: 'node',
        path,
        ephemeral: false,
        durability: 'strict',
        schemaVersion: 1,
        sqliteVersion: '',
        pageSizeBytes: 4096,
        generation: '',
        epoch: 0,
        role: 'owner',
        persisted: null,
        quotaBytes: null,
        usageBytes: null,
      },
    );
    await store.close();
  }
});

test('a store in memory says that it is ephemeral, and two of them do not meet', async () => {
  const [one, two] = [await ChatStore.open(':memory:'), await ChatStore.open(':memory:')];
  const { backend, ephemeral, durability, path } = one.info;
  assert.deepEqual([backend, ephemeral, durability, path], ['memory', true, 'memory', ':memory:']);
  await one.sessions.create({ id: 's' });
  assert.equal(await two.sessions.get('s'), null);
  await Promise.all([one.close(), two.close()]);
  assert.equal(existsSync(':memory:'), false);
});

test('a store of the durability memory makes no file, and is shared by its name in this process only', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  for (const worker of [false, true]) {
    const options = { durability: 'memory', worker };
    const [one, two] = [await ChatStore.open(path, options), await ChatStore.open(path, options)];
    const { backend, ephemeral, durability } = one.info;
    assert.deepEqual([backend, ephemeral, durability, one.info.path], ['memory', true, 'memory', path]);
    await one.sessions.create({ id: 's' });
    assert.equal((await two.sessions.get('s')).id, 's');
    assert.deepEqual(readdirSync(folder), []);
    await one.close();
    assert.equal((await two.sessions.get('s')).id, 's');
    await two.close();
    const again = await ChatStore.open(path, options);
    assert.equal(await again.sessions.get('s'), null, 'nothing was kept');
    await again.close();
    assert.deepEqual(readdirSync(folder), []);
  }
});

test('a file is not hidden by a store in memory of its name', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const memory = await ChatStore.open(path, { durability: 'memory' });
  await memory.sessions.create({ id: 'in memory' });
  const store = await ChatStore.open(path);
  assert.equal(store.info.durability, 'strict');
  await store.sessions.create({ id: 'in the file' });
  assert.equal(await store.sessions.get('in memory'), null);
  assert.equal(await memory.sessions.get('in the file'), null);
  await Promise.all([memory.close(), store.close()]);
  const error = await rejection(ChatStore.open(path, { durability: 'memory' }));
  assert.deepEqual([error.code, error.details.argument], ['INVALID_ARGUMENT', 'durability']);
});

test('a durability can be chosen, and nothing else', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const store = await ChatStore.open(path, { durability: 'relaxed' });
  assert.equal(store.info.durability, 'relaxed');
  await store.close();
  assert.equal((await rejection(ChatStore.open(path, { durability: 'none' }))).details.argument, 'durability');
  assert.equal((await rejection(ChatStore.open(path, { durabilty: 'strict' }))).details.argument, 'durabilty');
  for (const wrong of ['', 5, null, 'a\0b', new URL('http://x/y')]) {
    const error = await rejection(ChatStore.open(wrong));
    assert.deepEqual([error.code, error.details.argument], ['INVALID_ARGUMENT', 'path']);
  }
  assert.equal((await rejection(ChatStore.open(path, { signal: AbortSignal.abort() }))).code, 'ABORTED');
});

test('a directory that does not exist, or a path that is one, is a clear error', async () => {
  const folder = temporaryFolder();
  const error = await rejection(ChatStore.open(join(folder, 'none', 'a.chat')));
  assert.equal(error.code, 'IO_ERROR');
  assert.ok(error.message.includes(join(folder, 'none')), error.message);
  const path = join(folder, 'folder');
  mkdirSync(path);
  assert.equal((await rejection(ChatStore.open(path))).code, 'IO_ERROR');
  assert.deepEqual(readdirSync(folder), ['folder']);
});

test('a file that is opened twice in a process, by whatever name, gives two handles on one host', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  const store = await ChatStore.open(path);
  await store.sessions.create({ id: 's' });
  symlinkSync(path, join(folder, 'link.chat'));
  for (const name of [path, join(folder, 'x', '..', 'a.chat'), join(folder, 'link.chat')]) {
    const other = await ChatStore.open(name);
    assert.deepEqual([other.info.path, other.info.role], [path, 'owner']);
    await other.messages.add(said('by another handle'));
    await other.close();
    assert.equal((await rejection(other.sessions.get('s'))).code, 'STORE_CLOSED');
  }
  assert.equal((await store.sessions.get('s')).messageCount, 3);
  assert.equal((await rejection(ChatStore.destroy(path))).code, 'STORE_LOCKED');
  await store.close();
  assert.deepEqual(readdirSync(folder).toSorted(), ['a.chat', 'link.chat']);
  await ChatStore.destroy(path);
});

test('of many that open a new file at once all get it, and the file is sound', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const stores = await Promise.all(Array.from({ length: 10 }, () => ChatStore.open(path)));
  await stores[0].sessions.create({ id: 's' });
  await Promise.all(stores.map((store, i) => store.messages.add(said(String(i)))));
  assert.equal((await stores[9].sessions.get('s')).messageCount, 10);
  await Promise.all(stores.map((store) => store.close()));
  assert.equal(plainSqlite(path, 'PRAGMA integrity_check'), 'ok');
});

test('a store that is open keeps no process alive, and what was written is there', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const source = `
    import { ChatStore } from 'chatstore';
    const store = await ChatStore.open(process.argv[1]);
    await store.sessions.create({ id: 's' });
    await store.messages.add({ sessionId: 's', role: 'user', content: 'kept' });
  `;
  const { code, errors } = await runModule(source, path);
  assert.deepEqual([code, errors], [0, '']);
  const store = await ChatStore.open(path);
  assert.equal((await store.sessions.get('s')).preview, 'kept');
  await store.close();
});

test('a closed file is one file, which the plain tools read and find sound', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  await makeStore(path, 200);
  const store = await ChatStore.open(path);
  await store.search('message');
  await store.messages.edit(
    { sessionId: 's', id: (await store.messages.list({ sessionId: 's' })).items[0].id },
    { content: 'é😀\0x' },
  );
  await store.close();
  assert.deepEqual(readdirSync(folder), ['a.chat']);
  assert.equal(plainSqlite(path, 'PRAGMA integrity_check'), 'ok');
  assert.equal(plainSqlite(path, 'PRAGMA foreign_key_check'), '');
  assert.equal(plainSqlite(path, 'SELECT count(*), sum(length(CAST(text AS BLOB)) > 0) FROM messages'), '201|201');
  assert.equal(plainSqlite(path, 'SELECT hex(text) FROM messages WHERE seq = 201'), 'C3A9F09F98800078');
  assert.equal(plainSqlite(path, "SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'message'"), '200');
});

/** Opens what must not be opened; the folder is the same byte for byte afterwards. */
async function refusedUntouched(path, code) {
  const folder = join(path, '..');
  const state = () =>
    readdirSync(folder).map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    ]);
  const before = state();
  const error = await rejection(ChatStore.open(path));
  assert.equal(error.code, code, error.message);
  assert.ok(error.message.includes(path), error.message);
  assert.deepEqual(state(), before);
  return error;
}

test('a file of a newer schema is refused and stays as it is, byte for byte', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  await makeStore(path);
  const bytes = readFileSync(path);
  bytes.writeUInt32BE(99, 60);
  writeFileSync(path, bytes);
  const error = await refusedUntouched(path, 'SCHEMA_TOO_NEW');
  assert.match(error.message, /99/);
});

test('a file that is no store is refused and stays as it is, byte for byte', async () => {
  const folder = temporaryFolder();
  await makeStore(join(folder, 'source.chat'));
  const foreign = readFileSync(join(folder, 'source.chat'));
  foreign.writeUInt32BE(0, 68);
  const files = {
    text: Buffer.from('These are my notes.\n'.repeat(50)),
    short: Buffer.from('x'),
    zeros: Buffer.alloc(8192),
    'other-sqlite': foreign,
    'header-only': Buffer.from('SQLite format 3\0'),
  };
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    await refusedUntouched(path, 'NOT_A_STORE');
    const error = await rejection(ChatStore.destroy(path));
    assert.equal(error.code, 'NOT_A_STORE');
    assert.ok(existsSync(path));
  }
});

test('a file that was refused is not locked afterwards', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  writeFileSync(path, 'no store');
  for (let i = 0; i < 3; i++) assert.equal((await rejection(ChatStore.open(path))).code, 'NOT_A_STORE');
  writeFileSync(path, '');
  await (await ChatStore.open(path)).close();
});

test('destroy removes the file and what lies beside it, and nothing where there is nothing', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  await ChatStore.destroy(path);
  await makeStore(path);
  writeFileSync(`${path}-wal`, '');
  writeFileSync(join(folder, 'a.chat.other'), 'kept');
  await ChatStore.destroy(path);
  assert.deepEqual(readdirSync(folder), ['a.chat.other']);
  await ChatStore.destroy(':memory:');
});

test('10,000 messages of every kind are read back by another process byte for byte', async () => {
  const path = join(temporaryFolder(), 'a.chat');
  const strange = [
    '',
    '\0',
    'a\0b',
    '😀👩‍👩‍👧‍👦',
    '\uFEFFmark',
    'é\u0301',
    '\u0002\u0003',
    '日本語',
    '\uFFFF',
    'x'.repeat(5000),
  ];
  const given = Array.from({ length: 10_000 }, (_, i) => ({
    sessionId: 's',
    id: `m-${i} ${strange[i % 7]}`,
    role: i % 2 === 0 ? 'user' : 'assistant',
    createdAt: 1_700_000_000_000 + i,
    ...(i % 5 === 0
      ? {
          parts: [
            { type: 'text', text: strange[i % 10] },
            { type: 'data', value: { i, text: strange[(i + 3) % 10], none: null } },
          ],
        }
      : { content: i % 2500 === 1 ? `${'1 MB of 😀 '.repeat(80_000)}${i}` : `${strange[i % 10]} ${i}` }),
    ...(i % 3 === 0
      ? { metadata: { i, [strange[i % 10]]: [null, true, 0.1] }, usage: { inputTokens: i, costUsd: i / 7 } }
      : {}),
    ...(i % 4 === 0
      ? { model: null, finishReason: null, error: null, botId: null }
      : { model: 'large-1', finishReason: 'stop' }),
  }));
  const store = await ChatStore.open(path);
  await store.sessions.create({ id: 's' });
  await store.messages.addMany(given.slice(0, 6000));
  for (let i = 6000; i < 10_000; i += 400) await store.messages.addMany(given.slice(i, i + 400));
  await store.close();

  const source = `
    import { createHash } from 'node:crypto';
    import { ChatStore } from 'chatstore';
    const store = await ChatStore.open(process.argv[1]);
    const hash = createHash('sha256');
    let count = 0;
    for await (const m of store.messages.iterate({ sessionId: 's' })) {
      count++;
      hash.update(JSON.stringify([m.id, m.role, m.createdAt, m.parts, m.metadata, m.usage, m.model, m.finishReason, m.error, m.botId, m.status]) + '\\n');
    }
    console.log(count, hash.digest('hex'));
    console.log(JSON.stringify(await store.query('PRAGMA integrity_check')), JSON.stringify(await store.query('PRAGMA foreign_key_check')));
    await store.close();
  `;
  const { lines, errors, code } = await runModule(source, path);
  assert.deepEqual([code, errors], [0, '']);
  const hash = createHash('sha256');
  for (const m of given) {
    const parts = m.parts ?? [{ type: 'text', text: m.content }];
    const fields = [
      m.id,
      m.role,
      m.createdAt,
      parts,
      m.metadata ?? null,
      m.usage ?? null,
      m.model,
      m.finishReason,
      m.error ?? null,
      null,
      'complete',
    ];
    hash.update(`${JSON.stringify(fields)}\n`);
  }
  assert.deepEqual(lines, [`10000 ${hash.digest('hex')}`, '[{"integrity_check":"ok"}] []']);
});
