//! Which kinds of acts take two persons.

use std::collections::BTreeSet;

use attestore_record::{Kind, TenantId};
use redb::ReadTransaction;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Operation, OperationKind, require};
use crate::Engine;
use crate::append::append_control;
use crate::catalog::{by_tenant, tables};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};

/// Which kinds of acts take two persons in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalPolicy {
    /// The kinds, beside those that always do.
    #[serde(default)]
    pub kinds: BTreeSet<OperationKind>,
    /// How long a request stands, approved or not, milliseconds: a minute to 30 days.
    #[serde(default = "day")]
    pub expires_ms: u64,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self {
            kinds: BTreeSet::new(),
            expires_ms: day(),
        }
    }
}

impl Engine {
    /// Which kinds of acts take two persons.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or as reads.
    pub fn approval_policy(&self, tenant: &str, by: &Principal) -> Result<ApprovalPolicy> {
        by.check(tenant, Permission::SeeRetention)?;
        let tenant = self.inner.tenant(tenant)?;
        load(&self.inner.catalog.read()?, &tenant.id)
    }

    /// Sets which kinds of acts take two persons. Durable on return, and in the tenant's log. To let one person do what took two takes
    /// two.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`], [`Error::ApprovalNeeded`], or as appends.
    pub fn set_approval_policy(
        &self,
        tenant: &str,
        by: &Principal,
        policy: ApprovalPolicy,
    ) -> Result<ApprovalPolicy> {
        by.check(tenant, Permission::ManageApprovals)?;
        if !(EXPIRES_MS_MIN..=EXPIRES_MS_MAX).contains(&policy.expires_ms) {
            return Err(Error::Invalid {
                code: "invalid_approval_policy",
                message: "requests stand for a minute to 30 days".to_owned(),
            });
        }
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let before = load(&inner.catalog.read()?, &tenant.id)?;
        let mut approved_by = vec![by.id.clone()];
        if !before.kinds.is_subset(&policy.kinds) {
            let operation = Operation {
                kind: OperationKind::OnePerson,
                parameters: json!({ "kinds": policy.kinds, "expires_ms": policy.expires_ms }),
            };
            approved_by = require(inner, &tenant, by, &operation)?.by;
        }
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        if load(&inner.catalog.read()?, &tenant.id)? != before {
            return Err(Error::Changed("approval policy"));
        }
        let control = json!({
            "type": "approval_policy",
            "kinds": policy.kinds,
            "expires_ms": policy.expires_ms,
            "approved_by": approved_by,
        });
        // The log may tell of a policy that a crash then prevented, never the other way round.
        append_control(inner, &tenant, &by.id, Kind::Policy, &control)?;
        inner.change(|update| by_tenant::put(update, tables::APPROVAL_POLICIES, &tenant.id, &policy))?;
        Ok(policy)
    }
}

/// That of a tenant.
///
/// # Errors
/// As reads.
pub(super) fn load(txn: &ReadTransaction, tenant: &TenantId) -> Result<ApprovalPolicy> {
    let row = by_tenant::get(txn, tables::APPROVAL_POLICIES, tenant)?;
    Ok(row.unwrap_or_default())
}

const fn day() -> u64 {
    24 * 3_600_000
}

const EXPIRES_MS_MIN: u64 = 60_000;
const EXPIRES_MS_MAX: u64 = 30 * day();
