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
    /// Brings `limit` messages of the search index in step, as a search would.
    Index,
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
const LIMIT: &str = "PRAGMA analysis_limit = 1000";
/// All tables, those that had no samples yet too, and each within a limit.
const OPTIMIZE: &str = "PRAGMA optimize = 0x10012";
/// Other connections look at the samples when the schema has changed.
const TELL_OTHERS: &str = "CREATE VIEW analyzed AS SELECT 1; DROP VIEW analyzed";

impl<C: Collect> Engine<C> {
    /// One step of a task.
    pub(super) fn maintain(&mut self, task: Task, limit: i32) -> Result<Answer<C>> {
        let before = self.connections()?.writer.total_changes();
        let mut left = 0;
        match task {
            Task::Measure => {}
            Task::Index => left = self.index(limit.max(1).unsigned_abs())?,
            Task::VacuumFull => self.vacuum()?,
            Task::Checkpoint => self.empty_log()?,
            _ => self.maintain_alone(task, limit)?,
        }
        let connections = self.connections()?;
        let writer = &connections.writer;
        let mut table = Table::default();
        let mut tell = |name: &str, number: i64| {
            table.columns.push(name.to_owned());
            table.cells.push(Value::Integer(number));
        };
        let changed = writer.total_changes().saturating_sub(before);
        tell("changed", changed as i64);
        tell("left", left as i64);
        tell("logPages", connections.log_frames()?.0);
        for (name, pragma) in [
            ("pages", "PRAGMA page_count"),
            ("freePages", "PRAGMA freelist_count"),
        ] {
            tell(name, value(writer, pragma, [])?.unwrap_or(0));
        }
        Ok(Answer {
            reply: Reply::Table(table),
            messages: C::default(),
        })
    }

    /// A step that is a transaction of its own.
    pub(super) fn maintain_alone(&mut self, task: Task, limit: i32) -> Result<()> {
        self.in_transaction(&|engine| {
            let writer = engine.writer()?;
            match task {
                Task::Vacuum => run(writer, &format!("PRAGMA incremental_vacuum({limit})"))?,
                Task::MergeSearch => search::merge(writer, limit)?,
                Task::ResetSearch => search::reset(writer)?,
                Task::Analyze => {
                    run(writer, LIMIT)?;
                    run(writer, "ANALYZE")?;
                    writer.execute_batch(TELL_OTHERS)?;
                }
                _ => {
                    run(writer, OPTIMIZE)?;
                    writer.execute_batch(TELL_OTHERS)?;
                }
            }
            Ok(super::done())
        })
        .map(drop)
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

/// Runs a statement to its end, whatever rows it gives.
fn run(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
