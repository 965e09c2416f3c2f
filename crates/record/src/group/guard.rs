//! What detectors find while an event is encoded, and what the policy does about it.
//!
//! A [`Guard`] judges texts; [`super::Split`] acts. A text that was redacted is looked through again until nothing is
//! left to redact: what two pieces make together is found as well.

use std::collections::BTreeMap;

use crate::detect::{Detector, Detectors, SCANNED_BYTES_MAX, Scanner, TextHit, truncated};
use crate::event::{ErrorCode, EventError};
use crate::policy::{Action, Detection};

/// What was found and what was done about it, by detector.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Detected {
    /// How often which detector led to what.
    pub counts: BTreeMap<(Detector, Action), u32>,
    /// Whether the event has more text than is looked through ([`SCANNED_BYTES_MAX`]).
    pub partially_scanned: bool,
}

/// An event that its tenant's policy refuses for a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the privacy policy refuses {detector} at {path:?}")]
pub struct Refusal {
    /// What was found.
    pub detector: Detector,
    /// JSON pointer of the field that holds it; shorter where names in it hold such values too.
    pub path: String,
}

impl From<Refusal> for EventError {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: ErrorCode::ValueRefused,
            message: format!("the tenant's privacy policy refuses {} values", refusal.detector),
            path: refusal.path,
        }
    }
}

/// Judges the texts of one event.
pub(super) struct Guard<'p> {
    detection: &'p Detection,
    scanner: Scanner,
    /// Bytes that may still be looked through.
    left: usize,
    pub(super) detected: Detected,
    /// The first value that refuses the event.
    pub(super) refusal: Option<Refusal>,
}

/// What becomes of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What stands in its place.
    pub(super) redacted: Option<String>,
    /// Whether it is personal.
    pub(super) personal: bool,
}

/// Where a text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// In a field that can be personal and is not.
    Public,
    /// In a field that cannot be personal.
    AlwaysPublic,
    /// In an action, which has few characters.
    Action,
    /// In a personal field.
    Personal,
}

impl<'p> Guard<'p> {
    /// A guard, unless the policy looks for nothing.
    pub(super) fn of(detection: &'p Detection) -> Option<Self> {
        (!detection.is_empty()).then(|| Self {
            detection,
            scanner: Scanner::default(),
            left: SCANNED_BYTES_MAX,
            detected: Detected::default(),
            refusal: None,
        })
    }

    /// Whether personal fields are looked through too.
    pub(super) fn looks_into_personal(&self) -> bool {
        !self.detection.wanted_in_personal().is_empty()
    }

    /// Bytes that may still be looked through.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Sets the bytes that may still be looked through.
    pub(super) fn set_left(&mut self, left: usize) {
        self.left = left;
    }

    fn wanted(&self, side: Side) -> Detectors {
        match side {
            Side::Personal => self.detection.wanted_in_personal(),
            _ => self.detection.wanted(),
        }
    }

    /// Judges a text in a field of a name. `path` is asked where the event is refused.
    pub(super) fn judge(
        &mut self,
        text: &str,
        name: &str,
        side: Side,
        path: impl FnOnce() -> String,
    ) -> Verdict {
        let Some(left) = self.left.checked_sub(text.len()) else {
            self.left = 0;
            self.detected.partially_scanned = true;
            return Verdict::default();
        };
        self.left = left;
        let wanted = self.wanted(side);
        let hits = self.scanner.scan(text, name, wanted);
        if hits.is_empty() {
            return Verdict::default();
        }
        let mut verdict = Verdict::default();
        let mut redact = Vec::new();
        for hit in hits {
            let action = self.detection.action(hit.detector, hit.confidence);
            if action != Action::Off {
                *self.detected.counts.entry((hit.detector, action)).or_default() += 1;
            }
            match action {
                Action::Off | Action::Flag => {}
                Action::Personal if matches!(side, Side::Public) => verdict.personal = true,
                // What is personal already stays so.
                Action::Personal if side == Side::Personal => {}
                Action::Personal | Action::Redact => redact.push(hit.clone()),
                Action::Refuse => {
                    if self.refusal.is_none() {
                        let detector = hit.detector;
                        self.refusal = Some(Refusal {
                            detector,
                            path: path(),
                        });
                    }
                    return Verdict::default();
                }
            }
        }
        if !redact.is_empty() {
            verdict.redacted = Some(self.redact(text, name, side, redact));
        }
        verdict
    }

