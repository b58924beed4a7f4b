//! One reply under way: its row in `message_streams`, its deltas, and what they come to.
//!
//! Holds: numbers, sizes and the way of deltas into their table and out of it into the message. Must
//! not know: which call is made of it, or who owns it.

use rusqlite::{Connection, Row, params};

use super::Delta;
use super::fold::{self, Content, Fold};
use crate::error::{Code, Error, Result};
use crate::model::limits;
use crate::store::messages::{locate, session_of, summary, write};
use crate::store::{Writer, check_bytes, check_named, execute, first, value};

const NUMBER_BITS: u32 = 32;
const NUMBER_MASK: i64 = (1 << NUMBER_BITS) - 1;

/// The body of a reply under way, as far as it has come.
pub(in crate::store) struct Body {
    pub text: String,
    pub parts: Option<String>,
}

/// A row of `message_streams`.
pub(super) struct Stream {
    key: i64,
    pub(super) message: i64,
    pub(super) ended: bool,
    next_number: i64,
    size_bytes: i64,
    growing: Option<String>,
}

const COLUMNS: &str =
    "st.key, st.message, st.ended_at IS NOT NULL, st.next_number, st.size_bytes, st.growing";

impl Stream {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: row.get(0)?,
            message: row.get(1)?,
            ended: row.get(2)?,
            next_number: row.get(3)?,
            size_bytes: row.get(4)?,
            growing: row.get(5)?,
        })
    }

    pub(super) fn of_message(connection: &Connection, message: i64) -> Result<Option<Self>> {
        let sql = format!("SELECT {COLUMNS} FROM message_streams st WHERE st.message = ?1");
        first(connection, &sql, [message], Self::read)
    }

    pub(super) fn expect(connection: &Connection, session_id: &str, id: &str) -> Result<Self> {
        let sql = format!(
            "SELECT {COLUMNS} FROM sessions s CROSS JOIN messages m ON m.session = s.key AND m.id = ?2
             CROSS JOIN message_streams st ON st.message = m.key WHERE s.id = ?1"
        );
        if let Some(stream) = first(connection, &sql, [session_id, id], Self::read)? {
            return Ok(stream);
        }
        locate(connection, session_id, id)?;
        Err(Error::new(
            Code::StreamEnded,
            format!("the reply {id:?} has ended; nothing can be added to it"),
        )
        .with("id", id)
        .with("sessionId", session_id))
    }

    fn deltas(&self) -> (i64, i64) {
        let from = self.key << NUMBER_BITS;
        (from, from | NUMBER_MASK)
    }

    /// The number that comes next, and the size so far.
    fn reached(&self, connection: &Connection) -> Result<(i64, i64)> {
        let (from, to) = self.deltas();
        let last = first(
            connection,
            "SELECT key, size_bytes FROM message_deltas WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1",
            [from, to],
            |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)),
        )?;
        Ok(
            last.map_or((self.next_number, self.size_bytes), |(key, size_bytes)| {
                ((key & NUMBER_MASK) + 1, size_bytes)
            }),
        )
    }

    /// The message's own body and all deltas, folded.
    pub(super) fn fold(&self, connection: &Connection) -> Result<(Body, Option<String>)> {
        let own = first(
            connection,
            "SELECT text, parts FROM messages WHERE key = ?1",
            [self.message],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (text, parts) = own.unwrap_or_default();
        let mut fold = Fold::resume(text, parts, self.growing.clone());
        let (from, to) = self.deltas();
        let mut statement = connection.prepare_cached(
            "SELECT type, delta FROM message_deltas WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
        )?;
        let mut rows = statement.query([from, to])?;
        while let Some(row) = rows.next()? {
            let text = |column| -> Result<Option<&str>> {
                let value = row.get_ref(column)?.as_str_or_null();
                Ok(value.map_err(rusqlite::Error::from)?)
            };
            let delta = text(1)?.unwrap_or_default();
            match text(0)? {
                Some(part_type) => fold.grow(part_type, delta),
                None => fold.add_part(delta),
            }
        }
        let (content, growing) = fold.end();
        let body = match content {
            Content::Text(text) => Body { text, parts: None },
            Content::Parts(parts) => Body {
                text: write::derive_text(connection, 0, Some(&parts))?.unwrap_or_default(),
                parts: Some(parts),
            },
        };
        Ok((body, growing))
    }

    /// Moves the deltas into the message's row. The reply goes on from there. Whether there were any:
    /// then what the session's row says of the message is for the caller to refresh.
    pub(super) fn settle(&self, connection: &Connection) -> Result<bool> {
        let (next_number, size_bytes) = self.reached(connection)?;
        if next_number == self.next_number {
            return Ok(false);
        }
        let (body, growing) = self.fold(connection)?;
        execute(
            connection,
            "UPDATE messages SET text = ?2, parts = ?3 WHERE key = ?1",
            params![self.message, body.text, body.parts],
        )?;
        execute(
            connection,
            "UPDATE message_streams SET next_number = ?2, size_bytes = ?3, growing = ?4 WHERE key = ?1",
            params![self.key, next_number, size_bytes, growing],
        )?;
        let (from, to) = self.deltas();
        execute(
            connection,
            "DELETE FROM message_deltas WHERE key BETWEEN ?1 AND ?2",
            [from, to],
        )?;
        Ok(true)
    }

    /// The client is gone: what has come stays, and waits for it.
    pub(super) fn break_off(&self, writer: Writer<'_>) -> Result<()> {
        self.settle(writer.connection)?;
        set_status(writer, self.message, "incomplete")?;
        execute(
            writer.connection,
            "UPDATE message_streams SET ended_at = ?2 WHERE key = ?1",
            [self.key, writer.now_ms],
        )?;
        Ok(())
    }

    /// The client is there after all.
    fn resume(&self, writer: Writer<'_>) -> Result<()> {
        set_status(writer, self.message, "streaming")?;
        execute(
            writer.connection,
            "UPDATE message_streams SET ended_at = NULL WHERE key = ?1",
            [self.key],
        )?;
        summary::touch(writer, session_of(self.message))
    }

    pub(super) fn forget(&self, connection: &Connection) -> Result<()> {
        // Its deltas go by a trigger.
        execute(
            connection,
            "DELETE FROM message_streams WHERE key = ?1",
            [self.key],
        )?;
        Ok(())
    }

    pub(super) fn append(
        &self,
        writer: Writer<'_>,
        first_number: i64,
        deltas: &[Delta],
    ) -> Result<()> {
        let connection = writer.connection;
        if self.ended {
            self.resume(writer)?;
        }
        let (next_number, mut size_bytes) = self.reached(connection)?;
        let Some(known) = next_number
            .checked_sub(first_number)
            .filter(|known| *known >= 0 && first_number >= 0)
        else {
            return Err(Error::argument(
                "firstNumber",
                &format!("a number from 0 to {next_number}, so that none is left out"),
                &first_number.to_string(),
            )
            .with("nextNumber", next_number.to_string()));
        };
        let new = deltas.get(known as usize..).unwrap_or_default();
        let mut number = next_number;
        let mut at = 0;
        while let Some(delta) = new.get(at) {
            let joined = join(&new[at..]);
            let (part_type, text) = match delta {
                Delta::Grow { part_type, text } => {
                    check_named("delta.type", part_type, limits::MODEL_BYTES)?;
                    (Some(part_type), joined.text.as_deref().unwrap_or(text))
                }
                Delta::Part(json) => {
                    check_part(connection, json)?;
                    (None, json.as_str())
                }
            };
            at += joined.count;
            number += joined.count as i64;
            size_bytes += match part_type {
                Some(part_type) => fold::grown_bytes(part_type, text),
                None => text.len() + 1,
            } as i64;
            check_size(size_bytes)?;
            if number > NUMBER_MASK {
                return Err(Error::new(
                    Code::TooLarge,
                    "the reply has no room for another delta",
                ));
            }
            execute(
                connection,
                "INSERT INTO message_deltas (key, type, delta, size_bytes) VALUES (?1, ?2, ?3, ?4)",
                params![self.deltas().0 | (number - 1), part_type, text, size_bytes],
            )?;
        }
        Ok(())
    }
}

