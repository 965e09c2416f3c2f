//! Walking over the records that match, window by window.
//!
//! A window is a bit for each of [`WINDOW`] records in a row. Windows in which nothing can match are jumped over. In the
//! others the rarest condition sets bits and the rest clear some: word by word where there are many bits, record by record
//! where there are few. No condition ever works longer than a window takes before it can be told to stop.

use std::ops::Range;
use std::sync::Arc;

use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, TERMINATED};

use super::docs::Set;
use super::matching::{Matching, Posted};
use super::phrase::PhraseCursor;
use super::ranged::Ranged;
use crate::Error;

/// Records of a window.
pub(crate) const WINDOW: u32 = 1024;
const WORDS: usize = WINDOW as usize / 64;
/// A condition with this many times as many records as there are bits is asked record by record.
const APART: u64 = 8;
/// How often conditions that must all hold let each other jump ahead before a window is looked at.
const ROUNDS: usize = 4;

/// A bit for each record of a window, the lowest bit first.
pub(crate) type Bits = [u64; WORDS];

/// Walks over a range of records.
pub(crate) struct Cursor {
    part: Part,
    docs: Range<DocId>,
}

impl Cursor {
    /// Starts at the first of `docs`.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub(crate) fn open(matching: &Matching, docs: Range<DocId>, max_doc: u32) -> Result<Self, Error> {
        Ok(Self {
            part: Part::open(matching, max_doc)?,
            docs,
        })
    }

    /// Returns the next window that may have records: its first record, and bits for those that match.
    pub(crate) fn next_window(&mut self) -> Option<(DocId, Bits)> {
        let next = self.part.next(self.docs.start);
        if next >= self.docs.end {
            self.docs.start = self.docs.end;
            return None;
        }
        let base = next / WINDOW * WINDOW;
        let mut bits = [0; WORDS];
        self.part.fill(base, &mut bits);
        keep_from(&mut bits, self.docs.start.saturating_sub(base));
        keep_below(&mut bits, self.docs.end - base);
        self.docs.start = base.saturating_add(WINDOW).min(self.docs.end);
        Some((base, bits))
    }

    /// Tells of each of `docs`, which ascend from call to call, whether it matches.
    pub(crate) fn contains(&mut self, doc: DocId) -> bool {
        self.part.contains(doc)
    }
}

