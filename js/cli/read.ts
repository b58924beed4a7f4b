/**
 * The commands that read: stats, query, list, show, search.
 *
 * Holds: what each prints. Must not know: how arguments are parsed.
 */

import type { Message, Page, QueryOptions, Row, SqlValue } from '../client/types.js';
import { ChatStoreError, type ChatStore } from '../index.js';
import { CommandError, UsageError, type Command, type Option } from './command.js';
import { argument, withStore } from './open.js';
import { momentOf, oneLine, printable, sizeOf, toJson, type Terminal } from './terminal.js';

const store_argument = { name: 'store', help: 'the file; it may be open in another process' };
const json: Option = { help: 'print JSON' };
const limit = (what: string, fallback: number): Option => ({
  value: 'N',
  help: `${what} at most, default ${String(fallback)}`,
});
const PAGE_ROWS = 500;
const QUERY_ROWS = 10_000;
/** More than that no call gives. */
const MOST_QUERY_ROWS = 100_000;

/** Gives item after item, page after page, up to a number of them. */
async function* items<T>(
  count: number,
  page: (limit: number, cursor: string | null) => Promise<Page<T>>,
): AsyncGenerator<T> {
  let left = count;
  let cursor: string | null = null;
  while (left > 0) {
    const { items: some, nextCursor }: Page<T> = await page(Math.min(left, PAGE_ROWS), cursor);
    yield* some;
    left -= some.length;
    cursor = nextCursor;
    if (cursor === null) return;
  }
}

async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of all) found.push(item);
  return found;
}

export const stats: Command = {
  name: 'stats',
  summary: 'figures of a store: what it holds, and what it has done since its file was opened',
  details: 'Where another process has the store open, the figures are those of that process.',
  arguments: [store_argument],
  options: { deep: { help: 'also look through the file: fragmentation, rows, plans, indexes' }, json },
  examples: [
    ['stats chats.sqlite', 'all figures, one a line'],
    ['stats chats.sqlite --deep', 'with what has to be looked for'],
    ['stats chats.sqlite --json | jq .info', 'the same for programs'],
  ],
  run: (call) =>
    withStore(call, argument(call, 0), async (store) => {
      const { signal } = call.terminal;
      const [counts] = await store.query(
        `SELECT (SELECT count(*) FROM bots) AS bots, (SELECT count(*) FROM sessions) AS sessions,
          (SELECT count(*) FROM messages) AS messages`,
        { signal },
      );
      const [size] = await store.query(
        'SELECT page_count AS pages, freelist_count AS freePages, page_count * page_size AS sizeBytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size',
        { signal },
      );
      const figures = {
        info: store.info,
        rows: counts,
        file: size,
        since: await store.stats({ deep: call.flag('deep'), signal }),
      };
      if (call.flag('json')) return call.terminal.json(figures);
      await call.terminal.line('Store');
      await printFacts(call.terminal, figures.info, '  ');
      await call.terminal.line('Rows');
      await printFacts(call.terminal, figures.rows, '  ');
      await call.terminal.line('File');
      await printFacts(call.terminal, figures.file, '  ');
      await call.terminal.line('Since it was opened');
      await printFacts(call.terminal, figures.since, '  ');
    }),
};

/** Names and values below each other; what is nested stands further in. */
async function printFacts(terminal: Terminal, facts: unknown, indent: string): Promise<void> {
  if (typeof facts !== 'object' || facts === null) return;
  const entries = Object.entries(facts);
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  for (const [name, value] of entries) {
    if (typeof value === 'object' && value !== null) {
      if (Object.keys(value).length === 0) continue;
      await terminal.line(`${indent}${name}`);
      await printFacts(terminal, value, `${indent}  `);
    } else {
      await terminal.line(`${indent}${name.padEnd(width)}  ${factOf(name, value)}`);
    }
  }
}

function factOf(name: string, value: unknown): string {
  if (typeof value === 'number' && /bytes$/i.test(name)) return sizeOf(value);
  if (typeof value === 'number' && /ms$/i.test(name)) return `${String(Math.round(value * 1_000) / 1_000)} ms`;
  return String(value);
}

