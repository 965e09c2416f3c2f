//! Arguments of `attestore policy`, `hold`, `approval` and `explain`.

use clap::{Args, Subcommand};

use super::{Output, Remote};

#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: PolicyAction,
}

#[derive(Debug, Subcommand)]
pub enum PolicyAction {
    /// List the retention policies in force
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Set the policy of a class; what is not named stays as it is
    Set(Box<PolicySetArgs>),
    /// Show what would go, when and how much
    Preview {
        /// RFC 3339 time or a date [default: now]
        #[arg(long)]
        at: Option<String>,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct PolicySetArgs {
    /// Class: 1 for events that no other class takes, 2 to 65535 for others
    pub class: u16,
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// How old records get at least, e.g. 90d, 12h, 7y; 0 for no minimum
    #[arg(long, value_name = "AGE")]
    pub keep_min: Option<String>,
    /// When they fall due, e.g. 400d; none for never
    #[arg(long, value_name = "AGE")]
    pub keep_max: Option<String>,
    /// The law or contract that it follows
    #[arg(long)]
    pub basis: Option<String>,
    /// none, governance (two people may go below the minimum) or compliance (nobody may, ever)
    #[arg(long)]
    pub mode: Option<String>,
    /// yes, personal_only or no
    #[arg(long)]
    pub erasable: Option<String>,
    /// New events with such an action are of the class, e.g. `card.*`; may be given several times. All kinds that are given must match
    #[arg(long = "action")]
    pub actions: Vec<String>,
    /// … with this category of data; may be given several times
    #[arg(long = "data-category")]
    pub data_categories: Vec<String>,
    /// … with this classification; may be given several times
    #[arg(long = "classification")]
    pub classifications: Vec<String>,
    /// … with this severity; may be given several times
    #[arg(long = "severity")]
    pub severities: Vec<String>,
    /// No new event is of the class any more
    #[arg(long, conflicts_with_all = ["actions", "data_categories", "classifications", "severities"])]
    pub take_nothing: bool,
    /// Weaken a lock in mode governance; takes the permission bypass_retention and a second person
    #[arg(long)]
    pub bypass_governance: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct HoldArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: HoldAction,
}

#[derive(Debug, Subcommand)]
pub enum HoldAction {
    /// Place a legal hold on what any of these names
    Place(HoldPlaceArgs),
    /// List legal holds, those that were released too
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show a legal hold
    Show {
        /// Its id
        id: String,
    },
    /// Release a legal hold
    Release {
        /// Its id
        id: String,
        /// Why; sealed
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct HoldPlaceArgs {
    /// What it is about; stands in the log for good: a file number, never a name
    #[arg(long)]
    pub matter: String,
    /// Why; sealed
    #[arg(long)]
    pub reason: String,
    /// What a query matches, now and later
    #[arg(long)]
    pub query: Option<String>,
    /// What somebody did, now and later
    #[arg(long, value_name = "TYPE:ID")]
    pub actor: Option<String>,
    /// What is about somebody, now and later
    #[arg(long, value_name = "TYPE:ID")]
    pub subject: Option<String>,
    /// Records that are there, by seq: FIRST-LAST, both included, or one; may be given several times
    #[arg(long = "seqs", value_name = "FIRST-LAST")]
    pub seqs: Vec<String>,
    /// A whole class, also what comes later; may be given several times
    #[arg(long = "class")]
    pub classes: Vec<u16>,
    /// When somebody should look whether it is still needed, RFC 3339 time or a date
    #[arg(long)]
    pub review_at: Option<String>,
}

#[derive(Debug, Args)]
pub struct ApprovalArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: ApprovalAction,
}

#[derive(Debug, Subcommand)]
pub enum ApprovalAction {
    /// List requests for approval
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show a request, with what is to be done
    Show {
        /// Its id
        id: String,
    },
    /// Approve what somebody else asked for: they may then do it, once
    Approve {
        /// Id of the request
        id: String,
    },
    /// Refuse it
    Refuse {
        /// Id of the request
        id: String,
    },
    /// Show or set which acts take two persons
    Policy {
        /// Kinds of acts: erase, hold_release, tenant_destroy, tenant_move, key_destroy; none for none [default: show]
        #[arg(long = "kind")]
        kinds: Vec<String>,
        /// For how many seconds a request stands
        #[arg(long, value_name = "SECONDS", requires = "kinds")]
        expires_in_s: Option<u64>,
    },
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default")]
    pub tenant: String,
    /// Seq or id of the record
    pub record: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}
