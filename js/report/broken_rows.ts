/**
 * Every rule of the schema, each broken once: what rules there are is read from the file, and for each there is a row,
 * or a pair of rows, that breaks it and no other.
 *
 * Holds: one sound row for each table, and how a rule is broken. Must not know: how a page is laid out.
 */

import { failureOf, type Failure } from './findings.js';
import { breaking, fileWith, shapesOf, type Cell, type RowOf, type TableShape } from './rows_in_file.js';
import type { Context, Store } from './types.js';
import { backupBytes } from './work.js';

/** Kinds of rules. */
export type RuleKind = 'check' | 'not null' | 'unique' | 'foreign key';

/** A rule that was broken, in a file that a store was to take for its own. */
export interface Broken {
  /** `bots_id_not_empty`, `bots.name`, `bots (id)`, `sessions.bot`. */
  rule: string;
  /** What the store is to say of it. */
  expected: string;
  /** What it said. */
  seen: string;
}

const KEY = 2 ** 32 + 1;
const times = { created_at: 1, updated_at: 1 };

/** A sound row of each table; columns that are not here are NULL. */
const sound: Record<string, RowOf> = {
  bots: { key: 1, id: 'b', name: 'b', ...times },
  sessions: {
    key: 1,
    id: 's',
    bot: 1,
    status: 'active',
    pinned: 0,
    tags: '[]',
    next_seq: 9,
    message_count: 1,
    revision: 1,
    ...times,
  },
  messages: { key: KEY, session: 1, id: 'm', bot: 1, active: 1, role: 'user', status: 'complete', text: 'x', ...times },
  message_streams: { key: 1, message: KEY, client: 'c', started_at: 1, next_number: 0, size_bytes: 2 },
  message_deltas: { key: 2 ** 32, type: 'text', delta: 'x', size_bytes: 9 },
  blobs: { key: 1, hash: new Uint8Array(32), size_bytes: 1, created_at: 1, data: new Uint8Array(1) },
  attachments: { message: KEY, number: 0, blob: 1 },
  operations: { id: 'o', fingerprint: 1, epoch: 1, created_at: 1, kind: 'k', result: 'r' },
  search_pending: { session: 1, from_key: KEY },
  search_stale: { message: KEY, text: 'x' },
};

/** What is tried in the place of a value, until a check is broken and no other. */
const candidates: Record<string, Cell[]> = {
  TEXT: ['', '{}', 'x'],
  INTEGER: [0, -1, 2, 5],
  BLOB: [new Uint8Array(2)],
};

/** Breaks every rule of a kind; gives what became of each, and of a file that breaks none. */
export async function breakAll(
  context: Context,
  kind: RuleKind,
): Promise<{ control: Failure; broken: Broken[]; held: string | undefined }> {
  const { store } = await context.scratch();
  const shapes = await shapesOf(store);
  const empty = await backupBytes(store);
  const meta = await store.query('SELECT name, value FROM store_meta ORDER BY name');
  const rows: Record<string, RowOf[]> = Object.fromEntries(
    shapes.map((shape) => [shape.name, [complete(shape, sound[shape.name] ?? {})]]),
  );
  // What a store knows of itself stays as it is; a row beside it is the one to be broken.
  const known = meta.map(({ name, value }) => ({ name: String(name), value: String(value) }));
  rows['store_meta'] = [...known, { name: 'zzz', value: 'x' }];

  // Flushes of what is to be refused would be in vain.
  const { store: other } = await context.scratch({ durability: 'relaxed' });
  const taken = async (given: Record<string, RowOf[]>): Promise<Failure> =>
    failureOf(other.replaceWith(await fileWith(store, empty, shapes, { ...rows, ...given })));
  const control = await taken({});
  const broken: Broken[] = [];
  for (const shape of shapes) {
    const all = rows[shape.name] ?? [];
    for (const { rule, expected, change } of await breachesOf[kind](store, shape, all)) {
      const seen =
        change === undefined ? 'no row was found that breaks it and no other' : await said(taken, shape, change);
      broken.push({ rule, expected: `CORRUPT: ${shape.name} ${expected}`, seen });
    }
  }
  const held = (await other.sessions.get('s'))?.id;
  return { control, broken, held };
}

