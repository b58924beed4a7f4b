//! Tests of the tests: the conformance suite finds the faults that it is there to find.
//!
//! Each fault is put between the VFS and a sound storage, or into SQLite's table
//! of callbacks for an open file, and the checks that must see it are run. That
//! the same checks pass without the fault is what the suite itself shows.

#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

use std::ffi::{c_int, c_void};
use std::rc::Rc;

use chatstore::vfs::conformance::{
    Outcome, Place, checksums, commits, durability, files, locks, recovery, wal,
};
use chatstore::vfs::{Connection, MemoryStorage, OpenMode, RawFile, Storage, Vfs, VfsOptions};
use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};
use rusqlite::{OpenFlags, ffi};

type Check = fn(&Place) -> Outcome;

/// Runs each check in a place of its own and wants it to fail.
#[track_caller]
fn must_fail(place: impl Fn() -> Place, checks: &[Check]) {
    for (number, check) in checks.iter().enumerate() {
        if check(&place()).is_ok() {
            panic!("check {number} does not see the fault");
        }
    }
}

// --- Faults of the storage -------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    SyncDropped,
    SyncBeforeWriteOnly,
    DirectorySyncDropped,
    ShortWrite,
    TruncateIgnored,
    TruncateKeepsBytes,
    OffsetsWrap,
    CreatesUnasked,
    NamesRunTogether,
    DeleteIgnored,
    MissingDeleteUnnoticed,
    ReadsPadded,
}

struct FaultyStorage {
    inner: Rc<dyn Storage>,
    fault: Fault,
}

impl FaultyStorage {
    fn name(&self, path: &str) -> String {
        match self.fault {
            Fault::NamesRunTogether => path.to_lowercase().replace('2', ""),
            _ => path.into(),
        }
    }
}

impl Storage for FaultyStorage {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let create = mode.create || (self.fault == Fault::CreatesUnasked && !mode.read_only);
        Ok(Box::new(FaultyFile {
            inner: self
                .inner
                .open(&self.name(path), OpenMode { create, ..mode })?,
            fault: self.fault,
            cut_to: None,
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        match self.fault {
            Fault::DeleteIgnored => Ok(()),
            Fault::MissingDeleteUnnoticed => {
                let _ = self.inner.delete(path, sync_directory);
                Ok(())
            }
            _ => self.inner.delete(&self.name(path), sync_directory),
        }
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        match self.fault {
            Fault::DirectorySyncDropped => Ok(()),
            _ => self.inner.sync_directory(path),
        }
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.inner.exists(&self.name(path))
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.inner.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        self.inner.os()
    }
}

struct FaultyFile {
    inner: Box<dyn RawFile>,
    fault: Fault,
    /// For `TruncateKeepsBytes`: the size that the file pretends to have.
    cut_to: Option<u64>,
}

impl FaultyFile {
    fn position(&self, offset_bytes: u64) -> u64 {
        match self.fault {
            Fault::OffsetsWrap => offset_bytes % (1 << 32),
            _ => offset_bytes,
        }
    }
}

impl RawFile for FaultyFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        let position = self.position(offset_bytes);
        match self.fault {
            Fault::ReadsPadded => {
                self.inner.read_at(buffer, position)?;
                Ok(buffer.len())
            }
            _ => self.inner.read_at(buffer, position),
        }
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let position = self.position(offset_bytes);
        let end = position + u64::try_from(bytes.len()).unwrap();
        self.cut_to = self.cut_to.filter(|&size| size > end);
        match self.fault {
            Fault::ShortWrite => self
                .inner
                .write_at(&bytes[..bytes.len().div_ceil(2)], position),
            Fault::SyncBeforeWriteOnly => {
                self.inner.sync(true)?;
                self.inner.write_at(bytes, position)
            }
            _ => self.inner.write_at(bytes, position),
        }
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        match self.fault {
            Fault::TruncateIgnored => Ok(()),
            Fault::TruncateKeepsBytes => {
                self.cut_to = Some(size_bytes);
                Ok(())
            }
            _ => self.inner.truncate(size_bytes),
        }
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        match self.fault {
            Fault::SyncDropped | Fault::SyncBeforeWriteOnly => Ok(()),
            _ => self.inner.sync(data_only),
        }
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        match self.cut_to {
            Some(size_bytes) => Ok(size_bytes),
            None => self.inner.size_bytes(),
        }
    }
}

