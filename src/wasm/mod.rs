//! The wasm-bindgen API: one [`Instance`] is one open store.
//!
//! Decodes arguments, calls the engine, encodes replies as packed buffers (`rows`). No SQL, no rules
//! of the store, no I/O of its own: files are reached through what the host hands in.

mod arguments;
mod files;
mod rows;
mod salvage;

use js_sys::{Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::engine::{Answer, Call, Durability, Engine, Event, Operation};
use crate::error::{Code, Detail, Error, Result};
use crate::model::limits;
use crate::pack;

/// Most memory that SQLite takes: a quarter of what a wasm instance can have, since replies and what
/// JavaScript makes of them need theirs too.
const SQLITE_BYTES: i64 = 1 << 30;

#[wasm_bindgen]
extern "C" {
    /// Who is told what happened; see `CoreSink` in `js/host/core.ts`.
    pub type Sink;

    /// A call was answered, after it ran for so long; undefined: as long as the step. The bytes are the
    /// core's: they have to be copied before this returns.
    #[wasm_bindgen(method, structural)]
    fn replied(this: &Sink, call: f64, run_ms: Option<f64>, reply: &[u8]);

    /// A call failed.
    #[wasm_bindgen(method, structural)]
    fn failed(this: &Sink, call: f64, run_ms: Option<f64>, error: JsValue);

    /// A transaction or snapshot ended early.
    #[wasm_bindgen(method, structural)]
    fn lost(this: &Sink, client: u32, scope: u32, error: JsValue);

    /// What was committed since it was told last; undefined `sessions`: any may have changed.
    #[wasm_bindgen(method, structural)]
    fn changed(this: &Sink, sessions: Option<Vec<String>>, streaming: Vec<String>, bots: bool);

    /// Something that concerns everybody.
    #[wasm_bindgen(method, structural)]
    fn noticed(this: &Sink, kind: &str, message: &str);
}

/// An open store. Everything is synchronous; every error is thrown as
/// `{code, message, details, outcome?}`. Times are milliseconds of one clock that never goes back.
#[wasm_bindgen]
pub struct Instance {
    engine: Option<Engine<rows::Messages>>,
}

#[wasm_bindgen]
impl Instance {
    /// Opens the store at `path` among `files`: null for memory, `{ node }` with the module `node:fs`, or
    /// `{ named, spares }` with handles of the origin private file system; see `OpfsStorage`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        files: JsValue,
        path: &str,
        options: JsValue,
    ) -> std::result::Result<Instance, JsValue> {
        console_error_panic_hook::set_once();
        Engine::<rows::Messages>::limit_memory(SQLITE_BYTES);
        let open = || {
            let options = arguments::options(options)?;
            Engine::open_with(files::storage(&files)?, path, options)
        };
        open()
            .map(|engine| Self {
                engine: Some(engine),
            })
            .map_err(thrown)
    }

    /// A client is there: a process, a tab, a handle. `name` is what it is called for as long as it
    /// lives, whoever owns the file.
    pub fn connect(&mut self, client: u32, name: String) -> std::result::Result<(), JsValue> {
        self.engine()
            .map(|engine| engine.connect(client, name))
            .map_err(thrown)
    }

    /// A client is gone: its transaction is rolled back, its snapshots end, its calls are dropped.
    pub fn disconnect(&mut self, now_ms: f64, client: u32) -> std::result::Result<(), JsValue> {
        self.engine()
            .map(|engine| engine.disconnect(now_ms, client))
            .map_err(thrown)
    }

    /// Whether anybody wants to be told of changes; at first nobody does.
    pub fn watch(&mut self, on: bool) -> std::result::Result<(), JsValue> {
        self.engine().map(|engine| engine.watch(on)).map_err(thrown)
    }

    /// Takes in a call. Gives the packed reply where it could be answered at once, nothing where it
    /// waits for [`step`](Self::step). `scope` is 0 or that of a transaction or snapshot, `rows` are
    /// packed new messages, where the verb takes any. `operation_id`, `attempt` (1 at first) and
    /// `first_sent_ms` (epoch) are for writes that may be sent again.
    #[expect(
        clippy::too_many_arguments,
        reason = "an object would have to be taken apart, call by call"
    )]
    pub fn submit(
        &mut self,
        now_ms: f64,
        call: f64,
        client: u32,
        scope: u32,
        verb: &str,
        deadline_ms: f64,
        args: JsValue,
        rows: Option<Vec<u8>>,
        operation_id: Option<String>,
        attempt: u32,
        first_sent_ms: f64,
    ) -> std::result::Result<Option<Vec<u8>>, JsValue> {
        let submit = || {
            let engine = self.engine()?;
            let table = match verb {
                "info" => Some(rows::info(engine.info())),
                "stats" => Some(engine.stats()),
                "stats.statements" => Some(engine.statements()?),
                _ => None,
            };
            if let Some(table) = table {
                return Ok(Some(pack::table(&table)));
            }
            let call = Call {
                id: call as u64,
                client,
                scope,
                job: arguments::job(verb, args, rows)?,
                operation: operation_id.map(|id| Operation {
                    id,
                    attempt,
                    first_sent_ms: first_sent_ms as i64,
                }),
                timeout_ms: deadline_ms - now_ms,
            };
            engine.submit(now_ms, call)?.map(encode).transpose()
        };
        submit().map_err(thrown)
    }

    /// Takes a call that waits out of its queue; it settles as aborted.
    pub fn cancel(&mut self, call: f64) -> std::result::Result<(), JsValue> {
        self.engine()
            .map(|engine| engine.cancel(call as u64))
            .map_err(thrown)
    }

    /// Does what is due and gives when to call again; nothing where there is no need before the
    /// next call comes.
    pub fn step(&mut self, now_ms: f64) -> std::result::Result<Option<f64>, JsValue> {
        self.engine()
            .map(|engine| engine.step(now_ms))
            .map_err(thrown)
    }

    /// Tells what happened since the last time, in order. The sink must not call back into this object.
    pub fn take(&mut self, sink: &Sink) -> std::result::Result<(), JsValue> {
        for event in self.engine().map_err(thrown)?.take() {
            tell(sink, event);
        }
        Ok(())
    }

    /// Tells what was committed since the last time, where anybody watches. The sink must not call back.
    #[wasm_bindgen(js_name = takeChanges)]
    pub fn take_changes(&mut self, sink: &Sink) -> std::result::Result<(), JsValue> {
        if let Some(change) = self.engine().map_err(thrown)?.take_changes() {
            sink.changed(change.sessions, change.streaming, change.bots);
        }
        Ok(())
    }

    /// Moves what is in the log into the file and closes it. Calls after the first do nothing.
    pub fn close(&mut self) -> std::result::Result<(), JsValue> {
        self.engine
            .take()
            .map_or(Ok(()), Engine::close)
            .map_err(thrown)
    }

    fn engine(&mut self) -> Result<&mut Engine<rows::Messages>> {
        self.engine
            .as_mut()
            .ok_or_else(|| Error::new(Code::StoreClosed, "the store is closed"))
    }
}

