//! Destroying tenants over the wire and on the command line, over a kill.

use serde_json::{Value, json};

use crate::harness::{Client, Server, binary, event};

fn with_roles(server: &Server, roles: &[&str], tenants: &[&str]) -> String {
    let tenants = (!tenants.is_empty()).then_some(tenants);
    let wanted = json!({ "name": "one", "roles": roles, "tenants": tenants });
    let made = server.client().post_json("/v1/credentials", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["secret"].as_str().unwrap().to_owned()
}

fn tenant(server: &Server, name: &str) {
    let client = server.client();
    let made = client.request("PUT", &format!("/v1/tenants/{name}"), &[], b"{}");
    assert!(made.status < 300, "{}", made.text());
    for n in 0..5 {
        let appended = client.post_json(&format!("/v1/tenants/{name}/events"), &event(n));
        assert_eq!(appended.status, 201);
    }
}

/// The records of a tenant's destruction, once the state is `done`.
fn done(client: &Client, id: &str) -> Value {
    for _ in 0..100 {
        let shown = client.get(&format!("/v1/destroyed-tenants/{id}"));
        assert_eq!(shown.status, 200, "{}", shown.text());
        if shown.json()["state"] == "done" {
            return shown.json();
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    panic!("it does not come to its end");
}

#[test]
fn a_tenant_is_destroyed_by_the_command_line_and_its_receipt_verifies_offline() {
    let mut server = Server::start();
    tenant(&server, "acme");
    tenant(&server, "other");
    let client = server.client();
    let reader = with_roles(&server, &["reader"], &["acme"]);
    let info = client.get("/v1/tenants/acme").json();
    let id = info["id"].as_str().unwrap().to_owned();
    let path = "/v1/tenants/acme";
    let delete = |client: &Client, query: &str| client.request("DELETE", &format!("{path}{query}"), &[], b"");
    assert_eq!(delete(&client, "").status, 400);
    delete(&client, "?confirm=other&reason=x").problem(400, "not_confirmed");
    delete(&client, "?confirm=acme&reason=").problem(400, "invalid_reason");
    let own = client.request("DELETE", "/v1/tenants/_system?confirm=_system&reason=x", &[], b"");
    own.problem(409, "own_log");
    let operator = Client::new(server.base(), &with_roles(&server, &["operator"], &[]));
    delete(&operator, "?confirm=acme&reason=x").problem(403, "forbidden");
    let unsure = server.cli(&["tenant", "destroy", "acme", "--confirm", "acne", "--reason", "x"]);
    assert_eq!(unsure.status.code(), Some(2));

    let printed = server.cli_ok(&[
        "tenant",
        "destroy",
        "acme",
        "--confirm",
        "acme",
        "--reason",
        "the contract ended",
        "--output",
        "json",
    ]);
    let destroyed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&destroyed["id"], &destroyed["name"]),
        (&info["id"], &json!("acme"))
    );
    assert_eq!(
        (&destroyed["size"], &destroyed["origin"]),
        (&json!(5), &info["origin"])
    );
    assert!(destroyed["unreadable_since"].is_string(), "{destroyed}");
    for gone in [
        path.to_owned(),
        format!("{path}/events"),
        format!("{path}/log/checkpoint"),
    ] {
        client.get(&gone).problem(404, "unknown_tenant");
    }
    client
        .post_json(&format!("{path}/events"), &event(9))
        .problem(404, "unknown_tenant");
    let old = Client::new(server.base(), &reader);
    assert_eq!(old.get(path).status, 401, "it was for this tenant alone");
    let shown = done(&client, &id);
    assert_eq!(shown["reason"], "the contract ended");
    assert!(!server.data().join("tenants").join(&id).exists());

    server.kill();
    server.run();
    let client = server.client();
    client.get(path).problem(404, "unknown_tenant");
    assert_eq!(client.count("other", ""), 5);
    let listed = server.cli_ok(&["tenant", "destroyed", "list", "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed, json!([shown]));
    assert!(
        server
            .cli_ok(&["tenant", "destroyed", "show", &id])
            .contains("done")
    );
    let receipt = server.home().join("receipt.json");
    let out = receipt.to_str().unwrap();
    server.cli_ok(&["tenant", "destroyed", "receipt", &id, "--out", out]);
    let vkey = client.get("/v1/tenants/_system/log/vkey").text();
    let envelope: Value = serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
    let key: attestore_tlog::VerifierKey = vkey.trim().parse().unwrap();
    let statement = attestore_verify::statement::verify_statement(
        &envelope.to_string(),
        &attestore_verify::Trust::Key(key),
    )
    .unwrap();
    let says = &statement.statement.predicate;
    assert_eq!(
        (&says["tenant"]["id"], &says["final"]["size"]),
        (&info["id"], &json!(5))
    );
    assert_eq!(says["check"]["clean"], true);
    let stranger = Client::new(server.base(), &with_roles(&server, &["auditor"], &["other"]));
    stranger.get("/v1/destroyed-tenants").problem(403, "forbidden");
    client.get("/v1/destroyed-tenants/00").problem(404, "not_found");

    // The name leads to another tenant now.
    tenant(&server, "acme");
    let again = client.get(path).json();
    assert!(again["id"] != info["id"] && again["origin"] != info["origin"]);
    let old = Client::new(server.base(), &reader);
    assert_eq!(old.get(path).status, 401);
    server.stop();
    let checked = binary()
        .args(["fsck", "--data"])
        .arg(server.data())
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

#[test]
fn a_hold_or_a_lock_keeps_a_tenant_and_two_persons_go_below_governance() {
    let server = Server::start();
    tenant(&server, "acme");
    let manager = Client::new(
        server.base(),
        &with_roles(&server, &["retention_manager"], &["acme"]),
    );
    let client = server.client();
    let hold = json!({ "ranges": [[0, 1]], "matter": "case 7", "reason": "they sue" });
    let placed = manager.post_json("/v1/tenants/acme/holds", &hold);
    let path = "/v1/tenants/acme?confirm=acme&reason=over";
    if placed.status == 201 {
        let held = client.request("DELETE", path, &[], b"");
        let problem = held.problem(409, "tenant_held");
        let id = placed.json()["id"].as_str().unwrap().to_owned();
        assert!(problem["detail"].as_str().unwrap().contains(&id), "{problem}");
        let released = manager.post_json(
            &format!("/v1/tenants/acme/holds/{id}/release"),
            &json!({ "reason": "settled" }),
        );
        assert_eq!(released.status, 200, "{}", released.text());
    } else {
        panic!("{}", placed.text());
    }
    let policy = json!({ "name": "all", "keep_min_ms": 86_400_000, "mode": "governance", "erasable": "personal_only" });
    let headers = [("content-type", "application/json")];
    let set = manager.request(
        "PUT",
        "/v1/tenants/acme/retention/1",
        &headers,
        policy.to_string().as_bytes(),
    );
    assert!(set.status < 300, "{}", set.text());
    client
        .request("DELETE", path, &[], b"")
        .problem(409, "retention_locked");
    let asker = Client::new(
        server.base(),
        &with_roles(&server, &["admin", "retention_bypass"], &["acme"]),
    );
    let bypass = [("attestore-bypass-governance", "true")];
    let asked = asker.request("DELETE", path, &bypass, b"");
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert_eq!(asked.json()["kind"], "tenant_destroy");
    let approval = asked.json()["id"].as_str().unwrap().to_owned();
    let approved = manager.post_json(
        &format!("/v1/tenants/acme/approvals/{approval}/approve"),
        &json!({}),
    );
    assert_eq!(approved.status, 200, "{}", approved.text());
    let destroyed = asker.request("DELETE", path, &bypass, b"");
    assert_eq!(destroyed.status, 200, "{}", destroyed.text());
    assert_eq!(destroyed.json()["bypassed"], json!([1]));
}
