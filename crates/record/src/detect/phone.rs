//! Telephone numbers: international ones by their plus (E.164), others where the context says so.

use std::ops::Range;

use super::text::{PLUS, Text};
use super::{Confidence, Detector, TextHit};

const WORDS: &[&str] = &[
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "cellphone",
    "fax",
    "msisdn",
    "sms",
    "whatsapp",
    "telefon",
    "handy",
    "mobil",
    "telefono",
    "telefone",
    "tlf",
    "gsm",
    "portable",
    "rufnummer",
    "call",
    "dial",
    "caller",
    "callee",
];

/// Digits of a number: E.164 has at most 15, and shorter ones than these are extensions.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

pub(crate) fn find(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    let bytes = text.bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let begins = byte.is_ascii_digit() || matches!(byte, b'+' | b'(');
        if !begins
            || (at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'+' | b'_')))
        {
            at += 1;
            continue;
        }
        let Some((span, digits)) = number(bytes, at) else {
            at = next_break(bytes, at);
            continue;
        };
        let plus = byte == b'+' && text.marks.any(PLUS);
        if let Some(confidence) = judge(text, &span, digits, plus) {
            hits.push(text.hit(Detector::Phone, span.clone(), confidence));
        }
        at = span.end;
    }
}

fn judge(text: &Text<'_>, span: &Range<usize>, digits: usize, plus: bool) -> Option<Confidence> {
    if plus {
        let first = text.bytes()[span.start + 1..]
            .iter()
            .find(|byte| byte.is_ascii_digit());
        return (digits >= 8 && first != Some(&b'0')).then_some(Confidence::Sure);
    }
    if text.says(span.start, WORDS) {
        return Some(Confidence::Sure);
    }
    north_american(&text.bytes()[span.clone()]).then_some(Confidence::Suspected)
}

/// Whether a number is spelled `(415) 555-2671`, which nothing else is.
fn north_american(number: &[u8]) -> bool {
    let shape: Vec<u8> = number
        .iter()
        .map(|byte| if byte.is_ascii_digit() { b'9' } else { *byte })
        .collect();
    matches!(shape.as_slice(), b"(999) 999-9999" | b"(999)999-9999") && !matches!(number[1], b'0' | b'1')
}

/// Reads a number: digits with at most two separators between. Returns its place and how many digits it has.
fn number(bytes: &[u8], from: usize) -> Option<(Range<usize>, usize)> {
    let (mut digits, mut end, mut gap) = (0, from, 0);
    // Where the last whole group ends, and the digits up to there.
    let mut whole = None;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'0'..=b'9' => {
                if digits == *DIGITS.end() {
                    // Too long for one number: what came before the last gap may be one.
                    let (end, digits) = whole?;
                    return (DIGITS.contains(&digits)).then_some((from..end, digits));
                }
                digits += 1;
                end = at + 1;
                gap = 0;
            }
            b'+' if at == from => {}
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' if gap < 2 => {
                if gap == 0 && digits > 0 {
                    whole = Some((end, digits));
                }
                gap += 1;
            }
            _ => break,
        }
    }
    let touched = bytes.get(end).is_some_and(u8::is_ascii_alphabetic) || bytes.get(end) == Some(&b'_');
    (DIGITS.contains(&digits) && !touched).then_some((from..end, digits))
}

/// Returns the place after the run of digits or the byte at a place.
fn next_break(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}
