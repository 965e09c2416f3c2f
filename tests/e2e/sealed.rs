//! A root under a passphrase, and servers that start without it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::harness::{Server, binary, event};

const PASSPHRASE: &str = "correct horse battery staple";
const EVENTS: &str = "/v1/tenants/default/events";

/// A server whose root is under a passphrase, with an event in it.
fn server() -> Server {
    let server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ROOT__PROVIDER", "passphrase"),
            ("ATTESTORE_PASSPHRASE", PASSPHRASE),
        ],
    );
    assert_eq!(server.client().post_json(EVENTS, &event(1)).status, 201);
    server
}

fn unseal(server: &Server, secret: &str) -> Output {
    let mut command = binary();
    let mut child = command
        .arg("unseal")
        .env("ATTESTORE_URL", server.base())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{secret}").unwrap();
    child.wait_with_output().unwrap()
}

fn fsck(server: &Server, env: &[(&str, &str)]) -> Output {
    let mut command = binary();
    command.arg("fsck").arg("--data").arg(server.data());
    command.envs(env.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn a_sealed_server_says_so_and_serves_on_the_same_connection_once_it_is_unsealed() {
    let mut server = server();
    server.stop();
    server.unset_env("ATTESTORE_PASSPHRASE");
    server.set_env("ATTESTORE_ROOT__SEALED_START", "true");
    server.run();
    let client = server.client();
    assert_eq!(client.get("/livez").status, 200);
    let problem = client.get("/readyz");
    problem.problem(503, "sealed");
    assert!(problem.header("retry-after").is_some());
    client.get(EVENTS).problem(503, "sealed");
    client.post_json(EVENTS, &event(2)).problem(503, "sealed");
    client
        .post_json("/v1/unseal", &json!({ "passphrase": "wrong, wrong, wrong" }))
        .problem(403, "wrong_passphrase");
    client
        .post_json("/v1/unseal", &json!({ "passphrase": PASSPHRASE }))
        .problem(429, "too_many_attempts");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let done = unseal(&server, PASSPHRASE);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(client.get("/readyz").status, 200);
    assert_eq!(client.count("default", "action:invoice.export"), 1);
    assert_eq!(client.post_json(EVENTS, &event(2)).status, 201);
    client
        .post_json("/v1/unseal", &json!({ "passphrase": PASSPHRASE }))
        .problem(409, "not_sealed");
    let unsealed = client.all("_system", "action:server.unseal");
    assert_eq!(unsealed.len(), 1, "{unsealed:?}");
    assert_eq!(unsealed[0]["event"]["metadata"]["refused"], 1, "{unsealed:?}");
    server.stop();
    let sound = fsck(&server, &[("ATTESTORE_PASSPHRASE", PASSPHRASE)]);
    assert!(sound.status.success(), "{sound:?}");
}

#[test]
fn without_its_passphrase_or_with_another_a_directory_is_a_key_problem_and_never_damage() {
    let mut server = server();
    server.stop();
    for env in [
        &[][..],
        &[("ATTESTORE_PASSPHRASE", "wrong, wrong, wrong")],
        &[("ATTESTORE_PASSPHRASE", "")],
    ] {
        let refused = fsck(&server, env);
        assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    }
    let serve = |provider: &str| -> Output {
        Command::new(env!("CARGO_BIN_EXE_attestore"))
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(server.data())
            .env("ATTESTORE_ROOT__PROVIDER", provider)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    for provider in ["passphrase", "file"] {
        let refused = serve(provider);
        assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    }
    server.run();
    assert_eq!(server.client().count("default", "action:invoice.export"), 1);
}

#[test]
fn a_new_directory_is_not_sealed() {
    let home = tempfile::tempdir().unwrap();
    let output = binary()
        .args(["serve", "--sealed", "--listen", "127.0.0.1:0", "--data"])
        .arg(home.path().join("data"))
        .env("ATTESTORE_ROOT__PROVIDER", "passphrase")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