fn memory_with(fault: Fault) -> Place {
    Place::new(MemoryStorage::new()).with_fault(|inner| Rc::new(FaultyStorage { inner, fault }))
}

/// The layer itself changes nothing, so what fails below fails by its fault.
mod without_a_fault {
    chatstore::vfs_conformance!(test, super::memory_with(super::Fault::None));
}

#[test]
fn a_dropped_sync_is_seen() {
    must_fail(
        || memory_with(Fault::SyncDropped),
        &[
            durability::creation_syncs_the_file_and_its_directory,
            durability::page_one_is_on_disk_before_the_wal,
            durability::a_wal_commit_syncs_the_wal_once_after_its_last_write,
            durability::the_first_sync_of_a_wal_syncs_its_directory,
            durability::a_checkpoint_syncs_the_wal_before_and_the_database_after,
            durability::a_rollback_commit_syncs_the_journal_before_the_database_changes,
        ],
    );
}

#[test]
fn a_sync_that_comes_too_early_or_too_often_is_seen() {
    must_fail(
        || memory_with(Fault::SyncBeforeWriteOnly),
        &[
            durability::creation_syncs_the_file_and_its_directory,
            durability::a_wal_commit_syncs_the_wal_once_after_its_last_write,
            durability::a_relaxed_wal_commit_syncs_nothing,
            durability::a_checkpoint_syncs_the_wal_before_and_the_database_after,
        ],
    );
}

#[test]
fn a_dropped_sync_of_the_directory_is_seen() {
    must_fail(
        || memory_with(Fault::DirectorySyncDropped),
        &[
            durability::creation_syncs_the_file_and_its_directory,
            durability::the_first_sync_of_a_wal_syncs_its_directory,
            durability::a_rollback_commit_syncs_the_journal_before_the_database_changes,
        ],
    );
}

#[test]
fn a_short_write_is_seen() {
    must_fail(
        || memory_with(Fault::ShortWrite),
        &[
            files::the_suite_of_rsqlite_vfs_passes,
            files::a_read_past_the_end_gives_the_bytes_there_are,
            files::a_gap_reads_as_zeros,
            recovery::a_wal_is_recovered,
            wal::connections_come_and_go_without_loss,
        ],
    );
}

#[test]
fn an_ignored_truncate_is_seen() {
    must_fail(
        || memory_with(Fault::TruncateIgnored),
        &[
            files::the_suite_of_rsqlite_vfs_passes,
            files::bytes_cut_off_do_not_come_back,
            wal::a_truncating_checkpoint_succeeds_after_the_reader,
        ],
    );
}

#[test]
fn bytes_that_come_back_after_a_truncate_are_seen() {
    must_fail(
        || memory_with(Fault::TruncateKeepsBytes),
        &[
            files::the_suite_of_rsqlite_vfs_passes,
            files::bytes_cut_off_do_not_come_back,
        ],
    );
}

#[test]
fn positions_that_wrap_at_four_gib_are_seen() {
    must_fail(
        || memory_with(Fault::OffsetsWrap),
        &[files::offsets_above_four_gib_do_not_wrap],
    );
}

#[test]
fn a_file_that_comes_unasked_is_seen() {
    must_fail(
        || memory_with(Fault::CreatesUnasked),
        &[
            files::a_missing_file_is_not_made_without_create,
            files::the_cause_of_a_failed_open_is_kept,
        ],
    );
}

#[test]
fn names_that_run_together_are_seen() {
    must_fail(
        || memory_with(Fault::NamesRunTogether),
        &[files::files_of_unusual_names_lie_apart],
    );
}

#[test]
fn a_delete_that_does_nothing_is_seen() {
    must_fail(
        || memory_with(Fault::DeleteIgnored),
        &[
            files::delete_on_close_removes_the_file_and_not_its_successor,
            files::a_deleted_file_stays_with_its_handle_and_its_name_is_free,
            recovery::a_hot_journal_is_rolled_back,
            recovery::a_database_without_pages_loses_its_wal,
            wal::the_last_connection_leaves_one_plain_file,
        ],
    );
    must_fail(
        || memory_with(Fault::MissingDeleteUnnoticed),
        &[files::deleting_a_missing_file_is_told_apart],
    );
}

