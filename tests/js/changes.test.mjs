/** What is told of commits, to whom and when; and queries that read again what has changed. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is what is tested */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ChatStore } from 'chatstore';
import { importSource, rejection, runModule, startPeer, temporaryFolder } from './support.mjs';

const { Live } = await importSource('js/client/live.ts');

const started = [];
after(() => Promise.all(started.map((peer) => peer.kill())));
const peer = async () => {
  const one = await startPeer();
  started.push(one);
  return one;
};

const newPath = () => join(temporaryFolder(), 'a.chat');
const said = (sessionId, content) => ({ sessionId, role: 'user', content });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const openThere = `state.store = await ChatStore.open(args.path, args.options); return state.store.info.role;`;
/** A read after it makes sure that the owner knows. */
const followThere = `state.told = []; state.store.subscribe((change) => state.told.push(change));
  await state.store.sessions.list();`;
const addThere = `await state.store.messages.add({ sessionId: args.sessionId, role: 'user', content: args.content });`;
const anything = { sessions: null, streaming: [], bots: true };
const changed = (...sessions) => ({ sessions, streaming: [], bots: false });

async function open(t, path = ':memory:', options = {}) {
  const store = await ChatStore.open(path, options);
  t.after(() => store.close());
  return store;
}

/** Waits until something holds, which it does soon. */
async function until(holds) {
  for (let turns = 0; !holds(); turns++) {
    assert.ok(turns < 2_000, `it never came to hold: ${holds}`);
    await pause(5);
  }
}

/** All that is told of a store's changes. */
function follow(store) {
  const told = [];
  return Object.assign(told, { end: store.subscribe((change) => told.push(change)) });
}

const named = (told) => new Set(told.flatMap((change) => [...(change.sessions ?? ['anything']), ...change.streaming]));

/** Time for what should not come. */
const quiet = () => pause(60);

test('a commit is told to every handle of the store, the one that wrote included', async (t) => {
  const path = newPath();
  const [one, two] = [await open(t, path), await open(t, path)];
  const [first, second] = [follow(one), follow(two)];
  await one.sessions.create({ id: 's' });
  assert.deepEqual([[...first], [...second]], [[changed('s')], [changed('s')]]);
  await quiet();
  await two.messages.add(said('s', 'hello'));
  await until(() => first.length === 2 && second.length === 2);
  assert.deepEqual([first[1], second[1]], [changed('s'), changed('s')]);
  await quiet();
  await two.bots.create({ name: 'Ada' });
  await until(() => first.length === 3);
  assert.deepEqual(first[2], { sessions: [], streaming: [], bots: true });
});

test('reads, what fails and what is taken back are no changes; a transaction is one', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's' });
  await store.messages.add({ ...said('s', 'hello'), id: 'm' });
  const told = follow(store);
  await store.messages.list({ sessionId: 's' });
  await store.search('hello');
  await store.snapshot((view) => view.sessions.list());
  await rejection(store.sessions.create({ id: 's' }));
  await rejection(
    store.transaction(async (tx) => {
      await tx.sessions.create({ id: 'never' });
      throw new Error('no');
    }),
  );
  await quiet();
  assert.deepEqual([...told], []);
  await store.transaction(async (tx) => {
    for (const id of ['t', 'u']) await tx.sessions.create({ id });
    await tx.messages.add(said('t', 'x'));
    await quiet();
    assert.deepEqual([...told], []);
  });
  await until(() => told.length > 0);
  await quiet();
  assert.deepEqual([...told], [changed('t', 'u')]);
});

test('many writes are few changes, and each of their sessions is named', async (t) => {
  for (const options of [{}, { worker: true }]) {
    const store = await open(t, newPath(), options);
    const ids = Array.from({ length: 40 }, (_, i) => `s${i}`);
    for (const id of ids) await store.sessions.create({ id });
    const told = follow(store);
    const writes = Array.from({ length: 400 }, (_, i) => store.messages.add(said(ids[i % ids.length], 'x')));
    await Promise.all(writes);
    await until(() => ids.every((id) => named(told).has(id)));
    assert.ok(told.length < writes.length, `${told.length} changes`);
    assert.ok(!named(told).has('anything'));
  }
});

