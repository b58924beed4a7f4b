//! Figures of the engine: each moves when its thing happens, and not otherwise.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/clients.rs"]
mod clients;

use std::collections::BTreeMap;

use chatstore::engine::{Event, PoolOptions, Table};
use chatstore::model::{PageOptions, Search};
use chatstore::vfs::MemoryStorage;
use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::{Durability, Options, Request};
use clients::{Clients, add, new_session};
use rusqlite::types::Value;

/// Every whole number by its name.
fn figures(clients: &Clients) -> BTreeMap<String, i64> {
    let Table { columns, cells, .. } = clients.engine.stats();
    let numbers = columns.into_iter().zip(cells);
    numbers
        .filter_map(|(name, cell)| match cell {
            Value::Integer(number) => Some((name, number)),
            _ => None,
        })
        .collect()
}

/// Names of the figures that something has moved; what memory is taken is nobody's doing.
fn moved(clients: &mut Clients, act: impl FnOnce(&mut Clients)) -> Vec<String> {
    let before = figures(clients);
    act(clients);
    let now = figures(clients);
    now.into_iter()
        .filter(|(name, number)| before[name] != *number && !name.ends_with("Bytes"))
        .map(|(name, _)| name)
        .filter(|name| name != "connectionBytesMax")
        .collect()
}

/// How many groups there were of each size.
fn group_sizes(clients: &Clients) -> BTreeMap<usize, u32> {
    let Table { columns, cells, .. } = clients.engine.stats();
    let at = columns.iter().position(|name| name == "groupSizes");
    let Value::Blob(packed) = &cells[at.expect("the sizes are told")] else {
        panic!("the sizes are no bytes");
    };
    packed
        .chunks_exact(4)
        .map(|count| u32::from_le_bytes(count.try_into().expect("four bytes")))
        .enumerate()
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[test]
fn asking_moves_no_figure_but_a_page_found_in_a_cache() {
    let mut clients = Clients::in_memory();
    clients.engine.stats();
    assert_eq!(moved(&mut clients, |_| ()), ["cacheHits"]);
}

#[test]
fn groups_are_counted_by_their_size_and_the_queue_by_its_greatest_depth() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    for round in 0..3 {
        for at in 0..7 {
            clients.send(1, 0, add("s", format!("m{round}-{at}"), "text"));
        }
        assert_eq!(clients.figure("writesWaiting"), 7);
        clients.step();
    }
    assert_eq!(group_sizes(&clients), BTreeMap::from([(1, 1), (7, 3)]));
    assert_eq!(clients.figure("groups"), 4);
    assert_eq!(clients.figure("groupedCalls"), 22);
    assert_eq!(clients.figure("queueDeepest"), 7);
    assert_eq!(clients.figure("writesWaiting"), 0);
    let read = moved(&mut clients, |clients| drop(clients.ids(0, "s").unwrap()));
    assert!(
        read.iter()
            .all(|name| name.starts_with("cache") || name.starts_with("storageRead")),
        "a read moved {read:?}"
    );
}

#[test]
fn a_checkpoint_is_counted_when_the_log_was_moved() {
    let disk = SimulatedDisk::new(1);
    let mut clients = Clients::on(disk.clone(), Options::default());
    clients.call(0, new_session("s")).unwrap();
    for at in 0..300 {
        clients.call(0, add("s", format!("m{at}"), "text")).unwrap();
    }
    assert_eq!(clients.figure("checkpoints"), 0);
    assert!(clients.figure("logFrames") > 250);
    for _ in 0..100 {
        clients.pass(100.0);
    }
    assert_eq!(clients.figure("checkpoints"), 1);
    assert_eq!(
        clients.figure("logFrames"),
        clients.figure("logFramesMoved")
    );
}

#[test]
fn a_group_that_a_failed_flush_has_cost_is_counted_as_run_again() {
    let disk = SimulatedDisk::new(1);
    let mut clients = Clients::on(disk.clone(), Options::from(Durability::Strict));
    clients.call(0, new_session("s")).unwrap();
    clients.settle();
    let calls = ["a", "b", "c"].map(|id| clients.send(1, 0, add("s", id, "text")));
    disk.fail(Script {
        on: On::Sync,
        path_ends_with: "-wal",
        after_calls: 0,
        times: 1,
        fault: Fault::LosesUnsynced,
    });
    clients.step();
    for call in calls {
        clients.result(call).unwrap();
    }
    assert_eq!(clients.figure("retried"), 3);
    assert_eq!(clients.figure("reopened"), 1);
}

