//! A limit on memory: what does not fit is an error, and the store goes on.
//!
//! In a file of its own, since the limit is that of the whole process.

#[path = "support/clients.rs"]
mod clients;

use chatstore::Request;
use chatstore::engine::Engine;
use chatstore::model::Message;
use chatstore::store::query::QueryParams;
use clients::{Clients, add, code, new_session};

#[test]
fn what_does_not_fit_into_memory_is_an_error_and_the_store_goes_on() {
    let mut clients = Clients::in_memory();
    clients.call(0, new_session("s")).unwrap();
    clients.call(0, add("s", "a", "kept")).unwrap();
    Engine::<Vec<Message>>::limit_memory(64 << 20);
    let query = |sql: &str| Request::Query {
        sql: sql.into(),
        params: QueryParams::Positional(Vec::new()),
        limit: None,
    };
    // A thousand blobs of a megabyte each would have to be sorted.
    let large = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000)
                 SELECT max(length(y)) FROM (SELECT randomblob(1000000) AS y FROM c ORDER BY 1 LIMIT 900)";
    assert_eq!(code(clients.call(0, query(large))), "OUT_OF_MEMORY");
    let text: &'static str = String::leak("x".repeat(60 << 20));
    let too_much = clients.send(1, 0, add("s", "b", text));
    let small = clients.send(2, 0, add("s", "c", "kept too"));
    clients.settle();
    assert_eq!(code(clients.result(too_much)), "OUT_OF_MEMORY");
    clients.result(small).unwrap();
    assert_eq!(clients.ids(0, "s").unwrap(), ["a", "c"]);
    assert_eq!(clients.figure("reopened"), 0);
}
