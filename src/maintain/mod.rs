//! Looking after a store: checking it, copying it, replacing it, saving what is left of a damaged one.
//!
//! - [`verify`] checks a whole store without changing it.
//! - [`backup`] hands out an exact copy of a snapshot while writes go on.
//! - [`replace`] puts another store's content in the place of the present one, in one transaction.
//! - [`salvage`] copies what can be read of a damaged file into a new one.
//!
//! Each is a value whose `step` does a bounded piece of the work, so that whoever calls it can do
//! other things in between; what cannot be cut is said where it is. They work on connections and
//! storages that they are given; which those are, when they are opened and who waits meanwhile is the
//! caller's. Nothing here knows of JavaScript, of queues or of time.

pub mod backup;
mod mend;
mod pages;
pub mod replace;
pub mod salvage;
pub mod verify;

pub use backup::{Backup, BackupInfo};
pub use mend::Mended;
pub use replace::{Replace, Replaced};
pub use salvage::{Salvage, SalvageReport, TableReport};
pub use verify::{Checked, Problem, ProblemKind, ReadSaved, SavedPage, Verify, VerifyReport};

use crate::error::{Code, Error, Result};
use crate::vfs::Storage;

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<R> {
    /// There is more to do.
    Working {
        /// What is being done.
        task: &'static str,
        /// How much of the task is done, in units of its own.
        done: u64,
        /// How much it is in all, as far as is known; never less than `done`.
        expected: u64,
    },
    /// All is done; a further step is an error.
    Done(R),
}

/// Runs steps until the last, for callers who have nothing else to do meanwhile.
///
/// # Errors
/// Those of the step.
pub fn to_the_end<R>(mut step: impl FnMut() -> Result<Progress<R>>) -> Result<R> {
    loop {
        if let Progress::Done(result) = step()? {
            return Ok(result);
        }
    }
}

fn stepped_after_end() -> Error {
    Error::new(
        Code::Internal,
        "a step was asked of work that is done or has failed",
    )
}

/// The ends of the names of a database's files. Its logs go first: one without its file would be taken
/// for that of the next file of the name.
const SUFFIXES: [&str; 3] = ["-wal", "-journal", ""];

/// Removes a database, and the logs beside it that would be applied to the next one of its name.
pub(crate) fn delete_with_logs(storage: &dyn Storage, path: &str) -> Result<()> {
    for suffix in SUFFIXES {
        let path = format!("{path}{suffix}");
        if storage.exists(&path).map_err(failed)? {
            storage.delete(&path, false).map_err(failed)?;
        }
    }
    Ok(())
}

/// What a storage says, as an error of ours.
fn failed(error: rsqlite_vfs::VfsError) -> Error {
    use rsqlite_vfs::VfsErrorCode;
    let code = match error.code() {
        VfsErrorCode::Busy => Code::StoreLocked,
        VfsErrorCode::ReadOnly | VfsErrorCode::Permission => Code::ReadOnly,
        VfsErrorCode::Full => Code::DiskFull,
        VfsErrorCode::NoMemory => Code::OutOfMemory,
        _ => Code::IoError,
    };
    Error::new(code, error.message().to_owned())
}
