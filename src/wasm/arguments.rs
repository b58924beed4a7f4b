//! From JavaScript's arguments to requests.
//!
//! Small values come through serde, which looks up the fields that it knows: the client has refused
//! unknown ones before. New messages come packed.

use js_sys::{Array, BigInt, Object, Uint8Array};
use rusqlite::types::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use wasm_bindgen::{JsCast, JsValue};

use super::durability_of;
use crate::engine::{Job, Options, PoolOptions, Purpose, Request};
use crate::error::{Code, Error, Result};
use crate::model::{
    BotPatch, DeleteFilter, Field, MessageList, MessagePatch, NewBot, NewMessage, NewSession,
    PageOptions, Search, SessionFilter, SessionPatch, Usage,
};
use crate::store::query::QueryParams;
use crate::store::streams::{Delta, NewStream, StreamEnd};

/// Times reach JavaScript's limits, ±8.64e15 ms, which a f64 holds exactly.
type Millis = f64;

fn whole(argument: &str, number: f64) -> Result<i64> {
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0 {
        return Ok(number as i64);
    }
    Err(Error::argument(
        argument,
        "a whole number",
        &number.to_string(),
    ))
}

fn whole_if_given(argument: &str, number: Option<f64>) -> Result<Option<i64>> {
    number.map(|number| whole(argument, number)).transpose()
}

