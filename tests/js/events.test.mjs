/** What a callback of the program's own may do while the store works: nothing of the store's is lost by it. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runModule, temporaryFolder } from './support.mjs';

for (const worker of [false, true]) {
  const where = worker ? 'in a thread of its own' : 'in this thread';
  test(`what onEvent throws is an uncaught exception, and every call settles all the same, ${where}`, async () => {
    const { lines, errors, code } = await runModule(
      `
      import { ChatStore } from 'chatstore';
      const uncaught = new Set();
      process.on('uncaughtException', ({ message }) => uncaught.add(message));
      const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const settled = (promise) =>
        Promise.race([promise.then(() => 'done', ({ code, message }) => code ?? message), wait(8_000).then(() => 'HANGS')]);
      const [path, worker] = process.argv.slice(-2);
      const quiet = await ChatStore.open(path, { worker: worker === 'true', slowQueryMs: 1 });
      const loud = await ChatStore.open(path, {
        worker: worker === 'true',
        onEvent: ({ type }) => { throw new Error('my fault in ' + type) },
      });
      await quiet.sessions.create({ id: 's' });
      const long = { sessionId: 's', role: 'user', content: 'x'.repeat(900_000) };
      const many = Array.from({ length: 20 }, () => long);
      const results = await Promise.all([
        ...[loud, quiet].flatMap((store) => [store.messages.addMany(many), store.messages.add(long)]),
        quiet.messages.addMany(many, { timeoutMs: 7_000 }),
        loud.query('WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT sum(i) FROM n'),
        loud.query('SELEC'),
      ].map(settled));
      console.log(results.join());
      console.log(await settled(loud.close()), await settled(quiet.close()));
      await wait(0);
      console.log([...uncaught].toSorted().join());
      process.exit(0);
    `,
      join(temporaryFolder(), 'a.chat'),
      String(worker),
    );
    assert.deepEqual([errors, code], ['', 0]);
    assert.deepEqual(lines, [
      'done,done,done,done,done,done,INVALID_SQL',
      'done done',
      'my fault in query_failed,my fault in slow_query',
    ]);
  });
}

test('onEvent is not called within the work of the store: it may call the store, and close it', async () => {
  const { lines, errors, code } = await runModule(`
    import { ChatStore } from 'chatstore';
    let inside = 0;
    const store = await ChatStore.open(':memory:', {
      onEvent: async ({ type }) => {
        console.log(type, inside);
        await store.close();
        console.log('closed');
      },
    });
    inside++;
    const failing = store.query('SELEC').catch(({ code }) => console.log(code));
    inside--;
    await failing;
  `);
  assert.deepEqual([errors, code], ['', 0]);
  assert.deepEqual(lines, ['query_failed 0', 'INVALID_SQL', 'closed']);
});
