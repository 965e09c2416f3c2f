//! The keys of a log in memory.

use attestore_keys::SigningKey;
use attestore_tlog::{Checkpoint, CheckpointError, NoteSigner, VerifierKey, open_checkpoint, sign_note};

use super::row::FormerRow;
use crate::heads::checkpoint::Signer;
use crate::{Error, Result};

/// What signs for a log, and what did.
pub struct Signing {
    /// The key in force.
    pub current: SigningKey,
    /// The key before it, while it still signs too.
    pub(super) retiring: Option<SigningKey>,
    /// Keys before the current one, the oldest first.
    pub(super) former: Vec<Former>,
}

/// A key before the current one.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) key: VerifierKey,
    pub(super) until: u64,
    pub(super) handover: String,
}

impl Signing {
    pub(crate) fn new(
        current: SigningKey,
        retiring: Option<SigningKey>,
        former: &[FormerRow],
    ) -> Result<Self> {
        let former = former.iter().map(Former::of).collect::<Result<_>>()?;
        Ok(Self {
            current,
            retiring,
            former,
        })
    }

    /// The current key's vkey.
    pub(crate) fn verifier(&self, origin: &str) -> VerifierKey {
        VerifierKey::new(origin, self.current.public()).expect("an origin is a key name")
    }

    /// Origins that the log had before its last fork.
    pub(crate) fn former_origins(&self) -> impl Iterator<Item = &str> {
        self.former.iter().map(|former| former.key.name())
    }

    /// Signs a checkpoint with every key that signs; the first signature is the current key's.
    pub(crate) fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<String, CheckpointError> {
        let name = checkpoint.origin();
        let signers: Vec<_> = [Some(&self.current), self.retiring.as_ref()]
            .into_iter()
            .flatten()
            .map(|key| Signer { name, key })
            .collect();
        let signers: Vec<&dyn NoteSigner> = signers.iter().map(|signer| signer as &dyn NoteSigner).collect();
        Ok(sign_note(&checkpoint.to_text(), &signers)?)
    }

    /// Opens a checkpoint of this log by any key that it has or had.
    pub(crate) fn open(&self, origin: &str, note: &str) -> Result<Checkpoint, CheckpointError> {
        let former = self.former.iter().map(|former| &former.key);
        let former = former.filter(|key| key.name() == origin);
        let opened = open_checkpoint(note, &self.verifier(origin));
        former
            .map(|key| open_checkpoint(note, key))
            .fold(opened, |opened, other| opened.or(other))
    }
}

impl Former {
    fn of(row: &FormerRow) -> Result<Self> {
        let key = VerifierKey::parse(&row.vkey)
            .map_err(|error| Error::damage("catalog", 0, format!("former key of a log: {error}")))?;
        Ok(Self {
            key,
            until: row.until,
            handover: row.handover.clone(),
        })
    }
}
