//! The one place where the crash tests meet the engine: how a store is opened, called, asked for all
//! that it holds, and closed.

use std::collections::BTreeSet;
use std::rc::Rc;

use chatstore::engine::{Answer, Call as Submitted, Event, Job};
use chatstore::model::{
    BotPatch, DeleteFilter, Field, Message, MessagePatch, NewBot, NewMessage, NewSession,
    PageOptions, Search, SessionPatch,
};
use chatstore::store::query::QueryParams;
use chatstore::vfs::Storage;
use chatstore::{Durability, Engine, Error, Reply, Request, Result};
use rusqlite::types::Value;

use super::model::{Call, Model};

pub const PATH: &str = "chats.sqlite";

/// Every row that the model knows of, in its words.
const DUMP: &str = "
SELECT 'bot ' || id || ' ' || name FROM (SELECT * FROM bots ORDER BY id)
UNION ALL
SELECT 'session ' || id || ' ' || title || ' trash=' || (deleted_at IS NOT NULL) || ' head=' ||
    coalesce(head & 4294967295, 0) || ' next=' || next_seq || ' count=' || message_count
  FROM (SELECT * FROM sessions ORDER BY id)
UNION ALL
SELECT 'message ' || session_id || ' ' || seq || ' ' || id || ' parent=' || coalesce(parent & 4294967295, 0) ||
    ' active=' || active || ' trash=' || (deleted_at IS NOT NULL) || ' ' || text
  FROM (SELECT m.*, s.id AS session_id FROM sessions s CROSS JOIN messages m ON m.session = s.key ORDER BY s.id, m.key)";

/// What must give no row: counters, heads and flags that disagree with the messages.
const WRONG: &str = "
SELECT 'last_message_at of ' || id FROM sessions s WHERE last_message_at IS NOT (SELECT created_at FROM messages
    WHERE session = s.key AND active = 1 AND deleted_at IS NULL ORDER BY key DESC LIMIT 1)
UNION ALL
SELECT 'message_count of ' || id FROM sessions s WHERE message_count <>
    (SELECT count(*) FROM messages WHERE session = s.key AND deleted_at IS NULL)
UNION ALL
SELECT 'session of message ' || id FROM messages m WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE key = m.session)";

/// An open store.
pub struct Store {
    engine: Engine,
    in_transaction: bool,
    now_ms: f64,
    submitted: u64,
    /// The scope of an open snapshot, and what the store held when it began.
    snapshot: Option<(u32, String)>,
}

impl Store {
    pub fn open(storage: Rc<dyn Storage>, durability: Durability) -> Result<Self> {
        Ok(Self {
            engine: Engine::open(storage, PATH, durability)?,
            in_transaction: false,
            now_ms: 0.0,
            submitted: 0,
            snapshot: None,
        })
    }

    pub fn close(self) -> Result<()> {
        self.engine.close()
    }

    /// Runs one call; gives the ids of the messages that it made.
    pub fn call(&mut self, model: &Model, call: &Call) -> Result<Vec<String>> {
        let id = |session: &str, seq: i64| model.id(session, seq).to_owned();
        let request = match call.clone() {
            Call::CreateBot { id, name } => Request::BotsCreate(NewBot {
                id: Some(id),
                name,
                ..NewBot::default()
            }),
            Call::RenameBot { id, name } => Request::BotsUpdate {
                id,
                patch: BotPatch {
                    name: Some(name),
                    ..BotPatch::default()
                },
            },
            Call::CreateSession { id, title } => Request::SessionsCreate(NewSession {
                id: Some(id),
                title: Some(title),
                ..NewSession::default()
            }),
            Call::RetitleSession { id, title } => Request::SessionsUpdate {
                id,
                patch: SessionPatch {
                    title: Field::Value(title),
                    ..SessionPatch::default()
                },
            },
            Call::DeleteSession { id, permanent } => Request::SessionsDelete { id, permanent },
            Call::RestoreSession { id } => Request::SessionsRestore { id },
            Call::Add(messages) => {
                let new = messages.iter().map(|(session_id, text)| NewMessage {
                    session_id,
                    role: "user",
                    text: Some(text),
                    ..NewMessage::default()
                });
                return self.messages(Request::MessagesAdd(new.collect()));
            }
            Call::Edit { session, seq, text } => {
                return self.messages(Request::MessagesEdit {
                    id: id(&session, seq),
                    session_id: session,
                    content: NewMessage {
                        text: Some(&text),
                        ..NewMessage::default()
                    },
                });
            }
            Call::Update { session, seq, text } => Request::MessagesUpdate {
                id: id(&session, seq),
                session_id: session,
                patch: MessagePatch {
                    text: Some(text),
                    ..MessagePatch::default()
                },
            },
            Call::SwitchTo { session, seq } => Request::MessagesSwitchTo {
                id: id(&session, seq),
                session_id: session,
            },
            Call::Delete {
                session,
                seq,
                permanent,
            } => Request::MessagesDelete {
                id: id(&session, seq),
                session_id: session,
                permanent,
            },
            Call::Clear { session, permanent } => Request::MessagesDeleteWhere {
                filter: DeleteFilter {
                    session_id: Some(session),
                    ..DeleteFilter::default()
                },
                permanent,
            },
        };
        self.messages(request)
    }

