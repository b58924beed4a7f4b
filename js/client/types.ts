/**
 * The plain data that goes in and comes out: bots, sessions, messages, pages, options.
 *
 * Holds: types and their documentation only. Must not know: how any of it is stored, checked or
 * carried. All times are epoch milliseconds (whole numbers); all lengths are bytes of UTF-8.
 */

export type * from './figure_types.js';

/** Any value that JSON keeps: no `undefined` in arrays, no functions, no NaN, no class instances. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json | undefined };

/** Options that every call takes. */
export interface CallOptions {
  /** Gives up waiting when it aborts: the call rejects with `ABORTED`. A call already running ends. */
  signal?: AbortSignal | undefined;
  /**
   * How long the call may take to settle, in milliseconds: 1 to 2,147,483,647, default 30,000. It covers
   * the wait for its turn and the change from one owner of the file to the next.
   */
  timeoutMs?: number | undefined;
}

/** Options that every call that writes takes. */
export interface WriteOptions extends CallOptions {
  /**
   * A name of your own for this very write, 1 to 128 characters: called again with it and the same
   * arguments, the write takes effect once and gives its first result. For programs that may be
   * stopped between a call and its answer. With other arguments it is an `OPERATION_MISMATCH`.
   */
  operationId?: string | undefined;
}

/** Options of every call that answers with a page. */
export interface PageOptions extends CallOptions {
  /** Items a page: 1 to 1,000, default 50. */
  limit?: number | undefined;
  /** `nextCursor` or `prevCursor` of an earlier page of the same list; it knows its direction. */
  cursor?: string | null | undefined;
}

/** One page of a list. */
export interface Page<T> {
  items: T[];
  /** Give it as `cursor` for the page after this one; null at the end. */
  nextCursor: string | null;
  /** Give it as `cursor` for the page before this one; null at the start. */
  prevCursor: string | null;
}

/** Names one message. Message ids are unique within their session only. */
export interface Ref {
  sessionId: string;
  id: string;
}

/** How many rows a call removed, put in the trash or changed. */
export interface Count {
  bots: number;
  sessions: number;
  messages: number;
}

/** Someone (a model with its settings) who takes part in sessions. */
export interface Bot {
  id: string;
  /** Unique among the bots. */
  name: string;
  avatar: string | null;
  systemPrompt: string | null;
  model: string | null;
  params: Json;
  metadata: Json;
  createdAt: number;
  updatedAt: number;
  /** When it was put in the trash; null while it is not there. */
  deletedAt: number | null;
}

/** A bot to be made. */
export interface NewBot {
  /** Up to 256 bytes; default a new UUIDv7. */
  id?: string | undefined;
  /** 1 to 1,000 bytes, unique among the bots. */
  name: string;
  /** An address or a data URL, up to 1 MiB. */
  avatar?: string | null | undefined;
  /** Up to 1 MiB. */
  systemPrompt?: string | null | undefined;
  /** Up to 256 bytes. */
  model?: string | null | undefined;
  /** Settings for the model, up to 1 MiB as JSON. */
  params?: Json | undefined;
  /** Anything of your own, up to 1 MiB as JSON. */
  metadata?: Json | undefined;
  /** Default: now. */
  createdAt?: number | undefined;
}

/** Changes to a bot: what is absent stays, null clears. */
export interface BotPatch {
  name?: string | undefined;
  avatar?: string | null | undefined;
  systemPrompt?: string | null | undefined;
  model?: string | null | undefined;
  params?: Json | undefined;
  metadata?: Json | undefined;
}

/** Whether a session is in use or put aside. */
export type SessionStatus = 'active' | 'archived';

/** One conversation: a tree of messages with a chosen path, whose last message is the head. */
export interface Session {
  id: string;
  botId: string | null;
  title: string | null;
  status: SessionStatus;
  pinned: boolean;
  tags: string[];
  /** The last message of the active path; null in an empty session. */
  headId: string | null;
  /** The message that this session was forked from. */
  forkedFrom: Ref | null;
  messageCount: number;
  lastMessageAt: number | null;
  /** The beginning of the last message's text. */
  preview: string | null;
  /** Grows with every change of the session or its messages. */
  revision: number;
  metadata: Json;
  createdAt: number;
  updatedAt: number;
  /** When it was put in the trash; null while it is not there. */
  deletedAt: number | null;
}

