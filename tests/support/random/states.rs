//! The states that a store may be in: one, but where a failure left open whether a write took effect.

use std::collections::BTreeMap;
use std::rc::Rc;

use chatstore::Code;

use super::calls::{Read, Write};
use super::model::{Lines, Model};

#[derive(Clone)]
pub struct States(Vec<Rc<Model>>);

impl States {
    pub fn one(model: Model) -> Self {
        Self(vec![Rc::new(model)])
    }

    pub fn first(&self) -> &Model {
        &self.0[0]
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Also those others.
    pub fn or(mut self, others: &Self) -> Self {
        for state in &others.0 {
            if !self.0.iter().any(|known| Rc::ptr_eq(known, state)) {
                self.0.push(Rc::clone(state));
            }
        }
        assert!(self.0.len() <= 50_000, "too much is left open");
        self
    }

    pub fn map(&self, change: impl Fn(&mut Model)) -> Self {
        let changed = self.0.iter().map(|state| {
            let mut model = (**state).clone();
            change(&mut model);
            Rc::new(model)
        });
        Self(changed.collect())
    }

    /// Those of which something holds; none is the caller's to judge.
    pub fn filter(&self, holds: impl Fn(&Model) -> bool) -> Option<Self> {
        let left: Vec<Rc<Model>> = self
            .0
            .iter()
            .filter(|state| holds(state))
            .cloned()
            .collect();
        (!left.is_empty()).then_some(Self(left))
    }

    /// After a write that was answered with these lines. Gives what was expected where that cannot be.
    pub fn after(&self, sent: &Sent<'_>, made: &str, answer: &Lines) -> Result<Self, String> {
        let mut expected = Vec::new();
        let mut left = Vec::new();
        for state in &self.0 {
            let mut model = (**state).clone();
            match sent.apply(&mut model, made) {
                Ok(lines) if lines == *answer || matches!(sent.write, Write::Index(_)) => {
                    left.push(Rc::new(model));
                }
                other => expected.push(format!("{other:?}")),
            }
        }
        if left.is_empty() {
            return Err(expected.join("\n or "));
        }
        Ok(Self(left))
    }

    /// After a write that was refused with this code; none where none of the states refuses it so.
    pub fn refusing(&self, sent: &Sent<'_>, code: Code) -> Option<Self> {
        self.filter(|model| sent.apply(&mut model.clone(), "") == Err(code))
    }

    /// After a write of which nobody knows whether it took effect.
    pub fn after_unknown(&self, sent: &Sent<'_>) -> Self {
        let applied = self.0.iter().filter_map(|state| {
            let mut model = (**state).clone();
            sent.apply(&mut model, "").is_ok().then(|| Rc::new(model))
        });
        let applied = Self(applied.collect());
        self.clone().or(&applied)
    }

    /// Each once. Those that look the same may still differ in what they answer later.
    pub fn distinct(self) -> Self {
        if self.0.len() == 1 {
            return self;
        }
        let told = |state: Rc<Model>| (format!("{state:?}"), state);
        let distinct: BTreeMap<String, Rc<Model>> = self.0.into_iter().map(told).collect();
        Self(distinct.into_values().collect())
    }

    /// Those that a read shows. Gives what was expected where that cannot be.
    pub fn showing(&self, read: &Read, answer: &Lines) -> Result<Self, String> {
        let left = self.filter(|model| model.read(read).as_ref() == Ok(answer));
        left.ok_or_else(|| differences(&self.first().read(read).unwrap_or_default(), answer))
    }
}

/// A write, and what else says what it does.
pub struct Sent<'a> {
    pub write: &'a Write,
    pub client: &'a str,
    pub operation: Option<&'a str>,
}

impl Sent<'_> {
    fn apply(&self, model: &mut Model, made: &str) -> Result<Lines, Code> {
        model.apply_once(self.write, self.client, self.operation, made)
    }
}

/// The lines that only one of two has.
fn differences(expected: &[String], found: &[String]) -> String {
    let only = |these: &[String], others: &[String]| -> String {
        let lines = these.iter().filter(|line| !others.contains(line));
        let lines = lines.map(|line| line.chars().take(160).collect::<String>());
        lines.collect::<Vec<_>>().join("\n    ")
    };
    format!(
        "only expected:\n    {}\n  only found:\n    {}",
        only(expected, found),
        only(found, expected)
    )
}
