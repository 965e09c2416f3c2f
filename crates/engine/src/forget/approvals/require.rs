//! Asking for an approval, and using it up.

use attestore_keys::random_array;

use super::api::shown;
use super::row::{ApprovalRow, RowState};
use super::{Approved, Operation, policy};
use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::{Update, tables};
use crate::credentials::Principal;
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::tenant::Tenant;

enum Found {
    Used(Approved),
    Waiting(ThingId, Box<ApprovalRow>),
}

/// Answers once whoever has to has approved the act. An approval is used up by that, whatever becomes of the act: call it after
/// everything else that can refuse the act. That the log would take the record of the act now is looked at here.
///
/// # Errors
/// [`Error::ApprovalNeeded`] until another principal has approved it, [`Error::TooMany`] for too many open requests, or as changes of
/// the catalog.
pub(crate) fn require(
    inner: &Inner,
    tenant: &Tenant,
    by: &Principal,
    operation: &Operation,
) -> Result<Approved> {
    let policy = policy::load(&inner.catalog.read()?, &tenant.id)?;
    if !operation.kind.always() && !policy.kinds.contains(&operation.kind) {
        return Ok(Approved {
            by: vec![by.id.clone()],
        });
    }
    require_two(inner, tenant, by, operation)
}

/// As [`require`], for an act that takes two persons whatever the tenant's policy says.
///
/// # Errors
/// As [`require`].
pub(crate) fn require_two(
    inner: &Inner,
    tenant: &Tenant,
    by: &Principal,
    operation: &Operation,
) -> Result<Approved> {
    let policy = policy::load(&inner.catalog.read()?, &tenant.id)?;
    inner.check_running()?;
    inner.guard.sample(inner);
    inner.guard.admit(inner, tenant, true)?;
    let now_ms = inner.clock.now_ms();
    let found = inner.change(|update| {
        let rows = end_and_list(update, tenant, now_ms)?;
        let open = || rows.iter().filter(|(_, row)| row.is_open(now_ms));
        for (id, row) in open().filter(|(_, row)| row.requested_by == by.id) {
            if !row.is_for(tenant, id, operation)? {
                continue;
            }
            let approver = row.decided_by.clone().filter(|_| row.state == RowState::Approved);
            let Some(approver) = approver else {
                return Ok(Found::Waiting(*id, Box::new(row.clone())));
            };
            let used = ApprovalRow {
                state: RowState::Used,
                used_ms: Some(now_ms),
                sealed: None,
                ..row.clone()
            };
            of_tenant::put(update, tables::APPROVALS, &(tenant.id, *id), &used)?;
            return Ok(Found::Used(Approved {
                by: vec![by.id.clone(), approver],
            }));
        }
        if open().count() >= OPEN_MAX {
            return Err(Error::TooMany {
                code: "too_many_approvals",
                message: format!("{OPEN_MAX} requests for approval are open: decide some"),
            });
        }
        let id = random_array(&*inner.entropy);
        let until_ms = now_ms.saturating_add(policy.expires_ms);
        let times = (now_ms, until_ms);
        let row = ApprovalRow::new(tenant, &id, &*inner.entropy, operation, &by.id, times)?;
        of_tenant::put(update, tables::APPROVALS, &(tenant.id, id), &row)?;
        Ok(Found::Waiting(id, Box::new(row)))
    })?;
    match found {
        Found::Used(approved) => Ok(approved),
        Found::Waiting(id, row) => Err(Error::ApprovalNeeded {
            tenant: tenant.name.clone(),
            approval: Box::new(shown(tenant, by, &id, *row, now_ms)?),
        }),
    }
}

/// The rows of a tenant. What requests that have ended were about is forgotten, and of those the oldest beyond a number go.
fn end_and_list(update: &Update<'_>, tenant: &Tenant, now_ms: u64) -> Result<Vec<(ThingId, ApprovalRow)>> {
    let mut rows = of_tenant::stored_of::<ApprovalRow>(update, tables::APPROVALS, &tenant.id)?;
    for (id, row) in &mut rows {
        if !row.is_open(now_ms) && row.sealed.take().is_some() {
            of_tenant::put(update, tables::APPROVALS, &(tenant.id, *id), row)?;
        }
    }
    let mut ended: Vec<(u64, ThingId)> = rows
        .iter()
        .filter(|(_, row)| !row.is_open(now_ms))
        .map(|(id, row)| (row.requested_ms, *id))
        .collect();
    ended.sort_unstable();
    let beyond = ended.len().saturating_sub(ENDED_MAX);
    for (_, id) in ended.iter().take(beyond) {
        of_tenant::remove(update, tables::APPROVALS, &(tenant.id, *id))?;
        rows.retain(|(other, _)| other != id);
    }
    Ok(rows)
}

/// Forgets what requests that have ended were about, of every tenant.
///
/// # Errors
/// As changes of the catalog.
pub(crate) fn forget_ended(inner: &Inner) -> Result<()> {
    let now_ms = inner.clock.now_ms();
    let rows = of_tenant::all::<ApprovalRow>(&inner.catalog.read()?, tables::APPROVALS)?;
    let over = |row: &ApprovalRow| !row.is_open(now_ms) && row.sealed.is_some();
    let ended: Vec<_> = rows.into_iter().filter(|(_, row)| over(row)).collect();
    if ended.is_empty() {
        return Ok(());
    }
    inner.change(|update| {
        for (key, _) in &ended {
            let row = of_tenant::stored::<ApprovalRow>(update, tables::APPROVALS, key)?;
            if let Some(mut row) = row.filter(|row| over(row)) {
                row.sealed = None;
                of_tenant::put(update, tables::APPROVALS, key, &row)?;
            }
        }
        Ok(())
    })
}

/// Open requests of a tenant.
const OPEN_MAX: usize = 1000;
/// Requests of a tenant that have ended and are kept.
const ENDED_MAX: usize = 10_000;
