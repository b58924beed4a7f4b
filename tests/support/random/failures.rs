//! The disk fails, is mended, and the store dies and is opened again; at the end it is looked at whole.

use chatstore::vfs::simulated::{Fault, On, Script};
use rsqlite_vfs::VfsErrorCode;
use rusqlite::types::Value;

use super::*;

const ALWAYS: u64 = 1_000_000;

impl World {
    pub(super) fn break_or_mend(&mut self) {
        if self.is_failing && self.random.below(2) == 0 {
            return self.mend();
        }
        let makes = |waiting: &Waiting| matches!(waiting.what, What::Write(Write::Edit { .. }, _));
        if self.waiting.values().any(makes) {
            return;
        }
        self.is_failing = true;
        self.has_failed = true;
        if self.random.below(6) == 0 {
            let room_bytes = self.disk.used_bytes() + self.random.below(200_000) as u64;
            self.note(format!("{room_bytes} bytes of room"));
            self.disk.set_room_bytes(Some(room_bytes));
            return;
        }
        if self.random.below(6) == 0 {
            // From its next flush on, the disk takes nothing at all: what was written may be found by
            // the next owner, or not.
            let code = VfsErrorCode::IoWrite;
            for on in [On::Sync, On::Truncate, On::Write] {
                self.disk.fail(Script {
                    on,
                    path_ends_with: "",
                    after_calls: if on == On::Write { 1 } else { 0 },
                    times: ALWAYS,
                    fault: Fault::Fails(code),
                });
            }
            self.note("the disk is gone");
            return;
        }
        let short = self.random.below(5_000);
        let (on, fault) = [
            (On::Write, Fault::Fails(VfsErrorCode::IoWrite)),
            (On::Write, Fault::Fails(VfsErrorCode::Full)),
            (On::Write, Fault::WritesOnly(short, VfsErrorCode::IoWrite)),
            (On::Write, Fault::WritesOnly(short, VfsErrorCode::Full)),
            (On::Sync, Fault::LosesUnsynced),
            (On::Sync, Fault::LosesUnsynced),
            (On::Sync, Fault::Fails(VfsErrorCode::IoSync)),
            (On::Read, Fault::Fails(VfsErrorCode::IoRead)),
            (On::Truncate, Fault::Fails(VfsErrorCode::IoTruncate)),
        ][self.random.below(9)];
        let script = Script {
            on,
            path_ends_with: ["", "-wal", PATH][self.random.below(3)],
            after_calls: self.random.below(4) as u64,
            times: [1, 1, 2, 5, ALWAYS][self.random.below(5)],
            fault,
        };
        self.note(format!("{script:?}"));
        self.disk.fail(script);
        self.count("fault");
    }

    /// The disk is well again: so is the store, without being opened again by anybody.
    pub(super) fn mend(&mut self) {
        self.note("mended");
        self.disk.mend();
        self.disk.set_room_bytes(None);
        // What fails of a write that waits has failed before it is run.
        self.settle();
        if let Some(open) = &mut self.transaction {
            open.is_doubtful = true;
        }
        for open in self.snapshots.values_mut() {
            open.is_doubtful = true;
        }
        self.is_failing = false;
        self.read_all();
        self.count("mended");
    }

    /// Reads everything, which also tells what came of what was unknown.
    pub(super) fn read_all(&mut self) {
        let (_, result) = self.submit(CLIENTS, 0, Read::All.request(), None, 30_000.0);
        let result = result.map(|answer| answer.expect("a read is answered at once"));
        self.read(&Read::All, result);
    }

    /// The process dies or the power goes, somewhere within the last act.
    pub(super) fn crash(&mut self, operations: usize) {
        let last = self.disk.operations();
        let crash_at = operations + self.random.below(last - operations + 1);
        let history = self.disk.history();
        // Whatever is still called by what is left of it does nothing.
        drop(self.disk.kill());
        self.engine = None;
        let mut replay = history.replay();
        replay.advance(crash_at);
        let is_power = self.random.below(2) == 0;
        let seed = self.random.next();
        self.note(format!(
            "crash at {crash_at} of {operations} to {last}, power: {is_power}"
        ));
        self.disk = if is_power {
            replay.after_power_loss(seed)
        } else {
            replay.after_process_death(seed)
        };
        // The clock of the machine goes on.
        let crashes = self.counts.get("crash").copied().unwrap_or_default();
        self.disk.pass_ms(1_000_000 * (1 + crashes as i64));
        if crash_at < last {
            self.committed = self.passed.clone();
        }
        self.transaction = None;
        self.snapshots.clear();
        self.waiting.clear();
        self.gone.clear();
        self.connected.fill(false);
        (self.is_failing, self.has_failed) = (false, false);
        self.count("crash");
        self.open();
        self.read_all();
        self.verify();
    }

    pub(super) fn verify(&mut self) {
        let request = Request::SnapshotBegin {
            lease_ms: 60_000.0,
            indexed: false,
            purpose: Purpose::Verify,
        };
        let (_, result) = self.submit(CLIENTS, 0, request, None, 30_000.0);
        let Ok(Some(Answer {
            reply: Reply::Scope(scope),
            ..
        })) = result
        else {
            panic!("a check does not begin: {result:?}");
        };
        for _ in 0..10_000 {
            let (_, result) = self.submit(CLIENTS, scope, Request::SnapshotStep, None, 30_000.0);
            let Ok(Some(Answer {
                reply: Reply::Table(table),
                ..
            })) = result
            else {
                panic!("a check does not go on: {result:?}");
            };
            if table.columns != ["report"] {
                continue;
            }
            let [Value::Text(report)] = &table.cells[..] else {
                panic!("a report is a text: {table:?}");
            };
            assert!(report.starts_with("{\"ok\":true"), "{report}");
            let (_, ended) = self.submit(CLIENTS, scope, Request::SnapshotEnd, None, 30_000.0);
            ended.expect("a check ends");
            self.count("verified");
            return;
        }
        panic!("a check has no end");
    }

    /// Everything is let go and settles. The store holds what it should, and so it does when it is
    /// opened again.
    pub(super) fn end(&mut self) {
        if self.is_failing {
            self.mend();
        }
        for client in 1..=CLIENTS {
            if !self.connected[client as usize] {
                self.connect(client);
            }
        }
        self.settle();
        for _ in 0..3 {
            // Leases end one after the other, as those that waited begin theirs.
            self.now_ms += 100_000.0;
            self.settle();
        }
        assert!(
            self.waiting.is_empty(),
            "{} calls never settle",
            self.waiting.len()
        );
        assert!(self.transaction.is_none() && self.snapshots.is_empty());
        self.read_all();
        self.verify();
        self.note("close");
        let engine = self.engine.take().expect("the store is open");
        if let Err(error) = engine.close() {
            // A flush that has failed for good; what was acknowledged is in the log.
            let may_be = self.has_failed && tells_of_a_fault(error.code());
            assert!(may_be, "the store does not close: {error}");
            self.count("close failed");
        }
        self.connected.fill(false);
        self.open();
        self.read_all();
        self.verify();
    }
}
