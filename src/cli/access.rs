//! Arguments of `attestore access`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, Remote};

#[derive(Debug, Args)]
pub struct AccessArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: AccessAction,
}

#[derive(Debug, Subcommand)]
pub enum AccessAction {
    /// Put together what is held about somebody; wait until it is there, and download it
    Run(AccessRunArgs),
    /// List access requests
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show how far an access request is
    Show {
        /// Id of the request
        id: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Wait for the file and download it, which can be done once
    Fetch {
        /// Id of the request
        id: String,
        /// File to write, which must not exist [default: access-ID.zip]
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Remove an access request with its file
    Delete {
        /// Id of the request
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct AccessRunArgs {
    /// About whom, as events name them; one person may be several
    #[arg(long, value_name = "TYPE:ID", required = true)]
    pub subject: Vec<String>,
    /// Everything about them (Art. 15 GDPR), or what they did themselves, for machines (Art. 20)
    #[arg(long, value_enum, default_value_t)]
    pub kind: AccessKind,
    /// On what ground; stands in the manifest, and names nobody
    #[arg(long)]
    pub basis: Option<String>,
    /// For how many seconds the file is kept on the server [default: 14 days]
    #[arg(long, value_name = "SECONDS")]
    pub expires_in_s: Option<u64>,
    /// File to write, which must not exist [default: access-ID.zip]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Do not wait: print the id
    #[arg(long, conflicts_with = "out")]
    pub detach: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AccessKind {
    #[default]
    Access,
    Portability,
}

impl AccessKind {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Portability => "portability",
        }
    }
}
