//! `attestore verify erasure`: looks for what is left of somebody in a data directory.

use std::path::Path;

use attestore_engine::Parts;
use attestore_engine::check::{Needles, ResidueReport, residue};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::parts;
use crate::cli::{ErasureCheckArgs, Output};
use crate::failure::Failure;
use crate::root::{self, Secret};
use crate::{files, output};

/// Looks for values; fails with code 3 if any is found.
pub fn run(args: &ErasureCheckArgs) -> Result<(), Failure> {
    let typed = match &args.values {
        Some(path) => files::read_text(path)?,
        None => String::new(),
    };
    let values: Vec<&str> = typed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .chain(args.value.iter().map(String::as_str))
        .collect();
    let needles = Needles::new(values).map_err(|error| Failure::usage(error.to_string()))?;
    let parts = with_keys_of(parts(&args.data, None, false)?, args.keys_of.as_deref())?;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} {binary_bytes_per_sec} {wide_msg}") {
        bar.set_style(style);
    }
    let report = residue(&parts, &needles, &mut |path, bytes| {
        bar.set_position(bytes);
        bar.set_message(path.display().to_string());
    });
    bar.finish_and_clear();
    let report = report?;
    match args.output {
        Output::Table => print(&report, needles.len())?,
        Output::Json => output::json(&report)?,
        Output::Ndjson => output::ndjson(&report)?,
    }
    match report.found() {
        0 => Ok(()),
        _ => Err(Failure::damage("something is left")),
    }
}

/// The same parts, with the root keys of another data directory: what an old copy tells who has today's keys.
fn with_keys_of(parts: Parts, other: Option<&Path>) -> Result<Parts, Failure> {
    let Some(other) = other else { return Ok(parts) };
    // A folder with keys is enough.
    let disk = super::disk(other, true)?;
    let root = root::open(&disk, None, false, &Secret::FoundOrTyped)?;
    Ok(Parts { root, ..parts })
}

fn print(report: &ResidueReport, values: usize) -> Result<(), Failure> {
    let rows = report.places.iter().map(|(place, counts)| {
        [
            name(place),
            counts.bytes.to_string(),
            counts.hits.to_string(),
            format!("{} of {values}", counts.values),
        ]
    });
    output::table(["PLACE", "BYTES", "FOUND", "VALUES"], rows)?;
    for hit in report.hits.iter().take(SHOWN_MAX) {
        output::line(format!(
            "{}: value {} ({}, {})",
            hit.path.display(),
            hit.value + 1,
            name(&hit.writing),
            name(&hit.place)
        ))?;
    }
    if report.hits.len() > SHOWN_MAX {
        output::line(format!(
            "and {} more; --output json has them",
            report.hits.len() - SHOWN_MAX
        ))?;
    }
    Ok(())
}

/// The name of a kind, as JSON has it.
fn name(kind: &impl Serialize) -> String {
    let name = serde_json::to_value(kind).ok();
    name.and_then(|name| name.as_str().map(|name| name.replace('_', " ")))
        .unwrap_or_default()
}

const SHOWN_MAX: usize = 20;
