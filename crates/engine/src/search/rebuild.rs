//! Building splits again from their records, in the background.
//!
//! A split is derived data. One that is missing, damaged, of an older field list or of another policy than its tenant's is
//! built again from the sealed records of its segment, one at a time; until then its records are scanned. The thread rests as
//! long as it works, so that it takes half a core at most, and writes what background work may write.
//!
//! # Durability
//! The new `.idx` has the next generation of its segment, so it never overwrites the old one: written, synced, renamed, folder
//! synced; then one catalog commit puts its row in and takes the old one out, destroying the old key. Only then the view shows
//! it and the old file is removed. A crash before the commit leaves a file that nothing names and that the next attempt
//! replaces; after it, an old file that nothing opens.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use attestore_index::{IndexPolicy, Split, merge};
use attestore_keys::{Key, NewKey, Slot, random_array};
use attestore_record::TenantId;
use attestore_segment::{WriteError, container, write_file_paced};
use parking_lot::Mutex;
use redb::ReadableTable;

use super::{
    index_error, loose,
    policy::{digest, split_row},
    sealed::SetKey,
    wake::Wake,
};
use crate::{
    Engine,
    catalog::{FileRow, FileType, TenantRow, hex, json, storage, tables},
    compact::pace,
    error::{Error, Result},
    instance::{Inner, file_context},
    read::{readers, records},
    tenant::{FileSet, Tenant, View},
};

/// What is to be built again.
#[derive(Default)]
pub(crate) struct Rebuilds {
    /// Names of tenants that may have something.
    tenants: Mutex<BTreeSet<String>>,
    /// Splits that could not be read.
    damaged: Mutex<BTreeSet<SetKey>>,
    /// How many segments of a tenant wait, as it was last counted.
    pending: Mutex<BTreeMap<TenantId, u64>>,
    /// How many were built again since the start.
    done: Mutex<BTreeMap<TenantId, u64>>,
    wake: Arc<Wake>,
    /// Held by who writes the next generation of a segment's files: two of them would write to one name.
    pub(crate) writing: Mutex<()>,
}

impl Rebuilds {
    /// Makes the background thread look at a tenant.
    pub(super) fn look_at(&self, tenant: &str) {
        self.tenants.lock().insert(tenant.to_owned());
        self.wake.notify();
    }

    /// Notes that a split cannot be read.
    pub(super) fn note_damaged(&self, key: SetKey, tenant: &str) {
        {
            let mut damaged = self.damaged.lock();
            if damaged.len() < DAMAGED_MAX {
                damaged.insert(key);
            }
        }
        self.look_at(tenant);
    }

    /// Whether a split is known to be unreadable.
    pub(super) fn is_damaged(&self, key: &SetKey) -> bool {
        let damaged = self.damaged.lock();
        !damaged.is_empty() && damaged.contains(key)
    }

    /// How many of a tenant's splits were built again since the start.
    pub(super) fn done(&self, tenant: &TenantId) -> u64 {
        self.done.lock().get(tenant).copied().unwrap_or_default()
    }

    /// How many segments of all tenants wait, as they were last counted, and how many were built again since the start.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (
            self.pending.lock().values().sum(),
            self.done.lock().values().sum(),
        )
    }

    fn counted(&self, tenant: &TenantId, pending: u64) {
        let mut counts = self.pending.lock();
        match pending {
            0 => counts.remove(tenant),
            pending => counts.insert(*tenant, pending),
        };
    }

    /// Forgets a tenant that was destroyed.
    pub(super) fn forget(&self, tenant: &TenantId, name: &str) {
        self.tenants.lock().remove(name);
        self.damaged.lock().retain(|(of, _, _)| of != tenant);
        self.pending.lock().remove(tenant);
        self.done.lock().remove(tenant);
    }

    /// What the background thread waits on.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    fn next(&self) -> Option<String> {
        self.tenants.lock().pop_first()
    }

    fn built(&self, tenant: &TenantId, old: Option<SetKey>) {
        if let Some(old) = old {
            self.damaged.lock().remove(&old);
        }
        *self.done.lock().entry(*tenant).or_default() += 1;
        metrics::counter!("attestore_index_rebuilt_total").increment(1);
    }
}

