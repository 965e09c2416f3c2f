//! Saved searches: saved, replaced, run by others, and never more shown than the one who runs them may see.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Server, event};

const SEARCHES: &str = "/v1/tenants/default/searches";

fn credential(client: &Client, base: &str, roles: &[&str]) -> Client {
    let made = client.post_json(
        "/v1/tenants/default/credentials",
        &json!({"name": "somebody", "roles": roles}),
    );
    Client::new(base, made.json()["secret"].as_str().unwrap())
}

fn put(client: &Client, id: &str, tag: Option<&str>, body: &Value) -> Answer {
    let body = serde_json::to_vec(body).unwrap();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(tag.map(|tag| ("if-match", tag)));
    client.request("PUT", &format!("{SEARCHES}/{id}"), &headers, &body)
}

fn run(client: &Client, id: &str, body: &Value) -> Answer {
    client.post_json(&format!("{SEARCHES}/{id}/run"), body)
}

#[test]
fn a_search_is_saved_run_replaced_and_deleted_and_survives_kill_9() {
    let mut server = Server::start();
    server.stay();
    let client = server.client();
    for n in 0..30 {
        let mut event = event(n);
        event["outcome"] = if n % 3 == 0 { "denied" } else { "success" }.into();
        client.post_json("/v1/tenants/default/events", &event);
    }
    let spec = json!({
        "name": "denials", "description": "for the morning", "query": "outcome:denied", "from": "now-25h",
        "sort": "oldest", "fields": ["action", "metadata.n"], "limit": 4,
        "aggs": {"by": {"terms": {"field": "action"}}},
    });
    let saved = client.post_json(SEARCHES, &spec);
    assert_eq!(saved.status, 201, "{}", saved.text());
    let saved = saved.json();
    for (key, value) in spec.as_object().unwrap() {
        assert_eq!(&saved[key], value, "{key}");
    }
    assert_eq!(saved["version"], 1);
    let id = saved["id"].as_str().unwrap();
    server.kill();
    server.run();
    assert_eq!(client.get(&format!("{SEARCHES}/{id}")).json(), saved);
    assert_eq!(client.get(SEARCHES).json()["items"], json!([saved]));
    // All pages, with relative times pinned by `at`.
    let mut body = json!({"count": true});
    let mut seqs = Vec::new();
    loop {
        let page = run(&client, id, &body);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        assert_eq!(page["count"], 10);
        assert_eq!(page["aggregations"]["by"]["buckets"][0]["doc_count"], 10);
        for item in page["items"].as_array().unwrap() {
            assert_eq!(
                item["event"].as_object().unwrap().len(),
                2,
                "only the fields asked for: {item}"
            );
            seqs.push(item["seq"].as_u64().unwrap());
        }
        if page["cursor"].is_null() {
            break;
        }
        assert_eq!(page["items"].as_array().unwrap().len(), 4);
        body["cursor"] = page["cursor"].clone();
        body["at"] = page["at"].clone();
    }
    assert_eq!(seqs, (0..30).step_by(3).collect::<Vec<_>>());
    let old = run(&client, id, &json!({"at": "2020-01-01T00:00:00Z"}));
    assert_eq!(
        old.json()["items"].as_array().unwrap().len(),
        4,
        "`from` alone counts from `at`: {}",
        old.text()
    );
    // Replacing.
    let changed = json!({"name": "denials", "query": "outcome:success"});
    put(&client, id, Some("\"7\""), &changed).problem(412, "changed");
    let answer = put(&client, id, Some("\"1\""), &changed);
    assert_eq!(
        (answer.status, &answer.json()["version"]),
        (200, &json!(2)),
        "{}",
        answer.text()
    );
    assert_eq!(
        run(&client, id, &json!({"limit": 0, "count": true})).json()["count"],
        20
    );
    let delete = |tag| client.request("DELETE", &format!("{SEARCHES}/{id}"), &[("if-match", tag)], &[]);
    delete("\"1\"").problem(412, "changed");
    assert_eq!(delete("\"2\"").status, 204);
    client.get(&format!("{SEARCHES}/{id}")).problem(404, "not_found");
    run(&client, id, &json!({})).problem(404, "not_found");
}

