//! Checks of WAL mode with several connections of one instance.

use std::rc::Rc;

use rusqlite::OpenFlags;

use super::{Connection, Failure, Outcome, Place, Vfs, ensure, ensure_sound, is_busy, value};

const COUNT: &str = "SELECT count(*) FROM t";

/// A database in WAL mode with one row, its VFS and its writer.
fn database(place: &Place) -> Result<(Rc<Vfs>, Connection), Failure> {
    let vfs = place.vfs()?;
    let writer = place.connect(&vfs, "db")?;
    writer.execute_batch("PRAGMA journal_mode = DELETE; CREATE TABLE t (x)")?;
    let mode: String = value(&writer, "PRAGMA journal_mode = WAL")?;
    ensure!(mode == "wal", "the journal mode is {mode}");
    writer.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO t VALUES (0)")?;
    Ok((vfs, writer))
}

fn insert(writer: &Connection, rows: i64) -> Outcome {
    for row in 0..rows {
        writer.execute("INSERT INTO t VALUES (?1)", [row])?;
    }
    Ok(())
}

/// The three numbers of a checkpoint: refused, frames in the WAL, frames moved.
fn checkpoint(connection: &Connection, how: &str) -> rusqlite::Result<(i64, i64, i64)> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}

/// One reader stands still in time; another, new at each commit, does not.
pub fn a_pinned_reader_keeps_its_snapshot_while_commits_land(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let pinned = place.connect(&vfs, "db")?;
    pinned.execute_batch("BEGIN")?;
    ensure!(value::<i64>(&pinned, COUNT)? == 1, "wrong rows at first");
    let fresh = place.connect(&vfs, "db")?;
    for commit in 1..=200 {
        insert(&writer, 1)?;
        let seen: i64 = value(&fresh, COUNT)?;
        ensure!(
            seen == commit + 1,
            "a new reader sees {seen} rows after commit {commit}"
        );
        let seen: i64 = value(&pinned, COUNT)?;
        ensure!(
            seen == 1,
            "the pinned reader sees {seen} rows after commit {commit}"
        );
    }
    pinned.execute_batch("COMMIT")?;
    ensure!(
        value::<i64>(&pinned, COUNT)? == 201,
        "the snapshot outlived its transaction"
    );
    Ok(())
}

/// Not even when its pages have gone to the WAL already.
pub fn a_reader_sees_nothing_of_an_open_transaction(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let reader = place.connect(&vfs, "db")?;
    writer.execute_batch("PRAGMA cache_size = 5; BEGIN IMMEDIATE")?;
    for row in 0..200 {
        writer.execute("INSERT INTO t VALUES (zeroblob(3000 + ?1))", [row])?;
    }
    ensure!(
        value::<i64>(&reader, COUNT)? == 1,
        "uncommitted rows are seen"
    );
    let late = place.connect(&vfs, "db")?;
    ensure!(
        value::<i64>(&late, COUNT)? == 1,
        "uncommitted rows are seen by a new connection"
    );
    writer.execute_batch("COMMIT")?;
    ensure!(
        value::<i64>(&reader, COUNT)? == 201,
        "committed rows are not seen"
    );
    writer.execute_batch("BEGIN; DELETE FROM t; ROLLBACK")?;
    ensure!(
        value::<i64>(&reader, COUNT)? == 201,
        "rolled back rows are missing"
    );
    ensure_sound(&reader)
}

/// There is one writer; the next gets its error and not a wait.
pub fn a_second_writer_is_refused_at_once(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let second = place.connect(&vfs, "db")?;
    let patience: i64 = value(&second, "PRAGMA busy_timeout")?;
    ensure!(patience == 0, "a connection waits {patience} ms for a lock");
    writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")?;
    ensure!(
        is_busy(&second.execute_batch("BEGIN IMMEDIATE")),
        "two writers at once"
    );
    ensure!(
        is_busy(&second.execute("INSERT INTO t VALUES (2)", [])),
        "a second writer wrote"
    );
    writer.execute_batch("COMMIT")?;
    second.execute_batch("INSERT INTO t VALUES (2)")?;

    // Who read before another's commit cannot become the writer of that snapshot.
    second.execute_batch("BEGIN")?;
    ensure!(value::<i64>(&second, COUNT)? == 3, "rows are missing");
    insert(&writer, 1)?;
    let stale = second.execute("INSERT INTO t VALUES (3)", []);
    ensure!(
        is_busy(&stale),
        "wrote on top of a stale snapshot: {stale:?}"
    );
    second.execute_batch("ROLLBACK")?;
    ensure!(
        value::<i64>(&second, COUNT)? == 4,
        "rows are missing after the conflict"
    );
    Ok(())
}

/// Frames that a reader still needs stay where they are.
pub fn a_passive_checkpoint_respects_the_reader(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let reader = place.connect(&vfs, "db")?;
    reader.execute_batch("BEGIN")?;
    ensure!(value::<i64>(&reader, COUNT)? == 1, "wrong rows at first");
    insert(&writer, 50)?;
    let (refused, in_wal, moved) = checkpoint(&writer, "PASSIVE")?;
    ensure!(refused == 0, "a passive checkpoint was refused");
    ensure!(moved < in_wal, "all {in_wal} frames moved under a reader");
    ensure!(
        value::<i64>(&reader, COUNT)? == 1,
        "the reader lost its snapshot"
    );
    reader.execute_batch("COMMIT")?;
    let (_, in_wal, moved) = checkpoint(&writer, "PASSIVE")?;
    ensure!(
        moved == in_wal,
        "{moved} of {in_wal} frames moved without a reader"
    );
    ensure!(value::<i64>(&reader, COUNT)? == 51, "rows are missing");
    ensure_sound(&reader)
}

