//! Many records: memory stays flat, and a recount agrees.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{attestore_verify, check_recount, download, fill_with, make, ndjson, show, vkey};
use crate::harness::{Server, event, scale};

/// Memory of the server in RAM, in KiB.
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Makes an export and waits until it is done; returns its id, its bytes, and the most memory that the server took meanwhile.
fn measured(server: &Server, spec: &Value) -> (String, u64, u64) {
    let client = server.client();
    let id = make(&client, spec);
    let mut peak = 0;
    loop {
        peak = peak.max(resident_kib(server));
        let export = show(&client, &id);
        match export["state"].as_str().unwrap() {
            "done" => return (id, export["progress"]["bytes"].as_u64().unwrap(), peak),
            "queued" | "running" => std::thread::sleep(Duration::from_millis(20)),
            _ => panic!("{export}"),
        }
    }
}

/// What twice as many records may take more: far less than their bytes. Of many records there are many segments, of which the
/// server keeps a bounded number open.
const fn growth_kib_max(count: u64) -> u64 {
    if count < 1_000_000 { 28 * 1024 } else { 96 * 1024 }
}

#[test]
fn memory_is_flat_whatever_the_size() {
    let count = scale("ATTESTORE_EXPORT_RECORDS", 150_000);
    let mut server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ENGINE__EXPORT_PART_BYTES", "16777216"),
            ("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "4000000"),
            // It holds whole segments.
            ("ATTESTORE_ENGINE__COMPACTION", "false"),
        ],
    );
    // Few users: what is known of each of many fills a cache of its own.
    fill_with(&server.client(), count, |n| {
        let mut event = event(n);
        event["actor"]["id"] = json!(format!("u_{}", n % 100));
        event
    });
    // From segments, without what appending took.
    server.stop();
    server.run();
    let middle = server
        .client()
        .get(&format!("/v1/tenants/default/events/{}", count / 2))
        .json();
    let until = &middle["received_at"];
    let (_, _, half) = measured(&server, &json!({"format": "ndjson", "to": until}));
    let (id, bytes, mut whole) = measured(&server, &ndjson(""));
    let folder = tempdir().unwrap();
    download(&server, &id, folder.path());
    whole = whole.max(resident_kib(&server));
    println!("{count} records, {bytes} bytes: half of them took {half} KiB, all of them {whole} KiB");
    assert!(
        bytes / 2 > growth_kib_max(count) * 1024,
        "{bytes} bytes show nothing"
    );
    assert!(
        whole < half + growth_kib_max(count),
        "half of them took {half} KiB, all of them {whole} KiB"
    );
    let all: Vec<u64> = (0..count).collect();
    check_recount(folder.path(), &all);
}

/// With a release build and 100,000 records, a measurement: `ATTESTORE_BINARY=target/release/attestore
/// ATTESTORE_EVIDENCE_RECORDS=100000`, and `attestore-verify` beside that binary.
#[test]
fn a_bundle_of_trail_events_is_made_and_verified() {
    let count = scale("ATTESTORE_EVIDENCE_RECORDS", 3000);
    let server = Server::start();
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (events, file) = (path("events.ndjson"), path("all.evidence"));
    let number = count.to_string();
    server.cli_ok(&["bench", "generate", "-n", &number, "-o", &events]);
    server.cli_ok(&["append", "--mapping", "cloudtrail", &events]);
    let begun = Instant::now();
    let wanted = json!({"format": "evidence", "range": {"from": 0, "to": count}});
    let (id, bytes, peak) = measured(&server, &wanted);
    let made = begun.elapsed();
    server.cli_ok(&["export", "download", &id, "--out", &file]);
    let key = vkey(&server);
    for threads in ["1", "2"] {
        let begun = Instant::now();
        let checked = attestore_verify(&["bundle", &file, "--vkey", &key, "--threads", threads]);
        assert!(checked.status.success(), "{checked:?}");
        println!("verified by {threads} threads in {:?}", begun.elapsed());
    }
    let input = std::fs::metadata(&events).unwrap().len();
    println!(
        "{count} records of {input} bytes: a bundle of {bytes} bytes in {made:?}, the server took {peak} KiB"
    );
    assert!(bytes < 3 * input, "{bytes} bytes of {input}");
}
