//! Many clients at random over one engine, held against a plain model.
//!
//! ```text
//!  acts.rs, failures.rs   what happens: calls, clients that go and come, faults, crashes
//!  choice.rs, calls.rs    which calls, and how each is put to the engine
//!  mod.rs, time.rs        what is under way, and what each answer says of the store    ── the engine
//!  following.rs           whether what is told of changes is all that changed
//!  states.rs              the states that the store may be in
//!  model.rs, effects.rs,  what a store in such a state holds and answers
//!  answers.rs, words.rs
//! ```
//!
//! Holds after each answer: it is what the model answers at that place in the order of commits. What
//! was acknowledged is there, what answered `not-applied` is not, `unknown` is one of both as a whole,
//! a snapshot shows the state that it began with, and whatever was sent settles.

mod acts;
mod answers;
mod calls;
mod choice;
mod effects;
mod failures;
mod following;
mod model;
mod states;
mod time;
mod words;

use std::collections::{BTreeMap, VecDeque};

use chatstore::engine::{Answer, Call, ClientId, Event, Job, Operation, Purpose};
use chatstore::model::Message;
use chatstore::vfs::simulated::SimulatedDisk;
use chatstore::{Code, Engine, Error, Outcome, Reply, Request, Result};

use self::calls::{Read, Write};
use self::following::Follower;
use self::model::Model;
use self::states::{Sent, States};
use self::words::{lines, made_id};
use crate::crash::history::{Random, seed_sqlite};

const PATH: &str = "chats.sqlite";
const CLIENTS: u32 = 5;
/// Connections of the pool: few, so that some wait.
const POOL: usize = 2;
const ACQUIRE_TIMEOUT_MS: f64 = 15_000.0;
/// Lines that a failure shows of what came before it.
const LOG_LINES: usize = 60;

type Given = Answer<Vec<Message>>;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing but what clients do to each other.
    Sound,
    /// Calls of the disk fail.
    Faults,
    /// They fail, and the process dies or the power goes, at any operation of the disk.
    Crashes,
}

/// How often things happened that a run would be worth nothing without.
pub type Counts = BTreeMap<&'static str, usize>;

pub struct World {
    random: Random,
    mode: Mode,
    disk: SimulatedDisk,
    /// None only while a crash is on.
    engine: Option<Engine>,
    now_ms: f64,
    /// Calls of the disk may fail.
    is_failing: bool,
    /// Some have failed since the file was opened: what is of no use since then, as after a failed
    /// flush, may show itself later, and is mended by opening the file again.
    has_failed: bool,
    /// What was committed.
    committed: States,
    /// All that was committed since the act that is under way began.
    passed: States,
    transaction: Option<Transaction>,
    snapshots: BTreeMap<u32, Snapshot>,
    waiting: BTreeMap<u64, Waiting>,
    last_call: u64,
    /// Writes and commits with an operation id that may be sent again.
    sent: VecDeque<Again>,
    connected: Vec<bool>,
    /// Clients that are gone and whose replies have not broken off yet.
    gone: Vec<String>,
    /// When replies of clients that did not come back break off; `-inf` until the first step.
    return_until_ms: Option<f64>,
    follower: Option<Follower>,
    log: VecDeque<String>,
    pub counts: Counts,
}

struct Transaction {
    scope: u32,
    client: ClientId,
    lease_until_ms: f64,
    states: States,
    savepoints: Vec<States>,
    /// A failure of the disk may have hit it.
    is_doubtful: bool,
}

struct Snapshot {
    client: ClientId,
    lease_ms: f64,
    lease_until_ms: f64,
    is_indexed: bool,
    states: States,
    is_doubtful: bool,
}

struct Waiting {
    client: ClientId,
    since_ms: f64,
    deadline_ms: f64,
    was_cancelled: bool,
    what: What,
}

enum What {
    Write(Write, Option<String>),
    Search(Read),
    Begin { lease_ms: f64 },
    Snapshot { lease_ms: f64, is_indexed: bool },
}

struct Again {
    client: ClientId,
    /// None: a commit.
    write: Option<Write>,
    operation: String,
    attempts: u32,
}

fn name_of(client: ClientId) -> String {
    format!("c{client}")
}

/// What the failure of a disk may be told as.
fn tells_of_a_fault(code: Code) -> bool {
    matches!(
        code,
        Code::IoError
            | Code::DiskFull
            | Code::TransactionLost
            | Code::SnapshotExpired
            | Code::IndexPending
    )
}

impl World {
    pub fn new(seed: u64, mode: Mode) -> Self {
        seed_sqlite(seed);
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(random.next());
        let nothing = States::one(Model::default());
        let mut world = Self {
            random,
            mode,
            disk,
            engine: None,
            now_ms: 1_000.0,
            is_failing: false,
            has_failed: false,
            committed: nothing.clone(),
            passed: nothing,
            transaction: None,
            snapshots: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last_call: 0,
            sent: VecDeque::new(),
            connected: vec![false; CLIENTS as usize + 1],
            gone: Vec::new(),
            return_until_ms: None,
            follower: None,
            log: VecDeque::new(),
            counts: Counts::new(),
        };
        world.open();
        world
    }

