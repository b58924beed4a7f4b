//! What happens after a failure: which of them poison what the connections hold in memory, how the
//! file is opened again then, and what has become of the writes that were under way.

use std::cell::Cell;

use rusqlite::ffi;

use super::Engine;
use super::call::{Collect, Event};
use super::request::Request;
use super::scopes::{snapshot_lost, transaction_lost};
use crate::error::{Code, Error, Outcome, Result};
use crate::store::{search, value};

/// How often the file is opened again after a failure before giving up.
const REOPENINGS: u32 = 3;
/// Pages of the file that have to be free for something to be written where there is no other room: 1 MiB.
const FREE_PAGES: i64 = 256;
/// Deleted messages that are taken out of the search index at a time then.
const STALE_MESSAGES: u32 = 16;

impl<C: Collect> Engine<C> {
    /// Closes everything and opens the file again, as a new owner would. What was written and not
    /// flushed is cut off first, so that nothing of it can come back.
    pub(super) fn reopen(&mut self, cause: &Error) -> Result<()> {
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
        self.file.changes.anything();
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

    /// On a full disk, moves what is in the log into the file, for which it may need what was kept back: the
    /// log begins anew in the room that it has, so that something can still be deleted.
    pub(super) fn make_room_after(&mut self, error: &Error) {
        if error.code() == Code::DiskFull
            && let Some(connections) = &self.connections
        {
            self.file.storage.release_reserve();
            self.is_tight = true;
            self.counters.checkpoints += u64::from(connections.checkpoint().is_ok());
        }
    }

    /// There may be room again, to be kept back as before.
    pub(super) fn look_for_room(&mut self) {
        self.is_tight = self.is_tight && !self.file.storage.hold_reserve();
    }

    /// The texts of deleted messages stand in the file until they are out of the search index. What is not in
    /// it yet waits: it would take room.
    pub(super) fn free_pages_where_tight(&mut self) {
        while self.is_tight && self.drop_stale().unwrap_or(false) {
            self.checkpoint();
        }
    }

    /// Gives whether there was anything.
    fn drop_stale(&mut self) -> Result<bool> {
        let dropped = Cell::new(0);
        self.in_transaction(&|engine| {
            dropped.set(search::drop_stale(engine.writer()?, STALE_MESSAGES)?);
            Ok(super::done())
        })?;
        Ok(dropped.get() > 0)
    }

    /// Where nothing is kept back any more, only that may be written which the file has pages for: what
    /// else the log could still take would fit in the file no more, and then nothing could be deleted.
    pub(super) fn expect_room(&self, request: &Request<'_>) -> Result<()> {
        if !self.is_tight || request.deletes() {
            return Ok(());
        }
        let free: Option<i64> = value(self.writer()?, "PRAGMA freelist_count", [])?;
        if free.unwrap_or_default() >= FREE_PAGES {
            return Ok(());
        }
        Err(Error::new(
            Code::DiskFull,
            "the room is used up: delete something for good, or see to it that there is more room",
        ))
    }

    /// What became of writes that were not acknowledged when the file was opened again: nothing is
    /// left of them. Where it could not be opened, the next owner may find them.
    pub(super) fn outcome_of_lost_writes(&self) -> Outcome {
        if self.connections.is_some() {
            Outcome::NotApplied
        } else {
            Outcome::Unknown
        }
    }
}

/// Whether nothing is certain any more about what the connections hold in memory: an I/O error that
/// is neither a lack of room or memory nor one page that does not fit its checksum.
pub(super) fn needs_reopening(error: &Error) -> bool {
    let primary = error.number("sqliteCode").map(|code| code & 0xff);
    error.code() == Code::IoError && primary == Some(i64::from(ffi::SQLITE_IOERR))
}
