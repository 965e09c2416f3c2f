//! What replay and scan make of damaged, cut, swapped, recycled and unreadable logs.

use std::path::{Path, PathBuf};

use crate::log::{ALICE, BLOCK, BOB, Log, commit, payloads, tenant_key};
use attestore_disk::{Disk, sim::Fault};
use attestore_wal::{
    Error, FrameBuilder, Outcome, Position, ProblemKind, ReplayError, SectionBody, Writer, file_path,
};
use proptest::prelude::*;

/// One file with three frames of 1, 3 and 1 blocks and a closing frame.
fn closed_log() -> (Log, Writer) {
    let mut log = Log::new(7);
    let mut writer = log.begin(Position::START, None).unwrap();
    commit(&mut writer, &[(ALICE, b"one"), (BOB, b"two")]).unwrap();
    commit(&mut writer, &[(ALICE, &[3; 9000])]).unwrap();
    commit(&mut writer, &[(BOB, b"four")]).unwrap();
    writer.close_frame().unwrap();
    (log, writer)
}

/// Where the frames of [`closed_log`] begin, in blocks, and the closing frame's end.
const STARTS: [u64; 5] = [1, 2, 5, 6, 7];

fn damage_offset(log: &Log) -> Option<(PathBuf, u64)> {
    match log.replay() {
        Err(ReplayError::Damage { path, offset, .. }) => Some((path, offset)),
        _ => None,
    }
}

fn torn_at(outcome: &Outcome) -> Option<u64> {
    outcome.torn.as_ref().map(|torn| torn.offset)
}

#[test]
fn frames_come_back_as_they_were_written() {
    let (log, writer) = closed_log();
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(
        payloads(&frames),
        [b"one".as_slice(), b"two", &[3; 9000], b"four"]
    );
    assert_eq!(
        frames
            .iter()
            .map(|f| f.position.offset / BLOCK)
            .collect::<Vec<_>>(),
        STARTS[..4]
    );
    assert!(frames.iter().all(|f| f.watermark == f.position));
    assert_eq!(frames[0].sections[1].0, BOB);
    assert_eq!((outcome.end, outcome.torn), (writer.watermark(), None));
    assert_eq!((outcome.files[0].frames, outcome.files[0].key_slot), (4, 10));
}

#[test]
fn equal_sections_of_one_owner_are_sealed_differently() {
    let mut log = Log::new(1);
    let mut writer = log.begin(Position::START, None).unwrap();
    commit(&mut writer, &[(ALICE, &[7; 64]), (ALICE, &[7; 64])]).unwrap();
    let frame = log.read_file(&file_path(1))[4096..].to_vec();
    assert_ne!(frame[128..192], frame[192..256]);
    assert_eq!(payloads(&log.replay().unwrap().0), [[7u8; 64], [7; 64]]);
}

#[test]
fn an_empty_disk_is_an_empty_log() {
    let mut log = Log::new(1);
    let (frames, outcome) = log.replay().unwrap();
    assert!(frames.is_empty() && outcome.files.is_empty() && outcome.end == Position::START);
    log.claimed = Some(Position::first_frame(1));
    assert_eq!(damage_offset(&log), Some((file_path(1), 0)));
}

#[test]
fn every_flipped_byte_before_d_is_damage_at_the_frame_it_lies_in() {
    let (log, _) = closed_log();
    for offset in 0..STARTS[3] * BLOCK {
        let mask = 1 << (offset % 8);
        log.flip(1, offset, mask);
        let block = offset / BLOCK;
        let frame = STARTS
            .iter()
            .rev()
            .find(|start| **start <= block)
            .map_or(0, |start| start * BLOCK);
        assert_eq!(damage_offset(&log), Some((file_path(1), frame)), "byte {offset}");
        log.flip(1, offset, mask);
    }
    assert_eq!(log.replay().unwrap().0.len(), 4);
}

