//! The packed form of rows, both ways.
//!
//! ```text
//! header   u32 × 8   kind, rows, number columns, text columns, ASCII bytes, UTF-8 bytes,
//!                    bytes of the next cursor, of the previous one (u32::MAX: none)
//! modes    u8        a column, numbers first; padded with zeros to a multiple of 8
//! numbers  f64       column by column; NaN is null
//! lengths  u32       of texts, column by column: bytes, with bit 31 set in the UTF-8 block;
//!                    u32::MAX is null, u32::MAX - 1 absent
//! ASCII              next cursor, previous cursor, then texts that are ASCII, column by column
//! UTF-8              the other texts
//! ```
//!
//! Mode 0: every row is null. Mode 1: a value a row. Mode 2: one value for all rows. Texts that are
//! ASCII lie in a block of their own, since JavaScript can decode that block at once and cut it up.
//! All words are little endian. A reader trusts no length: what does not fit is an error.

use rusqlite::types::Value;

use crate::engine::Table;
use crate::error::{Code, Error, Result};
use crate::model::{Field, NewMessage, PageEnds, Usage};
use crate::store::check_batch;

const NULL: u32 = u32::MAX;
const ABSENT: u32 = u32::MAX - 1;
const UTF8: u32 = 1 << 31;
const HEADER_WORDS: usize = 8;
/// Numbers beyond this are not exact in a f64.
const SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// A column of numbers.
#[derive(Default)]
pub struct Numbers {
    values: Vec<f64>,
    any: bool,
}

impl Numbers {
    pub fn push(&mut self, value: Option<f64>) {
        self.any |= value.is_some();
        self.values.push(value.unwrap_or(f64::NAN));
    }

    fn mode(&self) -> u8 {
        match self.values.first() {
            Some(first) if self.any => {
                let first = first.to_bits();
                if self.values.iter().all(|value| value.to_bits() == first) {
                    2
                } else {
                    1
                }
            }
            _ => 0,
        }
    }
}

/// A column of texts.
#[derive(Default)]
pub struct Texts {
    lengths: Vec<u32>,
    ascii: Vec<u8>,
    utf8: Vec<u8>,
    any: bool,
    /// Two neighbours differ.
    mixed: bool,
    last: Option<String>,
}

impl Texts {
    pub fn push(&mut self, text: Option<&str>) {
        let Some(text) = text else {
            self.mixed |= self.any;
            self.lengths.push(NULL);
            return;
        };
        self.mixed |= !self.any && !self.lengths.is_empty();
        self.any = true;
        // Short texts such as ids and roles repeat; long ones are not worth the comparison.
        if !self.mixed {
            match &self.last {
                Some(last) if last == text => {}
                Some(_) => self.mixed = true,
                None if text.len() <= 256 => self.last = Some(text.to_owned()),
                None => self.mixed = true,
            }
        }
        let bytes = text.as_bytes();
        let length = bytes.len() as u32;
        if bytes.is_ascii() {
            self.lengths.push(length);
            self.ascii.extend_from_slice(bytes);
        } else {
            self.lengths.push(length | UTF8);
            self.utf8.extend_from_slice(bytes);
        }
    }

    fn mode(&self) -> u8 {
        match (self.any, self.mixed) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        }
    }

    /// The bytes of a block that are written: with mode 2, those of the first row.
    fn written<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        match (self.mode(), self.lengths.first()) {
            (2, Some(length)) if !block.is_empty() => &block[..(length & !UTF8) as usize],
            (0, _) => &[],
            _ => block,
        }
    }
}

