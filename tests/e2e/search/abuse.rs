//! Questions that would cost too much, or make no sense, get a clear error in time, and nobody else notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{append, ask, nth};
use crate::harness::Server;

/// The server's own limit is ten seconds.
const ANSWER_MAX: Duration = Duration::from_secs(12);
/// How long another tenant's search may take meanwhile, on a busy machine and an unoptimised build.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(5);
/// What all of it may add to the memory of the server.
const MEMORY_MAX: u64 = 512 << 20;

#[test]
fn abuse_gets_a_clear_error_in_time_and_leaves_others_alone() {
    let server = Server::start();
    let client = server.client();
    assert_eq!(client.request("PUT", "/v1/tenants/calm", &[], &[]).status, 201);
    for from in (0..4000).step_by(500) {
        let events: Vec<_> = (from..from + 500).map(nth).collect();
        append(&client, "default", &events);
    }
    append(&client, "calm", &(0..100).map(nth).collect::<Vec<_>>());
    ask(&client, "default", &json!({"query": "login"}));
    let rss_before = rss(&server);

    let over = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let client = server.client();
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let started = Instant::now();
                let page = ask(
                    &client,
                    "calm",
                    &json!({"query": "outcome:denied", "count": true}),
                );
                assert_eq!(page["count"], 10);
                slowest = slowest.max(started.elapsed());
            }
            slowest
        });
        let abusers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for (name, body, expected) in abuses() {
                        // A connection of its own: after a body that is too long, the server closes it.
                        let client = server.client();
                        let started = Instant::now();
                        let headers = [("content-type", "application/json")];
                        let path = "/v1/tenants/default/search";
                        let answer = match client.try_request("POST", path, &headers, body.as_bytes()) {
                            Ok(answer) => answer,
                            // Refused before it was read: the connection may end before the answer is seen.
                            Err(_) if name == TOO_LONG => continue,
                            Err(error) => panic!("{name}: {error}"),
                        };
                        let elapsed = started.elapsed();
                        assert!(elapsed < ANSWER_MAX, "{name} took {elapsed:?}");
                        let said = answer.text();
                        let code = answer.json()["code"].as_str().unwrap_or("").to_owned();
                        assert!(
                            expected.contains(&(answer.status, code.as_str())),
                            "{name}: {} {said:.600}",
                            answer.status
                        );
                    }
                })
            })
            .collect();
        let results: Vec<_> = abusers.into_iter().map(|a| a.join()).collect();
        over.store(true, Ordering::Relaxed);
        let slowest = neighbour.join().unwrap();
        for result in results {
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        }
        slowest
    });
    println!(
        "the neighbour's slowest search took {slowest:?}; memory {} -> {} MiB",
        rss_before >> 20,
        rss(&server) >> 20
    );
    assert!(
        slowest < NEIGHBOUR_MAX,
        "another tenant's search took {slowest:?}"
    );
    assert!(rss(&server) < rss_before + MEMORY_MAX);
    assert_eq!(
        ask(&client, "default", &json!({"count": true, "limit": 0}))["count"],
        4000
    );
}

/// Longer than the server reads.
const TOO_LONG: &str = "a long body";

