//! The file format: what a chatstore file is, how one is made, checked and migrated.
//!
//! A file is only ever changed here once it is known to be ours and not newer than this code.

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, FileControl};

use crate::error::{Code, Error, Result};
use crate::model::limits;

/// Marks a SQLite file as a chatstore file: the letters `ChAt`.
pub const APPLICATION_ID: i32 = 0x4368_4174;
/// Version of the schema that this code reads and writes; `PRAGMA user_version` of the file.
pub const SCHEMA_VERSION: i32 = 1;
/// Size of a database page.
pub const PAGE_SIZE_BYTES: u32 = 4096;
/// Bytes kept free at the end of each page, for its checksum.
pub const RESERVED_BYTES: i32 = 8;

const SCHEMA: &str = include_str!("schema.sql");
const HEADER_BYTES: usize = 100;

/// What lies at the path of a store.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// No file, or an empty one.
    Nothing,
    /// A file of ours, of a version that this code knows.
    Store,
}

/// Judges a file by its first bytes, without SQLite, so that a stranger's file is not touched.
///
/// # Errors
/// `NOT_A_STORE` for anything that is not a chatstore file, `SCHEMA_TOO_NEW` for a newer one.
pub fn judge_header(header: &[u8], path: &str) -> Result<Found> {
    if header.is_empty() {
        return Ok(Found::Nothing);
    }
    let word = |at: usize| {
        i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if header.len() < HEADER_BYTES || !header.starts_with(b"SQLite format 3\0") {
        return Err(not_a_store(path, "it is not a SQLite file"));
    }
    judge_versions(word(68), word(60), path)
}

/// How many bytes [`judge_header`] wants to see.
pub const fn header_bytes() -> usize {
    HEADER_BYTES
}

pub(crate) fn judge_versions(
    application_id: i32,
    schema_version: i32,
    path: &str,
) -> Result<Found> {
    if application_id != APPLICATION_ID {
        return Err(not_a_store(
            path,
            &format!("its application id is {application_id}, not {APPLICATION_ID}"),
        ));
    }
    if schema_version > SCHEMA_VERSION {
        return Err(Error::new(
            Code::SchemaTooNew,
            format!(
                "{path} has schema version {schema_version}; this chatstore knows versions up to {SCHEMA_VERSION}. \
                 The file was not changed; open it with a newer chatstore"
            ),
        )
        .with("path", path)
        .with("schemaVersion", schema_version)
        .with("supportedVersion", SCHEMA_VERSION));
    }
    Ok(Found::Store)
}

fn not_a_store(path: &str, why: &str) -> Error {
    Error::new(
        Code::NotAStore,
        format!("{path} is not a chatstore file: {why}. It was not changed"),
    )
    .with("path", path)
}

/// Makes an empty file into a store, or checks and migrates one that is there. Leaves it in WAL mode, where it
/// can be written to.
///
/// # Errors
/// As [`judge_header`], and what reading and writing the file can fail with.
pub fn prepare(connection: &Connection, path: &str) -> Result<()> {
    // Until the file is known to be ours, closing the connection must not write to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if pages == 0 {
        create(connection)?;
    } else {
        let application_id = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        judge_versions(application_id, schema_version(connection)?, path)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    if connection.is_readonly("main")? {
        return Ok(());
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::new(
            Code::IoError,
            format!("{path} stayed in journal mode {mode}; wal was expected"),
        ));
    }
    Ok(())
}

/// The schema version of an open file.
///
/// # Errors
/// What reading the file can fail with.
pub fn schema_version(connection: &Connection) -> Result<i32> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Notes which owner has written to the file last.
///
/// # Errors
/// What writing can fail with.
pub fn write_epoch(connection: &Connection, epoch: i64) -> Result<()> {
    let sql = "UPDATE store_meta SET value = ?1 WHERE name = 'epoch'";
    connection
        .prepare_cached(sql)?
        .execute([epoch.to_string()])?;
    Ok(())
}

/// The epoch of the last owner that has written.
///
/// # Errors
/// What reading can fail with.
pub fn epoch(connection: &Connection) -> Result<i64> {
    let sql = "SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'epoch'";
    Ok(super::value(connection, sql, [])?.unwrap_or(0))
}

/// When the file was sealed last, epoch milliseconds.
///
/// # Errors
/// What reading can fail with.
pub fn sealed_at_ms(connection: &Connection) -> Result<Option<i64>> {
    let sql = "SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'sealed_at'";
    super::value(connection, sql, [])
}

/// The change counter that a copy is given which is complete by itself. Whoever writes to it counts on, or
/// gives it a log: where the counter is still this one, every page is as it was copied.
pub fn counter_of_copy(sealed_ms: Option<i64>) -> u32 {
    // Of times that are close to each other the counters are far apart.
    let spread = (sealed_ms.unwrap_or_default() as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> 32) as u32
}

/// The change counter of a file that has no log, by its first bytes.
pub fn found_counter(header: &[u8]) -> Option<u32> {
    let word = |at: usize| {
        header
            .get(at..at + 4)?
            .try_into()
            .ok()
            .map(u32::from_be_bytes)
    };
    let has_log = header.get(18..20)? != [1, 1];
    word(24).filter(|counter| !has_log && word(92) == Some(*counter))
}

