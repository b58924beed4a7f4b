//! Checks of the checksums of database pages.

use std::rc::Rc;

use rsqlite_vfs::ffi::SQLITE_IOERR_DATA;
use rusqlite::{FileControl, OpenFlags};

use super::recording::Action;
use super::{Connection, Failure, Outcome, Place, ensure, ensure_sound, value};
use crate::vfs::storage::OpenMode;
use crate::vfs::{ChecksumPolicy, Vfs, VfsOptions};

/// A page that holds nothing but the text of rows.
const TEXT_PAGE: usize = 5;

/// Of each size, by way of the rollback journal and of the WAL, the first page too.
pub fn every_page_in_the_file_bears_its_checksum(place: &Place) -> Outcome {
    for page_bytes in [512, 4096, 65_536] {
        let name = format!("db{page_bytes}");
        let connection = database(place, &place.vfs()?, &name, page_bytes, 8)?;
        ensure_stamped(place, &name, page_bytes)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; UPDATE t SET x = 'other ' || x;
             PRAGMA wal_checkpoint(TRUNCATE)",
        )?;
        ensure_stamped(place, &name, page_bytes)?;
        connection.execute_batch("DELETE FROM t WHERE rowid % 3; VACUUM")?;
        drop(connection);
        ensure_stamped(place, &name, page_bytes)?;
        ensure_sound(&*place.connect(&place.vfs()?, &name)?)?;
    }
    Ok(())
}

/// In the content or in the trailer: the read fails, and the page is named.
pub fn a_changed_byte_is_told_with_its_page(place: &Place) -> Outcome {
    for within in [2000, 4095] {
        let name = format!("db{within}");
        drop(database(place, &place.vfs()?, &name, 4096, 8)?);
        change_byte(place, &name, TEXT_PAGE, within)?;
        let vfs = place.vfs()?;
        let connection = place.connect(&vfs, &name)?;
        let code = match value::<i64>(&connection, "SELECT sum(length(x)) FROM t") {
            Err(rusqlite::Error::SqliteFailure(error, _)) => error.extended_code,
            answer => return Err(Failure::new(format!("not refused: {answer:?}"))),
        };
        ensure!(code == SQLITE_IOERR_DATA, "refused with code {code}");
        let cause = vfs.last_error().ok_or_else(|| Failure::new("no cause"))?;
        ensure!(
            cause.message().contains(&format!("page {TEXT_PAGE} ")),
            "the cause does not name the page: {cause}"
        );
        let damaged = vfs.damaged_pages(&place.path(&name))?;
        ensure!(
            damaged.pages == [u32::try_from(TEXT_PAGE)?] && damaged.reads > 0,
            "noted are {damaged:?}"
        );
    }
    Ok(())
}

/// It goes on for who wants to save what there is, and tells all the same.
pub fn a_lenient_reader_goes_on_and_notes(place: &Place) -> Outcome {
    drop(database(place, &place.vfs()?, "db", 4096, 8)?);
    change_byte(place, "db", TEXT_PAGE, 2000)?;
    for policy in [ChecksumPolicy::Lenient, ChecksumPolicy::Off] {
        let vfs = place.vfs()?;
        vfs.set_checksum_policy(&place.path("db"), policy)?;
        let connection = place.connect(&vfs, "db")?;
        ensure_sound(&connection)?;
        let noted = vfs.damaged_pages(&place.path("db"))?.pages.len();
        let expected = usize::from(policy == ChecksumPolicy::Lenient);
        ensure!(noted == expected, "{noted} pages noted with {policy:?}");
    }
    Ok(())
}

/// Another program wrote and left old checksums: once judged sound, they are made anew.
pub fn resealing_takes_a_strangers_pages_for_good(place: &Place) -> Outcome {
    drop(database(place, &place.vfs()?, "db", 4096, 8)?);
    let stranger = Vfs::register_with(
        Rc::clone(&place.storage),
        VfsOptions {
            checksums: false,
            ..place.options
        },
    )?;
    let connection = place.connect(&stranger, "db")?;
    connection.execute_batch("UPDATE t SET x = 'a stranger''s ' || x; VACUUM")?;
    drop(connection);

    let vfs = place.vfs()?;
    let path = place.path("db");
    vfs.set_checksum_policy(&path, ChecksumPolicy::Lenient)?;
    let connection = place.connect(&vfs, "db")?;
    ensure_sound(&connection)?;
    ensure!(
        vfs.damaged_pages(&path)?.reads > 0,
        "nothing was noted of a stranger's pages"
    );
    place.recording.take();
    ensure!(vfs.reseal(&path)? > 0, "nothing was stamped");
    let events = place.recording.take();
    let trailers_only = events.iter().all(|event| match event.action {
        Action::Write { length_bytes, .. } => length_bytes == 8,
        _ => true,
    });
    ensure!(trailers_only, "more than trailers was written: {events:?}");
    ensure!(
        events.last().is_some_and(
            |event| event.action == Action::Sync || event.action == Action::SyncDirectory
        ),
        "the checksums were not flushed: {events:?}"
    );
    ensure!(
        vfs.damaged_pages(&path)?.pages.is_empty(),
        "the damage is still noted"
    );
    ensure_stamped(place, "db", 4096)?;
    vfs.set_checksum_policy(&path, ChecksumPolicy::Verify)?;
    drop(connection);
    ensure_sound(&*place.connect(&vfs, "db")?)?;
    ensure!(vfs.reseal(&path)? == 0, "a sound file was stamped");
    Ok(())
}

