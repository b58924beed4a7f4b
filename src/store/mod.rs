//! The SQL of the store: bots, sessions, messages, streaming replies, search and read-only queries.
//!
//! Functions over one SQLite connection. Who calls them decides on connections, transactions and
//! time: nothing here begins or ends a transaction, opens a file or knows of JavaScript. A function
//! that fails may have changed rows already; its caller rolls back.

pub mod bots;
pub(crate) mod cursor;
pub mod messages;
pub mod operations;
pub mod query;
pub mod schema;
pub mod search;
pub mod sessions;
pub mod streams;
pub mod touched;

use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::error::{Code, Error, Result};
use crate::ids::IdMaker;
use crate::model::{PageOptions, limits};

/// What a change needs besides its arguments: the connection, the time, and new ids.
#[derive(Clone, Copy)]
pub struct Writer<'c> {
    /// The connection, with a transaction open on it.
    pub connection: &'c Connection,
    /// The time of the change, epoch milliseconds.
    pub now_ms: i64,
    /// Makes ids where callers give none.
    pub ids: &'c IdMaker,
}

impl Writer<'_> {
    fn new_id(&self) -> String {
        self.ids.make(self.now_ms, fill_random)
    }
}

/// Random bytes from SQLite's generator, which the VFS seeds.
fn fill_random(bytes: &mut [u8]) {
    let length = i32::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: the pointer and the length describe this very slice.
    unsafe { rusqlite::ffi::sqlite3_randomness(length, bytes.as_mut_ptr().cast()) }
}

/// The one value of the first row, if there is a row.
pub(crate) fn value<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Option<T>> {
    Ok(connection
        .prepare_cached(sql)?
        .query_row(params, |row| row.get(0))
        .optional()?)
}

/// The first row, if there is one.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    Ok(connection
        .prepare_cached(sql)?
        .query_row(params, read)
        .optional()?)
}

/// The number that a `SELECT count(*)` gives.
pub(crate) fn count(connection: &Connection, sql: &str, params: impl Params) -> Result<u64> {
    Ok(value::<i64>(connection, sql, params)?
        .and_then(|rows| u64::try_from(rows).ok())
        .unwrap_or(0))
}

/// Runs a statement and counts the rows that it changed itself, without triggers and cascades.
pub(crate) fn execute(connection: &Connection, sql: &str, params: impl Params) -> Result<u64> {
    Ok(connection.prepare_cached(sql)?.execute(params)? as u64)
}

/// The rows of a page, as asked for.
fn page_rows(page: &PageOptions) -> Result<u32> {
    match page.limit {
        None => Ok(limits::PAGE_ROWS_DEFAULT),
        Some(rows) if (1..=limits::PAGE_ROWS).contains(&rows) => Ok(rows),
        Some(rows) => Err(Error::argument(
            "limit",
            &format!("a number from 1 to {}", limits::PAGE_ROWS),
            &rows.to_string(),
        )),
    }
}

/// Refuses a text that is over its limit.
fn check_bytes(argument: &str, text: &str, limit_bytes: usize) -> Result<()> {
    if text.len() <= limit_bytes {
        return Ok(());
    }
    let expected = format!("at most {limit_bytes} bytes of UTF-8");
    let received = format!("{} bytes", text.len());
    Err(Error::new(
        Code::TooLarge,
        format!("{argument}: expected {expected}, received {received}"),
    )
    .with("argument", argument)
    .with("expected", expected)
    .with("received", received))
}

/// Refuses to go on where what a call has gathered is more than a reply may hold.
pub(crate) fn check_reply(size_bytes: usize) -> Result<()> {
    if size_bytes <= limits::REPLY_BYTES {
        return Ok(());
    }
    Err(Error::new(
        Code::TooLarge,
        format!(
            "limit: what was asked for is more than {} bytes; ask for fewer rows at once",
            limits::REPLY_BYTES
        ),
    )
    .with("argument", "limit"))
}

/// Refuses more messages than one call may bring.
pub(crate) fn check_batch(messages: usize) -> Result<()> {
    if messages <= limits::BATCH_MESSAGES {
        return Ok(());
    }
    Err(Error::new(
        Code::TooLarge,
        format!(
            "messages: expected at most {} a call, received {messages}",
            limits::BATCH_MESSAGES
        ),
    )
    .with("argument", "messages"))
}

/// Refuses a text that is over its limit or empty.
fn check_named(argument: &str, text: &str, limit_bytes: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::argument(
            argument,
            "a text that is not empty",
            "an empty text",
        ));
    }
    check_bytes(argument, text, limit_bytes)
}

fn check_optional(argument: &str, text: Option<&str>, limit_bytes: usize) -> Result<()> {
    text.map_or(Ok(()), |text| check_bytes(argument, text, limit_bytes))
}

/// Refuses text that is not JSON, and JSON that is over its limit.
fn check_json(connection: &Connection, argument: &str, json: Option<&str>) -> Result<()> {
    let Some(json) = json else { return Ok(()) };
    check_bytes(argument, json, limits::JSON_BYTES)?;
    match value::<bool>(connection, "SELECT json_valid(?1)", [json])? {
        Some(true) => Ok(()),
        _ => Err(Error::argument(argument, "JSON", "text that is not JSON")),
    }
}
