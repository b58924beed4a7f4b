//! Checking, copying and replacing a store over the queue of its engine: who waits, who does not, and
//! what is left when a client goes.

#[path = "support/clients.rs"]
mod clients;

use std::rc::Rc;

use chatstore::engine::{Call, ClientId, Job, Purpose};
use chatstore::model::{PageOptions, Search};
use chatstore::vfs::{MemoryStorage, OpenMode, Storage};
use chatstore::{Options, Outcome, Reply, Request, Result};
use clients::{Clients, add, code, new_session};
use rusqlite::types::Value;

const STEPS: usize = 10_000;
const CLIENT: ClientId = 7;
const OTHER: ClientId = 8;

/// Clients of a store with a session and some messages, and the place that its file is in.
fn with_messages(messages: usize) -> (Rc<MemoryStorage>, Clients) {
    let storage = Rc::new(MemoryStorage::new());
    let mut clients = Clients::on(Rc::clone(&storage), Options::default());
    clients.call(0, new_session("s")).unwrap();
    for at in 0..messages {
        clients
            .call(0, add("s", format!("m{at:05}"), TEXT))
            .unwrap();
    }
    (storage, clients)
}

const TEXT: &str =
    "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all.";

fn begin(clients: &mut Clients, purpose: Purpose) -> u32 {
    let request = Request::SnapshotBegin {
        lease_ms: 10_000.0,
        indexed: false,
        purpose,
    };
    clients.scope(CLIENT, request)
}

/// The cells of a reply's one row, by their names.
fn row(reply: Reply) -> Vec<(String, Value)> {
    match reply {
        Reply::Table(table) => table.columns.into_iter().zip(table.cells).collect(),
        other => panic!("expected a table, got {other:?}"),
    }
}

fn text(row: &[(String, Value)], name: &str) -> Option<String> {
    row.iter().find_map(|(column, value)| match value {
        Value::Text(text) if column == name => Some(text.clone()),
        _ => None,
    })
}

/// Runs a check to its end, with something in between. Gives its report and how many steps it took.
fn verify(clients: &mut Clients, mut between: impl FnMut(&mut Clients)) -> (String, usize) {
    let scope = begin(clients, Purpose::Verify);
    for step in 1..STEPS {
        let row = row(clients.call(scope, Request::SnapshotStep).unwrap().reply);
        if let Some(report) = text(&row, "report") {
            clients.call(scope, Request::SnapshotEnd).unwrap();
            return (report, step);
        }
        between(clients);
    }
    panic!("the check does not end");
}

fn copy(clients: &mut Clients, mut between: impl FnMut(&mut Clients)) -> Vec<u8> {
    let scope = begin(clients, Purpose::Backup);
    let mut bytes = Vec::new();
    for _ in 0..STEPS {
        let mut more = false;
        for (name, value) in row(clients.call(scope, Request::SnapshotStep).unwrap().reply) {
            match value {
                Value::Blob(piece) => bytes.extend(piece),
                Value::Integer(number) if name == "more" => more = number != 0,
                _ => {}
            }
        }
        if !more {
            clients.call(scope, Request::SnapshotEnd).unwrap();
            return bytes;
        }
        between(clients);
    }
    panic!("the copy does not end");
}

/// A copy of another store, whose one session is `new`.
fn other_content() -> Vec<u8> {
    let mut other = Clients::in_memory();
    other.call(0, new_session("new")).unwrap();
    copy(&mut other, |_| ())
}

fn send_with_rows(
    clients: &mut Clients,
    client: ClientId,
    offset: u64,
    bytes: &[u8],
) -> Result<()> {
    send_file(clients, client, &job_of(client), "", offset, bytes)
}

/// The name of the replacement that a client sends.
fn job_of(client: ClientId) -> String {
    format!("{client:032x}")
}

fn send_file(
    clients: &mut Clients,
    client: ClientId,
    job: &str,
    suffix: &str,
    offset_bytes: u64,
    bytes: &[u8],
) -> Result<()> {
    // Numbers of its own, above those that the clients give.
    let id = 1_000_000 + u64::from(client);
    let request = Request::ReplaceWrite {
        job: job.into(),
        suffix: suffix.into(),
        offset_bytes,
        modified_ms: None,
    };
    let call = Call {
        id,
        client,
        scope: 0,
        job: Job::with_rows(request, bytes.to_vec()),
        operation: None,
        timeout_ms: 30_000.0,
    };
    clients.engine.submit(clients.now_ms, call)?;
    clients.settle();
    clients.result(id).map(drop)
}

