//! Keeping a store small and quick while it is in use: what each step does, and what it leaves alone.

#[path = "support/clients.rs"]
mod clients;

use std::rc::Rc;

use chatstore::engine::{Purpose, Task};
use chatstore::model::{Count, NewBot, PageOptions, Search};
use chatstore::store::query::QueryParams;
use chatstore::vfs::{MemoryStorage, OpenMode, Storage};
use chatstore::{Options, Reply, Request};
use clients::{Clients, add, code, new_session};
use rusqlite::types::Value;

const CLIENT: u32 = 7;
const STEPS: usize = 1_000;
const DAY_MS: f64 = 86_400_000.0;
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all. \
     It has seen foxes before, and will see more of them; some were quicker than this one.";

/// Clients of a store with a session `a` and one `b` of so many messages, in turns, so that their pages mix.
fn with_messages(messages: usize, options: Options) -> (Rc<MemoryStorage>, Clients) {
    let storage = Rc::new(MemoryStorage::new());
    let mut clients = Clients::on(Rc::clone(&storage), options);
    for session in ["a", "b"] {
        clients.call(0, new_session(session)).unwrap();
        for at in 0..messages {
            clients
                .call(0, add(session, format!("m{at:05}"), TEXT))
                .unwrap();
        }
    }
    index(&mut clients);
    (storage, clients)
}

fn step(clients: &mut Clients, task: Task, limit: i32) -> chatstore::Result<Figures> {
    let reply = clients.call(0, Request::Maintain { task, limit })?.reply;
    let Reply::Table(table) = reply else {
        panic!("expected a table, got {reply:?}");
    };
    let number = |name: &str| {
        let at = table.columns.iter().position(|column| column == name);
        match table.cells[at.unwrap_or_else(|| panic!("no column {name}"))] {
            Value::Integer(number) => number,
            ref other => panic!("{name} is {other:?}"),
        }
    };
    Ok(Figures {
        changed: number("changed"),
        left: number("left"),
        pages: number("pages"),
        free_pages: number("freePages"),
        log_pages: number("logPages"),
    })
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    changed: i64,
    left: i64,
    pages: i64,
    free_pages: i64,
    log_pages: i64,
}

