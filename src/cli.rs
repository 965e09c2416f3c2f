//! The command line.

mod access;
mod backup;
mod correct;
mod forget;
mod moving;
mod privacy;
mod witness;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::access::{AccessAction, AccessArgs, AccessRunArgs};
pub use self::backup::{BackupAction, BackupArgs, ChunksArg, RestoreArgs};
pub use self::correct::{CorrectAction, CorrectArgs};
pub use self::forget::{
    ApprovalAction, ApprovalArgs, ExplainArgs, HoldAction, HoldArgs, HoldPlaceArgs, PolicyAction, PolicyArgs,
    PolicySetArgs,
};
pub use self::moving::MoveAction;
pub use self::privacy::{PrivacyAction, PrivacyArgs, PrivacySetArgs};
pub use self::witness::{Logs, MirrorArgs, WitnessAction, WitnessArgs, WitnessServeArgs};

/// Append-only audit log database with search, encryption, erasure and proofs.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 fine, 1 failed, 2 usage, 3 tampering or damage found, 4 keys missing or wrong, 5 directory in use.\n\
Client commands read ATTESTORE_URL and ATTESTORE_CREDENTIAL."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Give a server that started sealed the passphrase, PIN or token that opens its root key
    Unseal(UnsealArgs),
    /// Check settings, and show every key in force and where it comes from
    CheckConfig(CheckConfigArgs),
    /// Append events from a file or standard input
    Append(AppendArgs),
    /// Search records, newest first
    Search(SearchArgs),
    /// Print records as they come
    Tail(TailArgs),
    /// Export what matches a query into files, with a signed manifest
    Export(ExportArgs),
    /// Show one record, or its proof
    Get(GetArgs),
    /// Re-hash every record and check it against the signed tree head
    Verify(VerifyArgs),
    /// Fetch the newest signed tree head, and check that it extends an older one
    Checkpoint(CheckpointArgs),
    /// Cosign other people's logs, so that they cannot take anything back
    Witness(WitnessArgs),
    /// Keep a verified copy of a log
    Mirror(MirrorArgs),
    /// Make, show and list tenants
    Tenant(TenantArgs),
    /// Make, list, rotate and revoke credentials
    Credential(CredentialArgs),
    /// Erase data subjects, and show how far that is
    Erase(EraseArgs),
    /// Let data about people be read for a purpose only (Art. 18 GDPR)
    Restrict(RestrictArgs),
    /// Say what is right where a record is wrong (Art. 16 GDPR)
    Correct(CorrectArgs),
    /// Put together what is held about somebody, for them
    Access(AccessArgs),
    /// Show and set how long records are kept, and see what would go
    Policy(PolicyArgs),
    /// Place, show and release legal holds
    Hold(HoldArgs),
    /// Decide about what others ask for that takes two persons
    Approval(ApprovalArgs),
    /// Say what keeps a record: policy, holds, lock, and until when
    Explain(ExplainArgs),
    /// Show and set what is personal, and look for what could be
    Privacy(PrivacyArgs),
    /// Show, rotate and retire the keys that sign a log's checkpoints
    Key(KeyArgs),
    /// Purge records whose retention is over, and show what was purged
    Purge(PurgeArgs),
    /// Make, list and check backups
    Backup(BackupArgs),
    /// Restore a backup into an empty directory
    Restore(RestoreArgs),
    /// Give logs that lost entries a new epoch, after a restore; the server must be stopped
    Fork(ForkArgs),
    /// Confirm the server's clock after it stepped ahead
    Clock(ClockArgs),
    /// Show how the server is doing: tenants, heads, log, lag, disk
    Status(StatusArgs),
    /// Check every byte of a data directory that no server uses
    Fsck(FsckArgs),
    /// Measure, and make test data
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(ManArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON document per line
    Ndjson,
}

/// Where the server is and who is asking.
#[derive(Debug, Args)]
pub struct Remote {
    /// Base URL of the server: https://, http://, or unix:/path/to/socket
    #[arg(
        long,
        env = "ATTESTORE_URL",
        default_value = "http://127.0.0.1:7117",
        global = true
    )]
    pub url: String,
    /// Credential (bearer token)
    #[arg(long, env = "ATTESTORE_CREDENTIAL", hide_env_values = true, global = true)]
    pub credential: Option<String>,
    /// Authorities that the server's certificate must come from, PEM [default: those of the web]
    #[arg(long, env = "ATTESTORE_CA_FILE", global = true)]
    pub ca_file: Option<PathBuf>,
    /// Certificate to show to the server, PEM
    #[arg(
        long,
        env = "ATTESTORE_CLIENT_CERTIFICATE",
        requires = "client_key",
        global = true
    )]
    pub client_certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(
        long,
        env = "ATTESTORE_CLIENT_KEY",
        requires = "client_certificate",
        global = true
    )]
    pub client_key: Option<PathBuf>,
}