/** A session to be made; every field may be absent. */
export interface NewSession {
  /** Up to 256 bytes; default a new UUIDv7. */
  id?: string | undefined;
  /** The bot that its messages belong to where they name none. */
  botId?: string | null | undefined;
  /** Up to 10,000 bytes. */
  title?: string | null | undefined;
  /** Default `active`. */
  status?: SessionStatus | undefined;
  /** Default false. */
  pinned?: boolean | undefined;
  /** At most 100, each 1 to 256 bytes. */
  tags?: string[] | undefined;
  /** Anything of your own, up to 1 MiB as JSON. */
  metadata?: Json | undefined;
  /** Default: now. */
  createdAt?: number | undefined;
}

/** Changes to a session: what is absent stays, null clears. */
export interface SessionPatch {
  title?: string | null | undefined;
  pinned?: boolean | undefined;
  status?: SessionStatus | undefined;
  tags?: string[] | undefined;
  metadata?: Json | undefined;
  /** Makes this message the end of the active path. */
  headId?: string | undefined;
  botId?: string | null | undefined;
}

/** One piece of a message. Parts of unknown types are kept as they are. */
export interface Part {
  type: string;
  [key: string]: unknown;
}

/** How far a message has come; `incomplete` = broken off, what there is of it is kept. */
export type MessageStatus = 'pending' | 'streaming' | 'complete' | 'incomplete' | 'error';

/** What a message cost. Absent = not known. */
export interface Usage {
  inputTokens?: number | undefined;
  outputTokens?: number | undefined;
  reasoningTokens?: number | undefined;
  cachedTokens?: number | undefined;
  /** US dollars. */
  costUsd?: number | undefined;
  /** Whole milliseconds. */
  durationMs?: number | undefined;
}

/** One message of a session. */
export interface Message {
  /** Unique within its session. */
  id: string;
  sessionId: string;
  botId: string | null;
  /** The message that this one answers or follows; null at the root. */
  parentId: string | null;
  /** Its place in the session: grows with every message that is added. */
  seq: number;
  /** `user`, `assistant`, `system`, `tool`, or a role of your own. */
  role: string;
  /** The text of all text parts together. */
  content: string;
  /** The payload, as it was given; `[{ type: 'text', text }]` where `content` was given. */
  parts: Part[];
  status: MessageStatus;
  finishReason: string | null;
  error: Json;
  model: string | null;
  usage: Usage | null;
  metadata: Json;
  /** Whether it lies on the session's active path. */
  active: boolean;
  createdAt: number;
  updatedAt: number;
  /** When it was put in the trash; null while it is not there. */
  deletedAt: number | null;
}

/** The payload of a message: text, or parts, never both. */
export type Body =
  | { /** Up to 64 MiB. */ content: string; parts?: undefined }
  | { /** Up to 64 MiB as JSON. */ parts: Part[]; content?: undefined };

/** What a new message has beside its payload. */
export interface NewMessageFields {
  sessionId: string;
  /** 1 to 64 bytes: `user`, `assistant`, `system`, `tool`, or a role of your own. */
  role: string;
  /** Up to 256 bytes, unique within the session; default a new UUIDv7. */
  id?: string | undefined;
  /** Default: the session's bot; null = none. */
  botId?: string | null | undefined;
  /** Default: the head of the session at the time it is stored; null = a root of its own. */
  parentId?: string | null | undefined;
  /** Default: now. The order of messages is `seq`, never this. */
  createdAt?: number | undefined;
  /** Default `complete`. */
  status?: MessageStatus | undefined;
  /** Why the model stopped, up to 256 bytes. */
  finishReason?: string | null | undefined;
  /** What went wrong, up to 1 MiB as JSON. */
  error?: Json | undefined;
  /** Up to 256 bytes. */
  model?: string | null | undefined;
  usage?: Usage | null | undefined;
  /** Anything of your own, up to 1 MiB as JSON. */
  metadata?: Json | undefined;
}

/** A message to be added: its fields and either `content` or `parts`. */
export type NewMessage = NewMessageFields & Body;

