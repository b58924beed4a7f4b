//! The same below the engine: SQLite over the VFS, several connections, with what the engine's own
//! histories show seldom: readers whose snapshots are open across commits and checkpoints of every
//! kind, transactions that spill from a tiny cache, rollback journals.

use std::collections::BTreeMap;
use std::rc::Rc;

use chatstore::vfs::simulated::{History, SimulatedDisk};
use chatstore::vfs::{Connection, Vfs};
use rusqlite::{OpenFlags, Result};

use super::history::{Layer, Random, bare, seed_sqlite};
use super::{Report, Wrong, alone, asked_for, mixed, number};

pub const PATH: &str = "raw.db";

/// Length and version of each row; the number of commits stands in a table of its own.
type Rows = BTreeMap<i64, (usize, i64)>;

/// How a connection is opened; the tests of the tests tamper with it.
pub type Connect = fn(&Rc<Vfs>) -> Result<Connection>;

#[derive(Clone, Copy)]
pub struct RawSuite {
    pub file: &'static str,
    pub test: &'static str,
    pub journal_mode: &'static str,
    pub synchronous: &'static str,
    /// Whether all that was acknowledged must survive, or a beginning of it.
    pub strict: bool,
    pub steps: usize,
    pub seed: u64,
    pub rounds: usize,
    pub points: usize,
    pub layer: Layer,
    pub connect: Connect,
}

pub fn raw_suite(file: &'static str, test: &'static str) -> RawSuite {
    RawSuite {
        file,
        test,
        journal_mode: "WAL",
        synchronous: "FULL",
        strict: true,
        steps: 60,
        seed: 1,
        rounds: 1,
        points: 1000,
        layer: bare,
        connect,
    }
}

pub fn connect(vfs: &Rc<Vfs>) -> Result<Connection> {
    vfs.connect(PATH, OpenFlags::default())
}

struct Recorded {
    history: History,
    states: Vec<Rc<Rows>>,
    acknowledged_at: Vec<usize>,
}

/// An open snapshot and what it must go on to show.
struct Reader {
    connection: Connection,
    commits: usize,
}

impl RawSuite {
    pub fn run(self) -> Report {
        let _alone = alone();
        let mut report = Report::default();
        if let Some((seed, operations, round)) = asked_for(self.seed) {
            let recorded = self.record(seed);
            for number in operations.saturating_sub(60)..operations {
                println!("{number}: {}", recorded.history.describe(number));
            }
            report.histories = 1;
            self.check(&recorded, seed, &[(operations, round)], &mut report);
            return report;
        }
        let points = number("CHATSTORE_CRASH_POINTS").unwrap_or(self.points);
        for seed in self.seed.. {
            if report.points >= points {
                break;
            }
            let recorded = self.record(seed);
            report.histories += 1;
            report.operations += recorded.history.operations();
            let all = (recorded.history.operations() + 1) * self.rounds;
            let chosen: Vec<(usize, usize)> = (0..all.min(points - report.points))
                .map(|at| (at / self.rounds, at % self.rounds))
                .collect();
            self.check(&recorded, seed, &chosen, &mut report);
        }
        report.print(self.file, self.test);
        report
    }

    fn record(&self, seed: u64) -> Recorded {
        self.try_record(seed)
            .unwrap_or_else(|error| panic!("seed {seed}: the history itself failed: {error}"))
    }

