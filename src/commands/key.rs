//! `attestore key`.

use serde_json::{Value, json};

use crate::cli::{KeyAction, KeyArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Shows and changes the keys of a log.
pub fn run(args: &KeyArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/tenants/{}/log/keys", escape(&args.tenant));
    match &args.action {
        KeyAction::List { output } => list(&client.get_json(&path)?, *output),
        KeyAction::Rotate { overlap_s } => {
            let body = overlap_s.map_or_else(|| json!({}), |seconds| json!({ "overlap_s": seconds }));
            let headers = [("content-type", "application/json")];
            let answer = client.post(&path, &headers, &serde_json::to_vec(&body)?)?;
            output::json(&serde_json::from_slice::<Value>(&answer.success()?)?)
        }
        KeyAction::Retire => client.delete(&format!("{path}/retiring")),
    }
}

fn list(keys: &Value, output: Output) -> Result<(), Failure> {
    let items = keys["items"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["state", "until", "vkey"],
            items.iter().map(|key| {
                let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
                let until = key["until"].as_u64().map(|until| until.to_string());
                [text("state"), until.unwrap_or_default(), text("vkey")]
            }),
        ),
    }
}
