//! Checking a store: a sound one has no problems, and each rule is seen to be broken.
#![cfg(not(target_arch = "wasm32"))]

#[path = "support/maintain.rs"]
mod stores;
mod support;

use chatstore::maintain::verify::{PROBLEMS, compare_index};
use chatstore::maintain::{Problem, ProblemKind, Progress, SavedPage, Verify, to_the_end};
use stores::{
    Files, PATH, break_with, bytes, connect, filled, open, value, verify, write, write_resealed,
};

#[test]
fn a_sound_store_has_no_problems_and_all_of_it_is_looked_at() {
    let files = filled();
    let report = verify(&files);
    assert_eq!(report.problems, []);
    assert!(report.ok);
    assert_eq!(report.more_problems, 0);
    let count = |sql| value::<i64>(&files, PATH, sql) as u64;
    assert_eq!(
        report.checked.messages,
        count("SELECT count(*) FROM messages")
    );
    assert_eq!(report.checked.sessions, 10);
    assert_eq!(report.checked.pages, count("PRAGMA page_count"));
    assert_eq!(report.checked.search_entries, report.checked.messages - 1);
    assert_eq!(
        report.checked.tables,
        1 + count("SELECT count(*) FROM sqlite_schema WHERE type = 'table'")
    );
}

#[test]
fn an_empty_store_and_one_with_free_pages_are_sound() {
    let files = Files::default();
    open(&files).unwrap().engine.close().unwrap();
    assert_eq!(verify(&files).problems, []);
    let files = filled();
    break_with(&files, "DELETE FROM sessions WHERE key > 4");
    assert!(value::<i64>(&files, PATH, "PRAGMA freelist_count") > 5);
    assert_eq!(verify(&files).problems, []);
}

/// A reply that has just begun is one.
#[test]
fn a_store_whose_newest_message_is_empty_is_sound() {
    let files = Files::default();
    let mut chats = open(&files).unwrap();
    chats.session("s", None);
    chats.add("s", "m", "");
    chats.engine.close().unwrap();
    assert_eq!(verify(&files).problems, []);
}

/// The place of a message that is gone is taken before the index has forgotten it.
#[test]
fn a_store_whose_newest_session_was_deleted_and_made_anew_is_sound() {
    let files = Files::default();
    let mut chats = open(&files).unwrap();
    chats.session("s", None);
    chats.add("s", "m", "before");
    assert_eq!(chats.found("before"), ["m"]);
    let request = chatstore::Request::SessionsDelete {
        id: "s".into(),
        permanent: true,
    };
    chats.call(request).unwrap();
    chats.session("s", None);
    chats.add("s", "m", "behind");
    chats.engine.close().unwrap();
    assert_eq!(verify(&files).problems, []);
    let mut chats = open(&files).unwrap();
    assert_eq!(chats.found("before"), [""; 0]);
    assert_eq!(chats.found("behind"), ["m"]);
}

/// What a check finds after this SQL: the kinds, and the first detail.
fn found(sql: &str) -> (Vec<ProblemKind>, String) {
    let files = filled();
    break_with(&files, sql);
    let report = verify(&files);
    assert!(!report.ok, "{sql} is not seen");
    let mut kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
    kinds.dedup();
    let first = &report.problems[0];
    (
        kinds,
        format!("{} {:?} {}", first.table, first.key, first.detail),
    )
}

