//! Which records of a class are meant: segment by segment, so that what concerns whole segments is known without reading anything.

use std::ops::Range;
use std::sync::Arc;

use super::plan::Found;
use crate::error::Result;
use crate::forget::gone::{Gone, each_entry};
use crate::read::tree::Tree;
use crate::tenant::{FileSet, View};

/// What is asked for.
#[derive(Clone, Debug)]
pub(in crate::forget) enum What {
    /// Records received until then, Unix milliseconds; of a segment that has newer ones only if its oldest was received until
    /// `cut_ms`, or if that is absent none.
    Until { until_ms: u64, cut_ms: Option<u64> },
    /// Those of these seqs, ascending and apart.
    Ranges(Vec<Range<u64>>),
}

/// Some records of the class, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    seqs: Range<u64>,
    /// Number of them and time of the last, where that is known without reading.
    known: Option<(u64, u64)>,
    /// Places of the first and the last segment among those of the class, if it begins and ends with them.
    from: Option<usize>,
    to: Option<usize>,
}

/// Records of a class that are meant and not gone: pieces of the log, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces(Vec<Piece>);

/// Finds the records of a class that are meant. Only those in segments: what is in the tail is too new for the schedule, and flushed
/// before an order.
///
/// # Errors
/// As reads of entries.
pub(super) fn pick(tree: &Tree<'_>, view: &View, gone: &Gone, class: u16, what: &What) -> Result<Pieces> {
    let mut pieces = Pieces::default();
    let of_class = view.flushed.iter().filter(|set| set.class == class);
    for (place, set) in of_class.enumerate() {
        for seqs in wanted(tree, set, what)? {
            // What is named is taken as it is named, without what lies between two segments.
            let place = matches!(what, What::Until { .. }).then_some(place);
            pieces.add(gone, class, place, set, seqs);
        }
    }
    Ok(pieces)
}

/// What is meant of one segment, whatever is gone of it.
fn wanted(tree: &Tree<'_>, set: &Arc<FileSet>, what: &What) -> Result<Vec<Range<u64>>> {
    let all = set.min_seq()..set.max_seq().saturating_add(1);
    Ok(match what {
        What::Until { until_ms, .. } if set.seg.max_time_ms <= *until_ms => vec![all],
        What::Until { until_ms, cut_ms } if cut_ms.is_some_and(|cut_ms| set.seg.min_time_ms <= cut_ms) => {
            let end = first_behind(tree, all.clone(), *until_ms)?;
            Some(all.start..end)
                .filter(|seqs| !seqs.is_empty())
                .into_iter()
                .collect()
        }
        What::Until { .. } => Vec::new(),
        What::Ranges(ranges) => {
            let first = ranges.partition_point(|range| range.end <= all.start);
            let touching = ranges
                .iter()
                .skip(first)
                .take_while(|range| range.start < all.end);
            touching
                .map(|range| range.start.max(all.start)..range.end.min(all.end))
                .collect()
        }
    })
}

/// The first seq of a range that was received after a time: times never run backwards.
fn first_behind(tree: &Tree<'_>, seqs: Range<u64>, until_ms: u64) -> Result<u64> {
    let (mut low, mut high) = (seqs.start, seqs.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if tree.entry(middle)?.time_ms <= until_ms {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the first seq to behind the last.
    pub(super) fn hull(&self) -> Range<u64> {
        let end = self.0.last().map_or(0, |piece| piece.seqs.end);
        self.0.first().map_or(0..0, |piece| piece.seqs.start..end)
    }

    fn add(&mut self, gone: &Gone, class: u16, place: Option<usize>, set: &FileSet, seqs: Range<u64>) {
        let away = gone.within(class, &seqs);
        let left = without(&seqs, &away);
        let whole = away.is_empty() && seqs == (set.min_seq()..set.max_seq().saturating_add(1));
        for seqs in left {
            let piece = Piece {
                known: whole.then_some((set.seg.count, set.seg.max_time_ms)),
                from: place.filter(|_| whole),
                to: place.filter(|_| whole),
                seqs,
            };
            match self.0.last_mut() {
                // Between two segments of a class that follow one another there are only records of others, or some that are gone.
                Some(last)
                    if piece.from.is_some()
                        && last.to.map(|to| to + 1) == piece.from
                        && gone.within(class, &(last.seqs.end..piece.seqs.start)).is_empty() =>
                {
                    last.known = last
                        .known
                        .zip(piece.known)
                        .map(|((before, _), (more, newest_ms))| (before + more, newest_ms));
                    last.seqs.end = piece.seqs.end;
                    last.to = piece.to;
                }
                _ => self.0.push(piece),
            }
        }
    }

    /// Takes held records out; returns what of the pieces that was.
    pub(super) fn leave(&mut self, held: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut left = Vec::new();
        let mut kept = Vec::new();
        for piece in std::mem::take(&mut self.0) {
            let first = held.partition_point(|range| range.end <= piece.seqs.start);
            let touching = held
                .iter()
                .skip(first)
                .take_while(|range| range.start < piece.seqs.end);
            let inside: Vec<_> = touching
                .map(|range| range.start.max(piece.seqs.start)..range.end.min(piece.seqs.end))
                .collect();
            if inside.is_empty() {
                left.push(piece);
                continue;
            }
            left.extend(without(&piece.seqs, &inside).into_iter().map(|seqs| Piece {
                seqs,
                known: None,
                from: None,
                to: None,
            }));
            kept.extend(inside);
        }
        self.0 = left;
        kept
    }

    /// Counts what is in the pieces, of which the first `most` are taken.
    ///
    /// # Errors
    /// As reads of entries.
    pub(super) fn count(&self, tree: &Tree<'_>, class: u16, most: usize) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        for piece in &self.0 {
            if found.len() >= most {
                break;
            }
            let (records, newest_ms) = match piece.known {
                Some(known) => known,
                None => {
                    let mut counted = (0, 0);
                    let seqs = std::slice::from_ref(&piece.seqs);
                    each_entry(tree, class, seqs, &mut |_, entry| {
                        counted = (counted.0 + 1, entry.time_ms);
                        Ok(())
                    })?;
                    counted
                }
            };
            if records == 0 {
                continue;
            }
            match found.last_mut() {
                // Apart from each other, as controls have them.
                Some(last) if last.seqs.end == piece.seqs.start => {
                    last.seqs.end = piece.seqs.end;
                    last.records += records;
                    last.newest_ms = newest_ms;
                }
                _ => found.push(Found {
                    seqs: piece.seqs.clone(),
                    records,
                    newest_ms,
                }),
            }
        }
        Ok(found)
    }
}

/// What is left of a range without others, which ascend and lie in it.
fn without(seqs: &Range<u64>, away: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::with_capacity(away.len() + 1);
    let mut at = seqs.start;
    for range in away {
        if at < range.start {
            left.push(at..range.start);
        }
        at = range.end;
    }
    if at < seqs.end {
        left.push(at..seqs.end);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn what_is_left_is_what_was_not_taken() {
        let one = |range| std::iter::once(range).collect::<Vec<_>>();
        assert_eq!(without(&(3..9), &[]), one(3..9));
        assert_eq!(without(&(3..9), &one(3..9)), []);
        assert_eq!(without(&(3..9), &[3..4, 6..7]), [4..6, 7..9]);
        assert_eq!(without(&(3..9), &[4..5, 8..9]), [3..4, 5..8]);
    }
}
