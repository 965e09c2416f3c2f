//! A text to look through: what it is made of, found in one pass, and the words around a place in it.

use std::ops::Range;

use super::{Confidence, Detector, Detectors, TextHit};

/// A text, the name of the member that holds it, and what was found in it so far.
pub(crate) struct Text<'t> {
    pub(crate) text: &'t str,
    /// Name of the field or member that holds the text; empty when there is none.
    pub(crate) name: &'t str,
    pub(crate) wanted: Detectors,
    pub(crate) marks: Marks,
}

/// Which characters a text holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    seen: u16,
    /// Digits, at most 255 counted.
    pub(crate) digits: u8,
}

pub(crate) const AT: u16 = 1;
pub(crate) const COLON: u16 = 1 << 1;
pub(crate) const PLUS: u16 = 1 << 2;
pub(crate) const DOT: u16 = 1 << 3;
pub(crate) const DASH: u16 = 1 << 4;
pub(crate) const PERCENT: u16 = 1 << 5;
const DIGIT: u16 = 1 << 6;

const SEEN: [u16; 256] = {
    let mut seen = [0; 256];
    let mut at = b'0';
    while at <= b'9' {
        seen[at as usize] = DIGIT;
        at += 1;
    }
    seen[b'@' as usize] = AT;
    seen[b':' as usize] = COLON;
    seen[b'+' as usize] = PLUS;
    seen[b'.' as usize] = DOT;
    seen[b'-' as usize] = DASH;
    seen[b'%' as usize] = PERCENT;
    seen
};

impl Marks {
    fn of(text: &str) -> Self {
        let (mut seen, mut digits) = (0, 0u32);
        for byte in text.bytes() {
            let mark = SEEN[usize::from(byte)];
            seen |= mark;
            digits += u32::from(mark >> 6);
        }
        Self {
            seen,
            digits: u8::try_from(digits).unwrap_or(u8::MAX),
        }
    }

    /// Tells whether any of these is there.
    pub(crate) fn any(self, marks: u16) -> bool {
        self.seen & marks != 0
    }
}

impl<'t> Text<'t> {
    pub(crate) fn new(text: &'t str, name: &'t str, wanted: Detectors) -> Self {
        Self {
            text,
            name,
            wanted,
            marks: Marks::of(text),
        }
    }

    pub(crate) fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    /// Tells whether the byte at a place is an ASCII letter or digit; none is outside the text.
    pub(crate) fn is_alnum(&self, at: usize) -> bool {
        self.bytes().get(at).is_some_and(u8::is_ascii_alphanumeric)
    }

    /// Tells whether no ASCII letter or digit touches a span.
    pub(crate) fn stands_alone(&self, span: &Range<usize>) -> bool {
        !(self.is_alnum(span.end) || span.start > 0 && self.is_alnum(span.start - 1))
    }

    /// Tells whether one of the words is in the member's name, or in the text up to [`CONTEXT_BYTES`] before a place.
    pub(crate) fn says(&self, at: usize, words: &[&str]) -> bool {
        if has_word(self.name.as_bytes(), words) {
            return true;
        }
        has_word(&self.bytes()[at.saturating_sub(CONTEXT_BYTES)..at], words)
    }

    /// Tells whether one of the words is in the member's name, or directly before a place.
    pub(crate) fn says_right_before(&self, at: usize, words: &[&str]) -> bool {
        has_word(self.name.as_bytes(), words) || {
            let before = self.bytes()[..at].trim_ascii_end();
            let from = before.len().saturating_sub(16);
            let word = Words(&before[from..]).last();
            word.is_some_and(|word| {
                words
                    .iter()
                    .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
            })
        }
    }

    pub(crate) fn hit(&self, detector: Detector, span: Range<usize>, confidence: Confidence) -> TextHit {
        debug_assert!(self.wanted.has(detector));
        TextHit {
            detector,
            span,
            confidence,
        }
    }
}

/// How far before a value a word says what the value is (bytes).
pub(crate) const CONTEXT_BYTES: usize = 40;

/// Tells whether a text has one of the words, or two neighbours that together make one; `camelCase` and `snake_case`
/// are words apart.
pub(crate) fn has_word(text: &[u8], words: &[&str]) -> bool {
    let is = |word: &[u8], known: &str| {
        word.eq_ignore_ascii_case(known.as_bytes())
            // Plurals and numbered fields, as `phones` and `phone2`.
            || (word.len() == known.len() + 1
                && matches!(word.last(), Some(b's' | b'S' | b'0'..=b'9'))
                && word[..known.len()].eq_ignore_ascii_case(known.as_bytes()))
    };
    let mut before: &[u8] = b"";
    for word in Words(text) {
        let pair = |known: &&str| {
            let known = known.as_bytes();
            known.len() == before.len() + word.len()
                && known[..before.len()].eq_ignore_ascii_case(before)
                && known[before.len()..].eq_ignore_ascii_case(word)
        };
        if words.iter().any(|known| is(word, known) || pair(known)) {
            return true;
        }
        before = word;
    }
    false
}

/// The words of a text: runs of letters and digits, cut where a small letter meets a capital one.
struct Words<'t>(&'t [u8]);

impl<'t> Iterator for Words<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80;
        let from = self.0.iter().position(is_part)?;
        let text = &self.0[from..];
        let mut to = 1;
        while to < text.len()
            && is_part(&text[to])
            && !(text[to].is_ascii_uppercase() && text[to - 1].is_ascii_lowercase())
        {
            to += 1;
        }
        self.0 = &text[to..];
        Some(&text[..to])
    }
}