/// Notes when the file is sealed.
///
/// # Errors
/// What writing can fail with.
pub fn write_sealed_at(connection: &Connection, sealed_ms: i64) -> Result<()> {
    let sql = "INSERT INTO store_meta (name, value) VALUES ('sealed_at', ?1)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection
        .prepare_cached(sql)?
        .execute([sealed_ms.to_string()])?;
    Ok(())
}

/// One transaction in rollback mode, so that page 1 is in the file before there is a WAL: SQLite
/// throws a WAL away that lies beside a file without pages. Truly one: setting `auto_vacuum` writes
/// page 1, and outside of the transaction a crash would leave a file that nobody calls a store.
fn create(connection: &Connection) -> Result<()> {
    let mut reserved_bytes = RESERVED_BYTES;
    connection.file_control(None::<&str>, FileControl::ReserveBytes(&mut reserved_bytes))?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_SIZE_BYTES};
         PRAGMA synchronous = EXTRA;
         BEGIN;
         PRAGMA auto_vacuum = INCREMENTAL;
         {SCHEMA}
         INSERT INTO store_meta (name, value)
         VALUES ('generation', lower(hex(randomblob(16)))), ('epoch', '0'),
                ('created_by', 'chatstore {version}');
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {SCHEMA_VERSION};
         COMMIT;",
        version = env!("CARGO_PKG_VERSION"),
    ))?;
    Ok(())
}

/// Sets what each connection needs. Nothing is left to the build's defaults, which differ between
/// the native SQLite and the one in wasm.
///
/// # Errors
/// What SQLite can fail with.
pub fn configure(connection: &Connection, cache_kib: u32, synchronous: &str) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limits::REPLY_BYTES as i32)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{cache_kib};
         PRAGMA foreign_keys = ON;
         PRAGMA recursive_triggers = OFF;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA synchronous = {synchronous};"
    ))?;
    Ok(())
}

/// Every table, index, view and trigger by its name, with its SQL as SQLite keeps it.
pub(crate) fn definitions() -> impl Iterator<Item = (&'static str, &'static str)> {
    // A statement begins and ends on lines that are not indented.
    let starts = SCHEMA.match_indices("\nCREATE ").map(|(at, _)| at + 1);
    starts.filter_map(|start| {
        let mut end = start;
        for line in SCHEMA[start..].split_inclusive('\n') {
            end += line.len();
            if !line.starts_with(' ') && line.trim_end().ends_with(';') {
                break;
            }
        }
        let sql = SCHEMA[start..end].trim_end().strip_suffix(';')?;
        let mut words = sql.split_whitespace();
        words.find(|word| matches!(*word, "TABLE" | "INDEX" | "VIEW" | "TRIGGER"))?;
        Some((words.next()?, sql))
    })
}

/// Table and column of a check, told from its name `<table>_<column>_<rule>`.
pub(crate) fn check_target(constraint: &str) -> Option<(&'static str, &str)> {
    const TABLES: [&str; 5] = ["bots", "sessions", "messages", "blobs", "attachments"];
    const RULES: [&str; 10] = [
        "not_empty",
        "json",
        "known",
        "boolean",
        "range",
        "own",
        "session",
        "older",
        "sha256",
        "exact",
    ];
    TABLES.iter().find_map(|table| {
        let rest = constraint.strip_prefix(table)?.strip_prefix('_')?;
        let column = RULES
            .iter()
            .find_map(|rule| rest.strip_suffix(rule)?.strip_suffix('_'))?;
        Some((*table, column))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_of_the_schema_tells_its_table_and_column() {
        let names: Vec<&str> = SCHEMA
            .split("CONSTRAINT ")
            .skip(1)
            .map(|rest| rest.split_whitespace().next().unwrap_or_default())
            .collect();
        assert!(names.len() > 20, "only {} named checks found", names.len());
        for name in names {
            let (table, column) =
                check_target(name).unwrap_or_else(|| panic!("{name} tells no table and column"));
            assert!(
                SCHEMA.contains(&format!("CREATE TABLE {table} (")),
                "{name}: no table {table}"
            );
            assert!(
                SCHEMA.contains(&format!("  {column} ")),
                "{name}: no column {column}"
            );
        }
    }

    #[test]
    fn the_definitions_are_what_a_new_file_holds() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let mut statement = connection
            .prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'messages_fts_*' ORDER BY rowid")
            .unwrap();
        let made: Vec<(String, String)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let told: Vec<(String, String)> = definitions()
            .map(|(name, sql)| (name.to_owned(), sql.to_owned()))
            .collect();
        assert_eq!(told, made);
    }

    #[test]
    fn a_short_or_foreign_header_is_not_a_store() {
        assert_eq!(judge_header(&[], "x").unwrap(), Found::Nothing);
        assert_eq!(
            judge_header(b"hello", "x").unwrap_err().code(),
            Code::NotAStore
        );
        let mut header = [0; HEADER_BYTES];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        assert_eq!(
            judge_header(&header, "x").unwrap_err().code(),
            Code::NotAStore
        );
        header[68..72].copy_from_slice(&APPLICATION_ID.to_be_bytes());
        header[60..64].copy_from_slice(&(SCHEMA_VERSION + 1).to_be_bytes());
        assert_eq!(
            judge_header(&header, "x").unwrap_err().code(),
            Code::SchemaTooNew
        );
    }
}
