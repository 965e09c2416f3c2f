//! Evidence bundles: what is written verifies, alone and by what it says; whatever differs does not.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]

mod support;

use std::collections::BTreeSet;

use attestore_record::HashVersion;
use attestore_record::control::{
    Control, Erasable, Erasure, ErasureScope, Hold, HoldRelease, Purge, PurgeReason, Ranges, RetentionMode,
    RetentionPolicy,
};
use attestore_tlog::{CosignerKey, NoteSigner, Policy};
use attestore_verify::bundle::{
    Archive, BundleError, BundleOptions, BundleReport, RangeFinding, RangeReport, Scope, WriteError,
    ZipWriter, verify_bundle,
};
use attestore_verify::{GroupOpening, Trust, verify_tlog_proof};
use proptest::prelude::*;
use support::{DAY_MS, Key, Log, START_MS, witnessed};

fn log(records: u64) -> Log {
    let mut log = Log::new(HashVersion::Blake3);
    for seq in 0..records {
        let name = (seq % 3 == 0).then_some("u_42");
        log.event(3, START_MS + seq, name, &format!("{{\"n\":{seq}}}"));
    }
    log
}

fn trust(log: &Log) -> Trust {
    Trust::Key(log.key.verifier())
}

fn check(bytes: &[u8], log: &Log) -> Result<BundleReport, BundleError> {
    verify_bundle(bytes, &trust(log), BundleOptions::default())
}

