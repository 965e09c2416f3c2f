//! Query strings: an answer or an error with a place, within the limits.
#![no_main]

use attestore_index::{ParseOptions, Query};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for personal in [false, true] {
        let options = ParseOptions { personal, ..ParseOptions::default() };
        if let Err(error) = Query::parse(text, &options) {
            assert!(error.column.is_none_or(|column| column <= text.chars().count() + 1));
        }
    }
});
