//! The VFS over `node:fs`: in Node only, on real files.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

use chatstore::vfs::conformance::Place;
use chatstore::vfs::{NodeStorage, OpenMode, Storage, Vfs};
use js_sys::{Function, Object, Reflect};
use rsqlite_vfs::VfsErrorCode;
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

chatstore::vfs_conformance!(wasm_bindgen_test::wasm_bindgen_test, place());

const CREATE: OpenMode = OpenMode {
    create: true,
    exclusive: false,
    read_only: false,
    main_database: true,
};

/// An empty directory, removed with the place.
struct Directory(String);

impl Directory {
    fn new() -> Self {
        let make = Function::new_with_args(
            "fs",
            "return fs.mkdtempSync(process.getBuiltinModule('node:os').tmpdir() + '/chatstore-')",
        );
        Self(
            make.call1(&JsValue::NULL, &node_fs())
                .unwrap()
                .as_string()
                .unwrap(),
        )
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let remove = Function::new_with_args("fs, path", "fs.rmSync(path, { recursive: true })");
        remove
            .call2(&JsValue::NULL, &node_fs(), &self.0.as_str().into())
            .unwrap();
    }
}

fn node_fs() -> JsValue {
    let module = Function::new_no_args("return process.getBuiltinModule('node:fs')");
    module.call0(&JsValue::NULL).unwrap()
}

fn place() -> Place {
    let directory = Directory::new();
    Place::new(NodeStorage::new(node_fs()))
        .in_directory(directory.path(""))
        .keeping(directory)
}

/// `node:fs` with some functions replaced by the given JavaScript, which sees it as `fs`.
fn tampered_fs(replacements: &str) -> JsValue {
    let body = format!("return {{ ...fs, {replacements} }}");
    Function::new_with_args("fs", &body)
        .call1(&JsValue::NULL, &node_fs())
        .unwrap()
}

/// An error as Node throws it.
const FAIL: &str =
    "fail(code, errno) { throw Object.assign(new Error('told by the test'), { code, errno }) }";

#[wasm_bindgen_test]
fn times_and_identities_are_kept() {
    let directory = Directory::new();
    let storage = NodeStorage::new(node_fs());
    let path = directory.path("file");
    let mut file = storage.open(&path, CREATE).unwrap();
    for modified_ms in [0, 1, 999, 1_790_000_000_123, 1_790_000_000_999] {
        assert!(file.set_modified_ms(modified_ms).unwrap(), "{modified_ms}");
        assert_eq!(storage.modified_ms(&path).unwrap(), Some(modified_ms));
    }
    let identity = storage.identity(&path).unwrap();
    assert!(identity.is_some());
    storage.delete(&path, false).unwrap();
    assert_eq!(storage.identity(&path).unwrap(), None);
    assert_eq!(storage.modified_ms(&path).unwrap(), None);
    let _successor = storage.open(&path, CREATE).unwrap();
    // The old file is still open, so its inode is not free for the new one.
    assert_ne!(storage.identity(&path).unwrap(), identity);
}

#[wasm_bindgen_test]
fn reads_and_writes_in_small_pieces_are_continued() {
    let directory = Directory::new();
    let fs = tampered_fs(
        "readSync: (fd, buffer, offset, length, position) => fs.readSync(fd, buffer, offset, Math.min(length, 3), position),
         writeSync: (fd, buffer, offset, length, position) => fs.writeSync(fd, buffer, offset, Math.min(length, 5), position)",
    );
    let mut file = NodeStorage::new(fs)
        .open(&directory.path("file"), CREATE)
        .unwrap();
    let bytes: Vec<u8> = (0..100).collect();
    file.write_at(&bytes, 7).unwrap();
    let mut read = [0; 107];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 107);
    assert_eq!(read[..7], [0; 7]);
    assert_eq!(read[7..], bytes);
}

