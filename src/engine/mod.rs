//! The engine: one file, its connections, and the rules by which calls run on them.
//!
//! - One connection writes, one reads, and one runs the caller's own read-only SQL. All belong to one
//!   VFS, so that a reader sees the last commit and is not held up by the writer.
//! - A call is one transaction of its own, or one savepoint in the interactive transaction that is
//!   open: it takes effect whole or not at all.
//! - Nothing waits here. Who calls sees to it that writes outside of an interactive transaction do
//!   not meet one; where they do, they get `BUSY` at once.

mod request;

use std::rc::Rc;

use rsqlite_vfs::VfsErrorCode;
use rusqlite::OpenFlags;

pub use request::{Reply, Request, Table};

use crate::error::{Code, Error, Result};
use crate::ids::IdMaker;
use crate::model::MessageRef;
use crate::store::schema::{self, Found};
use crate::store::{Writer, query, search, streams};
use crate::vfs::{Connection, OpenMode, Storage, Vfs};

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The loss of power: flushed before it is acknowledged.
    #[default]
    Strict,
    /// The death of the process; the loss of power may take the last writes, never the order.
    Relaxed,
}

impl Durability {
    /// The word used in JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Relaxed => "relaxed",
        }
    }

    const fn synchronous(self) -> &'static str {
        match self {
            Self::Strict => "FULL",
            Self::Relaxed => "NORMAL",
        }
    }
}

/// What is known of an open store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The path in its storage.
    pub path: String,
    /// Version of the file's schema.
    pub schema_version: i32,
    /// Version of the SQLite inside.
    pub sqlite_version: &'static str,
    /// Size of a page in bytes.
    pub page_size_bytes: u32,
    /// What an acknowledged write survives.
    pub durability: Durability,
}

/// An open chatstore file.
///
/// ```
/// use chatstore::model::{NewBot, PageOptions};
/// use chatstore::vfs::MemoryStorage;
/// use chatstore::{Durability, Engine, Reply, Request};
///
/// let mut engine = Engine::open(MemoryStorage::new(), "chats.sqlite", Durability::Strict)?;
/// let bot = NewBot { name: "Ada".into(), ..NewBot::default() };
/// engine.call(Request::BotsCreate(bot), &mut |_| ())?;
///
/// let list = Request::BotsList { deleted: false, page: PageOptions::default() };
/// let Reply::Bots(page) = engine.call(list, &mut |_| ())? else { unreachable!() };
/// assert_eq!(page.items[0].name, "Ada");
/// # Ok::<(), chatstore::Error>(())
/// ```
pub struct Engine {
    writer: Connection,
    reader: Connection,
    query: Connection,
    vfs: Rc<Vfs>,
    ids: IdMaker,
    info: Info,
    /// Open savepoints of the interactive transaction; none where there is no transaction.
    transaction: Option<Vec<String>>,
}

const WRITER_CACHE_KIB: u32 = 8 << 10;
const READER_CACHE_KIB: u32 = 4 << 10;
const QUERY_CACHE_KIB: u32 = 1 << 10;
/// The savepoint that one call is, inside of an interactive transaction.
const CALL: &str = "chatstore_call";

impl Engine {
    /// Opens the file at a path of a storage; makes it where there is none.
    ///
    /// # Errors
    /// `NOT_A_STORE` and `SCHEMA_TOO_NEW` leave the file untouched; `STORE_LOCKED`, `CORRUPT`,
    /// `READ_ONLY`, `DISK_FULL`, `IO_ERROR`.
    pub fn open(storage: impl Storage, path: &str, durability: Durability) -> Result<Self> {
        inspect(&storage, path)?;
        let vfs = Vfs::register(storage).map_err(|error| {
            Error::new(
                Code::Internal,
                format!("the VFS was not registered: {error}"),
            )
        })?;
        let engine = Self::connect(&vfs, path, durability).map_err(|error| explain(&vfs, error))?;
        engine
            .end_lost_streams()
            .map_err(|error| explain(&vfs, error))?;
        Ok(engine)
    }

    fn connect(vfs: &Rc<Vfs>, path: &str, durability: Durability) -> Result<Self> {
        let write = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |flags, cache_kib| -> Result<Connection> {
            let connection = vfs.connect(path, flags)?;
            schema::configure(&connection, cache_kib, durability.synchronous())?;
            Ok(connection)
        };
        let writer = open(write, WRITER_CACHE_KIB)?;
        schema::prepare(&writer, path)?;
        // Creation syncs more than ordinary work has to.
        writer.pragma_update(None, "synchronous", durability.synchronous())?;
        let reader = open(
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            READER_CACHE_KIB,
        )?;
        reader.execute_batch("PRAGMA query_only = ON")?;
        let mut query = open(
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            QUERY_CACHE_KIB,
        )?;
        query::restrict(&mut query)?;
        let info = Info {
            path: path.to_owned(),
            schema_version: schema::schema_version(&writer)?,
            sqlite_version: rusqlite::version(),
            page_size_bytes: writer.query_row("PRAGMA page_size", [], |row| row.get(0))?,
            durability,
        };
        let vfs = Rc::clone(vfs);
        Ok(Self {
            writer,
            reader,
            query,
            vfs,
            ids: IdMaker::default(),
            info,
            transaction: None,
        })
    }

