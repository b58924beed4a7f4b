//! Files of a browser's origin private file system, over handles that JavaScript has opened.
//!
//! Opening a handle has to be awaited; all else that can be done with one is synchronous. So
//! whoever makes the storage opens handles ahead of it: one for each name that is to be found again,
//! and spare ones for files of any other name, which live no longer than the storage. Handles cannot
//! be removed either, so deleting is emptying, and an empty file is none, unless it was made here.
//!
//! The browser gives one handle a file at a time: that is what keeps other owners out. Closing the
//! handles is for whoever has opened them. The functions work on views of wasm memory, so no byte is
//! copied on the way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, Map, Object};
use rsqlite_vfs::{OsCallback, VfsError, VfsErrorCode, VfsResult};
use wasm_bindgen::prelude::*;

use super::figures::as_u64;
use super::javascript::{absurd, checked_count, checked_size, described, position, text_of};
use super::os::SystemOs;
use super::storage::{OpenMode, RawFile, Storage, refuse_write_if};

#[wasm_bindgen]
extern "C" {
    /// A `FileSystemSyncAccessHandle`, or anything with the same functions.
    #[derive(Clone, PartialEq)]
    type Handle;

    #[wasm_bindgen(method, structural, catch)]
    fn read(this: &Handle, buffer: &mut [u8], options: &At) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn write(this: &Handle, buffer: &[u8], options: &At) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn truncate(this: &Handle, size: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn flush(this: &Handle) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = getSize)]
    fn get_size(this: &Handle) -> Result<f64, JsValue>;

    /// `{ at }`: where to read or write.
    type At;

    #[wasm_bindgen(method, structural, setter)]
    fn set_at(this: &At, at: f64);

    /// Room of the quota that is kept back, which JavaScript has to see to: see `Storage`. Neither function
    /// throws.
    pub type Reserve;

    #[wasm_bindgen(method, structural, getter)]
    fn bytes(this: &Reserve) -> f64;
    #[wasm_bindgen(method, structural)]
    fn hold(this: &Reserve) -> bool;
    #[wasm_bindgen(method, structural)]
    fn release(this: &Reserve);
}

/// Bytes that are copied at once where a file has to leave its handle.
const PIECE_BYTES: usize = 64 * 1024;

/// Files behind handles of the origin private file system, in a dedicated worker.
///
/// Names are taken as they are, but for a leading `./`: there are no directories. No times and no
/// identities are kept. A place without room, and a quota that is used up, is `SQLITE_FULL`. Chromium
/// counts the room that a handle once had as taken until the handle is closed, however short its file is.
pub struct OpfsStorage {
    named: Map,
    spares: Array,
    reserve: Option<Reserve>,
    /// What was made or opened here. Beyond that, what is behind a named handle and not empty is a file.
    files: RefCell<BTreeMap<String, Rc<Slot>>>,
    os: SystemOs,
}

impl OpfsStorage {
    /// A storage over open handles, which it never closes. `named` has a
    /// `FileSystemSyncAccessHandle` for each path that is to be found again; it is looked at when a
    /// file is asked for, so entries may come later. A handle of `spares` is taken for each other
    /// file that is made, and put back, emptied, when the file is deleted and not open any more.
    ///
    /// What a storage before this one has left in spare handles is lost: hand in all of them anew.
    pub fn new(named: Map, spares: Array) -> Self {
        Self {
            named,
            spares,
            reserve: None,
            files: RefCell::default(),
            os: SystemOs,
        }
    }

    /// With room that is kept back.
    pub fn with_reserve(mut self, reserve: Reserve) -> Self {
        self.reserve = Some(reserve);
        self
    }

    fn named(&self, path: &str) -> Option<Handle> {
        let handle = self.named.get(&path.into());
        handle.is_object().then(|| handle.unchecked_into())
    }

