//! What a store must hold, told without one: plain maps, and each call's effect on them.
//!
//! Only what the calls say counts here, so that a fault shared by the store and its model would have to
//! be made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::rc::Rc;

/// The words that texts are made of, and that searches look for.
pub const WORDS: [&str; 8] = [
    "anchor", "breeze", "cobalt", "drizzle", "ember", "Füchsin", "grotto", "harbour",
];

/// One call that changes the store. Messages are named by their place in the session.
#[derive(Debug, Clone)]
pub enum Call {
    CreateBot {
        id: String,
        name: String,
    },
    RenameBot {
        id: String,
        name: String,
    },
    CreateSession {
        id: String,
        title: String,
    },
    RetitleSession {
        id: String,
        title: String,
    },
    DeleteSession {
        id: String,
        permanent: bool,
    },
    RestoreSession {
        id: String,
    },
    /// Messages for any sessions, each after its session's head.
    Add(Vec<(String, String)>),
    Edit {
        session: String,
        seq: i64,
        text: String,
    },
    Update {
        session: String,
        seq: i64,
        text: String,
    },
    SwitchTo {
        session: String,
        seq: i64,
    },
    Delete {
        session: String,
        seq: i64,
        permanent: bool,
    },
    Clear {
        session: String,
        permanent: bool,
    },
    /// A reply under way, after its session's head.
    Start {
        session: String,
    },
    /// More of a reply that is under way, or that broke off.
    Append {
        session: String,
        seq: i64,
        text: String,
    },
    /// The rest of a reply: it is complete, or given up.
    End {
        session: String,
        seq: i64,
        text: String,
        complete: bool,
    },
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub bots: BTreeMap<String, String>,
    pub sessions: BTreeMap<String, Rc<Session>>,
    /// Ids of the writes that are on record.
    pub operations: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub title: String,
    pub in_trash: bool,
    pub head: Option<i64>,
    pub next_seq: i64,
    pub messages: BTreeMap<i64, Message>,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    pub parent: Option<i64>,
    pub text: String,
    pub in_trash: bool,
    pub status: &'static str,
    pub reply: Option<Reply>,
}

/// A reply under way.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    pub next_number: i64,
    pub broke_off: bool,
}

impl Model {
    /// As the next owner finds it: the clients of this one are gone, and their replies broke off.
    pub fn left(&self) -> Self {
        let mut left = self.clone();
        for session in left.sessions.values_mut() {
            let is_under_way =
                |message: &Message| message.reply.is_some_and(|reply| !reply.broke_off);
            if !session.messages.values().any(is_under_way) {
                continue;
            }
            for message in Rc::make_mut(session).messages.values_mut() {
                if is_under_way(message)
                    && let Some(reply) = &mut message.reply
                {
                    reply.broke_off = true;
                    message.status = "incomplete";
                }
            }
        }
        left
    }

    /// The id of a message that a call names.
    pub fn id(&self, session: &str, seq: i64) -> &str {
        &self.sessions[session].messages[&seq].id
    }

    /// The number that the next delta of a reply has.
    pub fn next_number(&self, session: &str, seq: i64) -> i64 {
        let message = &self.sessions[session].messages[&seq];
        message.reply.map_or(0, |reply| reply.next_number)
    }

    /// Takes a call that the store has answered; `made` are the ids of the messages it made.
    pub fn apply(&mut self, call: &Call, made: &[String]) {
        match call {
            Call::CreateBot { id, name } | Call::RenameBot { id, name } => {
                self.bots.insert(id.clone(), name.clone());
            }
            Call::CreateSession { id, title } => {
                let session = Session {
                    title: title.clone(),
                    in_trash: false,
                    head: None,
                    next_seq: 1,
                    messages: BTreeMap::new(),
                };
                self.sessions.insert(id.clone(), Rc::new(session));
            }
            Call::RetitleSession { id, title } => self.session(id).title.clone_from(title),
            Call::DeleteSession { id, permanent } => {
                if *permanent {
                    self.sessions.remove(id);
                } else {
                    self.session(id).in_trash = true;
                }
            }
            Call::RestoreSession { id } => self.session(id).in_trash = false,
            Call::Add(messages) => {
                for ((session, text), id) in messages.iter().zip(made) {
                    let session = self.session(session);
                    let parent = session.head;
                    session.add(id, parent, text);
                }
            }
            Call::Edit { session, seq, text } => {
                let session = self.session(session);
                let parent = session.messages[seq].parent;
                session.add(&made[0], parent, text);
            }
            Call::Update { session, seq, text } => {
                let message = self.session(session).message(*seq);
                message.text.clone_from(text);
                if message.reply.take().is_some() {
                    message.status = "incomplete";
                }
            }
            Call::SwitchTo { session, seq } => {
                let session = self.session(session);
                let mut head = *seq;
                while let Some((child, _)) = session
                    .messages
                    .iter()
                    .rfind(|(_, message)| message.parent == Some(head))
                {
                    head = *child;
                }
                session.head = Some(head);
            }
            Call::Delete {
                session,
                seq,
                permanent,
            } => {
                let session = self.session(session);
                if *permanent {
                    session.remove(*seq);
                } else {
                    session.message(*seq).in_trash = true;
                }
            }
            Call::Clear { session, permanent } => {
                let session = self.session(session);
                if *permanent {
                    session.messages.clear();
                    session.head = None;
                }
                for message in session.messages.values_mut() {
                    message.in_trash = true;
                }
            }
            Call::Start { session } => {
                let session = self.session(session);
                let seq = session.next_seq;
                session.add(&made[0], session.head, "");
                let message = session.message(seq);
                message.status = "streaming";
                message.reply = Some(Reply {
                    next_number: 0,
                    broke_off: false,
                });
            }
            Call::Append { session, seq, text } => self.session(session).append(*seq, text),
            Call::End {
                session,
                seq,
                text,
                complete,
            } => {
                let session = self.session(session);
                session.append(*seq, text);
                let message = session.message(*seq);
                message.reply = None;
                message.status = if *complete { "complete" } else { "incomplete" };
            }
        }
    }