    /// Nobody else has the file: replies that are under way in it have lost their clients.
    fn end_lost_streams(&self) -> Result<()> {
        let open = streams::open_streams(&self.writer)?;
        if open.is_empty() {
            return Ok(());
        }
        self.writer.execute_batch("BEGIN IMMEDIATE")?;
        let ended = open.iter().try_for_each(|stream| {
            streams::end_streams_of(self.context(), &stream.client).map(drop)
        });
        self.end(ended, "COMMIT", "ROLLBACK")
    }

    /// What is known of the store.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Runs one call by itself: a write in its own transaction, a read on the last commit. Messages
    /// that the call gives are handed to `visit` one by one.
    ///
    /// # Errors
    /// Those of the verb; `BUSY` for a write while an interactive transaction is open; nothing was
    /// changed then.
    pub fn call(
        &mut self,
        request: Request<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        let result = if request.is_write() {
            if self.transaction.is_some() {
                return Err(Error::new(
                    Code::Busy,
                    "another transaction is writing; wait for it to end",
                ));
            }
            self.write(request, visit)
        } else {
            self.read(request, visit)
        };
        result.map_err(|error| explain(&self.vfs, error))
    }

    fn write(
        &mut self,
        request: Request<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        self.writer.execute_batch("BEGIN IMMEDIATE")?;
        let result = request.write(self.context(), visit);
        self.end(result, "COMMIT", "ROLLBACK")
    }

