//! Full-text search: hits, hostile text, and the index that follows every change.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::Request;
use chatstore::model::{MessagePatch, PageOptions, Search};
use support::open;

#[test]
fn search_ranks_marks_and_pages_its_hits() {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", Some("b"));
    chats.session("t", None);
    chats.add("s", "1", "the quick brown fox jumps over the lazy dog");
    chats.add("s", "2", "fox fox fox");
    chats.add("t", "3", "A Füchsin is a female fox, says the café owner");
    assert_eq!(chats.found("fox")[0], "2");
    assert_eq!(chats.found("quick fox"), ["1"]);
    assert_eq!(chats.found("\"brown fox\""), ["1"]);
    assert_eq!(chats.found("\"fox brown\""), [""; 0]);
    assert_eq!(chats.found("CAFE"), ["3"]);
    assert_eq!(chats.found("qui"), [""; 0]);
    let within = Search {
        query: "fox".into(),
        session_id: Some("t".into()),
        ..Search::default()
    };
    let hits = chats.search(within).items;
    assert_eq!((hits.len(), hits[0].id.as_str(), hits[0].seq), (1, "3", 1));
    assert!(
        hits[0].snippet.contains("\u{2}fox\u{3}"),
        "{:?}",
        hits[0].snippet
    );
    let of_bot = Search {
        query: "jum".into(),
        bot_id: Some("b".into()),
        prefix: true,
        ..Search::default()
    };
    assert_eq!(chats.search(of_bot).items.len(), 1);
    let query = |limit, cursor| {
        (
            Search {
                query: "fox".into(),
                ..Search::default()
            },
            PageOptions { limit, cursor },
        )
    };
    let (search, page) = query(Some(2), None);
    let first = chats.search_page(search, page);
    let (search, page) = query(Some(2), first.ends.next_cursor.clone());
    let second = chats.search_page(search, page);
    assert_eq!(
        (
            first.items.len(),
            second.items.len(),
            &second.ends.next_cursor
        ),
        (2, 1, &None)
    );
    let (search, page) = query(Some(2), second.ends.prev_cursor.clone());
    assert_eq!(chats.search_page(search, page).items, first.items);
}

#[test]
fn no_text_is_a_syntax_error_to_search_for() {
    let mut chats = open();
    chats.session("s", None);
    chats.add(
        "s",
        "m",
        "a AND b OR c NEAR d* \"quoted\" it's (here) col:on 50% ^start -minus 日本語 naïve",
    );
    for query in [
        "AND",
        "OR",
        "NOT",
        "NEAR(",
        "\"",
        "\"\"",
        "\"\"\"",
        "*",
        "a*",
        "(",
        ")",
        "col:on",
        "^",
        "-",
        "+",
        "{a}:b",
        "it's",
        "50%",
        "\\",
        "\0",
        "a\0b",
        "日本語",
        "'; DROP TABLE bots; --",
        "a AND",
        "NOT b",
        "\u{1F600}",
        "…",
        "a\"b",
    ] {
        for prefix in [false, true] {
            chats.search(Search {
                query: query.into(),
                prefix,
                ..Search::default()
            });
        }
    }
    assert_eq!(chats.found("it's col:on"), ["m"]);
}

#[test]
fn the_index_follows_every_change() {
    let mut chats = open();
    chats.session("s", None);
    let expect = |chats: &mut support::Chats, what: &str| {
        while chats
            .count(Request::SearchIndex { limit: 2 })
            .unwrap()
            .messages
            > 0
        {}
        // FTS5 compares its index with the texts themselves.
        assert_eq!(
            chats.query("PRAGMA quick_check").unwrap(),
            ["ok"],
            "after {what}"
        );
    };
    for at in 0..7 {
        chats.add("s", &format!("m{at}"), &format!("common word{at}"));
    }
    expect(&mut chats, "adding");
    assert_eq!(chats.found("common").len(), 7);
    let patch = MessagePatch {
        text: Some("changed".into()),
        ..MessagePatch::default()
    };
    chats
        .messages(Request::MessagesUpdate {
            session_id: "s".into(),
            id: "m1".into(),
            patch,
        })
        .unwrap();
    chats
        .count(Request::MessagesDelete {
            session_id: "s".into(),
            id: "m2".into(),
            permanent: true,
        })
        .unwrap();
    expect(&mut chats, "changing and deleting");
    assert_eq!(
        (chats.found("common").len(), chats.found("changed")),
        (5, vec!["m1".to_owned()])
    );
    // Indexed, then deleted and made again under the same internal keys, before the index followed.
    chats
        .count(Request::SessionsDelete {
            id: "s".into(),
            permanent: true,
        })
        .unwrap();
    chats.session("s2", None);
    for at in 0..3 {
        chats.add("s2", &format!("n{at}"), "fresh");
    }
    let patch = MessagePatch {
        text: Some("fresher".into()),
        ..MessagePatch::default()
    };
    chats
        .messages(Request::MessagesUpdate {
            session_id: "s2".into(),
            id: "n1".into(),
            patch,
        })
        .unwrap();
    expect(&mut chats, "making anew");
    assert_eq!(
        (
            chats.found("common"),
            chats.found("fresh").len(),
            chats.found("fresher")
        ),
        (vec![], 2, vec!["n1".to_owned()])
    );
    chats.expect_sound();
}
