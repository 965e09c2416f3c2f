//! Witnesses of real servers' logs: two operators who watch each other, and a witness that is not ours.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use attestore_disk::SystemClock;
use attestore_outbound as outbound;
use attestore_tlog::{CosignerKey, Hash, Policy, SignedNote, VerifierKey};
use attestore_witness::Request;
use attestore_witness::client::{Cosigned, Settings, SubmitError, Submitter};
use rcgen::SanType;

use crate::harness::{Client, Server, binary, event};
use crate::tls::Authority;

const LOG: &str = "/v1/tenants/default/log";

/// A witness that runs.
pub struct Witness {
    child: Child,
    pub key: CosignerKey,
    pub url: String,
}

impl Witness {
    /// Starts `attestore witness serve`, and reads the line for others' policies.
    pub fn start(data: &Path, name: &str, logs: &[&str]) -> Self {
        let mut command = binary();
        command.args([
            "witness",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--name",
            name,
            "--data",
        ]);
        command.arg(data);
        for log in logs {
            command.args(["--log", log]);
        }
        Self::run(command, name)
    }

    fn run(mut command: Command, name: &str) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| line.unwrap().strip_prefix("witness ").map(str::to_owned));
        let line = line.expect("the line for others' policies");
        let [of, key, url] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert_eq!(of, name);
        Self {
            child,
            key: key.parse().unwrap(),
            url: url.to_owned(),
        }
    }

    /// The checkpoint that it keeps of a log.
    pub fn kept(&self, origin: &str) -> String {
        let name = attestore_witness::origin_hash(origin);
        let kept = self.client().get(&format!("/{name}/checkpoint"));
        assert_eq!(kept.status, 200, "{}", kept.text());
        kept.text()
    }

    fn client(&self) -> Client {
        Client::new(self.url.trim_end_matches('/'), "none")
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Submits the log of a server to a witness.
struct Feeder<'a> {
    server: &'a Server,
    submitter: Submitter,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Feeder<'a> {
    fn new(server: &'a Server, url: &str, key: &CosignerKey) -> Self {
        Self::trusting(server, url, key, outbound::roots_of_the_web())
    }

    fn trusting(server: &'a Server, url: &str, key: &CosignerKey, roots: outbound::RootCertStore) -> Self {
        let settings = Settings {
            url: url.into(),
            key: key.clone(),
            origin: vkey(server).name().to_owned(),
            timeout: Duration::from_secs(10),
            allow_loopback_http: true,
        };
        let http = outbound::Client::new(roots).unwrap();
        Self {
            server,
            submitter: Submitter::new(settings, http, Arc::new(SystemClock)).unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn submit(&self, checkpoint: &str) -> Result<Cosigned, SubmitError> {
        let client = self.server.client();
        let proof = |from, to| Ok::<_, String>(proof(&client, from, to));
        self.runtime.block_on(self.submitter.submit(checkpoint, proof))
    }

    /// Submits the newest checkpoint and returns it with the cosignature.
    fn witnessed(&self) -> SignedNote {
        let checkpoint = self.server.client().get(&format!("{LOG}/checkpoint")).text();
        let mut note = SignedNote::parse(&checkpoint).unwrap();
        note.add(&self.submit(&checkpoint).unwrap().lines).unwrap();
        note
    }
}

fn vkey(server: &Server) -> VerifierKey {
    let text = server.client().get(&format!("{LOG}/vkey")).text();
    text.trim().parse().unwrap()
}

fn proof(client: &Client, from: u64, to: u64) -> Vec<Hash> {
    let body = client
        .get(&format!("{LOG}/consistency?from={from}&to={to}"))
        .json();
    let hash = |hash: &serde_json::Value| {
        let text = hash.as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        Hash(std::array::from_fn(byte))
    };
    body["proof"].as_array().unwrap().iter().map(hash).collect()
}

fn append(server: &Server, range: std::ops::Range<u64>) {
    let lines: String = range.map(|n| format!("{}\n", event(n))).collect();
    let answer = server.client().post_ndjson("/v1/tenants/default/events", &lines);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn size(note: &SignedNote) -> u64 {
    note.text().lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_operators_watch_each_others_logs() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (Server::start(), Server::start());
    append(&a, 0..300);
    append(&b, 0..20);
    let of_a = Witness::start(
        &home.path().join("b"),
        "b.example/witness",
        &[&vkey(&a).to_string()],
    );
    let of_b = Witness::start(
        &home.path().join("a"),
        "a.example/witness",
        &[&vkey(&b).to_string()],
    );
    // What an auditor of A writes down, with the line that B's witness printed.
    let policy = |server: &Server, witness: &Witness| {
        let text = format!(
            "log {}\nwitness w {} {}\nquorum w\n",
            vkey(server),
            witness.key,
            witness.url
        );
        Policy::parse(text.as_bytes()).unwrap()
    };
    for (server, witness) in [(&a, &of_a), (&b, &of_b)] {
        let (feeder, policy) = (
            Feeder::new(server, &witness.url, &witness.key),
            policy(server, witness),
        );
        let first = feeder.witnessed();
        append(server, 300..700);
        let plain = server.client().get(&format!("{LOG}/checkpoint")).text();
        let origin = vkey(server).name().to_owned();
        let plain = policy
            .check(&SignedNote::parse(&plain).unwrap(), &origin)
            .unwrap();
        assert!(!plain.quorum, "signed, not witnessed");
        let second = feeder.witnessed();
        assert!(size(&second) > size(&first));
        for note in [&first, &second] {
            let verdict = policy.check(note, &origin).unwrap();
            assert!(verdict.quorum);
            assert_eq!(verdict.cosigned.len(), 1);
        }
        // Monitors see what was cosigned last.
        let hash = attestore_witness::origin_hash(&origin);
        let seen = witness.client().get(&format!("/{hash}/checkpoint"));
        assert_eq!((seen.status, seen.text()), (200, second.to_note()));
        // An older head, truly signed: the log was taken back, or somebody has a copy.
        let error = feeder.submit(&first.to_note()).unwrap_err();
        assert!(matches!(error, SubmitError::Rollback { .. }), "{error}");
        assert!(error.is_evidence());
        // The other operator's witness does not know this log.
        let other = if std::ptr::eq(witness, &of_a) {
            &of_b
        } else {
            &of_a
        };
        let stranger = Feeder::new(server, &other.url, &other.key);
        let error = stranger.submit(&second.to_note()).unwrap_err();
        assert_eq!(error, SubmitError::UnknownLog);
    }
    let metrics = of_a.client().get("/metrics").text();
    assert!(metrics.contains("attestore_witness_size{"), "{metrics}");
    assert!(
        metrics.contains("attestore_witness_requests_total{status=\"200\"} 2"),
        "{metrics}"
    );
    let post = |body: &[u8]| of_a.client().request("POST", "/add-checkpoint", &[], body).status;
    assert_eq!(post(b"garbage"), 400);
    assert_eq!(post(&vec![b'x'; 300 << 10]), 413);
    assert_eq!(of_a.client().get("/livez").status, 200);
    assert_eq!(of_a.client().get("/vkey").text().trim(), of_a.key.to_string());
    assert_eq!(
        of_a.client().get("/v1/tenants").status,
        404,
        "a witness has no other routes"
    );
}

#[test]
fn a_killed_witness_knows_what_it_cosigned_and_has_one_process() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("witness");
    let server = Server::start();
    append(&server, 0..50);
    let log = vkey(&server).to_string();
    let first = {
        let witness = Witness::start(&data, "w.example/1", &[&log]);
        Feeder::new(&server, &witness.url, &witness.key).witnessed()
    };
    append(&server, 50..60);
    let witness = Witness::start(&data, "w.example/1", &[&log]);
    let feeder = Feeder::new(&server, &witness.url, &witness.key);
    let second = feeder.witnessed();
    assert!(feeder.submit(&first.to_note()).is_err());
    let run = |arguments: &[&str]| {
        let output = binary()
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code().unwrap(),
            text,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let serve = ["witness", "serve", "--listen", "127.0.0.1:0", "--log", &log];
    assert_eq!(run(&serve).0, 5, "two of one key would cosign two histories");
    let (code, text, _) = run(&["witness", "vkey"]);
    assert_eq!((code, text.trim()), (0, witness.key.to_string().as_str()));
    let (code, text, _) = run(&["witness", "status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    assert_eq!(status["logs"][0]["size"], size(&second));
    assert_eq!(status["logs"][0]["evidence"], 0);
    drop(witness);
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    for secret in ["identity", "keys/root.1"] {
        assert_eq!(mode(&data.join(secret)), 0o600, "{secret}");
    }
    // Another name takes another key; a state that was damaged is no state to go on from.
    let (code, _, error) = run(&[&serve[..], &["--name", "w.example/2"]].concat());
    assert_eq!(code, 2, "{error}");
    let state = std::fs::read_dir(data.join("logs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    let (code, _, error) = run(&serve);
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("must not cosign"), "{error}");
    let (code, _, error) = run(&["witness", "serve", "--listen", "0.0.0.0:0", "--log", &log]);
    assert_eq!(code, 2, "without TLS beyond this machine: {error}");
}

#[test]
fn a_witness_ends_tls_and_takes_its_logs_from_a_policy() {
    let authority = Authority::new();
    authority.issue("witness", vec![SanType::IpAddress([127, 0, 0, 1].into())]);
    let server = Server::start();
    append(&server, 0..10);
    let home = tempfile::tempdir().unwrap();
    let policy = home.path().join("policy");
    std::fs::write(&policy, format!("log {}\nquorum none\n", vkey(&server))).unwrap();
    let mut command = binary();
    command.args([
        "witness",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--name",
        "w",
        "--data",
    ]);
    command
        .arg(home.path().join("witness"))
        .arg("--policy")
        .arg(&policy);
    command.args(["--tls-cert", &authority.text("witness.pem")]);
    command.args(["--tls-key", &authority.text("witness.key")]);
    let witness = Witness::run(command, "w");
    assert!(witness.url.starts_with("https://127.0.0.1:"), "{}", witness.url);
    let roots = outbound::roots_with(&std::fs::read(authority.text("ca.pem")).unwrap()).unwrap();
    let feeder = Feeder::trusting(&server, &witness.url, &witness.key, roots);
    assert_eq!(size(&feeder.witnessed()), 10);
    let stranger = Feeder::new(&server, &witness.url, &witness.key);
    let checkpoint = server.client().get(&format!("{LOG}/checkpoint")).text();
    let error = stranger.submit(&checkpoint).unwrap_err();
    assert!(
        matches!(error, SubmitError::Unreachable(outbound::Error::Tls(_))),
        "{error}"
    );
}

/// PyPI `aics-witness`, an implementation of the specification that is not ours.
#[test]
fn a_witness_that_is_not_ours_accepts_our_log_and_refuses_doctored_checkpoints() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let home = tempfile::tempdir().unwrap();
    let server = Server::start();
    append(&server, 0..300);
    let log = vkey(&server);
    let config = home.path().join("witness.json");
    let aics = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command
            .args(["-m", "aics_witness"])
            .arg(arguments[0])
            .arg("--config")
            .arg(&config);
        command.args(&arguments[1..]);
        command
    };
    let ok = |arguments: &[&str]| {
        let output = aics(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let key: CosignerKey = ok(&["init", "--name", "aics.example/w1"]).trim().parse().unwrap();
    ok(&["add-log", "--origin", log.name(), "--vkey", &log.to_string()]);
    let mut child = aics(&["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, after) = line.split_once("listening on ")?;
        after.split(' ').next().map(str::to_owned)
    });
    let _stop = Stop(child);
    let url = url.expect("where it listens");
    std::thread::spawn(move || lines.for_each(drop));

    let feeder = Feeder::new(&server, &url, &key);
    let first = feeder.witnessed();
    assert!(first.cosigned_at(&key).unwrap() > 1_700_000_000);
    append(&server, 300..900);
    let checkpoint = server.client().get(&format!("{LOG}/checkpoint")).text();
    let client = Client::new(&url, "none");
    let ask = |old: u64, proof: Vec<Hash>, checkpoint: &str| {
        let request = Request {
            old,
            proof,
            checkpoint: checkpoint.to_owned(),
        };
        client
            .request("POST", "/add-checkpoint", &[], request.to_string().as_bytes())
            .status
    };
    let (old, new) = (size(&first), 900);
    let mut doctored = proof(&server.client(), old, new);
    doctored[0].0[5] ^= 1;
    assert_eq!(ask(old, doctored, &checkpoint), 422);
    assert_eq!(ask(old, vec![], &checkpoint), 422);
    assert_eq!(
        ask(old, vec![], &checkpoint.replacen("\n900\n", "\n901\n", 1)),
        403
    );
    assert_eq!(
        ask(old - 1, proof(&server.client(), old - 1, new), &checkpoint),
        409
    );
    // A new client of ours, which knows nothing: 409, and on from there.
    let second = Feeder::new(&server, &url, &key).witnessed();
    assert_eq!(size(&second), 900);
    let policy = format!("log {log}\nwitness w {key}\nquorum w\n");
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    assert!(policy.check(&second, log.name()).unwrap().quorum);
    let error = feeder.submit(&first.to_note()).unwrap_err();
    assert_eq!(
        error,
        SubmitError::Rollback {
            witness: 900,
            ours: old
        }
    );
}

struct Stop(Child);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
