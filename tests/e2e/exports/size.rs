//! Many records: memory stays flat, and a recount agrees.

use tempfile::tempdir;

use super::{check_recount, done, download, fill, make, ndjson, wait};
use crate::harness::{Server, scale};

/// Memory of the server in RAM, in KiB.
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_is_flat_whatever_the_size() {
    let count = scale("ATTESTORE_EXPORT_RECORDS", 60_000);
    let mut server = Server::start_with(&[], &[("ATTESTORE_ENGINE__EXPORT_PART_BYTES", "16777216")]);
    fill(&server.client(), count);
    // From segments, without what appending took.
    server.stop();
    server.run();
    let client = server.client();
    let warm = make(&client, &ndjson("metadata.n:<2000"));
    done(&client, &warm);
    let before = resident_kib(&server);
    let id = make(&client, &ndjson(""));
    let mut peak = before;
    loop {
        let export = wait(&client, &id, |_| true);
        peak = peak.max(resident_kib(&server));
        if export["state"] == "done" {
            break;
        }
        assert!(["queued", "running"].contains(&export["state"].as_str().unwrap()), "{export}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let folder = tempdir().unwrap();
    download(&server, &id, folder.path());
    peak = peak.max(resident_kib(&server));
    println!("{count} records: {before} KiB before, {peak} KiB at most");
    // Caches fill up to their limits; whole parts would not fit into this.
    assert!(peak < before + 160 * 1024, "{before} KiB before, {peak} KiB at most");
    let all: Vec<u64> = (0..count).collect();
    check_recount(folder.path(), &all);
}
