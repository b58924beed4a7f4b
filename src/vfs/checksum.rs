//! Checksums of the pages of a database file.
//!
//! A file whose header reserves 8 bytes a page carries in them the checksum of
//! the rest of the page, as SQLite's own `cksumvfs` extension computes it: so
//! other programs that load the extension can verify the file too.
//!
//! - A page is stamped on its way to the file, in a copy: SQLite's memory is
//!   never touched. It is verified on its way back.
//! - Every page counts, with no exception for a trailer of zeros: only a page of
//!   nothing but zeros has that checksum.
//! - A file that comes to have checksums (its first page is written, or `VACUUM`
//!   has made room or changed the size of pages, which it writes by pieces) has
//!   all its pages stamped when it is flushed, and is not verified until then.
//! - Frames of a WAL and pages in a rollback journal are not looked at: they have
//!   checksums of their own, and get here when they move to the database.
//! - Programs without the extension leave stale trailers. What is to be made of
//!   that is the policy of the caller.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use rsqlite_vfs::ffi::SQLITE_IOERR_DATA;
use rsqlite_vfs::{VfsError, VfsErrorCode, VfsResult};

use super::figures::as_u64;
use super::storage::RawFile;

/// Bytes at the end of each page that hold its checksum.
pub(crate) const TRAILER_BYTES: usize = 8;
/// SQLite locks bytes from this position on; the page around it holds nothing.
const LOCK_POSITION: u64 = 1 << 30;
/// How many damaged pages are named. The count goes on.
const MOST_NAMED: usize = 1000;

/// What a page that does not match its checksum means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumPolicy {
    /// Its read fails with `SQLITE_IOERR_DATA`.
    #[default]
    Verify,
    /// It is noted, and its read goes on.
    Lenient,
    /// Nothing is verified. Pages are stamped all the same.
    Off,
}

/// Pages of one file that did not match their checksums.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DamagedPages {
    /// Their numbers, from 1, in order; the first 1000 that were met.
    pub pages: Vec<u32>,
    /// How many reads met one. A page read twice counts twice.
    pub reads: u64,
    /// The one that was met last.
    pub last: Option<u32>,
}

/// Whether a whole page matches the checksum in its last 8 bytes.
pub(crate) fn verify_page(page: &[u8]) -> bool {
    let Some((content, trailer)) = page.split_last_chunk::<TRAILER_BYTES>() else {
        return false;
    };
    *trailer == checksum(content)
}

/// Writes the checksum of a whole page into its last 8 bytes.
pub(crate) fn stamp_page(page: &mut [u8]) {
    if let Some((content, trailer)) = page.split_last_chunk_mut::<TRAILER_BYTES>() {
        *trailer = checksum(content);
    }
}

/// Two sums over words of 32 bits, each fed by the other, so that order counts.
fn checksum(content: &[u8]) -> [u8; TRAILER_BYTES] {
    let (mut first, mut second) = (0_u32, 0_u32);
    for pair in content.chunks_exact(8) {
        let word =
            |at: usize| u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]);
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    let mut sums = [0; TRAILER_BYTES];
    sums[..4].copy_from_slice(&first.to_le_bytes());
    sums[4..].copy_from_slice(&second.to_le_bytes());
    sums
}

/// The size of the pages of a file whose header says that they have checksums.
pub(crate) fn checked_page_bytes(header: &[u8]) -> Option<usize> {
    let is_checked = header.starts_with(b"SQLite format 3\0")
        && header.get(20).map(|&reserved| usize::from(reserved)) == Some(TRAILER_BYTES);
    if !is_checked {
        return None;
    }
    let page_bytes = match usize::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        page_bytes => page_bytes,
    };
    (page_bytes.is_power_of_two() && page_bytes >= 512).then_some(page_bytes)
}

/// What is known of the pages of one file, beyond its closing.
#[derive(Default)]
pub(super) struct PageChecks {
    policy: Cell<ChecksumPolicy>,
    named: RefCell<BTreeSet<u32>>,
    reads: Cell<u64>,
    last: Cell<Option<u32>>,
}

impl PageChecks {
    /// Gives the policy that was there before.
    pub fn set_policy(&self, policy: ChecksumPolicy) -> ChecksumPolicy {
        self.policy.replace(policy)
    }

