//! A file of the storage as the layers above meet it: counted, with no trust in a
//! flush after one that failed, and with errors that SQLite takes for what they are.
//!
//! - Systems report the loss of unwritten bytes to one flush and forget it: the
//!   next one succeeds, and the bytes are gone. So after a failure none succeeds
//!   here until the file is closed and opened again.
//! - A change that fails is an I/O error or a full disk. SQLite then gives the
//!   transaction up, which the WAL buffer relies on; after some other codes
//!   (`SQLITE_BUSY`, `SQLITE_NOMEM`) it would go on with it, or try again.
//! - No read gives more than was asked for; the layers above rely on that.

use std::cell::Cell;
use std::rc::Rc;

use rsqlite_vfs::ffi::{SQLITE_FULL, SQLITE_IOERR};
use rsqlite_vfs::{VfsError, VfsErrorCode, VfsResult};

use super::figures::{Counter, as_u64};
use super::storage::{RawFile, read_at_most};

/// The lowest layer, directly over the storage.
pub(super) struct DiskFile {
    inner: Box<dyn RawFile>,
    counter: Rc<Counter>,
    flush_failed: bool,
    /// Asked for once: nobody else changes the file while it is open.
    size_bytes: Cell<Option<u64>>,
}

impl DiskFile {
    pub fn new(inner: Box<dyn RawFile>, counter: Rc<Counter>) -> Self {
        Self {
            inner,
            counter,
            flush_failed: false,
            size_bytes: Cell::new(None),
        }
    }
}

impl RawFile for DiskFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        let read = read_at_most(&mut *self.inner, buffer, offset_bytes);
        self.counter.count(|figures| {
            figures.reads += 1;
            figures.read_bytes += read.as_ref().map_or(0, |&count| as_u64(count));
        });
        read
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.counter.count(|figures| {
            figures.writes += 1;
            figures.written_bytes += as_u64(bytes.len());
        });
        // Unknown where it fails: some of it may be written.
        let size_bytes = self.size_bytes.take();
        self.inner
            .write_at(bytes, offset_bytes)
            .map_err(|error| final_error(error, VfsErrorCode::IoWrite))?;
        let end_bytes = offset_bytes + as_u64(bytes.len());
        self.size_bytes
            .set(size_bytes.map(|size_bytes| size_bytes.max(end_bytes)));
        Ok(())
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.counter.count(|figures| figures.truncations += 1);
        self.size_bytes.set(None);
        self.inner
            .truncate(size_bytes)
            .map_err(|error| final_error(error, VfsErrorCode::IoTruncate))
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        // A panic of the storage is a failure too.
        if std::mem::replace(&mut self.flush_failed, true) {
            return Err(VfsError::new(
                VfsErrorCode::IoSync,
                "an earlier flush of this file failed; it has to be closed and opened again".into(),
            ));
        }
        self.counter.count(|figures| figures.flushes += 1);
        self.inner.sync(data_only).map_err(flush_error)?;
        self.flush_failed = false;
        Ok(())
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        if let Some(size_bytes) = self.size_bytes.get() {
            return Ok(size_bytes);
        }
        let size_bytes = self.inner.size_bytes()?;
        self.size_bytes.set(Some(size_bytes));
        Ok(size_bytes)
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        self.inner.set_modified_ms(modified_ms)
    }
}

/// Never a full disk: SQLite would go on after that, and what was written before the flush may be found
/// by the next owner all the same.
fn flush_error(error: VfsError) -> VfsError {
    match error.raw_code() & 0xff {
        SQLITE_IOERR => error,
        _ => with_code(error, VfsErrorCode::IoSync),
    }
}

fn final_error(error: VfsError, code: VfsErrorCode) -> VfsError {
    const KIND: i32 = 0xff;
    match error.raw_code() & KIND {
        SQLITE_IOERR | SQLITE_FULL => error,
        _ => with_code(error, code),
    }
}

/// The same error under another SQLite code.
fn with_code(error: VfsError, code: VfsErrorCode) -> VfsError {
    let renamed = VfsError::new(code, error.message().to_owned().into());
    match error.system_error() {
        Some(number) => renamed.with_system_error(number),
        None => renamed,
    }
}
