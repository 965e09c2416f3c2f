//! `attestore policy`.

use serde_json::{Value, json};

use super::forget::{age, done, parse_age, text};
use crate::cli::{Output, PolicyAction, PolicyArgs, PolicySetArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Shows and sets retention policies.
pub fn run(args: &PolicyArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/tenants/{}/retention", escape(&args.tenant));
    match &args.action {
        PolicyAction::List { output } => list(&client.get_json(&path)?, *output),
        PolicyAction::Set(args) => set(&client, &path, args),
        PolicyAction::Preview { at, output } => {
            let query = at
                .as_ref()
                .map_or_else(String::new, |at| format!("?at={}", escape(at)));
            preview(&client.get_json(&format!("{path}/preview{query}"))?, *output)
        }
    }
}

fn list(classes: &Value, output: Output) -> Result<(), Failure> {
    let items = classes["items"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "CLASS", "NAME", "AT LEAST", "AT MOST", "MODE", "ERASABLE", "BASIS", "TAKES",
            ],
            items.iter().map(|class| {
                [
                    text(class, "class"),
                    text(class, "name"),
                    age(class["keep_min_ms"].as_u64()),
                    age(class["keep_max_ms"].as_u64()),
                    text(class, "mode"),
                    text(class, "erasable"),
                    text(class, "basis"),
                    takes(class),
                ]
            }),
        ),
    }
}

/// Which events a class takes, for people.
fn takes(class: &Value) -> String {
    let lists = class["select"].as_object().into_iter().flatten();
    let lists = lists.map(|(name, items)| {
        let items: Vec<&str> = items
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        format!("{name}: {}", items.join(" "))
    });
    let lists: Vec<String> = lists.collect();
    match (lists.is_empty(), class["class"].as_u64()) {
        (true, Some(1)) => "what no other does".to_owned(),
        (true, _) => "nothing".to_owned(),
        (false, _) => lists.join("; "),
    }
}

/// Changes what is named, and leaves the rest as it is.
fn set(client: &Client, path: &str, args: &PolicySetArgs) -> Result<(), Failure> {
    let classes = client.get_json(path)?;
    let mut items = classes["items"].as_array().into_iter().flatten();
    let before = items.find(|item| item["class"] == args.class);
    let mut policy = json!({});
    if let Some(before) = before {
        for name in [
            "name",
            "keep_min_ms",
            "keep_max_ms",
            "basis",
            "mode",
            "erasable",
            "select",
        ] {
            policy[name] = before[name].clone();
        }
    }
    for (name, wanted) in [
        ("name", &args.name),
        ("basis", &args.basis),
        ("mode", &args.mode),
        ("erasable", &args.erasable),
    ] {
        if let Some(wanted) = wanted {
            policy[name] = json!(wanted);
        }
    }
    if policy["name"].is_null() {
        return Err(Failure::usage("a new class needs --name"));
    }
    if let Some(min) = &args.keep_min {
        policy["keep_min_ms"] = json!(parse_age("--keep-min", min)?);
    }
    match args.keep_max.as_deref() {
        None => {}
        Some("none") => policy["keep_max_ms"] = Value::Null,
        Some(max) => policy["keep_max_ms"] = json!(parse_age("--keep-max", max)?),
    }
    let lists = [
        ("actions", &args.actions),
        ("data_categories", &args.data_categories),
        ("classifications", &args.classifications),
        ("severities", &args.severities),
    ];
    if args.take_nothing {
        policy["select"] = Value::Null;
    } else if lists.iter().any(|(_, items)| !items.is_empty()) {
        let given = lists.iter().filter(|(_, items)| !items.is_empty());
        let given: serde_json::Map<String, Value> = given
            .map(|(name, items)| ((*name).to_owned(), json!(items)))
            .collect();
        policy["select"] = Value::Object(given);
    }
    let mut headers = vec![("content-type", "application/json")];
    if args.bypass_governance {
        headers.push(("attestore-bypass-governance", "true"));
    }
    let path = format!("{path}/{}", args.class);
    let set = done(client.put(&path, &headers, &serde_json::to_vec(&policy)?)?)?;
    for warning in set["warnings"].as_array().into_iter().flatten() {
        let warning = text(warning, "message");
        output::note(format!("warning: {}", output::visible(&warning)));
    }
    match args.output {
        Output::Json => output::json(&set),
        Output::Ndjson => output::ndjson(&set),
        Output::Table => list(&json!({ "items": [set] }), Output::Table),
    }
}

fn preview(preview: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(preview),
        Output::Ndjson => output::ndjson(preview),
        Output::Table => output::table(
            ["CLASS", "DUE", "BYTES", "SEGMENTS", "HELD", "OLDEST"],
            preview["items"].as_array().into_iter().flatten().map(|class| {
                [
                    "class",
                    "due_records",
                    "due_bytes",
                    "whole_segments",
                    "held_records",
                    "oldest_at",
                ]
                .map(|name| text(class, name))
            }),
        ),
    }
}
