//! The crash suite: histories are recorded on a simulated disk, cut at their operations, and what the
//! next owner finds is held against a plain model.
//!
//! Every failure prints the command that repeats exactly that point. `CHATSTORE_CRASH_POINTS` sets how
//! many points each suite checks, for long runs.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod history;
pub mod model;
pub mod raw;
pub mod store;

use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chatstore::vfs::simulated::SimulatedDisk;
use chatstore::{Durability, Result};

use history::{Layer, Random, Recorded, Step, bare, operation, record, seed_sqlite};
use model::{Call, Model, WORDS};
use store::Store;

/// Runs the tests of one program one after the other: SQLite's randomness is the process's.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is run, and under which name it is repeated.
#[derive(Clone, Copy)]
pub struct Suite {
    /// The file of the test, without its ending.
    pub file: &'static str,
    pub test: &'static str,
    pub durability: Durability,
    /// Steps of each history.
    pub steps: usize,
    /// The first seed; each history takes the next.
    pub seed: u64,
    /// How often each operation of a history is cut; 0: operations are chosen at random.
    pub rounds: usize,
    /// How many points are checked where the environment says nothing.
    pub points: usize,
    pub crash: Crash,
    pub layer: Layer,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The power goes.
    Power,
    /// The process dies.
    Process,
    /// The process dies, and the power goes before the next one has opened the store.
    WithinRecovery,
    /// The process dies, the next one opens the store and answers; then the power goes.
    AfterRecovery,
}

/// What a store should not have done.
#[derive(Debug)]
pub enum Wrong {
    /// Something that was acknowledged is not there.
    Lost(String),
    /// What is there never was, or cannot be read.
    Corrupt(String),
}

/// What a suite saw.
#[derive(Debug, Default)]
pub struct Report {
    pub histories: usize,
    pub operations: usize,
    pub points: usize,
    pub lost: usize,
    pub corrupt: usize,
    /// Points at which less was there than had been acknowledged, as relaxed stores may have it.
    pub behind: usize,
    /// The first few failures, each with its command.
    pub failures: Vec<String>,
}

impl Suite {
    /// Runs and prints; panics where anything was lost or corrupt.
    pub fn expect_sound(self) {
        self.run().expect_sound();
    }

    pub fn run(self) -> Report {
        let _alone = alone();
        let mut report = Report::default();
        if let Some((seed, operations, round)) = asked_for(self.seed) {
            let recorded = self.record(seed);
            report.histories = 1;
            for number in operations.saturating_sub(60)..operations {
                println!("{number}: {}", recorded.history.describe(number));
            }
            self.check_points(&recorded, &[(operations, round)], &mut report);
            return report;
        }
        let points = number("CHATSTORE_CRASH_POINTS").unwrap_or(self.points);
        for seed in self.seed.. {
            if report.points >= points {
                break;
            }
            let recorded = self.record(seed);
            report.histories += 1;
            report.operations += recorded.history.operations();
            let all = recorded.history.operations() + 1;
            let mut chosen: Vec<(usize, usize)> = (0..all * self.rounds)
                .map(|at| (at / self.rounds, at % self.rounds))
                .collect();
            if self.rounds == 0 {
                let mut random = Random::new(!seed);
                chosen = (0..200).map(|round| (random.below(all), round)).collect();
                chosen.sort_unstable();
            }
            let left = points - report.points;
            self.check_points(&recorded, &chosen[..chosen.len().min(left)], &mut report);
        }
        report.print(self.file, self.test);
        report
    }

    fn record(&self, seed: u64) -> Recorded {
        record(seed, self.steps, self.durability, self.layer)
            .unwrap_or_else(|error| panic!("seed {seed}: the history itself failed: {error}"))
    }

    fn check_points(&self, recorded: &Recorded, points: &[(usize, usize)], report: &mut Report) {
        let mut replay = recorded.history.replay();
        for &(operations, round) in points {
            replay.advance(operations);
            report.points += 1;
            let seed = mixed(recorded.seed, operations, round);
            seed_sqlite(seed);
            let expected = Expected::at(recorded, operations);
            let outcome = match self.crash {
                Crash::Power => expected.after_power_loss().verify(
                    replay.after_power_loss(seed),
                    self.layer,
                    seed,
                ),
                Crash::Process => {
                    expected.verify(replay.after_process_death(seed), self.layer, seed)
                }
                Crash::WithinRecovery | Crash::AfterRecovery => {
                    expected.verify_twice(replay.after_process_death(seed), self, seed)
                }
            };
            match outcome {
                Ok(steps) => report.behind += usize::from(steps < expected.at_least),
                Err(wrong) => report.failed(
                    wrong,
                    self.file,
                    self.test,
                    (recorded.seed, operations, round),
                ),
            }
        }
    }
}

