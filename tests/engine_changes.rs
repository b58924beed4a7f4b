//! What is told of commits: whose rows changed, once each, and nothing of what was taken back.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use std::rc::Rc;

use chatstore::engine::{Call, Event, Job};
use chatstore::model::{BotPatch, Field, MessagePatch, NewBot, NewSession, PageOptions, Search};
use chatstore::store::streams::StreamEnd;
use chatstore::store::touched::Change;
use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::vfs::{MemoryStorage, OpenMode, Storage};
use chatstore::{Engine, Options, Outcome, Reply, Request};
use clients::{Clients, add, append, code, list, new_session, start};

fn sessions(ids: &[&str]) -> Change {
    Change {
        sessions: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        ..Change::default()
    }
}

fn grown(ids: &[&str]) -> Change {
    Change {
        streaming: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..sessions(&[])
    }
}

fn any_session() -> Change {
    Change::default()
}

fn anything() -> Change {
    Change {
        bots: true,
        ..Change::default()
    }
}

/// Clients of a store with the sessions s and t, which is watched from now on.
fn watched() -> Clients {
    watched_on(MemoryStorage::new())
}

fn watched_on(storage: impl Storage) -> Clients {
    let mut clients = Clients::on(storage, Options::default());
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, new_session("t")).unwrap();
    clients.engine.watch(true);
    clients
}

fn told(clients: &mut Clients) -> Vec<Change> {
    clients.settle();
    std::mem::take(&mut clients.changes)
}

fn bot(id: &str) -> NewBot {
    NewBot {
        id: Some(id.into()),
        name: id.into(),
        ..NewBot::default()
    }
}

fn session_of(id: &str, bot_id: &str) -> Request<'static> {
    Request::SessionsCreate(NewSession {
        id: Some(id.into()),
        bot_id: Some(bot_id.into()),
        ..NewSession::default()
    })
}

fn search(query: &str) -> Request<'static> {
    Request::Search {
        search: Search {
            query: query.into(),
            ..Search::default()
        },
        page: PageOptions::default(),
    }
}

#[test]
fn a_write_names_its_session_and_a_read_nothing() {
    let mut clients = watched();
    clients.call(0, add("s", "m", "text")).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
    clients.call(0, list("s")).unwrap();
    clients.call(0, search("text")).unwrap();
    // The index and the log follow in their own time.
    clients.pass(10_000.0);
    assert_eq!(told(&mut clients), []);
    let update = Request::MessagesUpdate {
        session_id: "s".into(),
        id: "m".into(),
        patch: MessagePatch {
            metadata: Field::Value("1".into()),
            ..MessagePatch::default()
        },
    };
    clients.call(0, update).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
}

#[test]
fn writes_that_share_a_commit_are_one_change_and_so_are_those_until_it_is_asked_for() {
    let mut clients = watched();
    for (session, id) in [("s", "1"), ("t", "2"), ("s", "3")] {
        clients.send(1, 0, add(session, id, "text"));
    }
    assert_eq!(told(&mut clients), [sessions(&["s", "t"])]);
    for (session, id) in [("t", "4"), ("s", "5")] {
        clients.send(1, 0, add(session, id, "text"));
        clients.engine.step(clients.now_ms);
    }
    assert_eq!(clients.engine.take_changes(), Some(sessions(&["t", "s"])));
    assert_eq!(clients.engine.take_changes(), None);
}

#[test]
fn a_call_that_fails_in_a_group_leaves_the_change_of_the_others() {
    let mut clients = watched();
    let first = clients.send(1, 0, add("s", "m", "text"));
    let second = clients.send(1, 0, add("s", "m", "the same id"));
    let third = clients.send(1, 0, add("t", "m", "text"));
    assert_eq!(told(&mut clients), [sessions(&["s", "t"])]);
    assert_eq!(code(clients.result(second)), "CONSTRAINT_UNIQUE");
    clients.result(first).unwrap();
    clients.result(third).unwrap();
    // Alone, it changes nothing.
    let again = clients.call(0, add("s", "m", "the same id"));
    assert_eq!(code(again), "CONSTRAINT_UNIQUE");
    assert_eq!(told(&mut clients), []);
}

#[test]
fn a_transaction_is_one_change_when_it_is_committed_and_none_when_it_is_taken_back() {
    let mut clients = watched();
    for (end, expected) in [
        (Request::TransactionRollback, vec![]),
        (Request::TransactionCommit, vec![sessions(&["s", "t"])]),
    ] {
        let tx = clients.transaction(1, 60_000.0);
        for session in ["s", "t", "s"] {
            clients.call(tx, add(session, new_id(), "text")).unwrap();
        }
        assert_eq!(told(&mut clients), []);
        clients.call(tx, end).unwrap();
        assert_eq!(told(&mut clients), expected);
    }
    let tx = clients.transaction(1, 1_000.0);
    clients.call(tx, add("s", "lost", "text")).unwrap();
    clients.pass(2_000.0);
    assert_eq!(clients.lost.len(), 1, "its lease is over");
    // What comes next does not take it along.
    clients.call(0, add("t", "next", "text")).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["t"])]);
}