    /// The file of a name, if there is one.
    fn find(
        &self,
        files: &mut BTreeMap<String, Rc<Slot>>,
        path: &str,
        code: VfsErrorCode,
    ) -> VfsResult<Option<Rc<Slot>>> {
        let named = self.named(path);
        if let Some(slot) = files.get(path) {
            // JavaScript may have put another handle in its place, or none.
            let is_there = slot.is_spare.get()
                || slot.is_open()
                || named.as_ref() == Some(&*slot.handle.borrow());
            if is_there {
                return Ok(Some(Rc::clone(slot)));
            }
            files.remove(path);
        }
        let Some(handle) = named else {
            return Ok(None);
        };
        match handle.get_size() {
            Ok(0.0) => Ok(None),
            Ok(_) => Ok(Some(self.slot(handle, false))),
            Err(error) => Err(failed(code, "look for", path, &error)),
        }
    }

    fn slot(&self, handle: Handle, is_spare: bool) -> Rc<Slot> {
        Rc::new(Slot {
            handle: RefCell::new(handle),
            at: Object::new().unchecked_into(),
            is_spare: Cell::new(is_spare),
            spares: self.spares.clone(),
            opened: Cell::new(0),
        })
    }

    /// An empty spare handle.
    fn take_spare(&self, path: &str, code: VfsErrorCode) -> VfsResult<Handle> {
        let handle = self.spares.pop();
        if !handle.is_object() {
            return Err(VfsError::new(
                code,
                format!("the file {path:?} needs a spare handle, and none is left").into(),
            ));
        }
        let handle: Handle = handle.unchecked_into();
        handle
            .truncate(0.0)
            .map_err(|error| failed(code, "empty a spare handle for", path, &error))?;
        Ok(handle)
    }

    /// Moves an open file to a spare handle, so that its name can be given up.
    fn move_to_spare(&self, slot: &Rc<Slot>, path: &str) -> VfsResult<Handle> {
        let code = VfsErrorCode::IoDelete;
        let copy = self.slot(self.take_spare(path, code)?, true);
        let mut piece = vec![0; PIECE_BYTES];
        let mut done = 0;
        loop {
            let count = slot.read_at(&mut piece, done, path)?;
            if count == 0 {
                break;
            }
            copy.write_at(&piece[..count], done, path)?;
            done += as_u64(count);
        }
        slot.is_spare.set(true);
        copy.is_spare.set(false);
        Ok(slot.handle.replace(copy.handle.borrow().clone()))
    }
}

impl Storage for OpfsStorage {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let code = VfsErrorCode::CantOpen;
        let mut files = self.files.borrow_mut();
        let slot = match self.find(&mut files, path, code)? {
            Some(_) if mode.create && mode.exclusive => return Err(cannot_open(path, "exists")),
            Some(slot) => slot,
            None if !mode.create => return Err(cannot_open(path, "does not exist")),
            None => match self.named(path) {
                Some(handle) => self.slot(handle, false),
                None => self.slot(self.take_spare(path, code)?, true),
            },
        };
        files.insert(path.into(), Rc::clone(&slot));
        slot.opened.set(slot.opened.get() + 1);
        Ok(Box::new(OpfsFile {
            slot,
            path: path.into(),
            read_only: mode.read_only,
        }))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        let code = VfsErrorCode::IoDelete;
        let mut files = self.files.borrow_mut();
        let Some(slot) = self.find(&mut files, path, code)? else {
            return Err(VfsError::new(
                VfsErrorCode::IoDeleteNoEntry,
                format!("the file {path:?} does not exist").into(),
            ));
        };
        if !slot.is_spare.get() {
            let handle = if slot.is_open() {
                self.move_to_spare(&slot, path)?
            } else {
                slot.handle.borrow().clone()
            };
            let emptied = handle.truncate(0.0).and_then(|()| {
                if sync_directory {
                    handle.flush()
                } else {
                    Ok(())
                }
            });
            emptied.map_err(|error| failed(code, "delete", path, &error))?;
        }
        files.remove(path);
        Ok(())
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        let mut files = self.files.borrow_mut();
        let found = self.find(&mut files, path, VfsErrorCode::IoAccess)?;
        Ok(found.is_some())
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        match path.trim_start_matches("./") {
            "" => Err(cannot_open(path, "has no name")),
            name => Ok(name.into()),
        }
    }

    fn reserve_bytes(&self) -> u64 {
        self.reserve
            .as_ref()
            .map_or(0, |reserve| reserve.bytes() as u64)
    }

    fn hold_reserve(&self) -> bool {
        self.reserve.as_ref().is_none_or(Reserve::hold)
    }

    fn release_reserve(&self) {
        if let Some(reserve) = &self.reserve {
            reserve.release();
        }
    }

    fn os(&self) -> &dyn OsCallback {
        &self.os
    }
}