    fn read(&self, request: Request<'_>, visit: &mut dyn FnMut(&MessageRef<'_>)) -> Result<Reply> {
        if let Request::Query { .. } = request {
            return request.read(&self.query, visit);
        }
        if matches!(request, Request::Search { .. })
            && self.transaction.is_none()
            && streams::are_unsettled(&self.reader)?
        {
            self.writer.execute_batch("BEGIN IMMEDIATE")?;
            self.end(streams::settle_all(self.context()), "COMMIT", "ROLLBACK")?;
        }
        // One snapshot for all statements of the call.
        self.reader.execute_batch("BEGIN")?;
        let result =
            if matches!(request, Request::Search { .. }) && search::is_behind(&self.reader)? {
                Err(Error::new(
                    Code::IndexPending,
                    "messages wait for the search index",
                ))
            } else {
                request.read(&self.reader, visit)
            };
        let ended = self.reader.execute_batch("COMMIT");
        let reply = result?;
        ended?;
        Ok(reply)
    }

    /// Runs one call inside of the interactive transaction, as a savepoint of its own.
    ///
    /// # Errors
    /// Those of the verb, after which the transaction goes on as if the call had not been;
    /// `TRANSACTION_STATE` where no transaction is open, `TRANSACTION_LOST` where the failure ended it.
    pub fn call_in_transaction(
        &mut self,
        request: Request<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        self.expect_transaction()?;
        let result = self.write_in_transaction(request, visit);
        result.map_err(|error| explain(&self.vfs, error))
    }

    fn write_in_transaction(
        &mut self,
        request: Request<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        if let Request::Query { .. } = request {
            // The writer sees the transaction's own changes, but must not run SQL of the caller's
            // with its rights: the authorizer is on for just this call.
            return query::guarded(&mut self.writer, |connection| {
                request.read(connection, visit)
            });
        }
        self.writer.execute_batch(&format!("SAVEPOINT {CALL}"))?;
        let result = if request.is_write() {
            request.write(self.context(), visit)
        } else {
            if matches!(request, Request::Search { .. }) {
                streams::settle_all(self.context())?;
                while search::catch_up(self.context(), u32::MAX)? > 0 {}
            }
            request.read(&self.writer, visit)
        };
        let result = self.end(
            result,
            &format!("RELEASE {CALL}"),
            &format!("ROLLBACK TO {CALL}; RELEASE {CALL}"),
        );
        if self.writer.is_autocommit() {
            // A full disk or the like made SQLite roll the whole transaction back.
            self.transaction = None;
            return Err(Error::new(
                Code::TransactionLost,
                "the transaction was rolled back by the failure of a call",
            )
            .with(
                "cause",
                result
                    .err()
                    .map_or_else(String::new, |error| error.to_string()),
            ));
        }
        result
    }

    fn context(&self) -> Writer<'_> {
        Writer {
            connection: &self.writer,
            now_ms: self.vfs.now_ms(),
            ids: &self.ids,
        }
    }

    /// Ends what a call began: keeps its changes where it succeeded, takes them back where it, or
    /// keeping them, failed.
    fn end<T>(&self, result: Result<T>, keep: &str, undo: &str) -> Result<T> {
        let result = result.and_then(|value| {
            self.writer.execute_batch(keep)?;
            Ok(value)
        });
        if result.is_err() && !self.writer.is_autocommit() {
            // SQLite may have rolled back by itself, which makes this fail, or harmless.
            let _ = self.writer.execute_batch(undo);
        }
        result
    }

    /// Begins the interactive transaction.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where one is open.
    pub fn begin(&mut self) -> Result<()> {
        if self.transaction.is_some() {
            return Err(Error::new(
                Code::TransactionState,
                "a transaction is open already",
            ));
        }
        self.writer.execute_batch("BEGIN IMMEDIATE")?;
        self.transaction = Some(Vec::new());
        Ok(())
    }

    /// Commits the interactive transaction. Whatever comes of it, it is over then.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where none is open; what writing can fail with: nothing is kept then.
    pub fn commit(&mut self) -> Result<()> {
        self.expect_transaction()?;
        self.transaction = None;
        self.end(Ok(()), "COMMIT", "ROLLBACK")
            .map_err(|error| explain(&self.vfs, error))
    }

    /// Takes back all of the interactive transaction. Does nothing where none is open.
    ///
    /// # Errors
    /// What SQLite can fail with.
    pub fn rollback(&mut self) -> Result<()> {
        if self.transaction.take().is_some() && !self.writer.is_autocommit() {
            self.writer.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    /// Begins a savepoint inside of the interactive transaction; they nest.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where no transaction is open.
    pub fn savepoint(&mut self) -> Result<()> {
        let name = format!("chatstore_{}", self.expect_transaction()?.len());
        self.writer.execute_batch(&format!("SAVEPOINT {name}"))?;
        self.expect_transaction()?.push(name);
        Ok(())
    }

    /// Keeps what was done since the innermost savepoint, as part of what is around it.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where no savepoint is open.
    pub fn release(&mut self) -> Result<()> {
        let name = self.pop_savepoint()?;
        Ok(self.writer.execute_batch(&format!("RELEASE {name}"))?)
    }

    /// Takes back what was done since the innermost savepoint, which is over then.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where no savepoint is open.
    pub fn rollback_to(&mut self) -> Result<()> {
        let name = self.pop_savepoint()?;
        Ok(self
            .writer
            .execute_batch(&format!("ROLLBACK TO {name}; RELEASE {name}"))?)
    }

    fn expect_transaction(&mut self) -> Result<&mut Vec<String>> {
        self.transaction
            .as_mut()
            .ok_or_else(|| Error::new(Code::TransactionState, "no transaction is open"))
    }

    fn pop_savepoint(&mut self) -> Result<String> {
        self.expect_transaction()?
            .pop()
            .ok_or_else(|| Error::new(Code::TransactionState, "no savepoint is open"))
    }

    /// Rolls back what is open, moves the WAL into the file and closes it.
    ///
    /// # Errors
    /// What writing can fail with; the file is closed all the same, and nothing that was
    /// acknowledged is lost: it is in the WAL then.
    pub fn close(mut self) -> Result<()> {
        let rolled_back = self.rollback();
        // Closing would do this too, but could not say that it failed.
        let settled = self
            .writer
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        rolled_back.and(settled.map_err(|error| explain(&self.vfs, error.into())))
    }
}

/// Judges what lies at the path before SQLite touches it.
fn inspect(storage: &impl Storage, path: &str) -> Result<()> {
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
        let read = if header.is_empty() {
            0
        } else {
            file.read_at(header, 0)?
        };
        Ok((file.size_bytes()?, read))
    };
    let path = storage.full_path(path).map_err(failed)?;
    let (journal_bytes, _) = size_bytes(&format!("{path}-journal"), &mut []).map_err(failed)?;
    if journal_bytes > 0 {
        // The file may be half written. SQLite puts it back first and judges it then.
        return Ok(());
    }
    let mut header = vec![0; schema::header_bytes()];
    let (_, read) = size_bytes(&path, &mut header).map_err(failed)?;
    let found = schema::judge_header(&header[..read], &path)?;
    let (wal_bytes, _) = size_bytes(&format!("{path}-wal"), &mut []).map_err(failed)?;
    if found == Found::Nothing && wal_bytes > 0 {
        // SQLite would delete the log of a file that has no pages.
        return Err(Error::new(
            Code::Corrupt,
            format!("{path} is empty, but a write-ahead log of {wal_bytes} bytes lies beside it. Nothing was changed"),
        )
        .with("path", path.clone()));
    }
    Ok(())
}

/// Adds what the storage said to an error that came through SQLite.
fn explain(vfs: &Vfs, error: Error) -> Error {
    let told = matches!(
        error.code(),
        Code::IoError | Code::DiskFull | Code::ReadOnly | Code::Busy
    );
    match vfs.last_error().filter(|_| told) {
        Some(cause) if cause.code() == VfsErrorCode::Busy => {
            Error::new(Code::StoreLocked, cause.message().to_owned())
        }
        Some(cause) => error.with("cause", cause.message().to_owned()),
        None => error,
    }
}
