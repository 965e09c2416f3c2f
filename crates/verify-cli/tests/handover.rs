//! From one key of a log to the next: what a trusted key names is trusted, and nothing else.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests make the files that the program reads"
)]

#[path = "../../verify/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output};

use attestore_record::HashVersion;
use attestore_tlog::{
    Checkpoint, Handover, HandoverReason, Hash, consistency_proof, root_at, sign_checkpoint,
};
use support::{Key, Log, START_MS};

fn log(size: u64, odd: u64) -> Log {
    let mut log = Log::new(HashVersion::Blake3);
    for n in 0..size {
        log.event(3, START_MS, None, if n == odd { "1" } else { "0" });
    }
    log
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attestore-verify"));
    command.args(arguments).output().unwrap()
}

fn code(arguments: &[&str]) -> i32 {
    run(arguments).status.code().unwrap()
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn checkpoint(log: &Log, size: u64, key: &Key) -> String {
    let root = root_at(log, size).unwrap();
    sign_checkpoint(&Checkpoint::new(key.0.as_str(), size, root).unwrap(), key).unwrap()
}

fn handover(log: &Log, reason: HandoverReason, size: u64, from: &Key, to: &Key) -> String {
    let handover = Handover {
        reason,
        origin: from.0.clone(),
        size,
        root: root_at(log, size).unwrap(),
        next: to.verifier(),
    };
    handover.sign(from).unwrap()
}

fn proof(log: &Log, from: u64, to: u64) -> String {
    let hashes = consistency_proof(log, from, to).unwrap();
    hashes.iter().map(|hash: &Hash| hash.to_base64() + "\n").collect()
}

#[test]
fn a_chain_of_handovers_leads_to_the_key_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(30, u64::MAX);
    let keys: Vec<Key> = (1..4).map(|seed| Key::new("log.example/a", seed)).collect();
    let steps: Vec<String> = keys
        .windows(2)
        .enumerate()
        .map(|(n, pair)| {
            let note = handover(&log, HandoverReason::Rotation, 10, &pair[0], &pair[1]);
            file(dir.path(), &format!("step{n}"), &note)
        })
        .collect();
    let first = keys[0].verifier().to_string();
    let vkey = ["--vkey", &first];
    let all = ["handover", "--handover", &steps[0], "--handover", &steps[1]];
    let output = run(&[all.as_slice(), &vkey].concat());
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains(&keys[2].verifier().to_string())
    );

    assert_eq!(
        code(&[["handover"].as_slice(), &vkey].concat()),
        2,
        "nothing to check"
    );
    let skipped = ["handover", "--handover", &steps[1]];
    assert_eq!(
        code(&[skipped.as_slice(), &vkey].concat()),
        3,
        "a step is missing"
    );
    let swapped = ["handover", "--handover", &steps[1], "--handover", &steps[0]];
    assert_eq!(code(&[swapped.as_slice(), &vkey].concat()), 3, "another order");

    // What the former key signs is not by the key in force.
    let (old, new) = (
        file(dir.path(), "old", &checkpoint(&log, 10, &keys[0])),
        file(dir.path(), "new", &checkpoint(&log, 30, &keys[2])),
    );
    let hashes = file(dir.path(), "proof", &proof(&log, 10, 30));
    let consistency = |old: &str, new: &str| {
        let command = ["consistency", old, new, &hashes];
        code(&[command.as_slice(), &all[1..], &vkey].concat())
    };
    assert_eq!(consistency(&old, &new), 0);
    let late = file(dir.path(), "late", &checkpoint(&log, 30, &keys[0]));
    assert_eq!(consistency(&old, &late), 3);
}

#[test]
fn a_fork_extends_what_survived_and_says_so_of_what_did_not() {
    let dir = tempfile::tempdir().unwrap();
    let (lost, log) = (log(30, u64::MAX), log(40, 20));
    let (from, to) = (Key::new("log.example/a", 1), Key::new("log.example/b", 2));
    let step = file(
        dir.path(),
        "fork",
        &handover(&log, HandoverReason::Fork, 20, &from, &to),
    );
    let new = file(dir.path(), "new", &checkpoint(&log, 40, &to));
    let vkey = from.verifier().to_string();
    let check = |size: u64| {
        let old = file(dir.path(), "old", &checkpoint(&lost, size, &from));
        let hashes = file(dir.path(), "proof", &proof(&log, size, 40));
        run(&[
            "consistency",
            &old,
            &new,
            &hashes,
            "--vkey",
            &vkey,
            "--handover",
            &step,
        ])
    };
    assert_eq!(check(15).status.code(), Some(0));
    assert_eq!(check(20).status.code(), Some(0));
    let gone = check(25);
    assert_eq!(gone.status.code(), Some(3));
    let reason = String::from_utf8(gone.stderr).unwrap();
    assert!(reason.contains("first 20 entries"), "{reason}");

    // Without the old key's word the logs have nothing to do with each other.
    let old = file(dir.path(), "old", &checkpoint(&lost, 15, &from));
    let hashes = file(dir.path(), "proof", &proof(&log, 15, 40));
    assert_eq!(code(&["consistency", &old, &new, &hashes, "--vkey", &vkey]), 3);
    let forged = Key::new("log.example/a", 7);
    let step = file(
        dir.path(),
        "forged",
        &handover(&log, HandoverReason::Fork, 20, &forged, &to),
    );
    assert_eq!(
        code(&[
            "consistency",
            &old,
            &new,
            &hashes,
            "--vkey",
            &vkey,
            "--handover",
            &step
        ]),
        3
    );
}
