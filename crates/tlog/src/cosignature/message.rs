//! The bytes that a cosignature signs.

use alloc::{format, vec::Vec};

use crate::checkpoint::Checkpoint;

/// Message of an Ed25519 cosignature.
pub(super) fn ed25519(text: &str, time_s: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time_s}\n{text}").into_bytes()
}

/// Message of an ML-DSA-44 cosignature of a whole checkpoint; `None` if a name is longer than the message can say.
pub(super) fn ml_dsa_44(cosigner: &str, checkpoint: &Checkpoint, time_s: u64) -> Option<Vec<u8>> {
    let mut message = LABEL.to_vec();
    opaque(&mut message, cosigner)?;
    message.extend_from_slice(&time_s.to_be_bytes());
    opaque(&mut message, checkpoint.origin())?;
    message.extend_from_slice(&0u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size().to_be_bytes());
    message.extend_from_slice(checkpoint.root().as_bytes());
    Some(message)
}

fn opaque(message: &mut Vec<u8>, text: &str) -> Option<()> {
    message.push(u8::try_from(text.len()).ok().filter(|length| *length > 0)?);
    message.extend_from_slice(text.as_bytes());
    Some(())
}

const LABEL: &[u8; 12] = b"subtree/v1\n\0";
