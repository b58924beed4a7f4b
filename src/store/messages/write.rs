//! Writing messages: add, put, update.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use rusqlite::{Connection, params};

use super::read::Rows;
use super::{key_range, locate, path, seq_of, session_of, summary};
use crate::error::{Code, Error, Result};
use crate::model::{Field, MessagePatch, MessageRef, NewMessage, Usage, limits};
use crate::store::{
    Writer, bots, check_batch, check_bytes, check_json, check_named, check_optional, execute,
    first, search, streams, value,
};

const STATUSES: [&str; 5] = ["pending", "streaming", "complete", "incomplete", "error"];

/// A session while messages are added to it; its row is written once, at the end.
struct Target<'m> {
    key: i64,
    bot: Option<(i64, Rc<str>)>,
    head: Option<(i64, Rc<str>)>,
    next_seq: i64,
    added: i64,
    last_created_at_ms: i64,
    last_text: Cow<'m, str>,
}

/// A message that was added, as far as its caller did not say so.
struct Added {
    key: i64,
    id: Rc<str>,
    bot_id: Option<Rc<str>>,
    parent_id: Option<Rc<str>>,
    created_at_ms: i64,
    /// The text of its parts.
    derived: Option<String>,
}

/// Adds messages. Each becomes the head of its session.
///
/// # Errors
/// `CONSTRAINT_FOREIGN_KEY` where a session, bot or parent does not exist, `CONSTRAINT_UNIQUE` where
/// the session has a message of that id, `CONSTRAINT_CHECK` where the session is in the trash,
/// `INVALID_ARGUMENT`, `TOO_LARGE`.
pub fn add(
    writer: Writer<'_>,
    messages: &[NewMessage<'_>],
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let mut batch = Batch::new(writer, messages.len())?;
    let mut order = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        order.push((batch.target(message.session_id)?, at));
    }
    // Session by session, in the order of keys: of several that take turns, most pages would be
    // written to again and again, and split where they could be filled.
    order.sort_by_key(|(target, _)| batch.targets[*target].key);
    let mut all: Vec<Option<Added>> = Vec::new();
    all.resize_with(messages.len(), || None);
    for (target, at) in order {
        let message = &messages[at];
        let parent = batch.parent(target, message)?;
        all[at] = Some(batch.insert(at, target, parent, message)?);
    }
    batch.finish()?;
    for (message, added) in messages.iter().zip(all) {
        if let Some(added) = added {
            added.show(writer, message, visit);
        }
    }
    Ok(())
}

impl Added {
    fn show(
        &self,
        writer: Writer<'_>,
        message: &NewMessage<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) {
        visit(&MessageRef {
            id: &self.id,
            session_id: message.session_id,
            bot_id: self.bot_id.as_deref(),
            parent_id: self.parent_id.as_deref(),
            seq: seq_of(self.key),
            active: true,
            role: message.role,
            text: self.derived.as_deref().or(message.text).unwrap_or_default(),
            parts: message.parts,
            status: message.status.unwrap_or("complete"),
            finish_reason: message.finish_reason,
            error: message.error,
            model: message.model,
            usage: message.usage,
            metadata: message.metadata,
            created_at_ms: self.created_at_ms,
            updated_at_ms: writer.now_ms,
            deleted_at_ms: None,
            is_echo: false,
        });
    }
}

