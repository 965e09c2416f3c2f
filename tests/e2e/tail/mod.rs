//! `GET …/tail`, as clients see it: live, resumed, limited, ended.

mod command;
pub mod events;
mod seams;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Client, Server, escape};
use events::{Listened, PATIENCE, append, listen, try_listen};

const TAIL: &str = "/v1/tenants/default/tail";

/// Makes a credential of the default tenant; its id and its secret.
fn credential(client: &Client, roles: &[&str]) -> (String, String) {
    let made = client.post_json(
        "/v1/tenants/default/credentials",
        &json!({"name": "listener", "roles": roles}),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

#[test]
fn records_come_as_they_are_appended_in_the_shape_of_searches() {
    let server = Server::start();
    let client = server.client();
    append(&client, "default", 0..10);
    let query = format!("{TAIL}?q={}", escape("metadata.shard:s1"));
    let mut live = listen(server.base(), server.secret(), &query, None);
    let header = |name: &str| {
        live.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert!(header("cache-control").unwrap().contains("no-store"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(header("content-encoding"), None);
    let hello = live.next_within(PATIENCE).unwrap();
    assert_eq!(hello.name, "progress");
    assert!(
        hello.id.unwrap().starts_with("9-"),
        "a start can be resumed before anything came"
    );
    append(&client, "default", 10..30);
    let first = live.record();
    assert!(first.id.as_deref().unwrap().starts_with("11-"), "{first:?}");
    let found = client.get("/v1/tenants/default/events?q=seq:11").json();
    assert_eq!(first.json(), found["items"][0]);
    assert_eq!(live.seqs(3), [16, 21, 26]);
    let mut all = listen(
        server.base(),
        server.secret(),
        &format!("{query}&from=beginning"),
        None,
    );
    assert_eq!(all.seqs(6), [1, 6, 11, 16, 21, 26]);
    let mut some = listen(server.base(), server.secret(), &format!("{query}&from=12"), None);
    assert_eq!(some.seqs(3), [16, 21, 26]);
}

#[test]
fn a_client_goes_on_exactly_where_it_was_with_the_header_or_the_parameter() {
    let server = Server::start();
    let client = server.client();
    append(&client, "default", 0..20);
    let mut first = listen(
        server.base(),
        server.secret(),
        &format!("{TAIL}?from=beginning"),
        None,
    );
    assert_eq!(first.seqs(7), (0..7).collect::<Vec<_>>());
    let last = first.last.clone().unwrap();
    drop(first);
    append(&client, "default", 20..30);
    let mut header = listen(
        server.base(),
        server.secret(),
        &format!("{TAIL}?from=beginning&last_event_id=3-00000000"),
        Some(&last),
    );
    assert_eq!(header.seqs(23), (7..30).collect::<Vec<_>>());
    let path = format!("{TAIL}?last_event_id={}", escape(&last));
    let mut parameter = listen(server.base(), server.secret(), &path, None);
    assert_eq!(parameter.seqs(23), (7..30).collect::<Vec<_>>());
}

#[test]
fn what_makes_no_sense_or_is_not_allowed_is_refused_before_anything_is_streamed() {
    let server = Server::start();
    let client = server.client();
    append(&client, "default", 0..2);
    client.request("PUT", "/v1/tenants/other", &[], b"{}");
    append(&client, "other", 0..3);
    let refused =
        |secret: &str, path: &str, last: Option<&str>| match try_listen(server.base(), secret, path, last) {
            Ok(Listened::Refused(status, problem, _)) => {
                (status, problem["code"].as_str().unwrap().to_owned())
            }
            _ => panic!("{path} is not refused"),
        };
    let mut other = listen(
        server.base(),
        server.secret(),
        "/v1/tenants/other/tail?from=1",
        None,
    );
    other.seqs(1);
    let foreign = other.last.clone().unwrap();
    let own = server.secret();
    let code = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        refused(own, TAIL, Some(&foreign)),
        code(400, "event_id_of_another_log")
    );
    assert_eq!(
        refused(own, TAIL, Some("nonsense")),
        code(400, "invalid_event_id")
    );
    assert_eq!(
        refused(own, &format!("{TAIL}?from=yesterday"), None),
        code(400, "invalid_from")
    );
    assert_eq!(
        refused(own, &format!("{TAIL}?from=3"), None),
        code(400, "beyond_log")
    );
    assert_eq!(
        refused(own, &format!("{TAIL}?q=actoor:x"), None),
        code(400, "invalid_query")
    );
    assert_eq!(
        refused(own, "/v1/tenants/nobody/tail", None),
        code(404, "unknown_tenant")
    );
    let (_, ingest) = credential(&client, &["ingest"]);
    assert_eq!(refused(&ingest, TAIL, None), code(403, "forbidden"));
    assert_eq!(
        refused(&ingest, "/v1/tenants/other/tail", None),
        code(404, "unknown_tenant")
    );
    assert_eq!(refused("atst_nobody", TAIL, None), code(401, "unauthenticated"));
}

#[test]
fn personal_fields_are_for_investigators_in_filters_and_in_records() {
    let server = Server::start();
    let client = server.client();
    let (_, reader) = credential(&client, &["reader"]);
    let (_, investigator) = credential(&client, &["investigator"]);
    let by_name = format!("{TAIL}?q={}", escape("actor.name:Ann"));
    let mut blind = listen(server.base(), &reader, &by_name, None);
    let mut all = listen(server.base(), &reader, TAIL, None);
    let mut sees = listen(server.base(), &investigator, &by_name, None);
    append(&client, "default", 0..3);
    assert_eq!(sees.record().json()["event"]["actor"]["name"], "Ann");
    assert_eq!(all.record().json()["event"]["actor"]["name"], "[personal]");
    all.seqs(2);
    let told = blind.named("progress");
    assert_eq!(
        told.id.as_deref().map(|id| id.starts_with("start-")),
        Some(true),
        "{told:?}"
    );
    let told = blind.named("progress");
    assert!(
        told.id.unwrap().starts_with("2-"),
        "it moved on and showed nothing"
    );
}

#[test]
fn tails_are_limited_and_a_place_comes_back_when_a_client_leaves() {
    let server = Server::start_with(&[], &[("ATTESTORE_HTTP__TENANT_TAILS_MAX", "2")]);
    let client = server.client();
    let ask = || try_listen(server.base(), server.secret(), TAIL, None).unwrap();
    let _first = listen(server.base(), server.secret(), TAIL, None);
    // Raw, so that the end of the connection is known.
    let address = server.base().strip_prefix("http://").unwrap();
    let mut second = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET {TAIL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        server.secret()
    );
    second.write_all(request.as_bytes()).unwrap();
    second.read_exact(&mut [0; 12]).unwrap();
    match ask() {
        Listened::Refused(503, problem, Some(_)) => assert_eq!(problem["code"], "too_many_tails"),
        _ => panic!("a third tail of two"),
    }
    assert!(client.get("/metrics").text().contains("attestore_tails 2"));
    drop(second);
    let began = Instant::now();
    while matches!(ask(), Listened::Refused(..)) {
        assert!(began.elapsed() < PATIENCE, "the place does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_credential_that_is_revoked_ends_its_tails_within_seconds() {
    let server = Server::start();
    let client = server.client();
    let (id, secret) = credential(&client, &["reader"]);
    let mut revoked = listen(server.base(), &secret, TAIL, None);
    let mut stays = listen(server.base(), server.secret(), TAIL, None);
    append(&client, "default", 0..1);
    revoked.seqs(1);
    let answer = client.request(
        "DELETE",
        &format!("/v1/tenants/default/credentials/{id}"),
        &[],
        &[],
    );
    assert_eq!(answer.status, 204);
    let end = revoked.next_within(PATIENCE).unwrap();
    assert_eq!(
        (end.name.as_str(), &end.json()["reason"]),
        ("end", &json!("credential"))
    );
    append(&client, "default", 1..2);
    assert_eq!(revoked.next_within(PATIENCE), None, "nothing comes after the end");
    assert_eq!(stays.seqs(2), [0, 1]);
}

#[test]
fn a_server_that_stops_says_so_and_does_not_wait_for_its_tails() {
    let mut server = Server::start();
    let mut tail = listen(server.base(), server.secret(), TAIL, None);
    tail.named("progress");
    let began = Instant::now();
    server.stop();
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "less than the time to drain: {:?}",
        began.elapsed()
    );
    let end = tail.named("end");
    assert_eq!(end.json()["reason"], "stopping");
}

#[test]
fn who_does_not_read_holds_up_nobody_and_loses_the_connection_in_the_end() {
    let server = Server::start_with(&[], &[("ATTESTORE_HTTP__BODY_TIMEOUT_MS", "3000")]);
    let client = server.client();
    append(&client, "default", 0..20_000);
    let address = server.base().strip_prefix("http://").unwrap();
    let mut stalled: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            let request = format!(
                "GET {TAIL}?from=beginning HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
                server.secret()
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut reads = listen(server.base(), server.secret(), TAIL, None);
    reads.named("progress");
    for n in 20_000..20_020 {
        append(&client, "default", n..n + 1);
        assert_eq!(reads.seqs(1), [n]);
    }
    let began = Instant::now();
    while !client.get("/metrics").text().contains("attestore_tails 1\n") {
        assert!(began.elapsed() < PATIENCE, "stalled connections stay");
        std::thread::sleep(Duration::from_millis(100));
    }
    // What they had been sent is whole as far as it goes.
    let mut sent = Vec::new();
    let _ = stalled[0].read_to_end(&mut sent);
    assert!(sent.starts_with(b"HTTP/1.1 200"));
}
