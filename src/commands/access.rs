//! `attestore access`: has what is held about somebody put together, and fetches it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestore_export::FileHash;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::erase::subjects;
use super::forget::text;
use crate::cli::{AccessAction, AccessArgs, AccessRunArgs, Output};
use crate::client::{Client, Streaming, escape};
use crate::failure::Failure;
use crate::{files, output};

/// Asks, lists, shows, fetches and deletes.
pub fn run(args: &AccessArgs) -> Result<(), Failure> {
    let requests = Requests {
        client: Client::new(&args.remote)?,
        path: format!("/v1/tenants/{}/access-requests", escape(&args.tenant)),
    };
    match &args.action {
        AccessAction::Run(wanted) => requests.run(wanted),
        AccessAction::List { output } => list(&requests.client.get_json(&requests.path)?, *output),
        AccessAction::Show { id, output } => show(&requests.client.get_json(&requests.of(id))?, *output),
        AccessAction::Fetch { id, out } => requests.fetch(id, out.as_deref()),
        AccessAction::Delete { id } => requests.client.delete(&requests.of(id)),
    }
}

struct Requests {
    client: Client,
    path: String,
}

impl Requests {
    fn of(&self, id: &str) -> String {
        format!("{}/{}", self.path, escape(id))
    }

    fn run(&self, wanted: &AccessRunArgs) -> Result<(), Failure> {
        let mut body = json!({ "subjects": subjects(&wanted.subject)?, "kind": wanted.kind.name() });
        if let Some(basis) = &wanted.basis {
            body["basis"] = json!(basis);
        }
        if let Some(seconds) = wanted.expires_in_s {
            body["expires_in_s"] = json!(seconds);
        }
        let headers = [("content-type", "application/json")];
        let answer = self
            .client
            .post(&self.path, &headers, &serde_json::to_vec(&body)?)?;
        let made: Value = serde_json::from_slice(&answer.success()?)?;
        let id = made["id"]
            .as_str()
            .ok_or_else(|| Failure::failed("the answer has no id"))?;
        if wanted.detach {
            return output::line(id);
        }
        let shown = output::visible(id);
        output::note(format!(
            "access request {shown}; if this breaks off before the download, `attestore access fetch {shown}` goes on"
        ));
        self.fetch(id, wanted.out.as_deref())
    }

    fn fetch(&self, id: &str, out: Option<&Path>) -> Result<(), Failure> {
        let done = self.wait(id)?;
        let file = &done["file"];
        let (Some(bytes), Some(sha256)) = (file["bytes"].as_u64(), file["sha256"].as_str()) else {
            return Err(Failure::failed("the answer names no file"));
        };
        let default = || PathBuf::from(format!("access-{}.zip", escape(id)));
        let place = out.map_or_else(default, Path::to_path_buf);
        // Before anything is sent: there may be no second time.
        let mut written = files::create_private(&place)?;
        let downloaded = self.download(id, &mut written, bytes, sha256);
        if downloaded.is_err() {
            drop(written);
            files::remove(&place)?;
        }
        downloaded?;
        output::line(format!("{} records: {}", done["records"], place.display()))
    }

    fn download(&self, id: &str, out: &mut std::fs::File, bytes: u64, sha256: &str) -> Result<(), Failure> {
        let mut body = match self.client.stream(&format!("{}/file", self.of(id)), &[])? {
            Streaming::Open(body) => body,
            Streaming::Busy(_) => return Err(Failure::failed("the server is busy: try again")),
            Streaming::Refused(failure) => return Err(failure),
        };
        let bar = ProgressBar::new(bytes);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        {
            bar.set_style(style);
        }
        let (mut hash, mut buffer) = (FileHash::default(), vec![0; 256 << 10]);
        loop {
            let read = body
                .read(&mut buffer)
                .map_err(|error| Failure::failed(format!("the download broke off ({error}): ask again")))?;
            let some = buffer.get(..read).unwrap_or_default();
            if some.is_empty() {
                break;
            }
            out.write_all(some)?;
            hash.update(some);
            bar.inc(read as u64);
        }
        bar.finish_and_clear();
        out.sync_all()?;
        match hash.finish() == sha256 {
            true => Ok(()),
            false => Err(Failure::damage(
                "the file is not what the server says it is; it was dropped: ask again",
            )),
        }
    }

    /// Waits until the file is there.
    fn wait(&self, id: &str) -> Result<Value, Failure> {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} read {eta}  {msg}") {
            bar.set_style(style);
        }
        let mut pause = POLL.0;
        loop {
            let request = self.client.get_json(&self.of(id))?;
            bar.set_length(request["tree"]["size"].as_u64().unwrap_or(0));
            bar.set_position(request["read"].as_u64().unwrap_or(0));
            bar.set_message(format!("{} records", request["records"]));
            match request["state"].as_str() {
                Some("queued" | "running") => {}
                Some("done") => {
                    bar.finish_and_clear();
                    return Ok(request);
                }
                state => {
                    bar.finish_and_clear();
                    let why = output::visible(request["error"]["detail"].as_str().unwrap_or_default());
                    let state = output::visible(state.unwrap_or("gone"));
                    return Err(Failure::failed(match why.is_empty() {
                        true => format!("the access request is {state}"),
                        false => format!("the access request is {state}: {why}"),
                    }));
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL.1);
        }
    }
}

fn list(requests: &Value, output: Output) -> Result<(), Failure> {
    let items = requests["items"].as_array().cloned().unwrap_or_default();
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["ID", "KIND", "STATE", "REQUESTED", "EXPIRES", "RECORDS", "BASIS"],
            items.iter().map(|item| {
                [
                    text(item, "id"),
                    text(item, "kind"),
                    text(item, "state"),
                    text(item, "requested_at"),
                    text(item, "expires_at"),
                    text(item, "records"),
                    text(item, "basis"),
                ]
            }),
        ),
    }
}

fn show(request: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(request),
        Output::Ndjson => output::ndjson(request),
        Output::Table => {
            let rows = [
                "id",
                "kind",
                "state",
                "basis",
                "subjects",
                "requested_by",
                "requested_at",
                "finished_at",
                "expires_at",
                "fetched_at",
                "fetched_by",
                "records",
            ];
            output::table(["", ""], rows.map(|name| [name.to_owned(), text(request, name)]))
        }
    }
}

/// How often the server is asked how far it is: at first, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