fn call_of(clients: &mut Clients, client: ClientId, request: Request<'static>) -> Result<Reply> {
    let call = clients.send(client, 0, request);
    clients.settle();
    clients.result(call).map(|answer| answer.reply)
}

fn begin_of(client: ClientId) -> Request<'static> {
    Request::ReplaceBegin {
        job: job_of(client),
    }
}

fn end_of(client: ClientId) -> Request<'static> {
    Request::ReplaceEnd {
        job: job_of(client),
    }
}

fn step_of(client: ClientId, keep: Option<&str>, finish: bool) -> Request<'static> {
    Request::ReplaceStep {
        job: job_of(client),
        keep: keep.map(str::to_owned),
        finish,
    }
}

fn send_content(clients: &mut Clients, client: ClientId, content: &[u8]) {
    call_of(clients, client, begin_of(client)).unwrap();
    for (at, piece) in content.chunks(10_000).enumerate() {
        send_with_rows(clients, client, at as u64 * 10_000, piece).unwrap();
    }
}

/// Steps a replacement that was sent until only its last piece is left.
fn check(clients: &mut Clients, client: ClientId, keep: Option<&str>) -> Result<()> {
    for _ in 0..STEPS {
        let reply = call_of(clients, client, step_of(client, keep, false))?;
        if text(&row(reply), "task").as_deref() == Some("ready") {
            return Ok(());
        }
    }
    panic!("the replacement does not end");
}

/// Steps a replacement that was sent to its end.
fn finish(clients: &mut Clients, client: ClientId, keep: Option<&str>) -> Result<String> {
    check(clients, client, keep)?;
    let reply = call_of(clients, client, step_of(client, keep, true))?;
    Ok(text(&row(reply), "report").expect("a report"))
}

fn session_ids(clients: &mut Clients, scope: u32) -> Vec<String> {
    let sessions = clients.sessions(scope).items;
    sessions.into_iter().map(|session| session.id).collect()
}

fn exists(storage: &MemoryStorage, name: &str) -> bool {
    let path = storage.full_path(name).unwrap();
    storage.exists(&path).unwrap()
}

#[test]
fn other_calls_run_between_the_steps_of_a_check() {
    let (_storage, mut clients) = with_messages(50);
    let mut written = 0;
    let (report, steps) = verify(&mut clients, |clients| {
        written += 1;
        clients
            .call(0, add("s", format!("w{written}"), TEXT))
            .unwrap();
    });
    assert!(report.starts_with("{\"ok\":true"), "{report}");
    assert!(steps > 5, "{steps} steps");
    assert!(report.contains("\"messages\":50,"), "one state: {report}");
    assert_eq!(clients.ids(0, "s").unwrap().len(), 50 + written);
    assert_eq!(clients.figure("poolInUse"), 0);
}

/// What the connection of the check knows of the search index may be of a search long ago.
#[test]
fn a_check_after_a_search_knows_the_index_as_it_is_now() {
    let (_storage, mut clients) = with_messages(5);
    clients
        .call(0, Request::SearchIndex { limit: 1_000 })
        .unwrap();
    let snapshot = clients.snapshot(CLIENT, 10_000.0);
    let search = Request::Search {
        search: Search {
            query: "fox".into(),
            ..Search::default()
        },
        page: PageOptions::default(),
    };
    clients.call(snapshot, search).unwrap();
    clients.call(snapshot, Request::SnapshotEnd).unwrap();
    // Until segments which the search has seen are merged away.
    for at in 0..20 {
        clients.call(0, add("s", format!("n{at}"), TEXT)).unwrap();
        clients
            .call(0, Request::SearchIndex { limit: 1_000 })
            .unwrap();
        let (report, _) = verify(&mut clients, |_| ());
        assert!(report.starts_with("{\"ok\":true"), "{report}");
    }
}

#[test]
fn a_copy_is_of_the_state_that_it_began_with_while_writes_go_on() {
    let (_storage, mut clients) = with_messages(3_000);
    let mut written = 0;
    let bytes = copy(&mut clients, |clients| {
        written += 1;
        clients
            .call(0, add("s", format!("w{written}"), TEXT))
            .unwrap();
    });
    assert!(written > 0, "the copy took more than one step");
    let storage = MemoryStorage::new();
    let mode = OpenMode {
        create: true,
        ..OpenMode::default()
    };
    let path = storage.full_path("chats.sqlite").unwrap();
    let mut file = storage.open(&path, mode).unwrap();
    file.write_at(&bytes, 0).unwrap();
    drop(file);
    let mut copied = Clients::on(storage, Options::default());
    assert_eq!(copied.sessions(0).items[0].message_count, 3_000);
    assert!(verify(&mut copied, |_| ()).0.starts_with("{\"ok\":true"));
}

