//! How readable strings become words of the `text` field, when indexed and when queried.
//!
//! Words are maximal runs of letters and digits, in lower case. A run that looks like a machine-made identifier (a
//! UUID, or more than [`OPAQUE_MIN`] characters of hex or base64) is one word as a whole: cut in pieces, such runs
//! would make up most of the dictionary, and nobody searches for pieces of them.

use std::ops::Range;

/// Runs up to this length are never taken for an opaque identifier (bytes).
pub(crate) const OPAQUE_MIN: usize = 20;
/// So many bytes of a run tell whether it is an opaque identifier.
const DENSE_MAX: usize = 256;
/// A longer word is cut here; queries are cut alike (bytes).
pub(crate) const WORD_MAX: usize = 128;

/// Calls `sink` with each word of `text`, in order.
pub(crate) fn words(text: &str, mut sink: impl FnMut(&str)) {
    words_at(text, |_, word| sink(word));
}

/// Calls `sink` with the place (bytes) of each word of `text` and the word, in order.
pub(crate) fn words_at(text: &str, sink: impl FnMut(Range<usize>, &str)) {
    each(text, &mut String::new(), sink);
}

/// As [`words_at`], with a buffer for words that have to be put in lower case.
pub(crate) fn each(text: &str, lower: &mut String, mut sink: impl FnMut(Range<usize>, &str)) {
    let mut at = 0;
    while let Some((place, is_lower)) = next(text, at) {
        at = place.end;
        let word = cut(&text[place.clone()], WORD_MAX);
        if is_lower {
            sink(place, word);
        } else {
            lower.clear();
            push_lower(lower, word);
            sink(place, lower);
        }
    }
}

/// The place of the first word of `text` from `at` on, and whether it is in lower case for sure.
#[inline]
fn next(text: &str, mut at: usize) -> Option<(Range<usize>, bool)> {
    let bytes = text.as_bytes();
    loop {
        let class = class_of(*bytes.get(at)?);
        if class & ALPHANUMERIC != 0 {
            let (length, classes) = ascii_length(&bytes[at..]);
            let (length, is_lower) = match bytes.get(at + length) {
                Some(next) if !next.is_ascii() => (word_length(&text[at..]), false),
                next => {
                    let next = next.copied().unwrap_or(b' ');
                    match opaque_length(&bytes[at..], length, next) {
                        Some(opaque) => (opaque, false),
                        None => (length, classes & UPPER == 0),
                    }
                }
            };
            return Some((at..at + length, is_lower));
        }
        if class & BEYOND_ASCII != 0 {
            let length = word_length(&text[at..]);
            if length > 0 {
                return Some((at..at + length, false));
            }
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        } else {
            at += 1;
        }
    }
}

const ALPHANUMERIC: u8 = 1;
const UPPER: u8 = 2;
const BEYOND_ASCII: u8 = 4;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = if byte.is_ascii_uppercase() {
            ALPHANUMERIC | UPPER
        } else if byte.is_ascii_alphanumeric() {
            ALPHANUMERIC
        } else if byte.is_ascii() {
            0
        } else {
            BEYOND_ASCII
        };
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

#[inline]
fn class_of(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// Length of the run of ASCII letters and digits at the start, and what is among them.
#[inline]
fn ascii_length(bytes: &[u8]) -> (usize, u8) {
    let mut classes = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let class = class_of(*byte);
        if class & ALPHANUMERIC == 0 {
            return (at, classes);
        }
        classes |= class;
    }
    (bytes.len(), classes)
}

/// Length of the word at the start of `text`; 0 if its first character is no letter or digit.
fn word_length(text: &str) -> usize {
    text.char_indices()
        .find(|(_, c)| !c.is_alphanumeric())
        .map_or(text.len(), |(at, _)| at)
}

/// Length of the opaque identifier at the start of `bytes`, if there is one, where a run of `length` letters and
/// digits is followed by `next`.
#[inline]
fn opaque_length(bytes: &[u8], length: usize, next: u8) -> Option<usize> {
    if length == UUID_HEAD && next == b'-' {
        return uuid_length(bytes);
    }
    if length > OPAQUE_MIN || matches!(next, b'+' | b'/' | b'=') {
        return dense_length(bytes);
    }
    None
}

