//! Somebody who shows the store, and reads again only what a change has named: it must show what is there.

use std::collections::BTreeMap;

use chatstore::store::query::QueryParams;
use chatstore::store::touched::Change;
use rusqlite::types::Value;

use super::*;

/// Everything, by what it belongs to: a kind, an id, and the rows as text.
const ROWS: &str = "
SELECT 'bot', id, json_array(key, name, updated_at, deleted_at) FROM bots
UNION ALL SELECT 'session', id, json_array(key, bot, title, status, pinned, tags, head, message_count, last_message_at,
  preview, revision, updated_at, deleted_at) FROM sessions
UNION ALL SELECT 'messages', s.id, json_array(
  (SELECT json_group_array(json_array(m.key, m.id, m.bot, m.parent, m.active, m.role, m.status, m.text, m.parts,
     m.updated_at, m.deleted_at)) FROM messages m WHERE m.session = s.key),
  (SELECT json_group_array(json_array(d.key, d.type, d.delta)) FROM message_deltas d
     JOIN message_streams t ON t.key = d.key >> 32 WHERE t.message >> 32 = s.key)) FROM sessions s";

/// By kind and id.
type Rows = BTreeMap<(String, String), String>;

#[derive(Default)]
pub struct Follower {
    shown: Rows,
    /// What was told and not looked at yet.
    pub(super) changes: Vec<Change>,
}

impl World {
    /// A world in which somebody follows what changes.
    pub fn followed(seed: u64, mode: Mode) -> Self {
        let mut world = Self::new(seed, mode);
        world.follower = Some(Follower::default());
        world.follow_from_now_on();
        world
    }

    /// Begins to watch, and reads everything; whatever is under way.
    pub(super) fn follow_from_now_on(&mut self) {
        if self.follower.is_none() {
            return;
        }
        self.engine().watch(false);
        self.engine().watch(true);
        let changes = vec![everything()];
        let shown = Rows::new();
        self.follower = Some(Follower { shown, changes });
    }

    /// Reads again what has changed, and looks whether that was all.
    pub(super) fn follow(&mut self) {
        if self.follower.is_none() {
            return;
        }
        if self.random.below(30) == 0 {
            self.follow_from_now_on();
        }
        self.look();
        let Some(now) = self.read_rows() else { return };
        let Some(follower) = &mut self.follower else {
            return;
        };
        let changes = std::mem::take(&mut follower.changes);
        for Change {
            sessions,
            streaming,
            bots,
        } in &changes
        {
            let is_named = |kind: &str, id: &String| match kind {
                "bot" => *bots,
                _ if sessions.as_ref().is_none_or(|ids| ids.contains(id)) => true,
                kind => kind == "messages" && streaming.contains(id),
            };
            follower.shown.retain(|(kind, id), _| !is_named(kind, id));
            let again = now.iter().filter(|((kind, id), _)| is_named(kind, id));
            let again = again.map(|(key, rows)| (key.clone(), rows.clone()));
            follower.shown.extend(again);
        }
        assert_eq!(follower.shown, now, "after {changes:?}");
        for change in changes {
            if change.sessions.is_none() {
                self.count("anything changed");
            } else if !change.streaming.is_empty() {
                self.count("a reply grew");
            } else {
                self.count("sessions changed");
            }
        }
    }

    fn read_rows(&mut self) -> Option<Rows> {
        let request = Request::Query {
            sql: ROWS.into(),
            params: QueryParams::Positional(Vec::new()),
            limit: Some(100_000),
        };
        let (_, result) = self.submit(CLIENTS, 0, request, None, 30_000.0);
        let table = match result {
            Ok(Some(Answer {
                reply: Reply::Table(table),
                ..
            })) => table,
            Err(error) if self.is_failing && tells_of_a_fault(error.code()) => return None,
            other => panic!("it cannot be read: {other:?}"),
        };
        // What was found out by reading may have to be told.
        self.look();
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            other => panic!("expected a text, got {other:?}"),
        };
        let rows = table.cells.chunks(3);
        Some(
            rows.map(|row| ((text(&row[0]), text(&row[1])), text(&row[2])))
                .collect(),
        )
    }
}

fn everything() -> Change {
    Change {
        bots: true,
        ..Change::default()
    }
}
