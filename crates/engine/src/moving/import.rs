//! The target: from a package to a tenant that is found, or to nothing.

use std::sync::Arc;

use attestore_keys::{SlotContext, SlotKind};
use attestore_record::TenantId;
use attestore_tlog::VerifierKey;
use serde::{Deserialize, Serialize};

use super::invite::NextKey;
use super::package::{self, Manifest, bad};
use super::row::InRow;
use super::take::{self, Taken};
use super::{
    ImportInfo, ImportState, conflict, copy, entries, folder_of, invalid, invite, key, receipt, remove_all,
};
use crate::catalog::{by_tenant, encode, hex, json, storage, tables, tenant_rows};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::erase::ErasureRow;
use crate::handover::{self, FormerRow, HandoverRow};
use crate::instance::{Engine, Inner};
use crate::tenant::{Tenant, check_name};

/// A tenant that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Its id, hex: as it was at the source.
    pub tenant: String,
    /// Its name here.
    pub name: String,
    /// Id of the instance that it came from.
    pub from_instance: String,
    /// The origin of its log there.
    pub former_origin: String,
    /// The origin of its log here.
    pub origin: String,
    /// Entries that came; the seq of the record of the new epoch.
    pub size: u64,
    /// Root over them, hex.
    pub root: String,
    /// The last checkpoint that the source signed.
    pub checkpoint: String,
    /// SHA-256 of the package's manifest, hex.
    pub package: String,
    /// People whose keys came.
    pub subjects: u64,
    /// Sealed files that came.
    pub files: u64,
    /// When, Unix milliseconds.
    pub at_ms: u64,
}

