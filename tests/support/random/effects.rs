//! What writes do to the maps of the model: bots, sessions, messages, replies under way.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use chatstore::Code;

use super::calls::{Delta, New};
use super::model::{Gave, Lines, Message, Model, Outcome, Session, Stream, refuse_if};

impl Model {
    // Bots and sessions.

    pub(super) fn has_name(&self, name: &str) -> bool {
        let mut kept = self.bots.values().filter(|bot| bot.trashed.is_none());
        kept.any(|bot| bot.name == name)
    }

    /// Counts bots, sessions and messages.
    pub(super) fn delete_bot(&mut self, id: &str, permanent: bool) -> Outcome<[usize; 3]> {
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

    pub(super) fn purge(&mut self) -> Outcome<[usize; 3]> {
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

    pub(super) fn fork(&self, session: &str, id: &str) -> Outcome<Session> {
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

    pub(super) fn session(&self, id: &str) -> Outcome<&Session> {
        self.sessions
            .get(id)
            .map(|session| &**session)
            .ok_or(Code::NotFound)
    }

    pub(super) fn change(&mut self, id: &str) -> Outcome<&mut Session> {
        self.sessions
            .get_mut(id)
            .map(Rc::make_mut)
            .ok_or(Code::NotFound)
    }

    /// That messages can be added to a session.
    pub(super) fn kept(&self, session: &str) -> Outcome<&Session> {
        let session = self
            .session(session)
            .map_err(|_| Code::ConstraintForeignKey)?;
        refuse_if(session.trashed.is_some(), Code::ConstraintCheck)?;
        Ok(session)
    }

    pub(super) fn seq(&self, session: &str, id: &str) -> Outcome<i64> {
        self.session(session)?.seq(id).ok_or(Code::NotFound)
    }

    pub(super) fn message(&self, session: &str, id: &str) -> Outcome<&Message> {
        let seq = self.seq(session, id)?;
        Ok(&self.session(session)?.messages[&seq])
    }

    pub(super) fn change_message(&mut self, session: &str, seq: i64) -> Outcome<&mut Message> {
        self.change(session)?
            .messages
            .get_mut(&seq)
            .ok_or(Code::NotFound)
    }

    pub(super) fn parent(&self, new: &New) -> Outcome<Option<i64>> {
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

    pub(super) fn add(&mut self, new: &New, parent: Option<i64>) -> Outcome<i64> {
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

    pub(super) fn put(&mut self, messages: &[New]) -> Outcome<(Lines, Gave)> {
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

    pub(super) fn start(
        &mut self,
        new: &New,
        parent: Option<i64>,
        client: &str,
    ) -> Outcome<(Lines, Gave)> {
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

    pub(super) fn stream(&self, session: &str, id: &str) -> Outcome<i64> {
        let message = self.message(session, id)?;
        message.stream.as_ref().ok_or(Code::StreamEnded)?;
        self.seq(session, id)
    }

    pub(super) fn append(&mut self, session: &str, id: &str, delta: &Delta) -> Outcome<()> {
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
}

impl Session {
    pub(super) fn seq(&self, id: &str) -> Option<i64> {
        let mut messages = self.messages.iter();
        messages
            .find(|(_, message)| message.id == id)
            .map(|(seq, _)| *seq)
    }

    /// From the root to a message.
    pub(super) fn path(&self, head: Option<i64>) -> BTreeSet<i64> {
        std::iter::successors(head, |seq| self.messages[seq].parent).collect()
    }

    /// Gives how many were changed. Children go to the parent; a head that goes leaves it to the last
    /// of the path that is left, or to the newest.
    pub(super) fn delete(&mut self, chosen: &BTreeSet<i64>, permanent: bool) -> usize {
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
