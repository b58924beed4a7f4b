//! The tables whose rows are worth saving, and how a record is known to be a row of one.
//!
//! What the columns of a table are is asked of the new file. Their number and types tell the tables
//! apart, so that a row is known for what it is even where nothing leads to its page any more.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::error::{Code, Error, Result};
use crate::store::schema;

/// Those that hold what callers gave. Operations belong to the old generation, the search index is
/// made anew.
const NAMES: [&str; 7] = [
    "bots",
    "sessions",
    "messages",
    "message_streams",
    "message_deltas",
    "blobs",
    "attachments",
];

pub(super) struct Table {
    pub name: &'static str,
    /// In the order in which a record holds them.
    columns: Vec<Column>,
    /// Where the row's own number belongs among them; none in a table without.
    row: Option<usize>,
    insert: String,
}

struct Column {
    name: String,
    kind: String,
    required: bool,
    is_json: bool,
    /// What takes the place of a value that breaks a rule; none where the row is lost with it.
    spare: Option<Value>,
}

/// What became of a record.
pub(super) enum Insert {
    Saved,
    /// Saved without values that could not be kept; which.
    Mended(String),
    /// A row of this key was saved before.
    Known,
    Refused(Error),
}

/// The tables of the new file.
pub(super) fn tables(connection: &Connection) -> Result<Vec<Table>> {
    NAMES
        .iter()
        .map(|name| Table::read(connection, name))
        .collect()
}

impl Table {
    fn read(connection: &Connection, name: &'static str) -> Result<Self> {
        let without_rows: bool = connection.query_row(
            "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1",
            [name],
            |row| row.get(0),
        )?;
        // Generated columns are not in the record; without row numbers the key comes first.
        let order = if without_rows {
            "pk = 0, pk, cid"
        } else {
            "cid"
        };
        let mut statement = connection.prepare(&format!(
            "SELECT name, type, \"notnull\", pk, dflt_value FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY {order}"
        ))?;
        let mut rows = statement.query([name])?;
        let mut columns = Vec::new();
        let mut row_number = None;
        while let Some(row) = rows.next()? {
            if !without_rows && row.get::<_, i64>(3)? > 0 {
                row_number = Some(columns.len());
            }
            let (column, required): (String, bool) = (row.get(0)?, row.get(2)?);
            let default: Option<String> = row.get(4)?;
            let spare = match default {
                _ if !required => Some(Value::Null),
                Some(sql) => {
                    Some(connection.query_row(&format!("SELECT {sql}"), [], |row| row.get(0))?)
                }
                None => None,
            };
            let check = format!("CONSTRAINT {name}_{column}_json ");
            columns.push(Column {
                is_json: schema::definitions().any(|(_, sql)| sql.contains(&check)),
                name: column,
                kind: row.get(1)?,
                required,
                spare,
            });
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let insert = format!(
            "INSERT INTO {name} ({}) VALUES ({})",
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        );
        Ok(Self {
            name,
            columns,
            row: row_number,
            insert,
        })
    }

    /// Whether a record can be a row of this table.
    pub fn fits(&self, row: Option<i64>, values: &[ValueRef<'_>]) -> bool {
        if row.is_some() != self.row.is_some() || values.len() != self.columns.len() {
            return false;
        }
        let fits = self
            .columns
            .iter()
            .zip(values)
            .enumerate()
            .all(|(at, (column, value))| {
                if self.row == Some(at) {
                    return matches!(value, ValueRef::Null);
                }
                match value {
                    ValueRef::Null => !column.required,
                    ValueRef::Integer(_) => matches!(&*column.kind, "INTEGER" | "REAL"),
                    ValueRef::Real(_) => column.kind == "REAL",
                    ValueRef::Text(_) => column.kind == "TEXT",
                    ValueRef::Blob(_) => column.kind == "BLOB",
                }
            });
        let session = self
            .columns
            .iter()
            .position(|column| column.name == "session");
        fits && match (self.name, session, row) {
            ("messages", Some(at), Some(row)) => values[at] == ValueRef::Integer(row >> 32),
            _ => true,
        }
    }

    /// Puts a row into the new file. A value that is not text, or breaks a rule and may be left out,
    /// is mended rather than the row lost.
    pub fn insert(
        &self,
        connection: &Connection,
        row: Option<i64>,
        values: &[ValueRef<'_>],
    ) -> Result<Insert> {
        let mut mended = Vec::new();
        let mut owned: Vec<Value> = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            owned.push(match (self.row, row, value) {
                (Some(own), Some(row), _) if own == at => Value::Integer(row),
                // STRICT stores a whole number in a REAL column as one.
                (_, _, ValueRef::Integer(number)) if self.columns[at].kind == "REAL" => {
                    Value::Real(*number as f64)
                }
                (_, _, ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
                    Ok(text) => Value::Text(text.to_owned()),
                    Err(_) => {
                        mended.push(self.columns[at].name.clone());
                        Value::Text(String::from_utf8_lossy(bytes).into_owned())
                    }
                },
                (_, _, ValueRef::Null) => Value::Null,
                (_, _, ValueRef::Integer(number)) => Value::Integer(*number),
                (_, _, ValueRef::Real(number)) => Value::Real(*number),
                (_, _, ValueRef::Blob(bytes)) => Value::Blob(bytes.to_vec()),
            });
        }
        loop {
            let inserted = connection
                .prepare_cached(&self.insert)?
                .execute(params_from_iter(&owned))
                .map_err(Error::from);
            let error = match inserted {
                Ok(_) if mended.is_empty() => return Ok(Insert::Saved),
                Ok(_) => return Ok(Insert::Mended(mended.join(", "))),
                Err(error) => error,
            };
            match error.code() {
                Code::ConstraintUnique if self.is_known(connection, row, &owned)? => {
                    return Ok(Insert::Known);
                }
                // A check that looks into JSON fails otherwise where there is none.
                Code::ConstraintCheck | Code::InvalidSql => {
                    let Some(at) = self.broken_column(connection, &error, &owned)? else {
                        return Ok(Insert::Refused(error));
                    };
                    match &self.columns[at].spare {
                        Some(spare) if owned[at] != *spare => {
                            mended.push(self.columns[at].name.clone());
                            owned[at] = spare.clone();
                        }
                        _ => return Ok(Insert::Refused(error)),
                    }
                }
                Code::ConstraintUnique
                | Code::ConstraintNotNull
                | Code::ConstraintForeignKey
                | Code::TooLarge => return Ok(Insert::Refused(error)),
                _ => return Err(error),
            }
        }
    }

    /// Which value it is that a row was refused for.
    fn broken_column(
        &self,
        connection: &Connection,
        error: &Error,
        values: &[Value],
    ) -> Result<Option<usize>> {
        if let Some(name) = error.detail("column") {
            return Ok(self.columns.iter().position(|column| column.name == name));
        }
        for (at, (column, value)) in self.columns.iter().zip(values).enumerate() {
            if let (true, Value::Text(text)) = (column.is_json, value) {
                let mut statement = connection.prepare_cached("SELECT json_valid(?1)")?;
                if !statement.query_row([text], |row| row.get::<_, bool>(0))? {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    /// Whether a row of this very key is in the new file already.
    fn is_known(
        &self,
        connection: &Connection,
        row: Option<i64>,
        values: &[Value],
    ) -> Result<bool> {
        let Some(row) = row else {
            // Without row numbers the key is the only rule of this kind.
            return Ok(!values.is_empty());
        };
        let sql = format!("SELECT 1 FROM {} WHERE rowid = ?1", self.name);
        Ok(connection.prepare_cached(&sql)?.exists([row])?)
    }
}