impl Engine {
    /// Builds again whatever of a tenant's splits needs it; returns how many. What the background thread does by itself.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], or why one could not be built.
    pub fn rebuild_index(&self, tenant: &str) -> Result<u64> {
        let tenant = self.inner.tenant(tenant)?;
        rebuild_all(&self.inner, &tenant, &mut |_| ControlFlow::Continue(()))
    }
}

/// Whether a segment waits for its split to be built (again). `current` names the policy that it should have.
pub(super) fn is_pending(inner: &Inner, tenant: &Tenant, set: &FileSet, current: &str) -> bool {
    if set.seg.is_part() || !inner.settings.indexing {
        return false;
    }
    let Some(row) = &set.idx else { return true };
    let same = row.split.as_ref().is_some_and(|split| split.policy == current);
    !same
        || inner
            .search
            .rebuilds
            .is_damaged(&(tenant.id, set.set, row.generation))
}

/// The background thread: looks at every tenant once, then at those that it is told about.
pub(crate) fn run(inner: &Weak<Inner>, wake: &Wake) {
    if let Some(strong) = inner.upgrade()
        && let Err(error) = look_around(&strong)
    {
        tracing::warn!(%error, "splits were not looked through");
    }
    let mut failed: BTreeSet<String> = BTreeSet::new();
    let mut retry = Instant::now();
    while !wake.wait(TICK) {
        let Some(inner) = inner.upgrade() else { return };
        if !failed.is_empty() && retry.elapsed() > RETRY {
            inner.search.rebuilds.tenants.lock().append(&mut failed);
        }
        while let Some(name) = inner.search.rebuilds.next() {
            let mut rest = |worked: Duration| match wake.pause(worked.min(REST_MAX)) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            let done = inner
                .tenant(&name)
                .and_then(|tenant| rebuild_all(&inner, &tenant, &mut rest));
            if let Err(error) = done {
                tracing::warn!(tenant = name, %error, "a split was not built again; it is tried again later");
                failed.insert(name);
                retry = Instant::now();
            }
            if wake.is_stopped() || inner.stopped().is_some() {
                return;
            }
        }
    }
}

/// Finds the tenants with a split that does not fit, from the catalog alone, and files that are gone.
fn look_around(inner: &Inner) -> Result<()> {
    if !inner.settings.indexing {
        return Ok(());
    }
    let txn = inner.catalog.read()?;
    let tenants = txn.open_table(tables::TENANTS).map_err(storage)?;
    let files = txn.open_table(tables::FILES).map_err(storage)?;
    for row in tenants.iter().map_err(storage)? {
        let (id, row) = row.map_err(storage)?;
        let row: TenantRow = json(row.value())?;
        let current = digest(&row.index);
        let (first, last) = ((id.value(), 0, 0, 0), (id.value(), u64::MAX, u32::MAX, u8::MAX));
        // Segments without a split that fits; the newest generation of a split comes last.
        let mut bare: BTreeSet<u64> = BTreeSet::new();
        let mut unfit: BTreeSet<u64> = BTreeSet::new();
        for file in files.range(first..=last).map_err(storage)? {
            let file: FileRow = json(file.map_err(storage)?.1.value())?;
            if file.is_part() {
                continue;
            }
            match file.ty {
                FileType::Seg => drop(bare.insert(file.set)),
                FileType::Sub => {}
                FileType::Idx => {
                    bare.remove(&file.set);
                    let gone = inner.disk.len(&file.path).ok() != Some(file.length);
                    if gone {
                        let id = TenantId::from_bytes(*id.value());
                        let key = (id, file.set, file.generation);
                        inner.search.rebuilds.note_damaged(key, &row.name);
                    }
                    match gone || file.split.as_ref().is_none_or(|split| split.policy != current) {
                        true => unfit.insert(file.set),
                        false => unfit.remove(&file.set),
                    };
                }
            }
        }
        let pending = (bare.len() + unfit.len()) as u64;
        if pending > 0 {
            let id = TenantId::from_bytes(*id.value());
            inner.search.rebuilds.counted(&id, pending);
            inner.search.rebuilds.look_at(&row.name);
        }
    }
    Ok(())
}

