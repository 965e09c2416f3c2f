//! Text forms shared by notes, checkpoints and proofs: strict base64, and decimal numbers with one spelling.

use alloc::{string::String, vec::Vec};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Encodes as standard padded base64.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes standard base64 that is padded and has no stray trailing bits.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Parses ASCII decimal digits with no sign and no leading zero, up to `max`.
pub(crate) fn decimal(text: &str, max: u64) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = (canonical && digits).then(|| text.parse::<u64>().ok())??;
    (number <= max).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimal_has_one_spelling() {
        assert_eq!(decimal("0", 9), Some(0));
        assert_eq!(decimal("18446744073709551615", u64::MAX), Some(u64::MAX));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_0",
            "٣",
            "18446744073709551616",
        ] {
            assert_eq!(decimal(bad, u64::MAX), None, "{bad:?}");
        }
        assert_eq!(decimal("10", 9), None);
    }
}
