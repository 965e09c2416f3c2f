//! Arguments of `attestore correct`.

use clap::{Args, Subcommand};

use super::{Output, Remote};

#[derive(Debug, Args)]
pub struct CorrectArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: CorrectAction,
}

#[derive(Debug, Subcommand)]
pub enum CorrectAction {
    /// Correct what a record says; the record itself and its proofs stay
    Run {
        /// Seq or id of the record
        record: String,
        /// What is right: `/actor/name=Ann` for a text, `/attributes/age:=42` for any JSON
        #[arg(long, value_name = "POINTER=VALUE", required = true)]
        field: Vec<String>,
        /// Why; it stays in the log for good, so name nobody
        #[arg(long)]
        reason: String,
        /// On what ground, e.g. `Art. 16 GDPR`
        #[arg(long)]
        basis: Option<String>,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// List the corrections of a record
    List {
        /// Seq or id of the record
        record: String,
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}