#[test]
fn every_flipped_byte_behind_d_is_a_torn_tail_unless_the_catalog_claims_it() {
    let (mut log, _) = closed_log();
    for offset in STARTS[3] * BLOCK..STARTS[4] * BLOCK {
        log.flip(1, offset, 0x40);
        let (frames, outcome) = log.replay().unwrap();
        assert_eq!(
            (frames.len(), torn_at(&outcome)),
            (3, Some(STARTS[3] * BLOCK)),
            "byte {offset}"
        );
        assert_eq!(outcome.end.offset, STARTS[3] * BLOCK);
        log.claimed = Some(Position {
            wal: 1,
            offset: STARTS[4] * BLOCK,
        });
        assert_eq!(
            damage_offset(&log),
            Some((file_path(1), STARTS[3] * BLOCK)),
            "byte {offset}"
        );
        log.claimed = None;
        log.flip(1, offset, 0x40);
    }
}

#[test]
fn a_torn_tail_is_copied_to_quarantine_as_it_was() {
    let (log, _) = closed_log();
    let from = STARTS[4] * BLOCK;
    log.overwrite(1, from + 5000, b"half a write");
    let (_, outcome) = log.replay().unwrap();
    let torn = outcome.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes), (from, 2 * BLOCK));
    let copy = log.read_file(torn.quarantine.as_deref().unwrap());
    assert_eq!(
        torn.quarantine.unwrap(),
        Path::new("quarantine").join(format!("1-{from}"))
    );
    assert_eq!(
        (copy.len() as u64, &copy[5000..5012]),
        (torn.bytes, b"half a write".as_slice())
    );
    let copies = |log: &Log| {
        log.disk
            .crash()
            .paths()
            .iter()
            .filter(|p| p.starts_with("quarantine"))
            .count()
    };
    assert_eq!(copies(&log), 1);
}

#[test]
fn zeros_behind_the_last_frame_are_no_torn_tail() {
    let (log, _) = closed_log();
    log.overwrite(1, STARTS[4] * BLOCK, &[0; 20_000]);
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!((frames.len(), outcome.torn), (4, None));
}

#[test]
fn a_zeroed_frame_before_d_is_damage_and_behind_it_is_cut() {
    let (log, _) = closed_log();
    log.overwrite(1, STARTS[3] * BLOCK, &[0; 4096]);
    assert_eq!(log.replay().unwrap().0.len(), 3);
    log.overwrite(1, STARTS[1] * BLOCK, &[0; 4096]);
    assert_eq!(
        damage_offset(&log),
        Some((file_path(1), STARTS[1] * BLOCK)),
        "the third frame's D is past it"
    );
    log.overwrite(1, STARTS[2] * BLOCK, &[0; 4096]);
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!((frames.len(), torn_at(&outcome)), (1, Some(STARTS[1] * BLOCK)));
}

#[test]
fn a_cut_file_is_damage_when_something_claims_the_rest() {
    let (mut log, writer) = closed_log();
    log.disk
        .open(&file_path(1), attestore_disk::Mode::ReadWrite)
        .unwrap()
        .set_len(STARTS[1] * BLOCK)
        .unwrap();
    assert_eq!(log.replay().unwrap().0.len(), 1, "nothing else knows of the rest");
    log.claimed = Some(writer.watermark());
    assert_eq!(damage_offset(&log), Some((file_path(1), STARTS[1] * BLOCK)));
}

#[test]
fn swapped_and_repeated_frames_are_refused() {
    let (log, _) = closed_log();
    let bytes = log.read_file(&file_path(1));
    let block = |n: u64| &bytes[usize::try_from(n * BLOCK).unwrap()..][..4096];
    log.overwrite(1, STARTS[0] * BLOCK, block(STARTS[2]));
    log.overwrite(1, STARTS[2] * BLOCK, block(STARTS[0]));
    assert_eq!(damage_offset(&log), Some((file_path(1), BLOCK)));
    let (log, _) = closed_log();
    log.overwrite(1, STARTS[4] * BLOCK, block(STARTS[3]));
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!((frames.len(), torn_at(&outcome)), (4, Some(STARTS[4] * BLOCK)));
}

