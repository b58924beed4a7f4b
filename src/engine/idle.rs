//! Work that can be done at any time: the search index, the log, the records of operations, the pool, what
//! the query planner goes by, and trash that is old, where that is wanted.
//!
//! Each step does a little of one kind, so that a call that comes meanwhile waits for that at most.

use super::call::Collect;
use super::{Engine, Request, Task};
use crate::error::{Code, Error, Result};
use crate::store::{operations, search, sessions, streams};

/// How long nothing must have been written before the index follows, milliseconds.
const INDEX_AFTER_MS: f64 = 50.0;
/// Messages that are indexed at a time.
const INDEX_SLICE_MESSAGES: u32 = 500;
/// How long nothing must have been written before the log is moved into the file, milliseconds.
const CHECKPOINT_AFTER_MS: f64 = 500.0;
/// Frames below which that is not worth a flush of the file.
const CHECKPOINT_FRAMES: i64 = 250;
/// Frames from which it is done between two writes: 16 MiB.
const LOG_FRAMES: i64 = 4_000;
/// Bytes that have to be written before it is worth asking how long the log is: 1 MiB.
const LOG_LOOK_BYTES: u64 = 1 << 20;
/// Frames from which snapshots that hold the log back are given up, the oldest first: 256 MiB.
const LOG_FRAMES_MAX: i64 = 64_000;
/// How long clients of a former owner have to connect again, milliseconds.
const CLIENTS_RETURN_WITHIN_MS: f64 = 2_000.0;
/// How often records of operations are looked through, and how long they are kept, milliseconds.
const PRUNE_EVERY_MS: f64 = 600_000.0;
const OPERATIONS_KEPT_MS: i64 = 24 * 60 * 60 * 1_000;
/// How often old trash is looked for, milliseconds, and how many rows of it go at a time.
const PURGE_EVERY_MS: f64 = 600_000.0;
const PURGE_SLICE_ROWS: u32 = 500;

/// What is known of what could be done.
#[derive(Default)]
pub(super) struct Idle {
    /// Something was written since the last step.
    wrote: bool,
    last_write_ms: f64,
    index_may_be_behind: bool,
    log_may_be_long: bool,
    /// What the storage had been given to write when the length of the log was asked for last.
    log_looked_at_bytes: u64,
    pruned_ms: f64,
    /// How old trash has to be; none: it is kept for ever. And when it is looked for next.
    purge_trash_after_ms: Option<f64>,
    purge_at_ms: f64,
    /// Clients that are gone, whose replies under way are to be ended.
    lost_clients: Vec<String>,
    /// When replies of clients that did not come back are ended; none where that is done.
    lost_streams_ms: Option<f64>,
}

impl Idle {
    pub(super) fn new(purge_trash_after_ms: Option<f64>) -> Self {
        Self {
            purge_trash_after_ms,
            ..Self::default()
        }
    }

    /// Something is being written.
    pub(super) fn note_write(&mut self) {
        self.wrote = true;
    }

    /// A client is gone.
    pub(super) fn note_lost_client(&mut self, name: String) {
        self.lost_clients.push(name);
    }

    /// Clients of a former owner may come back for some time.
    pub(super) fn wait_for_clients(&mut self) {
        self.lost_streams_ms = Some(f64::NEG_INFINITY);
    }
}

impl<C: Collect> Engine<C> {
    /// Does some of what is due. Gives when there will be more to do.
    pub(super) fn work_while_idle(&mut self, now_ms: f64) -> f64 {
        let wrote = std::mem::take(&mut self.idle.wrote);
        if wrote {
            self.idle.last_write_ms = now_ms;
            self.idle.index_may_be_behind = true;
            self.idle.log_may_be_long = true;
        }
        if self.scopes.transaction.is_some() {
            return f64::INFINITY;
        }
        if wrote {
            self.keep_log_short(now_ms);
        }
        let streams_ms = self.end_streams_of_lost_clients(now_ms);
        let pool_ms = self.pool.close_unused(now_ms).unwrap_or(f64::INFINITY);
        let mut next_ms = pool_ms.min(streams_ms);
        if !self.queue.is_empty() {
            return next_ms;
        }
        let index_at_ms = self.idle.last_write_ms + INDEX_AFTER_MS;
        let checkpoint_at_ms = self.idle.last_write_ms + CHECKPOINT_AFTER_MS;
        if self.idle.index_may_be_behind {
            if now_ms < index_at_ms {
                next_ms = next_ms.min(index_at_ms);
            } else {
                self.idle.index_may_be_behind = self.index_some().unwrap_or(false);
                // The next slice comes after whatever waits for the thread.
                next_ms = next_ms.min(now_ms);
            }
        } else if self.idle.log_may_be_long {
            if now_ms < checkpoint_at_ms {
                next_ms = next_ms.min(checkpoint_at_ms);
            } else {
                self.idle.log_may_be_long = false;
                self.checkpoint_if_worth_it();
                self.prune_operations(now_ms);
            }
        } else if self.snapshots_wanted.is_empty() {
            next_ms = next_ms.min(self.purge_trash(now_ms));
        }
        next_ms
    }

