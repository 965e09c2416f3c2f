//! The root in SoftHSM 2: a token of its own for each server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::exports::attestore_verify;
use crate::harness::{Client, Server, binary, event, token};

const EVENTS: &str = "/v1/tenants/default/events";

/// A server whose root is in a token of its own.
fn server() -> (TempDir, Server) {
    let token = tempfile::tempdir().unwrap();
    let env = token::make(token.path());
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = Server::start_with(&[], &env);
    assert_eq!(server.client().post_json(EVENTS, &event(1)).status, 201);
    (token, server)
}

fn rename(folder: &Path, from: &str, to: &str) {
    std::fs::rename(folder.join(from), folder.join(to)).unwrap();
}

fn fsck(data: PathBuf, env: &[(&str, String)]) -> Output {
    let mut command = binary();
    command.arg("fsck").arg("--data").arg(data).stdin(Stdio::null());
    command.envs(env.iter().map(|(name, value)| (*name, value.as_str())));
    command.output().unwrap()
}

/// Waits until the server's status says it.
fn await_reachable(server: &Server, reachable: bool) {
    for _ in 0..300 {
        let status = server.client().get("/v1/status").json();
        if status["root"]["reachable"] == reachable {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the server does not notice: {}", server.log_text());
}

#[test]
fn a_token_that_is_gone_or_a_wrong_pin_is_a_key_problem_and_never_damage() {
    let (token, mut server) = server();
    server.stop();
    let env = token::variables(token.path());
    let sound = fsck(server.data(), &env);
    assert!(sound.status.success(), "{sound:?}");
    let wrong: Vec<(&str, String)> = env
        .iter()
        .map(|(name, value)| match *name {
            "ATTESTORE_PIN" => (*name, "0000".to_owned()),
            _ => (*name, value.clone()),
        })
        .collect();
    let refused = fsck(server.data(), &wrong);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    rename(token.path(), "tokens", "away");
    std::fs::create_dir(token.path().join("tokens")).unwrap();
    let refused = fsck(server.data(), &env);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(
        server.try_run().is_err_and(|status| status.code() == Some(4)),
        "{}",
        server.log_text()
    );
    std::fs::remove_dir(token.path().join("tokens")).unwrap();
    rename(token.path(), "away", "tokens");
    server.run();
    assert_eq!(server.client().count("default", "action:invoice.export"), 1);
}

#[test]
fn while_the_token_is_away_appends_go_on_and_erasures_wait_until_it_is_back() {
    let (token, mut server) = server();
    let client = server.client();
    let wanted = json!({"name": "officer", "roles": ["privacy_officer"], "tenants": ["default"]});
    let made = client.post_json("/v1/credentials", &wanted).json();
    let officer = Client::new(server.base(), made["secret"].as_str().unwrap());
    await_reachable(&server, true);
    rename(token.path(), "tokens", "away");
    await_reachable(&server, false);
    for n in 2..50 {
        assert_eq!(client.post_json(EVENTS, &event(n)).status, 201);
    }
    assert_eq!(client.request("PUT", "/v1/tenants/acme", &[], b"{}").status, 201);
    let ready = client.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("root_unavailable"), "{}", ready.text());
    let asked = officer.post_json(
        "/v1/tenants/default/erasures",
        &json!({"subjects": [{"type": "user", "id": "u_1"}], "basis": "Art. 17 GDPR"}),
    );
    assert_eq!(asked.status, 202, "{}", asked.text());
    let path = format!(
        "/v1/tenants/default/erasures/{}",
        asked.json()["id"].as_str().unwrap()
    );
    std::thread::sleep(std::time::Duration::from_secs(4));
    let waiting = officer.get(&path).json();
    assert!(waiting["unreadable_since"].is_null(), "{waiting}");
    rename(token.path(), "away", "tokens");
    await_reachable(&server, true);
    for attempt in 0.. {
        let erasure = officer.get(&path).json();
        if erasure["state"] == "done" {
            assert!(erasure["unreadable_since"].is_string(), "{erasure}");
            break;
        }
        assert!(attempt < 900, "{erasure}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let certificate = officer.get(&format!("{path}/certificate")).json();
    let payload = certificate["payload"].as_str().unwrap();
    let decoded = Command::new("sh")
        .args(["-c", &format!("printf %s '{payload}' | base64 -d")])
        .output()
        .unwrap();
    let text = String::from_utf8(decoded.stdout).unwrap();
    assert!(text.contains("destroyed in module"), "{text}");
    server.stop();
    let sound = fsck(server.data(), &token::variables(token.path()));
    assert!(sound.status.success(), "{sound:?}");
}

#[test]
fn the_root_moves_from_a_file_under_a_passphrase_and_into_a_token() {
    let mut server = Server::start_with(&[], &[("ATTESTORE_ROOT__PROVIDER", "file")]);
    assert_eq!(server.client().post_json(EVENTS, &event(1)).status, 201);
    server.stop();
    let token = tempfile::tempdir().unwrap();
    let mut variables = token::make(token.path());
    variables.push(("ATTESTORE_PASSPHRASE", "correct horse battery staple".to_owned()));
    let env = |provider: &str| -> Vec<(&str, String)> {
        let others = variables
            .iter()
            .filter(|(name, _)| *name != "ATTESTORE_ROOT__PROVIDER")
            .cloned();
        others
            .chain([("ATTESTORE_ROOT__PROVIDER", provider.to_owned())])
            .collect()
    };
    let module = variables
        .iter()
        .find(|(name, _)| *name == "ATTESTORE_ROOT__MODULE")
        .unwrap();
    for (to, arguments) in [
        ("passphrase", vec![]),
        ("pkcs11", vec!["--module", module.1.as_str(), "--label", "audit"]),
        ("file", vec![]),
        ("pkcs11", vec!["--module", module.1.as_str(), "--label", "audit"]),
    ] {
        let mut command = binary();
        command
            .args(["key", "move-root", "--to", to, "--data"])
            .arg(server.data())
            .args(arguments);
        let moved = command.envs(env(to)).stdin(Stdio::null()).output().unwrap();
        assert!(moved.status.success(), "{to}: {moved:?}");
        let sound = fsck(server.data(), &env(to));
        assert!(sound.status.success(), "{to}: {sound:?}");
        for (name, value) in env(to) {
            server.unset_env(name);
            server.set_env(name, &value);
        }
        server.run();
        assert_eq!(
            server.client().count("default", "action:invoice.export"),
            1,
            "{to}"
        );
        server.stop();
    }
    server.run();
    assert_eq!(server.client().all("_system", "action:root.move").len(), 4);
}

#[test]
fn a_server_that_waits_for_its_token_starts_when_it_comes() {
    let (token, mut server) = server();
    server.stop();
    rename(token.path(), "tokens", "away");
    std::fs::create_dir(token.path().join("tokens")).unwrap();
    server.set_env("ATTESTORE_ROOT__SEALED_START", "true");
    server.run();
    server.client().get("/readyz").problem(503, "sealed");
    std::fs::remove_dir(token.path().join("tokens")).unwrap();
    rename(token.path(), "away", "tokens");
    for attempt in 0.. {
        if server.client().get("/readyz").status == 200 {
            break;
        }
        assert!(attempt < 300, "{}", server.log_text());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(server.client().count("default", "action:invoice.export"), 1);
}

/// Names of signing keys in the token, as another program sees them.
fn signing_keys(token: &Path) -> Vec<String> {
    let mut command = Command::new("pkcs11-tool");
    let variables = token::variables(token);
    let value = |wanted: &str| {
        variables
            .iter()
            .find(|(name, _)| *name == wanted)
            .unwrap()
            .1
            .clone()
    };
    command
        .env("SOFTHSM2_CONF", value("SOFTHSM2_CONF"))
        .args([
            "--module",
            &value("ATTESTORE_ROOT__MODULE"),
            "--token-label",
            "audit",
            "--login",
            "--pin",
        ])
        .arg(value("ATTESTORE_PIN"))
        .args(["--list-objects", "--type", "privkey"]);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("label:"));
    names.map(|name| name.trim().to_owned()).collect()
}

#[test]
fn keys_that_sign_are_in_the_token_and_while_it_is_away_receipts_say_that_they_are_not_signed() {
    let token = tempfile::tempdir().unwrap();
    let mut env = token::make(token.path());
    env.push(("ATTESTORE_ROOT__SIGNING", "module".to_owned()));
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut server = Server::start_with(&[], &env);
    let client = server.client();
    let append = |n| {
        let headers = [("content-type", "application/json"), ("prefer", "receipt=signed")];
        let answer = client.request("POST", EVENTS, &headers, event(n).to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    assert_eq!(append(1)["durability"], "signed");
    let before = signing_keys(token.path());
    assert!(
        before.len() >= 2 && before.iter().all(|name| name.starts_with("attestore signing ")),
        "{before:?}"
    );
    let vkey = server.vkey();
    await_reachable(&server, true);
    rename(token.path(), "tokens", "away");
    let receipt = append(2);
    assert_eq!(receipt["durability"], "durable", "{receipt}");
    assert!(
        receipt["receipt_failure"]
            .as_str()
            .unwrap()
            .starts_with("signing_unavailable"),
        "{receipt}"
    );
    client
        .get("/v1/tenants/default/log/checkpoint")
        .problem(503, "signing_unavailable");
    let ready = client.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("signing_unavailable"), "{}", ready.text());
    assert_eq!(client.post_json(EVENTS, &event(3)).status, 201);
    rename(token.path(), "away", "tokens");
    await_reachable(&server, true);
    assert_eq!(append(4)["durability"], "signed");
    assert_eq!(server.vkey(), vkey);
    // Into the directory and out of the token.
    server.stop();
    server.set_env("ATTESTORE_ROOT__SIGNING", "directory");
    server.run();
    let rotated = server.cli(&["key", "--tenant", "default", "rotate", "--overlap-s", "0"]);
    assert!(rotated.status.success(), "{rotated:?}");
    for attempt in 0.. {
        if signing_keys(token.path()).len() == before.len() - 1 {
            break;
        }
        assert!(
            attempt < 300,
            "the former key stays in the token: {}",
            server.log_text()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let checkpoint = server.client().get("/v1/tenants/default/log/checkpoint");
    assert_eq!(checkpoint.status, 200, "{}", checkpoint.text());
    server.stop();
    let env = token::variables(token.path());
    let mut command = binary();
    command
        .args(["key", "move-root", "--to", "file", "--data"])
        .arg(server.data());
    command.envs(env.iter().map(|(name, value)| (*name, value.as_str())));
    let refused = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && text.contains("cannot leave it"),
        "{refused:?}"
    );
    let sound = fsck(server.data(), &env);
    assert!(sound.status.success(), "{sound:?}");
}

#[test]
fn a_sealed_server_takes_the_right_pin_and_stays_sealed_after_a_wrong_one() {
    let (token, mut server) = server();
    server.stop();
    server.unset_env("ATTESTORE_PIN");
    // The harness may have one for all servers.
    server.set_env("ATTESTORE_PIN", "0000");
    server.set_env("ATTESTORE_ROOT__SEALED_START", "true");
    server.run();
    let client = server.client();
    client.get("/readyz").problem(503, "sealed");
    client
        .post_json("/v1/unseal", &json!({ "pin": "1111" }))
        .problem(403, "wrong_passphrase");
    client.get("/readyz").problem(503, "sealed");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // The token goes away under the sealed server, and comes back.
    rename(token.path(), "tokens", "away");
    std::fs::create_dir(token.path().join("tokens")).unwrap();
    client
        .post_json("/v1/unseal", &json!({ "pin": "8765" }))
        .problem(503, "root_unavailable");
    std::fs::remove_dir(token.path().join("tokens")).unwrap();
    rename(token.path(), "away", "tokens");
    for attempt in 0.. {
        let answer = client.post_json("/v1/unseal", &json!({ "pin": "8765" }));
        if answer.status == 202 {
            break;
        }
        assert!(attempt < 20, "{}", answer.text());
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    for attempt in 0.. {
        if client.get("/readyz").status == 200 {
            break;
        }
        assert!(attempt < 300, "{}", server.log_text());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(client.count("default", "action:invoice.export"), 1);
    server.stop();
    let sound = fsck(server.data(), &token::variables(token.path()));
    assert!(sound.status.success(), "{sound:?}");
}

#[test]
fn appends_go_on_through_tokens_that_come_and_go_and_nothing_is_damaged() {
    let (token, mut server) = server();
    for round in 0..3 {
        let client = server.client();
        rename(token.path(), "tokens", "away");
        await_reachable(&server, false);
        for n in 0..20 {
            assert_eq!(client.post_json(EVENTS, &event(100 * round + n + 2)).status, 201);
        }
        if round == 1 {
            // A crash while it is away: no root, exit code 4; nothing is touched.
            server.kill();
            assert!(
                server.try_run().is_err_and(|status| status.code() == Some(4)),
                "{}",
                server.log_text()
            );
            rename(token.path(), "away", "tokens");
            server.run();
            continue;
        }
        rename(token.path(), "away", "tokens");
        await_reachable(&server, true);
    }
    assert_eq!(server.client().count("default", "action:invoice.export"), 61);
    server.stop();
    let sound = fsck(server.data(), &token::variables(token.path()));
    assert!(sound.status.success(), "{sound:?}");
}

/// A restore with the token at hand, and one without it.
#[test]
fn keys_in_the_token_vouch_for_those_of_a_restored_directory_if_the_token_is_there() {
    let away = tempfile::tempdir().unwrap();
    let path = |name: &str| away.path().join(name).to_str().unwrap().to_owned();
    let (key, folder, register) = (path("backup.key"), path("folder"), path("heads"));
    let made = binary().args(["backup", "key", "--out", &key]).output().unwrap();
    let recipient = String::from_utf8(made.stdout).unwrap();
    let token = token::make(away.path());
    let mut env: Vec<(&str, &str)> = token
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    env.extend([
        ("ATTESTORE_ROOT__SIGNING", "module"),
        ("ATTESTORE_BACKUP__TO", folder.as_str()),
        ("ATTESTORE_BACKUP__RECIPIENT", recipient.trim()),
        ("ATTESTORE_BACKUP__EVERY_MINUTES", "0"),
        ("ATTESTORE_BACKUP__SHIP_EVERY_S", "0"),
    ]);
    let mut server = Server::start_with(&["--head-register", &register], &env);
    let headers = [("content-type", "application/json"), ("prefer", "receipt=signed")];
    let body = event(1).to_string();
    let old_receipt = server.client().request("POST", EVENTS, &headers, body.as_bytes());
    assert_eq!(
        old_receipt.json()["durability"],
        "signed",
        "{}",
        old_receipt.text()
    );
    let old_key = server.vkey();
    server.cli_ok(&["backup", "create"]);
    server.kill();
    let restore = |to: &str, more: &[&str]| {
        let mut command = binary();
        command.args([
            "restore",
            &folder,
            "--to",
            to,
            "--key-file",
            &key,
            "--output",
            "json",
        ]);
        command.args(more).stdin(Stdio::null());
        command.envs(
            token
                .iter()
                .filter(|(name, _)| !name.starts_with("ATTESTORE_ROOT__"))
                .cloned(),
        );
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let module = token
        .iter()
        .find(|(name, _)| *name == "ATTESTORE_ROOT__MODULE")
        .unwrap();
    let at = ["--module", module.1.as_str(), "--label", "audit"];
    let (code, said) = restore(
        &path("other"),
        &["--module", module.1.as_str(), "--label", "another"],
    );
    assert_eq!(
        code,
        Some(4),
        "a token that is not there is a key problem: {said}"
    );

    // Nobody vouches: said, and no key is named by another.
    let (code, said) = restore(&path("alone"), &[]);
    assert_eq!(code, Some(0), "{said}");
    let named = said.lines().find(|line| line.contains("no former key vouches"));
    assert!(named.is_some_and(|line| line.contains("default")), "{said}");

    std::fs::remove_dir_all(server.data()).unwrap();
    let data = server.data().to_str().unwrap().to_owned();
    let (code, said) = restore(&data, &[&at[..], &["--head-register", &register]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("no former key vouches"), "{said}");
    let mut command = binary();
    command
        .args(["key", "move-root", "--to", "pkcs11", "--data", &data])
        .args(at);
    let moved = command
        .envs(token.iter().cloned())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(moved.status.success(), "{moved:?}");
    server.run();
    assert_eq!(server.client().count("default", "action:invoice.export"), 1);
    let keys = server.client().get("/v1/tenants/default/log/keys").json()["items"].clone();
    assert_eq!(keys[0]["vkey"], old_key.as_str(), "{keys}");
    let write = |name: &str, text: &str| {
        std::fs::write(path(name), text).unwrap();
        path(name)
    };
    let old = write("old.json", &old_receipt.text());
    let handover = write("handover", keys[0]["handover"].as_str().unwrap());
    for arguments in [
        ["receipt", &old, "--vkey", &old_key].as_slice(),
        &["handover", "--vkey", &old_key, "--handover", &handover],
    ] {
        let verified = attestore_verify(arguments);
        assert!(verified.status.success(), "{arguments:?}: {verified:?}");
    }
    let new_receipt = server
        .client()
        .request("POST", EVENTS, &headers, event(2).to_string().as_bytes());
    assert_eq!(
        new_receipt.json()["durability"],
        "signed",
        "{}",
        new_receipt.text()
    );
    let new = write("new.json", &new_receipt.text());
    let verified = attestore_verify(&["receipt", &new, "--vkey", &old_key, "--handover", &handover]);
    assert!(verified.status.success(), "{verified:?}");
}
