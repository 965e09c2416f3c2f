//! Which records have which terms, gathered record by record, and written in the search library's format.
//!
//! The library's own writer looks every word of every record up in a table of terms. Records repeat each other: most
//! of their strings were seen in records before. Here a string is cut into words once, and seen again costs one look
//! for all of its words. What is written is what the library would have written.
//!
//! # Sides
//! A key has one number, whatever the side. What is noted on the personal side is never written to a field of the
//! public one.

mod keys;
mod strings;
#[cfg(test)]
mod tests;

use std::io;

use tantivy::postings::InvertedIndexSerializer;
use tantivy::schema::Field;

use crate::schema::{Side, fields};
use crate::words;
use keys::Keys;
use strings::Strings;

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An exact value, or that there is one.
    Exact,
    /// A word.
    Word,
}

/// Places between the words of two strings.
const GAP: u32 = 16;

/// The terms of a split in the making.
pub(crate) struct Postings {
    keys: Keys,
    strings: Strings,
    /// By key.
    uses: Vec<[Use; 2]>,
    /// Numbers of keys as they were noted, with the side in the lowest bit.
    log: Vec<u32>,
    /// Where the records end in the log.
    ends: Vec<usize>,
    /// If words have places: the place of each entry of the log.
    places: Option<Vec<u32>>,
    /// The next places in the record at hand.
    next: [u32; 2],
}

/// What is known of a key on one side.
#[derive(Clone, Copy, Default)]
struct Use {
    /// Entries of the log.
    count: u32,
    /// The number of the last record that has the key, counted from 1.
    last: u32,
}

impl Postings {
    /// Makes an empty one.
    pub(crate) fn new(placed: bool) -> Self {
        Self {
            keys: Keys::default(),
            strings: Strings::default(),
            uses: Vec::new(),
            log: Vec::new(),
            ends: Vec::new(),
            places: placed.then(Vec::new),
            next: [0; 2],
        }
    }

    /// Ends the record at hand.
    pub(crate) fn end_record(&mut self) {
        self.ends.push(self.log.len());
        self.next = [0; 2];
    }

    /// The number of an exact value, which is given in parts.
    #[inline]
    pub(crate) fn number(&mut self, parts: &[&str]) -> u32 {
        self.keys.number(Kind::Exact, parts)
    }

    /// The exact value with a number; nothing where it is a word.
    #[inline]
    pub(crate) fn exact(&self, number: u32) -> &[u8] {
        self.keys.of_kind(Kind::Exact, number)
    }

    /// Notes that the record at hand has an exact value.
    #[inline]
    pub(crate) fn note(&mut self, number: u32, side: Side) {
        self.enter(number, side, true);
    }

    /// Notes the words of a readable string. On the personal side, those that the public side has need not be repeated:
    /// who may ask the one asks the other too.
    pub(crate) fn note_words(&mut self, text: &str, side: Side, scratch: &mut String) {
        let Self { keys, strings, .. } = self;
        let place = strings.get(text).unwrap_or_else(|| {
            strings.add(text, |numbers| {
                words::each(text, scratch, |_, word| {
                    numbers.push(keys.number(Kind::Word, &[word]));
                });
            })
        });
        if self.places.is_some()
            && let Some(next) = self.next.get_mut(side as usize)
        {
            *next += GAP;
        }
        for at in place {
            let Some(number) = self.strings.number(at) else {
                continue;
            };
            if self.places.is_some() {
                self.enter(number, side, false);
                if let Some(next) = self.next.get_mut(side as usize) {
                    *next += 1;
                }
            } else if side == Side::Public || !self.has(number, Side::Public) {
                self.enter(number, side, true);
            }
        }
    }

    /// Tells whether the record at hand has a key.
    fn has(&self, number: u32, side: Side) -> bool {
        let used = self.uses.get(number as usize);
        used.is_some_and(|uses| uses[side as usize].last == self.record())
    }

    /// The number of the record at hand, counted from 1.
    fn record(&self) -> u32 {
        u32::try_from(self.ends.len()).map_or(u32::MAX, |ended| ended.saturating_add(1))
    }

    #[inline]
    fn enter(&mut self, number: u32, side: Side, once: bool) {
        let record = self.record();
        let at = number as usize;
        if at >= self.uses.len() {
            self.uses.resize(at + 1, [Use::default(); 2]);
        }
        let used = &mut self.uses[at][side as usize];
        if once && used.last == record {
            return;
        }
        used.last = record;
        used.count += 1;
        self.log.push(number << 1 | side as u32);
        if let Some(places) = &mut self.places {
            places.push(self.next[side as usize]);
        }
    }