#[test]
fn what_closed_connections_have_found_in_their_caches_stays_counted() {
    let pool = PoolOptions {
        min: 0,
        idle_timeout_ms: 1_000.0,
        ..PoolOptions::default()
    };
    let options = Options {
        pool,
        ..Options::default()
    };
    let mut clients = Clients::on(MemoryStorage::new(), options);
    clients.call(0, new_session("s")).unwrap();
    clients.settle();
    let snapshot = clients.snapshot(1, 60_000.0);
    clients.ids(snapshot, "s").unwrap();
    clients.call(snapshot, Request::SnapshotEnd).unwrap();
    let before = figures(&clients);
    assert_eq!(before["poolIdle"], 1);
    let closed = moved(&mut clients, |clients| clients.pass(2_000.0));
    assert!(closed.contains(&"poolIdle".to_owned()), "{closed:?}");
    let now = figures(&clients);
    assert_eq!(now["poolIdle"], 0);
    for name in ["cacheHits", "cacheMisses", "cacheWrites", "cacheSpills"] {
        assert!(
            now[name] >= before[name],
            "{name}: {} of {}",
            now[name],
            before[name]
        );
    }
}

#[test]
fn a_transaction_larger_than_its_cache_spills_and_a_small_one_does_not() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    assert_eq!(clients.figure("cacheSpills"), 0);
    let text: &'static str = String::leak("x".repeat(1 << 20));
    let tx = clients.transaction(1, 60_000.0);
    for at in 0..12 {
        clients.call(tx, add("s", format!("m{at}"), text)).unwrap();
    }
    clients.call(tx, Request::TransactionCommit).unwrap();
    assert!(clients.figure("cacheSpills") > 0);
}

#[test]
fn the_statements_are_those_that_ran_with_the_plans_that_they_have() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    for at in 0..50 {
        clients
            .call(0, add("s", format!("m{at}"), "some words"))
            .unwrap();
    }
    let search = || Request::Search {
        search: Search {
            query: "words".into(),
            ..Search::default()
        },
        page: PageOptions::default(),
    };
    clients.call(0, search()).unwrap();
    let told = |clients: &Clients| -> Vec<(String, String, i64)> {
        let table = clients.engine.statements().unwrap();
        assert_eq!(table.columns[1..4], ["sql", "plan", "runs"]);
        let rows = table.cells.chunks_exact(table.columns.len());
        rows.map(|row| match &row[1..4] {
            [Value::Text(sql), Value::Text(plan), Value::Integer(runs)] => {
                (sql.clone(), plan.clone(), *runs)
            }
            other => panic!("{other:?}"),
        })
        .collect()
    };
    let found = |statements: &[(String, String, i64)], part: &str| {
        let found = statements.iter().find(|(sql, ..)| sql.contains(part));
        found.unwrap_or_else(|| panic!("no {part}")).clone()
    };
    let before = told(&clients);
    let (_, plan, runs) = found(&before, "messages_fts MATCH");
    assert!(plan.contains("VIRTUAL TABLE INDEX"), "{plan}");
    clients.call(0, search()).unwrap();
    assert_eq!(found(&told(&clients), "messages_fts MATCH").2, runs + 1);
    let (_, plan, runs) = found(&before, "INSERT INTO messages ");
    assert_eq!((runs, plan.contains("SCAN")), (50, false), "{plan}");
}

#[test]
fn only_calls_that_ran_beside_others_are_timed_and_one_that_waited_in_vain_did_not_run() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.timeout_ms = 100.0;
    let tx = clients.transaction(1, 60_000.0);
    let text: &'static str = String::leak("word ".repeat(200_000));
    clients.send(2, 0, add("s", "late", "text"));
    clients.now_ms += 200.0;
    clients.engine.step(clients.now_ms);
    let ran = |clients: &mut Clients| -> Vec<Option<f64>> {
        let events = clients.engine.take().into_iter();
        events
            .filter_map(|event| match event {
                Event::Reply { run_ms, .. } => Some(run_ms),
                _ => None,
            })
            .collect()
    };
    assert_eq!(ran(&mut clients), [Some(0.0)]);
    clients.call(tx, Request::TransactionRollback).unwrap();
    clients.send(2, 0, add("s", "large", text));
    clients.engine.step(clients.now_ms);
    // The step's time is its time, and whoever steps knows it.
    assert_eq!(ran(&mut clients), [None]);
    let beside = |clients: &mut Clients, id: &'static str| {
        clients.send(2, 0, add("s", id, "text"));
        clients.send(2, 0, add("s", "larger", text));
        clients.engine.step(clients.now_ms);
        ran(clients)
    };
    let timed = beside(&mut clients, "small");
    assert!(timed[0] > Some(0.0) && timed[1] > timed[0], "{timed:?}");
    // One of these fails: both are run again, and still in one step.
    let again = beside(&mut clients, "smaller");
    assert!(again.len() == 2 && again[1] > Some(0.0), "{again:?}");
}
