//! Transactions on a lease, snapshots, and the pool behind them.

#[path = "support/clients.rs"]
mod clients;

use chatstore::engine::PoolOptions;
use chatstore::model::SessionPatch;
use chatstore::vfs::MemoryStorage;
use chatstore::{Options, Outcome, Reply, Request};
use clients::{Clients, add, begin_snapshot, code, list, new_session, operation};

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
    assert_eq!(clients.figure("connections"), 52);
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

#[test]
fn a_scope_is_open_to_its_own_client_only() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let tx = clients.transaction(1, 60_000.0);
    let snapshot = clients.snapshot(1, 60_000.0);
    for (scope, request) in [
        (tx, Request::TransactionCommit),
        (tx, add("s", "a", "text")),
        (snapshot, list("s")),
        (snapshot, Request::SnapshotEnd),
    ] {
        let call = clients.send(2, scope, request);
        assert_eq!(code(clients.result(call)), "TRANSACTION_STATE");
    }
    clients.ids(snapshot, "s").unwrap();
    clients.call(tx, Request::TransactionCommit).unwrap();
}

#[test]
fn a_commit_that_is_sent_again_never_commits_another_transaction_of_the_same_number() {
    let storage = std::rc::Rc::new(MemoryStorage::new());
    let mut clients = Clients::on(std::rc::Rc::clone(&storage), Options::default());
    clients.call(0, new_session("s")).unwrap();
    let before = clients.transaction(1, 60_000.0);
    drop(clients);
    // The next owner counts scopes anew, and the same client has the next transaction open already.
    let mut clients = Clients::on(storage, Options::default());
    let open = clients.transaction(1, 60_000.0);
    assert_eq!(before, open);
    clients.call(open, add("s", "a", "text")).unwrap();
    let call = clients.send_as(1, before, Request::TransactionCommit, operation("op", 2));
    let error = clients.result(call).unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::NotApplied), "{error}");
    clients.call(open, Request::TransactionRollback).unwrap();
    assert_eq!(clients.ids(0, "s").unwrap(), [""; 0]);
}

#[test]
fn the_record_of_another_write_does_not_pass_for_that_of_a_commit() {
    let mut clients = Clients::in_memory();
    let call = clients.send_as(1, 0, new_session("s"), operation("op", 1));
    clients.settle();
    clients.result(call).unwrap();
    let call = clients.send_as(1, 77, Request::TransactionCommit, operation("op", 2));
    assert_eq!(code(clients.result(call)), "OPERATION_MISMATCH");
}

#[test]
fn an_indexed_snapshot_that_waited_for_a_connection_finds_what_was_written_meanwhile() {
    let mut clients = with_pool(1);
    clients.call(0, new_session("s")).unwrap();
    let held = clients.snapshot(1, 60_000.0);
    let waiting = clients.send(
        1,
        0,
        Request::SnapshotBegin {
            lease_ms: 60_000.0,
            indexed: true,
            purpose: chatstore::engine::Purpose::Reads,
        },
    );
    clients.call(0, add("s", "a", "needle")).unwrap();
    clients.call(held, Request::SnapshotEnd).unwrap();
    clients.settle();
    let Reply::Scope(scope) = clients.result(waiting).unwrap().reply else {
        panic!("expected a scope")
    };
    let search = Request::Search {
        search: chatstore::model::Search {
            query: "needle".into(),
            ..Default::default()
        },
        page: Default::default(),
    };
    let Reply::Hits(page) = clients.call(scope, search).unwrap().reply else {
        panic!("expected hits")
    };
    assert_eq!(page.items.len(), 1);
}

