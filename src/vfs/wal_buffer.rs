//! Frames of a WAL on their way to the file: held back, and written at once.
//!
//! SQLite writes each frame in two calls, and a transaction frame by frame. Here
//! the frames of a transaction gather in memory and go to the file in one write,
//! inside of the very call that completes the commit frame: a failure reaches
//! SQLite while it can still take the transaction back.
//!
//! - What SQLite reads is always what it wrote, held back or not.
//! - No call returns while a whole commit frame is held: a commit that SQLite
//!   takes for written is in the file. So what is held belongs to an open
//!   transaction, or to one that was rolled back.
//! - SQLite writes a frame's header where its last valid frame ends. So a header
//!   in the midst of what is held makes all behind it void: that was rolled back.
//! - Held are whole runs of frames in order only. Whatever SQLite writes elsewhere
//!   (a page once more, in a frame that went to the file already; checksums that
//!   it computes anew after the commit frame) goes through to the file.
//! - After a write of a commit that failed nothing is held, and the file is cut to
//!   where that write began: no part of the transaction is left to be found by the
//!   next owner. SQLite rolls it back and begins again at the same place.
//! - Before a sync, and at [`SPILL_BYTES`], what is held is written. Where that
//!   fails it stays held, since it may not be its writer who hears of it.
//!
//! It must not know what the pages mean, nor which of them are committed but by
//! the size of the database in a frame's header.

use rsqlite_vfs::{VfsError, VfsErrorCode, VfsResult};

use super::figures::as_u64;
use super::storage::RawFile;

/// Frames of an open transaction are written when they reach this size.
pub(super) const SPILL_BYTES: usize = 4 * 1024 * 1024;
/// Memory that is kept for the next transaction.
const KEPT_BYTES: usize = 512 * 1024;

/// Length of the header of a WAL.
pub(super) const WAL_HEADER_BYTES: usize = 32;
/// Length of the header before each page.
pub(super) const FRAME_HEADER_BYTES: usize = 24;

/// A WAL whose frames are written a transaction at a time.
pub(super) struct WalBuffer {
    inner: Box<dyn RawFile>,
    /// `None` until the WAL has a header that says it. Then nothing is held.
    page_bytes: Option<usize>,
    /// Where in the file `held` belongs; of no meaning while it is empty.
    start: u64,
    held: Vec<u8>,
    /// The end of all that was written since the header. Before it a frame's
    /// header may come alone, for a page that is there already.
    written_end: u64,
}

/// What to do with a write.
enum Way {
    /// The header of the WAL: a new generation begins, and what was held is void.
    Restart,
    /// It goes on where the held frames end, or begins a run of frames.
    Append,
    /// It replaces held bytes from this index.
    Replace(usize),
    Through,
}

impl WalBuffer {
    /// Over a WAL as it lies there, perhaps empty.
    pub fn new(mut inner: Box<dyn RawFile>) -> VfsResult<Self> {
        let mut header = [0; WAL_HEADER_BYTES];
        let read = inner.read_at(&mut header, 0)?;
        Ok(Self {
            page_bytes: page_bytes(&header[..read]),
            inner,
            start: 0,
            held: Vec::new(),
            // SQLite goes back only to frames that it wrote itself, through this file.
            written_end: 0,
        })
    }

    fn end(&self) -> u64 {
        self.start + as_u64(self.held.len())
    }

    fn frame_bytes(&self) -> Option<u64> {
        self.page_bytes
            .map(|page_bytes| as_u64(page_bytes + FRAME_HEADER_BYTES))
    }

    /// The beginning of the frame that a position is in.
    fn frame_start(&self, offset_bytes: u64) -> Option<u64> {
        let beyond_header = offset_bytes.checked_sub(as_u64(WAL_HEADER_BYTES))?;
        Some(offset_bytes - beyond_header % self.frame_bytes()?)
    }

