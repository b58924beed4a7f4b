//! How a store is opened, and what is known of one that is open.

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The loss of power: flushed before it is acknowledged.
    #[default]
    Strict,
    /// The death of the process; the loss of power may take the last writes, never the order.
    Relaxed,
    /// Nothing is promised: it is never flushed.
    Memory,
}

impl Durability {
    /// The word used in JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Relaxed => "relaxed",
            Self::Memory => "memory",
        }
    }

    pub(super) const fn synchronous(self) -> &'static str {
        match self {
            Self::Strict => "FULL",
            Self::Relaxed => "NORMAL",
            Self::Memory => "OFF",
        }
    }
}

/// The connections for snapshots, cursors and exports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolOptions {
    /// Connections that stay open when nobody uses them.
    pub min: usize,
    /// Connections at most; who comes after them waits.
    pub max: usize,
    /// How long a connection above `min` stays open unused, milliseconds.
    pub idle_timeout_ms: f64,
    /// How long to wait for a connection at most, milliseconds; the call's own time may be shorter.
    pub acquire_timeout_ms: f64,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            min: 5,
            max: 20,
            idle_timeout_ms: 300_000.0,
            acquire_timeout_ms: 30_000.0,
        }
    }
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// The connections for snapshots.
    pub pool: PoolOptions,
    /// How often a write is run again after a failure that was mended.
    pub retries: u32,
    /// Trash that is older is deleted for good when nothing else is to be done, milliseconds; none: never.
    pub purge_trash_after_ms: Option<f64>,
    /// Clients of a former owner may still be there and connect again: replies that they stream are
    /// theirs for some seconds. Otherwise whoever is not connected is gone.
    pub clients_may_return: bool,
    /// Nothing of the file is changed, by no call and by nothing that is done by itself. A page that another
    /// program may have written is an error then, since it cannot be taken in.
    pub read_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            pool: PoolOptions::default(),
            retries: 3,
            purge_trash_after_ms: None,
            clients_may_return: false,
            read_only: false,
        }
    }
}

impl From<Durability> for Options {
    fn from(durability: Durability) -> Self {
        Self {
            durability,
            ..Self::default()
        }
    }
}

/// What is known of an open store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The path in its storage.
    pub path: String,
    /// Version of the file's schema.
    pub schema_version: i32,
    /// Version of the SQLite inside.
    pub sqlite_version: &'static str,
    /// Size of a page in bytes.
    pub page_size_bytes: u32,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Names the content: another one after it was replaced as a whole.
    pub generation: String,
    /// Grows with each owner that has written to the file.
    pub epoch: i64,
}
