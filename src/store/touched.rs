//! Which rows were written, and whose they are: what is told to those who show the store.
//!
//! Holds: the way from a table and the key of a row to the session that it belongs to. More may be
//! named than has changed, never less: where a row, and with it its id, is gone, or where there are too
//! many, any session may have changed. Must not know: when a transaction ends, or who is told.

use rusqlite::Connection;
use rusqlite::hooks::Action;

use super::value;
use crate::error::Result;

/// Sessions, and replies, that are told by their names; where more changed, any may have.
const NAMED: usize = 64;

/// What commits have changed. More may be named than has changed, never less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Ids of the sessions that changed, or whose messages did; none where any may have.
    pub sessions: Option<Vec<String>>,
    /// Ids of further sessions, in which a reply under way has grown and nothing else changed.
    pub streaming: Vec<String>,
    /// Whether bots changed.
    pub bots: bool,
}

/// Rows that were written, by the keys of what they belong to.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    sessions: Vec<i64>,
    streams: Vec<i64>,
    any_session: bool,
    bots: bool,
}

impl Touched {
    /// As if everything were.
    pub fn anything() -> Self {
        Self {
            any_session: true,
            bots: true,
            ..Self::default()
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        !self.any_session && !self.bots && self.sessions.is_empty() && self.streams.is_empty()
    }

    /// Notes that a row was written: what SQLite's update hook says.
    pub fn row(&mut self, action: Action, table: &str, key: i64) {
        let gone = action == Action::SQLITE_DELETE;
        match table {
            "messages" => self.session(key >> 32),
            "sessions" if gone => self.any_session = true,
            "sessions" => self.session(key),
            // They go when they are in the message's own row, or with it.
            "message_deltas" if !gone => self.stream(key >> 32),
            "bots" => self.bots = true,
            _ => {}
        }
    }

    /// Adds what was written since.
    pub fn extend(&mut self, later: &Self) {
        self.any_session |= later.any_session;
        self.bots |= later.bots;
        for key in &later.sessions {
            self.session(*key);
        }
        for key in &later.streams {
            self.stream(*key);
        }
    }

    fn session(&mut self, key: i64) {
        self.any_session |= !note(&mut self.sessions, key);
    }

    fn stream(&mut self, key: i64) {
        self.any_session |= !note(&mut self.streams, key);
    }

    /// The same by ids, as they are now.
    ///
    /// # Errors
    /// What reading can fail with.
    pub fn by_ids(&self, connection: &Connection) -> Result<Change> {
        let mut change = Change {
            bots: self.bots,
            ..Change::default()
        };
        if self.any_session {
            return Ok(change);
        }
        let id = |key: i64| -> Result<Option<String>> {
            value(connection, "SELECT id FROM sessions WHERE key = ?1", [key])
        };
        let mut sessions = Vec::with_capacity(self.sessions.len());
        for key in &self.sessions {
            match id(*key)? {
                Some(id) => sessions.push(id),
                None => return Ok(change),
            }
        }
        for key in &self.streams {
            let sql = "SELECT message >> 32 FROM message_streams WHERE key = ?1";
            // One that has ended has changed its message.
            let session = value::<i64>(connection, sql, [key])?;
            if let Some(session) = session.filter(|session| !self.sessions.contains(session))
                && let Some(id) = id(session)?
                && !change.streaming.contains(&id)
            {
                change.streaming.push(id);
            }
        }
        change.sessions = Some(sessions);
        Ok(change)
    }
}

/// Whether there was room for it.
fn note(keys: &mut Vec<i64>, key: i64) -> bool {
    // Rows of one session mostly come one after the other.
    if keys.last() == Some(&key) || keys.contains(&key) {
        return true;
    }
    let has_room = keys.len() < NAMED;
    if has_room {
        keys.push(key);
    }
    has_room
}
