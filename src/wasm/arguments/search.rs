//! Searching, and the caller's own SQL, whose parameters are of any type.

use js_sys::{Array, BigInt, Object, Uint8Array};
use rusqlite::types::Value;
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};

use super::{from, unknown, whole};
use crate::engine::Request;
use crate::error::{Code, Error, Result};
use crate::model::{PageOptions, Search};
use crate::store::query::QueryParams;

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

pub(super) fn request(verb: &str, args: JsValue) -> Result<Request<'static>> {
    Ok(match verb {
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
        _ => return Err(unknown(verb)),
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
