//! The engine: one file, its connections, and the rules by which calls run on them.
//!
//! A state machine without I/O of its own above the VFS: calls come in by [`Engine::submit`], time
//! by [`Engine::step`], and what settled is taken out with [`Engine::take`]. Timers, channels and
//! threads belong to whoever hosts it.
//!
//! - One connection writes, one reads, one runs the caller's own SQL, and those of the pool each
//!   hold a snapshot. All belong to one VFS, so that a reader sees the last commit and is never held
//!   up by the writer.
//! - Writes wait in a queue. Those that wait at the same time share one transaction and one flush
//!   (`queue.rs`, `group_commit.rs`); each takes effect whole or not at all.
//! - An interactive transaction holds the writer, on a lease; a snapshot holds a connection of the
//!   pool, on a lease too (`transaction.rs`, `snapshot.rs`, `scopes.rs`, `pool.rs`).
//! - Nothing waits in SQLite. Everything that waits has a deadline.

mod call;
mod changes;
mod connections;
mod direct;
mod group_commit;
mod idempotency;
mod idle;
mod maintenance;
mod options;
mod pool;
mod queue;
mod read;
mod recovery;
mod reply;
mod request;
mod scopes;
mod snapshot;
mod stats;
mod transaction;
mod trust;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};

pub use call::{Answer, Call, ClientId, Collect, Event, Job, Operation};
pub use maintenance::Task;
pub use options::{Durability, Info, Options, PoolOptions};
pub use pool::PoolFigures;
pub use reply::{Reply, Table};
pub use request::Request;
pub use upkeep::Purpose;

use connections::{Connections, File};
use idle::Idle;
use pool::Pool;
use queue::Waiting;
use scopes::Scopes;
use stats::Counters;
use upkeep::Incoming;

use crate::error::{Code, Error, Outcome, Result};
use crate::ids::IdMaker;
use crate::model::Message;
use crate::vfs::{Connection, Storage};

/// An open chatstore file.
///
/// ```
/// use chatstore::model::{NewBot, PageOptions};
/// use chatstore::vfs::MemoryStorage;
/// use chatstore::{Durability, Engine, Reply, Request};
///
/// let mut engine = Engine::open(MemoryStorage::new(), "chats.sqlite", Durability::Strict)?;
/// let bot = NewBot { name: "Ada".into(), ..NewBot::default() };
/// engine.call(Request::BotsCreate(bot), &mut |_| ())?;
///
/// let list = Request::BotsList { deleted: false, page: PageOptions::default() };
/// let Reply::Bots(page) = engine.call(list, &mut |_| ())? else { unreachable!() };
/// assert_eq!(page.items[0].name, "Ada");
/// # Ok::<(), chatstore::Error>(())
/// ```
///
/// Many clients at once:
///
/// ```
/// use chatstore::engine::{Call, Event, Job};
/// use chatstore::model::NewBot;
/// use chatstore::vfs::MemoryStorage;
/// use chatstore::{Durability, Engine, Request};
///
/// let mut engine = Engine::open(MemoryStorage::new(), "chats.sqlite", Durability::Strict)?;
/// for id in 1..=3 {
///     let bot = NewBot { name: format!("Bot {id}"), ..NewBot::default() };
///     let job = Job::new(Request::BotsCreate(bot));
///     let call = Call { id, client: 0, scope: 0, job, operation: None, timeout_ms: 1_000.0 };
///     assert!(engine.submit(0.0, call)?.is_none(), "a write waits for the next step");
/// }
/// engine.step(0.0);
/// assert_eq!(engine.take().len(), 3);
/// # Ok::<(), chatstore::Error>(())
/// ```
pub struct Engine<C = Vec<Message>> {
    file: File,
    /// None where the file could not be opened again after a failure.
    connections: Option<Connections>,
    pool: Pool,
    scopes: Scopes,
    /// What waits for the writer, in order.
    queue: VecDeque<Waiting>,
    /// What waits for a connection of the pool, in order.
    snapshots_wanted: VecDeque<Waiting>,
    events: Vec<Event<C>>,
    clients: BTreeMap<ClientId, String>,
    ids: IdMaker,
    info: Info,
    /// Whether this owner's epoch stands in the file yet.
    epoch_is_written: bool,
    retries: u32,
    /// Why nothing is written any more: the file is damaged.
    refuses_writes: Option<Error>,
    /// Whether a page that does not match its checksum was damaged, and not written by a stranger.
    is_trusted: bool,
    /// The room was used up, and what was kept back of it was given away.
    is_tight: bool,
    /// New content for the whole store, on its way.
    incoming: Option<Incoming>,
    idle: Idle,
    counters: Counters,
}

