//! Data directories that released versions wrote open, hold what they held, and go on.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests copy directories from outside")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{Disk, ManualClock, RealDisk};
use attestore_engine::check::{ProblemKind, fsck};
use attestore_engine::read::Which;
use attestore_engine::search::SearchRequest;
use attestore_engine::{Engine, Item, Mode, OpenMode, Parts, Principal, Settings};
use attestore_export::sha256_hex;
use attestore_keys::{Entropy, FileRoot, SystemEntropy};
use attestore_verify::verify_tlog_proof;

fn fixtures() -> Vec<PathBuf> {
    let all = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/formats");
    let entries = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn parts(data: &Path) -> Parts {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(data).unwrap());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let root = FileRoot::open(Arc::clone(&disk), "keys", Arc::clone(&entropy)).unwrap();
    Parts {
        disk,
        // Soon after: what was sent is remembered for some hours.
        clock: Arc::new(ManualClock::new(MADE_MS + 600_000)),
        entropy,
        root: Arc::new(root),
        register: None,
    }
}

fn open(data: &Path) -> Engine {
    let settings = Settings {
        wal_file_bytes: 64 << 10,
        reserve_bytes: 0,
        ..Settings::default()
    };
    Engine::open_as(parts(data), settings, OpenMode::Inline)
        .unwrap()
        .0
}

fn event(n: u32) -> String {
    let user = n % 5;
    format!(
        r#"{{"action":"file.read","idempotency_key":"k{n}","actor":{{"type":"user","id":"u{user}","email":"u{user}@example.org"}},"metadata":{{"n":{n}}}}}"#
    )
}

fn append(engine: &Engine, n: u32) -> u64 {
    let item = Item {
        bytes: event(n).into(),
        fallback_key: None,
    };
    let by = Principal::internal();
    let appended = engine
        .append_blocking("acme", &by, "native", vec![item], Mode::Each)
        .unwrap();
    appended.items.into_iter().next().unwrap().unwrap().seq
}

#[test]
fn fixtures_are_what_they_were_when_they_were_made() {
    for fixture in fixtures() {
        let sums = fs::read_to_string(fixture.join("SHA256SUMS")).unwrap();
        assert!(sums.lines().count() > 10);
        for line in sums.lines() {
            let (sum, name) = line.split_once("  ").unwrap();
            let bytes = fs::read(fixture.join(name)).unwrap();
            assert_eq!(sha256_hex(&bytes), sum, "{name}");
        }
    }
}

#[test]
fn directories_of_released_formats_open_and_go_on() {
    let by = Principal::internal();
    for fixture in fixtures() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        copy(&fixture.join("data"), &data);
        let problems = |data: &Path| -> Vec<String> {
            let report = fsck(&parts(data), &mut |_, _, _| {}).unwrap();
            let problems = report.problems.iter();
            problems
                .filter(|problem| problem.kind != ProblemKind::Stray)
                .map(|problem| format!("{problem:?}"))
                .collect()
        };
        assert_eq!(problems(&data), Vec::<String>::new());
        let engine = open(&data);
        let size = engine.tenant("acme").unwrap().size;
        let events: Vec<String> = (0..size)
            .map(|seq| engine.get("acme", &by, Which::Seq(seq)).unwrap().event)
            .collect();
        let read = events.iter().filter(|event| event.contains("file.read")).count();
        assert_eq!(read, 40);
        // One of five people was erased when there were 20 events, and came back as somebody new.
        let named = events
            .iter()
            .filter(|event| event.contains("u3@example.org"))
            .count();
        assert_eq!(named, 4);
        let request = SearchRequest {
            q: "actor.id:u3".into(),
            limit: 100,
            want_count: true,
            ..SearchRequest::default()
        };
        assert_eq!(engine.search("acme", &by, &request).unwrap().count, Some(4));
        let vkey = fs::read_to_string(fixture.join("vkey")).unwrap();
        assert_eq!(engine.vkey("acme").unwrap().trim(), vkey.trim());
        let proof = fs::read_to_string(fixture.join("record5.tlog-proof")).unwrap();
        verify_tlog_proof(&proof, vkey.trim()).unwrap();
        let again = engine.proof("acme", &by, Which::Seq(5)).unwrap();
        verify_tlog_proof(&again, vkey.trim()).unwrap();
        assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
        assert_eq!(engine.log_keys("acme").unwrap().len(), 2);
        // What was sent before is known, in segments and in the log.
        let before = engine.tenant("acme").unwrap().size;
        for n in [1, 40] {
            assert!(append(&engine, n) < before, "{n}");
        }
        assert_eq!(append(&engine, 41), before);
        engine.flush().unwrap();
        engine.close().unwrap();
        drop(engine);
        assert_eq!(problems(&data), Vec::<String>::new());
        let engine = open(&data);
        let last = engine.get("acme", &by, Which::Seq(before)).unwrap();
        assert!(last.event.contains("\"n\":41"), "{}", last.event);
        engine.close().unwrap();
    }
}

/// When the newest of them was made, Unix milliseconds.
const MADE_MS: u64 = 1_795_450_744_000;
