//! Crashes below the engine: open snapshots, every kind of checkpoint, spilled transactions and
//! rollback journals, on the VFS alone.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;

use crash::raw::{RawSuite, raw_suite};

const FILE: &str = "crash_sqlite";

#[test]
fn a_flushed_wal_keeps_every_commit_through_checkpoints_and_open_snapshots() {
    let test = "a_flushed_wal_keeps_every_commit_through_checkpoints_and_open_snapshots";
    RawSuite {
        seed: 100_000,
        points: 15_000,
        ..raw_suite(FILE, test)
    }
    .run()
    .expect_sound();
}

#[test]
fn a_wal_without_flushes_keeps_a_beginning() {
    let test = "a_wal_without_flushes_keeps_a_beginning";
    let report = RawSuite {
        seed: 110_000,
        synchronous: "NORMAL",
        strict: false,
        points: 15_000,
        ..raw_suite(FILE, test)
    }
    .run();
    report.expect_sound();
    assert!(
        report.behind > 0 || report.points == 1,
        "no commit was ever lost"
    );
}

#[test]
fn a_rollback_journal_keeps_every_commit() {
    let test = "a_rollback_journal_keeps_every_commit";
    RawSuite {
        seed: 120_000,
        journal_mode: "DELETE",
        synchronous: "EXTRA",
        points: 4_000,
        ..raw_suite(FILE, test)
    }
    .run()
    .expect_sound();
}
