/** The client's side of a store, with hosts of paper: sending again, deadlines, signals, transactions. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { importSource, rejection } from './support.mjs';

const { Link } = await importSource('js/client/link.ts');

/** A reply that is a count, which is also how a scope is told. */
function counted(messages) {
  const bytes = new Uint8Array(32 + 8 + 24);
  new Uint32Array(bytes.buffer, 0, 8).set([6, 1, 3, 0, 0, 0, 0xffffffff, 0xffffffff]);
  bytes.set([1, 1, 1], 32);
  new Float64Array(bytes.buffer, 40, 3).set([0, 0, messages]);
  return bytes;
}

const plain = (code, outcome) => Object.assign(new Error(code), { code, outcome, details: {} });

/**
 * A link to owners of paper, each in turn. An owner is a function that gets a call, and answers it by
 * `reply`, later or never; it may also be `lose`d.
 */
function paperLink(owners, { retries = 3, remote = true } = {}) {
  const log = [];
  let owner = -1;
  let current;
  const connector = {
    awaitsOwner: true,
    lostCode: 'OWNER_UNRESPONSIVE',
    ownerName: 'the owner',
    released: 0,
    connect(events) {
      owner++;
      const answer = owners[Math.min(owner, owners.length - 1)];
      if (answer === undefined) return new Promise(() => undefined);
      const here = owner;
      const connection = {
        remote,
        closed: false,
        send(call) {
          log.push({ owner: here, ...call });
          const tell = (number) => ({
            reply: (reply = counted(1), error) => events.reply(number, reply, error),
            fail: (code, outcome) => events.reply(number, undefined, plain(code, outcome)),
          });
          return answer(call, { ...tell(call.call), events, lose });
        },
        pause: () => undefined,
        cancel: (number) => log.push({ owner: here, verb: 'cancel', call: number }),
        ping: () => {
          log.push({ owner: here, verb: 'ping' });
          answer({ verb: 'ping' }, { events, lose });
        },
        hold: (held) => log.push({ owner: here, verb: held ? 'hold' : 'let go' }),
        watch: (on) => log.push({ owner: here, verb: on ? 'watch' : 'watch no more' }),
        close: () => (connection.closed = true),
      };
      const lose = (closed = false) => {
        if (current !== connection) return;
        current = undefined;
        events.gone(closed);
      };
      current = connection;
      return connection;
    },
    release: async () => void connector.released++,
  };
  const link = new Link(connector, { name: 'me', retries });
  const calls = () => log.filter(({ verb }) => !['hold', 'let go', 'ping', 'cancel'].includes(verb));
  return { link, log, calls, connector };
}

/** Answers a and is lost at d. */
const lost_at_d = (call, { lose, reply }) => {
  if (call.verb === 'a') queueMicrotask(() => reply());
  if (call.verb === 'd') setImmediate(() => lose());
};
/** Closes in peace at each call. */
const closing = (_, { lose }) => void setImmediate(() => lose(true));
/** Answers a and is lost at b. */
const lost_at_b = (call, { lose, reply }) => {
  if (call.verb === 'a') queueMicrotask(() => reply());
  if (call.verb === 'b') setImmediate(() => lose());
};
const write = (verb) => ({ verb, write: true });
const read = (verb) => ({ verb, write: false });
const silent = () => undefined;
const prompt = (_, { reply }) => queueMicrotask(() => reply?.());

test('a write to a host elsewhere carries an operation id, one in this thread only where it was given', async () => {
  const elsewhere = paperLink([prompt]);
  await elsewhere.link.call(write('add'), {});
  await elsewhere.link.call(write('add'), { operationId: 'mine' });
  await elsewhere.link.call(read('get'), {});
  assert.deepEqual(
    elsewhere.calls().map(({ operationId }) => operationId),
    ['me:1', 'mine', undefined],
  );
  const here = paperLink([prompt], { remote: false });
  await here.link.call(write('add'), {});
  await here.link.call(write('add'), { operationId: 'mine' });
  assert.deepEqual(
    here.calls().map(({ operationId }) => operationId),
    [undefined, 'mine'],
  );
});

