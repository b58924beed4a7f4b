/**
 * The benchmark table, the health of the file, and what a store takes of the machine.
 *
 * Holds: the checks of those categories, each beside its target. Must not know: an environment.
 */

import { atLeast, atMost, failureOf, found, notMeasurable, over, times, under } from '../findings.js';
import { deepOf, diskOperations, memoryOf, MIB, poolOf, reuseOf } from '../figures.js';
import { minStatements, runVerbs } from '../plans.js';
import type { Category, Context, Figure, Finding, Item, Store } from '../types.js';
import { chat, count, inTurn, pause, repeat, said, together } from '../work.js';
import { acquire } from './pool.js';

const ROUNDS = 30;

/** Times one piece of work, round after round. */
function benchmark(
  id: string,
  title: string,
  targetMs: number,
  prepare: (context: Context, store: Store) => Promise<(round: number) => Promise<number | void>>,
): Item {
  return {
    id: `benchmarks.${id}`,
    title,
    timed: true,
    run: async (context): Promise<Finding> => {
      const store = await context.store();
      const work = await prepare(context, store);
      await work(-1);
      const taken = await inTurn(ROUNDS, async (round) => {
        const began = context.now();
        const own = await work(round);
        return own ?? context.now() - began;
      });
      return times(taken, targetMs);
    },
  };
}

export const benchmarks: Category = {
  id: 'benchmarks',
  title: 'Performance benchmarks',
  items: [
    benchmark('insert', 'Single insert', 10, async (context, store) => {
      const { sessionId } = await chat(context, store);
      return async (round) => void (await store.messages.add(said(sessionId, `word ${String(round)}`)));
    }),
    benchmark('bulk', 'Bulk insert (1,000)', 100, async (context, store) => {
      const { sessionId } = await chat(context, store);
      const batch = repeat(1_000, (i) => said(sessionId, `some words of message ${String(i)}`));
      return async () => void (await store.messages.addMany(batch));
    }),
    benchmark('select', 'Simple select', 10, async (context, store) => {
      const { sessionId } = await chat(context, store, 5_000);
      return async () => void (await store.messages.list({ sessionId }));
    }),
    benchmark('complex', 'Complex query', 50, async (context, store) => {
      const { botId } = await chat(context, store, 5_000);
      const sql = `SELECT s.title, b.name, count(*) AS messages, max(m.created_at) AS last FROM messages m
        JOIN sessions s ON s.key = m.session JOIN bots b ON b.key = m.bot
        WHERE b.id = ? AND m.created_at > ? GROUP BY s.key ORDER BY last DESC LIMIT 20`;
      return async () => void (await store.query(sql, { params: [botId, 1_000_000] }));
    }),
    benchmark('commit', 'Transaction commit', 50, async (context, store) => {
      const { sessionId } = await chat(context, store);
      return async () => {
        let written = 0;
        await store.transaction(async (tx) => {
          await tx.messages.add(said(sessionId, 'one'));
          await tx.sessions.update(sessionId, { metadata: { at: context.id() } });
          written = context.now();
        });
        return context.now() - written;
      };
    }),
    benchmark('acquire', 'Connection acquire', 10, (context, store) => Promise.resolve(() => acquire(context, store))),
  ],
};

/** Of all pages of the file, those that hold nothing, in percent. */
const pagesWithoutUse = async (store: Store): Promise<number> => {
  const { freePages, pages } = (await store.stats()).file;
  return (freePages / pages) * 100;
};

/** A store that has lost half of what was in it, and was then looked after as any store is; and how it was between. */
async function afterDeletions(context: Context): Promise<{ store: Store; before: number }> {
  const { store } = await context.scratch();
  const chats = await inTurn(4, () => chat(context, store, 1_000));
  await store.search('word');
  const [one, two] = chats;
  if (one !== undefined) await store.sessions.delete(one.sessionId, { permanent: true });
  if (two !== undefined) await store.messages.deleteWhere({ botId: two.botId }, { permanent: true });
  await store.search('word');
  const before = await pagesWithoutUse(store);
  await store.maintain();
  return { store, before };
}

