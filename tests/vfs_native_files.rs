//! What only the native storage has: locks of the system, processes, links, errors of the system.

#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use chatstore::vfs::{NativeStorage, OpenMode, RawFile, Storage, SystemOs, Vfs};
use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};
use rusqlite::{ErrorCode, OpenFlags};
use tempfile::TempDir;

const CREATE: OpenMode = OpenMode {
    create: true,
    exclusive: false,
    read_only: false,
    main_database: true,
};

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().into()
}

fn vfs() -> Rc<Vfs> {
    Vfs::register(NativeStorage::new()).unwrap()
}

#[test]
fn a_second_vfs_is_refused_until_the_first_lets_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "db");
    let (first, second) = (vfs(), vfs());
    let owner = first.connect(&path, OpenFlags::default()).unwrap();
    owner.execute_batch("CREATE TABLE t (x)").unwrap();

    for flags in [OpenFlags::default(), OpenFlags::SQLITE_OPEN_READ_ONLY] {
        let refused = second.connect(&path, flags).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        let cause = second.last_error().unwrap();
        assert_eq!(cause.code(), VfsErrorCode::Busy);
        assert!(cause.message().contains("open elsewhere"), "{cause}");
    }

    let also_owner = first.connect(&path, OpenFlags::default()).unwrap();
    drop(owner);
    assert!(second.connect(&path, OpenFlags::default()).is_err());
    drop(also_owner);
    second.connect(&path, OpenFlags::default()).unwrap();
}

/// The child half of the tests below: opens the database of the environment, says
/// what came of it, and holds it until its input ends.
#[test]
#[ignore = "is run as a child process by the tests below"]
fn child_process() {
    let path = std::env::var("VFS_TEST_DATABASE").unwrap();
    let opened = vfs().connect(&path, OpenFlags::default());
    match &opened {
        Ok(connection) => {
            connection
                .execute_batch(
                    "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (x);
                     INSERT INTO t VALUES (1)",
                )
                .unwrap();
            println!("\nchild: open");
        }
        Err(error) => println!("\nchild: {:?}", error.sqlite_error_code().unwrap()),
    }
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Starts a child on `path` and gives what it says.
fn start_child(path: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--ignored", "--nocapture"])
        .env("VFS_TEST_DATABASE", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap())
        .find_map(|line| line.strip_prefix("child: ").map(str::to_owned))
        .expect("the child says what came of it");
    (child, said)
}

#[test]
fn another_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "db");
    let vfs = vfs();
    let owner = vfs.connect(&path, OpenFlags::default()).unwrap();
    let (mut child, said) = start_child(&path);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said, "DatabaseBusy");
    drop(owner);
}

#[test]
fn a_killed_process_leaves_no_lock_and_its_commits() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "db");
    for commits in 1..=3 {
        let (mut child, said) = start_child(&path);
        assert_eq!(said, "open");
        let refused = vfs().connect(&path, OpenFlags::default()).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));

        child.kill().unwrap();
        child.wait().unwrap();
        let connection = vfs().connect(&path, OpenFlags::default()).unwrap();
        let rows: i64 = connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, commits);
    }
}

#[cfg(unix)]
#[test]
fn links_and_relative_paths_are_one_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", directory.path().join("link")).unwrap();
    let vfs = vfs();
    let first = vfs
        .connect(&path(&directory, "real/db"), OpenFlags::default())
        .unwrap();
    first.execute_batch("CREATE TABLE t (x)").unwrap();
    let second = vfs
        .connect(&path(&directory, "link/../link/db"), OpenFlags::default())
        .unwrap();
    second.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    std::os::unix::fs::symlink("real/db", directory.path().join("file-link")).unwrap();
    let third = vfs
        .connect(&path(&directory, "file-link"), OpenFlags::default())
        .unwrap();
    third.execute_batch("INSERT INTO t VALUES (2)").unwrap();

    let storage = NativeStorage::new();
    let relative = storage.full_path("new.db").unwrap();
    let current = std::env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(relative, current.join("new.db").to_str().unwrap());
    assert!(storage.full_path(&path(&directory, "nowhere/db")).is_err());
    assert!(
        storage
            .full_path("..")
            .is_ok_and(|parent| parent == current.parent().unwrap().to_str().unwrap())
    );
}

