//! What decodes input from outside: random and mutated bytes give an answer or an error with a code
//! that says what is wrong with them, never a panic, a hang, or a store that is damaged.
//!
//! `CHATSTORE_ROUNDS` sets how many inputs each test tries, `CHATSTORE_SEED` which is the first; a
//! failure prints the command that repeats it.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

#[path = "support/crash/mod.rs"]
mod crash;
mod support;

use std::rc::Rc;

use chatstore::engine::{Call, Event, Job};
use chatstore::model::{
    Message, MessageList, MessageRef, NewMessage, PageEnds, PageOptions, Search, SessionFilter,
    limits,
};
use chatstore::pack::{self, Numbers, Texts};
use chatstore::store::operations;
use chatstore::store::query::QueryParams;
use chatstore::store::streams::{Delta, NewStream};
use chatstore::vfs::{MemoryStorage, Vfs};
use chatstore::{Code, Durability, Engine, Error, Reply, Request};
use crash::history::Random;
use rusqlite::OpenFlags;
use support::{Chats, message, open};

/// Runs a test with one seed after the other.
fn with_seeds(test: &str, rounds: usize, mut run: impl FnMut(&mut Random)) {
    let first = crash::number("CHATSTORE_SEED").unwrap_or(1);
    let rounds = crash::number("CHATSTORE_ROUNDS").unwrap_or(rounds);
    let told = Told(test.to_owned(), std::cell::Cell::new(first));
    for seed in first..first + rounds {
        told.1.set(seed);
        run(&mut Random::new(seed as u64));
    }
}

/// Says how to repeat the seed at which a test panics.
struct Told(String, std::cell::Cell<usize>);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (test, seed) = (&self.0, self.1.get());
            println!(
                "CHATSTORE_SEED={seed} CHATSTORE_ROUNDS=1 cargo test --test fuzz_protocol {test}"
            );
        }
    }
}

/// That an error blames the input, and neither the store nor the file.
fn expect_blame(error: &Error) {
    let blames = matches!(
        error.code(),
        Code::InvalidArgument
            | Code::InvalidCursor
            | Code::TooLarge
            | Code::NotFound
            | Code::ConstraintUnique
            | Code::ConstraintForeignKey
            | Code::ConstraintCheck
            | Code::StreamEnded
    );
    assert!(blames, "{error}");
}

fn some_bytes(random: &mut Random, at_most: usize) -> Vec<u8> {
    (0..random.below(at_most + 1))
        .map(|_| random.next() as u8)
        .collect()
}

