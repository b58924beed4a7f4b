//! Checking, copying and replacing a store while it is in use: `maintain` at work on the engine's
//! connections.
//!
//! A check and a copy each hold a snapshot of the pool and go on by one bounded step a call. A
//! replacement is received into a file of its own, checked, and takes the writer for its last piece.
//! What comes of a step is a table: `task`, `done` and `expected` while there is more to do, else
//! the result as JSON in `report`.

use std::rc::Rc;

use rusqlite::types::Value;

use super::call::{Answer, ClientId, Collect};
use super::{Engine, Reply, Request, Table};
use crate::error::{Code, Error, Result};
use crate::maintain::{Backup, Progress, Replace, Replaced, Verify, VerifyReport};
use crate::store::value;
use crate::vfs::{Connection, OpenMode, RawFile};

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

    /// The next piece.
    pub(super) fn step(&mut self, connection: &Connection) -> Result<Table> {
        match self {
            Self::Verify(verify) => Ok(match verify.step(connection, None)? {
                Progress::Working {
                    task,
                    done,
                    expected,
                } => working(task, done, expected),
                Progress::Done(report) => report_of(verify_report(connection, &report)?),
            }),
            Self::Backup(backup) => {
                let mut bytes = Vec::new();
                let step = backup.step(connection, &mut |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?;
                let more = matches!(step, Progress::Working { .. });
                Ok(Table {
                    columns: vec!["bytes".into(), "more".into(), "expected".into()],
                    size_bytes: bytes.len(),
                    cells: vec![
                        Value::Blob(bytes),
                        Value::Integer(more.into()),
                        Value::Integer(backup.info().size_bytes as i64),
                    ],
                })
            }
        }
    }
}

/// A replacement that a client is sending.
pub(super) struct Incoming {
    client: ClientId,
    path: String,
    /// None once all of it has come.
    file: Option<Box<dyn RawFile>>,
    replace: Option<Replace>,
}

impl<C: Collect> Engine<C> {
    /// Makes the file that a replacement is received in.
    pub(super) fn begin_replacement(&mut self, client: ClientId) -> Result<Answer<C>> {
        if self.incoming.is_some() {
            return Err(Error::new(
                Code::Busy,
                "the store is being replaced already; wait for that to end",
            ));
        }
        let path = format!("{}-incoming", self.file.full_path()?);
        let mode = OpenMode {
            create: true,
            ..OpenMode::default()
        };
        let mut file = self.file.storage.open(&path, mode).map_err(failed)?;
        // One that a killed owner has left.
        file.truncate(0).map_err(failed)?;
        self.incoming = Some(Incoming {
            client,
            path,
            file: Some(file),
            replace: None,
        });
        Ok(super::done())
    }

    /// Takes in some of its bytes.
    pub(super) fn receive_replacement(
        &mut self,
        offset_bytes: u64,
        bytes: &[u8],
    ) -> Result<Answer<C>> {
        let file = self.expect_incoming()?.file.as_mut();
        let file = file.ok_or_else(|| {
            Error::new(
                Code::TransactionState,
                "the whole of the new content has been sent already",
            )
        })?;
        file.write_at(bytes, offset_bytes).map_err(failed)?;
        Ok(super::done())
    }

    fn expect_incoming(&mut self) -> Result<&mut Incoming> {
        self.incoming.as_mut().ok_or_else(|| {
            Error::new(
                Code::TransactionState,
                "no replacement is under way: it has ended, or the owner of the file was lost",
            )
        })
    }

    /// The next piece of checking what was received; the last one puts it in the store's place.
    pub(super) fn step_replacement(&mut self, keep: &str) -> Result<Answer<C>> {
        let result = self.go_on_replacing(keep);
        if !matches!(result, Ok(None)) {
            self.give_up_replacement();
        }
        let table = match result? {
            None => working("check", 0, 0),
            Some(replaced) => {
                self.info.generation.clone_from(&replaced.generation);
                self.epoch_is_written = false;
                let generation = replaced.generation;
                let kept_bytes = replaced.kept_bytes;
                report_of(format!(
                    "{{\"generation\":\"{generation}\",\"keptBytes\":{kept_bytes}}}"
                ))
            }
        };
        Ok(Answer {
            reply: Reply::Table(table),
            messages: C::default(),
        })
    }

    fn go_on_replacing(&mut self, keep: &str) -> Result<Option<Replaced>> {
        self.connections()?;
        let storage = Rc::clone(&self.file.storage);
        let vfs = Rc::clone(&self.file.vfs);
        let incoming = self.expect_incoming()?;
        if let Some(mut file) = incoming.file.take() {
            file.sync(false).map_err(failed)?;
        }
        let mut replace = match incoming.replace.take() {
            Some(replace) => replace,
            None => Replace::begin(storage, &vfs, &incoming.path, keep)?,
        };
        let Some(connections) = self.connections.as_mut() else {
            return Ok(None);
        };
        loop {
            // From when the writer is needed nobody else may write, so the rest is done at once.
            let at_once = replace.needs_writer();
            match replace.step(&mut connections.writer)? {
                Progress::Done(replaced) => return Ok(Some(replaced)),
                Progress::Working { .. } if at_once => {}
                Progress::Working { .. } => {
                    self.expect_incoming()?.replace = Some(replace);
                    return Ok(None);
                }
            }
        }
    }

    /// Ends the replacement that a client was sending, where it is gone.
    pub(super) fn give_up_replacement_of(&mut self, client: ClientId) {
        if self
            .incoming
            .as_ref()
            .is_some_and(|incoming| incoming.client == client)
        {
            self.give_up_replacement();
        }
    }

    pub(super) fn give_up_replacement(&mut self) {
        let Some(incoming) = self.incoming.take() else {
            return;
        };
        let Incoming {
            path,
            file,
            replace,
            ..
        } = incoming;
        if let (Some(mut replace), Some(connections)) = (replace, &self.connections) {
            replace.abandon(&connections.writer);
        }
        drop(file);
        // A file that stays behind is emptied by the next replacement.
        let _ = self.file.storage.delete(&path, false);
    }

    /// A request of upkeep in the turn of the writer.
    pub(super) fn run_upkeep(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        rows: &[u8],
    ) -> Result<Answer<C>> {
        match request {
            Request::ReplaceBegin => self.begin_replacement(client),
            Request::ReplaceWrite { offset_bytes } => self.receive_replacement(*offset_bytes, rows),
            Request::ReplaceStep { keep } => self.step_replacement(keep),
            other => Err(Error::new(
                Code::Internal,
                format!("{} is not for the writer", other.verb()),
            )),
        }
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
