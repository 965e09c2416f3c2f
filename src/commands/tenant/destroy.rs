//! `attestore tenant destroy`, and those that were destroyed.

use serde_json::Value;

use crate::cli::{DestroyedAction, Output};
use crate::client::{Client, escape};
use crate::commands::forget::{done, text};
use crate::failure::Failure;
use crate::{files, output};

/// Destroys a tenant. The server compares the two names too.
pub fn run(
    client: &Client,
    name: &str,
    (confirm, reason): (&str, &str),
    bypass_governance: bool,
    output: Output,
) -> Result<(), Failure> {
    if name != confirm {
        return Err(Failure::usage(
            "--confirm: write the name of the tenant once more",
        ));
    }
    let path = format!(
        "/v1/tenants/{}?confirm={}&reason={}",
        escape(name),
        escape(confirm),
        escape(reason)
    );
    let headers: &[(&str, &str)] = match bypass_governance {
        true => &[("attestore-bypass-governance", "true")],
        false => &[],
    };
    let destroyed = done(client.delete_once(&path, headers)?)?;
    show(std::slice::from_ref(&destroyed), &destroyed, output)
}

/// Lists and shows tenants that were destroyed.
pub fn destroyed(client: &Client, action: &DestroyedAction) -> Result<(), Failure> {
    match action {
        DestroyedAction::List { output } => {
            let all = all(client)?;
            show(&all, &Value::Array(all.clone()), *output)
        }
        DestroyedAction::Show { id, output } => {
            let one = client.get_json(&format!("/v1/destroyed-tenants/{}", escape(id)))?;
            show(std::slice::from_ref(&one), &one, *output)
        }
        DestroyedAction::Receipt { id, out } => {
            let receipt = client.get_text(&format!("/v1/destroyed-tenants/{}/receipt", escape(id)))?;
            match out {
                None => output::line(&receipt),
                Some(path) => {
                    files::write_text(path, &receipt)?;
                    output::note(format!("wrote the receipt to {}", path.display()));
                    Ok(())
                }
            }
        }
    }
}

fn all(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get_json(&format!("/v1/destroyed-tenants?limit=1000{cursor}"))?;
        all.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", escape(next)),
            None => return Ok(all),
        }
    }
}

fn show(tenants: &[Value], json: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(json),
        Output::Ndjson => tenants.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "ID",
                "NAME",
                "STATE",
                "RECORDS",
                "HIDDEN SINCE",
                "UNREADABLE SINCE",
                "GONE SINCE",
                "ORIGIN",
            ],
            tenants.iter().map(|tenant| {
                [
                    "id",
                    "name",
                    "state",
                    "size",
                    "hidden_since",
                    "unreadable_since",
                    "gone_since",
                    "origin",
                ]
                .map(|name| text(tenant, name))
            }),
        ),
    }
}