/// Inserts or replaces messages by their ids. Within a session each is chained to the one before it
/// in the call, the first keeps its parent (a new one follows the head), the last becomes the head.
/// What is the same already is not written again.
///
/// # Errors
/// As [`add`]; `INVALID_ARGUMENT` where the order of the call would put a message before one that
/// is older than it.
pub fn put(
    writer: Writer<'_>,
    messages: &[NewMessage<'_>],
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let connection = writer.connection;
    let mut batch = Batch::new(writer, messages.len())?;
    let mut chained: HashMap<i64, (i64, Rc<str>)> = HashMap::new();
    let mut restored: HashMap<i64, i64> = HashMap::new();
    let mut keys = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        let target = batch.target(message.session_id)?;
        let session = batch.targets[target].key;
        let existing = match message.id {
            Some(id) => super::key(connection, session, id)?,
            None => None,
        };
        let before = chained.get(&session).cloned();
        let (key, id) = match (existing, message.id) {
            (Some(key), Some(id)) => {
                let parent = match (before, message.parent_id) {
                    (Some((parent, _)), Field::Absent) => Field::Value(parent),
                    (None, Field::Absent) => Field::Absent,
                    (_, Field::Null) => Field::Null,
                    (_, Field::Value(_)) => match batch.parent(target, message)? {
                        Some((parent, _)) => Field::Value(parent),
                        None => Field::Null,
                    },
                };
                *restored.entry(session).or_default() += batch.replace(at, key, parent, message)?;
                (key, id.into())
            }
            _ => {
                let parent = match (before, message.parent_id) {
                    (Some(parent), Field::Absent) => Some(parent),
                    _ => batch.parent(target, message)?,
                };
                let added = batch.insert(at, target, parent, message)?;
                (added.key, added.id)
            }
        };
        batch.targets[target].head = Some((key, Rc::clone(&id)));
        chained.insert(session, (key, id));
        keys.push(key);
    }
    batch.finish()?;
    for (session, (head, _)) in chained {
        path::rebuild(connection, head)?;
        summary::refresh(
            writer,
            session,
            restored.get(&session).copied().unwrap_or_default(),
        )?;
    }
    let mut rows = Rows::new(connection);
    for key in keys {
        rows.by_key(key, visit)?;
    }
    Ok(())
}

/// The sessions and bots that a call has met so far.
struct Batch<'c, 'm> {
    writer: Writer<'c>,
    targets: Vec<Target<'m>>,
    by_session_id: HashMap<&'m str, usize>,
    bots: HashMap<&'m str, (i64, Rc<str>)>,
}

impl<'c, 'm> Batch<'c, 'm> {
    fn new(writer: Writer<'c>, messages: usize) -> Result<Self> {
        check_batch(messages)?;
        Ok(Self {
            writer,
            targets: Vec::new(),
            by_session_id: HashMap::new(),
            bots: HashMap::new(),
        })
    }

    fn target(&mut self, session_id: &'m str) -> Result<usize> {
        if let Some(index) = self.by_session_id.get(session_id) {
            return Ok(*index);
        }
        let found = first(
            self.writer.connection,
            "SELECT s.key, s.bot, b.id, s.head, h.id, s.next_seq, s.deleted_at FROM sessions s
             LEFT JOIN bots b ON b.key = s.bot LEFT JOIN messages h ON h.key = s.head WHERE s.id = ?1",
            [session_id],
            |row| {
                let bot: (Option<i64>, Option<Rc<str>>) = (row.get(1)?, row.get(2)?);
                let head: (Option<i64>, Option<Rc<str>>) = (row.get(3)?, row.get(4)?);
                let target = Target {
                    key: row.get(0)?,
                    bot: bot.0.zip(bot.1),
                    head: head.0.zip(head.1),
                    next_seq: row.get(5)?,
                    added: 0,
                    last_created_at_ms: 0,
                    last_text: Cow::Borrowed(""),
                };
                Ok((target, row.get::<_, Option<i64>>(6)?))
            },
        )?;
        let Some((target, deleted_at_ms)) = found else {
            return Err(Error::dangling(
                "messages", "session", "session", session_id,
            ));
        };
        if deleted_at_ms.is_some() {
            return Err(Error::new(
                Code::ConstraintCheck,
                format!("session {session_id:?} is in the trash; restore it before writing messages to it"),
            )
            .with("constraint", "messages_session_kept")
            .with("table", "messages")
            .with("column", "session"));
        }
        self.targets.push(target);
        let index = self.targets.len() - 1;
        self.by_session_id.insert(session_id, index);
        Ok(index)
    }

    fn parent(&self, target: usize, message: &NewMessage<'_>) -> Result<Option<(i64, Rc<str>)>> {
        let target = &self.targets[target];
        match message.parent_id {
            Field::Absent => Ok(target.head.clone()),
            Field::Null => Ok(None),
            Field::Value(id) => {
                if let Some(head) = target.head.as_ref().filter(|(_, head_id)| **head_id == *id) {
                    return Ok(Some(head.clone()));
                }
                match super::key(self.writer.connection, target.key, id)? {
                    Some(key) => Ok(Some((key, id.into()))),
                    None => Err(Error::dangling("messages", "parent", "message", id)),
                }
            }
        }
    }

