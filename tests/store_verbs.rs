//! Every verb of the store, through the engine, over memory.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::Request;
use chatstore::model::{
    BotPatch, DeleteFilter, Field, MessageList, MessagePatch, NewBot, NewMessage, NewSession,
    PageOptions, Search, SessionFilter, SessionPatch, Usage,
};
use support::{code, expect_error, message, open};

fn session_list(session_id: &str, limit: u32, cursor: Option<String>) -> Request<'static> {
    let which = MessageList::Session {
        session_id: session_id.into(),
        around: None,
        from_start: false,
        all_branches: false,
    };
    Request::MessagesList {
        which,
        page: PageOptions {
            limit: Some(limit),
            cursor,
        },
    }
}

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
fn constraint_errors_name_constraint_table_and_column() {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", None);
    chats.add("s", "m", "hello");
    let twice = NewBot {
        name: "name of b".into(),
        ..NewBot::default()
    };
    let error = expect_error(chats.call(Request::BotsCreate(twice)));
    assert_eq!(error.code().as_str(), "CONSTRAINT_UNIQUE");
    assert_eq!(
        (
            error.detail("constraint"),
            error.detail("table"),
            error.detail("column")
        ),
        (Some("bots_name_key"), Some("bots"), Some("name"))
    );
    let error = expect_error(chats.add_message(NewMessage {
        id: Some("m"),
        text: Some("again"),
        ..message("s")
    }));
    assert_eq!(error.code().as_str(), "CONSTRAINT_UNIQUE");
    assert_eq!(
        (error.detail("table"), error.detail("column")),
        (Some("messages"), Some("session, id"))
    );
    let error = expect_error(chats.add_message(NewMessage {
        text: Some("x"),
        ..message("nowhere")
    }));
    assert_eq!(error.code().as_str(), "CONSTRAINT_FOREIGN_KEY");
    assert_eq!(
        (error.detail("table"), error.detail("column")),
        (Some("messages"), Some("session"))
    );
    let orphan = NewSession {
        bot_id: Some("nobody".into()),
        ..NewSession::default()
    };
    assert_eq!(
        code(chats.call(Request::SessionsCreate(orphan))),
        "CONSTRAINT_FOREIGN_KEY"
    );
    let strange = NewMessage {
        parent_id: Field::Value("nothing"),
        text: Some("x"),
        ..message("s")
    };
    assert_eq!(code(chats.add_message(strange)), "CONSTRAINT_FOREIGN_KEY");
    assert_eq!(chats.path("s"), ["m"]);
    chats.expect_sound();
}

