//! `attestore privacy`.

mod scan;

use serde_json::{Value, json};

use crate::cli::{Output, PrivacyAction, PrivacyArgs, PrivacySetArgs};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::{files, output};

/// Shows and changes what is personal, and looks for what could be.
pub fn run(args: &PrivacyArgs) -> Result<(), Failure> {
    if let PrivacyAction::Scan { file } = &args.action {
        return scan::run(file, args.output);
    }
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/tenants/{}/privacy", escape(&args.tenant));
    match &args.action {
        PrivacyAction::Show => show(&client.get_json(&path)?, args.output),
        PrivacyAction::Set(set) => {
            let wanted = changed(client.get_json(&path)?, set)?;
            let status = client.put_json(&path, &wanted)?;
            for warning in status["warnings"].as_array().into_iter().flatten() {
                output::note(format!("less personal: {}", text(warning)));
            }
            show(&status, args.output)
        }
        PrivacyAction::Versions { before } => {
            let query = before.map(|before| format!("?before={before}"));
            let path = format!("{path}/versions{}", query.unwrap_or_default());
            versions(&client.get_json(&path)?, args.output)
        }
        PrivacyAction::Propose { sample } => {
            let found = client.ask_json(&format!("{path}/proposals"), &json!({"sample": sample}))?;
            proposals(&found, args.output)
        }
        PrivacyAction::Scan { .. } => Ok(()),
    }
}

/// The policy as the options want it.
fn changed(mut policy: Value, args: &PrivacySetArgs) -> Result<Value, Failure> {
    let version = policy["version"].take();
    let mut wanted = match &args.file {
        Some(file) => serde_json::from_str(&files::read_text(file)?)
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?,
        None => policy,
    };
    if !wanted.is_object() {
        return Err(Failure::usage("a policy is a JSON object".to_owned()));
    }
    let part = |wanted: &mut Value, name: &str| wanted[name].take();
    let (rules, types, detect) = (
        part(&mut wanted, "rules"),
        part(&mut wanted, "human_types"),
        part(&mut wanted, "detect"),
    );
    let list = |value: Value| match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let (mut rules, mut types) = (list(rules), list(types));
    rules.retain(|rule| !args.remove_rules.iter().any(|path| rule["path"] == *path));
    for rule in &args.rules {
        let (path, subject) = rule
            .rsplit_once('=')
            .ok_or_else(|| Failure::usage("--rule: write PATH=SUBJECT".to_owned()))?;
        rules.push(json!({"path": path, "subject": subject}));
    }
    types.retain(|ty| !args.remove_human_types.iter().any(|gone| *ty == **gone));
    types.extend(args.human_types.iter().map(|ty| json!(ty)));
    let mut detect = match detect {
        Value::Object(settings) => settings,
        _ => serde_json::Map::new(),
    };
    for setting in &args.detect {
        let (detector, action) = setting
            .split_once('=')
            .ok_or_else(|| Failure::usage("--detect: write DETECTOR=ACTION".to_owned()))?;
        let action = match action.split_once(',') {
            Some((sure, suspected)) => json!({"sure": sure, "suspected": suspected}),
            None => json!(action),
        };
        detect.insert(detector.to_owned(), action);
    }
    Ok(json!({
        "version": version,
        "human_types": types,
        "rules": rules,
        "detect": detect,
        "reason": args.reason,
        "confirm": args.confirm,
    }))
}

fn show(policy: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => return output::json(policy),
        Output::Ndjson => return output::ndjson(policy),
        Output::Table => {}
    }
    let types: Vec<String> = policy["human_types"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    let mut rows = vec![
        ["version".to_owned(), text(&policy["version"])],
        ["people are actors of type".to_owned(), types.join(", ")],
    ];
    for rule in policy["rules"].as_array().into_iter().flatten() {
        rows.push([
            text(&rule["path"]),
            format!("personal, about {}", text(&rule["subject"])),
        ]);
    }
    for (detector, setting) in policy["detect"].as_object().into_iter().flatten() {
        let action = match setting.as_object() {
            Some(by) => format!(
                "{}; suspected: {}",
                by.get("sure").map(text).unwrap_or_default(),
                by.get("suspected").map(text).unwrap_or_default()
            ),
            None => text(setting),
        };
        rows.push([format!("detector {detector}"), action]);
    }
    output::table(["PRIVACY", ""], rows)
}

fn versions(answer: &Value, output: Output) -> Result<(), Failure> {
    let items = answer["versions"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["VERSION", "SINCE", "BY", "SEQ", "RULES", "DETECTORS", "REASON"],
            items.iter().map(|item| {
                let count = |count: Option<usize>| count.unwrap_or_default().to_string();
                let since = match item["in_force"] == true {
                    true => text(&item["changed_at"]),
                    false => "never in force".to_owned(),
                };
                [
                    text(&item["version"]),
                    since,
                    text(&item["changed_by"]),
                    text(&item["seq"]),
                    count(item["rules"].as_array().map(Vec::len)),
                    count(item["detect"].as_object().map(serde_json::Map::len)),
                    text(&item["reason"]),
                ]
            }),
        ),
    }
}

fn proposals(found: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => return output::json(found),
        Output::Ndjson => return output::ndjson(found),
        Output::Table => {}
    }
    let rows = found["proposals"].as_array().cloned().unwrap_or_default();
    output::table(
        ["PATH", "DETECTOR", "SURE", "SUSPECTED", "COULD BE"],
        rows.iter().map(|row| {
            let could = match row["rule"].is_object() {
                true => format!(
                    "--rule '{}={}'",
                    text(&row["rule"]["path"]),
                    text(&row["rule"]["subject"])
                ),
                false => format!("--detect {}=redact", text(&row["detector"])),
            };
            [
                text(&row["path"]),
                text(&row["detector"]),
                text(&row["sure"]),
                text(&row["suspected"]),
                could,
            ]
        }),
    )?;
    output::note(format!(
        "{} records were looked through{}",
        text(&found["records"]),
        if found["cut_short"] == true {
            ", not all that were asked for"
        } else {
            ""
        }
    ));
    Ok(())
}

/// A string as it is, anything else as JSON, nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
