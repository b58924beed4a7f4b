//! The VFS over handles of the origin private file system, in a dedicated worker, and over objects
//! that fail as such handles do.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

#[path = "support/clients.rs"]
mod clients;

use chatstore::Options;
use chatstore::vfs::conformance::Place;
use chatstore::vfs::{OpenMode, OpfsStorage, RawFile, Storage};
use chatstore::wasm::Instance;
use clients::{Clients, add, code, new_session};
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

/// Opens handles on the files `0`, `1`... of a directory.
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

fn empty(handles: &Array) {
    let empty = Function::new_with_args("handles", "for (const each of handles) each.truncate(0)");
    empty.call1(&JsValue::NULL, handles).unwrap();
}

fn close(handles: &Array) {
    let close = Function::new_with_args("handles", "for (const each of handles) each.close()");
    close.call1(&JsValue::NULL, handles).unwrap();
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

/// A handle over bytes in memory, with some of its functions replaced by the given JavaScript, which
/// sees the others as `handle`. It notes in `calls` how it was emptied and flushed.
fn fake(replacements: &str) -> JsValue {
    let body = format!(
        "let bytes = new Uint8Array(0);
        const calls = [];
        const resize = (size) => {{
            const old = bytes;
            bytes = new Uint8Array(size);
            bytes.set(old.subarray(0, size));
        }};
        const handle = {{
            calls,
            read(buffer, {{ at }}) {{
                const part = bytes.subarray(at, at + buffer.length);
                buffer.set(part);
                return part.length;
            }},
            write(buffer, {{ at }}) {{
                if (at + buffer.length > bytes.length) resize(at + buffer.length);
                bytes.set(buffer, at);
                return buffer.length;
            }},
            truncate(size) {{
                calls.push('truncate ' + size);
                resize(size);
            }},
            flush() {{
                calls.push('flush');
            }},
            getSize: () => bytes.length,
        }};
        const fail = (name) => {{ throw new DOMException('told by the test', name); }};
        return {{ ...handle, {replacements} }};"
    );
    let make = Function::new_no_args(&body);
    make.call0(&JsValue::NULL).unwrap()
}

/// What a fake handle has noted since the last time.
fn calls(handle: &JsValue) -> String {
    let calls: Array = Reflect::get(handle, &"calls".into())
        .unwrap()
        .unchecked_into();
    let text = String::from(calls.join(", "));
    calls.set_length(0);
    text
}

fn size_of(handle: &JsValue) -> f64 {
    let size: Function = Reflect::get(handle, &"getSize".into())
        .unwrap()
        .unchecked_into();
    size.call0(handle).unwrap().as_f64().unwrap()
}

fn named(files: &[(&str, &JsValue)]) -> Map {
    let named = Map::new();
    for (path, handle) in files {
        named.set(&(*path).into(), handle);
    }
    named
}

/// A storage of one file, `file`, behind a handle that is tampered with.
fn tampered(replacements: &str) -> OpfsStorage {
    OpfsStorage::new(named(&[("file", &fake(replacements))]), Array::new())
}

fn open(storage: &OpfsStorage, path: &str) -> Box<dyn RawFile> {
    storage.open(path, CREATE).unwrap()
}

fn is_absent(storage: &OpfsStorage, path: &str) -> bool {
    let opened = storage.open(path, EXISTING).map(drop);
    let is_refused = opened.is_err_and(|error| error.code() == VfsErrorCode::CantOpen);
    assert_eq!(storage.exists(path).unwrap(), !is_refused);
    is_refused
}

#[wasm_bindgen_test]
fn a_named_file_that_is_empty_is_none_until_it_is_made() {
    let handle = fake("");
    let files = named(&[("file", &handle)]);
    let storage = OpfsStorage::new(files.clone(), Array::new());
    assert!(is_absent(&storage, "file"));
    let missing = storage.delete("file", true).unwrap_err();
    assert_eq!(missing.code(), VfsErrorCode::IoDeleteNoEntry);
    drop(open(&storage, "file"));
    assert!(!is_absent(&storage, "file"));
    assert!(is_absent(
        &OpfsStorage::new(files.clone(), Array::new()),
        "file"
    ));
    open(&storage, "file").write_at(b"kept", 0).unwrap();
    drop(storage);

    let next = OpfsStorage::new(files, Array::new());
    let mut bytes = [0; 5];
    let mut file = next.open("file", EXISTING).unwrap();
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 4);
    assert_eq!(&bytes[..4], b"kept");
}

