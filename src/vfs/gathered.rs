//! Pages on their way from the WAL into a database: those that lie side by side are written at once.
//!
//! A checkpoint writes page by page, in the order of their numbers, and a write has a price of its own: in a
//! browser sixteen pages together cost what three cost one by one.
//!
//! - Pages are held back only while a connection has the lock for checkpoints, and only as long as each
//!   follows the one before it. All else that is done with the file writes them first, so nobody ever sees
//!   the file without them, and no flush leaves them out.
//! - The call that fails may be a later one of the same checkpoint, which comes to the same for SQLite: the
//!   checkpoint has failed, and the WAL keeps the pages.
//! - SQLite may end a checkpoint without another call for the file, where a reader still needs what is in the
//!   WAL. It has then noted how far it came; where the last write fails after that, the note is taken back.

use std::cell::RefCell;
use std::rc::Rc;

use rsqlite_vfs::VfsResult;

use super::disk::DiskFile;
use super::figures::as_u64;
use super::storage::RawFile;

/// Pages that are written at once, at most.
const MOST_BYTES: usize = 256 * 1024;

/// A database over its file.
pub(super) struct GatheredFile(Rc<RefCell<Gathered>>);

/// The same file, for whoever knows of checkpoints.
pub(super) struct Checkpoint(Rc<RefCell<Gathered>>);

struct Gathered {
    disk: DiskFile,
    gathers: bool,
    backfilled: u32,
    /// Where `held` belongs; of no meaning while it is empty.
    start: u64,
    held: Vec<u8>,
}

/// A file, and what a checkpoint of it has to be told to.
pub(super) fn gathered(disk: DiskFile) -> (GatheredFile, Checkpoint) {
    let shared = Rc::new(RefCell::new(Gathered {
        disk,
        gathers: false,
        backfilled: 0,
        start: 0,
        held: Vec::new(),
    }));
    (GatheredFile(Rc::clone(&shared)), Checkpoint(shared))
}

impl Checkpoint {
    /// `backfilled`: how much of the WAL is in the file, as SQLite has noted it.
    pub fn begin(&self, backfilled: u32) {
        let mut file = self.0.borrow_mut();
        file.gathers = true;
        file.backfilled = backfilled;
    }

    /// Where something is still held: how much of the WAL was in the file at the beginning.
    pub fn unfinished(&self) -> Option<u32> {
        let file = self.0.borrow();
        (!file.held.is_empty()).then_some(file.backfilled)
    }

    /// Writes what is held.
    pub fn end(&self) -> VfsResult<()> {
        let mut file = self.0.borrow_mut();
        file.gathers = false;
        let written = file.settle();
        file.held = Vec::new();
        written
    }
}

impl Gathered {
    fn end_bytes(&self) -> u64 {
        self.start + as_u64(self.held.len())
    }

    /// Writes what is held, or gives it up.
    fn settle(&mut self) -> VfsResult<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let written = self.disk.write_at(&self.held, self.start);
        self.held.clear();
        written
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let follows = offset_bytes == self.end_bytes();
        if !follows || self.held.len() + bytes.len() > MOST_BYTES {
            self.settle()?;
        }
        if !self.gathers || self.held.try_reserve(bytes.len()).is_err() {
            self.settle()?;
            return self.disk.write_at(bytes, offset_bytes);
        }
        if self.held.is_empty() {
            self.start = offset_bytes;
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }
}

impl RawFile for GatheredFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        let mut file = self.0.borrow_mut();
        file.settle()?;
        file.disk.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.0.borrow_mut().write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        let mut file = self.0.borrow_mut();
        file.settle()?;
        file.disk.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        let mut file = self.0.borrow_mut();
        file.settle()?;
        file.disk.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        let file = self.0.borrow();
        let size_bytes = file.disk.size_bytes()?;
        Ok(if file.held.is_empty() {
            size_bytes
        } else {
            size_bytes.max(file.end_bytes())
        })
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        self.0.borrow_mut().disk.set_modified_ms(modified_ms)
    }
}
