//! The VFS over memory, in wasm. The same runs in a browser: see `wasm_vfs_browser.rs`.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

use chatstore::vfs::MemoryStorage;
use chatstore::vfs::conformance::Place;

chatstore::vfs_conformance!(
    wasm_bindgen_test::wasm_bindgen_test,
    Place::new(MemoryStorage::new())
);
