//! A file that another program has written to, or that was damaged while nobody looked: what comes of
//! its pages is told, or kept, only once the whole of it is known to be sound.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use std::fs;
use std::path::{Path, PathBuf};

use chatstore::engine::Purpose;
use chatstore::vfs::NativeStorage;
use chatstore::{Durability, Engine, Options, Reply, Request};
use clients::{Clients, add, code, list, new_session, operation};
use rusqlite::types::Value;
use tempfile::TempDir;

const MESSAGES: usize = 200;
/// An id that an index holds beside the table: one of the two changed alone is damage that no read of
/// either shows.
const ID: &str = "message-of-the-middle";
const TEXT: &str = "a text of some length, so that there are pages";
const OTHER_ID: &str = "message-of-the-muddle";

/// A closed store with one session, in a folder of its own.
fn closed_store() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.sqlite");
    let mut clients = open(&path);
    let call = clients.send_as(1, 0, new_session("s"), operation("op 1", 1));
    clients.settle();
    clients.result(call).unwrap();
    for at in 0..MESSAGES {
        let id = match at {
            100 => ID.to_owned(),
            _ => format!("m{at:03}"),
        };
        clients.call(0, add("s", id, TEXT)).unwrap();
    }
    clients.pass(1_000.0);
    clients.engine.close().unwrap();
    (folder, path)
}

fn open(path: &Path) -> Clients {
    let path = path.to_str().expect("a path of ASCII");
    Clients::over(Engine::open(NativeStorage::new(), path, Durability::Strict).expect("it opens"))
}

/// Changes the id in the table alone, where the message's text follows it.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let is_in_table = |window: &[u8]| {
        window.starts_with(ID.as_bytes())
            && window
                .windows(TEXT.len())
                .any(|part| part == TEXT.as_bytes())
    };
    let at = bytes
        .windows(ID.len() + 100)
        .position(is_in_table)
        .expect("the message stands in the file");
    bytes[at..at + ID.len()].copy_from_slice(OTHER_ID.as_bytes());
    fs::write(path, bytes).unwrap();
}

/// Changes a row as a program would that knows nothing of checksums.
fn change_as_a_stranger(path: &Path, sql: &str) {
    let stranger = rusqlite::Connection::open(path).unwrap();
    assert_eq!(stranger.execute(sql, []).unwrap(), 1);
}

#[test]
fn what_a_damaged_file_gave_is_not_told_the_second_time_either() {
    let (_folder, path) = closed_store();
    damage(&path);
    let mut clients = open(&path);
    let snapshot = clients.snapshot(1, 60_000.0);
    // A read that fails ends its snapshot.
    for in_snapshot in ["CHECKSUM_MISMATCH", "SNAPSHOT_EXPIRED"] {
        assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
        assert_eq!(code(clients.call(snapshot, list("s"))), in_snapshot);
    }
}

#[test]
fn a_transaction_is_not_told_what_a_damaged_file_gave() {
    let (_folder, path) = closed_store();
    damage(&path);
    let mut clients = open(&path);
    for _ in 0..2 {
        let tx = clients.transaction(1, 60_000.0);
        assert_eq!(code(clients.call(tx, list("s"))), "TRANSACTION_LOST");
        assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
    }
    clients.step();
    assert_eq!(clients.notices, ["corrupt"]);
}

#[test]
fn what_a_transaction_made_of_a_damaged_page_is_not_kept() {
    for told_by_another in [false, true] {
        let (_folder, path) = closed_store();
        damage(&path);
        let mut clients = open(&path);
        let tx = clients.transaction(1, 60_000.0);
        // It reads the pages that it changes; what it gives does not come from them.
        let delete = Request::MessagesDeleteWhere {
            filter: chatstore::model::DeleteFilter {
                session_id: Some("s".into()),
                ..Default::default()
            },
            permanent: true,
        };
        let _ = clients.call(tx, delete);
        if told_by_another {
            assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
        }
        let commit = clients.send_as(1, tx, Request::TransactionCommit, operation("op", 1));
        let error = clients.result(commit).unwrap_err();
        assert_eq!(
            error.outcome(),
            Some(chatstore::Outcome::NotApplied),
            "{error}"
        );
        drop(clients);
        let mut clients = open(&path);
        assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
    }
}

