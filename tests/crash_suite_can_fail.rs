//! Tests of the tests: a layer that is broken on purpose is caught by the crash suites.
//!
//! That the same suites pass without the fault is what their own tests show.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;

use std::ffi::c_int;
use std::rc::Rc;

use chatstore::Durability;
use chatstore::vfs::simulated::SimulatedDisk;
use chatstore::vfs::{Connection, OpenMode, RawFile, Storage, Vfs};
use crash::raw::{self, RawSuite, raw_suite};
use crash::{Crash, Report, Suite, suite};
use rsqlite_vfs::{OsCallback, VfsResult};
use rusqlite::ffi;

const FILE: &str = "crash_suite_can_fail";
/// A page of the log with its header.
const FRAME_BYTES: usize = 24 + 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A cache that says "flushed" and flushes when it likes.
    FlushDropped,
    /// The same for one file only, by the end of its name.
    FlushDroppedOf(&'static str),
    /// The directory is never flushed: a new file may be gone with its name.
    DirectoryFlushDropped,
    /// What was written last reaches the disk first, and the flush is answered before the rest does.
    LastWriteFirst,
    /// Nothing was written through this handle, so why flush: forgets what the owner before wrote.
    FlushOnlyOwnWrites,
}

struct Broken {
    disk: SimulatedDisk,
    fault: Fault,
}

impl Storage for Broken {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        Ok(Box::new(BrokenFile {
            inner: self.disk.open(path, mode)?,
            fault: self.fault,
            path: path.to_owned(),
            held: Vec::new(),
            has_written: false,
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        let sync_directory = sync_directory && self.fault != Fault::DirectoryFlushDropped;
        self.disk.delete(path, sync_directory)
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        if self.fault == Fault::DirectoryFlushDropped {
            return Ok(());
        }
        self.disk.sync_directory(path)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.disk.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.disk.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        self.disk.os()
    }
}

struct BrokenFile {
    inner: Box<dyn RawFile>,
    fault: Fault,
    path: String,
    /// For `LastWriteFirst`: what was written since the last flush or read.
    held: Vec<(Vec<u8>, u64)>,
    has_written: bool,
}

impl BrokenFile {
    fn release(&mut self) -> VfsResult<()> {
        for (bytes, offset_bytes) in self.held.drain(..) {
            self.inner.write_at(&bytes, offset_bytes)?;
        }
        Ok(())
    }
}

impl RawFile for BrokenFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.release()?;
        self.inner.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.has_written = true;
        if self.fault == Fault::LastWriteFirst {
            self.held.push((bytes.to_vec(), offset_bytes));
            return Ok(());
        }
        self.inner.write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.release()?;
        self.inner.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        let is_dropped = match self.fault {
            Fault::FlushDropped => true,
            Fault::FlushDroppedOf(end) => self.path.ends_with(end),
            Fault::FlushOnlyOwnWrites => !self.has_written,
            Fault::DirectoryFlushDropped => false,
            Fault::LastWriteFirst => {
                // Of a write that holds a whole commit, the frame at its end.
                if let Some((mut bytes, offset_bytes)) = self.held.pop() {
                    let rest = bytes.len().saturating_sub(FRAME_BYTES);
                    let last = bytes.split_off(rest);
                    self.inner.write_at(&last, offset_bytes + rest as u64)?;
                    self.held.push((bytes, offset_bytes));
                }
                self.inner.sync(data_only)?;
                return self.release();
            }
        };
        self.has_written = false;
        if is_dropped {
            return Ok(());
        }
        self.inner.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        let held = self.held.iter().map(|(bytes, at)| at + bytes.len() as u64);
        Ok(self.inner.size_bytes()?.max(held.max().unwrap_or(0)))
    }
}

fn broken(disk: SimulatedDisk, fault: Fault) -> Rc<dyn Storage> {
    Rc::new(Broken { disk, fault })
}

fn caught(report: &Report) -> usize {
    report.lost + report.corrupt
}

#[test]
fn a_dropped_flush_is_caught() {
    let report = Suite {
        layer: |disk| broken(disk, Fault::FlushDropped),
        points: 300,
        ..suite(FILE, "a_dropped_flush_is_caught")
    }
    .run();
    assert!(report.lost > 0, "no acknowledged write was missed");
}

