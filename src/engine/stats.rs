//! Figures of a running store: plain numbers by name, for whoever operates it.

use rusqlite::ffi;
use rusqlite::types::Value;

use super::call::Collect;
use super::connections::Connections;
use super::{Engine, Table};
use crate::vfs::Connection;

/// What was counted since the store was opened.
#[derive(Default)]
pub(super) struct Counters {
    /// Transactions that were committed for waiting writes.
    pub(super) groups: u64,
    /// Writes in them.
    pub(super) grouped_calls: u64,
    /// Times that the file was opened again after a failure.
    pub(super) reopened: u64,
}

impl<C: Collect> Engine<C> {
    /// The figures: one row, a column each. Sizes are in bytes, times in milliseconds.
    pub fn stats(&self) -> Table {
        let pool = self.pool.figures();
        let always = self.connections.iter().flat_map(Connections::all);
        let snapshots = self.scopes.snapshots.values().map(|open| &open.connection);
        let memory: Vec<i64> = always
            .chain(snapshots)
            .chain(self.pool.idle())
            .map(memory_bytes)
            .collect();
        let frames = self
            .connections
            .as_ref()
            .and_then(|open| open.log_frames().ok());
        let (log_frames, log_frames_moved) = frames.unwrap_or_default();
        let storage = self.file.vfs.figures();
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let counted = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let figures = [
            ("poolInUse", whole(pool.in_use)),
            ("poolIdle", whole(pool.idle)),
            ("poolMaxInUse", whole(pool.max_in_use)),
            ("poolCheckouts", counted(pool.checkouts)),
            ("poolOpened", counted(pool.opened)),
            ("poolUnhealthy", counted(pool.unhealthy)),
            ("poolExhausted", counted(pool.exhausted)),
            ("poolHeldMs", pool.held_ms as i64),
            ("poolWaiting", whole(self.snapshots_wanted.len())),
            ("writesWaiting", whole(self.queue.len())),
            ("groups", counted(self.counters.groups)),
            ("groupedCalls", counted(self.counters.grouped_calls)),
            ("reopened", counted(self.counters.reopened)),
            ("logFrames", log_frames),
            ("logFramesMoved", log_frames_moved),
            ("storageReads", counted(storage.reads)),
            ("storageReadBytes", counted(storage.read_bytes)),
            ("storageWrites", counted(storage.writes)),
            ("storageWrittenBytes", counted(storage.written_bytes)),
            ("storageFlushes", counted(storage.flushes)),
            ("connections", whole(memory.len())),
            (
                "connectionBytesMax",
                memory.iter().copied().max().unwrap_or(0),
            ),
            ("connectionBytes", memory.iter().sum()),
        ];
        let (columns, cells) = figures
            .map(|(name, number)| (name.to_owned(), Value::Integer(number)))
            .into_iter()
            .unzip();
        Table {
            columns,
            cells,
            size_bytes: 0,
        }
    }
}

/// What a connection holds in memory: pages, schema and prepared statements.
fn memory_bytes(connection: &Connection) -> i64 {
    [
        ffi::SQLITE_DBSTATUS_CACHE_USED,
        ffi::SQLITE_DBSTATUS_SCHEMA_USED,
        ffi::SQLITE_DBSTATUS_STMT_USED,
    ]
    .into_iter()
    .map(|what| {
        let (mut now_bytes, mut most_bytes) = (0, 0);
        // SAFETY: the connection is open, and SQLite writes to the two numbers only.
        unsafe {
            ffi::sqlite3_db_status(
                connection.handle(),
                what,
                &mut now_bytes,
                &mut most_bytes,
                0,
            );
        }
        i64::from(now_bytes)
    })
    .sum()
}
