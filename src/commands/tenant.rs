//! `attestore tenant`.

use serde_json::{Value, json};

use crate::cli::{Output, TenantAction, TenantArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Makes, shows or lists tenants.
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
    }
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
