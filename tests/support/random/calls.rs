//! The calls that clients make at random, and how each is put to the engine.
//!
//! Holds: which verbs there are, and how an answer is worded. Must not know: what they do.

use chatstore::engine::Answer;
use chatstore::model::{
    BotPatch, DeleteFilter, Field, Message, MessageList, MessagePatch, NewBot, NewMessage,
    NewSession, PageOptions, Search, SessionPatch,
};
use chatstore::store::query::QueryParams;
use chatstore::store::streams::{Delta as StoreDelta, NewStream, StreamEnd};
use chatstore::{Reply, Request};
use rusqlite::types::Value;

use super::model::{Lines, Model};
use crate::crash::history::Random;

pub const WORDS: [&str; 6] = ["anchor", "breeze", "cobalt", "drizzle", "ember", "grotto"];
const BOTS: [&str; 3] = ["b0", "b1", "b2"];
const NAMES: [&str; 4] = ["Ada", "Bob", "Cy", "Di"];
const SESSIONS: [&str; 4] = ["s0", "s1", "s2", "s3"];
const MESSAGES: usize = 12;

/// Every row, worded as the model does.
const DUMP: &str = "
SELECT line FROM (
  SELECT 1 AS kind, id AS owner, 0 AS place, 'bot ' || id || ' ' || name || ' trash=' || (deleted_at IS NOT NULL) AS line
    FROM bots
  UNION ALL
  SELECT 2, s.id, 0, 'session ' || s.id || ' ' || s.title || ' bot=' || coalesce(b.id, '-') || ' trash=' ||
      (s.deleted_at IS NOT NULL) || ' head=' || coalesce(h.id, '-') || ' count=' || s.message_count
    FROM sessions s LEFT JOIN bots b ON b.key = s.bot LEFT JOIN messages h ON h.key = s.head
  UNION ALL
  SELECT 3, s.id, m.seq, 'message ' || s.id || ' ' || m.seq || ' ' || m.id || ' parent=' || coalesce(p.id, '-') ||
      ' active=' || m.active || ' ' || m.role || ' bot=' || coalesce(b.id, '-') || ' ' || m.status || ' trash=' ||
      (m.deleted_at IS NOT NULL) || ' ' || m.text || coalesce((SELECT group_concat(delta, '') FROM
        (SELECT delta FROM message_deltas WHERE key >> 32 = st.key ORDER BY key)), '') ||
      coalesce(' ' || st.client || '/' || coalesce((SELECT 1 + max(key & 4294967295) FROM message_deltas
        WHERE key >> 32 = st.key), st.next_number) || '/' || (st.ended_at IS NOT NULL), '')
    FROM sessions s CROSS JOIN messages m ON m.session = s.key LEFT JOIN messages p ON p.key = m.parent
      LEFT JOIN bots b ON b.key = m.bot LEFT JOIN message_streams st ON st.message = m.key
  UNION ALL
  SELECT 4, id, 0, 'operation ' || id FROM operations)
ORDER BY kind, owner, place";

#[derive(Debug, Clone)]
pub enum Write {
    CreateBot {
        id: String,
        name: String,
    },
    RenameBot {
        id: String,
        name: String,
    },
    DeleteBot {
        id: String,
        permanent: bool,
    },
    RestoreBot {
        id: String,
    },
    CreateSession {
        id: String,
        title: String,
        bot: Option<String>,
        or_return: bool,
    },
    UpdateSession {
        id: String,
        title: String,
        head: Option<String>,
    },
    DeleteSession {
        id: String,
        permanent: bool,
    },
    RestoreSession {
        id: String,
    },
    Fork {
        session: String,
        id: String,
    },
    /// All that is in the trash.
    Purge,
    Add(Vec<New>),
    Put(Vec<New>),
    Edit {
        session: String,
        id: String,
        text: String,
    },
    Update {
        session: String,
        id: String,
        text: String,
    },
    SwitchTo {
        session: String,
        id: String,
    },
    Delete {
        session: String,
        id: String,
        permanent: bool,
    },
    DeleteWhere {
        session: Option<String>,
        bot: Option<String>,
        permanent: bool,
    },
    Restore {
        session: String,
        id: String,
    },
    Start(New),
    Regenerate {
        session: String,
        id: String,
        new_id: String,
    },
    Append {
        session: String,
        id: String,
        delta: Delta,
    },
    /// As `complete`, or given up; with a whole text in place of the deltas or not.
    End {
        session: String,
        id: String,
        delta: Delta,
        text: Option<String>,
        complete: bool,
    },
    Index(u32),
}

