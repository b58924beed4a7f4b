//! What the tests of replies under way share: short ways to say the steps of a reply `m` in the
//! session `s`. Used natively and in wasm.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::rc::Rc;

use chatstore::model::Message;
use chatstore::store::streams::{Delta, NewStream, StreamEnd};
use chatstore::vfs::MemoryStorage;
use chatstore::{Durability, Engine, Request, Result};

use super::{Chats, open};

pub const CLIENT: &str = "client-1";

impl Chats {
    pub fn start(&mut self, session_id: &str, id: &str) -> Message {
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

    pub fn append(&mut self, id: &str, first_number: i64, deltas: &[Delta]) -> Result<()> {
        self.call(Request::MessagesAppend {
            session_id: "s".into(),
            id: id.into(),
            first_number,
            deltas: deltas.to_vec(),
        })
        .map(drop)
    }

    pub fn finish(&mut self, id: &str, end: StreamEnd) -> Result<Message> {
        let (session_id, id) = ("s".into(), id.into());
        let finish = Request::MessagesFinish {
            session_id,
            id,
            end,
        };
        Ok(self.messages(finish)?.0.remove(0))
    }

    pub fn abort(&mut self, id: &str, reason: Option<&str>) -> Result<Message> {
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

    pub fn reply(&mut self, id: &str) -> Message {
        self.get("s", id)
            .unwrap_or_else(|| panic!("no message {id}"))
    }

    /// Text and status.
    pub fn shown(&mut self, id: &str) -> (String, String) {
        let reply = self.reply(id);
        (reply.text, reply.status)
    }
}

pub fn text(text: &str) -> Delta {
    grow("text", text)
}

pub fn grow(part_type: &str, text: &str) -> Delta {
    Delta::Grow {
        part_type: part_type.into(),
        text: text.into(),
    }
}

pub fn pair(text: &str, status: &str) -> (String, String) {
    (text.into(), status.into())
}

pub fn started() -> Chats {
    let mut chats = open();
    chats.bot("b");
    chats.session("s", Some("b"));
    chats.add("s", "q", "a question");
    chats.start("s", "m");
    chats
}

/// Rows of the two tables that only replies under way have.
pub fn rows(chats: &mut Chats) -> Vec<String> {
    chats
        .query(
            "SELECT (SELECT count(*) FROM message_streams), (SELECT count(*) FROM message_deltas)",
        )
        .unwrap()
}

/// Opens the store that lies in a storage.
pub fn reopen(storage: &Rc<MemoryStorage>) -> Chats {
    Chats::over(Engine::open(Rc::clone(storage), "chats.sqlite", Durability::Strict).unwrap())
}
