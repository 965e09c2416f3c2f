//! Walking the leaves of free-form JSON without building a tree.
//!
//! The text was checked when it was accepted, and is authenticated since: this reader tells tokens apart, and does not
//! check them again. Text that is no JSON yields some leaves or none, never a panic.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::schema::PATH_END;
use crate::words::cut;

/// Deeper values are passed over. What is accepted is never as deep.
const DEPTH_MAX: usize = 256;

/// A scalar of a JSON text. Nulls are not leaves: they mark values that were taken out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Leaf<'a> {
    Text(&'a str),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Leaf<'_> {
    /// Appends the text under which the leaf is indexed: equal numbers have equal texts.
    pub(crate) fn push_to(&self, target: &mut String, max: usize) {
        // Writing to a string does not fail.
        let _ = match self {
            Self::Text(text) => target.write_str(cut(text, max)),
            Self::Signed(number) => write!(target, "{number}"),
            Self::Unsigned(number) => write!(target, "{number}"),
            Self::Float(number) => write!(target, "{number}"),
            Self::Bool(value) => write!(target, "{value}"),
        };
    }
}

/// Calls `each` with the dotted path, beneath `root`, and value of every leaf of `json`. Items of an array have the
/// array's path.
pub(crate) fn walk(json: &str, root: &str, each: &mut dyn FnMut(&str, Leaf<'_>)) {
    let mut walk = Walk {
        text: json,
        at: 0,
        path: root.to_owned(),
        open: Vec::new(),
    };
    while let Some(leaf) = walk.next() {
        let number = match &leaf {
            Token::Text(text) => Some(Leaf::Text(text)),
            Token::Number(text) => number(text),
            Token::Bool(value) => Some(Leaf::Bool(*value)),
        };
        if let Some(leaf) = number {
            each(&walk.path, leaf);
        }
    }
}

/// Calls `each` with every string value, as [`walk`] does, without paths.
pub(crate) fn strings(json: &str, each: &mut dyn FnMut(&str)) {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some((text, end)) = string(json, find(bytes, at, [b'"', b'"'])) {
        at = end;
        // A string before a colon is a name.
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
            at += 1;
        }
        if bytes.get(at) != Some(&b':') {
            each(&text);
        }
    }
}

enum Token<'a> {
    Text(Cow<'a, str>),
    Number(&'a str),
    Bool(bool),
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    path: String,
    /// Objects and arrays around: the length of their path; none for arrays.
    open: Vec<Option<usize>>,
}

impl<'a> Walk<'a> {
    /// The next leaf; its path is in `path`.
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            match byte {
                b'{' => {
                    self.open.push(Some(self.path.len()));
                    self.at += 1;
                }
                b'[' => {
                    self.open.push(None);
                    self.at += 1;
                }
                b'}' | b']' => {
                    if let Some(Some(length)) = self.open.pop() {
                        self.path.truncate(length);
                    }
                    self.at += 1;
                }
                b'"' => {
                    let (text, end) = string(self.text, self.at)?;
                    self.at = end;
                    if !self.is_name() {
                        return Some(Token::Text(text));
                    }
                    self.at += 1;
                    self.enter(&text);
                }
                b't' | b'f' => {
                    self.at += if byte == b't' { 4 } else { 5 };
                    return Some(Token::Bool(byte == b't'));
                }
                b'-' | b'0'..=b'9' => {
                    let from = self.at;
                    let rest = self.text.as_bytes().get(from..)?;
                    let in_number =
                        |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    let length = rest
                        .iter()
                        .position(|byte| !in_number(byte))
                        .unwrap_or(rest.len());
                    self.at += length;
                    return Some(Token::Number(self.text.get(from..from + length)?));
                }
                b'n' => self.at += 4,
                _ => self.at += 1,
            }
            if self.open.len() > DEPTH_MAX {
                return None;
            }
        }
    }

    /// Tells whether a string that ends here is a name: a colon comes next.
    fn is_name(&mut self) -> bool {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        self.text.as_bytes().get(self.at) == Some(&b':')
    }

    /// Puts a name in the place of the one before it.
    fn enter(&mut self, name: &str) {
        let Some(Some(length)) = self.open.last() else {
            return;
        };
        self.path.truncate(*length);
        if !self.path.is_empty() {
            self.path.push('.');
        }
        // The separator of terms cannot be a part of a path.
        if name.contains(PATH_END) {
            self.path.extend(name.chars().filter(|c| *c != PATH_END));
        } else {
            self.path.push_str(name);
        }
    }
}

