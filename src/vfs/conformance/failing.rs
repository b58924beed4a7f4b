//! A storage whose WALs fail when told to, as a disk that breaks or is full.

use std::cell::Cell;
use std::rc::Rc;

use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};

use crate::vfs::storage::{OpenMode, RawFile, Storage};

/// How much of a write that fails reaches the storage all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrives {
    /// Not a byte.
    Nothing,
    /// The first half.
    Half,
    /// All of it: only the answer is bad.
    All,
}

/// What fails, while it is set.
#[derive(Default)]
pub struct Plan {
    /// Writes to a WAL.
    pub writes: Cell<Option<(Arrives, VfsErrorCode)>>,
    /// Flushes of a WAL.
    pub syncs: Cell<bool>,
    /// Writes to a WAL that end beyond this position: there is no room.
    pub room_bytes: Cell<Option<u64>>,
}

/// Passes everything on but what the plan says.
pub struct Failing {
    inner: Rc<dyn Storage>,
    plan: Rc<Plan>,
}

impl Failing {
    /// Over a storage; nothing fails at first.
    pub fn new(inner: Rc<dyn Storage>) -> (Self, Rc<Plan>) {
        let plan = Rc::<Plan>::default();
        let failing = Self {
            inner,
            plan: Rc::clone(&plan),
        };
        (failing, plan)
    }
}

impl Storage for Failing {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let inner = self.inner.open(path, mode)?;
        if !path.ends_with("-wal") {
            return Ok(inner);
        }
        Ok(Box::new(FailingFile {
            inner,
            plan: Rc::clone(&self.plan),
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.inner.delete(path, sync_directory)
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        self.inner.sync_directory(path)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.inner.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.inner.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        self.inner.os()
    }
}

struct FailingFile {
    inner: Box<dyn RawFile>,
    plan: Rc<Plan>,
}

impl RawFile for FailingFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.inner.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        if let Some((arrives, code)) = self.plan.writes.get() {
            let arrived = match arrives {
                Arrives::Nothing => 0,
                Arrives::Half => bytes.len() / 2,
                Arrives::All => bytes.len(),
            };
            self.inner.write_at(&bytes[..arrived], offset_bytes)?;
            return Err(VfsError::new(code, "a write failed as planned".into()));
        }
        if let Some(room_bytes) = self.plan.room_bytes.get() {
            let room = usize::try_from(room_bytes.saturating_sub(offset_bytes)).unwrap_or(0);
            if room < bytes.len() {
                self.inner.write_at(&bytes[..room], offset_bytes)?;
                return Err(VfsError::new(
                    VfsErrorCode::Full,
                    "no room, as planned".into(),
                ));
            }
        }
        self.inner.write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.inner.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        if self.plan.syncs.get() {
            return Err(VfsError::new(
                VfsErrorCode::IoSync,
                "a flush failed as planned".into(),
            ));
        }
        self.inner.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.inner.size_bytes()
    }
}
