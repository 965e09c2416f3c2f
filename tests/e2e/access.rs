//! Access requests by HTTP and by the command line: once, whole, and with proofs that hold elsewhere.

use std::time::{Duration, Instant};

use attestore_verify::bundle::Archive;
use attestore_verify::verify_tlog_proof;
use serde_json::{Value, json};

use crate::harness::{Client, Server};

const PATH: &str = "/v1/tenants/default/access-requests";

fn with_role(server: &Server, role: &str) -> (Client, String) {
    let made = server.client().post_json(
        "/v1/tenants/default/credentials",
        &json!({"name": role, "roles": [role]}),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    (Client::new(server.base(), &secret), secret)
}

fn filled() -> Server {
    let server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_AGE_MS", "300")]);
    let client = server.client();
    for number in 0..10 {
        for id in ["zq8ann", "zq8ben"] {
            let event = json!({
                "action": "file.read",
                "actor": {"type": "user", "id": id, "email": format!("{id}@example.org")},
                "metadata": {"n": number},
            });
            let answer = client.post_json("/v1/tenants/default/events", &event);
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    }
    server
}

fn done(officer: &Client, place: &str) -> Value {
    let begin = Instant::now();
    loop {
        let request = officer.get(place).json();
        if request["state"] == "done" {
            return request;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{request}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_is_held_about_somebody_is_handed_out_once() {
    let server = filled();
    let (officer, _) = with_role(&server, "privacy_officer");
    let body = json!({"subjects": [{"type": "user", "id": "zq8ann"}], "basis": "Art. 15 GDPR"});
    server.client().post_json(PATH, &body).problem(403, "forbidden");
    officer
        .post_json(PATH, &json!({"subjects": [{"type": "user", "id": "nobody"}]}))
        .problem(404, "not_found");
    officer
        .post_json(
            PATH,
            &json!({"subjects": [{"type": "user", "id": "zq8ann"}], "expires_in_s": 1}),
        )
        .problem(400, "invalid_access_request");
    let asked = officer.post_json(PATH, &body);
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert!(!asked.text().contains("zq8ann"), "{}", asked.text());
    let place = asked.header("location").unwrap().to_owned();
    let request = done(&officer, &place);
    assert_eq!(request["records"], 10, "{request}");
    let file = format!("{place}/file");

    // Who asks whether it is there takes nothing, nor does who asks for some of it get some of it.
    assert_eq!(officer.request("HEAD", &file, &[], &[]).status, 200);
    server.client().get(&file).problem(403, "forbidden");
    let whole = officer.request("GET", &file, &[("range", "bytes=0-9")], &[]);
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("content-type"), Some("application/zip"));
    assert_eq!(Some(whole.body.len() as u64), request["file"]["bytes"].as_u64());
    officer.get(&file).problem(410, "already_fetched");
    assert_eq!(officer.get(&place).json()["state"], "fetched");

    let archive = Archive::open(&whole.body[..]).unwrap();
    let key = server.vkey();
    let mut proofs = 0;
    for member in archive.members() {
        let bytes = archive.read(member, u64::MAX).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("zq8ben"), "{}", member.name);
        if member.name.ends_with(".tlog-proof") {
            verify_tlog_proof(&text, &key).unwrap_or_else(|error| panic!("{}: {error:?}", member.name));
            proofs += 1;
        }
        if member.name == "records.ndjson" {
            assert_eq!(text.matches("zq8ann@example.org").count(), 10);
        }
    }
    assert_eq!(proofs, 10);
    // Who asked is on record, and about whom for those who read that.
    let (auditor, _) = with_role(&server, "auditor");
    let begin = Instant::now();
    loop {
        let log = auditor.get("/v1/tenants/default/access-log?limit=1000").text();
        if log.contains("access.access_requests") {
            assert!(!log.contains("zq8ann"), "{log}");
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "not on record");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_command_line_fetches_it_and_a_stop_in_between_does_not_matter() {
    let mut server = filled();
    let (officer, secret) = with_role(&server, "privacy_officer");
    let run = |server: &Server, arguments: &[&str]| {
        server.cli_ok(&[&["access"], arguments, &["--credential", &secret]].concat())
    };
    let id = run(
        &server,
        &[
            "run",
            "--subject",
            "user:zq8ann",
            "--kind",
            "portability",
            "--detach",
        ],
    );
    let id = id.trim();
    server.stop();
    server.run();
    let out = server.home().join("ann.zip");
    run(&server, &["fetch", id, "--out", out.to_str().unwrap()]);
    let bytes = std::fs::read(&out).unwrap();
    let archive = Archive::open(&bytes[..]).unwrap();
    let names: Vec<&str> = archive
        .members()
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["records.ndjson", "schema.json", "manifest.json", "manifest.note"]
    );
    // It is not written over, and there is no second time.
    let again = server.cli(&[
        "access",
        "fetch",
        id,
        "--out",
        out.to_str().unwrap(),
        "--credential",
        &secret,
    ]);
    assert!(!again.status.success());
    let shown = run(&server, &["show", id, "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["state"], &shown["records"]),
        (&json!("fetched"), &json!(10))
    );
    let listed = run(&server, &["list", "--output", "json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&listed)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    run(&server, &["delete", id]);
    let client = Client::new(server.base(), &secret);
    client.get(&format!("{PATH}/{id}")).problem(404, "not_found");
    drop(officer);
}
