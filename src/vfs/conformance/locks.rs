//! Checks of the lock levels of the rollback journal, between two and three handles.

use rsqlite_vfs::{FileKind, LockLevel, OpenAccess, OpenOptions, VfsErrorCode, VfsFile};

use super::{Failure, Files, OpenFile, Outcome, Place, ensure, is_busy, value};

const OPTIONS: OpenOptions =
    OpenOptions::new(OpenAccess::ReadWrite, FileKind::MainDb).with_create();

const LEVELS: [LockLevel; 5] = [
    LockLevel::None,
    LockLevel::Shared,
    LockLevel::Reserved,
    LockLevel::Pending,
    LockLevel::Exclusive,
];

/// Alone, every step up and down that SQLite takes is granted.
pub fn one_handle_climbs_the_levels_in_order(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("file", OPTIONS)?;
    file.lock(LockLevel::Shared)?;
    file.lock(LockLevel::Shared)?;
    file.lock(LockLevel::Reserved)?;
    file.lock(LockLevel::Shared)?;
    ensure!(
        file.check_reserved_lock()?,
        "asking for less lowered the lock"
    );
    file.lock(LockLevel::Exclusive)?;
    file.lock(LockLevel::Exclusive)?;
    file.unlock(LockLevel::Shared)?;
    ensure!(
        !file.check_reserved_lock()?,
        "still reserved after going down to SHARED"
    );
    // A hot journal is rolled back without RESERVED in between.
    file.lock(LockLevel::Exclusive)?;
    file.unlock(LockLevel::None)?;
    file.unlock(LockLevel::None)?;
    file.unlock(LockLevel::Shared)?;
    ensure!(
        file.lock(LockLevel::Reserved).is_err(),
        "unlocking to SHARED from NONE raised the lock"
    );
    Ok(())
}

/// From NONE to more than SHARED, to PENDING by name, down to more than SHARED.
pub fn steps_that_sqlite_never_takes_are_refused(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("file", OPTIONS)?;
    for level in [
        LockLevel::Reserved,
        LockLevel::Pending,
        LockLevel::Exclusive,
    ] {
        expect(&mut file, level, Answer::Illegal)?;
    }
    file.lock(LockLevel::Shared)?;
    expect(&mut file, LockLevel::Pending, Answer::Illegal)?;
    file.lock(LockLevel::Reserved)?;
    expect(&mut file, LockLevel::Pending, Answer::Illegal)?;
    for level in [
        LockLevel::Reserved,
        LockLevel::Pending,
        LockLevel::Exclusive,
    ] {
        ensure!(file.unlock(level).is_err(), "unlocked to {level:?}");
    }
    ensure!(
        file.check_reserved_lock()?,
        "a refused step changed the lock"
    );
    Ok(())
}

/// Every pair of levels that two handles can hold, and every step from there.
pub fn two_handles_exclude_each_other_by_the_rules(place: &Place) -> Outcome {
    for held in LEVELS {
        let name = format!("{held:?}");
        let files = place.files();
        let (first, reader) = raise_to(&files, &name, held)?;
        let mut second = files.open(&name, OPTIONS)?;

        // PENDING is reached only by meeting a reader, who lets go now.
        drop(reader);
        let may_read = held <= LockLevel::Reserved;
        expect(&mut second, LockLevel::Shared, granted(may_read))?;
        if !may_read {
            drop(first);
            expect(&mut second, LockLevel::Shared, Answer::Granted)?;
            continue;
        }
        if held == LockLevel::None {
            expect(&mut second, LockLevel::Exclusive, Answer::Granted)?;
            second.unlock(LockLevel::Shared)?;
        } else {
            expect(&mut second, LockLevel::Exclusive, Answer::Busy)?;
        }
        expect(
            &mut second,
            LockLevel::Reserved,
            granted(held <= LockLevel::Shared),
        )?;
        if held > LockLevel::Shared {
            drop(first);
            expect(&mut second, LockLevel::Reserved, Answer::Granted)?;
            expect(&mut second, LockLevel::Exclusive, Answer::Granted)?;
            continue;
        }
        expect(
            &mut second,
            LockLevel::Exclusive,
            granted(held == LockLevel::None),
        )?;
        drop(first);
        expect(&mut second, LockLevel::Exclusive, Answer::Granted)?;
    }
    Ok(())
}

/// A writer that waits for readers is not starved by new ones.
pub fn pending_lets_readers_finish_and_none_begin(place: &Place) -> Outcome {
    let files = place.files();
    let mut writer = files.open("file", OPTIONS)?;
    let mut reader = files.open("file", OPTIONS)?;
    let mut another = files.open("file", OPTIONS)?;
    let mut newcomer = files.open("file", OPTIONS)?;
    for file in [&mut writer, &mut reader, &mut another] {
        file.lock(LockLevel::Shared)?;
    }
    writer.lock(LockLevel::Reserved)?;
    newcomer.lock(LockLevel::Shared)?;
    newcomer.unlock(LockLevel::None)?;

    expect(&mut writer, LockLevel::Exclusive, Answer::Busy)?;
    expect(&mut newcomer, LockLevel::Shared, Answer::Busy)?;
    reader.lock(LockLevel::Shared)?;
    expect(&mut reader, LockLevel::Reserved, Answer::Busy)?;
    expect(&mut reader, LockLevel::Exclusive, Answer::Busy)?;

    reader.unlock(LockLevel::None)?;
    expect(&mut reader, LockLevel::Shared, Answer::Busy)?;
    expect(&mut writer, LockLevel::Exclusive, Answer::Busy)?;
    another.unlock(LockLevel::None)?;
    expect(&mut writer, LockLevel::Exclusive, Answer::Granted)?;
    expect(&mut newcomer, LockLevel::Shared, Answer::Busy)?;
    writer.unlock(LockLevel::Shared)?;
    for file in [&mut newcomer, &mut reader, &mut another] {
        expect(file, LockLevel::Shared, Answer::Granted)?;
    }
    Ok(())
}

