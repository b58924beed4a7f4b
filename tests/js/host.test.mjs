/** The host with a core of paper: the queue, leases, and what happens when the core dies. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
/* oxlint-disable typescript/only-throw-error -- the core throws plain objects */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importSource, rejection } from './support.mjs';

const { Host } = await importSource('js/host/host.ts');

const patient = { timeoutMs: 30_000 };
const write = (verb) => ({ verb, write: true });
const read = (verb) => ({ verb, write: false });

/** A reply that says that nothing waits for the index. */
function counted(messages) {
  const bytes = new Uint8Array(32 + 8 + 24);
  new Uint32Array(bytes.buffer, 0, 8).set([6, 1, 3, 0, 0, 0, 0xffffffff, 0xffffffff]);
  bytes.set([1, 1, 1], 32);
  new Float64Array(bytes.buffer, 40, 3).set([0, 0, messages]);
  return bytes;
}

/** A core that notes what it is asked and does as it is told for some verbs. */
function paperHost({ verbs = {}, controls = {}, replaceable = true } = {}) {
  const log = [];
  const counts = { opened: 0, discarded: 0, released: 0 };
  const host = new Host({
    openInstance() {
      counts.opened++;
      return {
        call(in_transaction, verb) {
          log.push(in_transaction ? `tx ${verb}` : verb);
          return verbs[verb] === undefined ? counted(0) : verbs[verb]();
        },
        control(action) {
          log.push(action);
          controls[action]?.();
        },
        close: () => log.push('close'),
        free: () => log.push('free'),
      };
    },
    discardInstance: () => counts.discarded++,
    releaseOwnership: async () => void counts.released++,
    replaceable,
  });
  return { host, log, counts };
}

test('writes run in the order in which they were called', async () => {
  const { host, log } = paperHost();
  await Promise.all(['a', 'b', 'c'].map((verb) => host.call(write(verb), patient)));
  assert.deepEqual(log, ['a', 'b', 'c']);
});

test('a write waits for an open transaction, a read does not', async () => {
  const { host, log } = paperHost();
  const transaction = await host.begin(1000, patient);
  const waiting = host.call(write('later'), patient);
  await host.call(read('now'), patient);
  await transaction.call(write('inside'));
  assert.deepEqual(log, ['begin', 'now', 'tx inside']);
  transaction.commit();
  await waiting;
  assert.deepEqual(log, ['begin', 'now', 'tx inside', 'commit', 'later']);
});

test('a write that waits in vain says so, applies nothing and names the likely mistake', async () => {
  const { host, log } = paperHost();
  const transaction = await host.begin(60_000, patient);
  const error = await rejection(host.call(write('messages.add'), { timeoutMs: 5 }));
  assert.equal(error.code, 'TIMEOUT');
  assert.equal(error.outcome, 'not-applied');
  assert.match(error.message, /use tx\.\* instead of store\.\*/);
  transaction.commit();
  await host.call(write('next'), patient);
  assert.deepEqual(log, ['begin', 'commit', 'next']);
});

test('an abort takes a waiting write out of the queue and leaves the others in it', async () => {
  const { host, log } = paperHost();
  const transaction = await host.begin(60_000, patient);
  const controller = new AbortController();
  const first = host.call(write('first'), patient);
  const aborted = host.call(write('aborted'), { timeoutMs: 30_000, signal: controller.signal });
  const last = host.call(write('last'), patient);
  controller.abort(new Error('changed my mind'));
  const error = await rejection(aborted);
  assert.equal(error.code, 'ABORTED');
  assert.equal(error.outcome, 'not-applied');
  assert.equal(error.cause.message, 'changed my mind');
  transaction.rollback();
  await Promise.all([first, last]);
  assert.deepEqual(log, ['begin', 'rollback', 'first', 'last']);
});

test('a call whose signal has aborted before does not run', async () => {
  const { host, log } = paperHost();
  const signal = AbortSignal.abort();
  for (const request of [read('a'), write('b')]) {
    assert.equal((await rejection(host.call(request, { timeoutMs: 1000, signal }))).code, 'ABORTED');
  }
  assert.equal((await rejection(host.begin(1000, { timeoutMs: 1000, signal }))).code, 'ABORTED');
  assert.deepEqual(log, []);
});

test('a lease that ends takes the transaction back and the queue goes on', async () => {
  const { host, log } = paperHost();
  const transaction = await host.begin(5, patient);
  const waiting = host.call(write('next'), patient);
  assert.equal((await rejection(transaction.lost)).code, 'TRANSACTION_LOST');
  await waiting;
  assert.deepEqual(log, ['begin', 'rollback', 'next']);
  assert.equal((await rejection(transaction.call(read('late')))).code, 'TRANSACTION_LOST');
  assert.throws(() => transaction.commit(), { code: 'TRANSACTION_LOST' });
  assert.deepEqual(log, ['begin', 'rollback', 'next']);
});

test('a signal that aborts takes the open transaction back', async () => {
  const { host, log } = paperHost();
  const controller = new AbortController();
  const transaction = await host.begin(60_000, { timeoutMs: 1000, signal: controller.signal });
  controller.abort();
  assert.equal((await rejection(transaction.lost)).code, 'ABORTED');
  assert.deepEqual(log, ['begin', 'rollback']);
});

