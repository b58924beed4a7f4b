/**
 * The pool of connections that snapshots read from: its size, what it keeps, what it gives out again.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { atLeast, failureOf, found, times } from '../findings.js';
import { poolOf, reuseOf } from '../figures.js';
import type { Category, Context, Store } from '../types.js';
import { chat, count, holdSnapshots, inTurn, pause, said, texts, together, until } from '../work.js';

/** Reads something in a snapshot, and gives how long its connection was waited for, in milliseconds. */
export async function acquire({ now }: Context, store: Store): Promise<number> {
  const asked = now();
  return store.snapshot(() => now() - asked);
}

export const pool: Category = {
  id: 'pool',
  title: 'Connection pool',
  items: [
    {
      id: 'pool.size',
      title: 'The size of the pool is what open was given',
      run: async (context) => {
        const { store } = await context.scratch({ pool: { min: 1, max: 4, acquireTimeoutMs: 200 } });
        const { views, refused, release } = await holdSnapshots(context, store, 5);
        const { inUse } = await poolOf(store);
        await release();
        return found({
          'of five, given out at once': [4, views.length],
          'in use then': [4, inUse],
          'one more': [['POOL_EXHAUSTED'], refused],
        });
      },
    },
    {
      id: 'pool.default',
      title: 'Without a size there are up to 20 connections, and 5 of them stay open unused',
      run: async (context) => {
        // The default time-out is too long to wait for.
        const { store } = await context.scratch({ pool: { idleTimeoutMs: 50, acquireTimeoutMs: 200 } });
        const { views, refused, release } = await holdSnapshots(context, store, 21);
        await release();
        const { idle } = await until(
          () => poolOf(store),
          (figures) => figures.idle === 5,
        );
        await pause(150);
        const later = await poolOf(store);
        return found({
          'of 21, given out at once': [20, views.length],
          'one more': [['POOL_EXHAUSTED'], refused],
          'open and unused after the time-out': [5, idle],
          'still later': [5, later.idle],
        });
      },
    },
    {
      id: 'pool.settings',
      title: 'Without options a connection may be unused for 300 s, and a call is sent again up to 3 times',
      run: async (context) => {
        const { store } = await context.scratch();
        const { release } = await holdSnapshots(context, store, 10);
        await release();
        await pause(100);
        const { pool: figures, link } = await store.stats();
        return found(
          {
            'at least and at most': [
              [5, 20],
              [figures.min, figures.max],
            ],
            'idle time-out in ms': [300_000, figures.idleTimeoutMs],
            'of ten used ones, still open': [10, figures.idle],
            retries: [3, link.retries],
          },
          [
            { name: 'connections at least', value: figures.min, unit: '' },
            { name: 'at most', value: figures.max, unit: '' },
            { name: 'idle time-out', value: figures.idleTimeoutMs / 1_000, unit: 's' },
            { name: 'retries at most', value: link.retries, unit: '' },
          ],
        );
      },
    },
    {
      id: 'pool.idle',
      title: 'Unused connections are kept up to the minimum, and closed above it after the idle time-out',
      run: async (context) => {
        const { store } = await context.scratch({ pool: { min: 3, max: 20, idleTimeoutMs: 50 } });
        const { release } = await holdSnapshots(context, store, 8);
        const before = await poolOf(store);
        await release();
        const after = await until(
          () => poolOf(store),
          ({ idle }) => idle === 3,
        );
        await pause(150);
        const later = await poolOf(store);
        return found({
          'in use before': [8, before.inUse],
          'unused after the time-out': [3, after.idle],
          'unused still later': [3, later.idle],
        });
      },
    },
    {
      id: 'pool.reuse',
      title: 'Connections are used again: at least 98 % of the check-outs open none',
      run: async (context) => {
        const { store } = await context.scratch();
        await inTurn(100, () => together(10, () => acquire(context, store)));
        const figures = await poolOf(store);
        const reuse = reuseOf(figures);
        const rule = atLeast(98, '%');
        return found({ 'check-outs': [atLeast(1_000), figures.checkouts], reused: [rule, reuse] }, [
          { name: 'reused', value: reuse, unit: '%', target: rule.text },
          { name: 'check-outs', value: figures.checkouts, unit: '' },
          { name: 'opened', value: figures.created, unit: '' },
        ]);
      },
    },
    {
      id: 'pool.leaks',
      title: 'No connection leaks, however its user ends',
      run: async (context) => {
        const { store } = await context.scratch();
        const { sessionId } = await chat(context, store, 2_000);
        await inTurn(10, async () => {
          await failureOf(
            store.snapshot(() => {
              throw new Error('thrown in a snapshot');
            }),
          );
          const controller = new AbortController();
          const aborted = store.snapshot(
            async (view) => {
              await view.sessions.get(sessionId);
              controller.abort();
              await view.sessions.get(sessionId);
            },
            { signal: controller.signal },
          );
          await failureOf(aborted);
          for await (const message of store.messages.iterate({ sessionId })) if (message.seq > 3) break;
          await failureOf(store.snapshot((view) => view.query('no sql')));
        });
        const { inUse } = await until(
          () => poolOf(store),
          (figures) => figures.inUse === 0,
        );
        return found({ 'in use after 40 users that broke off': [0, inUse] });
      },
    },
    {
      id: 'pool.exhaustion',
      title: 'Who comes when all are in use waits, and gets the next one that is given back',
      run: async (context) => {
        const { store } = await context.scratch({ pool: { min: 1, max: 2 } });
        const { sessionId } = await chat(context, store, 3);
        const { release } = await holdSnapshots(context, store, 2);
        let gotIt = false;
        const third = store.snapshot(async (view) => {
          gotIt = true;
          return (await texts(view, sessionId)).length;
        });
        await pause(50);
        const gotItEarly = gotIt;
        await release();
        return found({ 'while all are in use': [false, gotItEarly], 'messages read then': [3, await third] });
      },
    },
    {
      id: 'pool.timeout',
      title: 'Who waits too long is told so, and the store goes on',
      run: async (context) => {
        const { store } = await context.scratch({ pool: { min: 1, max: 1, acquireTimeoutMs: 30 } });
        const { sessionId } = await chat(context, store, 2);
        const { release } = await holdSnapshots(context, store, 1);
        const second = await failureOf(acquire(context, store));
        const write = await failureOf(store.messages.add(said(sessionId, 'meanwhile')));
        await release();
        const messages = await store.snapshot((view) => texts(view, sessionId));
        return found({
          error: ['POOL_EXHAUSTED', second.code],
          'a write meanwhile': ['none', write.code],
          'messages afterwards': [3, messages.length],
        });
      },
    },
    {
      id: 'pool.stale',
      title: 'A connection that was closed for its age is replaced by a new one, which works',
      run: async (context) => {
        const { store } = await context.scratch({ pool: { min: 0, max: 4, idleTimeoutMs: 20 } });
        const { sessionId } = await chat(context, store, 2);
        await acquire(context, store);
        const before = await until(
          () => poolOf(store),
          ({ idle }) => idle === 0,
        );
        const read = await store.snapshot((view) => texts(view, sessionId));
        const after = await poolOf(store);
        return found(
          {
            'unused after the time-out': [0, before.idle],
            'messages read then': [2, read.length],
            'connections opened for it': [1, after.created - before.created],
            'that did not answer': [0, after.stale],
          },
          [{ name: 'replaced, since they did not answer', value: after.stale, unit: '' }],
        );
      },
    },
    {
      id: 'pool.lost',
      title: 'Connections that went with their host are replaced: who holds one is told, the next has a new one',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        if (scratch.kill === undefined) {
          return { passed: null, expected: 'the messages, once more', seen: 'a host cannot be killed here' };
        }
        const { store } = scratch;
        const { sessionId } = await chat(context, store, 5);
        const { views, release } = await holdSnapshots(context, store, 2);
        const before = await Promise.all(views.map((view) => texts(view, sessionId)));
        await scratch.kill();
        const held = await Promise.all(views.map((view) => failureOf(texts(view, sessionId))));
        await release();
        const after = await failureOf(store.snapshot((view) => texts(view, sessionId)));
        const read = await store.snapshot((view) => texts(view, sessionId)).catch(() => []);
        const { pool: figures, link } = await store.stats();
        return found(
          {
            'messages read by two before': [[5, 5], before.map((all) => all.length)],
            'told to the two': [['SNAPSHOT_EXPIRED', 'SNAPSHOT_EXPIRED'], held.map(({ code }) => code)],
            'the next one': ['none', after.code],
            'messages it reads': [5, read.length],
            'opened by the next host': [atLeast(1), figures.created],
            'hosts found anew': [atLeast(1), link.reconnects],
          },
          [{ name: 'hosts found anew', value: link.reconnects, unit: '' }],
        );
      },
    },
    {
      id: 'pool.wait',
      title: 'A connection is had in under 10 ms',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        await acquire(context, store);
        const waits = (await inTurn(40, () => together(5, () => acquire(context, store)))).flat();
        return times(waits, 10, 95);
      },
    },
    {
      id: 'pool.consistent',
      title: 'What a connection of the pool reads is what the store holds',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 20);
        const sql = 'SELECT count(*) FROM messages WHERE session = (SELECT key FROM sessions WHERE id = ?)';
        const seen = await together(10, () => store.snapshot((view) => count(view, sql, [sessionId])));
        return found({ 'messages seen by ten': [[20], [...new Set(seen)]] });
      },
    },
  ],
};
