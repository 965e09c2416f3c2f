//! A tenant's key that is wrong or missing, and frames with as many sections as there can be.

use crate::log::{ALICE, BLOCK, BOB, Log, commit, payloads, tenant_key};
use attestore_wal::{Error, FrameBuilder, Position, ProblemKind, ReplayError, SECTIONS_MAX, file_path};

/// One file whose last frame, which no D is past, has a section of each.
fn log_without_closing_frame() -> Log {
    let mut log = Log::new(11);
    let mut writer = log.begin(Position::START, None).unwrap();
    commit(&mut writer, &[(ALICE, b"one")]).unwrap();
    commit(&mut writer, &[(ALICE, b"two"), (BOB, b"three")]).unwrap();
    log
}

fn assert_key_trouble(log: &Log) {
    let ops = log.disk.op_count();
    let result = log.replay();
    assert!(
        matches!(&result, Err(ReplayError::Key { path, .. }) if *path == file_path(1)),
        "{result:?}"
    );
    let (_, report) = log.scan();
    assert!(report.torn.is_none(), "{report:?}");
    assert!(
        report.problems.iter().all(|p| p.kind == ProblemKind::Key),
        "{report:?}"
    );
    assert!(!report.problems.is_empty());
    assert_eq!(log.disk.op_count(), ops, "nothing was changed");
}

#[test]
fn a_wrong_tenant_key_never_makes_a_torn_tail_of_the_last_frame() {
    for owner in [ALICE, BOB] {
        let mut log = log_without_closing_frame();
        log.keys.spoiled.push(owner);
        assert_key_trouble(&log);
    }
}

#[test]
fn a_section_under_the_tenant_key_before_opens_while_that_is_known() {
    let mut log = log_without_closing_frame();
    log.keys.spoiled.extend([ALICE, BOB]);
    log.keys.replaced.push(ALICE);
    assert_key_trouble(&log);
    log.keys.replaced.push(BOB);
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(payloads(&frames), [b"one".as_slice(), b"two", b"three"]);
    assert!(outcome.torn.is_none());
}

#[test]
fn a_wrong_tenant_key_is_told_although_another_section_of_the_frame_is_torn() {
    let mut log = log_without_closing_frame();
    log.flip(1, 2 * BLOCK + 128, 1); // in the section of ALICE
    log.keys.spoiled.push(BOB);
    assert_key_trouble(&log);
    log.keys.spoiled.clear();
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(payloads(&frames), [b"one"]);
    assert_eq!(outcome.torn.map(|torn| torn.offset), Some(2 * BLOCK));
}

#[test]
fn a_frame_holds_exactly_as_many_sections_as_the_format_can_count() {
    let mut log = Log::new(12);
    log.size = 2048 * BLOCK;
    let mut writer = log.begin(Position::START, None).unwrap();
    let key = tenant_key(&ALICE);
    let mut frame = FrameBuilder::new();
    for _ in 0..SECTIONS_MAX {
        frame.section(ALICE, &key, |buf| buf.push(7));
    }
    writer.commit(&mut frame).unwrap();
    for _ in 0..=SECTIONS_MAX {
        frame.section(ALICE, &key, |buf| buf.push(7));
    }
    assert!(matches!(
        writer.commit(&mut frame),
        Err(Error::TooLarge { sections, .. }) if sections == SECTIONS_MAX + 1
    ));
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!((frames[0].sections.len(), outcome.torn), (SECTIONS_MAX, None));
}
