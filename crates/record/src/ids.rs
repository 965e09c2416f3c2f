//! Identifiers of 16 bytes: tenants, records, handles of data subjects.
//!
//! Their text forms are lower-case only, so that one id has one spelling in hashed bytes.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Opaque id of a tenant. Text form: 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId([u8; 16]);

/// Random id that stands for a data subject inside personal groups. Text form: 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle([u8; 16]);

/// Id of a record: a UUID version 7 (RFC 9562). Text form: hyphenated, lower case.
///
/// It carries a creation time in milliseconds; order comes from `seq`, never from this id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 16]);

/// An id whose text form is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}")]
pub struct IdError {
    what: &'static str,
}

impl TenantId {
    /// Makes an id of its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Handle {
    /// Makes a handle of its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl RecordId {
    /// Makes a version 7 UUID from a Unix time in milliseconds (48 bits are used) and ten random bytes.
    pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(
            *uuid::Builder::from_unix_timestamp_millis(unix_ms, &random)
                .as_uuid()
                .as_bytes(),
        )
    }

    /// Makes an id of its 16 bytes, whatever their UUID version.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the Unix time in milliseconds that the id carries.
    pub fn unix_ms(&self) -> u64 {
        self.0[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex_text(&hex(&self.0)))
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({self})")
    }
}

impl FromStr for TenantId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        unhex(text).map(Self).ok_or(IdError {
            what: "tenant id (32 lower-case hex digits)",
        })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex_text(&hex(&self.0)))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

impl FromStr for Handle {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        unhex(text).map(Self).ok_or(IdError {
            what: "handle (32 lower-case hex digits)",
        })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; 36];
        f.write_str(Uuid::from_bytes(self.0).as_hyphenated().encode_lower(&mut buffer))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

impl FromStr for RecordId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = IdError {
            what: "record id (hyphenated lower-case UUID)",
        };
        let id = Self(Uuid::try_parse(text).map_err(|_| wrong)?.into_bytes());
        let mut buffer = [0; 36];
        let canonical = Uuid::from_bytes(id.0).as_hyphenated().encode_lower(&mut buffer) == text;
        if canonical { Ok(id) } else { Err(wrong) }
    }
}

/// Appends the hyphenated text of a record id.
pub(crate) fn push_record_id(out: &mut Vec<u8>, id: &RecordId) {
    let mut buffer = [0; 36];
    out.extend_from_slice(
        Uuid::from_bytes(id.0)
            .as_hyphenated()
            .encode_lower(&mut buffer)
            .as_bytes(),
    );
}

/// Appends 32 lower-case hex digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    out.extend_from_slice(&hex(bytes));
}

fn hex(bytes: &[u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

fn hex_text(digits: &[u8; 32]) -> &str {
    str::from_utf8(digits).expect("hex digits are ASCII")
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Handle, RecordId, TenantId};

    #[test]
    fn record_id_is_a_version_7_uuid_with_its_time() {
        let id = RecordId::new(1_795_312_800_123, [0xff; 10]);
        assert_eq!(id.unix_ms(), 1_795_312_800_123);
        assert_eq!(id.as_bytes()[6] >> 4, 7);
        assert_eq!(id.as_bytes()[8] >> 6, 2);
        assert_eq!(id.to_string().parse::<RecordId>(), Ok(id));
    }

    #[test]
    fn ids_have_one_spelling() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<TenantId>().unwrap().to_string(), text);
        assert_eq!(text.parse::<Handle>().unwrap().to_string(), text);
        for wrong in [
            "",
            "00",
            "00112233445566778899AABBCCDDEEFF",
            "00112233445566778899aabbccddeefg",
        ] {
            assert!(wrong.parse::<TenantId>().is_err(), "{wrong}");
            assert!(wrong.parse::<Handle>().is_err(), "{wrong}");
        }
        let id = RecordId::new(1, [3; 10]).to_string();
        assert!(id.to_uppercase().parse::<RecordId>().is_err() || id == id.to_uppercase());
        assert!(id.replace('-', "").parse::<RecordId>().is_err());
    }
}
