//! Histories: what is done to a store, at random from a seed, and what is known of it afterwards.

use std::rc::Rc;

use chatstore::engine::Task;
use chatstore::vfs::Storage;
use chatstore::vfs::simulated::{History, SimulatedDisk};
use chatstore::{Code, Durability, Result};

use super::model::{Call, Model, WORDS};
use super::store::{Store, first_error};

/// What lies between the engine and the disk; nothing but in the tests of the tests.
pub type Layer = fn(SimulatedDisk) -> Rc<dyn Storage>;

/// No layer at all.
pub fn bare(disk: SimulatedDisk) -> Rc<dyn Storage> {
    Rc::new(disk)
}

/// splitmix64, seeded.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

/// One step of a history: it is acknowledged as a whole, or not at all.
#[derive(Debug, Clone)]
pub enum Step {
    Call(Call),
    /// A call with an operation id, which may be sent again.
    Once(Call),
    /// The last of those, sent again: it is done already.
    Again,
    /// Calls in one transaction, with savepoints among them.
    Transaction {
        parts: Vec<Part>,
        commit: bool,
    },
    /// Messages of several clients that wait at the same time.
    Group(Vec<Vec<(String, String)>>),
    /// Brings so many messages of the search index in step.
    Index(u32),
    /// Begins a snapshot, or reads and ends the one that is open.
    Snapshot,
    /// One step of keeping the store small: what it holds stays the same.
    Maintain(Task, i32),
    /// Nothing is called for a while.
    Rest,
    /// Reads everything.
    Read,
    Reopen,
    /// The process is killed and another one opens the store.
    Kill,
}

#[derive(Debug, Clone)]
pub enum Part {
    Call(Call),
    /// A savepoint with a call in it, kept or taken back.
    Savepoint(Call, bool),
}

/// A history that was recorded, and what is known at each operation of it.
pub struct Recorded {
    pub seed: u64,
    pub durability: Durability,
    pub history: History,
    /// What each step was; its number is in its operation id.
    pub steps: Vec<Step>,
    /// What the next owner finds in the store after so many steps.
    pub states: Vec<Rc<Model>>,
    pub dumps: Vec<Rc<str>>,
    /// How many operations the disk had seen when each step was acknowledged; step 0 is the opening.
    pub acknowledged_at: Vec<usize>,
}

impl Recorded {
    /// How many steps were acknowledged before operation `k`; none where the store was not open yet.
    pub fn acknowledged(&self, operations: usize) -> Option<usize> {
        self.acknowledged_at
            .partition_point(|at| *at <= operations)
            .checked_sub(1)
    }

    /// How many steps may be there at operation `k`: one more where it was under way.
    pub fn at_most(&self, operations: usize) -> usize {
        let Some(steps) = self.acknowledged(operations) else {
            return 0;
        };
        let is_under_way = self.acknowledged_at[steps] < operations;
        (steps + usize::from(is_under_way)).min(self.states.len() - 1)
    }
}

