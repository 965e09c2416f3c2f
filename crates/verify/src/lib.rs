//! Checks what Attestore hands out, without trusting it: opened records, `.tlog-proof` files, receipts, exports, evidence bundles,
//! whole logs. What is trusted comes from the caller: [`Trust`].
//!
//! Small and synchronous: no server code, no network, no files, no keys but the log's public one. Bytes come in through
//! arguments and [`LogSource`]. Absence is failure: what a check needs and does not get is a finding, never a pass.
//!
//! - [`verify_opening`] recomputes the commitments of a record and compares them with its entry.
//! - [`verify_tlog_proof`] does so for a `.tlog-proof`, and proves that a signed tree holds the entry.
//! - [`verify_receipt`] checks the answer to an append that asked for a signed receipt, [`verify_export`] the files of an export.
//! - [`verify_slot_proof`] checks that the log of heads holds the head of a tenant's log, [`verify_later`] two such proofs together.
//! - [`bundle`] writes and checks evidence bundles: many records with one proof.
//! - [`LogVerifier`] recomputes the root of a whole log from its entries, and holds tiles, checkpoint and an earlier
//!   checkpoint against it.

pub mod bundle;
mod export;
mod heads;
mod log;
mod opening;
mod proof;
mod receipt;
pub mod statement;
mod trust;

pub use export::{ExportFiles, ExportReport, is_plain_name, verify_export};
pub use heads::{LaterFailure, SlotFailure, VerifiedSlot, verify_later, verify_slot_proof};
pub use log::{
    FINDINGS_MAX, Finding, Head, LogReport, LogSource, LogVerifier, Resource, SourceError, TimesReport,
};
pub use opening::{
    CodecError, GROUPS_MAX, GroupOpening, OPENING_VERSION, Opened, OpenedRecord, OpeningError, verify_opening,
};
pub use proof::{ProofFailure, Verified, verify_tlog_proof, verify_tlog_proof_with};
pub use receipt::{RECEIPT_BYTES_MAX, ReceiptEntry, ReceiptError, ReceiptReport, verify_receipt};

pub use trust::{Believed, Trust, TrustError, Witnessed};

use serde::Serializer;

/// Serialises through `Display`.
fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
