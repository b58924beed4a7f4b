//! A store that has used up its room: what is kept back is for emptying the log, so that deleting always works.

#[path = "support/clients.rs"]
mod clients;

use std::cell::Cell;
use std::rc::Rc;

use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::vfs::{OpenMode, RawFile, Storage};
use chatstore::{Options, Request};
use clients::{Clients, add, code, new_session};
use rsqlite_vfs::{OsCallback, VfsErrorCode, VfsResult};

const RESERVE_BYTES: u64 = 4 << 20;
/// As long as no message of a chat should be, and shorter than what is kept back by far.
const TEXT: &str = "a chat of many words ";
const TEXT_REPEATS: usize = 2_000;
const INDEXED_AFTER_MS: f64 = 100.0;

/// A disk of which a part is kept back.
#[derive(Clone)]
struct Reserved {
    disk: SimulatedDisk,
    room_bytes: Rc<Cell<u64>>,
    is_held: Rc<Cell<bool>>,
}

impl Reserved {
    fn of(room_bytes: u64) -> Self {
        let reserved = Self {
            disk: SimulatedDisk::new(1),
            room_bytes: Rc::new(Cell::new(room_bytes)),
            is_held: Rc::default(),
        };
        assert!(reserved.hold_reserve());
        reserved
    }
}

impl Storage for Reserved {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        self.disk.open(path, mode)
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

    fn reserve_bytes(&self) -> u64 {
        RESERVE_BYTES
    }

    fn hold_reserve(&self) -> bool {
        let left_bytes = self.room_bytes.get().saturating_sub(RESERVE_BYTES);
        if !self.is_held.get() && self.disk.used_bytes() <= left_bytes {
            self.is_held.set(true);
            self.disk.set_room_bytes(Some(left_bytes));
        }
        self.is_held.get()
    }

    fn release_reserve(&self) {
        self.is_held.set(false);
        self.disk.set_room_bytes(Some(self.room_bytes.get()));
    }

    fn os(&self) -> &dyn OsCallback {
        self.disk.os()
    }
}

/// Adds messages until one fails; gives how many were acknowledged.
fn fill_up(clients: &mut Clients, round: usize, between_ms: f64) -> usize {
    for at in 0..2_000 {
        let id: &'static str = format!("{round} {at}").leak();
        match code(clients.call(0, add("s", id, TEXT.repeat(TEXT_REPEATS).leak()))) {
            "none" => clients.pass(between_ms),
            "DISK_FULL" => return at,
            other => panic!("message {at} ended with {other}"),
        }
    }
    panic!("it is never full");
}

fn delete_all(clients: &mut Clients) -> usize {
    let mut deleted = 0;
    loop {
        let ids = clients.ids(0, "s").expect("a full store is read");
        if ids.is_empty() {
            return deleted;
        }
        for id in ids {
            let request = Request::MessagesDelete {
                session_id: "s".into(),
                id,
                permanent: true,
            };
            clients.call(0, request).expect("what is there is deleted");
            deleted += 1;
        }
    }
}

#[test]
fn a_full_store_takes_messages_again_once_some_are_deleted_as_often_as_it_gets_full() {
    // The search index follows in the meantime, and what is deleted has to be taken out of it; or it waits
    // until there is no room for it.
    for between_ms in [INDEXED_AFTER_MS, 0.0] {
        let storage = Reserved::of(16 << 20);
        let mut clients = Clients::on(storage.clone(), Options::default());
        clients.call(0, new_session("s")).unwrap();
        let first = fill_up(&mut clients, 0, between_ms);
        assert!(first > 50, "{first} fit");
        let mut there = first;
        for round in 1..=3 {
            clients.pass(INDEXED_AFTER_MS);
            assert_eq!(delete_all(&mut clients), there);
            there = fill_up(&mut clients, round, between_ms);
            assert!(there > first / 2, "{there} of {first} fit in round {round}");
        }
        clients.engine.close().unwrap();
        let mut clients = Clients::on(storage, Options::default());
        assert_eq!(clients.ids(0, "s").unwrap().len(), there);
    }
}

#[test]
fn with_more_room_a_full_store_takes_messages_again_at_once() {
    let storage = Reserved::of(16 << 20);
    let mut clients = Clients::on(storage.clone(), Options::default());
    clients.call(0, new_session("s")).unwrap();
    fill_up(&mut clients, 0, 0.0);
    assert!(!storage.is_held.get(), "what was kept back was needed");
    let more = clients.call(0, add("s", "one more", "short"));
    assert_eq!(code(more), "DISK_FULL");
    storage.room_bytes.set(64 << 20);
    clients.call(0, add("s", "one more", "short")).unwrap();
    assert!(storage.is_held.get(), "and is kept back again");
}

#[test]
fn a_disk_that_was_full_once_is_written_to_as_before() {
    let disk = SimulatedDisk::new(1);
    let mut clients = Clients::on(disk.clone(), Options::default());
    clients.call(0, new_session("s")).unwrap();
    disk.fail(Script {
        on: On::Write,
        path_ends_with: "-wal",
        after_calls: 0,
        times: 1,
        fault: Fault::Fails(VfsErrorCode::Full),
    });
    assert_eq!(
        code(clients.call(0, add("s", "too much", "text"))),
        "DISK_FULL"
    );
    // The log begins anew with this one.
    clients.call(0, add("s", "first", "text")).unwrap();
    let before = clients.figure("groups");
    let flushes_before = clients.figure("storageFlushes");
    for id in ["a", "b", "c", "d", "e"] {
        let call = clients.send(1, 0, add("s", id, "text"));
        clients.step();
        clients.result(call).unwrap();
    }
    // One commit and one flush a message: the search index follows when nobody writes.
    assert_eq!(clients.figure("groups") - before, 5);
    assert_eq!(clients.figure("storageFlushes") - flushes_before, 5);
}
