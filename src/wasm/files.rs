//! Where files are, as the host says it.

use std::rc::Rc;

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

use crate::error::{Error, Result};
use crate::vfs::{MemoryStorage, NodeStorage, OpfsStorage, Storage};

/// A storage over null, `{ node }` or `{ named, spares, reserve? }`.
pub(super) fn storage(files: &JsValue) -> Result<Rc<dyn Storage>> {
    if files.is_null() || files.is_undefined() {
        return Ok(Rc::new(MemoryStorage::new()));
    }
    let part = |name: &str| Reflect::get(files, &name.into()).unwrap_or_default();
    let node = part("node");
    if node.is_object() {
        return Ok(Rc::new(NodeStorage::new(node)));
    }
    match (part("named").dyn_into(), part("spares").dyn_into()) {
        (Ok(named), Ok(spares)) => {
            let storage = OpfsStorage::new(named, spares);
            let reserve = part("reserve");
            Ok(Rc::new(if reserve.is_object() {
                storage.with_reserve(reserve.unchecked_into())
            } else {
                storage
            }))
        }
        _ => Err(Error::argument(
            "files",
            "null, { node } or { named, spares }",
            &format!("{files:?}"),
        )),
    }
}
