//! Steps of the engine: what settles in time, what breaks off, and who may go on waiting.

use super::*;

/// How long clients have to come back after the file was opened.
const RETURN_WITHIN_MS: f64 = 2_000.0;

impl World {
    /// One step. Gives when the engine wants the next.
    pub(super) fn step(&mut self) -> Option<f64> {
        let now_ms = self.now_ms;
        let next_ms = self.engine().step(now_ms);
        self.look();
        let late = self
            .waiting
            .iter()
            .find(|(_, waiting)| waiting.deadline_ms <= now_ms);
        assert!(
            late.is_none(),
            "call {:?} has not settled in time",
            late.map(|(id, _)| id)
        );
        if self.transaction.is_none() {
            self.replies_break_off();
        }
        next_ms
    }

    /// As the engine does where nobody holds the writer.
    fn replies_break_off(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        let mut is_over = false;
        if let Some(until_ms) = self.return_until_ms {
            if until_ms == f64::NEG_INFINITY {
                self.return_until_ms = Some(self.now_ms + RETURN_WITHIN_MS);
            } else if until_ms <= self.now_ms {
                self.return_until_ms = None;
                is_over = true;
            }
        }
        if gone.is_empty() && !is_over {
            return;
        }
        let connected: Vec<String> = (1..=CLIENTS)
            .filter(|client| self.connected[*client as usize])
            .map(name_of)
            .collect();
        let broken = self.committed.map(|model| {
            model.break_off(|name| {
                let is_there = connected.iter().any(|known| known == name);
                gone.iter().any(|lost| lost == name) || (is_over && !is_there)
            });
        });
        // What fails here is done when the file is opened next.
        let states = if self.is_failing {
            self.committed.clone().or(&broken)
        } else {
            broken
        };
        self.commit(states);
    }

    /// Steps for as long as the engine has something to do now: then only who has to waits.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            match self.step() {
                Some(next_ms) if next_ms <= self.now_ms => {}
                _ => {
                    let is_held = self.transaction.is_some();
                    let is_full = self.snapshots.len() == POOL;
                    for (id, waiting) in &self.waiting {
                        let may_wait = match waiting.what {
                            What::Snapshot { is_indexed, .. } => is_full || (is_indexed && is_held),
                            _ => is_held,
                        };
                        assert!(may_wait, "call {id} waits for nothing");
                    }
                    return;
                }
            }
        }
        panic!("the engine does not come to rest");
    }
}
