//! The verbs of sessions.

use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::{Deletion, Id, MessageId, Millis, field, from, unknown, whole, whole_if_given};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::model::{Field, NewSession, PageOptions, SessionFilter, SessionPatch};

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
    limit: Option<u32>,
}

pub(super) fn request(verb: &str, args: JsValue) -> Result<Request<'static>> {
    Ok(match verb {
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
                limit: purge.limit.unwrap_or(u32::MAX),
            }
        }
        _ => return Err(unknown(verb)),
    })
}