#[wasm_bindgen_test]
fn absurd_counts_and_sizes_are_io_errors() {
    for absurd in ["NaN", "-1", "1.5", "1e300", "0xFFFFFFF8", "undefined"] {
        let directory = Directory::new();
        let fs = tampered_fs(&format!(
            "readSync: () => {absurd}, writeSync: () => {absurd}, fstatSync: () => ({{ size: {absurd} }})"
        ));
        let mut file = NodeStorage::new(fs)
            .open(&directory.path("file"), CREATE)
            .unwrap();
        let read = file.read_at(&mut [0; 4], 0).unwrap_err();
        assert_eq!(read.code(), VfsErrorCode::IoRead, "{absurd}");
        let written = file.write_at(&[0; 4], 0).unwrap_err();
        assert_eq!(written.code(), VfsErrorCode::IoWrite, "{absurd}");
        if absurd != "0xFFFFFFF8" {
            let size = file.size_bytes().unwrap_err();
            assert_eq!(size.code(), VfsErrorCode::IoStat, "{absurd}");
        }
    }
}

#[wasm_bindgen_test]
fn a_write_that_makes_no_progress_ends() {
    let directory = Directory::new();
    let fs = tampered_fs("writeSync: () => 0");
    let mut file = NodeStorage::new(fs)
        .open(&directory.path("file"), CREATE)
        .unwrap();
    assert_eq!(
        file.write_at(&[1], 0).unwrap_err().code(),
        VfsErrorCode::IoWrite
    );
}

#[wasm_bindgen_test]
fn positions_beyond_the_safe_integers_are_refused() {
    let directory = Directory::new();
    let mut file = NodeStorage::new(node_fs())
        .open(&directory.path("file"), CREATE)
        .unwrap();
    let unsafe_integer = 1 << 53;
    assert_eq!(
        file.write_at(&[1], unsafe_integer).unwrap_err().code(),
        VfsErrorCode::Full
    );
    assert_eq!(
        file.read_at(&mut [0], unsafe_integer).unwrap_err().code(),
        VfsErrorCode::IoRead
    );
    assert_eq!(
        file.truncate(unsafe_integer).unwrap_err().code(),
        VfsErrorCode::IoTruncate
    );
}

#[wasm_bindgen_test]
fn a_full_disk_is_told_as_full_with_its_name() {
    for name in ["ENOSPC", "EDQUOT"] {
        let directory = Directory::new();
        let fs = tampered_fs(&format!(
            "{FAIL}, writeSync() {{ this.fail('{name}', -28) }}"
        ));
        let mut file = NodeStorage::new(fs)
            .open(&directory.path("file"), CREATE)
            .unwrap();
        let error = file.write_at(&[1], 0).unwrap_err();
        assert_eq!(error.code(), VfsErrorCode::Full);
        assert!(error.message().contains(name), "{error}");
        assert_eq!(error.system_error().map(|number| number.as_raw()), Some(28));
    }
}

#[wasm_bindgen_test]
fn a_full_disk_reaches_the_caller_of_sqlite() {
    let directory = Directory::new();
    let fs = tampered_fs(&format!(
        "{FAIL}, writeSync(...all) {{ if (this.full) this.fail('ENOSPC', -28); return fs.writeSync(...all) }}"
    ));
    let vfs = Vfs::register(NodeStorage::new(fs.clone())).unwrap();
    let connection = vfs
        .connect(&directory.path("db"), Default::default())
        .unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    Reflect::set(&fs, &"full".into(), &JsValue::TRUE).unwrap();
    let refused = connection
        .execute_batch("INSERT INTO t VALUES (1)")
        .unwrap_err();
    assert_eq!(
        refused.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DiskFull)
    );
    let cause = vfs.last_error().unwrap();
    assert!(cause.message().contains("ENOSPC"), "{cause}");
    Reflect::set(&fs, &"full".into(), &JsValue::FALSE).unwrap();
    connection
        .execute_batch("INSERT INTO t VALUES (1)")
        .unwrap();
}

