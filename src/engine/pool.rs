//! The connections for snapshots, cursors and exports: each holds one for as long as it is open.
//!
//! Holds: how many there are, and figures from real check-outs. Must not know: who waits for one.

use super::connections::File;
use super::options::PoolOptions;
use crate::error::Result;
use crate::store::value;
use crate::vfs::Connection;

/// Counts and times of the pool, from its check-outs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoolFigures {
    /// Connections in use now.
    pub in_use: usize,
    /// Connections open and unused now.
    pub idle: usize,
    /// Most that were in use at once.
    pub max_in_use: usize,
    /// How often one was given out.
    pub checkouts: u64,
    /// How often one was opened for that.
    pub opened: u64,
    /// How often one did not answer when it was to be given out, and was replaced.
    pub unhealthy: u64,
    /// How often somebody waited for one in vain.
    pub exhausted: u64,
    /// How long they were held, all together, milliseconds.
    pub held_ms: f64,
}

/// The pool of one store.
pub(super) struct Pool {
    options: PoolOptions,
    /// Unused, and since when; the one used last is at the end.
    idle: Vec<(Connection, f64)>,
    figures: PoolFigures,
}

impl Pool {
    pub(super) fn new(options: PoolOptions) -> Self {
        Self {
            options,
            idle: Vec::new(),
            figures: PoolFigures::default(),
        }
    }

    pub(super) fn options(&self) -> PoolOptions {
        self.options
    }

    /// A connection with a snapshot of the last commit; none where all are in use.
    pub(super) fn check_out(&mut self, file: &File) -> Result<Option<Connection>> {
        if self.figures.in_use >= self.options.max {
            return Ok(None);
        }
        while let Some((connection, _)) = self.idle.pop() {
            if begin_snapshot(&connection).is_ok() {
                self.note_check_out();
                return Ok(Some(connection));
            }
            self.figures.unhealthy += 1;
        }
        let connection = file.open_pooled()?;
        begin_snapshot(&connection)?;
        self.figures.opened += 1;
        self.note_check_out();
        Ok(Some(connection))
    }

    fn note_check_out(&mut self) {
        self.figures.checkouts += 1;
        self.figures.in_use += 1;
        self.figures.max_in_use = self.figures.max_in_use.max(self.figures.in_use);
    }

    /// Takes a connection back and ends its snapshot.
    pub(super) fn check_in(&mut self, connection: Connection, held_ms: f64, now_ms: f64) {
        self.figures.in_use -= 1;
        self.figures.held_ms += held_ms;
        // One that cannot even end its snapshot is closed.
        if connection.execute_batch("ROLLBACK").is_ok() {
            self.idle.push((connection, now_ms));
        }
    }

    /// Closes a connection whose snapshot has ended otherwise.
    pub(super) fn forget(&mut self, connection: Connection) {
        self.figures.in_use -= 1;
        drop(connection);
    }

    /// Somebody waited in vain.
    pub(super) fn note_exhausted(&mut self) {
        self.figures.exhausted += 1;
    }

    /// Closes what has been unused for long. Gives when there will be more to close.
    pub(super) fn close_unused(&mut self, now_ms: f64) -> Option<f64> {
        while self.idle.len() + self.figures.in_use > self.options.min {
            let (_, since_ms) = self.idle.first()?;
            let due_ms = since_ms + self.options.idle_timeout_ms;
            if due_ms > now_ms {
                return Some(due_ms);
            }
            self.idle.remove(0);
        }
        None
    }

    /// Closes every connection that is not in use.
    pub(super) fn clear(&mut self) {
        self.idle.clear();
    }

    pub(super) fn figures(&self) -> PoolFigures {
        PoolFigures {
            idle: self.idle.len(),
            ..self.figures
        }
    }

    /// The unused connections, to be measured.
    pub(super) fn idle(&self) -> impl Iterator<Item = &Connection> {
        self.idle.iter().map(|(connection, _)| connection)
    }
}

fn begin_snapshot(connection: &Connection) -> Result<()> {
    connection.execute_batch("BEGIN")?;
    // A snapshot begins with the first read, which also shows whether the connection is of use.
    let read: Result<Option<i64>> = value(connection, "SELECT 1 FROM store_meta", []);
    if read.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    read.map(drop)
}
