//! Taking values out of a free-form JSON text and putting values in, by pointer, leaving the rest as it is.

use std::ops::Range;

use super::claims::Places;
use super::pointer::push_segment;
use super::reader::{Fail, Reader};
use crate::event::{ErrorCode, EventError};

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
///
/// `None` when their pointers together have more than `bytes_max` bytes: a claim with `*` over long names or many
/// elements would otherwise make far more bytes than the text has.
pub(crate) fn find(
    text: &str,
    base: &str,
    places: &Places<'_>,
    bytes_max: usize,
) -> Result<Option<Vec<Found>>, Fail> {
    let mut found = Vec::new();
    let mut left = Some(bytes_max);
    let mut pointer = base.to_owned();
    walk(text, &mut pointer, places, &mut |span, pointer, mask| {
        left = left.and_then(|left| left.checked_sub(pointer.len()));
        if left.is_some() {
            found.push(Found {
                span,
                pointer: pointer.to_owned(),
                mask,
            });
        }
    })?;
    Ok(left.map(|_| found))
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
    let mut subjects = 0;
    if places.goes_deeper() {
        walk(text, &mut String::new(), &places.beneath(), &mut |_, _, mask| {
            subjects |= mask
        })?;
    }
    Ok(subjects)
}

/// Called with the place, the pointer and the subjects of a value.
type Visit<'v> = dyn FnMut(Range<usize>, &str, u64) + 'v;

fn walk(text: &str, pointer: &mut String, places: &Places<'_>, visit: &mut Visit<'_>) -> Result<(), Fail> {
    let mut reader = Reader::of_text(text, DEPTH_MAX);
    descend(&mut reader, pointer, places, visit, DEPTH_MAX)?;
    reader.end()
}

fn descend(
    reader: &mut Reader<'_>,
    pointer: &mut String,
    places: &Places<'_>,
    visit: &mut Visit<'_>,
    depth: usize,
) -> Result<(), Fail> {
    let open = places.goes_deeper();
    if open && depth == 0 && matches!(reader.peek(), Some(b'{' | b'[')) {
        return Err(EventError::new(ErrorCode::TooDeep, "nested too deeply"));
    }
    let length = pointer.len();
    let mut member = |reader: &mut Reader<'_>, segment: &str| {
        let next = places.down(segment);
        push_segment(pointer, segment);
        if next.mask == 0 {
            descend(reader, pointer, &next, visit, depth - 1)?;
        } else {
            let (span, raw) = reader.span()?;
            let mask = next.mask | subjects_beneath(raw.as_str(), &next)?;
            visit(span, pointer, mask);
        }
        pointer.truncate(length);
        Ok(())
    };
    match reader.peek() {
        Some(b'{') if open => reader.object(&mut member),
        Some(b'[') if open => reader.array(|reader, index| member(reader, &index.to_string())),
        _ => reader.raw().map(|_| ()),
    }
}
