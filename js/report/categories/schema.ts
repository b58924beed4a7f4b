/**
 * The tables of the file: as they should be, and enforcing what they say.
 *
 * Holds: the checks of that category. Must not know: an environment.
 */

import { failureOf, found } from '../findings.js';
import { breakAll, type RuleKind } from '../broken_rows.js';
import { checksIn } from '../rows_in_file.js';
import { otherTables, others, rules, tables, type Table } from '../tables.js';
import type { Category, Item, Store } from '../types.js';
import { chat, count, integrity, orphans, said, texts } from '../work.js';

/** A table as the file has it, in the form of tables.ts. */
async function tableIn(store: Store, name: string): Promise<Table> {
  const of = { params: [name] };
  const columns = await store.query(
    'SELECT name, type, "notnull" AS required, pk, hidden, dflt_value AS fallback FROM pragma_table_xinfo(?)',
    of,
  );
  const indexes = await store.query(
    `SELECT l.name, l."unique" AS only_one, (SELECT group_concat(name, ', ') FROM pragma_index_info(l.name)) AS of_columns,
      (SELECT sql FROM sqlite_schema s WHERE s.type = 'index' AND s.name = l.name) AS sql FROM pragma_index_list(?) l`,
    of,
  );
  const keys = await store.query(
    'SELECT "from" AS col, "table" AS other, on_delete FROM pragma_foreign_key_list(?)',
    of,
  );
  const [made] = await store.query('SELECT sql FROM sqlite_schema WHERE type = ? AND name = ?', {
    params: ['table', name],
  });
  return {
    columns: columns.map((row) =>
      [row['name'], row['type'], row['required'] && 'not null', row['pk'] && 'key', row['hidden'] && 'generated']
        .filter(Boolean)
        .join(' '),
    ),
    defaults: Object.fromEntries(
      columns.filter((row) => row['fallback'] !== null).map((row) => [String(row['name']), String(row['fallback'])]),
    ),
    indexes: indexes
      .map((row) => {
        const where = /\sWHERE .*$/s.exec(String(row['sql']))?.[0] ?? '';
        return `${String(row['name'])}${row['only_one'] ? ' unique' : ''} (${String(row['of_columns'])})${where}`;
      })
      .toSorted(),
    foreignKeys: keys
      .map((row) => `${String(row['col'])} -> ${String(row['other'])}, ${String(row['on_delete'])}`)
      .toSorted(),
    checks: checksIn(String(made?.['sql']))
      .map((check) => `${check.name}: ${check.sql}`)
      .toSorted(),
  };
}

const parts: [part: keyof Table, title: string][] = [
  ['columns', 'columns and their types'],
  ['defaults', 'default values'],
  ['indexes', 'indexes, unique ones among them'],
  ['foreignKeys', 'foreign keys and their cascades'],
  ['checks', 'checks'],
];

/** One check for each part of the tables that people ask for, and one for each other table. */
const asItShouldBe: Item[] = [
  ...Object.entries(tables).flatMap(([name, expected]) =>
    parts.map(([part, title]): Item => ({
      id: `schema.${name}.${part}`,
      title: `Table ${name}: ${title}`,
      readOnly: true,
      run: async (context) => {
        const seen = await tableIn(await context.store(), name);
        return found({ [title]: [expected[part], seen[part]] });
      },
    })),
  ),
  ...Object.entries(otherTables).map(([name, expected]): Item => ({
    id: `schema.${name}`,
    title: `Table ${name}: columns, types, defaults, indexes, foreign keys and checks`,
    readOnly: true,
    run: async (context) => {
      const seen = await tableIn(await context.store(), name);
      return found(Object.fromEntries(parts.map(([part, title]) => [title, [expected[part], seen[part]]])));
    },
  })),
  {
    id: 'schema.objects',
    title: 'The file has these tables, views and triggers, and no others',
    readOnly: true,
    run: async (context) => {
      const store = await context.store();
      const rows = await store.query(
        `SELECT type || ' ' || name AS named FROM sqlite_schema WHERE type <> 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
          AND name NOT LIKE 'messages\\_fts\\__%' ESCAPE '\\'`,
      );
      const named = [...Object.keys(tables), ...Object.keys(otherTables)].map((name) => `table ${name}`);
      return found({
        'in the file': [[...named, ...others].toSorted(), rows.map((row) => String(row['named'])).toSorted()],
      });
    },
  },
];