    /// Where `bytes` lie in what is held, if all of them do.
    fn held_index(&self, offset_bytes: u64, length: usize) -> Option<usize> {
        let index = usize::try_from(offset_bytes.checked_sub(self.start)?).ok()?;
        let fits = index.checked_add(length)? <= self.held.len();
        fits.then_some(index)
    }

    /// Drops what was held from a position on.
    fn forget_from(&mut self, offset_bytes: u64) {
        let kept = offset_bytes.saturating_sub(self.start);
        if let Ok(kept) = usize::try_from(kept) {
            self.held.truncate(kept);
        }
    }

    fn is_frame_header(&self, bytes: &[u8], offset_bytes: u64) -> bool {
        bytes.len() == FRAME_HEADER_BYTES && self.frame_start(offset_bytes) == Some(offset_bytes)
    }

    fn way(&self, bytes: &[u8], offset_bytes: u64) -> Way {
        if offset_bytes == 0 && bytes.len() == WAL_HEADER_BYTES {
            return Way::Restart;
        }
        let goes_on = if self.is_frame_header(bytes, offset_bytes) {
            if self.held.is_empty() {
                offset_bytes >= self.written_end
            } else {
                offset_bytes == self.end()
            }
        } else {
            let is_page_of = |header: u64| {
                Some(bytes.len()) == self.page_bytes && self.frame_start(header) == Some(header)
            };
            offset_bytes == self.end()
                && self.held.len() >= FRAME_HEADER_BYTES
                && is_page_of(offset_bytes - as_u64(FRAME_HEADER_BYTES))
        };
        if goes_on {
            return Way::Append;
        }
        match self.held_index(offset_bytes, bytes.len()) {
            Some(index) if !self.held.is_empty() => Way::Replace(index),
            _ => Way::Through,
        }
    }

    /// Whether the frame around a position is held whole and ends a transaction.
    fn completes_a_commit(&self, offset_bytes: u64) -> bool {
        let held_frame = || {
            let start = self.frame_start(offset_bytes)?;
            let length = usize::try_from(self.frame_bytes()?).ok()?;
            let index = self.held_index(start, length)?;
            self.held.get(index..index + FRAME_HEADER_BYTES)
        };
        // The size of the database after a commit; 0 in all other frames.
        held_frame().is_some_and(|header| header[4..8] != [0; 4])
    }

    /// Writes what is held. Where that fails it stays held.
    fn hand_over(&mut self) -> VfsResult<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.inner.write_at(&self.held, self.start)?;
        self.written_end = self.written_end.max(self.end());
        self.forget_from(self.start);
        self.held.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// Writes what is held, a commit frame at its end. Where that fails, even by a
    /// panic of the storage, it is not held any more.
    fn commit(&mut self) -> VfsResult<()> {
        let held = std::mem::take(&mut self.held);
        let end = self.start + as_u64(held.len());
        let written = self.inner.write_at(&held, self.start);
        match written {
            Ok(()) => self.written_end = self.written_end.max(end),
            Err(_) => self.abandon(self.start),
        }
        self.held = held;
        self.held.clear();
        self.held.shrink_to(KEPT_BYTES);
        written
    }

    /// Takes a failed transaction's frames from the file, as far as that succeeds:
    /// the error at hand says more than one of cutting.
    fn abandon(&mut self, start: u64) {
        let _ = self.cut_to(start);
        self.written_end = self.written_end.min(start);
    }

    fn cut_to(&mut self, size_bytes: u64) -> VfsResult<()> {
        if self.inner.size_bytes()? > size_bytes {
            self.inner.truncate(size_bytes)?;
        }
        Ok(())
    }

    fn write_through(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let end = offset_bytes + as_u64(bytes.len());
        if offset_bytes < self.end() && self.start < end {
            self.hand_over()?;
        }
        let written = self.inner.write_at(bytes, offset_bytes);
        match (&written, self.frame_start(offset_bytes)) {
            (Ok(()), _) => self.written_end = self.written_end.max(end),
            // SQLite writes over frames of its open transaction only.
            (Err(_), Some(start)) => self.abandon(start),
            (Err(_), None) => {}
        }
        written
    }
}

