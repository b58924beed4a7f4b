//! One VFS from the inside: its storage and the files it has open.
//!
//! Each path is opened once in the storage and shared by all handles, because
//! some storages give one exclusive handle a file, and because locks and the WAL
//! index belong to the file, not to the handle. SQLite's C types stop at
//! `callbacks.rs`; this file knows only the typed requests of `rsqlite_vfs`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rsqlite_vfs::{
    AccessMode, DeviceCharacteristics, FileKind, LockLevel, OpenAccess, OpenOptions, OpenRequest,
    OpenedFile, OsCallback, SyncOptions, VfsError, VfsErrorCode, VfsFile, VfsResult, VfsStore,
};

use super::VfsOptions;
use super::checksum::PageChecks;
use super::disk::DiskFile;
use super::figures::Counter;
use super::locks::HandleId;
use super::memory::MemoryFile;
use super::shared_file::{Layered, SharedFile, layered};
use super::storage::{OpenMode, RawFile, Storage, refuse_write_if};
use super::wal_space::Unflushed;

/// What all callbacks of one registered VFS share.
pub(super) struct Instance {
    pub(super) storage: Box<dyn Storage>,
    pub(super) options: VfsOptions,
    pub(super) counter: Rc<Counter>,
    files: RefCell<BTreeMap<String, Weak<SharedFile>>>,
    /// The full paths of the names that SQLite has opened files by.
    full_paths: RefCell<BTreeMap<String, String>>,
    /// What is remembered of databases and of WALs, by path, beyond their closing.
    checks: RefCell<BTreeMap<String, Rc<PageChecks>>>,
    unflushed: RefCell<BTreeMap<String, Rc<Unflushed>>>,
    next_handle: Cell<HandleId>,
    last_error: RefCell<Option<VfsError>>,
    owner: usize,
}

impl Instance {
    pub fn new(storage: impl Storage, options: VfsOptions) -> Self {
        Self {
            storage: Box::new(storage),
            options,
            counter: Rc::default(),
            files: RefCell::default(),
            full_paths: RefCell::default(),
            checks: RefCell::default(),
            unflushed: RefCell::default(),
            next_handle: Cell::new(1),
            last_error: RefCell::default(),
            owner: this_thread(),
        }
    }

    /// Runs the Rust half of a callback so that neither a panic of the storage
    /// nor a call from a foreign thread gets further than an error code.
    pub(super) fn guarded<T>(
        &self,
        code: VfsErrorCode,
        action: impl FnOnce() -> VfsResult<T>,
    ) -> VfsResult<T> {
        if !self.is_owner() {
            return Err(foreign_thread());
        }
        catch_unwind(AssertUnwindSafe(action))
            .unwrap_or_else(|_| Err(VfsError::new(code, "the storage panicked".into())))
    }

    fn is_owner(&self) -> bool {
        self.owner == this_thread()
    }

    fn next_handle_id(&self) -> HandleId {
        let id = self.next_handle.get();
        self.next_handle.set(id + 1);
        id
    }

    /// The full path of a file, as SQLite has it where it has opened the file: asking the storage may
    /// take a call of the system for each directory on the way.
    pub fn full_path(&self, name: &str) -> VfsResult<String> {
        let known = self.full_paths.borrow().get(name).cloned();
        known.map_or_else(|| self.storage.full_path(name), Ok)
    }

    /// The file at a path, if it is open.
    pub fn open_file(&self, path: &str) -> Option<Rc<SharedFile>> {
        self.files.borrow().get(path).and_then(Weak::upgrade)
    }

    /// What is remembered of the pages of a database.
    pub fn checks(&self, path: &str) -> Rc<PageChecks> {
        Rc::clone(self.checks.borrow_mut().entry(path.into()).or_default())
    }

    /// What is remembered of the flushes of a WAL.
    pub fn unflushed(&self, path: &str) -> Rc<Unflushed> {
        Rc::clone(self.unflushed.borrow_mut().entry(path.into()).or_default())
    }

