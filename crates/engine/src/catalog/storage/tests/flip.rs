//! Changed, missing and unreadable bytes.

use std::io::ErrorKind;
use std::path::Path;

use super::{
    CATALOG, Damage, Disk, Error, FileRoot, JOURNALS, Mode, SealedStorage, SimDisk, StorageBackend, bytes,
    commit, committed, create, database, open, root,
};

const ROUNDS: u64 = 6;

/// A catalog that was closed.
fn closed(root: &FileRoot) -> SimDisk {
    let disk = SimDisk::new(1);
    let storage = create(&disk, root).unwrap();
    commit(&database(&storage).unwrap(), 0..ROUNDS, &mut 0).unwrap();
    disk
}

/// A catalog whose power was cut just after a commit.
fn cut(root: &FileRoot) -> SimDisk {
    let disk = SimDisk::new(1);
    let storage = create(&disk, root).unwrap();
    let database = database(&storage).unwrap();
    commit(&database, 0..ROUNDS, &mut 0).unwrap();
    disk.crash()
}

fn damage_of(error: &redb::Error) -> Option<&Damage> {
    let redb::Error::Io(error) = error else {
        return None;
    };
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    error.get_ref()?.downcast_ref()
}

/// Offsets that are worth trying: all near the edges of the parts, some within blocks.
fn offsets(len: u64) -> impl Iterator<Item = u64> {
    (0..len).filter(|at| {
        let in_block = at.saturating_sub(16384) % 4128;
        match at {
            0..4200 | 8192..8300 | 12288..12400 => true,
            4200..16384 => at % 5 == 0,
            _ => !(16..=4100).contains(&in_block) || at % 61 == 0,
        }
    })
}

#[test]
fn a_flipped_byte_of_a_closed_catalog_is_refused_or_reported_at_its_place() {
    let root = root();
    let disk = closed(&root);
    let snapshot = disk.snapshot();
    for at in offsets(disk.len(Path::new(CATALOG)).unwrap()) {
        disk.restore(&snapshot);
        disk.flip(CATALOG, at, 1 << (at % 8)).unwrap();
        match open(&disk, &root) {
            Ok(storage) => {
                let found = storage.scan();
                assert_eq!(found.len(), 1, "offset {at}: {found:?}");
                let covered = if at < 16384 { 4096 } else { 4128 };
                let (start, name) = (found[0].offset, found[0].path.as_path());
                assert!(
                    start <= at && at < start + covered && name == Path::new(CATALOG),
                    "{at}: {found:?}"
                );
            }
            Err(Error::Damage(_)) => {}
            Err(error) => panic!("offset {at}: {error}"),
        }
    }
}

#[test]
fn the_store_over_a_damaged_catalog_gives_an_error_with_file_and_offset_or_the_right_rows() {
    let root = root();
    let disk = closed(&root);
    let snapshot = disk.snapshot();
    let mut refused = 0;
    for at in
        offsets(disk.len(Path::new(CATALOG)).unwrap()).filter(|at| at % 7 == 0 || at % 4128 == 16396 % 4128)
    {
        disk.restore(&snapshot);
        disk.flip(CATALOG, at, 0x80).unwrap();
        let Ok(storage) = open(&disk, &root) else { continue };
        match database(&storage).and_then(|database| committed(&database)) {
            Ok(rounds) => assert_eq!(rounds, ROUNDS, "offset {at}"),
            Err(error) => {
                let damage = damage_of(&error).unwrap_or_else(|| panic!("offset {at}: {error:?}"));
                assert!(
                    damage.offset <= at && at < damage.offset + 4128,
                    "offset {at}: {damage}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "only {refused} flips reached the store");
}

#[test]
fn a_flipped_byte_after_a_power_cut_is_refused_reported_or_restored_from_the_journal() {
    let root = root();
    let disk = cut(&root);
    let snapshot = disk.snapshot();
    for path in [CATALOG, JOURNALS[0], JOURNALS[1]] {
        let stride = if path == CATALOG { 1 } else { 13 };
        for at in offsets(disk.len(Path::new(path)).unwrap()).filter(|at| at % stride == 0) {
            disk.restore(&snapshot);
            disk.flip(path, at, 1 << (at % 8)).unwrap();
            let storage = match open(&disk, &root) {
                Ok(storage) => storage,
                Err(Error::Damage(damage)) => {
                    assert_eq!(damage.path, Path::new(path), "{path} {at}: {damage}");
                    continue;
                }
                Err(error) => panic!("{path} {at}: {error}"),
            };
            if storage.scan().is_empty() {
                let rounds = committed(&database(&storage).unwrap()).unwrap();
                assert_eq!(rounds, ROUNDS, "{path} {at}");
            }
        }
    }
}

#[test]
fn a_zeroed_block_is_damage() {
    let root = root();
    let disk = closed(&root);
    let file = disk.open(Path::new(CATALOG), Mode::ReadWrite).unwrap();
    file.write_all_at(&[0; 4128], 16384 + 4128).unwrap();
    let storage = open(&disk, &root).unwrap();
    let error = storage.read(4096, &mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.to_string(),
        "catalog: damaged at offset 20512: block is not authentic"
    );
    assert_eq!(storage.scan().len(), 1);
}

#[test]
fn a_block_in_the_place_of_another_is_damage() {
    let root = root();
    let disk = closed(&root);
    let content = bytes(&disk, CATALOG);
    let file = disk.open(Path::new(CATALOG), Mode::ReadWrite).unwrap();
    file.write_all_at(&content[16384..16384 + 4128], 16384 + 4128)
        .unwrap();
    assert_eq!(open(&disk, &root).unwrap().scan().len(), 1);
}

#[test]
fn a_catalog_that_is_cut_short_or_missing_is_refused() {
    let root = root();
    let disk = closed(&root);
    let len = disk.len(Path::new(CATALOG)).unwrap();
    let snapshot = disk.snapshot();
    for left in [
        0,
        10,
        4096,
        8192,
        8300,
        12288,
        12400,
        16384,
        16385,
        len - 4128,
        len - 1,
    ] {
        disk.restore(&snapshot);
        disk.open(Path::new(CATALOG), Mode::ReadWrite)
            .unwrap()
            .set_len(left)
            .unwrap();
        let Err(Error::Damage(damage)) = open(&disk, &root) else {
            panic!("opened with {left} bytes")
        };
        assert_eq!(damage.path, Path::new(CATALOG));
    }
    disk.remove(Path::new(CATALOG)).unwrap();
    let Err(Error::Io(error)) = open(&disk, &root) else {
        panic!("opened without a file")
    };
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_needed_journal_that_is_missing_is_damage() {
    let root = root();
    let disk = cut(&root);
    for path in JOURNALS {
        disk.open(Path::new(path), Mode::ReadWrite)
            .unwrap()
            .set_len(0)
            .unwrap();
    }
    let Err(Error::Damage(damage)) = open(&disk, &root) else {
        panic!("opened without its journal")
    };
    assert!(
        JOURNALS.iter().any(|path| damage.path == Path::new(path)),
        "{damage}"
    );
}

#[test]
fn an_unreadable_sector_is_an_error_for_its_blocks_only() {
    let root = root();
    let disk = closed(&root);
    disk.read_error_at(CATALOG, 16384 + 4128..16384 + 4128 + 512)
        .unwrap();
    let storage: SealedStorage = open(&disk, &root).unwrap();
    assert!(storage.read(4096, &mut [0; 10]).is_err());
    storage.read(0, &mut [0; 4096]).unwrap();
    let found = storage.scan();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].offset, 16384 + 4128);
}