    fn note(&mut self, line: impl Into<String>) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        let line: String = line.into();
        let line = line.chars().take(300).collect();
        self.log.push_back(line);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("the store is open")
    }

    fn commit(&mut self, states: States) {
        self.passed = self.passed.clone().or(&states);
        self.committed = states;
    }

    // Calls on their way.

    /// Makes a call. Gives its number, and what came of it where it did not have to wait.
    fn submit(
        &mut self,
        client: ClientId,
        scope: u32,
        request: Request<'static>,
        operation: Option<Operation>,
        timeout_ms: f64,
    ) -> (u64, Result<Option<Given>>) {
        self.last_call += 1;
        let id = self.last_call;
        let told = match &request {
            Request::Query { .. } => "reads all".to_owned(),
            other => format!("{operation:?} {other:?}"),
        };
        self.note(format!("{id} c{client} scope {scope} {told}"));
        let call = Call {
            id,
            client,
            scope,
            job: Job::new(request),
            operation,
            timeout_ms,
        };
        let now_ms = self.now_ms;
        let result = self.engine().submit(now_ms, call);
        let came = match &result {
            Ok(None) => "waits".to_owned(),
            Ok(Some(answer)) => format!("{:?}", lines(answer)),
            Err(error) => format!("{:?} {error}", error.outcome()),
        };
        self.note(format!("    {came}"));
        (id, result)
    }

    fn wait(&mut self, id: u64, client: ClientId, timeout_ms: f64, what: What) {
        let waiting = Waiting {
            client,
            since_ms: self.now_ms,
            deadline_ms: self.now_ms + timeout_ms,
            was_cancelled: false,
            what,
        };
        self.waiting.insert(id, waiting);
    }

    /// Looks at everything that happened, in its order.
    fn look(&mut self) {
        let change = self.engine().take_changes();
        if let Some(follower) = &mut self.follower {
            follower.changes.extend(change);
        }
        for event in self.engine().take() {
            match event {
                Event::Reply {
                    call,
                    client,
                    result,
                } => self.settled(call, client, result),
                Event::Lost {
                    client,
                    scope,
                    error,
                } => self.lost(client, scope, &error),
                Event::Notice { kind, message } => {
                    self.note(format!("notice {kind}: {message}"));
                    assert_eq!(kind, "reopened", "{message}");
                    assert!(self.has_failed, "reopened without a failure: {message}");
                    self.has_failed = self.is_failing;
                    self.count("reopened");
                }
            }
        }
    }

    fn lost(&mut self, client: ClientId, scope: u32, error: &Error) {
        self.note(format!("lost {scope} of c{client}: {error}"));
        let now_ms = self.now_ms;
        if let Some(open) = self.transaction.take_if(|open| open.scope == scope) {
            assert_eq!(open.client, client);
            let may_be = open.lease_until_ms <= now_ms || self.has_failed || open.is_doubtful;
            assert!(may_be, "a transaction was lost: {error}");
            assert_eq!(error.code(), Code::TransactionLost, "{error}");
            self.count("transaction lost");
        } else if let Some(open) = self.snapshots.remove(&scope) {
            assert_eq!(open.client, client);
            let may_be = open.lease_until_ms <= now_ms || self.has_failed || open.is_doubtful;
            assert!(may_be, "a snapshot was lost: {error}");
            assert_eq!(error.code(), Code::SnapshotExpired, "{error}");
            self.count("snapshot lost");
        }
    }

    fn settled(&mut self, id: u64, client: ClientId, result: Result<Given>) {
        let came = match &result {
            Ok(answer) => format!("{:?}", lines(answer)),
            Err(error) => format!("{:?} {error}", error.outcome()),
        };
        self.note(format!("{id} settles: {came}"));
        let waiting = self.waiting.remove(&id);
        let waiting = waiting.unwrap_or_else(|| panic!("call {id} does not wait, and settles"));
        assert_eq!(waiting.client, client);
        let result = match result {
            Err(error) if self.was_turned_away(&waiting, &error) => return,
            other => other,
        };
        match waiting.what {
            What::Write(write, operation) => {
                self.written(client, &write, operation.as_deref(), result)
            }
            What::Search(read) => self.read(&read, result),
            What::Begin { lease_ms } => self.began(client, lease_ms, result),
            What::Snapshot {
                lease_ms,
                is_indexed,
            } => {
                self.began_snapshot(client, lease_ms, is_indexed, result);
            }
        }
    }

    /// Whether a call was over before it ran, as it may.
    fn was_turned_away(&mut self, waiting: &Waiting, error: &Error) -> bool {
        let acquire_until_ms = waiting.since_ms + ACQUIRE_TIMEOUT_MS;
        let (is, what) = match error.code() {
            Code::Timeout => {
                // One that waited for a connection may wait for the index after that.
                let is_indexed = matches!(
                    waiting.what,
                    What::Snapshot {
                        is_indexed: true,
                        ..
                    }
                );
                let deadline_ms = match is_indexed {
                    true => waiting.deadline_ms.min(acquire_until_ms),
                    false => waiting.deadline_ms,
                };
                (deadline_ms <= self.now_ms, "timed out")
            }
            Code::PoolExhausted => {
                let until_ms = waiting.deadline_ms.min(acquire_until_ms);
                let waits = matches!(waiting.what, What::Snapshot { .. });
                (waits && until_ms <= self.now_ms, "found no connection")
            }
            Code::Aborted => (waiting.was_cancelled, "cancelled"),
            _ => return false,
        };
        assert!(is, "a call was turned away too soon: {error}");
        if error.code() != Code::PoolExhausted {
            assert_eq!(error.outcome(), Some(Outcome::NotApplied), "{error}");
        }
        self.count(what);
        true
    }

    // What came of them.

    fn written(
        &mut self,
        client: ClientId,
        write: &Write,
        operation: Option<&str>,
        result: Result<Given>,
    ) {
        let client = name_of(client);
        let sent = Sent {
            write,
            client: &client,
            operation,
        };
        let before = self.committed.clone();
        let was_done = operation.is_some_and(|id| before.first().is_done(id));
        match self.after(&before, &sent, result) {
            Effect::None => {}
            Effect::One(states) => {
                self.count(if was_done { "found again" } else { "written" });
                self.commit(states);
            }
            Effect::Unknown => self.commit(before.after_unknown(&sent)),
        }
    }

    /// What a write has done to a store in one of these states.
    fn after(&mut self, before: &States, sent: &Sent<'_>, result: Result<Given>) -> Effect {
        let error = match result {
            Ok(answer) => {
                let made = made_id(&answer).unwrap_or_default();
                let found = lines(&answer);
                let after = before.after(sent, made, &found);
                return Effect::One(after.unwrap_or_else(|expected| {
                    panic!(
                        "{:?}\n  expected {expected}\n  received {found:?}",
                        sent.write
                    )
                }));
            }
            Err(error) => error,
        };
        if let Some(states) = before.refusing(sent, error.code()) {
            self.count("refused");
            return Effect::One(states);
        }
        let told = error.outcome();
        assert!(
            self.is_failing && tells_of_a_fault(error.code()),
            "{:?} failed: {error} ({told:?})",
            sent.write
        );
        match told {
            Some(Outcome::Unknown) => {
                self.count("unknown");
                Effect::Unknown
            }
            _ => {
                self.count("not applied");
                Effect::None
            }
        }
    }

    /// A read of what is committed.
    fn read(&mut self, read: &Read, result: Result<Given>) {
        let is_failing = self.is_failing;
        if let Some(states) = self.shown(&self.committed.clone(), read, result, is_failing) {
            self.count("read");
            self.committed = states.distinct();
        }
    }

    /// Which states an answer leaves; none where the read failed, as it may.
    fn shown(
        &mut self,
        states: &States,
        read: &Read,
        result: Result<Given>,
        may_fail: bool,
    ) -> Option<States> {
        match result {
            Ok(answer) => {
                let found = lines(&answer);
                let left = states.showing(read, &found);
                Some(left.unwrap_or_else(|expected| {
                    panic!("{read:?} shows another state:\n  {expected}")
                }))
            }
            Err(error) => {
                let may_be = may_fail && tells_of_a_fault(error.code());
                assert!(may_be, "{read:?} failed: {error}");
                self.count("read failed");
                None
            }
        }
    }

    fn began(&mut self, client: ClientId, lease_ms: f64, result: Result<Given>) {
        let Some(scope) = self.scope(result) else {
            return;
        };
        assert!(self.transaction.is_none(), "two transactions at once");
        self.count("transaction");
        self.transaction = Some(Transaction {
            scope,
            client,
            lease_until_ms: self.now_ms + lease_ms,
            states: self.committed.clone(),
            savepoints: Vec::new(),
            is_doubtful: false,
        });
    }

    fn began_snapshot(
        &mut self,
        client: ClientId,
        lease_ms: f64,
        is_indexed: bool,
        result: Result<Given>,
    ) {
        let Some(scope) = self.scope(result) else {
            return;
        };
        self.count("snapshot");
        let snapshot = Snapshot {
            client,
            lease_ms,
            lease_until_ms: self.now_ms + lease_ms,
            is_indexed,
            states: self.committed.clone(),
            is_doubtful: false,
        };
        self.snapshots.insert(scope, snapshot);
        assert!(
            self.snapshots.len() <= POOL,
            "more snapshots than connections"
        );
    }

    fn scope(&mut self, result: Result<Given>) -> Option<u32> {
        match result {
            Ok(answer) => match answer.reply {
                Reply::Scope(scope) => Some(scope),
                other => panic!("expected a scope, got {other:?}"),
            },
            Err(error) => {
                let may_be = self.is_failing && tells_of_a_fault(error.code());
                assert!(may_be, "a scope does not begin: {error}");
                None
            }
        }
    }
}

/// What a write has done.
enum Effect {
    None,
    /// It was answered or refused in one of these states, and left them.
    One(States),
    Unknown,
}
