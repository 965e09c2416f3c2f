//! Checks a target: every hash and every manifest, without restoring it. With the key, also that the keys of the backups open what
//! they should. Changes nothing.

mod chunks;
mod roots;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::{Disk, Mode};
use attestore_keys::{Key, RecipientKey};
use serde::Serialize;

use super::escrow::Escrow;
use super::folder::{self, is_unfinished};
use super::manifest::{self, Manifest, Sum};
use super::{dump, expire, ledger};
use crate::catalog::{InstanceRow, json, tables, unhex};
use crate::check::{Problem, exit_code};
use crate::error::{Error, Result};

/// What checking a target found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The backups whose manifests can be read, the oldest first.
    pub backups: Vec<Checked>,
    /// Entries of the ledger that follow one another.
    pub ledger: u64,
    /// Files that were read, and their bytes.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Chunks behind the newest backup that follow one another, and hold.
    pub chunks: u64,
    /// What they have of logs: entries beyond those of the backup.
    pub chunk_entries: u64,
    /// Files that no manifest names: left over; the next backup removes them.
    pub leftovers: u64,
    /// What does not hold; empty if all is well.
    pub problems: Vec<Problem>,
}

/// A backup that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its id, hex.
    pub id: String,
    /// When its snapshot was taken, Unix milliseconds.
    pub made_ms: u64,
    /// Tenants in it.
    pub tenants: u64,
    /// Entries of their logs.
    pub entries: u64,
    /// Whether it was opened with the key; `false` without one.
    pub opened: bool,
    /// Whether everything that it names is there and is what was written.
    pub sound: bool,
}

impl BackupReport {
    /// 0 when all is well, 3 for damage, 4 when only keys are wrong.
    pub fn exit_code(&self) -> u8 {
        exit_code(&self.problems)
    }
}

