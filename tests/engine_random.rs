//! Many clients at random over the engine: whatever they call, in whatever order, and whatever the
//! disk does, each answer is that of a plain model, and what was acknowledged is there.
//!
//! `CHATSTORE_ROUNDS` sets how many histories each test runs, `CHATSTORE_SEED` which is the first; a
//! failure prints the command that repeats it, and what came before it.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;
#[path = "support/random/mod.rs"]
mod random;

use random::{Counts, Mode, World};

const ACTS: usize = 400;

/// Runs histories and gives how often things happened in them.
fn run(test: &str, world: impl Fn(u64) -> World, rounds: usize) -> Counts {
    let _alone = crash::alone();
    let first = crash::number("CHATSTORE_SEED").unwrap_or(1);
    let rounds = crash::number("CHATSTORE_ROUNDS").unwrap_or(rounds);
    let mut counts = Counts::new();
    for seed in first..first + rounds {
        println!("CHATSTORE_SEED={seed} CHATSTORE_ROUNDS=1 cargo test --test engine_random {test}");
        let mut world = world(seed as u64);
        world.run(ACTS);
        for (what, count) in &world.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{rounds} histories: {counts:?}");
    counts
}

/// That a run was not in vain; a single history need not have it all.
fn expect_all(counts: &Counts, expected: &[&str]) {
    let is_replay = crash::number("CHATSTORE_ROUNDS") == Some(1);
    let missing: Vec<&&str> = expected
        .iter()
        .filter(|what| !counts.contains_key(**what))
        .collect();
    assert!(
        missing.is_empty() || is_replay,
        "never happened: {missing:?}"
    );
}

#[test]
fn whatever_clients_call_each_answer_is_the_models() {
    let counts = run(
        "whatever_clients_call_each_answer_is_the_models",
        |seed| World::new(seed, Mode::Sound),
        80,
    );
    expect_all(
        &counts,
        &[
            "written",
            "found again",
            "refused",
            "read",
            "transaction",
            "transaction lost",
            "written in a transaction",
            "rolled back to a savepoint",
            "committed",
            "commit sent again",
            "snapshot",
            "read of a snapshot",
            "snapshot lost",
            "timed out",
            "found no connection",
            "cancelled",
            "disconnected",
        ],
    );
}

#[test]
fn whatever_the_disk_refuses_each_answer_stays_true() {
    let counts = run(
        "whatever_the_disk_refuses_each_answer_stays_true",
        |seed| World::new(seed, Mode::Faults),
        60,
    );
    expect_all(
        &counts,
        &[
            "fault",
            "mended",
            "reopened",
            "unknown",
            "not applied",
            "commit failed",
        ],
    );
}

#[test]
fn whenever_it_crashes_what_was_answered_is_there_and_is_done_once() {
    let counts = run(
        "whenever_it_crashes_what_was_answered_is_there_and_is_done_once",
        |seed| World::new(seed, Mode::Crashes),
        50,
    );
    expect_all(&counts, &["crash", "found again"]);
}

#[test]
fn whoever_reads_again_what_has_changed_shows_what_is_there() {
    let modes = [Mode::Sound, Mode::Faults, Mode::Crashes];
    let counts = run(
        "whoever_reads_again_what_has_changed_shows_what_is_there",
        |seed| World::followed(seed, modes[seed as usize % modes.len()]),
        60,
    );
    expect_all(
        &counts,
        &[
            "sessions changed",
            "a reply grew",
            "anything changed",
            "reopened",
            "committed",
            "rolled back",
            "unknown",
            "crash",
        ],
    );
}
