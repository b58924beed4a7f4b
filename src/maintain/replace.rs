//! Putting another store's content in the place of the present one.
//!
//! The other store lies in a file of the same storage, which is checked and made ready there. The
//! old content is kept as a file of its own. Then SQLite copies the new one over the live database
//! in a single transaction: readers see the old or the new, a crash leaves the old or the new, on
//! every storage, without renaming anything. A failure before leaves the live store as it was.

use std::rc::Rc;

use rusqlite::backup::{Backup as Copy, StepResult};
use rusqlite::{Connection, FileControl, OpenFlags};

use super::mend::Mend;
use super::pages::Form;
use super::{
    Backup, Mended, Problem, ProblemKind, Progress, SUFFIXES, Verify, VerifyReport, failed,
    stepped_after_end,
};
use crate::error::{Code, Error, Result};
use crate::store::schema::{self, Found};
use crate::store::{execute, value};
use crate::vfs::{
    ChecksumPolicy, Connection as VfsConnection, OpenMode, RawFile, Storage, Vfs, read_at_most,
};

const CACHE_KIB: u32 = 4 << 10;

/// What a replacement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The new generation: what was said of the old content does not hold for this one.
    pub generation: String,
    /// Size of the old content in its own file, in bytes.
    pub kept_bytes: u64,
    /// What of the new content had to be made true first; none where all was.
    pub mended: Option<Mended>,
    /// Pages of the new content whose checksum did not fit, as in a file that another program wrote
    /// to; the first thousand. They were sound otherwise.
    pub foreign_pages: u64,
}

enum Task {
    Check(Box<Verify>),
    Rewrite,
    Mend(Mend),
    Name,
    Keep(Box<Keep>),
    Switch,
    Ended,
}

/// The old content on its way into a file of its own.
struct Keep {
    backup: Backup,
    file: Box<dyn RawFile>,
    written_bytes: u64,
}

/// A replacement under way. See `needs_writer` for when no other call may write.
///
/// ```
/// use std::rc::Rc;
/// use chatstore::maintain::{Replace, to_the_end};
/// use chatstore::vfs::{MemoryStorage, Storage, Vfs};
/// use chatstore::{Durability, Engine};
/// use rusqlite::OpenFlags;
///
/// let storage: Rc<dyn Storage> = Rc::new(MemoryStorage::new());
/// for path in ["live.sqlite", "staged.sqlite"] {
///     Engine::open(storage.clone(), path, Durability::Strict)?.close()?;
/// }
/// let vfs = Vfs::register(storage.clone())?;
/// let mut live = vfs.connect("live.sqlite", OpenFlags::default())?;
///
/// let mut replace = Replace::begin(storage.clone(), &vfs, "staged.sqlite", "live.old.sqlite")?;
/// let replaced = to_the_end(|| replace.step(&mut live))?;
/// assert!(storage.exists("live.old.sqlite")?);
/// let generation: String =
///     live.query_row("SELECT value FROM store_meta WHERE name = 'generation'", [], |row| row.get(0))?;
/// assert_eq!(generation, replaced.generation);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replace {
    storage: Rc<dyn Storage>,
    vfs: Rc<Vfs>,
    source: Option<VfsConnection>,
    source_path: String,
    keep_path: String,
    /// Files of our own making that go when it is over.
    made: Vec<String>,
    must_rewrite: bool,
    mended: Option<Mended>,
    foreign_pages: u64,
    /// No other program has written to the source: a page that does not match is damage.
    is_sealed: bool,
    /// How pages of the live store were judged before.
    live_policy: Option<ChecksumPolicy>,
    generation: String,
    kept_bytes: u64,
    task: Task,
}