/// Files of others are read and written as they are.
pub fn a_file_without_room_for_checksums_has_none(place: &Place) -> Outcome {
    let connection = database(place, &place.vfs()?, "db", 4096, 0)?;
    drop(connection);
    change_byte(place, "db", TEXT_PAGE, 2000)?;
    let vfs = place.vfs()?;
    let connection = place.connect(&vfs, "db")?;
    connection.execute_batch("UPDATE t SET x = x || '!' WHERE rowid % 2")?;
    ensure_sound(&connection)?;
    ensure!(
        vfs.damaged_pages(&place.path("db"))?.pages.is_empty(),
        "pages without checksums are noted"
    );
    ensure!(
        vfs.reseal(&place.path("db"))? == 0,
        "pages without room were stamped"
    );
    Ok(())
}

/// `VACUUM` makes room in all pages, and writes the first one not always first.
pub fn a_file_that_gets_room_gets_checksums(place: &Place) -> Outcome {
    let vfs = place.vfs()?;
    let connection = database(place, &vfs, "db", 4096, 0)?;
    connection.execute_batch("PRAGMA cache_size = 5; PRAGMA page_size = 8192")?;
    let mut reserved_bytes = 8;
    connection.file_control(None::<&str>, FileControl::ReserveBytes(&mut reserved_bytes))?;
    connection.execute_batch("VACUUM")?;
    ensure_stamped(place, "db", 8192)?;
    ensure_sound(&connection)?;
    drop(connection);
    ensure_sound(&*place.connect(&vfs, "db")?)
}

/// What was rolled back from a journal is as good as it was.
pub fn rolled_back_pages_bear_their_checksums(place: &Place) -> Outcome {
    let connection = database(place, &place.vfs()?, "db", 4096, 8)?;
    connection.execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE t SET x = 'lost' || x")?;
    let (from, to) = (
        place.storage.full_path(&place.path("db"))?,
        place.storage.full_path(&place.path("copy"))?,
    );
    for suffix in ["", "-journal"] {
        place
            .recording
            .copy(&format!("{from}{suffix}"), &format!("{to}{suffix}"))?;
    }
    connection.execute_batch("ROLLBACK")?;
    ensure_sound(&connection)?;
    drop(connection);
    ensure_stamped(place, "db", 4096)?;
    let survivor = place.connect(&place.vfs()?, "copy")?;
    ensure_sound(&survivor)?;
    let lost: i64 = value(&survivor, "SELECT count(*) FROM t WHERE x LIKE 'lost%'")?;
    ensure!(lost == 0, "{lost} rows of an open transaction survived");
    drop(survivor);
    ensure_stamped(place, "copy", 4096)
}

/// A database in rollback mode with rows on some pages.
fn database(
    place: &Place,
    vfs: &Rc<Vfs>,
    name: &str,
    page_bytes: usize,
    mut reserved_bytes: i32,
) -> Result<Connection, Failure> {
    let connection = (place.connect)(vfs, &place.path(name), OpenFlags::default())?;
    connection.file_control(None::<&str>, FileControl::ReserveBytes(&mut reserved_bytes))?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {page_bytes}; PRAGMA journal_mode = DELETE; CREATE TABLE t (x);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO t SELECT printf('%0500d', i) FROM n"
    ))?;
    Ok(connection)
}

fn change_byte(place: &Place, name: &str, page: usize, within: usize) -> Outcome {
    let mode = OpenMode::default();
    let mut raw = place.storage.open(&place.path(name), mode)?;
    let at = u64::try_from((page - 1) * 4096 + within)?;
    let mut byte = [0];
    raw.read_at(&mut byte, at)?;
    raw.write_at(&[byte[0] ^ 1], at)?;
    Ok(())
}

/// The algorithm once more, in other words: sums modulo 2^32 over little-endian words.
fn ensure_stamped(place: &Place, name: &str, page_bytes: usize) -> Outcome {
    let path = place.storage.full_path(&place.path(name))?;
    let bytes = place.recording.bytes(&path)?;
    ensure!(
        bytes.len() >= 2 * page_bytes && bytes.len() % page_bytes == 0,
        "{} bytes are no pages of {page_bytes}",
        bytes.len()
    );
    for (index, page) in bytes.chunks(page_bytes).enumerate() {
        let (content, trailer) = page.split_at(page_bytes - 8);
        let mut sums = [0_u64; 2];
        for (number, word) in content.chunks(4).enumerate() {
            let word = word
                .iter()
                .rev()
                .fold(0, |word, &byte| word * 256 + u64::from(byte));
            let (own, other) = (number % 2, 1 - number % 2);
            sums[own] = (sums[own] + word + sums[other]) % (1 << 32);
        }
        let expected: Vec<u8> = sums
            .iter()
            .flat_map(|sum| sum.to_le_bytes().into_iter().take(4))
            .collect();
        ensure!(
            trailer == expected,
            "page {} of {name} has the trailer {trailer:?}; {expected:?} was expected",
            index + 1
        );
    }
    Ok(())
}
