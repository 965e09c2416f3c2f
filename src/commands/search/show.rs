//! Tables of chosen fields and of aggregations.

use serde_json::Value;

use crate::failure::Failure;
use crate::output;

/// Prints a column for each field.
pub fn fields(fields: &[String], records: &[Value]) -> Result<(), Failure> {
    let head = std::iter::once("SEQ".to_owned()).chain(fields.iter().cloned());
    let rows = records.iter().map(|record| {
        let values = fields.iter().map(|field| {
            let own = &record[field.as_str()];
            if own.is_null() {
                let mut found = Vec::new();
                collect(&record["event"], field, &mut found);
                found.join(", ")
            } else {
                cell(own)
            }
        });
        std::iter::once(record["seq"].to_string()).chain(values).collect()
    });
    output::wide_table(head.collect(), rows)
}

/// All values at a path; arrays are gone through, and names may have dots in them.
fn collect(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, path, found)),
        Value::Object(members) => {
            for (name, value) in members {
                if name == path {
                    found.push(cell(value));
                } else if let Some(rest) = path
                    .strip_prefix(name.as_str())
                    .and_then(|rest| rest.strip_prefix('.'))
                {
                    collect(value, rest, found);
                }
            }
        }
        _ => {}
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Prints a table for each aggregation that has buckets, nested ones with the keys above them, and one for all that are a
/// number.
pub fn aggregations(results: &Value) -> Result<(), Failure> {
    let Some(results) = results.as_object() else {
        return Ok(());
    };
    let mut tables = Vec::new();
    let mut numbers = Vec::new();
    for (name, result) in results {
        if result.get("buckets").is_some() {
            tabulate(&[name], &[], result, &mut tables);
        } else {
            // A filter has no buckets but may hold aggregations.
            for (of, value) in metrics(name, result) {
                numbers.push(vec![of, value]);
            }
            for (inner, nested) in inner(result) {
                tabulate(&[name, inner], &[String::new()], nested, &mut tables);
            }
        }
    }
    if !numbers.is_empty() {
        output::wide_table(vec!["AGGREGATION".into(), "VALUE".into()], numbers)?;
    }
    for table in tables {
        let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut head = table.head;
        head.resize(columns.max(head.len()), String::new());
        output::wide_table(head, table.rows)?;
    }
    Ok(())
}

