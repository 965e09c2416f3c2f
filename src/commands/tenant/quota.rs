//! `attestore tenant quota`.

use serde_json::{Value, json};

use crate::cli::{Output, QuotaAction, QuotaArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Shows or changes a quota.
pub fn run(client: &Client, action: &QuotaAction) -> Result<(), Failure> {
    match action {
        QuotaAction::Show { name, output } => show(&client.get_json(&path(name))?, *output),
        QuotaAction::Set(args) => set(client, args),
    }
}

fn path(name: &str) -> String {
    format!("/v1/tenants/{}/quota", escape(name))
}

/// Changes what is named, and leaves the rest as it is.
fn set(client: &Client, args: &QuotaArgs) -> Result<(), Failure> {
    let path = path(&args.name);
    let mut quota = client.get_json(&path)?["quota"].take();
    for (key, wanted) in [
        ("events_per_second", &args.events_per_second),
        ("bytes_per_day", &args.bytes_per_day),
        ("storage_bytes", &args.storage_bytes),
        ("searches", &args.searches),
        ("tails", &args.tails),
        ("exports", &args.exports),
    ] {
        match wanted.as_deref() {
            None => {}
            Some("none") => quota[key] = Value::Null,
            Some(text) => {
                let usage = |_| {
                    Failure::usage(format!(
                        "--{}: write a whole number, or none",
                        key.replace('_', "-")
                    ))
                };
                quota[key] = json!(text.parse::<u64>().map_err(usage)?);
            }
        }
    }
    show(&client.put_json(&path, &quota)?, args.output)
}

fn show(status: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(status),
        Output::Ndjson => output::ndjson(status),
        Output::Table => {
            let text = |value: &Value| {
                if value.is_null() {
                    String::new()
                } else {
                    value.to_string()
                }
            };
            let rows = [
                ("events_per_second", "events_last_second"),
                ("bytes_per_day", "bytes_today"),
                ("storage_bytes", "storage_bytes"),
                ("searches", ""),
                ("tails", ""),
                ("exports", ""),
            ];
            output::table(
                ["QUOTA", "ALLOWED", "USED"],
                rows.into_iter().map(|(quota, used)| {
                    let allowed = &status["quota"][quota];
                    [quota.to_owned(), text(allowed), text(&status["used"][used])]
                }),
            )
        }
    }
}
