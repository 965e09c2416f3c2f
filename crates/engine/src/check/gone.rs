//! What was purged or erased whole, against the log and the files: each record that is missing is gone by a control record, each
//! that is gone is in no file, and live, purged and erased records together are all there are.

use std::sync::Arc;

use attestore_record::control::{Control, ErasureScope, Ranges};
use attestore_record::{Entry, Kind};

use super::seqs::Seqs;
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::forget::gone::{Gone, GoneRange, each_entry};
use crate::read::records::Record;
use crate::read::tree::Tree;

/// What is known while records are looked at.
pub(super) struct GoneCheck {
    /// As it was at the beginning.
    gone: Arc<Gone>,
    /// Records that are gone and still in a file.
    held: u64,
    /// What let whole records go.
    controls: Vec<(u64, Control)>,
}

/// How many records there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Records that can be read.
    pub(crate) live: u64,
    pub(crate) purged: u64,
    pub(crate) erased: u64,
}

impl GoneCheck {
    pub(super) fn new(gone: Arc<Gone>) -> Self {
        Self {
            gone,
            held: 0,
            controls: Vec::new(),
        }
    }

    /// Takes up a record that is in a file or in the tail; says what is wrong with that.
    ///
    /// # Errors
    /// Damage when it should be a control and is none.
    pub(super) fn take(&mut self, record: &Record, entry: &Entry) -> Result<Option<&'static str>> {
        if matches!(entry.kind, Kind::Purge | Kind::Erasure) {
            let control = Control::parse(entry.kind, &record.public).map_err(|error| {
                Error::damage("records", record.seq, format!("record {}: {error}", record.seq))
            })?;
            self.controls.push((record.seq, control));
        }
        let Some(range) = self.gone.find(entry.class, record.seq) else {
            return Ok(None);
        };
        self.held += 1;
        Ok(range.swept.then_some("it is gone, and still stored"))
    }

    /// Judges once every record was looked at; `seen` are those that were found, and `gone` is as it is now. Adds what is gone
    /// to `seen`: what is missing then is missing without a reason.
    ///
    /// # Errors
    /// As reads of entries.
    pub(super) fn finish(
        &self,
        gone: &Gone,
        tree: &Tree<'_>,
        seen: &mut Seqs,
        problem: &mut dyn FnMut(String),
    ) -> Result<Tally> {
        let size = seen.size();
        let mut tally = Tally {
            live: seen.count(0..size).saturating_sub(self.held),
            ..Tally::default()
        };
        // What went since the beginning counts as what it was then.
        for (class, range) in gone.iter().filter(|(_, range)| range.by < size) {
            let seqs = range.seqs.start.min(size)..range.seqs.end.min(size);
            let (mut records, mut held) = (0, 0);
            each_entry(tree, class, std::slice::from_ref(&seqs), &mut |seq, _| {
                records += 1;
                held += u64::from(!seen.set(seq) && self.gone.find(class, seq).is_none());
                Ok(())
            })?;
            tally.live = tally.live.saturating_sub(held);
            match range.why {
                Why::Purged => tally.purged += records,
                Why::Erased => tally.erased += records,
            }
            let GoneRange { by, .. } = range;
            if records != range.records || seqs != range.seqs {
                problem(format!(
                    "the catalog says that {} records from {} to {} of class {class} are gone by record {by}; the log has {records}",
                    range.records, range.seqs.start, range.seqs.end
                ));
            }
            if !self.controls.iter().any(|control| lets_go(control, class, range)) {
                problem(format!(
                    "records {} to {} of class {class} are gone by record {by}, which does not say so",
                    range.seqs.start, range.seqs.end
                ));
            }
        }
        for (seq, control) in &self.controls {
            let Some((class, ranges)) = let_go(control) else {
                continue;
            };
            let known = |seqs: &std::ops::Range<u64>| {
                let of_class = |(of, range): &(u16, &GoneRange)| {
                    range.by == *seq && range.seqs == *seqs && class.is_none_or(|class| class == *of)
                };
                gone.iter().any(|one| of_class(&one))
            };
            if let Some(seqs) = ranges.iter().find(|seqs| !known(seqs)) {
                problem(format!(
                    "record {seq} says that records {} to {} are gone, of which the catalog does not know",
                    seqs.start, seqs.end
                ));
            }
        }
        let all = tally.live + tally.purged + tally.erased;
        if seen.first_missing().is_none() && all != size {
            problem(format!(
                "{} live, {} purged and {} erased records are not the {size} of the log",
                tally.live, tally.purged, tally.erased
            ));
        }
        Ok(tally)
    }
}

/// The class and ranges of whole records that a control lets go.
fn let_go(control: &Control) -> Option<(Option<u16>, &Ranges)> {
    match control {
        Control::Purge(purge) => Some((Some(purge.class), &purge.ranges)),
        Control::Erasure(erasure) if erasure.scope == ErasureScope::Records => Some((None, &erasure.ranges)),
        _ => None,
    }
}

/// Whether a control says that a range is gone.
fn lets_go((seq, control): &(u64, Control), class: u16, range: &GoneRange) -> bool {
    let why = match control {
        Control::Purge(_) => Why::Purged,
        _ => Why::Erased,
    };
    let named = let_go(control).filter(|(of, _)| of.is_none_or(|of| of == class));
    *seq == range.by
        && why == range.why
        && named.is_some_and(|(_, ranges)| ranges.find(range.seqs.start) == Some(range.seqs.clone()))
}