fn new_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("id{}", LAST.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn who_begins_to_watch_within_a_transaction_is_told_of_all_of_it() {
    let mut clients = watched();
    clients.engine.watch(false);
    let tx = clients.transaction(1, 60_000.0);
    clients.call(tx, add("s", "m", "text")).unwrap();
    clients.engine.watch(true);
    clients.call(tx, Request::TransactionCommit).unwrap();
    assert_eq!(told(&mut clients), [anything()]);
    clients.engine.watch(false);
    clients.call(0, add("s", "n", "text")).unwrap();
    assert_eq!(told(&mut clients), []);
}

#[test]
fn a_reply_that_grows_is_told_apart_from_a_session_that_changes() {
    let mut clients = watched();
    clients.engine.connect(1, "a client".into());
    clients.call(0, start()).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
    clients.call(0, append(0, "Hel")).unwrap();
    assert_eq!(told(&mut clients), [grown(&["s"])]);
    // Sent again, it adds nothing.
    clients.call(0, append(0, "Hel")).unwrap();
    assert_eq!(told(&mut clients), []);
    // What has come goes into the message, once.
    clients.call(0, search("hel")).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
    clients.call(0, search("hel")).unwrap();
    assert_eq!(told(&mut clients), []);
    // Whatever else changes in its session says enough.
    let grows = clients.send(1, 0, append(1, "lo"));
    let adds = clients.send(1, 0, add("t", "m", "text"));
    assert_eq!(
        told(&mut clients),
        [Change {
            sessions: Some(vec!["t".into()]),
            ..grown(&["s"])
        }]
    );
    clients.result(grows).unwrap();
    clients.result(adds).unwrap();
    let finish = Request::MessagesFinish {
        session_id: "s".into(),
        id: "reply".into(),
        end: StreamEnd::default(),
    };
    clients.send(1, 0, append(2, "!"));
    clients.send(1, 0, finish);
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
}

#[test]
fn a_reply_whose_client_is_gone_changes_its_session() {
    let mut clients = watched();
    clients.engine.connect(1, "a client".into());
    clients.call(0, start()).unwrap();
    clients.call(0, append(0, "Hel")).unwrap();
    told(&mut clients);
    clients.engine.disconnect(clients.now_ms, 1);
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
}

#[test]
fn what_a_bot_takes_along_is_named_with_it() {
    let mut clients = watched();
    clients.call(0, Request::BotsCreate(bot("b"))).unwrap();
    let bots_only = Change {
        bots: true,
        ..sessions(&[])
    };
    assert_eq!(told(&mut clients), std::slice::from_ref(&bots_only));
    clients.call(0, session_of("u", "b")).unwrap();
    clients.call(0, add("u", "m", "text")).unwrap();
    told(&mut clients);
    let renamed = Request::BotsUpdate {
        id: "b".into(),
        patch: BotPatch {
            name: Some("c".into()),
            ..BotPatch::default()
        },
    };
    clients.call(0, renamed).unwrap();
    assert_eq!(told(&mut clients), [bots_only]);
    let delete = |permanent| Request::BotsDelete {
        id: "b".into(),
        permanent,
    };
    clients.call(0, delete(false)).unwrap();
    let with_session = Change {
        bots: true,
        ..sessions(&["u"])
    };
    assert_eq!(told(&mut clients), [with_session]);
    clients.call(0, delete(true)).unwrap();
    assert_eq!(told(&mut clients), [anything()]);
}

#[test]
fn a_session_that_is_gone_for_good_has_no_name_left() {
    let mut clients = watched();
    clients.call(0, add("s", "m", "text")).unwrap();
    told(&mut clients);
    let delete = |permanent| Request::SessionsDelete {
        id: "s".into(),
        permanent,
    };
    clients.call(0, delete(false)).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
    clients.call(0, delete(true)).unwrap();
    assert_eq!(told(&mut clients), [any_session()]);
    // Named by one commit, and gone with the next, before anybody was told.
    clients.send(1, 0, add("t", "m", "text"));
    clients.engine.step(clients.now_ms);
    let gone = Request::SessionsDelete {
        id: "t".into(),
        permanent: true,
    };
    clients.send(1, 0, gone);
    clients.engine.step(clients.now_ms);
    assert_eq!(told(&mut clients), [any_session()]);
}

#[test]
fn too_many_sessions_are_not_named() {
    let mut clients = watched();
    for count in [64, 65] {
        let ids: Vec<String> = (0..count).map(|at| format!("{count} {at}")).collect();
        let tx = clients.transaction(1, 60_000.0);
        for id in &ids {
            clients.call(tx, new_session(id)).unwrap();
        }
        clients.call(tx, Request::TransactionCommit).unwrap();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let expected = if count == 64 {
            sessions(&ids)
        } else {
            any_session()
        };
        assert_eq!(told(&mut clients), [expected]);
    }
}

#[test]
fn after_a_failure_anything_may_have_changed() {
    let disk = SimulatedDisk::new(1);
    let mut clients = watched_on(disk.clone());
    disk.fail(Script {
        on: On::Sync,
        path_ends_with: "-wal",
        after_calls: 0,
        times: 1,
        fault: Fault::LosesUnsynced,
    });
    clients.call(0, add("s", "m", "text")).unwrap();
    assert_eq!(clients.notices, ["reopened"]);
    assert_eq!(told(&mut clients), [anything()]);
    // It is still watched.
    clients.call(0, add("s", "n", "text")).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
}

#[test]
fn a_file_that_is_opened_again_late_may_hold_anything() {
    let disk = SimulatedDisk::new(3);
    let mut clients = watched_on(disk.clone());
    disk.fail(Script {
        on: On::Sync,
        path_ends_with: "",
        after_calls: 0,
        times: 1_000_000,
        fault: Fault::LosesUnsynced,
    });
    let error = clients.call(0, add("s", "m", "text")).unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::Unknown), "{error}");
    assert_eq!(told(&mut clients), [anything()]);
    disk.mend();
    // It may find the write of before.
    clients.call(0, add("t", "n", "text")).unwrap();
    assert_eq!(told(&mut clients), [anything()]);
}

