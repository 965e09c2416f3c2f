//! Documents: records as `_source`, and the parts of them that are asked for.
//!
//! What is kept is kept byte for byte, numbers too. What the caller may not see was withheld before.

use attestore_engine::read::RecordView;
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::Refusal;
use super::glob::glob;
use super::members::Members;
use crate::wire;

/// Names or patterns of one list.
const PATTERNS_MAX: usize = 64;
/// Values of one field that are listed.
const VALUES_MAX: usize = 1024;

/// Members that the server adds before those of the event.
const ADDED: [&str; 5] = ["@timestamp", "id", "seq", "received_at", "kind"];

/// A record as a document.
pub struct Document {
    /// Its id.
    pub id: String,
    /// Its seq.
    pub seq: u64,
    /// `_source`, whole.
    pub source: String,
}

impl Document {
    /// Puts `@timestamp` and what the server knows before the members of the event.
    ///
    /// # Errors
    /// When the event is no JSON object.
    pub fn new(view: RecordView) -> serde_json::Result<Self> {
        let Members(members) = serde_json::from_str(&view.event)?;
        let received_at = wire::rfc3339_ms(view.received_at_ms);
        let occurred = members.iter().find(|(name, _)| name == "occurred_at");
        let occurred = occurred.and_then(|(_, raw)| serde_json::from_str::<String>(raw.get()).ok());
        let occurred = occurred.map(|text| text.parse::<jiff::Timestamp>().map_or(text, |at| at.to_string()));
        let id = view.id.to_string();
        let mut source = String::with_capacity(view.event.len() + 200);
        source.push_str("{\"@timestamp\":");
        text(&mut source, occurred.as_deref().unwrap_or(&received_at));
        source.push_str(",\"id\":");
        text(&mut source, &id);
        source.push_str(&format!(",\"seq\":{},\"received_at\":", view.seq));
        text(&mut source, &received_at);
        source.push_str(",\"kind\":");
        text(&mut source, view.kind);
        for (name, value) in members {
            if !ADDED.contains(&name.as_str()) {
                source.push(',');
                text(&mut source, &name);
                source.push(':');
                source.push_str(value.get());
            }
        }
        source.push('}');
        Ok(Self {
            id,
            seq: view.seq,
            source,
        })
    }
}

fn text(out: &mut String, text: &str) {
    // Strings always serialise.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Which parts of documents are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The whole document.
    Whole,
    /// No document.
    Nothing,
    /// What matches the first patterns, or everything without any, and none of the second.
    Parts(Vec<String>, Vec<String>),
}

impl Filter {
    /// Reads `_source` of a request.
    ///
    /// # Errors
    /// 400 for anything but a truth value, patterns, and an object of `includes` and `excludes`.
    pub fn read(source: Option<&Value>) -> Result<Self, Refusal> {
        let expected = || Refusal::parsing("[_source] is true, false, patterns, or includes and excludes");
        match source {
            None | Some(Value::Null | Value::Bool(true)) => Ok(Self::Whole),
            Some(Value::Bool(false)) => Ok(Self::Nothing),
            Some(Value::Object(lists)) => {
                let known = ["includes", "include", "excludes", "exclude"];
                if lists.keys().any(|name| !known.contains(&name.as_str())) {
                    return Err(expected());
                }
                let list = |names: [&str; 2]| {
                    let value = names.iter().find_map(|name| lists.get(*name));
                    value.map_or(Ok(Vec::new()), |value| patterns(value).ok_or_else(expected))
                };
                Ok(Self::Parts(
                    list(["includes", "include"])?,
                    list(["excludes", "exclude"])?,
                ))
            }
            Some(list) => Ok(Self::Parts(patterns(list).ok_or_else(expected)?, Vec::new())),
        }
    }

    /// The document, or what is wanted of it; `None` if none is.
    ///
    /// # Errors
    /// When the text is no JSON object.
    pub fn apply(&self, source: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        let text = match self {
            Self::Nothing => return Ok(None),
            Self::Whole => source.to_owned(),
            Self::Parts(includes, excludes) => {
                let parts = Parts { includes, excludes };
                let mut out = String::new();
                parts.keep(serde_json::from_str(source)?, "", includes.is_empty(), &mut out)?;
                if out.is_empty() {
                    out.push_str("{}");
                }
                out
            }
        };
        RawValue::from_string(text).map(Some)
    }
}

/// A list of patterns, or one.
pub fn patterns(value: &Value) -> Option<Vec<String>> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let patterns: Option<Vec<String>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
    patterns.filter(|patterns| patterns.len() <= PATTERNS_MAX)
}

struct Parts<'a> {
    includes: &'a [String],
    excludes: &'a [String],
}

impl Parts<'_> {
    /// Writes what is wanted of a value at a path, and says whether anything is. What is within something wanted is, too.
    fn keep(&self, value: &RawValue, path: &str, wanted: bool, out: &mut String) -> serde_json::Result<bool> {
        if self.excludes.iter().any(|pattern| glob(pattern, path)) {
            return Ok(false);
        }
        let wanted = wanted || self.includes.iter().any(|pattern| glob(pattern, path));
        if wanted && self.excludes.is_empty() {
            out.push_str(value.get());
            return Ok(true);
        }
        let before = out.len();
        let mut any = false;
        let mut next = |out: &mut String, keep: &mut dyn FnMut(&mut String) -> serde_json::Result<bool>| {
            let start = out.len();
            if any {
                out.push(',');
            }
            match keep(out)? {
                true => any = true,
                false => out.truncate(start),
            }
            Ok::<_, serde_json::Error>(())
        };
        match value.get().as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(value.get())?;
                let empty = members.is_empty();
                out.push('{');
                for (name, member) in members {
                    let path = join(path, &name);
                    next(out, &mut |out| {
                        text(out, &name);
                        out.push(':');
                        self.keep(member, &path, wanted, out)
                    })?;
                }
                any |= empty && wanted;
                out.push('}');
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(value.get())?;
                let empty = items.is_empty();
                out.push('[');
                for item in items {
                    next(out, &mut |out| self.keep(item, path, wanted, out))?;
                }
                any |= empty && wanted;
                out.push(']');
            }
            _ if wanted => {
                out.push_str(value.get());
                any = true;
            }
            _ => {}
        }
        if !any {
            out.truncate(before);
        }
        Ok(any)
    }
}

fn join(path: &str, name: &str) -> String {
    match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    }
}

/// Calls `each` with every scalar of a document and its path; those of arrays have the path of the array.
///
/// # Errors
/// When the text is no JSON.
pub fn each_value(source: &str, each: &mut dyn FnMut(&str, &RawValue)) -> serde_json::Result<()> {
    walk(serde_json::from_str(source)?, "", each)
}

fn walk(value: &RawValue, path: &str, each: &mut dyn FnMut(&str, &RawValue)) -> serde_json::Result<()> {
    match value.get().as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(value.get())?;
            for (name, member) in members {
                walk(member, &join(path, &name), each)?;
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get())?;
            for item in items.into_iter().take(VALUES_MAX) {
                walk(item, path, each)?;
            }
        }
        _ => each(path, value),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
