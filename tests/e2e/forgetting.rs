//! Retention, holds and approvals by the command line, over kills.

use serde_json::{Value, json};

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