#[test]
fn a_transaction_takes_the_pages_of_another_program_for_good_once_they_are_known_to_be_sound() {
    let (_folder, path) = closed_store();
    let sql = format!("UPDATE messages SET id = '{OTHER_ID}' WHERE id = '{ID}'");
    change_as_a_stranger(&path, &sql);
    let mut clients = open(&path);
    let tx = clients.transaction(1, 60_000.0);
    clients.call(tx, add("s", "new", "text")).unwrap();
    let answer = clients.call(tx, list("s")).unwrap();
    assert!(answer.messages.iter().any(|message| message.id == OTHER_ID));
    clients.call(tx, Request::TransactionCommit).unwrap();
    clients.step();
    assert_eq!(clients.notices, ["resealed"]);
    clients.engine.close().unwrap();
    let mut clients = open(&path);
    assert_eq!(clients.ids(0, "s").unwrap().len(), MESSAGES + 1);
    clients.step();
    assert_eq!(clients.notices, [""; 0]);
}

#[test]
fn a_commit_has_the_pages_looked_at_that_its_record_goes_to() {
    let (_folder, path) = closed_store();
    change_as_a_stranger(&path, "UPDATE operations SET fingerprint = 7");
    let mut clients = open(&path);
    let tx = clients.transaction(1, 60_000.0);
    let commit = clients.send_as(1, tx, Request::TransactionCommit, operation("op 2", 1));
    clients.result(commit).unwrap();
    clients.step();
    assert_eq!(clients.notices, ["resealed"]);
}

#[test]
fn a_full_vacuum_copies_nothing_of_a_damaged_file() {
    let (_folder, path) = closed_store();
    damage(&path);
    let mut clients = open(&path);
    let vacuum = Request::Maintain {
        task: chatstore::engine::Task::VacuumFull,
        limit: 0,
    };
    assert_eq!(code(clients.call(0, vacuum)), "CHECKSUM_MISMATCH");
    drop(clients);
    let mut clients = open(&path);
    assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
}

fn open_to_read(path: &Path) -> Clients {
    let options = Options {
        read_only: true,
        ..Options::default()
    };
    let path = path.to_str().expect("a path of ASCII");
    Clients::over(Engine::open(NativeStorage::new(), path, options).expect("it opens"))
}

/// Goes through a check or a copy to its end: the rows of its steps.
fn go_through(clients: &mut Clients, purpose: Purpose) -> Vec<Vec<Value>> {
    let begin = Request::SnapshotBegin {
        lease_ms: 60_000.0,
        indexed: false,
        purpose,
    };
    let call = clients.send(1, 0, begin);
    clients.settle();
    let Reply::Scope(scope) = clients.result(call).unwrap().reply else {
        panic!("it begins");
    };
    let mut rows = Vec::new();
    loop {
        let Reply::Table(table) = clients.call(scope, Request::SnapshotStep).unwrap().reply else {
            panic!("a step gives a row");
        };
        let is_over = match table.columns[0].as_str() {
            "bytes" => table.cells[1] == Value::Integer(0),
            name => name == "report",
        };
        rows.push(table.cells);
        if is_over {
            clients.call(scope, Request::SnapshotEnd).unwrap();
            return rows;
        }
    }
}

fn verify(clients: &mut Clients) -> String {
    match go_through(clients, Purpose::Verify)
        .pop()
        .unwrap()
        .remove(0)
    {
        Value::Text(report) => report,
        other => panic!("{other:?}"),
    }
}

