//! Watches: what newly matches reaches a webhook, signed, at least once and under one id; and goes nowhere it may not.

pub(crate) mod receiver;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer as Reply, Client, Server, event};
use receiver::{Answer, Receiver};

const SEARCHES: &str = "/v1/tenants/default/searches";

/// A server whose webhooks may go to this machine, and that does not wait long.
fn server(more: &[(&str, &str)]) -> Server {
    let mut env = vec![
        ("ATTESTORE_WEBHOOK__ALLOW", "127.0.0.1"),
        ("ATTESTORE_WEBHOOK__ALLOW_HTTP", "true"),
        ("ATTESTORE_WEBHOOK__TIMEOUT_MS", "1500"),
        ("ATTESTORE_WEBHOOK__RETRY_FIRST_MS", "100"),
        ("ATTESTORE_WEBHOOK__RETRY_LAST_MS", "400"),
    ];
    env.extend(more);
    Server::start_with(&[], &env)
}

/// Saves a search for denials; its id.
fn search(client: &Client) -> String {
    let saved = client.post_json(SEARCHES, &json!({"name": "denials", "query": "outcome:denied"}));
    assert_eq!(saved.status, 201, "{}", saved.text());
    saved.json()["id"].as_str().unwrap().to_owned()
}

fn put(client: &Client, id: &str, body: &Value) -> Reply {
    let body = serde_json::to_vec(body).unwrap();
    let headers = [("content-type", "application/json")];
    client.request("PUT", &format!("{SEARCHES}/{id}/watch"), &headers, &body)
}