/// Checks every file of a target. `progress` gets bytes that were read and bytes that there are.
///
/// # Errors
/// Only if it could not begin; what it finds is in the report.
pub fn verify(
    disk: &dyn Disk,
    key: Option<&RecipientKey>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<BackupReport> {
    let mut report = BackupReport::default();
    let names = folder::names(disk, Path::new(folder::BACKUPS))?;
    if !disk.exists(Path::new(folder::BACKUPS))? {
        return Err(Error::Io("this is no folder of backups".to_owned()));
    }
    let mut found = Vec::new();
    for name in names.into_keys().filter(|name| !is_unfinished(name)) {
        let path = Path::new(folder::BACKUPS).join(&name);
        match folder::read(disk, &path).map(|bytes| manifest::decode(&bytes)) {
            Ok(Ok(read)) if read.manifest.id == name => found.push(read),
            Ok(Ok(_)) => report
                .problems
                .push(Problem::damage(path, 0, "it is of another backup")),
            Ok(Err(reason)) => report.problems.push(Problem::damage(path, 0, reason)),
            Err(error) if folder::is_away(&error) => return Err(error.into()),
            Err(error) => report.problems.push(Problem::damage(path, 0, error.to_string())),
        }
    }
    let bad = hashes(disk, &found, &mut report, progress)?;
    let chain = ledger::chain(disk)?;
    report.ledger = chain.count;
    let broken = chain.problems.into_iter();
    report
        .problems
        .extend(broken.map(|(path, reason)| Problem::damage(path, 0, reason)));
    for read in &found {
        let manifest = &read.manifest;
        let before = report.problems.len();
        for tenant in &manifest.tenants {
            roots::check(disk, tenant, &bad, &mut report.problems)?;
        }
        if manifest.ledger > report.ledger {
            let reason = format!("the backup covers {} entries of the ledger", manifest.ledger);
            report.problems.push(Problem::damage(folder::LEDGER, 0, reason));
        }
        let opened = key.is_some_and(|key| match open(disk, key, read, report.ledger) {
            Ok(()) => true,
            Err(problem) => {
                report.problems.push(problem);
                false
            }
        });
        let files = expire::files(manifest);
        report.backups.push(Checked {
            id: manifest.id.clone(),
            made_ms: manifest.made_ms,
            tenants: manifest.tenants.len() as u64,
            entries: manifest.tenants.iter().map(|tenant| tenant.size).sum(),
            opened,
            sound: report.problems.len() == before && !files.iter().any(|path| bad.contains(path)),
        });
    }
    if let Some(newest) = found.last() {
        chunks::follow(disk, key, newest, &mut report)?;
    }
    report.leftovers = leftovers(disk, &found)?;
    Ok(report)
}

/// Hashes every file that a manifest names; returns those that do not hold.
///
/// # Errors
/// A target that could not be asked.
fn hashes(
    disk: &dyn Disk,
    found: &[manifest::Found],
    report: &mut BackupReport,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<BTreeSet<PathBuf>> {
    let mut sums: BTreeMap<PathBuf, (Option<u64>, String)> = BTreeMap::new();
    for manifest in found.iter().map(|found| &found.manifest) {
        let mut add = |path, sum: &Sum| sums.insert(path, (Some(sum.bytes), sum.blake3.clone()));
        add(folder::catalog_path(&manifest.id), &manifest.catalog);
        add(folder::escrow_path(&manifest.id), &manifest.escrow);
        for log in &manifest.logs {
            add(folder::log_path(&manifest.id, log.number), &log.sum);
        }
        for blob in &manifest.blobs {
            add(folder::blob_path(&blob.id), &blob.sum);
        }
        for hash in manifest.tenants.iter().flat_map(|tenant| &tenant.entries) {
            sums.insert(folder::entries_path(hash), (None, hash.clone()));
        }
    }
    let runs = folder::names_below(disk, Path::new(folder::ENTRIES))?;
    let bytes = sums
        .values()
        .map(|(bytes, hash)| bytes.or(runs.get(hash).copied()));
    let all = bytes.flatten().sum();
    let mut bad = BTreeSet::new();
    for (path, (bytes, blake3)) in sums {
        report.files += 1;
        let read = hash(disk, &path, &mut |bytes| {
            report.bytes += bytes;
            progress(report.bytes, all);
        });
        let reason = match read {
            Ok((len, hash)) if bytes.is_none_or(|bytes| bytes == len) && hash == blake3 => continue,
            Ok((len, _)) if bytes.is_some_and(|bytes| bytes != len) => {
                format!("it has {len} bytes of {}", bytes.unwrap_or_default())
            }
            Ok(_) => "it has another hash than its manifest says".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "it is missing".to_owned(),
            Err(error) if folder::is_away(&error) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        report.problems.push(Problem::damage(&path, 0, reason));
        bad.insert(path);
    }
    Ok(bad)
}

/// Length and hash of a file.
pub(super) fn hash(disk: &dyn Disk, path: &Path, each: &mut dyn FnMut(u64)) -> io::Result<(u64, String)> {
    let file = disk.open(path, Mode::Read)?;
    let (mut hasher, mut at) = (blake3::Hasher::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let len = file.read_at(&mut piece, at)?;
        if len == 0 {
            return Ok((at, manifest::short(&hasher.finalize())));
        }
        hasher.update(&piece[..len]);
        at += len as u64;
        each(len as u64);
    }
}

/// Opens what a backup's keys open.
fn open(
    disk: &dyn Disk,
    key: &RecipientKey,
    found: &manifest::Found,
    entries: u64,
) -> std::result::Result<(), Problem> {
    let manifest = &found.manifest;
    let path = folder::escrow_path(&manifest.id);
    let escrow = opened_escrow(disk, key, manifest).map_err(|error| Problem::of(&error, &path))?;
    if !found.is_authentic(&escrow.dump) {
        let path = folder::manifest_path(&manifest.id);
        return Err(Problem::damage(
            path,
            0,
            "the manifest was not written by who made the backup",
        ));
    }
    let path = folder::catalog_path(&manifest.id);
    let rows = Rows::read(disk, manifest, &escrow.dump).map_err(|error| Problem::of(&error, &path))?;
    let keys = rows
        .keys(&escrow.root_page)
        .map_err(|error| Problem::of(&error, &path))?;
    let key = ledger::key(&keys);
    ledger::open(disk, &key, entries).map_err(|error| Problem::of(&error, folder::LEDGER))?;
    Ok(())
}

/// Opens the escrow of a backup.
///
/// # Errors
/// [`Error::Key`], damage, what the system says.
pub(super) fn opened_escrow(disk: &dyn Disk, key: &RecipientKey, manifest: &Manifest) -> Result<Escrow> {
    let path = folder::escrow_path(&manifest.id);
    let sealed = folder::read(disk, &path)?;
    Escrow::open(key, &manifest.instance, &manifest.id, &sealed).map_err(|error| match error {
        attestore_keys::Error::Damaged { reason, .. } => Error::damage(&path, 0, reason),
        error => error.into(),
    })
}

/// What of the rows is needed to open the keys of `_system`.
struct Rows {
    instance: Option<InstanceRow>,
    system: Option<[u8; 16]>,
    tenants: BTreeMap<[u8; 16], Vec<u8>>,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Rows {
    fn read(disk: &dyn Disk, manifest: &Manifest, dump: &Key) -> Result<Self> {
        use redb::TableHandle;
        let mut rows = Self {
            instance: None,
            system: None,
            tenants: BTreeMap::new(),
            pages: BTreeMap::new(),
        };
        let path = folder::catalog_path(&manifest.id);
        let damage = |what: &str| Error::damage(&path, 0, what);
        let id = unhex(&manifest.id).ok_or_else(|| damage("id of the backup"))?;
        dump::read(disk, &path, dump, &id, &mut |table, key, value| {
            if table == tables::META.name() && key == tables::INSTANCE.as_bytes() {
                rows.instance = Some(json(value)?);
            } else if table == tables::TENANT_NAMES.name() && key == crate::SYSTEM_TENANT.as_bytes() {
                rows.system = value.try_into().ok();
            } else if table == tables::TENANTS.name() {
                let id = key.try_into().map_err(|_| damage("id of a tenant"))?;
                rows.tenants.insert(id, value.to_vec());
            } else if table == tables::PAGES.name() {
                let page = key.try_into().map_err(|_| damage("number of a page"))?;
                rows.pages.insert(u64::from_le_bytes(page), value.to_vec());
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// The directory key of `_system`; every page of the tree of keys has to open.
    fn keys(&self, root_page: &Key) -> Result<Key> {
        use attestore_keys::{KeyTree, Slot, SlotContext, SlotKind, TreeHead};
        let damage = |what: &str| Error::damage("catalog", 0, what.to_owned());
        let instance = self.instance.as_ref().ok_or_else(|| damage("no instance row"))?;
        let head = TreeHead {
            height: instance.tree_height,
            next_slot: instance.tree_next_slot,
        };
        let entropy = std::sync::Arc::new(attestore_keys::SystemEntropy);
        let tree = KeyTree::load(root_page.duplicate(), head, entropy);
        let pages = Pages(&self.pages);
        if let Some(bad) = tree.verify(&pages)?.damage.first() {
            return Err(damage(&format!(
                "page {} of the tree of keys: {}",
                bad.page.0, bad.reason
            )));
        }
        let system = self.system.ok_or_else(|| damage("there is no system tenant"))?;
        let row = self
            .tenants
            .get(&system)
            .ok_or_else(|| damage("there is no system tenant"))?;
        let row: crate::catalog::TenantRow = json(row)?;
        let context = |kind| SlotContext {
            kind,
            tenant: system,
            owner: [0; 16],
        };
        let tenant = |slot| tree.get(&pages, Slot(slot), &context(SlotKind::TenantKey), None);
        let directory = context(SlotKind::Directory);
        let under = |slot| tree.get(&pages, Slot(row.directory_slot), &directory, Some(&tenant(slot)?));
        match (under(row.key_slot), row.former_key_slot) {
            // The backup was made while the tenant key of `_system` was being replaced.
            (Err(attestore_keys::Error::WrongKey { .. }), Some(former)) => Ok(under(former)?),
            (opened, _) => Ok(opened?),
        }
    }
}

/// Pages of a dump.
struct Pages<'a>(&'a BTreeMap<u64, Vec<u8>>);

impl attestore_keys::PageStore for Pages<'_> {
    fn get(&self, page: attestore_keys::PageId) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(&page.0).cloned())
    }

    fn put(&mut self, _: attestore_keys::PageId, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&mut self, _: attestore_keys::PageId) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// How many files no manifest names.
fn leftovers(disk: &dyn Disk, found: &[manifest::Found]) -> Result<u64> {
    let named: BTreeSet<PathBuf> = found
        .iter()
        .flat_map(|found| expire::files(&found.manifest))
        .collect();
    let mut count = 0;
    for dir in [folder::CATALOGS, folder::LOGS, folder::ESCROW] {
        let names = folder::names(disk, Path::new(dir))?;
        count += names
            .keys()
            .filter(|name| !named.contains(&Path::new(dir).join(name)))
            .count();
    }
    let newest = found.last().map(|found| &found.manifest.id);
    for id in folder::folders(disk, Path::new(folder::CHUNKS))? {
        if Some(&id) != newest {
            count += folder::names(disk, &folder::chunks_path(&id))?.len();
        }
    }
    type PathOf = fn(&str) -> PathBuf;
    let below: [(&str, PathOf); 2] = [
        (folder::BLOBS, folder::blob_path),
        (folder::ENTRIES, folder::entries_path),
    ];
    for (dir, path) in below {
        let names = folder::names_below(disk, Path::new(dir))?;
        count += names.keys().filter(|name| !named.contains(&path(name))).count();
    }
    Ok(count as u64)
}

const PIECE: usize = 1 << 20;
