//! Taking values out of a free-form JSON text and putting values in, by pointer, leaving the rest as it is.

use std::ops::Range;

use super::claims::Places;
use super::pointer::push_segment;
use super::reader::{Fail, Reader};

/// Nesting that is followed; stored values were bounded more tightly when they were accepted.
const DEPTH_MAX: usize = 128;

/// A value found inside a free-form value.
pub(crate) struct Found {
    /// Where it stands in the text.
    pub(crate) span: Range<usize>,
    /// Its pointer, the base included.
    pub(crate) pointer: String,
    /// Its subjects.
    pub(crate) mask: u64,
}

/// Finds the outermost claimed values beneath (not at) the top of a text, in the text's order.
pub(crate) fn find(text: &str, base: &str, places: &Places<'_>) -> Result<Vec<Found>, Fail> {
    let mut reader = Reader::of_text(text, DEPTH_MAX);
    let mut found = Vec::new();
    let mut pointer = base.to_owned();
    descend(&mut reader, &mut pointer, places, &mut found, DEPTH_MAX)?;
    reader.end()?;
    Ok(found)
}

/// Copies a text with the values at the given places, in order, replaced.
pub(crate) fn replace<'v>(
    out: &mut Vec<u8>,
    text: &str,
    places: impl IntoIterator<Item = (&'v Range<usize>, &'v str)>,
) {
    let mut from = 0;
    for (span, value) in places {
        out.extend_from_slice(&text.as_bytes()[from..span.start]);
        out.extend_from_slice(value.as_bytes());
        from = span.end;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
}

/// Returns everybody whom claims inside a value name; the value as a whole is then about them too.
pub(crate) fn subjects_beneath(text: &str, places: &Places<'_>) -> Result<u64, Fail> {
    if !places.goes_deeper() {
        return Ok(0);
    }
    let found = find(text, "", &places.beneath())?;
    Ok(found.into_iter().fold(0, |mask, found| mask | found.mask))
}

fn descend(
    reader: &mut Reader<'_>,
    pointer: &mut String,
    places: &Places<'_>,
    found: &mut Vec<Found>,
    depth: usize,
) -> Result<(), Fail> {
    let open = depth > 0 && places.goes_deeper();
    let length = pointer.len();
    let mut visit = |reader: &mut Reader<'_>, segment: &str| {
        let next = places.down(segment);
        push_segment(pointer, segment);
        if next.mask == 0 {
            descend(reader, pointer, &next, found, depth - 1)?;
        } else {
            let (span, raw) = reader.span()?;
            let mask = next.mask | subjects_beneath(raw.as_str(), &next)?;
            found.push(Found {
                span,
                pointer: pointer.clone(),
                mask,
            });
        }
        pointer.truncate(length);
        Ok(())
    };
    match reader.peek() {
        Some(b'{') if open => reader.object(&mut visit),
        Some(b'[') if open => reader.array(|reader, index| visit(reader, &index.to_string())),
        _ => reader.raw().map(|_| ()),
    }
}
