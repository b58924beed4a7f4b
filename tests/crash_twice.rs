//! Two crashes: first the process dies, which leaves everything it wrote to the next one, flushed or
//! not; then the power goes, while the next one recovers or after it has answered.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;

use chatstore::Durability;
use crash::{Crash, Suite, suite};

const FILE: &str = "crash_twice";

#[test]
fn power_lost_within_recovery_takes_nothing_acknowledged() {
    Suite {
        seed: 60_000,
        steps: 12,
        rounds: 2,
        points: 2_000,
        crash: Crash::WithinRecovery,
        ..suite(
            FILE,
            "power_lost_within_recovery_takes_nothing_acknowledged",
        )
    }
    .expect_sound();
}

#[test]
fn power_lost_within_recovery_leaves_a_beginning_of_a_relaxed_store() {
    Suite {
        durability: Durability::Relaxed,
        seed: 70_000,
        steps: 12,
        rounds: 2,
        points: 2_000,
        crash: Crash::WithinRecovery,
        ..suite(
            FILE,
            "power_lost_within_recovery_leaves_a_beginning_of_a_relaxed_store",
        )
    }
    .expect_sound();
}

#[test]
fn what_a_recovered_store_has_answered_survives_the_loss_of_power() {
    Suite {
        seed: 80_000,
        steps: 12,
        rounds: 2,
        points: 2_000,
        crash: Crash::AfterRecovery,
        ..suite(
            FILE,
            "what_a_recovered_store_has_answered_survives_the_loss_of_power",
        )
    }
    .expect_sound();
}
