//! Showing and setting a tenant's privacy policy.

use std::sync::Arc;

use attestore_record::detect::{Detectors, Scanner};
use attestore_record::policy::{Detection, Rule};
use attestore_record::{Kind, PrivacyPolicy};
use serde::Serialize;

use super::losses::losses;
use super::row::{self, PrivacyRow};
use crate::append::append_control;
use crate::catalog::TenantRow;
use crate::credentials::{Permission, Principal};
use crate::heads::HEADS_TENANT;
use crate::instance::SYSTEM_TENANT;
use crate::{Engine, Error, Result};

/// A change of a tenant's privacy policy: what it is to say, as a whole.
#[derive(Clone, Debug, Default)]
pub struct PolicyChange {
    /// Actor types that are people, at most 256 of at most 64 bytes.
    pub human_types: Vec<String>,
    /// What is personal, at most 256 rules.
    pub rules: Vec<Rule>,
    /// What becomes of values that detectors find.
    pub detect: Detection,
    /// Why, at most 1000 bytes. Kept in the catalog, not in the log.
    pub reason: String,
    /// The version that was looked at before; a change meanwhile is an error.
    pub based_on: Option<u32>,
    /// Whether it may make less personal than was.
    pub confirm: bool,
}

/// The policy in force.
#[derive(Clone, Debug)]
pub struct PrivacyStatus {
    /// The policy.
    pub policy: Arc<PrivacyPolicy>,
    /// What it makes less personal than the one before; only in the answer to a change.
    pub warnings: Vec<String>,
}

/// A version of the policy.
#[derive(Clone, Debug)]
pub struct PrivacyVersion {
    /// The policy.
    pub policy: PrivacyPolicy,
    /// Id of the credential that set it; empty for what the tenant started with.
    pub by: String,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Why.
    pub reason: String,
    /// Seq of its record in the tenant's log, if there is one.
    pub seq: Option<u64>,
    /// Whether it came into force. A version that did not was prevented by a failure; no event names it.
    pub in_force: bool,
}

/// What the tenant's log says. It holds rules only, and names nobody.
#[derive(Serialize)]
struct Control<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    policy: &'a PrivacyPolicy,
}

impl Engine {
    /// The privacy policy that a tenant's next events are encoded under.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`].
    pub fn privacy(&self, tenant: &str, by: &Principal) -> Result<PrivacyStatus> {
        by.check(tenant, Permission::SeeTenant)?;
        Ok(PrivacyStatus {
            policy: self.inner.tenant(tenant)?.privacy_policy(),
            warnings: Vec::new(),
        })
    }

    /// Versions of a tenant's privacy policy below `before`, newest first, at most 100.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or as reads.
    pub fn privacy_versions(
        &self,
        tenant: &str,
        by: &Principal,
        before: Option<u32>,
    ) -> Result<Vec<PrivacyVersion>> {
        by.check(tenant, Permission::ManagePrivacy)?;
        let tenant = self.inner.tenant(tenant)?;
        let before = before.unwrap_or(u32::MAX);
        let rows = row::versions(&self.inner.catalog, &tenant.id, before, VERSIONS_MAX)?;
        if rows.is_empty() && tenant.privacy_policy().version() < before {
            // Nobody has changed it yet.
            return Ok(vec![version(first(&tenant.privacy_policy(), tenant.created_ms))]);
        }
        Ok(rows.into_iter().map(version).collect())
    }

