//! Numbers in a text: runs of digits, and runs that one separator each joins.

use std::ops::Range;

use super::text::Text;

/// A run of digits that no letter touches.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) span: Range<usize>,
    /// The one byte (space, `-` or `.`) between this run and the one before; 0 when more or something else lies between.
    pub(crate) joined_by: u8,
}

/// More runs of one text are not looked at together; the rest of such a text is cut into pieces of so many.
pub(crate) const RUNS_MAX: usize = 4096;

/// Finds the runs of a text. A run that a letter or an underscore's neighbour touches is left out; `_` does not touch.
pub(crate) fn runs(text: &Text<'_>, runs: &mut Vec<Run>) {
    runs.clear();
    let bytes = text.bytes();
    let mut at = 0;
    let mut last_end = None;
    while at < bytes.len() && runs.len() < RUNS_MAX {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let from = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        let span = from..at;
        if !text.stands_alone(&span) {
            last_end = None;
            continue;
        }
        let joined_by = match last_end {
            Some(end) if end + 1 == from && matches!(bytes[end], b' ' | b'-' | b'.') => bytes[end],
            _ => 0,
        };
        runs.push(Run { span, joined_by });
        last_end = Some(at);
    }
}

/// Neighbouring runs, read as one number.
pub(crate) struct Number {
    pub(crate) span: Range<usize>,
    digits: [u8; DIGITS_MAX],
    count: usize,
    /// The separator within it; 0 for a single run.
    pub(crate) separator: u8,
}

/// The longest number that is looked for.
pub(crate) const DIGITS_MAX: usize = 19;

impl Number {
    /// The digits.
    pub(crate) fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }
}

/// Reads numbers of a number of digits at each place where the sizes of the runs are one of the shapes. A single run is
/// of any shape. Runs must be joined by one and the same separator.
pub(crate) fn shaped(
    text: &Text<'_>,
    runs: &[Run],
    lengths: std::ops::RangeInclusive<usize>,
    shapes: &[&[usize]],
    mut each: impl FnMut(&Number),
) {
    for (first, run) in runs.iter().enumerate() {
        if is_fraction(runs, first) {
            continue;
        }
        if lengths.contains(&run.span.len()) && !is_whole_part(runs, first) {
            each(&read(text, &runs[first..=first], 0));
        }
        for shape in shapes {
            let Some(window) = runs.get(first..first + shape.len()) else {
                continue;
            };
            let fits = window
                .iter()
                .zip(*shape)
                .all(|(run, size)| run.span.len() == *size);
            let separator = window.get(1).map_or(0, |run| run.joined_by);
            let same = window[1..].iter().all(|run| run.joined_by == separator);
            let goes_on = runs
                .get(first + shape.len())
                .is_some_and(|next| separator != b' ' && next.joined_by == separator);
            if fits && separator != 0 && same && !goes_on {
                each(&read(text, window, separator));
            }
        }
    }
}

/// Whether a dot joins a run to digits before it.
fn is_fraction(runs: &[Run], at: usize) -> bool {
    runs[at].joined_by == b'.'
}

/// Whether a dot joins a run to digits after it.
fn is_whole_part(runs: &[Run], at: usize) -> bool {
    runs.get(at + 1).is_some_and(|next| next.joined_by == b'.')
}

fn read(text: &Text<'_>, window: &[Run], separator: u8) -> Number {
    let mut number = Number {
        span: window[0].span.start..window[window.len() - 1].span.end,
        digits: [0; DIGITS_MAX],
        count: 0,
        separator,
    };
    for run in window {
        for digit in &text.bytes()[run.span.clone()] {
            if number.count < DIGITS_MAX {
                number.digits[number.count] = *digit;
                number.count += 1;
            }
        }
    }
    number
}
