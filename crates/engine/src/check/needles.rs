//! Values to look for, as they are and as they are commonly written in other ways.

use std::net::IpAddr;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, BuildError};
use serde::Serialize;

/// How a value was written where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writing {
    /// As it is, in any case of ASCII letters.
    Clear,
    /// Percent-encoded (RFC 3986 section 2.1), whatever is not a letter or digit.
    Url,
    /// With JSON's escapes `\uXXXX` for everything.
    JsonEscaped,
    /// Hexadecimal digits.
    Hex,
    /// Base64 (RFC 4648 sections 4 and 5), wherever it begins in what was encoded.
    Base64,
    /// UTF-16, of either byte order.
    Utf16,
    /// An internet address or a large number in binary, as indexes have them.
    Binary,
}

/// Finds values in bytes.
pub struct Needles {
    any_case: AhoCorasick,
    exact: AhoCorasick,
    /// Which value each pattern of either automaton stands for, and how it is written.
    any_case_of: Vec<(usize, Writing)>,
    exact_of: Vec<(usize, Writing)>,
    values: usize,
}

/// Why values cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum NeedleError {
    /// It would be found by chance.
    #[error("a value of fewer than {VALUE_BYTES_MIN} bytes would be found by chance")]
    Short,
    /// There is nothing to look for.
    #[error("there is no value to look for")]
    None,
    /// There are too many.
    #[error("values to look for: {0}")]
    Build(#[from] BuildError),
}

impl Needles {
    /// Takes values, each of at least [`VALUE_BYTES_MIN`] bytes.
    ///
    /// # Errors
    /// [`NeedleError`].
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, NeedleError> {
        let (mut any_case, mut any_case_of) = (Vec::new(), Vec::new());
        let (mut exact, mut exact_of) = (Vec::new(), Vec::new());
        let mut count = 0;
        for (at, value) in values.into_iter().enumerate() {
            if value.len() < VALUE_BYTES_MIN {
                return Err(NeedleError::Short);
            }
            count = at + 1;
            let folded = [
                (value.as_bytes().to_vec(), Writing::Clear),
                (url(value).into_bytes(), Writing::Url),
                (json(value).into_bytes(), Writing::JsonEscaped),
            ];
            for (bytes, writing) in folded {
                any_case.push(bytes);
                any_case_of.push((at, writing));
            }
            for cased in cases(value) {
                any_case.push(hex(cased.as_bytes()).into_bytes());
                any_case_of.push((at, Writing::Hex));
                for bytes in base64(cased.as_bytes()) {
                    exact.push(bytes);
                    exact_of.push((at, Writing::Base64));
                }
                let units: Vec<u16> = cased.encode_utf16().collect();
                exact.push(units.iter().flat_map(|unit| unit.to_le_bytes()).collect());
                exact.push(units.iter().flat_map(|unit| unit.to_be_bytes()).collect());
                exact_of.extend([(at, Writing::Utf16); 2]);
            }
            for bytes in binary(value) {
                exact.push(bytes);
                exact_of.push((at, Writing::Binary));
            }
        }
        if count == 0 {
            return Err(NeedleError::None);
        }
        let build = |case| {
            let mut builder = AhoCorasickBuilder::new();
            builder.ascii_case_insensitive(case);
            builder
        };
        Ok(Self {
            any_case: build(true).build(any_case)?,
            exact: build(false).build(exact)?,
            any_case_of,
            exact_of,
            values: count,
        })
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values
    }

    /// Whether there is none; never of one that was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// Calls `found` with each place that holds a value: which value, how it is written, and the offset.
    pub fn find(&self, bytes: &[u8], mut found: impl FnMut(usize, Writing, usize)) {
        for (automaton, of) in [(&self.any_case, &self.any_case_of), (&self.exact, &self.exact_of)] {
            for hit in automaton.find_overlapping_iter(bytes) {
                if let Some((value, writing)) = of.get(hit.pattern().as_usize()) {
                    found(*value, *writing, hit.start());
                }
            }
        }
    }
}

/// The value as it is, in upper and in lower case, each once.
fn cases(value: &str) -> Vec<String> {
    let mut cases = vec![value.to_owned(), value.to_uppercase(), value.to_lowercase()];
    cases.sort_unstable();
    cases.dedup();
    cases
}

fn url(value: &str) -> String {
    let mut text = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&hex(&[byte]));
        }
    }
    text
}

fn json(value: &str) -> String {
    value
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect()
}

