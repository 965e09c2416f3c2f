//! Facets and histograms as bars in the terminal.

use serde_json::{Value, json};

use crate::cli::SearchArgs;
use crate::failure::Failure;
use crate::output;

/// Values of a facet when nothing else is said.
const FACET_SIZE: u64 = 10;
/// Bars of a histogram whose interval nobody chose, about at most.
const BARS_MAX: f64 = 48.0;
/// Characters of the longest bar.
const WIDTH: u64 = 40;
/// Name of the histogram in the request. Facets are named by their place: names of fields have dots, which these must not.
const HISTOGRAM: &str = "histogram";

/// Intervals to choose from, with their seconds.
const INTERVALS: [(&str, f64); 14] = [
    ("1s", 1.0),
    ("10s", 10.0),
    ("1m", 60.0),
    ("5m", 300.0),
    ("15m", 900.0),
    ("1h", 3600.0),
    ("3h", 10_800.0),
    ("12h", 43_200.0),
    ("1d", 86_400.0),
    ("7d", 604_800.0),
    ("30d", 2_592_000.0),
    ("90d", 7_776_000.0),
    ("365d", 31_536_000.0),
    ("3650d", 315_360_000.0),
];

/// Whether any are wanted.
pub fn are_wanted(args: &SearchArgs) -> bool {
    !args.facet.is_empty() || args.histogram.is_some()
}

/// The aggregations behind the facets and the histogram. `span` tells the earliest and the latest time of what matches, Unix
/// seconds; it is asked when the interval is to be chosen here.
///
/// # Errors
/// Usage for a facet that is not `FIELD` or `FIELD:NUMBER`; what `span` returns.
pub fn request(
    args: &SearchArgs,
    span: impl FnOnce() -> Result<Option<[f64; 2]>, Failure>,
) -> Result<Value, Failure> {
    let mut aggs = json!({});
    for (place, facet) in args.facet.iter().enumerate() {
        let (field, size) = match facet.rsplit_once(':') {
            None => (facet.as_str(), FACET_SIZE),
            Some((field, size)) => {
                let size = size.parse().ok().filter(|size| *size > 0);
                let wrong = || Failure::usage(format!("--facet {facet}: FIELD or FIELD:NUMBER, please"));
                (field, size.ok_or_else(wrong)?)
            }
        };
        aggs[place.to_string()] = json!({"terms": {"field": field, "size": size}});
    }
    if let Some(interval) = &args.histogram {
        let chosen = match interval.as_str() {
            "auto" => span()?.map_or("1h", interval_for),
            own => own,
        };
        aggs[HISTOGRAM] = json!({"date_histogram": {"field": "occurred_at", "fixed_interval": chosen}});
    }
    Ok(aggs)
}

fn interval_for([first, last]: [f64; 2]) -> &'static str {
    let fits = |(_, seconds): &&(&str, f64)| (last - first) / seconds <= BARS_MAX;
    INTERVALS.iter().find(fits).map_or("3650d", |(name, _)| name)
}

/// Prints a table of bars for each facet, and for the histogram.
pub fn print(args: &SearchArgs, results: &Value) -> Result<(), Failure> {
    let facets = args.facet.iter().enumerate();
    let facets = facets.map(|(place, facet)| {
        let field = facet.rsplit_once(':').map_or(facet.as_str(), |(field, _)| field);
        (field, &results[place.to_string()])
    });
    let histogram = args
        .histogram
        .iter()
        .map(|_| ("occurred_at", &results[HISTOGRAM]));
    for (head, result) in facets.chain(histogram) {
        let buckets = result["buckets"].as_array().cloned().unwrap_or_default();
        let mut rows: Vec<(String, u64)> = buckets.iter().map(row).collect();
        let others = result["sum_other_doc_count"].as_u64().unwrap_or(0);
        let longest = rows.iter().map(|(_, count)| *count).max().unwrap_or(0);
        if others > 0 {
            rows.push(("(others)".to_owned(), others));
        }
        let lines = rows.into_iter().map(|(key, count)| {
            let drawn = if key == "(others)" {
                String::new()
            } else {
                bar(count, longest)
            };
            vec![key, count.to_string(), drawn]
        });
        output::wide_table(vec![head.to_uppercase(), "COUNT".into(), String::new()], lines)?;
    }
    Ok(())
}

fn row(bucket: &Value) -> (String, u64) {
    let key = match (&bucket["key_as_string"], &bucket["key"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    };
    (key, bucket["doc_count"].as_u64().unwrap_or(0))
}

/// A bar in eighths of a character; anything but nothing shows.
fn bar(count: u64, longest: u64) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if count == 0 || longest == 0 {
        return String::new();
    }
    let eighths = u128::from(count) * u128::from(WIDTH * 8) / u128::from(longest);
    let eighths = usize::try_from(eighths.max(1)).unwrap_or(usize::MAX);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.extend(PARTS.get(eighths % 8));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_counts_and_never_vanish() {
        assert_eq!(bar(0, 10), "");
        assert_eq!(bar(10, 10).chars().count(), 40);
        assert_eq!(bar(5, 10).chars().count(), 20);
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(3, 64), "█▉");
        assert_eq!(bar(u64::MAX, u64::MAX).chars().count(), 40);
    }

    #[test]
    fn an_interval_gives_some_dozens_of_bars() {
        assert_eq!(interval_for([0.0, 30.0]), "1s");
        assert_eq!(interval_for([0.0, 86_400.0]), "1h");
        assert_eq!(interval_for([0.0, 30.0 * 86_400.0]), "1d");
        assert_eq!(interval_for([0.0, 1e12]), "3650d");
    }
}