/** A reply to be begun, which comes bit by bit. */
export interface NewStream {
  sessionId: string;
  /** 1 to 64 bytes; default `assistant`. */
  role?: string | undefined;
  /** Up to 256 bytes, unique within the session; default a new UUIDv7. */
  id?: string | undefined;
  /** Default: the session's bot; null = none. */
  botId?: string | null | undefined;
  /** Default: the head of the session when it begins; null = a root of its own. */
  parentId?: string | null | undefined;
  /** Default: now. */
  createdAt?: number | undefined;
  /** Up to 256 bytes. */
  model?: string | null | undefined;
  /** Anything of your own, up to 1 MiB as JSON. */
  metadata?: Json | undefined;
}

/** A piece of a reply: text, more text for a part of this type, or a whole part. */
export type StreamDelta = string | { type: string; delta: string } | Part;

/** What is known of a reply when it ends. */
export interface StreamEnd {
  /** The whole text, in place of what was appended. Not together with `parts`. */
  content?: string | undefined;
  /** All parts, in place of what was appended. Not together with `content`. */
  parts?: Part[] | undefined;
  usage?: Usage | null | undefined;
  /** Why the model stopped, up to 256 bytes. */
  finishReason?: string | null | undefined;
}

/** Changes to a message in place: what is absent stays, null clears. */
export interface MessagePatch {
  /** Replaces the payload by this text. Not together with `parts`. */
  content?: string | undefined;
  /** Replaces the payload. Not together with `content`. */
  parts?: Part[] | undefined;
  status?: MessageStatus | undefined;
  finishReason?: string | null | undefined;
  error?: Json | undefined;
  model?: string | null | undefined;
  metadata?: Json | undefined;
  usage?: Usage | null | undefined;
}

/** A message as the tree of its session shows it. */
export interface TreeNode {
  id: string;
  parentId: string | null;
  role: string;
  status: MessageStatus;
  seq: number;
  active: boolean;
  createdAt: number;
  deletedAt: number | null;
  /** The beginning of its text. */
  preview: string | null;
}

/** A message that a search found. */
export interface SearchHit {
  sessionId: string;
  id: string;
  botId: string | null;
  role: string;
  seq: number;
  createdAt: number;
  sessionTitle: string | null;
  /** Smaller is better. */
  rank: number;
  /** The part of the text around the words that were found. */
  snippet: string;
  /** Where those words stand in `snippet`: start and end in UTF-16 units. */
  highlights: [start: number, end: number][];
}

/** A value that SQL takes and gives; integers beyond ±2^53 come as bigint, blobs as bytes. */
export type SqlValue = null | number | bigint | string | boolean | Uint8Array;

/** One row of `query`: its columns by name. */
export type Row = Record<string, SqlValue>;

/**
 * `strict`: on disk before it is acknowledged. `relaxed`: a power loss may take the last writes.
 * `memory`: nothing is kept, and no file is made; the path is only a name.
 */
export type Durability = 'strict' | 'relaxed' | 'memory';

/** Who has the file of a store that is open here. */
export type Role = 'owner' | 'client';

/** What a store is and where it lies. */
export interface StoreInfo {
  /** Where the bytes are: `node`, `opfs` (the browser's file system for this origin), `memory`, … */
  backend: string;
  /** The file, absolute; for a store in memory its name, `:memory:` where it has none. */
  path: string;
  /** True where nothing outlives the store object. */
  ephemeral: boolean;
  /**
   * `owner`: this process or tab (or a worker of it) has the file; `client`: another one has, and serves
   * this one.
   */
  role: Role;
  durability: Durability;
  schemaVersion: number;
  sqliteVersion: string;
  pageSizeBytes: number;
  /**
   * Whether the browser has promised to keep what this origin stores, also where room gets short; see
   * `persist()`. Null where nobody can tell, as in Node.
   */
  persisted: boolean | null;
  /** Room that the browser gives this origin, in bytes, as of when it was opened; null where nobody can tell. */
  quotaBytes: number | null;
  /** What of it is in use by this origin, by other things too. */
  usageBytes: number | null;
}

