//! `attestore key`.

use attestore_engine::{Engine, Settings};
use serde_json::{Value, json};

use crate::cli::{KeyAction, KeyArgs, KeyPolicyAction, MoveRootArgs, Output};
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
    let keys = format!("/v1/tenants/{}/keys", escape(&args.tenant));
    match &args.action {
        KeyAction::List { log: true, output } => list(&client.get_json(&path)?, *output),
        KeyAction::List { output, .. } => all(&client.get_json(&keys)?, *output),
        KeyAction::Rotate {
            what,
            reason,
            overlap_s,
        } if what != "signing" => {
            if overlap_s.is_some() {
                return Err(Failure::usage("--overlap-s is for signing keys"));
            }
            let body = json!({ "key": what, "reason": reason });
            post(&client, &format!("{keys}/rotations"), &body)
        }
        KeyAction::Compromised { key, reason, since } => {
            let body = json!({ "key": key, "reason": reason, "since": since });
            post(&client, &format!("{keys}/compromised"), &body)
        }
        KeyAction::Policy { action } => policy(&client, &format!("{keys}/policy"), action),
        KeyAction::Rotate { reason: Some(_), .. } => Err(Failure::usage(
            "--reason: the record of a signing key is its handover",
        )),
        KeyAction::Rotate { overlap_s, .. } => {
            let body = overlap_s.map_or_else(|| json!({}), |seconds| json!({ "overlap_s": seconds }));
            post(&client, &path, &body)
        }
        KeyAction::MoveRoot(_) => Ok(()),
        KeyAction::Retire => client.delete(&format!("{path}/retiring")),
    }
}

fn post(client: &Client, path: &str, body: &Value) -> Result<(), Failure> {
    let headers = [("content-type", "application/json")];
    let answer = client.post(path, &headers, &serde_json::to_vec(body)?)?;
    output::json(&serde_json::from_slice::<Value>(&answer.success()?)?)
}

fn policy(client: &Client, path: &str, action: &KeyPolicyAction) -> Result<(), Failure> {
    let (policy, output) = match action {
        KeyPolicyAction::Get { output } => (client.get_json(path)?, *output),
        KeyPolicyAction::Set {
            tenant_days,
            signing_days,
            root_days,
            hash_version,
            manual,
            output,
        } => {
            let body = json!({
                "tenant_days": tenant_days,
                "signing_days": signing_days,
                "root_days": root_days,
                "hash_version": hash_version,
                "automatic": !manual,
            });
            let answer = client.put_json(path, &body)?;
            (answer, *output)
        }
    };
    match output {
        Output::Json => output::json(&policy),
        Output::Ndjson => output::ndjson(&policy),
        Output::Table => output::table(
            [
                "tenant days",
                "signing days",
                "root days",
                "hash version",
                "automatic",
            ],
            std::iter::once(
                [
                    "tenant_days",
                    "signing_days",
                    "root_days",
                    "hash_version",
                    "automatic",
                ]
                .map(|name| match &policy[name] {
                    Value::Null => String::new(),
                    value => value.to_string(),
                }),
            ),
        ),
    }
}

fn all(list: &Value, output: Output) -> Result<(), Failure> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => return output::json(list),
        Output::Ndjson => return items.iter().try_for_each(output::ndjson),
        Output::Table => {}
    }
    output::table(
        [
            "key",
            "number",
            "state",
            "made",
            "due",
            "protected until",
            "read until",
            "not trusted since",
            "vkey",
        ],
        items.iter().map(|key| {
            let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
            [
                text("key"),
                key["generation"].to_string(),
                text("state"),
                text("made_at"),
                text("originator_until"),
                text("originator_ended_at"),
                text("recipient_ended_at"),
                text("compromised_since"),
                text("vkey"),
            ]
        }),
    )?;
    let rotation = &list["rotation"];
    if rotation.is_object() {
        output::line(format!(
            "a rotation is under way: {} {}, {}, {} done",
            rotation["key"].as_str().unwrap_or_default(),
            rotation["generation"],
            rotation["state"].as_str().unwrap_or_default(),
            rotation["done"]
        ))?;
    }
    Ok(())
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
