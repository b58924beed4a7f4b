/**
 * What `stats` gives.
 *
 * Holds: the public types of figures, which types.ts gives on. Must not know: where any of them comes from.
 */

/**
 * How long something took, in milliseconds. Percentiles come from counts on a logarithmic scale: they are within
 * 6.25 % or a microsecond of the true ones, `maxMs` is exact. All are 0 where `count` is.
 */
export interface Times {
  count: number;
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
  maxMs: number;
}

/**
 * Figures of a store, since whoever owns its file opened it, of all its clients together; `link` is this handle's
 * own, and `room` the browser's.
 */
export interface Stats {
  /** The database file; what is still in the log is counted, once. */
  file: {
    /** `pages` × `pageBytes`. */
    sizeBytes: number;
    pageBytes: number;
    pages: number;
    /** Pages that hold nothing and are used again before the file grows. */
    freePages: number;
  };
  /** Pages that SQLite found in the caches of its connections, read, wrote, and wrote early for lack of room. */
  cache: { hits: number; misses: number; writes: number; spills: number };
  /** The write-ahead log: its frames of one page each, those of them that are in the file already. */
  log: { bytes: number; frames: number; movedFrames: number; checkpoints: number };
  /** The connections for snapshots, cursors, checks and copies. */
  pool: {
    min: number;
    max: number;
    /** How long one above `min` stays open unused, in milliseconds. */
    idleTimeoutMs: number;
    /** Open now: `inUse` and `idle`. */
    size: number;
    inUse: number;
    idle: number;
    /** Most in use at once. */
    mostInUse: number;
    /** Given out: `created` for it, or `reused`. */
    checkouts: number;
    created: number;
    reused: number;
    /** Did not answer when they were to be given out, and were replaced. */
    stale: number;
    /** Calls that wait for one now, and those that did so in vain. */
    waiting: number;
    timeouts: number;
    /** How long they were held, all together. */
    heldMs: number;
    /** From asking for one to having it. */
    waits: Times;
  };
  /** What waits for the writer: writes, transactions, searches that need what was written last. */
  queue: { waiting: number; deepest: number; waits: Times };
  /** Transactions for waiting writes, which share a flush: how many, writes in them all, writes in one. */
  groups: { count: number; calls: number; sizes: { p50: number; p95: number; max: number } };
  /** Each verb from its call to its reply at the owner, its wait included. */
  verbs: Record<string, Times>;
  /** Calls that failed, by the code of their error: what the package tries again by itself has not. */
  errors: Record<string, number>;
  /** Calls that were run again by themselves after a failure. */
  retries: number;
  /** Times that the file was opened again after a failure. */
  reopened: number;
  /** Times that the core had failed and was replaced. */
  restarts: number;
  /** Connections that are open: two or three, and those of the pool. */
  connections: number;
  memory: {
    /** What a connection holds, on the average and at most: pages, schema, statements. */
    perConnectionBytes: number;
    largestConnectionBytes: number;
    connectionBytes: number;
    /** All that SQLite has taken. */
    sqliteBytes: number;
    /** The whole memory of the core, which grows and never shrinks. */
    wasmBytes: number;
  };
  /** What reached the files. */
  storage: { reads: number; readBytes: number; writes: number; writtenBytes: number; flushes: number };
  /**
   * Of this handle: how often it sends a call again at most, calls that it did send again, and times that it found a
   * new owner or way, after the first.
   */
  link: { retries: number; resent: number; reconnects: number };
  /** What the browser gives this origin and what of it is used, now; null elsewhere. */
  room: { quotaBytes: number; usageBytes: number } | null;
  /** The slowest calls that took `slowQueryMs` or more, the slowest first, 20 at most. */
  slow: SlowCall[];
  /**
   * The calls that failed last, the last first, 20 at most. What its caller has aborted has not failed, nor has what the
   * package tries again by itself.
   */
  failed: FailedCall[];
  /** Null where it was not asked for. */
  deep: DeepStats | null;
}

/** A call that failed. Nothing of what was stored, asked for or searched for is in it. */
export interface FailedCall {
  verb: string;
  /** When it ended, epoch milliseconds. */
  at: number;
  /** The code of its error. */
  error: string;
  /** Its arguments by name: `string(36)`, `number`, `bytes(800)`, lists and objects of such. */
  args: ArgumentShape;
  /**
   * The SQL of `query`, with `?` in the place of every literal and of names that are quoted or not of ASCII, and with `…`
   * from where on SQLite may not have read it as it was meant, such as behind an apostrophe too many; else null.
   */
  statement: string | null;
}

/** A call that took long. As little is in it as in a {@link FailedCall}. */
export interface SlowCall extends Omit<FailedCall, 'error'> {
  /**
   * How long it ran, without its wait. A commit that it shared with others is not in it; one of its own is, and so is
   * what was due at once after it, such as emptying a log that has grown long.
   */
  runMs: number;
  /** How long it had waited for its turn before. */
  waitedMs: number;
  /** The code of its error, where it failed. */
  error: string | null;
  /** SQLite's plan, step by step, of `query`, with `?` as in its statement, and of the statement that searches have worked most in; else empty. */
  plan: string[];
}

/** Names, types and lengths. */
export type ArgumentShape = string | ArgumentShape[] | { [name: string]: ArgumentShape };

/** What `stats({ deep: true })` adds. */
export interface DeepStats {
  /**
   * How much of the file is out of order, from 0 to 1: of all leaf pages that have one before them in the order of
   * their b-tree (a table or index), the share that does not lie directly behind it. `gaps` ÷ `steps` of all `trees`.
   */
  fragmentation: number;
  trees: TreeFigures[];
  /** Rows of each table. */
  rows: Record<string, number>;
  /** The store's own statements, as they are prepared now: what ran lately, at most 64 a connection. */
  statements: StatementFigures[];
  indexes: IndexFigures[];
  /**
   * How much of what those statements did they did by keys and indexes, from 0 to 1: of all their runs, the share of
   * those whose plan reads no table from end to end. Some look so at tables that are all but empty, such as what waits
   * for the search index, and count as scans. 1 where nothing ran.
   */
  indexEfficiency: number;
}

/** A table or index in the file. */
export interface TreeFigures {
  name: string;
  pages: number;
  payloadBytes: number;
  unusedBytes: number;
  /** Leaf pages that have one before them, and those that do not follow it directly. */
  steps: number;
  gaps: number;
}

/** One of the store's own statements. */
export interface StatementFigures {
  connection: 'writer' | 'reader';
  sql: string;
  /** SQLite's plan, step by step. */
  plan: string[];
  /** Tables that it reads from end to end, by the names in the plan. */
  scans: string[];
  /** Since it was prepared: how often it ran, steps of SQLite's machine, and rows gone past in full scans. */
  runs: number;
  steps: number;
  scanSteps: number;
}

/** An index, and who uses it. */
export interface IndexFigures {
  name: string;
  table: string;
  /** Places in `statements` of those whose plan names it. */
  usedBy: number[];
}
