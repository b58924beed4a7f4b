//! The verbs of bots.

use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::{Deletion, Id, Millis, field, from, unknown, whole_if_given};
use crate::engine::Request;
use crate::error::Result;
use crate::model::{BotPatch, Field, NewBot, PageOptions};

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

pub(super) fn request(verb: &str, args: JsValue) -> Result<Request<'static>> {
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
        _ => return Err(unknown(verb)),
    })
}
