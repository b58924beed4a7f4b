//! From JavaScript's arguments to requests, a file for each group of verbs.
//!
//! Small values come through serde, which looks up the fields that it knows: the client has refused
//! unknown ones before. New messages come packed.

mod bots;
mod messages;
mod scopes;
mod search;
mod sessions;

use js_sys::Object;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use wasm_bindgen::JsValue;

use super::durability_of;
use crate::engine::{Job, Options, PoolOptions, Request};
use crate::error::{Error, Result};
use crate::model::Field;

/// Times reach JavaScript's limits, ±8.64e15 ms, which a f64 holds exactly.
type Millis = f64;

/// The options of an instance.
pub(super) fn options(options: JsValue) -> Result<Options> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        durability: Option<String>,
        pool: Option<PoolFields>,
        retries: Option<u32>,
        purge_trash_after_ms: Option<f64>,
        #[serde(default)]
        clients_may_return: bool,
        read_only: Option<bool>,
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
    options.purge_trash_after_ms = fields.purge_trash_after_ms;
    options.clients_may_return = fields.clients_may_return;
    options.read_only = fields.read_only.unwrap_or(false);
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
    let group = verb.split('.').next().unwrap_or_default();
    match group {
        "bots" => bots::request(verb, args),
        "sessions" => sessions::request(verb, args),
        "messages" => messages::request(verb, args),
        "tx" | "snapshot" | "verify" | "backup" | "replace" | "maintain" => {
            scopes::request(verb, args)
        }
        "search" | "query" => search::request(verb, args),
        _ => Err(unknown(verb)),
    }
}

fn unknown(verb: &str) -> Error {
    Error::argument("verb", "a verb of the store", &format!("{verb:?}"))
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
