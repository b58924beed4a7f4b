/**
 * Files with rows that no verb would write, to see that rules of the schema hold them off: an empty store's backup
 * whose pages are filled by hand. Each table and index of an empty store is one page, its root.
 *
 * Holds: how SQLite lays out a leaf page and a record (sqlite.org/fileformat2.html). Must not know: any table.
 */

import { failureOf } from './findings.js';
import type { Store } from './types.js';

export type Cell = number | string | Uint8Array | null;
export type RowOf = Record<string, Cell>;

/** A table as the file describes it. */
export interface TableShape {
  name: string;
  root: number;
  /** Whether rows lie by a number, not by their primary key. */
  hasRowid: boolean;
  /** The column that is that number. */
  rowid: string | undefined;
  primaryKey: string[];
  /** In their order, those that are computed left out. */
  columns: { name: string; type: string; required: boolean }[];
  indexes: { name: string; root: number; unique: boolean; columns: string[]; where: string | undefined }[];
  checks: { name: string; sql: string }[];
  references: { column: string; table: string; onDelete: string }[];
}

const LEAF_OF_TABLE = 0x0d;
const LEAF_OF_INDEX = 0x0a;
/** Where the header of the file has the number of its changes, and that for which its other fields were written. */
const CHANGE_COUNTER = 24;
const VALID_FOR = 92;
/** At the end of each page, for its checksum. */
const RESERVED_BYTES = 8;

/** Every table of the store's own, the search index's left out. */
export async function shapesOf(store: Store): Promise<TableShape[]> {
  const made = await store.query(
    `SELECT s.name, s.rootpage, s.sql, l.wr FROM sqlite_schema s JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name
      WHERE s.type = 'table' AND s.rootpage > 0 AND s.name NOT LIKE 'messages\\_fts%' ESCAPE '\\' AND s.name NOT LIKE 'sqlite%'
      ORDER BY s.rowid`,
  );
  const shapes: TableShape[] = [];
  for (const { name: table, rootpage, sql, wr } of made) {
    const name = String(table);
    const all = { params: [name] };
    const columns = await store.query(
      'SELECT name, type, "notnull" AS required, pk, hidden FROM pragma_table_xinfo(?)',
      all,
    );
    const key = columns.filter(({ pk }) => pk !== 0).toSorted((a, b) => Number(a['pk']) - Number(b['pk']));
    const primaryKey = key.map((column) => String(column['name']));
    const rowid = wr === 0 && key.length === 1 && key[0]?.['type'] === 'INTEGER' ? primaryKey[0] : undefined;
    const indexes = await store.query(
      `SELECT l.name, l."unique" AS only_one, s.rootpage, s.sql FROM pragma_index_list(?) l JOIN sqlite_schema s ON s.name = l.name`,
      all,
    );
    const references = await store.query(
      'SELECT "from" AS col, "table" AS other, on_delete FROM pragma_foreign_key_list(?)',
      all,
    );
    shapes.push({
      name,
      root: Number(rootpage),
      hasRowid: wr === 0,
      rowid,
      primaryKey,
      columns: columns
        .filter(({ hidden }) => hidden === 0)
        .map((column) => ({
          name: String(column['name']),
          type: String(column['type']),
          required: column['required'] === 1,
        })),
      indexes: await Promise.all(
        indexes.map(async (index) => {
          const parts = await store.query('SELECT cid, name FROM pragma_index_xinfo(?) ORDER BY seqno', {
            params: [String(index['name'])],
          });
          return {
            name: String(index['name']),
            root: Number(index['rootpage']),
            unique: index['only_one'] === 1,
            columns: parts.map((part) => (part['cid'] === -1 ? (rowid ?? '') : String(part['name']))),
            where: /\sWHERE (.*)$/s.exec(String(index['sql']))?.[1],
          };
        }),
      ),
      checks: checksIn(String(sql)),
      references: references.map((row) => ({
        column: String(row['col']),
        table: String(row['other']),
        onDelete: String(row['on_delete']),
      })),
    });
  }
  return shapes;
}