    /// Puts a new version of a tenant's privacy policy in force: durable, and told in the tenant's log before. A policy that says
    /// what the one in force says changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`], [`Error::Changed`] when another version than
    /// [`PolicyChange::based_on`] is in force, [`Error::Conflict`] with `confirmation_needed` for a change that makes less
    /// personal, or as appends and changes of the catalog.
    pub fn set_privacy(&self, tenant: &str, by: &Principal, change: PolicyChange) -> Result<PrivacyStatus> {
        by.check(tenant, Permission::ManagePrivacy)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        if [SYSTEM_TENANT, HEADS_TENANT].contains(&tenant.name.as_str()) {
            return Err(invalid(
                "the policy of the server's own tenants is fixed".to_owned(),
            ));
        }
        check(&change)?;
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        let former = tenant.privacy_policy();
        if change.based_on.is_some_and(|version| version != former.version()) {
            return Err(Error::Changed("privacy policy"));
        }
        let new = PrivacyPolicy::new(former.version(), change.human_types, change.rules)
            .map_err(|error| invalid(error.to_string()))?
            .with_detection(change.detect);
        if new == *former {
            return Ok(PrivacyStatus {
                policy: former,
                warnings: Vec::new(),
            });
        }
        let warnings = losses(&former, &new);
        if !warnings.is_empty() && !change.confirm {
            return Err(Error::Conflict {
                code: "confirmation_needed",
                message: format!(
                    "the change makes less personal and has to be confirmed: {}",
                    warnings.join("; ")
                ),
            });
        }
        let mut row = PrivacyRow {
            policy: new,
            by: by.id.clone(),
            at_ms: inner.clock.now_ms(),
            reason: change.reason,
            seq: None,
            in_force: false,
        };
        // A number stands for one policy only, even if a crash keeps that from coming into force.
        inner.change(|update| {
            let newest = match row::newest(update, &tenant.id)? {
                Some(newest) => newest.max(former.version()),
                None => {
                    row::put(update, &tenant.id, &first(&former, tenant.created_ms))?;
                    former.version()
                }
            };
            let version = newest
                .checked_add(1)
                .ok_or_else(|| invalid("there are no further versions".to_owned()))?;
            row.policy = row.policy.clone().with_version(version);
            row::put(update, &tenant.id, &row)
        })?;
        let control = Control {
            ty: "privacy_policy",
            policy: &row.policy,
        };
        let receipt = append_control(inner, &tenant, &by.id, Kind::Policy, &control)?;
        row.seq = Some(receipt.seq);
        row.in_force = true;
        inner.change(|update| {
            let mut stored: TenantRow = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
            stored.privacy.clone_from(&row.policy);
            update.put_tenant(&tenant.id, &stored)?;
            row::put(update, &tenant.id, &row)
        })?;
        let policy = Arc::new(row.policy);
        tenant.privacy.store(Arc::clone(&policy));
        Ok(PrivacyStatus { policy, warnings })
    }
}

/// Checks sizes, and that types and paths are no values of people: they are told in the log, which is never erased.
fn check(change: &PolicyChange) -> Result<()> {
    let most = |what: &str, count: usize, most: usize| match count <= most {
        true => Ok(()),
        false => Err(invalid(format!("{what}: {count}, at most {most} are allowed"))),
    };
    most("human types", change.human_types.len(), TYPES_MAX)?;
    most("rules", change.rules.len(), RULES_MAX)?;
    most("bytes of the reason", change.reason.len(), REASON_BYTES_MAX)?;
    let mut scanner = Scanner::default();
    let mut plain = |what: &str, text: &str| match scanner.scan(text, "", Detectors::ALL).first() {
        None => Ok(()),
        Some(hit) => Err(invalid(format!(
            "a {what} holds a value of the kind {}; policies are logged for good and name nobody",
            hit.detector
        ))),
    };
    for ty in &change.human_types {
        most("bytes of a human type", ty.len(), TYPE_BYTES_MAX)?;
        if ty.is_empty() {
            return Err(invalid("a human type is empty".to_owned()));
        }
        plain("human type", ty)?;
    }
    for rule in &change.rules {
        most("bytes of a path", rule.path.len(), PATH_BYTES_MAX)?;
        plain("path", &rule.path)?;
    }
    Ok(())
}

/// The version that a tenant started with.
fn first(policy: &PrivacyPolicy, created_ms: u64) -> PrivacyRow {
    PrivacyRow {
        policy: policy.clone(),
        by: String::new(),
        at_ms: created_ms,
        reason: String::new(),
        seq: None,
        in_force: true,
    }
}

fn version(row: PrivacyRow) -> PrivacyVersion {
    PrivacyVersion {
        policy: row.policy,
        by: row.by,
        at_ms: row.at_ms,
        reason: row.reason,
        seq: row.seq,
        in_force: row.in_force,
    }
}

fn invalid(message: String) -> Error {
    Error::Invalid {
        code: "invalid_privacy_policy",
        message,
    }
}

const VERSIONS_MAX: usize = 100;
const TYPES_MAX: usize = 256;
const TYPE_BYTES_MAX: usize = 64;
const RULES_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 512;
const REASON_BYTES_MAX: usize = 1000;