/// Makes a history of so many steps and records it.
pub fn record(seed: u64, steps: usize, durability: Durability, layer: Layer) -> Result<Recorded> {
    seed_sqlite(seed);
    let mut random = Random::new(seed);
    let mut disk = SimulatedDisk::new(random.next());
    let first = disk.clone();
    let mut store = Store::open(layer(disk.clone()), durability)?;
    let mut model = Model::default();
    let mut recorded = Recorded {
        seed,
        durability,
        history: first.history(),
        steps: Vec::new(),
        states: vec![Rc::new(model.clone())],
        dumps: vec![model.dump().into()],
        acknowledged_at: vec![first.operations()],
    };
    let mut last_once = None;
    for number in 1..=steps {
        let step = some_step(&mut random, &model, true);
        match &step {
            Step::Reopen => {
                store.close()?;
                store = Store::open(layer(disk.clone()), durability)?;
                model = model.left();
            }
            Step::Kill => {
                disk = disk.kill();
                drop(store);
                store = Store::open(layer(disk.clone()), durability)?;
                model = model.left();
            }
            Step::Once(call) => {
                let before = model.clone();
                let made = store.call_once(&before, call, &operation(number), 1)?;
                model.apply_once(call, &made, &operation(number));
                last_once = Some((number, before, call.clone()));
            }
            Step::Again => {
                if let Some((number, before, call)) = &last_once {
                    again(&mut store, &mut model, *number, before, call)?;
                }
            }
            step => run(&mut store, &mut model, step, &operation(number))?,
        }
        let left = model.left();
        let dump = left.dump();
        let is_same = *dump == **recorded.dumps.last().expect("there is the empty store");
        recorded.steps.push(step);
        recorded.states.push(Rc::new(left));
        recorded.dumps.push(if is_same {
            Rc::clone(recorded.dumps.last().expect("there is the empty store"))
        } else {
            dump.into()
        });
        recorded.acknowledged_at.push(disk.operations());
    }
    let dump = store.dump()?;
    assert_eq!(dump, model.dump(), "seed {seed}: the store without a crash");
    // What closing does at the end is part of the history too.
    store.close()?;
    recorded.history = disk.history();
    Ok(recorded)
}

/// The operation id of a step.
pub fn operation(number: usize) -> String {
    format!("step {number}")
}