/// Changes some of the bytes: bits, words that are lengths or counts, the end, a piece in the middle.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 | 3 => {
                let words = [
                    0,
                    1,
                    2,
                    255,
                    1 << 16,
                    1 << 31,
                    u32::MAX,
                    u32::MAX - 1,
                    random.next() as u32,
                ];
                let word = random.one_of(&words).to_le_bytes();
                let at = at / 4 * 4;
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            4 => bytes.truncate(at),
            _ => {
                let piece = some_bytes(random, 9);
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn some_text(random: &mut Random) -> String {
    let pieces = [
        "a", "word", " ", "\"", "'", "*", "(", ")", "^", "{text}:", "-", "+", "NEAR(", " AND ",
        " OR ", " NOT ", "\0", "\u{2}", "é", "日本", "😀", "\u{feff}", "\n", "1", "%", "_", "\\",
        "[", "]", "{", "}", ":", ",", "null",
    ];
    let count = [1, 3, 10, 100][random.below(4)];
    (0..random.below(count + 1))
        .map(|_| random.one_of(&pieces))
        .collect()
}

// New messages as packed rows.

/// New messages packed as a client packs them.
fn packed(random: &mut Random) -> Vec<u8> {
    let rows = random.below(6);
    let mut numbers: Vec<Numbers> = (0..7).map(|_| Numbers::default()).collect();
    let mut texts: Vec<Texts> = (0..12).map(|_| Texts::default()).collect();
    for row in 0..rows {
        for column in &mut numbers {
            let values = [
                0.0,
                1.0,
                -1.5,
                f64::INFINITY,
                f64::NEG_INFINITY,
                1e300,
                9e15,
            ];
            column.push((random.below(3) == 0).then(|| random.one_of(&values)));
        }
        let text = some_text(random);
        let id = format!("m{row}-{}", random.next());
        let values = [
            Some("s"),
            Some(&*id),
            Some("user"),
            None,
            None,
            Some(&*text),
            None,
            Some("complete"),
            (random.below(3) == 0).then_some("stop"),
            (random.below(3) == 0).then_some("{\"why\":1}"),
            (random.below(3) == 0).then_some("large"),
            (random.below(3) == 0).then_some("[1, null]"),
        ];
        for (column, value) in texts.iter_mut().zip(values) {
            column.push(value);
        }
    }
    pack::rows(16, rows, &numbers, &texts, &PageEnds::default())
}

#[test]
fn packed_messages_of_any_bytes_are_read_or_refused() {
    let mut read = 0;
    with_seeds("packed_messages_of_any_bytes", 20_000, |random| {
        let mut bytes = packed(random);
        let whole = pack::new_messages(&bytes).expect("what was packed is read");
        assert!(whole.len() < 6);
        match random.below(8) {
            0 => bytes = some_bytes(random, 200),
            _ => mutate(random, &mut bytes),
        }
        match pack::new_messages(&bytes) {
            Ok(_) => read += 1,
            Err(error) => expect_blame(&error),
        }
    });
    assert!(read > 0, "nothing that was changed was ever read");
}

/// Columns that are null take no bytes, so a count of rows costs nothing to say.
#[test]
fn a_count_of_rows_that_no_bytes_speak_for_is_refused() {
    let empty = |_| Numbers::default();
    let numbers: Vec<Numbers> = (0..7).map(empty).collect();
    let texts: Vec<Texts> = (0..12).map(|_| Texts::default()).collect();
    let mut bytes = pack::rows(16, 0, &numbers, &texts, &PageEnds::default());
    for rows in [limits::BATCH_MESSAGES as u32 + 1, 1 << 30, u32::MAX] {
        bytes[4..8].copy_from_slice(&rows.to_le_bytes());
        let code = pack::new_messages(&bytes).err().map(|error| error.code());
        assert_eq!(code, Some(Code::TooLarge), "{rows} rows");
    }
}

/// Calls a write that has packed rows, and gives what it answers.
fn write_rows(
    chats: &mut Chats,
    request: Request<'static>,
    rows: Vec<u8>,
) -> Result<Vec<Message>, Error> {
    let call = Call {
        id: 1,
        client: 1,
        scope: 0,
        job: Job::with_rows(request, rows),
        operation: None,
        timeout_ms: 1_000.0,
    };
    assert!(chats.engine.submit(0.0, call)?.is_none(), "a write waits");
    chats.engine.step(0.0);
    let mut events = chats.engine.take();
    match events.pop() {
        Some(Event::Reply { result, .. }) => result.map(|answer| answer.messages),
        other => panic!("expected a reply, got {other:?}"),
    }
}

#[test]
fn packed_messages_of_any_bytes_leave_the_store_sound() {
    let mut written = 0;
    let mut chats = open();
    chats.session("s", None);
    chats.add("s", "m", "text");
    with_seeds("packed_messages_of_any_bytes_leave", 1_500, |random| {
        let mut bytes = packed(random);
        if random.below(4) > 0 {
            mutate(random, &mut bytes);
        }
        let request = match random.below(3) {
            0 => Request::MessagesAdd(Vec::new()),
            1 => Request::MessagesPut(Vec::new()),
            _ => Request::MessagesEdit {
                session_id: "s".into(),
                id: "m".into(),
                content: NewMessage::default(),
            },
        };
        match write_rows(&mut chats, request, bytes) {
            Ok(messages) => written += messages.len(),
            Err(error) => expect_blame(&error),
        }
    });
    assert!(written > 0, "nothing was ever written");
    let which = MessageList::Session {
        session_id: "s".into(),
        around: None,
        from_start: true,
        all_branches: true,
    };
    let page = PageOptions {
        limit: Some(limits::PAGE_ROWS),
        cursor: None,
    };
    chats
        .messages(Request::MessagesList { which, page })
        .expect("what was written is read");
    chats.expect_sound();
}

// Records of operations.

#[test]
fn records_of_operations_of_any_text_are_read_or_told_as_damage() {
    let files = Rc::new(MemoryStorage::new());
    let engine = Engine::open(Rc::clone(&files), "chats.sqlite", Durability::Strict).unwrap();
    let mut chats = Chats::over(engine);
    chats.session("s", None);
    for at in 0..5 {
        chats.add("s", &format!("m{at}"), "text");
    }
    chats.engine.close().unwrap();
    let vfs = Vfs::register(files).unwrap();
    let connection = vfs.connect("chats.sqlite", OpenFlags::default()).unwrap();
    let mut found = 0;
    with_seeds("records_of_operations", 4_000, |random| {
        let kind = random.one_of(&[
            "bot", "session", "count", "messages", "messages", "messages", "other", "",
        ]);
        let whole = ["1 3 1 s", "2 1 1 s4 2 1 s", "1 2 3", "", "s", "1 1 2 é"];
        let mut result = random.one_of(&whole).as_bytes().to_vec();
        for _ in 0..random.below(3) {
            let numbers = [
                "-1",
                "0",
                "9223372036854775807",
                "-9223372036854775808",
                "4294967295",
                "99999999999999999999",
                " ",
                "1 1 1 s",
            ];
            let number = random.one_of(&numbers).bytes();
            let at = random.below(result.len() + 1);
            let end = (at + random.below(3)).min(result.len());
            result.splice(at..end, number);
        }
        let result = String::from_utf8_lossy(&result).into_owned();
        connection
            .execute(
                "INSERT INTO operations (id, fingerprint, epoch, created_at, kind, result) VALUES ('op', 1, 1, 1, ?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET kind = ?1, result = ?2",
                [kind, &result],
            )
            .unwrap();
        match operations::find(&connection, "op") {
            Ok(record) => {
                found += 1;
                let outcome = record.expect("it is there").outcome;
                if let operations::Outcome::Messages(runs) = outcome
                    && let Err(error) = runs.read(&connection, &mut |_| ())
                {
                    assert_eq!(error.code(), Code::NotFound, "{kind} {result:?}: {error}");
                }
            }
            Err(error) => assert_eq!(error.code(), Code::Corrupt, "{kind} {result:?}: {error}"),
        }
    });
    assert!(found > 0, "no record was ever read");
}

// Cursors.

/// Lists of each kind, a cursor in their options.
fn lists(cursor: Option<String>) -> Vec<Request<'static>> {
    let page = PageOptions {
        limit: Some(2),
        cursor,
    };
    let of_session = |all_branches| MessageList::Session {
        session_id: "s1".into(),
        around: None,
        from_start: true,
        all_branches,
    };
    let of_bot = |descending| MessageList::Bot {
        bot_id: "b1".into(),
        descending,
    };
    let mut lists = vec![
        Request::BotsList {
            deleted: false,
            page: page.clone(),
        },
        Request::SessionsList {
            filter: SessionFilter::default(),
            page: page.clone(),
        },
        Request::Search {
            search: Search {
                query: "text".into(),
                ..Search::default()
            },
            page: page.clone(),
        },
    ];
    let messages = [
        of_session(false),
        of_session(true),
        of_bot(false),
        of_bot(true),
    ];
    lists.extend(messages.map(|which| Request::MessagesList {
        which,
        page: page.clone(),
    }));
    lists
}

