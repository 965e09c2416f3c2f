//! verify and fsck: everything intact passes, every changed byte is found.

use std::path::{Path, PathBuf};

use attestore_disk::{Disk, Mode, sim::SimDisk};
use attestore_engine::{
    Engine, OpenError, OpenMode, Settings,
    check::{FsckReport, ProblemKind, fsck},
};
use attestore_wal::{parse_file_header, parse_frame_header};

use crate::world::{World, append_range, everything};

/// Two tenants: one with a segment, `l0` parts and a tail, one with a tail only.
fn filled(seed: u64) -> World {
    let world = World::new(seed);
    let engine = world.open();
    for tenant in ["acme", "other"] {
        engine.create_tenant(tenant, &everything()).unwrap();
    }
    append_range(&engine, "acme", 0..300);
    engine.flush().unwrap();
    append_range(&engine, "acme", 300..303);
    engine.flush().unwrap();
    append_range(&engine, "acme", 303..306);
    append_range(&engine, "other", 0..3);
    engine.close().unwrap();
    world
}

fn check(world: &World) -> Result<FsckReport, OpenError> {
    fsck(&world.parts()?, &mut |_, _, _| {})
}

#[test]
fn verify_passes_on_every_stage_of_storage() {
    let world = filled(40);
    let engine = world.open();
    let mut last = (0, 0);
    let report = engine
        .verify("acme", &mut |done, all| last = (done, all))
        .unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.size, report.records, last), (306, 306, (306, 306)));
    assert!(report.groups_opened >= 306);
    assert!(report.checkpoint.contains(&report.origin));
}

#[test]
fn fsck_passes_and_changes_nothing() {
    let world = filled(41);
    let before = contents(&world.disk);
    let report = check(&world).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.exit_code(), 0);
    assert!(
        report.counts.records >= 309 && report.counts.sealed >= 5 && report.counts.frames > 0,
        "{report:?}"
    );
    assert!(
        before == contents(&world.disk),
        "fsck wrote to the data directory"
    );
}

#[test]
fn fsck_refuses_a_directory_in_use() {
    let world = filled(42);
    let _engine = world.open();
    assert!(matches!(check(&world), Err(OpenError::InUse)));
}