#[test]
fn a_frame_of_another_file_is_refused() {
    let (mut log, writer) = closed_log();
    let mut second = log.begin(writer.watermark(), None).unwrap();
    commit(&mut second, &[(ALICE, b"five")]).unwrap();
    second.close_frame().unwrap();
    let first = log.read_file(&file_path(1));
    log.overwrite(2, BLOCK, &first[4096..8192]);
    assert_eq!(damage_offset(&log), Some((file_path(2), BLOCK)));
}

/// Three files that follow one another.
fn three_files() -> Log {
    let (mut log, writer) = closed_log();
    let mut second = log.begin(writer.watermark(), None).unwrap();
    commit(&mut second, &[(ALICE, b"five")]).unwrap();
    let mut third = log.begin(second.watermark(), None).unwrap();
    commit(&mut third, &[(ALICE, b"six")]).unwrap();
    third.close_frame().unwrap();
    log
}

#[test]
fn a_missing_file_is_damage_unless_it_is_below_what_is_needed() {
    for number in 1..=3 {
        let mut log = three_files();
        log.claimed = Some(Position::first_frame(3));
        log.disk.remove(&file_path(number)).unwrap();
        assert_eq!(damage_offset(&log), Some((file_path(number), 0)));
    }
    let mut log = three_files();
    log.disk.remove(&file_path(1)).unwrap();
    log.low = 2;
    assert_eq!(payloads(&log.replay().unwrap().0), [b"five", b"six".as_slice()]);
}

#[test]
fn a_bad_header_is_damage_also_in_the_newest_file() {
    for number in 1..=3 {
        let log = three_files();
        log.flip(number, 70, 1);
        assert_eq!(damage_offset(&log), Some((file_path(number), 0)));
    }
}

#[test]
fn the_last_frame_of_a_finished_file_is_known_to_the_next_file() {
    let log = three_files();
    log.flip(2, BLOCK + 200, 1); // file 2 has no closing frame
    assert_eq!(damage_offset(&log), Some((file_path(2), BLOCK)));
}

#[test]
fn what_lies_behind_the_end_that_the_next_file_names_is_ignored() {
    let (mut log, mut writer) = closed_log();
    let end = writer.watermark();
    commit(&mut writer, &[(ALICE, b"cut by the recovery")]).unwrap();
    let mut second = log.begin(end, None).unwrap();
    commit(&mut second, &[(ALICE, b"five")]).unwrap();
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(payloads(&frames).last().unwrap(), b"five");
    assert_eq!((frames.len(), outcome.torn, outcome.files.len()), (5, None, 2));
    log.claimed = Some(writer.watermark());
    assert_eq!(
        damage_offset(&log),
        Some((file_path(1), end.offset)),
        "the catalog says it was synced"
    );
}

#[test]
fn an_authentic_file_that_the_log_goes_past_is_damage() {
    let (mut log, writer) = closed_log();
    log.begin(writer.watermark(), None).unwrap();
    log.begin(writer.watermark(), None).unwrap();
    assert_eq!(damage_offset(&log), Some((file_path(2), 0)));
}

#[test]
fn a_renamed_file_is_refused() {
    let (log, _) = closed_log();
    log.disk.rename(&file_path(1), &file_path(2)).unwrap();
    assert_eq!(damage_offset(&log), Some((file_path(2), 0)));
}

#[test]
fn stale_frames_of_a_recycled_file_are_not_frames_and_no_torn_tail() {
    let (mut log, writer) = closed_log();
    log.low = 2;
    let mut second = log.begin(writer.watermark(), Some(&file_path(1))).unwrap();
    commit(&mut second, &[(ALICE, b"five")]).unwrap();
    assert!(!log.disk.exists(&file_path(1)).unwrap());
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(
        (payloads(&frames), outcome.torn),
        (vec![b"five".as_slice()], None)
    );
    let flip_at = second.watermark().offset + 3 * BLOCK + 130;
    log.flip(2, BLOCK + 130, 1);
    log.flip(2, flip_at, 1);
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(
        (frames.len(), outcome.torn.unwrap().bytes),
        (0, BLOCK),
        "an unfinished frame of this file is one"
    );
}