/// Builds again what a tenant needs, the newest first. `rest` is told after each batch how long it took, and says whether to
/// go on.
fn rebuild_all(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    rest: &mut (dyn FnMut(Duration) -> ControlFlow<()> + Send),
) -> Result<u64> {
    let mut done = 0;
    let mut failed: BTreeMap<u64, Error> = BTreeMap::new();
    loop {
        inner.check_running()?;
        let view = tenant.view();
        let policy = tenant.index_policy();
        let current = digest(&policy);
        let pending = |set: &&Arc<FileSet>| is_pending(inner, tenant, set, &current);
        let waiting = view.flushed.iter().filter(pending).count();
        inner.search.rebuilds.counted(&tenant.id, waiting as u64);
        let next = view.flushed.iter().rev().filter(pending);
        let Some(set) = next.into_iter().find(|set| !failed.contains_key(&set.set)) else {
            return failed.into_values().next().map_or(Ok(done), Err);
        };
        match rebuild(inner, tenant, &view, set, &policy, rest) {
            Ok(Some(true)) => done += 1,
            // The segment was replaced, or the policy changed, meanwhile.
            Ok(Some(false)) => {}
            Ok(None) => return Ok(done),
            Err(error) => {
                let newer = tenant.view();
                if Arc::ptr_eq(&newer.flushed, &view.flushed) {
                    failed.insert(set.set, error);
                }
            }
        }
    }
}

