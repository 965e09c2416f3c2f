//! The records of an export, in order of seq: window by window through the index, or all there are without it.

use std::ops::Range;
use std::sync::Arc;

use super::api::ExportSpec;
use crate::instance::Inner;
use crate::read::{RecordView, rebuilt, records, snapshot, tree};
use crate::search::{Filter, follow};
use crate::tenant::{Tenant, View};
use crate::{Error, Result};

/// What takes up a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    More,
    /// Stop behind this record.
    Enough,
}

/// A record that matches.
pub(super) struct Found {
    pub(super) view: RecordView,
    /// Whether personal fields of it were erased.
    pub(super) erased: bool,
}

/// Where the records come from.
pub(super) struct Source<'a> {
    inner: &'a Inner,
    tenant: &'a Arc<Tenant>,
    /// `None`: every record.
    filter: Option<Filter>,
    personal: bool,
    /// Seqs that one search looks at.
    window: u64,
    /// Records that are opened at once.
    batch: usize,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Source<'a> {
    /// Makes one.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub(super) fn new(
        inner: &'a Inner,
        tenant: &'a Arc<Tenant>,
        spec: &ExportSpec,
        personal: bool,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        Ok(Self {
            inner,
            tenant,
            filter: filter(spec, personal)?,
            personal,
            window: WINDOW_RECORDS,
            batch: BATCH_MIN,
            stop,
        })
    }

    /// Looks at some of `seqs` from their start on and hands matches to `each`; returns the seq to go on from.
    ///
    /// # Errors
    /// As searches and reads; what `each` returns.
    pub(super) fn step(
        &mut self,
        seqs: &Range<u64>,
        each: &mut dyn FnMut(&Found) -> Result<Flow>,
    ) -> Result<u64> {
        self.tenant.touch(self.inner.clock.boot_ms());
        let tenant = Arc::clone(self.tenant);
        // What was handed on before a snapshot became old is not handed on again.
        let mut next = seqs.start;
        let taken = snapshot(&tenant, |view| {
            let end = seqs.end.min(view.size);
            match self.filter.take() {
                None => self.all(view, end, &mut next, each),
                Some(filter) => {
                    let taken = self.matching(&filter, view, end, &mut next, each);
                    self.filter = Some(filter);
                    taken
                }
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
        &mut self,
        filter: &Filter,
        view: &View,
        end: u64,
        next: &mut u64,
        each: &mut dyn FnMut(&Found) -> Result<Flow>,
    ) -> Result<()> {
        let window = *next..end.min(next.saturating_add(self.window));
        let found = follow(self.inner, self.tenant, view, filter, window, HITS_MAX, self.stop)?;
        let mut seqs = found.seqs.as_slice();
        while !seqs.is_empty() {
            let (some, rest) = seqs.split_at(self.batch.min(seqs.len()));
            if self.open(view, some, next, each)? == Flow::Enough {
                return Ok(());
            }
            seqs = rest;
        }
        *next = found.end;
        Ok(())
    }

    fn all(
        &mut self,
        view: &View,
        end: u64,
        next: &mut u64,
        each: &mut dyn FnMut(&Found) -> Result<Flow>,
    ) -> Result<()> {
        let until = end.min(next.saturating_add(self.batch as u64));
        let seqs: Vec<u64> = (*next..until).collect();
        self.open(view, &seqs, next, each).map(drop)
    }

    /// Opens records and hands them on.
    fn open(
        &mut self,
        view: &View,
        seqs: &[u64],
        next: &mut u64,
        each: &mut dyn FnMut(&Found) -> Result<Flow>,
    ) -> Result<Flow> {
        let check = || match (self.stop)() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        };
        let records = records::read_many(self.inner, self.tenant, view, seqs, self.personal, &check)?;
        let tree = tree::reader(self.inner, self.tenant, view);
        let mut bytes = 0;
        for record in &records {
            let entry = tree.source().entry(record.seq)?;
            let opened = record
                .personal
                .iter()
                .filter(|group| matches!(group, records::Personal::Opened { .. }));
            let found = Found {
                // A rewrite leaves nothing of an erased group but its commitment.
                erased: self.personal && opened.count() < record.commitments.len(),
                view: rebuilt(self.tenant, &entry, record)?,
            };
            bytes += found.view.event.len();
            let flow = each(&found)?;
            *next = record.seq.saturating_add(1);
            if flow == Flow::Enough {
                return Ok(flow);
            }
        }
        // Few large records are opened at once, or many small ones.
        self.batch = if bytes > BATCH_BYTES {
            (self.batch / 2).max(BATCH_MIN)
        } else {
            (self.batch * 2).min(BATCH_MAX)
        };
        Ok(Flow::More)
    }
}

/// What is to be searched for; `None` for everything.
///
/// # Errors
/// [`Error::Query`].
pub(super) fn filter(spec: &ExportSpec, personal: bool) -> Result<Option<Filter>> {
    if is_everything(spec) {
        return Ok(None);
    }
    let filter = Filter::parse(&spec.query, personal)?;
    Ok(Some(filter.between(spec.from_ns, spec.to_ns)))
}

/// Whether every record is asked for.
pub(super) fn is_everything(spec: &ExportSpec) -> bool {
    spec.query.trim().is_empty() && spec.from_ns.is_none() && spec.to_ns.is_none()
}

/// Seqs that one search looks at, at most.
const WINDOW_RECORDS: u64 = 1 << 17;
/// A search that takes too long looks at fewer, down to so many.
const WINDOW_RECORDS_MIN: u64 = 256;
/// Matches that one search returns, at most.
const HITS_MAX: usize = 1 << 16;
/// Records that are opened at once.
const BATCH_MIN: usize = 16;
const BATCH_MAX: usize = 2048;
/// Above so many bytes of events, fewer are opened at once.
const BATCH_BYTES: usize = 2 << 20;
