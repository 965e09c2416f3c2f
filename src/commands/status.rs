//! `attestore status`.

use indicatif::HumanBytes;
use serde_json::{Value, json};

use crate::cli::{Output, StatusArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output;

/// Shows how the server is doing and which tenants it has, as far as the credential may know.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let ready: Value = serde_json::from_slice(&client.get_any("/readyz")?)?;
    let instance = match client.try_get("/v1/status")? {
        Some(body) => serde_json::from_slice(&body)?,
        None => Value::Null,
    };
    let mut tenants = Vec::new();
    let mut path = "/v1/tenants".to_owned();
    loop {
        let mut page = client.get_json(&path)?;
        if let Value::Array(items) = page["items"].take() {
            tenants.extend(items);
        }
        match page["cursor"].as_str() {
            Some(cursor) => path = format!("/v1/tenants?cursor={}", crate::client::escape(cursor)),
            None => break,
        }
    }
    match args.output {
        Output::Json => output::json(&json!({"ready": ready, "instance": instance, "tenants": tenants}))?,
        Output::Ndjson => tenants.iter().try_for_each(output::ndjson)?,
        Output::Table => print(&ready, &instance, &tenants)?,
    }
    if ready["ready"] == true {
        Ok(())
    } else {
        Err(Failure::failed("the server is not ready"))
    }
}

fn print(ready: &Value, instance: &Value, tenants: &[Value]) -> Result<(), Failure> {
    let word = if ready["ready"] == true {
        "ready"
    } else {
        "NOT READY"
    };
    output::line(word)?;
    for (kind, reasons) in [("", &ready["reasons"]), ("warning: ", &ready["warnings"])] {
        for reason in reasons.as_array().into_iter().flatten().filter_map(Value::as_str) {
            output::line(format!("  {kind}{}", output::visible(reason)))?;
        }
    }
    if instance.is_object() {
        output::line("")?;
        output::table(["SERVER", ""], rows(instance))?;
    }
    output::line("")?;
    let head = ["TENANT", "RECORDS", "ROOT", "APPENDS"];
    let tenant = |tenant: &Value| {
        let text = |key: &str| tenant[key].as_str().unwrap_or("").to_owned();
        let root: String = text("root").chars().take(16).collect();
        let appends = match text("refuses_appends") {
            none if none.is_empty() => "yes".to_owned(),
            reason => format!("no: {reason}"),
        };
        [text("name"), tenant["size"].to_string(), root, appends]
    };
    output::table(head, tenants.iter().map(tenant))
}

fn rows(instance: &Value) -> Vec<[String; 2]> {
    let number = |key: &str| instance[key].as_u64().unwrap_or(0);
    let bytes = |key: &str| HumanBytes(number(key)).to_string();
    let compaction = &instance["compaction"];
    let mut rows = vec![
        (
            "tenants",
            format!("{}, {} in memory", number("tenants"), number("tenants_loaded")),
        ),
        (
            "waiting to be durable",
            format!("{} records", number("queue_records")),
        ),
        (
            "not in segments yet",
            format!("{} records", number("tail_records")),
        ),
        (
            "not indexed yet",
            format!(
                "{} records of the tenant furthest behind",
                number("index_lag_records")
            ),
        ),
        (
            "log",
            format!("{} in {} files", bytes("wal_bytes"), number("wal_files")),
        ),
        (
            "free space",
            format!(
                "{}, of which {} are kept in reserve",
                bytes("free_bytes"),
                bytes("reserve_bytes")
            ),
        ),
        (
            "indexes to build again",
            number("index_rebuilds_pending").to_string(),
        ),
        ("heads to register", number("heads_waiting").to_string()),
        (
            "rollback",
            if instance["rollback_detection"] == true {
                "is detected"
            } else {
                "cannot be detected"
            }
            .to_owned(),
        ),
    ];
    for (key, value) in compaction.as_object().into_iter().flatten() {
        if value.is_number() || value.is_string() {
            let name = key.replace('_', " ");
            rows.push((
                "compaction",
                format!("{name}: {}", value.to_string().trim_matches('"')),
            ));
        }
    }
    rows.into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect()
}
