/**
 * The store that a careful user of a SQLite library would write: bots, sessions and messages, the
 * indexes for what is asked of them, and a search index kept by triggers.
 *
 * Holds: schema, statements (prepared once and kept) and the transactions around them, for any
 * synchronous library. Must not know: which library it is; that is the driver's part:
 * `{ exec(sql), prepare(sql) -> { run(...values), all(...values) }, transaction(work) -> work, close() }`.
 */

const tables = `
  CREATE TABLE bots (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, model TEXT, created_at INTEGER NOT NULL
  );
  CREATE TABLE sessions (
    id TEXT PRIMARY KEY, bot_id TEXT REFERENCES bots (id) ON DELETE CASCADE, title TEXT,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
  );
  CREATE INDEX sessions_updated ON sessions (updated_at);
  CREATE TABLE messages (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    bot_id TEXT REFERENCES bots (id) ON DELETE SET NULL,
    role TEXT NOT NULL, content TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'complete', model TEXT,
    input_tokens INTEGER, output_tokens INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
  );
  CREATE INDEX messages_session ON messages (session_id);
  CREATE INDEX messages_bot ON messages (bot_id, created_at);
`;

// A reply under way is indexed once, at its end, and not with each of its tokens.
const fts5 = `
  CREATE VIRTUAL TABLE messages_fts USING fts5 (
    content, content = 'messages', content_rowid = 'seq', tokenize = 'unicode61 remove_diacritics 2'
  );
  CREATE TRIGGER messages_insert AFTER INSERT ON messages WHEN NEW.status <> 'streaming' BEGIN
    INSERT INTO messages_fts (rowid, content) VALUES (NEW.seq, NEW.content);
  END;
  CREATE TRIGGER messages_delete AFTER DELETE ON messages WHEN OLD.status <> 'streaming' BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content) VALUES ('delete', OLD.seq, OLD.content);
  END;
  CREATE TRIGGER messages_update_old AFTER UPDATE OF content, status ON messages WHEN OLD.status <> 'streaming' BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content) VALUES ('delete', OLD.seq, OLD.content);
  END;
  CREATE TRIGGER messages_update_new AFTER UPDATE OF content, status ON messages WHEN NEW.status <> 'streaming' BEGIN
    INSERT INTO messages_fts (rowid, content) VALUES (NEW.seq, NEW.content);
  END;
`;

// Where a library is built without FTS5: no ranking, so the newest come first.
const fts4 = `
  CREATE VIRTUAL TABLE messages_fts USING fts4 (content="messages", content, tokenize=unicode61 "remove_diacritics=2");
  CREATE TRIGGER messages_insert AFTER INSERT ON messages WHEN NEW.status <> 'streaming' BEGIN
    INSERT INTO messages_fts (docid, content) VALUES (NEW.seq, NEW.content);
  END;
  CREATE TRIGGER messages_delete BEFORE DELETE ON messages WHEN OLD.status <> 'streaming' BEGIN
    DELETE FROM messages_fts WHERE docid = OLD.seq;
  END;
  CREATE TRIGGER messages_update_old BEFORE UPDATE OF content, status ON messages WHEN OLD.status <> 'streaming' BEGIN
    DELETE FROM messages_fts WHERE docid = OLD.seq;
  END;
  CREATE TRIGGER messages_update_new AFTER UPDATE OF content, status ON messages WHEN NEW.status <> 'streaming' BEGIN
    INSERT INTO messages_fts (docid, content) VALUES (NEW.seq, NEW.content);
  END;
`;

const hit = `m.id, m.session_id AS sessionId, m.bot_id AS botId, m.role, s.title AS sessionTitle, m.created_at AS createdAt`;
const searches = {
  fts5: {
    schema: fts5,
    page: `SELECT ${hit}, f.rank AS rank, snippet(messages_fts, 0, char(2), char(3), '…', 24) AS snippet
      FROM messages_fts f JOIN messages m ON m.seq = f.rowid JOIN sessions s ON s.id = m.session_id
      WHERE messages_fts MATCH ? ORDER BY f.rank`,
    matches: `SELECT m.id FROM messages_fts f JOIN messages m ON m.seq = f.rowid WHERE messages_fts MATCH ?`,
    ranked: 'bm25',
  },
  fts4: {
    schema: fts4,
    page: `SELECT ${hit}, snippet(messages_fts, char(2), char(3), '…', -1, 24) AS snippet
      FROM messages_fts f JOIN messages m ON m.seq = f.docid JOIN sessions s ON s.id = m.session_id
      WHERE messages_fts MATCH ? ORDER BY f.docid DESC`,
    matches: `SELECT m.id FROM messages_fts f JOIN messages m ON m.seq = f.docid WHERE messages_fts MATCH ?`,
  },
};

const fields = `id, session_id AS sessionId, bot_id AS botId, role, content, status, model, input_tokens AS inputTokens,
  output_tokens AS outputTokens, created_at AS createdAt, updated_at AS updatedAt`;

