//! Directories that a newer program wrote are refused, and stay as they are.

use std::path::{Path, PathBuf};

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, Mode};

use super::{CATALOG, HEADS, JOURNAL, Kind, ROOT, WAL, check};
use crate::testing::{World, event, settings};
use crate::{Engine, OpenError, OpenMode};

/// A directory with a file of each kind.
fn written(seed: u64) -> World {
    let world = World::new(seed);
    let (engine, _) = world.start_with(settings());
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1), event(2)]);
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let disk = &world.disk;
    // A journal is empty once the catalog was closed.
    let journal = disk
        .open(Path::new("catalog.journal.0"), Mode::ReadWrite)
        .unwrap();
    journal.write_all_at(b"ATSTCATJ\x02\0", 0).unwrap();
    journal.sync_data().unwrap();
    world
}

/// The files whose versions are looked at, with what is in them.
fn places(disk: &SimDisk) -> Vec<(PathBuf, &'static Kind)> {
    let in_dir = |dir: &str, kinds: &'static [Kind]| -> Vec<(PathBuf, &'static Kind)> {
        let entries = disk.list(Path::new(dir)).unwrap();
        let paths = entries.into_iter().map(|entry| Path::new(dir).join(entry.name));
        paths.map(|path| (path, &kinds[0])).collect()
    };
    let mut all: Vec<(PathBuf, &'static Kind)> =
        CATALOG.iter().map(|kind| ("catalog".into(), kind)).collect();
    all.push(("catalog.journal.0".into(), &JOURNAL[0]));
    all.push(("heads".into(), &HEADS[0]));
    all.extend(in_dir("keys", &ROOT));
    all.extend(in_dir("wal", &WAL));
    all
}

fn bytes(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn everything(disk: &SimDisk, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        match entry.is_dir {
            true => all.extend(everything(disk, &path)),
            false => all.push((path.clone(), bytes(disk, &path))),
        }
    }
    all.sort();
    all
}

fn newer(result: Result<(), OpenError>) -> (PathBuf, u64, u64, String) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.exit_code(), 1);
    match error {
        OpenError::Newer {
            path, found, known, ..
        } => (path, found, known, text),
        other => panic!("{other}"),
    }
}

#[test]
fn the_versions_that_are_written_are_those_that_are_known() {
    let world = written(940);
    let places = places(&world.disk);
    assert!(places.len() >= 8, "{}", places.len());
    for (path, kind) in places {
        let bytes = bytes(&world.disk, &path);
        let at = usize::try_from(kind.at).unwrap();
        assert_eq!(bytes[at..at + 8], *kind.magic, "{}", path.display());
        let version = u16::from_le_bytes([bytes[at + 8], bytes[at + 9]]);
        assert!(version <= kind.known, "{}: {version}", path.display());
    }
    check(&world.disk).unwrap();
}

#[test]
fn each_file_of_a_newer_version_is_refused_by_name_and_nothing_changes() {
    for (path, kind) in places(&written(941).disk) {
        let world = written(941);
        // What opens it has drawn its root and read the directory by then.
        let parts = world.parts();
        let file = world.disk.open(&path, Mode::ReadWrite).unwrap();
        file.write_all_at(&(kind.known + 1).to_le_bytes(), kind.at + 8)
            .unwrap();
        file.sync_data().unwrap();
        let before = everything(&world.disk, Path::new(""));
        let opened = Engine::open_as(parts.clone(), settings(), OpenMode::Inline).map(drop);
        let checked = crate::check::fsck(&parts, &mut |_, _, _| {}).map(drop);
        for result in [check(&world.disk), opened, checked] {
            let (named, found, known, text) = newer(result);
            assert_eq!(named, path);
            assert_eq!((found, known), (u64::from(kind.known) + 1, u64::from(kind.known)));
            for said in [
                path.display().to_string(),
                format!("version {found}"),
                format!("up to {known}"),
                "Nothing was changed".to_owned(),
                "restore a backup".to_owned(),
            ] {
                assert!(text.contains(&said), "{text}");
            }
        }
        assert!(
            everything(&world.disk, Path::new("")) == before,
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_newer_directory_and_a_newer_holder_of_the_root_are_refused() {
    let world = written(942);
    let provider = world
        .disk
        .open(Path::new("keys/root.provider"), Mode::Create)
        .unwrap();
    provider
        .write_all_at(b"attestore root provider v2\nprovider file\n", 0)
        .unwrap();
    let (path, found, known, _) = newer(check(&world.disk));
    assert_eq!(
        (path.as_path(), found, known),
        (Path::new("keys/root.provider"), 2, 1)
    );
    world.disk.remove(Path::new("keys/root.provider")).unwrap();
    let (engine, _) = world.start_with(settings());
    engine
        .inner
        .change(|update| {
            update.instance.format = super::DATA_DIRECTORY + 1;
            Ok(())
        })
        .unwrap();
    engine.close().unwrap();
    drop(engine);
    let opened = Engine::open_as(world.parts(), settings(), OpenMode::Inline).map(drop);
    let checked = crate::check::fsck(&world.parts(), &mut |_, _, _| {}).map(drop);
    for result in [opened, checked] {
        let (path, found, known, _) = newer(result);
        assert_eq!((path.as_path(), found, known), (Path::new("catalog"), 2, 1));
    }
}
