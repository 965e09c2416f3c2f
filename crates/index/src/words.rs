//! How readable strings become words of the `text` field, when indexed and when queried.
//!
//! Words are maximal runs of letters and digits, in lower case. A run that looks like a machine-made identifier (a
//! UUID, or more than [`OPAQUE_MIN`] characters of hex or base64) is one word as a whole: cut in pieces, such runs
//! would make up most of the dictionary, and nobody searches for pieces of them.

use std::ops::Range;

/// Runs up to this length are never taken for an opaque identifier (bytes).
pub(crate) const OPAQUE_MIN: usize = 20;
/// A longer word is cut here; queries are cut alike (bytes).
pub(crate) const WORD_MAX: usize = 128;

/// Calls `sink` with each word of `text`, in order.
pub(crate) fn words(text: &str, mut sink: impl FnMut(&str)) {
    words_at(text, |_, word| sink(word));
}

/// Calls `sink` with the place (bytes) of each word of `text` and the word, in order.
pub(crate) fn words_at(text: &str, mut sink: impl FnMut(Range<usize>, &str)) {
    let mut word = String::new();
    let mut at = 0;
    while let Some(place) = next(text, at) {
        at = place.end;
        word.clear();
        push_lower(&mut word, &text[place.clone()]);
        sink(place, &word);
    }
}

/// The place of the first word of `text` from `at` on.
fn next(text: &str, mut at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_alphanumeric() || !byte.is_ascii() {
            let length = opaque_length(&bytes[at..]).unwrap_or_else(|| word_length(&text[at..]));
            if length > 0 {
                return Some(at..at + length);
            }
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        } else {
            at += 1;
        }
    }
    None
}

/// Length of the word at the start of `text`; 0 if its first character is no letter or digit.
fn word_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ascii = bytes
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric())
        .unwrap_or(bytes.len());
    if bytes.get(ascii).is_none_or(u8::is_ascii) {
        return ascii;
    }
    text.char_indices()
        .find(|(_, c)| !c.is_alphanumeric())
        .map_or(text.len(), |(at, _)| at)
}

/// Length of the opaque identifier at the start of `bytes`, if there is one.
fn opaque_length(bytes: &[u8]) -> Option<usize> {
    uuid_length(bytes).or_else(|| dense_length(bytes))
}

/// 8-4-4-4-12 hex digits, not followed by more of a word.
fn uuid_length(bytes: &[u8]) -> Option<usize> {
    let candidate = bytes.get(..36)?;
    if candidate[8] != b'-' {
        return None;
    }
    let fits = candidate.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    let ends = bytes
        .get(36)
        .is_none_or(|next| next.is_ascii() && !next.is_ascii_alphanumeric());
    (fits && ends).then_some(36)
}

/// A base64 or hex run in which letters and digits alternate often.
fn dense_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    let mut changes = 0;
    let mut last_digit = None;
    for byte in bytes {
        if byte.is_ascii_alphanumeric() {
            let digit = byte.is_ascii_digit();
            if last_digit.is_some_and(|last| last != digit) {
                changes += 1;
            }
            last_digit = Some(digit);
        } else if !matches!(byte, b'+' | b'/' | b'=') {
            break;
        }
        length += 1;
    }
    let ends = bytes.get(length).is_none_or(u8::is_ascii);
    (ends && length > OPAQUE_MIN && changes * 5 >= length).then_some(length)
}

/// Appends a word in lower case, cut.
fn push_lower(target: &mut String, word: &str) {
    let word = cut(word, WORD_MAX);
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
