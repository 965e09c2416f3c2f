//! What the catalog keeps of a hold. JSON, so that a later version can add fields.

use attestore_keys::Entropy;
use serde::{Deserialize, Serialize};

use super::spec::Sealed;
use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::{Update, tables};
use crate::error::Result;
use crate::forget::sealed;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// A hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HoldRow {
    pub(super) state: RowState,
    /// What it is about, as the log says.
    pub(super) matter: String,
    /// Query, actor, subject and reasons: they may name people.
    pub(super) sealed: String,
    /// Whether newer records may match.
    pub(super) asks: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) classes: Vec<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) review_ms: Option<u64>,
    pub(super) placed_by: String,
    pub(super) placed_ms: u64,
    /// Size of the log before it was placed: its records are not below.
    pub(super) from: u64,
    /// Seq of the first record of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<u64>,
    /// Every match below it is in the ranges.
    pub(super) until: u64,
    /// Ranges.
    pub(super) ranges: u64,
    /// Seqs in them.
    pub(super) records: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<ReleaseRow>,
}

/// How far a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RowState {
    /// In force; the log may not have all of it yet.
    Placing,
    /// In force.
    Active,
    /// In force; the log may have its release already.
    Releasing,
    /// Over.
    Released,
}

/// The release of a hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReleaseRow {
    /// Who stands for it.
    pub(super) approved_by: Vec<String>,
    pub(super) by: String,
    pub(super) ms: u64,
    /// Size of the log before: its record is not below.
    pub(super) from: u64,
    /// Seq of its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<u64>,
}

impl HoldRow {
    /// The part that may name people.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn open(&self, tenant: &Tenant, id: &ThingId) -> Result<Sealed> {
        sealed::open(tenant, CONTEXT, id, &self.sealed)
    }
}

/// Seals the part that may name people.
///
/// # Errors
/// When it does not serialise.
pub(super) fn seal(inner: &Inner, tenant: &Tenant, id: &ThingId, part: &Sealed) -> Result<String> {
    sealed::seal(tenant, CONTEXT, id, &*inner.entropy, part)
}

/// Seals what is not under the tenant's current key anew, of every hold. The caller holds [`Tenant::deciding`], and lets memory know.
///
/// # Errors
/// As writes; damage.
pub(crate) fn seal_again(update: &Update<'_>, tenant: &Tenant, entropy: &dyn Entropy) -> Result<()> {
    for (id, mut row) in of_tenant::stored_of::<HoldRow>(update, tables::HOLDS, &tenant.id)? {
        if let Some(sealed) = sealed::again(tenant, CONTEXT, &id, entropy, &row.sealed)? {
            row.sealed = sealed;
            of_tenant::put(update, tables::HOLDS, &(tenant.id, id), &row)?;
        }
    }
    Ok(())
}

const CONTEXT: &str = "attestore 2026 hold v1";
