//! The engine on a disk that fails: who settles how, what is told, and what the next owner finds.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use std::rc::Rc;

use chatstore::model::{PageOptions, Search};
use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::vfs::{MemoryStorage, Vfs};
use chatstore::{Durability, Options, Outcome, Reply, Request};
use clients::{Clients, add, code, new_session, operation};
use rsqlite_vfs::VfsErrorCode;
use rusqlite::OpenFlags;

const LOG: &str = "-wal";
const ALWAYS: u64 = 1_000_000;

fn fails(on: On, path_ends_with: &'static str, times: u64, fault: Fault) -> Script {
    Script {
        on,
        path_ends_with,
        after_calls: 0,
        times,
        fault,
    }
}

/// A store with one session, at rest.
fn store_on(disk: &SimulatedDisk, durability: Durability) -> Clients {
    let mut clients = Clients::on(disk.clone(), durability.into());
    clients.call(0, new_session("s")).unwrap();
    clients.settle();
    clients
}

fn reopened(disk: &SimulatedDisk) -> Clients {
    Clients::on(disk.kill(), Options::default())
}

/// Follows the engine's own wish for time until it has none, and says how often it was called.
fn run_out(clients: &mut Clients) -> u32 {
    for steps in 0..1_000 {
        match clients.step() {
            Some(next_ms) => clients.now_ms = clients.now_ms.max(next_ms),
            None => return steps,
        }
    }
    panic!("the engine never comes to rest");
}

