/** Several processes on one file: who owns it, how the others reach it, and what happens when an owner goes. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is what is tested */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { ChatStore } from 'chatstore';
import { importSource, rejection, root, startPeer, temporaryFolder } from './support.mjs';

const { encodeFrame } = await importSource('js/node/frames.ts');

const started = [];
after(() => Promise.all(started.map((peer) => peer.kill())));
const peer = async (options) => {
  const one = await startPeer(options);
  started.push(one);
  return one;
};

const newPath = () => join(temporaryFolder(), 'a.chat');
const said = (content, more = {}) => ({ sessionId: 's', role: 'user', content, ...more });
const open = `state.store = await ChatStore.open(args.path, args.options); return state.store.info.role;`;
const texts = async (store) => (await store.messages.list({ sessionId: 's', limit: 1000 })).items.map((m) => m.content);

/** A peer that owns the file, which has a session, and a client of it in this process. */
async function ownerAndClient(t, options = {}) {
  const path = newPath();
  const owner = await peer();
  assert.equal(await owner.run(open, { path, options }), 'owner');
  await owner.run(`await state.store.sessions.create({ id: 's' })`);
  const store = await ChatStore.open(path);
  t.after(() => store.close());
  assert.equal(store.info.role, 'client');
  return { path, owner, store };
}

test('a second process is a client of the first, with the same verbs and errors', async (t) => {
  const { owner, store } = await ownerAndClient(t);
  const added = await store.messages.add(said('by the client'));
  await owner.run(`await state.store.messages.add({ sessionId: 's', role: 'user', content: 'by the owner' })`);
  assert.deepEqual(await texts(store), ['by the client', 'by the owner']);
  assert.equal((await store.messages.get(added)).content, 'by the client');
  assert.equal((await store.search('owner')).items.length, 1);
  assert.deepEqual(await store.query('SELECT count(*) AS n FROM messages'), [{ n: 2 }]);
  const error = await rejection(store.sessions.create({ id: 's' }));
  assert.deepEqual([error.name, error.code, error.details.table], ['ChatStoreError', 'CONSTRAINT_UNIQUE', 'sessions']);
  assert.equal((await rejection(store.query('SELECT nothing'))).code, 'INVALID_SQL');
  const large = 'x'.repeat(5_000_000);
  const { id } = await store.messages.add(said(large));
  assert.equal((await store.messages.get({ sessionId: 's', id })).content, large);
});

test('a client has transactions, savepoints, snapshots and iterators, isolated from the owner', async (t) => {
  const { owner, store } = await ownerAndClient(t);
  await store.transaction(async (tx) => {
    await tx.messages.add(said('1'));
    await rejection(
      tx.savepoint(async (inner) => {
        await inner.messages.add(said('never'));
        throw new Error('no');
      }),
    );
    assert.equal(await owner.run(`return (await state.store.sessions.get('s')).messageCount`), 0);
  });
  await store.snapshot(async (view) => {
    await owner.run(`await state.store.messages.add({ sessionId: 's', role: 'user', content: '2' })`);
    assert.deepEqual(await texts(view), ['1']);
    assert.equal((await rejection(view.messages.add(said('x')))).code, 'TRANSACTION_STATE');
  });
  const seen = [];
  for await (const message of store.messages.iterate({ sessionId: 's' })) {
    if (seen.length === 0) await store.messages.add(said('3'));
    seen.push(message.content);
  }
  assert.deepEqual(seen, ['1', '2']);
  assert.deepEqual(await texts(store), ['1', '2', '3']);
});

test('a client that is killed leaves no transaction behind', async () => {
  const path = newPath();
  const store = await ChatStore.open(path);
  await store.sessions.create({ id: 's' });
  const client = await peer();
  assert.equal(await client.run(open, { path }), 'client');
  const begun = client.run(`await state.store.transaction(async (tx) => {
    await tx.messages.add({ sessionId: 's', role: 'user', content: 'lost' });
    tell('open');
    await new Promise(() => undefined);
  })`);
  const ended = rejection(begun);
  while ((await rejection(store.messages.add(said('early'), { timeoutMs: 20 })).catch(() => undefined)) === undefined);
  const waiting = store.messages.add(said('next'));
  await client.kill();
  await waiting;
  assert.equal((await ended).code, 'ENDED');
  assert.ok(!(await texts(store)).includes('lost'));
  await store.close();
});

