//! `attestore key`.

use attestore_engine::{Engine, Settings};
use serde_json::{Value, json};

use crate::cli::{KeyAction, KeyArgs, MoveRootArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::settings::Root;
use crate::{output, root};

/// Shows and changes the keys of a log; gives the root key another holder.
pub fn run(args: &KeyArgs) -> Result<(), Failure> {
    if let KeyAction::MoveRoot(args) = &args.action {
        return move_root(args);
    }
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
        KeyAction::MoveRoot(_) => Ok(()),
        KeyAction::Retire => client.delete(&format!("{path}/retiring")),
    }
}

/// Moves the root: a rotation from one holder to another. Both are needed until it has ended.
fn move_root(args: &MoveRootArgs) -> Result<(), Failure> {
    let disk = super::disk(&args.data, false)?;
    let provider = serde_json::from_value(json!(args.to)).map_err(|_| {
        Failure::usage(format!(
            "--to {}: write file, passphrase, pkcs11 or vault",
            output::visible(&args.to)
        ))
    })?;
    let to = Root {
        provider,
        secret_file: args.secret_file.clone(),
        module: args.module.clone(),
        label: args.label.clone(),
        serial: args.serial.clone(),
        address: args.address.clone(),
        mount: args.mount.clone(),
        namespace: args.namespace.clone(),
        ca_file: args.ca_file.clone(),
        role_id: args.role_id.clone(),
        ..Root::default()
    };
    if let Some(missing) = to.missing() {
        return Err(Failure::usage(missing));
    }
    let (root, from) = root::move_to(&disk, &to)?;
    let parts = super::assembled(disk, root, args.head_register.as_deref())?;
    // The engine wraps everything under the new root as it opens, and destroys the old ones.
    let (engine, _) = Engine::create_or_open(parts, Settings::default())?;
    let recorded = engine.record_root_moved(from.name());
    let closed = engine.close();
    recorded?;
    closed?;
    output::line(format!(
        "the root was held by {}, and is held by {} now: set root.provider",
        from.name(),
        output::visible(&args.to)
    ))
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
