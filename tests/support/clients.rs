//! Clients of one engine with a clock of the test's own: calls are made, time is made to pass, and
//! what settled is looked up.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::collections::BTreeMap;

use chatstore::engine::{Answer, Call, ClientId, Event, Job, Operation};
use chatstore::model::{Message, MessageList, NewMessage, NewSession, Page, PageOptions, Session};
use chatstore::store::streams::{Delta, NewStream};
use chatstore::store::touched::Change;
use chatstore::vfs::{MemoryStorage, Storage};
use chatstore::{Engine, Options, Reply, Request, Result};

pub type Settled = Result<Answer<Vec<Message>>>;

pub struct Clients {
    pub engine: Engine,
    pub now_ms: f64,
    pub timeout_ms: f64,
    last_call: u64,
    settled: BTreeMap<u64, Settled>,
    callers: BTreeMap<u64, ClientId>,
    /// Whose each scope is; a scope answers its own client only.
    owners: BTreeMap<u32, ClientId>,
    pub lost: Vec<(ClientId, u32, chatstore::Error)>,
    pub notices: Vec<&'static str>,
    /// What was told of changes since the test looked last.
    pub changes: Vec<Change>,
}

impl Clients {
    pub fn over(engine: Engine) -> Self {
        Self {
            engine,
            now_ms: 1_000.0,
            timeout_ms: 30_000.0,
            last_call: 0,
            settled: BTreeMap::new(),
            callers: BTreeMap::new(),
            owners: BTreeMap::new(),
            lost: Vec::new(),
            notices: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub fn in_memory() -> Self {
        Self::on(MemoryStorage::new(), Options::default())
    }

    pub fn on(storage: impl Storage, options: Options) -> Self {
        let engine = Engine::open(storage, "chats.sqlite", options).expect("the store opens");
        Self::over(engine)
    }

    /// Makes a call and gives its number; what is answered at once counts as settled.
    pub fn send(&mut self, client: ClientId, scope: u32, request: Request<'static>) -> u64 {
        self.send_as(client, scope, request, None)
    }

    pub fn send_as(
        &mut self,
        client: ClientId,
        scope: u32,
        request: Request<'static>,
        operation: Option<Operation>,
    ) -> u64 {
        self.last_call += 1;
        self.callers.insert(self.last_call, client);
        let call = Call {
            id: self.last_call,
            client,
            scope,
            job: Job::new(request),
            operation,
            timeout_ms: self.timeout_ms,
        };
        match self.engine.submit(self.now_ms, call) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                self.settled.insert(self.last_call, Ok(answer));
            }
            Err(error) => {
                self.settled.insert(self.last_call, Err(error));
            }
        }
        self.last_call
    }

    /// One step of the engine. Gives when it wants the next.
    pub fn step(&mut self) -> Option<f64> {
        let next_ms = self.engine.step(self.now_ms);
        self.changes.extend(self.engine.take_changes());
        for event in self.engine.take() {
            match event {
                Event::Reply { call, result, .. } => {
                    let before = self.settled.insert(call, result);
                    assert!(before.is_none(), "call {call} settled twice");
                }
                Event::Lost {
                    client,
                    scope,
                    error,
                } => self.lost.push((client, scope, error)),
                Event::Notice { kind, .. } => self.notices.push(kind),
            }
        }
        next_ms
    }

