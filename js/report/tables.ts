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
  /** Index names; `unique` where they are. SQLite names those of UNIQUE and PRIMARY KEY by itself. */
  indexes: string[];
  /** `column -> table, what becomes of the row when that goes`. */
  foreignKeys: string[];
  /** Names of its checks. */
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
    indexes: ['messages_bot', 'messages_branch', 'messages_trash', 'sqlite_autoindex_messages_1 unique'],
    foreignKeys: ['bot -> bots, SET NULL', 'session -> sessions, CASCADE'],
    checks: [
      'messages_active_boolean',
      'messages_error_json',
      'messages_id_not_empty',
      'messages_key_session',
      'messages_metadata_json',
      'messages_parent_older',
      'messages_parts_json',
      'messages_role_not_empty',
      'messages_status_known',
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
    indexes: ['sessions_bot', 'sessions_recency', 'sessions_trash', 'sqlite_autoindex_sessions_1 unique'],
    foreignKeys: ['bot -> bots, CASCADE'],
    checks: [
      'sessions_head_own',
      'sessions_id_not_empty',
      'sessions_key_range',
      'sessions_message_count_range',
      'sessions_metadata_json',
      'sessions_next_seq_range',
      'sessions_pinned_boolean',
      'sessions_status_known',
      'sessions_tags_json',
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
    indexes: ['bots_name unique', 'sqlite_autoindex_bots_1 unique'],
    foreignKeys: [],
    checks: ['bots_id_not_empty', 'bots_metadata_json', 'bots_name_not_empty', 'bots_params_json'],
  },
};
