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

#[test]
fn facets_and_histograms_show_what_is_there() {
    let server = Server::start();
    let events: Vec<String> = (0..60)
        .map(|n| {
            let mut event = crate::harness::event(n);
            event["occurred_at"] = serde_json::json!(format!("2026-01-{:02}T10:00:00Z", 1 + n % 3));
            event["action"] = serde_json::json!(if n % 4 == 0 { "facet.rare" } else { "facet.common" });
            event.to_string()
        })
        .collect();
    let answer = server
        .client()
        .post_ndjson("/v1/tenants/default/events", &events.join("\n"));
    assert_eq!(answer.status, 201, "{}", answer.text());

    let shown = server.cli_ok(&["search", "--facet", "action:1", "--histogram=1d"]);
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["ACTION", "COUNT"], "{shown}");
    assert_eq!(lines[1][..2], ["facet.common", "45"], "{shown}");
    assert_eq!(lines[2], ["(others)", "15"], "{shown}");
    assert_eq!(lines[3], ["OCCURRED_AT", "COUNT"], "{shown}");
    assert_eq!(lines[4][..2], ["2026-01-01T00:00:00Z", "20"], "{shown}");
    assert_eq!(lines.len(), 7, "{shown}");
    let chosen = server.cli_ok(&["search", "action:facet.rare", "--histogram"]);
    assert!(chosen.contains("2026-01-03T"), "{chosen}");
    assert!(!server.cli(&["search", "--facet", "action:many"]).status.success());
}

#[test]
fn status_tells_each_credential_what_it_may_know() {
    let server = Server::start();
    let answer = server
        .client()
        .post_json("/v1/tenants/default/events", &crate::harness::event(1));
    assert_eq!(answer.status, 201);
    let shown = server.cli_ok(&["status"]);
    for part in ["ready", "free space", "default", "_system"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let status: serde_json::Value =
        serde_json::from_str(&server.cli_ok(&["status", "--output", "json"])).unwrap();
    assert!(status["instance"]["free_bytes"].as_u64().unwrap() > 0);
    let default = status["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == "default");
    assert_eq!(default.unwrap()["size"], 1);

    let reader = server.client().post_json(
        "/v1/tenants/default/credentials",
        &serde_json::json!({"name": "reads", "roles": ["reader"]}),
    );
    let secret = reader.json()["secret"].as_str().unwrap().to_owned();
    let read = crate::harness::Client::new(server.base(), &secret);
    read.get("/v1/status").problem(403, "forbidden");
    let shown = server.cli_ok(&["status", "--credential", &secret]);
    assert!(shown.contains("default") && !shown.contains("_system"), "{shown}");
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let run = |arguments: &[&str]| {
        let output = binary().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        assert!(
            script.contains("checkpoint") && script.contains("tail"),
            "{shell}"
        );
    }
    assert!(run(&["man"]).contains(".TH attestore 1"));
    let folder = tempfile::tempdir().unwrap();
    run(&["man", "--out", folder.path().to_str().unwrap()]);
    for page in ["attestore.1", "attestore-search.1", "attestore-tenant-create.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}

#[test]
fn the_measurements_of_backups_and_of_forgetting_run_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let measured = |arguments: &[&str]| -> serde_json::Value {
        let output = binary()
            .args([
                "bench",
                arguments[0],
                "--seconds",
                "1",
                "--output",
                "json",
                "--dir",
            ])
            .arg(dir.path())
            .args(&arguments[1..])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let backup = measured(&["backup", "-n", "3000"]);
    assert!(backup["backup_bytes"].as_u64().unwrap() > 100_000, "{backup}");
    let forget = measured(&["forget", "-n", "3000", "--subjects", "2"]);
    assert!(
        forget["erasure"]["bytes_rewritten"].as_u64().unwrap() > 0,
        "{forget}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
