//! Replies that come bit by bit: begun, added to, and folded into a message at their end.
//!
//! A message under way has the status `streaming` and a row in `message_streams`. What comes for it
//! stands in `message_deltas`, a row or so a call, so that adding touches neither the message nor its
//! session nor an index; readers fold what there is (`so_far`). Deltas are numbered by who sends them,
//! so that a repeated call changes nothing.
//!
//! A reply whose client is gone is folded and becomes `incomplete`, but its row stays: should the
//! client come back and go on, so does the reply. Whoever else sets the content or the status of the
//! message takes it over (`take_over`), and its client gets `STREAM_ENDED`.

mod fold;
mod row;

use rusqlite::{Connection, params};

pub(super) use self::row::Body;
use self::row::{Stream, list, set_status};
use super::messages::{self, key_range, locate, read::Rows, session_of, summary, write};
use super::{Writer, check_optional, execute, value};
use crate::error::{Error, Result};
use crate::model::{Field, Message, MessageRef, NewMessage, Usage, limits};

/// A reply that broke off without a word can go on for a day.
const RESUMABLE_MS: i64 = 86_400_000;

/// What `messages.start` takes.
#[derive(Debug, Clone, Default)]
pub struct NewStream {
    /// The session that the reply goes to.
    pub session_id: String,
    /// Without one, `assistant`.
    pub role: Option<String>,
    /// Without one, a UUIDv7 is made.
    pub id: Option<String>,
    /// Absent: the session's head. Null: a new root.
    pub parent_id: Field<String>,
    /// Absent: the session's bot.
    pub bot_id: Field<String>,
    /// The model that writes it.
    pub model: Option<String>,
    /// JSON.
    pub metadata: Option<String>,
    /// Epoch milliseconds; now, where none is given.
    pub created_at_ms: Option<i64>,
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More of the text of a part. It extends the last part where that is of this type and was not
    /// whole; an empty one counts and adds nothing.
    Grow {
        /// `text`, `reasoning`, or any other type of part that has a `text`.
        part_type: String,
        /// What to add.
        text: String,
    },
    /// A part that is whole, as a JSON object with a `type`.
    Part(String),
}

/// How a reply ends: the last of its deltas, and what is known of it then.
#[derive(Debug, Clone, Default)]
pub struct StreamEnd {
    /// The number of the first of `deltas`.
    pub first_number: i64,
    /// What was not appended yet.
    pub deltas: Vec<Delta>,
    /// The whole text, in place of all deltas.
    pub text: Option<String>,
    /// The whole parts as a JSON array, in place of all deltas.
    pub parts: Option<String>,
    /// What it took.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub finish_reason: Option<String>,
}

/// A reply under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStream {
    /// The session of the message.
    pub session_id: String,
    /// The message.
    pub id: String,
    /// The lasting name of the client that it belongs to.
    pub client: String,
    /// Epoch milliseconds.
    pub started_at_ms: i64,
}

/// Begins a reply: a message with the status `streaming`, which becomes the head. It belongs to
/// `client`, by its lasting name.
///
/// # Errors
/// As [`messages::add`].
pub fn start(
    writer: Writer<'_>,
    new: &NewStream,
    client: &str,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let id = new.id.clone().unwrap_or_else(|| writer.new_id());
    let message = NewMessage {
        session_id: &new.session_id,
        id: Some(&id),
        role: new.role.as_deref().unwrap_or("assistant"),
        bot_id: new.bot_id.as_deref(),
        parent_id: new.parent_id.as_deref(),
        text: Some(""),
        status: Some("streaming"),
        model: new.model.as_deref(),
        metadata: new.metadata.as_deref(),
        created_at_ms: new.created_at_ms,
        ..NewMessage::default()
    };
    messages::add(writer, &[message], visit)?;
    execute(
        writer.connection,
        "INSERT INTO message_streams (message, client, started_at) VALUES (?1, ?2, ?3)",
        params![
            locate(writer.connection, &new.session_id, &id)?,
            client,
            writer.now_ms
        ],
    )?;
    Ok(())
}

/// Begins another version of a reply: a sibling with the same role, bot and parent. Of `new`, only
/// id, model, metadata and time count.
///
/// # Errors
/// `NOT_FOUND`, and as [`start`].
pub fn regenerate(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    new: &NewStream,
    client: &str,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let key = locate(writer.connection, session_id, id)?;
    let mut original = None;
    Rows::new(writer.connection).by_key(key, &mut |row| original = Some(Message::from(row)))?;
    let original = original.ok_or_else(|| Error::not_found("message", id))?;
    let sibling = NewStream {
        session_id: session_id.to_owned(),
        role: Some(original.role),
        parent_id: original.parent_id.map_or(Field::Null, Field::Value),
        bot_id: original.bot_id.map_or(Field::Null, Field::Value),
        ..new.clone()
    };
    start(writer, &sibling, client, visit)
}

