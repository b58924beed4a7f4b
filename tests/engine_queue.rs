//! The writers' queue: groups, deadlines, signals, operation ids.

#[path = "support/clients.rs"]
mod clients;

use std::cell::Cell;
use std::rc::Rc;

use chatstore::model::{NewBot, PageOptions, Search};
use chatstore::vfs::{MemoryStorage, OpenMode, RawFile, Storage};
use chatstore::{Options, Outcome, Reply, Request};
use clients::{Clients, add, begin_snapshot, code, new_session, operation};
use rsqlite_vfs::{OsCallback, VfsResult};

/// Memory that counts its flushes and has a clock that the test sets.
#[derive(Default)]
struct Counting {
    memory: MemoryStorage,
    flushes: Rc<Cell<u32>>,
    clock: Clock,
}

#[derive(Default)]
struct Clock(Cell<i64>);

impl OsCallback for Clock {
    fn sleep(&self, _: std::time::Duration) {}

    fn random(&self, buffer: &mut [u8]) -> usize {
        buffer.fill(7);
        buffer.len()
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        Ok(self.0.get())
    }
}

impl Storage for Counting {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let file = self.memory.open(path, mode)?;
        let flushes = Rc::clone(&self.flushes);
        Ok(Box::new(CountingFile { file, flushes }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.memory.delete(path, sync_directory)
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.memory.exists(path)
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.memory.full_path(path)
    }

    fn os(&self) -> &dyn OsCallback {
        &self.clock
    }
}

struct CountingFile {
    file: Box<dyn RawFile>,
    flushes: Rc<Cell<u32>>,
}

impl RawFile for CountingFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.file.read_at(buffer, offset_bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        self.file.write_at(bytes, offset_bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        self.file.truncate(size_bytes)
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        self.flushes.set(self.flushes.get() + 1);
        self.file.sync(data_only)
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        self.file.size_bytes()
    }
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

#[test]
fn writes_that_wait_together_share_one_flush_and_none_is_acknowledged_before_it() {
    let storage = Rc::new(Counting::default());
    let flushes = Rc::clone(&storage.flushes);
    let mut clients = Clients::on(storage, Options::default());
    clients.call(0, new_session("s")).unwrap();
    clients.settle();
    let before = flushes.get();
    let calls: Vec<u64> = (0..100)
        .map(|at| clients.send(at, 0, add("s", format!("m{at:03}"), "text")))
        .collect();
    assert!(calls.iter().all(|call| !clients.has_settled(*call)));
    clients.step();
    assert_eq!(flushes.get() - before, 1, "flushes of the group");
    for call in calls {
        clients.result(call).unwrap();
    }
    let ids = clients.ids(0, "s").unwrap();
    assert_eq!(ids.len(), 100);
    assert!(ids.is_sorted(), "in the order in which they were sent");
    assert_eq!(clients.figure("groupedCalls"), 101);
    assert_eq!(clients.figure("groups"), 2);
}

#[test]
fn a_write_that_fails_takes_no_other_of_its_group_with_it() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let first = clients.send(1, 0, add("s", "a", "text"));
    let twice = clients.send(2, 0, add("s", "a", "other text"));
    let nowhere = clients.send(3, 0, add("none", "b", "text"));
    let last = clients.send(4, 0, add("s", "c", "text"));
    clients.step();
    clients.result(first).unwrap();
    assert_eq!(code(clients.result(twice)), "CONSTRAINT_UNIQUE");
    assert_eq!(code(clients.result(nowhere)), "CONSTRAINT_FOREIGN_KEY");
    clients.result(last).unwrap();
    assert_eq!(clients.ids(0, "s").unwrap(), ["a", "c"]);
}

#[test]
fn a_write_by_itself_that_fails_half_way_leaves_nothing() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "a", "text")).unwrap();
    let message = |id| chatstore::model::NewMessage {
        session_id: "s",
        id: Some(id),
        role: "user",
        text: Some("text"),
        ..Default::default()
    };
    let half = Request::MessagesAdd(vec![message("b"), message("a")]);
    assert_eq!(code(clients.call(0, half)), "CONSTRAINT_UNIQUE");
    assert_eq!(clients.ids(0, "s").unwrap(), ["a"]);
}