test('when the owner is killed, a client takes its place, and its calls are done as if nothing were', async (t) => {
  const { path, owner, store } = await ownerAndClient(t);
  const other = await peer();
  assert.equal(await other.run(open, { path }), 'client');
  await store.messages.add(said('before'));
  const transaction = rejection(
    store.transaction(async (tx) => {
      await tx.messages.add(said('lost'));
      await owner.kill();
      await tx.messages.add(said('lost too'));
    }),
  );
  assert.equal((await transaction).code, 'TRANSACTION_LOST');
  await Promise.all([
    ...Array.from({ length: 20 }, (_, i) => store.messages.add(said(`after ${i}`))),
    other.run(`await state.store.messages.add({ sessionId: 's', role: 'user', content: 'other' })`),
  ]);
  const roles = [store.info.role, await other.run('return state.store.info.role')];
  assert.deepEqual(
    roles.toSorted((a, b) => a.localeCompare(b)),
    ['client', 'owner'],
  );
  const kept = await texts(store);
  assert.deepEqual(
    kept.filter((text) => text !== 'other'),
    ['before', ...Array.from({ length: 20 }, (_, i) => `after ${i}`)],
  );
  assert.ok(kept.includes('other'));
});

test('a transaction runs again after its owner was lost, where it may', async (t) => {
  const { owner, store } = await ownerAndClient(t);
  let runs = 0;
  await store.transaction(
    async (tx) => {
      await tx.messages.add(said(`run ${++runs}`));
      if (runs === 1) await owner.kill();
      await tx.messages.add(said('end'));
    },
    { retries: 1 },
  );
  assert.deepEqual(await texts(store), ['run 2', 'end']);
});

test('an owner that closes hands over, and its clients go on', async (t) => {
  const { path, owner, store } = await ownerAndClient(t);
  const writing = (async () => {
    for (let i = 0; i < 200; i++) await store.messages.add(said(String(i)));
  })();
  await owner.run('await state.store.close()');
  await writing;
  assert.equal(store.info.role, 'owner');
  assert.deepEqual(
    await texts(store),
    Array.from({ length: 200 }, (_, i) => String(i)),
  );
  assert.equal(await owner.run(open, { path }), 'client');
  assert.equal(await owner.run(`return (await state.store.sessions.get('s')).messageCount`), 200);
});

test('the same operation id takes effect once, also through another owner, and not with other arguments', async (t) => {
  const { owner, store } = await ownerAndClient(t);
  const options = { operationId: 'import-1' };
  const first = await store.messages.add(said('once'), options);
  await owner.kill();
  assert.deepEqual(await store.messages.add(said('once'), options), first);
  const error = await rejection(store.messages.add(said('other'), options));
  assert.deepEqual([error.code, error.details.operationId], ['OPERATION_MISMATCH', 'import-1']);
  assert.deepEqual(await texts(store), ['once']);
  for (const operationId of ['', 'x'.repeat(129), 5]) {
    const refused = await rejection(store.messages.add(said('x'), { operationId }));
    assert.deepEqual([refused.code, refused.details.argument], ['INVALID_ARGUMENT', 'operationId']);
  }
  const inside = await rejection(store.transaction((tx) => tx.messages.add(said('x'), { operationId: 'y' })));
  assert.equal(inside.code, 'INVALID_ARGUMENT');
});

test('an owner that is stopped is told from one that is busy, and is waited for no longer than a call may take', async (t) => {
  const { path, owner, store } = await ownerAndClient(t);
  owner.signal('SIGSTOP');
  const error = await rejection(store.messages.add(said('x'), { timeoutMs: 300, operationId: 'while-stopped' }));
  assert.deepEqual([error.code, error.outcome, error.operationId], ['OWNER_UNRESPONSIVE', 'unknown', 'while-stopped']);
  assert.equal((await rejection(store.sessions.get('s', { timeoutMs: 300 }))).code, 'OWNER_UNRESPONSIVE');
  const other = await peer();
  const opening = await rejection(other.run(open, { path, options: { timeoutMs: 300 } }));
  assert.equal(opening.code, 'OWNER_UNRESPONSIVE');
  owner.signal('SIGCONT');
  // What became of it is settled by asking again.
  await store.messages.add(said('x'), { operationId: 'while-stopped' });
  assert.deepEqual(await texts(store), ['x']);
});

