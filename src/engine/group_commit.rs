//! Group commit: writes that wait together share a transaction and its flush.
//!
//! What holds here: a write is acknowledged after the commit that it is part of, and never before;
//! a write that fails changes nothing, and takes no other with it. Where SQLite ends the transaction
//! of a group by itself (disk full, no memory, I/O error), its calls are run again one by one.

use std::collections::VecDeque;

use super::Engine;
use super::call::{Answer, Call, Collect};
use super::queue::Waiting;
use super::recovery::needs_reopening;
use super::request::Request;
use crate::error::{Code, Error, Result};
use crate::store::schema;

/// Most writes that share a transaction, and most bytes of messages in it: who waits behind them
/// should not wait for long.
const GROUP_CALLS: usize = 256;
const GROUP_BYTES: usize = 8 << 20;
/// The savepoint that one call is, inside of a transaction with others.
const BEGIN_CALL: &str = "SAVEPOINT chatstore_call";
const KEEP_CALL: &str = "RELEASE chatstore_call";
const UNDO_CALL: &str = "ROLLBACK TO chatstore_call";

impl<C: Collect> Engine<C> {
    pub(super) fn run_writes(&mut self) {
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        let mut size_bytes = 0;
        while let Some(next) = self.queue.front() {
            size_bytes += next.call.job.size_bytes();
            let fits = waiting.is_empty() || size_bytes <= GROUP_BYTES;
            if !next.call.job.outline().is_write() || !fits || waiting.len() == GROUP_CALLS {
                break;
            }
            waiting.extend(self.queue.pop_front());
        }
        self.free_pages_where_tight();
        self.idle.note_write();
        let timed = waiting.len() > 1;
        let (mut together, mut reopened) = (true, 0);
        while !waiting.is_empty() {
            let at_once = if together { waiting.len() } else { 1 };
            let group: Vec<Waiting> = waiting.drain(..at_once).collect();
            let error = match self.commit_group(&group, timed) {
                Ok(results) => {
                    self.settle_all(group, results);
                    continue;
                }
                Err(error) => error,
            };
            let poisoned = needs_reopening(&error);
            reopened += u32::from(poisoned);
            let is_lost = poisoned && self.reopen(&error).is_err();
            self.make_room_after(&error);
            let given_up = if is_lost || reopened / 2 > self.retries {
                // A disk that goes on failing is not asked once more for each that waits.
                group.len() + waiting.len()
            } else if group.len() == 1 && !(poisoned && reopened <= self.retries) {
                1
            } else {
                0
            };
            self.counters.retried += (group.len() - given_up.min(group.len())) as u64;
            let outcome = self.outcome_of_lost_writes();
            put_back(&mut waiting, group);
            for one in waiting.drain(..given_up) {
                let error = error.clone().with_outcome(outcome);
                self.events.push(one.settle(Err(error)));
            }
            // Together they may need more than there is, and what fails one must not fail the others.
            together = false;
        }
    }

    fn settle_all(&mut self, group: Vec<Waiting>, results: Vec<Result<Answer<C>>>) {
        let settled = group.into_iter().zip(results);
        self.events
            .extend(settled.map(|(waiting, result)| waiting.settle(result)));
    }

    /// Runs writes in one transaction and commits it. Each has a result of its own then, and a time
    /// of its own where the step runs others too.
    ///
    /// # Errors
    /// Where beginning or committing failed, or one of them made SQLite end the transaction: nothing of
    /// any of them is kept then.
    fn commit_group(&mut self, group: &[Waiting], timed: bool) -> Result<Vec<Result<Answer<C>>>> {
        // A savepoint keeps a copy of each page that its call changes, and calls seldom fail: where one
        // does, all is taken back and run again with savepoints.
        if let Some(results) = self.try_group(group, timed, false)? {
            return Ok(results);
        }
        let results = self.try_group(group, timed, true)?;
        Ok(results.unwrap_or_default())
    }