export const query: Command = {
  name: 'query',
  summary: 'run SQL that reads',
  details:
    'The SQL may be "-": then it is read from standard input. Rows are printed as a table, or as JSON. Columns of one name are numbered: id, id:1.',
  arguments: [store_argument, { name: 'sql', help: 'one statement that reads, or "-"' }],
  options: {
    param: {
      value: 'VALUE',
      multiple: true,
      help: 'a value for the next "?"; "null" and numbers are what they look like',
    },
    limit: limit('rows', QUERY_ROWS),
    timeout: { value: 'SECONDS', help: 'give up after so long, default 30' },
    json,
    jsonl: { help: 'print one JSON object a line' },
  },
  examples: [
    ['query chats.sqlite "SELECT role, count(*) AS n FROM messages GROUP BY role"', 'a table'],
    ['query chats.sqlite "SELECT * FROM sessions WHERE title LIKE ?" --param "%trip%" --json', 'with a value, as JSON'],
    ['query chats.sqlite - < report.sql', 'SQL from a file'],
  ],
  run: async (call) => {
    if (call.flag('json') && call.flag('jsonl')) throw new UsageError('--json and --jsonl exclude each other');
    const seconds = call.number('timeout', 1);
    const wanted = call.number('limit', 1);
    const given = argument(call, 1);
    const sql = given === '-' ? new TextDecoder().decode(await call.terminal.input()) : given;
    return withStore(call, argument(call, 0), async (store) => {
      const params = (call.texts('param') ?? []).map(valueOf);
      const { signal } = call.terminal;
      const options = { params, signal, ...(seconds === undefined ? {} : { timeoutMs: seconds * 1_000 }) };
      const rows = await firstRows(store, sql, wanted ?? QUERY_ROWS + 1, options);
      if (wanted === undefined && rows.length > QUERY_ROWS) {
        rows.pop();
        call.terminal.note(`only the first ${String(rows.length)} rows: --limit gives more`);
      }
      if (call.flag('json')) return call.terminal.json(rows);
      if (call.flag('jsonl')) {
        for (const row of rows) await call.terminal.line(toJson(row));
        return;
      }
      await printRows(call.terminal, rows);
    });
  },
};

