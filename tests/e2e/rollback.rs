//! An old copy of the data directory put back, with the head register kept outside of it.

use std::process::Command;

use crate::harness::{Server, event};

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

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
fn without_a_register_outside_the_server_says_that_rollback_cannot_be_detected() {
    let server = Server::start();
    let warnings = server.client().get("/readyz").json()["warnings"].to_string();
    assert!(warnings.contains("rollback"), "{warnings}");
    assert!(server.log_text().contains("rollback"), "{}", server.log_text());
}