    /// Nothing where a call failed that had no savepoint, in a group with others: none of it is kept.
    fn try_group(
        &mut self,
        group: &[Waiting],
        timed: bool,
        savepoints: bool,
    ) -> Result<Option<Vec<Result<Answer<C>>>>> {
        self.begin_writing().map_err(|error| self.judge(error))?;
        let alone = group.len() == 1;
        let mut results = Vec::with_capacity(group.len());
        for waiting in group {
            let Call { job, operation, .. } = &waiting.call;
            let run = |engine: &mut Self| {
                let mut messages = C::default();
                let operation = operation.as_ref().map(|known| (known, job.fingerprint()));
                let reply = engine.write(job.request()?, operation, &mut |message| {
                    messages.message(message);
                })?;
                Ok(Answer { reply, messages })
            };
            let run = |_: &Call| {
                if savepoints {
                    self.as_savepoint(run)
                } else {
                    run(self)
                }
            };
            let result = if timed {
                waiting.run_timed(run)
            } else {
                waiting.run(run)
            };
            let is_open = !self.has_rolled_back();
            if result.is_err() && is_open && !savepoints && !alone {
                self.roll_back_writer();
                return Ok(None);
            }
            let result = result.map_err(|error| self.judge(error));
            if !is_open {
                return Err(result.err().unwrap_or_else(|| {
                    Error::new(
                        Code::Internal,
                        "the transaction of a write was not open any more",
                    )
                }));
            }
            results.push(result);
        }
        let nothing_to_keep = alone && results.iter().all(Result::is_err);
        let end = if nothing_to_keep {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        let ended = self
            .expect_matching_pages()
            .and_then(|()| self.execute(end));
        if let Err(error) = ended {
            self.roll_back_writer();
            return Err(self.judge(error));
        }
        if !nothing_to_keep {
            self.note_commit();
        }
        self.counters.note_group(results.len());
        Ok(Some(results))
    }

    /// One write by itself, at once, for hosts that have nobody waiting.
    pub(super) fn write_alone(&mut self, request: &Request<'_>) -> Result<Answer<C>> {
        self.idle.note_write();
        self.in_transaction(&|engine| {
            let mut messages = C::default();
            let reply = engine.write(request.clone(), None, &mut |message| {
                messages.message(message);
            })?;
            Ok(Answer { reply, messages })
        })
    }

    /// Runs an action in a transaction of its own, and again where the file was opened again after a
    /// failure.
    pub(super) fn in_transaction(
        &mut self,
        action: &dyn Fn(&mut Self) -> Result<Answer<C>>,
    ) -> Result<Answer<C>> {
        if self.scopes.transaction.is_some() {
            return Err(Error::new(
                Code::Busy,
                "another transaction is writing; wait for it to end",
            ));
        }
        let mut runs = 0;
        loop {
            let result = self.begin_writing().and_then(|()| {
                let value = action(self)?;
                self.expect_matching_pages()?;
                self.execute("COMMIT")?;
                Ok(value)
            });
            let error = match result {
                Ok(value) => {
                    self.note_commit();
                    return Ok(value);
                }
                Err(error) => self.judge(error),
            };
            self.roll_back_writer();
            runs += 1;
            if !needs_reopening(&error) {
                // Of a run before this one something may be left.
                return Err(if runs > 1 {
                    error.with_outcome(self.outcome_of_lost_writes())
                } else {
                    error
                });
            }
            if self.reopen(&error).is_err() || runs > self.retries {
                return Err(error.with_outcome(self.outcome_of_lost_writes()));
            }
        }
    }

    pub(super) fn begin_writing(&mut self) -> Result<()> {
        if let Some(error) = &self.refuses_writes {
            return Err(error.clone());
        }
        self.connections()?;
        self.look_for_room();
        self.file.changes.begin();
        self.execute("BEGIN IMMEDIATE")
    }

    /// Runs a call so that its failure takes back what it did.
    pub(super) fn as_savepoint<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.execute(BEGIN_CALL)?;
        let result = action(self).and_then(|value| {
            self.execute(KEEP_CALL)?;
            Ok(value)
        });
        if result.is_err() && !self.has_rolled_back() {
            let undone = self
                .execute(UNDO_CALL)
                .and_then(|()| self.execute(KEEP_CALL));
            if undone.is_err() {
                // What should have been taken back would be committed with the rest.
                self.roll_back_writer();
            }
        }
        result
    }

    /// After a commit: what it changed is to be told. What wrote the epoch may have been taken back while
    /// the rest was kept.
    pub(super) fn note_commit(&mut self) {
        self.file.changes.commit();
        self.epoch_is_written = self.epoch_is_written
            || self
                .writer()
                .and_then(|writer| schema::epoch(writer))
                .is_ok_and(|epoch| epoch == self.info.epoch);
    }

    pub(super) fn execute(&self, sql: &str) -> Result<()> {
        self.writer()?.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Whether no transaction is open on the writer: SQLite may have ended it by itself.
    pub(super) fn has_rolled_back(&self) -> bool {
        self.writer().map_or(true, |writer| writer.is_autocommit())
    }

    /// Takes back what is open on the writer. One that cannot even do that is of no more use.
    pub(super) fn roll_back_writer(&mut self) {
        if !self.has_rolled_back()
            && let Err(error) = self.execute("ROLLBACK")
            && !self.has_rolled_back()
        {
            let _ = self.reopen(&error);
        }
    }
}

/// Before those behind them, which may need what they write.
fn put_back(waiting: &mut VecDeque<Waiting>, group: Vec<Waiting>) {
    for one in group.into_iter().rev() {
        waiting.push_front(one);
    }
}
