//! A disk that fills up, fails to flush, to write, to read: a clear error, nothing acknowledged lost, and
//! work goes on when the disk does.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;

use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::{Code, Durability, Error, Outcome};
use crash::history::{Random, Step, masked, operation, run, seed_sqlite, some_step, whole};
use crash::model::{Call, Model};
use crash::store::{PATH, Store};
use crash::{alone, number, session, storage};
use rsqlite_vfs::VfsErrorCode;

/// What is broken for a while, again and again.
struct Trouble {
    test: &'static str,
    durability: Durability,
    seeds: std::ops::Range<u64>,
    steps: usize,
    break_disk: fn(&SimulatedDisk, &mut Random),
    /// What calls may fail with meanwhile.
    codes: &'static [Code],
}

/// What came of it.
#[derive(Default)]
struct Counts {
    steps: usize,
    failed: usize,
    unknown: usize,
    losses: usize,
}

impl Trouble {
    fn run(&self) -> Counts {
        let _alone = alone();
        let mut counts = Counts::default();
        let only = number("CHATSTORE_CRASH_SEED").map(|seed| seed as u64);
        for seed in only.map_or(self.seeds.clone(), |seed| seed..seed + 1) {
            let context = format!(
                "CHATSTORE_CRASH_SEED={seed} cargo test --test crash_faults {}",
                self.test
            );
            self.run_seed(seed, &context, &mut counts);
        }
        println!(
            "crash_faults {}: {} histories, {} steps, {} failed, {} of unknown outcome, {} losses of power, 0 lost, 0 corrupt",
            self.test,
            self.seeds.end - self.seeds.start,
            counts.steps,
            counts.failed,
            counts.unknown,
            counts.losses
        );
        counts
    }

    fn run_seed(&self, seed: u64, context: &str, counts: &mut Counts) {
        seed_sqlite(seed);
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(random.next());
        let mut store = Store::open(storage(&disk), self.durability).expect(context);
        let mut model = Model::default();
        // All that was ever acknowledged: what a relaxed store may fall back to.
        let mut states = vec![masked(&model.dump())];
        let mut broken_for = 0;
        for at in 0..self.steps {
            if broken_for == 0 && random.below(6) == 0 {
                (self.break_disk)(&disk, &mut random);
                broken_for = 1 + random.below(6);
            } else if broken_for > 0 {
                broken_for -= 1;
                if broken_for == 0 {
                    disk.mend();
                    disk.set_room_bytes(None);
                }
            }
            let context = format!("step {at}: {context}");
            let step = some_step(&mut random, &model, false);
            let wanted = whole(&model, &step, &operation(at));
            let outcome = match &step {
                Step::Reopen | Step::Kill => {
                    let closed = if matches!(step, Step::Reopen) {
                        store.close()
                    } else {
                        drop(store);
                        Ok(())
                    };
                    store = self.reopen(&disk, &context);
                    closed
                }
                step => run(&mut store, &mut model, step, &operation(at)),
            };
            counts.steps += 1;
            let Err(error) = outcome else {
                states.push(masked(&model.dump()));
                continue;
            };
            counts.failed += 1;
            let is_late = error.code() == Code::SnapshotExpired;
            assert!(
                broken_for > 0 || is_late,
                "{context}: the disk is well, yet: {error}"
            );
            self.expect_clear(&error, &context);
            if error.outcome() == Some(Outcome::Unknown) {
                // Nobody knows whether the call took effect: whoever opens the store next does.
                counts.unknown += 1;
                drop(store);
                disk.mend();
                let mut store = Store::open(storage(&disk), self.durability).expect(&context);
                let dump = masked(&store.dump().expect(&context));
                let either = [masked(&model.dump()), masked(&wanted.dump())];
                assert!(either.contains(&dump), "{context}: after {error}");
                assert_eq!(store.faults().expect(&context), "", "{context}");
                return;
            }
            // A transaction that failed is not over until its owner ends it.
            let _ = store.roll_back();
            match store.dump() {
                Ok(dump) => assert_eq!(dump, model.dump(), "{context}: after {error}"),
                Err(error) => self.expect_clear(&error, &context),
            }
            // Of a group, some may have been done.
            states.push(masked(&model.dump()));
            // Whatever the error left behind, it is no loss: neither now nor when the power goes.
            states.push(masked(&wanted.dump()));
            counts.losses += 1;
            self.lose_power(
                &disk,
                &states,
                random.next(),
                &format!("{context}: {error}"),
            );
            states.pop();
        }
        disk.mend();
        disk.set_room_bytes(None);
        assert_eq!(store.faults().expect(context), "", "{context}");
        assert_eq!(store.dump().expect(context), model.dump(), "{context}");
    }

