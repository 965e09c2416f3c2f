//! Which segments are put together. Pure: a function of a tenant's segments and the time.
//!
//! Only neighbours of one class are put together, and only if all their records were received within one window, so that
//! retention still drops whole files. Windows grow with age: a day, 8 days, 64 days; one of `w` days is used for what is
//! older than 8 `w` days, so a record is never kept longer than an eighth of its age for the sake of its neighbours (or a
//! day).
//!
//! While a window is open, neighbours are put together when the result is [`GROWTH`] times the largest of them: that bounds
//! how often a record is written again by the logarithm of what a segment may grow to. Once it is closed, what is still
//! small is put together once more.

use std::sync::Arc;

use crate::tenant::FileSet;

/// Segments that become one.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) class: u16,
    /// Ascending, without another one of their class in between.
    pub(super) sets: Vec<Arc<FileSet>>,
}

/// What decides besides the segments themselves.
pub(super) struct Rules {
    pub(super) now_ms: u64,
    /// Bytes of records and personal groups in one segment, at most.
    pub(super) bytes_max: u64,
    /// Whether open windows count as closed: somebody asked.
    pub(super) whole: bool,
}

impl Plan {
    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.sets
            .iter()
            .flat_map(|set| set.files())
            .map(|row| row.length)
            .sum()
    }

    /// Records in all of them.
    pub(super) fn records(&self) -> u64 {
        self.sets.iter().map(|set| set.seg.count).sum()
    }
}

/// Returns everything that should be done now, disjoint, in no particular order. Segments for which `skip` says so stay as
/// they are.
pub(super) fn plans(sets: &[Arc<FileSet>], rules: &Rules, skip: impl Fn(u64) -> bool) -> Vec<Plan> {
    let mut classes: Vec<u16> = sets.iter().map(|set| set.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let mut plans = Vec::new();
    for class in classes {
        let of_class: Vec<&Arc<FileSet>> = sets.iter().filter(|set| set.class == class).collect();
        for usable in of_class.split(|set| skip(set.set)) {
            for group in usable.chunk_by(|left, right| rules.window(left) == rules.window(right)) {
                let Some(window) = group.first().map(|set| rules.window(set)) else {
                    continue;
                };
                let runs = match window.closed {
                    true => closed(group, rules, &window),
                    false => open(group, rules, &window),
                };
                plans.extend(runs.into_iter().map(|run| Plan {
                    class,
                    sets: run.iter().map(|set| Arc::clone(set)).collect(),
                }));
            }
        }
    }
    plans
}

/// A window of time: by the receipt of a segment's last record.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Window {
    length_ms: u64,
    number: u64,
    closed: bool,
}

impl Rules {
    fn window(&self, set: &FileSet) -> Window {
        let last_ms = set.seg.max_time_ms;
        let of = |length_ms: u64, wait_ms: u64| {
            let number = last_ms / length_ms;
            let end_ms = (number + 1).saturating_mul(length_ms);
            Window {
                length_ms,
                number,
                closed: self.now_ms >= end_ms.saturating_add(wait_ms),
            }
        };
        let old = OLDER_MS
            .into_iter()
            .map(|length_ms| of(length_ms, AGE_WINDOWS * length_ms))
            .find(|window| window.closed);
        old.unwrap_or_else(|| {
            let window = of(WINDOW_MS, GRACE_MS);
            Window {
                closed: window.closed || self.whole,
                ..window
            }
        })
    }

    fn is_small(&self, set: &FileSet) -> bool {
        set.seg.is_part() || bytes(set) < self.bytes_max / 4
    }
}

type Run<'a> = &'a [&'a Arc<FileSet>];

/// In an open window: runs that become [`GROWTH`] times as large as their largest.
fn open<'a>(group: Run<'a>, rules: &Rules, window: &Window) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < group.len() {
        let rest = group.get(start..).unwrap_or_default();
        match longest(rest, rules, window) {
            Some(run) => {
                start += run.len();
                runs.push(run);
            }
            None => start += 1,
        }
    }
    runs
}

/// The longest run from the first on that is worth it.
fn longest<'a>(sets: Run<'a>, rules: &Rules, window: &Window) -> Option<Run<'a>> {
    let mut sum = Sum::default();
    let mut found = None;
    for (at, set) in sets.iter().enumerate() {
        if !sum.add(set, rules, window) {
            break;
        }
        let count = at + 1;
        let grows = match sum.own {
            // Parts lie in shared files and are cheap to keep for a while.
            false => count >= PARTS_MIN,
            true => sum.bytes >= GROWTH * sum.largest,
        };
        if grows {
            found = sets.get(..count);
        }
    }
    found
}

