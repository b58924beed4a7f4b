//! Checks of how commits reach a WAL: at once, in front of SQLite's eyes, and, where
//! that fails, not at all.

use std::rc::Rc;

use rsqlite_vfs::{
    FileKind, OpenAccess, OpenOptions, SyncMode, SyncOptions, VfsErrorCode, VfsFile,
};
use rusqlite::OpenFlags;

use super::failing::{Arrives, Failing, Plan};
use super::recording::Action;
use super::recovery::wal_end;
use super::{Connection, Failure, OpenFile, Outcome, Place, ensure, ensure_sound, value};
use crate::vfs::Vfs;

const WAL: OpenOptions = OpenOptions::new(OpenAccess::ReadWrite, FileKind::Wal).with_create();
const SYNC: SyncOptions = SyncOptions {
    mode: SyncMode::Normal,
    data_only: false,
};
const COUNT: &str = "SELECT count(*) FROM t";

/// Whatever the size of a transaction that fits in memory, and with nothing of one
/// that was rolled back before it.
pub fn a_commit_reaches_the_wal_in_one_write(place: &Place) -> Outcome {
    let connection = database(place, &place.vfs()?)?;
    connection.execute_batch("PRAGMA cache_size = 5")?;
    let wal = wal_of(place, "db")?;
    for rows in [1, 10, 100] {
        place.recording.take();
        connection.execute_batch("BEGIN")?;
        insert(&connection, 200)?;
        connection.execute_batch("ROLLBACK")?;
        insert(&connection, rows)?;
        let end = u64::try_from(wal_end(&place.recording.bytes(&wal)?))?;
        let events = place.recording.take();
        let writes = events.iter().filter(|event| match event.action {
            // What comes after the frames is space for the next ones.
            Action::Write { offset_bytes, .. } => event.path == wal && offset_bytes < end,
            _ => false,
        });
        ensure!(
            writes.count() == 1,
            "{rows} rows are not one write: {events:?}"
        );
    }
    Ok(())
}

/// Without a commit too: what is synced is in the file then.
pub fn what_was_synced_is_in_the_file(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("log-wal", WAL)?;
    let mut log = Log::new(512);
    log.restart(&mut file, 1)?;
    for page in 0..20 {
        log.append(&mut file, page, false)?;
    }
    file.sync(SYNC)?;
    let found = place.recording.bytes(&place.path("log-wal"))?;
    ensure!(
        found.starts_with(&log.bytes),
        "{} bytes are in the file, and not the {} that were synced",
        found.len(),
        log.bytes.len()
    );
    Ok(())
}

/// Random histories of the calls that SQLite makes on a WAL, beside a model: each
/// read gives what was written, and a commit is in the file when its call returns.
pub fn a_wal_reads_as_it_was_written(place: &Place) -> Outcome {
    for seed in 1..=40 {
        history(place, seed)
            .map_err(|failure| Failure::new(format!("seed {seed}: {failure:?}")))?;
    }
    Ok(())
}

fn history(place: &Place, seed: u64) -> Outcome {
    let name = format!("log{seed}-wal");
    let files = place.files();
    let mut file = files.open(&name, WAL)?;
    let mut random = Random(seed);
    let mut log = Log::new([512, 4096][random.below(2)]);
    log.restart(&mut file, random.next())?;
    let mut committed = 0;
    for _ in 0..200 {
        let frames = log.frames();
        match random.below(12) {
            0..=4 => log.append(&mut file, random.next(), false)?,
            5 | 6 => {
                log.append(&mut file, random.next(), true)?;
                if random.below(3) == 0 {
                    // SQLite computes the checksums of the transaction anew.
                    for frame in committed..=frames {
                        log.rewrite_header(&mut file, frame, random.next())?;
                    }
                }
                committed = log.frames();
                let found = place.recording.bytes(&place.path(&name))?;
                ensure!(found.starts_with(&log.bytes), "a commit is not in the file");
            }
            7 | 8 if frames > committed => {
                let frame = committed + random.below(frames - committed);
                log.rewrite_page(&mut file, frame, random.next())?;
            }
            9 if frames > committed => {
                // Rolled back, all of it or to a savepoint.
                log.go_back(committed + random.below(frames - committed));
            }
            10 => file.sync(SYNC)?,
            11 if frames == committed && random.below(4) == 0 => {
                if random.below(2) == 0 {
                    file.truncate(0)?;
                }
                log.restart(&mut file, random.next())?;
                committed = 0;
            }
            _ => {}
        }
        let from = random.below(log.bytes.len());
        let length = 1 + random.below(log.bytes.len() - from);
        let mut read = vec![0; length];
        let count = file.read(&mut read, u64::try_from(from)?)?;
        ensure!(count == length, "{count} of {length} bytes read at {from}");
        ensure!(
            read == log.bytes[from..from + length],
            "other bytes at {from}"
        );
        ensure!(
            file.size()? >= u64::try_from(log.bytes.len())?,
            "the file is too short: {}",
            file.size()?
        );
    }
    drop(file);
    let kept = Log::HEADER_BYTES + committed * log.frame_bytes();
    let found = place.recording.bytes(&place.path(&name))?;
    ensure!(
        found.starts_with(&log.bytes[..kept]),
        "the file has lost a commit by its closing"
    );
    // Some places hold a few files only.
    files.delete(&name)?;
    Ok(())
}

