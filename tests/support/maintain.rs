//! A store to break and to mend: shared memory files, content of every kind, raw access.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::rc::Rc;

use chatstore::maintain::{Verify, VerifyReport, to_the_end};
use chatstore::model::{Field, NewMessage};
use chatstore::vfs::{Connection, MemoryStorage, OpenMode, Storage, Vfs};
use chatstore::{Durability, Engine, Request};
use rusqlite::OpenFlags;

use crate::support::{Chats, message};

pub const PATH: &str = "chats.sqlite";
pub const PAGE_BYTES: usize = 4096;

pub type Files = Rc<MemoryStorage>;

/// Opens the store of these files, or makes it.
pub fn open(files: &Files) -> chatstore::Result<Chats> {
    Engine::open(files.clone(), PATH, Durability::Strict).map(Chats::over)
}

/// A closed store with bots, branches, trash, long texts, and an index that is in step but for some.
pub fn filled() -> Files {
    let files = Files::default();
    let mut chats = open(&files).expect("a new store opens");
    fill(&mut chats);
    chats.engine.close().expect("it closes");
    files
}

pub fn fill(chats: &mut Chats) {
    for bot in ["ada", "bob"] {
        chats.bot(bot);
    }
    for session in 0..10 {
        let id = format!("s{session}");
        chats.session(&id, [None, Some("ada"), Some("bob")][session % 3]);
        for at in 0..40 {
            let long = if at % 13 == 5 { 6_000 } else { 40 + at * 7 };
            chats.add(&id, &format!("m{at}"), &text(session, at, long));
        }
        // A branch from the middle, which leaves the rest off the active path.
        let branch = NewMessage {
            id: Some("branch"),
            text: Some("another way"),
            parent_id: Field::Value("m20"),
            ..message(&id)
        };
        chats.add_message(branch).expect("a branch is added");
        let parts = NewMessage {
            id: Some("parts"),
            parts: Some(r#"[{"type":"text","text":"in parts"},{"type":"image","url":"x"}]"#),
            metadata: Some(r#"{"mood":"good"}"#),
            ..message(&id)
        };
        chats.add_message(parts).expect("parts are added");
        chats
            .count(Request::MessagesDelete {
                session_id: id,
                id: "m7".into(),
                permanent: false,
            })
            .expect("a message goes to the trash");
    }
    chats.found("way");
    chats.add("s0", "after", "not in the index yet");
}

/// Words that can be searched for, of about this length.
pub fn text(session: usize, at: usize, length: usize) -> String {
    let mut text = format!("message {at} of session {session}");
    while text.len() < length {
        text += &format!(" word{}", text.len() * 31 % 997);
    }
    text
}

/// The bytes of a file.
pub fn bytes(files: &Files, path: &str) -> Vec<u8> {
    let mode = OpenMode {
        read_only: true,
        ..OpenMode::default()
    };
    let mut file = files.open(path, mode).expect("the file is there");
    let mut bytes = vec![0; file.size_bytes().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Files with one of these bytes.
pub fn with_bytes(path: &str, bytes: &[u8]) -> Files {
    let files = Files::default();
    write(&files, path, bytes);
    files
}

pub fn write(files: &Files, path: &str, bytes: &[u8]) {
    let mode = OpenMode {
        create: true,
        ..OpenMode::default()
    };
    let mut file = files.open(path, mode).expect("the file opens");
    file.truncate(0).unwrap();
    file.write_at(bytes, 0).unwrap();
}

/// Gives a file bytes whose checksums do not fit, and makes them fit.
pub fn write_resealed(files: &Files, bytes: &[u8]) {
    write(files, PATH, bytes);
    let vfs = Vfs::register(files.clone()).expect("a VFS");
    vfs.reseal(PATH).expect("the file can be resealed");
}

/// The page of a b-tree's root.
pub fn root(files: &Files, name: &str) -> usize {
    let sql = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{name}'");
    value::<i64>(files, PATH, &sql) as usize
}

/// A connection of its own, which may do anything.
pub fn connect(files: &Files, path: &str) -> Connection {
    let vfs = Vfs::register(files.clone()).expect("a VFS");
    vfs.connect(path, OpenFlags::default())
        .expect("the file opens")
}

/// Runs SQL that no rule holds back, and closes the file again.
pub fn break_with(files: &Files, sql: &str) {
    let connection = connect(files, PATH);
    connection
        .execute_batch(
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA writable_schema = ON;",
        )
        .unwrap();
    connection
        .execute_batch(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Checks all of a file.
pub fn verify(files: &Files) -> VerifyReport {
    let connection = connect(files, PATH);
    connection.execute_batch("BEGIN").unwrap();
    let mut verify = Verify::new();
    to_the_end(|| verify.step(&connection, None)).expect("a check reports and does not fail")
}

/// The one value of a query on a file.
pub fn value<T: rusqlite::types::FromSql>(files: &Files, path: &str, sql: &str) -> T {
    connect(files, path)
        .query_row(sql, [], |row| row.get(0))
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Numbers that are the same in each run.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Damages a file somehow: bits, runs, whole pages, its end, pages in another's place.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(6) {
        if bytes.len() < 2 * PAGE_BYTES {
            return;
        }
        let pages = bytes.len() / PAGE_BYTES;
        // The first bytes of pages and of the file are where the damage is most telling.
        let page = if random.below(4) == 0 {
            0
        } else {
            random.below(pages)
        };
        let start = page * PAGE_BYTES;
        match random.below(8) {
            0 => bytes[start + random.below(PAGE_BYTES)] ^= 1 << random.below(8),
            1 => bytes[start + random.below(16)] = random.below(256) as u8,
            2 => bytes[start + random.below(100)] = random.below(256) as u8,
            3 => {
                let from = start + random.below(PAGE_BYTES);
                let to = (from + random.below(300)).min(bytes.len());
                bytes[from..to].fill_with(|| random.below(256) as u8);
            }
            4 => bytes[start..start + PAGE_BYTES].fill(0),
            5 => bytes[start..start + PAGE_BYTES].fill_with(|| random.below(256) as u8),
            6 => {
                let other = random.below(pages) * PAGE_BYTES;
                bytes.copy_within(other..other + PAGE_BYTES, start);
            }
            _ => bytes.truncate(bytes.len() - random.below(bytes.len() / 4)),
        }
    }
}
