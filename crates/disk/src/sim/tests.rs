//! The simulated disk keeps its model.

use super::*;
use crate::AlignedBuf;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SEEDS: Range<u64> = 0..64;

fn file(disk: &SimDisk, path: &str) -> Arc<dyn File> {
    disk.open(Path::new(path), Mode::ReadWriteCreate).unwrap()
}

fn sync_names(disk: &SimDisk) {
    disk.sync_dir(Path::new("")).unwrap();
}

fn read(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path), Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn synced_data_and_names_survive_every_crash() {
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        let f = file(&disk, "f");
        f.write_all_at(&[7; 5000], 0).unwrap();
        f.sync_data().unwrap();
        sync_names(&disk);
        assert_eq!(read(&disk.crash(), "f"), [7; 5000], "seed {seed}");
    }
}

#[test]
fn unsynced_data_is_lost_kept_and_torn_at_sectors() {
    let mut kept = BTreeSet::new();
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        let f = file(&disk, "f");
        f.set_len(2048).unwrap();
        f.sync_data().unwrap();
        sync_names(&disk);
        f.write_all_at(&[7; 2048], 0).unwrap();
        let after = read(&disk.crash(), "f");
        let sectors: Vec<u8> = after.chunks(512).map(|s| s[0]).collect();
        assert!(
            after.chunks(512).all(|s| s.iter().all(|&b| b == s[0])),
            "seed {seed}: torn inside a sector"
        );
        kept.insert(sectors);
    }
    assert!(
        kept.contains(&vec![0; 4]) && kept.contains(&vec![7; 4]),
        "{kept:?}"
    );
    assert!(
        kept.contains(&vec![0, 7, 0, 7]) || kept.len() > 6,
        "no tearing: {kept:?}"
    );
}

#[test]
fn a_length_may_survive_without_its_data() {
    let grown = SEEDS.filter(|seed| {
        let disk = SimDisk::new(*seed);
        let f = file(&disk, "f");
        sync_names(&disk);
        f.write_all_at(&[7; 512], 0).unwrap();
        read(&disk.crash(), "f") == [0; 512]
    });
    assert!(grown.count() > 0);
}

#[test]
fn unsynced_names_are_lost_or_kept_and_a_rename_is_atomic() {
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        file(&disk, "old");
        sync_names(&disk);
        disk.rename(Path::new("old"), Path::new("new")).unwrap();
        file(&disk, "other");
        let paths: Vec<_> = disk
            .crash()
            .paths()
            .iter()
            .map(|p| p.display().to_string())
            .collect();
        assert_ne!(
            paths.contains(&"old".into()),
            paths.contains(&"new".into()),
            "seed {seed}"
        );
        seen.insert(paths);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_file_in_an_unsynced_directory_can_vanish() {
    let vanished = SEEDS.filter(|seed| {
        let disk = SimDisk::new(*seed);
        disk.create_dir_all(Path::new("a")).unwrap();
        file(&disk, "a/f");
        disk.sync_dir(Path::new("a")).unwrap();
        disk.crash().paths().is_empty()
    });
    assert!(vanished.count() > 0);
}

#[test]
fn a_failed_sync_loses_the_data_although_readers_still_see_it() {
    let disk = SimDisk::new(3);
    let f = file(&disk, "f");
    f.write_all_at(&[1; 1024], 0).unwrap();
    f.sync_data().unwrap();
    sync_names(&disk);
    f.write_all_at(&[2; 1024], 0).unwrap();
    disk.fail_at(disk.op_count(), Fault::Errno(5));
    assert_eq!(f.sync_data().unwrap_err().raw_os_error(), Some(5));
    assert_eq!(read(&disk, "f"), [2; 1024]);
    f.sync_data().unwrap();
    assert_eq!(read(&disk.crash(), "f"), [1; 1024]);
}

#[test]
fn a_direct_write_is_durable_but_does_not_sync_what_others_wrote() {
    let mut others_lost = 0;
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        file(&disk, "f").set_len(8192).unwrap();
        sync_names(&disk);
        file(&disk, "f").write_all_at(&[1; 8192], 0).unwrap();
        let direct = disk.open(Path::new("f"), Mode::DirectSync).unwrap();
        let mut block = AlignedBuf::zeroed(4096);
        block.fill(2);
        direct.write_all_at(&block, 4096).unwrap();
        assert_eq!(
            direct.write_all_at(&block[..512], 0).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        let after = read(&disk.crash(), "f");
        assert_eq!(after[4096..], [2; 4096], "seed {seed}");
        others_lost += usize::from(after[..4096].contains(&0));
    }
    assert!(others_lost > 0);
}

#[test]
fn a_torn_direct_write_leaves_any_sectors() {
    let mut counts = BTreeSet::new();
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        file(&disk, "f").set_len(4096).unwrap();
        disk.sync_all().unwrap();
        let direct = disk.open(Path::new("f"), Mode::DirectSync).unwrap();
        let mut block = AlignedBuf::zeroed(4096);
        block.fill(9);
        disk.fail_at(disk.op_count(), Fault::CrashTorn);
        assert!(direct.write_all_at(&block, 0).is_err() && disk.has_crashed());
        let after = read(&disk.crash(), "f");
        counts.insert(after.iter().filter(|&&b| b == 9).count());
    }
    assert!(
        counts.contains(&0) && counts.contains(&4096) && counts.len() > 4,
        "{counts:?}"
    );
}

