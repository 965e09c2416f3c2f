//! Backups in a bucket, over a server that speaks S3 (PyPI: moto).

mod relay;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::relay::Relay;
use crate::disaster;
use crate::harness::{Server, binary, event};
use crate::object_store::{CREDENTIALS, Store};

const EVENTS: &str = "/v1/tenants/default/events";

fn target(port: u16) -> String {
    format!("s3://audit/backups/one?endpoint=http://127.0.0.1:{port}")
}

/// Runs a command that has the credentials.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = binary().args(arguments).envs(CREDENTIALS).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Asks the store itself.
fn curl(store: &Store, arguments: &[&str], path: &str) -> Vec<u8> {
    let url = format!("http://127.0.0.1:{}/audit{path}", store.port);
    let output = Command::new("curl")
        .args([
            "-sf",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
            "--user",
            "tester:secret-of-tester",
        ])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?} {path}");
    output.stdout
}

/// What stands between tags of a name, in a list of the store.
fn tagged(store: &Store, query: &str, tag: &str) -> Vec<String> {
    let text = String::from_utf8(curl(store, &[], query)).unwrap();
    let begin = format!("<{tag}>");
    let parts = text.split(&begin).skip(1);
    parts
        .map(|part| part.split("</").next().unwrap().to_owned())
        .collect()
}

struct Away {
    folder: tempfile::TempDir,
    recipient: String,
}

