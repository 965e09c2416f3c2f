//! International bank account numbers (ISO 13616): country, its length and shape, check digits.

use super::text::Text;
use super::{Confidence, Detector, TextHit, check};

/// Countries of the registry and what follows the check digits: counts of digits (`n`), capital letters (`a`), either (`c`).
const COUNTRIES: &[(&str, &str)] = &[
    ("AD", "8n12c"),
    ("AE", "19n"),
    ("AL", "8n16c"),
    ("AT", "16n"),
    ("AZ", "4a20c"),
    ("BA", "16n"),
    ("BE", "12n"),
    ("BG", "4a6n8c"),
    ("BH", "4a14c"),
    ("BI", "23n"),
    ("BR", "23n1a1c"),
    ("BY", "4c4n16c"),
    ("CH", "5n12c"),
    ("CR", "18n"),
    ("CY", "8n16c"),
    ("CZ", "20n"),
    ("DE", "18n"),
    ("DJ", "23n"),
    ("DK", "14n"),
    ("DO", "4c20n"),
    ("EE", "16n"),
    ("EG", "25n"),
    ("ES", "20n"),
    ("FI", "14n"),
    ("FK", "2a12n"),
    ("FO", "14n"),
    ("FR", "10n11c2n"),
    ("GB", "4a14n"),
    ("GE", "2a16n"),
    ("GI", "4a15c"),
    ("GL", "14n"),
    ("GR", "7n16c"),
    ("GT", "24c"),
    ("HN", "4a20n"),
    ("HR", "17n"),
    ("HU", "24n"),
    ("IE", "4a14n"),
    ("IL", "19n"),
    ("IQ", "4a15n"),
    ("IS", "22n"),
    ("IT", "1a10n12c"),
    ("JO", "4a4n18c"),
    ("KW", "4a22c"),
    ("KZ", "3n13c"),
    ("LB", "4n20c"),
    ("LC", "4a24c"),
    ("LI", "5n12c"),
    ("LT", "16n"),
    ("LU", "3n13c"),
    ("LV", "4a13c"),
    ("LY", "21n"),
    ("MC", "10n11c2n"),
    ("MD", "20c"),
    ("ME", "18n"),
    ("MK", "3n10c2n"),
    ("MN", "16n"),
    ("MR", "23n"),
    ("MT", "4a5n18c"),
    ("MU", "4a19n3a"),
    ("NI", "4a20n"),
    ("NL", "4a10n"),
    ("NO", "11n"),
    ("OM", "3n16c"),
    ("PK", "4a16c"),
    ("PL", "24n"),
    ("PS", "4a21c"),
    ("PT", "21n"),
    ("QA", "4a21c"),
    ("RO", "4a16c"),
    ("RS", "18n"),
    ("RU", "14n15c"),
    ("SA", "2n18c"),
    ("SC", "4a20n3a"),
    ("SD", "14n"),
    ("SE", "20n"),
    ("SI", "15n"),
    ("SK", "20n"),
    ("SM", "1a10n12c"),
    ("SO", "19n"),
    ("ST", "21n"),
    ("SV", "4a20n"),
    ("TL", "19n"),
    ("TN", "20n"),
    ("TR", "6n16c"),
    ("UA", "6n19c"),
    ("VA", "18n"),
    ("VG", "4a16n"),
    ("XK", "16n"),
    ("YE", "4a4n18c"),
];

/// The longest account number, with its check digits.
const LENGTH_MAX: usize = 34;

pub(crate) fn find(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    let bytes = text.bytes();
    let mut at = 0;
    while at + 4 <= bytes.len() {
        let starts = bytes[at].is_ascii_alphabetic()
            && bytes[at + 1].is_ascii_alphabetic()
            && bytes[at + 2].is_ascii_digit()
            && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        match starts.then(|| account(bytes, at)).flatten() {
            Some((end, capital)) => {
                hits.push(text.hit(Detector::Iban, at..end, Confidence::by(capital)));
                at = end;
            }
            None => at += 1,
        }
    }
}

/// Reads an account number; returns where it ends and whether its letters are capital ones.
fn account(bytes: &[u8], from: usize) -> Option<(usize, bool)> {
    let country = [
        bytes[from].to_ascii_uppercase(),
        bytes[from + 1].to_ascii_uppercase(),
    ];
    let row = COUNTRIES
        .binary_search_by(|(name, _)| name.as_bytes().cmp(&country))
        .ok()?;
    let mut read = [0; LENGTH_MAX];
    let mut at = from;
    let mut count = 0;
    for kind in b"aann".iter().copied().chain(kinds(COUNTRIES[row].1)) {
        // Accounts are printed in pieces, with a space or a dash between.
        if count > 0 && matches!(bytes.get(at), Some(b' ' | b'-')) {
            at += 1;
        }
        let byte = *bytes.get(at)?;
        let fits = match kind {
            b'n' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return None;
        }
        *read.get_mut(count)? = byte;
        count += 1;
        at += 1;
    }
    if bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let read = &read[..count];
    let valid = check::mod_97_10(read[4..].iter().chain(&read[..4]).copied());
    let capital = !read.iter().any(u8::is_ascii_lowercase);
    valid.then_some((at, capital))
}

/// Spells a shape out: `2a3n` is `aannn`.
fn kinds(shape: &str) -> impl Iterator<Item = u8> {
    shape.split_inclusive(['n', 'a', 'c']).flat_map(|part| {
        let (count, kind) = part.split_at(part.len() - 1);
        std::iter::repeat_n(kind.as_bytes()[0], count.parse().unwrap_or(0))
    })
}