    /// As [`Self::apply`], of a call with an operation id.
    pub fn apply_once(&mut self, call: &Call, made: &[String], operation: &str) {
        self.apply(call, made);
        // Deltas are numbered, and need no record.
        if !matches!(call, Call::Append { .. }) {
            self.operations.insert(operation.to_owned());
        }
    }

    /// The client of a reply is there after all.
    pub fn go_on(&mut self, session: &str, seq: i64) {
        let message = self.session(session).message(seq);
        if let Some(reply) = &mut message.reply {
            reply.broke_off = false;
            message.status = "streaming";
        }
    }

    fn session(&mut self, id: &str) -> &mut Session {
        Rc::make_mut(
            self.sessions
                .get_mut(id)
                .expect("a call names a session there is"),
        )
    }

    /// All of it as text, a line a row, in the order in which the store is asked for its rows.
    pub fn dump(&self) -> String {
        let mut dump = String::new();
        for (id, name) in &self.bots {
            let _ = writeln!(dump, "bot {id} {name}");
        }
        for (id, session) in &self.sessions {
            let Session {
                title,
                in_trash,
                head,
                next_seq,
                messages,
            } = &**session;
            let count = messages
                .values()
                .filter(|message| !message.in_trash)
                .count();
            let _ = writeln!(
                dump,
                "session {id} {title} trash={} head={} next={next_seq} count={count}",
                i32::from(*in_trash),
                head.unwrap_or(0),
            );
        }
        for (id, session) in &self.sessions {
            let active = session.active_path();
            for (seq, message) in &session.messages {
                let reply = message.reply.map_or_else(String::new, |reply| {
                    format!(
                        " reply={}/{}",
                        reply.next_number,
                        i32::from(reply.broke_off)
                    )
                });
                let _ = writeln!(
                    dump,
                    "message {id} {seq} {} parent={} active={} trash={} {} {}{reply}",
                    message.id,
                    message.parent.unwrap_or(0),
                    i32::from(active.contains(seq)),
                    i32::from(message.in_trash),
                    message.status,
                    message.text,
                );
            }
        }
        for id in &self.operations {
            let _ = writeln!(dump, "operation {id}");
        }
        dump
    }

    /// The messages out of the trash that hold a word.
    pub fn holding(&self, word: &str) -> BTreeSet<(String, String)> {
        let visible = self
            .sessions
            .iter()
            .filter(|(_, session)| !session.in_trash);
        visible
            .flat_map(|(id, session)| session.messages.values().map(move |message| (id, message)))
            .filter(|(_, message)| {
                !message.in_trash && message.text.split(' ').any(|other| other == word)
            })
            .map(|(session, message)| (session.clone(), message.id.clone()))
            .collect()
    }
}

impl Session {
    fn add(&mut self, id: &str, parent: Option<i64>, text: &str) {
        let message = Message {
            id: id.to_owned(),
            parent,
            text: text.to_owned(),
            in_trash: false,
            status: "complete",
            reply: None,
        };
        self.messages.insert(self.next_seq, message);
        self.head = Some(self.next_seq);
        self.next_seq += 1;
    }

    fn message(&mut self, seq: i64) -> &mut Message {
        self.messages
            .get_mut(&seq)
            .expect("a call names a message there is")
    }

    /// One delta more.
    fn append(&mut self, seq: i64, text: &str) {
        let message = self.message(seq);
        message.text += text;
        message.status = "streaming";
        let reply = message.reply.as_mut();
        let reply = reply.expect("a call names a reply that has not ended");
        reply.next_number += 1;
        reply.broke_off = false;
    }

    fn active_path(&self) -> BTreeSet<i64> {
        let mut path = BTreeSet::new();
        let mut at = self.head;
        while let Some(seq) = at {
            path.insert(seq);
            at = self.messages[&seq].parent;
        }
        path
    }

    /// Children go to the parent; a head that goes leaves it to the last of the path, or to the newest.
    fn remove(&mut self, seq: i64) {
        let mut path = self.active_path();
        path.remove(&seq);
        let gone = self
            .messages
            .remove(&seq)
            .expect("a call names a message there is");
        for message in self.messages.values_mut() {
            if message.parent == Some(seq) {
                message.parent = gone.parent;
            }
        }
        self.head = path.last().or(self.messages.keys().next_back()).copied();
    }
}
