//! The files under SQLite: a VFS of our own over an exchangeable [`Storage`].
//!
//! # Bird's-eye view
//!
//! ```text
//!  rusqlite::Connection  ×  n          one per reader or writer, all of one instance
//!          │  SQLite's C callbacks          (callbacks.rs)
//!          ▼
//!  one handle per open file            (instance.rs)
//!          │  shared by path:  rollback lock levels   (locks.rs)
//!          │                   WAL index and its slots (wal_index.rs)
//!          ▼
//!  database: page checksums            (checksum.rs), checkpoints in runs of pages (gathered.rs)
//!  WAL: a transaction in one write     (wal_buffer.rs), space ahead (wal_space.rs)
//!          ▼
//!  RawFile, one per path               (storage.rs), counted (disk.rs)
//!          │
//!  MemoryStorage | NativeStorage | NodeStorage | OpfsStorage
//! ```
//!
//! - [`Vfs::register`] puts a storage behind a new SQLite VFS; [`Vfs::connect`]
//!   opens databases through it. All connections to a file in one [`Vfs`] see one
//!   another's locks and share one WAL index in memory, so WAL works with any
//!   number of them and without shared memory between threads or processes.
//! - A `Vfs` is the only owner of its files. `NativeStorage` makes sure of that
//!   with a lock of the system; `OpfsStorage` is given handles that the browser
//!   gives to one only; `NodeStorage` leaves it to its host.
//! - A lock is never waited for: what another connection holds is `SQLITE_BUSY` at
//!   once. Connections, storage and waiting all live in one thread, so the holder
//!   could not let go meanwhile.
//! - A `sync` reaches the storage as it comes. The first sync of a file after its
//!   opening also makes the file's name durable. After one that failed, none
//!   succeeds until the file is closed and opened again.
//! - A commit reaches the storage in one write, before SQLite hears of it.
//! - What an owner asks beside SQLite (flushing, judging, cutting) is in upkeep.rs.
//! - Temporary files of SQLite live in memory, whatever the storage.
//! - Everything is bound to the thread that registered the VFS.
//!
//! ```
//! use chatstore::vfs::{MemoryStorage, Vfs};
//! use rusqlite::OpenFlags;
//!
//! let vfs = Vfs::register(MemoryStorage::new())?;
//! let writer = vfs.connect("chat.db", OpenFlags::default())?;
//! writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE note (text)")?;
//!
//! let reader = vfs.connect("chat.db", OpenFlags::SQLITE_OPEN_READ_ONLY)?;
//! writer.execute_batch("BEGIN; INSERT INTO note VALUES ('not yet')")?;
//! let seen: u32 = reader.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?;
//! assert_eq!(seen, 0);
//! writer.execute_batch("COMMIT")?;
//! let seen: u32 = reader.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?;
//! assert_eq!(seen, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rsqlite_vfs::{
    OsCallback, RegisterVfsError, VfsError, VfsErrorCode, VfsRegistration, VfsResult, VfsStore,
};
use rusqlite::OpenFlags;

use self::instance::{Instance, Store};

mod callbacks;
pub(crate) mod checksum;
#[doc(hidden)]
pub mod conformance;
mod disk;
mod figures;
mod gathered;
mod instance;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod javascript;
mod locks;
mod memory;
#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
mod native;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod node;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod opfs;
mod os;
mod shared_file;
#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
#[doc(hidden)]
pub mod simulated;
mod storage;
mod upkeep;
mod wal_buffer;
mod wal_index;
mod wal_space;

pub use self::checksum::{ChecksumPolicy, DamagedPages};
pub use self::figures::Figures;
pub(crate) use self::figures::{CacheFigures, status};
pub use self::memory::MemoryStorage;
#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
pub use self::native::NativeStorage;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use self::node::NodeStorage;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use self::opfs::OpfsStorage;
pub use self::os::SystemOs;
pub(crate) use self::os::monotonic_ms;
pub(crate) use self::storage::read_at_most;
pub use self::storage::{OpenMode, RawFile, Storage};

/// What a [`Vfs`] does beyond passing calls on. All of it, unless said otherwise, but for `read_only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VfsOptions {
    /// Write the frames of a transaction to the WAL at once, when it commits.
    pub wal_buffer: bool,
    /// Grow the WAL ahead of its commits, so that flushing one does not have to
    /// write the file's length too.
    pub wal_preallocation: bool,
    /// Stamp and verify the pages of databases that reserve 8 bytes for it. Without
    /// it, pages that are written do not match their checksums any more.
    pub checksums: bool,
    /// Open files that are there for reading only, as where writing is denied.
    pub read_only: bool,
}

impl Default for VfsOptions {
    fn default() -> Self {
        Self {
            wal_buffer: true,
            wal_preallocation: true,
            checksums: true,
            read_only: false,
        }
    }
}

/// One SQLite VFS over one [`Storage`], with a name of its own.
///
/// It is unregistered when the last `Rc` goes, which each [`Connection`] holds too.
pub struct Vfs {
    name: String,
    instance: Rc<Instance>,
    registration: Option<VfsRegistration<Rc<Instance>>>,
    /// Of the connections that are closed.
    closed_caches: Cell<CacheFigures>,
}

impl Vfs {
    /// Registers a new VFS over `storage`. It is not made SQLite's default.
    ///
    /// # Errors
    ///
    /// What SQLite answers when it cannot register or, at the first use, initialize.
    pub fn register(storage: impl Storage) -> Result<Rc<Self>, RegisterVfsError> {
        Self::register_with(storage, VfsOptions::default())
    }