impl Engine {
    /// Opens the file at a path of a storage; makes it where there is none.
    ///
    /// # Errors
    /// `NOT_A_STORE` and `SCHEMA_TOO_NEW` leave the file untouched; `STORE_LOCKED`, `CORRUPT`,
    /// `READ_ONLY`, `DISK_FULL`, `IO_ERROR`.
    pub fn open(storage: impl Storage, path: &str, options: impl Into<Options>) -> Result<Self> {
        Self::open_with(storage, path, options)
    }
}

impl<C: Collect> Engine<C> {
    /// As [`Engine::open`], for a host that wants messages in another form than [`Message`].
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with(
        storage: impl Storage,
        path: &str,
        options: impl Into<Options>,
    ) -> Result<Self> {
        let Options {
            durability,
            pool,
            retries,
            purge_trash_after_ms,
            clients_may_return,
            read_only,
        } = options.into();
        let file = File::new(storage, path, durability, read_only)?;
        // Until its seal was looked at, a page that does not match may be a stranger's.
        file.set_policy(false);
        let opened = file.connect().and_then(|connections| {
            let is_trusted = file.judge_seal(&connections)?;
            let info = file.info(&connections)?;
            Ok((connections, is_trusted, info))
        });
        let is_trusted_or_lost = !matches!(opened, Ok((_, false, _)));
        if let Some(error) = file.mismatch().filter(|_| is_trusted_or_lost) {
            return Err(error);
        }
        let (connections, is_trusted, mut info) = opened.map_err(|error| file.explain(error))?;
        info.epoch += 1;
        let mut engine = Self {
            file,
            connections: Some(connections),
            pool: Pool::new(pool),
            scopes: Scopes::default(),
            queue: VecDeque::new(),
            snapshots_wanted: VecDeque::new(),
            events: Vec::new(),
            clients: BTreeMap::new(),
            ids: IdMaker::default(),
            info,
            epoch_is_written: false,
            retries,
            refuses_writes: None,
            is_trusted,
            is_tight: false,
            incoming: None,
            idle: Idle::new(purge_trash_after_ms),
            counters: Counters::default(),
        };
        if clients_may_return {
            engine.idle.wait_for_clients();
        } else {
            engine.end_lost_streams();
        }
        Ok(engine)
    }

    /// Limits the memory that SQLite takes, for all stores of this process or wasm instance: what
    /// does not fit fails with `OUT_OF_MEMORY` and leaves the store usable.
    pub fn limit_memory(bytes: i64) {
        // SAFETY: it sets a number in SQLite, which guards it itself.
        unsafe { rusqlite::ffi::sqlite3_hard_heap_limit64(bytes) };
    }

    /// What is known of the store.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Takes in a call. Reads, and calls within a transaction or snapshot, are answered at once;
    /// none where the call waits, to be settled by a later [`step`](Self::step).
    ///
    /// # Errors
    /// Those of the verb, where it was run at once.
    pub fn submit(&mut self, now_ms: f64, mut call: Call) -> Result<Option<Answer<C>>> {
        if let Some(name) = self.clients.get(&call.client) {
            call.job.set_client(name);
        }
        if call.scope != 0 {
            return self.submit_in_scope(now_ms, &call).map(Some);
        }
        match call.job.outline() {
            Request::SnapshotBegin { indexed, .. } => {
                if *indexed && self.index_is_behind()? {
                    self.enqueue(now_ms, call);
                    return Ok(None);
                }
                self.submit_snapshot(now_ms, call)
            }
            Request::Search { .. } if self.index_is_behind()? => {
                self.enqueue(now_ms, call);
                Ok(None)
            }
            request
                if request.is_write()
                    || request.is_upkeep()
                    || matches!(request, Request::TransactionBegin { .. }) =>
            {
                self.enqueue(now_ms, call);
                Ok(None)
            }
            request if request.is_control() => Err(self.scopes.why_not_open(0)),
            _ => self.read(&call.job, call.timeout_ms).map(Some),
        }
    }