/// Pages that go to the WAL more than once in a transaction, small and large.
pub fn a_transaction_that_overflows_its_cache_is_found_whole(place: &Place) -> Outcome {
    let connection = database(place, &place.vfs()?)?;
    insert(&connection, 50)?;
    connection.execute_batch("PRAGMA cache_size = 5")?;
    for (number, length) in [(1, 3000), (2, 200_000)] {
        connection.execute_batch("BEGIN")?;
        for round in 0..4 {
            connection.execute(
                "UPDATE t SET x = zeroblob(?1 + ?2)",
                (length, number * 10 + round),
            )?;
            connection.execute_batch(
                "SAVEPOINT s; DELETE FROM t WHERE rowid % 2; UPDATE t SET x = 'lost';
                 ROLLBACK TO s; RELEASE s",
            )?;
        }
        connection.execute_batch("COMMIT")?;
        let copy = format!("copy{number}");
        kill(place, &copy)?;
        for connection in [&connection, &place.connect(&place.vfs()?, &copy)?] {
            let right: i64 = connection.query_row(
                "SELECT count(*) FROM t WHERE length(x) = ?1",
                [length + number * 10 + 3],
                |row| row.get(0),
            )?;
            ensure!(right == 51, "{right} rows of 51 are as committed");
            ensure_sound(connection)?;
        }
    }
    Ok(())
}

/// Rolled back, and followed by a shorter transaction in the same place.
pub fn a_rolled_back_transaction_is_not_found(place: &Place) -> Outcome {
    let connection = database(place, &place.vfs()?)?;
    connection.execute_batch("PRAGMA cache_size = 5")?;
    let mut rows = 1;
    for (number, length) in [(1, 3000), (2, 100_000)] {
        for round in 0..3 {
            connection.execute_batch("BEGIN")?;
            for _ in 0..80 {
                connection.execute("INSERT INTO t VALUES (zeroblob(?1))", [length])?;
            }
            connection.execute_batch("ROLLBACK")?;
            if round > 0 {
                insert(&connection, 1)?;
                rows += 1;
            }
            let copy = format!("copy{number}{round}");
            kill(place, &copy)?;
            for connection in [&connection, &place.connect(&place.vfs()?, &copy)?] {
                let seen: i64 = value(connection, COUNT)?;
                ensure!(seen == rows, "{seen} rows of {rows}");
                ensure_sound(connection)?;
            }
        }
    }
    Ok(())
}

/// However much of it arrived: who was told that it failed must be right.
pub fn a_commit_whose_write_fails_is_not_found(place: &Place) -> Outcome {
    let (vfs, plan) = failing(place)?;
    let connection = database(place, &vfs)?;
    let mut rows = 1;
    for arrives in [Arrives::Nothing, Arrives::Half, Arrives::All] {
        for code in [
            VfsErrorCode::IoWrite,
            VfsErrorCode::Full,
            VfsErrorCode::Busy,
        ] {
            plan.writes.set(Some((arrives, code)));
            ensure!(
                insert(&connection, 30).is_err(),
                "a commit succeeded without its write"
            );
            plan.writes.set(None);
            let copy = format!("copy-{arrives:?}-{code:?}");
            kill(place, &copy)?;
            let survivor = place.connect(&place.vfs()?, &copy)?;
            let seen: i64 = value(&survivor, COUNT)?;
            ensure!(seen == rows, "{seen} rows of {rows}, {arrives:?} arrived");
            ensure_sound(&survivor)?;
            insert(&connection, 1)?;
            rows += 1;
            let seen: i64 = value(&connection, COUNT)?;
            ensure!(seen == rows, "{seen} rows of {rows} after the failure");
            ensure_sound(&connection)?;
        }
    }
    Ok(())
}

