//! Reads outside of transactions and snapshots: at once, each on one state of the store.

use super::Engine;
use super::call::{Answer, Collect, Job};
use super::reply::Reply;
use super::request::Request;
use crate::error::{Code, Error, Result};
use crate::model::MessageRef;
use crate::store::{search, streams};
use crate::vfs::Connection;

impl<C: Collect> Engine<C> {
    pub(super) fn index_is_behind(&mut self) -> Result<bool> {
        let behind = is_behind(&self.connections()?.reader);
        self.vouch(behind)
    }

    pub(super) fn read(&mut self, job: &Job, timeout_ms: f64) -> Result<Answer<C>> {
        let mut messages = C::default();
        let reply = self.read_request(job.request()?, timeout_ms, &mut |message| {
            messages.message(message);
        })?;
        Ok(Answer { reply, messages })
    }

    pub(super) fn read_request(
        &mut self,
        request: Request<'_>,
        timeout_ms: f64,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        self.connections()?;
        let Some(connections) = &self.connections else {
            return Err(self.scopes.why_not_open(0));
        };
        let result = self.file.within(timeout_ms, || {
            if let Request::Query { .. } = request {
                return request.read(connections.query(&self.file)?, visit);
            }
            let reader = &connections.reader;
            // One snapshot for all statements of the call. Its end is ready before it begins: a reader that
            // stayed in it would show the same state for ever.
            let mut end = reader.prepare_cached("COMMIT")?;
            reader.prepare_cached("BEGIN")?.execute([])?;
            let result = request.read(reader, visit);
            let ended = end.execute([]);
            let reply = result?;
            ended?;
            Ok(reply)
        });
        self.vouch(result)
    }
}

pub(super) fn index_pending() -> Error {
    Error::new(Code::IndexPending, "messages wait for the search index")
}

/// Whether a search would miss something: a message, or what has come of a reply under way.
pub(super) fn is_behind(connection: &Connection) -> Result<bool> {
    Ok(search::is_behind(connection)? || streams::are_unsettled(connection)?)
}
