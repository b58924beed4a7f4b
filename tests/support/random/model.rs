//! What a store must hold and answer, told without one: plain maps, and each write's effect on them.
//!
//! Holds: what the documentation of each verb promises, its refusals and what it answers included.
//! Must not know: the store, who calls when, or what can fail below.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use chatstore::Code;

use super::calls::{Delta, New, Read, Write};

/// What a write or a read answers: a line for each bot, session, message or count in it.
pub type Lines = Vec<String>;

#[derive(Debug, Clone, Default)]
pub struct Model {
    bots: BTreeMap<String, Bot>,
    pub sessions: BTreeMap<String, Rc<Session>>,
    /// Writes that were done under an operation id.
    operations: BTreeMap<String, Rc<Done>>,
    /// Grows with each thing that goes to the trash: tells what went there together.
    trashed: u64,
}

#[derive(Debug, Clone)]
struct Bot {
    name: String,
    trashed: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Session {
    title: String,
    bot: Option<String>,
    trashed: Option<u64>,
    head: Option<i64>,
    next_seq: i64,
    pub messages: BTreeMap<i64, Message>,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    parent: Option<i64>,
    role: &'static str,
    bot: Option<String>,
    text: String,
    status: &'static str,
    is_in_trash: bool,
    pub stream: Option<Stream>,
}

/// A reply under way, or one that broke off and can go on.
#[derive(Debug, Clone)]
pub struct Stream {
    client: String,
    pub next_number: i64,
    broke_off: bool,
}

#[derive(Debug)]
struct Done {
    /// The write as it was sent.
    write: String,
    gave: Gave,
}

/// Which rows a write gave; sent again, it gives them as they are then.
#[derive(Debug, Clone)]
enum Gave {
    Bot(String),
    Session(String),
    Messages(Vec<(String, i64)>),
    Count(Lines),
}

type Outcome<T> = Result<T, Code>;

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

    // Bots and sessions.

    fn has_name(&self, name: &str) -> bool {
        let mut kept = self.bots.values().filter(|bot| bot.trashed.is_none());
        kept.any(|bot| bot.name == name)
    }

    /// Counts bots, sessions and messages.
    fn delete_bot(&mut self, id: &str, permanent: bool) -> Outcome<[usize; 3]> {
        let bot = self.bots.get(id).ok_or(Code::NotFound)?;
        let is_of_bot = |session: &Session| session.bot.as_deref() == Some(id);
        if permanent {
            self.bots.remove(id);
            let (mut sessions, mut messages) = (0, 0);
            self.sessions.retain(|_, session| {
                let goes = is_of_bot(session);
                sessions += usize::from(goes);
                messages += usize::from(goes) * session.messages.len();
                !goes
            });
            for session in self.sessions.values_mut() {
                for message in Rc::make_mut(session).messages.values_mut() {
                    message.bot = message.bot.take().filter(|bot| bot != id);
                }
            }
            return Ok([1, sessions, messages]);
        }
        if bot.trashed.is_some() {
            return Ok([0; 3]);
        }
        self.trashed += 1;
        let trashed = Some(self.trashed);
        self.bots.get_mut(id).ok_or(Code::NotFound)?.trashed = trashed;
        let mut sessions = 0;
        for session in self.sessions.values_mut() {
            if is_of_bot(session) && session.trashed.is_none() {
                Rc::make_mut(session).trashed = trashed;
                sessions += 1;
            }
        }
        Ok([1, sessions, 0])
    }

