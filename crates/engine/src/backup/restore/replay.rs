//! New epochs for every log, and what was let go of behind the backup once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attestore_record::{Handle, TenantId};
use redb::ReadableTable;
use serde_json::{Value, json};

use super::super::ledger::{self, Entry, Fact};
use super::super::manifest::Manifest;
use super::behind::Behind;
use super::{Again, Restored, RestoredTenant, not_the_newest};
use crate::catalog::{by_tenant, directory, encode, json as row, storage, tables, unhex};
use crate::error::{Error, OpenError, Result};
use crate::forget::{destroy, erase, purge};
use crate::handover::{HandoverRow, LogKeyState};
use crate::instance::{Engine, Inner, OpenMode};
use crate::tenant::Tenant;
use crate::{Parts, SYSTEM_TENANT, Settings};

/// Brings an installed directory to where it may be served.
///
/// # Errors
/// [`OpenError::Damage`] for a ledger that is not the newest; whatever keeps something from being done again.
pub(super) fn run(
    parts: &Parts,
    settings: &Settings,
    manifest: &Manifest,
    behind: &Behind,
    forced: Option<&str>,
) -> Result<Restored, OpenError> {
    let open = || Engine::open_any(parts.clone(), settings.clone(), OpenMode::Inline);
    let mut warnings = Vec::new();
    let (engine, opened) = open()?;
    let inner = &engine.inner;
    warnings.extend(opened.warnings);
    engine.flush()?;
    let facts = facts(inner)?;
    if let Err(refused) = is_newest(inner, facts.len() as u64, forced) {
        engine.close()?;
        return Err(refused);
    }
    if !inner.rollback_detection {
        warnings.push(
            "no head register outside of the data directory was given: whether the folder has the newest ledger cannot be told".to_owned(),
        );
    }
    let known = heads(inner)?;
    fork(&engine, manifest, &facts)?;
    close(engine)?;

    let (engine, _) = open()?;
    let mut again = Again::default();
    engine.flush()?;
    prepare(&engine.inner, &facts, &mut again)?;
    close(engine)?;

    let (engine, opened) = open()?;
    let inner = &engine.inner;
    engine.flush()?;
    let failed = opened
        .warnings
        .iter()
        .find(|warning| warning.contains("destruction"));
    if let Some(failed) = failed {
        return Err(OpenError::Other(failed.clone()));
    }
    // What the backup covers is gone in it, and its seqs may be those of other records since.
    let covered = usize::try_from(manifest.ledger).unwrap_or(usize::MAX);
    for entry in facts.iter().skip(covered) {
        if let Fact::Records(records) = &entry.fact
            && let Some(tenant) = tenant(inner, &records.tenant)?
        {
            again.records += purge::again(inner, &tenant, records)?;
        }
    }
    for _ in 0..STEPS {
        if left(inner, &facts, covered)?.is_none() {
            break;
        }
        // Only keys: what is signed about it has to say where its backups are.
        erase::destroy_step(inner);
    }
    if let Some(what) = left(inner, &facts, covered)? {
        return Err(OpenError::Other(format!(
            "what was let go of is there again: {what}"
        )));
    }
    inner.rotate_root()?;
    let tenants = restored(&engine, manifest, behind, &known)?;
    record(inner, manifest, behind, facts.len(), &again, forced)?;
    warnings.extend(behind.bad.as_ref().map(|bad| {
        format!("chunks behind the backup were left out, from the first on that does not hold: {bad}")
    }));
    let alone: Vec<&str> = tenants
        .iter()
        .filter(|tenant| !tenant.vouched)
        .map(|tenant| tenant.name.as_str())
        .collect();
    if !alone.is_empty() {
        warnings.push(format!(
            "no former key vouches for the new ones of {}: it is in a security module that was not given or does not have it; hand the new \
             keys out by another way",
            alone.join(", ")
        ));
    }
    close(engine)?;
    Ok(Restored {
        backup: manifest.id.clone(),
        made_ms: manifest.made_ms,
        ledger: facts.len() as u64,
        chunks: behind.chunks,
        until_ms: behind.at_ms.unwrap_or(manifest.made_ms),
        tenants,
        again,
        warnings,
    })
}

fn close(engine: Engine) -> Result<()> {
    engine.close()
}

fn facts(inner: &Inner) -> Result<Vec<Entry>> {
    let rows = ledger::rows(&inner.catalog.read()?, 0)?;
    rows.iter().map(|(_, bytes)| row(bytes)).collect()
}

