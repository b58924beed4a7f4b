/**
 * SQLocal, as its documentation has it: statements go to its worker, several at once as a batch, which is atomic.
 *
 * Holds: the plain schema's statements as batches. Must not know: the schema.
 */
import { SQLocal } from 'sqlocal';
import { plainSql } from '../../contestants/plain.mjs';
import { pragmas } from '../workers/pragmas.mjs';

const { reads, writes, insertValues } = plainSql;
const search = plainSql.searches.fts5;

/** Statements of a schema, one by one: triggers have semicolons of their own. */
const statementsOf = (schema) => schema.split(/;\s*(?=CREATE|$)/).filter((statement) => /\S/.test(statement));

export async function open(folder, { durability, searchable }) {
  const client = new SQLocal({
    databasePath: `${folder}.sqlite`,
    processor: new Worker(new URL('worker.js', import.meta.url), { type: 'module' }),
    onInit: (tag) =>
      pragmas(durability)
        .split(';')
        .filter((statement) => /\S/.test(statement))
        .map((statement) => tag(statement)),
  });
  const batch = (statements) =>
    client.batch((tag) => statements.map(([statement, ...values]) => tag(statement, values)));
  const all = (statement, ...values) => client.sql(statement, ...values);
  const found = await all(`SELECT count(*) AS count FROM sqlite_schema WHERE name = 'messages'`);
  if (found[0].count === 0)
    await batch(
      statementsOf(searchable ? plainSql.tables + search.schema : plainSql.tables).map((statement) => [statement]),
    );
  const touch = ({ sessionId, createdAt }) => [writes.touch, createdAt, sessionId];
  const insertMany = (messages) => {
    const last = new Map(messages.map((message) => [message.sessionId, message]));
    return batch([
      ...messages.map((message) => [writes.insert, ...insertValues(message)]),
      ...[...last.values()].map(touch),
    ]);
  };
  return {
    ranked: search.ranked,
    addBots: (bots) => batch(bots.map(({ id, name, model, createdAt }) => [writes.addBot, id, name, model, createdAt])),
    addSessions: (sessions) =>
      batch(
        sessions.map(({ id, botId, title, createdAt }) => [writes.addSession, id, botId, title, createdAt, createdAt]),
      ),
    insert: (message) => insertMany([message]),
    insertMany,
    pageOfBot: (botId, limit) => all(`${reads.pageOfBot} LIMIT ${limit}`, botId),
    pageOfSession: async (sessionId, limit) =>
      (await all(`${reads.pageOfSession} LIMIT ${limit}`, sessionId)).toReversed(),
    readSession: (sessionId) => all(reads.readSession, sessionId),
    listSessions: (limit) => all(`${reads.listSessions} LIMIT ${limit}`),
    update: ({ id }, content) => batch([[writes.update, content, Date.now(), id]]),
    search: (text, limit) => all(`${search.page} LIMIT ${limit}`, text),
    matches: async (text) => (await all(search.matches, text)).map((row) => row.id),
    async startReply(message) {
      await insertMany([{ ...message, content: '', status: 'streaming' }]);
      return {
        append: (token) => batch([[writes.append, token, message.id]]),
        async finish() {
          await batch([[writes.finish, message.id]]);
          return (await all(reads.content, message.id))[0].content;
        },
      };
    },
    close: () => client.destroy(),
  };
}
