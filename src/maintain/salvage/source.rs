//! The pages of a damaged file, with what its write-ahead log holds for certain.
//!
//! Read from the storage directly and never written: SQLite may refuse to open such a file, and it
//! would recover, truncate or checkpoint one that it does open.

use std::collections::HashMap;

use super::super::failed;
use super::super::pages::{Form, HEADER_BYTES, PageSet, Payload, Use, word};
use crate::error::Result;
use crate::model::limits;
use crate::store::schema;
use crate::vfs::checksum;
use crate::vfs::{OpenMode, RawFile, Storage};

const FRAME_HEADER_BYTES: usize = 24;
const LOG_HEADER_BYTES: usize = 32;

pub(super) struct Source {
    file: Box<dyn RawFile>,
    log: Log,
    pub form: Form,
    /// Whether the header could be read; otherwise a store's usual form is taken.
    pub has_header: bool,
    /// Pages that the header promises beyond the file's end.
    pub pages_missing: u32,
    free: PageSet,
    /// Whether the list of free pages could be read to its end.
    pub free_list_is_whole: bool,
    /// The page of the pointer map that was used last.
    map: (u32, Vec<u8>),
}

impl Source {
    pub fn open(storage: &dyn Storage, path: &str) -> Result<Self> {
        let path = storage.full_path(path).map_err(failed)?;
        let mut file = open(storage, &path)?;
        let log_path = format!("{path}-wal");
        let mut log = if storage.exists(&log_path).map_err(failed)? {
            Log::read(open(storage, &log_path)?)?
        } else {
            Log::default()
        };
        let size_bytes = file.size_bytes().map_err(failed)?;
        let mut header = vec![0; HEADER_BYTES];
        if !log.read_page(1, &mut header)? {
            file.read_at(&mut header, 0).map_err(failed)?;
        }
        let sizes = Form::sizes(&header);
        let usual = schema::PAGE_SIZE_BYTES as usize;
        let (page_size_bytes, usable_bytes) =
            sizes.unwrap_or((usual, usual - schema::RESERVED_BYTES as usize));
        let in_file = size_bytes.div_ceil(page_size_bytes as u64);
        let pages = u32::try_from(in_file).unwrap_or(u32::MAX - 1);
        // A page that is in the log only stands behind those of the file.
        let pages = pages.max(log.last_page);
        let promised = word(&header, 28).filter(|_| sizes.is_some()).unwrap_or(0);
        let root_of_vacuum = word(&header, 52).unwrap_or(0);
        let mut source = Self {
            file,
            log,
            form: Form {
                page_size_bytes,
                usable_bytes,
                pages,
                has_pointer_map: sizes.is_none() || root_of_vacuum != 0,
            },
            has_header: sizes.is_some(),
            pages_missing: promised.saturating_sub(pages),
            free: PageSet::new(pages),
            free_list_is_whole: false,
            map: (0, Vec::new()),
        };
        if source.has_header {
            source.free_list_is_whole = source.read_free_list(word(&header, 32).unwrap_or(0))?;
        }
        Ok(source)
    }

    /// Whether a page that was read is as it was written; what is in the log was checked there.
    pub fn fits(&self, page: u32, buffer: &[u8]) -> bool {
        let has_checksums =
            self.form.page_size_bytes - self.form.usable_bytes == checksum::TRAILER_BYTES;
        !has_checksums || self.log.frames.contains_key(&page) || checksum::verify_page(buffer)
    }

    /// Reads a page; what lies beyond the file's end is zeros. False where not all of it is there.
    pub fn read(&mut self, page: u32, buffer: &mut Vec<u8>) -> Result<bool> {
        buffer.clear();
        buffer.resize(self.form.page_size_bytes, 0);
        if page == 0 || page > self.form.pages {
            return Ok(false);
        }
        if self.log.read_page(page, buffer)? {
            return Ok(true);
        }
        let at = u64::from(page - 1) * self.form.page_size_bytes as u64;
        Ok(self.file.read_at(buffer, at).map_err(failed)? == buffer.len())
    }

    fn read_free_list(&mut self, first: u32) -> Result<bool> {
        let mut buffer = Vec::new();
        let mut trunk = first;
        while trunk != 0 {
            if !self.free.add(trunk) || !self.read(trunk, &mut buffer)? {
                return Ok(false);
            }
            let leaves = word(&buffer, 4).unwrap_or(0) as usize;
            if leaves > self.form.usable_bytes / 4 - 2 {
                return Ok(false);
            }
            for index in 0..leaves {
                let leaf = word(&buffer, 8 + index * 4).unwrap_or(0);
                if leaf == 0 || !self.free.add(leaf) {
                    return Ok(false);
                }
            }
            trunk = word(&buffer, 0).unwrap_or(0);
        }
        Ok(true)
    }