#[test]
fn a_failed_flush_settles_the_whole_group_and_tells_every_scope() {
    let disk = SimulatedDisk::new(1);
    let mut clients = store_on(&disk, Durability::Strict);
    let snapshot = clients.snapshot(7, 60_000.0);
    let calls = ["a", "b", "c"].map(|id| clients.send(1, 0, add("s", id, "text")));
    disk.fail(fails(On::Sync, LOG, 1, Fault::LosesUnsynced));
    clients.step();
    for call in calls {
        clients.result(call).unwrap();
    }
    assert_eq!(clients.notices, ["reopened"]);
    let [(7, lost, error)] = &clients.lost[..] else {
        panic!("{:?}", clients.lost);
    };
    assert_eq!(
        (*lost, error.code().as_str()),
        (snapshot, "SNAPSHOT_EXPIRED")
    );
    assert_eq!(code(clients.ids(snapshot, "s")), "SNAPSHOT_EXPIRED");
    assert_eq!(clients.engine.pool_figures().in_use, 0);
    assert_eq!(reopened(&disk).ids(0, "s").unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_disk_that_never_flushes_again_settles_everyone_after_bounded_retries() {
    let disk = SimulatedDisk::new(2);
    let mut clients = store_on(&disk, Durability::Strict);
    let calls = ["a", "b", "c"].map(|id| clients.send(1, 0, add("s", id, "text")));
    disk.fail(fails(On::Sync, "", ALWAYS, Fault::LosesUnsynced));
    clients.step();
    for call in calls {
        let error = clients.result(call).unwrap_err();
        assert_eq!(error.code().as_str(), "IO_ERROR", "{error}");
        assert_eq!(error.outcome(), Some(Outcome::Unknown), "{error}");
    }
    assert!(clients.figure("reopened") <= 8);
    disk.mend();
    clients.call(0, add("s", "d", "text")).unwrap();
}

#[test]
fn a_write_is_run_again_as_often_as_the_store_was_told_to() {
    for (retries, failures, expected) in [
        (0, 1, "IO_ERROR"),
        (1, 1, "none"),
        (1, 2, "IO_ERROR"),
        (3, 3, "none"),
        (3, 6, "IO_ERROR"),
    ] {
        let disk = SimulatedDisk::new(18);
        let options = Options {
            retries,
            ..Options::default()
        };
        let mut clients = Clients::on(disk.clone(), options);
        clients.call(0, new_session("s")).unwrap();
        let fault = Fault::Fails(VfsErrorCode::IoWrite);
        disk.fail(fails(On::Write, LOG, failures, fault));
        let result = clients.call(0, add("s", "a", "text"));
        assert_eq!(code(result), expected, "{failures} failures, {retries}");
        disk.mend();
        let kept = clients.ids(0, "s").unwrap().len();
        assert_eq!(kept, usize::from(expected == "none"));
    }
}

#[test]
fn a_log_that_has_no_room_left_is_moved_into_the_file_at_once() {
    let disk = SimulatedDisk::new(19);
    let mut clients = store_on(&disk, Durability::Strict);
    for id in ["t", "u"] {
        clients.call(0, new_session(id)).unwrap();
    }
    clients.engine.close().unwrap();
    disk.set_room_bytes(Some(disk.used_bytes() + 100_000));
    let mut clients = Clients::on(disk.clone(), Options::default());
    let pin = |clients: &mut Clients, at: usize| {
        let request = Request::SessionsUpdate {
            id: "t".into(),
            patch: chatstore::model::SessionPatch {
                pinned: Some(at.is_multiple_of(2)),
                ..Default::default()
            },
        };
        let call = clients.send(1, 0, request);
        clients.step();
        code(clients.result(call))
    };
    let full = (0..1_000).find(|&at| pin(&mut clients, at) == "DISK_FULL");
    let full = full.expect("the disk fills");
    // No time has passed in which the log would have been moved anyway.
    assert_eq!(pin(&mut clients, full), "none");
}

#[test]
fn a_flush_that_finds_no_room_leaves_nothing_of_what_was_not_applied() {
    let disk = SimulatedDisk::new(3);
    let mut clients = store_on(&disk, Durability::Strict);
    let call = clients.send(1, 0, add("s", "a", "text"));
    let full = Fault::Fails(VfsErrorCode::Full);
    disk.fail(fails(On::Sync, LOG, 4, full));
    clients.step();
    if let Err(error) = clients.result(call) {
        disk.mend();
        let found = reopened(&disk).ids(0, "s").unwrap();
        let expected = error.outcome() == Some(Outcome::Unknown) || found.is_empty();
        assert!(expected, "{error} {:?}, and yet {found:?}", error.outcome());
    }
}

#[test]
fn writes_that_are_run_one_by_one_keep_their_order_when_the_file_is_opened_again() {
    let disk = SimulatedDisk::new(4);
    let mut clients = store_on(&disk, Durability::Strict);
    let session = clients.send(1, 0, new_session("t"));
    let message = clients.send(1, 0, add("t", "a", "text"));
    // The group does not fit; then the first of them, by itself, meets a failed flush.
    disk.fail(fails(On::Write, LOG, 1, Fault::Fails(VfsErrorCode::Full)));
    disk.fail(fails(On::Sync, LOG, 1, Fault::LosesUnsynced));
    clients.step();
    clients.result(session).unwrap();
    clients.result(message).unwrap();
}

#[test]
fn a_snapshot_that_a_failed_read_has_ended_is_lost_and_never_shows_another_state() {
    let disk = SimulatedDisk::new(5);
    let mut clients = store_on(&disk, Durability::Strict);
    clients.call(0, add("s", "a", "text")).unwrap();
    let snapshot = clients.snapshot(1, 60_000.0);
    disk.fail(fails(On::Read, "", 1, Fault::Fails(VfsErrorCode::IoRead)));
    assert_eq!(code(clients.ids(snapshot, "s")), "IO_ERROR");
    disk.mend();
    clients.call(0, add("s", "b", "text")).unwrap();
    assert_eq!(code(clients.ids(snapshot, "s")), "SNAPSHOT_EXPIRED");
    assert_eq!(clients.lost.len(), 1);
    assert_eq!(clients.engine.pool_figures().in_use, 0);
}

#[test]
fn what_cannot_be_done_on_a_full_disk_is_not_tried_again_until_the_next_write() {
    let disk = SimulatedDisk::new(6);
    let mut clients = store_on(&disk, Durability::Strict);
    run_out(&mut clients);
    clients.call(0, add("s", "a", "needle")).unwrap();
    let full = Fault::Fails(VfsErrorCode::Full);
    disk.fail(fails(On::Write, "", ALWAYS, full));
    let steps = run_out(&mut clients);
    assert!(steps < 10, "{steps} steps");
    disk.mend();
    let found = clients.send(1, 0, search("needle"));
    clients.settle();
    let Reply::Hits(page) = clients.result(found).unwrap().reply else {
        panic!("expected hits")
    };
    assert_eq!(page.items.len(), 1);
}

#[test]
fn a_relaxed_store_keeps_what_it_acknowledged_when_the_file_is_opened_again() {
    for fault in [
        (On::Write, Fault::Fails(VfsErrorCode::IoWrite)),
        (On::Write, Fault::WritesOnly(700, VfsErrorCode::IoWrite)),
    ] {
        let disk = SimulatedDisk::new(7);
        let mut clients = store_on(&disk, Durability::Relaxed);
        for id in ["a", "b", "c"] {
            clients.call(0, add("s", id, "text")).unwrap();
        }
        disk.fail(fails(fault.0, LOG, 1, fault.1));
        let call = clients.send(1, 0, add("s", "d", "text"));
        clients.step();
        clients.result(call).unwrap();
        assert_eq!(clients.ids(0, "s").unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(reopened(&disk).ids(0, "s").unwrap(), ["a", "b", "c", "d"]);
    }
}

#[test]
fn after_a_failed_flush_of_the_file_the_log_is_moved_into_it_all_the_same() {
    let disk = SimulatedDisk::new(8);
    let mut clients = store_on(&disk, Durability::Strict);
    let fill = |clients: &mut Clients, name: &str| {
        for at in 0..300 {
            let message = add("s", format!("{name}{at}"), "text");
            clients.call(0, message).unwrap();
        }
        run_out(clients);
    };
    disk.fail(fails(On::Sync, "chats.sqlite", 1, Fault::LosesUnsynced));
    fill(&mut clients, "a");
    assert_eq!(clients.notices, ["reopened"]);
    fill(&mut clients, "b");
    let left = clients.figure("logFrames") - clients.figure("logFramesMoved");
    assert!(left < 250, "{left} frames of the log were never moved");
    let power_lost = disk.after_power_loss(1);
    let mut clients = Clients::on(power_lost, Options::default());
    assert_eq!(clients.ids(0, "s").unwrap().len(), 600);
}

#[test]
fn a_checkpoint_that_cannot_flush_is_tried_once_for_what_was_written() {
    let disk = SimulatedDisk::new(13);
    let mut clients = store_on(&disk, Durability::Strict);
    disk.fail(fails(
        On::Sync,
        "chats.sqlite",
        ALWAYS,
        Fault::LosesUnsynced,
    ));
    for at in 0..300 {
        let message = add("s", format!("m{at}"), "text");
        clients.call(0, message).unwrap();
    }
    let steps = run_out(&mut clients);
    assert!(steps < 20, "{steps} steps");
    assert!(clients.figure("reopened") <= 1);
    disk.mend();
    assert_eq!(clients.ids(0, "s").unwrap().len(), 300);
}

#[test]
fn a_transaction_that_cannot_commit_says_so_and_leaves_nothing() {
    for (seed, fault) in [
        (1, (On::Sync, Fault::LosesUnsynced)),
        (2, (On::Write, Fault::Fails(VfsErrorCode::Full))),
        (3, (On::Write, Fault::Fails(VfsErrorCode::IoWrite))),
    ] {
        let disk = SimulatedDisk::new(seed);
        let mut clients = store_on(&disk, Durability::Strict);
        let tx = clients.transaction(1, 60_000.0);
        clients.call(tx, add("s", "a", "text")).unwrap();
        disk.fail(fails(fault.0, LOG, 1, fault.1));
        let call = clients.send_as(1, tx, Request::TransactionCommit, operation("op", 1));
        let error = clients.result(call).unwrap_err();
        assert_eq!(error.outcome(), Some(Outcome::NotApplied), "{error}");
        // Whoever asks something of it is told why it is over.
        let told = code(clients.ids(tx, "s"));
        let known = [error.code().as_str(), "TRANSACTION_LOST"];
        assert!(known.contains(&told), "{told}");
        let again = clients.send_as(1, tx, Request::TransactionCommit, operation("op", 2));
        let error = clients.result(again).unwrap_err();
        assert_eq!(error.outcome(), Some(Outcome::NotApplied), "{error}");
        assert_eq!(clients.ids(0, "s").unwrap(), [""; 0]);
        assert_eq!(reopened(&disk).ids(0, "s").unwrap(), [""; 0]);
    }
}

#[test]
fn a_transaction_whose_call_meets_a_write_that_fails_is_lost_and_the_file_opened_again() {
    let disk = SimulatedDisk::new(20);
    let mut clients = store_on(&disk, Durability::Strict);
    let tx = clients.transaction(1, 60_000.0);
    let fault = Fault::Fails(VfsErrorCode::IoWrite);
    disk.fail(fails(On::Write, LOG, 1, fault));
    // Too much to be held in memory until the commit.
    let large = add("s", "a", "x".repeat(12 << 20).leak());
    assert_eq!(code(clients.call(tx, large)), "TRANSACTION_LOST");
    clients.step();
    assert_eq!(clients.notices, ["reopened"]);
    assert_eq!(code(clients.ids(tx, "s")), "TRANSACTION_LOST");
    clients.call(0, add("s", "b", "text")).unwrap();
    assert_eq!(reopened(&disk).ids(0, "s").unwrap(), ["b"]);
}

#[test]
fn one_call_that_finds_no_room_takes_no_other_of_its_group_with_it() {
    let disk = SimulatedDisk::new(9);
    let mut clients = store_on(&disk, Durability::Strict);
    let large: &'static str = "x".repeat(3 << 20).leak();
    disk.set_room_bytes(Some(disk.used_bytes() + (1 << 20)));
    let first = clients.send(1, 0, add("s", "a", "text"));
    let second = clients.send(2, 0, add("s", "b", large));
    let third = clients.send(3, 0, add("s", "c", "text"));
    clients.step();
    clients.result(first).unwrap();
    let error = clients.result(second).unwrap_err();
    assert_eq!(error.code().as_str(), "DISK_FULL");
    assert_eq!(error.outcome(), Some(Outcome::NotApplied));
    clients.result(third).unwrap();
    assert_eq!(reopened(&disk).ids(0, "s").unwrap(), ["a", "c"]);
}

#[test]
fn a_page_that_does_not_match_fails_the_call_that_reads_it_and_no_other() {
    let disk = SimulatedDisk::new(10);
    let mut clients = store_on(&disk, Durability::Strict);
    for at in 0..400 {
        let message = add(
            "s",
            format!("m{at:03}"),
            "a text of some length, so that there are pages",
        );
        clients.call(0, message).unwrap();
    }
    clients.engine.close().unwrap();
    let pages = disk.contents("chats.sqlite").unwrap().len() / 4096;
    let mut mismatches = 0;
    for page in 2..pages {
        let offset_bytes = page as u64 * 4096 + 2_000;
        disk.flip_bit("chats.sqlite", offset_bytes, 3);
        if let Ok(engine) =
            chatstore::Engine::open(disk.clone(), "chats.sqlite", Durability::Strict)
        {
            let mut clients = Clients::over(engine);
            let calls = [
                clients.send(1, 0, new_session(format!("t{page}").leak())),
                clients.send(1, 0, add("s", format!("n{page}"), "text")),
                clients.send(1, 0, new_session(format!("u{page}").leak())),
            ];
            clients.settle();
            let results = calls.map(|call| code(clients.result(call)));
            let list = code(clients.ids(0, "s"));
            for result in results.into_iter().chain([list]) {
                assert!(
                    ["none", "CHECKSUM_MISMATCH"].contains(&result),
                    "page {page}: {result}"
                );
            }
            if [results[0], results[2]] == ["none"; 2] && results[1] == "CHECKSUM_MISMATCH" {
                mismatches += 1;
            }
            clients.engine.close().ok();
        }
        disk.flip_bit("chats.sqlite", offset_bytes, 3);
    }
    assert!(
        mismatches > 0,
        "no write of a group met a page that did not match"
    );
}

fn search(query: &str) -> Request<'static> {
    Request::Search {
        search: Search {
            query: query.to_owned(),
            ..Search::default()
        },
        page: PageOptions::default(),
    }
}

#[test]
fn damage_that_shows_itself_at_the_commit_stops_writing_as_any_other_does() {
    let storage = Rc::new(MemoryStorage::new());
    let mut clients = Clients::on(Rc::clone(&storage), Options::default());
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "a", "text")).unwrap();
    clients.pass(1_000.0);
    clients.engine.close().unwrap();
    // The search index is written at the commit, and reads what it has then.
    let vfs = Vfs::register(Rc::clone(&storage)).unwrap();
    let connection = vfs.connect("chats.sqlite", OpenFlags::default()).unwrap();
    let sql = "UPDATE messages_fts_data SET block = X'00000000FF7F01' WHERE id = 10";
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
    drop(connection);
    let mut clients = Clients::on(storage, Options::default());
    clients.call(0, add("s", "b", "text")).unwrap();
    let index = Request::SearchIndex { limit: 10 };
    assert_eq!(code(clients.call(0, index)), "CORRUPT");
    assert_eq!(code(clients.call(0, add("s", "c", "text"))), "CORRUPT");
    assert_eq!(clients.notices, ["corrupt"]);
    assert_eq!(clients.ids(0, "s").unwrap(), ["a", "b"]);
}

