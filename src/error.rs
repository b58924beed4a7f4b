//! The one error type of the crate and the table of its codes.
//!
//! A code is a stable string that callers may match on; the message is for people. The same
//! table stands in `js/client/errors.ts`, and a test compares the two.

use std::fmt;

use rusqlite::ffi;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why a call failed, in a form that programs can rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code there is, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// The stable string of this code, such as `CONSTRAINT_UNIQUE`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// An argument has the wrong type, shape or value.
    InvalidArgument => "INVALID_ARGUMENT",
    /// A cursor was not made by this store for this very list.
    InvalidCursor => "INVALID_CURSOR",
    /// A value is over its stated limit.
    TooLarge => "TOO_LARGE",
    /// The bot, session or message that the call is about does not exist.
    NotFound => "NOT_FOUND",
    /// Another row has this id or name already.
    ConstraintUnique => "CONSTRAINT_UNIQUE",
    /// The row names a bot, session or message that does not exist.
    ConstraintForeignKey => "CONSTRAINT_FOREIGN_KEY",
    /// A value is outside of what the schema allows.
    ConstraintCheck => "CONSTRAINT_CHECK",
    /// A value is missing where the schema wants one.
    ConstraintNotNull => "CONSTRAINT_NOT_NULL",
    /// The text given to `query` is not valid SQL.
    InvalidSql => "INVALID_SQL",
    /// The SQL given to `query` would do more than read.
    QueryNotAllowed => "QUERY_NOT_ALLOWED",
    /// Messages wait for the search index; used between host and core, never shown to callers.
    IndexPending => "INDEX_PENDING",
    /// Another process, or another handle, has the file open.
    StoreLocked => "STORE_LOCKED",
    /// The store was closed.
    StoreClosed => "STORE_CLOSED",
    /// The file is not a chatstore file. It was left as it is.
    NotAStore => "NOT_A_STORE",
    /// The file was written by a newer chatstore. It was left as it is.
    SchemaTooNew => "SCHEMA_TOO_NEW",
    /// The file is damaged.
    Corrupt => "CORRUPT",
    /// There is no room left; reading and deleting go on.
    DiskFull => "DISK_FULL",
    /// A result or a request did not fit into memory.
    OutOfMemory => "OUT_OF_MEMORY",
    /// Reading, writing or flushing the file failed.
    IoError => "IO_ERROR",
    /// Another connection of this store holds the lock that the call needs.
    Busy => "BUSY",
    /// The file or its directory cannot be written.
    ReadOnly => "READ_ONLY",
    /// The call did not settle within its `timeoutMs`.
    Timeout => "TIMEOUT",
    /// The caller's AbortSignal ended the call.
    Aborted => "ABORTED",
    /// The transaction was rolled back before it could commit.
    TransactionLost => "TRANSACTION_LOST",
    /// A transaction was used before it began or after it ended.
    TransactionState => "TRANSACTION_STATE",
    /// This host cannot do what was asked.
    Unsupported => "UNSUPPORTED",
    /// A fault in chatstore itself.
    Internal => "INTERNAL",
    /// An operation id was used before, with other arguments.
    OperationMismatch => "OPERATION_MISMATCH",
    /// A write was sent again, and whether it took effect the first time is not known any more.
    OutcomeUnknown => "OUTCOME_UNKNOWN",
    /// A snapshot was held for too long, or kept too much of the log.
    SnapshotExpired => "SNAPSHOT_EXPIRED",
    /// As many snapshots as the pool has connections are open, and none was given back in time.
    PoolExhausted => "POOL_EXHAUSTED",
    /// The file belongs to a process of another host or container.
    LockedElsewhere => "LOCKED_ELSEWHERE",
    /// The process that owns the file gives no sign of life.
    OwnerUnresponsive => "OWNER_UNRESPONSIVE",
    /// Two versions of chatstore that do not understand one another.
    VersionMismatch => "VERSION_MISMATCH",
    /// Another program uses the file while it is open here.
    ForeignAccess => "FOREIGN_ACCESS",
    /// A page of the file is not as it was written.
    ChecksumMismatch => "CHECKSUM_MISMATCH",
    /// A streaming reply was ended, or cannot take more.
    StreamEnded => "STREAM_ENDED",
    /// The tab that leads the store does not answer.
    LeaderUnresponsive => "LEADER_UNRESPONSIVE",
}

