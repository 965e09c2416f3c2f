//! Everything that a client can get wrong: a problem document with a stable code, and nothing stored.

use std::io::Write;

use serde_json::{Value, json};

use crate::harness::{Client, Server, event};

const EVENTS: &str = "/v1/tenants/default/events";

fn with(changes: Value) -> Vec<u8> {
    let mut event = event(1);
    for (key, value) in changes.as_object().unwrap() {
        event[key] = value.clone();
    }
    serde_json::to_vec(&event).unwrap()
}

fn deep(levels: usize) -> Vec<u8> {
    format!(
        r#"{{"action":"a","actor":{{"type":"user","id":"u"}},"payload":{}1{}}}"#,
        "[".repeat(levels),
        "]".repeat(levels)
    )
    .into_bytes()
}

#[test]
fn single_events_are_refused_with_stable_codes_and_nothing_is_stored() {
    let server = Server::start();
    let client = server.client();
    let cases: Vec<(&str, u16, Vec<u8>)> = vec![
        ("invalid_json", 400, b"{\"action\":".to_vec()),
        ("invalid_json", 400, b"{\"action\":NaN}".to_vec()),
        (
            "duplicate_key",
            400,
            br#"{"action":"a","action":"b","actor":{"type":"user","id":"u"}}"#.to_vec(),
        ),
        (
            "duplicate_key",
            400,
            br#"{"action":"a","actor":{"type":"user","id":"u"},"metadata":{"k":1,"k":2}}"#.to_vec(),
        ),
        ("unknown_field", 422, with(json!({"colour": "red"}))),
        (
            "unknown_field",
            422,
            with(json!({"actor": {"type": "user", "id": "u", "nick": "x"}})),
        ),
        (
            "missing_field",
            422,
            br#"{"actor":{"type":"user","id":"u"}}"#.to_vec(),
        ),
        ("wrong_type", 422, with(json!({"action": 7}))),
        ("wrong_type", 422, with(json!({"targets": {"type": "a"}}))),
        ("server_field", 422, with(json!({"seq": 4}))),
        ("invalid_value", 422, with(json!({"action": "Not An Action"}))),
        ("invalid_value", 422, with(json!({"outcome": "meh"}))),
        ("too_deep", 422, deep(100)),
        ("too_long", 422, with(json!({"justification": "x".repeat(5000)}))),
        (
            "too_many",
            422,
            with(json!({"targets": vec![json!({"type": "t", "id": "i"}); 500]})),
        ),
        ("invalid_time", 422, with(json!({"occurred_at": "yesterday"}))),
        (
            "occurred_in_future",
            422,
            with(json!({"occurred_at": "2999-01-01T00:00:00Z"})),
        ),
        (
            "invalid_utf8",
            400,
            b"{\"action\":\"a\xff\",\"actor\":{\"type\":\"user\",\"id\":\"u\"}}".to_vec(),
        ),
        ("empty_batch", 400, b"  ".to_vec()),
        ("empty_batch", 400, b"[]".to_vec()),
        ("too_long", 422, with(json!({"payload": "x".repeat(300_000)}))),
        (
            "event_too_large",
            413,
            with(
                json!({"payload": "x".repeat(200_000), "metadata": {"k": "x".repeat(60_000)}, "changes": [{"path": "/x", "old": "x".repeat(60_000)}]}),
            ),
        ),
    ];
    for (code, status, body) in cases {
        let answer = client.request("POST", EVENTS, &[("content-type", "application/json")], &body);
        let problem = answer.problem(status, code);
        let shown: String = String::from_utf8_lossy(&body).chars().take(80).collect();
        assert!(
            !answer.text().contains("Ann"),
            "{shown}: the problem repeats a value: {problem}"
        );
    }
    assert_eq!(
        client.get("/v1/tenants/default").json()["size"],
        0,
        "something was stored"
    );
    assert_eq!(
        client.post_json(EVENTS, &event(1)).status,
        201,
        "a good event still lands"
    );
}

#[test]
fn faults_name_the_path() {
    let server = Server::start();
    let body = with(json!({"targets": [{"type": "a", "id": "b"}, {"type": 3, "id": "c"}]}));
    let answer = server
        .client()
        .request("POST", EVENTS, &[("content-type", "application/json")], &body);
    let problem = answer.problem(422, "wrong_type");
    assert_eq!(problem["errors"][0]["path"], "/targets/1/type", "{problem}");
}