test('what was not answered when its owner was lost is sent to the next one, in order and under the same ids', async () => {
  const { link, calls } = paperLink([lost_at_d, prompt]);
  await Promise.all(['a', 'b', 'c', 'd'].map((verb) => link.call(write(verb), {})));
  assert.deepEqual(
    calls().map(({ owner, verb, operationId, attempt }) => [owner, verb, operationId, attempt]),
    [
      [0, 'a', 'me:1', 1],
      [0, 'b', 'me:2', 1],
      [0, 'c', 'me:3', 1],
      [0, 'd', 'me:4', 1],
      [1, 'b', 'me:2', 2],
      [1, 'c', 'me:3', 2],
      [1, 'd', 'me:4', 2],
    ],
  );
  const times = new Set(calls().map(({ firstSentMs }) => firstSentMs > 1_600_000_000_000));
  assert.deepEqual([...times], [true]);
});

test('a call is sent again as often as it may, and then says that its outcome is unknown', async () => {
  const { link, calls } = paperLink([(_, { lose }) => void setImmediate(() => lose())], { retries: 2 });
  const error = await rejection(link.call(write('add'), { operationId: 'mine' }));
  assert.deepEqual([error.code, error.outcome, error.operationId], ['OUTCOME_UNKNOWN', 'unknown', 'mine']);
  assert.equal(calls().length, 3);
  assert.equal((await rejection(link.call(read('get'), {}))).code, 'OWNER_UNRESPONSIVE');
});

test('owners that close in peace may be as many as they are', async () => {
  const { link, calls } = paperLink([...Array.from({ length: 10 }, () => closing), prompt], { retries: 0 });
  await link.call(write('add'), {});
  assert.deepEqual(
    calls().map(({ attempt, operationId }) => [attempt, operationId]),
    Array.from({ length: 11 }, () => [1, 'me:1']),
  );
});

test('a host that is lost as it is found is looked for again', async () => {
  let lost = 0;
  const connector = {
    awaitsOwner: false,
    lostCode: 'OWNER_UNRESPONSIVE',
    ownerName: 'the owner',
    async connect(events) {
      const connection = {
        remote: true,
        send: (call) => queueMicrotask(() => events.reply(call.call, counted(1))),
      };
      Object.assign(connection, { pause: silent, cancel: silent, ping: silent, hold: silent, close: silent });
      if (lost++ === 0) queueMicrotask(() => events.gone());
      await Promise.resolve();
      return connection;
    },
    release: async () => undefined,
  };
  const link = new Link(connector, { name: 'me', retries: 3 });
  assert.ok((await link.call(read('get'), {})) instanceof Uint8Array);
  assert.equal(lost, 2);
});

test('an owner without a sign of life is told from one that is only busy', async () => {
  const dead = paperLink([silent]);
  const error = await rejection(dead.link.call(write('add'), { timeoutMs: 60 }));
  assert.deepEqual([error.code, error.outcome, error.operationId], ['OWNER_UNRESPONSIVE', 'unknown', 'me:1']);
  const busy = paperLink([(call, { events }) => void (call.verb === 'ping' && events.alive())]);
  const late = await rejection(busy.link.call(write('add'), { timeoutMs: 60 }));
  assert.deepEqual([late.code, late.outcome, late.operationId], ['TIMEOUT', 'unknown', 'me:1']);
  assert.ok(
    busy.log.some(({ verb }) => verb === 'cancel'),
    'what may still wait there is taken out',
  );
});

test('a call that found no owner in time was not applied', async () => {
  const { link } = paperLink([undefined]);
  const error = await rejection(link.call(write('add'), { timeoutMs: 20 }));
  assert.deepEqual([error.code, error.outcome], ['OWNER_UNRESPONSIVE', 'not-applied']);
});

