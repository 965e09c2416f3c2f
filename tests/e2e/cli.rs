//! The client commands against a real server.

use crate::harness::{Server, binary};

#[test]
fn a_generated_trail_is_appended_resumed_found_and_verified() {
    let server = Server::start();
    let file = server.home().join("trail.ndjson");
    let file = file.to_str().unwrap();
    server.cli_ok(&["bench", "generate", "-n", "3000", "--seed", "5", "-o", file]);

    let first = server.cli_ok(&["append", file, "--mapping", "cloudtrail", "--output", "json"]);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (first["appended"].as_u64(), first["refused"].as_u64()),
        (Some(3000), Some(0))
    );
    let again = server.cli_ok(&["append", file, "--mapping", "cloudtrail", "--output", "json"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(
        (again["appended"].as_u64(), again["duplicates"].as_u64()),
        (Some(0), Some(3000))
    );

    let denied = server.cli_ok(&["search", "outcome:denied", "--count"]);
    let jq = std::process::Command::new("jq")
        .args(["-s", r#"[.[] | select(.errorCode == "AccessDenied" or .errorCode == "Client.UnauthorizedOperation")] | length"#, file])
        .output()
        .unwrap();
    assert_eq!(denied.trim(), String::from_utf8_lossy(&jq.stdout).trim());
    let rows = server.cli_ok(&["search", "outcome:denied", "-n", "3"]);
    assert_eq!(rows.lines().count(), 4, "{rows}");

    let checkpoint = server.home().join("checkpoint");
    let checkpoint = checkpoint.to_str().unwrap();
    server.cli_ok(&["checkpoint", "--save", checkpoint]);
    server.cli_ok(&["append", file, "--mapping", "cloudtrail", "--repeat"]);
    server.cli_ok(&["checkpoint", "--since", checkpoint]);
    let verified = server.cli_ok(&["verify", "--checkpoint", checkpoint, "--sample", "20"]);
    assert!(verified.contains("records 20 opened"), "{verified}");
}

#[test]
fn proof_files_verify_offline_and_fail_when_touched() {
    let server = Server::start();
    let client = server.client();
    assert_eq!(
        client
            .post_json("/v1/tenants/default/events", &crate::harness::event(7))
            .status,
        201
    );
    let vkey = client.get("/v1/tenants/default/log/vkey").text();
    let proof = server.cli_ok(&["get", "0", "--proof"]);
    let path = server.home().join("record.tlog-proof");
    let verify = |text: &str| {
        std::fs::write(&path, text).unwrap();
        binary()
            .args(["verify", "--vkey", vkey.trim(), "--proof"])
            .arg(&path)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(verify(&proof), Some(0));
    let (mut refused, lines): (u32, Vec<&str>) = (0, proof.lines().collect());
    for (n, line) in lines.iter().enumerate() {
        let Some(at) = line.char_indices().map(|(i, _)| i).nth(line.chars().count() / 2) else {
            continue;
        };
        let old = line[at..].chars().next().unwrap();
        let new = if old == 'A' { 'B' } else { 'A' };
        let mut touched: Vec<String> = lines.iter().map(ToString::to_string).collect();
        touched[n] = format!("{}{new}{}", &line[..at], &line[at + old.len_utf8()..]);
        let code = verify(&(touched.join("\n") + "\n"));
        assert_eq!(code, Some(3), "line {n}: {line}");
        refused += 1;
    }
    assert!(refused > 5);
}

#[test]
fn exit_codes_tell_what_happened() {
    let server = Server::start();
    let code = |arguments: &[&str]| server.cli(arguments).status.code();
    assert_eq!(code(&["search"]), Some(0));
    assert_eq!(code(&["get", "99"]), Some(1));
    assert_eq!(code(&["frobnicate"]), Some(2));
    let data = server.data();
    let data = data.to_str().unwrap();
    assert_eq!(
        code(&["fsck", "--data", data]),
        Some(5),
        "a directory in use is told"
    );
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(code(&["fsck", "--data", empty.path().to_str().unwrap()]), Some(1));
}

#[test]
fn a_lost_admin_credential_can_be_replaced_by_who_has_the_root_key() {
    let mut server = Server::start();
    server.stop();
    let file = server.home().join("new-credential");
    let made = binary()
        .args(["credential", "bootstrap", "--data"])
        .arg(server.data())
        .arg("--secret-file")
        .arg(&file)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.run();
    let secret = std::fs::read_to_string(&file).unwrap();
    let client = crate::harness::Client::new(server.base(), secret.trim());
    let recorded = client.all("_system", "action:credential.bootstrap");
    assert_eq!(
        recorded.len(),
        2,
        "the first start and the replacement are both in the log: {recorded:?}"
    );
}
