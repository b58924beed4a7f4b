/**
 * Many at once: readers, writers, and both.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { atLeast, failureFrom, failureOf, found, percentile, under } from '../findings.js';
import { poolOf } from '../figures.js';
import type { Category, Context, Finding, Item, Store } from '../types.js';
import { chat, count, holdSnapshots, inTurn, orphans, pause, repeat, said, texts, together } from '../work.js';

/** So many connections read at once, each the same state twice. */
async function connections(context: Context, howMany: number): Promise<Finding> {
  const { store } = await context.scratch({ pool: { min: 5, max: 20 } });
  const { sessionId } = await chat(context, store, 50);
  const results = await Promise.allSettled(
    repeat(howMany, () =>
      store.snapshot(async (view) => {
        const first = await texts(view, sessionId);
        await pause(5);
        return [first.length, (await texts(view, sessionId)).length];
      }),
    ),
  );
  const { mostInUse, inUse } = await poolOf(store);
  const wrong = results.filter((result) => result.status === 'rejected' || result.value.join() !== '50,50');
  return found({
    'that read something else or failed': [0, wrong.length],
    'open at once': [Math.min(howMany, 20), mostInUse],
    'open afterwards': [0, inUse],
  });
}

/** Reads again and again until told to stop; gives what each read saw. */
function reader(store: Store, sessionId: string): { stop: () => Promise<string[][]> } {
  const over = new AbortController();
  const all: string[][] = [];
  const running = (async () => {
    do all.push(await store.snapshot((view) => texts(view, sessionId)));
    while (!over.signal.aborted);
  })();
  running.catch(() => undefined);
  return {
    stop: async () => {
      over.abort();
      await running;
      return all;
    },
  };
}

/** How long something takes, in milliseconds, and what it gives. */
async function clocked<T>(context: Context, run: () => Promise<T>): Promise<[ms: number, result: T]> {
  const began = context.now();
  const result = await run();
  return [context.now() - began, result];
}

/** Reads that saw some of the rows that were written beside them, and not yet all. */
const inTheMiddle = (reads: string[][], rows: number): number =>
  reads.filter((all) => all.length > 0 && all.length < rows).length;

/** Five writers, of ten transactions each, beside four readers of the same rows and one of others. */
async function mixed(
  context: Context,
): Promise<{ ms: number; written: string[]; seen: string[][][]; others: string[][] }> {
  const store = await context.store();
  const { sessionId } = await chat(context, store);
  const { sessionId: other } = await chat(context, store, 100);
  const readers = repeat(4, () => reader(store, sessionId));
  const still = reader(store, other);
  const [ms] = await clocked(context, () =>
    together(5, (writer) =>
      inTurn(10, (round) =>
        store.transaction(async (tx) => {
          const name = `${String(writer)} ${String(round)}`;
          await tx.messages.add(said(sessionId, `${name} a`));
          await tx.messages.add(said(sessionId, `${name} b`));
        }),
      ),
    ),
  );
  const seen = await Promise.all(readers.map((one) => one.stop()));
  const others = await still.stop();
  return { ms, written: await texts(store, sessionId), seen, others };
}

/** Five writers with a handle each, of twenty messages in turn. */
async function writers(context: Context): Promise<{ ms: number; store: Store; sessionId: string }> {
  const scratch = await context.scratch();
  const handles = [scratch.store, ...(await inTurn(4, () => scratch.another()))];
  const { sessionId } = await chat(context, scratch.store);
  const [ms] = await clocked(context, () =>
    together(5, (writer) =>
      inTurn(20, (i) =>
        (handles[writer] ?? scratch.store).messages.add(said(sessionId, `${String(writer)}-${String(i)}`)),
      ),
    ),
  );
  return { ms, store: scratch.store, sessionId };
}

