//! Tasks that keep a store small and quick, one bounded step a call; a full vacuum alone is one long step.
//!
//! What holds here: a step is a transaction of its own, in the writer's turn, so that it is done whole or
//! not at all, and doing it twice is doing it once. Which tasks there are, in which order and how many
//! steps of each is for the caller to say.

use rusqlite::types::Value;

use super::call::{Answer, Collect};
use super::recovery::needs_reopening;
use super::{Engine, Reply, Table};
use crate::error::{Code, Error, Result};
use crate::store::{search, value};
use crate::vfs::Connection;

/// What one step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Nothing: it tells how large the store is, as each of them does.
    Measure,
    /// Gives back up to `limit` free pages, and moves what lies behind them.
    Vacuum,
    /// Copies the store in order. Everything waits for it.
    VacuumFull,
    /// Samples each index for the query planner.
    Analyze,
    /// Does so where it is due.
    Optimize,
    /// Merges `limit` pages of the search index; negative at first, so that all are merged into one.
    MergeSearch,
    /// Empties the search index, which catches up then.
    ResetSearch,
    /// Moves the log into the file and cuts it to nothing.
    Checkpoint,
}

/// Entries of an index that are looked at: more make the numbers no better.
const ANALYZE: &str = "PRAGMA analysis_limit = 1000; ANALYZE";
/// All tables, those that had no samples yet too, and each within a limit.
const OPTIMIZE: &str = "PRAGMA optimize = 0x10012";
/// Other connections look at the samples when the schema has changed.
const TELL_OTHERS: &str = "CREATE VIEW analyzed AS SELECT 1; DROP VIEW analyzed";

impl<C: Collect> Engine<C> {
    /// One step of a task.
    pub(super) fn maintain(&mut self, task: Task, limit: i32) -> Result<Answer<C>> {
        let before = self.connections()?.writer.total_changes();
        match task {
            Task::Measure => {}
            Task::Vacuum => self.in_transaction(|engine| {
                run(
                    engine.writer()?,
                    &format!("PRAGMA incremental_vacuum({limit})"),
                )
            })?,
            Task::VacuumFull => self.vacuum()?,
            Task::Analyze => self.analyze(ANALYZE)?,
            Task::Optimize => self.analyze(OPTIMIZE)?,
            Task::MergeSearch => {
                self.in_transaction(|engine| search::merge(engine.writer()?, limit))?;
            }
            Task::ResetSearch => {
                self.in_transaction(|engine| search::reset(engine.writer()?))?;
            }
            Task::Checkpoint => self.empty_log()?,
        }
        let connections = self.connections()?;
        let writer = &connections.writer;
        let number = |sql: &str| Ok::<i64, Error>(value(writer, sql, [])?.unwrap_or(0));
        let pages = number("PRAGMA page_count")?;
        let free_pages = number("PRAGMA freelist_count")?;
        let page_bytes = number("PRAGMA page_size")?;
        let (log_pages, _) = connections.log_frames()?;
        let changed = writer.total_changes().saturating_sub(before) as i64;
        let figures = [
            ("changed", changed),
            ("pages", pages),
            ("freePages", free_pages),
            ("logPages", log_pages),
            ("sizeBytes", (pages + log_pages) * page_bytes),
        ];
        let (columns, cells) = figures
            .map(|(name, number)| (name.to_owned(), Value::Integer(number)))
            .into_iter()
            .unzip();
        Ok(Answer {
            reply: Reply::Table(Table {
                columns,
                cells,
                size_bytes: 0,
            }),
            messages: C::default(),
        })
    }

    /// Samples what the planner goes by.
    pub(super) fn optimize(&mut self) -> Result<()> {
        self.analyze(OPTIMIZE)
    }

    fn analyze(&mut self, sql: &str) -> Result<()> {
        self.in_transaction(|engine| {
            let writer = engine.writer()?;
            let before = writer.total_changes();
            run(writer, sql)?;
            if writer.total_changes() > before {
                run(writer, TELL_OTHERS)?;
            }
            Ok(())
        })
    }

    fn vacuum(&mut self) -> Result<()> {
        if let Some(error) = &self.refuses_writes {
            return Err(error.clone());
        }
        let open = self.scopes.snapshots.len();
        if open > 0 {
            // They would keep all of the copy in the log, until they are given up for its length.
            return Err(Error::new(
                Code::Busy,
                format!(
                    "{open} snapshots, cursors or copies are open; a full vacuum waits for them to end"
                ),
            ));
        }
        if !self.is_trusted {
            // What does not match must not be copied as if it did.
            let reader = &self.connections()?.reader;
            let _: Option<String> = value(reader, "PRAGMA integrity_check(1)", [])?;
            self.expect_matching_pages()?;
        }
        let result = run(self.writer()?, "VACUUM");
        if let Err(error) = result.map_err(|error| self.judge(error)) {
            if needs_reopening(&error) {
                let _ = self.reopen(&error);
            }
            return Err(error);
        }
        self.empty_log()
    }

    /// Moves the log into the file and cuts it to nothing, as far as nobody reads from it.
    fn empty_log(&mut self) -> Result<()> {
        if let Some(error) = &self.refuses_writes {
            return Err(error.clone());
        }
        self.checkpoint();
        self.connections()?.settle()
    }
}

/// Runs statements to their ends, whatever rows they give.
fn run(connection: &Connection, sql: &str) -> Result<()> {
    for sql in sql.split("; ") {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}
