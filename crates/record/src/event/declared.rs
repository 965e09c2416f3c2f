//! The fields that data subjects declare must exist: a mistyped pointer would leave personal data public.

use std::collections::BTreeSet;

use super::leaf::Leaf;
use super::write::{Divert, write};
use super::{ErrorCode, Event, EventError, Raw};
use crate::json::claims::{Claims, Places};
use crate::json::pointer::{push_segment, segments};
use crate::json::reader::Fail;
use crate::json::splice;

/// No free-form value stands deeper in the event than this many segments (`/targets/0/attributes` has three).
const LEAF_SEGMENTS_MAX: usize = 4;

/// Checks every `data_subjects[].fields` pointer of an event whose free-form values nest at most `depth_max` levels.
pub(super) fn check(event: &Event<'_>, depth_max: usize) -> Result<(), Fail> {
    if event
        .data_subjects
        .iter()
        .all(|subject| subject.fields.is_empty())
    {
        return Ok(());
    }
    let mut claims = Claims::default();
    let mut pointers = Vec::new();
    for (index, subject) in event.data_subjects.iter().enumerate() {
        for (field, text) in subject.fields.iter().enumerate() {
            if text.bytes().filter(|byte| *byte == b'/').count() > depth_max + LEAF_SEGMENTS_MAX {
                let error = EventError::new(ErrorCode::TooDeep, "a pointer longer than any place is deep");
                return Err(under_field(error, index, field));
            }
            let segments = segments(text)
                .ok_or_else(|| refused("expected a JSON pointer into this event", index, field))?;
            claims.insert(&segments, false, 1);
            pointers.push((index, field, segments));
        }
    }
    let mut present = Present {
        claims: &claims,
        covered: BTreeSet::new(),
        containers: BTreeSet::new(),
    };
    write(&mut Vec::new(), event, &mut present);
    for (index, field, segments) in pointers {
        if !present.has(&segments) {
            return Err(refused(
                "no field that can be personal at this pointer",
                index,
                field,
            ));
        }
    }
    Ok(())
}

fn refused(message: &str, subject: usize, field: usize) -> Fail {
    under_field(EventError::new(ErrorCode::InvalidValue, message), subject, field)
}

fn under_field(error: Fail, subject: usize, field: usize) -> Fail {
    error
        .under_index(field)
        .under("fields")
        .under_index(subject)
        .under("data_subjects")
}

/// Collects which claimed places exist.
struct Present<'c> {
    claims: &'c Claims,
    /// Values that a claim covers.
    covered: BTreeSet<String>,
    /// Everything above a leaf that exists.
    containers: BTreeSet<String>,
}

impl Present<'_> {
    fn has<S: AsRef<str>>(&self, segments: &[S]) -> bool {
        let mut pointer = String::new();
        for segment in segments {
            push_segment(&mut pointer, segment.as_ref());
            if self.covered.contains(&pointer) {
                return true;
            }
        }
        self.containers.contains(&pointer)
    }

    fn leaf(&mut self, leaf: Leaf, index: usize) -> Places<'_> {
        let pointer = leaf.pointer(index);
        let mut places = self.claims.root();
        for (at, _) in pointer.match_indices('/').skip(1) {
            self.containers.insert(pointer[..at].to_owned());
        }
        for segment in pointer.split('/').skip(1) {
            places = places.down(segment);
        }
        if places.mask != 0 {
            self.covered.insert(pointer.into_owned());
        }
        places
    }
}

impl Divert for Present<'_> {
    fn text(&mut self, leaf: Leaf, index: usize, _: &str, _: &mut Vec<u8>, _: &str) -> bool {
        self.leaf(leaf, index);
        true
    }

    fn raw(&mut self, leaf: Leaf, index: usize, raw: &Raw<'_>, _: &mut Vec<u8>, _: &str) -> bool {
        let places = self.leaf(leaf, index);
        if places.mask == 0 && places.goes_deeper() {
            // There are no more of them than pointers in the event.
            let found = splice::find(raw.as_str(), &leaf.pointer(index), &places, usize::MAX);
            let found = found.ok().flatten().unwrap_or_default();
            self.covered.extend(found.into_iter().map(|found| found.pointer));
        }
        true
    }
}