#[test]
fn reads_that_hide_the_end_of_the_file_are_seen() {
    must_fail(
        || memory_with(Fault::ReadsPadded),
        &[
            files::the_suite_of_rsqlite_vfs_passes,
            files::a_read_past_the_end_gives_the_bytes_there_are,
        ],
    );
}

/// Ignores the wish to share: every open is a file of its own.
struct Amnesia(MemoryStorage);

impl Storage for Amnesia {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let _ = self.0.delete(path, false);
        self.0.open(path, mode)
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.0.delete(path, sync_directory)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.0.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        if path.is_empty() {
            return Err(VfsError::new(VfsErrorCode::CantOpen, "no name".into()));
        }
        Ok(format!("{path}'"))
    }

    fn os(&self) -> &dyn OsCallback {
        self.0.os()
    }
}

#[test]
fn a_file_that_is_lost_by_closing_it_is_seen() {
    must_fail(
        || Place::new(Amnesia(MemoryStorage::new())),
        &[
            files::the_suite_of_rsqlite_vfs_passes,
            files::the_full_path_of_a_full_path_is_itself,
            recovery::a_wal_is_recovered,
            wal::the_last_connection_leaves_one_plain_file,
        ],
    );
}

// --- Faults of the WAL buffer, as the storage would see them ----------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
enum BufferFault {
    None,
    /// The end of a transaction goes to the file before its beginning.
    CommitFrameFirst,
    /// What is written stays behind until after the next sync.
    NotFlushedAtSync,
    /// It stays behind until the next sync, and reads do not know of it.
    ReadsPassIt,
    /// What a failed commit left in the file stays there.
    KeptAfterFailure,
}

struct FaultyBuffer {
    inner: Rc<dyn Storage>,
    fault: BufferFault,
}

