//! Files: a crash at any point leaves the whole file or none.

use std::path::Path;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{AlignedBuf, Disk, Mode};

use super::{FileWriter, PIECE_BYTES, WriteError, temporary_name, unpaced, write_file, write_file_paced};
use crate::testing::noise;

const NAME: &str = "dir/0.seg";

fn read(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn fresh(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("dir")).unwrap();
    disk.sync_all().unwrap();
    disk
}

#[test]
fn parts_follow_one_another_and_the_temporary_name_is_gone() {
    let disk = fresh(1);
    let (one, two) = (noise(1, 3 * PIECE_BYTES + 7), noise(2, 11));
    write_file(&disk, Path::new(NAME), &[&one, &[], &two]).unwrap();
    assert_eq!(read(&disk, Path::new(NAME)), [one, two].concat());
    assert_eq!(disk.paths(), [Path::new(NAME)]);
    assert_eq!(temporary_name(Path::new(NAME)), Path::new("dir/0.seg.tmp"));
}

#[test]
fn a_crash_at_any_operation_leaves_all_or_nothing_under_the_name() {
    let bytes = noise(3, 2 * PIECE_BYTES + 100);
    let mut survived = 0;
    for seed in 0..40 {
        for fault in [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter] {
            for op in 0..9 {
                let disk = fresh(seed);
                disk.fail_at(disk.op_count() + op, fault);
                let done = write_file(&disk, Path::new(NAME), &[&bytes])
                    .and_then(|()| disk.sync_dir(Path::new("dir")));
                let after = disk.crash();
                let named = after.exists(Path::new(NAME)).unwrap();
                assert!(
                    named || done.is_err(),
                    "seed {seed} op {op}: a synced file is gone"
                );
                if named {
                    survived += 1;
                    assert!(
                        read(&after, Path::new(NAME)) == bytes,
                        "seed {seed} op {op}: half a file has the name"
                    );
                }
                // Whatever was left, the next attempt succeeds.
                write_file(&after, Path::new(NAME), &[&bytes]).unwrap();
            }
        }
    }
    assert!(survived > 0);
}

#[test]
fn a_batch_is_durable_after_one_sync_of_everything() {
    let bytes = noise(3, 1000);
    for seed in 0..40 {
        let disk = fresh(seed);
        write_file_paced(&disk, Path::new(NAME), &[&bytes], &unpaced, false).unwrap();
        disk.sync_all().unwrap();
        assert_eq!(read(&disk.crash(), Path::new(NAME)), bytes, "seed {seed}");
    }
}

#[test]
fn an_error_leaves_no_file_under_the_name() {
    let bytes = noise(3, PIECE_BYTES + 1);
    for op in 0..6 {
        let disk = fresh(9);
        disk.fail_at(disk.op_count() + op, Fault::Errno(5));
        let error = write_file_paced(&disk, Path::new(NAME), &[&bytes], &unpaced, true).unwrap_err();
        assert_eq!(matches!(error, WriteError::Sync(_)), op == 4, "op {op}");
        assert!(!disk.exists(Path::new(NAME)).unwrap(), "op {op}");
    }
}

#[test]
fn a_pace_is_asked_before_each_piece_and_may_give_up() {
    let disk = fresh(5);
    let bytes = noise(4, 2 * PIECE_BYTES + 1);
    let asked = std::cell::RefCell::new(Vec::new());
    let pace = |bytes: usize| {
        asked.borrow_mut().push(bytes);
        if asked.borrow().len() == 5 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        Ok(())
    };
    write_file_paced(&disk, Path::new(NAME), &[&bytes], &pace, true).unwrap();
    assert_eq!(*asked.borrow(), [PIECE_BYTES, PIECE_BYTES, attestore_disk::BLOCK]);
    let before = disk.op_count();
    assert!(write_file_paced(&disk, Path::new("dir/1.seg"), &[&bytes], &pace, true).is_err());
    assert_eq!(disk.op_count() - before, 2, "one file made, one piece written");
    assert!(!disk.exists(Path::new("dir/1.seg")).unwrap());
}

#[test]
fn aligned_pieces_and_others_follow_one_another() {
    let disk = fresh(7);
    let bytes = noise(6, 6 * PIECE_BYTES + 5);
    // Aligned in memory each: the first goes as it is, the third begins inside a piece, the fourth with one again.
    let ends = [
        0,
        2 * PIECE_BYTES,
        2 * PIECE_BYTES + 3,
        4 * PIECE_BYTES,
        bytes.len(),
    ];
    let mut writer = FileWriter::create(&disk, Path::new(NAME), &unpaced).unwrap();
    for ends in ends.windows(2) {
        let mut aligned = AlignedBuf::new();
        aligned.extend_from_slice(&bytes[ends[0]..ends[1]]);
        writer.write(&aligned).unwrap();
    }
    let written = writer.finish(true).unwrap();
    assert_eq!(read(&disk, Path::new(NAME)), bytes);
    assert_eq!(written.checksum, blake3::hash(&bytes).as_bytes()[..16]);
}

#[test]
fn what_was_written_is_told() {
    let disk = fresh(6);
    let bytes = noise(5, 70_001);
    let mut writer = FileWriter::create(&disk, Path::new(NAME), &unpaced).unwrap();
    for part in bytes.chunks(999) {
        writer.write(part).unwrap();
    }
    let written = writer.finish(true).unwrap();
    assert_eq!(written.bytes, 70_001);
    assert_eq!(written.checksum, blake3::hash(&bytes).as_bytes()[..16]);
}
