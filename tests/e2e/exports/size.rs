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

/// What an export may take of memory, whatever its size: buffers, and blocks of segments that are read.
const GROWTH_KIB_MAX: u64 = 40 * 1024;

#[test]
fn memory_is_flat_whatever_the_size() {
    let count = scale("ATTESTORE_EXPORT_RECORDS", 100_000);
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
        assert!(
            ["queued", "running"].contains(&export["state"].as_str().unwrap()),
            "{export}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let folder = tempdir().unwrap();
    download(&server, &id, folder.path());
    peak = peak.max(resident_kib(&server));
    let bytes = super::show(&client, &id)["progress"]["bytes"].as_u64().unwrap();
    println!("{count} records, {bytes} bytes: {before} KiB before, {peak} KiB at most");
    // What was written does not fit into what may have come on top.
    assert!(bytes > GROWTH_KIB_MAX * 1024, "{bytes} bytes show nothing");
    assert!(
        peak < before + GROWTH_KIB_MAX,
        "{before} KiB before, {peak} KiB at most"
    );
    let all: Vec<u64> = (0..count).collect();
    check_recount(folder.path(), &all);
}
