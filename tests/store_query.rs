//! Read-only SQL of the caller's own: what it may do, what it may not, and how it fails.

mod support;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use chatstore::Request;
use chatstore::store::query::QueryParams;
use rusqlite::types::Value;
use support::{code, expect_error, open};

#[test]
fn query_reads_tables_functions_and_pragmas_that_only_tell() {
    let mut chats = open();
    chats.session("s", None);
    chats.add("s", "m", "hello world");
    chats.search(chatstore::model::Search::default());
    for (sql, expected) in [
        ("SELECT text FROM messages", "hello world"),
        ("SELECT upper(title) FROM sessions", "NULL"),
        (
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n",
            "15",
        ),
        ("SELECT json_extract('{\"a\":7}', '$.a')", "7"),
        (
            "SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'world'",
            "1",
        ),
        (
            "SELECT name FROM pragma_table_info('bots') WHERE pk = 1",
            "key",
        ),
        ("SELECT count(*) > 0 FROM dbstat", "1"),
        ("PRAGMA integrity_check(1)", "ok"),
        ("PRAGMA page_size", "4096"),
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA application_id", "1130905972"),
        ("VALUES (1)", "1"),
    ] {
        assert_eq!(
            chats
                .query(sql)
                .unwrap_or_else(|error| panic!("{sql}: {error}")),
            [expected],
            "{sql}"
        );
    }
    assert!(
        !chats
            .query("EXPLAIN QUERY PLAN SELECT * FROM messages WHERE key = 1")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn query_refuses_whatever_could_do_more_than_read() {
    let mut chats = open();
    for sql in [
        "INSERT INTO bots (id, name) VALUES ('x', 'x') RETURNING id",
        "UPDATE bots SET name = 'x' RETURNING id",
        "DELETE FROM messages",
        "DROP TABLE bots",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "CREATE VIRTUAL TABLE x USING fts5 (y)",
        "ATTACH ':memory:' AS other",
        "ATTACH '/tmp/chatstore-attached.sqlite' AS other",
        "DETACH main",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT x",
        "VACUUM",
        "VACUUM INTO '/tmp/chatstore-vacuumed.sqlite'",
        "REINDEX",
        "ANALYZE",
        "PRAGMA query_only = 0",
        "PRAGMA synchronous = off",
        "PRAGMA locking_mode = exclusive",
        "PRAGMA journal_mode = delete",
        "PRAGMA hard_heap_limit = 1",
        "PRAGMA soft_heap_limit = 1",
        "PRAGMA user_version = 7",
        "PRAGMA application_id = 7",
        "PRAGMA writable_schema = on",
        "PRAGMA wal_checkpoint(truncate)",
        "PRAGMA cache_size = 1",
        "PRAGMA foreign_keys = off",
        "PRAGMA incremental_vacuum",
        "SELECT load_extension('x')",
        "INSERT INTO messages_fts (messages_fts) VALUES ('delete-all')",
    ] {
        let result = chats.query(sql);
        assert!(
            matches!(
                code(result),
                "QUERY_NOT_ALLOWED" | "INVALID_SQL" | "INVALID_ARGUMENT"
            ),
            "{sql}"
        );
    }
    chats.engine.begin().unwrap();
    chats.in_transaction = true;
    assert_eq!(
        code(chats.query("DELETE FROM bots RETURNING id")),
        "QUERY_NOT_ALLOWED"
    );
    assert_eq!(
        code(chats.query("PRAGMA synchronous = off")),
        "QUERY_NOT_ALLOWED"
    );
    chats.bot("b");
    chats.in_transaction = false;
    chats.engine.commit().unwrap();
    assert_eq!(chats.query("SELECT id FROM bots").unwrap(), ["b"]);
    assert_eq!(chats.query("PRAGMA user_version").unwrap(), ["1"]);
}

#[test]
fn sql_errors_carry_message_and_position() {
    let mut chats = open();
    let error = expect_error(chats.query("SELECT id FROM bots WHERE nme = 1"));
    assert_eq!(error.code().as_str(), "INVALID_SQL");
    assert!(error.message().contains("nme"), "{error}");
    assert_eq!(error.number("offset"), Some(26));
    assert_eq!(
        error.detail("sql"),
        Some("SELECT id FROM bots WHERE nme = 1")
    );
    for sql in ["", "-- nothing", "SELECT 1; SELECT 2", "SELECT 'unclosed"] {
        let error = expect_error(chats.query(sql));
        assert!(
            matches!(error.code().as_str(), "INVALID_SQL" | "INVALID_ARGUMENT"),
            "{sql:?}: {error}"
        );
    }
}

#[test]
fn parameters_are_bound_by_position_and_name_and_must_fit() {
    let mut chats = open();
    let mut run = |sql: &str, params| {
        chats
            .call(Request::Query {
                sql: sql.into(),
                params,
                limit: None,
            })
            .map(|reply| match reply {
                chatstore::Reply::Table(table) => table.cells,
                other => panic!("expected a table, got {other:?}"),
            })
    };
    let values = vec![
        Value::Integer(1),
        Value::Text("a\0b".into()),
        Value::Blob(vec![0, 255]),
        Value::Null,
    ];
    assert_eq!(
        run("SELECT ?, ?, ?, ?", QueryParams::Positional(values.clone())).unwrap(),
        values
    );
    let named = |names: &[&str]| {
        QueryParams::Named(
            names
                .iter()
                .map(|name| ((*name).to_owned(), Value::Real(0.5)))
                .collect(),
        )
    };
    assert_eq!(
        run("SELECT :a + @b + $c", named(&["a", "b", "c"])).unwrap(),
        [Value::Real(1.5)]
    );
    assert_eq!(
        code(run("SELECT ?", QueryParams::Positional(Vec::new()))),
        "INVALID_ARGUMENT"
    );
    assert_eq!(code(run("SELECT :a", named(&["b"]))), "INVALID_ARGUMENT");
    assert_eq!(
        code(run("SELECT :a, :b", named(&["a"]))),
        "INVALID_ARGUMENT"
    );
}

#[test]
fn a_query_with_more_rows_than_its_limit_is_an_error_not_a_cut() {
    let mut chats = open();
    let mut run = |limit| {
        let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 10";
        let request = Request::Query {
            sql: sql.into(),
            params: QueryParams::Positional(Vec::new()),
            limit: Some(limit),
        };
        chats.call(request).map(drop)
    };
    run(10).unwrap();
    assert_eq!(code(run(9)), "TOO_LARGE");
    assert_eq!(code(run(0)), "INVALID_ARGUMENT");
    assert_eq!(code(run(100_001)), "INVALID_ARGUMENT");
}

#[test]
fn a_query_with_more_bytes_than_a_reply_holds_is_an_error_and_the_store_goes_on() {
    let mut chats = open();
    let values = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
        SELECT zeroblob(33554432) FROM n";
    assert_eq!(code(chats.query(values)), "TOO_LARGE");
    assert_eq!(code(chats.query("SELECT zeroblob(268435457)")), "TOO_LARGE");
    assert_eq!(
        chats.query("SELECT length(zeroblob(33554432))").unwrap(),
        ["33554432"]
    );
}

#[test]
fn the_stores_own_lists_are_served_by_its_indexes() {
    let mut chats = open();
    let mut plan = |sql: &str| {
        let rows = chats.query(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        rows.join(" | ")
    };
    for (sql, expected) in [
        (
            "SELECT * FROM sessions s WHERE s.deleted_at IS NULL AND (s.last_active_at, s.key) < (9, 9)
             ORDER BY s.last_active_at DESC, s.key DESC LIMIT 50",
            "USING INDEX sessions_recency (last_active_at<?)",
        ),
        (
            "SELECT * FROM sessions s WHERE s.deleted_at IS NULL AND (s.last_active_at, s.key) < (9, 9) AND s.bot = 1
             ORDER BY s.last_active_at DESC, s.key DESC LIMIT 50",
            "USING INDEX sessions_bot (bot=? AND last_active_at<?)",
        ),
        (
            "SELECT created_at, key FROM messages m WHERE m.bot = 1 AND (m.created_at, m.key) > (1, 1)
             ORDER BY m.created_at, m.key LIMIT 50",
            "INDEX messages_bot (bot=? AND created_at>?)",
        ),
        (
            "SELECT * FROM messages WHERE key BETWEEN 1 AND 2 AND active = 1 AND deleted_at IS NULL ORDER BY key",
            "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        ("SELECT key FROM messages WHERE parent = 5 AND parent <> key - 1", "INDEX messages_branch (parent=?)"),
        ("SELECT key FROM messages WHERE session = 1 AND id = 'x'", "sqlite_autoindex_messages_1 (session=? AND id=?)"),
        ("SELECT key FROM messages WHERE deleted_at < 5", "messages_trash (deleted_at<?)"),
    ] {
        let plan = plan(sql);
        assert!(plan.contains(expected), "{sql}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}