/// A checkpoint flushes the WAL beside a transaction that others have open. Where
/// that fails it is the checkpoint's failure, and nothing of the transaction is lost.
pub fn a_failed_checkpoint_takes_nothing_from_an_open_transaction(place: &Place) -> Outcome {
    let (vfs, plan) = failing(place)?;
    let writer = database(place, &vfs)?;
    let other = place.connect(&vfs, "db")?;
    writer.execute_batch("PRAGMA cache_size = 5; BEGIN")?;
    for _ in 0..100 {
        writer.execute("INSERT INTO t VALUES (zeroblob(3000))", [])?;
    }
    plan.writes
        .set(Some((Arrives::Half, VfsErrorCode::IoWrite)));
    let _ = value::<i64>(&other, "PRAGMA wal_checkpoint(PASSIVE)");
    plan.writes.set(None);
    for _ in 0..100 {
        writer.execute("INSERT INTO t VALUES (zeroblob(3000))", [])?;
    }
    writer.execute_batch("COMMIT")?;
    kill(place, "copy")?;
    for connection in [&other, &place.connect(&place.vfs()?, "copy")?] {
        let seen: i64 = value(connection, COUNT)?;
        ensure!(seen == 201, "{seen} rows of 201");
        ensure_sound(connection)?;
    }
    Ok(())
}

/// Systems tell of lost bytes once, so one success after it would be no proof.
pub fn no_flush_succeeds_after_one_that_failed(place: &Place) -> Outcome {
    let (vfs, plan) = failing(place)?;
    let connection = database(place, &vfs)?;
    plan.syncs.set(true);
    ensure!(
        insert(&connection, 1).is_err(),
        "a commit succeeded without its flush"
    );
    plan.syncs.set(false);
    ensure!(
        insert(&connection, 1).is_err(),
        "a flush succeeded after one that failed"
    );
    drop(connection);
    vfs.cut_unflushed(&place.path("db"))?;
    insert(&place.connect(&vfs, "db")?, 1)?;
    Ok(())
}

/// What a failed flush left is cut off, and all that was flushed before is kept.
pub fn a_commit_whose_flush_failed_is_cut_off(place: &Place) -> Outcome {
    let (vfs, plan) = failing(place)?;
    let connection = database(place, &vfs)?;
    insert(&connection, 5)?;
    let wal = wal_of(place, "db")?;
    let flushed = wal_end(&place.recording.bytes(&wal)?);
    plan.syncs.set(true);
    ensure!(insert(&connection, 9).is_err(), "a commit was not flushed");
    let refused = vfs.cut_unflushed(&place.path("db"));
    ensure!(
        refused.is_err_and(|error| error.code() == VfsErrorCode::Busy),
        "the WAL was cut under a connection"
    );
    ensure!(
        wal_end(&place.recording.bytes(&wal)?) > flushed,
        "the commit is not in the file, so there is nothing to cut"
    );
    drop(connection);
    plan.syncs.set(false);
    place.recording.take();
    vfs.cut_unflushed(&place.path("db"))?;
    let events = place.recording.take();
    let cut = events
        .iter()
        .position(|event| matches!(event.action, Action::Truncate(_)));
    let synced = events
        .iter()
        .rposition(|event| event.action == Action::Sync);
    ensure!(
        cut.is_some() && cut < synced,
        "the cut is not flushed: {events:?}"
    );
    let left = place.recording.bytes(&wal)?.len();
    ensure!(left == flushed, "{left} bytes are left of {flushed}");
    let connection = place.connect(&vfs, "db")?;
    let rows: i64 = value(&connection, COUNT)?;
    ensure!(rows == 6, "{rows} rows of 6");
    ensure_sound(&connection)?;
    drop(connection);
    vfs.cut_unflushed(&place.path("db"))?;
    vfs.cut_unflushed(&place.path("missing"))?;
    Ok(())
}

/// Bytes of a former owner may have been acknowledged; they are never cut.
pub fn what_a_former_owner_left_is_not_cut(place: &Place) -> Outcome {
    let owner = database(place, &place.vfs()?)?;
    insert(&owner, 5)?;
    kill(place, "copy")?;
    let (vfs, plan) = failing(place)?;
    let connection = place.connect(&vfs, "copy")?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    plan.syncs.set(true);
    ensure!(insert(&connection, 9).is_err(), "a commit was not flushed");
    drop(connection);
    plan.syncs.set(false);
    vfs.cut_unflushed(&place.path("copy"))?;
    let connection = place.connect(&vfs, "copy")?;
    let rows: i64 = value(&connection, COUNT)?;
    ensure!(rows == 6, "{rows} rows of 6");
    ensure_sound(&connection)
}