/// Compares the ledger with the head register.
fn is_newest(inner: &Inner, entries: u64, forced: Option<&str>) -> Result<(), OpenError> {
    let instance = ledger::instance(inner)?;
    let Some(head) = inner.heads.register().head(&ledger::register_row(&instance)) else {
        return Ok(());
    };
    if head.size > entries {
        let reason = format!(
            "it has {entries} entries, and the head register knows of {}",
            head.size
        );
        return not_the_newest(&reason, forced);
    }
    let key = ledger::key(&inner.tenant(SYSTEM_TENANT)?.keys.directory);
    match ledger::link_at(inner, &key, head.size)? == head.root.0 {
        true => Ok(()),
        false => not_the_newest("it is of another course than the head register knows", forced),
    }
}

/// Sizes of logs that the head register knows, by origin.
fn heads(inner: &Inner) -> Result<BTreeMap<String, u64>> {
    let heads = inner.heads.register().rows();
    let heads = match inner.rollback_detection {
        true => heads,
        // One that was made just now knows nothing.
        false => BTreeMap::new(),
    };
    Ok(heads
        .into_iter()
        .map(|(origin, head)| (origin, head.size))
        .collect())
}

/// Gives every log a new epoch that does not have one yet.
fn fork(engine: &Engine, manifest: &Manifest, facts: &[Entry]) -> Result<()> {
    let inner = &engine.inner;
    // Their last heads are known, and they end here.
    let ended: BTreeSet<&str> = facts
        .iter()
        .filter_map(|entry| match &entry.fact {
            Fact::Tenant { tenant, .. } => Some(tenant.as_str()),
            _ => None,
        })
        .collect();
    let epochs: BTreeMap<&str, u32> = manifest
        .tenants
        .iter()
        .map(|tenant| (tenant.id.as_str(), tenant.epoch))
        .collect();
    let mut names = inner.tenant_names(None, usize::MAX)?;
    // The others' forks are told of in it.
    names.sort_by_key(|(name, _)| name == SYSTEM_TENANT);
    for (name, id) in names {
        let txn = inner.catalog.read()?;
        let pending =
            by_tenant::get::<HandoverRow>(&txn, tables::HANDOVERS, &id)?.is_some_and(|row| row.is_forked());
        // One that had moved away takes nothing more here, so there is nothing that could be said twice.
        let moved = crate::moving::closed(&txn, &id)?.is_some();
        let ends = moved || destroy::is_decided(&txn, &id)? || ended.contains(id.to_string().as_str());
        drop(txn);
        let tenant = inner.tenant(&name)?;
        let epoch = epochs.get(id.to_string().as_str()).copied();
        let is_new = epoch.is_none_or(|epoch| tenant.epoch > epoch);
        if !(ends || pending || is_new) {
            let reason = format!("restored from backup {}", manifest.id);
            engine.fork(&name, &reason, None, true)?;
        }
    }
    Ok(())
}

/// Makes jobs of what has to be destroyed; the next start goes on with them. Revokes credentials.
fn prepare(inner: &Inner, facts: &[Entry], again: &mut Again) -> Result<()> {
    for entry in facts {
        match &entry.fact {
            Fact::Subjects {
                tenant: of,
                handles,
                basis,
                requested_by,
                approved_by,
                requested_ms,
            } => {
                let Some(tenant) = tenant(inner, of)? else {
                    continue;
                };
                let handles = parsed(handles)?;
                let of = erase::Again {
                    handles: &handles,
                    basis,
                    requested_by,
                    approved_by,
                    requested_ms: *requested_ms,
                };
                again.subjects += erase::again(inner, &tenant, &of)? as u64;
            }
            Fact::Tenant { tenant, row } => {
                again.tenants += u64::from(destroy::again(inner, &id(tenant)?, row)?);
            }
            Fact::Credential { id } => again.credentials += u64::from(revoke(inner, id, entry.at_ms)?),
            Fact::Records(_) => {}
        }
    }
    Ok(())
}

/// Revokes a credential that is not; says whether there was one.
fn revoke(inner: &Inner, id: &str, at_ms: u64) -> Result<bool> {
    inner.change(|update| {
        let mut table = update.txn().open_table(tables::CREDENTIALS).map_err(storage)?;
        let stored = table.get(id).map_err(storage)?.map(|row| row.value().to_vec());
        let Some(stored) = stored else { return Ok(false) };
        let mut credential: Value = row(&stored)?;
        if !credential["revoked_at_ms"].is_null() {
            return Ok(false);
        }
        credential["revoked_at_ms"] = at_ms.into();
        table
            .insert(id, encode(&credential)?.as_slice())
            .map_err(storage)?;
        Ok(true)
    })
}

