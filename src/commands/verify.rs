//! `attestore verify`: a running server, a data directory, an evidence bundle, or one proof file.

use std::path::Path;
use std::time::Instant;

use attestore_engine::Engine;
use attestore_tlog::{Bundle, Tile, VerifierKey, open_checkpoint, parse_entry_bundle};
use attestore_verify::{LogReport, LogSource, LogVerifier, SourceError, verify_tlog_proof};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::checkpoint::{key, prefix};
use super::{evidence, parts};
use crate::cli::{OnTenant, Output, VerifyArgs, VerifyWhat};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::{files, output};

/// Verifies what the arguments name.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    if let Some(VerifyWhat::Erasure(args)) = &args.what {
        return super::residue::run(args);
    }
    let vkey = args.vkey.as_deref().unwrap_or("").trim();
    match (&args.bundle, &args.proof, &args.data) {
        (Some(path), ..) => {
            let key = VerifierKey::parse(vkey).map_err(|e| Failure::usage(format!("--vkey: {e}")))?;
            evidence::verify(path, &key, args.output)
        }
        (None, Some(path), _) => proof(path, vkey, args.output),
        (None, None, Some(data)) => directory(data, args),
        (None, None, None) => server(args),
    }
}

fn proof(path: &Path, vkey: &str, output: Output) -> Result<(), Failure> {
    let text = files::read_text(path)?;
    let verified = verify_tlog_proof(&text, vkey)
        .map_err(|e| Failure::damage(format!("{}: does not verify: {e}", path.display())))?;
    match output {
        Output::Table => output::line(format!(
            "record {} of {} is in the signed tree of {} records, and its bytes open its commitment",
            verified.index, verified.origin, verified.size
        )),
        Output::Json | Output::Ndjson => output::ndjson(&json!({
            "origin": verified.origin, "seq": verified.index, "size": verified.size, "root": verified.root.to_string(),
        })),
    }
}

