//! The terms of several splits as one split has them.
//!
//! Most terms of an audit log are in one record only: an id of a request, of an event. The library's merger opens the list
//! of each with a decoder for blocks of 128 records, and moves whole decoders about to put terms in order. Here a short list
//! is taken from the bytes as it is, and terms are compared where they are. What is written is what the library would have
//! written.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use tantivy::directory::{CompositeFile, FileSlice, OwnedBytes};
use tantivy::index::{InvertedIndexReader, SegmentComponent};
use tantivy::postings::{FieldSerializer, InvertedIndexSerializer, Postings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::termdict::TermStreamer;
use tantivy::{DocSet, HasLen, TERMINATED};

use super::Split;
use crate::Error;

/// Writes the terms of splits that follow each other: the records of one are numbered after those of the ones before.
pub(super) fn merge(splits: &[&Split], serializer: &mut InvertedIndexSerializer) -> Result<(), Error> {
    let Some(first) = splits.first() else {
        return Err(Error::Empty);
    };
    for (field, entry) in first.reader().schema().fields() {
        if let Some(option) = entry.field_type().get_index_record_option() {
            merge_field(splits, field, option, serializer)?;
        }
    }
    Ok(())
}

fn merge_field(
    splits: &[&Split],
    field: Field,
    option: IndexRecordOption,
    serializer: &mut InvertedIndexSerializer,
) -> Result<(), Error> {
    let indexes: Vec<Arc<InvertedIndexReader>> = splits
        .iter()
        .map(|split| split.reader().inverted_index(field))
        .collect::<Result<_, _>>()?;
    let mut sources = Vec::with_capacity(splits.len());
    let mut records = 0;
    for (split, index) in splits.iter().zip(&indexes) {
        sources.push(Source {
            terms: index.terms().stream()?,
            index,
            lists: Lists::open(split, field)?,
            first: records,
        });
        records += split.reader().max_doc();
    }
    let tokens = indexes.iter().map(|index| index.total_num_tokens()).sum();
    if tokens == 0 {
        return Ok(());
    }
    let mut writer = serializer.new_field(field, tokens, None)?;
    let mut queue = Queue::default();
    for at in 0..sources.len() {
        queue.advance(&mut sources, at);
    }
    let (mut term, mut same, mut places) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(at) = queue.pop(&sources) {
        term.clear();
        term.extend_from_slice(sources[at].terms.key());
        same.clear();
        same.push(at);
        while queue
            .first()
            .is_some_and(|next| sources[next].terms.key() == term)
        {
            same.extend(queue.pop(&sources));
        }
        writer.new_term(&term, 0, option.has_freq())?;
        for &at in &same {
            let source = &mut sources[at];
            if option.has_freq() {
                source.write_placed(option, &mut writer, &mut places)?;
            } else {
                source.write(&mut writer)?;
            }
        }
        writer.close_term()?;
        for &at in &same {
            queue.advance(&mut sources, at);
        }
    }
    writer.close()?;
    Ok(())
}

/// A field of one split.
struct Source<'a> {
    /// The term at hand.
    terms: TermStreamer<'a>,
    index: &'a InvertedIndexReader,
    lists: Lists,
    /// The number that its first record gets.
    first: u32,
}

impl Source<'_> {
    /// Writes which records have the term at hand.
    fn write(&mut self, writer: &mut FieldSerializer<'_>) -> Result<(), Error> {
        let info = self.terms.value();
        if info.doc_freq < BLOCK {
            return self
                .lists
                .each(info, |record| writer.write_doc(self.first + record, 0, &[]));
        }
        let mut block = self
            .index
            .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        let mut left = info.doc_freq as usize;
        while left > 0 {
            let records = block.docs();
            if records.is_empty() {
                return Err(short());
            }
            records
                .iter()
                .for_each(|record| writer.write_doc(self.first + record, 0, &[]));
            left = left.saturating_sub(records.len());
            block.advance();
        }
        Ok(())
    }

    /// Writes which records have the term at hand, and where.
    fn write_placed(
        &mut self,
        option: IndexRecordOption,
        writer: &mut FieldSerializer<'_>,
        places: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let mut list = self
            .index
            .read_postings_from_terminfo(self.terms.value(), option)?;
        while list.doc() != TERMINATED {
            list.positions(places);
            let mut last = 0;
            for place in places.iter_mut() {
                let delta = *place - last;
                last = std::mem::replace(place, delta);
            }
            writer.write_doc(self.first + list.doc(), list.term_freq(), places);
            list.advance();
        }
        Ok(())
    }
}

