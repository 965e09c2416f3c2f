//! National numbers of digits.

use crate::detect::check::{is_date, mod_11_10, remainder, two, weighted};
use crate::detect::numbers::{Number, Run, shaped};
use crate::detect::text::Text;
use crate::detect::{Confidence, Detector, TextHit};

/// A number: how it is spelled, its check, and the words that say what it is.
struct National {
    detector: Detector,
    length: usize,
    /// Sizes of the pieces in which it is written, beside in one.
    shapes: &'static [&'static [usize]],
    check: fn(&[u8]) -> bool,
    words: &'static [&'static str],
    /// What it is without such a word.
    alone: Alone,
}

/// What a number is that no word says anything about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alone {
    /// Nothing: too many others pass its check.
    No,
    /// Suspected when it is written in its pieces.
    InPieces,
    /// Suspected, and sure in pieces.
    Suspected,
}

const TABLE: &[National] = &[
    National {
        detector: Detector::UsSsn,
        length: 9,
        shapes: &[&[3, 2, 4]],
        check: us_ssn,
        words: &[
            "ssn",
            "social",
            "socialsecurity",
            "socialsecuritynumber",
            "itin",
            "taxpayer",
        ],
        alone: Alone::InPieces,
    },
    National {
        detector: Detector::FrNir,
        length: 15,
        shapes: &[&[1, 2, 2, 2, 3, 3, 2], &[13, 2], &[1, 2, 2, 2, 3, 5]],
        check: |digits| fr_nir(digits, digits),
        words: &["nir", "insee", "securitesociale", "secu", "vitale", "nss", "ssn"],
        alone: Alone::Suspected,
    },
    National {
        detector: Detector::NlBsn,
        length: 9,
        shapes: &[&[4, 2, 3], &[3, 3, 3]],
        check: nl_bsn,
        words: &["bsn", "burgerservicenummer", "sofi", "sofinummer"],
        alone: Alone::No,
    },
    National {
        detector: Detector::DeSteuerId,
        length: 11,
        shapes: &[&[2, 3, 3, 3]],
        check: de_steuer_id,
        words: &[
            "steuerid",
            "steueridnr",
            "idnr",
            "idnummer",
            "tin",
            "steuer",
            "steueridentifikationsnummer",
            "steuernummer",
            "taxid",
        ],
        alone: Alone::Suspected,
    },
    National {
        detector: Detector::PlPesel,
        length: 11,
        shapes: &[],
        check: pl_pesel,
        words: &["pesel"],
        alone: Alone::Suspected,
    },
    National {
        detector: Detector::BeNrn,
        length: 11,
        // `85.07.30-033.28` is read by its own rule below.
        shapes: &[&[2, 2, 2, 3, 2], &[6, 3, 2]],
        check: be_nrn,
        words: &[
            "nrn",
            "rijksregister",
            "rijksregisternummer",
            "insz",
            "niss",
            "registrenational",
            "nationalnumber",
        ],
        alone: Alone::Suspected,
    },
    National {
        detector: Detector::BrCpf,
        length: 11,
        shapes: &[],
        check: br_cpf,
        words: &["cpf", "cadastro"],
        alone: Alone::Suspected,
    },
];

/// Numbers that are written with more than one kind of separator.
const MIXED: &[(Detector, &[(usize, u8)])] = &[
    (
        Detector::BeNrn,
        &[(2, 0), (2, b'.'), (2, b'.'), (3, b'-'), (2, b'.')],
    ),
    (Detector::BrCpf, &[(3, 0), (3, b'.'), (3, b'.'), (2, b'-')]),
];

/// Tells whether any of these numbers is wanted.
fn row(detector: Detector) -> Option<&'static National> {
    TABLE.iter().find(|row| row.detector == detector)
}