/// Sends a call again that was done, with ids as `before` it: it changes nothing, but that a reply which
/// broke off goes on. What it gave may be gone since.
pub fn again(
    store: &mut Store,
    model: &mut Model,
    number: usize,
    before: &Model,
    call: &Call,
) -> Result<()> {
    match store.call_once(before, call, &operation(number), 2) {
        Ok(_) => {
            if let Call::Append { session, seq, .. } = call {
                model.go_on(session, *seq);
            }
            Ok(())
        }
        Err(error) if matches!(error.code(), Code::NotFound | Code::StreamEnded) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Runs one step that leaves the store open. The model follows only where all of it was acknowledged.
pub fn run(store: &mut Store, model: &mut Model, step: &Step, operation: &str) -> Result<()> {
    match step {
        Step::Call(call) => {
            let made = store.call(model, call)?;
            model.apply(call, &made);
        }
        Step::Transaction { parts, commit } => {
            store.begin()?;
            let mut inside = model.clone();
            for part in parts {
                match part {
                    Part::Call(call) => {
                        let made = store.call(&inside, call)?;
                        inside.apply(call, &made);
                    }
                    Part::Savepoint(call, keep) => {
                        store.savepoint()?;
                        let made = store.call(&inside, call)?;
                        if *keep {
                            store.release()?;
                            inside.apply(call, &made);
                        } else {
                            store.roll_back_to()?;
                        }
                    }
                }
            }
            if *commit {
                store.commit(operation)?;
                inside.operations.insert(operation.to_owned());
                *model = inside;
            } else {
                store.roll_back()?;
            }
        }
        Step::Group(adds) => first_error(store.group(adds), |at, made| {
            model.apply(&Call::Add(adds[at].clone()), &made);
        })?,
        Step::Snapshot => store.snapshot()?,
        Step::Rest => store.rest(),
        Step::Index(limit) => drop(store.index(*limit)?),
        Step::Maintain(task, limit) => store.maintain(*task, *limit)?,
        Step::Read => drop(store.dump()?),
        Step::Once(_) | Step::Again | Step::Reopen | Step::Kill => {
            unreachable!("they need more than the store")
        }
    }
    Ok(())
}

/// What a step leaves where all of it took effect; ids that the store makes are `MADE`.
pub fn whole(model: &Model, step: &Step, operation: &str) -> Model {
    let made = vec![MADE.to_owned(); 100];
    let mut whole = model.clone();
    match step {
        Step::Call(call) => whole.apply(call, &made),
        Step::Group(adds) => {
            for messages in adds {
                whole.apply(&Call::Add(messages.clone()), &made);
            }
        }
        Step::Transaction {
            parts,
            commit: true,
        } => {
            for part in parts {
                if let Part::Call(call) | Part::Savepoint(call, true) = part {
                    whole.apply(call, &made);
                }
            }
            whole.operations.insert(operation.to_owned());
        }
        _ => {}
    }
    whole
}

/// Stands for an id that a store makes; as long as one.
pub const MADE: &str = "########-####-####-####-############";

/// A dump with [`MADE`] for each id that a store made.
pub fn masked(dump: &str) -> String {
    let is_made = |word: &str| word.len() == MADE.len() && word.as_bytes()[8] == b'-';
    let line = |line: &str| -> String {
        let words = line.split(' ');
        let words: Vec<&str> = words
            .map(|word| if is_made(word) { MADE } else { word })
            .collect();
        words.join(" ")
    };
    dump.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `with_clients`: with what needs clients that go and come, replies and calls that are sent again.
pub fn some_step(random: &mut Random, model: &Model, with_clients: bool) -> Step {
    match random.below(100) {
        42..=49 if with_clients => Step::Once(some_call(random, model, true)),
        50..=52 if with_clients => Step::Again,
        0..=2 => Step::Reopen,
        3..=5 => Step::Kill,
        6..=10 => Step::Index(1 + random.below(20) as u32),
        11..=13 => {
            let task = random.one_of(&[
                Task::Vacuum,
                Task::VacuumFull,
                Task::Analyze,
                Task::Optimize,
                Task::MergeSearch,
                Task::ResetSearch,
                Task::Checkpoint,
            ]);
            let sign = if random.below(2) == 0 { -1 } else { 1 };
            let limit = 1 + random.below(50) as i32;
            let is_signed = task == Task::MergeSearch;
            Step::Maintain(task, if is_signed { sign * limit } else { limit })
        }
        14 => Step::Read,
        15 | 16 => Step::Rest,
        17 | 30 | 31 => Step::Snapshot,
        32..=41 if model.sessions.values().any(|session| !session.in_trash) => {
            let adds = (0..2 + random.below(4)).filter_map(|_| match some_add(random, model) {
                Call::Add(messages) => Some(messages),
                _ => None,
            });
            Step::Group(adds.collect())
        }
        18..=29 => {
            let mut inside = model.clone();
            let parts =
                (0..1 + random.below(5)).map(|_| some_part(random, &mut inside, with_clients));
            Step::Transaction {
                parts: parts.collect(),
                commit: random.below(4) > 0,
            }
        }
        _ => Step::Call(some_call(random, model, with_clients)),
    }
}

/// A part of a transaction, given what the parts before it leave.
fn some_part(random: &mut Random, inside: &mut Model, with_replies: bool) -> Part {
    let call = some_call(random, inside, with_replies);
    let (keep, is_savepoint) = (random.below(2) == 0, random.below(3) == 0);
    if keep || !is_savepoint {
        // The ids that the store will give are not known yet; later parts name places only.
        let made = vec![MADE.to_owned(); 100];
        inside.apply(&call, &made);
    }
    if is_savepoint {
        Part::Savepoint(call, keep)
    } else {
        Part::Call(call)
    }
}

/// A call that the store will not refuse.
pub fn some_call(random: &mut Random, model: &Model, with_replies: bool) -> Call {
    let kept: Vec<&String> = model
        .sessions
        .iter()
        .filter(|(_, session)| !session.in_trash)
        .map(|(id, _)| id)
        .collect();
    if kept.is_empty() || (kept.len() < 6 && random.below(12) == 0) {
        let number = random.below(1_000_000);
        return Call::CreateSession {
            id: format!("s{number}"),
            title: format!("t{}", random.below(100)),
        };
    }
    let session = random.one_of(&kept).clone();
    if with_replies && random.below(5) == 0 {
        return some_piece_of_a_reply(random, model, session);
    }
    let messages: Vec<i64> = model.sessions[&session].messages.keys().copied().collect();
    if messages.is_empty() || random.below(100) < 45 {
        return some_add(random, model);
    }
    let seq = random.one_of(&messages);
    match random.below(22) {
        0..=4 => Call::Edit {
            session,
            seq,
            text: some_text(random),
        },
        5..=9 => Call::Update {
            session,
            seq,
            text: some_text(random),
        },
        10..=12 => Call::SwitchTo { session, seq },
        13..=15 => Call::Delete {
            session,
            seq,
            permanent: random.below(2) == 0,
        },
        16 => Call::Clear {
            session,
            permanent: random.below(2) == 0,
        },
        17 => Call::DeleteSession {
            id: session,
            permanent: random.below(2) == 0,
        },
        18 => match model.sessions.iter().find(|(_, session)| session.in_trash) {
            Some((id, _)) => Call::RestoreSession { id: id.clone() },
            None => Call::RetitleSession {
                id: session,
                title: format!("t{}", random.below(100)),
            },
        },
        19 => Call::RetitleSession {
            id: session,
            title: format!("t{}", random.below(100)),
        },
        _ => match model.bots.keys().next() {
            Some(id) if model.bots.len() > 3 => Call::RenameBot {
                id: id.clone(),
                name: format!("n{}", random.below(1_000_000)),
            },
            _ => {
                let number = random.below(1_000_000);
                Call::CreateBot {
                    id: format!("b{number}"),
                    name: format!("n{number}"),
                }
            }
        },
    }
}

/// The begin of a reply, or more of one that has not ended.
fn some_piece_of_a_reply(random: &mut Random, model: &Model, session: String) -> Call {
    let messages = model.sessions[&session].messages.iter();
    let replies = messages.filter(|(_, message)| message.reply.is_some());
    let replies: Vec<i64> = replies.map(|(seq, _)| *seq).collect();
    if replies.is_empty() || random.below(8) == 0 {
        return Call::Start { session };
    }
    let seq = random.one_of(&replies);
    let text = some_text(random) + " ";
    match random.below(4) {
        0 => Call::End {
            session,
            seq,
            text,
            complete: random.below(2) == 0,
        },
        _ => Call::Append { session, seq, text },
    }
}

/// Messages for sessions that are not in the trash; there must be one.
fn some_add(random: &mut Random, model: &Model) -> Call {
    let sessions = model.sessions.iter();
    let kept: Vec<&String> = sessions
        .filter(|(_, session)| !session.in_trash)
        .map(|(id, _)| id)
        .collect();
    let count = [1, 1, 1, 2, 3, 8, 30][random.below(7)];
    let new = (0..count).map(|_| (random.one_of(&kept).clone(), some_text(random)));
    Call::Add(new.collect())
}

fn some_text(random: &mut Random) -> String {
    // Mostly short; now and then longer than a page, so that it lies in pages of its own.
    let words = [1, 3, 3, 10, 40, 900][random.below(6)];
    let words: Vec<&str> = (0..words).map(|_| random.one_of(&WORDS)).collect();
    words.join(" ")
}

/// Makes SQLite's own randomness, which salts the log, follow from a seed.
pub fn seed_sqlite(seed: u64) {
    let seed = (seed as i32).wrapping_mul(2).wrapping_add(1);
    // SAFETY: initializing is always allowed, and the other call takes exactly these arguments. Tests
    // that call this run one after the other (see `alone`).
    unsafe {
        rusqlite::ffi::sqlite3_initialize();
        rusqlite::ffi::sqlite3_test_control(
            rusqlite::ffi::SQLITE_TESTCTRL_PRNG_SEED,
            seed,
            std::ptr::null_mut::<rusqlite::ffi::sqlite3>(),
        );
    }
}
