//! Where nothing can be written, on a full disk or a file that is for reading only, everything can be
//! read all the same.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use chatstore::engine::Purpose;
use chatstore::model::{MessagePatch, PageOptions, Search};
use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::vfs::{OpenMode, RawFile, Storage};
use chatstore::{Durability, Engine, Options, Reply, Request};
use clients::{Clients, add, code, new_session};
use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};

/// A store with a session and a message that is in the index.
fn store_on(disk: &SimulatedDisk) -> Clients {
    let mut clients = Clients::on(disk.clone(), Durability::Strict.into());
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "indexed", "needle")).unwrap();
    clients.pass(1_000.0);
    clients
}

fn search(query: &str) -> Request<'static> {
    Request::Search {
        search: Search {
            query: query.to_owned(),
            ..Search::default()
        },
        page: PageOptions::default(),
    }
}

fn found(clients: &mut Clients, scope: u32, query: &str) -> Vec<String> {
    match clients.call(scope, search(query)).expect("hits").reply {
        Reply::Hits(page) => page.items.into_iter().map(|hit| hit.id).collect(),
        other => panic!("expected hits, got {other:?}"),
    }
}

fn indexed_snapshot(clients: &mut Clients) -> u32 {
    let request = Request::SnapshotBegin {
        lease_ms: 60_000.0,
        indexed: true,
        purpose: Purpose::Reads,
    };
    clients.scope(1, request)
}

fn fill_up(disk: &SimulatedDisk) {
    disk.fail(Script {
        on: On::Write,
        path_ends_with: "",
        after_calls: 0,
        times: 1_000_000,
        fault: Fault::Fails(VfsErrorCode::Full),
    });
}

fn update(id: &str, text: &str) -> Request<'static> {
    Request::MessagesUpdate {
        session_id: "s".into(),
        id: id.into(),
        patch: MessagePatch {
            text: Some(text.to_owned()),
            ..MessagePatch::default()
        },
    }
}

#[test]
fn a_search_on_a_full_disk_finds_what_the_index_lacks() {
    let disk = SimulatedDisk::new(1);
    let mut clients = store_on(&disk);
    clients.call(0, add("s", "new", "needle")).unwrap();
    clients.call(0, update("indexed", "hay")).unwrap();
    fill_up(&disk);
    for _ in 0..2 {
        assert_eq!(found(&mut clients, 0, "needle"), ["new"]);
        assert_eq!(found(&mut clients, 0, "hay"), ["indexed"]);
    }
    assert_eq!(code(clients.call(0, add("s", "b", "text"))), "DISK_FULL");
    disk.mend();
    assert_eq!(found(&mut clients, 0, "needle"), ["new"]);
    clients.call(0, add("s", "c", "needle")).unwrap();
    assert_eq!(found(&mut clients, 0, "needle").len(), 2);
}

#[test]
fn a_search_on_a_full_disk_that_cannot_index_in_memory_either_says_so() {
    let disk = SimulatedDisk::new(2);
    let mut clients = store_on(&disk);
    for at in 0..30 {
        // Words of their own, so that the index of them is large.
        let text: String = (0..100_000).map(|word| format!("w{at}x{word} ")).collect();
        let message = add("s", format!("large{at}"), text.leak());
        clients.call(0, message).unwrap();
    }
    fill_up(&disk);
    // Without the rest, nobody could tell that something is missing.
    assert_eq!(code(clients.call(0, search("needle"))), "DISK_FULL");
}

#[test]
fn a_snapshot_begins_on_a_full_disk_and_says_what_it_cannot_find() {
    let disk = SimulatedDisk::new(3);
    let mut clients = store_on(&disk);
    clients.call(0, add("s", "new", "needle")).unwrap();
    fill_up(&disk);
    let snapshot = indexed_snapshot(&mut clients);
    assert_eq!(
        code(clients.call(snapshot, search("needle"))),
        "INDEX_PENDING"
    );
    assert_eq!(clients.ids(snapshot, "s").unwrap(), ["indexed", "new"]);
}

#[test]
fn a_file_for_reading_only_gives_what_it_holds_and_refuses_to_change() {
    for (was_closed, is_wanted) in [(false, false), (false, true), (true, false), (true, true)] {
        let disk = SimulatedDisk::new(4);
        let mut clients = store_on(&disk);
        clients.call(0, add("s", "new", "needle")).unwrap();
        clients.call(0, update("indexed", "hay")).unwrap();
        let disk = if was_closed {
            clients.engine.close().unwrap();
            disk
        } else {
            disk.kill()
        };
        let storage = ReadOnly {
            disk: disk.clone(),
            folder_too: false,
        };
        let mut clients = if is_wanted {
            let options = Options {
                read_only: true,
                ..Options::default()
            };
            Clients::on(disk, options)
        } else {
            Clients::on(storage, Options::default())
        };
        assert_eq!(clients.ids(0, "s").unwrap(), ["indexed", "new"]);
        // What is out of date in the index is not told, what it lacks is not known.
        assert_eq!(found(&mut clients, 0, "needle"), [""; 0]);
        let snapshot = indexed_snapshot(&mut clients);
        assert_eq!(found(&mut clients, snapshot, "hay"), [""; 0]);
        let calls = ["b", "c"].map(|id| clients.send(1, 0, add("s", id, "text")));
        clients.settle();
        for call in calls {
            assert_eq!(code(clients.result(call)), "READ_ONLY");
        }
        let tx = clients.transaction(1, 60_000.0);
        assert_eq!(code(clients.call(tx, new_session("t"))), "READ_ONLY");
        let _ = clients.call(tx, Request::TransactionCommit);
        clients.pass(1_000_000.0);
        clients.pass(1_000_000.0);
        assert_eq!(clients.ids(0, "s").unwrap(), ["indexed", "new"]);
        assert_eq!(clients.notices, [""; 0]);
        clients.engine.close().unwrap();
    }
}

#[test]
fn a_store_in_a_folder_for_reading_only_says_so() {
    let disk = SimulatedDisk::new(5);
    store_on(&disk).engine.close().unwrap();
    let storage = ReadOnly {
        disk,
        folder_too: true,
    };
    let opened = Engine::open(storage, "chats.sqlite", Durability::Strict);
    assert_eq!(code(opened), "READ_ONLY");
}

/// A disk with files that are for reading only.
struct ReadOnly {
    disk: SimulatedDisk,
    /// No file can be made either.
    folder_too: bool,
}

fn denied<T>(path: &str) -> VfsResult<T> {
    let message = format!("{path} is for reading only");
    Err(VfsError::new(VfsErrorCode::ReadOnly, message.into()))
}

impl Storage for ReadOnly {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        if !mode.read_only && (self.folder_too || self.disk.exists(path)?) {
            return denied(path);
        }
        self.disk.open(path, mode)
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        if self.folder_too {
            return denied(path);
        }
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
