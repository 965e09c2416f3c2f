//! The rules, on segments that exist in their rows only.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::{GROWTH, OLDER_MS, PARTS_MIN, Plan, Rules, SETS_MAX, WINDOW_MS, bytes, plans};
use crate::catalog::{FileRow, FileType};
use crate::tenant::FileSet;

const NOON_MS: u64 = 20_000 * WINDOW_MS + WINDOW_MS / 2;
const MIB: u64 = 1 << 20;

fn set(number: u64, class: u16, part: bool, length: u64, times: (u64, u64)) -> Arc<FileSet> {
    let path = if part { "l0/1.l0" } else { "tenants/x/1.seg" };
    Arc::new(FileSet {
        set: number,
        class,
        seg: FileRow {
            ty: FileType::Seg,
            set: number,
            generation: 0,
            class,
            path: PathBuf::from(path),
            offset: 0,
            length,
            id: String::new(),
            slot: 0,
            min_seq: number * 100,
            max_seq: number * 100 + 99,
            count: 100,
            min_time_ms: times.0,
            max_time_ms: times.1,
            checksum: String::new(),
            rewrites: 0,
            gone_by: None,
            split: None,
        },
        sub: None,
        idx: None,
    })
}

fn rules(now_ms: u64) -> Rules {
    Rules {
        now_ms,
        bytes_max: 128 * MIB,
        whole: false,
    }
}

fn numbers(plans: &[Plan]) -> Vec<Vec<u64>> {
    let of = |plan: &Plan| plan.sets.iter().map(|set| set.set).collect();
    plans.iter().map(of).collect()
}

/// `count` segments, one a minute.
fn minutes(count: u64, part: bool, length: u64) -> Vec<Arc<FileSet>> {
    let time = |number: u64| NOON_MS + number * 60_000;
    (0..count)
        .map(|number| set(number, 1, part, length, (time(number), time(number) + 59_000)))
        .collect()
}

#[test]
fn an_open_window_waits_until_it_is_worth_it() {
    let growth = usize::try_from(GROWTH).unwrap();
    let sets = minutes(GROWTH, false, 5 * MIB);
    assert_eq!(
        numbers(&plans(&sets[1..], &rules(NOON_MS), |_| false)),
        Vec::<Vec<u64>>::new()
    );
    let found = plans(&sets, &rules(NOON_MS), |_| false);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].sets.len(), growth);
    // Parts wait longer.
    let parts = minutes(PARTS_MIN as u64, true, 900);
    assert_eq!(
        numbers(&plans(&parts[1..], &rules(NOON_MS), |_| false)),
        Vec::<Vec<u64>>::new()
    );
    assert_eq!(plans(&parts, &rules(NOON_MS), |_| false)[0].sets.len(), PARTS_MIN);
}

#[test]
fn a_large_one_is_not_written_again_for_a_few_small_ones() {
    let mut sets = vec![set(0, 1, false, 60 * MIB, (NOON_MS, NOON_MS + 1))];
    sets.extend((1..15).map(|number| set(number, 1, false, MIB, (NOON_MS + number, NOON_MS + number))));
    assert_eq!(
        numbers(&plans(&sets, &rules(NOON_MS + 1000), |_| false)),
        Vec::<Vec<u64>>::new()
    );
    // Once the window is closed the small ones become one, the large one is only packed densely.
    let found = plans(&sets, &rules(NOON_MS + WINDOW_MS), |_| false);
    assert_eq!(numbers(&found), [(0..1).collect::<Vec<_>>(), (1..15).collect()]);
}

#[test]
fn whoever_asks_does_not_wait() {
    let sets = minutes(3, false, MIB);
    let asked = Rules {
        whole: true,
        ..rules(NOON_MS)
    };
    assert_eq!(numbers(&plans(&sets, &asked, |_| false)), [[0, 1, 2]]);
    assert_eq!(numbers(&plans(&sets, &asked, |set| set == 1)), [[0], [2]]);
}

#[test]
fn classes_and_days_stay_apart() {
    let day = |number: u64| NOON_MS + number / 2 * WINDOW_MS;
    let sets: Vec<_> = (0..8)
        .map(|number| {
            set(
                number,
                (number % 2) as u16,
                false,
                1000,
                (day(number / 2), day(number / 2) + 9),
            )
        })
        .collect();
    let found = plans(&sets, &rules(NOON_MS + 3 * WINDOW_MS), |_| false);
    assert_eq!(numbers(&found), [vec![0, 2], vec![4, 6], vec![1, 3], vec![5, 7]]);
}

