//! `attestore search`.

use serde_json::Value;

use crate::cli::{Output, SearchArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Records fetched by one request.
const PAGE: usize = 500;

/// Prints the records that match, newest first unless told otherwise.
pub fn run(args: &SearchArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let base = path(args);
    if args.count {
        let page = client.get_json(&format!("{base}&limit=1&count=true"))?;
        return output::line(page["count"].as_u64().unwrap_or(0));
    }
    let mut left = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut cursor: Option<String> = None;
    let mut records = Vec::new();
    while left > 0 {
        let mut url = format!("{base}&limit={}", left.min(PAGE));
        if let Some(cursor) = &cursor {
            url = format!("{url}&cursor={}", escape(cursor));
        }
        let mut page = client.get_json(&url)?;
        let Value::Array(items) = page["items"].take() else {
            break;
        };
        left -= items.len().min(left);
        if args.output == Output::Ndjson {
            for record in &items {
                output::ndjson(record)?;
            }
        } else {
            records.extend(items);
        }
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    match args.output {
        Output::Ndjson => Ok(()),
        Output::Json => output::json(&records),
        Output::Table => output::table(HEAD, records.iter().map(row)),
    }
}

fn path(args: &SearchArgs) -> String {
    let mut path = format!(
        "/v1/tenants/{}/events?q={}",
        escape(&args.on.tenant),
        escape(&args.query)
    );
    if let Some(from) = &args.from {
        path = format!("{path}&from={}", escape(from));
    }
    if let Some(to) = &args.to {
        path = format!("{path}&to={}", escape(to));
    }
    if args.oldest {
        path.push_str("&order=oldest");
    }
    path
}

const HEAD: [&str; 7] = ["SEQ", "TIME", "ACTION", "OUTCOME", "ACTOR", "TARGET", "FROM"];

fn row(record: &Value) -> [String; 7] {
    let event = &record["event"];
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let either = |a: &Value, b: &Value| if a.is_string() { text(a) } else { text(b) };
    [
        record["seq"].to_string(),
        either(&event["occurred_at"], &record["received_at"]),
        either(&event["action"], &record["kind"]),
        text(&event["outcome"]),
        either(&event["actor"]["name"], &event["actor"]["id"]),
        either(&event["targets"][0]["name"], &event["targets"][0]["id"]),
        either(&event["context"]["ip"], &event["context"]["host"]),
    ]
}