fn ends(reply: Reply) -> PageEnds {
    match reply {
        Reply::Bots(page) => page.ends,
        Reply::Sessions(page) => page.ends,
        Reply::Hits(page) => page.ends,
        Reply::Messages(ends) => ends,
        other => panic!("expected a page, got {other:?}"),
    }
}

/// A cursor as somebody makes it who knows how: another place, and the check that goes with it.
fn forged(random: &mut Random, cursor: &str) -> String {
    let mut bytes: Vec<u8> = (0..cursor.len() / 2)
        .map(|at| u8::from_str_radix(&cursor[at * 2..at * 2 + 2], 16).expect("hex"))
        .collect();
    let (sort, key, check) = (10, 18, 26);
    for at in [sort, key] {
        let places = [
            0,
            1,
            -1,
            i64::MIN,
            i64::MAX,
            i64::MIN + 1,
            i64::MAX - 1,
            1 << 32,
            random.next() as i64,
        ];
        bytes[at..at + 8].copy_from_slice(&random.one_of(&places).to_le_bytes());
    }
    bytes[1] = random.below(2) as u8;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in b"chatstore cursor".iter().chain(&bytes[..check]) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let sum = (hash >> 32) as u32 ^ hash as u32;
    bytes[check..].copy_from_slice(&sum.to_le_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn cursors_of_any_text_are_followed_or_refused() {
    let mut chats = open();
    for at in 0..5 {
        chats.bot(&format!("b{at}"));
    }
    for at in 0..5 {
        chats.session(&format!("s{at}"), Some("b1"));
    }
    for at in 0..5 {
        chats.add("s1", &format!("m{at}"), "text");
        chats.add("s2", &format!("m{at}"), "other");
    }
    assert_eq!(chats.found("text").len(), 5);
    let cursors: Vec<String> = lists(None)
        .into_iter()
        .map(|list| {
            ends(chats.call(list).expect("a list"))
                .next_cursor
                .expect("there is more")
        })
        .collect();
    let (mut followed, mut refused) = (0, 0);
    with_seeds("cursors_of_any_text", 3_000, |random| {
        let at = random.below(cursors.len());
        let mut cursor = cursors[at].clone();
        match random.below(6) {
            0 => cursor = some_text(random),
            1 => cursor = random.one_of(&cursors),
            2 | 3 => cursor = forged(random, &cursor),
            _ => {
                let mut bytes = cursor.into_bytes();
                mutate(random, &mut bytes);
                cursor = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        let list = lists(Some(cursor.clone())).swap_remove(at);
        let of_session = matches!(
            list,
            Request::MessagesList {
                which: MessageList::Session { .. },
                ..
            }
        );
        let mut messages = Vec::new();
        let visit = &mut |row: &MessageRef<'_>| messages.push(Message::from(row));
        match chats.engine.call(list, visit) {
            Ok(_) => {
                followed += 1;
                let is_own = |message: &Message| !of_session || message.session_id == "s1";
                assert!(messages.iter().all(is_own), "{cursor}: {messages:?}");
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.code(), Code::InvalidCursor, "{cursor}: {error}");
            }
        }
    });
    assert!(
        followed > 0 && refused > 0,
        "{followed} followed, {refused} refused"
    );
}

// Texts with a grammar.

#[test]
fn searches_for_any_text_are_answered_or_refused() {
    let mut chats = open();
    chats.session("s", None);
    chats.add("s", "m", "a word \"and\" 日本 😀 é 1");
    with_seeds("searches_for_any_text", 1_500, |random| {
        let mut query = some_text(random);
        if random.below(50) == 0 {
            query = query.repeat(random.below(2_000));
        }
        let request = Request::Search {
            search: Search {
                query: query.clone(),
                session_id: (random.below(4) == 0).then(|| some_text(random)),
                bot_id: (random.below(4) == 0).then(|| some_text(random)),
                prefix: random.below(2) == 0,
            },
            page: PageOptions::default(),
        };
        let mut result = chats.call(request.clone());
        while matches!(&result, Err(error) if error.code() == Code::IndexPending) {
            chats
                .count(Request::SearchIndex { limit: 100 })
                .expect("indexing works");
            result = chats.call(request.clone());
        }
        if let Err(error) = result {
            assert_eq!(error.code(), Code::TooLarge, "{query:?}: {error}");
        }
    });
}

#[test]
fn json_of_any_text_is_kept_or_refused() {
    let mut chats = open();
    chats.session("s", None);
    let mut kept = 0;
    let mut made = 0;
    with_seeds("json_of_any_text", 1_500, |random| {
        let whole = [
            r#"[{"type":"text","text":"a"},{"type":"image","url":"\u00e9"}]"#,
            r#"{"type":"text","text":"a\nb"}"#,
            "[]",
            r#"[{"type":"text"},{"type":"text","text":5},7,null]"#,
        ];
        let mut json = random.one_of(&whole).as_bytes().to_vec();
        match random.below(4) {
            0 => json = some_text(random).into_bytes(),
            1 => json = format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000)).into_bytes(),
            _ => mutate(random, &mut json),
        }
        let json = String::from_utf8_lossy(&json).into_owned();
        made += 1;
        let id = format!("m{made}");
        let new = NewMessage {
            id: Some(&id),
            parts: Some(&json),
            ..message("s")
        };
        let stream = NewStream {
            session_id: "s".into(),
            id: Some(format!("r{made}")),
            metadata: Some(json.clone()),
            ..NewStream::default()
        };
        let started = chats.call(Request::MessagesStart {
            new: stream,
            client: "c".into(),
        });
        let appended = chats.call(Request::MessagesAppend {
            session_id: "s".into(),
            id: format!("r{made}"),
            first_number: 0,
            deltas: vec![Delta::Part(json.clone())],
        });
        let results = [
            chats.call(Request::MessagesAdd(vec![new])).map(drop),
            started.map(drop),
            appended.map(drop),
        ];
        for result in results {
            match result {
                Ok(()) => kept += 1,
                Err(error) => expect_blame(&error),
            }
        }
        let which = MessageList::Session {
            session_id: "s".into(),
            around: None,
            from_start: false,
            all_branches: false,
        };
        let page = PageOptions {
            limit: Some(3),
            cursor: None,
        };
        chats
            .messages(Request::MessagesList { which, page })
            .expect("what was kept is read");
    });
    assert!(kept > 0, "nothing was kept");
    chats.expect_sound();
}

#[test]
fn sql_of_any_text_is_answered_or_refused() {
    let mut chats = open();
    chats.session("s", None);
    chats.add("s", "m", "text");
    let words = [
        "SELECT",
        "id",
        "FROM",
        "messages",
        "sessions",
        "WHERE",
        "text",
        "=",
        "?1",
        ":name",
        "'x'",
        "(",
        ")",
        ",",
        "*",
        "count(*)",
        "LIMIT",
        "1",
        "PRAGMA",
        "integrity_check",
        "journal_mode",
        "DELETE",
        "BEGIN",
        ";",
        "--",
        "\0",
        "UNION",
        "ATTACH",
        "randomblob(9)",
        "x'00'",
        "json_each('[1]')",
        "messages_fts",
        "MATCH",
        "é",
    ];
    with_seeds("sql_of_any_text", 2_000, |random| {
        let count = 1 + random.below(8);
        let sql: Vec<&str> = (0..count).map(|_| random.one_of(&words)).collect();
        let sql = format!(
            "{} {}",
            random.one_of(&["SELECT", "SELECT id FROM messages WHERE", ""]),
            sql.join(" ")
        );
        let request = Request::Query {
            sql: sql.clone(),
            params: QueryParams::Positional(Vec::new()),
            limit: Some(100),
        };
        if let Err(error) = chats.call(request) {
            let blames = matches!(
                error.code(),
                Code::InvalidSql | Code::QueryNotAllowed | Code::InvalidArgument | Code::TooLarge
            );
            assert!(blames, "{sql:?}: {error}");
        }
    });
    chats.expect_sound();
    assert_eq!(chats.path("s"), ["m"]);
}