#[wasm_bindgen_test]
fn deleting_a_named_file_empties_it_and_flushes_where_that_is_asked_for() {
    let handle = fake("");
    let storage = OpfsStorage::new(named(&[("file", &handle)]), Array::new());
    for (sync_directory, expected) in [(true, "truncate 0, flush"), (false, "truncate 0")] {
        open(&storage, "file").write_at(b"old", 0).unwrap();
        calls(&handle);
        storage.delete("file", sync_directory).unwrap();
        assert_eq!(calls(&handle), expected);
        assert!(is_absent(&storage, "file"));
    }
}

#[wasm_bindgen_test]
fn a_named_file_that_is_deleted_while_it_is_open_moves_to_a_spare_handle() {
    let (handle, spare) = (fake(""), fake(""));
    let spares = Array::of1(&spare);
    let storage = OpfsStorage::new(named(&[("file", &handle)]), spares.clone());
    let old: Vec<u8> = (0..200_000_u32).map(|byte| byte as u8).collect();
    let mut open_file = open(&storage, "file");
    open_file.write_at(&old, 0).unwrap();
    calls(&handle);
    storage.delete("file", true).unwrap();
    assert_eq!(calls(&handle), "truncate 0, flush");
    assert!(is_absent(&storage, "file"));

    let mut new = open(&storage, "file");
    new.write_at(b"new", 0).unwrap();
    open_file.write_at(b"more", 200_000).unwrap();
    let mut bytes = vec![0; 200_005];
    assert_eq!(open_file.read_at(&mut bytes, 0).unwrap(), 200_004);
    assert_eq!(bytes[..200_000], old);
    assert_eq!(size_of(&handle), 3.0);
    assert_eq!(spares.length(), 0);
    drop(open_file);
    assert_eq!((spares.length(), size_of(&spare)), (1, 0.0));
    assert_eq!(new.size_bytes().unwrap(), 3);
    assert!(!is_absent(&storage, "file"));
}

#[wasm_bindgen_test]
fn a_named_file_that_is_open_stays_where_no_spare_handle_is_left() {
    let handle = fake("");
    let storage = OpfsStorage::new(named(&[("file", &handle)]), Array::new());
    let mut file = open(&storage, "file");
    file.write_at(b"kept", 0).unwrap();
    let refused = storage.delete("file", true).unwrap_err();
    assert_eq!(refused.code(), VfsErrorCode::IoDelete);
    assert!(!is_absent(&storage, "file"));
    assert_eq!(file.size_bytes().unwrap(), 4);
}

#[wasm_bindgen_test]
fn names_may_come_change_and_go() {
    let files = Map::new();
    let storage = OpfsStorage::new(files.clone(), Array::new());
    assert!(is_absent(&storage, "file"));
    let (first, second) = (fake(""), fake(""));
    files.set(&"file".into(), &first);
    let mut file = open(&storage, "file");
    file.write_at(b"first", 0).unwrap();
    files.set(&"file".into(), &second);
    assert_eq!(file.size_bytes().unwrap(), 5);
    assert!(!is_absent(&storage, "file"), "it is open");
    drop(file);
    assert!(is_absent(&storage, "file"), "another file, an empty one");
    assert_eq!(open(&storage, "file").size_bytes().unwrap(), 0);
    files.delete(&"file".into());
    assert!(is_absent(&storage, "file"));
}

#[wasm_bindgen_test]
fn a_spare_handle_is_empty_when_it_is_taken_and_when_it_is_put_back() {
    let handle = fake("");
    let spares = Array::of1(&handle);
    let before = OpfsStorage::new(named(&[("file", &handle)]), Array::new());
    open(&before, "file").write_at(b"junk", 0).unwrap();
    let storage = OpfsStorage::new(Map::new(), spares.clone());
    let mut file = open(&storage, "temporary");
    assert_eq!((file.size_bytes().unwrap(), spares.length()), (0, 0));
    file.write_at(b"mine", 0).unwrap();
    storage.delete("temporary", true).unwrap();
    assert_eq!(spares.length(), 0, "it is open");
    let mut bytes = [0; 4];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 4);
    drop(file);
    assert_eq!((spares.length(), size_of(&handle)), (1, 0.0));

    open(&storage, "another").write_at(b"left", 0).unwrap();
    assert_eq!(spares.length(), 0, "a file is there");
    drop(storage);
    assert_eq!((spares.length(), size_of(&handle)), (1, 0.0));
}

