//! `kill -9` at random times under load: what was acknowledged is there once, in order, searchable and provable.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Client, Server, event, scale};

const EVENTS: &str = "/v1/tenants/default/events";

#[test]
fn acknowledged_records_survive_kill_9() {
    let rounds = scale("ATTESTORE_KILL_ROUNDS", 30);
    let seed = scale("ATTESTORE_SEED", 20_261_122);
    println!("seed {seed}, {rounds} rounds");
    // Small files, so that switches, recycling and flushes happen under the knife too.
    let mut server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ENGINE__WAL_FILE_BYTES", "1048576"),
            ("ATTESTORE_ENGINE__WAL_BUDGET_BYTES", "8388608"),
            ("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "300000"),
            ("ATTESTORE_ENGINE__FLUSH_AGE_MS", "400"),
        ],
    );
    // seq -> (record id, request id) of everything that was ever acknowledged.
    let acknowledged: Mutex<BTreeMap<u64, (String, String)>> = Mutex::default();
    let numbers = AtomicU64::new(0);
    let mut random = seed;
    let mut starts = Vec::new();
    let mut slowest_append = Duration::ZERO;
    for round in 0..rounds {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let run = Duration::from_millis(30 + (random >> 33) % 700);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..6 {
                let (client, acknowledged, numbers, stop) = (server.client(), &acknowledged, &numbers, &stop);
                scope.spawn(move || write(&client, writer, acknowledged, numbers, stop));
            }
            std::thread::sleep(run);
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        starts.push(server.run());
        let client = server.client();
        // Appends are accepted at once, and the newest acknowledged records are found.
        let waited = accepted(&client);
        slowest_append = slowest_append.max(waited);
        let newest: Vec<_> = acknowledged
            .lock()
            .unwrap()
            .iter()
            .rev()
            .take(5)
            .map(|(s, v)| (*s, v.clone()))
            .collect();
        for (seq, (id, request)) in newest {
            check(&client, seq, &id, &request);
            assert_eq!(
                client.count("default", &format!("request_id:{request}")),
                1,
                "round {round}, record {seq}"
            );
        }
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    let client = server.client();
    let records = client.all("default", "");
    println!(
        "{} records, {} acknowledged, slowest start {:?}, longest wait for the first append {slowest_append:?}",
        records.len(),
        acknowledged.len(),
        starts.iter().max()
    );
    assert!(
        acknowledged.len() as u64 > rounds,
        "too little was written to show anything"
    );
    let mut requests = HashSet::new();
    for (at, record) in records.iter().enumerate() {
        assert_eq!(
            record["seq"].as_u64(),
            Some(at as u64),
            "a gap or a wrong order at {at}"
        );
        let request = record["event"]["context"]["request_id"].as_str().unwrap();
        assert!(
            request == format!("req-{}", u64::MAX) || requests.insert(request.to_owned()),
            "{request} is there twice"
        );
        if let Some((id, wanted)) = acknowledged.get(&(at as u64)) {
            assert_eq!(
                (record["id"].as_str(), request),
                (Some(id.as_str()), wanted.as_str()),
                "record {at} is another one"
            );
        }
    }
    let last = acknowledged.keys().next_back().unwrap();
    assert!(
        *last < records.len() as u64,
        "record {last} was acknowledged and is gone"
    );
    let verified = server.cli_ok(&["verify", "--sample", "200"]);
    println!("{verified}");
    server.stop();
    let data = server.data();
    let out = crate::harness::binary()
        .args(["fsck", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Appends one event, waiting while the server asks for it; returns how long it was not accepted.
fn accepted(client: &Client) -> Duration {
    let started = std::time::Instant::now();
    loop {
        let answer = client.post_json(EVENTS, &event(u64::MAX));
        if answer.status == 201 {
            return started.elapsed();
        }
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "appends stay refused: {}",
            answer.text()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Appends until the server is gone, one event or a batch at a time, and notes what was acknowledged.
fn write(
    client: &Client,
    writer: u64,
    acknowledged: &Mutex<BTreeMap<u64, (String, String)>>,
    numbers: &AtomicU64,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let count = if writer.is_multiple_of(2) { 1 } else { 25 };
        let first = numbers.fetch_add(count, Ordering::Relaxed);
        let lines: String = (first..first + count)
            .map(|n| format!("{}\n", event(n)))
            .collect();
        let headers = [("content-type", "application/x-ndjson")];
        let Ok(answer) = client.try_request("POST", EVENTS, &headers, lines.as_bytes()) else {
            continue;
        };
        if answer.status != 201 {
            assert_eq!(answer.status, 503, "{}", answer.text());
            continue;
        }
        let body: Value = answer.json();
        let mut acknowledged = acknowledged.lock().unwrap();
        for (n, item) in body["items"].as_array().unwrap().iter().enumerate() {
            let seq = item["seq"].as_u64().unwrap();
            let id = item["id"].as_str().unwrap().to_owned();
            let previous = acknowledged.insert(seq, (id, format!("req-{}", first + n as u64)));
            assert!(previous.is_none(), "seq {seq} was acknowledged twice");
        }
    }
}

fn check(client: &Client, seq: u64, id: &str, request: &str) {
    let answer = client.get(&format!("{EVENTS}/{seq}"));
    assert_eq!(
        answer.status,
        200,
        "record {seq} was acknowledged and is gone: {}",
        answer.text()
    );
    let record = answer.json();
    assert_eq!(record["id"], id, "record {seq} is another one");
    assert_eq!(
        record["event"]["context"]["request_id"], request,
        "record {seq} is another one"
    );
}