    fn bot(&mut self, id: &'m str) -> Result<(i64, Rc<str>)> {
        if let Some(bot) = self.bots.get(id) {
            return Ok(bot.clone());
        }
        let key = bots::key(self.writer.connection, id)?
            .ok_or_else(|| Error::dangling("messages", "bot", "bot", id))?;
        self.bots.insert(id, (key, id.into()));
        Ok((key, id.into()))
    }

    fn insert(
        &mut self,
        at: usize,
        target: usize,
        parent: Option<(i64, Rc<str>)>,
        message: &NewMessage<'m>,
    ) -> Result<Added> {
        let writer = self.writer;
        check(writer.connection, at, message)?;
        let derived = derive_text(writer.connection, at, message.parts)?;
        let text = derived.as_deref().or(message.text).unwrap_or_default();
        let own_bot = match message.bot_id {
            Field::Value(id) => Some(self.bot(id)?),
            _ => None,
        };
        let target = &mut self.targets[target];
        let (from, to) = key_range(target.key);
        let key = from + target.next_seq;
        if key > to - 1 {
            return Err(Error::new(
                Code::TooLarge,
                "the session has no room for another message",
            ));
        }
        let bot = match message.bot_id {
            Field::Absent => target.bot.clone(),
            _ => own_bot,
        };
        let parent_key = parent.as_ref().map(|(key, _)| *key);
        let follows_head = parent_key == target.head.as_ref().map(|(key, _)| *key);
        let id: Rc<str> = message.id.map_or_else(|| writer.new_id().into(), Rc::from);
        let created_at_ms = message.created_at_ms.unwrap_or(writer.now_ms);
        let status = message.status.unwrap_or("complete");
        if target.added == 0 {
            search::expect_messages(writer.connection, target.key, key)?;
        }
        let Usage {
            input_tokens,
            output_tokens,
            reasoning_tokens,
            cached_tokens,
            cost_usd,
            duration_ms,
        } = message.usage;
        execute(
            writer.connection,
            "INSERT INTO messages (key, session, id, bot, parent, active, role, status, created_at, updated_at,
               finish_reason, error, model, input_tokens, output_tokens, reasoning_tokens, cached_tokens, cost_usd,
               duration_ms, metadata, text, parts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
            params![
                key,
                target.key,
                &*id,
                bot.as_ref().map(|(key, _)| *key),
                parent_key,
                follows_head,
                message.role,
                status,
                created_at_ms,
                writer.now_ms,
                message.finish_reason,
                message.error,
                message.model,
                input_tokens,
                output_tokens,
                reasoning_tokens,
                cached_tokens,
                cost_usd,
                duration_ms,
                message.metadata,
                text,
                message.parts
            ],
        )?;
        if !follows_head {
            path::activate(writer.connection, key)?;
        }
        target.next_seq += 1;
        target.added += 1;
        target.last_created_at_ms = created_at_ms;
        target.last_text = match &derived {
            Some(text) => Cow::Owned(summary::beginning(text).to_owned()),
            None => Cow::Borrowed(message.text.unwrap_or_default()),
        };
        target.head = Some((key, Rc::clone(&id)));
        Ok(Added {
            key,
            id,
            bot_id: bot.map(|(_, id)| id),
            parent_id: parent.map(|(_, id)| id),
            created_at_ms,
            derived,
        })
    }

