//! Random histories of a store: whatever is called in whatever order, what must always hold holds.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::model::{DeleteFilter, Field, MessagePatch, NewMessage, Search, SessionPatch};
use chatstore::store::streams::{Delta, NewStream, StreamEnd};
use chatstore::{Code, Request};
use support::{Chats, message, open};

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const BOTS: [&str; 2] = ["b0", "b1"];
const SESSIONS: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];
const WORDS: [&str; 6] = ["apple", "banana", "Füchsin", "日本", "x y z", ""];

fn some_message(random: &mut Random) -> String {
    format!("m{}", random.below(25))
}

/// One random call. Gives its error's code where it was refused, which is fine.
fn step(chats: &mut Chats, random: &mut Random) -> Result<(), Code> {
    let session_id = random.one_of(&SESSIONS).to_owned();
    let id = some_message(random);
    let permanent = random.below(3) == 0;
    let text = format!("{} {}", random.one_of(&WORDS), random.one_of(&WORDS));
    let parent = some_message(random);
    let parent_id = match random.below(6) {
        0 => Field::Null,
        1 => Field::Value(parent.as_str()),
        _ => Field::Absent,
    };
    let new = NewMessage {
        id: Some(&id),
        text: Some(&text),
        parent_id,
        ..message(&session_id)
    };
    let request = match random.below(24) {
        0..=5 => Request::MessagesAdd(vec![new]),
        6 => {
            let others: Vec<String> = (0..random.below(6)).map(|_| some_message(random)).collect();
            let messages = others
                .iter()
                .map(|id| NewMessage {
                    id: Some(id),
                    text: Some(&text),
                    ..message(&session_id)
                })
                .collect();
            return chats
                .messages(Request::MessagesPut(messages))
                .map(drop)
                .map_err(|error| error.code());
        }
        7 => Request::MessagesPut(vec![new]),
        8 => {
            let content = NewMessage {
                text: Some(&text),
                ..NewMessage::default()
            };
            Request::MessagesEdit {
                session_id: session_id.clone(),
                id: id.clone(),
                content,
            }
        }
        9 => Request::MessagesSwitchTo {
            session_id: session_id.clone(),
            id: id.clone(),
        },
        10 => {
            let patch = MessagePatch {
                text: Some(text.clone()),
                ..MessagePatch::default()
            };
            Request::MessagesUpdate {
                session_id: session_id.clone(),
                id: id.clone(),
                patch,
            }
        }
        11 | 12 => Request::MessagesDelete {
            session_id: session_id.clone(),
            id: id.clone(),
            permanent,
        },
        13 => Request::MessagesRestore {
            session_id: session_id.clone(),
            id: id.clone(),
        },
        14 => {
            let bot_id = (random.below(2) == 0).then(|| random.one_of(&BOTS).to_owned());
            let session_id = (bot_id.is_none() || random.below(2) == 0).then(|| session_id.clone());
            let before_ms = (random.below(2) == 0).then_some(i64::MAX);
            let filter = DeleteFilter {
                session_id,
                bot_id,
                before_ms,
            };
            Request::MessagesDeleteWhere {
                filter,
                permanent: permanent && random.below(2) == 0,
            }
        }
        15 => Request::SessionsDelete {
            id: session_id.clone(),
            permanent: permanent && random.below(2) == 0,
        },
        16 => Request::SessionsRestore {
            id: session_id.clone(),
        },
        17 => {
            let patch = SessionPatch {
                head_id: Some(id.clone()),
                ..SessionPatch::default()
            };
            Request::SessionsUpdate {
                id: session_id.clone(),
                patch,
            }
        }
        18 => match random.below(4) {
            0 => Request::BotsDelete {
                id: random.one_of(&BOTS).into(),
                permanent: false,
            },
            1 => Request::SessionsFork {
                session_id: session_id.clone(),
                id: id.clone(),
            },
            _ => Request::BotsRestore {
                id: random.one_of(&BOTS).into(),
            },
        },
        19 => Request::SearchIndex {
            limit: 1 + random.below(7) as u32,
        },
        20 => Request::MessagesStart {
            new: NewStream {
                session_id: session_id.clone(),
                id: Some(id.clone()),
                ..NewStream::default()
            },
            client: "client".into(),
        },
        _ => return step_of_a_stream(chats, random, session_id, text),
    };
    chats.call(request).map(drop).map_err(|error| error.code())
}

