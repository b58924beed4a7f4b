//! Replies that come bit by bit, on a disk that fails: what is sent again counts once.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use chatstore::model::{Message, PageOptions, Search};
use chatstore::store::query::QueryParams;
use chatstore::store::streams::StreamEnd;
use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::{Options, Outcome, Reply, Request};
use clients::{Clients, append, code, delta, list, new_session, operation, start};

fn finish(text: &str) -> Request<'static> {
    Request::MessagesFinish {
        session_id: "s".into(),
        id: "reply".into(),
        end: StreamEnd {
            first_number: 1,
            deltas: vec![delta(text)],
            finish_reason: Some("stop".into()),
            ..StreamEnd::default()
        },
    }
}

/// A reply under way, of which one piece has come.
fn streaming(disk: &SimulatedDisk) -> Clients {
    let mut clients = Clients::on(disk.clone(), Options::default());
    clients.call(0, new_session("s")).unwrap();
    clients.engine.connect(1, "a client".into());
    clients.call(0, start()).unwrap();
    clients.call(0, append(0, "Hel")).unwrap();
    clients
}

fn flushes_fail(disk: &SimulatedDisk) {
    disk.fail(Script {
        on: On::Sync,
        path_ends_with: "",
        after_calls: 0,
        times: 1_000_000,
        fault: Fault::LosesUnsynced,
    });
}

fn only_message(clients: &mut Clients) -> Message {
    let mut messages = clients.call(0, list("s")).unwrap().messages;
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn send(clients: &mut Clients, request: Request<'static>, attempt: u32) -> clients::Settled {
    let call = clients.send_as(1, 0, request, operation("op", attempt));
    clients.settle();
    clients.result(call)
}

#[test]
fn a_finish_of_unknown_outcome_is_sent_again_and_counts_once() {
    for is_the_next_owner in [false, true] {
        let disk = SimulatedDisk::new(1);
        let mut clients = streaming(&disk);
        flushes_fail(&disk);
        let error = send(&mut clients, finish("lo"), 1).unwrap_err();
        assert_eq!(error.outcome(), Some(Outcome::Unknown), "{error}");
        disk.mend();
        if is_the_next_owner {
            clients = Clients::on(
                disk.kill(),
                Options {
                    clients_may_return: true,
                    ..Options::default()
                },
            );
            clients.engine.connect(1, "a client".into());
        }
        let first = send(&mut clients, finish("lo"), 2).unwrap().messages;
        let again = send(&mut clients, finish("lo"), 3).unwrap().messages;
        assert_eq!(first, again);
        let message = only_message(&mut clients);
        assert_eq!(
            (
                &*message.text,
                &*message.status,
                message.finish_reason.as_deref()
            ),
            ("Hello", "complete", Some("stop"))
        );
    }
}

#[test]
fn a_finish_whose_answer_was_lost_is_sent_again_to_the_next_owner_and_counts_once() {
    let disk = SimulatedDisk::new(2);
    let mut clients = streaming(&disk);
    let first = send(&mut clients, finish("lo"), 1).unwrap().messages;
    // The one who did it dies before it can say so.
    let mut clients = Clients::on(disk.kill(), Options::default());
    let again = send(&mut clients, finish("lo"), 2).unwrap().messages;
    assert_eq!(first, again);
    // Without the name of the first time it is another one, for which there is nothing left to end.
    assert_eq!(code(clients.call(0, finish("lo"))), "STREAM_ENDED");
    // With it, and other pieces, it is a mistake.
    assert_eq!(
        code(send(&mut clients, finish("la"), 2)),
        "OPERATION_MISMATCH"
    );
    assert_eq!(only_message(&mut clients).text, "Hello");
}

#[test]
fn pieces_of_unknown_outcome_are_sent_again_and_count_once() {
    let disk = SimulatedDisk::new(3);
    let mut clients = streaming(&disk);
    flushes_fail(&disk);
    let error = send(&mut clients, append(1, "lo"), 1).unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::Unknown), "{error}");
    disk.mend();
    for attempt in [2, 3] {
        send(&mut clients, append(1, "lo"), attempt).unwrap();
    }
    assert_eq!(only_message(&mut clients).text, "Hello");
}

#[test]
fn pieces_are_told_apart_by_their_numbers_and_leave_no_record() {
    let disk = SimulatedDisk::new(4);
    let mut clients = streaming(&disk);
    send(&mut clients, append(1, "lo"), 1).unwrap();
    let records = Request::Query {
        sql: "SELECT count(*) FROM operations".into(),
        params: QueryParams::Positional(Vec::new()),
        limit: None,
    };
    let Reply::Table(table) = clients.call(0, records).unwrap().reply else {
        panic!("expected a table")
    };
    assert_eq!(table.cells, [rusqlite::types::Value::Integer(0)]);
}

#[test]
fn a_search_within_a_transaction_finds_what_has_come_of_a_reply() {
    let disk = SimulatedDisk::new(5);
    let mut clients = streaming(&disk);
    let tx = clients.transaction(1, 60_000.0);
    let search = Request::Search {
        search: Search {
            query: "hel".into(),
            ..Search::default()
        },
        page: PageOptions::default(),
    };
    let Reply::Hits(page) = clients.call(tx, search).unwrap().reply else {
        panic!("expected hits")
    };
    assert_eq!(page.items.len(), 1);
}