struct Table {
    path: Vec<String>,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn tabulate(path: &[&String], keys: &[String], result: &Value, tables: &mut Vec<Table>) {
    let own: Vec<String> = path.iter().map(ToString::to_string).collect();
    let mut rows = Vec::new();
    let mut metric_names: Vec<String> = Vec::new();
    for (key, bucket) in buckets(result) {
        let mut row = keys.to_vec();
        row.push(key);
        row.push(cell(&bucket["doc_count"]));
        for (name, nested) in bucket.as_object().into_iter().flatten() {
            if nested.get("buckets").is_some() {
                continue;
            }
            if nested.is_object() {
                for (of, value) in metrics(name, nested) {
                    if !metric_names.contains(&of) {
                        metric_names.push(of);
                    }
                    row.push(value);
                }
            }
        }
        rows.push(row);
    }
    let others = result["sum_other_doc_count"].as_u64().unwrap_or(0);
    if others > 0 {
        let mut row = keys.to_vec();
        row.extend(["(others)".to_owned(), others.to_string()]);
        rows.push(row);
    }
    match tables.iter_mut().find(|table| table.path == own) {
        Some(table) => table.rows.extend(rows),
        None => {
            let names = own.iter().cloned();
            let head = names.chain(["COUNT".to_owned()]).chain(metric_names).collect();
            tables.push(Table {
                path: own,
                head,
                rows,
            });
        }
    }
    for (key, bucket) in buckets(result) {
        let mut keys = keys.to_vec();
        keys.push(key);
        for (name, nested) in inner(bucket) {
            let mut path = path.to_vec();
            path.push(name);
            tabulate(&path, &keys, nested, tables);
        }
    }
}

/// Aggregations with buckets inside of a bucket.
fn inner(bucket: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let members = bucket.as_object().into_iter().flatten();
    members.filter(|(_, value)| value.get("buckets").is_some())
}

fn buckets(result: &Value) -> Vec<(String, &Value)> {
    let key = |bucket: &Value| {
        if bucket["key_as_string"].is_string() {
            cell(&bucket["key_as_string"])
        } else {
            cell(&bucket["key"])
        }
    };
    match &result["buckets"] {
        Value::Array(list) => list.iter().map(|bucket| (key(bucket), bucket)).collect(),
        Value::Object(keyed) => keyed.iter().map(|(key, bucket)| (key.clone(), bucket)).collect(),
        _ => Vec::new(),
    }
}

/// The numbers of a result without buckets: `name` for its value, `name.part` for each of several.
fn metrics(name: &str, result: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (part, value) in result.as_object().into_iter().flatten() {
        match (part.as_str(), value) {
            ("value" | "doc_count", value) => found.push((name.to_owned(), cell(value))),
            ("values", Value::Object(values)) => {
                found.extend(values.iter().map(|(p, v)| (format!("{name}.{p}"), cell(v))));
            }
            (_, value) if value.is_number() || value.is_string() => {
                found.push((format!("{name}.{part}"), cell(value)));
            }
            _ => {}
        }
    }
    found
}

/// One line for each thing that a search did.
pub fn explanation(explain: &Value) -> String {
    let number = |key: &str| explain[key].as_u64().unwrap_or(0);
    let phases = explain["phases"].as_object().into_iter().flatten();
    let phases: Vec<String> = phases
        .filter(|(_, us)| us.as_u64() != Some(0))
        .map(|(name, us)| format!("{} {us} us", name.trim_end_matches("_us")))
        .collect();
    format!(
        "splits: {} sealed, {} in memory, {} pruned, {} read; {} scanned with {} records; {} hits looked at; {} bytes opened\ntime: {} us ({})",
        number("sealed_splits"),
        number("memory_splits"),
        number("pruned"),
        number("read"),
        number("scanned"),
        number("records_scanned"),
        number("hits_visited"),
        number("bytes_opened"),
        number("took_us"),
        phases.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_buckets_become_rows_with_the_keys_above_them() {
        let result = json!({"buckets": [
            {"key_as_string": "2026-01-01", "key": 1, "doc_count": 3, "most": {"value": 7.0},
             "actors": {"sum_other_doc_count": 1, "buckets": [{"key": "a", "doc_count": 2}]}},
            {"key_as_string": "2026-01-02", "key": 2, "doc_count": 1, "most": {"value": 1.0},
             "actors": {"sum_other_doc_count": 0, "buckets": [{"key": "b", "doc_count": 1}]}},
        ]});
        let mut tables = Vec::new();
        tabulate(&[&"days".to_owned()], &[], &result, &mut tables);
        let rows: Vec<Vec<&str>> = tables
            .iter()
            .flat_map(|t| t.rows.iter().map(|r| r.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(tables[0].head, ["days", "COUNT", "most"]);
        assert_eq!(tables[1].head, ["days", "actors", "COUNT"]);
        assert_eq!(
            rows,
            [
                vec!["2026-01-01", "3", "7.0"],
                vec!["2026-01-02", "1", "1.0"],
                vec!["2026-01-01", "a", "2"],
                vec!["2026-01-01", "(others)", "1"],
                vec!["2026-01-02", "b", "1"],
            ]
        );
    }

    #[test]
    fn a_field_is_collected_from_arrays_and_dotted_names() {
        let event = json!({"targets": [{"id": "1"}, {"id": "2"}], "metadata": {"a.b": {"c": 5}}});
        let all = |path: &str| {
            let mut found = Vec::new();
            collect(&event, path, &mut found);
            found
        };
        assert_eq!(all("targets.id"), ["1", "2"]);
        assert_eq!(all("metadata.a.b.c"), ["5"]);
        assert!(all("targets.name").is_empty());
    }
}