fn encode(answer: Answer<rows::Messages>) -> Result<Vec<u8>> {
    rows::encode(&answer.reply, answer.messages)
}

fn tell(sink: &Sink, event: Event<rows::Messages>) {
    match event {
        Event::Reply {
            call,
            result,
            run_ms,
            ..
        } => match result.and_then(encode) {
            Ok(reply) => sink.replied(call as f64, run_ms, &reply),
            Err(error) => sink.failed(call as f64, run_ms, thrown(error)),
        },
        Event::Lost {
            client,
            scope,
            error,
        } => sink.lost(client, scope, thrown(error)),
        Event::Notice { kind, message } => sink.noticed(kind, &message),
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
        Some("memory") => Ok(Durability::Memory),
        Some(other) => Err(Error::argument(
            "durability",
            "\"strict\", \"relaxed\" or \"memory\"",
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
    set(&plain, "message", &JsValue::from_str(&message_of(&error)));
    set(&plain, "details", &details);
    if let Some(outcome) = error.outcome() {
        set(&plain, "outcome", &JsValue::from_str(outcome.as_str()));
    }
    plain.into()
}

/// Whoever meets a damaged file should know what can still be done.
fn message_of(error: &Error) -> String {
    let message = error.message();
    if error.code() == Code::Corrupt {
        format!(
            "{message}. ChatStore.salvage copies what can be read of a damaged file into a new one"
        )
    } else {
        message.to_owned()
    }
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // Setting a property of a fresh plain object cannot fail.
    let _ = Reflect::set(object, &JsValue::from_str(name), value);
}
