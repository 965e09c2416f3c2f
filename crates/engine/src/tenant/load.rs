//! Loading a tenant from the catalog.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

use arc_swap::{ArcSwap, ArcSwapOption};
use attestore_disk::{Disk, Mode};
use attestore_keys::{Entropy, Slot, SlotContext, SlotKind};
use attestore_record::{HashVersion, TenantId};
use attestore_tlog::{Frontier, Hash};
use parking_lot::{Mutex, RwLock};

use super::{Core, Directory, FileSet, Generation, Ring, Tail, Tenant, TenantKeys, View};
use crate::catalog::{
    Catalog, FileRow, FileType, TenantRow, by_tenant, json, storage, tables, unhex, unhex_vec,
};
use crate::handover::{HandoverRow, Signing, signing_key};
use crate::{Error, Result};

impl Tenant {
    /// Takes up a tenant from its rows, and cuts `entries` and `nodes` to what the catalog counts.
    pub(crate) fn load(
        catalog: &Arc<Catalog>,
        disk: &dyn Disk,
        entropy: &dyn Entropy,
        id: TenantId,
    ) -> Result<Self> {
        let txn = catalog.read()?;
        let table = txn.open_table(tables::TENANTS).map_err(storage)?;
        let row = table
            .get(id.as_bytes())
            .map_err(storage)?
            .ok_or(Error::UnknownTenant)?;
        let row: TenantRow = json(row.value())?;
        let damage = |what: &str| Error::damage("catalog", 0, format!("tenant {id}: {what}"));
        let frontier = unhex_vec(&row.frontier).ok_or_else(|| damage("frontier is not hex"))?;
        let frontier = Frontier::from_bytes(&frontier).map_err(|error| damage(&error.to_string()))?;
        let root = unhex(&row.root)
            .map(Hash)
            .ok_or_else(|| damage("root is not hex"))?;
        if frontier.size() != row.flushed || frontier.root() != root {
            return Err(damage("frontier, root and count do not fit each other"));
        }
        let hash_version =
            HashVersion::from_byte(row.hash_version).ok_or_else(|| damage("unknown hash version"))?;
        cut(disk, &id, row.flushed)?;
        let view = View {
            flushed: Arc::new(file_sets(&txn, &id)?),
            tail: Tail::new(row.flushed),
            size: row.flushed,
            root,
            frontier: frontier.clone(),
            last_time_ms: row.last_time_ms,
        };
        let generation = Arc::new(Generation::fresh(row.salt_generation, entropy));
        let keys = keys(catalog, &txn, &id, &row)?;
        let ending = crate::forget::destroy::is_decided(&txn, &id)?;
        let moved = crate::moving::closed(&txn, &id)?;
        let hidden = crate::forget::load_hidden(catalog, &txn, &id, &keys.ring())?;
        Ok(Self {
            id,
            keys,
            name: row.name,
            origin: row.origin,
            epoch: row.epoch,
            created_ms: row.created_ms,
            privacy: ArcSwap::from_pointee(row.privacy),
            feed: crate::follow::Feed::default(),
            index: ArcSwap::from_pointee(row.index),
            hash: AtomicU8::new(hash_version.byte()),
            catalog: Arc::clone(catalog),
            directory: Directory::new(&catalog.subjects),
            generations: RwLock::new(vec![Arc::clone(&generation)]),
            generation: ArcSwap::new(generation),
            core: Mutex::new(Core {
                flushed_frontier: frontier,
                tail_bytes: 0,
                tail_since_ms: None,
                wal_runs: VecDeque::new(),
                round: 0,
                known: crate::idempotency::Known::default(),
                next_set: row.next_set,
            }),
            view: ArcSwap::from_pointee(view),
            rolled_back: RwLock::new(None),
            forked: AtomicBool::new(false),
            used_ms: AtomicU64::new(0),
            recovered: AtomicU64::new(row.flushed),
            indexed: AtomicU64::new(0),
            backlog: AtomicU64::new(0),
            holds: ArcSwap::from_pointee(crate::forget::holds::Holds::load(&txn, &id)?),
            rules: ArcSwap::from_pointee(crate::forget::rules::Rules::load(&txn, &id)?),
            hidden: ArcSwap::from_pointee(hidden),
            destructions: AtomicU64::new(0),
            deciding: Mutex::default(),
            corrected: AtomicBool::new(row.corrected),
            ending: AtomicBool::new(ending),
            moved: ArcSwapOption::from_pointee(moved),
            stale: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            gone: ArcSwap::from_pointee(crate::forget::gone::Gone::load(&txn, &id)?),
        })
    }
}