    fn end_streams_of_lost_clients(&mut self, now_ms: f64) -> f64 {
        let clients = std::mem::take(&mut self.idle.lost_clients);
        if !clients.is_empty() {
            // What fails is done when the file is opened next.
            let _ = self.end_streams_of(|name| clients.iter().any(|lost| lost == name));
        }
        match self.idle.lost_streams_ms {
            None => f64::INFINITY,
            Some(due_ms) if due_ms == f64::NEG_INFINITY => {
                let due_ms = now_ms + CLIENTS_RETURN_WITHIN_MS;
                self.idle.lost_streams_ms = Some(due_ms);
                due_ms
            }
            Some(due_ms) if due_ms > now_ms => due_ms,
            Some(_) => {
                self.idle.lost_streams_ms = None;
                self.end_lost_streams();
                f64::INFINITY
            }
        }
    }

    /// Ends the replies under way whose clients are not connected. What fails, as in a file that
    /// cannot be written, is done when it is opened next.
    pub(super) fn end_lost_streams(&mut self) {
        let connected: Vec<String> = self.clients.values().cloned().collect();
        let _ = self.end_streams_of(|name| !connected.iter().any(|known| known == name));
    }

    fn end_streams_of(&mut self, is_lost: impl Fn(&str) -> bool) -> Result<()> {
        let open = streams::open_streams(&self.connections()?.reader)?;
        let mut clients: Vec<String> = open.into_iter().map(|stream| stream.client).collect();
        clients.retain(|name| is_lost(name));
        clients.dedup();
        if clients.is_empty() {
            return Ok(());
        }
        self.write_alone(&Request::MessagesEndOf { clients })
            .map(drop)
    }

    /// Gives whether there is more to index. A failure ends it until the next write: a search
    /// catches up by itself.
    fn index_some(&mut self) -> Result<bool> {
        // What has come of replies under way waits for a search that asks for it.
        if !search::is_behind(&self.connections()?.reader)? {
            return Ok(false);
        }
        let left = self.index(INDEX_SLICE_MESSAGES);
        // That was no write of a caller's, whatever came of it.
        self.idle.wrote = false;
        Ok(left? > 0)
    }

    /// Moves the log into the file where it has grown long, which asks SQLite and is not done for each
    /// write: the log cannot have grown by more than what was written. Where snapshots hold it back for too
    /// long, the oldest of them is given up.
    fn keep_log_short(&mut self, now_ms: f64) {
        let written_bytes = self.file.vfs.figures().written_bytes;
        if written_bytes - self.idle.log_looked_at_bytes < LOG_LOOK_BYTES {
            return;
        }
        self.idle.log_looked_at_bytes = written_bytes;
        let Some(connections) = self
            .connections
            .as_ref()
            .filter(|_| self.refuses_writes.is_none())
        else {
            return;
        };
        let Ok((all, moved)) = connections.log_frames() else {
            return;
        };
        if all - moved >= self.log_frames() {
            self.checkpoint();
        }
        if all >= LOG_FRAMES_MAX
            && let Some(oldest) = self.scopes.oldest_snapshot()
        {
            let error = Error::new(
                Code::SnapshotExpired,
                "the snapshot kept the log from being emptied until it had grown too long; read faster, or less at once",
            );
            self.lose_snapshot(now_ms, oldest, error);
        }
    }

    /// Where room is kept back, the log has to fit in it several times.
    fn log_frames(&self) -> i64 {
        match self.file.storage.reserve_bytes() {
            0 => LOG_FRAMES,
            bytes => i64::try_from(bytes / 4 / 4096).unwrap_or(LOG_FRAMES),
        }
    }

    fn checkpoint_if_worth_it(&mut self) {
        let Some(connections) = &self.connections else {
            return;
        };
        if self.refuses_writes.is_none()
            && matches!(connections.log_frames(), Ok((all, moved)) if all - moved >= CHECKPOINT_FRAMES)
        {
            self.checkpoint();
        }
    }

    fn prune_operations(&mut self, now_ms: f64) {
        if now_ms - self.idle.pruned_ms < PRUNE_EVERY_MS {
            return;
        }
        self.idle.pruned_ms = now_ms;
        let before_ms = self.file.vfs.now_ms() - OPERATIONS_KEPT_MS;
        // What fails is done the next time.
        let _ = self.in_transaction(&|engine| {
            operations::prune(engine.context()?, before_ms)?;
            Ok(super::done())
        });
        let _ = self.maintain_alone(Task::Optimize, 0);
    }

    /// Deletes some of what has been in the trash for long enough. Gives when to go on.
    fn purge_trash(&mut self, now_ms: f64) -> f64 {
        let Some(after_ms) = self.idle.purge_trash_after_ms else {
            return f64::INFINITY;
        };
        if now_ms >= self.idle.purge_at_ms {
            self.idle.purge_at_ms = now_ms + PURGE_EVERY_MS;
            let deleted_before_ms = self.file.vfs.now_ms() - after_ms as i64;
            if let Ok(true) = self.has_trash(deleted_before_ms) {
                let request = Request::SessionsPurge {
                    deleted_before_ms,
                    limit: PURGE_SLICE_ROWS,
                };
                if self.write_alone(&request).is_ok() {
                    // The rest follows when the index has.
                    self.idle.purge_at_ms = now_ms;
                }
            }
        }
        self.idle.purge_at_ms
    }

    fn has_trash(&mut self, deleted_before_ms: i64) -> Result<bool> {
        sessions::has_trash(&self.connections()?.reader, deleted_before_ms)
    }
}
