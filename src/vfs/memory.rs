//! Files in memory: a storage of its own, and the temporary files of every other.
//!
//! Nothing is kept beyond the storage's life and a sync has nothing to do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rsqlite_vfs::{
    MemChunksFile, OsCallback, SyncMode, SyncOptions, VfsError, VfsErrorCode, VfsFile, VfsResult,
};

use super::os::SystemOs;
use super::storage::{OpenMode, RawFile, Storage, refuse_write_if};

/// Large enough that a big file is few allocations, small enough for a small one.
const CHUNK_BYTES: usize = 64 * 1024;

/// Files in the memory of this process or wasm instance.
///
/// Names are taken as they are, but for a leading `./`: there are no directories. A file holds at most
/// [`MemoryStorage::MAX_FILE_SIZE_BYTES`]; more is `SQLITE_FULL`. Memory that
/// cannot be had is `SQLITE_NOMEM`.
///
/// ```
/// use chatstore::vfs::{MemoryStorage, Vfs};
/// use rusqlite::OpenFlags;
///
/// let vfs = Vfs::register(MemoryStorage::default())?;
/// let connection = vfs.connect("notes.db", OpenFlags::default())?;
/// connection.execute_batch("CREATE TABLE note (text); INSERT INTO note VALUES ('kept')")?;
/// drop(connection);
///
/// let again = vfs.connect("notes.db", OpenFlags::default())?;
/// let text: String = again.query_row("SELECT text FROM note", [], |row| row.get(0))?;
/// assert_eq!(text, "kept");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct MemoryStorage {
    files: RefCell<BTreeMap<String, Rc<RefCell<MemoryFile>>>>,
    os: SystemOs,
}

impl MemoryStorage {
    /// The most bytes one file can hold: 2 GiB. Writing a single byte far beyond
    /// the end fills everything before it, and wasm memory never shrinks again.
    pub const MAX_FILE_SIZE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let mut files = self.files.borrow_mut();
        let file = match files.get(path) {
            Some(_) if mode.create && mode.exclusive => {
                return Err(cannot_open(path, "exists"));
            }
            Some(file) => Rc::clone(file),
            None if mode.create => {
                let file = Rc::new(RefCell::new(MemoryFile::default()));
                files.insert(path.into(), Rc::clone(&file));
                file
            }
            None => return Err(cannot_open(path, "does not exist")),
        };
        Ok(Box::new(SharedMemoryFile {
            file,
            read_only: mode.read_only,
        }))
    }

    fn delete(&self, path: &str, _sync_directory: bool) -> VfsResult<()> {
        match self.files.borrow_mut().remove(path) {
            Some(_) => Ok(()),
            None => Err(VfsError::new(
                VfsErrorCode::IoDeleteNoEntry,
                format!("the file {path:?} does not exist").into(),
            )),
        }
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        Ok(self.files.borrow().contains_key(path))
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        match path.trim_start_matches("./") {
            "" => Err(cannot_open(path, "has no name")),
            name => Ok(name.into()),
        }
    }

    fn os(&self) -> &dyn OsCallback {
        &self.os
    }
}

/// A named file outlives its handles.
struct SharedMemoryFile {
    file: Rc<RefCell<MemoryFile>>,
    read_only: bool,
}

impl RawFile for SharedMemoryFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.file.borrow_mut().read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        refuse_write_if(self.read_only)?;
        self.file.borrow_mut().write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        refuse_write_if(self.read_only)?;
        self.file.borrow_mut().truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.file.borrow_mut().sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.file.borrow().size_bytes()
    }
}

/// The bytes of one file in memory.
pub(super) struct MemoryFile {
    chunks: MemChunksFile,
}

impl Default for MemoryFile {
    fn default() -> Self {
        Self {
            chunks: MemChunksFile::new(CHUNK_BYTES),
        }
    }
}

impl RawFile for MemoryFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.chunks.read(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let fits = u64::try_from(bytes.len())
            .ok()
            .and_then(|length_bytes| offset_bytes.checked_add(length_bytes))
            .is_some_and(|end| end <= MemoryStorage::MAX_FILE_SIZE_BYTES);
        if !fits {
            return Err(VfsError::new(
                VfsErrorCode::Full,
                "a file in memory holds at most 2 GiB".into(),
            ));
        }
        self.chunks.write(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.chunks.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.chunks.sync(SyncOptions {
            mode: SyncMode::Normal,
            data_only,
        })
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.chunks.size()
    }
}

fn cannot_open(path: &str, what: &str) -> VfsError {
    VfsError::new(
        VfsErrorCode::CantOpen,
        format!("the file {path:?} {what}").into(),
    )
}