test('what the owner says at the deadline is what the caller hears', async () => {
  const { link } = paperLink([(_, { fail }) => queueMicrotask(() => fail('TIMEOUT', 'not-applied'))]);
  const error = await rejection(link.call(write('add'), { timeoutMs: 1000 }));
  assert.deepEqual([error.code, error.outcome, error.operationId], ['TIMEOUT', 'not-applied', 'me:1']);
});

test('an abort asks the owner whether the call still waited, and takes its word', async () => {
  for (const [answer, code, outcome] of [
    [({ fail }) => fail('ABORTED', 'not-applied'), 'ABORTED', 'not-applied'],
    [({ lose }) => lose(), 'ABORTED', 'unknown'],
    [({ reply }) => reply(), undefined, undefined],
  ]) {
    let tell;
    const { link, log } = paperLink([(_, told) => void (tell ??= told)]);
    const controller = new AbortController();
    const calling = link.call(write('add'), { signal: controller.signal }).catch((error) => error);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(getEventListeners(controller.signal, 'abort').length, 1);
    controller.abort(new Error('changed my mind'));
    assert.ok(log.some(({ verb }) => verb === 'cancel'));
    answer(tell);
    const result = await calling;
    assert.deepEqual([result.code, result.outcome], [code, outcome]);
    if (code !== undefined) assert.equal(result.cause.message, 'changed my mind');
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  }
});

test('a call whose signal has aborted before is not sent', async () => {
  const { link, calls } = paperLink([prompt]);
  const signal = AbortSignal.abort();
  for (const request of [read('a'), write('b')]) {
    assert.equal((await rejection(link.call(request, { signal }))).code, 'ABORTED');
  }
  assert.equal((await rejection(link.begin('transaction', 1000, { timeoutMs: 1000, signal }, true))).code, 'ABORTED');
  assert.deepEqual(calls(), []);
});

test('a transaction that was granted after its caller had given up is ended', async () => {
  let tell;
  const { link, calls } = paperLink([(call, told) => void (call.verb === 'tx.begin' ? (tell = told) : told.reply?.())]);
  const error = await rejection(link.begin('transaction', 1000, { timeoutMs: 20 }, true));
  assert.ok(['TIMEOUT', 'OWNER_UNRESPONSIVE'].includes(error.code));
  tell.reply(counted(9));
  assert.deepEqual(
    calls().map(({ verb, scope }) => [verb, scope]),
    [
      ['tx.begin', 0],
      ['tx.rollback', 9],
    ],
  );
});

test('a lost owner loses its transactions, and a commit that was on its way is asked for again', async () => {
  let lose;
  const first = (call, told) => {
    lose = told.lose;
    if (call.verb === 'tx.begin') queueMicrotask(() => told.reply(counted(5)));
  };
  for (const [answer, code] of [
    [prompt, undefined],
    [(_, { fail }) => queueMicrotask(() => fail('TRANSACTION_LOST', 'not-applied')), 'TRANSACTION_LOST'],
  ]) {
    const { link, calls } = paperLink([first, answer]);
    const patience = { timeoutMs: 1000 };
    const scope = await link.begin('transaction', 1000, patience, true);
    const inside = rejection(scope.call(write('add'), patience));
    const committing = scope.commit(patience, undefined).catch((error) => error);
    lose();
    assert.equal((await inside).code, 'TRANSACTION_LOST');
    assert.equal((await committing)?.code, code);
    const commits = calls().filter(({ verb }) => verb === 'tx.commit');
    assert.deepEqual(
      commits.map(({ owner, attempt, operationId }) => [owner, attempt, operationId]),
      [
        [0, 1, 'me:1'],
        [1, 2, 'me:1'],
      ],
    );
  }
});

