//! Erasing once more, after a restore, who was erased behind the backup.

use std::sync::Arc;

use attestore_keys::random_array;
use attestore_record::Handle;
use hashbrown::HashSet;

use super::decide::concerned;
use super::row::{ErasureRow, ErasureState, LeavingRow};
use crate::catalog::directory::DirectoryRow;
use crate::catalog::{of_tenant, storage, tables};
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::tenant::{Tenant, lookup_context};

/// Who and what the erasure was.
pub(crate) struct Again<'a> {
    pub(crate) handles: &'a [Handle],
    pub(crate) basis: &'a str,
    pub(crate) requested_by: &'a str,
    pub(crate) approved_by: &'a [String],
    pub(crate) requested_ms: u64,
}

/// Has people erased whom the directory still knows by one of the handles: the rows of the directory go into a job that is decided.
/// The next start goes on with it. Returns how many there are. Every tail has to be flushed.
///
/// # Errors
/// As reads and changes of the catalog; damage.
pub(crate) fn again(inner: &Inner, tenant: &Arc<Tenant>, of: &Again<'_>) -> Result<usize> {
    let wanted: HashSet<[u8; 16]> = of.handles.iter().map(|handle| *handle.as_bytes()).collect();
    let mut leaving = Vec::new();
    let mut handles = Vec::new();
    {
        let table = inner
            .catalog
            .read()?
            .open_table(tables::DIRECTORY)
            .map_err(storage)?;
        let id = tenant.id.as_bytes();
        for row in table.range((id, &[0; 32])..=(id, &[0xFF; 32])).map_err(storage)? {
            let (key, row) = row.map_err(storage)?;
            let blind = *key.value().1;
            let damage = || Error::damage("catalog", 0, "a row of the directory");
            let row = DirectoryRow::parse(row.value()).ok_or_else(damage)?;
            let context = lookup_context(&tenant.id, &blind);
            let lookup = tenant.keys.open(&inner.catalog, row.lookup, &context)?;
            let (handle, _) = row.open(&lookup, &tenant.id, &blind).ok_or_else(damage)?;
            if wanted.contains(handle.as_bytes()) {
                leaving.push((blind, LeavingRow::new(&blind, &row)));
                handles.push(handle);
            }
        }
    }
    let waiting = approve_waiting(inner, tenant, &wanted)?;
    if leaving.is_empty() {
        return Ok(waiting);
    }
    let records = concerned(inner, tenant, &handles)?
        .values()
        .map(|seqs| seqs.len() as u64)
        .sum();
    let now_ms = inner.clock.now_ms();
    let row = ErasureRow {
        state: ErasureState::Approved,
        requested_ms: of.requested_ms,
        requested_by: of.requested_by.to_owned(),
        approved_by: of.approved_by.to_vec(),
        basis: of.basis.to_owned(),
        undo_until_ms: of.requested_ms,
        deferred: None,
        subjects: leaving.iter().map(|(_, row)| row.clone()).collect(),
        handles: Vec::new(),
        number: leaving.len() as u64,
        log_size: Some(tenant.view().size),
        control_seq: None,
        records,
        overwrite: Vec::new(),
        exports: 0,
        segments: 0,
        bytes_rewritten: 0,
        recipients: None,
        certificate: None,
        suppressed_since_ms: now_ms,
        unreadable_since_ms: None,
        terms_gone_since_ms: None,
        bytes_gone_since_ms: None,
    };
    let key = (tenant.id, random_array(&*inner.entropy));
    inner.change(|update| {
        let mut table = update.txn().open_table(tables::DIRECTORY).map_err(storage)?;
        for (blind, _) in &leaving {
            table.remove((tenant.id.as_bytes(), blind)).map_err(storage)?;
        }
        drop(table);
        of_tenant::put(update, tables::ERASURES, &key, &row)
    })?;
    Ok(waiting + leaving.len())
}

/// Has erasures go on that waited when the backup was made: nothing waits for them any more. Returns how many people that is.
fn approve_waiting(inner: &Inner, tenant: &Arc<Tenant>, wanted: &HashSet<[u8; 16]>) -> Result<usize> {
    let rows: Vec<([u8; 16], ErasureRow)> =
        of_tenant::of(&inner.catalog.read()?, tables::ERASURES, &tenant.id)?;
    let mut people = 0;
    for (id, mut row) in rows {
        if !matches!(row.state, ErasureState::Received | ErasureState::Deferred) {
            continue;
        }
        let leavers = row.leavers(&inner.catalog, &tenant.id, &tenant.keys.ring())?;
        if !leavers
            .iter()
            .any(|leaver| wanted.contains(leaver.handle.as_bytes()))
        {
            continue;
        }
        let handles: Vec<Handle> = leavers.iter().map(|leaver| leaver.handle).collect();
        row.records = concerned(inner, tenant, &handles)?
            .values()
            .map(|seqs| seqs.len() as u64)
            .sum();
        row.state = ErasureState::Approved;
        row.deferred = None;
        row.log_size = Some(tenant.view().size);
        inner.change(|update| of_tenant::put(update, tables::ERASURES, &(tenant.id, id), &row))?;
        people += handles.len();
    }
    Ok(people)
}
