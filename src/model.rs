//! The nouns of the store: bots, sessions, messages and what calls take and give.
//!
//! Plain data. All times are epoch milliseconds, all JSON is text as it came. Nothing here knows
//! of SQL or of JavaScript.

/// The limits on what callers may store or ask for, in UTF-8 bytes where they are sizes.
pub mod limits {
    /// Longest id of a bot, session or message, in bytes.
    pub const ID_BYTES: usize = 256;
    /// Longest name of a bot, in bytes.
    pub const NAME_BYTES: usize = 1_000;
    /// Longest role of a message, in bytes.
    pub const ROLE_BYTES: usize = 64;
    /// Longest title of a session, in bytes.
    pub const TITLE_BYTES: usize = 10_000;
    /// Longest tag of a session, in bytes.
    pub const TAG_BYTES: usize = 256;
    /// Most tags that a session can have.
    pub const TAGS: usize = 100;
    /// Longest content or parts of a message, in bytes.
    pub const CONTENT_BYTES: usize = 64 << 20;
    /// Longest JSON value, system prompt or avatar, in bytes.
    pub const JSON_BYTES: usize = 1 << 20;
    /// Longest model name, in bytes.
    pub const MODEL_BYTES: usize = 256;
    /// Longest SQL text of `query`, in bytes.
    pub const SQL_BYTES: usize = 1 << 20;
    /// Longest text of a search, in bytes.
    pub const SEARCH_BYTES: usize = 10_000;
    /// Rows of a page when the caller names no limit.
    pub const PAGE_ROWS_DEFAULT: u32 = 50;
    /// Most rows of a page.
    pub const PAGE_ROWS: u32 = 1_000;
    /// Rows of a `query` when the caller names no limit.
    pub const QUERY_ROWS_DEFAULT: u32 = 10_000;
    /// Most rows of a `query`.
    pub const QUERY_ROWS: u32 = 100_000;
    /// Most messages in one call of `add` or `put`.
    pub const BATCH_MESSAGES: usize = 100_000;

    /// Most bytes of messages or cells that one call takes or gives; also the longest single value.
    pub const REPLY_BYTES: usize = 256 << 20;

    /// Every limit by the name that it has in JavaScript.
    pub const ALL: &[(&str, usize)] = &[
        ("idBytes", ID_BYTES),
        ("nameBytes", NAME_BYTES),
        ("roleBytes", ROLE_BYTES),
        ("titleBytes", TITLE_BYTES),
        ("tagBytes", TAG_BYTES),
        ("tags", TAGS),
        ("contentBytes", CONTENT_BYTES),
        ("jsonBytes", JSON_BYTES),
        ("modelBytes", MODEL_BYTES),
        ("sqlBytes", SQL_BYTES),
        ("searchBytes", SEARCH_BYTES),
        ("pageRowsDefault", PAGE_ROWS_DEFAULT as usize),
        ("pageRows", PAGE_ROWS as usize),
        ("queryRowsDefault", QUERY_ROWS_DEFAULT as usize),
        ("queryRows", QUERY_ROWS as usize),
        ("batchMessages", BATCH_MESSAGES),
        ("replyBytes", REPLY_BYTES),
    ];
}

/// A field of a patch or of a new message that may be left out, set to nothing, or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Not given: stays as it is, or takes its default.
    #[default]
    Absent,
    /// Given as nothing: is cleared.
    Null,
    /// Given.
    Value(T),
}

impl<T> Field<T> {
    /// Whether the caller gave anything.
    pub fn is_given(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The value, where there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

impl Field<String> {
    /// The same, borrowed.
    pub fn as_deref(&self) -> Field<&str> {
        match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Value(text) => Field::Value(text),
        }
    }
}

/// Names one message: ids of messages are unique within their session only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// The session's id.
    pub session_id: String,
    /// The message's id within it.
    pub id: String,
}

/// One page of a list, with the cursors of the pages after and before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows, in the order of the list.
    pub items: Vec<T>,
    /// Where the list goes on, and where it comes from.
    pub ends: PageEnds,
}

