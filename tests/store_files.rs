//! Stores on disk: what survives closing, and what is left alone.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use chatstore::vfs::NativeStorage;
use chatstore::{Durability, Engine, Result};
use support::{Chats, code};

fn open(path: &Path) -> Result<Chats> {
    let path = path.to_str().expect("a path in UTF-8");
    Engine::open(NativeStorage::new(), path, Durability::Strict).map(Chats::over)
}

#[test]
fn a_store_comes_back_as_it_was_closed_and_leaves_one_plain_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.sqlite");
    let mut chats = open(&path).unwrap();
    chats.session("s", None);
    for at in 0..500 {
        chats.add("s", &format!("m{at}"), &format!("text {at} 🎈\0"));
    }
    chats.engine.close().unwrap();
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["chats.sqlite"]);
    // SQLite with its own VFS, which knows nothing of us.
    let plain = rusqlite::Connection::open(&path).unwrap();
    let check: String = plain
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let rows: i64 = plain
        .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 500);
    drop(plain);
    let mut chats = open(&path).unwrap();
    assert_eq!(chats.path("s").len(), 500);
    assert_eq!(chats.get("s", "m499").unwrap().text, "text 499 🎈\0");
    chats.expect_sound();
}

#[test]
fn the_file_has_the_stated_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.sqlite");
    let mut chats = open(&path).unwrap();
    for (sql, expected) in [
        ("PRAGMA page_size", "4096"),
        ("PRAGMA auto_vacuum", "2"),
        ("PRAGMA application_id", "1130905972"),
        ("PRAGMA user_version", "1"),
        ("PRAGMA encoding", "UTF-8"),
        ("SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND NOT strict
          AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'messages_fts%'", "0"),
    ] {
        assert_eq!(chats.query(sql).unwrap(), [expected], "{sql}");
    }
    chats.engine.close().unwrap();
    let header = fs::read(&path).unwrap();
    assert_eq!(
        (&header[..16], header[20]),
        (&b"SQLite format 3\0"[..], 8),
        "8 bytes of each page are reserved"
    );
}

#[test]
fn a_second_opener_is_told_that_the_store_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.sqlite");
    let first = open(&path).unwrap();
    let error = open(&path).map(drop).expect_err("the file is taken");
    assert_eq!(error.code().as_str(), "STORE_LOCKED", "{error}");
    first.engine.close().unwrap();
    open(&path).unwrap();
}

#[test]
fn files_that_are_not_ours_or_newer_are_refused_and_left_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, act: &dyn Fn(&Path)| {
        let path = folder.path().join(name);
        act(&path);
        path
    };
    let sql = |path: &Path, sql: &str| {
        rusqlite::Connection::open(path)
            .unwrap()
            .execute_batch(sql)
            .unwrap()
    };
    let cases = [
        (
            write("text", &|path| {
                fs::write(path, "not a database, but a longer text of some kind").unwrap()
            }),
            "NOT_A_STORE",
        ),
        (
            write("short", &|path| fs::write(path, "x").unwrap()),
            "NOT_A_STORE",
        ),
        (
            write("foreign", &|path| {
                sql(path, "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
            }),
            "NOT_A_STORE",
        ),
        (
            write("foreign wal", &|path| {
                sql(path, "PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
            }),
            "NOT_A_STORE",
        ),
        (
            write("newer", &|path| {
                open(path).unwrap().engine.close().unwrap();
                sql(path, "PRAGMA user_version = 2");
            }),
            "SCHEMA_TOO_NEW",
        ),
    ];
    for (path, expected) in cases {
        let before = fs::read(&path).unwrap();
        assert_eq!(code(open(&path).map(|_| ())), expected, "{path:?}");
        assert_eq!(fs::read(&path).unwrap(), before, "{path:?} was changed");
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        5,
        "no file was left beside them"
    );
}

#[test]
fn a_newer_version_that_stands_in_the_log_only_is_refused_and_the_log_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.sqlite");
    open(&path).unwrap().engine.close().unwrap();
    let log = folder.path().join("chats.sqlite-wal");
    let copy = folder.path().join("copy.sqlite");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 3").unwrap();
    fs::copy(&path, &copy).unwrap();
    let copied_log = folder.path().join("copy.sqlite-wal");
    fs::copy(&log, &copied_log).unwrap();
    let before = (fs::read(&copy).unwrap(), fs::read(&copied_log).unwrap());
    assert_eq!(code(open(&copy).map(|_| ())), "SCHEMA_TOO_NEW");
    assert_eq!(
        (fs::read(&copy).unwrap(), fs::read(&copied_log).unwrap()),
        before
    );
}

#[test]
fn an_empty_file_beside_a_log_is_not_made_into_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.sqlite");
    fs::write(&path, "").unwrap();
    let log = folder.path().join("chats.sqlite-wal");
    fs::write(&log, "whatever this is").unwrap();
    assert_eq!(code(open(&path).map(|_| ())), "CORRUPT");
    assert_eq!(fs::read(&log).unwrap(), b"whatever this is");
}

#[test]
fn the_sqlite3_shell_reads_a_closed_store() {
    let Ok(version) = Command::new("sqlite3").arg("--version").output() else {
        eprintln!("skipped: there is no sqlite3 shell here");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.sqlite");
    let mut chats = open(&path).unwrap();
    chats.session("s", None);
    chats.add("s", "m", "hello shell");
    chats.found("hello");
    chats.engine.close().unwrap();
    let sql = "PRAGMA integrity_check; PRAGMA foreign_key_check; SELECT text FROM messages_fts WHERE messages_fts MATCH 'shell'";
    let output = Command::new("sqlite3")
        .arg(&path)
        .arg(sql)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\nhello shell\n");
}
