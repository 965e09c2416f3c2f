//! Checks the files of an export: each against the manifest, the manifest against its signed note.

use std::io::Read;
use std::path::Path;

use attestore_export::{
    Compression, FileEntry, Format, Manifest, count_records, parse_note_text, sha256_hex,
};
use attestore_tlog::{SignedNote, VerifierKey, open_checkpoint};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::download::{SIGNED, hash, is_plain};
use crate::cli::Output;
use crate::failure::Failure;
use crate::{files, output};

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) export: String,
    pub(super) origin: String,
    pub(super) tree_size: u64,
    pub(super) root: String,
    pub(super) files: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// What does not hold.
    pub(super) wrong: Vec<String>,
}

impl Report {
    /// Fails if something does not hold.
    pub(super) fn result(&self) -> Result<(), Failure> {
        for wrong in &self.wrong {
            output::note(format!("WRONG: {}", output::visible(wrong)));
        }
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(Failure::damage("the export does not verify")),
        }
    }
}

/// Runs `attestore export verify`.
pub(super) fn run(dir: &Path, vkey: &str, output: Output) -> Result<(), Failure> {
    let key = VerifierKey::parse(vkey).map_err(|e| Failure::usage(format!("--vkey: {e}")))?;
    let report = check(dir, &key)?;
    match output {
        Output::Table => output::line(format!(
            "origin   {}\nsize     {}\nroot     {}\n{} records in {} files, {} bytes",
            output::visible(&report.origin),
            report.tree_size,
            output::visible(&report.root),
            report.records,
            report.files,
            report.bytes
        ))?,
        Output::Json | Output::Ndjson => output::ndjson(&report)?,
    }
    report.result()
}

/// Checks everything in a folder.
pub(super) fn check(dir: &Path, key: &VerifierKey) -> Result<Report, Failure> {
    let bytes = files::read(&dir.join("manifest.json"))?;
    let note = files::read_text(&dir.join("manifest.note"))?;
    let mut report = Report::default();
    let manifest: Manifest = match serde_json::from_slice(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            report.wrong.push(format!("manifest.json is none: {error}"));
            return Ok(report);
        }
    };
    if manifest.version != Manifest::VERSION {
        report.wrong.push(format!(
            "manifest.json is of another version: {}",
            manifest.version
        ));
        return Ok(report);
    }
    report.export.clone_from(&manifest.export);
    report.origin.clone_from(&manifest.origin);
    report.tree_size = manifest.tree_size;
    report.root.clone_from(&manifest.root);
    signature(&manifest, &bytes, &note, key, &mut report.wrong);
    let bar = ProgressBar::new(manifest.bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} checked {eta}") {
        bar.set_style(style);
    }
    let mut last_seq = None;
    for entry in &manifest.files {
        order(entry, &mut last_seq, &mut report.wrong);
        file(dir, &manifest, entry, &bar, &mut report)?;
    }
    bar.finish_and_clear();
    let named = |name: &str| SIGNED.contains(&name) || manifest.files.iter().any(|file| file.name == name);
    let unnamed = files::names(dir)?;
    let unnamed = unnamed.iter().filter(|name| !named(name));
    report
        .wrong
        .extend(unnamed.map(|name| format!("{name} is not in the manifest")));
    for (what, found, said) in [
        ("records", report.records, manifest.records),
        ("bytes", report.bytes, manifest.bytes),
    ] {
        if found != said {
            report
                .wrong
                .push(format!("the files have {found} {what}, the manifest says {said}"));
        }
    }
    Ok(report)
}

/// The note is signed by the log's key, and is about this manifest, whose checkpoint is of the same tree.
fn signature(manifest: &Manifest, bytes: &[u8], note: &str, key: &VerifierKey, wrong: &mut Vec<String>) {
    let opened = match SignedNote::open(note, key) {
        Ok(opened) => opened,
        Err(error) => return wrong.push(format!("manifest.note: {error}")),
    };
    let Some(signed) = parse_note_text(opened.text()) else {
        return wrong.push("manifest.note is not about the manifest of an export".to_owned());
    };
    let checkpoint = match open_checkpoint(&manifest.checkpoint, key) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return wrong.push(format!("the checkpoint in manifest.json: {error}")),
    };
    let root = checkpoint.root();
    let mut same = |what: &str, is: bool| {
        if !is {
            wrong.push(format!(
                "{what} differs between manifest.json, manifest.note and the checkpoint"
            ));
        }
    };
    same("the manifest's hash", signed.sha256 == sha256_hex(bytes));
    let origin = &manifest.origin;
    same("the origin", signed.origin == *origin && key.name() == origin);
    let size = manifest.tree_size;
    same("the tree size", signed.size == size && checkpoint.size() == size);
    same(
        "the root",
        signed.root == root.to_base64() && manifest.root == root.to_string(),
    );
}

/// Files follow each other in order of seq.
fn order(entry: &FileEntry, last_seq: &mut Option<u64>, wrong: &mut Vec<String>) {
    let fits = match (entry.first_seq, entry.last_seq) {
        (Some(first), Some(last)) => {
            let span = last.checked_sub(first).and_then(|span| span.checked_add(1));
            last_seq.replace(last).is_none_or(|before| before < first)
                && span.is_some_and(|span| entry.records <= span && entry.records > 0)
        }
        (None, None) => entry.records == 0,
        _ => false,
    };
    if !fits {
        wrong.push(format!("{}: its seqs do not fit", entry.name));
    }
}

fn file(
    dir: &Path,
    manifest: &Manifest,
    entry: &FileEntry,
    bar: &ProgressBar,
    report: &mut Report,
) -> Result<(), Failure> {
    if !is_plain(&entry.name) {
        report
            .wrong
            .push(format!("{} cannot be a file's name", entry.name));
        return Ok(());
    }
    let path = dir.join(&entry.name);
    if !path.exists() {
        report.wrong.push(format!("{} is missing", entry.name));
        return Ok(());
    }
    let (bytes, sha256) = hash(&mut bar.wrap_read(files::open(&path)?))?;
    report.files += 1;
    report.bytes += bytes;
    if (bytes, &sha256) != (entry.bytes, &entry.sha256) {
        report.wrong.push(format!(
            "{} is not what the manifest says: its hash differs",
            entry.name
        ));
        return Ok(());
    }
    let format = Format::named(&manifest.format);
    let compression = Compression::named(&manifest.compression);
    let counted = match (format, compression) {
        (Some(format), Some(compression)) => {
            let file: Box<dyn Read> = Box::new(files::open(&path)?);
            count_records(file, format, compression)
        }
        _ => Ok(None),
    };
    match counted {
        // What this program cannot read was hashed all the same.
        Ok(None) => report.records += entry.records,
        Ok(Some(records)) => {
            report.records += records;
            if records != entry.records {
                report.wrong.push(format!(
                    "{} has {records} records, the manifest says {}",
                    entry.name, entry.records
                ));
            }
        }
        Err(error) => report.wrong.push(format!("{}: {error}", entry.name)),
    }
    Ok(())
}
