//! Control records: what the server itself writes into a tenant's log (kinds other than event).
//!
//! # Format
//! `{"v":1,"id":"…","tenant":"…","protocol":"internal","credential":"…","privacy":0,"control":{"type":"…",…}}`
//!
//! They have no personal groups and hold no identifiers of people.
//!
//! What an auditor needs to judge why records are gone has fixed shapes: [`Control`]. Other controls (`type` says which) mean
//! nothing to that judgement.

mod erasure;
mod hold;
mod purge;
mod ranges;
mod retention;
mod tenant_heads;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use erasure::{Erasure, ErasureScope};
pub use hold::{Hold, HoldRelease};
pub use purge::{Purge, PurgeReason};
pub use ranges::{RANGES_MAX, Ranges, RangesError};
pub use retention::{Erasable, RetentionMode, RetentionPolicy};
pub use tenant_heads::{Import, TenantHeads};

use crate::Kind;
use crate::group::{Envelope, push_envelope};
use crate::json::reader::Reader;

/// The control of a record of a kind that decides about what may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// A retention policy of a class was set (kind `policy`).
    RetentionPolicy(RetentionPolicy),
    /// Records were purged (kind `purge`).
    Purge(Purge),
    /// A subject or whole records were erased (kind `erasure`).
    Erasure(Erasure),
    /// A legal hold was placed (kind `hold`).
    Hold(Hold),
    /// A legal hold was released (kind `hold`).
    HoldRelease(HoldRelease),
    /// Any other.
    #[serde(other)]
    Other,
}

impl Control {
    /// Reads the control of a record's public bytes. A type that belongs to another kind than the entry's is an error, so that
    /// what the tree says of a record and what its bytes say are one.
    ///
    /// # Errors
    /// [`ControlError::Serialise`] unless it has the shape of its type, [`ControlError::Kind`].
    pub fn parse(kind: Kind, public: &[u8]) -> Result<Self, ControlError> {
        let control: Self = serde_json::from_str(control_of(public)?.get())?;
        match control.kind() {
            Some(own) if own != kind => Err(ControlError::Kind),
            _ => Ok(control),
        }
    }

    /// The kind of records that have it; `None` of [`Control::Other`].
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::RetentionPolicy(_) => Some(Kind::Policy),
            Self::Purge(_) => Some(Kind::Purge),
            Self::Erasure(_) => Some(Kind::Erasure),
            Self::Hold(_) | Self::HoldRelease(_) => Some(Kind::Hold),
            Self::Other => None,
        }
    }
}

/// The control in a record's public bytes.
fn control_of(public: &[u8]) -> Result<&RawValue, ControlError> {
    #[derive(Deserialize)]
    struct Public<'a> {
        #[serde(borrow)]
        control: &'a RawValue,
    }
    let public: Public<'_> = serde_json::from_slice(public)?;
    Ok(public.control)
}

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
    /// The control belongs to records of another kind.
    #[error("control belongs to another kind of record")]
    Kind,
    /// The value is not an object with a string `type`.
    #[error("a control record is an object with a string `type`")]
    Shape,
}
