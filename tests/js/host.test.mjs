/** The host with a core of paper: when it is stepped, what is told to whom, and what happens when the core dies. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
/* oxlint-disable typescript/only-throw-error -- the core throws plain objects */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importSource } from './support.mjs';

const { Host } = await importSource('js/host/host.ts');
const { serve } = await importSource('js/host/serve.ts');
const { PROTOCOL, SCHEMA } = await importSource('js/host/protocol.ts');

/** A reply that is a count, which is also how a scope is told. */
function counted(messages) {
  const bytes = new Uint8Array(32 + 8 + 24);
  new Uint32Array(bytes.buffer, 0, 8).set([6, 1, 3, 0, 0, 0, 0xffffffff, 0xffffffff]);
  bytes.set([1, 1, 1], 32);
  new Float64Array(bytes.buffer, 40, 3).set([0, 0, messages]);
  return bytes;
}

const refused = () => {
  throw { code: 'CONSTRAINT_UNIQUE', message: 'taken', details: { column: 'name' } };
};

const trap = () => {
  throw new WebAssembly.RuntimeError('unreachable');
};

/** A core that notes what it is asked: reads are answered at once, writes by the next step. */
function paperHost({ verbs = {}, steps = {}, replaceable = true, strangerSeen = () => undefined } = {}) {
  const log = [];
  const changes = [];
  const counts = { opened: 0, discarded: 0, released: 0 };
  const host = new Host({
    openInstance() {
      counts.opened++;
      let queue = [];
      let events = [];
      return {
        connect: (client) => log.push(`connect ${client}`),
        disconnect: (_, client) => log.push(`disconnect ${client}`),
        watch: (on) => log.push(on ? 'watch' : 'watch no more'),
        submit(now_ms, call, client, scope, verb, deadline_ms, args, rows, operation_id, attempt) {
          log.push(`${client} ${verb}${scope === 0 ? '' : ` in ${scope}`}${attempt > 1 ? ` again` : ''}`);
          const reply = verbs[verb]?.(attempt);
          if (reply !== undefined) return reply;
          queue.push({ call, verb, client });
          return undefined;
        },
        cancel(call) {
          if (!queue.some((each) => each.call === call)) return;
          queue = queue.filter((each) => each.call !== call);
          events.push({ call, error: { code: 'ABORTED', message: 'aborted', outcome: 'not-applied' } });
        },
        step() {
          log.push(`step ${queue.length}`);
          for (const { call, verb } of queue) {
            steps[verb]?.();
            events.push({ call, reply: counted(0) });
          }
          queue = [];
          return undefined;
        },
        takeChanges(sink) {
          const sessions = [...new Set(changes.splice(0))];
          if (sessions.length > 0) sink.changed(sessions, [], false);
        },
        take(sink) {
          for (const { call, reply, error } of events) {
            if (error === undefined) sink.replied(call, 0, reply);
            else sink.failed(call, 0, error);
          }
          events = [];
        },
        close: () => log.push('close'),
        free: () => log.push('free'),
      };
    },
    discardInstance: () => counts.discarded++,
    releaseOwnership: async () => void counts.released++,
    nextTurn: setImmediate,
    replaceable,
    strangerSeen,
  });
  return { host, log, counts, changes };
}

let last_call = 0;
const call = (verb, more = {}) => ({
  call: ++last_call,
  scope: 0,
  verb,
  write: true,
  timeoutMs: 30_000,
  attempt: 1,
  firstSentMs: 0,
  ...more,
});
const read = (verb, more) => call(verb, { write: false, ...more });

const quiet = Object.fromEntries(
  ['reply', 'lost', 'notice', 'changed', 'alive', 'gone'].map((name) => [name, () => undefined]),
);

/** A client that gathers what it is told. */
function join(host, options) {
  const told = [];
  const events = {
    reply: (number, reply, error) =>
      told.push(error === undefined ? 'reply' : `${error.code} ${error.outcome ?? ''}`.trim()),
    lost: (scope, error) => told.push(`lost ${scope} ${error.code}`),
    notice: (notice) => told.push(notice),
    changed: ({ sessions, bots }) => told.push(`changed ${sessions ?? 'anything'}${bots ? ' and bots' : ''}`),
    alive: () => told.push('alive'),
    gone: () => told.push('gone'),
  };
  return { connection: host.connect(events, 'client', options), told };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a read is one call of the core, and its reply comes at once', () => {
  const { host, log } = paperHost({ verbs: { get: () => counted(1) } });
  const { connection } = join(host);
  assert.ok(connection.send(read('get')) instanceof Uint8Array);
  assert.deepEqual(log, ['connect 1', '1 get']);
});

test('a hundred writes of one moment are one step', async () => {
  const { host, log } = paperHost();
  const { connection, told } = join(host);
  for (let i = 0; i < 100; i++) assert.equal(connection.send(call('add')), undefined);
  await Promise.resolve();
  assert.deepEqual(told, Array(100).fill('reply'));
  assert.deepEqual(
    log.filter((line) => line.startsWith('step')),
    ['step 100'],
  );
});