impl Report {
    fn failed(&mut self, wrong: Wrong, file: &str, test: &str, point: (u64, usize, usize)) {
        let (kind, text) = match wrong {
            Wrong::Lost(text) => {
                self.lost += 1;
                ("lost", text)
            }
            Wrong::Corrupt(text) => {
                self.corrupt += 1;
                ("corrupt", text)
            }
        };
        if self.failures.len() < 3 {
            let (seed, operations, round) = point;
            self.failures.push(format!(
                "{kind}: {text}\n  CHATSTORE_CRASH_SEED={seed} CHATSTORE_CRASH_POINT={operations}.{round} cargo test --test {file} {test}",
            ));
        }
    }

    fn print(&self, file: &str, test: &str) {
        println!(
            "{file} {test}: {} histories, {} operations, {} crash points, {} lost, {} corrupt, {} behind",
            self.histories, self.operations, self.points, self.lost, self.corrupt, self.behind
        );
    }

    /// Panics where anything was lost or corrupt, or where nothing was checked.
    pub fn expect_sound(&self) {
        assert!(self.points > 0, "no point was checked");
        assert!(
            self.lost + self.corrupt == 0,
            "{} lost, {} corrupt of {} points\n{}",
            self.lost,
            self.corrupt,
            self.points,
            self.failures.join("\n")
        );
    }
}

/// The states of a history that a store may be in.
#[derive(Clone, Copy)]
struct Expected<'h> {
    recorded: &'h Recorded,
    at_least: usize,
    at_most: usize,
}

impl<'h> Expected<'h> {
    /// Where nothing that was written is lost.
    fn at(recorded: &'h Recorded, operations: usize) -> Self {
        Self {
            recorded,
            at_least: recorded.acknowledged(operations).unwrap_or(0),
            at_most: recorded.at_most(operations),
        }
    }

    /// Where what was not flushed can be lost.
    fn after_power_loss(self) -> Self {
        match self.recorded.durability {
            Durability::Strict => self,
            _ => Self {
                at_least: 0,
                ..self
            },
        }
    }

    /// Opens the store on what is left and looks at everything.
    fn verify(
        self,
        disk: SimulatedDisk,
        layer: Layer,
        seed: u64,
    ) -> std::result::Result<usize, Wrong> {
        let mut store = self.open(&disk, layer)?;
        let found = self.look(&mut store)?;
        // What costs more is looked at now and then.
        if seed.is_multiple_of(8) {
            self.use_further(&mut store, found, seed)
                .map_err(|error| Wrong::Corrupt(format!("after recovery: {error}")))??;
        }
        // Nothing is to be had from closing it in order.
        let _ = disk.kill();
        Ok(found)
    }

    fn open(self, disk: &SimulatedDisk, layer: Layer) -> std::result::Result<Store, Wrong> {
        Store::open(layer(disk.clone()), self.recorded.durability)
            .map_err(|error| Wrong::Corrupt(format!("the store does not open: {error}")))
    }

    /// Gives the number of steps that are there.
    fn look(self, store: &mut Store) -> std::result::Result<usize, Wrong> {
        let unreadable = |error| Wrong::Corrupt(format!("the store cannot be read: {error}"));
        let faults = store.faults().map_err(unreadable)?;
        if !faults.is_empty() {
            return Err(Wrong::Corrupt(faults));
        }
        let dump = store.dump().map_err(unreadable)?;
        let dumps = &self.recorded.dumps;
        let is_there = |steps: &usize| *dumps[*steps] == *dump;
        if let Some(steps) = (self.at_least..=self.at_most).rev().find(is_there) {
            return Ok(steps);
        }
        if let Some(steps) = (0..self.at_least).rev().find(is_there) {
            return Err(Wrong::Lost(format!(
                "{} steps were acknowledged, the first {steps} are there",
                self.at_least
            )));
        }
        let expected: Vec<&str> = dumps[self.at_least].lines().collect();
        let differs = |lines: Vec<&str>, others: &[&str]| -> String {
            let found = lines.into_iter().find(|line| !others.contains(line));
            found.unwrap_or("nothing").chars().take(120).collect()
        };
        let lines: Vec<&str> = dump.lines().collect();
        Err(Wrong::Corrupt(format!(
            "neither of the states {} to {}: expected {:?}, found {:?}",
            self.at_least,
            self.at_most,
            differs(expected.clone(), &lines),
            differs(lines.clone(), &expected)
        )))
    }

