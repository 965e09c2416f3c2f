//! Removes what an interrupted flush or start left: files with our names that the catalog does not name.
//!
//! Only folders that somebody may have been working on are looked at: those of tenants with a tail, of those that a compaction
//! noted and of those with a purge or an erasure under way, `l0` and `wal`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::{DirEntry, Disk};
use attestore_record::TenantId;
use attestore_wal::parse_file_name;
use redb::ReadableTable;

use crate::catalog::{Catalog, storage, tables};
use crate::tenant::Registry;
use crate::{Error, Result};

/// Removes leftovers; returns what was removed. The log must have been written anew. `forgetting` are tenants with a purge or an
/// erasure under way.
///
/// # Errors
/// What the catalog or the system says.
pub(crate) fn clean(
    disk: &dyn Disk,
    catalog: &Catalog,
    registry: &Registry,
    wal_low: u64,
    forgetting: BTreeSet<TenantId>,
) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    let freed = |name: &str| parse_file_name(name).is_some_and(|number| number < wal_low);
    sweep(disk, Path::new(attestore_wal::DIR), freed, &mut removed)?;
    let live = live_l0(catalog)?;
    let dead = |name: &str| name.ends_with(".l0.tmp") || name.ends_with(".l0") && !live.contains(name);
    sweep(disk, Path::new("l0"), dead, &mut removed)?;
    let with_tail = registry
        .all()
        .into_iter()
        .filter(|tenant| !tenant.view().tail.is_empty());
    let mut tenants: BTreeSet<TenantId> = with_tail.map(|tenant| tenant.id).collect();
    tenants.extend(crate::compact::noted(catalog)?);
    tenants.extend(forgetting);
    let txn = catalog.read()?;
    for id in tenants {
        let sets = crate::tenant::file_sets(&txn, &id)?;
        let names = sets
            .iter()
            .flat_map(|set| set.files())
            .filter_map(|row| row.path.file_name());
        let named: BTreeSet<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        let dead = |name: &str| {
            let stem = name.strip_suffix(".tmp").unwrap_or(name);
            let ours = [".seg", ".sub", ".idx"]
                .iter()
                .any(|extension| stem.ends_with(extension));
            ours && !named.contains(name)
        };
        sweep(
            disk,
            &Path::new("tenants").join(id.to_string()),
            dead,
            &mut removed,
        )?;
    }
    Ok(removed)
}

fn sweep(disk: &dyn Disk, dir: &Path, dead: impl Fn(&str) -> bool, removed: &mut Vec<PathBuf>) -> Result<()> {
    let entries: Vec<DirEntry> = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries.iter().filter(|entry| !entry.is_dir && dead(&entry.name)) {
        let path = dir.join(&entry.name);
        disk.remove(&path)?;
        removed.push(path);
    }
    Ok(())
}

fn live_l0(catalog: &Catalog) -> Result<BTreeSet<String>> {
    let table = catalog.read()?.open_table(tables::L0).map_err(storage)?;
    let mut live = BTreeSet::new();
    for row in table.iter().map_err(storage)? {
        let (number, _) = row.map_err(storage)?;
        live.insert(crate::flush::l0_name(number.value()));
    }
    Ok::<_, Error>(live)
}
