//! Evidence bundles: made by the server, downloaded by the command, and verified by programs that know nothing of either.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{EXPORTS, done, fill, make, show, vkey, wait};
use crate::harness::{Client, Server, binary, scale};

/// The program for outsiders, which is built beside the server.
pub(crate) fn attestore_verify(arguments: &[&str]) -> Output {
    let server = binary().get_program().to_owned();
    let program = Path::new(&server).with_file_name("attestore-verify");
    let mut command = Command::new(program);
    let run = command.env_clear().args(arguments).output();
    run.expect("cargo build -p attestore-verify-cli makes it")
}

fn python(key: &str, file: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("target/venv/bin/python"));
    command.arg(root.join("docs/verify.py")).args([key, file]);
    command.output().expect("scripts/test installs Python packages")
}

/// What three programs say of a bundle: the verifier, the script, the server's own binary without a server.
fn verdicts(key: &str, file: &str) -> [Option<i32>; 3] {
    let own = binary().args(["verify", file, "--vkey", key]).output();
    [
        attestore_verify(&["bundle", file, "--vkey", key]),
        python(key, file),
        own.unwrap(),
    ]
    .map(|output| output.status.code())
}

fn report(arguments: &[&str]) -> Value {
    let output = attestore_verify(arguments);
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["verified"], true, "{said}");
    said["report"].clone()
}

#[test]
fn a_bundle_is_verified_by_programs_that_need_no_server() {
    let mut server = Server::start();
    let client = server.client();
    fill(&client, 150);
    // A policy, which belongs to what completeness is judged by.
    server.cli_ok(&["tenant", "index", "set", "default", "--path", "payload.amount"]);
    fill(&client, 150);
    let key = vkey(&server);
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (range, set, query) = (path("range.evidence"), path("set of two"), path("query.evidence"));
    let export = |more: &[&str], file: &str| {
        let arguments = [&["export", "--format", "evidence", "-o", file], more].concat();
        server.cli_ok(&arguments)
    };
    let said = export(&["--range", "200..301"], &range);
    let command = format!("attestore-verify bundle '{range}' --vkey '{key}'");
    assert!(said.contains(&command), "{said}");
    let id = client.get("/v1/tenants/default/events/9").json()["id"].clone();
    export(&["--record", "250", id.as_str().unwrap()], &set);
    export(&["metadata.n:>=140"], &query);
    server.stop();

    let ranged = report(&["bundle", &range, "--vkey", &key, "--output", "json"]);
    assert_eq!(ranged["range"]["opened"], 101, "{ranged}");
    assert_eq!(ranged["range"]["findings"], json!([]));
    assert_eq!(
        (&ranged["records"], &ranged["control_records"]),
        (&json!(102), &json!(1))
    );
    let of_two = report(&["bundle", &set, "--vkey", &key, "--output", "json"]);
    assert_eq!((&of_two["records"], &of_two["proofs"]), (&json!(2), &json!(2)));
    assert_eq!(of_two["groups_opened"], 2, "{of_two}");
    let of_query = report(&["bundle", &query, "--vkey", &key, "--output", "json"]);
    assert_eq!(of_query["records"], 20);
    assert_eq!(of_query["unproved_query"], "metadata.n:>=140");
    for file in [&range, &set, &query] {
        assert_eq!(verdicts(&key, file), [Some(0); 3], "{file}");
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
        assert_eq!(verdicts(&key, file), [Some(3); 3], "{file}");
    }
    // Without a key nothing is believed.
    assert_eq!(attestore_verify(&["bundle", &range]).status.code(), Some(2));
    let keyless = binary().args(["verify", &range]).output().unwrap();
    assert_eq!(keyless.status.code(), Some(2));
}

#[test]
fn who_may_not_see_personal_fields_gets_evidence_without_them() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 30);
    let path = "/v1/tenants/default/credentials";
    let made = client.post_json(path, &json!({"name": "r", "roles": ["reader"]}));
    let reader = Client::new(server.base(), made.json()["secret"].as_str().unwrap());
    let wanted = json!({"format": "evidence", "range": {"from": 5, "to": 25}});
    let (theirs, ours) = (make(&reader, &wanted), make(&client, &wanted));
    let (file, key) = (tempdir().unwrap(), vkey(&server));
    let path = file.path().join("b.evidence");
    let path = path.to_str().unwrap();
    for (id, opened) in [(&theirs, 0), (&ours, 20)] {
        let export = done(&client, id);
        assert_eq!(export["files"][0]["name"], format!("{id}.evidence"));
        let got = client.get(&format!("{EXPORTS}/{id}/files/{id}.evidence"));
        assert_eq!(got.content_type, "application/zip");
        let personal = got.body.windows(3).any(|some| some == b"Ann");
        assert_eq!(personal, opened > 0);
        std::fs::write(path, &got.body).unwrap();
        let found = report(&["bundle", path, "--vkey", &key, "--output", "json"]);
        assert_eq!(found["groups_opened"], opened, "{found}");
        assert_eq!(found["range"]["opened"], 20, "{found}");
        assert_eq!(verdicts(&key, path), [Some(0); 3]);
    }
    reader
        .get(&format!("{EXPORTS}/{ours}/files/{ours}.evidence"))
        .problem(403, "forbidden");
    let shown = show(&reader, &ours);
    assert_eq!((&shown["files"], &shown["range"]["to"]), (&json!([]), &json!(25)));
}

