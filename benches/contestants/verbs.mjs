/**
 * What chatstore answers each row with, in Node and in a browser alike.
 *
 * Holds: which verb answers which row. Must not know: anything that is not in the public interface, or how the store
 * was opened.
 */

/** As many as one query gives. */
const most_rows = 100_000;

/** The rows' operations on an open store. */
export function verbs(store) {
  return {
    ranked: 'bm25',
    addBots: async (bots) => {
      for (const bot of bots) await store.bots.create(bot);
    },
    addSessions: (sessions) =>
      store.transaction(async (tx) => {
        for (const session of sessions) await tx.sessions.create(session);
      }),
    insert: (message) => store.messages.add(message),
    insertMany: (messages) => store.messages.addMany(messages),
    pageOfBot: async (botId, limit) => (await store.messages.list({ botId, limit, order: 'desc' })).items,
    pageOfSession: async (sessionId, limit) => (await store.messages.list({ sessionId, limit })).items,
    async readSession(sessionId) {
      const all = [];
      for await (const message of store.messages.iterate({ sessionId })) all.push(message);
      return all;
    },
    listSessions: async (limit) => (await store.sessions.list({ limit })).items,
    update: (ref, content) => store.messages.update(ref, { content }),
    deleteBefore: async (before) => (await store.messages.deleteWhere({ before }, { permanent: true })).messages,
    // The first search after a million messages indexes them all.
    search: async (text, limit) => (await store.search(text, { limit, timeoutMs: 600_000 })).items,
    async matches(text) {
      const ids = [];
      const sql = `SELECT m.key, m.id FROM messages_fts f JOIN messages m ON m.key = f.rowid
        WHERE messages_fts MATCH ? AND f.rowid > ? ORDER BY f.rowid LIMIT ${most_rows}`;
      let rows = [];
      do {
        rows = await store.query(sql, { params: [text, rows.at(-1)?.key ?? 0], limit: most_rows });
        for (const { id } of rows) ids.push(id);
      } while (rows.length === most_rows);
      return ids;
    },
    async startReply(message) {
      if (store.messages.start === undefined) return undefined;
      const { sessionId, id, role } = message;
      const stream = await store.messages.start({ sessionId, id, role });
      return {
        append(token) {
          stream.append(token);
          return stream.flush();
        },
        finish: async () => (await stream.finish()).content,
      };
    },
    close: () => store.close(),
  };
}
