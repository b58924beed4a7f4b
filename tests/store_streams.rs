//! Streaming replies: begun, added to, ended; what is read of them meanwhile, and what other calls do.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::rc::Rc;

use chatstore::model::{
    DeleteFilter, Field, Message, MessageList, MessagePatch, NewMessage, PageOptions, Usage,
};
use chatstore::store::streams::{Delta, NewStream, StreamEnd};
use chatstore::vfs::MemoryStorage;
use chatstore::{Durability, Engine, Request, Result};
use support::{Chats, code, expect_error, message, open};

const CLIENT: &str = "client-1";

/// What these tests say of a reply `m` in the session `s`.
impl Chats {
    fn start(&mut self, session_id: &str, id: &str) -> Message {
        let new = NewStream {
            session_id: session_id.into(),
            id: Some(id.into()),
            ..NewStream::default()
        };
        let client = CLIENT.to_owned();
        self.messages(Request::MessagesStart { new, client })
            .unwrap_or_else(|error| panic!("{id} was not started: {error}"))
            .0
            .remove(0)
    }

    fn append(&mut self, id: &str, first_number: i64, deltas: &[Delta]) -> Result<()> {
        self.call(Request::MessagesAppend {
            session_id: "s".into(),
            id: id.into(),
            first_number,
            deltas: deltas.to_vec(),
        })
        .map(drop)
    }

    fn finish(&mut self, id: &str, end: StreamEnd) -> Result<Message> {
        let (session_id, id) = ("s".into(), id.into());
        let finish = Request::MessagesFinish {
            session_id,
            id,
            end,
        };
        Ok(self.messages(finish)?.0.remove(0))
    }

    fn abort(&mut self, id: &str, reason: Option<&str>) -> Result<Message> {
        let end = StreamEnd {
            finish_reason: reason.map(str::to_owned),
            ..StreamEnd::default()
        };
        let (session_id, id) = ("s".into(), id.into());
        let abort = Request::MessagesAbort {
            session_id,
            id,
            end,
        };
        Ok(self.messages(abort)?.0.remove(0))
    }

    fn reply(&mut self, id: &str) -> Message {
        self.get("s", id)
            .unwrap_or_else(|| panic!("no message {id}"))
    }

    /// Text and status.
    fn shown(&mut self, id: &str) -> (String, String) {
        let reply = self.reply(id);
        (reply.text, reply.status)
    }
}

fn text(text: &str) -> Delta {
    grow("text", text)
}

fn grow(part_type: &str, text: &str) -> Delta {
    Delta::Grow {
        part_type: part_type.into(),
        text: text.into(),
    }
}

fn pair(text: &str, status: &str) -> (String, String) {
    (text.into(), status.into())
}

fn started() -> Chats {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", Some("b"));
    chats.add("s", "q", "a question");
    chats.start("s", "m");
    chats
}

/// Rows of the two tables that only replies under way have.
fn rows(chats: &mut Chats) -> Vec<String> {
    chats
        .query(
            "SELECT (SELECT count(*) FROM message_streams), (SELECT count(*) FROM message_deltas)",
        )
        .unwrap()
}

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
                .count(Request::SessionsPurge { deleted_before_ms })
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

