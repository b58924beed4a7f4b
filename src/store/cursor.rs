//! Cursors: where a list goes on, as text that callers hand back.
//!
//! A cursor holds its direction, a fingerprint of the list it belongs to and the place of a row. It
//! carries a check, so that a damaged or invented one is refused.

use crate::error::{Code, Error, Result};
use crate::model::{Page, PageEnds};

/// Which way a page lies from the cursor's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// The place of a row in its list: the value sorted by, and the key that breaks ties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Position {
    pub(crate) sort: i64,
    pub(crate) key: i64,
}

const VERSION: u8 = 1;
const BYTES: usize = 1 + 1 + 8 + 8 + 8 + 4;

/// A fingerprint of which list a cursor belongs to: its name and every filter.
pub(crate) fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash = Fnv::default();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.0
}

pub(crate) fn encode(list: u64, direction: Direction, position: Position) -> String {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(VERSION);
    bytes.push(match direction {
        Direction::Forward => 0,
        Direction::Backward => 1,
    });
    bytes.extend(list.to_le_bytes());
    bytes.extend(position.sort.to_le_bytes());
    bytes.extend(position.key.to_le_bytes());
    let check = check_of(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn decode(list: u64, text: &str) -> Result<(Direction, Position)> {
    let refuse = |why: &str| {
        Err(Error::new(
            Code::InvalidCursor,
            format!("cursor: expected one that this list returned, received {why}"),
        )
        .with("argument", "cursor")
        .with("expected", "a cursor returned by this list"))
    };
    if text.len() != BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refuse("text of another form");
    }
    let bytes: Vec<u8> = (0..BYTES)
        .map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap_or_default())
        .collect();
    let word = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().unwrap_or_default() };
    let check: [u8; 4] = bytes[BYTES - 4..].try_into().unwrap_or_default();
    if check_of(&bytes[..BYTES - 4]) != u32::from_le_bytes(check) {
        return refuse("a damaged one");
    }
    let direction = match (bytes[0], bytes[1]) {
        (VERSION, 0) => Direction::Forward,
        (VERSION, 1) => Direction::Backward,
        _ => return refuse("one of another version"),
    };
    if u64::from_le_bytes(word(2)) != list {
        return refuse("one of another list or another filter");
    }
    Ok((
        direction,
        Position {
            sort: i64::from_le_bytes(word(10)),
            key: i64::from_le_bytes(word(18)),
        },
    ))
}

/// Where a page begins, and how SQL says so.
pub(crate) struct Start {
    pub(crate) direction: Direction,
    /// The cursor's row; without a cursor, a place before every row.
    pub(crate) from: Position,
    /// How rows of the page compare with `from`.
    pub(crate) compare: &'static str,
    /// The order to read them in.
    pub(crate) order: &'static str,
}

/// Reads the start of a page of a list that falls or rises.
pub(crate) fn start(list: u64, cursor: Option<&str>, falling: bool) -> Result<Start> {
    let known = cursor.map(|text| decode(list, text)).transpose()?;
    let direction = known.map_or(Direction::Forward, |(direction, _)| direction);
    let (compare, order, extreme) = if falling == (direction == Direction::Forward) {
        ("<", "DESC", i64::MAX)
    } else {
        (">", "ASC", i64::MIN)
    };
    let beginning = Position {
        sort: extreme,
        key: extreme,
    };
    let from = known.map_or(beginning, |(_, position)| position);
    Ok(Start {
        direction,
        from,
        compare,
        order,
    })
}

/// Makes a page of rows that were read in the direction's order, up to one beyond the page's size.
pub(crate) fn page<T>(
    list: u64,
    mut found: Vec<(T, Position)>,
    rows: u32,
    direction: Direction,
    has_cursor: bool,
) -> Page<T> {
    let more = found.len() > rows as usize;
    found.truncate(rows as usize);
    let (before, behind) = match direction {
        Direction::Forward => (has_cursor, more),
        Direction::Backward => {
            found.reverse();
            (more, has_cursor)
        }
    };
    let end = |row: Option<&(T, Position)>, there: bool, direction| {
        row.filter(|_| there)
            .map(|(_, position)| encode(list, direction, *position))
    };
    let ends = PageEnds {
        next_cursor: end(found.last(), behind, Direction::Forward),
        prev_cursor: end(found.first(), before, Direction::Backward),
    };
    Page {
        items: found.into_iter().map(|(row, _)| row).collect(),
        ends,
    }
}

fn check_of(bytes: &[u8]) -> u32 {
    let mut hash = Fnv::default();
    hash.update(b"chatstore cursor");
    hash.update(bytes);
    (hash.0 >> 32) as u32 ^ hash.0 as u32
}

/// FNV-1a, 64 bits: enough to notice damage, no protection against malice, which could only move
/// the caller's own place in a list.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_made() {
        let list = fingerprint(&["sessions", "bot"]);
        for direction in [Direction::Forward, Direction::Backward] {
            let position = Position {
                sort: -5,
                key: i64::MAX,
            };
            assert_eq!(
                decode(list, &encode(list, direction, position)).unwrap(),
                (direction, position)
            );
        }
    }

    #[test]
    fn a_changed_cursor_is_refused_at_every_character() {
        let list = fingerprint(&["a"]);
        let cursor = encode(list, Direction::Forward, Position { sort: 1, key: 2 });
        for at in 0..cursor.len() {
            let mut forged = cursor.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(
                decode(list, &forged).unwrap_err().code(),
                Code::InvalidCursor,
                "at {at}"
            );
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = encode(
            fingerprint(&["ab", "c"]),
            Direction::Forward,
            Position { sort: 1, key: 2 },
        );
        assert_eq!(
            decode(fingerprint(&["a", "bc"]), &cursor)
                .unwrap_err()
                .code(),
            Code::InvalidCursor
        );
        assert_eq!(decode(1, "é").unwrap_err().code(), Code::InvalidCursor);
    }
}
