//! What a rule can do with a value on its way: transforms, tests, lookups.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::event::time::parse_rfc3339;

/// A change to a text.
#[derive(Clone, Debug)]
pub(super) enum Transform {
    /// `GetBucketPolicy` to `get_bucket_policy`; runs of other characters to one `_`.
    SnakeCase,
    /// Each part between `.` in snake case: `com.Acme.OrderPaid` to `com.acme.order_paid`.
    DottedSnakeCase,
    /// All to lower case.
    Lowercase,
    /// Without control characters.
    Printable,
    /// Fit for an idempotency key: one that is too long or has control characters becomes its BLAKE3 hash, hex.
    Key,
    /// What stands before the first `.`.
    FirstLabel,
    /// What stands after the last `/` or `:`.
    LastPart,
    /// At most so many bytes, cut between characters.
    Truncate(usize),
}

/// A test that a value must pass for its rule to yield it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    IsIp,
    NotIp,
    /// RFC 3339 with offset, 1970 to 2262.
    IsTime,
    /// So many hexadecimal digits in lower case, not all zero (W3C trace context).
    IsTraceId(usize),
}

/// Patterns and values; the first pattern that matches wins. `*` stands for any characters.
#[derive(Clone, Debug)]
pub(super) struct Lookup(pub(super) Vec<(String, String)>);

impl Transform {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        if let Some(bytes) = name.strip_prefix("truncate:") {
            return bytes
                .parse()
                .map(Self::Truncate)
                .map_err(|_| format!("{name}: not a number of bytes"));
        }
        match name {
            "snake_case" => Ok(Self::SnakeCase),
            "dotted_snake_case" => Ok(Self::DottedSnakeCase),
            "lowercase" => Ok(Self::Lowercase),
            "printable" => Ok(Self::Printable),
            "key" => Ok(Self::Key),
            "first_label" => Ok(Self::FirstLabel),
            "last_part" => Ok(Self::LastPart),
            _ => Err(format!("no transform {name}")),
        }
    }

    pub(super) fn apply<'v>(&self, value: Cow<'v, str>) -> Cow<'v, str> {
        match self {
            Self::SnakeCase => Cow::Owned(snake_case(&value)),
            Self::DottedSnakeCase => Cow::Owned(dotted_snake_case(&value)),
            Self::Lowercase => Cow::Owned(value.to_lowercase()),
            Self::Printable if !value.contains(char::is_control) => value,
            Self::Printable => Cow::Owned(value.replace(char::is_control, "")),
            Self::FirstLabel => slice(value, |text| text.split('.').next()),
            Self::LastPart => slice(value, |text| text.rsplit(['/', ':']).next()),
            Self::Key if value.len() <= KEY_MAX && !value.contains(char::is_control) => value,
            Self::Key => Cow::Owned(blake3::hash(value.as_bytes()).to_hex().to_string()),
            Self::Truncate(bytes) => slice(value, |text| text.get(..text.floor_char_boundary(*bytes))),
        }
    }
}

/// Bytes in an idempotency key.
const KEY_MAX: usize = 128;

impl Test {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "is_ip" => Ok(Self::IsIp),
            "not_ip" => Ok(Self::NotIp),
            "is_time" => Ok(Self::IsTime),
            "is_trace_id" => Ok(Self::IsTraceId(32)),
            "is_span_id" => Ok(Self::IsTraceId(16)),
            _ => Err(format!("no test {name}")),
        }
    }

    pub(super) fn passes(self, value: &str) -> bool {
        match self {
            Self::IsIp => value.parse::<IpAddr>().is_ok(),
            Self::NotIp => value.parse::<IpAddr>().is_err(),
            Self::IsTime => parse_rfc3339(value).is_ok(),
            Self::IsTraceId(digits) => {
                value.len() == digits
                    && value
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                    && value.bytes().any(|byte| byte != b'0')
            }
        }
    }
}

impl Lookup {
    pub(super) fn find(&self, value: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(pattern, _)| matches(pattern, value))
            .map(|(_, found)| found.as_str())
    }
}

fn slice<'v>(value: Cow<'v, str>, part: impl Fn(&str) -> Option<&str>) -> Cow<'v, str> {
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(part(text).unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).unwrap_or(&text).to_owned()),
    }
}

/// Words in lower case joined by `_`: a new word starts at an upper-case letter after a lower-case one or a digit,
/// and at the last upper-case letter of a run (`DescribeDBInstances` to `describe_db_instances`).
fn snake_case(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    for (at, char) in chars.iter().enumerate() {
        if !char.is_ascii_alphanumeric() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        let before = at.checked_sub(1).map(|before| chars[before]);
        let after_small = before.is_some_and(|before| before.is_ascii_lowercase() || before.is_ascii_digit());
        let ends_run = before.is_some_and(|before| before.is_ascii_uppercase())
            && chars.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if char.is_ascii_uppercase() && (after_small || ends_run) && !out.ends_with('_') {
            out.push('_');
        }
        out.push(char.to_ascii_lowercase());
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

fn dotted_snake_case(text: &str) -> String {
    let parts: Vec<String> = text
        .split('.')
        .map(snake_case)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(".")
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut rest = rest;
    while let Some((part, next)) = rest.split_once('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
        rest = next;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::{Test, dotted_snake_case, matches, snake_case};

    #[test]
    fn names_become_snake_case() {
        for (given, expected) in [
            ("GetBucketPolicy", "get_bucket_policy"),
            ("DescribeDBInstances", "describe_db_instances"),
            ("ListTagsForResource20150331", "list_tags_for_resource20150331"),
            ("UpdateFunctionCode20150331v2", "update_function_code20150331v2"),
            ("GetMFADevice", "get_mfa_device"),
            ("execute-api", "execute_api"),
            ("--X--", "x"),
            ("ConsoleLogin", "console_login"),
            ("", ""),
        ] {
            assert_eq!(snake_case(given), expected, "{given}");
        }
    }

    #[test]
    fn dotted_names_become_actions() {
        for (given, expected) in [
            ("com.Acme.OrderPaid", "com.acme.order_paid"),
            ("user.login", "user.login"),
            ("..a..b c.", "a.b_c"),
            ("/", ""),
        ] {
            assert_eq!(dotted_snake_case(given), expected, "{given}");
        }
    }

    #[test]
    fn tests_tell_times_and_trace_ids() {
        for (test, text, expected) in [
            ("is_time", "2026-11-22T02:06:14.123+01:00", true),
            ("is_time", "2026-11-22T02:06:14", false),
            ("is_time", "1763777174", false),
            ("is_trace_id", "5b8efff798038103d269b633813fc60c", true),
            ("is_trace_id", "5B8EFFF798038103D269B633813FC60C", false),
            ("is_trace_id", "00000000000000000000000000000000", false),
            ("is_span_id", "eee19b7ec3c1b174", true),
            ("is_span_id", "eee19b7ec3c1b17", false),
        ] {
            assert_eq!(Test::parse(test).unwrap().passes(text), expected, "{test} {text}");
        }
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("AccessDenied", "AccessDenied", true),
            ("AccessDenied", "AccessDeniedException", false),
            ("AccessDenied*", "AccessDeniedException", true),
            ("*Unauthorized*", "Client.UnauthorizedOperation", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
