//! Strings: finding what needs attention eight bytes at a time, escaping, unescaping.

use crate::event::{ErrorCode, EventError};

/// Returns the first place at or after `at` that holds `"`, `\` or a control character; the length if none.
pub(crate) fn next_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let found = zero_bytes(word ^ repeat(b'"')) | zero_bytes(word ^ repeat(b'\\')) | below_space(word);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..=0x1f) {
        at += 1;
    }
    at
}

/// Appends a JSON string: `"`, `\` and control characters escaped, in their short form where there is one.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    loop {
        let special = next_special(bytes, from);
        out.extend_from_slice(&bytes[from..special]);
        let Some(byte) = bytes.get(special) else { break };
        push_escape(out, *byte);
        from = special + 1;
    }
    out.push(b'"');
}

/// Appends the text of a string's inside, unescaped.
///
/// # Errors
/// `invalid_json` for an unknown escape, `invalid_utf8` for half of a surrogate pair.
pub(crate) fn unescape(inside: &str) -> Result<String, Box<EventError>> {
    let mut text = String::with_capacity(inside.len());
    each_piece(inside, |piece| match piece {
        Piece::Plain(plain) => text.push_str(plain),
        Piece::Char(char) => text.push(char),
    })?;
    Ok(text)
}

/// Checks the escapes of a string's inside.
///
/// # Errors
/// As [`unescape`].
pub(crate) fn check_escapes(inside: &str) -> Result<(), Box<EventError>> {
    each_piece(inside, |_| ())
}

enum Piece<'a> {
    Plain(&'a str),
    Char(char),
}

fn each_piece<'a>(inside: &'a str, mut each: impl FnMut(Piece<'a>)) -> Result<(), Box<EventError>> {
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        each(Piece::Plain(&rest[..at]));
        let (char, length) = escaped(&rest.as_bytes()[at + 1..])?;
        each(Piece::Char(char));
        rest = &rest[at + 1 + length..];
    }
    each(Piece::Plain(rest));
    Ok(())
}

/// Reads what follows a backslash; returns the character and how many bytes it took.
fn escaped(bytes: &[u8]) -> Result<(char, usize), Box<EventError>> {
    let char = match bytes.first() {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return code_unit(&bytes[1..]),
        _ => {
            return Err(EventError::new(
                ErrorCode::InvalidJson,
                "unknown escape in a string",
            ));
        }
    };
    Ok((char, 1))
}

fn code_unit(bytes: &[u8]) -> Result<(char, usize), Box<EventError>> {
    let lone = || EventError::new(ErrorCode::InvalidUtf8, "half of a surrogate pair");
    let first = hex4(bytes)?;
    if !(0xd800..0xe000).contains(&first) {
        return Ok((char::from_u32(first).ok_or_else(lone)?, 5));
    }
    if first >= 0xdc00 || bytes.get(4..6) != Some(b"\\u") {
        return Err(lone());
    }
    let second = hex4(&bytes[6..])?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(lone());
    }
    let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Ok((char::from_u32(scalar).ok_or_else(lone)?, 11))
}

fn hex4(bytes: &[u8]) -> Result<u32, Box<EventError>> {
    let wrong = || EventError::new(ErrorCode::InvalidJson, "`\\u` needs four hex digits");
    let digits = bytes.get(..4).ok_or_else(wrong)?;
    digits.iter().try_fold(0, |value, digit| {
        Ok(value << 4 | char::from(*digit).to_digit(16).ok_or_else(wrong)?)
    })
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks the high bit of bytes that are zero. Exact up to the first one marked, which is all that is used.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}

/// Marks the high bit of bytes below 0x20, as exactly.
const fn below_space(word: u64) -> u64 {
    word.wrapping_sub(repeat(0x20)) & !word & repeat(0x80)
}
