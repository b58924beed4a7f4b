//! What the VFS asks of a place that holds files.
//!
//! A storage knows names and bytes. It knows nothing of SQLite's locks, of the
//! WAL index or of the other connections: those live above it, in one place for
//! all storages. Every position is a `u64` that the caller has checked against
//! the signed 64-bit range; a storage with a lower limit answers with an error
//! and never wraps.

use std::rc::Rc;

use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};

/// How a file is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenMode {
    /// Create the file, empty, where there is none. Without it a missing file is an error.
    pub create: bool,
    /// With `create`: a file that is already there is an error.
    pub exclusive: bool,
    /// Open for reading only. Never together with `create`.
    pub read_only: bool,
    /// This is a main database. A storage that shares its place with other
    /// processes takes its lock against them here, and gives it back when the
    /// [`RawFile`] is dropped.
    pub main_database: bool,
}

/// One open file of a [`Storage`]; closed when dropped.
pub trait RawFile: 'static {
    /// Fills `buffer` from `offset_bytes` as far as the file goes and gives the
    /// count. A count below the buffer's length means that the file ends there,
    /// so an interrupted or partial read is continued, not returned.
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize>;

    /// Writes all of `bytes` at `offset_bytes`, or fails. A gap between the old
    /// end and `offset_bytes` reads as zeros. A place that has no room answers
    /// with [`rsqlite_vfs::VfsErrorCode::Full`].
    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()>;

    /// Cuts the file to `size_bytes`, which is at most its size.
    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()>;

    /// Returns once everything written so far survives a loss of power.
    /// `data_only`: times and the like need not.
    fn sync(&mut self, data_only: bool) -> VfsResult<()>;

    /// Size in bytes.
    fn size_bytes(&self) -> VfsResult<u64>;

    /// Sets the time of the last change, in milliseconds since 1970-01-01 UTC, and
    /// gives whether [`Storage::modified_ms`] will answer with exactly that.
    /// A storage that keeps no times answers `false`, which is the default.
    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        let _ = modified_ms;
        Ok(false)
    }
}

/// What a change of a file comes to that is open for reading only.
pub(super) fn refuse_write_if(read_only: bool) -> VfsResult<()> {
    if read_only {
        return Err(VfsError::new(
            VfsErrorCode::ReadOnly,
            "the file is open for reading only".into(),
        ));
    }
    Ok(())
}

/// [`RawFile::read_at`] for who relies on the count: a place that is broken, or a host that does not
/// know of a limit, may claim to have given more than it was asked for.
pub(crate) fn read_at_most(
    file: &mut dyn RawFile,
    buffer: &mut [u8],
    offset_bytes: u64,
) -> VfsResult<usize> {
    let asked_bytes = buffer.len();
    match file.read_at(buffer, offset_bytes)? {
        read_bytes if read_bytes <= asked_bytes => Ok(read_bytes),
        read_bytes => Err(VfsError::new(
            VfsErrorCode::IoRead,
            format!("a read gave {read_bytes} bytes where {asked_bytes} were asked for").into(),
        )),
    }
}

/// A place that holds files: memory, a native file system, `node:fs`.
///
/// The VFS opens each path once and shares the [`RawFile`] among its
/// connections, so a storage never sees a second open of a path it has open.
pub trait Storage: 'static {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`ReadOnly`](rsqlite_vfs::VfsErrorCode::ReadOnly) where the file could be
    /// opened, but not for writing (the VFS then tries again with `read_only`),
    /// [`Busy`](rsqlite_vfs::VfsErrorCode::Busy) where another owner has the main
    /// database, [`CantOpen`](rsqlite_vfs::VfsErrorCode::CantOpen) otherwise.
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>>;

    /// Removes a file; with `sync_directory` the removal survives a loss of power.
    ///
    /// # Errors
    ///
    /// [`IoDeleteNoEntry`](rsqlite_vfs::VfsErrorCode::IoDeleteNoEntry) where there is none.
    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()>;

    /// Makes the name of a file in its directory survive a loss of power.
    ///
    /// Called after the first sync of a file since it was opened. A storage
    /// without directories has nothing to do, which is the default.
    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        let _ = path;
        Ok(())
    }

    /// Whether there is a file of that name. A failure to find out is an error,
    /// never `false`.
    fn exists(&self, path: &str) -> VfsResult<bool>;

    /// The one name of a file: absolute, links resolved. The file need not exist,
    /// its directory must.
    fn full_path(&self, path: &str) -> VfsResult<String>;

    /// When the file was last changed, to the nearest millisecond since 1970-01-01
    /// UTC. `None` where there is no such file, or where no times are kept, which
    /// is the default.
    fn modified_ms(&self, path: &str) -> VfsResult<Option<i64>> {
        let _ = path;
        Ok(None)
    }

    /// What tells the file at `path` from any other that takes its place, while
    /// one of the two exists: device and inode, say. `None` where there is no such
    /// file, or where files have no identity, which is the default.
    fn identity(&self, path: &str) -> VfsResult<Option<String>> {
        let _ = path;
        Ok(None)
    }

    /// Bytes that are kept back for when there is no other room: what stands in a log needs as much again
    /// before anything can be deleted. 0, which is the default, for a storage that keeps none.
    fn reserve_bytes(&self) -> u64 {
        0
    }

    /// Whether that room is kept back; tries to, where it is not.
    fn hold_reserve(&self) -> bool {
        true
    }

    /// Gives that room to whoever writes next.
    fn release_reserve(&self) {}

    /// Clock, randomness and sleep.
    fn os(&self) -> &dyn OsCallback;
}

/// A storage that several VFSs use one after the other, or in tests at once.
impl<S: Storage + ?Sized> Storage for Rc<S> {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        (**self).open(path, mode)
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        (**self).delete(path, sync_directory)
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        (**self).sync_directory(path)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        (**self).exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        (**self).full_path(path)
    }

    fn modified_ms(&self, path: &str) -> VfsResult<Option<i64>> {
        (**self).modified_ms(path)
    }

    fn identity(&self, path: &str) -> VfsResult<Option<String>> {
        (**self).identity(path)
    }

    fn reserve_bytes(&self) -> u64 {
        (**self).reserve_bytes()
    }

    fn hold_reserve(&self) -> bool {
        (**self).hold_reserve()
    }

    fn release_reserve(&self) {
        (**self).release_reserve();
    }

    fn os(&self) -> &dyn OsCallback {
        (**self).os()
    }
}