export const health: Category = {
  id: 'health',
  title: 'Health',
  items: [
    {
      id: 'health.size',
      title: 'The file is of a size that fits what is in it',
      run: async (context) => {
        const scratch = await context.scratch();
        const { sessionId } = await chat(context, scratch.store);
        await scratch.store.messages.addMany(
          repeat(5_000, () => said(sessionId, 'some words that stand for a message of usual length '.repeat(4))),
        );
        const text = await count(scratch.store, 'SELECT sum(length(text)) FROM messages');
        const bytes = (await count(scratch.store, 'PRAGMA page_count')) * scratch.store.info.pageSizeBytes;
        const rule = atMost(2.5);
        return found({ 'bytes of the file for a byte of text': [rule, bytes / text] }, [
          { name: 'size of the file', value: bytes / MIB, unit: 'MiB' },
          { name: 'for a byte of text', value: bytes / text, unit: 'bytes', target: rule.text },
        ]);
      },
    },
    {
      id: 'health.fragmentation',
      title: 'Fragmentation is under 5 %: pages that hold nothing, after deletions and the usual maintenance',
      readOnly: true,
      run: async (context) => {
        const { store, before } = context.readsOnly
          ? { store: await context.store(), before: undefined }
          : await afterDeletions(context);
        const value = await pagesWithoutUse(store);
        const { fragmentation } = await deepOf(store);
        const rule = under(5, '%');
        const figures: Figure[] = [
          { name: 'pages without use', value, unit: '%', target: rule.text },
          { name: 'pages out of order', value: fragmentation * 100, unit: '%' },
        ];
        if (before === undefined) {
          // A store of somebody's own is not maintained here: who reads this has to know what to do.
          return found({ 'pages without use, which `chatstore maintain --vacuum` gives back': [rule, value] }, figures);
        }
        figures.push({ name: 'pages without use before maintenance', value: before, unit: '%' });
        return found(
          { 'pages without use before maintenance': [over(5, '%'), before], 'after it': [rule, value] },
          figures,
        );
      },
    },
    {
      id: 'health.order',
      title: 'Fragmentation is under 5 % after a full VACUUM: pages that lie out of order',
      run: async (context) => {
        const { store } = await context.scratch();
        const { sessionId } = await chat(context, store);
        await inTurn(20, () => store.messages.addMany(repeat(100, () => said(sessionId, 'some words '.repeat(20)))));
        const outOfOrder = async (): Promise<number> => (await deepOf(store)).fragmentation * 100;
        const before = await outOfOrder();
        await store.maintain({ vacuum: 'full' });
        const after = await outOfOrder();
        const rule = under(5, '%');
        return found({ 'out of order before': [over(5, '%'), before], 'after a full VACUUM': [rule, after] }, [
          { name: 'out of order after it', value: after, unit: '%', target: rule.text },
          { name: 'before it', value: before, unit: '%' },
        ]);
      },
    },
    {
      id: 'health.index-efficiency',
      title: 'Index efficiency is over 95 %: the store’s own statements as they ran',
      readOnly: true,
      run: async (context) => {
        const store = await context.store();
        await runVerbs(context, store);
        const { indexEfficiency, statements } = await deepOf(store);
        const sum = (field: 'steps' | 'scanSteps'): number => statements.reduce((all, one) => all + one[field], 0);
        // Tables of what waits are read as a whole, and have no rows: by statements alone they would count.
        const value = (1 - sum('scanSteps') / Math.max(1, sum('steps'))) * 100;
        const scanning = statements.filter((one) => one.scanSteps > 0).map(({ sql }) => sql);
        const rule = over(95, '%');
        return found(
          {
            'statements looked at': [atLeast(minStatements(context)), statements.length],
            'steps of them outside of scans': [rule, value],
            ...(value > 95 ? {} : { scans: [[], scanning] }),
          },
          [
            { name: 'index efficiency', value, unit: '%', target: rule.text },
            { name: 'runs without a table read from end to end', value: indexEfficiency * 100, unit: '%' },
            { name: 'statements looked at', value: statements.length, unit: '' },
            { name: 'their steps', value: sum('steps'), unit: '' },
          ],
        );
      },
    },
    {
      id: 'health.pool-efficiency',
      title: 'Pool efficiency is at least 98 %',
      run: async (context) => {
        const { store } = await context.scratch();
        await inTurn(500, () => acquire(context, store));
        const value = reuseOf(await poolOf(store));
        const rule = atLeast(98, '%');
        return found({ 'connections used again': [rule, value] }, [
          { name: 'pool efficiency', value, unit: '%', target: rule.text },
        ]);
      },
    },
    {
      id: 'health.verify',
      title: 'The whole file is sound: structure, checksums, rules, search index',
      readOnly: true,
      run: async (context) => {
        const { ok, problems, checked } = await (await context.store()).verify();
        return found({ sound: [true, ok], problems: [[], problems] }, [
          { name: 'pages', value: checked.pages, unit: '' },
          { name: 'sessions', value: checked.sessions, unit: '' },
          { name: 'messages', value: checked.messages, unit: '' },
        ]);
      },
    },
  ],
};

/** Whether a store that nobody uses stays still, after it has done what it does when nothing else is to do. */
async function idle(context: Context): Promise<{ cpu: number | undefined; disk: number }> {
  const { store } = await context.scratch();
  await chat(context, store, 1_000);
  await store.search('word');
  await pause(context.idleMs);
  const { cpuMs } = context.environment;
  const operations = await diskOperations(store);
  const [began, cpuBefore] = [context.now(), cpuMs?.()];
  await pause(context.idleMs);
  const elapsedMs = context.now() - began;
  const cpu = cpuMs === undefined || cpuBefore === undefined ? undefined : ((cpuMs() - cpuBefore) / elapsedMs) * 100;
  const disk = (((await diskOperations(store)) - operations) / elapsedMs) * 1_000;
  return { cpu, disk };
}

