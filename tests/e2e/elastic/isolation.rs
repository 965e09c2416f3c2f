//! What is not the caller's is not there, whoever asks in whatever way; and nothing is changed.

use serde_json::{Value, json};

use super::{fill, nth, search, with_role};
use crate::harness::{Client, Server};

fn refused(client: &Client, method: &str, path: &str, body: &Value, status: u16, kind: &str) -> Value {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let answer = client.request(method, path, &[("content-type", "application/json")], &body);
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    let said = answer.json();
    assert_eq!(said["status"], status, "{said}");
    assert_eq!(said["error"]["type"], kind, "{method} {path}: {said}");
    assert_eq!(said["error"]["root_cause"][0]["type"], kind, "{said}");
    said
}

#[test]
fn foreign_and_unknown_indices_are_alike() {
    let server = Server::start();
    let admin = server.client();
    fill(&admin, 20);
    assert_eq!(admin.request("PUT", "/v1/tenants/acme", &[], b"").status, 201);
    let line = format!("{{\"index\":{{}}}}\n{}\n", nth(1));
    assert_eq!(admin.post_ndjson("/es/acme/_bulk", &line).json()["errors"], false);
    let (acme, _) = with_role(&server, "reader", Some("acme"));
    let none = "index_not_found_exception";
    for (method, path) in [
        ("POST", "INDEX/_search"),
        ("GET", "INDEX/_search?q=x"),
        ("POST", "INDEX/_search?scroll=1m"),
        ("POST", "INDEX/_count"),
        ("GET", "INDEX/_mapping"),
        ("GET", "INDEX/_field_caps?fields=*"),
        ("GET", "INDEX/_doc/default-1"),
        ("GET", "INDEX/_source/default-1"),
        ("GET", "_cat/indices/INDEX"),
        ("GET", "INDEX/_settings"),
        ("GET", "INDEX/_alias"),
        ("GET", "_resolve/index/INDEX"),
        ("GET", "_cluster/health/INDEX"),
        ("POST", "INDEX/_pit?keep_alive=1m"),
        ("GET", "INDEX"),
    ] {
        let ask = |index: &str| {
            let path = format!("/es/{}", path.replace("INDEX", index));
            let mut said = refused(&acme, method, &path, &Value::Null, 404, none).to_string();
            said = said.replace(index, "INDEX");
            said
        };
        assert_eq!(ask("default"), ask("nothing"), "{path}");
    }
    assert_eq!(acme.request("HEAD", "/es/default", &[], b"").status, 404);
    // Patterns, lists and `_all` stand for what the caller may read.
    let count = |path: &str| acme.post_json(path, &json!({})).json()["count"].clone();
    for path in [
        "/es/_count",
        "/es/_all/_count",
        "/es/*/_count",
        "/es/a*/_count",
        "/es/acme/_count",
    ] {
        assert_eq!(count(path), 1, "{path}");
    }
    let listed = |client: &Client| client.get("/es/_cat/indices?format=json&h=index").json();
    assert_eq!(listed(&acme), json!([{"index": "acme"}]));
    assert_eq!(listed(&admin), json!([{"index": "acme"}, {"index": "default"}]));
    let both = "/es/acme,default/_search";
    refused(&acme, "POST", both, &Value::Null, 404, none);
    refused(
        &admin,
        "POST",
        both,
        &Value::Null,
        400,
        "illegal_argument_exception",
    );
    // Tokens of another's grant nothing.
    let scroll = admin
        .post_json("/es/default/_search?scroll=1m", &json!({"size": 1}))
        .json();
    refused(
        &acme,
        "POST",
        "/es/_search/scroll",
        &json!({"scroll_id": scroll["_scroll_id"]}),
        404,
        none,
    );
    let pit = admin
        .request("POST", "/es/default/_pit?keep_alive=1m", &[], b"")
        .json();
    refused(
        &acme,
        "POST",
        "/es/_search",
        &json!({"pit": {"id": pit["id"]}}),
        404,
        none,
    );
    // Who only appends does not read.
    let (writer, _) = with_role(&server, "ingest", Some("acme"));
    refused(
        &writer,
        "POST",
        "/es/acme/_search",
        &Value::Null,
        403,
        "security_exception",
    );
    refused(
        &writer,
        "POST",
        "/es/_search",
        &Value::Null,
        403,
        "security_exception",
    );
    let nobody = Client::new(server.base(), "");
    refused(
        &nobody,
        "POST",
        "/es/acme/_search",
        &Value::Null,
        401,
        "security_exception",
    );
    refused(
        &nobody,
        "GET",
        "/api/v1/indexes",
        &Value::Null,
        401,
        "security_exception",
    );
}

#[test]
fn nothing_is_changed() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 5);
    let kind = "illegal_argument_exception";
    for (method, path) in [
        ("PUT", "default"),
        ("DELETE", "default"),
        ("PUT", "default/_doc/1"),
        ("POST", "default/_doc"),
        ("DELETE", "default/_doc/default-1"),
        ("POST", "default/_update/1"),
        ("POST", "default/_delete_by_query"),
        ("PUT", "default/_mapping"),
        ("PUT", "default/_settings"),
        ("POST", "_aliases"),
        ("PUT", "_cluster/settings"),
        ("POST", "_reindex"),
    ] {
        refused(&client, method, &format!("/es/{path}"), &json!({}), 405, kind);
    }
    refused(&client, "GET", "/es/_nodes/stats", &Value::Null, 400, kind);
    assert_eq!(client.count("default", "actor.id:svc_*"), 5);
}

