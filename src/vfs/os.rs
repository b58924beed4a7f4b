//! Clock, randomness and sleep of the machine at hand.

use std::time::Duration;

use rsqlite_vfs::{OsCallback, VfsResult};

/// The system's own: JavaScript's in wasm, the standard library's natively.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemOs;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
impl OsCallback for SystemOs {
    fn sleep(&self, duration: Duration) {
        sqlite_wasm_rs::WasmOsCallback.sleep(duration);
    }

    fn random(&self, buffer: &mut [u8]) -> usize {
        sqlite_wasm_rs::WasmOsCallback.random(buffer)
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        sqlite_wasm_rs::WasmOsCallback.epoch_timestamp_in_ms()
    }
}

#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
impl OsCallback for SystemOs {
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn random(&self, buffer: &mut [u8]) -> usize {
        match getrandom::fill(buffer) {
            Ok(()) => buffer.len(),
            Err(_) => 0,
        }
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        use rsqlite_vfs::{VfsError, VfsErrorCode};
        use std::time::SystemTime;

        let out_of_range =
            |_| VfsError::new(VfsErrorCode::Error, "the clock is out of range".into());
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).map_err(out_of_range),
            Err(before) => i64::try_from(before.duration().as_millis())
                .map(|ms| -ms)
                .map_err(out_of_range),
        }
    }
}

/// Milliseconds of a clock that never goes back, from a time of its own.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(crate) fn monotonic_ms() -> f64 {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = performance)]
        fn now() -> f64;
    }
    now()
}

/// Milliseconds of a clock that never goes back, from a time of its own.
#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
pub(crate) fn monotonic_ms() -> f64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1_000.0
}
