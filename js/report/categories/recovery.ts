/**
 * What becomes of a store, and of its callers, when something goes wrong.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { injectFaults } from '../faults.js';
import { atLeast, failureOf, found, matching, notMeasurable, oneOf, type Failure } from '../findings.js';
import type { Category } from '../types.js';
import { chat, count, inTurn, integrity, pause, repeat, said, texts, together, writeOn } from '../work.js';

const cannot_kill = 'a host cannot be killed here';
/** What an error names of a constraint. */
const named = ({ details }: Failure): unknown[] => [details['table'], details['column'], typeof details['constraint']];

const many_rows =
  'WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 20000) SELECT n FROM numbers';

export const recovery: Category = {
  id: 'recovery',
  title: 'Error recovery',
  items: [
    {
      id: 'recovery.lost.detected',
      title: 'Connection lost: a caller that wants no retry is told at once',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true, retries: 0 });
        if (scratch.kill === undefined) return notMeasurable('an error', cannot_kill);
        const { store } = scratch;
        const { sessionId } = await chat(context, store);
        const lost = failureOf(
          store.transaction(async (tx) => {
            await tx.messages.add(said(sessionId, 'never'));
            await scratch.kill?.();
            await tx.messages.add(said(sessionId, 'never'));
          }),
        );
        return found({ error: ['TRANSACTION_LOST', (await lost).code], messages: [[], await texts(store, sessionId)] });
      },
    },
    {
      id: 'recovery.lost.retried',
      title: 'Connection lost: calls under way find the next host by themselves, and are done once',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        if (scratch.kill === undefined) return notMeasurable('all calls succeed', cannot_kill);
        const { store } = scratch;
        const { sessionId } = await chat(context, store);
        const writing = writeOn(5, (name) => store.messages.add(said(sessionId, name, { id: name })));
        await pause(10);
        await scratch.kill();
        await pause(10);
        const { done, errors } = await writing.stop();
        const all = await texts(store, sessionId);
        return found({
          'calls that failed': [[], errors.map(({ code }) => code)],
          messages: [done.length, all.length],
          'done and not there': [0, done.filter((name) => !all.includes(name)).length],
          'there twice': [0, all.length - new Set(all).size],
        });
      },
    },
    {
      id: 'recovery.lost.sound',
      title: 'Connection lost: nothing is damaged, every rule of the file holds',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        if (scratch.kill === undefined) return notMeasurable('a sound file', cannot_kill);
        const { store } = scratch;
        const { sessionId } = await chat(context, store, 500);
        const writing = writeOn(3, (name) => store.messages.addMany(repeat(50, () => said(sessionId, name))));
        await pause(10);
        await scratch.kill();
        const { done } = await writing.stop();
        const report = await store.verify();
        return found({
          problems: [[], report.problems],
          messages: [500 + done.length * 50, report.checked.messages],
          'SQLite’s check': ['ok', await integrity(store)],
        });
      },
    },
    {
      id: 'recovery.constraint.caught',
      title: 'Constraint violation: caught, with a message that says what and where',
      run: async (context) => {
        const store = await context.store();
        const { botId } = await chat(context, store);
        const { code, message } = await failureOf(store.bots.create({ name: `Bot ${botId}` }));
        return found({
          error: ['CONSTRAINT_UNIQUE', code],
          message: [matching('names bots.name', /bots\.name/), message],
        });
      },
    },
    {
      id: 'recovery.constraint.named',
      title: 'Constraint violation: the constraint, the table and the column are named',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 1);
        const name = await failureOf(store.bots.create({ name: `Bot ${botId}` }));
        const id = await failureOf(store.messages.add(said(sessionId, 'again', { id: 'm0' })));
        const bot = await failureOf(store.sessions.create({ botId: context.id() }));
        return found({
          'of a unique name': [['bots', 'name', 'string'], named(name)],
          'of an id within its session': [['messages', 'session, id', 'string'], named(id)],
          'of a foreign key': [['sessions', 'bot', 'string'], named(bot)],
        });
      },
    },
    {
      id: 'recovery.constraint.usable',
      title: 'Constraint violation: what was begun is taken back, and the store goes on',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 1);
        await failureOf(store.messages.addMany([said(sessionId, 'new'), said(sessionId, 'again', { id: 'm0' })]));
        const next = await failureOf(store.messages.add(said(sessionId, 'next')));
        return found({
          'the next write': ['none', next.code],
          messages: [['word 0', 'next'], await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'recovery.sql.detected',
      title: 'Invalid SQL: refused, with the place of the fault and words that help',
      run: async (context) => {
        const store = await context.store();
        const typo = await failureOf(store.query('SELECT id FRM messages'));
        const table = await failureOf(store.query('SELECT id FROM mesages'));
        const write = await failureOf(store.query('DELETE FROM messages'));
        return found({
          'a typo': [
            ['INVALID_SQL', 'number'],
            [typo.code, typeof typo.details['offset']],
          ],
          'in words': [matching('a syntax error near the word', /near|syntax/), typo.message],
          'a table that is not there': [
            ['INVALID_SQL', true],
            [table.code, table.message.includes('mesages')],
          ],
          'SQL that writes': ['QUERY_NOT_ALLOWED', write.code],
        });
      },
    },
    {
      id: 'recovery.sql.usable',
      title: 'Invalid SQL: a transaction it is thrown in is rolled back, and the store goes on',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 1);
        const error = await failureOf(
          store.transaction(async (tx) => {
            await tx.messages.add(said(sessionId, 'never'));
            await tx.query('SELEC 1');
          }),
        );
        const caught = await store.transaction(async (tx) => {
          await failureOf(tx.query('SELEC 1'));
          return tx.messages.add(said(sessionId, 'after it was caught'));
        });
        return found({
          error: ['INVALID_SQL', error.code],
          messages: [['word 0', caught.content], await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'recovery.sql.logged',
      title: 'Invalid SQL: kept among the figures, for whoever looks for it later',
      run: async (context) => {
        const { store } = await context.scratch();
        const before = (await store.stats()).errors['INVALID_SQL'] ?? 0;
        await failureOf(store.query("SELECT 'secret' FROM FROM messages"));
        await failureOf(store.query('SELECT something FROM nowhere'));
        const { errors, failed } = await store.stats();
        return found({
          'counted by its code': [2, (errors['INVALID_SQL'] ?? 0) - before],
          'statements kept, without what is in them': [
            ['SELECT something FROM nowhere', 'SELECT ? FROM …'],
            failed.slice(0, 2).map(({ statement }) => statement),
          ],
        });
      },
    },
    {
      id: 'recovery.locked.waits',
      title: 'Locked: who writes while a transaction is open elsewhere waits, and succeeds by itself',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        const { store } = scratch;
        const elsewhere = await scratch.another();
        const { sessionId } = await chat(context, store);
        let ended = false;
        let endedFirst = false;
        let waiting: Promise<unknown> = Promise.resolve();
        await elsewhere.transaction(async (tx) => {
          await tx.messages.add(said(sessionId, 'first'));
          waiting = store.messages.add(said(sessionId, 'second')).then((message) => {
            endedFirst = ended;
            return message;
          });
          waiting.catch(() => undefined);
          await pause(80);
          await tx.messages.add(said(sessionId, 'still first'));
          ended = true;
        });
        await waiting;
        return found({
          'done after the lock was given back': [true, endedFirst],
          messages: [['first', 'still first', 'second'], await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'recovery.locked.timeout',
      title: 'Locked: who waits longer than its time-out is told so, and nothing of it is stored',
      run: async (context) => {
        const scratch = await context.scratch();
        const { store } = scratch;
        const elsewhere = await scratch.another();
        const { sessionId } = await chat(context, store);
        const errors: unknown[] = [];
        await elsewhere.transaction(async (tx) => {
          await tx.messages.add(said(sessionId, 'first'));
          for (const timeoutMs of [200, 400]) {
            const { code, outcome } = await failureOf(store.messages.add(said(sessionId, 'too late'), { timeoutMs }));
            errors.push([code, outcome]);
          }
        });
        const next = await failureOf(store.messages.add(said(sessionId, 'next')));
        return found({
          errors: [
            [
              ['TIMEOUT', 'not-applied'],
              ['TIMEOUT', 'not-applied'],
            ],
            errors,
          ],
          'the next write': ['none', next.code],
          messages: [['first', 'next'], await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'recovery.locked.many',
      title: 'Locked: of many writers that wait none is forgotten',
      run: async (context) => {
        const scratch = await context.scratch();
        const handles = [scratch.store, await scratch.another(), await scratch.another()];
        const { sessionId } = await chat(context, scratch.store);
        await together(30, (i) =>
          (handles[i % 3] ?? scratch.store).transaction((tx) => tx.messages.add(said(sessionId, String(i)))),
        );
        const all = await texts(scratch.store, sessionId);
        return found({ messages: [30, all.length], 'different ones': [30, new Set(all).size] });
      },
    },
    {
      id: 'recovery.memory.refused',
      title: 'Too much at once: a result over its limit is an error, never cut off and never a crash',
      run: async (context) => {
        const store = await context.store();
        const { code, message } = await failureOf(store.query(many_rows));
        const within = await store.query(many_rows, { limit: 20_000 });
        const long = await failureOf(
          store.messages.add(said((await chat(context, store)).sessionId, 'x'.repeat(65 * 1024 * 1024))),
        );
        return found({
          error: ['TOO_LARGE', code],
          'in words': [matching('says what may be done', /limit/), message],
          'rows with the limit raised': [20_000, within.length],
          'a message of 65 MiB': [oneOf('TOO_LARGE', 'INVALID_ARGUMENT'), long.code],
        });
      },
    },
    {
      id: 'recovery.memory.chunked',
      title: 'Too much at once: the same rows are read in pieces',
      run: async (context) => {
        const { store } = await context.scratch();
        const { sessionId } = await chat(context, store, 12_000);
        const atOnce = await failureOf(store.query('SELECT key FROM messages'));
        const inPieces = (await texts(store, sessionId)).length;
        let rows = 0;
        let after = 0;
        for (let step = 0; step < 20; step++) {
          const piece = await store.query('SELECT key FROM messages WHERE key > ? ORDER BY key LIMIT 1000', {
            params: [after],
          });
          if (piece.length === 0) break;
          rows += piece.length;
          after = Number(piece.at(-1)?.['key']);
        }
        return found({
          'at once': ['TOO_LARGE', atOnce.code],
          'by iterate': [12_000, inPieces],
          'by pages of SQL': [12_000, rows],
        });
      },
    },
    {
      id: 'recovery.memory.usable',
      title: 'Too much at once: the store goes on, and gives its memory back',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 3);
        const errors = await inTurn(20, () => failureOf(store.query(many_rows)));
        return found({
          errors: [20, errors.filter(({ code }) => code === 'TOO_LARGE').length],
          messages: [3, (await texts(store, sessionId)).length],
          'rows read': [
            3,
            await count(
              store,
              'SELECT count(*) FROM messages WHERE session = (SELECT key FROM sessions WHERE id = ?)',
              [sessionId],
            ),
          ],
        });
      },
    },
    {
      id: 'recovery.rate',
      title: 'Of many injected faults at least 99.5 % are recovered from, and nothing acknowledged is lost',
      run: async (context) => {
        const { injected, recovered, lost, kinds, failures } = await injectFaults(context);
        const rate = (recovered / injected) * 100;
        const rule = atLeast(99.5, '%');
        return found(
          {
            'recovered from': [rule, rate],
            'acknowledged and lost': [0, lost],
            ...(rate < 99.5 ? { failures: [[], failures] } : {}),
          },
          [
            { name: 'recovered from', value: rate, unit: '%', target: rule.text },
            { name: 'faults', value: injected, unit: '' },
            ...Object.entries(kinds).map(([name, value]) => ({ name, value, unit: '' })),
          ],
        );
      },
    },
  ],
};