/** White space, semicolons and comments after a statement. */
const after = /;(?:[\s;]|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*$/;

/** As many rows of a statement as are wanted, whatever it has. */
async function firstRows(store: ChatStore, sql: string, count: number, options: QueryOptions): Promise<Row[]> {
  try {
    // In a subquery SQLite numbers columns of one name, of which a row would have only the last.
    const some = `SELECT * FROM (\n${sql.replace(after, '')}\n) LIMIT ${String(count)}`;
    return await store.query(some, { ...options, limit: count });
  } catch (error) {
    if (!(error instanceof ChatStoreError && error.code === 'INVALID_SQL')) throw error;
  }
  // It is none that can be one, as EXPLAIN; or it is wrong, and SQLite says so of the statement as it was given.
  const rows = await store.query(sql, { ...options, limit: MOST_QUERY_ROWS });
  return rows.slice(0, count);
}

function valueOf(text: string): SqlValue {
  if (text === 'null') return null;
  if (/^-?\d+$/.test(text)) return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
  return /^-?\d*\.\d+(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
}

const cellOf = (value: SqlValue | undefined): string =>
  value instanceof Uint8Array ? `${String(value.length)} bytes` : value === null ? 'null' : oneLine(String(value), 60);

async function printRows(terminal: Terminal, rows: Row[]): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const names = Object.keys(first);
  await terminal.table(
    names,
    rows.map((row) => names.map((name) => cellOf(row[name]))),
  );
}

export const list: Command = {
  name: 'list',
  summary: 'the sessions of a store, or its bots',
  arguments: [store_argument],
  options: {
    bots: { help: 'list the bots instead' },
    bot: { value: 'ID', help: 'only the sessions of this bot' },
    trash: { help: 'list what is in the trash' },
    limit: limit('rows', 50),
    json,
  },
  examples: [
    ['list chats.sqlite', 'the sessions, newest activity first'],
    ['list chats.sqlite --bots --json', 'the bots, as JSON'],
    ['list chats.sqlite --trash --limit 1000', 'what can be restored'],
  ],
  run: (call) => {
    if (call.flag('bots') && call.text('bot') !== undefined)
      throw new UsageError('--bots and --bot exclude each other');
    const count = call.number('limit', 1) ?? 50;
    return withStore(call, argument(call, 0), async (store) => {
      const deleted = call.flag('trash');
      const { signal } = call.terminal;
      if (call.flag('bots')) {
        const bots = await collect(
          items(count, (size, cursor) => store.bots.list({ deleted, limit: size, cursor, signal })),
        );
        if (call.flag('json')) return call.terminal.json(bots);
        return call.terminal.table(
          ['id', 'name', 'model', 'made'],
          bots.map(({ id, name, model, createdAt }) => [
            id,
            oneLine(name, 40),
            oneLine(model ?? '', 30),
            momentOf(createdAt),
          ]),
        );
      }
      const botId = call.text('bot');
      const sessions = await collect(
        items(count, (size, cursor) => store.sessions.list({ deleted, botId, limit: size, cursor, signal })),
      );
      if (call.flag('json')) return call.terminal.json(sessions);
      return call.terminal.table(
        ['id', 'messages', 'last', 'title'],
        sessions.map(({ id, messageCount, lastMessageAt, createdAt, title, preview }) => [
          id,
          String(messageCount),
          momentOf(lastMessageAt ?? createdAt),
          oneLine(title ?? preview ?? '', 60),
        ]),
      );
    });
  },
};

export const show: Command = {
  name: 'show',
  summary: 'the messages of a session, oldest first',
  details: 'Shows the active path, which is what a chat shows; --all shows every branch.',
  arguments: [store_argument, { name: 'session', help: 'its id, as list prints it' }],
  options: {
    limit: { value: 'N', help: 'only the newest N, default all' },
    all: { help: 'every branch, not only the active one' },
    json: { help: 'print one JSON object a line' },
  },
  examples: [
    ['show chats.sqlite trip', 'a chat to read'],
    ['show chats.sqlite trip --limit 10', 'its ten newest messages'],
    ['show chats.sqlite trip --json > trip.jsonl', 'all of it, for programs'],
  ],
  run: (call) => {
    const newest = call.number('limit', 1);
    return withStore(call, argument(call, 0), async (store) => {
      const sessionId = argument(call, 1);
      const { signal } = call.terminal;
      if ((await store.sessions.get(sessionId, { signal })) === null)
        throw new CommandError(`there is no session ${sessionId}`);
      for await (const message of messagesOf(store, sessionId, newest, call.flag('all'), signal)) {
        if (call.flag('json')) await call.terminal.line(toJson(message));
        else await printMessage(call.terminal, message);
      }
    });
  },
};

/** The messages of a session in their order: all of them, or the newest. */
async function* messagesOf(
  store: ChatStore,
  sessionId: string,
  newest: number | undefined,
  all: boolean,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  if (newest === undefined && !all) {
    yield* store.messages.iterate({ sessionId, signal });
    return;
  }
  const branches = all ? 'all' : 'active';
  const pages: Message[][] = [];
  let left = newest ?? Number.POSITIVE_INFINITY;
  let cursor: string | null = null;
  do {
    // The newest page comes first, and what is older before it.
    const page: Page<Message> = await store.messages.list({
      sessionId,
      branches,
      cursor,
      limit: Math.min(left, PAGE_ROWS),
      signal,
    });
    pages.push(page.items);
    left -= page.items.length;
    cursor = page.prevCursor;
  } while (cursor !== null && left > 0);
  for (const page of pages.toReversed()) yield* page;
}

async function printMessage(terminal: Terminal, { role, content, createdAt, status, active }: Message): Promise<void> {
  const marks = [status === 'complete' ? '' : status, active ? '' : 'another branch'].filter((mark) => mark !== '');
  await terminal.line(`${role}, ${momentOf(createdAt)}${marks.map((mark) => ` (${mark})`).join('')}`);
  await terminal.write(`${printable(content).replaceAll(/^/gm, '  ')}\n\n`);
}

export const search: Command = {
  name: 'search',
  summary: 'find messages by the words in them, best first',
  arguments: [store_argument, { name: 'words', help: 'all of them have to be there', many: true }],
  options: {
    prefix: { help: 'the last word may be the beginning of one' },
    session: { value: 'ID', help: 'only in this session' },
    bot: { value: 'ID', help: 'only messages of this bot' },
    limit: limit('hits', 20),
    json,
  },
  examples: [
    ['search chats.sqlite station', 'messages with that word'],
    ['search chats.sqlite train tur --prefix', 'train, and a word that begins with tur'],
  ],
  run: (call) => {
    const count = call.number('limit', 1) ?? 20;
    return withStore(call, argument(call, 0), async (store) => {
      const options = {
        prefix: call.flag('prefix'),
        sessionId: call.text('session'),
        botId: call.text('bot'),
        signal: call.terminal.signal,
      };
      const words = call.arguments.slice(1).join(' ');
      const hits = await collect(
        items(count, (size, cursor) => store.search(words, { ...options, limit: size, cursor })),
      );
      if (call.flag('json')) return call.terminal.json(hits);
      for (const { sessionId, id, role, createdAt, sessionTitle, snippet } of hits) {
        const title = sessionTitle === null ? '' : `, ${oneLine(sessionTitle, 60)}`;
        await call.terminal.line(`${sessionId} ${id}: ${role}, ${momentOf(createdAt)}${title}`);
        await call.terminal.line(`  ${oneLine(snippet, 400)}`);
        await call.terminal.line();
      }
    });
  },
};
