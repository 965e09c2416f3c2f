//! Numbering the buckets of one split.
//!
//! A bucket is a bucket above it and a value of a column; its number is where its count, and whatever is below it, lies. While
//! values are few, or most of them occur, numbers are kept in a table by value, else in a hash map.

use hashbrown::HashMap;

use super::Budget;
use crate::Error;

/// No bucket yet.
pub(super) const NONE: u32 = u32::MAX;
/// A value that has no bucket.
pub(super) const REFUSED: u32 = u32::MAX - 1;
/// A table has at most this many places.
const TABLE_MAX: usize = 1 << 22;
/// A table of so many places is cheap enough to start with.
const TABLE_START: usize = 1 << 12;
/// One of so many places must be taken to move to a table.
const SPARSE: usize = 8;
/// Memory of a bucket: row and count (bytes).
const ROW_BYTES: usize = 24;
/// Memory of an entry of a map (bytes).
const ENTRY_BYTES: usize = 28;

/// A bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) parent: u32,
    /// Which of the column's parts the value is of.
    pub(super) part: u8,
    pub(super) value: u64,
}

pub(super) struct Slots {
    parts: Vec<Part>,
    pub(super) rows: Vec<Row>,
    pub(super) counts: Vec<u64>,
}

/// The numbers of buckets of one part.
struct Part {
    /// Values are below this, if a table is possible.
    len: Option<usize>,
    table: Option<Vec<u32>>,
    map: HashMap<(u32, u64), u32>,
    parents: usize,
}

impl Slots {
    /// For each part, a bound above all its values, if there is one.
    pub(super) fn new(bounds: impl IntoIterator<Item = Option<usize>>) -> Self {
        let part = |len: Option<usize>| Part {
            len: len.filter(|len| *len <= TABLE_MAX),
            table: len.filter(|len| *len <= TABLE_START).map(|_| Vec::new()),
            map: HashMap::new(),
            parents: 0,
        };
        Self {
            parts: bounds.into_iter().map(part).collect(),
            rows: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// The number of a bucket, or [`NONE`], or [`REFUSED`].
    #[inline]
    pub(super) fn find(&self, parent: u32, part: usize, value: u64) -> u32 {
        let Some(part) = self.parts.get(part) else {
            return NONE;
        };
        match (&part.table, part.len) {
            (Some(table), Some(len)) => {
                // Below 2^22 each, or the look-up fails.
                #[expect(clippy::cast_possible_truncation, reason = "64-bit targets")]
                let at = (parent as usize)
                    .saturating_mul(len)
                    .saturating_add(value as usize);
                table.get(at).copied().unwrap_or(NONE)
            }
            _ => part.map.get(&(parent, value)).copied().unwrap_or(NONE),
        }
    }

    /// Counts values of the first part under the first bucket above, up to one that has no bucket or no table. Returns how
    /// many.
    pub(super) fn count_known(&mut self, values: &[u64]) -> usize {
        let Some(table) = self.parts.first().and_then(|part| part.table.as_deref()) else {
            return 0;
        };
        for (done, value) in values.iter().enumerate() {
            let slot = usize::try_from(*value).ok().and_then(|value| table.get(value));
            match slot.and_then(|slot| self.counts.get_mut(*slot as usize)) {
                Some(count) => *count += 1,
                None => return done,
            }
        }
        values.len()
    }

    /// Makes the bucket that [`Slots::find`] did not find, or refuses its value for good.
    pub(super) fn insert(&mut self, row: Row, accept: bool, budget: &mut Budget) -> Result<u32, Error> {
        let number = match u32::try_from(self.rows.len()) {
            _ if !accept => REFUSED,
            Ok(number) if number < REFUSED => number,
            _ => return Err(Error::TooMuchMemory { limit: budget.max }),
        };
        if accept {
            budget.take(ROW_BYTES)?;
            self.rows.push(row);
            self.counts.push(0);
        }
        let Some(part) = self.parts.get_mut(usize::from(row.part)) else {
            return Ok(number);
        };
        part.parents = part.parents.max(row.parent as usize + 1);
        part.choose(&self.rows, row.part, budget)?;
        match (&mut part.table, part.len) {
            (Some(table), Some(len)) => {
                let at = usize::try_from(row.value).ok().filter(|value| *value < len);
                if let Some(place) = at.and_then(|at| table.get_mut(row.parent as usize * len + at)) {
                    *place = number;
                }
            }
            _ => {
                budget.take(ENTRY_BYTES)?;
                part.map.insert((row.parent, row.value), number);
            }
        }
        Ok(number)
    }
}

impl Part {
    /// Moves between table and map where that pays.
    fn choose(&mut self, rows: &[Row], part: u8, budget: &mut Budget) -> Result<(), Error> {
        let Some(len) = self.len else { return Ok(()) };
        let places = self.parents.saturating_mul(len);
        let own = || (0u32..).zip(rows).filter(|(_, row)| row.part == part);
        match &mut self.table {
            Some(_) if places > TABLE_MAX => {
                budget.take(rows.len().saturating_mul(ENTRY_BYTES))?;
                self.map = own()
                    .map(|(number, row)| ((row.parent, row.value), number))
                    .collect();
                self.table = None;
            }
            Some(table) if table.len() < places => {
                let len = places.max(table.len().saturating_mul(2)).min(TABLE_MAX);
                budget.take(len.saturating_sub(table.len()) * size_of::<u32>())?;
                table.resize(len, NONE);
            }
            Some(_) => {}
            None if places <= TABLE_MAX && self.map.len() >= places / SPARSE => {
                budget.take(places * size_of::<u32>())?;
                let mut table = vec![NONE; places];
                for (number, row) in own() {
                    let at = usize::try_from(row.value).ok().filter(|value| *value < len);
                    if let Some(place) = at.and_then(|at| table.get_mut(row.parent as usize * len + at)) {
                        *place = number;
                    }
                }
                self.table = Some(table);
                self.map = HashMap::new();
            }
            None => {}
        }
        Ok(())
    }
}
