//! Query strings: an answer or an error with a place, within the limits; what is answered keeps its promises about
//! coverage and places of words.
#![no_main]

use attestore_index::{Coverage, IndexPolicy, ParseOptions, Query, TextIndex};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for (personal, leading_wildcard) in [(false, true), (true, false)] {
        let options = ParseOptions {
            personal,
            leading_wildcard,
            ..ParseOptions::default()
        };
        let query = match Query::parse(text, &options) {
            Ok(query) => query,
            Err(error) => {
                assert!(error.column.is_none_or(|column| column <= text.chars().count()));
                continue;
            }
        };
        assert!(matches!(query.coverage(&query.needs()), Coverage::Exact));
        let words = IndexPolicy {
            text: TextIndex::Words,
            ..IndexPolicy::default()
        };
        for policy in [IndexPolicy::minimal(), words] {
            if let Coverage::Superset(relaxed) = query.coverage(&policy) {
                assert!(matches!(relaxed.coverage(&policy), Coverage::Exact));
            }
        }
        let mut end = 0;
        for place in query.highlight(text) {
            assert!(place.start >= end && text.get(place.clone()).is_some_and(|marked| !marked.is_empty()));
            end = place.end;
        }
    }
});