/** A thousand inserts, a hundred at once, with a read that begins beside each hundred, and one that reads all the time. */
async function bulk(context: Context): Promise<{ ms: number; store: Store; sessionId: string; seen: string[][] }> {
  const { store } = await context.scratch();
  const { sessionId } = await chat(context, store);
  const reading = reader(store, sessionId);
  const [ms, seen] = await clocked(context, () =>
    inTurn(10, async (round) => {
      const adding = together(100, (i) => store.messages.add(said(sessionId, String(round * 100 + i))));
      const read = store.snapshot((view) => texts(view, sessionId));
      const [rows] = await Promise.all([read, adding]);
      return rows;
    }),
  );
  return { ms, store, sessionId, seen: [...seen, ...(await reading.stop())] };
}

/** How long a scenario takes beside what it may take. */
function timeOf(id: string, title: string, targetMs: number, run: (context: Context) => Promise<{ ms: number }>): Item {
  return {
    id: `concurrency.time.${id}`,
    title: `${title} in under ${String(targetMs / 1_000)} s`,
    timed: true,
    run: async (context) => {
      const { ms } = await run(context);
      const rule = under(targetMs, 'ms');
      return found({ took: [rule, ms] }, [{ name: 'took', value: ms, unit: 'ms', target: rule.text }]);
    },
  };
}

