//! `attestore export`: makes an export, waits for it, downloads it and checks it.

mod download;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::evidence;
use crate::cli::{ExportAction, ExportArgs, OnTenant, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// How often the server is asked how far it is: at first, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<(), Failure> {
    if let Some(ExportAction::Verify { dir, vkey, output }) = &args.action {
        return verify::run(dir, vkey, *output);
    }
    let exports = Exports {
        client: Client::new(&args.on.remote)?,
        on: &args.on,
    };
    match &args.action {
        None => exports.make(args),
        Some(ExportAction::List { output }) => exports.list(*output),
        Some(ExportAction::Download { id, out, vkey }) => exports.fetch(id, out.as_deref(), vkey.as_deref()),
        Some(ExportAction::Cancel { id }) => {
            exports.act(id, "cancel")?;
            output::line(format!("cancelled {}", output::visible(id)))
        }
        Some(ExportAction::Resume { id }) => {
            exports.act(id, "resume")?;
            output::line(format!("{} goes on", output::visible(id)))
        }
        Some(ExportAction::Delete { id }) => {
            exports.client.delete(&exports.path(id))?;
            output::line(format!("deleted {}", output::visible(id)))
        }
        Some(ExportAction::Verify { .. }) => Ok(()),
    }
}

/// The exports of a tenant on a server.
struct Exports<'a> {
    client: Client,
    on: &'a OnTenant,
}

impl Exports<'_> {
    fn path(&self, id: &str) -> String {
        format!("/v1/tenants/{}/exports/{}", escape(&self.on.tenant), escape(id))
    }

    fn make(&self, args: &ExportArgs) -> Result<(), Failure> {
        let mut request = json!({
            "query": args.query,
            "format": args.format,
            "compression": args.compression,
        });
        for (name, value) in [("from", &args.from), ("to", &args.to)] {
            if let Some(value) = value {
                request[name] = json!(value);
            }
        }
        if !args.fields.is_empty() {
            request["fields"] = json!(args.fields);
        }
        if let Some((first, end)) = args.range {
            request["range"] = json!({"from": first, "to": end});
        }
        if !args.records.is_empty() {
            request["records"] = json!(args.records);
        }
        if let Some(checkpoint) = &args.checkpoint {
            request["checkpoint"] = json!(checkpoint);
        }
        let path = format!("/v1/tenants/{}/exports", escape(&self.on.tenant));
        let headers = [("content-type", "application/json")];
        let answer = self
            .client
            .post(&path, &headers, &serde_json::to_vec(&request)?)?;
        let made: Value = serde_json::from_slice(&answer.success()?)?;
        let id = made["id"]
            .as_str()
            .ok_or_else(|| Failure::failed("the answer has no id"))?;
        if args.detach {
            return output::line(id);
        }
        output::note(format!(
            "export {}; if this breaks off, `attestore export download {}` goes on",
            output::visible(id),
            output::visible(id)
        ));
        self.fetch(id, args.out.as_deref(), args.vkey.as_deref())
    }

    /// Waits for an export and downloads it.
    fn fetch(&self, id: &str, out: Option<&Path>, vkey: Option<&str>) -> Result<(), Failure> {
        let done = self.wait(id)?;
        let key = super::checkpoint::key(&self.client, self.on, vkey)?;
        let bundle = done["format"] == "evidence";
        let default = || match bundle {
            true => PathBuf::from(format!("{}.evidence", escape(id))),
            false => PathBuf::from(format!("export-{}", escape(id))),
        };
        let folder = out.map_or_else(default, Path::to_path_buf);
        if bundle {
            download::bundle(&self.client, &self.path(id), &done, &folder)?;
            evidence::verify(&folder, &key, Output::Table)?;
            output::note("anybody verifies it, offline, with a key that they got from you or others:");
            return output::line(evidence::command(&folder, &key));
        }
        download::run(&self.client, &self.path(id), &done, &folder)?;
        let report = verify::check(&folder, &key)?;
        verify::result(&report)?;
        output::line(format!(
            "{} records in {} files, {} bytes; the log's server signed that they are all matches as of tree size {}: {}",
            report.records,
            report.files,
            report.bytes,
            report.tree_size,
            folder.display()
        ))
    }

    /// Waits until an export is done.
    fn wait(&self, id: &str) -> Result<Value, Failure> {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} read {per_sec} {eta}  {msg}") {
            bar.set_style(style);
        }
        let mut pause = POLL.0;
        loop {
            let export = self.client.get_json(&self.path(id))?;
            let progress = &export["progress"];
            bar.set_length(export["tree"]["size"].as_u64().unwrap_or(0));
            bar.set_position(progress["read"].as_u64().unwrap_or(0));
            if let Some(written) = progress["written"].as_u64() {
                bar.set_message(format!("{written} written"));
            }
            let failed = |text: String| {
                bar.finish_and_clear();
                Err(Failure::failed(text))
            };
            match export["state"].as_str() {
                Some("queued" | "running") => {}
                Some("done") => {
                    bar.finish_and_clear();
                    return Ok(export);
                }
                Some("failed") => {
                    let text = |name: &str| output::visible(export["error"][name].as_str().unwrap_or(""));
                    return failed(format!(
                        "the export failed: {} ({}); `attestore export resume {}` lets it go on",
                        text("detail"),
                        text("code"),
                        output::visible(id)
                    ));
                }
                state => {
                    return failed(format!(
                        "the export is {}",
                        output::visible(state.unwrap_or("gone"))
                    ));
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL.1);
        }
    }

    fn act(&self, id: &str, verb: &str) -> Result<Value, Failure> {
        let answer = self.client.post(&format!("{}/{verb}", self.path(id)), &[], &[])?;
        Ok(serde_json::from_slice(&answer.success()?)?)
    }

    fn list(&self, output: Output) -> Result<(), Failure> {
        let path = format!("/v1/tenants/{}/exports", escape(&self.on.tenant));
        let listed = self.client.get_json(&path)?;
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        match output {
            Output::Json => output::json(&items),
            Output::Ndjson => items.iter().try_for_each(output::ndjson),
            Output::Table => {
                let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
                // Not known to who may not download it.
                let count =
                    |value: &Value| value.as_u64().map_or_else(String::new, |count| count.to_string());
                let rows = items.iter().map(|item| {
                    [
                        text(&item["id"]),
                        text(&item["state"]),
                        text(&item["format"]),
                        text(&item["created_at"]),
                        format!("{}/{}", item["progress"]["read"], item["tree"]["size"]),
                        count(&item["progress"]["written"]),
                        count(&item["progress"]["bytes"]),
                        text(&item["expires_at"]),
                        text(&item["query"]),
                    ]
                });
                output::table(
                    [
                        "ID", "STATE", "FORMAT", "CREATED", "READ", "WRITTEN", "BYTES", "EXPIRES", "QUERY",
                    ],
                    rows,
                )
            }
        }
    }
}
