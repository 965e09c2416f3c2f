//! Requests that name their tenants elsewhere than in their path: each tenant has its record, its verdict and its limits.

use std::collections::BTreeSet;

use attestore_engine::credentials::CredentialSpec;
use attestore_engine::{Principal, Role, Scope, Settings};
use attestore_http::Keeper;
use attestore_limit::{Classes, Rate, Tighten};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use hyper::service::Service;
use serde_json::{Value, json};

use super::World;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl World {
    fn of_tenants(seed: u64, tenants: &[&str], limits: attestore_limit::Settings) -> Self {
        let world = Self::with(seed, Settings::default(), Keeper::alone(limits, [1, seed]));
        for tenant in tenants {
            world
                .engine
                .create_tenant(tenant, &Principal::internal())
                .unwrap();
        }
        world
    }

    fn reader(&self, tenants: Scope) -> String {
        self.credential(tenants, Role::Reader)
    }

    fn credential(&self, tenants: Scope, role: Role) -> String {
        let spec = CredentialSpec {
            name: "one".into(),
            roles: vec![role],
            tenants,
            networks: Vec::new(),
            expires_at_ms: None,
        };
        let (_, secret) = self
            .engine
            .create_credential(spec, &Principal::internal())
            .unwrap();
        secret.expose().to_owned()
    }

    async fn answer(&self, secret: &str, method: &str, path: &str, body: &str) -> Answer {
        let kind = match path.ends_with("_bulk") {
            true => "application/x-ndjson",
            false => "application/json",
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", kind)
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.service.call(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 22).await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    /// The acts on record at a route.
    async fn acts(&self, route: &str) -> Vec<Value> {
        let (status, body) = self
            .ask(
                Method::GET,
                "/v1/tenants/_system/events?limit=1000&q=action:access.*",
                "",
            )
            .await;
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        let items = page["items"].as_array().unwrap();
        let events = items.iter().map(|item| item["event"].clone());
        events
            .filter(|event| event["metadata"]["route"] == route)
            .collect()
    }
}

/// The tenant that an act is about, its outcome, and why.
fn verdict(act: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&act["targets"][0]["id"]),
        text(&act["outcome"]),
        text(&act["outcome_reason"]["code"]),
    )
}

fn verdicts(acts: &[Value]) -> BTreeSet<(String, String, String)> {
    acts.iter().map(verdict).collect()
}

fn set(all: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    all.iter()
        .map(|(tenant, outcome, reason)| ((*tenant).into(), (*outcome).into(), (*reason).into()))
        .collect()
}

