//! Every format and compression, counted by others.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{check_recount, done, download, fill, make, vkey};
use crate::harness::{Server, binary};

#[test]
fn every_format_is_recounted_by_others() {
    let count = 1500;
    let server = Server::start();
    let client = server.client();
    fill(&client, count);
    let all: Vec<u64> = (0..count).collect();
    for (format, compression) in [
        ("ndjson", "none"),
        ("ndjson", "gzip"),
        ("ndjson", "zstd"),
        ("csv", "none"),
        ("csv", "gzip"),
        ("ocsf", "none"),
        #[cfg(feature = "parquet")]
        ("parquet", "zstd"),
    ] {
        let folder = tempdir().unwrap();
        let out = folder.path().join("files");
        let said = server.cli_ok(&[
            "export",
            "",
            "--format",
            format,
            "--compression",
            compression,
            "--out",
            out.to_str().unwrap(),
        ]);
        assert!(
            said.contains("1500 records in 1 files"),
            "{format} {compression}: {said}"
        );
        if compression == "zstd" && format != "parquet" {
            continue; // read by `attestore export verify`, which the command does
        }
        let counted = check_recount(&out, &all);
        if ["csv", "parquet"].contains(&format) {
            assert_eq!(counted["duckdb_rows"], count, "{format}: {counted}");
        }
    }
    if !cfg!(feature = "parquet") {
        let refused = client.post_json(super::EXPORTS, &json!({"format": "parquet"}));
        refused.problem(422, "format_not_available");
    }
}

#[test]
fn ndjson_lines_are_what_the_api_shows() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 50);
    let id = make(
        &client,
        &json!({"format": "ndjson", "query": "metadata.n:>10", "from": "2020-01-01"}),
    );
    let export = done(&client, &id);
    let name = export["files"][0]["name"].as_str().unwrap();
    let file = client.get(&format!("{}/{id}/files/{name}", super::EXPORTS));
    assert_eq!(file.content_type, "application/x-ndjson");
    let lines: Vec<Value> = file
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, client.all("default", "metadata.n:>10"));
    assert!(lines.len() > 30, "{}", lines.len());
}

#[test]
fn a_download_goes_on_where_it_broke_and_a_forged_manifest_is_found() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 3000);
    let id = make(
        &client,
        &json!({"format": "csv", "fields": ["action", "actor.id"]}),
    );
    let export = done(&client, &id);
    let folder = tempdir().unwrap();
    // Half of it came before.
    let name = export["files"][0]["name"].as_str().unwrap();
    let whole = client.get(&format!("{}/{id}/files/{name}", super::EXPORTS)).body;
    let partial = folder.path().join(format!("{name}.partial"));
    std::fs::write(&partial, &whole[..whole.len() / 2]).unwrap();
    download(&server, &id, folder.path());
    assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), whole);
    assert!(!partial.exists());
    // Half of something else came before.
    std::fs::remove_file(folder.path().join(name)).unwrap();
    std::fs::write(&partial, vec![b'x'; whole.len() / 2]).unwrap();
    let broken = server.cli(&[
        "export",
        "download",
        &id,
        "--out",
        folder.path().to_str().unwrap(),
    ]);
    assert_eq!(broken.status.code(), Some(3));
    download(&server, &id, folder.path());
    let verify = || {
        let mut command = binary();
        command
            .args(["export", "verify", "--vkey", &vkey(&server)])
            .arg(folder.path());
        command.output().unwrap()
    };
    assert_eq!(verify().status.code(), Some(0));
    for other in ["extra.csv", "part-00001 copy.csv", "part-00001.csv.partial"] {
        let other = folder.path().join(other);
        std::fs::write(&other, "x").unwrap();
        assert_eq!(verify().status.code(), Some(3), "{other:?}");
        std::fs::remove_file(&other).unwrap();
    }
    let manifest = folder.path().join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"query\": \"\"", "\"query\": \"x\"")).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("hash"),
        "{output:?}"
    );
}