/// Builds the split of one segment; says whether it was put in place, or `None` when told to stop.
fn rebuild(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    view: &View,
    set: &Arc<FileSet>,
    policy: &Arc<IndexPolicy>,
    rest: &mut (dyn FnMut(Duration) -> ControlFlow<()> + Send),
) -> Result<Option<bool>> {
    let _alone = inner.search.rebuilds.writing.lock();
    if !tenant.view().flushed.iter().any(|other| other == set) {
        // The next generation has its name by now.
        return Ok(Some(false));
    }
    // Whoever is erased from here on would come back with the new split.
    let destructions = tenant.destructions.load(Ordering::Acquire);
    let build = || build(inner, tenant, view, set, policy, rest);
    let Some(split) = crate::priority::in_idle_time(inner, build)? else {
        return Ok(None);
    };
    let bundle = split.bundle().map_err(index_error)?;
    let idx = Idx::seal(inner, tenant, set, &split, &bundle);
    drop(split);
    let pace = |bytes: usize| pace(inner, bytes);
    match write_file_paced(&*inner.disk, &idx.row.path, &[&idx.bytes], &pace, true) {
        // The instance is being closed.
        Err(WriteError::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(None),
        written => written.map_err(std::io::Error::from)?,
    }
    inner.disk.sync_dir(&tenant.dir())?;
    put(inner, tenant, set, policy, destructions, &idx).map(Some)
}

/// Indexes a segment's records, batch by batch.
pub(crate) fn build(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    set: &FileSet,
    policy: &IndexPolicy,
    rest: &mut (dyn FnMut(Duration) -> ControlFlow<()> + Send),
) -> Result<Option<Split>> {
    let mut splits: Vec<Split> = Vec::new();
    let mut batch = Vec::new();
    let mut begin = Instant::now();
    let mut stopped = false;
    let mut index = |batch: &mut Vec<records::Record>, splits: &mut Vec<Split>| -> Result<ControlFlow<()>> {
        splits.extend(loose::index(inner, tenant, view, batch, policy)?);
        batch.clear();
        let worked = begin.elapsed();
        let go_on = rest(worked);
        begin = Instant::now();
        Ok(go_on)
    };
    let scanned = records::scan_set(inner, tenant, set, |record| {
        batch.push(record);
        if batch.len() >= SPLIT_RECORDS && index(&mut batch, &mut splits)?.is_break() {
            stopped = true;
            return Err(Error::Deadline);
        }
        Ok(())
    });
    if stopped {
        return Ok(None);
    }
    scanned?;
    if !batch.is_empty() && index(&mut batch, &mut splits)?.is_break() {
        return Ok(None);
    }
    match splits.len() {
        0 => Err(Error::damage(
            &set.seg.path,
            set.seg.offset,
            "a segment without records",
        )),
        1 => Ok(splits.pop()),
        _ => merge(&splits).map(Some).map_err(index_error),
    }
}

/// A sealed `.idx`, or another file of a segment, that the catalog does not name yet.
pub(crate) struct Idx {
    pub(crate) row: FileRow,
    pub(crate) key: Key,
    pub(crate) id: [u8; 16],
    pub(crate) bytes: Vec<u8>,
}

impl Idx {
    pub(crate) fn seal(inner: &Inner, tenant: &Tenant, set: &FileSet, split: &Split, bundle: &[u8]) -> Self {
        let entropy = &*inner.entropy;
        let (id, key): ([u8; 16], Key) = (random_array(entropy), Key::random(entropy));
        let mut row = FileRow {
            ty: FileType::Idx,
            generation: set
                .idx
                .as_ref()
                .map_or(set.seg.generation, |old| old.generation.saturating_add(1)),
            path: PathBuf::new(),
            offset: 0,
            id: hex(&id),
            slot: inner.catalog.reserve(1).0,
            split: Some(split_row(split)),
            ..set.seg.clone()
        };
        let name = format!("{:016x}.{:08x}.{}", row.set, row.generation, row.ty.extension());
        row.path = tenant.dir().join(name);
        let bytes = match readers::meta(tenant, &row) {
            Ok(meta) => container::seal(&meta, &key, bundle),
            // The id is hex that was just made.
            Err(_) => Vec::new(),
        };
        row.length = bytes.len() as u64;
        row.checksum = hex(blake3::hash(&bytes)
            .as_bytes()
            .first_chunk::<16>()
            .map_or(&[][..], |half| half));
        Self { row, key, id, bytes }
    }
}

/// Commits the new split in place of the old one and shows it; `false` if the segment or the policy is no longer the one that
/// it was built for, or somebody was erased meanwhile.
fn put(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    set: &Arc<FileSet>,
    policy: &Arc<IndexPolicy>,
    destructions: u64,
    idx: &Idx,
) -> Result<bool> {
    let _one_at_a_time = inner.flushing.lock();
    inner.check_running()?;
    let still = tenant.view().flushed.iter().any(|other| other == set)
        && *tenant.index_policy() == **policy
        && tenant.destructions.load(Ordering::Acquire) == destructions;
    if !still {
        inner.disk.remove(&idx.row.path)?;
        return Ok(false);
    }
    let committed = inner.catalog.update::<_, Error>(|update| {
        update.put_keys(&[NewKey {
            slot: Slot(idx.row.slot),
            context: file_context(tenant, idx.id, false),
            wrap: Some(tenant.keys.ring().current()),
            value: &idx.key,
        }])?;
        update.put_file(&tenant.id, &idx.row)?;
        match &set.idx {
            Some(old) => update.remove_file(&tenant.id, old),
            None => Ok(()),
        }
    });
    committed.inspect_err(|_| {
        if let Some(reason) = inner.catalog.poisoned() {
            inner.fail_stop(reason);
        }
    })?;
    show(inner, tenant, set, &idx.row);
    let old = set.idx.as_ref().map(|old| (tenant.id, set.set, old.generation));
    inner.search.rebuilds.built(&tenant.id, old);
    if let (Some(row), Some(key)) = (&set.idx, old) {
        inner.search.sealed.remove(&key);
        match inner.disk.remove(&row.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %row.path.display(), %error, "an old split stays as a stray");
            }
            _ => {}
        }
    }
    Ok(true)
}

/// Puts the new row into the view.
fn show(inner: &Inner, tenant: &Tenant, set: &Arc<FileSet>, row: &FileRow) {
    let _committer = inner.committer.lock();
    let mut view = View::clone(&tenant.view.load());
    let with_new = |other: &Arc<FileSet>| match other == set {
        true => Arc::new(FileSet {
            idx: Some(row.clone()),
            ..FileSet::clone(set)
        }),
        false => Arc::clone(other),
    };
    view.flushed = Arc::new(view.flushed.iter().map(with_new).collect());
    tenant.view.store(Arc::new(view));
}

/// Records that are indexed at once; the splits over them are merged.
const SPLIT_RECORDS: usize = 16_384;
/// Splits known to be unreadable that are remembered.
const DAMAGED_MAX: usize = 65_536;
const TICK: Duration = Duration::from_secs(5);
/// A rest is never longer than this.
const REST_MAX: Duration = Duration::from_secs(2);
/// What failed is tried again after this long.
const RETRY: Duration = Duration::from_secs(60);
