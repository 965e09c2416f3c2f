//! The server's account of itself: every answered request is on record, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestore_http::{Recorded, RouteClass, Row};
use serde_json::{Value, json};

use crate::harness::{Client, Server, event, scale};
use crate::paths::path;
use crate::tail::events::{Listened, PATIENCE, try_listen};

/// Routes whose acts are recorded; tails answer without an end and have a test of their own.
fn recorded() -> Vec<Row> {
    let rows = attestore_http::table().into_iter();
    rows.filter(|row| row.entry.recorded != Recorded::Not && row.entry.class != RouteClass::Tail)
        .collect()
}

fn ask(client: &Client, row: &Row, id: &str) -> Option<u16> {
    let body: &[u8] = match row.method.as_str() {
        "GET" | "DELETE" => b"",
        _ => b"{}",
    };
    let headers = [("content-type", "application/json"), ("x-request-id", id)];
    client
        .try_request(row.method.as_str(), &path(row, "acme"), &headers, body)
        .ok()
        .map(|answer| answer.status)
}

fn prepared() -> Server {
    let server = Server::start();
    let client = server.client();
    assert!(client.request("PUT", "/v1/tenants/acme", &[], b"{}").status < 300);
    for n in 0..3 {
        assert_eq!(client.post_json("/v1/tenants/acme/events", &event(n)).status, 201);
    }
    server
}

/// The acts on record, by request id.
fn acts(server: &Server) -> BTreeMap<String, Vec<Value>> {
    let mut acts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in server.client().all("_system", "context.request_id:*") {
        let id = record["event"]["context"]["request_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        acts.entry(id).or_default().push(record["event"].clone());
    }
    acts
}

#[test]
fn every_kind_of_request_that_is_answered_has_its_record() {
    let server = prepared();
    let client = server.client();
    let mut asked = Vec::new();
    for (number, row) in recorded().into_iter().enumerate() {
        let id = format!("kind-{number}");
        let status = ask(&client, &row, &id).unwrap();
        assert_ne!(status, 503, "{} {}", row.method, row.path);
        asked.push((id, row, status));
    }
    let acts = acts(&server);
    for (id, row, status) in &asked {
        let found = acts
            .get(id)
            .unwrap_or_else(|| panic!("{} {} ({status}) has no record", row.method, row.path));
        let first = &found[0];
        assert_eq!(first["metadata"]["route"], row.path.as_str(), "{first}");
        assert_eq!(first["metadata"]["method"], row.method.as_str());
        assert_eq!(first["metadata"]["permission"], row.entry.permission_name());
        assert!(first["actor"]["id"].is_string(), "{first}");
        if *status >= 400 {
            let told = found
                .iter()
                .any(|act| act["metadata"]["status"] == *status && act["outcome"] != "success");
            assert!(told, "{status}: {found:?}");
        }
    }
    println!("{} routes", asked.len());
}

#[test]
fn what_was_answered_before_a_kill_is_on_record_after_it() {
    let mut server = prepared();
    let rows = recorded();
    let rounds = scale("ATTESTORE_AUDIT_KILLS", 3);
    let answered = Mutex::new(BTreeSet::new());
    for round in 0..rounds {
        let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
        let (base, secret) = (server.base().to_owned(), server.secret().to_owned());
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                let (rows, answered, stop, count) = (&rows, &answered, &stop, &count);
                let client = Client::new(&base, &secret);
                scope.spawn(move || {
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let row = &rows[(number * 7 + thread * 13) % rows.len()];
                        let id = format!("kill-{round}-{thread}-{number}");
                        match ask(&client, row, &id) {
                            Some(503) => {}
                            Some(_) => {
                                answered.lock().unwrap().insert(id);
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                            None => return,
                        }
                    }
                });
            }
            let begin = Instant::now();
            while count.load(Ordering::Relaxed) < 150 && begin.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        server.run();
    }
    let (answered, acts) = (answered.into_inner().unwrap(), acts(&server));
    let missing: Vec<_> = answered.iter().filter(|id| !acts.contains_key(*id)).collect();
    assert!(
        missing.is_empty(),
        "{} of {}: {missing:?}",
        missing.len(),
        answered.len()
    );
    println!(
        "{} answered requests, {} kills, none missing",
        answered.len(),
        rounds
    );
}