/// Tells null from absent: serde calls this only where the field is there.
fn field<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Field<T>, D::Error> {
    Ok(match Option::deserialize(deserializer)? {
        Some(value) => Field::Value(value),
        None => Field::Null,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Empty {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begin {
    lease_ms: f64,
    #[serde(default)]
    indexed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplaceWrite {
    job: String,
    suffix: String,
    offset: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Replace {
    job: String,
    keep: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Id {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deletion {
    id: String,
    #[serde(default)]
    permanent: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageId {
    session_id: String,
    id: String,
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
struct BotsCreate {
    id: Option<String>,
    name: String,
    avatar: Option<String>,
    system_prompt: Option<String>,
    model: Option<String>,
    params: Option<String>,
    metadata: Option<String>,
    created_at: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BotsUpdate {
    id: String,
    patch: BotFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BotFields {
    name: Option<String>,
    #[serde(default, deserialize_with = "field")]
    avatar: Field<String>,
    #[serde(default, deserialize_with = "field")]
    system_prompt: Field<String>,
    #[serde(default, deserialize_with = "field")]
    model: Field<String>,
    #[serde(default, deserialize_with = "field")]
    params: Field<String>,
    #[serde(default, deserialize_with = "field")]
    metadata: Field<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BotsList {
    #[serde(default)]
    deleted: bool,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsCreate {
    id: Option<String>,
    bot_id: Option<String>,
    title: Option<String>,
    status: Option<String>,
    #[serde(default)]
    pinned: bool,
    #[serde(default)]
    tags: Vec<String>,
    metadata: Option<String>,
    created_at: Option<Millis>,
    if_exists: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsUpdate {
    id: String,
    patch: SessionFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionFields {
    #[serde(default, deserialize_with = "field")]
    bot_id: Field<String>,
    #[serde(default, deserialize_with = "field")]
    title: Field<String>,
    status: Option<String>,
    pinned: Option<bool>,
    tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "field")]
    metadata: Field<String>,
    head_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsList {
    bot_id: Option<String>,
    status: Option<String>,
    pinned: Option<bool>,
    tag: Option<String>,
    #[serde(default)]
    deleted: bool,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsPurge {
    deleted_before: Millis,
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
struct SessionId {
    session_id: String,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchArguments {
    query: String,
    bot_id: Option<String>,
    session_id: Option<String>,
    #[serde(default)]
    prefix: bool,
    limit: Option<u32>,
    cursor: Option<String>,
}

fn from<T: DeserializeOwned>(verb: &str, args: JsValue) -> Result<T> {
    let args = if args.is_undefined() {
        Object::new().into()
    } else {
        args
    };
    serde_wasm_bindgen::from_value(args).map_err(|error| {
        Error::argument("arguments", &format!("those of {verb}"), &error.to_string())
    })
}

/// The options of an instance.
pub(super) fn options(options: JsValue) -> Result<Options> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        durability: Option<String>,
        pool: Option<PoolFields>,
        retries: Option<u32>,
        #[serde(default)]
        clients_may_return: bool,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct PoolFields {
        min: Option<usize>,
        max: Option<usize>,
        idle_timeout_ms: Option<f64>,
        acquire_timeout_ms: Option<f64>,
    }
    let fields: Fields = from("open", options)?;
    let mut options = Options::from(durability_of(fields.durability.as_deref())?);
    if let Some(pool) = fields.pool {
        let usual = options.pool;
        options.pool = PoolOptions {
            min: pool.min.unwrap_or(usual.min),
            max: pool.max.unwrap_or(usual.max).max(1),
            idle_timeout_ms: pool.idle_timeout_ms.unwrap_or(usual.idle_timeout_ms),
            acquire_timeout_ms: pool.acquire_timeout_ms.unwrap_or(usual.acquire_timeout_ms),
        };
    }
    options.clients_may_return = fields.clients_may_return;
    options.retries = fields.retries.unwrap_or(options.retries);
    Ok(options)
}

/// The job that a verb with its arguments and packed messages is.
pub(super) fn job(verb: &str, args: JsValue, rows: Option<Vec<u8>>) -> Result<Job> {
    let request = request(verb, args)?;
    Ok(match rows {
        Some(rows) => Job::with_rows(request, rows),
        None => Job::new(request),
    })
}

/// The request that a verb and its arguments are; packed messages are no part of it.
fn request(verb: &str, args: JsValue) -> Result<Request<'static>> {
    Ok(match verb {
        "bots.create" => {
            let bot: BotsCreate = from(verb, args)?;
            Request::BotsCreate(NewBot {
                id: bot.id,
                name: bot.name,
                avatar: bot.avatar,
                system_prompt: bot.system_prompt,
                model: bot.model,
                params: bot.params,
                metadata: bot.metadata,
                created_at_ms: whole_if_given("createdAt", bot.created_at)?,
            })
        }
        "bots.get" => Request::BotsGet {
            id: from::<Id>(verb, args)?.id,
        },
        "bots.list" => {
            let list: BotsList = from(verb, args)?;
            Request::BotsList {
                deleted: list.deleted,
                page: PageOptions {
                    limit: list.limit,
                    cursor: list.cursor,
                },
            }
        }
        "bots.update" => {
            let BotsUpdate { id, patch } = from(verb, args)?;
            let BotFields {
                name,
                avatar,
                system_prompt,
                model,
                params,
                metadata,
            } = patch;
            Request::BotsUpdate {
                id,
                patch: BotPatch {
                    name,
                    avatar,
                    system_prompt,
                    model,
                    params,
                    metadata,
                },
            }
        }
        "bots.delete" => {
            let Deletion { id, permanent } = from(verb, args)?;
            Request::BotsDelete { id, permanent }
        }
        "bots.restore" => Request::BotsRestore {
            id: from::<Id>(verb, args)?.id,
        },
        "sessions.create" => {
            let session: SessionsCreate = from(verb, args)?;
            let return_existing = match session.if_exists.as_deref() {
                None | Some("error") => false,
                Some("return") => true,
                Some(other) => {
                    return Err(Error::argument(
                        "ifExists",
                        "\"error\" or \"return\"",
                        &format!("{other:?}"),
                    ));
                }
            };
            Request::SessionsCreate(NewSession {
                id: session.id,
                bot_id: session.bot_id,
                title: session.title,
                status: session.status,
                pinned: session.pinned,
                tags: session.tags,
                metadata: session.metadata,
                created_at_ms: whole_if_given("createdAt", session.created_at)?,
                return_existing,
            })
        }
        "sessions.get" => Request::SessionsGet {
            id: from::<Id>(verb, args)?.id,
        },
        "sessions.list" => {
            let SessionsList {
                bot_id,
                status,
                pinned,
                tag,
                deleted,
                limit,
                cursor,
            } = from(verb, args)?;
            Request::SessionsList {
                filter: SessionFilter {
                    bot_id,
                    status,
                    pinned,
                    tag,
                    deleted,
                },
                page: PageOptions { limit, cursor },
            }
        }
        "sessions.update" => {
            let SessionsUpdate { id, patch } = from(verb, args)?;
            let SessionFields {
                bot_id,
                title,
                status,
                pinned,
                tags,
                metadata,
                head_id,
            } = patch;
            Request::SessionsUpdate {
                id,
                patch: SessionPatch {
                    bot_id,
                    title,
                    status,
                    pinned,
                    tags,
                    metadata,
                    head_id,
                },
            }
        }
        "sessions.fork" => {
            let MessageId { session_id, id } = from(verb, args)?;
            Request::SessionsFork { session_id, id }
        }
        "sessions.delete" => {
            let Deletion { id, permanent } = from(verb, args)?;
            Request::SessionsDelete { id, permanent }
        }
        "sessions.restore" => Request::SessionsRestore {
            id: from::<Id>(verb, args)?.id,
        },
        "sessions.purge" => {
            let purge: SessionsPurge = from(verb, args)?;
            Request::SessionsPurge {
                deleted_before_ms: whole("deletedBefore", purge.deleted_before)?,
            }
        }
        "messages.add" => {
            let Empty {} = from(verb, args)?;
            Request::MessagesAdd(Vec::new())
        }
        "messages.put" => {
            let Empty {} = from(verb, args)?;
            Request::MessagesPut(Vec::new())
        }
        "tx.begin" => Request::TransactionBegin {
            lease_ms: from::<Begin>(verb, args)?.lease_ms,
        },
        "tx.commit" => Request::TransactionCommit,
        "tx.rollback" => Request::TransactionRollback,
        "tx.savepoint" => Request::TransactionSavepoint,
        "tx.release" => Request::TransactionRelease,
        "tx.rollbackTo" => Request::TransactionRollbackTo,
        "snapshot.begin" => {
            let Begin { lease_ms, indexed } = from(verb, args)?;
            Request::SnapshotBegin {
                lease_ms,
                indexed,
                purpose: Purpose::Reads,
            }
        }
        "verify.begin" | "backup.begin" => Request::SnapshotBegin {
            lease_ms: from::<Begin>(verb, args)?.lease_ms,
            indexed: false,
            purpose: if verb == "verify.begin" {
                Purpose::Verify
            } else {
                Purpose::Backup
            },
        },
        "snapshot.step" => Request::SnapshotStep,
        "replace.begin" | "replace.step" | "replace.finish" | "replace.end" => {
            let Replace { job, keep } = from(verb, args)?;
            match verb {
                "replace.begin" => Request::ReplaceBegin { job },
                "replace.end" => Request::ReplaceEnd { job },
                _ => Request::ReplaceStep {
                    job,
                    keep,
                    finish: verb == "replace.finish",
                },
            }
        }
        "replace.write" => {
            let ReplaceWrite {
                job,
                suffix,
                offset,
            } = from(verb, args)?;
            Request::ReplaceWrite {
                job,
                suffix,
                offset_bytes: whole("offset", offset)?.max(0).unsigned_abs(),
            }
        }
        "snapshot.end" => Request::SnapshotEnd,
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
        "search" => {
            let SearchArguments {
                query,
                bot_id,
                session_id,
                prefix,
                limit,
                cursor,
            } = from(verb, args)?;
            Request::Search {
                search: Search {
                    query,
                    bot_id,
                    session_id,
                    prefix,
                },
                page: PageOptions { limit, cursor },
            }
        }
        "query" => query(&args)?,
        other => {
            return Err(Error::argument(
                "verb",
                "a verb of the store",
                &format!("{other:?}"),
            ));
        }
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

fn query(args: &JsValue) -> Result<Request<'static>> {
    let get = |name: &str| {
        js_sys::Reflect::get(args, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
    };
    let sql = get("sql")
        .as_string()
        .ok_or_else(|| Error::argument("sql", "a string", "something else"))?;
    let limit = get("limit").as_f64().map(|limit| limit as u32);
    let params = get("params");
    let params = if params.is_undefined() {
        QueryParams::Positional(Vec::new())
    } else if let Some(values) = params.dyn_ref::<Array>() {
        QueryParams::Positional(
            values
                .iter()
                .enumerate()
                .map(|(at, value)| to_value(&at.to_string(), &value))
                .collect::<Result<_>>()?,
        )
    } else {
        let entries = Object::entries(params.unchecked_ref());
        let named = entries.iter().map(|entry| {
            let entry: Array = entry.unchecked_into();
            let name = entry.get(0).as_string().unwrap_or_default();
            let value = to_value(&name, &entry.get(1))?;
            Ok((name, value))
        });
        QueryParams::Named(named.collect::<Result<_>>()?)
    };
    Ok(Request::Query { sql, params, limit })
}

fn to_value(name: &str, value: &JsValue) -> Result<Value> {
    if value.is_null() || value.is_undefined() {
        return Ok(Value::Null);
    }
    if let Some(truth) = value.as_bool() {
        return Ok(Value::Integer(i64::from(truth)));
    }
    if let Some(number) = value.as_f64() {
        return Ok(whole(name, number).map_or(Value::Real(number), Value::Integer));
    }
    if let Some(text) = value.as_string() {
        return Ok(Value::Text(text));
    }
    if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        return Ok(Value::Blob(bytes.to_vec()));
    }
    if let Some(big) = value.dyn_ref::<BigInt>() {
        return i64::try_from(big.clone()).map(Value::Integer).map_err(|_| {
            Error::new(
                Code::InvalidArgument,
                format!("params.{name}: expected a bigint of 64 bits"),
            )
        });
    }
    let expected = "null, a boolean, number, string, bigint or Uint8Array";
    Err(Error::argument(
        &format!("params.{name}"),
        expected,
        "something else",
    ))
}