impl Away {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("backup.key");
        let (code, recipient, said) = run(&["backup", "key", "--out", key.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        Self {
            folder,
            recipient: recipient.trim().to_owned(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A server whose backups go to a target, with more settings.
    fn server(&self, target: &str, more: &[(&str, &str)]) -> Server {
        let mut env = vec![
            ("ATTESTORE_BACKUP__TO", target),
            ("ATTESTORE_BACKUP__RECIPIENT", self.recipient.as_str()),
            ("ATTESTORE_BACKUP__EVERY_MINUTES", "0"),
        ];
        env.extend(CREDENTIALS);
        env.extend(more);
        Server::start_with(&["--head-register", &self.path("heads")], &env)
    }

    fn verify(&self, target: &str) -> (Option<i32>, Value, String) {
        let key = self.path("backup.key");
        let arguments = ["backup", "verify", target, "--key-file", &key, "--output", "json"];
        let (code, report, said) = run(&arguments);
        (code, serde_json::from_str(&report).unwrap_or_default(), said)
    }
}

fn create(server: &Server) -> Value {
    let made: Value =
        serde_json::from_str(&server.cli_ok(&["backup", "create", "--output", "json"])).unwrap();
    assert_eq!(made[0]["state"], "done", "{made}");
    made[0].clone()
}

/// Lines of events that take some room, as nothing in them repeats.
fn large(first: u64, count: u64) -> String {
    let random = std::fs::File::open("/dev/urandom").unwrap();
    let mut bytes = vec![0; 10_000];
    let lines = (first..first + count).map(|n| {
        std::io::Read::read_exact(&mut &random, &mut bytes).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut event = event(n);
        event["metadata"] = json!({ "random": hex });
        event.to_string() + "\n"
    });
    lines.collect()
}

#[test]
fn a_wiped_server_comes_back_from_a_bucket_and_clients_fill_what_was_lost() {
    let store = Store::start();
    let away = tempfile::tempdir().unwrap();
    disaster::drill(&target(store.port), &CREDENTIALS, away.path());
}

#[test]
fn backups_in_a_bucket_are_made_checked_and_restored() {
    let store = Store::start();
    let (away, target) = (Away::new(), target(store.port));
    let mut server = away.server(&target, &[("ATTESTORE_BACKUP__SHIP_EVERY_S", "0")]);
    for batch in 0..12 {
        let lines = large(batch * 100, 100);
        assert_eq!(server.client().post_ndjson(EVENTS, &lines).status, 201);
    }
    let first = create(&server);
    let sizes = tagged(&store, "?list-type=2&prefix=backups/one/", "Size");
    let longest = sizes.iter().map(|size| size.parse::<u64>().unwrap()).max();
    assert!(longest > Some(8 << 20), "one goes in parts: {longest:?}");
    for n in 2000..2030 {
        assert_eq!(server.client().post_json(EVENTS, &event(n)).status, 201);
    }
    let second = create(&server);
    let (copied, bytes) = (
        second["copied"].as_u64().unwrap(),
        second["bytes"].as_u64().unwrap(),
    );
    assert!(
        copied + (8 << 20) < bytes,
        "sealed files are not copied again: {copied} of {bytes}"
    );
    let listed: Value =
        serde_json::from_str(&server.cli_ok(&["backup", "list", "--output", "json"])).unwrap();
    let ids: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["id"])
        .collect();
    assert_eq!(ids, [&second["id"], &first["id"]]);
    let (code, report, said) = away.verify(&target);
    assert_eq!(
        (code, &report["problems"]),
        (Some(0), &json!([])),
        "{report} {said}"
    );
    assert!(
        report["backups"]
            .as_array()
            .unwrap()
            .iter()
            .all(|backup| backup["opened"] == true)
    );

    // Each kind of object, damaged and missing: it is named.
    let keys = tagged(&store, "?list-type=2&prefix=backups/one/", "Key");
    for folder in ["backups", "blobs", "catalogs", "entries", "escrow", "logs"] {
        let key = keys
            .iter()
            .find(|key| key.starts_with(&format!("backups/one/{folder}/")))
            .unwrap();
        let path = key.strip_prefix("backups/one/").unwrap();
        let copy = away.path("object");
        let mut bytes = curl(&store, &[], &format!("/{key}"));
        let put = |bytes: &[u8]| {
            std::fs::write(&copy, bytes).unwrap();
            curl(&store, &["-T", &copy], &format!("/{key}"));
        };
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        put(&bytes);
        let (code, report, said) = away.verify(&target);
        assert_eq!(code, Some(3), "{path}: {report} {said}");
        assert!(report["problems"].to_string().contains(path), "{path}: {report}");
        if folder != "backups" {
            curl(&store, &["-X", "DELETE"], &format!("/{key}"));
            let (code, report, _) = away.verify(&target);
            let problem = report["problems"].to_string();
            assert_eq!(code, Some(3), "{path}: {problem}");
            assert!(
                problem.contains(path) && problem.contains("missing"),
                "{path}: {problem}"
            );
        }
        bytes[middle] ^= 1;
        put(&bytes);
    }
    assert_eq!(away.verify(&target).0, Some(0));

    server.kill();
    std::fs::remove_dir_all(server.data()).unwrap();
    let data = server.data().to_str().unwrap().to_owned();
    let (key, register) = (away.path("backup.key"), away.path("heads"));
    let restore = [
        "restore",
        &target,
        "--to",
        &data,
        "--key-file",
        &key,
        "--head-register",
        &register,
    ];
    let (code, _, said) = run(&restore);
    assert_eq!(code, Some(0), "{said}");
    let (code, _, said) = run(&["fsck", "--data", &data, "--head-register", &register]);
    assert_eq!(code, Some(0), "{said}");
    server.run_restored();
    assert_eq!(server.client().count("default", "action:invoice.export"), 1230);
    assert_eq!(server.cli(&["verify"]).status.code(), Some(0));
    assert!(
        !server.log_text().contains("X-Amz-Signature"),
        "signed URLs are secrets"
    );
}

fn shipping(server: &Server) -> Value {
    serde_json::from_str(&server.cli_ok(&["backup", "status", "--output", "json"])).unwrap()
}

fn await_shipping(server: &Server, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let status = shipping(server);
        if is(&status) {
            return status;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{what}: {status}\n{}",
            server.log_text()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_bucket_that_is_away_is_told_stops_nobody_and_loses_nothing() {
    let store = Store::start();
    let relay = Relay::to(store.port);
    let (away, target) = (Away::new(), target(relay.port));
    let server = away.server(&target, &[("ATTESTORE_BACKUP__SHIP_EVERY_S", "1")]);
    for n in 0..50 {
        assert_eq!(server.client().post_json(EVENTS, &event(n)).status, 201);
    }
    await_shipping(&server, "shipped", |status| {
        status["lag_entries"] == 0 && status["chunks"].as_u64() > Some(0)
    });
    relay.cut();
    for n in 50..100 {
        let begin = Instant::now();
        assert_eq!(server.client().post_json(EVENTS, &event(n)).status, 201);
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "an append waits for the bucket"
        );
    }
    let status = await_shipping(&server, "told", |status| status["error"].is_string());
    let error = status["error"].as_str().unwrap();
    assert!(error.contains("s3://audit/backups/one/chunks/"), "{error}");
    assert!(status["lag_entries"].as_u64() >= Some(50), "{status}");
    let metrics = server.client().get("/metrics").text();
    let lag = metrics
        .lines()
        .find_map(|line| line.strip_prefix("attestore_backup_lag_entries "));
    assert!(lag.unwrap().parse::<f64>().unwrap() >= 50.0);
    let ready = server.client().get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    let listed = server.client().get("/v1/backups");
    let said = listed.problem(503, "backup_target_unavailable");
    assert!(
        said["detail"]
            .as_str()
            .unwrap()
            .contains("s3://audit/backups/one"),
        "{said}"
    );
    let (code, _, said) = away.verify(&target);
    assert_eq!(code, Some(1), "what cannot be asked is not damaged: {said}");
    assert!(said.contains("s3://audit/backups/one"), "{said}");
    relay.mend();
    await_shipping(&server, "shipped again", |status| {
        status["lag_entries"] == 0 && status["error"].is_null()
    });
    let (code, report, said) = away.verify(&target);
    assert_eq!(code, Some(0), "{report} {said}");
    assert!(
        !server.log_text().contains("X-Amz-Signature"),
        "signed URLs are secrets"
    );
}

#[test]
fn keys_of_a_backup_that_is_over_are_gone_from_a_bucket_that_keeps_versions() {
    let store = Store::start();
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let xml = "content-type: application/xml";
    curl(&store, &["-X", "PUT", "-H", xml, "-d", on], "?versioning");
    let (away, target) = (Away::new(), target(store.port));
    let more = [
        ("ATTESTORE_BACKUP__SHIP_EVERY_S", "0"),
        ("ATTESTORE_BACKUP__KEEP", "1"),
    ];
    let server = away.server(&target, &more);
    assert_eq!(server.client().post_json(EVENTS, &event(0)).status, 201);
    let first = create(&server);
    let escrows = || tagged(&store, "?versions&prefix=backups/one/escrow/", "Size");
    assert_eq!(escrows().len(), 1);
    let second = create(&server);
    // Older ones go right after a newer one is there.
    let begin = Instant::now();
    while escrows().len() > 1 && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let text = String::from_utf8(curl(&store, &[], "?versions&prefix=backups/one/escrow/")).unwrap();
    let versions: Vec<&str> = text.split("<Version>").skip(1).collect();
    assert_eq!(versions.len(), 1, "{text}");
    assert!(versions[0].contains(second["id"].as_str().unwrap()), "{text}");
    assert!(!versions[0].contains(first["id"].as_str().unwrap()), "{text}");
    assert_eq!(away.verify(&target).0, Some(0));
}

#[test]
fn a_bucket_that_is_not_there_and_names_that_make_no_sense_are_said() {
    let store = Store::start();
    let endpoint = format!("endpoint=http://127.0.0.1:{}", store.port);
    let away = Away::new();
    let (code, _, said) = away.verify(&format!("s3://nothing/one?{endpoint}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("s3://nothing/one") && said.contains("NoSuchBucket") && said.contains("404"),
        "{said}"
    );
    let (code, _, said) = away.verify(&format!("s3://audit/empty?{endpoint}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no folder of backups"), "{said}");
    for (name, why) in [
        ("s3://audit".to_owned(), "no key"),
        ("s3://audit/one?acl=public".to_owned(), "acl"),
        ("s3://audit/one?endpoint=http://192.0.2.1".to_owned(), "https"),
        ("s3://name:word@audit/one".to_owned(), "AWS_SECRET_ACCESS_KEY"),
    ] {
        let (code, _, said) = away.verify(&name);
        assert_eq!(code, Some(2), "{name}: {said}");
        assert!(said.contains(why) && !said.contains("word"), "{name}: {said}");
    }
    let output = binary()
        .args(["backup", "verify", "s3://audit/one"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("AWS_ACCESS_KEY_ID"));
    assert!(!Path::new("s3:").exists(), "a bucket is no folder");
}
