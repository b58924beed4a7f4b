//! Strict stores and the loss of power: whatever was acknowledged is there, whole, at every operation
//! at which it can happen.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;

use crash::{Crash, Suite, suite};

const FILE: &str = "crash_strict";

#[test]
fn every_operation_of_short_histories_can_be_the_last() {
    Suite {
        steps: 5,
        rounds: 4,
        points: 6_000,
        ..suite(FILE, "every_operation_of_short_histories_can_be_the_last")
    }
    .expect_sound();
}

#[test]
fn any_operation_of_long_histories_can_be_the_last() {
    Suite {
        seed: 10_000,
        steps: 150,
        rounds: 0,
        points: 4_000,
        ..suite(FILE, "any_operation_of_long_histories_can_be_the_last")
    }
    .expect_sound();
}

#[test]
fn the_death_of_the_process_takes_nothing() {
    Suite {
        seed: 20_000,
        steps: 20,
        rounds: 1,
        points: 2_000,
        crash: Crash::Process,
        ..suite(FILE, "the_death_of_the_process_takes_nothing")
    }
    .expect_sound();
}
