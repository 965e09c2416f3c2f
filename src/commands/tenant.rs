//! `attestore tenant`.

mod destroy;
mod moving;
mod quota;

use serde_json::{Value, json};

use crate::cli::{IndexAction, IndexArgs, Output, TenantAction, TenantArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Makes, shows or lists tenants, and says what of their records is indexed.
pub fn run(args: &TenantArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    match &args.action {
        TenantAction::Create { name } => {
            output::json(&client.put_json(&format!("/v1/tenants/{}", escape(name)), &json!({}))?)
        }
        TenantAction::Show { name } => {
            output::json(&client.get_json(&format!("/v1/tenants/{}", escape(name)))?)
        }
        TenantAction::List { output } => list(&client, *output),
        TenantAction::Index { action } => match action {
            IndexAction::Show { name, output } => {
                let status = client.get_json(&index_path(name))?;
                show_index(&status, *output)
            }
            IndexAction::Set(args) => set_index(&client, args),
        },
        TenantAction::Destroy {
            name,
            confirm,
            reason,
            bypass_governance,
            output,
        } => destroy::run(&client, name, (confirm, reason), *bypass_governance, *output),
        TenantAction::Destroyed { action } => destroy::destroyed(&client, action),
        TenantAction::Move { action } => moving::run(&client, action),
        TenantAction::Quota { action } => quota::run(&client, action),
    }
}

fn index_path(name: &str) -> String {
    format!("/v1/tenants/{}/index", escape(name))
}

/// Changes what is named, and leaves the rest as it is.
fn set_index(client: &Client, args: &IndexArgs) -> Result<(), Failure> {
    let path = index_path(&args.name);
    let mut policy = client.get_json(&path)?["policy"].take();
    if let Some(text) = &args.text {
        policy["text"] = json!(text);
    }
    if let Some(metadata) = args.metadata {
        policy["metadata"] = json!(metadata);
    }
    if let Some(payload_text) = args.payload_text {
        policy["payload_text"] = json!(payload_text);
    }
    if let Some(personal) = &args.personal {
        policy["personal"] = json!(personal);
    }
    let mut paths: Vec<Value> = policy["paths"].as_array().cloned().unwrap_or_default();
    paths.retain(|path| {
        path.as_str()
            .is_some_and(|path| !args.remove_paths.iter().any(|p| p == path))
    });
    paths.extend(args.add_paths.iter().map(|path| json!(path)));
    policy["paths"] = Value::Array(paths);
    show_index(&client.put_json(&path, &policy)?, args.output)
}

fn show_index(status: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => return output::json(status),
        Output::Ndjson => return output::ndjson(status),
        Output::Table => {}
    }
    let policy = &status["policy"];
    let paths: Vec<&str> = policy["paths"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let yes = |value: &Value| if value == true { "yes" } else { "no" }.to_owned();
    output::table(
        ["INDEX", ""],
        [
            ["text", policy["text"].as_str().unwrap_or("")].map(str::to_owned),
            ["metadata".into(), yes(&policy["metadata"])],
            ["text of payloads".into(), yes(&policy["payload_text"])],
            ["paths".into(), paths.join(", ")],
            ["personal values", policy["personal"].as_str().unwrap_or("")].map(str::to_owned),
            [
                "segments".into(),
                format!(
                    "{}, of which {} wait to be indexed again; {} were",
                    status["segments"], status["segments_pending"], status["segments_rebuilt"]
                ),
            ],
            [
                "records not in segments".into(),
                format!(
                    "{}, of which {} are not indexed yet",
                    status["tail_records"], status["lag_records"]
                ),
            ],
        ],
    )
}

fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let mut tenants = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut page = client.get_json(&format!("/v1/tenants?limit=1000{cursor}"))?;
        if let Value::Array(items) = page["items"].take() {
            tenants.extend(items);
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", escape(next)),
            None => break,
        }
    }
    match output {
        Output::Json => output::json(&tenants),
        Output::Ndjson => tenants.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["NAME", "RECORDS", "CREATED", "ORIGIN", "APPENDS"],
            tenants.iter().map(|t| {
                let text = |key: &str| t[key].as_str().unwrap_or("").to_owned();
                let appends = t["refuses_appends"].as_str().unwrap_or("accepted").to_owned();
                [
                    text("name"),
                    t["size"].to_string(),
                    text("created_at"),
                    text("origin"),
                    appends,
                ]
            }),
        ),
    }
}
