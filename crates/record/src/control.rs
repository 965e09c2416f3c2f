//! Control records: what the server itself writes into a tenant's log (kinds other than event).
//!
//! # Format
//! `{"v":1,"id":"…","tenant":"…","protocol":"internal","credential":"…","privacy":0,"control":{"type":"…",…}}`
//!
//! They have no personal groups and hold no identifiers of people.

use serde::Serialize;

use crate::group::{Envelope, push_envelope};
use crate::json::reader::Reader;

const DEPTH_MAX: usize = 32;

/// Encodes the public bytes of a control record. `control` serialises to an object with a string `type`.
///
/// # Errors
/// When `control` does not serialise to such an object.
pub fn encode<T: Serialize>(envelope: &Envelope<'_>, control: &T) -> Result<Vec<u8>, ControlError> {
    let body = serde_json::to_vec(control)?;
    let mut reader = Reader::new(&body, DEPTH_MAX).map_err(|_| ControlError::Shape)?;
    let mut has_type = false;
    reader
        .object(|reader, name| {
            match name {
                "type" => has_type = reader.string().is_ok(),
                _ => drop(reader.raw()?),
            }
            Ok(())
        })
        .map_err(|_| ControlError::Shape)?;
    if !has_type {
        return Err(ControlError::Shape);
    }
    let mut out = Vec::with_capacity(body.len() + 224);
    push_envelope(&mut out, envelope, 0);
    out.extend_from_slice(b",\"control\":");
    out.extend_from_slice(&body);
    out.push(b'}');
    Ok(out)
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