    /// What was sent last and has an operation id, sent again: what is there is not done again, what is
    /// not there is done now.
    fn send_again(self, store: &mut Store, model: &mut Model, steps: usize) -> Result<()> {
        let Some(last) = steps.checked_sub(1) else {
            return Ok(());
        };
        let before = &self.recorded.states[last];
        match &self.recorded.steps[last] {
            Step::Once(call) => history::again(store, model, steps, before, call)?,
            Step::Transaction { commit: true, .. } => {
                let was_done = store.has_committed(&operation(steps))?;
                assert!(was_done, "a commit that is there is not known");
            }
            _ => {}
        }
        match self.recorded.steps.get(steps) {
            Some(Step::Once(call)) => {
                let before = model.clone();
                let made = store.call_once(&before, call, &operation(steps + 1), 2)?;
                model.apply_once(call, &made, &operation(steps + 1));
            }
            Some(Step::Transaction { commit: true, .. }) => {
                let was_done = store.has_committed(&operation(steps + 1))?;
                assert!(!was_done, "a commit that is not there passes for done");
            }
            _ => {}
        }
        Ok(())
    }

    /// That search agrees with the texts, and that the store takes what comes next.
    fn use_further(
        self,
        store: &mut Store,
        steps: usize,
        seed: u64,
    ) -> Result<std::result::Result<(), Wrong>> {
        let mut model = (*self.recorded.states[steps]).clone();
        let mut random = Random::new(seed);
        self.send_again(store, &mut model, steps)?;
        for _ in 0..3 {
            let call = history::some_call(&mut random, &model, true);
            let made = store.call(&model, &call)?;
            model.apply(&call, &made);
        }
        for word in WORDS {
            let found = store.found(word)?;
            let holding = model.holding(word);
            if found != holding {
                return Ok(Err(Wrong::Corrupt(format!(
                    "search for {word:?} finds {} messages, {} hold it",
                    found.len(),
                    holding.len()
                ))));
            }
        }
        let faults = store.faults()?;
        if store.dump()? != model.dump() || !faults.is_empty() {
            return Ok(Err(Wrong::Corrupt(format!(
                "after three more calls the store is not what it was told to be {faults}"
            ))));
        }
        Ok(Ok(()))
    }

    /// The second owner opens the store, and the power goes while it recovers and closes, or once it
    /// has answered: what a read has shown is as good as acknowledged.
    fn verify_twice(
        self,
        disk: SimulatedDisk,
        suite: &Suite,
        seed: u64,
    ) -> std::result::Result<usize, Wrong> {
        let mut random = Random::new(!seed);
        let mut store = self.open(&disk, suite.layer)?;
        let mut expected = self;
        let mut operations = disk.operations();
        if suite.crash == Crash::WithinRecovery {
            store
                .close()
                .map_err(|error| Wrong::Corrupt(format!("the store does not close: {error}")))?;
            operations = random.below(disk.operations() + 1);
        } else {
            expected.at_least = self.look(&mut store)?;
            let _ = disk.kill();
            drop(store);
        }
        let mut replay = disk.history().replay();
        replay.advance(operations);
        expected.after_power_loss().verify(
            replay.after_power_loss(random.next()),
            suite.layer,
            seed,
        )
    }
}

/// A suite with what most have in common.
pub const fn suite(file: &'static str, test: &'static str) -> Suite {
    Suite {
        file,
        test,
        durability: Durability::Strict,
        steps: 6,
        seed: 1,
        rounds: 2,
        points: 1000,
        crash: Crash::Power,
        layer: bare,
    }
}

/// The seed of one crash.
fn mixed(seed: u64, operations: usize, round: usize) -> u64 {
    let mut random = Random::new(seed ^ ((operations as u64) << 20) ^ ((round as u64) << 44));
    random.next()
}

pub fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// History, operation and round that the environment asks for; the history from the suite's seed on.
fn asked_for(first_seed: u64) -> Option<(u64, usize, usize)> {
    let point = std::env::var("CHATSTORE_CRASH_POINT").ok()?;
    let seed = number("CHATSTORE_CRASH_SEED").map_or(first_seed, |seed| seed as u64);
    let (operations, round) = point.split_once('.').unwrap_or((&point, "0"));
    let parse = |text: &str| -> usize {
        text.parse().unwrap_or_else(|_| {
            panic!("CHATSTORE_CRASH_POINT: expected OPERATION.ROUND, got {point:?}")
        })
    };
    Some((seed, parse(operations), parse(round)))
}

/// A layer for tests that record nothing.
pub fn storage(disk: &SimulatedDisk) -> Rc<dyn chatstore::vfs::Storage> {
    bare(disk.clone())
}

/// A call that makes a session, for tests that say what they do one by one.
pub fn session(id: &str) -> Call {
    Call::CreateSession {
        id: id.to_owned(),
        title: "t".to_owned(),
    }
}
