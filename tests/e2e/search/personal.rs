//! Personal fields are closed to readers: in queries, sort, aggregations, projection and highlights.

use serde_json::{Value, json};

use super::{append, ask, nth, seqs};
use crate::harness::{Client, Server};

fn reader(server: &Server) -> Client {
    let file = server.home().join("reader");
    server.cli_ok(&[
        "credential",
        "create",
        "--role",
        "reader",
        "--name",
        "a reader",
        "--secret-file",
        file.to_str().unwrap(),
    ]);
    let secret = std::fs::read_to_string(file).unwrap();
    Client::new(server.base(), secret.trim())
}

#[test]
fn readers_learn_nothing_about_people_in_any_clause() {
    let mut server = Server::start();
    append(
        &server.client(),
        "default",
        &(0..200).map(nth).collect::<Vec<_>>(),
    );
    closed(&server, &reader(&server));
    // Once more from sealed files.
    server.stop();
    server.run();
    let secret = std::fs::read_to_string(server.home().join("reader")).unwrap();
    closed(&server, &Client::new(server.base(), secret.trim()));
}

fn closed(server: &Server, reader: &Client) {
    let investigator = server.client();
    let both = |body: &Value| (ask(reader, "default", body), ask(&investigator, "default", body));
    let queries = [
        "actor.id:u_5",
        "actor.id:u_*",
        "actor.name:\"Person5 Example\"",
        "person5",
        "ip:198.51.100.0/24 actor.type:user",
        "actor.id:IN [u_5 u_8]",
        "user.name:Person*",
        "outcome:denied u_0",
    ];
    for query in queries {
        let (closed, open) = both(&json!({"query": query, "count": true, "highlight": true}));
        assert_eq!(closed["count"], 0, "{query} finds people: {closed}");
        assert!(
            open["count"].as_u64().unwrap() > 0,
            "{query} finds nothing at all"
        );
    }
    // What is negated tells nothing either.
    let (closed, open) = both(&json!({"query": "NOT actor.id:u_5", "count": true, "limit": 0}));
    assert_eq!(closed["count"], 200);
    assert!(open["count"].as_u64().unwrap() < 200);

    // Sorting by a personal field leaves people in the order of the log.
    let (closed, open) = both(&json!({"query": "actor.type:user", "sort": "actor.id:asc", "limit": 150}));
    let order = seqs(&closed);
    assert!(order.is_sorted() || order.iter().rev().is_sorted(), "{order:?}");
    let order = seqs(&open);
    assert!(!order.is_sorted() && !order.iter().rev().is_sorted(), "{order:?}");
    closed_text(&closed);

    let aggs = json!({
        "actors": {"terms": {"field": "actor.id", "size": 100}},
        "people": {"cardinality": {"field": "actor.id"}},
        "addresses": {"terms": {"field": "context.ip", "size": 100}},
        "one": {"filter": {"query": "actor.id:u_5"}},
        "days": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1d"}, "aggs": {"actors": {"terms": {"field": "user.id"}}}},
    });
    let (closed, open) = both(&json!({"aggs": aggs, "limit": 0}));
    closed_text(&closed);
    assert_eq!(closed["aggregations"]["one"]["doc_count"], 0);
    assert!(open["aggregations"]["one"]["doc_count"].as_u64().unwrap() > 0);
    assert!(
        closed["aggregations"]["people"]["value"].as_u64().unwrap() <= 4,
        "three services, and people as one"
    );
    assert!(open["aggregations"]["people"]["value"].as_u64().unwrap() > 15);
    assert!(open.to_string().contains("u_5"));

    let fields = json!({"fields": ["actor.id", "actor.name", "context.ip"], "query": "outcome:denied"});
    let (closed, open) = both(&fields);
    closed_text(&closed);
    assert!(closed.to_string().contains("[personal]"));
    assert!(open.to_string().contains("198.51.100."));

    for query in ["_p.actor.id:u_5", "_p.terms:u_5", "actor.id_p:u_5"] {
        let answer = reader.post_json("/v1/tenants/default/search", &json!({"query": query}));
        answer.problem(400, "invalid_query");
    }
    for field in ["_p.actor.id", "_p.terms"] {
        let aggs = json!({"aggs": {"a": {"terms": {"field": field}}}});
        reader
            .post_json("/v1/tenants/default/search", &aggs)
            .problem(400, "invalid_query");
        reader
            .post_json("/v1/tenants/default/search", &json!({"sort": field}))
            .problem(400, "invalid_query");
    }
    // A cursor does not lend its permission.
    let body = json!({"query": "outcome:denied", "limit": 2});
    let mut with = body.clone();
    with["cursor"] = ask(&investigator, "default", &body)["cursor"].clone();
    reader
        .post_json("/v1/tenants/default/search", &with)
        .problem(400, "invalid_cursor");
}

/// Nothing of what an investigator sees of people is in an answer.
fn closed_text(answer: &Value) {
    let text = answer.to_string();
    for personal in ["u_", "Person", "198.51.100."] {
        assert!(!text.contains(personal), "{personal} is in {text:.2000}");
    }
}
