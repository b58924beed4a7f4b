/**
 * The tables as version 1 of the schema has them, to hold a file against.
 *
 * Holds: columns, keys, defaults, indexes and rules, written down a second time on purpose: what a file
 * should have is not read from the file. Must not know: how they are checked.
 */

export interface Table {
  /** Name, type, and `not null`, `key` or `generated` where it is. */
  columns: string[];
  /** Defaults by column. */
  defaults: Record<string, string>;
  /**
   * Names, `unique` where they are, columns, and of which rows. SQLite names those of UNIQUE and PRIMARY KEY by itself.
   */
  indexes: string[];
  /** `column -> table, what becomes of the row when that goes`. */
  foreignKeys: string[];
  /** Names of its checks, and what holds. */
  checks: string[];
}

const now = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
const times = { created_at: now, updated_at: now };

export const tables: Record<'messages' | 'sessions' | 'bots', Table> = {
  messages: {
    columns: [
      'key INTEGER key',
      'session INTEGER not null',
      'seq INTEGER generated',
      'id TEXT not null',
      'bot INTEGER',
      'parent INTEGER',
      'active INTEGER not null',
      'role TEXT not null',
      'status TEXT not null',
      'created_at INTEGER not null',
      'updated_at INTEGER not null',
      'deleted_at INTEGER',
      'finish_reason TEXT',
      'error TEXT',
      'model TEXT',
      'input_tokens INTEGER',
      'output_tokens INTEGER',
      'reasoning_tokens INTEGER',
      'cached_tokens INTEGER',
      'cost_usd REAL',
      'duration_ms INTEGER',
      'metadata TEXT',
      'text TEXT not null',
      'parts TEXT',
    ],
    defaults: { active: '1', status: "'complete'", text: "''", ...times },
    indexes: [
      'messages_bot (bot, created_at) WHERE bot IS NOT NULL',
      'messages_branch (parent) WHERE parent <> key - 1',
      'messages_trash (deleted_at) WHERE deleted_at IS NOT NULL',
      'sqlite_autoindex_messages_1 unique (session, id)',
    ],
    foreignKeys: ['bot -> bots, SET NULL', 'session -> sessions, CASCADE'],
    checks: [
      'messages_active_boolean: active IN (0, 1)',
      'messages_error_json: error IS NULL OR json_valid(error)',
      "messages_id_not_empty: id <> ''",
      'messages_key_session: key >> 32 = session',
      'messages_metadata_json: metadata IS NULL OR json_valid(metadata)',
      'messages_parent_older: parent IS NULL OR (parent < key AND parent >> 32 = session)',
      "messages_parts_json: parts IS NULL OR json_type(parts) = 'array'",
      "messages_role_not_empty: role <> ''",
      "messages_status_known: status IN ('pending', 'streaming', 'complete', 'incomplete', 'error')",
    ],
  },
  sessions: {
    columns: [
      'key INTEGER key',
      'id TEXT not null',
      'bot INTEGER',
      'title TEXT',
      'status TEXT not null',
      'pinned INTEGER not null',
      'tags TEXT not null',
      'head INTEGER',
      'next_seq INTEGER not null',
      'message_count INTEGER not null',
      'last_message_at INTEGER',
      'last_active_at INTEGER generated',
      'preview TEXT',
      'revision INTEGER not null',
      'forked_from_session_id TEXT',
      'forked_from_message_id TEXT',
      'metadata TEXT',
      'created_at INTEGER not null',
      'updated_at INTEGER not null',
      'deleted_at INTEGER',
    ],
    defaults: {
      status: "'active'",
      pinned: '0',
      tags: "'[]'",
      next_seq: '1',
      message_count: '0',
      revision: '1',
      ...times,
    },
    indexes: [
      'sessions_bot (bot, last_active_at) WHERE bot IS NOT NULL',
      'sessions_recency (last_active_at) WHERE deleted_at IS NULL',
      'sessions_trash (deleted_at) WHERE deleted_at IS NOT NULL',
      'sqlite_autoindex_sessions_1 unique (id)',
    ],
    foreignKeys: ['bot -> bots, CASCADE'],
    checks: [
      'sessions_head_own: head IS NULL OR head >> 32 = key',
      "sessions_id_not_empty: id <> ''",
      'sessions_key_range: key BETWEEN 1 AND 2147483647',
      'sessions_message_count_range: message_count >= 0',
      'sessions_metadata_json: metadata IS NULL OR json_valid(metadata)',
      'sessions_next_seq_range: next_seq BETWEEN 1 AND 4294967295',
      'sessions_pinned_boolean: pinned IN (0, 1)',
      "sessions_status_known: status IN ('active', 'archived')",
      "sessions_tags_json: json_type(tags) = 'array'",
    ],
  },
  bots: {
    columns: [
      'key INTEGER key',
      'id TEXT not null',
      'name TEXT not null',
      'avatar TEXT',
      'system_prompt TEXT',
      'model TEXT',
      'params TEXT',
      'metadata TEXT',
      'created_at INTEGER not null',
      'updated_at INTEGER not null',
      'deleted_at INTEGER',
    ],
    defaults: times,
    indexes: ['bots_name unique (name) WHERE deleted_at IS NULL', 'sqlite_autoindex_bots_1 unique (id)'],
    foreignKeys: [],
    checks: [
      "bots_id_not_empty: id <> ''",
      'bots_metadata_json: metadata IS NULL OR json_valid(metadata)',
      "bots_name_not_empty: name <> ''",
      'bots_params_json: params IS NULL OR json_valid(params)',
    ],
  },
};