    /// Redacts until nothing is left to.
    fn redact(&mut self, text: &str, name: &str, side: Side, mut hits: Vec<TextHit>) -> String {
        let first = hits.iter().map(|hit| hit.detector).min();
        let mut text = text.to_owned();
        for _ in 0..ROUNDS_MAX {
            text = replaced(&text, hits, side);
            let strict = |hit: &&TextHit| match self.detection.action(hit.detector, hit.confidence) {
                Action::Off | Action::Flag => false,
                Action::Personal => matches!(side, Side::AlwaysPublic | Side::Action),
                Action::Redact | Action::Refuse => true,
            };
            let wanted = self.wanted(side);
            hits = self
                .scanner
                .scan(&text, name, wanted)
                .iter()
                .filter(strict)
                .cloned()
                .collect();
            if hits.is_empty() {
                return text;
            }
        }
        first.map_or_else(String::new, |detector| stand_in(detector, side))
    }

    /// Judges the name of a member. A name is replaced as a whole.
    pub(super) fn judge_name(
        &mut self,
        text: &str,
        path: impl FnOnce() -> String,
    ) -> Option<(Detector, Action)> {
        let Some(left) = self.left.checked_sub(text.len()) else {
            self.left = 0;
            self.detected.partially_scanned = true;
            return None;
        };
        self.left = left;
        let mut worst: Option<(Detector, Action)> = None;
        for hit in self.scanner.scan(text, "", self.detection.wanted()) {
            let action = self.detection.action(hit.detector, hit.confidence);
            if action != Action::Off {
                *self.detected.counts.entry((hit.detector, action)).or_default() += 1;
            }
            if action > worst.map_or(Action::Flag, |(_, action)| action) {
                worst = Some((hit.detector, action));
            }
        }
        if let Some((detector, Action::Refuse)) = worst {
            if self.refusal.is_none() {
                self.refusal = Some(Refusal {
                    detector,
                    path: path(),
                });
            }
            return None;
        }
        worst
    }
}

/// A text that still holds what is looked for after so many rounds is replaced as a whole.
const ROUNDS_MAX: usize = 4;

/// Returns the text with each hit replaced; hits that overlap are replaced as one.
fn replaced(text: &str, mut hits: Vec<TextHit>, side: Side) -> String {
    hits.sort_unstable_by_key(|hit| hit.span.start);
    let mut out = String::with_capacity(text.len() + 32);
    let mut from = 0;
    let mut hits = hits.into_iter().peekable();
    while let Some(mut hit) = hits.next() {
        let own = hit.span.clone();
        while let Some(next) = hits.next_if(|next| next.span.start < hit.span.end) {
            hit.span.end = hit.span.end.max(next.span.end);
            hit.detector = hit.detector.min(next.detector);
        }
        out.push_str(&text[from..hit.span.start]);
        if hit.detector == Detector::PaymentCard && own == hit.span && side != Side::Action {
            out.push_str(&format!("[redacted:payment_card:{}]", truncated(&text[own])));
        } else {
            out.push_str(&stand_in(hit.detector, side));
        }
        from = hit.span.end;
    }
    out.push_str(&text[from..]);
    out
}

/// What stands in the place of a value.
pub(super) fn stand_in(detector: Detector, side: Side) -> String {
    match side {
        Side::Action => format!("redacted_{detector}"),
        _ => format!("[redacted:{detector}]"),
    }
}
