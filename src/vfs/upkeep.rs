//! What an owner of a file asks of the VFS beside SQLite: flushing, cutting what
//! never reached the disk, judging pages, times and identities.
//!
//! Paths are those given to [`Vfs::connect`]. A file that is open is used as it
//! is; one that is not is opened for the moment, and never made.

use rsqlite_vfs::{FileKind, OpenAccess, OpenOptions, VfsError, VfsErrorCode, VfsResult, VfsStore};

use super::Vfs;
use super::checksum::{self, ChecksumPolicy, DamagedPages};
use super::figures::{Figures, as_u64};
use super::instance::{Instance, Store};
use super::shared_file::SharedFile;
use super::storage::RawFile;
use super::wal_space::Unflushed;

impl Vfs {
    /// What reached the storage since this VFS was registered.
    pub fn figures(&self) -> Figures {
        self.instance.counter.figures()
    }

    /// Flushes a database and its WAL, and their names, as far as they exist.
    ///
    /// What a former owner wrote and did not flush can be read, and yet be gone
    /// after a loss of power. Once this has succeeded it cannot.
    ///
    /// # Errors
    ///
    /// Those of flushing. Nothing that was read is sure then.
    pub fn sync_files(&self, path: &str) -> VfsResult<()> {
        self.run(VfsErrorCode::IoSync, |instance| {
            let path = instance.full_path(path)?;
            // The log first: the database may depend on it.
            for (path, kind) in [(wal_path(&path), FileKind::Wal), (path, FileKind::MainDb)] {
                if instance.storage.exists(&path)? {
                    with_file(instance, &path, kind, |file| file.sync(instance, false))?;
                }
            }
            Ok(())
        })
    }

    /// Cuts the WAL of a database to what was flushed of it, and flushes the cut.
    ///
    /// For after a failed flush, when all connections are closed: what was written
    /// since the last flush that succeeded may be on the disk, or not, and must
    /// not be found by the next connection. Bytes that were there when the first
    /// connection opened the WAL are kept. The memory of it lasts until the WAL is
    /// opened by a connection again. Where there is no WAL, nothing happens.
    ///
    /// # Errors
    ///
    /// `SQLITE_BUSY` where a connection has the WAL open; those of cutting and flushing.
    pub fn cut_unflushed(&self, path: &str) -> VfsResult<()> {
        self.with_closed_wal(path, |instance, path, unflushed| {
            let Some(flushed_bytes) = unflushed.from() else {
                return Ok(());
            };
            with_file(instance, path, FileKind::Wal, |file| {
                file.with_raw(VfsErrorCode::IoTruncate, |raw| cut_to(raw, flushed_bytes))?;
                file.sync(instance, false)
            })
        })
    }

    /// Cuts the WAL of a database to what was written of it without an error.
    ///
    /// As [`Vfs::cut_unflushed`], for an owner that acknowledges what is not flushed. The cut is not
    /// flushed either.
    ///
    /// # Errors
    ///
    /// As [`Vfs::cut_unflushed`].
    pub fn cut_torn(&self, path: &str) -> VfsResult<()> {
        self.with_closed_wal(path, |instance, path, unflushed| {
            let Some(torn_from) = unflushed.torn_from() else {
                return Ok(());
            };
            with_file(instance, path, FileKind::Wal, |file| {
                file.with_raw(VfsErrorCode::IoTruncate, |raw| cut_to(raw, torn_from))
            })
        })
    }

    /// Writes the WAL of a database once more, as it is, where there is one and it may be written to.
    ///
    /// For a new owner: a flush that failed may have dropped bytes that can be read all the same. The
    /// next flush would not bring them to the disk, and a checkpoint relies on them. It is not flushed.
    ///
    /// # Errors
    ///
    /// `SQLITE_BUSY` where a connection has the WAL open; those of reading and writing.
    pub fn write_wal_again(&self, path: &str) -> VfsResult<()> {
        self.run(VfsErrorCode::IoWrite, |instance| {
            let path = wal_path(&instance.full_path(path)?);
            expect_closed(instance, &path)?;
            if !instance.storage.exists(&path)? {
                return Ok(());
            }
            match instance.open_unshared(&path, FileKind::Wal)? {
                Some(mut raw) => write_again(&mut *raw),
                None => Ok(()),
            }
        })
    }

    /// Runs an action on a WAL that is there and not open.
    fn with_closed_wal(
        &self,
        path: &str,
        action: impl FnOnce(&Instance, &str, &Unflushed) -> VfsResult<()>,
    ) -> VfsResult<()> {
        self.run(VfsErrorCode::IoTruncate, |instance| {
            let path = wal_path(&instance.full_path(path)?);
            expect_closed(instance, &path)?;
            let unflushed = instance.unflushed(&path);
            if unflushed.from().is_none() && unflushed.torn_from().is_none() {
                return Ok(());
            }
            if !instance.storage.exists(&path)? {
                // SQLite deletes a log that it is done with. It must not come back.
                return instance.storage.sync_directory(&path);
            }
            action(instance, &path, &unflushed)
        })
    }

