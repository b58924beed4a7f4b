//! Bots: create, read, list, update, trash, restore, delete.

use rusqlite::{Connection, Row, params};

use super::cursor::{self, Position, Start};
use super::{
    Writer, check_json, check_named, check_optional, count, execute, first, page_rows, value,
};
use crate::error::{Error, Result};
use crate::model::{Bot, BotPatch, Count, Field, NewBot, Page, PageOptions, limits};

const COLUMNS: &str = "id, name, avatar, system_prompt, model, params, metadata, created_at, updated_at, deleted_at, key";

fn read(row: &Row<'_>) -> rusqlite::Result<Bot> {
    Ok(Bot {
        id: row.get(0)?,
        name: row.get(1)?,
        avatar: row.get(2)?,
        system_prompt: row.get(3)?,
        model: row.get(4)?,
        params: row.get(5)?,
        metadata: row.get(6)?,
        created_at_ms: row.get(7)?,
        updated_at_ms: row.get(8)?,
        deleted_at_ms: row.get(9)?,
    })
}

/// Makes a bot.
///
/// # Errors
/// `CONSTRAINT_UNIQUE` where the id, or the name of a bot outside of the trash, is taken.
pub fn create(writer: Writer<'_>, bot: &NewBot) -> Result<Bot> {
    let connection = writer.connection;
    if let Some(id) = &bot.id {
        check_named("id", id, limits::ID_BYTES)?;
    }
    check_fields(
        connection,
        Some(&bot.name),
        bot.avatar.as_deref(),
        bot.system_prompt.as_deref(),
        bot.model.as_deref(),
        bot.params.as_deref(),
        bot.metadata.as_deref(),
    )?;
    let id = bot.id.clone().unwrap_or_else(|| writer.new_id());
    execute(
        connection,
        "INSERT INTO bots (id, name, avatar, system_prompt, model, params, metadata, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            id,
            bot.name,
            bot.avatar,
            bot.system_prompt,
            bot.model,
            bot.params,
            bot.metadata,
            bot.created_at_ms.unwrap_or(writer.now_ms),
            writer.now_ms
        ],
    )?;
    expect(connection, &id)
}

fn check_fields(
    connection: &Connection,
    name: Option<&str>,
    avatar: Option<&str>,
    system_prompt: Option<&str>,
    model: Option<&str>,
    bot_params: Option<&str>,
    metadata: Option<&str>,
) -> Result<()> {
    if let Some(name) = name {
        check_named("name", name, limits::NAME_BYTES)?;
    }
    check_optional("avatar", avatar, limits::JSON_BYTES)?;
    check_optional("systemPrompt", system_prompt, limits::JSON_BYTES)?;
    check_optional("model", model, limits::MODEL_BYTES)?;
    check_json(connection, "params", bot_params)?;
    check_json(connection, "metadata", metadata)
}

/// The bot with this id, in the trash or not.
///
/// # Errors
/// What reading can fail with.
pub fn get(connection: &Connection, id: &str) -> Result<Option<Bot>> {
    first(
        connection,
        &format!("SELECT {COLUMNS} FROM bots WHERE id = ?1"),
        [id],
        read,
    )
}

fn expect(connection: &Connection, id: &str) -> Result<Bot> {
    get(connection, id)?.ok_or_else(|| Error::not_found("bot", id))
}

/// The internal key of a bot.
pub(super) fn key(connection: &Connection, id: &str) -> Result<Option<i64>> {
    value(connection, "SELECT key FROM bots WHERE id = ?1", [id])
}

fn expect_key(connection: &Connection, id: &str) -> Result<i64> {
    key(connection, id)?.ok_or_else(|| Error::not_found("bot", id))
}

