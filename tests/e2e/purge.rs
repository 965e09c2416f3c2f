//! Purges over the wire and on the command line, as far as they go without a retention policy.

use serde_json::json;

use crate::harness::{Client, Server, event};

fn manager(server: &Server) -> Client {
    let wanted = json!({"name": "rm", "roles": ["retention_manager"]});
    let made = server.client().post_json("/v1/tenants/acme/credentials", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    Client::new(server.base(), made.json()["secret"].as_str().unwrap())
}

fn tenant(server: &Server) {
    let client = server.client();
    assert!(client.request("PUT", "/v1/tenants/acme", &[], b"{}").status < 300);
    for n in 0..3 {
        assert_eq!(client.post_json("/v1/tenants/acme/events", &event(n)).status, 201);
    }
}

#[test]
fn a_class_without_a_policy_is_not_purged_and_orders_are_read_strictly() {
    let server = Server::start();
    tenant(&server);
    let client = manager(&server);
    let path = "/v1/tenants/acme/purges";
    let due = client.post_json(path, &json!({}));
    assert_eq!(due.status, 200, "{}", due.text());
    assert_eq!(due.json(), json!({"items": []}));
    let plan = client.post_json(path, &json!({"dry_run": true}));
    assert_eq!(plan.json(), json!({"items": [], "plans": []}));
    let before = json!({"class": 1, "before": "2100-01-01"});
    client.post_json(path, &before).problem(409, "no_policy");
    client
        .post_json(path, &json!({"before": "2100-01-01"}))
        .problem(400, "invalid_purge");
    client
        .post_json(path, &json!({"class": 1, "ranges": [[5, 5]]}))
        .problem(400, "invalid_purge");
    client
        .post_json(
            path,
            &json!({"class": 1, "ranges": [[1, 2]], "before": "2100-01-01"}),
        )
        .problem(400, "invalid_purge");
    let control = json!({"class": 0, "ranges": [[0, 1]]});
    client.post_json(path, &control).problem(409, "control_records");
    let headers = [
        ("content-type", "application/json"),
        ("attestore-bypass-governance", "perhaps"),
    ];
    client
        .request("POST", path, &headers, b"{}")
        .problem(400, "invalid_header");
    let list = client.get(path);
    assert_eq!(list.json(), json!({"items": [], "cursor": null}));
    let unknown = "/v1/tenants/acme/purges/00112233445566778899aabbccddeeff";
    client.get(unknown).problem(404, "not_found");
    client
        .get(&format!("{unknown}/receipt"))
        .problem(404, "not_found");
    let told = client.get("/v1/tenants/acme").json();
    assert_eq!(
        (&told["live"], &told["purged"], &told["erased"]),
        (&told["size"], &json!(0), &json!(0))
    );
    let printed = server.cli_ok(&["purge", "list", "--tenant", "acme", "--output", "json"]);
    assert_eq!(printed.trim(), "[]");
}
