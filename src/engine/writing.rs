//! The writer: its queue, the group that shares a transaction, and the interactive transaction.
//!
//! What holds here: a write is acknowledged after the commit that it is part of, and never before;
//! a write that fails changes nothing, and takes no other with it. Where SQLite ends the transaction
//! of a group by itself (disk full, no memory, I/O error), the others are run again without it.

use std::collections::VecDeque;

use rusqlite::ffi;

use super::call::{Answer, Call, Collect, Event, Operation};
use super::request::{Reply, Request};
use super::scopes::{Transaction, snapshot_lost, transaction_lost};
use super::{Engine, done};
use crate::error::{Code, Error, Outcome, Result};
use crate::model::{Count, MessageRef, Page, PageEnds};
use crate::store::operations::{self, MessageRuns};
use crate::store::{Writer, bots, query, schema, search, sessions, streams};

/// Most writes that share a transaction, and most bytes of messages in it: who waits behind them
/// should not wait for long.
const GROUP_CALLS: usize = 256;
const GROUP_BYTES: usize = 8 << 20;
/// Messages that are indexed at a time while a search waits for the index.
const INDEX_SLICE_MESSAGES: u32 = 2_000;
/// How often the file is opened again after a failure before giving up.
const REOPENINGS: u32 = 3;
/// In the record of a commit, which has no arguments that could differ.
const COMMIT_FINGERPRINT: i64 = 0;
/// The savepoint that one call is, inside of a transaction with others.
const BEGIN_CALL: &str = "SAVEPOINT chatstore_call";
const KEEP_CALL: &str = "RELEASE chatstore_call";
const UNDO_CALL: &str = "ROLLBACK TO chatstore_call";

/// A call that waits, and how long.
pub(super) struct Waiting {
    pub(super) call: Call,
    pub(super) deadline_ms: f64,
    /// How often it was run in vain.
    runs: u32,
}

impl Waiting {
    pub(super) fn new(call: Call, now_ms: f64) -> Self {
        Self {
            deadline_ms: now_ms + call.timeout_ms,
            call,
            runs: 0,
        }
    }

    pub(super) fn settle<C>(self, result: Result<Answer<C>>) -> Event<C> {
        Event::Reply {
            call: self.call.id,
            client: self.call.client,
            result,
        }
    }

    pub(super) fn timed_out(&self, holder: &str) -> Error {
        let advice = if holder == "transaction" {
            "a transaction is still open; inside its callback use tx.* instead of store.*, which waits for the transaction to end"
        } else {
            "others were before it"
        };
        self.timeout(format!(
            "{} waited {} ms for its turn to write: {advice}",
            self.call.job.outline().verb(),
            self.call.timeout_ms
        ))
        .with("waitedFor", holder)
    }

    pub(super) fn pool_exhausted(&self, connections: usize) -> Error {
        let message = format!(
            "all {connections} connections of the pool were held by snapshots, cursors or exports until the time was over; \
             end them sooner, or raise pool.max"
        );
        Error::new(Code::PoolExhausted, message).with("connections", connections as i64)
    }

    fn timeout(&self, message: String) -> Error {
        Error::new(Code::Timeout, message)
            .with("timeoutMs", self.call.timeout_ms as i64)
            .with_outcome(Outcome::NotApplied)
    }
}

/// Why a group was not committed.
enum GroupFailure {
    /// One of its calls made SQLite end the transaction.
    Call(usize, Error),
    /// Beginning or committing failed.
    Commit(Error),
}

impl<C: Collect> Engine<C> {
    /// Runs what stands first in the queue: a group of writes, a search, or the begin of a transaction.
    pub(super) fn run_queue(&mut self, now_ms: f64) {
        if self.scopes.transaction.is_some() {
            return;
        }
        let Some(first) = self.queue.front() else {
            return;
        };
        match first.call.job.outline() {
            Request::TransactionBegin { lease_ms } => {
                let lease_ms = *lease_ms;
                if let Some(waiting) = self.queue.pop_front() {
                    let client = waiting.call.client;
                    let result = self.begin_transaction(now_ms, client, lease_ms);
                    self.events.push(waiting.settle(result));
                }
            }
            Request::Search { .. } | Request::SnapshotBegin { .. } => self.run_indexed(now_ms),
            request if request.is_upkeep() => {
                if let Some(waiting) = self.queue.pop_front() {
                    let Call { client, job, .. } = &waiting.call;
                    let result = self.run_upkeep(*client, job.outline(), job.rows());
                    // What is wrong with the new content says nothing of the store.
                    let result = result.map_err(|error| self.file.explain(error));
                    self.idle.note_write();
                    self.events.push(waiting.settle(result));
                }
            }
            _ => self.run_writes(),
        }
    }

