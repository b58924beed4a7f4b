//! Reading messages: one, a page of a session, a page of a bot.
//!
//! The hot path of the store. Rows are handed to a visitor as borrowed text, so that nothing is
//! copied between SQLite and whoever encodes them; ids of sessions, bots and parents are looked up
//! once and remembered, in place of three joins a row. A reply under way is shown as far as it has
//! come.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::{expect_key, key, key_range, seq_of, session_of};
use crate::error::Result;
use crate::model::{MessageList, MessageRef, PageEnds, PageOptions, Usage};
use crate::store::cursor::{self, Direction, Position, Start};
use crate::store::{bots, page_rows, sessions, streams, value};

const COLUMNS: &str = "key, id, bot, parent, active, role, status, created_at, updated_at, deleted_at, finish_reason,
    error, model, input_tokens, output_tokens, reasoning_tokens, cached_tokens, cost_usd, duration_ms, metadata,
    text, parts";

const CREATED_AT: usize = 7;
/// Where the id of the parent follows the columns.
const PARENT_ID: usize = 22;

/// Reads rows of messages and hands them on with the ids that their keys stand for.
pub(in crate::store) struct Rows<'c> {
    connection: &'c Connection,
    session_ids: HashMap<i64, String>,
    bot_ids: HashMap<i64, String>,
    /// The row read last: on a path it is the parent of the next one.
    last: (i64, String),
    parent_id: String,
    /// Whether each row brings the id of its parent: rows of many sessions seldom follow their parents.
    with_parents: bool,
}

impl<'c> Rows<'c> {
    pub(in crate::store) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            session_ids: HashMap::new(),
            bot_ids: HashMap::new(),
            last: (0, String::new()),
            parent_id: String::new(),
            with_parents: false,
        }
    }

    pub(in crate::store) fn by_key(
        &mut self,
        key: i64,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<bool> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM messages WHERE key = ?1"))?;
        let mut rows = statement.query([key])?;
        match rows.next()? {
            Some(row) => self.hand_on(row, visit).map(|()| true),
            None => Ok(false),
        }
    }

    fn hand_on(&mut self, row: &Row<'_>, visit: &mut dyn FnMut(&MessageRef<'_>)) -> Result<()> {
        let text = |column| -> Result<&str> {
            Ok(row
                .get_ref(column)?
                .as_str()
                .map_err(rusqlite::Error::from)?)
        };
        let optional = |column| -> Result<Option<&str>> {
            Ok(row
                .get_ref(column)?
                .as_str_or_null()
                .map_err(rusqlite::Error::from)?)
        };
        let key: i64 = row.get(0)?;
        let session = session_of(key);
        if let Some(bot) = row.get(2)? {
            remember(&mut self.bot_ids, bot, || {
                value(self.connection, "SELECT id FROM bots WHERE key = ?1", [bot])
            })?;
        }
        remember(&mut self.session_ids, session, || {
            value(
                self.connection,
                "SELECT id FROM sessions WHERE key = ?1",
                [session],
            )
        })?;
        let parent: Option<i64> = row.get(3)?;
        if let Some(parent) = parent {
            if parent == self.last.0 {
                std::mem::swap(&mut self.parent_id, &mut self.last.1);
            } else if self.with_parents {
                self.parent_id.clear();
                self.parent_id
                    .push_str(optional(PARENT_ID)?.unwrap_or_default());
            } else {
                self.parent_id = value(
                    self.connection,
                    "SELECT id FROM messages WHERE key = ?1",
                    [parent],
                )?
                .unwrap_or_default();
            }
        }
        let id = text(1)?;
        let bot: Option<i64> = row.get(2)?;
        let status = text(6)?;
        let under_way = if status == "streaming" {
            streams::so_far(self.connection, key)?
        } else {
            None
        };
        let (body, parts) = match &under_way {
            Some(body) => (body.text.as_str(), body.parts.as_deref()),
            None => (text(20)?, optional(21)?),
        };
        visit(&MessageRef {
            id,
            session_id: self.session_ids.get(&session).map_or("", String::as_str),
            bot_id: bot
                .and_then(|bot| self.bot_ids.get(&bot))
                .map(String::as_str),
            parent_id: parent.map(|_| self.parent_id.as_str()),
            seq: seq_of(key),
            active: row.get(4)?,
            role: text(5)?,
            status,
            created_at_ms: row.get(7)?,
            updated_at_ms: row.get(8)?,
            deleted_at_ms: row.get(9)?,
            finish_reason: optional(10)?,
            error: optional(11)?,
            model: optional(12)?,
            usage: Usage {
                input_tokens: row.get(13)?,
                output_tokens: row.get(14)?,
                reasoning_tokens: row.get(15)?,
                cached_tokens: row.get(16)?,
                cost_usd: row.get(17)?,
                duration_ms: row.get(18)?,
            },
            metadata: optional(19)?,
            text: body,
            parts,
            is_echo: false,
        });
        self.last.0 = key;
        self.last.1.clear();
        self.last.1.push_str(id);
        Ok(())
    }
}

