//! Checks of the memory that connections in WAL mode share, and of its lock slots.

use std::ptr::NonNull;

use rsqlite_vfs::ffi::{
    SQLITE_IOERR_SHMLOCK, SQLITE_SHM_EXCLUSIVE, SQLITE_SHM_LOCK, SQLITE_SHM_SHARED,
    SQLITE_SHM_UNLOCK,
};
use rsqlite_vfs::{FileKind, OpenAccess, OpenOptions, VfsErrorCode};

use super::{Failure, OpenFile, Outcome, Place, ensure};

const OPTIONS: OpenOptions =
    OpenOptions::new(OpenAccess::ReadWrite, FileKind::MainDb).with_create();
const REGION_BYTES: i32 = 32 * 1024;
const LAST_BYTE: usize = 32 * 1024 - 1;

const LOCK_SHARED: i32 = SQLITE_SHM_LOCK | SQLITE_SHM_SHARED;
const LOCK_EXCLUSIVE: i32 = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE;
const UNLOCK_SHARED: i32 = SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED;
const UNLOCK_EXCLUSIVE: i32 = SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE;

/// What one connection writes, the other reads; new memory is zeros.
pub fn two_handles_map_the_same_memory(place: &Place) -> Outcome {
    let files = place.files();
    let first = files.open("file", OPTIONS)?;
    let second = files.open("file", OPTIONS)?;
    let other_file = files.open("other", OPTIONS)?;
    for region in 0..3 {
        let written = map(&first, region)?;
        for byte in [0, LAST_BYTE] {
            ensure!(
                read(written, byte) == 0,
                "region {region} is not zeros at first"
            );
            write(written, byte, 7);
        }
        let seen = map(&second, region)?;
        ensure!(
            read(seen, 0) == 7 && read(seen, LAST_BYTE) == 7,
            "region {region} is not shared"
        );
        write(seen, 0, 8);
        ensure!(
            read(written, 0) == 8,
            "region {region} is shared one way only"
        );
        ensure!(
            read(map(&other_file, region)?, 0) == 0,
            "two files share their index"
        );
    }
    Ok(())
}

/// SQLite keeps the addresses, so later regions must not move earlier ones.
pub fn regions_do_not_move(place: &Place) -> Outcome {
    let files = place.files();
    let file = files.open("file", OPTIONS)?;
    let first = map(&file, 0)?;
    write(first, 100, 42);
    for region in 1..200 {
        let start = map(&file, region)?;
        ensure!(
            start.addr().get() % 8 == 0,
            "region {region} is not aligned"
        );
    }
    ensure!(map(&file, 0)? == first, "the first region moved");
    ensure!(read(first, 100) == 42, "the first region lost its bytes");
    let wrong_size = file.map_wal_index(0, REGION_BYTES / 2, true);
    ensure!(wrong_size.is_err(), "a region of another size was given");
    ensure!(
        file.map_wal_index(-1, REGION_BYTES, true).is_err(),
        "region -1 was given"
    );
    ensure!(
        file.map_wal_index(200, 0, true).is_err(),
        "a region of no size was given"
    );
    Ok(())
}

/// Without the wish to extend, a missing region is no region and no error.
pub fn a_region_is_not_made_unless_asked(place: &Place) -> Outcome {
    let files = place.files();
    let file = files.open("file", OPTIONS)?;
    ensure!(
        file.map_wal_index(0, REGION_BYTES, false)?.is_none(),
        "region 0 came unasked"
    );
    map(&file, 1)?;
    ensure!(
        file.map_wal_index(0, REGION_BYTES, false)?.is_some(),
        "region 0 is missing"
    );
    ensure!(
        file.map_wal_index(2, REGION_BYTES, false)?.is_none(),
        "region 2 came unasked"
    );
    Ok(())
}

/// Each slot alone: many shared or one exclusive, between three connections.
pub fn slots_are_shared_or_exclusive(place: &Place) -> Outcome {
    let files = place.files();
    let first = files.open("file", OPTIONS)?;
    let second = files.open("file", OPTIONS)?;
    let third = files.open("file", OPTIONS)?;
    for slot in 0..8 {
        first.lock_wal_index(slot, 1, LOCK_SHARED)?;
        first.lock_wal_index(slot, 1, LOCK_SHARED)?;
        second.lock_wal_index(slot, 1, LOCK_SHARED)?;
        ensure_busy(&third, slot, 1, LOCK_EXCLUSIVE)?;
        first.lock_wal_index(slot, 1, UNLOCK_SHARED)?;
        ensure_busy(&third, slot, 1, LOCK_EXCLUSIVE)?;
        ensure_busy(&second, slot, 1, LOCK_EXCLUSIVE)?;
        second.lock_wal_index(slot, 1, UNLOCK_SHARED)?;

        third.lock_wal_index(slot, 1, LOCK_EXCLUSIVE)?;
        ensure_busy(&first, slot, 1, LOCK_SHARED)?;
        ensure_busy(&first, slot, 1, LOCK_EXCLUSIVE)?;
        first.lock_wal_index(slot, 1, UNLOCK_EXCLUSIVE)?;
        ensure_busy(&first, slot, 1, LOCK_SHARED)?;
        third.lock_wal_index(slot, 1, UNLOCK_EXCLUSIVE)?;
        first.lock_wal_index(slot, 1, LOCK_SHARED)?;
        // The others go on while this one stays taken: slots do not touch.
    }
    Ok(())
}

