/**
 * The figures of a store, put together from those of the core, of the host and of this client's link; and, where
 * asked for, what SQLite can tell of the file and of the store's own statements.
 *
 * Holds: names, shares and percentiles. Must not know: how anything is counted.
 */

import { HOST_FIGURES, LOOK, STATEMENTS, type HostFigures } from '../host/figures.js';
import type { JobTime } from './job.js';
import type { Link } from './link.js';
import { readQueryRows, type ReadText } from './rows.js';
import type { DeepStats, IndexFigures, Row, Stats, StatementFigures, TreeFigures } from './types.js';

/** Of the header of a log and of that of each of its frames. */
const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/** The cheap figures. */
export async function stats(
  link: Link,
  readText: ReadText,
  time: JobTime,
  room: Promise<Stats['room']>,
): Promise<Stats> {
  const ask = (verb: string): Promise<Uint8Array> => link.call({ verb, write: false, args: {} }, time.left());
  const [core, host, roomNow] = await Promise.all([ask('stats'), ask(HOST_FIGURES), room]);
  const [row = {}] = readQueryRows(core, readText);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the host writes it so
  const figures = JSON.parse(readText(host)(0, host.length)) as HostFigures;
  const one = (name: string): number => Number(row[name] ?? 0);
  const frames = one('logFrames');
  const pageBytes = one('pageBytes');
  const { errors, failed, restarts, slow, verbs } = figures;
  return {
    file: { sizeBytes: one('pages') * pageBytes, pageBytes, pages: one('pages'), freePages: one('freePages') },
    cache: {
      hits: one('cacheHits'),
      misses: one('cacheMisses'),
      writes: one('cacheWrites'),
      spills: one('cacheSpills'),
    },
    log: {
      bytes: frames === 0 ? 0 : LOG_HEADER_BYTES + frames * (pageBytes + FRAME_HEADER_BYTES),
      frames,
      movedFrames: one('logFramesMoved'),
      checkpoints: one('checkpoints'),
    },
    pool: {
      min: one('poolMin'),
      max: one('poolMax'),
      idleTimeoutMs: one('poolIdleTimeoutMs'),
      size: one('poolInUse') + one('poolIdle'),
      inUse: one('poolInUse'),
      idle: one('poolIdle'),
      mostInUse: one('poolMaxInUse'),
      checkouts: one('poolCheckouts'),
      created: one('poolOpened'),
      reused: one('poolCheckouts') - one('poolOpened'),
      stale: one('poolUnhealthy'),
      waiting: one('poolWaiting'),
      timeouts: one('poolExhausted'),
      heldMs: one('poolHeldMs'),
      waits: figures.poolWaits,
    },
    queue: { waiting: one('writesWaiting'), deepest: one('queueDeepest'), waits: figures.queueWaits },
    groups: { count: one('groups'), calls: one('groupedCalls'), sizes: sizesOf(row['groupSizes'], one('groups')) },
    verbs,
    errors,
    retries: one('retried') + figures.reruns,
    reopened: one('reopened'),
    restarts,
    connections: one('connections'),
    memory: {
      perConnectionBytes: Math.round(one('connectionBytes') / Math.max(1, one('connections'))),
      largestConnectionBytes: one('connectionBytesMax'),
      connectionBytes: one('connectionBytes'),
      sqliteBytes: one('sqliteBytes'),
      wasmBytes: one('wasmBytes'),
    },
    storage: {
      reads: one('storageReads'),
      readBytes: one('storageReadBytes'),
      writes: one('storageWrites'),
      writtenBytes: one('storageWrittenBytes'),
      flushes: one('storageFlushes'),
    },
    link: link.figures,
    room: roomNow,
    slow,
    failed,
    deep: null,
  };
}

/** Counts of 32 bits, one for each size from 0 on. */
function sizesOf(packed: Row[string] | undefined, groups: number): Stats['groups']['sizes'] {
  if (!(packed instanceof Uint8Array)) return { p50: 0, p95: 0, max: 0 };
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const most = Math.max(0, packed.length / 4 - 1);
  const percentile = (share: number): number => {
    let left = Math.ceil(share * groups);
    let size = 0;
    while (size < most && (left -= view.getUint32(size * 4, true)) > 0) size++;
    return size;
  };
  return { p50: percentile(0.5), p95: percentile(0.95), max: most };
}

