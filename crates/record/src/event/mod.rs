//! The event: model, limits, errors and the parser that every protocol ends in.
//!
//! Received bytes are UTF-8 JSON, one object. Unknown fields, duplicate names, wrong types, lone surrogates and
//! fields that only the server sets are refused. An optional field that is `null` counts as absent.
//!
//! # Errors
//! [`EventError`]: a stable [`ErrorCode`] and the JSON pointer of the first offending place.

mod declared;
mod error;
pub(crate) mod leaf;
mod limits;
mod model;
mod parse;
pub(crate) mod time;
pub(crate) mod write;

pub use error::{ErrorCode, EventError};
pub use limits::{DATA_SUBJECTS_MAX, FREE_FORM_DEPTH_MAX, Limits};
pub use model::{
    Actor, Change, Classification, Context, DataSubject, Event, Http, Operation, Outcome, OutcomeReason,
    Principal, Raw, Severity, Source, Target, Text,
};
pub use parse::parse;
pub(crate) use parse::{parse_stored, read_stored};