/// TRUNCATE is refused while someone reads, and leaves an empty WAL after.
pub fn a_truncating_checkpoint_succeeds_after_the_reader(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let reader = place.connect(&vfs, "db")?;
    reader.execute_batch("BEGIN")?;
    ensure!(value::<i64>(&reader, COUNT)? == 1, "wrong rows at first");
    insert(&writer, 50)?;
    let wal = place.storage.full_path(&place.path("db"))? + "-wal";
    ensure!(
        checkpoint(&writer, "TRUNCATE")?.0 == 1,
        "the WAL was cut under a reader"
    );
    ensure!(!place.recording.bytes(&wal)?.is_empty(), "the WAL is empty");
    reader.execute_batch("COMMIT")?;
    ensure!(
        checkpoint(&writer, "TRUNCATE")? == (0, 0, 0),
        "the checkpoint was refused"
    );
    ensure!(
        place.recording.bytes(&wal)?.is_empty(),
        "the WAL is not empty"
    );
    insert(&writer, 1)?;
    ensure!(value::<i64>(&reader, COUNT)? == 52, "rows are missing");
    ensure_sound(&reader)
}

/// Twenty connections, each at a commit of its own.
pub fn many_readers_hold_many_snapshots(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let mut readers = Vec::new();
    for rows in 1..=20 {
        let reader = place.connect(&vfs, "db")?;
        reader.execute_batch("BEGIN")?;
        ensure!(
            value::<i64>(&reader, COUNT)? == rows,
            "a reader begins with wrong rows"
        );
        readers.push((rows, reader));
        insert(&writer, 1)?;
    }
    checkpoint(&writer, "PASSIVE")?;
    for (rows, reader) in &readers {
        let seen: i64 = value(reader, COUNT)?;
        ensure!(seen == *rows, "{seen} rows in the snapshot of {rows}");
    }
    for (_, reader) in &readers {
        reader.execute_batch("COMMIT")?;
        ensure!(
            value::<i64>(reader, COUNT)? == 21,
            "a reader does not follow"
        );
    }
    ensure!(
        checkpoint(&writer, "TRUNCATE")?.0 == 0,
        "a lock was left behind"
    );
    Ok(())
}

/// After the last close there is a database and nothing beside it.
pub fn the_last_connection_leaves_one_plain_file(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let reader = place.connect(&vfs, "db")?;
    // A connection that has not read yet does not count: it has not opened the WAL.
    ensure!(value::<i64>(&reader, COUNT)? == 1, "wrong rows at first");
    insert(&writer, 10)?;
    let wal = place.storage.full_path(&place.path("db"))? + "-wal";
    drop(writer);
    ensure!(
        place.storage.exists(&wal)?,
        "the WAL went before the last connection"
    );
    ensure!(value::<i64>(&reader, COUNT)? == 11, "rows are missing");
    drop(reader);
    ensure!(!place.storage.exists(&wal)?, "the WAL is still there");
    let again = place.connect(&vfs, "db")?;
    let mode: String = value(&again, "PRAGMA journal_mode")?;
    ensure!(mode == "wal", "the journal mode is {mode}");
    ensure!(
        value::<i64>(&again, COUNT)? == 11,
        "rows are missing after opening again"
    );
    Ok(())
}

/// Going back to a rollback journal is refused beside another connection.
pub fn leaving_wal_needs_the_file_alone(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let reader = place.connect(&vfs, "db")?;
    ensure!(value::<i64>(&reader, COUNT)? == 1, "rows are missing");
    let attempt: rusqlite::Result<String> = value(&writer, "PRAGMA journal_mode = DELETE");
    ensure!(
        is_busy(&attempt) || attempt.as_deref() == Ok("wal"),
        "left WAL beside another connection: {attempt:?}"
    );
    ensure!(
        value::<i64>(&reader, COUNT)? == 1,
        "the reader was disturbed"
    );
    drop(reader);
    let mode: String = value(&writer, "PRAGMA journal_mode = DELETE")?;
    ensure!(mode == "delete", "the journal mode is {mode}");
    ensure!(value::<i64>(&writer, COUNT)? == 1, "rows are missing");
    Ok(())
}

/// Reading needs no right to write, writing does.
pub fn a_read_only_connection_reads_a_wal(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let reader = (place.connect)(&vfs, &place.path("db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    insert(&writer, 5)?;
    ensure!(value::<i64>(&reader, COUNT)? == 6, "rows are missing");
    let refused = reader.execute("INSERT INTO t VALUES (1)", []);
    let code = refused
        .as_ref()
        .err()
        .and_then(rusqlite::Error::sqlite_error_code);
    ensure!(
        code == Some(rusqlite::ErrorCode::ReadOnly),
        "not refused: {refused:?}"
    );
    insert(&writer, 1)?;
    ensure!(
        value::<i64>(&reader, COUNT)? == 7,
        "rows are missing after the refusal"
    );
    Ok(())
}

/// Opening and closing in every order while rows are written.
pub fn connections_come_and_go_without_loss(place: &Place) -> Outcome {
    let (vfs, writer) = database(place)?;
    let mut open = vec![writer];
    let mut rows = 1;
    for round in 0..60 {
        open.push(place.connect(&vfs, "db")?);
        let index = (round * 7) % open.len();
        insert(&open[index], 1)?;
        rows += 1;
        if round % 3 != 0 {
            open.swap_remove((round * 5) % open.len());
        }
        if round % 20 == 19 {
            open.clear();
            open.push(place.connect(&vfs, "db")?);
        }
        for connection in &open {
            let seen: i64 = value(connection, COUNT)?;
            ensure!(seen == rows, "{seen} rows of {rows} in round {round}");
        }
    }
    ensure_sound(&open[0])
}
