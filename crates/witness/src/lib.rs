//! Witnesses of logs (C2SP tlog-witness): whoever keeps a log's signed heads apart from the log, so that it cannot show different
//! people different histories, nor take one back.
//!
//! - [`Witness`], [`Identity`]: a witness; it cosigns what extends everything that it cosigned before.
//! - [`client::Submitter`]: sends checkpoints to one witness and brings back cosignatures that verified; [`client::Panel`]: to all
//!   witnesses of a policy.
//! - [`mirror::Mirror`]: a copy of a log, checked step by step.
//! - [`Request`]: the body of `add-checkpoint`, written and read.
//!
//! Architecture invariant: nothing is cosigned and nothing accepted in doubt. This crate knows no engine and no routes; files,
//! time and keys are passed in.

mod answer;
pub mod client;
mod evidence;
mod files;
mod identity;
pub mod mirror;
mod request;
mod store;
#[cfg(test)]
mod tests;
mod witness;

pub use answer::Answer;
pub use evidence::{FILES_MAX, Reason, misbehaviour};
pub use identity::{Identity, IdentityError};
pub use request::{PROOF_LINES_MAX, REQUEST_BYTES_MAX, Request, RequestError, SIZE_TYPE, parse_size};
pub use store::{Seen, StoreError, origin_hash};
pub use witness::{LogStatus, Witness, seen};