    /// Opens the store again; on a broken disk that may take until the disk is well.
    fn reopen(&self, disk: &SimulatedDisk, context: &str) -> Store {
        match Store::open(storage(disk), self.durability) {
            Ok(store) => store,
            Err(error) => {
                self.expect_clear(&error, context);
                disk.mend();
                disk.set_room_bytes(None);
                Store::open(storage(disk), self.durability).expect(context)
            }
        }
    }

    fn expect_clear(&self, error: &Error, context: &str) {
        assert!(self.codes.contains(&error.code()), "{context}: {error}");
    }

    /// The last of `states` is the call that failed: it may be there, whole.
    fn lose_power(&self, disk: &SimulatedDisk, states: &[String], seed: u64, context: &str) {
        let left = disk.after_power_loss(seed);
        let mut store = Store::open(storage(&left), self.durability)
            .unwrap_or_else(|error| panic!("{context}: the store does not open: {error}"));
        let faults = store.faults().expect(context);
        assert_eq!(faults, "", "{context}: corrupt");
        let dump = masked(&store.dump().expect(context));
        let allowed = match self.durability {
            Durability::Strict => &states[states.len() - 2..],
            _ => states,
        };
        assert!(
            allowed.contains(&dump),
            "{context}: something acknowledged is lost, or there is what never was"
        );
        let _ = left.kill();
    }
}

const FULL: &[Code] = &[Code::DiskFull, Code::TransactionLost];
/// Where the file was opened again, what was open on it is lost.
const FAILED: &[Code] = &[Code::IoError, Code::TransactionLost, Code::SnapshotExpired];

fn script(on: On, after_calls: usize, times: usize, fault: Fault) -> Script {
    Script {
        on,
        path_ends_with: "",
        after_calls: after_calls as u64,
        times: times as u64,
        fault,
    }
}

#[test]
fn a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let counts = Trouble {
        test: "a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room",
        durability: Durability::Strict,
        seeds: 1..13,
        steps: 120,
        break_disk: |disk, random| {
            let room_bytes = disk.used_bytes() + random.below(60_000) as u64;
            disk.set_room_bytes(Some(room_bytes));
        },
        codes: FULL,
    }
    .run();
    assert!(counts.failed > 20, "the disk was hardly ever full");
}

#[test]
fn writes_that_fail_half_way_lose_nothing() {
    for durability in [Durability::Strict, Durability::Relaxed] {
        let counts = Trouble {
            test: "writes_that_fail_half_way_lose_nothing",
            durability,
            seeds: 20..28,
            steps: 120,
            break_disk: |disk, random| {
                let fault = Fault::WritesOnly(random.below(5000), VfsErrorCode::IoWrite);
                disk.fail(script(
                    On::Write,
                    random.below(20),
                    1 + random.below(3),
                    fault,
                ));
            },
            codes: FAILED,
        }
        .run();
        assert!(counts.failed > 0, "no write failed");
    }
}

#[test]
fn a_flush_that_fails_and_forgets_loses_nothing_acknowledged() {
    let counts = Trouble {
        test: "a_flush_that_fails_and_forgets_loses_nothing_acknowledged",
        durability: Durability::Strict,
        seeds: 40..56,
        steps: 120,
        break_disk: |disk, random| {
            disk.fail(script(
                On::Sync,
                random.below(3),
                1 + random.below(2),
                Fault::LosesUnsynced,
            ));
        },
        codes: FAILED,
    }
    .run();
    assert!(counts.failed > 10, "hardly a flush failed");
}

#[test]
fn a_flush_that_fails_and_forgets_leaves_a_beginning_of_a_relaxed_store() {
    let counts = Trouble {
        test: "a_flush_that_fails_and_forgets_leaves_a_beginning_of_a_relaxed_store",
        durability: Durability::Relaxed,
        seeds: 60..76,
        steps: 200,
        break_disk: |disk, _| disk.fail(script(On::Sync, 0, 1, Fault::LosesUnsynced)),
        codes: FAILED,
    }
    .run();
    assert!(counts.failed > 0, "no flush failed");
}

