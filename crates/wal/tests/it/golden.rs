//! Bytes of version 1, which every later version reads and this one writes.

use crate::log::{ALICE, BOB, Log, commit, payloads};
use attestore_disk::{Disk, Mode};
use attestore_wal::{Position, file_path};

const GOLDEN: &[u8] = include_bytes!("golden/v1.wal");
const SEED: u64 = 20_260_101;

/// Three blocks: the header, a frame with two sections, a closing frame; then zeros.
fn written() -> Log {
    let mut log = Log::new(SEED);
    let mut writer = log.begin(Position::START, None).unwrap();
    commit(&mut writer, &[(ALICE, b"golden"), (BOB, b"bytes")]).unwrap();
    writer.close_frame().unwrap();
    log
}

#[test]
fn the_writer_writes_the_golden_bytes() {
    let bytes = written().read_file(&file_path(1));
    assert!(
        bytes[..GOLDEN.len()] == *GOLDEN,
        "the format changed: {:02x?}",
        &bytes[..GOLDEN.len()]
    );
}

#[test]
fn replay_reads_the_golden_bytes() {
    let log = written();
    log.disk
        .open(&file_path(1), Mode::ReadWrite)
        .unwrap()
        .set_len(0)
        .unwrap();
    log.overwrite(1, 0, GOLDEN);
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(payloads(&frames), [b"golden".as_slice(), b"bytes"]);
    assert_eq!((frames.len(), outcome.end.offset), (2, GOLDEN.len() as u64));
}
