//! Looking through whole events: what is found in which field, for proposals and reports.

use super::json::{Token, Walk};
use super::{Confidence, Detector, Detectors, SCANNED_BYTES_MAX, Scanner};
use crate::event::leaf::Leaf;
use crate::event::write::{Divert, Plain, write};
use crate::event::{Event, Raw, parse_stored};
use crate::view::{Body, ViewError, open};

/// A value that was found, without the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub detector: Detector,
    /// JSON pointer of the field. `*` stands for an index, and for a member's name that itself holds a value that is
    /// looked for.
    pub path: String,
    /// Where in the field's text, in bytes.
    pub span: std::ops::Range<usize>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Whether the field can be personal. Others are redacted at most.
    pub can_be_personal: bool,
}

/// What was found in an event.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Scan {
    /// The values, in the event's order.
    pub found: Vec<Found>,
    /// Whether the event has more text than is looked through.
    pub partially_scanned: bool,
}

/// Looks through all of an event.
pub fn scan_event(event: &Event<'_>, wanted: Detectors) -> Scan {
    let mut finder = Finder {
        scanner: Scanner::default(),
        wanted,
        left: SCANNED_BYTES_MAX,
        scan: Scan::default(),
    };
    write(&mut Vec::with_capacity(event.length_hint()), event, &mut finder);
    finder.scan
}

/// Looks through what a stored public group says of an event. Control records hold nothing to find.
///
/// # Errors
/// [`ViewError`] when the bytes are not a public group.
pub fn scan_public(public: &[u8], wanted: Detectors) -> Result<Scan, ViewError> {
    match open(public)?.body {
        Body::Event(event) => Ok(scan_event(&parse_stored(event.as_str())?, wanted)),
        Body::Control(_) => Ok(Scan::default()),
    }
}

struct Finder {
    scanner: Scanner,
    wanted: Detectors,
    left: usize,
    scan: Scan,
}

impl Finder {
    fn look(&mut self, text: &str, name: &str, path: impl FnOnce() -> String, can_be_personal: bool) {
        if text.len() > self.left {
            self.left = 0;
            self.scan.partially_scanned = true;
            return;
        }
        self.left -= text.len();
        let hits = self.scanner.scan(text, name, self.wanted);
        if hits.is_empty() {
            return;
        }
        let path = path();
        self.scan.found.extend(hits.iter().map(|hit| Found {
            detector: hit.detector,
            path: path.clone(),
            span: hit.span.clone(),
            confidence: hit.confidence,
            can_be_personal,
        }));
    }
}

impl Divert for Finder {
    fn plain<'t>(&mut self, plain: &Plain, _: usize, text: &'t str) -> std::borrow::Cow<'t, str> {
        self.look(text, plain.name(), || plain.pattern(), false);
        text.into()
    }

    fn text(&mut self, leaf: Leaf, _: usize, text: &str, _: &mut Vec<u8>, _: &str) -> bool {
        self.look(text, leaf.name(), || leaf.pattern_pointer(), true);
        false
    }

    fn raw(&mut self, leaf: Leaf, _: usize, raw: &Raw<'_>, _: &mut Vec<u8>, _: &str) -> bool {
        let mut walk = Walk::new(raw.as_str());
        let base = leaf.pattern_pointer();
        while let Some(token) = walk.next() {
            let name = walk.name();
            match token {
                Token::Name(text) => {
                    // A name is no field: what is told is the field that has it.
                    self.look(&text, "", || pattern(&base, &walk, walk.depth() - 1), true);
                }
                Token::Text(text) => {
                    self.look(&text, &name, || pattern(&base, &walk, walk.depth()), true);
                }
                Token::Number(text) => {
                    self.look(text, &name, || pattern(&base, &walk, walk.depth()), true);
                }
                Token::End => {}
            }
        }
        self.scan.partially_scanned |= !walk.is_complete();
        true
    }
}

/// The pointer of the value at hand, cut to so many segments beneath the base.
fn pattern(base: &str, walk: &Walk<'_>, segments: usize) -> String {
    let mut pointer = base.to_owned();
    let mut scanner = Scanner::default();
    for segment in walk.segments().take(segments) {
        match segment {
            Ok(name) if scanner.scan(&name, "", Detectors::ALL).is_empty() => {
                crate::json::pointer::push_segment(&mut pointer, &name);
            }
            _ => pointer.push_str("/*"),
        }
    }
    pointer
}
