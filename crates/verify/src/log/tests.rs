//! Whole logs: a sound one, and every way of not being sound.

use std::{cell::Cell, collections::BTreeMap};

use attestore_record::{Entry, HashVersion, Kind};
use attestore_tlog::{Checkpoint, Frontier, Hash, TilePath, leaf_hash, resources, sign_checkpoint};
use proptest::prelude::*;

use super::{FINDINGS_MAX, Finding, LogReport, LogSource, LogVerifier, Resource, SourceError};
use crate::proof::tests::{ORIGIN, key, signer};

/// A log in memory whose parts can be damaged.
#[derive(Clone)]
struct Log {
    checkpoint: Option<String>,
    tiles: BTreeMap<(u8, u64, u16), Vec<u8>>,
    entries: BTreeMap<(u64, u16), Vec<[u8; 44]>>,
    reads: Cell<u64>,
}

fn entry(seq: u64) -> [u8; 44] {
    let kind = if seq % 10 == 9 { Kind::Policy } else { Kind::Event };
    let class = u16::try_from(seq % 3).unwrap();
    let mut commitment = [0; 32];
    commitment[..8].copy_from_slice(&seq.to_be_bytes());
    Entry {
        version: HashVersion::Blake3,
        kind,
        class,
        time_ms: 1_000 + seq / 2,
        commitment,
    }
    .to_bytes()
}

fn head(entries: &[[u8; 44]]) -> Checkpoint {
    let mut tree = Frontier::new();
    entries.iter().for_each(|entry| tree.push(leaf_hash(entry)));
    Checkpoint::new(ORIGIN, tree.size(), tree.root()).unwrap()
}

impl Log {
    fn new(size: u64) -> Self {
        Self::of(&(0..size).map(entry).collect::<Vec<_>>())
    }

    fn of(entries: &[[u8; 44]]) -> Self {
        let mut tree = Frontier::new();
        let mut nodes: BTreeMap<(u8, u64), Hash> = BTreeMap::new();
        for (index, entry) in (0..).zip(entries) {
            nodes.insert((0, index), leaf_hash(entry));
            tree.push_with(leaf_hash(entry), |level, index, hash| {
                nodes.insert((level, index), hash);
            });
        }
        let checkpoint = sign_checkpoint(&head(entries), &signer()).unwrap();
        let mut log = Self {
            checkpoint: Some(checkpoint),
            tiles: BTreeMap::new(),
            entries: BTreeMap::new(),
            reads: Cell::new(0),
        };
        for resource in resources(tree.size()) {
            match resource {
                TilePath::Tile(tile) => {
                    let hashes = tile
                        .nodes()
                        .flat_map(|node| nodes[&(tile.level() * 8, node)].0)
                        .collect();
                    log.tiles
                        .insert((tile.level(), tile.index(), tile.width()), hashes);
                }
                TilePath::Entries(bundle) => {
                    let range = bundle.entries();
                    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                    log.entries
                        .insert((bundle.index(), bundle.width()), entries[range].to_vec());
                }
            }
        }
        log
    }

    fn verify(&self) -> LogReport {
        LogVerifier::new(key()).verify(self)
    }

    fn verify_after(&self, saved: Checkpoint) -> LogReport {
        LogVerifier::new(key()).saved(saved).verify(self)
    }
}

impl LogSource for Log {
    fn checkpoint(&self) -> Result<String, SourceError> {
        self.checkpoint.clone().ok_or(SourceError::Absent)
    }

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        self.reads.set(self.reads.get() + 1);
        self.tiles
            .get(&(level, index, width))
            .cloned()
            .ok_or(SourceError::Absent)
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<[u8; 44]>, SourceError> {
        self.reads.set(self.reads.get() + 1);
        self.entries
            .get(&(index, width))
            .cloned()
            .ok_or(SourceError::Absent)
    }
}

#[test]
fn sound_logs_of_all_shapes_are_sound() {
    for size in [0, 1, 2, 9, 255, 256, 257, 513, 65_536, 65_800] {
        let log = Log::new(size);
        let mut progress = vec![];
        let report = LogVerifier::new(key()).verify_with(&log, |entries| progress.push(entries));
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(
            (report.entries, report.tiles),
            (size, u64::try_from(log.tiles.len()).unwrap())
        );
        assert_eq!(
            log.reads.get(),
            u64::try_from(log.tiles.len() + log.entries.len()).unwrap()
        );
        assert_eq!(progress.last().copied().unwrap_or(0), size);
        assert_eq!(report.head.unwrap().size, size);
    }
}