#[test]
fn a_group_is_not_so_large_that_others_wait_long_for_it() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let calls: Vec<u64> = (0..300)
        .map(|at| clients.send(1, 0, add("s", format!("m{at}"), "text")))
        .collect();
    let next_ms = clients.step();
    let settled = calls.iter().filter(|call| clients.has_settled(**call));
    assert_eq!(settled.count(), 256);
    assert_eq!(next_ms, Some(clients.now_ms));
    clients.settle();
    assert!(calls.iter().all(|call| clients.has_settled(*call)));
}

#[test]
fn a_write_behind_a_transaction_times_out_and_names_what_it_waited_for() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let tx = clients.transaction(1, 60_000.0);
    clients.timeout_ms = 500.0;
    let waiting = clients.send(2, 0, add("s", "a", "text"));
    clients.pass(499.0);
    assert!(!clients.has_settled(waiting));
    clients.pass(1.0);
    let error = clients.result(waiting).unwrap_err();
    assert_eq!(error.code().as_str(), "TIMEOUT");
    assert_eq!(error.outcome(), Some(Outcome::NotApplied));
    assert_eq!(error.number("timeoutMs"), Some(500));
    assert!(error.message().contains("instead of store.*"), "{error}");
    clients.call(tx, Request::TransactionCommit).unwrap();
    assert_eq!(clients.ids(0, "s").unwrap(), [""; 0]);
}

#[test]
fn a_search_whose_time_is_over_before_the_index_is_there_says_so() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "a", "text")).unwrap();
    clients.timeout_ms = 500.0;
    let waiting = clients.send(1, 0, search("text"));
    clients.now_ms += 500.0;
    clients.step();
    let error = clients.result(waiting).unwrap_err();
    assert_eq!(error.code().as_str(), "TIMEOUT");
    assert!(error.message().contains("to be indexed"), "{error}");
}

#[test]
fn a_write_that_is_aborted_while_it_waits_never_runs() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let kept = clients.send(1, 0, add("s", "a", "text"));
    let aborted = clients.send(1, 0, add("s", "b", "text"));
    clients.engine.cancel(aborted);
    clients.settle();
    clients.result(kept).unwrap();
    let error = clients.result(aborted).unwrap_err();
    assert_eq!(error.code().as_str(), "ABORTED");
    assert_eq!(error.outcome(), Some(Outcome::NotApplied));
    clients.engine.cancel(kept);
    assert_eq!(clients.ids(0, "s").unwrap(), ["a"]);
}

#[test]
fn the_engine_says_when_it_has_to_be_called_again_and_not_before() {
    let mut clients = Clients::in_memory();
    clients.pass(60_000.0);
    assert_eq!(clients.step(), None, "nothing is open and nothing waits");
    let tx = clients.transaction(1, 5_000.0);
    let lease_until_ms = clients.now_ms + 5_000.0;
    assert_eq!(clients.step(), Some(lease_until_ms));
    clients.timeout_ms = 100.0;
    let waiting = clients.send(2, 0, new_session("s"));
    assert_eq!(clients.step(), Some(clients.now_ms + 100.0));
    clients.engine.cancel(waiting);
    clients.call(tx, Request::TransactionRollback).unwrap();
}