/** A check that breaks every rule of a kind. */
const broken = (id: string, kind: RuleKind, title: string): Item => ({
  id: `schema.${id}`,
  title: `${title}: each is broken once, and a file with such a row is refused for it`,
  run: async (context) => {
    const { control, broken: all, held } = await breakAll(context, kind);
    return found(
      {
        'a file that breaks none': ['none', control.code],
        'rules broken': [rules[kind], all.length],
        'let through, or refused for something else': [
          [],
          all.filter(({ expected, seen }) => seen !== expected).map(({ rule, seen }) => `${rule}: ${seen}`),
        ],
        'what the store holds afterwards': ['s', held],
      },
      [{ name: 'rules broken', value: all.length, unit: '' }],
    );
  },
});

export const schema: Category = {
  id: 'schema',
  title: 'Schema integrity',
  items: [
    ...asItShouldBe,
    {
      id: 'schema.strict',
      title: 'Types are enforced: every table is STRICT',
      readOnly: true,
      run: async (context) => {
        const store = await context.store();
        const loose = await store.query(
          "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict AND name NOT LIKE 'sqlite_%'",
        );
        return found({ 'tables that are not': [[], loose.map((row) => row['name'])] });
      },
    },
    {
      id: 'schema.version',
      title: 'The file says what it is, and of which version',
      readOnly: true,
      run: async (context) => {
        const store = await context.store();
        return found({
          'application id': [0x43684174, await count(store, 'PRAGMA application_id')],
          'schema version': [1, await count(store, 'PRAGMA user_version')],
        });
      },
    },
    {
      id: 'schema.rows',
      title: 'Every row keeps to the types, checks and NOT NULLs of its table',
      readOnly: true,
      run: async (context) => found({ 'SQLite’s check': ['ok', await integrity(await context.store())] }),
    },
    {
      id: 'schema.orphans',
      title: 'No row names one that is not there',
      readOnly: true,
      run: async (context) => found({ orphans: [0, await orphans(await context.store())] }),
    },
    {
      id: 'schema.primary-keys',
      title: 'Primary keys: each row has its own, also after deletions',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 20);
        await store.messages.delete({ sessionId, id: 'm19' }, { permanent: true });
        const { seq } = await store.messages.add(said(sessionId, 'later'));
        const doubled = await count(store, 'SELECT count(*) - count(DISTINCT key) FROM messages');
        return found({
          'keys that are there twice': [0, doubled],
          'a place that was given before': [false, seq <= 20],
        });
      },
    },
    {
      id: 'schema.foreign-keys',
      title: 'Foreign keys are enforced: verbs name what is not there, and SQLite takes what belongs to a bot with it',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 1);
        const { sessionId: elsewhere } = await chat(context, store);
        await store.messages.add(said(elsewhere, 'of that bot', { id: 'm', botId }));
        const codes = [
          (await failureOf(store.messages.add(said(context.id(), 'of no session')))).code,
          (await failureOf(store.messages.add(said(sessionId, 'of no bot', { botId: context.id() })))).code,
          (await failureOf(store.messages.add(said(sessionId, 'of no parent', { parentId: context.id() })))).code,
          (await failureOf(store.sessions.update(sessionId, { botId: context.id() }))).code,
        ];
        const messages = (await texts(store, sessionId)).length;
        // One row is deleted by this; all else that goes or changes is done by SQLite, which does so for keys it enforces.
        await store.bots.delete(botId, { permanent: true });
        const kept = await store.messages.get({ sessionId: elsewhere, id: 'm' });
        return found({
          errors: [Array.from({ length: 4 }, () => 'CONSTRAINT_FOREIGN_KEY'), codes],
          messages: [1, messages],
          'its session afterwards': [null, await store.sessions.get(sessionId)],
          'its message elsewhere': [
            ['of that bot', null],
            [kept?.content, kept?.botId],
          ],
        });
      },
    },
    broken('references', 'foreign key', 'Foreign keys'),
    {
      id: 'schema.unique',
      title: 'Unique constraints are enforced; a name in the trash is free again',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store);
        const name = `Bot ${botId}`;
        const codes = [
          (await failureOf(store.bots.create({ name }))).code,
          (await failureOf(store.bots.create({ id: botId, name: context.id() }))).code,
          (await failureOf(store.sessions.create({ id: sessionId }))).code,
        ];
        await store.bots.delete(botId);
        return found({
          errors: [Array.from({ length: 3 }, () => 'CONSTRAINT_UNIQUE'), codes],
          'the name of one in the trash': ['none', (await failureOf(store.bots.create({ name }))).code],
        });
      },
    },
    {
      id: 'schema.defaults',
      title: 'Default values are what rows get',
      run: async (context) => {
        const store = await context.store();
        const session = await store.sessions.create();
        const message = await store.messages.add(said(session.id, 'x'));
        const { status, pinned, tags, messageCount, revision } = session;
        return found({
          session: [
            ['active', false, [], 0, 1],
            [status, pinned, tags, messageCount, revision],
          ],
          message: [
            ['complete', true, null],
            [message.status, message.active, message.deletedAt],
          ],
        });
      },
    },
    broken('unique-rows', 'unique', 'Unique constraints, those of primary keys among them'),
    broken('not-null', 'not null', 'NOT NULL'),
    broken('checks', 'check', 'Checks'),
    {
      id: 'schema.cascade',
      title: 'Cascades: what belongs to a row that goes, goes with it; a parent’s children stay',
      run: async (context) => {
        const store = await context.store();
        const { sessionId } = await chat(context, store, 5);
        await store.messages.delete({ sessionId, id: 'm2' }, { permanent: true });
        const child = await store.messages.get({ sessionId, id: 'm3' });
        const rows = await count(store, 'SELECT key FROM sessions WHERE id = ?', [sessionId]);
        const taken = await store.sessions.delete(sessionId, { permanent: true });
        const left = await count(store, 'SELECT count(*) FROM messages WHERE session = ?', [rows]);
        return found({
          'parent of the child': ['m1', child?.parentId],
          counted: [4, taken.messages],
          'rows left': [0, left],
        });
      },
    },
    {
      id: 'schema.orphan-cleanup',
      title: 'Nothing is left behind in any table when everything is deleted',
      run: async (context) => {
        const { store } = await context.scratch();
        const { botId, sessionId } = await chat(context, store, 20);
        await store.search('word');
        const stream = await store.messages.start({ sessionId });
        stream.append('unfinished');
        await stream.flush();
        await stream.abort();
        await store.bots.delete(botId, { permanent: true });
        await store.search('word');
        const names = [
          'messages',
          'sessions',
          'bots',
          'message_streams',
          'message_deltas',
          'attachments',
          'search_pending',
          'search_stale',
        ];
        const left: string[] = [];
        for (const name of names) if ((await count(store, `SELECT count(*) FROM ${name}`)) > 0) left.push(name);
        return found({ 'tables with rows': [[], left], orphans: [0, await orphans(store)] });
      },
    },
    {
      id: 'schema.index-use',
      title: 'Indexes hold what their tables hold',
      run: async (context) => {
        const store = await context.store();
        const { botId, sessionId } = await chat(context, store, 40);
        await store.messages.delete({ sessionId, id: 'm3' }, { permanent: true });
        await store.messages.delete({ sessionId, id: 'm4' });
        const [row] = await store.query(
          `SELECT (SELECT count(*) FROM messages INDEXED BY messages_bot WHERE bot = b.key) AS by_index,
            (SELECT count(*) FROM messages NOT INDEXED WHERE bot = b.key) AS by_table,
            (SELECT count(*) FROM messages INDEXED BY messages_trash WHERE deleted_at IS NOT NULL AND bot = b.key) AS trash
            FROM bots b WHERE b.id = ?`,
          { params: [botId] },
        );
        return found({ 'rows by index, by table, in the trash': [{ by_index: 39, by_table: 39, trash: 1 }, row] });
      },
    },
  ],
};
