//! What is certified of an erasure that is done. It names nobody.

use serde_json::{Value, json};

use super::row::ErasureRow;
use crate::catalog::hex;
use crate::catalog::of_tenant::RowKey;
use crate::tenant::Tenant;

/// Type of the statement's predicate.
pub(super) const PREDICATE_TYPE: &str = "https://attestore.example/erasure/v1";

/// The predicate.
pub(super) fn predicate(tenant: &Tenant, key: &RowKey, row: &ErasureRow) -> Value {
    json!({
        "erasure": hex(&key.1),
        "origin": tenant.origin,
        "seq": row.control_seq,
        "basis": row.basis,
        "requestedBy": row.requested_by,
        "approvedBy": row.approved_by,
        "requestedMs": row.requested_ms,
        "suppressedSinceMs": row.suppressed_since_ms,
        "unreadableSinceMs": row.unreadable_since_ms,
        "termsGoneSinceMs": row.terms_gone_since_ms,
        "bytesGoneSinceMs": row.bytes_gone_since_ms,
        "subjects": row.number,
        "records": row.records,
        "destroyed": {
            "subjectKeys": row.number,
            "lookupKeys": row.number,
            "segmentsRewritten": row.segments,
            "bytesRewritten": row.bytes_rewritten,
            "exports": row.exports,
        },
        // Attestore makes no copies of root keys. Whether somebody else did it cannot know.
        "keyEscrow": "none configured",
        "medium": "best effort",
        "kept": ["public fields", "entries", "commitments without their salts", "search terms in _system"],
        "recipients": row.recipients,
    })
}
