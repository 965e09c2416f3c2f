//! Arguments of `attestore witness` and `attestore mirror`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{OnTenant, Output};

#[derive(Debug, Args)]
pub struct WitnessArgs {
    #[command(subcommand)]
    pub action: WitnessAction,
}

#[derive(Debug, Subcommand)]
pub enum WitnessAction {
    /// Cosign checkpoints of other people's logs
    Serve(WitnessServeArgs),
    /// Print the key that others verify the witness's cosignatures with
    Vkey {
        /// Directory of the witness
        #[arg(long)]
        data: PathBuf,
    },
    /// Show what was cosigned last, and what speaks against a log
    Status {
        /// Directory of the witness
        #[arg(long)]
        data: PathBuf,
        #[command(flatten)]
        logs: Logs,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct WitnessServeArgs {
    /// Directory of the witness; made on first start, with a fresh key. Never restore it from a backup: a witness that forgot
    /// what it cosigned takes a new directory and a new name
    #[arg(long)]
    pub data: PathBuf,
    /// Name of the witness, as a URL without scheme; needed on first start, and permanent
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub logs: Logs,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:7118")]
    pub listen: SocketAddr,
    /// Serve without TLS beyond this machine: something in front of it ends TLS
    #[arg(long)]
    pub allow_insecure: bool,
    /// Certificate, PEM
    #[arg(long, requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// Logs that are known.
#[derive(Debug, Args)]
pub struct Logs {
    /// Key of a log (vkey); may be given several times
    #[arg(long = "log", value_name = "VKEY")]
    pub log: Vec<String>,
    /// Trust policy (C2SP tlog-policy) whose logs are known too
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct MirrorArgs {
    #[command(flatten)]
    pub on: OnTenant,
    /// Key of the log (vkey), from whom you trust more than the log's server
    #[arg(long)]
    pub vkey: String,
    /// Directory of the mirror; made on first start
    #[arg(long)]
    pub data: PathBuf,
    /// Cosign every checkpoint under this name; the key is made on first use
    #[arg(long, value_name = "NAME")]
    pub cosign: Option<String>,
    /// Go on for ever
    #[arg(long)]
    pub follow: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 10, requires = "follow", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
}
