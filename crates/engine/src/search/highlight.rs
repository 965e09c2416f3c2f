//! What a query found in a record: its readable strings with the places that the query names.

use attestore_index::Query;
use serde_json::Value;

use super::request::Highlight;

/// Finds the places in an event's strings, in the order in which they stand in it, at most [`STRINGS_MAX`] strings.
pub(super) fn highlights(query: &Query, event: &str) -> Vec<Highlight> {
    let mut found = Vec::new();
    if !query.is_all()
        && let Ok(event) = serde_json::from_str(event)
    {
        walk(query, &event, &mut String::new(), &mut found);
    }
    found
}

fn walk(query: &Query, value: &Value, path: &mut String, found: &mut Vec<Highlight>) {
    if found.len() >= STRINGS_MAX {
        return;
    }
    let length = path.len();
    match value {
        Value::String(text) => found.extend(highlight(query, text, path)),
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                path.push('/');
                path.push_str(&at.to_string());
                walk(query, value, path, found);
                path.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push('/');
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                walk(query, value, path, found);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn highlight(query: &Query, text: &str, path: &str) -> Option<Highlight> {
    let ranges = query.highlight(text);
    let first = ranges.first()?;
    let start = text.floor_char_boundary(first.start.saturating_sub(BEFORE_BYTES));
    let end = text.floor_char_boundary(start.saturating_add(TEXT_BYTES_MAX).max(first.end));
    let inside = ranges.iter().filter(|range| range.end <= end);
    Some(Highlight {
        path: path.to_owned(),
        text: text.get(start..end)?.to_owned(),
        ranges: inside
            .map(|range| range.start - start..range.end - start)
            .collect(),
    })
}

/// Strings of one record that are shown.
const STRINGS_MAX: usize = 16;
/// Bytes shown before the first place.
const BEFORE_BYTES: usize = 60;
/// Bytes of a string that are shown.
const TEXT_BYTES_MAX: usize = 240;

#[cfg(test)]
mod tests {
    use attestore_index::ParseOptions;

    use super::*;

    #[test]
    fn places_are_shown_with_their_path_and_what_is_around_them() {
        let query = Query::parse("quarterly", &ParseOptions::default()).unwrap();
        let long = format!("{}quarterly {}", "é ".repeat(100), "x ".repeat(400));
        let event = serde_json::json!({
            "justification": "the Quarterly review",
            "metadata": {"a/b": [1, "no", long]},
        });
        let found = highlights(&query, &event.to_string());
        let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["/justification", "/metadata/a~1b/2"]);
        for one in &found {
            assert_eq!(one.ranges.len(), 1, "{one:?}");
            let place = &one.text[one.ranges[0].clone()];
            assert!(place.eq_ignore_ascii_case("quarterly"), "{one:?}");
            assert!(one.text.len() <= TEXT_BYTES_MAX);
        }
    }
}
