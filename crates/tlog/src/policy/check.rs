//! Judges a checkpoint by a policy.

use alloc::{string::String, string::ToString, vec::Vec};

use super::{Policy, PolicyWitness};
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    cosignature::CosignatureError,
    note::{NoteError, SignedNote, VerifierKey},
};

/// What a policy says of a checkpoint that the log signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Who cosigned it, in the policy's order of witnesses.
    pub cosigned: Vec<Cosigned>,
    /// Names of witnesses whose cosignature is there, and which this build cannot verify; they count for nothing.
    pub unverified: Vec<String>,
    /// Whether the quorum holds.
    pub quorum: bool,
}

/// A cosignature that verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness's name in the policy.
    pub witness: String,
    /// When, seconds since 1970; 0 where an ML-DSA-44 cosigner does not say.
    pub time_s: u64,
}

/// Says why a checkpoint cannot be judged, or is not to be believed at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyCheckError {
    /// The policy knows no log of that origin.
    #[error("the policy knows no log `{0}`")]
    UnknownLog(String),
    /// The log did not sign it, the signature does not verify, or the text is no checkpoint of the log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is a line by a witness of the policy that is no valid cosignature: the note is not to be believed.
    #[error("cosignature of witness `{witness}`: {error}")]
    Cosignature {
        /// The witness's name in the policy.
        witness: String,
        /// What is wrong.
        error: CosignatureError,
    },
}

impl Policy {
    /// Judges a checkpoint of the log `origin`, which must be one of the policy's.
    ///
    /// Whether the quorum holds is for the caller to look at: [`Verdict::quorum`].
    ///
    /// # Errors
    /// [`PolicyCheckError`]; also when a known key's signature does not verify, though others would do.
    pub fn check(&self, note: &SignedNote, origin: &str) -> Result<Verdict, PolicyCheckError> {
        let logs = self.logs.iter().map(|log| &log.key);
        let keys: Vec<&VerifierKey> = logs.filter(|key| key.name() == origin).collect();
        if keys.is_empty() {
            return Err(PolicyCheckError::UnknownLog(origin.to_string()));
        }
        self.judge(note, &keys)
    }

    /// Judges a checkpoint of a log that is known from elsewhere. The policy's own logs are not looked at.
    ///
    /// # Errors
    /// As [`Policy::check`].
    pub fn check_with_key(&self, note: &SignedNote, log: &VerifierKey) -> Result<Verdict, PolicyCheckError> {
        self.judge(note, &[log])
    }

    fn judge(&self, note: &SignedNote, keys: &[&VerifierKey]) -> Result<Verdict, PolicyCheckError> {
        let checkpoint = open(note, keys)?;
        let mut verdict = Verdict {
            checkpoint,
            cosigned: Vec::new(),
            unverified: Vec::new(),
            quorum: false,
        };
        let mut witnessed = Vec::with_capacity(self.witnesses.len());
        for PolicyWitness { name, key, .. } in &self.witnesses {
            let time = note.cosigned_at(key);
            witnessed.push(time.is_ok());
            match time {
                Ok(time_s) => verdict.cosigned.push(Cosigned {
                    witness: name.clone(),
                    time_s,
                }),
                Err(CosignatureError::UnknownKey) => {}
                Err(CosignatureError::Unsupported) => verdict.unverified.push(name.clone()),
                Err(error) => {
                    return Err(PolicyCheckError::Cosignature {
                        witness: name.clone(),
                        error,
                    });
                }
            }
        }
        verdict.quorum = self.holds(|witness| witnessed.get(witness).copied().unwrap_or(false));
        Ok(verdict)
    }
}

/// Opens a checkpoint that one of the log's keys signed, and none of them badly.
fn open(note: &SignedNote, keys: &[&VerifierKey]) -> Result<Checkpoint, CheckpointError> {
    let mut signed = false;
    for key in keys {
        match note.verify(key) {
            Ok(()) => signed = true,
            Err(NoteError::UnknownKey) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !signed {
        return Err(NoteError::UnknownKey.into());
    }
    let checkpoint = Checkpoint::from_text(note.text())?;
    if keys.iter().any(|key| key.name() == checkpoint.origin()) {
        Ok(checkpoint)
    } else {
        Err(CheckpointError::OtherLog)
    }
}
