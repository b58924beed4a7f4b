//! An exact copy of a store while writes go on.
//!
//! The copy is of one snapshot: a read transaction on a connection of the caller's, held from the
//! first step to the last. Its pages come in their order, a bounded number a step, so the bytes can
//! be written to a file, a stream or a socket as they come. The result is a plain SQLite file that
//! needs no write-ahead log beside it.

use rusqlite::Connection;

use super::pages::HEADER_BYTES;
use super::{Progress, stepped_after_end};
use crate::error::{Code, Error, Result};
use crate::store::schema;
use crate::vfs::checksum;

/// About as much as one step hands out.
const STEP_BYTES: usize = 256 << 10;

/// What a backup was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupInfo {
    /// Bytes handed out: the size of the copy.
    pub size_bytes: u64,
    /// Pages in the copy.
    pub pages: u32,
    /// Size of a page in bytes.
    pub page_size_bytes: u32,
    /// Version of the copy's schema.
    pub schema_version: i32,
}

/// A backup under way.
///
/// ```
/// use chatstore::maintain::{Backup, Progress};
/// use chatstore::vfs::{MemoryStorage, Vfs};
/// use chatstore::{Durability, Engine};
/// use rusqlite::OpenFlags;
///
/// let storage = std::rc::Rc::new(MemoryStorage::new());
/// Engine::open(storage.clone(), "chats.sqlite", Durability::Strict)?.close()?;
/// let vfs = Vfs::register(storage)?;
/// let connection = vfs.connect("chats.sqlite", OpenFlags::default())?;
///
/// connection.execute_batch("BEGIN")?;
/// let mut copy = Vec::new();
/// let mut backup = Backup::begin(&connection)?;
/// let info = loop {
///     let step = backup.step(&connection, &mut |bytes| {
///         copy.extend_from_slice(bytes);
///         Ok(())
///     })?;
///     if let Progress::Done(info) = step {
///         break info;
///     }
/// };
/// connection.execute_batch("COMMIT")?;
/// assert_eq!(info.size_bytes, copy.len() as u64);
/// assert!(copy.starts_with(b"SQLite format 3\0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Backup {
    info: BackupInfo,
    /// The next page to hand out, from 1; beyond the last where all are out.
    next: u32,
    page: Vec<u8>,
    has_checksums: bool,
    counter: u32,
    ended: bool,
}

impl Backup {
    /// Looks at the snapshot that the connection's transaction has, or begins to have by this.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where the connection has no transaction open; what reading can fail with.
    pub fn begin(connection: &Connection) -> Result<Self> {
        if connection.is_autocommit() {
            return Err(Error::new(
                Code::TransactionState,
                "a backup needs a transaction that stays open on its connection, none is",
            ));
        }
        let number = |pragma: &str| -> Result<i64> {
            Ok(connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?)
        };
        // The first read fixes the snapshot; a pragma alone would not.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let pages = u32::try_from(number("page_count")?).unwrap_or(0);
        let page_size_bytes = u32::try_from(number("page_size")?).unwrap_or(0);
        Ok(Self {
            info: BackupInfo {
                size_bytes: u64::from(pages) * u64::from(page_size_bytes),
                pages,
                page_size_bytes,
                schema_version: number("user_version")? as i32,
            },
            next: 1,
            page: Vec::new(),
            has_checksums: false,
            counter: schema::counter_of_copy(schema::sealed_at_ms(connection).unwrap_or_default()),
            ended: false,
        })
    }

    /// What the backup will have been made of, known from the beginning.
    pub fn info(&self) -> BackupInfo {
        self.info
    }

    /// Hands out the next pages: `write` gets their bytes, in order, with checksums that fit.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where the snapshot's transaction is over, `CORRUPT` or `IO_ERROR` where a
    /// page cannot be read, and those of `write`. The backup is over then.
    pub fn step(
        &mut self,
        connection: &Connection,
        write: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Progress<BackupInfo>> {
        if self.ended {
            return Err(stepped_after_end());
        }
        self.ended = true;
        if connection.is_autocommit() {
            return Err(Error::new(
                Code::TransactionState,
                "the transaction that the backup reads from is over",
            ));
        }
        // One page a look-up: a range would make SQLite walk there from page 1 each time.
        let mut statement =
            connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
        let mut left = (STEP_BYTES / (self.info.page_size_bytes as usize).max(1)).max(1);
        while self.next <= self.info.pages && left > 0 {
            let page = &mut self.page;
            page.clear();
            statement.query_row([self.next], |row| {
                page.extend_from_slice(row.get_ref(0)?.as_bytes()?);
                Ok(())
            })?;
            if self.next == 1 {
                self.make_plain()?;
            }
            // What came out of the write-ahead log has none yet, and page 1 was changed.
            if self.has_checksums {
                checksum::stamp_page(&mut self.page);
            }
            write(&self.page)?;
            self.next += 1;
            left -= 1;
        }
        if self.next > self.info.pages {
            return Ok(Progress::Done(self.info));
        }
        self.ended = false;
        Ok(Progress::Working {
            task: "backup",
            done: u64::from(self.next - 1),
            expected: u64::from(self.info.pages),
        })
    }

    /// Makes page 1 that of a file which is complete by itself: no write-ahead log, and a page count
    /// that is valid by SQLite's rule, which compares two counters. They tell later that nobody has
    /// written to the copy.
    fn make_plain(&mut self) -> Result<()> {
        let pages = self.info.pages.to_be_bytes();
        let Some(header) = self.page.get_mut(..HEADER_BYTES) else {
            return Err(Error::new(Code::Corrupt, "page 1 is shorter than a header"));
        };
        self.has_checksums = checksum::checked_page_bytes(header).is_some();
        header[18..20].fill(1);
        header[28..32].copy_from_slice(&pages);
        header[24..28].copy_from_slice(&self.counter.to_be_bytes());
        header.copy_within(24..28, 92);
        let version = rusqlite::version_number().to_be_bytes();
        header[96..100].copy_from_slice(&version);
        Ok(())
    }
}