    /// What stands first needs the whole index: one slice of what it lacks, or the call itself.
    fn run_indexed(&mut self, now_ms: f64) {
        let behind = self.index_is_behind().and_then(|is_behind| {
            if is_behind {
                self.index(INDEX_SLICE_MESSAGES)?;
            }
            Ok(is_behind)
        });
        if let Ok(true) = behind {
            return;
        }
        let Some(waiting) = self.queue.pop_front() else {
            return;
        };
        let result = behind.and_then(|_| match waiting.call.job.outline() {
            Request::Search { .. } => {
                let left_ms = waiting.deadline_ms - now_ms;
                self.read(&waiting.call.job, left_ms).map(Some)
            }
            _ => self.begin_snapshot(now_ms, &waiting.call),
        });
        match result {
            Ok(None) => self.snapshots_wanted.push_back(waiting),
            Ok(Some(answer)) => self.events.push(waiting.settle(Ok(answer))),
            Err(error) => self.events.push(waiting.settle(Err(error))),
        }
    }

    /// Brings some messages into the index, as a write of its own. Gives how many still wait, at least.
    pub(super) fn index(&mut self, messages: u32) -> Result<u64> {
        let request = Request::SearchIndex { limit: messages };
        match self.write_alone(&request)?.reply {
            Reply::Count(count) => Ok(count.messages),
            _ => Ok(0),
        }
    }

    fn run_writes(&mut self) {
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
        self.idle.note_write();
        let mut together = true;
        while !waiting.is_empty() {
            let group: Vec<Waiting> = if together {
                waiting.drain(..).collect()
            } else {
                waiting.pop_front().into_iter().collect()
            };
            match self.commit_group(&group) {
                Ok(results) => self.settle_all(group, results),
                Err(GroupFailure::Call(at, error)) => {
                    put_back(&mut waiting, self.sort_out(group, at..at + 1, error));
                }
                Err(GroupFailure::Commit(error)) if needs_reopening(&error) => {
                    let all = 0..group.len();
                    put_back(&mut waiting, self.sort_out(group, all, error));
                }
                Err(GroupFailure::Commit(error)) if group.len() == 1 => {
                    self.make_room_after(&error);
                    let results = vec![Err(error.with_outcome(Outcome::NotApplied))];
                    self.settle_all(group, results);
                }
                Err(GroupFailure::Commit(_)) => {
                    // Together they need more than there is; some of them may do with what there is.
                    together = false;
                    put_back(&mut waiting, group);
                }
            }
        }
    }

    fn settle_all(&mut self, group: Vec<Waiting>, results: Vec<Result<Answer<C>>>) {
        let settled = group.into_iter().zip(results);
        self.events
            .extend(settled.map(|(waiting, result)| waiting.settle(result)));
    }

    /// After a failure: opens the file again where that is called for, settles those of the group
    /// that failed for good, and gives back those that are to be run again.
    fn sort_out(
        &mut self,
        group: Vec<Waiting>,
        failed: std::ops::Range<usize>,
        error: Error,
    ) -> Vec<Waiting> {
        let mended = needs_reopening(&error) && self.reopen(&error).is_ok();
        self.make_room_after(&error);
        let outcome = self.outcome_of_lost_writes();
        let mut again = Vec::new();
        for (at, mut waiting) in group.into_iter().enumerate() {
            let to_blame = failed.contains(&at);
            if to_blame {
                waiting.runs += 1;
            }
            let for_good = to_blame && (!mended || waiting.runs > self.retries);
            if for_good {
                let error = error.clone().with_outcome(outcome);
                self.events.push(waiting.settle(Err(error)));
            } else {
                again.push(waiting);
            }
        }
        again
    }

    /// On a full disk, moves what is in the log into the file: the log begins anew in the room that it
    /// has, so that something can still be deleted.
    fn make_room_after(&mut self, error: &Error) {
        if error.code() == Code::DiskFull
            && let Some(connections) = &self.connections
        {
            let _ = connections.checkpoint();
        }
    }

