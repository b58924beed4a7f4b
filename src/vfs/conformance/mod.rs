//! What every [`Storage`] has to show under this VFS, as checks that any test can run.
//!
//! A check takes a [`Place`], an empty storage with everything needed to use it,
//! and answers with a [`Failure`] that says what went wrong. The checks run
//! natively and in wasm, over each backend, through
//! [`vfs_conformance!`](crate::vfs_conformance); over broken storages too, to
//! show that they can fail. They ask the typed side of the VFS where SQLite would
//! hide the answer (files, locks, WAL index) and SQLite itself for all else.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use rsqlite_vfs::{OpenOptions, OpenRequest, VfsResult, VfsStore};
use rusqlite::OpenFlags;

use super::instance::{FileHandle, Instance, Store};
use super::{Connection, Storage, Vfs, VfsOptions};

pub mod checksums;
pub mod commits;
pub mod durability;
pub mod failing;
pub mod files;
pub mod locks;
pub mod recording;
pub mod recovery;
pub mod wal;
pub mod wal_index;

use self::recording::Recording;

/// What a check found wrong.
pub struct Failure(String);

/// The answer of a check.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// A failure with a message of its own.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

/// Ends a check with a [`Failure`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::vfs::conformance::Failure::new(format!($($message)+)));
        }
    };
}
use ensure;

/// How a check opens a connection. A test of the tests puts its own here.
pub type Connect = fn(&Rc<Vfs>, &str, OpenFlags) -> rusqlite::Result<Connection>;

/// An empty storage to run one check in.
pub struct Place {
    recording: Rc<Recording>,
    storage: Rc<dyn Storage>,
    prefix: String,
    connect: Connect,
    options: VfsOptions,
    kept: Option<Box<dyn Any>>,
}

impl Place {
    /// A place over a storage that holds no files yet.
    pub fn new(storage: impl Storage) -> Self {
        let recording = Rc::new(Recording::new(storage));
        Self {
            storage: Rc::clone(&recording) as Rc<dyn Storage>,
            recording,
            prefix: String::new(),
            connect: |vfs, path, flags| vfs.connect(path, flags),
            options: VfsOptions::default(),
            kept: None,
        }
    }

    /// Puts `prefix` before the name of every file: a directory, with its separator.
    pub fn in_directory(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Keeps a value, such as a temporary directory, as long as the place.
    pub fn keeping(mut self, value: impl Any) -> Self {
        self.kept = Some(Box::new(value));
        self
    }

    /// Puts a faulty storage between the VFS and the storage.
    pub fn with_fault(mut self, fault: impl FnOnce(Rc<dyn Storage>) -> Rc<dyn Storage>) -> Self {
        self.storage = fault(self.storage);
        self
    }

    /// Opens connections with `connect`, which may tamper with them.
    pub fn with_connect(mut self, connect: Connect) -> Self {
        self.connect = connect;
        self
    }

    /// Registers each VFS with options of its own.
    pub fn with_options(mut self, options: VfsOptions) -> Self {
        self.options = options;
        self
    }

    /// The path of a file of this place.
    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Every call that reached the storage.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// A new VFS over this place, as a new process would have.
    pub fn vfs(&self) -> Result<Rc<Vfs>, Failure> {
        Ok(Vfs::register_with(Rc::clone(&self.storage), self.options)?)
    }

    /// A connection to the file `name`, made where there is none.
    pub fn connect(&self, vfs: &Rc<Vfs>, name: &str) -> rusqlite::Result<Connection> {
        (self.connect)(vfs, &self.path(name), OpenFlags::default())
    }

    /// The typed side of a new VFS.
    fn files(&self) -> Files<'_> {
        Files {
            place: self,
            instance: Rc::new(Instance::new(
                Rc::clone(&self.storage),
                VfsOptions::default(),
            )),
        }
    }
}

/// Files as the VFS opens them, without SQLite.
struct Files<'a> {
    place: &'a Place,
    instance: Rc<Instance>,
}