    fn enqueue(&mut self, now_ms: f64, call: Call) {
        self.queue.push_back(Waiting::new(call, now_ms));
        self.counters.queue_deepest = self.counters.queue_deepest.max(self.queue.len());
    }

    fn submit_in_scope(&mut self, now_ms: f64, call: &Call) -> Result<Answer<C>> {
        let is_commit = matches!(call.job.outline(), Request::TransactionCommit);
        // It was meant for a transaction of the owner that was lost, whatever is open here.
        let attempt = call.operation.as_ref().map_or(1, |known| known.attempt);
        let is_sent_again = is_commit && attempt > 1;
        if self.scopes.is_transaction(call.scope, call.client) && !is_sent_again {
            return self.run_in_transaction(call);
        }
        if is_commit {
            return self.find_commit(call).map(|()| done());
        }
        if !self.scopes.is_snapshot(call.scope, call.client) {
            return Err(self.scopes.why_not_open(call.scope));
        }
        if matches!(call.job.outline(), Request::SnapshotEnd) {
            self.end_snapshot(now_ms, call.scope);
            return Ok(done());
        }
        self.read_in_snapshot(now_ms, call)
    }

    /// Does what is due: runs what waits for the writer as one group, ends what is over, gives out
    /// connections, and, where nothing waits, some of the work that can be done at any time. Gives
    /// when to call again; none where there is nothing to do before the next call comes.
    pub fn step(&mut self, now_ms: f64) -> Option<f64> {
        self.end_what_is_over(now_ms);
        self.run_queue(now_ms);
        self.give_out_snapshots(now_ms);
        let idle_ms = self.work_while_idle(now_ms);
        let writer_is_free = self.scopes.transaction.is_none();
        if writer_is_free && !self.queue.is_empty() {
            return Some(now_ms);
        }
        let waiting = self.queue.iter().chain(&self.snapshots_wanted);
        let next_ms = waiting
            .map(|waiting| waiting.deadline_ms())
            .fold(self.scopes.next_end_ms(), f64::min)
            .min(idle_ms);
        next_ms.is_finite().then_some(next_ms)
    }

    /// What happened since the last time, in order.
    pub fn take(&mut self) -> Vec<Event<C>> {
        std::mem::take(&mut self.events)
    }

    /// Takes a call that waits out of its queue. One that was run, or is running, is left alone.
    pub fn cancel(&mut self, call: u64) {
        let error = || {
            Error::new(
                Code::Aborted,
                "the call was aborted by its signal before it ran; nothing of it was applied",
            )
            .with_outcome(Outcome::NotApplied)
        };
        for queue in [&mut self.queue, &mut self.snapshots_wanted] {
            if let Some(at) = queue.iter().position(|waiting| waiting.call.id == call)
                && let Some(waiting) = queue.remove(at)
            {
                self.events.push(waiting.settle(Err(error())));
            }
        }
    }

    /// A client is there. `name` is what it is called for as long as it lives, whoever owns the file.
    pub fn connect(&mut self, client: ClientId, name: String) {
        self.clients.insert(client, name);
    }

    /// A client is gone: its transaction is rolled back, its snapshots end, what it waits for is dropped.
    pub fn disconnect(&mut self, now_ms: f64, client: ClientId) {
        for queue in [&mut self.queue, &mut self.snapshots_wanted] {
            queue.retain(|waiting| waiting.call.client != client);
        }
        let snapshots = &self.scopes.snapshots;
        let of_client: Vec<u32> = snapshots
            .iter()
            .filter(|(_, open)| open.client == client)
            .map(|(scope, _)| *scope)
            .collect();
        for scope in of_client {
            self.end_snapshot(now_ms, scope);
        }
        let open = self.scopes.transaction.as_ref();
        if open.is_some_and(|open| open.client == client) {
            self.roll_back();
        }
        self.give_up_replacement_of(client);
        if let Some(name) = self.clients.remove(&client) {
            // A failure is no loss: the reply is looked at again when the file is opened next.
            self.idle.note_lost_client(name);
        }
    }

