//! What the caller trusts: the key of a log, or a policy of logs and witnesses. Never taken from what is verified.

use attestore_tlog::{
    Checkpoint, CheckpointError, NoteError, Policy, PolicyCheckError, SignedNote, VerifierKey,
    open_checkpoint,
};
use serde::Serialize;

use crate::as_text;

/// Decides which checkpoints are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The log with this key, whoever witnessed it.
    Key(VerifierKey),
    /// The logs of a policy, or the one of `key`, if the policy's quorum of witnesses cosigned.
    Policy {
        /// Witnesses and quorum; and logs, unless there is a key.
        policy: Policy,
        /// The log.
        key: Option<VerifierKey>,
    },
}

/// A checkpoint that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Witnesses of the policy that cosigned it.
    pub witnesses: Vec<Witnessed>,
    /// Witnesses of the policy whose cosignature is there, but of a kind that this build cannot verify. They count for nothing.
    pub unverified: Vec<String>,
}

/// A witness's cosignature that verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// Its name in the policy.
    pub witness: String,
    /// When it cosigned, seconds since 1970; 0 where the kind of cosignature does not say.
    pub time_s: u64,
}

/// Says why a note is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum TrustError {
    /// The note is malformed, or not signed by the log.
    #[error("{error}")]
    Checkpoint {
        /// What is wrong with it.
        #[serde(serialize_with = "as_text")]
        error: CheckpointError,
    },
    /// The policy does not know the log, or a witness's line is no cosignature.
    #[error("{error}")]
    Policy {
        /// What is wrong.
        #[serde(serialize_with = "as_text")]
        error: PolicyCheckError,
    },
    /// Too few witnesses of the policy cosigned it.
    #[error("the quorum of witnesses is not met: cosigned by {}", Names(cosigned))]
    Quorum {
        /// Witnesses that did.
        cosigned: Vec<String>,
    },
}

struct Names<'a>(&'a [String]);

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            f.write_str("nobody")
        } else {
            f.write_str(&self.0.join(", "))
        }
    }
}

impl Trust {
    /// Opens a signed checkpoint.
    ///
    /// # Errors
    /// [`TrustError`] unless it is signed by a log that is trusted, and witnessed as the policy demands.
    pub fn open(&self, note: &str) -> Result<Believed, TrustError> {
        match self {
            Self::Key(key) => {
                let checkpoint =
                    open_checkpoint(note, key).map_err(|error| TrustError::Checkpoint { error })?;
                Ok(Believed {
                    checkpoint,
                    witnesses: Vec::new(),
                    unverified: Vec::new(),
                })
            }
            Self::Policy { policy, key } => judged(policy, key.as_ref(), note),
        }
    }

    /// Opens another note that the log of that origin signed, and returns its text. Nobody witnesses such notes.
    ///
    /// # Errors
    /// [`NoteError`] unless a trusted key of the log signed it.
    pub fn open_note(&self, note: &str, origin: &str) -> Result<String, NoteError> {
        let mut failed = NoteError::UnknownKey;
        for key in self.keys().filter(|key| key.name() == origin) {
            match SignedNote::open(note, key) {
                Ok(note) => return Ok(note.text().to_owned()),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The keys of logs that are trusted.
    pub fn keys(&self) -> impl Iterator<Item = &VerifierKey> {
        let (key, logs) = match self {
            Self::Key(key) => (Some(key), [].as_slice()),
            Self::Policy { policy, key: None } => (None, policy.logs()),
            Self::Policy { key, .. } => (key.as_ref(), [].as_slice()),
        };
        key.into_iter().chain(logs.iter().map(|log| log.key()))
    }
}

fn judged(policy: &Policy, key: Option<&VerifierKey>, note: &str) -> Result<Believed, TrustError> {
    let malformed = |error: CheckpointError| TrustError::Checkpoint { error };
    let note = SignedNote::parse(note).map_err(|error| malformed(error.into()))?;
    let verdict = match key {
        Some(key) => policy.check_with_key(&note, key),
        None => {
            let checkpoint = Checkpoint::from_text(note.text()).map_err(malformed)?;
            policy.check(&note, checkpoint.origin())
        }
    };
    let verdict = verdict.map_err(|error| TrustError::Policy { error })?;
    let witnesses = verdict.cosigned.into_iter().map(|cosigned| Witnessed {
        witness: cosigned.witness,
        time_s: cosigned.time_s,
    });
    let witnesses: Vec<_> = witnesses.collect();
    if !verdict.quorum {
        let cosigned = witnesses.into_iter().map(|cosigned| cosigned.witness).collect();
        return Err(TrustError::Quorum { cosigned });
    }
    Ok(Believed {
        checkpoint: verdict.checkpoint,
        witnesses,
        unverified: verdict.unverified,
    })
}
