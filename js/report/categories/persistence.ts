/**
 * What is there after a restart, after a crash, and in a copy.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import type { Bot, Message, Session } from '../../client/types.js';
import { lostOf } from '../figures.js';
import { atLeast, atMost, failureOf, found, notMeasurable, oneOf, under, type Pair } from '../findings.js';
import type { Category, Context, Scratch, Store } from '../types.js';
import {
  backupBytes,
  chat,
  count,
  integrity,
  inTurn,
  orphans,
  pause,
  repeat,
  said,
  texts,
  until,
  writeOn,
} from '../work.js';

const MIB = 1024 * 1024;

/** Everything of a session and its bot, as plain data. */
async function contents(
  store: Store,
  botId: string,
  sessionId: string,
): Promise<{ bot: Bot | null; session: Session | null; messages: Message[] }> {
  const messages: Message[] = [];
  for await (const message of store.messages.iterate({ sessionId })) messages.push(message);
  return { bot: await store.bots.get(botId), session: await store.sessions.get(sessionId), messages };
}

const MESSAGES_IN_BATCH = 10;
const KILLS = 5;

/** Opens a store anew, in the hands of another process or worker; and that it was one, where that can be told. */
async function reopen(scratch: Scratch): Promise<{ store: Store; hosts: Record<string, Pair> }> {
  const before = scratch.host;
  const store = await scratch.restart();
  const after = scratch.host;
  return { store, hosts: before === undefined ? {} : { 'hosted by another one': [true, before !== after] } };
}

/** How long it takes to read everything, in milliseconds: the quickest of three, which what else the machine does spoils least. */
async function readMs(context: Context, store: Store, sessionId: string): Promise<number> {
  const took = await inTurn(3, async () => {
    const asked = context.now();
    await texts(store, sessionId);
    return context.now() - asked;
  });
  return Math.min(...took);
}

