//! The writer's queue: what waits in it, for how long, and what comes next.
//!
//! What holds here: the order is kept, and everything that waits has a deadline. Must not know: how
//! writes share a transaction (`group_commit.rs`).

use std::cell::Cell;

use super::Engine;
use super::call::{Answer, Call, Collect, Event, Job};
use super::reply::Reply;
use super::request::Request;
use crate::error::{Code, Error, Outcome, Result};
use crate::vfs::monotonic_ms;

/// Messages that are indexed at a time while a search waits for the index.
const INDEX_SLICE_MESSAGES: u32 = 2_000;

/// A call that waits, and how long.
pub(super) struct Waiting {
    pub(super) call: Call,
    settle_until_ms: f64,
    /// For a connection of the pool; none in the writers' queue.
    acquire_until_ms: f64,
    /// How long it ran; none where the step ran nothing else.
    run_ms: Cell<Option<f64>>,
}

impl Waiting {
    pub(super) fn new(call: Call, now_ms: f64) -> Self {
        Self {
            settle_until_ms: now_ms + call.timeout_ms,
            acquire_until_ms: f64::INFINITY,
            run_ms: Cell::new(Some(0.0)),
            call,
        }
    }

    pub(super) fn deadline_ms(&self) -> f64 {
        self.settle_until_ms.min(self.acquire_until_ms)
    }

    /// From now on it waits for a connection of the pool, for so long at most.
    pub(super) fn wait_for_pool(&mut self, now_ms: f64, acquire_timeout_ms: f64) {
        self.acquire_until_ms = now_ms + acquire_timeout_ms;
    }

    /// From now on it waits for the writer.
    pub(super) fn wait_for_writer(&mut self) {
        self.acquire_until_ms = f64::INFINITY;
    }

    /// Runs it by itself: its time is that of the step, and is not taken twice.
    pub(super) fn run<T>(&self, run: impl FnOnce(&Call) -> T) -> T {
        self.run_ms.set(None);
        run(&self.call)
    }

    /// Runs it in a step with others.
    pub(super) fn run_timed<T>(&self, run: impl FnOnce(&Call) -> T) -> T {
        let began_ms = monotonic_ms();
        let value = run(&self.call);
        self.run_ms.set(Some(monotonic_ms() - began_ms));
        value
    }

    pub(super) fn settle<C>(self, result: Result<Answer<C>>) -> Event<C> {
        Event::Reply {
            call: self.call.id,
            client: self.call.client,
            result,
            run_ms: self.run_ms.get(),
        }
    }

    pub(super) fn timed_out(&self, holder: &str) -> Error {
        let is_search = matches!(self.call.job.outline(), Request::Search { .. });
        if is_search && holder != "transaction" {
            let message = format!(
                "search waited {} ms for what was written since the last one to be indexed; that goes on: search again, or raise timeoutMs",
                self.call.timeout_ms
            );
            return self.timeout(message).with("waitedFor", "search index");
        }
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
                    let result = waiting.run(|Call { client, job, .. }| {
                        self.run_upkeep(*client, job.outline(), job.rows())
                    });
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
        let not_indexed = match self.index_is_behind() {
            Ok(true) => match self.index(INDEX_SLICE_MESSAGES) {
                Ok(_) => return,
                Err(error) => Some(error),
            },
            _ => None,
        };
        let Some(mut waiting) = self.queue.pop_front() else {
            return;
        };
        let result = if let Request::Search { .. } = waiting.call.job.outline() {
            let left_ms = waiting.deadline_ms() - now_ms;
            let answer = waiting.run(|Call { job, .. }| match not_indexed {
                Some(error) if error.code() == Code::DiskFull => self
                    .search_unwritten(job, left_ms)
                    .map_err(|failure| match failure.code() {
                        Code::TransactionLost => error,
                        _ => failure,
                    }),
                Some(error) if !self.never_writes() => Err(error),
                _ => self.read(job, left_ms),
            });
            answer.map(Some)
        } else {
            self.begin_snapshot(now_ms, &waiting.call)
        };
        match result {
            Ok(None) => {
                waiting.wait_for_pool(now_ms, self.pool.options().acquire_timeout_ms);
                self.snapshots_wanted.push_back(waiting);
            }
            Ok(Some(answer)) => self.events.push(waiting.settle(Ok(answer))),
            Err(error) => self.events.push(waiting.settle(Err(error))),
        }
    }

    /// Whether the file is damaged or for reading only: what is indexed is all that can be found in it.
    pub(super) fn never_writes(&self) -> bool {
        self.refuses_writes.is_some()
            || self
                .writer()
                .is_ok_and(|writer| writer.is_readonly("main").unwrap_or(false))
    }

    /// A search in a transaction that indexes what it needs and is taken back: without room on the
    /// disk there may be enough in memory.
    fn search_unwritten(&mut self, job: &Job, left_ms: f64) -> Result<Answer<C>> {
        self.begin_writing()?;
        let mut messages = C::default();
        let result = self.visit_in_transaction(job.request()?, left_ms, &mut |message| {
            messages.message(message);
        });
        self.roll_back_writer();
        result.map(|reply| Answer { reply, messages })
    }

    /// Brings some messages into the index, as a write of its own. Gives how many still wait, at least.
    pub(super) fn index(&mut self, messages: u32) -> Result<u64> {
        let request = Request::SearchIndex { limit: messages };
        match self.write_alone(&request)?.reply {
            Reply::Count(count) => Ok(count.messages),
            _ => Ok(0),
        }
    }
}
