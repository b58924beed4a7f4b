/** Transactions and savepoints: what is kept, what is seen, and that everything settles. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { rejection, temporaryFolder } from './support.mjs';

async function open(t, path = ':memory:') {
  const store = await ChatStore.open(path);
  t.after(() => store.close());
  await store.sessions.create({ id: 's' }, { ifExists: 'return' });
  return store;
}

const said = (content) => ({ sessionId: 's', role: 'user', content });
const texts = async (reader) =>
  (await reader.messages.list({ sessionId: 's' })).items.map((message) => message.content);
const never = () => new Promise(() => undefined);

for (const place of ['memory', 'file']) {
  const path = () => (place === 'memory' ? ':memory:' : join(temporaryFolder(), 'a.chat'));

  test(`${place}: a transaction gives what its callback gives and keeps all of it`, async (t) => {
    const store = await open(t, path());
    const result = await store.transaction(async (tx) => {
      await tx.messages.add(said('1'));
      await tx.sessions.update('s', { title: 'both' });
      return 'result';
    });
    assert.equal(result, 'result');
    assert.deepEqual(await texts(store), ['1']);
    assert.equal((await store.sessions.get('s')).title, 'both');
  });

  test(`${place}: a callback that throws takes back all of it, and the store goes on`, async (t) => {
    const store = await open(t, path());
    const thrown = new Error('no');
    for (const run of [
      async (tx) => {
        await tx.messages.add(said('1'));
        throw thrown;
      },
      (tx) => {
        void tx.messages.add(said('1'));
        throw thrown;
      },
    ]) {
      assert.equal(await rejection(store.transaction(run)), thrown);
    }
    assert.deepEqual(await texts(store), []);
    await store.messages.add(said('2'));
    assert.deepEqual(await texts(store), ['2']);
  });

  test(`${place}: a transaction sees its own writes, others see them when it has ended`, async (t) => {
    const store = await open(t, path());
    await store.messages.add(said('before'));
    await store.transaction(async (tx) => {
      await tx.messages.add(said('inside'));
      assert.deepEqual(await texts(tx), ['before', 'inside']);
      assert.deepEqual(await texts(store), ['before']);
      assert.equal((await tx.search('inside')).items.length, 1);
      assert.deepEqual(await tx.query('SELECT count(*) AS n FROM messages'), [{ n: 2 }]);
      assert.deepEqual(await store.query('SELECT count(*) AS n FROM messages'), [{ n: 1 }]);
      const seen = [];
      for await (const message of tx.messages.iterate({ sessionId: 's' })) seen.push(message.content);
      assert.deepEqual(seen, ['before', 'inside']);
    });
    assert.deepEqual(await texts(store), ['before', 'inside']);
    assert.equal((await store.search('inside')).items.length, 1);
  });

  test(`${place}: a savepoint that throws is taken back alone, its parent commits`, async (t) => {
    const store = await open(t, path());
    const thrown = new Error('no');
    await store.transaction(async (tx) => {
      await tx.messages.add(said('1'));
      const error = await rejection(
        tx.savepoint(async (inner) => {
          await inner.messages.add(said('2'));
          throw thrown;
        }),
      );
      assert.equal(error, thrown);
      assert.deepEqual(await texts(tx), ['1']);
      const kept = await tx.savepoint(async (outer) => {
        await outer.messages.add(said('3'));
        await rejection(
          outer.savepoint(async (inner) => {
            await inner.messages.add(said('4'));
            throw thrown;
          }),
        );
        await outer.savepoint((inner) => inner.messages.add(said('5')));
        return 'kept';
      });
      assert.equal(kept, 'kept');
      await tx.messages.add(said('6'));
    });
    assert.deepEqual(await texts(store), ['1', '3', '5', '6']);
  });
}

test('a call that fails inside takes back only itself where the callback goes on', async (t) => {
  const store = await open(t);
  await store.transaction(async (tx) => {
    await tx.messages.add({ ...said('1'), id: 'a' });
    assert.equal((await rejection(tx.messages.add({ ...said('x'), id: 'a' }))).code, 'CONSTRAINT_UNIQUE');
    assert.equal(
      (await rejection(tx.messages.addMany([said('2'), { ...said('x'), id: 'a' }]))).code,
      'CONSTRAINT_UNIQUE',
    );
    await tx.messages.add(said('3'));
  });
  assert.deepEqual(await texts(store), ['1', '3']);
});

test('calls that were made and not awaited are part of the transaction', async (t) => {
  const store = await open(t);
  const calls = [];
  await store.transaction((tx) => {
    calls.push(tx.messages.add(said('1')), tx.messages.add(said('2')));
    calls.push(
      tx.savepoint(async (inner) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        await inner.messages.add(said('3'));
      }),
    );
  });
  assert.deepEqual(await texts(store), ['1', '2', '3']);
  const settled = await Promise.allSettled(calls);
  assert.deepEqual(
    settled.map((call) => call.status),
    ['fulfilled', 'fulfilled', 'fulfilled'],
  );
});

test('a handle is of no use after its callback, nor the outer one while a savepoint is open', async (t) => {
  const store = await open(t);
  let kept;
  await store.transaction(async (tx) => {
    kept = tx;
    let inner_kept;
    await tx.savepoint(async (inner) => {
      inner_kept = inner;
      for (const call of [
        () => tx.messages.add(said('x')),
        () => tx.search('x'),
        () => tx.savepoint(() => undefined),
      ]) {
        const error = await rejection(call());
        assert.equal(error.code, 'TRANSACTION_STATE');
        assert.match(error.message, /savepoint/);
      }
    });
    assert.equal((await rejection(inner_kept.messages.add(said('x')))).code, 'TRANSACTION_STATE');
  });
  for (const call of [
    () => kept.messages.add(said('x')),
    () => kept.sessions.get('s'),
    () => kept.savepoint(() => undefined),
  ]) {
    assert.equal((await rejection(call())).code, 'TRANSACTION_STATE');
  }
  assert.deepEqual(await texts(store), []);
});

test('a lease that ends rolls back, rejects the transaction and its later calls, and frees the queue', async (t) => {
  const store = await open(t);
  let kept;
  const lost = store.transaction(
    async (tx) => {
      kept = tx;
      await tx.messages.add(said('lost'));
      await never();
    },
    { leaseMs: 20 },
  );
  const queued = store.messages.add(said('queued'));
  const error = await rejection(lost);
  assert.equal(error.code, 'TRANSACTION_LOST');
  assert.equal(error.outcome, 'not-applied');
  await queued;
  for (const call of [
    () => kept.messages.add(said('x')),
    () => kept.search('x'),
    () => kept.savepoint(() => undefined),
  ]) {
    assert.equal((await rejection(call())).code, 'TRANSACTION_LOST');
  }
  assert.deepEqual(await texts(store), ['queued']);
});

test('a lease that ends in a savepoint settles the savepoint too', async (t) => {
  const store = await open(t);
  let savepoint;
  const lost = store.transaction(
    (tx) => {
      savepoint = rejection(tx.savepoint(never));
      return savepoint;
    },
    { leaseMs: 20 },
  );
  assert.equal((await rejection(lost)).code, 'TRANSACTION_LOST');
  assert.equal((await Promise.resolve(savepoint)).code, 'TRANSACTION_LOST');
  await store.messages.add(said('next'));
});

test('a signal ends an open transaction and nothing of it is kept', async (t) => {
  const store = await open(t);
  const controller = new AbortController();
  const aborted = store.transaction(
    async (tx) => {
      await tx.messages.add(said('x'));
      controller.abort();
      await tx.messages.add(said('y'));
    },
    { signal: controller.signal },
  );
  const error = await rejection(aborted);
  assert.equal(error.code, 'ABORTED');
  assert.equal(error.outcome, 'not-applied');
  assert.deepEqual(await texts(store), []);
});

test('store writes awaited in a callback time out with advice, and the transaction can still commit', async (t) => {
  const store = await open(t);
  await store.transaction(async (tx) => {
    const error = await rejection(store.messages.add(said('outside'), { timeoutMs: 10 }));
    assert.equal(error.code, 'TIMEOUT');
    assert.equal(error.outcome, 'not-applied');
    assert.match(error.message, /use tx\.\* instead of store\.\*/);
    assert.equal((await rejection(store.transaction(() => undefined, { timeoutMs: 10 }))).code, 'TIMEOUT');
    await tx.messages.add(said('inside'));
  });
  assert.deepEqual(await texts(store), ['inside']);
});

test('transactions run one after the other in the order in which they were asked for', async (t) => {
  const store = await open(t);
  await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      store.transaction(async (tx) => {
        const before = await texts(tx);
        assert.equal(before.length, i * 2);
        await tx.messages.add(said(`${i} a`));
        await new Promise((resolve) => setImmediate(resolve));
        await tx.messages.add(said(`${i} b`));
      }),
    ),
  );
  assert.deepEqual(await texts(store), Array.from({ length: 20 }, (_, i) => [`${i} a`, `${i} b`]).flat());
});

test('close lets an open transaction end first', async (t) => {
  const path = join(temporaryFolder(), 'a.chat');
  const store = await open(t, path);
  const closing = [];
  await store.transaction(async (tx) => {
    closing.push(store.close());
    assert.equal((await rejection(store.messages.add(said('late')))).code, 'STORE_CLOSED');
    await tx.messages.add(said('inside'));
  });
  await Promise.all(closing);
  assert.deepEqual(await texts(await open(t, path)), ['inside']);
});
