//! Which calls clients make: at random from a seed, and mostly such that are not refused.
//!
//! Holds: how often each comes. Must not know: what comes of it.

use super::calls::{Delta, New, Read, Write};
use super::model::Model;
use crate::crash::history::Random;

pub const WORDS: [&str; 6] = ["anchor", "breeze", "cobalt", "drizzle", "ember", "grotto"];
const BOTS: [&str; 3] = ["b0", "b1", "b2"];
const NAMES: [&str; 4] = ["Ada", "Bob", "Cy", "Di"];
const SESSIONS: [&str; 4] = ["s0", "s1", "s2", "s3"];
const MESSAGES: usize = 12;

fn some_text(random: &mut Random) -> String {
    // Now and then longer than a page, so that it lies in pages of its own.
    let words = [1, 2, 3, 8, 8, 900][random.below(6)];
    let words: Vec<&str> = (0..words).map(|_| random.one_of(&WORDS)).collect();
    words.join(" ")
}

fn some_id(random: &mut Random, prefix: &str, bound: usize) -> String {
    format!("{prefix}{}", random.below(bound))
}

fn some_new(random: &mut Random, session: &str) -> New {
    let parent = match random.below(8) {
        0 => Some(None),
        1 => Some(Some(some_id(random, "m", MESSAGES))),
        _ => None,
    };
    let bot = match random.below(8) {
        0 => Some(None),
        1 => Some(Some(random.one_of(&BOTS).to_owned())),
        _ => None,
    };
    New {
        session: session.to_owned(),
        id: some_id(random, "m", MESSAGES),
        role: "user",
        parent,
        bot,
        text: some_text(random),
    }
}

/// Any write, likely one that is not refused. `can_make` allows those whose session's id the store makes.
pub fn some_write(random: &mut Random, known: &Model, can_make: bool) -> Write {
    let session = random.one_of(&SESSIONS).to_owned();
    let there = known.sessions.get(&session);
    if there.is_none() && random.below(4) > 0 {
        let bot = (random.below(2) == 0).then(|| random.one_of(&BOTS).to_owned());
        return Write::CreateSession {
            id: session,
            title: some_id(random, "t", 100),
            bot,
            or_return: random.below(4) == 0,
        };
    }
    let ids: Vec<String> = there.map_or_else(Vec::new, |session| {
        session
            .messages
            .values()
            .map(|message| message.id.clone())
            .collect()
    });
    let id = if ids.is_empty() || random.below(10) == 0 {
        some_id(random, "m", MESSAGES)
    } else {
        random.one_of(&ids)
    };
    let permanent = random.below(2) == 0;
    match random.below(64) {
        0 | 1 => Write::CreateBot {
            id: random.one_of(&BOTS).into(),
            name: random.one_of(&NAMES).into(),
        },
        2 => Write::RenameBot {
            id: random.one_of(&BOTS).into(),
            name: random.one_of(&NAMES).into(),
        },
        3 => Write::DeleteBot {
            id: random.one_of(&BOTS).into(),
            permanent,
        },
        4 => Write::RestoreBot {
            id: random.one_of(&BOTS).into(),
        },
        5 | 6 => Write::UpdateSession {
            id: session,
            title: some_id(random, "t", 100),
            head: (random.below(2) == 0).then_some(id),
        },
        7 => Write::DeleteSession {
            id: session,
            permanent: permanent && random.below(2) == 0,
        },
        8 | 9 => Write::RestoreSession { id: session },
        10 if can_make && known.sessions.len() < 8 => Write::Fork { session, id },
        11 if random.below(3) == 0 => Write::Purge,
        12 => Write::CreateSession {
            id: session,
            title: some_id(random, "t", 100),
            bot: None,
            or_return: permanent,
        },
        13 => Write::DeleteWhere {
            session: (random.below(3) > 0).then_some(session),
            bot: Some(random.one_of(&BOTS).to_owned()),
            permanent,
        },
        14 => Write::DeleteWhere {
            session: Some(session),
            bot: None,
            permanent: permanent && random.below(3) == 0,
        },
        15..=18 => {
            let new = (0..random.below(5)).map(|_| {
                let session = if random.below(4) == 0 {
                    random.one_of(&SESSIONS)
                } else {
                    &*session
                };
                New {
                    bot: None,
                    ..some_new(random, session)
                }
            });
            Write::Put(new.collect())
        }
        19 | 20 => Write::Edit {
            session,
            id,
            text: some_text(random),
        },
        21..=23 => Write::Update {
            session,
            id,
            text: some_text(random),
        },
        24 | 25 => Write::SwitchTo { session, id },
        26..=29 => Write::Delete {
            session,
            id,
            permanent,
        },
        30 => Write::Restore { session, id },
        31 | 32 => Write::Index(1 + random.below(20) as u32),
        33..=36 => Write::Start(New {
            text: String::new(),
            role: "assistant",
            bot: None,
            ..some_new(random, &session)
        }),
        37 => Write::Regenerate {
            session,
            id,
            new_id: some_id(random, "m", MESSAGES),
        },
        38..=50 => some_step_of_a_reply(random, known, session, id),
        _ => {
            let count = [1, 1, 1, 2, 4][random.below(5)];
            Write::Add((0..count).map(|_| some_new(random, &session)).collect())
        }
    }
}

/// A piece of a reply that is under way, where there is one; at times sent again, or one too far.
fn some_step_of_a_reply(random: &mut Random, known: &Model, session: String, id: String) -> Write {
    let mut replies = Vec::new();
    for (session, there) in &known.sessions {
        for message in there.messages.values() {
            if let Some(stream) = &message.stream {
                replies.push((session.clone(), message.id.clone(), stream.next_number));
            }
        }
    }
    let (session, id, next_number) = if replies.is_empty() {
        (session, id, 0)
    } else {
        random.one_of(&replies)
    };
    let first_number = match random.below(12) {
        0 => next_number + 1,
        1 | 2 => next_number - random.below(4) as i64,
        _ => next_number,
    };
    let texts = (0..random.below(4)).map(|_| format!("{} ", random.one_of(&WORDS)));
    let delta = Delta {
        first_number,
        texts: texts.collect(),
    };
    if random.below(4) > 0 {
        return Write::Append { session, id, delta };
    }
    Write::End {
        session,
        id,
        delta,
        text: (random.below(4) == 0).then(|| some_text(random)),
        complete: random.below(3) > 0,
    }
}

pub fn some_read(random: &mut Random) -> Read {
    let session = random.one_of(&SESSIONS).to_owned();
    match random.below(10) {
        0 | 1 => Read::All,
        2 => Read::Bot {
            id: random.one_of(&BOTS).into(),
        },
        3 => Read::Session { id: session },
        4 => Read::Message {
            session,
            id: some_id(random, "m", MESSAGES),
        },
        5 | 6 => Read::Path { session },
        7 => Read::AllBranches { session },
        _ => Read::Search {
            word: random.one_of(&WORDS),
        },
    }
}
