//! The WAL index of one database: the memory that its connections share, and the
//! eight lock slots that guard it.
//!
//! SQLite keeps a hash of the WAL here. It can always be built again from the
//! WAL, so it lives in this instance's heap and ends with its last user. SQLite
//! keeps the addresses it is given, so a region never moves while it has a user.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use rsqlite_vfs::ffi::{
    SQLITE_IOERR_SHMLOCK, SQLITE_IOERR_SHMMAP, SQLITE_SHM_EXCLUSIVE, SQLITE_SHM_LOCK,
    SQLITE_SHM_NLOCK, SQLITE_SHM_SHARED, SQLITE_SHM_UNLOCK,
};
use rsqlite_vfs::{VfsError, VfsErrorCode, VfsResult};

use super::locks::HandleId;

const SLOTS: usize = 8;
const _: () = assert!(SLOTS as i32 == SQLITE_SHM_NLOCK);

/// Slots as bits, slot 0 lowest.
type SlotMask = u8;

/// The slot of who does a checkpoint.
const CHECKPOINT_SLOT: SlotMask = 1 << 1;
/// Where in the first region SQLite notes how many frames of the WAL are in the database, 32 bits. A part of
/// the format of the WAL index.
const BACKFILLED_AT: usize = 96;

/// Regions and slots of one database, and who uses them.
#[derive(Default)]
pub(super) struct WalIndex {
    regions: Vec<Region>,
    users: Vec<User>,
}

struct User {
    handle: HandleId,
    shared: SlotMask,
    exclusive: SlotMask,
}

impl WalIndex {
    /// The address of a region, which stays valid until the last user unmaps.
    /// Without `extend`, `None` where the region is not there yet. New regions are zeros.
    pub fn map(
        &mut self,
        handle: HandleId,
        region: i32,
        size_bytes: i32,
        extend: bool,
    ) -> VfsResult<Option<NonNull<u8>>> {
        let (Ok(region), Ok(size_bytes)) = (usize::try_from(region), usize::try_from(size_bytes))
        else {
            return Err(failed(
                SQLITE_IOERR_SHMMAP,
                "negative WAL index region or size",
            ));
        };
        self.user(handle)?;
        if region >= self.regions.len() {
            if !extend {
                return Ok(None);
            }
            let missing = region + 1 - self.regions.len();
            self.regions
                .try_reserve(missing)
                .map_err(|_| out_of_memory())?;
            for _ in 0..missing {
                self.regions.push(Region::zeroed(size_bytes)?);
            }
        }
        let found = &self.regions[region];
        if found.layout.size() != size_bytes {
            return Err(failed(
                SQLITE_IOERR_SHMMAP,
                "WAL index regions differ in size",
            ));
        }
        Ok(Some(found.start))
    }

    /// Takes or gives back the slots `first..first + count` as SQLite's `xShmLock` asks.
    pub fn lock(&mut self, handle: HandleId, first: i32, count: i32, flags: i32) -> VfsResult<()> {
        let mask = slot_mask(first, count)
            .ok_or_else(|| failed(SQLITE_IOERR_SHMLOCK, "no such WAL index lock slots"))?;
        let (mut shared, mut exclusive) = (0, 0);
        for other in self.users.iter().filter(|user| user.handle != handle) {
            shared |= other.shared;
            exclusive |= other.exclusive;
        }
        let user = self.user(handle)?;
        const LOCK_SHARED: i32 = SQLITE_SHM_LOCK | SQLITE_SHM_SHARED;
        const LOCK_EXCLUSIVE: i32 = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE;
        const UNLOCK_SHARED: i32 = SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED;
        const UNLOCK_EXCLUSIVE: i32 = SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE;
        match flags {
            LOCK_SHARED if count == 1 => {
                if (exclusive | user.exclusive) & mask != 0 {
                    return Err(contended());
                }
                user.shared |= mask;
            }
            LOCK_EXCLUSIVE => {
                if (shared | exclusive | user.shared) & mask != 0 {
                    return Err(contended());
                }
                user.exclusive |= mask;
            }
            UNLOCK_SHARED if count == 1 => user.shared &= !mask,
            UNLOCK_EXCLUSIVE => user.exclusive &= !mask,
            _ => {
                return Err(failed(
                    SQLITE_IOERR_SHMLOCK,
                    "unknown WAL index lock request",
                ));
            }
        }
        Ok(())
    }

