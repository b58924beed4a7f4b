//! Checking, copying and replacing a store while it is in use: `maintain` at work on the engine's
//! connections.
//!
//! A check and a copy each hold a snapshot of the pool and go on by one bounded step a call. A
//! replacement is received into a file of its own, checked, and takes the writer for its last piece;
//! it has a name, so that no step of one goes into another, and none is done twice.
//! What comes of a step is a table: `task`, `done` and `expected` while there is more to do, else
//! the result as JSON in `report`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;

use rusqlite::types::Value;

use super::call::{Answer, ClientId, Collect, Event};
use super::{Engine, Reply, Request, Table};
use crate::error::{Code, Error, Outcome, Result};
use crate::maintain::{self, Backup, Progress, Replace, Replaced, Verify, VerifyReport};
use crate::store::value;
use crate::vfs::{Connection, OpenMode, RawFile, Storage};

/// Length of the name of a replacement, which is that of a generation.
const JOB_DIGITS: usize = 32;
/// The task of a replacement of which only the last piece is left.
const READY: &str = "ready";

/// What a snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Reads of its client's.
    #[default]
    Reads,
    /// A check of the whole store.
    Verify,
    /// A copy of the whole file.
    Backup,
}

/// Work that goes on in a snapshot.
pub(super) enum Work {
    Verify(Box<Verify>),
    Backup(Box<Backup>),
}

impl Work {
    pub(super) fn begin(purpose: Purpose, connection: &Connection) -> Result<Option<Self>> {
        Ok(match purpose {
            Purpose::Reads => None,
            Purpose::Verify => Some(Self::Verify(Box::default())),
            Purpose::Backup => Some(Self::Backup(Box::new(Backup::begin(connection)?))),
        })
    }

    /// Whether it is for finding what is wrong.
    pub(super) fn is_check(&self) -> bool {
        matches!(self, Self::Verify(_))
    }