    fn try_record(&self, seed: u64) -> Result<Recorded> {
        seed_sqlite(seed);
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(random.next());
        let vfs = Vfs::register((self.layer)(disk.clone())).expect("a VFS is registered");
        let mut writer = self.open(&vfs)?;
        // The tables themselves are kept whatever the suite is about.
        writer.execute_batch(
            "PRAGMA synchronous = EXTRA;
             CREATE TABLE log (commits INTEGER); INSERT INTO log VALUES (0);
             CREATE TABLE rows (id INTEGER PRIMARY KEY, version INTEGER, body TEXT);",
        )?;
        writer.pragma_update(None, "synchronous", self.synchronous)?;
        let mut rows = Rows::new();
        let mut states = vec![Rc::new(rows.clone())];
        let mut acknowledged_at = vec![disk.operations()];
        let mut readers: Vec<Reader> = Vec::new();
        for _ in 0..self.steps {
            match random.below(20) {
                0 | 1 if self.journal_mode == "WAL" => {
                    let connection = self.open(&vfs)?;
                    connection.execute_batch("BEGIN")?;
                    let commits = states.len() - 1;
                    assert_eq!(look(&connection, &states)?, Ok(commits), "seed {seed}");
                    readers.push(Reader {
                        connection,
                        commits,
                    });
                }
                2 | 3 if !readers.is_empty() => {
                    let reader = readers.swap_remove(random.below(readers.len()));
                    // What it began with is what it still sees.
                    assert_eq!(
                        look(&reader.connection, &states)?,
                        Ok(reader.commits),
                        "seed {seed}"
                    );
                }
                4 | 5 if self.journal_mode == "WAL" => {
                    let kind = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][random.below(4)];
                    // It may say that it is busy; that is an answer.
                    let sql = format!("PRAGMA wal_checkpoint({kind})");
                    writer.query_row(&sql, [], |_| Ok(()))?;
                }
                6 => {
                    drop(writer);
                    writer = self.open(&vfs)?;
                }
                7 => {
                    writer.execute_batch("BEGIN")?;
                    let mut dropped = rows.clone();
                    for _ in 0..1 + random.below(20) {
                        change(&writer, &mut dropped, &mut random)?;
                    }
                    writer.execute_batch("ROLLBACK")?;
                }
                _ => {
                    writer.execute_batch("BEGIN")?;
                    for _ in 0..[1, 2, 3, 20][random.below(4)] {
                        change(&writer, &mut rows, &mut random)?;
                    }
                    writer.execute_batch("UPDATE log SET commits = commits + 1; COMMIT")?;
                    states.push(Rc::new(rows.clone()));
                    acknowledged_at.push(disk.operations());
                }
            }
        }
        drop(readers);
        drop(writer);
        Ok(Recorded {
            history: disk.history(),
            states,
            acknowledged_at,
        })
    }

    fn open(&self, vfs: &Rc<Vfs>) -> Result<Connection> {
        let connection = (self.connect)(vfs)?;
        connection.execute_batch(&format!(
            "PRAGMA synchronous = {}; PRAGMA cache_size = 10;",
            self.synchronous
        ))?;
        connection.query_row(
            &format!("PRAGMA journal_mode = {}", self.journal_mode),
            [],
            |_| Ok(()),
        )?;
        connection.execute_batch("PRAGMA wal_autocheckpoint = 40")?;
        Ok(connection)
    }

    fn check(
        &self,
        recorded: &Recorded,
        history_seed: u64,
        points: &[(usize, usize)],
        report: &mut Report,
    ) {
        let mut replay = recorded.history.replay();
        for &(operations, round) in points {
            replay.advance(operations);
            report.points += 1;
            let seed = mixed(history_seed, operations, round);
            seed_sqlite(seed);
            let acknowledged = recorded
                .acknowledged_at
                .partition_point(|at| *at <= operations);
            let at_most = acknowledged.min(recorded.states.len() - 1);
            // Before the tables were made there is nothing to look at.
            let Some(acknowledged) = acknowledged.checked_sub(1) else {
                continue;
            };
            let outcome = self.verify(&replay.after_power_loss(seed), recorded);
            let wrong = match outcome {
                Err(error) => Wrong::Corrupt(error.to_string()),
                Ok(Err(text)) => Wrong::Corrupt(text),
                Ok(Ok(commits)) if commits > at_most => {
                    Wrong::Corrupt(format!("{commits} commits of at most {at_most}"))
                }
                Ok(Ok(commits)) if commits < acknowledged && self.strict => {
                    Wrong::Lost(format!("{commits} commits of {acknowledged}"))
                }
                Ok(Ok(commits)) => {
                    report.behind += usize::from(commits < acknowledged);
                    continue;
                }
            };
            report.failed(
                wrong,
                self.file,
                self.test,
                (history_seed, operations, round),
            );
        }
    }

    fn verify(
        &self,
        disk: &SimulatedDisk,
        recorded: &Recorded,
    ) -> Result<std::result::Result<usize, String>> {
        let vfs = Vfs::register((self.layer)(disk.clone())).expect("a VFS is registered");
        let connection = (self.connect)(&vfs)?;
        let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        let commits = if found == "ok" {
            look(&connection, &recorded.states)?
        } else {
            Err(found)
        };
        let _ = disk.kill();
        Ok(commits)
    }
}

/// One random change of a row.
fn change(connection: &Connection, rows: &mut Rows, random: &mut Random) -> Result<()> {
    let id = random.below(40) as i64;
    if rows.contains_key(&id) && random.below(4) == 0 {
        rows.remove(&id);
        connection.execute("DELETE FROM rows WHERE id = ?1", [id])?;
        return Ok(());
    }
    let length = [0, 10, 300, 3000, 9000][random.below(5)];
    let version = rows.get(&id).map_or(0, |(_, version)| version + 1);
    rows.insert(id, (length, version));
    connection.execute(
        "INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3)",
        (id, version, body(id, length, version)),
    )?;
    Ok(())
}

/// A text that tells which row and version it belongs to all along.
fn body(id: i64, length: usize, version: i64) -> String {
    let mut body = format!("{id}.{version} ").repeat(length / 4 + 1);
    body.truncate(length);
    body
}

/// How many commits a connection sees; what is wrong where the rows are not of that commit.
fn look(
    connection: &Connection,
    states: &[Rc<Rows>],
) -> Result<std::result::Result<usize, String>> {
    let commits: u32 = connection.query_row("SELECT commits FROM log", [], |row| row.get(0))?;
    let commits = commits as usize;
    let Some(expected) = states.get(commits) else {
        return Ok(Err(format!("{commits} commits, of {}", states.len() - 1)));
    };
    let mut statement = connection.prepare("SELECT id, version, body FROM rows ORDER BY id")?;
    let mut found = statement.query([])?;
    let mut expected = expected.iter();
    while let Some(row) = found.next()? {
        let (id, version, text): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let is_right = expected
            .next()
            .is_some_and(|(other, (length, other_version))| {
                *other == id && *other_version == version && body(id, *length, version) == text
            });
        if !is_right {
            return Ok(Err(format!("row {id} is not that of commit {commits}")));
        }
    }
    Ok(match expected.next() {
        None => Ok(commits),
        Some((id, _)) => Err(format!("row {id} of commit {commits} is not there")),
    })
}