impl Engine {
    /// Takes up the tenant whose package lies in `moves/<id>` of the data directory. `vkey` is the key of its log as the source tells it;
    /// `name` another name than it had there. On return it is here, goes on in an epoch of its own, and what it was packed with opens
    /// nothing more.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NotFound`]; [`Error::Invalid`] `no_package`, `invalid_package`, `invalid_vkey`; [`Error::InvalidName`];
    /// [`Error::Conflict`] `tenant_known`, `name_taken`, `move_imported`; as changes of the catalog and appends. After an error nothing of it
    /// is here, or it is here and the next start ends what is left.
    pub fn import_move(
        &self,
        by: &Principal,
        id: &str,
        vkey: &str,
        name: Option<&str>,
    ) -> Result<ImportInfo> {
        by.check_instance(Permission::MoveTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        let trusted = VerifierKey::parse(vkey.trim())
            .map_err(|error| invalid("invalid_vkey", format!("the key of the log: {error}")))?;
        if let Some(name) = name {
            check_name(name)?;
        }
        {
            let _working = inner.moves.alone()?;
            if invite::stored(inner, id)?.state == ImportState::Importing {
                throw_away(inner, id)?;
            }
            let row = invite::stored(inner, id)?;
            let done = run(inner, by, row, &trusted, name);
            if let Err(error) = done {
                let left = || Ok::<_, Error>(invite::stored(inner, id)?.state == ImportState::Importing);
                if inner.stopped().is_none() && left()? {
                    throw_away(inner, id)?;
                }
                return Err(error);
            }
            remove_all(&*inner.disk, &folder_of(id))?;
        }
        metrics::counter!("attestore_tenants_moved_total", "direction" => "in").increment(1);
        self.move_in(by, id)
    }
}

fn run(
    inner: &Inner,
    by: &Principal,
    mut row: InRow,
    trusted: &VerifierKey,
    name: Option<&str>,
) -> Result<()> {
    let (recipient, signing) = invite::keys(inner, &row)?;
    let id = row.invitation.id.clone();
    let manifest = package::read(&*inner.disk, &id, Some(trusted))?;
    package::is_for(&manifest, &row.invitation)?;
    let dump = package::open_escrow(&manifest, &recipient)?;
    let tenant = key(&manifest.tenant).map_err(|_| bad("id of its tenant"))?;
    free(inner, &tenant)?;
    row.state = ImportState::Importing;
    row.tenant = Some(tenant.to_string());
    inner.change(|update| invite::put(update, &row))?;
    inner
        .moves
        .begin(manifest.bytes().saturating_sub(manifest.rows.bytes));
    inner.disk.create_dir_all(&copy::dir(&tenant))?;
    let frontier = entries::take(inner, &tenant, &manifest)?;
    let mut taken = take::rows(inner, &tenant, &manifest, &dump)?;
    let head = &mut taken.head.row;
    if head.origin != manifest.origin || head.flushed != manifest.size || head.root != manifest.root {
        return Err(bad("its rows are of another log"));
    }
    let former = taken.head.former.iter().map(FormerRow::vkey);
    let named = &manifest.vkeys[..manifest.vkeys.len().saturating_sub(1)];
    let keys = named.iter().all(|vkey| VerifierKey::parse(vkey).is_ok());
    if head.epoch != manifest.epoch || !keys || !former.eq(named) {
        return Err(bad("its rows name other keys of the log than it does"));
    }
    if let Some(name) = name {
        name.clone_into(&mut head.name);
    }
    check_name(&head.name)?;
    head.frontier = hex(&frontier.to_bytes());
    inner.disk.sync_all()?;
    row.state = ImportState::Imported;
    row.imported_by = Some(by.id.clone());
    row.imported = Some(Imported {
        tenant: tenant.to_string(),
        name: head.name.clone(),
        from_instance: manifest.instance.clone(),
        former_origin: manifest.origin.clone(),
        origin: row.invitation.key()?.name().to_owned(),
        size: manifest.size,
        root: manifest.root.clone(),
        checkpoint: manifest.checkpoint.clone(),
        package: attestore_export::sha256_hex(&crate::backup::folder::read(
            &*inner.disk,
            &package::manifest_path(&id),
        )?),
        subjects: taken.subjects,
        files: taken.files,
        at_ms: inner.clock.now_ms(),
    });
    settle(inner, &tenant, &manifest, taken, &signing, &mut row)?;
    receipt::store(inner, row).map(drop)
}

/// Refuses a tenant that is here or was.
fn free(inner: &Inner, tenant: &TenantId) -> Result<()> {
    let was = by_tenant::get::<serde_json::Value>(&inner.catalog.read()?, tables::DESTROYED, tenant)?;
    if was.is_some() {
        let message = "this server destroyed the tenant, or let go of it: it does not come back";
        return Err(conflict("tenant_known", message));
    }
    match super::rows_of(inner, tenant)? {
        0 => Ok(()),
        _ => Err(conflict("tenant_known", "the tenant is on this server")),
    }
}

/// The commit from which the tenant is here, and the record of its epoch.
fn settle(
    inner: &Inner,
    tenant: &TenantId,
    manifest: &Manifest,
    taken: Taken,
    signing: &NextKey,
    row: &mut InRow,
) -> Result<()> {
    let next = row.invitation.key()?;
    let last = manifest.vkey()?.to_string();
    let reason = format!(
        "moved from the server {}, move {}",
        manifest.instance, manifest.id
    );
    let pending = {
        let flushing = inner.flushing.lock();
        let loading = inner.tenants.loading.lock();
        inner.check_running()?;
        inner.change(|update| {
            let mut head = taken.head.row;
            if update.tenant_named(&head.name)?.is_some() {
                let message = format!("there is a tenant of the name {}: give it another", head.name);
                return Err(conflict("name_taken", message));
            }
            for (table, key, value) in &taken.rows {
                let value = with_leaving(table, key, value, &taken.leaving)?;
                tenant_rows::put(update, tenant, table, key, &value)?;
            }
            let context = |kind| SlotContext {
                kind,
                tenant: *tenant.as_bytes(),
                owner: [0; 16],
            };
            let key = &taken.tenant_key;
            head.key_slot = update.put_key(context(SlotKind::TenantKey), None, key)?.0;
            head.signing_slot = signing.keep(update, tenant, key)?.0;
            let directory = context(SlotKind::Directory);
            head.directory_slot = update.put_key(directory, Some(key), &taken.directory_key)?.0;
            next.name().clone_into(&mut head.origin);
            head.epoch = head.epoch.saturating_add(1);
            let handed = HandoverRow::moved_here(
                taken.head.former,
                (&last, &manifest.origin),
                (manifest.size, &manifest.root),
                &manifest.handover,
                reason,
            );
            by_tenant::put(update, tables::HANDOVERS, tenant, &handed)?;
            crate::keyring::moved_here(update, tenant, &handed, inner.clock.now_ms())?;
            update.put_tenant(tenant, &head)?;
            update.put_tenant_name(&head.name, tenant)?;
            invite::destroy_keys(update, row)?;
            invite::put(update, row)
        })?;
        let loaded = Tenant::load(&inner.catalog, &*inner.disk, &*inner.entropy, *tenant);
        // It is here, and takes nothing before the record of its epoch.
        let loaded = loaded.inspect_err(|error| inner.fail_stop(format!("a tenant that came: {error}")))?;
        let loaded = Arc::new(loaded);
        let pending = handover::begin_here(inner, &loaded, || {
            inner.tenants.insert(&loaded);
            drop(loading);
        });
        drop(flushing);
        pending?
    };
    handover::finish_forks(inner, vec![pending])?;
    inner.quotas.take_up(&inner.catalog, tenant)?;
    inner.erasures.take_up(&inner.catalog, tenant)?;
    inner.watches.tell();
    tracing::info!(%tenant, records = manifest.size, "a tenant came from another server");
    Ok(())
}

/// The row of an erasure gets the people back whom it is about.
fn with_leaving(
    table: &str,
    key: &[u8],
    value: &[u8],
    leaving: &std::collections::BTreeMap<[u8; 16], Vec<crate::forget::erase::LeavingRow>>,
) -> Result<Vec<u8>> {
    use redb::TableHandle;
    if table != tables::ERASURES.name() {
        return Ok(value.to_vec());
    }
    let mut row: ErasureRow = json(value)?;
    let id: [u8; 16] = super::rows::part(key, 16)?;
    row.subjects = leaving.get(&id).cloned().unwrap_or_default();
    encode(&row)
}

/// Throws away what an import left that did not come to its end; another one may begin.
///
/// # Errors
/// As reads and changes of the catalog; what the disk says.
pub(super) fn throw_away(inner: &Inner, id: &str) -> Result<()> {
    let mut row = invite::stored(inner, id)?;
    if let Some(text) = row.tenant.take() {
        let tenant = key(&text)?;
        let there = by_tenant::get::<serde_json::Value>(&inner.catalog.read()?, tables::TENANTS, &tenant)?;
        if there.is_some() {
            return Err(Error::damage("catalog", 0, "a tenant that came and did not"));
        }
        // Files go first: their rows say that there may be some.
        remove_all(&*inner.disk, &copy::dir(&tenant))?;
        inner.change(|update| tenant_rows::remove(update, &tenant).map(drop))?;
    }
    row.state = ImportState::Invited;
    inner.change(|update| {
        let table = update.txn().open_table(tables::MOVES_IN).map_err(storage)?;
        drop(table);
        invite::put(update, &row)
    })
}
