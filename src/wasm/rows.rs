//! Which columns each kind of reply has, in the order that `js/client/rows.ts` reads them in.

use rusqlite::types::Value;

use crate::engine::{Collect, Info, Reply, Table};
use crate::error::Result;
use crate::model::{Bot, Count, MessageRef, PageEnds, SearchHit, Session, TreeNode, Usage};
use crate::pack::{self, Numbers, Texts};
use crate::store::check_reply;

const BOTS: u32 = 1;
const SESSIONS: u32 = 2;
const MESSAGES: u32 = 3;
const HITS: u32 = 4;
const TREE: u32 = 5;
const COUNT: u32 = 6;

/// Messages, packed as they are read.
#[derive(Default)]
pub(super) struct Messages {
    count: usize,
    size_bytes: usize,
    numbers: [Numbers; 11],
    texts: [Texts; 12],
}

impl Messages {
    /// Takes another message in. Beyond what a reply may hold they are only counted.
    pub(super) fn push(&mut self, message: &MessageRef<'_>) {
        let brief;
        let message = if message.is_echo {
            brief = without_echo(message);
            &brief
        } else {
            message
        };
        self.size_bytes += message.text.len() + message.parts.map_or(0, str::len);
        if check_reply(self.size_bytes).is_err() {
            return;
        }
        let usage = message.usage;
        let numbers = [
            Some(message.seq as f64),
            Some(f64::from(u8::from(message.active))),
            usage.input_tokens.map(|number| number as f64),
            usage.output_tokens.map(|number| number as f64),
            usage.reasoning_tokens.map(|number| number as f64),
            usage.cached_tokens.map(|number| number as f64),
            usage.cost_usd,
            usage.duration_ms.map(|number| number as f64),
            Some(message.created_at_ms as f64),
            Some(message.updated_at_ms as f64),
            message.deleted_at_ms.map(|number| number as f64),
        ];
        let texts = [
            Some(message.id),
            Some(message.session_id),
            message.bot_id,
            message.parent_id,
            Some(message.role),
            Some(message.text),
            message.parts,
            Some(message.status),
            message.finish_reason,
            message.error,
            message.model,
            message.metadata,
        ];
        self.count += 1;
        for (column, value) in self.numbers.iter_mut().zip(numbers) {
            column.push(value);
        }
        for (column, value) in self.texts.iter_mut().zip(texts) {
            column.push(value);
        }
    }
}

/// What its caller does not know of a message that was added. The empty role says that the rest is missing.
fn without_echo<'a>(message: &MessageRef<'a>) -> MessageRef<'a> {
    MessageRef {
        session_id: "",
        role: "",
        text: message.parts.map_or("", |_| message.text),
        parts: None,
        status: "",
        finish_reason: None,
        error: None,
        model: None,
        usage: Usage::default(),
        metadata: None,
        ..*message
    }
}

impl Collect for Messages {
    fn message(&mut self, message: &MessageRef<'_>) {
        self.push(message);
    }
}

/// Packs a reply; `messages` are those that its call handed to the visitor.
pub(super) fn encode(reply: &Reply, messages: Messages) -> Result<Vec<u8>> {
    Ok(match reply {
        Reply::Bots(page) => bots(&page.items, &page.ends),
        Reply::Sessions(page) => sessions(&page.items, &page.ends),
        Reply::Messages(ends) => {
            check_reply(messages.size_bytes)?;
            let Messages {
                count,
                numbers,
                texts,
                ..
            } = messages;
            pack::rows(MESSAGES, count, &numbers, &texts, ends)
        }
        Reply::Hits(page) => hits(&page.items, &page.ends),
        Reply::Tree(nodes) => tree(nodes),
        Reply::Count(changed) => count(changed),
        Reply::Scope(scope) => count(&Count {
            messages: u64::from(*scope),
            ..Count::default()
        }),
        Reply::Done => count(&Count::default()),
        Reply::Table(table) => pack::table(table),
    })
}

fn count(count: &Count) -> Vec<u8> {
    let Count {
        bots,
        sessions,
        messages,
    } = count;
    let numbers = [*bots, *sessions, *messages].map(|count| Some(count as f64));
    columns(COUNT, &[()], &PageEnds::default(), |()| (numbers, []))
}

