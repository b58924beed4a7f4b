//! What happens to the store and its clients, one act after the other.

use chatstore::engine::PoolOptions;
use chatstore::{Durability, Options};

use super::choice::{some_read, some_write};
use super::*;

/// Writes that are remembered to be sent again.
const REMEMBERED: usize = 24;
/// Calls that wait at the same time, at most.
const WAITING: usize = 8;
/// States that the store may be in, at most, before a look at it: each unknown write doubles them.
const OPEN_STATES: usize = 8;

impl World {
    /// So many acts, and then the end: everything settles, and what is there is what should be.
    pub fn run(&mut self, acts: usize) {
        for _ in 0..acts {
            let operations = self.disk.operations();
            let before = self.committed.clone();
            self.passed = before.clone();
            self.act();
            self.follow();
            // What a failure has left open is most at stake.
            let odds = if self.is_failing { 12 } else { 60 };
            let is_crash = self.mode == Mode::Crashes && self.random.below(odds) == 0;
            if is_crash {
                self.crash(operations);
            }
        }
        self.end();
    }

    fn act(&mut self) {
        if self.committed.count() > OPEN_STATES {
            return self.mend();
        }
        let client = 1 + self.random.below(CLIENTS as usize) as ClientId;
        if !self.connected[client as usize] {
            if self.random.below(3) == 0 {
                self.connect(client);
            }
            return;
        }
        match self.random.below(100) {
            0..=27 if self.waiting.len() < WAITING => self.send_write(client),
            28..=37 => self.send_read(client),
            38..=40 if self.waiting.len() < WAITING => self.begin(client),
            41..=54 => self.use_transaction(),
            55..=57 => self.begin_snapshot(client),
            58..=64 => self.use_snapshot(),
            65..=79 => drop(self.step()),
            80..=84 => self.pass(),
            85 | 86 => self.cancel(),
            87 => self.disconnect(client),
            88..=93 => self.send_again(client),
            94..=96 if self.mode != Mode::Sound => self.break_or_mend(),
            _ => self.settle(),
        }
    }

    // Clients.

    pub(super) fn open(&mut self) {
        let clients_may_return = self.random.below(2) == 0;
        let options = Options {
            durability: Durability::Strict,
            pool: PoolOptions {
                min: 1,
                max: POOL,
                idle_timeout_ms: 60_000.0,
                acquire_timeout_ms: ACQUIRE_TIMEOUT_MS,
            },
            clients_may_return,
            ..Options::default()
        };
        let opened = Engine::open(self.disk.clone(), PATH, options);
        self.engine =
            Some(opened.unwrap_or_else(|error| panic!("the store does not open: {error}")));
        self.return_until_ms = clients_may_return.then_some(f64::NEG_INFINITY);
        if !clients_may_return {
            let broken = self.committed.map(|model| model.break_off(|_| true));
            self.commit(broken);
        }
        self.follow_from_now_on();
        for client in 1..=CLIENTS {
            if self.random.below(5) > 0 {
                self.connect(client);
            }
        }
    }

    pub(super) fn connect(&mut self, client: ClientId) {
        self.note(format!("c{client} connects"));
        self.connected[client as usize] = true;
        self.engine().connect(client, name_of(client));
    }

    fn disconnect(&mut self, client: ClientId) {
        self.note(format!("c{client} disconnects"));
        self.connected[client as usize] = false;
        self.gone.push(name_of(client));
        self.waiting.retain(|_, waiting| waiting.client != client);
        self.snapshots.retain(|_, open| open.client != client);
        self.transaction.take_if(|open| open.client == client);
        let now_ms = self.now_ms;
        self.engine().disconnect(now_ms, client);
        self.look();
        self.count("disconnected");
    }

