//! Tables: that they are those of this version, and what SQLite itself says of each.

use rusqlite::Connection;

use super::{ProblemKind, VerifyReport, is_damage};
use crate::error::Result;
use crate::store::{schema, value};

/// Compares what the file says its tables are with what this version makes, and lists the tables.
pub(super) fn check_schema(
    connection: &Connection,
    report: &mut VerifyReport,
    tables: &mut Vec<String>,
) -> Result<bool> {
    let mut statement = connection.prepare(
        "SELECT type, name, coalesce(sql, ''), rootpage FROM sqlite_schema ORDER BY rowid",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    tables.push("sqlite_schema".to_owned());
    while let Some(row) = rows.next()? {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        if kind == "table" {
            tables.push(name.clone());
        }
        found.push((name, row.get::<_, String>(2)?));
    }
    for (name, sql) in schema::definitions() {
        match found.iter().find(|(found, _)| found == name) {
            None => report.add(ProblemKind::Schema, name, None, "is missing"),
            Some((_, found)) if found != sql => {
                report.add(
                    ProblemKind::Schema,
                    name,
                    None,
                    format!("is not as this version makes it: {found}"),
                );
            }
            Some(_) => {}
        }
    }
    for (name, form) in [
        ("generation", "????????????????????????????????"),
        ("epoch", "[0-9]*"),
    ] {
        let fits: Option<bool> = value(
            connection,
            "SELECT value GLOB ?2 FROM store_meta WHERE name = ?1",
            [name, form],
        )?;
        if fits != Some(true) {
            let state = if fits.is_none() {
                "missing"
            } else {
                "malformed"
            };
            report.add(
                ProblemKind::Meta,
                "store_meta",
                None,
                format!("{name} is {state}"),
            );
        }
    }
    // Taken from the end.
    tables.reverse();
    Ok(true)
}

/// SQLite's check of one table with its indexes, and of what its rows refer to.
pub(super) fn check_table(
    connection: &Connection,
    report: &mut VerifyReport,
    tables: &mut Vec<String>,
) -> Result<bool> {
    let Some(table) = tables.pop() else {
        return Ok(true);
    };
    report.checked.tables += 1;
    let quoted = table.replace('"', "\"\"");
    let checked = (|| -> Result<()> {
        if table == "messages_fts" {
            // Its part of the check believes what it knows of segments, until a read shows it newer ones.
            let _: Option<i64> = value(connection, "SELECT rowid FROM messages_fts LIMIT 1", [])?;
        }
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check(\"{quoted}\")"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let detail: String = row.get(0)?;
            if detail != "ok" {
                report.add(ProblemKind::Integrity, &table, None, detail);
            }
        }
        drop(rows);
        let mut statement =
            connection.prepare(&format!("PRAGMA foreign_key_check(\"{quoted}\")"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (key, parent): (Option<i64>, String) = (row.get(1)?, row.get(2)?);
            let detail = format!("a row refers to a row of {parent} that is not there");
            report.add(ProblemKind::ForeignKey, &table, key, detail);
            if report.is_full() {
                break;
            }
        }
        Ok(())
    })();
    match checked {
        Err(error) if is_damage(&error) => {
            report.add(
                ProblemKind::Integrity,
                &table,
                None,
                format!("cannot be read: {error}"),
            );
        }
        other => other?,
    }
    Ok(tables.is_empty())
}
