//! One byte flipped anywhere: `fsck` or the start reports the file and ends with exit code 3; never a crash, never silence.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::harness::{Server, binary, event, scale};

/// A stopped server's home with flushed files, l0 parts and a tail in the log.
fn filled() -> Server {
    let mut server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ENGINE__WAL_FILE_BYTES", "1048576"),
            ("ATTESTORE_ENGINE__WAL_BUDGET_BYTES", "8388608"),
            ("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "200000"),
            ("ATTESTORE_ENGINE__FLUSH_AGE_MS", "300"),
            ("ATTESTORE_ENGINE__L0_TAIL_BYTES_MAX", "100000"),
        ],
    );
    let client = server.client();
    assert_eq!(client.request("PUT", "/v1/tenants/small", &[], &[]).status, 201);
    for round in 0..6u64 {
        let lines: String = (0..200)
            .map(|n| format!("{}\n", event(round * 200 + n)))
            .collect();
        assert_eq!(
            client.post_ndjson("/v1/tenants/default/events", &lines).status,
            201
        );
        assert_eq!(
            client.post_json("/v1/tenants/small/events", &event(round)).status,
            201
        );
        std::thread::sleep(std::time::Duration::from_millis(350));
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    // A tail that stays in the log.
    let lines: String = (5000..5100).map(|n| format!("{}\n", event(n))).collect();
    assert_eq!(
        client.post_ndjson("/v1/tenants/default/events", &lines).status,
        201
    );
    assert_eq!(client.get("/v1/tenants/default/log/checkpoint").status, 200);
    // The idle committer covers the last frame with a closing one; before that, a damaged last frame is a torn tail.
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.kill();
    server
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Exit code and everything printed.
fn fsck(data: &Path) -> (Option<i32>, String) {
    let out = binary().args(["fsck", "--data"]).arg(data).output().unwrap();
    (
        out.status.code(),
        format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        ),
    )
}

#[test]
fn every_flipped_byte_is_reported_with_its_file() {
    let mut server = filled();
    // After a crash the catalog's journal heals blocks of its last commit, flipped ones too; so close it first.
    server.run();
    server.stop();
    let data = server.data();
    let (code, text) = fsck(&data);
    assert_eq!(code, Some(0), "the untouched directory is fine: {text}");

    let mut all = Vec::new();
    files(&data, &mut all);
    let name = |path: &Path| path.strip_prefix(&data).unwrap().display().to_string();
    let sealed: Vec<_> = all
        .iter()
        .filter(|p| {
            let name = name(p);
            !name.ends_with(".lock")
                && !name.starts_with("keys/")
                && !name.starts_with("catalog.journal")
                && !name.starts_with("wal/")
                && std::fs::metadata(p).unwrap().len() > 0
        })
        .collect();
    for kind in ["catalog", ".seg", ".sub", ".idx", ".l0", "entries", "nodes"] {
        assert!(
            sealed.iter().any(|p| name(p).contains(kind)),
            "the directory has no {kind} to flip: {all:?}"
        );
    }
    let per_file = (scale("ATTESTORE_FLIPS", 100) / sealed.len() as u64).max(4);
    let mut random = 0x5eed_u64;
    for path in sealed {
        let length = std::fs::metadata(path).unwrap().len();
        for n in 0..per_file {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let offset = match n {
                0 => 0,
                1 => length - 1,
                _ => (random >> 16) % length,
            };
            flip(path, offset);
            let (code, text) = fsck(&data);
            assert_eq!(code, Some(3), "{} at {offset} of {length}: {text}", name(path));
            assert!(
                text.contains(&name(path)),
                "{} at {offset}: the report does not name the file: {text}",
                name(path)
            );
            flip(path, offset);
        }
    }
    assert_eq!(fsck(&data).0, Some(0), "flipping back heals");
}

#[test]
fn flipped_bytes_in_the_log_stop_the_start_with_file_and_offset() {
    let mut server = filled();
    let data = server.data();
    let mut all = Vec::new();
    files(&data.join("wal"), &mut all);
    all.sort();
    // The newest file holds the tail; its first frames lie below the watermark of the closing frame.
    let newest = all
        .iter()
        .rev()
        .find(|p| used(p) > 8192)
        .expect("a log file in use");
    for offset in [0, 40, 4096, 4100, 4096 + 128, 4096 + 500] {
        flip(newest, offset);
        let (code, text) = fsck(&data);
        assert_eq!(code, Some(3), "fsck, {} at {offset}: {text}", newest.display());
        let Err(status) = server.try_run() else {
            panic!(
                "the server starts over a log damaged at {offset} of {}, where fsck says: {text}",
                newest.display()
            );
        };
        assert_eq!(
            status.code(),
            Some(3),
            "start, {} at {offset}: {}",
            newest.display(),
            server.log_text()
        );
        flip(newest, offset);
    }
    server.run();
    assert_eq!(server.client().count("default", ""), 1300);
}

#[test]
fn a_missing_or_wrong_root_key_is_called_a_key_problem() {
    let mut server = filled();
    let root = server.data().join("keys/root.1");
    let aside = server.home().join("root.aside");
    let before = directory_bytes(&server.data().join("wal"));
    std::fs::rename(&root, &aside).unwrap();
    assert_eq!(
        server.try_run().expect_err("no key").code(),
        Some(4),
        "{}",
        server.log_text()
    );
    assert_eq!(fsck(&server.data()).0, Some(4));
    // Another instance's key.
    let mut other = Server::start();
    other.stop();
    std::fs::copy(other.data().join("keys/root.1"), &root).unwrap();
    assert_eq!(
        server.try_run().expect_err("wrong key").code(),
        Some(4),
        "{}",
        server.log_text()
    );
    assert_eq!(
        before,
        directory_bytes(&server.data().join("wal")),
        "something was truncated for want of a key"
    );
    // A key that others can read is refused.
    std::fs::copy(&aside, &root).unwrap();
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(
        server.try_run().expect_err("wide mode").code(),
        Some(4),
        "{}",
        server.log_text()
    );
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    server.run();
    assert_eq!(server.client().count("default", ""), 1300);
}

fn directory_bytes(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    files(dir, &mut all);
    all.sort();
    all.into_iter()
        .map(|p| {
            let bytes = std::fs::read(&p).unwrap();
            (p, bytes)
        })
        .collect()
}

/// Bytes up to the last one that is not zero.
fn used(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1)
}

fn flip(path: &Path, offset: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}
