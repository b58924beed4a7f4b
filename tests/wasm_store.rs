//! The store in wasm, in Node: the same tests as natively, and the wasm-bindgen API.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

#[path = "support/wasm_api.rs"]
mod api;
#[path = "store_query.rs"]
mod query;
#[path = "store_transactions.rs"]
mod transactions;
#[path = "store_verbs.rs"]
mod verbs;
