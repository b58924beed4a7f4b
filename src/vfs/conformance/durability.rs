//! Checks of the order of writes and syncs that reach the storage.

use super::recording::{Action, Event};
use super::{Connection, Failure, Outcome, Place, ensure, value};

/// A database in WAL mode with one table and a row, and no call left on record.
fn wal_database(place: &Place, synchronous: &str) -> Result<Connection, Failure> {
    let connection = place.connect(&place.vfs()?, "db")?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = {synchronous};
         CREATE TABLE t (x); PRAGMA journal_mode = WAL; INSERT INTO t VALUES (0)"
    ))?;
    place.recording.take();
    Ok(connection)
}

/// A new database survives a power loss with its name.
pub fn creation_syncs_the_file_and_its_directory(place: &Place) -> Outcome {
    let connection = place.connect(&place.vfs()?, "db")?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; CREATE TABLE t (x)",
    )?;
    let events = place.recording.take();
    let main = of(&events, &full_path(place, "db")?);
    let last_write = last(&main, Action::is_write)?;
    let synced = last(&main, |action| action == Action::Sync)?;
    let named = last(&main, |action| action == Action::SyncDirectory)?;
    ensure!(
        synced > last_write,
        "the file is not synced after its last write: {main:?}"
    );
    ensure!(
        named > synced,
        "the directory is not synced after the file: {main:?}"
    );

    connection.execute_batch("INSERT INTO t VALUES (1)")?;
    let events = place.recording.take();
    let again = of(&events, &full_path(place, "db")?);
    ensure!(
        !again.contains(&Action::SyncDirectory),
        "the directory is synced for a file whose name is durable"
    );
    Ok(())
}

/// Where a database has no pages, SQLite deletes its WAL: so page 1 comes first.
pub fn page_one_is_on_disk_before_the_wal(place: &Place) -> Outcome {
    let connection = place.connect(&place.vfs()?, "db")?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; CREATE TABLE t (x);
         PRAGMA journal_mode = WAL; INSERT INTO t VALUES (1)",
    )?;
    let events = place.recording.take();
    let (db, wal) = (full_path(place, "db")?, full_path(place, "db-wal")?);
    let page_one = position(&events, &db, |action| {
        matches!(
            action,
            Action::Write {
                offset_bytes: 0,
                ..
            }
        )
    })?;
    let synced = page_one + position(&events[page_one..], &db, |action| action == Action::Sync)?;
    let wal_opened = position(&events, &wal, |action| action == Action::Open)?;
    ensure!(
        synced < wal_opened,
        "the WAL is made before page 1 is durable"
    );
    Ok(())
}

/// In strict mode a commit is acknowledged after exactly one flush of the WAL.
pub fn a_wal_commit_syncs_the_wal_once_after_its_last_write(place: &Place) -> Outcome {
    let connection = wal_database(place, "FULL")?;
    let wal = full_path(place, "db-wal")?;
    for commit in 0..3 {
        connection.execute("INSERT INTO t VALUES (?1)", [commit])?;
        let events = place.recording.take();
        let strangers = events.iter().any(|event| event.path != wal);
        ensure!(!strangers, "a commit touches more than the WAL: {events:?}");
        let actions = of(&events, &wal);
        let syncs = actions.iter().filter(|&&action| action == Action::Sync);
        ensure!(syncs.count() == 1, "not one sync: {actions:?}");
        let last_write = last(&actions, Action::is_write)?;
        let synced = last(&actions, |action| action == Action::Sync)?;
        ensure!(
            synced > last_write,
            "the sync is not after the last write: {actions:?}"
        );
    }
    Ok(())
}

/// In relaxed mode it is acknowledged without one, which shows that the check above sees.
pub fn a_relaxed_wal_commit_syncs_nothing(place: &Place) -> Outcome {
    let connection = wal_database(place, "NORMAL")?;
    connection.execute_batch("INSERT INTO t VALUES (1)")?;
    let events = place.recording.take();
    ensure!(
        events.iter().any(|event| event.action.is_write()),
        "nothing was written: {events:?}"
    );
    ensure!(
        !events.iter().any(|event| event.action == Action::Sync),
        "a sync: {events:?}"
    );
    Ok(())
}