#[test]
fn a_session_that_a_transaction_is_about_to_remove_is_not_left_out() {
    let mut clients = watched();
    let begin = Request::TransactionBegin { lease_ms: 60_000.0 };
    clients.send(1, 0, add("s", "m", "text"));
    let begun = clients.send(1, 0, begin);
    for _ in 0..2 {
        clients.engine.step(clients.now_ms);
    }
    let scope = clients
        .engine
        .take()
        .into_iter()
        .find_map(|event| match event {
            Event::Reply { call, result, .. } if call == begun => match result.unwrap().reply {
                Reply::Scope(scope) => Some(scope),
                other => panic!("expected a scope, got {other:?}"),
            },
            _ => None,
        });
    let delete = Request::SessionsDelete {
        id: "s".into(),
        permanent: true,
    };
    clients.send(1, scope.expect("it begins"), delete);
    assert_eq!(told(&mut clients), [any_session()]);
}

#[test]
fn another_content_of_the_store_changes_anything() {
    let other = {
        let storage = Rc::new(MemoryStorage::new());
        let mut engine =
            Engine::open(Rc::clone(&storage), "other.sqlite", Options::default()).unwrap();
        engine.call(new_session("u"), &mut |_| ()).unwrap();
        engine.close().unwrap();
        let path = storage.full_path("other.sqlite").unwrap();
        let mut file = storage.open(&path, OpenMode::default()).unwrap();
        let mut bytes = vec![0; file.size_bytes().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    let mut clients = watched();
    let job = "0123456789abcdef0123456789abcdef".to_owned();
    clients
        .call(0, Request::ReplaceBegin { job: job.clone() })
        .unwrap();
    let write = Request::ReplaceWrite {
        job: job.clone(),
        suffix: String::new(),
        offset_bytes: 0,
        modified_ms: None,
    };
    let call = Call {
        id: 1_000_000,
        client: 1,
        scope: 0,
        job: Job::with_rows(write, other),
        operation: None,
        timeout_ms: 30_000.0,
    };
    assert!(
        clients
            .engine
            .submit(clients.now_ms, call)
            .unwrap()
            .is_none()
    );
    clients.settle();
    clients.result(1_000_000).unwrap();
    assert_eq!(told(&mut clients), []);
    let finish = Request::ReplaceStep {
        job,
        keep: None,
        finish: true,
    };
    clients.call(0, finish).unwrap();
    assert_eq!(told(&mut clients), [anything()]);
    assert_eq!(clients.sessions(0).items[0].id, "u");
}

#[test]
fn the_next_owner_tells_nothing_until_it_is_watched() {
    let disk = SimulatedDisk::new(2);
    let mut clients = watched_on(disk.clone());
    clients.call(0, add("s", "m", "text")).unwrap();
    let mut clients = Clients::on(disk.kill(), Options::default());
    clients.call(0, add("s", "n", "text")).unwrap();
    assert_eq!(told(&mut clients), []);
    clients.engine.watch(true);
    clients.call(0, add("s", "o", "text")).unwrap();
    assert_eq!(told(&mut clients), [sessions(&["s"])]);
}