#[test]
fn every_flipped_byte_is_found() {
    let world = filled(43);
    let clean = world.disk.snapshot();
    let wal_end = wal_ends(&world);
    let mut missed = Vec::new();
    for path in world.disk.paths() {
        if path.as_os_str().is_empty() || path == Path::new("attestore.lock") {
            continue;
        }
        let Ok(length) = world.disk.len(&path) else {
            continue;
        };
        let end = wal_end
            .iter()
            .find(|(of, _)| *of == path)
            .map_or(length, |(_, end)| *end);
        let stride = (end / FLIPS_A_FILE).max(1);
        for offset in (0..end).step_by(usize::try_from(stride).unwrap()) {
            let disk = SimDisk::from_snapshot(&clean);
            disk.flip(&path, offset, 0x10).unwrap();
            let damaged = World {
                disk,
                register: SimDisk::from_snapshot(&world.register.snapshot()),
                clock: world.clock.clone(),
                seed: world.seed,
            };
            let found = match check(&damaged) {
                Err(_) => true, // the root key itself
                Ok(report) => {
                    report.exit_code() != 0 && report.problems.iter().any(|problem| names(problem, &path))
                }
            };
            if !found {
                missed.push((path.clone(), offset));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn an_older_block_of_the_catalog_is_found_at_its_place() {
    let world = filled(47);
    let before = catalog_blocks(&world.disk);
    let engine = world.open();
    append_range(&engine, "acme", 400..410);
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(check(&world).unwrap().problems, []);
    let after = catalog_blocks(&world.disk);
    let clean = world.disk.snapshot();
    let mut changed = 0;
    for (number, (old, new)) in before.iter().zip(&after).enumerate() {
        if old == new {
            continue;
        }
        changed += 1;
        world.disk.restore(&clean);
        let at = 16384 + 4128 * number as u64;
        let file = world.disk.open(Path::new("catalog"), Mode::ReadWrite).unwrap();
        file.write_all_at(old, at).unwrap();
        let report = check(&world).unwrap();
        assert_eq!(report.exit_code(), 3, "block {number}: {report:?}");
        assert!(
            report
                .problems
                .iter()
                .any(|problem| problem.path == Path::new("catalog") && problem.offset == at),
            "block {number}: {report:?}"
        );
    }
    assert!(changed > 3, "{changed}");
}

fn catalog_blocks(disk: &SimDisk) -> Vec<Vec<u8>> {
    let (_, bytes) = contents(disk)
        .into_iter()
        .find(|(path, _)| path == Path::new("catalog"))
        .unwrap();
    bytes[16384..].chunks(4128).map(<[u8]>::to_vec).collect()
}

fn names(problem: &attestore_engine::check::Problem, path: &Path) -> bool {
    problem.path == path || problem.kind == ProblemKind::Key || path.starts_with("keys")
}

#[test]
fn missing_and_extra_files_are_named() {
    let world = filled(44);
    let clean = world.disk.snapshot();
    world
        .disk
        .open(Path::new("tenants/extra"), Mode::Create)
        .unwrap()
        .sync_data()
        .unwrap();
    let report = check(&world).unwrap();
    assert_eq!(report.problems.len(), 1, "{report:?}");
    assert_eq!(
        (report.problems[0].kind, report.exit_code()),
        (ProblemKind::Stray, 0)
    );
    for path in world.disk.paths() {
        let gone = ["seg", "sub", "idx", "l0"]
            .iter()
            .any(|ext| path.extension().is_some_and(|e| e == *ext))
            || path.ends_with("entries")
            || path == Path::new("catalog");
        if !gone || world.disk.len(&path).is_err() {
            continue;
        }
        world.disk.restore(&clean);
        world.disk.remove(&path).unwrap();
        let report = check(&world).unwrap();
        assert_eq!(report.exit_code(), 3, "{path:?}");
        assert!(
            report.problems.iter().any(|problem| problem.path == path),
            "{path:?}: {report:?}"
        );
    }
}

#[test]
fn a_start_without_the_catalog_is_refused_and_changes_nothing() {
    let world = filled(49);
    world.disk.remove(Path::new("catalog")).unwrap();
    let before = contents(&world.disk);
    let opened = Engine::open_as(world.parts().unwrap(), Settings::default(), OpenMode::Inline);
    assert!(matches!(opened, Err(OpenError::Damage { .. })));
    assert!(before == contents(&world.disk), "the start left something");
}

#[test]
fn what_was_added_to_a_sealed_file_is_found() {
    let world = filled(48);
    let clean = world.disk.snapshot();
    let mut sealed = 0;
    for path in world.disk.paths() {
        let ext = path.extension().and_then(|ext| ext.to_str());
        if !matches!(ext, Some("seg" | "sub" | "idx")) {
            continue;
        }
        sealed += 1;
        world.disk.restore(&clean);
        let length = world.disk.len(&path).unwrap();
        let file = world.disk.open(&path, Mode::ReadWrite).unwrap();
        file.write_all_at(b"x", length).unwrap();
        let report = check(&world).unwrap();
        assert_eq!(report.exit_code(), 3, "{report:?}");
        let found =
            |problem: &attestore_engine::check::Problem| names(problem, &path) && problem.offset == length;
        assert!(report.problems.iter().any(found), "{report:?}");
    }
    assert!(sealed >= 3, "{sealed}");
}

#[test]
fn another_root_is_a_key_problem() {
    let world = filled(45);
    let stranger = World::new(99);
    let mut parts = world.parts().unwrap();
    parts.root = stranger.parts().unwrap().root;
    let report = fsck(&parts, &mut |_, _, _| {}).unwrap();
    assert_eq!(report.exit_code(), 4, "{report:?}");
    assert!(
        report
            .problems
            .iter()
            .all(|problem| problem.kind == ProblemKind::Key)
    );
}

#[test]
fn rollback_is_named() {
    let world = filled(46);
    let backup = world.disk.snapshot();
    let engine = world.open();
    append_range(&engine, "acme", 400..410);
    engine.close().unwrap();
    drop(engine);
    world.disk.restore(&backup);
    let report = check(&world).unwrap();
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.kind == ProblemKind::Rollback),
        "{report:?}"
    );
    assert_eq!(report.exit_code(), 3);
}

fn contents(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| {
        let file = disk.open(&path, Mode::Read).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Some((path, bytes))
    };
    disk.paths().into_iter().filter_map(read).collect()
}

/// How much of each WAL file is claimed to be synced. Only the newest is in use: the others wait to be used again. What is
/// behind its frames is stale, and its last frame, the closing one, is claimed by nobody.
fn wal_ends(world: &World) -> Vec<(PathBuf, u64)> {
    let mut files: Vec<_> = contents(&world.disk)
        .into_iter()
        .filter(|(path, _)| path.starts_with("wal"))
        .collect();
    let (newest, bytes) = files.pop().unwrap();
    let file_id = parse_file_header(&bytes).unwrap().spec.file_id;
    let (mut ends, mut at) = (vec![4096], 4096);
    while let Ok(frame) = parse_frame_header(&bytes[at..]) {
        if frame.file_id != file_id {
            break;
        }
        at += frame.length as usize;
        ends.push(at as u64);
    }
    assert!(ends.len() >= 3, "the newest file holds frames");
    let mut all: Vec<_> = files.into_iter().map(|(path, _)| (path, 0)).collect();
    all.push((newest, ends[ends.len() - 2]));
    all
}

/// Bytes flipped in one file; larger files are swept in strides.
const FLIPS_A_FILE: u64 = 24;
