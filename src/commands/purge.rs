//! `attestore purge`.

use serde_json::{Value, json};

use crate::cli::{Output, PurgeAction, PurgeArgs, PurgeRunArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Orders, lists and shows purges.
pub fn run(args: &PurgeArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let path = format!("/v1/tenants/{}/purges", escape(&args.on.tenant));
    match &args.action {
        PurgeAction::Run(wanted) => order(&client, &path, wanted),
        PurgeAction::List { output } => list(&client, &path, *output),
        PurgeAction::Show { id, output } => {
            let purge = client.get_json(&format!("{path}/{}", escape(id)))?;
            show(std::slice::from_ref(&purge), &purge, *output)
        }
        PurgeAction::Receipt { id, out } => {
            let receipt = client.get_text(&format!("{path}/{}/receipt", escape(id)))?;
            output::save(&receipt, "receipt", out.as_deref())
        }
    }
}

fn order(client: &Client, path: &str, wanted: &PurgeRunArgs) -> Result<(), Failure> {
    let mut body = json!({ "dry_run": wanted.dry_run });
    if let Some(class) = wanted.class {
        body["class"] = json!(class);
    }
    if let Some(before) = &wanted.before {
        body["before"] = json!(before);
    }
    if !wanted.range.is_empty() {
        let ranges: Vec<[u64; 2]> = wanted.range.iter().map(|(first, end)| [*first, *end]).collect();
        body["ranges"] = json!(ranges);
    }
    if let Some(reason) = &wanted.reason {
        body["reason"] = json!(reason);
    }
    let mut headers = vec![("content-type", "application/json")];
    if wanted.bypass_governance {
        headers.push(("attestore-bypass-governance", "true"));
    }
    let answer = client.post(path, &headers, &serde_json::to_vec(&body)?)?;
    let answer: Value = serde_json::from_slice(&answer.success()?)?;
    if !wanted.dry_run {
        return show(&items(&answer["items"]), &answer["items"], wanted.output);
    }
    let plans = items(&answer["plans"]);
    match wanted.output {
        Output::Json => output::json(&plans),
        Output::Ndjson => plans.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "CLASS",
                "REASON",
                "RECORDS",
                "HELD",
                "BYTES DROPPED",
                "BYTES REWRITTEN",
                "RANGES",
            ],
            plans.iter().map(|plan| {
                let number = |name: &str| plan[name].to_string();
                [
                    number("class"),
                    plan["reason"].as_str().unwrap_or_default().to_owned(),
                    number("records"),
                    number("held"),
                    number("bytes_dropped"),
                    number("bytes_rewritten"),
                    ranges(plan),
                ]
            }),
        ),
    }
}

fn list(client: &Client, path: &str, output: Output) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = match &cursor {
            Some(cursor) => client.get_json(&format!("{path}?limit=1000&cursor={}", escape(cursor)))?,
            None => client.get_json(&format!("{path}?limit=1000"))?,
        };
        all.extend(items(&page["items"]));
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return show(&all, &json!(all), output);
        }
    }
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn show(purges: &[Value], json: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(json),
        Output::Ndjson => purges.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "ID",
                "STATE",
                "CLASS",
                "REASON",
                "RECORDS",
                "DECIDED",
                "UNREADABLE SINCE",
                "GONE SINCE",
                "RANGES",
            ],
            purges.iter().map(|purge| {
                let text = |name: &str| purge[name].as_str().unwrap_or_default().to_owned();
                [
                    text("id"),
                    text("state"),
                    purge["class"].to_string(),
                    text("reason"),
                    purge["records"].to_string(),
                    text("decided_at"),
                    text("unreadable_since"),
                    text("gone_since"),
                    ranges(purge),
                ]
            }),
        ),
    }
}

/// Ranges for people: the first few.
fn ranges(purge: &Value) -> String {
    let all = items(&purge["ranges"]);
    let shown: Vec<String> = all
        .iter()
        .take(RANGES_SHOWN)
        .map(|range| format!("{}..{}", range[0], range[1]))
        .collect();
    let more = all.len().saturating_sub(RANGES_SHOWN);
    match more {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

const RANGES_SHOWN: usize = 4;
