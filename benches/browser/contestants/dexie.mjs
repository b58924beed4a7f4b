/**
 * Dexie on IndexedDB, in the page itself, flushed at each commit.
 *
 * Holds: tables and indexes for what is asked. IndexedDB has no search by words. Must not know: the other stores.
 */
import Dexie from 'dexie';

/* oxlint-disable unicorn/no-array-reverse -- a query is reversed, not an array */

const durabilities = { strict: 'strict', relaxed: 'relaxed' };

export async function open(folder, { durability }) {
  const db = new Dexie(folder, { chromeTransactionDurability: durabilities[durability] });
  db.version(1).stores({
    bots: 'id, &name',
    sessions: 'id, updatedAt',
    messages: '++seq, &id, sessionId, [botId+createdAt]',
  });
  await db.open();
  const { bots, sessions, messages } = db;
  const insertMany = (many) =>
    db.transaction('rw', messages, sessions, async () => {
      await messages.bulkAdd(many.map((message) => Object.assign({ status: 'complete' }, message)));
      const last = new Map(many.map(({ sessionId, createdAt }) => [sessionId, createdAt]));
      await sessions.bulkUpdate([...last].map(([key, updatedAt]) => ({ key, changes: { updatedAt } })));
    });
  const change = (id, changes) => messages.where('id').equals(id).modify(changes);
  const ofSession = (sessionId) => messages.where('sessionId').equals(sessionId);
  return {
    addBots: (list) => bots.bulkAdd(list),
    addSessions: (list) =>
      sessions.bulkAdd(list.map((session) => Object.assign({ updatedAt: session.createdAt }, session))),
    insert: (message) => insertMany([message]),
    insertMany,
    pageOfBot: (botId, limit) =>
      messages
        .where('[botId+createdAt]')
        .between([botId, Dexie.minKey], [botId, Dexie.maxKey])
        .reverse()
        .limit(limit)
        .toArray(),
    // Messages with the same session lie in the order of their primary keys.
    pageOfSession: async (sessionId, limit) =>
      (await ofSession(sessionId).reverse().limit(limit).toArray()).toReversed(),
    readSession: (sessionId) => ofSession(sessionId).toArray(),
    listSessions: (limit) =>
      db.transaction('r', sessions, messages, async () => {
        const page = await sessions.orderBy('updatedAt').reverse().limit(limit).toArray();
        return Promise.all(
          page.map(async (session) => {
            const [messageCount, last] = await Promise.all([
              ofSession(session.id).count(),
              ofSession(session.id).last(),
            ]);
            return Object.assign(session, {
              messageCount,
              lastMessageAt: last?.createdAt,
              preview: last?.content.slice(0, 200),
            });
          }),
        );
      }),
    update: ({ id }, content) => change(id, { content, updatedAt: Date.now() }),
    async startReply(message) {
      await insertMany([{ ...message, content: '', status: 'streaming' }]);
      return {
        append: (token) =>
          change(message.id, (stored) => {
            stored.content += token;
          }),
        async finish() {
          await change(message.id, { status: 'complete' });
          return (await messages.where('id').equals(message.id).first()).content;
        },
      };
    },
    close: async () => db.close(),
  };
}
