//! Transactions on a lease, snapshots, and the pool behind them.

#[path = "support/clients.rs"]
mod clients;

use chatstore::engine::PoolOptions;
use chatstore::model::SessionPatch;
use chatstore::vfs::MemoryStorage;
use chatstore::{Options, Outcome, Request};
use clients::{Clients, add, begin_snapshot, code, new_session, operation};

fn with_pool(max: usize) -> Clients {
    let pool = PoolOptions {
        min: 1,
        max,
        idle_timeout_ms: 10_000.0,
        acquire_timeout_ms: 2_000.0,
    };
    let options = Options {
        pool,
        ..Options::default()
    };
    Clients::on(MemoryStorage::new(), options)
}

#[test]
fn a_transaction_holds_the_writer_and_readers_do_not_wait_for_it() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let tx = clients.transaction(1, 10_000.0);
    clients.call(tx, add("s", "a", "text")).unwrap();
    let writer = clients.send(2, 0, add("s", "b", "text"));
    clients.settle();
    assert!(!clients.has_settled(writer));
    // Answered at once, on the state before.
    assert_eq!(clients.ids(0, "s").unwrap(), [""; 0]);
    let snapshot = clients.snapshot(3, 10_000.0);
    assert_eq!(clients.ids(snapshot, "s").unwrap(), [""; 0]);
    assert_eq!(clients.ids(tx, "s").unwrap(), ["a"]);
    clients.call(tx, Request::TransactionCommit).unwrap();
    clients.settle();
    clients.result(writer).unwrap();
    assert_eq!(clients.ids(0, "s").unwrap(), ["a", "b"]);
    assert_eq!(clients.ids(snapshot, "s").unwrap(), [""; 0], "no phantom");
}

#[test]
fn a_transaction_whose_lease_is_over_is_rolled_back_and_its_client_is_told() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let tx = clients.transaction(5, 1_000.0);
    clients.call(tx, add("s", "a", "text")).unwrap();
    let next = clients.send(6, 0, add("s", "b", "text"));
    clients.pass(1_000.0);
    let (client, scope, error) = clients.lost.pop().expect("the client is told");
    assert_eq!((client, scope), (5, tx));
    assert_eq!(error.code().as_str(), "TRANSACTION_LOST");
    assert_eq!(error.outcome(), Some(Outcome::NotApplied));
    clients.result(next).unwrap();
    let late = clients.call(tx, Request::TransactionCommit);
    assert_eq!(code(late), "TRANSACTION_LOST");
    assert_eq!(clients.ids(0, "s").unwrap(), ["b"]);
}

#[test]
fn a_commit_that_is_sent_again_settles_as_the_first_one() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let tx = clients.transaction(1, 10_000.0);
    clients.call(tx, add("s", "a", "text")).unwrap();
    let commit = clients.send_as(1, tx, Request::TransactionCommit, operation("c", 1));
    clients.result(commit).unwrap();
    let again = clients.send_as(1, tx, Request::TransactionCommit, operation("c", 2));
    clients.result(again).unwrap();
    let other = clients.send_as(1, tx, Request::TransactionCommit, operation("d", 2));
    assert_eq!(code(clients.result(other)), "TRANSACTION_STATE");
}

#[test]
fn the_transaction_of_a_client_that_is_gone_is_rolled_back() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let tx = clients.transaction(1, 10_000.0);
    clients.call(tx, add("s", "a", "text")).unwrap();
    let next = clients.send(2, 0, add("s", "b", "text"));
    clients.engine.disconnect(clients.now_ms, 1);
    clients.settle();
    clients.result(next).unwrap();
    assert_eq!(clients.ids(0, "s").unwrap(), ["b"]);
}

#[test]
fn transactions_take_turns_and_no_update_is_lost() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let begins: Vec<u64> = (1..=10)
        .map(|client| clients.send(client, 0, Request::TransactionBegin { lease_ms: 1e6 }))
        .collect();
    for (at, begin) in begins.into_iter().enumerate() {
        clients.settle();
        let chatstore::Reply::Scope(tx) = clients.result(begin).unwrap().reply else {
            panic!("expected a scope");
        };
        // Reads a value, and writes it back with one more.
        let titles = clients.sessions(tx).items;
        let title = titles[0].title.clone().unwrap_or_default();
        let patch = SessionPatch {
            title: chatstore::model::Field::Value(format!("{title}{at}")),
            ..SessionPatch::default()
        };
        let update = Request::SessionsUpdate {
            id: "s".into(),
            patch,
        };
        clients.call(tx, update).unwrap();
        clients.call(tx, Request::TransactionCommit).unwrap();
    }
    let titles = clients.sessions(0).items;
    assert_eq!(titles[0].title.as_deref(), Some("0123456789"));
}

#[test]
fn snapshots_each_keep_the_state_that_they_began_with() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let mut snapshots = Vec::new();
    for at in 0..20_usize {
        snapshots.push((clients.snapshot(1, 1e6), at));
        clients
            .call(0, add("s", format!("m{at:02}"), "text"))
            .unwrap();
    }
    for (snapshot, messages) in &snapshots {
        assert_eq!(clients.ids(*snapshot, "s").unwrap().len(), *messages);
    }
    assert_eq!(clients.figure("poolMaxInUse"), 20);
    for (snapshot, _) in snapshots {
        clients.call(snapshot, Request::SnapshotEnd).unwrap();
        assert_eq!(code(clients.ids(snapshot, "s")), "TRANSACTION_STATE");
    }
    assert_eq!(clients.figure("poolInUse"), 0);
    assert_eq!(clients.figure("poolCheckouts"), 20);
}

