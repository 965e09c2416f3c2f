//! `attestore bench`.

mod append;
pub mod generate;
mod load;

use crate::cli::{BenchAction, BenchArgs};
use crate::failure::Failure;

/// Measures, or makes test data.
pub fn run(args: BenchArgs) -> Result<(), Failure> {
    match args.action {
        BenchAction::Append(args) => append::run(&args),
        BenchAction::Generate(args) => generate::run(&args),
    }
}
