//! Checks a whole data directory that nobody has open.
//!
//! Everything is read and authenticated: the catalog's blocks and key pages, the WAL up to the durable watermark, every
//! sealed file chunk by chunk, entries, nodes, records and their commitments, signed heads. What a start would do to the
//! directory, recovery included, happens in memory: not a byte is changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use attestore_disk::{Disk, Mode};
use attestore_record::TenantId;
use attestore_segment::{Container, Damage};
use attestore_wal::{Position, Source};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use serde::Serialize;

use super::{Problem, ProblemKind, exit_code, overlay::Overlay, records::check_tenant};
use crate::{
    Engine, OpenMode, Parts, Settings,
    backup::ledger::{self, REGISTER_PREFIX},
    catalog::{
        Catalog, FileRow, InstanceRow, TenantRow, WalRow, json, storage,
        storage::{Error as StorageError, SealedStorage},
        tables,
    },
    error::{Error, OpenError, Result},
    forget::destroy,
    heads::{self, HeadStore, RegisterError, register::Frozen},
    instance::{Inner, file_context},
    read::readers,
    tenant::Tenant,
    wal_files::CatalogKeys,
};

/// What was found in a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsckReport {
    /// The records of each tenant of which something is gone.
    pub gone: Vec<TenantRecords>,
    /// Everything that is wrong; empty if all is well.
    pub problems: Vec<Problem>,
    /// What was looked at.
    pub counts: FsckCounts,
}

/// The records of one tenant: live, purged and erased ones together are all of its tree's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantRecords {
    /// Its name.
    pub tenant: String,
    /// Entries of its tree.
    pub size: u64,
    /// Records that can be read.
    pub live: u64,
    /// Records that were purged.
    pub purged: u64,
    /// Records that were erased whole.
    pub erased: u64,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsckCounts {
    /// Tenants.
    pub tenants: u64,
    /// Records whose commitments were recomputed.
    pub records: u64,
    /// Stored tree nodes that were recomputed.
    pub nodes: u64,
    /// Sealed files, and parts of shared ones.
    pub sealed: u64,
    /// WAL frames.
    pub frames: u64,
    /// Key pages.
    pub key_pages: u64,
    /// Records that can be read.
    pub live: u64,
    /// Records that were purged.
    pub purged: u64,
    /// Records that were erased whole.
    pub erased: u64,
}

impl FsckReport {
    /// The process's exit code: 0 nothing wrong, 3 damage or rollback, 4 keys only.
    pub fn exit_code(&self) -> u8 {
        exit_code(&self.problems)
    }
}

/// Checks the data directory of `parts`. `progress` gets what is being checked, and how many of how many steps are done.
///
/// # Errors
/// [`OpenError::InUse`] if a process has it open, [`OpenError::Io`] if it cannot be looked at; everything else is in the
/// report.
pub fn fsck(parts: &Parts, progress: &mut dyn FnMut(&Path, u64, u64)) -> Result<FsckReport, OpenError> {
    let has_catalog = parts.disk.exists(Path::new("catalog"))?;
    if !has_catalog && !has_data(&*parts.disk)? {
        return Err(OpenError::Io(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no catalog here",
        )));
    }
    crate::formats::check(&*parts.disk)?;
    let _lock = parts
        .disk
        .try_lock(Path::new("attestore.lock"))?
        .ok_or(OpenError::InUse)?;
    let mut check = Fsck {
        report: FsckReport::default(),
        progress,
    };
    if has_catalog {
        check.raw(parts)?;
        check.whole(parts);
    } else {
        check.problem(Problem::damage("catalog", 0, "the file is missing"));
    }
    check.report.problems.dedup();
    Ok(check.report)
}

