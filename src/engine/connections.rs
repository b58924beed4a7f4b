//! The connections of one file: how they are opened, and what is settled before and after.
//!
//! One connection writes, one reads; the one that runs the caller's own SQL, and those of the pool, are
//! opened as they are wanted. Nothing here knows of calls.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rsqlite_vfs::{OsCallback, VfsErrorCode};
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use super::changes::Changes;
use super::options::{Durability, Info};
use crate::error::{Code, Error, Result};
use crate::store::schema::{self, Found};
use crate::store::{query, value};
use crate::vfs::{Connection, OpenMode, Storage, SystemOs, Vfs, VfsOptions, read_at_most};

const WRITER_CACHE_KIB: u32 = 8 << 10;
const READER_CACHE_KIB: u32 = 16 << 10;
const QUERY_CACHE_KIB: u32 = 1 << 10;
const POOL_CACHE_KIB: u32 = 1 << 10;
/// Steps of SQLite's machine between two looks at the clock: a fraction of a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 20_000;

/// A file, and how it is opened.
pub(super) struct File {
    pub(super) vfs: Rc<Vfs>,
    /// The same place as that of the VFS, for files that are no database.
    pub(super) storage: Rc<dyn Storage>,
    pub(super) path: String,
    pub(super) durability: Durability,
    /// When the file was changed last before it was opened; none where that is not known.
    pub(super) found_modified_ms: Option<i64>,
    /// The change counter that it had then, where it had no log.
    pub(super) found_counter: Option<u32>,
    pub(super) read_only: bool,
    pub(super) changes: Changes,
    read_deadline: ReadDeadline,
}

/// The connections that belong to no snapshot.
pub(super) struct Connections {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    query: OnceCell<Connection>,
}

impl File {
    /// Judges what lies at the path and puts the storage behind a VFS of its own.
    pub(super) fn new(
        storage: impl Storage,
        path: &str,
        durability: Durability,
        read_only: bool,
    ) -> Result<Self> {
        let found_counter = inspect(&storage, path, read_only)?;
        let storage: Rc<dyn Storage> = Rc::new(storage);
        let options = VfsOptions {
            read_only,
            ..VfsOptions::default()
        };
        let vfs = Vfs::register_with(Rc::clone(&storage), options).map_err(|error| {
            Error::new(
                Code::Internal,
                format!("the VFS was not registered: {error}"),
            )
        })?;
        let found_modified_ms = match vfs.exists(path) {
            Ok(true) => vfs.modified_ms(path).unwrap_or_default(),
            _ => None,
        };
        Ok(Self {
            vfs,
            storage,
            path: path.to_owned(),
            durability,
            found_modified_ms,
            found_counter,
            read_only,
            changes: Changes::default(),
            read_deadline: ReadDeadline::default(),
        })
    }

    /// Opens the connections; the first of them recovers what a killed owner has left. What a failure
    /// has left is cut off before, where nobody was told that it is kept: it may be on the disk, or not,
    /// and must not be found.
    pub(super) fn connect(&self) -> Result<Connections> {
        let cut = match self.durability {
            Durability::Strict => self.vfs.cut_unflushed(&self.path),
            Durability::Relaxed | Durability::Memory => self.vfs.cut_torn(&self.path),
        };
        let written = match cut {
            // Without room it stays as it was found.
            Ok(()) => match self.vfs.write_wal_again(&self.path) {
                Err(error) if error.code() == VfsErrorCode::Full => Ok(()),
                written => written,
            },
            failed => failed,
        };
        written.map_err(|error| {
            let told = format!(
                "the log that was found could not be made ready: {}",
                error.message()
            );
            Error::new(Code::IoError, told).with("sqliteCode", error.raw_code())
        })?;
        self.try_connect().map_err(|error| self.explain(error))
    }

    fn try_connect(&self) -> Result<Connections> {
        let recovers = self.durability == Durability::Strict
            && !self.read_only
            && self
                .vfs
                .exists(&format!("{}-wal", self.path))
                .unwrap_or(true);
        let mut writer = self.open(OpenFlags::SQLITE_OPEN_CREATE, WRITER_CACHE_KIB)?;
        // Reads within a transaction run on it. No write has a deadline.
        self.read_deadline.watch(&mut writer)?;
        self.changes.follow(&mut writer)?;
        schema::prepare(&writer, &self.path)?;
        if recovers {
            // A former owner may have written and not flushed it: seen is not yet kept.
            self.vfs.sync_files(&self.path).map_err(flush_failed)?;
        }
        // Creation syncs more than ordinary work has to.
        writer.pragma_update(None, "synchronous", self.durability.synchronous())?;
        // When to checkpoint is for the engine to say: not in the middle of somebody's write.
        writer.pragma_update(None, "wal_autocheckpoint", 0)?;
        let reader = self.open_reader(READER_CACHE_KIB)?;
        Ok(Connections {
            writer,
            reader,
            query: OnceCell::new(),
        })
    }