    /// What became of writes that were not acknowledged when the file was opened again: nothing is
    /// left of them. Where it could not be opened, the next owner may find them.
    fn outcome_of_lost_writes(&self) -> Outcome {
        if self.connections.is_some() {
            Outcome::NotApplied
        } else {
            Outcome::Unknown
        }
    }

    /// Runs writes in one transaction and commits it. Each has a result of its own then.
    fn commit_group(
        &mut self,
        group: &[Waiting],
    ) -> std::result::Result<Vec<Result<Answer<C>>>, GroupFailure> {
        let commit_failed = |engine: &Self, error| GroupFailure::Commit(engine.file.explain(error));
        self.begin_writing()
            .map_err(|error| commit_failed(self, error))?;
        let alone = group.len() == 1;
        let mut results = Vec::with_capacity(group.len());
        for (at, waiting) in group.iter().enumerate() {
            let Call { job, operation, .. } = &waiting.call;
            let result = self.as_savepoint(alone, |engine| {
                let mut messages = C::default();
                let operation = operation.as_ref().map(|known| (known, job.fingerprint()));
                let reply = engine.write(job.request()?, operation, &mut |message| {
                    messages.message(message);
                })?;
                Ok(Answer { reply, messages })
            });
            let result = result.map_err(|error| self.judge(error));
            if self.has_rolled_back() {
                let error = result.err().unwrap_or_else(|| {
                    Error::new(
                        Code::Internal,
                        "the transaction of a write was not open any more",
                    )
                });
                return Err(GroupFailure::Call(at, error));
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
            if !self.has_rolled_back() {
                // Where this fails as well, the error of the commit says what matters.
                let _ = self.execute("ROLLBACK");
            }
            return Err(commit_failed(self, error));
        }
        self.note_epoch();
        self.counters.groups += 1;
        self.counters.grouped_calls += results.len() as u64;
        Ok(results)
    }

    /// One write by itself, at once, for hosts that have nobody waiting.
    pub(super) fn write_alone(&mut self, request: &Request<'_>) -> Result<Answer<C>> {
        if self.scopes.transaction.is_some() {
            return Err(Error::new(
                Code::Busy,
                "another transaction is writing; wait for it to end",
            ));
        }
        self.idle.note_write();
        let mut runs = 0;
        loop {
            let mut messages = C::default();
            let result = self.begin_writing().and_then(|()| {
                let reply = self.write(request.clone(), None, &mut |message| {
                    messages.message(message);
                })?;
                self.expect_matching_pages()?;
                self.execute("COMMIT")?;
                Ok(reply)
            });
            let error = match result {
                Ok(reply) => {
                    self.note_epoch();
                    return Ok(Answer { reply, messages });
                }
                Err(error) => self.judge(error),
            };
            if !self.has_rolled_back() {
                let _ = self.execute("ROLLBACK");
            }
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

    fn begin_writing(&mut self) -> Result<()> {
        if let Some(error) = &self.refuses_writes {
            return Err(error.clone());
        }
        self.connections()?;
        self.execute("BEGIN IMMEDIATE")
    }

    /// Runs a call so that its failure takes back what it did. `alone`: its transaction is rolled back then.
    fn as_savepoint<T>(
        &mut self,
        alone: bool,
        action: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if alone {
            return action(self);
        }
        self.execute(BEGIN_CALL)?;
        let result = action(self).and_then(|value| {
            self.execute(KEEP_CALL)?;
            Ok(value)
        });
        if result.is_err() && !self.has_rolled_back() {
            let undone = self
                .execute(UNDO_CALL)
                .and_then(|()| self.execute(KEEP_CALL));
            if undone.is_err() && !self.has_rolled_back() {
                // What should have been taken back would be committed with the rest. Where this fails
                // as well, the commit does too.
                let _ = self.execute("ROLLBACK");
            }
        }
        result
    }

    /// One write within an open transaction, with the record of its operation.
    fn write(
        &self,
        request: Request<'_>,
        operation: Option<(&Operation, i64)>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        let writer = self.context()?;
        if !self.epoch_is_written {
            schema::write_epoch(writer.connection, self.info.epoch)?;
        }
        // Deltas are numbered: sent again they are known already.
        let repeatable = matches!(request, Request::MessagesAppend { .. });
        let Some((operation, fingerprint)) = operation.filter(|_| !repeatable) else {
            return request.write(writer, visit);
        };
        if let Some(reply) = repeat(writer, operation, fingerprint, visit)? {
            return Ok(reply);
        }
        let mut runs = MessageRuns::default();
        let reply = request.write(writer, &mut |message| {
            runs.note(message);
            visit(message);
        })?;
        let outcome = match &reply {
            Reply::Bots(page) => page
                .items
                .first()
                .map(|bot| operations::Outcome::Bot(bot.id.clone())),
            Reply::Sessions(page) => page
                .items
                .first()
                .map(|session| operations::Outcome::Session(session.id.clone())),
            Reply::Count(count) => Some(operations::Outcome::Count(*count)),
            _ => None,
        };
        let outcome = outcome.unwrap_or(operations::Outcome::Messages(runs));
        operations::record(
            writer,
            &operation.id,
            fingerprint,
            &outcome,
            self.info.epoch,
        )?;
        Ok(reply)
    }

    /// After a commit: what wrote the epoch may have been taken back while the rest was kept.
    fn note_epoch(&mut self) {
        self.epoch_is_written = self.epoch_is_written
            || self
                .writer()
                .and_then(|writer| schema::epoch(writer))
                .is_ok_and(|epoch| epoch == self.info.epoch);
    }

    fn context(&self) -> Result<Writer<'_>> {
        Ok(Writer {
            connection: self.writer()?,
            now_ms: self.file.vfs.now_ms(),
            ids: &self.ids,
        })
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.writer()?.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Whether SQLite has ended the open transaction by itself.
    fn has_rolled_back(&self) -> bool {
        self.writer().is_ok_and(|writer| writer.is_autocommit())
    }

    // The interactive transaction.

    pub(super) fn begin_transaction(
        &mut self,
        now_ms: f64,
        client: super::ClientId,
        lease_ms: f64,
    ) -> Result<Answer<C>> {
        let mut begun = self.begin_writing();
        if let Err(error) = &begun
            && needs_reopening(error)
            && self.reopen(&error.clone()).is_ok()
        {
            begun = self.begin_writing();
        }
        begun.map_err(|error| self.judge(error))?;
        self.idle.note_write();
        let scope = self.scopes.next();
        self.scopes.transaction = Some(Transaction {
            scope,
            client,
            lease_ms,
            lease_until_ms: now_ms + lease_ms,
            savepoints: Vec::new(),
        });
        Ok(Answer {
            reply: Reply::Scope(scope),
            messages: C::default(),
        })
    }

    /// Runs one call within the open transaction: a step of it, or a verb as a savepoint of its own.
    pub(super) fn run_in_transaction(&mut self, call: &Call) -> Result<Answer<C>> {
        match call.job.outline() {
            Request::TransactionCommit => {
                self.commit_transaction(call.operation.as_ref())?;
            }
            Request::TransactionRollback => self.roll_back(),
            Request::TransactionSavepoint => self.open_savepoint()?,
            Request::TransactionRelease => self.keep_savepoint()?,
            Request::TransactionRollbackTo => self.undo_savepoint()?,
            request if request.is_control() => {
                return Err(Error::new(
                    Code::TransactionState,
                    format!("{} cannot be called within a transaction", request.verb()),
                ));
            }
            _ => {
                let mut messages = C::default();
                let request = call.job.request()?;
                let reply =
                    self.visit_in_transaction(request, call.timeout_ms, &mut |message| {
                        messages.message(message);
                    })?;
                return Ok(Answer { reply, messages });
            }
        }
        Ok(done())
    }

    pub(super) fn visit_in_transaction(
        &mut self,
        request: Request<'_>,
        timeout_ms: f64,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        let is_query = matches!(request, Request::Query { .. });
        let result = if is_query {
            // The writer sees the transaction's own changes, but must not run SQL of the caller's
            // with its rights: the authorizer is on for just this call.
            let connections = self.connections.as_mut();
            let Some(connections) = connections else {
                return Err(self.scopes.why_not_open(0));
            };
            self.file.within(timeout_ms, || {
                query::guarded(&mut connections.writer, |connection| {
                    request.read(connection, visit)
                })
            })
        } else {
            self.as_savepoint(false, |engine| {
                if request.is_write() {
                    return engine.write(request, None, visit);
                }
                if matches!(request, Request::Search { .. }) {
                    streams::settle_all(engine.context()?)?;
                    while search::catch_up(engine.context()?, u32::MAX)? > 0 {}
                }
                let writer = engine.writer()?;
                let read = || request.read(writer, visit);
                engine.file.within(timeout_ms, read)
            })
        };
        let error = match result {
            Ok(reply) => return Ok(reply),
            Err(error) => self.judge(error),
        };
        if !self.has_rolled_back() {
            return Err(error);
        }
        // A full disk or the like made SQLite roll the whole transaction back.
        let lost = transaction_lost("a call of the transaction failed", &error);
        self.lose_transaction(lost.clone());
        if needs_reopening(&error) {
            let _ = self.reopen(&error);
        }
        Err(lost)
    }

    pub(super) fn commit_transaction(&mut self, operation: Option<&Operation>) -> Result<()> {
        let committed = self
            .record_commit(operation)
            .and_then(|()| self.execute("COMMIT"));
        let Err(error) = committed else {
            self.scopes.transaction = None;
            self.note_epoch();
            return Ok(());
        };
        let error = self.judge(error);
        if !self.has_rolled_back() {
            let _ = self.execute("ROLLBACK");
        }
        if needs_reopening(&error) {
            let _ = self.reopen(&error);
        }
        let error = error.with_outcome(self.outcome_of_lost_writes());
        if let Some(open) = self.scopes.transaction.take() {
            self.scopes.remember(open.scope, error.clone());
        }
        Err(error)
    }

    fn record_commit(&self, operation: Option<&Operation>) -> Result<()> {
        let Some(operation) = operation else {
            return Ok(());
        };
        let nothing = operations::Outcome::Count(Count::default());
        operations::record(
            self.context()?,
            &operation.id,
            COMMIT_FINGERPRINT,
            &nothing,
            self.info.epoch,
        )
    }

    /// A commit whose transaction is not open: it was sent again, and was done the first time or not.
    pub(super) fn find_commit(&mut self, call: &Call) -> Result<()> {
        let not_open = self.scopes.why_not_open(call.scope);
        let Some(operation) = &call.operation else {
            return Err(not_open);
        };
        let reader = &self.connections()?.reader;
        match operations::find(reader, &operation.id)? {
            Some(record) if record.fingerprint == COMMIT_FINGERPRINT => Ok(()),
            Some(_) => Err(operation_mismatch(operation)),
            None if operations::may_be_forgotten(reader, operation.first_sent_ms)? => {
                Err(outcome_unknown(operation))
            }
            None => Err(not_open.with_outcome(Outcome::NotApplied)),
        }
    }

    /// Takes back all of the interactive transaction, where one is open.
    pub(super) fn roll_back(&mut self) {
        if self.scopes.transaction.take().is_none() || self.has_rolled_back() {
            return;
        }
        if let Err(error) = self.execute("ROLLBACK") {
            // A writer that cannot even roll back is of no more use.
            let _ = self.reopen(&error);
        }
    }

    /// The transaction ends before its client ended it.
    pub(super) fn lose_transaction(&mut self, error: Error) {
        let Some(open) = &self.scopes.transaction else {
            return;
        };
        let (client, scope) = (open.client, open.scope);
        self.roll_back();
        self.scopes.remember(scope, error.clone());
        self.events.push(Event::Lost {
            client,
            scope,
            error,
        });
    }

    pub(super) fn open_savepoint(&mut self) -> Result<()> {
        let name = format!("chatstore_{}", self.expect_transaction()?.savepoints.len());
        self.execute(&format!("SAVEPOINT {name}"))?;
        self.expect_transaction()?.savepoints.push(name);
        Ok(())
    }

    pub(super) fn keep_savepoint(&mut self) -> Result<()> {
        self.close_savepoint("RELEASE {}")
    }

    pub(super) fn undo_savepoint(&mut self) -> Result<()> {
        let undone = self.close_savepoint("ROLLBACK TO {}; RELEASE {}");
        if let Err(error) = &undone
            && error.code() != Code::TransactionState
        {
            // What should have been taken back would be committed with the rest.
            let lost = transaction_lost("a savepoint could not be taken back", error);
            self.lose_transaction(lost);
        }
        undone
    }

    /// Ends the innermost savepoint; `{}` in the SQL stands for its name.
    fn close_savepoint(&mut self, sql: &str) -> Result<()> {
        let name = self
            .expect_transaction()?
            .savepoints
            .pop()
            .ok_or_else(|| Error::new(Code::TransactionState, "no savepoint is open"))?;
        Ok(self.writer()?.execute_batch(&sql.replace("{}", &name))?)
    }

    pub(super) fn expect_transaction(&mut self) -> Result<&mut Transaction> {
        self.scopes
            .transaction
            .as_mut()
            .ok_or_else(|| Error::new(Code::TransactionState, "no transaction is open"))
    }

    // After a failure.

    /// Closes everything and opens the file again, as a new owner would. What was written and not
    /// flushed is cut off first, so that nothing of it can come back.
    fn reopen(&mut self, cause: &Error) -> Result<()> {
        let lost = transaction_lost("the file had to be opened again", cause);
        if let Some(open) = self.scopes.transaction.take() {
            self.scopes.remember(open.scope, lost.clone());
            self.events.push(Event::Lost {
                client: open.client,
                scope: open.scope,
                error: lost,
            });
        }
        for (scope, open) in std::mem::take(&mut self.scopes.snapshots) {
            let error = snapshot_lost("the file had to be opened again", cause);
            self.scopes.remember(scope, error.clone());
            self.events.push(Event::Lost {
                client: open.client,
                scope,
                error,
            });
            self.pool.forget(open.connection);
        }
        self.pool.clear();
        if let Some(connections) = self.connections.take() {
            connections.keep_log();
        }
        self.counters.reopened += 1;
        let mut result = Err(cause.clone());
        for _ in 0..REOPENINGS {
            result = self.file.connect().map(|connections| {
                self.connections = Some(connections);
            });
            if result.is_ok() {
                break;
            }
        }
        self.events.push(Event::Notice {
            kind: "reopened",
            message: match &result {
                Ok(()) => format!("the file was opened again after a failure: {cause}"),
                Err(error) => format!("the file could not be opened again: {error}"),
            },
        });
        result
    }
}

/// Before those behind them, which may need what they write.
fn put_back(waiting: &mut VecDeque<Waiting>, group: Vec<Waiting>) {
    for one in group.into_iter().rev() {
        waiting.push_front(one);
    }
}

/// The result of a write that was done before, where it was.
fn repeat(
    writer: Writer<'_>,
    operation: &Operation,
    fingerprint: i64,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<Option<Reply>> {
    let connection = writer.connection;
    let Some(record) = operations::find(connection, &operation.id)? else {
        let sent_again = operation.attempt > 1;
        if sent_again && operations::may_be_forgotten(connection, operation.first_sent_ms)? {
            return Err(outcome_unknown(operation));
        }
        return Ok(None);
    };
    if record.fingerprint != fingerprint {
        return Err(operation_mismatch(operation));
    }
    Ok(Some(match record.outcome {
        operations::Outcome::Bot(id) => {
            let bot = bots::get(connection, &id)?.ok_or_else(|| Error::not_found("bot", &id))?;
            Reply::Bots(only(bot))
        }
        operations::Outcome::Session(id) => {
            let session = sessions::get(connection, &id)?;
            Reply::Sessions(only(
                session.ok_or_else(|| Error::not_found("session", &id))?,
            ))
        }
        operations::Outcome::Count(count) => Reply::Count(count),
        operations::Outcome::Messages(runs) => {
            runs.read(connection, visit)?;
            Reply::Messages(PageEnds::default())
        }
    }))
}

fn outcome_unknown(operation: &Operation) -> Error {
    Error::new(
        Code::OutcomeUnknown,
        "the write was sent again after the records of its time were dropped; whether it took effect is not known",
    )
    .with("operationId", operation.id.clone())
    .with_outcome(Outcome::Unknown)
}

fn operation_mismatch(operation: &Operation) -> Error {
    Error::new(
        Code::OperationMismatch,
        format!(
            "operationId: expected an id that no other write has, received {:?}, which was used with other arguments",
            operation.id
        ),
    )
    .with("operationId", operation.id.clone())
}

fn only<T>(item: T) -> Page<T> {
    Page {
        items: vec![item],
        ends: PageEnds::default(),
    }
}

/// Whether nothing is certain any more about what the connections hold in memory: an I/O error that
/// is neither a lack of room or memory nor one page that does not fit its checksum.
fn needs_reopening(error: &Error) -> bool {
    let primary = error.number("sqliteCode").map(|code| code & 0xff);
    error.code() == Code::IoError && primary == Some(i64::from(ffi::SQLITE_IOERR))
}