/// What became of a write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing of it is stored.
    NotApplied,
    /// It may be stored.
    Unknown,
}

impl Outcome {
    /// The word used in JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotApplied => "not-applied",
            Self::Unknown => "unknown",
        }
    }
}

/// An error: a stable code, a message for people, and what more is known.
///
/// ```
/// use chatstore::{Code, Error};
/// let error = Error::new(Code::NotFound, "no session has the id \"s1\"").with("id", "s1");
/// assert_eq!(error.code().as_str(), "NOT_FOUND");
/// assert_eq!(error.detail("id"), Some("s1"));
/// ```
#[derive(Debug, Clone)]
pub struct Error {
    code: Code,
    message: String,
    details: Vec<(&'static str, Detail)>,
    outcome: Option<Outcome>,
}

/// What is known besides code and message: a text or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Detail {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Detail {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl Error {
    /// An error with a code and a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            outcome: None,
        }
    }

    /// An argument error that says which argument, what was expected and what came.
    pub fn argument(argument: &str, expected: &str, received: &str) -> Self {
        Self::new(
            Code::InvalidArgument,
            format!("{argument}: expected {expected}, received {received}"),
        )
        .with("argument", argument)
        .with("expected", expected)
        .with("received", received)
    }

    /// The thing that a call is about does not exist.
    pub fn not_found(what: &'static str, id: &str) -> Self {
        Self::new(Code::NotFound, format!("no {what} has the id {id:?}")).with("id", id)
    }

    /// A written row names something that does not exist.
    pub fn dangling(
        table: &'static str,
        column: &'static str,
        what: &'static str,
        id: &str,
    ) -> Self {
        Self::new(
            Code::ConstraintForeignKey,
            format!("FOREIGN KEY constraint failed: {table}.{column} names the {what} {id:?}, which does not exist"),
        )
        .with("constraint", format!("{table}_{column}_fkey"))
        .with("table", table)
        .with("column", column)
        .with("id", id)
    }

    /// Adds one named detail.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Detail>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// Tells the same in other words.
    #[must_use]
    pub(crate) fn saying(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    /// Says what became of the write that failed.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// What became of the write that failed; none where every call of this kind changed nothing.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Everything else that is known, by name.
    pub fn details(&self) -> &[(&'static str, Detail)] {
        &self.details
    }

    /// One detail by its name, where it is a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.details.iter().find_map(|(key, value)| match value {
            Detail::Number(number) if *key == name => Some(*number),
            _ => None,
        })
    }

    /// One detail by its name, where it is a text.
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.details.iter().find_map(|(key, value)| match value {
            Detail::Text(text) if *key == name => Some(text.as_str()),
            _ => None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                from_sqlite(failure.extended_code, message)
            }
            rusqlite::Error::SqlInputError {
                error,
                msg,
                sql,
                offset,
            } => from_sqlite(error.extended_code, Some(msg))
                .with("sql", sql)
                .with("offset", offset),
            rusqlite::Error::MultipleStatement => Error::new(
                Code::InvalidSql,
                "one statement was expected, more than one came",
            ),
            other => Error::new(Code::Internal, other.to_string()),
        }
    }
}

fn from_sqlite(extended_code: i32, message: Option<String>) -> Error {
    let message = message.unwrap_or_else(|| format!("SQLite error {extended_code}"));
    let code = match extended_code & 0xff {
        // The VFS says so of a page whose checksum does not fit.
        _ if extended_code == ffi::SQLITE_IOERR_DATA => Code::ChecksumMismatch,
        _ if extended_code == ffi::SQLITE_IOERR_NOMEM => Code::OutOfMemory,
        ffi::SQLITE_CONSTRAINT => return from_constraint(extended_code, message),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Code::Busy,
        ffi::SQLITE_NOMEM => Code::OutOfMemory,
        ffi::SQLITE_READONLY | ffi::SQLITE_PERM => Code::ReadOnly,
        ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN => Code::IoError,
        ffi::SQLITE_CORRUPT => Code::Corrupt,
        ffi::SQLITE_NOTADB => Code::NotAStore,
        ffi::SQLITE_FULL => Code::DiskFull,
        ffi::SQLITE_TOOBIG => Code::TooLarge,
        ffi::SQLITE_INTERRUPT => Code::Timeout,
        ffi::SQLITE_AUTH => Code::QueryNotAllowed,
        ffi::SQLITE_ERROR | ffi::SQLITE_RANGE | ffi::SQLITE_MISMATCH => Code::InvalidSql,
        _ => Code::Internal,
    };
    Error::new(code, message).with("sqliteCode", extended_code)
}

