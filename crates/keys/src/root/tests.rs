use std::path::Path;
use std::sync::Arc;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{Disk, Mode, RealDisk};

use super::{FileRoot, RootProvider};
use crate::{Entropy, Error, Key, SeededEntropy};

mod sealed;

const FIRST: &str = "keys/root.1";

fn entropy(seed: u64) -> Arc<dyn Entropy> {
    Arc::new(SeededEntropy::new(seed))
}

fn dynamic(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn open(disk: &SimDisk) -> crate::Result<FileRoot> {
    FileRoot::open(dynamic(disk), "keys", entropy(2))
}

fn create(disk: &SimDisk) -> crate::Result<FileRoot> {
    FileRoot::open_or_create(dynamic(disk), "keys", entropy(1))
}

fn bytes(disk: &SimDisk, path: &str) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(disk.len(Path::new(path)).unwrap()).unwrap()];
    disk.open(Path::new(path), Mode::Read)
        .unwrap()
        .read_exact_at(&mut bytes, 0)
        .unwrap();
    bytes
}

#[test]
fn what_is_wrapped_unwraps_after_reopening() {
    let disk = SimDisk::new(1);
    let key = Key::random(&SeededEntropy::new(3));
    let wrapped = create(&disk).unwrap().wrap(b"aad", &key).unwrap();
    let root = open(&disk.crash()).unwrap();
    assert_eq!((root.generation(), root.generations()), (1, vec![1]));
    assert!(root.unwrap(1, b"aad", &wrapped).unwrap().ct_eq(&key));
    assert!(matches!(
        root.unwrap(1, b"other", &wrapped),
        Err(Error::Damaged { .. })
    ));
    assert!(matches!(
        root.unwrap(2, b"aad", &wrapped),
        Err(Error::MissingKey { .. })
    ));
}

#[test]
fn another_root_is_a_wrong_key_and_changed_bytes_are_never_the_key() {
    let root = create(&SimDisk::new(1)).unwrap();
    let other = FileRoot::open_or_create(dynamic(&SimDisk::new(1)), "keys", entropy(9)).unwrap();
    let key = Key::random(&SeededEntropy::new(3));
    let wrapped = root.wrap(b"aad", &key).unwrap();
    assert!(matches!(
        other.unwrap(1, b"aad", &wrapped),
        Err(Error::WrongKey { .. })
    ));
    for at in 0..wrapped.len() {
        let mut flipped = wrapped.clone();
        flipped[at] ^= 1;
        let error = root.unwrap(1, b"aad", &flipped).err().unwrap();
        assert_eq!(error.is_damage(), at >= 8, "byte {at}: {error}");
        assert!(root.unwrap(1, b"aad", &wrapped[..at]).is_err());
    }
}

#[test]
fn the_layout_of_a_root_file_does_not_change() {
    let disk = SimDisk::new(1);
    create(&disk).unwrap();
    let bytes = bytes(&disk, FIRST);
    assert_eq!(bytes[..18], *b"ATSTROOT\x01\0\x01\0\0\0\0\0\0\0");
    assert_eq!(bytes[18..50], *Key::random(&SeededEntropy::new(1)).expose());
    assert_eq!((bytes.len(), crc32fast::hash(&bytes)), (62, 558_161_692));
}

#[test]
fn every_flipped_bit_of_a_root_file_is_damage() {
    let disk = SimDisk::new(1);
    create(&disk).unwrap();
    for at in 0..62 {
        for bit in 0..8 {
            disk.flip(FIRST, at, 1 << bit).unwrap();
            assert!(matches!(open(&disk), Err(Error::Damaged { .. })), "byte {at}");
            disk.flip(FIRST, at, 1 << bit).unwrap();
        }
    }
    open(&disk).unwrap();
    disk.open(Path::new(FIRST), Mode::ReadWrite)
        .unwrap()
        .set_len(61)
        .unwrap();
    assert!(matches!(open(&disk), Err(Error::Damaged { .. })));
}

#[test]
fn a_missing_root_is_a_missing_key() {
    let disk = SimDisk::new(1);
    assert!(matches!(open(&disk), Err(Error::MissingKey { .. })));
    create(&disk).unwrap();
    disk.remove(Path::new(FIRST)).unwrap();
    assert!(matches!(open(&disk), Err(Error::MissingKey { .. })));
}

#[test]
fn wider_permissions_are_refused() {
    for path in ["keys", FIRST] {
        let disk = SimDisk::new(1);
        create(&disk).unwrap();
        disk.set_mode_bits(path, 0o740).unwrap();
        let Err(Error::Permissions { path: refused, mode }) = open(&disk) else {
            panic!("{path} was accepted")
        };
        assert_eq!((refused.as_path(), mode & 0o777), (Path::new(path), 0o740));
    }
}