const reads = {
  content: 'SELECT content FROM messages WHERE id = ?',
  pageOfBot: `SELECT ${fields} FROM messages WHERE bot_id = ? ORDER BY created_at DESC`,
  pageOfSession: `SELECT ${fields} FROM messages WHERE session_id = ? ORDER BY seq DESC`,
  readSession: `SELECT ${fields} FROM messages WHERE session_id = ? ORDER BY seq`,
  // Counted for the fifty that are shown, not for all.
  listSessions: `SELECT s.id, s.bot_id AS botId, s.title, s.created_at AS createdAt, s.updated_at AS updatedAt,
      (SELECT count(*) FROM messages WHERE session_id = s.id) AS messageCount,
      l.created_at AS lastMessageAt, substr(l.content, 1, 200) AS preview
    FROM sessions s LEFT JOIN messages l ON l.seq = (SELECT max(seq) FROM messages WHERE session_id = s.id)
    ORDER BY s.updated_at DESC`,
};

const writes = {
  addBot: 'INSERT INTO bots (id, name, model, created_at) VALUES (?, ?, ?, ?)',
  addSession: 'INSERT INTO sessions (id, bot_id, title, created_at, updated_at) VALUES (?, ?, ?, ?, ?)',
  insert: `INSERT INTO messages (id, session_id, bot_id, role, content, status, model, input_tokens, output_tokens, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  touch: 'UPDATE sessions SET updated_at = ? WHERE id = ?',
  append: 'UPDATE messages SET content = content || ? WHERE id = ?',
  finish: `UPDATE messages SET status = 'complete' WHERE id = ?`,
  update: 'UPDATE messages SET content = ?, updated_at = ? WHERE id = ?',
  deleteBefore: 'DELETE FROM messages WHERE created_at < ?',
};

const insertValues = ({ id, sessionId, botId, role, content, status, model, usage, createdAt }) => [
  id,
  sessionId,
  botId,
  role,
  content,
  status ?? 'complete',
  model ?? null,
  usage?.inputTokens ?? null,
  usage?.outputTokens ?? null,
  createdAt,
  createdAt,
];

/** The same statements, for a library that takes them from another thread and not through a driver. */
export const plainSql = { tables, searches, reads, writes, insertValues };

/** A store on a driver. `fresh` makes the tables; `searchable: false` leaves the search index out. */
export function plainStore(driver, { fresh, searchable, engine = 'fts5' }) {
  const search = searches[engine];
  if (fresh) driver.exec(searchable ? tables + search.schema : tables);
  const kept = new Map();
  const statement = (sql) => {
    let prepared = kept.get(sql);
    if (prepared === undefined) kept.set(sql, (prepared = driver.prepare(sql)));
    return prepared;
  };
  // As a literal: SQLite prepares a statement anew with each new value of a bound limit.
  const limited = (sql, limit) => statement(`${sql} LIMIT ${limit}`);
  const insert = (message) => statement(writes.insert).run(...insertValues(message));
  const touch = (sessionId, at) => statement(writes.touch).run(at, sessionId);
  const write = (work) => {
    const transaction = driver.transaction(work);
    return driver.acknowledge === undefined
      ? transaction
      : (...values) => {
          const result = transaction(...values);
          // Statements do not outlive the way in which such a library writes its file.
          driver.acknowledge();
          kept.clear();
          return result;
        };
  };
  const append = write((token, id) => statement(writes.append).run(token, id));
  const finish = write((id) => statement(writes.finish).run(id));
  const insertOne = write((message) => {
    insert(message);
    touch(message.sessionId, message.createdAt);
  });
  return {
    ranked: search.ranked,
    addBots: write((bots) => {
      const add = statement(writes.addBot);
      for (const { id, name, model, createdAt } of bots) add.run(id, name, model, createdAt);
    }),
    addSessions: write((sessions) => {
      const add = statement(writes.addSession);
      for (const { id, botId, title, createdAt } of sessions) add.run(id, botId, title, createdAt, createdAt);
    }),
    insert: insertOne,
    insertMany: write((messages) => {
      const last = new Map();
      for (const message of messages) {
        insert(message);
        last.set(message.sessionId, message.createdAt);
      }
      for (const [sessionId, at] of last) touch(sessionId, at);
    }),
    pageOfBot: (botId, limit) => limited(reads.pageOfBot, limit).all(botId),
    pageOfSession: (sessionId, limit) => limited(reads.pageOfSession, limit).all(sessionId).toReversed(),
    readSession: (sessionId) => statement(reads.readSession).all(sessionId),
    listSessions: (limit) => limited(reads.listSessions, limit).all(),
    update: write(({ id }, content) => statement(writes.update).run(content, Date.now(), id)),
    deleteBefore: write((before) => Number(statement(writes.deleteBefore).run(before).changes)),
    search: (text, limit) => limited(search.page, limit).all(text),
    matches: (text) =>
      statement(search.matches)
        .all(text)
        .map((row) => row.id),
    startReply(message) {
      insertOne({ ...message, content: '', status: 'streaming' });
      return {
        append: (token) => append(token, message.id),
        finish() {
          finish(message.id);
          return statement(reads.content).all(message.id)[0].content;
        },
      };
    },
    close: () => driver.close(),
  };
}

/** Pragmas of a peer that has WAL: the durability that chatstore has, and room for its pages. */
export const pragmas = (durability) =>
  `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${durability === 'relaxed' ? 'NORMAL' : 'FULL'};
   PRAGMA foreign_keys = ON; PRAGMA cache_size = -16000;`;
