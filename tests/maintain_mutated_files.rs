//! Random and mutated database files: opening, using and checking them never panics and never hangs,
//! whatever the bytes.
//!
//! `CHATSTORE_ROUNDS` sets how many files are tried, `CHATSTORE_SEED` which is the first; a failure
//! prints its seed.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/maintain.rs"]
mod stores;
mod support;

use chatstore::maintain::{Verify, to_the_end};
use chatstore::model::SessionFilter;
use chatstore::vfs::{ChecksumPolicy, Vfs};
use chatstore::{Code, Error, Request};
use rusqlite::OpenFlags;
use stores::{Files, PATH, Random, bytes, filled, mutate, open, with_bytes, write_resealed};
use support::message;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What a damaged file may be told by, and nothing of which is a fault of ours.
fn expect_honest(error: &Error) {
    assert!(
        !matches!(
            error.code(),
            Code::OutOfMemory | Code::Timeout | Code::StoreLocked | Code::Busy
        ),
        "{error}"
    );
}

/// Opens a store and does a little of everything in it.
fn use_store(files: &Files) {
    let mut chats = match open(files) {
        Ok(chats) => chats,
        Err(error) => return expect_honest(&error),
    };
    let filter = SessionFilter::default();
    let page = Default::default();
    let requests = [
        Request::SessionsList { filter, page },
        Request::MessagesTree {
            session_id: "s3".into(),
        },
        Request::SessionsGet { id: "s4".into() },
        Request::MessagesDelete {
            session_id: "s1".into(),
            id: "m3".into(),
            permanent: true,
        },
        Request::SessionsDelete {
            id: "s2".into(),
            permanent: true,
        },
    ];
    for request in requests {
        if let Err(error) = chats.call(request) {
            expect_honest(&error);
        }
    }
    for session in ["s0", "s5"] {
        let added = chats.add_message(chatstore::model::NewMessage {
            text: Some("one more"),
            ..message(session)
        });
        if let Err(error) = added {
            expect_honest(&error);
        }
    }
    let _ = chats.query("SELECT count(*), sum(length(text)) FROM messages");
    let _ = chats.engine.close();
}

/// Checks a file in whatever state it is, without regard to its checksums, so that the damage is met.
fn check(files: &Files) {
    let vfs = Vfs::register(files.clone()).unwrap();
    vfs.set_checksum_policy(PATH, ChecksumPolicy::Off).unwrap();
    let Ok(connection) = vfs.connect(PATH, OpenFlags::default()) else {
        return;
    };
    if connection.execute_batch("BEGIN").is_err() {
        return;
    }
    let mut verify = Verify::new();
    let mut steps = 0;
    let result = to_the_end(|| {
        steps += 1;
        assert!(steps < 2_000, "it goes on for ever");
        verify.step(&connection, None)
    });
    if let Err(error) = result {
        expect_honest(&error);
    }
}

#[test]
fn mutated_stores_are_opened_used_and_checked_without_panic_or_end() {
    let sound = bytes(&filled(), PATH);
    let first = number("CHATSTORE_SEED", 1);
    for seed in first..first + number("CHATSTORE_ROUNDS", 60) {
        println!("CHATSTORE_SEED={seed}");
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut damaged = sound.clone();
        mutate(&mut random, &mut damaged);
        let files = with_bytes(PATH, &damaged);
        if seed % 2 == 0 && damaged.starts_with(b"SQLite format 3\0") {
            // With checksums that fit, the damage gets past them to SQLite and to us.
            write_resealed(&files, &damaged);
        }
        check(&files);
        use_store(&files);
        check(&files);
    }
}

#[test]
fn random_bytes_behind_a_header_of_ours_are_refused_or_reported() {
    let sound = bytes(&filled(), PATH);
    for seed in 1..=number("CHATSTORE_ROUNDS", 60).min(10_000) {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let length = 100 + random.below(30_000);
        let mut damaged: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        damaged[..100].copy_from_slice(&sound[..100]);
        let files = with_bytes(PATH, &damaged);
        if seed % 2 == 0 {
            write_resealed(&files, &damaged);
        }
        check(&files);
        use_store(&files);
    }
}
