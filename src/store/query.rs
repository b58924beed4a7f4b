//! Read-only SQL of the caller's own.
//!
//! Runs on a connection that is kept for it and carries an authorizer, set before anything is
//! prepared: `sqlite3_stmt_readonly` alone lets ATTACH, BEGIN and harmful pragmas pass.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Statement};

use super::check_bytes;
use crate::error::{Code, Error, Result};
use crate::model::limits;

/// Pragmas that only tell; those that take an argument name a table or index by it, or bound a check.
const PRAGMAS: [&str; 22] = [
    "application_id",
    "auto_vacuum",
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "journal_mode",
    "page_count",
    "page_size",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];
/// Of those, the ones whose argument changes nothing.
const PRAGMAS_WITH_ARGUMENT: [&str; 9] = [
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_xinfo",
];

/// Values for the parameters of a query, by position or by name.
#[derive(Debug, Clone)]
pub enum QueryParams {
    /// For `?` and `?1`.
    Positional(Vec<Value>),
    /// For `:name`, `@name` and `$name`; given without the sign.
    Named(Vec<(String, Value)>),
}

/// What a query found, cell by cell.
pub trait QueryVisitor {
    /// The names of the columns; called once, first.
    fn columns(&mut self, names: &[&str]);
    /// One cell; row by row, each from left to right.
    ///
    /// # Errors
    /// Ends the query.
    fn cell(&mut self, value: ValueRef<'_>) -> Result<()>;
}

/// Makes a connection read-only for good.
///
/// # Errors
/// What SQLite can fail with.
pub fn restrict(connection: &mut Connection) -> Result<()> {
    connection.execute_batch("PRAGMA query_only = ON")?;
    connection.authorizer(Some(authorize))?;
    Ok(())
}

/// Runs an action with the authorizer on, on a connection that may do more otherwise.
///
/// # Errors
/// Those of the action.
pub fn guarded<T>(
    connection: &mut Connection,
    action: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    connection.authorizer(Some(authorize))?;
    let result = action(connection);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    result
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        // Raw pages hold what rows do not: deleted texts, for one.
        AuthAction::Read { table_name, .. } if table_name.eq_ignore_ascii_case("sqlite_dbpage") => {
            Authorization::Deny
        }
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        // The one built-in that reads files; the wasm build has none, the native one might.
        AuthAction::Function { function_name } if function_name != "load_extension" => {
            Authorization::Allow
        }
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => {
            let known = if pragma_value.is_some() {
                &PRAGMAS_WITH_ARGUMENT[..]
            } else {
                &PRAGMAS[..]
            };
            if known.contains(&pragma_name.to_ascii_lowercase().as_str()) {
                Authorization::Allow
            } else {
                Authorization::Deny
            }
        }
        _ => Authorization::Deny,
    }
}

/// Runs one statement that reads, up to `limit` rows.
///
/// # Errors
/// `INVALID_SQL` with position and message, `QUERY_NOT_ALLOWED` for anything that does more than
/// read, `TOO_LARGE` where there are more rows than the limit, `INVALID_ARGUMENT` for parameters
/// that do not fit.
pub fn query(
    connection: &Connection,
    sql: &str,
    params: &QueryParams,
    limit: Option<u32>,
    visitor: &mut dyn QueryVisitor,
) -> Result<()> {
    check_bytes("sql", sql, limits::SQL_BYTES)?;
    let limit = limit.unwrap_or(limits::QUERY_ROWS_DEFAULT);
    if limit == 0 || limit > limits::QUERY_ROWS {
        let expected = format!("a number from 1 to {}", limits::QUERY_ROWS);
        return Err(Error::argument("limit", &expected, &limit.to_string()));
    }
    let mut statement = connection
        .prepare(sql)
        .map_err(|error| refused(error, sql))?;
    // VACUUM asks no authorizer. It is never run: no statement without columns is.
    if statement.column_count() == 0 {
        if !statement.readonly() {
            return Err(not_allowed(sql));
        }
        let expected = "a statement that reads and returns rows";
        return Err(Error::argument("sql", expected, "one that returns none"));
    }
    bind(&mut statement, params)?;
    visitor.columns(&statement.column_names().collect::<Vec<_>>());
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        if seen == limit {
            return Err(Error::new(
                Code::TooLarge,
                format!("limit: the query has more than {limit} rows; ask for fewer, or raise limit (at most {})", limits::QUERY_ROWS),
            )
            .with("argument", "limit"));
        }
        for column in 0..columns {
            visitor.cell(row.get_ref(column)?)?;
        }
        seen += 1;
    }
    Ok(())
}

fn refused(error: rusqlite::Error, sql: &str) -> Error {
    let error = Error::from(error);
    if error.code() != Code::QueryNotAllowed {
        return error;
    }
    not_allowed(sql)
}

fn not_allowed(sql: &str) -> Error {
    Error::new(
        Code::QueryNotAllowed,
        format!(
            "query may only read: SELECT, and the pragmas {}",
            PRAGMAS.join(", ")
        ),
    )
    .with("sql", sql)
}

fn bind(statement: &mut Statement<'_>, params: &QueryParams) -> Result<()> {
    let wanted = statement.parameter_count();
    match params {
        QueryParams::Positional(values) => {
            if values.len() != wanted {
                let expected = format!("{wanted} values, one for each parameter of the SQL");
                return Err(Error::argument(
                    "params",
                    &expected,
                    &values.len().to_string(),
                ));
            }
            for (at, value) in values.iter().enumerate() {
                statement.raw_bind_parameter(at + 1, value)?;
            }
        }
        QueryParams::Named(values) => {
            let mut bound = 0;
            for (name, value) in values {
                let index = [":", "@", "$"].iter().find_map(|sign| {
                    statement
                        .parameter_index(&format!("{sign}{name}"))
                        .ok()
                        .flatten()
                });
                let Some(index) = index else {
                    let expected = "a parameter that the SQL names";
                    return Err(Error::argument(
                        &format!("params.{name}"),
                        expected,
                        "a name that it does not",
                    ));
                };
                statement.raw_bind_parameter(index, value)?;
                bound += 1;
            }
            if bound != wanted {
                let expected = format!("{wanted} values, one for each parameter of the SQL");
                return Err(Error::argument("params", &expected, &bound.to_string()));
            }
        }
    }
    Ok(())
}
