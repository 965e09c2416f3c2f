//! Patterns of names, in which a `*` stands for any characters.

/// Whether a text has the form of a pattern.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.find(piece) {
            Some(at) => text = text.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, fits) in [
            ("acme", "acme", true),
            ("acme", "acme2", false),
            ("*", "", true),
            ("a*e", "acme", true),
            ("a*e", "ae", true),
            ("a*e", "acm", false),
            ("a*a", "a", false),
            ("*c*e", "acme", true),
            ("*m*c*", "acme", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