fn tenant_limit(count: u32) -> attestore_limit::Settings {
    attestore_limit::Settings {
        tenant: Classes {
            all: Some(Rate::window(count, 3_600_000).unwrap()),
            ..Classes::default()
        },
        ..attestore_limit::Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pattern_stands_for_is_on_record_tenant_by_tenant() {
    let world = World::of_tenants(21, &["beta"], attestore_limit::Settings::default());
    let reader = world.reader(Scope::Of(["acme".to_owned(), "beta".to_owned()].into()));
    for (method, path, route, status) in [
        ("POST", "/es/ac*/_search", "/es/{index}/_search", 200),
        ("GET", "/es/ac*/_mapping", "/es/{index}/_mapping", 200),
        (
            "GET",
            "/es/ac*/_field_caps?fields=*",
            "/es/{index}/_field_caps",
            200,
        ),
        ("GET", "/es/ac*/_doc/default-1", "/es/{index}/_doc/{id}", 404),
        ("POST", "/es/ac*/_pit?keep_alive=1m", "/es/{index}/_pit", 200),
        ("GET", "/es/_cat/indices/ac*", "/es/_cat/indices/{index}", 200),
    ] {
        let answer = world.answer(&reader, method, path, "").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let outcome = if status == 200 { "success" } else { "failure" };
        let acts = world.acts(route).await;
        assert_eq!(verdicts(&acts), set(&[("acme", outcome, "")]), "{path}");
    }
    let answer = world.answer(&reader, "POST", "/es/_count", "").await;
    assert_eq!(answer.body["_shards"]["total"], 2, "{}", answer.body);
    let acts = world.acts("/es/_count").await;
    assert_eq!(
        verdicts(&acts),
        set(&[("acme", "success", ""), ("beta", "success", "")])
    );
    assert_eq!(acts.len(), 2, "{acts:?}");
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_leaves_out_what_its_name_would_be_refused_for() {
    let world = World::of_tenants(22, &[], attestore_limit::Settings::default());
    let reader = world.reader(Scope::All);
    let plain = world.answer(&reader, "POST", "/es/_system/_count", "").await;
    assert_eq!(plain.status, 403, "{}", plain.body);
    let route = "/es/{index}/_count";
    let denied = set(&[("_system", "denied", "forbidden")]);
    assert_eq!(verdicts(&world.acts(route).await), denied);
    let pattern = world.answer(&reader, "POST", "/es/_*/_count", "").await;
    assert_eq!(
        (pattern.status, &pattern.body["count"]),
        (200, &json!(0)),
        "{}",
        pattern.body
    );
    assert_eq!(pattern.body["_shards"]["total"], 0);
    let acts = world.acts(route).await;
    let denials = acts.iter().filter(|act| act["outcome"] == "denied").count();
    assert_eq!(denials, 1, "nobody named it: {acts:?}");
    // Who may read it reads it so, on record; who may read nothing else is told so.
    let auditor = world.credential(Scope::All, Role::Auditor);
    let pattern = world.answer(&auditor, "POST", "/es/_*/_search", "").await;
    let plain = world.answer(&auditor, "POST", "/es/_system/_search", "").await;
    assert_eq!((pattern.status, plain.status), (200, 200), "{}", pattern.body);
    let seen = set(&[("_system", "success", "")]);
    assert_eq!(verdicts(&world.acts("/es/{index}/_search").await), seen);
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tenant_of_a_request_has_its_own_verdict() {
    let world = World::of_tenants(23, &[], attestore_limit::Settings::default());
    let scoped = world.reader(Scope::Of(["acme".to_owned()].into()));
    let path = "/es/acme,mary-jane/_count?ignore_unavailable=true";
    let answer = world.answer(&scoped, "POST", path, "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let acts = world.acts("/es/{index}/_count").await;
    let expected = set(&[("acme", "success", ""), ("", "denied", "unknown_tenant")]);
    assert_eq!((verdicts(&acts), acts.len()), (expected, 2), "{acts:?}");
    let named = acts.iter().map(|act| act["targets"].to_string());
    assert!(!named.collect::<String>().contains("mary-jane"), "{acts:?}");
    let all = world.reader(Scope::All);
    let searches = "{\"index\":\"acme\"}\n{}\n{\"index\":\"_system\"}\n{}\n";
    let answer = world.answer(&all, "POST", "/es/_msearch", searches).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["responses"][1]["status"], 403, "{}", answer.body);
    let acts = world.acts("/es/_msearch").await;
    let expected = set(&[("acme", "success", ""), ("_system", "denied", "forbidden")]);
    assert_eq!((verdicts(&acts), acts.len()), (expected, 2), "{acts:?}");
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_about_more_tenants_than_can_be_recorded_is_refused_before_any_is_read() {
    let names: Vec<String> = (0..100).map(|n| format!("t{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::of_tenants(24, &names, attestore_limit::Settings::default());
    let secret = world.secret.clone();
    let whole = world.answer(&secret, "POST", "/es/t*/_count", "").await;
    assert_eq!(whole.status, 200, "{}", whole.body);
    assert_eq!(whole.body["_shards"]["total"], 100);
    let acts = world.acts("/es/{index}/_count").await;
    let seen: BTreeSet<String> = acts.iter().map(|act| verdict(act).0).collect();
    assert_eq!((seen.len(), acts.len()), (100, 100), "each has its record");
    let list = format!("/es/{},acme/_mapping", names.join(","));
    for (path, route) in [
        ("/es/_mapping", "/es/_mapping"),
        (list.as_str(), "/es/{index}/_mapping"),
    ] {
        let answer = world.answer(&secret, "GET", path, "").await;
        assert_eq!(answer.status, 400, "{route}: {}", answer.body);
        assert!(
            answer.body.to_string().contains("too_many_indices"),
            "{}",
            answer.body
        );
        let acts = world.acts(route).await;
        assert_eq!(verdicts(&acts), set(&[("", "failure", "")]), "{route}");
    }
    // Over several searches of one request too.
    let mut searches = String::new();
    for pair in names.chunks(2) {
        searches.push_str(&format!("{}\n{{}}\n", json!({"index": pair})));
    }
    searches.push_str("{\"index\":\"acme\"}\n{}\n{\"index\":\"t000\"}\n{}\n");
    let answer = world.answer(&secret, "POST", "/es/_msearch", &searches).await;
    let responses = answer.body["responses"].as_array();
    let responses = responses.unwrap_or_else(|| panic!("{}: {}", answer.status, answer.body));
    assert!(
        responses[50].to_string().contains("too_many_indices"),
        "{}",
        responses[50]
    );
    assert_eq!(responses[50]["status"], 400);
    assert!(responses[51]["hits"].is_object(), "{}", responses[51]);
    let acts = world.acts("/es/_msearch").await;
    assert_eq!(acts.len(), 100);
    assert!(acts.iter().all(|act| verdict(act).0 != "acme"));
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_tenant_holds_wherever_a_request_names_it() {
    let logs = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]});
    let logs = logs.to_string();
    let bulk = "{\"index\":{\"_index\":\"default\"}}\n{\"message\":\"x\"}\n";
    for (seed, path, body, says) in [
        (31, "/es/default/_search", "{}", "es_rejected_execution_exception"),
        (32, "/es/defau*/_search", "{}", "es_rejected_execution_exception"),
        (
            33,
            "/api/v1/_elastic/default/_search",
            "{}",
            "es_rejected_execution_exception",
        ),
        (
            34,
            "/es/_msearch",
            "{\"index\":\"default\"}\n{}\n{\"index\":\"default\"}\n{}\n",
            "es_rejected_execution_exception",
        ),
        (35, "/es/_bulk", bulk, "es_rejected_execution_exception"),
        (36, "/v1/logs", logs.as_str(), "rate_limited"),
    ] {
        let world = World::of_tenants(seed, &["default"], tenant_limit(2));
        let secret = world.secret.clone();
        for round in 0..2 {
            let answer = world.answer(&secret, "POST", path, body).await;
            assert_eq!(answer.status, 200, "{path}, {round}: {}", answer.body);
            assert!(!answer.body.to_string().contains(says), "{path}: {}", answer.body);
        }
        let answer = world.answer(&secret, "POST", path, body).await;
        assert_eq!(answer.status, 429, "{path}: {}", answer.body);
        assert!(answer.body.to_string().contains(says), "{path}: {}", answer.body);
        assert!(
            answer.headers.contains_key("retry-after"),
            "{path}: {:?}",
            answer.headers
        );
        let standing = answer.headers["ratelimit"].to_str().unwrap();
        assert!(standing.contains("tenant"), "{path}: {standing}");
        world.engine.close().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_at_its_limit_does_not_keep_others_from_theirs() {
    let world = World::of_tenants(37, &["beta"], tenant_limit(1));
    let secret = world.secret.clone();
    let item = |tenant: &str| format!("{{\"index\":{{\"_index\":\"{tenant}\"}}}}\n{{\"message\":\"x\"}}\n");
    let first = world.answer(&secret, "POST", "/es/_bulk", &item("acme")).await;
    assert_eq!(first.body["items"][0]["index"]["status"], 201, "{}", first.body);
    let both = format!("{}{}", item("acme"), item("beta"));
    let answer = world.answer(&secret, "POST", "/es/_bulk", &both).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let of = |at: usize| answer.body["items"][at]["index"].clone();
    assert_eq!(of(0)["status"], 429, "{}", answer.body);
    assert_eq!(of(0)["error"]["type"], "es_rejected_execution_exception");
    assert_eq!(of(1)["status"], 201, "{}", answer.body);
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_are_refused_tighten_the_credential() {
    let limits = attestore_limit::Settings {
        tighten: Tighten {
            threshold: 3,
            rate: Rate::gcra(1, 3_600_000, 1).unwrap(),
            ..Tighten::default()
        },
        ..attestore_limit::Settings::default()
    };
    let world = World::of_tenants(38, &[], limits);
    let reader = world.reader(Scope::Of(["acme".to_owned()].into()));
    let mut last = 0;
    for round in 0..6 {
        let answer = world
            .answer(&reader, "POST", &format!("/es/guess-{round}/_search"), "")
            .await;
        last = answer.status;
    }
    assert_eq!(last, 429);
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_a_scroll_tell_what_was_looked_for() {
    let world = World::of_tenants(39, &[], attestore_limit::Settings::default());
    let secret = world.secret.clone();
    let search = json!({"size": 1, "query": {"match": {"message": "zebra4711"}}}).to_string();
    let first = world
        .answer(&secret, "POST", "/es/acme/_search?scroll=1m", &search)
        .await;
    assert_eq!(first.status, 200, "{}", first.body);
    let next = json!({"scroll_id": first.body["_scroll_id"]}).to_string();
    let page = world.answer(&secret, "POST", "/es/_search/scroll", &next).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let acts = world.acts("/es/_search/scroll").await;
    assert_eq!(verdicts(&acts), set(&[("acme", "success", "")]));
    let terms = acts[0]["payload"]["terms"].to_string();
    assert!(terms.contains("zebra4711"), "{acts:?}");
    world.engine.close().unwrap();
}