#[test]
fn times_and_identities_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let storage = NativeStorage::new();
    let path = path(&directory, "file");
    let mut file = storage.open(&path, CREATE).unwrap();
    for modified_ms in [0, 1, 999, 1_790_000_000_123, 1_790_000_000_999] {
        assert!(file.set_modified_ms(modified_ms).unwrap(), "{modified_ms}");
        assert_eq!(storage.modified_ms(&path).unwrap(), Some(modified_ms));
    }
    let identity = storage.identity(&path).unwrap();
    assert!(identity.is_some() || cfg!(not(unix)));
    storage.delete(&path, false).unwrap();
    assert_eq!(storage.identity(&path).unwrap(), None);
    assert_eq!(storage.modified_ms(&path).unwrap(), None);
    let _successor = storage.open(&path, CREATE).unwrap();
    // The old file is still open, so its inode is not free for the new one.
    assert!(identity.is_none() || storage.identity(&path).unwrap() != identity);
}

#[test]
fn a_directory_is_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let storage = NativeStorage::new();
    let path = directory.path().to_str().unwrap();
    let read_only = OpenMode {
        read_only: true,
        ..OpenMode::default()
    };
    for mode in [CREATE, read_only] {
        let refused = storage.open(path, mode).map(drop).unwrap_err();
        assert_eq!(refused.code(), VfsErrorCode::CantOpen);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_told_as_full_with_its_number() {
    const ENOSPC: i32 = 28;
    let mut device = NativeStorage::new()
        .open("/dev/full", OpenMode::default())
        .unwrap();
    let refused = device.write_at(b"x", 0).unwrap_err();
    assert_eq!(refused.code(), VfsErrorCode::Full);
    assert_eq!(
        refused.system_error().map(|number| number.as_raw()),
        Some(ENOSPC)
    );
    assert!(refused.message().contains("/dev/full"), "{refused}");
}

/// Lets nothing be opened for writing, as a file system mounted for reading.
struct ReadOnlyPlace(NativeStorage);

impl Storage for ReadOnlyPlace {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        if !mode.read_only {
            return Err(VfsError::new(
                VfsErrorCode::ReadOnly,
                "EROFS: told by the test".into(),
            ));
        }
        self.0.open(path, mode)
    }

    fn delete(&self, _path: &str, _sync_directory: bool) -> VfsResult<()> {
        Err(VfsError::new(VfsErrorCode::IoDelete, "EROFS".into()))
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.0.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.0.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        self.0.os()
    }
}

#[test]
fn a_file_that_may_not_be_written_opens_for_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "db");
    let made = vfs().connect(&path, OpenFlags::default()).unwrap();
    made.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        .unwrap();
    drop(made);

    let vfs = Vfs::register(ReadOnlyPlace(NativeStorage::new())).unwrap();
    let connection = vfs.connect(&path, OpenFlags::default()).unwrap();
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1);
    let refused = connection
        .execute_batch("INSERT INTO t VALUES (2)")
        .unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::ReadOnly));

    let missing = format!("{path}-not-there");
    let refused = vfs.connect(&missing, OpenFlags::default()).unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::ReadOnly));
    let cause = vfs.last_error().unwrap();
    assert!(cause.message().contains("EROFS"), "{cause}");
}

#[test]
fn a_file_written_here_opens_in_another_vfs_of_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "db");
    let writer = vfs().connect(&path, OpenFlags::default()).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES ('kept')",
        )
        .unwrap();
    drop(writer);
    let plain = rusqlite::Connection::open(&path).unwrap();
    let text: String = plain
        .query_row("SELECT x FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(text, "kept");
    let sound: String = plain
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn clock_and_randomness_are_the_systems() {
    let vfs = vfs();
    let year_2020_ms = 1_577_836_800_000;
    assert!(vfs.now_ms() > year_2020_ms);
    let (mut first, mut second) = ([0; 32], [0; 32]);
    vfs.fill_random(&mut first).unwrap();
    vfs.fill_random(&mut second).unwrap();
    assert_ne!(first, second);
    assert!(SystemOs.epoch_timestamp_in_ms().unwrap() >= vfs.now_ms() - 1_000_000);
}
