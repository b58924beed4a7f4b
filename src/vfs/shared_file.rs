//! One open file, as all its handles share it: its locks, its WAL index, and the
//! layers between SQLite and the storage that its kind asks for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rsqlite_vfs::{FileKind, VfsError, VfsErrorCode, VfsResult};

use super::checksum::CheckedFile;
use super::disk::DiskFile;
use super::gathered::{Checkpoint, gathered};
use super::instance::Instance;
use super::locks::{HandleId, LockTable};
use super::storage::RawFile;
use super::wal_buffer::WalBuffer;
use super::wal_index::WalIndex;
use super::wal_space::WalSpace;

/// One file of the storage, open once and shared by its handles.
pub(super) struct SharedFile {
    raw: RefCell<Box<dyn RawFile>>,
    /// Of a database.
    checkpoint: Option<Checkpoint>,
    pub read_only: bool,
    /// `None` for an anonymous temporary file.
    pub path: Option<String>,
    /// Whether the file's name is known to be durable. Not so at first, even for
    /// a file that was there: whoever made it may have died before its sync.
    name_is_durable: Cell<bool>,
    pub locks: RefCell<LockTable>,
    pub wal_index: RefCell<WalIndex>,
}

impl SharedFile {
    pub fn new(file: Layered, read_only: bool, path: Option<String>) -> Self {
        Self {
            raw: RefCell::new(file.raw),
            checkpoint: file.checkpoint,
            read_only,
            name_is_durable: Cell::new(path.is_none()),
            path,
            locks: RefCell::default(),
            wal_index: RefCell::default(),
        }
    }

    /// Runs an action on the file. To be called within [`Instance::guarded`].
    pub fn with_raw<T>(
        &self,
        code: VfsErrorCode,
        action: impl FnOnce(&mut dyn RawFile) -> VfsResult<T>,
    ) -> VfsResult<T> {
        let mut raw = self
            .raw
            .try_borrow_mut()
            .map_err(|_| VfsError::new(code, "the storage called back into its own file".into()))?;
        action(&mut **raw)
    }

    /// See [`WalIndex::lock`]. While a handle has the lock for checkpoints, its pages are gathered.
    pub fn lock_wal_index(
        &self,
        handle: HandleId,
        first: i32,
        count: i32,
        flags: i32,
    ) -> VfsResult<()> {
        let mut wal_index = self.wal_index.borrow_mut();
        let Some(checkpoint) = &self.checkpoint else {
            return wal_index.lock(handle, first, count, flags);
        };
        let had_it = wal_index.has_checkpoint_lock(handle);
        let reached = wal_index.backfilled();
        wal_index.lock(handle, first, count, flags)?;
        match (had_it, wal_index.has_checkpoint_lock(handle)) {
            (false, true) => checkpoint.begin(reached),
            (true, false) => {
                // What SQLite has noted holds once it is in the file.
                wal_index.set_backfilled(checkpoint.unfinished().unwrap_or(reached));
                if checkpoint.end().is_ok() {
                    wal_index.set_backfilled(reached);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes the file durable and, the first time, its name. To be called within
    /// [`Instance::guarded`].
    pub fn sync(&self, instance: &Instance, data_only: bool) -> VfsResult<()> {
        self.with_raw(VfsErrorCode::IoSync, |raw| raw.sync(data_only))?;
        if let Some(path) = &self.path
            && !self.name_is_durable.get()
        {
            instance.storage.sync_directory(path)?;
            instance
                .counter
                .count(|figures| figures.directory_flushes += 1);
            self.name_is_durable.set(true);
        }
        Ok(())
    }
}

/// A file with what its kind asks for between it and SQLite.
pub(super) struct Layered {
    raw: Box<dyn RawFile>,
    checkpoint: Option<Checkpoint>,
}

impl Layered {
    /// A file as it is.
    pub fn plain(file: impl RawFile) -> Self {
        Self {
            raw: Box::new(file),
            checkpoint: None,
        }
    }
}

/// Puts between SQLite and a file of the storage what its kind asks for.
pub(super) fn layered(
    instance: &Instance,
    raw: Box<dyn RawFile>,
    path: &str,
    kind: Option<FileKind>,
) -> VfsResult<Layered> {
    let disk = DiskFile::new(raw, Rc::clone(&instance.counter));
    Ok(match kind {
        Some(FileKind::MainDb) => {
            let (file, checkpoint) = gathered(disk);
            let raw: Box<dyn RawFile> = if instance.options.checksums {
                Box::new(CheckedFile::new(
                    Box::new(file),
                    instance.checks(path),
                    path,
                ))
            } else {
                Box::new(file)
            };
            Layered {
                raw,
                checkpoint: Some(checkpoint),
            }
        }
        Some(FileKind::Wal) => {
            let space = WalSpace::new(
                Box::new(disk),
                Rc::clone(&instance.counter),
                instance.unflushed(path),
                instance.options.wal_preallocation,
            );
            if instance.options.wal_buffer {
                Layered::plain(WalBuffer::new(Box::new(space))?)
            } else {
                Layered::plain(space)
            }
        }
        _ => Layered::plain(disk),
    })
}