#[test]
fn requests_are_refused_before_their_events_are_looked_at() {
    let server = Server::start();
    let client = server.client();
    let good = serde_json::to_vec(&event(1)).unwrap();
    let post = |headers: &[(&str, &str)], body: &[u8]| client.request("POST", EVENTS, headers, body);
    post(&[("content-type", "text/plain")], &good).problem(415, "unsupported_content_type");
    post(
        &[("content-type", "application/json"), ("content-encoding", "br")],
        &good,
    )
    .problem(415, "unsupported_encoding");
    post(
        &[
            ("content-type", "application/json"),
            ("content-encoding", "gzip, gzip"),
        ],
        &good,
    )
    .problem(415, "unsupported_encoding");
    post(
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &good,
    )
    .problem(400, "invalid_encoding");
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 200 << 20]).unwrap();
    post(
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &bomb.finish().unwrap(),
    )
    .problem(413, "body_too_large");
    post(
        &[("content-type", "application/json"), ("attestore-batch", "maybe")],
        &good,
    )
    .problem(400, "invalid_header");
    client
        .request(
            "POST",
            &format!("{EVENTS}?mapping=nope"),
            &[("content-type", "application/json")],
            &good,
        )
        .problem(400, "unknown_mapping");
    client
        .request(
            "POST",
            &format!("{EVENTS}?colour=red"),
            &[("content-type", "application/json")],
            &good,
        )
        .problem(400, "invalid_request");
    client.get("/v1/nowhere").problem(404, "route_not_found");
    client
        .request("DELETE", EVENTS, &[], &[])
        .problem(405, "method_not_allowed");
    client
        .get("/v1/tenants/default/events?q=colour:red")
        .problem(400, "invalid_query");
    client
        .get("/v1/tenants/default/events?limit=0")
        .problem(400, "invalid_limit");
    client
        .get("/v1/tenants/default/events?from=yesterday")
        .problem(400, "invalid_time");
    client
        .get("/v1/tenants/default/events?cursor=abc")
        .problem(400, "invalid_cursor");
    client
        .get("/v1/tenants/default/events/12345")
        .problem(404, "unknown_record");
    client
        .get("/v1/tenants/default/events/not-a-record")
        .problem(400, "invalid_record");
    client
        .request("PUT", "/v1/tenants/Not%20A%20Name", &[], &[])
        .problem(400, "invalid_name");
    assert_eq!(
        client.get("/v1/tenants/default").json()["size"],
        0,
        "something was stored"
    );
}

