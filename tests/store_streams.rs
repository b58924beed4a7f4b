//! Streaming replies: begun, added to, ended, and what is read of them meanwhile.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::Request;
use chatstore::model::{Field, MessageList, PageOptions, Usage};
use chatstore::store::streams::{Delta, NewStream, StreamEnd};
use support::streams::{CLIENT, grow, pair, rows, started, text};
use support::{code, expect_error, open};

#[test]
fn a_reply_is_read_as_it_comes_and_is_an_ordinary_message_at_its_end() {
    let mut chats = started();
    let begun = chats.reply("m");
    assert_eq!(
        (begun.role.as_str(), begun.status.as_str()),
        ("assistant", "streaming")
    );
    assert_eq!(
        (begun.parent_id.as_deref(), begun.bot_id.as_deref()),
        (Some("q"), Some("b"))
    );
    assert_eq!(chats.get_session("s").head_id.as_deref(), Some("m"));
    assert_eq!((begun.text.as_str(), begun.parts), ("", None));

    chats.append("m", 0, &[text("Hel"), text("lo")]).unwrap();
    assert_eq!(
        rows(&mut chats),
        ["1", "1"],
        "deltas of one type are one row"
    );
    chats.append("m", 2, &[text(" there")]).unwrap();
    assert_eq!(chats.shown("m"), pair("Hello there", "streaming"));
    chats.append("m", 3, &[grow("reasoning", "so")]).unwrap();
    let parts = r#"[{"type":"text","text":"Hello there"},{"type":"reasoning","text":"so"}]"#;
    assert_eq!(chats.reply("m").parts.as_deref(), Some(parts));

    let revision = chats.get_session("s").revision;
    let end = StreamEnd {
        first_number: 4,
        deltas: vec![text("!")],
        usage: Some(Usage {
            output_tokens: Some(4),
            ..Usage::default()
        }),
        finish_reason: Some("stop".into()),
        ..StreamEnd::default()
    };
    let done = chats.finish("m", end).unwrap();
    assert_eq!(
        (done.text.as_str(), done.status.as_str()),
        ("Hello there\n!", "complete")
    );
    assert_eq!(done.finish_reason.as_deref(), Some("stop"));
    assert_eq!(done.usage.output_tokens, Some(4));
    assert_eq!(chats.reply("m"), done);
    assert_eq!(rows(&mut chats), ["0", "0"]);
    let session = chats.get_session("s");
    assert_eq!(session.preview.as_deref(), Some("Hello there !"));
    assert_eq!(session.last_message_at_ms, Some(done.created_at_ms));
    assert!(session.revision > revision);
    assert_eq!(chats.found("there"), ["m"]);
    chats.expect_sound();
}

#[test]
fn the_preview_of_a_session_keeps_up_with_what_a_search_moves_into_its_reply() {
    let mut chats = open();
    chats.session("s", None);
    chats.start("s", "m");
    chats.append("m", 0, &[text("half a word")]).unwrap();
    assert_eq!(chats.found("half"), ["m"]);
    assert_eq!(
        chats.get_session("s").preview.as_deref(),
        Some("half a word")
    );
}

#[test]
fn lists_branches_tree_and_search_show_what_has_come() {
    let mut chats = started();
    chats.append("m", 0, &[text("partial words")]).unwrap();
    let page = PageOptions::default();
    let of_session = |all_branches| MessageList::Session {
        session_id: "s".into(),
        around: None,
        from_start: false,
        all_branches,
    };
    let of_bot = MessageList::Bot {
        bot_id: "b".into(),
        descending: true,
    };
    let lists = [of_session(false), of_session(true), of_bot].map(|which| Request::MessagesList {
        which,
        page: page.clone(),
    });
    let branches = Request::MessagesBranches {
        session_id: "s".into(),
        id: "m".into(),
    };
    for request in lists.into_iter().chain([branches]) {
        let (messages, _) = chats.messages(request.clone()).unwrap();
        let reply = messages.iter().find(|message| message.id == "m").unwrap();
        assert_eq!(reply.text, "partial words", "{request:?}");
        assert_eq!(reply.status, "streaming");
    }
    let tree = chats.tree("s");
    assert_eq!(tree[1].preview, "partial words");
    assert_eq!(chats.found("partial"), ["m"]);
    // What a search moved into the message is not said twice, and the reply goes on.
    chats.append("m", 1, &[text(", and more")]).unwrap();
    assert_eq!(
        chats.shown("m"),
        pair("partial words, and more", "streaming")
    );
    assert_eq!(chats.found("more"), ["m"]);
    chats.in_transaction = true;
    chats.engine.begin().unwrap();
    chats.append("m", 2, &[text(" inside")]).unwrap();
    assert_eq!(chats.found("inside"), ["m"]);
    chats.engine.commit().unwrap();
    chats.in_transaction = false;
    assert_eq!(
        chats.finish("m", StreamEnd::default()).unwrap().text,
        "partial words, and more inside"
    );
    chats.expect_sound();
}

