//! Replies under way, and what happens to them besides: other calls, and the death of their client.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::rc::Rc;

use chatstore::Request;
use chatstore::model::{DeleteFilter, Field, MessagePatch, NewMessage};
use chatstore::store::streams::StreamEnd;
use chatstore::vfs::MemoryStorage;
use support::streams::{grow, pair, reopen, rows, started, text};
use support::{Chats, code, message};

#[test]
fn whoever_sets_content_or_status_takes_the_reply_over() {
    let patched = |patch: MessagePatch| {
        let mut chats = started();
        chats.append("m", 0, &[text("so far")]).unwrap();
        let update = Request::MessagesUpdate {
            session_id: "s".into(),
            id: "m".into(),
            patch,
        };
        chats.call(update).unwrap();
        let goes_on = chats
            .append("m", 1, &[text("…")])
            .map_err(|error| error.code().as_str());
        chats.expect_sound();
        (
            chats.shown("m"),
            goes_on,
            chats.get_session("s").preview.unwrap(),
        )
    };
    let status = |status: &str| MessagePatch {
        status: Some(status.into()),
        ..MessagePatch::default()
    };
    let content = MessagePatch {
        text: Some("mine".into()),
        ..MessagePatch::default()
    };
    let metadata = MessagePatch {
        metadata: Field::Value("{}".into()),
        ..MessagePatch::default()
    };
    let ended = Err("STREAM_ENDED");
    assert_eq!(
        patched(status("error")),
        (pair("so far", "error"), ended, "so far".into())
    );
    assert_eq!(
        patched(content),
        (pair("mine", "incomplete"), ended, "mine".into())
    );
    assert_eq!(
        patched(metadata),
        (pair("so far…", "streaming"), Ok(()), String::new())
    );
    assert_eq!(
        patched(status("streaming")),
        (pair("so far…", "streaming"), Ok(()), String::new())
    );

    let mut chats = started();
    chats.append("m", 0, &[text("so far")]).unwrap();
    let put = NewMessage {
        id: Some("m"),
        text: Some("put over it"),
        ..message("s")
    };
    chats.messages(Request::MessagesPut(vec![put])).unwrap();
    assert_eq!(chats.shown("m"), pair("put over it", "complete"));
    assert_eq!(code(chats.append("m", 1, &[text("…")])), "STREAM_ENDED");
    assert_eq!(rows(&mut chats), ["0", "0"]);
    assert_eq!(chats.found("far"), [""; 0]);
    chats.expect_sound();
}

#[test]
fn an_edit_or_a_switch_beside_a_reply_does_not_touch_it() {
    let mut chats = started();
    chats.append("m", 0, &[text("one")]).unwrap();
    let edit = Request::MessagesEdit {
        session_id: "s".into(),
        id: "m".into(),
        content: NewMessage {
            text: Some("by hand"),
            ..NewMessage::default()
        },
    };
    let (sibling, _) = chats.messages(edit).unwrap();
    assert_eq!(sibling[0].status, "complete");
    chats.append("m", 1, &[text(" two")]).unwrap();
    assert_eq!(
        chats.finish("m", StreamEnd::default()).unwrap().text,
        "one two"
    );
    assert_eq!(chats.get_session("s").preview.as_deref(), Some("by hand"));
    chats.expect_sound();
}

#[test]
fn a_fork_takes_what_has_come_and_the_reply_goes_on() {
    let mut chats = started();
    chats
        .append("m", 0, &[text("half a "), grow("reasoning", "hm")])
        .unwrap();
    let fork = Request::SessionsFork {
        session_id: "s".into(),
        id: "m".into(),
    };
    let copy = chats.sessions(fork).unwrap().items.remove(0);
    let copied = chats.get(&copy.id, "m").unwrap();
    assert_eq!(
        (copied.text.as_str(), copied.status.as_str()),
        ("half a ", "incomplete")
    );
    assert_eq!(copy.preview.as_deref(), Some("half a"));
    chats
        .append("m", 2, &[grow("reasoning", "m"), text("sentence")])
        .unwrap();
    let parts = concat!(
        r#"[{"type":"text","text":"half a "},{"type":"reasoning","text":"hmm"},"#,
        r#"{"type":"text","text":"sentence"}]"#
    );
    assert_eq!(
        chats
            .finish("m", StreamEnd::default())
            .unwrap()
            .parts
            .as_deref(),
        Some(parts)
    );
    assert_eq!(chats.get(&copy.id, "m").unwrap(), copied);
    chats.expect_sound();
}