#[test]
fn the_report_counts_kinds_classes_and_times() {
    let report = Log::new(100).verify();
    assert_eq!(report.kinds, BTreeMap::from([("event", 90), ("policy", 10)]));
    assert_eq!(report.classes, BTreeMap::from([(0, 34), (1, 33), (2, 33)]));
    assert_eq!(
        (report.times.first_ms, report.times.last_ms),
        (Some(1_000), Some(1_049))
    );
    assert_eq!(
        (report.times.backwards, report.times.backwards_first_seq),
        (0, None)
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["kinds"]["policy"], 10);
    assert_eq!(json["classes"]["2"], 33);
    assert_eq!(json["head"]["root"], report.head.unwrap().root.to_string());
}

#[test]
fn tiles_are_left_alone_on_request() {
    let mut log = Log::new(300);
    log.tiles.clear();
    let report = LogVerifier::new(key()).without_tiles().verify(&log);
    assert!(report.is_sound() && report.tiles == 0);
}

#[test]
fn every_absent_part_is_a_finding() {
    let sound = Log::new(600);
    for &(level, index, width) in sound.tiles.keys() {
        let mut log = sound.clone();
        log.tiles.remove(&(level, index, width));
        let resource = Resource::Tile { level, index, width };
        assert_eq!(log.verify().findings, [Finding::Absent { resource }]);
    }
    for &(index, width) in sound.entries.keys() {
        let mut log = sound.clone();
        log.entries.remove(&(index, width));
        let report = log.verify();
        let resource = Resource::Entries { index, width };
        assert_eq!(report.findings, [Finding::Absent { resource }]);
        assert!(!report.complete && !report.is_sound());
    }
    let report = Log {
        checkpoint: None,
        ..sound
    }
    .verify();
    assert_eq!(
        report.findings,
        [Finding::Absent {
            resource: Resource::Checkpoint
        }]
    );
    assert!(!report.is_sound());
    assert!(
        !LogReport::default().is_sound(),
        "a report of nothing is not sound"
    );
}

#[test]
fn parts_of_another_length_are_findings() {
    let mut log = Log::new(300);
    log.tiles.get_mut(&(0, 1, 44)).unwrap().pop();
    let resource = Resource::Tile {
        level: 0,
        index: 1,
        width: 44,
    };
    assert_eq!(
        log.verify().findings,
        [Finding::Length {
            resource,
            found: 44 * 32 - 1
        }]
    );
    for change in [-1, 1] {
        let mut log = Log::new(300);
        let entries = log.entries.get_mut(&(1, 44)).unwrap();
        if change < 0 {
            entries.truncate(43)
        } else {
            entries.push(entry(0))
        }
        let resource = Resource::Entries { index: 1, width: 44 };
        let found = 44usize.saturating_add_signed(change);
        let report = log.verify();
        assert_eq!(report.findings, [Finding::Length { resource, found }]);
        assert!(!report.complete);
    }
}

#[test]
fn every_flipped_byte_of_a_tile_is_found_where_it_is() {
    let sound = Log::new(300);
    for (&(level, index, width), bytes) in &sound.tiles {
        for at in (0..bytes.len()).step_by(13) {
            let mut log = sound.clone();
            log.tiles.get_mut(&(level, index, width)).unwrap()[at] ^= 1;
            let resource = Resource::Tile { level, index, width };
            assert_eq!(
                log.verify().findings,
                [Finding::Tile {
                    resource,
                    position: at / 32
                }]
            );
        }
    }
}

#[test]
fn every_flipped_byte_of_an_entry_is_found() {
    let sound = Log::new(20);
    for at in 0..20 * 44 {
        let mut log = sound.clone();
        log.entries.get_mut(&(0, 20)).unwrap()[at / 44][at % 44] ^= 1;
        let report = log.verify();
        assert!(
            report
                .findings
                .iter()
                .any(|finding| matches!(finding, Finding::Root { .. })),
            "byte {at}"
        );
        assert!(
            report
                .findings
                .iter()
                .any(|finding| matches!(finding, Finding::Tile { .. })),
            "byte {at}"
        );
    }
}

#[test]
fn every_flipped_byte_of_the_checkpoint_is_found() {
    let sound = Log::new(20);
    let checkpoint = sound.checkpoint.clone().unwrap();
    for at in 0..checkpoint.len() {
        let mut bytes = checkpoint.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(checkpoint) = String::from_utf8(bytes) else {
            continue;
        };
        let report = Log {
            checkpoint: Some(checkpoint),
            ..sound.clone()
        }
        .verify();
        assert!(
            matches!(report.findings[..], [Finding::Checkpoint { .. }]),
            "byte {at}"
        );
    }
}