impl Storage for FaultyBuffer {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let inner = self.inner.open(path, mode)?;
        if !path.ends_with("-wal") {
            return Ok(inner);
        }
        Ok(Box::new(FaultyWal {
            inner,
            fault: self.fault,
            held: Vec::new(),
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.inner.delete(path, sync_directory)
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        self.inner.sync_directory(path)
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

struct FaultyWal {
    inner: Box<dyn RawFile>,
    fault: BufferFault,
    held: Vec<(Vec<u8>, u64)>,
}

impl FaultyWal {
    fn let_go(&mut self) -> VfsResult<()> {
        for (bytes, offset_bytes) in std::mem::take(&mut self.held) {
            self.inner.write_at(&bytes, offset_bytes)?;
        }
        Ok(())
    }
}

impl RawFile for FaultyWal {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        if self.fault == BufferFault::NotFlushedAtSync {
            self.let_go()?;
        }
        self.inner.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        match self.fault {
            BufferFault::CommitFrameFirst => {
                let (beginning, end) = bytes.split_at(bytes.len() / 2);
                let middle = offset_bytes + u64::try_from(beginning.len()).unwrap();
                self.inner.write_at(end, middle)?;
                self.inner.write_at(beginning, offset_bytes)
            }
            BufferFault::NotFlushedAtSync | BufferFault::ReadsPassIt => {
                self.held.push((bytes.to_vec(), offset_bytes));
                Ok(())
            }
            BufferFault::None | BufferFault::KeptAfterFailure => {
                self.inner.write_at(bytes, offset_bytes)
            }
        }
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.let_go()?;
        match self.fault {
            BufferFault::KeptAfterFailure if size_bytes > 0 => Ok(()),
            _ => self.inner.truncate(size_bytes),
        }
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        if self.fault == BufferFault::ReadsPassIt {
            self.let_go()?;
        }
        self.inner.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        let ends = self
            .held
            .iter()
            .map(|(bytes, offset_bytes)| offset_bytes + u64::try_from(bytes.len()).unwrap());
        Ok(ends.fold(self.inner.size_bytes()?, u64::max))
    }
}

fn buffer_with(fault: BufferFault) -> Place {
    Place::new(MemoryStorage::new()).with_fault(|inner| Rc::new(FaultyBuffer { inner, fault }))
}

mod with_a_sound_buffer {
    chatstore::vfs_conformance!(test, super::buffer_with(super::BufferFault::None));
}

#[test]
fn a_commit_frame_written_first_is_seen() {
    must_fail(
        || buffer_with(BufferFault::CommitFrameFirst),
        &[
            commits::a_commit_reaches_the_wal_in_one_write,
            commits::a_flushed_insert_is_one_write_and_one_flush,
        ],
    );
}

#[test]
fn a_buffer_that_is_not_flushed_at_a_sync_is_seen() {
    must_fail(
        || buffer_with(BufferFault::NotFlushedAtSync),
        &[
            commits::what_was_synced_is_in_the_file,
            commits::a_wal_reads_as_it_was_written,
            commits::a_rolled_back_transaction_is_not_found,
            durability::a_wal_commit_syncs_the_wal_once_after_its_last_write,
            recovery::a_wal_is_recovered,
        ],
    );
}

#[test]
fn reads_that_do_not_know_of_the_buffer_are_seen() {
    must_fail(
        || buffer_with(BufferFault::ReadsPassIt),
        &[commits::a_wal_reads_as_it_was_written],
    );
}

#[test]
fn a_failed_commit_that_stays_in_the_file_is_seen() {
    must_fail(
        || buffer_with(BufferFault::KeptAfterFailure),
        &[
            commits::a_commit_whose_write_fails_is_not_found,
            commits::a_commit_whose_flush_failed_is_cut_off,
        ],
    );
}

#[test]
fn what_the_vfs_leaves_undone_is_seen() {
    let memory_without = |options| Place::new(MemoryStorage::new()).with_options(options);
    let all = VfsOptions::default();
    must_fail(
        || {
            memory_without(VfsOptions {
                wal_buffer: false,
                ..all
            })
        },
        &[
            commits::a_commit_reaches_the_wal_in_one_write,
            commits::a_flushed_insert_is_one_write_and_one_flush,
        ],
    );
    must_fail(
        || {
            memory_without(VfsOptions {
                wal_preallocation: false,
                ..all
            })
        },
        &[commits::the_wal_grows_ahead_of_its_commits],
    );
    must_fail(
        || {
            memory_without(VfsOptions {
                checksums: false,
                ..all
            })
        },
        &[
            checksums::every_page_in_the_file_bears_its_checksum,
            checksums::a_changed_byte_is_told_with_its_page,
            checksums::a_lenient_reader_goes_on_and_notes,
            checksums::resealing_takes_a_strangers_pages_for_good,
            checksums::a_file_that_gets_room_gets_checksums,
            checksums::rolled_back_pages_bear_their_checksums,
        ],
    );
}

// --- Faults of the VFS -----------------------------------------------------------------------

/// Opens a connection whose main file has some of its callbacks replaced.
fn connect_with(
    vfs: &Rc<Vfs>,
    path: &str,
    flags: OpenFlags,
    replace: fn(&mut ffi::sqlite3_io_methods),
) -> rusqlite::Result<Connection> {
    let connection = vfs.connect(path, flags)?;
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    // SAFETY: the connection is open, so SQLite gives its main file, whose methods
    // are a live table; the new table is leaked and so outlives the file.
    unsafe {
        let code = ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        );
        assert_eq!(code, ffi::SQLITE_OK);
        let mut methods = *(*file).pMethods;
        replace(&mut methods);
        (*file).pMethods = Box::leak(Box::new(methods));
    }
    Ok(connection)
}

fn tampered(replace: fn(&Rc<Vfs>, &str, OpenFlags) -> rusqlite::Result<Connection>) -> Place {
    Place::new(MemoryStorage::new()).with_connect(replace)
}

unsafe extern "C" fn always_reserved(_file: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *held = 1 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn never_reserved(_file: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *held = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn always_granted(_file: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn slots_always_granted(
    _file: *mut ffi::sqlite3_file,
    _first: c_int,
    _count: c_int,
    _flags: c_int,
) -> c_int {
    ffi::SQLITE_OK
}

/// Memory of the connection's own, fresh at every request.
unsafe extern "C" fn unshared_memory(
    _file: *mut ffi::sqlite3_file,
    _region: c_int,
    size_bytes: c_int,
    _extend: c_int,
    address: *mut *mut c_void,
) -> c_int {
    let words = usize::try_from(size_bytes).unwrap() / 8;
    let memory = Box::leak(vec![0_u64; words].into_boxed_slice());
    // SAFETY: SQLite gives a place for the address; the memory is leaked.
    unsafe { *address = memory.as_mut_ptr().cast() };
    ffi::SQLITE_OK
}

#[test]
fn a_reserved_lock_reported_always_is_seen() {
    must_fail(
        || {
            tampered(|vfs, path, flags| {
                connect_with(vfs, path, flags, |methods| {
                    methods.xCheckReservedLock = Some(always_reserved);
                })
            })
        },
        &[recovery::a_hot_journal_is_rolled_back],
    );
}

#[test]
fn locks_granted_always_are_seen() {
    must_fail(
        || {
            tampered(|vfs, path, flags| {
                connect_with(vfs, path, flags, |methods| {
                    methods.xLock = Some(always_granted);
                    methods.xCheckReservedLock = Some(never_reserved);
                })
            })
        },
        &[
            locks::a_rollback_writer_waits_for_readers_by_busy_errors,
            recovery::a_journal_of_a_living_transaction_is_left_alone,
            wal::leaving_wal_needs_the_file_alone,
        ],
    );
}

#[test]
fn wal_index_slots_granted_always_are_seen() {
    must_fail(
        || {
            tampered(|vfs, path, flags| {
                connect_with(vfs, path, flags, |methods| {
                    methods.xShmLock = Some(slots_always_granted);
                })
            })
        },
        &[
            wal::a_second_writer_is_refused_at_once,
            wal::a_truncating_checkpoint_succeeds_after_the_reader,
        ],
    );
}

#[test]
fn a_wal_index_that_is_not_shared_is_seen() {
    must_fail(
        || {
            tampered(|vfs, path, flags| {
                connect_with(vfs, path, flags, |methods| {
                    methods.xShmMap = Some(unshared_memory);
                })
            })
        },
        &[
            wal::a_pinned_reader_keeps_its_snapshot_while_commits_land,
            wal::connections_come_and_go_without_loss,
        ],
    );
}

#[test]
fn a_busy_handler_that_waits_is_seen() {
    must_fail(
        || {
            tampered(|vfs, path, flags| {
                let connection = vfs.connect(path, flags)?;
                connection.busy_timeout(std::time::Duration::from_millis(1))?;
                Ok(connection)
            })
        },
        &[wal::a_second_writer_is_refused_at_once],
    );
}

// --- The list --------------------------------------------------------------------------------

#[test]
fn every_check_is_on_the_list() {
    let listed: &[(&str, &str)] = chatstore::vfs_conformance!(names);
    let sources = [
        ("files", include_str!("../src/vfs/conformance/files.rs")),
        ("locks", include_str!("../src/vfs/conformance/locks.rs")),
        (
            "wal_index",
            include_str!("../src/vfs/conformance/wal_index.rs"),
        ),
        (
            "durability",
            include_str!("../src/vfs/conformance/durability.rs"),
        ),
        (
            "recovery",
            include_str!("../src/vfs/conformance/recovery.rs"),
        ),
        ("wal", include_str!("../src/vfs/conformance/wal.rs")),
        ("commits", include_str!("../src/vfs/conformance/commits.rs")),
        (
            "checksums",
            include_str!("../src/vfs/conformance/checksums.rs"),
        ),
    ];
    let mut written = Vec::new();
    for (module, source) in sources {
        for rest in source.split("\npub fn ").skip(1) {
            let name = rest.split('(').next().unwrap();
            written.push((module, name));
        }
    }
    assert!(written.len() > 50, "found only {} checks", written.len());
    for check in &written {
        assert!(listed.contains(check), "{check:?} is not on the list");
    }
    assert_eq!(listed.len(), written.len());
}