test('what goes for good has no name left, and what is too much to be named is not', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's' });
  await store.messages.add(said('s', 'x'));
  await quiet();
  const told = follow(store);
  await store.sessions.delete('s');
  await quiet();
  await store.sessions.delete('s', { permanent: true });
  await quiet();
  await store.transaction(async (tx) => {
    for (let i = 0; i < 100; i++) await tx.sessions.create();
  });
  await quiet();
  const any = { sessions: null, streaming: [], bots: false };
  assert.deepEqual([...told], [changed('s'), any, any]);
});

test('changes that come together name no more sessions than one may', async (t) => {
  const store = await open(t);
  await store.sessions.create();
  const told = follow(store);
  for (let i = 0; i < 300; i++) await store.sessions.create({ id: String(i) });
  await until(() => named(told).has('299') || named(told).has('anything'));
  for (const { sessions } of told) assert.ok(sessions === null || sessions.length <= 64);
});

test('a listener that has ended is told nothing more, and the same function twice is two', async (t) => {
  const store = await open(t);
  let calls = 0;
  const listener = () => calls++;
  const [end, other] = [store.subscribe(listener), store.subscribe(listener)];
  await store.sessions.create();
  assert.equal(calls, 2);
  end();
  end();
  await quiet();
  await store.sessions.create();
  await quiet();
  assert.equal(calls, 3);
  other();
  await store.sessions.create();
  await quiet();
  assert.equal(calls, 3);
  assert.equal((await rejection((async () => store.subscribe('no function'))())).code, 'INVALID_ARGUMENT');
});

test('a listener may end itself and others, add others, and write', async (t) => {
  const store = await open(t);
  const calls = [];
  const ends = [];
  ends.push(
    store.subscribe(() => {
      calls.push('first');
      for (const end of ends) end();
      store.subscribe(() => calls.push('added'));
      void store.sessions.create();
    }),
    store.subscribe(() => calls.push('second')),
  );
  await store.sessions.create();
  await until(() => calls.length === 2);
  await quiet();
  assert.deepEqual(calls, ['first', 'added']);
});

test('what a listener throws is an uncaught exception, and the others are told all the same', async () => {
  const { lines, errors, code } = await runModule(`
    import { ChatStore } from 'chatstore';
    process.on('uncaughtException', (error) => console.log('uncaught', error.message));
    const store = await ChatStore.open(':memory:');
    store.subscribe(() => { throw new Error('my fault') });
    store.subscribe(({ sessions }) => console.log('told', sessions));
    await store.sessions.create({ id: 's' });
    console.log('created');
    await store.close();
  `);
  assert.deepEqual([errors, code], ['', 0]);
  assert.deepEqual(
    lines.toSorted((a, b) => a.localeCompare(b)),
    ['created', "told [ 's' ]", 'uncaught my fault'],
  );
});

test('a store that is closed tells nothing, and takes no listener', async () => {
  const path = newPath();
  const [store, other] = [await ChatStore.open(path), await ChatStore.open(path)];
  const told = follow(store);
  const writing = store.sessions.create({ id: 's' });
  const closing = store.close();
  await writing;
  await closing;
  await other.sessions.create({ id: 't' });
  await quiet();
  assert.deepEqual([...told], []);
  assert.equal((await rejection((async () => store.subscribe(() => undefined))())).code, 'STORE_CLOSED');
  told.end();
  await other.close();
});

test('a subscription keeps no process alive', async () => {
  for (const options of [{}, { worker: true }]) {
    const { lines, errors, code } = await runModule(
      `
      import { ChatStore } from 'chatstore';
      const store = await ChatStore.open(process.argv[1], ${JSON.stringify(options)});
      store.subscribe(() => undefined);
      store.live((view) => view.sessions.list()).subscribe(() => undefined);
      await store.sessions.create({ id: 's' });
      console.log('done');
    `,
      newPath(),
    );
    assert.deepEqual([lines, errors, code], [['done'], '', 0]);
  }
});