fn keys(
    catalog: &Catalog,
    txn: &redb::ReadTransaction,
    id: &TenantId,
    row: &TenantRow,
) -> Result<TenantKeys> {
    let ring = ring(catalog, id, row)?;
    let handed = by_tenant::get::<HandoverRow>(txn, tables::HANDOVERS, id)?.unwrap_or_default();
    let signer = |slot| signing_key(catalog, id, &ring, slot);
    let retiring = handed.retiring.as_ref().map(|key| signer(key.slot)).transpose()?;
    let signing = Signing::new(signer(row.signing_slot)?, retiring, &handed.former)?;
    let directory = ring.open(
        catalog,
        Slot(row.directory_slot),
        &own_context(id, SlotKind::Directory),
    )?;
    Ok(TenantKeys::new(ring, signing, directory))
}

/// The tenant key of a row, and the one before it.
///
/// # Errors
/// As [`Catalog::key`].
pub(crate) fn ring(catalog: &Catalog, id: &TenantId, row: &TenantRow) -> Result<Ring> {
    let key = |slot| catalog.key(Slot(slot), &own_context(id, SlotKind::TenantKey), None);
    Ok(Ring::new(
        key(row.key_slot)?,
        row.former_key_slot.map(key).transpose()?,
    ))
}

/// What a key is bound to of which a tenant has one.
pub(crate) const fn own_context(id: &TenantId, kind: SlotKind) -> SlotContext {
    SlotContext {
        kind,
        tenant: *id.as_bytes(),
        owner: [0; 16],
    }
}

/// The segments of a tenant, ascending by first seq.
pub(crate) fn file_sets(txn: &redb::ReadTransaction, id: &TenantId) -> Result<Vec<Arc<FileSet>>> {
    let table = txn.open_table(tables::FILES).map_err(storage)?;
    let (first, last) = (
        (id.as_bytes(), 0, 0, 0),
        (id.as_bytes(), u64::MAX, u32::MAX, u8::MAX),
    );
    let mut rows: Vec<FileRow> = Vec::new();
    for row in table.range(first..=last).map_err(storage)? {
        rows.push(json(row.map_err(storage)?.1.value())?);
    }
    group(rows).ok_or_else(|| Error::damage("catalog", 0, format!("tenant {id}: a segment without its .seg")))
}

/// Puts the files of each segment together, the newest generation of each type.
pub(crate) fn group(rows: Vec<FileRow>) -> Option<Vec<Arc<FileSet>>> {
    let mut sets: std::collections::BTreeMap<u64, [Option<FileRow>; 3]> = Default::default();
    for row in rows {
        let files = sets.entry(row.set).or_default();
        let file = &mut files[match row.ty {
            FileType::Seg => 0,
            FileType::Sub => 1,
            FileType::Idx => 2,
        }];
        if file.as_ref().is_none_or(|held| held.generation < row.generation) {
            *file = Some(row);
        }
    }
    let mut sets = sets
        .into_iter()
        .map(|(set, [seg, sub, idx])| {
            let seg = seg?;
            Some(Arc::new(FileSet {
                set,
                class: seg.class,
                seg,
                sub,
                idx,
            }))
        })
        .collect::<Option<Vec<_>>>()?;
    sets.sort_by_key(|set| (set.min_seq(), set.set));
    Some(sets)
}

/// Cuts `entries` and `nodes.<L>` to what the catalog counts: a crash may have left more. Less is damage.
fn cut(disk: &dyn Disk, id: &TenantId, flushed: u64) -> Result<()> {
    let dir = Path::new("tenants").join(id.to_string());
    for (name, bytes) in crate::flush::tree_files(flushed) {
        let path = dir.join(name);
        let length = match disk.len(&path) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        if length < bytes {
            return Err(Error::damage(
                path,
                length,
                format!("{bytes} bytes are counted, {length} are there"),
            ));
        }
        if length > bytes {
            disk.open(&path, Mode::ReadWrite)?.set_len(bytes)?;
        }
    }
    Ok(())
}