export const otherTables: Record<string, Table> = {
  message_streams: {
    columns: [
      'key INTEGER key',
      'message INTEGER not null',
      'client TEXT not null',
      'started_at INTEGER not null',
      'ended_at INTEGER',
      'next_number INTEGER not null',
      'size_bytes INTEGER not null',
      'growing TEXT',
    ],
    defaults: { next_number: '0', size_bytes: '2' },
    indexes: ['sqlite_autoindex_message_streams_1 unique (message)'],
    foreignKeys: ['message -> messages, CASCADE'],
    checks: [],
  },
  message_deltas: {
    columns: ['key INTEGER key', 'type TEXT', 'delta TEXT not null', 'size_bytes INTEGER not null'],
    defaults: {},
    indexes: [],
    foreignKeys: [],
    checks: [],
  },
  blobs: {
    columns: [
      'key INTEGER key',
      'hash BLOB not null',
      'size_bytes INTEGER not null',
      'created_at INTEGER not null',
      'data BLOB not null',
    ],
    defaults: { created_at: now },
    indexes: ['sqlite_autoindex_blobs_1 unique (hash)'],
    foreignKeys: [],
    checks: ['blobs_hash_sha256: length(hash) = 32', 'blobs_size_bytes_exact: size_bytes = length(data)'],
  },
  attachments: {
    columns: [
      'message INTEGER not null key',
      'number INTEGER not null key',
      'blob INTEGER not null',
      'name TEXT',
      'media_type TEXT',
      'metadata TEXT',
    ],
    defaults: {},
    indexes: ['attachments_blob (blob)', 'sqlite_autoindex_attachments_1 unique (message, number)'],
    foreignKeys: ['blob -> blobs, RESTRICT', 'message -> messages, CASCADE'],
    checks: ['attachments_metadata_json: metadata IS NULL OR json_valid(metadata)'],
  },
  operations: {
    columns: [
      'id TEXT not null key',
      'fingerprint INTEGER not null',
      'epoch INTEGER not null',
      'created_at INTEGER not null',
      'kind TEXT not null',
      'result TEXT not null',
    ],
    defaults: {},
    indexes: ['sqlite_autoindex_operations_1 unique (id)'],
    foreignKeys: [],
    checks: [],
  },
  search_pending: {
    columns: ['session INTEGER not null key', 'from_key INTEGER not null'],
    defaults: {},
    indexes: [],
    foreignKeys: ['session -> sessions, CASCADE'],
    checks: [],
  },
  search_stale: {
    columns: ['message INTEGER not null key', 'text TEXT not null'],
    defaults: {},
    indexes: [],
    foreignKeys: [],
    checks: [],
  },
  store_meta: {
    columns: ['name TEXT not null key', 'value TEXT not null'],
    defaults: {},
    indexes: ['sqlite_autoindex_store_meta_1 unique (name)'],
    foreignKeys: [],
    checks: [],
  },
};

/** What else is in the file, by kind and name; the tables that the search index keeps for itself left out. */
export const others = [
  'table messages_fts',
  'trigger message_streams_drop_deltas',
  'trigger messages_close_gap',
  'trigger messages_search_delete',
  'trigger messages_search_update',
  'trigger sessions_delete_messages',
  'view messages_text',
];

/** How many rules of each kind there are in all tables. */
export const rules = { check: 25, 'not null': 45, unique: 9, 'foreign key': 7 };
