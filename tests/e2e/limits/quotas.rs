//! Quotas of tenants, by API and command line.

use serde_json::json;

use crate::harness::{Client, Server, event};

const PATH: &str = "/v1/tenants/default/quota";

fn put(client: &Client, path: &str, quota: &serde_json::Value) -> crate::harness::Answer {
    let headers = [("content-type", "application/json")];
    client.request("PUT", path, &headers, &serde_json::to_vec(quota).unwrap())
}

fn credential(server: &Server, tenant: &str, role: &str) -> Client {
    let made = server.cli_ok(&[
        "credential",
        "create",
        "--tenant",
        tenant,
        "--role",
        role,
        "--name",
        role,
    ]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    Client::new(server.base(), made["secret"].as_str().unwrap())
}

#[test]
fn a_quota_is_set_by_operators_seen_by_the_tenant_and_outlives_restarts() {
    let mut server = Server::start();
    server.cli_ok(&["tenant", "create", "other"]);
    let admin = server.client();
    let before = admin.get(PATH).json();
    assert_eq!(before["quota"]["events_per_second"], json!(null));
    let set = put(
        &admin,
        PATH,
        &json!({"events_per_second": 5, "tails": 0, "searches": 2}),
    );
    assert_eq!(set.status, 200, "{}", set.text());
    let ingest = credential(&server, "default", "ingest");
    assert_eq!(ingest.get(PATH).json()["quota"]["events_per_second"], 5);
    put(&ingest, PATH, &json!({})).problem(403, "forbidden");
    let foreign = credential(&server, "other", "ingest");
    foreign.get(PATH).problem(404, "unknown_tenant");
    put(&admin, "/v1/tenants/nobody/quota", &json!({})).problem(404, "unknown_tenant");
    put(&admin, PATH, &json!({"events_per_second": 0})).problem(400, "invalid_quota");
    put(&admin, PATH, &json!({"events": 1})).problem(400, "invalid_quota");
    // The quota is held, event by event.
    let lines = |count: u64| (0..count).map(|n| format!("{}\n", event(n))).collect::<String>();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(
        ingest.post_ndjson("/v1/tenants/default/events", &lines(5)).status,
        201
    );
    let refused = ingest.post_ndjson("/v1/tenants/default/events", &lines(5));
    refused.problem(429, "quota_exceeded");
    assert_eq!(
        foreign.post_ndjson("/v1/tenants/other/events", &lines(50)).status,
        201
    );
    let reader = credential(&server, "default", "reader");
    reader
        .get("/v1/tenants/default/tail")
        .problem(503, "too_many_tails");
    // By command line, and after a restart.
    let shown = server.cli_ok(&[
        "tenant",
        "quota",
        "set",
        "default",
        "--tails",
        "none",
        "--storage-bytes",
        "1000",
    ]);
    assert!(
        shown.contains("storage_bytes") && shown.contains("1000"),
        "{shown}"
    );
    server.stop();
    server.run();
    let quota = server.client().get(PATH).json()["quota"].take();
    assert_eq!(
        quota,
        json!({"events_per_second": 5, "bytes_per_day": null, "storage_bytes": 1000, "searches": 2, "tails": null, "exports": null})
    );
    let ingest = Client::new(server.base(), server.secret());
    let full = ingest.post_ndjson("/v1/tenants/default/events", &lines(5));
    full.problem(507, "quota_exceeded");
    // Setting it was an act on record.
    assert!(
        server
            .client()
            .count("_system", "metadata.permission:manage_quotas")
            >= 1
    );
}
