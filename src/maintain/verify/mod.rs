//! Checking a whole store: SQLite's own checks, the rules of ours that no constraint can state, and
//! every page.
//!
//! Nothing is changed, and nothing found wrong is an error: it is in the report. What cannot be cut
//! into pieces is SQLite's check of one table with its indexes, which is one step.

mod report;
mod rules;
mod search;
mod structure;
mod tables;

use rusqlite::{Connection, ffi};

use self::rules::Sessions;
use self::search::Search;
use self::structure::Structure;
use self::tables::{check_schema, check_table};
use super::{Progress, failed, stepped_after_end};
use crate::error::{Code, Error, Result};
use crate::vfs::{ChecksumPolicy, Connection as VfsConnection};

pub use self::report::{Checked, PROBLEMS, Problem, ProblemKind, VerifyReport};
pub use self::search::compare_index;

/// Pages that a step reads.
const STEP_PAGES: u32 = 500;
/// Rows that a step looks at.
const STEP_ROWS: u32 = 5_000;

/// What the file itself holds in the place of a page, write-ahead log or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedPage {
    /// Its checksum fits.
    Sound,
    /// Its checksum does not fit, or it cannot be read.
    Damaged,
    /// Nothing that could be checked: it is beyond the end, or was never stamped.
    Unknown,
}

/// Tells of a page in the file by its number, from 1; the buffer is for reading it into.
pub type ReadSaved<'a> = dyn FnMut(u32, &mut Vec<u8>) -> Result<SavedPage> + 'a;

enum Task {
    Schema,
    Tables,
    Structure(Box<Structure>),
    Sessions(Sessions),
    Search(Search),
    Streams,
    Checksums(u32),
    Ended,
}

/// A check under way. All of its steps must see one snapshot: a transaction of the caller's, open
/// from the first step to the last.
///
/// ```
/// use chatstore::maintain::{Verify, to_the_end};
/// use chatstore::vfs::{MemoryStorage, Vfs};
/// use chatstore::{Durability, Engine};
/// use rusqlite::OpenFlags;
///
/// let storage = std::rc::Rc::new(MemoryStorage::new());
/// Engine::open(storage.clone(), "chats.sqlite", Durability::Strict)?.close()?;
/// let vfs = Vfs::register(storage)?;
/// let connection = vfs.connect("chats.sqlite", OpenFlags::default())?;
///
/// connection.execute_batch("BEGIN")?;
/// let mut verify = Verify::new();
/// let report = to_the_end(|| verify.step(&connection, None))?;
/// assert!(report.ok, "{:?}", report.problems);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Verify {
    task: Task,
    /// Tables that SQLite has still to check.
    tables: Vec<String>,
    report: VerifyReport,
}

impl Default for Verify {
    fn default() -> Self {
        Self::new()
    }
}

impl Verify {
    /// A check of everything.
    pub fn new() -> Self {
        Self {
            task: Task::Schema,
            tables: Vec::new(),
            report: VerifyReport::default(),
        }
    }

    /// Does the next piece. Every page is read once, which tries its checksum; `saved_page`
    /// tells besides of what the file holds under pages that are newer in the
    /// write-ahead log or that SQLite has in memory.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where the connection has no transaction open; failures that say nothing
    /// of the file, such as `OUT_OF_MEMORY`. The same step may be asked for again then.
    pub fn step(
        &mut self,
        connection: &VfsConnection,
        saved_page: Option<&mut ReadSaved<'_>>,
    ) -> Result<Progress<VerifyReport>> {
        // A page that does not match is to be reported, not to end the transaction by an error.
        // Nobody else reads between the two settings.
        let path = connection.path().unwrap_or_default();
        let judged = |policy| {
            let set = connection.vfs().set_checksum_policy(path, policy);
            set.map_err(failed)
        };
        let before = judged(ChecksumPolicy::Lenient)?;
        let result = self.go_on(connection, saved_page);
        judged(before)?;
        let progress = result?;
        if let Task::Ended = self.task {
            let damaged = connection.vfs().damaged_pages(path).map_err(failed)?;
            return Ok(Progress::Done(self.finish(&damaged.pages)));
        }
        Ok(progress)
    }

    fn finish(&mut self, damaged_pages: &[u32]) -> VerifyReport {
        let mut report = std::mem::take(&mut self.report);
        for page in damaged_pages {
            let key = Some(i64::from(*page));
            let known = report
                .problems
                .iter()
                .any(|problem| (problem.kind, problem.key) == (ProblemKind::Checksum, key));
            if !known {
                let detail = format!("page {page} did not match its checksum when it was read");
                report.add(ProblemKind::Checksum, "", key, detail);
            }
        }
        report.ok = report.problems.is_empty();
        report
    }

