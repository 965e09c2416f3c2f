//! Searching: what is acknowledged is found, what is asked is answered exactly, and who asks too much is told so.

mod abuse;
mod aggregations;
mod cursors;
mod fresh;
mod personal;

use serde_json::{Value, json};

use crate::harness::Client;

/// Searches, expecting an answer.
fn ask(client: &Client, tenant: &str, body: &Value) -> Value {
    let answer = client.post_json(&format!("/v1/tenants/{tenant}/search"), body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

/// Appends events and waits where the server asks for it.
fn append(client: &Client, tenant: &str, events: &[Value]) {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    loop {
        let answer = client.post_ndjson(&format!("/v1/tenants/{tenant}/events"), &lines);
        match answer.status {
            201 => return,
            503 => std::thread::sleep(std::time::Duration::from_millis(50)),
            _ => panic!("{}", answer.text()),
        }
    }
}

/// The `n`-th of a row of events, a second apart, by one of 20 people and one of 3 services.
fn nth(n: u64) -> Value {
    let actor = if n % 4 == 3 {
        json!({"type": "service", "id": format!("svc_{}", n % 3)})
    } else {
        json!({"type": "user", "id": format!("u_{}", n % 20), "name": format!("Person{} Example", n % 20)})
    };
    let mut event = json!({
        "occurred_at": jiff::Timestamp::from_second(1_780_000_000 + i64::try_from(n).unwrap()).unwrap().to_string(),
        "action": (["doc.read", "doc.write", "login"][n as usize % 3]), "actor": actor,
        "outcome": (if n.is_multiple_of(10) { "denied" } else { "success" }),
        "context": {"ip": format!("198.51.100.{}", n % 50), "request_id": format!("req-{n}")},
        "metadata": {"n": n, "note": format!("note{n}")},
    });
    if n % 4 == 3 {
        // Addresses of services are nobody's, so readers may see them.
        event["context"] = json!({"request_id": format!("req-{n}")});
    }
    event
}

fn seqs(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}
