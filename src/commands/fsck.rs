//! `attestore fsck`.

use attestore_engine::check::{FsckReport, fsck};
use indicatif::{ProgressBar, ProgressStyle};

use super::parts;
use crate::cli::{FsckArgs, Output};
use crate::failure::{DAMAGE, Failure};
use crate::output;

/// Checks every byte of a data directory; changes nothing.
pub fn run(args: &FsckArgs) -> Result<(), Failure> {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let parts = parts(&args.data, args.head_register.as_deref(), false)?;
    let report = fsck(&parts, &mut |what, done, all| {
        bar.set_message(what.display().to_string());
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    match args.output {
        Output::Table => print(&report)?,
        Output::Json => output::json(&report)?,
        Output::Ndjson => output::ndjson(&report)?,
    }
    match report.exit_code() {
        0 => Ok(()),
        DAMAGE => Err(Failure::damage("damage was found")),
        code => Err(Failure::new(code, "not everything could be checked")),
    }
}

fn print(report: &FsckReport) -> Result<(), Failure> {
    super::print_problems(&report.problems)?;
    for of in &report.gone {
        output::line(format!(
            "tenant {}: {} live + {} purged + {} erased records = {} of its tree",
            of.tenant, of.live, of.purged, of.erased, of.size
        ))?;
    }
    let c = &report.counts;
    output::line(format!(
        "{} tenants, {} records re-hashed, {} nodes recomputed, {} sealed files and parts, {} log frames, {} key pages: {}",
        c.tenants,
        c.records,
        c.nodes,
        c.sealed,
        c.frames,
        c.key_pages,
        if report.problems.is_empty() {
            "all sound".to_owned()
        } else {
            format!("{} problems", report.problems.len())
        }
    ))
}
