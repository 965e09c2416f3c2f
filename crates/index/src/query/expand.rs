//! From starts, wildcards and ranges to the terms of a split that they stand for.

use std::borrow::Cow;
use std::ops::Bound;

use tantivy::SegmentReader;
use tantivy::schema::{Field, IndexRecordOption};

use super::docs::Collector;
use super::matching::Matching;
use crate::Error;
use crate::schema::Side;

/// Dictionary entries looked at between two questions whether to stop.
const STOP_EVERY: usize = 512;

/// The terms of a field from `start`, which they start with, on.
pub(super) struct Terms<'a> {
    /// What terms start with.
    pub(super) start: Cow<'a, str>,
    /// The rest of a term is not below this.
    pub(super) from: Bound<&'a str>,
    /// The rest of a term is not above this.
    pub(super) to: Bound<&'a str>,
    /// Further says whether the rest is wanted.
    pub(super) accept: &'a dyn Fn(&str) -> bool,
}

impl<'a> Terms<'a> {
    /// All terms that start so.
    pub(super) fn starting(start: impl Into<Cow<'a, str>>) -> Self {
        Self {
            start: start.into(),
            from: Bound::Unbounded,
            to: Bound::Unbounded,
            accept: &|_| true,
        }
    }

    fn lower(&self) -> Bound<Vec<u8>> {
        match self.from {
            Bound::Unbounded => Bound::Included(self.start.as_bytes().to_vec()),
            Bound::Included(rest) => Bound::Included(format!("{}{rest}", self.start).into_bytes()),
            Bound::Excluded(rest) => Bound::Excluded(format!("{}{rest}", self.start).into_bytes()),
        }
    }

    fn upper(&self) -> Bound<Vec<u8>> {
        match self.to {
            Bound::Unbounded => match after(&self.start) {
                Some(end) => Bound::Excluded(end),
                None => Bound::Unbounded,
            },
            Bound::Included(rest) => Bound::Included(format!("{}{rest}", self.start).into_bytes()),
            Bound::Excluded(rest) => Bound::Excluded(format!("{}{rest}", self.start).into_bytes()),
        }
    }
}

/// How far a condition may be expanded.
pub(super) struct Limit<'a> {
    /// Terms that it may stand for.
    pub(super) terms_max: usize,
    /// The condition as the user would recognise it.
    pub(super) shown: &'a str,
    pub(super) stop: &'a dyn Fn() -> bool,
}

impl Limit<'_> {
    pub(super) fn exceeded(&self) -> Error {
        Error::TooBroad {
            clause: self.shown.to_owned(),
            limit: self.terms_max,
        }
    }
}

/// The records with a wanted term, on any of the sides.
pub(super) fn expand(
    reader: &SegmentReader,
    sides: &[Side],
    field: impl Fn(Side) -> Field,
    terms: &Terms<'_>,
    limit: &Limit<'_>,
) -> Result<Matching, Error> {
    let mut docs = Collector::new(reader.max_doc());
    let mut wanted = 0;
    for side in sides {
        let inverted = reader.inverted_index(field(*side))?;
        let mut postings = None;
        each_term(&inverted, terms, limit, &mut |_, info| {
            wanted += 1;
            if wanted > limit.terms_max {
                return Err(limit.exceeded());
            }
            let postings = match &mut postings {
                Some(postings) => {
                    inverted.reset_block_postings_from_terminfo(info, postings)?;
                    postings
                }
                none => {
                    none.insert(inverted.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?)
                }
            };
            while !postings.docs().is_empty() {
                docs.extend(postings.docs());
                postings.advance();
            }
            Ok(())
        })?;
    }
    Ok(docs.finish())
}

/// Calls `each` with the wanted terms of a field, in order.
pub(super) fn each_term(
    inverted: &tantivy::InvertedIndexReader,
    terms: &Terms<'_>,
    limit: &Limit<'_>,
    each: &mut dyn FnMut(&str, &tantivy::postings::TermInfo) -> Result<(), Error>,
) -> Result<(), Error> {
    let (lower, upper) = (terms.lower(), terms.upper());
    if is_empty(&lower, &upper) {
        return Ok(());
    }
    let range = inverted.terms().range();
    let range = match &lower {
        Bound::Included(key) => range.ge(key),
        Bound::Excluded(key) => range.gt(key),
        Bound::Unbounded => range,
    };
    let range = match &upper {
        Bound::Included(key) => range.le(key),
        Bound::Excluded(key) => range.lt(key),
        Bound::Unbounded => range,
    };
    let mut stream = range.into_stream()?;
    let mut seen = 0_usize;
    while let Some((key, info)) = stream.next() {
        seen += 1;
        if seen.is_multiple_of(STOP_EVERY) && (limit.stop)() {
            return Err(Error::Stopped);
        }
        let rest = key
            .strip_prefix(terms.start.as_bytes())
            .and_then(|rest| std::str::from_utf8(rest).ok());
        if let Some(rest) = rest.filter(|rest| (terms.accept)(rest)) {
            each(rest, info)?;
        }
    }
    Ok(())
}

fn is_empty(lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> bool {
    match (lower, upper) {
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (
            Bound::Included(lower) | Bound::Excluded(lower),
            Bound::Included(upper) | Bound::Excluded(upper),
        ) => lower >= upper,
        _ => false,
    }
}

/// The least byte string above all that start with `start`. UTF-8 has no byte of 255.
fn after(start: &str) -> Option<Vec<u8>> {
    let mut bytes = start.as_bytes().to_vec();
    let last = bytes.last_mut()?;
    *last = last.saturating_add(1);
    Some(bytes)
}
