//! Keys, tokens and passwords, by the shapes that their issuers gave them.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex, RegexSet};

use super::text::Text;
use super::{Confidence, Detector, TextHit};

/// A shape. The value is the capture `v` where there is one, else all of the match.
struct Shape {
    detector: Detector,
    pattern: &'static str,
    /// Judges a value beyond its shape.
    judge: fn(&Text<'_>, &Range<usize>) -> Option<Confidence>,
}

const SHAPES: &[Shape] = &[
    Shape {
        detector: Detector::PrivateKey,
        pattern: r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?s:.*?-----END [A-Z0-9 ]*-----|.*)",
        judge: sure,
    },
    Shape {
        detector: Detector::Jwt,
        pattern: r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        judge: sure,
    },
    Shape {
        detector: Detector::AwsKeyId,
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        judge: sure,
    },
    Shape {
        detector: Detector::GcpKey,
        pattern: r"\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}|\bGOCSPX-[0-9A-Za-z_-]{28}",
        judge: sure,
    },
    Shape {
        detector: Detector::GithubToken,
        pattern: r"\bgh[pousr]_[A-Za-z0-9]{36,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}",
        judge: sure,
    },
    Shape {
        detector: Detector::SlackToken,
        pattern: r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/(?P<v>[A-Za-z0-9/]{20,})",
        judge: sure,
    },
    Shape {
        detector: Detector::StripeKey,
        pattern: r"\b[rs]k_live_[A-Za-z0-9]{10,}|\bwhsec_[A-Za-z0-9+/=]{20,}",
        judge: sure,
    },
    Shape {
        detector: Detector::AzureKey,
        pattern: r"AccountKey=(?P<v>[A-Za-z0-9+/]{86}==)|[?&]sig=(?P<sig>[A-Za-z0-9%+/]{40,}(?:=|%3[Dd])*)|\b[A-Za-z0-9_~.]{3}8Q~[A-Za-z0-9_~.-]{31,34}",
        judge: sure,
    },
    Shape {
        detector: Detector::UrlCredentials,
        pattern: r"[A-Za-z][A-Za-z0-9+.-]*://(?P<v>[^\s/?#@:]*:[^\s/?#@]+)@|[?&;](?i:access_token|auth_token|refresh_token|id_token|token|api[_-]?key|passwd|password|pwd|secret|client_secret|signature)=(?P<sig>[^&;\s#\x22]{6,})",
        judge: sure,
    },
    Shape {
        detector: Detector::HttpCredentials,
        pattern: r"\b(?i:bearer|basic)[ :]+(?P<v>[A-Za-z0-9._~+/-]{8,}=*)",
        judge: http_credentials,
    },
];

/// What at least one of stands in every value of a shape: looked for at once, before any shape is.
const LITERALS: &str = r"eyJ|-----BEGIN|AKIA|ASIA|ABIA|ACCA|AIza|ya29\.|GOCSPX|gh[pousr]_|github_pat_|xox[abeoprs]-|xapp-|hooks\.slack|[rs]k_live_|whsec_|AccountKey=|8Q~|://|[?&;][A-Za-z_-]+=|(?i:bearer|basic)";

static ANY: LazyLock<Regex> = LazyLock::new(|| regex(LITERALS));
static EACH: LazyLock<Vec<Regex>> =
    LazyLock::new(|| SHAPES.iter().map(|shape| regex(shape.pattern)).collect());
static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    let patterns = SHAPES.iter().map(|shape| ascii(shape.pattern));
    RegexSet::new(patterns).expect("the shapes are regular expressions")
});

/// Every delimiter is ASCII, so that matches end between characters.
fn ascii(pattern: &str) -> String {
    format!("(?-u){pattern}")
}

fn regex(pattern: &str) -> Regex {
    Regex::new(&ascii(pattern)).expect("the shapes are regular expressions")
}

/// No value of a shape is shorter.
const BYTES_MIN: usize = 12;

pub(crate) fn find(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    if text.text.len() < BYTES_MIN || !text.wanted.has_any(DETECTORS) {
        return;
    }
    if text.wanted.has(Detector::AwsSecretKey) {
        aws_secret(text, hits);
    }
    if !ANY.is_match(text.bytes()) {
        return;
    }
    for at in &SET.matches(text.bytes()) {
        let shape = &SHAPES[at];
        if !text.wanted.has(shape.detector) {
            continue;
        }
        for found in EACH[at].captures_iter(text.bytes()) {
            let span = value(&found);
            if let Some(confidence) = (shape.judge)(text, &span) {
                hits.push(text.hit(shape.detector, span, confidence));
            }
        }
    }
}

const DETECTORS: &[Detector] = &[
    Detector::PrivateKey,
    Detector::Jwt,
    Detector::AwsKeyId,
    Detector::AwsSecretKey,
    Detector::GcpKey,
    Detector::GithubToken,
    Detector::SlackToken,
    Detector::StripeKey,
    Detector::AzureKey,
    Detector::UrlCredentials,
    Detector::HttpCredentials,
];

fn value(found: &Captures<'_>) -> Range<usize> {
    let named = found.name("v").or_else(|| found.name("sig"));
    named.or_else(|| found.get(0)).map_or(0..0, |value| value.range())
}

fn sure(_: &Text<'_>, _: &Range<usize>) -> Option<Confidence> {
    Some(Confidence::Sure)
}

/// `Basic` is followed by base64 of `name:password`, `Bearer` by a token, not by a word.
fn http_credentials(text: &Text<'_>, span: &Range<usize>) -> Option<Confidence> {
    let value = &text.text[span.clone()];
    let scheme = text.text[..span.start].trim_end_matches([' ', ':']);
    if scheme.len() >= 5 && scheme.as_bytes()[scheme.len() - 5..].eq_ignore_ascii_case(b"basic") {
        return is_name_and_password(value).then_some(Confidence::Sure);
    }
    let digits = value.bytes().any(|byte| byte.is_ascii_digit());
    (digits && value.len() >= 16).then_some(Confidence::Sure)
}

/// Whether base64 holds printable ASCII with a colon.
fn is_name_and_password(base64: &str) -> bool {
    let (mut bits, mut count, mut colon) = (0u32, 0, false);
    for byte in base64.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return false,
        };
        bits = (bits << 6 | u32::from(value)) & 0xfff;
        count += 6;
        if count >= 8 {
            count -= 8;
            let decoded = bits >> count & 0xff;
            if !(0x20..0x7f).contains(&decoded) {
                return false;
            }
            colon |= decoded == u32::from(b':');
        }
    }
    colon
}

/// A secret access key has 40 characters like any hash in base64: only the context tells.
fn aws_secret(text: &Text<'_>, hits: &mut Vec<TextHit>) {
    const LENGTH: usize = 40;
    const WORDS: &[&str] = &[
        "secret",
        "secretaccesskey",
        "secretkey",
        "awssecretaccesskey",
        "awssecretkey",
    ];
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+');
    let bytes = text.bytes();
    let mut at = 0;
    while at + LENGTH <= bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_part(**byte)).count();
        let value = &bytes[at..at + length];
        let mixed = |is: fn(&u8) -> bool| value.iter().any(is);
        if length == LENGTH
            && mixed(u8::is_ascii_lowercase)
            && mixed(u8::is_ascii_uppercase)
            && mixed(u8::is_ascii_digit)
            && text.says(at, WORDS)
        {
            hits.push(text.hit(Detector::AwsSecretKey, at..at + length, Confidence::Sure));
        }
        at += length + 1;
    }
}