#[test]
fn a_read_that_claims_more_than_was_asked_for_is_told_as_such() {
    let disk = SimulatedDisk::new(14);
    let mut clients = store_on(&disk, Durability::Strict);
    clients.call(0, add("s", "a", "text")).unwrap();
    let mut disk = disk.kill();
    let mut told_why = 0;
    for after_calls in 0..20 {
        disk.fail(Script {
            after_calls,
            ..fails(On::Read, "", 1, Fault::ReadCount(0xffff_fff8))
        });
        let opened = chatstore::Engine::open(disk.clone(), "chats.sqlite", Durability::Strict);
        if let Err(error) = opened.and_then(|engine| Clients::over(engine).ids(0, "s")) {
            assert_eq!(error.code().as_str(), "IO_ERROR", "{error}");
            let told = format!("{error} {}", error.detail("cause").unwrap_or_default());
            assert!(!told.contains("panicked"), "{told}");
            told_why += u32::from(told.contains("gave 4294967288 bytes where"));
        }
        disk.mend();
        disk = disk.kill();
    }
    assert!(told_why > 5, "only {told_why} times");
}

#[test]
fn a_store_in_memory_durability_never_flushes_and_comes_through_failures_all_the_same() {
    let disk = SimulatedDisk::new(15);
    let mut clients = store_on(&disk, Durability::Memory);
    // No flush is asked for, so none fails.
    disk.fail(fails(On::Sync, "", ALWAYS, Fault::LosesUnsynced));
    clients.call(0, add("s", "a", "text")).unwrap();
    run_out(&mut clients);
    assert_eq!(clients.notices, [""; 0]);
    disk.mend();
    disk.fail(fails(
        On::Write,
        LOG,
        1,
        Fault::WritesOnly(700, VfsErrorCode::IoWrite),
    ));
    let calls = ["b", "c"].map(|id| clients.send(1, 0, add("s", id, "text")));
    clients.step();
    for call in calls {
        clients.result(call).unwrap();
    }
    assert_eq!(clients.notices, ["reopened"]);
    disk.fail(fails(
        On::Write,
        "",
        ALWAYS,
        Fault::Fails(VfsErrorCode::Full),
    ));
    assert_eq!(code(clients.call(0, add("s", "d", "text"))), "DISK_FULL");
    disk.mend();
    assert_eq!(clients.ids(0, "s").unwrap(), ["a", "b", "c"]);
    clients.engine.close().unwrap();
    assert_eq!(reopened(&disk).ids(0, "s").unwrap(), ["a", "b", "c"]);
}