#[test]
fn repeated_numbers_change_nothing_and_missing_ones_are_an_error() {
    let mut chats = started();
    chats.append("m", 0, &[text("a"), text("b")]).unwrap();
    chats.append("m", 0, &[text("a"), text("b")]).unwrap();
    chats.append("m", 1, &[text("b"), text("c")]).unwrap();
    assert_eq!(chats.shown("m").0, "abc");
    let error = expect_error(chats.append("m", 4, &[text("e")]));
    assert_eq!(error.code().as_str(), "INVALID_ARGUMENT");
    assert_eq!(error.detail("nextNumber"), Some("3"));
    assert_eq!(
        code(chats.append("m", -1, &[text("e")])),
        "INVALID_ARGUMENT"
    );
    // Also across a row that several deltas became, and after what was moved into the message.
    chats
        .append(
            "m",
            3,
            &[text("d"), grow("x", "1"), grow("x", ""), grow("x", "2")],
        )
        .unwrap();
    chats
        .append("m", 5, &[grow("x", ""), grow("x", "2"), grow("x", "3")])
        .unwrap();
    assert_eq!(chats.found("abcd"), ["m"]);
    chats
        .append("m", 6, &[grow("x", "2"), grow("x", "3"), grow("x", "4")])
        .unwrap();
    let parts = r#"[{"type":"text","text":"abcd"},{"type":"x","text":"1234"}]"#;
    assert_eq!(
        chats
            .finish("m", StreamEnd::default())
            .unwrap()
            .parts
            .as_deref(),
        Some(parts)
    );
}

#[test]
fn what_has_ended_takes_no_more() {
    let mut chats = started();
    chats.append("m", 0, &[text("kept")]).unwrap();
    let broken_off = chats.abort("m", Some("stopped by the user")).unwrap();
    assert_eq!(
        (broken_off.text.as_str(), broken_off.status.as_str()),
        ("kept", "incomplete")
    );
    assert_eq!(
        broken_off.finish_reason.as_deref(),
        Some("stopped by the user")
    );
    for result in [
        chats.append("m", 1, &[text("more")]),
        chats.finish("m", StreamEnd::default()).map(drop),
        chats.abort("m", None).map(drop),
    ] {
        let error = expect_error(result);
        assert_eq!(error.code().as_str(), "STREAM_ENDED");
        assert_eq!(
            (error.detail("id"), error.detail("sessionId")),
            (Some("m"), Some("s"))
        );
    }
    // A message that never was a stream, and one that is none.
    assert_eq!(code(chats.append("q", 0, &[text("x")])), "STREAM_ENDED");
    assert_eq!(code(chats.append("none", 0, &[text("x")])), "NOT_FOUND");
    assert_eq!(chats.shown("m"), pair("kept", "incomplete"));
}

