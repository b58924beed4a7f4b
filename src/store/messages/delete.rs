//! Trash, restore and deletion of messages.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::read::Rows;
use super::{key_range, locate, path, session_of, summary};
use crate::error::{Error, Result};
use crate::model::{Count, DeleteFilter, MessageRef};
use crate::store::{Writer, bots, execute, sessions, value};

/// Puts a message in the trash, or deletes it for good and leaves its children to its parent.
/// Counts what was changed.
///
/// # Errors
/// `NOT_FOUND`.
pub fn delete(writer: Writer<'_>, session_id: &str, id: &str, permanent: bool) -> Result<Count> {
    let key = locate(writer.connection, session_id, id)?;
    delete_matching(writer, "key = ?1", vec![Value::Integer(key)], permanent)
}

/// As [`delete`], for every message that matches the whole filter.
///
/// # Errors
/// `INVALID_ARGUMENT` where the filter is empty. An unknown session or bot has no messages.
pub fn delete_where(writer: Writer<'_>, filter: &DeleteFilter, permanent: bool) -> Result<Count> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    if let Some(id) = &filter.session_id {
        let (from, to) = key_range(sessions::key(writer.connection, id)?.unwrap_or(0));
        conditions.push(format!(
            "key BETWEEN ?{} AND ?{}",
            values.len() + 1,
            values.len() + 2
        ));
        values.extend([Value::Integer(from), Value::Integer(to)]);
    }
    if let Some(id) = &filter.bot_id {
        conditions.push(format!("bot = ?{}", values.len() + 1));
        values.push(Value::Integer(
            bots::key(writer.connection, id)?.unwrap_or(0),
        ));
    }
    if let Some(before_ms) = filter.before_ms {
        conditions.push(format!("created_at < ?{}", values.len() + 1));
        values.push(Value::Integer(before_ms));
    }
    if conditions.is_empty() {
        return Err(Error::argument(
            "where",
            "at least one of sessionId, botId, before",
            "none",
        ));
    }
    delete_matching(writer, &conditions.join(" AND "), values, permanent)
}

/// Deletes for good up to `limit` messages that went to the trash before a time. Gives their number.
///
/// # Errors
/// What writing can fail with.
pub fn purge(writer: Writer<'_>, deleted_before_ms: i64, limit: i64) -> Result<u64> {
    Ok(delete_matching(
        writer,
        "key IN (SELECT key FROM messages WHERE deleted_at < ?1 ORDER BY deleted_at, key LIMIT ?2)",
        vec![Value::Integer(deleted_before_ms), Value::Integer(limit)],
        true,
    )?
    .messages)
}

fn delete_matching(
    writer: Writer<'_>,
    condition: &str,
    values: Vec<Value>,
    permanent: bool,
) -> Result<Count> {
    let connection = writer.connection;
    let kept = if permanent { "1" } else { "deleted_at IS NULL" };
    // Per session: how many go, and how many of them the session's counter knows.
    let sessions: Vec<(i64, i64)> = {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT session, sum(deleted_at IS NULL) FROM messages WHERE {condition} AND {kept} GROUP BY session"
        ))?;
        let rows = statement.query_map(params_from_iter(&values), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let sql = if permanent {
        format!("DELETE FROM messages WHERE {condition}")
    } else {
        format!(
            "UPDATE messages SET deleted_at = {now}, updated_at = {now} WHERE {condition} AND {kept}",
            now = writer.now_ms
        )
    };
    // Not cached: the time stands in it.
    let messages = connection.execute(&sql, params_from_iter(&values))? as u64;
    for (session, visible) in sessions {
        if permanent {
            mend_head(connection, session)?;
        }
        summary::refresh(writer, session, -visible)?;
    }
    Ok(Count {
        messages,
        ..Count::default()
    })
}

/// After deletions for good: the head is the last message that is left of the active path, or,
/// where none is left, the newest message of all.
fn mend_head(connection: &Connection, session: i64) -> Result<()> {
    let (from, to) = key_range(session);
    let last = |condition: &str| -> Result<Option<i64>> {
        let sql = format!(
            "SELECT key FROM messages WHERE key BETWEEN ?1 AND ?2 AND {condition} ORDER BY key DESC LIMIT 1"
        );
        value(connection, &sql, [from, to])
    };
    let mut head = last("active = 1")?;
    if head.is_none() {
        head = last("1")?;
        if let Some(newest) = head {
            path::activate(connection, newest)?;
        }
    }
    execute(
        connection,
        "UPDATE sessions SET head = ?2 WHERE key = ?1",
        (session, head),
    )?;
    Ok(())
}

/// Takes a message out of the trash.
///
/// # Errors
/// `NOT_FOUND`.
pub fn restore(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let connection = writer.connection;
    let key = locate(connection, session_id, id)?;
    let restored = execute(
        connection,
        "UPDATE messages SET deleted_at = NULL, updated_at = ?2 WHERE key = ?1 AND deleted_at IS NOT NULL",
        [key, writer.now_ms],
    )?;
    if restored > 0 {
        summary::refresh(writer, session_of(key), 1)?;
    }
    Rows::new(connection).by_key(key, visit)?;
    Ok(())
}
