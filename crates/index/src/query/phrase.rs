//! Words that stand side by side.

use tantivy::postings::{Postings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, InvertedIndexReader, TERMINATED};

use super::matching::Phrase;
use crate::Error;

/// Walks over the records with all words of a phrase, and tells which have them side by side.
pub(super) struct PhraseCursor {
    words: Vec<SegmentPostings>,
    /// Any of these comes last, if there are any.
    last: Vec<SegmentPostings>,
    /// Places at which the phrase may begin.
    begins: Vec<u32>,
    places: Vec<u32>,
}

impl PhraseCursor {
    pub(super) fn open(phrase: &Phrase) -> Result<Self, Error> {
        let open = |infos: &[TermInfo]| {
            infos
                .iter()
                .map(|info| postings(&phrase.inverted, info))
                .collect::<Result<Vec<_>, Error>>()
        };
        Ok(Self {
            words: open(&phrase.words)?,
            last: open(&phrase.last)?,
            begins: Vec::new(),
            places: Vec::new(),
        })
    }

    /// A record, from `target` on, before which none has all words.
    pub(super) fn next(&mut self, target: DocId) -> DocId {
        let words = self.words.iter_mut().fold(target, |next, word| seek(word, next));
        if self.last.is_empty() || words == TERMINATED {
            return words;
        }
        let last = self.last.iter_mut().map(|word| seek(word, words)).min();
        last.unwrap_or(words)
    }

    /// Tells whether the words stand side by side in a record.
    pub(super) fn contains(&mut self, doc: DocId) -> bool {
        if self.words.iter_mut().any(|word| seek(word, doc) != doc) {
            return false;
        }
        let Self {
            words,
            last,
            begins,
            places,
        } = self;
        begins.clear();
        for (offset, word) in (0u32..).zip(&mut *words) {
            word.positions(places);
            match offset {
                0 => begins.extend_from_slice(places),
                offset => keep_followed(begins, places, offset),
            }
            if begins.is_empty() {
                return false;
            }
        }
        let offset = u32::try_from(words.len()).unwrap_or(u32::MAX);
        last.is_empty()
            || last.iter_mut().any(|word| {
                seek(word, doc) == doc && {
                    word.positions(places);
                    let follows = |begin: &u32| places.binary_search(&begin.saturating_add(offset)).is_ok();
                    begins.iter().any(follows)
                }
            })
    }
}

/// Keeps the places that have one of `places` at a distance of `offset`. Both ascend.
fn keep_followed(begins: &mut Vec<u32>, places: &[u32], offset: u32) {
    let mut ahead = places.iter().peekable();
    begins.retain(|begin| {
        let wanted = begin.saturating_add(offset);
        while ahead.next_if(|place| **place < wanted).is_some() {}
        ahead.peek().is_some_and(|place| **place == wanted)
    });
}

fn seek(word: &mut SegmentPostings, target: DocId) -> DocId {
    match word.doc() {
        doc if doc >= target => doc,
        _ => word.seek(target),
    }
}

fn postings(inverted: &InvertedIndexReader, info: &TermInfo) -> Result<SegmentPostings, Error> {
    let option = IndexRecordOption::WithFreqsAndPositions;
    Ok(inverted.read_postings_from_terminfo(info, option)?)
}
