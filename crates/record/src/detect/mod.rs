//! Detectors: values in a text that say who somebody is, reach or pay for somebody, or open something.
//!
//! [`Scanner::scan`] looks through one text, `json` through every string, number and name of a JSON value. A hit says
//! which detector, where, and how sure; it never holds the value. What is found depends on the text and the name of the
//! field that holds it, on nothing else, so that the same event is always judged alike.
//!
//! # What is not found
//! Values that are cut over several strings, compressed, encrypted or encoded (base64, UTF-16, other alphabets than
//! ASCII digits), names and postal addresses of people.
//!
//! # Table
//! A detector is a row of [`Detector`] and a finder in one of the files here; [`Scanner::scan`] names them all.

mod address;
mod card;
mod check;
mod detector;
mod email;
mod iban;
pub(crate) mod json;
mod national;
mod numbers;
mod phone;
mod public;
pub(crate) mod text;
mod token;

use std::ops::Range;

pub(crate) use card::truncated;
pub use detector::{Confidence, Detector, Detectors, Family};
pub use public::{Found, Scan, scan_event, scan_public};

use numbers::Run;
use text::{AT, COLON, DASH, DOT, PERCENT, Text};

/// What was found in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextHit {
    /// What it is.
    pub detector: Detector,
    /// Where it stands, in bytes of the text without its JSON escapes.
    pub span: Range<usize>,
    /// How sure that is.
    pub confidence: Confidence,
}

/// Most bytes of texts that are looked through for one event.
pub const SCANNED_BYTES_MAX: usize = 64 * 1024;

/// Looks through texts; keeps what it needs in between.
#[derive(Default)]
pub struct Scanner {
    runs: Vec<Run>,
    hits: Vec<TextHit>,
}

impl Scanner {
    /// Finds what is wanted in a text. `name` is that of the field or member that holds it, empty for none. Hits of
    /// different detectors may overlap.
    pub fn scan(&mut self, text: &str, name: &str, wanted: Detectors) -> &[TextHit] {
        self.hits.clear();
        if text.len() < TEXT_BYTES_MIN || wanted.is_empty() {
            return &self.hits;
        }
        let text = Text::new(text, name, wanted);
        let (marks, hits) = (text.marks, &mut self.hits);
        let has = |detector| wanted.has(detector);
        token::find(&text, hits);
        if has(Detector::Email) && marks.any(AT | PERCENT) && marks.any(DOT) {
            email::find(&text, hits);
        }
        if has(Detector::Ipv6) && marks.any(COLON) {
            address::find_v6(&text, hits);
        }
        if has(Detector::Mac) && marks.any(COLON | DASH) {
            address::find_mac(&text, hits);
        }
        if marks.digits >= 4 {
            numbers::runs(&text, &mut self.runs);
            self.find_numbers(&text);
        }
        &self.hits
    }

    fn find_numbers(&mut self, text: &Text<'_>) {
        let (marks, runs, hits) = (text.marks, &self.runs, &mut self.hits);
        let has = |detector| text.wanted.has(detector);
        if has(Detector::Ipv4) && marks.any(DOT) {
            address::find_v4(text, runs, hits);
        }
        if text.wanted.has_any(NATIONAL) {
            national::find_letters(text, hits);
        }
        if has(Detector::Iban) && text.text.len() >= 15 {
            iban::find(text, hits);
        }
        if has(Detector::Phone) && marks.digits >= 7 {
            phone::find(text, hits);
        }
        if marks.digits >= 9 && text.wanted.has_any(NATIONAL) {
            national::find_digits(text, runs, hits);
        }
        if marks.digits >= 13 && has(Detector::PaymentCard) {
            card::find(text, runs, hits);
        }
    }
}

/// No value that is looked for is shorter.
const TEXT_BYTES_MIN: usize = 6;

const NATIONAL: &[Detector] = &[
    Detector::UsSsn,
    Detector::UkNino,
    Detector::FrNir,
    Detector::NlBsn,
    Detector::DeSteuerId,
    Detector::EsDni,
    Detector::ItCodiceFiscale,
    Detector::PlPesel,
    Detector::BeNrn,
    Detector::BrCpf,
];

#[cfg(test)]
mod tests;