/// Whether there is what only an instance leaves.
fn has_data(disk: &dyn Disk) -> io::Result<bool> {
    for dir in ["wal", "tenants", "l0"] {
        if disk.exists(Path::new(dir))? {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Fsck<'a> {
    report: FsckReport,
    progress: &'a mut dyn FnMut(&Path, u64, u64),
}

impl Fsck<'_> {
    fn problem(&mut self, problem: Problem) {
        let known = |other: &Problem| other.path == problem.path && other.offset == problem.offset;
        if self.report.problems.len() < PROBLEMS_MAX && !self.report.problems.iter().any(known) {
            self.report.problems.push(problem);
        }
    }

    fn open_problem(&mut self, error: &OpenError) {
        let problem = match error {
            OpenError::Damage { path, offset, reason } => Problem::damage(path, *offset, reason.clone()),
            OpenError::Key(reason) => Problem {
                kind: ProblemKind::Key,
                ..Problem::damage("keys", 0, reason.clone())
            },
            other => Problem::damage("", 0, other.to_string()),
        };
        self.problem(problem);
    }

    /// What can be checked without starting the instance: store, keys, WAL, sealed files, names.
    fn raw(&mut self, parts: &Parts) -> Result<(), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&parts.disk)));
        (self.progress)(Path::new("catalog"), 0, 1);
        self.store(parts)?;
        let opened = Catalog::open(&disk, Arc::clone(&parts.root), Arc::clone(&parts.entropy))
            .and_then(|catalog| catalog.load().map(|row| (catalog, row)));
        let (catalog, row) = match opened {
            Ok((catalog, row)) => (Arc::new(catalog), row),
            Err(error) => {
                self.open_problem(&error);
                return Ok(());
            }
        };
        crate::formats::check_directory(row.format)?;
        match catalog.verify_keys() {
            Ok(tree) => {
                self.report.counts.key_pages = tree.pages;
                for damage in tree.damage {
                    self.problem(Problem::damage(
                        "catalog",
                        0,
                        format!("key page {:?}: {}", damage.page, damage.reason),
                    ));
                }
            }
            Err(error) => self.problem(Problem::of(&error, "catalog")),
        }
        self.wal(parts, &disk, &catalog, &row);
        let named = match self.tables(parts, &disk, &catalog) {
            Ok(named) => named,
            Err(error) => {
                self.problem(Problem::of(&error, "catalog"));
                return Ok(());
            }
        };
        self.strays(&*parts.disk, &named, row.wal_low)?;
        Ok(())
    }

    /// Authenticates every block below the catalog's store.
    fn store(&mut self, parts: &Parts) -> Result<(), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&parts.disk)));
        match SealedStorage::open(&disk, &*parts.root, Arc::clone(&parts.entropy)) {
            Ok(store) => {
                for damage in store.scan() {
                    self.problem(Problem::damage(damage.path, damage.offset, damage.reason));
                }
                for restored in store.restored() {
                    let damage = restored.damage;
                    let problem = Problem::damage(damage.path, damage.offset, damage.reason);
                    let kind = match restored.may_be_torn {
                        true => ProblemKind::Torn,
                        false => ProblemKind::Damage,
                    };
                    self.problem(Problem { kind, ..problem });
                }
            }
            // Says the same when the catalog is opened, but for where.
            Err(StorageError::Damage(damage)) => {
                self.problem(Problem::damage(damage.path, damage.offset, damage.reason));
            }
            Err(StorageError::Io(error)) => return Err(error.into()),
            Err(error) => self.problem(Problem {
                kind: ProblemKind::Key,
                ..Problem::damage("catalog", 0, error.to_string())
            }),
        }
        Ok(())
    }

    fn wal(&mut self, parts: &Parts, disk: &Arc<dyn Disk>, catalog: &Arc<Catalog>, row: &InstanceRow) {
        (self.progress)(Path::new(attestore_wal::DIR), 0, 1);
        let keys = TenantKeysOf { parts, disk, catalog };
        let source = Source {
            disk: &*parts.disk,
            file_keys: &CatalogKeys(catalog),
            section_keys: &keys,
            low: row.wal_low,
            claimed: Some(Position {
                wal: row.durable.wal,
                offset: row.durable.offset,
            }),
        };
        let mut frames = 0;
        match attestore_wal::scan(&source, &mut |_| frames += 1) {
            Err(error) => self.problem(Problem::damage(attestore_wal::DIR, 0, error.to_string())),
            Ok(found) => {
                for problem in found.problems {
                    let kind = match problem.kind {
                        attestore_wal::ProblemKind::Key => ProblemKind::Key,
                        attestore_wal::ProblemKind::Stray => ProblemKind::Stray,
                        _ => ProblemKind::Damage,
                    };
                    self.problem(Problem {
                        kind,
                        ..Problem::damage(problem.path, problem.offset, problem.reason)
                    });
                }
            }
        }
        self.report.counts.frames = frames;
    }

    /// Reads every row, and every sealed file that one names; returns the paths that are named.
    fn tables(
        &mut self,
        parts: &Parts,
        disk: &Arc<dyn Disk>,
        catalog: &Arc<Catalog>,
    ) -> Result<BTreeSet<PathBuf>> {
        let txn = catalog.read()?;
        let mut named = BTreeSet::new();
        for row in txn
            .open_table(tables::WAL)
            .map_err(storage)?
            .iter()
            .map_err(storage)?
        {
            let (number, row) = row.map_err(storage)?;
            let row: WalRow = json(row.value())?;
            let path = attestore_wal::file_path(number.value());
            self.longer(&*parts.disk, &path, row.size)?;
            // Made ready for the committer, or being made ready when the process ended; the next start removes it.
            named.insert(path.with_extension("new"));
            named.insert(path);
        }
        for (id, row) in destroy::all(&txn)? {
            // What a destruction has not come to yet.
            if row.state < destroy::DestroyedState::Gone {
                named.extend(destroy::files_of(&*parts.disk, &id)?);
                named.extend(row.emptied);
            }
        }
        let tenants = tenants(&txn)?;
        self.names(&txn, &tenants)?;
        self.shared(&txn, &tenants)?;
        self.report.counts.tenants = tenants.len() as u64;
        for (at, (id, row)) in (0..).zip(&tenants) {
            let dir = Path::new("tenants").join(id.to_string());
            (self.progress)(&dir, at, tenants.len() as u64);
            for (name, bytes) in crate::flush::tree_files(row.flushed) {
                let path = dir.join(name);
                self.longer(&*parts.disk, &path, bytes)?;
                named.insert(path);
            }
            let files = files(&txn, id)?;
            named.extend(files.iter().map(|row| row.path.clone()));
            match Tenant::load(catalog, &**disk, &*parts.entropy, *id) {
                Ok(tenant) => {
                    files
                        .iter()
                        .for_each(|row| self.sealed(parts, catalog, &tenant, row));
                    for (path, scanned) in crate::exports::scan(&*parts.disk, catalog, &tenant)? {
                        self.scanned(&path, scanned);
                        named.insert(path);
                    }
                }
                Err(error) => self.problem(Problem::of(&error, dir)),
            }
        }
        Ok(named)
    }

    /// Reports what a file holds beyond what the catalog counts: a start cuts it off, or never reads it.
    fn longer(&mut self, disk: &dyn Disk, path: &Path, bytes: u64) -> Result<()> {
        if disk.exists(path)? && disk.len(path)? > bytes {
            self.problem(Problem {
                kind: ProblemKind::Stray,
                ..Problem::damage(path, bytes, "nothing counts what follows")
            });
        }
        Ok(())
    }

    /// Reports names that lead to a tenant of another name, and tenants that no name leads to.
    fn names(&mut self, txn: &ReadTransaction, tenants: &[(TenantId, TenantRow)]) -> Result<()> {
        let table = txn.open_table(tables::TENANT_NAMES).map_err(storage)?;
        for (id, row) in tenants {
            let found = table.get(row.name.as_str()).map_err(storage)?;
            if found.is_none_or(|found| found.value() != id.as_bytes()) {
                let reason = format!("the name {} does not lead to its tenant {id}", row.name);
                self.problem(Problem::damage("catalog", 0, reason));
            }
        }
        if table.len().map_err(storage)? != tenants.len() as u64 {
            self.problem(Problem::damage(
                "catalog",
                0,
                "there are more names than tenants, or fewer",
            ));
        }
        Ok(())
    }

    /// Reports shared files whose count of parts is not that of the rows: at 0 the file would go.
    fn shared(&mut self, txn: &ReadTransaction, tenants: &[(TenantId, TenantRow)]) -> Result<()> {
        let mut parts: BTreeMap<u64, u64> = BTreeMap::new();
        for (id, _) in tenants {
            for row in files(txn, id)?.iter().filter(|row| row.is_part()) {
                *parts.entry(crate::flush::l0_number(&row.path)?).or_default() += 1;
            }
        }
        let table = txn.open_table(tables::L0).map_err(storage)?;
        let mut counted = BTreeMap::new();
        for row in table.iter().map_err(storage)? {
            let (number, count) = row.map_err(storage)?;
            counted.insert(number.value(), count.value());
        }
        for number in parts.keys().chain(counted.keys()) {
            let (held, said) = (parts.get(number).unwrap_or(&0), counted.get(number).unwrap_or(&0));
            if held != said {
                let path = Path::new("l0").join(crate::flush::l0_name(*number));
                let reason = format!("the catalog counts {said} parts in it and names {held}");
                self.problem(Problem::damage(path, 0, reason));
            }
        }
        Ok(())
    }

    /// Authenticates every chunk of a sealed file or part.
    fn sealed(&mut self, parts: &Parts, catalog: &Catalog, tenant: &Tenant, row: &FileRow) {
        self.scanned(&row.path, scan_sealed(&*parts.disk, catalog, tenant, row));
    }

    /// Reports what is damaged of a sealed file.
    fn scanned(&mut self, path: &Path, scanned: Result<Vec<Damage>>) {
        match scanned {
            Ok(damages) => {
                for damage in damages {
                    self.problem(Problem::damage(damage.path, damage.offset, damage.reason));
                }
            }
            Err(error) => self.problem(Problem::of(&error, path)),
        }
        self.report.counts.sealed += 1;
    }

    /// Reports files that nothing names. WAL files below `wal_low` are freed ones that wait to be used again.
    fn strays(&mut self, disk: &dyn Disk, named: &BTreeSet<PathBuf>, wal_low: u64) -> Result<(), OpenError> {
        let is_freed = |folder: &Path, name: &str| {
            folder == Path::new(attestore_wal::DIR)
                && attestore_wal::parse_file_name(name).is_some_and(|number| number < wal_low)
        };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in disk.list(&folder)? {
                let path = folder.join(&entry.name);
                if entry.is_dir {
                    if !FOREIGN.iter().any(|name| path == Path::new(name)) {
                        folders.push(path);
                    }
                } else if !named.contains(&path)
                    && !is_freed(&folder, &entry.name)
                    && !OWN.iter().any(|name| path == Path::new(name))
                {
                    self.problem(Problem {
                        kind: ProblemKind::Stray,
                        ..Problem::damage(path, 0, "nothing names this file")
                    });
                }
            }
        }
        Ok(())
    }

    /// Starts the instance in memory and checks what it would serve: records, trees, heads.
    fn whole(&mut self, parts: &Parts) {
        let register = parts
            .register
            .as_ref()
            .map(|store| Arc::new(Frozen(Arc::clone(store))) as Arc<dyn HeadStore>);
        let disk: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&parts.disk)));
        let copy = Parts {
            disk,
            register,
            ..parts.clone()
        };
        let settings = Settings {
            indexing: false,
            ..Settings::default()
        };
        let engine = match Engine::open_as(copy, settings, OpenMode::Inline) {
            Ok((engine, _)) => engine,
            Err(error) => return self.open_problem(&error),
        };
        let named = match engine.tenants(None, usize::MAX) {
            Ok(named) => named,
            Err(error) => return self.problem(Problem::of(&error, "catalog")),
        };
        for (at, info) in (0..).zip(&named) {
            let dir = Path::new("tenants").join(&info.id);
            (self.progress)(&dir, at, named.len() as u64);
            match engine.inner.tenant(&info.name) {
                Ok(tenant) => self.tenant(&engine.inner, &tenant),
                Err(error) => self.problem(Problem::of(&error, dir)),
            }
        }
        self.lost_logs(parts, &engine.inner, &named);
    }

    fn tenant(&mut self, inner: &Inner, tenant: &Arc<Tenant>) {
        let dir = tenant.dir();
        let checked = check_tenant(inner, tenant, &tenant.view(), &mut |done, all| {
            (self.progress)(&dir, done, all)
        });
        self.report.counts.records += checked.records;
        self.report.counts.nodes += checked.nodes;
        let super::Tally { live, purged, erased } = checked.tally;
        self.report.counts.live += live;
        self.report.counts.purged += purged;
        self.report.counts.erased += erased;
        if purged + erased > 0 {
            self.report.gone.push(TenantRecords {
                tenant: tenant.name.clone(),
                size: tenant.view().size,
                live,
                purged,
                erased,
            });
        }
        checked
            .problems
            .into_iter()
            .for_each(|problem| self.problem(problem));
        if let Some(reason) = tenant.rolled_back() {
            let reason = format!("tenant {}: {reason}", tenant.name);
            self.problem(Problem {
                kind: ProblemKind::Rollback,
                ..Problem::damage(dir, 0, reason)
            });
        }
    }

    /// Holds the ledger of what was let go of against the length that is registered.
    fn ledger(&mut self, inner: &Inner, registered: u64) {
        match inner.catalog.read().and_then(|txn| ledger::count(&txn)) {
            Ok(count) if count >= registered => {}
            Ok(count) => self.problem(Problem {
                kind: ProblemKind::Rollback,
                ..Problem::damage(
                    "catalog",
                    0,
                    format!("the ledger has {count} entries, and {registered} were registered"),
                )
            }),
            Err(error) => self.problem(Problem::of(&error, "catalog")),
        }
    }

    /// Reports logs that the register knows and the data does not.
    fn lost_logs(&mut self, parts: &Parts, inner: &Inner, named: &[crate::tenant::TenantInfo]) {
        let store = parts.head_store();
        let system = match inner.tenant(crate::SYSTEM_TENANT) {
            Ok(system) => system,
            Err(error) => return self.problem(Problem::of(&error, "catalog")),
        };
        let key = heads::register_key(&system.keys.directory);
        if let Err(error @ RegisterError::Damage { .. }) = store.check(&key)
            && store.read(&key).is_ok()
        {
            self.problem(Problem::of(&error.into(), store.place()));
        }
        match store.read(&key) {
            Err(error) => self.problem(Problem::of(&error.into(), store.place())),
            Ok(None) => {}
            Ok(Some(heads)) => {
                let former = former_origins(inner, named);
                let destroyed = self.destroyed(inner, &heads.rows);
                let former = match former.and_then(|former| Ok((former, destroyed?))) {
                    Ok((former, destroyed)) => former.union(&destroyed).cloned().collect::<BTreeSet<_>>(),
                    Err(error) => return self.problem(Problem::of(&error, "catalog")),
                };
                for (origin, head) in heads.rows {
                    if origin.starts_with(REGISTER_PREFIX) {
                        self.ledger(inner, head.size);
                        continue;
                    }
                    if head.size > 0
                        && !former.contains(&origin)
                        && !named.iter().any(|info| info.origin == origin)
                    {
                        let reason = format!("the log {origin} of {} entries is gone", head.size);
                        let problem = Problem::damage(store.place(), 0, reason);
                        self.report.problems.push(Problem {
                            kind: ProblemKind::Rollback,
                            ..problem
                        });
                    }
                }
            }
        }
    }
}

