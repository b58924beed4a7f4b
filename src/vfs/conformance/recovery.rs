//! Checks of what the next owner makes of the files of one that was killed.
//!
//! The kill: the files are copied as the storage has them at that moment, and the
//! copy is opened by a new VFS, while the old owner knows nothing of it.

use super::{Connection, Failure, Outcome, Place, ensure, ensure_sound, is_busy, value};

const ROWS: i64 = 4_000;

/// The case that ruined files of another VFS: it always said "reserved", so
/// SQLite took every journal for one in use and never rolled it back.
pub fn a_hot_journal_is_rolled_back(place: &Place) -> Outcome {
    let (_owner, before) = open_update(place)?;
    kill(place, &["", "-journal"])?;
    ensure!(
        place.recording.bytes(&full_path(place, "copy")?)? != before,
        "the update has not reached the file, so there is nothing to roll back"
    );

    let survivor = place.connect(&place.vfs()?, "copy")?;
    let changed: i64 = value(
        &survivor,
        "SELECT count(*) FROM t WHERE text <> printf('%0200d', id)",
    )?;
    ensure!(
        changed == 0,
        "{changed} rows of an open transaction survived"
    );
    let rows: i64 = value(&survivor, "SELECT count(*) FROM t")?;
    ensure!(rows == ROWS, "{rows} rows of {ROWS}");
    ensure_sound(&survivor)?;
    let journal = full_path(place, "copy-journal")?;
    ensure!(
        !place.storage.exists(&journal)?,
        "the journal is still there"
    );
    survivor.execute_batch("UPDATE t SET text = 'writable' WHERE id = 1")?;
    Ok(())
}

/// Not every journal is hot: its owner may be alive, in the same instance.
pub fn a_journal_of_a_living_transaction_is_left_alone(place: &Place) -> Outcome {
    let (owner, _) = open_update(place)?;
    let onlooker = place.connect(owner.vfs(), "db")?;
    // The update has spilled, so its owner holds more than RESERVED.
    ensure!(
        is_busy(&value::<i64>(&onlooker, "SELECT count(*) FROM t")),
        "read beside a writer that changes the file"
    );
    let journal = full_path(place, "db-journal")?;
    ensure!(
        place.storage.exists(&journal)?,
        "the journal of a living transaction is gone"
    );
    owner.execute_batch("COMMIT")?;
    let changed: i64 = value(
        &onlooker,
        "SELECT count(*) FROM t WHERE text LIKE 'changed%'",
    )?;
    ensure!(changed == ROWS, "{changed} changed rows of {ROWS}");
    ensure_sound(&onlooker)
}

/// Commits that stand in the WAL only are there for the next owner.
pub fn a_wal_is_recovered(place: &Place) -> Outcome {
    let _owner = wal_database(place)?;
    kill(place, &["", "-wal"])?;
    let survivor = place.connect(&place.vfs()?, "copy")?;
    let rows: i64 = value(&survivor, "SELECT count(*) FROM t")?;
    ensure!(rows == 100, "{rows} rows of 100");
    ensure_sound(&survivor)?;
    survivor.execute_batch("INSERT INTO t (text) VALUES ('after')")?;
    drop(survivor);
    let again = place.connect(&place.vfs()?, "copy")?;
    let rows: i64 = value(&again, "SELECT count(*) FROM t")?;
    ensure!(rows == 101, "{rows} rows of 101");
    Ok(())
}

/// Frames that were written before their commit count for nothing.
pub fn frames_of_an_open_transaction_are_not_recovered(place: &Place) -> Outcome {
    let owner = wal_database(place)?;
    let committed = wal_end(&place.recording.bytes(&full_path(place, "db-wal")?)?);
    // More than is held back before it goes to the file.
    owner.execute_batch("PRAGMA cache_size = 10; BEGIN; UPDATE t SET text = zeroblob(60000)")?;
    let spilled = wal_end(&place.recording.bytes(&full_path(place, "db-wal")?)?);
    ensure!(
        spilled > committed,
        "the transaction has not reached the WAL"
    );
    kill(place, &["", "-wal"])?;
    let survivor = place.connect(&place.vfs()?, "copy")?;
    let intact: i64 = value(
        &survivor,
        "SELECT count(*) FROM t WHERE text = printf('%0200d', id)",
    )?;
    ensure!(intact == 100, "{intact} rows of 100 are as committed");
    ensure_sound(&survivor)
}

