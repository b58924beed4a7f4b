/**
 * Many at once: readers, writers, and both.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { atMost, failureFrom, found } from '../findings.js';
import { poolOf } from '../figures.js';
import type { Category, Context, Finding, Store } from '../types.js';
import { chat, count, inTurn, orphans, pause, repeat, said, texts, together } from '../work.js';

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
      id: 'concurrency.write-beside-readers',
      title: 'Readers hold up nobody: a write is done while ten snapshots stay open',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 10);
        let written = false;
        const seen = await together(10, () =>
          store.snapshot(async (view) => {
            await texts(view, sessionId);
            if (!written) {
              written = true;
              await store.messages.add(said(sessionId, 'meanwhile'), { timeoutMs: 10_000 });
            }
            await pause(10);
            return (await texts(view, sessionId)).length;
          }),
        );
        return found({
          'rows seen': [atMost(11), Math.max(...seen)],
          'rows afterwards': [11, (await texts(store, sessionId)).length],
        });
      },
    },
    {
      id: 'concurrency.mixed',
      title: 'Five readers beside five writers: whole transactions only, never backwards',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const { sessionId: other } = await chat(context, store, 100);
        const readers = repeat(4, () => reader(store, sessionId));
        const still = reader(store, other);
        await together(5, (writer) =>
          inTurn(10, (round) =>
            store.transaction(async (tx) => {
              const name = `${String(writer)} ${String(round)}`;
              await tx.messages.add(said(sessionId, `${name} a`));
              await tx.messages.add(said(sessionId, `${name} b`));
            }),
          ),
        );
        const seen = await Promise.all(readers.map((one) => one.stop()));
        const unmoved = await still.stop();
        const halves = seen.flat().filter((all) => all.length % 2 === 1).length;
        const backwards = seen.flatMap((reads) =>
          reads.filter((all, i) => i > 0 && all.length < (reads[i - 1]?.length ?? 0)),
        );
        return found({
          messages: [100, (await texts(store, sessionId)).length],
          'reads of half a transaction': [0, halves],
          'reads that went back': [0, backwards.length],
          'other rows that changed': [0, unmoved.filter((all) => all.length !== 100).length],
        });
      },
    },
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
        const scratch = await context.scratch();
        const handles = [scratch.store, ...(await inTurn(4, () => scratch.another()))];
        const { sessionId } = await chat(context, scratch.store);
        await together(5, (writer) =>
          inTurn(20, (i) =>
            (handles[writer] ?? scratch.store).messages.add(said(sessionId, `${String(writer)}-${String(i)}`)),
          ),
        );
        const all = await texts(scratch.store, sessionId);
        const places = await count(scratch.store, 'SELECT count(DISTINCT seq) FROM messages');
        const inOrder = repeat(5, (writer) =>
          all.filter((text) => text.startsWith(`${String(writer)}-`)).join(),
        ).filter((order, writer) => order !== repeat(20, (i) => `${String(writer)}-${String(i)}`).join());
        return found({
          messages: [100, all.length],
          'different ones': [100, new Set(all).size],
          places: [100, places],
          'writers whose order is lost': [0, inOrder.length],
          orphans: [0, await orphans(scratch.store)],
        });
      },
    },
    {
      id: 'concurrency.bulk',
      title: 'A thousand inserts beside reads: each read shows a beginning, and none is lost',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const reading = reader(store, sessionId);
        await together(1_000, (i) => store.messages.add(said(sessionId, String(i))));
        const seen = await reading.stop();
        const wrong = seen.filter((all) => all.some((text, i) => text !== String(i)));
        return found({
          messages: [1_000, (await texts(store, sessionId)).length],
          'reads of anything else': [0, wrong.length],
        });
      },
    },
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
