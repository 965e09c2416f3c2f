//! `attestore erase`: erases data subjects and whole records, and shows how far that is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{EraseAction, EraseArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Asks for, shows and takes back erasures.
pub fn run(args: &EraseArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/tenants/{}/erasures", escape(&args.tenant));
    match &args.action {
        EraseAction::Run {
            subject,
            seq,
            basis,
            undo_s,
            bypass_governance,
            no_wait,
            output,
        } => {
            let body = match seq.is_empty() {
                true => json!({ "subjects": subjects(subject)?, "basis": basis, "undo_s": undo_s }),
                false => json!({ "seqs": seq, "basis": basis }),
            };
            let mut headers = vec![("content-type", "application/json")];
            if *bypass_governance {
                headers.push(("attestore-bypass-governance", "true"));
            }
            let answer = client.post(&path, &headers, &serde_json::to_vec(&body)?)?;
            let asked: Value = serde_json::from_slice(&answer.success()?)?;
            let erasure = match *no_wait || *undo_s > 0 {
                true => asked,
                false => wait(&client, &path, asked)?,
            };
            show(&erasure, *output)
        }
        EraseAction::List { output } => list(&client.get_json(&path)?, *output),
        EraseAction::Show { id, output } => {
            show(&client.get_json(&format!("{path}/{}", escape(id)))?, *output)
        }
        EraseAction::Certificate { id, out } => {
            let certificate = client.get_text(&format!("{path}/{}/certificate", escape(id)))?;
            output::save(&certificate, "certificate", out.as_deref())
        }
        EraseAction::Undo { id } => client.delete(&format!("{path}/{}", escape(id))),
    }
}

/// Reads `TYPE:ID`.
pub fn subjects(named: &[String]) -> Result<Vec<Value>, Failure> {
    let subject = |text: &String| {
        let parts = text
            .split_once(':')
            .filter(|(ty, id)| !ty.is_empty() && !id.is_empty());
        let usage = || Failure::usage("--subject: write TYPE:ID, such as user:ann@example.com");
        parts
            .map(|(ty, id)| json!({ "type": ty, "id": id }))
            .ok_or_else(usage)
    };
    named.iter().map(subject).collect()
}

/// Waits until nothing is left to do, or a hold or a policy keeps it from going on.
fn wait(client: &Client, path: &str, mut erasure: Value) -> Result<Value, Failure> {
    let bar = ProgressBar::new(STATES.len() as u64 - 1);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
        bar.set_style(style);
    }
    let path = format!("{path}/{}", escape(erasure["id"].as_str().unwrap_or_default()));
    loop {
        let state = erasure["state"].as_str().unwrap_or_default().to_owned();
        let at = STATES.iter().position(|name| *name == state).unwrap_or_default();
        bar.set_position(at as u64);
        bar.set_message(state.clone());
        if ["done", "deferred", "cancelled"].contains(&state.as_str()) {
            bar.finish_and_clear();
            return Ok(erasure);
        }
        std::thread::sleep(LOOK);
        erasure = client.get_json(&path)?;
    }
}

fn list(erasures: &Value, output: Output) -> Result<(), Failure> {
    let items = erasures["items"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "ID",
                "SCOPE",
                "STATE",
                "REQUESTED",
                "UNREADABLE SINCE",
                "RECORDS",
                "BASIS",
            ],
            items.iter().map(|item| {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                [
                    text("id"),
                    text("scope"),
                    text("state"),
                    text("requested_at"),
                    text("unreadable_since"),
                    item["records"].to_string(),
                    text("basis"),
                ]
            }),
        ),
    }
}

fn show(erasure: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(erasure),
        Output::Ndjson => output::ndjson(erasure),
        Output::Table => {
            let rows = [
                "id",
                "scope",
                "state",
                "deferred",
                "basis",
                "approved_by",
                "records",
                "seq",
                "suppressed_since",
                "unreadable_since",
                "terms_gone_since",
                "bytes_gone_since",
                "certificate",
            ];
            output::table(
                ["", ""],
                rows.into_iter().map(|name| {
                    let value = match &erasure[name] {
                        Value::Null => String::new(),
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    [name.to_owned(), value]
                }),
            )
        }
    }
}

const STATES: [&str; 5] = ["received", "approved", "unreadable", "index_clean", "done"];
const LOOK: Duration = Duration::from_millis(300);
