//! What an owner of a file asks of the VFS beside SQLite: flushing, cutting what
//! never reached the disk, judging pages, times and identities.
//!
//! Paths are those given to [`Vfs::connect`]. A file that is open is used as it
//! is; one that is not is opened for the moment, and never made.

use rsqlite_vfs::{FileKind, OpenAccess, OpenOptions, VfsError, VfsErrorCode, VfsResult, VfsStore};

use super::Vfs;
use super::checksum::{self, ChecksumPolicy, DamagedPages};
use super::figures::Figures;
use super::instance::{Instance, Store};
use super::shared_file::SharedFile;

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
        self.run(VfsErrorCode::IoTruncate, |instance| {
            let path = wal_path(&instance.full_path(path)?);
            if instance.open_file(&path).is_some() {
                return Err(VfsError::new(
                    VfsErrorCode::Busy,
                    format!("{path:?} is open; close its connections before it is cut").into(),
                ));
            }
            let Some(flushed_bytes) = instance.unflushed(&path).from() else {
                return Ok(());
            };
            if !instance.storage.exists(&path)? {
                // SQLite deletes a log that it is done with. It must not come back.
                return instance.storage.sync_directory(&path);
            }
            with_file(instance, &path, FileKind::Wal, |file| {
                file.with_raw(VfsErrorCode::IoTruncate, |raw| {
                    if raw.size_bytes()? > flushed_bytes {
                        raw.truncate(flushed_bytes)?;
                    }
                    Ok(())
                })?;
                file.sync(instance, false)
            })
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
