//! `attestore backup`.

use std::path::Path;
use std::time::Duration;

use attestore_engine::backup::verify::{BackupReport, verify};
use attestore_keys::{RecipientKey, SystemEntropy};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{BackupAction, BackupArgs, Output};
use crate::client::{Client, escape};
use crate::failure::{DAMAGE, Failure};
use crate::{files, output, target};

/// Makes, lists and checks backups.
pub fn run(args: &BackupArgs) -> Result<(), Failure> {
    match &args.action {
        BackupAction::Key { out } => key(out),
        BackupAction::Create {
            remote,
            no_wait,
            output,
        } => {
            let client = Client::new(remote)?;
            let answer = client.post("/v1/backups", &[], &[])?;
            let begun: Value = serde_json::from_slice(&answer.success()?)?;
            let made = match no_wait {
                true => begun,
                false => wait(&client, &begun)?,
            };
            list(&[made], *output)
        }
        BackupAction::List { remote, output } => {
            let client = Client::new(remote)?;
            let all = client.get_json("/v1/backups")?;
            list(all["items"].as_array().map_or(&[][..], Vec::as_slice), *output)?;
            if *output == Output::Table && !all["shipping"].is_null() {
                output::note(lag(&all["shipping"]));
            }
            Ok(())
        }
        BackupAction::Status { remote, output } => {
            // Answered also while the target is away.
            status(&Client::new(remote)?.get_json("/v1/status")?, *output)
        }
        BackupAction::Verify {
            folder,
            key_file,
            output,
        } => check(folder, key_file.as_deref(), *output),
    }
}

/// Reads a key of backups.
pub fn read_key(path: &Path) -> Result<RecipientKey, Failure> {
    let text = zeroize::Zeroizing::new(files::read_text(path)?);
    RecipientKey::parse(&text).map_err(|error| Failure::new(KEY, format!("{}: {error}", path.display())))
}

/// A bar over bytes.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn key(out: &Path) -> Result<(), Failure> {
    let key = RecipientKey::generate(&SystemEntropy).map_err(|error| Failure::failed(error.to_string()))?;
    files::write_secret(out, &format!("{}\n", key.to_text().as_str()))?;
    output::line(key.recipient().to_string())?;
    output::note(
        "Keep the file away from the server and lose neither it nor its copies: nothing else opens the backups. The line above goes into \
         the server's settings as backup.recipient.",
    );
    Ok(())
}

/// Waits until a backup is there.
fn wait(client: &Client, begun: &Value) -> Result<Value, Failure> {
    let id = begun["id"].as_str().unwrap_or_default();
    let bar = bar();
    loop {
        let backup = client.get_json(&format!("/v1/backups/{}", escape(id)))?;
        bar.set_length(backup["to_copy"].as_u64().unwrap_or(0));
        bar.set_position(backup["copied"].as_u64().unwrap_or(0));
        match backup["state"].as_str() {
            Some("done") => {
                bar.finish_and_clear();
                return Ok(backup);
            }
            Some("failed") => {
                bar.finish_and_clear();
                let error = backup["error"].as_str().unwrap_or_default();
                return Err(Failure::failed(format!(
                    "no backup was made: {}",
                    output::visible(error)
                )));
            }
            _ => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn list(items: &[Value], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            [
                "ID",
                "STATE",
                "AT",
                "TENANTS",
                "ENTRIES",
                "BYTES",
                "COPIED",
                "KEYS UNTIL",
                "FOR",
            ],
            items.iter().map(|item| {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                let number = |name: &str| item[name].as_u64().unwrap_or_default().to_string();
                [
                    text("id"),
                    text("state"),
                    text("at"),
                    number("tenants"),
                    number("entries"),
                    number("bytes"),
                    number("copied"),
                    text("keys_until"),
                    match item["base"].as_bool() {
                        Some(true) => "chunks".to_owned(),
                        _ => "keeps".to_owned(),
                    },
                ]
            }),
        ),
    }
}

/// Prints how far the target is behind.
fn status(status: &Value, output: Output) -> Result<(), Failure> {
    let shipping = &status["shipping"];
    match output {
        Output::Json => return output::json(shipping),
        Output::Ndjson => return output::ndjson(shipping),
        Output::Table => {}
    }
    if shipping.is_null() {
        return output::line("nothing is shipped between backups (backup.ship_every_s, backup.to)");
    }
    output::line(lag(shipping))?;
    output::line(format!(
        "{} chunks, {} bytes, behind backup {}",
        shipping["chunks"],
        shipping["chunk_bytes"],
        shipping["follows"].as_str().unwrap_or("none yet")
    ))?;
    for (name, said) in [
        ("waits_for_backup", "waits for a backup"),
        ("error", "the last round failed"),
    ] {
        if let Some(why) = shipping[name].as_str() {
            output::line(format!("{said}: {}", output::visible(why)))?;
        }
    }
    Ok(())
}

/// The lag in a sentence.
fn lag(shipping: &Value) -> String {
    match (shipping["lag_entries"].as_u64(), shipping["lag_ms"].as_u64()) {
        (Some(0), _) => "everything that was acknowledged is in a backup or shipped behind it".to_owned(),
        (Some(entries), Some(ms)) => {
            format!(
                "{entries} entries of the last {}.{} s are not shipped",
                ms / 1000,
                ms % 1000 / 100
            )
        }
        _ => "how far backups are behind is not known yet".to_owned(),
    }
}

fn check(folder: &Path, key_file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let key = key_file.map(read_key).transpose()?;
    let disk = target::existing(folder)?;
    let bar = bar();
    let report = verify(&*disk, key.as_ref(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    match output {
        Output::Json => output::json(&report)?,
        Output::Ndjson => output::ndjson(&report)?,
        Output::Table => print(&report)?,
    }
    match report.exit_code() {
        0 => Ok(()),
        DAMAGE => Err(Failure::damage("damage was found")),
        code => Err(Failure::new(code, "not everything could be opened")),
    }
}

fn print(report: &BackupReport) -> Result<(), Failure> {
    super::print_problems(&report.problems)?;
    output::table(
        ["ID", "MADE", "TENANTS", "ENTRIES", "STATE"],
        report.backups.iter().map(|backup| {
            let state = match (backup.sound, backup.opened) {
                (false, _) => "damaged",
                (true, true) => "sound, opens",
                (true, false) => "sound, not opened",
            };
            [
                backup.id.clone(),
                time(backup.made_ms),
                backup.tenants.to_string(),
                backup.entries.to_string(),
                state.to_owned(),
            ]
        }),
    )?;
    output::line(format!(
        "{} files, {} bytes, {} chunks with {} entries more, {} entries of the ledger, {} leftovers: {}",
        report.files,
        report.bytes,
        report.chunks,
        report.chunk_entries,
        report.ledger,
        report.leftovers,
        match report.problems.len() {
            0 => "all sound".to_owned(),
            count => format!("{count} problems"),
        }
    ))
}

/// RFC 3339.
fn time(ms: u64) -> String {
    let stamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(|| json!(ms).to_string(), |stamp| format!("{stamp:.3}"))
}

/// Exit code for keys that are missing or wrong.
const KEY: u8 = 4;
