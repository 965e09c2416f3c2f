//! Rate limits and quotas.

mod addresses;
mod quotas;
mod redis;
mod wire;

use serde_json::json;

use crate::harness::{Server, event};
use wire::Wire;

#[test]
fn a_limit_says_where_the_client_stands() {
    let server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_LIMITS__TENANT__SEARCH", "3/h"),
            ("ATTESTORE_LIMITS__CREDENTIAL__ALL", "100/h gcra burst=50"),
        ],
    );
    let mut wire = Wire::connect(server.base(), server.secret());
    let search = "/v1/tenants/default/events?limit=1";
    for left in (0..3).rev() {
        let answer = wire.get(search);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("ratelimit-policy"), "\"tenant-search\";q=3;w=3600");
        assert!(
            answer
                .header("ratelimit")
                .starts_with(&format!("\"tenant-search\";r={left};t=")),
            "{}",
            answer.header("ratelimit")
        );
    }
    let refused = wire.get(search);
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let problem = refused.json();
    assert_eq!(problem["code"], "rate_limited");
    assert_eq!(problem["violated-policies"], json!(["tenant-search"]));
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3000..=3700).contains(&after), "{after}");
    assert!(
        refused
            .header("ratelimit")
            .starts_with("\"tenant-search\";r=0;t=")
    );
    // Other classes and other tenants have limits of their own.
    let answer = wire.post("/v1/tenants/default/events", &event(1));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("ratelimit-policy"), "\"credential\";q=100;w=3600");
    let status = server.client().get("/v1/status").json();
    assert_eq!(status["limits"]["refused_tenant"], 1, "{status}");
    let metrics = server.client().get("/metrics").text();
    assert!(
        metrics.contains("attestore_limits_refused_total{scope=\"tenant\"} 1"),
        "{metrics}"
    );
}

#[test]
fn who_fails_often_is_slowed_down_and_others_are_not() {
    let server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_LIMITS__EXEMPT", "192.0.2.1"),
            ("ATTESTORE_PROXY__TRUSTED", "127.0.0.1"),
            ("ATTESTORE_LIMITS__TIGHTEN__THRESHOLD", "20"),
            ("ATTESTORE_LIMITS__TIGHTEN__RATE", "10/h gcra burst=5"),
        ],
    );
    let mut stranger = Wire::connect(server.base(), "atst_wrong");
    let from = |address| [("x-forwarded-for", address)];
    let statuses: Vec<u16> = (0..40)
        .map(|_| {
            stranger
                .ask("GET", "/v1/tenants", &from("203.0.113.9"), b"")
                .status
        })
        .collect();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    let unknown = statuses.iter().filter(|status| **status == 401).count();
    // The score falls a little meanwhile.
    assert!(
        (25..=28).contains(&unknown) && unknown + refused == 40,
        "{statuses:?}"
    );
    let last = stranger.ask("GET", "/v1/tenants", &from("203.0.113.9"), b"");
    assert_eq!(last.json()["code"], "tightened");
    let mut honest = Wire::connect(server.base(), server.secret());
    for _ in 0..30 {
        let answer = honest.ask("GET", "/v1/tenants", &from("203.0.113.10"), b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let status = server.client().get("/v1/status").json();
    assert_eq!(status["limits"]["tightened"], 1, "{status}");
}

#[test]
fn other_peoples_clients_are_told_in_their_tongue_when_to_come_again() {
    let server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_LIMITS__CREDENTIAL__APPEND", "2/h"),
            ("ATTESTORE_LIMITS__CREDENTIAL__SEARCH", "1/h"),
        ],
    );
    let mut wire = Wire::connect(server.base(), server.secret());
    let ndjson = [("content-type", "application/x-ndjson")];
    let json = [("content-type", "application/json")];
    let bulk = format!("{{\"create\":{{\"_index\":\"default\"}}}}\n{}\n", event(1));
    for _ in 0..2 {
        let answer = wire.ask("POST", "/es/_bulk", &ndjson, bulk.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.header("ratelimit-policy"),
            "\"credential-append\";q=2;w=3600"
        );
    }
    let search = b"{\"query\":{\"match_all\":{}}}";
    let found = wire.ask("POST", "/es/default/_search", &json, search);
    assert_eq!(found.status, 200, "{}", found.text());
    let refusals = [
        ("append", wire.ask("POST", "/es/_bulk", &ndjson, bulk.as_bytes())),
        (
            "append",
            wire.ask("POST", "/v1/logs", &json, b"{\"resourceLogs\":[]}"),
        ),
        ("search", wire.ask("POST", "/es/default/_search", &json, search)),
    ];
    for (class, refused) in &refusals {
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert_eq!(refused.header("content-type"), "application/json");
        let standing = refused.header("ratelimit");
        assert!(
            standing.starts_with(&format!("\"credential-{class}\";r=0;t=")),
            "{standing}"
        );
        let after: u64 = refused.header("retry-after").parse().unwrap();
        assert!((3000..=3700).contains(&after), "{after}");
    }
    // As Elasticsearch's clients and OpenTelemetry's exporters read it.
    for (_, refused) in [&refusals[0], &refusals[2]] {
        assert_eq!(refused.json()["status"], 429);
        assert!(
            refused.json()["error"]["reason"].is_string(),
            "{}",
            refused.text()
        );
    }
    assert_eq!(refusals[1].1.json()["code"], 8, "RESOURCE_EXHAUSTED");
}