/// Tells whether a text as a whole is a word that is a UUID in lower case.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == UUID_BYTES && starts_uuid(text)
}

/// Tells whether a UUID in lower case may start so.
pub(crate) fn starts_uuid(start: &str) -> bool {
    start.len() <= UUID_BYTES
        && start.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Length of the first group of a UUID.
const UUID_HEAD: usize = 8;
const UUID_BYTES: usize = 36;

/// 8-4-4-4-12 hex digits, not followed by more of a word.
fn uuid_length(bytes: &[u8]) -> Option<usize> {
    let candidate = bytes.get(..UUID_BYTES)?;
    let fits = candidate.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    let ends = bytes
        .get(UUID_BYTES)
        .is_none_or(|next| next.is_ascii() && !next.is_ascii_alphanumeric());
    (fits && ends).then_some(36)
}

/// A base64 or hex run in which letters and digits alternate often. Its first [`DENSE_MAX`] bytes decide, so that a
/// long run which is none is not read again for each of its words.
fn dense_length(bytes: &[u8]) -> Option<usize> {
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut length = 0;
    let mut changes = 0;
    let mut last_digit = None;
    for byte in bytes.iter().take(DENSE_MAX).take_while(|byte| is_inside(byte)) {
        if byte.is_ascii_alphanumeric() {
            let digit = byte.is_ascii_digit();
            if last_digit.is_some_and(|last| last != digit) {
                changes += 1;
            }
            last_digit = Some(digit);
        }
        length += 1;
    }
    if length <= OPAQUE_MIN || changes * 5 < length {
        return None;
    }
    if length < DENSE_MAX {
        return bytes.get(length).is_none_or(u8::is_ascii).then_some(length);
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length += rest
        .iter()
        .position(|byte| !is_inside(byte))
        .unwrap_or(rest.len());
    Some(length)
}

/// Appends a word in lower case.
fn push_lower(target: &mut String, word: &str) {
    if word.is_ascii() {
        let from = target.len();
        target.push_str(word);
        target[from..].make_ascii_lowercase();
    } else {
        target.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// The longest start of `text` of at most `max` bytes that ends between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::words;

    fn all(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, |word| found.push(word.to_owned()));
        found
    }

    #[test]
    fn words_are_lower_cased_runs_of_letters_and_digits() {
        assert_eq!(
            all("Hello, W0rld! s3.amazonaws.com/a-b_c"),
            ["hello", "w0rld", "s3", "amazonaws", "com", "a", "b", "c"]
        );
        assert_eq!(all("Grüße 東京 ÉTÉ"), ["grüße", "東京", "été"]);
        assert_eq!(all(" –… "), Vec::<String>::new());
    }

    #[test]
    fn opaque_identifiers_stay_whole() {
        assert_eq!(
            all("id 699479d4-2a01-4E9E-bf31-4ec5dc88677e."),
            ["id", "699479d4-2a01-4e9e-bf31-4ec5dc88677e"]
        );
        let base64 = "f2vaS6JPTLdKw37mgdFv5DyoXG70Bhv2oYdQdYMz5rhp297ibIqaToYq/m65r+tgjYs7KnXmTAk=";
        assert_eq!(all(base64), [base64.to_lowercase()]);
        assert_eq!(
            all("0123456789abcdef0123456789abcdef"),
            ["0123456789abcdef0123456789abcdef"]
        );
    }

    #[test]
    fn long_runs_are_judged_by_their_start() {
        let dense = "a1b2c3d4e5".repeat(100);
        assert_eq!(all(&dense), [dense[..128].to_owned()]);
        let plain = "ab/".repeat(20_000);
        assert_eq!(all(&plain).len(), 20_000);
        assert_eq!(
            all("a1/b2/c3/d4/e5/f6/g7/h8é"),
            ["a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8é"]
        );
        assert_eq!(all("cafés 1é aÉB ÀB"), ["cafés", "1é", "aéb", "àb"]);
    }

    #[test]
    fn long_plain_words_are_cut_at_their_separators() {
        assert_eq!(
            all("bucketsevidence-AWSServiceRoleForAmazonEC2"),
            ["bucketsevidence", "awsserviceroleforamazonec2"]
        );
        assert_eq!(
            all("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbb"),
            ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbb"]
        );
    }
}
