//! Putting a policy in force once more, after a restore, by which records went behind the backup.

use std::sync::Arc;

use attestore_record::Kind;
use attestore_record::control::{Control, RetentionPolicy};

use super::Rules;
use super::row::{ClassRow, RulesRow};
use crate::append::append_control;
use crate::catalog::{by_tenant, tables};
use crate::credentials::Principal;
use crate::error::Result;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Sets the policy of a class that has none; new events do not become of that class by it. Returns the seq of its record. The caller
/// holds [`Tenant::deciding`].
///
/// # Errors
/// As appends and changes of the catalog.
pub(crate) fn again(inner: &Inner, tenant: &Arc<Tenant>, policy: &RetentionPolicy) -> Result<u64> {
    let control = Control::RetentionPolicy(policy.clone());
    let receipt = append_control(inner, tenant, Principal::INTERNAL, Kind::Policy, &control)?;
    let row = by_tenant::get::<RulesRow>(&inner.catalog.read()?, tables::RETENTION, &tenant.id)?;
    let mut row = row.unwrap_or_default();
    row.classes.insert(
        policy.class,
        ClassRow {
            policy: policy.clone(),
            seq: receipt.seq,
            select: None,
            changed_ms: receipt.received_at_ms,
            changed_by: Principal::INTERNAL.to_owned(),
        },
    );
    inner.change(|update| by_tenant::put(update, tables::RETENTION, &tenant.id, &row))?;
    tenant.rules.store(Arc::new(Rules::of(&row)));
    Ok(receipt.seq)
}
