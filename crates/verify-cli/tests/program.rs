//! The program as people run it: exit codes, and that nothing is believed without a key from the caller.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests make the files that the program reads"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/proofs");

struct Case {
    valid: bool,
    name: String,
    bytes: Vec<u8>,
}

/// The published vectors of a format, and the key that they go by.
fn vectors(format: &str) -> (String, Vec<Case>) {
    let file: Value =
        serde_json::from_slice(&std::fs::read(format!("{VECTORS}/{format}.json")).unwrap()).unwrap();
    let (mut base, mut cases) = (Vec::new(), Vec::new());
    for case in file["cases"].as_array().unwrap() {
        let bytes = match case["bytes"].as_str() {
            Some(bytes) => unbase64(bytes),
            None => {
                let number = |name: &str| usize::try_from(case[name].as_u64().unwrap()).unwrap();
                let mut bytes: Vec<u8> = base.clone();
                let at = number("at");
                bytes.splice(
                    at..at + number("remove"),
                    unbase64(case["insert"].as_str().unwrap()),
                );
                bytes
            }
        };
        if base.is_empty() {
            base.clone_from(&bytes);
        }
        cases.push(Case {
            valid: case["valid"].as_bool().unwrap(),
            name: case["name"].as_str().unwrap().to_owned(),
            bytes,
        });
    }
    (file["vkey"].as_str().unwrap().to_owned(), cases)
}

fn unbase64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut group, mut bits) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        group = group << 6 | u32::try_from(DIGITS.iter().position(|known| *known == digit).unwrap()).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits & 0xff).unwrap());
        }
    }
    bytes
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attestore-verify"))
        .args(arguments)
        .output()
        .unwrap()
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn vectors_end_with_0_or_3_and_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    for (format, command) in [
        ("tlog-proof", "proof"),
        ("receipt", "receipt"),
        ("bundle", "bundle"),
    ] {
        let (vkey, cases) = vectors(format);
        for case in cases {
            let path = file(dir.path(), "case", &case.bytes);
            let output = run(&[command, &path, "--vkey", &vkey, "--output", "json"]);
            let code = output.status.code();
            assert_eq!(
                code,
                Some(if case.valid { 0 } else { 3 }),
                "{format}: {}",
                case.name
            );
            let text = String::from_utf8(output.stdout).unwrap();
            let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(last["verified"], case.valid, "{format}: {}", case.name);
            assert_eq!(output.stderr.is_empty(), case.valid);
        }
    }
}

/// The first case is of round 2, the second of round 1.
#[test]
fn slot_proofs_take_the_key_of_the_tenant_and_a_policy_with_the_log_of_heads() {
    let dir = tempfile::tempdir().unwrap();
    let (vkeys, cases) = vectors("slot-proof");
    let (tenant, heads) = vkeys.split_once(' ').unwrap();
    let policy = file(
        dir.path(),
        "policy",
        format!("log {heads}\nquorum none\n").as_bytes(),
    );
    let trust = ["--vkey", tenant, "--policy", &policy, "--output", "json"];
    for case in &cases {
        let path = file(dir.path(), "case", &case.bytes);
        let output = run(&[&["heads", &path], &trust[..]].concat());
        let code = if case.valid { 0 } else { 3 };
        assert_eq!(output.status.code(), Some(code), "{}", case.name);
        assert_eq!(output.stderr.is_empty(), case.valid);
    }
    let (late, early) = (
        file(dir.path(), "late", &cases[0].bytes),
        file(dir.path(), "early", &cases[1].bytes),
    );
    let code = |arguments: &[&str]| run(&[arguments, &trust[..]].concat()).status.code();
    assert_eq!(code(&["heads", &late, "--earlier", &late]), Some(0));
    assert_eq!(code(&["heads", &late, "--earlier", &early]), Some(3), "no proof");
    assert_eq!(code(&["heads", &early, "--earlier", &late]), Some(3), "shrank");
    assert_eq!(run(&["heads", &late, "--vkey", tenant]).status.code(), Some(2));
    assert_eq!(run(&["heads", &late, "--policy", &policy]).status.code(), Some(2));
}

#[test]
fn nothing_is_believed_without_a_key_and_absence_is_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (vkey, cases) = vectors("bundle");
    let bundle = file(dir.path(), "b.evidence", &cases[0].bytes);
    let code = |arguments: &[&str]| run(arguments).status.code();
    assert_eq!(code(&["bundle", &bundle]), Some(2));
    assert_eq!(code(&["bundle", &bundle, "--vkey", "nonsense"]), Some(2));
    assert_eq!(code(&["proof", "--vkey", &vkey]), Some(2), "no file");
    assert_eq!(code(&["bundle", "/nowhere", "--vkey", &vkey]), Some(1));
    let empty = file(dir.path(), "empty", b"");
    for command in ["bundle", "proof", "receipt", "misbehaviour"] {
        assert_eq!(code(&[command, &empty, "--vkey", &vkey]), Some(3), "{command}");
    }
    let folder = dir.path().to_str().unwrap();
    assert_eq!(code(&["log", folder, "--vkey", &vkey]), Some(3));
    assert_eq!(code(&["export", folder, "--vkey", &vkey]), Some(3));

    // A policy counts, its quorum too.
    let trusting = file(
        dir.path(),
        "trusting",
        format!("log {vkey}\nquorum none\n").as_bytes(),
    );
    assert_eq!(code(&["bundle", &bundle, "--policy", &trusting]), Some(0));
    let nobody = file(dir.path(), "nobody", b"quorum none\n");
    assert_eq!(code(&["bundle", &bundle, "--policy", &nobody]), Some(2));
}