export const persistence: Category = {
  id: 'persistence',
  title: 'Data persistence',
  items: [
    {
      id: 'persistence.simple',
      title: 'Closed, and opened by another process or worker: every row and every field is there, times included',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        if (scratch.store.info.ephemeral) return notMeasurable('the same content', 'this store is in memory only');
        const { botId, sessionId } = await chat(context, scratch.store, 20);
        await scratch.store.messages.add(
          said(sessionId, 'Grüße 🎉', {
            createdAt: 1_700_000_000_123,
            metadata: { a: [1, 2.5, null] },
            usage: { costUsd: 0.25 },
          }),
        );
        const before = await contents(scratch.store, botId, sessionId);
        const { store, hosts } = await reopen(scratch);
        return found({
          ...hosts,
          content: [before, await contents(store, botId, sessionId)],
          messages: [21, (await texts(store, sessionId)).length],
        });
      },
    },
    {
      id: 'persistence.again',
      title: 'Opened and closed ten times: nothing is lost, and the file does not grow',
      run: async (context) => {
        const scratch = await context.scratch();
        if (scratch.store.info.ephemeral) return notMeasurable('the same content', 'this store is in memory only');
        const { sessionId } = await chat(context, scratch.store, 200);
        let store = await scratch.restart();
        const before = await scratch.sizeBytes();
        for (let i = 0; i < 10; i++) store = await scratch.restart();
        const after = await scratch.sizeBytes();
        return found({
          messages: [200, (await texts(store, sessionId)).length],
          'bytes it has grown by': [oneOf(0, null), before === null || after === null ? null : after - before],
        });
      },
    },
    {
      id: 'persistence.crash.acknowledged',
      title: 'Killed in the middle of commits: what was acknowledged is there, the rest whole or not at all',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true, retries: 0 });
        if (scratch.kill === undefined)
          return notMeasurable('all that was acknowledged', 'a host cannot be killed here');
        const { sessionId } = await chat(context, scratch.store);
        const acknowledged: string[] = [];
        const unanswered: string[] = [];
        const rounds = { lost: 0, answered: 0 };
        for (let round = 0; round < KILLS; round++) {
          const store = await scratch.restart({ retries: 0 });
          const nameOf = (name: string): string => `${String(round)} ${name}`;
          const writing = writeOn(4, (name) =>
            store.messages.addMany(
              repeat(MESSAGES_IN_BATCH, () =>
                said(sessionId, 'text '.repeat(50), { metadata: { batch: nameOf(name) } }),
              ),
            ),
          );
          await writing.until(({ done }) => done.length >= 4);
          await pause(context.chance() * 20);
          await scratch.kill();
          const atKill = writing.written.done.length;
          // Who writes when the host is gone has an error; where none ever has one, there is an end all the same.
          await writing.until(({ done, errors }) => errors.length > 0 || done.length >= atKill + 50);
          const { begun, done } = await writing.stop();
          acknowledged.push(...done.map(nameOf));
          unanswered.push(...begun.filter((name) => !done.includes(name)).map(nameOf));
          if ((await lostOf(store)).reconnects > 0) rounds.lost++;
          if (atKill > 0) rounds.answered++;
        }
        const store = await scratch.restart();
        const rows = await store.query(
          "SELECT metadata ->> 'batch' AS batch, count(*) AS size FROM messages GROUP BY 1 LIMIT 10000",
        );
        const sizes = new Map(rows.map((row) => [row['batch'], Number(row['size'])]));
        const sizeOf = (batch: string): number => sizes.get(batch) ?? 0;
        const whole = unanswered.filter((batch) => sizeOf(batch) === MESSAGES_IN_BATCH).length;
        const absent = unanswered.filter((batch) => sizeOf(batch) === 0).length;
        return found(
          {
            'rounds in which the host was lost': [KILLS, rounds.lost],
            'rounds with something acknowledged before': [KILLS, rounds.answered],
            'acknowledged and missing': [0, acknowledged.filter((batch) => sizeOf(batch) === 0).length],
            'acknowledged and there by half': [
              0,
              acknowledged.filter((batch) => ![0, MESSAGES_IN_BATCH].includes(sizeOf(batch))).length,
            ],
            'under way when killed': [atLeast(1), unanswered.length],
            'of those whole, or not there at all': [unanswered.length, whole + absent],
            'other batches': [
              0,
              sizes.size - acknowledged.filter((batch) => sizes.has(batch)).length - (unanswered.length - absent),
            ],
          },
          [
            { name: 'kills', value: rounds.lost, unit: '' },
            { name: 'batches acknowledged', value: acknowledged.length, unit: '' },
            { name: 'under way when killed', value: unanswered.length, unit: '' },
            { name: 'whole', value: whole, unit: '' },
            { name: 'not there', value: absent, unit: '' },
          ],
        );
      },
    },
    {
      id: 'persistence.crash.rolled-back',
      title: 'Killed with a transaction open: nothing of it is there, nothing is left over, and the store goes on',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        if (scratch.kill === undefined)
          return notMeasurable('nothing of the transaction', 'a host cannot be killed here');
        const { store } = scratch;
        const { sessionId } = await chat(context, store, 5);
        const lost = await failureOf(
          store.transaction(async (tx) => {
            await tx.messages.addMany(repeat(100, () => said(sessionId, 'never')));
            await scratch.kill?.();
            await tx.sessions.get(sessionId);
          }),
        );
        const { reconnects } = await lostOf(store);
        const after = await texts(store, sessionId);
        const next = await failureOf(store.messages.add(said(sessionId, 'next')));
        const report = await store.verify();
        return found({
          'the transaction': ['TRANSACTION_LOST', lost.code],
          'hosts lost': [atLeast(1), reconnects],
          messages: [5, after.length],
          problems: [[], report.problems],
          orphans: [0, await orphans(store)],
          'the next write': ['none', next.code],
        });
      },
    },
    {
      id: 'persistence.crash.streaming',
      title: 'Killed while a reply is streamed: what was flushed of it is kept',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        if (scratch.kill === undefined)
          return notMeasurable('the beginning of the reply', 'a host cannot be killed here');
        const { store } = scratch;
        const { sessionId } = await chat(context, store, 1);
        const stream = await store.messages.start({ sessionId });
        stream.append('The beginning');
        await stream.flush();
        await scratch.kill();
        const { reconnects } = await lostOf(store);
        const kept = await store.messages.get(stream.ref);
        stream.append(' and the end.');
        const whole = await stream.finish();
        return found({
          'hosts lost': [atLeast(1), reconnects],
          'after the crash': ['The beginning', kept?.content],
          'gone on with': [
            ['The beginning and the end.', 'complete'],
            [whole.content, whole.status],
          ],
        });
      },
    },
    {
      id: 'persistence.large',
      title: '10,000 records over a restart: all there, as they were, in a file of a fitting size',
      run: async (context) => {
        const scratch = await context.scratch({ killable: true });
        if (scratch.store.info.ephemeral) return notMeasurable('10,000 records', 'this store is in memory only');
        const { sessionId } = await chat(context, scratch.store, 10_000);
        const before = await texts(scratch.store, sessionId);
        const { store, hosts } = await reopen(scratch);
        const after = await texts(store, sessionId);
        const bytes = await scratch.sizeBytes();
        const rule = under(8, 'MiB');
        return found(
          {
            ...hosts,
            records: [10_000, after.length],
            'records that differ': [0, after.filter((text, i) => text !== before[i]).length],
            'SQLite’s check': ['ok', await integrity(store)],
            ...(bytes === null ? {} : { 'the file': [rule, bytes / MIB] satisfies Pair }),
          },
          bytes === null ? [] : [{ name: 'size of the file', value: bytes / MIB, unit: 'MiB', target: rule.text }],
        );
      },
    },
    {
      id: 'persistence.large-read',
      title: '10,000 records over a restart: read in at most twice the time that it took before',
      timed: true,
      run: async (context) => {
        const scratch = await context.scratch();
        if (scratch.store.info.ephemeral) return notMeasurable('as quickly', 'this store is in memory only');
        const { sessionId } = await chat(context, scratch.store, 10_000);
        const beforeMs = await readMs(context, scratch.store, sessionId);
        const store = await scratch.restart();
        const afterMs = await readMs(context, store, sessionId);
        const rule = atMost(2 * beforeMs + 10, 'ms');
        return found({ 'all read after the restart': [rule, afterMs] }, [
          { name: 'all read before', value: beforeMs, unit: 'ms' },
          { name: 'all read after the restart', value: afterMs, unit: 'ms', target: rule.text },
        ]);
      },
    },
    {
      id: 'persistence.checksums',
      title: 'Checksums: every page is compared, and a byte that changed by itself is found',
      run: async (context) => {
        const scratch = await context.scratch();
        const { sessionId } = await chat(context, scratch.store, 300);
        await scratch.store.messages.add(said(sessionId, 'findable text', { id: 'target' }));
        // What the store does when nothing else is to do may come in between, and change the file.
        const { before, sound, after } = await until(
          async () => ({
            before: await count(scratch.store, 'PRAGMA page_count'),
            sound: await scratch.store.verify(),
            after: await count(scratch.store, 'PRAGMA page_count'),
          }),
          (counted) => counted.before === counted.after,
        );
        const compared: Record<string, Pair> = {
          'sound before': [true, sound.ok],
          'pages compared': [before === after ? after : 'a file that stays still', sound.checked.pages],
        };
        if (scratch.damage === undefined) {
          const undamaged = found(compared);
          if (undamaged.passed !== true) return undamaged;
          const expected = 'a changed byte is found';
          return notMeasurable(
            expected,
            'no byte can be changed behind the store’s back here; the rest is as expected',
          );
        }
        const store = await scratch.damage('findable text');
        const read = await failureOf(store.messages.get({ sessionId, id: 'target' }));
        const report = await store.verify();
        const kinds = [...new Set(report.problems.map(({ kind }) => kind))];
        return found(
          {
            ...compared,
            'reading it': ['CHECKSUM_MISMATCH', read.code],
            'sound afterwards': [false, report.ok],
            'what is wrong': ['checksum', kinds.find((kind) => kind === 'checksum') ?? kinds.join()],
          },
          [{ name: 'pages compared', value: sound.checked.pages, unit: '' }],
        );
      },
    },
    {
      id: 'persistence.corruption',
      title: 'No silent corruption: a damaged copy is refused, and the store stays as it is',
      run: async (context) => {
        const scratch = await context.scratch();
        const { store } = scratch;
        const { sessionId } = await chat(context, store, 3_000);
        const bytes = await backupBytes(store);
        const { pageSizeBytes } = store.info;
        // A page in the middle is all zeros, as after a write that never came.
        const damaged = bytes.slice();
        const middle = Math.floor(damaged.length / pageSizeBytes / 2) * pageSizeBytes;
        damaged.fill(0, middle, middle + pageSizeBytes);
        const codes = [
          (await failureOf(store.replaceWith(damaged))).code,
          (await failureOf(store.replaceWith(bytes.slice(0, middle)))).code,
          (await failureOf(store.replaceWith(new Uint8Array(5_000).fill(7)))).code,
        ];
        return found({
          'a page lost, the end lost, no store at all': [['CORRUPT', 'CORRUPT', 'NOT_A_STORE'], codes],
          messages: [3_000, (await texts(store, sessionId)).length],
        });
      },
    },
    {
      id: 'persistence.backup',
      title: 'Backup and restore: the state of its beginning, whole, into another store',
      run: async (context) => {
        const [scratch, other] = [await context.scratch(), await context.scratch()];
        const { botId, sessionId } = await chat(context, scratch.store, 3_000);
        const { messages: expected } = await contents(scratch.store, botId, sessionId);
        let first = 0;
        const bytes = await backupBytes(scratch.store, (length) => {
          first = length;
          return scratch.store.messages.add(said(sessionId, 'while it was copied'));
        });
        await chat(context, other.store, 10);
        await other.store.replaceWith(bytes);
        const { messages } = await contents(other.store, botId, sessionId);
        const report = await other.store.verify();
        const goesOn = await failureOf(other.store.messages.add(said(sessionId, 'goes on')));
        return found({
          'bytes copied after the write': [atLeast(1), bytes.length - first],
          'written while it was copied': [3_001, (await texts(scratch.store, sessionId)).length],
          'messages restored': [3_000, messages.length],
          'what is in them': [expected, messages],
          problems: [[], report.problems],
          'bots and sessions of before': [1, await count(other.store, 'SELECT count(*) FROM bots')],
          'the next write': ['none', goesOn.code],
        });
      },
    },
    {
      id: 'persistence.vacuum',
      title: 'VACUUM: room that was given up leaves the file, and the rest stays',
      run: async (context) => {
        const scratch = await context.scratch();
        const { botId, sessionId } = await chat(context, scratch.store, 8_000);
        const { sessionId: kept } = await chat(context, scratch.store, 100);
        await scratch.store.sessions.delete(sessionId, { permanent: true });
        const pages = await count(scratch.store, 'PRAGMA page_count');
        const { store } = scratch;
        await store.maintain({ vacuum: 'incremental' });
        const after = await count(store, 'PRAGMA page_count');
        const free = await count(store, 'PRAGMA freelist_count');
        return found(
          {
            'pages afterwards': [under(pages / 2), after],
            'pages without use': [atMost(after / 20), free],
            'messages that stay': [100, (await texts(store, kept)).length],
            'a bot that stays': [botId, (await store.bots.get(botId))?.id],
          },
          [
            { name: 'pages before', value: pages, unit: '' },
            { name: 'pages afterwards', value: after, unit: '' },
          ],
        );
      },
    },
  ],
};