#[test]
fn after_a_crash_every_call_on_the_old_disk_fails() {
    let disk = SimDisk::new(1);
    let f = file(&disk, "f");
    disk.fail_at(disk.op_count(), Fault::CrashAfter);
    assert!(f.write_all_at(b"x", 0).is_err());
    assert!(f.read_at(&mut [0], 0).is_err() && f.sync_data().is_err() && f.len().is_err());
    assert!(
        disk.exists(Path::new("f")).is_err() && disk.list(Path::new("")).is_err() && disk.sync_all().is_err()
    );
}

#[test]
fn a_full_disk_refuses_growth_and_says_how_much_is_free() {
    let disk = SimDisk::new(1);
    disk.set_capacity(8192);
    let f = file(&disk, "f");
    f.write_all_at(&[1; 4097], 0).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 0);
    assert_eq!(
        f.write_all_at(&[1], 8192).unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    f.write_all_at(&[1; 10], 4000).unwrap();
    disk.remove(Path::new("f")).unwrap();
    drop(f);
    disk.sync_all().unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 8192);
}

#[test]
fn flips_and_read_errors_hit_what_they_name() {
    let disk = SimDisk::new(1);
    file(&disk, "f").write_all_at(&[0; 100], 0).unwrap();
    disk.sync_all().unwrap();
    disk.flip("f", 50, 0x81).unwrap();
    assert_eq!(read(&disk, "f")[50], 0x81);
    let after = disk.crash();
    assert_eq!(read(&after, "f")[50], 0x81);
    after.read_error_at("f", 10..20).unwrap();
    let f = after.open(Path::new("f"), Mode::Read).unwrap();
    assert_eq!(f.read_at(&mut [0; 5], 15).unwrap_err().raw_os_error(), Some(5));
    f.read_exact_at(&mut [0; 5], 20).unwrap();
}

#[test]
fn a_snapshot_shares_nothing_with_the_disk() {
    let disk = SimDisk::new(1);
    file(&disk, "f").write_all_at(b"old", 0).unwrap();
    let snapshot = disk.snapshot();
    file(&disk, "f").write_all_at(b"new", 0).unwrap();
    let copy = SimDisk::from_snapshot(&snapshot);
    assert_eq!(
        (read(&disk, "f"), read(&copy, "f")),
        (b"new".to_vec(), b"old".to_vec())
    );
    disk.restore(&snapshot);
    assert_eq!(read(&disk, "f"), b"old");
}

#[test]
fn locks_are_exclusive_and_do_not_survive_a_crash() {
    let disk = SimDisk::new(1);
    let guard = disk.try_lock(Path::new("lock")).unwrap().unwrap();
    assert!(disk.try_lock(Path::new("lock")).unwrap().is_none());
    assert!(disk.crash().try_lock(Path::new("lock")).unwrap().is_some());
    drop(guard);
}

#[test]
fn permission_bits_are_as_created_and_can_be_widened() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("d")).unwrap();
    file(&disk, "d/f");
    assert_eq!(disk.mode_bits(Path::new("d")).unwrap(), 0o700);
    assert_eq!(disk.mode_bits(Path::new("d/f")).unwrap(), 0o600);
    disk.set_mode_bits("d/f", 0o644).unwrap();
    disk.sync_all().unwrap();
    assert_eq!(disk.crash().mode_bits(Path::new("d/f")).unwrap(), 0o644);
}

#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0u64..20_000, proptest::collection::vec(1u8.., 1..6000)).prop_map(|(o, b)| Op::Write(o, b)),
        (0u64..20_000).prop_map(Op::SetLen),
        Just(Op::Sync),
    ]
}

proptest! {
    #[test]
    fn reads_behave_like_a_vec_and_a_synced_state_survives(seed: u64, ops in proptest::collection::vec(op(), 1..12)) {
        let disk = SimDisk::new(seed);
        let f = file(&disk, "f");
        sync_names(&disk);
        let mut model: Vec<u8> = Vec::new();
        for op in &ops {
            match op {
                Op::Write(offset, bytes) => {
                    let offset = usize::try_from(*offset).unwrap();
                    model.resize(model.len().max(offset + bytes.len()), 0);
                    model[offset..offset + bytes.len()].copy_from_slice(bytes);
                    f.write_all_at(bytes, offset as u64).unwrap();
                }
                Op::SetLen(len) => {
                    model.resize(usize::try_from(*len).unwrap(), 0);
                    f.set_len(*len).unwrap();
                }
                Op::Sync => {
                    f.sync_data().unwrap();
                    prop_assert_eq!(&read(&disk.crash_copy(), "f"), &model);
                }
            }
            prop_assert_eq!(&read(&disk, "f"), &model);
        }
    }

    #[test]
    fn the_same_seed_and_calls_give_the_same_medium(seed: u64, ops in proptest::collection::vec(op(), 1..8)) {
        let run = || {
            let disk = SimDisk::new(seed);
            let f = file(&disk, "f");
            for op in &ops {
                match op {
                    Op::Write(offset, bytes) => f.write_all_at(bytes, *offset).unwrap(),
                    Op::SetLen(len) => f.set_len(*len).unwrap(),
                    Op::Sync => f.sync_data().unwrap(),
                }
            }
            let after = disk.crash();
            after.paths().iter().map(|p| read(&after, p.to_str().unwrap())).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

impl SimDisk {
    /// Crashes a copy, so that the test can go on.
    fn crash_copy(&self) -> Self {
        Self::from_snapshot(&self.snapshot()).crash()
    }
}
