//! The catalog commit of a round, and what may be shown and freed after it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use attestore_keys::{Entropy, Key, NewKey, Slot, random_array};
use attestore_record::TenantId;
use redb::ReadableTable;

use super::build::Sealed;
use super::cut::Cut;
use crate::catalog::directory::{DirectoryRow, HandleRow, HandleState};
use crate::catalog::{FileType, TenantRow, Update, WalPosition, hex, storage, tables};
use crate::instance::Inner;
use crate::tenant::{FileSet, Subject, View, lookup_context, subject_context};
use crate::{Error, Result};

/// A tenant's part of a round: its files are durable.
pub(super) struct Flushed {
    pub(super) cut: Cut,
    /// The files of each new segment.
    pub(super) sets: Vec<Vec<Sealed>>,
    /// Segments of parts that the new ones replace.
    pub(super) replaced: Vec<Arc<FileSet>>,
}

/// Commits a round; returns the paths of files that nothing names any more.
///
/// # Errors
/// As [`crate::catalog::Catalog::update`].
pub(super) fn commit(inner: &Inner, round: &[Flushed], l0: Option<(u64, u64)>) -> Result<Vec<PathBuf>> {
    let (low, durable) = {
        let committer = inner.committer.lock();
        let watermark = committer
            .watermark()
            .ok_or_else(|| Error::Stopped("the log is closed".into()))?;
        (low(inner, round, watermark.wal), watermark)
    };
    let (numbers, gone) = inner.catalog.update::<_, Error>(|update| {
        let mut gone = Vec::new();
        for flushed in round {
            tenant(inner, update, flushed)?;
            gone.extend(replace(update, flushed)?);
        }
        if let Some((number, parts)) = l0 {
            update.add_l0_parts(number, i64::try_from(parts).unwrap_or(i64::MAX))?;
            update.instance.l0_next = update.instance.l0_next.max(number + 1);
        }
        let newest = round
            .iter()
            .map(|flushed| flushed.cut.view.last_time_ms)
            .max()
            .unwrap_or(0);
        let row = &mut update.instance;
        row.durable = WalPosition {
            wal: durable.wal,
            offset: durable.offset,
        };
        row.newest_time_ms = row.newest_time_ms.max(newest);
        Ok((update.free_wal_below(low)?, gone))
    })?;
    for flushed in round {
        publish(inner, flushed);
        // Not under the committer's lock: an index in the making is waited for.
        inner.search.flushed(&flushed.cut.tenant);
    }
    if let Err(error) = inner.wal.free(inner, &numbers) {
        tracing::warn!(%error, "freed WAL files stay as strays");
    }
    Ok(gone)
}

/// From which WAL file on records are needed once the round is committed.
fn low(inner: &Inner, round: &[Flushed], current: u64) -> u64 {
    let mut low = current;
    for tenant in inner.tenants.all() {
        let core = tenant.core.lock();
        let view = tenant.view.load();
        let flushed = round.iter().find(|flushed| flushed.cut.tenant.id == tenant.id);
        let start = flushed.map_or(view.tail.start(), |flushed| flushed.cut.seqs.end);
        if start == view.size {
            continue;
        }
        let run = core.wal_runs.iter().rev().find(|(first, _)| *first <= start);
        low = low.min(run.map_or(0, |(_, wal)| *wal));
    }
    low
}

fn tenant(inner: &Inner, update: &mut Update<'_>, flushed: &Flushed) -> Result<()> {
    let cut = &flushed.cut;
    let id = &cut.tenant.id;
    let mut row: TenantRow = update.tenant(id)?.ok_or(Error::UnknownTenant)?;
    let places = places(&*inner.entropy, update, &mut row, &cut.subjects);
    let ring = cut.tenant.keys.ring();
    let mut keys: Vec<NewKey<'_>> = Vec::new();
    for sealed in flushed.sets.iter().flatten() {
        keys.push(sealed.new_key(&cut.tenant, &ring));
        update.put_file(id, &sealed.row)?;
    }
    keys.extend(subject_keys(id, ring.current(), &places));
    update.put_keys(&keys)?;
    directory_rows(&*inner.entropy, update, id, &places)?;
    row.salt_generation = row.salt_generation.max(cut.next_generation);
    row.next_set = flushed
        .sets
        .iter()
        .flatten()
        .map(|file| file.row.set + 1)
        .fold(row.next_set, u64::max);
    row.flushed = cut.seqs.end;
    row.frontier = hex(&cut.view.frontier.to_bytes());
    row.root = hex(cut.view.root.as_bytes());
    row.last_time_ms = cut.view.last_time_ms;
    update.put_tenant(id, &row)
}