/// A WAL without a durable name would be lost with all its commits.
pub fn the_first_sync_of_a_wal_syncs_its_directory(place: &Place) -> Outcome {
    let connection = place.connect(&place.vfs()?, "db")?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; CREATE TABLE t (x);
         PRAGMA journal_mode = WAL",
    )?;
    place.recording.take();
    connection.execute_batch("INSERT INTO t VALUES (1)")?;
    let events = place.recording.take();
    let actions = of(&events, &full_path(place, "db-wal")?);
    let synced = last(&actions, |action| action == Action::Sync)?;
    let named = actions
        .iter()
        .position(|&action| action == Action::SyncDirectory);
    ensure!(named.is_some(), "the directory is not synced: {actions:?}");
    ensure!(
        synced > last(&actions, Action::is_write)?,
        "the sync is not after the last write: {actions:?}"
    );
    Ok(())
}

/// The WAL is durable before pages move, and they are before the WAL is reused.
pub fn a_checkpoint_syncs_the_wal_before_and_the_database_after(place: &Place) -> Outcome {
    let connection = wal_database(place, "NORMAL")?;
    connection.execute_batch("INSERT INTO t VALUES (1)")?;
    place.recording.take();
    let busy: i64 = value(&connection, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    ensure!(busy == 0, "the checkpoint was refused");
    let events = place.recording.take();
    let (db, wal) = (full_path(place, "db")?, full_path(place, "db-wal")?);
    let wal_synced = position(&events, &wal, |action| action == Action::Sync)?;
    let first_write = position(&events, &db, Action::is_write)?;
    let db_actions = of(&events, &db);
    let wal_cut = position(&events, &wal, |action| {
        matches!(action, Action::Truncate(0))
    })?;
    let db_synced = position(&events, &db, |action| action == Action::Sync)?;
    ensure!(
        wal_synced < first_write,
        "pages move before the WAL is durable: {events:?}"
    );
    ensure!(
        last(&db_actions, |action| action == Action::Sync)? > last(&db_actions, Action::is_write)?,
        "the database is not synced after its last write: {events:?}"
    );
    ensure!(
        db_synced < wal_cut,
        "the WAL is cut before the database is durable: {events:?}"
    );
    Ok(())
}

/// What a rollback needs is durable before anything is overwritten.
pub fn a_rollback_commit_syncs_the_journal_before_the_database_changes(place: &Place) -> Outcome {
    let connection = place.connect(&place.vfs()?, "db")?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; CREATE TABLE t (x)",
    )?;
    place.recording.take();
    connection.execute_batch("INSERT INTO t VALUES (1)")?;
    let events = place.recording.take();
    let (db, journal) = (full_path(place, "db")?, full_path(place, "db-journal")?);
    let journal_synced = position(&events, &journal, |action| action == Action::Sync)?;
    let journal_named = position(&events, &journal, |action| action == Action::SyncDirectory)?;
    let first_write = position(&events, &db, Action::is_write)?;
    let db_synced = position(&events, &db, |action| action == Action::Sync)?;
    let deleted = position(&events, &journal, |action| action == Action::Delete)?;
    ensure!(
        journal_synced < first_write && journal_named < first_write,
        "the database changes before the journal is durable: {events:?}"
    );
    ensure!(
        first_write < db_synced && db_synced < deleted,
        "the journal goes before the database is durable: {events:?}"
    );
    Ok(())
}

/// The path under which SQLite opens a file of the place.
fn full_path(place: &Place, name: &str) -> Result<String, Failure> {
    Ok(place.storage.full_path(&place.path(name))?)
}

fn of(events: &[Event], path: &str) -> Vec<Action> {
    let of_path = events.iter().filter(|event| event.path == path);
    of_path.map(|event| event.action).collect()
}

fn last(actions: &[Action], is_wanted: impl Fn(Action) -> bool) -> Result<usize, Failure> {
    actions
        .iter()
        .rposition(|&action| is_wanted(action))
        .ok_or_else(|| Failure::new(format!("a call is missing: {actions:?}")))
}

/// The first event about `path` that is wanted.
fn position(
    events: &[Event],
    path: &str,
    is_wanted: impl Fn(Action) -> bool,
) -> Result<usize, Failure> {
    events
        .iter()
        .position(|event| event.path == path && is_wanted(event.action))
        .ok_or_else(|| Failure::new(format!("a call about {path:?} is missing: {events:?}")))
}