    /// As [`Vfs::register`], with options.
    ///
    /// # Errors
    ///
    /// As [`Vfs::register`].
    pub fn register_with(
        storage: impl Storage,
        options: VfsOptions,
    ) -> Result<Rc<Self>, RegisterVfsError> {
        let instance = Rc::new(Instance::new(storage, options));
        let name = unique_name(&instance);
        let registration = callbacks::register(&name, Rc::clone(&instance))?;
        Ok(Rc::new(Self {
            name,
            instance,
            registration: Some(registration),
            closed_caches: Cell::default(),
        }))
    }

    /// Opens a connection to the database file at `path`.
    ///
    /// The path is taken literally: it is no URI, and `":memory:"` is a file name.
    /// SQLite's busy handler is off, so a lock held by another connection is an
    /// error at once.
    ///
    /// # Errors
    ///
    /// `SQLITE_CANTOPEN` where there is no such file (without
    /// `SQLITE_OPEN_CREATE`) or it cannot be opened, `SQLITE_BUSY` where it
    /// belongs to another owner. [`Vfs::last_error`] tells the cause.
    pub fn connect(self: &Rc<Self>, path: &str, flags: OpenFlags) -> rusqlite::Result<Connection> {
        // What is not a file of this VFS would not keep it alive.
        let flags = flags - OpenFlags::SQLITE_OPEN_URI - OpenFlags::SQLITE_OPEN_MEMORY;
        // Native builds of SQLite take URIs without being asked to.
        let path = match path {
            "" => return Err(self.cannot_open("a database needs a file name")),
            special if special == ":memory:" || special.starts_with("file:") => {
                format!("./{special}").into()
            }
            plain => Cow::from(plain),
        };
        let inner = rusqlite::Connection::open_with_flags_and_vfs(&*path, flags, &*self.name)?;
        inner.busy_timeout(Duration::ZERO)?;
        Ok(Connection {
            inner,
            vfs: Rc::clone(self),
        })
    }

    /// The storage's clock: milliseconds since 1970-01-01 UTC; 0 where the clock fails.
    pub fn now_ms(&self) -> i64 {
        self.instance.epoch_timestamp_in_ms().unwrap_or(0)
    }

    /// Fills `buffer` with the storage's randomness.
    ///
    /// # Errors
    ///
    /// Where the storage has none, or not enough.
    pub fn fill_random(&self, buffer: &mut [u8]) -> VfsResult<()> {
        if self.instance.random(buffer) == buffer.len() {
            Ok(())
        } else {
            Err(VfsError::new(
                VfsErrorCode::Error,
                "no randomness to be had".into(),
            ))
        }
    }

    /// The cause of the last file operation that failed: SQLite's code, a message
    /// with the system's name for the error, and its number where there is one.
    ///
    /// It stays until the next failure, so compare its code with the error at hand.
    pub fn last_error(&self) -> Option<VfsError> {
        Store::last_error(&self.instance)
    }

    /// What the caches of these connections did, and those of all that are closed.
    pub(crate) fn cache_figures<'a>(
        &self,
        open: impl Iterator<Item = &'a Connection>,
    ) -> CacheFigures {
        open.fold(self.closed_caches.get(), |sum, connection| {
            add(sum, figures::cache_figures(connection))
        })
    }

    fn cannot_open(&self, message: &'static str) -> rusqlite::Error {
        let error = VfsError::new(VfsErrorCode::CantOpen, message.into());
        let code = error.raw_code();
        Store::record_error(&self.instance, error);
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(message.into()))
    }
}

impl fmt::Debug for Vfs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Vfs")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Vfs {
    fn drop(&mut self) {
        // Beside this `Vfs` and its registration, only open files hold the instance.
        let files_are_open = Rc::strong_count(&self.instance) > 2;
        if files_are_open {
            // A connection was moved out of its `Connection`, or could not be
            // closed. SQLite still calls us for it, so the callbacks must stay.
            return;
        }
        if let Some(registration) = self.registration.take() {
            // SAFETY: no file is open, and a connection of this VFS has its main
            // file open all its life: the name is known to `connect` alone, which
            // opens nothing but files. SQLite takes its own lock on the registry.
            let _ = unsafe { registration.unregister() };
        }
    }
}

/// A name that no other VFS of the process has and no other code can guess.
fn unique_name(instance: &Instance) -> String {
    static REGISTERED: AtomicU64 = AtomicU64::new(0);
    let number = REGISTERED.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 8];
    instance.random(&mut random);
    format!("chatstore-{number}-{:016x}", u64::from_le_bytes(random))
}

/// A [`rusqlite::Connection`] that keeps its [`Vfs`] registered.
///
/// Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    // Closed before the VFS may go: fields are dropped in order.
    inner: rusqlite::Connection,
    vfs: Rc<Vfs>,
}

impl Connection {
    /// The VFS that the connection was opened through.
    pub fn vfs(&self) -> &Rc<Vfs> {
        &self.vfs
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let closed = &self.vfs.closed_caches;
        closed.set(add(closed.get(), figures::cache_figures(&self.inner)));
    }
}

fn add(one: CacheFigures, other: CacheFigures) -> CacheFigures {
    std::array::from_fn(|at| one[at] + other[at])
}

impl Deref for Connection {
    type Target = rusqlite::Connection;

    fn deref(&self) -> &rusqlite::Connection {
        &self.inner
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut rusqlite::Connection {
        &mut self.inner
    }
}
