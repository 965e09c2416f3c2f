//! Addresses of devices: IPv4, IPv6, MAC.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::numbers::Run;
use super::text::Text;
use super::{Confidence, Detector, TextHit};

const WORDS: &[&str] = &[
    "ip",
    "ipv4",
    "ipv6",
    "ipaddress",
    "addr",
    "address",
    "host",
    "client",
    "remote",
    "peer",
    "src",
    "dst",
    "from",
    "source",
    "destination",
    "forwarded",
    "gateway",
    "subnet",
    "cidr",
    "adresse",
];

/// Four numbers with dots are often a version.
const VERSION_WORDS: &[&str] = &[
    "version", "ver", "release", "build", "v", "firmware", "driver", "revision",
];

pub(crate) fn find_v4(text: &Text<'_>, runs: &[Run], hits: &mut Vec<TextHit>) {
    let bytes = text.bytes();
    for (first, window) in runs.windows(4).enumerate() {
        let joined = window[1..].iter().all(|run| run.joined_by == b'.');
        let longer =
            window[0].joined_by == b'.' || runs.get(first + 4).is_some_and(|next| next.joined_by == b'.');
        if !joined || longer {
            continue;
        }
        let span = window[0].span.start..window[3].span.end;
        let Ok(address) = text.text[span.clone()].parse::<Ipv4Addr>() else {
            continue;
        };
        let before = &bytes[..span.start];
        // `Chrome/120.0.0.0` and `tool-1.2.3.4` are versions, `http://10.0.0.1` is none.
        let versioned = (before.ends_with(b"/") && before.len() > 1 && !before.ends_with(b"//"))
            || before.ends_with(b"_")
            || before.ends_with(b"-")
            || (bytes.get(span.end) == Some(&b'-')
                && bytes.get(span.end + 1).is_some_and(u8::is_ascii_alphabetic))
            || bytes.get(span.end) == Some(&b'_')
            || text.says_right_before(span.start, VERSION_WORDS);
        if versioned || address.is_loopback() || address.octets()[0] == 0 || address.is_broadcast() {
            continue;
        }
        let whole = span.len() == bytes.len();
        let port = matches!(bytes.get(span.end), Some(b':' | b'/'));
        let sure = whole || port || text.says(span.start, WORDS);
        hits.push(text.hit(Detector::Ipv4, span, Confidence::by(sure)));
    }
}

pub(crate) fn find_v6(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    let bytes = text.bytes();
    let part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut at = 0;
    while let Some(colon) = bytes[at..]
        .iter()
        .position(|byte| *byte == b':')
        .map(|found| at + found)
    {
        let from = colon
            - bytes[at..colon]
                .iter()
                .rev()
                .take_while(|byte| part(byte))
                .count();
        let mut to = colon + bytes[colon..].iter().take_while(|byte| part(byte)).count();
        at = to;
        // The sentence's dot and a colon before a port's number are none of the address.
        while to > from && (bytes[to - 1] == b'.' || (bytes[to - 1] == b':' && !bytes[..to].ends_with(b"::")))
        {
            to -= 1;
        }
        let span = from..to;
        let Ok(address) = text.text[span.clone()].parse::<Ipv6Addr>() else {
            continue;
        };
        let groups = bytes[span.clone()]
            .split(|byte| *byte == b':')
            .filter(|part| !part.is_empty())
            .count();
        // `a::b` is a path in programs.
        let told = groups >= 4 || text.says(span.start, WORDS) || span.len() == bytes.len();
        let none = address.is_loopback() || address.is_unspecified() || groups < 2;
        if none || !text.stands_alone(&span) || (groups < 3 && !told) {
            continue;
        }
        hits.push(text.hit(Detector::Ipv6, span, Confidence::by(told)));
    }
}

/// Length of a MAC address in six pairs of hex digits.
const MAC_BYTES: usize = 17;

pub(crate) fn find_mac(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    let bytes = text.bytes();
    for (at, window) in bytes.windows(MAC_BYTES).enumerate() {
        let separator = window[2];
        if !matches!(separator, b':' | b'-') || !window[0].is_ascii_hexdigit() {
            continue;
        }
        let fits = window.iter().enumerate().all(|(place, byte)| {
            if place % 3 == 2 {
                *byte == separator
            } else {
                byte.is_ascii_hexdigit()
            }
        });
        let span = at..at + MAC_BYTES;
        let longer = (at > 0 && bytes[at - 1] == separator) || bytes.get(span.end) == Some(&separator);
        let device = window.iter().any(|byte| !matches!(byte, b':' | b'-' | b'0'))
            && window
                .iter()
                .any(|byte| !matches!(byte, b':' | b'-' | b'f' | b'F'));
        if fits && device && !longer && text.stands_alone(&span) {
            hits.push(text.hit(Detector::Mac, span, Confidence::Sure));
        }
    }
}
