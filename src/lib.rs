//! A chat store: bots, sessions and messages in one SQLite file, natively and in WebAssembly.
//!
//! [`Engine`] is the way in: it opens a file in a [`vfs::Storage`] and runs [`Request`]s on it. The
//! layers below it are public too, each for who needs just that: [`store`] is the SQL over one
//! connection, [`vfs`] are the files under SQLite. `wasm` is the same for JavaScript.
//!
//! ARCHITECTURE.md in the repository has the bird's-eye view.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod engine;
mod error;
mod ids;
pub mod maintain;
pub mod model;
#[doc(hidden)]
pub mod pack;
pub mod store;
pub mod vfs;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod wasm;

pub use engine::{Durability, Engine, Info, Options, Reply, Request};
pub use error::{Code, Detail, Error, Outcome, Result};