/// Commits overwrite space that is there: their flush has no length to write.
pub fn the_wal_grows_ahead_of_its_commits(place: &Place) -> Outcome {
    let connection = database(place, &place.vfs()?)?;
    let wal = wal_of(place, "db")?;
    let mut sizes = Vec::new();
    for _ in 0..100 {
        insert(&connection, 1)?;
        let bytes = place.recording.bytes(&wal)?;
        let end = wal_end(&bytes);
        ensure!(
            bytes[end..].iter().all(|&byte| byte == 0),
            "the space ahead is not zeros"
        );
        sizes.push(bytes.len());
    }
    sizes.dedup();
    ensure!(
        sizes.len() < 8,
        "100 commits made the file longer again and again: {sizes:?}"
    );
    Ok(())
}

/// A full disk is an error when there is no room for frames, and not before.
pub fn without_room_ahead_commits_go_on(place: &Place) -> Outcome {
    let (vfs, plan) = failing(place)?;
    let connection = database(place, &vfs)?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    plan.room_bytes.set(Some(150_000));
    let mut commits = 0;
    let wal = wal_of(place, "db")?;
    while insert(&connection, 1).is_ok() {
        commits += 1;
        let bytes = place.recording.bytes(&wal)?;
        ensure!(
            bytes.len() == wal_end(&bytes),
            "space ahead was kept of a disk that has too little"
        );
        ensure!(commits < 1000, "there was room for all");
    }
    ensure!(commits >= 10, "only {commits} commits, with room for more");
    let end = wal_end(&place.recording.bytes(&wal)?);
    ensure!(end > 100_000, "full after {end} bytes of 150000");
    // Moving the pages makes room.
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    insert(&connection, 1)?;
    let rows: i64 = value(&connection, COUNT)?;
    ensure!(rows == commits + 2, "{rows} rows of {}", commits + 2);
    ensure_sound(&connection)
}

/// What a former owner wrote and did not flush is flushed before it is relied on.
pub fn files_are_flushed_on_demand(place: &Place) -> Outcome {
    let vfs = place.vfs()?;
    let connection = database(place, &vfs)?;
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    insert(&connection, 1)?;
    place.recording.take();
    vfs.sync_files(&place.path("db"))?;
    let (db, wal) = (
        place.storage.full_path(&place.path("db"))?,
        wal_of(place, "db")?,
    );
    let synced = |path: &str| {
        let events = place.recording.take();
        let synced: Vec<String> = events
            .into_iter()
            .filter(|event| event.action == Action::Sync)
            .map(|event| event.path)
            .collect();
        (synced.iter().any(|synced| synced == path), synced)
    };
    let (_, both) = synced(&db);
    ensure!(both == [wal, db.clone()], "synced were {both:?}");
    drop(connection);
    place.recording.take();
    vfs.sync_files(&place.path("db"))?;
    let (is_synced, all) = synced(&db);
    ensure!(is_synced, "a closed file is not synced: {all:?}");
    vfs.sync_files(&place.path("missing"))?;
    ensure!(!vfs.exists(&place.path("missing"))?, "flushing made a file");
    Ok(())
}

/// The figures are those of the calls that the storage saw, and an insert is two of them.
pub fn a_flushed_insert_is_one_write_and_one_flush(place: &Place) -> Outcome {
    let vfs = place.vfs()?;
    let connection = database(place, &vfs)?;
    insert(&connection, 1)?;
    let before = vfs.figures();
    place.recording.take();
    for _ in 0..10 {
        connection.execute("INSERT INTO t VALUES ('small')", [])?;
    }
    let (spent, events) = (vfs.figures().since(&before), place.recording.take());
    let (mut writes, mut written_bytes, mut flushes) = (0, 0, 0);
    for event in &events {
        match event.action {
            Action::Write { length_bytes, .. } => {
                writes += 1;
                written_bytes += u64::try_from(length_bytes)?;
            }
            Action::Sync => flushes += 1,
            _ => {}
        }
    }
    ensure!(
        (spent.writes, spent.written_bytes, spent.flushes) == (writes, written_bytes, flushes),
        "counted {spent:?}, recorded {events:?}"
    );
    ensure!(
        (writes, flushes) == (10, 10),
        "10 inserts were {writes} writes and {flushes} flushes"
    );
    Ok(())
}

