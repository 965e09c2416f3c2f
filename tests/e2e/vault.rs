//! The root under transit keys of a server that answers as Vault does.

use std::process::{Output, Stdio};

use serde_json::json;

use crate::harness::{Server, binary, event};

#[path = "../../crates/keys/src/root/vault/fake.rs"]
mod fake;

use fake::{Fake, ROLE, TOKEN};

const EVENTS: &str = "/v1/tenants/default/events";

fn server(vault: &Fake) -> Server {
    let env = [
        ("ATTESTORE_ROOT__PROVIDER", "vault"),
        ("ATTESTORE_ROOT__ADDRESS", vault.address.as_str()),
        ("VAULT_TOKEN", TOKEN),
    ];
    let server = Server::start_with(&[], &env);
    assert_eq!(server.client().post_json(EVENTS, &event(1)).status, 201);
    server
}

fn fsck(server: &Server, token: &str) -> Output {
    let mut command = binary();
    // The directory says itself where Vault is.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ATTESTORE_ROOT__")) {
        command.env_remove(name);
    }
    command
        .args(["fsck", "--data"])
        .arg(server.data())
        .env("VAULT_TOKEN", token);
    command.stdin(Stdio::null()).output().unwrap()
}

fn await_ready(server: &Server) {
    for attempt in 0.. {
        if server.client().get("/readyz").status == 200 {
            return;
        }
        assert!(attempt < 300, "{}", server.log_text());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_vault_that_refuses_or_is_sealed_is_a_key_problem_and_never_damage() {
    let vault = Fake::start();
    let mut server = server(&vault);
    server.stop();
    assert!(fsck(&server, TOKEN).status.success());
    assert_eq!(fsck(&server, "hvs.wrong").status.code(), Some(4));
    vault.state().sealed = true;
    assert_eq!(fsck(&server, TOKEN).status.code(), Some(4));
    assert!(
        server.try_run().is_err_and(|status| status.code() == Some(4)),
        "{}",
        server.log_text()
    );
    assert!(!server.log_text().contains(TOKEN));
    vault.state().sealed = false;
    server.run();
    assert_eq!(server.client().count("default", "action:invoice.export"), 1);
}

#[test]
fn a_server_that_waits_for_vault_starts_when_it_is_unsealed_or_somebody_brings_a_token() {
    let vault = Fake::start();
    let mut server = server(&vault);
    server.stop();
    server.set_env("ATTESTORE_ROOT__SEALED_START", "true");
    vault.state().sealed = true;
    server.run();
    server.client().get("/readyz").problem(503, "sealed");
    vault.state().sealed = false;
    await_ready(&server);
    server.stop();
    server.unset_env("VAULT_TOKEN");
    server.run();
    let client = server.client();
    client.get("/readyz").problem(503, "sealed");
    client
        .post_json("/v1/unseal", &json!({ "vault_token": "hvs.wrong" }))
        .problem(403, "wrong_passphrase");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(
        client
            .post_json("/v1/unseal", &json!({ "vault_token": TOKEN }))
            .status,
        202
    );
    await_ready(&server);
    assert_eq!(client.count("default", "action:invoice.export"), 1);
}

#[test]
fn the_root_moves_into_vault_and_out_of_it() {
    let vault = Fake::start();
    let mut server = Server::start_with(&[], &[("ATTESTORE_ROOT__PROVIDER", "file")]);
    assert_eq!(server.client().post_json(EVENTS, &event(1)).status, 201);
    server.stop();
    let role: [(&str, &str); 2] = [
        ("VAULT_SECRET_ID", ROLE.1),
        ("ATTESTORE_PASSPHRASE", "correct horse battery"),
    ];
    for (to, arguments, keys) in [
        (
            "vault",
            vec!["--address", vault.address.as_str(), "--role-id", ROLE.0],
            1,
        ),
        ("file", vec![], 0),
    ] {
        let mut command = binary();
        command
            .args(["key", "move-root", "--to", to, "--data"])
            .arg(server.data())
            .args(arguments);
        let moved = command.envs(role).stdin(Stdio::null()).output().unwrap();
        assert!(moved.status.success(), "{to}: {moved:?}");
        assert_eq!(vault.state().keys.len(), keys, "{to}");
        server.unset_env("ATTESTORE_ROOT__PROVIDER");
        server.set_env("ATTESTORE_ROOT__PROVIDER", to);
        server.set_env("ATTESTORE_ROOT__ADDRESS", vault.address.as_str());
        server.set_env("ATTESTORE_ROOT__ROLE_ID", ROLE.0);
        server.set_env("VAULT_SECRET_ID", ROLE.1);
        server.run();
        assert_eq!(
            server.client().count("default", "action:invoice.export"),
            1,
            "{to}"
        );
        server.stop();
    }
}
