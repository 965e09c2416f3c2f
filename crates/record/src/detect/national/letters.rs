//! National numbers with letters.

use super::digits::fr_nir;
use crate::detect::check::is_date;
use crate::detect::text::Text;
use crate::detect::{Confidence, Detector, TextHit};

/// A number: the kinds of its characters (`9` a digit, `A` a letter, `X` either), its check, what it is without a word.
struct National {
    detector: Detector,
    shape: &'static [u8],
    /// Whether its pieces may be written with a space or dash between.
    pieces: bool,
    check: fn(&[u8]) -> bool,
    words: &'static [&'static str],
    /// What it is where no word says so.
    alone: Option<Confidence>,
}

const DNI_WORDS: &[&str] = &["dni", "nif", "nie", "documento", "identidad"];

const TABLE: &[National] = &[
    National {
        detector: Detector::UkNino,
        shape: b"AA999999A",
        pieces: true,
        check: uk_nino,
        words: &["nino", "ni", "nationalinsurance", "insurance", "insurancenumber"],
        alone: None,
    },
    National {
        detector: Detector::EsDni,
        shape: b"99999999A",
        pieces: true,
        check: es_dni,
        words: DNI_WORDS,
        alone: Some(Confidence::Suspected),
    },
    National {
        detector: Detector::EsDni,
        shape: b"A9999999A",
        pieces: true,
        check: es_nie,
        words: DNI_WORDS,
        alone: Some(Confidence::Suspected),
    },
    National {
        detector: Detector::ItCodiceFiscale,
        shape: b"AAAAAAXXAXXAXXXA",
        pieces: true,
        check: it_codice_fiscale,
        words: &["codicefiscale", "fiscale", "cf"],
        alone: Some(Confidence::Sure),
    },
    National {
        detector: Detector::FrNir,
        shape: b"999992A99999999",
        pieces: true,
        check: fr_nir_corsica,
        words: &["nir", "insee", "securitesociale", "secu", "vitale", "nss", "ssn"],
        alone: Some(Confidence::Suspected),
    },
];

pub(crate) fn find(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    let rows: Vec<&National> = TABLE.iter().filter(|row| text.wanted.has(row.detector)).collect();
    let bytes = text.bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() || (at > 0 && text.is_alnum(at - 1)) {
            continue;
        }
        for row in &rows {
            let Some((value, end)) = read(bytes, at, row) else {
                continue;
            };
            let value = &value[..row.shape.len()];
            if !(row.check)(value) {
                continue;
            }
            let confidence = match text.says(at, row.words) {
                true => Some(Confidence::Sure),
                false => row.alone,
            };
            if let Some(confidence) = confidence {
                hits.push(text.hit(row.detector, at..end, confidence));
            }
        }
    }
}

/// The longest shape.
const LENGTH_MAX: usize = 16;

/// Reads a value of a shape, in capital letters; returns where it ends.
fn read(bytes: &[u8], from: usize, row: &National) -> Option<([u8; LENGTH_MAX], usize)> {
    let mut value = [0; LENGTH_MAX];
    let mut at = from;
    for (count, kind) in row.shape.iter().enumerate() {
        if count > 0 && row.pieces && matches!(bytes.get(at), Some(b' ' | b'-')) {
            at += 1;
        }
        let byte = *bytes.get(at)?;
        let fits = match kind {
            b'9' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_alphabetic(),
            b'2' => byte == b'2',
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return None;
        }
        value[count] = byte.to_ascii_uppercase();
        at += 1;
    }
    let touched = bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    (!touched).then_some((value, at))
}

/// Prefixes that are given out; the last letter is A to D. There is no check digit.
fn uk_nino(value: &[u8]) -> bool {
    let prefix = &value[..2];
    !b"DFIQUV".contains(&value[0])
        && !b"DFIQUVO".contains(&value[1])
        && ![&b"BG"[..], b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].contains(&prefix)
        && (b'A'..=b'D').contains(&value[8])
}

fn es_dni(value: &[u8]) -> bool {
    let number = value[..8]
        .iter()
        .fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize] == value[8]
}

/// As a DNI, its first letter standing for a digit.
fn es_nie(value: &[u8]) -> bool {
    let Some(first) = b"XYZ".iter().zip(b'0'..).find(|(letter, _)| **letter == value[0]) else {
        return false;
    };
    let mut dni = [0; 9];
    dni.copy_from_slice(&value[..9]);
    dni[0] = first.1;
    es_dni(&dni)
}

/// Six letters of the names, year, month, day (women 40 more), place, check letter. Digits may be written as letters.
fn it_codice_fiscale(value: &[u8]) -> bool {
    let digit = |at: usize| match value[at] {
        digit @ b'0'..=b'9' => Some(u32::from(digit - b'0')),
        letter => b"LMNPQRSTUV"
            .iter()
            .position(|known| *known == letter)
            .and_then(|at| at.try_into().ok()),
    };
    let month = b"ABCDEHLMPRST"
        .iter()
        .zip(1..)
        .find(|(letter, _)| **letter == value[8]);
    let (Some(year10), Some(year1), Some((_, month)), Some(day10), Some(day1)) =
        (digit(6), digit(7), month, digit(9), digit(10))
    else {
        return false;
    };
    if (12..15).any(|at| digit(at).is_none()) {
        return false;
    }
    let year = match year10 * 10 + year1 {
        year @ 20.. => 1900 + year,
        year => 2000 + year,
    };
    is_date(year, month, (day10 * 10 + day1) % 40) && it_check(value)
}

/// Places count from one: characters at odd ones have values of their own.
fn it_check(value: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    let sum: u32 = value[..15]
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let own = match byte {
                b'0'..=b'9' => byte - b'0',
                _ => byte - b'A',
            };
            match at % 2 {
                0 => ODD[usize::from(own)],
                _ => u32::from(own),
            }
        })
        .sum();
    u32::from(value[15] - b'A') == sum % 26
}

/// Departments 2A and 2B count as 19 and 18.
fn fr_nir_corsica(value: &[u8]) -> bool {
    let place: &[u8; 2] = match value[6] {
        b'A' => b"19",
        b'B' => b"18",
        _ => return false,
    };
    let mut counted = [0; 15];
    counted.copy_from_slice(&value[..15]);
    counted[5..7].copy_from_slice(place);
    fr_nir(value, &counted)
}