    /// The next piece, and whether it was the last of a check that has found nothing wrong.
    pub(super) fn step(&mut self, connection: &Connection) -> Result<(Table, bool)> {
        match self {
            Self::Verify(verify) => Ok(match verify.step(connection, None)? {
                Progress::Working {
                    task,
                    done,
                    expected,
                } => (working(task, done, expected), false),
                Progress::Done(report) => {
                    (report_of(verify_report(connection, &report)?), report.ok)
                }
            }),
            Self::Backup(backup) => {
                let mut bytes = Vec::new();
                let step = backup.step(connection, &mut |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?;
                let more = matches!(step, Progress::Working { .. });
                let table = Table {
                    columns: vec!["bytes".into(), "more".into(), "expected".into()],
                    size_bytes: bytes.len(),
                    cells: vec![
                        Value::Blob(bytes),
                        Value::Integer(more.into()),
                        Value::Integer(backup.info().size_bytes as i64),
                    ],
                };
                Ok((table, false))
            }
        }
    }
}

/// A replacement that a client is sending.
pub(super) struct Incoming {
    client: ClientId,
    job: String,
    path: String,
    /// What it is received in, by the ends of their names; closed once all of it has come.
    files: BTreeMap<&'static str, Box<dyn RawFile>>,
    is_whole: bool,
    /// When the file that it comes from was changed last, where that is known.
    modified_ms: Option<i64>,
    replace: Option<Replace>,
}

impl<C: Collect> Engine<C> {
    /// Makes the file that a replacement is received in.
    fn begin_replacement(&mut self, client: ClientId, job: &str) -> Result<Answer<C>> {
        if job.len() != JOB_DIGITS || !job.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Error::argument("job", "32 hexadecimal digits", job));
        }
        if self.file.read_only {
            let told = format!("{} is open for reading only", self.file.path);
            return Err(Error::new(Code::ReadOnly, told));
        }
        if self.incoming.is_some() {
            return Err(Error::new(
                Code::Busy,
                "the store is being replaced already; wait for that to end",
            ));
        }
        // A log that a killed owner has left would be taken for that of the new content.
        let path = self.delete_incoming()?;
        let mut incoming = Incoming {
            client,
            job: job.to_owned(),
            path,
            files: BTreeMap::new(),
            is_whole: false,
            modified_ms: None,
            replace: None,
        };
        incoming.file(&*self.file.storage, "")?;
        self.incoming = Some(incoming);
        Ok(super::done())
    }

    /// Takes in some of its bytes.
    fn receive_replacement(
        &mut self,
        client: ClientId,
        job: &str,
        suffix: &str,
        offset_bytes: u64,
        modified_ms: Option<i64>,
        bytes: &[u8],
    ) -> Result<Answer<C>> {
        let storage = Rc::clone(&self.file.storage);
        let incoming = self.expect_incoming(client, job)?;
        if incoming.is_whole {
            return Err(Error::new(
                Code::TransactionState,
                "the whole of the new content has been sent already",
            ));
        }
        incoming.modified_ms = modified_ms.or(incoming.modified_ms);
        let file = incoming.file(&*storage, suffix)?;
        file.write_at(bytes, offset_bytes).map_err(failed)?;
        Ok(super::done())
    }

    /// The replacement of this very client and job: another may have begun since an owner was lost.
    fn expect_incoming(&mut self, client: ClientId, job: &str) -> Result<&mut Incoming> {
        let incoming = self.incoming.as_mut();
        incoming
            .filter(|incoming| incoming.client == client && incoming.job == job)
            .ok_or_else(|| {
                Error::new(
                    Code::TransactionState,
                    "this replacement is not under way: it has ended, or the owner of the file was lost; \
                     the store was not replaced by it",
                )
                .with_outcome(Outcome::NotApplied)
            })
    }

    /// The next piece of checking what was received, or all that is left, with the switch.
    fn step_replacement(
        &mut self,
        client: ClientId,
        job: &str,
        keep: Option<&str>,
        finish: bool,
    ) -> Result<Answer<C>> {
        let is_done = self.info.generation == job;
        let table = if is_done {
            // Sent again: the owner that did it, or its answer, was lost.
            self.give_up_replacement();
            self.replaced(keep)?
        } else {
            self.expect_incoming(client, job)?;
            let not_kept = format!("{}-outgoing", self.file.full_path()?);
            if keep.is_none() {
                // One that a killed owner has left.
                let _ = self.file.storage.delete(&not_kept, false);
            }
            let result = self.go_on_replacing(client, job, keep.unwrap_or(&not_kept), finish);
            if finish {
                self.file.changes.anything();
            }
            if !matches!(result, Ok(Progress::Working { .. })) {
                self.give_up_replacement();
            }
            // A commit that could not be flushed may be found by the next owner.
            let outcome = |error: Error| match error.code() {
                Code::IoError if finish => error.with_outcome(Outcome::Unknown),
                _ => error.with_outcome(Outcome::NotApplied),
            };
            match result.map_err(outcome)? {
                Progress::Working {
                    task,
                    done,
                    expected,
                } => working(task, done, expected),
                Progress::Done(replaced) => {
                    if replaced.foreign_pages > 0 {
                        self.events.push(Event::Notice {
                            kind: "resealed",
                            message: format!(
                                "another program had changed the new content; it is sound, and at least {} of its pages were sealed again",
                                replaced.foreign_pages
                            ),
                        });
                    }
                    if keep.is_none() {
                        let _ = self.file.storage.delete(&not_kept, false);
                    }
                    self.trust_again();
                    self.info.generation = replaced.generation;
                    self.epoch_is_written = false;
                    self.replaced(keep)?
                }
            }
        };
        Ok(Answer {
            reply: Reply::Table(table),
            messages: C::default(),
        })
    }

    /// What is said of a replacement that is done.
    fn replaced(&self, keep: Option<&str>) -> Result<Table> {
        let mut kept_bytes = 0;
        if let Some(keep) = keep {
            let storage = &self.file.storage;
            let mode = OpenMode {
                read_only: true,
                ..OpenMode::default()
            };
            let path = storage.full_path(keep).map_err(failed)?;
            // Whoever has it since may have moved it.
            if storage.exists(&path).map_err(failed)? {
                let file = storage.open(&path, mode).map_err(failed)?;
                kept_bytes = file.size_bytes().map_err(failed)?;
            }
        }
        Ok(report_of(format!(
            "{{\"generation\":\"{}\",\"keptBytes\":{kept_bytes}}}",
            self.info.generation
        )))
    }

    /// What was found wrong was found in what is gone now.
    fn trust_again(&mut self) {
        self.refuses_writes = None;
        self.trust();
        if self.file.mismatch().is_some() {
            self.checkpoint();
            // What is stale in the file lies under the log, which goes over it.
            let _ = self.file.vfs.reseal(&self.file.path);
        }
    }

    fn go_on_replacing(
        &mut self,
        client: ClientId,
        job: &str,
        keep: &str,
        finish: bool,
    ) -> Result<Progress<Replaced>> {
        self.connections()?;
        let storage = Rc::clone(&self.file.storage);
        let vfs = Rc::clone(&self.file.vfs);
        let incoming = self.expect_incoming(client, job)?;
        incoming.is_whole = true;
        for file in std::mem::take(&mut incoming.files).values_mut() {
            file.sync(false).map_err(failed)?;
        }
        let mut replace = match incoming.replace.take() {
            Some(replace) => replace,
            None => Replace::begin(storage, &vfs, &incoming.path, keep)?
                .with_generation(job)
                .with_modified_ms(incoming.modified_ms),
        };
        let Some(connections) = self.connections.as_mut() else {
            return Err(self.scopes.why_not_open(0));
        };
        let progress = loop {
            if replace.needs_writer() && !finish {
                break Progress::Working {
                    task: READY,
                    done: 1,
                    expected: 1,
                };
            }
            match replace.step(&mut connections.writer)? {
                Progress::Working { .. } if finish => {}
                progress => break progress,
            }
        };
        if matches!(progress, Progress::Working { .. }) {
            self.expect_incoming(client, job)?.replace = Some(replace);
        }
        Ok(progress)
    }

    /// Ends the replacement that a client was sending, where it is gone.
    pub(super) fn give_up_replacement_of(&mut self, client: ClientId) {
        let incoming = self.incoming.as_ref();
        if incoming.is_some_and(|incoming| incoming.client == client) {
            self.give_up_replacement();
        }
    }

    /// Ends the replacement that is under way, and removes what it was received in; also that of one
    /// whose owner was killed.
    pub(super) fn give_up_replacement(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && let (Some(mut replace), Some(connections)) = (incoming.replace, &self.connections)
        {
            replace.abandon(&connections.writer);
        }
        if !self.file.read_only {
            // What stays behind goes when the next replacement begins.
            let _ = self.delete_incoming();
        }
    }

    fn delete_incoming(&self) -> Result<String> {
        let path = format!("{}-incoming", self.file.full_path()?);
        maintain::delete_with_logs(&*self.file.storage, &path)?;
        Ok(path)
    }

    /// A request of upkeep in the turn of the writer.
    pub(super) fn run_upkeep(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        rows: &[u8],
    ) -> Result<Answer<C>> {
        match request {
            Request::ReplaceBegin { job } => self.begin_replacement(client, job),
            Request::ReplaceWrite {
                job,
                suffix,
                offset_bytes,
                modified_ms,
            } => self.receive_replacement(client, job, suffix, *offset_bytes, *modified_ms, rows),
            Request::ReplaceStep { job, keep, finish } => {
                self.step_replacement(client, job, keep.as_deref(), *finish)
            }
            Request::ReplaceEnd { job } => {
                if self.incoming.is_none() || self.expect_incoming(client, job).is_ok() {
                    self.give_up_replacement();
                }
                Ok(super::done())
            }
            Request::Maintain { task, limit } => self.maintain(*task, *limit),
            other => Err(Error::new(
                Code::Internal,
                format!("{} is not for the writer", other.verb()),
            )),
        }
    }
}

