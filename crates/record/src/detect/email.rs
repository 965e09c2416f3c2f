//! E-mail addresses, also with `%40` for the sign, as URLs have them.

use super::text::{AT, PERCENT, Text};
use super::{Confidence, Detector, TextHit};

const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 253;

pub(crate) fn find(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    let bytes = text.bytes();
    let mut at = 0;
    while let Some(found) = next_sign(text, at) {
        let (sign, after) = found;
        at = after;
        let from = local(bytes, sign);
        let Some(to) = domain(bytes, after) else { continue };
        if from < sign {
            hits.push(text.hit(Detector::Email, from..to, Confidence::Sure));
            at = to;
        }
    }
}

/// Returns where the next sign begins and ends.
fn next_sign(text: &Text<'_>, from: usize) -> Option<(usize, usize)> {
    let rest = &text.bytes()[from..];
    let plain = text
        .marks
        .any(AT)
        .then(|| rest.iter().position(|byte| *byte == b'@'));
    let coded = text
        .marks
        .any(PERCENT)
        .then(|| rest.windows(3).position(|three| three == b"%40"));
    match (plain.flatten(), coded.flatten()) {
        (Some(plain), Some(coded)) if coded < plain => Some((from + coded, from + coded + 3)),
        (Some(plain), _) => Some((from + plain, from + plain + 1)),
        (None, Some(coded)) => Some((from + coded, from + coded + 3)),
        (None, None) => None,
    }
}

/// Returns where the local part before a sign begins.
fn local(bytes: &[u8], sign: usize) -> usize {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-'~".contains(&byte) || byte >= 0x80;
    let mut from = sign;
    while from > 0 && is_local(bytes[from - 1]) && sign - from < 2 * LOCAL_MAX {
        from -= 1;
    }
    while from < sign && (matches!(bytes[from], b'.' | b'\'' | b'-') || is_continuation(bytes[from])) {
        from += 1;
    }
    if from < sign && bytes[sign - 1] == b'.' {
        return sign;
    }
    from
}

/// Returns where the domain after a sign ends: at least two labels, the last of letters.
fn domain(bytes: &[u8], from: usize) -> Option<usize> {
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || byte >= 0x80;
    let mut to = from;
    while to < bytes.len() && is_domain(bytes[to]) && to - from < DOMAIN_MAX {
        to += 1;
    }
    while to > from
        && (matches!(bytes[to - 1], b'.' | b'-') || bytes.get(to).is_some_and(|b| is_continuation(*b)))
    {
        to -= 1;
    }
    let name = &bytes[from..to];
    let mut labels = name.split(|byte| *byte == b'.');
    let last = labels.next_back()?;
    let top = last.len() >= 2 && (last.starts_with(b"xn--") || !last.iter().any(u8::is_ascii_digit));
    let others: Vec<_> = labels.collect();
    let fits = |label: &&[u8]| !label.is_empty() && !label.starts_with(b"-") && !label.ends_with(b"-");
    (top && !others.is_empty() && others.iter().all(fits)).then_some(to)
}

/// Whether a byte goes on with a character that an earlier byte began.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
