//! `attestore-verify`: checks offline what Attestore hands out. Small on purpose: no network, no server code, no keys but public
//! ones, and those from the command line only.
//!
//! Exit codes: 0 everything holds, 1 a file cannot be read or written, 2 usage, 3 something does not hold, or there was nothing to
//! verify.

mod args;
mod commands;
mod failure;
mod files;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let (output, trust) = (args.output, &args.trust);
    let result = match &args.command {
        Command::Receipt { file, record } => commands::receipt::run(file, record.as_deref(), trust, output),
        Command::Proof { files } => commands::proof::run(files, trust, output),
        Command::Bundle { file, threads } => commands::bundle::run(file, *threads, trust, output),
        Command::Extract { file, seq, out } => commands::bundle::extract(file, *seq, out, trust, output),
        Command::Export { folder } => commands::export::run(folder, trust, output),
        Command::Log {
            folder,
            checkpoint,
            no_tiles,
        } => commands::log::run(folder, checkpoint.as_deref(), *no_tiles, trust, output),
        Command::Consistency { old, new, proof } => {
            commands::consistency::run(old, new, proof, trust, output)
        }
        Command::Heads(args) => commands::heads::run(args, trust, output),
        Command::Statement { file } => commands::statement::run(file, trust, output),
        Command::Handover => commands::handover::run(trust, output),
        Command::Misbehaviour(args) => commands::misbehaviour::run(args, trust, output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failed(&failure, output);
            ExitCode::from(failure.code)
        }
    }
}