    /// Replaces a message in place where anything differs. Gives 1 where it left the trash by this.
    fn replace(
        &mut self,
        at: usize,
        key: i64,
        parent: Field<i64>,
        message: &NewMessage<'m>,
    ) -> Result<i64> {
        let writer = self.writer;
        check(writer.connection, at, message)?;
        let derived = derive_text(writer.connection, at, message.parts)?;
        let text = derived.as_deref().or(message.text).unwrap_or_default();
        if parent.value().is_some_and(|parent| *parent >= key) {
            return Err(Error::argument(
                &format!("messages[{at}]"),
                "a message that is newer than the one before it in the call",
                &format!("{:?}, which is older", message.id.unwrap_or_default()),
            ));
        }
        let bot = match message.bot_id {
            Field::Value(id) => Field::Value(self.bot(id)?.0),
            Field::Null => Field::Null,
            Field::Absent => Field::Absent,
        };
        let usage = message.usage;
        let was_deleted: Option<bool> = value(
            writer.connection,
            "SELECT deleted_at IS NOT NULL FROM messages WHERE key = ?1",
            [key],
        )?;
        streams::take_over(writer, key)?;
        execute(
            writer.connection,
            "UPDATE messages SET bot = iif(?2, ?3, bot), parent = iif(?4, ?5, parent), role = ?6, status = ?7,
               created_at = coalesce(?8, created_at), updated_at = ?9, deleted_at = NULL, finish_reason = ?10,
               error = ?11, model = ?12, input_tokens = ?13, output_tokens = ?14, reasoning_tokens = ?15,
               cached_tokens = ?16, cost_usd = ?17, duration_ms = ?18, metadata = ?19, text = ?20, parts = ?21
             WHERE key = ?1 AND (
               bot IS NOT iif(?2, ?3, bot) OR parent IS NOT iif(?4, ?5, parent) OR role IS NOT ?6 OR status IS NOT ?7
               OR created_at IS NOT coalesce(?8, created_at) OR deleted_at IS NOT NULL OR finish_reason IS NOT ?10
               OR error IS NOT ?11 OR model IS NOT ?12 OR input_tokens IS NOT ?13 OR output_tokens IS NOT ?14
               OR reasoning_tokens IS NOT ?15 OR cached_tokens IS NOT ?16 OR cost_usd IS NOT ?17
               OR duration_ms IS NOT ?18 OR metadata IS NOT ?19 OR text IS NOT ?20 OR parts IS NOT ?21)",
            params![
                key,
                bot.is_given(),
                bot.value(),
                parent.is_given(),
                parent.value(),
                message.role,
                message.status.unwrap_or("complete"),
                message.created_at_ms,
                writer.now_ms,
                message.finish_reason,
                message.error,
                message.model,
                usage.input_tokens,
                usage.output_tokens,
                usage.reasoning_tokens,
                usage.cached_tokens,
                usage.cost_usd,
                usage.duration_ms,
                message.metadata,
                text,
                message.parts
            ],
        )?;
        Ok(i64::from(was_deleted == Some(true)))
    }

    fn finish(&self) -> Result<()> {
        for target in &self.targets {
            let head = target.head.as_ref().map(|(key, _)| *key);
            if target.added == 0 {
                execute(
                    self.writer.connection,
                    "UPDATE sessions SET head = ?2 WHERE key = ?1",
                    params![target.key, head],
                )?;
                continue;
            }
            execute(
                self.writer.connection,
                "UPDATE sessions SET head = ?2, next_seq = ?3, message_count = message_count + ?4,
                   last_message_at = ?5, preview = ?6, updated_at = ?7, revision = revision + ?4
                 WHERE key = ?1",
                params![
                    target.key,
                    head,
                    target.next_seq,
                    target.added,
                    target.last_created_at_ms,
                    summary::preview(summary::beginning(&target.last_text)),
                    self.writer.now_ms
                ],
            )?;
        }
        Ok(())
    }
}

fn check(connection: &Connection, at: usize, message: &NewMessage<'_>) -> Result<()> {
    let argument = |field: &str| format!("messages[{at}].{field}");
    // Names are made for failures only: this runs for each message of a bulk insert.
    if message.role.is_empty() || message.role.len() > limits::ROLE_BYTES {
        check_named(&argument("role"), message.role, limits::ROLE_BYTES)?;
    }
    if let Some(id) = message.id
        && (id.is_empty() || id.len() > limits::ID_BYTES)
    {
        check_named(&argument("id"), id, limits::ID_BYTES)?;
    }
    if message.text.is_some() == message.parts.is_some() {
        let received = if message.text.is_some() {
            "both"
        } else {
            "neither"
        };
        return Err(Error::argument(
            &format!("messages[{at}]"),
            "either text or parts",
            received,
        ));
    }
    if message
        .text
        .is_some_and(|text| text.len() > limits::CONTENT_BYTES)
    {
        check_optional(&argument("content"), message.text, limits::CONTENT_BYTES)?;
    }
    if let Some(status) = message.status {
        check_status(&argument("status"), status)?;
    }
    check_optional("model", message.model, limits::MODEL_BYTES)?;
    check_optional("finishReason", message.finish_reason, limits::MODEL_BYTES)?;
    if message.error.is_some() {
        check_json(connection, &argument("error"), message.error)?;
    }
    if message.metadata.is_some() {
        check_json(connection, &argument("metadata"), message.metadata)?;
    }
    Ok(())
}

