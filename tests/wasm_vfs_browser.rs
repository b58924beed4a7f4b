//! The VFS over memory, in a browser: in a dedicated worker, where a store lives.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

use chatstore::vfs::MemoryStorage;
use chatstore::vfs::conformance::Place;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

chatstore::vfs_conformance!(
    wasm_bindgen_test::wasm_bindgen_test,
    Place::new(MemoryStorage::new())
);
