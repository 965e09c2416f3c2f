//! Statements that a log's key signs: receipts of purges, certificates of erasures.

use attestore_verify::statement::{Digest, Statement, Subject};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// Signs a statement about a record of the tenant's log, as its keys are now; an in-toto Statement in a DSSE envelope.
///
/// `leaf` is the hash of the record's leaf.
///
/// # Errors
/// When the predicate does not serialise.
pub(crate) fn signed(
    tenant: &Tenant,
    seq: u64,
    leaf: &[u8; 32],
    predicate_type: &str,
    predicate: Value,
) -> Result<String> {
    let subject = Subject {
        name: format!("{} record {seq}", tenant.origin),
        digest: Digest {
            sha256: crate::catalog::hex(leaf),
        },
    };
    let statement = Statement::new(vec![subject], predicate_type, predicate);
    let _unchanged = tenant.keys.changing.read();
    let signing = tenant.keys.signing.load();
    signing
        .with_signers(&tenant.origin, |signers| statement.sign(signers))
        .map_err(|error| Error::Io(error.to_string()))
}
