//! Reads the WAL into the tenants' tails.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_disk::Disk;
use attestore_keys::{Entropy, Key};
use attestore_record::TenantId;
use attestore_wal::{Frame, Position, ReplayError, SectionBody, Source, file_path};
use parking_lot::Mutex;

use super::RecoveryReport;
use super::apply::Stage;
use crate::append::section;
use crate::catalog::{Catalog, InstanceRow};
use crate::error::OpenError;
use crate::tenant::{Registry, Tenant};
use crate::wal_files::CatalogKeys;

/// What a replay gives.
pub(crate) struct Replayed {
    /// Where the log ends.
    pub(crate) end: Position,
    pub(crate) report: RecoveryReport,
}

/// Replays the log; the registry then holds every tenant that has records in it.
///
/// # Errors
/// Damage and keys; nothing that belongs to the data was changed.
pub(crate) fn replay(
    disk: &Arc<dyn Disk>,
    catalog: &Arc<Catalog>,
    entropy: &Arc<dyn Entropy>,
    registry: &Registry,
    row: &InstanceRow,
) -> Result<Replayed, OpenError> {
    let loader = Loader {
        disk,
        catalog,
        entropy,
        registry,
        failed: Mutex::new(None),
    };
    let mut stages: BTreeMap<TenantId, Stage> = BTreeMap::new();
    let mut report = RecoveryReport::default();
    let mut failed: Option<OpenError> = None;
    let source = Source {
        disk: &**disk,
        file_keys: &CatalogKeys(catalog),
        section_keys: &loader,
        low: row.wal_low,
        claimed: Some(Position {
            wal: row.durable.wal,
            offset: row.durable.offset,
        }),
    };
    let outcome = attestore_wal::replay(&source, &mut |frame| {
        if failed.is_none() {
            report.frames += 1;
            failed = take(&**disk, registry, &mut stages, frame).err();
        }
    });
    if let Some(error) = loader.failed.into_inner() {
        return Err(error);
    }
    let outcome = outcome.map_err(refused)?;
    if let Some(error) = failed {
        return Err(error);
    }
    for stage in stages.into_values() {
        let records = stage.finish(&**entropy);
        report.records += records;
        report.tenants += u64::from(records > 0);
    }
    report.torn = outcome.torn;
    Ok(Replayed {
        end: outcome.end,
        report,
    })
}

/// Applies the sections of a frame.
fn take(
    disk: &dyn Disk,
    registry: &Registry,
    stages: &mut BTreeMap<TenantId, Stage>,
    frame: Frame,
) -> Result<(), OpenError> {
    let damage =
        |reason: String| OpenError::damage(file_path(frame.position.wal), frame.position.offset, reason);
    for (owner, body) in frame.sections {
        let SectionBody::Bytes(payload) = body else {
            continue;
        };
        let id = TenantId::from_bytes(owner);
        let section = section::parse(payload).map_err(|error| damage(error.to_string()))?;
        let stage = match stages.entry(id) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                // Its key was asked for, so it is loaded.
                let tenant = registry
                    .get(&id)
                    .ok_or_else(|| damage(format!("unknown tenant {id}")))?;
                entry.insert(Stage::new(tenant))
            }
        };
        stage.apply(disk, section).map_err(|error| match error {
            super::apply::ApplyError::Mismatch(reason) => damage(format!("tenant {id}: {reason}")),
            super::apply::ApplyError::Other(error) => error.into(),
        })?;
    }
    Ok(())
}

/// Loads the tenants whose sections come up.
struct Loader<'a> {
    disk: &'a Arc<dyn Disk>,
    catalog: &'a Arc<Catalog>,
    entropy: &'a Arc<dyn Entropy>,
    registry: &'a Registry,
    failed: Mutex<Option<OpenError>>,
}

impl attestore_wal::SectionKeys for Loader<'_> {
    fn section_key(&self, owner: &[u8; 16]) -> Result<Key, attestore_wal::SectionKeyError> {
        let id = TenantId::from_bytes(*owner);
        if let Some(tenant) = self.registry.get(&id) {
            return Ok(tenant.keys.ring().current().duplicate());
        }
        match Tenant::load(self.catalog, &**self.disk, &**self.entropy, id) {
            Ok(tenant) => {
                let tenant = Arc::new(tenant);
                self.registry.insert(&tenant);
                Ok(tenant.keys.ring().current().duplicate())
            }
            Err(crate::Error::UnknownTenant) => Err(attestore_wal::KeyError::Missing),
            Err(error) => {
                // The log cannot carry this reason, so it is kept here.
                *self.failed.lock() = Some(error.into());
                Err(attestore_wal::KeyError::Missing)
            }
        }
    }

    fn former_section_key(&self, owner: &[u8; 16]) -> Option<Key> {
        // Its current key was asked for, so it is loaded.
        let tenant = self.registry.get(&TenantId::from_bytes(*owner))?;
        tenant.keys.ring().former().map(Key::duplicate)
    }
}

fn refused(error: ReplayError) -> OpenError {
    match error {
        ReplayError::Damage { path, offset, reason } => OpenError::Damage { path, offset, reason },
        error @ ReplayError::Key { .. } => OpenError::Key(error.to_string()),
        ReplayError::Io { path, source } => OpenError::Io(std::io::Error::new(
            source.kind(),
            format!("{}: {source}", path.display()),
        )),
        error @ ReplayError::Version { .. } => OpenError::Other(error.to_string()),
    }
}
