//! The command line.

use std::path::PathBuf;

use attestore_tlog::{Handover, HandoverError, Policy, VerifierKey};
use attestore_verify::{Believed, Trust, TrustError};
use clap::{Parser, Subcommand, ValueEnum};

use crate::failure::Failure;
use crate::files;

/// Checks offline what an Attestore server handed out: with a key or a policy that you trust, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "attestore-verify", version, propagate_version = true)]
pub struct Args {
    #[command(flatten)]
    pub trust: TrustArgs,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Command,
}

/// What is trusted. Keys and policies that lie in a bundle, an export or a log are never looked at for this.
#[derive(Debug, clap::Args)]
pub struct TrustArgs {
    /// Key of the log, got over a way that you trust more than the log.
    #[arg(long, global = true)]
    vkey: Option<String>,
    /// A file with a trust policy (C2SP tlog-policy): logs, witnesses, and the quorum that must have cosigned. With --vkey, its
    /// logs do not count.
    #[arg(long, global = true, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A note by which a key that is trusted names the one after it (`GET …/log/keys`): that one is trusted then. Several in
    /// their order; what is checked must be by the last, and by a former key only where an older checkpoint is asked for.
    #[arg(long, global = true, value_name = "FILE")]
    handover: Vec<PathBuf>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// What is checked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The answer to an append with `Prefer: receipt=signed`.
    Receipt {
        /// The JSON.
        file: PathBuf,
        /// What the record is: its opening, or a `.tlog-proof` that has it.
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },
    /// `.tlog-proof` files.
    Proof {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// An evidence bundle.
    Bundle {
        /// The file.
        file: PathBuf,
        /// Threads; as many as there are cores if not given.
        #[arg(long)]
        threads: Option<usize>,
    },
    /// Takes a record with its proof out of an evidence bundle, which is verified first.
    Extract {
        /// The bundle.
        file: PathBuf,
        /// The record.
        #[arg(long)]
        seq: u64,
        /// Where the `.tlog-proof` goes; must not be there yet.
        #[arg(long)]
        out: PathBuf,
    },
    /// The folder of a downloaded export.
    Export {
        /// The folder.
        folder: PathBuf,
    },
    /// A copy of a log: checkpoint, entry bundles and tiles as C2SP tlog-tiles has them.
    Log {
        /// The folder with `checkpoint` and `tile/`.
        folder: PathBuf,
        /// An earlier checkpoint that the log must extend.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Does not compare tiles, which are derived from the entries.
        #[arg(long)]
        no_tiles: bool,
    },
    /// Two checkpoints of a log, and the proof that the newer extends the older.
    Consistency {
        /// The older.
        old: PathBuf,
        /// The newer.
        new: PathBuf,
        /// The hashes: base64 or hexadecimal, one a line, or JSON with an array of them.
        proof: PathBuf,
    },
    /// A slot proof: that a witnessed round of the log of heads has the head of a tenant's log. Takes --vkey, the tenant's, and
    /// --policy, which names the log of heads.
    Heads(HeadsArgs),
    /// Keys of a log: that each is named by the one before it, from --vkey on through every --handover. Prints the last.
    Handover,
    /// A signed statement: the receipt of a purge, the certificate of an erasure.
    Statement {
        /// The DSSE envelope.
        file: PathBuf,
    },
    /// A proof that a log signed two checkpoints which contradict each other; with two checkpoints, makes it.
    Misbehaviour(MisbehaviourArgs),
}

/// Arguments of `heads`.
#[derive(Debug, clap::Args)]
pub struct HeadsArgs {
    /// The slot proof.
    pub file: PathBuf,
    /// One of an earlier round of the same log, whose head this one must extend.
    #[arg(long, value_name = "FILE")]
    pub earlier: Option<PathBuf>,
    /// The consistency proof between the two sizes, as for `consistency`. Not needed if the log did not grow.
    #[arg(long, value_name = "FILE", requires = "earlier")]
    pub proof: Option<PathBuf>,
}

/// Arguments of `misbehaviour`.
#[derive(Debug, clap::Args)]
pub struct MisbehaviourArgs {
    /// The proof; with --from, where it goes, and it must not be there yet.
    pub file: PathBuf,
    /// Two checkpoints of the log.
    #[arg(long, num_args = 2, value_names = ["CHECKPOINT", "CHECKPOINT"])]
    pub from: Vec<PathBuf>,
    /// For checkpoints of different sizes: a copy of the log that the larger one is of.
    #[arg(long, value_name = "FOLDER", requires = "from", conflicts_with = "proof")]
    pub log: Option<PathBuf>,
    /// For checkpoints of different sizes: the consistency proof that the log gave, which does not hold.
    #[arg(long, value_name = "FILE", requires = "from")]
    pub proof: Option<PathBuf>,
}

/// What is trusted of a log, key after key.
pub struct Chain {
    /// The key in force.
    pub now: Trust,
    /// What the handovers say, in their order.
    pub handovers: Vec<Handover>,
    /// The keys before, the oldest first.
    former: Vec<Trust>,
}

impl Chain {
    /// What was trusted at any time, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Trust> {
        self.former.iter().chain([&self.now])
    }

