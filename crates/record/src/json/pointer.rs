//! JSON pointers (RFC 6901).

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