#[test]
fn failed_logins_and_refused_permissions_are_on_record() {
    let server = prepared();
    let with = |secret: &str, method: &str, path: &str, id: &str| {
        let body: &[u8] = if method == "GET" { b"" } else { b"{}" };
        let headers = [("content-type", "application/json"), ("x-request-id", id)];
        Client::new(server.base(), secret)
            .request(method, path, &headers, body)
            .status
    };
    let made = server.client().post_json(
        "/v1/tenants/acme/credentials",
        &json!({"name": "r", "roles": ["reader"]}),
    );
    let made = made.json();
    let (id, reader) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(with("", "GET", "/v1/tenants/acme", "d-1"), 401);
    assert_eq!(with("atst_no", "POST", "/v1/tenants/acme/events", "d-2"), 401);
    assert_eq!(with(reader, "POST", "/v1/tenants/acme/events", "d-3"), 403);
    assert_eq!(with(reader, "PUT", "/v1/tenants/late", "d-4"), 403);
    assert_eq!(with(reader, "GET", "/v1/tenants/_system/events", "d-5"), 404);
    assert_eq!(with(reader, "GET", "/v1/tenants/mary-jane/events", "d-6"), 404);
    assert_eq!(
        server
            .client()
            .request("DELETE", &format!("/v1/credentials/{id}"), &[], b"")
            .status,
        204
    );
    assert_eq!(with(reader, "GET", "/v1/tenants/acme", "d-7"), 401);
    let acts = acts(&server);
    for (request, actor, reason) in [
        ("d-1", "unknown", "missing"),
        ("d-2", "unknown", "unknown"),
        ("d-3", id, "forbidden"),
        ("d-4", id, "forbidden"),
        ("d-5", id, "unknown_tenant"),
        ("d-6", id, "unknown_tenant"),
        ("d-7", id, "revoked"),
    ] {
        let found = acts.get(request).unwrap_or_else(|| panic!("{request}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["outcome"], "denied");
        assert_eq!(found[0]["actor"]["id"], actor, "{request}: {found:?}");
        assert_eq!(found[0]["outcome_reason"]["code"], reason, "{request}: {found:?}");
        assert!(!found[0].to_string().contains("mary-jane"), "{found:?}");
    }
}

#[test]
fn what_was_searched_for_is_sealed() {
    let server = prepared();
    let client = server.client();
    let term = "zebra-4711@example.org";
    client.get(&format!(
        "/v1/tenants/acme/events?q={}",
        crate::harness::escape(&format!("\"{term}\""))
    ));
    client.post_json(
        "/v1/tenants/acme/search",
        &json!({"query": format!("\"{term}\"")}),
    );
    client.post_json(
        "/es/acme/_search",
        &json!({"query": {"match": {"message": term}}}),
    );
    client.post_json(
        "/v1/tenants/acme/searches",
        &json!({"name": "s", "query": format!("\"{term}\"")}),
    );
    client.post_json(
        "/v1/tenants/acme/exports",
        &json!({"query": format!("\"{term}\""), "format": "ndjson"}),
    );
    let made = client.post_json(
        "/v1/credentials",
        &json!({"name": "a", "roles": ["auditor"], "tenants": null}),
    );
    let auditor = Client::new(server.base(), made.json()["secret"].as_str().unwrap());
    let seen = auditor.all("_system", "");
    let sealed = seen
        .iter()
        .filter(|record| record["event"]["payload"] == "[personal]")
        .count();
    assert!(sealed >= 5, "{sealed}");
    assert!(!json!(seen).to_string().contains("zebra"));
    assert_eq!(auditor.count("_system", "zebra"), 0);
    let investigated = client.all("_system", "action:access.*");
    let shown = investigated
        .iter()
        .filter(|record| record["event"]["payload"].to_string().contains(term))
        .count();
    assert!(shown >= 5, "{shown}");
}

#[test]
fn the_people_of_a_tenant_see_who_looked_at_it() {
    let server = prepared();
    let client = server.client();
    assert!(client.request("PUT", "/v1/tenants/other", &[], b"{}").status < 300);
    client.get("/v1/tenants/acme/events/0");
    client.get("/v1/tenants/other/events/0");
    let made = client.post_json(
        "/v1/tenants/acme/credentials",
        &json!({"name": "t", "roles": ["tenant_admin"]}),
    );
    let admin = Client::new(server.base(), made.json()["secret"].as_str().unwrap());
    let log = admin.get("/v1/tenants/acme/access-log?limit=1000");
    assert_eq!(log.status, 200, "{}", log.text());
    let log = log.json();
    let items = log["items"].as_array().unwrap();
    let reads = |item: &&Value| item["event"]["action"] == "access.read";
    assert_eq!(items.iter().filter(reads).count(), 1, "{log}");
    let about = |item: &Value| item["event"]["targets"].to_string().contains("acme");
    assert!(
        items.iter().all(about) && !log.to_string().contains("\"other\""),
        "{log}"
    );
    admin
        .get("/v1/tenants/other/access-log")
        .problem(404, "unknown_tenant");
}

#[test]
fn starts_and_stops_are_on_record() {
    let mut server = prepared();
    server.stop();
    server.run();
    server.kill();
    server.run();
    let client = server.client();
    assert_eq!(client.count("_system", "action:server.start"), 3);
    assert_eq!(client.count("_system", "action:server.stop"), 1);
    let starts = client.all("_system", "action:server.start");
    assert!(
        starts.last().unwrap()["event"]["metadata"]["replayed_records"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[test]
fn tails_that_began_before_a_kill_are_on_record_after_it() {
    let mut server = prepared();
    let mut began = BTreeSet::new();
    for round in 0..scale("ATTESTORE_AUDIT_KILLS", 3) {
        let (base, secret) = (server.base().to_owned(), server.secret().to_owned());
        let count = AtomicU64::new(0);
        let ids: Vec<String> = std::thread::scope(|scope| {
            let listeners: Vec<_> = (0..8)
                .map(|number| {
                    let (base, secret, count) = (&base, &secret, &count);
                    scope.spawn(move || {
                        let mut ids = Vec::new();
                        let tail = format!("/v1/tenants/acme/tail?from=beginning&q=metadata.n:{number}");
                        // Each is dropped for the next one, until nobody answers.
                        while let Ok(Listened::Open(mut listener)) = try_listen(base, secret, &tail, None) {
                            if listener.next_within(PATIENCE).is_none() {
                                break;
                            }
                            let id = listener.headers.iter().find(|(name, _)| name == "x-request-id");
                            ids.push(id.unwrap().1.clone());
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        ids
                    })
                })
                .collect();
            while count.load(Ordering::Relaxed) < 40 {
                std::thread::yield_now();
            }
            server.kill();
            listeners
                .into_iter()
                .flat_map(|one| one.join().unwrap())
                .collect()
        });
        assert!(ids.len() >= 40, "round {round}: {}", ids.len());
        began.extend(ids);
        server.run();
    }
    let acts = acts(&server);
    for id in &began {
        let found = acts.get(id).unwrap_or_else(|| panic!("{id} has no record"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["action"], "access.tail");
    }
    println!("{} tails, none without its record", began.len());
}
