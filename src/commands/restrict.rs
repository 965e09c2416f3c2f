//! `attestore restrict`: lets data about people be read for a purpose only.

use serde_json::{Value, json};

use super::erase::subjects;
use crate::cli::{Output, RestrictAction, RestrictArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Begins, lists and ends restrictions.
pub fn run(args: &RestrictArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/tenants/{}/restrictions", escape(&args.tenant));
    match &args.action {
        RestrictAction::Run {
            subject,
            reason,
            output,
        } => {
            let body = json!({ "subjects": subjects(subject)?, "reason": reason });
            let headers = [("content-type", "application/json")];
            let answer = client.post(&path, &headers, &serde_json::to_vec(&body)?)?;
            let made: Value = serde_json::from_slice(&answer.success()?)?;
            list(&[made], *output)
        }
        RestrictAction::List { output } => {
            let all = client.get_json(&path)?;
            list(all["items"].as_array().map_or(&[][..], Vec::as_slice), *output)
        }
        RestrictAction::End { id, reason } => {
            client.delete(&format!("{path}/{}?reason={}", escape(id), escape(reason)))
        }
    }
}

fn list(items: &[Value], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["ID", "SINCE", "SUBJECTS", "REASON"],
            items.iter().map(|item| {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                [
                    text("id"),
                    text("created_at"),
                    item["subjects"].to_string(),
                    text("reason"),
                ]
            }),
        ),
    }
}