impl Incoming {
    /// The file with this end of its name, made empty where it was not written to before.
    fn file(&mut self, storage: &dyn Storage, suffix: &str) -> Result<&mut dyn RawFile> {
        let known = ["", "-wal", "-journal"]
            .into_iter()
            .find(|known| *known == suffix);
        let Some(known) = known else {
            return Err(Error::argument("suffix", "none, -wal or -journal", suffix));
        };
        let mode = OpenMode {
            create: true,
            ..OpenMode::default()
        };
        Ok(match self.files.entry(known) {
            Entry::Occupied(entry) => &mut **entry.into_mut(),
            Entry::Vacant(entry) => {
                let path = format!("{}{known}", self.path);
                &mut **entry.insert(storage.open(&path, mode).map_err(failed)?)
            }
        })
    }
}

fn working(task: &str, done: u64, expected: u64) -> Table {
    Table {
        columns: vec!["task".into(), "done".into(), "expected".into()],
        cells: vec![
            Value::Text(task.into()),
            Value::Integer(done as i64),
            Value::Integer(expected as i64),
        ],
        size_bytes: task.len(),
    }
}

fn report_of(json: String) -> Table {
    Table {
        columns: vec!["report".into()],
        size_bytes: json.len(),
        cells: vec![Value::Text(json)],
    }
}

/// As JSON, which SQLite writes.
fn verify_report(connection: &Connection, report: &VerifyReport) -> Result<String> {
    let problems: Vec<String> = report
        .problems
        .iter()
        .map(|problem| {
            let json: Option<String> = value(
                connection,
                "SELECT json_object('kind', ?1, 'table', ?2, 'key', ?3, 'detail', ?4)",
                (
                    problem.kind.as_str(),
                    &problem.table,
                    problem.key,
                    &problem.detail,
                ),
            )?;
            Ok(json.unwrap_or_default())
        })
        .collect::<Result<_>>()?;
    let checked = report.checked;
    Ok(format!(
        "{{\"ok\":{},\"problems\":[{}],\"moreProblems\":{},\"checked\":{{\"tables\":{},\"pages\":{},\"sessions\":{},\"messages\":{},\"searchEntries\":{}}}}}",
        report.ok,
        problems.join(","),
        report.more_problems,
        checked.tables,
        checked.pages,
        checked.sessions,
        checked.messages,
        checked.search_entries,
    ))
}

fn failed(error: rsqlite_vfs::VfsError) -> Error {
    Error::from(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(error.raw_code()),
        Some(error.message().to_owned()),
    ))
}
