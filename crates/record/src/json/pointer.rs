//! JSON pointers (RFC 6901).

use std::borrow::Cow;

/// Appends `/segment`, escaped.
pub(crate) fn push_segment(out: &mut String, segment: &str) {
    out.push('/');
    for char in segment.chars() {
        match char {
            '~' => out.push_str("~0"),
            '/' => out.push_str("~1"),
            char => out.push(char),
        }
    }
}

/// Returns the unescaped segments; `None` when the text is not a pointer to something inside a value.
pub(crate) fn segments(pointer: &str) -> Option<Vec<Cow<'_, str>>> {
    pointer.strip_prefix('/')?.split('/').map(segment).collect()
}

/// Returns the index that a segment is: decimal, no leading zero.
pub(crate) fn index(segment: &str) -> Option<usize> {
    let plain = segment == "0" || (!segment.starts_with('0') && segment.bytes().all(|b| b.is_ascii_digit()));
    if plain { segment.parse().ok() } else { None }
}

fn segment(escaped: &str) -> Option<Cow<'_, str>> {
    if !escaped.contains('~') {
        return Some(Cow::Borrowed(escaped));
    }
    let mut text = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(char) = chars.next() {
        text.push(match char {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            char => char,
        });
    }
    Some(Cow::Owned(text))
}