/// Sets a watch; its secret, if one was made.
fn set(client: &Client, id: &str, body: &Value) -> Option<String> {
    let answer = put(client, id, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["secret"].as_str().map(str::to_owned)
}

fn watch(client: &Client, id: &str) -> Value {
    client.get(&format!("{SEARCHES}/{id}/watch")).json()
}

/// Waits until a watch looks as wanted.
fn until(client: &Client, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let watch = watch(client, id);
        if wanted(&watch) {
            return watch;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "{what}: {watch}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Appends events; every third is a denial.
fn append(client: &Client, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let mut event = event(n);
        event["outcome"] = if n % 3 == 0 { "denied" } else { "success" }.into();
        let answer = client.post_json("/v1/tenants/default/events", &event);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// The seqs that the next messages tell of, until there are so many.
fn collect(receiver: &Receiver, secret: &str, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let got = receiver.next();
        got.verify(secret);
        seqs.extend(got.seqs());
    }
    seqs
}

#[test]
fn what_newly_matches_is_told_once_signed_and_without_values() {
    let server = server(&[]);
    let client = server.client();
    append(&client, 0..3);
    let receiver = Receiver::start(Answer::Status(204));
    let id = search(&client);
    let secret = set(&client, &id, &json!({"url": receiver.url})).unwrap();
    append(&client, 3..31);
    assert_eq!(
        collect(&receiver, &secret, 10),
        (3..31).step_by(3).collect::<Vec<_>>()
    );
    append(&client, 31..34);
    let got = receiver.next();
    assert_eq!((got.path.as_str(), got.seqs()), ("/hook", vec![33]));
    assert_eq!(got.headers["content-type"], "application/json");
    let body = got.json();
    assert_eq!(body["type"], "search.matched");
    assert_eq!(body["data"]["tenant"], "default");
    assert_eq!(body["data"]["search"], json!({"id": id, "name": "denials"}));
    let found = client.get("/v1/tenants/default/events/33").json();
    assert_eq!(body["data"]["records"], json!([{"seq": 33, "id": found["id"]}]));
    for value in ["u_33", "Ann", "203.0.113.9", "denied"] {
        assert!(
            !String::from_utf8_lossy(&got.body).contains(value),
            "{value} went outside"
        );
    }
    receiver.quiet();
    let shown = until(&client, &id, "all is told", |watch| {
        watch["delivered"].as_u64() >= Some(2) && watch["pending"].is_null()
    });
    assert_eq!(
        (&shown["state"], &shown["next_seq"]),
        (&json!("active"), &json!(34))
    );
    assert!(!shown.to_string().contains("whsec_"), "a secret is shown once");
    assert!(
        client
            .get("/metrics")
            .text()
            .contains("attestore_watch_attempts_total{outcome=\"delivered\"}")
    );
    // A given secret, and records with their public fields.
    let own = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    assert_eq!(
        set(
            &client,
            &id,
            &json!({"url": receiver.url, "secret": own, "records": true})
        ),
        None
    );
    append(&client, 34..37);
    let got = receiver.next();
    got.verify(own);
    let event = &got.json()["data"]["records"][0]["event"];
    assert_eq!(
        (&event["action"], &event["actor"]["name"]),
        (&json!("invoice.export"), &json!("[personal]"))
    );
    // Turned off and on again: nothing is lost in between.
    set(&client, &id, &json!({"url": receiver.url, "enabled": false}));
    assert_eq!(watch(&client, &id)["state"], "off");
    append(&client, 37..40);
    receiver.quiet();
    set(&client, &id, &json!({"url": receiver.url}));
    assert_eq!(collect(&receiver, own, 1), [39]);
    assert_eq!(
        client
            .request("DELETE", &format!("{SEARCHES}/{id}/watch"), &[], &[])
            .status,
        204
    );
    client
        .get(&format!("{SEARCHES}/{id}/watch"))
        .problem(404, "not_found");
    append(&client, 40..43);
    receiver.quiet();
}

#[test]
fn a_message_that_is_not_taken_comes_again_under_the_same_id() {
    let server = server(&[]);
    let client = server.client();
    let elsewhere = Receiver::start(Answer::Status(200));
    let receiver = Receiver::start(Answer::Status(500));
    let id = search(&client);
    let secret = set(&client, &id, &json!({"url": receiver.url})).unwrap();
    append(&client, 0..1);
    let first = receiver.next();
    let again = |why: &str| {
        let got = receiver.next();
        assert_eq!((got.id(), got.seqs()), (first.id(), vec![0]), "{why}");
        got.verify(&secret);
        assert_eq!(got.body, first.body, "{why}");
    };
    again("500");
    assert!(
        until(&client, &id, "500", |watch| watch["state"] == "failing")["last_error"]
            .to_string()
            .contains("500")
    );
    receiver.answer(Answer::Redirect(elsewhere.url.clone()));
    again("on the way to the redirect");
    again("redirect");
    elsewhere.quiet();
    receiver.answer(Answer::Never);
    until(&client, &id, "slow", |watch| {
        watch["last_error"].to_string().contains("no answer within")
    });
    receiver.answer(Answer::Endless);
    let taken = until(&client, &id, "taken", |watch| watch["delivered"] == 1);
    assert_eq!(
        (&taken["state"], &taken["last_error"]),
        (&json!("active"), &Value::Null)
    );
    while let Some(()) = drain(&receiver, first.id()) {}
    // Nobody listens at all.
    set(&client, &id, &json!({"url": "http://127.0.0.1:9/"}));
    append(&client, 1..4);
    until(&client, &id, "down", |watch| {
        watch["last_error"].to_string().contains("cannot connect")
    });
    receiver.answer(Answer::Status(200));
    set(&client, &id, &json!({"url": receiver.url}));
    assert_eq!(collect(&receiver, &secret, 1), [3]);
}

/// Takes what was sent of this message; `None` when nothing more comes.
fn drain(receiver: &Receiver, id: &str) -> Option<()> {
    let got = receiver.try_next()?;
    assert_eq!(got.id(), id);
    Some(())
}

#[test]
fn a_message_that_is_given_up_is_kept_and_can_be_sent_again() {
    let server = server(&[("ATTESTORE_WEBHOOK__ATTEMPTS_MAX", "2")]);
    let client = server.client();
    let receiver = Receiver::start(Answer::Status(500));
    let id = search(&client);
    let secret = set(&client, &id, &json!({"url": receiver.url})).unwrap();
    append(&client, 0..1);
    let first = receiver.next();
    receiver.next();
    until(&client, &id, "given up", |watch| {
        watch["dead"] == 1 && watch["pending"].is_null()
    });
    receiver.answer(Answer::Status(200));
    append(&client, 1..4);
    assert_eq!(collect(&receiver, &secret, 1), [3], "what comes next goes on");
    let dead = format!("{SEARCHES}/{id}/watch/dead");
    let letters = client.get(&dead).json();
    let letter = &letters["items"][0];
    assert_eq!(
        (&letter["id"], &letter["attempts"]),
        (&json!(first.id()), &json!(2))
    );
    assert_eq!(letter["records"][0]["seq"], 0);
    let number = letter["number"].as_u64().unwrap();
    client
        .post_json(&format!("{dead}/99/redeliver"), &json!({}))
        .problem(404, "not_found");
    assert_eq!(
        client
            .post_json(&format!("{dead}/{number}/redeliver"), &json!({}))
            .status,
        202
    );
    let again = receiver.next();
    again.verify(&secret);
    assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    until(&client, &id, "taken after all", |watch| {
        watch["dead"] == 0 && watch["pending"].is_null()
    });
    receiver.answer(Answer::Status(500));
    append(&client, 4..7);
    until(&client, &id, "given up", |watch| watch["dead"] == 1);
    let letter = client.get(&dead).json()["items"][0]["number"].clone();
    assert_eq!(
        client
            .request("DELETE", &format!("{dead}/{letter}"), &[], &[])
            .status,
        204
    );
    assert_eq!(client.get(&dead).json()["items"], json!([]));
}

#[test]
fn kill_9_after_a_message_was_taken_and_before_that_was_noted_sends_it_again_under_the_same_id() {
    let mut server = server(&[]);
    server.stay();
    let client = server.client();
    let receiver = Receiver::start(Answer::Never);
    let id = search(&client);
    let secret = set(&client, &id, &json!({"url": receiver.url})).unwrap();
    append(&client, 0..1);
    let first = receiver.next();
    // Here, and not answered: for the receiver it is taken, for the server it is not.
    server.kill();
    receiver.answer(Answer::Status(200));
    server.run();
    append(&server.client(), 1..7);
    let again = receiver.next();
    assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    assert_eq!(collect(&receiver, &secret, 2), [3, 6]);
    server.kill();
    server.run();
    receiver.quiet();
}

#[test]
fn addresses_that_are_not_public_are_not_called_unless_allowed() {
    let server = Server::start_with(&[], &[("ATTESTORE_WEBHOOK__RETRY_FIRST_MS", "100")]);
    let client = server.client();
    let receiver = Receiver::start(Answer::Status(200));
    let id = search(&client);
    for url in [
        receiver.url.as_str(),
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/",
        "http://example.com/",
        "ftp://example.com/",
        "https://a:b@example.com/",
        "example.com",
    ] {
        let problem = put(&client, &id, &json!({"url": url})).problem(400, "invalid_watch");
        assert_eq!(problem["path"], "/url", "{url}");
        assert!(!problem.to_string().contains(url), "{problem}");
    }
    // Names are judged by what they resolve to, when they are called.
    let port = receiver.url.rsplit(':').next().unwrap().trim_end_matches("/hook");
    for host in ["localhost", "0x7f.1", "2130706433"] {
        set(
            &client,
            &id,
            &json!({"url": format!("https://{host}:{port}/hook")}),
        );
        append(&client, 0..1);
        let failing = until(&client, &id, host, |watch| {
            watch["failed"].as_u64() > Some(0) && watch["last_error"].is_string()
        });
        let error = failing["last_error"].as_str().unwrap();
        assert!(
            error.contains("not public") || error.contains("does not resolve"),
            "{host}: {error}"
        );
    }
    receiver.quiet();
}

#[test]
fn who_manages_the_tenant_sets_watches_and_a_receiver_can_end_them() {
    let server = server(&[]);
    let client = server.client();
    let receiver = Receiver::start(Answer::Status(410));
    let id = search(&client);
    let made = client.post_json(
        "/v1/tenants/default/credentials",
        &json!({"name": "reads", "roles": ["reader", "investigator"]}),
    );
    let reader = Client::new(server.base(), made.json()["secret"].as_str().unwrap());
    put(&reader, &id, &json!({"url": receiver.url})).problem(403, "forbidden");
    reader
        .get(&format!("{SEARCHES}/{id}/watch"))
        .problem(403, "forbidden");
    put(&client, &"0".repeat(32), &json!({"url": receiver.url})).problem(404, "not_found");
    put(
        &client,
        &id,
        &json!({"url": receiver.url, "secret": "whsec_c2hvcnQ="}),
    )
    .problem(400, "invalid_watch");
    set(&client, &id, &json!({"url": receiver.url}));
    append(&client, 0..1);
    let first = receiver.next();
    let off = until(&client, &id, "410", |watch| watch["state"] == "turned_off");
    assert!(off["reason"].as_str().unwrap().contains("410"), "{off}");
    receiver.quiet();
    receiver.answer(Answer::Status(200));
    set(&client, &id, &json!({"url": receiver.url}));
    assert_eq!(receiver.next().id(), first.id(), "nothing is lost");
    // With the search goes its watch; that somebody sent outside stays on record.
    assert_eq!(
        client
            .request("DELETE", &format!("{SEARCHES}/{id}"), &[], &[])
            .status,
        204
    );
    append(&client, 1..4);
    receiver.quiet();
    assert_eq!(client.count("_system", "action:watch.set"), 2);
}
