//! The log of heads end to end: a server that witnesses follow through one log, and what its tenants hold of that.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::exports::attestore_verify;
use crate::harness::{Answer, Client, Server, event};
use crate::witness::Witness;

const HEADS: &str = "/v1/tenants/_heads/log";

struct World {
    folder: TempDir,
    server: Server,
    witness: Option<Witness>,
}

impl World {
    /// A server with two tenants whose log of heads one witness cosigns, and no other log.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy");
        // Nobody is there yet: the witness has to know the key of the log of heads first.
        let nobody = attestore_tlog::CosignerKey::ed25519("nobody.example", [3; 32]).unwrap();
        std::fs::write(
            &policy,
            format!("witness w {nobody} http://127.0.0.1:9/\nquorum w\n"),
        )
        .unwrap();
        let mut server = Server::start_with(
            &[],
            &[
                ("ATTESTORE_WITNESS__POLICY_FILE", policy.to_str().unwrap()),
                ("ATTESTORE_WITNESS__ALLOW_LOOPBACK_HTTP", "true"),
                ("ATTESTORE_WITNESS__TENANTS", "[]"),
                ("ATTESTORE_WITNESS__HEADS", "true"),
                ("ATTESTORE_WITNESS__HEADS_INTERVAL_MS", "200"),
                ("ATTESTORE_WITNESS__TIMEOUT_MS", "2000"),
            ],
        );
        for tenant in ["acme", "globex"] {
            let path = format!("/v1/tenants/{tenant}");
            assert!(server.client().request("PUT", &path, &[], b"{}").status < 300);
            let path = format!("{path}/events");
            assert_eq!(server.client().post_json(&path, &event(1)).status, 201);
        }
        let vkey = until("the first round", || {
            Some(server.client().get(&format!("{HEADS}/vkey"))).filter(|answer| answer.status == 200)
        });
        let vkey = vkey.text().trim().to_owned();
        let missing = server.client().get("/v1/tenants/acme/log/heads");
        assert_eq!(missing.status, 404, "nobody witnessed: {}", missing.text());
        let witness = Witness::start(&folder.path().join("witness"), "w.example/w", &[&vkey]);
        let text = format!(
            "log {vkey}\nwitness w {} {}\nquorum w\n",
            witness.key, witness.url
        );
        std::fs::write(&policy, text).unwrap();
        server.stop();
        server.run();
        Self {
            folder,
            server,
            witness: Some(witness),
        }
    }

    fn append(&self, n: u64, prefer: &str) -> Answer {
        let body = serde_json::to_vec(&event(n)).unwrap();
        let headers = [("content-type", "application/json"), ("prefer", prefer)];
        self.server
            .client()
            .request("POST", "/v1/tenants/acme/events", &headers, &body)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Exit code of `attestore-verify heads` for `acme`, with these arguments.
    fn verify(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let vkey = self.server.client().get("/v1/tenants/acme/log/vkey").text();
        let policy = self.folder.path().join("policy");
        let trust = ["--vkey", vkey.trim(), "--policy", policy.to_str().unwrap()];
        let output = attestore_verify(&[&["heads"], arguments, &trust].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn receipts_and_heads_are_witnessed_through_the_log_of_heads() {
    let mut world = World::new();
    let answer = world.append(2, "receipt=witnessed, wait=20");
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), Some("receipt=witnessed"));
    let answer = answer.json();
    assert_eq!(answer["durability"], "witnessed", "{answer}");
    let slot = answer["slot"].as_str().unwrap();
    assert!(slot.contains(answer["checkpoint"].as_str().unwrap()), "{slot}");
    let first = world.file("first.slot-proof", slot);
    let (code, said) = world.verify(&[&first]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("cosigned by w,") && said.contains("the tree of 2"),
        "{said}"
    );
    let receipt = world.file("receipt.json", &answer.to_string());
    let vkey = world.server.client().get("/v1/tenants/acme/log/vkey").text();
    assert!(
        attestore_verify(&["receipt", &receipt, "--vkey", vkey.trim()])
            .status
            .success()
    );

    // A later head extends the earlier one.
    assert_eq!(
        world.append(3, "receipt=witnessed, wait=20").json()["durability"],
        "witnessed"
    );
    let second = world.server.client().get("/v1/tenants/acme/log/heads");
    assert_eq!(second.status, 200, "{}", second.text());
    let second = world.file("second.slot-proof", &second.text());
    let consistency = world
        .server
        .client()
        .get("/v1/tenants/acme/log/consistency?from=2&to=3");
    let consistency = world.file("consistency.json", &consistency.text());
    let (code, said) = world.verify(&[&second, "--earlier", &first, "--proof", &consistency]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        world
            .verify(&[&first, "--earlier", &second, "--proof", &consistency])
            .0,
        Some(3)
    );
    let doctored = std::fs::read_to_string(&second)
        .unwrap()
        .replacen("\n3\n", "\n4\n", 1);
    assert_eq!(world.verify(&[&world.file("doctored", &doctored)]).0, Some(3));

    // The witness goes away: appends go on, and say how far they went.
    world.witness = None;
    let answer = world.append(4, "receipt=witnessed, wait=1");
    assert_eq!(answer.header("preference-applied"), Some("receipt=signed"));
    let answer = answer.json();
    assert_eq!(answer["durability"], "signed", "{answer}");
    assert!(
        answer["receipt_failure"].is_string() && answer["slot"].is_null(),
        "{answer}"
    );
    let still = world.server.client().get("/v1/tenants/acme/log/heads").text();
    assert_eq!(
        world.verify(&[&world.file("still", &still)]).0,
        Some(0),
        "the newest that is witnessed"
    );
    world.server.kill();
    world.server.run();
    assert_eq!(
        world.server.client().get("/v1/tenants/acme/log/heads").status,
        404,
        "of this run none is witnessed"
    );
    assert_eq!(world.verify(&[&first]).0, Some(0), "what was handed out holds");
}

#[test]
fn the_log_of_heads_is_open_to_readers_of_logs_and_shows_nobody() {
    let world = World::new();
    let made = |role: &str, tenant: &str| {
        let wanted = json!({"name": role, "roles": [role], "tenants": [tenant]});
        let made = world.server.client().post_json("/v1/credentials", &wanted);
        assert_eq!(made.status, 201, "{}", made.text());
        Client::new(world.server.base(), made.json()["secret"].as_str().unwrap())
    };
    let reader = made("auditor", "acme");
    let slot = until("a witnessed round", || {
        Some(reader.get("/v1/tenants/acme/log/heads")).filter(|answer| answer.status == 200)
    })
    .text();
    for path in [
        "/vkey",
        "/checkpoint",
        "/checkpoint?witnessed=true",
        "/witnesses",
        "/tile/entries/000.p/1",
        "/consistency?from=1",
    ] {
        let answer = reader.get(&format!("{HEADS}{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let proof = reader.get("/v1/tenants/_heads/events/0/proof");
    assert_eq!(proof.status, 200, "{}", proof.text());
    for path in ["/events", "/events/0", "", "/exports", "/access-log"] {
        let answer = reader.get(&format!("/v1/tenants/_heads{path}"));
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let globex = world.server.client().get("/v1/tenants/globex").json();
    for answer in [&slot, &proof.text()] {
        for secret in [
            "globex",
            globex["origin"].as_str().unwrap(),
            globex["id"].as_str().unwrap(),
        ] {
            assert!(!answer.contains(secret), "{secret}");
        }
    }
    assert_eq!(reader.get("/v1/tenants/globex/log/heads").status, 404);
    assert_eq!(reader.get("/v1/tenants/_system/log/heads").status, 404);
    let writer = made("ingest", "acme");
    assert_eq!(writer.get(&format!("{HEADS}/checkpoint")).status, 403);
    for client in [&writer, &world.server.client()] {
        let answer = client.post_json("/v1/tenants/_heads/events", &event(1));
        assert!([403, 404].contains(&answer.status), "{}", answer.text());
    }
}

#[test]
fn a_log_of_heads_without_witnesses_is_refused_at_the_start() {
    let mut server = Server::prepare(tempfile::tempdir().unwrap());
    server.set_env("ATTESTORE_WITNESS__HEADS", "true");
    assert_eq!(server.try_run().unwrap_err().code(), Some(2));
    assert!(
        server.log_text().contains("witness.heads"),
        "{}",
        server.log_text()
    );
}
