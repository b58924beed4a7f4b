//! Who may use a VFS, and how long it lasts: threads, panics, connections moved out.

#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

use std::cell::Cell;
use std::rc::Rc;

use chatstore::vfs::{MemoryStorage, OpenMode, RawFile, Storage, Vfs};
use rsqlite_vfs::{OsCallback, VfsResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
}

#[test]
fn a_vfs_lasts_as_long_as_its_connections() {
    let vfs = Vfs::register(MemoryStorage::new()).unwrap();
    let connection = vfs.connect("db", OpenFlags::default()).unwrap();
    let watch = Rc::downgrade(&vfs);
    drop(vfs);
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    assert_eq!(
        connection.vfs().last_error().map(|error| error.raw_code()),
        None
    );
    drop(connection);
    assert!(watch.upgrade().is_none());
}

#[test]
fn many_vfss_have_names_and_files_of_their_own() {
    let all: Vec<_> = (0..50)
        .map(|_| Vfs::register(MemoryStorage::new()).unwrap())
        .collect();
    let connections: Vec<_> = all
        .iter()
        .map(|vfs| vfs.connect("db", OpenFlags::default()).unwrap())
        .collect();
    for connection in &connections {
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        assert_eq!(count(connection).unwrap(), 0);
    }
}

#[test]
fn a_connection_moved_out_goes_on_after_its_vfs_is_dropped() {
    let vfs = Vfs::register(MemoryStorage::new()).unwrap();
    let mut connection = vfs.connect("db", OpenFlags::default()).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    let moved_out = std::mem::replace(&mut *connection, Connection::open_in_memory().unwrap());
    drop((connection, vfs));
    moved_out.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(count(&moved_out).unwrap(), 1);
}

#[test]
fn a_connection_moved_to_another_thread_gets_errors() {
    let vfs = Vfs::register(MemoryStorage::new()).unwrap();
    let mut connection = vfs.connect("db", OpenFlags::default()).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    let moved_out = std::mem::replace(&mut *connection, Connection::open_in_memory().unwrap());
    let refused = std::thread::spawn(move || {
        let refused = moved_out.execute_batch("INSERT INTO t VALUES (1)");
        drop(moved_out);
        refused
    })
    .join()
    .unwrap();
    assert_eq!(
        refused.unwrap_err().sqlite_error_code(),
        Some(ErrorCode::ApiMisuse)
    );
}

#[test]
fn a_path_is_a_path_and_no_uri() {
    let vfs = Vfs::register(MemoryStorage::new()).unwrap();
    for path in [":memory:", "file:db?mode=memory", "file::memory:"] {
        let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_MEMORY;
        let first = vfs.connect(path, flags).unwrap();
        first.execute_batch("CREATE TABLE t (x)").unwrap();
        let second = vfs.connect(path, flags).unwrap();
        assert_eq!(count(&second).unwrap(), 0, "{path:?} is not a file");
    }
    let refused = vfs.connect("", OpenFlags::default()).unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::CannotOpen));
}

/// Panics in the writes of its files while the switch is on.
struct Panicking {
    inner: MemoryStorage,
    switch: Rc<Cell<bool>>,
}

struct PanickingFile {
    inner: Box<dyn RawFile>,
    switch: Rc<Cell<bool>>,
}

impl Storage for Panicking {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        Ok(Box::new(PanickingFile {
            inner: self.inner.open(path, mode)?,
            switch: Rc::clone(&self.switch),
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.inner.delete(path, sync_directory)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.inner.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.inner.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        self.inner.os()
    }
}

impl RawFile for PanickingFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.inner.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        assert!(!self.switch.get(), "a panic of the storage");
        self.inner.write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.inner.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.inner.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.inner.size_bytes()
    }
}

#[test]
fn a_panic_of_the_storage_is_an_io_error_and_the_connection_goes_on() {
    let switch = Rc::new(Cell::new(false));
    let vfs = Vfs::register(Panicking {
        inner: MemoryStorage::new(),
        switch: Rc::clone(&switch),
    })
    .unwrap();
    let connection = vfs.connect("db", OpenFlags::default()).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    switch.set(true);
    let refused = connection
        .execute_batch("INSERT INTO t VALUES (1)")
        .unwrap_err();
    assert_eq!(
        refused.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure)
    );
    assert!(vfs.last_error().unwrap().message().contains("panicked"));
    switch.set(false);
    connection
        .execute_batch("INSERT INTO t VALUES (1)")
        .unwrap();
    assert_eq!(count(&connection).unwrap(), 1);
}