#[test]
fn each_rule_that_no_constraint_can_state_is_checked() {
    use ProblemKind::*;
    const M3: &str = "key = (1 << 32) + 3";
    for (sql, kind) in [
        (
            "UPDATE sessions SET message_count = message_count + 1 WHERE key = 2".to_owned(),
            Summary,
        ),
        (
            "UPDATE sessions SET last_message_at = 5 WHERE key = 2".to_owned(),
            Summary,
        ),
        (
            "UPDATE sessions SET preview = 'other' WHERE key = 2".to_owned(),
            Summary,
        ),
        (
            "UPDATE sessions SET next_seq = 5 WHERE key = 2".to_owned(),
            NextSeq,
        ),
        (
            format!("UPDATE messages SET active = 0 WHERE {M3}"),
            ActivePath,
        ),
        (
            "UPDATE messages SET active = 1 WHERE key = (1 << 32) + 30".to_owned(),
            ActivePath,
        ),
        (
            "UPDATE sessions SET head = (2 << 32) + 1000 WHERE key = 2".to_owned(),
            ActivePath,
        ),
        (
            "UPDATE sessions SET head = NULL WHERE key = 2".to_owned(),
            ActivePath,
        ),
        (
            "UPDATE messages SET parent = (1 << 32) WHERE key = (1 << 32) + 31".to_owned(),
            Parent,
        ),
        ("DELETE FROM search_pending".to_owned(), Search),
        (
            "UPDATE search_pending SET from_key = (1 << 32) + 2".to_owned(),
            Search,
        ),
        (
            "INSERT INTO search_stale VALUES (77, 'no such entry')".to_owned(),
            Search,
        ),
        (
            "INSERT INTO messages_fts (rowid, text) VALUES (77, 'extra')".to_owned(),
            Search,
        ),
        (
            "INSERT INTO message_deltas VALUES ((1 << 32) + 1, 'text', 'x', 3)".to_owned(),
            Stream,
        ),
        (
            "DELETE FROM store_meta WHERE name = 'generation'".to_owned(),
            Meta,
        ),
        (
            "UPDATE store_meta SET value = 'x' WHERE name = 'epoch'".to_owned(),
            Meta,
        ),
        ("DROP INDEX messages_branch".to_owned(), Schema),
        ("DROP TRIGGER messages_search_update".to_owned(), Schema),
        (
            "DROP INDEX messages_trash; CREATE INDEX messages_trash ON messages (deleted_at)"
                .to_owned(),
            Schema,
        ),
        (
            "UPDATE messages SET bot = 99 WHERE key = (1 << 32) + 3".to_owned(),
            ForeignKey,
        ),
        (
            "UPDATE sessions SET key = 50, head = NULL WHERE key = 3".to_owned(),
            ForeignKey,
        ),
        (
            format!("UPDATE messages SET role = '' WHERE {M3}"),
            Integrity,
        ),
        (
            format!("UPDATE messages SET metadata = '[' WHERE {M3}"),
            Integrity,
        ),
        (
            "UPDATE sessions SET pinned = 7 WHERE key = 1".to_owned(),
            Integrity,
        ),
    ] {
        let (kinds, first) = found(&sql);
        assert!(
            kinds.contains(&kind),
            "{sql}: expected {kind:?}, found {kinds:?}: {first}"
        );
    }
}

#[test]
fn a_message_that_another_program_wrote_is_seen_where_it_is_not_indexed() {
    let files = filled();
    break_with(
        &files,
        "INSERT INTO messages (key, session, id, role, text, parent, active)
           SELECT (2 << 32) + next_seq, 2, 'foreign', 'user', 'from elsewhere', head, 1 FROM sessions WHERE key = 2;
         UPDATE sessions SET head = (2 << 32) + next_seq, next_seq = next_seq + 1, message_count = message_count + 1,
           last_message_at = (SELECT created_at FROM messages WHERE id = 'foreign'), preview = 'from elsewhere' WHERE key = 2",
    );
    let report = verify(&files);
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert_eq!(report.problems[0].kind, ProblemKind::Search);
    assert_eq!(report.problems[0].table, "messages");
}

#[test]
fn words_of_the_index_are_compared_with_the_texts_where_it_is_in_step() {
    let files = filled();
    let compare = |files: &Files| {
        let connection = connect(files, PATH);
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        compare_index(&connection).unwrap()
    };
    assert_eq!(compare(&files), None, "one message waits");
    open(&files).unwrap().found("anything");
    assert_eq!(compare(&files), Some(true));
    break_with(
        &files,
        "UPDATE messages SET text = 'silently changed' WHERE key = (1 << 32) + 1; DELETE FROM search_stale",
    );
    assert_eq!(verify(&files).problems, [], "the sets of keys agree");
    assert_eq!(compare(&files), Some(false));
}