impl Replace {
    /// Looks at the file at `source` and opens it. It becomes ours: it may be changed while it is
    /// made ready, and is left for the caller to delete. `keep` is where the old content goes, a
    /// file that does not exist yet.
    ///
    /// # Errors
    /// `NOT_A_STORE` and `SCHEMA_TOO_NEW` where the file cannot take the store's place,
    /// `UNSUPPORTED` where its form cannot be made ours, `INVALID_ARGUMENT` where `keep` exists.
    ///
    /// `vfs` is the one that the live store is open through, over this very storage.
    pub fn begin(
        storage: Rc<dyn Storage>,
        vfs: &Rc<Vfs>,
        source: &str,
        keep: &str,
    ) -> Result<Self> {
        let (source_path, keep_path) = (full_path(&*storage, source)?, full_path(&*storage, keep)?);
        for suffix in SUFFIXES {
            let path = format!("{keep_path}{suffix}");
            if storage.exists(&path).map_err(failed)? {
                let expected = "the name of no file yet, and no log of one";
                return Err(Error::argument("keep", expected, &path));
            }
        }
        if !storage.exists(&source_path).map_err(failed)? {
            return Err(Error::argument("source", "the name of a file", source));
        }
        let mode = OpenMode {
            read_only: true,
            ..OpenMode::default()
        };
        let mut header = vec![0; schema::header_bytes()];
        let mut file = storage.open(&source_path, mode).map_err(failed)?;
        let read = read_at_most(&mut *file, &mut header, 0).map_err(failed)?;
        drop(file);
        if schema::judge_header(&header[..read], source)? == Found::Nothing {
            return Err(
                Error::new(Code::NotAStore, format!("{source} is empty")).with("path", source)
            );
        }
        let must_rewrite = judge_form(&header, source)?;
        let mut replace = Self {
            storage,
            vfs: Rc::clone(vfs),
            source: None,
            source_path,
            keep_path,
            made: Vec::new(),
            must_rewrite,
            mended: None,
            foreign_pages: 0,
            is_sealed: false,
            live_policy: None,
            generation: String::new(),
            kept_bytes: 0,
            task: Task::Check(Box::default()),
        };
        // Other programs leave stale checksums. Whether the file is sound is seen without them.
        vfs.set_checksum_policy(&replace.source_path, ChecksumPolicy::Lenient)
            .map_err(failed)?;
        let source = replace.connect(&replace.source_path)?;
        source.execute_batch("BEGIN")?;
        replace.source = Some(source);
        let as_copied = schema::counter_of_copy(replace.sealed_ms());
        replace.is_sealed = schema::found_counter(&header) == Some(as_copied);
        Ok(replace)
    }

    /// Says when the file was changed last that the source was copied from, epoch milliseconds: where that is
    /// when the store was sealed, no other program has written to it.
    #[must_use]
    pub fn with_modified_ms(mut self, modified_ms: Option<i64>) -> Self {
        self.is_sealed |= modified_ms.is_some() && self.sealed_ms() == modified_ms;
        self
    }

    fn sealed_ms(&self) -> Option<i64> {
        let source = self.source.as_ref()?;
        schema::sealed_at_ms(source).unwrap_or_default()
    }

