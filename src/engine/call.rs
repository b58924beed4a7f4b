//! Calls on their way in, and what comes back: plain data.

use super::reply::Reply;
use super::request::Request;
use crate::error::{Error, Result};
use crate::model::{Message, MessageRef};
use crate::pack;

/// Takes in the messages that a call gives, one by one, in the form that its host wants them in.
pub trait Collect: Default {
    /// One message more.
    fn message(&mut self, message: &MessageRef<'_>);
}

impl Collect for Vec<Message> {
    fn message(&mut self, message: &MessageRef<'_>) {
        self.push(message.into());
    }
}

/// What a call gives: its reply, and the messages that belong to it.
#[derive(Debug)]
pub struct Answer<C> {
    /// The reply.
    pub reply: Reply,
    /// The messages of a [`Reply::Messages`].
    pub messages: C,
}

/// A verb with arguments of its own, that can wait and can be run again.
#[derive(Debug)]
pub struct Job {
    request: Request<'static>,
    rows: Option<Vec<u8>>,
}

impl Job {
    /// A request that owns all that it needs.
    pub fn new(request: Request<'static>) -> Self {
        Self {
            request,
            rows: None,
        }
    }

    /// A request whose new messages are packed (see [`pack::new_messages`]); those in it do not count.
    pub fn with_rows(request: Request<'static>, rows: Vec<u8>) -> Self {
        Self {
            request,
            rows: Some(rows),
        }
    }

    /// The verb and its arguments, without the packed messages.
    pub(super) fn outline(&self) -> &Request<'static> {
        &self.request
    }

    /// Says whose the reply is that the request begins, where it begins one.
    pub(super) fn set_client(&mut self, name: &str) {
        if let Request::MessagesStart { client, .. } | Request::MessagesRegenerate { client, .. } =
            &mut self.request
        {
            name.clone_into(client);
        }
    }

    pub(super) fn rows(&self) -> &[u8] {
        self.rows.as_deref().unwrap_or_default()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.rows.as_ref().map_or(0, Vec::len)
    }

    /// The request, to be run.
    pub(super) fn request(&self) -> Result<Request<'_>> {
        let Some(rows) = &self.rows else {
            return Ok(self.request.clone());
        };
        let messages = pack::new_messages(rows)?;
        Ok(match &self.request {
            Request::MessagesAdd(_) => Request::MessagesAdd(messages),
            Request::MessagesPut(_) => Request::MessagesPut(messages),
            Request::MessagesEdit { session_id, id, .. } => {
                let received = messages.len();
                let [content] = <[_; 1]>::try_from(messages)
                    .map_err(|_| Error::argument("rows", "one message", &received.to_string()))?;
                Request::MessagesEdit {
                    session_id: session_id.clone(),
                    id: id.clone(),
                    content,
                }
            }
            other => other.clone(),
        })
    }

    /// A number that differs where verb or arguments do.
    pub(super) fn fingerprint(&self) -> i64 {
        let mut hash = Fnv::default();
        // Writing to a hash cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut hash, format_args!("{:?}", self.request));
        hash.update(self.rows.as_deref().unwrap_or_default());
        hash.0 as i64
    }
}

/// FNV-1a, of 64 bits: to tell calls apart that are not meant to be confused.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl std::fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.update(text.as_bytes());
        Ok(())
    }
}

/// Names a write, so that sending it again finds the result of the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Unique to the write; the same each time that it is sent.
    pub id: String,
    /// 1 at first, one more each time that it is sent again.
    pub attempt: u32,
    /// When it was sent for the first time, epoch milliseconds.
    pub first_sent_ms: i64,
}

/// Names a client among those that are connected: a process, a tab, a handle.
pub type ClientId = u32;

/// One call of a client.
#[derive(Debug)]
pub struct Call {
    /// Unique among the calls that have not settled; its [`Event::Reply`] carries it.
    pub id: u64,
    /// Who calls.
    pub client: ClientId,
    /// 0 for the store itself, or the scope that a transaction or snapshot was given.
    pub scope: u32,
    /// What to do.
    pub job: Job,
    /// Given for writes that may be sent again.
    pub operation: Option<Operation>,
    /// How long the caller waits, milliseconds.
    pub timeout_ms: f64,
}

/// What happened, for the host to pass on.
#[derive(Debug)]
pub enum Event<C> {
    /// A call that waited has settled.
    Reply {
        /// The call.
        call: u64,
        /// Its client.
        client: ClientId,
        /// What came of it.
        result: Result<Answer<C>>,
        /// How long it ran, without its wait and without the commit that it shared, milliseconds;
        /// none where it was the only call of its step, whose time is its own, commit and all.
        run_ms: Option<f64>,
    },
    /// A transaction or snapshot has ended before its client ended it.
    Lost {
        /// The client that it belonged to.
        client: ClientId,
        /// Its scope.
        scope: u32,
        /// Why.
        error: Error,
    },
    /// Something that whoever runs the store would want to know.
    Notice {
        /// `reopened`, `corrupt`, …
        kind: &'static str,
        /// In words.
        message: String,
    },
}
