//! What the tests of the store share: short ways to say a call. Used natively and in wasm.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod streams;

use chatstore::model::{
    Bot, Count, Message, MessageList, MessageRef, NewBot, NewMessage, NewSession, Page, PageEnds,
    PageOptions, Search, SearchHit, Session, SessionFilter, TreeNode,
};
use chatstore::vfs::MemoryStorage;
use chatstore::{Code, Durability, Engine, Error, Reply, Request, Result};

/// A store in memory.
pub fn open() -> Chats {
    Chats::over(
        Engine::open(MemoryStorage::new(), "chats.sqlite", Durability::Strict)
            .expect("a new store opens"),
    )
}

/// A store, and whether calls go into its interactive transaction.
pub struct Chats {
    pub engine: Engine,
    pub in_transaction: bool,
}

impl Chats {
    pub fn over(engine: Engine) -> Self {
        Self {
            engine,
            in_transaction: false,
        }
    }

    pub fn call(&mut self, request: Request<'_>) -> Result<Reply> {
        self.visit(request, &mut |_| ())
    }

    fn visit(
        &mut self,
        request: Request<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        if self.in_transaction {
            self.engine.call_in_transaction(request, visit)
        } else {
            self.engine.call(request, visit)
        }
    }

    pub fn messages(&mut self, request: Request<'_>) -> Result<(Vec<Message>, PageEnds)> {
        let mut messages = Vec::new();
        let reply = self.visit(request, &mut |row| messages.push(Message::from(row)))?;
        match reply {
            Reply::Messages(ends) => Ok((messages, ends)),
            other => panic!("expected messages, got {other:?}"),
        }
    }

    pub fn bot(&mut self, id: &str) -> Bot {
        let bot = NewBot {
            id: Some(id.into()),
            name: format!("name of {id}"),
            ..NewBot::default()
        };
        self.bots(Request::BotsCreate(bot))
            .expect("a bot is made")
            .items
            .remove(0)
    }

    pub fn bots(&mut self, request: Request<'_>) -> Result<Page<Bot>> {
        match self.call(request)? {
            Reply::Bots(page) => Ok(page),
            other => panic!("expected bots, got {other:?}"),
        }
    }

    pub fn session(&mut self, id: &str, bot_id: Option<&str>) -> Session {
        let session = NewSession {
            id: Some(id.into()),
            bot_id: bot_id.map(str::to_owned),
            ..NewSession::default()
        };
        self.sessions(Request::SessionsCreate(session))
            .expect("a session is made")
            .items
            .remove(0)
    }

    pub fn sessions(&mut self, request: Request<'_>) -> Result<Page<Session>> {
        match self.call(request)? {
            Reply::Sessions(page) => Ok(page),
            other => panic!("expected sessions, got {other:?}"),
        }
    }

    pub fn get_session(&mut self, id: &str) -> Session {
        let found = self
            .sessions(Request::SessionsGet { id: id.into() })
            .expect("reading works");
        found
            .items
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no session {id}"))
    }

    pub fn list_sessions(&mut self, filter: SessionFilter) -> Vec<String> {
        let page = self
            .sessions(Request::SessionsList {
                filter,
                page: PageOptions::default(),
            })
            .expect("a list");
        page.items.into_iter().map(|session| session.id).collect()
    }

    /// Adds a text to a session, as a user.
    pub fn add(&mut self, session_id: &str, id: &str, text: &str) -> Message {
        self.add_message(NewMessage {
            id: Some(id),
            text: Some(text),
            ..message(session_id)
        })
        .unwrap_or_else(|error| panic!("{id} was not added: {error}"))
    }

    pub fn add_message(&mut self, message: NewMessage<'_>) -> Result<Message> {
        Ok(self
            .messages(Request::MessagesAdd(vec![message]))?
            .0
            .remove(0))
    }

    pub fn get(&mut self, session_id: &str, id: &str) -> Option<Message> {
        let request = Request::MessagesGet {
            session_id: session_id.into(),
            id: id.into(),
        };
        self.messages(request)
            .expect("reading works")
            .0
            .into_iter()
            .next()
    }

    /// Ids of the active path.
    pub fn path(&mut self, session_id: &str) -> Vec<String> {
        let which = MessageList::Session {
            session_id: session_id.into(),
            around: None,
            from_start: false,
            all_branches: false,
        };
        let page = PageOptions {
            limit: Some(1000),
            cursor: None,
        };
        let (messages, _) = self
            .messages(Request::MessagesList { which, page })
            .expect("a list");
        messages.into_iter().map(|message| message.id).collect()
    }

    pub fn tree(&mut self, session_id: &str) -> Vec<TreeNode> {
        match self
            .call(Request::MessagesTree {
                session_id: session_id.into(),
            })
            .expect("a tree")
        {
            Reply::Tree(nodes) => nodes,
            other => panic!("expected a tree, got {other:?}"),
        }
    }