/// A copy in a file beside it, as its bytes came.
fn copy_of(path: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    for row in go_through(&mut open(path), Purpose::Backup) {
        match &row[0] {
            Value::Blob(piece) => bytes.extend_from_slice(piece),
            other => panic!("{other:?}"),
        }
    }
    let copy = path.with_extension("copy");
    fs::write(&copy, bytes).unwrap();
    copy
}

#[test]
fn a_check_tells_of_pages_that_do_not_match_and_changes_nothing() {
    for is_damage in [true, false] {
        let (_folder, path) = closed_store();
        if is_damage {
            damage(&path);
        } else {
            change_as_a_stranger(
                &path,
                &format!("UPDATE messages SET id = '{OTHER_ID}' WHERE id = '{ID}'"),
            );
        }
        let before = fs::read(&path).unwrap();
        let mut clients = open(&path);
        let report = verify(&mut clients);
        assert!(
            report.contains(r#""ok":false"#) && report.contains(r#""kind":"checksum""#),
            "{report}"
        );
        clients.engine.close().unwrap();
        assert!(fs::read(&path).unwrap() == before);
    }
}

#[test]
fn a_file_that_a_check_found_as_it_was_written_is_sealed_when_it_is_closed() {
    let (_folder, path) = closed_store();
    let copied = path.with_extension("copied");
    // A copy with a time of its own.
    fs::write(&copied, fs::read(&path).unwrap()).unwrap();
    let mut clients = open(&copied);
    assert!(verify(&mut clients).contains(r#""ok":true"#));
    clients.engine.close().unwrap();
    let modified = fs::metadata(&copied).unwrap().modified().unwrap();
    damage(&copied);
    let file = fs::File::options().write(true).open(&copied).unwrap();
    file.set_modified(modified).unwrap();
    let mut clients = open(&copied);
    assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
    clients.step();
    assert_eq!(
        clients.notices, [""; 0],
        "it is not even checked, for nobody else has written to it"
    );
}

#[test]
fn for_reading_only_a_page_of_another_program_is_an_error_and_nothing_is_changed() {
    let (_folder, path) = closed_store();
    let sql = format!("UPDATE messages SET id = '{OTHER_ID}' WHERE id = '{ID}'");
    change_as_a_stranger(&path, &sql);
    let before = fs::read(&path).unwrap();
    let mut clients = open_to_read(&path);
    assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
    clients.step();
    assert_eq!(clients.notices, [""; 0]);
    clients.engine.close().unwrap();
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn a_copy_is_known_as_it_was_copied_wherever_it_went() {
    let (_folder, path) = closed_store();
    let copy = copy_of(&path);
    let before = fs::read(&copy).unwrap();
    let mut clients = open(&copy);
    assert_eq!(clients.ids(0, "s").unwrap().len(), MESSAGES);
    clients.engine.close().unwrap();
    fs::write(&copy, &before).unwrap();
    damage(&copy);
    let mut clients = open(&copy);
    assert_eq!(code(clients.call(0, list("s"))), "CHECKSUM_MISMATCH");
    clients.step();
    assert_eq!(clients.notices, [""; 0]);
}

#[test]
fn a_copy_that_another_program_has_written_to_is_not_called_damaged() {
    for with_log in [false, true] {
        let (_folder, path) = closed_store();
        let copy = copy_of(&path);
        if with_log {
            let stranger = rusqlite::Connection::open(&copy).unwrap();
            stranger.pragma_update(None, "journal_mode", "wal").unwrap();
        }
        let sql = format!("UPDATE messages SET id = '{OTHER_ID}' WHERE id = '{ID}'");
        change_as_a_stranger(&copy, &sql);
        let mut clients = open(&copy);
        assert_eq!(clients.ids(0, "s").unwrap().len(), MESSAGES);
        clients.step();
        assert_eq!(clients.notices, ["resealed"]);
    }
}
