//! What of a tenant's records is indexed: reading it, setting it, and how far the index is.

use std::sync::Arc;

use attestore_index::{IndexPolicy, Split};
use attestore_record::Kind;
use serde::Serialize;

use super::rebuild;
use crate::{
    Engine, Error,
    append::append_control,
    catalog::{SplitRow, TenantRow, hex},
    credentials::{Permission, Principal},
    error::Result,
    instance::Inner,
    tenant::Tenant,
};

/// How far a tenant's index is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexStatus {
    /// What of its records is indexed, or will be once nothing is pending.
    pub policy: IndexPolicy,
    /// Its segments, parts of shared files not counted.
    pub sets: u64,
    /// Those whose split is missing, damaged, of another field list or of another policy: scanned until it is built again.
    pub sets_pending: u64,
    /// Splits that were built again since the start.
    pub sets_rebuilt: u64,
    /// Records that are durable and not in a segment yet.
    pub tail_records: u64,
    /// Those of them that are in no split yet and were appended since the start. Searches index what they need themselves.
    pub lag_records: u64,
    /// Those of them that are in no split yet and were found by the last start.
    pub backlog_records: u64,
}

impl Engine {
    /// What of a tenant's records is indexed.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`].
    pub fn index_policy(&self, tenant: &str, by: &Principal) -> Result<IndexPolicy> {
        may_look(tenant, by)?;
        Ok(IndexPolicy::clone(&*self.inner.tenant(tenant)?.index_policy()))
    }

    /// Says how far a tenant's index is.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`].
    pub fn index_status(&self, tenant: &str, by: &Principal) -> Result<IndexStatus> {
        may_look(tenant, by)?;
        Ok(status(&self.inner, &*self.inner.tenant(tenant)?))
    }

    /// Sets what of a tenant's records is indexed. Durable on return, and logged in the tenant's own log as a policy record.
    /// Records that are indexed already are indexed again in the background; until then, what a query asks beyond the old policy
    /// is found by scanning.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`] for a policy that is not one, or as appends.
    pub fn set_index_policy(&self, tenant: &str, by: &Principal, policy: IndexPolicy) -> Result<IndexStatus> {
        by.check(tenant, Permission::ManageIndex)?;
        let policy = checked(policy)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let _one_at_a_time = inner.search.policies.lock();
        if *tenant.index_policy() == policy {
            return Ok(status(inner, &tenant));
        }
        let control = Control {
            ty: "index_policy",
            index: &policy,
        };
        // The log may tell of a policy that a crash then prevented, never the other way round.
        append_control(inner, &tenant, &by.id, Kind::Policy, &control)?;
        let stored = inner.catalog.update::<_, Error>(|update| {
            let mut row: TenantRow = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
            row.index.clone_from(&policy);
            update.put_tenant(&tenant.id, &row)
        });
        stored.inspect_err(|_| {
            if let Some(reason) = inner.catalog.poisoned() {
                inner.fail_stop(reason);
            }
        })?;
        tenant.index.store(Arc::new(policy));
        inner.search.published(&tenant);
        inner.search.rebuilds.look_at(&tenant.name);
        Ok(status(inner, &tenant))
    }
}

/// What a split says of itself, for its row.
pub(crate) fn split_row(split: &Split) -> SplitRow {
    let summary = split.summary();
    SplitRow {
        policy: digest(split.policy()),
        min_occurred_ns: summary.min_occurred_ns,
        max_occurred_ns: summary.max_occurred_ns,
    }
}

/// Names this program's field list and a policy.
pub(crate) fn digest(policy: &IndexPolicy) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("attestore 2026 index policy v1");
    hasher.update(&attestore_index::FIELD_LIST.to_le_bytes());
    // A policy is plain data: it always serialises.
    hasher.update(&serde_json::to_vec(policy).unwrap_or_default());
    let mut digest = [0; 8];
    hasher.finalize_xof().fill(&mut digest);
    hex(&digest)
}

/// Both who reads the records and who manages the tenant.
fn may_look(tenant: &str, by: &Principal) -> Result<()> {
    by.check(tenant, Permission::Search)
        .or_else(|_| by.check(tenant, Permission::ManageIndex))
}

fn checked(policy: IndexPolicy) -> Result<IndexPolicy> {
    policy.checked().map_err(|error| Error::Invalid {
        code: "invalid_index_policy",
        message: error.to_string(),
    })
}

fn status(inner: &Inner, tenant: &Tenant) -> IndexStatus {
    let view = tenant.view();
    let current = digest(&tenant.index_policy());
    let own = || view.flushed.iter().filter(|set| !set.seg.is_part());
    let pending = own().filter(|set| rebuild::is_pending(inner, tenant, set, &current));
    IndexStatus {
        policy: IndexPolicy::clone(&tenant.index_policy()),
        sets: own().count() as u64,
        sets_pending: pending.count() as u64,
        sets_rebuilt: inner.search.rebuilds.done(&tenant.id),
        tail_records: view.tail.len(),
        lag_records: tenant.index_lag(),
        backlog_records: tenant.index_backlog(),
    }
}

#[derive(Serialize)]
struct Control<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    index: &'a IndexPolicy,
}
