//! `attestore-verify log`.

use std::path::Path;

use attestore_tlog::{VerifierKey, open_checkpoint};
use attestore_verify::{LogSource, LogVerifier, Trust};

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::files::{self, LogFolder};
use crate::output;

/// Checks a copy of a log from its entries up.
pub fn run(
    folder: &Path,
    saved: Option<&Path>,
    no_tiles: bool,
    trust: &TrustArgs,
    output: Output,
) -> Result<(), Failure> {
    let chain = trust.chain()?;
    let trust = &chain.now;
    let source = LogFolder(folder);
    let doubt = |what: &str| Failure::doubt(format!("{}: {what}", folder.display()));
    let note = source
        .checkpoint()
        .map_err(|error| doubt(&format!("checkpoint: {error}")))?;
    let believed = trust.open(&note).map_err(|error| doubt(&error.to_string()))?;
    let key = key(trust, &note).ok_or_else(|| doubt("signed by no key that is trusted"))?;
    let mut verifier = LogVerifier::new(key.clone());
    if let Some(path) = saved {
        let saved = chain
            .open_older(&files::read_text(path)?)
            .map_err(|error| Failure::doubt(format!("{}: {error}", path.display())))?;
        verifier = verifier.saved(saved.checkpoint);
    }
    if no_tiles {
        verifier = verifier.without_tiles();
    }
    let report = verifier.verify(&source);
    let mut text = format!(
        "{} entries of {} lead to the signed root, {} tiles agree with them, cosigned by {}",
        report.entries,
        believed.checkpoint.origin(),
        report.tiles,
        super::witnessed(&believed.witnesses)
    );
    if report.is_sound() && report.entries > 0 {
        return output::holds(&text, &report, output);
    }
    for finding in &report.findings {
        text.push_str(&format!("\nWRONG: {finding}"));
    }
    output::found(&text, &report, output)?;
    let first = report.findings.first().map(ToString::to_string);
    Err(doubt(&first.unwrap_or_else(|| {
        "log has no entries, so there is nothing to verify".into()
    })))
}

/// The trusted key that signed the checkpoint.
pub fn key<'a>(trust: &'a Trust, note: &str) -> Option<&'a VerifierKey> {
    trust.keys().find(|key| open_checkpoint(note, key).is_ok())
}
