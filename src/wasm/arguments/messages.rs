//! The verbs of messages, and of replies that are streamed.

use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::{MessageId, Millis, field, from, unknown, whole, whole_if_given};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::model::{
    DeleteFilter, Field, MessageList, MessagePatch, NewMessage, PageOptions, Usage,
};
use crate::store::streams::{Delta, NewStream, StreamEnd};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Empty {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionId {
    session_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageDeletion {
    session_id: String,
    id: String,
    #[serde(default)]
    permanent: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeleteWhere {
    session_id: Option<String>,
    bot_id: Option<String>,
    before: Option<Millis>,
    #[serde(default)]
    permanent: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessagesList {
    session_id: Option<String>,
    around: Option<String>,
    #[serde(default)]
    from_start: bool,
    branches: Option<String>,
    bot_id: Option<String>,
    order: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessagesUpdate {
    session_id: String,
    id: String,
    patch: MessageFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageFields {
    status: Option<String>,
    #[serde(default, deserialize_with = "field")]
    finish_reason: Field<String>,
    #[serde(default, deserialize_with = "field")]
    error: Field<String>,
    #[serde(default, deserialize_with = "field")]
    model: Field<String>,
    #[serde(default, deserialize_with = "field")]
    metadata: Field<String>,
    #[serde(default, deserialize_with = "field")]
    usage: Field<UsageFields>,
    text: Option<String>,
    parts: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageFields {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    reasoning_tokens: Option<f64>,
    cached_tokens: Option<f64>,
    cost_usd: Option<f64>,
    duration_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessagesStart {
    session_id: String,
    role: Option<String>,
    id: Option<String>,
    #[serde(default, deserialize_with = "field")]
    bot_id: Field<String>,
    #[serde(default, deserialize_with = "field")]
    parent_id: Field<String>,
    model: Option<String>,
    metadata: Option<String>,
    created_at: Option<Millis>,
    #[serde(default)]
    client: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessagesRegenerate {
    session_id: String,
    id: String,
    new_id: Option<String>,
    model: Option<String>,
    metadata: Option<String>,
    created_at: Option<Millis>,
    #[serde(default)]
    client: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessagesAppend {
    session_id: String,
    id: String,
    first_number: f64,
    deltas: Vec<DeltaFields>,
}

/// More text of a part of a type, or a whole part as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeltaFields {
    r#type: Option<String>,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessagesEnd {
    session_id: String,
    id: String,
    first_number: f64,
    #[serde(default)]
    deltas: Vec<DeltaFields>,
    text: Option<String>,
    parts: Option<String>,
    usage: Option<UsageFields>,
    finish_reason: Option<String>,
}

pub(super) fn request(verb: &str, args: JsValue) -> Result<Request<'static>> {
    Ok(match verb {
        "messages.add" => {
            let Empty {} = from(verb, args)?;
            Request::MessagesAdd(Vec::new())
        }
        "messages.put" => {
            let Empty {} = from(verb, args)?;
            Request::MessagesPut(Vec::new())
        }
        "messages.get" => {
            let MessageId { session_id, id } = from(verb, args)?;
            Request::MessagesGet { session_id, id }
        }
        "messages.list" => messages_list(from(verb, args)?)?,
        "messages.branches" => {
            let MessageId { session_id, id } = from(verb, args)?;
            Request::MessagesBranches { session_id, id }
        }
        "messages.tree" => Request::MessagesTree {
            session_id: from::<SessionId>(verb, args)?.session_id,
        },
        "messages.update" => {
            let MessagesUpdate {
                session_id,
                id,
                patch,
            } = from(verb, args)?;
            let MessageFields {
                status,
                finish_reason,
                error,
                model,
                metadata,
                usage,
                text,
                parts,
            } = patch;
            let usage = match usage {
                Field::Absent => Field::Absent,
                Field::Null => Field::Null,
                Field::Value(usage) => Field::Value(to_usage(&usage)?),
            };
            Request::MessagesUpdate {
                session_id,
                id,
                patch: MessagePatch {
                    status,
                    finish_reason,
                    error,
                    model,
                    metadata,
                    usage,
                    text,
                    parts,
                },
            }
        }
        "messages.edit" => {
            let MessageId { session_id, id } = from(verb, args)?;
            Request::MessagesEdit {
                session_id,
                id,
                content: NewMessage::default(),
            }
        }
        "messages.switchTo" => {
            let MessageId { session_id, id } = from(verb, args)?;
            Request::MessagesSwitchTo { session_id, id }
        }
        "messages.delete" => {
            let MessageDeletion {
                session_id,
                id,
                permanent,
            } = from(verb, args)?;
            Request::MessagesDelete {
                session_id,
                id,
                permanent,
            }
        }
        "messages.deleteWhere" => {
            let DeleteWhere {
                session_id,
                bot_id,
                before,
                permanent,
            } = from(verb, args)?;
            let before_ms = whole_if_given("before", before)?;
            Request::MessagesDeleteWhere {
                filter: DeleteFilter {
                    session_id,
                    bot_id,
                    before_ms,
                },
                permanent,
            }
        }
        "messages.restore" => {
            let MessageId { session_id, id } = from(verb, args)?;
            Request::MessagesRestore { session_id, id }
        }
        "messages.start" => {
            let start: MessagesStart = from(verb, args)?;
            Request::MessagesStart {
                new: NewStream {
                    session_id: start.session_id,
                    role: start.role,
                    id: start.id,
                    parent_id: start.parent_id,
                    bot_id: start.bot_id,
                    model: start.model,
                    metadata: start.metadata,
                    created_at_ms: whole_if_given("createdAt", start.created_at)?,
                },
                client: start.client,
            }
        }
        "messages.regenerate" => {
            let again: MessagesRegenerate = from(verb, args)?;
            Request::MessagesRegenerate {
                session_id: again.session_id,
                id: again.id,
                new: NewStream {
                    id: again.new_id,
                    model: again.model,
                    metadata: again.metadata,
                    created_at_ms: whole_if_given("createdAt", again.created_at)?,
                    ..NewStream::default()
                },
                client: again.client,
            }
        }
        "messages.append" => {
            let append: MessagesAppend = from(verb, args)?;
            Request::MessagesAppend {
                session_id: append.session_id,
                id: append.id,
                first_number: whole("firstNumber", append.first_number)?,
                deltas: to_deltas(append.deltas),
            }
        }
        "messages.finish" => {
            let (session_id, id, end) = to_end(from(verb, args)?)?;
            Request::MessagesFinish {
                session_id,
                id,
                end,
            }
        }
        "messages.abort" => {
            let (session_id, id, end) = to_end(from(verb, args)?)?;
            Request::MessagesAbort {
                session_id,
                id,
                end,
            }
        }
        _ => return Err(unknown(verb)),
    })
}

fn messages_list(list: MessagesList) -> Result<Request<'static>> {
    let which = match (list.session_id, list.bot_id) {
        (Some(session_id), None) => MessageList::Session {
            session_id,
            around: list.around,
            from_start: list.from_start,
            all_branches: match list.branches.as_deref() {
                None | Some("active") => false,
                Some("all") => true,
                Some(other) => {
                    return Err(Error::argument(
                        "branches",
                        "\"active\" or \"all\"",
                        &format!("{other:?}"),
                    ));
                }
            },
        },
        (None, Some(bot_id)) => MessageList::Bot {
            bot_id,
            descending: match list.order.as_deref() {
                None | Some("asc") => false,
                Some("desc") => true,
                Some(other) => {
                    return Err(Error::argument(
                        "order",
                        "\"asc\" or \"desc\"",
                        &format!("{other:?}"),
                    ));
                }
            },
        },
        _ => {
            return Err(Error::argument(
                "options",
                "either sessionId or botId",
                "both or neither",
            ));
        }
    };
    Ok(Request::MessagesList {
        which,
        page: PageOptions {
            limit: list.limit,
            cursor: list.cursor,
        },
    })
}

fn to_deltas(deltas: Vec<DeltaFields>) -> Vec<Delta> {
    let to_delta = |delta: DeltaFields| match delta.r#type {
        Some(part_type) => Delta::Grow {
            part_type,
            text: delta.text,
        },
        None => Delta::Part(delta.text),
    };
    deltas.into_iter().map(to_delta).collect()
}

fn to_end(end: MessagesEnd) -> Result<(String, String, StreamEnd)> {
    let fields = StreamEnd {
        first_number: whole("firstNumber", end.first_number)?,
        deltas: to_deltas(end.deltas),
        text: end.text,
        parts: end.parts,
        usage: end.usage.as_ref().map(to_usage).transpose()?,
        finish_reason: end.finish_reason,
    };
    Ok((end.session_id, end.id, fields))
}

fn to_usage(usage: &UsageFields) -> Result<Usage> {
    Ok(Usage {
        input_tokens: whole_if_given("usage.inputTokens", usage.input_tokens)?,
        output_tokens: whole_if_given("usage.outputTokens", usage.output_tokens)?,
        reasoning_tokens: whole_if_given("usage.reasoningTokens", usage.reasoning_tokens)?,
        cached_tokens: whole_if_given("usage.cachedTokens", usage.cached_tokens)?,
        cost_usd: usage.cost_usd,
        duration_ms: whole_if_given("usage.durationMs", usage.duration_ms)?,
    })
}
