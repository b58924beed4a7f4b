//! The space of a WAL on the disk: grown ahead, and how much of it is flushed.
//!
//! - A file that grows with each commit makes each flush write its length too.
//!   So zeros are written ahead, for real, and commits overwrite them. SQLite
//!   tells old bytes beyond the last commit from frames by salt and checksum.
//! - Where there is no room ahead, it goes on without: that is no error.
//! - The position from which on bytes may not be on the disk is remembered
//!   beyond the closing of the file, so that what a failed flush left can be cut.

use std::cell::Cell;
use std::rc::Rc;

use rsqlite_vfs::VfsResult;

use super::figures::{Counter, as_u64};
use super::storage::RawFile;

/// A WAL grows ahead by its own size, within these limits.
const LEAST_AHEAD_BYTES: u64 = 256 * 1024;
const MOST_AHEAD_BYTES: u64 = 1024 * 1024;

/// From where on the bytes of a WAL were written since its last flush.
///
/// SQLite goes on where its last commit ends, and begins anew at 0 only when all
/// before is in the database. So what lies before this position is what was
/// flushed of the present generation.
#[derive(Default)]
pub(super) struct Unflushed {
    from: Cell<Option<u64>>,
    torn_from: Cell<Option<u64>>,
}

impl Unflushed {
    /// Everything there is counts as written and flushed.
    pub fn reset(&self) {
        self.from.set(None);
        self.torn_from.set(None);
    }

    /// The position, or `None` where all is flushed.
    pub fn from(&self) -> Option<u64> {
        self.from.get()
    }

    /// Where a write failed that no other has replaced: what stands there was never acknowledged.
    pub fn torn_from(&self) -> Option<u64> {
        self.torn_from.get()
    }

    fn written(&self, offset_bytes: u64) {
        lower(&self.from, offset_bytes);
    }

    fn torn(&self, offset_bytes: u64) {
        lower(&self.torn_from, offset_bytes);
    }

    fn replaced(&self, offset_bytes: u64) {
        let torn_from = self.torn_from.get();
        self.torn_from
            .set(torn_from.filter(|from| *from < offset_bytes));
    }

    fn cut(&self, size_bytes: u64) {
        for position in [&self.from, &self.torn_from] {
            position.set(position.get().map(|from| from.min(size_bytes)));
        }
    }
}

fn lower(position: &Cell<Option<u64>>, to: u64) {
    position.set(Some(position.get().map_or(to, |from| from.min(to))));
}

/// A WAL in its file.
pub(super) struct WalSpace {
    inner: Box<dyn RawFile>,
    counter: Rc<Counter>,
    unflushed: Rc<Unflushed>,
    /// Size of the file; `None` where it has to be asked for.
    size_bytes: Option<u64>,
    grows_ahead: bool,
    /// Whether there was no room ahead, since the last cut.
    is_tight: bool,
}

impl WalSpace {
    pub fn new(
        inner: Box<dyn RawFile>,
        counter: Rc<Counter>,
        unflushed: Rc<Unflushed>,
        grows_ahead: bool,
    ) -> Self {
        Self {
            inner,
            counter,
            unflushed,
            size_bytes: None,
            grows_ahead,
            is_tight: false,
        }
    }

    fn known_size(&mut self) -> VfsResult<u64> {
        match self.size_bytes {
            Some(size_bytes) => Ok(size_bytes),
            None => {
                let size_bytes = self.inner.size_bytes()?;
                self.size_bytes = Some(size_bytes);
                Ok(size_bytes)
            }
        }
    }

    /// Writes zeros from the end of the file on. What fails here fails no one.
    fn grow_ahead(&mut self, end: u64) {
        let ahead_bytes = end.clamp(LEAST_AHEAD_BYTES, MOST_AHEAD_BYTES);
        let mut zeros = Vec::new();
        let Ok(length) = usize::try_from(ahead_bytes) else {
            return;
        };
        if zeros.try_reserve_exact(length).is_err() {
            return;
        }
        zeros.resize(length, 0);
        match self.inner.write_at(&zeros, end) {
            Ok(()) => {
                self.size_bytes = Some(end + ahead_bytes);
                self.counter
                    .count(|figures| figures.preallocated_bytes += ahead_bytes);
            }
            Err(_) => {
                self.is_tight = true;
                // The room that is left is for frames and for the database.
                let cut = self.inner.truncate(end);
                self.size_bytes = cut.is_ok().then_some(end);
            }
        }
    }
}

impl RawFile for WalSpace {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.inner.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let size_bytes = self.known_size()?;
        // Before the attempt: a part of it may arrive.
        self.unflushed.written(offset_bytes);
        self.size_bytes = None;
        self.inner
            .write_at(bytes, offset_bytes)
            .inspect_err(|_| self.unflushed.torn(offset_bytes))?;
        self.unflushed.replaced(offset_bytes);
        let end = offset_bytes + as_u64(bytes.len());
        self.size_bytes = Some(size_bytes.max(end));
        // Not behind a header that begins the log anew: until it is flushed, the cut before it may be
        // lost, and zeros over a part of the old log would leave the rest to be taken for all of it.
        let is_header = offset_bytes == 0;
        if end > size_bytes && self.grows_ahead && !self.is_tight && !is_header {
            self.grow_ahead(end);
        }
        Ok(())
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.size_bytes = None;
        self.inner.truncate(size_bytes)?;
        self.size_bytes = Some(size_bytes);
        self.unflushed.cut(size_bytes);
        self.is_tight = false;
        Ok(())
    }

    fn sync(&mut self, _data_only: bool) -> VfsResult<()> {
        // Its times say nothing, and they would have to be written at each commit.
        self.inner.sync(true)?;
        self.unflushed.from.set(None);
        Ok(())
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        match self.size_bytes {
            Some(size_bytes) => Ok(size_bytes),
            None => self.inner.size_bytes(),
        }
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        self.inner.set_modified_ms(modified_ms)
    }
}
