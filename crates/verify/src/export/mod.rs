//! The files of an export: each against the manifest, the manifest against its signed note.

use std::io::{self, Read};

use attestore_export::{
    Compression, FileEntry, FileHash, Format, Manifest, count_records, parse_note_text, sha256_hex,
};
use serde::Serialize;

use crate::trust::Trust;

/// Names of the files that are no part of what was exported.
const SIGNED: [&str; 2] = ["manifest.json", "manifest.note"];

/// Where the files of an export are.
pub trait ExportFiles {
    /// The names of all files that are there.
    ///
    /// # Errors
    /// What listing them says.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file.
    ///
    /// # Errors
    /// What opening it says.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>>;
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// Id of the export.
    pub export: String,
    /// Origin of the log.
    pub origin: String,
    /// Entries of the signed tree.
    pub tree_size: u64,
    /// Root of the signed tree, hex.
    pub root: String,
    /// Files that were read.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// What does not hold.
    pub wrong: Vec<String>,
}

impl ExportReport {
    /// Tells whether everything holds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Verifies the files of an export; calls `progress` with the bytes checked so far and in all.
///
/// # Errors
/// What reading a file says that is there. What does not hold is in the report.
pub fn verify_export(
    files: &dyn ExportFiles,
    trust: &Trust,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<ExportReport> {
    let bytes = read(files, "manifest.json")?;
    let note = read(files, "manifest.note")?;
    let mut report = ExportReport::default();
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
    signature(&manifest, &bytes, &note, trust, &mut report.wrong);
    let mut last_seq = None;
    for entry in &manifest.files {
        order(entry, &mut last_seq, &mut report.wrong);
        file(files, &manifest, entry, progress, &mut report)?;
    }
    let named = |name: &str| SIGNED.contains(&name) || manifest.files.iter().any(|file| file.name == name);
    let unnamed = files.names()?.into_iter().filter(|name| !named(name));
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

/// Tells whether a manifest's name of a file is one in the folder, and no path out of it.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

/// The note is signed by the log's key, and is about this manifest, whose checkpoint is of the same tree.
fn signature(manifest: &Manifest, bytes: &[u8], note: &[u8], trust: &Trust, wrong: &mut Vec<String>) {
    let origin = &manifest.origin;
    let Ok(note) = std::str::from_utf8(note) else {
        return wrong.push("manifest.note is not text".to_owned());
    };
    let text = match trust.open_note(note, origin) {
        Ok(text) => text,
        Err(error) => return wrong.push(format!("manifest.note: {error}")),
    };
    let Some(signed) = parse_note_text(&text) else {
        return wrong.push("manifest.note is not about the manifest of an export".to_owned());
    };
    let checkpoint = match trust.open(&manifest.checkpoint) {
        Ok(believed) => believed.checkpoint,
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
    same(
        "the origin",
        signed.origin == *origin && checkpoint.origin() == origin,
    );
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
    files: &dyn ExportFiles,
    manifest: &Manifest,
    entry: &FileEntry,
    progress: &mut dyn FnMut(u64, u64),
    report: &mut ExportReport,
) -> io::Result<()> {
    if !is_plain_name(&entry.name) {
        report
            .wrong
            .push(format!("{} cannot be a file's name", entry.name));
        return Ok(());
    }
    let opened = match files.open(&entry.name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.wrong.push(format!("{} is missing", entry.name));
            return Ok(());
        }
        opened => opened?,
    };
    let before = report.bytes;
    let (bytes, sha256) = hash(opened, &mut |bytes| progress(before + bytes, manifest.bytes))?;
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
        (Some(format), Some(compression)) => count_records(files.open(&entry.name)?, format, compression),
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

/// Length and SHA-256 of what is read.
fn hash(mut from: impl Read, progress: &mut dyn FnMut(u64)) -> io::Result<(u64, String)> {
    let (mut hash, mut bytes, mut buffer) = (FileHash::default(), 0, vec![0; 256 << 10]);
    loop {
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok((bytes, hash.finish()));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
        progress(bytes);
    }
}

/// Reads a small file that must be there.
fn read(files: &dyn ExportFiles, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    files
        .open(name)?
        .take(MANIFEST_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Longest manifest that is read: ten thousand files take a few megabytes.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
