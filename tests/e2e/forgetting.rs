//! Retention, holds and approvals by the command line, over kills.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::exports::attestore_verify;
use crate::harness::{Server, binary, event};

/// The secret of a new credential with these roles.
fn with_roles(server: &Server, roles: &[&str]) -> String {
    let wanted = json!({ "name": "one", "roles": roles, "tenants": ["default"] });
    let made = server.client().post_json("/v1/credentials", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["secret"].as_str().unwrap().to_owned()
}

/// Runs a client command as somebody; whether it succeeded, and what it printed.
fn run(server: &Server, secret: &str, arguments: &[&str]) -> (bool, String, String) {
    let output = binary()
        .args(arguments)
        .env("ATTESTORE_URL", server.base())
        .env("ATTESTORE_CREDENTIAL", secret)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn json_of(server: &Server, secret: &str, arguments: &[&str]) -> Value {
    let (done, out, err) = run(server, secret, arguments);
    assert!(done, "{arguments:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn policies_holds_and_approvals_by_the_command_line_survive_a_kill() {
    let mut server = Server::start();
    let manager = with_roles(&server, &["retention_manager", "retention_bypass"]);
    let officer = with_roles(&server, &["privacy_officer"]);
    for n in 0..3 {
        let appended = server.client().post_json("/v1/tenants/default/events", &event(n));
        assert_eq!(appended.status, 201);
    }
    let (done, table, warnings) = run(
        &server,
        &manager,
        &[
            "policy",
            "set",
            "1",
            "--name",
            "all",
            "--keep-min",
            "30d",
            "--keep-max",
            "400d",
            "--mode",
            "governance",
        ],
    );
    assert!(
        done && table.contains("30d") && table.contains("400d"),
        "{table}{warnings}"
    );
    assert!(warnings.contains("no law or contract"), "{warnings}");
    let weaker = ["policy", "set", "1", "--keep-min", "1d"];
    let (done, _, why) = run(&server, &manager, &weaker);
    assert!(!done && why.contains("retention_locked"), "{why}");
    let weaker: Vec<&str> = weaker.into_iter().chain(["--bypass-governance"]).collect();
    let (done, _, why) = run(&server, &manager, &weaker);
    assert!(!done && why.contains("attestore approval approve"), "{why}");

    let place = [
        "hold", "place", "--matter", "case 7", "--reason", "a suit", "--seqs", "0-1",
    ];
    let hold = json_of(&server, &manager, &place);
    assert_eq!(hold["records"], 2);
    server.kill();
    server.run();

    let explained = json_of(&server, &officer, &["explain", "1", "--output", "json"]);
    assert_eq!(
        (&explained["standing"], &explained["class"]),
        (&json!("held"), &json!(1))
    );
    let (_, sentence, _) = run(&server, &officer, &["explain", "2"]);
    assert!(sentence.contains("kept until"), "{sentence}");
    let open = json_of(&server, &officer, &["approval", "list", "--output", "json"]);
    let id = open[0]["id"].as_str().unwrap();
    json_of(&server, &officer, &["approval", "approve", id]);
    let (done, table, why) = run(&server, &manager, &weaker);
    assert!(done && table.contains("1d"), "{why}");
    let preview = json_of(
        &server,
        &officer,
        &["policy", "preview", "--at", "2100-01-01", "--output", "json"],
    );
    let due = &preview["items"][0];
    assert_eq!(
        (&due["due_records"], &due["held_records"]),
        (&json!(3), &json!(2))
    );
    let id = hold["id"].as_str().unwrap();
    let released = json_of(&server, &manager, &["hold", "release", id, "--reason", "settled"]);
    assert_eq!(released["state"], "released");
    let (_, listed, _) = run(&server, &officer, &["hold", "list"]);
    assert!(
        listed.contains("released") && listed.contains("case 7"),
        "{listed}"
    );
}

#[test]
fn what_went_by_order_and_by_erasure_is_certified_to_outsiders() {
    let mut server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_AGE_MS", "300")]);
    let manager = with_roles(&server, &["retention_manager"]);
    let officer = with_roles(&server, &["privacy_officer"]);
    let client = server.client();
    for n in 0..30 {
        let appended = client.post_json("/v1/tenants/default/events", &event(n));
        assert_eq!(appended.status, 201);
    }
    let policy = [
        "policy",
        "set",
        "1",
        "--name",
        "all",
        "--basis",
        "contract",
        "--erasable",
        "yes",
    ];
    let policy = json_of(&server, &manager, &[&policy[..], &["--output", "json"]].concat());
    let policy = policy["record"].as_u64().or(policy["seq"].as_u64()).unwrap_or(30);
    let purged = [
        "purge", "run", "--class", "1", "--range", "3..6", "--reason", "ordered", "--output", "json",
    ];
    let purged = json_of(&server, &manager, &purged);
    let purged = purged[0]["id"].as_str().unwrap().to_owned();
    let erased = [
        "erase",
        "run",
        "--seq",
        "10",
        "--seq",
        "12",
        "--basis",
        "classified by mistake",
        "--output",
        "json",
    ];
    let erased = json_of(&server, &officer, &erased);
    assert_eq!(
        (&erased["state"], &erased["scope"], &erased["records"]),
        (&json!("done"), &json!("records"), &json!(2)),
        "{erased}"
    );
    for (seq, code) in [(4, "purged"), (10, "erased"), (12, "erased")] {
        let path = format!("/v1/tenants/default/events/{seq}");
        client.get(&path).problem(410, code);
        assert_eq!(client.get(&format!("{path}/proof")).status, 200);
    }
    let again = ["erase", "run", "--seq", "12", "--basis", "again"];
    let (done, _, why) = run(&server, &officer, &again);
    assert!(!done && why.contains("erased"), "{why}");
    let control = policy.to_string();
    let (done, _, why) = run(
        &server,
        &officer,
        &["erase", "run", "--seq", &control, "--basis", "x"],
    );
    assert!(!done && why.contains("control"), "{why}");

    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (receipt, certificate) = (path("receipt.json"), path("certificate.json"));
    let begin = Instant::now();
    while !run(&server, &manager, &["purge", "receipt", &purged, "-o", &receipt]).0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "no receipt");
        std::thread::sleep(Duration::from_millis(200));
    }
    let id = erased["id"].as_str().unwrap();
    let (done, _, why) = run(
        &server,
        &officer,
        &["erase", "certificate", id, "-o", &certificate],
    );
    assert!(done, "{why}");
    let key = client.get("/v1/tenants/default/log/vkey").text();
    let other = client.get("/v1/tenants/_system/log/vkey").text();
    for file in [&receipt, &certificate] {
        let code = |key: &str| {
            attestore_verify(&["statement", file, "--vkey", key.trim()])
                .status
                .code()
        };
        assert_eq!(code(&key), Some(0), "{file}");
        assert_eq!(code(&other), Some(3), "{file}");
    }
    let text = std::fs::read_to_string(&certificate).unwrap();
    std::fs::write(&certificate, text.replacen("eyJ", "eyK", 1)).unwrap();
    let doctored = attestore_verify(&["statement", &certificate, "--vkey", key.trim()]);
    assert_eq!(doctored.status.code(), Some(3));

    let whole = path("all.evidence");
    let end = client.get("/v1/tenants/default").json()["size"].to_string();
    server.cli_ok(&[
        "export",
        "--format",
        "evidence",
        "--range",
        &format!("0..{end}"),
        "-o",
        &whole,
    ]);
    let judged = attestore_verify(&["bundle", &whole, "--vkey", key.trim(), "--output", "json"]);
    let said: Value = serde_json::from_slice(&judged.stdout).unwrap();
    let range = &said["report"]["range"];
    assert_eq!(
        (&range["purged"], &range["erased"]),
        (&json!(3), &json!(2)),
        "{said}"
    );
    assert_eq!(range["findings"], json!([]));
    server.stop();
    let fsck = server.cli_ok(&["fsck", "--data", server.data().to_str().unwrap()]);
    assert!(!fsck.contains("DAMAGE"), "{fsck}");
}

#[test]
fn what_is_wrong_about_somebody_is_corrected_until_they_are_erased() {
    let mut server = Server::start();
    let officer = with_roles(&server, &["privacy_officer"]);
    let reader = with_roles(&server, &["reader"]);
    let sees = with_roles(&server, &["investigator"]);
    let wrong = json!({ "action": "user.login", "severity": "info", "actor": { "type": "user", "id": "ann", "name": "Ann Wrong" } });
    let appended = server.client().post_json("/v1/tenants/default/events", &wrong);
    assert_eq!(appended.status, 201, "{}", appended.text());
    let proof = server.client().get("/v1/tenants/default/events/0/proof").text();

    let field = "/actor/name=Anne Right";
    let correct = ["correct", "run", "0", "--field", field, "--reason", "wrote in"];
    let (done, _, why) = run(&server, &sees, &correct);
    assert!(!done && why.contains("forbidden"), "{why}");
    let (done, _, why) = run(
        &server,
        &officer,
        &["correct", "run", "0", "--field", "/actor/nick=A", "--reason", "x"],
    );
    assert!(!done && why.contains("no such field"), "{why}");
    let severity = ["--field", "/severity=notice", "--output", "json"];
    let made = json_of(&server, &officer, &[&correct[..], &severity].concat());
    assert_eq!(made["seqs"], json!([1, 2]));
    server.kill();
    server.run();

    let record = json_of(&server, &reader, &["get", "0"]);
    assert_eq!(record["corrected_by"], json!([1, 2]));
    assert_eq!(record["event"]["severity"], "info", "the record stays as it is");
    let found = server
        .client()
        .get("/v1/tenants/default/events?q=action:user.login")
        .json();
    assert_eq!(found["items"][0]["corrected_by"], json!([1, 2]));
    assert_eq!(found["items"][0]["event"]["actor"]["name"], "Ann Wrong");
    let fields = |secret: &str| {
        let all = json_of(&server, secret, &["correct", "list", "0", "--output", "json"]);
        let items = all.as_array().unwrap().iter();
        items.map(|item| item["fields"].clone()).collect::<Vec<_>>()
    };
    let notice = json!({ "/severity": "notice" });
    assert_eq!(
        fields(&sees),
        [notice.clone(), json!({ "/actor/name": "Anne Right" })]
    );
    assert_eq!(
        fields(&reader),
        [notice.clone(), json!({ "/actor/name": "[personal]" })]
    );
    assert_eq!(
        server.client().get("/v1/tenants/default/events/0/proof").status,
        200
    );
    assert!(!proof.is_empty());

    let erase = [
        "erase",
        "run",
        "--subject",
        "user:ann",
        "--basis",
        "Art. 17 GDPR",
        "--undo-s",
        "0",
        "--output",
        "json",
    ];
    json_of(&server, &officer, &erase);
    assert_eq!(fields(&sees), [notice, json!({ "/actor/name": "[personal]" })]);
    let (done, _, why) = run(&server, &officer, &correct);
    assert!(!done && why.contains("erased"), "{why}");
}