test('writes of clients elsewhere that come in one turn of the event loop are one step', async () => {
  const { host, log } = paperHost();
  const [one, two] = [join(host, { remote: true }), join(host, { remote: true })];
  one.connection.send(call('add'));
  await Promise.resolve();
  two.connection.send(call('add'));
  await turn();
  assert.deepEqual(log.slice(2), ['1 add', '2 add', 'step 2']);
  assert.deepEqual([one.told, two.told], [['reply'], ['reply']]);
});

test('calls that never wait let the event loop turn now and then', async () => {
  const { host } = paperHost({ verbs: { get: () => counted(1) } });
  const { connection } = join(host);
  const seen = { turn: false };
  setImmediate(() => (seen.turn = true));
  for (let i = 0; i < 10_000_000 && !seen.turn; i++) {
    connection.send(read('get'));
    const pause = connection.pause();
    if (pause !== undefined) await pause;
  }
  assert.ok(seen.turn);
});

test('an error of the core keeps its code, message and details, and the instance', () => {
  const { host, counts } = paperHost({ verbs: { refused } });
  const { connection } = join(host);
  assert.throws(() => connection.send(call('refused')), {
    code: 'CONSTRAINT_UNIQUE',
    message: 'taken',
    details: { column: 'name' },
  });
  assert.equal(counts.opened, 1);
});

test('a write that is cancelled while it waits leaves the queue, and its client hears of it', async () => {
  const { host } = paperHost();
  const { connection, told } = join(host);
  const aborted = call('add');
  connection.send(aborted);
  connection.cancel(aborted.call);
  await turn();
  assert.deepEqual(told, ['ABORTED not-applied']);
});

test('a client has no scope of another', () => {
  const { host, log } = paperHost({ verbs: { 'tx.begin': () => counted(7), add: () => counted(1) } });
  const [one, two] = [join(host, { remote: true }), join(host, { remote: true })];
  one.connection.send(read('tx.begin'));
  one.connection.send(call('add', { scope: 7 }));
  for (const verb of ['add', 'tx.commit', 'tx.rollback']) {
    assert.throws(() => two.connection.send(call(verb, { scope: 7 })), { code: 'TRANSACTION_STATE' });
  }
  assert.deepEqual(log.slice(2), ['1 tx.begin', '1 add in 7']);
});

test('a core that traps is replaced, its files are closed, and a read is asked again', () => {
  let traps = 1;
  const { host, counts, log } = paperHost({ verbs: { get: () => (traps-- > 0 ? trap() : counted(1)) } });
  const { connection } = join(host);
  assert.ok(connection.send(read('get')) instanceof Uint8Array);
  assert.deepEqual(counts, { opened: 2, discarded: 1, released: 0 });
  assert.deepEqual(log, ['connect 1', '1 get', 'connect 1', '1 get']);
});

test('a call that traps every time fails, and the next one has a fresh core', () => {
  const { host, counts } = paperHost({ verbs: { get: trap, other: () => counted(1) } });
  const { connection } = join(host);
  assert.throws(() => connection.send(read('get')), { code: 'INTERNAL' });
  assert.ok(connection.send(read('other')) instanceof Uint8Array);
  assert.equal(counts.opened, 3);
  const figures = JSON.parse(new TextDecoder().decode(connection.send(read('stats.host'))));
  assert.deepEqual([figures.restarts, figures.reruns, figures.errors], [2, 1, { INTERNAL: 1 }]);
});

test('a fault of ours is told with the statement, without its literals and without the words of the fault', () => {
  const { host } = paperHost({
    verbs: {
      query: () => {
        throw new WebAssembly.RuntimeError('panicked at "a secret"');
      },
    },
  });
  const messages = [];
  const connection = host.connect(
    { ...quiet, notice: (notice, message) => messages.push([notice, message]) },
    'client',
  );
  assert.throws(() => connection.send(read('query', { args: { sql: "SELECT 'a secret'" } })), { code: 'INTERNAL' });
  assert.deepEqual(messages, [['internal_error', 'query failed: SELECT …']]);
});

test('after a trap in a step only writes with an operation id are sent again', async () => {
  let traps = 1;
  const steps = { add: () => traps-- > 0 && trap() };
  const { host, log } = paperHost({ steps });
  const { connection, told } = join(host);
  connection.send(call('add', { operationId: 'a' }));
  connection.send(call('add'));
  connection.send(call('add', { operationId: 'b' }));
  await turn();
  assert.deepEqual(told, ['reply', 'internal_error', 'INTERNAL unknown', 'reply']);
  assert.deepEqual(log.slice(4, 10), ['step 3', 'connect 1', '1 add again', 'step 1', '1 add again', 'step 1']);
});

test('a trap ends every open scope of every client', () => {
  const { host } = paperHost({
    verbs: { 'tx.begin': () => counted(1), 'snapshot.begin': () => counted(2), get: trap },
  });
  const [one, two] = [join(host, { remote: true }), join(host, { remote: true })];
  one.connection.send(read('tx.begin'));
  two.connection.send(read('snapshot.begin'));
  assert.throws(() => two.connection.send(read('get')), { code: 'INTERNAL' });
  for (const { told } of [one, two]) assert.deepEqual(told, ['lost 0 INTERNAL', 'internal_error']);
});