impl Files<'_> {
    fn open(&self, name: &str, options: OpenOptions) -> VfsResult<OpenFile> {
        let path = self.place.path(name);
        let opened = Store::open_file(&self.instance, OpenRequest::named(&path, options))?;
        Ok(OpenFile {
            instance: Rc::clone(&self.instance),
            handle: Some(opened.file),
            options,
        })
    }

    fn open_anonymous(&self, options: OpenOptions) -> VfsResult<OpenFile> {
        let opened = Store::open_file(&self.instance, OpenRequest::temporary(options))?;
        Ok(OpenFile {
            instance: Rc::clone(&self.instance),
            handle: Some(opened.file),
            options,
        })
    }

    fn exists(&self, name: &str) -> VfsResult<bool> {
        let mode = rsqlite_vfs::AccessMode::Exists;
        Store::access(&self.instance, &self.place.path(name), mode)
    }

    fn delete(&self, name: &str) -> VfsResult<()> {
        Store::delete_file(&self.instance, &self.place.path(name), false)
    }
}

/// A handle that is closed, like SQLite closes it, when dropped.
struct OpenFile {
    instance: Rc<Instance>,
    handle: Option<FileHandle>,
    options: OpenOptions,
}

impl Deref for OpenFile {
    type Target = FileHandle;

    fn deref(&self) -> &FileHandle {
        self.handle.as_ref().expect("the handle is open until drop")
    }
}

impl DerefMut for OpenFile {
    fn deref_mut(&mut self) -> &mut FileHandle {
        self.handle.as_mut().expect("the handle is open until drop")
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = Store::close_file(&self.instance, None, handle, self.options);
        }
    }
}

/// The one value of a statement.
fn value<T: rusqlite::types::FromSql>(
    connection: &rusqlite::Connection,
    sql: &str,
) -> rusqlite::Result<T> {
    connection.query_row(sql, [], |row| row.get(0))
}

/// A failure unless SQLite finds the file sound.
fn ensure_sound(connection: &rusqlite::Connection) -> Outcome {
    let found: String = value(connection, "PRAGMA integrity_check")?;
    ensure!(found == "ok", "integrity check: {found}");
    Ok(())
}

/// Whether SQLite refused because of a lock.
fn is_busy<T>(result: &rusqlite::Result<T>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy))
}