/** Options of `ChatStore.open`. */
export interface OpenOptions extends CallOptions {
  /**
   * Default `strict`; `memory` for the path `:memory:`. Where the file is open already, whoever opened it
   * first has chosen.
   */
  durability?: Durability | undefined;
  /** The connections for snapshots. Where the file is open already, whoever opened it first has chosen. */
  pool?: PoolOptions | undefined;
  /**
   * How often a call is sent again by itself when the process that owns the file is lost: default 3.
   * A write takes effect once all the same.
   */
  retries?: number | undefined;
  /**
   * What has been in the trash for longer is deleted for good, by itself, when there is nothing else to do:
   * in milliseconds. Default: never. Where the file is open already, whoever opened it first has chosen.
   */
  purgeTrashAfterMs?: number | undefined;
  /**
   * True: nothing of the file is changed, whatever lies in it and whatever a killed process has left, and writes give
   * `READ_ONLY`. Searches find what the index holds already. A page that is not as this package wrote it is
   * `CHECKSUM_MISMATCH`, also where another program may have written it; otherwise that is taken in where the whole
   * file is sound, and told by an event `resealed`. Where the file is open already, whoever opened it first has chosen.
   * Other processes wait until this store is closed; other tabs of a browser may read meanwhile, and not write.
   */
  readOnly?: boolean | undefined;
  /**
   * True: the store lives in a thread of its own, so that it serves other processes while this thread is
   * busy. In a browser it always does.
   */
  worker?: boolean | undefined;
  /** In a browser, where the package's `wasm/chatstore_bg.wasm` is not where its script looks for it. */
  wasmUrl?: string | URL | undefined;
  /** In a browser, where the package's `browser_worker.js` is not where its script looks for it. */
  workerUrl?: string | URL | undefined;
  /**
   * From how many milliseconds on a call counts as slow: 0 to 2,147,483,647, default 200; 0: none does. What counts is
   * how long it ran, not how long it waited. The slowest are in `stats().slow`, and each is told by an event
   * `slow_query`. Where the file is open already, whoever opened it first has chosen.
   */
  slowQueryMs?: number | undefined;
  /**
   * Called with what is worth knowing beside the answers of calls; see {@link StoreEvent}. What it throws disturbs no
   * call: it is an uncaught exception.
   */
  onEvent?: ((event: StoreEvent) => void) | undefined;
}

/** Something that happened in a store. */
export interface StoreEvent {
  /** `reopened`, `corrupt`, `slow_query`, `query_failed`, `internal_error`, …: later versions may know more. */
  type: string;
  /** In words. */
  message: string;
}

/**
 * What commits have changed. More may be named than has changed, never less. Commits that follow each other
 * closely come as one change.
 */
export interface StoreChange {
  /** Ids of the sessions that changed, or whose messages did, at most 64; null: any may have. */
  readonly sessions: readonly string[] | null;
  /**
   * Ids of further sessions, in which a reply under way has grown and nothing else changed: what
   * `sessions.get` and `sessions.list` give is the same.
   */
  readonly streaming: readonly string[];
  /** Whether bots changed. */
  readonly bots: boolean;
}

/** What a read gives, kept up to date; see `live`. */
export interface LiveQuery<T> {
  /** What was read last; undefined until the first read has ended. The same object until it is read again. */
  readonly value: T | undefined;
  /** What the last read rejected with; undefined where it did not. `value` stays meanwhile. */
  readonly error: unknown;
  /**
   * Calls back each time that `value` or `error` is new, until the function that it gives is called. The
   * first who subscribes starts the query, and with the last one it stops. Needs no `this`.
   */
  readonly subscribe: (onChange: () => void) => () => void;
}

/** The connections that snapshots and `iterate` read from. */
export interface PoolOptions {
  /** Connections that stay open when nobody uses them: default 5. */
  min?: number | undefined;
  /** Connections at most: 1 to 1,000, default 20. Who comes after them waits. */
  max?: number | undefined;
  /** How long a connection above `min` stays open unused, in milliseconds: default 300,000. */
  idleTimeoutMs?: number | undefined;
  /** How long a snapshot waits for a connection at most, in milliseconds: default 30,000. */
  acquireTimeoutMs?: number | undefined;
}

/** Options of `bots.list`. */
export interface ListBotsOptions extends PageOptions {
  /** True lists the trash instead. */
  deleted?: boolean | undefined;
}

/** Options of `sessions.create`. */
export interface CreateSessionOptions extends WriteOptions {
  /** What to do where the id exists: `error` (default) or `return` the one that is there. */
  ifExists?: 'error' | 'return' | undefined;
}

/** Options of `sessions.list`: every filter that is given must hold. */
export interface ListSessionsOptions extends PageOptions {
  botId?: string | undefined;
  status?: SessionStatus | undefined;
  pinned?: boolean | undefined;
  /** Sessions that carry this tag. */
  tag?: string | undefined;
  /** True lists the trash instead. */
  deleted?: boolean | undefined;
}