    pub fn damaged(&self) -> DamagedPages {
        DamagedPages {
            pages: self.named.borrow().iter().copied().collect(),
            reads: self.reads.get(),
            last: self.last.get(),
        }
    }

    pub fn forget_damage(&self) {
        self.named.borrow_mut().clear();
        self.reads.set(0);
        self.last.set(None);
    }

    fn note(&self, page: u32) {
        self.reads.set(self.reads.get().saturating_add(1));
        self.last.set(Some(page));
        let mut named = self.named.borrow_mut();
        if named.len() < MOST_NAMED {
            named.insert(page);
        }
    }
}

/// A database file whose pages are stamped and verified.
pub(super) struct CheckedFile {
    inner: Box<dyn RawFile>,
    checks: Rc<PageChecks>,
    path: String,
    layout: Layout,
    /// Whether pages may lack their checksums, by writes that were no whole pages
    /// of the file as it is now.
    is_stale: bool,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// To be read from the file's header.
    Unknown,
    Plain,
    Checked {
        page_bytes: usize,
    },
}

const HEADER_BYTES: usize = 100;

impl CheckedFile {
    pub fn new(inner: Box<dyn RawFile>, checks: Rc<PageChecks>, path: &str) -> Self {
        Self {
            inner,
            checks,
            path: path.into(),
            layout: Layout::Unknown,
            is_stale: false,
            scratch: Vec::new(),
        }
    }

    /// The size of the pages, where they have checksums.
    fn page_bytes(&mut self) -> VfsResult<Option<usize>> {
        if self.layout == Layout::Unknown {
            let mut header = [0; HEADER_BYTES];
            let read = self.inner.read_at(&mut header, 0)?;
            self.layout = Layout::of(&header[..read]);
        }
        Ok(match self.layout {
            Layout::Checked { page_bytes } => Some(page_bytes),
            Layout::Plain | Layout::Unknown => None,
        })
    }

    /// Stamps what is stale.
    fn settle(&mut self) -> VfsResult<()> {
        if self.is_stale {
            reseal(&mut *self.inner)?;
            self.is_stale = false;
        }
        Ok(())
    }

    /// Notes, or refuses, a page that does not match.
    fn judge(&self, page: &[u8], number: u64) -> VfsResult<()> {
        if verify_page(page) {
            return Ok(());
        }
        self.checks.note(u32::try_from(number).unwrap_or(u32::MAX));
        if self.checks.policy.get() == ChecksumPolicy::Lenient {
            return Ok(());
        }
        Err(VfsError::new(
            VfsErrorCode::from_raw(SQLITE_IOERR_DATA).unwrap_or(VfsErrorCode::Io),
            format!(
                "page {number} of {:?} does not match its checksum",
                self.path
            )
            .into(),
        ))
    }

    /// The page of scratch memory. To be put back after use.
    fn scratch(&mut self, page_bytes: usize) -> VfsResult<Vec<u8>> {
        if self.scratch.len() == page_bytes {
            return Ok(std::mem::take(&mut self.scratch));
        }
        page_of_zeros(page_bytes)
    }

    /// Reads a piece of a page, having verified all of it.
    fn read_piece(
        &mut self,
        buffer: &mut [u8],
        offset_bytes: u64,
        page_bytes: usize,
    ) -> VfsResult<usize> {
        let (number, within) = place(offset_bytes, page_bytes)?;
        let mut page = self.scratch(page_bytes)?;
        let count = self
            .inner
            .read_at(&mut page, offset_bytes - as_u64(within))?;
        if count == page_bytes {
            self.judge(&page, number)?;
        }
        let given = count.saturating_sub(within).min(buffer.len());
        buffer[..given].copy_from_slice(&page[within..within + given]);
        self.scratch = page;
        Ok(given)
    }
}