type Abuse = (&'static str, String, &'static [(u16, &'static str)]);

fn abuses() -> Vec<Abuse> {
    const QUERY: &[(u16, &str)] = &[(400, "invalid_query")];
    const SEARCH: &[(u16, &str)] = &[(400, "invalid_search")];
    const BUCKETS: &[(u16, &str)] = &[
        (422, "too_many_buckets"),
        (422, "too_much_memory"),
        (400, "invalid_query"),
    ];
    let query = |q: String| json!({"query": q}).to_string();
    let aggs = |aggs: Value| json!({"aggs": aggs, "limit": 0}).to_string();
    let or = |n: usize| {
        (0..n)
            .map(|n| format!("word{n}"))
            .collect::<Vec<_>>()
            .join(" OR ")
    };
    let nested = |depth: usize| {
        let mut aggs = json!({"terms": {"field": "actor.id"}});
        for _ in 0..depth {
            aggs = json!({"terms": {"field": "actor.id"}, "aggs": {"a": aggs}});
        }
        json!({"a": aggs})
    };
    vec![
        ("a thousand clauses", query(or(1000)), QUERY),
        ("clauses up to the length", query(or(350)), QUERY),
        (
            "deep parentheses",
            query(format!("{}a{}", "(".repeat(500), ")".repeat(500))),
            QUERY,
        ),
        (
            "very deep parentheses",
            query("(".repeat(100_000)),
            &[(400, "invalid_query")],
        ),
        ("deep negation", query(format!("{}a", "NOT ".repeat(900))), QUERY),
        ("a leading star", query("action:*read".into()), QUERY),
        ("one letter and a star", query("a*".into()), QUERY),
        ("a regular expression", query("action:/.*/".into()), QUERY),
        ("an unknown field", query("actr.id:u_1".into()), QUERY),
        (
            "stars all over",
            query("actor.id:u*_*1*2*3*4*5*6*7*8*9*0*".into()),
            &[(400, "invalid_query"), (200, ""), (422, "too_broad")],
        ),
        (
            "a set without end",
            query(format!("actor.id:IN [{}]", "u_1 ".repeat(900))),
            QUERY,
        ),
        (
            "a huge page",
            r#"{"limit": 1000000000}"#.into(),
            &[(400, "invalid_limit")],
        ),
        ("a negative page", r#"{"limit": -1}"#.into(), SEARCH),
        ("a page as long as a float", r#"{"limit": 1e300}"#.into(), SEARCH),
        ("an unknown key", r#"{"size": 10}"#.into(), SEARCH),
        ("a key twice", r#"{"query": "a", "query": "b"}"#.into(), SEARCH),
        ("no JSON", "{".into(), SEARCH),
        (
            "deep JSON",
            format!("{{\"aggs\":{}", "{\"a\":".repeat(20_000)),
            SEARCH,
        ),
        (TOO_LONG, query("a".repeat(300 << 10)), &[(413, "body_too_large")]),
        (
            "a made-up cursor",
            r#"{"cursor": "AAAA"}"#.into(),
            &[(400, "invalid_cursor")],
        ),
        (
            "a long cursor",
            json!({"cursor": "A".repeat(100_000)}).to_string(),
            &[(400, "invalid_cursor")],
        ),
        (
            "no time at all",
            r#"{"deadline_ms": 0}"#.into(),
            &[(400, "invalid_deadline")],
        ),
        (
            "hardly any time",
            json!({"query": "\"no such phrase\" OR NOT \"this one\"", "deadline_ms": 1, "count": true})
                .to_string(),
            &[
                (503, "deadline"),
                (503, "search_busy"),
                (422, "not_indexed"),
                (200, ""),
            ],
        ),
        ("a sort that is none", r#"{"sort": "text"}"#.into(), QUERY),
        (
            "an unknown field to show",
            r#"{"fields": ["actr"]}"#.into(),
            &[(400, "invalid_fields")],
        ),
        (
            "a bucket each millisecond",
            aggs(
                json!({"a": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1ms", "min_doc_count": 0}}}),
            ),
            BUCKETS,
        ),
        (
            "tiny intervals",
            aggs(json!({"a": {"histogram": {"field": "seq", "interval": 0.000001, "min_doc_count": 0}}})),
            BUCKETS,
        ),
        (
            "buckets in buckets in buckets",
            aggs(
                json!({"a": {"terms": {"field": "metadata.n", "size": 60000}, "aggs": {"b": {"terms": {"field": "context.request_id", "size": 60000}}}}}),
            ),
            &[
                (422, "too_many_buckets"),
                (422, "too_much_memory"),
                (422, "not_indexed"),
                (400, "invalid_query"),
                (200, ""),
            ],
        ),
        (
            "all terms",
            aggs(json!({"a": {"terms": {"field": "actor.id", "size": 1_000_000_000}}})),
            BUCKETS,
        ),
        ("deep aggregations", aggs(nested(40)), QUERY),
        (
            "hundreds of aggregations",
            aggs(Value::Object(
                (0..400)
                    .map(|n| (format!("a{n}"), json!({"terms": {"field": "actor.id"}})))
                    .collect(),
            )),
            QUERY,
        ),
        (
            "an aggregation that is none",
            aggs(json!({"a": {"scripted_metric": {}}})),
            QUERY,
        ),
    ]
}

#[test]
fn cursors_of_others_are_refused() {
    let server = Server::start();
    let client = server.client();
    assert_eq!(client.request("PUT", "/v1/tenants/other", &[], &[]).status, 201);
    for tenant in ["default", "other"] {
        append(&client, tenant, &(0..50).map(nth).collect::<Vec<_>>());
    }
    let page = ask(&client, "default", &json!({"query": "doc.read", "limit": 2}));
    let cursor = page["cursor"].as_str().unwrap();
    let body = |query: &str, more: Value| {
        let mut body = json!({"query": query, "limit": 2, "cursor": cursor});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    let next = ask(&client, "default", &body("doc.read", json!({})));
    assert_eq!(next["items"].as_array().unwrap().len(), 2);
    let refused = [
        ("other", body("doc.read", json!({}))),
        ("default", body("doc.write", json!({}))),
        ("default", body("doc.read", json!({"sort": "oldest"}))),
        ("default", body("doc.read", json!({"sort": "occurred_at:desc"}))),
        ("default", body("doc.read", json!({"from": "2020-01-01"}))),
    ];
    for (tenant, body) in refused {
        let answer = client.post_json(&format!("/v1/tenants/{tenant}/search"), &body);
        answer.problem(400, "invalid_cursor");
    }
}

#[test]
fn mistakes_are_told_with_place_and_suggestion() {
    let server = Server::start();
    let client = server.client();
    let refuse = |body: Value, status, code| {
        client
            .post_json("/v1/tenants/default/search", &body)
            .problem(status, code)
    };
    let problem = refuse(
        json!({"query": "outcome:denied actor.nmae:Ann"}),
        400,
        "invalid_query",
    );
    assert_eq!(problem["column"], 15, "{problem}");
    assert_eq!(problem["suggestion"], "actor.name", "{problem}");
    let problem = refuse(json!({"limit": "ten"}), 400, "invalid_search");
    assert_eq!(problem["path"], "/limit");
    assert!(
        !problem.to_string().contains("ten\\\""),
        "what was sent is not repeated: {problem}"
    );
    let problem = refuse(json!({"fields": ["action", "ip"]}), 400, "invalid_fields");
    assert_eq!(
        (problem["path"].as_str(), problem["suggestion"].as_str()),
        (Some("/fields/1"), Some("context.ip"))
    );
    let problem = refuse(
        json!({"aggs": {"a": {"terms": {"field": "actr.id"}}}}),
        400,
        "invalid_query",
    );
    assert_eq!(problem["suggestion"], "actor.id", "{problem}");
    refuse(json!({"from": "yesterday"}), 400, "invalid_time");
}

fn rss(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
