//! What the catalog keeps of approvals. JSON, so that a later version can add fields.

use attestore_keys::{Entropy, random_array};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OperationKind;
use super::operation::{Operation, canonical};
use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::{Update, hex, tables};
use crate::error::Result;
use crate::forget::sealed;
use crate::tenant::Tenant;

/// A request for approval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApprovalRow {
    pub(super) kind: OperationKind,
    /// SHA-256 over a salt and the act, hex.
    pub(super) operation: String,
    /// The act, which may name people; goes when the request has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<String>,
    pub(super) requested_by: String,
    pub(super) requested_ms: u64,
    pub(super) expires_ms: u64,
    pub(super) state: RowState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) decided_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) decided_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used_ms: Option<u64>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RowState {
    Requested,
    Approved,
    Refused,
    Used,
}

/// The sealed part: with the salt, the hash tells nothing to who has only that.
#[derive(Serialize, Deserialize)]
struct Sealed {
    salt: String,
    parameters: Value,
}

impl ApprovalRow {
    /// A new request.
    ///
    /// # Errors
    /// When the parameters do not serialise.
    pub(super) fn new(
        tenant: &Tenant,
        id: &ThingId,
        entropy: &dyn Entropy,
        operation: &Operation,
        requested_by: &str,
        (requested_ms, expires_ms): (u64, u64),
    ) -> Result<Self> {
        let sealed = Sealed {
            salt: hex(&random_array::<16>(entropy)),
            parameters: operation.parameters.clone(),
        };
        Ok(Self {
            kind: operation.kind,
            operation: hash(&sealed.salt, tenant, operation),
            sealed: Some(sealed::seal(tenant, CONTEXT, id, entropy, &sealed)?),
            requested_by: requested_by.to_owned(),
            requested_ms,
            expires_ms,
            state: RowState::Requested,
            decided_by: None,
            decided_ms: None,
            used_ms: None,
        })
    }

    /// Whether it still stands for an act.
    pub(super) fn is_open(&self, now_ms: u64) -> bool {
        matches!(self.state, RowState::Requested | RowState::Approved) && now_ms < self.expires_ms
    }

    /// The parameters of the act, while it is open.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn parameters(&self, tenant: &Tenant, id: &ThingId) -> Result<Option<Value>> {
        let Some(sealed) = &self.sealed else {
            return Ok(None);
        };
        let opened: Sealed = sealed::open(tenant, CONTEXT, id, sealed)?;
        Ok(Some(opened.parameters))
    }

    /// Whether it is for that act.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn is_for(&self, tenant: &Tenant, id: &ThingId, operation: &Operation) -> Result<bool> {
        let Some(sealed) = self.sealed.as_ref().filter(|_| self.kind == operation.kind) else {
            return Ok(false);
        };
        let opened: Sealed = sealed::open(tenant, CONTEXT, id, sealed)?;
        Ok(hash(&opened.salt, tenant, operation) == self.operation)
    }
}

/// Seals what is not under the tenant's current key anew, of every request.
///
/// # Errors
/// As writes; damage.
pub(crate) fn seal_again(update: &Update<'_>, tenant: &Tenant, entropy: &dyn Entropy) -> Result<()> {
    for (id, mut row) in of_tenant::stored_of::<ApprovalRow>(update, tables::APPROVALS, &tenant.id)? {
        let Some(sealed) = &row.sealed else { continue };
        if let Some(sealed) = sealed::again(tenant, CONTEXT, &id, entropy, sealed)? {
            row.sealed = Some(sealed);
            of_tenant::put(update, tables::APPROVALS, &(tenant.id, id), &row)?;
        }
    }
    Ok(())
}

/// Names an act.
fn hash(salt: &str, tenant: &Tenant, operation: &Operation) -> String {
    let parts = [
        "attestore operation v1",
        salt,
        &tenant.id.to_string(),
        operation.kind.name(),
        &canonical(&operation.parameters),
    ];
    attestore_export::sha256_hex(parts.join("\n").as_bytes())
}

const CONTEXT: &str = "attestore 2026 approval v1";