/// A last frame that was cut off takes its commit with it, and no other.
pub fn a_torn_wal_is_recovered_up_to_its_last_whole_commit(place: &Place) -> Outcome {
    let owner = wal_database(place)?;
    owner.execute_batch("INSERT INTO t (text) VALUES ('torn')")?;
    let (from, to) = (full_path(place, "db")?, full_path(place, "copy")?);
    place.recording.copy(&from, &to)?;
    let mut wal = place.recording.bytes(&format!("{from}-wal"))?;
    wal.truncate(wal_end(&wal) - 100);
    place.recording.put(&format!("{to}-wal"), &wal)?;
    let survivor = place.connect(&place.vfs()?, "copy")?;
    let rows: i64 = value(&survivor, "SELECT count(*) FROM t")?;
    ensure!(rows == 100, "{rows} rows of 100");
    ensure_sound(&survivor)
}

/// Why page 1 has to be durable before the WAL is made: SQLite deletes a WAL
/// that stands beside an empty file. It must still open, empty and sound.
pub fn a_database_without_pages_loses_its_wal(place: &Place) -> Outcome {
    let _owner = wal_database(place)?;
    let (from, to) = (full_path(place, "db")?, full_path(place, "copy")?);
    place.recording.put(&to, &[])?;
    place
        .recording
        .copy(&format!("{from}-wal"), &format!("{to}-wal"))?;
    let survivor = place.connect(&place.vfs()?, "copy")?;
    let tables: i64 = value(&survivor, "SELECT count(*) FROM sqlite_schema")?;
    ensure!(tables == 0, "{tables} tables");
    ensure!(
        !place.storage.exists(&format!("{to}-wal"))?,
        "the WAL is still there"
    );
    survivor.execute_batch("CREATE TABLE t (x)")?;
    ensure_sound(&survivor)
}

/// An update of all rows, open and spilled to the file; the file's bytes before it.
fn open_update(place: &Place) -> Result<(Connection, Vec<u8>), Failure> {
    let owner = place.connect(&place.vfs()?, "db")?;
    owner.execute_batch(&format!(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = DELETE;
         CREATE TABLE t (id INTEGER PRIMARY KEY, text);
         WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {ROWS})
         INSERT INTO t SELECT id, printf('%0200d', id) FROM n;
         PRAGMA cache_size = 10"
    ))?;
    let before = place.recording.bytes(&full_path(place, "db")?)?;
    owner.execute_batch("BEGIN; UPDATE t SET text = 'changed' || printf('%0200d', -id)")?;
    Ok((owner, before))
}

/// 100 rows committed one by one to the WAL, none of them checkpointed.
fn wal_database(place: &Place) -> Result<Connection, Failure> {
    let owner = place.connect(&place.vfs()?, "db")?;
    owner.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = DELETE;
         CREATE TABLE t (id INTEGER PRIMARY KEY, text);
         PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0",
    )?;
    for id in 1..=100 {
        owner.execute("INSERT INTO t VALUES (?1, printf('%0200d', ?1))", [id])?;
    }
    Ok(owner)
}

fn kill(place: &Place, suffixes: &[&str]) -> Outcome {
    let (from, to) = (full_path(place, "db")?, full_path(place, "copy")?);
    for suffix in suffixes {
        let (from, to) = (format!("{from}{suffix}"), format!("{to}{suffix}"));
        ensure!(
            !place.recording.bytes(&from)?.is_empty(),
            "{from:?} has no bytes"
        );
        place.recording.copy(&from, &to)?;
    }
    Ok(())
}

/// Where the frames of a WAL of pages of 4096 bytes end: those that bear its salt.
/// What follows are zeros or frames of former generations.
pub(super) fn wal_end(wal: &[u8]) -> usize {
    const HEADER_BYTES: usize = 32;
    let Some((header, frames)) = wal.split_at_checked(HEADER_BYTES) else {
        return 0;
    };
    let frames = frames
        .chunks_exact(24 + 4096)
        .take_while(|frame| frame[8..16] == header[16..24]);
    HEADER_BYTES + frames.map(<[u8]>::len).sum::<usize>()
}

fn full_path(place: &Place, name: &str) -> Result<String, Failure> {
    Ok(place.storage.full_path(&place.path(name))?)
}