/// Makes a test of each check: the attribute of a test, and an expression for a
/// fresh [`Place`]. With `async` before them, the expression is one for a future of a
/// place. With `names` it gives the list of all checks instead.
#[doc(hidden)]
#[macro_export]
macro_rules! vfs_conformance {
    (names) => { $crate::vfs_conformance!(@list @names) };
    (async $test:meta, $place:expr) => {
        $crate::vfs_conformance!(@list @tests [$test] [$place.await] [async]);
    };
    ($test:meta, $place:expr) => { $crate::vfs_conformance!(@list @tests [$test] [$place] []); };
    (@list $($how:tt)*) => {
        $crate::vfs_conformance!{ $($how)*
            files {
                the_suite_of_rsqlite_vfs_passes
                a_read_past_the_end_gives_the_bytes_there_are
                a_gap_reads_as_zeros
                bytes_cut_off_do_not_come_back
                truncating_does_not_make_a_file_longer
                files_of_unusual_names_lie_apart
                handles_of_one_path_share_one_file
                a_deleted_file_stays_with_its_handle_and_its_name_is_free
                delete_on_close_removes_the_file_and_not_its_successor
                a_read_only_handle_changes_nothing
                a_raw_file_for_reading_changes_nothing
                a_missing_file_is_not_made_without_create
                deleting_a_missing_file_is_told_apart
                anonymous_files_do_not_reach_the_storage
                offsets_above_four_gib_do_not_wrap
                offsets_beyond_the_range_are_refused
                the_full_path_of_a_full_path_is_itself
                the_cause_of_a_failed_open_is_kept
                a_time_that_is_kept_is_kept_to_the_millisecond
                an_identity_tells_files_apart
            }
            commits {
                a_commit_reaches_the_wal_in_one_write
                what_was_synced_is_in_the_file
                a_wal_reads_as_it_was_written
                a_transaction_that_overflows_its_cache_is_found_whole
                a_rolled_back_transaction_is_not_found
                a_commit_whose_write_fails_is_not_found
                a_failed_checkpoint_takes_nothing_from_an_open_transaction
                no_flush_succeeds_after_one_that_failed
                a_commit_whose_flush_failed_is_cut_off
                what_a_former_owner_left_is_not_cut
                the_wal_grows_ahead_of_its_commits
                without_room_ahead_commits_go_on
                files_are_flushed_on_demand
                a_flushed_insert_is_one_write_and_one_flush
            }
            checksums {
                every_page_in_the_file_bears_its_checksum
                a_changed_byte_is_told_with_its_page
                a_lenient_reader_goes_on_and_notes
                resealing_takes_a_strangers_pages_for_good
                a_file_without_room_for_checksums_has_none
                a_file_that_gets_room_gets_checksums
                rolled_back_pages_bear_their_checksums
            }
            locks {
                one_handle_climbs_the_levels_in_order
                steps_that_sqlite_never_takes_are_refused
                two_handles_exclude_each_other_by_the_rules
                pending_lets_readers_finish_and_none_begin
                reserved_is_reported_exactly_when_held
                closing_a_handle_releases_its_locks
                locks_of_two_files_are_apart
                a_rollback_writer_waits_for_readers_by_busy_errors
            }
            wal_index {
                two_handles_map_the_same_memory
                regions_do_not_move
                a_region_is_not_made_unless_asked
                slots_are_shared_or_exclusive
                a_range_of_slots_is_taken_as_a_whole_or_not_at_all
                impossible_slots_are_refused
                unmapping_releases_slots_and_the_last_frees_the_memory
            }
            durability {
                creation_syncs_the_file_and_its_directory
                page_one_is_on_disk_before_the_wal
                a_wal_commit_syncs_the_wal_once_after_its_last_write
                a_relaxed_wal_commit_syncs_nothing
                the_first_sync_of_a_wal_syncs_its_directory
                a_checkpoint_syncs_the_wal_before_and_the_database_after
                a_rollback_commit_syncs_the_journal_before_the_database_changes
            }
            recovery {
                a_hot_journal_is_rolled_back
                a_journal_of_a_living_transaction_is_left_alone
                a_wal_is_recovered
                frames_of_an_open_transaction_are_not_recovered
                a_torn_wal_is_recovered_up_to_its_last_whole_commit
                a_database_without_pages_loses_its_wal
            }
            wal {
                a_pinned_reader_keeps_its_snapshot_while_commits_land
                a_reader_sees_nothing_of_an_open_transaction
                a_second_writer_is_refused_at_once
                a_passive_checkpoint_respects_the_reader
                a_truncating_checkpoint_succeeds_after_the_reader
                many_readers_hold_many_snapshots
                the_last_connection_leaves_one_plain_file
                leaving_wal_needs_the_file_alone
                a_read_only_connection_reads_a_wal
                connections_come_and_go_without_loss
            }
        }
    };
    (@names $($module:ident { $($check:ident)* })*) => {
        &[$($((stringify!($module), stringify!($check)),)*)*]
    };
    (@tests [$test:meta] $place:tt $how:tt $($module:ident { $($check:ident)* })*) => {
        $($( $crate::vfs_conformance!(@test [$test] $place $how $module $check); )*)*
    };
    (@test [$test:meta] [$place:expr] [$($how:tt)?] $module:ident $check:ident) => {
        #[$test]
        $($how)? fn $check() {
            let place = $place;
            if let Err(failure) = $crate::vfs::conformance::$module::$check(&place) {
                panic!("{failure:?}");
            }
        }
    };
}
