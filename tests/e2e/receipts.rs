//! Signed receipts: evidence in the append's own answer.

use attestore_tlog::{Hash, VerifierKey, leaf_hash, open_checkpoint, verify_inclusion};
use serde_json::{Value, json};

use crate::harness::{Server, event};

const EVENTS: &str = "/v1/tenants/default/events";
const SIGNED: [(&str, &str); 2] = [("content-type", "application/json"), ("prefer", "receipt=signed")];

fn vkey(server: &Server) -> VerifierKey {
    let text = server.client().get("/v1/tenants/default/log/vkey").text();
    VerifierKey::parse(text.trim()).unwrap()
}

/// Verifies one item against the checkpoint of its answer, with nothing but the key. Returns the size of the tree.
fn verify(answer: &Value, item: &Value, key: &VerifierKey) -> u64 {
    let head = open_checkpoint(answer["checkpoint"].as_str().unwrap(), key).unwrap();
    let entry: Vec<u8> = (0..44)
        .map(|at| u8::from_str_radix(&item["entry"].as_str().unwrap()[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let hashes = item["proof"].as_array().unwrap().iter();
    let proof: Vec<Hash> = hashes
        .map(|hash| Hash::from_base64(hash.as_str().unwrap()).unwrap())
        .collect();
    let seq = item["seq"].as_u64().unwrap();
    verify_inclusion(seq, head.size(), leaf_hash(&entry), &proof, head.root()).unwrap();
    head.size()
}

#[test]
fn receipts_are_signed_where_asked_for_and_verify_with_the_key_alone() {
    let server = Server::start();
    let (client, key) = (server.client(), vkey(&server));
    let plain = client.post_json(EVENTS, &event(0)).json();
    assert_eq!(plain["durability"], "durable");
    assert!(plain["checkpoint"].is_null() && plain["proof"].is_null());
    for n in 1..40 {
        let body = serde_json::to_vec(&event(n)).unwrap();
        let answer = client.request("POST", EVENTS, &SIGNED, &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["durability"], "signed");
        assert_eq!(verify(&answer, &answer, &key), n + 1);
        assert_eq!(answer["proof"], answer["items"][0]["proof"]);
    }
}

#[test]
fn each_event_of_a_batch_has_its_proof_and_the_refused_ones_have_none() {
    let server = Server::start();
    let (client, key) = (server.client(), vkey(&server));
    let keyed = |n: u64| {
        let mut event = event(n);
        event["idempotency_key"] = json!(format!("k{n}"));
        event
    };
    assert_eq!(client.post_json(EVENTS, &keyed(7)).status, 201);
    let batch = json!([keyed(1), keyed(7), {"action": 5}, keyed(2)]);
    let body = serde_json::to_vec(&batch).unwrap();
    let answer = client.request("POST", EVENTS, &SIGNED, &body);
    assert_eq!(answer.header("preference-applied"), Some("receipt=signed"));
    let answer = answer.json();
    let items = answer["items"].as_array().unwrap();
    assert!(items[2]["error"].is_object() && items[2]["proof"].is_null());
    assert_eq!(
        (&items[1]["duplicate"], &items[1]["seq"]),
        (&json!(true), &json!(0))
    );
    for item in [&items[0], &items[1], &items[3]] {
        assert_eq!(verify(&answer, item, &key), 3);
    }
}

#[test]
fn a_receipt_that_was_given_holds_after_kill_9() {
    let register = tempfile::tempdir().unwrap();
    let path = register.path().join("heads");
    let mut server = Server::start_with(&["--head-register", path.to_str().unwrap()], &[]);
    let key = vkey(&server);
    let body = serde_json::to_vec(&event(1)).unwrap();
    let answer = server.client().request("POST", EVENTS, &SIGNED, &body).json();
    let saved = open_checkpoint(answer["checkpoint"].as_str().unwrap(), &key).unwrap();
    server.kill();
    server.run();
    assert_eq!(server.client().post_json(EVENTS, &event(2)).status, 201);
    let old = register.path().join("old");
    std::fs::write(&old, answer["checkpoint"].as_str().unwrap()).unwrap();
    let told = server.cli_ok(&["checkpoint", "--since", old.to_str().unwrap()]);
    assert!(told.contains("\n2\n"), "{told}");
    assert_eq!(saved.size(), 1);
}

#[test]
fn where_nothing_can_be_signed_the_answer_says_durable_and_why() {
    let register = tempfile::tempdir().unwrap();
    let path = register.path().join("heads");
    let server = Server::start_with(&["--head-register", path.to_str().unwrap()], &[]);
    // Somebody else holds the register's lock.
    let lock = std::fs::File::open(register.path().join("heads.lock")).unwrap();
    lock.lock().unwrap();
    let body = serde_json::to_vec(&event(1)).unwrap();
    let answer = server.client().request("POST", EVENTS, &SIGNED, &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), None);
    let answer = answer.json();
    assert_eq!(answer["durability"], "durable");
    assert!(
        answer["checkpoint"].is_null() && answer["receipt_failure"].is_string(),
        "{answer}"
    );
    lock.unlock().unwrap();
    let answer = server.client().request("POST", EVENTS, &SIGNED, &body).json();
    assert_eq!(answer["durability"], "signed", "{answer}");
}

#[test]
fn the_command_keeps_receipts() {
    let server = Server::start();
    let key = vkey(&server);
    let folder = tempfile::tempdir().unwrap();
    let (events, receipts) = (folder.path().join("events"), folder.path().join("receipts"));
    let lines: String = (0..25).map(|n| format!("{}\n", event(n))).collect();
    std::fs::write(&events, lines).unwrap();
    server.cli_ok(&[
        "append",
        events.to_str().unwrap(),
        "--batch",
        "10",
        "--receipts",
        receipts.to_str().unwrap(),
    ]);
    let text = std::fs::read_to_string(&receipts).unwrap();
    let mut verified = 0;
    for line in text.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        for item in answer["items"].as_array().unwrap() {
            verify(&answer, item, &key);
            verified += 1;
        }
    }
    assert_eq!((text.lines().count(), verified), (3, 25));
}

#[test]
fn the_server_verifies_what_it_stores_and_tells() {
    let mut server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ENGINE__FLUSH_AGE_MS", "300"),
            ("ATTESTORE_ENGINE__SCRUB_BYTES_PER_S", "0"),
        ],
    );
    let lines: String = (0..200).map(|n| format!("{}\n", event(n))).collect();
    assert_eq!(server.client().post_ndjson(EVENTS, &lines).status, 201);
    let verification = "/v1/tenants/default/verification";
    let until = |server: &Server, what: &str, holds: &dyn Fn(&Value) -> bool| {
        for _ in 0..300 {
            assert_eq!(server.client().post_json(verification, &json!({})).status, 202);
            let report = server.client().get(verification).json();
            if holds(&report) {
                return report;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{what}: {}", server.client().get(verification).text());
    };
    until(&server, "all is verified", &|report| report["records"] == 200);
    assert!(
        server
            .cli_ok(&["verify", "--sample", "5"])
            .contains("re-hashed 200 stored records")
    );
    server.stop();
    // The largest: in its middle are records of this tenant, and not those of the server itself.
    let part = walk(&server.data())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "l0" || e == "seg"))
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&part).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    server.run();
    let report = until(&server, "the damage is found", &|report| {
        report["findings"][0].is_object()
    });
    let name = part.file_name().unwrap().to_str().unwrap();
    assert!(
        report["findings"].to_string().contains(name),
        "{report} does not name {name}"
    );
    let verified = server.cli(&["verify", "--sample", "1"]);
    assert_eq!(verified.status.code(), Some(3));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
