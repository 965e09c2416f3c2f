//! Setting and showing the retention rules of a tenant.
//!
//! # Durability
//! First the row says what is being set; then the log has which classes take which events, if that changes, and the policy; then the
//! row has it in force, with the seq of its record. A crash after the first leaves a row from which the next start goes on: what the log has already is not written
//! again. Appends of another class than before begin after the last.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_record::Kind;
use attestore_record::control::{Control, RetentionPolicy};
use serde::Serialize;
use serde_json::json;

use super::lock::{Takes, takes};
use super::row::{ClassRow, PendingRow, RulesRow};
use super::{ClassSpec, Rules, Selector, Warning};
use crate::Engine;
use crate::append::append_control;
use crate::catalog::{Update, by_tenant, tables};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::approvals::{Operation, OperationKind, require};
use crate::forget::logged;
use crate::heads::HEADS_TENANT;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// A class as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassInfo {
    /// Its policy.
    pub policy: RetentionPolicy,
    /// Seq of the record of that.
    pub seq: u64,
    /// Which new events are of it.
    pub select: Option<Selector>,
    /// When it was set, Unix milliseconds.
    pub changed_ms: u64,
    /// Id of who set it.
    pub changed_by: String,
}

impl Engine {
    /// The classes of a tenant that have a policy, ascending.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or as reads.
    pub fn retention(&self, tenant: &str, by: &Principal) -> Result<Vec<ClassInfo>> {
        by.check(tenant, Permission::SeeRetention)?;
        let tenant = self.inner.tenant(tenant)?;
        let row = by_tenant::get::<RulesRow>(&self.inner.catalog.read()?, tables::RETENTION, &tenant.id)?;
        let classes = row.unwrap_or_default().classes;
        Ok(classes.into_values().map(ClassInfo::from).collect())
    }

    /// Sets the policy of a class, and which new events are of it. Durable on return, and in the tenant's log. `bypass` says that a
    /// lock in mode `governance` is meant to be weakened. Answers with what somebody should look at, too.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] `retention_locked` for what a lock does not let happen; [`Error::ApprovalNeeded`] for
    /// weakening mode `governance`; [`Error::UnknownTenant`], [`Error::Forbidden`], or as appends.
    pub fn set_retention(
        &self,
        tenant: &str,
        by: &Principal,
        spec: &ClassSpec,
        bypass: bool,
    ) -> Result<(ClassInfo, Vec<Warning>)> {
        by.check(tenant, Permission::ManageRetention)?;
        spec.check()?;
        if tenant == HEADS_TENANT {
            return Err(locked("the log of heads holds control records only"));
        }
        let inner = &self.inner;
        inner.check_running()?;
        let may_bypass = bypass && by.check(tenant, Permission::BypassRetention).is_ok();
        let tenant = inner.tenant(tenant)?;
        let row = by_tenant::get::<RulesRow>(&inner.catalog.read()?, tables::RETENTION, &tenant.id)?;
        check_room(&row.unwrap_or_default(), spec)?;
        let approved_by = match takes_now(&tenant, spec) {
            Takes::Manager => Vec::new(),
            Takes::Bypass if may_bypass => require(inner, &tenant, by, &operation(spec)?)?.by,
            Takes::Bypass => return Err(locked(GOVERNANCE)),
            Takes::Nobody => return Err(locked(COMPLIANCE)),
        };
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        // What others set meanwhile may lock it.
        match takes_now(&tenant, spec) {
            Takes::Nobody => return Err(locked(COMPLIANCE)),
            Takes::Bypass if approved_by.is_empty() => return Err(locked(GOVERNANCE)),
            Takes::Bypass | Takes::Manager => {}
        }
        let warnings = spec.warnings(&tenant.rules.load());
        let row = by_tenant::get::<RulesRow>(&inner.catalog.read()?, tables::RETENTION, &tenant.id)?;
        let row = row.unwrap_or_default();
        if let Some(pending) = &row.pending {
            put_in_force(inner, &tenant, pending, true)?;
        } else if let Some(same) = row.classes.get(&spec.class).filter(|row| is_same(row, spec)) {
            return Ok((same.clone().into(), warnings));
        }
        let pending = PendingRow {
            policy: spec.policy(approved_by),
            select: spec.select.clone(),
            changed_ms: inner.clock.now_ms(),
            changed_by: by.id.clone(),
            from: tenant.view().size,
        };
        inner.change(|update| {
            let mut row = stored(update, &tenant)?;
            check_room(&row, spec)?;
            row.pending = Some(pending.clone());
            by_tenant::put(update, tables::RETENTION, &tenant.id, &row)
        })?;
        let set = put_in_force(inner, &tenant, &pending, false);
        if set.is_err() && inner.stopped().is_none() {
            // Nothing of it is in the log, or a start goes on with it.
            forget_unlogged(inner, &tenant, &pending)?;
        }
        Ok((set?, warnings))
    }
}