/// The cursors at both ends of a page; none where the list ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageEnds {
    /// Continues behind the last row.
    pub next_cursor: Option<String>,
    /// Continues before the first row.
    pub prev_cursor: Option<String>,
}

/// How many rows to return and from where.
#[derive(Debug, Clone, Default)]
pub struct PageOptions {
    /// Rows a page, 1 to 1,000; 50 where none is given.
    pub limit: Option<u32>,
    /// A cursor of an earlier page of the same list.
    pub cursor: Option<String>,
}

/// A bot: somebody, or something, that sessions are held with.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(
    missing_docs,
    reason = "the fields say what they are; times are epoch milliseconds, params and metadata JSON"
)]
pub struct Bot {
    pub id: String,
    pub name: String,
    pub avatar: Option<String>,
    pub system_prompt: Option<String>,
    pub model: Option<String>,
    pub params: Option<String>,
    pub metadata: Option<String>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub deleted_at_ms: Option<i64>,
}

/// What `bots.create` takes. Without an id, a UUIDv7 is made.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of Bot")]
pub struct NewBot {
    pub id: Option<String>,
    pub name: String,
    pub avatar: Option<String>,
    pub system_prompt: Option<String>,
    pub model: Option<String>,
    pub params: Option<String>,
    pub metadata: Option<String>,
    pub created_at_ms: Option<i64>,
}

/// What `bots.update` changes.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of Bot")]
pub struct BotPatch {
    pub name: Option<String>,
    pub avatar: Field<String>,
    pub system_prompt: Field<String>,
    pub model: Field<String>,
    pub params: Field<String>,
    pub metadata: Field<String>,
}

/// Where a session stands in its life; the trash is apart from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionStatus {
    /// In use.
    #[default]
    Active,
    /// Put away by its user.
    Archived,
}

impl SessionStatus {
    /// The word used in SQL and JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
        }
    }
}

/// A session: one conversation, a tree of messages with one active path.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session {
    /// Unique in the store.
    pub id: String,
    /// The bot that it is held with, if any.
    pub bot_id: Option<String>,
    /// What people see it called.
    pub title: Option<String>,
    /// `active` or `archived`.
    pub status: String,
    /// Kept at the top by its user.
    pub pinned: bool,
    /// JSON array of strings.
    pub tags: String,
    /// The newest message of the active path, in the trash or not.
    pub head_id: Option<String>,
    /// The message that this session was forked from.
    pub forked_from: Option<Ref>,
    /// Messages on any branch, without the trash.
    pub message_count: i64,
    /// When the newest visible message was made, epoch milliseconds.
    pub last_message_at_ms: Option<i64>,
    /// The first characters of that message's text.
    pub preview: Option<String>,
    /// Grows by at least one with each change of the session or its messages.
    pub revision: i64,
    /// JSON.
    pub metadata: Option<String>,
    /// Epoch milliseconds.
    pub created_at_ms: i64,
    /// Epoch milliseconds.
    pub updated_at_ms: i64,
    /// Epoch milliseconds; set while in the trash.
    pub deleted_at_ms: Option<i64>,
}

/// What `sessions.create` takes. Without an id, a UUIDv7 is made.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of Session")]
pub struct NewSession {
    pub id: Option<String>,
    pub bot_id: Option<String>,
    pub title: Option<String>,
    pub status: Option<String>,
    pub pinned: bool,
    pub tags: Vec<String>,
    pub metadata: Option<String>,
    pub created_at_ms: Option<i64>,
    /// Return the session that has this id already, in place of an error.
    pub return_existing: bool,
}

/// What `sessions.update` changes.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of Session")]
pub struct SessionPatch {
    pub bot_id: Field<String>,
    pub title: Field<String>,
    pub status: Option<String>,
    pub pinned: Option<bool>,
    pub tags: Option<Vec<String>>,
    pub metadata: Field<String>,
    pub head_id: Option<String>,
}