impl RawFile for WalBuffer {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        if self.held.is_empty() {
            return self.inner.read_at(buffer, offset_bytes);
        }
        if let Some(index) = self.held_index(offset_bytes, buffer.len()) {
            buffer.copy_from_slice(&self.held[index..index + buffer.len()]);
            return Ok(buffer.len());
        }
        let (end, wanted_end) = (self.end(), offset_bytes + as_u64(buffer.len()));
        let mut count = self.inner.read_at(buffer, offset_bytes)?;
        // Between the file's end and the held bytes lie zeros.
        let logical_end = wanted_end.min(end);
        let logical = logical_end.saturating_sub(offset_bytes);
        let logical = usize::try_from(logical).map_err(|_| out_of_range())?;
        if logical > count {
            buffer[count..logical].fill(0);
            count = logical;
        }
        let (from, to) = (offset_bytes.max(self.start), logical_end);
        if from < to {
            let index = |position: u64, base: u64| {
                usize::try_from(position - base).map_err(|_| out_of_range())
            };
            let target = index(from, offset_bytes)?..index(to, offset_bytes)?;
            let source = index(from, self.start)?..index(to, self.start)?;
            buffer[target].copy_from_slice(&self.held[source]);
        }
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        if self.is_frame_header(bytes, offset_bytes) {
            self.forget_from(offset_bytes);
        }
        match self.way(bytes, offset_bytes) {
            Way::Through => return self.write_through(bytes, offset_bytes),
            Way::Replace(index) => {
                self.held[index..index + bytes.len()].copy_from_slice(bytes);
            }
            way => {
                if matches!(way, Way::Restart) {
                    self.forget_from(0);
                    self.page_bytes = page_bytes(bytes);
                    self.written_end = 0;
                }
                if self.held.try_reserve(bytes.len()).is_err() {
                    self.hand_over()?;
                    return self.write_through(bytes, offset_bytes);
                }
                if self.held.is_empty() {
                    self.start = offset_bytes;
                }
                self.held.extend_from_slice(bytes);
            }
        }
        if self.completes_a_commit(offset_bytes) {
            return self.commit();
        }
        let ends_a_frame = self.frame_start(self.end()) == Some(self.end());
        let is_full = self.held.len() >= SPILL_BYTES && ends_a_frame;
        if is_full || self.page_bytes.is_none() {
            self.hand_over()?;
        }
        Ok(())
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        let lies_beyond = size_bytes <= self.start && size_bytes <= self.inner.size_bytes()?;
        if lies_beyond {
            self.forget_from(size_bytes);
        } else {
            self.hand_over()?;
        }
        self.written_end = self.written_end.min(size_bytes);
        if size_bytes == 0 {
            self.page_bytes = None;
        }
        self.cut_to(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.hand_over()?;
        self.inner.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        let size_bytes = self.inner.size_bytes()?;
        if self.held.is_empty() {
            return Ok(size_bytes);
        }
        Ok(size_bytes.max(self.end()))
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        self.hand_over()?;
        self.inner.set_modified_ms(modified_ms)
    }
}

impl Drop for WalBuffer {
    fn drop(&mut self) {
        // It holds no commit, so no one misses it where this fails.
        let _ = self.hand_over();
    }
}

/// The size of the pages of a WAL, told by its header.
fn page_bytes(header: &[u8]) -> Option<usize> {
    const MAGIC: u32 = 0x377f_0682;
    let word = |at: usize| -> Option<u32> {
        let bytes = header.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    // The lowest bit says in which byte order the checksums are computed.
    let is_wal = word(0)? & !1 == MAGIC;
    let page_bytes = usize::try_from(word(8)?).ok()?;
    let is_page_size = page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes);
    (is_wal && is_page_size).then_some(page_bytes)
}

fn out_of_range() -> VfsError {
    VfsError::new(
        VfsErrorCode::IoRead,
        "position in the WAL out of range".into(),
    )
}