/// Calls `each` with the records of a window.
pub(crate) fn each_doc(base: DocId, bits: &Bits, mut each: impl FnMut(DocId)) {
    for (number, word) in (0u32..).zip(bits) {
        let mut rest = *word;
        while rest != 0 {
            each(base + number * 64 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
}

/// How many records of a window match.
pub(crate) fn count(bits: &Bits) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}

fn keep_from(bits: &mut Bits, first: u32) {
    for (number, word) in (0u32..).zip(bits) {
        match first.saturating_sub(number * 64) {
            0 => break,
            64.. => *word = 0,
            low => *word &= u64::MAX << low,
        }
    }
}

fn keep_below(bits: &mut Bits, end: u32) {
    for (number, word) in (0u32..).zip(bits) {
        match end.saturating_sub(number * 64) {
            0 => *word = 0,
            64.. => {}
            low => *word &= u64::MAX >> (64 - low),
        }
    }
}

fn set(bits: &mut Bits, offset: u32) {
    if let Some(word) = bits.get_mut(offset as usize / 64) {
        *word |= 1 << (offset % 64);
    }
}

/// Keeps the bits of which `holds` says so.
fn keep_each(base: DocId, bits: &mut Bits, mut holds: impl FnMut(DocId) -> bool) {
    for (number, word) in (0u32..).zip(bits) {
        let mut rest = *word;
        while rest != 0 {
            let low = rest.trailing_zeros();
            rest &= rest - 1;
            if !holds(base + number * 64 + low) {
                *word &= !(1 << low);
            }
        }
    }
}

/// One condition, somewhere in the split. It is only ever asked about records that ascend.
enum Part {
    None,
    All(u32),
    Term(Box<TermCursor>),
    Set(Set),
    Ranged {
        of: Arc<dyn Ranged>,
        found: Vec<DocId>,
        max_doc: u32,
    },
    Phrase(Box<PhraseCursor>),
    And {
        all: Vec<Part>,
        not: Vec<Part>,
    },
    Or(Vec<Part>),
}

impl Part {
    fn open(matching: &Matching, max_doc: u32) -> Result<Self, Error> {
        let each = |parts: &[Matching]| {
            parts
                .iter()
                .map(|part| Self::open(part, max_doc))
                .collect::<Result<Vec<_>, Error>>()
        };
        Ok(match matching {
            Matching::None => Self::None,
            Matching::All => Self::All(max_doc),
            Matching::Term(posted) => Self::Term(Box::new(TermCursor::open(posted, max_doc)?)),
            Matching::Set(set) => Self::Set(set.clone()),
            Matching::Ranged(of) => Self::Ranged {
                of: Arc::clone(of),
                found: Vec::new(),
                max_doc,
            },
            Matching::Phrase(phrase) => Self::Phrase(Box::new(PhraseCursor::open(phrase)?)),
            Matching::And(all, not) => {
                let mut all = each(all)?;
                if all.is_empty() {
                    all.push(Self::All(max_doc));
                }
                Self::And { all, not: each(not)? }
            }
            Matching::Or(any) => Self::Or(each(any)?),
        })
    }

    /// A record, from `target` on, before which none matches; [`TERMINATED`] if none does.
    fn next(&mut self, target: DocId) -> DocId {
        match self {
            Self::None => TERMINATED,
            Self::All(max_doc) | Self::Ranged { max_doc, .. } => {
                if target < *max_doc {
                    target
                } else {
                    TERMINATED
                }
            }
            Self::Term(term) => term.seek(target),
            Self::Set(set) => set.from(target),
            Self::Phrase(phrase) => phrase.next(target),
            Self::And { all, .. } => {
                let mut next = target;
                for _ in 0..ROUNDS {
                    let before = next;
                    for part in &mut *all {
                        next = part.next(next);
                        if next == TERMINATED {
                            return TERMINATED;
                        }
                    }
                    if next == before {
                        break;
                    }
                }
                next
            }
            Self::Or(any) => any
                .iter_mut()
                .map(|part| part.next(target))
                .min()
                .unwrap_or(TERMINATED),
        }
    }

    /// Sets the bits of the records from `base` on that match.
    fn fill(&mut self, base: DocId, bits: &mut Bits) {
        let end = base.saturating_add(WINDOW);
        match self {
            Self::None => {}
            Self::All(max_doc) => {
                let mut all = [u64::MAX; WORDS];
                keep_below(&mut all, max_doc.saturating_sub(base));
                join(bits, &all);
            }
            Self::Term(term) => term.fill(base, bits),
            Self::Set(Set::Bits(words)) => {
                let words = words.get(base as usize / 64..).unwrap_or_default();
                for (word, own) in bits.iter_mut().zip(words) {
                    *word |= own;
                }
            }
            Self::Set(Set::List(list)) => {
                let first = list.partition_point(|doc| *doc < base);
                let ahead = list.get(first..).unwrap_or_default();
                ahead
                    .iter()
                    .take_while(|doc| **doc < end)
                    .for_each(|doc| set(bits, doc - base));
            }
            Self::Set(Set::Span(span)) => {
                let mut all = [u64::MAX; WORDS];
                keep_from(&mut all, span.start.saturating_sub(base));
                keep_below(&mut all, span.end.saturating_sub(base));
                join(bits, &all);
            }
            Self::Ranged { of, found, max_doc } => {
                of.among(base..end.min(*max_doc), found);
                found.iter().for_each(|doc| set(bits, doc - base));
            }
            Self::Phrase(phrase) => {
                let mut doc = phrase.next(base);
                while doc < end {
                    if phrase.contains(doc) {
                        set(bits, doc - base);
                    }
                    doc = phrase.next(doc + 1);
                }
            }
            Self::And { all, not } => {
                let mut own = [0; WORDS];
                let mut rest = all.iter_mut();
                if let Some(lead) = rest.next() {
                    lead.fill(base, &mut own);
                }
                rest.for_each(|part| part.retain(base, &mut own));
                not.iter_mut().for_each(|part| part.remove(base, &mut own));
                join(bits, &own);
            }
            Self::Or(any) => any.iter_mut().for_each(|part| part.fill(base, bits)),
        }
    }

    /// Clears the bits of records that do not match.
    fn retain(&mut self, base: DocId, bits: &mut Bits) {
        match (self.is_asked_apart(bits), &mut *self) {
            (None, _) => {}
            (Some(true), part) => keep_each(base, bits, |doc| part.contains(doc)),
            (Some(false), Self::And { all, not }) => {
                all.iter_mut().for_each(|part| part.retain(base, bits));
                not.iter_mut().for_each(|part| part.remove(base, bits));
            }
            (Some(false), part) => {
                let mut own = [0; WORDS];
                part.fill(base, &mut own);
                bits.iter_mut().zip(own).for_each(|(word, own)| *word &= own);
            }
        }
    }

    /// Clears the bits of records that match.
    fn remove(&mut self, base: DocId, bits: &mut Bits) {
        match self.is_asked_apart(bits) {
            None => {}
            Some(true) => keep_each(base, bits, |doc| !self.contains(doc)),
            Some(false) => {
                let mut own = [0; WORDS];
                self.fill(base, &mut own);
                bits.iter_mut().zip(own).for_each(|(word, own)| *word &= !own);
            }
        }
    }

    /// Whether it is cheaper to ask for each bit apart; `None` without bits.
    fn is_asked_apart(&self, bits: &Bits) -> Option<bool> {
        match count(bits) {
            0 => None,
            bits => Some(bits.saturating_mul(APART) <= self.in_window()),
        }
    }

    /// About what a window of it takes, in records of postings.
    fn in_window(&self) -> u64 {
        let window = u64::from(WINDOW);
        match self {
            Self::None | Self::Set(_) => 0,
            Self::All(_) => APART,
            Self::Term(term) => term.in_window,
            Self::Ranged { .. } => window,
            // Places are read for each record.
            Self::Phrase(_) => window * window,
            Self::And { all, .. } => all.iter().map(Self::in_window).max().unwrap_or(0),
            Self::Or(any) => any.iter().map(Self::in_window).sum(),
        }
    }

    fn contains(&mut self, doc: DocId) -> bool {
        match self {
            Self::None => false,
            Self::All(max_doc) => doc < *max_doc,
            Self::Term(term) => term.seek(doc) == doc,
            Self::Set(set) => set.from(doc) == doc,
            Self::Ranged { of, max_doc, .. } => doc < *max_doc && of.contains(doc),
            Self::Phrase(phrase) => phrase.contains(doc),
            Self::And { all, not } => {
                all.iter_mut().all(|part| part.contains(doc))
                    && !not.iter_mut().any(|part| part.contains(doc))
            }
            Self::Or(any) => any.iter_mut().any(|part| part.contains(doc)),
        }
    }
}

fn join(bits: &mut Bits, own: &Bits) {
    bits.iter_mut().zip(own).for_each(|(word, own)| *word |= own);
}

/// Walks over the records of a term.
struct TermCursor {
    postings: BlockSegmentPostings,
    /// Place in the block.
    at: usize,
    /// Records per window, about.
    in_window: u64,
}

impl TermCursor {
    fn open(posted: &Posted, max_doc: u32) -> Result<Self, Error> {
        let postings = posted
            .inverted
            .read_block_postings_from_terminfo(&posted.info, IndexRecordOption::Basic)?;
        let in_window = u64::from(posted.info.doc_freq) * u64::from(WINDOW) / u64::from(max_doc.max(1));
        Ok(Self {
            postings,
            at: 0,
            in_window,
        })
    }

    fn doc(&self) -> DocId {
        self.postings.doc(self.at)
    }

    /// The first record from `target` on, or where the cursor already is.
    fn seek(&mut self, target: DocId) -> DocId {
        let doc = self.doc();
        if doc >= target {
            return doc;
        }
        self.at = self.postings.seek(target);
        self.doc()
    }

    fn fill(&mut self, base: DocId, bits: &mut Bits) {
        let end = base.saturating_add(WINDOW);
        if self.seek(base) >= end {
            return;
        }
        loop {
            let docs = self.postings.docs();
            let ahead = docs.get(self.at..).unwrap_or_default();
            let within = match ahead.last() {
                Some(last) if *last < end => ahead.len(),
                _ => ahead.partition_point(|doc| *doc < end),
            };
            ahead.iter().take(within).for_each(|doc| set(bits, doc - base));
            self.at += within;
            if self.at < docs.len() || docs.len() < BLOCK {
                return;
            }
            self.postings.advance();
            self.at = 0;
        }
    }
}

/// Records of a full block of postings.
const BLOCK: usize = 128;
