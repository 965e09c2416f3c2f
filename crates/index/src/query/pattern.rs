//! Values with wildcards.

/// Wildcards that one value may have.
const WILDCARDS_MAX: usize = 16;

/// A value as typed, after its escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Exactly this.
    Whole(String),
    /// Whatever starts with this; empty means any value.
    Start(String),
    /// Whatever has this form.
    Like(Glob),
}

/// A text with wildcards, of which at least one is not a `*` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    /// What stands before the first wildcard.
    pub(crate) start: String,
    /// From the first wildcard on.
    pub(crate) rest: Vec<Piece>,
}

/// A piece of a text with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This text.
    Text(String),
    /// Any one character.
    One,
    /// Any characters, or none.
    Many,
}

impl Pattern {
    /// Reads an unquoted value: `*` and `?` are wildcards, a backslash before a special character makes it a plain
    /// one.
    pub(crate) fn read(raw: &str) -> Result<Self, &'static str> {
        Self::of(pieces(raw)?)
    }

    pub(super) fn of(mut pieces: Vec<Piece>) -> Result<Self, &'static str> {
        let count = pieces
            .iter()
            .filter(|piece| !matches!(piece, Piece::Text(_)))
            .count();
        if count > WILDCARDS_MAX {
            return Err("a value has at most 16 wildcards");
        }
        let start = match pieces.first_mut() {
            Some(Piece::Text(text)) => {
                let start = std::mem::take(text);
                pieces.remove(0);
                start
            }
            _ => String::new(),
        };
        Ok(match pieces.as_slice() {
            [] => Self::Whole(start),
            [Piece::Many] => Self::Start(start),
            _ => Self::Like(Glob { start, rest: pieces }),
        })
    }

    /// Tells whether the value starts with a wildcard, and is not `*` alone.
    pub(crate) fn leads_with_wildcard(&self) -> bool {
        matches!(self, Self::Like(glob) if glob.start.is_empty())
    }

    /// The same with every plain text changed.
    pub(crate) fn map(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Whole(value) => Self::Whole(change(&value)),
            Self::Start(start) => Self::Start(change(&start)),
            Self::Like(glob) => Self::Like(glob.map(change)),
        }
    }

    /// The value as a form, whatever it is.
    pub(crate) fn into_glob(self) -> Glob {
        match self {
            Self::Whole(start) => Glob {
                start,
                rest: Vec::new(),
            },
            Self::Start(start) => Glob {
                start,
                rest: vec![Piece::Many],
            },
            Self::Like(glob) => glob,
        }
    }
}

impl Glob {
    /// The same with every plain text changed.
    pub(crate) fn map(self, change: impl Fn(&str) -> String) -> Self {
        let rest = self.rest.into_iter().map(|piece| match piece {
            Piece::Text(text) => Piece::Text(change(&text)),
            wildcard => wildcard,
        });
        Self {
            start: change(&self.start),
            rest: rest.collect(),
        }
    }

    /// Tells whether a text has this form.
    pub(crate) fn matches(&self, text: &str) -> bool {
        text.strip_prefix(&*self.start)
            .is_some_and(|rest| self.matches_rest(rest))
    }

    /// Tells whether a text without the start has the rest of this form.
    ///
    /// On a mismatch only the last `*` takes one character more: an earlier one never has to.
    pub(crate) fn matches_rest(&self, text: &str) -> bool {
        let (mut piece, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let rest = text.get(at..).unwrap_or("");
            let step = match self.rest.get(piece) {
                Some(Piece::Many) if piece + 1 == self.rest.len() => return true,
                Some(Piece::Many) => {
                    retry = Some((piece + 1, at));
                    Some(0)
                }
                Some(Piece::Text(wanted)) => rest.starts_with(&**wanted).then_some(wanted.len()),
                Some(Piece::One) => rest.chars().next().map(char::len_utf8),
                None if rest.is_empty() => return true,
                None => None,
            };
            if let Some(length) = step {
                at += length;
                piece += 1;
                continue;
            }
            let Some((after, from)) = retry else { return false };
            let Some(skipped) = text.get(from..).and_then(|rest| rest.chars().next()) else {
                return false;
            };
            at = from + skipped.len_utf8();
            piece = after;
            retry = Some((after, at));
        }
    }
}

