//! Snapshots: from the wait for a connection of the pool to the end of the lease.
//!
//! Each holds a connection that shows one state of the store. Must not know: when time is up; who
//! ends what is over (`mod.rs`) says so.

use super::Engine;
use super::call::{Answer, Call, Collect, Event};
use super::queue::Waiting;
use super::read::{index_pending, is_behind};
use super::reply::Reply;
use super::request::Request;
use super::scopes::{self, Snapshot};
use super::upkeep::Work;
use crate::error::{Code, Error, Result};
use crate::model::MessageRef;

impl<C: Collect> Engine<C> {
    pub(super) fn submit_snapshot(&mut self, now_ms: f64, call: Call) -> Result<Option<Answer<C>>> {
        if self.snapshots_wanted.is_empty()
            && let Some(answer) = self.begin_snapshot(now_ms, &call)?
        {
            return Ok(Some(answer));
        }
        let mut waiting = Waiting::new(call, now_ms);
        waiting.wait_for_pool(now_ms, self.pool.options().acquire_timeout_ms);
        self.snapshots_wanted.push_back(waiting);
        Ok(None)
    }

    pub(super) fn begin_snapshot(&mut self, now_ms: f64, call: &Call) -> Result<Option<Answer<C>>> {
        let Request::SnapshotBegin {
            lease_ms, purpose, ..
        } = *call.job.outline()
        else {
            return Ok(None);
        };
        self.connections()?;
        let checked_out = self.pool.check_out(&self.file);
        let Some(connection) = checked_out.map_err(|error| self.judge(error))? else {
            return Ok(None);
        };
        let work = match Work::begin(purpose, &connection) {
            Ok(work) => work,
            Err(error) => {
                self.pool.check_in(connection, 0.0, now_ms);
                return Err(self.judge(error));
            }
        };
        let scope = self.scopes.next();
        self.scopes.snapshots.insert(
            scope,
            Snapshot {
                client: call.client,
                connection,
                work,
                lease_ms,
                lease_until_ms: now_ms + lease_ms,
                began_ms: now_ms,
            },
        );
        Ok(Some(Answer {
            reply: Reply::Scope(scope),
            messages: C::default(),
        }))
    }

    pub(super) fn give_out_snapshots(&mut self, now_ms: f64) {
        while self.pool.has_room()
            && let Some(mut waiting) = self.snapshots_wanted.pop_front()
        {
            let indexed = matches!(
                waiting.call.job.outline(),
                Request::SnapshotBegin { indexed: true, .. }
            );
            if indexed && self.index_is_behind().unwrap_or(false) {
                // Something was written while it waited.
                waiting.wait_for_writer();
                self.queue.push_back(waiting);
                continue;
            }
            let result = match self.begin_snapshot(now_ms, &waiting.call) {
                Ok(None) => {
                    self.snapshots_wanted.push_front(waiting);
                    return;
                }
                Ok(Some(answer)) => Ok(answer),
                Err(error) => Err(error),
            };
            self.events.push(waiting.settle(result));
        }
    }

    pub(super) fn read_in_snapshot(&mut self, now_ms: f64, call: &Call) -> Result<Answer<C>> {
        let never_writes = self.never_writes();
        let Some(open) = self.scopes.snapshots.get_mut(&call.scope) else {
            return Err(self.scopes.why_not_open(call.scope));
        };
        open.lease_until_ms = now_ms + open.lease_ms;
        let request = call.job.request()?;
        if let Request::SnapshotStep = request {
            let Some(work) = &mut open.work else {
                return Err(Error::new(
                    Code::TransactionState,
                    "this snapshot is for reading; a check or a copy has one of its own",
                ));
            };
            let is_check = work.is_check();
            let (table, found_sound) = work
                .step(&open.connection)
                .map_err(|error| self.judge(error))?;
            // A check says itself what does not match, and changes nothing; a copy of that is no good.
            if !is_check {
                self.expect_matching_pages()?;
            } else if found_sound {
                // It has read every page, and each is as it was written.
                self.trust();
            }
            return Ok(Answer {
                reply: Reply::Table(table),
                messages: C::default(),
            });
        }
        if request.is_write() || request.is_control() {
            return Err(Error::new(
                Code::TransactionState,
                format!(
                    "{} changes the store, and a snapshot only reads",
                    request.verb()
                ),
            ));
        }
        let mut messages = C::default();
        let mut visit = |message: &MessageRef<'_>| messages.message(message);
        let result = self.file.within(call.timeout_ms, || {
            if let Request::Query { .. } = request {
                return crate::store::query::guarded(&mut open.connection, |connection| {
                    request.read(connection, &mut visit)
                });
            }
            let is_search = matches!(request, Request::Search { .. });
            if is_search && !never_writes && is_behind(&open.connection)? {
                return Err(index_pending());
            }
            request.read(&open.connection, &mut visit)
        });
        let has_ended = result.is_err() && open.connection.is_autocommit();
        let reply = self.vouch(result).inspect_err(|error| {
            if has_ended {
                // SQLite gave the state up with the failed read: the next one would see another.
                let lost = scopes::snapshot_lost("a read of it failed", error);
                self.lose_snapshot(now_ms, call.scope, lost);
            }
        })?;
        Ok(Answer { reply, messages })
    }

    pub(super) fn end_snapshot(&mut self, now_ms: f64, scope: u32) {
        if let Some(open) = self.scopes.snapshots.remove(&scope) {
            let held_ms = now_ms - open.began_ms;
            self.pool.check_in(open.connection, held_ms, now_ms);
        }
    }

    pub(super) fn lose_snapshot(&mut self, now_ms: f64, scope: u32, error: Error) {
        let Some(open) = self.scopes.snapshots.get(&scope) else {
            return;
        };
        let client = open.client;
        self.end_snapshot(now_ms, scope);
        self.scopes.remember(scope, error.clone());
        self.events.push(Event::Lost {
            client,
            scope,
            error,
        });
    }
}