#[test]
fn a_write_that_is_sent_again_gives_its_first_result_and_is_done_once() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let mut twice = |request: Request<'static>, id: &str| {
        let first = clients.send_as(1, 0, request.clone(), operation(id, 1));
        clients.settle();
        let again = clients.send_as(1, 0, request, operation(id, 2));
        clients.settle();
        let (first, again) = (clients.result(first), clients.result(again));
        (first.unwrap(), again.unwrap())
    };
    let (first, again) = twice(add("s", "a", "text"), "op 1");
    assert_eq!(first.messages, again.messages);
    let bot = NewBot {
        name: "Ada".into(),
        ..NewBot::default()
    };
    let (first, again) = twice(Request::BotsCreate(bot), "op 2");
    assert_eq!(first.reply, again.reply);
    let (first, again) = twice(new_session("t"), "op 3");
    assert_eq!(first.reply, again.reply);
    let delete = Request::SessionsDelete {
        id: "t".into(),
        permanent: true,
    };
    let (first, again) = twice(delete, "op 4");
    assert!(matches!(first.reply, Reply::Count(count) if count.sessions == 1));
    assert_eq!(first.reply, again.reply);
    assert_eq!(clients.ids(0, "s").unwrap(), ["a"]);
}

#[test]
fn writes_sent_twice_into_one_group_are_done_once() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let first = clients.send_as(1, 0, add("s", "a", "text"), operation("op", 1));
    let again = clients.send_as(1, 0, add("s", "a", "text"), operation("op", 2));
    clients.settle();
    let first = clients.result(first).unwrap().messages;
    assert_eq!(clients.result(again).unwrap().messages, first);
}

#[test]
fn an_operation_id_with_other_arguments_is_refused() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    for (text, expected) in [("text", "none"), ("another text", "OPERATION_MISMATCH")] {
        let call = clients.send_as(1, 0, add("s", "a", text), operation("op", 1));
        clients.settle();
        assert_eq!(code(clients.result(call)), expected);
    }
}

#[test]
fn a_failed_write_leaves_its_operation_id_free() {
    let mut clients = Clients::in_memory();
    let call = clients.send_as(1, 0, add("s", "a", "text"), operation("op", 1));
    clients.settle();
    assert_eq!(code(clients.result(call)), "CONSTRAINT_FOREIGN_KEY");
    clients.call(0, new_session("s")).unwrap();
    let call = clients.send_as(1, 0, add("s", "a", "text"), operation("op", 2));
    clients.settle();
    clients.result(call).unwrap();
}

#[test]
fn a_write_sent_again_after_its_record_was_dropped_is_not_run_again() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let storage = Rc::new(Counting::default());
    let clock = Rc::clone(&storage);
    clock.clock.0.set(100 * DAY_MS);
    let mut clients = Clients::on(storage, Options::default());
    clients.call(0, new_session("s")).unwrap();
    let sent_at = |attempt, first_sent_ms| {
        Some(chatstore::engine::Operation {
            id: "op".into(),
            attempt,
            first_sent_ms,
        })
    };
    let call = clients.send_as(1, 0, add("s", "a", "text"), sent_at(1, 100 * DAY_MS));
    clients.settle();
    clients.result(call).unwrap();
    // Two days later the records of that time are dropped while nothing else happens.
    clock.clock.0.set(102 * DAY_MS);
    clients.call(0, new_session("t")).unwrap();
    clients.pass(1_000_000.0);
    clients.pass(1_000_000.0);
    let call = clients.send_as(1, 0, add("s", "a", "text"), sent_at(2, 100 * DAY_MS));
    clients.settle();
    let error = clients.result(call).unwrap_err();
    assert_eq!(error.code().as_str(), "OUTCOME_UNKNOWN");
    assert_eq!(error.outcome(), Some(Outcome::Unknown));
    // One that comes for the first time is run, whatever its clock says; so is one that was sent lately,
    // and never arrived.
    let first = chatstore::engine::Operation {
        id: "first".into(),
        attempt: 1,
        first_sent_ms: 0,
    };
    let call = clients.send_as(1, 0, add("s", "f", "text"), Some(first));
    clients.settle();
    clients.result(call).unwrap();
    let call = clients.send_as(1, 0, add("s", "b", "text"), sent_at(2, 102 * DAY_MS));
    clients.settle();
    clients.result(call).unwrap();
}