#[test]
fn a_snapshot_for_reading_takes_no_steps() {
    let mut clients = Clients::in_memory();
    let scope = clients.snapshot(CLIENT, 10_000.0);
    assert_eq!(
        code(clients.call(scope, Request::SnapshotStep)),
        "TRANSACTION_STATE"
    );
}

#[test]
fn a_replacement_changes_the_generation_and_keeps_the_old_content() {
    let (storage, mut clients) = with_messages(20);
    let before = clients.engine.info().generation.clone();
    let snapshot = clients.snapshot(OTHER, 60_000.0);
    send_content(&mut clients, CLIENT, &other_content());
    assert_eq!(
        session_ids(&mut clients, 0),
        ["s"],
        "nothing has changed yet"
    );
    let report = finish(&mut clients, CLIENT, Some("kept.sqlite")).unwrap();
    let after = clients.engine.info().generation.clone();
    assert_ne!(after, before);
    assert!(report.contains(&after), "{report}");
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
    assert_eq!(
        session_ids(&mut clients, snapshot),
        ["s"],
        "a snapshot stays as it is"
    );
    assert!(!exists(&storage, "chats.sqlite-incoming"));
    clients.call(snapshot, Request::SnapshotEnd).unwrap();
    clients.call(0, new_session("later")).unwrap();
    assert!(verify(&mut clients, |_| ()).0.starts_with("{\"ok\":true"));
    clients.engine.close().unwrap();
    let kept = chatstore::Engine::open(Rc::clone(&storage), "kept.sqlite", Options::default());
    let mut kept = Clients::over(kept.unwrap());
    assert_eq!(kept.ids(0, "s").unwrap().len(), 20);
}

#[test]
fn a_replacement_that_keeps_nothing_leaves_no_file() {
    let (storage, mut clients) = with_messages(1);
    send_content(&mut clients, CLIENT, &other_content());
    let report = finish(&mut clients, CLIENT, None).unwrap();
    assert!(report.contains("\"keptBytes\":0"), "{report}");
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
    for name in ["chats.sqlite-incoming", "chats.sqlite-outgoing"] {
        assert!(!exists(&storage, name), "{name}");
    }
}

#[test]
fn a_replacement_waits_for_the_transaction_that_is_open() {
    let (_storage, mut clients) = with_messages(1);
    send_content(&mut clients, CLIENT, &other_content());
    let tx = clients.transaction(OTHER, 60_000.0);
    let waiting = clients.send(CLIENT, 0, step_of(CLIENT, Some("kept.sqlite"), false));
    clients.settle();
    assert!(!clients.has_settled(waiting));
    clients.call(tx, add("s", "in-tx", TEXT)).unwrap();
    clients.call(tx, Request::TransactionCommit).unwrap();
    clients.settle();
    clients.result(waiting).unwrap();
    finish(&mut clients, CLIENT, Some("kept.sqlite")).unwrap();
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
}

#[test]
fn writes_run_between_the_pieces_of_a_replacement() {
    let (_storage, mut clients) = with_messages(1);
    let content = other_content();
    call_of(&mut clients, CLIENT, begin_of(CLIENT)).unwrap();
    for (at, piece) in content.chunks(10_000).enumerate() {
        send_with_rows(&mut clients, CLIENT, at as u64 * 10_000, piece).unwrap();
        clients.call(0, add("s", format!("w{at}"), TEXT)).unwrap();
    }
    let sent = content.chunks(10_000).len();
    assert_eq!(clients.ids(0, "s").unwrap().len(), 1 + sent);
}