#[test]
fn a_log_rebuilt_consistently_around_other_entries_has_another_root() {
    let mut entries: Vec<_> = (0..300).map(entry).collect();
    entries.swap(7, 8);
    let mut log = Log::of(&entries);
    log.checkpoint = Log::new(300).checkpoint;
    assert!(matches!(
        log.verify().findings[..],
        [.., Finding::Root { size: 300, .. }]
    ));
}

#[test]
fn a_saved_checkpoint_must_be_a_prefix() {
    let entries: Vec<_> = (0..300).map(entry).collect();
    let log = Log::of(&entries);
    for size in [0, 1, 200, 256, 300] {
        let report = log.verify_after(head(&entries[..size]));
        assert!(report.is_sound(), "{size}");
        assert!(report.saved.is_some());
    }

    // The operator signs an altered history: sound by itself, not after what was saved.
    let mut altered = entries.clone();
    altered[5][20] ^= 1;
    let log = Log::of(&altered);
    assert!(log.verify().is_sound());
    for size in [6, 200, 300] {
        let report = log.verify_after(head(&entries[..size]));
        assert!(
            matches!(report.findings[..], [Finding::Inconsistent { .. }]),
            "{size}: {report:?}"
        );
    }

    let report = Log::of(&entries[..100]).verify_after(head(&entries));
    assert_eq!(
        report.findings,
        [Finding::Rollback {
            saved: 300,
            size: 100
        }]
    );
    let report = Log::new(0).verify_after(head(&entries[..1]));
    assert_eq!(report.findings, [Finding::Rollback { saved: 1, size: 0 }]);

    let other = Checkpoint::new("attestore.example/other", 100, head(&entries[..100]).root()).unwrap();
    let report = Log::of(&entries).verify_after(other);
    assert_eq!(
        report.findings,
        [Finding::SavedOrigin {
            saved: "attestore.example/other".into()
        }]
    );
}

#[test]
fn times_run_backwards_within_a_class_is_a_finding_across_classes_a_count() {
    let at = |class: u16, time_ms: u64| {
        let entry = Entry {
            version: HashVersion::Blake3,
            kind: Kind::Event,
            class,
            time_ms,
            commitment: [1; 32],
        };
        entry.to_bytes()
    };
    let report = Log::of(&[at(1, 1_234), at(2, 1_000), at(1, 1_240)]).verify();
    assert!(report.is_sound());
    assert_eq!(
        (report.times.backwards, report.times.backwards_first_seq),
        (1, Some(1))
    );

    let report = Log::of(&[at(1, 50), at(2, 60), at(1, 40), at(1, 45)]).verify();
    let backwards = |seq, time_ms| Finding::TimeBackwards {
        seq,
        class: 1,
        time_ms,
        before_ms: 50,
    };
    assert_eq!(report.findings, [backwards(2, 40), backwards(3, 45)]);
    assert_eq!(
        (report.times.backwards, report.times.backwards_first_seq),
        (1, Some(2))
    );
}

#[test]
fn entries_of_unknown_kind_are_findings_and_listed_up_to_a_limit() {
    let mut entries: Vec<_> = (0..300).map(entry).collect();
    entries.iter_mut().take(150).for_each(|entry| entry[1] = 0);
    let report = Log::of(&entries).verify();
    assert_eq!(report.findings.len(), FINDINGS_MAX);
    assert_eq!(report.findings_omitted, 50);
    assert!(matches!(report.findings[0], Finding::Entry { seq: 0, .. }));
    let json = serde_json::to_value(&report.findings[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"reason": "entry", "seq": 0, "error": "unknown entry kind 0"})
    );
    assert!(report.complete && !report.is_sound());
}

#[test]
fn a_huge_claimed_size_ends_at_the_first_absent_bundle() {
    let mut log = Log::new(256);
    let claimed = Checkpoint::new(ORIGIN, 1 << 62, Hash([1; 32])).unwrap();
    log.checkpoint = Some(sign_checkpoint(&claimed, &signer()).unwrap());
    let report = log.verify();
    let resource = Resource::Entries { index: 1, width: 256 };
    assert_eq!(report.findings, [Finding::Absent { resource }]);
    assert_eq!(report.entries, 256);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_one_flip_anywhere_is_found(size in 1u64..700, which: prop::sample::Index, at: prop::sample::Index, bit in 0u8..8) {
        let mut log = Log::new(size);
        let which = which.index(log.tiles.len() + log.entries.len());
        if let Some(tile) = log.tiles.values_mut().nth(which) {
            let at = at.index(tile.len());
            tile[at] ^= 1u8 << bit;
        } else {
            let bundle = log.entries.values_mut().nth(which - log.tiles.len());
            let entries = bundle.unwrap().as_flattened_mut();
            let at = at.index(entries.len());
            entries[at] ^= 1u8 << bit;
        }
        prop_assert!(!log.verify().is_sound());
    }
}
