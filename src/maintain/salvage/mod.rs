//! Saving what is left of a damaged store into a new file.
//!
//! The damaged file is read as bytes, from its first page to its last, and never changed; SQLite,
//! which gives up a whole subtree for one bad page, is not asked. Every page that is a leaf gives its
//! rows, whether or not anything still leads to it; pages that the file itself calls free do not, so
//! that what was deleted stays deleted. A row is known by the number and types of its values. What
//! follows from the rows is then made anew: orphans get a session, paths and counters are recounted,
//! the search index is left to be built.

mod source;
mod tables;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use self::source::Source;
use self::tables::{Insert, Table};
use super::mend::{Mend, Mended};
use super::pages::{Kind, Node, Use, record};
use super::{Progress, stepped_after_end};
use crate::error::{Error, Result};
use crate::vfs::Storage;

/// Most problems that a report lists.
const PROBLEMS: usize = 1_000;
/// About how much of the damaged file a step reads.
const STEP_BYTES: u64 = 1 << 20;

/// What became of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// Rows in the new file, before orphans got their sessions.
    pub rows: u64,
    /// Of those, the ones that lost a value or characters of a text.
    pub mended: u64,
    /// Rows that were read but break a rule of the schema.
    pub refused: u64,
}

/// What was saved and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SalvageReport {
    /// The tables that hold what callers gave.
    pub tables: Vec<TableReport>,
    /// Pages of the damaged file that were read.
    pub pages: u64,
    /// Of those, the ones that do not match their checksum; their rows were taken all the same.
    pub pages_changed: u64,
    /// Pages that held rows, or may have, and are not what they were.
    pub pages_lost: u64,
    /// Rows in pages that could be read, which could not themselves.
    pub rows_damaged: u64,
    /// What was made true again afterwards; `messages_missing` are those that sessions had counted.
    pub mended: Mended,
    /// What went wrong, the first thousand.
    pub problems: Vec<String>,
}

impl SalvageReport {
    fn add(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        }
    }
}

enum Task {
    Read { next: u32 },
    Mend(Mend),
    Ended,
}

/// Saving under way.
///
/// ```
/// use std::rc::Rc;
/// use chatstore::maintain::{Salvage, to_the_end};
/// use chatstore::store::schema;
/// use chatstore::vfs::{MemoryStorage, Vfs};
/// use chatstore::{Durability, Engine, Request};
/// use rusqlite::OpenFlags;
///
/// let storage = Rc::new(MemoryStorage::new());
/// let mut engine = Engine::open(storage.clone(), "damaged.sqlite", Durability::Strict)?;
/// engine.call(Request::SessionsCreate(Default::default()), &mut |_| ())?;
/// engine.close()?;
///
/// let vfs = Vfs::register(storage.clone())?;
/// let new = vfs.connect("new.sqlite", OpenFlags::default())?;
/// schema::configure(&new, 4 << 10, "FULL")?;
/// schema::prepare(&new, "new.sqlite")?;
///
/// let mut salvage = Salvage::begin(&*storage, "damaged.sqlite", &new)?;
/// let report = to_the_end(|| salvage.step(&new))?;
/// let sessions = report.tables.iter().find(|table| table.name == "sessions").unwrap();
/// assert_eq!(sessions.rows, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Salvage {
    source: Source,
    tables: Vec<Table>,
    report: SalvageReport,
    page: Vec<u8>,
    task: Task,
}

