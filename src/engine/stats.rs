//! Figures of a running store: plain numbers by name, for whoever operates it.
//!
//! Holds: what is counted as it happens, and what SQLite and the VFS count themselves. Must not know: times of
//! calls, and shares and percentiles; who hosts the engine makes those.

use std::ffi::CStr;
use std::ptr;

use rusqlite::ffi;
use rusqlite::types::Value;

use super::call::Collect;
use super::connections::Connections;
use super::{Engine, Table};
use crate::error::Result;
use crate::store::value;
use crate::vfs::{Connection, status};

/// What was counted since the store was opened.
#[derive(Default)]
pub(super) struct Counters {
    /// Transactions that were committed for waiting writes.
    groups: u64,
    /// Writes in them.
    grouped_calls: u64,
    /// How many of them had so many writes, by that number.
    group_sizes: Vec<u32>,
    /// Times that the file was opened again after a failure.
    pub(super) reopened: u64,
    /// Writes that were run again after a failure.
    pub(super) retried: u64,
    /// Times that the log was moved into the file.
    pub(super) checkpoints: u64,
    /// Most calls that have waited for the writer at once.
    pub(super) queue_deepest: usize,
}

impl Counters {
    pub(super) fn note_group(&mut self, calls: usize) {
        self.groups += 1;
        self.grouped_calls += calls as u64;
        if self.group_sizes.len() <= calls {
            self.group_sizes.resize(calls + 1, 0);
        }
        self.group_sizes[calls] = self.group_sizes[calls].saturating_add(1);
    }
}

impl<C: Collect> Engine<C> {
    /// The figures: one row, a column each. Sizes are in bytes, times in milliseconds; `groupSizes` holds a
    /// count of 32 bits, little-endian, for each number of writes from 0 on.
    pub fn stats(&self) -> Table {
        let pool = self.pool.figures();
        let connections: Vec<&Connection> = self
            .connections
            .iter()
            .flat_map(Connections::all)
            .chain(self.scopes.snapshots.values().map(|open| &open.connection))
            .chain(self.pool.idle())
            .collect();
        let memory = || connections.iter().map(|open| memory_bytes(open));
        let vfs = &self.file.vfs;
        let [hits, misses, writes, spills] = vfs.cache_figures(connections.iter().copied());
        let open = self.connections.as_ref();
        let frames = open.and_then(|open| open.log_frames().ok());
        let (log_frames, log_frames_moved) = frames.unwrap_or_default();
        let pages = |sql| {
            let pages = open.and_then(|open| value(&open.reader, sql, []).ok());
            pages.flatten().unwrap_or(0)
        };
        let storage = vfs.figures();
        let counters = &self.counters;
        let options = self.pool.options();
        let whole = |number: usize| number as i64;
        let counted = |number: u64| number as i64;
        let figures = [
            ("pageBytes", self.info.page_size_bytes.into()),
            ("pages", pages("PRAGMA page_count")),
            ("freePages", pages("PRAGMA freelist_count")),
            ("poolMin", whole(options.min)),
            ("poolMax", whole(options.max)),
            ("poolIdleTimeoutMs", options.idle_timeout_ms as i64),
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
            ("queueDeepest", whole(counters.queue_deepest)),
            ("groups", counted(counters.groups)),
            ("groupedCalls", counted(counters.grouped_calls)),
            ("reopened", counted(counters.reopened)),
            ("retried", counted(counters.retried)),
            ("logFrames", log_frames),
            ("logFramesMoved", log_frames_moved),
            ("checkpoints", counted(counters.checkpoints)),
            ("cacheHits", hits),
            ("cacheMisses", misses),
            ("cacheWrites", writes),
            ("cacheSpills", spills),
            ("storageReads", counted(storage.reads)),
            ("storageReadBytes", counted(storage.read_bytes)),
            ("storageWrites", counted(storage.writes)),
            ("storageWrittenBytes", counted(storage.written_bytes)),
            ("storageFlushes", counted(storage.flushes)),
            ("connections", whole(connections.len())),
            ("connectionBytesMax", memory().max().unwrap_or(0)),
            ("connectionBytes", memory().sum()),
            ("sqliteBytes", sqlite_bytes()),
            ("wasmBytes", wasm_bytes()),
        ];
        let sizes = counters.group_sizes.iter();
        let sizes = sizes.flat_map(|count| count.to_le_bytes()).collect();
        let (columns, cells) = figures
            .into_iter()
            .map(|(name, number)| (name, Value::Integer(number)))
            .chain([("groupSizes", Value::Blob(sizes))])
            .map(|(name, value)| (name.to_owned(), value))
            .unzip();
        Table {
            columns,
            cells,
            size_bytes: 0,
        }
    }

    /// Every statement of its own that the store holds prepared: what ran lately. `plan` has a line for each
    /// step of SQLite's plan; `runs`, `steps` of its machine and those of them that were in full scans (`scanSteps`)
    /// are counted since it was prepared.
    ///
    /// # Errors
    /// What asking for a plan can fail with.
    pub fn statements(&self) -> Result<Table> {
        let mut table = Table {
            columns: ["connection", "sql", "plan", "runs", "steps", "scanSteps"]
                .map(str::to_owned)
                .into(),
            ..Table::default()
        };
        let Some(open) = &self.connections else {
            return Ok(table);
        };
        for (name, connection) in [("writer", &open.writer), ("reader", &open.reader)] {
            for (sql, figures) in prepared(connection) {
                let explain = format!("EXPLAIN QUERY PLAN {sql}");
                // FTS5 may write to its own tables, and nobody else.
                let Ok(mut statement) = connection.prepare(&explain) else {
                    continue;
                };
                let mut plan = String::new();
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    plan += &row.get::<_, String>(3)?;
                    plan += "\n";
                }
                let texts = [name.to_owned(), sql, plan].map(Value::Text);
                table.cells.extend(texts);
                table.cells.extend(figures.map(Value::Integer));
            }
        }
        Ok(table)
    }
}

fn prepared(connection: &Connection) -> Vec<(String, [i64; 3])> {
    let mut found = Vec::new();
    let mut statement = ptr::null_mut();
    loop {
        // SAFETY: the connection is open, the statement null or one of its own, and none is finalized here.
        statement = unsafe { ffi::sqlite3_next_stmt(connection.handle(), statement) };
        if statement.is_null() {
            return found;
        }
        // SAFETY: the statement is alive; its text is its own, ends with NUL, and is copied at once.
        let sql = unsafe { CStr::from_ptr(ffi::sqlite3_sql(statement)) };
        let figures = [
            ffi::SQLITE_STMTSTATUS_RUN,
            ffi::SQLITE_STMTSTATUS_VM_STEP,
            ffi::SQLITE_STMTSTATUS_FULLSCAN_STEP,
        ]
        // SAFETY: the statement is alive.
        .map(|what| unsafe { ffi::sqlite3_stmt_status(statement, what, 0) }.into());
        found.push((sql.to_string_lossy().into_owned(), figures));
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
    .map(|what| status(connection, what))
    .sum()
}

/// What SQLite has taken, for all stores of this process or wasm instance.
fn sqlite_bytes() -> i64 {
    // SAFETY: it reads a number, which SQLite guards itself.
    unsafe { ffi::sqlite3_memory_used() }
}

/// The memory of the wasm instance; natively there is none.
fn wasm_bytes() -> i64 {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    return (std::arch::wasm32::memory_size(0) as i64) << 16;
    #[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
    return 0;
}