#[test]
fn a_client_that_goes_in_the_middle_leaves_everything_as_it_was() {
    let (storage, mut clients) = with_messages(5);
    let before = clients.engine.info().generation.clone();
    let content = other_content();
    for steps in 0..3 {
        send_content(&mut clients, CLIENT, &content);
        for _ in 0..steps {
            let reply = call_of(
                &mut clients,
                CLIENT,
                step_of(CLIENT, Some("kept.sqlite"), false),
            )
            .unwrap();
            assert_eq!(
                text(&row(reply), "report"),
                None,
                "not done after {steps} steps"
            );
        }
        assert_eq!(code(call_of(&mut clients, OTHER, begin_of(OTHER))), "BUSY");
        clients.engine.disconnect(clients.now_ms, CLIENT);
        clients.settle();
        for name in ["chats.sqlite-incoming", "kept.sqlite"] {
            assert!(!exists(&storage, name), "{name} after {steps} steps");
        }
    }
    assert_eq!(clients.engine.info().generation, before);
    assert_eq!(clients.ids(0, "s").unwrap().len(), 5);
    send_content(&mut clients, OTHER, &content);
    finish(&mut clients, OTHER, Some("kept.sqlite")).unwrap();
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
}

#[test]
fn nobody_writes_to_or_ends_the_replacement_of_another() {
    let (_storage, mut clients) = with_messages(1);
    let content = other_content();
    send_content(&mut clients, CLIENT, &content);
    let written = send_file(&mut clients, OTHER, &job_of(CLIENT), "", 0, b"of no store");
    assert_eq!(code(written), "TRANSACTION_STATE");
    assert_eq!(
        code(call_of(&mut clients, OTHER, step_of(CLIENT, None, true))),
        "TRANSACTION_STATE"
    );
    call_of(&mut clients, OTHER, end_of(CLIENT)).unwrap();
    finish(&mut clients, CLIENT, None).unwrap();
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
}

#[test]
fn a_replacement_that_was_given_up_makes_way_for_the_next() {
    let (storage, mut clients) = with_messages(1);
    send_content(&mut clients, CLIENT, b"garbage");
    call_of(&mut clients, CLIENT, end_of(CLIENT)).unwrap();
    assert!(!exists(&storage, "chats.sqlite-incoming"));
    assert_eq!(
        code(call_of(&mut clients, CLIENT, step_of(CLIENT, None, true))),
        "TRANSACTION_STATE"
    );
    call_of(&mut clients, OTHER, begin_of(OTHER)).unwrap();
}

#[test]
fn what_is_no_sound_store_is_refused_and_nothing_is_left_of_it() {
    let content = other_content();
    let mut newer = content.clone();
    newer[60..64].copy_from_slice(&999_u32.to_be_bytes());
    // Nothing of the second page is left, which every store has something in.
    let mut damaged = content.clone();
    let page_bytes = damaged.len().min(8_192);
    damaged[4_096..page_bytes].fill(0xa5);
    let short = &content[..content.len() / 2];
    let (storage, mut clients) = with_messages(3);
    let before = clients.engine.info().generation.clone();
    for (what, bytes, expected) in [
        ("nothing", &[][..], "NOT_A_STORE"),
        ("garbage", b"garbage, and none of it a store", "NOT_A_STORE"),
        ("newer", &newer, "SCHEMA_TOO_NEW"),
        ("damaged", &damaged, "CORRUPT"),
        ("short", short, "CORRUPT"),
    ] {
        send_content(&mut clients, CLIENT, bytes);
        let result = finish(&mut clients, CLIENT, Some("kept.sqlite"));
        assert_eq!(code(result), expected, "{what}");
        for name in ["chats.sqlite-incoming", "kept.sqlite"] {
            assert!(!exists(&storage, name), "{name} after {what}");
        }
        clients
            .call(0, add("s", format!("after {what}"), TEXT))
            .unwrap();
    }
    assert_eq!(clients.engine.info().generation, before);
    assert_eq!(clients.ids(0, "s").unwrap().len(), 8);
}

#[test]
fn a_step_of_one_replacement_never_goes_into_another_of_the_same_client() {
    let (_storage, mut clients) = with_messages(1);
    let content = other_content();
    send_content(&mut clients, CLIENT, &content);
    // What an owner before was told, sent again after this one began anew.
    let lost = "f".repeat(32);
    let written = send_file(
        &mut clients,
        CLIENT,
        &lost,
        "",
        0,
        b"of another replacement",
    );
    assert_eq!(code(written), "TRANSACTION_STATE");
    for finish in [false, true] {
        let step = Request::ReplaceStep {
            job: lost.clone(),
            keep: None,
            finish,
        };
        let error = call_of(&mut clients, CLIENT, step).unwrap_err();
        assert_eq!(error.code().as_str(), "TRANSACTION_STATE");
        assert_eq!(error.outcome(), Some(Outcome::NotApplied));
    }
    let end = Request::ReplaceEnd { job: lost };
    call_of(&mut clients, CLIENT, end).unwrap();
    finish(&mut clients, CLIENT, None).unwrap();
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
}