/// Re-hashes every record of a tenant from the disk.
fn directory(data: &Path, args: &VerifyArgs) -> Result<(), Failure> {
    // What is in the log only is verified from there; nobody will search it.
    let settings = attestore_engine::Settings {
        indexing: false,
        ..Default::default()
    };
    let (engine, _) = Engine::create_or_open(parts(data, None, false)?, settings)?;
    let bar = bar();
    let started = Instant::now();
    let result = engine.verify(&args.on.tenant, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let closed = engine.close();
    let report = result?;
    closed?;
    let seconds = started.elapsed().as_secs_f64();
    match args.output {
        Output::Table => {
            super::print_problems(&report.problems)?;
            output::line(format!(
                "origin  {}\nsize    {}\nroot    {}",
                report.origin, report.size, report.root
            ))?;
            output::line(format!(
                "{} records re-hashed from disk against the signed checkpoint, {} personal groups opened, {} erased, {} nodes recomputed, {:.0} records per second",
                report.records,
                report.groups_opened,
                report.groups_erased,
                report.nodes,
                rate(report.records, seconds)
            ))?;
        }
        Output::Json | Output::Ndjson => output::ndjson(&json!({"report": report, "seconds": seconds}))?,
    }
    if report.is_sound() {
        Ok(())
    } else {
        Err(Failure::damage("the log does not verify"))
    }
}

/// Recomputes the tree from what a server hands out, and opens a sample of its records.
fn server(args: &VerifyArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let key = key(&client, &args.on, args.vkey.as_deref())?;
    let vkey = key.to_string();
    let mut verifier = LogVerifier::new(key.clone());
    if let Some(path) = &args.checkpoint {
        let saved = open_checkpoint(&files::read_text(path)?, &key)
            .map_err(|e| Failure::damage(format!("{}: does not verify: {e}", path.display())))?;
        verifier = verifier.saved(saved);
    }
    let bar = bar();
    let started = Instant::now();
    let source = Remote {
        client: &client,
        prefix: prefix(&args.on),
    };
    let report = verifier.verify_with(&source, |done| bar.set_position(done));
    let (opened, unreadable) = sample(&client, &args.on, &vkey, report.entries, args.sample, &bar)?;
    bar.finish_and_clear();
    let stored = stored(&client, &args.on)?;
    print(
        &report,
        opened,
        &unreadable,
        stored.as_ref(),
        started.elapsed().as_secs_f64(),
        args.output,
    )?;
    let damaged = stored.is_some_and(|stored| !findings(&stored).is_empty());
    if report.is_sound() && unreadable.is_empty() && !damaged {
        Ok(())
    } else {
        Err(Failure::damage("the log does not verify"))
    }
}

/// Opens records spread evenly over the log; each must verify by itself.
fn sample(
    client: &Client,
    on: &OnTenant,
    vkey: &str,
    size: u64,
    wanted: u64,
    bar: &ProgressBar,
) -> Result<(u64, Vec<String>), Failure> {
    let count = if wanted == 0 { size } else { wanted.min(size) };
    bar.set_length(size + count);
    let mut wrong = Vec::new();
    for i in 0..count {
        let seq = i * size / count;
        let answer = client.answer(&format!("/v1/tenants/{}/events/{seq}/proof", escape(&on.tenant)))?;
        // Who may see none gets none of all; of a record that is there, the server owes a proof.
        if answer.status == 403 {
            return answer.success().map(|_| (0, wrong));
        }
        let text = match answer.success() {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(refusal) => {
                wrong.push(format!("record {seq}: no proof: {}", refusal.message));
                continue;
            }
        };
        match verify_tlog_proof(&text, vkey) {
            Ok(verified) if verified.index == seq => {}
            Ok(verified) => wrong.push(format!(
                "record {seq}: the proof is about record {}",
                verified.index
            )),
            Err(error) => wrong.push(format!("record {seq}: {error}")),
        }
        bar.inc(1);
    }
    Ok((count, wrong))
}

/// What the server's own verification of what it stores says; `None` for who may not ask.
fn stored(client: &Client, on: &OnTenant) -> Result<Option<Value>, Failure> {
    let said = client.try_get(&format!("/v1/tenants/{}/verification", escape(&on.tenant)))?;
    Ok(said.map(|said| serde_json::from_slice(&said)).transpose()?)
}

fn findings(stored: &Value) -> Vec<String> {
    let text = |finding: &Value, key: &str| output::visible(finding[key].as_str().unwrap_or_default());
    let findings = stored["findings"].as_array().into_iter().flatten();
    findings
        .map(|found| {
            format!(
                "{} at offset {} (found by the server): {}",
                text(found, "path"),
                found["offset"],
                text(found, "reason")
            )
        })
        .collect()
}

/// How far the server is with verifying what it stores, in a line.
fn coverage(stored: &Value) -> String {
    let time = |key: &str| stored[key].as_str().map(output::visible);
    let done = match time("finished_at") {
        Some(at) => format!(
            "the server re-hashed {} stored records until {at}, {} came since",
            stored["records"], stored["unverified"]
        ),
        None => "the server has not yet re-hashed what it stores".to_owned(),
    };
    match &stored["under_way"] {
        Value::Null => done,
        pass => format!(
            "{done}; a pass is under way: {} of {}",
            pass["records"], pass["of"]
        ),
    }
}

fn print(
    report: &LogReport,
    opened: u64,
    wrong: &[String],
    stored: Option<&Value>,
    seconds: f64,
    output: Output,
) -> Result<(), Failure> {
    if output != Output::Table {
        return output::ndjson(
            &json!({"report": report, "opened": opened, "wrong": wrong, "stored": stored, "seconds": seconds}),
        );
    }
    for finding in &report.findings {
        output::line(format!("WRONG: {finding}"))?;
    }
    let damage = stored.map(findings).unwrap_or_default();
    for text in wrong.iter().chain(&damage) {
        output::line(format!("WRONG: {text}"))?;
    }
    if let Some(head) = &report.head {
        output::line(format!(
            "origin  {}\nsize    {}\nroot    {}",
            head.origin, head.size, head.root
        ))?;
    }
    output::line(format!(
        "entries {} hashed into the signed root, tiles {} compared, records {opened} opened, {:.0} entries per second",
        report.entries,
        report.tiles,
        rate(report.entries, seconds)
    ))?;
    stored.map_or(Ok(()), |stored| output::line(coverage(stored)))
}

struct Remote<'a> {
    client: &'a Client,
    prefix: String,
}

impl Remote<'_> {
    fn fetch(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.client
            .get(&format!("{}/{path}", self.prefix))
            .map_err(|e| SourceError::Failed(e.message))
    }
}

impl LogSource for Remote<'_> {
    fn checkpoint(&self) -> Result<String, SourceError> {
        String::from_utf8(self.fetch("checkpoint")?).map_err(|_| SourceError::Failed("not text".into()))
    }

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        let tile = Tile::new(level, index, width).map_err(|e| SourceError::Failed(e.to_string()))?;
        self.fetch(&tile.to_string())
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<[u8; 44]>, SourceError> {
        let bundle = Bundle::new(index, width).map_err(|e| SourceError::Failed(e.to_string()))?;
        let bytes = self.fetch(&bundle.to_string())?;
        parse_entry_bundle(&bytes, width).map_err(|e| SourceError::Failed(e.to_string()))
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(1e-9)
}
