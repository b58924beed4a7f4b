//! The wasm-bindgen API as a host in JavaScript meets it, over memory.

use chatstore::wasm::{Instance, Sink, error_codes, limits};
use js_sys::{JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;

fn open() -> Instance {
    Instance::new(JsValue::NULL, "chats.sqlite", JsValue::UNDEFINED)
        .expect("a store in memory opens")
}

/// Keeps the one call that settles, as fields of its own.
const SINK: &str = "({
    replied(call, _, reply) { Object.assign(this, { call, reply: reply.slice() }); },
    failed(call, _, error) { Object.assign(this, { call, error }); },
})";

fn json(text: &str) -> JsValue {
    JSON::parse(text).expect("the test's JSON is well formed")
}

fn call(instance: &mut Instance, verb: &str, args: &str) -> Result<Vec<u8>, JsValue> {
    call_in(instance, 0, verb, json(args), None)
}

/// One call from beginning to end: what has to wait is run by a step.
fn call_in(
    instance: &mut Instance,
    scope: u32,
    verb: &str,
    args: JsValue,
    rows: Option<Vec<u8>>,
) -> Result<Vec<u8>, JsValue> {
    let at_once = instance.submit(0.0, 1.0, 0, scope, verb, 1_000.0, args, rows, None, 1, 0.0)?;
    if let Some(reply) = at_once {
        return Ok(reply);
    }
    instance.step(0.0)?;
    let settled: Object = js_sys::eval(SINK)?.unchecked_into();
    instance.take(settled.unchecked_ref::<Sink>())?;
    let field = |name: &str| Reflect::get(&settled, &JsValue::from_str(name)).unwrap();
    assert_eq!(field("call").as_f64(), Some(1.0));
    if field("error").is_undefined() {
        Ok(js_sys::Uint8Array::new(&field("reply")).to_vec())
    } else {
        Err(field("error"))
    }
}

/// The scope that a begin gave.
fn scope_of(reply: &[u8]) -> u32 {
    f64::from_le_bytes(reply[reply.len() - 8..].try_into().unwrap()) as u32
}

fn text_of(error: &JsValue, name: &str) -> String {
    Reflect::get(error, &JsValue::from_str(name))
        .ok()
        .and_then(|value| value.as_string())
        .unwrap_or_default()
}

fn expect_code(result: Result<Vec<u8>, JsValue>, code: &str) -> JsValue {
    let error = result.expect_err("an error was expected");
    assert_eq!(
        text_of(&error, "code"),
        code,
        "{}",
        text_of(&error, "message")
    );
    error
}

fn words(buffer: &[u8]) -> Vec<u32> {
    buffer[..32]
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// Packs new messages as a host does: every text in the UTF-8 block, one value a row.
fn pack(rows: &[[Option<&str>; 12]]) -> Vec<u8> {
    let utf8: String = (0..12)
        .flat_map(|column| rows.iter().filter_map(move |row| row[column]))
        .collect();
    let header = [
        16,
        rows.len() as u32,
        7,
        12,
        0,
        utf8.len() as u32,
        u32::MAX,
        u32::MAX,
    ];
    let mut out: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    out.extend([0; 7]);
    out.extend([1; 12]);
    out.extend([0; 5]);
    for column in 0..12 {
        for row in rows {
            let length = row[column].map_or(u32::MAX, |text| text.len() as u32 | 1 << 31);
            // The parent and the bot are absent, not null.
            let absent = row[column].is_none() && (column == 3 || column == 4);
            out.extend((if absent { u32::MAX - 1 } else { length }).to_le_bytes());
        }
    }
    out.extend(utf8.as_bytes());
    out
}

fn text_message<'a>(session_id: &'a str, id: &'a str, text: &'a str) -> [Option<&'a str>; 12] {
    let mut row = [None; 12];
    (row[0], row[1], row[2], row[5]) = (Some(session_id), Some(id), Some("user"), Some(text));
    row
}

