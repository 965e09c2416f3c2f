//! The machine is gone: a server is killed, its directory wiped, and a backup restored.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exports::attestore_verify;
use crate::harness::{Client, Server, binary, event};

const EVENTS: &str = "/v1/tenants/default/events";

/// An event that a client sends again as it was.
fn keyed(n: u64) -> Value {
    let mut event = event(n);
    event["idempotency_key"] = json!(format!("k{n}"));
    event
}

fn signed(server: &Server, event: &Value) -> Value {
    let headers = [("content-type", "application/json"), ("prefer", "receipt=signed")];
    let body = serde_json::to_vec(event).unwrap();
    let answer = server.client().request("POST", EVENTS, &headers, &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = binary().args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_wiped_server_comes_back_from_its_backup_and_clients_fill_what_was_lost() {
    let away = tempfile::tempdir().unwrap();
    let path = |name: &str| away.path().join(name).to_str().unwrap().to_owned();
    let (key, folder, register) = (path("backup.key"), path("folder"), path("heads"));
    let (code, recipient, said) = run(&["backup", "key", "--out", &key]);
    assert_eq!(code, Some(0), "{said}");
    let mut server = Server::start_with(
        &["--head-register", &register],
        &[
            ("ATTESTORE_BACKUP__TO", folder.as_str()),
            ("ATTESTORE_BACKUP__RECIPIENT", recipient.trim()),
            ("ATTESTORE_BACKUP__EVERY_MINUTES", "0"),
            ("ATTESTORE_BACKUP__SHIP_EVERY_S", "0"),
        ],
    );
    for n in 0..200 {
        assert_eq!(server.client().post_json(EVENTS, &keyed(n)).status, 201);
    }
    let old_receipt = signed(&server, &keyed(200));
    let old_key = server.vkey();
    // Somebody is erased behind the first backup, and a second one is made of what has changed.
    let made: Value =
        serde_json::from_str(&server.cli_ok(&["backup", "create", "--output", "json"])).unwrap();
    assert_eq!(
        (&made[0]["state"], &made[0]["ledger"]),
        (&json!("done"), &json!(0))
    );
    for n in 201..230 {
        assert_eq!(server.client().post_json(EVENTS, &keyed(n)).status, 201);
    }
    // Registered, so that what was lost is known.
    assert_eq!(
        server.client().get("/v1/tenants/default/log/checkpoint").status,
        200
    );
    let (code, _, said) = run(&["backup", "verify", &folder, "--key-file", &key]);
    assert_eq!(code, Some(0), "{said}");
    server.kill();
    std::fs::remove_dir_all(server.data()).unwrap();

    let data = server.data().to_str().unwrap().to_owned();
    let restore = [
        "restore",
        &folder,
        "--to",
        &data,
        "--key-file",
        &key,
        "--head-register",
        &register,
        "--output",
        "json",
    ];
    let (code, restored, said) = run(&restore);
    assert_eq!(code, Some(0), "{said}");
    let restored: Value = serde_json::from_str(&restored).unwrap();
    assert_eq!(restored["backup"], made[0]["id"]);
    let tenants = restored["tenants"].as_array().unwrap();
    let default = tenants.iter().find(|tenant| tenant["name"] == "default").unwrap();
    assert_eq!(
        (&default["entries"], &default["known"]),
        (&json!(201), &json!(230))
    );
    let (code, _, _) = run(&restore);
    assert_eq!(code, Some(1), "the directory is not empty any more");
    let (code, _, said) = run(&["fsck", "--data", &data, "--head-register", &register]);
    assert_eq!(code, Some(0), "{said}");

    server.run_restored();
    let client = server.client();
    assert_eq!(client.count("default", "action:invoice.export"), 201);
    // What was lost is exactly what came behind the backup; whoever sends everything again fills it.
    let mut lost = 0;
    for n in 0..230 {
        let item = client.post_json(EVENTS, &keyed(n)).json()["items"][0].clone();
        assert_eq!(item["duplicate"], json!(n < 201), "{n}: {item}");
        lost += u64::from(item["duplicate"] == false);
    }
    assert_eq!(lost, 29);
    assert_eq!(client.count("default", "action:invoice.export"), 230);
    assert_eq!(server.cli(&["verify"]).status.code(), Some(0));

    // Receipts of both epochs verify, and the old key names the new one.
    let new_receipt = signed(&server, &keyed(500));
    let new_key = server.vkey();
    let keys = client.get("/v1/tenants/default/log/keys").json()["items"].clone();
    assert_eq!(
        (&keys[0]["vkey"], &keys[0]["state"]),
        (&json!(old_key), &json!("retired"))
    );
    let write = |name: &str, text: &str| {
        std::fs::write(path(name), text).unwrap();
        path(name)
    };
    let old = write("old.json", &old_receipt.to_string());
    let new = write("new.json", &new_receipt.to_string());
    let handover = write("handover", keys[0]["handover"].as_str().unwrap());
    let verified = |arguments: &[&str]| {
        let output = attestore_verify(arguments);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    for arguments in [
        ["receipt", &old, "--vkey", &old_key].as_slice(),
        &["receipt", &new, "--vkey", &new_key],
        &["receipt", &new, "--vkey", &old_key, "--handover", &handover],
    ] {
        let (ok, said) = verified(arguments);
        assert!(ok, "{arguments:?}: {said}");
    }
    let (ok, said) = verified(&["handover", "--vkey", &old_key, "--handover", &handover]);
    assert!(ok && said.contains("fork"), "{said}");
}

#[test]
fn who_was_erased_behind_a_backup_is_not_served_again() {
    let away = tempfile::tempdir().unwrap();
    let path = |name: &str| away.path().join(name).to_str().unwrap().to_owned();
    let (key, folder, register) = (path("backup.key"), path("folder"), path("heads"));
    let (_, recipient, _) = run(&["backup", "key", "--out", &key]);
    let mut server = Server::start_with(
        &["--head-register", &register],
        &[
            ("ATTESTORE_BACKUP__TO", folder.as_str()),
            ("ATTESTORE_BACKUP__RECIPIENT", recipient.trim()),
            ("ATTESTORE_BACKUP__EVERY_MINUTES", "0"),
            ("ATTESTORE_BACKUP__SHIP_EVERY_S", "0"),
        ],
    );
    for n in 0..20 {
        assert_eq!(server.client().post_json(EVENTS, &event(n)).status, 201);
    }
    server.cli_ok(&["backup", "create"]);
    assert_eq!(server.client().count("default", "actor.id:u_7"), 1);
    let made = server.client().post_json(
        "/v1/tenants/default/credentials",
        &json!({ "name": "officer", "roles": ["privacy_officer"] }),
    );
    let officer = Client::new(server.base(), made.json()["secret"].as_str().unwrap());
    let body = json!({ "subjects": [{ "type": "user", "id": "u_7" }], "basis": "Art. 17 GDPR" });
    let asked = officer.post_json("/v1/tenants/default/erasures", &body);
    assert_eq!(asked.status, 202, "{}", asked.text());
    let place = asked.header("location").unwrap().to_owned();
    let begin = Instant::now();
    while officer.get(&place).json()["unreadable_since"].is_null() {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
    let ledger = away.path().join("folder/ledger");
    assert_eq!(
        std::fs::read_dir(&ledger).unwrap().count(),
        1,
        "it is shipped at once"
    );
    server.kill();
    std::fs::remove_dir_all(server.data()).unwrap();
    let data = server.data().to_str().unwrap().to_owned();
    let restore = |more: &[&str]| {
        let common = [
            "restore",
            &folder,
            "--to",
            &data,
            "--key-file",
            &key,
            "--output",
            "json",
        ];
        run(&[&common, more].concat())
    };
    // An old copy of the folder has no ledger: the register knows better.
    std::fs::rename(&ledger, path("ledger")).unwrap();
    std::fs::create_dir(&ledger).unwrap();
    let (code, _, said) = restore(&["--head-register", &register]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the ledger is not the newest"), "{said}");
    assert!(
        server.try_run().is_err(),
        "nothing is served before the ledger was gone through"
    );
    std::fs::remove_dir_all(server.data()).unwrap();
    std::fs::remove_dir(&ledger).unwrap();
    std::fs::rename(path("ledger"), &ledger).unwrap();
    let (code, restored, said) = restore(&["--head-register", &register]);
    assert_eq!(code, Some(0), "{said}");
    let restored: Value = serde_json::from_str(&restored).unwrap();
    assert_eq!(restored["again"]["subjects"], 1);
    server.run_restored();
    let client = server.client();
    assert_eq!(client.count("default", "actor.id:u_7"), 0);
    assert_eq!(client.count("default", "actor.id:u_8"), 1);
    assert!(
        !client
            .get("/v1/tenants/default/events?limit=100")
            .text()
            .contains("\"u_7\"")
    );
    assert_eq!(server.cli(&["verify"]).status.code(), Some(0));
}

/// Entries that are not shipped, by the server's word; `None` as long as it does not know. Nothing of asking gets into a log.
fn lag(server: &Server) -> Option<u64> {
    let text = server.client().get("/metrics").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("attestore_backup_lag_entries "))?;
    Some(line.parse().unwrap())
}

/// Waits until everything is shipped.
fn shipped(server: &Server) {
    let begin = Instant::now();
    while lag(server) != Some(0) {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{:?}: {}",
            lag(server),
            server.log_text()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_a_lost_machine_loses_is_what_the_lag_said_and_clients_fill_it() {
    let away = tempfile::tempdir().unwrap();
    let path = |name: &str| away.path().join(name).to_str().unwrap().to_owned();
    let folder = path("folder");
    drill(&folder, &[], away.path());
}

/// Loads a server that ships to `target`, kills it, wipes it, restores, and has the clients send again.
pub fn drill(target: &str, env: &[(&str, &str)], away: &std::path::Path) {
    let path = |name: &str| away.join(name).to_str().unwrap().to_owned();
    let (key, register) = (path("backup.key"), path("heads"));
    let (code, recipient, said) = run(&["backup", "key", "--out", &key]);
    assert_eq!(code, Some(0), "{said}");
    let mut all = vec![
        ("ATTESTORE_BACKUP__TO", target),
        ("ATTESTORE_BACKUP__RECIPIENT", recipient.trim()),
        ("ATTESTORE_BACKUP__EVERY_MINUTES", "0"),
        ("ATTESTORE_BACKUP__SHIP_EVERY_S", "3"),
    ];
    all.extend(env);
    let mut server = Server::start_with(&["--head-register", &register], &all);
    let append = |server: &Server, n| {
        let answer = server.client().post_json(EVENTS, &keyed(n));
        let item = answer.json()["items"][0].clone();
        let known = item["duplicate"] == true;
        assert_eq!(answer.status, if known { 200 } else { 201 }, "{}", answer.text());
        item
    };
    // Nobody asks for a backup: what is shipped needs one to follow.
    for n in 0..100 {
        append(&server, n);
    }
    shipped(&server);
    let made = server.client().post_json(
        "/v1/tenants/default/credentials",
        &json!({ "name": "officer", "roles": ["privacy_officer"] }),
    );
    let officer = Client::new(server.base(), made.json()["secret"].as_str().unwrap());
    for n in 100..200 {
        append(&server, n);
    }
    shipped(&server);
    let before: Value =
        serde_json::from_str(&server.cli_ok(&["backup", "list", "--output", "json"])).unwrap();
    // Somebody whose records came in chunks only is erased: the ledger goes at once, and a backup for what follows.
    let body = json!({ "subjects": [{ "type": "user", "id": "u_7" }], "basis": "Art. 17 GDPR" });
    let asked = officer.post_json("/v1/tenants/default/erasures", &body);
    assert_eq!(asked.status, 202, "{}", asked.text());
    let place = asked.header("location").unwrap().to_owned();
    let begin = Instant::now();
    // To its end: nothing is appended by it any more.
    while officer.get(&place).json()["state"] != "done" {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    for n in 200..300 {
        append(&server, n);
    }
    shipped(&server);
    let after: Value = serde_json::from_str(&server.cli_ok(&["backup", "list", "--output", "json"])).unwrap();
    assert_eq!(
        (before.as_array().unwrap().len(), after.as_array().unwrap().len()),
        (1, 1)
    );
    assert_ne!(
        before[0]["id"], after[0]["id"],
        "an erasure is not left to chunks"
    );
    let mut next = 300;
    // Until no round comes in between.
    let size: u64 = loop {
        shipped(&server);
        for n in next..next + 30 {
            append(&server, n);
        }
        next += 30;
        // Registered, so that what is lost is known.
        let checkpoint = server.client().get("/v1/tenants/default/log/checkpoint");
        if lag(&server) >= Some(30) {
            break checkpoint.text().lines().nth(1).unwrap().parse().unwrap();
        }
    };
    server.kill();
    std::fs::remove_dir_all(server.data()).unwrap();

    let run_with = |arguments: &[&str]| {
        let output = binary()
            .args(arguments)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, report, said) =
        run_with(&["backup", "verify", target, "--key-file", &key, "--output", "json"]);
    assert_eq!(code, Some(0), "{report} {said}");
    let data = server.data().to_str().unwrap().to_owned();
    let (code, restored, said) = run_with(&[
        "restore",
        target,
        "--to",
        &data,
        "--key-file",
        &key,
        "--head-register",
        &register,
        "--output",
        "json",
    ]);
    assert_eq!(code, Some(0), "{said}");
    let restored: Value = serde_json::from_str(&restored).unwrap();
    let tenants = restored["tenants"].as_array().unwrap();
    let default = tenants.iter().find(|tenant| tenant["name"] == "default").unwrap();
    let number = |name: &str| default[name].as_u64().unwrap();
    let (there, lost) = (number("entries") + number("from_chunks"), number("lost"));
    assert_eq!((number("known"), there + lost), (size, size), "{default}");
    // A round may have come right before the end; then it took all of them.
    assert!(lost == 30 || lost == 0, "what the lag said: {default}");
    let (code, _, said) = run(&["fsck", "--data", &data, "--head-register", &register]);
    assert_eq!(code, Some(0), "{said}");

    server.run_restored();
    let client = server.client();
    assert_eq!(client.count("default", "actor.id:u_7"), 0);
    assert_eq!(client.count("default", "actor.id:u_8"), 1);
    // What is about who was erased is known, too, and not taken again.
    let mut filled = 0;
    for n in 0..next {
        filled += u64::from(append(&server, n)["duplicate"] != true);
    }
    assert_eq!(filled, lost, "what clients send again is what was lost");
    for n in 0..next {
        assert_eq!(append(&server, n)["duplicate"], true, "{n}");
    }
    assert_eq!(server.cli(&["verify"]).status.code(), Some(0));
    // It ships on.
    shipped(&server);
}
