//! What a store in some state answers: a line for each bot, session, message or count.

use chatstore::Code;

use super::calls::Read;
use super::model::{Bot, Gave, Lines, Message, Model, Outcome};

impl Model {
    pub(super) fn gives_bot(&self, id: &str) -> Outcome<(Lines, Gave)> {
        Ok((vec![self.bot_line(id)?], Gave::Bot(id.to_owned())))
    }

    pub(super) fn gives_session(&self, id: &str) -> Outcome<(Lines, Gave)> {
        Ok((vec![self.session_line(id)?], Gave::Session(id.to_owned())))
    }

    pub(super) fn gives_message(&self, session: &str, seq: i64) -> (Lines, Gave) {
        let gave = Gave::Messages(vec![(session.to_owned(), seq)]);
        (vec![self.message_line(session, seq)], gave)
    }

    pub(super) fn bot_line(&self, id: &str) -> Outcome<String> {
        let Bot { name, trashed } = self.bots.get(id).ok_or(Code::NotFound)?;
        Ok(format!(
            "bot {id} {name} trash={}",
            u8::from(trashed.is_some())
        ))
    }

    pub(super) fn session_line(&self, id: &str) -> Outcome<String> {
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

    pub(super) fn message_line(&self, session_id: &str, seq: i64) -> String {
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
