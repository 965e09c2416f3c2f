//! Checks the files of an export: each against the manifest, the manifest against its signed note. The work is done by
//! `attestore-verify`.

use std::io::{self, Read};
use std::path::Path;

use attestore_tlog::VerifierKey;
use attestore_verify::{ExportFiles, ExportReport, Trust, verify_export};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Output;
use crate::failure::Failure;
use crate::{files, output};

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
    result(&report)
}

/// Fails if something does not hold.
pub(super) fn result(report: &ExportReport) -> Result<(), Failure> {
    for wrong in &report.wrong {
        output::note(format!("WRONG: {}", output::visible(wrong)));
    }
    if report.is_sound() {
        Ok(())
    } else {
        Err(Failure::damage("the export does not verify"))
    }
}

/// Checks everything in a folder.
pub(super) fn check(dir: &Path, key: &VerifierKey) -> Result<ExportReport, Failure> {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} checked {eta}") {
        bar.set_style(style);
    }
    let report = verify_export(&Folder(dir), &Trust::Key(key.clone()), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    report.map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))
}

struct Folder<'a>(&'a Path);

impl ExportFiles for Folder<'_> {
    fn names(&self) -> io::Result<Vec<String>> {
        files::names(self.0).map_err(|failure| io::Error::other(failure.message))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let path = self.0.join(name);
        if !path.exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = files::open(&path).map_err(|failure| io::Error::other(failure.message))?;
        Ok(Box::new(file))
    }
}
