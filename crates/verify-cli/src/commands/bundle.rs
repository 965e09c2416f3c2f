//! `attestore-verify bundle` and `extract`.

use std::io;
use std::path::Path;
use std::thread::available_parallelism;

use attestore_verify::bundle::{BundleError, BundleOptions, BundleReport, ZipError, verify_bundle};

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::files::{self, Positions};
use crate::output;

/// Checks a bundle.
pub fn run(file: &Path, threads: Option<usize>, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let report = check(file, threads, None, trust)?;
    let text = report.sentences().join("\n");
    if report.is_sound() {
        return output::holds(&text, &report, output);
    }
    output::found(&text, &report, output)?;
    Err(incomplete(file, &report))
}

/// Takes a record out of a bundle, if everything in that holds.
pub fn extract(file: &Path, seq: u64, out: &Path, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let report = check(file, None, Some(seq), trust)?;
    if !report.is_sound() {
        output::found(&report.sentences().join("\n"), &report, output)?;
        return Err(incomplete(file, &report));
    }
    let proof = report.extracted.as_ref();
    let proof = proof.ok_or_else(|| Failure::doubt(format!("{}: no record {seq}", file.display())))?;
    files::write_new(out, &proof.to_text())?;
    output::holds(
        &format!("record {seq} and its proof are in {}", out.display()),
        &report,
        output,
    )
}

fn check(
    file: &Path,
    threads: Option<usize>,
    extract: Option<u64>,
    trust: &TrustArgs,
) -> Result<BundleReport, Failure> {
    let cores = || available_parallelism().map_or(1, usize::from);
    let options = BundleOptions {
        threads: threads.unwrap_or_else(cores),
        extract,
    };
    verify_bundle(&Positions::open(file)?, &trust.trust()?, options).map_err(|error| failure(file, &error))
}

/// A file that cannot be read says nothing about what is in it; one that ends too early does.
fn failure(file: &Path, error: &BundleError) -> Failure {
    match error {
        BundleError::Read(cause) | BundleError::Archive(ZipError::Read(cause))
            if cause.kind() != io::ErrorKind::UnexpectedEof =>
        {
            Failure::io(file, cause)
        }
        _ => Failure::doubt(format!("{}: {error}", file.display())),
    }
}

fn incomplete(file: &Path, report: &BundleReport) -> Failure {
    let first = report.range.as_ref().and_then(|range| range.findings.first());
    let reason = first.map(ToString::to_string).unwrap_or_default();
    Failure::doubt(format!("{}: the range is not complete: {reason}", file.display()))
}
