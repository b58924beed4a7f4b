//! Saving what is left of a damaged file: what can be read is not lost, the file is not changed.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/maintain.rs"]
mod stores;
mod support;

use chatstore::maintain::{Salvage, SalvageReport, to_the_end};
use chatstore::store::schema;
use chatstore::vfs::{OpenMode, Storage};
use stores::{
    Files, PAGE_BYTES, PATH, Random, break_with, bytes, connect, fill, filled, open, root, text,
    value, verify, with_bytes, write,
};

const NEW: &str = "new.sqlite";

/// Saves a damaged file; the new store comes alone.
fn salvage(damaged: &Files) -> (SalvageReport, Files) {
    let before = bytes(damaged, PATH);
    let new = connect(damaged, NEW);
    schema::configure(&new, 2_000, "FULL").unwrap();
    schema::prepare(&new, NEW).unwrap();
    let mut salvage = Salvage::begin(&**damaged, PATH, &new).unwrap();
    let report = to_the_end(|| salvage.step(&new)).expect("damage is no error");
    assert!(salvage.step(&new).is_err(), "it is over");
    drop(new);
    assert!(
        bytes(damaged, PATH) == before,
        "the damaged file was changed"
    );
    let saved = with_bytes(PATH, &bytes(damaged, NEW));
    assert_eq!(verify(&saved).problems, [], "what was saved is sound");
    (report, saved)
}

fn rows(report: &SalvageReport, table: &str) -> u64 {
    report
        .tables
        .iter()
        .find(|found| found.name == table)
        .unwrap()
        .rows
}