    /// Adds messages for several clients that wait at the same time: one transaction, one flush. Gives
    /// what came of each, in order.
    pub fn group(&mut self, adds: &[Vec<(String, String)>]) -> Vec<Result<Vec<String>>> {
        let first = self.submitted + 1;
        for messages in adds {
            // A call that waits owns its texts, or they live for ever.
            let new = messages.iter().map(|(session_id, text)| NewMessage {
                session_id: session_id.clone().leak(),
                role: "user",
                text: Some(text.clone().leak()),
                ..NewMessage::default()
            });
            let request = Request::MessagesAdd(new.collect());
            let at_once = self.submit(0, request);
            assert!(matches!(at_once, Ok(None)), "a write waits: {at_once:?}");
        }
        self.engine.step(self.now_ms);
        let mut results: Vec<_> = adds.iter().map(|_| None).collect();
        for event in self.engine.take() {
            if let Event::Reply { call, result, .. } = event {
                let ids = |answer: Answer<Vec<Message>>| {
                    answer
                        .messages
                        .into_iter()
                        .map(|message| message.id)
                        .collect()
                };
                results[(call - first) as usize] = Some(result.map(ids));
            }
        }
        let settled = results.into_iter();
        settled
            .map(|result| result.expect("a step settles its writes"))
            .collect()
    }

    /// Lets time pass in which nothing is called: the index follows, the log moves into the file.
    pub fn rest(&mut self) {
        self.now_ms += 1_000.0;
        for _ in 0..100 {
            match self.engine.step(self.now_ms) {
                Some(next_ms) if next_ms <= self.now_ms => {}
                _ => break,
            }
        }
        self.engine.take();
    }

    /// Begins a snapshot, or ends the one that is open, after a look whether it still shows what it
    /// began with.
    pub fn snapshot(&mut self) -> Result<()> {
        let Some((scope, before)) = self.snapshot.take() else {
            let before = self.dump()?;
            let request = Request::SnapshotBegin {
                lease_ms: 1e9,
                indexed: false,
                purpose: chatstore::engine::Purpose::Reads,
            };
            let Some(Answer {
                reply: Reply::Scope(scope),
                ..
            }) = self.submit(0, request)?
            else {
                panic!("a snapshot begins at once");
            };
            self.snapshot = Some((scope, before));
            return Ok(());
        };
        let Some(answer) = self.submit(scope, table_of(DUMP))? else {
            panic!("a snapshot is read at once");
        };
        assert_eq!(lines(answer.reply), before, "a snapshot changed");
        self.submit(scope, Request::SnapshotEnd).map(drop)
    }

    fn submit(
        &mut self,
        scope: u32,
        request: Request<'static>,
    ) -> Result<Option<Answer<Vec<Message>>>> {
        self.submitted += 1;
        let call = Submitted {
            id: self.submitted,
            client: (self.submitted % 3) as u32 * u32::from(scope == 0 && request.is_write()),
            scope,
            job: Job::new(request),
            operation: None,
            timeout_ms: 30_000.0,
        };
        self.engine.submit(self.now_ms, call)
    }