    fn connect(&self, path: &str) -> Result<VfsConnection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = self.vfs.connect(path, flags)?;
        schema::configure(&connection, CACHE_KIB, "NORMAL")?;
        Ok(connection)
    }

    /// Whether the next step uses the live store: from when this is true until the last step, no
    /// other connection may write to it, and the connection given must be in no transaction but ours.
    pub fn needs_writer(&self) -> bool {
        matches!(self.task, Task::Name | Task::Keep(_) | Task::Switch)
    }

    /// Does the next piece. `live` is the connection that writes to the live store. Three pieces
    /// cannot be cut: SQLite's check of one table, rewriting a file of another form, and the switch.
    ///
    /// # Errors
    /// `CORRUPT` where the new content is not sound, `SCHEMA_TOO_NEW`, `NOT_A_STORE`; `BUSY` where a
    /// connection is in the way; what reading and writing can fail with. The live store is as it
    /// was then, and what was made is gone, but for the source.
    pub fn step(&mut self, live: &mut Connection) -> Result<Progress<Replaced>> {
        let keeps = matches!(self.task, Task::Keep(_));
        match self.go_on(live) {
            Ok(Progress::Done(replaced)) => {
                self.made.retain(|path| *path != self.keep_path);
                self.judge_live_pages_as_before(live);
                self.clean_up();
                Ok(Progress::Done(replaced))
            }
            Err(error) => {
                self.give_up(live, keeps);
                Err(error)
            }
            working => working,
        }
    }

    /// Names the new content; otherwise chance does.
    #[must_use]
    pub fn with_generation(mut self, generation: &str) -> Self {
        generation.clone_into(&mut self.generation);
        self
    }

    /// Gives up: ends the transaction that is open on the live connection and deletes what was made.
    pub fn abandon(&mut self, live: &Connection) {
        self.give_up(live, matches!(self.task, Task::Keep(_)));
    }

    fn give_up(&mut self, live: &Connection, keeps: bool) {
        if keeps && !live.is_autocommit() {
            // It only read; there is nothing that could be lost.
            let _ = live.execute_batch("ROLLBACK");
        }
        self.judge_live_pages_as_before(live);
        self.clean_up();
    }

    fn clean_up(&mut self) {
        self.task = Task::Ended;
        self.source = None;
        for path in self.made.drain(..) {
            // A file that stays behind is in nobody's way.
            let _ = self.storage.delete(&path, false);
        }
    }

    fn go_on(&mut self, live: &mut Connection) -> Result<Progress<Replaced>> {
        let mut task = std::mem::replace(&mut self.task, Task::Ended);
        let mut progress = (0, 1);
        let name = match &task {
            Task::Check(_) => "check",
            Task::Rewrite => "rewrite",
            Task::Mend(_) => "mend",
            Task::Name => "name",
            Task::Keep(_) => "keep",
            Task::Switch => "switch",
            Task::Ended => return Err(stepped_after_end()),
        };
        self.task = match &mut task {
            Task::Check(verify) => match verify.step(self.source()?, None)? {
                Progress::Working { done, expected, .. } => {
                    progress = (done, expected);
                    task
                }
                Progress::Done(report) => self.judge(&report)?,
            },
            Task::Rewrite => {
                self.rewrite()?;
                self.after_rewrite()
            }
            Task::Mend(mend) => {
                if mend.step(self.source()?)? {
                    self.mended = Some(mend.mended);
                    Task::Name
                } else {
                    task
                }
            }
            Task::Name => {
                self.name_generation(live)?;
                self.task = Task::Keep(Box::new(self.begin_keeping(live)?));
                return Ok(working(name, progress));
            }
            Task::Keep(keep) => {
                let Keep {
                    backup,
                    file,
                    written_bytes,
                } = &mut **keep;
                let step = backup.step(live, &mut |bytes| {
                    file.write_at(bytes, *written_bytes).map_err(failed)?;
                    *written_bytes += bytes.len() as u64;
                    Ok(())
                });
                match step {
                    Ok(Progress::Working { done, expected, .. }) => {
                        progress = (done, expected);
                        task
                    }
                    Ok(Progress::Done(info)) => {
                        self.kept_bytes = info.size_bytes;
                        let kept = keep.file.sync(false).map_err(failed);
                        let kept = kept.and_then(|()| {
                            self.storage.sync_directory(&self.keep_path).map_err(failed)
                        });
                        live.execute_batch("COMMIT")?;
                        kept?;
                        Task::Switch
                    }
                    Err(error) => return Err(error),
                }
            }
            Task::Switch => {
                self.switch(live)?;
                return Ok(Progress::Done(Replaced {
                    generation: self.generation.clone(),
                    kept_bytes: self.kept_bytes,
                    mended: self.mended,
                    foreign_pages: self.foreign_pages,
                }));
            }
            Task::Ended => return Err(stepped_after_end()),
        };
        Ok(working(name, progress))
    }

    fn source(&self) -> Result<&VfsConnection> {
        self.source.as_ref().ok_or_else(stepped_after_end)
    }

    /// What to do with a file of which this was found.
    fn judge(&mut self, report: &VerifyReport) -> Result<Task> {
        let source = self.source()?;
        source.execute_batch("COMMIT")?;
        let application_id = source.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        schema::judge_versions(
            application_id,
            schema::schema_version(source)?,
            &self.source_path,
        )?;
        let is_sealed = self.is_sealed;
        let is_stale = |problem: &&Problem| problem.kind == ProblemKind::Checksum && !is_sealed;
        let problems = || report.problems.iter().filter(|problem| !is_stale(problem));
        if let Some(problem) = problems().find(|problem| !problem.kind.is_derived()) {
            return Err(Error::new(
                Code::Corrupt,
                format!(
                    "{} is damaged and cannot take the store's place: {}. The store was not changed",
                    self.source_path,
                    format!("{} {}", problem.table, problem.detail).trim_start()
                ),
            )
            .with("path", self.source_path.clone())
            .with("problem", problem.kind.as_str())
            .with("problems", report.problems.len() as i64));
        }
        let auto_vacuum: i64 = source.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
        self.foreign_pages = report.problems.iter().filter(is_stale).count() as u64;
        self.must_rewrite |= auto_vacuum != 2;
        self.mended = problems().next().map(|_| Mended::default());
        Ok(if self.must_rewrite {
            Task::Rewrite
        } else {
            self.after_rewrite()
        })
    }

    fn after_rewrite(&self) -> Task {
        match self.mended {
            Some(_) => Task::Mend(Mend::default()),
            None => Task::Name,
        }
    }

    /// Makes a file of our own form of a sound one of another.
    fn rewrite(&mut self) -> Result<()> {
        let path = format!("{}-rewritten", self.source_path);
        if self.storage.exists(&path).map_err(failed)? {
            // Left behind by one that was interrupted: the name is ours.
            self.storage.delete(&path, false).map_err(failed)?;
        }
        self.made.push(path.clone());
        let source = self.source()?;
        source.execute_batch(&format!(
            "PRAGMA page_size = {}; PRAGMA auto_vacuum = INCREMENTAL",
            schema::PAGE_SIZE_BYTES
        ))?;
        // After the page size, which takes a wish for reserved bytes back.
        let mut reserved_bytes = schema::RESERVED_BYTES;
        source.file_control(None::<&str>, FileControl::ReserveBytes(&mut reserved_bytes))?;
        // As in `Vfs::connect`, a name is never taken as a URI.
        let literal = if path.starts_with("file:") {
            format!("./{path}")
        } else {
            path.clone()
        };
        source.execute("VACUUM INTO ?1", [literal])?;
        self.source = Some(self.connect(&path)?);
        Ok(())
    }

    /// Gives the new content a generation of its own, and an epoch that no one has seen.
    fn name_generation(&mut self, live: &Connection) -> Result<()> {
        let source = self.source()?;
        let read_epoch = |connection: &Connection| -> Result<i64> {
            let sql = "SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'epoch'";
            Ok(value(connection, sql, [])?.unwrap_or(0))
        };
        // A live store that cannot be read is replaced all the same.
        let epoch = read_epoch(live).unwrap_or(0).max(read_epoch(source)?);
        source.execute_batch("BEGIN IMMEDIATE")?;
        execute(
            source,
            "INSERT OR REPLACE INTO store_meta (name, value)
             VALUES ('generation', coalesce(nullif(?2, ''), lower(hex(randomblob(16))))),
                    ('epoch', CAST(?1 AS TEXT))",
            (epoch, &self.generation),
        )?;
        source.execute_batch("COMMIT")?;
        let sql = "SELECT value FROM store_meta WHERE name = 'generation'";
        self.generation = value(source, sql, [])?.unwrap_or_default();
        Ok(())
    }

    fn begin_keeping(&mut self, live: &Connection) -> Result<Keep> {
        let mode = OpenMode {
            create: true,
            exclusive: true,
            ..OpenMode::default()
        };
        let file = self.storage.open(&self.keep_path, mode).map_err(failed)?;
        self.made.push(self.keep_path.clone());
        // A damaged store is what there is most reason to replace.
        self.live_policy = self.judge_live_pages(live, ChecksumPolicy::Lenient)?;
        live.execute_batch("BEGIN")?;
        match Backup::begin(live) {
            Ok(backup) => Ok(Keep {
                backup,
                file,
                written_bytes: 0,
            }),
            Err(error) => {
                live.execute_batch("ROLLBACK")?;
                Err(error)
            }
        }
    }

    /// Gives what held before; none where that is known already.
    fn judge_live_pages(
        &self,
        live: &Connection,
        policy: ChecksumPolicy,
    ) -> Result<Option<ChecksumPolicy>> {
        let Some(path) = live.path() else {
            return Ok(None);
        };
        let before = self.vfs.set_checksum_policy(path, policy).map_err(failed)?;
        Ok(Some(before))
    }

    fn judge_live_pages_as_before(&mut self, live: &Connection) {
        if let Some(policy) = self.live_policy.take() {
            // It fails for a path that cannot be resolved only, and this one is open.
            let _ = self.judge_live_pages(live, policy);
        }
    }

    fn switch(&self, live: &mut Connection) -> Result<()> {
        let copy = Copy::new(self.source()?, live)?;
        // All pages at once: one transaction, which is taken back when `copy` goes before its end.
        match copy.step(-1)? {
            StepResult::Done => Ok(()),
            other => Err(Error::new(
                Code::Busy,
                format!("another connection is in the way of the switch ({other:?})"),
            )),
        }
    }
}