#[test]
fn on_any_number_of_threads_the_first_fault_is_told() {
    let mut log = log(1);
    let text = "lorem ipsum ".repeat(300);
    for n in 0..600 {
        log.event(3, START_MS + n, None, &format!("\"{n} {text}\""));
    }
    let mut bundle = log.bundle(Scope::Set, 0..600).unwrap().out;
    let check = |bundle: &[u8]| {
        let results = [1, 2, 3, 64].map(|threads| {
            let options = BundleOptions {
                threads,
                extract: None,
            };
            verify_bundle(bundle, &trust(&log), options).map_err(|error| error.to_string())
        });
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        results[0].clone()
    };
    assert_eq!(check(&bundle).unwrap().records, 600);
    let length = bundle.len();
    let mut errors = vec![];
    for part in [5, 3, 1] {
        bundle[length * part / 6] ^= 1;
        errors.push(check(&bundle).unwrap_err());
    }
    errors.dedup();
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn a_set_verifies_and_each_record_comes_out_with_a_proof() {
    let log = log(100);
    let made = log.bundle(Scope::Set, [3, 4, 50, 99]).unwrap();
    assert_eq!(made.bytes, u64::try_from(made.out.len()).unwrap());
    for threads in [1, 3] {
        let options = BundleOptions {
            threads,
            extract: Some(50),
        };
        let report = verify_bundle(&made.out, &trust(&log), options).unwrap();
        assert_eq!((report.records, report.proofs, report.size), (4, 4, 100));
        assert_eq!((report.groups_opened, report.groups_withheld), (2, 0));
        assert!(report.is_sound() && report.range.is_none());
        let text = report.extracted.unwrap().to_text();
        assert_eq!(text, log.proof(50).to_text());
        assert_eq!(
            verify_tlog_proof(&text, &log.key.verifier().to_string())
                .unwrap()
                .index,
            50
        );
    }
    let options = BundleOptions {
        threads: 1,
        extract: Some(51),
    };
    assert!(matches!(
        verify_bundle(&made.out, &trust(&log), options),
        Err(BundleError::NoSuchRecord(51))
    ));
    let other = Trust::Key(Key::new(support::ORIGIN, 6).verifier());
    assert!(matches!(
        verify_bundle(&made.out, &other, BundleOptions::default()),
        Err(BundleError::Checkpoint(_))
    ));
}

#[test]
fn the_page_is_safe_and_the_file_opens_as_zip() {
    let mut log = log(2);
    log.event(1, START_MS, None, r#""<script>alert(1)</script>""#);
    let made = log.bundle(Scope::Set, 0..3).unwrap();
    let archive = Archive::open(&made.out).unwrap();
    let page = archive
        .read(archive.find("summary.html").unwrap(), 1 << 20)
        .unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("document.read") && !page.contains("<script") && !page.contains("u_42"));
}

#[test]
fn many_records_need_no_single_proofs() {
    let log = log(1200);
    let made = log.bundle(Scope::Range(0..1200), 0..1200).unwrap();
    let report = check(&made.out, &log).unwrap();
    assert_eq!((report.records, report.proofs), (1200, 0));
    assert_eq!(report.range.unwrap().opened, 1200);
}

#[test]
fn every_flipped_byte_is_refused() {
    let log = log(12);
    let made = log.bundle(Scope::Range(2..7), 2..7).unwrap();
    assert!(check(&made.out, &log).unwrap().is_sound());
    for at in 0..made.out.len() {
        for mask in [0x01, 0x80] {
            let mut damaged = made.out.clone();
            damaged[at] ^= mask;
            assert!(check(&damaged, &log).is_err(), "byte {at} ^ {mask:#x}");
        }
    }
    for length in [0, 1, 97, made.out.len() / 2, made.out.len() - 1] {
        assert!(check(&made.out[..length], &log).is_err(), "cut at {length}");
    }
}

#[test]
fn members_that_are_replaced_or_moved_are_refused() {
    let log = log(12);
    let made = log.bundle(Scope::Set, [2, 5]).unwrap().out;
    let other = log.bundle(Scope::Set, [2, 6]).unwrap().out;
    let archive = Archive::open(&made).unwrap();
    let theirs = Archive::open(&other).unwrap();
    let names: Vec<String> = archive
        .members()
        .iter()
        .map(|member| member.name.clone())
        .collect();
    for (swapped, name) in names.iter().enumerate() {
        let mut zip = ZipWriter::new(Vec::new());
        let mut changed = false;
        for (at, member) in archive.members().iter().enumerate() {
            let own = archive.read(member, 1 << 20).unwrap();
            let their = theirs
                .members()
                .get(at)
                .map(|member| theirs.read(member, 1 << 20).unwrap())
                .unwrap();
            changed |= at == swapped && own != their;
            zip.member(&member.name, if at == swapped { &their } else { &own })
                .unwrap();
        }
        let (bytes, _) = zip.finish().unwrap();
        assert_eq!(check(&bytes, &log).is_err(), changed, "{name}");
    }
    for (left_out, name) in names.iter().enumerate() {
        let mut zip = ZipWriter::new(Vec::new());
        for (at, member) in archive.members().iter().enumerate() {
            if at != left_out {
                zip.member(&member.name, &archive.read(member, 1 << 20).unwrap())
                    .unwrap();
            }
        }
        let (bytes, _) = zip.finish().unwrap();
        // Single proofs only repeat what is proved already.
        assert_eq!(
            check(&bytes, &log).is_err(),
            !name.starts_with("proofs/"),
            "{name}"
        );
    }
}

#[test]
fn a_group_can_be_withheld_by_whoever_passes_the_bundle_on() {
    let mut log = log(8);
    let whole = log.bundle(Scope::Set, [0, 3]).unwrap();
    for seq in [0, 3] {
        let GroupOpening::Opened { salt, bytes } = &log.records[seq].groups[0] else {
            unreachable!()
        };
        let commitment = attestore_record::commitment::group_commitment(log.version, salt, bytes);
        log.records[seq].groups[0] = GroupOpening::Withheld { commitment };
    }
    let redacted = log.bundle(Scope::Set, [0, 3]).unwrap();
    // Only records.bin and the single proofs tell the two apart.
    let (whole_zip, redacted_zip) = (
        Archive::open(&whole.out).unwrap(),
        Archive::open(&redacted.out).unwrap(),
    );
    let mut zip = ZipWriter::new(Vec::new());
    for member in whole_zip
        .members()
        .iter()
        .filter(|member| !member.name.starts_with("proofs/"))
    {
        let from = if member.name == "records.bin" {
            &redacted_zip
        } else {
            &whole_zip
        };
        let source = from.members().iter().find(|m| m.name == member.name).unwrap();
        zip.member(&member.name, &from.read(source, 1 << 20).unwrap())
            .unwrap();
    }
    let (bytes, _) = zip.finish().unwrap();
    let report = check(&bytes, &log).unwrap();
    assert_eq!((report.groups_opened, report.groups_withheld), (0, 2));
}

#[test]
fn a_policy_decides_who_must_have_witnessed() {
    let (log, witness, stranger) = (log(5), Key::new("w.example", 8), Key::new("x.example", 9));
    let key = |key: &Key| CosignerKey::ed25519(&key.0, key.public()).unwrap().to_string();
    let text = format!(
        "log {}\nwitness w {}\nwitness x {}\ngroup any-one any w x\nquorum any-one\n",
        log.key.verifier(),
        key(&witness),
        key(&stranger)
    );
    let policy = Trust::Policy {
        policy: Policy::parse(text.as_bytes()).unwrap(),
        key: None,
    };
    let cosigned = witnessed(&log.checkpoint(), 1_795_312_900, &witness);
    let made = log
        .bundle_with(Scope::Set, 0..5, &cosigned, Some(&text), &[])
        .unwrap();
    let report = verify_bundle(&made.out, &policy, BundleOptions::default()).unwrap();
    assert_eq!(report.witnesses.len(), 1);
    assert_eq!(
        (report.witnesses[0].witness.as_str(), report.witnesses[0].time_s),
        ("w", 1_795_312_900)
    );
    // What the bundle itself proposes is not looked at.
    let made = log
        .bundle_with(Scope::Set, 0..5, &log.checkpoint(), Some("quorum none\n"), &[])
        .unwrap();
    assert!(matches!(
        verify_bundle(&made.out, &policy, BundleOptions::default()),
        Err(BundleError::Checkpoint(
            attestore_verify::TrustError::Quorum { .. }
        ))
    ));
}

#[test]
fn nothing_false_is_written() {
    let log = log(8);
    assert!(matches!(log.bundle(Scope::Set, []), Err(WriteError::Empty)));
    assert!(matches!(
        log.bundle(Scope::Set, [3, 3]),
        Err(WriteError::Order(3))
    ));
    assert!(matches!(
        log.bundle(Scope::Range(4..4), [4]),
        Err(WriteError::Range(8))
    ));
    assert!(matches!(
        log.bundle(Scope::Range(4..9), [4]),
        Err(WriteError::Range(8))
    ));
    let early = log.checkpoint_at(4);
    assert!(matches!(
        log.bundle_with(Scope::Set, [5], &early, None, &[]),
        Err(WriteError::Order(5))
    ));
    let mut forked = self::log(8);
    forked.event(1, START_MS, None, "1");
    let mut other = self::log(8);
    other.event(1, START_MS, None, "2");
    assert!(matches!(
        forked.bundle_with(Scope::Set, [8], &other.checkpoint(), None, &[]),
        Err(WriteError::Root)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_choice_of_records_verifies(size in 1u64..70, picks in proptest::collection::btree_set(0u64..70, 1..30), range in proptest::option::of((0u64..70, 1u64..20))) {
        let log = log(size);
        let mut picks: BTreeSet<u64> = picks.into_iter().map(|p| p % size).collect();
        let scope = match range {
            None => Scope::Query,
            Some((first, count)) => {
                let first = first % size;
                let end = size.min(first + count);
                picks.extend(first..end);
                Scope::Range(first..end)
            }
        };
        let made = log.bundle(scope.clone(), picks.iter().copied()).unwrap();
        let report = check(&made.out, &log).unwrap();
        prop_assert!(report.is_sound());
        prop_assert_eq!(report.records, u64::try_from(picks.len()).unwrap());
        // A range that lacks a record says so.
        if let (Scope::Range(range), true) = (scope, picks.len() > 1) {
            picks.remove(&range.start);
            let made = log.bundle(Scope::Range(range.clone()), picks.iter().copied()).unwrap();
            let report = check(&made.out, &log).unwrap();
            prop_assert_eq!(
                report.range.unwrap().findings,
                vec![RangeFinding::Unexplained { seq: range.start, end: range.start + 1, class: 3 }]
            );
        }
    }
}

fn policy(
    class: u16,
    min_days: u64,
    max_days: Option<u64>,
    mode: RetentionMode,
    erasable: Erasable,
) -> Control {
    Control::RetentionPolicy(RetentionPolicy {
        class,
        name: "access".into(),
        keep_min_ms: min_days * DAY_MS,
        keep_max_ms: max_days.map(|days| days * DAY_MS),
        basis: "contract".into(),
        mode,
        erasable,
        approved_by: vec![],
    })
}

fn purge(
    class: u16,
    policy: u64,
    reason: PurgeReason,
    ranges: &[std::ops::Range<u64>],
    approvals: &[&str],
) -> Control {
    let ranges = Ranges::new(ranges.iter().cloned()).unwrap();
    Control::Purge(Purge {
        class,
        policy,
        reason,
        records: ranges.count(),
        ranges,
        approved_by: approvals.iter().map(|&id| id.into()).collect(),
    })
}

/// A log with a policy at 0, events of class 3 at 1..=10 on day 0, then whatever `after` appends; a bundle of all but 4..8.
fn purged(policy: &Control, after: impl FnOnce(&mut Log)) -> (Log, RangeReport) {
    let mut log = Log::new(HashVersion::Blake3);
    log.control(START_MS, policy);
    for n in 0..10 {
        log.event(3, START_MS + n, None, "{}");
    }
    after(&mut log);
    let size = log.size();
    let seqs = (0..size).filter(|seq| !(4..8).contains(seq));
    let made = log.bundle(Scope::Range(1..size), seqs).unwrap();
    let report = check(&made.out, &log).unwrap();
    let range = report.range.unwrap();
    (log, range)
}

#[test]
fn what_expired_and_was_purged_is_no_gap() {
    let expired = policy(3, 10, Some(30), RetentionMode::Compliance, Erasable::No);
    let (_, range) = purged(&expired, |log| {
        log.control(
            START_MS + 31 * DAY_MS,
            &purge(3, 0, PurgeReason::Expired, &[2..6], &[]),
        );
        log.control(
            START_MS + 32 * DAY_MS,
            &purge(3, 0, PurgeReason::Expired, &[6..9], &[]),
        );
    });
    assert_eq!(range.findings, []);
    assert_eq!((range.opened, range.purged, range.erased), (8, 4, 0));
    // The policy at 0 lies before the range, so its entry is there as a record only.
    assert_eq!(
        (range.reasons_shown_in_force, range.reasons_claimed_in_force),
        (0, 2)
    );
}

#[test]
fn entries_between_policy_and_purge_show_that_nothing_came_between() {
    let mut log = Log::new(HashVersion::HmacSha256);
    log.control(
        START_MS,
        &policy(3, 0, Some(1), RetentionMode::None, Erasable::Yes),
    );
    for _ in 0..6 {
        log.event(3, START_MS, Some("u_1"), "{}");
    }
    let by = log.control(
        START_MS + 2 * DAY_MS,
        &purge(3, 0, PurgeReason::Expired, &[2..4], &[]),
    );
    let seqs = [0, 1, 4, 5, 6, by];
    let made = log
        .bundle_with(Scope::Range(1..7), seqs, &log.checkpoint(), None, &[0..by + 1])
        .unwrap();
    let range = check(&made.out, &log).unwrap().range.unwrap();
    assert_eq!((range.reasons_shown_in_force, range.purged), (1, 2));
    assert_eq!(range.findings, []);
}

#[test]
fn a_hold_may_be_older_than_the_policy() {
    let hold = Control::Hold(Hold {
        hold: "h1".into(),
        ranges: Ranges::default(),
        classes: vec![3],
        reason: "case 7".into(),
    });
    let mut log = Log::new(HashVersion::Blake3);
    log.control(START_MS, &hold);
    log.control(
        START_MS,
        &policy(3, 0, Some(1), RetentionMode::None, Erasable::No),
    );
    for _ in 0..4 {
        log.event(3, START_MS, None, "{}");
    }
    let by = log.control(
        START_MS + 2 * DAY_MS,
        &purge(3, 1, PurgeReason::Expired, &[3..5], &[]),
    );
    let checked = |first: u64, seqs: &[u64]| {
        let made = log
            .bundle(Scope::Range(first..by + 1), seqs.iter().copied())
            .unwrap();
        check(&made.out, &log).unwrap().range.unwrap()
    };
    // Nothing is shown of what came before the policy.
    let range = checked(1, &[1, 2, 5, by]);
    assert_eq!(range.findings, []);
    assert_eq!(
        (range.reasons_shown_in_force, range.reasons_claimed_in_force),
        (0, 1)
    );
    let range = checked(0, &[0, 1, 2, 5, by]);
    assert!(matches!(range.findings[..], [RangeFinding::Held { hold: 0, .. }]));
}

#[test]
fn purges_that_were_not_allowed_are_findings() {
    use PurgeReason::{Expired, Ordered, Override};
    use RetentionMode::{Compliance, Governance, None as Free};
    let at = |days: u64| START_MS + days * DAY_MS;
    // (policy, day of the purge, purge, whether it was allowed)
    let cases = [
        (
            policy(3, 10, Some(30), Free, Erasable::No),
            30,
            purge(3, 0, Expired, &[4..8], &[]),
            false,
        ),
        (
            policy(3, 10, Some(30), Free, Erasable::No),
            31,
            purge(3, 0, Expired, &[4..8], &[]),
            true,
        ),
        (
            policy(3, 10, None, Free, Erasable::No),
            400,
            purge(3, 0, Expired, &[4..8], &[]),
            false,
        ),
        (
            policy(3, 40, Some(30), Free, Erasable::No),
            35,
            purge(3, 0, Expired, &[4..8], &[]),
            false,
        ),
        (
            policy(3, 10, None, Free, Erasable::No),
            9,
            purge(3, 0, Ordered, &[4..8], &[]),
            false,
        ),
        (
            policy(3, 10, None, Free, Erasable::No),
            11,
            purge(3, 0, Ordered, &[4..8], &[]),
            true,
        ),
        (
            policy(3, 10, None, Governance, Erasable::No),
            1,
            purge(3, 0, Override, &[4..8], &["a", "b"]),
            true,
        ),
        (
            policy(3, 10, None, Governance, Erasable::No),
            1,
            purge(3, 0, Override, &[4..8], &["a", "a"]),
            false,
        ),
        (
            policy(3, 10, None, Compliance, Erasable::No),
            1,
            purge(3, 0, Override, &[4..8], &["a", "b"]),
            false,
        ),
        (
            policy(2, 0, Some(1), Free, Erasable::No),
            9,
            purge(3, 0, Expired, &[4..8], &[]),
            false,
        ),
        (
            policy(3, 0, Some(1), Free, Erasable::No),
            9,
            purge(2, 0, Expired, &[4..8], &[]),
            false,
        ),
        (
            policy(3, 0, Some(1), Free, Erasable::No),
            9,
            purge(3, 1, Expired, &[4..8], &[]),
            false,
        ),
        (
            policy(3, 0, Some(1), Free, Erasable::No),
            9,
            purge(3, 0, Expired, &[5..8], &[]),
            false,
        ),
        (
            policy(3, 0, Some(1), Free, Erasable::No),
            9,
            purge(3, 0, Expired, &[4..5, 6..8], &[]),
            false,
        ),
    ];
    for (policy, day, purge, is_allowed) in cases {
        let (_, range) = purged(&policy, |log| {
            log.control(at(day), &purge);
        });
        assert_eq!(
            range.findings.is_empty(),
            is_allowed,
            "{policy:?} {purge:?} {range:?}"
        );
        assert_eq!(range.purged == 4, is_allowed);
    }
}

#[test]
fn a_purge_cannot_cite_a_policy_that_was_replaced() {
    let (_, range) = purged(&policy(3, 0, Some(1), RetentionMode::None, Erasable::No), |log| {
        log.control(
            START_MS,
            &policy(3, 0, Some(90), RetentionMode::None, Erasable::No),
        );
        log.control(
            START_MS + 9 * DAY_MS,
            &purge(3, 0, PurgeReason::Expired, &[4..8], &[]),
        );
    });
    assert_eq!(
        range.findings,
        [RangeFinding::Superseded {
            seq: 4,
            by: 12,
            policy: 0,
            newer: 11
        }]
    );
}

#[test]
fn what_a_policy_locked_stays_locked() {
    use RetentionMode::{Compliance, Governance, None as Free};
    let approved = |policy: Control, by: &[&str]| match policy {
        Control::RetentionPolicy(policy) => Control::RetentionPolicy(RetentionPolicy {
            approved_by: by.iter().map(|&id| id.into()).collect(),
            ..policy
        }),
        other => other,
    };
    let on_order = |policy: u64| purge(3, policy, PurgeReason::Ordered, &[4..8], &[]);
    let weak = || policy(3, 0, Some(1), Free, Erasable::Yes);
    // (policy at 0, the next one at 11, the removal on the third day, whether it was allowed)
    let cases = [
        (
            policy(3, 10, None, Free, Erasable::No),
            weak(),
            on_order(11),
            true,
        ),
        (
            policy(3, 10, None, Governance, Erasable::No),
            weak(),
            on_order(11),
            false,
        ),
        (
            policy(3, 10, None, Governance, Erasable::No),
            approved(weak(), &["a", "a"]),
            on_order(11),
            false,
        ),
        (
            policy(3, 10, None, Governance, Erasable::No),
            approved(weak(), &["a", "b"]),
            on_order(11),
            true,
        ),
        (
            policy(3, 10, None, Governance, Erasable::No),
            weak(),
            purge(3, 11, PurgeReason::Override, &[4..8], &["a", "b"]),
            true,
        ),
        (
            policy(3, 10, None, Compliance, Erasable::No),
            weak(),
            on_order(11),
            false,
        ),
        (
            policy(3, 10, None, Compliance, Erasable::No),
            approved(weak(), &["a", "b"]),
            on_order(11),
            false,
        ),
        (
            policy(3, 10, None, Compliance, Erasable::No),
            approved(policy(3, 1, None, Compliance, Erasable::No), &["a", "b"]),
            on_order(11),
            false,
        ),
        (
            policy(3, 2, None, Compliance, Erasable::Yes),
            policy(3, 3, None, Compliance, Erasable::Yes),
            on_order(11),
            true,
        ),
        (
            policy(3, 2, None, Compliance, Erasable::No),
            weak(),
            erased(11),
            false,
        ),
        (
            policy(3, 2, None, Governance, Erasable::PersonalOnly),
            weak(),
            erased(11),
            false,
        ),
        (
            policy(3, 2, None, Governance, Erasable::Yes),
            weak(),
            erased(11),
            true,
        ),
    ];
    for (first, next, removal, is_allowed) in cases {
        let (_, range) = purged(&first, |log| {
            log.control(START_MS + 20, &next);
            log.control(START_MS + 4 * DAY_MS, &removal);
        });
        let locked = [RangeFinding::NotAllowed {
            seq: 4,
            by: 12,
            policy: 0,
            message: String::new(),
        }];
        let findings: Vec<_> = range
            .findings
            .iter()
            .cloned()
            .map(|finding| match finding {
                RangeFinding::NotAllowed { seq, by, policy, .. } => RangeFinding::NotAllowed {
                    seq,
                    by,
                    policy,
                    message: String::new(),
                },
                other => other,
            })
            .collect();
        let expected = if is_allowed { &[][..] } else { &locked[..] };
        assert_eq!(findings, expected, "{first:?} {next:?} {removal:?}");
    }
}

/// All of the records 4 to 8 erased whole, by one person.
fn erased(policy: u64) -> Control {
    Control::Erasure(Erasure {
        scope: ErasureScope::Records,
        policy: Some(policy),
        ranges: Ranges::new([4..8]).unwrap(),
        records: 4,
        basis: "request".into(),
        approved_by: vec!["a".into()],
    })
}

#[test]
fn holds_win_until_they_are_released() {
    let hold = Control::Hold(Hold {
        hold: "h1".into(),
        ranges: Ranges::new([7..9]).unwrap(),
        classes: vec![],
        reason: "case 7".into(),
    });
    let class_hold = Control::Hold(Hold {
        hold: "h1".into(),
        ranges: Ranges::default(),
        classes: vec![3],
        reason: "case 8".into(),
    });
    let release = Control::HoldRelease(HoldRelease {
        hold: "h1".into(),
        reason: "closed".into(),
        approved_by: vec!["a".into()],
    });
    let free = policy(3, 0, Some(1), RetentionMode::None, Erasable::No);
    let purge = purge(3, 0, PurgeReason::Expired, &[4..8], &[]);
    for (hold, released, held) in [
        (&hold, false, true),
        (&class_hold, false, true),
        (&hold, true, false),
    ] {
        let (_, range) = purged(&free, |log| {
            log.control(START_MS, hold);
            if released {
                log.control(START_MS, &release);
            }
            log.control(START_MS + 9 * DAY_MS, &purge);
        });
        let found = matches!(range.findings.as_slice(), [RangeFinding::Held { hold: 11, .. }]);
        assert_eq!(found, held, "{range:?}");
    }
}

#[test]
fn whole_records_are_erased_only_where_the_class_allows_it() {
    let erasure = |scope, approvals: &[&str]| {
        Control::Erasure(Erasure {
            scope,
            policy: Some(0),
            ranges: Ranges::new([4..8]).unwrap(),
            records: 4,
            basis: "GDPR Art. 17".into(),
            approved_by: approvals.iter().map(|&id| id.into()).collect(),
        })
    };
    let cases = [
        (
            Erasable::Yes,
            RetentionMode::None,
            erasure(ErasureScope::Records, &["a"]),
            true,
        ),
        (
            Erasable::Yes,
            RetentionMode::None,
            erasure(ErasureScope::Records, &[]),
            false,
        ),
        (
            Erasable::Yes,
            RetentionMode::Compliance,
            erasure(ErasureScope::Records, &["a"]),
            false,
        ),
        (
            Erasable::PersonalOnly,
            RetentionMode::None,
            erasure(ErasureScope::Records, &["a"]),
            false,
        ),
        (
            Erasable::Yes,
            RetentionMode::None,
            erasure(ErasureScope::Subject, &["a"]),
            false,
        ),
    ];
    for (erasable, mode, erasure, is_allowed) in cases {
        let (_, range) = purged(&policy(3, 10, None, mode, erasable), |log| {
            log.control(START_MS + DAY_MS, &erasure);
        });
        assert_eq!(
            (range.findings.is_empty(), range.erased == 4),
            (is_allowed, is_allowed),
            "{range:?}"
        );
    }
}

#[test]
fn control_records_never_go() {
    let mut log = log(4);
    log.control(START_MS, &policy(3, 0, None, RetentionMode::None, Erasable::No));
    let made = log.bundle(Scope::Range(0..5), 0..4).unwrap();
    let range = check(&made.out, &log).unwrap().range.unwrap();
    assert_eq!(range.findings, [RangeFinding::ControlGone { seq: 4 }]);
}

#[test]
fn removals_reach_back_only() {
    // A purge that names records behind itself explains nothing of them.
    let mut log = Log::new(HashVersion::Blake3);
    log.control(
        START_MS,
        &policy(3, 0, Some(0), RetentionMode::None, Erasable::No),
    );
    log.control(
        START_MS + DAY_MS,
        &purge(3, 0, PurgeReason::Expired, &[2..5], &[]),
    );
    for _ in 0..4 {
        log.event(3, START_MS, None, "{}");
    }
    let made = log.bundle(Scope::Range(0..6), [0, 1, 5]).unwrap();
    let range = check(&made.out, &log).unwrap().range.unwrap();
    assert_eq!(
        range.findings,
        [RangeFinding::Unexplained {
            seq: 2,
            end: 5,
            class: 3
        }]
    );
}