    /// Steps for as long as the engine has something to do at this very time.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            match self.step() {
                Some(next_ms) if next_ms <= self.now_ms => {}
                _ => return,
            }
        }
        panic!("the engine does not come to rest");
    }

    pub fn pass(&mut self, ms: f64) {
        self.now_ms += ms;
        self.settle();
    }

    pub fn has_settled(&self, call: u64) -> bool {
        self.settled.contains_key(&call)
    }

    /// What came of a call; it must have settled.
    pub fn result(&mut self, call: u64) -> Settled {
        let settled = self.settled.remove(&call);
        let settled = settled.unwrap_or_else(|| panic!("call {call} has not settled"));
        if let Ok(answer) = &settled
            && let Reply::Scope(scope) = answer.reply
        {
            self.owners.insert(scope, self.callers[&call]);
        }
        settled
    }

    /// A call from beginning to end, of the client whose scope it is.
    pub fn call(&mut self, scope: u32, request: Request<'static>) -> Settled {
        let client = self.owners.get(&scope).copied().unwrap_or(1);
        let call = self.send(client, scope, request);
        self.settle();
        self.result(call)
    }

    pub fn scope(&mut self, client: ClientId, request: Request<'static>) -> u32 {
        let call = self.send(client, 0, request);
        self.settle();
        match self.result(call).expect("it begins").reply {
            Reply::Scope(scope) => scope,
            other => panic!("expected a scope, got {other:?}"),
        }
    }

    pub fn transaction(&mut self, client: ClientId, lease_ms: f64) -> u32 {
        self.scope(client, Request::TransactionBegin { lease_ms })
    }

    pub fn snapshot(&mut self, client: ClientId, lease_ms: f64) -> u32 {
        self.scope(client, begin_snapshot(lease_ms))
    }

    /// Ids of a session's messages, in their order.
    pub fn ids(&mut self, scope: u32, session_id: &'static str) -> Result<Vec<String>> {
        let answer = self.call(scope, list(session_id))?;
        Ok(answer
            .messages
            .into_iter()
            .map(|message| message.id)
            .collect())
    }

    pub fn sessions(&mut self, scope: u32) -> Page<Session> {
        let request = Request::SessionsList {
            filter: chatstore::model::SessionFilter::default(),
            page: PageOptions::default(),
        };
        match self.call(scope, request).expect("a list").reply {
            Reply::Sessions(page) => page,
            other => panic!("expected sessions, got {other:?}"),
        }
    }

    /// One figure of the store.
    pub fn figure(&self, name: &str) -> i64 {
        let stats = self.engine.stats();
        let at = stats.columns.iter().position(|column| column == name);
        let at = at.unwrap_or_else(|| panic!("no figure {name}"));
        match stats.cells[at] {
            rusqlite::types::Value::Integer(number) => number,
            ref other => panic!("{name} is {other:?}"),
        }
    }
}

pub fn code<T>(result: Result<T>) -> &'static str {
    result.map_or_else(|error| error.code().as_str(), |_| "none")
}

pub fn begin_snapshot(lease_ms: f64) -> Request<'static> {
    Request::SnapshotBegin {
        lease_ms,
        indexed: false,
        purpose: chatstore::engine::Purpose::Reads,
    }
}

pub fn new_session(id: &str) -> Request<'static> {
    Request::SessionsCreate(NewSession {
        id: Some(id.to_owned()),
        ..NewSession::default()
    })
}

pub fn list(session_id: &str) -> Request<'static> {
    Request::MessagesList {
        which: MessageList::Session {
            session_id: session_id.to_owned(),
            around: None,
            from_start: true,
            all_branches: false,
        },
        page: PageOptions {
            limit: Some(1_000),
            cursor: None,
        },
    }
}

/// A message of a user. Texts of tests live as long as the tests.
pub fn add(
    session_id: &'static str,
    id: impl Into<String>,
    text: &'static str,
) -> Request<'static> {
    Request::MessagesAdd(vec![NewMessage {
        session_id,
        id: Some(String::leak(id.into())),
        role: "user",
        text: Some(text),
        ..NewMessage::default()
    }])
}

pub fn operation(id: &str, attempt: u32) -> Option<Operation> {
    Some(Operation {
        id: id.to_owned(),
        attempt,
        first_sent_ms: 0,
    })
}

pub fn delta(text: &str) -> Delta {
    Delta::Grow {
        part_type: "text".into(),
        text: text.into(),
    }
}

/// Starts the reply `reply` of `a client` in the session `s`.
pub fn start() -> Request<'static> {
    Request::MessagesStart {
        new: NewStream {
            session_id: "s".into(),
            id: Some("reply".into()),
            ..NewStream::default()
        },
        client: "a client".into(),
    }
}

pub fn append(first_number: i64, text: &str) -> Request<'static> {
    Request::MessagesAppend {
        session_id: "s".into(),
        id: "reply".into(),
        first_number,
        deltas: vec![delta(text)],
    }
}
