//! A storage that writes down what is asked of it and passes it on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use rsqlite_vfs::{OsCallback, VfsResult};

use crate::vfs::storage::{OpenMode, RawFile, Storage};

/// One call that reached the storage and succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The file it was about.
    pub path: String,
    /// What was done.
    pub action: Action,
}

/// What was done to a file. Reads and sizes are not written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Opened, perhaps made.
    Open,
    /// Bytes were written at a position.
    Write {
        /// Where, in bytes.
        offset_bytes: u64,
        /// How many.
        length_bytes: usize,
    },
    /// Cut to a size in bytes.
    Truncate(u64),
    /// Made durable.
    Sync,
    /// Its name was made durable.
    SyncDirectory,
    /// Removed.
    Delete,
}

impl Action {
    /// Whether bytes were written.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Write { .. })
    }
}

type SharedRaw = Rc<RefCell<Box<dyn RawFile>>>;
type WeakRaw = Weak<RefCell<Box<dyn RawFile>>>;

/// Wraps a storage; reads its files at any moment through the handles that are open.
pub struct Recording {
    inner: Box<dyn Storage>,
    events: Rc<RefCell<Vec<Event>>>,
    open: RefCell<BTreeMap<String, WeakRaw>>,
}

impl Recording {
    /// Records the calls to `storage`.
    pub fn new(storage: impl Storage) -> Self {
        Self {
            inner: Box::new(storage),
            events: Rc::default(),
            open: RefCell::default(),
        }
    }

    /// The calls since the last time, in order.
    pub fn take(&self) -> Vec<Event> {
        self.events.take()
    }

    /// All bytes of a file as the storage has them at this moment.
    pub fn bytes(&self, path: &str) -> VfsResult<Vec<u8>> {
        let open = self.open.borrow().get(path).and_then(Weak::upgrade);
        let read = |raw: &mut dyn RawFile| {
            let size = usize::try_from(raw.size_bytes()?).unwrap_or(0);
            let mut bytes = vec![0; size];
            let count = raw.read_at(&mut bytes, 0)?;
            bytes.truncate(count);
            Ok(bytes)
        };
        match open {
            Some(raw) => read(&mut **raw.borrow_mut()),
            None => {
                let mode = OpenMode {
                    read_only: true,
                    ..OpenMode::default()
                };
                read(&mut *self.inner.open(path, mode)?)
            }
        }
    }

    /// Makes a file of these bytes.
    pub fn put(&self, path: &str, bytes: &[u8]) -> VfsResult<()> {
        let mode = OpenMode {
            create: true,
            exclusive: true,
            ..OpenMode::default()
        };
        self.inner.open(path, mode)?.write_at(bytes, 0)
    }

    /// Copies a file as it is at this moment: what a killed owner leaves behind.
    pub fn copy(&self, from: &str, to: &str) -> VfsResult<()> {
        self.put(to, &self.bytes(from)?)
    }

    fn note(&self, path: &str, action: Action) {
        self.events.borrow_mut().push(Event {
            path: path.into(),
            action,
        });
    }
}

impl Storage for Recording {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let raw: SharedRaw = Rc::new(RefCell::new(self.inner.open(path, mode)?));
        self.open
            .borrow_mut()
            .insert(path.into(), Rc::downgrade(&raw));
        self.note(path, Action::Open);
        Ok(Box::new(RecordedFile {
            raw,
            path: path.into(),
            events: Rc::clone(&self.events),
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.inner.delete(path, sync_directory)?;
        self.open.borrow_mut().remove(path);
        self.note(path, Action::Delete);
        if sync_directory {
            self.note(path, Action::SyncDirectory);
        }
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        self.inner.sync_directory(path)?;
        self.note(path, Action::SyncDirectory);
        Ok(())
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.inner.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.inner.full_path(path)
    }

    fn modified_ms(&self, path: &str) -> VfsResult<Option<i64>> {
        self.inner.modified_ms(path)
    }

    fn identity(&self, path: &str) -> VfsResult<Option<String>> {
        self.inner.identity(path)
    }

    fn os(&self) -> &dyn OsCallback {
        self.inner.os()
    }
}

struct RecordedFile {
    raw: SharedRaw,
    path: String,
    events: Rc<RefCell<Vec<Event>>>,
}

impl RecordedFile {
    fn note(&self, action: Action) {
        self.events.borrow_mut().push(Event {
            path: self.path.clone(),
            action,
        });
    }
}

impl RawFile for RecordedFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.raw.borrow_mut().read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.raw.borrow_mut().write_at(bytes, offset_bytes)?;
        self.note(Action::Write {
            offset_bytes,
            length_bytes: bytes.len(),
        });
        Ok(())
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.raw.borrow_mut().truncate(size_bytes)?;
        self.note(Action::Truncate(size_bytes));
        Ok(())
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.raw.borrow_mut().sync(data_only)?;
        self.note(Action::Sync);
        Ok(())
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.raw.borrow().size_bytes()
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        self.raw.borrow_mut().set_modified_ms(modified_ms)
    }
}
