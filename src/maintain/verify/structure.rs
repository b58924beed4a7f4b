//! The pages of the whole file: that each is used exactly once.
//!
//! SQLite's check of a single table does not look for pages that two tables share or that none uses,
//! and its check of everything cannot be cut into pieces. So the b-trees are walked here, a bounded
//! number of pages a step, with one bit remembered for each page.

use rusqlite::{Connection, OptionalExtension};

use super::{ProblemKind, STEP_PAGES, VerifyReport, is_damage};
use crate::error::{Error, Result};
use crate::maintain::pages::{Form, Kind, Node, PageSet, word};

/// Where the walk stands.
#[derive(Default)]
pub(super) struct Structure {
    walk: Option<Walk>,
}

struct Walk {
    form: Form,
    used: PageSet,
    read: PageSet,
    todo: Vec<Visit>,
    /// The next page to be asked whether it was used, once all b-trees are walked.
    next: u32,
}

/// A page to look at, and what it must be.
enum Visit {
    /// A node of a table's b-tree, or else an index's.
    Node { page: u32, table: bool },
    /// An overflow page, and how many of its chain are left with it.
    Overflow { page: u32, left: u64 },
    /// A trunk of the list of free pages.
    Trunk { page: u32 },
}

impl Structure {
    pub fn pages(&self) -> u64 {
        self.walk
            .as_ref()
            .map_or(0, |walk| u64::from(walk.form.pages))
    }

