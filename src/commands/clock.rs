//! `attestore clock`.

use attestore_disk::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::cli::{ClockAction, ClockArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output;

/// Confirms the server's clock after it stepped ahead.
pub fn run(args: &ClockArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let ClockAction::Confirm { now } = &args.action;
    let now = match now {
        Some(now) => now.clone(),
        None => this_machines_time()?,
    };
    let body = serde_json::to_vec(&json!({ "now": now }))?;
    let headers = [("content-type", "application/json")];
    let answer = client.post("/v1/clock/confirm", &headers, &body)?;
    if answer.status != 503 {
        return output::json(&serde_json::from_slice::<Value>(&answer.success()?)?);
    }
    // A refusal under a clock that is not believed cannot be recorded, and so is not told. What is public is.
    let ready: Value = serde_json::from_slice(&client.get_any("/readyz")?)?;
    let reasons = ready["reasons"].as_array().into_iter().flatten();
    let reasons: Vec<_> = reasons.filter_map(Value::as_str).map(output::visible).collect();
    Err(Failure::failed(format!(
        "not confirmed: does the server's clock show {now}? It says: {}",
        reasons.join("; ")
    )))
}

/// RFC 3339. Whoever confirms a clock brings another one.
fn this_machines_time() -> Result<String, Failure> {
    let now_ms = i64::try_from(SystemClock.now_ms()).map_err(|e| Failure::failed(e.to_string()))?;
    let now = jiff::Timestamp::from_millisecond(now_ms).map_err(|e| Failure::failed(e.to_string()))?;
    Ok(format!("{now:.3}"))
}
