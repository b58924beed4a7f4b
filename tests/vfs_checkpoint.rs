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

fn rows(connection: &Connection) -> i64 {
    connection
        .query_row("SELECT count(x) FROM t", [], |row| row.get(0))
        .unwrap()
}

fn integrity(connection: &Connection) -> String {
    connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap()
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
    assert_eq!(
        (rows(&connection), integrity(&connection)),
        (ROWS, "ok".into())
    );
}

#[test]
fn whatever_write_of_a_checkpoint_fails_the_next_one_goes_on() {
    for fault in [VfsErrorCode::Full, VfsErrorCode::IoWrite] {
        for after_calls in 0.. {
            let disk = SimulatedDisk::new(1);
            let (vfs, connection) = connect(&disk);
            fill(&connection, 0);
            fail_write(&disk, after_calls, fault);
            let failed = checkpoint(&connection);
            assert_eq!(
                (rows(&connection), integrity(&connection)),
                (ROWS, "ok".into())
            );
            if failed.is_ok() {
                assert!(after_calls > 2, "{after_calls} writes");
                break;
            }
            let (frames, moved) = checkpoint(&connection).unwrap();
            assert_eq!(moved, frames);
            drop((connection, vfs));
            let (_vfs, connection) = connect(&disk.after_power_loss(1));
            assert_eq!(
                (rows(&connection), integrity(&connection)),
                (ROWS, "ok".into())
            );
        }
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
        assert_eq!(rows(&reader), ROWS);
        fill(&connection, ROWS);
        fail_write(&disk, after_calls, VfsErrorCode::IoWrite);
        // What the reader sees is moved, and nothing is called for after the last page.
        let first = checkpoint(&connection);
        disk.mend();
        let fresh = vfs.connect("db", OpenFlags::default()).unwrap();
        assert_eq!((rows(&fresh), integrity(&fresh)), (2 * ROWS, "ok".into()));
        drop(fresh);
        let (frames, moved) = checkpoint(&connection).unwrap();
        assert!(moved > 0 && moved < frames, "{moved} of {frames}");
        noted += u32::from(first.is_ok());
        reader.execute_batch("COMMIT").unwrap();
        drop(reader);
        let (frames, moved) = checkpoint(&connection).unwrap();
        assert_eq!(moved, frames);
        drop((connection, vfs));
        let (_vfs, connection) = connect(&disk.after_power_loss(1));
        assert_eq!(
            (rows(&connection), integrity(&connection)),
            (2 * ROWS, "ok".into())
        );
    }
    assert!(noted > 0, "no checkpoint ended before its last write");
}
