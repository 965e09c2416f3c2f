//! Control records: what the server itself writes into a tenant's log (kinds other than event).
//!
//! # Format
//! `{"v":1,"id":"…","tenant":"…","protocol":"internal","credential":"…","privacy":0,"control":{"type":"…",…}}`
//!
//! They have no personal groups and hold no identifiers of people.

use serde::Serialize;

use crate::group::Envelope;

/// Encodes the public bytes of a control record. `control` serialises to an object with a string `type`.
///
/// # Errors
/// When `control` does not serialise to such an object.
pub fn encode<T: Serialize>(envelope: &Envelope<'_>, control: &T) -> Result<Vec<u8>, ControlError> {
    let _ = (envelope, control);
    todo!()
}

/// A control record that cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The value does not serialise.
    #[error("control record does not serialise: {0}")]
    Serialise(#[from] serde_json::Error),
    /// The value is not an object with a string `type`.
    #[error("a control record is an object with a string `type`")]
    Shape,
}
