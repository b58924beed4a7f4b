//! What a store must hold and answer, told without one: plain maps, and each write's effect on them.
//!
//! Holds: what the documentation of each verb promises, its refusals and what it answers included.
//! Must not know: the store, who calls when, or what can fail below.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use chatstore::Code;

use super::calls::{New, Write};

/// What a write or a read answers (`answers.rs`).
pub type Lines = Vec<String>;

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub bots: BTreeMap<String, Bot>,
    pub sessions: BTreeMap<String, Rc<Session>>,
    /// Writes that were done under an operation id.
    pub operations: BTreeMap<String, Rc<Done>>,
    /// Grows with each thing that goes to the trash: tells what went there together.
    pub trashed: u64,
}

#[derive(Debug, Clone)]
pub struct Bot {
    pub name: String,
    pub trashed: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub title: String,
    pub bot: Option<String>,
    pub trashed: Option<u64>,
    pub head: Option<i64>,
    pub next_seq: i64,
    pub messages: BTreeMap<i64, Message>,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    pub parent: Option<i64>,
    pub role: &'static str,
    pub bot: Option<String>,
    pub text: String,
    pub status: &'static str,
    pub is_in_trash: bool,
    pub stream: Option<Stream>,
}

/// A reply under way, or one that broke off and can go on.
#[derive(Debug, Clone)]
pub struct Stream {
    pub client: String,
    pub next_number: i64,
    pub broke_off: bool,
}

#[derive(Debug)]
pub struct Done {
    /// The write as it was sent.
    write: String,
    gave: Gave,
}

/// Which rows a write gave; sent again, it gives them as they are then.
#[derive(Debug, Clone)]
pub enum Gave {
    Bot(String),
    Session(String),
    Messages(Vec<(String, i64)>),
    Count(Lines),
}

pub type Outcome<T> = Result<T, Code>;

impl Model {
    /// A write with an operation id: done once, however often it is sent.
    pub fn apply_once(
        &mut self,
        write: &Write,
        client: &str,
        operation: Option<&str>,
        made: &str,
    ) -> Outcome<Lines> {
        // Deltas are numbered: sent again they are known already.
        let Some(operation) = operation.filter(|_| !matches!(write, Write::Append { .. })) else {
            return Ok(self.apply(write, client, made)?.0);
        };
        // Whose a reply is belongs to what begins it; else it does not matter who sends a write again.
        let told = match write {
            Write::Start(_) | Write::Regenerate { .. } => format!("{client} {write:?}"),
            _ => format!("{write:?}"),
        };
        if let Some(done) = self.operations.get(operation).cloned() {
            if done.write != told {
                return Err(Code::OperationMismatch);
            }
            return self.again(&done.gave);
        }
        let (lines, gave) = self.apply(write, client, made)?;
        let done = Done { write: told, gave };
        self.operations.insert(operation.to_owned(), Rc::new(done));
        Ok(lines)
    }

    /// Keeps the record of a commit.
    pub fn record_commit(&mut self, operation: &str) {
        let done = Done {
            write: String::new(),
            gave: Gave::Count(Vec::new()),
        };
        self.operations.insert(operation.to_owned(), Rc::new(done));
    }

