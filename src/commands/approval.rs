//! `attestore approval`.

use serde_json::{Value, json};

use super::forget::{done, text};
use crate::cli::{ApprovalAction, ApprovalArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Shows requests for approval, decides about them, and sets which acts take two persons.
pub fn run(args: &ApprovalArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/tenants/{}/approvals", escape(&args.tenant));
    let decide = |id: &str, how: &str| -> Result<(), Failure> {
        let answer = client.post(&format!("{path}/{}/{how}", escape(id)), &[], b"")?;
        output::json(&serde_json::from_slice::<Value>(&answer.success()?)?)
    };
    match &args.action {
        ApprovalAction::List { output } => list(&client.get_json(&path)?, *output),
        ApprovalAction::Show { id } => output::json(&client.get_json(&format!("{path}/{}", escape(id)))?),
        ApprovalAction::Approve { id } => decide(id, "approve"),
        ApprovalAction::Refuse { id } => decide(id, "refuse"),
        ApprovalAction::Policy { kinds, .. } if kinds.is_empty() => {
            output::json(&client.get_json(&format!("{path}/policy"))?)
        }
        ApprovalAction::Policy { kinds, expires_in_s } => {
            let kinds: Vec<&String> = kinds.iter().filter(|kind| *kind != "none").collect();
            let mut policy = json!({ "kinds": kinds });
            if let Some(seconds) = expires_in_s {
                policy["expires_in_s"] = json!(seconds);
            }
            let headers = [("content-type", "application/json")];
            let body = serde_json::to_vec(&policy)?;
            output::json(&done(client.put(&format!("{path}/policy"), &headers, &body)?)?)
        }
    }
}

fn list(approvals: &Value, output: Output) -> Result<(), Failure> {
    let items = approvals["items"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["ID", "KIND", "STATE", "REQUESTED BY", "EXPIRES AT", "DECIDED BY"],
            items.iter().map(|approval| {
                ["id", "kind", "state", "requested_by", "expires_at", "decided_by"]
                    .map(|name| text(approval, name))
            }),
        ),
    }
}
