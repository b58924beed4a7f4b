//! Full-text search: keeping the index in step, and answering.
//!
//! The index follows in batches. What it lacks stands in `search_pending`; which of its entries are
//! out of date in `search_stale`, kept by triggers, with the text that they were made from, which
//! FTS5 wants to remove them. Both are part of the transaction that changed the messages, so that a
//! crash leaves nothing behind.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::cursor::{self, Position, Start};
use super::messages::key_range;
use super::{Writer, bots, check_bytes, count, execute, first, page_rows, sessions, value};
use crate::error::Result;
use crate::model::{Page, PageEnds, PageOptions, Search, SearchHit, limits};

/// Notes that a session's messages from this key on are not in the index. To be called in the
/// transaction that inserts them, before any of them is changed or deleted.
pub(super) fn expect_messages(connection: &Connection, session: i64, from_key: i64) -> Result<()> {
    execute(
        connection,
        "INSERT INTO search_pending (session, from_key) VALUES (?1, ?2) ON CONFLICT (session) DO NOTHING",
        [session, from_key],
    )?;
    Ok(())
}

/// Whether the index lacks anything.
///
/// # Errors
/// What reading can fail with.
pub fn is_behind(connection: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM search_pending) OR EXISTS (SELECT 1 FROM search_stale)";
    Ok(value(connection, sql, [])?.unwrap_or(false))
}

/// Brings up to `limit` messages of the index in step. Gives how many still wait, at least.
///
/// # Errors
/// What writing can fail with.
pub fn catch_up(writer: Writer<'_>, limit: u32) -> Result<u64> {
    let connection = writer.connection;
    let mut left = i64::from(limit) - drop_stale(connection, limit)?;
    while left > 0 {
        let pending = first(
            connection,
            "SELECT session, from_key FROM search_pending LIMIT 1",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        let Some((session, from_key)) = pending else {
            break;
        };
        left -= index_session(connection, session, from_key, left)?;
    }
    let stale = count(connection, "SELECT count(*) FROM search_stale", [])?;
    let sessions = count(connection, "SELECT count(*) FROM search_pending", [])?;
    Ok(stale + sessions)
}

/// Empties the index: it lacks everything then, and catches up like after any write.
///
/// # Errors
/// What writing can fail with.
pub fn reset(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(
        "INSERT INTO messages_fts (messages_fts) VALUES ('delete-all');
         DELETE FROM search_stale;
         INSERT INTO search_pending (session, from_key) SELECT key, key << 32 FROM sessions WHERE true
         ON CONFLICT (session) DO UPDATE SET from_key = excluded.from_key",
    )?)
}

/// Merges some pages of the index's pieces: all of them into one where `pages` is negative at first.
///
/// # Errors
/// What writing can fail with.
pub fn merge(connection: &Connection, pages: i32) -> Result<()> {
    let sql = "INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', ?1)";
    execute(connection, sql, [pages]).map(drop)
}