    pub fn begin(&mut self) -> Result<()> {
        self.engine.begin()?;
        self.in_transaction = true;
        Ok(())
    }

    pub fn commit(&mut self) -> Result<()> {
        self.in_transaction = false;
        self.engine.commit()
    }

    pub fn roll_back(&mut self) -> Result<()> {
        self.in_transaction = false;
        self.engine.rollback();
        Ok(())
    }

    pub fn savepoint(&mut self) -> Result<()> {
        self.engine.savepoint()
    }

    pub fn release(&mut self) -> Result<()> {
        self.engine.release()
    }

    pub fn roll_back_to(&mut self) -> Result<()> {
        self.engine.rollback_to()
    }

    /// Indexes up to so many messages; gives whether more wait.
    pub fn index(&mut self, limit: u32) -> Result<bool> {
        match self.run(Request::SearchIndex { limit })? {
            Reply::Count(count) => Ok(count.messages > 0),
            other => panic!("expected a count, got {other:?}"),
        }
    }

    /// Session and id of all messages that hold a word, the index brought in step before.
    pub fn found(&mut self, word: &str) -> Result<BTreeSet<(String, String)>> {
        while self.index(1000)? {}
        let search = Search {
            query: word.into(),
            ..Search::default()
        };
        let page = PageOptions {
            limit: Some(1000),
            cursor: None,
        };
        match self.run(Request::Search { search, page })? {
            Reply::Hits(page) => Ok(page
                .items
                .into_iter()
                .map(|hit| (hit.session_id, hit.id))
                .collect()),
            other => panic!("expected hits, got {other:?}"),
        }
    }

    /// All that the store holds, as [`Model::dump`] words it.
    pub fn dump(&mut self) -> Result<String> {
        self.query(DUMP)
    }

    /// What is wrong with the store by itself; empty where nothing is.
    pub fn faults(&mut self) -> Result<String> {
        // FTS5 notices changes made by other connections when a cursor opens, and its part of the
        // check opens none: without this it would follow segments that were merged away meanwhile.
        self.query("SELECT 'x' FROM messages_fts LIMIT 1")?;
        let mut faults = self.query("PRAGMA integrity_check")?.replace("ok\n", "");
        faults += &self
            .query("SELECT 'foreign key ' || \"table\" || rowid FROM pragma_foreign_key_check")?;
        faults += &self.query(WRONG)?;
        Ok(faults)
    }

    fn query(&mut self, sql: &str) -> Result<String> {
        Ok(lines(self.run(table_of(sql))?))
    }

    fn messages(&mut self, request: Request<'_>) -> Result<Vec<String>> {
        let mut made = Vec::new();
        let visit = &mut |row: &chatstore::model::MessageRef<'_>| made.push(Message::from(row).id);
        if self.in_transaction {
            self.engine.call_in_transaction(request, visit)?;
        } else {
            self.engine.call(request, visit)?;
        }
        Ok(made)
    }

    fn run(&mut self, request: Request<'_>) -> Result<Reply> {
        if self.in_transaction {
            self.engine.call_in_transaction(request, &mut |_| ())
        } else {
            self.engine.call(request, &mut |_| ())
        }
    }
}

fn table_of(sql: &str) -> Request<'static> {
    Request::Query {
        sql: sql.into(),
        params: QueryParams::Positional(Vec::new()),
        limit: Some(100_000),
    }
}

/// The cells of a table, one a line.
fn lines(reply: Reply) -> String {
    let Reply::Table(table) = reply else {
        panic!("expected a table, got {reply:?}");
    };
    let mut lines = String::new();
    for cell in table.cells {
        match cell {
            Value::Text(text) => lines += &text,
            other => lines += &format!("{other:?}"),
        }
        lines.push('\n');
    }
    lines
}

/// The first error of several results, the rest of which count.
pub fn first_error<T>(results: Vec<Result<T>>, mut take: impl FnMut(usize, T)) -> Result<()> {
    let mut first: Option<Error> = None;
    for (at, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => take(at, value),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map_or(Ok(()), Err)
}