    /// Whether a handle has the slot of who does a checkpoint to itself.
    pub fn has_checkpoint_lock(&self, handle: HandleId) -> bool {
        self.users
            .iter()
            .any(|user| user.handle == handle && user.exclusive & CHECKPOINT_SLOT != 0)
    }

    /// How many frames of the WAL are in the database, as SQLite has noted it.
    pub fn backfilled(&self) -> u32 {
        self.backfilled_place().map_or(0, |place| {
            // SAFETY: the place is in a region, which is as long as this index, and aligned.
            unsafe { place.read() }
        })
    }

    /// Notes another count; to be called while no connection is at work.
    pub fn set_backfilled(&self, frames: u32) {
        if let Some(place) = self.backfilled_place() {
            // SAFETY: as above; SQLite reads it when it is called the next time.
            unsafe { place.write(frames) }
        }
    }

    fn backfilled_place(&self) -> Option<NonNull<u32>> {
        let first = self.regions.first()?;
        let is_in_it = BACKFILLED_AT + size_of::<u32>() <= first.layout.size();
        // SAFETY: it is in the region.
        is_in_it.then(|| unsafe { first.start.add(BACKFILLED_AT).cast() })
    }

    /// Ends a handle's use with all its slots; the last user's end frees the regions.
    pub fn unmap(&mut self, handle: HandleId) {
        self.users.retain(|user| user.handle != handle);
        if self.users.is_empty() {
            self.regions = Vec::new();
        }
    }

    fn user(&mut self, handle: HandleId) -> VfsResult<&mut User> {
        let found = self.users.iter().position(|user| user.handle == handle);
        let index = match found {
            Some(index) => index,
            None => {
                self.users.try_reserve(1).map_err(|_| out_of_memory())?;
                self.users.push(User {
                    handle,
                    shared: 0,
                    exclusive: 0,
                });
                self.users.len() - 1
            }
        };
        Ok(&mut self.users[index])
    }
}

fn slot_mask(first: i32, count: i32) -> Option<SlotMask> {
    let first = usize::try_from(first).ok()?;
    let count = usize::try_from(count).ok().filter(|&count| count > 0)?;
    let end = first.checked_add(count).filter(|&end| end <= SLOTS)?;
    Some((first..end).fold(0, |mask, slot| mask | 1 << slot))
}

fn contended() -> VfsError {
    VfsError::new(
        VfsErrorCode::Busy,
        "another connection of this instance holds the WAL index lock".into(),
    )
}

fn out_of_memory() -> VfsError {
    VfsError::new(VfsErrorCode::NoMemory, "no memory for the WAL index".into())
}

fn failed(code: i32, message: &'static str) -> VfsError {
    VfsError::new(
        VfsErrorCode::from_raw(code).unwrap_or(VfsErrorCode::Io),
        message.into(),
    )
}

/// A piece of memory at a fixed address. SQLite reads and writes it through the
/// address; no Rust reference to the bytes is ever made.
struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

impl Region {
    fn zeroed(size_bytes: usize) -> VfsResult<Self> {
        // SQLite accesses the index as 32-bit words and hands out nothing wider than 64.
        let layout = Layout::from_size_align(size_bytes, 8)
            .ok()
            .filter(|layout| layout.size() > 0)
            .ok_or_else(|| failed(SQLITE_IOERR_SHMMAP, "impossible WAL index region size"))?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).ok_or_else(out_of_memory)?;
        Ok(Self { start, layout })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed
        // only here; the last user has unmapped, so SQLite holds no address of it.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
