//! Checkpoints: pages that lie side by side go to the file at once, and what fails is still in the WAL.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

use std::rc::Rc;

use chatstore::vfs::Vfs;
use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use rsqlite_vfs::VfsErrorCode;
use rusqlite::{Connection, OpenFlags};

const ROWS: i64 = 400;

fn connect(disk: &SimulatedDisk) -> (Rc<Vfs>, chatstore::vfs::Connection) {
    let vfs = Vfs::register(disk.clone()).unwrap();
    let connection = vfs.connect("db", OpenFlags::default()).unwrap();
    let setup =
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x)";
    connection.execute_batch(setup).unwrap();
    (vfs, connection)
}

/// Rows of a page each.
fn fill(connection: &Connection, from: i64) {
    connection.execute_batch("BEGIN").unwrap();
    for id in from..from + ROWS {
        let sql = "INSERT INTO t VALUES (?1, zeroblob(3000))";
        connection.execute(sql, [id]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// Frames in the WAL, and how many of them are in the database; an error's code where it failed.
fn checkpoint(connection: &Connection) -> Result<(i64, i64), rusqlite::ErrorCode> {
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get(1)?, row.get(2)?))
        })
        .map_err(|error| error.sqlite_error_code().unwrap())
}

/// The structure holds, and so many rows are there.
fn expect_rows(connection: &Connection, expected: i64) {
    let one = |sql| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    assert_eq!(
        one("SELECT CAST(count(x) AS TEXT) FROM t").unwrap(),
        expected.to_string()
    );
    assert_eq!(one("PRAGMA integrity_check").unwrap(), "ok");
}

/// So many rows are there when the power was lost after everything was closed.
fn expect_rows_after_power_loss(disk: &SimulatedDisk, expected: i64) {
    let (_vfs, connection) = connect(&disk.after_power_loss(1));
    expect_rows(&connection, expected);
}

/// The write of pages to the database that comes after so many fails once.
fn fail_write(disk: &SimulatedDisk, after_calls: u64, fault: VfsErrorCode) {
    disk.fail(Script {
        on: On::Write,
        path_ends_with: "db",
        after_calls,
        times: 1,
        fault: Fault::Fails(fault),
    });
}

#[test]
fn pages_that_lie_side_by_side_are_written_at_once() {
    let disk = SimulatedDisk::new(1);
    let (vfs, connection) = connect(&disk);
    fill(&connection, 0);
    let before = vfs.figures();
    let (frames, moved) = checkpoint(&connection).unwrap();
    let spent = vfs.figures().since(&before);
    assert!(frames > ROWS && moved == frames, "{moved} of {frames}");
    assert!(spent.writes < 20, "{} writes", spent.writes);
    expect_rows(&connection, ROWS);
}

#[test]
fn whatever_write_of_a_checkpoint_fails_the_next_one_goes_on() {
    for fault in [VfsErrorCode::Full, VfsErrorCode::IoWrite] {
        let mut all_failed = true;
        for after_calls in 0..100 {
            let disk = SimulatedDisk::new(1);
            let (vfs, connection) = connect(&disk);
            fill(&connection, 0);
            fail_write(&disk, after_calls, fault);
            let failed = checkpoint(&connection);
            expect_rows(&connection, ROWS);
            if failed.is_ok() {
                assert!(after_calls > 2, "{after_calls} writes");
                all_failed = false;
                break;
            }
            let (frames, moved) = checkpoint(&connection).unwrap();
            assert_eq!(moved, frames);
            drop((connection, vfs));
            expect_rows_after_power_loss(&disk, ROWS);
        }
        assert!(
            !all_failed,
            "a checkpoint makes more writes than were tried"
        );
    }
}

#[test]
fn where_a_reader_keeps_the_wal_a_write_that_fails_last_is_done_again() {
    let mut noted = 0;
    for after_calls in 0..12 {
        let disk = SimulatedDisk::new(1);
        let (vfs, connection) = connect(&disk);
        fill(&connection, 0);
        let reader = vfs.connect("db", OpenFlags::default()).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        expect_rows(&reader, ROWS);
        fill(&connection, ROWS);
        fail_write(&disk, after_calls, VfsErrorCode::IoWrite);
        // What the reader sees is moved, and nothing is called for after the last page.
        let first = checkpoint(&connection);
        disk.mend();
        let fresh = vfs.connect("db", OpenFlags::default()).unwrap();
        expect_rows(&fresh, 2 * ROWS);
        drop(fresh);
        let (frames, moved) = checkpoint(&connection).unwrap();
        assert!(moved > 0 && moved < frames, "{moved} of {frames}");
        noted += u32::from(first.is_ok());
        reader.execute_batch("COMMIT").unwrap();
        drop(reader);
        let (frames, moved) = checkpoint(&connection).unwrap();
        assert_eq!(moved, frames);
        drop((connection, vfs));
        expect_rows_after_power_loss(&disk, 2 * ROWS);
    }
    assert!(noted > 0, "no checkpoint ended before its last write");
}

#[test]
fn what_a_checkpoint_has_moved_is_flushed_before_the_wal_begins_anew() {
    let disk = SimulatedDisk::new(1);
    let (_vfs, connection) = connect(&disk);
    fill(&connection, 0);
    let (frames, moved) = checkpoint(&connection).unwrap();
    assert_eq!(moved, frames);
    // Takes the place of what was moved.
    fill(&connection, ROWS);
    for seed in 0..20 {
        let (_vfs, connection) = connect(&disk.after_power_loss(seed));
        expect_rows(&connection, 2 * ROWS);
    }
}