    /// The file at a path, opened where it is not open.
    pub fn open_named(&self, path: &str, options: OpenOptions) -> VfsResult<Rc<SharedFile>> {
        if let Some(file) = self.open_file(path) {
            if options.exclusive() {
                return Err(VfsError::new(
                    VfsErrorCode::CantOpen,
                    format!("the file {path:?} exists").into(),
                ));
            }
            return Ok(file);
        }
        let (raw, read_only) = self.open_raw(path, options)?;
        let layered = layered(self, raw, path, options.kind())?;
        let file = Rc::new(SharedFile::new(layered, read_only, Some(path.into())));
        self.files
            .borrow_mut()
            .insert(path.into(), Rc::downgrade(&file));
        Ok(file)
    }

    /// A file that is not open, for the moment and without what lies over files of its kind; nothing
    /// where it is for reading only.
    pub fn open_unshared(&self, path: &str, kind: FileKind) -> VfsResult<Option<Box<dyn RawFile>>> {
        let options = OpenOptions::new(OpenAccess::ReadWrite, kind);
        let (raw, read_only) = self.open_raw(path, options)?;
        let file = || Box::new(DiskFile::new(raw, Rc::clone(&self.counter))) as Box<dyn RawFile>;
        Ok((!read_only).then(file))
    }

    /// Opens for writing even where only reading is asked, since a handle that
    /// writes may share the file later; for reading where writing is denied.
    fn open_raw(&self, path: &str, options: OpenOptions) -> VfsResult<(Box<dyn RawFile>, bool)> {
        let writable = OpenMode {
            create: options.create(),
            exclusive: options.exclusive(),
            read_only: false,
            main_database: options.kind() == Some(FileKind::MainDb),
        };
        let opened = if !self.options.read_only {
            self.storage.open(path, writable)
        } else if writable.main_database || self.storage.exists(path)? {
            Err(read_only(path))
        } else {
            // A log that SQLite wants to have beside the database.
            return Ok((Box::new(MemoryFile::default()), false));
        };
        let denied = match opened {
            Ok(raw) => return Ok((raw, false)),
            Err(error) if error.code() == VfsErrorCode::ReadOnly && !options.exclusive() => error,
            Err(error) => return Err(error),
        };
        let readable = OpenMode {
            read_only: true,
            main_database: writable.main_database,
            ..OpenMode::default()
        };
        match self.storage.open(path, readable) {
            Ok(raw) => Ok((raw, true)),
            Err(error) if error.code() == VfsErrorCode::Busy => Err(error),
            Err(_) => Err(denied),
        }
    }

    /// Ends one use of a file: the last one closes it.
    pub fn let_go(&self, path: &str, file: Rc<SharedFile>) {
        let is_current = self.is_current(path, &file);
        let is_last = Rc::strong_count(&file) == 1;
        drop(file);
        if is_current && is_last {
            self.forget(path);
        }
    }

    /// Not so where a file of the same name has taken the place of a deleted one.
    fn is_current(&self, path: &str, file: &Rc<SharedFile>) -> bool {
        self.files
            .borrow()
            .get(path)
            .is_some_and(|current| std::ptr::eq(current.as_ptr(), Rc::as_ptr(file)))
    }

    fn forget(&self, path: &str) {
        self.files.borrow_mut().remove(path);
    }
}

/// The clock and randomness of the storage, for the owner's thread.
impl OsCallback for Instance {
    fn sleep(&self, duration: Duration) {
        let _ = self.guarded(VfsErrorCode::Error, || {
            self.storage.os().sleep(duration);
            Ok(())
        });
    }

    fn random(&self, buffer: &mut [u8]) -> usize {
        self.guarded(VfsErrorCode::Error, || Ok(self.storage.os().random(buffer)))
            .unwrap_or(0)
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        self.guarded(VfsErrorCode::Error, || {
            self.storage.os().epoch_timestamp_in_ms()
        })
    }
}

/// One file handle of SQLite: a connection's view of a [`SharedFile`].
pub(super) struct FileHandle {
    instance: Rc<Instance>,
    file: Rc<SharedFile>,
    id: HandleId,
    read_only: bool,
}

