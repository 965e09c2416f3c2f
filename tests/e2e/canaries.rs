//! No value of an event, no name and no search term appears in clear on disk or in the server's output.

use std::path::Path;

use serde_json::json;

use crate::harness::{Server, escape};

const CANARIES: &[&str] = &[
    "kanarienvogel-actor",
    "Zebrafinch Zilpzalp",
    "zilpzalp@example.com",
    "canary-target-4711",
    "canary-metadata-4712",
    "canary-payload-4713",
    "198.51.100.77",
    "canary-agent-4714",
    "canary-search-4715",
    "canary-tenant-4716",
];

#[test]
fn nothing_of_an_event_is_on_disk_or_in_the_output_in_clear() {
    let mut server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_LOG__LEVEL", "trace"),
            ("ATTESTORE_ENGINE__FLUSH_AGE_MS", "300"),
        ],
    );
    let client = server.client();
    assert_eq!(
        client
            .request("PUT", "/v1/tenants/canary-tenant-4716", &[], &[])
            .status,
        201
    );
    let event = json!({
        "action": "bird.sing", "actor": {"type": "user", "id": CANARIES[0], "name": CANARIES[1], "email": CANARIES[2]},
        "targets": [{"type": "branch", "id": CANARIES[3]}], "context": {"ip": CANARIES[6], "user_agent": CANARIES[7]},
        "metadata": {"k": CANARIES[4]}, "payload": {"deep": [CANARIES[5]]}, "idempotency_key": "canary-key-4717",
    });
    for tenant in ["default", "canary-tenant-4716"] {
        let path = format!("/v1/tenants/{tenant}/events");
        let answer = client.post_json(&path, &event);
        assert_eq!(answer.status, 201, "{}", answer.text());
        // Positive control: whoever may, finds it.
        for term in [CANARIES[0], "zilpzalp", CANARIES[3], CANARIES[6]] {
            let found = client.get(&format!("{path}?q={}", escape(&format!("\"{term}\""))));
            assert_eq!(found.status, 200, "{}", found.text());
        }
        assert_eq!(client.count(tenant, &format!("actor.id:{}", CANARIES[0])), 1);
        client.get(&format!("{path}?q={}", CANARIES[8]));
        client.get(&format!("{path}?q=actor.id:{}%3A%3A(", CANARIES[8]));
        client.post_json(&path, &json!({"action": CANARIES[4], "actor": CANARIES[0]}));
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    server.stop();

    // Positive control of the reader: it finds what is there.
    std::fs::write(server.home().join("data/control"), "xx canary-control xx").unwrap();
    assert!(
        finds(&server.data(), b"canary-control"),
        "the search for canaries is blind"
    );
    std::fs::remove_file(server.home().join("data/control")).unwrap();

    let log = server.log_text();
    assert!(log.contains("serving"), "the log is empty");
    for canary in CANARIES.iter().chain(&["canary-key-4717"]) {
        assert!(
            !finds(&server.data(), canary.as_bytes()),
            "{canary} is on disk in clear"
        );
        assert!(!log.contains(canary), "{canary} is in the server's output");
    }
}

fn finds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return finds(&path, needle);
        }
        memory_contains(&std::fs::read(&path).unwrap(), needle)
    })
}

fn memory_contains(haystack: &[u8], needle: &[u8]) -> bool {
    let lower = haystack.to_ascii_lowercase();
    let needle = needle.to_ascii_lowercase();
    lower.windows(needle.len()).any(|w| w == needle)
}