    /// What a page is used for, as far as the file says.
    pub fn usage(&mut self, page: u32) -> Result<Option<Use>> {
        let said = if self.form.has_pointer_map {
            let map = self.form.map_page(page);
            if self.map.0 != map {
                let mut buffer = std::mem::take(&mut self.map.1);
                self.read(map, &mut buffer)?;
                self.map = (map, buffer);
            }
            self.form.map_entry(&self.map.1, page)
        } else {
            None
        };
        // The map is written with every change; a list that breaks off may go on in live pages.
        let listed = self.free_list_is_whole && self.free.has(page);
        Ok(said.or(listed.then_some(Use::Free)))
    }

    /// The whole of a record. None where its chain of pages breaks off.
    pub fn payload(&mut self, payload: &Payload<'_>) -> Result<Option<Vec<u8>>> {
        let fits = payload.total_bytes <= limits::REPLY_BYTES as u64
            && payload.overflow_pages(self.form) <= u64::from(self.form.pages);
        if !fits {
            return Ok(None);
        }
        let total_bytes = payload.total_bytes as usize;
        let mut bytes = payload.local.to_vec();
        let mut next = payload.overflow.unwrap_or(0);
        let mut buffer = Vec::new();
        while bytes.len() < total_bytes {
            if next == 0 || !self.read(next, &mut buffer)? {
                return Ok(None);
            }
            next = word(&buffer, 0).unwrap_or(0);
            let content = &buffer[4..self.form.usable_bytes];
            bytes.extend_from_slice(&content[..content.len().min(total_bytes - bytes.len())]);
        }
        Ok((next == 0).then_some(bytes))
    }
}

fn open(storage: &dyn Storage, path: &str) -> Result<Box<dyn RawFile>> {
    let mode = OpenMode {
        read_only: true,
        ..OpenMode::default()
    };
    storage.open(path, mode).map_err(failed)
}

/// The committed frames of a write-ahead log.
#[derive(Default)]
struct Log {
    file: Option<Box<dyn RawFile>>,
    /// Where the newest committed content of a page lies.
    frames: HashMap<u32, u64>,
    page_size_bytes: usize,
    last_page: u32,
}

impl Log {
    /// Reads as far as salts and checksums fit, which is as far as SQLite would.
    fn read(mut file: Box<dyn RawFile>) -> Result<Self> {
        let mut header = [0; LOG_HEADER_BYTES];
        let read = file.read_at(&mut header, 0).map_err(failed)?;
        let number = |at| word(&header, at).unwrap_or(0);
        let page_size_bytes = number(8) as usize;
        let is_log = read == header.len()
            && number(0) & !1 == 0x377f_0682
            && page_size_bytes.is_power_of_two()
            && (512..=65_536).contains(&page_size_bytes);
        if !is_log {
            return Ok(Self::default());
        }
        let big_endian = number(0) & 1 == 1;
        let mut sum = checksum(big_endian, &header[..24], (0, 0));
        let mut log = Self {
            page_size_bytes,
            ..Self::default()
        };
        let mut frame = vec![0; FRAME_HEADER_BYTES + page_size_bytes];
        let mut pending = Vec::new();
        let mut at = LOG_HEADER_BYTES as u64;
        while sum == (number(24), number(28)) || at > LOG_HEADER_BYTES as u64 {
            if file.read_at(&mut frame, at).map_err(failed)? < frame.len() {
                break;
            }
            let told = |at| word(&frame, at).unwrap_or(0);
            sum = checksum(big_endian, &frame[..8], sum);
            sum = checksum(big_endian, &frame[FRAME_HEADER_BYTES..], sum);
            let salts = (told(8), told(12)) == (number(16), number(20));
            if !salts || sum != (told(16), told(20)) {
                break;
            }
            pending.push((told(0), at + FRAME_HEADER_BYTES as u64));
            let pages_after_commit = told(4);
            if pages_after_commit != 0 {
                log.frames.extend(pending.drain(..));
                log.last_page = pages_after_commit;
            }
            at += frame.len() as u64;
        }
        log.file = Some(file);
        Ok(log)
    }

    /// Reads the beginning of a page, as much as the buffer holds. False where it is not in the log.
    fn read_page(&mut self, page: u32, buffer: &mut [u8]) -> Result<bool> {
        let (Some(file), Some(at)) = (&mut self.file, self.frames.get(&page)) else {
            return Ok(false);
        };
        let length = buffer.len().min(self.page_size_bytes);
        Ok(file.read_at(&mut buffer[..length], *at).map_err(failed)? == length)
    }
}

fn checksum(big_endian: bool, bytes: &[u8], (mut first, mut second): (u32, u32)) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let number = |at: usize| {
            let bytes = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        first = first.wrapping_add(number(0)).wrapping_add(second);
        second = second.wrapping_add(number(4)).wrapping_add(first);
    }
    (first, second)
}
