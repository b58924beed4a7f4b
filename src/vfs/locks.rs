//! The lock state of one database file among the connections of an instance.
//!
//! These are the five levels of SQLite's rollback-journal protocol. They guard
//! connections against each other only: that no other process has the file is
//! the storage's or the host's affair. Nothing here waits; a lock that cannot be
//! had is `Busy` at once.

use rsqlite_vfs::{LockLevel, VfsError, VfsErrorCode, VfsResult};

/// Names one open handle of a file.
pub(super) type HandleId = u64;

/// Who holds which level. A handle without an entry holds none.
#[derive(Default)]
pub(super) struct LockTable {
    holders: Vec<(HandleId, LockLevel)>,
}

impl LockTable {
    /// Raises the level of `handle` to `wanted`.
    ///
    /// On the way from RESERVED to EXCLUSIVE a handle that finds readers keeps
    /// PENDING, which lets those readers finish and no new one begin.
    pub fn lock(&mut self, handle: HandleId, wanted: LockLevel) -> VfsResult<()> {
        let held = self.level(handle);
        if wanted <= held {
            return Ok(());
        }
        match (held, wanted) {
            (LockLevel::None, LockLevel::Shared) => {
                if self.highest_of_others(handle) >= LockLevel::Pending {
                    return Err(contended());
                }
                self.holders.try_reserve(1).map_err(|_| {
                    VfsError::new(VfsErrorCode::NoMemory, "no memory for a lock".into())
                })?;
                self.holders.push((handle, LockLevel::Shared));
                Ok(())
            }
            (LockLevel::Shared, LockLevel::Reserved) => {
                if self.highest_of_others(handle) >= LockLevel::Reserved {
                    return Err(contended());
                }
                self.set(handle, LockLevel::Reserved);
                Ok(())
            }
            (
                LockLevel::Shared | LockLevel::Reserved | LockLevel::Pending,
                LockLevel::Exclusive,
            ) => match self.highest_of_others(handle) {
                LockLevel::None => {
                    self.set(handle, LockLevel::Exclusive);
                    Ok(())
                }
                LockLevel::Shared if held == LockLevel::Reserved => {
                    self.set(handle, LockLevel::Pending);
                    Err(contended())
                }
                _ => Err(contended()),
            },
            // SQLite goes to RESERVED and above from SHARED only, and never asks for PENDING.
            _ => Err(VfsError::new(
                VfsErrorCode::IoLock,
                format!("no step from lock level {held:?} to {wanted:?}").into(),
            )),
        }
    }

    /// Lowers the level of `handle` to SHARED or NONE.
    pub fn unlock(&mut self, handle: HandleId, wanted: LockLevel) -> VfsResult<()> {
        match wanted {
            LockLevel::None => self.release(handle),
            LockLevel::Shared if self.level(handle) > LockLevel::Shared => {
                self.set(handle, LockLevel::Shared);
            }
            LockLevel::Shared => {}
            _ => {
                return Err(VfsError::new(
                    VfsErrorCode::IoUnlock,
                    format!("cannot unlock to level {wanted:?}").into(),
                ));
            }
        }
        Ok(())
    }

    /// Forgets a handle that is closed.
    pub fn release(&mut self, handle: HandleId) {
        self.holders.retain(|&(holder, _)| holder != handle);
    }

    /// Whether any handle, the asking one included, holds RESERVED or more.
    pub fn is_reserved(&self) -> bool {
        self.holders
            .iter()
            .any(|&(_, level)| level >= LockLevel::Reserved)
    }

    fn level(&self, handle: HandleId) -> LockLevel {
        self.holders
            .iter()
            .find(|&&(holder, _)| holder == handle)
            .map_or(LockLevel::None, |&(_, level)| level)
    }

    fn highest_of_others(&self, handle: HandleId) -> LockLevel {
        self.holders
            .iter()
            .filter(|&&(holder, _)| holder != handle)
            .map(|&(_, level)| level)
            .max()
            .unwrap_or(LockLevel::None)
    }

    fn set(&mut self, handle: HandleId, level: LockLevel) {
        for holder in &mut self.holders {
            if holder.0 == handle {
                holder.1 = level;
            }
        }
    }
}

fn contended() -> VfsError {
    VfsError::new(
        VfsErrorCode::Busy,
        "another connection of this instance holds the lock".into(),
    )
}
