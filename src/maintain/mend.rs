//! Making true again what follows from the rest of a store: references, parents, active paths,
//! counters, previews, and the backlog of the search index.
//!
//! For files that nobody uses yet: each step is a transaction of its own, and only after the last is
//! the store whole. No message is ever taken away; what refers to a row that is not there is.

use rusqlite::{Connection, params};

use crate::error::Result;
use crate::store::messages::{key_range, summary};
use crate::store::{execute, first, value};

/// Messages that a step looks at, in whole sessions.
const STEP_MESSAGES: u64 = 5_000;

/// What had to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended {
    /// Sessions made for messages whose own was not there.
    pub sessions_made: u64,
    /// Messages whose parent was not there; an older one took its place.
    pub parents: u64,
    /// References to bots that are not there, emptied.
    pub bots_cleared: u64,
    /// Rows of streams, deltas and attachments that belonged to nothing.
    pub rows_dropped: u64,
    /// Messages whose place on or off the active path changed.
    pub path_marks: u64,
    /// Messages that their sessions had counted and that are not there.
    pub messages_missing: u64,
}

/// Mending under way.
#[derive(Debug, Default)]
pub(super) struct Mend {
    references_are_sound: bool,
    last: i64,
    pub mended: Mended,
}

impl Mend {
    /// Does the next piece, in a transaction of its own. Whether that was the last.
    pub fn step(&mut self, connection: &Connection) -> Result<bool> {
        // References are mended, not enforced; the pragma does nothing inside of a transaction.
        connection.execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")?;
        let result = self.go_on(connection);
        let ended = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = connection.execute_batch(&format!("{ended}; PRAGMA foreign_keys = ON"));
        let is_done = result?;
        ended?;
        Ok(is_done)
    }

    fn go_on(&mut self, connection: &Connection) -> Result<bool> {
        if !self.references_are_sound {
            self.mend_references(connection)?;
            self.references_are_sound = true;
            return Ok(false);
        }
        let mut seen = 0;
        while seen < STEP_MESSAGES {
            let sql = "SELECT key FROM sessions WHERE key > ?1 ORDER BY key LIMIT 1";
            let Some(session) = value::<i64>(connection, sql, [self.last])? else {
                reset_search(connection)?;
                return Ok(true);
            };
            seen += 1 + self.mend_session(connection, session)?;
            self.last = session;
        }
        Ok(false)
    }

    fn mend_references(&mut self, connection: &Connection) -> Result<()> {
        let mended = &mut self.mended;
        mended.sessions_made += execute(
            connection,
            "INSERT INTO sessions (key, id, title, created_at, updated_at)
             SELECT session, 'recovered-' || session || '-' || lower(hex(randomblob(4))), 'Recovered messages',
               min(created_at), max(updated_at)
             FROM messages WHERE session NOT IN (SELECT key FROM sessions) GROUP BY session",
            [],
        )?;
        for table in ["sessions", "messages"] {
            let sql = format!(
                "UPDATE {table} SET bot = NULL WHERE bot IS NOT NULL AND bot NOT IN (SELECT key FROM bots)"
            );
            mended.bots_cleared += execute(connection, &sql, [])?;
        }
        for sql in [
            "DELETE FROM message_streams WHERE message NOT IN (SELECT key FROM messages)",
            "DELETE FROM message_deltas WHERE key >> 32 NOT IN (SELECT key FROM message_streams)",
            "DELETE FROM attachments WHERE message NOT IN (SELECT key FROM messages) OR blob NOT IN (SELECT key FROM blobs)",
        ] {
            mended.rows_dropped += execute(connection, sql, [])?;
        }
        Ok(())
    }

    /// Gives how many messages the session has.
    fn mend_session(&mut self, connection: &Connection, session: i64) -> Result<u64> {
        let (from, to) = key_range(session);
        // The parent of a lost message is not known; most often it is the message before it.
        self.mended.parents += execute(
            connection,
            "UPDATE messages SET parent = (SELECT max(p.key) FROM messages p WHERE p.key >= ?1 AND p.key < messages.parent)
             WHERE key BETWEEN ?1 AND ?2 AND parent IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM messages p WHERE p.key = messages.parent)",
            [from, to],
        )?;
        execute(
            connection,
            "UPDATE sessions SET
               next_seq = min(4294967295, max(next_seq,
                 1 + coalesce((SELECT max(key) FROM messages WHERE key BETWEEN ?2 AND ?3), ?2) - ?2)),
               head = coalesce(
                 (SELECT key FROM messages WHERE key = head),
                 (SELECT max(key) FROM messages WHERE key BETWEEN ?2 AND ?3 AND active = 1),
                 (SELECT max(key) FROM messages WHERE key BETWEEN ?2 AND ?3))
             WHERE key = ?1",
            [session, from, to],
        )?;
        self.mended.path_marks += execute(
            connection,
            "WITH RECURSIVE path (key) AS (
               SELECT head FROM sessions WHERE key = ?1 AND head IS NOT NULL
               UNION ALL SELECT m.parent FROM messages m JOIN path ON m.key = path.key WHERE m.parent IS NOT NULL)
             UPDATE messages SET active = key IN (SELECT key FROM path)
             WHERE key BETWEEN ?2 AND ?3 AND active <> (key IN (SELECT key FROM path))",
            [session, from, to],
        )?;
        self.mend_summary(connection, session)
    }

    fn mend_summary(&mut self, connection: &Connection, session: i64) -> Result<u64> {
        let (from, to) = key_range(session);
        let counts = first(
            connection,
            "SELECT count(*), coalesce(sum(deleted_at IS NULL), 0), (SELECT message_count FROM sessions WHERE key = ?1)
             FROM messages WHERE key BETWEEN ?2 AND ?3",
            [session, from, to],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
        )?;
        let (all, visible, counted) = counts.unwrap_or_default();
        self.mended.messages_missing += u64::try_from(counted - visible).unwrap_or(0);
        let newest = first(
            connection,
            "SELECT created_at, substr(text, 1, 1000) FROM messages
             WHERE key BETWEEN ?1 AND ?2 AND active = 1 AND deleted_at IS NULL ORDER BY key DESC LIMIT 1",
            [from, to],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?;
        let (last_message_at, text) = newest.unzip();
        execute(
            connection,
            "UPDATE sessions SET message_count = ?2, last_message_at = ?3, preview = ?4
             WHERE key = ?1 AND (message_count, last_message_at, preview) IS NOT (?2, ?3, ?4)",
            params![
                session,
                visible,
                last_message_at,
                text.as_deref().map(summary::preview)
            ],
        )?;
        Ok(u64::try_from(all).unwrap_or(0))
    }
}

/// Empties the search index and notes that it lacks everything.
fn reset_search(connection: &Connection) -> Result<()> {
    connection.execute_batch(
        "INSERT INTO messages_fts (messages_fts) VALUES ('delete-all');
         DELETE FROM search_stale;
         DELETE FROM search_pending;
         INSERT INTO search_pending (session, from_key) SELECT session, min(key) FROM messages GROUP BY session",
    )?;
    Ok(())
}
