//! `attestore fsck`.

use attestore_engine::check::fsck;
use indicatif::{ProgressBar, ProgressStyle};

use super::parts;
use crate::cli::{FsckArgs, Output};
use crate::failure::{DAMAGE, Failure};
use crate::output;

/// Checks every byte of a data directory; changes nothing.
pub fn run(args: &FsckArgs) -> Result<(), Failure> {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}") {
        bar.set_style(style);
    }
    let parts = parts(&args.data, args.head_register.as_deref(), false)?;
    let report = fsck(parts, &mut |what: &str, done, all| {
        bar.set_message(what.to_owned());
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    match args.output {
        Output::Table => output::line(&report)?,
        Output::Json => output::json(&report)?,
        Output::Ndjson => output::ndjson(&report)?,
    }
    match report.exit_code() {
        0 => Ok(()),
        DAMAGE => Err(Failure::damage("damage was found")),
        code => Err(Failure::new(code, "not everything could be checked")),
    }
}
