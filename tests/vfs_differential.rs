//! Random histories of SQL, run with the WAL buffer and without it: the same answers,
//! the same file in the end, and the same rows after a kill at any moment.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

use std::cell::Cell;
use std::rc::Rc;

use chatstore::vfs::{
    Connection, MemoryStorage, OpenMode, RawFile, Storage, SystemOs, Vfs, VfsOptions,
};
use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};
use rusqlite::{FileControl, OpenFlags};

const WITH: VfsOptions = VfsOptions {
    wal_buffer: true,
    wal_preallocation: true,
    checksums: true,
    read_only: false,
};
const WITHOUT: VfsOptions = VfsOptions {
    wal_buffer: false,
    wal_preallocation: false,
    checksums: true,
    read_only: false,
};

/// Rows in order; what two files have to have in common.
type Rows = Vec<(i64, i64, String)>;

// --- Histories -------------------------------------------------------------------------------

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The next statement. Now and then one is an error, such as a commit without a transaction.
fn statement(random: &mut Random) -> String {
    let length = [10, 300, 5_000, 60_000][usize::try_from(random.below(4)).unwrap()];
    let id = random.below(60);
    match random.below(20) {
        0..=4 => format!(
            "INSERT INTO t (text) SELECT printf('%0{length}d', value) FROM
             (WITH RECURSIVE n (value) AS (SELECT {id} UNION ALL SELECT value + 1 FROM n WHERE value < {})
              SELECT value FROM n)",
            id + random.below(20)
        ),
        5..=7 => format!("UPDATE t SET text = printf('%0{length}d', id) WHERE id % 7 = {}", id % 7),
        8 => format!("DELETE FROM t WHERE id % 5 = {}", id % 5),
        9..=11 => "BEGIN IMMEDIATE".into(),
        12 | 13 => "COMMIT".into(),
        14 => "ROLLBACK".into(),
        15 => "SAVEPOINT s".into(),
        16 => "ROLLBACK TO s".into(),
        17 => "RELEASE s".into(),
        18 => format!("PRAGMA cache_size = {}", [3, 20, 2000][usize::try_from(id % 3).unwrap()]),
        _ => format!(
            "PRAGMA wal_checkpoint({})",
            ["PASSIVE", "RESTART", "TRUNCATE"][usize::try_from(id % 3).unwrap()]
        ),
    }
}

fn open(
    storage: impl Storage,
    options: VfsOptions,
    synchronous: &str,
) -> rusqlite::Result<Connection> {
    let vfs = Vfs::register_with(storage, options).unwrap();
    let connection = vfs.connect("db", OpenFlags::default())?;
    let mut reserved_bytes = 8;
    connection.file_control(None::<&str>, FileControl::ReserveBytes(&mut reserved_bytes))?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = DELETE;
         PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 200;
         CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT);
         PRAGMA journal_mode = WAL"
    ))?;
    Ok(connection)
}

