//! What a rule can do with a value on its way: transforms, tests, lookups.

use std::borrow::Cow;
use std::net::IpAddr;

/// A change to a text.
#[derive(Clone, Debug)]
pub(super) enum Transform {
    /// `GetBucketPolicy` to `get_bucket_policy`; runs of other characters to one `_`.
    SnakeCase,
    /// All to lower case.
    Lowercase,
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
            "lowercase" => Ok(Self::Lowercase),
            "first_label" => Ok(Self::FirstLabel),
            "last_part" => Ok(Self::LastPart),
            _ => Err(format!("no transform {name}")),
        }
    }

    pub(super) fn apply<'v>(&self, value: Cow<'v, str>) -> Cow<'v, str> {
        match self {
            Self::SnakeCase => Cow::Owned(snake_case(&value)),
            Self::Lowercase => Cow::Owned(value.to_lowercase()),
            Self::FirstLabel => slice(value, |text| text.split('.').next()),
            Self::LastPart => slice(value, |text| text.rsplit(['/', ':']).next()),
            Self::Truncate(bytes) => slice(value, |text| text.get(..text.floor_char_boundary(*bytes))),
        }
    }
}

impl Test {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "is_ip" => Ok(Self::IsIp),
            "not_ip" => Ok(Self::NotIp),
            _ => Err(format!("no test {name}")),
        }
    }

    pub(super) fn passes(self, value: &str) -> bool {
        value.parse::<IpAddr>().is_ok() == matches!(self, Self::IsIp)
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
    use super::{matches, snake_case};

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
