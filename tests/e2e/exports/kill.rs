//! `kill -9` in the middle of an export.

use tempfile::tempdir;

use super::{check_recount, done, download, fill, make, ndjson, seqs, vkey, wait};
use crate::harness::{Server, binary, scale};

#[test]
fn an_export_killed_again_and_again_is_whole() {
    let count = scale("ATTESTORE_EXPORT_KILLED", 20_000);
    // Small parts, slowly written, so that the knife finds it at work.
    let mut server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ENGINE__EXPORT_PART_BYTES", "524288"),
            ("ATTESTORE_ENGINE__BACKGROUND_BYTES_PER_S", "6000000"),
        ],
    );
    let client = server.client();
    fill(&client, count);
    let query = "NOT request_id:req-7";
    let wanted = seqs(&client.all("default", query));
    assert_eq!(wanted.len() as u64, count - 1);
    let id = make(&client, &ndjson(query));
    let (mut kills, mut seen) = (0, 0);
    loop {
        let client = server.client();
        let export = wait(&client, &id, |export| {
            export["progress"]["written"].as_u64().unwrap() > seen
        });
        if export["state"] == "done" || kills == 5 {
            break;
        }
        seen = export["progress"]["written"].as_u64().unwrap() + count / 12;
        // What comes later is not part of it.
        fill(&client, 10);
        server.kill();
        server.run();
        kills += 1;
    }
    assert!(kills >= 2, "it was over too soon");
    let export = done(&server.client(), &id);
    assert_eq!(export["progress"]["written"], count - 1, "{export}");
    assert_eq!(export["tree"]["size"], count, "{export}");
    assert!(export["files"].as_array().unwrap().len() > 3, "{export}");
    let folder = tempdir().unwrap();
    download(&server, &id, folder.path());
    check_recount(folder.path(), &wanted);
    let key = vkey(&server);
    server.stop();
    // Offline, and nothing is left over in the data directory.
    let verify = |folder: &std::path::Path| {
        let mut command = binary();
        command.args(["export", "verify", "--vkey", &key]).arg(folder);
        command.output().unwrap()
    };
    assert!(verify(folder.path()).status.success());
    let fsck = binary()
        .args(["fsck", "--data"])
        .arg(server.data())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&fsck.stdout).into_owned();
    assert!(fsck.status.success() && !text.contains("STRAY"), "{text}");
    // One byte of one file.
    let name = export["files"][1]["name"].as_str().unwrap();
    let path = folder.path().join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = verify(folder.path());
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(name));
}