/// Packs the columns of rows.
pub fn rows(
    kind: u32,
    count: usize,
    numbers: &[Numbers],
    texts: &[Texts],
    ends: &PageEnds,
) -> Vec<u8> {
    let cursors = [&ends.next_cursor, &ends.prev_cursor];
    let cursor_bytes: usize = cursors
        .iter()
        .filter_map(|cursor| cursor.as_ref())
        .map(String::len)
        .sum();
    let ascii: usize = texts
        .iter()
        .map(|column| column.written(&column.ascii).len())
        .sum::<usize>()
        + cursor_bytes;
    let utf8: usize = texts
        .iter()
        .map(|column| column.written(&column.utf8).len())
        .sum();
    let mut out = Vec::with_capacity(
        HEADER_WORDS * 4 + 64 + numbers.len() * count * 8 + texts.len() * count * 4 + ascii + utf8,
    );
    let mut word = |number: usize| out.extend((number as u32).to_le_bytes());
    for number in [
        kind as usize,
        count,
        numbers.len(),
        texts.len(),
        ascii,
        utf8,
    ] {
        word(number);
    }
    for cursor in cursors {
        word(cursor.as_ref().map_or(NULL as usize, String::len));
    }
    out.extend(numbers.iter().map(Numbers::mode));
    out.extend(texts.iter().map(Texts::mode));
    out.resize(out.len().next_multiple_of(8), 0);
    for column in numbers {
        let written = match column.mode() {
            0 => 0,
            2 => 1,
            _ => count,
        };
        out.extend(
            column.values[..written]
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
    }
    for column in texts {
        let written = match column.mode() {
            0 => 0,
            2 => 1,
            _ => count,
        };
        out.extend(
            column.lengths[..written]
                .iter()
                .flat_map(|length| length.to_le_bytes()),
        );
    }
    for cursor in cursors.into_iter().flatten() {
        out.extend_from_slice(cursor.as_bytes());
    }
    for column in texts {
        out.extend_from_slice(column.written(&column.ascii));
    }
    for column in texts {
        out.extend_from_slice(column.written(&column.utf8));
    }
    out
}

/// Packs the rows of a query: `u32` kind 7, rows, columns; the names; then the cells, row by row.
/// Names and texts are `u32` bytes and UTF-8. A cell begins with its tag: 0 null, 1 number (f64),
/// 3 text, 4 blob (`u32` bytes and the bytes), 5 bigint (i64, where a f64 would not be exact).
pub fn table(table: &Table) -> Vec<u8> {
    const KIND: u32 = 7;
    let columns = table.columns.len();
    let mut out = Vec::new();
    out.extend(KIND.to_le_bytes());
    out.extend((table.cells.len().checked_div(columns).unwrap_or(0) as u32).to_le_bytes());
    out.extend((columns as u32).to_le_bytes());
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    for name in &table.columns {
        bytes(&mut out, name.as_bytes());
    }
    for cell in &table.cells {
        match cell {
            Value::Null => out.push(0),
            Value::Integer(number) if number.abs_diff(0) > SAFE_INTEGER.unsigned_abs() => {
                out.push(5);
                out.extend(number.to_le_bytes());
            }
            Value::Integer(number) => {
                out.push(1);
                out.extend((*number as f64).to_le_bytes());
            }
            Value::Real(number) => {
                out.push(1);
                out.extend(number.to_le_bytes());
            }
            Value::Text(text) => {
                out.push(3);
                bytes(&mut out, text.as_bytes());
            }
            Value::Blob(blob) => {
                out.push(4);
                bytes(&mut out, blob);
            }
        }
    }
    out
}

/// The kind of a buffer of new messages.
const NEW_MESSAGES: u32 = 16;
const NEW_MESSAGE_NUMBERS: usize = 7;
const NEW_MESSAGE_TEXTS: usize = 12;

/// Unpacks new messages; their texts are borrowed from the buffer.
pub fn new_messages(buffer: &[u8]) -> Result<Vec<NewMessage<'_>>> {
    let mut reader = Reader { buffer };
    let mut header = [0; HEADER_WORDS];
    for word in &mut header {
        *word = reader.word()?;
    }
    let [
        kind,
        rows,
        numbers,
        texts,
        ascii_bytes,
        utf8_bytes,
        next,
        prev,
    ] = header;
    let expected = (
        NEW_MESSAGES,
        NEW_MESSAGE_NUMBERS as u32,
        NEW_MESSAGE_TEXTS as u32,
        NULL,
        NULL,
    );
    if (kind, numbers, texts, next, prev) != expected {
        return Err(damaged("another kind of rows"));
    }
    let rows = rows as usize;
    // Columns that are null take no bytes: no size speaks for the count.
    check_batch(rows)?;
    let modes = reader.bytes((NEW_MESSAGE_NUMBERS + NEW_MESSAGE_TEXTS).next_multiple_of(8))?;
    let (number_modes, text_modes) = modes.split_at(NEW_MESSAGE_NUMBERS);
    let written = |mode: u8| match mode {
        0 => Ok(0),
        1 => Ok(rows),
        2 => Ok(rows.min(1)),
        _ => Err(damaged("an unknown mode")),
    };
    let mut number_columns = [[].as_slice(); NEW_MESSAGE_NUMBERS];
    for (column, mode) in number_columns.iter_mut().zip(number_modes) {
        *column = reader.words(written(*mode)?, 8)?;
    }
    let mut length_columns = [[].as_slice(); NEW_MESSAGE_TEXTS];
    for (column, mode) in length_columns.iter_mut().zip(text_modes) {
        *column = reader.words(written(*mode)?, 4)?;
    }
    let ascii = text_block(reader.bytes(ascii_bytes as usize)?)?;
    let utf8 = text_block(reader.bytes(utf8_bytes as usize)?)?;
    if !reader.buffer.is_empty() {
        return Err(damaged("more bytes than it says"));
    }

    let mut blocks = Blocks { ascii, utf8 };
    let mut columns: [Vec<Field<&str>>; NEW_MESSAGE_TEXTS] = Default::default();
    for (column, lengths) in columns.iter_mut().zip(length_columns) {
        *column = lengths
            .chunks_exact(4)
            .map(|length| blocks.take(to_word(length)))
            .collect::<Result<_>>()?;
    }
    let row_of = |mode: u8, row: usize| if mode == 2 { 0 } else { row };
    let number = |column: usize, row: usize| -> Option<f64> {
        let at = row_of(number_modes[column], row) * 8;
        let bytes = number_columns[column].get(at..at + 8)?.try_into().ok()?;
        Some(f64::from_le_bytes(bytes)).filter(|number| !number.is_nan())
    };
    let text = |column: usize, row: usize| -> Field<&str> {
        columns[column]
            .get(row_of(text_modes[column], row))
            .copied()
            .unwrap_or(Field::Null)
    };
    let whole = |column: usize, row: usize| number(column, row).map(|number| number as i64);
    let given = |column: usize, row: usize| text(column, row).value().copied();
    Ok((0..rows)
        .map(|row| NewMessage {
            created_at_ms: whole(0, row),
            usage: Usage {
                input_tokens: whole(1, row),
                output_tokens: whole(2, row),
                reasoning_tokens: whole(3, row),
                cached_tokens: whole(4, row),
                cost_usd: number(5, row),
                duration_ms: whole(6, row),
            },
            session_id: given(0, row).unwrap_or_default(),
            id: given(1, row),
            role: given(2, row).unwrap_or_default(),
            bot_id: text(3, row),
            parent_id: text(4, row),
            text: given(5, row),
            parts: given(6, row),
            status: given(7, row),
            finish_reason: given(8, row),
            error: given(9, row),
            model: given(10, row),
            metadata: given(11, row),
        })
        .collect())
}