/// A database in WAL mode, flushed at each commit, with a row and no checkpoints.
fn database(place: &Place, vfs: &Rc<Vfs>) -> Result<Connection, Failure> {
    let connection = (place.connect)(vfs, &place.path("db"), OpenFlags::default())?;
    connection.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = DELETE; CREATE TABLE t (x);
         PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;
         PRAGMA wal_autocheckpoint = 0; INSERT INTO t VALUES (0)",
    )?;
    Ok(connection)
}

fn insert(connection: &Connection, rows: u32) -> rusqlite::Result<usize> {
    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO t SELECT zeroblob(3000) FROM n",
        [rows],
    )
}

fn failing(place: &Place) -> Result<(Rc<Vfs>, Rc<Plan>), Failure> {
    let (storage, plan) = Failing::new(Rc::clone(&place.storage));
    Ok((Vfs::register_with(storage, place.options)?, plan))
}

fn wal_of(place: &Place, name: &str) -> Result<String, Failure> {
    Ok(place.storage.full_path(&place.path(name))? + "-wal")
}

/// Copies the files as they are: what the next owner finds after a kill.
fn kill(place: &Place, copy: &str) -> Outcome {
    let from = place.storage.full_path(&place.path("db"))?;
    let to = place.storage.full_path(&place.path(copy))?;
    for suffix in ["", "-wal"] {
        let (from, to) = (format!("{from}{suffix}"), format!("{to}{suffix}"));
        place.recording.copy(&from, &to)?;
    }
    Ok(())
}

/// A WAL as SQLite writes it, and the bytes that it has to have.
struct Log {
    page_bytes: usize,
    bytes: Vec<u8>,
}

impl Log {
    const HEADER_BYTES: usize = 32;
    const FRAME_HEADER_BYTES: usize = 24;

    fn new(page_bytes: usize) -> Self {
        Self {
            page_bytes,
            bytes: Vec::new(),
        }
    }

    fn frame_bytes(&self) -> usize {
        Self::FRAME_HEADER_BYTES + self.page_bytes
    }

    fn frames(&self) -> usize {
        (self.bytes.len() - Self::HEADER_BYTES) / self.frame_bytes()
    }

    fn put(&mut self, file: &mut OpenFile, bytes: &[u8], at: usize) -> Outcome {
        file.write(bytes, u64::try_from(at)?)?;
        let end = at + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[at..end].copy_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self, file: &mut OpenFile, salt: u64) -> Outcome {
        self.bytes.clear();
        let mut header = [0; Self::HEADER_BYTES];
        header[..4].copy_from_slice(&0x377f_0682_u32.to_be_bytes());
        header[8..12].copy_from_slice(&u32::try_from(self.page_bytes)?.to_be_bytes());
        header[16..24].copy_from_slice(&salt.to_be_bytes());
        self.put(file, &header, 0)
    }

    fn append(&mut self, file: &mut OpenFile, content: u64, is_commit: bool) -> Outcome {
        let at = self.bytes.len();
        let mut header = [0; Self::FRAME_HEADER_BYTES];
        header[7] = is_commit.into();
        header[8..16].copy_from_slice(&content.to_be_bytes());
        self.put(file, &header, at)?;
        let page = self.page(content);
        self.put(file, &page, at + Self::FRAME_HEADER_BYTES)
    }

    fn rewrite_header(&mut self, file: &mut OpenFile, frame: usize, content: u64) -> Outcome {
        let at = Self::HEADER_BYTES + frame * self.frame_bytes();
        let mut header = [0; Self::FRAME_HEADER_BYTES];
        header.copy_from_slice(&self.bytes[at..at + Self::FRAME_HEADER_BYTES]);
        header[16..24].copy_from_slice(&content.to_be_bytes());
        self.put(file, &header, at)
    }

    fn rewrite_page(&mut self, file: &mut OpenFile, frame: usize, content: u64) -> Outcome {
        let at = Self::HEADER_BYTES + frame * self.frame_bytes() + Self::FRAME_HEADER_BYTES;
        let page = self.page(content);
        self.put(file, &page, at)
    }

    fn go_back(&mut self, frames: usize) {
        let kept = Self::HEADER_BYTES + frames * self.frame_bytes();
        self.bytes.truncate(kept);
    }

    fn page(&self, content: u64) -> Vec<u8> {
        content.to_be_bytes().repeat(self.page_bytes / 8)
    }
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}
