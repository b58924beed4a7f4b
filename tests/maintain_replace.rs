//! Replacing a store's content by another store's.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/maintain.rs"]
mod stores;
mod support;

use std::rc::Rc;

use chatstore::maintain::{Progress, Replace, Replaced, to_the_end};
use chatstore::vfs::{Connection, Storage};
use chatstore::{Durability, Engine};
use rusqlite::OpenFlags;
use stores::{Files, PATH, bytes, connect, filled, open, value, verify, with_bytes, write};
use support::Chats;

const STAGED: &str = "staged.sqlite";
const KEPT: &str = "kept.sqlite";

/// A store with one session, as another store's bytes.
fn other() -> Vec<u8> {
    let files = Files::default();
    let mut chats = open(&files).unwrap();
    chats.session("other", None);
    chats.add("other", "m", "from the other store");
    chats.found("other");
    chats.engine.close().unwrap();
    bytes(&files, PATH)
}

/// The other store's bytes after a plain SQLite worked on them.
fn reworked(sql: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    std::fs::write(&path, other()).unwrap();
    let plain = rusqlite::Connection::open(&path).unwrap();
    plain
        .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA writable_schema = ON")
        .unwrap();
    plain.execute_batch(sql).unwrap();
    drop(plain);
    std::fs::read(&path).unwrap()
}

/// A live store in WAL mode with something in its log, and a staged file.
fn live(staged: &[u8]) -> (Files, Connection) {
    let files = filled();
    write(&files, STAGED, staged);
    let connection = connect(&files, PATH);
    let sql =
        "PRAGMA journal_mode = WAL; INSERT INTO bots (id, name) VALUES ('late', 'in the log')";
    connection.execute_batch(sql).unwrap();
    (files, connection)
}

fn replace(files: &Files, live: &mut Connection) -> chatstore::Result<Replaced> {
    let storage: Rc<dyn Storage> = files.clone();
    let vfs = live.vfs().clone();
    let mut replace = Replace::begin(storage, &vfs, STAGED, KEPT)?;
    to_the_end(|| replace.step(live))
}

