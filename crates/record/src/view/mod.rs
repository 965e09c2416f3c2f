//! From stored bytes back to events, and to the values that an index needs.
//!
//! A record's public group says which fields are personal (`withheld`); its personal groups carry them by JSON
//! pointer. Rebuilding puts them back where they were. Stored bytes are checked here as any input is: a personal
//! group of another record is an error, never a panic. Taking the values for an index checks less: form and known
//! names, but not the inside of free-form values nor that names occur once.
//!
//! # Errors
//! [`ViewError`] names what does not fit. It means damage or a mix-up: these bytes were written by the encoder.

mod disclose;
mod fields;
mod open;
mod rebuild;
mod skim;

pub use disclose::{About, Disclosed, Part, SHARED_MARKER, THIRD_PARTY_MARKER, disclose};
pub use fields::{FieldValues, Fields, fields, leaf_strings};
pub use open::{Body, Opened, handles, is_whole, open};
pub use rebuild::{PERSONAL_MARKER, rebuild};

use crate::event::{ErrorCode, EventError};

/// Stored bytes that are not the groups of one record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record's groups: {0}")]
pub struct ViewError(pub(crate) EventError);

impl From<Box<EventError>> for ViewError {
    fn from(error: Box<EventError>) -> Self {
        Self(*error)
    }
}

/// A personal group that does not belong to the public one.
fn misfit(pointer: &str) -> Box<EventError> {
    let mut error = EventError::new(
        ErrorCode::InvalidValue,
        "the public group withholds no such field",
    );
    pointer.clone_into(&mut error.path);
    error
}
