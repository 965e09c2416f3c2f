//! Witnessed receipts, checkpoints and proofs: a server whose policy wants two witnesses, of which one goes away.

use std::time::{Duration, Instant};

use attestore_tlog::{Policy, SignedNote, VerifierKey};
use attestore_verify::verify_tlog_proof;
use serde_json::Value;
use tempfile::TempDir;

use crate::exports::attestore_verify;
use crate::harness::{Answer, Server, binary, copy, event};
use crate::witness::Witness;

const EVENTS: &str = "/v1/tenants/default/events";
const LOG: &str = "/v1/tenants/default/log";

struct World {
    folder: TempDir,
    server: Server,
    witnesses: Vec<Witness>,
    vkey: VerifierKey,
    policy: Policy,
}

impl World {
    /// A server whose log two witnesses cosign, both of which the quorum takes.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        std::fs::write(&path, "quorum none\n").unwrap();
        let mut server = Server::start();
        let vkey = server.client().get(&format!("{LOG}/vkey")).text();
        let vkey = vkey.trim().to_owned();
        let witnesses: Vec<_> = (1..=2)
            .map(|n| {
                let data = folder.path().join(format!("witness{n}"));
                Witness::start(&data, &format!("w{n}.example/w"), &[&vkey])
            })
            .collect();
        let mut text = String::new();
        for (n, witness) in (1..).zip(&witnesses) {
            text += &format!("witness w{n} {} {}\n", witness.key, witness.url);
        }
        text += "group both all w1 w2\nquorum both\n";
        std::fs::write(&path, &text).unwrap();
        server.stop();
        server.set_env("ATTESTORE_WITNESS__POLICY_FILE", path.to_str().unwrap());
        server.set_env("ATTESTORE_WITNESS__ALLOW_LOOPBACK_HTTP", "true");
        server.set_env("ATTESTORE_WITNESS__INTERVAL_MS", "200");
        server.set_env("ATTESTORE_WITNESS__TIMEOUT_MS", "2000");
        server.run();
        Self {
            vkey: VerifierKey::parse(&vkey).unwrap(),
            policy: Policy::parse(text.as_bytes()).unwrap(),
            folder,
            server,
            witnesses,
        }
    }

    fn append(&self, n: u64, prefer: &str) -> Answer {
        let body = serde_json::to_vec(&event(n)).unwrap();
        let headers = [("content-type", "application/json"), ("prefer", prefer)];
        self.server.client().request("POST", EVENTS, &headers, &body)
    }

    /// Whether both witnesses cosigned a note; size of its tree.
    fn judge(&self, note: &str) -> (bool, u64) {
        let note = SignedNote::parse(note).unwrap();
        let verdict = self.policy.check_with_key(&note, &self.vkey).unwrap();
        (verdict.quorum, verdict.checkpoint.size())
    }

    /// Waits until the server has compared its log with what the witnesses keep.
    fn wait_for_refusal(&self) {
        let begin = Instant::now();
        while self.server.client().get("/v1/tenants/default").json()["refuses_appends"].is_null() {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{}",
                self.server.log_text()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_for(&self, what: &str, holds: &dyn Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let state = self.server.client().get(&format!("{LOG}/witnesses")).json();
            if holds(&state) {
                return state;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {state}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_receipt_is_witnessed_or_says_that_it_is_not() {
    let mut world = World::new();
    let answer = world.append(1, "receipt=witnessed, wait=20");
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), Some("receipt=witnessed"));
    let answer = answer.json();
    assert_eq!(answer["durability"], "witnessed", "{answer}");
    let (quorum, size) = world.judge(answer["checkpoint"].as_str().unwrap());
    assert!(quorum && size >= 1);

    let proof = world
        .server
        .client()
        .get(&format!("{EVENTS}/0/proof?witnessed=true"));
    assert_eq!(proof.status, 200, "{}", proof.text());
    let verified = verify_tlog_proof(&proof.text(), &world.vkey.to_string()).unwrap();
    assert_eq!(verified.index, 0);
    assert!(world.judge(proof.text().split_once("\n\n").unwrap().1).0);

    drop(world.witnesses.pop());
    let answer = world.append(2, "receipt=witnessed, wait=1");
    assert_eq!(answer.status, 201, "appends go on: {}", answer.text());
    assert_eq!(answer.header("preference-applied"), Some("receipt=signed"));
    let answer = answer.json();
    assert_eq!(answer["durability"], "signed");
    assert!(answer["receipt_failure"].is_string(), "{answer}");
    assert!(!world.judge(answer["checkpoint"].as_str().unwrap()).0);
    let state = world.wait_for("the failure shows", &|state| {
        state["witnesses"][1]["failure"].is_string()
    });
    assert_eq!(state["size"], 1);
    assert_eq!(world.append(3, "receipt=signed").json()["durability"], "signed");
    let cosigned = world
        .server
        .client()
        .get(&format!("{LOG}/checkpoint?witnessed=true"))
        .text();
    assert_eq!(world.judge(&cosigned), (true, 1));
    let newest = world.server.client().get(&format!("{LOG}/checkpoint")).text();
    assert_eq!(world.judge(&newest), (false, 3));
    assert_eq!(
        world
            .server
            .client()
            .get(&format!("{EVENTS}/2/proof?witnessed=true"))
            .status,
        404
    );
}

#[test]
fn rounds_witness_what_came_and_it_outlives_kill_9() {
    let mut world = World::new();
    for n in 0..5 {
        assert_eq!(world.append(n, "").status, 201);
    }
    world.wait_for("a round", &|state| state["size"] == 5);
    world.server.kill();
    world.witnesses.clear();
    world.server.run();
    let cosigned = world.server.client().get(&format!("{LOG}/checkpoint")).text();
    assert_eq!(
        world.judge(&cosigned),
        (true, 5),
        "the newest head is the cosigned one"
    );
}

#[test]
fn a_policy_that_wants_nobody_is_refused_at_the_start() {
    let world = World::new();
    let path = world.folder.path().join("policy");
    let mut server = Server::prepare(tempfile::tempdir().unwrap());
    server.set_env("ATTESTORE_WITNESS__POLICY_FILE", path.to_str().unwrap());
    for (text, said) in [("quorum none\n", "no quorum"), ("witness w1 x\n", "policy")] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(server.try_run().unwrap_err().code(), Some(2));
        assert!(server.log_text().contains(said), "{}", server.log_text());
    }
}

#[test]
fn an_evidence_bundle_is_believed_by_the_policy_alone() {
    let world = World::new();
    assert_eq!(world.append(1, "receipt=witnessed, wait=20").status, 201);
    let file = world.folder.path().join("b.evidence");
    let file = file.to_str().unwrap();
    let key = world.vkey.to_string();
    let arguments = [
        "export",
        "--format",
        "evidence",
        "--checkpoint",
        "witnessed",
        "--record",
        "0",
    ];
    world
        .server
        .cli_ok(&[&arguments[..], &["-o", file, "--vkey", &key]].concat());
    let policy = world.folder.path().join("policy");
    let checked = attestore_verify(&[
        "bundle",
        file,
        "--vkey",
        &key,
        "--policy",
        policy.to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.status.success() && text.contains("cosigned by w1, w2"),
        "{checked:?}"
    );
    // The policy in it is what the operator demands, without where the witnesses are asked.
    let bytes = std::fs::read(file).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|some| some == text.as_bytes());
    for witness in &world.witnesses {
        assert!(holds(&witness.key.to_string()) && !holds(&witness.url));
    }
    assert!(holds("quorum both\n"));
    // A signed bundle of the same tree is not enough for the policy.
    let signed = world.folder.path().join("s.evidence");
    let signed = signed.to_str().unwrap();
    world.append(2, "");
    world
        .server
        .cli_ok(&["export", "--format", "evidence", "--range", "0..2", "-o", signed]);
    let checked = attestore_verify(&[
        "bundle",
        signed,
        "--vkey",
        &key,
        "--policy",
        policy.to_str().unwrap(),
    ]);
    assert_eq!(checked.status.code(), Some(3), "{checked:?}");
}

#[test]
fn a_directory_put_back_is_found_out_by_what_the_witnesses_keep() {
    let mut world = World::new();
    world.append(1, "receipt=witnessed, wait=20");
    world.server.stop();
    let (data, old) = (world.server.data(), world.folder.path().join("old"));
    copy(&data, &old);
    world.server.run();
    assert_eq!(
        world.append(2, "receipt=witnessed, wait=20").json()["durability"],
        "witnessed"
    );
    world.server.stop();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);

    // The head register was inside, so it went back too.
    world.server.run();
    world.wait_for_refusal();
    let problem = world.append(3, "return=minimal").problem(409, "rolled_back");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("a head of 2 was signed"),
        "{problem}"
    );
    assert_eq!(
        world.server.client().count("default", ""),
        1,
        "what is there is read"
    );
    world.server.stop();

    // The witness's copy is the ground for a fork.
    let kept = world.witnesses[0].kept(world.vkey.name());
    let path = world.folder.path().join("kept");
    std::fs::write(&path, &kept).unwrap();
    let data = data.to_str().unwrap();
    let fork = [
        "fork",
        "--data",
        data,
        "--tenant",
        "default",
        "--reason",
        "restored",
        "--checkpoint",
    ];
    let forked = binary().args(fork).arg(&path).output().unwrap();
    assert!(
        forked.status.success(),
        "{}",
        String::from_utf8_lossy(&forked.stderr)
    );
    world.server.run();
    assert_eq!(world.append(4, "return=minimal").status, 201);
}