#[test]
fn what_could_not_be_run_is_not_saved() {
    let server = Server::start();
    let client = server.client();
    let refused =
        |spec: Value, status: u16, code: &str| client.post_json(SEARCHES, &spec).problem(status, code);
    refused(json!({"name": "a", "query": "actoor:x"}), 400, "invalid_query");
    refused(json!({"name": "a", "sort": "nothing:asc"}), 400, "invalid_query");
    refused(
        json!({"name": "a", "aggs": {"x": {"bogus": {}}}}),
        400,
        "invalid_query",
    );
    refused(json!({"name": "a", "fields": ["actoor"]}), 400, "invalid_fields");
    refused(json!({"name": "a", "from": "yesterday"}), 400, "invalid_time");
    refused(
        json!({"name": "a", "from": "now-1h", "to": "now-2h"}),
        400,
        "invalid_saved_search",
    );
    refused(json!({"name": "a", "limit": 1001}), 400, "invalid_saved_search");
    refused(json!({"name": "a", "limit": 0}), 400, "invalid_saved_search");
    refused(json!({"name": ""}), 400, "invalid_saved_search");
    refused(json!({"name": " a"}), 400, "invalid_saved_search");
    refused(json!({"name": "a", "nonsense": 1}), 400, "invalid_saved_search");
    assert_eq!(client.post_json(SEARCHES, &json!({"name": "a"})).status, 201);
    refused(json!({"name": "a"}), 409, "exists");
    assert_eq!(client.get(SEARCHES).json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn who_runs_a_search_decides_what_it_sees_and_who_saved_it_who_reads_its_text() {
    let server = Server::start();
    let admin = server.client();
    let investigator = credential(&admin, server.base(), &["investigator"]);
    let reader = credential(&admin, server.base(), &["reader"]);
    let ingest = credential(&admin, server.base(), &["ingest"]);
    for n in 0..3 {
        admin.post_json("/v1/tenants/default/events", &event(n));
    }
    let spec = json!({"name": "ann", "query": "actor.name:Ann"});
    let saved = investigator.post_json(SEARCHES, &spec).json();
    let id = saved["id"].as_str().unwrap();
    let count =
        |client: &Client| run(client, id, &json!({"limit": 0, "count": true})).json()["count"].clone();
    assert_eq!(count(&investigator), 3);
    assert_eq!(count(&reader), 0);
    let seen = reader.get(&format!("{SEARCHES}/{id}")).json();
    assert_eq!(
        (&seen["query"], &seen["name"]),
        (&json!("[personal]"), &json!("ann"))
    );
    assert_eq!(
        investigator.get(&format!("{SEARCHES}/{id}")).json()["query"],
        "actor.name:Ann"
    );
    put(&reader, id, None, &json!({"name": "ann", "query": ""})).problem(403, "forbidden");
    reader
        .request("DELETE", &format!("{SEARCHES}/{id}"), &[], &[])
        .problem(403, "forbidden");
    for path in [SEARCHES.to_owned(), format!("{SEARCHES}/{id}")] {
        ingest.get(&path).problem(403, "forbidden");
    }
    // Another tenant's do not exist.
    admin.request("PUT", "/v1/tenants/other", &[], b"{}");
    admin
        .get(&format!("/v1/tenants/other/searches/{id}"))
        .problem(404, "not_found");
    reader
        .get("/v1/tenants/other/searches")
        .problem(404, "unknown_tenant");
    assert_eq!(
        admin
            .request("DELETE", &format!("{SEARCHES}/{id}"), &[], &[])
            .status,
        204
    );
}