#[wasm_bindgen_test]
fn without_a_spare_handle_no_file_is_made() {
    let storage = OpfsStorage::new(Map::new(), Array::of1(&fake("")));
    drop(open(&storage, "first"));
    let refused = storage.open("second", CREATE).map(drop).unwrap_err();
    assert_eq!(refused.code(), VfsErrorCode::CantOpen);
    assert!(refused.message().contains("spare handle"), "{refused}");
    assert!(refused.message().contains("second"), "{refused}");
    assert!(is_absent(&storage, "second"));
    storage.delete("first", false).unwrap();
    drop(open(&storage, "second"));
}

#[wasm_bindgen_test]
fn a_write_that_is_short_or_gives_an_absurd_count_is_a_full_disk() {
    for count in ["0", "3", "0xFFFFFFF8", "5", "NaN", "-8", "1.5", "undefined"] {
        let storage = tampered(&format!("write: () => {count}"));
        let error = open(&storage, "file").write_at(b"four", 0).unwrap_err();
        assert_eq!(error.code(), VfsErrorCode::Full, "{count}");
        assert!(error.message().contains("4 bytes"), "{error}");
    }
}

#[wasm_bindgen_test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    let errors = [
        "new DOMException('told by the test', 'QuotaExceededError')",
        "new (globalThis.QuotaExceededError ?? class extends Error { name = 'QuotaExceededError' })('told by the test')",
    ];
    for error in errors {
        let storage = tampered(&format!("write() {{ throw {error}; }}"));
        let error = open(&storage, "file").write_at(b"four", 0).unwrap_err();
        assert_eq!(error.code(), VfsErrorCode::Full, "{error}");
        let told = "write \"file\": QuotaExceededError: told by the test";
        assert_eq!(error.message(), told);
    }
}

#[wasm_bindgen_test]
fn other_exceptions_are_io_errors_with_their_names() {
    for name in ["NoModificationAllowedError", "InvalidStateError"] {
        let storage = tampered(&format!(
            "truncate() {{ fail('{name}'); }}, flush() {{ fail('{name}'); }},
             read() {{ fail('{name}'); }}, write() {{ fail('{name}'); }}"
        ));
        let mut file = open(&storage, "file");
        let errors = [
            (
                file.read_at(&mut [0; 4], 0).map(drop),
                VfsErrorCode::IoRead,
                "read",
            ),
            (file.write_at(b"four", 0), VfsErrorCode::IoWrite, "write"),
            (file.truncate(0), VfsErrorCode::IoTruncate, "truncate"),
            (file.sync(true), VfsErrorCode::IoSync, "sync"),
            (
                {
                    drop(file);
                    storage.delete("file", true)
                },
                VfsErrorCode::IoDelete,
                "delete",
            ),
        ];
        for (result, code, operation) in errors {
            let error = result.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            let told = format!("{operation} \"file\": {name}: told by the test");
            assert_eq!(error.message(), told);
        }

        let storage = tampered(&format!("getSize() {{ fail('{name}'); }}"));
        let opened = storage.open("file", CREATE).map(drop).unwrap_err();
        assert_eq!(opened.code(), VfsErrorCode::CantOpen);
        assert!(opened.message().contains(name), "{opened}");
        let looked_for = storage.exists("file").unwrap_err();
        assert_eq!(looked_for.code(), VfsErrorCode::IoAccess);
    }
}

#[wasm_bindgen_test]
fn reads_in_small_pieces_are_continued() {
    let storage = tampered(
        "read: (buffer, options) => handle.read(buffer.subarray(0, Math.min(buffer.length, 3)), options)",
    );
    let mut file = open(&storage, "file");
    let bytes: Vec<u8> = (0..100).collect();
    file.write_at(&bytes, 7).unwrap();
    let mut read = [9; 110];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 107);
    assert_eq!(read[..7], [0; 7]);
    assert_eq!(read[7..107], bytes);
}

#[wasm_bindgen_test]
fn a_read_that_ends_before_the_file_does_is_an_io_error() {
    let storage = tampered("read: (buffer, { at }) => Math.min(buffer.length, 4 - at)");
    let mut file = open(&storage, "file");
    file.write_at(&[1; 4], 0).unwrap();
    assert_eq!(file.read_at(&mut [0; 8], 0).unwrap(), 4);
    file.write_at(&[1; 1], 4).unwrap();
    let error = file.read_at(&mut [0; 8], 0).unwrap_err();
    assert_eq!(error.code(), VfsErrorCode::IoRead);
}

