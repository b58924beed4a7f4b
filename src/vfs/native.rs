//! Files of a native file system, through `std::fs`.
//!
//! A main database is opened under an exclusive lock of the system, which the
//! kernel gives back when the process ends, however it ends. Only programs that
//! take the same lock respect it; the plain `sqlite3` shell does not.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rsqlite_vfs::{OsCallback, SystemErrorCode, VfsError, VfsErrorCode, VfsResult};

use super::os::SystemOs;
use super::storage::{OpenMode, RawFile, Storage};

/// The native file system. Relative paths start at the current directory of the
/// process; SQLite is given absolute ones, with links resolved.
///
/// New files get the system's default mode. A main database that another process,
/// or another [`Vfs`](super::Vfs) of this one, has open is `SQLITE_BUSY`.
///
/// ```
/// use chatstore::vfs::{NativeStorage, Vfs};
/// use rusqlite::OpenFlags;
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("chat.db");
/// let path = path.to_str().unwrap();
///
/// let vfs = Vfs::register(NativeStorage::new())?;
/// let connection = vfs.connect(path, OpenFlags::default())?;
/// connection.execute_batch("CREATE TABLE note (text)")?;
///
/// let other = Vfs::register(NativeStorage::new())?;
/// let refused = other.connect(path, OpenFlags::default()).unwrap_err();
/// assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct NativeStorage {
    os: SystemOs,
}

impl NativeStorage {
    /// The file system of this process.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Storage for NativeStorage {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(!mode.read_only);
        if mode.create && mode.exclusive {
            options.create_new(true);
        } else {
            options.create(mode.create);
        }
        let file = options.open(path).map_err(|error| {
            let code = match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if !mode.read_only => {
                    VfsErrorCode::ReadOnly
                }
                _ => VfsErrorCode::CantOpen,
            };
            failed(code, "open", path, &error)
        })?;
        // A directory opens for reading like a file and fails at the first read.
        let is_directory = file.metadata().is_ok_and(|metadata| metadata.is_dir());
        if is_directory {
            return Err(VfsError::new(
                VfsErrorCode::CantOpen,
                format!("open {path:?}: is a directory").into(),
            ));
        }
        if mode.main_database {
            lock_against_others(&file, path)?;
        }
        Ok(Box::new(NativeFile {
            file,
            path: path.into(),
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        std::fs::remove_file(path).map_err(|error| {
            let code = match error.kind() {
                ErrorKind::NotFound => VfsErrorCode::IoDeleteNoEntry,
                _ => VfsErrorCode::IoDelete,
            };
            failed(code, "delete", path, &error)
        })?;
        if sync_directory {
            self.sync_directory(path)?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        File::open(directory_of(Path::new(path)))
            .and_then(|directory| directory.sync_all())
            .map_err(|error| {
                failed(
                    VfsErrorCode::IoDirectorySync,
                    "sync directory of",
                    path,
                    &error,
                )
            })
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        std::fs::exists(path)
            .map_err(|error| failed(VfsErrorCode::IoAccess, "look for", path, &error))
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        let absolute = resolve(Path::new(path))
            .map_err(|error| failed(VfsErrorCode::CantOpen, "resolve", path, &error))?;
        absolute.into_os_string().into_string().map_err(|_| {
            VfsError::new(
                VfsErrorCode::CantOpen,
                format!("resolve {path:?}: the full path is not Unicode").into(),
            )
        })
    }

    fn modified_ms(&self, path: &str) -> VfsResult<Option<i64>> {
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
        match modified {
            Ok(time) => Ok(nearest_ms(time)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(VfsErrorCode::IoStat, "time of", path, &error)),
        }
    }

    #[cfg(unix)]
    fn identity(&self, path: &str) -> VfsResult<Option<String>> {
        use std::os::unix::fs::MetadataExt;

        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(format!("{}:{}", metadata.dev(), metadata.ino()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(VfsErrorCode::IoStat, "identity of", path, &error)),
        }
    }

    fn os(&self) -> &dyn OsCallback {
        &self.os
    }
}

fn lock_against_others(file: &File, path: &str) -> VfsResult<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(VfsError::new(
            VfsErrorCode::Busy,
            format!("the database {path:?} is open elsewhere, in this or another process").into(),
        )),
        Err(TryLockError::Error(error)) => Err(failed(VfsErrorCode::IoLock, "lock", path, &error)),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

fn resolve(path: &Path) -> Result<PathBuf, IoError> {
    match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            Ok(directory_of(path).canonicalize()?.join(name))
        }
        resolved => resolved,
    }
}