#[wasm_bindgen_test]
fn messages_go_in_and_come_out_packed() {
    let mut instance = open();
    call(&mut instance, "sessions.create", r#"{"id":"s"}"#).unwrap();
    let rows = pack(&[
        text_message("s", "a", "plain"),
        text_message("s", "b", "grün 🎈"),
    ]);
    let reply = call_in(
        &mut instance,
        0,
        "messages.add",
        JsValue::UNDEFINED,
        Some(rows),
    )
    .unwrap();
    let header = words(&reply);
    assert_eq!(
        header[..4],
        [3, 2, 11, 12],
        "kind, rows, number columns, text columns"
    );
    assert_eq!(header[5], 0, "what the caller has given does not come back");
    let all = call(&mut instance, "messages.list", r#"{"sessionId":"s"}"#).unwrap();
    assert_eq!(words(&all)[..4], [3, 2, 11, 12]);
    assert_eq!(
        words(&all)[5] as usize,
        "grün 🎈".len(),
        "the UTF-8 block holds the one text that is not ASCII"
    );
    assert!(all.ends_with("grün 🎈".as_bytes()));
    let page = call(
        &mut instance,
        "messages.list",
        r#"{"sessionId":"s","limit":1}"#,
    )
    .unwrap();
    let header = words(&page);
    assert_eq!(
        (header[1], header[6]),
        (1, u32::MAX),
        "one row, no next cursor"
    );
    assert_ne!(header[7], u32::MAX, "a previous cursor");
}

#[wasm_bindgen_test]
fn errors_are_plain_objects_with_code_message_and_details() {
    let mut instance = open();
    call(&mut instance, "bots.create", r#"{"name":"Ada"}"#).unwrap();
    let error = expect_code(
        call(&mut instance, "bots.create", r#"{"name":"Ada"}"#),
        "CONSTRAINT_UNIQUE",
    );
    let details = Reflect::get(&error, &JsValue::from_str("details")).unwrap();
    assert_eq!(
        (text_of(&details, "table"), text_of(&details, "column")),
        ("bots".into(), "name".into())
    );
    for (verb, args) in [
        ("no.verb", "{}"),
        ("bots.create", r#"{"nme":"Ada"}"#),
        ("bots.create", r#"{"name":7}"#),
        ("bots.create", "[]"),
        ("bots.list", r#"{"limit":-1}"#),
        ("sessions.create", r#"{"createdAt":1.5}"#),
        ("messages.list", "{}"),
        ("messages.deleteWhere", "{}"),
        ("search", r#"{"query":1}"#),
        ("query", r#"{"params":[]}"#),
    ] {
        expect_code(call(&mut instance, verb, args), "INVALID_ARGUMENT");
    }
    call(&mut instance, "bots.create", r#"{"name":"Eve"}"#).unwrap();
}

#[wasm_bindgen_test]
fn a_damaged_buffer_of_messages_is_refused_wherever_it_is_cut_or_changed() {
    let mut instance = open();
    call(&mut instance, "sessions.create", r#"{"id":"s"}"#).unwrap();
    let whole = pack(&[
        text_message("s", "a", "some text"),
        text_message("s", "b", "more"),
    ]);
    for length in 0..whole.len() {
        let cut = whole[..length].to_vec();
        expect_code(
            call_in(
                &mut instance,
                0,
                "messages.add",
                JsValue::UNDEFINED,
                Some(cut),
            ),
            "INVALID_ARGUMENT",
        );
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        // A changed text may still be a text; whatever comes, it settles and nothing traps.
        let _ = call_in(
            &mut instance,
            0,
            "messages.add",
            JsValue::UNDEFINED,
            Some(changed),
        );
    }
    call(&mut instance, "sessions.get", r#"{"id":"s"}"#).unwrap();
}

#[wasm_bindgen_test]
fn a_transaction_is_controlled_step_by_step() {
    let mut instance = open();
    let tx = scope_of(&call(&mut instance, "tx.begin", r#"{"leaseMs":1000}"#).unwrap());
    let step = |instance: &mut Instance, verb: &str, args: &str| {
        call_in(instance, tx, verb, json(args), None)
    };
    step(&mut instance, "sessions.create", r#"{"id":"s"}"#).unwrap();
    step(&mut instance, "tx.savepoint", "{}").unwrap();
    step(&mut instance, "sessions.create", r#"{"id":"t"}"#).unwrap();
    step(&mut instance, "tx.rollbackTo", "{}").unwrap();
    step(&mut instance, "tx.commit", "{}").unwrap();
    assert_eq!(
        words(&call(&mut instance, "sessions.list", "{}").unwrap())[1],
        1
    );
    expect_code(step(&mut instance, "tx.commit", "{}"), "TRANSACTION_STATE");
    expect_code(call(&mut instance, "tx.commit", "{}"), "TRANSACTION_STATE");
    expect_code(call(&mut instance, "tx.jump", "{}"), "INVALID_ARGUMENT");
}

#[wasm_bindgen_test]
fn a_closed_instance_says_so_and_closing_twice_is_fine() {
    let mut instance = open();
    instance.close().unwrap();
    instance.close().unwrap();
    expect_code(call(&mut instance, "bots.list", "{}"), "STORE_CLOSED");
}

#[wasm_bindgen_test]
fn options_are_checked() {
    let refused = |options: &str| {
        Instance::new(JsValue::NULL, "x", json(options))
            .map(drop)
            .unwrap_err()
    };
    for options in [r#"{"durability":"often"}"#, r#"{"durability":7}"#] {
        assert_eq!(text_of(&refused(options), "code"), "INVALID_ARGUMENT");
    }
    Instance::new(JsValue::NULL, "x", json(r#"{"durability":"relaxed"}"#)).unwrap();
}

#[wasm_bindgen_test]
fn codes_and_limits_are_told() {
    assert!(error_codes().contains(&"CONSTRAINT_UNIQUE".to_owned()));
    let limits: Object = limits();
    assert_eq!(
        Reflect::get(&limits, &JsValue::from_str("pageRows"))
            .unwrap()
            .as_f64(),
        Some(1000.0)
    );
}