test('other processes are told, whoever writes, and a store in a worker too', async (t) => {
  for (const options of [{}, { worker: true }]) {
    const path = newPath();
    const owner = await open(t, path, options);
    for (const id of ['a', 'b', 'c']) await owner.sessions.create({ id });
    const [one, two] = [await peer(), await peer()];
    for (const each of [one, two]) {
      assert.equal(await each.run(openThere, { path }), 'client');
      await each.run(followThere);
    }
    const told = follow(owner);
    await owner.messages.add(said('a', 'by the owner'));
    await one.run(addThere, { sessionId: 'b', content: 'by a client' });
    await two.run(addThere, { sessionId: 'c', content: 'by another' });
    const all = ['a', 'b', 'c'];
    for (const each of [one, two]) {
      let there = [];
      for (let turns = 0; turns < 2_000 && !all.every((id) => named(there).has(id)); turns++) {
        await pause(5);
        there = await each.run('return state.told');
      }
      assert.deepEqual([...named(there)].toSorted(), all);
    }
    await until(() => all.every((id) => named(told).has(id)));
    await Promise.all([one.kill(), two.kill()]);
  }
});

test('who has lost its owner hears that anything may have changed, and then of every change again', async (t) => {
  const path = newPath();
  const owner = await peer();
  assert.equal(await owner.run(openThere, { path }), 'owner');
  await owner.run(`for (const id of ['s', 't']) await state.store.sessions.create({ id });`);
  const store = await open(t, path);
  const other = await peer();
  assert.equal(await other.run(openThere, { path }), 'client');
  await other.run(followThere);
  const told = follow(store);
  await store.sessions.list();
  await owner.run(addThere, { sessionId: 's', content: 'x' });
  await until(() => told.length === 1);
  assert.deepEqual(told[0], changed('s'));
  await owner.kill();
  await until(() => told.length > 1);
  await quiet();
  // An owner may be lost more than once, as the next one is found.
  for (const change of told.slice(1)) assert.deepEqual(change, anything);
  await other.run(addThere, { sessionId: 't', content: 'y' });
  await until(() => named(told).has('t'));
  const there = await other.run('return state.told');
  assert.ok(there.some(({ sessions, bots }) => sessions === null && bots));
});

// Live queries.

/** What a live query shows, and how often it was read and told. */
function watch(store, read) {
  const seen = { reads: 0, running: 0, most: 0, shown: [] };
  const query = store.live(async (view) => {
    seen.reads++;
    seen.most = Math.max(seen.most, ++seen.running);
    try {
      return await read(view);
    } finally {
      seen.running--;
    }
  });
  const end = query.subscribe(() => seen.shown.push(query.error ?? query.value));
  return Object.assign(seen, { query, end });
}

const contents = (sessionId) => async (view) => (await view.messages.list({ sessionId })).items.map((m) => m.content);

/** Watches the session `s`; what a run has read it gives when it is let `go`. The first one has read. */
async function watchHeld(store) {
  await store.sessions.create({ id: 's' });
  const live = watch(store, async (view) => {
    const found = await contents('s')(view);
    await new Promise((resolve) => (live.go = resolve));
    return found;
  });
  await until(() => live.go !== undefined);
  return live;
}

test('a live query shows what is there, and shows it again when it has changed', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's' });
  const query = store.live(contents('s'));
  await quiet();
  assert.deepEqual([query.value, query.error], [undefined, undefined], 'nobody has asked');
  const live = watch(store, contents('s'));
  await until(() => live.shown.length === 1);
  assert.deepEqual(live.query.value, []);
  await store.messages.add(said('s', 'a'));
  await until(() => live.shown.length === 2);
  assert.deepEqual(live.query.value, ['a']);
  const { value } = live.query;
  await quiet();
  assert.equal(live.query.value, value, 'the same object until it is read again');
  assert.equal(live.reads, 2);
});

