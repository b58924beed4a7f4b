//! Answers of the store in the words of the model.

use chatstore::Reply;
use chatstore::engine::Answer;
use chatstore::model::Message;
use rusqlite::types::Value;

use super::model::Lines;

/// Every row, worded as the model does.
pub const DUMP: &str = "
SELECT line FROM (
  SELECT 1 AS kind, id AS owner, 0 AS place, 'bot ' || id || ' ' || name || ' trash=' || (deleted_at IS NOT NULL) AS line
    FROM bots
  UNION ALL
  SELECT 2, s.id, 0, 'session ' || s.id || ' ' || s.title || ' bot=' || coalesce(b.id, '-') || ' trash=' ||
      (s.deleted_at IS NOT NULL) || ' head=' || coalesce(h.id, '-') || ' count=' || s.message_count
    FROM sessions s LEFT JOIN bots b ON b.key = s.bot LEFT JOIN messages h ON h.key = s.head
  UNION ALL
  SELECT 3, s.id, m.seq, 'message ' || s.id || ' ' || m.seq || ' ' || m.id || ' parent=' || coalesce(p.id, '-') ||
      ' active=' || m.active || ' ' || m.role || ' bot=' || coalesce(b.id, '-') || ' ' || m.status || ' trash=' ||
      (m.deleted_at IS NOT NULL) || ' ' || m.text || coalesce((SELECT group_concat(delta, '') FROM
        (SELECT delta FROM message_deltas WHERE key >> 32 = st.key ORDER BY key)), '') ||
      coalesce(' ' || st.client || '/' || coalesce((SELECT 1 + max(key & 4294967295) FROM message_deltas
        WHERE key >> 32 = st.key), st.next_number) || '/' || (st.ended_at IS NOT NULL), '')
    FROM sessions s CROSS JOIN messages m ON m.session = s.key LEFT JOIN messages p ON p.key = m.parent
      LEFT JOIN bots b ON b.key = m.bot LEFT JOIN message_streams st ON st.message = m.key
  UNION ALL
  SELECT 4, id, 0, 'operation ' || id FROM operations)
ORDER BY kind, owner, place";

/// The id that the store made for what a write has given.
pub fn made_id(answer: &Answer<Vec<Message>>) -> Option<&str> {
    match &answer.reply {
        Reply::Sessions(page) => page.items.first().map(|session| &*session.id),
        _ => answer.messages.first().map(|message| &*message.id),
    }
}

/// An answer in the words of the model.
pub fn lines(answer: &Answer<Vec<Message>>) -> Lines {
    let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
    let bit = |is: bool| u8::from(is);
    match &answer.reply {
        Reply::Bots(page) => page
            .items
            .iter()
            .map(|bot| {
                let trash = bit(bot.deleted_at_ms.is_some());
                format!("bot {} {} trash={trash}", bot.id, bot.name)
            })
            .collect(),
        Reply::Sessions(page) => page
            .items
            .iter()
            .map(|session| {
                format!(
                    "session {} {} bot={} trash={} head={} count={}",
                    session.id,
                    session.title.as_deref().unwrap_or_default(),
                    or_none(&session.bot_id),
                    bit(session.deleted_at_ms.is_some()),
                    or_none(&session.head_id),
                    session.message_count,
                )
            })
            .collect(),
        Reply::Messages(_) => answer
            .messages
            .iter()
            .map(|message| {
                format!(
                    "message {} {} {} parent={} active={} {} bot={} {} trash={} {}",
                    message.session_id,
                    message.seq,
                    message.id,
                    or_none(&message.parent_id),
                    bit(message.active),
                    message.role,
                    or_none(&message.bot_id),
                    message.status,
                    bit(message.deleted_at_ms.is_some()),
                    message.text,
                )
            })
            .collect(),
        Reply::Hits(page) => {
            let hits = page
                .items
                .iter()
                .map(|hit| format!("hit {} {}", hit.session_id, hit.id));
            let mut hits: Lines = hits.collect();
            hits.sort();
            hits
        }
        Reply::Count(count) => vec![format!(
            "count {} {} {}",
            count.bots, count.sessions, count.messages
        )],
        Reply::Table(table) => table
            .cells
            .iter()
            .map(|cell| match cell {
                Value::Text(text) => text.clone(),
                other => format!("{other:?}"),
            })
            .collect(),
        Reply::Done => Vec::new(),
        Reply::Scope(scope) => vec![format!("scope {scope}")],
        other => panic!("expected rows, got {other:?}"),
    }
}
