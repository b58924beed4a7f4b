//! Interactive transactions, savepoints, isolation, and errors that leave the connection usable.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::model::{NewBot, NewMessage, Search};
use chatstore::{Request, Result};
use support::{Chats, code, message, open};

fn in_transaction<T>(chats: &mut Chats, act: impl FnOnce(&mut Chats) -> T) -> T {
    chats.in_transaction = true;
    let value = act(chats);
    chats.in_transaction = false;
    value
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    let mut chats = open();
    chats.session("s", None);
    chats.engine.begin().unwrap();
    in_transaction(&mut chats, |tx| {
        tx.add("s", "a", "one");
        tx.add("s", "b", "two");
        assert_eq!(
            tx.path("s"),
            ["a", "b"],
            "the transaction sees its own changes"
        );
    });
    assert_eq!(chats.path("s"), [""; 0], "nobody else does");
    chats.engine.commit().unwrap();
    assert_eq!(chats.path("s"), ["a", "b"]);
    chats.engine.begin().unwrap();
    in_transaction(&mut chats, |tx| tx.add("s", "c", "three"));
    chats.engine.rollback();
    assert_eq!(chats.path("s"), ["a", "b"]);
    chats.expect_sound();
}

#[test]
fn savepoints_nest_and_roll_back_inside_of_a_parent_that_commits() {
    let mut chats = open();
    chats.session("s", None);
    let step = |chats: &mut Chats, id: &str| in_transaction(chats, |tx| drop(tx.add("s", id, id)));
    chats.engine.begin().unwrap();
    step(&mut chats, "outer");
    chats.engine.savepoint().unwrap();
    step(&mut chats, "inner");
    chats.engine.savepoint().unwrap();
    step(&mut chats, "innermost");
    chats.engine.rollback_to().unwrap();
    step(&mut chats, "inner too");
    chats.engine.release().unwrap();
    chats.engine.savepoint().unwrap();
    step(&mut chats, "lost");
    chats.engine.rollback_to().unwrap();
    step(&mut chats, "last");
    chats.engine.commit().unwrap();
    assert_eq!(chats.path("s"), ["outer", "inner", "inner too", "last"]);
    chats.expect_sound();
}

#[test]
fn a_call_that_fails_in_a_transaction_takes_only_itself_back() {
    let mut chats = open();
    chats.session("s", None);
    chats.engine.begin().unwrap();
    in_transaction(&mut chats, |tx| {
        tx.add("s", "a", "kept");
        let batch = vec![
            NewMessage {
                id: Some("b"),
                text: Some("x"),
                ..message("s")
            },
            NewMessage {
                id: Some("a"),
                text: Some("twice"),
                ..message("s")
            },
        ];
        assert_eq!(
            code(tx.messages(Request::MessagesAdd(batch))),
            "CONSTRAINT_UNIQUE"
        );
        tx.add("s", "c", "kept");
    });
    chats.engine.commit().unwrap();
    assert_eq!(chats.path("s"), ["a", "c"]);
    chats.expect_sound();
}

#[test]
fn every_kind_of_error_leaves_the_connection_usable() {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", None);
    type Act = fn(&mut Chats) -> Result<()>;
    let failures: [(&str, Act); 6] = [
        ("CONSTRAINT_UNIQUE", |chats| {
            let bot = NewBot {
                id: Some("b".into()),
                name: "other".into(),
                ..NewBot::default()
            };
            chats.call(Request::BotsCreate(bot)).map(drop)
        }),
        ("CONSTRAINT_FOREIGN_KEY", |chats| {
            chats
                .add_message(NewMessage {
                    text: Some("x"),
                    ..message("none")
                })
                .map(drop)
        }),
        ("INVALID_ARGUMENT", |chats| {
            chats
                .add_message(NewMessage {
                    role: "",
                    text: Some("x"),
                    ..message("s")
                })
                .map(drop)
        }),
        ("INVALID_SQL", |chats| chats.query("SELEC 1").map(drop)),
        ("INVALID_SQL", |chats| {
            chats.query("SELECT nothing FROM nowhere").map(drop)
        }),
        ("QUERY_NOT_ALLOWED", |chats| {
            chats.query("DELETE FROM bots").map(drop)
        }),
    ];
    for (at, (expected, act)) in failures.into_iter().enumerate() {
        assert_eq!(code(act(&mut chats)), expected);
        chats.add("s", &format!("outside {at}"), "x");
        chats.engine.begin().unwrap();
        in_transaction(&mut chats, |tx| {
            assert_eq!(code(act(tx)), expected);
            tx.add("s", &format!("inside {at}"), "x");
        });
        chats.engine.commit().unwrap();
    }
    assert_eq!(chats.path("s").len(), 12);
    chats.expect_sound();
}

#[test]
fn steps_out_of_order_are_refused() {
    let mut chats = open();
    assert_eq!(code(chats.engine.commit()), "TRANSACTION_STATE");
    assert_eq!(code(chats.engine.savepoint()), "TRANSACTION_STATE");
    chats.engine.rollback();
    chats.engine.begin().unwrap();
    assert_eq!(code(chats.engine.begin()), "TRANSACTION_STATE");
    assert_eq!(code(chats.engine.release()), "TRANSACTION_STATE");
    assert_eq!(code(chats.engine.rollback_to()), "TRANSACTION_STATE");
    let outside = Request::SessionsPurge {
        deleted_before_ms: 0,
        limit: u32::MAX,
    };
    assert_eq!(code(chats.call(outside)), "BUSY");
    chats.engine.commit().unwrap();
    assert_eq!(
        code(in_transaction(&mut chats, |tx| tx.query("SELECT 1"))),
        "TRANSACTION_STATE"
    );
}

#[test]
fn a_search_outside_asks_for_the_index_first_and_one_inside_sees_its_own_messages() {
    let mut chats = open();
    chats.session("s", None);
    chats.add("s", "a", "needle");
    let search = || Request::Search {
        search: Search {
            query: "needle".into(),
            ..Search::default()
        },
        page: chatstore::model::PageOptions::default(),
    };
    assert_eq!(code(chats.call(search())), "INDEX_PENDING");
    chats.engine.begin().unwrap();
    let found = in_transaction(&mut chats, |tx| {
        tx.add("s", "b", "another needle");
        match tx.call(search()).unwrap() {
            chatstore::Reply::Hits(page) => page.items.len(),
            other => panic!("expected hits, got {other:?}"),
        }
    });
    assert_eq!(found, 2);
    chats.engine.rollback();
    assert_eq!(chats.found("needle"), ["a"]);
}