test('a write of a client that waits for a transaction times out, and the owner is not blamed', async (t) => {
  const { owner, store } = await ownerAndClient(t);
  const held = owner.run(`await state.store.transaction(async (tx) => {
    await tx.sessions.update('s', { title: 'held' });
    await new Promise((resolve) => (state.end = resolve));
  })`);
  await owner.run('while (state.end === undefined) await new Promise((resolve) => setTimeout(resolve, 1))');
  const error = await rejection(store.messages.add(said('x'), { timeoutMs: 200 }));
  assert.deepEqual([error.code, error.outcome], ['TIMEOUT', 'not-applied']);
  assert.match(error.message, /transaction is still open/);
  const controller = new AbortController();
  const aborted = rejection(store.messages.add(said('y'), { signal: controller.signal }));
  setImmediate(() => controller.abort());
  assert.deepEqual([(await aborted).code, (await aborted).outcome], ['ABORTED', 'not-applied']);
  await owner.run('state.end()');
  await held;
  assert.deepEqual(await texts(store), []);
});

test('the lock file says who owns the store, is readable by its user only, and goes when it is closed', async () => {
  const path = newPath();
  const store = await ChatStore.open(path);
  const lock = `${path}.lock`;
  assert.equal(statSync(lock).mode & 0o777, 0o600);
  const record = JSON.parse(readFileSync(lock, 'utf8'));
  assert.deepEqual([record.pid, record.host], [process.pid, hostname()]);
  assert.ok(record.token.length >= 32);
  await store.close();
  assert.deepEqual(readdirSync(dirname(path)), ['a.chat']);
});

test('the record of an owner of this machine that was killed, or was there before a restart, blocks nobody', async () => {
  const path = newPath();
  const owner = await peer();
  await owner.run(open, { path });
  const left = JSON.parse(readFileSync(`${path}.lock`, 'utf8'));
  await owner.kill();
  assert.ok(existsSync(`${path}.lock`));
  for (const record of [left, { ...left, bootId: 'another', pid: process.pid }, 'half a rec', '']) {
    writeFileSync(`${path}.lock`, typeof record === 'string' ? record : JSON.stringify(record));
    const store = await ChatStore.open(path);
    assert.equal(store.info.role, 'owner');
    await store.close();
  }
});

test('the record of an owner on another machine is never overridden', async () => {
  const path = newPath();
  await (await ChatStore.open(path)).close();
  const record = JSON.stringify({
    version: 1,
    token: 'theirs',
    address: 'there',
    pid: 7,
    startedAt: '1',
    bootId: 'another',
    host: 'elsewhere.example',
    network: 'net:[1]',
    pids: 'pid:[1]',
    clients: true,
  });
  writeFileSync(`${path}.lock`, record);
  for (const act of [() => ChatStore.open(path), () => ChatStore.destroy(path)]) {
    const error = await rejection(act());
    assert.deepEqual([error.code, error.details.host, error.details.pid], ['LOCKED_ELSEWHERE', 'elsewhere.example', 7]);
    assert.ok(error.message.includes(`${path}.lock`));
  }
  assert.equal(readFileSync(`${path}.lock`, 'utf8'), record);
});

test('a process in another network namespace is kept out by the lock of the kernel, and by nothing that is left', async (t) => {
  const path = newPath();
  let owner;
  try {
    owner = await startPeer({ wrapper: ['unshare', '--net', '--'] });
    started.push(owner);
    await owner.run('return 1');
  } catch {
    t.skip('this system makes no network namespaces for this user');
    return;
  }
  assert.equal(await owner.run(open, { path }), 'owner');
  const error = await rejection(ChatStore.open(path));
  assert.deepEqual([error.code, error.details.pid], ['LOCKED_ELSEWHERE', owner.pid]);
  await owner.kill();
  const store = await ChatStore.open(path);
  assert.equal(store.info.role, 'owner');
  await store.close();
});