    fn purge(&mut self) -> Outcome<[usize; 3]> {
        let mut total = [0; 3];
        let bots = self.bots.iter().filter(|(_, bot)| bot.trashed.is_some());
        for id in bots.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let gone = self.delete_bot(&id, true)?;
            for (total, gone) in total.iter_mut().zip(gone) {
                *total += gone;
            }
        }
        self.sessions.retain(|_, session| {
            let goes = session.trashed.is_some();
            total[1] += usize::from(goes);
            total[2] += usize::from(goes) * session.messages.len();
            !goes
        });
        for session in self.sessions.values_mut() {
            let messages = session.messages.iter();
            let trash = messages.filter(|(_, message)| message.is_in_trash);
            let trash: BTreeSet<i64> = trash.map(|(seq, _)| *seq).collect();
            if !trash.is_empty() {
                total[2] += Rc::make_mut(session).delete(&trash, true);
            }
        }
        Ok(total)
    }

    fn fork(&self, session: &str, id: &str) -> Outcome<Session> {
        let source = self.session(session)?;
        let last = self.seq(session, id)?;
        let mut path = source.path(Some(last));
        path.retain(|seq| !source.messages[seq].is_in_trash);
        let copies = path.iter().enumerate().map(|(at, seq)| {
            let mut copy = source.messages[seq].clone();
            copy.parent = Some(at as i64).filter(|parent| *parent > 0);
            copy.stream = None;
            if copy.status == "streaming" {
                copy.status = "incomplete";
            }
            (at as i64 + 1, copy)
        });
        let messages: BTreeMap<i64, Message> = copies.collect();
        Ok(Session {
            title: source.title.clone(),
            bot: source.bot.clone(),
            trashed: None,
            head: messages.keys().next_back().copied(),
            next_seq: messages.len() as i64 + 1,
            messages,
        })
    }

    // Messages.

    fn session(&self, id: &str) -> Outcome<&Session> {
        self.sessions
            .get(id)
            .map(|session| &**session)
            .ok_or(Code::NotFound)
    }

    fn change(&mut self, id: &str) -> Outcome<&mut Session> {
        self.sessions
            .get_mut(id)
            .map(Rc::make_mut)
            .ok_or(Code::NotFound)
    }

    /// That messages can be added to a session.
    fn kept(&self, session: &str) -> Outcome<&Session> {
        let session = self
            .session(session)
            .map_err(|_| Code::ConstraintForeignKey)?;
        refuse_if(session.trashed.is_some(), Code::ConstraintCheck)?;
        Ok(session)
    }

    fn seq(&self, session: &str, id: &str) -> Outcome<i64> {
        self.session(session)?.seq(id).ok_or(Code::NotFound)
    }

    fn message(&self, session: &str, id: &str) -> Outcome<&Message> {
        let seq = self.seq(session, id)?;
        Ok(&self.session(session)?.messages[&seq])
    }

    fn change_message(&mut self, session: &str, seq: i64) -> Outcome<&mut Message> {
        self.change(session)?
            .messages
            .get_mut(&seq)
            .ok_or(Code::NotFound)
    }

    fn parent(&self, new: &New) -> Outcome<Option<i64>> {
        let session = self.kept(&new.session)?;
        match &new.parent {
            None => Ok(session.head),
            Some(None) => Ok(None),
            Some(Some(id)) => {
                let seq = session.seq(id).ok_or(Code::ConstraintForeignKey)?;
                Ok(Some(seq))
            }
        }
    }

    fn add(&mut self, new: &New, parent: Option<i64>) -> Outcome<i64> {
        if let Some(Some(bot)) = &new.bot {
            refuse_if(!self.bots.contains_key(bot), Code::ConstraintForeignKey)?;
        }
        let session = self.change(&new.session)?;
        let is_taken = session.seq(&new.id).is_some();
        refuse_if(is_taken, Code::ConstraintUnique)?;
        let bot = match &new.bot {
            Some(bot) => bot.clone(),
            None => session.bot.clone(),
        };
        let seq = session.next_seq;
        let message = Message {
            id: new.id.clone(),
            parent,
            role: new.role,
            bot,
            text: new.text.clone(),
            status: "complete",
            is_in_trash: false,
            stream: None,
        };
        session.messages.insert(seq, message);
        session.head = Some(seq);
        session.next_seq += 1;
        Ok(seq)
    }

    fn put(&mut self, messages: &[New]) -> Outcome<(Lines, Gave)> {
        let mut chained: BTreeMap<&str, i64> = BTreeMap::new();
        let mut gave = Vec::new();
        for new in messages {
            let session = self.kept(&new.session)?;
            let existing = session.seq(&new.id);
            let before = chained.get(&*new.session).copied();
            let seq = match existing {
                None => {
                    let parent = match (before, &new.parent) {
                        (Some(before), None) => Some(before),
                        _ => self.parent(new)?,
                    };
                    self.add(new, parent)?
                }
                Some(seq) => {
                    let parent = match (before, &new.parent) {
                        (Some(before), None) => Some(before),
                        (None, None) => session.messages[&seq].parent,
                        _ => self.parent(new)?,
                    };
                    let is_given = before.is_some() || new.parent.is_some();
                    let is_later = is_given && parent.is_some_and(|parent| parent >= seq);
                    refuse_if(is_later, Code::InvalidArgument)?;
                    let message = self.change_message(&new.session, seq)?;
                    message.parent = parent;
                    message.role = new.role;
                    message.text.clone_from(&new.text);
                    message.status = "complete";
                    message.is_in_trash = false;
                    message.stream = None;
                    self.change(&new.session)?.head = Some(seq);
                    seq
                }
            };
            chained.insert(&new.session, seq);
            gave.push((new.session.clone(), seq));
        }
        let lines = gave
            .iter()
            .map(|(session, seq)| self.message_line(session, *seq));
        Ok((lines.collect(), Gave::Messages(gave)))
    }

    // Replies under way.

    fn start(&mut self, new: &New, parent: Option<i64>, client: &str) -> Outcome<(Lines, Gave)> {
        let seq = self.add(new, parent)?;
        let message = self.change_message(&new.session, seq)?;
        message.status = "streaming";
        message.stream = Some(Stream {
            client: client.to_owned(),
            next_number: 0,
            broke_off: false,
        });
        Ok(self.gives_message(&new.session, seq))
    }

    fn stream(&self, session: &str, id: &str) -> Outcome<i64> {
        let message = self.message(session, id)?;
        message.stream.as_ref().ok_or(Code::StreamEnded)?;
        self.seq(session, id)
    }

    fn append(&mut self, session: &str, id: &str, delta: &Delta) -> Outcome<()> {
        let seq = self.stream(session, id)?;
        let message = self.change_message(session, seq)?;
        let stream = message.stream.as_mut().ok_or(Code::StreamEnded)?;
        let known = stream.next_number - delta.first_number;
        refuse_if(known < 0 || delta.first_number < 0, Code::InvalidArgument)?;
        stream.broke_off = false;
        message.status = "streaming";
        for text in delta.texts.iter().skip(known as usize) {
            message.text += text;
            stream.next_number += 1;
        }
        Ok(())
    }

    // What is answered.

    fn gives_bot(&self, id: &str) -> Outcome<(Lines, Gave)> {
        Ok((vec![self.bot_line(id)?], Gave::Bot(id.to_owned())))
    }

    fn gives_session(&self, id: &str) -> Outcome<(Lines, Gave)> {
        Ok((vec![self.session_line(id)?], Gave::Session(id.to_owned())))
    }

    fn gives_message(&self, session: &str, seq: i64) -> (Lines, Gave) {
        let gave = Gave::Messages(vec![(session.to_owned(), seq)]);
        (vec![self.message_line(session, seq)], gave)
    }

    fn bot_line(&self, id: &str) -> Outcome<String> {
        let Bot { name, trashed } = self.bots.get(id).ok_or(Code::NotFound)?;
        Ok(format!(
            "bot {id} {name} trash={}",
            u8::from(trashed.is_some())
        ))
    }

    fn session_line(&self, id: &str) -> Outcome<String> {
        let session = self.session(id)?;
        let head = session.head.map(|head| &*session.messages[&head].id);
        let kept = session
            .messages
            .values()
            .filter(|message| !message.is_in_trash);
        Ok(format!(
            "session {id} {} bot={} trash={} head={} count={}",
            session.title,
            session.bot.as_deref().unwrap_or("-"),
            u8::from(session.trashed.is_some()),
            head.unwrap_or("-"),
            kept.count(),
        ))
    }

    fn message_line(&self, session_id: &str, seq: i64) -> String {
        let session = &self.sessions[session_id];
        let message = &session.messages[&seq];
        let parent = message.parent.map(|parent| &*session.messages[&parent].id);
        format!(
            "message {session_id} {seq} {} parent={} active={} {} bot={} {} trash={} {}",
            message.id,
            parent.unwrap_or("-"),
            u8::from(session.path(session.head).contains(&seq)),
            message.role,
            message.bot.as_deref().unwrap_or("-"),
            message.status,
            u8::from(message.is_in_trash),
            message.text,
        )
    }

    pub fn read(&self, read: &Read) -> Outcome<Lines> {
        let visible = |session: &str, active: bool| -> Lines {
            let Ok(known) = self.session(session) else {
                return Vec::new();
            };
            let path = known.path(known.head);
            let kept = known
                .messages
                .iter()
                .filter(|(seq, message)| !message.is_in_trash && (!active || path.contains(seq)));
            kept.map(|(seq, _)| self.message_line(session, *seq))
                .collect()
        };
        Ok(match read {
            Read::All => self.dump(),
            Read::Bot { id } => self.bot_line(id).into_iter().collect(),
            Read::Session { id } => self.session_line(id).into_iter().collect(),
            Read::Message { session, id } => {
                let seq = self.seq(session, id).ok();
                seq.map(|seq| self.message_line(session, seq))
                    .into_iter()
                    .collect()
            }
            Read::Path { session } => visible(session, true),
            Read::AllBranches { session } => visible(session, false),
            Read::Search { word } => {
                let kept = self
                    .sessions
                    .iter()
                    .filter(|(_, session)| session.trashed.is_none());
                let mut hits: Lines = kept
                    .flat_map(|(id, session)| {
                        let holds = |message: &&Message| {
                            !message.is_in_trash && message.text.split(' ').any(|it| it == *word)
                        };
                        let found = session.messages.values().filter(holds);
                        found.map(move |message| format!("hit {id} {}", message.id))
                    })
                    .collect();
                hits.sort();
                hits
            }
        })
    }

    /// All of it, a line a row, in the order in which the store is asked for its rows.
    pub fn dump(&self) -> Lines {
        let mut lines: Lines = self
            .bots
            .keys()
            .filter_map(|id| self.bot_line(id).ok())
            .collect();
        lines.extend(
            self.sessions
                .keys()
                .filter_map(|id| self.session_line(id).ok()),
        );
        for (id, session) in &self.sessions {
            for (seq, message) in &session.messages {
                let stream = message.stream.as_ref().map_or_else(String::new, |stream| {
                    let broke_off = u8::from(stream.broke_off);
                    format!(" {}/{}/{broke_off}", stream.client, stream.next_number)
                });
                lines.push(self.message_line(id, *seq) + &stream);
            }
        }
        lines.extend(self.operations.keys().map(|id| format!("operation {id}")));
        lines
    }
}

