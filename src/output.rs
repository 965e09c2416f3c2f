//! How results are printed: tables for people, JSON for machines. Event values are hostile: control characters never
//! reach a terminal.

use std::io::Write;
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::failure::Failure;
use crate::files;

/// Prints one line to standard output. A closed pipe ends the process quietly, as for other Unix tools.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    match writeln!(out, "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Prints one line to standard error, for people only.
pub fn note(text: impl std::fmt::Display) {
    let mut err = anstream::stderr();
    let _ = writeln!(err, "{text}");
}

/// Prints a document, or writes it to a file.
pub fn save(document: &str, what: &str, out: Option<&Path>) -> Result<(), Failure> {
    match out {
        None => line(document),
        Some(path) => {
            files::write_text(path, document)?;
            note(format!("wrote the {what} to {}", path.display()));
            Ok(())
        }
    }
}

/// Prints a value as indented JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value)?)
}

/// Prints a value as one line of JSON.
pub fn ndjson(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value)?)
}

/// Prints a table without borders.
pub fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Failure> {
    wide_table(
        head.map(str::to_owned).into(),
        rows.into_iter().map(|row| row.into()),
    )
}

/// Prints a table of as many columns as there are.
pub fn wide_table(head: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head.iter().map(|cell| visible(cell)));
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell)));
    }
    line(table.trim_fmt())
}

/// Makes control and direction-changing characters visible.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
