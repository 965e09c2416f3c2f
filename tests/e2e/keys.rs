//! Keys are rotated by the command line while the server serves.

use serde_json::Value;

use crate::harness::{Server, event};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_key_is_rotated_from_the_command_line_and_what_was_there_reads_as_before() {
    let mut server = Server::start();
    let client = server.client();
    for n in 0..20 {
        assert_eq!(
            client.post_json("/v1/tenants/default/events", &event(n)).status,
            201
        );
    }
    let before = client.get("/v1/tenants/default/events/3").json()["event"].clone();
    assert!(before.is_object(), "{before}");
    for (tenant, what) in [
        ("default", "tenant"),
        ("default", "buckets"),
        ("default", "signing"),
        ("_system", "tenant"),
        ("_system", "root"),
    ] {
        server.cli_ok(&["key", "rotate", "--what", what, "--tenant", tenant]);
        for wait in 0.. {
            let list = parsed(&server.cli_ok(&["key", "list", "--tenant", tenant, "--output", "json"]));
            if list["rotation"].is_null() {
                let states: Vec<&str> = list["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|key| key["key"] == what)
                    .filter_map(|key| key["state"].as_str())
                    .collect();
                assert_eq!(states.last(), Some(&"current"), "{what}: {list}");
                assert!(states.len() > 1, "{what}: {list}");
                break;
            }
            assert!(wait < 600, "{what}: {list}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    assert_eq!(client.get("/v1/tenants/default/events/3").json()["event"], before);

    let set = ["key", "policy", "set", "--tenant-days", "365", "--output", "json"];
    assert_eq!(parsed(&server.cli_ok(&set))["tenant_days"], 365);
    let policy = server.cli_ok(&["key", "policy", "get", "--output", "json"]);
    assert_eq!(parsed(&policy)["automatic"], true);

    let lost = [
        "key",
        "compromised",
        "--key",
        "signing",
        "--reason",
        "a disk was lost",
    ];
    assert_eq!(parsed(&server.cli_ok(&lost))["cause"], "compromised");
    let listed = server.cli_ok(&["key", "list"]);
    assert!(listed.contains("retired"), "{listed}");
    assert_eq!(client.all("_system", "action:access.manage_keys").len(), 7);

    server.stop();
    server.run();
    let client = server.client();
    assert_eq!(client.get("/v1/tenants/default/events/3").json()["event"], before);
    assert_eq!(server.cli(&["verify"]).status.code(), Some(0));
}