test('a live query is read again only where a change touches what it has read', async (t) => {
  const store = await open(t);
  for (const id of ['s', 't']) await store.sessions.create({ id });
  const added = await store.messages.add(said('s', 'x'));
  const { id: botId } = await store.bots.create({ name: 'Ada' });
  const reads = {
    'messages.list': (view) => view.messages.list({ sessionId: 's' }),
    'messages.get': (view) => view.messages.get(added),
    'messages.tree': (view) => view.messages.tree('s'),
    'messages.branches': (view) => view.messages.branches(added),
    'messages.iterate': (view) => view.messages.iterate({ sessionId: 's' }).next(),
    context: (view) => view.context('s', { maxTokens: 1_000 }),
    'sessions.get': (view) => view.sessions.get('s'),
    'sessions.list': (view) => view.sessions.list(),
    'bots.get': (view) => view.bots.get(botId),
    'bots.list': (view) => view.bots.list(),
    search: (view) => view.search('x'),
    query: (view) => view.query('SELECT count(*) AS n FROM messages'),
    'messages.list of a bot': (view) => view.messages.list({ botId }),
  };
  const live = Object.fromEntries(Object.entries(reads).map(([name, read]) => [name, watch(store, read)]));
  const told = follow(store);
  const again = async (write) => {
    await until(() => Object.values(live).every(({ shown }) => shown.length > 0));
    await quiet();
    const before = Object.entries(live).map(([name, { reads: count }]) => [name, count]);
    told.length = 0;
    await write();
    await until(() => told.length > 0);
    await quiet();
    return before.filter(([name, count]) => live[name].reads > count).map(([name]) => name);
  };
  const of_everything = ['search', 'query', 'messages.list of a bot'];
  const of_session = [
    'messages.list',
    'messages.get',
    'messages.tree',
    'messages.branches',
    'messages.iterate',
    'context',
  ];
  assert.deepEqual(await again(() => store.messages.add(said('s', 'y'))), [
    ...of_session,
    'sessions.get',
    'sessions.list',
    ...of_everything,
  ]);
  assert.deepEqual(await again(() => store.messages.add(said('t', 'y'))), ['sessions.list', ...of_everything]);
  assert.deepEqual(await again(() => store.bots.update(botId, { model: 'm' })), [
    'bots.get',
    'bots.list',
    ...of_everything,
  ]);
  await store.sessions.delete('t');
  assert.deepEqual(await again(() => store.sessions.delete('t', { permanent: true })), [
    ...of_session,
    'sessions.get',
    'sessions.list',
    ...of_everything,
  ]);
  // A reply begins, which changes the session, and grows, which its row does not show.
  const stream = await store.messages.start({ sessionId: 's' }, { flushIntervalMs: 60_000 });
  const grows = async () => {
    stream.append('more ');
    await stream.flush();
  };
  // The search has it settled, and is done then.
  live.search.end();
  assert.deepEqual(await again(grows), [...of_session, 'query', 'messages.list of a bot']);
  await stream.finish();
  for (const { end } of Object.values(live)) end();
});

test('a live search of a reply under way comes to rest', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's' });
  const live = watch(store, async (view) => (await view.search('word')).items.length);
  const stream = await store.messages.start({ sessionId: 's' });
  stream.append('word');
  await stream.flush();
  await until(() => live.query.value === 1);
  await quiet();
  const { reads } = live;
  await quiet();
  assert.equal(live.reads, reads);
  await stream.finish();
});

test('one run follows the other, however much changes meanwhile', async (t) => {
  const store = await open(t);
  const live = await watchHeld(store);
  for (let i = 0; i < 5; i++) {
    await store.messages.add(said('s', String(i)));
    await quiet();
  }
  assert.equal(live.reads, 1);
  const first = live.go;
  live.go = undefined;
  first();
  await until(() => live.go !== undefined);
  live.go();
  await until(() => live.shown.length === 2);
  await quiet();
  assert.deepEqual([live.shown[1], live.reads, live.most], [['0', '1', '2', '3', '4'], 2, 1]);
});

test('a change after the beginning of an iteration, and before its first page, is not missed', async () => {
  let listener;
  let changes = 1;
  const refused = async () => {
    throw new Error('it does not matter what is read');
  };
  const caller = {
    call: refused,
    async view() {
      // The state that is read from is that of before.
      if (changes-- > 0) listener(changed('s'));
      return { call: refused, end: () => undefined };
    },
  };
  let ended = 0;
  const begin = (given) => ((listener = given), () => void ended++);
  let reads = 0;
  const query = new Live(caller, begin, (view) => {
    reads++;
    return view.messages.iterate({ sessionId: 's' }).next();
  });
  const end = query.subscribe(() => undefined);
  await until(() => reads === 2);
  await quiet();
  assert.deepEqual([reads, ended], [2, 0]);
  end();
  assert.equal(ended, 1, 'nothing is watched for nobody');
});

