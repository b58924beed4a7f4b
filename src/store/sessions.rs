//! Sessions: create, read, list by newest activity, update, fork, trash, restore, delete, purge.
//!
//! A session's row carries all that a list of sessions shows (count, preview, last activity), so
//! that listing never reads messages. Whoever changes messages keeps it so (`messages::summary`).

use rusqlite::{Connection, Row, ToSql, params, params_from_iter};

use super::cursor::{self, Position, Start};
use super::messages::{self, key_range, summary};
use super::{
    Writer, bots, check_json, check_named, check_optional, count, execute, first, page_rows,
    search, streams, value,
};
use crate::error::{Code, Error, Result};
use crate::model::{
    Count, NewSession, Page, PageOptions, Ref, Session, SessionFilter, SessionPatch, limits,
};

const SELECT: &str =
    "SELECT s.id, b.id, s.title, s.status, s.pinned, s.tags, h.id, s.forked_from_session_id,
    s.forked_from_message_id, s.message_count, s.last_message_at, s.preview, s.revision, s.metadata,
    s.created_at, s.updated_at, s.deleted_at, s.key, s.last_active_at
  FROM sessions s LEFT JOIN bots b ON b.key = s.bot LEFT JOIN messages h ON h.key = s.head";

fn read(row: &Row<'_>) -> rusqlite::Result<Session> {
    let forked: (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
    Ok(Session {
        id: row.get(0)?,
        bot_id: row.get(1)?,
        title: row.get(2)?,
        status: row.get(3)?,
        pinned: row.get(4)?,
        tags: row.get(5)?,
        head_id: row.get(6)?,
        forked_from: forked
            .0
            .zip(forked.1)
            .map(|(session_id, id)| Ref { session_id, id }),
        message_count: row.get(9)?,
        last_message_at_ms: row.get(10)?,
        preview: row.get(11)?,
        revision: row.get(12)?,
        metadata: row.get(13)?,
        created_at_ms: row.get(14)?,
        updated_at_ms: row.get(15)?,
        deleted_at_ms: row.get(16)?,
    })
}

/// The session with this id, in the trash or not.
///
/// # Errors
/// What reading can fail with.
pub fn get(connection: &Connection, id: &str) -> Result<Option<Session>> {
    first(connection, &format!("{SELECT} WHERE s.id = ?1"), [id], read)
}

fn expect(connection: &Connection, id: &str) -> Result<Session> {
    get(connection, id)?.ok_or_else(|| Error::not_found("session", id))
}

/// The internal key of a session.
pub(super) fn key(connection: &Connection, id: &str) -> Result<Option<i64>> {
    value(connection, "SELECT key FROM sessions WHERE id = ?1", [id])
}

pub(super) fn expect_key(connection: &Connection, id: &str) -> Result<i64> {
    key(connection, id)?.ok_or_else(|| Error::not_found("session", id))
}

/// Makes a session.
///
/// # Errors
/// `CONSTRAINT_UNIQUE` where the id is taken (unless the existing one is wanted),
/// `CONSTRAINT_FOREIGN_KEY` where there is no such bot.
pub fn create(writer: Writer<'_>, session: &NewSession) -> Result<Session> {
    let connection = writer.connection;
    if let Some(id) = &session.id {
        check_named("id", id, limits::ID_BYTES)?;
        if session.return_existing
            && let Some(existing) = get(connection, id)?
        {
            return Ok(existing);
        }
    }
    check_optional("title", session.title.as_deref(), limits::TITLE_BYTES)?;
    check_status(session.status.as_deref())?;
    check_json(connection, "metadata", session.metadata.as_deref())?;
    let bot = bot_key(connection, session.bot_id.as_deref())?;
    let id = session.id.clone().unwrap_or_else(|| writer.new_id());
    execute(
        connection,
        "INSERT INTO sessions (id, bot, title, status, pinned, tags, metadata, created_at, updated_at)
         VALUES (?1, ?2, ?3, coalesce(?4, 'active'), ?5, ?6, ?7, ?8, ?9)",
        params![
            id,
            bot,
            session.title,
            session.status,
            session.pinned,
            tags_json(connection, &session.tags)?,
            session.metadata,
            session.created_at_ms.unwrap_or(writer.now_ms),
            writer.now_ms
        ],
    )?;
    expect(connection, &id)
}

fn check_status(status: Option<&str>) -> Result<()> {
    match status {
        None | Some("active" | "archived") => Ok(()),
        Some(other) => Err(Error::argument(
            "status",
            "\"active\" or \"archived\"",
            &format!("{other:?}"),
        )),
    }
}

fn bot_key(connection: &Connection, id: Option<&str>) -> Result<Option<i64>> {
    let Some(id) = id else { return Ok(None) };
    let Some(bot) = bots::get(connection, id)? else {
        return Err(Error::dangling("sessions", "bot", "bot", id));
    };
    if bot.deleted_at_ms.is_some() {
        return Err(bot_in_trash(format!(
            "the bot {id:?} is in the trash; restore it before giving it sessions"
        )));
    }
    bots::key(connection, id)
}

fn bot_in_trash(message: String) -> Error {
    Error::new(Code::ConstraintCheck, message)
        .with("constraint", "sessions_bot_kept")
        .with("table", "sessions")
        .with("column", "bot")
}

fn tags_json(connection: &Connection, tags: &[String]) -> Result<String> {
    if tags.len() > limits::TAGS {
        return Err(Error::argument(
            "tags",
            &format!("at most {} tags", limits::TAGS),
            &tags.len().to_string(),
        ));
    }
    for (at, tag) in tags.iter().enumerate() {
        check_named(&format!("tags[{at}]"), tag, limits::TAG_BYTES)?;
    }
    let marks = vec!["?"; tags.len()].join(", ");
    Ok(connection.query_row(
        &format!("SELECT json_array({marks})"),
        params_from_iter(tags),
        |row| row.get(0),
    )?)
}

/// A page of sessions, newest activity first: the time of the last visible message, or of creation.
///
/// # Errors
/// `INVALID_CURSOR`, `INVALID_ARGUMENT`.
pub fn list(
    connection: &Connection,
    filter: &SessionFilter,
    page: &PageOptions,
) -> Result<Page<Session>> {
    let rows = page_rows(page)?;
    check_status(filter.status.as_deref())?;
    let list = cursor::fingerprint(&[
        "sessions",
        filter.bot_id.as_deref().unwrap_or("\0"),
        filter.status.as_deref().unwrap_or(""),
        match filter.pinned {
            None => "",
            Some(true) => "pinned",
            Some(false) => "loose",
        },
        filter.tag.as_deref().unwrap_or(""),
        if filter.deleted { "deleted" } else { "" },
    ]);
    let Start {
        direction,
        from,
        compare,
        order,
    } = cursor::start(list, page.cursor.as_deref(), true)?;
    let trash = if filter.deleted { "NOT NULL" } else { "NULL" };
    let mut sql = format!(
        "{SELECT} WHERE s.deleted_at IS {trash}
         AND (s.last_active_at, s.key) {compare} (?1, ?2)"
    );
    let mut values: Vec<&dyn ToSql> = vec![&from.sort, &from.key];
    let bot;
    if let Some(id) = &filter.bot_id {
        // An unknown bot has no sessions.
        bot = bots::key(connection, id)?.unwrap_or(0);
        values.push(&bot);
        sql += &format!(" AND s.bot = ?{}", values.len());
    }
    if let Some(status) = &filter.status {
        values.push(status);
        sql += &format!(" AND s.status = ?{}", values.len());
    }
    if let Some(pinned) = &filter.pinned {
        values.push(pinned);
        sql += &format!(" AND s.pinned = ?{}", values.len());
    }
    if let Some(tag) = &filter.tag {
        values.push(tag);
        sql += &format!(
            " AND EXISTS (SELECT 1 FROM json_each(s.tags) WHERE value = ?{})",
            values.len()
        );
    }
    let beyond = rows + 1;
    values.push(&beyond);
    sql += &format!(
        " ORDER BY s.last_active_at {order}, s.key {order} LIMIT ?{}",
        values.len()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_map(&values[..], |row| {
            Ok((
                read(row)?,
                Position {
                    sort: row.get(18)?,
                    key: row.get(17)?,
                },
            ))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(cursor::page(
        list,
        found,
        rows,
        direction,
        page.cursor.is_some(),
    ))
}

/// Changes what the patch names. A new head becomes the end of the active path.
///
/// # Errors
/// `NOT_FOUND`, `CONSTRAINT_FOREIGN_KEY` where there is no such bot.
pub fn update(writer: Writer<'_>, id: &str, patch: &SessionPatch) -> Result<Session> {
    let connection = writer.connection;
    let key = expect_key(connection, id)?;
    check_optional(
        "title",
        patch.title.value().map(String::as_str),
        limits::TITLE_BYTES,
    )?;
    check_status(patch.status.as_deref())?;
    check_json(
        connection,
        "metadata",
        patch.metadata.value().map(String::as_str),
    )?;
    let bot = bot_key(connection, patch.bot_id.value().map(String::as_str))?;
    let tags = patch
        .tags
        .as_deref()
        .map(|tags| tags_json(connection, tags))
        .transpose()?;
    execute(
        connection,
        "UPDATE sessions SET bot = iif(?2, ?3, bot), title = iif(?4, ?5, title), status = coalesce(?6, status),
           pinned = coalesce(?7, pinned), tags = coalesce(?8, tags), metadata = iif(?9, ?10, metadata),
           updated_at = ?11, revision = revision + 1
         WHERE key = ?1",
        params![
            key,
            patch.bot_id.is_given(),
            bot,
            patch.title.is_given(),
            patch.title.value(),
            patch.status,
            patch.pinned,
            tags,
            patch.metadata.is_given(),
            patch.metadata.value(),
            writer.now_ms
        ],
    )?;
    if let Some(head_id) = &patch.head_id {
        return messages::set_head(writer, id, head_id);
    }
    expect(connection, id)
}

/// Makes a new session from the active path up to a message, copying what is not in the trash. Of a
/// reply under way it takes what has come, as `incomplete`.
///
/// # Errors
/// `NOT_FOUND`.
pub fn fork(writer: Writer<'_>, session_id: &str, message_id: &str) -> Result<Session> {
    let connection = writer.connection;
    let source = expect_key(connection, session_id)?;
    let last = messages::expect_key(connection, source, session_id, message_id)?;
    streams::settle_session(writer, source)?;
    let id = writer.new_id();
    execute(
        connection,
        "INSERT INTO sessions (id, bot, title, tags, metadata, forked_from_session_id, forked_from_message_id,
                               created_at, updated_at)
         SELECT ?2, bot, title, tags, metadata, ?3, ?4, ?5, ?5 FROM sessions WHERE key = ?1",
        params![source, id, session_id, message_id, writer.now_ms],
    )?;
    let target = connection.last_insert_rowid();
    let (from, _) = key_range(target);
    search::expect_messages(connection, target, from + 1)?;
    // The path to the message, renumbered from 1 in the order of seq, so that each is the parent of the next.
    let copied = execute(
        connection,
        "WITH RECURSIVE path (key) AS (
           SELECT ?2 UNION ALL SELECT m.parent FROM messages m JOIN path ON m.key = path.key WHERE m.parent IS NOT NULL
         )
         INSERT INTO messages (key, session, id, bot, parent, active, role, status, created_at, updated_at,
           finish_reason, error, model, input_tokens, output_tokens, reasoning_tokens, cached_tokens, cost_usd,
           duration_ms, metadata, text, parts)
         SELECT (?1 << 32) + row_number() OVER by_key, ?1, id, bot,
           iif(row_number() OVER by_key = 1, NULL, (?1 << 32) + row_number() OVER by_key - 1),
           1, role, iif(status = 'streaming', 'incomplete', status), created_at, ?3, finish_reason, error, model, input_tokens, output_tokens,
           reasoning_tokens, cached_tokens, cost_usd, duration_ms, metadata, text, parts
         FROM messages WHERE key IN (SELECT key FROM path) AND deleted_at IS NULL
         WINDOW by_key AS (ORDER BY key)",
        [target, last, writer.now_ms],
    )?;
    let copied = copied as i64;
    execute(
        connection,
        "UPDATE sessions SET head = iif(?2 > 0, ?3 + ?2, NULL), next_seq = ?2 + 1 WHERE key = ?1",
        [target, copied, from],
    )?;
    summary::refresh(writer, target, copied)?;
    expect(connection, &id)
}

/// Puts a session in the trash, or deletes it for good with its messages. Counts what was changed.
///
/// # Errors
/// `NOT_FOUND`.
pub fn delete(writer: Writer<'_>, id: &str, permanent: bool) -> Result<Count> {
    let connection = writer.connection;
    let key = expect_key(connection, id)?;
    if permanent {
        let messages = delete_for_good(connection, key)?;
        return Ok(Count {
            sessions: 1,
            messages,
            bots: 0,
        });
    }
    let sessions = execute(
        connection,
        "UPDATE sessions SET deleted_at = ?2, updated_at = ?2, revision = revision + 1
         WHERE key = ?1 AND deleted_at IS NULL",
        [key, writer.now_ms],
    )?;
    Ok(Count {
        sessions,
        ..Count::default()
    })
}

fn delete_for_good(connection: &Connection, key: i64) -> Result<u64> {
    let (from, to) = key_range(key);
    let messages = count(
        connection,
        "SELECT count(*) FROM messages WHERE key BETWEEN ?1 AND ?2",
        [from, to],
    )?;
    execute(connection, "DELETE FROM sessions WHERE key = ?1", [key])?;
    Ok(messages)
}

/// Takes a session out of the trash.
///
/// # Errors
/// `NOT_FOUND`; `CONSTRAINT_CHECK` while its bot is still in the trash.
pub fn restore(writer: Writer<'_>, id: &str) -> Result<Session> {
    let connection = writer.connection;
    let session = expect(connection, id)?;
    if session.deleted_at_ms.is_none() {
        return Ok(session);
    }
    if let Some(bot_id) = &session.bot_id
        && bots::get(connection, bot_id)?.is_some_and(|bot| bot.deleted_at_ms.is_some())
    {
        return Err(bot_in_trash(format!(
            "session {id:?} cannot leave the trash before its bot {bot_id:?} does; restore the bot"
        )));
    }
    execute(
        connection,
        "UPDATE sessions SET deleted_at = NULL, updated_at = ?2, revision = revision + 1 WHERE id = ?1",
        params![id, writer.now_ms],
    )?;
    expect(connection, id)
}

/// Deletes for good what has been in the trash since before a time: sessions, bots and messages, about
/// `limit` rows of them. A session goes as a whole, since half of one could be restored.
///
/// # Errors
/// What writing can fail with.
pub fn purge(writer: Writer<'_>, deleted_before_ms: i64, limit: u32) -> Result<Count> {
    let connection = writer.connection;
    let mut total = Count::default();
    let left = |total: &Count| {
        u64::from(limit).saturating_sub(total.sessions + total.messages + total.bots) as i64
    };
    // Those of a bot in the trash have gone there before it, or with it.
    let sessions = "SELECT key FROM sessions WHERE deleted_at < ?1 ORDER BY deleted_at LIMIT ?2";
    for session in keys(connection, sessions, deleted_before_ms, left(&total))? {
        if left(&total) > 0 {
            total.messages += delete_for_good(connection, session)?;
            total.sessions += 1;
        }
    }
    let bots = "SELECT id FROM bots WHERE deleted_at < ?1 LIMIT ?2";
    for bot in keys::<String>(connection, bots, deleted_before_ms, left(&total))? {
        let gone = bots::delete(writer, &bot, true)?;
        total.bots += gone.bots;
        total.sessions += gone.sessions;
        total.messages += gone.messages;
    }
    total.messages += messages::purge(writer, deleted_before_ms, left(&total))?;
    Ok(total)
}

/// Whether anything has been in the trash since before a time.
///
/// # Errors
/// What reading can fail with.
pub fn has_trash(connection: &Connection, deleted_before_ms: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sessions WHERE deleted_at < ?1)
                   OR EXISTS (SELECT 1 FROM bots WHERE deleted_at < ?1)
                   OR EXISTS (SELECT 1 FROM messages WHERE deleted_at < ?1)";
    Ok(value(connection, sql, [deleted_before_ms])?.unwrap_or(false))
}

fn keys<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    before_ms: i64,
    limit: i64,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([before_ms, limit], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