/// An open file and the name to report errors with.
struct NativeFile {
    file: File,
    path: String,
}

impl RawFile for NativeFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let position = advanced(offset_bytes, done, VfsErrorCode::IoRead)?;
            match positioned::read(&mut self.file, &mut buffer[done..], position) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(failed(VfsErrorCode::IoRead, "read", &self.path, &error));
                }
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let mut done = 0;
        while done < bytes.len() {
            let position = advanced(offset_bytes, done, VfsErrorCode::IoWrite)?;
            match positioned::write(&mut self.file, &bytes[done..], position) {
                Ok(0) => {
                    return Err(VfsError::new(
                        VfsErrorCode::IoWrite,
                        format!("write {:?}: the system takes no more bytes", self.path).into(),
                    ));
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(failed(VfsErrorCode::IoWrite, "write", &self.path, &error));
                }
            }
        }
        Ok(())
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.file
            .set_len(size_bytes)
            .map_err(|error| failed(VfsErrorCode::IoTruncate, "truncate", &self.path, &error))
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        let synced = if data_only {
            self.file.sync_data()
        } else {
            self.file.sync_all()
        };
        synced.map_err(|error| failed(VfsErrorCode::IoSync, "sync", &self.path, &error))
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.file
            .metadata()
            .map(|metadata| metadata.len())
            .map_err(|error| failed(VfsErrorCode::IoStat, "size of", &self.path, &error))
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        let distance = Duration::from_millis(modified_ms.unsigned_abs());
        let time = if modified_ms < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        };
        let Some(time) = time else {
            return Ok(false);
        };
        self.file
            .set_modified(time)
            .and_then(|()| self.file.metadata()?.modified())
            .map(|kept| nearest_ms(kept) == Some(modified_ms))
            .map_err(|error| failed(VfsErrorCode::Io, "set the time of", &self.path, &error))
    }
}

/// Milliseconds since 1970-01-01 UTC, rounded: who sets a time by a floating-point
/// number may miss by less than a microsecond.
fn nearest_ms(time: SystemTime) -> Option<i64> {
    let ms = |distance: Duration| {
        let half = Duration::from_micros(500);
        i64::try_from(distance.checked_add(half)?.as_millis()).ok()
    };
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => ms(before.duration()).map(|ms| -ms),
    }
}

fn advanced(offset_bytes: u64, done: usize, code: VfsErrorCode) -> VfsResult<u64> {
    u64::try_from(done)
        .ok()
        .and_then(|done| offset_bytes.checked_add(done))
        .ok_or_else(|| VfsError::new(code, "file position out of range".into()))
}

/// One read or write at a position, of as many bytes as the system takes at once.
#[cfg(unix)]
mod positioned {
    use std::fs::File;
    use std::io::Result;
    use std::os::unix::fs::FileExt;

    pub fn read(file: &mut File, buffer: &mut [u8], offset_bytes: u64) -> Result<usize> {
        file.read_at(buffer, offset_bytes)
    }

    pub fn write(file: &mut File, bytes: &[u8], offset_bytes: u64) -> Result<usize> {
        file.write_at(bytes, offset_bytes)
    }
}

/// The same where the standard library has no portable way but to seek. The
/// handle is not shared, so nothing moves the position in between.
#[cfg(not(unix))]
mod positioned {
    use std::fs::File;
    use std::io::{Read, Result, Seek, SeekFrom, Write};

    pub fn read(file: &mut File, buffer: &mut [u8], offset_bytes: u64) -> Result<usize> {
        file.seek(SeekFrom::Start(offset_bytes))?;
        file.read(buffer)
    }

    pub fn write(file: &mut File, bytes: &[u8], offset_bytes: u64) -> Result<usize> {
        file.seek(SeekFrom::Start(offset_bytes))?;
        file.write(bytes)
    }
}

fn failed(code: VfsErrorCode, operation: &str, path: &str, error: &IoError) -> VfsError {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            VfsErrorCode::Full
        }
        ErrorKind::OutOfMemory => VfsErrorCode::NoMemory,
        _ => code,
    };
    let described = VfsError::new(code, format!("{operation} {path:?}: {error}").into());
    match error.raw_os_error().and_then(SystemErrorCode::from_raw) {
        Some(number) => described.with_system_error(number),
        None => described,
    }
}