/// What is known of a store, as one row.
pub(super) fn info(info: &Info) -> Table {
    let Info {
        path,
        schema_version,
        sqlite_version,
        page_size_bytes,
        durability,
        generation,
        epoch,
    } = info;
    let text = |text: &str| Value::Text(text.to_owned());
    let cells = [
        ("path", text(path)),
        ("schemaVersion", Value::Integer(i64::from(*schema_version))),
        ("sqliteVersion", text(sqlite_version)),
        ("pageSizeBytes", Value::Integer(i64::from(*page_size_bytes))),
        ("durability", text(durability.as_str())),
        ("generation", text(generation)),
        ("epoch", Value::Integer(*epoch)),
    ];
    let (columns, cells): (Vec<String>, Vec<Value>) = cells
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .unzip();
    Table {
        columns,
        cells,
        size_bytes: 0,
    }
}

/// Packs one row after the other, given the values of each.
fn columns<T, const N: usize, const M: usize>(
    kind: u32,
    rows: &[T],
    ends: &PageEnds,
    values: impl for<'a> Fn(&'a T) -> ([Option<f64>; N], [Option<&'a str>; M]),
) -> Vec<u8> {
    let mut numbers: [Numbers; N] = std::array::from_fn(|_| Numbers::default());
    let mut texts: [Texts; M] = std::array::from_fn(|_| Texts::default());
    for row in rows {
        let (row_numbers, row_texts) = values(row);
        for (column, value) in numbers.iter_mut().zip(row_numbers) {
            column.push(value);
        }
        for (column, value) in texts.iter_mut().zip(row_texts) {
            column.push(value);
        }
    }
    pack::rows(kind, rows.len(), &numbers, &texts, ends)
}

fn time(ms: i64) -> Option<f64> {
    Some(ms as f64)
}

fn time_if_set(ms: Option<i64>) -> Option<f64> {
    ms.map(|ms| ms as f64)
}

fn bots(rows: &[Bot], ends: &PageEnds) -> Vec<u8> {
    columns(BOTS, rows, ends, |bot| {
        (
            [
                time(bot.created_at_ms),
                time(bot.updated_at_ms),
                time_if_set(bot.deleted_at_ms),
            ],
            [
                Some(&bot.id),
                Some(&bot.name),
                bot.avatar.as_deref(),
                bot.system_prompt.as_deref(),
                bot.model.as_deref(),
                bot.params.as_deref(),
                bot.metadata.as_deref(),
            ],
        )
    })
}

fn sessions(rows: &[Session], ends: &PageEnds) -> Vec<u8> {
    columns(SESSIONS, rows, ends, |session| {
        let forked_from = session.forked_from.as_ref();
        (
            [
                Some(f64::from(u8::from(session.pinned))),
                Some(session.message_count as f64),
                time_if_set(session.last_message_at_ms),
                Some(session.revision as f64),
                time(session.created_at_ms),
                time(session.updated_at_ms),
                time_if_set(session.deleted_at_ms),
            ],
            [
                Some(&session.id),
                session.bot_id.as_deref(),
                session.title.as_deref(),
                Some(&session.status),
                Some(&session.tags),
                session.head_id.as_deref(),
                forked_from.map(|from| from.session_id.as_str()),
                forked_from.map(|from| from.id.as_str()),
                session.preview.as_deref(),
                session.metadata.as_deref(),
            ],
        )
    })
}

fn hits(rows: &[SearchHit], ends: &PageEnds) -> Vec<u8> {
    columns(HITS, rows, ends, |hit| {
        (
            [
                Some(hit.rank),
                Some(hit.seq as f64),
                time(hit.created_at_ms),
            ],
            [
                Some(&hit.id),
                Some(&hit.session_id),
                hit.bot_id.as_deref(),
                Some(&hit.role),
                hit.session_title.as_deref(),
                Some(&hit.snippet),
            ],
        )
    })
}

fn tree(rows: &[TreeNode]) -> Vec<u8> {
    columns(TREE, rows, &PageEnds::default(), |node| {
        (
            [
                Some(node.seq as f64),
                Some(f64::from(u8::from(node.active))),
                time(node.created_at_ms),
                time_if_set(node.deleted_at_ms),
            ],
            [
                Some(&node.id),
                node.parent_id.as_deref(),
                Some(&node.role),
                Some(&node.status),
                Some(&node.preview),
            ],
        )
    })
}