test('memory that died with its core is not silently replaced by an empty one', () => {
  const { host, counts } = paperHost({ replaceable: false, verbs: { get: trap, other: () => counted(1) } });
  const { connection } = join(host);
  assert.throws(() => connection.send(read('get')), { code: 'INTERNAL' });
  assert.throws(() => connection.send(read('other')), { code: 'INTERNAL', message: /memory is gone/ });
  assert.equal(counts.opened, 1);
});

test('a stranger that is seen after a step ends the store before anything is acknowledged', async () => {
  let stranger;
  const { host, counts, log } = paperHost({ strangerSeen: () => stranger });
  const { ChatStoreError } = await import('chatstore');
  const { connection, told } = join(host);
  connection.send(call('add'));
  await turn();
  stranger = new ChatStoreError('FOREIGN_ACCESS', 'somebody was here');
  connection.send(call('add'));
  await turn();
  assert.deepEqual(told, ['reply', 'FOREIGN_ACCESS unknown']);
  assert.equal(counts.discarded, 1);
  assert.throws(() => connection.send(call('add')), { code: 'FOREIGN_ACCESS' });
  await host.close();
  assert.ok(!log.includes('close'), 'the file is not touched any more');
});

test('close rejects later calls, lets those made before it settle, and is idempotent', async () => {
  const { host, log, counts } = paperHost();
  const { connection, told } = join(host);
  connection.send(call('queued'));
  const closing = host.close();
  assert.equal(host.close(), closing);
  assert.throws(() => connection.send(read('late')), { code: 'STORE_CLOSED' });
  await closing;
  assert.deepEqual(told, ['reply', 'gone']);
  assert.deepEqual(log, ['connect 1', '1 queued', 'step 1', 'close', 'free']);
  assert.equal(counts.released, 1);
});

test('a client elsewhere begins nothing new with a host that closes, and ends what it has begun', async () => {
  const { host, log } = paperHost({
    verbs: { 'tx.begin': () => counted(3), add: () => counted(1), 'tx.commit': () => counted(0) },
  });
  const { connection, told } = join(host, { remote: true });
  connection.send(read('tx.begin'));
  const closing = host.close();
  assert.equal(connection.send(call('other')), undefined);
  assert.ok(connection.send(call('add', { scope: 3 })) instanceof Uint8Array);
  assert.ok(connection.send(call('tx.commit', { scope: 3 })) instanceof Uint8Array);
  await closing;
  assert.deepEqual(
    log.filter((line) => !line.startsWith('step')),
    ['connect 1', '1 tx.begin', '1 add in 3', '1 tx.commit in 3', 'close', 'free'],
  );
  assert.deepEqual(told, ['gone']);
});

test('changes are told to those who watch, at once and then together, and the core is asked for them while anybody does', async () => {
  const { host, log, changes } = paperHost();
  const [one, two] = [join(host), join(host, { remote: true })];
  const write = async (session) => {
    changes.push(session);
    one.connection.send(call('add'));
    await turn();
  };
  two.connection.watch(true);
  one.connection.watch(true);
  one.connection.watch(false);
  await write('a');
  assert.deepEqual([one.told, two.told], [['reply'], ['changed a']]);
  for (let i = 0; i < 300; i++) await write(i < 299 ? 'b' : 'c');
  for (let turns = 0; turns < 1_000_000 && !two.told.at(-1).endsWith('c'); turns++) await turn();
  assert.equal(new Set(two.told.join().split(/[ ,]/)).size, 4, two.told.join());
  assert.ok(two.told.length < 150, `${two.told.length} changes`);
  two.connection.close();
  assert.deepEqual(
    log.filter((line) => line.startsWith('watch')),
    ['watch', 'watch no more'],
  );
});

test('who watches a core that dies is told that anything may have changed, and the next core is asked too', async () => {
  let traps = 1;
  const { host, log } = paperHost({ steps: { add: () => traps-- > 0 && trap() } });
  const { connection, told } = join(host);
  connection.watch(true);
  connection.send(call('add', { operationId: 'me:1' }));
  await turn();
  assert.deepEqual(told, ['reply', 'changed anything and bots']);
  // It is stepped in its own time, too.
  assert.deepEqual(
    log.filter((line) => !line.startsWith('step')),
    ['connect 1', 'watch', '1 add', 'connect 1', 'watch', '1 add again'],
  );
});

test('who says hello to a host that is closing is told that it has gone, and may look elsewhere', () => {
  const closing = {
    connect() {
      throw { code: 'STORE_CLOSED', message: 'the store was closed', details: {} };
    },
  };
  const told = [];
  let say;
  const port = {
    post: (message) => told.push(message.t),
    listen: (hear) => {
      say = hear;
    },
    hold: () => undefined,
    close: () => told.push('closed'),
  };
  serve(closing, port, () => true);
  say({ t: 'hello', protocol: PROTOCOL, schema: SCHEMA, name: 'late' });
  assert.deepEqual(told, ['bye', 'closed']);
});
