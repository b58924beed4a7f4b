//! Failures that ruined files of other stores, as tests of this one.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

use std::rc::Rc;

use chatstore::vfs::simulated::SimulatedDisk;
use chatstore::vfs::{OpenMode, Storage, Vfs};
use chatstore::{Code, Durability, Engine};
use rusqlite::{Connection, OpenFlags};

const PATH: &str = "chats.sqlite";

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn vfs(disk: &SimulatedDisk) -> Rc<Vfs> {
    Vfs::register(disk.clone()).unwrap()
}

/// 20,000 rows, a cache of ten pages, an UPDATE that is under way when the process dies: most of the
/// change is in the file already. A pool of files in a browser said of every journal that it was in
/// use, and 17,010 changed rows and a failing integrity check were left.
#[test]
fn a_hot_journal_of_a_killed_update_is_rolled_back() {
    let disk = SimulatedDisk::new(1);
    let owner = vfs(&disk).connect(PATH, OpenFlags::default()).unwrap();
    owner
        .execute_batch(
            "PRAGMA cache_size = 10;
             CREATE TABLE t (id INTEGER PRIMARY KEY, text);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO t SELECT i, printf('%0100d', i) FROM n;",
        )
        .unwrap();
    let before = disk.contents(PATH).unwrap();
    owner
        .execute_batch("BEGIN; UPDATE t SET text = printf('changed %0100d', id)")
        .unwrap();
    assert_ne!(
        disk.contents(PATH).unwrap(),
        before,
        "nothing of the update is in the file, so there is nothing to roll back"
    );
    let history = disk.history();
    let next = disk.kill();
    drop(owner);

    let check = |disk: &SimulatedDisk, how: &str| {
        let survivor = vfs(disk).connect(PATH, OpenFlags::default()).unwrap();
        let changed = "SELECT count(*) FROM t WHERE text <> printf('%0100d', id)";
        assert_eq!(count(&survivor, changed), 0, "{how}");
        assert_eq!(count(&survivor, "SELECT count(*) FROM t"), 20_000, "{how}");
        let sound: String = survivor
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok", "{how}");
        assert!(
            !disk.exists("chats.sqlite-journal").unwrap(),
            "{how}: the journal is still there"
        );
    };
    check(&next, "the process was killed");
    let mut replay = history.replay();
    replay.advance(history.operations());
    for seed in 0..10 {
        check(&replay.after_power_loss(seed), "the power was lost");
    }
}

/// SQLite deletes the log that lies beside a file without pages. The log may be all there is of the
/// chats: a copy or a sync service brought the two files at different times.
#[test]
fn a_log_beside_an_empty_file_is_not_thrown_away() {
    let disk = SimulatedDisk::new(1);
    let engine = Engine::open(disk.clone(), PATH, Durability::Strict).unwrap();
    let log = disk.contents("chats.sqlite-wal").unwrap_or_default();
    let disk = disk.kill();
    drop(engine);
    let mode = OpenMode {
        create: true,
        ..OpenMode::default()
    };
    let mut file = disk.open(PATH, mode).unwrap();
    file.truncate(0).unwrap();
    let mut wal = disk.open("chats.sqlite-wal", mode).unwrap();
    let log = if log.is_empty() { vec![1; 5000] } else { log };
    wal.write_at(&log, 0).unwrap();
    drop((file, wal));

    let refused = Engine::open(disk.clone(), PATH, Durability::Strict)
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::Corrupt, "{refused}");
    assert_eq!(disk.contents("chats.sqlite-wal").unwrap(), log);
    assert_eq!(disk.contents(PATH).unwrap(), []);
}