/// The deltas that become one row: as many at the beginning as grow parts of one type.
struct Joined {
    count: usize,
    /// Their texts together, where it is more than one.
    text: Option<String>,
}

fn join(deltas: &[Delta]) -> Joined {
    let Some(Delta::Grow { part_type, .. }) = deltas.first() else {
        return Joined {
            count: 1,
            text: None,
        };
    };
    let texts: Vec<&str> = deltas
        .iter()
        .map_while(|delta| match delta {
            Delta::Grow {
                part_type: own,
                text,
            } if own == part_type => Some(text.as_str()),
            _ => None,
        })
        .collect();
    Joined {
        count: texts.len(),
        text: (texts.len() > 1).then(|| texts.concat()),
    }
}

fn check_part(connection: &Connection, json: &str) -> Result<()> {
    check_bytes("delta.part", json, limits::CONTENT_BYTES)?;
    let holds: Option<Option<bool>> = value(
        connection,
        "SELECT CASE WHEN json_valid(?1) THEN json_type(?1) = 'object' AND json_type(?1, '$.type') IS 'text'
           AND json_extract(?1, '$.type') <> '' END",
        [json],
    )?;
    if holds.flatten() == Some(true) {
        return Ok(());
    }
    Err(Error::argument(
        "delta.part",
        "a JSON object with a type",
        "something else",
    ))
}

fn check_size(size_bytes: i64) -> Result<()> {
    if size_bytes <= limits::CONTENT_BYTES as i64 {
        return Ok(());
    }
    Err(Error::new(
        Code::TooLarge,
        format!(
            "deltas: expected a reply of at most {} bytes as JSON, received {size_bytes}",
            limits::CONTENT_BYTES
        ),
    )
    .with("argument", "deltas"))
}

/// The rows that a condition on `st` picks.
pub(super) fn list(
    connection: &Connection,
    condition: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<Stream>> {
    let sql = format!("SELECT {COLUMNS} FROM message_streams st WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params, Stream::read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn set_status(writer: Writer<'_>, message: i64, status: &str) -> Result<()> {
    execute(
        writer.connection,
        "UPDATE messages SET status = ?2, updated_at = ?3 WHERE key = ?1",
        params![message, status, writer.now_ms],
    )?;
    Ok(())
}
