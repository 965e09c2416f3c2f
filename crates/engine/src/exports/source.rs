//! The records of an export, in order of seq: window by window through the index, or those of given seqs without it.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use attestore_record::Entry;
use attestore_segment::Group;
use hashbrown::HashMap;

use super::api::ExportSpec;
use crate::forget::gone::{self, Filter};
use crate::forget::hidden::Sight;
use crate::instance::Inner;
use crate::read::readers::segment_error;
use crate::read::records::{self, Record, SetKeysOf};
use crate::read::{snapshot, tree};
use crate::search::{Filter as Matching, follow};
use crate::tenant::{FileSet, Tenant, View};
use crate::{Error, Result};

/// What takes up a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    More,
    /// Stop behind this record.
    Enough,
}

/// Which records.
pub(super) enum Pick {
    /// Those of these seqs, which ascend.
    Ranges(Vec<Range<u64>>),
    /// Those that match.
    Matching(Box<Matching>),
}

/// A record that was picked.
pub(super) struct Found<'r> {
    pub(super) record: &'r Record,
    pub(super) entry: Entry,
    /// Whether personal fields of it were erased.
    pub(super) erased: bool,
}

/// Where the records come from.
pub(super) struct Source<'a> {
    inner: &'a Inner,
    tenant: &'a Arc<Tenant>,
    pick: Pick,
    personal: bool,
    sight: Sight,
    /// Seqs that one search looks at.
    window: u64,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Source<'a> {
    /// Makes one.
    pub(super) fn new(
        inner: &'a Inner,
        tenant: &'a Arc<Tenant>,
        pick: Pick,
        personal: bool,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            inner,
            tenant,
            pick,
            personal,
            sight: Sight::ordinary(personal),
            window: WINDOW_RECORDS,
            stop,
        }
    }

    /// The same, for a purpose for which restricted data may be read.
    pub(super) fn for_a_purpose(mut self) -> Self {
        self.sight.purpose = true;
        self
    }

    /// Looks at some of `seqs` from their start on and hands what is picked to `each`; returns the seq to go on from.
    ///
    /// # Errors
    /// As searches and reads; what `each` returns.
    pub(super) fn step(
        &mut self,
        seqs: &Range<u64>,
        each: &mut dyn FnMut(&Found<'_>) -> Result<Flow>,
    ) -> Result<u64> {
        self.tenant.touch(self.inner.clock.boot_ms());
        let tenant = Arc::clone(self.tenant);
        // What was handed on before a snapshot became old is not handed on again.
        let mut next = seqs.start;
        let taken = snapshot(&tenant, |view| {
            let end = seqs.end.min(view.size);
            match &self.pick {
                Pick::Ranges(ranges) => self.listed(ranges, view, end, &mut next, each),
                Pick::Matching(filter) => self.matching(filter, view, end, &mut next, each),
            }
        });
        match taken {
            Ok(()) => {
                self.window = self.window.saturating_mul(2).min(WINDOW_RECORDS);
                Ok(next)
            }
            // What takes too long at once is looked at in smaller pieces.
            Err(Error::Deadline | Error::NotIndexed { .. })
                if self.window > WINDOW_RECORDS_MIN && !(self.stop)() =>
            {
                self.window = (self.window / 8).max(WINDOW_RECORDS_MIN);
                Ok(next)
            }
            Err(error) => Err(error),
        }
    }

    fn matching(
        &self,
        filter: &Matching,
        view: &View,
        end: u64,
        next: &mut u64,
        each: &mut dyn FnMut(&Found<'_>) -> Result<Flow>,
    ) -> Result<()> {
        let window = *next..end.min(next.saturating_add(self.window));
        let found = follow(self.inner, self.tenant, view, filter, window, HITS_MAX, self.stop)?;
        if self.open(view, &found.seqs, next, each)? == Flow::More {
            *next = found.end;
        }
        Ok(())
    }

    fn listed(
        &self,
        ranges: &[Range<u64>],
        view: &View,
        end: u64,
        next: &mut u64,
        each: &mut dyn FnMut(&Found<'_>) -> Result<Flow>,
    ) -> Result<()> {
        let behind = ranges.partition_point(|range| range.end <= *next);
        let ahead = ranges.iter().skip(behind).take_while(|range| range.start < end);
        let seqs = ahead.flat_map(|range| range.start.max(*next)..range.end.min(end));
        let tree = tree::reader(self.inner, self.tenant, view);
        let mut filter = Filter::new(self.tenant, tree.source(), view.size);
        let here = seqs.filter_map(|seq| match filter.is_gone(seq) {
            Ok(true) => None,
            Ok(false) => Some(Ok(seq)),
            Err(error) => Some(Err(error)),
        });
        let seqs: Vec<u64> = here.take(HITS_MAX).collect::<Result<_>>()?;
        if self.open(view, &seqs, next, each)? == Flow::More && seqs.len() < HITS_MAX {
            *next = end;
        }
        Ok(())
    }

    /// Opens records, which ascend, and hands them on.
    fn open(
        &self,
        view: &View,
        seqs: &[u64],
        next: &mut u64,
        each: &mut dyn FnMut(&Found<'_>) -> Result<Flow>,
    ) -> Result<Flow> {
        let in_tail = seqs.partition_point(|seq| *seq < view.flushed_count());
        let (sealed, tail) = seqs.split_at(in_tail);
        let tree = tree::reader(self.inner, self.tenant, view);
        let mut emit = |mut record: Record| {
            self.tenant.hidden.load().mask(&mut record, self.sight);
            let found = self.found(&tree, &record)?;
            let flow = each(&found)?;
            *next = record.seq.saturating_add(1);
            Ok(flow)
        };
        let sets: Vec<&FileSet> = sets_of(view, sealed).collect();
        if is_one_after_the_other(&sets) {
            let mut left = sealed;
            for set in sets {
                let (here, rest) = left.split_at(left.partition_point(|seq| *seq <= set.max_seq()));
                left = rest;
                if self.stream(view, set, here, &mut emit)? == Flow::Enough {
                    return Ok(Flow::Enough);
                }
            }
            if let Some(seq) = left.first() {
                return Err(self.missing(view, *seq));
            }
        } else {
            // Segments of several classes lie over each other: their records come one by one from each.
            for some in sealed.chunks(BATCH_RECORDS) {
                let check = || self.check();
                let opened = records::read_many(self.inner, self.tenant, view, some, self.personal, &check)?;
                for record in opened {
                    if emit(record)? == Flow::Enough {
                        return Ok(Flow::Enough);
                    }
                }
            }
        }
        for seq in tail {
            let record = view.tail.get(*seq).ok_or(Error::UnknownRecord)?;
            if emit(records::from_tail(self.tenant, record, self.personal)?)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }

    /// Opens records of one segment, block by block: of its personal groups each block about once for all of them.
    fn stream(
        &self,
        view: &View,
        set: &FileSet,
        seqs: &[u64],
        emit: &mut dyn FnMut(Record) -> Result<Flow>,
    ) -> Result<Flow> {
        let reader = self.inner.readers.seg(self.inner, self.tenant, &set.seg)?;
        let sub = match self.personal {
            true => records::sub_reader(self.inner, self.tenant, set)?,
            false => None,
        };
        let keys = SetKeysOf(self.tenant);
        let mut scan = sub.as_ref().map(|sub| sub.scanner(&keys));
        let missing = |seq: &u64| self.missing(view, *seq);
        for near in seqs.chunk_by(|a, b| reader.block_of(*a) == reader.block_of(*b)) {
            self.check()?;
            let Some(first) = near.first() else { continue };
            let number = reader.block_of(*first).ok_or_else(|| missing(first))?;
            let mut groups: HashMap<u64, Vec<Group>> = HashMap::new();
            if let Some(scan) = &mut scan {
                let opened = scan.visit_each(near, |seq, group| {
                    groups.entry(seq).or_default().push(group);
                    ControlFlow::Continue(())
                });
                opened.map_err(segment_error)?;
            }
            let block = reader.block(number).map_err(segment_error)?; // the cache is for who comes back
            for seq in near {
                let found = block.get(*seq).ok_or_else(|| missing(seq))?;
                let groups = groups.remove(seq).unwrap_or_default();
                if emit(records::sealed(&reader, set, &found, groups)?)? == Flow::Enough {
                    return Ok(Flow::Enough);
                }
            }
        }
        Ok(Flow::More)
    }

    fn found<'r>(&self, tree: &tree::Reader<'_>, record: &'r Record) -> Result<Found<'r>> {
        let opened = record
            .personal
            .iter()
            .filter(|group| matches!(group, records::Personal::Opened { .. }));
        Ok(Found {
            // A rewrite leaves nothing of an erased group but its commitment.
            erased: self.personal && opened.count() < record.commitments.len(),
            entry: tree.source().entry(record.seq)?,
            record,
        })
    }

    /// Why a record is not where it should be: it went meanwhile, and the next look leaves it out, or it is damage.
    fn missing(&self, view: &View, seq: u64) -> Error {
        let gone = gone::check(self.inner, self.tenant, view, seq);
        gone.err()
            .unwrap_or_else(|| records::missing_record(self.tenant, seq))
    }

    fn check(&self) -> Result<()> {
        match (self.stop)() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

/// The segments that may hold one of `seqs`, which ascend.
fn sets_of<'a>(view: &'a View, seqs: &'a [u64]) -> impl Iterator<Item = &'a FileSet> {
    view.flushed.iter().map(AsRef::as_ref).filter(|set| {
        let at = seqs.partition_point(|seq| *seq < set.min_seq());
        seqs.get(at).is_some_and(|seq| *seq <= set.max_seq())
    })
}

/// Whether segments, ascending by first seq, do not lie over each other.
fn is_one_after_the_other(sets: &[&FileSet]) -> bool {
    let mut pairs = sets.iter().zip(sets.iter().skip(1));
    pairs.all(|(one, next)| one.max_seq() < next.min_seq())
}

/// What a query picks.
///
/// # Errors
/// [`Error::Query`].
pub(super) fn pick(spec: &ExportSpec, personal: bool) -> Result<Pick> {
    if is_everything(spec) {
        let all = 0..u64::MAX;
        return Ok(Pick::Ranges(vec![all]));
    }
    let filter = Matching::parse(&spec.query, personal)?;
    Ok(Pick::Matching(Box::new(filter.between(spec.from_ns, spec.to_ns))))
}

/// Whether every record is asked for.
pub(super) fn is_everything(spec: &ExportSpec) -> bool {
    spec.query.trim().is_empty() && spec.from_ns.is_none() && spec.to_ns.is_none()
}

/// Seqs that one search looks at, at most.
const WINDOW_RECORDS: u64 = 1 << 17;
/// A search that takes too long looks at fewer, down to so many.
const WINDOW_RECORDS_MIN: u64 = 256;
/// Records that are asked for at once, at most.
const HITS_MAX: usize = 1 << 16;
/// Records that are opened at once where they do not come from one segment.
const BATCH_RECORDS: usize = 256;
