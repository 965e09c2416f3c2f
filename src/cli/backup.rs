//! Arguments of `attestore backup` and `attestore restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, Remote};

#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    pub action: BackupAction,
}

#[derive(Debug, Subcommand)]
pub enum BackupAction {
    /// Make a key for backups, to be kept elsewhere, and print for whom to seal them
    Key {
        /// File for the key, which must not exist
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Have the server make a backup, and wait until it is there
    Create {
        #[command(flatten)]
        remote: Remote,
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// List the server's backups, the newest first
    List {
        #[command(flatten)]
        remote: Remote,
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show how far the backups are behind what was acknowledged
    Status {
        #[command(flatten)]
        remote: Remote,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Check every file of a folder of backups, without restoring and without a server
    Verify {
        /// The folder, or s3://bucket/prefix?endpoint=…&region=…&ca_file=…
        folder: PathBuf,
        /// The key, to check also that the backups open with it
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// How to print what was found
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The folder of backups, or s3://bucket/prefix?endpoint=…&region=…&ca_file=…
    pub folder: PathBuf,
    /// Directory to restore into, which must be empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// The key of the backups
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// Backup to restore [default: the newest]
    #[arg(long, value_name = "ID")]
    pub backup: Option<String>,
    /// Which of the chunks shipped behind the backup are used: all, those before the first that does not hold, or none
    #[arg(long, value_enum, default_value_t)]
    pub chunks: ChunksArg,
    /// The head register, if the server uses one outside of the data directory
    #[arg(long, env = "ATTESTORE_HEAD_REGISTER")]
    pub head_register: Option<PathBuf>,
    /// Go on although what was erased behind the backup may be readable again, and why; stays on record in `_system` for good
    #[arg(long, value_name = "REASON")]
    pub without_newest_ledger: Option<String>,
    /// Shared library of the security module that has keys of the logs, so that they vouch for the new ones
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// Label of the token in it
    #[arg(long, requires = "module")]
    pub label: Option<String>,
    /// Serial number of the token
    #[arg(long, requires = "module")]
    pub serial: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Which chunks a restore uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ChunksArg {
    /// All; one that does not hold refuses the restore
    #[default]
    All,
    /// Those before the first that does not hold
    Sound,
    /// None
    None,
}