#[test]
fn readers_learn_nothing_about_people() {
    let server = Server::start();
    let admin = server.client();
    fill(&admin, 30);
    let (reader, _) = with_role(&server, "reader", None);
    for query in [
        json!({"term": {"actor.id": "u_ann"}}),
        json!({"terms": {"user.id": ["u_ann", "u_bob"]}}),
        json!({"prefix": {"actor.id": "u_"}}),
        json!({"wildcard": {"actor.id": "u_*n"}}),
        json!({"match": {"actor.name": "Ann Example"}}),
        json!({"match": {"message": "example"}}),
        json!({"match_phrase": {"*": "ann example"}}),
        json!({"match_phrase_prefix": {"*": "ann exam"}}),
        json!({"multi_match": {"query": "Ann Example", "fields": ["actor.name", "*"]}}),
        json!({"exists": {"field": "actor.name"}}),
        json!({"range": {"ip": {"gte": "203.0.113.0", "lte": "203.0.113.255"}}}),
        json!({"term": {"source.ip": "203.0.113.0/24"}}),
        json!({"range": {"actor.id": {"gte": "u_", "lt": "v"}}}),
        json!({"query_string": {"query": "ann OR user.name:Bob*"}}),
        json!({"bool": {"should": [{"query_string": {"query": "u_bob", "default_field": "actor.id"}}]}}),
        json!({"constant_score": {"filter": {"term": {"actor.name": "Ann Example"}}}}),
    ] {
        let body = json!({"query": query, "aggs": {"f": {"filter": query}}});
        let (closed, open) = (search(&reader, &body), search(&admin, &body));
        assert_eq!(closed["hits"]["total"]["value"], 0, "{query} finds people");
        assert_eq!(
            closed["aggregations"]["f"]["doc_count"], 0,
            "{query} counts people"
        );
        assert!(
            open["hits"]["total"]["value"].as_u64().unwrap() > 0,
            "{query} finds nothing at all"
        );
    }
    let body = json!({
        "query": {"prefix": {"action": "people."}}, "size": 10, "fields": ["*", "user.name"],
        "sort": [{"actor.id": "desc"}], "highlight": {"fields": {"*": {}}},
        "aggs": {
            "who": {"terms": {"field": "actor.id"}}, "where": {"terms": {"field": "ip"}},
            "different": {"cardinality": {"field": "actor.id"}},
        },
    });
    let (closed, open) = (search(&reader, &body), search(&admin, &body));
    let said = closed.to_string();
    assert_eq!(closed["hits"]["hits"].as_array().unwrap().len(), 2);
    for person in ["u_ann", "u_bob", "Ann", "Bob", "203.0.113.9"] {
        assert!(!said.contains(person), "{person} in {said}");
    }
    assert!(open.to_string().contains("u_ann"));
    assert_eq!(closed["aggregations"]["different"]["value"], 1);
    assert_eq!(open["aggregations"]["different"]["value"], 2);
    let fields = |client: &Client| client.get("/es/default/_field_caps?fields=*").json()["fields"].clone();
    for field in [
        "actor.name",
        "user.name",
        "source.ip",
        "ip",
        "actor.email",
        "context.user_agent",
    ] {
        assert!(fields(&reader).get(field).is_none(), "{field}");
        assert!(fields(&admin).get(field).is_some(), "{field}");
    }
}

#[test]
fn limits_and_deadlines_have_elasticsearchs_shape() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 50);
    let ask =
        |body: &Value, status, kind| refused(&client, "POST", "/es/default/_search", body, status, kind);
    let many: Vec<Value> = (0..65)
        .map(|n| json!({"term": {"kind": n.to_string()}}))
        .collect();
    ask(
        &json!({"query": {"bool": {"should": many}}}),
        400,
        "parsing_exception",
    );
    ask(
        &json!({"query": {"term": {"actr.id": "x"}}}),
        400,
        "parsing_exception",
    );
    ask(
        &json!({"query": {"wildcard": {"actor.id": "*x"}}}),
        400,
        "parsing_exception",
    );
    ask(&json!({"sort": "actor.name"}), 400, "parsing_exception");
    ask(&json!({"size": 10_001}), 400, "illegal_argument_exception");
    let seconds = json!({"s": {"date_histogram": {
        "field": "@timestamp", "fixed_interval": "1ms",
        "extended_bounds": {"min": 0, "max": 1_795_305_600_000_u64},
    }}});
    ask(
        &json!({"size": 0, "aggs": seconds}),
        422,
        "too_many_buckets_exception",
    );
    // In the media type that official clients ask for.
    let accept = [("accept", "application/vnd.elasticsearch+json; compatible-with=9")];
    let answer = client.request("GET", "/es/default/_search", &accept, b"");
    assert_eq!(
        answer.content_type,
        "application/vnd.elasticsearch+json;compatible-with=9"
    );
}