test('a core that traps is replaced at the next call, and its files are closed', async () => {
  let trap = true;
  const { host, counts } = paperHost({
    verbs: {
      fragile: () => {
        if (trap) throw new WebAssembly.RuntimeError('unreachable');
        return counted(0);
      },
    },
  });
  const error = await rejection(host.call(write('fragile'), patient));
  assert.equal(error.code, 'INTERNAL');
  assert.equal(error.outcome, 'unknown');
  assert.ok(error.cause instanceof WebAssembly.RuntimeError);
  assert.deepEqual(counts, { opened: 1, discarded: 1, released: 0 });
  trap = false;
  await host.call(write('fragile'), patient);
  assert.deepEqual(counts, { opened: 2, discarded: 1, released: 0 });
});

test('a trap loses the open transaction, also one that another call ran into', async () => {
  const { host } = paperHost({
    verbs: {
      fragile: () => {
        throw new WebAssembly.RuntimeError('unreachable');
      },
    },
  });
  const transaction = await host.begin(60_000, patient);
  await rejection(host.call(read('fragile'), patient));
  assert.equal((await rejection(transaction.lost)).code, 'TRANSACTION_LOST');
  await host.call(write('next'), patient);
});

test('a trap in a commit leaves the outcome unknown and the queue free', async () => {
  const { host } = paperHost({
    controls: {
      commit: () => {
        throw new WebAssembly.RuntimeError('unreachable');
      },
    },
  });
  const transaction = await host.begin(60_000, patient);
  assert.throws(() => transaction.commit(), { code: 'INTERNAL', outcome: 'unknown' });
  await host.call(write('next'), patient);
});

test('memory that died with its core is not silently replaced by an empty one', async () => {
  const { host, counts } = paperHost({
    replaceable: false,
    verbs: {
      fragile: () => {
        throw new WebAssembly.RuntimeError('unreachable');
      },
    },
  });
  await rejection(host.call(read('fragile'), patient));
  assert.equal((await rejection(host.call(read('other'), patient))).code, 'INTERNAL');
  assert.equal(counts.opened, 1);
  await host.close();
});

test('an error of the core keeps its code, message and details, and the instance', async () => {
  const { host, counts } = paperHost({
    verbs: {
      refused: () => {
        throw { code: 'CONSTRAINT_UNIQUE', message: 'taken', details: { column: 'name' } };
      },
    },
  });
  const error = await rejection(host.call(write('refused'), patient));
  assert.deepEqual([error.code, error.message, error.details], ['CONSTRAINT_UNIQUE', 'taken', { column: 'name' }]);
  assert.equal(counts.opened, 1);
});

test('a transaction that the core has ended by itself is lost', async () => {
  const { host } = paperHost({
    verbs: {
      full: () => {
        throw { code: 'TRANSACTION_LOST', message: 'the disk is full', details: {} };
      },
    },
  });
  const transaction = await host.begin(60_000, patient);
  assert.equal((await rejection(transaction.call(write('full')))).code, 'TRANSACTION_LOST');
  assert.equal((await rejection(transaction.lost)).code, 'TRANSACTION_LOST');
  await host.call(write('next'), patient);
});

test('a search that finds the index behind waits its turn and brings it up first', async () => {
  let waiting = 2;
  const { host, log } = paperHost({
    verbs: {
      search: () => {
        if (waiting > 0) throw { code: 'INDEX_PENDING', message: '', details: {} };
        return counted(0);
      },
      'search.index': () => counted(--waiting),
    },
  });
  const transaction = await host.begin(60_000, patient);
  const searching = host.call(read('search'), patient);
  const later = host.call(write('later'), patient);
  transaction.commit();
  await Promise.all([searching, later]);
  assert.deepEqual(log, ['begin', 'search', 'commit', 'search.index', 'search.index', 'search', 'later']);
});

test('what was written is indexed when nothing else happens', async () => {
  let waiting = 3;
  let done;
  const indexed = new Promise((resolve) => (done = resolve));
  const { host, log } = paperHost({
    verbs: {
      'search.index': () => {
        if (--waiting === 0) done();
        return counted(waiting);
      },
    },
  });
  await host.call(write('a'), patient);
  // The timers of indexing let a process end, so this one keeps it.
  const alive = setInterval(() => undefined, 1000);
  await indexed;
  clearInterval(alive);
  assert.deepEqual(log, ['a', 'search.index', 'search.index', 'search.index']);
  await host.close();
});

test('close rejects later calls, lets those made before it settle, and is idempotent', async () => {
  const { host, log, counts } = paperHost();
  const transaction = await host.begin(60_000, patient);
  const queued = host.call(write('queued'), patient);
  const closing = host.close();
  assert.equal(host.close(), closing);
  assert.equal((await rejection(host.call(read('late'), patient))).code, 'STORE_CLOSED');
  assert.equal((await rejection(host.begin(1000, patient))).code, 'STORE_CLOSED');
  await transaction.call(write('inside'));
  transaction.commit();
  await Promise.all([queued, closing]);
  assert.deepEqual(log, ['begin', 'tx inside', 'commit', 'queued', 'close', 'free']);
  assert.equal(counts.released, 1);
});