/// What was let go of and is there still.
fn left(inner: &Inner, facts: &[Entry], covered: usize) -> Result<Option<String>> {
    let txn = inner.catalog.read()?;
    let handles = txn.open_table(tables::HANDLES).map_err(storage)?;
    for (number, entry) in facts.iter().enumerate() {
        match &entry.fact {
            Fact::Subjects {
                tenant, handles: of, ..
            } => {
                let tenant = id(tenant)?;
                for handle in parsed(of)? {
                    let found = handles
                        .get((tenant.as_bytes(), handle.as_bytes()))
                        .map_err(storage)?;
                    let found = found.and_then(|row| directory::HandleRow::parse(row.value()));
                    if found.is_some_and(|row| row.state == directory::HandleState::Live) {
                        return Ok(Some(format!("a person in tenant {tenant}")));
                    }
                }
            }
            Fact::Tenant { tenant, .. } => {
                if by_tenant::get::<Value>(&txn, tables::TENANTS, &id(tenant)?)?.is_some() {
                    return Ok(Some(format!("tenant {tenant}")));
                }
            }
            Fact::Records(records) => {
                let tenant = (number >= covered).then(|| tenant(inner, &records.tenant));
                if let Some(tenant) = tenant.transpose()?.flatten()
                    && !purge::left(inner, &tenant, records)?.is_empty()
                {
                    return Ok(Some(format!("records of tenant {}", tenant.id)));
                }
            }
            Fact::Credential { id } => {
                let table = txn.open_table(tables::CREDENTIALS).map_err(storage)?;
                let stored = table.get(id.as_str()).map_err(storage)?;
                let stored: Option<Value> = stored.map(|stored| row(stored.value())).transpose()?;
                if stored.is_some_and(|credential| credential["revoked_at_ms"].is_null()) {
                    return Ok(Some(format!("credential {id}")));
                }
            }
        }
    }
    Ok(None)
}

fn restored(
    engine: &Engine,
    manifest: &Manifest,
    behind: &Behind,
    known: &BTreeMap<String, u64>,
) -> Result<Vec<RestoredTenant>> {
    let inner = &engine.inner;
    let mut restored = Vec::new();
    for was in &manifest.tenants {
        if let Some(tenant) = tenant(inner, &was.id)? {
            let end = behind.ends.get(&was.id).copied().unwrap_or(0).max(was.size);
            let known = known.get(&was.origin).copied();
            let keys = engine.log_keys(&tenant.name)?;
            let former = keys.iter().rev().find(|key| key.state == LogKeyState::Retired);
            restored.push(RestoredTenant {
                name: tenant.name.clone(),
                entries: was.size,
                from_chunks: end - was.size,
                known,
                lost: known.map(|known| known.saturating_sub(end)),
                origin: tenant.origin.clone(),
                vouched: former.is_none_or(|key| key.handover.is_some()),
            });
        }
    }
    restored.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(restored)
}

/// Tells `_system`.
fn record(
    inner: &Inner,
    manifest: &Manifest,
    behind: &Behind,
    entries: usize,
    again: &Again,
    forced: Option<&str>,
) -> Result<()> {
    let event = json!({
        "action": "instance.restore",
        "operation": "create",
        "actor": { "type": "server", "id": "internal" },
        "targets": [{ "type": "backup", "id": manifest.id }],
        "metadata": {
            "made_ms": manifest.made_ms,
            "chunks": behind.chunks,
            "ledger": entries,
            "again": again,
            "register": inner.rollback_detection,
            "without_ledger": forced,
        },
    });
    inner.append_internal(event.to_string().as_bytes())
}

/// The tenant of that id, if there is one still.
fn tenant(inner: &Inner, text: &str) -> Result<Option<Arc<Tenant>>> {
    match inner.tenant_of(&id(text)?) {
        Ok(tenant) => Ok(Some(tenant)),
        Err(Error::UnknownTenant) => Ok(None),
        Err(error) => Err(error),
    }
}

fn id(text: &str) -> Result<TenantId> {
    let bytes = unhex(text).ok_or_else(|| Error::damage("ledger", 0, "id of a tenant"))?;
    Ok(TenantId::from_bytes(bytes))
}

fn parsed(handles: &[String]) -> Result<Vec<Handle>> {
    let handle = |text: &String| unhex(text).map(Handle::from_bytes);
    let handles = handles
        .iter()
        .map(|text| handle(text).ok_or_else(|| Error::damage("ledger", 0, "a handle")));
    handles.collect()
}

/// More than any destruction takes.
const STEPS: usize = 64;
