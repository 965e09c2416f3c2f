//! Walking the leaves of free-form JSON without building a tree.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::words::cut;

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
/// array's path. Text that is not JSON yields the leaves before the mistake.
pub(crate) fn walk(json: &str, root: &str, each: &mut dyn FnMut(&str, Leaf<'_>)) {
    let mut path = root.to_owned();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // Stored bytes were checked when they were accepted.
    let _ = Walk {
        path: &mut path,
        each,
    }
    .deserialize(&mut deserializer);
}

struct Walk<'p, 'e> {
    path: &'p mut String,
    each: &'e mut dyn FnMut(&str, Leaf<'_>),
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        (self.each)(self.path, Leaf::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        (self.each)(self.path, Leaf::Signed(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        (self.each)(self.path, Leaf::Unsigned(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        (self.each)(self.path, Leaf::Float(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        (self.each)(self.path, Leaf::Text(value));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items
            .next_element_seed(Walk {
                path: &mut *self.path,
                each: &mut *self.each,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let length = self.path.len();
        while entries
            .next_key_seed(Key {
                path: &mut *self.path,
            })?
            .is_some()
        {
            entries.next_value_seed(Walk {
                path: &mut *self.path,
                each: &mut *self.each,
            })?;
            self.path.truncate(length);
        }
        Ok(())
    }
}

/// Appends an object's key to the path.
struct Key<'p> {
    path: &'p mut String,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        // The separator of terms cannot be a part of a path.
        self.path
            .extend(key.chars().filter(|c| *c != crate::schema::PATH_END));
        Ok(())
    }
}