/** Names and conditions of the checks in a table's own words. */
export function checksIn(sql: string): { name: string; sql: string }[] {
  return [...sql.matchAll(/CONSTRAINT (\w+)\s+CHECK \(/g)].map((match) => {
    const from = match.index + match[0].length;
    let [at, open] = [from, 1];
    for (; open > 0 && at < sql.length; at++) open += sql[at] === '(' ? 1 : sql[at] === ')' ? -1 : 0;
    return { name: match[1] ?? '', sql: sql.slice(from, at - 1).replaceAll(/\s+/g, ' ') };
  });
}

/** What conditions come to for a row, by their place; undefined where one of them cannot be computed. */
async function judged(store: Store, row: RowOf, conditions: string[]): Promise<unknown[] | undefined> {
  if (conditions.length === 0) return [];
  const values = Object.entries(row).map(([name, value]) => `${literal(value)} AS "${name}"`);
  const asked = conditions.map((condition, i) => `(${condition}) AS c${String(i)}`);
  const sql = `SELECT ${asked.join(', ')} FROM (SELECT ${values.join(', ')})`;
  let rows: Awaited<ReturnType<Store['query']>> = [];
  const { code } = await failureOf(store.query(sql).then((read) => (rows = read)));
  return code === 'none' ? conditions.map((_, i) => rows[0]?.[`c${String(i)}`]) : undefined;
}

/** The first of the changes after which a row breaks one check of its table, and no other. */
export async function breaking(
  store: Store,
  { checks }: TableShape,
  row: RowOf,
  check: string,
  changes: RowOf[],
): Promise<RowOf | undefined> {
  const conditions = checks.map(({ sql }) => sql);
  for (const change of changes) {
    const results = await judged(store, { ...row, ...change }, conditions);
    const broken = checks.filter((_, i) => results?.[i] === 0).map(({ name }) => name);
    if (broken.join() === check) return { ...row, ...change };
  }
  return undefined;
}

/** The backup of an empty store, with these rows by table. Rows, and their entries in indexes, are given in order. */
export async function fileWith(
  store: Store,
  backup: Uint8Array,
  shapes: TableShape[],
  rows: Record<string, RowOf[]>,
): Promise<Uint8Array> {
  const bytes = backup.slice();
  const pageBytes = store.info.pageSizeBytes;
  // Whoever writes to a file counts on: where the counter stays, pages without their checksums are damage.
  const view = new DataView(bytes.buffer);
  const changes = view.getUint32(CHANGE_COUNTER) + 1;
  for (const at of [CHANGE_COUNTER, VALID_FOR]) view.setUint32(at, changes);
  const fill = (root: number, kind: number, cells: number[][]): void => {
    bytes.set(leaf(kind, cells, pageBytes), (root - 1) * pageBytes);
  };
  for (const { name, root, hasRowid, rowid, columns, indexes } of shapes) {
    const all = rows[name] ?? [];
    const cells = all.map((row) => {
      const values = columns.map((column) => (column.name === rowid ? null : (row[column.name] ?? null)));
      const written = record(values);
      const key = hasRowid ? varint(Number(rowid === undefined ? 1 : row[rowid])) : [];
      return [...varint(written.length), ...key, ...written];
    });
    fill(root, hasRowid ? LEAF_OF_TABLE : LEAF_OF_INDEX, cells);
    for (const index of indexes) {
      const entries: number[][] = [];
      for (const row of all) {
        const [holds] = (index.where === undefined ? [1] : await judged(store, row, [index.where])) ?? [];
        if (holds !== 1) continue;
        const written = record(index.columns.map((column) => row[column] ?? null));
        entries.push([...varint(written.length), ...written]);
      }
      fill(index.root, LEAF_OF_INDEX, entries);
    }
  }
  return bytes;
}

/** A page that holds all of its tree; what is reserved at its end is left empty, as by a program without checksums. */
function leaf(kind: number, cells: number[][], pageBytes: number): Uint8Array {
  const page = new Uint8Array(pageBytes);
  const view = new DataView(page.buffer);
  let end = pageBytes - RESERVED_BYTES;
  page[0] = kind;
  view.setUint16(3, cells.length);
  for (const [i, cell] of cells.entries()) {
    end -= cell.length;
    page.set(cell, end);
    view.setUint16(8 + 2 * i, end);
  }
  view.setUint16(5, end);
  return page;
}

function record(values: Cell[]): number[] {
  const pieces = values.map((value): [type: number, bytes: Uint8Array] => {
    if (value === null) return [0, new Uint8Array()];
    if (typeof value === 'number') {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigInt64(0, BigInt(value));
      return [6, bytes];
    }
    if (typeof value === 'string') {
      const bytes = new TextEncoder().encode(value);
      return [bytes.length * 2 + 13, bytes];
    }
    return [value.length * 2 + 12, value];
  });
  const types = pieces.flatMap(([type]) => varint(type));
  // The header counts itself: one byte does for so few columns.
  return [types.length + 1, ...types, ...pieces.flatMap(([, bytes]) => Array.from(bytes))];
}

/** Seven bits a byte, the high ones first; enough for whole numbers that JavaScript holds exactly. */
function varint(value: number): number[] {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift((rest % 128) + 128);
  return bytes;
}

function literal(value: Cell): string {
  if (value === null) return 'NULL';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  return `x'${[...value].map((byte) => byte.toString(16).padStart(2, '0')).join('')}'`;
}
