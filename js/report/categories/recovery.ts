/**
 * What becomes of a store, and of its callers, when something goes wrong.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { injectFaults } from '../faults.js';
import { lostOf } from '../figures.js';
import { atLeast, atMost, failureOf, found, matching, notMeasurable, oneOf, under, type Failure } from '../findings.js';
import type { NewMessage, Stats } from '../../client/types.js';
import type { Category, Context, Scratch, Store } from '../types.js';
import { chat, count, inTurn, integrity, repeat, said, texts, together, until, writeOn } from '../work.js';

const cannot_kill = 'a host cannot be killed here';
/** What an error names of a constraint. */
const named = ({ details }: Failure): unknown[] => [details['table'], details['column'], typeof details['constraint']];

const many_rows =
  'WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 20000) SELECT n FROM numbers';

const MIB = 1024 * 1024;
/** What a host gets that is to run out of memory: several times what it needs by itself. */
const SMALL_MEMORY_BYTES = 32 * MIB;
/** Sorts texts, each of them twice as long: all of them have to be in memory at the same time. */
const sorted = (rows: string): string =>
  `SELECT total(length(twice)) FROM (SELECT text || text AS twice FROM (${rows}) ORDER BY twice LIMIT 100)`;
/** What SQLite's memory may move by over rounds of the same work: caches are not filled to the byte. */
const MEMORY_PLAY_BYTES = MIB / 4;
/** So many rounds in a row in which memory does not grow, before as many are over. */
const STILL_ROUNDS = 3;
const MOST_ROUNDS = 15;

/** What a caller is told by its own clock, where a host says nothing in time. */
const SILENCE = /^(TIMEOUT|OWNER_UNRESPONSIVE|LEADER_UNRESPONSIVE), unknown$/;

/** Has somebody else hold the one transaction that writes, in another process where there is one. */
async function lock(context: Context, scratch: Scratch, message: NewMessage): Promise<() => Promise<void>> {
  if (scratch.lock !== undefined) return scratch.lock(message);
  const elsewhere = await scratch.another();
  let unlock!: () => void;
  const held = new Promise<void>((resolve) => {
    unlock = resolve;
  });
  context.letGoAtEnd(unlock);
  let transaction: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    transaction = elsewhere.transaction(async (tx) => {
      await tx.messages.add(message);
      resolve();
      await held;
    });
    transaction.catch(reject);
  });
  return async () => {
    unlock();
    await transaction;
  };
}

const queueOf = async (store: Store): Promise<Stats['queue']> => (await store.stats()).queue;
/** The figures of the queue, once so many wait in it. */
const queued = (store: Store, howMany: number): Promise<Stats['queue']> =>
  until(
    () => queueOf(store),
    ({ waiting }) => waiting >= howMany,
  );

/** Much and various work that leaves nothing behind; gives how much of it was refused. */
async function workload(context: Context, store: Store): Promise<number> {
  const refused = await inTurn(5, () => failureOf(store.query(many_rows)));
  await store.query(many_rows, { limit: 20_000 });
  const { botId, sessionId } = await chat(context, store, 300);
  await failureOf(
    store.transaction(async (tx) => {
      await tx.messages.addMany(repeat(300, () => said(sessionId, 'never')));
      throw new Error('thrown on purpose');
    }),
  );
  await together(5, () => store.snapshot((view) => texts(view, sessionId)));
  await store.search('word');
  await store.sessions.delete(sessionId, { permanent: true });
  await store.bots.delete(botId, { permanent: true });
  return refused.filter(({ code }) => code === 'TOO_LARGE').length;
}

