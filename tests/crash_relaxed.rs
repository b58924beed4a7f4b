//! Relaxed stores: the loss of power may take the last writes, never one before another that is kept;
//! the death of the process takes nothing.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;

use chatstore::Durability;
use crash::{Crash, Suite, suite};

const FILE: &str = "crash_relaxed";

#[test]
fn what_is_there_after_any_operation_of_short_histories_is_a_beginning() {
    let report = Suite {
        durability: Durability::Relaxed,
        seed: 30_000,
        steps: 8,
        rounds: 4,
        points: 4_000,
        ..suite(
            FILE,
            "what_is_there_after_any_operation_of_short_histories_is_a_beginning",
        )
    }
    .run();
    report.expect_sound();
}

#[test]
fn what_is_there_after_long_histories_is_a_beginning() {
    let report = Suite {
        durability: Durability::Relaxed,
        seed: 40_000,
        steps: 150,
        rounds: 0,
        points: 4_000,
        ..suite(FILE, "what_is_there_after_long_histories_is_a_beginning")
    }
    .run();
    report.expect_sound();
    // Otherwise these stores were as good as strict, and nothing was tested.
    let is_replay = report.histories == 1;
    assert!(report.behind > 0 || is_replay, "no write was ever lost");
}

#[test]
fn the_death_of_the_process_takes_nothing() {
    Suite {
        durability: Durability::Relaxed,
        seed: 50_000,
        steps: 20,
        rounds: 1,
        points: 1_500,
        crash: Crash::Process,
        ..suite(FILE, "the_death_of_the_process_takes_nothing")
    }
    .expect_sound();
}