    /// Opens a checkpoint that may be by a former key.
    ///
    /// # Errors
    /// [`TrustError`] of the key in force if no key signed it.
    pub fn open_older(&self, note: &str) -> Result<Believed, TrustError> {
        let former = self.former.iter().find_map(|trust| trust.open(note).ok());
        former.map_or_else(|| self.now.open(note), Ok)
    }
}

impl TrustArgs {
    /// What the caller trusts, after all handovers.
    ///
    /// # Errors
    /// Exit code 2 without key and policy, and for malformed ones; 3 for a handover that no trusted key signed.
    pub fn trust(&self) -> Result<Trust, Failure> {
        Ok(self.chain()?.now)
    }

    /// What the caller trusts, before and after each handover.
    ///
    /// # Errors
    /// As [`TrustArgs::trust`].
    pub fn chain(&self) -> Result<Chain, Failure> {
        self.chain_from(self.first()?)
    }

    fn chain_from(&self, first: Trust) -> Result<Chain, Failure> {
        let mut chain = Chain {
            now: first,
            handovers: Vec::new(),
            former: Vec::new(),
        };
        for path in &self.handover {
            let note = files::read_text(path)?;
            let mut opened = Err(HandoverError::OtherLog);
            for key in chain.now.keys() {
                opened = opened.or_else(|_| Handover::open(&note, key));
            }
            let handover = opened.map_err(|error| Failure::doubt(format!("{}: {error}", path.display())))?;
            let key = handover.next.clone();
            let next = match &chain.now {
                Trust::Key(_) => Trust::Key(key),
                Trust::Policy { policy, .. } => Trust::Policy {
                    policy: policy.clone(),
                    key: Some(key),
                },
            };
            chain.former.push(std::mem::replace(&mut chain.now, next));
            chain.handovers.push(handover);
        }
        Ok(chain)
    }

    fn first(&self) -> Result<Trust, Failure> {
        let key = self.key()?;
        let Some(policy) = self.policy()? else {
            return key.map(Trust::Key).ok_or_else(|| {
                Failure::usage("--vkey or --policy is needed: what the file itself names is not trusted")
            });
        };
        if key.is_none() && policy.logs().is_empty() {
            return Err(Failure::usage("the policy names no log; give --vkey too"));
        }
        Ok(Trust::Policy { policy, key })
    }

    /// What the caller trusts for the log of a tenant, and for the log of heads.
    ///
    /// # Errors
    /// Exit code 2 unless there are both.
    pub fn tenant_and_heads(&self) -> Result<(Trust, Trust), Failure> {
        match (self.key()?, self.policy()?) {
            (Some(key), Some(policy)) if !policy.logs().is_empty() => {
                let tenant = self.chain_from(Trust::Key(key))?.now;
                Ok((tenant, Trust::Policy { policy, key: None }))
            }
            _ => Err(Failure::usage(
                "--vkey of the tenant's log and --policy with the log of heads are needed",
            )),
        }
    }

    fn key(&self) -> Result<Option<VerifierKey>, Failure> {
        let key = self.vkey.as_deref().map(|vkey| VerifierKey::parse(vkey.trim()));
        key.transpose()
            .map_err(|e| Failure::usage(format!("--vkey: {e}")))
    }

    fn policy(&self) -> Result<Option<Policy>, Failure> {
        let policy = self.policy.as_ref().map(|path| {
            Policy::parse(&files::read(path)?)
                .map_err(|e| Failure::usage(format!("--policy {}: {e}", path.display())))
        });
        policy.transpose()
    }
}