/// A random call on a reply that is under way, where there is one.
fn step_of_a_stream(
    chats: &mut Chats,
    random: &mut Random,
    session_id: String,
    text: String,
) -> Result<(), Code> {
    let mut under_way = chats.tree(&session_id);
    under_way.retain(|node| node.status == "streaming");
    if under_way.is_empty() {
        return Err(Code::NotFound);
    }
    let id = under_way.remove(random.below(under_way.len())).id;
    let known = chats
        .query(&format!(
            "SELECT max(st.next_number, coalesce(1 + (SELECT max(key & 4294967295) FROM message_deltas
               WHERE key >> 32 = st.key), 0))
             FROM message_streams st JOIN messages m ON m.key = st.message JOIN sessions s ON s.key = m.session
             WHERE m.id = '{id}' AND s.id = '{session_id}'"
        ))
        .expect("reading works");
    let first_number = known[0].parse().expect("a number");
    let part_type = random.one_of(&["text", "text", "reasoning"]).into();
    let deltas = vec![Delta::Grow { part_type, text }];
    let end = StreamEnd {
        first_number,
        deltas: deltas.clone(),
        ..StreamEnd::default()
    };
    let request = match random.below(6) {
        0 => Request::MessagesFinish {
            session_id,
            id,
            end,
        },
        1 => Request::MessagesAbort {
            session_id,
            id,
            end,
        },
        2 => Request::MessagesRegenerate {
            session_id,
            id,
            new: NewStream::default(),
            client: "client".into(),
        },
        _ => Request::MessagesAppend {
            session_id,
            id,
            first_number,
            deltas,
        },
    };
    chats.call(request).map(drop).map_err(|error| error.code())
}

fn run(seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut chats = open();
    for bot in BOTS {
        chats.bot(bot);
    }
    let mut done = 0;
    for at in 0..steps {
        for (index, id) in SESSIONS.iter().enumerate() {
            let get = Request::SessionsGet { id: (*id).into() };
            if chats.sessions(get).unwrap().items.is_empty() {
                // Its bot may be in the trash; then the session is made in a later step.
                let bot_id = (index % 3 != 0).then(|| BOTS[index % 2].to_owned());
                let new = chatstore::model::NewSession {
                    id: Some((*id).into()),
                    bot_id,
                    ..chatstore::model::NewSession::default()
                };
                let _ = chats.call(Request::SessionsCreate(new));
            }
        }
        match step(&mut chats, &mut random) {
            Ok(()) => done += 1,
            Err(
                Code::NotFound
                | Code::ConstraintUnique
                | Code::ConstraintForeignKey
                | Code::ConstraintCheck
                | Code::InvalidArgument,
            ) => {}
            Err(code) => panic!("seed {seed}, step {at}: {}", code.as_str()),
        }
        if at % 10 == 0 {
            chats.expect_sound();
        }
    }
    assert!(
        done > steps / 4,
        "seed {seed}: only {done} of {steps} steps did anything"
    );
    // The index, brought in step, agrees with the texts, and finds what a plain look finds.
    for word in ["apple", "banana", "fuchsin"] {
        let search = Search {
            query: word.into(),
            ..Search::default()
        };
        let mut hits: Vec<String> = chats
            .search(search)
            .items
            .into_iter()
            .map(|hit| format!("{}/{}", hit.session_id, hit.id))
            .collect();
        hits.sort();
        let plain = "SELECT s.id || '/' || m.id FROM messages m JOIN sessions s ON s.key = m.session
            WHERE m.deleted_at IS NULL AND s.deleted_at IS NULL AND replace(lower(m.text), 'ü', 'u') LIKE '%WORD%'
            ORDER BY 1 LIMIT 60";
        let mut expected = chats.query(&plain.replace("WORD", word)).unwrap();
        expected.sort();
        if expected.len() <= 50 {
            assert_eq!(hits, expected, "seed {seed}, {word}");
        }
    }
    assert_eq!(
        chats.query("PRAGMA quick_check").unwrap(),
        ["ok"],
        "seed {seed}"
    );
    chats.expect_sound();
}

#[test]
fn whatever_is_called_the_store_stays_sound() {
    for seed in 1..=8 {
        println!("seed {seed}");
        run(seed, 400);
    }
}
