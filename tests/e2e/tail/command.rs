//! `attestore tail`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::events::{PATIENCE, append};
use crate::harness::{Server, binary};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tail(server: &Server, arguments: &[&str]) -> (Running, Receiver<String>) {
    let mut child = binary()
        .arg("tail")
        .args(arguments)
        .env("ATTESTORE_URL", server.base())
        .env("ATTESTORE_CREDENTIAL", server.secret())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (Running(child), lines)
}

#[test]
fn it_prints_live_and_goes_on_by_itself_after_a_restart() {
    let mut server = Server::start();
    server.stay();
    append(&server.client(), "default", 0..10);
    let (_running, lines) = tail(
        &server,
        &["metadata.shard:s3", "--from", "beginning", "--output", "ndjson"],
    );
    let next = || {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["seq"]
            .as_u64()
            .unwrap()
    };
    assert_eq!([next(), next()], [3, 8]);
    server.kill();
    server.run();
    append(&server.client(), "default", 10..20);
    assert_eq!([next(), next()], [13, 18]);
    server.stop();
    server.run();
    append(&server.client(), "default", 20..30);
    assert_eq!([next(), next()], [23, 28]);
}

#[test]
fn it_prints_for_people_and_says_what_is_wrong() {
    let server = Server::start();
    append(&server.client(), "default", 0..2);
    let (_running, lines) = tail(&server, &["--from", "0"]);
    let line = || lines.recv_timeout(PATIENCE).unwrap();
    assert!(line().starts_with("SEQ"));
    let first = line();
    assert!(
        first.starts_with("0 ") && first.contains("invoice.export") && first.contains("Ann"),
        "{first}"
    );
    assert!(line().starts_with("1 "));
    let refused = server.cli(&["tail", "actoor:x"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("invalid_query"));
}