test('a snapshot of a lost owner has expired', async () => {
  const first = (call, told) => {
    if (call.verb === 'snapshot.begin') queueMicrotask(() => told.reply(counted(5)));
    else setImmediate(() => told.lose());
  };
  const { link } = paperLink([first, prompt]);
  const scope = await link.begin('snapshot', 1000, { timeoutMs: 1000 }, true);
  assert.equal((await rejection(scope.call(read('get'), { timeoutMs: 1000 }))).code, 'SNAPSHOT_EXPIRED');
  assert.equal((await rejection(scope.lost)).code, 'SNAPSHOT_EXPIRED');
  assert.equal((await rejection(scope.call(read('get'), { timeoutMs: 1000 }))).code, 'SNAPSHOT_EXPIRED');
});

test('close lets calls and transactions end, rejects what comes later, and does not wait for an idle view', async () => {
  const held = [];
  const { link, connector } = paperLink([
    (call, told) => {
      if (call.verb === 'tx.begin') queueMicrotask(() => told.reply(counted(1)));
      else if (call.verb === 'snapshot.begin') queueMicrotask(() => told.reply(counted(2)));
      else held.push(told);
    },
  ]);
  const patience = { timeoutMs: 1000 };
  const transaction = await link.begin('transaction', 1000, patience, true);
  const view = await link.begin('snapshot', 1000, patience, false);
  const calling = link.call(write('add'), {});
  const ending = link.close();
  assert.equal(link.close(), ending);
  assert.equal((await rejection(link.call(read('late'), {}))).code, 'STORE_CLOSED');
  held[0].reply();
  await calling;
  const inside = transaction.call(write('add'), patience);
  held[1].reply();
  await inside;
  const committing = transaction.commit(patience, undefined);
  held[2].reply();
  await committing;
  await ending;
  assert.equal(view.isLost, true);
  assert.equal(connector.released, 1);
});

test('what waits keeps the process alive, and nothing else does', async () => {
  const { link, log } = paperLink([prompt]);
  await link.call(write('add'), {});
  await link.call(write('add'), {});
  assert.deepEqual(
    log.map(({ verb }) => verb),
    ['hold', 'add', 'let go', 'hold', 'add', 'let go'],
  );
});

test('who watches asks each owner for changes, before anything else, and hears of what it may have missed', async () => {
  const { link, log } = paperLink([lost_at_b, prompt, prompt]);
  await link.call(write('a'), {});
  const told = [];
  const [end, other] = [link.watch((change) => told.push(change)), link.watch(() => undefined)];
  assert.deepEqual(told, []);
  const calling = link.call(write('b'), {});
  await calling;
  assert.deepEqual(told, [{ sessions: null, streaming: [], bots: true }]);
  other();
  end();
  end();
  assert.deepEqual(
    log.filter(({ verb }) => !['hold', 'let go'].includes(verb)).map(({ owner, verb }) => `${owner} ${verb}`),
    ['0 a', '0 watch', '0 b', '1 watch', '1 b', '1 watch no more'],
  );
});

test('who watches is told when no owner can be found, once, and when there is one again', async () => {
  let works = true;
  let events;
  const connector = {
    awaitsOwner: false,
    async connect(given) {
      events = given;
      if (!works) throw plain('IO_ERROR');
      return {
        remote: true,
        send: ({ call }) => queueMicrotask(() => events.reply(call, counted(1))),
        pause: silent,
        cancel: silent,
        ping: silent,
        hold: silent,
        watch: silent,
        close: silent,
      };
    },
    release: async () => undefined,
  };
  const link = new Link(connector, { name: 'me', retries: 3 });
  await link.call(read('get'), {});
  let told = 0;
  // As a live query does.
  const failures = [];
  link.watch(() => {
    told++;
    link.call(read('get'), {}).catch((error) => failures.push(error.message));
  });
  works = false;
  events.gone(false);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([told, failures.length], [1, 1]);
  works = true;
  await link.call(read('get'), {});
  assert.equal(told, 2);
});
