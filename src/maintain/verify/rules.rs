//! The rules of sessions and messages: parents, active path, summary, places.
//!
//! A session is gone through once, from its newest message to its oldest. The active path runs in
//! the order of keys, so one key is enough to know what must come next on it.

use rusqlite::Connection;

use super::{ProblemKind, STEP_ROWS, VerifyReport};
use crate::error::Result;
use crate::store::messages::{key_range, summary};
use crate::store::{count, first};

/// Where the check stands.
#[derive(Default)]
pub(super) struct Sessions {
    pub expected: u64,
    counted: bool,
    last: i64,
    open: Option<Session>,
}

/// A session half gone through.
struct Session {
    key: i64,
    head: Option<i64>,
    next_seq: i64,
    message_count: i64,
    last_message_at: Option<i64>,
    preview: Option<String>,
    /// Only messages below this key are left.
    before: i64,
    /// Which message of the active path comes next; none where it has reached its root.
    path: Option<i64>,
    visible: i64,
    newest: Option<i64>,
    newest_visible_active: Option<i64>,
}

impl Sessions {
    /// Goes through some messages. Whether that was the last of them.
    pub fn step(&mut self, connection: &Connection, report: &mut VerifyReport) -> Result<bool> {
        if !self.counted {
            self.expected = count(connection, "SELECT count(*) FROM messages", [])?;
            self.counted = true;
        }
        let mut left = STEP_ROWS;
        while left > 0 {
            let session = match self.open.take() {
                Some(session) => Some(session),
                // Where keys are out of order the next one may be this one again.
                None => next_session(connection, self.last)?.filter(|next| next.key > self.last),
            };
            let Some(mut session) = session else {
                return Ok(true);
            };
            self.last = session.key;
            let rows = session.go_on(connection, report, left)?;
            if rows == left {
                self.open = Some(session);
                return Ok(false);
            }
            session.finish(connection, report)?;
            // A session without messages is work too.
            left = left.saturating_sub(rows.max(1));
        }
        Ok(false)
    }
}

fn next_session(connection: &Connection, after: i64) -> Result<Option<Session>> {
    first(
        connection,
        "SELECT key, head, next_seq, message_count, last_message_at, preview FROM sessions
         WHERE key > ?1 ORDER BY key LIMIT 1",
        [after],
        |row| {
            let (key, head) = (row.get(0)?, row.get(1)?);
            Ok(Session {
                key,
                head,
                next_seq: row.get(2)?,
                message_count: row.get(3)?,
                last_message_at: row.get(4)?,
                preview: row.get(5)?,
                before: key_range(key).1 + 1,
                path: head,
                visible: 0,
                newest: None,
                newest_visible_active: None,
            })
        },
    )
}

impl Session {
    fn go_on(
        &mut self,
        connection: &Connection,
        report: &mut VerifyReport,
        limit: u32,
    ) -> Result<u32> {
        let mut statement = connection.prepare_cached(
            "SELECT m.key, m.parent, m.active, m.deleted_at IS NULL, p.key IS NULL
             FROM messages m LEFT JOIN messages p ON p.key = m.parent
             WHERE m.key >= ?1 AND m.key < ?2 ORDER BY m.key DESC LIMIT ?3",
        )?;
        let mut rows = statement.query((key_range(self.key).0, self.before, limit))?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let (key, parent): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            let (active, visible): (bool, bool) = (row.get(2)?, row.get(3)?);
            if key >= self.before {
                break;
            }
            if parent.is_some() && row.get(4)? {
                let detail = format!("its parent {} is not there", parent.unwrap_or_default());
                report.add(ProblemKind::Parent, "messages", Some(key), detail);
            }
            let on_path = self.path == Some(key);
            if on_path {
                self.path = parent;
            }
            if active != on_path {
                let detail = if active {
                    "is marked active, but is not on the path to its session's head"
                } else {
                    "is on the path to its session's head, but is not marked active"
                };
                report.add(ProblemKind::ActivePath, "messages", Some(key), detail);
            }
            self.newest = self.newest.or(Some(key));
            if visible {
                self.visible += 1;
                if active {
                    self.newest_visible_active = self.newest_visible_active.or(Some(key));
                }
            }
            self.before = key;
            seen += 1;
        }
        report.checked.messages += u64::from(seen);
        Ok(seen)
    }

    fn finish(&self, connection: &Connection, report: &mut VerifyReport) -> Result<()> {
        report.checked.sessions += 1;
        let mut wrong = |kind, detail: String| report.add(kind, "sessions", Some(self.key), detail);
        match (self.head, self.newest, self.path) {
            (None, Some(_), _) => {
                wrong(ProblemKind::ActivePath, "has messages, but no head".into());
            }
            (Some(head), _, Some(lost)) if lost == head => {
                wrong(
                    ProblemKind::ActivePath,
                    format!("its head {head} is not there"),
                );
            }
            (_, _, Some(lost)) => {
                wrong(
                    ProblemKind::ActivePath,
                    format!("the path to its head breaks off before message {lost}"),
                );
            }
            _ => {}
        }
        let newest_seq = self.newest.map_or(0, |key| key - key_range(self.key).0);
        if self.next_seq <= newest_seq {
            let detail = format!(
                "next_seq is {}, but there is a message at {newest_seq}",
                self.next_seq
            );
            wrong(ProblemKind::NextSeq, detail);
        }
        if self.message_count != self.visible {
            let detail = format!(
                "message_count is {}, there are {}",
                self.message_count, self.visible
            );
            wrong(ProblemKind::Summary, detail);
        }
        let (created_at, previews) = self.newest_summary(connection)?;
        if self.last_message_at != created_at {
            let detail = format!(
                "last_message_at is {:?}, {created_at:?} was expected",
                self.last_message_at
            );
            wrong(ProblemKind::Summary, detail);
        }
        if !previews.contains(&self.preview) {
            wrong(
                ProblemKind::Summary,
                "preview is not the beginning of the last message".into(),
            );
        }
        Ok(())
    }

    /// Last activity, and the two forms that a preview can have: writers look at as much of a text
    /// as they hold, in bytes, readers at as much as they read, in characters up to a NUL.
    fn newest_summary(
        &self,
        connection: &Connection,
    ) -> Result<(Option<i64>, [Option<String>; 2])> {
        let found = first(
            connection,
            "SELECT created_at, substr(text, 1, 1000), substr(CAST(text AS BLOB), 1, 2004) FROM messages WHERE key = ?1",
            [self.newest_visible_active],
            |row| {
                // A piece of an empty blob is null.
                let start: Option<Vec<u8>> = row.get(2)?;
                let start = start.unwrap_or_default();
                let start = String::from_utf8_lossy(&start);
                Ok((
                    row.get(0)?,
                    [
                        Some(summary::preview(&row.get::<_, String>(1)?)),
                        Some(summary::preview(summary::beginning(&start))),
                    ],
                ))
            },
        )?;
        Ok(found.map_or((None, [None, None]), |(at, previews)| (Some(at), previews)))
    }
}