/// The lists of a field's terms, read in the order of the terms, some at a time.
struct Lists {
    file: FileSlice,
    window: Range<usize>,
    bytes: OwnedBytes,
}

impl Lists {
    fn open(split: &Split, field: Field) -> Result<Self, Error> {
        let file = split.open_read(SegmentComponent::Postings)?;
        let file = CompositeFile::open(&file)?.open_read(field);
        Ok(Self {
            // A field begins with the number of its tokens.
            file: file.map_or_else(FileSlice::empty, |file| {
                file.slice_from(TOKENS_BYTES.min(file.len()))
            }),
            window: 0..0,
            bytes: OwnedBytes::empty(),
        })
    }

    /// Calls `visit` with each record of a list that is not cut into blocks.
    fn each(&mut self, info: &TermInfo, mut visit: impl FnMut(u32)) -> Result<(), Error> {
        let range = info.postings_range.clone();
        let mut bytes = self.get(range)?.iter();
        let mut record = 0u32;
        for _ in 0..info.doc_freq {
            let (mut delta, mut shift) = (0u32, 0);
            loop {
                let byte = *bytes.next().ok_or_else(short)?;
                delta |= u32::from(byte & !LAST).checked_shl(shift).ok_or_else(short)?;
                if byte & LAST != 0 {
                    break;
                }
                shift += 7;
            }
            record = record.checked_add(delta).ok_or_else(short)?;
            visit(record);
        }
        Ok(())
    }

    fn get(&mut self, range: Range<usize>) -> Result<&[u8], Error> {
        if range.start < self.window.start || range.end > self.window.end {
            if range.start > range.end || range.end > self.file.len() {
                return Err(short());
            }
            let end = range
                .end
                .max(range.start.saturating_add(WINDOW_BYTES))
                .min(self.file.len());
            self.window = range.start..end;
            self.bytes = self.file.read_bytes_slice(self.window.clone())?;
        }
        let from = self.window.start;
        self.bytes
            .get(range.start - from..range.end - from)
            .ok_or_else(short)
    }
}

/// Sources by their terms, the lowest first; those with the same one by their order. A heap of places.
#[derive(Default)]
struct Queue(Vec<usize>);

impl Queue {
    fn first(&self) -> Option<usize> {
        self.0.first().copied()
    }

    /// Moves a source on to its next term, and enters it if there is one.
    fn advance(&mut self, sources: &mut [Source<'_>], at: usize) {
        if !sources[at].terms.advance() {
            return;
        }
        self.0.push(at);
        let mut place = self.0.len() - 1;
        while place > 0 {
            let parent = (place - 1) / 2;
            if order(sources, self.0[parent], self.0[place]).is_lt() {
                break;
            }
            self.0.swap(parent, place);
            place = parent;
        }
    }

    fn pop(&mut self, sources: &[Source<'_>]) -> Option<usize> {
        let last = self.0.pop()?;
        let Some(first) = self.0.first_mut() else {
            return Some(last);
        };
        let first = std::mem::replace(first, last);
        let mut place = 0;
        loop {
            let children = place * 2 + 1..(place * 2 + 3).min(self.0.len());
            let Some(least) = children.min_by(|a, b| order(sources, self.0[*a], self.0[*b])) else {
                break;
            };
            if order(sources, self.0[place], self.0[least]).is_lt() {
                break;
            }
            self.0.swap(place, least);
            place = least;
        }
        Some(first)
    }
}

fn order(sources: &[Source<'_>], a: usize, b: usize) -> Ordering {
    sources[a].terms.key().cmp(sources[b].terms.key()).then(a.cmp(&b))
}

fn short() -> Error {
    Error::Malformed("a list of records is not as long as its dictionary says".to_owned())
}

/// Longer lists are cut into blocks of so many records.
const BLOCK: u32 = 128;
const TOKENS_BYTES: usize = 8;
/// The last byte of a number.
const LAST: u8 = 0x80;
/// Bytes of lists that are read at once from each split.
const WINDOW_BYTES: usize = 256 << 10;