/// What an address or a number is in terms of an index and in packed values. Small numbers would be found by chance.
fn binary(value: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if let Ok(address) = value.parse::<IpAddr>() {
        let octets = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        found.extend([octets.to_vec(), octets.iter().rev().copied().collect()]);
    }
    if let Ok(number) = value.parse::<u64>()
        && number >= NUMBER_MIN
    {
        // Signed ones ascend in terms: their first bit is turned round.
        let signed = number ^ 1 << 63;
        found.extend([number, signed].map(|number| number.to_be_bytes().to_vec()));
        found.push(number.to_le_bytes().to_vec());
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    crate::catalog::hex(bytes)
}

/// What of the value's base64 does not depend on what stands before and behind it, for each of the three places where it can begin.
fn base64(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(value);
            let bits = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
            let digits: Vec<u8> = (0..(bytes.len() * 8).div_ceil(6))
                .map(|digit| {
                    let bit = digit * 6;
                    let two = bits(bit / 8) << 8 | bits(bit / 8 + 1);
                    alphabet[two >> (10 - bit % 8) & 63]
                })
                .collect();
            // Digits that also hold bits of neighbours differ with those.
            let first = (before * 8).div_ceil(6);
            let end = bytes.len() * 8 / 6;
            found.extend(digits.get(first..end).map(<[u8]>::to_vec));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Shorter values are found by chance.
pub const VALUE_BYTES_MIN: usize = 6;
/// Smaller numbers are found by chance in binary.
const NUMBER_MIN: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv6Addr;

    use super::{Needles, Writing};

    const VALUE: &str = "Ann.O'Neil+1@example.com";

    fn found(bytes: &[u8]) -> BTreeSet<Writing> {
        let mut found = BTreeSet::new();
        let needles = Needles::new([VALUE]).unwrap();
        needles.find(bytes, |value, writing, _| {
            assert_eq!(value, 0);
            found.insert(writing);
        });
        found
    }

    /// What Python's `base64`, `quote`, `hex`, `encode` and `json` make of it.
    #[test]
    fn a_value_is_found_as_it_is_commonly_written() {
        let written = [
            (VALUE, Writing::Clear),
            ("x ANN.O'NEIL+1@EXAMPLE.COM y", Writing::Clear),
            ("Ann.O%27Neil%2B1%40example.com", Writing::Url),
            ("ann.o%27neil%2b1%40example.com", Writing::Url),
            ("416e6e2e4f274e65696c2b31406578616d706c652e636f6d", Writing::Hex),
            ("416E6E2E4F274E65696C2B31406578616D706C652E636F6D", Writing::Hex),
            ("616e6e2e6f276e65696c2b31406578616d706c652e636f6d", Writing::Hex),
            ("QW5uLk8nTmVpbCsxQGV4YW1wbGUuY29t", Writing::Base64),
            ("eyJlIjoiQW5uLk8nTmVpbCsxQGV4YW1wbGUuY29tIn0=", Writing::Base64),
            ("eEFubi5PJ05laWwrMUBleGFtcGxlLmNvbXk=", Writing::Base64),
            ("eHhBbm4uTydOZWlsKzFAZXhhbXBsZS5jb215", Writing::Base64),
        ];
        for (text, writing) in written {
            assert_eq!(found(text.as_bytes()), BTreeSet::from([writing]), "{text}");
        }
        let wide: Vec<u8> = VALUE.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(found(&wide), BTreeSet::from([Writing::Utf16]));
        let wide: Vec<u8> = VALUE.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(found(&wide), BTreeSet::from([Writing::Utf16]));
        let escaped: String = VALUE
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect();
        assert_eq!(found(escaped.as_bytes()), BTreeSet::from([Writing::JsonEscaped]));
    }

    #[test]
    fn addresses_and_numbers_are_found_as_indexes_have_them() {
        let values = ["203.0.113.77", "2001:db8::77", "880000001009", "123456"];
        let needles = Needles::new(values).unwrap();
        let found = |bytes: &[u8]| {
            let mut found = BTreeSet::new();
            needles.find(bytes, |value, writing, _| {
                found.insert((value, writing));
            });
            found
        };
        let mapped: Ipv6Addr = "::ffff:203.0.113.77".parse().unwrap();
        let address: Ipv6Addr = "2001:db8::77".parse().unwrap();
        let number = 880_000_001_009_u64;
        for (bytes, value) in [
            (mapped.octets().to_vec(), 0),
            (address.octets().to_vec(), 1),
            (address.to_bits().to_le_bytes().to_vec(), 1),
            (number.to_be_bytes().to_vec(), 2),
            (number.to_le_bytes().to_vec(), 2),
            ((number | 1 << 63).to_be_bytes().to_vec(), 2),
        ] {
            assert_eq!(
                found(&bytes),
                BTreeSet::from([(value, Writing::Binary)]),
                "{bytes:?}"
            );
        }
        assert_eq!(found(&123_456_u64.to_be_bytes()), BTreeSet::new());
    }

    #[test]
    fn something_else_is_not_found_and_values_that_chance_finds_are_refused() {
        assert_eq!(found(b"Ann.O'Neil+2@example.com"), BTreeSet::new());
        assert!(Needles::new(["short"]).is_err());
        assert!(Needles::new([]).is_err());
    }
}
