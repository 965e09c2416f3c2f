//! `attestore privacy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, Remote};

#[derive(Debug, Args)]
pub struct PrivacyArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
    #[command(subcommand)]
    pub action: PrivacyAction,
}

#[derive(Debug, Subcommand)]
pub enum PrivacyAction {
    /// Show what is personal, and what becomes of values that detectors find
    Show,
    /// Put a new version in force; what is not named stays
    Set(PrivacySetArgs),
    /// List the versions, newest first
    Versions {
        /// Only versions below this one
        #[arg(long)]
        before: Option<u32>,
    },
    /// Look through the newest records for what the policy could cover; no value is shown
    Propose {
        /// How many records
        #[arg(long, default_value_t = 10_000)]
        sample: u64,
    },
    /// Look through a file of events, a line each, without a server; no value is shown
    Scan {
        /// The file; `-` is standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct PrivacySetArgs {
    /// Take `human_types`, `rules` and `detect` from this JSON file, as a whole
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Add a rule: SUBJECT is actor, on_behalf_of, declared or all
    #[arg(long = "rule", value_name = "PATH=SUBJECT")]
    pub rules: Vec<String>,
    /// Remove the rules of a path
    #[arg(long = "remove-rule", value_name = "PATH")]
    pub remove_rules: Vec<String>,
    /// Count actors of this type as people
    #[arg(long = "human-type", value_name = "TYPE")]
    pub human_types: Vec<String>,
    /// No longer count actors of this type as people
    #[arg(long = "remove-human-type", value_name = "TYPE")]
    pub remove_human_types: Vec<String>,
    /// What becomes of values of a detector: off, flag, personal, redact or refuse; two, as redact,flag, for sure and suspected ones
    #[arg(long = "detect", value_name = "DETECTOR=ACTION[,ACTION]")]
    pub detect: Vec<String>,
    /// Why
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Go ahead where less is personal than was
    #[arg(long)]
    pub confirm: bool,
}
