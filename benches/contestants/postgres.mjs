/**
 * The plain schema and its statements in PostgreSQL's words, for PGlite wherever its files lie.
 *
 * Holds: schema, statements, and columns in place of rows for bulk. Must not know: how the database was opened.
 */

const tables = `
  CREATE TABLE bots (id text PRIMARY KEY, name text NOT NULL UNIQUE, model text, created_at bigint NOT NULL);
  CREATE TABLE sessions (
    id text PRIMARY KEY, bot_id text REFERENCES bots (id) ON DELETE CASCADE, title text,
    created_at bigint NOT NULL, updated_at bigint NOT NULL
  );
  CREATE INDEX sessions_updated ON sessions (updated_at);
  CREATE TABLE messages (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE,
    session_id text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    bot_id text REFERENCES bots (id) ON DELETE SET NULL,
    role text NOT NULL, content text NOT NULL, status text NOT NULL DEFAULT 'complete', model text,
    input_tokens int, output_tokens int, created_at bigint NOT NULL, updated_at bigint NOT NULL
  );
  CREATE INDEX messages_session ON messages (session_id, seq);
  CREATE INDEX messages_bot ON messages (bot_id, created_at);
`;
const search_index = `
  ALTER TABLE messages ADD COLUMN words tsvector
    GENERATED ALWAYS AS (CASE WHEN status <> 'streaming' THEN to_tsvector('simple', content) END) STORED;
  CREATE INDEX messages_words ON messages USING gin (words);
`;
const fields = `id, session_id AS "sessionId", bot_id AS "botId", role, content, status, model, input_tokens AS "inputTokens",
  output_tokens AS "outputTokens", created_at AS "createdAt", updated_at AS "updatedAt"`;
const insert_many = `
  INSERT INTO messages (id, session_id, bot_id, role, content, status, model, input_tokens, output_tokens, created_at, updated_at)
  SELECT id, session_id, bot_id, role, content, status, model, input_tokens, output_tokens, created_at, created_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[], $10::bigint[])
    WITH ORDINALITY AS t (id, session_id, bot_id, role, content, status, model, input_tokens, output_tokens, created_at, place)
  ORDER BY place`;

const columnsOf = (messages) => [
  messages.map((message) => message.id),
  messages.map((message) => message.sessionId),
  messages.map((message) => message.botId),
  messages.map((message) => message.role),
  messages.map((message) => message.content),
  messages.map((message) => message.status ?? 'complete'),
  messages.map((message) => message.model ?? null),
  messages.map((message) => message.usage?.inputTokens ?? null),
  messages.map((message) => message.usage?.outputTokens ?? null),
  messages.map((message) => message.createdAt),
];

/** The rows' operations on an open database. `fresh` makes the tables. */
export async function postgresStore(db, { fresh, searchable }) {
  if (fresh) await db.exec(searchable ? tables + search_index : tables);
  const rows = async (sql, values) => (await db.query(sql, values)).rows;
  const insertMany = (messages) =>
    db.transaction(async (tx) => {
      await tx.query(insert_many, columnsOf(messages));
      const last = new Map(messages.map((message) => [message.sessionId, message.createdAt]));
      await tx.query(
        'UPDATE sessions SET updated_at = t.at FROM unnest($1::text[], $2::bigint[]) AS t (id, at) WHERE sessions.id = t.id',
        [[...last.keys()], [...last.values()]],
      );
    });
  return {
    async addBots(bots) {
      for (const { id, name, model, createdAt } of bots)
        await db.query('INSERT INTO bots VALUES ($1, $2, $3, $4)', [id, name, model, createdAt]);
    },
    addSessions: (sessions) =>
      db.transaction(async (tx) => {
        for (const { id, botId, title, createdAt } of sessions)
          await tx.query('INSERT INTO sessions VALUES ($1, $2, $3, $4, $4)', [id, botId, title, createdAt]);
      }),
    insert: (message) => insertMany([message]),
    insertMany,
    pageOfBot: (botId, limit) =>
      rows(`SELECT ${fields} FROM messages WHERE bot_id = $1 ORDER BY created_at DESC LIMIT $2`, [botId, limit]),
    pageOfSession: async (sessionId, limit) =>
      (
        await rows(`SELECT ${fields} FROM messages WHERE session_id = $1 ORDER BY seq DESC LIMIT $2`, [
          sessionId,
          limit,
        ])
      ).toReversed(),
    readSession: (sessionId) => rows(`SELECT ${fields} FROM messages WHERE session_id = $1 ORDER BY seq`, [sessionId]),
    listSessions: (limit) =>
      rows(
        `SELECT s.id, s.bot_id AS "botId", s.title, s.created_at AS "createdAt", s.updated_at AS "updatedAt",
           (SELECT count(*) FROM messages WHERE session_id = s.id) AS "messageCount",
           l.created_at AS "lastMessageAt", substr(l.content, 1, 200) AS preview
         FROM (SELECT * FROM sessions ORDER BY updated_at DESC LIMIT $1) s
           LEFT JOIN LATERAL (SELECT * FROM messages WHERE session_id = s.id ORDER BY seq DESC LIMIT 1) l ON true
         ORDER BY s.updated_at DESC`,
        [limit],
      ),
    update: ({ id }, content) =>
      db.query('UPDATE messages SET content = $1, updated_at = $2 WHERE id = $3', [content, Date.now(), id]),
    deleteBefore: async (before) =>
      (await db.query('DELETE FROM messages WHERE created_at < $1', [before])).affectedRows,
    search: (text, limit) =>
      rows(
        `SELECT m.id, m.session_id AS "sessionId", m.bot_id AS "botId", m.role, s.title AS "sessionTitle",
           m.created_at AS "createdAt", m.rank, ts_headline('simple', m.content, q.q) AS snippet
         FROM plainto_tsquery('simple', $1) AS q (q),
           LATERAL (SELECT *, ts_rank(words, q.q) AS rank FROM messages WHERE words @@ q.q ORDER BY rank DESC LIMIT $2) m
           JOIN sessions s ON s.id = m.session_id
         ORDER BY m.rank DESC`,
        [text, limit],
      ),
    matches: async (text) =>
      (await rows(`SELECT id FROM messages WHERE words @@ plainto_tsquery('simple', $1)`, [text])).map((row) => row.id),
    async startReply(message) {
      await insertMany([{ ...message, content: '', status: 'streaming' }]);
      return {
        append: (token) => db.query('UPDATE messages SET content = content || $1 WHERE id = $2', [token, message.id]),
        async finish() {
          await db.query(`UPDATE messages SET status = 'complete' WHERE id = $1`, [message.id]);
          return (await rows('SELECT content FROM messages WHERE id = $1', [message.id]))[0].content;
        },
      };
    },
    close: () => db.close(),
  };
}
