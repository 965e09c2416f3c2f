//! `attestore hold`.

use serde_json::{Value, json};

use super::forget::{done, text};
use crate::cli::{HoldAction, HoldArgs, HoldPlaceArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Places, shows and releases legal holds.
pub fn run(args: &HoldArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/tenants/{}/holds", escape(&args.tenant));
    let headers = [("content-type", "application/json")];
    match &args.action {
        HoldAction::Place(args) => {
            let answer = client.post(&path, &headers, &serde_json::to_vec(&body(args)?)?)?;
            output::json(&done(answer)?)
        }
        HoldAction::List { output } => list(&client.get_json(&path)?, *output),
        HoldAction::Show { id } => output::json(&client.get_json(&format!("{path}/{}", escape(id)))?),
        HoldAction::Release { id, reason } => {
            let body = serde_json::to_vec(&json!({ "reason": reason }))?;
            let answer = client.post(&format!("{path}/{}/release", escape(id)), &headers, &body)?;
            output::json(&done(answer)?)
        }
    }
}

fn body(args: &HoldPlaceArgs) -> Result<Value, Failure> {
    let mut body = json!({ "matter": args.matter, "reason": args.reason });
    if let Some(query) = &args.query {
        body["query"] = json!(query);
    }
    for (name, who) in [("actor", &args.actor), ("subject", &args.subject)] {
        if let Some(who) = who {
            let (ty, id) = who
                .split_once(':')
                .ok_or_else(|| Failure::usage(format!("--{name}: write TYPE:ID, e.g. user:u_42")))?;
            body[name] = json!({ "type": ty, "id": id });
        }
    }
    let ranges = args
        .seqs
        .iter()
        .map(|text| range(text))
        .collect::<Result<Vec<_>, _>>()?;
    if !ranges.is_empty() {
        body["ranges"] = json!(ranges);
    }
    if !args.classes.is_empty() {
        body["classes"] = json!(args.classes);
    }
    if let Some(review_at) = &args.review_at {
        body["review_at"] = json!(review_at);
    }
    Ok(body)
}

/// `FIRST-LAST`, both included, as first and end.
fn range(text: &str) -> Result<[u64; 2], Failure> {
    let usage = || Failure::usage("--seqs: write FIRST-LAST, or one number");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u64>().map_err(|_| usage());
    let (first, last) = (number(first)?, number(last)?);
    Ok([
        first,
        last.checked_add(1).filter(|end| first < *end).ok_or_else(usage)?,
    ])
}

fn list(holds: &Value, output: Output) -> Result<(), Failure> {
    let items = holds["items"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "ID",
                "STATE",
                "MATTER",
                "RECORDS",
                "PLACED BY",
                "PLACED AT",
                "REVIEW AT",
            ],
            items.iter().map(|hold| {
                [
                    "id",
                    "state",
                    "matter",
                    "records",
                    "placed_by",
                    "placed_at",
                    "review_at",
                ]
                .map(|name| text(hold, name))
            }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_written_with_both_ends() {
        assert_eq!(range("3-5").unwrap(), [3, 6]);
        assert_eq!(range("7").unwrap(), [7, 8]);
        for wrong in ["", "5-3", "a", "3-", "1-2-3"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