fn remember(
    known: &mut HashMap<i64, String>,
    key: i64,
    find: impl FnOnce() -> Result<Option<String>>,
) -> Result<()> {
    if let std::collections::hash_map::Entry::Vacant(entry) = known.entry(key)
        && let Some(id) = find()?
    {
        entry.insert(id);
    }
    Ok(())
}

/// The message with this id in this session, in the trash or not. Says whether there is one.
///
/// # Errors
/// What reading can fail with.
pub fn get(
    connection: &Connection,
    session_id: &str,
    id: &str,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<bool> {
    let Some(session) = sessions::key(connection, session_id)? else {
        return Ok(false);
    };
    match key(connection, session, id)? {
        Some(key) => Rows::new(connection).by_key(key, visit),
        None => Ok(false),
    }
}

/// A page of messages. A missing session or bot gives an empty page.
///
/// # Errors
/// `INVALID_CURSOR`, `INVALID_ARGUMENT`; `NOT_FOUND` where `around` names no message.
pub fn list(
    connection: &Connection,
    which: &MessageList,
    page: &PageOptions,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<PageEnds> {
    let rows = page_rows(page)?;
    match which {
        MessageList::Session {
            session_id,
            around,
            from_start,
            all_branches,
        } => {
            let Some(session) = sessions::key(connection, session_id)? else {
                return Ok(PageEnds::default());
            };
            let list = cursor::fingerprint(&[
                "messages",
                session_id,
                if *all_branches { "all" } else { "active" },
            ]);
            let (start, end) = key_range(session);
            let from = match (&page.cursor, around) {
                (Some(text), _) => {
                    let (direction, position) = cursor::decode(list, text)?;
                    // Whoever made it may have made it up.
                    From::Key(direction, position.key.clamp(start - 1, end + 1))
                }
                (None, Some(id)) => From::Around(expect_key(connection, session, session_id, id)?),
                (None, None) if *from_start => From::Key(Direction::Forward, start - 1),
                (None, None) => From::Key(Direction::Backward, end + 1),
            };
            let path = PathPage {
                connection,
                start,
                end,
                all_branches: *all_branches,
                rows,
            };
            path.read(list, from, page.cursor.is_some(), visit)
        }
        MessageList::Bot { bot_id, descending } => {
            let Some(bot) = bots::key(connection, bot_id)? else {
                return Ok(PageEnds::default());
            };
            of_bot(
                connection,
                bot,
                bot_id,
                *descending,
                rows,
                page.cursor.as_deref(),
                visit,
            )
        }
    }
}

enum From {
    Key(Direction, i64),
    Around(i64),
}

/// One page of a session: a range of keys.
struct PathPage<'c> {
    connection: &'c Connection,
    start: i64,
    end: i64,
    all_branches: bool,
    rows: u32,
}

impl PathPage<'_> {
    fn read(
        &self,
        list: u64,
        from: From,
        has_cursor: bool,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<PageEnds> {
        // `before` is known before the scan where the page is found from its end, `behind` after it
        // where it is found from its beginning.
        let (first_key, stop, before, behind) = match from {
            From::Key(Direction::Forward, key) => (key + 1, self.end, has_cursor, None),
            From::Key(Direction::Backward, key) => {
                let (first_key, more) = self.step_back(key, self.rows)?;
                (first_key, key - 1, more, Some(has_cursor))
            }
            From::Around(key) => {
                let (first_key, more) = self.step_back(key, self.rows / 2)?;
                (first_key, self.end, more, None)
            }
        };
        let visible = self.visible();
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE key BETWEEN ?1 AND ?2 AND {visible} ORDER BY key LIMIT ?3"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = statement.query(params![first_key, stop, self.rows + 1])?;
        let mut reader = Rows::new(self.connection);
        let mut ends: Option<(i64, i64)> = None;
        let mut seen = 0;
        let mut more = false;
        while let Some(row) = found.next()? {
            if seen == self.rows {
                more = true;
                break;
            }
            reader.hand_on(row, visit)?;
            seen += 1;
            let key = reader.last.0;
            ends = Some((ends.map_or(key, |(first, _)| first), key));
        }
        let Some((first, last)) = ends else {
            return Ok(PageEnds::default());
        };
        let at = |key| Position { sort: 0, key };
        Ok(PageEnds {
            next_cursor: behind
                .unwrap_or(more)
                .then(|| cursor::encode(list, Direction::Forward, at(last))),
            prev_cursor: before.then(|| cursor::encode(list, Direction::Backward, at(first))),
        })
    }

    fn visible(&self) -> &'static str {
        if self.all_branches {
            "deleted_at IS NULL"
        } else {
            "active = 1 AND deleted_at IS NULL"
        }
    }

    /// The key of the row that is `rows` rows before a key, and whether more lie before it.
    fn step_back(&self, key: i64, rows: u32) -> Result<(i64, bool)> {
        let visible = self.visible();
        let sql = format!(
            "SELECT key FROM messages WHERE key >= ?1 AND key < ?2 AND {visible} ORDER BY key DESC LIMIT ?3"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = statement.query(params![self.start, key, rows + 1])?;
        let mut first = key;
        for _ in 0..rows {
            match found.next()? {
                Some(row) => first = row.get(0)?,
                None => return Ok((first, false)),
            }
        }
        Ok((first, found.next()?.is_some()))
    }
}

/// A page of a bot's messages by time, on any branch, without the trash.
fn of_bot(
    connection: &Connection,
    bot: i64,
    bot_id: &str,
    descending: bool,
    rows: u32,
    cursor: Option<&str>,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<PageEnds> {
    let list = cursor::fingerprint(&[
        "bot messages",
        bot_id,
        if descending { "desc" } else { "asc" },
    ]);
    let Start {
        direction,
        from,
        compare,
        order,
    } = cursor::start(list, cursor, descending)?;
    let conditions = format!(
        "bot = ?1 AND (created_at, key) {compare} (?2, ?3) AND deleted_at IS NULL
           AND (SELECT deleted_at FROM sessions WHERE key = messages.session) IS NULL
         ORDER BY created_at {order}, key {order} LIMIT ?4"
    );
    let values = params![bot, from.sort, from.key, rows + 1];
    let mut reader = Rows::new(connection);
    if direction == Direction::Backward {
        // Found from its end, and so known in the right order only when it is complete.
        let sql = format!("SELECT created_at, key FROM messages WHERE {conditions}");
        let mut statement = connection.prepare_cached(&sql)?;
        let positions = statement.query_map(values, |row| {
            let position = Position {
                sort: row.get(0)?,
                key: row.get(1)?,
            };
            Ok((position.key, position))
        })?;
        let found = positions.collect::<rusqlite::Result<Vec<_>>>()?;
        let page = cursor::page(list, found, rows, direction, cursor.is_some());
        for key in page.items {
            reader.by_key(key, visit)?;
        }
        return Ok(page.ends);
    }
    let sql = format!(
        "SELECT {COLUMNS}, (SELECT id FROM messages p WHERE p.key = messages.parent) FROM messages WHERE {conditions}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut answer = statement.query(values)?;
    reader.with_parents = true;
    let mut found = Vec::new();
    while let Some(row) = answer.next()? {
        if found.len() < rows as usize {
            reader.hand_on(row, visit)?;
        }
        let position = Position {
            sort: row.get(CREATED_AT)?,
            key: row.get(0)?,
        };
        found.push(((), position));
    }
    Ok(cursor::page(list, found, rows, direction, cursor.is_some()).ends)
}
