//! How results are printed. What files say is hostile: control characters never reach a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use crate::args::Output;
use crate::failure::Failure;

/// Prints what was found and that it holds.
pub fn holds(text: &str, report: &impl Serialize, output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => line(&visible(text)),
        Output::Json => line(&json!({"verified": true, "report": report}).to_string()),
    }
}

/// Prints what was found before the program ends with an error.
pub fn found(text: &str, report: &impl Serialize, output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => line(&visible(text)),
        Output::Json => line(&json!({"verified": false, "report": report}).to_string()),
    }
}

/// Prints why the program ends.
pub fn failed(failure: &Failure, output: Output) {
    if output == Output::Json {
        let _ = line(&json!({"verified": false, "error": failure.message, "code": failure.code}).to_string());
    }
    let _ = writeln!(io::stderr(), "attestore-verify: {}", visible(&failure.message));
}

fn line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(1),
        Err(error) => Err(Failure::io("standard output".as_ref(), &error)),
    }
}

fn visible(text: &str) -> String {
    let show = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(show).collect()
}
