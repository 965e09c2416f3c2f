//! A copy of a log on disk: what holds, what does not, and two trees of one log.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests make the files that the program reads"
)]

#[path = "../../verify/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use attestore_record::HashVersion;
use attestore_tlog::{TilePath, consistency_proof, entry_bundle, resources, tile_hashes};
use support::{Log, START_MS};

fn log(size: u64, odd: u64) -> Log {
    let mut log = Log::new(HashVersion::Blake3);
    for n in 0..size {
        log.event(3, START_MS, None, if n == odd { "1" } else { "0" });
    }
    log
}

/// Writes the log as a static file server has it.
fn write(log: &Log, folder: &Path) {
    let put = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    put("checkpoint", log.checkpoint().as_bytes());
    for path in resources(log.size()) {
        let bytes = match path {
            TilePath::Entries(bundle) => entry_bundle(&log.entries(bundle.entries())),
            TilePath::Tile(tile) => {
                let hashes = tile_hashes(log, tile).unwrap();
                hashes.iter().flat_map(|hash| hash.0).collect()
            }
        };
        put(&path.to_string(), &bytes);
    }
}

fn code(log: &Log, arguments: &[&str]) -> i32 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attestore-verify"));
    let vkey = log.key.verifier().to_string();
    command.args(arguments).args(["--vkey", &vkey]);
    command.output().unwrap().status.code().unwrap()
}

fn text(path: PathBuf) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_copy_of_a_log_is_verified_from_its_entries_up() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log(700, u64::MAX));
    write(&log, dir.path());
    let folder = text(dir.path().to_owned());
    assert_eq!(code(&log, &["log", &folder]), 0);
    let old = text(dir.path().join("old"));
    std::fs::write(&old, log.checkpoint_at(300)).unwrap();
    assert_eq!(code(&log, &["log", &folder, "--checkpoint", &old]), 0);
    let other = self::log(300, 7);
    std::fs::write(&old, other.checkpoint()).unwrap();
    assert_eq!(
        code(&log, &["log", &folder, "--checkpoint", &old]),
        3,
        "another history"
    );

    for (path, at) in [
        ("tile/entries/001", 90),
        ("tile/0/000", 5),
        ("tile/1/000.p/2", 40),
        ("checkpoint", 30),
    ] {
        let path = dir.path().join(path);
        let sound = std::fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(code(&log, &["log", &folder]), 3, "{path:?}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(code(&log, &["log", &folder]), 3, "{path:?} is missing");
        std::fs::write(&path, sound).unwrap();
    }
    assert_eq!(code(&log, &["log", &folder]), 0);
}

#[test]
fn a_pair_of_checkpoints_becomes_a_proof_with_a_copy_of_the_larger_log() {
    let dir = tempfile::tempdir().unwrap();
    let (honest, forked) = (log(512, u64::MAX), log(700, 3));
    write(&forked, &dir.path().join("forked"));
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        text(path)
    };
    let copy = text(dir.path().join("forked"));
    let large = file("large", &forked.checkpoint());
    for size in [1, 256, 300, 512] {
        let small = file("small", &honest.checkpoint_at(size));
        let out = text(dir.path().join(format!("proof-{size}")));
        let expected = if size > 3 { 0 } else { 3 };
        let made = code(
            &forked,
            &["misbehaviour", &out, "--from", &small, &large, "--log", &copy],
        );
        assert_eq!(made, expected, "size {size}: the trees differ from entry 3 on");
        if expected == 0 {
            assert_eq!(code(&forked, &["misbehaviour", &out]), 0);
        }
        // Of itself, the log proves that it is consistent.
        let own = file("own", &forked.checkpoint_at(size));
        let out = text(dir.path().join("never"));
        assert_eq!(
            code(
                &forked,
                &["misbehaviour", &out, "--from", &own, &large, "--log", &copy]
            ),
            3
        );
        let hashes = consistency_proof(&forked, size, 700).unwrap();
        let lines: String = hashes
            .iter()
            .map(|hash| format!("{}\n", hash.to_base64()))
            .collect();
        let proof = file("hashes", &lines);
        assert_eq!(code(&forked, &["consistency", &own, &large, &proof]), 0);
        if size > 3 {
            assert_eq!(code(&forked, &["consistency", &small, &large, &proof]), 3);
        }
    }
}