/// SQLite words these as `UNIQUE constraint failed: bots.name` or, for a named check,
/// `CHECK constraint failed: messages_role_not_empty`; the schema names its checks
/// `<table>_<column>_<rule>`, so that table and column can be told from either.
fn from_constraint(extended_code: i32, message: String) -> Error {
    let subject = message
        .split_once(": ")
        .map(|(_, subject)| subject.to_owned())
        .unwrap_or_default();
    let (code, rule) = match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => (Code::ConstraintUnique, "key"),
        ffi::SQLITE_CONSTRAINT_NOTNULL => (Code::ConstraintNotNull, "not_null"),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => (Code::ConstraintForeignKey, "fkey"),
        _ => (Code::ConstraintCheck, "check"),
    };
    let mut error = Error::new(code, message).with("sqliteCode", extended_code);
    let Some(first) = subject.split(", ").next().filter(|first| !first.is_empty()) else {
        return error.with("constraint", rule);
    };
    if let Some((table, _)) = first.split_once('.') {
        let columns: Vec<&str> = subject
            .split(", ")
            .filter_map(|part| part.split_once('.').map(|(_, column)| column))
            .collect();
        let columns = columns.join(", ");
        error = error
            .with(
                "constraint",
                format!("{table}_{}_{rule}", columns.replace(", ", "_")),
            )
            .with("table", table);
        return error.with("column", columns);
    }
    error = error.with("constraint", first);
    match crate::store::schema::check_target(first) {
        Some((table, column)) => error.with("table", table).with("column", column),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;
    use crate::vfs::{MemoryStorage, Vfs};

    #[test]
    fn every_kind_of_constraint_names_itself_its_table_and_its_column() {
        let vfs = Vfs::register(MemoryStorage::new()).unwrap();
        let connection = vfs.connect("x", rusqlite::OpenFlags::default()).unwrap();
        schema::configure(&connection, 1000, "FULL").unwrap();
        schema::prepare(&connection, "x").unwrap();
        connection
            .execute_batch("INSERT INTO sessions (key, id) VALUES (1, 's'); INSERT INTO bots (id, name) VALUES ('b', 'n')")
            .unwrap();
        let message = |columns: &str, values: &str| {
            format!(
                "INSERT INTO messages (key, session, id, role {columns}) VALUES (4294967297, 1, {values})"
            )
        };
        for (sql, code, constraint, table, column) in [
            (
                "INSERT INTO bots (id, name) VALUES ('b', 'm')".to_owned(),
                Code::ConstraintUnique,
                "bots_id_key",
                Some("bots"),
                Some("id"),
            ),
            (
                message("", "'m', ''"),
                Code::ConstraintCheck,
                "messages_role_not_empty",
                Some("messages"),
                Some("role"),
            ),
            (
                message("", "'m', NULL"),
                Code::ConstraintNotNull,
                "messages_role_not_null",
                Some("messages"),
                Some("role"),
            ),
            (
                message(", created_at", "'m', 'user', NULL"),
                Code::ConstraintNotNull,
                "messages_created_at_not_null",
                Some("messages"),
                Some("created_at"),
            ),
            // SQLite does not say which one; the store looks before it writes and says so itself.
            (
                message(", bot", "'m', 'user', 77"),
                Code::ConstraintForeignKey,
                "fkey",
                None,
                None,
            ),
        ] {
            let error = Error::from(connection.execute(&sql, []).unwrap_err());
            assert_eq!(error.code(), code, "{sql}: {error}");
            assert_eq!(
                error.detail("constraint"),
                Some(constraint),
                "{sql}: {error}"
            );
            assert_eq!(
                (error.detail("table"), error.detail("column")),
                (table, column),
                "{sql}: {error}"
            );
            connection.execute(&message("", "'m', 'user'"), []).unwrap();
            connection.execute("DELETE FROM messages", []).unwrap();
        }
    }

    #[test]
    fn no_code_stands_twice_in_the_table() {
        let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }
}