/// A content as text, to be compared.
fn dump(files: &Files, table: &str, columns: &str) -> Vec<String> {
    let connection = connect(files, PATH);
    let sql = format!("SELECT json_array({columns}) FROM {table} ORDER BY 1");
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

const MESSAGES: &str = "key, session, id, bot, parent, active, role, status, created_at, deleted_at, metadata, text, parts, cost_usd";

#[test]
fn everything_of_a_sound_file_is_saved() {
    let files = filled();
    break_with(
        &files,
        "INSERT INTO message_streams (key, message, client, started_at) VALUES (2, (1 << 32) + 5, 'client', 9);
         INSERT INTO message_deltas VALUES ((2 << 32) + 1, 'text', 'half a sen', 10), ((2 << 32) + 2, NULL, '{}', 20);
         INSERT INTO blobs (key, hash, size_bytes, data) VALUES (4, zeroblob(32), 9000, zeroblob(9000));
         INSERT INTO attachments (message, number, blob, name) VALUES ((1 << 32) + 5, 1, 4, 'picture');
         UPDATE messages SET cost_usd = 2 WHERE seq = 3; UPDATE messages SET cost_usd = 0.25 WHERE seq = 4",
    );
    let (report, saved) = salvage(&files);
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(
        (report.pages_lost, report.pages_changed, report.rows_damaged),
        (0, 0, 0)
    );
    assert_eq!(report.mended, Default::default());
    for (table, columns) in [
        ("messages", MESSAGES),
        (
            "sessions",
            "key, id, bot, title, head, next_seq, message_count, last_message_at, preview, created_at, revision",
        ),
        ("bots", "key, id, name, created_at"),
        ("message_streams", "key, message, client, started_at"),
        ("message_deltas", "key, type, delta, size_bytes"),
        ("blobs", "key, hex(hash), size_bytes, hex(data)"),
        ("attachments", "message, number, blob, name"),
    ] {
        let expected = dump(&files, table, columns);
        assert_eq!(rows(&report, table), expected.len() as u64, "{table}");
        assert!(!expected.is_empty());
        assert_eq!(dump(&saved, table, columns), expected, "{table}");
    }
    let mut chats = open(&saved).unwrap();
    assert_eq!(
        chats.found("another way").len(),
        10,
        "the index is built anew"
    );
    chats.expect_sound();
}

#[test]
fn what_was_deleted_stays_deleted() {
    let files = filled();
    break_with(&files, "DELETE FROM sessions WHERE key > 2");
    let (report, saved) = salvage(&files);
    assert_eq!(rows(&report, "sessions"), 2);
    assert_eq!(report.mended.sessions_made, 0);
    assert_eq!(
        dump(&saved, "messages", MESSAGES),
        dump(&files, "messages", MESSAGES)
    );
}

#[test]
fn committed_changes_that_stand_in_the_log_alone_are_saved() {
    let files = filled();
    let writer = connect(&files, PATH);
    writer
        .execute_batch("PRAGMA journal_mode = WAL; UPDATE sessions SET title = 'in the log'")
        .unwrap();
    // A transaction that grew too large for memory and did not commit lies in the log too.
    writer.execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE messages SET text = 'not committed', parts = NULL").unwrap();
    let left = Files::default();
    write(&left, PATH, &bytes(&files, PATH));
    write(
        &left,
        "chats.sqlite-wal",
        &bytes(&files, "chats.sqlite-wal"),
    );
    let (report, saved) = salvage(&left);
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(
        value::<i64>(
            &saved,
            PATH,
            "SELECT count(*) FROM sessions WHERE title = 'in the log'"
        ),
        10
    );
    assert_eq!(
        value::<i64>(
            &saved,
            PATH,
            "SELECT count(*) FROM messages WHERE text = 'not committed'"
        ),
        0
    );
}

/// Salvages the sample with some of its bytes changed.
fn after(damage: impl FnOnce(&Files, &mut Vec<u8>)) -> (SalvageReport, Files, Files) {
    let files = filled();
    let mut damaged = bytes(&files, PATH);
    damage(&files, &mut damaged);
    let (report, saved) = salvage(&with_bytes(PATH, &damaged));
    (report, saved, files)
}

fn lost(saved: &Files, original: &Files) -> usize {
    let saved = dump(saved, "messages", "key, id, text");
    let original = dump(original, "messages", "key, id, text");
    assert!(
        saved.iter().all(|row| original.contains(row)),
        "only what was there"
    );
    original.len() - saved.len()
}

/// Pages of the table's leaves, in no order.
fn leaves(files: &Files, bytes: &[u8]) -> Vec<usize> {
    let node = root(files, "messages") - 1;
    let page = &bytes[node * PAGE_BYTES..][..PAGE_BYTES];
    assert_eq!(page[0], 5, "the table is larger than a page");
    let number = |at: usize| u32::from_be_bytes(page[at..at + 4].try_into().unwrap()) as usize;
    let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
    let cell = |at: usize| usize::from(u16::from_be_bytes([page[12 + at * 2], page[13 + at * 2]]));
    (0..cells).map(|at| number(cell(at)) - 1).collect()
}

#[test]
fn a_zeroed_interior_page_costs_nothing() {
    for table in ["messages", "sessions"] {
        let (report, saved, original) = after(|files, bytes| {
            let start = (root(files, table) - 1) * PAGE_BYTES;
            bytes[start..start + PAGE_BYTES].fill(0);
        });
        assert_eq!(report.pages_lost, 1);
        if table == "messages" {
            assert_eq!(lost(&saved, &original), 0);
            assert_eq!(
                dump(&saved, "messages", MESSAGES),
                dump(&original, "messages", MESSAGES)
            );
            assert_eq!(report.mended, Default::default());
        }
    }
}

#[test]
fn a_flipped_byte_in_a_leaf_costs_one_row_at_most() {
    let files = filled();
    let sound = bytes(&files, PATH);
    let leaves = leaves(&files, &sound);
    let mut random = Random(11);
    let mut costly = 0;
    for round in 0..40 {
        let at = leaves[random.below(leaves.len())] * PAGE_BYTES + 8 + random.below(PAGE_BYTES - 8);
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << random.below(8);
        let (report, saved) = salvage(&with_bytes(PATH, &damaged));
        assert_eq!(report.pages_changed, 1, "round {round}");
        let expected = dump(&files, "messages", "key, id, text");
        let found = dump(&saved, "messages", "key, id, text");
        let missing = expected.iter().filter(|row| !found.contains(row)).count();
        assert!(
            missing <= 1,
            "round {round}, byte {at}: {missing} rows changed or went: {:?}",
            report.problems
        );
        costly += missing;
    }
    assert!(costly > 5, "the damage was felt");
}

#[test]
fn a_lost_leaf_costs_its_own_rows_and_no_others() {
    let mut on_page = 0;
    let (report, saved, original) = after(|files, bytes| {
        let page = leaves(files, bytes)[4];
        on_page = usize::from(u16::from_be_bytes([
            bytes[page * PAGE_BYTES + 3],
            bytes[page * PAGE_BYTES + 4],
        ]));
        bytes[page * PAGE_BYTES..][..PAGE_BYTES].fill(0xA5);
    });
    assert_eq!(report.pages_lost, 1);
    assert_eq!(lost(&saved, &original), on_page);
    assert!(
        report.mended.messages_missing > 0,
        "sessions had counted them"
    );
}

#[test]
fn a_truncated_file_gives_what_is_left_of_it() {
    let mut kept_leaves = 0;
    let (report, saved, original) = after(|files, bytes| {
        let half = bytes.len() / 2 / PAGE_BYTES * PAGE_BYTES + 100;
        kept_leaves = leaves(files, bytes)
            .iter()
            .filter(|page| (**page + 1) * PAGE_BYTES <= half)
            .count();
        bytes.truncate(half);
    });
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.contains("pages before its stated end")),
        "{:?}",
        report.problems
    );
    assert!(kept_leaves > 5);
    let lost = lost(&saved, &original);
    assert!(lost > 50 && lost < 400, "{lost} lost");
}