/// Reads a string that begins with the quotation mark at `quote`; returns it and where it ends.
fn string(json: &str, quote: usize) -> Option<(Cow<'_, str>, usize)> {
    let bytes = json.as_bytes();
    let mut escaped = false;
    let mut at = quote + 1;
    loop {
        at = find(bytes, at, [b'"', b'\\']);
        match bytes.get(at)? {
            b'"' => break,
            _ => {
                escaped = true;
                at += 2;
            }
        }
    }
    let text = if escaped {
        Cow::Owned(serde_json::from_str(json.get(quote..=at)?).ok()?)
    } else {
        Cow::Borrowed(json.get(quote + 1..at)?)
    };
    Some((text, at + 1))
}

/// The first place from `at` on that holds one of two bytes, or the length; eight bytes at a time.
#[inline]
fn find(bytes: &[u8], mut at: usize, wanted: [u8; 2]) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let [first, second] = wanted.map(|byte| ONES.wrapping_mul(u64::from(byte)));
    // Marks bytes that are zero, exactly up to the first.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ first) | zeros(word ^ second);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !wanted.contains(byte)) {
        at += 1;
    }
    at
}

/// Reads a number: whole if it is written so and fits, else as a double.
fn number(text: &str) -> Option<Leaf<'static>> {
    if let Ok(number) = text.parse::<u64>() {
        return Some(Leaf::Unsigned(number));
    }
    match text.parse::<i64>() {
        // As in other readers of JSON, -0 is a double.
        Ok(0) => Some(Leaf::Float(-0.0)),
        Ok(number) => Some(Leaf::Signed(number)),
        Err(_) => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(Leaf::Float),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{Leaf, strings, walk};

    fn leaves(json: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        walk(json, "", &mut |path, leaf| {
            let mut text = String::new();
            leaf.push_to(&mut text, 512);
            found.push((path.to_owned(), text));
        });
        found
    }

    fn expected(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let dot = if path.is_empty() { "" } else { "." };
                    expected(value, &format!("{path}{dot}{}", name.replace('\0', "")), found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| expected(item, path, found)),
            Value::Null => {}
            leaf => found.push((path.to_owned(), leaf.clone())),
        }
    }

    fn value_of(leaf: Leaf<'_>) -> Value {
        match leaf {
            Leaf::Text(text) => text.into(),
            Leaf::Signed(number) => number.into(),
            Leaf::Unsigned(number) => number.into(),
            Leaf::Float(number) => number.into(),
            Leaf::Bool(value) => value.into(),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            "[a-c\\\\\"\n\u{0}é:,{}\\[\\] ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-c.:\"\u{0}]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_walk_meets_what_a_tree_holds(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.expect("JSON");
            let (mut found, mut wanted) = (Vec::new(), Vec::new());
            walk(&text, "", &mut |path, leaf| found.push((path.to_owned(), value_of(leaf))));
            expected(&value, "", &mut wanted);
            prop_assert_eq!(&found, &wanted);
            let mut texts = Vec::new();
            strings(&text, &mut |text| texts.push(Value::from(text)));
            let wanted: Vec<Value> = wanted.into_iter().map(|(_, value)| value).filter(Value::is_string).collect();
            prop_assert_eq!(texts, wanted);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:a\\\\0-9tfn.\u{0}é ]{0,40}") {
            walk(&text, "root", &mut |_, _| ());
            strings(&text, &mut |_| ());
        }
    }

    #[test]
    fn numbers_of_one_value_have_one_text() {
        let found = leaves(r#"{"a":[5,5.0,-3,1e2,18446744073709551615,1e400,-0],"b":true}"#);
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            ["5", "5", "-3", "100", "18446744073709551615", "-0", "true"]
        );
    }
}
