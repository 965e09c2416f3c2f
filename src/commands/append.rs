//! `attestore append`: a file or standard input, in batches, safe to run again.
//!
//! Every batch carries an `Idempotency-Key` made of its content and its place in the input, so an append that broke off
//! is resumed by running it again: what had arrived is reported as duplicate and not stored twice.

use std::io::{BufRead, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{AppendArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::{files, output};

/// Bytes of a batch after which it is sent, whatever its number of events.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Refusals that are printed one by one; the rest is counted.
const REFUSALS_SHOWN_MAX: u64 = 20;

#[derive(Default)]
struct Sums {
    appended: u64,
    duplicates: u64,
    refused: u64,
    unsigned: u64,
    tree: Value,
}

/// Appends all events of the input.
pub fn run(args: &AppendArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let mut path = format!("/v1/tenants/{}/events", escape(&args.on.tenant));
    if let Some(mapping) = &args.mapping {
        path = format!("{path}?mapping={}", escape(mapping));
    }
    let (mut input, length) = files::open_lines(&args.file)?;
    let bar = progress(length);
    let nonce = if args.repeat {
        fresh_nonce()?
    } else {
        String::new()
    };
    let mut receipts = args.receipts.as_deref().map(files::open_append).transpose()?;
    let mut sums = Sums::default();
    let mut batch = Vec::new();
    let (mut lines, mut first_line, mut number) = (0u64, 1u64, 0u64);
    loop {
        let start = batch.len();
        let read = input.read_until(b'\n', &mut batch)?;
        let last = read == 0;
        if batch[start..].trim_ascii().is_empty() {
            batch.truncate(start);
        } else {
            if batch.last() != Some(&b'\n') {
                batch.push(b'\n');
            }
            lines += 1;
        }
        if lines == args.batch || batch.len() >= BATCH_BYTES_MAX || (last && lines > 0) {
            let key = format!("{nonce}{:016x}-{number}", fingerprint(&batch));
            send(
                &client,
                &path,
                &key,
                &batch,
                first_line,
                &mut sums,
                receipts.as_mut(),
            )?;
            bar.inc(batch.len() as u64);
            bar.set_message(format!(
                "{} appended, {} duplicates, {} refused",
                sums.appended, sums.duplicates, sums.refused
            ));
            (first_line, lines, number) = (first_line + lines, 0, number + 1);
            batch.clear();
        }
        if last {
            break;
        }
    }
    bar.finish_and_clear();
    print(args.output, &sums)
}

fn send(
    client: &Client,
    path: &str,
    key: &str,
    batch: &[u8],
    first_line: u64,
    sums: &mut Sums,
    receipts: Option<&mut std::fs::File>,
) -> Result<(), Failure> {
    let mut headers = vec![("content-type", "application/x-ndjson"), ("idempotency-key", key)];
    if receipts.is_some() {
        headers.push(("prefer", "receipt=signed"));
    }
    let answer = client.post(path, &headers, batch)?;
    let body: Value = serde_json::from_slice(&answer.success()?)?;
    if let Some(receipts) = receipts {
        writeln!(receipts, "{body}")?;
        sums.unsigned += u64::from(body["durability"] != "signed");
    }
    for item in body["items"].as_array().into_iter().flatten() {
        if let Some(error) = item.get("error") {
            sums.refused += 1;
            if sums.refused <= REFUSALS_SHOWN_MAX {
                let text = |key: &str| output::visible(error[key].as_str().unwrap_or(""));
                let line = first_line + item["index"].as_u64().unwrap_or(0);
                output::note(format!(
                    "event {line}: {} {} ({})",
                    text("path"),
                    text("message"),
                    text("code")
                ));
            }
        } else if item["duplicate"] == true {
            sums.duplicates += 1;
        } else {
            sums.appended += 1;
        }
    }
    sums.tree = body["tree"].clone();
    Ok(())
}

fn print(output: Output, sums: &Sums) -> Result<(), Failure> {
    let Sums {
        appended,
        duplicates,
        refused,
        unsigned,
        tree,
    } = sums;
    match output {
        Output::Table => output::line(format!(
            "{appended} appended, {duplicates} duplicates, {refused} refused; the log has {} records",
            tree["size"]
        ))?,
        Output::Json | Output::Ndjson => output::ndjson(
            &json!({"appended": appended, "duplicates": duplicates, "refused": refused, "tree": tree}),
        )?,
    }
    if *refused > 0 {
        return Err(Failure::failed(format!(
            "{refused} events were refused; nothing of them was stored"
        )));
    }
    if *unsigned > 0 {
        return Err(Failure::failed(format!(
            "{unsigned} batches are durable, but the server signed no receipts for them; run it again to get them"
        )));
    }
    Ok(())
}

fn progress(length: Option<u64>) -> ProgressBar {
    let bar = match length {
        Some(length) => ProgressBar::new(length),
        None => ProgressBar::no_length(),
    };
    let style = match length {
        Some(_) => "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
        None => "{spinner} {bytes} {bytes_per_sec} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// FNV-1a over a batch: tells batches of one input apart; the server compares the events themselves.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn fresh_nonce() -> Result<String, Failure> {
    use attestore_keys::Entropy;
    let mut bytes = [0u8; 8];
    attestore_keys::SystemEntropy.fill(&mut bytes);
    Ok(format!("{:016x}-", u64::from_le_bytes(bytes)))
}