#[test]
fn an_indexed_snapshot_waits_for_the_pool_no_longer_than_others_do() {
    let mut clients = with_pool(1);
    clients.call(0, new_session("s")).unwrap();
    let held = clients.snapshot(1, 60_000.0);
    clients.call(0, add("s", "a", "needle")).unwrap();
    let indexed = |clients: &mut Clients| {
        clients.send(
            1,
            0,
            Request::SnapshotBegin {
                lease_ms: 60_000.0,
                indexed: true,
                purpose: chatstore::engine::Purpose::Reads,
            },
        )
    };
    // Through the queue of the writers, since the index is behind.
    let waiting = indexed(&mut clients);
    clients.settle();
    assert!(!clients.has_settled(waiting));
    clients.pass(2_000.0);
    assert_eq!(code(clients.result(waiting)), "POOL_EXHAUSTED");
    // From the pool back to the writers: there its own time counts, and nobody blames the pool.
    let waiting = indexed(&mut clients);
    let tx = clients.transaction(2, 60_000.0);
    clients.call(tx, add("s", "b", "needle")).unwrap();
    clients.call(tx, Request::TransactionCommit).unwrap();
    clients.transaction(2, 60_000.0);
    clients.call(held, Request::SnapshotEnd).unwrap();
    clients.pass(3_000.0);
    assert!(!clients.has_settled(waiting));
    clients.pass(30_000.0);
    assert_eq!(code(clients.result(waiting)), "TIMEOUT");
}

#[test]
fn an_indexed_snapshot_that_waits_for_the_writer_does_not_blame_the_pool() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "a", "needle")).unwrap();
    clients.transaction(2, 60_000.0);
    clients.timeout_ms = 100.0;
    let waiting = clients.send(
        1,
        0,
        Request::SnapshotBegin {
            lease_ms: 60_000.0,
            indexed: true,
            purpose: chatstore::engine::Purpose::Reads,
        },
    );
    assert!(!clients.has_settled(waiting));
    clients.pass(100.0);
    assert_eq!(code(clients.result(waiting)), "TIMEOUT");
    assert_eq!(clients.engine.pool_figures().exhausted, 0);
}

#[test]
fn a_query_within_a_transaction_ends_at_its_deadline_and_the_transaction_goes_on() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let tx = clients.transaction(1, 60_000.0);
    clients.call(tx, add("s", "a", "text")).unwrap();
    clients.timeout_ms = 50.0;
    let endless = Request::Query {
        sql:
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
                .into(),
        params: chatstore::store::query::QueryParams::Positional(Vec::new()),
        limit: None,
    };
    assert_eq!(code(clients.call(tx, endless)), "TIMEOUT");
    clients.call(tx, Request::TransactionCommit).unwrap();
    assert_eq!(clients.ids(0, "s").unwrap(), ["a"]);
}

#[test]
fn the_epoch_grows_with_every_owner_that_wrote_whatever_it_did_first() {
    let storage = std::rc::Rc::new(MemoryStorage::new());
    type Begin = fn(&mut Clients);
    let begins: [Begin; 3] = [
        |clients| {
            let tx = clients.transaction(1, 60_000.0);
            clients.call(tx, Request::TransactionCommit).unwrap();
        },
        |clients| {
            let tx = clients.transaction(1, 60_000.0);
            clients.call(tx, Request::TransactionSavepoint).unwrap();
            clients.call(tx, new_session("x")).unwrap();
            clients.call(tx, Request::TransactionRollbackTo).unwrap();
            clients.call(tx, Request::TransactionCommit).unwrap();
        },
        |clients| {
            let calls = [0, 1].map(|_| clients.send(1, 0, add("none", "a", "text")));
            clients.settle();
            for call in calls {
                assert_eq!(code(clients.result(call)), "CONSTRAINT_FOREIGN_KEY");
            }
        },
    ];
    for (owner, begin) in begins.into_iter().enumerate() {
        let mut clients = Clients::on(std::rc::Rc::clone(&storage), Options::default());
        assert_eq!(clients.engine.info().epoch, owner as i64 + 1);
        begin(&mut clients);
        clients
            .call(0, new_session(format!("s{owner}").leak()))
            .unwrap();
        clients.engine.close().unwrap();
    }
    let clients = Clients::on(storage, Options::default());
    assert_eq!(clients.engine.info().epoch, 4);
}
