//! The one place where the crash tests meet the engine: how a store is opened, called, asked for all
//! that it holds, and closed.

use std::collections::BTreeSet;
use std::rc::Rc;

use chatstore::engine::{Answer, Call as Submitted, ClientId, Event, Job, Operation, Task};
use chatstore::model::{
    BotPatch, DeleteFilter, Field, Message, MessagePatch, NewBot, NewMessage, NewSession, PageEnds,
    PageOptions, Search, SessionPatch,
};
use chatstore::pack::{self, Numbers, Texts};
use chatstore::store::query::QueryParams;
use chatstore::store::streams::{Delta, NewStream, StreamEnd};
use chatstore::vfs::Storage;
use chatstore::{Code, Durability, Engine, Error, Outcome, Reply, Request, Result};
use rusqlite::types::Value;

use super::model::{Call, Model};

pub const PATH: &str = "chats.sqlite";
/// Whose the snapshots and transactions are.
const CLIENT: ClientId = 1;

/// Every row that the model knows of, in its words.
const DUMP: &str = "
SELECT 'bot ' || id || ' ' || name FROM (SELECT * FROM bots ORDER BY id)
UNION ALL
SELECT 'session ' || id || ' ' || title || ' trash=' || (deleted_at IS NOT NULL) || ' head=' ||
    coalesce(head & 4294967295, 0) || ' next=' || next_seq || ' count=' || message_count
  FROM (SELECT * FROM sessions ORDER BY id)
UNION ALL
SELECT 'message ' || session_id || ' ' || seq || ' ' || id || ' parent=' || coalesce(parent & 4294967295, 0) ||
    ' active=' || active || ' trash=' || (deleted_at IS NOT NULL) || ' ' || status || ' ' || text ||
    coalesce((SELECT group_concat(delta, '') FROM (SELECT delta FROM message_deltas WHERE key >> 32 = stream ORDER BY key)), '') ||
    coalesce(' reply=' || coalesce((SELECT 1 + max(key & 4294967295) FROM message_deltas WHERE key >> 32 = stream), next_number)
      || '/' || (ended_at IS NOT NULL), '')
  FROM (SELECT m.*, s.id AS session_id, st.key AS stream, st.next_number, st.ended_at FROM sessions s
    CROSS JOIN messages m ON m.session = s.key LEFT JOIN message_streams st ON st.message = m.key ORDER BY s.id, m.key)
UNION ALL
SELECT 'operation ' || id FROM (SELECT id FROM operations ORDER BY id)";

/// What must give no row: counters, heads and flags that disagree with the messages.
const WRONG: &str = "
SELECT 'last_message_at of ' || id FROM sessions s WHERE last_message_at IS NOT (SELECT created_at FROM messages
    WHERE session = s.key AND active = 1 AND deleted_at IS NULL ORDER BY key DESC LIMIT 1)
UNION ALL
SELECT 'message_count of ' || id FROM sessions s WHERE message_count <>
    (SELECT count(*) FROM messages WHERE session = s.key AND deleted_at IS NULL)
UNION ALL
SELECT 'session of message ' || id FROM messages m WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE key = m.session)
UNION ALL
SELECT 'deltas of no reply ' || key FROM message_deltas WHERE key >> 32 NOT IN (SELECT key FROM message_streams)
UNION ALL
SELECT 'status of reply ' || m.id FROM message_streams st JOIN messages m ON m.key = st.message
    WHERE m.status <> iif(st.ended_at IS NULL, 'streaming', 'incomplete')";

/// An open store.
pub struct Store {
    engine: Engine,
    /// The scope of the open transaction.
    transaction: Option<u32>,
    now_ms: f64,
    submitted: u64,
    /// The scope of an open snapshot, and what the store held when it began.
    snapshot: Option<(u32, String)>,
}