fn check_status(argument: &str, status: &str) -> Result<()> {
    if STATUSES.contains(&status) {
        return Ok(());
    }
    Err(Error::argument(
        argument,
        &format!("one of {}", STATUSES.join(", ")),
        &format!("{status:?}"),
    ))
}

/// The text of a message that consists of parts: its text parts, a line each. None without parts.
pub(in crate::store) fn derive_text(
    connection: &Connection,
    at: usize,
    parts: Option<&str>,
) -> Result<Option<String>> {
    let Some(parts) = parts else { return Ok(None) };
    check_bytes("parts", parts, limits::CONTENT_BYTES)?;
    let text: Option<String> = value(
        connection,
        "SELECT CASE WHEN json_valid(?1) AND json_type(iif(json_valid(?1), ?1, '{}')) = 'array' THEN (
           SELECT coalesce(group_concat(json_extract(value, '$.text'), char(10)), '') FROM json_each(?1)
           WHERE type = 'object' AND json_extract(value, '$.type') = 'text') END",
        [parts],
    )?
    .flatten();
    if text.is_none() {
        return Err(Error::argument(
            &format!("messages[{at}].parts"),
            "a JSON array",
            "something else",
        ));
    }
    Ok(text)
}

/// Changes a message in place.
///
/// # Errors
/// `NOT_FOUND`, `INVALID_ARGUMENT`, `TOO_LARGE`.
pub fn update(
    writer: Writer<'_>,
    session_id: &str,
    id: &str,
    patch: &MessagePatch,
    visit: &mut dyn FnMut(&MessageRef<'_>),
) -> Result<()> {
    let connection = writer.connection;
    let key = locate(connection, session_id, id)?;
    if let Some(status) = &patch.status {
        check_status("status", status)?;
    }
    check_json(connection, "error", patch.error.value().map(String::as_str))?;
    check_json(
        connection,
        "metadata",
        patch.metadata.value().map(String::as_str),
    )?;
    check_optional(
        "model",
        patch.model.value().map(String::as_str),
        limits::MODEL_BYTES,
    )?;
    check_optional(
        "finishReason",
        patch.finish_reason.value().map(String::as_str),
        limits::MODEL_BYTES,
    )?;
    check_optional("content", patch.text.as_deref(), limits::CONTENT_BYTES)?;
    if patch.text.is_some() && patch.parts.is_some() {
        return Err(Error::argument("patch", "text or parts", "both"));
    }
    let derived = derive_text(connection, 0, patch.parts.as_deref())?;
    let text = derived.as_deref().or(patch.text.as_deref());
    let sets_status = patch
        .status
        .as_deref()
        .is_some_and(|status| status != "streaming");
    if text.is_some() || sets_status {
        streams::take_over(writer, key)?;
    }
    let usage = patch.usage.value().copied().unwrap_or_default();
    execute(
        connection,
        "UPDATE messages SET status = coalesce(?2, status), finish_reason = iif(?3, ?4, finish_reason),
           error = iif(?5, ?6, error), model = iif(?7, ?8, model), metadata = iif(?9, ?10, metadata),
           input_tokens = iif(?11, ?12, input_tokens), output_tokens = iif(?11, ?13, output_tokens),
           reasoning_tokens = iif(?11, ?14, reasoning_tokens), cached_tokens = iif(?11, ?15, cached_tokens),
           cost_usd = iif(?11, ?16, cost_usd), duration_ms = iif(?11, ?17, duration_ms), updated_at = ?18
         WHERE key = ?1",
        params![
            key,
            patch.status,
            patch.finish_reason.is_given(),
            patch.finish_reason.value(),
            patch.error.is_given(),
            patch.error.value(),
            patch.model.is_given(),
            patch.model.value(),
            patch.metadata.is_given(),
            patch.metadata.value(),
            patch.usage.is_given(),
            usage.input_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            usage.cached_tokens,
            usage.cost_usd,
            usage.duration_ms,
            writer.now_ms
        ],
    )?;
    if let Some(text) = text {
        execute(
            connection,
            "UPDATE messages SET text = ?2, parts = ?3 WHERE key = ?1",
            params![key, text, patch.parts],
        )?;
        summary::refresh(writer, session_of(key), 0)?;
    } else {
        summary::touch(writer, session_of(key))?;
    }
    Rows::new(connection).by_key(key, visit)?;
    Ok(())
}