/// A message to be made. Outer options: absent; inner ones: null.
#[derive(Debug, Clone)]
pub struct New {
    pub session: String,
    pub id: String,
    pub role: &'static str,
    pub parent: Option<Option<String>>,
    pub bot: Option<Option<String>>,
    pub text: String,
}

impl New {
    pub fn sibling(
        session: &str,
        id: &str,
        text: &str,
        role: &'static str,
        bot: Option<String>,
    ) -> Self {
        Self {
            session: session.to_owned(),
            id: id.to_owned(),
            role,
            parent: None,
            bot: Some(bot),
            text: text.to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Delta {
    pub first_number: i64,
    pub texts: Vec<String>,
}

#[derive(Debug, Clone)]
pub enum Read {
    All,
    Bot { id: String },
    Session { id: String },
    Message { session: String, id: String },
    Path { session: String },
    AllBranches { session: String },
    Search { word: &'static str },
}

fn some_text(random: &mut Random) -> String {
    // Now and then longer than a page, so that it lies in pages of its own.
    let words = [1, 2, 3, 8, 8, 900][random.below(6)];
    let words: Vec<&str> = (0..words).map(|_| random.one_of(&WORDS)).collect();
    words.join(" ")
}

fn some_id(random: &mut Random, prefix: &str, bound: usize) -> String {
    format!("{prefix}{}", random.below(bound))
}

fn some_new(random: &mut Random, session: &str) -> New {
    let parent = match random.below(8) {
        0 => Some(None),
        1 => Some(Some(some_id(random, "m", MESSAGES))),
        _ => None,
    };
    let bot = match random.below(8) {
        0 => Some(None),
        1 => Some(Some(random.one_of(&BOTS).to_owned())),
        _ => None,
    };
    New {
        session: session.to_owned(),
        id: some_id(random, "m", MESSAGES),
        role: "user",
        parent,
        bot,
        text: some_text(random),
    }
}

/// Any write, likely one that is not refused. `can_make` allows those whose session's id the store makes.
pub fn some_write(random: &mut Random, known: &Model, can_make: bool) -> Write {
    let session = random.one_of(&SESSIONS).to_owned();
    let there = known.sessions.get(&session);
    if there.is_none() && random.below(4) > 0 {
        let bot = (random.below(2) == 0).then(|| random.one_of(&BOTS).to_owned());
        return Write::CreateSession {
            id: session,
            title: some_id(random, "t", 100),
            bot,
            or_return: random.below(4) == 0,
        };
    }
    let ids: Vec<String> = there.map_or_else(Vec::new, |session| {
        session
            .messages
            .values()
            .map(|message| message.id.clone())
            .collect()
    });
    let id = if ids.is_empty() || random.below(10) == 0 {
        some_id(random, "m", MESSAGES)
    } else {
        random.one_of(&ids)
    };
    let permanent = random.below(2) == 0;
    match random.below(64) {
        0 | 1 => Write::CreateBot {
            id: random.one_of(&BOTS).into(),
            name: random.one_of(&NAMES).into(),
        },
        2 => Write::RenameBot {
            id: random.one_of(&BOTS).into(),
            name: random.one_of(&NAMES).into(),
        },
        3 => Write::DeleteBot {
            id: random.one_of(&BOTS).into(),
            permanent,
        },
        4 => Write::RestoreBot {
            id: random.one_of(&BOTS).into(),
        },
        5 | 6 => Write::UpdateSession {
            id: session,
            title: some_id(random, "t", 100),
            head: (random.below(2) == 0).then_some(id),
        },
        7 => Write::DeleteSession {
            id: session,
            permanent: permanent && random.below(2) == 0,
        },
        8 | 9 => Write::RestoreSession { id: session },
        10 if can_make && known.sessions.len() < 8 => Write::Fork { session, id },
        11 if random.below(3) == 0 => Write::Purge,
        12 => Write::CreateSession {
            id: session,
            title: some_id(random, "t", 100),
            bot: None,
            or_return: permanent,
        },
        13 => Write::DeleteWhere {
            session: (random.below(3) > 0).then_some(session),
            bot: Some(random.one_of(&BOTS).to_owned()),
            permanent,
        },
        14 => Write::DeleteWhere {
            session: Some(session),
            bot: None,
            permanent: permanent && random.below(3) == 0,
        },
        15..=18 => {
            let new = (0..random.below(5)).map(|_| {
                let session = if random.below(4) == 0 {
                    random.one_of(&SESSIONS)
                } else {
                    &*session
                };
                New {
                    bot: None,
                    ..some_new(random, session)
                }
            });
            Write::Put(new.collect())
        }
        19 | 20 => Write::Edit {
            session,
            id,
            text: some_text(random),
        },
        21..=23 => Write::Update {
            session,
            id,
            text: some_text(random),
        },
        24 | 25 => Write::SwitchTo { session, id },
        26..=29 => Write::Delete {
            session,
            id,
            permanent,
        },
        30 => Write::Restore { session, id },
        31 | 32 => Write::Index(1 + random.below(20) as u32),
        33..=36 => Write::Start(New {
            text: String::new(),
            role: "assistant",
            bot: None,
            ..some_new(random, &session)
        }),
        37 => Write::Regenerate {
            session,
            id,
            new_id: some_id(random, "m", MESSAGES),
        },
        38..=50 => some_step_of_a_reply(random, known, session, id),
        _ => {
            let count = [1, 1, 1, 2, 4][random.below(5)];
            Write::Add((0..count).map(|_| some_new(random, &session)).collect())
        }
    }
}

/// A piece of a reply that is under way, where there is one; at times sent again, or one too far.
fn some_step_of_a_reply(random: &mut Random, known: &Model, session: String, id: String) -> Write {
    let mut replies = Vec::new();
    for (session, there) in &known.sessions {
        for message in there.messages.values() {
            if let Some(stream) = &message.stream {
                replies.push((session.clone(), message.id.clone(), stream.next_number));
            }
        }
    }
    let (session, id, next_number) = if replies.is_empty() {
        (session, id, 0)
    } else {
        random.one_of(&replies)
    };
    let first_number = match random.below(12) {
        0 => next_number + 1,
        1 | 2 => next_number - random.below(4) as i64,
        _ => next_number,
    };
    let texts = (0..random.below(4)).map(|_| format!("{} ", random.one_of(&WORDS)));
    let delta = Delta {
        first_number,
        texts: texts.collect(),
    };
    if random.below(4) > 0 {
        return Write::Append { session, id, delta };
    }
    Write::End {
        session,
        id,
        delta,
        text: (random.below(4) == 0).then(|| some_text(random)),
        complete: random.below(3) > 0,
    }
}

pub fn some_read(random: &mut Random) -> Read {
    let session = random.one_of(&SESSIONS).to_owned();
    match random.below(10) {
        0 | 1 => Read::All,
        2 => Read::Bot {
            id: random.one_of(&BOTS).into(),
        },
        3 => Read::Session { id: session },
        4 => Read::Message {
            session,
            id: some_id(random, "m", MESSAGES),
        },
        5 | 6 => Read::Path { session },
        7 => Read::AllBranches { session },
        _ => Read::Search {
            word: random.one_of(&WORDS),
        },
    }
}

impl Write {
    /// What it takes for the engine. A call that waits owns its texts, or they live for ever.
    pub fn request(&self) -> Request<'static> {
        match self.clone() {
            Self::CreateBot { id, name } => Request::BotsCreate(NewBot {
                id: Some(id),
                name,
                ..NewBot::default()
            }),
            Self::RenameBot { id, name } => Request::BotsUpdate {
                id,
                patch: BotPatch {
                    name: Some(name),
                    ..BotPatch::default()
                },
            },
            Self::DeleteBot { id, permanent } => Request::BotsDelete { id, permanent },
            Self::RestoreBot { id } => Request::BotsRestore { id },
            Self::CreateSession {
                id,
                title,
                bot,
                or_return,
            } => Request::SessionsCreate(NewSession {
                id: Some(id),
                title: Some(title),
                bot_id: bot,
                return_existing: or_return,
                ..NewSession::default()
            }),
            Self::UpdateSession { id, title, head } => Request::SessionsUpdate {
                id,
                patch: SessionPatch {
                    title: Field::Value(title),
                    head_id: head,
                    ..SessionPatch::default()
                },
            },
            Self::DeleteSession { id, permanent } => Request::SessionsDelete { id, permanent },
            Self::RestoreSession { id } => Request::SessionsRestore { id },
            Self::Fork { session, id } => Request::SessionsFork {
                session_id: session,
                id,
            },
            Self::Purge => Request::SessionsPurge {
                deleted_before_ms: i64::MAX,
            },
            Self::Add(messages) => {
                Request::MessagesAdd(messages.into_iter().map(new_message).collect())
            }
            Self::Put(messages) => {
                Request::MessagesPut(messages.into_iter().map(new_message).collect())
            }
            Self::Edit { session, id, text } => Request::MessagesEdit {
                session_id: session,
                id,
                content: NewMessage {
                    text: Some(text.leak()),
                    ..NewMessage::default()
                },
            },
            Self::Update { session, id, text } => Request::MessagesUpdate {
                session_id: session,
                id,
                patch: MessagePatch {
                    text: Some(text),
                    ..MessagePatch::default()
                },
            },
            Self::SwitchTo { session, id } => Request::MessagesSwitchTo {
                session_id: session,
                id,
            },
            Self::Delete {
                session,
                id,
                permanent,
            } => Request::MessagesDelete {
                session_id: session,
                id,
                permanent,
            },
            Self::DeleteWhere {
                session,
                bot,
                permanent,
            } => Request::MessagesDeleteWhere {
                filter: DeleteFilter {
                    session_id: session,
                    bot_id: bot,
                    ..DeleteFilter::default()
                },
                permanent,
            },
            Self::Restore { session, id } => Request::MessagesRestore {
                session_id: session,
                id,
            },
            Self::Start(New {
                session,
                id,
                parent,
                ..
            }) => Request::MessagesStart {
                new: NewStream {
                    session_id: session,
                    id: Some(id),
                    parent_id: field(parent),
                    ..NewStream::default()
                },
                client: String::new(),
            },
            Self::Regenerate {
                session,
                id,
                new_id,
            } => Request::MessagesRegenerate {
                session_id: session,
                id,
                new: NewStream {
                    id: Some(new_id),
                    ..NewStream::default()
                },
                client: String::new(),
            },
            Self::Append { session, id, delta } => Request::MessagesAppend {
                session_id: session,
                id,
                first_number: delta.first_number,
                deltas: delta.grow(),
            },
            Self::End {
                session,
                id,
                delta,
                text,
                complete,
            } => {
                let end = StreamEnd {
                    first_number: delta.first_number,
                    deltas: delta.grow(),
                    text,
                    ..StreamEnd::default()
                };
                if complete {
                    Request::MessagesFinish {
                        session_id: session,
                        id,
                        end,
                    }
                } else {
                    Request::MessagesAbort {
                        session_id: session,
                        id,
                        end,
                    }
                }
            }
            Self::Index(limit) => Request::SearchIndex { limit },
        }
    }
}

impl Read {
    pub fn request(&self) -> Request<'static> {
        let list = |session_id: String, all_branches| Request::MessagesList {
            which: MessageList::Session {
                session_id,
                around: None,
                from_start: true,
                all_branches,
            },
            page: page(),
        };
        match self.clone() {
            Self::All => Request::Query {
                sql: DUMP.into(),
                params: QueryParams::Positional(Vec::new()),
                limit: Some(100_000),
            },
            Self::Bot { id } => Request::BotsGet { id },
            Self::Session { id } => Request::SessionsGet { id },
            Self::Message { session, id } => Request::MessagesGet {
                session_id: session,
                id,
            },
            Self::Path { session } => list(session, false),
            Self::AllBranches { session } => list(session, true),
            Self::Search { word } => Request::Search {
                search: Search {
                    query: word.into(),
                    ..Search::default()
                },
                page: page(),
            },
        }
    }
}

fn page() -> PageOptions {
    PageOptions {
        limit: Some(1_000),
        cursor: None,
    }
}

impl Delta {
    fn grow(self) -> Vec<StoreDelta> {
        let grow = |text| StoreDelta::Grow {
            part_type: "text".into(),
            text,
        };
        self.texts.into_iter().map(grow).collect()
    }
}

fn field<T>(given: Option<Option<T>>) -> Field<T> {
    match given {
        None => Field::Absent,
        Some(None) => Field::Null,
        Some(Some(value)) => Field::Value(value),
    }
}

fn new_message(new: New) -> NewMessage<'static> {
    let leak = |text: String| -> &'static str { text.leak() };
    NewMessage {
        session_id: leak(new.session),
        id: Some(leak(new.id)),
        role: new.role,
        parent_id: field(new.parent.map(|parent| parent.map(leak))),
        bot_id: field(new.bot.map(|bot| bot.map(leak))),
        text: Some(leak(new.text)),
        ..NewMessage::default()
    }
}

/// The id that the store made for what a write has given.
pub fn made_id(answer: &Answer<Vec<Message>>) -> Option<&str> {
    match &answer.reply {
        Reply::Sessions(page) => page.items.first().map(|session| &*session.id),
        _ => answer.messages.first().map(|message| &*message.id),
    }
}

/// An answer in the words of the model.
pub fn lines(answer: &Answer<Vec<Message>>) -> Lines {
    let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
    let bit = |is: bool| u8::from(is);
    match &answer.reply {
        Reply::Bots(page) => page
            .items
            .iter()
            .map(|bot| {
                let trash = bit(bot.deleted_at_ms.is_some());
                format!("bot {} {} trash={trash}", bot.id, bot.name)
            })
            .collect(),
        Reply::Sessions(page) => page
            .items
            .iter()
            .map(|session| {
                format!(
                    "session {} {} bot={} trash={} head={} count={}",
                    session.id,
                    session.title.as_deref().unwrap_or_default(),
                    or_none(&session.bot_id),
                    bit(session.deleted_at_ms.is_some()),
                    or_none(&session.head_id),
                    session.message_count,
                )
            })
            .collect(),
        Reply::Messages(_) => answer
            .messages
            .iter()
            .map(|message| {
                format!(
                    "message {} {} {} parent={} active={} {} bot={} {} trash={} {}",
                    message.session_id,
                    message.seq,
                    message.id,
                    or_none(&message.parent_id),
                    bit(message.active),
                    message.role,
                    or_none(&message.bot_id),
                    message.status,
                    bit(message.deleted_at_ms.is_some()),
                    message.text,
                )
            })
            .collect(),
        Reply::Hits(page) => {
            let hits = page
                .items
                .iter()
                .map(|hit| format!("hit {} {}", hit.session_id, hit.id));
            let mut hits: Lines = hits.collect();
            hits.sort();
            hits
        }
        Reply::Count(count) => vec![format!(
            "count {} {} {}",
            count.bots, count.sessions, count.messages
        )],
        Reply::Table(table) => table
            .cells
            .iter()
            .map(|cell| match cell {
                Value::Text(text) => text.clone(),
                other => format!("{other:?}"),
            })
            .collect(),
        Reply::Done => Vec::new(),
        Reply::Scope(scope) => vec![format!("scope {scope}")],
        other => panic!("expected rows, got {other:?}"),
    }
}
