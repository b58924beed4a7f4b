//! The interactive transaction: it holds the writer from its begin to its end, each call in it a
//! savepoint of its own.
//!
//! What holds here: a call that fails changes nothing of the transaction; where SQLite, or the engine,
//! had to end it, its client is told that it is lost.

use super::call::{Answer, Call, Collect, Event, Operation};
use super::recovery::needs_reopening;
use super::reply::Reply;
use super::request::Request;
use super::scopes::{Transaction, transaction_lost};
use super::{Engine, done};
use crate::error::{Code, Error, Result};
use crate::model::MessageRef;
use crate::store::{query, search, streams};

impl<C: Collect> Engine<C> {
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
            self.as_savepoint(|engine| {
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
        let error = match self.vouch(result) {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
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
            .and_then(|()| self.expect_matching_pages())
            .and_then(|()| self.execute("COMMIT"));
        let Err(error) = committed else {
            self.scopes.transaction = None;
            self.note_commit();
            return Ok(());
        };
        let error = self.judge(error);
        self.roll_back_writer();
        if needs_reopening(&error) {
            let _ = self.reopen(&error);
        }
        let error = error.with_outcome(self.outcome_of_lost_writes());
        if let Some(open) = self.scopes.transaction.take() {
            self.scopes.remember(open.scope, error.clone());
        }
        Err(error)
    }

    /// Takes back all of the interactive transaction, where one is open.
    pub(super) fn roll_back(&mut self) {
        if self.scopes.transaction.take().is_some() {
            self.roll_back_writer();
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

    /// Ends the innermost savepoint; `{}` in the SQL stands for its name. It stays where that fails.
    fn close_savepoint(&mut self, sql: &str) -> Result<()> {
        let open = &self.expect_transaction()?.savepoints;
        let name = open
            .last()
            .ok_or_else(|| Error::new(Code::TransactionState, "no savepoint is open"))?;
        let sql = sql.replace("{}", name);
        self.writer()?.execute_batch(&sql)?;
        self.expect_transaction()?.savepoints.pop();
        Ok(())
    }

    pub(super) fn expect_transaction(&mut self) -> Result<&mut Transaction> {
        self.scopes
            .transaction
            .as_mut()
            .ok_or_else(|| Error::new(Code::TransactionState, "no transaction is open"))
    }
}
