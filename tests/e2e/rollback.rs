//! An old copy of the data directory put back, with the head register kept outside of it.

use serde_json::Value;

use crate::harness::{Server, binary, copy, event};

#[test]
fn tenants_that_moved_on_refuse_appends_and_everything_else_works() {
    let outside = tempfile::tempdir().unwrap();
    let register = outside.path().join("heads");
    let mut server = Server::start_with(&["--head-register", register.to_str().unwrap()], &[]);
    let client = server.client();
    assert_eq!(client.request("PUT", "/v1/tenants/still", &[], &[]).status, 201);
    for n in 0..20 {
        assert_eq!(
            client.post_json("/v1/tenants/default/events", &event(n)).status,
            201
        );
        assert_eq!(
            client.post_json("/v1/tenants/still/events", &event(n)).status,
            201
        );
    }
    assert_eq!(client.get("/v1/tenants/still/log/checkpoint").status, 200);
    assert_eq!(
        client.get("/readyz").json()["warnings"].as_array().unwrap().len(),
        0
    );
    server.stop();
    let old = server.home().join("old");
    copy(&server.data(), &old);

    server.run();
    let client = server.client();
    for n in 20..30 {
        assert_eq!(
            client.post_json("/v1/tenants/default/events", &event(n)).status,
            201
        );
    }
    let moved = client.get("/v1/tenants/default/log/checkpoint").text();
    server.stop();

    std::fs::remove_dir_all(server.data()).unwrap();
    copy(&old, &server.data());
    server.run();
    let client = server.client();
    let problem = client
        .post_json("/v1/tenants/default/events", &event(99))
        .problem(409, "rolled_back");
    assert!(
        problem["detail"].as_str().unwrap().contains("30"),
        "the reason names the size that was signed: {problem}"
    );
    // Reads of that tenant, and everything of the others, go on.
    assert_eq!(client.count("default", ""), 20);
    assert_eq!(
        client.post_json("/v1/tenants/still/events", &event(99)).status,
        201
    );
    assert_eq!(client.count("still", ""), 21);
    assert_eq!(client.request("PUT", "/v1/tenants/fresh", &[], &[]).status, 201);
    assert!(client.get("/v1/tenants/default").json()["refuses_appends"].is_string());
    // No second history is signed at a size that another one was signed for.
    let again = client.get("/v1/tenants/default/log/checkpoint");
    assert!(
        again.status != 200 || again.text() == moved || again.text().lines().nth(1) == Some("20"),
        "{}",
        again.text()
    );
}

#[test]
fn a_restored_directory_goes_on_after_a_fork_and_tells_of_it() {
    let outside = tempfile::tempdir().unwrap();
    let register = outside.path().join("heads").to_str().unwrap().to_owned();
    let mut server = Server::start_with(&["--head-register", &register], &[]);
    for n in 0..20 {
        server.client().post_json("/v1/tenants/default/events", &event(n));
    }
    server.stop();
    let old = server.home().join("old");
    copy(&server.data(), &old);
    let data = server.data().to_str().unwrap().to_owned();
    let fork = [
        "fork",
        "--data",
        &data,
        "--head-register",
        &register,
        "--reason",
        "restored",
        "--output",
        "json",
    ];
    let refused = binary().args(fork).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "there is nothing to fork from");

    server.run();
    for n in 20..30 {
        server.client().post_json("/v1/tenants/default/events", &event(n));
    }
    let before = server.client().get("/v1/tenants/default/log/keys").json()["items"][0]["vkey"].clone();
    let in_use = binary().args(fork).output().unwrap();
    assert_eq!(in_use.status.code(), Some(5), "a server uses the directory");
    server.stop();
    std::fs::remove_dir_all(server.data()).unwrap();
    copy(&old, &server.data());

    let forked = binary().args(fork).output().unwrap();
    assert_eq!(
        forked.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&forked.stderr)
    );
    let forked: Value = serde_json::from_slice(&forked.stdout).unwrap();
    let forked = forked.as_array().unwrap();
    let names: Vec<_> = forked
        .iter()
        .map(|fork| fork["tenant"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["_system", "default"]);
    assert_eq!(
        (&forked[1]["survived"], &forked[1]["known"]["size"]),
        (&20.into(), &30.into())
    );

    server.run();
    let client = server.client();
    let appended = client.post_json("/v1/tenants/default/events", &event(99));
    assert_eq!(
        (appended.status, &appended.json()["items"][0]["seq"]),
        (201, &21.into())
    );
    let keys = client.get("/v1/tenants/default/log/keys").json()["items"].clone();
    assert_eq!(
        (&keys[0]["vkey"], &keys[0]["state"]),
        (&before, &"retired".into())
    );
    assert_eq!(
        (&keys[1]["vkey"], &keys[1]["state"]),
        (&forked[1]["vkey"], &"current".into())
    );
    let told = client.all("_system", "action:log.fork");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        client.get("/readyz").json()["warnings"].as_array().unwrap().len(),
        0
    );

    let rotated: Value = serde_json::from_str(&server.cli_ok(&["key", "rotate"])).unwrap();
    assert_eq!(rotated["former"], forked[1]["vkey"]);
    let note = client.get("/v1/tenants/default/log/checkpoint").text();
    let lines = note.lines().filter(|line| line.starts_with('\u{2014}')).count();
    assert_eq!(lines, 2, "both keys sign for a while: {note}");
    server.cli_ok(&["key", "retire"]);
    let again = server.cli(&["key", "retire"]);
    assert_eq!(again.status.code(), Some(1), "no former key signs any more");
    let note = client.get("/v1/tenants/default/log/checkpoint").text();
    assert_eq!(
        note.lines().filter(|line| line.starts_with('\u{2014}')).count(),
        1
    );
    assert!(server.cli_ok(&["key", "list"]).contains("retired"));
    assert_eq!(server.cli(&["verify"]).status.code(), Some(0));
}

#[test]
fn without_a_register_outside_the_server_says_that_rollback_cannot_be_detected() {
    let server = Server::start();
    let warnings = server.client().get("/readyz").json()["warnings"].to_string();
    assert!(warnings.contains("rollback"), "{warnings}");
    assert!(server.log_text().contains("rollback"), "{}", server.log_text());
}