#[wasm_bindgen_test]
fn absurd_counts_and_sizes_are_io_errors() {
    for absurd in ["NaN", "-1", "1.5", "1e300", "0xFFFFFFF8", "undefined"] {
        let storage = tampered(&format!("read: () => {absurd}"));
        let read = open(&storage, "file").read_at(&mut [0; 4], 0).unwrap_err();
        assert_eq!(read.code(), VfsErrorCode::IoRead, "{absurd}");
        if absurd != "0xFFFFFFF8" {
            let storage = tampered(&format!("getSize: () => {absurd}"));
            let size = open(&storage, "file").size_bytes().unwrap_err();
            assert_eq!(size.code(), VfsErrorCode::IoStat, "{absurd}");
        }
    }
}

#[wasm_bindgen_test]
fn positions_beyond_the_safe_integers_are_refused() {
    let storage = tampered("");
    let mut file = open(&storage, "file");
    let last = (1 << 53) - 1;
    for (bytes, offset_bytes) in [(1, last + 1), (2, last), (1, u64::MAX)] {
        let written = file.write_at(&vec![0; bytes], offset_bytes).unwrap_err();
        assert_eq!(written.code(), VfsErrorCode::Full);
    }
    let read = file.read_at(&mut [0], last + 1).unwrap_err();
    assert_eq!(read.code(), VfsErrorCode::IoRead);
    let cut = file.truncate(last + 1).unwrap_err();
    assert_eq!(cut.code(), VfsErrorCode::IoTruncate);
}

#[wasm_bindgen_test]
fn what_is_no_handle_is_an_error_and_no_trap() {
    for nonsense in [JsValue::UNDEFINED, JsValue::NULL, 7.into(), "text".into()] {
        let files = named(&[("file", &nonsense)]);
        let storage = OpfsStorage::new(files, Array::of1(&nonsense));
        for path in ["file", "other"] {
            assert!(!storage.exists(path).unwrap());
            assert!(storage.open(path, CREATE).is_err());
        }
    }
    let object = js_sys::Object::new().into();
    let storage = OpfsStorage::new(named(&[("file", &object)]), Array::of1(&object));
    for path in ["file", "other"] {
        assert!(storage.open(path, CREATE).is_err());
    }
}

/// The three ways in which a browser says that the quota is used up.
const FULL: [&str; 3] = [
    "fail('QuotaExceededError')",
    "0xFFFFFFF8",
    "handle.write(buffer.subarray(0, buffer.length >> 1), options)",
];

#[wasm_bindgen_test]
fn a_commit_that_finds_no_room_is_told_as_a_full_disk_and_reading_goes_on() {
    for full in FULL {
        let [file, log, journal] = [(); 3].map(|()| {
            fake(&format!(
                "write: (buffer, options) => globalThis.isFull ? {full} : handle.write(buffer, options)"
            ))
        });
        let set_full = |is_full: bool| {
            Reflect::set(&js_sys::global(), &"isFull".into(), &is_full.into()).unwrap();
        };
        let files = named(&[
            ("chats.sqlite", &file),
            ("chats.sqlite-wal", &log),
            ("chats.sqlite-journal", &journal),
        ]);
        let storage = OpfsStorage::new(files.clone(), Array::new());
        let mut clients = Clients::on(storage, Options::default());
        clients.call(0, new_session("s")).unwrap();
        clients.call(0, add("s", "kept", "text")).unwrap();
        set_full(true);
        for id in ["refused", "refused too"] {
            let refused = clients.call(0, add("s", id, "text"));
            assert_eq!(code(refused), "DISK_FULL", "{full}");
            assert_eq!(clients.ids(0, "s").unwrap(), ["kept"], "{full}");
        }
        set_full(false);
        clients.call(0, add("s", "later", "text")).unwrap();
        clients.engine.close().unwrap();

        let storage = OpfsStorage::new(files, Array::new());
        let mut clients = Clients::on(storage, Options::default());
        assert_eq!(clients.ids(0, "s").unwrap(), ["kept", "later"], "{full}");
    }
}