impl Store {
    pub fn open(storage: Rc<dyn Storage>, durability: Durability) -> Result<Self> {
        Ok(Self {
            engine: Engine::open(storage, PATH, durability)?,
            transaction: None,
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
        match self.transaction {
            Some(scope) => {
                let answer = self.submit(scope, job(model, call), None)?;
                Ok(ids(answer.expect("a transaction answers at once")))
            }
            None => self.write(job(model, call), None),
        }
    }

    /// Runs one call under an operation id; sent again, it is done once.
    pub fn call_once(
        &mut self,
        model: &Model,
        call: &Call,
        operation: &str,
        attempt: u32,
    ) -> Result<Vec<String>> {
        self.write(job(model, call), named(operation, attempt))
    }

    fn write(&mut self, job: Job, operation: Option<Operation>) -> Result<Vec<String>> {
        let at_once = self.submit(0, job, operation)?;
        assert!(at_once.is_none(), "a write waits: {at_once:?}");
        self.engine.step(self.now_ms);
        self.settled(1).remove(0).map(ids)
    }

    /// Adds messages for several clients that wait at the same time: one transaction, one flush. Gives
    /// what came of each, in order.
    pub fn group(&mut self, adds: &[Vec<(String, String)>]) -> Vec<Result<Vec<String>>> {
        for (at, messages) in adds.iter().enumerate() {
            let client = CLIENT + at as ClientId % 3;
            let at_once = self.submit_for(client, 0, add(messages), None);
            assert!(matches!(at_once, Ok(None)), "a write waits: {at_once:?}");
        }
        self.engine.step(self.now_ms);
        let settled = self.settled(adds.len());
        settled.into_iter().map(|result| result.map(ids)).collect()
    }

    /// What came of the last calls, in their order.
    fn settled(&mut self, calls: usize) -> Vec<Result<Answer<Vec<Message>>>> {
        let first = self.submitted + 1 - calls as u64;
        let mut results: Vec<_> = (0..calls).map(|_| None).collect();
        for event in self.engine.take() {
            if let Event::Reply { call, result, .. } = event {
                results[(call - first) as usize] = Some(result);
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
            }) = self.submit(0, Job::new(request), None)?
            else {
                panic!("a snapshot begins at once");
            };
            self.snapshot = Some((scope, before));
            return Ok(());
        };
        let Some(answer) = self.submit(scope, Job::new(table_of(DUMP)), None)? else {
            panic!("a snapshot is read at once");
        };
        assert_eq!(lines(answer.reply), before, "a snapshot changed");
        self.submit(scope, Job::new(Request::SnapshotEnd), None)
            .map(drop)
    }

    fn submit(
        &mut self,
        scope: u32,
        job: Job,
        operation: Option<Operation>,
    ) -> Result<Option<Answer<Vec<Message>>>> {
        self.submit_for(CLIENT, scope, job, operation)
    }

    fn submit_for(
        &mut self,
        client: ClientId,
        scope: u32,
        job: Job,
        operation: Option<Operation>,
    ) -> Result<Option<Answer<Vec<Message>>>> {
        self.submitted += 1;
        let call = Submitted {
            id: self.submitted,
            client,
            scope,
            job,
            operation,
            timeout_ms: 30_000.0,
        };
        self.engine.submit(self.now_ms, call)
    }

    pub fn begin(&mut self) -> Result<()> {
        let request = Request::TransactionBegin { lease_ms: 1e9 };
        let waits = self.submit(0, Job::new(request), None)?;
        assert!(waits.is_none(), "a transaction waits");
        self.engine.step(self.now_ms);
        let began = self.settled(1).remove(0)?;
        let Reply::Scope(scope) = began.reply else {
            panic!("expected a scope, got {:?}", began.reply);
        };
        self.transaction = Some(scope);
        Ok(())
    }

    pub fn commit(&mut self, operation: &str) -> Result<()> {
        let scope = self.transaction.take().unwrap_or(0);
        let commit = Job::new(Request::TransactionCommit);
        self.submit(scope, commit, named(operation, 1)).map(drop)
    }

    /// Asks again for a commit of a former owner's; whether it was done.
    pub fn has_committed(&mut self, operation: &str) -> Result<bool> {
        let commit = Job::new(Request::TransactionCommit);
        match self.submit(1, commit, named(operation, 2)) {
            Ok(_) => Ok(true),
            Err(error) if error.outcome() == Some(Outcome::NotApplied) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub fn roll_back(&mut self) -> Result<()> {
        match self.transaction.take() {
            Some(scope) => self.control(scope, Request::TransactionRollback),
            None => Ok(()),
        }
    }

    pub fn savepoint(&mut self) -> Result<()> {
        self.control(self.transaction.unwrap_or(0), Request::TransactionSavepoint)
    }

    pub fn release(&mut self) -> Result<()> {
        self.control(self.transaction.unwrap_or(0), Request::TransactionRelease)
    }

    pub fn roll_back_to(&mut self) -> Result<()> {
        let scope = self.transaction.unwrap_or(0);
        self.control(scope, Request::TransactionRollbackTo)
    }

    fn control(&mut self, scope: u32, request: Request<'static>) -> Result<()> {
        self.submit(scope, Job::new(request), None).map(drop)
    }

    /// Indexes up to so many messages; gives whether more wait.
    pub fn index(&mut self, limit: u32) -> Result<bool> {
        match self.run(Request::SearchIndex { limit })? {
            Reply::Count(count) => Ok(count.messages > 0),
            other => panic!("expected a count, got {other:?}"),
        }
    }

    /// One step of keeping it small. One that waits for a snapshot to end does nothing.
    pub fn maintain(&mut self, task: Task, limit: i32) -> Result<()> {
        match self.write(Job::new(Request::Maintain { task, limit }), None) {
            Err(error) if error.code() == Code::Busy && self.snapshot.is_some() => Ok(()),
            result => result.map(drop),
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

    fn run(&mut self, request: Request<'static>) -> Result<Reply> {
        match self.transaction {
            Some(scope) => {
                let answer = self.submit(scope, Job::new(request), None)?;
                Ok(answer.expect("a transaction answers at once").reply)
            }
            None => self.engine.call(request, &mut |_| ()),
        }
    }
}

/// What a call is for the engine.
fn job(model: &Model, call: &Call) -> Job {
    let id = |session: &str, seq: i64| model.id(session, seq).to_owned();
    Job::new(match call.clone() {
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
        Call::Add(messages) => return add(&messages),
        Call::Edit { session, seq, text } => {
            let request = Request::MessagesEdit {
                id: id(&session, seq),
                session_id: session,
                content: NewMessage::default(),
            };
            return Job::with_rows(request, packed(&[(String::new(), text)]));
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
        Call::Start { session } => Request::MessagesStart {
            new: NewStream {
                session_id: session,
                ..NewStream::default()
            },
            client: "client".into(),
        },
        Call::Append { session, seq, text } => Request::MessagesAppend {
            id: id(&session, seq),
            first_number: model.next_number(&session, seq),
            session_id: session,
            deltas: grow(text),
        },
        Call::End {
            session,
            seq,
            text,
            complete,
        } => {
            let id = id(&session, seq);
            let end = StreamEnd {
                first_number: model.next_number(&session, seq),
                deltas: grow(text),
                ..StreamEnd::default()
            };
            let session_id = session;
            if complete {
                Request::MessagesFinish {
                    session_id,
                    id,
                    end,
                }
            } else {
                Request::MessagesAbort {
                    session_id,
                    id,
                    end,
                }
            }
        }
    })
}

fn grow(text: String) -> Vec<Delta> {
    let part_type = "text".into();
    vec![Delta::Grow { part_type, text }]
}

fn add(messages: &[(String, String)]) -> Job {
    Job::with_rows(Request::MessagesAdd(Vec::new()), packed(messages))
}

/// Sessions and texts of new messages as a client packs them, each after its session's head.
fn packed(messages: &[(String, String)]) -> Vec<u8> {
    const NUMBERS: usize = 7;
    const TEXTS: usize = 12;
    const ABSENT: u32 = u32::MAX - 1;
    let mut numbers: Vec<Numbers> = (0..NUMBERS).map(|_| Numbers::default()).collect();
    let mut texts: Vec<Texts> = (0..TEXTS).map(|_| Texts::default()).collect();
    for (session, text) in messages {
        numbers.iter_mut().for_each(|column| column.push(None));
        for (at, column) in texts.iter_mut().enumerate() {
            column.push(match at {
                0 => Some(session),
                2 => Some("user"),
                // Bot and parent: one length for all rows, to be put in below.
                3 | 4 => Some(""),
                5 => Some(text),
                _ => None,
            });
        }
    }
    let mut bytes = pack::rows(16, messages.len(), &numbers, &texts, &PageEnds::default());
    let modes_at = 32;
    let lengths_at = modes_at + (NUMBERS + TEXTS).next_multiple_of(8);
    let session_words = match bytes[modes_at + NUMBERS] {
        1 => messages.len(),
        _ => 1,
    };
    let bot_at = lengths_at + 4 * (session_words + 1);
    for at in [bot_at, bot_at + 4] {
        bytes[at..at + 4].copy_from_slice(&ABSENT.to_le_bytes());
    }
    bytes
}

fn ids(answer: Answer<Vec<Message>>) -> Vec<String> {
    let messages = answer.messages.into_iter();
    messages.map(|message| message.id).collect()
}

fn named(operation: &str, attempt: u32) -> Option<Operation> {
    Some(Operation {
        id: operation.to_owned(),
        attempt,
        first_sent_ms: 0,
    })
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