/// Cuts an unquoted value in texts and wildcards. Neighbouring `*` are one.
pub(crate) fn pieces(raw: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let wildcard = match c {
            '\\' if chars.peek().is_some_and(|next| is_special(*next)) => {
                plain.extend(chars.next());
                continue;
            }
            '\\' if chars.peek().is_none() => return Err("a backslash at the end needs another before it"),
            '*' => Piece::Many,
            '?' => Piece::One,
            _ => {
                plain.push(c);
                continue;
            }
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        if wildcard != Piece::Many || pieces.last() != Some(&Piece::Many) {
            pieces.push(wildcard);
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// Characters whose meaning a backslash takes away. Before others a backslash is a backslash.
pub(crate) fn is_special(c: char) -> bool {
    c.is_whitespace() || "\\*?:\"'()[]{}^~+-!/<>=,`&|".contains(c)
}

#[cfg(test)]
mod tests {
    use super::{Glob, Pattern, Piece};

    fn glob(raw: &str) -> Glob {
        Pattern::read(raw).unwrap().into_glob()
    }

    #[test]
    fn values_are_read_with_their_escapes() {
        let whole = |text: &str| Ok(Pattern::Whole(text.to_owned()));
        let start = |text: &str| Ok(Pattern::Start(text.to_owned()));
        assert_eq!(Pattern::read("a.b"), whole("a.b"));
        assert_eq!(Pattern::read(r"a\*b\?c\\d\ne"), whole(r"a*b?c\d\ne"));
        assert_eq!(Pattern::read("a*"), start("a"));
        assert_eq!(Pattern::read("a**"), start("a"));
        assert_eq!(Pattern::read(r"a\**"), start("a*"));
        assert_eq!(Pattern::read(r"a\\*"), start(r"a\"));
        assert_eq!(Pattern::read("*"), start(""));
        assert_eq!(
            Pattern::read("a*b?"),
            Ok(Pattern::Like(Glob {
                start: "a".to_owned(),
                rest: vec![Piece::Many, Piece::Text("b".to_owned()), Piece::One],
            }))
        );
        assert!(Pattern::read("a\\").is_err());
        assert!(Pattern::read(&"a?".repeat(17)).is_err());
        assert!(Pattern::read("*a").unwrap().leads_with_wildcard());
        assert!(Pattern::read("?*").unwrap().leads_with_wildcard());
        assert!(!Pattern::read("*").unwrap().leads_with_wildcard());
    }

    #[test]
    fn forms_match_like_a_slow_matcher() {
        fn slow(glob: &[char], text: &[char]) -> bool {
            match (glob.split_first(), text.split_first()) {
                (None, rest) => rest.is_none(),
                (Some(('*', after)), rest) => {
                    slow(after, text) || rest.is_some_and(|(_, rest)| slow(glob, rest))
                }
                (Some((wanted, after)), Some((c, rest))) => {
                    (*wanted == '?' || wanted == c) && slow(after, rest)
                }
                (Some(_), None) => false,
            }
        }
        let chars = |mut n: usize, from: &[char]| {
            let mut text = Vec::new();
            while n > 0 {
                text.push(from[n % from.len()]);
                n /= from.len();
            }
            text
        };
        for g in 1..1024 {
            let pattern = chars(g, &['*', 'a', '?', 'é']);
            let matcher = glob(&pattern.iter().collect::<String>());
            for t in 0..243 {
                let text = chars(t, &['é', 'a', 'b']);
                let found = matcher.matches(&text.iter().collect::<String>());
                assert_eq!(found, slow(&pattern, &text), "{pattern:?} {text:?}");
            }
        }
    }
}
