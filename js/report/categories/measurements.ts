/**
 * The benchmark table, the health of the file, and what a store takes of the machine.
 *
 * Holds: the checks of those categories, each beside its target. Must not know: an environment.
 */

import { atLeast, atMost, found, notMeasurable, oneOf, over, times, under } from '../findings.js';
import { diskOperations, outOfOrder, poolOf, reuseOf } from '../figures.js';
import type { Category, Context, Finding, Item, Store } from '../types.js';
import { chat, count, inTurn, pause, repeat, said } from '../work.js';
import { acquire } from './pool.js';

const ROUNDS = 30;
const MIB = 1024 * 1024;

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
      title: 'Fragmentation is under 5 %: pages that hold nothing',
      readOnly: true,
      run: async (context) => {
        const store = await context.store();
        if (!context.readsOnly) await chat(context, store, 2_000);
        const value = ((await count(store, 'PRAGMA freelist_count')) / (await count(store, 'PRAGMA page_count'))) * 100;
        const rule = under(5, '%');
        return found({ 'pages without use': [rule, value] }, [
          { name: 'fragmentation', value, unit: '%', target: rule.text },
        ]);
      },
    },
    {
      id: 'health.order',
      title: 'Fragmentation is under 5 % after a full VACUUM: pages that lie out of order',
      run: async (context) => {
        const { store } = await context.scratch();
        const { sessionId } = await chat(context, store);
        await inTurn(20, () => store.messages.addMany(repeat(100, () => said(sessionId, 'some words '.repeat(20)))));
        const before = await outOfOrder(store);
        const rule = under(5, '%');
        await store.maintain({ vacuum: 'full' });
        const value = await outOfOrder(store);
        return found({ 'out of order': [rule, value] }, [
          { name: 'fragmentation', value, unit: '%', target: rule.text },
          { name: 'before', value: before, unit: '%' },
        ]);
      },
    },
    {
      id: 'health.index-efficiency',
      title: 'Index efficiency is over 95 %: the store’s own statements as they ran',
      readOnly: true,
      run: async (context) => {
        const store = await context.store();
        if (!context.readsOnly) {
          const { botId, sessionId } = await chat(context, store, 500);
          await store.messages.list({ botId });
          await store.sessions.list({ botId });
          await store.search('word', { sessionId });
        }
        const statements = (await store.stats({ deep: true })).deep?.statements ?? [];
        const sum = (field: 'steps' | 'scanSteps'): number => statements.reduce((all, one) => all + one[field], 0);
        // Tables of what waits are read as a whole, and have no rows: by statements alone they would count.
        const value = statements.length === 0 ? 100 : (1 - sum('scanSteps') / Math.max(1, sum('steps'))) * 100;
        const scanning = statements.filter((one) => one.scanSteps > 0).map(({ sql }) => sql);
        const rule = over(95, '%');
        return found(
          { 'steps of statements outside of scans': [rule, value], ...(value > 95 ? {} : { scans: [[], scanning] }) },
          [
            { name: 'index efficiency', value, unit: '%', target: rule.text },
            { name: 'statements looked at', value: statements.length, unit: '' },
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
      title: 'One host has the file, others are its clients, and a closed store leaves nothing behind',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        const other = await scratch.another();
        const roles = [scratch.store.info.role, other.info.role];
        await other.close();
        const store = await scratch.restart();
        const role = store.info.role;
        const leftovers = await scratch.leftovers?.();
        return found({
          'owners among two handles': [oneOf(['client', 'client'], ['owner', 'owner']), roles],
          'opened anew': [oneOf('owner', 'client'), role],
          'files left over': [[], leftovers ?? []],
        });
      },
    },
  ],
};
