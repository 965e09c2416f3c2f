//! Applying a compiled mapping to a foreign record.

use std::borrow::Cow;

use super::MappingError;
use super::foreign::Foreign;
use super::transform::{Lookup, Test, Transform};
use crate::event::{EventError, Limits};
use crate::json::escape::push_string;
use crate::json::minify;

/// A place in the event: an object of places, a list, or a text that rules yield.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) members: Vec<(String, Node)>,
    pub(super) each: Option<Box<Each>>,
    pub(super) rules: Vec<Rule>,
}

/// A list made of a foreign list.
#[derive(Clone, Debug)]
pub(super) struct Each {
    pub(super) from: String,
    pub(super) max: usize,
    pub(super) item: Node,
}

/// Where a text comes from.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) source: Source,
    pub(super) when: Condition,
    pub(super) test: Option<Test>,
    pub(super) transforms: Vec<Transform>,
    pub(super) lookup: Option<Lookup>,
    pub(super) default: Option<String>,
    pub(super) required: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The first of these pointers that leads to a text, number or boolean that is not empty.
    First(Vec<String>),
    Constant(String),
    /// Texts joined; nothing when one of them is missing.
    Join {
        glue: String,
        parts: Vec<Rule>,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Condition {
    Always,
    Present(String),
    Absent(String),
}

pub(super) fn apply(root: &Node, keep_original: bool, foreign: &[u8]) -> Result<Vec<u8>, MappingError> {
    let original = minify(foreign, Limits::DEFAULT.free_form_depth_max).map_err(refused)?;
    // What is read takes many times the memory of its text.
    if original.len() > Limits::DEFAULT.event_bytes_max {
        return Err(MappingError {
            path: String::new(),
            message: format!("a record has at most {} bytes", Limits::DEFAULT.event_bytes_max),
        });
    }
    let value =
        Foreign::read(&original, Limits::DEFAULT.free_form_depth_max).map_err(|error| refused(*error))?;
    let mut out = Vec::with_capacity(original.len() + 1024);
    out.push(b'{');
    write_members(root, &value, &mut out)?;
    if keep_original {
        push_name(&mut out, "payload");
        out.extend_from_slice(original.as_bytes());
    }
    out.push(b'}');
    Ok(out)
}

fn refused(error: EventError) -> MappingError {
    MappingError {
        path: error.path,
        message: error.message,
    }
}

fn write_members(node: &Node, value: &Foreign<'_>, out: &mut Vec<u8>) -> Result<(), MappingError> {
    for (name, member) in &node.members {
        let before = out.len();
        push_name(out, name);
        if !write(member, value, out)? {
            out.truncate(before);
        }
    }
    Ok(())
}

/// Writes what a place yields; false when that is nothing.
fn write(node: &Node, value: &Foreign<'_>, out: &mut Vec<u8>) -> Result<bool, MappingError> {
    if let Some(each) = &node.each {
        return write_list(each, value, out);
    }
    if !node.members.is_empty() {
        out.push(b'{');
        let empty = out.len();
        write_members(node, value, out)?;
        out.push(b'}');
        return Ok(out.len() > empty + 1);
    }
    for rule in &node.rules {
        if let Some(text) = rule.text(value) {
            push_string(out, &text);
            return Ok(true);
        }
    }
    match node.rules.iter().find(|rule| rule.required) {
        Some(rule) => Err(MappingError {
            path: rule.first_path(),
            message: "the mapping needs this field".to_owned(),
        }),
        None => Ok(false),
    }
}

/// Writes a list; elements that lack what their rules need are left out, they are in the original.
fn write_list(each: &Each, value: &Foreign<'_>, out: &mut Vec<u8>) -> Result<bool, MappingError> {
    let elements = match value.at(&each.from) {
        Some(Foreign::List(elements)) => elements.as_slice(),
        Some(Foreign::Null) | None => return Ok(false),
        // What some write as a list others write alone.
        Some(one) => std::slice::from_ref(one),
    };
    out.push(b'[');
    let mut written = 0;
    for element in elements {
        if written == each.max {
            break;
        }
        let before = out.len();
        if written > 0 {
            out.push(b',');
        }
        match write(&each.item, element, out) {
            Ok(true) => written += 1,
            Ok(false) | Err(_) => out.truncate(before),
        }
    }
    out.push(b']');
    Ok(written > 0)
}

impl Rule {
    fn text<'v>(&'v self, value: &'v Foreign<'_>) -> Option<Cow<'v, str>> {
        let applies = match &self.when {
            Condition::Always => true,
            Condition::Present(path) => value.scalar(path).is_some(),
            Condition::Absent(path) => value.scalar(path).is_none(),
        };
        if !applies {
            return None;
        }
        let mut text = match &self.source {
            Source::First(paths) => paths
                .iter()
                .find_map(|path| value.scalar(path))
                .map(Cow::Borrowed),
            Source::Constant(text) => Some(Cow::Borrowed(text.as_str())),
            Source::Join { glue, parts } => {
                let parts: Option<Vec<_>> = parts.iter().map(|part| part.text(value)).collect();
                parts.map(|parts| Cow::Owned(parts.join(glue)))
            }
        };
        text = text.filter(|text| self.test.is_none_or(|test| test.passes(text)));
        for transform in &self.transforms {
            text = text.map(|text| transform.apply(text));
        }
        if let Some(lookup) = &self.lookup {
            text = text.and_then(|text| lookup.find(&text)).map(Cow::Borrowed);
        }
        text.filter(|text| !text.is_empty())
            .or_else(|| self.default.as_deref().map(Cow::Borrowed))
    }

    fn first_path(&self) -> String {
        match &self.source {
            Source::First(paths) => paths.first().cloned().unwrap_or_default(),
            Source::Constant(_) => String::new(),
            Source::Join { parts, .. } => parts.last().map(Self::first_path).unwrap_or_default(),
        }
    }
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), Some(b'{')) {
        out.push(b',');
    }
    push_string(out, name);
    out.push(b':');
}