/// Which sessions `sessions.list` gives, newest activity first.
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "each field narrows the list to sessions that have it"
)]
pub struct SessionFilter {
    pub bot_id: Option<String>,
    pub status: Option<String>,
    pub pinned: Option<bool>,
    pub tag: Option<String>,
    /// The trash in place of what is kept.
    pub deleted: bool,
}

/// What generating a message took; each figure where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(
    missing_docs,
    reason = "token counts, US dollars and milliseconds, as named"
)]
pub struct Usage {
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    pub cached_tokens: Option<i64>,
    pub cost_usd: Option<f64>,
    pub duration_ms: Option<i64>,
}

/// A message as read, borrowed from the row that it stands in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MessageRef<'a> {
    /// Unique in its session.
    pub id: &'a str,
    /// The session that it belongs to.
    pub session_id: &'a str,
    /// The bot that it belongs to, if any.
    pub bot_id: Option<&'a str>,
    /// The message that it answers or follows; none at a root.
    pub parent_id: Option<&'a str>,
    /// Its place in the session; parents always come before children.
    pub seq: i64,
    /// Whether it is on the session's active path.
    pub active: bool,
    /// `user`, `assistant`, `system`, `tool` or what the caller says.
    pub role: &'a str,
    /// Its text, for people and for search.
    pub text: &'a str,
    /// Its parts as JSON; none where it is just its text.
    pub parts: Option<&'a str>,
    /// `pending`, `streaming`, `complete`, `incomplete` or `error`.
    pub status: &'a str,
    /// Why generation ended.
    pub finish_reason: Option<&'a str>,
    /// JSON.
    pub error: Option<&'a str>,
    /// The model that wrote it.
    pub model: Option<&'a str>,
    /// What it took.
    pub usage: Usage,
    /// JSON.
    pub metadata: Option<&'a str>,
    /// Epoch milliseconds.
    pub created_at_ms: i64,
    /// Epoch milliseconds.
    pub updated_at_ms: i64,
    /// Epoch milliseconds; set while in the trash.
    pub deleted_at_ms: Option<i64>,
    /// Whether the caller has just given its contents, so that a reply need not repeat them.
    pub is_echo: bool,
}

/// A message of its own, as [`MessageRef`] but owned.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of MessageRef")]
pub struct Message {
    pub id: String,
    pub session_id: String,
    pub bot_id: Option<String>,
    pub parent_id: Option<String>,
    pub seq: i64,
    pub active: bool,
    pub role: String,
    pub text: String,
    pub parts: Option<String>,
    pub status: String,
    pub finish_reason: Option<String>,
    pub error: Option<String>,
    pub model: Option<String>,
    pub usage: Usage,
    pub metadata: Option<String>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub deleted_at_ms: Option<i64>,
}

impl From<&MessageRef<'_>> for Message {
    fn from(row: &MessageRef<'_>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: row.id.to_owned(),
            session_id: row.session_id.to_owned(),
            bot_id: owned(row.bot_id),
            parent_id: owned(row.parent_id),
            seq: row.seq,
            active: row.active,
            role: row.role.to_owned(),
            text: row.text.to_owned(),
            parts: owned(row.parts),
            status: row.status.to_owned(),
            finish_reason: owned(row.finish_reason),
            error: owned(row.error),
            model: owned(row.model),
            usage: row.usage,
            metadata: owned(row.metadata),
            created_at_ms: row.created_at_ms,
            updated_at_ms: row.updated_at_ms,
            deleted_at_ms: row.deleted_at_ms,
        }
    }
}

impl Message {
    /// The same, borrowed.
    pub fn borrow(&self) -> MessageRef<'_> {
        MessageRef {
            id: &self.id,
            session_id: &self.session_id,
            bot_id: self.bot_id.as_deref(),
            parent_id: self.parent_id.as_deref(),
            seq: self.seq,
            active: self.active,
            role: &self.role,
            text: &self.text,
            parts: self.parts.as_deref(),
            status: &self.status,
            finish_reason: self.finish_reason.as_deref(),
            error: self.error.as_deref(),
            model: self.model.as_deref(),
            usage: self.usage,
            metadata: self.metadata.as_deref(),
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            deleted_at_ms: self.deleted_at_ms,
            is_echo: false,
        }
    }
}