/// Adds to a reply. `first_number` is the number of the first delta, from 0 on; those that came
/// before are left out, so that a repeated call is harmless. A reply that broke off because its
/// client seemed gone goes on.
///
/// # Errors
/// `NOT_FOUND`; `STREAM_ENDED` where the reply has ended; `INVALID_ARGUMENT` where numbers between
/// the last one and `first_number` are missing (`nextNumber` in the details) or a part is none;
/// `TOO_LARGE` over 64 MiB in all, counted as JSON.
pub fn append(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    first_number: i64,
    deltas: &[Delta],
) -> Result<()> {
    Stream::expect(writer.connection, session_id, id)?.append(writer, first_number, deltas)
}

/// Ends a reply as `complete`: the deltas become the message's content.
///
/// # Errors
/// `NOT_FOUND`, `STREAM_ENDED`, and as [`append`] and [`messages::update`].
pub fn finish(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    end: &StreamEnd,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    end_as(writer, session_id, id, "complete", end, visit)
}

/// Ends a reply as `incomplete` and keeps what has come.
///
/// # Errors
/// As [`finish`].
pub fn abort(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    end: &StreamEnd,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    end_as(writer, session_id, id, "incomplete", end, visit)
}

fn end_as(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    status: &str,
    end: &StreamEnd,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let connection = writer.connection;
    let stream = Stream::expect(connection, session_id, id)?;
    check_optional(
        "finishReason",
        end.finish_reason.as_deref(),
        limits::MODEL_BYTES,
    )?;
    check_optional("content", end.text.as_deref(), limits::CONTENT_BYTES)?;
    if end.text.is_some() && end.parts.is_some() {
        return Err(Error::argument("end", "text or parts", "both"));
    }
    if !end.deltas.is_empty() {
        stream.append(writer, end.first_number, &end.deltas)?;
    }
    let derived = write::derive_text(connection, 0, end.parts.as_deref())?;
    let body = match derived.or_else(|| end.text.clone()) {
        Some(text) => Body {
            text,
            parts: end.parts.clone(),
        },
        None => stream.fold(connection)?.0,
    };
    let usage = end.usage.unwrap_or_default();
    execute(
        connection,
        "UPDATE messages SET text = ?2, parts = ?3, status = ?4, finish_reason = coalesce(?5, finish_reason),
           updated_at = ?6, input_tokens = iif(?7, ?8, input_tokens), output_tokens = iif(?7, ?9, output_tokens),
           reasoning_tokens = iif(?7, ?10, reasoning_tokens), cached_tokens = iif(?7, ?11, cached_tokens),
           cost_usd = iif(?7, ?12, cost_usd), duration_ms = iif(?7, ?13, duration_ms)
         WHERE key = ?1",
        params![
            stream.message,
            body.text,
            body.parts,
            status,
            end.finish_reason,
            writer.now_ms,
            end.usage.is_some(),
            usage.input_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            usage.cached_tokens,
            usage.cost_usd,
            usage.duration_ms
        ],
    )?;
    stream.forget(connection)?;
    summary::refresh(writer, session_of(stream.message), 0)?;
    Rows::new(connection).by_key(stream.message, visit)?;
    Ok(())
}

/// Ends the replies of a client that is gone as `incomplete`. An [`append`] within a day takes one up
/// again, unless somebody else has changed it. Gives how many ended.
///
/// # Errors
/// What writing can fail with.
pub fn end_streams_of(writer: Writer<'_>, client: &str) -> Result<u64> {
    let connection = writer.connection;
    let streams = list(
        connection,
        "st.client = ?1 AND st.ended_at IS NULL",
        [client],
    )?;
    for stream in &streams {
        stream.break_off(writer)?;
        summary::refresh(writer, session_of(stream.message), 0)?;
    }
    execute(
        connection,
        "DELETE FROM message_streams WHERE ended_at < ?1",
        [writer.now_ms - RESUMABLE_MS],
    )?;
    Ok(streams.len() as u64)
}

/// The replies that are under way, of all clients, oldest first.
///
/// # Errors
/// What reading can fail with.
pub fn open_streams(connection: &Connection) -> Result<Vec<OpenStream>> {
    let mut statement = connection.prepare_cached(
        "SELECT s.id, m.id, st.client, st.started_at FROM message_streams st
         JOIN messages m ON m.key = st.message JOIN sessions s ON s.key = m.session
         WHERE st.ended_at IS NULL ORDER BY st.started_at, st.key",
    )?;
    let open = statement.query_map([], |row| {
        Ok(OpenStream {
            session_id: row.get(0)?,
            id: row.get(1)?,
            client: row.get(2)?,
            started_at_ms: row.get(3)?,
        })
    })?;
    Ok(open.collect::<rusqlite::Result<_>>()?)
}

