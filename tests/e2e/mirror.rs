//! A mirror of a real server's log, served by a static file server and verified by software that is not ours.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use attestore_tlog::{CosignerKey, SignedNote};

use crate::harness::{Server, binary, copy, event};

fn append(server: &Server, range: std::ops::Range<u64>) {
    let lines: String = range.map(|n| format!("{}\n", event(n))).collect();
    let answer = server.client().post_ndjson("/v1/tenants/default/events", &lines);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn mirror(server: &Server, vkey: &str, data: &Path, more: &[&str]) -> Command {
    let mut command = binary();
    command
        .args([
            "mirror",
            "--url",
            server.base(),
            "--tenant",
            "default",
            "--vkey",
            vkey,
            "--data",
        ])
        .arg(data)
        .args(more)
        .env("ATTESTORE_CREDENTIAL", server.secret());
    command
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_mirror_follows_cosigns_and_is_verified_by_go_from_a_static_file_server() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("mirror");
    let server = Server::start();
    let vkey = server.vkey();
    append(&server, 0..300);
    let once = ["--cosign", "mirror.example/m1"];
    let (code, text) = told(&mirror(&server, &vkey, &data, &once).output().unwrap());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("300 records, 300 of them new"), "{text}");
    let key = text
        .split_whitespace()
        .find(|word| word.starts_with("mirror.example/m1+"))
        .unwrap();
    let key: CosignerKey = key.parse().unwrap();

    append(&server, 300..1000);
    let (code, text) = told(&mirror(&server, &vkey, &data, &once).output().unwrap());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1000 records, 700 of them new"), "{text}");

    // And goes on by itself.
    let mut following = mirror(
        &server,
        &vkey,
        &data,
        &["--cosign", "mirror.example/m1", "--follow", "--interval", "1"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let lines = BufReader::new(following.stdout.take().unwrap()).lines();
    append(&server, 1000..1100);
    let line = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("1100 records"))
        .unwrap();
    assert!(line.contains("of them new"), "{line}");
    let busy = mirror(&server, &vkey, &data, &[]).output().unwrap();
    assert_eq!(told(&busy).0, Some(5), "one process for one directory");
    following.kill().unwrap();
    following.wait().unwrap();

    let origin = vkey.split('+').next().unwrap();
    let folder = attestore_witness::origin_hash(origin);
    let note = std::fs::read_to_string(data.join(&folder).join("checkpoint")).unwrap();
    let note = SignedNote::parse(&note).unwrap();
    note.verify(&vkey.parse().unwrap()).unwrap();
    assert!(note.cosigned_at(&key).unwrap() > 1_700_000_000);

    // The whole copy from a server that knows nothing but files, read by Go's reference code.
    if !Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").exists() {
        eprintln!("SKIPPED: golang-golang-x-mod-dev is not installed; scripts/test installs it");
        return;
    }
    let files = Files::serve(&data);
    let go = Command::new("go")
        .args([
            "run",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/go/main.go"),
            "-tamper",
        ])
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", home.path().join("go-cache"))
        .env("ATTESTORE_LOG", format!("{}/{folder}", files.url))
        .env("ATTESTORE_VKEY", &vkey)
        .env("ATTESTORE_CREDENTIAL", "none")
        .output()
        .unwrap();
    let (code, text) = told(&go);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_log_that_was_rolled_back_is_refused_with_exit_code_3_and_kept_as_evidence() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("mirror");
    let mut server = Server::start();
    let vkey = server.vkey();
    append(&server, 0..40);
    server.stop();
    let old = server.home().join("old");
    copy(&server.data(), &old);
    server.run();
    append(&server, 40..80);
    let (code, text) = told(&mirror(&server, &vkey, &data, &[]).output().unwrap());
    assert_eq!(code, Some(0), "{text}");
    let kept = || std::fs::read_dir(data.join("misbehaviour")).unwrap().count();
    assert_eq!(kept(), 0);

    server.stop();
    std::fs::remove_dir_all(server.data()).unwrap();
    copy(&old, &server.data());
    server.run();
    let (code, text) = told(&mirror(&server, &vkey, &data, &["--follow"]).output().unwrap());
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("40 records, and signed 80"), "{text}");
    assert_eq!(kept(), 1);
    // The same size again, by other records.
    append(&server, 1000..1040);
    let (code, text) = told(&mirror(&server, &vkey, &data, &[]).output().unwrap());
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("two roots for 80 records"), "{text}");
    assert_eq!(kept(), 2);
    // Longer, by other records.
    append(&server, 1040..1100);
    let (code, text) = told(&mirror(&server, &vkey, &data, &[]).output().unwrap());
    assert_eq!(code, Some(3), "{text}");
    assert_eq!(kept(), 3);
    // Another key than the one that is trusted.
    let other = Server::start();
    let (code, text) = told(&mirror(&other, &vkey, &data, &[]).output().unwrap());
    assert_eq!(code, Some(3), "{text}");
}

/// Python's file server.
struct Files {
    child: Child,
    url: String,
}

impl Files {
    fn serve(folder: &Path) -> Self {
        let mut child = Command::new("python3")
            .args([
                "-u",
                "-m",
                "http.server",
                "--bind",
                "127.0.0.1",
                "0",
                "--directory",
            ])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .split(['(', ')'])
            .nth(1)
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        Self { child, url }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