impl Fsck<'_> {
    /// Holds tenants that were destroyed against the log of `_system`, the register, and what is there; returns the origins of their
    /// logs.
    fn destroyed(
        &mut self,
        inner: &Inner,
        registered: &BTreeMap<String, heads::Head>,
    ) -> Result<BTreeSet<String>> {
        let mut origins = BTreeSet::new();
        for (id, row) in destroy::all(&inner.catalog.read()?)? {
            for reason in destroy::contradictions(inner, &id, &row, registered.get(&row.origin))? {
                let reason = format!("the destroyed tenant {id}: {reason}");
                self.report.problems.push(Problem::damage("catalog", 0, reason));
            }
            origins.extend(row.former_origins);
            origins.insert(row.origin);
        }
        Ok(origins)
    }
}

/// Origins that logs had before they forked: the register holds their heads for good.
fn former_origins(inner: &Inner, named: &[crate::tenant::TenantInfo]) -> Result<BTreeSet<String>> {
    let mut origins = BTreeSet::new();
    for info in named.iter().filter(|info| info.epoch > 0) {
        let tenant = inner.tenant(&info.name)?;
        origins.extend(tenant.keys.signing.load().former_origins().map(str::to_owned));
    }
    Ok(origins)
}

fn scan_sealed(disk: &dyn Disk, catalog: &Catalog, tenant: &Tenant, row: &FileRow) -> Result<Vec<Damage>> {
    let meta = readers::meta(tenant, row)?;
    let context = file_context(tenant, meta.id, row.is_part());
    let key = tenant
        .keys
        .open(catalog, attestore_keys::Slot(row.slot), &context)?;
    let file = disk
        .open(&row.path, Mode::Read)
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::damage(&row.path, row.offset, "the file is missing"),
            _ => error.into(),
        })?;
    // In a shared file, parts whose rows are gone may follow.
    let follows = !row.is_part() && file.len()? > row.offset.saturating_add(row.length);
    let container = Container::open(file, &row.path, row.offset, row.length, &key, &meta);
    let mut damages = container.map_err(readers::segment_error)?.scan();
    if follows {
        damages.push(Damage {
            path: row.path.clone(),
            offset: row.offset.saturating_add(row.length),
            reason: "something follows its last byte".into(),
        });
    }
    Ok(damages)
}

