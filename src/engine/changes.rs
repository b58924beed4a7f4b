//! What the commits of the writer have changed, for whoever follows the store.
//!
//! SQLite itself tells which rows are written, so that no way of writing can be forgotten; it counts
//! once its transaction is committed. Nothing is noted while nobody watches. Must not know: what a
//! verb does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::hooks::Action;

use super::Engine;
use super::call::Collect;
use crate::error::Result;
use crate::store::touched::{Change, Touched};
use crate::vfs::Connection;

/// What is noted of the file's writers, one after the other. Shared with SQLite's hook, which wants it
/// to be fit for threads.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    is_watched: bool,
    /// By the transaction that is open.
    open: Touched,
    /// By those that were committed, and not told yet.
    committed: Touched,
}

impl Changes {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to a writer, where anybody watches.
    pub(super) fn follow(&self, writer: &mut Connection) -> Result<()> {
        let changes = self.clone();
        let hook = move |action: Action, _: &str, table: &str, key: i64| {
            changes.noted().open.row(action, table, key);
        };
        Ok(writer.update_hook(self.noted().is_watched.then_some(hook))?)
    }

    /// A transaction begins: what is left of one that was taken back is nothing.
    pub(super) fn begin(&self) {
        self.noted().open = Touched::default();
    }

    /// What the transaction has touched is kept.
    pub(super) fn commit(&self) {
        let mut noted = self.noted();
        let open = std::mem::take(&mut noted.open);
        noted.committed.extend(&open);
    }

    /// Something happened that nobody can tell the extent of.
    pub(super) fn anything(&self) {
        let mut noted = self.noted();
        if noted.is_watched {
            noted.committed = Touched::anything();
        }
    }
}

impl<C: Collect> Engine<C> {
    /// Whether anybody wants to be told of changes, by [`take_changes`](Self::take_changes); at first
    /// nobody does. From now on none is left out.
    pub fn watch(&mut self, on: bool) {
        *self.file.changes.noted() = Noted {
            is_watched: on,
            // The first part of a transaction that is open was not noted.
            open: match on && self.scopes.transaction.is_some() {
                true => Touched::anything(),
                false => Touched::default(),
            },
            committed: Touched::default(),
        };
        if let Some(connections) = &mut self.connections {
            // It has nothing to fail with.
            let _ = self.file.changes.follow(&mut connections.writer);
        }
    }

    /// What was committed since the last time, where anybody watches, and where it changed anything. To be
    /// asked before [`take`](Self::take) by who tells of changes before replies; how often does not matter.
    pub fn take_changes(&mut self) -> Option<Change> {
        let touched = std::mem::take(&mut self.file.changes.noted().committed);
        if touched.is_empty() {
            return None;
        }
        // The writer still has the pages in its memory, where another connection would read them again. What
        // a transaction has not committed yet does not matter: an id stays the same.
        let named = self.writer().and_then(|writer| touched.by_ids(writer));
        // Where it cannot be read, it may be anything.
        Some(self.vouch(named).unwrap_or(Change {
            bots: true,
            ..Change::default()
        }))
    }
}