/// What is left to read of a buffer.
struct Reader<'a> {
    buffer: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self
            .buffer
            .split_at_checked(count)
            .ok_or_else(|| damaged("fewer bytes than it says"))?;
        self.buffer = rest;
        Ok(bytes)
    }

    fn words(&mut self, count: usize, size_bytes: usize) -> Result<&'a [u8]> {
        self.bytes(
            count
                .checked_mul(size_bytes)
                .ok_or_else(|| damaged("more rows than fit"))?,
        )
    }

    fn word(&mut self) -> Result<u32> {
        Ok(to_word(self.bytes(4)?))
    }
}

/// The texts that are left of both blocks.
struct Blocks<'a> {
    ascii: &'a str,
    utf8: &'a str,
}

impl<'a> Blocks<'a> {
    fn take(&mut self, length: u32) -> Result<Field<&'a str>> {
        match length {
            NULL => return Ok(Field::Null),
            ABSENT => return Ok(Field::Absent),
            _ => {}
        }
        let block = if length & UTF8 == 0 {
            &mut self.ascii
        } else {
            &mut self.utf8
        };
        let bytes = (length & !UTF8) as usize;
        let (text, rest) = block
            .split_at_checked(bytes)
            .ok_or_else(|| damaged("a text beyond its block"))?;
        *block = rest;
        Ok(Field::Value(text))
    }
}

fn to_word(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

fn text_block(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| damaged("bytes that are not UTF-8"))
}

fn damaged(received: &str) -> Error {
    Error::new(
        Code::InvalidArgument,
        format!("rows: expected packed new messages, received {received}"),
    )
    .with("argument", "rows")
}
