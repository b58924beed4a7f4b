//! What reaches the storage, counted.
//!
//! The count is taken where the VFS calls a [`RawFile`](super::RawFile), below the WAL buffer and
//! the checksums: it says what the disk was asked for, not what SQLite asked for.
//! Calls that fail count too. Temporary files in memory do not.

use std::cell::Cell;

use rusqlite::ffi;

/// Calls that reached the storage since the VFS was registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Reads.
    pub reads: u64,
    /// Bytes that the reads gave.
    pub read_bytes: u64,
    /// Writes, those of preallocated zeros included.
    pub writes: u64,
    /// Bytes that were to be written, preallocated zeros included.
    pub written_bytes: u64,
    /// Zeros written ahead into a WAL, in bytes; part of `written_bytes`.
    pub preallocated_bytes: u64,
    /// Flushes of a file.
    pub flushes: u64,
    /// Flushes of a file's name in its directory.
    pub directory_flushes: u64,
    /// Files cut.
    pub truncations: u64,
}

impl Figures {
    /// What came since `earlier`, which is a count of the same VFS.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            reads: self.reads - earlier.reads,
            read_bytes: self.read_bytes - earlier.read_bytes,
            writes: self.writes - earlier.writes,
            written_bytes: self.written_bytes - earlier.written_bytes,
            preallocated_bytes: self.preallocated_bytes - earlier.preallocated_bytes,
            flushes: self.flushes - earlier.flushes,
            directory_flushes: self.directory_flushes - earlier.directory_flushes,
            truncations: self.truncations - earlier.truncations,
        }
    }
}

/// The running count of one VFS.
#[derive(Default)]
pub(super) struct Counter(Cell<Figures>);

impl Counter {
    pub fn figures(&self) -> Figures {
        self.0.get()
    }

    pub fn count(&self, change: impl FnOnce(&mut Figures)) {
        let mut figures = self.0.get();
        change(&mut figures);
        self.0.set(figures);
    }
}

/// What the page cache of a connection did: pages found, read, written and written early for lack of
/// room.
pub(crate) type CacheFigures = [i64; 4];

pub(super) fn cache_figures(connection: &rusqlite::Connection) -> CacheFigures {
    [
        ffi::SQLITE_DBSTATUS_CACHE_HIT,
        ffi::SQLITE_DBSTATUS_CACHE_MISS,
        ffi::SQLITE_DBSTATUS_CACHE_WRITE,
        ffi::SQLITE_DBSTATUS_CACHE_SPILL,
    ]
    .map(|what| status(connection, what))
}

/// One of SQLite's own figures of a connection.
pub(crate) fn status(connection: &rusqlite::Connection, what: i32) -> i64 {
    let (mut now, mut most) = (0, 0);
    // SAFETY: the connection is open, and SQLite writes to the two numbers only.
    unsafe { ffi::sqlite3_db_status64(connection.handle(), what, &mut now, &mut most, 0) };
    now
}

/// A length in memory as a number of file bytes. No machine has lengths beyond 64 bits.
pub(super) fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
