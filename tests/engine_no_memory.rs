//! Memory that SQLite asks for and does not get, one allocation after the other: each call is whole or
//! not at all, and what was acknowledged is there.
//!
//! In a file of its own, since the allocator is that of the whole process; and one test at a time.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use chatstore::Request;
use chatstore::engine::Purpose;
use chatstore::model::{NewMessage, PageOptions, Search};
use clients::{Clients, Settled, add, new_session, operation};
use rusqlite::ffi;

/// SQLite's own allocator, behind the one that fails.
struct Allocator {
    allocate: unsafe extern "C" fn(c_int) -> *mut c_void,
    reallocate: unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void,
}

static ALLOCATOR: OnceLock<Allocator> = OnceLock::new();
/// Allocations until some are refused; no more are refused once it is at `i64::MIN`.
static LEFT: AtomicI64 = AtomicI64::new(i64::MAX);
/// How many are refused then.
static REFUSED: AtomicI64 = AtomicI64::new(0);

fn is_refused() -> bool {
    let left = LEFT.fetch_sub(1, Ordering::Relaxed);
    left <= 0 && left > -REFUSED.load(Ordering::Relaxed)
}

unsafe extern "C" fn allocate(bytes: c_int) -> *mut c_void {
    match ALLOCATOR.get() {
        // SAFETY: it is called as SQLite called this one.
        Some(own) if !is_refused() => unsafe { (own.allocate)(bytes) },
        _ => std::ptr::null_mut(),
    }
}

unsafe extern "C" fn reallocate(memory: *mut c_void, bytes: c_int) -> *mut c_void {
    match ALLOCATOR.get() {
        // SAFETY: it is called as SQLite called this one.
        Some(own) if !is_refused() => unsafe { (own.reallocate)(memory, bytes) },
        _ => std::ptr::null_mut(),
    }
}

/// The one test that may run now, over the allocator that fails.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    ALLOCATOR.get_or_init(|| {
        let mut methods = MaybeUninit::<ffi::sqlite3_mem_methods>::uninit();
        // SAFETY: nothing of SQLite runs yet; it fills the methods in, and copies those that it is given.
        unsafe {
            let told = ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, methods.as_mut_ptr());
            assert_eq!(told, ffi::SQLITE_OK);
            let methods = methods.assume_init();
            let failing = ffi::sqlite3_mem_methods {
                xMalloc: Some(allocate),
                xRealloc: Some(reallocate),
                ..methods
            };
            let set = ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const failing);
            assert_eq!(set, ffi::SQLITE_OK);
            Allocator {
                allocate: methods.xMalloc.expect("it allocates"),
                reallocate: methods.xRealloc.expect("it reallocates"),
            }
        }
    });
    guard
}

/// Runs an action while some allocations are refused, after some that are not. Gives whether it came
/// as far.
fn refusing(after: i64, times: i64, action: impl FnOnce()) -> bool {
    REFUSED.store(times, Ordering::Relaxed);
    LEFT.store(after, Ordering::Relaxed);
    action();
    LEFT.swap(i64::MAX, Ordering::Relaxed) <= 0
}

/// Each of the allocations that an action makes, or one in so many, refused alone and with those behind
/// it.
fn refuse_one_in(step: usize, mut with: impl FnMut(i64, i64) -> bool) {
    for times in [1, 3, 1_000_000] {
        let ended = (0..20_000).step_by(step).find(|&after| !with(after, times));
        let ended = ended.expect("it comes to an end");
        assert!(ended > 10, "only {ended} allocations");
    }
}