impl Session {
    fn seq(&self, id: &str) -> Option<i64> {
        let mut messages = self.messages.iter();
        messages
            .find(|(_, message)| message.id == id)
            .map(|(seq, _)| *seq)
    }

    /// From the root to a message.
    fn path(&self, head: Option<i64>) -> BTreeSet<i64> {
        std::iter::successors(head, |seq| self.messages[seq].parent).collect()
    }

    /// Gives how many were changed. Children go to the parent; a head that goes leaves it to the last
    /// of the path that is left, or to the newest.
    fn delete(&mut self, chosen: &BTreeSet<i64>, permanent: bool) -> usize {
        if !permanent {
            let messages = chosen.iter().filter_map(|seq| {
                self.messages
                    .get(seq)
                    .filter(|message| !message.is_in_trash)
                    .map(|_| *seq)
            });
            let kept: Vec<i64> = messages.collect();
            for seq in &kept {
                if let Some(message) = self.messages.get_mut(seq) {
                    message.is_in_trash = true;
                }
            }
            return kept.len();
        }
        let path = self.path(self.head);
        for seq in chosen {
            if let Some(gone) = self.messages.remove(seq) {
                for message in self.messages.values_mut() {
                    if message.parent == Some(*seq) {
                        message.parent = gone.parent;
                    }
                }
            }
        }
        let left = path.difference(chosen).last();
        self.head = left.or(self.messages.keys().next_back()).copied();
        chosen.len()
    }
}

fn refuse_if(condition: bool, code: Code) -> Outcome<()> {
    if condition { Err(code) } else { Ok(()) }
}

fn counted([bots, sessions, messages]: [usize; 3]) -> (Lines, Gave) {
    let lines = vec![format!("count {bots} {sessions} {messages}")];
    (lines.clone(), Gave::Count(lines))
}
