-- The tables of a chatstore file, version 1.
--
-- Times are epoch milliseconds. A message's key holds its place: session key << 32 | seq, so that a
-- session's messages lie side by side in the file and a page of them is one range of keys.
-- Checks are named <table>_<column>_<rule>: error messages are made from those names.

CREATE TABLE store_meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bots (
  key           INTEGER PRIMARY KEY,
  id            TEXT NOT NULL UNIQUE CONSTRAINT bots_id_not_empty CHECK (id <> ''),
  name          TEXT NOT NULL CONSTRAINT bots_name_not_empty CHECK (name <> ''),
  avatar        TEXT,
  system_prompt TEXT,
  model         TEXT,
  params        TEXT CONSTRAINT bots_params_json CHECK (params IS NULL OR json_valid(params)),
  metadata      TEXT CONSTRAINT bots_metadata_json CHECK (metadata IS NULL OR json_valid(metadata)),
  created_at    INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  updated_at    INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  deleted_at    INTEGER
) STRICT;
-- A name in the trash does not block its use.
CREATE UNIQUE INDEX bots_name ON bots (name) WHERE deleted_at IS NULL;

CREATE TABLE sessions (
  key             INTEGER PRIMARY KEY CONSTRAINT sessions_key_range CHECK (key BETWEEN 1 AND 2147483647),
  id              TEXT NOT NULL UNIQUE CONSTRAINT sessions_id_not_empty CHECK (id <> ''),
  bot             INTEGER REFERENCES bots (key) ON DELETE CASCADE,
  title           TEXT,
  status          TEXT NOT NULL DEFAULT 'active' CONSTRAINT sessions_status_known CHECK (status IN ('active', 'archived')),
  pinned          INTEGER NOT NULL DEFAULT 0 CONSTRAINT sessions_pinned_boolean CHECK (pinned IN (0, 1)),
  tags            TEXT NOT NULL DEFAULT '[]' CONSTRAINT sessions_tags_json CHECK (json_type(tags) = 'array'),
  head            INTEGER CONSTRAINT sessions_head_own CHECK (head IS NULL OR head >> 32 = key),
  next_seq        INTEGER NOT NULL DEFAULT 1 CONSTRAINT sessions_next_seq_range CHECK (next_seq BETWEEN 1 AND 4294967295),
  message_count   INTEGER NOT NULL DEFAULT 0 CONSTRAINT sessions_message_count_range CHECK (message_count >= 0),
  last_message_at INTEGER,
  -- What a list of sessions is sorted by.
  last_active_at  INTEGER GENERATED ALWAYS AS (coalesce(last_message_at, created_at)) VIRTUAL,
  preview         TEXT,
  revision        INTEGER NOT NULL DEFAULT 1,
  forked_from_session_id TEXT,
  forked_from_message_id TEXT,
  metadata        TEXT CONSTRAINT sessions_metadata_json CHECK (metadata IS NULL OR json_valid(metadata)),
  created_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  updated_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  deleted_at      INTEGER
) STRICT;
CREATE INDEX sessions_recency ON sessions (last_active_at) WHERE deleted_at IS NULL;
CREATE INDEX sessions_bot ON sessions (bot, last_active_at) WHERE bot IS NOT NULL;
CREATE INDEX sessions_trash ON sessions (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE messages (
  key              INTEGER PRIMARY KEY CONSTRAINT messages_key_session CHECK (key >> 32 = session),
  session          INTEGER NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
  seq              INTEGER GENERATED ALWAYS AS (key & 4294967295) VIRTUAL,
  id               TEXT NOT NULL CONSTRAINT messages_id_not_empty CHECK (id <> ''),
  bot              INTEGER REFERENCES bots (key) ON DELETE SET NULL,
  -- An older message of the same session, so that the tree has no circle. No foreign key: it would
  -- want an index of its own; the triggers below close the gap when a message goes.
  parent           INTEGER CONSTRAINT messages_parent_older CHECK (parent IS NULL OR (parent < key AND parent >> 32 = session)),
  active           INTEGER NOT NULL DEFAULT 1 CONSTRAINT messages_active_boolean CHECK (active IN (0, 1)),
  role             TEXT NOT NULL CONSTRAINT messages_role_not_empty CHECK (role <> ''),
  status           TEXT NOT NULL DEFAULT 'complete'
                   CONSTRAINT messages_status_known CHECK (status IN ('pending', 'streaming', 'complete', 'incomplete', 'error')),
  created_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  updated_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  deleted_at       INTEGER,
  finish_reason    TEXT,
  error            TEXT CONSTRAINT messages_error_json CHECK (error IS NULL OR json_valid(error)),
  model            TEXT,
  input_tokens     INTEGER,
  output_tokens    INTEGER,
  reasoning_tokens INTEGER,
  cached_tokens    INTEGER,
  cost_usd         REAL,
  duration_ms      INTEGER,
  metadata         TEXT CONSTRAINT messages_metadata_json CHECK (metadata IS NULL OR json_valid(metadata)),
  text             TEXT NOT NULL DEFAULT '',
  -- NULL where the message is just its text; otherwise the caller's JSON, byte for byte.
  parts            TEXT CONSTRAINT messages_parts_json CHECK (parts IS NULL OR json_type(parts) = 'array'),
  UNIQUE (session, id)
) STRICT;
CREATE INDEX messages_bot ON messages (bot, created_at) WHERE bot IS NOT NULL;
-- Children that do not directly follow their parent; the one that does is at parent + 1.
CREATE INDEX messages_branch ON messages (parent) WHERE parent <> key - 1;
CREATE INDEX messages_trash ON messages (deleted_at) WHERE deleted_at IS NOT NULL;

-- A message that goes for good leaves its children to its parent.
CREATE TRIGGER messages_close_gap AFTER DELETE ON messages BEGIN
  UPDATE messages SET parent = OLD.parent WHERE key = OLD.key + 1 AND parent = OLD.key;
  UPDATE messages SET parent = OLD.parent WHERE parent = OLD.key AND parent <> key - 1;
END;

-- Replies under way, and how far each has come in its message's own row: deltas before next_number are in
-- it. With ended_at, the reply broke off because its client was gone; should that come back, it goes on.
CREATE TABLE message_streams (
  key         INTEGER PRIMARY KEY,
  message     INTEGER NOT NULL UNIQUE REFERENCES messages (key) ON DELETE CASCADE,
  client      TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  ended_at    INTEGER,
  next_number INTEGER NOT NULL DEFAULT 0,
  -- Bytes of the parts as JSON, at most.
  size_bytes  INTEGER NOT NULL DEFAULT 2,
  -- Type of the message's last part, where the next delta may still extend it.
  growing     TEXT
) STRICT;
-- What has come since. The key is stream key << 32 | number of the last delta in the row, so that an append
-- is one cell at the end of its stream's own range: no index, no foreign key to look up, one page.
CREATE TABLE message_deltas (
  key        INTEGER PRIMARY KEY,
  -- NULL: the delta is a whole part, as JSON.
  type       TEXT,
  delta      TEXT NOT NULL,
  -- As that of message_streams, with this row in it.
  size_bytes INTEGER NOT NULL
) STRICT;
CREATE TRIGGER message_streams_drop_deltas AFTER DELETE ON message_streams BEGIN
  DELETE FROM message_deltas WHERE key BETWEEN OLD.key << 32 AND (OLD.key << 32) + 4294967295;
END;

-- Attachments by content, outside of the rows.
CREATE TABLE blobs (
  key        INTEGER PRIMARY KEY,
  hash       BLOB NOT NULL UNIQUE CONSTRAINT blobs_hash_sha256 CHECK (length(hash) = 32),
  size_bytes INTEGER NOT NULL CONSTRAINT blobs_size_bytes_exact CHECK (size_bytes = length(data)),
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  data       BLOB NOT NULL
) STRICT;
CREATE TABLE attachments (
  message    INTEGER NOT NULL REFERENCES messages (key) ON DELETE CASCADE,
  number     INTEGER NOT NULL,
  blob       INTEGER NOT NULL REFERENCES blobs (key) ON DELETE RESTRICT,
  name       TEXT,
  media_type TEXT,
  metadata   TEXT CONSTRAINT attachments_metadata_json CHECK (metadata IS NULL OR json_valid(metadata)),
  PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attachments_blob ON attachments (blob);

-- Writes that may be sent again, recorded with the change itself: which rows each gave.
-- Read through from time to time to forget the old ones, so there is no index on their time.
CREATE TABLE operations (
  id          TEXT NOT NULL PRIMARY KEY,
  fingerprint INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  kind        TEXT NOT NULL,
  result      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Full-text search. The index follows in batches; these two tables say what it lacks:
-- search_pending, from which key on a session's messages are not in it yet;
-- search_stale, which of its entries are out of date, with the text that they were made from.
-- Whoever inserts messages writes to the first, once a call: a trigger would cost each insert a
-- journal of its own. The triggers below keep the second.
CREATE TABLE search_pending (
  session  INTEGER NOT NULL PRIMARY KEY REFERENCES sessions (key) ON DELETE CASCADE,
  from_key INTEGER NOT NULL
) STRICT;
CREATE TABLE search_stale (
  message INTEGER NOT NULL PRIMARY KEY,
  text    TEXT NOT NULL
) STRICT;
CREATE VIEW messages_text AS SELECT key, text FROM messages;
CREATE VIRTUAL TABLE messages_fts USING fts5 (
  text, content = 'messages_text', content_rowid = 'key', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER messages_search_update AFTER UPDATE OF text ON messages
WHEN OLD.text IS NOT NEW.text
 AND NOT EXISTS (SELECT 1 FROM search_pending WHERE session = OLD.session AND from_key <= OLD.key) BEGIN
  INSERT INTO search_stale (message, text) VALUES (OLD.key, OLD.text) ON CONFLICT (message) DO NOTHING;
END;
CREATE TRIGGER messages_search_delete AFTER DELETE ON messages
WHEN NOT EXISTS (SELECT 1 FROM search_pending WHERE session = OLD.session AND from_key <= OLD.key) BEGIN
  INSERT INTO search_stale (message, text) VALUES (OLD.key, OLD.text) ON CONFLICT (message) DO NOTHING;
END;
-- While the session's row in search_pending still stands, which the cascade alone does not promise.
CREATE TRIGGER sessions_delete_messages BEFORE DELETE ON sessions BEGIN
  DELETE FROM messages WHERE key BETWEEN OLD.key << 32 AND (OLD.key << 32) + 4294967295;
END;