/// Two messages in one call.
fn pair(ids: [&'static str; 2]) -> Request<'static> {
    let message = |id| NewMessage {
        session_id: "s",
        id: Some(id),
        role: "user",
        text: Some("text"),
        ..NewMessage::default()
    };
    Request::MessagesAdd(ids.map(message).to_vec())
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

/// A store with a session and a message in it.
fn store() -> Clients {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "a", "text")).unwrap();
    clients
}

/// Whether it failed for want of memory; and it must not have failed for anything else.
fn did_not_fit(result: &Settled, context: &str) -> bool {
    let Err(error) = result else { return false };
    let code = error.code().as_str();
    let is_clear = ["OUT_OF_MEMORY", "TRANSACTION_LOST", "SNAPSHOT_EXPIRED"].contains(&code);
    assert!(is_clear, "{context}: {error} {:?}", error.details());
    true
}

#[test]
fn in_a_group_each_call_is_whole_or_not_at_all() {
    let _alone = alone();
    refuse_one_in(1, |after, times| {
        let mut clients = store();
        let calls = [
            ("b", clients.send(1, 0, add("s", "b", "text"))),
            // It fails half-way, and what it did has to be taken back.
            ("c", clients.send(1, 0, pair(["c", "a"]))),
            ("d", clients.send(1, 0, add("s", "d", "text"))),
        ];
        let came_as_far = refusing(after, times, || {
            clients.step();
        });
        let stored = clients.ids(0, "s").unwrap();
        for (id, call) in calls {
            let context = format!("{times} allocations refused after {after}, {id}");
            let result = clients.result(call);
            let is_stored = stored.iter().any(|stored| stored == id);
            assert_eq!(is_stored, result.is_ok(), "{context}");
            if id != "c" {
                did_not_fit(&result, &context);
            }
        }
        clients.call(0, add("s", "e", "text")).unwrap();
        came_as_far
    });
}

#[test]
fn a_transaction_is_whole_or_lost() {
    let _alone = alone();
    refuse_one_in(1, |after, times| {
        let context = format!("{times} allocations refused after {after}");
        let mut clients = store();
        let tx = clients.transaction(1, 60_000.0);
        let calls = [
            add("s", "b", "text"),
            Request::TransactionSavepoint,
            add("s", "undone", "text"),
            Request::TransactionRollbackTo,
            add("s", "c", "text"),
        ];
        let mut results = Vec::new();
        let mut committed = false;
        let came_as_far = refusing(after, times, || {
            for call in calls {
                let call = clients.send(1, tx, call);
                results.push(clients.result(call));
            }
            let commit = clients.send_as(1, tx, Request::TransactionCommit, operation("op", 1));
            let commit = clients.result(commit);
            committed = commit.is_ok();
            results.push(commit);
        });
        let mut expected = vec!["a"];
        if committed {
            expected.extend(results[0].is_ok().then_some("b"));
            // Without its savepoint it is part of the transaction, and cannot be taken back.
            let is_kept = results[1].is_err() && results[2].is_ok();
            expected.extend(is_kept.then_some("undone"));
            expected.extend(results[4].is_ok().then_some("c"));
        }
        assert_eq!(
            clients.ids(0, "s").unwrap(),
            expected,
            "{context}: {results:?}"
        );
        clients.call(0, add("s", "e", "text")).unwrap();
        came_as_far
    });
}

#[test]
fn reads_searches_and_snapshots_settle_and_are_right() {
    let _alone = alone();
    for (step, indexed) in [(7, true), (41, false)] {
        refuse_one_in(step, |after, times| {
            let context = format!("{times} allocations refused after {after}");
            let mut clients = store();
            if indexed {
                clients.pass(1_000.0);
            }
            let mut results = Vec::new();
            let came_as_far = refusing(after, times, || {
                let calls = [
                    clients.send(1, 0, search("text")),
                    clients.send(
                        1,
                        0,
                        Request::SnapshotBegin {
                            lease_ms: 60_000.0,
                            indexed: true,
                            purpose: Purpose::Reads,
                        },
                    ),
                    clients.send(1, 0, clients::list("s")),
                ];
                clients.settle();
                clients.pass(1_000.0);
                results.extend(calls.map(|call| clients.result(call)));
            });
            for result in &results {
                did_not_fit(result, &context);
            }
            let found = clients.call(0, search("text")).unwrap();
            assert!(matches!(found.reply, chatstore::Reply::Hits(page) if page.items.len() == 1));
            assert_eq!(clients.ids(0, "s").unwrap(), ["a"]);
            clients.call(0, add("s", "e", "text")).unwrap();
            came_as_far
        });
    }
}

#[test]
fn what_is_done_while_nothing_waits_leaves_the_store_usable() {
    let _alone = alone();
    refuse_one_in(41, |after, times| {
        let mut clients = store();
        let came_as_far = refusing(after, times, || {
            clients.pass(100.0);
            clients.pass(1_000_000.0);
        });
        clients.call(0, add("s", "b", "text")).unwrap();
        let found = clients.call(0, search("text")).unwrap();
        assert!(matches!(found.reply, chatstore::Reply::Hits(page) if page.items.len() == 2));
        assert_eq!(clients.ids(0, "s").unwrap(), ["a", "b"]);
        came_as_far
    });
}
