//! The tree of a session and its active path: siblings, switching, editing.

use rusqlite::{Connection, params};

use super::read::Rows;
use super::{expect_key, key_range, locate, seq_of, session_of, summary, write};
use crate::error::{Error, Result};
use crate::model::{Field, Message, MessageRef, NewMessage, Session, TreeNode};
use crate::store::{Writer, execute, first, sessions, streams, value};

/// Makes the path from a root to `head` the active one, given that the flags were true for the old
/// path and no parent has changed since. Costs as much as the two paths differ.
pub(super) fn activate(connection: &Connection, head: i64) -> Result<()> {
    let mut joining = Vec::new();
    let mut at = Some(head);
    let mut fork = key_range(session_of(head)).0 - 1;
    while let Some(key) = at {
        let (parent, active) = first(
            connection,
            "SELECT parent, active FROM messages WHERE key = ?1",
            [key],
            |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, bool>(1)?)),
        )?
        .unwrap_or((None, false));
        if active {
            fork = key;
            break;
        }
        joining.push(key);
        at = parent;
    }
    let (_, end) = key_range(session_of(head));
    execute(
        connection,
        "UPDATE messages SET active = 0 WHERE key > ?1 AND key <= ?2 AND active = 1",
        [fork, end],
    )?;
    for key in joining {
        execute(
            connection,
            "UPDATE messages SET active = 1 WHERE key = ?1",
            [key],
        )?;
    }
    Ok(())
}

/// Sets every flag of a session from its tree alone. Costs as much as the session is long.
pub(super) fn rebuild(connection: &Connection, head: i64) -> Result<()> {
    let (from, to) = key_range(session_of(head));
    execute(
        connection,
        "WITH RECURSIVE path (key) AS (
           SELECT ?1 UNION ALL SELECT m.parent FROM messages m JOIN path ON m.key = path.key WHERE m.parent IS NOT NULL
         )
         UPDATE messages SET active = key IN (SELECT key FROM path)
         WHERE key BETWEEN ?2 AND ?3 AND active <> (key IN (SELECT key FROM path))",
        [head, from, to],
    )?;
    Ok(())
}

/// Makes a message the end of the active path.
///
/// # Errors
/// `NOT_FOUND`.
pub fn set_head(writer: Writer<'_>, session_id: &str, id: &str) -> Result<Session> {
    let head = locate(writer.connection, session_id, id)?;
    move_head(writer, session_id, head)
}

/// Makes the branch that a message stands on the active one. It ends at the newest message below.
///
/// # Errors
/// `NOT_FOUND`.
pub fn switch_to(writer: Writer<'_>, session_id: &str, id: &str) -> Result<Session> {
    let mut head = locate(writer.connection, session_id, id)?;
    while let Some(child) = newest_child(writer.connection, head)? {
        head = child;
    }
    move_head(writer, session_id, head)
}

fn newest_child(connection: &Connection, parent: i64) -> Result<Option<i64>> {
    Ok(value::<Option<i64>>(
        connection,
        "SELECT max(key) FROM (
           SELECT key FROM messages WHERE key = ?1 + 1 AND parent = ?1
           UNION ALL SELECT key FROM messages WHERE parent = ?1 AND parent <> key - 1)",
        [parent],
    )?
    .flatten())
}

fn move_head(writer: Writer<'_>, session_id: &str, head: i64) -> Result<Session> {
    let session = session_of(head);
    activate(writer.connection, head)?;
    execute(
        writer.connection,
        "UPDATE sessions SET head = ?2 WHERE key = ?1",
        [session, head],
    )?;
    summary::refresh(writer, session, 0)?;
    sessions::get(writer.connection, session_id)?
        .ok_or_else(|| Error::not_found("session", session_id))
}

/// Adds a sibling of a message with another content, of the same role, bot and parent; it becomes
/// the head.
///
/// # Errors
/// `NOT_FOUND`, and as [`add`](super::add).
pub fn edit(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    content: &NewMessage<'_>,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let key = locate(writer.connection, session_id, id)?;
    let mut original = None;
    Rows::new(writer.connection).by_key(key, &mut |row| original = Some(Message::from(row)))?;
    let original = original.ok_or_else(|| Error::not_found("message", id))?;
    let given = |text: &'_ Option<String>| {
        text.as_deref()
            .map_or(Field::Null, |text| Field::Value(text.to_owned()))
    };
    let (bot_id, parent_id) = (given(&original.bot_id), given(&original.parent_id));
    let sibling = NewMessage {
        session_id,
        role: &original.role,
        bot_id: bot_id.as_deref(),
        parent_id: parent_id.as_deref(),
        text: content.text,
        parts: content.parts,
        ..NewMessage::default()
    };
    write::add(writer, &[sibling], visit)
}

/// The messages that have the same parent as this one, itself included, oldest first; without the
/// trash.
///
/// # Errors
/// `NOT_FOUND`.
pub fn branches(
    connection: &Connection,
    session_id: &str,
    id: &str,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let session = sessions::expect_key(connection, session_id)?;
    let key = expect_key(connection, session, session_id, id)?;
    let parent: Option<i64> = value(
        connection,
        "SELECT parent FROM messages WHERE key = ?1",
        [key],
    )?
    .flatten();
    let siblings: Vec<i64> = match parent {
        Some(parent) => collect(
            connection,
            "SELECT key FROM messages WHERE key = ?1 + 1 AND parent = ?1 AND deleted_at IS NULL
             UNION ALL SELECT key FROM messages WHERE parent = ?1 AND parent <> key - 1 AND deleted_at IS NULL
             ORDER BY key",
            &[parent],
        )?,
        None => {
            let (from, to) = key_range(session);
            collect(
                connection,
                "SELECT key FROM messages WHERE key BETWEEN ?1 AND ?2 AND parent IS NULL AND deleted_at IS NULL ORDER BY key",
                &[from, to],
            )?
        }
    };
    let mut rows = Rows::new(connection);
    for sibling in siblings {
        rows.by_key(sibling, visit)?;
    }
    Ok(())
}

fn collect(connection: &Connection, sql: &str, params: &[i64]) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(sql)?;
    let keys = statement.query_map(rusqlite::params_from_iter(params), |row| row.get(0))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}

/// Every message of a session in the order of `seq`, the trash included, without its body.
///
/// # Errors
/// `NOT_FOUND`.
pub fn tree(connection: &Connection, session_id: &str) -> Result<Vec<TreeNode>> {
    let (from, to) = key_range(sessions::expect_key(connection, session_id)?);
    let mut statement = connection.prepare_cached(
        "SELECT m.key, m.id, p.id, m.role, m.status, m.active, m.created_at, m.deleted_at, substr(m.text, 1, 1000)
         FROM messages m LEFT JOIN messages p ON p.key = m.parent
         WHERE m.key BETWEEN ?1 AND ?2 ORDER BY m.key",
    )?;
    let nodes = statement.query_map(params![from, to], |row| {
        let node = TreeNode {
            id: row.get(1)?,
            parent_id: row.get(2)?,
            role: row.get(3)?,
            status: row.get(4)?,
            seq: seq_of(row.get(0)?),
            active: row.get(5)?,
            created_at_ms: row.get(6)?,
            deleted_at_ms: row.get(7)?,
            preview: summary::preview(&row.get::<_, String>(8)?),
        };
        Ok((row.get(0)?, node))
    })?;
    nodes
        .map(|node| {
            let (key, mut node) = node?;
            if node.status == "streaming"
                && let Some(body) = streams::so_far(connection, key)?
            {
                node.preview = summary::preview(&body.text);
            }
            Ok(node)
        })
        .collect()
}
