//! A disk that crashes, fills up and fails as a script says, the same way each time: for tests.
//!
//! ```text
//!  SimulatedDisk ── what a process sees ── log of operations ──► History ──► Replay, at operation k
//!                                                                               │
//!                            after_process_death: all that was written, synced or not
//!                            after_power_loss:    what was synced, and a random part of the rest
//! ```
//!
//! - A history is recorded once; a [`Replay`] goes through it and gives, at any operation, a disk as
//!   the next owner would find it. Such a disk records in its turn, so crashes can follow crashes.
//! - After a loss of power each 512-byte sector is as it was synced or as one of the later writes
//!   left it, in any order; a file has one of its sizes; what it grew over may hold garbage; names
//!   made or removed since the directory's last sync may be lost. What was synced is kept exactly.
//! - [`Fault`]s are scripted by kind of call, file and number; room is limited in bytes.
//! - Time and randomness are its own and follow from the seed.
//!
//! It must not know of SQLite: it sees files, and the checks are elsewhere.

mod bytes;
mod media;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};

use self::bytes::Random;
use self::media::{FileId, Media, Operation, directory_of};
use super::storage::{OpenMode, RawFile, Storage};

/// A kind of call that a [`Fault`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum On {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    SyncDirectory,
    Delete,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and has done nothing.
    Fails(VfsErrorCode),
    /// A write puts only so many bytes into the file, or all where it has no more, then fails.
    WritesOnly(usize, VfsErrorCode),
    /// A sync fails; a part of the data is forgotten although reads still show it.
    LosesUnsynced,
    /// A read says that it gave this many bytes, whatever it gave.
    ReadCount(usize),
}

/// A [`Fault`] and when it comes.
#[derive(Debug, Clone)]
pub struct Script {
    /// The kind of call.
    pub on: On,
    /// The end of the file's path; empty for any file.
    pub path_ends_with: &'static str,
    /// So many such calls succeed first.
    pub after_calls: u64,
    /// Then so many fail.
    pub times: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// One disk with files, as one process sees it; a clone is the same disk in the same process.
#[derive(Clone)]
pub struct SimulatedDisk {
    disk: Rc<RefCell<Disk>>,
    os: Rc<SimulatedOs>,
    process: u64,
}

struct Disk {
    start: Media,
    media: Media,
    log: Vec<Operation>,
    /// Files open as main databases; each belongs to one owner.
    owned: BTreeSet<FileId>,
    /// The process that may use the disk; those before it are dead.
    process: u64,
    room_bytes: Option<u64>,
    scripts: Vec<Script>,
    random: Random,
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self::holding(Media::default(), seed)
    }

    fn holding(media: Media, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let os = SimulatedOs {
            now_ms: Cell::new(1_700_000_000_000),
            random: RefCell::new(Random::new(random.next())),
        };
        let disk = Disk {
            start: media.clone(),
            media,
            log: Vec::new(),
            owned: BTreeSet::new(),
            process: 0,
            room_bytes: None,
            scripts: Vec::new(),
            random,
        };
        Self {
            disk: Rc::new(RefCell::new(disk)),
            os: Rc::new(os),
            process: 0,
        }
    }

    /// How many operations have changed something so far.
    pub fn operations(&self) -> usize {
        self.disk.borrow().log.len()
    }

    /// All operations so far, to be gone through again.
    pub fn history(&self) -> History {
        let disk = self.disk.borrow();
        History {
            start: disk.start.clone(),
            log: disk.log.as_slice().into(),
        }
    }