    /// Ends what is open, moves the log into the file and closes it.
    ///
    /// # Errors
    /// What writing can fail with; the file is closed all the same, and nothing that was
    /// acknowledged is lost: it is in the log then.
    pub fn close(mut self) -> Result<()> {
        self.roll_back();
        self.give_up_replacement();
        self.scopes.snapshots.clear();
        self.pool.clear();
        let sealed_ms = self.seal_if_anything_was_written();
        let keeps_log = self.never_writes();
        let Some(connections) = self.connections.take() else {
            return Ok(());
        };
        if keeps_log {
            connections.keep_log();
            return Ok(());
        }
        // Closing would do this too, but could not say that it failed.
        let settled = connections.settle();
        drop(connections);
        if let Some(sealed_ms) = sealed_ms.filter(|_| settled.is_ok()) {
            self.file.keep_seal(sealed_ms);
        }
        settled.map_err(|error| self.file.explain(error))
    }

    /// Figures of the pool.
    pub fn pool_figures(&self) -> PoolFigures {
        self.pool.figures()
    }

    fn end_what_is_over(&mut self, now_ms: f64) {
        let holder = self
            .scopes
            .transaction
            .as_ref()
            .map_or("another write", |_| "transaction");
        let queues = [(&mut self.queue, false), (&mut self.snapshots_wanted, true)];
        for (queue, waits_for_pool) in queues {
            if !queue.iter().any(|waiting| waiting.deadline_ms() <= now_ms) {
                continue;
            }
            let (over, left): (VecDeque<_>, VecDeque<_>) = queue
                .drain(..)
                .partition(|waiting| waiting.deadline_ms() <= now_ms);
            *queue = left;
            for waiting in over {
                let error = if waits_for_pool {
                    self.pool.note_exhausted();
                    waiting.pool_exhausted(self.pool.options().max)
                } else {
                    waiting.timed_out(holder)
                };
                self.events.push(waiting.settle(Err(error)));
            }
        }
        let open = self.scopes.transaction.as_ref();
        if let Some(open) = open.filter(|open| open.lease_until_ms <= now_ms) {
            let error = scopes::transaction_over(open.lease_ms);
            self.lose_transaction(error);
        }
        for scope in self.scopes.expired_snapshots(now_ms) {
            let lease_ms = self.scopes.snapshots[&scope].lease_ms;
            self.lose_snapshot(now_ms, scope, scopes::snapshot_over(lease_ms));
        }
    }

    /// The connections, opened again where a failure has closed them.
    fn connections(&mut self) -> Result<&Connections> {
        if self.connections.is_none() {
            self.connections = Some(self.file.connect()?);
            // What is found now may be more than what was there.
            self.file.changes.anything();
        }
        self.connections.as_ref().ok_or_else(|| {
            Error::new(
                Code::Internal,
                "the connections of the store were not opened",
            )
        })
    }

    /// Adds to an error what the storage says, and stops writing where the file is damaged.
    pub(super) fn judge(&mut self, error: Error) -> Error {
        let error = self.file.explain(error);
        if error.code() == Code::Corrupt && self.refuses_writes.is_none() {
            self.refuses_writes = Some(Error::new(
                Code::Corrupt,
                format!(
                    "{} is damaged and is not written to any more: {}",
                    self.file.path,
                    error.message()
                ),
            ));
            self.events.push(Event::Notice {
                kind: "corrupt",
                message: error.message().to_owned(),
            });
        }
        error
    }

    /// The connection that an interactive transaction runs on, and all writes.
    fn writer(&self) -> Result<&Connection> {
        let connections = self.connections.as_ref();
        connections
            .map(|connections| &connections.writer)
            .ok_or_else(|| Error::new(Code::Internal, "the store has no connection to write on"))
    }
}

fn done<C: Collect>() -> Answer<C> {
    Answer {
        reply: Reply::Done,
        messages: C::default(),
    }
}