#[test]
fn a_wrong_or_missing_key_is_no_damage_and_changes_nothing() {
    let spoil: [fn(&mut Log); 4] = [
        |log| log.keys.forget_file(20),
        |log| log.keys.spoil_file(20),
        |log| log.keys.missing.push(BOB),
        |log| log.keys.spoil_file(10),
    ];
    for (case, spoil) in spoil.into_iter().enumerate() {
        let mut log = three_files();
        spoil(&mut log);
        let ops = log.disk.op_count();
        let result = log.replay();
        assert!(
            matches!(result, Err(ReplayError::Key { .. })),
            "case {case}: {result:?}"
        );
        let (_, report) = log.scan();
        assert!(
            report.problems.iter().any(|p| p.kind == ProblemKind::Key),
            "case {case}: {report:?}"
        );
        assert_eq!(log.disk.op_count(), ops);
    }
}

#[test]
fn sections_of_a_destroyed_tenant_are_skipped() {
    let (mut log, _) = closed_log();
    log.keys.destroyed.push(BOB);
    let (frames, _) = log.replay().unwrap();
    assert_eq!(
        frames[0].sections,
        [
            (ALICE, SectionBody::Bytes(b"one".to_vec())),
            (BOB, SectionBody::Destroyed)
        ]
    );
    assert_eq!(frames.len(), 4);
}

#[test]
fn a_read_error_is_neither_damage_nor_the_end() {
    for offset in [10, BLOCK + 10, STARTS[3] * BLOCK + 10, STARTS[4] * BLOCK + 10] {
        let (log, _) = closed_log();
        log.disk.read_error_at(file_path(1), offset..offset + 1).unwrap();
        assert!(
            matches!(log.replay(), Err(ReplayError::Io { .. })),
            "offset {offset}"
        );
    }
}

#[test]
fn scan_reports_every_problem_and_changes_nothing() {
    let log = three_files();
    for (wal, offset) in [
        (1, STARTS[0] * BLOCK + 300),
        (1, STARTS[2] * BLOCK + 10),
        (2, BLOCK),
        (3, 4096 + 2000),
    ] {
        log.flip(wal, offset, 1);
    }
    let ops = log.disk.op_count();
    let (frames, report) = log.scan();
    let found: Vec<_> = report
        .problems
        .iter()
        .map(|p| (p.path.clone(), p.offset, p.kind))
        .collect();
    let damage = |wal, block| (file_path(wal), block * BLOCK, ProblemKind::Damage);
    assert_eq!(
        found,
        [
            damage(1, STARTS[0]),
            damage(1, STARTS[2]),
            damage(2, 1),
            damage(3, 1)
        ]
    );
    assert_eq!(payloads(&frames), [[3u8; 9000].as_slice()]);
    assert_eq!(log.disk.op_count(), ops);
    let (frames, report) = three_files().scan();
    assert!(report.problems.is_empty() && frames.len() == 7, "{report:?}");
}

#[test]
fn a_full_file_refuses_a_frame_and_keeps_room_for_a_closing_one() {
    let mut log = Log::new(1);
    let mut writer = log.begin(Position::START, None).unwrap();
    while writer.fits(BLOCK) {
        commit(&mut writer, &[(ALICE, b"x")]).unwrap();
    }
    let mut frame = FrameBuilder::new();
    frame.section(ALICE, &tenant_key(&ALICE), |buf| buf.extend_from_slice(b"kept"));
    assert!(matches!(
        writer.commit(&mut frame),
        Err(Error::Full {
            needed: BLOCK,
            remaining: 0
        })
    ));
    writer.close_frame().unwrap();
    assert!(matches!(writer.close_frame(), Err(Error::Full { .. })));
    let mut next = log.begin(writer.watermark(), None).unwrap();
    next.commit(&mut frame).unwrap();
    assert!(frame.is_empty());
    assert_eq!(payloads(&log.replay().unwrap().0).last().unwrap(), b"kept");
}