#[test]
fn credentials_open_their_own_tenant_and_role_only() {
    let server = Server::start();
    let admin = server.client();
    assert_eq!(admin.request("PUT", "/v1/tenants/other", &[], &[]).status, 201);
    let secret = |tenant: &str, role: &str| {
        let answer = admin.post_json(
            &format!("/v1/tenants/{tenant}/credentials"),
            &json!({"name": role, "roles": [role]}),
        );
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    let made = secret("other", "ingest");
    let foreign = Client::new(server.base(), made["secret"].as_str().unwrap());
    let reader = secret("default", "reader");
    let reader = Client::new(server.base(), reader["secret"].as_str().unwrap());

    for bad in ["", "nonsense", "atst_aaaaaaaaaaaa_bbbb"] {
        Client::new(server.base(), bad)
            .get(EVENTS)
            .problem(401, "unauthenticated");
    }
    // A foreign tenant and one that does not exist look the same, on every route.
    for route in [
        "",
        "/events",
        "/events/0",
        "/events/0/proof",
        "/log/checkpoint",
        "/log/vkey",
        "/log/tile/0/000.p/1",
        "/log/consistency?from=0",
        "/credentials",
    ] {
        // Refusals name their request.
        let ask = |tenant| {
            let id = [("x-request-id", "same")];
            foreign.request("GET", &format!("/v1/tenants/{tenant}{route}"), &id, &[])
        };
        let (theirs, nobodys) = (ask("default"), ask("nobody"));
        theirs.problem(404, "unknown_tenant");
        assert_eq!(theirs.body, nobodys.body, "{route}");
    }
    foreign
        .post_json(EVENTS, &event(1))
        .problem(404, "unknown_tenant");
    reader.post_json(EVENTS, &event(1)).problem(403, "forbidden");
    foreign.get("/v1/tenants/other/events").problem(403, "forbidden");
    reader
        .request("PUT", "/v1/tenants/more", &[], &[])
        .problem(403, "forbidden");
    assert_eq!(
        foreign.post_json("/v1/tenants/other/events", &event(1)).status,
        201
    );
    assert_eq!(
        foreign.get("/v1/tenants").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "one tenant sees itself only"
    );

    let id = made["id"].as_str().unwrap();
    assert_eq!(
        admin
            .request("DELETE", &format!("/v1/tenants/other/credentials/{id}"), &[], &[])
            .status,
        204
    );
    foreign
        .post_json("/v1/tenants/other/events", &event(2))
        .problem(401, "unauthenticated");
    let listed = admin.get("/v1/tenants/other/credentials").text();
    assert!(
        !listed.contains(made["secret"].as_str().unwrap()),
        "the list shows a secret"
    );
}

#[test]
fn in_a_batch_the_good_ones_land_and_the_bad_ones_say_why_in_order() {
    let server = Server::start();
    let client = server.client();
    let lines = format!("{}\n{{broken\n{}\n{{\"action\":\"x\"}}\n", event(1), event(2));
    let answer = client.post_ndjson(EVENTS, &lines);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["errors"], true);
    let told: Vec<_> = body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            (
                i["index"].as_u64(),
                i["status"].as_u64(),
                i["error"]["code"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some(0), Some(201), None),
            (Some(1), Some(400), Some("invalid_json")),
            (Some(2), Some(201), None),
            (Some(3), Some(422), Some("missing_field")),
        ]
    );
    assert_eq!(body["tree"]["size"], 2);

    let atomic = client.request(
        "POST",
        EVENTS,
        &[
            ("content-type", "application/x-ndjson"),
            ("attestore-batch", "atomic"),
        ],
        lines.as_bytes(),
    );
    let problem = atomic.problem(422, "batch_refused");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    assert_eq!(
        client.get("/v1/tenants/default").json()["size"],
        2,
        "an atomic batch left something behind"
    );

    let all_good = client.post_json(EVENTS, &json!([event(3), event(4)]));
    assert_eq!(all_good.status, 201);
    assert_eq!(all_good.json()["errors"], false);
}

#[test]
fn idempotency_keys_survive_a_restart() {
    let mut server = Server::start();
    let mut first = event(1);
    first["idempotency_key"] = json!("k-1");
    let answer = server.client().post_json(EVENTS, &first);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let receipt = answer.json();
    for restart in [false, true] {
        if restart {
            server.kill();
            server.run();
        }
        let again = server.client().post_json(EVENTS, &first);
        assert_eq!(again.status, 200, "{}", again.text());
        let again = again.json();
        assert_eq!(again["duplicate"], true);
        assert_eq!(
            (&again["id"], &again["seq"], &again["entry"]),
            (&receipt["id"], &receipt["seq"], &receipt["entry"])
        );
        let mut other = first.clone();
        other["action"] = json!("invoice.delete");
        server
            .client()
            .post_json(EVENTS, &other)
            .problem(409, "idempotency_conflict");
    }
    assert_eq!(server.client().count("default", ""), 1);
}

#[test]
fn a_list_is_no_object_without_names() {
    let server = Server::start();
    let client = server.client();
    let json = [("content-type", "application/json")];
    for (method, path, code) in [
        ("PUT", "/v1/tenants/late", "invalid_tenant"),
        ("PUT", "/v1/tenants/default/quota", "invalid_quota"),
        ("PUT", "/v1/tenants/default/index", "invalid_index_policy"),
        ("POST", "/v1/tenants/default/search", "invalid_search"),
        ("POST", "/v1/tenants/default/searches", "invalid_saved_search"),
        ("POST", "/v1/tenants/default/exports", "invalid_export"),
        ("POST", "/v1/tenants/default/credentials", "invalid_credential"),
    ] {
        for body in ["[]", " [null]", "[10, 10]"] {
            client
                .request(method, path, &json, body.as_bytes())
                .problem(400, code);
        }
    }
    client.get("/v1/tenants/late").problem(404, "unknown_tenant");
}

#[test]
fn records_of_none_for_a_tenant_that_is_not_there_are_refused_too() {
    let server = Server::start();
    let json = [("content-type", "application/json")];
    let client = server.client();
    let ask = |tenant: &str| {
        let path = format!("/v1/tenants/{tenant}/v1/logs");
        client
            .request("POST", &path, &json, b"{\"resourceLogs\":[]}")
            .status
    };
    assert_eq!((ask("default"), ask("nowhere")), (200, 404));
}