/// In a closed window: everything small that fits together.
fn closed<'a>(group: Run<'a>, rules: &Rules, window: &Window) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for small in group.split_inclusive(|set| !rules.is_small(set)) {
        // What ends a run of small ones is not small, and is left alone if it was written densely once.
        let (small, large) = match small.split_last() {
            Some((last, before)) if !rules.is_small(last) => (before, small.get(before.len()..)),
            _ => (small, None),
        };
        runs.extend(fitting(small, rules, window));
        runs.extend(large);
    }
    runs.retain(|run| run.len() > 1 || run.first().is_some_and(|set| is_loose(set)));
    runs
}

/// Cuts small neighbours into runs that fit.
fn fitting<'a>(mut small: Run<'a>, rules: &Rules, window: &Window) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    while !small.is_empty() {
        let mut sum = Sum::default();
        let fit = small
            .iter()
            .take_while(|set| sum.add(set, rules, window))
            .count()
            .max(1);
        let (run, rest) = small.split_at(fit);
        runs.push(run);
        small = rest;
    }
    runs
}

/// Whether a segment is worth writing again all by itself: once, to get it out of a shared file, or packed densely.
fn is_loose(set: &FileSet) -> bool {
    set.seg.is_part() || set.seg.rewrites == 0 && set.seg.length >= REPACKED_MIN
}

/// What a run comes to.
#[derive(Default)]
struct Sum {
    bytes: u64,
    largest: u64,
    split_bytes: u64,
    count: usize,
    first_ms: Option<u64>,
    /// Whether it holds a segment with files of its own.
    own: bool,
}

impl Sum {
    /// Adds a segment unless it would be too much.
    fn add(&mut self, set: &FileSet, rules: &Rules, window: &Window) -> bool {
        let first_ms = self.first_ms.unwrap_or(set.seg.min_time_ms);
        let own_bytes = bytes(set);
        let split_bytes = set
            .idx
            .as_ref()
            .map_or(set.seg.count.saturating_mul(SPLIT_BYTES_TYPICAL), |row| {
                row.length
            });
        let too_much = self.bytes.saturating_add(own_bytes) > rules.bytes_max
            || self.split_bytes.saturating_add(split_bytes) > SPLIT_BYTES_MAX
            || set.seg.max_time_ms.saturating_sub(first_ms) > window.length_ms;
        if self.count > 0 && too_much || self.count >= SETS_MAX {
            return false;
        }
        self.first_ms = Some(first_ms);
        self.bytes += own_bytes;
        self.split_bytes += split_bytes;
        self.largest = self.largest.max(own_bytes);
        self.count += 1;
        self.own |= !set.seg.is_part();
        true
    }
}

/// Bytes of a segment's records, public and personal.
fn bytes(set: &FileSet) -> u64 {
    set.seg.length + set.sub.as_ref().map_or(0, |row| row.length)
}

/// Length of a window, milliseconds: no compacted segment spans more, unless it is old.
pub(crate) const WINDOW_MS: u64 = 24 * 3_600_000;
/// Windows of what is older, the longest first.
const OLDER_MS: [u64; 2] = [64 * WINDOW_MS, 8 * WINDOW_MS];
/// A longer window is used once it ended this many times its length ago.
const AGE_WINDOWS: u64 = 8;
/// A window counts as closed this long after its end: by then its records are flushed.
const GRACE_MS: u64 = 3_600_000;
/// How much larger than its largest part a segment has to become while its window is open.
const GROWTH: u64 = 16;
/// Parts of shared files that are put together while their window is open.
const PARTS_MIN: usize = 64;
/// Segments that become one, at most: their tables and descriptors are held at once.
const SETS_MAX: usize = 256;
/// Bytes of splits that are merged into one, at most: that is done in memory.
const SPLIT_BYTES_MAX: u64 = 96 << 20;
/// What a record takes in a split, about, if that is not known.
const SPLIT_BYTES_TYPICAL: u64 = 150;
/// A lone segment is packed again if it has more bytes than a block.
const REPACKED_MIN: u64 = 128 << 10;

#[cfg(test)]
mod tests;
