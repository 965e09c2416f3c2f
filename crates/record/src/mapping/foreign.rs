//! A foreign record as a tree. Scalars keep their text, so that no number is rounded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::pointer;
use crate::json::reader::{Fail, Reader};

/// A value of a foreign record.
#[derive(Debug)]
pub(super) enum Foreign<'t> {
    Object(BTreeMap<String, Self>),
    List(Vec<Self>),
    /// A string, or a number or boolean as it was written.
    Text(Cow<'t, str>),
    Null,
}

impl<'t> Foreign<'t> {
    /// Reads a text that [`crate::json::minify`] returned, which bounds the depth.
    pub(super) fn read(text: &'t str, depth_max: usize) -> Result<Self, Fail> {
        let mut reader = Reader::of_text(text, depth_max);
        let value = value(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    /// Returns the value at a JSON pointer.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        let mut value = self;
        for segment in pointer::segments(path)? {
            value = match value {
                Self::Object(members) => members.get(&*segment)?,
                Self::List(elements) => elements.get(pointer::index(&segment)?)?,
                Self::Text(_) | Self::Null => return None,
            };
        }
        Some(value)
    }

    /// Returns the text, number or boolean at a pointer; nothing for the rest and for empty texts.
    pub(super) fn scalar(&self, path: &str) -> Option<&str> {
        match self.at(path)? {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

fn value<'t>(reader: &mut Reader<'t>) -> Result<Foreign<'t>, Fail> {
    match reader.peek() {
        Some(b'{') => {
            let mut members = BTreeMap::new();
            reader.object(|reader, name| {
                members.insert(name.to_owned(), value(reader)?);
                Ok(())
            })?;
            Ok(Foreign::Object(members))
        }
        Some(b'[') => {
            let mut elements = Vec::new();
            reader.array(|reader, _| {
                elements.push(value(reader)?);
                Ok(())
            })?;
            Ok(Foreign::List(elements))
        }
        Some(b'"') => reader.string().map(Foreign::Text),
        Some(b'n') => reader.null().map(|_| Foreign::Null),
        _ => reader.raw().map(|raw| Foreign::Text(raw.0)),
    }
}
