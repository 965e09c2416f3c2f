//! The keys of a log in memory.

use attestore_keys::SigningKey;
use attestore_tlog::{
    Checkpoint, CheckpointError, NoteError, NoteSigner, SignedNote, VerifierKey, open_checkpoint, sign_note,
};

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

    /// The vkeys of every key that the log has or had, the oldest first.
    pub(crate) fn vkeys(&self, origin: &str) -> Vec<String> {
        let former = self.former.iter().map(|former| former.key.to_string());
        former.chain([self.verifier(origin).to_string()]).collect()
    }

    /// Origins that the log had before its last fork.
    pub(crate) fn former_origins(&self) -> impl Iterator<Item = &str> {
        self.former.iter().map(|former| former.key.name())
    }

    /// Hands over every key that signs, as signers of notes of `origin`; the first is the current key.
    pub(crate) fn with_signers<T>(&self, origin: &str, sign: impl FnOnce(&[&dyn NoteSigner]) -> T) -> T {
        let signer = |key| Signer { name: origin, key };
        let current = signer(&self.current);
        match &self.retiring {
            Some(retiring) => sign(&[&current, &signer(retiring)]),
            None => sign(&[&current]),
        }
    }

    /// Signs a note.
    pub(crate) fn note(&self, origin: &str, text: &str) -> Result<String, NoteError> {
        self.with_signers(origin, |signers| sign_note(text, signers))
    }

    /// Signs a checkpoint that a key of this log signed before, maybe a former one; it keeps the signatures that it has.
    pub(crate) fn checkpoint_again(&self, origin: &str, note: &str) -> Result<String, CheckpointError> {
        self.open(origin, note)?;
        let mut signed = SignedNote::parse(note)?;
        let again = SignedNote::parse(&self.note(origin, signed.text())?)?;
        signed.add(again.signatures())?;
        Ok(signed.to_note())
    }

    /// Opens a checkpoint of this log by any key that it has or had; by one that it had, of no larger tree than that key may have signed:
    /// whoever has it now can sign what he likes.
    pub(crate) fn open(&self, origin: &str, note: &str) -> Result<Checkpoint, CheckpointError> {
        let opened = open_checkpoint(note, &self.verifier(origin));
        let retiring = self.retiring.as_ref().map(SigningKey::public);
        let former = self.former.iter().filter(|former| former.key.name() == origin);
        former
            .map(|former| {
                let checkpoint = open_checkpoint(note, &former.key)?;
                match checkpoint.size() <= former.until || retiring == Some(former.key.public()) {
                    true => Ok(checkpoint),
                    false => Err(CheckpointError::Note(NoteError::UnknownKey)),
                }
            })
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
