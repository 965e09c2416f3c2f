//! Placing a hold, and going on with one after a crash.

use std::ops::Range;
use std::sync::Arc;

use attestore_keys::random_array;
use attestore_record::Kind;
use attestore_record::control::{self, Control, Ranges};

use super::api::{HoldInfo, info};
use super::row::{HoldRow, RowState, seal};
use super::spec::HoldSpec;
use super::{find, ranges, release};
use crate::Engine;
use crate::append::append_control;
use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::{hex, tables};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::logged;
use crate::instance::Inner;
use crate::tenant::Tenant;

impl Engine {
    /// Places a hold: nothing that it covers is purged or erased until it is released. Durable on return, and in the tenant's log.
    /// Takes as long as finding what matches.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Query`], [`Error::TooMany`], [`Error::UnknownTenant`], [`Error::Forbidden`], or as searches and
    /// appends.
    pub fn place_hold(&self, tenant: &str, by: &Principal, spec: &HoldSpec) -> Result<HoldInfo> {
        by.check(tenant, Permission::ManageHolds)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        spec.check(tenant.view().size)?;
        // Nothing is decided to go while it is looked for what stays.
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        if tenant.holds.load().len() >= HOLDS_MAX {
            return Err(Error::TooMany {
                code: "too_many_holds",
                message: format!("a tenant has at most {HOLDS_MAX} holds in force"),
            });
        }
        let size = tenant.view().size;
        let sealed = spec.sealed();
        let mut covered = spec.scope.ranges.clone();
        if sealed.asks() {
            covered.extend(find::matches(inner, &tenant, &sealed, &(0..size))?);
        }
        let covered = ranges::ordered(covered);
        if covered.len() > RANGES_MAX {
            return Err(Error::Invalid {
                code: "hold_too_scattered",
                message: format!(
                    "more than {RANGES_MAX} runs of records match: hold ranges or classes around them"
                ),
            });
        }
        let id: ThingId = random_array(&*inner.entropy);
        let mut classes = spec.scope.classes.clone();
        classes.sort_unstable();
        classes.dedup();
        let row = HoldRow {
            state: RowState::Placing,
            matter: spec.matter.clone(),
            sealed: seal(inner, &tenant, &id, &sealed)?,
            asks: sealed.asks(),
            classes,
            review_ms: spec.review_ms,
            placed_by: by.id.clone(),
            placed_ms: inner.clock.now_ms(),
            from: size,
            record: None,
            until: size,
            ranges: covered.len() as u64,
            records: ranges::count(&covered),
            release: None,
        };
        inner.change(|update| {
            ranges::put(update, &tenant.id, &id, &covered)?;
            of_tenant::put(update, tables::HOLDS, &(tenant.id, id), &row)
        })?;
        tenant
            .holds
            .store(Arc::new(tenant.holds.load().with(id, row.clone())));
        match log_all(inner, &tenant, &id, &row, &covered, false) {
            Ok(row) => info(&tenant, by, &id, &row),
            Err(error) => {
                if inner.stopped().is_none() {
                    take_back(inner, &tenant, &id, &row)?;
                }
                Err(error)
            }
        }
    }
}

/// Goes on with what a crash interrupted.
///
/// # Errors
/// As appends and changes of the catalog.
pub(crate) fn finish(inner: &Inner) -> Result<()> {
    let rows = of_tenant::all::<HoldRow>(&inner.catalog.read()?, tables::HOLDS)?;
    let mut failed = None;
    for ((tenant, id), row) in rows {
        if !matches!(row.state, RowState::Placing | RowState::Releasing) {
            continue;
        }
        let finished = inner.tenant_of(&tenant).and_then(|tenant| {
            let _deciding = tenant.deciding.lock();
            finish_one(inner, &tenant, &id, &row)
        });
        failed = finished.err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

/// Goes on with one hold; under the tenant's lock.
pub(super) fn finish_one(inner: &Inner, tenant: &Arc<Tenant>, id: &ThingId, row: &HoldRow) -> Result<()> {
    match row.state {
        RowState::Placing => {
            let covered = ranges::of(&inner.catalog.read()?, &tenant.id, id, &(0..u64::MAX))?;
            log_all(inner, tenant, id, row, &covered, true).map(drop)
        }
        RowState::Releasing => release::finish(inner, tenant, id, row, true).map(drop),
        RowState::Active | RowState::Released => Ok(()),
    }
}

/// Writes a hold that is being placed into the log, as far as it is not there, and makes it active.
fn log_all(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    id: &ThingId,
    row: &HoldRow,
    covered: &[Range<u64>],
    again: bool,
) -> Result<HoldRow> {
    let before = match again {
        true => records_of(inner, tenant, id, row.from)?,
        false => Vec::new(),
    };
    let controls = controls(id, row, covered);
    let mut first = before.first().copied();
    for control in controls.into_iter().skip(before.len()) {
        let seq = append_control(inner, tenant, &row.placed_by, Kind::Hold, &control?)?.seq;
        first.get_or_insert(seq);
    }
    let row = HoldRow {
        state: RowState::Active,
        record: first,
        ..row.clone()
    };
    inner.change(|update| of_tenant::put(update, tables::HOLDS, &(tenant.id, *id), &row))?;
    tenant
        .holds
        .store(Arc::new(tenant.holds.load().with(*id, row.clone())));
    Ok(row)
}

/// Takes back a hold that the log refused. Once the log has some of it, it stays, and it is gone on with later.
fn take_back(inner: &Inner, tenant: &Arc<Tenant>, id: &ThingId, row: &HoldRow) -> Result<()> {
    if !records_of(inner, tenant, id, row.from)?.is_empty() {
        return Ok(());
    }
    inner.change(|update| {
        ranges::remove(update, &tenant.id, id)?;
        of_tenant::remove(update, tables::HOLDS, &(tenant.id, *id))
    })?;
    tenant.holds.store(Arc::new(tenant.holds.load().without(id)));
    Ok(())
}

/// Where the log has the hold.
fn records_of(inner: &Inner, tenant: &Tenant, id: &ThingId, from: u64) -> Result<Vec<u64>> {
    let name = hex(id);
    let controls = logged::controls(inner, tenant, Kind::Hold, from)?;
    let own = controls.into_iter().filter(|(_, control)| match control {
        Control::Hold(hold) => hold.hold == name,
        _ => false,
    });
    Ok(own.map(|(seq, _)| seq).collect())
}

/// The records of a hold: always the same of the same ranges. One at least, which has the classes.
pub(super) fn controls(id: &ThingId, row: &HoldRow, covered: &[Range<u64>]) -> Vec<Result<Control>> {
    let mut pieces: Vec<&[Range<u64>]> = covered.chunks(RANGES_IN_RECORD).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    pieces
        .into_iter()
        .map(|piece| {
            let ranges = Ranges::new(piece.iter().cloned());
            Ok(Control::Hold(control::Hold {
                hold: hex(id),
                ranges: ranges.map_err(|error| Error::Io(error.to_string()))?,
                classes: row.classes.clone(),
                reason: row.matter.clone(),
            }))
        })
        .collect()
}

/// Holds in force.
const HOLDS_MAX: usize = 10_000;
/// Ranges of a hold when it is placed.
const RANGES_MAX: usize = 1_000_000;
/// Ranges in one record of the log: some hundred kilobytes.
const RANGES_IN_RECORD: usize = 20_000;
