//! The body of `add-checkpoint`.
//!
//! # Format
//! ```text
//! old <size, decimal>
//! <base64(hash)>                  0 to 63 of them: the consistency proof
//!
//! <signed checkpoint, verbatim>
//! ```

use std::fmt;

use attestore_tlog::{Hash, SIZE_MAX};

/// Most proof lines that a body may have.
pub const PROOF_LINES_MAX: usize = 63;
/// Longest body that is read, in bytes.
pub const REQUEST_BYTES_MAX: usize = 256 << 10;
/// Media type of an answer that names the size the witness last cosigned.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

/// Asks for a cosignature. Displays as the body. What it claims is not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Size that the witness is thought to have cosigned last; 0 for none.
    pub old: u64,
    /// Consistency proof from there to the checkpoint.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// Says why a body is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It exceeds [`REQUEST_BYTES_MAX`].
    #[error("the body is too long")]
    TooLong,
    /// It is not UTF-8.
    #[error("the body is not UTF-8")]
    Utf8,
    /// The first line is not `old` and a size.
    #[error("the first line is not `old` and a tree size")]
    Old,
    /// A proof line is not base64 of 32 bytes.
    #[error("proof line {0} is not base64 of 32 bytes")]
    Proof(usize),
    /// There are more than [`PROOF_LINES_MAX`] proof lines.
    #[error("more than 63 proof lines")]
    TooManyLines,
    /// There is no empty line after the proof.
    #[error("no empty line and checkpoint after the proof")]
    Checkpoint,
}

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// [`RequestError`] for the first rule it breaks. Whether the checkpoint is one is not looked at.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLong);
        }
        let body = str::from_utf8(body).map_err(|_| RequestError::Utf8)?;
        let (first, mut rest) = body.split_once('\n').ok_or(RequestError::Old)?;
        let old = first
            .strip_prefix("old ")
            .and_then(decimal)
            .ok_or(RequestError::Old)?;
        let mut proof = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(RequestError::Checkpoint)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == PROOF_LINES_MAX {
                return Err(RequestError::TooManyLines);
            }
            proof.push(Hash::from_base64(line).ok_or(RequestError::Proof(proof.len()))?);
        }
        Ok(Self {
            old,
            proof,
            checkpoint: rest.to_owned(),
        })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads the body of a 409 of type [`SIZE_TYPE`]: a size and a newline.
#[must_use]
pub fn parse_size(body: &[u8]) -> Option<u64> {
    decimal(str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

/// A tree size in its one spelling.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = (canonical && digits).then(|| text.parse().ok())??;
    (number <= SIZE_MAX).then_some(number)
}
