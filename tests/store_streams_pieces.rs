//! Whatever pieces a reply comes in, it becomes what one message of the whole would be.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::rc::Rc;

use chatstore::model::{Message, NewMessage};
use chatstore::store::streams::{Delta, StreamEnd};
use chatstore::vfs::MemoryStorage;
use support::streams::{grow, reopen, rows, text};
use support::{Chats, message};

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// The parts that deltas make, told in another way than the store does it: type and text, or JSON.
fn model(deltas: &[Delta]) -> Vec<(Option<String>, String)> {
    let mut parts: Vec<(Option<String>, String)> = Vec::new();
    for delta in deltas {
        match delta {
            Delta::Grow { text, .. } if text.is_empty() => {}
            Delta::Grow { part_type, text } => match parts.last_mut() {
                Some((Some(last), grown)) if last == part_type => *grown += text,
                _ => parts.push((Some(part_type.clone()), text.clone())),
            },
            Delta::Part(json) => parts.push((None, json.clone())),
        }
    }
    parts
}

/// Adds what the deltas come to as one message, through `messages.add`, with JSON that SQLite writes.
fn add_whole(chats: &mut Chats, id: &str, deltas: &[Delta]) -> Message {
    let parts = model(deltas);
    let plain = parts
        .iter()
        .all(|(part_type, _)| part_type.as_deref() == Some("text"));
    let text: String = parts.iter().map(|(_, text)| text.as_str()).collect();
    let json: Vec<String> = parts
        .iter()
        .map(|(part_type, text)| match part_type {
            None => text.clone(),
            Some(part_type) => {
                let sql = format!(
                    "SELECT json_object('type', CAST(x'{}' AS TEXT), 'text', CAST(x'{}' AS TEXT))",
                    hex(part_type),
                    hex(text)
                );
                chats.query(&sql).unwrap().remove(0)
            }
        })
        .collect();
    let json = format!("[{}]", json.join(","));
    let new = NewMessage {
        id: Some(id),
        role: "assistant",
        text: plain.then_some(&*text),
        parts: (!plain).then_some(&*json),
        ..message("t")
    };
    chats.add_message(new).unwrap()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn whatever_comes_in_whatever_pieces_becomes_what_add_would_have_stored() {
    const TEXTS: [&str; 9] = [
        "",
        "a",
        "Grüße ",
        "\"\\\n\t\u{8}\u{c}\r",
        "😀",
        "\u{1}\u{7f}",
        "\"}]",
        "日本",
        "x y ",
    ];
    const PARTS: [&str; 3] = [
        r#"{"type":"file","name":"a\"b"}"#,
        r#"{"type":"text","text":"whole"}"#,
        r#"{ "type" : "reasoning", "text":"whole" }"#,
    ];
    for seed in 1..=40 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let storage = Rc::new(MemoryStorage::new());
        let mut chats = reopen(&storage);
        chats.session("s", None);
        chats.session("t", None);
        chats.start("s", "m");
        let only_text = random.below(3) == 0;
        let mut sent: Vec<Delta> = Vec::new();
        for _ in 0..random.below(40) {
            let piece: Vec<Delta> = (0..random.below(5))
                .map(|_| match random.below(8) {
                    _ if only_text => text(TEXTS[random.below(TEXTS.len())]),
                    0 => Delta::Part(PARTS[random.below(PARTS.len())].into()),
                    1 | 2 => grow("reasoning", TEXTS[random.below(TEXTS.len())]),
                    3 => grow("a \"type\"", TEXTS[random.below(TEXTS.len())]),
                    _ => text(TEXTS[random.below(TEXTS.len())]),
                })
                .collect();
            let known = random.below(4).min(sent.len());
            let first_number = sent.len() - known;
            sent.extend(piece);
            chats
                .append("m", first_number as i64, &sent[first_number..])
                .unwrap();
            match random.below(12) {
                0 => {
                    drop(chats);
                    chats = reopen(&storage);
                    assert_eq!(chats.reply("m").status, "incomplete", "seed {seed}");
                }
                1 => drop(chats.found("whole")),
                2 => {
                    let id = format!("x{}", random.below(1 << 30));
                    chats.add("s", &id, "in between");
                }
                _ => {}
            }
            if random.below(4) == 0 {
                let id = format!("at {} of {}", sent.len(), random.below(1 << 30));
                let whole = add_whole(&mut chats, &id, &sent);
                let so_far = chats.reply("m");
                assert_eq!(
                    (so_far.text, so_far.parts),
                    (whole.text, whole.parts),
                    "seed {seed}"
                );
            }
        }
        let whole = add_whole(&mut chats, "whole", &sent);
        let end = StreamEnd::default();
        let done = if random.below(2) == 0 {
            chats.finish("m", end).unwrap()
        } else {
            chats.abort("m", None).unwrap()
        };
        assert_eq!(
            (&done.text, &done.parts),
            (&whole.text, &whole.parts),
            "seed {seed}"
        );
        assert_eq!(rows(&mut chats), ["0", "0"], "seed {seed}");
        assert_eq!(chats.reply("m"), done, "seed {seed}");
        chats.expect_sound();
    }
}