/** Says something to the owner of a file, and gathers the bytes of its answer until it ends the connection. */
function say(path, ...frames) {
  const { address } = JSON.parse(readFileSync(`${path}.lock`, 'utf8'));
  return new Promise((resolve) => {
    const socket = connect(address);
    const received = [];
    socket.on('data', (chunk) => received.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(received).toString('latin1')));
    for (const frame of frames) socket.write(frame);
  });
}

test('whoever does not show the token is sent away, and nothing is done for it', async (t) => {
  const path = newPath();
  const store = await ChatStore.open(path);
  t.after(() => store.close());
  const frame = (message) => Buffer.concat(encodeFrame(message));
  const call = {
    t: 'call',
    call: 1,
    scope: 0,
    verb: 'sessions.create',
    write: true,
    timeoutMs: 1000,
    args: { id: 'x' },
    attempt: 1,
    firstSentMs: 0,
  };
  const hello = { t: 'hello', protocol: 1, schema: 1, name: 'stranger' };
  for (const [frames, answer] of [
    [[frame(hello), frame(call)], /STORE_LOCKED/],
    [[frame({ ...hello, token: 'wrong' }), frame(call)], /STORE_LOCKED/],
    [[frame(call)], /STORE_LOCKED/],
    [[frame({ ...hello, protocol: 99 })], /VERSION_MISMATCH/],
    [[frame({ t: 'unheard of' })], /VERSION_MISMATCH/],
    [[Buffer.from('GET / HTTP/1.1\r\n\r\n')], /^/],
    [[frame({ ...hello, name: 'x'.repeat(10_000) })], /^/],
  ]) {
    assert.match(await say(path, ...frames), answer);
  }
  assert.deepEqual((await store.sessions.list()).items, []);
});

test("a process that cannot read the owner's token is told so", async (t) => {
  const { path } = await ownerAndClient(t);
  const record = JSON.parse(readFileSync(`${path}.lock`, 'utf8'));
  writeFileSync(`${path}.lock`, JSON.stringify({ ...record, token: 'wrong' }));
  const other = await peer();
  assert.equal((await rejection(other.run(open, { path }))).code, 'STORE_LOCKED');
  writeFileSync(`${path}.lock`, JSON.stringify(record));
});

test('workers of a cluster share a file, one of them owns it', async () => {
  const path = newPath();
  const primary = await peer();
  const roles = await primary.run(
    `
    const { default: cluster } = await import('node:cluster');
    cluster.setupPrimary({ exec: args.entry, serialization: 'advanced' });
    const workers = Array.from({ length: 3 }, () => cluster.fork());
    const ask = (worker, code) => new Promise((resolve, reject) => {
      worker.on('message', ({ id, value, error, told }) => {
        // A worker of a cluster hears nothing that is said before it listens.
        if (told === 'ready') worker.send({ id: 1, code, args: { path: args.path } });
        else if (error === undefined) resolve(value);
        else reject(new Error(error.message));
      });
    });
    const roles = await Promise.all(workers.map((worker) => ask(worker, args.open)));
    for (const worker of workers) worker.process.kill('SIGKILL');
    return roles;
  `,
    { path, open, entry: join(root, 'tests/js/peer.mjs') },
  );
  assert.deepEqual(roles.toSorted(), ['client', 'client', 'owner']);
});

test('four processes that open, write and close one new file at once all settle, and lose nothing', async () => {
  const path = newPath();
  const peers = await Promise.all(Array.from({ length: 4 }, () => peer()));
  const storm = `
    let written = 0;
    for (let round = 0; round < 15; round++) {
      const store = await ChatStore.open(args.path);
      await store.sessions.create({ id: 's' }, { ifExists: 'return' });
      await store.messages.add({ sessionId: 's', role: 'user', content: args.name + round });
      written++;
      await store.close();
    }
    return written;
  `;
  const written = await Promise.all(peers.map((each, i) => each.run(storm, { path, name: `p${i} ` })));
  assert.deepEqual(written, [15, 15, 15, 15]);
  const store = await ChatStore.open(path);
  assert.equal(new Set(await texts(store)).size, 60);
  await store.close();
  assert.deepEqual(readdirSync(dirname(path)), ['a.chat']);
});