#[test]
fn a_page_that_is_used_twice_or_not_at_all_is_seen() {
    let files = filled();
    // The list of free pages is cut off, and the pages on it belong to nothing.
    break_with(&files, "DELETE FROM sessions WHERE key > 4");
    let whole = bytes(&files, PATH);
    let mut lost = whole.clone();
    lost[32..40].fill(0);
    write_resealed(&files, &lost);
    let report = verify(&files);
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.detail.ends_with("neither used nor free")),
        "{:?}",
        report.problems
    );
    // A table that is on the list of free pages as well.
    let root: i64 = value(
        &files,
        PATH,
        "SELECT rootpage FROM sqlite_schema WHERE name = 'blobs'",
    );
    let mut twice = whole;
    let trunk = u32::from_be_bytes(twice[32..36].try_into().unwrap()) as usize;
    let first_leaf = (trunk - 1) * 4096 + 8;
    twice[first_leaf..first_leaf + 4].copy_from_slice(&(root as u32).to_be_bytes());
    write_resealed(&files, &twice);
    let report = verify(&files);
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.kind == ProblemKind::Structure),
        "{:?}",
        report.problems
    );
}

#[test]
fn two_indexes_that_share_a_page_are_seen() {
    let files = filled();
    break_with(
        &files,
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'messages_trash')
         WHERE name = 'sessions_trash'",
    );
    let report = verify(&files);
    let shared = |problem: &Problem| problem.detail.ends_with("is used more than once");
    assert!(report.problems.iter().any(shared), "{:?}", report.problems);
}

#[test]
fn a_damaged_page_is_reported_and_the_check_goes_on() {
    let files = filled();
    let mut broken = bytes(&files, PATH);
    let root: i64 = value(
        &files,
        PATH,
        "SELECT rootpage FROM sqlite_schema WHERE name = 'sessions'",
    );
    let start = (root as usize - 1) * 4096;
    broken[start..start + 4096].fill(0);
    write(&files, PATH, &broken);
    let report = verify(&files);
    assert!(!report.ok);
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.table == "sessions"),
        "{:?}",
        report.problems
    );
    assert!(report.checked.tables > 10, "the other tables were checked");
}

#[test]
fn one_changed_byte_on_any_page_is_seen() {
    let files = filled();
    break_with(&files, "DELETE FROM sessions WHERE key > 8");
    let sound = bytes(&files, PATH);
    for page in (1..sound.len() / 4096).step_by(7) {
        let mut changed = sound.clone();
        changed[page * 4096 + 2_345] ^= 1;
        write(&files, PATH, &changed);
        let report = verify(&files);
        let seen = |problem: &Problem| problem.kind == ProblemKind::Checksum;
        assert!(
            report.problems.iter().any(seen),
            "page {}: {:?}",
            page + 1,
            report.problems
        );
    }
}

#[test]
fn pages_in_the_file_are_asked_for_one_by_one() {
    let files = filled();
    let connection = connect(&files, PATH);
    connection.execute_batch("BEGIN").unwrap();
    let mut asked = Vec::new();
    let mut verify = Verify::new();
    let mut saved = |page: u32, _: &mut Vec<u8>| {
        asked.push(page);
        Ok(match page {
            3 => SavedPage::Damaged,
            4 => SavedPage::Unknown,
            _ => SavedPage::Sound,
        })
    };
    let report = to_the_end(|| verify.step(&connection, Some(&mut saved))).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(
        (report.problems[0].kind, report.problems[0].key),
        (ProblemKind::Checksum, Some(3))
    );
    let pages = report.checked.pages as u32;
    assert_eq!(asked, (1..=pages).collect::<Vec<_>>());
    assert_eq!(report.checked.checksums, u64::from(pages) - 1);
}

