//! What a newcomer does: start, paste the three printed lines, stop.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::binary;

#[test]
fn printed_curl_lines_work_as_they_stand() {
    let home = tempfile::tempdir().unwrap();
    let mut server = binary()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut answers = Vec::new();
    while answers.len() < 3 {
        let line = lines.next().expect("the server prints three curl lines").unwrap();
        if line.trim_start().starts_with("curl ") {
            let output = Command::new("sh").args(["-c", line.trim()]).output().unwrap();
            assert!(
                output.status.success(),
                "{line}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            answers.push(String::from_utf8(output.stdout).unwrap());
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();

    let appended: Value = serde_json::from_str(&answers[0]).unwrap();
    assert_eq!(appended["durability"], "durable", "{appended}");
    assert_eq!(appended["items"][0]["seq"], 0, "{appended}");
    let found: Value = serde_json::from_str(&answers[1]).unwrap();
    assert_eq!(found["items"][0]["event"]["actor"]["id"], "u_42", "{found}");
    assert!(
        answers[2].starts_with("c2sp.org/tlog-proof@v1\n"),
        "{}",
        answers[2]
    );
}