/** Options of the calls that delete. */
export interface DeleteOptions extends WriteOptions {
  /** True removes for good; default false: into the trash, from where `restore` brings it back. */
  permanent?: boolean | undefined;
}

/** Options of `sessions.purge`. */
export interface PurgeOptions extends WriteOptions {
  /** Sessions that went into the trash before this time are removed for good. */
  deletedBefore: number;
}

/** Options of `messages.start`. */
export interface StartOptions extends CallOptions {
  /** How long a piece may wait before it is stored, in milliseconds: 0 to 60,000, default 150. */
  flushIntervalMs?: number | undefined;
}

/** Options of `messages.regenerate`. */
export interface RegenerateOptions extends StartOptions {
  /** The id of the new reply, up to 256 bytes; default a new UUIDv7. */
  id?: string | undefined;
  /** Up to 256 bytes. */
  model?: string | undefined;
}

/** Options of `messages.list` for one session. */
export interface ListSessionMessagesOptions extends PageOptions {
  sessionId: string;
  botId?: undefined;
  order?: undefined;
  /** A message id: the page that has it in its middle. Not together with `cursor`. */
  around?: string | undefined;
  /** `active` (default): the path to the head only; `all`: every message. */
  branches?: 'active' | 'all' | undefined;
}

/** Options of `messages.list` for one bot. */
export interface ListBotMessagesOptions extends PageOptions {
  botId: string;
  sessionId?: undefined;
  around?: undefined;
  branches?: undefined;
  /** By time: `asc` (default) oldest first, or `desc`. */
  order?: 'asc' | 'desc' | undefined;
}

/** Options of `messages.list`: of a session or of a bot. */
export type ListMessagesOptions = ListSessionMessagesOptions | ListBotMessagesOptions;

/** Options of `messages.iterate`: of a session or of a bot. */
export type IterateOptions = CallOptions &
  ({ sessionId: string; botId?: undefined } | { botId: string; sessionId?: undefined });

/** Which messages `messages.deleteWhere` takes: all filters that are given must hold, at least one. */
export interface MessageFilter {
  sessionId?: string | undefined;
  botId?: string | undefined;
  /** Messages made before this time. */
  before?: number | undefined;
}

/** Options of `search`. */
export interface SearchOptions extends PageOptions {
  botId?: string | undefined;
  sessionId?: string | undefined;
  /** True lets the last word stand for every word that begins with it. Default false. */
  prefix?: boolean | undefined;
}

/** Options of `context`. */
export interface ContextOptions extends CallOptions {
  /** How many tokens the messages may take together: a whole number from 1. */
  maxTokens: number;
  /** What a message takes. It is called once a message, newest first, and waits for nothing. Default: an estimate. */
  countTokens?: ((message: Message) => number) | undefined;
}

/** Options of `query`. */
export interface QueryOptions extends CallOptions {
  /** Values for `?` by place or for `:name` by name. */
  params?: SqlValue[] | Record<string, SqlValue> | undefined;
  /** More rows than this are an error, never cut off: 1 to 100,000, default 10,000. */
  limit?: number | undefined;
}

/** Options of `transaction`. */
export interface TransactionOptions extends WriteOptions {
  /** How long the transaction may stay open, in milliseconds: default 30,000. Then it is rolled back. */
  leaseMs?: number | undefined;
  /** How often the callback is run again where the transaction was lost: default 0, it runs once. */
  retries?: number | undefined;
}

/** How far a job is, in units of its own; `expected` is 0 where that is not known. */
export interface Progress {
  task: string;
  done: number;
  expected: number;
}

/**
 * Options of jobs: calls that take many steps, with other calls in between. Each step is a short one, but
 * for two that SQLite does not divide: its check of one table, and the switch to new content, for which
 * the old is copied as well.
 */
