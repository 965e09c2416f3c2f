//! Payment cards: length and issuer (ISO/IEC 7812), Luhn check.

use super::numbers::{Run, shaped};
use super::text::Text;
use super::{Confidence, Detector, TextHit, check};

/// Prefixes from the first to the last, and the lengths that numbers with them have.
const ISSUERS: &[(u32, u32, &[usize])] = &[
    (34, 34, &[15]),
    (37, 37, &[15]),
    (300, 305, &[14, 16]),
    (36, 36, &[14, 16, 19]),
    (38, 39, &[14, 16, 19]),
    (3528, 3589, &[16, 17, 18, 19]),
    (4, 4, &[13, 16, 19]),
    (51, 55, &[16]),
    (2221, 2720, &[16]),
    (2200, 2205, &[16, 17, 18, 19]),
    (500, 509, &[13, 14, 15, 16, 17, 18, 19]),
    (56, 58, &[13, 14, 15, 16, 17, 18, 19]),
    (6011, 6011, &[16, 17, 18, 19]),
    (62, 62, &[16, 17, 18, 19]),
    (644, 649, &[16, 17, 18, 19]),
    (65, 65, &[16, 17, 18, 19]),
    (6304, 6304, &[13, 14, 15, 16, 17, 18, 19]),
    (6759, 6763, &[13, 14, 15, 16, 17, 18, 19]),
    (81, 82, &[16, 17, 18, 19]),
    (9792, 9792, &[16]),
];

/// How numbers are printed in pieces.
const SHAPES: &[&[usize]] = &[
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 5],
    &[4, 3, 3, 3],
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 3],
    &[6, 13],
    &[8, 8],
];

const WORDS: &[&str] = &[
    "card",
    "cardnumber",
    "pan",
    "cc",
    "credit",
    "debit",
    "visa",
    "mastercard",
    "amex",
    "maestro",
    "payment",
    "karte",
    "kreditkarte",
    "carte",
    "tarjeta",
    "carta",
];

pub(crate) fn find(text: &Text<'_>, runs: &[Run], hits: &mut Vec<TextHit>) {
    shaped(text, runs, 13..=19, SHAPES, |number| {
        let digits = number.digits();
        if is_issued(digits) && check::luhn(digits) {
            let sure = number.separator != 0 || text.says(number.span.start, WORDS);
            hits.push(text.hit(Detector::PaymentCard, number.span.clone(), Confidence::by(sure)));
        }
    });
}

fn is_issued(digits: &[u8]) -> bool {
    ISSUERS.iter().any(|(first, last, lengths)| {
        let length = if *first < 10 {
            1
        } else if *first < 100 {
            2
        } else if *first < 1000 {
            3
        } else {
            4
        };
        let prefix = digits[..length]
            .iter()
            .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        (*first..=*last).contains(&prefix) && lengths.contains(&digits.len())
    })
}

/// Returns what may be kept of a card's number: its first six and last four digits; of less than 15 digits the last four.
pub(crate) fn truncated(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let last = &digits[digits.len().saturating_sub(4)..];
    let first = if digits.len() < 15 { "" } else { &digits[..6] };
    format!("{first}******{last}")
}
