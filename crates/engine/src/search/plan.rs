//! What there is to ask for a search: every record of the snapshot once.

use std::{ops::Range, sync::Arc, time::Instant};

use attestore_index::{Order, Split};

use super::{
    execute::Run,
    loose,
    request::{Explain, micros},
    tail,
};
use crate::{
    error::{Error, Result},
    tenant::FileSet,
};

/// Something to ask, for the seqs in `seqs` only.
pub(super) struct Place {
    pub(super) seqs: Range<u64>,
    /// What of them is passed over.
    pub(super) without: Arc<[Range<u64>]>,
    pub(super) held: Held,
}

/// Where the records of a place are.
pub(super) enum Held {
    /// In a split in memory.
    Open(Split),
    /// In a segment, which has a split or ought to have one.
    Sealed(Arc<FileSet>),
}

/// Returns everything there is to ask of the records `seqs`, nearest first in the order asked for. Together the places
/// hold each of them once, but for those that are not in the window by what is known of their place.
///
/// # Errors
/// The deadline, while the newest records are indexed; why they cannot be.
pub(super) fn places(run: &Run<'_>, seqs: Range<u64>, explain: &mut Explain) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    let mut parts = Vec::new();
    for set in run.view.flushed.iter() {
        if set.seg.is_part() {
            parts.push(Arc::clone(set));
            continue;
        }
        match set.idx {
            Some(_) => explain.sealed_splits += 1,
            None => explain.bare_segments += 1,
        }
        if is_outside(run, set) || set.min_seq() >= seqs.end || set.max_seq() < seqs.start {
            explain.pruned += 1;
            continue;
        }
        if run.gone.covers(set) {
            continue;
        }
        places.push(Place {
            seqs: set.min_seq()..set.max_seq().saturating_add(1),
            without: run.gone.of_set(set).into(),
            held: Held::Sealed(Arc::clone(set)),
        });
    }
    let begin = Instant::now();
    if !parts
        .iter()
        .any(|part| part.min_seq() < seqs.end && part.max_seq() >= seqs.start)
    {
        parts.clear();
    }
    let loose = loose::covering(run.inner, run.tenant, run.view, &parts)?;
    let tail = seqs.start.max(run.view.tail.start())..seqs.end.min(run.view.tail.end());
    // Moved past this snapshot: the error makes the caller take a newer one.
    let fresh = tail::covering(run.inner, run.tenant, run.view, tail.clone(), &|| run.check())?
        .ok_or_else(|| Error::Io("the tail was flushed meanwhile".to_owned()))?;
    explain.phases.tail_us += micros(begin);
    for part in loose.iter().cloned() {
        places.push(Place {
            seqs: part.seqs,
            without: Arc::default(),
            held: Held::Open(part.split),
        });
    }
    for part in fresh {
        places.push(Place {
            seqs: part.seqs.start.max(tail.start)..part.seqs.end.min(tail.end),
            without: Arc::default(),
            held: Held::Open(part.split),
        });
    }
    explain.memory_splits += places
        .iter()
        .filter(|place| matches!(place.held, Held::Open(_)))
        .count() as u64;
    match run.request.order {
        Order::Newest => places.sort_by_key(|place| std::cmp::Reverse(place.seqs.end)),
        Order::Oldest => places.sort_by_key(|place| place.seqs.start),
    }
    Ok(places)
}

/// Whether no record of a segment is in the window, by what its split says in its row.
fn is_outside(run: &Run<'_>, set: &FileSet) -> bool {
    let Some(split) = set.idx.as_ref().and_then(|row| row.split.as_ref()) else {
        return false;
    };
    run.request
        .from_ns
        .is_some_and(|from| from > split.max_occurred_ns)
        || run.request.to_ns.is_some_and(|to| to <= split.min_occurred_ns)
}
