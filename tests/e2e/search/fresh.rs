//! Read your writes: what was acknowledged is found by the very next request, also right after a restart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{append, ask, nth};
use crate::harness::{Server, scale};

const WRITERS: u64 = 64;

#[test]
fn every_writer_finds_its_own_last_event_by_id_and_by_text() {
    let rounds = scale("ATTESTORE_SEARCHES", 8);
    let server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_AGE_MS", "1000")]);
    let found = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (server, found) = (&server, &found);
            scope.spawn(move || {
                let client = server.client();
                for round in 0..rounds {
                    let mut event = nth(writer);
                    let (id, word) = (format!("req-{writer}-{round}"), format!("wort{writer}x{round}"));
                    event["context"]["request_id"] = json!(id);
                    event["metadata"] = json!({"note": format!("says {word} aloud")});
                    append(&client, "default", &[event]);
                    for query in [format!("request_id:{id}"), word.clone()] {
                        let page = ask(&client, "default", &json!({"query": query, "limit": 5}));
                        let items = page["items"].as_array().unwrap();
                        assert_eq!(items.len(), 1, "{query} right after its acknowledgement: {page}");
                        assert_eq!(items[0]["event"]["context"]["request_id"], id.as_str());
                        found.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let expected = WRITERS * rounds * 2;
    assert_eq!(found.load(Ordering::Relaxed), expected);
    println!("{expected} of {expected} found, in {:?}", started.elapsed());
}

#[test]
fn the_first_search_after_a_crash_sees_every_acknowledged_record() {
    let records = scale("ATTESTORE_EVENTS", 6000).min(50_000);
    let mut server = Server::start();
    let client = server.client();
    for from in (0..records).step_by(500) {
        let events: Vec<_> = (from..(from + 500).min(records)).map(nth).collect();
        append(&client, "default", &events);
    }
    server.kill();
    server.run();
    let client = server.client();
    let started = Instant::now();
    let last = records - 1;
    let page = ask(
        &client,
        "default",
        &json!({"query": format!("request_id:req-{last}"), "count": true}),
    );
    println!("first search {:?} after the start", started.elapsed());
    assert_eq!(page["count"], 1, "{page}");
    let all = ask(&client, "default", &json!({"count": true, "limit": 1}));
    assert_eq!(all["count"].as_u64(), Some(records));
    assert_eq!(all["items"][0]["seq"].as_u64(), Some(last));
    // An append right after the start is not held up by what the search had to catch up with.
    append(&client, "default", &[nth(records)]);
    let page = ask(
        &client,
        "default",
        &json!({"query": format!("note{records}"), "count": true}),
    );
    assert_eq!(page["count"], 1, "{page}");
}

#[test]
fn a_search_whose_client_went_away_is_given_up() {
    use std::io::Write;
    let server = Server::start();
    let client = server.client();
    for from in (0..8000).step_by(500) {
        let events: Vec<_> = (from..from + 500).map(nth).collect();
        append(&client, "default", &events);
    }
    let address = server.base().trim_start_matches("http://").to_owned();
    // Heavy enough to be still under way when its client leaves.
    let aggs = json!({"a": {"terms": {"field": "context.ip", "size": 1000}, "aggs": {"b": {"terms": {"field": "actor.id", "size": 1000},
        "aggs": {"c": {"percentiles": {"field": "seq"}}, "d": {"cardinality": {"field": "context.ip"}}}}}}});
    let body = json!({"query": "\"says note\" OR NOT \"nothing of this\"", "count": true, "aggs": aggs, "highlight": true}).to_string();
    let cancelled = || {
        let metrics = client.get("/metrics").text();
        metrics
            .lines()
            .any(|line| line.starts_with("attestore_searches_total") && line.contains("cancelled"))
    };
    let started = Instant::now();
    while !cancelled() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no search was ever cancelled"
        );
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST /v1/tenants/default/search HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            server.secret(),
            body.len()
        )
        .unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}
