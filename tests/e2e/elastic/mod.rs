//! Other people's clients read: from their own packages, and as Grafana's data sources ask.
//!
//! `scripts/test` installs the packages, Python ones under `target/venv`.

mod grafana;
mod isolation;
mod queries;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Client, Server};

/// Records of a test by number.
const COUNT: u64 = 2500;
/// The first is from 2026-11-22T00:00:00Z.
const FIRST_S: i64 = 1_795_305_600;

/// The `n`-th record: a second later than the one before, by one of 10 services, every tenth denied.
fn nth(n: u64) -> Value {
    let at = jiff::Timestamp::from_second(FIRST_S + i64::try_from(n).unwrap()).unwrap();
    json!({
        "idempotency_key": format!("default-{n}"), "occurred_at": at.to_string(),
        "action": (["doc.read", "doc.write", "login"][n as usize % 3]),
        "outcome": (if n.is_multiple_of(10) { "denied" } else { "success" }),
        "severity": (if n.is_multiple_of(7) { "warning" } else { "info" }),
        "actor": {"type": "service", "id": format!("svc_{}", n % 10)},
        "targets": [{"type": "doc", "id": format!("d{}", n % 4)}, {"type": "folder", "id": format!("f{}", n % 3)}],
        "context": {"ip": format!("198.51.100.{}", n % 50), "request_id": format!("req-{n}")},
        "justification": format!("quarterly clean-up number{}", n % 5),
        "metadata": {"n": n, "ticket": format!("SEC-{}", n % 6)},
    })
}

/// Appends records through `_bulk`, with keys of their own, and two about people.
fn fill(client: &Client, count: u64) {
    let people = [
        json!({"action": "people.login", "actor": {"type": "user", "id": "u_ann", "name": "Ann Example"},
            "context": {"ip": "203.0.113.9"}}),
        json!({"action": "people.logout", "actor": {"type": "user", "id": "u_bob", "name": "Bob Example"}}),
    ];
    let records: Vec<Value> = (0..count).map(nth).collect();
    let policy = json!({"paths": ["metadata.n"], "text": "positions"});
    let answer = client.request(
        "PUT",
        "/v1/tenants/default/index",
        &[("content-type", "application/json")],
        policy.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (at, chunk) in records.chunks(500).enumerate() {
        let lines: String = chunk
            .iter()
            .enumerate()
            .map(|(n, event)| {
                format!(
                    "{{\"create\":{{\"_id\":\"default-{}\"}}}}\n{event}\n",
                    at * 500 + n
                )
            })
            .collect();
        let answer = client.post_ndjson("/es/default/_bulk", &lines);
        assert_eq!(answer.json()["errors"], false, "{}", answer.text());
    }
    let lines: String = people
        .iter()
        .map(|event| format!("{{\"index\":{{}}}}\n{event}\n"))
        .collect();
    assert_eq!(
        client.post_ndjson("/es/default/_bulk", &lines).json()["errors"],
        false
    );
}

/// A client with a role, for one tenant or all.
fn with_role(server: &Server, role: &str, tenant: Option<&str>) -> (Client, String) {
    let name = format!("{role}-{}", tenant.unwrap_or("all"));
    let file = server.home().join(&name);
    let mut arguments = vec![
        "credential",
        "create",
        "--role",
        role,
        "--name",
        &name,
        "--secret-file",
    ];
    arguments.push(file.to_str().unwrap());
    if let Some(tenant) = tenant {
        arguments.extend(["--tenant", tenant]);
    }
    server.cli_ok(&arguments);
    let secret = std::fs::read_to_string(file).unwrap().trim().to_owned();
    (Client::new(server.base(), &secret), secret)
}

fn search(client: &Client, body: &Value) -> Value {
    let answer = client.post_json("/es/default/_search", body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

fn reads(package: &str) {
    let server = Server::start();
    let client = server.client();
    fill(&client, COUNT);
    let (_, reader) = with_role(&server, "reader", None);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("target/venv/bin/python"))
        .arg(root.join("tests/e2e/elastic/clients.py"))
        .arg(package)
        .env("ADDRESS", server.base())
        .env("CREDENTIAL", server.secret())
        .env("READER", &reader)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
}

#[test]
fn elasticsearch_for_python() {
    reads("elasticsearch");
}

#[test]
fn opensearch_for_python() {
    reads("opensearch");
}