fn tenants(txn: &ReadTransaction) -> Result<Vec<(TenantId, TenantRow)>> {
    let table = txn.open_table(tables::TENANTS).map_err(storage)?;
    let mut tenants = Vec::new();
    for row in table.iter().map_err(storage)? {
        let (id, row) = row.map_err(storage)?;
        tenants.push((TenantId::from_bytes(*id.value()), json(row.value())?));
    }
    Ok(tenants)
}

fn files(txn: &ReadTransaction, id: &TenantId) -> Result<Vec<FileRow>> {
    let table = txn.open_table(tables::FILES).map_err(storage)?;
    let (first, last) = (
        (id.as_bytes(), 0, 0, 0),
        (id.as_bytes(), u64::MAX, u32::MAX, u8::MAX),
    );
    let mut rows = Vec::new();
    for row in table.range(first..=last).map_err(storage)? {
        rows.push(json(row.map_err(storage)?.1.value())?);
    }
    Ok(rows)
}

/// The tenants' keys, for the WAL.
pub(super) struct TenantKeysOf<'a> {
    pub(super) parts: &'a Parts,
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) catalog: &'a Arc<Catalog>,
}

impl attestore_wal::SectionKeys for TenantKeysOf<'_> {
    fn section_key(&self, owner: &[u8; 16]) -> Result<attestore_keys::Key, attestore_wal::SectionKeyError> {
        let id = TenantId::from_bytes(*owner);
        // The files of the tree are somebody else's check: only the key is wanted.
        match Tenant::load(self.catalog, &**self.disk, &*self.parts.entropy, id) {
            Ok(tenant) => Ok(tenant.keys.ring().current().duplicate()),
            Err(Error::Erased(_)) => Err(attestore_wal::KeyError::Destroyed),
            Err(_) => Err(attestore_wal::KeyError::Missing),
        }
    }

    fn former_section_key(&self, owner: &[u8; 16]) -> Option<attestore_keys::Key> {
        let id = TenantId::from_bytes(*owner);
        let tenant = Tenant::load(self.catalog, &**self.disk, &*self.parts.entropy, id).ok()?;
        tenant.keys.ring().former().map(attestore_keys::Key::duplicate)
    }
}

/// Files that belong to an instance though no row names them.
const OWN: [&str; 10] = [
    "attestore.lock",
    "catalog",
    "catalog.journal",
    "catalog.journal.0",
    "catalog.journal.1",
    "catalog.versions",
    "heads",
    "heads.lock",
    "heads.tmp",
    "catalog.new",
];
/// Folders whose files are not the catalog's to name.
const FOREIGN: [&str; 2] = ["keys", "quarantine"];
const PROBLEMS_MAX: usize = 10_000;
