/**
 * Reading and writing: what each kind of call gives, and changes, and leaves alone.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { failureOf, found, matching, times } from '../findings.js';
import { planFindings } from '../plans.js';
import type { Message } from '../../client/types.js';
import type { Category } from '../types.js';
import { chat, count, inTurn, repeat, said, texts, together } from '../work.js';

const uuid = matching('a UUID of version 7', /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
const words = (from: number, to: number): string[] => repeat(to - from, (i) => `word ${String(from + i)}`);
const ofSession = 'session = (SELECT key FROM sessions WHERE id = ?)';

export const queries: Category = {
  id: 'queries',
  title: 'Queries',
  items: [
    {
      id: 'queries.select.rows',
      title: 'Select: gives the rows that are there, with every field',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store);
        const given = {
          id: 'a',
          sessionId,
          botId,
          role: 'assistant',
          content: 'Grüße, 世界 🎉',
          status: 'incomplete',
          model: 'm-1',
          finishReason: 'length',
          metadata: { deep: [1, null, 'x'] },
          createdAt: 1_700_000_000_123,
        } as const;
        await store.messages.add({ ...given, metadata: { deep: [1, null, 'x'] } });
        const read = await store.messages.get({ sessionId, id: 'a' });
        const held = new Map<string, unknown>(Object.entries(read ?? {}));
        return found(Object.fromEntries(Object.entries(given).map(([name, value]) => [name, [value, held.get(name)]])));
      },
    },
    {
      id: 'queries.select.filter',
      title: 'Select: filters take what matches, and nothing else',
      run: async (context) => {
        const store = await context.store();
        const [one, other] = [await chat(context, store, 7), await chat(context, store, 9)];
        const ofBot = await store.messages.list({ botId: one.botId, limit: 100 });
        const pinned = context.id();
        await store.sessions.create({ id: pinned, botId: other.botId, pinned: true });
        const sessions = await store.sessions.list({ botId: other.botId, pinned: true });
        const hits = await store.search('word 3', { sessionId: other.sessionId });
        const bySql = await store.query(`SELECT id FROM messages WHERE ${ofSession} AND created_at >= ?`, {
          params: [one.sessionId, 1_000_000 + 5 * 60_000],
        });
        return found({
          'messages of a bot': [words(0, 7), ofBot.items.map((message) => message.content)],
          'pinned sessions of a bot': [[pinned], sessions.items.map((session) => session.id)],
          'hits in a session': [
            ['m3'],
            hits.items.filter((hit) => hit.sessionId === other.sessionId).map((hit) => hit.id),
          ],
          'hits elsewhere': [0, hits.items.filter((hit) => hit.sessionId !== other.sessionId).length],
          'by SQL': [['m5', 'm6'], bySql.map((row) => row['id'])],
        });
      },
    },
    {
      id: 'queries.select.limit',
      title: 'Select: a limit is kept, and cursors lead to the rest, each once',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 25);
        const sizes: number[] = [];
        const pages: string[][] = [];
        let cursor: string | null = null;
        do {
          const page: Awaited<ReturnType<typeof store.messages.list>> = await store.messages.list({
            sessionId,
            limit: 10,
            cursor,
          });
          sizes.push(page.items.length);
          // Without a cursor it is the newest page: the rest lies before it.
          pages.push(page.items.map((message) => message.content));
          cursor = page.prevCursor;
        } while (cursor !== null && sizes.length < 10);
        return found({ 'rows a page': [[10, 10, 5], sizes], 'all of them': [words(0, 25), pages.toReversed().flat()] });
      },
    },
    {
      id: 'queries.select.sort',
      title: 'Select: rows come in their order, both ways',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 12);
        const [asc, desc] = await Promise.all(
          (['asc', 'desc'] as const).map((order) => store.messages.list({ botId, order })),
        );
        const older = context.id();
        await store.sessions.create({ id: older, botId, createdAt: 5 });
        const sessions = await store.sessions.list({ botId });
        return found({
          'oldest first': [words(0, 12), asc?.items.map((message) => message.content)],
          'newest first': [words(0, 12).toReversed(), desc?.items.map((message) => message.content)],
          'sessions, active last first': [[sessionId, older], sessions.items.map((session) => session.id)],
        });
      },
    },
    {
      id: 'queries.select.null',
      title: 'Select: what was not given is null, and a row that is not there too',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await store.messages.add(said(sessionId, '', { id: 'bare', botId: null }));
        await store.messages.add(said(sessionId, 'full', { id: 'full', model: 'm-1' }));
        const bare = await store.messages.get({ sessionId, id: 'bare' });
        const rows = await store.query(`SELECT id FROM messages WHERE ${ofSession} AND model IS NULL`, {
          params: [sessionId],
        });
        return found({
          fields: [
            [null, null, null, null, null, ''],
            [bare?.botId, bare?.model, bare?.usage, bare?.metadata, bare?.deletedAt, bare?.content],
          ],
          'IS NULL': [['bare'], rows.map((row) => row['id'])],
          'no such message': [null, await store.messages.get({ sessionId, id: 'nobody' })],
          'no such session': [null, await store.sessions.get(context.id())],
        });
      },
    },
    {
      id: 'queries.select.large',
      title: 'Select: 10,000 rows come whole and in order, in pieces and at once',
      run: async (context) => {
        const { store } = await context.scratch();
        const { sessionId } = await chat(context, store, 10_000);
        const all = await texts(store, sessionId);
        const rows = await store.query('SELECT text FROM messages ORDER BY key', { limit: 10_000 });
        const expected = words(0, 10_000);
        const firstWrong = (seen: unknown[]): number => expected.findIndex((text, i) => text !== seen[i]);
        return found({
          'rows in pieces': [10_000, all.length],
          'rows at once': [10_000, rows.length],
          'first row out of place': [
            [-1, -1],
            [firstWrong(all), firstWrong(rows.map((row) => row['text']))],
          ],
        });
      },
    },
    {
      id: 'queries.select.time',
      title: 'Select: 100 rows of a bot in under 100 ms',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        const { botId } = await chat(context, store, 500);
        const taken = await inTurn(30, async () => {
          const asked = context.now();
          await store.messages.list({ botId, limit: 100 });
          return context.now() - asked;
        });
        return times(taken, 100);
      },
    },
    {
      id: 'queries.insert.rows',
      title: 'Insert: rows are stored, in the order of their calls',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await together(20, (i) => store.messages.add(said(sessionId, `word ${String(i)}`)));
        const session = await store.sessions.get(sessionId);
        return found({
          messages: [words(0, 20), await texts(store, sessionId)],
          'counted by the session': [20, session?.messageCount],
          preview: ['word 19', session?.preview],
        });
      },
    },
    {
      id: 'queries.insert.id',
      title: 'Insert: each row gets an id of its own where none is given',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const added = await store.messages.addMany(repeat(1_000, (i) => said(sessionId, String(i))));
        const bot = await store.bots.create({ name: context.id() });
        const session = await store.sessions.create();
        return found({
          'different ids of 1,000': [1_000, new Set(added.map((message) => message.id)).size],
          'of a message': [uuid, added[0]?.id],
          'of a bot': [uuid, bot.id],
          'of a session': [uuid, session.id],
        });
      },
    },
    {
      id: 'queries.insert.time-stamp',
      title: 'Insert: the time of each row is recorded',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const before = Date.now();
        const { createdAt, updatedAt } = await store.messages.add(said(sessionId, 'now'));
        const after = Date.now();
        // The host may be another process, whose clock shows the same time a little later.
        const near = (time: number): boolean => time >= before - 1_000 && time <= after + 1_000;
        return found({
          'the time of now': [
            [true, true],
            [near(createdAt), near(updatedAt)],
          ],
          'a time that was given': [
            77,
            (await store.messages.add(said(sessionId, 'then', { createdAt: 77 }))).createdAt,
          ],
        });
      },
    },
    {
      id: 'queries.insert.constraint',
      title: 'Insert: a row that names what is not there, or holds a value that is none, is refused and not stored',
      run: async (context) => {
        const store = await context.store();
        const rows = (): Promise<number> =>
          count(store, 'SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM sessions)');
        const before = await rows();
        const noSession = await failureOf(store.messages.add(said(context.id(), 'lost')));
        const noBot = await failureOf(store.sessions.create({ botId: context.id() }));
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a caller without types
        const noStatus = await failureOf(store.sessions.create({ status: 'asleep' as 'active' }));
        return found({
          'a message of no session': ['CONSTRAINT_FOREIGN_KEY', noSession.code],
          'a session of no bot': ['CONSTRAINT_FOREIGN_KEY', noBot.code],
          'a status that is none': ['INVALID_ARGUMENT', noStatus.code],
          'rows stored all the same': [0, (await rows()) - before],
        });
      },
    },
    {
      id: 'queries.insert.duplicate',
      title: 'Insert: a second row with the same id is detected, and changes nothing',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 3);
        const second = await failureOf(store.messages.add(said(sessionId, 'again', { id: 'm1' })));
        const bot = context.id();
        await store.bots.create({ name: bot });
        const secondBot = await failureOf(store.bots.create({ name: bot }));
        return found({
          'an id twice': ['CONSTRAINT_UNIQUE', second.code],
          'a name twice': ['CONSTRAINT_UNIQUE', secondBot.code],
          messages: [words(0, 3), await texts(store, sessionId)],
        });
      },
    },
    {
      id: 'queries.insert.bulk',
      title: 'Insert: thousands at once, all of them or none',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await store.messages.addMany(repeat(2_000, (i) => said(sessionId, `word ${String(i)}`, { id: String(i) })));
        const bad = await failureOf(
          store.messages.addMany(repeat(2_000, (i) => said(sessionId, 'more', { id: String(3_998 - i) }))),
        );
        const kept = await texts(store, sessionId);
        return found({
          'after 2,000 and a batch that fails at its end': [2_000, kept.length],
          'the last one': ['word 1999', kept.at(-1)],
          error: ['CONSTRAINT_UNIQUE', bad.code],
        });
      },
    },
    {
      id: 'queries.insert.time',
      title: 'Insert: one row in under 50 ms, flushed',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        const taken = await inTurn(30, async (i) => {
          const asked = context.now();
          await store.messages.add(said(sessionId, String(i)));
          return context.now() - asked;
        });
        return times(taken, 50);
      },
    },
    {
      id: 'queries.update.rows',
      title: 'Update: what the patch names is changed, the rest stays',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 3);
        const before = await store.messages.get({ sessionId, id: 'm1' });
        await store.messages.update({ sessionId, id: 'm1' }, { status: 'error', metadata: { read: true } });
        await store.sessions.update(sessionId, { title: 'new', tags: ['a'] });
        await store.bots.update(botId, { model: 'm-2' });
        const after = await store.messages.get({ sessionId, id: 'm1' });
        const [session, bot] = [await store.sessions.get(sessionId), await store.bots.get(botId)];
        return found({
          message: [
            { ...before, status: 'error', metadata: { read: true }, updatedAt: 0 },
            { ...after, updatedAt: 0 },
          ],
          session: [
            ['new', ['a'], botId, 3],
            [session?.title, session?.tags, session?.botId, session?.messageCount],
          ],
          bot: [
            ['m-2', `Bot ${botId}`],
            [bot?.model, bot?.name],
          ],
        });
      },
    },
    {
      id: 'queries.update.condition',
      title: 'Update: the row that is named is changed, one that is not there is an error',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 10);
        await store.messages.update({ sessionId, id: 'm4' }, { status: 'incomplete' });
        const changed = await store.query(`SELECT id FROM messages WHERE ${ofSession} AND status <> 'complete'`, {
          params: [sessionId],
        });
        const nobody = await failureOf(store.messages.update({ sessionId, id: 'nobody' }, { status: 'error' }));
        return found({ changed: [['m4'], changed.map((row) => row['id'])], 'no such row': ['NOT_FOUND', nobody.code] });
      },
    },
    {
      id: 'queries.update.many',
      title: 'Update: a hundred rows, each given back as it is now, and no other is changed',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 150);
        const results = await store.transaction((tx) =>
          together(100, (i) => tx.messages.update({ sessionId, id: `m${String(i)}` }, { status: 'error' })),
        );
        const given = results.map((message: Partial<Message> | undefined) => [message?.id, message?.status]);
        const rows = await store.query(
          `SELECT status, count(*) AS n FROM messages WHERE ${ofSession} GROUP BY status`,
          {
            params: [sessionId],
          },
        );
        return found({
          'rows changed and not': [
            { complete: 50, error: 100 },
            Object.fromEntries(rows.map((row) => [row['status'], row['n']])),
          ],
          'rows given back': [repeat(100, (i) => [`m${String(i)}`, 'error']), given],
        });
      },
    },
    {
      id: 'queries.update.unintended',
      title: 'Update: no other row of any table is touched',
      run: async (context) => {
        const { store } = await context.scratch();
        const { sessionId } = await chat(context, store, 50);
        await chat(context, store, 50);
        const others = () =>
          store.query(`SELECT * FROM messages WHERE NOT (id = 'm7' AND ${ofSession}) ORDER BY key`, {
            params: [sessionId],
          });
        const rest = () => store.query('SELECT * FROM sessions WHERE id <> ?', { params: [sessionId] });
        const before = [await others(), await rest(), await store.query('SELECT * FROM bots')];
        await store.messages.update({ sessionId, id: 'm7' }, { content: 'changed', status: 'error' });
        const after = [await others(), await rest(), await store.query('SELECT * FROM bots')];
        const changed = after.map(
          (rows, i) => rows.filter((row, k) => JSON.stringify(row, big) !== JSON.stringify(before[i]?.[k], big)).length,
        );
        return found({
          'other messages, sessions and bots that changed': [[0, 0, 0], changed],
          'the row itself': ['changed', (await store.messages.get({ sessionId, id: 'm7' }))?.content],
        });
      },
    },
    {
      id: 'queries.delete.rows',
      title: 'Delete: takes the rows of a bot before a time, and counts them',
      run: async (context) => {
        const store = await context.store();
        const [one, other] = [await chat(context, store, 10), await chat(context, store, 10)];
        const taken = await store.messages.deleteWhere(
          { botId: one.botId, before: 1_000_000 + 4 * 60_000 },
          { permanent: true },
        );
        return found({
          counted: [4, taken.messages],
          'what is left': [words(4, 10), await texts(store, one.sessionId)],
          'another bot': [words(0, 10), await texts(store, other.sessionId)],
          'without a condition': ['INVALID_ARGUMENT', (await failureOf(store.messages.deleteWhere({}))).code],
        });
      },
    },
    {
      id: 'queries.delete.cascade',
      title: 'Delete: with a bot go its sessions, and with them their messages',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 10);
        const another = context.id();
        await store.sessions.create({ id: another, botId });
        await store.messages.add(said(another, 'too'));
        const [key] = await store.query('SELECT key FROM sessions WHERE id = ?', { params: [sessionId] });
        const taken = await store.bots.delete(botId, { permanent: true });
        const left = await count(store, 'SELECT count(*) FROM messages WHERE session = ?', [Number(key?.['key'])]);
        return found({
          counted: [{ bots: 1, sessions: 2, messages: 11 }, taken],
          sessions: [
            [null, null],
            [await store.sessions.get(sessionId), await store.sessions.get(another)],
          ],
          'messages left': [0, left],
        });
      },
    },
    {
      id: 'queries.delete.soft',
      title: 'Delete: into the trash, out of lists and search, and back',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 3);
        const look = async (): Promise<number[]> => [
          (await store.sessions.list({ botId })).items.length,
          (await store.search('word', { sessionId })).items.length,
          (await store.sessions.list({ botId, deleted: true })).items.length,
        ];
        const before = await look();
        const taken = await store.sessions.delete(sessionId);
        const within = await look();
        const marked = (await store.sessions.get(sessionId))?.deletedAt;
        const restored = await failureOf(store.sessions.restore(sessionId));
        return found({
          'sessions, hits, trash before': [[1, 3, 0], before],
          'in the trash': [[0, 0, 1], within],
          'taken out of it': ['none', restored.code],
          'sessions, hits, trash afterwards': [[1, 3, 0], await look()],
          counted: [1, taken.sessions],
          'time of deletion': ['number', typeof marked],
        });
      },
    },
    {
      id: 'queries.delete.cleanup',
      title: 'Delete: the trash is emptied of what went in before a time, and of nothing else',
      run: async (context) => {
        const { store } = await context.scratch();
        const [one, other] = [await chat(context, store, 5), await chat(context, store, 5)];
        await store.sessions.delete(one.sessionId);
        const early = await store.sessions.purge({ deletedBefore: 1_000 });
        const taken = await store.sessions.purge({ deletedBefore: Date.now() + 60_000 });
        return found({
          'before that time': [0, early.sessions],
          counted: [
            [1, 5],
            [taken.sessions, taken.messages],
          ],
          gone: [null, await store.sessions.get(one.sessionId)],
          'what was not in the trash': [5, (await texts(store, other.sessionId)).length],
        });
      },
    },
    {
      id: 'queries.delete.count',
      title: 'Delete: the count is that of the rows that went',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 30);
        const before = await count(store, 'SELECT count(*) FROM messages');
        const taken = await store.messages.deleteWhere(
          { sessionId, before: 1_000_000 + 12 * 60_000 },
          { permanent: true },
        );
        const after = await count(store, 'SELECT count(*) FROM messages');
        return found({ counted: [12, taken.messages], 'rows that went': [12, before - after] });
      },
    },
    {
      id: 'queries.time.simple',
      title: 'Simple select: a page of 50 in under 10 ms',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 1_000);
        return times(await timed(context.now, () => store.messages.list({ sessionId })), 10);
      },
    },
    {
      id: 'queries.time.join',
      title: 'Join of three tables: in under 50 ms',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        await chat(context, store, 1_000);
        const sql = `SELECT b.name, s.title, m.text FROM messages m JOIN sessions s ON s.key = m.session
          JOIN bots b ON b.key = s.bot WHERE m.created_at > ? ORDER BY m.created_at DESC LIMIT 100`;
        return times(await timed(context.now, () => store.query(sql, { params: [1_000_000] })), 50);
      },
    },
    {
      id: 'queries.time.aggregate',
      title: 'Aggregate over all messages: in under 40 ms',
      timed: true,
      run: async (context) => {
        const store = await context.store();
        await chat(context, store, 1_000);
        const sql =
          'SELECT session, count(*), min(created_at), max(created_at), sum(length(text)) FROM messages GROUP BY session';
        return times(await timed(context.now, () => store.query(sql)), 40);
      },
    },
    {
      id: 'queries.plans',
      title: 'Plans: the store’s own statements, as they ran, find messages and sessions by keys and indexes',
      readOnly: true,
      run: async (context) => planFindings(context, await context.store()),
    },
    {
      id: 'queries.search',
      title: 'Search: finds what was written a moment ago, with the words marked',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store);
        await store.messages.add(said(sessionId, 'The Überfahrt to Genoa takes two days.', { id: 'hit' }));
        await store.messages.add(said(sessionId, 'Nothing here.'));
        const { items } = await store.search('uberfahrt geno', { prefix: true, sessionId });
        const [hit] = items;
        const marked = hit?.highlights.map(([start, end]) => hit.snippet.slice(start, end));
        return found({ hits: [['hit'], items.map(({ id }) => id)], marked: [['Überfahrt', 'Genoa'], marked] });
      },
    },
  ],
};

const big = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

/** How long each of thirty calls takes, in milliseconds. */
const timed = (now: () => number, call: () => Promise<unknown>): Promise<number[]> =>
  inTurn(30, async () => {
    const asked = now();
    await call();
    return now() - asked;
  });
