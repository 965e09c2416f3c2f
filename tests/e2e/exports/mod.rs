//! Exports end to end: made, killed, resumed, downloaded, verified, and recounted by a program that is not ours.

mod evidence;
mod formats;
mod kill;
mod routes;
mod size;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) use self::evidence::attestore_verify;
use crate::harness::{Client, Server, event};

pub(crate) const EXPORTS: &str = "/v1/tenants/default/exports";

/// Appends events number 0 to `count`, each by another user.
pub(crate) fn fill(client: &Client, count: u64) {
    fill_with(client, count, event);
}

pub(crate) fn fill_with(client: &Client, count: u64, event: impl Fn(u64) -> Value) {
    let numbers: Vec<u64> = (0..count).collect();
    for some in numbers.chunks(1000) {
        let lines: String = some.iter().map(|n| format!("{}\n", event(*n))).collect();
        loop {
            let answer = client.post_ndjson("/v1/tenants/default/events", &lines);
            if answer.status == 201 {
                break;
            }
            assert!([429, 503].contains(&answer.status), "{}", answer.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Makes an export; returns its id.
pub(crate) fn make(client: &Client, spec: &Value) -> String {
    let answer = client.post_json(EXPORTS, spec);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) fn show(client: &Client, id: &str) -> Value {
    let answer = client.get(&format!("{EXPORTS}/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Waits until an export is over, or `enough`.
pub(crate) fn wait(client: &Client, id: &str, enough: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let export = show(client, id);
        let over = !["queued", "running"].contains(&export["state"].as_str().unwrap());
        if over || enough(&export) {
            return export;
        }
        assert!(started.elapsed() < Duration::from_secs(3600), "{export}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn done(client: &Client, id: &str) -> Value {
    let export = wait(client, id, |_| false);
    assert_eq!(export["state"], "done", "{export}");
    export
}

/// Downloads an export with the command, which verifies it.
pub(crate) fn download(server: &Server, id: &str, folder: &Path) {
    server.cli_ok(&["export", "download", id, "--out", folder.to_str().unwrap()]);
}

pub(crate) fn vkey(server: &Server) -> String {
    server
        .client()
        .get("/v1/tenants/default/log/vkey")
        .text()
        .trim()
        .to_owned()
}

/// What the independent program counts.
pub(crate) fn recount(folder: &Path) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("target/venv/bin/python"))
        .arg(root.join("tests/interop/recount_export.py"))
        .arg(folder)
        .output()
        .expect("scripts/test installs Python packages");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asserts that files, hashes and records are those of the seqs.
pub(crate) fn check_recount(folder: &Path, seqs: &[u64]) -> Value {
    let counted = recount(folder);
    assert_eq!(counted["hashed"], counted["files"], "{counted}");
    assert_eq!(counted["records"], seqs.len() as u64, "{counted}");
    assert_eq!(counted["manifest_records"], seqs.len() as u64, "{counted}");
    assert_eq!(counted["seq_sum"], seqs.iter().sum::<u64>(), "{counted}");
    assert_eq!(counted["ordered"], true, "{counted}");
    counted
}

pub(crate) fn seqs(records: &[Value]) -> Vec<u64> {
    records
        .iter()
        .map(|record| record["seq"].as_u64().unwrap())
        .collect()
}

pub(crate) fn ndjson(query: &str) -> Value {
    json!({"query": query, "format": "ndjson"})
}
