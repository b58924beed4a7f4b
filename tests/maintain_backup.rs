//! Backups: an exact copy of one snapshot, made while writes go on.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/maintain.rs"]
mod stores;
mod support;

use std::process::Command;

use chatstore::maintain::{Backup, BackupInfo, Progress};
use rusqlite::Connection;
use stores::{
    Files, PATH, bytes, connect, fill, filled, open, text, value, verify, with_bytes,
    write_resealed,
};

/// All bytes of a backup, with something done between its steps.
fn back_up(connection: &Connection, mut between: impl FnMut(usize)) -> (BackupInfo, Vec<u8>) {
    let mut copy = Vec::new();
    let mut backup = Backup::begin(connection).unwrap();
    let mut steps = 0;
    loop {
        let step = backup.step(connection, &mut |bytes| {
            copy.extend_from_slice(bytes);
            Ok(())
        });
        match step.unwrap() {
            Progress::Working { done, expected, .. } => assert!(done < expected),
            Progress::Done(info) => return (info, copy),
        }
        steps += 1;
        between(steps);
    }
}

#[test]
fn a_backup_is_the_snapshot_it_began_with_whatever_is_written_meanwhile() {
    let files = Files::default();
    let mut chats = open(&files).unwrap();
    fill(&mut chats);
    chats.session("big", None);
    for at in 0..300 {
        chats.add("big", &format!("b{at}"), &text(99, at, 3_000));
    }
    // A second VFS would be a second owner, so the store that writes is opened with the same one.
    chats.engine.close().unwrap();
    let writer = connect(&files, PATH);
    let reader = writer
        .vfs()
        .connect(PATH, rusqlite::OpenFlags::default())
        .unwrap();
    writer
        .execute_batch("INSERT INTO store_meta VALUES ('in the log', '1')")
        .unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let before: i64 = reader
        .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
        .unwrap();
    let (info, copy) = back_up(&reader, |step| {
        let sql = format!(
            "DELETE FROM messages WHERE seq = {step}; UPDATE messages SET text = text || 'new' WHERE seq = {step} + 50;
             INSERT INTO bots (id, name) VALUES ('{step}', '{step}')"
        );
        writer.execute_batch(&sql).unwrap();
    });
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(info.size_bytes, copy.len() as u64);
    assert_eq!(
        info.size_bytes,
        u64::from(info.pages) * u64::from(info.page_size_bytes)
    );
    assert!(info.size_bytes > 1 << 20, "several steps");
    drop(reader);
    drop(writer);

    let copied = with_bytes(PATH, &copy);
    assert_eq!(verify(&copied).problems, []);
    assert_eq!(
        value::<i64>(&copied, PATH, "SELECT count(*) FROM messages"),
        before
    );
    assert_eq!(value::<i64>(&copied, PATH, "SELECT count(*) FROM bots"), 2);
    assert_eq!(
        value::<i64>(
            &copied,
            PATH,
            "SELECT count(*) FROM store_meta WHERE name = 'in the log'"
        ),
        1
    );
    assert_eq!(
        value::<i64>(
            &copied,
            PATH,
            "SELECT count(*) FROM messages WHERE text LIKE '%new'"
        ),
        0
    );
    let mut chats = open(&copied).unwrap();
    assert_eq!(chats.get("big", "b7").unwrap().text, text(99, 7, 3_000));
    chats.add("big", "goes on", "x");
    chats.expect_sound();
}

#[test]
fn a_backup_of_a_closed_store_differs_from_it_in_the_header_alone() {
    let files = filled();
    let connection = connect(&files, PATH);
    connection.execute_batch("BEGIN").unwrap();
    let (_, copy) = back_up(&connection, |_| ());
    let original = bytes(&files, PATH);
    assert_eq!(copy.len(), original.len());
    assert!(
        copy[4096..] == original[4096..],
        "all pages but the first are the same bytes"
    );
    let differing: Vec<usize> = (0..4096).filter(|at| copy[*at] != original[*at]).collect();
    for at in &differing {
        assert!(
            matches!(at, 18..20 | 24..32 | 92..100 | 4088..4096),
            "byte {at} differs"
        );
    }
    assert_eq!(copy[18..20], [1, 1], "no write-ahead log is wanted");
    assert_eq!(copy[24..28], copy[92..96], "the page count is valid");
}

#[test]
fn the_page_count_of_a_backup_is_valid_where_that_of_the_original_was_not() {
    let files = filled();
    let mut old = bytes(&files, PATH);
    // As a SQLite that keeps no page count leaves it.
    old[92..96].fill(0);
    old[28..32].fill(0);
    write_resealed(&files, &old);
    let connection = connect(&files, PATH);
    connection.execute_batch("BEGIN").unwrap();
    let (info, copy) = back_up(&connection, |_| ());
    assert_eq!(copy[24..28], copy[92..96]);
    assert_eq!(copy[28..32], info.pages.to_be_bytes());
    assert_eq!(copy.len(), old.len());
}

#[test]
fn sqlite_alone_reads_a_backup_without_anything_beside_it() {
    let files = filled();
    let connection = connect(&files, PATH);
    connection.execute_batch("BEGIN").unwrap();
    let (_, copy) = back_up(&connection, |_| ());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.sqlite");
    std::fs::write(&path, &copy).unwrap();
    let plain = Connection::open(&path).unwrap();
    let check: String = plain
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let mode: String = plain
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "delete");
    drop(plain);
    let Ok(output) = Command::new("sqlite3")
        .arg(&path)
        .arg("PRAGMA integrity_check; SELECT count(*) FROM messages")
        .output()
    else {
        eprintln!("skipped: there is no sqlite3 shell here");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n421\n");
    assert_eq!(
        std::fs::read(&path).unwrap(),
        copy,
        "reading changed nothing"
    );
}

#[test]
fn a_backup_ends_with_its_transaction_and_with_a_target_that_fails() {
    let files = filled();
    let connection = connect(&files, PATH);
    let error = Backup::begin(&connection).unwrap_err();
    assert_eq!(error.code().as_str(), "TRANSACTION_STATE");
    connection.execute_batch("BEGIN").unwrap();
    let mut backup = Backup::begin(&connection).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    let error = backup.step(&connection, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.code().as_str(), "TRANSACTION_STATE");

    connection.execute_batch("BEGIN").unwrap();
    let mut backup = Backup::begin(&connection).unwrap();
    let full = || chatstore::Error::new(chatstore::Code::DiskFull, "no room");
    let error = backup.step(&connection, &mut |_| Err(full())).unwrap_err();
    assert_eq!(error.code().as_str(), "DISK_FULL");
    assert!(
        backup.step(&connection, &mut |_| Ok(())).is_err(),
        "it does not go on after a gap"
    );
}

#[test]
fn queries_of_callers_do_not_reach_raw_pages() {
    let files = filled();
    let mut chats = open(&files).unwrap();
    for sql in [
        "SELECT data FROM sqlite_dbpage WHERE pgno = 1",
        "SELECT count(*) FROM SQLite_DBPage",
        "SELECT (SELECT max(pgno) FROM sqlite_dbpage)",
        "WITH p AS (SELECT * FROM sqlite_dbpage('main')) SELECT count(*) FROM p",
    ] {
        assert_eq!(
            support::code(chats.query(sql)),
            "QUERY_NOT_ALLOWED",
            "{sql}"
        );
    }
}
