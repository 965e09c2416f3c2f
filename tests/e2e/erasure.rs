//! Erasing and restricting data subjects, by HTTP and by the command line.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Server};

fn about(id: &str, number: u32) -> Value {
    json!({
        "action": "file.read",
        "actor": {"type": "user", "id": id, "email": format!("{id}@example.org")},
        "metadata": {"n": number},
    })
}

/// A client with other roles.
fn with_roles(server: &Server, roles: &[&str]) -> (Client, String) {
    let made = server.client().post_json(
        "/v1/tenants/default/credentials",
        &json!({"name": roles.join(" "), "roles": roles}),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    (Client::new(server.base(), &secret), secret)
}

fn filled() -> Server {
    let server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_AGE_MS", "300")]);
    let client = server.client();
    for number in 0..20 {
        for id in ["ann", "ben"] {
            let answer = client.post_json("/v1/tenants/default/events", &about(id, number));
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    }
    server
}

#[test]
fn an_erasure_hides_at_once_and_ends_by_itself() {
    let mut server = filled();
    let client = server.client();
    let (officer, secret) = with_roles(&server, &["privacy_officer"]);
    assert_eq!(client.count("default", "actor.id:ann"), 20);
    let proof = client.get("/v1/tenants/default/events/0/proof");
    assert_eq!(proof.status, 200);

    let body = json!({"subjects": [{"type": "user", "id": "ann"}], "basis": "Art. 17 GDPR"});
    // Who administers does not erase.
    client
        .post_json("/v1/tenants/default/erasures", &body)
        .problem(403, "forbidden");
    let asked = officer.post_json("/v1/tenants/default/erasures", &body);
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert_eq!(client.count("default", "actor.id:ann"), 0);
    assert_eq!(client.count("default", "actor.id:ben"), 20);
    let record = client.get("/v1/tenants/default/events/0");
    assert!(!record.text().contains("ann"), "{}", record.text());

    let place = asked.header("location").unwrap().to_owned();
    let begin = Instant::now();
    let done = loop {
        let erasure = officer.get(&place).json();
        if erasure["state"] == "done" {
            break erasure;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{erasure}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(done["records"], 20, "{done}");
    for date in [
        "suppressed_since",
        "unreadable_since",
        "terms_gone_since",
        "bytes_gone_since",
    ] {
        assert!(done[date].is_string(), "{done}");
    }
    let seq = done["seq"].as_u64().unwrap();
    let control = client.get(&format!("/v1/tenants/default/events/{seq}")).json();
    assert_eq!(control["kind"], "erasure", "{control}");
    assert!(!control.to_string().contains("ann@"));
    assert_eq!(client.count("default", "actor.id:ann"), 0);

    // The same person later is somebody new; the command line does the same.
    assert_eq!(
        client
            .post_json("/v1/tenants/default/events", &about("ann", 99))
            .status,
        201
    );
    assert_eq!(client.count("default", "actor.id:ann"), 1);
    server.set_env("ATTESTORE_CREDENTIAL", &secret);
    let shown = server.cli_ok(&[
        "erase",
        "run",
        "--subject",
        "user:ann",
        "--basis",
        "Art. 17 GDPR",
        "--output",
        "json",
        "--credential",
        &secret,
    ]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["state"], &shown["records"]),
        (&json!("done"), &json!(1)),
        "{shown}"
    );
    let listed = server.cli_ok(&["erase", "list", "--output", "json", "--credential", &secret]);
    assert_eq!(
        serde_json::from_str::<Value>(&listed)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    officer
        .post_json("/v1/tenants/default/erasures", &body)
        .problem(404, "not_found");

    server.stop();
    server.run();
    assert_eq!(server.client().count("default", "actor.id:ann"), 0);
    server.stop();
    let fsck = server.cli_ok(&["fsck", "--data", server.data().to_str().unwrap()]);
    assert!(!fsck.contains("DAMAGE"), "{fsck}");
}

#[test]
fn an_erasure_is_taken_back_within_its_time() {
    let server = filled();
    let client = server.client();
    let (officer, _) = with_roles(&server, &["privacy_officer"]);
    let body = json!({"subjects": [{"type": "user", "id": "ann"}], "basis": "asked for", "undo_s": 600});
    let asked = officer.post_json("/v1/tenants/default/erasures", &body);
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert_eq!(client.count("default", "actor.id:ann"), 0);
    let place = asked.header("location").unwrap();
    let undone = officer.request("DELETE", place, &[], &[]);
    assert_eq!(
        (undone.status, &undone.json()["state"]),
        (200, &json!("cancelled")),
        "{}",
        undone.text()
    );
    assert_eq!(client.count("default", "actor.id:ann"), 20);
}

#[test]
fn restricted_data_is_read_for_a_purpose() {
    let server = filled();
    let client = server.client();
    let (_, secret) = with_roles(&server, &["privacy_officer"]);
    server.cli_ok(&[
        "restrict",
        "run",
        "--subject",
        "user:ann",
        "--reason",
        "contested",
        "--credential",
        &secret,
    ]);
    let read = |headers: &[(&str, &str)]| client.request("GET", "/v1/tenants/default/events/0", headers, &[]);
    let shown = read(&[]).json();
    assert_eq!(
        (&shown["restricted"], &shown["event"]["actor"]["id"]),
        (&json!(true), &json!("[personal]")),
        "{shown}"
    );
    assert_eq!(client.count("default", "actor.id:ann"), 0);
    let shown = read(&[("attestore-purpose", "legal_claims")]).json();
    assert_eq!(shown["event"]["actor"]["id"], "ann", "{shown}");
    read(&[("attestore-purpose", "curiosity")]).problem(400, "invalid_purpose");
    // The purpose is on record.
    let (auditor, _) = with_roles(&server, &["auditor"]);
    let begin = Instant::now();
    while !auditor
        .get("/v1/tenants/default/access-log?limit=1000")
        .text()
        .contains("legal_claims")
    {
        assert!(begin.elapsed() < Duration::from_secs(20), "not on record");
        std::thread::sleep(Duration::from_millis(100));
    }
    let listed = server.cli_ok(&["restrict", "list", "--output", "json", "--credential", &secret]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    server.cli_ok(&[
        "restrict",
        "end",
        id,
        "--reason",
        "settled",
        "--credential",
        &secret,
    ]);
    assert_eq!(client.count("default", "actor.id:ann"), 20);
}