#[test]
fn nothing_is_switched_before_it_is_asked_for_and_the_answer_can_be_had_again() {
    let (storage, mut clients) = with_messages(5);
    send_content(&mut clients, CLIENT, &other_content());
    check(&mut clients, CLIENT, Some("kept.sqlite")).unwrap();
    assert_eq!(session_ids(&mut clients, 0), ["s"]);
    assert!(!exists(&storage, "kept.sqlite"));
    let finish = || step_of(CLIENT, Some("kept.sqlite"), true);
    let first = row(call_of(&mut clients, CLIENT, finish()).unwrap());
    clients.call(0, new_session("later")).unwrap();
    clients.engine.close().unwrap();
    let engine = chatstore::Engine::open(storage, "chats.sqlite", Options::default());
    let mut next = Clients::over(engine.unwrap());
    let again = row(call_of(&mut next, CLIENT, finish()).unwrap());
    assert_eq!(again, first);
    assert!(text(&again, "report").unwrap().contains(&job_of(CLIENT)));
    assert_eq!(next.sessions(0).items.len(), 2, "it was not done twice");
}

#[test]
fn content_that_is_still_in_its_log_is_taken_over() {
    let storage = Rc::new(MemoryStorage::new());
    let mut other = Clients::on(Rc::clone(&storage), Options::default());
    other.call(0, new_session("new")).unwrap();
    other.call(0, add("new", "m", TEXT)).unwrap();
    let bytes = |name: &str| {
        let path = storage.full_path(name).unwrap();
        let mut file = storage.open(&path, OpenMode::default()).unwrap();
        let mut bytes = vec![0; file.size_bytes().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    // As a process leaves them that is killed.
    let (file, log) = (bytes("chats.sqlite"), bytes("chats.sqlite-wal"));
    let (target, mut clients) = with_messages(1);
    send_content(&mut clients, CLIENT, &file);
    for (at, piece) in log.chunks(10_000).enumerate() {
        let offset = at as u64 * 10_000;
        send_file(&mut clients, CLIENT, &job_of(CLIENT), "-wal", offset, piece).unwrap();
    }
    finish(&mut clients, CLIENT, None).unwrap();
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
    assert_eq!(clients.ids(0, "new").unwrap(), ["m"]);
    for name in ["chats.sqlite-incoming", "chats.sqlite-incoming-wal"] {
        assert!(!exists(&target, name), "{name}");
    }
    let elsewhere = send_file(&mut clients, CLIENT, &job_of(CLIENT), "-elsewhere", 0, b"");
    assert_eq!(code(elsewhere), "TRANSACTION_STATE");
    send_content(&mut clients, OTHER, &file);
    let elsewhere = send_file(&mut clients, OTHER, &job_of(OTHER), "-elsewhere", 0, b"");
    assert_eq!(code(elsewhere), "INVALID_ARGUMENT");
}

#[test]
fn a_log_that_a_killed_owner_has_left_is_not_taken_for_that_of_the_new_content() {
    let content = other_content();
    let (storage, mut clients) = with_messages(1);
    let other = Rc::new(MemoryStorage::new());
    let mut killed = Clients::on(Rc::clone(&other), Options::default());
    killed.call(0, new_session("stale")).unwrap();
    let copy = |from: &MemoryStorage, name: &str, to: &MemoryStorage, copied: &str| {
        let mode = OpenMode {
            create: true,
            ..OpenMode::default()
        };
        let path = from.full_path(name).unwrap();
        let mut source = from.open(&path, OpenMode::default()).unwrap();
        let mut bytes = vec![0; source.size_bytes().unwrap() as usize];
        source.read_at(&mut bytes, 0).unwrap();
        let path = to.full_path(copied).unwrap();
        to.open(&path, mode).unwrap().write_at(&bytes, 0).unwrap();
    };
    let left = "chats.sqlite-incoming-wal";
    copy(&other, "chats.sqlite-wal", &storage, left);
    send_content(&mut clients, CLIENT, &content);
    finish(&mut clients, CLIENT, None).unwrap();
    assert_eq!(session_ids(&mut clients, 0), ["new"]);
    assert!(!exists(&storage, left));
}
