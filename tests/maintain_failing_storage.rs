//! Replacing on a storage that fails: after whichever write, the store is the old or the new.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/maintain.rs"]
mod stores;
mod support;

use std::cell::Cell;
use std::rc::Rc;

use chatstore::maintain::{Replace, to_the_end};
use chatstore::vfs::{MemoryStorage, OpenMode, RawFile, Storage, Vfs};
use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};
use rusqlite::OpenFlags;
use stores::{Files, PATH, bytes, filled, open, value, verify, with_bytes, write};

/// Memory files, of which nothing is written any more from some write or flush on.
struct Failing {
    files: Rc<MemoryStorage>,
    left: Rc<Cell<u64>>,
}

struct FailingFile {
    file: Box<dyn RawFile>,
    left: Rc<Cell<u64>>,
}

impl FailingFile {
    fn count(&self, code: VfsErrorCode) -> VfsResult<()> {
        match self.left.get() {
            0 => Err(VfsError::new(code, "as the test wants it".into())),
            left => {
                self.left.set(left - 1);
                Ok(())
            }
        }
    }
}

impl RawFile for FailingFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.file.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.count(VfsErrorCode::IoWrite)?;
        self.file.write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.count(VfsErrorCode::IoTruncate)?;
        self.file.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.count(VfsErrorCode::IoSync)?;
        self.file.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.file.size_bytes()
    }
}

impl Storage for Failing {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        Ok(Box::new(FailingFile {
            file: self.files.open(path, mode)?,
            left: Rc::clone(&self.left),
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.files.delete(path, sync_directory)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.files.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.files.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        self.files.os()
    }
}

const SESSIONS: &str = "SELECT count(*) FROM sessions";

#[test]
fn a_failure_at_any_write_leaves_the_old_or_the_new_store() {
    let old = bytes(&filled(), PATH);
    let small = Files::default();
    let mut chats = open(&small).unwrap();
    chats.session("other", None);
    chats.engine.close().unwrap();
    let new = bytes(&small, PATH);
    let (mut failures, mut left) = (0, 0);
    loop {
        let files = with_bytes(PATH, &old);
        write(&files, "staged.sqlite", &new);
        let left_of_it = Rc::new(Cell::new(u64::MAX));
        let storage: Rc<dyn Storage> = Rc::new(Failing {
            files: files.clone(),
            left: Rc::clone(&left_of_it),
        });
        let vfs = Vfs::register(Rc::clone(&storage)).unwrap();
        let mut live = vfs.connect(PATH, OpenFlags::default()).unwrap();
        live.execute_batch("PRAGMA journal_mode = WAL; UPDATE bots SET avatar = 'in the log'")
            .unwrap();
        left_of_it.set(left);
        let result = Replace::begin(storage, &vfs, "staged.sqlite", "kept.sqlite")
            .and_then(|mut replace| to_the_end(|| replace.step(&mut live)));
        // What the process cannot write any more, the next one finds undone.
        drop(live);
        drop(vfs);
        assert_eq!(verify(&files).problems, [], "after {left} writes");
        let sessions: i64 = value(&files, PATH, SESSIONS);
        match &result {
            Ok(_) => assert_eq!(sessions, 1, "after {left} writes"),
            Err(error) => {
                failures += 1;
                assert_eq!(sessions, 10, "after {left} writes: {error}");
                let sql = "SELECT count(*) FROM bots WHERE avatar = 'in the log'";
                assert_eq!(value::<i64>(&files, PATH, sql), 2, "after {left} writes");
            }
        }
        if result.is_ok() && left_of_it.get() > 50 {
            break;
        }
        left += 1 + left / 8;
    }
    assert!(failures > 15, "only {failures} failures");
}
