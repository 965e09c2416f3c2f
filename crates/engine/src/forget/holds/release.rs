//! Releasing a hold.

use std::sync::Arc;

use attestore_record::Kind;
use attestore_record::control::{Control, HoldRelease};
use serde_json::json;

use super::api::{HoldInfo, NOT_FOUND, info};
use super::row::{HoldRow, ReleaseRow, RowState, seal};
use super::spec::{Release, check_reason};
use super::{place, ranges};
use crate::Engine;
use crate::append::append_control;
use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::{hex, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::approvals::{Operation, OperationKind, require};
use crate::forget::logged;
use crate::instance::Inner;
use crate::tenant::Tenant;

impl Engine {
    /// Releases a hold; others that cover the same records go on. Durable on return, and in the tenant's log.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] for one that is released, [`Error::ApprovalNeeded`] where that takes two persons,
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or as appends.
    pub fn release_hold(
        &self,
        tenant: &str,
        by: &Principal,
        id: &str,
        release: &Release,
    ) -> Result<HoldInfo> {
        by.check(tenant, Permission::ManageHolds)?;
        check_reason(&release.reason)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let id: ThingId = unhex(id).ok_or(NOT_FOUND)?;
        stored(inner, &tenant, &id)?;
        let operation = Operation {
            kind: OperationKind::HoldRelease,
            parameters: json!({ "hold": hex(&id) }),
        };
        let approved_by = require(inner, &tenant, by, &operation)?.by;
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        let before = stored(inner, &tenant, &id)?;
        if before.state != RowState::Active {
            place::finish_one(inner, &tenant, &id, &before)?;
        }
        let mut row = stored(inner, &tenant, &id)?;
        let mut sealed = row.open(&tenant, &id)?;
        sealed.released = Some(release.reason.clone());
        row.sealed = seal(inner, &tenant, &id, &sealed)?;
        row.state = RowState::Releasing;
        row.release = Some(ReleaseRow {
            approved_by,
            by: by.id.clone(),
            ms: inner.clock.now_ms(),
            from: tenant.view().size,
            record: None,
        });
        put(inner, &tenant, &id, &row)?;
        match finish(inner, &tenant, &id, &row, false) {
            Ok(row) => info(&tenant, by, &id, &row),
            Err(error) => {
                // The log refused it: it is as if nobody had asked.
                if inner.stopped().is_none() && seq_of(inner, &tenant, &id, &row)?.is_none() {
                    row.state = RowState::Active;
                    row.release = None;
                    put(inner, &tenant, &id, &row)?;
                }
                Err(error)
            }
        }
    }
}

/// Writes a release into the log, if it is not there, and lets the hold go.
pub(super) fn finish(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    id: &ThingId,
    row: &HoldRow,
    again: bool,
) -> Result<HoldRow> {
    let logged = match again {
        true => seq_of(inner, tenant, id, row)?,
        false => None,
    };
    let Some(release) = &row.release else {
        return Err(Error::damage(
            "catalog",
            0,
            "a hold that is being released by nobody",
        ));
    };
    let seq = match logged {
        Some(seq) => seq,
        None => {
            let control = Control::HoldRelease(HoldRelease {
                hold: hex(id),
                reason: row.matter.clone(),
                approved_by: release.approved_by.clone(),
            });
            append_control(inner, tenant, &release.by, Kind::Hold, &control)?.seq
        }
    };
    let row = HoldRow {
        state: RowState::Released,
        release: Some(ReleaseRow {
            record: Some(seq),
            ..release.clone()
        }),
        ..row.clone()
    };
    inner.change(|update| {
        ranges::remove(update, &tenant.id, id)?;
        of_tenant::put(update, tables::HOLDS, &(tenant.id, *id), &row)
    })?;
    tenant.holds.store(Arc::new(tenant.holds.load().without(id)));
    Ok(row)
}

/// Where the log has the release.
fn seq_of(inner: &Inner, tenant: &Tenant, id: &ThingId, row: &HoldRow) -> Result<Option<u64>> {
    let (name, from) = (
        hex(id),
        row.release.as_ref().map_or(row.from, |release| release.from),
    );
    let controls = logged::controls(inner, tenant, Kind::Hold, from)?;
    let mut own = controls.into_iter().filter(|(_, control)| match control {
        Control::HoldRelease(release) => release.hold == name,
        _ => false,
    });
    Ok(own.next().map(|(seq, _)| seq))
}

/// The row of a hold that is not released.
fn stored(inner: &Inner, tenant: &Tenant, id: &ThingId) -> Result<HoldRow> {
    let row = of_tenant::get::<HoldRow>(&inner.catalog.read()?, tables::HOLDS, &(tenant.id, *id))?;
    match row.ok_or(NOT_FOUND)? {
        row if row.state == RowState::Released => Err(Error::Conflict {
            code: "hold_released",
            message: "the hold was released".to_owned(),
        }),
        row => Ok(row),
    }
}

fn put(inner: &Inner, tenant: &Tenant, id: &ThingId, row: &HoldRow) -> Result<()> {
    inner.change(|update| of_tenant::put(update, tables::HOLDS, &(tenant.id, *id), row))?;
    tenant
        .holds
        .store(Arc::new(tenant.holds.load().with(*id, row.clone())));
    Ok(())
}
