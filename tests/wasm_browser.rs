//! The store in wasm, in a browser's worker: the same tests as natively and in Node.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(
    clippy::duplicate_mod,
    reason = "each of these files is a test of its own natively, with the module that they share"
)]

#[path = "support/wasm_api.rs"]
mod api;
#[path = "store_bots_sessions.rs"]
mod bots_sessions;
#[path = "store_messages.rs"]
mod messages;
#[path = "store_query.rs"]
mod query;
#[path = "store_random.rs"]
mod random;
#[path = "store_search.rs"]
mod search;
#[path = "store_streams.rs"]
mod streams;
#[path = "store_streams_others.rs"]
mod streams_others;
#[path = "store_streams_pieces.rs"]
mod streams_pieces;
#[path = "store_transactions.rs"]
mod transactions;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);