    fn go_on(
        &mut self,
        connection: &Connection,
        saved_page: Option<&mut ReadSaved<'_>>,
    ) -> Result<Progress<VerifyReport>> {
        if connection.is_autocommit() {
            return Err(Error::new(
                Code::TransactionState,
                "a check needs a transaction that stays open on its connection, none is",
            ));
        }
        let report = &mut self.report;
        // A task that meets damage reports it and makes way for the next.
        let result = match &mut self.task {
            Task::Schema => check_schema(connection, report, &mut self.tables),
            Task::Tables => check_table(connection, report, &mut self.tables),
            Task::Structure(structure) => structure.step(connection, report),
            Task::Sessions(sessions) => sessions.step(connection, report),
            Task::Search(search) => search.step(connection, report),
            Task::Streams => check_streams(connection, report),
            Task::Checksums(next) => match saved_page {
                Some(saved_page) => check_saved(connection, report, next, saved_page),
                None => Ok(true),
            },
            Task::Ended => return Err(stepped_after_end()),
        };
        let is_done = match result {
            Ok(is_done) => is_done,
            Err(error) if is_damage(&error) => {
                let kind = if matches!(error.code(), Code::IoError | Code::ChecksumMismatch) {
                    ProblemKind::Page
                } else {
                    ProblemKind::Integrity
                };
                let detail = format!("{} could not be finished: {error}", self.task.name());
                report.add(kind, "", None, detail);
                if connection.is_autocommit() {
                    // The failure took the snapshot with it: the rest would be of another one.
                    self.task = Task::Checksums(u32::MAX);
                }
                true
            }
            Err(error) => return Err(error),
        };
        if is_done {
            self.task = match self.task {
                Task::Schema => Task::Tables,
                Task::Tables => Task::Structure(Box::default()),
                Task::Structure(_) => Task::Sessions(Sessions::default()),
                Task::Sessions(_) => Task::Search(Search::default()),
                Task::Search(_) => Task::Streams,
                Task::Streams => Task::Checksums(1),
                Task::Checksums(_) | Task::Ended => Task::Ended,
            };
        }
        let (done, expected) = self.measure();
        Ok(Progress::Working {
            task: self.task.name(),
            done,
            expected: expected.max(done),
        })
    }

    fn measure(&self) -> (u64, u64) {
        let checked = &self.report.checked;
        match &self.task {
            Task::Tables => (checked.tables, checked.tables + self.tables.len() as u64),
            Task::Structure(structure) => (checked.pages, structure.pages()),
            Task::Sessions(sessions) => (checked.messages, sessions.expected),
            Task::Search(search) => (search.done, checked.messages),
            Task::Checksums(next) => (u64::from(*next - 1), checked.pages),
            Task::Schema | Task::Streams | Task::Ended => (0, 0),
        }
    }
}

impl Task {
    fn name(&self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Tables => "tables",
            Self::Structure(_) => "structure",
            Self::Sessions(_) => "sessions",
            Self::Search(_) => "search",
            Self::Streams => "streams",
            Self::Checksums(_) => "checksums",
            Self::Ended => "ended",
        }
    }
}

/// Whether an error tells of a damaged file, rather than of a call that could not be made.
pub(super) fn is_damage(error: &Error) -> bool {
    match error.code() {
        Code::Corrupt | Code::NotAStore | Code::ChecksumMismatch => true,
        Code::IoError => matches!(
            error.number("sqliteCode").map(|code| code as i32),
            Some(ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS)
        ),
        // A view or virtual table that lost its table, or a text where SQLite wants a number.
        Code::InvalidSql | Code::Internal => true,
        _ => false,
    }
}

fn check_streams(connection: &Connection, report: &mut VerifyReport) -> Result<bool> {
    let mut statement = connection.prepare(
        "SELECT key FROM message_deltas d
         WHERE NOT EXISTS (SELECT 1 FROM message_streams WHERE key = d.key >> 32) LIMIT ?1",
    )?;
    let mut rows = statement.query([PROBLEMS as i64])?;
    while let Some(row) = rows.next()? {
        let detail = "belongs to a stream that is not there";
        report.add(ProblemKind::Stream, "message_deltas", row.get(0)?, detail);
    }
    Ok(true)
}

fn check_saved(
    connection: &Connection,
    report: &mut VerifyReport,
    next: &mut u32,
    saved_page: &mut ReadSaved<'_>,
) -> Result<bool> {
    let pages: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let mut buffer = Vec::new();
    let end = next.saturating_add(STEP_PAGES).min(pages.saturating_add(1));
    while *next < end {
        match saved_page(*next, &mut buffer)? {
            SavedPage::Sound => report.checked.checksums += 1,
            SavedPage::Unknown => {}
            SavedPage::Damaged => {
                report.checked.checksums += 1;
                let detail = format!("the checksum of page {next} does not fit");
                report.add(ProblemKind::Checksum, "", Some(i64::from(*next)), detail);
            }
        }
        *next += 1;
    }
    Ok(*next > pages)
}