/// Goes on with what a crash interrupted.
///
/// # Errors
/// As appends and changes of the catalog.
pub(crate) fn finish(inner: &Inner) -> Result<()> {
    let rows = by_tenant::all::<RulesRow>(&inner.catalog.read()?, tables::RETENTION)?;
    let mut failed = None;
    for (id, row) in rows {
        let Some(pending) = row.pending else { continue };
        let set = inner.tenant_of(&id).and_then(|tenant| {
            let _deciding = tenant.deciding.lock();
            put_in_force(inner, &tenant, &pending, true)
        });
        failed = set.err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

/// Writes what is being set into the log, as far as it is not there, and puts it in force.
fn put_in_force(inner: &Inner, tenant: &Arc<Tenant>, pending: &PendingRow, again: bool) -> Result<ClassInfo> {
    let class = pending.policy.class;
    let logged = match again {
        true => seq_of(inner, tenant, pending)?,
        false => None,
    };
    let by = &pending.changed_by;
    let rules = tenant.rules.load();
    let before = rules.selectors.iter().find(|(other, _)| *other == class);
    if before.map(|(_, select)| select) != pending.select.as_ref() {
        let mut classes: BTreeMap<u16, &Selector> = rules
            .selectors
            .iter()
            .map(|(class, select)| (*class, select))
            .collect();
        match &pending.select {
            Some(select) => drop(classes.insert(class, select)),
            None => drop(classes.remove(&class)),
        }
        let control = Classes {
            ty: "retention_classes",
            classes,
        };
        append_control(inner, tenant, by, Kind::Policy, &control)?;
    }
    // Last, so that the log never has a policy that is not in force while the server runs.
    let seq = match logged {
        Some(seq) => seq,
        None => {
            let control = Control::RetentionPolicy(pending.policy.clone());
            append_control(inner, tenant, by, Kind::Policy, &control)?.seq
        }
    };
    let row = inner.change(|update| {
        let mut row = stored(update, tenant)?;
        row.pending = None;
        let set = ClassRow {
            policy: pending.policy.clone(),
            seq,
            select: pending.select.clone(),
            changed_ms: pending.changed_ms,
            changed_by: by.clone(),
        };
        row.classes.insert(class, set);
        by_tenant::put(update, tables::RETENTION, &tenant.id, &row)?;
        Ok(row)
    })?;
    tenant.rules.store(Arc::new(Rules::of(&row)));
    let set = row.classes.get(&class).cloned();
    set.map(ClassInfo::from).ok_or(Error::NotFound("retention class"))
}

/// Takes back what the log refused to have. What it has stays, and a start puts it in force.
fn forget_unlogged(inner: &Inner, tenant: &Arc<Tenant>, pending: &PendingRow) -> Result<()> {
    if seq_of(inner, tenant, pending)?.is_some() {
        return Ok(());
    }
    inner.change(|update| {
        let mut row = stored(update, tenant)?;
        row.pending = None;
        by_tenant::put(update, tables::RETENTION, &tenant.id, &row)
    })
}

/// Where the log has the policy that is being set.
fn seq_of(inner: &Inner, tenant: &Tenant, pending: &PendingRow) -> Result<Option<u64>> {
    let controls = logged::controls(inner, tenant, Kind::Policy, pending.from)?;
    let mut same = controls.into_iter().filter(
        |(_, control)| matches!(control, Control::RetentionPolicy(policy) if *policy == pending.policy),
    );
    Ok(same.next().map(|(seq, _)| seq))
}

fn is_same(row: &ClassRow, spec: &ClassSpec) -> bool {
    let policy = spec.policy(row.policy.approved_by.clone());
    row.policy == policy && row.select == spec.select
}

fn check_room(row: &RulesRow, spec: &ClassSpec) -> Result<()> {
    match row.classes.len() >= CLASSES_MAX && !row.classes.contains_key(&spec.class) {
        true => Err(Error::TooMany {
            code: "too_many_classes",
            message: format!("a tenant has at most {CLASSES_MAX} classes"),
        }),
        false => Ok(()),
    }
}

fn takes_now(tenant: &Tenant, spec: &ClassSpec) -> Takes {
    let rules = tenant.rules.load();
    let before = rules.policy(spec.class).map(|found| &found.policy);
    takes(before, &spec.policy(Vec::new()))
}

fn operation(spec: &ClassSpec) -> Result<Operation> {
    let policy =
        serde_json::to_value(spec.policy(Vec::new())).map_err(|error| Error::Io(error.to_string()))?;
    Ok(Operation {
        kind: OperationKind::RetentionBypass,
        parameters: json!({ "policy": policy, "select": spec.select }),
    })
}

fn stored(update: &Update<'_>, tenant: &Tenant) -> Result<RulesRow> {
    by_tenant::stored(update, tables::RETENTION, &tenant.id).map(Option::unwrap_or_default)
}

fn locked(message: &str) -> Error {
    Error::Conflict {
        code: "retention_locked",
        message: message.to_owned(),
    }
}

/// Which classes take which events, from this record on.
#[derive(Serialize)]
struct Classes<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    classes: BTreeMap<u16, &'a Selector>,
}

impl From<ClassRow> for ClassInfo {
    fn from(row: ClassRow) -> Self {
        Self {
            policy: row.policy,
            seq: row.seq,
            select: row.select,
            changed_ms: row.changed_ms,
            changed_by: row.changed_by,
        }
    }
}

const GOVERNANCE: &str = "the class is locked in mode governance: weakening it takes the permission bypass_retention, the word for it \
                          in the request, and a second person";
const COMPLIANCE: &str = "the class is locked in mode compliance: nobody weakens it";
const CLASSES_MAX: usize = 256;
