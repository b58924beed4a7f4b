//! Messages: a tree per session, with one active path that ends at the session's head.
//!
//! A message's key is `session key << 32 | seq`, and a parent's key is always smaller than its
//! child's. So the active path in the order of keys is the path from its root to the head, and a page
//! of it is a range of keys with `active = 1`: no walk from the root. Whoever moves the head keeps
//! the flags true (`path`), whoever adds or takes messages keeps the session's counters (`summary`).

mod delete;
mod path;
pub(super) mod read;
pub(crate) mod summary;
pub(super) mod write;

use rusqlite::{Connection, params};

pub use delete::{delete, delete_where, purge, restore};
pub use path::{branches, edit, set_head, switch_to, tree};
pub use read::{get, list};
pub use write::{add, put, update};

use super::value;
use crate::error::{Error, Result};
use crate::model::MessageRef;

const SEQ_BITS: u32 = 32;
const SEQ_MASK: i64 = (1 << SEQ_BITS) - 1;

/// First and last key that a session's messages can have.
pub(crate) fn key_range(session: i64) -> (i64, i64) {
    (session << SEQ_BITS, (session << SEQ_BITS) | SEQ_MASK)
}

pub(super) fn session_of(key: i64) -> i64 {
    key >> SEQ_BITS
}

fn seq_of(key: i64) -> i64 {
    key & SEQ_MASK
}

/// Reads a run of neighbours by their keys. Gives the first key that has no message, if any.
pub(super) fn read_run(
    connection: &Connection,
    from_key: i64,
    count: i64,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<Option<i64>> {
    let mut rows = read::Rows::new(connection);
    for key in from_key..from_key + count {
        if !rows.by_key(key, visit)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The internal key of a message.
fn key(connection: &Connection, session: i64, id: &str) -> Result<Option<i64>> {
    value(
        connection,
        "SELECT key FROM messages WHERE session = ?1 AND id = ?2",
        params![session, id],
    )
}

pub(super) fn expect_key(
    connection: &Connection,
    session: i64,
    session_id: &str,
    id: &str,
) -> Result<i64> {
    key(connection, session, id)?
        .ok_or_else(|| Error::not_found("message", id).with("sessionId", session_id))
}

/// The key of a message by its session's id and its own.
pub(super) fn locate(connection: &Connection, session_id: &str, id: &str) -> Result<i64> {
    let session = super::sessions::expect_key(connection, session_id)?;
    expect_key(connection, session, session_id, id)
}