#[test]
fn after_a_failed_write_the_writer_refuses_everything() {
    let (log, mut writer) = closed_log();
    log.disk.fail_at(log.disk.op_count(), Fault::Errno(5));
    assert!(matches!(commit(&mut writer, &[(ALICE, b"x")]), Err(Error::Io(_))));
    let ops = log.disk.op_count();
    assert!(matches!(
        commit(&mut writer, &[(ALICE, b"y")]),
        Err(Error::Poisoned)
    ));
    assert!(matches!(writer.close_frame(), Err(Error::Poisoned)));
    assert!(writer.is_poisoned() && log.disk.op_count() == ops);
}

#[test]
fn what_a_replay_found_has_a_durable_name_afterwards() {
    for seed in 0..32 {
        let mut log = Log::new(seed);
        log.disk.fail_at(7, Fault::Errno(5)); // the sync of the folder after the file got its name
        assert!(matches!(log.begin(Position::START, None), Err(Error::Io(_))));
        assert_eq!(log.disk.op_count(), 8, "the fault hit another operation");
        let (_, outcome) = log.replay().unwrap();
        assert_eq!(outcome.end, Position::first_frame(1));
        log.disk.sync_dir(Path::new("")).unwrap();
        assert!(log.disk.crash().exists(&file_path(1)).unwrap(), "seed {seed}");
    }
}

#[test]
fn a_file_is_never_created_over_another() {
    let (mut log, writer) = closed_log();
    log.next_number = 2;
    log.begin(writer.watermark(), None).unwrap();
    log.next_number = 2;
    assert!(matches!(
        log.begin(writer.watermark(), None),
        Err(Error::Exists { number: 2 })
    ));
}

#[test]
fn too_little_space_is_an_error_and_leaves_the_log_as_it_was() {
    let (mut log, writer) = closed_log();
    log.disk.set_capacity(log.size + 5 * BLOCK);
    assert!(
        matches!(log.begin(writer.watermark(), None), Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::StorageFull)
    );
    assert_eq!(log.replay().unwrap().0.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_sections_come_back(
        frames in proptest::collection::vec(
            proptest::collection::vec((any::<[u8; 16]>(), proptest::collection::vec(any::<u8>(), 0..5000)), 0..5),
            0..6,
        ),
        seed: u64,
    ) {
        let mut log = Log::new(seed);
        log.size = 64 * BLOCK;
        let mut writer = log.begin(Position::START, None).unwrap();
        for frame in &frames {
            let sections: Vec<_> = frame.iter().map(|(owner, bytes)| (*owner, bytes.as_slice())).collect();
            commit(&mut writer, &sections).unwrap();
        }
        let (found, outcome) = log.replay().unwrap();
        prop_assert_eq!(outcome.end, writer.watermark());
        prop_assert_eq!(outcome.torn, None);
        let found: Vec<Vec<_>> = found.into_iter().map(|frame| frame.sections).collect();
        let wanted: Vec<Vec<_>> = frames
            .into_iter()
            .map(|frame| frame.into_iter().map(|(owner, bytes)| (owner, SectionBody::Bytes(bytes))).collect())
            .collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn no_bytes_panic_the_header_parsers(mut bytes in proptest::collection::vec(any::<u8>(), 0..5000), fix: bool) {
        if fix && bytes.len() >= 128 {
            bytes[..5].copy_from_slice(b"AFRM\x01");
            let crc = crc32fast::hash(&bytes[..124]);
            bytes[124..128].copy_from_slice(&crc.to_le_bytes());
        }
        let _ = attestore_wal::parse_file_header(&bytes);
        if let Ok(header) = attestore_wal::parse_frame_header(&bytes) {
            prop_assert!(u64::from(header.length).is_multiple_of(BLOCK) && header.payload <= header.length);
        }
    }
}