    /// Looks at some pages. Whether those were the last.
    pub fn step(&mut self, connection: &Connection, report: &mut VerifyReport) -> Result<bool> {
        let walk = match &mut self.walk {
            Some(walk) => walk,
            None => self.walk.insert(Walk::begin(connection, report)?),
        };
        for _ in 0..STEP_PAGES {
            if let Some(visit) = walk.todo.pop() {
                walk.visit(connection, report, visit)?;
            } else if walk.next <= walk.form.pages {
                walk.expect_used(connection, report)?;
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The bytes of a page, or what is wrong with it.
fn read(connection: &Connection, page: u32) -> Result<std::result::Result<Vec<u8>, Error>> {
    let read = connection
        .prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")
        .and_then(|mut statement| statement.query_row([page], |row| row.get(0)).optional());
    match read.map_err(Error::from) {
        Ok(bytes) => Ok(Ok(bytes.unwrap_or_default())),
        Err(error) if is_damage(&error) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

impl Walk {
    fn begin(connection: &Connection, report: &mut VerifyReport) -> Result<Self> {
        let number = |pragma: &str| -> Result<u32> {
            Ok(connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?)
        };
        let header = read(connection, 1)?.unwrap_or_default();
        let (page_size_bytes, usable_bytes) = Form::sizes(&header).ok_or_else(|| {
            Error::new(crate::Code::Corrupt, "page 1 is not that of a SQLite file")
        })?;
        let form = Form {
            page_size_bytes,
            usable_bytes,
            pages: number("page_count")?,
            has_pointer_map: number("auto_vacuum")? != 0,
        };
        let mut walk = Self {
            form,
            used: PageSet::new(form.pages),
            read: PageSet::new(form.pages),
            todo: vec![Visit::Node {
                page: 1,
                table: true,
            }],
            next: 1,
        };
        if let Some(page) = word(&header, 32).filter(|page| *page != 0) {
            walk.todo.push(Visit::Trunk { page });
        }
        let mut statement = connection.prepare(
            "SELECT s.rootpage, s.type = 'table' AND NOT l.wr FROM sqlite_schema s
             LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name WHERE s.rootpage > 0",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let page: i64 = row.get(0)?;
            walk.todo.push(Visit::Node {
                page: u32::try_from(page).unwrap_or(0),
                table: row.get::<_, Option<bool>>(1)?.unwrap_or(false),
            });
        }
        report.checked.pages = 0;
        Ok(walk)
    }

    fn visit(
        &mut self,
        connection: &Connection,
        report: &mut VerifyReport,
        visit: Visit,
    ) -> Result<()> {
        let (Visit::Node { page, .. } | Visit::Overflow { page, .. } | Visit::Trunk { page }) =
            visit;
        let wrong = |report: &mut VerifyReport, detail: String| {
            report.add(ProblemKind::Structure, "", Some(i64::from(page)), detail);
        };
        if page == 0 || page > self.form.pages || self.form.is_map_or_lock(page) {
            wrong(
                report,
                format!("a pointer leads to page {page}, which can hold no content"),
            );
            return Ok(());
        }
        if !self.used.add(page) {
            wrong(report, format!("page {page} is used more than once"));
            return Ok(());
        }
        let Some(bytes) = self.read_page(connection, report, page)? else {
            return Ok(());
        };
        let fits = match visit {
            Visit::Node { table, .. } => self.enter_node(page, &bytes, table),
            Visit::Overflow { left, .. } => self.enter_overflow(&bytes, left),
            Visit::Trunk { .. } => self.enter_trunk(&bytes),
        };
        if let Err(detail) = fits {
            wrong(report, format!("page {page} {detail}"));
        }
        Ok(())
    }

    fn enter_node(
        &mut self,
        page: u32,
        bytes: &[u8],
        table: bool,
    ) -> std::result::Result<(), String> {
        let Some(node) = Node::parse(self.form, page, bytes) else {
            return Err("should be a node of a b-tree and is none".into());
        };
        if node.kind.is_table() != table {
            let kinds = if table { "a table" } else { "an index" };
            return Err(format!(
                "should belong to {kinds}, but is a {:?}",
                node.kind
            ));
        }
        let mut broken = 0;
        for index in 0..node.cells {
            let Some(cell) = node.cell(index) else {
                broken += 1;
                continue;
            };
            if let Some(page) = cell.child {
                self.todo.push(Visit::Node { page, table });
            }
            if node.kind == Kind::TableInterior {
                continue;
            }
            let chain = cell
                .payload
                .and_then(|payload| Some((payload.overflow?, payload.overflow_pages(self.form))));
            if let Some((page, left)) = chain {
                self.todo.push(Visit::Overflow { page, left });
            }
        }
        if let Some(page) = node.last_child() {
            self.todo.push(Visit::Node { page, table });
        }
        if broken > 0 {
            return Err(format!("has {broken} cells that do not lie within it"));
        }
        Ok(())
    }

    fn enter_overflow(&mut self, bytes: &[u8], left: u64) -> std::result::Result<(), String> {
        let next = word(bytes, 0).unwrap_or(0);
        match (next, left.saturating_sub(1)) {
            (0, 0) => Ok(()),
            (0, left) => Err(format!(
                "ends a chain of overflow pages {left} pages too early"
            )),
            (_, 0) => Err("should be the last of a chain of overflow pages and is not".into()),
            (page, left) => {
                self.todo.push(Visit::Overflow { page, left });
                Ok(())
            }
        }
    }

    fn enter_trunk(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        let leaves = word(bytes, 4).unwrap_or(0) as usize;
        if leaves > self.form.usable_bytes / 4 - 2 {
            return Err(format!(
                "lists {leaves} free pages, more than it has room for"
            ));
        }
        let mut broken = 0;
        for index in 0..leaves {
            let leaf = word(bytes, 8 + index * 4).unwrap_or(0);
            let fits = leaf > 1 && leaf <= self.form.pages && !self.form.is_map_or_lock(leaf);
            if !fits || !self.used.add(leaf) {
                broken += 1;
            }
        }
        if let Some(page) = word(bytes, 0).filter(|page| *page != 0) {
            self.todo.push(Visit::Trunk { page });
        }
        if broken > 0 {
            return Err(format!("lists {broken} pages as free that are not"));
        }
        Ok(())
    }

    /// Looks at pages that no walk came to: those of the pointer map, free ones, and lost ones.
    fn expect_used(&mut self, connection: &Connection, report: &mut VerifyReport) -> Result<()> {
        let page = self.next;
        self.next += 1;
        if self.read.has(page) {
            return Ok(());
        }
        if !self.form.is_map_or_lock(page) && !self.used.has(page) {
            let detail = format!("page {page} is neither used nor free");
            report.add(ProblemKind::Structure, "", Some(i64::from(page)), detail);
        }
        // For its checksum.
        self.read_page(connection, report, page)?;
        Ok(())
    }

    /// The bytes of a page; none where it cannot be read, which is reported.
    fn read_page(
        &mut self,
        connection: &Connection,
        report: &mut VerifyReport,
        page: u32,
    ) -> Result<Option<Vec<u8>>> {
        match read(connection, page)? {
            Ok(bytes) => {
                self.read.add(page);
                report.checked.pages += 1;
                Ok(Some(bytes))
            }
            Err(error) => {
                let detail = format!("page {page} cannot be read: {error}");
                report.add(ProblemKind::Page, "", Some(i64::from(page)), detail);
                Ok(None)
            }
        }
    }
}