/** The code of what a store said, and the first fault that it named. */
async function said(
  taken: (given: Record<string, RowOf[]>) => Promise<Failure>,
  { name }: TableShape,
  rows: RowOf[],
): Promise<string> {
  const { code, message } = await taken({ [name]: rows });
  const fault = /the store's place: (.*?)\. The store was not changed/s.exec(message)?.[1] ?? message;
  return `${code}: ${fault}`;
}

interface Breach {
  rule: string;
  /** The fault as SQLite names it. */
  expected: string;
  /** All rows of the table then. */
  change: RowOf[] | undefined;
}

/** What breaks each rule of a kind in a table; the last of its rows is the one to be changed. */
const breachesOf: Record<RuleKind, (store: Store, shape: TableShape, rows: RowOf[]) => Promise<Breach[]> | Breach[]> = {
  check: (store, shape, rows) =>
    Promise.all(
      shape.checks.map(async ({ name, sql }) => {
        const tried = shape.columns
          .filter((column) => new RegExp(`\\b${column.name}\\b`).test(sql))
          .flatMap((column) => (candidates[column.type] ?? []).map((value) => ({ [column.name]: value })));
        const found = await breaking(store, shape, rows.at(-1) ?? {}, name, tried);
        return {
          rule: name,
          expected: `CHECK constraint failed in ${shape.name}`,
          change: found === undefined ? undefined : changed(shape, rows, found),
        };
      }),
    ),
  'not null': (_, shape, rows) =>
    shape.columns
      .filter(({ name, required }) => required && name !== shape.rowid)
      .map(({ name }) => ({
        rule: `${shape.name}.${name}`,
        expected: `NULL value in ${shape.name}.${name}`,
        change: changed(shape, rows, { [name]: null }),
      })),
  unique: (_, shape, rows) => {
    const { name, indexes, hasRowid, primaryKey, rowid } = shape;
    const keys = indexes
      .filter(({ unique }) => unique)
      .map((index) => ({
        columns: index.columns.filter((column) => column !== rowid),
        expected: `non-unique entry in index ${index.name}`,
      }));
    // A rowid is the place of its row: twice the same is a tree out of order, no broken rule.
    if (!hasRowid) keys.push({ columns: primaryKey, expected: `row not in PRIMARY KEY order for ${name}` });
    return keys.map(({ columns: same, expected }) => {
      // The second row differs in every other key.
      const row = rows.at(-1) ?? {};
      const others = [...keys.flatMap(({ columns }) => columns), ...(rowid === undefined ? [] : [rowid])].filter(
        (column) => !same.includes(column),
      );
      const second = Object.fromEntries(others.map((column) => [column, next(row[column] ?? null)]));
      return {
        rule: `${name} (${same.join(', ')})`,
        expected,
        change: [...rows, complete(shape, { ...row, ...second })],
      };
    });
  },
  'foreign key': (_, shape, rows) =>
    shape.references.map(({ column, table }) => ({
      rule: `${shape.name}.${column}`,
      expected: `a row refers to a row of ${table} that is not there`,
      change: changed(shape, rows, {
        [column]: 99,
        // A message's own key begins with that of its session.
        ...(shape.name === 'messages' && column === 'session' ? { key: 99 * 2 ** 32 + 1 } : {}),
      }),
    })),
};

/** The rows with a change to the last one. */
function changed(shape: TableShape, rows: RowOf[], change: RowOf): RowOf[] {
  const before = rows.slice(0, -1);
  const row = complete(shape, { ...rows.at(-1), ...change });
  // Without a rowid the primary key is the order, and NULL comes first.
  return !shape.hasRowid && shape.primaryKey.some((key) => row[key] === null) ? [row, ...before] : [...before, row];
}

/** With every column, and with what the file computes where an index holds it. */
function complete({ name, columns }: TableShape, given: RowOf): RowOf {
  const row: RowOf = { ...Object.fromEntries(columns.map((column) => [column.name, null])), ...given };
  if (name === 'sessions') row['last_active_at'] = row['last_message_at'] ?? row['created_at'] ?? null;
  return row;
}

function next(value: Cell): Cell {
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'string') return `${value}2`;
  return value === null ? null : value.map((byte) => byte + 1);
}
