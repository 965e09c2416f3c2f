//! Rebuilding the whole event.

use std::collections::BTreeMap;

use super::open::{Body, each_field, open};
use super::{ViewError, misfit};
use crate::event::leaf::{Leaf, Place};
use crate::event::{Event, Raw, Text, parse_stored};
use crate::json::claims::Claims;
use crate::json::reader::{Fail, Reader};
use crate::json::splice;

/// What stands in the place of a personal field that the reader may not see.
pub const PERSONAL_MARKER: &str = "[personal]";

const MARKER_JSON: &str = "\"[personal]\"";

/// Rebuilds the event (or control object) as JSON text. Personal fields of the groups in `personal` stand at
/// their pointers; those of groups that are not given show as [`PERSONAL_MARKER`].
///
/// # Errors
/// [`ViewError`] when bytes are not groups, or a personal group does not belong to the public one.
pub fn rebuild(public: &[u8], personal: &[&[u8]]) -> Result<String, ViewError> {
    let opened = open(public)?;
    let text = match &opened.body {
        Body::Control(control) => return Ok(control.as_str().to_owned()),
        Body::Event(event) => event.as_str(),
    };
    if opened.withheld.is_empty() && personal.is_empty() {
        return Ok(text.to_owned());
    }
    let mut values: BTreeMap<&str, Option<Raw<'_>>> =
        opened.withheld.iter().map(|pointer| (&**pointer, None)).collect();
    for group in personal {
        each_field(
            group,
            |_| (),
            |pointer, value| {
                match values.get_mut(pointer) {
                    Some(place @ None) => *place = Some(value),
                    _ => return Err(misfit(pointer)),
                }
                Ok(())
            },
        )?;
    }
    let mut event = parse_stored(text)?;
    put_back(&mut event, &values)?;
    Ok(event.to_json())
}

/// Sets every value at its pointer, the marker where there is none.
pub(super) fn put_back<'a>(
    event: &mut Event<'a>,
    values: &'a BTreeMap<&str, Option<Raw<'a>>>,
) -> Result<(), Fail> {
    let mut inside: BTreeMap<(Leaf, usize), Vec<(&str, &str)>> = BTreeMap::new();
    for (pointer, value) in values {
        let located = Leaf::locate(pointer).ok_or_else(|| misfit(pointer))?;
        let json = value.as_ref().map_or(MARKER_JSON, Raw::as_str);
        if !located.beneath.is_empty() {
            inside
                .entry((located.leaf, located.index))
                .or_default()
                .push((pointer, json));
            continue;
        }
        match event
            .place(located.leaf, located.index)
            .ok_or_else(|| misfit(pointer))?
        {
            Place::Text(text) => *text = Some(string(json)?),
            Place::Raw(raw) => *raw = Some(Raw(json.into())),
        }
    }
    for ((leaf, index), parts) in inside {
        let misfit = || misfit(&leaf.pointer(index));
        let Some(Place::Raw(raw)) = event.place(leaf, index) else {
            return Err(misfit());
        };
        let text = raw.as_ref().ok_or_else(misfit)?.as_str();
        let replaced = put_inside(text, &leaf.pointer(index), &parts)?.ok_or_else(misfit)?;
        *raw = Some(Raw(replaced.into()));
    }
    Ok(())
}

/// Replaces values inside a free-form value; `None` when a pointer leads nowhere.
fn put_inside(text: &str, base: &str, parts: &[(&str, &str)]) -> Result<Option<String>, Fail> {
    let mut claims = Claims::default();
    let depth = base.matches('/').count();
    for (pointer, _) in parts {
        let Some(segments) = crate::json::pointer::segments(pointer) else {
            return Ok(None);
        };
        claims.insert(&segments[depth..], false, 1);
    }
    let Some(found) = splice::find(text, base, &claims.root(), usize::MAX)? else {
        return Ok(None);
    };
    if found.len() != parts.len() {
        return Ok(None);
    }
    let values: BTreeMap<&str, &str> = parts.iter().copied().collect();
    let mut places = Vec::with_capacity(found.len());
    for part in &found {
        let Some(value) = values.get(part.pointer.as_str()) else {
            return Ok(None);
        };
        places.push((&part.span, *value));
    }
    let mut out = Vec::with_capacity(text.len() + 64);
    splice::replace(&mut out, text, places);
    Ok(String::from_utf8(out).ok())
}

/// Reads a JSON string.
pub(super) fn string(json: &str) -> Result<Text<'_>, Fail> {
    let mut reader = Reader::of_text(json, 0);
    let text = reader.string()?;
    reader.end()?;
    Ok(text)
}
