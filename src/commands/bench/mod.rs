//! `attestore bench`.

mod append;
mod backup;
mod costs;
mod dataset;
mod feed;
mod figures;
mod floor;
mod forget;
pub mod generate;
mod ingest;
mod load;
mod questions;
mod search;
mod served;

use crate::cli::{BenchAction, BenchArgs};
use crate::failure::Failure;

/// Measures, or makes test data.
pub fn run(args: BenchArgs) -> Result<(), Failure> {
    match args.action {
        BenchAction::Append(args) => append::run(&args),
        BenchAction::Ingest(args) => ingest::run(&args),
        BenchAction::Search(args) => search::run(&args),
        BenchAction::Backup(args) => backup::run(&args),
        BenchAction::Forget(args) => forget::run(&args),
        BenchAction::Feed(args) => feed::run(&args),
        BenchAction::Generate(args) => generate::run(&args),
    }
}