#[test]
fn fifty_snapshots_are_open_at_once_and_each_connection_stays_small() {
    let mut clients = with_pool(50);
    clients.call(0, new_session("s")).unwrap();
    for at in 0..500 {
        clients.send(
            at % 10,
            0,
            add("s", format!("m{at:04}"), "some text of a message"),
        );
    }
    clients.settle();
    let snapshots: Vec<u32> = (0..50)
        .map(|client| clients.snapshot(client, 1e6))
        .collect();
    for snapshot in snapshots {
        assert_eq!(clients.ids(snapshot, "s").unwrap().len(), 500);
    }
    assert_eq!(clients.figure("connections"), 53);
    let most_bytes = clients.figure("connectionBytesMax");
    assert!(most_bytes < 2 << 20, "{most_bytes} bytes in one connection");
}

#[test]
fn when_all_connections_are_held_a_snapshot_waits_and_then_says_why_it_did_not_get_one() {
    let mut clients = with_pool(3);
    let held: Vec<u32> = (0..3).map(|client| clients.snapshot(client, 1e6)).collect();
    let waiting = clients.send(9, 0, begin_snapshot(1e6));
    let in_vain = clients.send(9, 0, begin_snapshot(1e6));
    clients.settle();
    assert!(!clients.has_settled(waiting));
    assert_eq!(clients.figure("poolWaiting"), 2);
    clients.call(held[1], Request::SnapshotEnd).unwrap();
    clients.settle();
    clients.result(waiting).unwrap();
    // Others go on meanwhile.
    clients.call(0, new_session("s")).unwrap();
    clients.pass(2_000.0);
    let error = clients.result(in_vain).unwrap_err();
    assert_eq!(error.code().as_str(), "POOL_EXHAUSTED");
    assert_eq!(error.number("connections"), Some(3));
    assert_eq!(clients.figure("poolExhausted"), 1);
}

#[test]
fn a_snapshot_that_is_not_used_for_its_lease_expires() {
    let mut clients = with_pool(3);
    clients.call(0, new_session("s")).unwrap();
    let snapshot = clients.snapshot(4, 1_000.0);
    clients.pass(900.0);
    clients.ids(snapshot, "s").unwrap();
    clients.pass(900.0);
    clients.ids(snapshot, "s").unwrap();
    clients.pass(1_000.0);
    assert_eq!(code(clients.ids(snapshot, "s")), "SNAPSHOT_EXPIRED");
    assert_eq!(clients.lost.len(), 1);
    assert_eq!(clients.figure("poolInUse"), 0);
}

#[test]
fn connections_above_the_minimum_are_closed_when_nobody_uses_them() {
    let mut clients = with_pool(5);
    let held: Vec<u32> = (0..5).map(|client| clients.snapshot(client, 1e6)).collect();
    for snapshot in held {
        clients.call(snapshot, Request::SnapshotEnd).unwrap();
    }
    assert_eq!(clients.figure("poolIdle"), 5);
    clients.pass(10_000.0);
    assert_eq!(clients.figure("poolIdle"), 1);
}

#[test]
fn a_snapshot_refuses_to_write() {
    let mut clients = Clients::in_memory();
    let snapshot = clients.snapshot(1, 1e6);
    assert_eq!(
        code(clients.call(snapshot, new_session("s"))),
        "TRANSACTION_STATE"
    );
}

#[test]
fn a_snapshot_that_keeps_too_much_of_the_log_is_given_up() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let snapshot = clients.snapshot(1, 1e9);
    let text: &'static str = String::leak("x".repeat(8 << 20));
    for at in 0..40 {
        clients.call(0, add("s", format!("m{at}"), text)).unwrap();
        if !clients.lost.is_empty() {
            break;
        }
    }
    let (_, scope, error) = clients.lost.pop().expect("it is given up");
    assert_eq!(
        (scope, error.code().as_str()),
        (snapshot, "SNAPSHOT_EXPIRED")
    );
    assert_eq!(code(clients.ids(snapshot, "s")), "SNAPSHOT_EXPIRED");
}

#[test]
fn ten_readers_and_ten_writers_at_once_see_whole_states_only() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    for round in 0..50 {
        let writes: Vec<u64> = (0..10)
            .map(|client| {
                // Two messages that belong together.
                let pair = ["a", "b"].map(|which| chatstore::model::NewMessage {
                    session_id: "s",
                    id: Some(String::leak(format!("{round}-{client}-{which}"))),
                    role: "user",
                    text: Some("text"),
                    ..chatstore::model::NewMessage::default()
                });
                clients.send(client, 0, Request::MessagesAdd(pair.to_vec()))
            })
            .collect();
        let snapshots: Vec<u32> = (10..20)
            .map(|client| clients.snapshot(client, 1e6))
            .collect();
        for snapshot in &snapshots {
            let seen = clients.ids(*snapshot, "s").unwrap().len();
            assert_eq!(seen % 2, 0, "a half of a call was seen");
            assert_eq!(clients.ids(*snapshot, "s").unwrap().len(), seen);
        }
        for snapshot in snapshots {
            clients.call(snapshot, Request::SnapshotEnd).unwrap();
        }
        for write in writes {
            clients.result(write).unwrap();
        }
    }
    assert_eq!(clients.ids(0, "s").unwrap().len(), 1_000);
}