const STORE: [&str; 3] = ["chats.sqlite", "chats.sqlite-wal", "chats.sqlite-journal"];

/// Grows a file until it cannot grow any more, which writes nothing. Others can a little: Chromium
/// gives out room by 32 MiB at most.
fn use_the_quota_up(filler: &JsValue) {
    let fill = Function::new_with_args(
        "filler",
        "for (let step = 2 ** 50; step >= 2 ** 13; step /= 2) {
            try {
                filler.truncate(filler.getSize() + step);
            } catch {}
        }",
    );
    fill.call1(&JsValue::NULL, filler).unwrap();
}

#[wasm_bindgen_test]
async fn a_write_beyond_the_quota_of_the_browser_is_a_full_disk() {
    let spares = pool().await;
    let storage = OpfsStorage::new(take(&spares, &["file"]), spares);
    let mut file = open(&storage, "file");
    file.write_at(b"kept", 0).unwrap();
    let error = file.write_at(&[1; 4096], 1 << 50).unwrap_err();
    assert_eq!(error.code(), VfsErrorCode::Full, "{error}");
    let mut bytes = [0; 4];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 4);
    assert_eq!(&bytes, b"kept");
    file.write_at(b"more", 4).unwrap();
}

#[wasm_bindgen_test]
async fn a_store_that_reaches_the_quota_of_the_browser_goes_on_when_there_is_room() {
    // Not those of the pool: Chromium lets a handle keep the room that it once had.
    let handles = open_handles("full", 3).await;
    let filler = open_handles("filler", 1).await;
    let spares = Array::from(&handles);
    let files = take(&spares, &STORE);
    let mut clients = Clients::on(OpfsStorage::new(files, spares), Options::default());
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "kept", "text")).unwrap();
    use_the_quota_up(&filler.get(0));
    let text: &str = String::leak("full".repeat(250_000));
    let mut kept = vec!["kept".to_owned()];
    let refused = (0..100).find_map(|number| {
        let id = number.to_string();
        let result = clients.call(0, add("s", id.clone(), text));
        if result.is_ok() {
            kept.push(id);
        }
        result.err()
    });
    let refused = refused.expect("100 MB find no room in 32 MiB");
    assert_eq!(refused.code().as_str(), "DISK_FULL", "{refused}");
    assert_eq!(clients.ids(0, "s").unwrap(), kept);

    empty(&filler);
    close(&filler);
    close(&open_handles("filler", 1).await);
    clients.call(0, add("s", "later", text)).unwrap();
    kept.push("later".into());
    assert_eq!(clients.ids(0, "s").unwrap(), kept);
    clients.engine.close().unwrap();
    close(&handles);
}

#[wasm_bindgen_test]
async fn a_store_is_found_by_handles_that_were_opened_anew() {
    for round in 1..=3 {
        let handles = open_handles("reopened", 3).await;
        if round == 1 {
            empty(&handles);
        }
        let storage = OpfsStorage::new(take(&Array::from(&handles), &STORE), Array::new());
        let mut clients = Clients::on(storage, Options::default());
        if round == 1 {
            clients.call(0, new_session("s")).unwrap();
        }
        clients
            .call(0, add("s", round.to_string(), "text"))
            .unwrap();
        assert_eq!(clients.ids(0, "s").unwrap().len(), round);
        if round == 1 {
            // Its log stays behind, as after the death of a worker.
            std::mem::forget(clients);
        } else {
            clients.engine.close().unwrap();
        }
        close(&handles);
    }
}

#[wasm_bindgen_test]
fn an_instance_is_told_where_its_files_are() {
    let handles = [(); 3].map(|()| fake(""));
    let names = STORE.iter().copied().zip(&handles);
    let files = js_sys::Object::new();
    Reflect::set(&files, &"named".into(), &named(&names.collect::<Vec<_>>())).unwrap();
    let open = |files: &JsValue| Instance::new(files.clone(), STORE[0], JsValue::UNDEFINED);
    let refused = open(&files).map(drop).unwrap_err();
    let code = Reflect::get(&refused, &"code".into()).unwrap();
    assert_eq!(code.as_string().as_deref(), Some("INVALID_ARGUMENT"));
    Reflect::set(&files, &"spares".into(), &Array::new()).unwrap();
    open(&files).unwrap().close().unwrap();
    assert!(size_of(&handles[0]) > 0.0);
    assert_eq!(size_of(&handles[1]), 0.0);
}
