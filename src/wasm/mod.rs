//! The wasm-bindgen API: one [`Instance`] is one open store.
//!
//! Decodes arguments, calls the engine, encodes replies as packed buffers (`rows`). No SQL, no rules
//! of the store, no I/O of its own: files are reached through the `node:fs` that the host hands in.

mod arguments;
mod rows;

use js_sys::{Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::engine::{Durability, Engine, Request};
use crate::error::{Code, Detail, Error, Result};
use crate::model::limits;
use crate::pack;
use crate::vfs::{MemoryStorage, NodeStorage};

/// An open store. Everything is synchronous; every error is thrown as `{code, message, details}`.
#[wasm_bindgen]
pub struct Instance {
    engine: Option<Engine>,
}

#[wasm_bindgen]
impl Instance {
    /// Opens the file at `path` through `fs`, the module `node:fs`; in memory where that is null.
    #[wasm_bindgen(constructor)]
    pub fn new(
        fs: JsValue,
        path: &str,
        options: JsValue,
    ) -> std::result::Result<Instance, JsValue> {
        console_error_panic_hook::set_once();
        let open = || {
            let durability = arguments::durability(options)?;
            if fs.is_null() || fs.is_undefined() {
                Engine::open(MemoryStorage::new(), path, durability)
            } else {
                Engine::open(NodeStorage::new(fs), path, durability)
            }
        };
        open()
            .map(|engine| Self {
                engine: Some(engine),
            })
            .map_err(thrown)
    }

    /// Runs one verb and gives its packed reply. `rows` are packed new messages, where the verb takes
    /// any. With `in_transaction`, inside of the transaction that [`control`](Self::control) began.
    pub fn call(
        &mut self,
        in_transaction: bool,
        verb: &str,
        args: JsValue,
        rows: Option<Vec<u8>>,
    ) -> std::result::Result<Vec<u8>, JsValue> {
        let rows = rows.unwrap_or_default();
        self.run(in_transaction, verb, args, &rows).map_err(thrown)
    }

    fn run(
        &mut self,
        in_transaction: bool,
        verb: &str,
        args: JsValue,
        rows: &[u8],
    ) -> Result<Vec<u8>> {
        let engine = self.engine()?;
        if verb == "info" {
            return Ok(pack::table(&rows::info(engine.info())));
        }
        let request: Request<'_> = arguments::request(verb, args, rows)?;
        let mut messages = rows::Messages::default();
        let visit = &mut |message: &crate::model::MessageRef<'_>| messages.push(message);
        let reply = if in_transaction {
            engine.call_in_transaction(request, visit)?
        } else {
            engine.call(request, visit)?
        };
        rows::encode(&reply, messages)
    }

    /// Steps of the interactive transaction: `begin`, `commit`, `rollback`, `savepoint`, `release`
    /// and `rollbackTo`, the last three for the innermost savepoint.
    pub fn control(&mut self, action: &str) -> std::result::Result<(), JsValue> {
        let mut act = || {
            let engine = self.engine()?;
            match action {
                "begin" => engine.begin(),
                "commit" => engine.commit(),
                "rollback" => engine.rollback(),
                "savepoint" => engine.savepoint(),
                "release" => engine.release(),
                "rollbackTo" => engine.rollback_to(),
                other => Err(Error::argument("action", "a step of a transaction", other)),
            }
        };
        act().map_err(thrown)
    }

    /// Moves what is in the log into the file and closes it. Calls after the first do nothing.
    pub fn close(&mut self) -> std::result::Result<(), JsValue> {
        self.engine
            .take()
            .map_or(Ok(()), Engine::close)
            .map_err(thrown)
    }

    fn engine(&mut self) -> Result<&mut Engine> {
        self.engine
            .as_mut()
            .ok_or_else(|| Error::new(Code::StoreClosed, "the store is closed"))
    }
}

/// Every error code there is.
#[wasm_bindgen(js_name = errorCodes)]
pub fn error_codes() -> Vec<String> {
    Code::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect()
}

/// Every limit by its name.
#[wasm_bindgen]
pub fn limits() -> Object {
    let all = Object::new();
    for (name, limit) in limits::ALL {
        set(&all, name, &JsValue::from_f64(*limit as f64));
    }
    all
}

/// The word for a durability, for hosts that show it.
pub(crate) fn durability_of(word: Option<&str>) -> Result<Durability> {
    match word {
        None | Some("strict") => Ok(Durability::Strict),
        Some("relaxed") => Ok(Durability::Relaxed),
        Some(other) => Err(Error::argument(
            "durability",
            "\"strict\" or \"relaxed\"",
            &format!("{other:?}"),
        )),
    }
}

/// An error as JavaScript gets it thrown.
fn thrown(error: Error) -> JsValue {
    let details = Object::new();
    for (name, value) in error.details() {
        let value = match value {
            Detail::Text(text) => JsValue::from_str(text),
            Detail::Number(number) => JsValue::from_f64(*number as f64),
        };
        set(&details, name, &value);
    }
    let plain = Object::new();
    set(&plain, "code", &JsValue::from_str(error.code().as_str()));
    set(&plain, "message", &JsValue::from_str(error.message()));
    set(&plain, "details", &details);
    plain.into()
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // Setting a property of a fresh plain object cannot fail.
    let _ = Reflect::set(object, &JsValue::from_str(name), value);
}
