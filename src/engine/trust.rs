//! Whether the pages of a file are as this store wrote them.
//!
//! Each page carries a checksum. A program that does not know of them leaves stale ones, and a page
//! that it wrote looks like one that was damaged. So there is a seal: with each checkpoint, a time is
//! stored in the file, and the file's own time of change is set to it. A file whose seal is whole has
//! been written by nobody else: a page that does not match is an error. So has a copy whose change
//! counter is the one that it was given, wherever it went since. Without either, the first page that
//! does not match has the whole file checked; where it is sound, all its pages are sealed again, unless
//! it is open for reading only.

use super::Engine;
use super::call::{Collect, Event};
use super::connections::{Connections, File};
use super::recovery::needs_reopening;
use super::scopes::transaction_lost;
use crate::error::{Code, Error, Result};
use crate::store::{schema, value};
use crate::vfs::ChecksumPolicy;

impl File {
    /// Reads the seal and says how pages are to be judged from now on. To be called once, first.
    pub(super) fn judge_seal(&self, connections: &Connections) -> Result<bool> {
        let sealed_ms = schema::sealed_at_ms(&connections.reader)?;
        let is_as_copied = self.found_counter == Some(schema::counter_of_copy(sealed_ms));
        let is_whole = match self.found_modified_ms {
            // A place that keeps no times of change, or where there was no file before.
            None => true,
            Some(modified_ms) => sealed_ms == Some(modified_ms),
        };
        let is_trusted = is_whole || is_as_copied;
        self.set_policy(is_trusted);
        Ok(is_trusted)
    }

    pub(super) fn set_policy(&self, is_trusted: bool) {
        let policy = if is_trusted {
            ChecksumPolicy::Verify
        } else {
            ChecksumPolicy::Lenient
        };
        // It fails for a path that cannot be resolved only, and this one is open.
        let _ = self.vfs.set_checksum_policy(&self.path, policy);
    }

    /// The error for a page that did not match its checksum, where there was one.
    pub(super) fn mismatch(&self) -> Option<Error> {
        let damaged = self.vfs.damaged_pages(&self.path).ok()?;
        let page = damaged.pages.first()?;
        let path = &self.path;
        let why = if self.read_only {
            "it is damaged, or another program wrote it"
        } else {
            "the file is not sound"
        };
        let told = format!("page {page} of {path} is not as it was written: {why}");
        Some(Error::new(Code::ChecksumMismatch, told).with("page", i64::from(*page)))
    }
}

impl<C: Collect> Engine<C> {
    /// To be called before anything that was read is told, or kept: where the file has no seal and a
    /// page did not match, the file is checked, and its pages are sealed again.
    ///
    /// # Errors
    /// `CHECKSUM_MISMATCH` where the file turns out to be damaged.
    pub(super) fn expect_matching_pages(&mut self) -> Result<()> {
        if self.is_trusted {
            return Ok(());
        }
        let Some(error) = self.file.mismatch() else {
            return Ok(());
        };
        if self.file.read_only {
            // It could not be sealed again.
            return Err(error);
        }
        // From here on a page that does not match is an error, whatever is found now.
        self.is_trusted = true;
        let reader = &self.connections()?.reader;
        // FTS5's part of the check believes what it knows of segments, until a read shows it newer ones.
        let _: Option<i64> = value(reader, "SELECT rowid FROM messages_fts LIMIT 1", [])?;
        let found: Option<String> = value(reader, "PRAGMA integrity_check(1)", [])?;
        let is_sound = found.as_deref() == Some("ok");
        let resealed = if is_sound {
            self.file.vfs.reseal(&self.file.path).ok()
        } else {
            None
        };
        self.file.set_policy(true);
        let Some(resealed) = resealed else {
            self.forget_what_was_read(&error);
            self.events.push(Event::Notice {
                kind: "corrupt",
                message: error.message().to_owned(),
            });
            return Err(error);
        };
        self.events.push(Event::Notice {
            kind: "resealed",
            message: format!("another program has changed the file; it is sound, and {resealed} pages were sealed again"),
        });
        Ok(())
    }

    /// From here on a page that does not match is an error.
    pub(super) fn trust(&mut self) {
        self.is_trusted = true;
        self.file.set_policy(true);
    }

    /// As [`expect_matching_pages`](Self::expect_matching_pages), for the result of a call: its error too may
    /// come from a page that does not match. Judges it then.
    pub(super) fn vouch<T>(&mut self, result: Result<T>) -> Result<T> {
        self.expect_matching_pages()?;
        result.map_err(|error| self.judge(error))
    }

    /// Pages that do not match may lie in the memory of every connection, and a transaction may have
    /// built upon them.
    fn forget_what_was_read(&mut self, cause: &Error) {
        self.lose_transaction(transaction_lost("the file is damaged", cause));
        self.pool.clear();
        let always = self.connections.iter().flat_map(Connections::all);
        let snapshots = self.scopes.snapshots.values().map(|open| &open.connection);
        for connection in always.chain(snapshots) {
            // It has nothing to fail with.
            let _ = connection.execute_batch("PRAGMA shrink_memory");
        }
    }

    /// Moves the log into the file and seals it.
    pub(super) fn checkpoint(&mut self) {
        let sealed_ms = self.seal();
        let Some(connections) = &self.connections else {
            return;
        };
        match connections.checkpoint() {
            Ok(_) => {
                self.counters.checkpoints += 1;
                if let Some(sealed_ms) = sealed_ms {
                    self.file.keep_seal(sealed_ms);
                }
            }
            // No flush of the file would succeed any more. Another failure, such as of room, shows itself
            // at the next write, or at closing.
            Err(error) if needs_reopening(&error) => {
                let _ = self.reopen(&error);
            }
            Err(_) => {}
        }
    }

    /// As [`seal`](Self::seal), before closing: a file that was only read keeps its own.
    pub(super) fn seal_if_anything_was_written(&mut self) -> Option<i64> {
        let log = self.connections.as_ref()?.log_frames();
        let is_sealed = self.file.is_sealed(self.connections.as_ref()?);
        if matches!(log, Ok((0, _))) && is_sealed {
            return None;
        }
        self.seal()
    }

    /// Writes a new seal, to be kept once the log is in the file.
    pub(super) fn seal(&mut self) -> Option<i64> {
        let can_write = self.refuses_writes.is_none() && !self.file.read_only;
        if !self.is_trusted || !can_write || !self.file.has_times() {
            return None;
        }
        let sealed_ms = self.file.vfs.now_ms();
        let writer = self.writer().ok()?;
        schema::write_sealed_at(writer, sealed_ms).ok()?;
        Some(sealed_ms)
    }
}

impl File {
    fn is_sealed(&self, connections: &Connections) -> bool {
        let modified_ms = self.vfs.modified_ms(&self.path).unwrap_or_default();
        modified_ms.is_none()
            || schema::sealed_at_ms(&connections.reader).is_ok_and(|sealed| sealed == modified_ms)
    }

    fn has_times(&self) -> bool {
        matches!(self.vfs.modified_ms(&self.path), Ok(Some(_)))
    }

    /// Sets the file's time of change to the seal in it.
    pub(super) fn keep_seal(&self, sealed_ms: i64) {
        // Without it the file is merely checked where it would not have to be.
        let _ = self.vfs.set_modified_ms(&self.path, sealed_ms);
    }
}
