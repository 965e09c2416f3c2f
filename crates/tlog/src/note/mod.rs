//! Signed notes: a text with detached signatures below it (C2SP signed-note v1.0.0).
//!
//! # Format
//! ```text
//! text, ending in a newline
//!                                    the last empty line of the note separates them
//! — <key name> <base64(key id[4] ‖ signature)>
//! ```
//! UTF-8, no control characters but the newline. Signature lines of unknown keys are ignored; one of the known key that
//! does not verify spoils the note.

pub(crate) mod key;
mod line;
#[cfg(test)]
pub(crate) mod tests;

use alloc::{string::String, vec::Vec};

pub use key::{VerifierKey, VerifierKeyError, key_id};
pub use line::NoteSignature;

/// Most signature lines in a note that is read. The specification demands at least 16.
pub const SIGNATURES_MAX: usize = 100;
/// Longest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 1 << 20;

/// Signs notes with an Ed25519 key.
pub trait NoteSigner {
    /// Returns the key name: not empty, without Unicode spaces and `+`.
    fn name(&self) -> &str;
    /// Returns the Ed25519 public key.
    fn public(&self) -> [u8; 32];
    /// Signs with Ed25519 (RFC 8032).
    ///
    /// # Errors
    /// [`NoteError::Signer`] where the key is somewhere else and cannot be had now.
    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], NoteError>;
}

/// Holds a parsed note. Parsing verifies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// Says why a note is malformed or does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It exceeds [`NOTE_BYTES_MAX`].
    #[error("note is too long")]
    TooLong,
    /// It is not UTF-8.
    #[error("note is not UTF-8")]
    Utf8,
    /// It has a control character other than the newline.
    #[error("note has a control character")]
    Control,
    /// It has no text, no empty line before the signatures, or no final newline.
    #[error("note is malformed")]
    Malformed,
    /// It has no signature line.
    #[error("note has no signature")]
    Unsigned,
    /// It has more than [`SIGNATURES_MAX`] signature lines.
    #[error("note has too many signatures")]
    TooManySignatures,
    /// A signature line is malformed.
    #[error("signature line {0} of the note is malformed")]
    SignatureLine(usize),
    /// No signature is by the given key.
    #[error("note is not signed by the given key")]
    UnknownKey,
    /// A signature under the given key's name and id does not verify.
    #[error("signature of the note does not verify")]
    Signature,
    /// The signer's name is not a key name.
    #[error("signer has an invalid key name")]
    Name,
    /// The signer's key cannot be had now.
    #[error("the key that signs cannot be had")]
    Signer,
}

impl SignedNote {
    /// Parses a note.
    ///
    /// # Errors
    /// [`NoteError`] for the first rule it breaks.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        check_characters(note)?;
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        if lines.is_empty() {
            return Err(NoteError::Unsigned);
        }
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        if lines.split('\n').count() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(i, line)| NoteSignature::parse(line).ok_or(NoteError::SignatureLine(i)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.into(),
            signatures,
        })
    }

    /// Parses a note from bytes.
    ///
    /// # Errors
    /// [`NoteError::Utf8`], or as [`SignedNote::parse`].
    pub fn from_bytes(note: &[u8]) -> Result<Self, NoteError> {
        Self::parse(core::str::from_utf8(note).map_err(|_| NoteError::Utf8)?)
    }

    /// Parses a note and verifies that the key signed it: at least one signature under its name and id, and all of those
    /// valid.
    ///
    /// # Errors
    /// As [`SignedNote::parse`], [`NoteError::UnknownKey`] or [`NoteError::Signature`].
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let note = Self::parse(note)?;
        note.verify(key)?;
        Ok(note)
    }

    /// Verifies the signatures of one key and ignores all others.
    ///
    /// # Errors
    /// [`NoteError::UnknownKey`] if there is none, [`NoteError::Signature`] if one does not verify.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let mut known = self.signatures.iter().filter(|line| key.made(line)).peekable();
        known.peek().ok_or(NoteError::UnknownKey)?;
        let valid = known.all(|line| key.verify(self.text.as_bytes(), line.signature()));
        if valid { Ok(()) } else { Err(NoteError::Signature) }
    }

    /// Adds signature lines, each once: of the same name and id, the newer one stays.
    ///
    /// # Errors
    /// [`NoteError::TooManySignatures`]; the note is then as it was.
    pub fn add(&mut self, lines: &[NoteSignature]) -> Result<(), NoteError> {
        let mut signatures = self.signatures.clone();
        for line in lines {
            signatures.retain(|other| (other.name(), other.key_id()) != (line.name(), line.key_id()));
            signatures.push(line.clone());
        }
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures = signatures;
        Ok(())
    }

    /// Returns the text with no signature lines, for lines to be verified apart from those it has.
    #[must_use]
    pub fn without_signatures(&self) -> Self {
        Self {
            text: self.text.clone(),
            signatures: Vec::new(),
        }
    }

    /// Formats the whole note.
    #[must_use]
    pub fn to_note(&self) -> String {
        let mut note = self.text.clone();
        note.push('\n');
        self.signatures.iter().for_each(|line| push_line(&mut note, line));
        note
    }

    /// Returns the signed text with its final newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signature lines in their order.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

/// Signs `text` with each signer and formats the note.
///
/// # Errors
/// [`NoteError::Malformed`] or [`NoteError::Control`] if the text cannot be that of a note, [`NoteError::Name`] if a
/// signer's name cannot be that of a key, [`NoteError::Unsigned`] without signers, [`NoteError::TooManySignatures`].
pub fn sign_note(text: &str, signers: &[&dyn NoteSigner]) -> Result<String, NoteError> {
    if signers.is_empty() {
        return Err(NoteError::Unsigned);
    }
    if signers.len() > SIGNATURES_MAX {
        return Err(NoteError::TooManySignatures);
    }
    check_characters(text)?;
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed);
    }
    let mut note = String::with_capacity(text.len() + signers.len() * SIGNATURE_LINE_BYTES);
    note.push_str(text);
    note.push('\n');
    for signer in signers {
        let key = VerifierKey::new(signer.name(), signer.public()).map_err(|_| NoteError::Name)?;
        push_line(
            &mut note,
            &NoteSignature::new(key.name(), key.id(), &signer.sign(text.as_bytes())?),
        );
    }
    if note.len() > NOTE_BYTES_MAX {
        Err(NoteError::TooLong)
    } else {
        Ok(note)
    }
}

fn push_line(note: &mut String, line: &NoteSignature) {
    use core::fmt::Write;
    writeln!(note, "{line}").expect("a String takes everything");
}

/// A guess at the length of a signature line, to allocate once.
const SIGNATURE_LINE_BYTES: usize = 160;

fn check_characters(text: &str) -> Result<(), NoteError> {
    let control = text.bytes().any(|byte| byte < b' ' && byte != b'\n');
    if control { Err(NoteError::Control) } else { Ok(()) }
}