/// One file behind its handle.
struct Slot {
    handle: RefCell<Handle>,
    /// One for all calls, which saves making it each time.
    at: At,
    is_spare: Cell<bool>,
    spares: Array,
    /// How often it is open.
    opened: Cell<usize>,
}

impl Slot {
    fn is_open(&self) -> bool {
        self.opened.get() > 0
    }

    fn read_at(&self, buffer: &mut [u8], offset_bytes: u64, path: &str) -> VfsResult<usize> {
        let code = VfsErrorCode::IoRead;
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            let length = rest.len();
            let at = position(offset_bytes, done, code)?;
            self.at.set_at(at);
            let handle = self.handle.borrow();
            let failed = |error| failed(code, "read", path, &error);
            let count = handle.read(rest, &self.at).map_err(failed)?;
            match checked_count(count, length) {
                // Firefox gives what it has of a read that fails, and says nothing.
                Some(0) if handle.get_size().map_err(failed)? <= at => break,
                Some(count) if count > 0 => done += count,
                _ => return Err(absurd(code, "read", path, count, length)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset_bytes: u64, path: &str) -> VfsResult<()> {
        let length = bytes.len();
        // The end too: a browser would take a part of what goes beyond.
        position(offset_bytes, length, VfsErrorCode::Full)?;
        self.at
            .set_at(position(offset_bytes, 0, VfsErrorCode::Full)?);
        let written = self.handle.borrow().write(bytes, &self.at);
        let count =
            written.map_err(|error| failed(VfsErrorCode::IoWrite, "write", path, &error))?;
        if checked_count(count, length) == Some(length) {
            return Ok(());
        }
        // At the quota Firefox writes less than asked for, and Chromium gives a count near 2^32.
        Err(absurd(VfsErrorCode::Full, "write", path, count, length))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_spare.get() {
            let handle = self.handle.borrow();
            // It is emptied once more before its next use; there is no one left to tell.
            let _ = handle.truncate(0.0);
            self.spares.push(&handle);
        }
    }
}

/// An open file and the name to report errors with.
struct OpfsFile {
    slot: Rc<Slot>,
    path: String,
    read_only: bool,
}

impl RawFile for OpfsFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        self.slot.read_at(buffer, offset_bytes, &self.path)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        refuse_write_if(self.read_only)?;
        self.slot.write_at(bytes, offset_bytes, &self.path)
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        refuse_write_if(self.read_only)?;
        let code = VfsErrorCode::IoTruncate;
        let size = position(size_bytes, 0, code)?;
        let handle = self.slot.handle.borrow();
        handle
            .truncate(size)
            .map_err(|error| failed(code, "truncate", &self.path, &error))
    }

    fn sync(&mut self, _data_only: bool) -> VfsResult<()> {
        let handle = self.slot.handle.borrow();
        handle
            .flush()
            .map_err(|error| failed(VfsErrorCode::IoSync, "sync", &self.path, &error))
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        let handle = self.slot.handle.borrow();
        let size = handle
            .get_size()
            .map_err(|error| failed(VfsErrorCode::IoStat, "size of", &self.path, &error))?;
        checked_size(size, &self.path)
    }
}

impl Drop for OpfsFile {
    fn drop(&mut self) {
        self.slot.opened.set(self.slot.opened.get() - 1);
    }
}

fn cannot_open(path: &str, what: &str) -> VfsError {
    VfsError::new(
        VfsErrorCode::CantOpen,
        format!("the file {path:?} {what}").into(),
    )
}

/// What was thrown, with the name that the browser has for it, such as `InvalidStateError`.
fn failed(code: VfsErrorCode, operation: &str, path: &str, error: &JsValue) -> VfsError {
    let name = text_of(error, "name");
    let code = match name.as_deref() {
        Some("QuotaExceededError") => VfsErrorCode::Full,
        _ => code,
    };
    described(code, operation, path, name.as_deref(), error)
}
