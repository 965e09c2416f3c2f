//! Witnesses of logs (C2SP tlog-witness): whoever keeps a log's signed heads apart from the log, so that it cannot show different
//! people different histories, nor take one back.
//!
//! - [`client::Submitter`]: sends checkpoints to one witness and brings back cosignatures that verified.
//! - [`Request`]: the body of `add-checkpoint`, written and read.
//!
//! Architecture invariant: nothing is cosigned and nothing accepted in doubt. This crate knows no engine and no routes; files,
//! time and keys are passed in.

pub mod client;
mod request;

pub use request::{PROOF_LINES_MAX, REQUEST_BYTES_MAX, Request, RequestError, SIZE_TYPE, parse_size};