#[test]
fn what_is_old_and_small_shares_longer_windows() {
    let begin = 64 * WINDOW_MS * 300;
    let sets: Vec<_> = (0..64)
        .map(|day| {
            set(
                day,
                1,
                false,
                1000,
                (begin + day * WINDOW_MS, begin + day * WINDOW_MS + 1),
            )
        })
        .collect();
    let at = |days: u64| plans(&sets, &rules(begin + days * WINDOW_MS), |_| false).len();
    assert_eq!(at(66), 0, "single days");
    assert_eq!(at(64 + 63), 7, "weeks of 8 days, 64 days after they ended");
    assert_eq!(at(64 + 64), 8);
    let old = plans(&sets, &rules(begin + (64 + 8 * 64) * WINDOW_MS), |_| false);
    assert_eq!(old.len(), 1);
    assert_eq!(old[0].sets.len(), 64);
}

fn any_sets() -> impl Strategy<Value = Vec<Arc<FileSet>>> {
    let one = (
        0u16..2,
        any::<bool>(),
        200u64..40 * MIB,
        0u64..WINDOW_MS / 3,
        0u64..WINDOW_MS / 8,
    );
    proptest::collection::vec(one, 0..120).prop_map(|all| {
        let mut time = NOON_MS;
        all.into_iter()
            .zip(0u64..)
            .map(|((class, part, length, gap, span), number)| {
                let first = time + gap;
                time = first + span;
                set(number, class, part, length >> (number % 17), (first, time))
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn plans_keep_every_rule(sets in any_sets(), days in 0u64..800, whole in any::<bool>()) {
        let now_ms = NOON_MS + days * WINDOW_MS;
        let rules = Rules { now_ms, bytes_max: 128 * MIB, whole };
        let found = plans(&sets, &rules, |set| set % 11 == 5);
        let mut seen = std::collections::BTreeSet::new();
        for plan in &found {
            prop_assert!(!plan.sets.is_empty() && plan.sets.len() <= SETS_MAX);
            let (first, last) = (&plan.sets[0], &plan.sets[plan.sets.len() - 1]);
            let span = last.seg.max_time_ms - first.seg.min_time_ms;
            let age = now_ms.saturating_sub(last.seg.max_time_ms);
            if plan.sets.len() > 1 {
                prop_assert!(span <= WINDOW_MS || span <= OLDER_MS[0] && span <= age / 8, "{span} at {age}");
                prop_assert!(plan.sets.iter().map(|set| bytes(set)).sum::<u64>() <= rules.bytes_max);
            }
            // Neighbours in their class, none of them skipped, none in two plans.
            let between: Vec<u64> = sets
                .iter()
                .filter(|set| set.class == plan.class && (first.set..=last.set).contains(&set.set))
                .map(|set| set.set)
                .collect();
            prop_assert_eq!(&between, &plan.sets.iter().map(|set| set.set).collect::<Vec<_>>());
            for set in between {
                prop_assert!(set % 11 != 5 && seen.insert(set));
            }
        }
    }

    /// A record is written again at most once for each time its segment grows by the factor, and once for each window.
    #[test]
    fn amplification_is_bounded(lengths in proptest::collection::vec(2000u64..400_000, 1..400)) {
        let mut sets: Vec<Arc<FileSet>> = Vec::new();
        let mut next = 0;
        let mut compact = |sets: &mut Vec<Arc<FileSet>>, now_ms| {
            let rules = rules(now_ms);
            while let Some(plan) = plans(sets, &rules, |_| false).pop() {
                let (first, last) = (&plan.sets[0], &plan.sets[plan.sets.len() - 1]);
                let mut merged = FileSet::clone(&*set(
                    next,
                    1,
                    false,
                    plan.bytes(),
                    (first.seg.min_time_ms, last.seg.max_time_ms),
                ));
                next += 1;
                merged.seg.min_seq = first.min_seq();
                merged.seg.rewrites = plan.sets.iter().map(|set| set.seg.rewrites).max().unwrap_or(0) + 1;
                sets.retain(|set| !plan.sets.iter().any(|gone| Arc::ptr_eq(gone, set)));
                sets.push(Arc::new(merged));
                sets.sort_by_key(|set| set.seg.min_time_ms);
            }
        };
        let time = |at: usize| NOON_MS + at as u64 * 60_000;
        for (at, length) in lengths.iter().enumerate() {
            sets.push(set(1_000_000 + at as u64, 1, false, *length, (time(at), time(at) + 1)));
            compact(&mut sets, time(at) + 2);
        }
        for days in [2, 100, 1000] {
            compact(&mut sets, NOON_MS + days * WINDOW_MS);
        }
        let most = sets.iter().map(|set| set.seg.rewrites).max().unwrap_or(0);
        // 400 segments grow by 16 at most three times; then one closing for each length of window.
        prop_assert!(most <= 3 + 3, "{most} rewrites");
        prop_assert!(sets.len() <= 4, "{} segments are left", sets.len());
    }
}