fn one<T: rusqlite::types::FromSql>(connection: &rusqlite::Connection, sql: &str) -> T {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

const GENERATION: &str = "SELECT value FROM store_meta WHERE name = 'generation'";

#[test]
fn the_new_content_takes_the_place_of_the_old_which_is_kept() {
    let staged = other();
    let (files, mut live) = live(&staged);
    live.execute_batch("UPDATE store_meta SET value = '41' WHERE name = 'epoch'")
        .unwrap();
    let old_generation: String = one(&live, GENERATION);
    let reader = live.vfs().connect(PATH, OpenFlags::default()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(one::<i64>(&reader, "SELECT count(*) FROM sessions"), 10);

    let replaced = replace(&files, &mut live).unwrap();
    assert_eq!(replaced.mended, None);
    assert_eq!(replaced.foreign_pages, 0);
    assert_eq!(one::<String>(&live, GENERATION), replaced.generation);
    let staged_generation: String = value(&with_bytes(PATH, &staged), PATH, GENERATION);
    assert_ne!(replaced.generation, old_generation);
    assert_ne!(replaced.generation, staged_generation);
    assert_eq!(
        one::<i64>(
            &live,
            "SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'epoch'"
        ),
        41,
        "epochs never go back"
    );
    assert_eq!(
        one::<i64>(&reader, "SELECT count(*) FROM sessions"),
        10,
        "a snapshot stays what it was"
    );
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(one::<String>(&reader, "SELECT id FROM sessions"), "other");
    drop(reader);
    drop(live);

    assert_eq!(verify(&files).problems, []);
    let mut chats = open(&files).unwrap();
    assert_eq!(chats.path("other"), ["m"]);
    assert_eq!(chats.found("other"), ["m"]);
    chats.add("other", "next", "goes on");
    chats.expect_sound();
    chats.engine.close().unwrap();

    assert_eq!(bytes(&files, KEPT).len() as u64, replaced.kept_bytes);
    let kept = with_bytes(PATH, &bytes(&files, KEPT));
    assert_eq!(verify(&kept).problems, []);
    assert_eq!(value::<String>(&kept, PATH, GENERATION), old_generation);
    assert_eq!(
        value::<i64>(&kept, PATH, "SELECT count(*) FROM bots"),
        3,
        "what was in the log is kept too"
    );
}

#[test]
fn files_of_another_form_are_taken_over_too() {
    for (what, sql, foreign) in [
        ("other pages", "PRAGMA page_size = 1024; VACUUM", false),
        ("larger pages", "PRAGMA page_size = 16384; VACUUM", false),
        ("no auto-vacuum", "PRAGMA auto_vacuum = NONE; VACUUM", true),
        (
            "written by another program",
            "UPDATE sessions SET title = 'edited'",
            true,
        ),
    ] {
        let (files, mut live) = live(&reworked(sql));
        let replaced = replace(&files, &mut live).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            replaced.foreign_pages > 0,
            foreign || sql.contains("VACUUM"),
            "{what}"
        );
        drop(live);
        assert!(
            !files.exists(&format!("{STAGED}-rewritten")).unwrap(),
            "{what}"
        );
        assert_eq!(verify(&files).problems, [], "{what}");
        for (pragma, expected) in [("page_size", 4096), ("auto_vacuum", 2)] {
            assert_eq!(
                value::<i64>(&files, PATH, &format!("PRAGMA {pragma}")),
                expected,
                "{what}"
            );
        }
        assert_eq!(bytes(&files, PATH)[20], 8, "{what}");
        open(&files).unwrap().add("other", "next", "goes on");
    }
}

#[test]
fn a_file_without_reserved_bytes_gets_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    std::fs::write(&path, other()).unwrap();
    let plain = rusqlite::Connection::open(&path).unwrap();
    let dump = folder.path().join("y.sqlite");
    // Into a file of its own, whose pages reserve nothing: by way of a new database and its schema.
    let target = rusqlite::Connection::open(&dump).unwrap();
    drop(plain);
    target
        .execute_batch(&format!(
            "ATTACH '{}' AS other; PRAGMA foreign_keys = OFF",
            path.display()
        ))
        .unwrap();
    let statements: Vec<String> = target
        .prepare("SELECT sql FROM other.sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'messages_fts_*' ORDER BY type = 'trigger', rowid")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    for sql in statements {
        target.execute_batch(&sql).unwrap();
    }
    target
        .execute_batch(
            "INSERT INTO store_meta SELECT * FROM other.store_meta;
             INSERT INTO sessions (key, id, created_at, updated_at) SELECT key, id, created_at, updated_at FROM other.sessions;
             INSERT INTO messages (key, session, id, role, text) SELECT key, session, id, role, text FROM other.messages;
             PRAGMA application_id = 1130905972; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(target);
    let staged = std::fs::read(&dump).unwrap();
    assert_eq!(staged[20], 0);
    let (files, mut live) = live(&staged);
    let replaced = replace(&files, &mut live).unwrap();
    assert!(
        replaced.mended.is_some(),
        "its counters and its index were behind"
    );
    drop(live);
    assert_eq!(bytes(&files, PATH)[20], 8);
    assert_eq!(verify(&files).problems, []);
    let mut chats = open(&files).unwrap();
    assert_eq!(chats.path("other"), ["m"]);
    assert_eq!(chats.found("store"), ["m"]);
    chats.expect_sound();
}

#[test]
fn what_follows_from_the_rest_is_made_true_first() {
    let (files, mut live) = live(&reworked(
        "UPDATE sessions SET message_count = 7, preview = 'x'; UPDATE messages SET active = 0, text = 'other words';
         INSERT INTO messages (key, session, id, role, text, parent, active) VALUES ((1 << 32) + 9, 1, 'foreign', 'user', 'unindexed words', (1 << 32) + 1, 0)",
    ));
    let replaced = replace(&files, &mut live).unwrap();
    assert_eq!(replaced.mended.unwrap().path_marks, 1);
    drop(live);
    assert_eq!(verify(&files).problems, []);
    let mut chats = open(&files).unwrap();
    assert_eq!(chats.found("unindexed"), ["foreign"]);
    assert_eq!(chats.found("other words"), ["m"]);
    assert_eq!(chats.get_session("other").message_count, 2);
}

#[test]
fn whatever_cannot_take_its_place_leaves_the_store_as_it_was() {
    let sound = other();
    let mut torn = sound.clone();
    let root: i64 = value(
        &with_bytes(PATH, &sound),
        PATH,
        "SELECT rootpage FROM sqlite_schema WHERE name = 'messages'",
    );
    torn[(root as usize - 1) * 4096..][..4096].fill(0);
    let short = sound[..sound.len() - 4096].to_vec();
    let mut reserved = sound.clone();
    reserved[20] = 32;
    for (what, staged, code) in [
        (
            "text",
            b"hello, this is no database at all".to_vec(),
            "NOT_A_STORE",
        ),
        ("nothing", Vec::new(), "NOT_A_STORE"),
        (
            "a stranger",
            reworked("PRAGMA application_id = 7"),
            "NOT_A_STORE",
        ),
        (
            "a newer one",
            reworked("PRAGMA user_version = 9"),
            "SCHEMA_TOO_NEW",
        ),
        ("a torn one", torn, "CORRUPT"),
        ("a short one", short, "CORRUPT"),
        ("another reserve", reserved, "UNSUPPORTED"),
        (
            "a dangling reference",
            reworked("PRAGMA foreign_keys = OFF; UPDATE messages SET bot = 9"),
            "CORRUPT",
        ),
        (
            "a missing table",
            reworked("DROP TABLE operations"),
            "CORRUPT",
        ),
        (
            "a broken rule",
            reworked("PRAGMA ignore_check_constraints = ON; UPDATE messages SET role = ''"),
            "CORRUPT",
        ),
    ] {
        let (files, mut live) = live(&staged);
        let generation: String = one(&live, GENERATION);
        let error = replace(&files, &mut live).expect_err(what);
        assert_eq!(error.code().as_str(), code, "{what}: {error}");
        assert_eq!(one::<String>(&live, GENERATION), generation, "{what}");
        assert!(live.is_autocommit(), "{what}");
        live.execute_batch("INSERT INTO bots (id, name) VALUES ('n', 'still written')")
            .unwrap();
        drop(live);
        assert_eq!(verify(&files).problems, [], "{what}");
        assert!(!files.exists(KEPT).unwrap(), "{what}: nothing was kept");
        assert!(
            files.exists(STAGED).unwrap(),
            "{what}: the source is its owner's"
        );
    }
}

#[test]
fn a_file_is_never_kept_over_another_and_a_source_must_be_there() {
    let (files, mut live) = live(&other());
    write(&files, KEPT, b"precious");
    assert_eq!(
        support::code(replace(&files, &mut live)),
        "INVALID_ARGUMENT"
    );
    assert_eq!(bytes(&files, KEPT), b"precious");
    files.delete(KEPT, false).unwrap();
    // A log of that name would be applied to the file.
    for suffix in ["-wal", "-journal"] {
        let log = format!("{KEPT}{suffix}");
        write(&files, &log, b"of another file");
        assert_eq!(
            support::code(replace(&files, &mut live)),
            "INVALID_ARGUMENT"
        );
        assert_eq!(bytes(&files, &log), b"of another file");
        files.delete(&log, false).unwrap();
    }
    files.delete(STAGED, false).unwrap();
    assert_eq!(
        support::code(replace(&files, &mut live)),
        "INVALID_ARGUMENT"
    );
}

#[test]
fn it_can_be_given_up_between_any_two_steps() {
    let (files, mut live) = live(&other());
    let mut given_up = 0;
    for steps in 0.. {
        let storage: Rc<dyn Storage> = files.clone();
        let vfs = live.vfs().clone();
        let mut replace = Replace::begin(storage, &vfs, STAGED, KEPT).unwrap();
        let mut done = false;
        for _ in 0..steps {
            if let Progress::Done(_) = replace.step(&mut live).unwrap() {
                done = true;
                break;
            }
        }
        if done {
            break;
        }
        replace.abandon(&live);
        assert!(replace.step(&mut live).is_err());
        assert!(!files.exists(KEPT).unwrap());
        live.execute_batch("UPDATE bots SET avatar = 'written'")
            .unwrap();
        assert_eq!(one::<i64>(&live, "SELECT count(*) FROM sessions"), 10);
        given_up += 1;
    }
    assert!(given_up > 10);
    assert_eq!(one::<String>(&live, "SELECT id FROM sessions"), "other");
}

#[test]
fn a_damaged_store_can_be_replaced() {
    let (files, live) = live(&other());
    drop(live);
    let mut damaged = bytes(&files, PATH);
    let root: i64 = value(
        &files,
        PATH,
        "SELECT rootpage FROM sqlite_schema WHERE name = 'messages'",
    );
    damaged[(root as usize - 1) * 4096..][..4096].fill(0x55);
    write(&files, PATH, &damaged);
    let mut live = connect(&files, PATH);
    let replaced = replace(&files, &mut live).unwrap();
    drop(live);
    assert_eq!(replaced.kept_bytes, damaged.len() as u64);
    assert_eq!(verify(&files).problems, []);
    Engine::open(files.clone(), PATH, Durability::Strict)
        .map(Chats::over)
        .unwrap()
        .expect_sound();
}