#[test]
fn a_commit_sent_again_after_its_record_was_dropped_has_an_outcome_that_is_not_known() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let storage = Rc::new(Counting::default());
    let clock = Rc::clone(&storage);
    clock.clock.0.set(100 * DAY_MS);
    let mut clients = Clients::on(storage, Options::default());
    clients.call(0, new_session("s")).unwrap();
    let sent_at = |id: &str, attempt, first_sent_ms| {
        Some(chatstore::engine::Operation {
            id: id.into(),
            attempt,
            first_sent_ms,
        })
    };
    let tx = clients.transaction(1, 60_000.0);
    clients.call(tx, add("s", "a", "text")).unwrap();
    let commit = |clients: &mut Clients, operation| {
        let call = clients.send_as(1, tx, Request::TransactionCommit, operation);
        clients.result(call)
    };
    commit(&mut clients, sent_at("op", 1, 100 * DAY_MS)).unwrap();
    commit(&mut clients, sent_at("op", 2, 100 * DAY_MS)).unwrap();
    clock.clock.0.set(102 * DAY_MS);
    clients.call(0, new_session("t")).unwrap();
    clients.pass(1_000_000.0);
    clients.pass(1_000_000.0);
    let error = commit(&mut clients, sent_at("op", 2, 100 * DAY_MS)).unwrap_err();
    assert_eq!(error.code().as_str(), "OUTCOME_UNKNOWN");
    assert_eq!(error.outcome(), Some(Outcome::Unknown));
    assert_eq!(error.detail("operationId"), Some("op"));
    // One that was sent lately was not done: its record would be there.
    let error = commit(&mut clients, sent_at("another", 2, 102 * DAY_MS)).unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::NotApplied), "{error}");
}

#[test]
fn a_search_waits_for_the_index_and_finds_what_was_written_before_it() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.send(1, 0, add("s", "a", "a needle"));
    clients.settle();
    let found = clients.send(1, 0, search("needle"));
    assert!(!clients.has_settled(found), "the index is behind");
    clients.settle();
    let Reply::Hits(page) = clients.result(found).unwrap().reply else {
        panic!("expected hits");
    };
    assert_eq!(page.items.len(), 1);
    let again = clients.send(1, 0, search("needle"));
    assert!(clients.has_settled(again), "the index is in step now");
}

#[test]
fn the_index_follows_by_itself_when_nothing_is_written_for_a_while() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "a", "a needle")).unwrap();
    clients.pass(100.0);
    let found = clients.send(1, 0, search("needle"));
    assert!(clients.has_settled(found));
}

#[test]
fn what_a_client_waits_for_is_dropped_when_it_is_gone() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    let dropped = clients.send(7, 0, add("s", "a", "text"));
    let kept = clients.send(8, 0, add("s", "b", "text"));
    let snapshot = clients.snapshot(7, 1_000.0);
    let _ = (dropped, snapshot);
    clients.engine.disconnect(clients.now_ms, 7);
    clients.settle();
    assert!(clients.has_settled(kept));
    assert_eq!(clients.figure("poolInUse"), 0);
}

#[test]
fn a_control_step_without_its_scope_is_refused() {
    let mut clients = Clients::in_memory();
    for request in [
        Request::TransactionCommit,
        Request::TransactionRollback,
        Request::SnapshotEnd,
    ] {
        assert_eq!(code(clients.call(0, request.clone())), "TRANSACTION_STATE");
        assert_eq!(code(clients.call(99, request)), "TRANSACTION_STATE");
    }
    let tx = clients.transaction(1, 1_000.0);
    assert_eq!(
        code(clients.call(tx, begin_snapshot(1.0))),
        "TRANSACTION_STATE"
    );
}