#[test]
fn the_end_may_bring_the_whole_content() {
    let mut chats = started();
    chats.append("m", 0, &[text("draft")]).unwrap();
    let end = StreamEnd {
        parts: Some(r#"[{"type":"text","text":"final"},{"type":"source"}]"#.into()),
        ..StreamEnd::default()
    };
    let done = chats.finish("m", end.clone()).unwrap();
    assert_eq!((done.text.as_str(), done.parts), ("final", end.parts));
    chats.start("s", "n");
    let end = StreamEnd {
        text: Some("just text".into()),
        ..StreamEnd::default()
    };
    let done = chats.finish("n", end).unwrap();
    assert_eq!((done.text.as_str(), done.parts), ("just text", None));
    assert_eq!(rows(&mut chats), ["0", "0"]);
}

#[test]
fn bad_deltas_are_refused_and_change_nothing() {
    let mut chats = started();
    let long = "x".repeat(257);
    for (delta, expected) in [
        (grow("", "x"), "INVALID_ARGUMENT"),
        (grow(&long, "x"), "TOO_LARGE"),
        (Delta::Part("{".into()), "INVALID_ARGUMENT"),
        (Delta::Part("[]".into()), "INVALID_ARGUMENT"),
        (Delta::Part("{}".into()), "INVALID_ARGUMENT"),
        (Delta::Part(r#"{"type":""}"#.into()), "INVALID_ARGUMENT"),
        (Delta::Part(r#"{"type":1}"#.into()), "INVALID_ARGUMENT"),
        (text(&"x".repeat((64 << 20) - 8)), "TOO_LARGE"),
    ] {
        assert_eq!(
            code(chats.append("m", 0, &[text("first"), delta])),
            expected
        );
    }
    assert_eq!(rows(&mut chats), ["1", "0"]);
    let long_reason = StreamEnd {
        finish_reason: Some(long),
        ..StreamEnd::default()
    };
    assert_eq!(code(chats.finish("m", long_reason)), "TOO_LARGE");
    let both = StreamEnd {
        text: Some("x".into()),
        parts: Some("[]".into()),
        ..StreamEnd::default()
    };
    assert_eq!(code(chats.finish("m", both)), "INVALID_ARGUMENT");
    // The limit counts what stands in the message already.
    chats
        .append("m", 0, &[text(&"x".repeat(40 << 20))])
        .unwrap();
    let more = text(&"x".repeat(30 << 20));
    assert_eq!(
        code(chats.append("m", 1, std::slice::from_ref(&more))),
        "TOO_LARGE"
    );
    chats.found("nothing");
    assert_eq!(rows(&mut chats), ["1", "0"], "the search moved it");
    assert_eq!(code(chats.append("m", 1, &[more])), "TOO_LARGE");
    assert_eq!(chats.shown("m").1, "streaming");
}

#[test]
fn a_start_is_refused_where_a_message_would_be() {
    let mut chats = started();
    let start = |new| Request::MessagesStart {
        new,
        client: CLIENT.into(),
    };
    let new = NewStream {
        session_id: "s".into(),
        ..NewStream::default()
    };
    let (taken, no_bot, no_parent) = (new.clone(), new.clone(), new.clone());
    for (new, expected) in [
        (
            NewStream {
                id: Some("m".into()),
                ..taken
            },
            "CONSTRAINT_UNIQUE",
        ),
        (
            NewStream {
                bot_id: Field::Value("none".into()),
                ..no_bot
            },
            "CONSTRAINT_FOREIGN_KEY",
        ),
        (
            NewStream {
                parent_id: Field::Value("none".into()),
                ..no_parent
            },
            "CONSTRAINT_FOREIGN_KEY",
        ),
        (
            NewStream {
                session_id: "none".into(),
                ..new
            },
            "CONSTRAINT_FOREIGN_KEY",
        ),
    ] {
        assert_eq!(code(chats.call(start(new))), expected);
    }
    assert_eq!(rows(&mut chats), ["1", "0"]);
    chats.expect_sound();
}

#[test]
fn regenerate_begins_a_sibling_with_the_same_role_bot_and_parent() {
    let mut chats = started();
    chats.append("m", 0, &[text("first try")]).unwrap();
    let again = Request::MessagesRegenerate {
        session_id: "s".into(),
        id: "m".into(),
        new: NewStream {
            id: Some("n".into()),
            model: Some("other".into()),
            ..NewStream::default()
        },
        client: CLIENT.into(),
    };
    let (second, _) = chats.messages(again).unwrap();
    let first = chats.reply("m");
    assert_eq!(second[0].parent_id, first.parent_id);
    assert_eq!(
        (&second[0].role, &second[0].bot_id),
        (&first.role, &first.bot_id)
    );
    assert_eq!(second[0].model.as_deref(), Some("other"));
    assert_eq!(chats.path("s"), ["q", "n"]);
    // Both go on, each for itself.
    chats.append("n", 0, &[text("second")]).unwrap();
    chats.append("m", 1, &[text("!")]).unwrap();
    assert_eq!(
        chats.finish("m", StreamEnd::default()).unwrap().text,
        "first try!"
    );
    assert_eq!(
        chats.finish("n", StreamEnd::default()).unwrap().text,
        "second"
    );
    assert_eq!(chats.get_session("s").preview.as_deref(), Some("second"));
    chats.expect_sound();
}