#[test]
fn a_record_comes_out_of_a_bundle_and_fits_a_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let (vkey, cases) = vectors("bundle");
    let bundle = file(dir.path(), "b.evidence", &cases[0].bytes);
    let out = dir.path().join("4.tlog-proof");
    let out = out.to_str().unwrap();
    let extract = |seq: &str| {
        run(&["extract", &bundle, "--seq", seq, "--out", out, "--vkey", &vkey])
            .status
            .code()
    };
    assert_eq!(extract("5"), Some(3), "not in the bundle");
    assert_eq!(extract("4"), Some(0));
    assert_eq!(extract("4"), Some(1), "never over a file that is there");
    assert_eq!(run(&["proof", out, "--vkey", &vkey]).status.code(), Some(0));
    // The vectors of receipts are of the same log; the first is about record 4.
    let (_, receipts) = vectors("receipt");
    let about = |at: usize| {
        let path = file(dir.path(), "receipt.json", &receipts[at].bytes);
        run(&["receipt", &path, "--record", out, "--vkey", &vkey])
            .status
            .code()
    };
    assert_eq!((about(0), about(2)), (Some(0), Some(3)));
}

#[test]
fn nothing_comes_out_of_a_bundle_that_lacks_what_it_claims() {
    let dir = tempfile::tempdir().unwrap();
    let (vkey, cases) = vectors("bundle");
    let case = cases
        .iter()
        .find(|case| case.name == "a range that lacks a record")
        .unwrap();
    let bundle = file(dir.path(), "b.evidence", &case.bytes);
    let out = dir.path().join("3.tlog-proof");
    let output = run(&[
        "extract",
        &bundle,
        "--seq",
        "3",
        "--out",
        out.to_str().unwrap(),
        "--vkey",
        &vkey,
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert!(!out.exists() && !output.stderr.is_empty());
}

#[test]
fn a_bundle_that_cannot_be_read_is_no_doubtful_one() {
    let dir = tempfile::tempdir().unwrap();
    let (vkey, _) = vectors("bundle");
    // A folder opens, and fails when it is read.
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for n in 0..200 {
        file(&folder, &format!("{n:0>60}"), b"");
    }
    assert!(std::fs::metadata(&folder).unwrap().len() > 98);
    let code = |arguments: &[&str]| run(arguments).status.code();
    let folder = folder.to_str().unwrap();
    assert_eq!(code(&["bundle", folder, "--vkey", &vkey]), Some(1));
    let short = file(dir.path(), "short", &[0; 200]);
    assert_eq!(code(&["bundle", &short, "--vkey", &vkey]), Some(3));
}

#[test]
fn a_log_that_signed_two_trees_is_convicted() {
    let dir = tempfile::tempdir().unwrap();
    let (vkey, cases) = vectors("tlog-proof");
    // Two of the logs of the vectors have eight entries, one key, and different roots.
    let note = |name: &str| {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let text = String::from_utf8(case.bytes.clone()).unwrap();
        text.split_once("\n\n").unwrap().1.to_owned()
    };
    let one = file(dir.path(), "one", note("a control record").as_bytes());
    let other = file(dir.path(), "other", note("HMAC-SHA-256").as_bytes());
    let single = file(dir.path(), "single", note("a tree of one leaf").as_bytes());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let code = |arguments: &[&str]| run(arguments).status.code();
    let proof = path("proof");
    assert_eq!(
        code(&[
            "misbehaviour",
            &path("none"),
            "--from",
            &one,
            &one,
            "--vkey",
            &vkey
        ]),
        Some(3)
    );
    assert_eq!(
        code(&[
            "misbehaviour",
            &path("none"),
            "--from",
            &one,
            &single,
            "--vkey",
            &vkey
        ]),
        Some(3),
        "a suspicion"
    );
    assert_eq!(
        code(&["misbehaviour", &proof, "--from", &one, &other, "--vkey", &vkey]),
        Some(0)
    );
    assert_eq!(code(&["misbehaviour", &proof, "--vkey", &vkey]), Some(0));
    let stranger = "attestore.example/7f3a+89f0438e+ARl/ayPhbIUyxqvIOPrNXqeJvgx2spIDNAOb+os9No1h";
    assert_eq!(code(&["misbehaviour", &proof, "--vkey", stranger]), Some(3));
    // A third party accuses nobody by a file that was changed.
    let sound = std::fs::read(&proof).unwrap();
    for at in (0..sound.len()).step_by(sound.len() / 16) {
        let mut doctored = sound.clone();
        doctored[at] ^= 1;
        let doctored = file(dir.path(), "doctored", &doctored);
        let found = code(&["misbehaviour", &doctored, "--vkey", &vkey]);
        assert_eq!(found, Some(3), "byte {at}");
    }
    assert_eq!(
        code(&[
            "consistency",
            &one,
            &other,
            &file(dir.path(), "hashes", b""),
            "--vkey",
            &vkey
        ]),
        Some(3)
    );
    assert_eq!(
        code(&[
            "consistency",
            &one,
            &one,
            &file(dir.path(), "hashes", b""),
            "--vkey",
            &vkey
        ]),
        Some(0)
    );
}
