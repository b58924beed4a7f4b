//! What a session's row says of its messages: count, last activity, preview.

use rusqlite::params;

use super::key_range;
use crate::error::Result;
use crate::store::{Writer, execute, first};

const PREVIEW_CHARS: usize = 160;
const BEGINNING_BYTES: usize = 2_000;

/// As much of a text as a preview looks at.
pub(crate) fn beginning(text: &str) -> &str {
    let mut end = text.len().min(BEGINNING_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The beginning of a text on one line, for lists.
pub(crate) fn preview(text: &str) -> String {
    let mut preview = String::new();
    let mut chars = 0;
    for word in text.split_whitespace() {
        if chars > 0 {
            preview.push(' ');
            chars += 1;
        }
        for character in word.chars() {
            if chars == PREVIEW_CHARS {
                return preview;
            }
            preview.push(character);
            chars += 1;
        }
        if chars >= PREVIEW_CHARS {
            return preview;
        }
    }
    preview
}

/// Reads preview and last activity from the newest visible message of the active path again, and
/// adds to the count.
pub(in crate::store) fn refresh(writer: Writer<'_>, session: i64, count_change: i64) -> Result<()> {
    let (from, to) = key_range(session);
    // A preview looks at the first characters only; a text of megabytes is not copied for it.
    let newest = first(
        writer.connection,
        "SELECT created_at, substr(text, 1, 1000) FROM messages
         WHERE key BETWEEN ?1 AND ?2 AND active = 1 AND deleted_at IS NULL ORDER BY key DESC LIMIT 1",
        [from, to],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
    )?;
    let (last_message_at, text) = newest.unzip();
    execute(
        writer.connection,
        "UPDATE sessions SET message_count = message_count + ?2, last_message_at = ?3, preview = ?4,
           updated_at = ?5, revision = revision + 1
         WHERE key = ?1",
        params![session, count_change, last_message_at, text.as_deref().map(preview), writer.now_ms],
    )?;
    Ok(())
}

/// Notes that a session changed where its summary did not.
pub(in crate::store) fn touch(writer: Writer<'_>, session: i64) -> Result<()> {
    execute(
        writer.connection,
        "UPDATE sessions SET updated_at = ?2, revision = revision + 1 WHERE key = ?1",
        [session, writer.now_ms],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_line_of_bounded_length() {
        assert_eq!(preview("  a\n\tb  c "), "a b c");
        assert_eq!(preview(""), "");
        assert_eq!(preview(&"é".repeat(1000)).chars().count(), PREVIEW_CHARS);
        assert!(preview(&"ab ".repeat(1000)).chars().count() <= PREVIEW_CHARS);
    }
}
