//! `attestore-verify export`.

use std::io;
use std::path::Path;

use attestore_verify::verify_export;

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::files::ExportFolder;
use crate::output;

/// Checks the folder of a downloaded export.
pub fn run(folder: &Path, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let trust = trust.trust()?;
    let report = verify_export(&ExportFolder(folder), &trust, &mut |_, _| {}).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound && folder.is_dir() {
            Failure::doubt(format!(
                "{}: manifest.json or manifest.note is missing",
                folder.display()
            ))
        } else {
            Failure::io(folder, &error)
        }
    })?;
    let mut text = format!(
        "{} records in {} files, {} bytes, exported from the signed tree of {} of {}",
        report.records, report.files, report.bytes, report.tree_size, report.origin
    );
    let Some(first) = report.wrong.first() else {
        return output::holds(&text, &report, output);
    };
    for wrong in &report.wrong {
        text.push_str(&format!("\nWRONG: {wrong}"));
    }
    output::found(&text, &report, output)?;
    Err(Failure::doubt(format!("{}: {first}", folder.display())))
}
