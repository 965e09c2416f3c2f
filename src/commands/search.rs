//! `attestore search`.

mod bars;
mod show;

use serde_json::{Value, json};

use crate::cli::{Output, SearchArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::{files, output};

/// Records fetched by one request.
const PAGE: usize = 500;
/// Records printed when nothing else is said.
const LIMIT_DEFAULT: usize = 50;

/// Prints the records that match, newest first unless told otherwise, and what was asked about all of them.
pub fn run(args: &SearchArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let path = format!("/v1/tenants/{}/search", escape(&args.on.tenant));
    let mut request = request(args)?;
    if bars::are_wanted(args) {
        request["aggs"] = bars::request(args, || span(&client, &path, &request))?;
    }
    let aggregates = request.get("aggs").is_some();
    if args.count && !aggregates {
        request["limit"] = json!(0);
        let page = client.ask_json(&path, &request)?;
        explain(args, &page)?;
        return output::line(page["count"].as_u64().unwrap_or(0));
    }
    let mut left = match args.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if aggregates => 0,
        None => LIMIT_DEFAULT,
    };
    let mut answer = Value::Null;
    let mut records = Vec::new();
    loop {
        request["limit"] = json!(left.min(PAGE));
        let mut page = client.ask_json(&path, &request)?;
        let Value::Array(items) = page["items"].take() else {
            return Err(Failure::failed("the answer has no items"));
        };
        left -= items.len().min(left);
        if args.output == Output::Ndjson {
            items.iter().try_for_each(output::ndjson)?;
        } else {
            records.extend(items);
        }
        let cursor = page["cursor"].take();
        if answer.is_null() {
            answer = page;
            // What is about all hits is the same on every page.
            for key in ["aggs", "count", "explain"] {
                if let Some(request) = request.as_object_mut() {
                    request.remove(key);
                }
            }
        }
        if left == 0 || cursor.is_null() {
            break;
        }
        request["cursor"] = cursor;
    }
    match args.output {
        Output::Ndjson => ndjson(args, &answer),
        Output::Json => json_document(args, answer, records),
        Output::Table => table(args, &answer, &records),
    }
}

/// The earliest and the latest time of what matches, Unix seconds; `None` when nothing does.
fn span(client: &Client, path: &str, request: &Value) -> Result<Option<[f64; 2]>, Failure> {
    let mut request = request.clone();
    request["limit"] = json!(0);
    request["aggs"] = json!({"span": {"stats": {"field": "occurred_at"}}});
    let stats = client.ask_json(path, &request)?["aggregations"]["span"].take();
    let seconds = |key: &str| stats[key].as_f64().map(|ms| ms / 1000.0);
    Ok(seconds("min").zip(seconds("max")).map(|(min, max)| [min, max]))
}

fn request(args: &SearchArgs) -> Result<Value, Failure> {
    let mut request = json!({"query": args.query, "count": args.count, "explain": args.explain});
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            request[key] = value;
        }
    };
    set("from", args.from.as_ref().map(|from| json!(from)));
    set("to", args.to.as_ref().map(|to| json!(to)));
    set("sort", args.oldest.then(|| json!("oldest")));
    set("sort", args.sort.as_ref().map(|sort| json!(sort)));
    set("aggs", args.aggs.as_deref().map(aggregations).transpose()?);
    if !args.fields.is_empty() {
        set("fields", Some(json!(args.fields)));
    }
    Ok(request)
}

/// Aggregations as typed, or in the file of that name.
fn aggregations(text: &str) -> Result<Value, Failure> {
    let read = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        files::read_text(text.as_ref())?
    };
    serde_json::from_str(&read).map_err(|e| Failure::usage(format!("--aggs is not JSON: {e}")))
}

fn ndjson(args: &SearchArgs, answer: &Value) -> Result<(), Failure> {
    if answer["aggregations"].is_object() {
        output::ndjson(&json!({"aggregations": answer["aggregations"], "count": answer["count"]}))?;
    }
    explain(args, answer)
}

/// The records alone where nothing else was asked for, else the whole answer.
fn json_document(args: &SearchArgs, mut answer: Value, records: Vec<Value>) -> Result<(), Failure> {
    if !answer["aggregations"].is_object() && !args.explain && !args.count {
        return output::json(&records);
    }
    answer["items"] = Value::Array(records);
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("cursor");
    }
    output::json(&answer)
}

fn table(args: &SearchArgs, answer: &Value, records: &[Value]) -> Result<(), Failure> {
    let aggregates = answer["aggregations"].is_object();
    let is_asked_for = !aggregates || args.limit.is_some();
    if is_asked_for && args.fields.is_empty() {
        output::table(HEAD, records.iter().map(row))?;
    } else if is_asked_for {
        show::fields(&args.fields, records)?;
    }
    if aggregates {
        if bars::are_wanted(args) {
            bars::print(args, &answer["aggregations"])?;
        } else {
            show::aggregations(&answer["aggregations"])?;
        }
        if let Some(count) = answer["count"].as_u64() {
            output::line(format!("{count} records match"))?;
        }
    }
    if answer["scanned"] == true {
        output::note(
            "records were scanned, because the index does not hold what the query asks for; `attestore tenant index` changes that",
        );
    }
    explain(args, answer)
}

/// What the search did, for people, beside the result.
fn explain(args: &SearchArgs, answer: &Value) -> Result<(), Failure> {
    if args.explain && args.output != Output::Json {
        output::note(show::explanation(&answer["explain"]));
    }
    Ok(())
}

pub(super) const HEAD: [&str; 7] = ["SEQ", "TIME", "ACTION", "OUTCOME", "ACTOR", "TARGET", "FROM"];

pub(super) fn row(record: &Value) -> [String; 7] {
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