#[test]
fn a_dropped_flush_of_the_directory_is_caught() {
    let report = Suite {
        layer: |disk| broken(disk, Fault::DirectoryFlushDropped),
        points: 300,
        ..suite(FILE, "a_dropped_flush_of_the_directory_is_caught")
    }
    .run();
    assert!(caught(&report) > 0, "no file was missed");
}

#[test]
fn a_commit_frame_that_is_on_the_disk_before_its_pages_is_caught() {
    let report = Suite {
        layer: |disk| broken(disk, Fault::LastWriteFirst),
        points: 600,
        ..suite(
            FILE,
            "a_commit_frame_that_is_on_the_disk_before_its_pages_is_caught",
        )
    }
    .run();
    assert!(report.lost > 0, "no acknowledged write was missed");
}

#[test]
fn an_answer_before_the_flush_after_recovery_is_caught() {
    let report = Suite {
        layer: |disk| broken(disk, Fault::FlushOnlyOwnWrites),
        steps: 12,
        points: 600,
        crash: Crash::AfterRecovery,
        ..suite(FILE, "an_answer_before_the_flush_after_recovery_is_caught")
    }
    .run();
    assert!(report.lost > 0, "no answer was taken back");
}

#[test]
fn a_checkpoint_of_a_log_that_is_not_flushed_is_caught() {
    let report = RawSuite {
        layer: |disk| broken(disk, Fault::FlushDroppedOf("-wal")),
        synchronous: "NORMAL",
        strict: false,
        ..raw_suite(FILE, "a_checkpoint_of_a_log_that_is_not_flushed_is_caught")
    }
    .run();
    assert!(report.corrupt > 0, "no half checkpoint was seen");
}

#[test]
fn a_log_begun_anew_over_a_file_that_is_not_flushed_is_caught() {
    let report = RawSuite {
        layer: |disk| broken(disk, Fault::FlushDroppedOf(raw::PATH)),
        ..raw_suite(
            FILE,
            "a_log_begun_anew_over_a_file_that_is_not_flushed_is_caught",
        )
    }
    .run();
    assert!(caught(&report) > 0, "no lost page was seen");
}

/// The fault of a pool of files in a browser: the lock is always "taken", so every journal seems to be
/// in use and none is rolled back.
fn connect_where_all_is_reserved(vfs: &Rc<Vfs>) -> rusqlite::Result<Connection> {
    unsafe extern "C" fn reserved(_file: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
        // SAFETY: SQLite gives a place for the answer.
        unsafe { *held = 1 };
        ffi::SQLITE_OK
    }
    let connection = raw::connect(vfs)?;
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    // SAFETY: the connection is open, so SQLite gives its main file, whose methods are a live table;
    // the new table is leaked and so outlives the file.
    unsafe {
        let code = ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        );
        assert_eq!(code, ffi::SQLITE_OK);
        let mut methods = *(*file).pMethods;
        methods.xCheckReservedLock = Some(reserved);
        (*file).pMethods = Box::leak(Box::new(methods));
    }
    Ok(connection)
}

#[test]
fn a_reserved_lock_that_is_always_taken_is_caught() {
    let report = RawSuite {
        journal_mode: "DELETE",
        synchronous: "EXTRA",
        connect: connect_where_all_is_reserved,
        ..raw_suite(FILE, "a_reserved_lock_that_is_always_taken_is_caught")
    }
    .run();
    assert!(report.corrupt > 0, "no journal was left lying");
}

/// A relaxed store is not a strict one: the suite for strict stores sees the difference.
#[test]
fn a_log_that_is_flushed_at_checkpoints_only_is_caught_as_not_strict() {
    let report = RawSuite {
        synchronous: "NORMAL",
        ..raw_suite(
            FILE,
            "a_log_that_is_flushed_at_checkpoints_only_is_caught_as_not_strict",
        )
    }
    .run();
    assert!(report.lost > 0, "no acknowledged commit was missed");
    assert_eq!(report.corrupt, 0, "{:?}", report.failures);
}

/// A failing point is found again by what is printed for it.
#[test]
fn the_same_seed_gives_the_same_failures() {
    let failures = || {
        let report = Suite {
            layer: |disk| broken(disk, Fault::FlushDropped),
            durability: Durability::Strict,
            points: 200,
            ..suite(FILE, "the_same_seed_gives_the_same_failures")
        }
        .run();
        (report.lost, report.corrupt, report.failures)
    };
    assert_eq!(failures(), failures());
}