pub(crate) fn find(text: &Text<'_>, runs: &[Run], hits: &mut Vec<TextHit>) {
    for row in TABLE.iter().filter(|row| text.wanted.has(row.detector)) {
        shaped(text, runs, row.length..=row.length, row.shapes, |number| {
            if (row.check)(number.digits())
                && let Some(confidence) = judge(text, row, number)
            {
                hits.push(text.hit(row.detector, number.span.clone(), confidence));
            }
        });
    }
    for (detector, shape) in MIXED {
        let Some(row) = row(*detector).filter(|row| text.wanted.has(row.detector)) else {
            continue;
        };
        for window in runs.windows(shape.len()) {
            let fits = window
                .iter()
                .zip(*shape)
                .enumerate()
                .all(|(at, (run, (size, by)))| run.span.len() == *size && (at == 0 || run.joined_by == *by));
            let span = window[0].span.start..window[shape.len() - 1].span.end;
            if !fits {
                continue;
            }
            let spelled = &text.bytes()[span.clone()];
            let digits: Vec<u8> = spelled.iter().copied().filter(u8::is_ascii_digit).collect();
            if (row.check)(&digits) {
                hits.push(text.hit(row.detector, span, Confidence::Sure));
            }
        }
    }
}

fn judge(text: &Text<'_>, row: &National, number: &Number) -> Option<Confidence> {
    if text.says(number.span.start, row.words) {
        return Some(Confidence::Sure);
    }
    let pieces = number.separator != 0;
    match row.alone {
        Alone::No => None,
        // Dashes: three numbers with spaces between are anything.
        Alone::InPieces => (number.separator == b'-').then_some(Confidence::Suspected),
        Alone::Suspected => Some(Confidence::by(pieces)),
    }
}

/// Areas, groups and serials that are given out. The three numbers that advertisements made known are not.
fn us_ssn(digits: &[u8]) -> bool {
    let (area, group, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
    area != b"000"
        && area != b"666"
        && area[0] != b'9'
        && group != b"00"
        && serial != b"0000"
        && ![b"078051120", b"457555462", b"219099999"].contains(&digits.try_into().unwrap_or(b"000000000"))
}

/// Sex, year, month, place, order; then 97 less the remainder. Corsican places count as other digits in `counted`.
pub(super) fn fr_nir(digits: &[u8], counted: &[u8]) -> bool {
    let month = two(&digits[3..5]);
    let born = matches!(digits[0], b'1'..=b'4' | b'7' | b'8');
    born && matches!(month, 1..=12 | 20..=42 | 50..=99)
        && 97 - remainder(&counted[..13], 97) == u64::from(two(&digits[13..]))
}

fn nl_bsn(digits: &[u8]) -> bool {
    let sum = weighted(&digits[..8], &[9, 8, 7, 6, 5, 4, 3, 2]);
    sum > 0 && sum % 11 == u32::from(digits[8] - b'0')
}

/// One digit of the first ten occurs twice or three times, the others at most once; ISO 7064 Mod 11,10.
fn de_steuer_id(digits: &[u8]) -> bool {
    let mut counts = [0u8; 10];
    for digit in &digits[..10] {
        counts[usize::from(digit - b'0')] += 1;
    }
    let mut repeated = counts.iter().filter(|count| **count > 1);
    let one = matches!((repeated.next(), repeated.next()), (Some(2 | 3), None));
    digits[0] != b'0' && one && mod_11_10(digits)
}

/// A date, its century in the month; weights 1, 3, 7, 9.
fn pl_pesel(digits: &[u8]) -> bool {
    let month = two(&digits[2..4]);
    let century = [1900, 2000, 2100, 2200, 1800][(month / 20) as usize];
    let sum = weighted(&digits[..10], &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    (10 - sum % 10) % 10 == u32::from(digits[10] - b'0')
        && is_date(century + two(digits), month % 20, two(&digits[4..6]))
}

/// A date, whose month or day may be unknown; 97 less the remainder, with a 2 in front since 2000.
fn be_nrn(digits: &[u8]) -> bool {
    let rest = remainder(&digits[..9], 97);
    // 2 000 000 000 before the nine digits.
    let since_2000 = (rest + 2_000_000_000 % 97) % 97;
    let check = u64::from(two(&digits[9..]));
    two(&digits[2..4]) <= 12
        && two(&digits[4..6]) <= 31
        && digits.iter().any(|digit| *digit != b'0')
        && (97 - rest == check || 97 - since_2000 == check)
}

/// Two check digits by 11. Numbers of one digit only pass, and are nobody's.
fn br_cpf(digits: &[u8]) -> bool {
    let check = |count: usize| {
        let weights: Vec<u32> = (2..=11).rev().collect();
        let sum = weighted(&digits[..count], &weights[10 - count..]);
        let rest = (sum * 10) % 11 % 10;
        rest == u32::from(digits[count] - b'0')
    };
    digits.iter().any(|digit| *digit != digits[0]) && check(9) && check(10)
}
