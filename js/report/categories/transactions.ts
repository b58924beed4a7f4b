/**
 * Transactions: all or nothing, savepoints within, and what others see of them.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { failureOf, found, matching, under } from '../findings.js';
import type { Category } from '../types.js';
import { chat, count, inTurn, integrity, orphans, said, texts, together } from '../work.js';

class Thrown extends Error {}
const fail = (): never => {
  throw new Thrown('thrown on purpose');
};

export const transactions: Category = {
  id: 'transactions',
  title: 'Transactions',
  items: [
    {
      id: 'transactions.commit',
      title: 'Commit: everything in it is kept, also over a restart',
      run: async (context) => {
        const scratch = await context.scratch();
        const id = await scratch.store.transaction(async (tx) => {
          const session = await tx.sessions.create({ title: 'made in a transaction' });
          await tx.messages.add(said(session.id, 'one'));
          await tx.messages.add(said(session.id, 'two'));
          return session.id;
        });
        const before = await texts(scratch.store, id);
        const store = await scratch.restart();
        const session = await store.sessions.get(id);
        return found({
          messages: [['one', 'two'], before],
          'after a restart': [['one', 'two'], await texts(store, id)],
          'session after a restart': ['made in a transaction', session?.title],
        });
      },
    },
    {
      id: 'transactions.integrity',
      title: 'Commit: no row without what it belongs to, and the file is sound',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 5);
        await store.transaction(async (tx) => {
          await tx.messages.add(said(sessionId, 'in between'));
          await tx.bots.delete(botId, { permanent: true });
        });
        return found({ orphans: [0, await orphans(store)], 'SQLite’s check': ['ok', await integrity(store)] });
      },
    },
    {
      id: 'transactions.rollback',
      title: 'Rollback: where the callback throws nothing is kept, and its error is passed on',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 2);
        const made = context.id();
        let passedOn: unknown;
        await store
          .transaction(async (tx) => {
            await tx.messages.add(said(sessionId, 'half'));
            await tx.sessions.create({ id: made });
            await tx.sessions.update(sessionId, { title: 'half' });
            fail();
          })
          .catch((error: unknown) => {
            passedOn = error;
          });
        const session = await store.sessions.get(sessionId);
        return found({
          messages: [['word 0', 'word 1'], await texts(store, sessionId)],
          'session made in it': [null, await store.sessions.get(made)],
          title: [`Chat ${sessionId}`, session?.title],
          error: ['thrown on purpose', passedOn instanceof Thrown ? passedOn.message : passedOn],
        });
      },
    },
    {
      id: 'transactions.rollback-on-error',
      title: 'Rollback: a constraint that fails within takes the whole transaction back',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 2);
        const error = await failureOf(
          store.transaction(async (tx) => {
            await tx.messages.add(said(sessionId, 'kept for a moment'));
            await tx.messages.add(said(sessionId, 'twice', { id: 'm0' }));
          }),
        );
        return found({
          error: ['CONSTRAINT_UNIQUE', error.code],
          messages: [['word 0', 'word 1'], await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'transactions.returned',
      title: 'Rollback: the writer is given back, and the next call has its turn',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await inTurn(20, async () => {
          await failureOf(store.transaction(fail));
        });
        const next = await failureOf(store.messages.add(said(sessionId, 'next'), { timeoutMs: 5_000 }));
        return found({
          'error of the next write': ['none', next.code],
          messages: [['next'], await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'transactions.savepoint',
      title: 'Savepoints: one that succeeds is kept with the rest',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await store.transaction(async (tx) => {
          await tx.messages.add(said(sessionId, 'before'));
          await tx.savepoint(async (inner) => {
            await inner.messages.add(said(sessionId, 'within'));
            await inner.savepoint((innermost) => innermost.messages.add(said(sessionId, 'further within')));
          });
          await tx.messages.add(said(sessionId, 'after'));
        });
        return found({ messages: [['before', 'within', 'further within', 'after'], await texts(store, sessionId)] });
      },
    },
    {
      id: 'transactions.savepoint-rollback',
      title: 'Savepoints: one that fails takes itself back, the transaction around it goes on',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await store.transaction(async (tx) => {
          await tx.messages.add(said(sessionId, 'before'));
          await failureOf(
            tx.savepoint(async (inner) => {
              await inner.messages.add(said(sessionId, 'taken back'));
              fail();
            }),
          );
          await tx.messages.add(said(sessionId, 'after'));
        });
        return found({ messages: [['before', 'after'], await texts(store, sessionId)] });
      },
    },
    {
      id: 'transactions.parent-rollback',
      title: 'Savepoints: a transaction that fails takes back those that had succeeded',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await failureOf(
          store.transaction(async (tx) => {
            await tx.savepoint((inner) => inner.messages.add(said(sessionId, 'released')));
            fail();
          }),
        );
        return found({ messages: [[], await texts(store, sessionId)] });
      },
    },
    {
      id: 'transactions.dirty-read',
      title: 'Isolation: nobody sees what is not committed',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 1);
        let seen: unknown;
        let seenInSnapshot: unknown;
        await failureOf(
          store.transaction(async (tx) => {
            await tx.messages.add(said(sessionId, 'not committed'));
            seen = await texts(store, sessionId);
            seenInSnapshot = await store.snapshot((view) => texts(view, sessionId));
            fail();
          }),
        );
        return found({
          'seen by a read': [['word 0'], seen],
          'seen by a snapshot': [['word 0'], seenInSnapshot],
          'seen after it was taken back': [['word 0'], await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'transactions.non-repeatable-read',
      title: 'Isolation: what was read reads the same again',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 1);
        const title = await store.snapshot(async (view) => {
          const first = await view.sessions.get(sessionId);
          await store.sessions.update(sessionId, { title: 'changed meanwhile' });
          const second = await view.sessions.get(sessionId);
          return [first?.title, second?.title];
        });
        return found({
          'read twice': [[`Chat ${sessionId}`, `Chat ${sessionId}`], title],
          'read afterwards': ['changed meanwhile', (await store.sessions.get(sessionId))?.title],
        });
      },
    },
    {
      id: 'transactions.phantom-read',
      title: 'Isolation: no rows appear in what was read before',
      run: async (context) => {
        const store = await context.store();
        const { sessionId, botId } = await chat(context, store, 2);
        const sql = 'SELECT count(*) FROM messages WHERE bot = (SELECT key FROM bots WHERE id = ?)';
        const counts = await store.snapshot(async (view) => {
          const first = await count(view, sql, [botId]);
          await store.messages.addMany([said(sessionId, 'new'), said(sessionId, 'newer')]);
          await store.messages.delete({ sessionId, id: 'm0' }, { permanent: true });
          return [first, await count(view, sql, [botId]), (await texts(view, sessionId)).length];
        });
        return found({
          'counted again and again': [[2, 2, 2], counts],
          afterwards: [3, await count(store, sql, [botId])],
        });
      },
    },
    {
      id: 'transactions.serial',
      title: 'Isolation: transactions that read and then write lose no update',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await store.sessions.update(sessionId, { metadata: { count: 0 } });
        await together(10, () =>
          store.transaction(async (tx) => {
            const session = await tx.sessions.get(sessionId);
            const before = Number(Object.values(session?.metadata ?? {})[0]);
            await Promise.resolve();
            await tx.sessions.update(sessionId, { metadata: { count: before + 1 } });
          }),
        );
        return found({ 'counted by ten': [{ count: 10 }, (await store.sessions.get(sessionId))?.metadata] });
      },
    },
    {
      id: 'transactions.together',
      title: 'Ten at once: all commit, none waits for ever, each stays in one piece',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const results = await Promise.allSettled(
          Array.from({ length: 10 }, (_, i) =>
            store.transaction(
              async (tx) => {
                await tx.messages.add(said(sessionId, `${String(i)} a`));
                await tx.messages.add(said(sessionId, `${String(i)} b`));
              },
              { timeoutMs: 20_000 },
            ),
          ),
        );
        const all = await texts(store, sessionId);
        const inOnePiece = all.every((text, i) => i % 2 === 1 || all[i + 1] === text.replace('a', 'b'));
        return found({
          committed: [10, results.filter((result) => result.status === 'fulfilled').length],
          messages: [20, all.length],
          'in one piece': [true, inOnePiece],
        });
      },
    },
    {
      id: 'transactions.time',
      title: 'Ten at once: all committed in under 2 s',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const began = context.now();
        await together(10, (i) =>
          store.transaction(async (tx) => {
            await tx.messages.add(said(sessionId, `${String(i)} a`));
            await tx.messages.add(said(sessionId, `${String(i)} b`));
          }),
        );
        const ms = context.now() - began;
        const rule = under(2_000, 'ms');
        return found({ took: [rule, ms] }, [
          { name: 'took', value: ms, unit: 'ms', target: rule.text },
          { name: 'for each', value: ms / 10, unit: 'ms' },
        ]);
      },
    },
    {
      id: 'transactions.lease',
      title: 'One that is left open ends by its lease, and says so',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const lost = await failureOf(
          store.transaction(
            async (tx) => {
              await tx.messages.add(said(sessionId, 'never'));
              await new Promise((resolve) => {
                setTimeout(resolve, 400);
              });
            },
            { leaseMs: 30 },
          ),
        );
        const next = await failureOf(store.messages.add(said(sessionId, 'next'), { timeoutMs: 5_000 }));
        return found({
          error: ['TRANSACTION_LOST', lost.code],
          'in words': [matching('a message that names the transaction', /transaction/), lost.message],
          'the next write': ['none', next.code],
          messages: [['next'], await texts(store, sessionId)],
        });
      },
    },
  ],
};