#[test]
fn a_report_is_bounded_and_counts_what_it_leaves_out() {
    let files = Files::default();
    let mut chats = open(&files).unwrap();
    chats.session("s", None);
    for at in 0..1_500 {
        chats.add("s", &format!("m{at}"), "x");
    }
    chats.engine.close().unwrap();
    break_with(&files, "UPDATE messages SET active = 0");
    let report = verify(&files);
    assert_eq!(report.problems.len(), PROBLEMS);
    assert_eq!(report.more_problems, 502, "two of them about the session");
}

#[test]
fn steps_are_many_and_need_one_open_transaction() {
    let files = Files::default();
    let mut chats = open(&files).unwrap();
    chats.session("s", None);
    let many = (0..12_000).map(|_| chatstore::model::NewMessage {
        text: Some("some text"),
        ..support::message("s")
    });
    chats
        .messages(chatstore::Request::MessagesAdd(many.collect()))
        .unwrap();
    chats.engine.close().unwrap();
    let connection = connect(&files, PATH);
    let mut verify = Verify::new();
    assert_eq!(
        verify.step(&connection, None).unwrap_err().code().as_str(),
        "TRANSACTION_STATE"
    );
    connection.execute_batch("BEGIN").unwrap();
    let mut steps = 0;
    let report = loop {
        steps += 1;
        match verify.step(&connection, None).unwrap() {
            Progress::Working { done, expected, .. } => assert!(done <= expected),
            Progress::Done(report) => break report,
        }
    };
    assert_eq!(report.problems, []);
    assert_eq!(report.checked.messages, 12_000);
    assert!(steps > 25, "{steps} steps");
    assert!(verify.step(&connection, None).is_err());
}

/// Gives the last row in the first page of a table the key of the row before it.
fn repeat_key(files: &Files, table: &str) {
    let sql = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'");
    let mut page: u32 = value(files, PATH, &sql);
    let mut bytes = bytes(files, PATH);
    let number = |bytes: &[u8], at: usize, length: usize| {
        let digits = &bytes[at..at + length];
        digits
            .iter()
            .fold(0, |all, byte| all << 8 | usize::from(*byte))
    };
    let start_of = |page: u32| (page as usize - 1) * 4096;
    // From an inner page to the first below it.
    while bytes[start_of(page)] == 5 {
        let cell = start_of(page) + number(&bytes, start_of(page) + 12, 2);
        page = number(&bytes, cell, 4) as u32;
    }
    let start = start_of(page);
    assert_eq!(bytes[start], 13, "a leaf of a table");
    let end_of_varint = |bytes: &[u8], at: usize| {
        let length = bytes[at..].iter().position(|byte| *byte < 128).unwrap() + 1;
        at + length
    };
    // The key follows the size of the row.
    let key_of = |bytes: &[u8], cell: usize| {
        let at = end_of_varint(bytes, start + number(bytes, start + 8 + 2 * cell, 2));
        at..end_of_varint(bytes, at)
    };
    let cells = number(&bytes, start + 3, 2);
    let (before, last) = (key_of(&bytes, cells - 2), key_of(&bytes, cells - 1));
    assert_eq!(before.len(), last.len());
    bytes.copy_within(before, last.start);
    write_resealed(files, &bytes);
}

#[test]
fn a_check_of_a_table_that_has_a_key_twice_ends() {
    for table in ["sessions", "messages", "messages_fts_docsize"] {
        let files = filled();
        repeat_key(&files, table);
        let connection = connect(&files, PATH);
        connection.execute_batch("BEGIN").unwrap();
        let mut verify = Verify::new();
        let mut steps = 0;
        let report = loop {
            steps += 1;
            assert!(steps < 10_000, "the check of {table} does not end");
            if let Progress::Done(report) = verify.step(&connection, None).unwrap() {
                break report;
            }
        };
        let is_told = |problem: &Problem| problem.detail.contains("out of order");
        assert!(report.problems.iter().any(is_told), "{:?}", report.problems);
    }
}