    pub fn count(&mut self, request: Request<'_>) -> Result<Count> {
        match self.call(request)? {
            Reply::Count(count) => Ok(count),
            other => panic!("expected a count, got {other:?}"),
        }
    }

    /// Searches, after bringing the index in step.
    pub fn search(&mut self, search: Search) -> Page<SearchHit> {
        self.search_page(search, PageOptions::default())
    }

    pub fn search_page(&mut self, search: Search, page: PageOptions) -> Page<SearchHit> {
        let mut result = self.call(Request::Search {
            search: search.clone(),
            page: page.clone(),
        });
        while matches!(&result, Err(error) if error.code() == Code::IndexPending) {
            self.count(Request::SearchIndex { limit: 100 })
                .expect("indexing works");
            result = self.call(Request::Search {
                search: search.clone(),
                page: page.clone(),
            });
        }
        match result.expect("a search") {
            Reply::Hits(page) => page,
            other => panic!("expected hits, got {other:?}"),
        }
    }

    pub fn found(&mut self, query: &str) -> Vec<String> {
        let search = Search {
            query: query.into(),
            ..Search::default()
        };
        self.search(search)
            .items
            .into_iter()
            .map(|hit| hit.id)
            .collect()
    }

    /// Every cell of a query, as text.
    pub fn query(&mut self, sql: &str) -> Result<Vec<String>> {
        use chatstore::store::query::QueryParams;
        let request = Request::Query {
            sql: sql.into(),
            params: QueryParams::Positional(Vec::new()),
            limit: None,
        };
        match self.call(request)? {
            Reply::Table(table) => Ok(table.cells.iter().map(show).collect()),
            other => panic!("expected a table, got {other:?}"),
        }
    }

    /// That SQLite finds nothing wrong, and that counters, flags and heads agree with the messages.
    pub fn expect_sound(&mut self) {
        assert_eq!(self.query("PRAGMA integrity_check").unwrap(), ["ok"]);
        assert_eq!(self.query("PRAGMA foreign_key_check").unwrap(), [""; 0]);
        let wrong_counts = "SELECT id, message_count FROM sessions s WHERE message_count <>
            (SELECT count(*) FROM messages WHERE session = s.key AND deleted_at IS NULL)";
        assert_eq!(
            self.query(wrong_counts).unwrap(),
            [""; 0],
            "message_count is wrong"
        );
        let wrong_heads = "SELECT s.id FROM sessions s LEFT JOIN messages h ON h.key = s.head
            WHERE (s.head IS NULL) <> NOT EXISTS (SELECT 1 FROM messages WHERE session = s.key)
               OR (s.head IS NOT NULL AND h.key IS NULL)
               OR s.next_seq <= (SELECT coalesce(max(seq), 0) FROM messages WHERE session = s.key)";
        assert_eq!(
            self.query(wrong_heads).unwrap(),
            [""; 0],
            "a head or next_seq is wrong"
        );
        let wrong_flags = "WITH RECURSIVE path (key) AS (SELECT head FROM sessions WHERE head IS NOT NULL
              UNION ALL SELECT m.parent FROM messages m JOIN path ON m.key = path.key WHERE m.parent IS NOT NULL)
            SELECT id FROM messages WHERE active <> (key IN (SELECT key FROM path))";
        assert_eq!(
            self.query(wrong_flags).unwrap(),
            [""; 0],
            "a flag of the active path is wrong"
        );
        let dangling = "SELECT id FROM messages m WHERE parent IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM messages WHERE key = m.parent)";
        assert_eq!(
            self.query(dangling).unwrap(),
            [""; 0],
            "a parent is missing"
        );
        let loose_deltas = "SELECT key FROM message_deltas WHERE key >> 32 NOT IN (SELECT key FROM message_streams)";
        assert_eq!(
            self.query(loose_deltas).unwrap(),
            [""; 0],
            "deltas are left of a reply that has ended"
        );
        let wrong_streams =
            "SELECT m.id FROM message_streams st JOIN messages m ON m.key = st.message
            WHERE m.status <> iif(st.ended_at IS NULL, 'streaming', 'incomplete')";
        assert_eq!(
            self.query(wrong_streams).unwrap(),
            [""; 0],
            "a reply is under way in one table only"
        );
        let wrong_last = "SELECT id FROM sessions s WHERE last_message_at IS NOT (SELECT created_at FROM messages
            WHERE session = s.key AND active = 1 AND deleted_at IS NULL ORDER BY key DESC LIMIT 1)";
        assert_eq!(
            self.query(wrong_last).unwrap(),
            [""; 0],
            "last_message_at is wrong"
        );
    }
}

/// A message of a user, still without id and text.
pub fn message(session_id: &str) -> NewMessage<'_> {
    NewMessage {
        session_id,
        role: "user",
        ..NewMessage::default()
    }
}

/// The code of an error that was expected.
pub fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    expect_error(result).code().as_str()
}

pub fn expect_error<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.expect_err("an error was expected")
}

fn show(value: &rusqlite::types::Value) -> String {
    use rusqlite::types::Value;
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{bytes:?}"),
    }
}
