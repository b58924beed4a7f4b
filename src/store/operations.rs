//! Which writes were done already, so that one that is sent again finds its result.
//!
//! A record is written in the transaction of the change itself. It says which rows the write gave,
//! not what stood in them: a repeated call reads them again. So a record is a few bytes also for a
//! write of thousands of messages.

use rusqlite::{Connection, params};

use super::messages::{self, key_range};
use super::{Writer, execute, first, sessions, value};
use crate::error::{Code, Error, Result};
use crate::model::{Count, MessageRef};

/// What a write gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A bot, by its id.
    Bot(String),
    /// A session, by its id.
    Session(String),
    /// Messages.
    Messages(MessageRuns),
    /// Counts.
    Count(Count),
}

/// Messages as runs of neighbours: the session's id, the first `seq` and their number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageRuns(Vec<(String, i64, i64)>);

impl MessageRuns {
    /// Takes in the next message.
    pub fn note(&mut self, message: &MessageRef<'_>) {
        if let Some((session_id, from, count)) = self.0.last_mut()
            && session_id == message.session_id
            && *from + *count == message.seq
        {
            *count += 1;
            return;
        }
        self.0.push((message.session_id.to_owned(), message.seq, 1));
    }

    /// Reads the messages as they are now.
    ///
    /// # Errors
    /// `NOT_FOUND` where one is gone since.
    pub fn read(
        &self,
        connection: &Connection,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<()> {
        for (session_id, from, count) in &self.0 {
            let session = sessions::expect_key(connection, session_id)?;
            let from_key = key_range(session).0 + from;
            if let Some(gone) = messages::read_run(connection, from_key, *count, visit)? {
                let seq = gone - from_key + from;
                return Err(Error::new(
                    Code::NotFound,
                    format!("the write took effect when it was sent first; since then the message with seq {seq} of session {session_id:?} was deleted"),
                )
                .with("sessionId", session_id.clone()));
            }
        }
        Ok(())
    }
}

/// A record of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Tells whether a call has the same arguments.
    pub fingerprint: i64,
    /// What it gave.
    pub outcome: Outcome,
}

/// The record of an operation, where there is one.
///
/// # Errors
/// `CORRUPT` where it cannot be understood.
pub fn find(connection: &Connection, id: &str) -> Result<Option<Record>> {
    let found = first(
        connection,
        "SELECT fingerprint, kind, result FROM operations WHERE id = ?1",
        [id],
        |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        },
    )?;
    let Some((fingerprint, kind, result)) = found else {
        return Ok(None);
    };
    let outcome = decode(&kind, &result).ok_or_else(|| {
        Error::new(
            Code::Corrupt,
            format!("the record of operation {id:?} cannot be read"),
        )
    })?;
    Ok(Some(Record {
        fingerprint,
        outcome,
    }))
}

/// Keeps the record of a write.
///
/// # Errors
/// What writing can fail with.
pub fn record(
    writer: Writer<'_>,
    id: &str,
    fingerprint: i64,
    outcome: &Outcome,
    epoch: i64,
) -> Result<()> {
    let (kind, result) = encode(outcome);
    execute(
        writer.connection,
        "INSERT INTO operations (id, fingerprint, kind, result, epoch, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![id, fingerprint, kind, result, epoch, writer.now_ms],
    )?;
    Ok(())
}

/// Forgets the records made before a time, and remembers that it did.
///
/// # Errors
/// What writing can fail with.
pub fn prune(writer: Writer<'_>, before_ms: i64) -> Result<u64> {
    let gone = execute(
        writer.connection,
        "DELETE FROM operations WHERE created_at < ?1",
        [before_ms],
    )?;
    if gone > 0 {
        execute(
            writer.connection,
            "INSERT INTO store_meta (name, value) VALUES ('operations_pruned_before', ?1)
             ON CONFLICT (name) DO UPDATE SET value = max(CAST(value AS INTEGER), ?1)",
            [before_ms],
        )?;
    }
    Ok(gone)
}

/// Whether a write that was first sent at this time may have had a record that is gone by now.
///
/// # Errors
/// What reading can fail with.
pub fn may_be_forgotten(connection: &Connection, first_sent_ms: i64) -> Result<bool> {
    let pruned_before: Option<i64> = value(
        connection,
        "SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'operations_pruned_before'",
        [],
    )?;
    Ok(pruned_before.is_some_and(|before_ms| first_sent_ms <= before_ms))
}

fn encode(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Bot(id) => ("bot", id.clone()),
        Outcome::Session(id) => ("session", id.clone()),
        Outcome::Count(count) => (
            "count",
            format!("{} {} {}", count.bots, count.sessions, count.messages),
        ),
        Outcome::Messages(MessageRuns(runs)) => (
            "messages",
            // An id may hold anything, so its length stands before it.
            runs.iter()
                .map(|(id, from, count)| format!("{from} {count} {} {id}", id.len()))
                .collect(),
        ),
    }
}

fn decode(kind: &str, result: &str) -> Option<Outcome> {
    match kind {
        "bot" => Some(Outcome::Bot(result.to_owned())),
        "session" => Some(Outcome::Session(result.to_owned())),
        "count" => {
            let mut counts = result.split(' ').map(str::parse::<u64>);
            Some(Outcome::Count(Count {
                bots: counts.next()?.ok()?,
                sessions: counts.next()?.ok()?,
                messages: counts.next()?.ok()?,
            }))
        }
        "messages" => {
            let mut runs = Vec::new();
            let mut rest = result;
            while !rest.is_empty() {
                let mut fields = rest.splitn(4, ' ');
                let from = fields.next()?.parse::<u32>().ok()?;
                let count = fields.next()?.parse::<u32>().ok()?;
                let length: usize = fields.next()?.parse().ok()?;
                let (id, more) = fields.next()?.split_at_checked(length)?;
                runs.push((id.to_owned(), from.into(), count.into()));
                rest = more;
            }
            Some(Outcome::Messages(MessageRuns(runs)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_read_as_it_was_written() {
        let runs = MessageRuns(vec![
            ("s 1".into(), 1, 3),
            ("".into(), 9, 1),
            ("é\n7 8 9".into(), 4_000_000_000, 2),
        ]);
        for outcome in [
            Outcome::Bot("b".into()),
            Outcome::Session("s s".into()),
            Outcome::Count(Count {
                bots: 1,
                sessions: 2,
                messages: 3,
            }),
            Outcome::Messages(MessageRuns::default()),
            Outcome::Messages(runs),
        ] {
            let (kind, result) = encode(&outcome);
            assert_eq!(decode(kind, &result), Some(outcome));
        }
        assert_eq!(decode("count", "1 2"), None);
        assert_eq!(decode("messages", "1 2 9 short"), None);
    }
}