fn rows(connection: &Connection) -> rusqlite::Result<Rows> {
    let sql = "SELECT id, length(text), substr(text, -9) FROM t ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

fn ensure_sound(connection: &Connection, what: &str) {
    let found: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(found, "ok", "{what}");
}

fn bytes(storage: &MemoryStorage, path: &str) -> Option<Vec<u8>> {
    if !storage.exists(path).unwrap() {
        return None;
    }
    let mut file = storage.open(path, OpenMode::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(file.size_bytes().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// What a killed owner leaves to the next.
fn copy(storage: &MemoryStorage) -> Rc<MemoryStorage> {
    let copy = Rc::new(MemoryStorage::new());
    for path in ["db", "db-wal", "db-journal"] {
        if let Some(bytes) = bytes(storage, path) {
            let mode = OpenMode {
                create: true,
                ..OpenMode::default()
            };
            copy.open(path, mode).unwrap().write_at(&bytes, 0).unwrap();
        }
    }
    copy
}

#[test]
fn with_and_without_the_buffer_the_same_becomes_of_the_same_history() {
    for seed in 1..=12 {
        let mut random = Random(seed);
        let synchronous = ["OFF", "NORMAL", "FULL"][usize::try_from(random.below(3)).unwrap()];
        let storages = [Rc::new(MemoryStorage::new()), Rc::new(MemoryStorage::new())];
        let [with, without] = [(0, WITH), (1, WITHOUT)].map(|(index, options)| {
            open(Rc::clone(&storages[index]), options, synchronous).unwrap()
        });
        let mut committed = Rows::new();
        for step in 0..60 {
            let what = format!("seed {seed}, step {step}");
            let sql = statement(&mut random);
            let answers = [&with, &without].map(|connection| {
                let answer = connection.execute_batch(&sql);
                answer.map_err(|error| error.to_string())
            });
            assert_eq!(answers[0], answers[1], "{what}: {sql}");
            let seen = rows(&with).unwrap();
            assert_eq!(seen, rows(&without).unwrap(), "{what}: {sql}");
            if with.is_autocommit() {
                committed = seen;
            }
            if random.below(6) == 0 {
                for storage in &storages {
                    let survivor = open(copy(storage), WITH, "FULL").unwrap();
                    assert_eq!(rows(&survivor).unwrap(), committed, "{what}: {sql}");
                    ensure_sound(&survivor, &what);
                }
            }
        }
        for connection in [with, without] {
            ensure_sound(&connection, &format!("seed {seed}"));
            drop(connection);
        }
        let [with, without] = storages.map(|storage| bytes(&storage, "db").unwrap());
        assert!(with == without, "seed {seed}: the files differ in the end");
    }
}

// --- Kills within a statement ----------------------------------------------------------------

/// Dies at a call that changes a file: a write is half done then, and nothing works any more.
struct Dying {
    inner: Rc<MemoryStorage>,
    calls_left: Rc<Cell<u32>>,
}

struct DyingFile {
    inner: Box<dyn RawFile>,
    calls_left: Rc<Cell<u32>>,
}

fn dead() -> VfsError {
    VfsError::new(VfsErrorCode::Io, "the owner is dead".into())
}

impl DyingFile {
    /// Whether this call is the last one.
    fn call(&self) -> VfsResult<bool> {
        let left = self.calls_left.get();
        self.calls_left.set(left.saturating_sub(1));
        match left {
            0 => Err(dead()),
            left => Ok(left == 1),
        }
    }

    fn done_unless_dying(is_dying: bool) -> VfsResult<()> {
        if is_dying { Err(dead()) } else { Ok(()) }
    }
}

impl RawFile for DyingFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.inner.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let is_dying = self.call()?;
        let arriving = if is_dying {
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        self.inner.write_at(arriving, offset_bytes)?;
        Self::done_unless_dying(is_dying)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        let is_dying = self.call()?;
        self.inner.truncate(size_bytes)?;
        Self::done_unless_dying(is_dying)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        let is_dying = self.call()?;
        self.inner.sync(data_only)?;
        Self::done_unless_dying(is_dying)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.inner.size_bytes()
    }
}

impl Storage for Dying {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        Ok(Box::new(DyingFile {
            inner: self.inner.open(path, mode)?,
            calls_left: Rc::clone(&self.calls_left),
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        if self.calls_left.get() == 0 {
            return Err(dead());
        }
        self.inner.delete(path, sync_directory)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.inner.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.inner.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        &SystemOs
    }
}

#[test]
fn a_kill_within_a_statement_leaves_all_of_it_or_nothing() {
    let mut killed_within_a_commit = 0;
    for seed in 1..=150 {
        let mut random = Random(seed);
        let inner = Rc::new(MemoryStorage::new());
        let calls_left = Rc::new(Cell::new(u32::MAX));
        let dying = Dying {
            inner: Rc::clone(&inner),
            calls_left: Rc::clone(&calls_left),
        };
        let connection = open(dying, WITH, ["NORMAL", "FULL"][usize::from(seed % 2 == 0)]).unwrap();
        // Lives on, to tell what the last statement would have become.
        let shadow = open(MemoryStorage::new(), WITHOUT, "OFF").unwrap();
        calls_left.set(u32::try_from(1 + random.below(150)).unwrap());
        let (mut committed, mut possible) = (Rows::new(), Rows::new());
        for _ in 0..200 {
            let sql = statement(&mut random);
            let _ = connection.execute_batch(&sql);
            let _ = shadow.execute_batch(&sql);
            if shadow.is_autocommit() {
                possible = rows(&shadow).unwrap();
            }
            if calls_left.get() == 0 {
                break;
            }
            committed.clone_from(&possible);
        }
        let survivor = open(copy(&inner), WITH, "FULL").unwrap();
        let seen = rows(&survivor).unwrap();
        let what = format!("seed {seed}");
        ensure_sound(&survivor, &what);
        killed_within_a_commit += u32::from(possible != committed);
        assert!(
            seen == committed || seen == possible,
            "{what}: {} rows survived; {} were committed",
            seen.len(),
            committed.len()
        );
    }
    assert!(killed_within_a_commit > 0, "no kill came within a commit");
}