    /// Writes everything.
    pub(crate) fn write(&self, serializer: &mut InvertedIndexSerializer) -> io::Result<()> {
        let lists = Lists::new(self);
        let fields = fields();
        for kind in [Kind::Exact, Kind::Word] {
            let sorted = self.keys.sorted(kind);
            for side in [Side::Public, Side::Personal] {
                let field = match kind {
                    Kind::Exact => fields.terms(side),
                    Kind::Word => fields.words(side),
                };
                self.write_field(field, side, kind == Kind::Word, &sorted, &lists, serializer)?;
            }
        }
        Ok(())
    }

    fn write_field(
        &self,
        field: Field,
        side: Side,
        words: bool,
        sorted: &[u32],
        lists: &Lists,
        serializer: &mut InvertedIndexSerializer,
    ) -> io::Result<()> {
        let count = |number: &u32| {
            let uses = self.uses.get(*number as usize);
            uses.map_or(0, |uses| uses[side as usize].count)
        };
        let tokens: u64 = sorted.iter().map(|number| u64::from(count(number))).sum();
        if tokens == 0 {
            return Ok(());
        }
        let mut writer = serializer.new_field(field, tokens, None)?;
        let mut deltas = Vec::new();
        for number in sorted.iter().filter(|number| count(number) > 0) {
            let (records, places) = lists.of(*number, side);
            let Some(places) = places.filter(|_| words) else {
                writer.new_term(self.keys.get(*number), 0, false)?;
                records
                    .iter()
                    .for_each(|record| writer.write_doc(*record, 0, &[]));
                writer.close_term()?;
                continue;
            };
            let distinct = records.chunk_by(|a, b| a == b).count();
            writer.new_term(
                self.keys.get(*number),
                u32::try_from(distinct).unwrap_or(u32::MAX),
                true,
            )?;
            let mut places = places.iter();
            for same in records.chunk_by(|a, b| a == b) {
                let mut last = 0;
                deltas.clear();
                deltas.extend(places.by_ref().take(same.len()).map(|place| {
                    let delta = place - last;
                    last = *place;
                    delta
                }));
                let [record, ..] = same else { continue };
                let frequency = u32::try_from(deltas.len()).unwrap_or(u32::MAX);
                writer.write_doc(*record, frequency, &deltas);
            }
            writer.close_term()?;
        }
        writer.close()
    }

    /// Memory in use, roughly (bytes).
    pub(crate) fn memory(&self) -> usize {
        let places = self.places.as_ref().map_or(0, Vec::capacity);
        self.keys.memory()
            + self.strings.memory()
            + self.uses.capacity() * size_of::<[Use; 2]>()
            + (self.log.capacity() + places) * size_of::<u32>()
            + self.ends.capacity() * size_of::<usize>()
    }
}

/// The log, key by key.
struct Lists {
    /// Where the lists end, by key and side.
    ends: Vec<usize>,
    records: Vec<u32>,
    places: Option<Vec<u32>>,
}

impl Lists {
    fn new(postings: &Postings) -> Self {
        let mut total = 0;
        // Starts at first; each entry that is put in its place moves them on, to the ends at last.
        let mut ends: Vec<usize> = Vec::with_capacity(postings.uses.len() * 2);
        for used in postings.uses.iter().flatten() {
            ends.push(total);
            total += used.count as usize;
        }
        let mut records = vec![0; total];
        let mut places = postings.places.as_ref().map(|_| vec![0; total]);
        let mut from = 0;
        for (record, end) in (0..).zip(&postings.ends) {
            for (at, entry) in (from..).zip(postings.log.get(from..*end).unwrap_or_default()) {
                let to = &mut ends[*entry as usize];
                records[*to] = record;
                if let (Some(places), Some(noted)) = (&mut places, &postings.places) {
                    places[*to] = noted[at];
                }
                *to += 1;
            }
            from = *end;
        }
        Self {
            ends,
            records,
            places,
        }
    }

    /// The records of a key, and the places.
    fn of(&self, number: u32, side: Side) -> (&[u32], Option<&[u32]>) {
        let at = number as usize * 2 + side as usize;
        let end = self.ends.get(at).copied().unwrap_or(0);
        let start = at
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        let places = self.places.as_ref();
        (
            self.records.get(start..end).unwrap_or_default(),
            places.and_then(|places| places.get(start..end)),
        )
    }
}