    /// Kills the process: whatever it still calls fails and changes nothing. Gives the disk to the
    /// next process, which sees all that was written.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut disk = self.disk.borrow_mut();
        disk.process += 1;
        disk.owned.clear();
        Self {
            disk: Rc::clone(&self.disk),
            os: Rc::clone(&self.os),
            process: disk.process,
        }
    }

    /// The disk as the next owner finds it after a loss of power now.
    #[must_use]
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let left = self.disk.borrow().media.after_power_loss(&mut random);
        Self::holding(left, random.next())
    }

    /// Lets calls fail from now on. Of several scripts for a call the first one counts.
    pub fn fail(&self, script: Script) {
        self.disk.borrow_mut().scripts.push(script);
    }

    /// Ends all scripts.
    pub fn mend(&self) {
        self.disk.borrow_mut().scripts.clear();
    }

    /// Limits the bytes of all files together; a write beyond puts what fits and fails with
    /// [`VfsErrorCode::Full`].
    pub fn set_room_bytes(&self, room_bytes: Option<u64>) {
        self.disk.borrow_mut().room_bytes = room_bytes;
    }

    /// Bytes of all files together.
    pub fn used_bytes(&self) -> u64 {
        self.disk.borrow().media.size_bytes()
    }

    /// The bytes of a file as processes see them; none where there is no such file.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let disk = self.disk.borrow();
        let bytes = disk.media.seen(disk.media.file(path)?);
        let mut contents = vec![0; bytes.size_bytes() as usize];
        bytes.read_at(&mut contents, 0);
        Some(contents)
    }

    /// Turns one bit of a file over, behind everybody's back. Does nothing beyond the file's end.
    pub fn flip_bit(&self, path: &str, offset_bytes: u64, bit: u8) {
        let mut disk = self.disk.borrow_mut();
        if let Some(file) = disk.media.file(path) {
            disk.record(Operation::FlipBit {
                file,
                offset_bytes,
                bit,
            });
        }
    }

    /// Moves the clock forward.
    pub fn pass_ms(&self, ms: i64) {
        self.os.now_ms.set(self.os.now_ms.get() + ms);
    }

    /// The disk for a call, with the fault that the script has for it.
    fn call<T>(
        &self,
        on: On,
        path: &str,
        action: impl FnOnce(&mut Disk, Option<Fault>) -> VfsResult<T>,
    ) -> VfsResult<T> {
        let mut disk = self.disk.borrow_mut();
        if disk.process != self.process {
            return Err(error(VfsErrorCode::Io, on, path, "the process is dead"));
        }
        match disk.next_fault(on, path) {
            Some(Fault::Fails(code)) => Err(error(code, on, path, "failed as scripted")),
            fault => action(&mut disk, fault),
        }
    }
}

impl Disk {
    fn record(&mut self, operation: Operation) {
        self.media.apply(&operation);
        self.log.push(operation);
    }

    fn next_fault(&mut self, on: On, path: &str) -> Option<Fault> {
        let script = self.scripts.iter_mut().find(|script| {
            script.on == on && script.times > 0 && path.ends_with(script.path_ends_with)
        })?;
        if script.after_calls > 0 {
            script.after_calls -= 1;
            return None;
        }
        script.times -= 1;
        Some(script.fault)
    }

    /// How many bytes of a write fit.
    fn fitting(&self, file: FileId, offset_bytes: u64, length: usize) -> usize {
        let Some(room_bytes) = self.room_bytes else {
            return length;
        };
        let size_bytes = self.media.seen(file).size_bytes();
        let others = self.media.size_bytes() - size_bytes;
        let end = room_bytes.saturating_sub(others).max(size_bytes);
        usize::try_from(end.saturating_sub(offset_bytes))
            .unwrap_or(usize::MAX)
            .min(length)
    }
}

impl Storage for SimulatedDisk {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        self.call(On::Open, path, |disk, _| {
            let cannot = |what| Err(error(VfsErrorCode::CantOpen, On::Open, path, what));
            let file = match disk.media.file(path) {
                Some(_) if mode.create && mode.exclusive => return cannot("exists"),
                Some(file) => file,
                None if mode.create => {
                    disk.record(Operation::Create { path: path.into() });
                    disk.media.file(path).expect("it was just created")
                }
                None => return cannot("does not exist"),
            };
            if mode.main_database && !disk.owned.insert(file) {
                return Err(error(
                    VfsErrorCode::Busy,
                    On::Open,
                    path,
                    "is open elsewhere",
                ));
            }
            Ok(Box::new(SimulatedFile {
                disk: self.clone(),
                file,
                path: path.into(),
                owns: mode.main_database,
                read_only: mode.read_only,
            }) as Box<dyn RawFile>)
        })
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.call(On::Delete, path, |disk, _| {
            if disk.media.file(path).is_none() {
                return Err(error(
                    VfsErrorCode::IoDeleteNoEntry,
                    On::Delete,
                    path,
                    "does not exist",
                ));
            }
            disk.record(Operation::Delete { path: path.into() });
            Ok(())
        })?;
        if sync_directory {
            self.sync_directory(path)?;
        }
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        self.call(On::SyncDirectory, path, |disk, _| {
            disk.record(Operation::SyncDirectory {
                directory: directory_of(path).into(),
            });
            Ok(())
        })
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        Ok(self.disk.borrow().media.file(path).is_some())
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        match path.trim_start_matches("./") {
            "" => Err(VfsError::new(
                VfsErrorCode::CantOpen,
                format!("the file {path:?} has no name").into(),
            )),
            name => Ok(name.into()),
        }
    }

    fn os(&self) -> &dyn OsCallback {
        &*self.os
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: FileId,
    path: Rc<str>,
    owns: bool,
    read_only: bool,
}

impl SimulatedFile {
    fn refuse_if_read_only(&self, on: On) -> VfsResult<()> {
        if self.read_only {
            return Err(error(
                VfsErrorCode::ReadOnly,
                on,
                &self.path,
                "is open for reading",
            ));
        }
        Ok(())
    }
}