impl FileHandle {
    fn with_raw<T>(
        &self,
        code: VfsErrorCode,
        action: impl FnOnce(&mut dyn RawFile) -> VfsResult<T>,
    ) -> VfsResult<T> {
        self.instance
            .guarded(code, || self.file.with_raw(code, action))
    }

    /// See [`WalIndex::map`].
    pub fn map_wal_index(
        &self,
        region: i32,
        size_bytes: i32,
        extend: bool,
    ) -> VfsResult<Option<NonNull<u8>>> {
        self.instance.guarded(VfsErrorCode::Io, || {
            let mut wal_index = self.file.wal_index.borrow_mut();
            wal_index.map(self.id, region, size_bytes, extend)
        })
    }

    /// See [`WalIndex::lock`].
    pub fn lock_wal_index(&self, first: i32, count: i32, flags: i32) -> VfsResult<()> {
        self.instance.guarded(VfsErrorCode::Io, || {
            self.file.lock_wal_index(self.id, first, count, flags)
        })
    }

    /// See [`WalIndex::unmap`].
    pub fn unmap_wal_index(&self) -> VfsResult<()> {
        self.instance.guarded(VfsErrorCode::Io, || {
            self.file.wal_index.borrow_mut().unmap(self.id);
            Ok(())
        })
    }
}

impl VfsFile for FileHandle {
    fn device_characteristics(&self) -> DeviceCharacteristics {
        // A write torn by a power loss does not touch bytes beside it. True of the
        // file systems in use, and it keeps SQLite from padding each WAL commit.
        DeviceCharacteristics::POWERSAFE_OVERWRITE
    }

    fn read(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        ensure_in_range(offset_bytes, buffer.len(), VfsErrorCode::IoRead)?;
        self.with_raw(VfsErrorCode::IoRead, |raw| {
            raw.read_at(buffer, offset_bytes)
        })
    }

    fn write(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        refuse_write_if(self.read_only)?;
        ensure_in_range(offset_bytes, bytes.len(), VfsErrorCode::Full)?;
        self.with_raw(VfsErrorCode::IoWrite, |raw| {
            raw.write_at(bytes, offset_bytes)
        })
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        refuse_write_if(self.read_only)?;
        self.with_raw(VfsErrorCode::IoTruncate, |raw| {
            if size_bytes > raw.size_bytes()? {
                return Err(VfsError::new(
                    VfsErrorCode::IoTruncate,
                    "truncating does not make a file longer".into(),
                ));
            }
            raw.truncate(size_bytes)
        })
    }

    fn sync(&mut self, options: SyncOptions) -> VfsResult<()> {
        self.instance.guarded(VfsErrorCode::IoSync, || {
            self.file.sync(&self.instance, options.data_only)
        })
    }

    fn size(&self) -> VfsResult<u64> {
        self.with_raw(VfsErrorCode::IoStat, |raw| raw.size_bytes())
    }

    fn lock(&mut self, level: LockLevel) -> VfsResult<()> {
        self.instance.guarded(VfsErrorCode::IoLock, || {
            self.file.locks.borrow_mut().lock(self.id, level)
        })
    }

    fn unlock(&mut self, level: LockLevel) -> VfsResult<()> {
        self.instance.guarded(VfsErrorCode::IoUnlock, || {
            self.file.locks.borrow_mut().unlock(self.id, level)
        })
    }

    fn check_reserved_lock(&self) -> VfsResult<bool> {
        self.instance
            .guarded(VfsErrorCode::IoCheckReservedLock, || {
                Ok(self.file.locks.borrow().is_reserved())
            })
    }
}

/// The typed side of the VFS's name space.
pub(super) struct Store;

impl VfsStore for Store {
    type File = FileHandle;
    type AppData = Rc<Instance>;

    fn record_error(instance: &Rc<Instance>, error: VfsError) {
        // Two "errors" that SQLite expects in good health say nothing about a cause.
        let expected = matches!(
            error.code(),
            VfsErrorCode::IoShortRead | VfsErrorCode::IoDeleteNoEntry
        );
        if instance.is_owner() && !expected {
            instance.last_error.replace(Some(error));
        }
    }

    fn last_error(instance: &Rc<Instance>) -> Option<VfsError> {
        if instance.is_owner() {
            instance.last_error.borrow().clone()
        } else {
            None
        }
    }

