//! The search index against the messages and what is noted of its backlog.
//!
//! Which messages have an entry is read from the index's own table of sizes, so a reader can check
//! it. Whether the words in it are those of the texts only FTS5 can tell, and only a writer may ask:
//! [`compare_index`].

use rusqlite::Connection;

use super::{ProblemKind, STEP_ROWS, VerifyReport};
use crate::error::{Code, Result};
use crate::store::search;

/// Where the check stands: first through the entries, then through the messages.
#[derive(Default)]
pub(super) struct Search {
    pub done: u64,
    pass: usize,
    last: Option<i64>,
}

/// Each pass gives keys in order, and what is wrong with each, if anything.
const PASSES: [(&str, &str); 3] = [
    (
        "messages_fts",
        "SELECT d.id, CASE
           WHEN EXISTS (SELECT 1 FROM messages WHERE key = d.id) THEN NULL
           WHEN EXISTS (SELECT 1 FROM search_stale WHERE message = d.id) THEN NULL
           ELSE 'the index has an entry for a message that is not there' END
         FROM messages_fts_docsize d WHERE d.id > ?1 ORDER BY d.id LIMIT ?2",
    ),
    (
        "search_stale",
        "SELECT s.message, CASE
           WHEN EXISTS (SELECT 1 FROM messages_fts_docsize WHERE id = s.message) THEN NULL
           ELSE 'is noted as out of date in the index, which has no entry for it' END
         FROM search_stale s WHERE s.message > ?1 ORDER BY s.message LIMIT ?2",
    ),
    (
        "messages",
        "SELECT m.key, CASE
           WHEN p.from_key <= m.key AND d.id IS NOT NULL AND st.message IS NULL THEN 'is in the index and noted as not in it yet'
           WHEN p.from_key <= m.key OR d.id IS NOT NULL THEN NULL
           ELSE 'is neither in the index nor noted as not in it yet' END
         FROM messages m LEFT JOIN search_pending p ON p.session = m.session
           LEFT JOIN messages_fts_docsize d ON d.id = m.key LEFT JOIN search_stale st ON st.message = m.key
         WHERE m.key > ?1 ORDER BY m.key LIMIT ?2",
    ),
];

impl Search {
    /// Looks at some entries or messages. Whether those were the last.
    pub fn step(&mut self, connection: &Connection, report: &mut VerifyReport) -> Result<bool> {
        let Some((table, sql)) = PASSES.get(self.pass) else {
            return Ok(true);
        };
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((self.last.unwrap_or(i64::MIN), STEP_ROWS))?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let key = row.get(0)?;
            // Where keys are out of order the next one may be this one again.
            if self.last.is_some_and(|last| key <= last) {
                break;
            }
            self.last = Some(key);
            seen += 1;
            if let Some(detail) = row.get::<_, Option<String>>(1)? {
                report.add(ProblemKind::Search, table, Some(key), detail);
            }
        }
        match self.pass {
            0 => report.checked.search_entries += seen,
            2 => self.done += seen,
            _ => {}
        }
        if seen < u64::from(STEP_ROWS) {
            self.pass += 1;
            self.last = None;
        }
        Ok(self.pass == PASSES.len())
    }
}

/// Whether each entry of the index holds just the words of its message. Needs a connection that may
/// write, with a transaction open, though it changes nothing, and reads every message in one piece.
/// None where the index has a backlog and so cannot be compared.
///
/// # Errors
/// What reading can fail with, but for damage to the index: that is `Some(false)`.
pub fn compare_index(writer: &Connection) -> Result<Option<bool>> {
    if search::is_behind(writer)? {
        return Ok(None);
    }
    let sql = "INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)";
    match writer.execute(sql, []).map_err(crate::Error::from) {
        Ok(_) => Ok(Some(true)),
        Err(error) if error.code() == Code::Corrupt => Ok(Some(false)),
        Err(error) => Err(error),
    }
}
