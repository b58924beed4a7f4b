//! The VFS over handles of the origin private file system, in a dedicated worker, and over objects
//! that fail as such handles do.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

use chatstore::vfs::conformance::Place;
use chatstore::vfs::{OpenMode, OpfsStorage, RawFile, Storage, Vfs};
use js_sys::{Array, Function, Map, Promise, Reflect};
use rsqlite_vfs::VfsErrorCode;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// Every file that the checks name is behind a handle of its own.
mod named {
    use super::*;

    chatstore::vfs_conformance!(
        async wasm_bindgen_test,
        place(&["db", "db-wal", "db-journal", "copy", "copy-wal", "copy-journal", "file", "first"])
    );
}

/// Every file takes a spare handle.
mod spare {
    use super::*;

    chatstore::vfs_conformance!(async wasm_bindgen_test, place(&[]));
}

const CREATE: OpenMode = OpenMode {
    create: true,
    exclusive: false,
    read_only: false,
    main_database: true,
};

const EXISTING: OpenMode = OpenMode {
    create: false,
    ..CREATE
};

/// What the most demanding check has at once.
const HANDLES: u32 = 24;

thread_local! {
    /// Handles are exclusive and opened by a promise, so all tests of the worker use the same ones.
    static POOL: std::cell::OnceCell<Array> = const { std::cell::OnceCell::new() };
}

/// Opens handles on the files `0`, `1`... of a directory, empty.
async fn open_handles(directory: &str, count: u32) -> Array {
    let open = Function::new_with_args(
        "name, count",
        "return (async () => {
            const root = await navigator.storage.getDirectory();
            const directory = await root.getDirectoryHandle(name, { create: true });
            const handles = [];
            for (let number = 0; number < count; number++) {
                const file = await directory.getFileHandle(String(number), { create: true });
                handles.push(await file.createSyncAccessHandle());
            }
            return handles;
        })()",
    );
    let opening: Promise = open
        .call2(&JsValue::NULL, &directory.into(), &count.into())
        .unwrap()
        .unchecked_into();
    let handles: Array = JsFuture::from(opening).await.unwrap().unchecked_into();
    handles
}

/// The handles of the worker, all of them empty.
async fn pool() -> Array {
    let pool = match POOL.with(|pool| pool.get().cloned()) {
        Some(pool) => pool,
        None => {
            let opened = open_handles("conformance", HANDLES).await;
            POOL.with(|pool| pool.get_or_init(|| opened).clone())
        }
    };
    let empty = Function::new_with_args(
        "handles",
        "for (const handle of handles) handle.truncate(0); return [...handles]",
    );
    empty.call1(&JsValue::NULL, &pool).unwrap().unchecked_into()
}

/// Gives each of the names one of the handles.
fn take(spares: &Array, names: &[&str]) -> Map {
    let named = Map::new();
    for name in names {
        named.set(&(*name).into(), &spares.pop());
    }
    named
}

async fn place(names: &[&str]) -> Place {
    let spares = pool().await;
    Place::new(OpfsStorage::new(take(&spares, names), spares))
}