    pub fn is_done(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    fn again(&self, gave: &Gave) -> Outcome<Lines> {
        Ok(match gave {
            Gave::Bot(id) => vec![self.bot_line(id)?],
            Gave::Session(id) => vec![self.session_line(id)?],
            Gave::Count(lines) => lines.clone(),
            Gave::Messages(messages) => {
                let lines = messages.iter().map(|(session, seq)| {
                    let messages = &self.session(session)?.messages;
                    messages.get(seq).ok_or(Code::NotFound)?;
                    Ok(self.message_line(session, *seq))
                });
                lines.collect::<Outcome<_>>()?
            }
        })
    }

    /// What a write changes, or why it is refused; after a refusal this is of no more use. `made` is
    /// the id that the store makes where the write has none.
    fn apply(&mut self, write: &Write, client: &str, made: &str) -> Outcome<(Lines, Gave)> {
        match write {
            Write::CreateBot { id, name } => {
                let is_taken = self.bots.contains_key(id) || self.has_name(name);
                refuse_if(is_taken, Code::ConstraintUnique)?;
                let bot = Bot {
                    name: name.clone(),
                    trashed: None,
                };
                self.bots.insert(id.clone(), bot);
                self.gives_bot(id)
            }
            Write::RenameBot { id, name } => {
                let bot = self.bots.get(id).ok_or(Code::NotFound)?;
                let clashes = bot.trashed.is_none() && bot.name != *name && self.has_name(name);
                refuse_if(clashes, Code::ConstraintUnique)?;
                self.bots
                    .get_mut(id)
                    .ok_or(Code::NotFound)?
                    .name
                    .clone_from(name);
                self.gives_bot(id)
            }
            Write::DeleteBot { id, permanent } => {
                let count = self.delete_bot(id, *permanent)?;
                Ok(counted(count))
            }
            Write::RestoreBot { id } => {
                let bot = self.bots.get(id).ok_or(Code::NotFound)?.clone();
                if let Some(trashed) = bot.trashed {
                    refuse_if(self.has_name(&bot.name), Code::ConstraintUnique)?;
                    for session in self.sessions.values_mut() {
                        if session.bot.as_ref() == Some(id) && session.trashed == Some(trashed) {
                            Rc::make_mut(session).trashed = None;
                        }
                    }
                    self.bots.get_mut(id).ok_or(Code::NotFound)?.trashed = None;
                }
                self.gives_bot(id)
            }
            Write::CreateSession {
                id,
                title,
                bot,
                or_return,
            } => {
                if *or_return && self.sessions.contains_key(id) {
                    return self.gives_session(id);
                }
                if let Some(bot) = bot {
                    let bot = self.bots.get(bot).ok_or(Code::ConstraintForeignKey)?;
                    refuse_if(bot.trashed.is_some(), Code::ConstraintCheck)?;
                }
                refuse_if(self.sessions.contains_key(id), Code::ConstraintUnique)?;
                let session = Session {
                    title: title.clone(),
                    bot: bot.clone(),
                    trashed: None,
                    head: None,
                    next_seq: 1,
                    messages: BTreeMap::new(),
                };
                self.sessions.insert(id.clone(), Rc::new(session));
                self.gives_session(id)
            }
            Write::UpdateSession { id, title, head } => {
                self.change(id)?.title.clone_from(title);
                if let Some(head) = head {
                    let seq = self.seq(id, head)?;
                    self.change(id)?.head = Some(seq);
                }
                self.gives_session(id)
            }
            Write::DeleteSession { id, permanent } => {
                let session = self.session(id)?;
                if *permanent {
                    let messages = session.messages.len();
                    self.sessions.remove(id);
                    return Ok(counted([0, 1, messages]));
                }
                let is_kept = session.trashed.is_none();
                if is_kept {
                    self.trashed += 1;
                    let trashed = self.trashed;
                    self.change(id)?.trashed = Some(trashed);
                }
                Ok(counted([0, usize::from(is_kept), 0]))
            }
            Write::RestoreSession { id } => {
                let session = self.session(id)?;
                let bot = session.bot.as_ref().and_then(|id| self.bots.get(id));
                let waits =
                    session.trashed.is_some() && bot.is_some_and(|bot| bot.trashed.is_some());
                refuse_if(waits, Code::ConstraintCheck)?;
                self.change(id)?.trashed = None;
                self.gives_session(id)
            }
            Write::Fork { session, id } => {
                let fork = self.fork(session, id)?;
                self.sessions.insert(made.to_owned(), Rc::new(fork));
                self.gives_session(made)
            }
            Write::Purge => Ok(counted(self.purge()?)),
            Write::Add(messages) => {
                let mut lines = Vec::new();
                let mut gave = Vec::new();
                for new in messages {
                    let parent = self.parent(new)?;
                    let seq = self.add(new, parent)?;
                    lines.push(self.message_line(&new.session, seq));
                    gave.push((new.session.clone(), seq));
                }
                Ok((lines, Gave::Messages(gave)))
            }
            Write::Put(messages) => self.put(messages),
            Write::Edit { session, id, text } => {
                let original = self.message(session, id)?.clone();
                let new = New::sibling(session, made, text, original.role, original.bot);
                self.kept(session)?;
                let seq = self.add(&new, original.parent)?;
                Ok(self.gives_message(session, seq))
            }
            Write::Update { session, id, text } => {
                let seq = self.seq(session, id)?;
                let message = self.change_message(session, seq)?;
                if message.stream.take().is_some() {
                    message.status = "incomplete";
                }
                message.text.clone_from(text);
                Ok(self.gives_message(session, seq))
            }
            Write::SwitchTo { session, id } => {
                let mut head = self.seq(session, id)?;
                let change = self.change(session)?;
                while let Some((child, _)) = change
                    .messages
                    .iter()
                    .rfind(|(_, message)| message.parent == Some(head))
                {
                    head = *child;
                }
                change.head = Some(head);
                self.gives_session(session)
            }
            Write::Delete {
                session,
                id,
                permanent,
            } => {
                let seq = self.seq(session, id)?;
                let gone = self
                    .change(session)?
                    .delete(&BTreeSet::from([seq]), *permanent);
                Ok(counted([0, 0, gone]))
            }
            Write::DeleteWhere {
                session,
                bot,
                permanent,
            } => {
                let mut gone = 0;
                for (id, known) in &mut self.sessions {
                    let matching = |message: &Message| match bot {
                        None => true,
                        Some(bot) => message.bot.as_ref() == Some(bot),
                    };
                    let chosen: BTreeSet<i64> = known
                        .messages
                        .iter()
                        .filter(|(_, message)| matching(message))
                        .map(|(seq, _)| *seq)
                        .collect();
                    if session.as_ref().is_none_or(|session| session == id) && !chosen.is_empty() {
                        gone += Rc::make_mut(known).delete(&chosen, *permanent);
                    }
                }
                Ok(counted([0, 0, gone]))
            }
            Write::Restore { session, id } => {
                let seq = self.seq(session, id)?;
                self.change_message(session, seq)?.is_in_trash = false;
                Ok(self.gives_message(session, seq))
            }
            Write::Start(new) => {
                let parent = self.parent(new)?;
                self.start(new, parent, client)
            }
            Write::Regenerate {
                session,
                id,
                new_id,
            } => {
                let original = self.message(session, id)?.clone();
                let new = New::sibling(session, new_id, "", original.role, original.bot);
                self.kept(session)?;
                self.start(&new, original.parent, client)
            }
            Write::Append { session, id, delta } => {
                self.append(session, id, delta)?;
                Ok(counted([0, 0, 0]))
            }
            Write::End {
                session,
                id,
                delta,
                text,
                complete,
            } => {
                let seq = self.stream(session, id)?;
                if !delta.texts.is_empty() {
                    self.append(session, id, delta)?;
                }
                let message = self.change_message(session, seq)?;
                message.stream = None;
                message.status = if *complete { "complete" } else { "incomplete" };
                if let Some(text) = text {
                    message.text.clone_from(text);
                }
                Ok(self.gives_message(session, seq))
            }
            // What is said to wait is for whoever keeps the index only.
            Write::Index(_) => Ok((Vec::new(), Gave::Count(Vec::new()))),
        }
    }

    /// The replies under way of clients that are gone break off.
    pub fn break_off(&mut self, is_gone: impl Fn(&str) -> bool) {
        for session in self.sessions.values_mut() {
            let is_hit = |message: &Message| {
                let stream = message.stream.as_ref();
                stream.is_some_and(|stream| !stream.broke_off && is_gone(&stream.client))
            };
            if !session.messages.values().any(is_hit) {
                continue;
            }
            for message in Rc::make_mut(session).messages.values_mut() {
                if is_hit(message)
                    && let Some(stream) = &mut message.stream
                {
                    stream.broke_off = true;
                    message.status = "incomplete";
                }
            }
        }
    }
}

pub fn refuse_if(condition: bool, code: Code) -> Outcome<()> {
    if condition { Err(code) } else { Ok(()) }
}

pub fn counted([bots, sessions, messages]: [usize; 3]) -> (Lines, Gave) {
    let lines = vec![format!("count {bots} {sessions} {messages}")];
    (lines.clone(), Gave::Count(lines))
}
