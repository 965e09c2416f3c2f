//! The `attestore` binary: command line, settings, and assembling the parts. All work is done by the crates below it.

mod cli;
mod client;
mod commands;
mod failure;
mod files;
mod output;
mod register;
mod root;
mod s3;
mod serving;
mod settings;
mod target;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(args) => commands::serve::run(args),
        Command::Unseal(args) => commands::unseal::run(&args),
        Command::CheckConfig(args) => commands::check_config::run(&args),
        Command::Append(args) => commands::append::run(&args),
        Command::Search(args) => commands::search::run(&args),
        Command::Tail(args) => commands::tail::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Get(args) => commands::get::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Checkpoint(args) => commands::checkpoint::run(&args),
        Command::Witness(args) => commands::witness::run(&args),
        Command::Mirror(args) => commands::mirror::run(&args),
        Command::Tenant(args) => commands::tenant::run(&args),
        Command::Credential(args) => commands::credential::run(&args),
        Command::Clock(args) => commands::clock::run(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Completions(args) => commands::generate::completions(&args),
        Command::Man(args) => commands::generate::man(&args),
        Command::Erase(args) => commands::erase::run(&args),
        Command::Restrict(args) => commands::restrict::run(&args),
        Command::Access(args) => commands::access::run(&args),
        Command::Correct(args) => commands::correct::run(&args),
        Command::Policy(args) => commands::policy::run(&args),
        Command::Hold(args) => commands::hold::run(&args),
        Command::Approval(args) => commands::approval::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Privacy(args) => commands::privacy::run(&args),
        Command::Key(args) => commands::key::run(&args),
        Command::Purge(args) => commands::purge::run(&args),
        Command::Backup(args) => commands::backup::run(&args),
        Command::Restore(args) => commands::restore::run(&args),
        Command::Fork(args) => commands::fork::run(&args),
        Command::Fsck(args) => commands::fsck::run(&args),
        Command::Bench(args) => commands::bench::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.code)
        }
    }
}