#[wasm_bindgen_test]
fn a_file_that_may_not_be_written_opens_for_reading() {
    let directory = Directory::new();
    let path = directory.path("db");
    let vfs = Vfs::register(NodeStorage::new(node_fs())).unwrap();
    vfs.connect(&path, Default::default())
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    for name in ["EACCES", "EPERM", "EROFS"] {
        let fs = tampered_fs(&format!(
            "{FAIL}, openSync(path, flags) {{ if (flags !== 'r') this.fail('{name}', -13); return fs.openSync(path, flags) }}"
        ));
        let vfs = Vfs::register(NodeStorage::new(fs)).unwrap();
        let connection = vfs.connect(&path, Default::default()).unwrap();
        let refused = connection
            .execute_batch("INSERT INTO t VALUES (1)")
            .unwrap_err();
        assert_eq!(
            refused.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ReadOnly)
        );

        let missing = vfs
            .connect(&directory.path("missing"), Default::default())
            .unwrap_err();
        assert_eq!(
            missing.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ReadOnly)
        );
        let cause = vfs.last_error().unwrap();
        assert!(cause.message().contains(name), "{cause}");
    }
}

#[wasm_bindgen_test]
fn a_directory_that_cannot_be_synced_is_ignored_and_a_failed_sync_is_not() {
    let directory = Directory::new();
    let path = directory.path("file");
    for name in ["EISDIR", "EPERM", "EINVAL"] {
        let fs = tampered_fs(&format!(
            "{FAIL}, fsyncSync() {{ this.fail('{name}', -22) }}"
        ));
        NodeStorage::new(fs).sync_directory(&path).unwrap();
        let fs = tampered_fs(&format!(
            "{FAIL}, openSync() {{ this.fail('{name}', -22) }}"
        ));
        NodeStorage::new(fs).sync_directory(&path).unwrap();
    }
    let fs = tampered_fs(&format!("{FAIL}, fsyncSync() {{ this.fail('EIO', -5) }}"));
    let error = NodeStorage::new(fs).sync_directory(&path).unwrap_err();
    assert_eq!(error.code(), VfsErrorCode::IoDirectorySync);
}

#[wasm_bindgen_test]
fn a_failed_sync_fails_the_commit() {
    let directory = Directory::new();
    let fs = tampered_fs(&format!(
        "{FAIL}, fdatasyncSync() {{ this.fail('EIO', -5) }}, fsyncSync() {{ this.fail('EIO', -5) }}"
    ));
    let vfs = Vfs::register(NodeStorage::new(fs)).unwrap();
    let connection = vfs
        .connect(&directory.path("db"), Default::default())
        .unwrap();
    let refused = connection.execute_batch("CREATE TABLE t (x)").unwrap_err();
    assert_eq!(
        refused.sqlite_error_code(),
        Some(rusqlite::ErrorCode::SystemIoFailure)
    );
    let cause = vfs.last_error().unwrap();
    assert!(cause.message().contains("EIO"), "{cause}");
}

#[wasm_bindgen_test]
fn data_only_syncs_use_the_cheaper_call() {
    let directory = Directory::new();
    let fs = tampered_fs(
        "calls: [], fsyncSync(fd) { this.calls.push('all') }, fdatasyncSync(fd) { this.calls.push('data') }",
    );
    let mut file = NodeStorage::new(fs.clone())
        .open(&directory.path("file"), CREATE)
        .unwrap();
    file.sync(true).unwrap();
    file.sync(false).unwrap();
    let calls = Reflect::get(&fs, &"calls".into()).unwrap();
    assert_eq!(js_sys::Array::from(&calls).join(" "), "data all");
}