#[test]
fn in_the_trash_a_reply_goes_on_and_for_good_it_is_gone() {
    let mut chats = started();
    chats.append("m", 0, &[text("a")]).unwrap();
    let delete = |permanent| Request::MessagesDelete {
        session_id: "s".into(),
        id: "m".into(),
        permanent,
    };
    chats.count(delete(false)).unwrap();
    chats.append("m", 1, &[text("b")]).unwrap();
    assert_eq!(chats.path("s"), ["q"]);
    let restore = Request::MessagesRestore {
        session_id: "s".into(),
        id: "m".into(),
    };
    assert_eq!(chats.messages(restore).unwrap().0[0].text, "ab");
    chats.count(delete(true)).unwrap();
    assert_eq!(code(chats.append("m", 2, &[text("c")])), "NOT_FOUND");
    assert_eq!(rows(&mut chats), ["0", "0"]);

    let for_good: [fn(&mut Chats); 3] = [
        |chats| {
            let filter = DeleteFilter {
                session_id: Some("s".into()),
                ..DeleteFilter::default()
            };
            let permanent = true;
            chats
                .count(Request::MessagesDeleteWhere { filter, permanent })
                .unwrap();
        },
        |chats| {
            let id = "s".into();
            chats
                .count(Request::SessionsDelete {
                    id,
                    permanent: false,
                })
                .unwrap();
            let deleted_before_ms = i64::MAX;
            chats
                .count(Request::SessionsPurge {
                    deleted_before_ms,
                    limit: u32::MAX,
                })
                .unwrap();
        },
        |chats| {
            let id = "b".into();
            chats
                .count(Request::BotsDelete {
                    id,
                    permanent: true,
                })
                .unwrap();
        },
    ];
    for delete in for_good {
        let mut chats = started();
        chats.append("m", 0, &[text("a")]).unwrap();
        delete(&mut chats);
        assert_eq!(rows(&mut chats), ["0", "0"]);
        assert_eq!(code(chats.append("m", 1, &[text("b")])), "NOT_FOUND");
        chats.expect_sound();
    }
}

#[test]
fn a_partial_survives_the_death_of_its_client_and_goes_on_where_that_comes_back() {
    let storage = Rc::new(MemoryStorage::new());
    let mut chats = reopen(&storage);
    chats.session("s", None);
    chats.start("s", "m");
    chats
        .append("m", 0, &[text("be"), grow("reasoning", "why")])
        .unwrap();
    drop(chats);

    let mut chats = reopen(&storage);
    assert_eq!(chats.shown("m"), pair("be", "incomplete"));
    assert_eq!(chats.found("be"), ["m"]);
    assert_eq!(chats.get_session("s").preview.as_deref(), Some("be"));
    assert_eq!(rows(&mut chats), ["1", "0"]);
    // The client was not dead after all. What it says again is known, what is new joins what was there.
    chats
        .append("m", 1, &[grow("reasoning", "why"), grow("reasoning", "?")])
        .unwrap();
    assert_eq!(chats.reply("m").status, "streaming");
    drop(chats);

    let mut chats = reopen(&storage);
    let done = chats.finish("m", StreamEnd::default()).unwrap();
    let parts = r#"[{"type":"text","text":"be"},{"type":"reasoning","text":"why?"}]"#;
    assert_eq!(
        (done.parts.as_deref(), done.status.as_str()),
        (Some(parts), "complete")
    );
    assert_eq!(rows(&mut chats), ["0", "0"]);
    chats.expect_sound();
}

#[test]
fn a_partial_that_somebody_changed_does_not_go_on() {
    let storage = Rc::new(MemoryStorage::new());
    let mut chats = reopen(&storage);
    chats.session("s", None);
    for id in ["changed", "judged", "noted", "replaced"] {
        chats.start("s", id);
        chats.append(id, 0, &[text("begun")]).unwrap();
    }
    drop(chats);
    let mut chats = reopen(&storage);
    let update = |id: &str, patch| Request::MessagesUpdate {
        session_id: "s".into(),
        id: id.into(),
        patch,
    };
    let content = MessagePatch {
        text: Some("begun".into()),
        ..MessagePatch::default()
    };
    let status = MessagePatch {
        status: Some("incomplete".into()),
        ..MessagePatch::default()
    };
    let metadata = MessagePatch {
        metadata: Field::Value("1".into()),
        ..MessagePatch::default()
    };
    chats.call(update("changed", content)).unwrap();
    chats.call(update("judged", status)).unwrap();
    chats.call(update("noted", metadata)).unwrap();
    let put = NewMessage {
        id: Some("replaced"),
        text: Some("begun"),
        ..message("s")
    };
    chats.call(Request::MessagesPut(vec![put])).unwrap();
    for (id, expected) in [
        ("changed", Some("STREAM_ENDED")),
        ("judged", Some("STREAM_ENDED")),
        ("noted", None),
        ("replaced", Some("STREAM_ENDED")),
    ] {
        let result = chats.append(id, 1, &[text("…")]);
        assert_eq!(
            result.err().map(|error| error.code().as_str()),
            expected,
            "{id}"
        );
    }
    chats.expect_sound();
}