/// Takes up to `limit` entries out whose text changed or went, and puts the new text in where there is one.
/// Gives how many.
///
/// # Errors
/// What writing can fail with.
pub fn drop_stale(connection: &Connection, limit: u32) -> Result<i64> {
    let stale: Vec<(i64, String)> = {
        let mut statement =
            connection.prepare_cached("SELECT message, text FROM search_stale LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (key, text) in &stale {
        execute(
            connection,
            "INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', ?1, ?2)",
            params![key, text],
        )?;
        // A message that is pending as well goes in with its session.
        execute(
            connection,
            "INSERT INTO messages_fts (rowid, text) SELECT key, text FROM messages WHERE key = ?1
             AND NOT EXISTS (SELECT 1 FROM search_pending WHERE session = messages.session AND from_key <= messages.key)",
            [key],
        )?;
        execute(
            connection,
            "DELETE FROM search_stale WHERE message = ?1",
            [key],
        )?;
    }
    Ok(stale.len() as i64)
}

fn index_session(connection: &Connection, session: i64, from_key: i64, limit: i64) -> Result<i64> {
    let (_, end) = key_range(session);
    let sql = "SELECT key FROM messages WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1 OFFSET ?3";
    let next: Option<i64> = value(connection, sql, [from_key, end, limit])?;
    let indexed = execute(
        connection,
        "INSERT INTO messages_fts (rowid, text) SELECT key, text FROM messages WHERE key >= ?1 AND key < ?2",
        [from_key, next.unwrap_or(end + 1)],
    )?;
    match next {
        Some(next) => execute(
            connection,
            "UPDATE search_pending SET from_key = ?2 WHERE session = ?1",
            [session, next],
        )?,
        None => execute(
            connection,
            "DELETE FROM search_pending WHERE session = ?1",
            [session],
        )?,
    };
    Ok(indexed as i64)
}

/// The best matches of the words in a query, without what is in the trash. A query without any
/// word finds nothing. What the index lacks is not found, and what is out of date in it neither.
///
/// # Errors
/// `INVALID_CURSOR`, `INVALID_ARGUMENT`, `TOO_LARGE`.
pub fn search(
    connection: &Connection,
    search: &Search,
    page: &PageOptions,
) -> Result<Page<SearchHit>> {
    let rows = page_rows(page)?;
    check_bytes("query", &search.query, limits::SEARCH_BYTES)?;
    let list = cursor::fingerprint(&[
        "search",
        &search.query,
        search.bot_id.as_deref().unwrap_or("\0"),
        search.session_id.as_deref().unwrap_or("\0"),
        if search.prefix { "prefix" } else { "" },
    ]);
    let Start {
        direction,
        from,
        compare,
        order,
    } = cursor::start(list, page.cursor.as_deref(), false)?;
    let Some(expression) = expression(&search.query, search.prefix) else {
        return Ok(Page {
            items: Vec::new(),
            ends: PageEnds::default(),
        });
    };
    let mut values = vec![Value::Text(expression)];
    let mut bind = |value: Value| {
        values.push(value);
        format!("?{}", values.len())
    };
    let (mut joins, mut conditions) = ("", String::new());
    if let Some(id) = &search.session_id {
        let (from, to) = key_range(sessions::key(connection, id)?.unwrap_or(0));
        let (from, to) = (bind(Value::Integer(from)), bind(Value::Integer(to)));
        conditions += &format!(" AND f.rowid BETWEEN {from} AND {to}");
    }
    if let Some(id) = &search.bot_id {
        let bot = bind(Value::Integer(bots::key(connection, id)?.unwrap_or(0)));
        joins = "CROSS JOIN messages m ON m.key = f.rowid";
        conditions += &format!(" AND m.bot = {bot}");
    }
    if page.cursor.is_some() {
        let rank = bind(Value::Real(f64::from_bits(from.sort as u64)));
        let key = bind(Value::Integer(from.key));
        conditions += &format!(" AND (f.rank, f.rowid) {compare} ({rank}, {key})");
    }
    let limit = bind(Value::Integer(i64::from(rows) + 1));
    if has_trash(connection)? {
        conditions += " AND f.rowid NOT IN (SELECT key FROM messages WHERE deleted_at IS NOT NULL)
             AND f.rowid >> 32 NOT IN (SELECT key FROM sessions WHERE deleted_at IS NOT NULL)";
    }
    if value(connection, "SELECT 1 FROM search_stale", [])? == Some(1) {
        conditions += " AND f.rowid NOT IN (SELECT message FROM search_stale)";
    }
    // The page is found by rank and key alone; a second pass over the matches, which costs a tenth of
    // ranking them, reads and cuts the rows of the page only. The `+` keeps that pass one scan: looked
    // up by rowid, each row of the page would begin the search anew.
    let sql = format!(
        "WITH best (key, rank) AS MATERIALIZED (
           SELECT f.rowid, f.rank FROM messages_fts f {joins} WHERE messages_fts MATCH ?1{conditions}
           ORDER BY f.rank {order}, f.rowid {order} LIMIT {limit})
         SELECT s.id, m.id, b.id, m.role, s.title, m.seq, m.created_at,
           (SELECT rank FROM best WHERE key = f.rowid) AS best_rank,
           snippet(messages_fts, 0, char(2), char(3), '…', 24), m.key
         FROM messages_fts f CROSS JOIN messages m ON m.key = f.rowid CROSS JOIN sessions s ON s.key = m.session
           LEFT JOIN bots b ON b.key = m.bot
         WHERE messages_fts MATCH ?1 AND +f.rowid IN (SELECT key FROM best)
         ORDER BY best_rank {order}, f.rowid {order}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_map(params_from_iter(&values), |row| {
            let rank: f64 = row.get(7)?;
            let hit = SearchHit {
                session_id: row.get(0)?,
                id: row.get(1)?,
                bot_id: row.get(2)?,
                role: row.get(3)?,
                session_title: row.get(4)?,
                seq: row.get(5)?,
                created_at_ms: row.get(6)?,
                rank,
                snippet: row.get(8)?,
            };
            Ok((
                hit,
                Position {
                    sort: rank.to_bits() as i64,
                    key: row.get(9)?,
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

/// Whether a match may be one that is not shown.
fn has_trash(connection: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE deleted_at IS NOT NULL)
                   OR EXISTS (SELECT 1 FROM sessions WHERE deleted_at IS NOT NULL)";
    Ok(value(connection, sql, [])?.unwrap_or(false))
}

/// Ordinary text as an FTS5 expression that has no syntax to get wrong: each word, and each text
/// between two double quotes, becomes a quoted phrase; all must occur. None where there is no word.
fn expression(query: &str, prefix: bool) -> Option<String> {
    let mut phrases: Vec<String> = Vec::new();
    let quotes = query.matches('"').count();
    for (at, piece) in query.split('"').enumerate() {
        // The piece after an odd last quote is ordinary text.
        let quoted = at % 2 == 1 && at < quotes;
        if quoted {
            phrases.push(piece.to_owned());
        } else {
            phrases.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    // A phrase without a letter or digit has no token and would match nothing. A NUL ends FTS5's text.
    phrases.retain(|phrase| phrase.chars().any(char::is_alphanumeric));
    let quoted: Vec<String> = phrases
        .iter()
        .map(|phrase| format!("\"{}\"", phrase.replace(['\0', '"'], " ")))
        .collect();
    let expression = quoted.join(" ");
    if expression.is_empty() {
        return None;
    }
    Some(if prefix { expression + "*" } else { expression })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_becomes_quoted_phrases() {
        let plain = |query| expression(query, false);
        assert_eq!(plain("hello world").unwrap(), "\"hello\" \"world\"");
        assert_eq!(
            plain("say \"good morning\" now").unwrap(),
            "\"say\" \"good morning\" \"now\""
        );
        assert_eq!(plain("an odd\" quote").unwrap(), "\"an\" \"odd\" \"quote\"");
        assert_eq!(
            plain("a AND b* NEAR(c) -d ^e {f}:g")
                .unwrap()
                .matches('"')
                .count(),
            14
        );
        assert_eq!(plain("!!! ... --"), None);
        assert_eq!(plain(""), None);
        assert_eq!(expression("hel", true).unwrap(), "\"hel\"*");
    }
}
