//! The calls that clients make at random, and how each is put to the engine.
//!
//! Holds: which verbs there are. Must not know: what they do.

use chatstore::Request;
use chatstore::model::{
    BotPatch, DeleteFilter, Field, MessageList, MessagePatch, NewBot, NewMessage, NewSession,
    PageOptions, Search, SessionPatch,
};
use chatstore::store::query::QueryParams;
use chatstore::store::streams::{Delta as StoreDelta, NewStream, StreamEnd};

use super::words::DUMP;

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
                limit: u32::MAX,
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