    /// The one name of the file in its storage.
    pub(super) fn full_path(&self) -> Result<String> {
        self.storage
            .full_path(&self.path)
            .map_err(|error| Error::new(Code::IoError, error.message().to_owned()))
    }

    /// One more connection for reading, with a small cache.
    pub(super) fn open_pooled(&self) -> Result<Connection> {
        self.open_reader(POOL_CACHE_KIB)
            .map_err(|error| self.explain(error))
    }

    fn open(&self, flags: OpenFlags, cache_kib: u32) -> Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = self.vfs.connect(&self.path, flags)?;
        schema::configure(&connection, cache_kib, self.durability.synchronous())?;
        Ok(connection)
    }

    fn open_reader(&self, cache_kib: u32) -> Result<Connection> {
        let mut connection = self.open(OpenFlags::empty(), cache_kib)?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        self.read_deadline.watch(&mut connection)?;
        Ok(connection)
    }

    /// Runs a read that is interrupted when its time is over.
    pub(super) fn within<T>(
        &self,
        remaining_ms: f64,
        read: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.read_deadline.set(remaining_ms);
        let result = read();
        self.read_deadline.clear();
        result.map_err(|error| match error.code() {
            Code::Timeout => Error::new(
                Code::Timeout,
                "reading took longer than the call may take; ask for less at once, or raise timeoutMs",
            ),
            _ => error,
        })
    }

    /// What is known of the open file.
    pub(super) fn info(&self, connections: &Connections) -> Result<Info> {
        let meta = |name: &str| -> Result<String> {
            let sql = "SELECT value FROM store_meta WHERE name = ?1";
            Ok(value(&connections.reader, sql, [name])?.unwrap_or_default())
        };
        Ok(Info {
            path: self.path.clone(),
            schema_version: schema::schema_version(&connections.reader)?,
            sqlite_version: rusqlite::version(),
            page_size_bytes: value(&connections.reader, "PRAGMA page_size", [])?.unwrap_or(0),
            durability: self.durability,
            generation: meta("generation")?,
            epoch: meta("epoch")?.parse().unwrap_or(0),
        })
    }

    /// Adds what the storage said to an error that came through SQLite.
    pub(super) fn explain(&self, error: Error) -> Error {
        let told = matches!(
            error.code(),
            Code::IoError | Code::DiskFull | Code::ReadOnly | Code::Busy | Code::ChecksumMismatch
        );
        // What failed last may have been something else, long ago.
        let cause = self.vfs.last_error().filter(|cause| {
            let primary = |code: i64| code & 0xff;
            told && error.number("sqliteCode").map(primary)
                == Some(primary(cause.raw_code().into()))
        });
        let Some(cause) = cause.filter(|_| error.detail("cause").is_none()) else {
            return error;
        };
        if error.code() == Code::Busy {
            return Error::new(Code::StoreLocked, cause.message().to_owned());
        }
        let damaged = self.vfs.damaged_pages(&self.path).ok();
        let page = damaged.and_then(|damaged| damaged.last);
        let error = error.with("cause", cause.message().to_owned());
        match page {
            Some(page) if error.code() == Code::ChecksumMismatch => {
                let told = format!("page {page} of {} is not as it was written", self.path);
                error.with("page", i64::from(page)).saying(told)
            }
            _ => error,
        }
    }
}

fn flush_failed(error: rsqlite_vfs::VfsError) -> Error {
    Error::new(
        Code::IoError,
        format!("the file could not be flushed: {}", error.message()),
    )
    .with("sqliteCode", error.raw_code())
}

impl Connections {
    /// All that are open.
    pub(super) fn all(&self) -> impl Iterator<Item = &Connection> {
        [&self.writer, &self.reader]
            .into_iter()
            .chain(self.query.get())
    }

    /// The one for the caller's own SQL.
    pub(super) fn query(&self, file: &File) -> Result<&Connection> {
        if let Some(query) = self.query.get() {
            return Ok(query);
        }
        let mut query = file.open_reader(QUERY_CACHE_KIB)?;
        query::restrict(&mut query)?;
        Ok(self.query.get_or_init(|| query))
    }

