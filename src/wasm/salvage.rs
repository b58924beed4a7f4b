//! Saving what is left of a damaged file, for hosts: from the first step to the last at once.
//!
//! Nobody has the file open then, and nothing else is waited for. What comes of it is JSON, as the
//! reports of the engine are. Whose the files are, and what becomes of half a new one, is the host's.

use std::rc::Rc;

use rusqlite::OpenFlags;
use wasm_bindgen::prelude::*;

use crate::error::{Code, Error, Result};
use crate::maintain::{Salvage, SalvageReport, to_the_end};
use crate::store::{schema, value};
use crate::vfs::{Connection, Storage, Vfs};

const CACHE_KIB: u32 = 8 << 10;

/// Copies what can be read of the file at `damaged` into a new store at `new`, where no file may be,
/// among the same `files` as those of an `Instance`. Gives the report as JSON.
#[wasm_bindgen]
pub fn salvage(files: JsValue, damaged: &str, new: &str) -> std::result::Result<String, JsValue> {
    console_error_panic_hook::set_once();
    super::files::storage(&files)
        .and_then(|storage| run(storage, damaged, new))
        .map_err(super::thrown)
}

fn run(storage: Rc<dyn Storage>, damaged: &str, new: &str) -> Result<String> {
    let vfs = Vfs::register(Rc::clone(&storage)).map_err(|error| {
        Error::new(
            Code::Internal,
            format!("the VFS was not registered: {error}"),
        )
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = vfs.connect(new, flags)?;
    schema::configure(&connection, CACHE_KIB, "FULL")?;
    schema::prepare(&connection, new)?;
    let mut salvage = Salvage::begin(&*storage, damaged, &connection)?;
    let report = to_the_end(|| salvage.step(&connection))?;
    let json = report_json(&connection, &report)?;
    // Closing would do this too, but could not say that it failed.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(json)
}

fn report_json(connection: &Connection, report: &SalvageReport) -> Result<String> {
    let tables: Vec<String> = report
        .tables
        .iter()
        .map(|table| {
            format!(
                "{{\"name\":\"{}\",\"rows\":{},\"mended\":{},\"refused\":{}}}",
                table.name, table.rows, table.mended, table.refused
            )
        })
        .collect();
    let problems: Vec<String> = report
        .problems
        .iter()
        .map(|problem| {
            let quoted: Option<String> = value(connection, "SELECT json_quote(?1)", [problem])?;
            Ok(quoted.unwrap_or_default())
        })
        .collect::<Result<_>>()?;
    Ok(format!(
        "{{\"tables\":[{}],\"pages\":{},\"pagesChanged\":{},\"pagesLost\":{},\"rowsDamaged\":{},\"messagesMissing\":{},\"problems\":[{}]}}",
        tables.join(","),
        report.pages,
        report.pages_changed,
        report.pages_lost,
        report.rows_damaged,
        report.mended.messages_missing,
        problems.join(","),
    ))
}