/// A refused range leaves none of its slots taken.
pub fn a_range_of_slots_is_taken_as_a_whole_or_not_at_all(place: &Place) -> Outcome {
    let files = place.files();
    let first = files.open("file", OPTIONS)?;
    let second = files.open("file", OPTIONS)?;
    first.lock_wal_index(5, 1, LOCK_SHARED)?;
    ensure_busy(&second, 3, 5, LOCK_EXCLUSIVE)?;
    for slot in [3, 4, 6, 7] {
        first.lock_wal_index(slot, 1, LOCK_EXCLUSIVE)?;
        first.lock_wal_index(slot, 1, UNLOCK_EXCLUSIVE)?;
    }
    first.lock_wal_index(5, 1, UNLOCK_SHARED)?;
    second.lock_wal_index(3, 5, LOCK_EXCLUSIVE)?;
    for slot in 3..8 {
        ensure_busy(&first, slot, 1, LOCK_SHARED)?;
    }
    first.lock_wal_index(0, 3, LOCK_EXCLUSIVE)?;
    second.lock_wal_index(3, 5, UNLOCK_EXCLUSIVE)?;
    first.lock_wal_index(7, 1, LOCK_SHARED)?;
    Ok(())
}

/// Slots that are not there and requests that are none.
pub fn impossible_slots_are_refused(place: &Place) -> Outcome {
    let files = place.files();
    let file = files.open("file", OPTIONS)?;
    let refused = |first, count, flags| match file.lock_wal_index(first, count, flags) {
        Err(error) if error.raw_code() == SQLITE_IOERR_SHMLOCK => Ok(()),
        answer => Err(Failure::new(format!(
            "{count} slots from {first} by flags {flags}: {answer:?}"
        ))),
    };
    for (first, count) in [
        (-1, 1),
        (0, 0),
        (0, -1),
        (8, 1),
        (7, 2),
        (0, 9),
        (i32::MAX, i32::MAX),
    ] {
        refused(first, count, LOCK_EXCLUSIVE)?;
    }
    for flags in [
        0,
        SQLITE_SHM_LOCK,
        SQLITE_SHM_SHARED,
        LOCK_SHARED | SQLITE_SHM_EXCLUSIVE,
    ] {
        refused(0, 1, flags)?;
    }
    refused(0, 2, LOCK_SHARED)
}

/// The index ends with its last user, by unmapping or by closing.
pub fn unmapping_releases_slots_and_the_last_frees_the_memory(place: &Place) -> Outcome {
    let files = place.files();
    let first = files.open("file", OPTIONS)?;
    let second = files.open("file", OPTIONS)?;
    let memory = map(&first, 0)?;
    write(memory, 0, 7);
    map(&second, 0)?;
    first.lock_wal_index(0, 1, LOCK_EXCLUSIVE)?;
    first.unmap_wal_index()?;
    second.lock_wal_index(0, 1, LOCK_EXCLUSIVE)?;
    ensure!(
        read(map(&second, 0)?, 0) == 7,
        "the memory went before its last user"
    );
    ensure!(
        read(map(&first, 0)?, 0) == 7,
        "the memory is not shared again"
    );
    first.unmap_wal_index()?;
    drop(second);
    ensure!(
        first.map_wal_index(0, REGION_BYTES, false)?.is_none(),
        "the memory outlived its last user"
    );
    first.lock_wal_index(0, 1, LOCK_EXCLUSIVE)?;
    Ok(())
}

fn map(file: &OpenFile, region: i32) -> Result<NonNull<u8>, Failure> {
    file.map_wal_index(region, REGION_BYTES, true)?
        .ok_or_else(|| Failure::new(format!("region {region} was not made")))
}

fn ensure_busy(file: &OpenFile, first: i32, count: i32, flags: i32) -> Outcome {
    match file.lock_wal_index(first, count, flags) {
        Err(error) if error.code() == VfsErrorCode::Busy => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(Failure::new(format!(
            "slots {first}..+{count} granted for {flags}"
        ))),
    }
}

fn read(region: NonNull<u8>, byte: usize) -> u8 {
    // SAFETY: callers stay below the region's size and keep a user of it open.
    unsafe { region.add(byte).read() }
}

fn write(region: NonNull<u8>, byte: usize, value: u8) {
    // SAFETY: as for `read`.
    unsafe { region.add(byte).write(value) }
}