    fn open_file(
        instance: &Rc<Instance>,
        request: OpenRequest<'_>,
    ) -> VfsResult<OpenedFile<FileHandle>> {
        let options = request.options;
        instance.guarded(VfsErrorCode::CantOpen, || {
            let file = match request.filename {
                Some(name) => {
                    let path = name.path();
                    if options.kind() == Some(FileKind::Wal) && instance.open_file(path).is_none() {
                        // What is found counts: it is for who comes before to cut it.
                        instance.unflushed(path).reset();
                    }
                    instance.open_named(path, options)?
                }
                None => Rc::new(SharedFile::new(
                    Layered::plain(MemoryFile::default()),
                    false,
                    None,
                )),
            };
            let read_only = file.read_only || options.access() == OpenAccess::ReadOnly;
            Ok(OpenedFile {
                access: if read_only {
                    OpenAccess::ReadOnly
                } else {
                    OpenAccess::ReadWrite
                },
                file: FileHandle {
                    instance: Rc::clone(instance),
                    file,
                    id: instance.next_handle_id(),
                    read_only,
                },
            })
        })
    }

    fn close_file(
        instance: &Rc<Instance>,
        _name: Option<&str>,
        handle: FileHandle,
        options: OpenOptions,
    ) -> VfsResult<()> {
        if !instance.is_owner() {
            // Its counts may be changed by the owner's thread only.
            std::mem::forget(handle);
            return Err(foreign_thread());
        }
        instance.guarded(VfsErrorCode::IoClose, move || {
            let file = Rc::clone(&handle.file);
            file.locks.borrow_mut().release(handle.id);
            file.wal_index.borrow_mut().unmap(handle.id);
            drop(handle);
            let Some(path) = file.path.clone() else {
                return Ok(());
            };
            if !options.delete_on_close() {
                instance.let_go(&path, file);
            } else if instance.is_current(&path, &file) {
                instance.forget(&path);
                drop(file);
                instance.storage.delete(&path, false)?;
            }
            Ok(())
        })
    }

    fn access(instance: &Rc<Instance>, name: &str, _mode: AccessMode) -> VfsResult<bool> {
        instance.guarded(VfsErrorCode::IoAccess, || instance.storage.exists(name))
    }

    fn full_pathname(instance: &Rc<Instance>, name: &str) -> VfsResult<String> {
        instance.guarded(VfsErrorCode::CantOpen, || {
            let path = instance.storage.full_path(name)?;
            instance
                .full_paths
                .borrow_mut()
                .insert(name.into(), path.clone());
            Ok(path)
        })
    }

    fn delete_file(instance: &Rc<Instance>, name: &str, sync_directory: bool) -> VfsResult<()> {
        instance.guarded(VfsErrorCode::IoDelete, || {
            if instance.options.read_only {
                return Err(read_only(name));
            }
            instance.storage.delete(name, sync_directory)?;
            instance.forget(name);
            Ok(())
        })
    }
}

/// SQLite's file positions end at the signed 64-bit range.
fn ensure_in_range(offset_bytes: u64, length_bytes: usize, code: VfsErrorCode) -> VfsResult<()> {
    let end = u64::try_from(length_bytes)
        .ok()
        .and_then(|length_bytes| offset_bytes.checked_add(length_bytes))
        .and_then(|end| i64::try_from(end).ok());
    match end {
        Some(_) => Ok(()),
        None => Err(VfsError::new(
            code,
            "file position beyond the signed 64-bit range".into(),
        )),
    }
}

fn read_only(path: &str) -> VfsError {
    VfsError::new(
        VfsErrorCode::ReadOnly,
        format!("{path} is open for reading only").into(),
    )
}

fn foreign_thread() -> VfsError {
    VfsError::new(
        VfsErrorCode::Misuse,
        "this VFS belongs to the thread that registered it".into(),
    )
}

/// A number that differs between threads alive at the same time. The callbacks
/// are reachable from any thread that gets hold of a connection, and nothing
/// here is synchronized.
fn this_thread() -> usize {
    thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}