/// Where the keys of a new subject go.
struct Place<'a> {
    subject: &'a Subject,
    slot: Slot,
    lookup_slot: Slot,
    lookup_key: Key,
}

/// Hangs the keys of subjects that another server had, under fresh lookup keys, and stores the rows of their handles; those of the
/// directory only if they are `listed`. Returns the latter either way.
///
/// # Errors
/// As writes.
pub(crate) fn adopt_subjects(
    entropy: &dyn Entropy,
    update: &mut Update<'_>,
    (id, row): (&TenantId, &mut TenantRow),
    tenant_key: &Key,
    subjects: &[Arc<Subject>],
    listed: bool,
) -> Result<Vec<DirectoryRow>> {
    let places = places(entropy, update, row, subjects);
    update.put_keys(&subject_keys(id, tenant_key, &places))?;
    directory_rows(entropy, update, id, &places)?;
    let mut rows = Vec::with_capacity(places.len());
    let mut directory = update.txn().open_table(tables::DIRECTORY).map_err(storage)?;
    for place in &places {
        let key = (id.as_bytes(), &place.subject.blind);
        let stored = match listed {
            true => directory.get(key).map_err(storage)?,
            false => directory.remove(key).map_err(storage)?,
        };
        let parsed = stored.and_then(|row| DirectoryRow::parse(row.value()));
        rows.push(parsed.ok_or_else(|| Error::damage("catalog", 0, "a row of the directory"))?);
    }
    Ok(rows)
}

/// The keys of subjects as they are hung into the tree.
fn subject_keys<'a>(id: &TenantId, tenant_key: &'a Key, places: &'a [Place<'_>]) -> Vec<NewKey<'a>> {
    let of = |place: &'a Place<'_>| {
        let own = NewKey {
            slot: place.slot,
            context: subject_context(id, &place.subject.handle),
            wrap: Some(tenant_key),
            value: &place.subject.key,
        };
        let lookup = NewKey {
            slot: place.lookup_slot,
            context: lookup_context(id, &place.subject.blind),
            wrap: Some(tenant_key),
            value: &place.lookup_key,
        };
        [own, lookup]
    };
    places.iter().flat_map(of).collect()
}

/// Takes slots from the tenant's buckets: pages that hold no other tenant's keys.
fn places<'a>(
    entropy: &dyn Entropy,
    update: &mut Update<'_>,
    row: &mut TenantRow,
    subjects: &'a [Arc<Subject>],
) -> Vec<Place<'a>> {
    let mut places = Vec::with_capacity(subjects.len());
    for subject in subjects {
        if row.bucket.1 == 0 {
            row.bucket = (update.reserve_bucket().0, BUCKET_SLOTS);
        }
        let slot = Slot(row.bucket.0);
        row.bucket.0 += 1;
        row.bucket.1 -= 1;
        let (first, free) = &mut row.lookup_bucket;
        if *free == 0 {
            (*first, *free) = (update.reserve_bucket().0, u64::MAX);
        }
        let bit = any_bit(*free, u64::from_le_bytes(random_array(entropy)));
        *free &= !(1 << bit);
        places.push(Place {
            subject,
            slot,
            lookup_slot: Slot(*first + u64::from(bit)),
            lookup_key: Key::random(entropy),
        });
    }
    places
}

/// One of the bits that are set in `free`, which is not 0.
fn any_bit(mut free: u64, random: u64) -> u32 {
    for _ in 0..random % u64::from(free.count_ones().max(1)) {
        free &= free - 1;
    }
    free.trailing_zeros()
}

