//! A tenant moves between two real servers, by the command line, over a kill of each; `attestore-verify` reads what is left of it.

use std::path::Path;

use attestore_verify::{Trust, verify_tlog_proof};
use serde_json::{Value, json};

use crate::harness::{Server, event};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_tenant_moves_by_the_command_line_and_its_proofs_verify_at_both_ends() {
    let (mut from, mut to) = (Server::start(), Server::start());
    let old = from.client();
    assert!(old.request("PUT", "/v1/tenants/acme", &[], b"{}").status < 300);
    for n in 0..30 {
        assert_eq!(old.post_json("/v1/tenants/acme/events", &event(n)).status, 201);
    }
    let record = |server: &Server, n: u64| {
        server
            .client()
            .get(&format!("/v1/tenants/acme/events/{n}"))
            .json()
    };
    let before: Vec<Value> = (0..30).map(|n| record(&from, n)).collect();
    let proof = old.get("/v1/tenants/acme/events/7/proof").text();
    let vkey = old.get("/v1/tenants/acme/log/vkey").text().trim().to_owned();
    let invitation = from.home().join("invitation.json");
    let at = invitation.to_str().unwrap().to_owned();
    to.cli_ok(&["tenant", "move", "invite", "--note", "acme", "--out", &at]);
    let id = parsed(&std::fs::read_to_string(&invitation).unwrap())["id"]
        .as_str()
        .unwrap()
        .to_owned();
    from.cli_ok(&[
        "tenant",
        "move",
        "start",
        "acme",
        "--invitation",
        &at,
        "--reason",
        "larger machine",
    ]);
    // What comes meanwhile goes along.
    assert_eq!(old.post_json("/v1/tenants/acme/events", &event(30)).status, 201);
    from.kill();
    from.run();
    let closed = parsed(&from.cli_ok(&["tenant", "move", "close", "acme", "--output", "json"]));
    assert_eq!(
        (&closed["state"], &closed["vkey"]),
        (&json!("packed"), &json!(vkey))
    );
    assert_eq!(closed["size"], 32);
    let old = from.client();
    old.post_json("/v1/tenants/acme/events", &event(31))
        .problem(409, "tenant_moved");
    let folder = closed["folder"].as_str().unwrap();
    copy(&from.data().join(folder), &to.data().join(folder));
    let report = parsed(&to.cli_ok(&[
        "tenant", "move", "check", &id, "--vkey", &vkey, "--output", "json",
    ]));
    assert_eq!(
        (&report["opened"], &report["problems"]),
        (&json!(true), &json!([]))
    );
    to.client().get("/v1/tenants/acme").problem(404, "unknown_tenant");
    to.cli_ok(&["tenant", "move", "import", &id, "--vkey", &vkey]);
    for (n, was) in (0u64..).zip(&before) {
        let now = record(&to, n);
        assert!(now["event"].is_object(), "{now}");
        assert_eq!(now["event"], was["event"], "{n}");
    }
    to.kill();
    to.run();
    assert_eq!(
        to.client()
            .post_json("/v1/tenants/acme/events", &event(32))
            .status,
        201
    );
    assert_eq!(to.client().count("acme", "actor.type:user"), 32);
    // Proofs of before verify as ever; those of now under the key that the old one named.
    verify_tlog_proof(&proof, &vkey).unwrap();
    let next = to
        .client()
        .get("/v1/tenants/acme/log/vkey")
        .text()
        .trim()
        .to_owned();
    let again = to.client().get("/v1/tenants/acme/events/7/proof").text();
    verify_tlog_proof(&again, &next).unwrap();
    let keys = to.client().get("/v1/tenants/acme/log/keys").json();
    assert_eq!(keys["items"][0]["vkey"], json!(vkey));
    let handover = keys["items"][0]["handover"].as_str().unwrap();
    let handover = attestore_tlog::Handover::open(handover, &vkey.parse().unwrap()).unwrap();
    assert_eq!(handover.next.to_string(), next);
    let receipt = from.home().join("receipt.json");
    let out = receipt.to_str().unwrap();
    to.cli_ok(&["tenant", "move", "receipt", &id, "--out", out]);
    let signed = std::fs::read_to_string(&receipt).unwrap();
    let trust = Trust::Key(next.parse().unwrap());
    attestore_verify::statement::verify_statement(&signed, &trust).unwrap();
    let gone = parsed(&from.cli_ok(&[
        "tenant",
        "move",
        "confirm",
        "acme",
        "--confirm",
        "acme",
        "--receipt",
        out,
    ]));
    assert!(
        gone["reason"].as_str().unwrap().contains("moved to the server"),
        "{gone}"
    );
    old.get("/v1/tenants/acme").problem(404, "unknown_tenant");
    assert!(!from.data().join(folder).exists());
    assert!(!to.data().join(folder).exists());
    let acts = old.all("_system", "action:tenant*");
    assert!(!acts.is_empty());
    for server in [&mut from, &mut to] {
        server.stop();
        let checked = server.cli(&["fsck", "--data", server.data().to_str().unwrap()]);
        assert_eq!(
            checked.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
    }
}

#[test]
fn a_move_that_is_taken_back_lets_the_log_go_on_at_once() {
    let (from, to) = (Server::start(), Server::start());
    let old = from.client();
    assert!(old.request("PUT", "/v1/tenants/acme", &[], b"{}").status < 300);
    for n in 0..10 {
        assert_eq!(old.post_json("/v1/tenants/acme/events", &event(n)).status, 201);
    }
    let vkey = old.get("/v1/tenants/acme/log/vkey").text().trim().to_owned();
    let invitation = to.cli_ok(&["tenant", "move", "invite", "--note", "acme"]);
    let at = from.home().join("invitation.json");
    std::fs::write(&at, invitation).unwrap();
    let at = at.to_str().unwrap();
    let reason = ["--reason", "larger machine"];
    from.cli_ok(
        &[
            ["tenant", "move", "start", "acme", "--invitation", at].as_slice(),
            &reason,
        ]
        .concat(),
    );
    from.cli_ok(&["tenant", "move", "close", "acme"]);
    old.post_json("/v1/tenants/acme/events", &event(10))
        .problem(409, "tenant_moved");
    let taken_back = from.cli_ok(&["tenant", "move", "abort", "acme", "--reason", "not now"]);
    let taken_back = parsed(&taken_back);
    assert_eq!(taken_back["restart"], json!(false));
    let next = old.get("/v1/tenants/acme/log/vkey").text().trim().to_owned();
    assert_eq!(taken_back["vkey"], json!(next));
    assert_ne!(next, vkey);
    assert_eq!(old.post_json("/v1/tenants/acme/events", &event(10)).status, 201);
    old.get("/v1/tenants/acme/move").problem(404, "not_found");
    let proof = old.get("/v1/tenants/acme/events/3/proof").text();
    verify_tlog_proof(&proof, &next).unwrap();
    let keys = old.get("/v1/tenants/acme/log/keys").json();
    assert_eq!(keys["items"][0]["vkey"], json!(vkey));
}
