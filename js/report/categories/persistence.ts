/**
 * What is there after a restart, after a crash, and in a copy.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import type { Bot, Message, Session } from '../../client/types.js';
import { atLeast, atMost, failureOf, found, notMeasurable, oneOf, under } from '../findings.js';
import type { Category, Store } from '../types.js';
import { backupBytes, chat, count, integrity, orphans, pause, repeat, said, texts, writeOn } from '../work.js';

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

export const persistence: Category = {
  id: 'persistence',
  title: 'Data persistence',
  items: [
    {
      id: 'persistence.simple',
      title: 'Closed and opened again: every row and every field is there, times included',
      run: async (context) => {
        const scratch = await context.scratch();
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
        const store = await scratch.restart();
        return found({
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
        const acknowledged = new Set<string>();
        const begun = new Set<string>();
        let settled = 0;
        let underWay = 0;
        for (let round = 0; round < 5; round++) {
          const store = (await scratch.rehost?.({ retries: 0 })) ?? scratch.store;
          const writing = writeOn(4, async (name) => {
            const batch = `${String(round)} ${name}`;
            const messages = repeat(10, () => said(sessionId, 'text '.repeat(50), { metadata: { batch } }));
            begun.add(batch);
            await store.messages.addMany(messages).finally(() => settled++);
            acknowledged.add(batch);
          });
          await pause(2 + context.chance() * 20);
          underWay += begun.size - settled;
          await scratch.kill();
          await writing.stop();
        }
        const store = await scratch.restart();
        const rows = await store.query(
          "SELECT metadata ->> 'batch' AS batch, count(*) AS size FROM messages GROUP BY 1 LIMIT 10000",
        );
        const sizes = new Map(rows.map((row) => [row['batch'], Number(row['size'])]));
        return found(
          {
            'acknowledged and missing': [0, [...acknowledged].filter((batch) => !sizes.has(batch)).length],
            'batches by half': [0, [...sizes.values()].filter((size) => size !== 10).length],
            'under way when killed': [atLeast(1), underWay],
          },
          [
            { name: 'batches acknowledged', value: acknowledged.size, unit: '' },
            { name: 'under way when killed', value: underWay, unit: '' },
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
        await failureOf(
          store.transaction(async (tx) => {
            await tx.messages.addMany(repeat(100, () => said(sessionId, 'never')));
            await scratch.kill?.();
            await tx.sessions.get(sessionId);
          }),
        );
        const after = await texts(store, sessionId);
        const next = await failureOf(store.messages.add(said(sessionId, 'next')));
        const report = await store.verify();
        return found({
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
        const kept = await store.messages.get(stream.ref);
        stream.append(' and the end.');
        const whole = await stream.finish();
        return found({
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
      title: '10,000 records over a restart: all there, read as quickly, in a file of a fitting size',
      run: async (context) => {
        const scratch = await context.scratch();
        if (scratch.store.info.ephemeral) return notMeasurable('10,000 records', 'this store is in memory only');
        const { sessionId } = await chat(context, scratch.store, 10_000);
        const before = await texts(scratch.store, sessionId);
        const store = await scratch.restart();
        const asked = context.now();
        const after = await texts(store, sessionId);
        const readMs = context.now() - asked;
        const bytes = await scratch.sizeBytes();
        return found(
          {
            records: [10_000, after.length],
            'records that differ': [0, after.filter((text, i) => text !== before[i]).length],
            'SQLite’s check': ['ok', await integrity(store)],
            'bytes of the file': [oneOf(null, bytes === null || bytes < 8 * MIB ? bytes : 'under 8 MiB'), bytes],
          },
          [
            { name: 'all read again in', value: readMs, unit: 'ms' },
            ...(bytes === null ? [] : [{ name: 'size of the file', value: bytes / MIB, unit: 'MiB' }]),
          ],
        );
      },
    },
    {
      id: 'persistence.checksums',
      title: 'Checksums: every page is compared, and a byte that changed by itself is found',
      run: async (context) => {
        const scratch = await context.scratch();
        const { sessionId } = await chat(context, scratch.store, 300);
        await scratch.store.messages.add(said(sessionId, 'findable text', { id: 'target' }));
        const sound = await scratch.store.verify();
        const pages = await count(scratch.store, 'PRAGMA page_count');
        if (scratch.damage === undefined) {
          return {
            ...found({ 'sound before': [true, sound.ok], 'pages compared': [true, sound.checked.pages >= pages] }),
            ...(sound.ok
              ? notMeasurable(
                  'a changed byte is found',
                  'no byte can be changed behind the store’s back here; the sound file was found sound',
                )
              : {}),
          };
        }
        const store = await scratch.damage('findable text');
        const read = await failureOf(store.messages.get({ sessionId, id: 'target' }));
        const report = await store.verify();
        return found({
          'sound before': [true, sound.ok],
          'pages compared': [true, sound.checked.pages > 10],
          'reading it': ['CHECKSUM_MISMATCH', read.code],
          'sound afterwards': [false, report.ok],
          'what is wrong': [true, report.problems.some(({ kind }) => kind === 'checksum')],
        });
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
        const { botId, sessionId } = await chat(context, scratch.store, 2_000);
        const { messages: expected } = await contents(scratch.store, botId, sessionId);
        const copying = backupBytes(scratch.store);
        await scratch.store.messages.add(said(sessionId, 'after it began'));
        const bytes = await copying;
        await chat(context, other.store, 10);
        await other.store.replaceWith(bytes);
        const { messages } = await contents(other.store, botId, sessionId);
        const report = await other.store.verify();
        const goesOn = await failureOf(other.store.messages.add(said(sessionId, 'goes on')));
        return found({
          // The write may have come before the copy began, in its turn.
          'messages restored': [oneOf(2_000, 2_001), messages.length],
          'the first 2,000': [expected, messages.slice(0, 2_000)],
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