/// The file of a closed store.
fn bytes_of(storage: &MemoryStorage) -> Vec<u8> {
    let path = storage.full_path("chats.sqlite").unwrap();
    let mut file = storage.open(&path, OpenMode::default()).unwrap();
    let mut bytes = vec![0; file.size_bytes().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn index(clients: &mut Clients) {
    for _ in 0..STEPS {
        if step(clients, Task::Index, 500).unwrap().left == 0 {
            return;
        }
    }
    panic!("the index does not follow");
}

fn delete(clients: &mut Clients, id: &str, permanent: bool) {
    let request = Request::SessionsDelete {
        id: id.into(),
        permanent,
    };
    clients.call(0, request).unwrap();
}

fn text_of(clients: &mut Clients, sql: &str) -> String {
    let request = Request::Query {
        sql: sql.into(),
        params: QueryParams::Positional(Vec::new()),
        limit: None,
    };
    match clients.call(0, request).unwrap().reply {
        Reply::Table(table) => format!("{:?}", table.cells),
        other => panic!("expected a table, got {other:?}"),
    }
}

fn search(clients: &mut Clients, scope: u32, query: &str) -> chatstore::Result<usize> {
    let request = Request::Search {
        search: Search {
            query: query.into(),
            ..Search::default()
        },
        page: PageOptions {
            limit: Some(1_000),
            cursor: None,
        },
    };
    match clients.call(scope, request)?.reply {
        Reply::Hits(page) => Ok(page.items.len()),
        other => panic!("expected hits, got {other:?}"),
    }
}

/// The store's own check of all that it holds.
fn verify(clients: &mut Clients) -> String {
    let begin = Request::SnapshotBegin {
        lease_ms: 1e9,
        indexed: false,
        purpose: Purpose::Verify,
    };
    let scope = clients.scope(CLIENT, begin);
    for _ in 0..STEPS {
        let reply = clients.call(scope, Request::SnapshotStep).unwrap().reply;
        if let Reply::Table(table) = reply
            && let [Value::Text(report)] = &table.cells[..]
        {
            clients.call(scope, Request::SnapshotEnd).unwrap();
            return report.clone();
        }
    }
    panic!("the check does not end");
}

fn expect_sound(clients: &mut Clients) {
    let report = verify(clients);
    assert!(report.contains("\"ok\":true"), "{report}");
}

#[test]
fn an_incremental_vacuum_shrinks_the_file_while_a_snapshot_stays_and_others_read_and_write() {
    let (storage, mut clients) = with_messages(400, Options::default());
    let snapshot = clients.snapshot(CLIENT, 1e9);
    delete(&mut clients, "a", true);
    index(&mut clients);
    let before = step(&mut clients, Task::Measure, 0).unwrap();
    assert!(before.free_pages > before.pages / 4, "{before:?}");
    let (mut now, mut steps) = (before, 0);
    while now.free_pages > 0 {
        let last = now;
        now = step(&mut clients, Task::Vacuum, 10).unwrap();
        assert!(last.pages - now.pages <= 10 + 1, "{last:?} {now:?}");
        assert!(now.pages < last.pages, "{last:?} {now:?}");
        steps += 1;
        assert_eq!(clients.ids(snapshot, "a").unwrap().len(), 400);
        assert_eq!(clients.ids(0, "b").unwrap().len(), 400 + steps - 1);
        clients
            .call(0, add("b", format!("new {steps}"), "meanwhile"))
            .unwrap();
    }
    assert!(steps > 2, "{steps} steps");
    clients.call(snapshot, Request::SnapshotEnd).unwrap();
    let after = step(&mut clients, Task::Checkpoint, 0).unwrap();
    assert_eq!(after.log_pages, 0);
    expect_sound(&mut clients);
    clients.engine.close().unwrap();
    let file_bytes = bytes_of(&storage).len() as i64;
    assert!(
        file_bytes <= (before.pages - before.free_pages / 2) * 4_096,
        "{file_bytes} bytes of {before:?}"
    );
}

#[test]
fn a_full_vacuum_leaves_a_file_of_the_same_form_without_free_pages() {
    let (storage, mut clients) = with_messages(300, Options::default());
    delete(&mut clients, "a", true);
    index(&mut clients);
    let form = "SELECT * FROM pragma_auto_vacuum, pragma_application_id, pragma_user_version,
                pragma_page_size, (SELECT group_concat(name || sql) FROM (SELECT * FROM sqlite_schema ORDER BY name))";
    let before = text_of(&mut clients, form);
    let kept = clients.ids(0, "b").unwrap();
    let figures = step(&mut clients, Task::VacuumFull, 0).unwrap();
    assert_eq!((figures.free_pages, figures.log_pages), (0, 0));
    assert_eq!(text_of(&mut clients, form), before);
    assert_eq!(clients.ids(0, "b").unwrap(), kept);
    assert_eq!(search(&mut clients, 0, "fox").unwrap(), 300);
    expect_sound(&mut clients);
    clients.call(0, add("b", "after", TEXT)).unwrap();
    clients.engine.close().unwrap();
    let bytes = bytes_of(&storage);
    assert_eq!(
        bytes[20], 8,
        "bytes kept free for the checksum of each page"
    );
    let mut again = Clients::on(storage, Options::default());
    expect_sound(&mut again);
    assert_eq!(again.ids(0, "b").unwrap().len(), 301);
}

#[test]
fn a_full_vacuum_does_not_begin_while_a_snapshot_is_open() {
    let (_, mut clients) = with_messages(20, Options::default());
    let snapshot = clients.snapshot(CLIENT, 1e9);
    let refused = step(&mut clients, Task::VacuumFull, 0);
    assert_eq!(code(refused), "BUSY");
    clients.call(snapshot, Request::SnapshotEnd).unwrap();
    step(&mut clients, Task::VacuumFull, 0).unwrap();
}

#[test]
fn searches_find_everything_while_the_index_is_made_anew() {
    let (_, mut clients) = with_messages(300, Options::default());
    step(&mut clients, Task::ResetSearch, 0).unwrap();
    let figures = step(&mut clients, Task::Index, 10).unwrap();
    assert!(figures.left > 0);
    let snapshot = clients.snapshot(CLIENT, 1e9);
    assert_eq!(code(search(&mut clients, snapshot, "fox")), "INDEX_PENDING");
    clients.call(snapshot, Request::SnapshotEnd).unwrap();
    clients
        .call(0, add("a", "new", "an unheard-of word"))
        .unwrap();
    assert_eq!(search(&mut clients, 0, "fox").unwrap(), 600);
    assert_eq!(search(&mut clients, 0, "unheard").unwrap(), 1);
    expect_sound(&mut clients);
}

#[test]
fn merging_the_index_ends_and_loses_nothing() {
    let (_, mut clients) = with_messages(300, Options::default());
    delete(&mut clients, "a", true);
    index(&mut clients);
    let segments = "SELECT count(DISTINCT segid) FROM messages_fts_idx";
    let mut sign = -1;
    let mut steps = 0;
    while step(&mut clients, Task::MergeSearch, sign * 4)
        .unwrap()
        .changed
        >= 2
    {
        sign = 1;
        steps += 1;
        assert!(steps < STEPS, "merging does not end");
    }
    assert_eq!(text_of(&mut clients, segments), "[Integer(1)]");
    assert_eq!(search(&mut clients, 0, "fox").unwrap(), 300);
    expect_sound(&mut clients);
}

/// The number in a closed file that grows where other connections have to read the schema again, and with
/// it the samples.
fn schema_cookie(storage: &MemoryStorage) -> u32 {
    let bytes = bytes_of(storage);
    u32::from_be_bytes([bytes[40], bytes[41], bytes[42], bytes[43]])
}

#[test]
fn new_samples_are_told_to_every_connection() {
    let (storage, clients) = with_messages(50, Options::default());
    clients.engine.close().unwrap();
    let mut told = vec![schema_cookie(&storage)];
    for task in [Task::Optimize, Task::Optimize, Task::Analyze, Task::Analyze] {
        let mut clients = Clients::on(Rc::clone(&storage), Options::default());
        step(&mut clients, task, 0).unwrap();
        let samples = "SELECT count(*) > 0 FROM sqlite_stat1 WHERE tbl = 'messages'";
        assert_eq!(text_of(&mut clients, samples), "[Integer(1)]");
        expect_sound(&mut clients);
        clients.engine.close().unwrap();
        told.push(schema_cookie(&storage));
    }
    let is_told: Vec<bool> = told.windows(2).map(|two| two[0] != two[1]).collect();
    assert_eq!(is_told, [true; 4]);
}

fn purge(clients: &mut Clients, limit: u32) -> Count {
    let request = Request::SessionsPurge {
        deleted_before_ms: i64::MAX,
        limit,
    };
    match clients.call(0, request).unwrap().reply {
        Reply::Count(count) => count,
        other => panic!("expected a count, got {other:?}"),
    }
}

#[test]
fn a_purge_in_slices_takes_each_session_as_a_whole_and_its_bot_last() {
    let mut clients = Clients::in_memory();
    let bot = NewBot {
        id: Some("bot".into()),
        name: "Ada".into(),
        ..NewBot::default()
    };
    clients.call(0, Request::BotsCreate(bot)).unwrap();
    for id in ["a", "b", "c"] {
        clients.call(0, new_session(id)).unwrap();
        for at in 0..10 {
            clients.call(0, add(id, format!("m{at}"), TEXT)).unwrap();
        }
    }
    for id in ["a", "b"] {
        delete(&mut clients, id, false);
    }
    let filter = chatstore::model::DeleteFilter {
        session_id: Some("c".into()),
        ..Default::default()
    };
    let request = Request::MessagesDeleteWhere {
        filter,
        permanent: false,
    };
    clients.call(0, request).unwrap();
    let request = Request::BotsDelete {
        id: "bot".into(),
        permanent: false,
    };
    clients.call(0, request).unwrap();
    let slices: Vec<(u64, u64, u64)> = (0..6)
        .map(|_| purge(&mut clients, 5))
        .map(|count| (count.bots, count.sessions, count.messages))
        .collect();
    let expected = [
        (0, 1, 10),
        (0, 1, 10),
        (1, 0, 4),
        (0, 0, 5),
        (0, 0, 1),
        (0, 0, 0),
    ];
    assert_eq!(slices, expected);
    expect_sound(&mut clients);
}

/// A store that deletes trash which is a day old by itself, with a session in it that has gone there.
fn with_trash(purge_trash_after_ms: Option<f64>) -> Clients {
    let options = Options {
        purge_trash_after_ms,
        ..Options::default()
    };
    let (_, mut clients) = with_messages(10, options);
    delete(&mut clients, "a", false);
    clients
}

fn sessions(clients: &mut Clients) -> String {
    text_of(clients, "SELECT group_concat(id) FROM sessions")
}

#[test]
fn trash_is_deleted_by_itself_only_where_that_is_wanted() {
    let kept = "[Text(\"a,b\")]";
    for (after_ms, found) in [
        (None, kept),
        (Some(DAY_MS), kept),
        (Some(-DAY_MS), "[Text(\"b\")]"),
    ] {
        let mut clients = with_trash(after_ms);
        for _ in 0..20 {
            clients.pass(1_000.0);
        }
        clients.pass(700_000.0);
        clients.pass(700_000.0);
        assert_eq!(sessions(&mut clients), found, "{after_ms:?}");
    }
}

#[test]
fn nothing_is_deleted_by_itself_while_a_transaction_is_open() {
    let mut clients = with_trash(Some(-DAY_MS));
    let transaction = clients.transaction(CLIENT, 1e9);
    clients.pass(700_000.0);
    clients.pass(700_000.0);
    assert_eq!(sessions(&mut clients), "[Text(\"a,b\")]");
    clients
        .call(transaction, Request::TransactionRollback)
        .unwrap();
    for _ in 0..20 {
        clients.pass(1_000.0);
    }
    assert_eq!(sessions(&mut clients), "[Text(\"b\")]");
}

#[test]
fn samples_are_taken_by_themselves_after_writes() {
    let (_, mut clients) = with_messages(50, Options::default());
    let samples = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'";
    assert_eq!(text_of(&mut clients, samples), "[Integer(0)]");
    clients.now_ms += 700_000.0;
    clients.call(0, add("a", "new", TEXT)).unwrap();
    for _ in 0..20 {
        clients.pass(1_000.0);
    }
    assert_eq!(text_of(&mut clients, samples), "[Integer(1)]");
}

#[test]
fn a_step_waits_for_an_open_transaction_and_is_no_part_of_it() {
    let (_, mut clients) = with_messages(20, Options::default());
    let transaction = clients.transaction(CLIENT, 1e9);
    let request = Request::Maintain {
        task: Task::Vacuum,
        limit: 10,
    };
    let waiting = clients.send(CLIENT, 0, request.clone());
    clients.settle();
    assert!(!clients.has_settled(waiting));
    assert_eq!(
        code(clients.call(transaction, request)),
        "TRANSACTION_STATE"
    );
    clients
        .call(transaction, Request::TransactionCommit)
        .unwrap();
    clients.settle();
    clients.result(waiting).unwrap();
}