fn directory_rows(
    entropy: &dyn Entropy,
    update: &mut Update<'_>,
    tenant: &TenantId,
    places: &[Place<'_>],
) -> Result<()> {
    let mut directory = update.txn().open_table(tables::DIRECTORY).map_err(storage)?;
    let mut handles = update.txn().open_table(tables::HANDLES).map_err(storage)?;
    let id = tenant.as_bytes();
    for place in places {
        let Subject { handle, blind, .. } = place.subject;
        let lookup = (place.lookup_slot, &place.lookup_key);
        let by_blind = DirectoryRow::seal(lookup, tenant, blind, handle, place.slot, entropy);
        let by_handle = HandleRow {
            state: HandleState::Live,
            slot: place.slot,
        };
        directory
            .insert((id, blind), by_blind.to_bytes().as_slice())
            .map_err(storage)?;
        handles
            .insert((id, handle.as_bytes()), by_handle.to_bytes().as_slice())
            .map_err(storage)?;
    }
    Ok(())
}

/// Removes the rows of replaced parts; returns `l0` files that have none left.
fn replace(update: &mut Update<'_>, flushed: &Flushed) -> Result<Vec<PathBuf>> {
    let mut gone = Vec::new();
    let rows: Vec<_> = flushed.replaced.iter().flat_map(|set| set.files()).collect();
    update.remove_files(&flushed.cut.tenant.id, &rows)?;
    for row in rows {
        if update.add_l0_parts(super::round::l0_number(&row.path)?, -1)? == 0 {
            gone.push(row.path.clone());
        }
    }
    Ok(gone)
}

/// Shows the new segments, and drops from the tail what is in them.
fn publish(inner: &Inner, flushed: &Flushed) {
    let cut = &flushed.cut;
    let tenant = &cut.tenant;
    // Before keys of people and of salts go from memory, and the records.
    crate::backup::ship::take_up(inner, tenant);
    tenant.directory.stored(&cut.subjects);
    // The list of segments changes under the lock of flushes only.
    let mut sets: Vec<_> = tenant
        .view
        .load()
        .flushed
        .iter()
        .filter(|set| !flushed.replaced.contains(set))
        .cloned()
        .collect();
    sets.extend(flushed.sets.iter().filter_map(|files| file_set(files)));
    sets.sort_by_key(|set| (set.min_seq(), set.set));
    let committer = inner.committer.lock();
    let begin = Instant::now();
    let mut view = View::clone(&tenant.view.load());
    view.flushed = Arc::new(sets);
    view.tail.drop_before(cut.seqs.end);
    let mut core = tenant.core.lock();
    core.flushed_frontier = cut.view.frontier.clone();
    core.tail_bytes = core.tail_bytes.saturating_sub(cut.bytes);
    core.tail_since_ms = (!view.tail.is_empty()).then(|| inner.clock.boot_ms());
    core.round += 1;
    core.known.flushed_before(cut.seqs.end);
    while core
        .wal_runs
        .get(1)
        .is_some_and(|(first, _)| *first <= cut.seqs.end)
    {
        core.wal_runs.pop_front();
    }
    if view.tail.is_empty() {
        core.wal_runs.clear();
    }
    drop(core);
    tenant
        .generations
        .write()
        .retain(|generation| generation.number >= cut.next_generation);
    // The old view lives on in the cut: its records are not freed here.
    tenant.view.store(Arc::new(view));
    drop(committer);
    metrics::histogram!("attestore_flush_publish_seconds").record(begin.elapsed().as_secs_f64());
}

fn file_set(files: &[Sealed]) -> Option<Arc<FileSet>> {
    let of = |ty| {
        files
            .iter()
            .find(|file| file.row.ty == ty)
            .map(|file| file.row.clone())
    };
    let seg = of(FileType::Seg)?;
    Some(Arc::new(FileSet {
        set: seg.set,
        class: seg.class,
        seg,
        sub: of(FileType::Sub),
        idx: of(FileType::Idx),
    }))
}

const BUCKET_SLOTS: u32 = 64;
