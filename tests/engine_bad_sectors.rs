//! A disk that cannot be read everywhere: who meets the bad place fails, and no other, and the file is
//! not opened again for ever.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use chatstore::vfs::simulated::SimulatedDisk;
use chatstore::vfs::{OpenMode, RawFile, Storage};
use chatstore::{Options, Outcome};
use clients::{Clients, add, new_session};
use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};

/// A store whose messages lie where nothing can be read.
fn store_with_bad_sectors() -> Clients {
    let disk = SimulatedDisk::new(12);
    let mut clients = Clients::on(disk.clone(), Options::default());
    clients.call(0, new_session("s")).unwrap();
    for at in 0..60 {
        let text = "x".repeat(3_000).leak();
        clients.call(0, add("s", format!("m{at}"), text)).unwrap();
    }
    clients.engine.close().unwrap();
    let bad_from_bytes = disk.used_bytes() / 2;
    let storage = BadSectors {
        disk,
        bad_from_bytes,
    };
    Clients::on(storage, Options::default())
}

#[test]
fn a_call_that_meets_a_bad_sector_takes_no_other_of_its_group_with_it() {
    let mut clients = store_with_bad_sectors();
    let calls = ["t", "u"].map(|id| clients.send(1, 0, new_session(id)));
    let fails = clients.send(2, 0, add("s", "new", "text"));
    let behind = clients.send(3, 0, new_session("v"));
    clients.step();
    let error = clients.result(fails).unwrap_err();
    assert_eq!(error.code().as_str(), "IO_ERROR", "{error}");
    assert_eq!(error.outcome(), Some(Outcome::NotApplied));
    for call in calls.into_iter().chain([behind]) {
        clients.result(call).unwrap();
    }
}

#[test]
fn a_group_in_which_every_call_fails_opens_the_file_again_a_bounded_number_of_times() {
    let mut clients = store_with_bad_sectors();
    let calls: Vec<u64> = (0..100)
        .map(|at| clients.send(1, 0, add("s", format!("new{at}"), "text")))
        .collect();
    clients.step();
    for call in calls {
        let error = clients.result(call).unwrap_err();
        assert_eq!(error.code().as_str(), "IO_ERROR", "{error}");
        assert_eq!(error.outcome(), Some(Outcome::NotApplied), "{error}");
    }
    let reopened = clients.figure("reopened");
    assert!(reopened <= 8, "{reopened} times");
    clients.call(0, new_session("t")).unwrap();
}

/// A disk on which a part of the database file cannot be read.
struct BadSectors {
    disk: SimulatedDisk,
    bad_from_bytes: u64,
}

struct BadSectorsFile {
    file: Box<dyn RawFile>,
    bad_from_bytes: u64,
}

impl Storage for BadSectors {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let file = self.disk.open(path, mode)?;
        if !mode.main_database {
            return Ok(file);
        }
        let bad_from_bytes = self.bad_from_bytes;
        Ok(Box::new(BadSectorsFile {
            file,
            bad_from_bytes,
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.disk.delete(path, sync_directory)
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

impl RawFile for BadSectorsFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        if offset_bytes >= self.bad_from_bytes {
            return Err(VfsError::new(VfsErrorCode::IoRead, "a bad sector".into()));
        }
        self.file.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.file.write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.file.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.file.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.file.size_bytes()
    }
}