/// Opens the store that lies in a storage.
fn reopen(storage: &Rc<MemoryStorage>) -> Chats {
    Chats::over(Engine::open(Rc::clone(storage), "chats.sqlite", Durability::Strict).unwrap())
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

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// The parts that deltas make, told in another way than the store does it: type and text, or JSON.
fn model(deltas: &[Delta]) -> Vec<(Option<String>, String)> {
    let mut parts: Vec<(Option<String>, String)> = Vec::new();
    for delta in deltas {
        match delta {
            Delta::Grow { text, .. } if text.is_empty() => {}
            Delta::Grow { part_type, text } => match parts.last_mut() {
                Some((Some(last), grown)) if last == part_type => *grown += text,
                _ => parts.push((Some(part_type.clone()), text.clone())),
            },
            Delta::Part(json) => parts.push((None, json.clone())),
        }
    }
    parts
}

/// Adds what the deltas come to as one message, through `messages.add`, with JSON that SQLite writes.
fn add_whole(chats: &mut Chats, id: &str, deltas: &[Delta]) -> Message {
    let parts = model(deltas);
    let plain = parts
        .iter()
        .all(|(part_type, _)| part_type.as_deref() == Some("text"));
    let text: String = parts.iter().map(|(_, text)| text.as_str()).collect();
    let json: Vec<String> = parts
        .iter()
        .map(|(part_type, text)| match part_type {
            None => text.clone(),
            Some(part_type) => {
                let sql = format!(
                    "SELECT json_object('type', CAST(x'{}' AS TEXT), 'text', CAST(x'{}' AS TEXT))",
                    hex(part_type),
                    hex(text)
                );
                chats.query(&sql).unwrap().remove(0)
            }
        })
        .collect();
    let json = format!("[{}]", json.join(","));
    let new = NewMessage {
        id: Some(id),
        role: "assistant",
        text: plain.then_some(&*text),
        parts: (!plain).then_some(&*json),
        ..message("t")
    };
    chats.add_message(new).unwrap()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn whatever_comes_in_whatever_pieces_becomes_what_add_would_have_stored() {
    const TEXTS: [&str; 9] = [
        "",
        "a",
        "Grüße ",
        "\"\\\n\t\u{8}\u{c}\r",
        "😀",
        "\u{1}\u{7f}",
        "\"}]",
        "日本",
        "x y ",
    ];
    const PARTS: [&str; 3] = [
        r#"{"type":"file","name":"a\"b"}"#,
        r#"{"type":"text","text":"whole"}"#,
        r#"{ "type" : "reasoning", "text":"whole" }"#,
    ];
    for seed in 1..=40 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let storage = Rc::new(MemoryStorage::new());
        let mut chats = reopen(&storage);
        chats.session("s", None);
        chats.session("t", None);
        chats.start("s", "m");
        let only_text = random.below(3) == 0;
        let mut sent: Vec<Delta> = Vec::new();
        for _ in 0..random.below(40) {
            let piece: Vec<Delta> = (0..random.below(5))
                .map(|_| match random.below(8) {
                    _ if only_text => text(TEXTS[random.below(TEXTS.len())]),
                    0 => Delta::Part(PARTS[random.below(PARTS.len())].into()),
                    1 | 2 => grow("reasoning", TEXTS[random.below(TEXTS.len())]),
                    3 => grow("a \"type\"", TEXTS[random.below(TEXTS.len())]),
                    _ => text(TEXTS[random.below(TEXTS.len())]),
                })
                .collect();
            let known = random.below(4).min(sent.len());
            let first_number = sent.len() - known;
            sent.extend(piece);
            chats
                .append("m", first_number as i64, &sent[first_number..])
                .unwrap();
            match random.below(12) {
                0 => {
                    drop(chats);
                    chats = reopen(&storage);
                    assert_eq!(chats.reply("m").status, "incomplete", "seed {seed}");
                }
                1 => drop(chats.found("whole")),
                2 => {
                    let id = format!("x{}", random.below(1 << 30));
                    chats.add("s", &id, "in between");
                }
                _ => {}
            }
            if random.below(4) == 0 {
                let id = format!("at {} of {}", sent.len(), random.below(1 << 30));
                let whole = add_whole(&mut chats, &id, &sent);
                let so_far = chats.reply("m");
                assert_eq!(
                    (so_far.text, so_far.parts),
                    (whole.text, whole.parts),
                    "seed {seed}"
                );
            }
        }
        let whole = add_whole(&mut chats, "whole", &sent);
        let end = StreamEnd::default();
        let done = if random.below(2) == 0 {
            chats.finish("m", end).unwrap()
        } else {
            chats.abort("m", None).unwrap()
        };
        assert_eq!(
            (&done.text, &done.parts),
            (&whole.text, &whole.parts),
            "seed {seed}"
        );
        assert_eq!(rows(&mut chats), ["0", "0"], "seed {seed}");
        assert_eq!(chats.reply("m"), done, "seed {seed}");
        chats.expect_sound();
    }
}
