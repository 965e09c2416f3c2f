//! Arguments of `attestore tenant move`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Output;

#[derive(Debug, Subcommand)]
pub enum MoveAction {
    /// At the server that takes a tenant: draw the keys for it, and print what the other one needs
    Invite {
        /// What for
        #[arg(long, default_value = "")]
        note: String,
        /// File to write it to, instead of the terminal
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// At the server that takes tenants: list those that were invited, and that came
    Invited {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// At the server that has the tenant: copy its files while everything goes on; again, what came since
    Start {
        /// Name
        name: String,
        /// What the other server printed
        #[arg(long, value_name = "FILE")]
        invitation: PathBuf,
        /// Why; stays in the tenant's log for good, so no names of people
        #[arg(long)]
        reason: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show how far the move of a tenant is
    Show {
        /// Name
        name: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// End its log here and make the package whole: from here on it takes no records; again, go on
    Close {
        /// Name
        name: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// At either end: check the package in the data directory
    Check {
        /// Id of the move
        id: String,
        /// The key that has to have signed it [default: the one that it names]
        #[arg(long, value_name = "VKEY")]
        vkey: Option<String>,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// At the server that takes it: take up the package
    Import {
        /// Id of the move
        id: String,
        /// The key of the tenant's log, as the other server tells it
        #[arg(long, value_name = "VKEY")]
        vkey: String,
        /// Another name than it had there
        #[arg(long)]
        name: Option<String>,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// At the server that took it: get the receipt, a DSSE envelope signed by the key that its log goes on under
    Receipt {
        /// Id of the move
        id: String,
        /// File to write it to, instead of the terminal
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// At the server that had it: let go of it, for the receipt; this cannot be taken back
    Confirm {
        /// Name
        name: String,
        /// The name once more
        #[arg(long, value_name = "NAME")]
        confirm: String,
        /// What the other server signed
        #[arg(long, value_name = "FILE")]
        receipt: PathBuf,
    },
    /// Take a move back, if nobody imported the package: you say so, the server cannot know
    Abort {
        /// Name
        name: String,
        /// Why; stays on record for good, so no names of people
        #[arg(long)]
        reason: String,
    },
    /// At the server that invited: take the invitation back, or forget how a tenant came
    Discard {
        /// Id of the move
        id: String,
    },
}