#[test]
fn what_waits_while_the_disk_fails_settles_at_its_deadline_at_the_latest() {
    for on in [On::Read, On::Write, On::Sync, On::Truncate, On::Open] {
        let disk = SimulatedDisk::new(16);
        let mut clients = store_on(&disk, Durability::Strict);
        let tx = clients.transaction(1, 5_000.0);
        clients.call(tx, add("s", "a", "text")).unwrap();
        clients.timeout_ms = 1_000.0;
        let behind = clients.send(2, 0, add("s", "b", "text"));
        let next = clients.send(3, 0, Request::TransactionBegin { lease_ms: 5_000.0 });
        disk.fail(fails(on, "", ALWAYS, Fault::Fails(VfsErrorCode::Io)));
        clients.pass(1_000.0);
        for call in [behind, next] {
            let error = clients.result(call).unwrap_err();
            assert_eq!(error.code().as_str(), "TIMEOUT", "{on:?}: {error}");
            assert_eq!(error.outcome(), Some(Outcome::NotApplied), "{on:?}");
        }
        // The lease runs out as well, and what comes then meets the disk itself.
        clients.pass(5_000.0);
        assert_eq!(clients.lost.len(), 1, "{on:?}");
        let calls = [
            clients.send(2, 0, add("s", "c", "text")),
            clients.send(2, 0, search("text")),
            clients.send(2, 0, Request::TransactionBegin { lease_ms: 5_000.0 }),
            clients.send(2, 0, clients::begin_snapshot(5_000.0)),
            clients.send(2, 0, clients::list("s")),
        ];
        clients.pass(0.0);
        let written = clients.result(calls[0]).is_ok();
        for call in &calls[1..] {
            if let Err(error) = clients.result(*call) {
                let is_clear = ["IO_ERROR", "SNAPSHOT_EXPIRED"].contains(&error.code().as_str());
                assert!(is_clear, "{on:?}: {error} {:?}", error.details());
            }
        }
        disk.mend();
        clients.pass(10_000.0);
        let expected: &[&str] = if written { &["c"] } else { &[] };
        assert_eq!(clients.ids(0, "s").unwrap(), expected, "{on:?}");
        clients.call(0, add("s", "d", "text")).unwrap();
    }
}