#[wasm_bindgen_test]
fn every_descriptor_is_closed() {
    let directory = Directory::new();
    let fs = tampered_fs(
        "open: 0, openSync(...all) { const fd = fs.openSync(...all); this.open++; return fd },
         closeSync(fd) { fs.closeSync(fd); this.open-- }",
    );
    let vfs = Vfs::register(NodeStorage::new(fs.clone())).unwrap();
    let connection = vfs
        .connect(&directory.path("db"), Default::default())
        .unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        .unwrap();
    let open = || Reflect::get(&fs, &"open".into()).unwrap().as_f64();
    assert_eq!(open(), Some(2.0), "the database and its WAL");
    drop(connection);
    assert_eq!(open(), Some(0.0));
}

#[wasm_bindgen_test]
fn links_and_relative_paths_are_resolved() {
    let directory = Directory::new();
    let link = Function::new_with_args(
        "fs, directory",
        "fs.mkdirSync(directory + '/real'); fs.symlinkSync(directory + '/real', directory + '/link')",
    );
    link.call2(&JsValue::NULL, &node_fs(), &directory.0.as_str().into())
        .unwrap();
    let storage = NodeStorage::new(node_fs());
    let real = storage.full_path(&directory.path("real")).unwrap();
    assert_eq!(
        storage.full_path(&directory.path("link/new.db")).unwrap(),
        format!("{real}/new.db")
    );
    assert_eq!(
        storage
            .full_path(&directory.path("link/../real/./new.db"))
            .unwrap(),
        format!("{real}/new.db")
    );
    let relative = storage.full_path("new.db").unwrap();
    assert!(
        relative.starts_with('/') && relative.ends_with("/new.db"),
        "{relative}"
    );
    let missing = storage
        .full_path(&directory.path("nowhere/new.db"))
        .unwrap_err();
    assert_eq!(missing.code(), VfsErrorCode::CantOpen);
    assert!(missing.message().contains("ENOENT"), "{missing}");
    assert!(storage.full_path(&directory.path("nowhere/")).is_err());
}

#[wasm_bindgen_test]
fn a_directory_is_no_file() {
    let directory = Directory::new();
    let storage = NodeStorage::new(node_fs());
    let read_only = OpenMode {
        read_only: true,
        ..OpenMode::default()
    };
    for mode in [CREATE, read_only] {
        let refused = storage.open(&directory.0, mode).map(drop).unwrap_err();
        assert_eq!(refused.code(), VfsErrorCode::CantOpen);
        assert!(refused.message().contains("EISDIR"), "{refused}");
    }
}

#[wasm_bindgen_test]
fn answers_of_the_wrong_type_are_errors_and_no_trap() {
    for nonsense in ["undefined", "null", "({})", "'text'", "NaN"] {
        let fs = tampered_fs(&format!(
            "openSync: () => 3, closeSync: () => {nonsense}, fstatSync: () => {nonsense}, \
             realpathSync: () => {nonsense}, readSync: () => {nonsense}, statSync: () => {nonsense}"
        ));
        let storage = NodeStorage::new(fs);
        let mut file = storage.open("/tmp/none", CREATE).unwrap();
        assert_eq!(
            file.size_bytes().unwrap_err().code(),
            VfsErrorCode::IoStat,
            "{nonsense}"
        );
        assert!(
            file.read_at(&mut [0; 4], 0)
                .is_err_and(|error| error.code() == VfsErrorCode::IoRead)
                || nonsense == "null",
            "{nonsense}"
        );
        if nonsense != "'text'" {
            assert!(storage.full_path("/tmp/none").is_err(), "{nonsense}");
        }
        drop(file);
    }
}

#[wasm_bindgen_test]
fn an_object_that_is_no_file_system_is_an_error_and_no_trap() {
    let vfs = Vfs::register(NodeStorage::new(Object::new().into())).unwrap();
    let refused = vfs.connect("/tmp/db", Default::default()).unwrap_err();
    assert_eq!(
        refused.sqlite_error_code(),
        Some(rusqlite::ErrorCode::CannotOpen)
    );
    let vfs = Vfs::register(NodeStorage::new(JsValue::UNDEFINED)).unwrap();
    assert!(vfs.connect("/tmp/db", Default::default()).is_err());
}
