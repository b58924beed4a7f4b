//! Messages: fields, pages, the tree and its active path, trash and deletion.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::Request;
use chatstore::model::{
    DeleteFilter, Field, MessageList, MessagePatch, NewBot, NewMessage, NewSession, PageOptions,
    SessionPatch, Usage,
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