#[test]
fn a_bundle_killed_in_the_middle_is_made_anew() {
    let count = scale("ATTESTORE_EVIDENCE_KILLED", 20_000);
    let mut server = Server::start_with(&[], &[("ATTESTORE_ENGINE__BACKGROUND_BYTES_PER_S", "6000000")]);
    fill(&server.client(), count);
    let wanted = json!({"format": "evidence", "range": {"from": 0, "to": count}});
    let id = make(&server.client(), &wanted);
    let mut kills = 0;
    while kills < 3 {
        let client = server.client();
        let export = wait(&client, &id, |export| {
            export["progress"]["written"].as_u64().unwrap() > count / 4
        });
        if export["state"] == "done" {
            break;
        }
        server.kill();
        server.run();
        kills += 1;
    }
    assert!(kills >= 1, "it was over too soon");
    let export = done(&server.client(), &id);
    assert_eq!(
        (&export["progress"]["written"], &export["tree"]["size"]),
        (&json!(count), &json!(count))
    );
    let folder = tempdir().unwrap();
    let file = folder.path().join("killed.evidence");
    let file = file.to_str().unwrap();
    // Half of the download is there from before.
    let whole = server
        .client()
        .get(&format!("{EXPORTS}/{id}/files/{id}.evidence"))
        .body;
    std::fs::write(format!("{file}.partial"), &whole[..whole.len() / 2]).unwrap();
    server.cli_ok(&["export", "download", &id, "--out", file]);
    assert!(std::fs::read(file).unwrap() == whole);
    let key = vkey(&server);
    server.stop();
    let found = report(&["bundle", file, "--vkey", &key, "--output", "json"]);
    assert_eq!(found["range"]["opened"], count, "{found}");
    let mut fsck = binary();
    let fsck = fsck.args(["fsck", "--data"]).arg(server.data()).output().unwrap();
    let text = String::from_utf8_lossy(&fsck.stdout).into_owned();
    assert!(fsck.status.success() && !text.contains("STRAY"), "{text}");
}

#[test]
fn what_no_bundle_can_be_about_is_refused() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 10);
    let evidence = |more: Value| {
        let mut body = json!({"format": "evidence"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for (body, code, status) in [
        (
            evidence(json!({"range": {"from": 3, "to": 11}})),
            "beyond_tree",
            404,
        ),
        (
            evidence(json!({"range": {"from": 3, "to": 3}})),
            "invalid_export",
            400,
        ),
        (evidence(json!({"range": {"from": 3}})), "invalid_export", 400),
        (evidence(json!({"records": []})), "invalid_export", 400),
        (evidence(json!({"records": [3, "x"]})), "invalid_record", 400),
        (evidence(json!({"records": [10]})), "unknown_record", 404),
        (
            evidence(json!({"records": [1], "range": {"from": 0, "to": 1}})),
            "invalid_export",
            400,
        ),
        (
            evidence(json!({"records": [1], "query": "a"})),
            "invalid_export",
            400,
        ),
        (evidence(json!({"compression": "zstd"})), "invalid_export", 400),
        (evidence(json!({"fields": ["action"]})), "invalid_export", 400),
        (evidence(json!({"checkpoint": "witnessed"})), "not_witnessed", 409),
        (evidence(json!({"checkpoint": "trusted"})), "invalid_export", 400),
        (json!({"format": "ndjson", "records": [1]}), "invalid_export", 400),
    ] {
        let refused = client.post_json(EXPORTS, &body);
        assert_eq!(refused.status, status, "{body}: {}", refused.text());
        refused.problem(status, code);
    }
    let nothing = make(&client, &evidence(json!({"query": "action:never"})));
    let failed = wait(&client, &nothing, |_| false);
    assert_eq!(
        (&failed["state"], &failed["error"]["code"]),
        (&json!("failed"), &json!("no_records"))
    );
}