#[test]
fn real_files_are_made_with_narrow_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path().join("data")).unwrap());
    let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", entropy(1)).unwrap();
    root.next_generation().unwrap();
    root.destroy(1).unwrap();
    assert_eq!(disk.mode_bits(Path::new("keys")).unwrap() & 0o777, 0o700);
    assert_eq!(disk.mode_bits(Path::new("keys/root.2")).unwrap() & 0o777, 0o600);
    assert!(!disk.exists(Path::new(FIRST)).unwrap());
    assert_eq!(
        FileRoot::open(disk, "keys", entropy(2)).unwrap().generations(),
        [2]
    );
}

#[test]
fn the_current_generation_is_not_destroyed() {
    let root = create(&SimDisk::new(1)).unwrap();
    assert!(matches!(root.destroy(1), Err(Error::InUse { generation: 1 })));
    root.destroy(7).unwrap();
}

#[test]
fn a_zeroed_root_is_damage_and_stays() {
    let disk = SimDisk::new(1);
    create(&disk).unwrap().next_generation().unwrap();
    disk.open(Path::new(FIRST), Mode::ReadWrite)
        .unwrap()
        .write_all_at(&[0; 62], 0)
        .unwrap();
    assert!(matches!(open(&disk), Err(Error::Damaged { .. })));
    assert!(disk.exists(Path::new(FIRST)).unwrap());
}

#[test]
fn a_destruction_that_was_interrupted_is_finished_at_opening() {
    let disk = SimDisk::new(1);
    create(&disk).unwrap().next_generation().unwrap();
    disk.rename(Path::new(FIRST), Path::new("keys/root.1.gone"))
        .unwrap();
    assert_eq!(open(&disk).unwrap().generations(), [2]);
    assert_eq!(disk.paths(), [Path::new("keys/root.2")]);
}

/// Rotates once; says which steps were acknowledged.
fn rotate(disk: &SimDisk) -> (bool, bool) {
    let Ok(root) = create(disk) else {
        return (false, false);
    };
    let Ok(_) = root.next_generation() else {
        return (false, false);
    };
    (true, root.destroy(1).is_ok())
}

#[test]
fn a_crash_or_error_at_any_operation_of_a_rotation_leaves_a_root_to_open() {
    let whole = SimDisk::new(0);
    assert_eq!(rotate(&whole), (true, true));
    let mut last = false;
    for op in 0..whole.op_count() {
        for fault in [
            Fault::CrashBefore,
            Fault::CrashTorn,
            Fault::CrashAfter,
            Fault::Errno(5),
        ] {
            for seed in 0..8 {
                let what = format!("seed {seed}, {fault:?} at {op}");
                let disk = SimDisk::new(seed);
                disk.fail_at(op, fault);
                let (created, destroyed) = rotate(&disk);
                let left = disk.crash();
                let root = create(&left).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(
                    !created || root.generation() == 2,
                    "{what}: the new root is there"
                );
                assert!(
                    !destroyed || root.generations() == [2],
                    "{what}: the old root is gone"
                );
                assert!(
                    left.paths()
                        .iter()
                        .all(|path| path.extension().is_some_and(|end| end != "new" && end != "gone")),
                    "{what}"
                );
                last = destroyed;
            }
        }
    }
    assert!(!last, "the last operation is part of the destruction");
}

#[test]
fn what_is_left_of_a_root_is_erased_only_when_a_newer_root_can_be_read() {
    let whole = SimDisk::new(1);
    create(&whole).unwrap().next_generation().unwrap();
    whole
        .rename(Path::new(FIRST), Path::new("keys/root.1.gone"))
        .unwrap();
    type Spoil = fn(&SimDisk);
    let spoil: [(&str, Spoil); 4] = [
        ("flipped", |disk| disk.flip("keys/root.2", 20, 1).unwrap()),
        ("unreadable", |disk| {
            disk.read_error_at("keys/root.2", 0..62).unwrap();
        }),
        ("wide", |disk| disk.set_mode_bits("keys/root.2", 0o644).unwrap()),
        ("missing", |disk| disk.remove(Path::new("keys/root.2")).unwrap()),
    ];
    for (what, spoil) in spoil {
        for open in [open, create] {
            let disk = SimDisk::from_snapshot(&whole.snapshot());
            let before = bytes(&disk, "keys/root.1.gone");
            spoil(&disk);
            let paths = disk.paths();
            assert!(open(&disk).is_err(), "{what}: opened without the newest root");
            assert_eq!(disk.paths(), paths, "{what}");
            assert_eq!(bytes(&disk, "keys/root.1.gone"), before, "{what}");
        }
    }
}

#[test]
fn the_rest_of_a_newer_root_than_can_be_read_is_a_missing_key_and_stays() {
    let disk = SimDisk::new(1);
    let root = create(&disk).unwrap();
    root.next_generation().unwrap();
    disk.rename(Path::new("keys/root.2"), Path::new("keys/root.2.gone"))
        .unwrap();
    assert!(matches!(open(&disk), Err(Error::MissingKey { .. })));
    assert!(matches!(create(&disk), Err(Error::MissingKey { .. })));
    assert!(disk.exists(Path::new("keys/root.2.gone")).unwrap());
}