/// What `messages.add` and `messages.put` take, borrowed from the caller.
#[derive(Debug, Clone, Default)]
pub struct NewMessage<'a> {
    /// The session that it goes to.
    pub session_id: &'a str,
    /// Without one, a UUIDv7 is made.
    pub id: Option<&'a str>,
    /// Not empty.
    pub role: &'a str,
    /// Absent: the session's bot.
    pub bot_id: Field<&'a str>,
    /// Absent: the session's head when it is written. Null: a new root.
    pub parent_id: Field<&'a str>,
    /// The text of a message that is just a text.
    pub text: Option<&'a str>,
    /// JSON array of parts, where it is more than a text.
    pub parts: Option<&'a str>,
    /// Absent: `complete`.
    pub status: Option<&'a str>,
    /// Why generation ended.
    pub finish_reason: Option<&'a str>,
    /// JSON.
    pub error: Option<&'a str>,
    /// The model that wrote it.
    pub model: Option<&'a str>,
    /// JSON.
    pub metadata: Option<&'a str>,
    /// What it took.
    pub usage: Usage,
    /// Epoch milliseconds; now, where none is given.
    pub created_at_ms: Option<i64>,
}

/// What `messages.update` changes in place.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of MessageRef")]
pub struct MessagePatch {
    pub status: Option<String>,
    pub finish_reason: Field<String>,
    pub error: Field<String>,
    pub model: Field<String>,
    pub metadata: Field<String>,
    pub usage: Field<Usage>,
    pub text: Option<String>,
    pub parts: Option<String>,
}

/// Which messages `messages.list` gives.
#[derive(Debug, Clone)]
pub enum MessageList {
    /// Those of a session, in the order of `seq`; without a cursor the newest page.
    Session {
        /// The session's id.
        session_id: String,
        /// Opens the list around this message.
        around: Option<String>,
        /// Opens it at the first message in place of the newest page.
        from_start: bool,
        /// Every branch in place of the active path.
        all_branches: bool,
    },
    /// Those of a bot, by time.
    Bot {
        /// The bot's id.
        bot_id: String,
        /// Newest first.
        descending: bool,
    },
}

/// Which messages `messages.deleteWhere` deletes: those that match everything given.
#[derive(Debug, Clone, Default)]
pub struct DeleteFilter {
    /// Of this session.
    pub session_id: Option<String>,
    /// Of this bot.
    pub bot_id: Option<String>,
    /// Made before this time, epoch milliseconds.
    pub before_ms: Option<i64>,
}

/// How many rows a deletion took, or put in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "rows of each table")]
pub struct Count {
    pub bots: u64,
    pub sessions: u64,
    pub messages: u64,
}

/// What `search` looks for and where.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Words and "quoted phrases"; all must occur.
    pub query: String,
    /// Only messages of this bot.
    pub bot_id: Option<String>,
    /// Only messages of this session.
    pub session_id: Option<String>,
    /// The last word may go on.
    pub prefix: bool,
}

/// A message that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchHit {
    /// The message's session.
    pub session_id: String,
    /// The message.
    pub id: String,
    /// The message's bot.
    pub bot_id: Option<String>,
    /// The message's role.
    pub role: String,
    /// The session's title.
    pub session_title: Option<String>,
    /// The message's place in its session.
    pub seq: i64,
    /// Epoch milliseconds.
    pub created_at_ms: i64,
    /// Smaller is better (BM25).
    pub rank: f64,
    /// A piece of the text; hits stand between U+0002 and U+0003.
    pub snippet: String,
}

/// A message as a node of its session's tree, without its body.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of MessageRef")]
pub struct TreeNode {
    pub id: String,
    pub parent_id: Option<String>,
    pub role: String,
    pub status: String,
    pub seq: i64,
    pub active: bool,
    pub created_at_ms: i64,
    pub deleted_at_ms: Option<i64>,
    pub preview: String,
}