/// A tenant on a server.
#[derive(Debug, Args)]
pub struct OnTenant {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
}

/// Where the settings of a server come from.
#[derive(Debug, Args, Default)]
pub struct Sources {
    /// Settings file (TOML); `--print-settings` shows every key
    #[arg(long, env = "ATTESTORE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory; made on first start [default: ./attestore-data]
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:7117]
    #[arg(long)]
    pub listen: Option<String>,
    /// Listen beyond loopback without TLS
    #[arg(long)]
    pub allow_plaintext: bool,
    /// Unix socket to listen on
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// What remembers signed tree heads so that a rollback is noticed: a file on another disk, or s3://bucket/key?endpoint=URL
    #[arg(long)]
    pub head_register: Option<PathBuf>,
}

impl Sources {
    /// What the command line sets: key, flag, value.
    pub fn set(&self) -> Vec<(&'static str, &'static str, serde_json::Value)> {
        let path = |path: &Option<PathBuf>| Some(path.as_ref()?.to_string_lossy().into_owned().into());
        let all = [
            ("data", "--data", path(&self.data)),
            ("listen", "--listen", self.listen.clone().map(Into::into)),
            (
                "allow_plaintext",
                "--allow-plaintext",
                self.allow_plaintext.then_some(true.into()),
            ),
            ("unix.path", "--unix-socket", path(&self.unix_socket)),
            ("head_register", "--head-register", path(&self.head_register)),
        ];
        all.into_iter()
            .filter_map(|(key, flag, value)| Some((key, flag, value?)))
            .collect()
    }
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub sources: Sources,
    /// Write the first admin credential to this new file (mode 0600) instead of the terminal
    #[arg(long, env = "ATTESTORE_BOOTSTRAP_CREDENTIAL_FILE")]
    pub bootstrap_credential_file: Option<PathBuf>,
    /// Start sealed, and wait for `attestore unseal`, whatever is at hand
    #[arg(long)]
    pub sealed: bool,
    /// Print the settings in force as TOML and stop
    #[arg(long)]
    pub print_settings: bool,
}

#[derive(Debug, Args)]
pub struct UnsealArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// The root is held by a security module: ask for its PIN
    #[arg(long)]
    pub pin: bool,
    /// The root is held by Vault: ask for a token, or the secret id of the AppRole
    #[arg(long, conflicts_with = "pin")]
    pub vault_token: bool,
    /// Return once the server serves, at most this many seconds later
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub wait_s: u64,
}