    /// Says what a page that does not match its checksum means, from now on and
    /// until said otherwise. [`ChecksumPolicy::Verify`] to begin with. Gives what held before.
    ///
    /// # Errors
    ///
    /// Where the path cannot be resolved.
    pub fn set_checksum_policy(
        &self,
        path: &str,
        policy: ChecksumPolicy,
    ) -> VfsResult<ChecksumPolicy> {
        self.run(VfsErrorCode::Io, |instance| {
            let path = instance.full_path(path)?;
            Ok(instance.checks(&path).set_policy(policy))
        })
    }

    /// The pages of a database that did not match their checksums, since this VFS
    /// was registered or the file was resealed.
    ///
    /// # Errors
    ///
    /// Where the path cannot be resolved.
    pub fn damaged_pages(&self, path: &str) -> VfsResult<DamagedPages> {
        self.run(VfsErrorCode::Io, |instance| {
            let path = instance.full_path(path)?;
            Ok(instance.checks(&path).damaged())
        })
    }

    /// Gives each page of a database file that does not match its checksum a new
    /// one, flushes the file, and gives the count of those pages.
    ///
    /// For a file that another program wrote to, once it is known to be sound. What
    /// stands in a WAL is not looked at: it gets its checksums when it moves.
    ///
    /// # Errors
    ///
    /// Those of reading, writing and flushing. Pages done so far stay done.
    pub fn reseal(&self, path: &str) -> VfsResult<u64> {
        self.run(VfsErrorCode::IoWrite, |instance| {
            let path = instance.full_path(path)?;
            let checks = instance.checks(&path);
            let policy = checks.set_policy(ChecksumPolicy::Off);
            let stamped = with_file(instance, &path, FileKind::MainDb, |file| {
                let stamped = file.with_raw(VfsErrorCode::IoWrite, checksum::reseal)?;
                if stamped > 0 {
                    file.sync(instance, false)?;
                }
                Ok(stamped)
            });
            checks.set_policy(policy);
            if stamped.is_ok() {
                checks.forget_damage();
            }
            stamped
        })
    }

    /// Sets the time of a file's last change, in milliseconds since 1970-01-01 UTC,
    /// and gives whether [`Vfs::modified_ms`] will answer with exactly that.
    ///
    /// # Errors
    ///
    /// Where there is no such file, or its time cannot be set.
    pub fn set_modified_ms(&self, path: &str, modified_ms: i64) -> VfsResult<bool> {
        self.run(VfsErrorCode::Io, |instance| {
            let path = instance.full_path(path)?;
            with_file(instance, &path, FileKind::MainDb, |file| {
                file.with_raw(VfsErrorCode::Io, |raw| raw.set_modified_ms(modified_ms))
            })
        })
    }

    /// See [`Storage::modified_ms`](super::Storage::modified_ms).
    ///
    /// # Errors
    ///
    /// Where it cannot be found out.
    pub fn modified_ms(&self, path: &str) -> VfsResult<Option<i64>> {
        self.run(VfsErrorCode::IoStat, |instance| {
            instance.storage.modified_ms(path)
        })
    }

    /// See [`Storage::identity`](super::Storage::identity).
    ///
    /// # Errors
    ///
    /// Where it cannot be found out.
    pub fn identity(&self, path: &str) -> VfsResult<Option<String>> {
        self.run(VfsErrorCode::IoStat, |instance| {
            instance.storage.identity(path)
        })
    }

    /// Whether the storage has a file of that name, such as the `-shm` that other
    /// programs put beside a database, and this VFS never.
    ///
    /// # Errors
    ///
    /// Where it cannot be found out.
    pub fn exists(&self, path: &str) -> VfsResult<bool> {
        self.run(VfsErrorCode::IoAccess, |instance| {
            instance.storage.exists(path)
        })
    }

    /// Runs an action under the guard of the callbacks, and keeps its error.
    fn run<T>(
        &self,
        code: VfsErrorCode,
        action: impl FnOnce(&Instance) -> VfsResult<T>,
    ) -> VfsResult<T> {
        let result = self.instance.guarded(code, || action(&self.instance));
        if let Err(error) = &result {
            Store::record_error(&self.instance, error.clone());
        }
        result
    }
}

fn cut_to(raw: &mut dyn RawFile, size_bytes: u64) -> VfsResult<()> {
    if raw.size_bytes()? > size_bytes {
        raw.truncate(size_bytes)?;
    }
    Ok(())
}

fn write_again(raw: &mut dyn RawFile) -> VfsResult<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = raw.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(());
        }
        raw.write_at(&buffer[..read], at)?;
        at += as_u64(read);
    }
}

fn expect_closed(instance: &Instance, path: &str) -> VfsResult<()> {
    if instance.open_file(path).is_none() {
        return Ok(());
    }
    Err(VfsError::new(
        VfsErrorCode::Busy,
        format!("{path:?} is open; close its connections first").into(),
    ))
}

/// The name that SQLite gives to a database's WAL.
fn wal_path(path: &str) -> String {
    format!("{path}-wal")
}

fn with_file<T>(
    instance: &Instance,
    path: &str,
    kind: FileKind,
    action: impl FnOnce(&SharedFile) -> VfsResult<T>,
) -> VfsResult<T> {
    let options = OpenOptions::new(OpenAccess::ReadWrite, kind);
    let file = instance.open_named(path, options)?;
    let result = action(&file);
    instance.let_go(path, file);
    result
}