export interface JobOptions {
  /** Ends the job when it aborts: it rejects with `ABORTED`, unless its last step was under way. */
  signal?: AbortSignal | undefined;
  /**
   * How long the whole job may take, in milliseconds: 1 to 2,147,483,647. It covers every wait, that for
   * a stream included. Default: none, it takes as long as it takes.
   */
  timeoutMs?: number | undefined;
  /** Called after each step. Where a job has to begin anew, `done` does too. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** Where a backup goes: a file in Node, or a stream that takes bytes. */
export type BackupTarget = { path: string | URL } | WritableStream<Uint8Array>;

/** Options of `backup`. */
export interface BackupOptions extends JobOptions {
  /** Whether a file that exists is replaced, which nobody may have open. Default false: it is an error. */
  overwrite?: boolean | undefined;
}

/** What `backup` made. */
export interface BackupInfo {
  sizeBytes: number;
}

/** Options of `scheduleBackups`, in Node. */
export interface ScheduleOptions {
  /** How long after one backup the next is made, in milliseconds: from 1,000. */
  everyMs: number;
  /** How many are kept, from 1: the newest. */
  keep: number;
  /** Where they go. It is made where it does not exist. */
  directory: string | URL;
}

/** Where new content comes from: bytes, a stream of them, or a file in Node. */
export type ReplaceSource = Uint8Array | Blob | ReadableStream<Uint8Array> | { path: string | URL };

/** Options of `replaceWith`. */
export interface ReplaceOptions extends JobOptions {
  /** Where the old content goes: a file that does not exist. Default `<file>.replaced-<time>`. */
  keepPath?: string | undefined;
}

/** One thing that `verify` found wrong. */
export interface Problem {
  /** Which rule: `page`, `checksum`, `structure`, … */
  kind: string;
  /** The table; empty where it is about the file. */
  table: string;
  /** The key of the row, or the number of the page. */
  key: number | null;
  detail: string;
}

/** What `verify` found. */
export interface VerifyReport {
  ok: boolean;
  /** The first thousand. */
  problems: Problem[];
  /** How many more there are, at least. */
  moreProblems: number;
  checked: { tables: number; pages: number; sessions: number; messages: number; searchEntries: number };
}

/** What `replaceWith` did. */
export interface ReplaceReport {
  /** Names the new content. */
  generation: string;
  /** Where the old content is: a file, in a browser a store of this name; null for one in memory, which keeps none. */
  keptPath: string | null;
  keptBytes: number;
}

/** What was saved of a damaged file. */
export interface SalvageReport {
  /** The new store. */
  path: string;
  tables: { name: string; rows: number; mended: number; refused: number }[];
  /** Pages of the damaged file that were read, and those that held rows and could not be. */
  pages: number;
  pagesLost: number;
  rowsDamaged: number;
  problems: string[];
}

/** What `maintain` is to do; see there. What is absent or false is not done. */
export interface MaintainTasks {
  /** Removes for good what went to the trash before a time; `true`: more than 30 days ago. */
  purge?: boolean | { deletedBefore: number } | undefined;
  /** Makes the search index anew. */
  rebuildSearch?: boolean | undefined;
  /** Counts anew what the query planner goes by. */
  analyze?: boolean | undefined;
  /** Does so where it is due, and merges the pieces of the search index into one. */
  optimize?: boolean | undefined;
  /** Gives free pages back: `incremental` (or `true`) a few at a time, `full` all at once by copying the store. */
  vacuum?: boolean | 'incremental' | 'full' | undefined;
  /** Moves the log into the file and empties it. */
  checkpoint?: boolean | undefined;
}

/** How large a store is; `pages - freePages` of them hold something. */
export interface StoreSize {
  pages: number;
  freePages: number;
  /** Pages in the log. */
  logPages: number;
  /** All pages, of the file and of the log, in bytes. */
  sizeBytes: number;
}

/** What one task of `maintain` did. */
export interface MaintainTaskReport {
  task: keyof MaintainTasks;
  ms: number;
  /** In how many calls. */
  steps: number;
  /** Rows that were removed or indexed, pages that were given back or moved out of the log: what the task is about. */
  done: number;
  before: StoreSize;
  after: StoreSize;
}

/** What `maintain` did: its tasks in the order in which they ran. */
export interface MaintainReport {
  ms: number;
  tasks: MaintainTaskReport[];
  before: StoreSize;
  after: StoreSize;
}

/** Options of `stats`. */
export interface StatsOptions extends CallOptions {
  /**
   * True: also what has to be looked for, in `Stats.deep`. That reads every page of the file and counts every
   * row, some seconds for a large one, table by table, with other calls in between. Default false.
   */
  deep?: boolean | undefined;
}

/** Options of `snapshot`. */
export interface SnapshotOptions extends CallOptions {
  /** How long the state is kept while nothing is read from it, in milliseconds: default 30,000. */
  leaseMs?: number | undefined;
}