#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    #[command(flatten)]
    pub sources: Sources,
    /// How to print the settings in force
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct AppendArgs {
    #[command(flatten)]
    pub on: OnTenant,
    /// File of events, one JSON object a line; `-` for standard input
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// Mapping preset that turns foreign JSON into events
    #[arg(long)]
    pub mapping: Option<String>,
    /// Events per request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub batch: u64,
    /// Ask for signed receipts, and add them to this file, one JSON document for each batch
    #[arg(long)]
    pub receipts: Option<PathBuf>,
    /// Append events without an idempotency key again even if this file was appended before
    #[arg(long)]
    pub repeat: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    pub on: OnTenant,
    /// Query, e.g. `actor.id:u_42 AND outcome:denied`; nothing matches everything
    #[arg(default_value = "")]
    pub query: String,
    /// Where to begin: `now`, `beginning`, or the seq of a record
    #[arg(long, default_value = "now")]
    pub from: String,
    /// How to print the records
    #[arg(long, value_enum, default_value_t)]
    pub output: TailOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum TailOutput {
    /// For people
    #[default]
    Table,
    /// One JSON document per line
    Ndjson,
}

#[derive(Debug, Args)]
pub struct ClockArgs {
    #[command(flatten)]
    pub remote: Remote,
    #[command(subcommand)]
    pub action: ClockAction,
}

#[derive(Debug, Subcommand)]
pub enum ClockAction {
    /// Say what time it is: the server believes its clock again if that agrees
    Confirm {
        /// RFC 3339 [default: this machine's time]
        #[arg(long, value_name = "TIME")]
        now: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write a page for each command into
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    #[command(flatten)]
    pub on: OnTenant,
    /// Query, e.g. `actor.id:u_42 AND outcome:denied`; nothing matches everything
    #[arg(default_value = "")]
    pub query: String,
    /// Only events that occurred at or after this time (RFC 3339 or a date)
    #[arg(long)]
    pub from: Option<String>,
    /// Only events that occurred before this time
    #[arg(long)]
    pub to: Option<String>,
    /// Oldest first
    #[arg(long, conflicts_with = "sort")]
    pub oldest: bool,
    /// Sort by this field, e.g. `occurred_at:desc` or `actor.id:asc`; else by seq, newest first
    #[arg(long)]
    pub sort: Option<String>,
    /// Show only these fields of the events, e.g. `actor.id,targets.id,metadata.ticket`
    #[arg(long, value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Aggregate all that match: JSON in the shape of Elasticsearch, or a file with it
    #[arg(long, value_name = "FILE|JSON")]
    pub aggs: Option<String>,
    /// Count the values of a field and show the most frequent as bars, e.g. `actor.id` or `action:20`
    #[arg(long, value_name = "FIELD[:NUMBER]", conflicts_with = "aggs")]
    pub facet: Vec<String>,
    /// Show how many occurred when, as bars of `1h`, `1d`, ...; without an interval, one that fits
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "auto", require_equals = true, conflicts_with = "aggs")]
    pub histogram: Option<String>,
    /// Records to print; 0 for all [default: 50, none with --aggs, --facet or --histogram]
    #[arg(long, short = 'n')]
    pub limit: Option<usize>,
    /// Count all that match; without --aggs, print only that
    #[arg(long)]
    pub count: bool,
    /// Say what the search did
    #[arg(long)]
    pub explain: bool,
    /// How to print the records
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ExportArgs {
    #[command(flatten)]
    pub on: OnTenant,
    #[command(subcommand)]
    pub action: Option<ExportAction>,
    /// Query, e.g. `actor.id:u_42 AND outcome:denied`; nothing matches everything
    #[arg(default_value = "")]
    pub query: String,
    /// ndjson, csv, ocsf, parquet or evidence
    #[arg(long, default_value = "ndjson")]
    pub format: String,
    /// none, gzip or zstd
    #[arg(long, default_value = "none")]
    pub compression: String,
    /// Only events that occurred at or after this time (RFC 3339 or a date)
    #[arg(long)]
    pub from: Option<String>,
    /// Only events that occurred before this time
    #[arg(long)]
    pub to: Option<String>,
    /// Only these fields of the events, e.g. `actor.id,targets.id,metadata.ticket`; for csv, its columns
    #[arg(long, value_delimiter = ',')]
    pub fields: Vec<String>,
    /// For evidence: all of these seqs (B not included), with what proves that they are all
    #[arg(long, value_name = "A..B", conflicts_with = "query", value_parser = seqs)]
    pub range: Option<(u64, u64)>,
    /// For evidence: these records, by seq or id
    #[arg(long = "record", value_name = "SEQ", num_args = 1.., conflicts_with_all = ["query", "range"])]
    pub records: Vec<String>,
    /// For evidence: signed, or witnessed for the newest checkpoint that witnesses have cosigned
    #[arg(long, value_name = "KIND")]
    pub checkpoint: Option<String>,
    /// Folder for the files; made if it is not there [default: ./export-ID]. For evidence, the file [default: ./ID.evidence]
    #[arg(long, short = 'o')]
    pub out: Option<PathBuf>,
    /// Do not wait: print the export's id and stop
    #[arg(long, conflicts_with = "out")]
    pub detach: bool,
    /// Key that the manifest must be signed with; default: the one that the server tells
    #[arg(long)]
    pub vkey: Option<String>,
}

/// A range of seqs as it is typed.
fn seqs(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| text.parse().map_err(|_| "expected A..B, two numbers".to_owned());
    let (first, end) = text.split_once("..").ok_or("expected A..B, two numbers")?;
    Ok((number(first)?, number(end)?))
}

#[derive(Debug, Subcommand)]
pub enum ExportAction {
    /// List the tenant's exports
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Wait for an export and download it, or go on with a download that broke off
    Download {
        /// Its id
        id: String,
        /// Folder for the files; made if it is not there [default: ./export-ID]. For evidence, the file [default: ./ID.evidence]
        #[arg(long, short = 'o')]
        out: Option<PathBuf>,
        /// Key that the manifest must be signed with; default: the one that the server tells
        #[arg(long)]
        vkey: Option<String>,
    },
    /// Cancel an export that is not over
    Cancel {
        /// Its id
        id: String,
    },
    /// Let an export that failed go on
    Resume {
        /// Its id
        id: String,
    },
    /// Remove an export and its files from the server
    Delete {
        /// Its id
        id: String,
    },
    /// Check downloaded files against their manifest, and that against its signature; offline
    Verify {
        /// Folder of the files
        dir: PathBuf,
        /// Key of the log: what `attestore checkpoint` and witnesses know it by
        #[arg(long)]
        vkey: String,
        /// How to print the result
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct GetArgs {
    #[command(flatten)]
    pub on: OnTenant,
    /// Seq or id
    pub record: String,
    /// Print the `.tlog-proof` instead of the record
    #[arg(long)]
    pub proof: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct VerifyArgs {
    #[command(subcommand)]
    pub what: Option<VerifyWhat>,
    #[command(flatten)]
    pub on: OnTenant,
    /// Verify this evidence bundle, offline, instead of a running server
    #[arg(requires = "vkey", conflicts_with_all = ["data", "proof"])]
    pub bundle: Option<PathBuf>,
    /// Verify this data directory, which no server uses, instead of a running server
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Verify a `.tlog-proof` file, offline
    #[arg(long, requires = "vkey", conflicts_with = "data")]
    pub proof: Option<PathBuf>,
    /// Key that checkpoints must be signed with; default: the one that the server tells
    #[arg(long)]
    pub vkey: Option<String>,
    /// A checkpoint saved earlier, which the log must extend
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// Records to open and check against their commitments when a server is verified; 0 for all
    #[arg(long, default_value_t = 100)]
    pub sample: u64,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum VerifyWhat {
    /// Look for what is left of somebody in a data directory that no server uses
    ///
    /// Opens everything that today's keys open (log, segments, indexes, exports, catalog, free pages of it too) and looks for the
    /// values in it and in the raw bytes of every file: as they are in any case, percent-encoded, escaped, in hexadecimal, base64 and
    /// UTF-16, and addresses and large numbers in binary. Exit code 3 if any is found. Look before an erasure too: what is not found then proves nothing after it.
    Erasure(ErasureCheckArgs),
}

#[derive(Debug, Args)]
pub struct ErasureCheckArgs {
    /// Data directory
    #[arg(long)]
    pub data: PathBuf,
    /// File of values to look for, one a line; `-` for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "value")]
    pub values: Option<PathBuf>,
    /// A value to look for; may be given several times. Others on this machine can read it while the command runs
    #[arg(long)]
    pub value: Vec<String>,
    /// Open the directory with the root keys of another data directory: an old copy with today's keys
    #[arg(long, value_name = "DIR")]
    pub keys_of: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    #[command(flatten)]
    pub on: OnTenant,
    /// Write the checkpoint to this file
    #[arg(long)]
    pub save: Option<PathBuf>,
    /// Check that the checkpoint extends the one in this file
    #[arg(long)]
    pub since: Option<PathBuf>,
    /// Key that it must be signed with; default: the one that the server tells
    #[arg(long)]
    pub vkey: Option<String>,
}

#[derive(Debug, Args)]
pub struct TenantArgs {
    #[command(flatten)]
    pub remote: Remote,
    #[command(subcommand)]
    pub action: TenantAction,
}

#[derive(Debug, Subcommand)]
pub enum TenantAction {
    /// Make a tenant
    Create {
        /// Name: lower-case letters, digits, `_` and `-`, at most 63
        name: String,
    },
    /// Show a tenant
    Show {
        /// Name
        name: String,
    },
    /// List tenants
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Destroy a tenant, with everything in it: this cannot be taken back
    Destroy {
        /// Name
        name: String,
        /// The name once more
        #[arg(long, value_name = "NAME")]
        confirm: String,
        /// Why; stays in the log of `_system` for good, so no names of people
        #[arg(long)]
        reason: String,
        /// Go below locked minimums in mode governance too, which takes a second person
        #[arg(long)]
        bypass_governance: bool,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Tenants that were destroyed
    Destroyed {
        #[command(subcommand)]
        action: DestroyedAction,
    },
    /// Move a tenant between servers, whole and verifiable
    Move {
        #[command(subcommand)]
        action: MoveAction,
    },
    /// What of a tenant's records is indexed
    Index {
        #[command(subcommand)]
        action: IndexAction,
    },
    /// What a tenant may use
    Quota {
        #[command(subcommand)]
        action: QuotaAction,
    },
}

#[derive(Debug, Subcommand)]
pub enum DestroyedAction {
    /// List them
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show one
    Show {
        /// The id that the tenant had
        id: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Get the receipt of a destruction: a DSSE envelope, signed by the log of `_system`
    Receipt {
        /// The id that the tenant had
        id: String,
        /// File to write it to, instead of the terminal
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum QuotaAction {
    /// Show it, and what is used of it
    Show {
        /// Name
        name: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Change it; what is not named stays, `none` takes a quota away
    Set(QuotaArgs),
}

#[derive(Debug, Args)]
pub struct QuotaArgs {
    /// Name
    pub name: String,
    /// Events appended in any second
    #[arg(long, value_name = "COUNT|none")]
    pub events_per_second: Option<String>,
    /// Bytes of events in a day of UTC
    #[arg(long, value_name = "BYTES|none")]
    pub bytes_per_day: Option<String>,
    /// Bytes on disk
    #[arg(long, value_name = "BYTES|none")]
    pub storage_bytes: Option<String>,
    /// Searches at once
    #[arg(long, value_name = "COUNT|none")]
    pub searches: Option<String>,
    /// Tails at once
    #[arg(long, value_name = "COUNT|none")]
    pub tails: Option<String>,
    /// Exports whose files are kept
    #[arg(long, value_name = "COUNT|none")]
    pub exports: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum IndexAction {
    /// Show it, and how far the index is
    Show {
        /// Name
        name: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Change it; what is not named stays. Records are indexed again in the background
    Set(IndexArgs),
}

#[derive(Debug, Args)]
pub struct IndexArgs {
    /// Name
    pub name: String,
    /// Readable strings: none, words, or positions (phrases without scanning)
    #[arg(long)]
    pub text: Option<String>,
    /// Exact values and words of `metadata`
    #[arg(long)]
    pub metadata: Option<bool>,
    /// Words of `payload`, of attributes, and of old and new values
    #[arg(long)]
    pub payload_text: Option<bool>,
    /// Values about people: none, exact (no words) or all
    #[arg(long)]
    pub personal: Option<String>,
    /// Also find, sort and aggregate by this path, e.g. `payload.amount`; may be given several times
    #[arg(long = "path")]
    pub add_paths: Vec<String>,
    /// No longer this path
    #[arg(long = "remove-path")]
    pub remove_paths: Vec<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct CredentialArgs {
    #[command(flatten)]
    pub remote: Remote,
    #[command(subcommand)]
    pub action: CredentialAction,
}

#[derive(Debug, Subcommand)]
pub enum CredentialAction {
    /// Make a credential; its secret is shown once
    Create {
        /// Tenant; may be given several times
        #[arg(
            long = "tenant",
            env = "ATTESTORE_TENANT",
            default_value = "default",
            conflicts_with = "all_tenants"
        )]
        tenants: Vec<String>,
        /// For every tenant and the instance itself
        #[arg(long)]
        all_tenants: bool,
        /// ingest, reader, investigator, auditor, privacy_officer, retention_manager, retention_bypass, key_admin, tenant_admin,
        /// operator or admin; may be given several times
        #[arg(long = "role", required = true)]
        roles: Vec<String>,
        /// What it is for
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// Network that it may be used from, e.g. 10.0.0.0/8; may be given several times [default: any]
        #[arg(long = "network")]
        networks: Vec<String>,
        /// RFC 3339 time after which it is refused
        #[arg(long)]
        expires_at: Option<String>,
        /// Write the secret to this new file (mode 0600) instead of the terminal
        #[arg(long)]
        secret_file: Option<PathBuf>,
    },
    /// List credentials, without secrets
    List {
        /// Those of this tenant alone
        #[arg(
            long,
            env = "ATTESTORE_TENANT",
            default_value = "default",
            conflicts_with = "all"
        )]
        tenant: String,
        /// All that the caller may know of, those of several tenants and of the instance too
        #[arg(long)]
        all: bool,
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show a credential, without its secret
    Show {
        /// Its id
        id: String,
    },
    /// Give a credential a new secret, which is shown once
    Rotate {
        /// Its id
        id: String,
        /// Seconds for which the secret before works too
        #[arg(long, default_value_t = 0)]
        overlap_s: u64,
        /// Write the secret to this new file (mode 0600) instead of the terminal
        #[arg(long)]
        secret_file: Option<PathBuf>,
    },
    /// Revoke a credential
    Revoke {
        /// Only if it is a credential of this tenant alone
        #[arg(long)]
        tenant: Option<String>,
        /// Its id
        id: String,
    },
    /// Make a new admin credential with access to the data directory and its root key; the server must be stopped
    Bootstrap {
        /// Data directory
        #[arg(long, env = "ATTESTORE_DATA", default_value = "attestore-data")]
        data: PathBuf,
        /// The head register, if the server uses one outside of the data directory
        #[arg(long, env = "ATTESTORE_HEAD_REGISTER")]
        head_register: Option<PathBuf>,
        /// Write the secret to this new file (mode 0600) instead of the terminal
        #[arg(long)]
        secret_file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct EraseArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: EraseAction,
}

#[derive(Debug, Subcommand)]
pub enum EraseAction {
    /// Erase data subjects, or whole records; wait until it is done
    Run {
        /// Whom, as events name them; one person may be several
        #[arg(
            long,
            value_name = "TYPE:ID",
            required_unless_present = "seq",
            conflicts_with = "seq"
        )]
        subject: Vec<String>,
        /// Seqs of whole records of one class; they cannot be brought back
        #[arg(long, conflicts_with = "undo_s")]
        seq: Vec<u64>,
        /// On what ground; it stays in the log for good, so name nobody
        #[arg(long)]
        basis: String,
        /// For how many seconds it may be taken back; the data is hidden meanwhile
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        undo_s: u64,
        /// Also records below a minimum in mode governance; takes a second person
        #[arg(long, requires = "seq")]
        bypass_governance: bool,
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// List erasures
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show how far an erasure is
    Show {
        /// Id of the erasure
        id: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Fetch the certificate of an erasure
    Certificate {
        /// Id of the erasure
        id: String,
        /// Write it to this file
        #[arg(long, short = 'o')]
        out: Option<PathBuf>,
    },
    /// Take an erasure back, in time
    Undo {
        /// Id of the erasure
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct RestrictArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: RestrictAction,
}

#[derive(Debug, Subcommand)]
pub enum RestrictAction {
    /// Restrict the reading of data about people
    Run {
        /// Whose, as events name them; one person may be several
        #[arg(long, value_name = "TYPE:ID", required = true)]
        subject: Vec<String>,
        /// Why; it stays in the log for good, so name nobody
        #[arg(long)]
        reason: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// List restrictions
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// End a restriction
    End {
        /// Id of the restriction
        id: String,
        /// Why; it stays in the log for good, so name nobody
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    pub remote: Remote,
    /// Tenant
    #[arg(long, env = "ATTESTORE_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    #[command(subcommand)]
    pub action: KeyAction,
}

#[derive(Debug, Args)]
pub struct MoveRootArgs {
    /// Data directory
    #[arg(long, env = "ATTESTORE_DATA", default_value = "attestore-data")]
    pub data: PathBuf,
    /// The head register, if the server uses one outside of the data directory
    #[arg(long, env = "ATTESTORE_HEAD_REGISTER")]
    pub head_register: Option<PathBuf>,
    /// Who is to hold it: file, passphrase, pkcs11 or vault
    #[arg(long)]
    pub to: String,
    /// File with the new holder's passphrase, PIN, token or secret id [default: as for settings, else the terminal]
    #[arg(long)]
    pub secret_file: Option<PathBuf>,
    /// Shared library of the security module
    #[arg(long)]
    pub module: Option<PathBuf>,
    /// Label of the token in it
    #[arg(long)]
    pub label: Option<String>,
    /// Serial number of the token
    #[arg(long)]
    pub serial: Option<String>,
    /// URL of Vault
    #[arg(long)]
    pub address: Option<String>,
    /// Where the transit engine is mounted in it [default: transit]
    #[arg(long)]
    pub mount: Option<String>,
    /// Namespace in it
    #[arg(long)]
    pub namespace: Option<String>,
    /// File with its certificate authorities, PEM
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// Role id of the AppRole that it is asked as [default: none, a token is used]
    #[arg(long)]
    pub role_id: Option<String>,
}

#[derive(Debug, Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    pub on: OnTenant,
    #[command(subcommand)]
    pub action: PurgeAction,
}

#[derive(Debug, Subcommand)]
pub enum PurgeAction {
    /// Purge what is due, or records of a class that are named
    Run(PurgeRunArgs),
    /// List the purges of the tenant, newest first
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show how a purge stands
    Show {
        /// Its id
        id: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Get the signed receipt of a purge: `attestore-verify statement` checks it
    Receipt {
        /// Its id
        id: String,
        /// Write it to this file
        #[arg(long, short = 'o')]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct PurgeRunArgs {
    /// Retention class; all classes if not given, for what is due
    #[arg(long)]
    pub class: Option<u16>,
    /// Records received before this time (RFC 3339)
    #[arg(long, requires = "class", conflicts_with = "range")]
    pub before: Option<String>,
    /// Records with these seqs; may be given several times, ascending
    #[arg(long, requires = "class", value_name = "A..B", value_parser = seqs)]
    pub range: Vec<(u64, u64)>,
    /// Why; no names of people
    #[arg(long)]
    pub reason: Option<String>,
    /// Only tell what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Also records younger than the minimum of a policy that is not in compliance mode; takes a second person
    #[arg(long)]
    pub bypass_governance: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// List the keys of the tenant: since when and until when each is used, and the rotation under way; of _system, the root too
    List {
        /// Only the keys of the log, with the notes by which each names the next
        #[arg(long)]
        log: bool,
        /// How to print them
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Put a new key in force; for a while a former signing key signs too
    Rotate {
        /// Which: signing, tenant or buckets; of _system, root too, and buckets are those of all tenants
        #[arg(long, default_value = "signing", value_parser = ["signing", "tenant", "buckets", "root"])]
        what: String,
        /// Why; it stays in the log for good, so name nobody
        #[arg(long)]
        reason: Option<String>,
        /// Of a signing key: for how many seconds the former key signs too; 0 if others may have it [default: 604800, 7 days]
        #[arg(long, value_name = "SECONDS")]
        overlap_s: Option<u64>,
    },
    /// Destroy the former key that still signs, before its time
    Retire,
    /// Say that others may have a key: it is on record as not trusted, and rotated at once
    Compromised {
        /// Which: signing, tenant or buckets; of _system, root too
        #[arg(long, value_parser = ["signing", "tenant", "buckets", "root"])]
        key: String,
        /// What happened; it stays in the log for good, so name nobody
        #[arg(long)]
        reason: String,
        /// Since when (RFC 3339) [default: now]
        #[arg(long)]
        since: Option<String>,
    },
    /// Show or set for how long keys are used
    Policy {
        #[command(subcommand)]
        action: KeyPolicyAction,
    },
    /// Give the root key of a data directory another holder; the server must be stopped
    MoveRoot(Box<MoveRootArgs>),
}

#[derive(Debug, Subcommand)]
pub enum KeyPolicyAction {
    /// Show it
    Get {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Set it; what is not given is rotated only when somebody asks for it
    Set {
        /// Days of a tenant key, and of the keys of the pages that its keys lie in
        #[arg(long, value_name = "DAYS")]
        tenant_days: Option<u32>,
        /// Days of a signing key
        #[arg(long, value_name = "DAYS")]
        signing_days: Option<u32>,
        /// Days of the root, at most; of _system only
        #[arg(long, value_name = "DAYS")]
        root_days: Option<u32>,
        /// What new entries commit with: 1 BLAKE3, 2 HMAC-SHA-256 [default: as before]
        #[arg(long, value_name = "VERSION")]
        hash_version: Option<u8>,
        /// Only tell of keys whose time is over, and rotate none
        #[arg(long)]
        manual: bool,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct ForkArgs {
    /// Data directory
    #[arg(long, env = "ATTESTORE_DATA", default_value = "attestore-data")]
    pub data: PathBuf,
    /// The head register, if the server uses one outside of the data directory
    #[arg(long, env = "ATTESTORE_HEAD_REGISTER")]
    pub head_register: Option<PathBuf>,
    /// Tenant whose log is forked [default: all that were rolled back, `_system` among them]
    #[arg(long)]
    pub tenant: Option<String>,
    /// Why; it stays in the log for good, so name nobody
    #[arg(long)]
    pub reason: String,
    /// A signed checkpoint that somebody kept and the log does not extend, where no head register remembers one
    #[arg(long, value_name = "FILE", requires = "tenant")]
    pub checkpoint: Option<PathBuf>,
    /// Fork a log that contradicts nothing: for a copy of an instance that is to go its own way
    #[arg(long, requires = "tenant")]
    pub force: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct FsckArgs {
    /// Data directory
    #[arg(long, env = "ATTESTORE_DATA", default_value = "attestore-data")]
    pub data: PathBuf,
    /// The head register, if the server uses one outside of the data directory
    #[arg(long, env = "ATTESTORE_HEAD_REGISTER")]
    pub head_register: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub action: BenchAction,
}

#[derive(Debug, Subcommand)]
pub enum BenchAction {
    /// Durable appends beside the bare writes of the same sizes in the same folder
    Append(BenchAppendArgs),
    /// Ingest with indexing, flushes and compaction for a while, under load from another process
    Ingest(BenchIngestArgs),
    /// Questions over generated data, in process and over HTTP, warm and cold
    Search(BenchSearchArgs),
    /// Measure a full backup beside full ingest: what it costs appends, and how fast it is beside the bare disk
    Backup(BenchBackupArgs),
    /// Erasure of many people and a purge of half a tenant, while somebody appends
    Forget(BenchForgetArgs),
    /// The load of `ingest`
    #[command(hide = true)]
    Feed(FeedArgs),
    /// Write seeded, CloudTrail-shaped events, one JSON object a line
    Generate(GenerateArgs),
}

#[derive(Debug, Args, Clone)]
pub struct BenchAppendArgs {
    /// Folder to measure in; a temporary directory is made in it and removed
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// How many appenders at once; may be a list
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    pub clients: Vec<usize>,
    /// Events per append; may be a list
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
    pub batch: Vec<usize>,
    /// in-process, http, http-signed; in builds with `--features bench-costs` also https, and http-unguarded: without access control
    #[arg(long, value_delimiter = ',', default_values = ["in-process", "http"])]
    pub mode: Vec<String>,
    /// Seconds for each row
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// How often to measure everything, in turns
    #[arg(long, default_value_t = 1)]
    pub rounds: u32,
    /// Leave indexing off, to see what durability alone costs
    #[arg(long)]
    pub no_index: bool,
    /// Seed of the events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args, Clone)]
pub struct BenchIngestArgs {
    /// Folder to measure in; a temporary directory is made in it and removed
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Connections of the load generator
    #[arg(long, default_value_t = 8)]
    pub clients: usize,
    /// Events per request
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Events per second that the load generator sends; 0 for as many as the server takes
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
    /// Seconds that count
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Threads that ask heavy questions meanwhile
    #[arg(long, default_value_t = 0)]
    pub queries: usize,
    /// Seed of the events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print the result; json has a sample of every second
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args, Clone)]
pub struct BenchSearchArgs {
    /// Folder of a data set that is kept: made and filled by the first run, asked by all
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Without --data: folder to measure in; a temporary directory is made in it and removed
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Events to make
    #[arg(long, short = 'n', default_value_t = 1_000_000)]
    pub events: u64,
    /// cloudtrail or native
    #[arg(long, default_value = "cloudtrail")]
    pub shape: String,
    /// Index of readable strings: none, words, or positions for phrases too
    #[arg(long, default_value = "words")]
    pub text: String,
    /// in-process, http, or both
    #[arg(long, value_delimiter = ',', default_values = ["in-process", "http"])]
    pub mode: Vec<String>,
    /// Only questions whose name contains this
    #[arg(long)]
    pub query: Option<String>,
    /// Times that each question is asked warm, at most
    #[arg(long, default_value_t = 1000)]
    pub iterations: u64,
    /// Seconds for each question asked warm, at most
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Times that each question is asked cold; each time, the engine is opened anew
    #[arg(long, default_value_t = 10)]
    pub cold: u64,
    /// Seed of events and questions
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct BenchBackupArgs {
    /// Folder to measure in; a temporary directory is made in it and removed
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Folder for the backup, in a temporary directory that is removed [default: the same]
    #[arg(long)]
    pub to: Option<PathBuf>,
    /// Events to make
    #[arg(long, short = 'n', default_value_t = 1_000_000)]
    pub events: u64,
    /// Clients that append meanwhile
    #[arg(long, default_value_t = 4)]
    pub clients: usize,
    /// Events in one append
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Seconds of appends before
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Seed of the events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print the figures
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct BenchForgetArgs {
    /// Folder to measure in; a temporary directory is made in it and removed
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Events to make
    #[arg(long, short = 'n', default_value_t = 1_000_000)]
    pub events: u64,
    /// People to erase, at most 1,000
    #[arg(long, default_value_t = 1000)]
    pub subjects: usize,
    /// How many of them a request names
    #[arg(long, default_value_t = 1000)]
    pub per_request: usize,
    /// Seconds of appends before; so many that flushes and compaction have their share of them
    #[arg(long, default_value_t = 300)]
    pub seconds: u64,
    /// Seed of the events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print the figures
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args, Clone)]
pub struct FeedArgs {
    /// Address of the server
    #[arg(long)]
    pub address: String,
    /// Credential (bearer token)
    #[arg(long, env = "ATTESTORE_CREDENTIAL", hide_env_values = true)]
    pub credential: Option<String>,
    /// Tenant
    #[arg(long)]
    pub tenant: String,
    /// Connections
    #[arg(long)]
    pub clients: usize,
    /// Events per request
    #[arg(long)]
    pub batch: usize,
    /// Events per second; 0 for as many as go
    #[arg(long)]
    pub rate: u64,
    /// Seconds that do not count
    #[arg(long)]
    pub warm_up: u64,
    /// Seconds that count
    #[arg(long)]
    pub seconds: u64,
    /// Seed of the events
    #[arg(long)]
    pub seed: u64,
}

#[derive(Debug, Args, Clone)]
pub struct GenerateArgs {
    /// Number of events
    #[arg(long, short = 'n', default_value_t = 1000)]
    pub count: u64,
    /// Same seed, same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// cloudtrail (foreign records for `--mapping cloudtrail`) or native
    #[arg(long, default_value = "cloudtrail")]
    pub shape: String,
    /// Different actors, drawn by a Zipf law
    #[arg(long, default_value_t = 5000)]
    pub actors: u64,
    /// Different source addresses
    #[arg(long, default_value_t = 20_000)]
    pub addresses: u64,
    /// Time of the first event (RFC 3339)
    #[arg(long, default_value = "2026-01-01T00:00:00Z")]
    pub start: String,
    /// Milliseconds between events
    #[arg(long, default_value_t = 200)]
    pub step_ms: u64,
    /// File to write; standard output if absent
    #[arg(long, short = 'o')]
    pub out: Option<PathBuf>,
}

impl Default for GenerateArgs {
    fn default() -> Self {
        Self {
            count: 1000,
            seed: 1,
            shape: "cloudtrail".into(),
            actors: 5000,
            addresses: 20_000,
            start: "2026-01-01T00:00:00Z".into(),
            step_ms: 200,
            out: None,
        }
    }
}
