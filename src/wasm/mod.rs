//! Skeleton.
use wasm_bindgen::prelude::*;
use sqlite_wasm_rs as _;

/// Version of SQLite.
#[wasm_bindgen(js_name = sqliteVersion)]
pub fn sqlite_version() -> String {
    console_error_panic_hook::set_once();
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.query_row("SELECT sqlite_version()", [], |r| r.get(0)).unwrap()
}