#[test]
fn a_garbage_first_page_costs_nothing_of_the_content() {
    for garbage in [0, 0xff, b'x'] {
        let (report, saved, original) = after(|_, bytes| bytes[..PAGE_BYTES].fill(garbage));
        assert!(
            report.problems[0].contains("header"),
            "{:?}",
            report.problems
        );
        for (table, columns) in [
            ("messages", MESSAGES),
            ("sessions", "key, id, head, message_count"),
            ("bots", "key, id, name"),
        ] {
            assert_eq!(
                dump(&saved, table, columns),
                dump(&original, table, columns),
                "{table}"
            );
        }
    }
}

#[test]
fn messages_whose_session_is_gone_get_a_recovered_one() {
    let files = filled();
    break_with(
        &files,
        "DROP TRIGGER sessions_delete_messages; DELETE FROM sessions WHERE key = 3; DELETE FROM bots WHERE id = 'ada'",
    );
    let (report, saved) = salvage(&files);
    assert_eq!(report.mended.sessions_made, 1);
    assert!(report.mended.bots_cleared > 0);
    let (id, title): (String, String) = connect(&saved, PATH)
        .query_row("SELECT id, title FROM sessions WHERE key = 3", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!(id.starts_with("recovered-3-"), "{id}");
    assert_eq!(title, "Recovered messages");
    let mut chats = open(&saved).unwrap();
    assert_eq!(
        chats.path(&id).len(),
        22,
        "the path that was active: 21 and two of the branch, without the trash"
    );
    assert_eq!(chats.get(&id, "m5").unwrap().text, text(2, 5, 6_000));
    chats.expect_sound();
}

#[test]
fn rows_that_break_a_rule_are_mended_or_counted() {
    let files = filled();
    break_with(
        &files,
        "UPDATE messages SET metadata = '{' WHERE key = (1 << 32) + 1;
         UPDATE messages SET text = CAST(x'66ff6f' AS TEXT) WHERE key = (1 << 32) + 2;
         UPDATE messages SET role = '' WHERE key = (1 << 32) + 3;
         UPDATE messages SET parent = (1 << 32) WHERE key = (1 << 32) + 25;
         UPDATE sessions SET pinned = 5, status = 'lost' WHERE key = 2;
         UPDATE sessions SET message_count = -4, head = 7 WHERE key = 3",
    );
    let (report, saved) = salvage(&files);
    let messages = report
        .tables
        .iter()
        .find(|table| table.name == "messages")
        .unwrap();
    assert_eq!(
        (messages.mended, messages.refused),
        (2, 1),
        "{:?}",
        report.problems
    );
    let sessions = report
        .tables
        .iter()
        .find(|table| table.name == "sessions")
        .unwrap();
    assert_eq!(
        (sessions.mended, sessions.refused),
        (2, 0),
        "{:?}",
        report.problems
    );
    assert_eq!(report.problems.len(), 5, "{:?}", report.problems);
    let text: String = value(
        &saved,
        PATH,
        "SELECT text FROM messages WHERE key = (1 << 32) + 2",
    );
    assert_eq!(text, "f\u{fffd}o");
    assert_eq!(report.mended.messages_missing, 1);
    assert_eq!(
        report.mended.parents, 2,
        "that of the refused message's child too"
    );
}

#[test]
fn a_session_whose_tags_are_no_json_any_more_keeps_the_rest() {
    let (report, saved, _) = after(|_, bytes| {
        // Status and tags lie side by side in a record. No SQL would write such tags.
        let found = |at: &usize| bytes[*at..].starts_with(b"active[]");
        let places: Vec<usize> = (0..bytes.len()).filter(found).collect();
        for at in places {
            bytes[at + 6] = b'{';
        }
    });
    let sessions = report
        .tables
        .iter()
        .find(|table| table.name == "sessions")
        .unwrap();
    assert_eq!(
        (sessions.rows, sessions.mended),
        (10, 10),
        "{:?}",
        report.problems
    );
    let sql = "SELECT count(*) FROM sessions WHERE tags = '[]'";
    assert_eq!(value::<i64>(&saved, PATH, sql), 10);
}

#[test]
fn a_store_with_content_is_not_written_over() {
    let files = filled();
    write(&files, NEW, &bytes(&files, PATH));
    let new = connect(&files, NEW);
    let error = Salvage::begin(&*files, PATH, &new).map(drop).unwrap_err();
    assert_eq!(error.code().as_str(), "INVALID_ARGUMENT");
}

#[test]
fn no_damage_makes_it_fail_or_hang() {
    let files = Files::default();
    let mut chats = open(&files).unwrap();
    fill(&mut chats);
    chats.engine.close().unwrap();
    let sound = bytes(&files, PATH);
    let rounds =
        std::env::var("CHATSTORE_ROUNDS").map_or(25, |rounds| rounds.parse().expect("a number"));
    for seed in 1..=rounds {
        let mut random = Random(seed * 0x9E37_79B9);
        let mut damaged = sound.clone();
        stores::mutate(&mut random, &mut damaged);
        println!("seed {seed}");
        let (report, _) = salvage(&with_bytes(PATH, &damaged));
        assert!(report.problems.len() <= 1_000);
    }
}

#[test]
fn a_file_that_is_no_database_gives_an_empty_store() {
    for content in [
        Vec::new(),
        b"hello".to_vec(),
        vec![13; 50_000],
        vec![0; 9_000],
    ] {
        let (report, saved) = salvage(&with_bytes(PATH, &content));
        assert!(report.tables.iter().all(|table| table.rows == 0));
        assert!(report.problems[0].contains("header"));
        open(&saved).unwrap().session("usable", None);
    }
    let missing = Files::default();
    let new = connect(&missing, NEW);
    schema::prepare(&new, NEW).unwrap();
    assert!(Salvage::begin(&*missing, PATH, &new).is_err());
    assert!(
        missing.open(PATH, OpenMode::default()).is_err(),
        "it was not made"
    );
}