    /// Frames in the log and how many of them are in the file already.
    pub(super) fn log_frames(&self) -> Result<(i64, i64)> {
        self.checkpoint_pragma("PRAGMA wal_checkpoint(NOOP)")
    }

    /// Moves what no reader holds back from the log into the file.
    pub(super) fn checkpoint(&self) -> Result<(i64, i64)> {
        self.checkpoint_pragma("PRAGMA wal_checkpoint(PASSIVE)")
    }

    fn checkpoint_pragma(&self, sql: &str) -> Result<(i64, i64)> {
        let mut statement = self.writer.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?)
    }

    /// Moves all of the log into the file and empties it.
    pub(super) fn settle(&self) -> Result<()> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        Ok(self.writer.query_row(sql, [], |_| Ok(()))?)
    }

    /// Leaves the log where it is when the connections are closed.
    pub(super) fn keep_log(&self) {
        // It can fail for a connection that is not open only.
        let _ = self
            .writer
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

/// When the read that is running has to end, shared by all connections that read.
#[derive(Clone, Default)]
struct ReadDeadline(Arc<AtomicI64>);

/// No deadline.
const NEVER: i64 = 0;

impl ReadDeadline {
    fn set(&self, remaining_ms: f64) {
        let at = match SystemOs.epoch_timestamp_in_ms() {
            Ok(now_ms) if remaining_ms < 1e12 => now_ms + remaining_ms as i64,
            _ => NEVER,
        };
        self.0.store(at, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(NEVER, Ordering::Relaxed);
    }

    fn watch(&self, connection: &mut Connection) -> Result<()> {
        let deadline = self.clone();
        let is_over = move || {
            let at = deadline.0.load(Ordering::Relaxed);
            at != NEVER
                && SystemOs
                    .epoch_timestamp_in_ms()
                    .is_ok_and(|now_ms| now_ms > at)
        };
        Ok(connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_over))?)
    }
}

/// Judges what lies at the path before SQLite touches it. Gives its change counter where it is a file
/// without any log.
fn inspect(storage: &impl Storage, path: &str, read_only: bool) -> Result<Option<u32>> {
    let failed = |error: rsqlite_vfs::VfsError| {
        let code = match error.code() {
            VfsErrorCode::Busy => Code::StoreLocked,
            VfsErrorCode::ReadOnly | VfsErrorCode::Permission => Code::ReadOnly,
            _ => Code::IoError,
        };
        Error::new(code, error.message().to_owned()).with("path", path)
    };
    let size_bytes = |path: &str, header: &mut [u8]| -> rsqlite_vfs::VfsResult<(u64, usize)> {
        if !storage.exists(path)? {
            return Ok((0, 0));
        }
        let mode = OpenMode {
            read_only: true,
            ..OpenMode::default()
        };
        let mut file = storage.open(path, mode)?;
        let read = match header {
            [] => 0,
            header => read_at_most(&mut *file, header, 0)?,
        };
        Ok((file.size_bytes()?, read))
    };
    let path = storage.full_path(path).map_err(failed)?;
    let none = || {
        let told = format!(
            "there is no store at {path}, and one that is opened for reading only is not made"
        );
        Err(Error::new(Code::NotFound, told).with("path", path.clone()))
    };
    if read_only && !storage.exists(&path).map_err(failed)? {
        return none();
    }
    let (journal_bytes, _) = size_bytes(&format!("{path}-journal"), &mut []).map_err(failed)?;
    if journal_bytes > 0 {
        // The file may be half written. SQLite puts it back first and judges it then.
        return Ok(None);
    }
    let mut header = vec![0; schema::header_bytes()];
    let (_, read) = size_bytes(&path, &mut header).map_err(failed)?;
    let found = schema::judge_header(&header[..read], &path)?;
    if found == Found::Nothing && read_only {
        return none();
    }
    let (wal_bytes, _) = size_bytes(&format!("{path}-wal"), &mut []).map_err(failed)?;
    if found == Found::Nothing && wal_bytes > 0 {
        // SQLite would delete the log of a file that has no pages.
        return Err(Error::new(
            Code::Corrupt,
            format!("{path} is empty, but a write-ahead log of {wal_bytes} bytes lies beside it. Nothing was changed"),
        )
        .with("path", path.clone()));
    }
    Ok(schema::found_counter(&header[..read]).filter(|_| wal_bytes == 0))
}