export const recovery: Category = {
  id: 'recovery',
  title: 'Error recovery',
  items: [
    {
      id: 'recovery.lost.detected',
      title: 'Connection lost: a write that is not to be sent again is an error that says so',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true, retries: 0 });
        if (scratch.kill === undefined) return notMeasurable('an error', cannot_kill);
        const { store } = scratch;
        const elsewhere = await scratch.another();
        const { sessionId } = await chat(context, store);
        let written: Promise<Failure> | undefined;
        const transaction = await failureOf(
          elsewhere.transaction(async (tx) => {
            await tx.messages.add(said(sessionId, 'never'));
            // It waits for this transaction, and so is under way for certain.
            written = failureOf(store.messages.add(said(sessionId, 'never')));
            await scratch.kill?.();
            await tx.messages.add(said(sessionId, 'never'));
          }),
        );
        const write = await written;
        const next = await failureOf(store.messages.add(said(sessionId, 'next')));
        const { reconnects } = await lostOf(store);
        return found(
          {
            'the write': [
              ['OUTCOME_UNKNOWN', 'unknown'],
              [write?.code, write?.outcome],
            ],
            'the transaction it waited for': ['TRANSACTION_LOST', transaction.code],
            'the next write': ['none', next.code],
            messages: [['next'], await texts(store, sessionId)],
            'hosts lost': [atLeast(1), reconnects],
          },
          [{ name: 'hosts lost', value: reconnects, unit: '' }],
        );
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
        const writing = writeOn(5, (name) => store.messages.add(said(sessionId, name)));
        await writing.until(({ done }) => done.length >= 10);
        await scratch.kill();
        const afterwards = writing.written.done.length;
        await writing.until(({ done }) => done.length >= afterwards + 10);
        // By now it is the writes alone that were sent again.
        const { reconnects, resent } = await lostOf(store);
        const { done, errors } = await writing.stop();
        const all = await texts(store, sessionId);
        return found(
          {
            'hosts lost': [atLeast(1), reconnects],
            'calls sent again': [atLeast(1), resent],
            'calls that failed': [[], errors.map(({ code }) => code)],
            'writes done': [atLeast(20), done.length],
            'done and not there': [0, done.filter((name) => !all.includes(name)).length],
            'there twice': [0, all.length - new Set(all).size],
            'there and not done': [0, all.filter((name) => !done.includes(name)).length],
          },
          [
            { name: 'writes done', value: done.length, unit: '' },
            { name: 'hosts lost', value: reconnects, unit: '' },
            { name: 'calls sent again', value: resent, unit: '' },
          ],
        );
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
        await writing.until(({ done }) => done.length >= 3);
        await scratch.kill();
        const { reconnects } = await lostOf(store);
        const { done, errors } = await writing.stop();
        const report = await store.verify();
        return found(
          {
            'hosts lost': [atLeast(1), reconnects],
            'calls that failed': [[], errors.map(({ code }) => code)],
            problems: [[], report.problems],
            messages: [500 + done.length * 50, report.checked.messages],
            'SQLite’s check': ['ok', await integrity(store)],
          },
          [
            { name: 'hosts lost', value: reconnects, unit: '' },
            { name: 'messages checked', value: report.checked.messages, unit: '' },
          ],
        );
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
        const { sessionId } = await chat(context, store);
        const unlock = await lock(context, scratch, said(sessionId, 'first'));
        let isDone = false;
        const writing = store.messages.add(said(sessionId, 'second')).finally(() => {
          isDone = true;
        });
        writing.catch(() => undefined);
        const { waiting } = await queued(store, 1);
        const doneEarly = isDone;
        await unlock();
        await writing;
        const { waits } = await queueOf(store);
        return found(
          {
            'waiting while locked': [1, waiting],
            'done while locked': [false, doneEarly],
            messages: [['first', 'second'], await texts(store, sessionId)],
          },
          [
            { name: 'waiting while locked', value: waiting, unit: '' },
            { name: 'waited', value: waits.maxMs, unit: 'ms' },
          ],
        );
      },
    },
    {
      id: 'recovery.locked.timeout',
      title: 'Locked: who waits longer than its time-out is told so, nothing of it is stored, and a retry succeeds',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        const { store } = scratch;
        const { sessionId } = await chat(context, store);
        const unlock = await lock(context, scratch, said(sessionId, 'first'));
        const answers: string[] = [];
        const told = (): string[] => answers.filter((answer) => !SILENCE.test(answer));
        // A host that is starved may answer too late; then the caller's own clock has told, and it tries once more.
        for (let tries = 0; told().length < 2 && tries < 10; tries++) {
          const { code, outcome } = await failureOf(store.messages.add(said(sessionId, 'late'), { timeoutMs: 300 }));
          answers.push(`${code}, ${String(outcome)}`);
        }
        const last = failureOf(store.messages.add(said(sessionId, 'in time')));
        await queued(store, 1);
        await unlock();
        const { code } = await last;
        return found(
          {
            errors: [['TIMEOUT, not-applied', 'TIMEOUT, not-applied'], told()],
            'the last try': ['none', code],
            messages: [['first', 'in time'], await texts(store, sessionId)],
          },
          [
            { name: 'tries', value: answers.length + 1, unit: '' },
            { name: 'timed out', value: answers.length, unit: '' },
          ],
        );
      },
    },
    {
      id: 'recovery.locked.many',
      title: 'Locked: of many writers that wait none is forgotten',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        const { store } = scratch;
        const handles = [store, await scratch.another(), await scratch.another()];
        const { sessionId } = await chat(context, store);
        const unlock = await lock(context, scratch, said(sessionId, 'first'));
        const writing = together(30, (i) =>
          (handles[i % 3] ?? store).transaction((tx) => tx.messages.add(said(sessionId, String(i)))),
        );
        writing.catch(() => undefined);
        const { waiting } = await queued(store, 30);
        await unlock();
        await writing;
        const all = await texts(store, sessionId);
        return found(
          {
            'waiting at once': [30, waiting],
            messages: [31, all.length],
            'different ones': [31, new Set(all).size],
          },
          [{ name: 'waiting at once', value: waiting, unit: '' }],
        );
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
      id: 'recovery.memory.out',
      title: 'Out of memory: an error and no crash, the same in pieces succeeds, and the store goes on',
      run: async (context) => {
        const scratch = await context.scratch({ memoryBytes: SMALL_MEMORY_BYTES });
        if (scratch.memoryBytes === undefined)
          return notMeasurable('OUT_OF_MEMORY', 'the memory that a host gets cannot be limited here');
        const { store } = scratch;
        const { sessionId } = await chat(context, store);
        for (let i = 0; i < 24; i++) await store.messages.add(said(sessionId, String(i).padEnd(MIB, 'x')));
        const sorting = await failureOf(store.query(sorted('SELECT text FROM messages')));
        const one = await failureOf(store.query('SELECT length(randomblob(200000000))'));
        const pieces = await inTurn(24, (i) =>
          count(store, sorted('SELECT text FROM messages ORDER BY key LIMIT 1 OFFSET ?'), [i]),
        );
        const next = await failureOf(store.messages.add(said(sessionId, 'next')));
        const { memory, restarts, link } = await store.stats();
        return found(
          {
            '48 MiB to be sorted at once': ['OUT_OF_MEMORY', sorting.code],
            'a value of 200 MB': ['OUT_OF_MEMORY', one.code],
            'bytes sorted in pieces': [48 * MIB, pieces.reduce((sum, bytes) => sum + bytes, 0)],
            'the next write': ['none', next.code],
            messages: [25, await count(store, 'SELECT count(*) FROM messages')],
            'SQLite’s check': ['ok', await integrity(store)],
            'hosts and cores lost': [0, restarts + link.reconnects],
            'memory of the core': [atMost(scratch.memoryBytes / MIB, 'MiB'), memory.wasmBytes / MIB],
          },
          [
            { name: 'limit', value: scratch.memoryBytes / MIB, unit: 'MiB' },
            { name: 'memory of the core', value: memory.wasmBytes / MIB, unit: 'MiB' },
          ],
        );
      },
    },
    {
      id: 'recovery.memory.usable',
      title: 'No memory leaks: what calls take is given back, also by those that fail',
      run: async (context) => {
        const { store } = await context.scratch();
        const { sessionId } = await chat(context, store, 300);
        const start = (await store.stats()).memory;
        let before = start;
        let after = start;
        let refused = 0;
        let rounds = 0;
        let still = 0;
        // Caches fill, and pieces of free memory are too small at first: a leak is what never ends.
        for (; still < STILL_ROUNDS && rounds < MOST_ROUNDS; rounds++) {
          refused += await workload(context, store);
          after = (await store.stats()).memory;
          const grows =
            after.wasmBytes > before.wasmBytes || after.sqliteBytes > before.sqliteBytes + MEMORY_PLAY_BYTES;
          still = grows ? 0 : still + 1;
          if (grows) before = after;
        }
        const rule = atLeast(STILL_ROUNDS);
        const [ofSqlite, ofCore] = [under(8, 'MiB'), under(16, 'MiB')];
        return found(
          {
            'results refused': [rounds * 5, refused],
            messages: [300, (await texts(store, sessionId)).length],
            'rounds without growth, in the end': [rule, still],
            'SQLite afterwards': [ofSqlite, after.sqliteBytes / MIB],
            'the core afterwards': [ofCore, after.wasmBytes / MIB],
          },
          [
            { name: 'rounds of the same work', value: rounds, unit: '' },
            { name: 'without growth, in the end', value: still, unit: '', target: rule.text },
            { name: 'SQLite before', value: start.sqliteBytes / MIB, unit: 'MiB' },
            { name: 'SQLite afterwards', value: after.sqliteBytes / MIB, unit: 'MiB', target: ofSqlite.text },
            { name: 'the core before', value: start.wasmBytes / MIB, unit: 'MiB' },
            { name: 'the core afterwards', value: after.wasmBytes / MIB, unit: 'MiB', target: ofCore.text },
          ],
        );
      },
    },
    {
      id: 'recovery.rate',
      title: 'Of many injected faults at least 99.5 % are recovered from, and nothing acknowledged is lost',
      run: async (context) => {
        const rule = atLeast(99.5, '%');
        const { injected, failedToHappen, recovered, lost, kinds, failures } = await injectFaults(context);
        const rate = (recovered / injected) * 100;
        return found(
          {
            'faults that did not happen': [[], failedToHappen],
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
