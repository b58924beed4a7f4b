//! What the storages over JavaScript's objects share: numbers that cross as doubles, and errors.

use js_sys::Reflect;
use rsqlite_vfs::{VfsError, VfsErrorCode, VfsResult};
use wasm_bindgen::JsValue;

/// The largest integer that all doubles up to it count exactly: 2^53 - 1.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The position `done` bytes behind an offset.
pub(super) fn position(offset_bytes: u64, done: usize, code: VfsErrorCode) -> VfsResult<f64> {
    u64::try_from(done)
        .ok()
        .and_then(|done| offset_bytes.checked_add(done))
        .and_then(exact_double)
        .ok_or_else(|| VfsError::new(code, "file position beyond 2^53 - 1".into()))
}

/// Integers up to 2^53 - 1 have an exact double; built of two halves that do not round.
pub(super) fn exact_double(value: u64) -> Option<f64> {
    if value > MAX_SAFE_INTEGER {
        return None;
    }
    let high = u32::try_from(value >> 32).ok()?;
    let low = u32::try_from(value & u64::from(u32::MAX)).ok()?;
    Some(f64::from(high) * 4_294_967_296.0 + f64::from(low))
}

/// The integer that a double is, from 0 to 2^53 - 1.
pub(super) fn from_double(value: f64) -> Option<u64> {
    const MAX: f64 = 9_007_199_254_740_991.0;
    if !(0.0..=MAX).contains(&value) || value.fract() != 0.0 {
        return None;
    }
    // Exact: a non-negative whole number within the range just checked.
    Some(value as u64)
}

/// A count of bytes that can be one of `at_most`.
pub(super) fn checked_count(count: f64, at_most: usize) -> Option<usize> {
    from_double(count)
        .and_then(|count| usize::try_from(count).ok())
        .filter(|&count| count <= at_most)
}

/// What was counted where something else should have been.
pub(super) fn absurd(
    code: VfsErrorCode,
    operation: &str,
    path: &str,
    count: f64,
    length: usize,
) -> VfsError {
    VfsError::new(
        code,
        format!("{operation} {path:?}: {count} of {length} bytes done").into(),
    )
}

/// A size as JavaScript gave it.
pub(super) fn checked_size(size: f64, path: &str) -> VfsResult<u64> {
    from_double(size).ok_or_else(|| {
        VfsError::new(
            VfsErrorCode::IoStat,
            format!("size of {path:?}: got {size}, which is none").into(),
        )
    })
}

/// A property of an error that is a text, such as its message.
pub(super) fn text_of(error: &JsValue, property: &str) -> Option<String> {
    Reflect::get(error, &property.into()).ok()?.as_string()
}

/// What was thrown as an error of the VFS: `name` stands in its message, once.
pub(super) fn described(
    code: VfsErrorCode,
    operation: &str,
    path: &str,
    name: Option<&str>,
    error: &JsValue,
) -> VfsError {
    let told = text_of(error, "message").unwrap_or_else(|| format!("{error:?}"));
    let told = match name {
        Some(name) if !told.contains(name) => format!("{name}: {told}"),
        _ => told,
    };
    VfsError::new(code, format!("{operation} {path:?}: {told}").into())
}