fn working(task: &'static str, (done, expected): (u64, u64)) -> Progress<Replaced> {
    Progress::Working {
        task,
        done,
        expected: expected.max(done),
    }
}

/// Whether the file has to be rewritten, told from its header.
fn judge_form(header: &[u8], path: &str) -> Result<bool> {
    let unsupported = |what: String| {
        Error::new(
            Code::Unsupported,
            format!("{path} cannot take the store's place: {what}"),
        )
        .with("path", path)
    };
    let Some((page_size_bytes, usable_bytes)) = Form::sizes(header) else {
        return Err(Error::new(
            Code::Corrupt,
            format!("the header of {path} states no page size"),
        )
        .with("path", path));
    };
    // UTF-8, or not set yet.
    if header[59] > 1 {
        return Err(unsupported(
            "its texts are UTF-16, UTF-8 was expected".into(),
        ));
    }
    let reserved_bytes = page_size_bytes - usable_bytes;
    let ours = schema::RESERVED_BYTES as usize;
    if reserved_bytes > ours {
        return Err(unsupported(format!(
            "{reserved_bytes} bytes of its pages are reserved, at most {ours} were expected"
        )));
    }
    Ok(page_size_bytes != schema::PAGE_SIZE_BYTES as usize || reserved_bytes != ours)
}

fn full_path(storage: &dyn Storage, path: &str) -> Result<String> {
    storage.full_path(path).map_err(failed)
}