export const concurrency: Category = {
  id: 'concurrency',
  title: 'Concurrent access',
  items: [
    {
      id: 'concurrency.readers',
      title: 'Ten readers of the same rows see the same',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 300);
        const seen = await together(10, () => store.snapshot((view) => texts(view, sessionId)));
        const different = new Set(seen.map((all) => all.join('\n')));
        return found({ 'different results': [1, different.size], rows: [300, seen[0]?.length] });
      },
    },
    {
      id: 'concurrency.time.readers',
      title:
        'Ten readers at once do not slow each other down: they take less than twice as long as one that reads ten times',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 300);
        const read = (): Promise<string[]> => store.snapshot((view) => texts(view, sessionId));
        const rounds = await inTurn(9, async () => {
          const [one] = await clocked(context, () => inTurn(10, read));
          const [ten] = await clocked(context, () => together(10, read));
          return { one, ten };
        });
        const one = percentile(
          rounds.map((round) => round.one),
          50,
        );
        const ten = percentile(
          rounds.map((round) => round.ten),
          50,
        );
        // Twice as long is what a machine with other things to do may make of it.
        const rule = under(2);
        return found({ 'at once, for the time of one by one': [rule, ten / one] }, [
          { name: 'at once, for the time of one by one', value: ten / one, unit: '', target: rule.text },
          { name: 'one reader, ten times', value: one, unit: 'ms' },
          { name: 'ten readers at once', value: ten, unit: 'ms' },
        ]);
      },
    },
    {
      id: 'concurrency.write-beside-readers',
      title: 'Readers hold up nobody: a write is done while ten snapshots stay open, and none of them shows it',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 10);
        const { views, release } = await holdSnapshots(context, store, 10);
        const write = await failureOf(store.messages.add(said(sessionId, 'meanwhile'), { timeoutMs: 10_000 }));
        const seen = await Promise.all(views.map(async (view) => (await texts(view, sessionId)).length));
        await release();
        return found({
          'error of the write': ['none', write.code],
          'rows that each snapshot shows': [repeat(10, () => 10), seen],
          'rows afterwards': [11, (await texts(store, sessionId)).length],
        });
      },
    },
    {
      id: 'concurrency.mixed',
      title: 'Five readers beside five writers: whole transactions only, never backwards',
      run: async (context) => {
        const { written, seen, others } = await mixed(context);
        const halves = seen.flat().filter((all) => all.length % 2 === 1).length;
        const backwards = seen.flatMap((reads) =>
          reads.filter((all, i) => i > 0 && all.length < (reads[i - 1]?.length ?? 0)),
        );
        const middle = inTheMiddle(seen.flat(), 100);
        return found(
          {
            messages: [100, written.length],
            'reads of half a transaction': [0, halves],
            'reads that went back': [0, backwards.length],
            'other rows that changed': [0, others.filter((all) => all.length !== 100).length],
            'reads between the first and the last write': [atLeast(1), middle],
          },
          [
            { name: 'reads', value: seen.flat().length + others.length, unit: '' },
            { name: 'of them amid the writes', value: middle, unit: '' },
          ],
        );
      },
    },
    timeOf('mixed', 'Five readers beside five writers: 50 transactions', 2_000, mixed),
    {
      id: 'concurrency.unblocked',
      title: 'Readers are done while a write transaction stays open',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 5);
        const seen = await store.transaction(async (tx) => {
          await tx.messages.add(said(sessionId, 'not yet'));
          return together(5, async () => (await texts(store, sessionId)).length);
        });
        return found({ 'rows seen by five': [[5, 5, 5, 5, 5], seen] });
      },
    },
    {
      id: 'concurrency.writers',
      title: 'Five writers to one table: all rows, none twice, each in its place',
      run: async (context) => {
        const { store, sessionId } = await writers(context);
        const all = await texts(store, sessionId);
        const places = await count(store, 'SELECT count(DISTINCT seq) FROM messages');
        const inOrder = repeat(5, (writer) =>
          all.filter((text) => text.startsWith(`${String(writer)}-`)).join(),
        ).filter((order, writer) => order !== repeat(20, (i) => `${String(writer)}-${String(i)}`).join());
        return found({
          messages: [100, all.length],
          'different ones': [100, new Set(all).size],
          places: [100, places],
          'writers whose order is lost': [0, inOrder.length],
          orphans: [0, await orphans(store)],
        });
      },
    },
    timeOf('writers', 'Five writers of twenty messages each:', 2_000, writers),
    {
      id: 'concurrency.bulk',
      title: 'A thousand inserts beside reads: each read shows a beginning, none is lost, and no connection lacks',
      run: async (context) => {
        const { store, sessionId, seen } = await bulk(context);
        const wrong = seen.filter((all) => all.some((text, i) => text !== String(i)));
        const middle = inTheMiddle(seen, 1_000);
        const { inUse, timeouts } = await poolOf(store);
        return found(
          {
            messages: [1_000, (await texts(store, sessionId)).length],
            'reads of anything else': [0, wrong.length],
            'reads between the first and the last insert': [atLeast(1), middle],
            'that got no connection': [0, timeouts],
            'connections in use afterwards': [0, inUse],
          },
          [
            { name: 'reads', value: seen.length, unit: '' },
            { name: 'of them amid the inserts', value: middle, unit: '' },
          ],
        );
      },
    },
    timeOf('bulk', 'A thousand inserts beside reads:', 2_000, bulk),
    ...[10, 20, 50].map((howMany) => ({
      id: `concurrency.connections.${String(howMany)}`,
      title: `${String(howMany)} connections at once: ${howMany > 20 ? 'those above the pool’s 20 wait for their turn' : 'stable'}`,
      run: (context: Context) => connections(context, howMany),
    })),
    {
      id: 'concurrency.operations',
      title: 'A hundred operations of all kinds at once: all settle, as they would alone',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const name = context.id();
        const results = await Promise.allSettled(
          repeat(100, (i): Promise<unknown> => {
            switch (i % 5) {
              case 0:
                return store.messages.add(said(sessionId, String(i)));
              case 1:
                return store.messages.list({ sessionId });
              case 2:
                return store.transaction((tx) => tx.messages.add(said(sessionId, String(i))));
              case 3:
                return store.search(String(i - 3));
              default:
                return store.bots.create({ name: `${name} ${String(i % 10)}` });
            }
          }),
        );
        const errors = results.flatMap((result) =>
          result.status === 'rejected' ? [failureFrom(result.reason).code] : [],
        );
        return found({
          messages: [40, (await texts(store, sessionId)).length],
          'errors, of names that were taken': [repeat(18, () => 'CONSTRAINT_UNIQUE'), errors],
        });
      },
    },
  ],
};
