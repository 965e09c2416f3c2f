//! `attestore tenant move`: from one server to another.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{MoveAction, Output};
use crate::client::{Client, escape};
use crate::commands::backup::bar;
use crate::commands::forget::{done, text};
use crate::failure::{DAMAGE, Failure};
use crate::{files, output};

/// Does one step of a move, at one of both servers.
pub fn run(client: &Client, action: &MoveAction) -> Result<(), Failure> {
    match action {
        MoveAction::Invite { note, out } => {
            let made = done(client.post_once("/v1/moves", &json!({ "note": note }))?)?;
            let invitation = made["invitation"].to_string();
            output::save(&invitation, "invitation", out.as_deref())
        }
        MoveAction::Invited { output } => {
            let all = client.get_json("/v1/moves")?;
            incoming(all["items"].as_array().map_or(&[][..], Vec::as_slice), *output)
        }
        MoveAction::Start {
            name,
            invitation,
            reason,
            output,
        } => {
            let invitation: Value = serde_json::from_str(&files::read_text(invitation)?)
                .map_err(|error| Failure::usage(format!("--invitation: {error}")))?;
            let body = json!({ "invitation": invitation, "reason": reason });
            let path = of(name);
            show(&long(client, &path, &path, &body)?, *output)
        }
        MoveAction::Show { name, output } => show(&client.get_json(&of(name))?, *output),
        MoveAction::Close { name, output } => {
            let closed = long(client, &of(name), &format!("{}/close", of(name)), &json!({}))?;
            show(&closed, *output)?;
            output::note(format!(
                "Copy {} of this server's data directory to the same place in that of the other, and import it there with --vkey {}",
                text(&closed, "folder"),
                text(&closed, "vkey")
            ));
            Ok(())
        }
        MoveAction::Check { id, vkey, output } => check(client, id, vkey.as_deref(), *output),
        MoveAction::Import {
            id,
            vkey,
            name,
            output,
        } => {
            let body = json!({ "vkey": vkey, "name": name });
            let path = format!("/v1/moves/{}", escape(id));
            let came = long(client, &path, &format!("{path}/import"), &body)?;
            incoming(&[came], *output)
        }
        MoveAction::Receipt { id, out } => {
            let receipt = client.get_text(&format!("/v1/moves/{}/receipt", escape(id)))?;
            output::save(&receipt, "receipt", out.as_deref())
        }
        MoveAction::Confirm {
            name,
            confirm,
            receipt,
        } => {
            let receipt: Value = serde_json::from_str(&files::read_text(receipt)?)
                .map_err(|error| Failure::usage(format!("--receipt: {error}")))?;
            let body = json!({ "confirm": confirm, "receipt": receipt });
            let gone = done(client.post_once(&format!("{}/confirm", of(name)), &body)?)?;
            output::json(&gone)
        }
        MoveAction::Abort { name, reason } => {
            let path = format!("{}?reason={}", of(name), escape(reason));
            let ended = done(client.delete_once(&path, &[])?)?;
            if ended["restart"] == true {
                output::note(
                    "The log had ended, and is in use as it was. It goes on with the next start of the server, in a new epoch.",
                );
            }
            output::json(&ended)
        }
        MoveAction::Discard { id } => client.delete(&format!("/v1/moves/{}", escape(id))),
    }
}

fn of(name: &str) -> String {
    format!("/v1/tenants/{}/move", escape(name))
}

/// A step that the server goes on with after it has answered: waits for it, and asks once more what it came to.
fn long(client: &Client, show: &str, path: &str, body: &Value) -> Result<Value, Failure> {
    let bar = bar();
    loop {
        let answer = client.post_once(path, body)?;
        let goes_on = answer.status == 202;
        let found = done(answer)?;
        if !goes_on {
            bar.finish_and_clear();
            return Ok(found);
        }
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = client.get_json(show)?;
            bar.set_length(now["to_copy"].as_u64().unwrap_or(0));
            bar.set_position(now["copied"].as_u64().unwrap_or(0));
            if now["busy"] != true {
                break;
            }
        }
    }
}

fn check(client: &Client, id: &str, vkey: Option<&str>, output: Output) -> Result<(), Failure> {
    let query = vkey.map_or_else(String::new, |vkey| format!("?vkey={}", escape(vkey)));
    let report = client.get_json(&format!("/v1/moves/{}/check{query}", escape(id)))?;
    match output {
        Output::Json => output::json(&report)?,
        Output::Ndjson => output::ndjson(&report)?,
        Output::Table => output::table(
            ["PACKAGE", ""],
            [
                "id", "instance", "vkey", "size", "root", "files", "bytes", "opened", "rows",
            ]
            .map(|name| [name.to_owned(), text(&report, name)]),
        )?,
    }
    let problems = report["problems"].as_array().map_or(&[][..], Vec::as_slice);
    for problem in problems {
        output::note(problem.as_str().unwrap_or_default());
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(DAMAGE, "the package is not what was packed")),
    }
}

fn show(found: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(found),
        Output::Ndjson => output::ndjson(found),
        Output::Table => output::table(
            ["MOVE", ""],
            [
                "id",
                "state",
                "begun_at",
                "closed_at",
                "vkey",
                "size",
                "root",
                "folder",
                "package",
                "package_bytes",
                "left_out",
            ]
            .map(|name| [name.to_owned(), text(found, name)]),
        ),
    }
}

fn incoming(items: &[Value], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["ID", "STATE", "INVITED", "NAME", "RECORDS", "ORIGIN", "NOTE"],
            items.iter().map(|item| {
                let came = &item["imported"];
                [
                    text(item, "id"),
                    text(item, "state"),
                    text(item, "invited_at"),
                    text(came, "name"),
                    text(came, "size"),
                    text(came, "origin"),
                    text(item, "note"),
                ]
            }),
        ),
    }
}