test('what a live query rejects with is its error, until it succeeds again', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's' });
  let broken = false;
  const live = watch(store, async (view) => {
    const found = await contents('s')(view);
    if (broken) throw new Error('broken');
    return found;
  });
  await until(() => live.shown.length === 1);
  broken = true;
  await store.messages.add(said('s', 'a'));
  await until(() => live.shown.length === 2);
  assert.deepEqual([live.query.error.message, live.query.value], ['broken', []]);
  broken = false;
  await store.messages.add(said('s', 'b'));
  await until(() => live.shown.length === 3);
  assert.deepEqual([live.query.error, live.query.value], [undefined, ['a', 'b']]);
});

test('a live query cannot write', async (t) => {
  const store = await open(t);
  const live = watch(store, (view) => view.sessions.create());
  await until(() => live.shown.length === 1);
  assert.equal(live.query.error.code, 'TRANSACTION_STATE');
  assert.deepEqual((await store.sessions.list()).items, []);
});

test('a live query that nobody looks at is not read, and begins again', async (t) => {
  const store = await open(t);
  await store.sessions.create({ id: 's' });
  const live = watch(store, contents('s'));
  const other = live.query.subscribe(() => undefined);
  await until(() => live.shown.length === 1);
  live.end();
  await store.messages.add(said('s', 'a'));
  await until(() => live.query.value.length === 1);
  assert.equal(live.shown.length, 1, 'the one that has ended is not told');
  other();
  other();
  await store.messages.add(said('s', 'b'));
  await quiet();
  assert.deepEqual([live.query.value, live.reads], [['a'], 2]);
  const { subscribe } = live.query;
  const end = subscribe(() => undefined);
  await until(() => live.query.value.length === 2);
  end();
  assert.equal((await rejection((async () => subscribe())())).code, 'INVALID_ARGUMENT');
});

test('a query that is left and looked at again while it is read shows what is there', async (t) => {
  const store = await open(t);
  const live = await watchHeld(store);
  live.end();
  await store.messages.add(said('s', 'meanwhile'));
  await quiet();
  const end = live.query.subscribe(() => undefined);
  while (live.query.value?.length !== 1) {
    live.go();
    await pause(5);
  }
  assert.equal(live.most, 1);
  end();
  live.go();
});

test('a store that closes ends its live queries', async () => {
  const store = await ChatStore.open(':memory:');
  await store.sessions.create({ id: 's' });
  const live = watch(store, contents('s'));
  await until(() => live.shown.length === 1);
  await store.close();
  await quiet();
  assert.deepEqual([live.reads, live.query.error], [1, undefined]);
  live.end();
  live.query.subscribe(() => undefined);
  await until(() => live.query.error !== undefined);
  assert.equal(live.query.error.code, 'STORE_CLOSED');
});

test('another process sees a reply grow, and goes on to see it when its owner is lost', async (t) => {
  const path = newPath();
  const owner = await peer();
  assert.equal(await owner.run(openThere, { path }), 'owner');
  await owner.run(`await state.store.sessions.create({ id: 's' });
    state.stream = await state.store.messages.start({ sessionId: 's' });`);
  const store = await open(t, path);
  const live = watch(store, contents('s'));
  const list = watch(store, (view) => view.sessions.list());
  await until(() => live.shown.length > 0 && list.shown.length > 0);
  const before = list.reads;
  let text = '';
  for (const piece of ['Once ', 'upon ', 'a ', 'time']) {
    text += piece;
    await owner.run('state.stream.append(args.piece); await state.stream.flush();', { piece });
    const whole = text;
    await until(() => live.query.value[0] === whole);
  }
  assert.equal(list.reads, before, 'the list of sessions shows nothing of it');
  const other = await peer();
  assert.equal(await other.run(openThere, { path }), 'client');
  await owner.kill();
  await other.run(addThere, { sessionId: 's', content: 'after' });
  await until(() => live.query.value.length === 2);
  assert.deepEqual(live.query.value, ['Once upon a time', 'after']);
  live.end();
  list.end();
});
