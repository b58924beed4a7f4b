//! Bots and sessions, and what happens to the messages below them.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::Request;
use chatstore::model::{
    BotPatch, Field, NewBot, NewMessage, NewSession, PageOptions, SessionFilter, SessionPatch,
};
use support::{code, message, open};

#[test]
fn a_bot_keeps_all_its_fields() {
    let mut chats = open();
    let new = NewBot {
        id: Some("b".into()),
        name: "Ada".into(),
        avatar: Some("🤖".into()),
        system_prompt: Some("Be kind".into()),
        model: Some("m-1".into()),
        params: Some(r#"{"temperature":0.5}"#.into()),
        metadata: Some("[1,2]".into()),
        created_at_ms: Some(5),
    };
    let bot = chats
        .bots(Request::BotsCreate(new))
        .unwrap()
        .items
        .remove(0);
    assert_eq!(
        (bot.name.as_str(), bot.avatar.as_deref(), bot.created_at_ms),
        ("Ada", Some("🤖"), 5)
    );
    assert_eq!(
        chats
            .bots(Request::BotsGet { id: "b".into() })
            .unwrap()
            .items,
        std::slice::from_ref(&bot)
    );
    let patch = BotPatch {
        model: Field::Null,
        name: Some("Eve".into()),
        ..BotPatch::default()
    };
    let changed = chats
        .bots(Request::BotsUpdate {
            id: "b".into(),
            patch,
        })
        .unwrap()
        .items
        .remove(0);
    assert_eq!((changed.name.as_str(), &changed.model), ("Eve", &None));
    assert_eq!(
        (&changed.params, &changed.metadata),
        (&bot.params, &bot.metadata)
    );
}

#[test]
fn a_missing_row_is_no_error_to_get_and_not_found_to_change() {
    let mut chats = open();
    assert!(
        chats
            .bots(Request::BotsGet { id: "x".into() })
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        chats
            .sessions(Request::SessionsGet { id: "x".into() })
            .unwrap()
            .items
            .is_empty()
    );
    assert!(chats.get("x", "y").is_none());
    assert_eq!(chats.path("x"), [""; 0]);
    for request in [
        Request::BotsDelete {
            id: "x".into(),
            permanent: false,
        },
        Request::SessionsDelete {
            id: "x".into(),
            permanent: true,
        },
        Request::SessionsUpdate {
            id: "x".into(),
            patch: SessionPatch::default(),
        },
        Request::MessagesDelete {
            session_id: "x".into(),
            id: "y".into(),
            permanent: false,
        },
        Request::MessagesTree {
            session_id: "x".into(),
        },
    ] {
        assert_eq!(code(chats.call(request)), "NOT_FOUND");
    }
}

#[test]
fn sessions_are_listed_by_newest_activity_with_filters() {
    let mut chats = open();
    chats.bot("b");
    for (id, bot, at) in [
        ("s1", Some("b"), 10),
        ("s2", None, 20),
        ("s3", Some("b"), 30),
    ] {
        let new = NewSession {
            id: Some(id.into()),
            bot_id: bot.map(str::to_owned),
            tags: vec![format!("tag {id}"), "all".into()],
            pinned: id == "s2",
            created_at_ms: Some(at),
            ..NewSession::default()
        };
        chats.sessions(Request::SessionsCreate(new)).unwrap();
    }
    assert_eq!(
        chats.list_sessions(SessionFilter::default()),
        ["s3", "s2", "s1"]
    );
    let new = NewMessage {
        text: Some("  hello\n world "),
        created_at_ms: Some(99),
        ..message("s1")
    };
    chats.add_message(new).unwrap();
    assert_eq!(
        chats.list_sessions(SessionFilter::default()),
        ["s1", "s3", "s2"]
    );
    let session = chats.get_session("s1");
    assert_eq!(
        (session.message_count, session.last_message_at_ms),
        (1, Some(99))
    );
    assert_eq!(
        (session.preview.as_deref(), session.tags.as_str()),
        (Some("hello world"), r#"["tag s1","all"]"#)
    );
    let by = |filter: SessionFilter| filter;
    let bot = by(SessionFilter {
        bot_id: Some("b".into()),
        ..SessionFilter::default()
    });
    assert_eq!(chats.list_sessions(bot), ["s1", "s3"]);
    let tag = by(SessionFilter {
        tag: Some("tag s3".into()),
        ..SessionFilter::default()
    });
    assert_eq!(chats.list_sessions(tag), ["s3"]);
    let pinned = by(SessionFilter {
        pinned: Some(true),
        ..SessionFilter::default()
    });
    assert_eq!(chats.list_sessions(pinned), ["s2"]);
    let patch = SessionPatch {
        status: Some("archived".into()),
        ..SessionPatch::default()
    };
    chats
        .call(Request::SessionsUpdate {
            id: "s2".into(),
            patch,
        })
        .unwrap();
    let archived = by(SessionFilter {
        status: Some("archived".into()),
        ..SessionFilter::default()
    });
    assert_eq!(chats.list_sessions(archived), ["s2"]);

    let page = |cursor| PageOptions {
        limit: Some(2),
        cursor,
    };
    let list = |cursor| Request::SessionsList {
        filter: SessionFilter::default(),
        page: page(cursor),
    };
    let first = chats.sessions(list(None)).unwrap();
    assert_eq!(first.ends.prev_cursor, None);
    let second = chats.sessions(list(first.ends.next_cursor)).unwrap();
    assert_eq!(
        (
            second.items[0].id.as_str(),
            second.items.len(),
            &second.ends.next_cursor
        ),
        ("s2", 1, &None)
    );
    let back = chats.sessions(list(second.ends.prev_cursor)).unwrap();
    assert_eq!(back.items, first.items);
}

#[test]
fn creating_a_session_twice_is_an_error_unless_the_first_is_wanted() {
    let mut chats = open();
    let first = chats.session("s", None);
    let again = |return_existing| {
        Request::SessionsCreate(NewSession {
            id: Some("s".into()),
            return_existing,
            ..NewSession::default()
        })
    };
    assert_eq!(code(chats.call(again(false))), "CONSTRAINT_UNIQUE");
    assert_eq!(chats.sessions(again(true)).unwrap().items, [first]);
}

#[test]
fn deleting_a_bot_cascades_and_trash_comes_back_as_it_went() {
    let mut chats = open();
    chats.bot("b");
    chats.bot("c");
    for (id, bot) in [("s", "b"), ("gone", "b"), ("other", "c")] {
        chats.session(id, Some(bot));
        chats.add(id, "m", &format!("text of {id}"));
    }
    let guest = NewMessage {
        id: Some("guest"),
        bot_id: Field::Value("b"),
        text: Some("hi"),
        ..message("other")
    };
    chats.add_message(guest).unwrap();
    chats
        .count(Request::SessionsDelete {
            id: "gone".into(),
            permanent: false,
        })
        .unwrap();
    let trash = |permanent| Request::BotsDelete {
        id: "b".into(),
        permanent,
    };
    let count = chats.count(trash(false)).unwrap();
    assert_eq!((count.bots, count.sessions), (1, 1));
    assert_eq!(chats.list_sessions(SessionFilter::default()), ["other"]);
    assert_eq!(chats.found("text"), ["m"]);
    assert_eq!(
        code(chats.call(Request::SessionsRestore { id: "s".into() })),
        "CONSTRAINT_CHECK"
    );
    chats.call(Request::BotsRestore { id: "b".into() }).unwrap();
    let mut kept = chats.list_sessions(SessionFilter::default());
    kept.sort();
    assert_eq!(kept, ["other", "s"]);
    assert_eq!(
        code(chats.add_message(NewMessage {
            text: Some("late"),
            ..message("gone")
        })),
        "CONSTRAINT_CHECK"
    );
    let count = chats.count(trash(true)).unwrap();
    assert_eq!((count.bots, count.sessions, count.messages), (1, 2, 2));
    assert_eq!(chats.get("other", "guest").unwrap().bot_id, None);
    assert_eq!(chats.query("SELECT count(*) FROM messages").unwrap(), ["2"]);
    assert_eq!(chats.found("text"), ["m"]);
    chats.expect_sound();
}

#[test]
fn purge_empties_the_trash_up_to_a_time() {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", Some("b"));
    chats.add("s", "m", "x");
    chats.session("t", None);
    chats.add("t", "kept", "x");
    chats.add("t", "gone", "x");
    chats
        .count(Request::MessagesDelete {
            session_id: "t".into(),
            id: "gone".into(),
            permanent: false,
        })
        .unwrap();
    chats
        .count(Request::BotsDelete {
            id: "b".into(),
            permanent: false,
        })
        .unwrap();
    let count = chats
        .count(Request::SessionsPurge {
            deleted_before_ms: 1,
            limit: u32::MAX,
        })
        .unwrap();
    assert_eq!((count.bots, count.sessions, count.messages), (0, 0, 0));
    let count = chats
        .count(Request::SessionsPurge {
            deleted_before_ms: i64::MAX,
            limit: u32::MAX,
        })
        .unwrap();
    assert_eq!((count.bots, count.sessions, count.messages), (1, 1, 2));
    assert_eq!(chats.path("t"), ["kept"]);
    chats.expect_sound();
}

#[test]
fn a_fork_is_a_session_of_its_own_with_the_path_so_far() {
    let mut chats = open();
    chats.session("s", None);
    for id in ["a", "b", "c", "d"] {
        chats.add("s", id, &format!("text {id}"));
    }
    chats
        .count(Request::MessagesDelete {
            session_id: "s".into(),
            id: "b".into(),
            permanent: false,
        })
        .unwrap();
    let fork = chats
        .sessions(Request::SessionsFork {
            session_id: "s".into(),
            id: "c".into(),
        })
        .unwrap()
        .items
        .remove(0);
    let from = fork.forked_from.clone().unwrap();
    assert_eq!((from.session_id.as_str(), from.id.as_str()), ("s", "c"));
    assert_eq!(
        (fork.message_count, fork.head_id.as_deref()),
        (2, Some("c"))
    );
    assert_eq!(chats.path(&fork.id), ["a", "c"]);
    chats.add(&fork.id, "e", "on its own");
    assert_eq!(chats.path("s"), ["a", "c", "d"]);
    chats.expect_sound();
}
