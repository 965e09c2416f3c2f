//! Reading JSON without losing a byte: members in their order, values as the text that they are.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in order.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object; anything else has no members.
    pub(crate) fn of(text: &'a str) -> serde_json::Result<Self> {
        if text.starts_with('{') {
            serde_json::from_str(text)
        } else {
            Ok(Self::default())
        }
    }

    /// The value of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(member, _)| member == name);
        found.map(|(_, value)| value.get())
    }

    /// The members of a member.
    pub(crate) fn inside(&self, name: &str) -> serde_json::Result<Members<'a>> {
        self.get(name).map_or_else(|| Ok(Members::default()), Members::of)
    }

    /// The text of a string member.
    pub(crate) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(string)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name.0, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A name, borrowed unless it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Name)
    }
}

/// The text of a JSON string; `None` for any other value.
pub(crate) fn string(value: &str) -> Option<Cow<'_, str>> {
    if !value.starts_with('"') {
        return None;
    }
    serde_json::from_str::<Name<'_>>(value).ok().map(|name| name.0)
}

/// The values of an array; anything else has none.
pub(crate) fn items(value: Option<&str>) -> serde_json::Result<Vec<&RawValue>> {
    match value {
        Some(text) if text.starts_with('[') => serde_json::from_str(text),
        _ => Ok(Vec::new()),
    }
}

/// Appends a value as JSON.
pub(crate) fn push(out: &mut Vec<u8>, value: &impl Serialize) {
    // A value of plain types fails to be written only where the writer does, and a `Vec` does not.
    let _ = serde_json::to_writer(out, value);
}