/** How often bots were listed at the host of a handle. */
const listsOf = async (store: Store): Promise<number> => (await store.stats()).verbs['bots.list']?.count ?? 0;

export const resources: Category = {
  id: 'resources',
  title: 'Resource usage',
  items: [
    {
      id: 'resources.memory',
      title: 'A connection takes at most 2 MB of memory',
      run: async (context) => {
        const { store } = await context.scratch();
        await chat(context, store, 5_000);
        await inTurn(20, () => store.snapshot((view) => view.query('SELECT sum(length(text)) FROM messages')));
        const value = (await store.stats()).memory.perConnectionBytes / 1e6;
        const rule = atMost(2, 'MB');
        return found({ 'a connection': [rule, value] }, [
          { name: 'memory of a connection', value, unit: 'MB', target: rule.text },
        ]);
      },
    },
    {
      id: 'resources.leaks',
      title: 'No memory leaks: the same work, done ten times more, takes no more memory',
      run: async (context) => {
        const { store } = await context.scratch();
        const round = async (): Promise<void> => {
          const { botId, sessionId } = await chat(context, store, 200);
          await store.search('word', { sessionId });
          await together(5, () => store.snapshot((view) => view.messages.list({ sessionId })));
          await failureOf(store.query('no sql'));
          await failureOf(store.transaction(() => Promise.reject(new Error('thrown on purpose'))));
          for await (const message of store.messages.iterate({ sessionId })) if (message.seq > 3) break;
          await store.bots.delete(botId, { permanent: true });
          await store.search('word');
        };
        await inTurn(5, round);
        const before = await memoryOf(store);
        await inTurn(10, round);
        const after = await memoryOf(store);
        // Caches and the search index have no fixed size to the byte.
        const rule = under(1, 'MiB');
        const grown = { sqlite: after.sqlite - before.sqlite, core: after.core - before.core };
        return found({ 'more of SQLite’s': [rule, grown.sqlite], 'more of the core’s': [rule, grown.core] }, [
          { name: 'more of SQLite’s', value: grown.sqlite, unit: 'MiB', target: rule.text },
          { name: 'more of the core’s', value: grown.core, unit: 'MiB', target: rule.text },
          { name: 'SQLite’s before', value: before.sqlite, unit: 'MiB' },
          { name: 'afterwards', value: after.sqlite, unit: 'MiB' },
          { name: 'the core’s before', value: before.core, unit: 'MiB' },
          { name: 'afterwards', value: after.core, unit: 'MiB' },
        ]);
      },
    },
    {
      id: 'resources.cpu',
      title: 'An idle store takes under 1 % of a processor',
      timed: true,
      run: async (context) => {
        const { cpu } = await idle(context);
        const rule = under(1, '%');
        if (cpu === undefined) return notMeasurable(rule.text, 'what the processor spends cannot be seen here');
        return found({ processor: [rule, cpu] }, [{ name: 'processor', value: cpu, unit: '%', target: rule.text }]);
      },
    },
    {
      id: 'resources.disk',
      title: 'An idle store does under 5 disk operations a second',
      timed: true,
      run: async (context) => {
        const { disk } = await idle(context);
        const rule = under(5);
        return found({ 'operations a second': [rule, disk] }, [
          { name: 'reads, writes and flushes', value: disk, unit: 'a second', target: rule.text },
        ]);
      },
    },
    {
      id: 'resources.locks',
      title: 'One host has the file: all handles talk to it, and a closed store leaves nothing behind',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        const { store } = scratch;
        const other = await scratch.another();
        const roles = [store.info.role, other.info.role];
        const before = [await listsOf(store), await listsOf(other)];
        await inTurn(3, () => store.bots.list());
        await inTurn(4, () => other.bots.list());
        // A host counts the calls of all its clients: a second one would know of its own only.
        const counted = [(await listsOf(store)) - (before[0] ?? 0), (await listsOf(other)) - (before[1] ?? 0)];
        await other.close();
        await scratch.restart();
        const leftovers = await scratch.leftovers?.();
        return found({
          // In Node another process has it, and both had to do without; in a page both have its one worker.
          'roles of two handles': [store.info.backend === 'node' ? ['client', 'client'] : ['owner', 'owner'], roles],
          'calls of both, as each handle’s host counts them': [[7, 7], counted],
          ...(leftovers === undefined ? {} : { 'files left over': [[], leftovers] }),
        });
      },
    },
  ],
};
