//! A write that is sent twice is done once: its record is kept with it, and found when it comes again.
//!
//! What holds here: the record of a write is part of its transaction. Must not know: who waits.

use super::Engine;
use super::call::{Call, Collect, Operation};
use super::reply::Reply;
use super::request::Request;
use crate::error::{Code, Error, Outcome, Result};
use crate::model::{Count, MessageRef, Page, PageEnds};
use crate::store::operations::{self, MessageRuns};
use crate::store::{Writer, bots, schema, sessions};

/// In the record of a commit, which has no arguments that could differ.
const COMMIT_FINGERPRINT: i64 = 0;

impl<C: Collect> Engine<C> {
    /// One write within an open transaction, with the record of its operation.
    pub(super) fn write(
        &self,
        request: Request<'_>,
        operation: Option<(&Operation, i64)>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        self.expect_room(&request)?;
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

    pub(super) fn context(&self) -> Result<Writer<'_>> {
        Ok(Writer {
            connection: self.writer()?,
            now_ms: self.file.vfs.now_ms(),
            ids: &self.ids,
        })
    }

    pub(super) fn record_commit(&self, operation: Option<&Operation>) -> Result<()> {
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
        let found = operations::find(reader, &operation.id).and_then(|record| match record {
            Some(record) => Ok((Some(record), false)),
            None => Ok((
                None,
                operations::may_be_forgotten(reader, operation.first_sent_ms)?,
            )),
        });
        match self.vouch(found)? {
            (Some(record), _) if record.fingerprint == COMMIT_FINGERPRINT => Ok(()),
            (Some(_), _) => Err(operation_mismatch(operation)),
            (None, true) => Err(outcome_unknown(operation)),
            (None, false) => Err(not_open.with_outcome(Outcome::NotApplied)),
        }
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
