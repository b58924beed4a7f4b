//! What clients hold open: the interactive transaction and the snapshots, each on a lease.
//!
//! Holds: whose they are and until when. Must not know: SQL.

use std::collections::{BTreeMap, VecDeque};

use super::call::ClientId;
use super::upkeep::Work;
use crate::error::{Code, Error, Outcome};
use crate::vfs::Connection;

/// The interactive transaction: it holds the writer until its end.
pub(super) struct Transaction {
    pub(super) scope: u32,
    pub(super) client: ClientId,
    pub(super) lease_ms: f64,
    pub(super) lease_until_ms: f64,
    /// Names of the open savepoints.
    pub(super) savepoints: Vec<String>,
}

/// A connection of the pool that shows one state of the store.
pub(super) struct Snapshot {
    pub(super) client: ClientId,
    pub(super) connection: Connection,
    /// A check or a copy that it was begun for.
    pub(super) work: Option<Work>,
    /// How long it may stay unused.
    pub(super) lease_ms: f64,
    pub(super) lease_until_ms: f64,
    pub(super) began_ms: f64,
}

/// Scopes that ended without their client having ended them; what is asked of them is told why.
const REMEMBERED: usize = 256;

/// Everything that is open.
#[derive(Default)]
pub(super) struct Scopes {
    last: u32,
    pub(super) transaction: Option<Transaction>,
    pub(super) snapshots: BTreeMap<u32, Snapshot>,
    lost: VecDeque<(u32, Error)>,
}

impl Scopes {
    /// A scope that no other has, or had lately.
    pub(super) fn next(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        self.last
    }

    /// Whether the scope is that of the open transaction.
    pub(super) fn is_transaction(&self, scope: u32) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.scope == scope)
    }

    /// Remembers why a scope ended.
    pub(super) fn remember(&mut self, scope: u32, error: Error) {
        if self.lost.len() == REMEMBERED {
            self.lost.pop_front();
        }
        self.lost.push_back((scope, error));
    }

    /// What to tell who asks something of a scope that is not open.
    pub(super) fn why_not_open(&self, scope: u32) -> Error {
        let remembered = self.lost.iter().rfind(|(lost, _)| *lost == scope);
        remembered.map_or_else(
            || {
                Error::new(
                    Code::TransactionState,
                    "this transaction or snapshot is not open: it has ended, or never began",
                )
            },
            |(_, error)| error.clone(),
        )
    }

    /// When the first lease ends.
    pub(super) fn next_end_ms(&self) -> f64 {
        let snapshots = self.snapshots.values().map(|open| open.lease_until_ms);
        let transaction = self.transaction.iter().map(|open| open.lease_until_ms);
        snapshots.chain(transaction).fold(f64::INFINITY, f64::min)
    }

    /// Snapshots whose lease is over.
    pub(super) fn expired_snapshots(&self, now_ms: f64) -> Vec<u32> {
        self.snapshots
            .iter()
            .filter(|(_, open)| open.lease_until_ms <= now_ms)
            .map(|(scope, _)| *scope)
            .collect()
    }

    /// The snapshot that was opened first.
    pub(super) fn oldest_snapshot(&self) -> Option<u32> {
        self.snapshots
            .iter()
            .min_by(|(_, a), (_, b)| a.began_ms.total_cmp(&b.began_ms))
            .map(|(scope, _)| *scope)
    }
}

/// The transaction's time is over.
pub(super) fn transaction_over(lease_ms: f64) -> Error {
    Error::new(
        Code::TransactionLost,
        format!(
            "the transaction was still open after its lease of {lease_ms} ms and was rolled back"
        ),
    )
    .with("leaseMs", lease_ms as i64)
    .with_outcome(Outcome::NotApplied)
}

/// The transaction ended with something else.
pub(super) fn transaction_lost(why: &str, cause: &Error) -> Error {
    Error::new(
        Code::TransactionLost,
        format!("{why}, and the transaction was rolled back"),
    )
    .with("cause", cause.to_string())
    .with_outcome(Outcome::NotApplied)
}

/// The snapshot was unused for too long.
pub(super) fn snapshot_over(lease_ms: f64) -> Error {
    Error::new(
        Code::SnapshotExpired,
        format!("the snapshot was not used for {lease_ms} ms and was given up; raise leaseMs, or read faster"),
    )
    .with("leaseMs", lease_ms as i64)
}