impl RawFile for SimulatedFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.disk.call(On::Read, &self.path, |disk, fault| {
            let count = disk.media.seen(self.file).read_at(buffer, offset_bytes);
            Ok(match fault {
                Some(Fault::ReadCount(count)) => count,
                _ => count,
            })
        })
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.refuse_if_read_only(On::Write)?;
        self.disk.call(On::Write, &self.path, |disk, fault| {
            let fitting = disk.fitting(self.file, offset_bytes, bytes.len());
            let (count, code) = match fault {
                Some(Fault::WritesOnly(count, code)) => (count.min(fitting), Some(code)),
                _ if fitting < bytes.len() => (fitting, Some(VfsErrorCode::Full)),
                _ => (fitting, None),
            };
            if count > 0 {
                disk.record(Operation::Write {
                    file: self.file,
                    offset_bytes,
                    bytes: bytes[..count].into(),
                });
            }
            if let Some(code) = code {
                let what = format!("took {count} of {} bytes", bytes.len());
                return Err(error(code, On::Write, &self.path, &what));
            }
            Ok(())
        })
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.refuse_if_read_only(On::Truncate)?;
        self.disk.call(On::Truncate, &self.path, |disk, _| {
            disk.record(Operation::Truncate {
                file: self.file,
                size_bytes,
            });
            Ok(())
        })
    }

    fn sync(&mut self, _data_only: bool) -> VfsResult<()> {
        self.disk.call(On::Sync, &self.path, |disk, fault| {
            if fault == Some(Fault::LosesUnsynced) {
                let seed = disk.random.next();
                disk.record(Operation::LostSync {
                    file: self.file,
                    seed,
                });
                return Err(error(
                    VfsErrorCode::IoSync,
                    On::Sync,
                    &self.path,
                    "lost data as scripted",
                ));
            }
            disk.record(Operation::Sync { file: self.file });
            Ok(())
        })
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        Ok(self.disk.disk.borrow().media.seen(self.file).size_bytes())
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut disk = self.disk.disk.borrow_mut();
        if self.owns && disk.process == self.disk.process {
            disk.owned.remove(&self.file);
        }
    }
}

/// What happened to a disk, from its beginning.
#[derive(Clone)]
pub struct History {
    start: Media,
    log: Rc<[Operation]>,
}

impl History {
    /// How many operations it has; a crash can come before each and after the last.
    pub fn operations(&self) -> usize {
        self.log.len()
    }

    /// One operation in words: what it did to which file.
    pub fn describe(&self, operation: usize) -> String {
        self.log[operation].to_string()
    }

    /// The disk as it was at the beginning, to go through what happened to it.
    pub fn replay(&self) -> Replay {
        Replay {
            media: self.start.clone(),
            log: Rc::clone(&self.log),
            done: 0,
        }
    }
}

/// A [`History`] gone through up to some operation.
pub struct Replay {
    media: Media,
    log: Rc<[Operation]>,
    done: usize,
}

impl Replay {
    /// Goes on until so many operations are done; never back.
    pub fn advance(&mut self, operations: usize) {
        for operation in &self.log[self.done..operations] {
            self.media.apply(operation);
        }
        self.done = operations;
    }

    /// The disk as the next owner finds it when the power goes here.
    pub fn after_power_loss(&self, seed: u64) -> SimulatedDisk {
        let mut random = Random::new(seed);
        let left = self.media.after_power_loss(&mut random);
        SimulatedDisk::holding(left, random.next())
    }

    /// The disk as the next owner finds it when only the process dies here: everything written is
    /// there, what was not synced can still be lost. At times it dies within the next write.
    pub fn after_process_death(&self, seed: u64) -> SimulatedDisk {
        let mut random = Random::new(seed);
        let mut media = self.media.clone();
        if let Some(Operation::Write {
            file,
            offset_bytes,
            bytes,
        }) = self.log.get(self.done)
            && random.percent(30)
        {
            let length = random.below(bytes.len());
            media.apply(&Operation::Write {
                file: *file,
                offset_bytes: *offset_bytes,
                bytes: bytes[..length].into(),
            });
        }
        SimulatedDisk::holding(media, random.next())
    }
}

/// The clock and the randomness of the machine.
struct SimulatedOs {
    now_ms: Cell<i64>,
    random: RefCell<Random>,
}

impl OsCallback for SimulatedOs {
    fn sleep(&self, duration: Duration) {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.set(self.now_ms.get().saturating_add(ms));
    }

    fn random(&self, buffer: &mut [u8]) -> usize {
        self.random.borrow_mut().fill(buffer);
        buffer.len()
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        // Each look takes a moment, so that no two calls happen at the same time.
        self.now_ms.set(self.now_ms.get() + 1);
        Ok(self.now_ms.get())
    }
}

fn error(code: VfsErrorCode, on: On, path: &str, what: &str) -> VfsError {
    VfsError::new(code, format!("{on:?} of {path:?}: {what}").into())
}