/// Stamps each page of a file that does not match, and gives their count. Only
/// trailers are written, so no content is at risk. `raw` must not verify.
pub(super) fn reseal(raw: &mut dyn RawFile) -> VfsResult<u64> {
    let mut header = [0; HEADER_BYTES];
    let read = raw.read_at(&mut header, 0)?;
    let Some(page_bytes) = checked_page_bytes(&header[..read]) else {
        return Ok(0);
    };
    let mut page = page_of_zeros(page_bytes)?;
    let step = as_u64(page_bytes);
    let pages = raw.size_bytes()? / step;
    let mut stamped = 0;
    for offset_bytes in (0..pages).map(|index| index * step) {
        let count = raw.read_at(&mut page, offset_bytes)?;
        let is_lock_page = (offset_bytes..offset_bytes + step).contains(&LOCK_POSITION);
        if count < page_bytes || is_lock_page || verify_page(&page) {
            continue;
        }
        let (content, _) = page.split_at(page_bytes - TRAILER_BYTES);
        raw.write_at(&checksum(content), offset_bytes + as_u64(content.len()))?;
        stamped += 1;
    }
    Ok(stamped)
}

fn page_of_zeros(page_bytes: usize) -> VfsResult<Vec<u8>> {
    let mut page = Vec::new();
    page.try_reserve_exact(page_bytes)
        .map_err(|_| VfsError::new(VfsErrorCode::NoMemory, "no memory for a page".into()))?;
    page.resize(page_bytes, 0);
    Ok(page)
}

impl Layout {
    fn of(header: &[u8]) -> Self {
        match checked_page_bytes(header) {
            Some(page_bytes) => Self::Checked { page_bytes },
            None => Self::Plain,
        }
    }
}

impl RawFile for CheckedFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        let checked = match self.checks.policy.get() {
            ChecksumPolicy::Verify | ChecksumPolicy::Lenient if !self.is_stale => {
                self.page_bytes()?
            }
            _ => None,
        };
        let Some(page_bytes) = checked else {
            return self.inner.read_at(buffer, offset_bytes);
        };
        let (number, within) = place(offset_bytes, page_bytes)?;
        if within == 0 && buffer.len() == page_bytes {
            let count = self.inner.read_at(buffer, offset_bytes)?;
            if count == page_bytes {
                self.judge(buffer, number)?;
            }
            return Ok(count);
        }
        // The first bytes of a file are looked at before anything is trusted.
        let is_piece = number > 1 && within + buffer.len() <= page_bytes;
        if is_piece {
            return self.read_piece(buffer, offset_bytes, page_bytes);
        }
        self.inner.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let before = self.page_bytes()?;
        let is_header = offset_bytes < as_u64(HEADER_BYTES);
        let now = if offset_bytes == 0 && bytes.len() >= HEADER_BYTES {
            checked_page_bytes(bytes)
        } else {
            before
        };
        if is_header {
            // Whatever comes of this write, the file is asked again.
            self.layout = Layout::Unknown;
        }
        let end = offset_bytes + as_u64(bytes.len());
        let ends_a_page = now.is_some_and(|page_bytes| end.is_multiple_of(as_u64(page_bytes)));
        if ends_a_page && now == Some(bytes.len()) {
            let mut page = self.scratch(bytes.len())?;
            page.copy_from_slice(bytes);
            stamp_page(&mut page);
            self.inner.write_at(&page, offset_bytes)?;
            self.scratch = page;
        } else {
            let is_trailer = ends_a_page && bytes.len() == TRAILER_BYTES;
            self.is_stale |= now.is_some() && !is_trailer;
            self.inner.write_at(bytes, offset_bytes)?;
        }
        if offset_bytes == 0 && bytes.len() >= HEADER_BYTES {
            self.layout = Layout::of(bytes);
            self.is_stale |= now.is_some() && now != before;
        }
        Ok(())
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        if size_bytes < as_u64(HEADER_BYTES) {
            self.layout = Layout::Unknown;
        }
        self.inner.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.settle()?;
        self.inner.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.inner.size_bytes()
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        self.inner.set_modified_ms(modified_ms)
    }
}

impl Drop for CheckedFile {
    fn drop(&mut self) {
        // Without a flush there was no promise either. What stays stale is told when it is read.
        let _ = self.settle();
    }
}

/// The number of the page around a position, from 1, and the place within it.
fn place(offset_bytes: u64, page_bytes: usize) -> VfsResult<(u64, usize)> {
    let step = as_u64(page_bytes);
    let within = usize::try_from(offset_bytes % step)
        .map_err(|_| VfsError::new(VfsErrorCode::IoRead, "no such place in a page".into()))?;
    Ok((offset_bytes / step + 1, within))
}