#[test]
fn reads_and_names_that_fail_are_clear_errors() {
    // Whether any of it reaches a caller is another matter: not every name is in use by then.
    let break_disk: [fn(&SimulatedDisk, &mut Random); 5] = [
        |disk, random| {
            let fault = Fault::Fails(VfsErrorCode::IoRead);
            disk.fail(script(
                On::Read,
                random.below(3),
                1 + random.below(3),
                fault,
            ));
        },
        |disk, _| {
            let fault = Fault::Fails(VfsErrorCode::IoTruncate);
            disk.fail(script(On::Truncate, 0, 1, fault));
        },
        |disk, _| {
            let fault = Fault::Fails(VfsErrorCode::IoDelete);
            disk.fail(script(On::Delete, 0, 1, fault));
        },
        |disk, _| {
            let fault = Fault::Fails(VfsErrorCode::IoDirectorySync);
            disk.fail(script(On::SyncDirectory, 0, 1, fault));
        },
        |disk, _| {
            let fault = Fault::Fails(VfsErrorCode::CantOpen);
            disk.fail(script(On::Open, 0, 1, fault));
        },
    ];
    for break_disk in break_disk {
        Trouble {
            test: "reads_and_names_that_fail_are_clear_errors",
            durability: Durability::Strict,
            seeds: 80..84,
            steps: 100,
            break_disk,
            codes: FAILED,
        }
        .run();
    }
}

/// A store with so many sessions of some messages each, closed; and what it holds.
fn filled(seed: u64) -> (SimulatedDisk, String) {
    seed_sqlite(seed);
    let disk = SimulatedDisk::new(seed);
    let mut store = Store::open(storage(&disk), Durability::Strict).unwrap();
    let mut model = Model::default();
    for number in 0..6 {
        let id = format!("s{number}");
        let text = format!("words of {id} ").repeat(30);
        let add = Call::Add(vec![(id.clone(), text); 40]);
        for call in [session(&id), add] {
            run(&mut store, &mut model, &Step::Call(call), "").unwrap();
        }
    }
    while store.index(1000).unwrap() {}
    store.close().unwrap();
    (disk, model.dump())
}

#[test]
fn deletes_go_on_when_the_disk_is_full() {
    let _alone = alone();
    let (disk, _) = filled(1);
    let mut store = Store::open(storage(&disk), Durability::Strict).unwrap();
    // The call only names what it is about.
    let model = Model::default();
    let add = Call::Add(vec![("s1".to_owned(), "x".repeat(3000)); 10]);
    disk.set_room_bytes(Some(disk.used_bytes() + 100_000));
    let mut added = 0;
    let error = loop {
        match store.call(&model, &add) {
            Ok(_) => added += 1,
            Err(error) => break error,
        }
        assert!(added < 100, "the disk never fills");
    };
    assert_eq!(error.code(), Code::DiskFull, "{error}");
    let before = store.dump().unwrap();
    let delete = Call::DeleteSession {
        id: "s0".to_owned(),
        permanent: true,
    };
    store
        .call(&model, &delete)
        .unwrap_or_else(|error| panic!("a delete on a full disk: {error}"));
    assert!(store.dump().unwrap().len() < before.len());
    store.close().unwrap();
    let mut store = Store::open(storage(&disk), Durability::Strict).unwrap();
    assert!(!store.dump().unwrap().contains("session s0 "));
    store.call(&model, &add).unwrap();
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    let _alone = alone();
    let (disk, before) = filled(2);
    let pages = disk.used_bytes() / 4096;
    let mut random = Random::new(2);
    let (mut reported, mut harmless) = (0, 0);
    for page in 0..pages {
        let (disk, _) = filled(2);
        disk.flip_bit(
            PATH,
            page * 4096 + random.below(4096) as u64,
            random.below(8) as u8,
        );
        let outcome = Store::open(storage(&disk), Durability::Strict).and_then(|mut store| {
            let faults = store.faults()?;
            Ok((faults, store.dump()?))
        });
        match outcome {
            Ok((faults, dump)) if faults.is_empty() => {
                assert_eq!(dump, before, "page {page}: a changed byte was served");
                harmless += 1;
            }
            Ok(_) => reported += 1,
            Err(error) => {
                let expected = [Code::ChecksumMismatch, Code::Corrupt, Code::NotAStore];
                assert!(expected.contains(&error.code()), "page {page}: {error}");
                reported += 1;
            }
        }
    }
    println!("crash_faults: {pages} pages, {reported} flips reported, {harmless} without effect");
    assert!(reported > 0);
}

#[test]
fn a_read_that_says_it_gave_more_than_was_asked_for_is_an_error() {
    let _alone = alone();
    let (disk, before) = filled(3);
    for count in [0xffff_fff8, usize::MAX, 4097] {
        for after_calls in 0..12 {
            disk.fail(script(On::Read, after_calls, 1, Fault::ReadCount(count)));
            match Store::open(storage(&disk), Durability::Strict).and_then(|mut store| store.dump())
            {
                Ok(dump) => assert_eq!(dump, before, "{count} bytes"),
                Err(error) => assert_eq!(error.code(), Code::IoError, "{count} bytes: {error}"),
            }
            disk.mend();
        }
    }
}