impl Salvage {
    /// Opens the damaged file, which no connection may have open, and looks at the new one: an empty
    /// store that [`prepare`](crate::store::schema::prepare) made. Until the last step the new file
    /// is of no use to anyone; after a failure it is to be deleted.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where the new store is not empty, what opening can fail with.
    pub fn begin(storage: &dyn Storage, damaged: &str, new: &Connection) -> Result<Self> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sessions) OR EXISTS (SELECT 1 FROM bots)";
        if new.query_row(sql, [], |row| row.get(0))? {
            return Err(Error::argument(
                "new",
                "a store without content",
                "one with content",
            ));
        }
        let source = Source::open(storage, damaged)?;
        let tables = tables::tables(new)?;
        let mut report = SalvageReport {
            tables: tables
                .iter()
                .map(|table| TableReport {
                    name: table.name.to_owned(),
                    rows: 0,
                    mended: 0,
                    refused: 0,
                })
                .collect(),
            ..SalvageReport::default()
        };
        if !source.has_header {
            report.add("the header is damaged; the usual form of a store was taken".into());
        } else if !source.free_list_is_whole {
            report.add("the list of free pages is damaged; what was deleted may be back".into());
        }
        if source.pages_missing > 0 {
            let missing = source.pages_missing;
            report.add(format!(
                "the file ends {missing} pages before its stated end"
            ));
            report.pages_lost += u64::from(missing);
        }
        Ok(Self {
            source,
            tables,
            report,
            page: Vec::new(),
            task: Task::Read { next: 1 },
        })
    }

    /// Does the next piece, in a transaction of its own on the connection to the new file.
    ///
    /// # Errors
    /// What reading the storage and writing the new file can fail with; damage is no error.
    pub fn step(&mut self, new: &Connection) -> Result<Progress<SalvageReport>> {
        match &mut self.task {
            Task::Read { next } => {
                let first = *next;
                // What rows refer to may come after them.
                new.execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")?;
                let read = self.read_pages(new, first);
                let ended = if read.is_ok() { "COMMIT" } else { "ROLLBACK" };
                let ended = new.execute_batch(&format!("{ended}; PRAGMA foreign_keys = ON"));
                let next = read?;
                ended?;
                self.task = if next > self.source.form.pages {
                    Task::Mend(Mend::default())
                } else {
                    Task::Read { next }
                };
                Ok(Progress::Working {
                    task: "read",
                    done: u64::from(next - 1),
                    expected: u64::from(self.source.form.pages),
                })
            }
            Task::Mend(mend) => {
                if !mend.step(new)? {
                    return Ok(Progress::Working {
                        task: "mend",
                        done: 0,
                        expected: 0,
                    });
                }
                let mut report = std::mem::take(&mut self.report);
                report.mended = mend.mended;
                self.task = Task::Ended;
                Ok(Progress::Done(report))
            }
            Task::Ended => Err(stepped_after_end()),
        }
    }

    /// Reads some pages from `first` on. Gives the page after them.
    fn read_pages(&mut self, new: &Connection, first: u32) -> Result<u32> {
        let pages = (STEP_BYTES / self.source.form.page_size_bytes as u64).max(1) as u32;
        let end = first.saturating_add(pages).min(self.source.form.pages + 1);
        for number in first..end {
            if self.source.form.is_map_or_lock(number) {
                continue;
            }
            let mut page = std::mem::take(&mut self.page);
            let usage = self.source.usage(number)?;
            if !matches!(usage, Some(Use::Free | Use::Overflow)) {
                if !self.source.read(number, &mut page)? {
                    // Nothing of it is trusted where a part is missing.
                    page.fill(0);
                }
                self.report.pages += 1;
                if !self.source.fits(number, &page) {
                    self.report.pages_changed += 1;
                    self.report
                        .add(format!("page {number} does not match its checksum"));
                }
                self.read_page(new, number, &page, usage)?;
            }
            self.page = page;
        }
        Ok(end)
    }

    fn read_page(
        &mut self,
        new: &Connection,
        number: u32,
        page: &[u8],
        usage: Option<Use>,
    ) -> Result<()> {
        let Some(node) = Node::parse(self.source.form, number, page) else {
            // Without a map nobody knows what it was; an overflow page looks like anything.
            if usage.is_some() || number == 1 || page.iter().all(|byte| *byte == 0) {
                self.report.pages_lost += 1;
                self.report
                    .add(format!("page {number} is not a node of a b-tree any more"));
            }
            return Ok(());
        };
        if node.kind == Kind::TableInterior {
            return Ok(());
        }
        let mut damaged = 0;
        for index in 0..node.cells {
            let read = match node.cell(index) {
                Some(cell) => match cell.payload {
                    Some(payload) => self
                        .source
                        .payload(&payload)?
                        .map(|bytes| (cell.row, bytes)),
                    None => None,
                },
                None => None,
            };
            let values = read
                .as_ref()
                .and_then(|(row, bytes)| Some((*row, record(bytes)?)));
            match values {
                Some((row, values)) => self.save(new, number, row, &values)?,
                None => damaged += 1,
            }
        }
        if damaged > 0 {
            self.report.rows_damaged += damaged;
            self.report.add(format!(
                "{damaged} of {} cells of page {number} cannot be read",
                node.cells
            ));
        }
        Ok(())
    }

    fn save(
        &mut self,
        new: &Connection,
        page: u32,
        row: Option<i64>,
        values: &[ValueRef<'_>],
    ) -> Result<()> {
        let fitting = self.tables.iter().position(|table| table.fits(row, values));
        let Some(at) = fitting else {
            // A row of another table, or an entry of an index.
            return Ok(());
        };
        let (table, report) = (&self.tables[at], &mut self.report);
        let tell = |what: String| format!("{} {row:?} on page {page}: {what}", table.name);
        match table.insert(new, row, values)? {
            Insert::Saved => report.tables[at].rows += 1,
            Insert::Mended(columns) => {
                report.tables[at].rows += 1;
                report.tables[at].mended += 1;
                report.add(tell(format!("not all of {columns} could be kept")));
            }
            Insert::Known => report.add(tell("is there twice; the first was kept".into())),
            Insert::Refused(error) => {
                report.tables[at].refused += 1;
                report.add(tell(format!("breaks a rule: {error}")));
            }
        }
        Ok(())
    }
}
