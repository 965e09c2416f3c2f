//! `attestore credential`.

use std::path::Path;

use attestore_engine::{Engine, credentials::Secret};
use serde_json::{Value, json};

use super::parts;
use crate::cli::{CredentialAction, CredentialArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::{files, output};

/// Makes, shows, lists, rotates or revokes credentials.
pub fn run(args: &CredentialArgs) -> Result<(), Failure> {
    match &args.action {
        CredentialAction::Create {
            tenants,
            all_tenants,
            roles,
            name,
            networks,
            expires_at,
            secret_file,
        } => {
            let mut body = json!({"name": name, "roles": roles, "networks": networks});
            if let Some(time) = expires_at {
                body["expires_at"] = json!(time);
            }
            let path = match (*all_tenants, tenants.as_slice()) {
                (false, [tenant]) => format!("/v1/tenants/{}/credentials", escape(tenant)),
                (all, tenants) => {
                    body["tenants"] = if all { Value::Null } else { json!(tenants) };
                    ALL.to_owned()
                }
            };
            let made = post(&Client::new(&args.remote)?, &path, &body)?;
            hand_out(made, secret_file.as_deref())
        }
        CredentialAction::List { tenant, all, output } => {
            let path = match all {
                true => ALL.to_owned(),
                false => format!("/v1/tenants/{}/credentials", escape(tenant)),
            };
            list(&Client::new(&args.remote)?.get_json(&path)?["items"], *output)
        }
        CredentialAction::Show { id } => {
            let path = format!("{ALL}/{}", escape(id));
            output::json(&Client::new(&args.remote)?.get_json(&path)?)
        }
        CredentialAction::Rotate {
            id,
            overlap_s,
            secret_file,
        } => {
            let path = format!("{ALL}/{}/rotate", escape(id));
            let made = post(
                &Client::new(&args.remote)?,
                &path,
                &json!({"overlap_s": overlap_s}),
            )?;
            hand_out(made, secret_file.as_deref())
        }
        CredentialAction::Revoke { tenant, id } => {
            let path = match tenant {
                Some(tenant) => format!("/v1/tenants/{}/credentials/{}", escape(tenant), escape(id)),
                None => format!("{ALL}/{}", escape(id)),
            };
            Client::new(&args.remote)?.delete(&path)?;
            output::line(format!("revoked {}", output::visible(id)))
        }
        CredentialAction::Bootstrap {
            data,
            head_register,
            secret_file,
        } => bootstrap(data, head_register.as_deref(), secret_file.as_deref()),
    }
}

/// Replaces a lost admin credential: whoever can read the root key may. It is recorded in `_system`.
fn bootstrap(data: &Path, head_register: Option<&Path>, secret_file: Option<&Path>) -> Result<(), Failure> {
    let parts = parts(data, head_register, false)?;
    let (engine, _) = Engine::create_or_open(parts, attestore_engine::Settings::default())?;
    // The secret is kept before there is a credential: one that nobody can use is none to have.
    let keep = |secret: &Secret| match secret_file {
        Some(path) => files::write_secret(path, &format!("{}\n", secret.expose())),
        None => Ok(()),
    };
    let made = engine.bootstrap_credential_kept(keep).map(|(info, secret)| {
        json!({"id": info.id, "name": info.name, "roles": info.roles.iter().map(|r| r.name()).collect::<Vec<_>>(),
            "tenants": info.tenants.names(), "secret": secret.expose()})
    });
    let closed = engine.close();
    tell(made?, secret_file)?;
    Ok(closed?)
}

fn post(client: &Client, path: &str, body: &Value) -> Result<Value, Failure> {
    let headers = [("content-type", "application/json")];
    let answer = client.post(path, &headers, &serde_json::to_vec(body)?)?;
    Ok(serde_json::from_slice(&answer.success()?)?)
}

fn hand_out(made: Value, secret_file: Option<&Path>) -> Result<(), Failure> {
    if let (Some(path), Some(secret)) = (secret_file, made["secret"].as_str()) {
        files::write_secret(path, &format!("{secret}\n"))?;
    }
    tell(made, secret_file)
}

/// Prints a new credential, without the secret if that is in a file.
fn tell(mut made: Value, secret_file: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = secret_file {
        if let Some(fields) = made.as_object_mut() {
            fields.remove("secret");
        }
        output::note(format!("wrote the secret to {}", path.display()));
    }
    output::json(&made)
}

fn list(items: &Value, output: Output) -> Result<(), Failure> {
    let items = items.as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "ID",
                "NAME",
                "ROLES",
                "TENANTS",
                "CREATED",
                "EXPIRES",
                "REVOKED",
                "LAST USED",
            ],
            items.iter().map(|c| {
                let text = |key: &str| c[key].as_str().unwrap_or("").to_owned();
                let roles: Vec<_> = c["roles"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let tenants = match c["tenants"].as_array() {
                    Some(tenants) => tenants
                        .iter()
                        .filter_map(Value::as_str)
                        .collect::<Vec<_>>()
                        .join(","),
                    None => "(all)".to_owned(),
                };
                [
                    text("id"),
                    text("name"),
                    roles.join(","),
                    tenants,
                    text("created_at"),
                    text("expires_at"),
                    text("revoked_at"),
                    text("last_used_at"),
                ]
            }),
        ),
    }
}

const ALL: &str = "/v1/credentials";