#[test]
fn records_that_cannot_be_dropped_are_kept_and_dropped_later() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    for (on, fault) in [
        (On::Write, Fault::Fails(VfsErrorCode::Full)),
        (On::Write, Fault::Fails(VfsErrorCode::IoWrite)),
        (On::Sync, Fault::LosesUnsynced),
    ] {
        let disk = SimulatedDisk::new(17);
        let mut clients = store_on(&disk, Durability::Strict);
        let write = |clients: &mut Clients, attempt| {
            let call = clients.send_as(1, 0, add("s", "a", "text"), operation("op", attempt));
            clients.settle();
            clients.result(call)
        };
        write(&mut clients, 1).unwrap();
        run_out(&mut clients);
        disk.pass_ms(2 * DAY_MS);
        clients.call(0, new_session("t")).unwrap();
        clients.pass(100.0);
        disk.fail(fails(on, LOG, ALWAYS, fault));
        clients.pass(1_000_000.0);
        run_out(&mut clients);
        disk.mend();
        // Whether it was dropped or not: the write is not done twice.
        let again = write(&mut clients, 2);
        assert_eq!(code(again), "none", "{on:?} {fault:?}");
        clients.call(0, new_session("u")).unwrap();
        clients.pass(1_000_000.0);
        run_out(&mut clients);
        assert_eq!(
            code(write(&mut clients, 2)),
            "OUTCOME_UNKNOWN",
            "{on:?} {fault:?}"
        );
        assert_eq!(clients.ids(0, "s").unwrap(), ["a"]);
    }
}

#[test]
fn what_a_relaxed_store_acknowledged_outlives_a_write_and_a_flush_that_fail() {
    for (seed, write_fault) in [
        Fault::Fails(VfsErrorCode::IoWrite),
        // The commit is in the log, and nobody was told so.
        Fault::WritesOnly(usize::MAX, VfsErrorCode::IoWrite),
    ]
    .into_iter()
    .enumerate()
    {
        let disk = SimulatedDisk::new(seed as u64);
        let mut clients = store_on(&disk, Durability::Relaxed);
        for id in ["a", "b", "c"] {
            clients.call(0, add("s", id, "text")).unwrap();
        }
        disk.fail(fails(On::Write, LOG, 1, write_fault));
        // Nor can it be taken back at once.
        let stays = Fault::Fails(VfsErrorCode::IoTruncate);
        disk.fail(fails(On::Truncate, LOG, 1, stays));
        disk.fail(fails(On::Sync, LOG, 1, Fault::LosesUnsynced));
        let call = clients.send(1, 0, add("s", "d", "text"));
        run_out(&mut clients);
        clients.result(call).unwrap();
        assert_eq!(clients.ids(0, "s").unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(reopened(&disk).ids(0, "s").unwrap(), ["a", "b", "c", "d"]);
    }
}