#[test]
fn values_out_of_bounds_are_refused_and_change_nothing() {
    let mut chats = open();
    chats.session("s", None);
    let long = "x".repeat(257);
    let cases: [(NewMessage<'_>, &str); 8] = [
        (
            NewMessage {
                role: "",
                text: Some("x"),
                ..message("s")
            },
            "INVALID_ARGUMENT",
        ),
        (
            NewMessage {
                id: Some(""),
                text: Some("x"),
                ..message("s")
            },
            "INVALID_ARGUMENT",
        ),
        (
            NewMessage {
                id: Some(&long),
                text: Some("x"),
                ..message("s")
            },
            "TOO_LARGE",
        ),
        (NewMessage { ..message("s") }, "INVALID_ARGUMENT"),
        (
            NewMessage {
                text: Some("x"),
                parts: Some("[]"),
                ..message("s")
            },
            "INVALID_ARGUMENT",
        ),
        (
            NewMessage {
                parts: Some("{}"),
                ..message("s")
            },
            "INVALID_ARGUMENT",
        ),
        (
            NewMessage {
                parts: Some("[1"),
                ..message("s")
            },
            "INVALID_ARGUMENT",
        ),
        (
            NewMessage {
                text: Some("x"),
                status: Some("odd"),
                ..message("s")
            },
            "INVALID_ARGUMENT",
        ),
    ];
    for (new, expected) in cases {
        let shown = format!("{new:?}");
        assert_eq!(code(chats.add_message(new)), expected, "{shown}");
    }
    // The first of the batch was fine, the second is not: neither stays.
    let batch = vec![
        NewMessage {
            id: Some("a"),
            text: Some("x"),
            ..message("s")
        },
        NewMessage {
            id: Some("b"),
            text: Some("x"),
            metadata: Some("no json"),
            ..message("s")
        },
    ];
    assert_eq!(
        code(chats.messages(Request::MessagesAdd(batch))),
        "INVALID_ARGUMENT"
    );
    assert_eq!(chats.path("s"), [""; 0]);
    assert_eq!(
        code(chats.messages(session_list("s", 0, None))),
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        code(chats.messages(session_list("s", 1001, None))),
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        code(chats.messages(session_list("s", 5, Some("forged".into())))),
        "INVALID_CURSOR"
    );
}

#[test]
fn a_message_keeps_all_its_fields() {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", Some("b"));
    let usage = Usage {
        input_tokens: Some(1),
        output_tokens: Some(2),
        reasoning_tokens: None,
        cached_tokens: Some(0),
        cost_usd: Some(0.25),
        duration_ms: Some(9),
    };
    let parts = r#"[{"type":"text","text":"one"},{"type":"image","url":"x"}, {"type":"text","text":"two"}]"#;
    let added = chats
        .add_message(NewMessage {
            id: Some("m"),
            role: "assistant",
            parts: Some(parts),
            status: Some("incomplete"),
            finish_reason: Some("length"),
            error: Some("{}"),
            model: Some("m-1"),
            metadata: Some(r#"{"k":"v"}"#),
            usage,
            created_at_ms: Some(123),
            ..message("s")
        })
        .unwrap();
    assert_eq!(
        (added.text.as_str(), added.parts.as_deref()),
        ("one\ntwo", Some(parts))
    );
    assert_eq!(
        (
            added.bot_id.as_deref(),
            added.parent_id.as_deref(),
            added.seq
        ),
        (Some("b"), None, 1)
    );
    assert_eq!(
        (added.usage, added.created_at_ms, added.active),
        (usage, 123, true)
    );
    assert_eq!(chats.get("s", "m").unwrap(), added);
    // Text with NUL, emoji and a megabyte is kept byte for byte.
    let text = format!("a\0b 👩‍👩‍👧 {}", "ü".repeat(500_000));
    chats.add("s", "big", &text);
    assert_eq!(chats.get("s", "big").unwrap().text, text);
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let mut chats = open();
    chats.session("s", None);
    chats.add("s", "a", "first");
    let before = chats.add("s", "b", "second");
    let update = |patch| Request::MessagesUpdate {
        session_id: "s".into(),
        id: "b".into(),
        patch,
    };
    let patch = MessagePatch {
        status: Some("error".into()),
        ..MessagePatch::default()
    };
    let (changed, _) = chats.messages(update(patch)).unwrap();
    assert_eq!(
        (changed[0].status.as_str(), &changed[0].text),
        ("error", &before.text)
    );
    let patch = MessagePatch {
        text: Some("third".into()),
        ..MessagePatch::default()
    };
    chats.messages(update(patch)).unwrap();
    assert_eq!(chats.get_session("s").preview.as_deref(), Some("third"));
    assert_eq!(chats.get("s", "a").unwrap().text, "first");
    assert_eq!(
        (chats.found("third"), chats.found("second")),
        (vec!["b".into()], vec![])
    );
    chats.expect_sound();
}

#[test]
fn the_pages_of_a_session_cover_it_in_order_both_ways() {
    let mut chats = open();
    chats.session("s", None);
    let ids: Vec<String> = (0..23).map(|at| format!("m{at:02}")).collect();
    for id in &ids {
        chats.add("s", id, "text");
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    // The newest page comes first; earlier ones follow by prevCursor.
    loop {
        let (page, ends) = chats.messages(session_list("s", 5, cursor)).unwrap();
        seen.splice(0..0, page.iter().map(|message| message.id.clone()));
        let Some(prev) = ends.prev_cursor else { break };
        cursor = Some(prev);
    }
    assert_eq!(seen, ids);
    let mut forward = Vec::new();
    let (oldest, ends) = {
        // The oldest page, then forward by nextCursor.
        let which = MessageList::Session {
            session_id: "s".into(),
            around: None,
            from_start: true,
            all_branches: false,
        };
        chats
            .messages(Request::MessagesList {
                which,
                page: PageOptions {
                    limit: Some(4),
                    cursor: None,
                },
            })
            .unwrap()
    };
    assert_eq!(ends.prev_cursor, None);
    forward.extend(oldest.into_iter().map(|message| message.id));
    let mut next = ends.next_cursor;
    while let Some(cursor) = next {
        let (page, ends) = chats.messages(session_list("s", 4, Some(cursor))).unwrap();
        assert!(ends.prev_cursor.is_some());
        forward.extend(page.into_iter().map(|message| message.id));
        next = ends.next_cursor;
    }
    assert_eq!(forward, ids);
    let which = MessageList::Session {
        session_id: "s".into(),
        around: Some("m10".into()),
        from_start: false,
        all_branches: false,
    };
    let (around, _) = chats
        .messages(Request::MessagesList {
            which,
            page: PageOptions {
                limit: Some(5),
                cursor: None,
            },
        })
        .unwrap();
    let around: Vec<String> = around.into_iter().map(|message| message.id).collect();
    assert_eq!(around, ["m08", "m09", "m10", "m11", "m12"]);
}

#[test]
fn the_messages_of_a_bot_come_by_time_across_sessions() {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", Some("b"));
    chats.session("t", Some("b"));
    chats.session("u", None);
    for (session, id, at) in [
        ("s", "1", 30),
        ("t", "2", 10),
        ("s", "3", 20),
        ("t", "4", 20),
        ("u", "5", 15),
    ] {
        let new = NewMessage {
            id: Some(id),
            text: Some("x"),
            created_at_ms: Some(at),
            ..message(session)
        };
        chats.add_message(new).unwrap();
    }
    for (descending, expected) in [(false, ["2", "3", "4", "1"]), (true, ["1", "4", "3", "2"])] {
        let mut ids = Vec::new();
        let mut cursor = None;
        let mut last_prev = None;
        loop {
            let which = MessageList::Bot {
                bot_id: "b".into(),
                descending,
            };
            let page = PageOptions {
                limit: Some(3),
                cursor,
            };
            let (messages, ends) = chats
                .messages(Request::MessagesList { which, page })
                .unwrap();
            ids.extend(messages.into_iter().map(|message| message.id));
            last_prev = ends.prev_cursor.or(last_prev);
            cursor = ends.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(ids, expected);
        let which = MessageList::Bot {
            bot_id: "b".into(),
            descending,
        };
        let page = PageOptions {
            limit: Some(3),
            cursor: last_prev,
        };
        let (back, ends) = chats
            .messages(Request::MessagesList { which, page })
            .unwrap();
        assert_eq!(
            back.iter()
                .map(|message| message.id.as_str())
                .collect::<Vec<_>>(),
            expected[..3]
        );
        assert_eq!(ends.prev_cursor, None);
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
fn an_edit_opens_a_branch_and_switching_goes_back() {
    let mut chats = open();
    chats.session("s", None);
    for id in ["u1", "a1", "u2", "a2"] {
        chats.add("s", id, id);
    }
    let content = NewMessage {
        text: Some("other question"),
        ..NewMessage::default()
    };
    let edit = Request::MessagesEdit {
        session_id: "s".into(),
        id: "u2".into(),
        content,
    };
    let (edited, _) = chats.messages(edit).unwrap();
    let new = edited[0].id.clone();
    assert_eq!(edited[0].parent_id.as_deref(), Some("a1"));
    assert_eq!(chats.path("s"), ["u1", "a1", &new]);
    chats.add("s", "a3", "answer");
    assert_eq!(chats.path("s"), ["u1", "a1", &new, "a3"]);
    let branches = Request::MessagesBranches {
        session_id: "s".into(),
        id: new.clone(),
    };
    let (branches, _) = chats.messages(branches).unwrap();
    assert_eq!(
        branches
            .iter()
            .map(|message| message.id.as_str())
            .collect::<Vec<_>>(),
        ["u2", &new]
    );
    let switch = Request::MessagesSwitchTo {
        session_id: "s".into(),
        id: "u2".into(),
    };
    let session = chats.sessions(switch).unwrap().items.remove(0);
    assert_eq!(
        (session.head_id.as_deref(), session.message_count),
        (Some("a2"), 6)
    );
    assert_eq!(chats.path("s"), ["u1", "a1", "u2", "a2"]);
    let patch = SessionPatch {
        head_id: Some("a1".into()),
        ..SessionPatch::default()
    };
    chats
        .call(Request::SessionsUpdate {
            id: "s".into(),
            patch,
        })
        .unwrap();
    assert_eq!(chats.path("s"), ["u1", "a1"]);
    chats
        .add_message(NewMessage {
            id: Some("root"),
            parent_id: Field::Null,
            text: Some("r"),
            ..message("s")
        })
        .unwrap();
    assert_eq!(chats.path("s"), ["root"]);
    assert_eq!(chats.tree("s").len(), 7);
    let all = MessageList::Session {
        session_id: "s".into(),
        around: None,
        from_start: false,
        all_branches: true,
    };
    let (all, _) = chats
        .messages(Request::MessagesList {
            which: all,
            page: PageOptions::default(),
        })
        .unwrap();
    assert_eq!(all.len(), 7);
    chats.expect_sound();
}

#[test]
fn put_replaces_by_id_chains_in_order_and_writes_only_what_differs() {
    let mut chats = open();
    chats.session("s", None);
    let put = |messages: &[(&'static str, &'static str)]| {
        Request::MessagesPut(
            messages
                .iter()
                .map(|(id, text)| NewMessage {
                    id: Some(id),
                    text: Some(text),
                    ..message("s")
                })
                .collect(),
        )
    };
    chats
        .messages(put(&[
            ("u1", "hi"),
            ("a1", "hello"),
            ("u2", "how"),
            ("a2", "fine"),
        ]))
        .unwrap();
    assert_eq!(chats.path("s"), ["u1", "a1", "u2", "a2"]);
    let untouched = chats.get("s", "u1").unwrap();
    let (saved, _) = chats
        .messages(put(&[
            ("u1", "hi"),
            ("a1", "hello"),
            ("u2", "how"),
            ("a3", "well"),
        ]))
        .unwrap();
    assert_eq!(saved.len(), 4);
    assert_eq!(chats.path("s"), ["u1", "a1", "u2", "a3"]);
    assert_eq!(chats.get("s", "u1").unwrap(), untouched);
    // Leaving one out of the middle joins its neighbours.
    chats
        .messages(put(&[("u1", "hi"), ("u2", "what")]))
        .unwrap();
    assert_eq!(chats.path("s"), ["u1", "u2"]);
    assert_eq!(chats.get("s", "u2").unwrap().text, "what");
    chats.expect_sound();
    assert_eq!(
        code(chats.messages(put(&[("u2", "what"), ("u1", "hi")]))),
        "INVALID_ARGUMENT"
    );
    // A message of the trash that is put again leaves it.
    chats
        .call(Request::MessagesDelete {
            session_id: "s".into(),
            id: "u2".into(),
            permanent: false,
        })
        .unwrap();
    chats
        .messages(put(&[("u1", "hi"), ("u2", "what")]))
        .unwrap();
    assert_eq!(chats.get_session("s").message_count, 5);
    chats.expect_sound();
}

#[test]
fn the_trash_hides_messages_and_gives_them_back() {
    let mut chats = open();
    chats.session("s", None);
    for id in ["a", "b", "c"] {
        chats.add("s", id, &format!("word{id}"));
    }
    let delete = |id: &str, permanent| Request::MessagesDelete {
        session_id: "s".into(),
        id: id.into(),
        permanent,
    };
    assert_eq!(chats.count(delete("c", false)).unwrap().messages, 1);
    assert_eq!(chats.count(delete("c", false)).unwrap().messages, 0);
    assert_eq!(chats.path("s"), ["a", "b"]);
    assert_eq!(chats.get_session("s").preview.as_deref(), Some("wordb"));
    assert_eq!(chats.found("wordc"), [""; 0]);
    assert!(chats.get("s", "c").unwrap().deleted_at_ms.is_some());
    chats.add("s", "d", "after");
    let (restored, _) = chats
        .messages(Request::MessagesRestore {
            session_id: "s".into(),
            id: "c".into(),
        })
        .unwrap();
    assert_eq!(restored[0].deleted_at_ms, None);
    assert_eq!(chats.path("s"), ["a", "b", "c", "d"]);
    assert_eq!(chats.found("wordc"), ["c"]);
    chats.expect_sound();
}

#[test]
fn a_message_deleted_for_good_leaves_its_children_to_its_parent() {
    let mut chats = open();
    chats.session("s", None);
    for id in ["a", "b", "c"] {
        chats.add("s", id, id);
    }
    let branch = NewMessage {
        id: Some("c2"),
        parent_id: Field::Value("b"),
        text: Some("x"),
        ..message("s")
    };
    chats.add_message(branch).unwrap();
    let delete = |id: &str| Request::MessagesDelete {
        session_id: "s".into(),
        id: id.into(),
        permanent: true,
    };
    assert_eq!(chats.count(delete("b")).unwrap().messages, 1);
    for id in ["c", "c2"] {
        assert_eq!(chats.get("s", id).unwrap().parent_id.as_deref(), Some("a"));
    }
    assert_eq!(chats.path("s"), ["a", "c2"]);
    chats.count(delete("c2")).unwrap();
    assert_eq!(
        (chats.path("s"), chats.get_session("s").head_id),
        (vec!["a".to_owned()], Some("a".to_owned()))
    );
    chats.count(delete("a")).unwrap();
    // Nothing is left of the active path; the newest message that there is becomes the head.
    assert_eq!(chats.path("s"), ["c"]);
    chats.expect_sound();
    chats.count(delete("c")).unwrap();
    let session = chats.get_session("s");
    assert_eq!(
        (session.head_id, session.message_count, session.preview),
        (None, 0, None)
    );
    assert_eq!(
        chats.add("s", "new", "x").seq,
        5,
        "a place in a session is never given twice"
    );
    chats.expect_sound();
}

#[test]
fn delete_where_takes_by_bot_session_and_time() {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", Some("b"));
    chats.session("t", Some("b"));
    for (session, id, at) in [
        ("s", "1", 10),
        ("s", "2", 20),
        ("s", "3", 30),
        ("t", "4", 10),
        ("t", "5", 40),
    ] {
        let new = NewMessage {
            id: Some(id),
            text: Some("x"),
            created_at_ms: Some(at),
            ..message(session)
        };
        chats.add_message(new).unwrap();
    }
    let delete = |filter, permanent| Request::MessagesDeleteWhere { filter, permanent };
    assert_eq!(
        code(chats.count(delete(DeleteFilter::default(), false))),
        "INVALID_ARGUMENT"
    );
    let filter = DeleteFilter {
        session_id: Some("s".into()),
        before_ms: Some(20),
        ..DeleteFilter::default()
    };
    assert_eq!(chats.count(delete(filter, false)).unwrap().messages, 1);
    assert_eq!(chats.path("s"), ["2", "3"]);
    let filter = DeleteFilter {
        bot_id: Some("b".into()),
        before_ms: Some(30),
        ..DeleteFilter::default()
    };
    assert_eq!(chats.count(delete(filter, true)).unwrap().messages, 3);
    assert_eq!(
        (chats.path("s"), chats.path("t")),
        (vec!["3".to_owned()], vec!["5".to_owned()])
    );
    assert_eq!(chats.get("s", "1"), None);
    let nobody = DeleteFilter {
        bot_id: Some("nobody".into()),
        ..DeleteFilter::default()
    };
    assert_eq!(chats.count(delete(nobody, true)).unwrap().messages, 0);
    chats.expect_sound();
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
        })
        .unwrap();
    assert_eq!((count.bots, count.sessions, count.messages), (0, 0, 0));
    let count = chats
        .count(Request::SessionsPurge {
            deleted_before_ms: i64::MAX,
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