const TREES = `SELECT name FROM sqlite_schema WHERE rootpage > 0 UNION ALL SELECT 'sqlite_schema'`;
const TREE = `SELECT count(*) AS pages, total(payload) AS payloadBytes, total(unused) AS unusedBytes,
    total(step IS NOT NULL) AS steps, total(step <> 1) AS gaps
  FROM (SELECT payload, unused, iif(pagetype = 'leaf',
      pageno - lag(pageno) OVER (PARTITION BY pagetype ORDER BY path), NULL) AS step
    FROM dbstat WHERE name = ?)`;
const TABLES = `SELECT name FROM pragma_table_list
  WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`;
const INDEXES = `SELECT name, tbl_name AS "table" FROM sqlite_schema WHERE type = 'index' ORDER BY name`;

/** What has to be looked for: call by call, so that others have a word in between. */
export async function deepStats(link: Link, readText: ReadText, time: JobTime): Promise<DeepStats> {
  const query = async (sql: string, ...params: string[]): Promise<Row[]> =>
    readQueryRows(await link.call({ verb: LOOK, write: false, args: { sql, params } }, time.left()), readText);
  const trees: TreeFigures[] = [];
  for (const { name } of await query(TREES)) {
    // oxlint-disable-next-line no-await-in-loop -- one tree after the other
    const [row] = await query(TREE, String(name));
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are those of the text above
    trees.push({ name: String(name), ...row } as TreeFigures);
  }
  const rows: Record<string, number> = {};
  for (const { name } of await query(TABLES)) {
    // oxlint-disable-next-line no-await-in-loop -- as above
    const [row] = await query(`SELECT count(*) AS count FROM "${String(name)}"`);
    rows[String(name)] = Number(row?.['count']);
  }
  const reply = await link.call({ verb: STATEMENTS, write: false, args: {} }, time.left());
  const statements = readQueryRows(reply, readText)
    .map(toStatement)
    .filter(({ plan }) => plan.length > 0);
  const indexes = (await query(INDEXES)).map(({ name, table }): IndexFigures => {
    const names = new RegExp(`\\bINDEX ${String(name)}\\b`);
    const usedBy = [...statements.keys()].filter((at) => statements[at]?.plan.some((step) => names.test(step)));
    return { name: String(name), table: String(table), usedBy };
  });
  const sum = (field: 'steps' | 'gaps'): number => trees.reduce((total, tree) => total + tree[field], 0);
  const all = runsOf(statements);
  return {
    fragmentation: sum('gaps') / Math.max(1, sum('steps')),
    trees,
    rows,
    statements,
    indexes,
    indexEfficiency: all === 0 ? 1 : runsOf(statements.filter(({ scans }) => scans.length === 0)) / all,
  };
}

const runsOf = (statements: StatementFigures[]): number => statements.reduce((total, { runs }) => total + runs, 0);

function toStatement(row: Row): StatementFigures {
  const plan = String(row['plan'])
    .split('\n')
    .filter((step) => step !== '');
  return {
    connection: row['connection'] === 'writer' ? 'writer' : 'reader',
    sql: String(row['sql']),
    plan,
    scans: scansOf(plan),
    runs: Number(row['runs']),
    steps: Number(row['steps']),
    scanSteps: Number(row['scanSteps']),
  };
}

/** Tables that are read from end to end. What the statement has made itself is none, nor is a virtual table. */
function scansOf(plan: string[]): string[] {
  const made = new Set(plan.map((step) => /^(?:MATERIALIZE|CO-ROUTINE) (\S+)/.exec(step)?.[1]));
  return plan.flatMap((step) => {
    const name = /^SCAN (\S+)(?! VIRTUAL| CONSTANT| USING)/.exec(step)?.[1];
    return name === undefined || made.has(name) || step !== `SCAN ${name}` ? [] : [name];
  });
}