/// Whether replies under way have more than their messages' rows show; see [`settle_all`].
///
/// # Errors
/// What reading can fail with.
pub fn are_unsettled(connection: &Connection) -> Result<bool> {
    Ok(value(
        connection,
        "SELECT EXISTS (SELECT 1 FROM message_deltas)",
        [],
    )?
    .unwrap_or(false))
}

/// Moves what has come of replies under way into their messages, where a search finds it; they go on.
///
/// # Errors
/// What writing can fail with.
pub fn settle_all(writer: Writer<'_>) -> Result<()> {
    settle(writer, &list(writer.connection, "st.ended_at IS NULL", [])?)
}

/// As [`settle_all`], for one session, before its messages are copied.
pub(super) fn settle_session(writer: Writer<'_>, session: i64) -> Result<()> {
    let (from, to) = key_range(session);
    let condition = "st.message BETWEEN ?1 AND ?2 AND st.ended_at IS NULL";
    settle(writer, &list(writer.connection, condition, [from, to])?)
}

fn settle(writer: Writer<'_>, streams: &[Stream]) -> Result<()> {
    for stream in streams {
        if stream.settle(writer.connection)? {
            summary::refresh(writer, session_of(stream.message), 0)?;
        }
    }
    Ok(())
}

/// The body of a message under way, with its deltas. None where it is none.
pub(super) fn so_far(connection: &Connection, message: i64) -> Result<Option<Body>> {
    match Stream::of_message(connection, message)? {
        Some(stream) => Ok(Some(stream.fold(connection)?.0)),
        None => Ok(None),
    }
}

/// Ends the stream of a message whose content or status is about to be set by somebody: what has come
/// is folded, and its client can add nothing more.
pub(super) fn take_over(writer: Writer<'_>, message: i64) -> Result<()> {
    let Some(stream) = Stream::of_message(writer.connection, message)? else {
        return Ok(());
    };
    if !stream.ended {
        stream.settle(writer.connection)?;
        set_status(writer, message, "incomplete")?;
        summary::refresh(writer, session_of(message), 0)?;
    }
    stream.forget(writer.connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdMaker;
    use crate::model::NewSession;
    use crate::store::{schema, sessions};
    use crate::vfs::{MemoryStorage, Vfs};

    /// Frames in the log since it was last moved into the file.
    fn take_frames(connection: &Connection) -> i64 {
        connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
            .unwrap()
    }

    /// Pages that each of many appends to some replies in turn wrote, on average.
    fn pages_an_append(replies: usize) -> f64 {
        const ROUNDS: i64 = 500;
        let vfs = Vfs::register(MemoryStorage::new()).unwrap();
        let connection = vfs.connect("x", rusqlite::OpenFlags::default()).unwrap();
        schema::configure(&connection, 1000, "FULL").unwrap();
        schema::prepare(&connection, "x").unwrap();
        let ids = IdMaker::default();
        let writer = Writer {
            connection: &connection,
            now_ms: 1,
            ids: &ids,
        };
        let session_ids: Vec<String> = (0..replies).map(|at| at.to_string()).collect();
        for session_id in &session_ids {
            let session = NewSession {
                id: Some(session_id.clone()),
                ..NewSession::default()
            };
            sessions::create(writer, &session).unwrap();
            let new = NewStream {
                session_id: session_id.clone(),
                id: Some("m".into()),
                ..NewStream::default()
            };
            start(writer, &new, "client", &mut |_| ()).unwrap();
        }
        take_frames(&connection);
        let deltas = [Delta::Grow {
            part_type: "text".into(),
            text: "sixty characters, which is what comes in a tenth of a second".into(),
        }];
        let mut frames = 0;
        for number in 0..ROUNDS {
            for session_id in &session_ids {
                append(writer, session_id, "m", number, &deltas).unwrap();
                frames += take_frames(&connection);
            }
        }
        frames as f64 / (ROUNDS * replies as i64) as f64
    }

    #[test]
    fn an_append_writes_about_one_page() {
        // The rest begin a new page, or move cells to a page between those of two replies.
        let alone = pages_an_append(1);
        assert!(alone < 1.1, "{alone} pages an append");
        let side_by_side = pages_an_append(8);
        assert!(side_by_side < 1.7, "{side_by_side} pages an append");
    }
}