    fn cancel(&mut self) {
        let waiting: Vec<u64> = self.waiting.keys().copied().collect();
        if waiting.is_empty() {
            return;
        }
        let id = self.random.one_of(&waiting);
        self.note(format!("cancel {id}"));
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.was_cancelled = true;
        }
        self.engine().cancel(id);
        self.look();
        assert!(
            !self.waiting.contains_key(&id),
            "a cancelled call goes on waiting"
        );
    }

    /// A moment, or long enough for deadlines and leases to end.
    fn pass(&mut self) {
        let ms = [1.0, 60.0, 600.0, 2_500.0, 9_000.0][self.random.below(5)];
        self.note(format!("{ms} ms pass"));
        self.now_ms += ms;
        if self.random.below(2) == 0 {
            self.settle();
        } else {
            self.step();
        }
    }

    fn some_timeout_ms(&mut self) -> f64 {
        // Short ones end by the clock of the test; reads watch that of the machine too.
        [8_000.0, 20_000.0, 30_000.0][self.random.below(3)]
    }

    // Calls on the store itself.

    fn send_write(&mut self, client: ClientId) {
        let can_make = self.mode == Mode::Sound;
        let write = some_write(&mut self.random, self.committed.first(), can_make);
        let makes = matches!(write, Write::Edit { .. } | Write::Fork { .. });
        if makes && !can_make && self.is_failing {
            return;
        }
        let operation = (self.random.below(2) == 0).then(|| {
            let reused = self.sent.iter().map(|again| again.operation.clone());
            let reused: Vec<String> = reused.collect();
            if !reused.is_empty() && self.random.below(40) == 0 {
                return self.random.one_of(&reused);
            }
            format!("o{}", self.last_call + 1)
        });
        if let Some(operation) = &operation {
            self.remember(client, Some(write.clone()), operation.clone());
        }
        self.send(client, write, operation, 1);
    }

    fn remember(&mut self, client: ClientId, write: Option<Write>, operation: String) {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(Again {
            client,
            write,
            operation,
            attempts: 1,
        });
    }

    fn send(&mut self, client: ClientId, write: Write, operation: Option<String>, attempt: u32) {
        let named = operation.clone().map(|id| Operation {
            id,
            attempt,
            first_sent_ms: 0,
        });
        let timeout_ms = self.some_timeout_ms();
        let (id, result) = self.submit(client, 0, write.request(), named, timeout_ms);
        assert!(matches!(result, Ok(None)), "a write waits: {result:?}");
        self.wait(id, client, timeout_ms, What::Write(write, operation));
    }

    /// As after a reply that was lost: the same call, once more.
    fn send_again(&mut self, client: ClientId) {
        let own: Vec<usize> = (0..self.sent.len())
            .filter(|at| self.sent[*at].client == client)
            .collect();
        if own.is_empty() || self.waiting.len() >= WAITING {
            return;
        }
        let at = self.random.one_of(&own);
        let again = &mut self.sent[at];
        again.attempts += 1;
        let (attempt, operation) = (again.attempts, again.operation.clone());
        match again.write.clone() {
            Some(Write::Edit { .. }) if self.is_failing => {}
            Some(write) => self.send(client, write, Some(operation), attempt),
            None => self.commit_again(client, operation, attempt),
        }
    }

    fn send_read(&mut self, client: ClientId) {
        let read = some_read(&mut self.random);
        let timeout_ms = self.some_timeout_ms();
        let (id, result) = self.submit(client, 0, read.request(), None, timeout_ms);
        match result {
            Ok(None) => self.wait(id, client, timeout_ms, What::Search(read)),
            Ok(Some(answer)) => self.read(&read, Ok(answer)),
            Err(error) => self.read(&read, Err(error)),
        }
        self.look();
    }

    // The transaction.

    fn begin(&mut self, client: ClientId) {
        let lease_ms = [3_000.0, 60_000.0][self.random.below(2)];
        let timeout_ms = self.some_timeout_ms();
        let request = Request::TransactionBegin { lease_ms };
        let (id, result) = self.submit(client, 0, request, None, timeout_ms);
        assert!(
            matches!(result, Ok(None)),
            "a transaction waits: {result:?}"
        );
        self.wait(id, client, timeout_ms, What::Begin { lease_ms });
    }

    fn use_transaction(&mut self) {
        // Several calls in a row, so that it holds something when it ends.
        for _ in 0..1 + self.random.below(4) {
            let Some(open) = &self.transaction else {
                return;
            };
            let (scope, client) = (open.scope, open.client);
            match self.random.below(20) {
                0..=8 => self.write_inside(scope, client),
                9..=11 => self.read_inside(scope, client),
                12 | 13 => self.control(scope, client, Request::TransactionSavepoint),
                14 => self.control(scope, client, Request::TransactionRelease),
                15 | 16 => self.control(scope, client, Request::TransactionRollbackTo),
                17 => self.control(scope, client, Request::TransactionRollback),
                18 => {
                    // Not for the client whose scope it is not.
                    let other = 1 + client % CLIENTS;
                    let (_, result) =
                        self.submit(other, scope, Request::TransactionRollback, None, 1.0);
                    let code = result.map(drop).map_err(|error| error.code());
                    assert_eq!(code, Err(Code::TransactionState));
                }
                _ => self.commit_transaction(scope, client),
            }
            self.look();
        }
    }

    fn write_inside(&mut self, scope: u32, client: ClientId) {
        let Some(open) = &self.transaction else {
            return;
        };
        let before = open.states.clone();
        let may_fail = self.is_failing || open.is_doubtful;
        let can_make = self.mode == Mode::Sound;
        let write = some_write(&mut self.random, before.first(), can_make);
        let (_, result) = self.submit(client, scope, write.request(), None, 30_000.0);
        let result = result.map(|answer| answer.expect("a transaction answers at once"));
        let client = name_of(client);
        let sent = Sent {
            write: &write,
            client: &client,
            operation: None,
        };
        if may_fail
            && let Err(error) = &result
            && tells_of_a_fault(error.code())
        {
            // The transaction goes on as if the call had not been, or is lost, as an event tells.
            self.count("failed in a transaction");
            return;
        }
        if let Effect::One(states) = self.after(&before, &sent, result) {
            self.count("written in a transaction");
            if let Some(open) = &mut self.transaction {
                open.states = states;
            }
        }
    }

    fn read_inside(&mut self, scope: u32, client: ClientId) {
        let Some(open) = &self.transaction else {
            return;
        };
        let states = open.states.clone();
        let may_fail = self.is_failing || open.is_doubtful;
        let read = some_read(&mut self.random);
        let (_, result) = self.submit(client, scope, read.request(), None, 30_000.0);
        let result = result.map(|answer| answer.expect("a transaction answers at once"));
        if let Some(states) = self.shown(&states, &read, result, may_fail)
            && let Some(open) = &mut self.transaction
        {
            open.states = states;
        }
    }

    fn control(&mut self, scope: u32, client: ClientId, request: Request<'static>) {
        let told = request.clone();
        let (_, result) = self.submit(client, scope, request, None, 30_000.0);
        let Some(mut open) = self.transaction.take() else {
            return;
        };
        let may_fail = self.is_failing || open.is_doubtful;
        if let Err(error) = &result {
            let ends_savepoint = !matches!(
                told,
                Request::TransactionSavepoint | Request::TransactionRollback
            );
            let is_refused = error.code() == Code::TransactionState
                && open.savepoints.is_empty()
                && ends_savepoint;
            assert!(
                is_refused || (may_fail && tells_of_a_fault(error.code())),
                "{told:?}: {error}"
            );
            if !is_refused && ends_savepoint {
                // Nobody knows what a savepoint is that could not be ended: its transaction has to go.
                open.savepoints.pop();
            }
            self.transaction = Some(open);
            return;
        }
        match told {
            Request::TransactionSavepoint => open.savepoints.push(open.states.clone()),
            Request::TransactionRelease => {
                open.savepoints
                    .pop()
                    .expect("the engine knows of a savepoint");
            }
            Request::TransactionRollbackTo => {
                open.states = open
                    .savepoints
                    .pop()
                    .expect("the engine knows of a savepoint");
                self.count("rolled back to a savepoint");
            }
            _ => {
                self.count("rolled back");
                return;
            }
        }
        self.transaction = Some(open);
    }

    fn commit_transaction(&mut self, scope: u32, client: ClientId) {
        let operation = (self.random.below(2) == 0).then(|| format!("o{}", self.last_call + 1));
        if let Some(operation) = &operation {
            self.remember(client, None, operation.clone());
        }
        let named = operation.clone().map(|id| Operation {
            id,
            attempt: 1,
            first_sent_ms: 0,
        });
        let request = Request::TransactionCommit;
        let (_, result) = self.submit(client, scope, request, named, 30_000.0);
        let Some(open) = self.transaction.take() else {
            return;
        };
        let states = open.states.map(|model| {
            if let Some(operation) = &operation {
                model.record_commit(operation);
            }
        });
        match result {
            Ok(_) => {
                self.count("committed");
                self.commit(states);
            }
            Err(error) => {
                let may_be = self.is_failing || open.is_doubtful;
                assert!(
                    may_be && tells_of_a_fault(error.code()),
                    "a commit failed: {error}"
                );
                self.count("commit failed");
                if error.outcome() != Some(Outcome::NotApplied) {
                    assert_eq!(error.outcome(), Some(Outcome::Unknown), "{error}");
                    self.commit(self.committed.clone().or(&states));
                }
            }
        }
    }

    fn commit_again(&mut self, client: ClientId, operation: String, attempt: u32) {
        let named = Operation {
            id: operation.clone(),
            attempt,
            first_sent_ms: 0,
        };
        // The scope of a transaction that may be another's by now.
        let scope = self.transaction.as_ref().map_or(7, |open| open.scope);
        let request = Request::TransactionCommit;
        let (_, result) = self.submit(client, scope, request, Some(named), 30_000.0);
        let was_done = match result {
            Ok(_) => true,
            Err(error) if error.outcome() == Some(Outcome::NotApplied) => false,
            Err(error) => {
                assert!(self.is_failing && tells_of_a_fault(error.code()), "{error}");
                return;
            }
        };
        self.count("commit sent again");
        let left = self
            .committed
            .filter(|model| model.is_done(&operation) == was_done);
        self.committed = left.unwrap_or_else(|| panic!("commit {operation} was done: {was_done}"));
    }

    // Snapshots.

    fn begin_snapshot(&mut self, client: ClientId) {
        let lease_ms = [3_000.0, 60_000.0][self.random.below(2)];
        let is_indexed = self.random.below(2) == 0;
        let timeout_ms = self.some_timeout_ms();
        let request = Request::SnapshotBegin {
            lease_ms,
            indexed: is_indexed,
            purpose: Purpose::Reads,
        };
        let (id, result) = self.submit(client, 0, request, None, timeout_ms);
        match result {
            Ok(None) => self.wait(
                id,
                client,
                timeout_ms,
                What::Snapshot {
                    lease_ms,
                    is_indexed,
                },
            ),
            Ok(Some(answer)) => self.began_snapshot(client, lease_ms, is_indexed, Ok(answer)),
            Err(error) => self.began_snapshot(client, lease_ms, is_indexed, Err(error)),
        }
        self.look();
    }

    fn use_snapshot(&mut self) {
        let open: Vec<u32> = self.snapshots.keys().copied().collect();
        if open.is_empty() {
            return;
        }
        let scope = self.random.one_of(&open);
        let Some(open) = self.snapshots.get_mut(&scope) else {
            return;
        };
        let (client, is_indexed, states) = (open.client, open.is_indexed, open.states.clone());
        let may_fail = self.is_failing || open.is_doubtful;
        match self.random.below(12) {
            0 => {
                self.snapshots.remove(&scope);
                let (_, result) = self.submit(client, scope, Request::SnapshotEnd, None, 30_000.0);
                result.expect("a snapshot ends");
            }
            1 => {
                open.lease_until_ms = self.now_ms + open.lease_ms;
                let write = some_write(&mut self.random, states.first(), true);
                let (_, result) = self.submit(client, scope, write.request(), None, 30_000.0);
                let code = result.map(drop).map_err(|error| error.code());
                assert_eq!(code, Err(Code::TransactionState));
            }
            _ => {
                let read = some_read(&mut self.random);
                if matches!(read, Read::Search { .. }) && !is_indexed {
                    return;
                }
                open.lease_until_ms = self.now_ms + open.lease_ms;
                let (_, result) = self.submit(client, scope, read.request(), None, 30_000.0);
                let result = result.map(|answer| answer.expect("a snapshot answers at once"));
                if let Some(states) = self.shown(&states, &read, result, may_fail) {
                    self.count("read of a snapshot");
                    if let Some(open) = self.snapshots.get_mut(&scope) {
                        open.states = states;
                    }
                }
            }
        }
        self.look();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in &self.log {
                eprintln!("{line}");
            }
        }
    }
}