/// A page of bots in the order of their creation; of the trash where `deleted`.
///
/// # Errors
/// `INVALID_CURSOR`, `INVALID_ARGUMENT`.
pub fn list(connection: &Connection, deleted: bool, page: &PageOptions) -> Result<Page<Bot>> {
    let rows = page_rows(page)?;
    let list = cursor::fingerprint(&["bots", if deleted { "deleted" } else { "" }]);
    let Start {
        direction,
        from,
        compare,
        order,
    } = cursor::start(list, page.cursor.as_deref(), false)?;
    let trash = if deleted { "NOT NULL" } else { "NULL" };
    let sql = format!(
        "SELECT {COLUMNS} FROM bots WHERE deleted_at IS {trash} AND key {compare} ?1 ORDER BY key {order} LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_map(params![from.key, rows + 1], |row| {
            Ok((
                read(row)?,
                Position {
                    sort: 0,
                    key: row.get(10)?,
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

/// Changes what the patch names.
///
/// # Errors
/// `NOT_FOUND`, `CONSTRAINT_UNIQUE` where the new name is taken.
pub fn update(writer: Writer<'_>, id: &str, patch: &BotPatch) -> Result<Bot> {
    let connection = writer.connection;
    let key = expect_key(connection, id)?;
    let text = |field: &Field<String>| field.value().cloned();
    check_fields(
        connection,
        patch.name.as_deref(),
        patch.avatar.value().map(String::as_str),
        patch.system_prompt.value().map(String::as_str),
        patch.model.value().map(String::as_str),
        patch.params.value().map(String::as_str),
        patch.metadata.value().map(String::as_str),
    )?;
    execute(
        connection,
        "UPDATE bots SET name = coalesce(?2, name),
           avatar = iif(?3, ?4, avatar), system_prompt = iif(?5, ?6, system_prompt),
           model = iif(?7, ?8, model), params = iif(?9, ?10, params), metadata = iif(?11, ?12, metadata),
           updated_at = ?13
         WHERE key = ?1",
        params![
            key,
            patch.name,
            patch.avatar.is_given(),
            text(&patch.avatar),
            patch.system_prompt.is_given(),
            text(&patch.system_prompt),
            patch.model.is_given(),
            text(&patch.model),
            patch.params.is_given(),
            text(&patch.params),
            patch.metadata.is_given(),
            text(&patch.metadata),
            writer.now_ms
        ],
    )?;
    expect(connection, id)
}

/// Puts a bot and its sessions in the trash, or deletes them for good with all their messages.
/// Messages of the bot in other sessions stay, without their bot. Counts what was changed: a bot
/// that is in the trash already counts nothing, and sessions that were there stay as they are.
///
/// # Errors
/// `NOT_FOUND`.
pub fn delete(writer: Writer<'_>, id: &str, permanent: bool) -> Result<Count> {
    let connection = writer.connection;
    let key = expect_key(connection, id)?;
    if permanent {
        let sessions = count(
            connection,
            "SELECT count(*) FROM sessions WHERE bot = ?1",
            [key],
        )?;
        // Counted in the messages themselves, as the counters leave out the trash.
        let messages = count(
            connection,
            "SELECT count(*) FROM messages WHERE session IN (SELECT key FROM sessions WHERE bot = ?1)",
            [key],
        )?;
        let bots = execute(connection, "DELETE FROM bots WHERE key = ?1", [key])?;
        return Ok(Count {
            bots,
            sessions,
            messages,
        });
    }
    // The time tells the sessions that went with their bot from those that went before, also where
    // that was in the same millisecond.
    let last: Option<i64> = value(
        connection,
        "SELECT max(deleted_at) FROM sessions WHERE bot = ?1",
        [key],
    )?
    .flatten();
    let deleted_at_ms = last.map_or(writer.now_ms, |last| writer.now_ms.max(last + 1));
    let bots = execute(
        connection,
        "UPDATE bots SET deleted_at = ?2, updated_at = ?3 WHERE key = ?1 AND deleted_at IS NULL",
        [key, deleted_at_ms, writer.now_ms],
    )?;
    if bots == 0 {
        return Ok(Count::default());
    }
    let sessions = execute(
        connection,
        "UPDATE sessions SET deleted_at = ?2, updated_at = ?3, revision = revision + 1
         WHERE bot = ?1 AND deleted_at IS NULL",
        [key, deleted_at_ms, writer.now_ms],
    )?;
    Ok(Count {
        bots,
        sessions,
        messages: 0,
    })
}

/// Takes a bot out of the trash, with the sessions that went there with it.
///
/// # Errors
/// `NOT_FOUND`, `CONSTRAINT_UNIQUE` where its name was taken meanwhile.
pub fn restore(writer: Writer<'_>, id: &str) -> Result<Bot> {
    let connection = writer.connection;
    let bot = expect(connection, id)?;
    if let Some(deleted_at_ms) = bot.deleted_at_ms {
        let key = expect_key(connection, id)?;
        execute(
            connection,
            "UPDATE sessions SET deleted_at = NULL, updated_at = ?3, revision = revision + 1
             WHERE bot = ?1 AND deleted_at = ?2",
            [key, deleted_at_ms, writer.now_ms],
        )?;
        execute(
            connection,
            "UPDATE bots SET deleted_at = NULL, updated_at = ?2 WHERE key = ?1",
            [key, writer.now_ms],
        )?;
    }
    expect(connection, id)
}
