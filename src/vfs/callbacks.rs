//! The C edge: SQLite's callback tables for a [`Store`].
//!
//! `rsqlite_vfs` supplies the callbacks of plain files; the four for the WAL
//! index are ours. None of them unwinds: everything that could panic runs inside
//! the guard of `instance.rs`.

use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use rsqlite_vfs::ffi::{SQLITE_OK, sqlite3_file, sqlite3_io_methods};
use rsqlite_vfs::{
    RegisterVfsError, SQLiteIoMethods, SQLiteVfs, SQLiteVfsFile, VfsAppData, VfsRegistration,
    VfsResult, VfsStore, register_vfs,
};

use super::instance::{FileHandle, Instance, Store};

struct IoMethods;

impl SQLiteIoMethods for IoMethods {
    type Store = Store;

    const VERSION: c_int = 2;

    const METHODS: sqlite3_io_methods = sqlite3_io_methods {
        iVersion: Self::VERSION,
        xClose: Some(Self::xClose),
        xRead: Some(Self::xRead),
        xWrite: Some(Self::xWrite),
        xTruncate: Some(Self::xTruncate),
        xSync: Some(Self::xSync),
        xFileSize: Some(Self::xFileSize),
        xLock: Some(Self::xLock),
        xUnlock: Some(Self::xUnlock),
        xCheckReservedLock: Some(Self::xCheckReservedLock),
        // Size hints go to the file, all else is SQLITE_NOTFOUND.
        xFileControl: Some(Self::xFileControl),
        xSectorSize: Some(Self::xSectorSize),
        xDeviceCharacteristics: Some(Self::xDeviceCharacteristics),
        xShmMap: Some(shm_map),
        xShmLock: Some(shm_lock),
        xShmBarrier: Some(shm_barrier),
        xShmUnmap: Some(shm_unmap),
        xFetch: None,
        xUnfetch: None,
    };
}

struct VfsMethods;

impl SQLiteVfs<IoMethods> for VfsMethods {
    type Os = Instance;

    const MAX_PATH_SIZE: c_int = 4096;

    fn os(instance: &Rc<Instance>) -> &Instance {
        instance
    }
}

/// Registers an instance under a name that no other VFS has.
pub(super) fn register(
    name: &str,
    instance: Rc<Instance>,
) -> Result<VfsRegistration<Rc<Instance>>, RegisterVfsError> {
    // SAFETY: the tables above agree on file type, layout and versions; the
    // instance is owned by the registration until it is unregistered; nobody
    // else registers this name, and the callbacks refuse foreign threads.
    unsafe { register_vfs::<IoMethods, VfsMethods>(name, instance, false) }
}

/// The handle behind an open file of this VFS.
///
/// # Safety
///
/// `file` is open and was opened by this VFS; no other reference to its handle
/// is in use. SQLite calls a file's methods one at a time.
unsafe fn handle<'a>(file: *mut sqlite3_file) -> &'a FileHandle {
    // SAFETY: the caller's promise; `IoMethods` opens every file as a `FileHandle`.
    unsafe { (*SQLiteVfsFile::from_file(file)).handle::<FileHandle>() }
}

/// Keeps the error for `last_error` and gives SQLite its code.
///
/// # Safety
///
/// As for [`handle`].
unsafe fn result_code(file: *mut sqlite3_file, result: VfsResult<()>) -> c_int {
    match result {
        Ok(()) => SQLITE_OK,
        Err(error) => {
            let code = error.raw_code();
            // SAFETY: an open file's VFS and its data are alive, and the data is of this type.
            let instance =
                unsafe { VfsAppData::<Rc<Instance>>::get((*SQLiteVfsFile::from_file(file)).vfs()) };
            Store::record_error(instance, error);
            code
        }
    }
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size_bytes: c_int,
    extend: c_int,
    address: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite passes an open file of this VFS and a place for the address.
    unsafe {
        *address = null_mut();
        let mapped = handle(file).map_wal_index(region, size_bytes, extend != 0);
        result_code(
            file,
            mapped.map(|start| {
                *address = start.map_or(null_mut(), |start: NonNull<u8>| start.as_ptr().cast());
            }),
        )
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite passes an open file of this VFS.
    unsafe { result_code(file, handle(file).lock_wal_index(first, count, flags)) }
}

unsafe extern "C" fn shm_barrier(_file: *mut sqlite3_file) {
    fence(Ordering::SeqCst);
}

/// Whether SQLite wants the index deleted does not matter: it ends with its last user.
unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: SQLite passes an open file of this VFS.
    unsafe { result_code(file, handle(file).unmap_wal_index()) }
}