/// Asked by anyone: true from RESERVED up, whoever holds it, and never else.
pub fn reserved_is_reported_exactly_when_held(place: &Place) -> Outcome {
    let files = place.files();
    for held in LEVELS {
        let name = format!("{held:?}");
        let onlooker = files.open(&name, OPTIONS)?;
        ensure!(
            !onlooker.check_reserved_lock()?,
            "reserved before anyone locked"
        );
        let (mut holder, reader) = raise_to(&files, &name, held)?;
        let expected = held >= LockLevel::Reserved;
        for (who, file) in [("the holder", &holder), ("an onlooker", &onlooker)] {
            ensure!(
                file.check_reserved_lock()? == expected,
                "{who} is told {} while {held:?} is held",
                !expected
            );
        }
        holder.unlock(LockLevel::Shared)?;
        ensure!(
            !onlooker.check_reserved_lock()?,
            "reserved after the holder went down"
        );
        drop(reader);
    }
    Ok(())
}

/// A connection that goes without unlocking leaves nothing behind.
pub fn closing_a_handle_releases_its_locks(place: &Place) -> Outcome {
    let files = place.files();
    let mut other = files.open("file", OPTIONS)?;
    for held in LEVELS {
        let (holder, reader) = raise_to(&files, "file", held)?;
        drop((holder, reader));
        ensure!(
            !other.check_reserved_lock()?,
            "{held:?} outlived its handle"
        );
        other.lock(LockLevel::Shared)?;
        expect(&mut other, LockLevel::Exclusive, Answer::Granted)?;
        other.unlock(LockLevel::None)?;
    }
    Ok(())
}

/// A lock is about its file alone.
pub fn locks_of_two_files_are_apart(place: &Place) -> Outcome {
    let files = place.files();
    let mut first = files.open("first", OPTIONS)?;
    let mut second = files.open("second", OPTIONS)?;
    for file in [&mut first, &mut second] {
        file.lock(LockLevel::Shared)?;
        expect(file, LockLevel::Exclusive, Answer::Granted)?;
    }
    first.unlock(LockLevel::None)?;
    ensure!(!first.check_reserved_lock()?, "reserved by another file");
    ensure!(second.check_reserved_lock()?, "unlocked with another file");
    Ok(())
}

/// The levels at work in SQLite, in rollback mode, between three connections.
pub fn a_rollback_writer_waits_for_readers_by_busy_errors(place: &Place) -> Outcome {
    let vfs = place.vfs()?;
    let writer = place.connect(&vfs, "db")?;
    writer.execute_batch(
        "PRAGMA journal_mode = DELETE; CREATE TABLE t (x); INSERT INTO t VALUES (1)",
    )?;
    let reader = place.connect(&vfs, "db")?;
    let other = place.connect(&vfs, "db")?;
    let count = "SELECT count(*) FROM t";

    writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)")?;
    ensure!(
        is_busy(&other.execute_batch("BEGIN IMMEDIATE")),
        "two writers at once"
    );
    reader.execute_batch("BEGIN")?;
    ensure!(
        value::<i64>(&reader, count)? == 1,
        "an open transaction was seen"
    );

    ensure!(
        is_busy(&writer.execute_batch("COMMIT")),
        "committed under a reader"
    );
    ensure!(
        is_busy(&value::<i64>(&other, count)),
        "a reader began while a writer waited"
    );
    ensure!(
        value::<i64>(&reader, count)? == 1,
        "the reader lost its snapshot"
    );
    reader.execute_batch("COMMIT")?;
    writer.execute_batch("COMMIT")?;
    ensure!(value::<i64>(&other, count)? == 2, "the commit is not seen");
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Granted,
    Busy,
    Illegal,
}

fn granted(yes: bool) -> Answer {
    if yes { Answer::Granted } else { Answer::Busy }
}

fn expect(file: &mut OpenFile, level: LockLevel, expected: Answer) -> Outcome {
    let answer = match file.lock(level) {
        Ok(()) => Answer::Granted,
        Err(error) if error.code() == VfsErrorCode::Busy => Answer::Busy,
        Err(error) if error.code() == VfsErrorCode::IoLock => Answer::Illegal,
        Err(error) => return Err(error.into()),
    };
    ensure!(
        answer == expected,
        "{level:?} was {answer:?}, not {expected:?}"
    );
    Ok(())
}

/// A handle that holds `level`, and the reader that it takes to be held at PENDING.
fn raise_to(
    files: &Files<'_>,
    name: &str,
    level: LockLevel,
) -> Result<(OpenFile, Option<OpenFile>), Failure> {
    let mut file = files.open(name, OPTIONS)?;
    if level == LockLevel::None {
        return Ok((file, None));
    }
    file.lock(LockLevel::Shared)?;
    if level != LockLevel::Pending {
        for step in [LockLevel::Reserved, LockLevel::Exclusive] {
            if step <= level {
                file.lock(step)?;
            }
        }
        return Ok((file, None));
    }
    let mut reader = files.open(name, OPTIONS)?;
    reader.lock(LockLevel::Shared)?;
    file.lock(LockLevel::Reserved)?;
    expect(&mut file, LockLevel::Exclusive, Answer::Busy)?;
    Ok((file, Some(reader)))
}
