//! Making a backup.
//!
//! 1. The ledger is shipped, what no manifest names is removed, every tail is flushed. Meanwhile sealed files are copied that there
//!    are already: step 3 finds them in the target.
//! 2. Under the lock of flushes: a snapshot of the catalog; then the sizes of all logs and the end of the log's file, of one moment;
//!    what the log's files hold up to there is copied. They are freed by flushes only.
//! 3. Sealed files that the target does not have are copied and compared with their checksums. A file that was replaced meanwhile
//!    makes the backup go on with a newer snapshot; what was copied stays. The last attempt holds the lock of flushes to the end.
//! 4. Runs of entries, the rows of the catalog, the escrow. The target's file system is synced.
//! 5. The manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use attestore_disk::{AlignedBuf, Disk, Mode};
use attestore_keys::{Key, random_array};
use attestore_record::TenantId;
use attestore_segment::FileWriter;
use parking_lot::Mutex;
use redb::ReadableTable;

use super::api::Job;
use super::cut::{Cut, cut, fill, read};
use super::escrow::Escrow;
use super::folder::{self, Known};
use super::manifest::{BlobSum, FORMAT, Manifest, RUN, Sum, TenantSum, short};
use super::{Target, dump, expire, ledger, manifest, ship};
use crate::catalog::{FileRow, Snapshot, TenantRow, hex, json, storage, tables};
use crate::error::{Error, Result};
use crate::instance::{Inner, OpenMode};

/// Why there is no backup of a snapshot.
enum Missed {
    /// Files of it were replaced.
    Replaced,
    Failed(Error),
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Missed {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes a backup under an id.
///
/// # Errors
/// What the data directory or the target says; damage of a file that is to be copied. Nothing names what was copied then.
pub(super) fn run(inner: &Inner, target: &Target, id: [u8; 16], job: &Job) -> Result<Manifest> {
    inner.check_running()?;
    ledger::ship(inner)?;
    let disk = &*target.disk;
    folder::prepare(disk, &ledger::instance(inner)?)?;
    let known = Known::read(disk)?;
    expire::sweep(disk, &known, &named(inner)?)?;
    let sealed = flush_and_copy(inner, target, job)?;
    for attempt in 1..=ATTEMPTS {
        let flushing = inner.flushing.lock();
        inner.check_running()?;
        let cut = cut(inner, disk, &id)?;
        let key = Key::random(&*inner.entropy);
        ship::begin(inner, target, id, &key, &cut)?;
        let held = (attempt == ATTEMPTS).then_some(flushing);
        let made = Copying {
            inner,
            target,
            id,
            job,
            ahead: false,
            known: &known,
            key: &key,
        }
        .all(cut, sealed);
        drop(held);
        match &made {
            Ok(manifest) => ship::follow(inner, id, manifest),
            Err(_) => ship::abandon(inner, id),
        }
        match made {
            Ok(manifest) => return Ok(manifest),
            Err(Missed::Failed(error)) => return Err(error),
            Err(Missed::Replaced) => tracing::debug!(attempt, "a backup goes on with a newer snapshot"),
        }
    }
    Err(Error::Io(
        "files were replaced faster than they were copied".into(),
    ))
}

/// Flushes every tail, and copies sealed files meanwhile if the instance has threads; returns how many bytes of them were copied.
fn flush_and_copy(inner: &Inner, target: &Target, job: &Job) -> Result<u64> {
    if inner.mode != OpenMode::Threads {
        crate::flush::round(inner, |_| true)?;
        return Ok(0);
    }
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| crate::flush::round(inner, |_| true));
        let copied = copy_sealed(inner, target, job, false);
        let flushed = flushing.join();
        flushed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        copied
    })
}

struct Copying<'a> {
    inner: &'a Inner,
    target: &'a Target,
    id: [u8; 16],
    job: &'a Job,
    /// Whether it is done ahead of a backup, and nobody waits for it.
    ahead: bool,
    known: &'a Known,
    /// The key of the dump.
    key: &'a Key,
}

impl Copying<'_> {
    fn disk(&self) -> &dyn Disk {
        &*self.target.disk
    }

    fn pace(&self) -> impl Fn(usize) -> io::Result<()> + '_ {
        |bytes| {
            self.inner.backups.pace(self.inner, bytes)?;
            self.job.done.fetch_add(bytes as u64, Ordering::Relaxed);
            match self.ahead {
                true => crate::compact::pace(self.inner, bytes),
                false => Ok(()),
            }
        }
    }

    /// `sealed` bytes of sealed files were copied already.
    fn all(&self, cut: Cut, sealed: u64) -> std::result::Result<Manifest, Missed> {
        let id = hex(&self.id);
        let logs: u64 = cut.logs.iter().map(|log| log.sum.bytes).sum();
        let (blobs, blobs_copied) = self.blobs(&cut.snapshot)?;
        let (tenants, entries, entries_copied) = self.tenants(&cut)?;
        let copied = sealed + blobs_copied + entries_copied + logs;
        let escrow = Escrow {
            dump: self.key.duplicate(),
            root_page: cut.snapshot.root_page_key.duplicate(),
        };
        let pace = self.pace();
        let file = FileWriter::create(self.disk(), &folder::catalog_path(&id), &pace)?;
        let mut writer = dump::Writer::new(file, &escrow.dump, &*self.inner.entropy, self.id)?;
        writer.catalog(&cut.snapshot.txn)?;
        let written = writer.finish()?;
        let instance = cut.snapshot.instance.id.clone();
        let sealed = escrow.seal(&self.target.recipient, &*self.inner.entropy, &instance, &id)?;
        folder::write(self.disk(), &folder::escrow_path(&id), &sealed)?;
        // Everything that the manifest names, and the names.
        self.disk().sync_all()?;
        let bytes = blobs.iter().map(|blob| blob.sum.bytes).sum::<u64>() + entries + logs + written.bytes;
        let manifest = Manifest {
            format: FORMAT,
            instance,
            made_ms: cut.made_ms,
            recipient: self.target.recipient.to_string(),
            ledger: ledger::count(&cut.snapshot.txn)?,
            escrow: Sum::of(&sealed),
            catalog: Sum {
                bytes: written.bytes,
                blake3: hex(&written.checksum),
            },
            logs: cut.logs,
            tenants,
            blobs,
            bytes,
            bytes_copied: copied + written.bytes,
            base: self.job.base,
            id: id.clone(),
        };
        let bytes = manifest::bytes(&manifest, &escrow.dump)?;
        folder::write(self.disk(), &folder::manifest_path(&id), &bytes)?;
        Ok(manifest)
    }

    /// Sees to it that every sealed file and part of a snapshot is in the target; returns how many bytes were copied, too.
    fn blobs(&self, snapshot: &Snapshot) -> std::result::Result<(Vec<BlobSum>, u64), Missed> {
        let there = folder::names_below(self.disk(), Path::new(folder::BLOBS))?;
        let table = snapshot.txn.open_table(tables::FILES).map_err(storage)?;
        let mut rows: Vec<(TenantId, FileRow)> = Vec::new();
        for row in table.iter().map_err(storage)? {
            let (key, row) = row.map_err(storage)?;
            rows.push((TenantId::from_bytes(*key.value().0), json(row.value())?));
        }
        let lacks = |row: &FileRow| there.get(&row.id) != Some(&row.length);
        let lacking: Vec<_> = rows.iter().filter(|(_, row)| lacks(row)).collect();
        let copied: u64 = lacking.iter().map(|(_, row)| row.length).sum();
        self.job
            .all
            .store(self.job.done.load(Ordering::Relaxed) + copied, Ordering::Relaxed);
        self.at_once(&lacking, |(tenant, row), memory| self.blob(tenant, row, memory))?;
        let sums = rows.iter().map(|(_, row)| BlobSum {
            id: row.id.clone(),
            sum: Sum {
                bytes: row.length,
                blake3: row.checksum.clone(),
            },
        });
        let mut sums: Vec<BlobSum> = sums.collect();
        sums.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((sums, copied))
    }

    /// Does `each` for all, some at once if the instance has threads: while one is read and hashed, another is written.
    fn at_once<T: Sync>(
        &self,
        all: &[T],
        each: impl Fn(&T, &mut AlignedBuf) -> std::result::Result<(), Missed> + Sync,
    ) -> std::result::Result<(), Missed> {
        let (next, missed) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            // Memory is taken once for all: the first use of a page costs more than what is done with it here.
            let mut memory = AlignedBuf::new();
            while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(why) = each(one, &mut memory) {
                    next.store(all.len(), Ordering::Relaxed);
                    let mut missed = missed.lock();
                    // Damage is not undone by a newer snapshot.
                    if missed.is_none() || matches!(why, Missed::Failed(_)) {
                        *missed = Some(why);
                    }
                }
            }
        };
        let others = match self.inner.mode {
            OpenMode::Threads if !self.ahead => all.len().min(AT_ONCE).saturating_sub(1),
            _ => 0,
        };
        std::thread::scope(|scope| {
            for _ in 0..others {
                scope.spawn(work);
            }
            work();
        });
        missed.into_inner().map_or(Ok(()), Err)
    }

    fn blob(
        &self,
        tenant: &TenantId,
        row: &FileRow,
        memory: &mut AlignedBuf,
    ) -> std::result::Result<(), Missed> {
        let path = folder::blob_path(&row.id);
        self.make_folder_of(&path)?;
        let pace = self.pace();
        let mut to = FileWriter::create(self.disk(), &path, &pace)?;
        let read = read(
            &*self.inner.disk,
            &row.path,
            row.offset,
            row.length,
            memory,
            &mut |piece| to.write(piece),
        );
        let reason = match read {
            Ok(()) => {
                let written = to.finish(false).map_err(io::Error::from)?;
                if hex(&written.checksum) == row.checksum {
                    return Ok(());
                }
                folder::remove(self.disk(), &path)?;
                "the file is not what was written"
            }
            Err(error) if is_cut(&error) => "the file is missing or cut short",
            Err(error) => return Err(error.into()),
        };
        match self.inner.catalog.has_file(tenant, row)? {
            true => Err(Error::damage(&row.path, row.offset, reason).into()),
            false => Err(Missed::Replaced),
        }
    }

    /// Sees to it that the entries of every log are in the target; returns how many bytes they have, and how many were copied.
    fn tenants(&self, cut: &Cut) -> std::result::Result<(Vec<TenantSum>, u64, u64), Missed> {
        let there = folder::names_below(self.disk(), Path::new(folder::ENTRIES))?;
        let table = cut.snapshot.txn.open_table(tables::TENANTS).map_err(storage)?;
        let (mut sums, mut runs, mut bytes) = (Vec::new(), Vec::new(), 0);
        for row in table.iter().map_err(storage)? {
            let (id, row) = row.map_err(storage)?;
            let id = TenantId::from_bytes(*id.value());
            let row: TenantRow = json(row.value())?;
            let before = self.before(&id, &row);
            for (nth, first) in (0..row.flushed)
                .step_by(usize::try_from(RUN).unwrap_or(usize::MAX))
                .enumerate()
            {
                let len = RUN.min(row.flushed - first);
                let held = before.and_then(|before| before.entries.get(nth));
                // Entries below a count never change, so a whole run is what it was.
                let held = held.filter(|hash| len == RUN && there.get(*hash) == Some(&(RUN * ENTRY)));
                let hash = held.map_or_else(OnceLock::new, |hash| hash.clone().into());
                runs.push(Run { id, first, len, hash });
            }
            bytes += row.flushed * ENTRY;
            let flushed = (row.flushed, row.root.clone());
            let (size, root) = cut.heads.get(&id).cloned().unwrap_or(flushed);
            sums.push(TenantSum {
                id: id.to_string(),
                origin: row.origin,
                epoch: row.epoch,
                size,
                root,
                flushed: row.flushed,
                flushed_root: row.root,
                entries: Vec::new(),
            });
        }
        let (copied, there) = (AtomicU64::new(0), Mutex::new(there));
        let lacking: Vec<&Run> = runs.iter().filter(|run| run.hash.get().is_none()).collect();
        self.at_once(&lacking, |run, memory| {
            let (hash, bytes) = self.run(run, &there, memory)?;
            copied.fetch_add(bytes, Ordering::Relaxed);
            run.hash.set(hash).expect("a run is copied once");
            Ok(())
        })?;
        let mut runs = runs.into_iter().filter_map(|run| run.hash.into_inner());
        for sum in &mut sums {
            let count = sum.flushed.div_ceil(RUN);
            sum.entries = runs
                .by_ref()
                .take(usize::try_from(count).unwrap_or(usize::MAX))
                .collect();
        }
        Ok((sums, bytes, copied.into_inner()))
    }

    /// What the newest backup has of the same epoch of a log.
    fn before(&self, id: &TenantId, row: &TenantRow) -> Option<&TenantSum> {
        let id = id.to_string();
        let tenants = &self.known.manifests.last()?.tenants;
        let found = tenants.iter().find(|tenant| tenant.id == id)?;
        (found.origin == row.origin).then_some(found)
    }

    /// Sees to it that a run of entries is in the target; returns its hash, and how many bytes were copied.
    fn run(
        &self,
        run: &Run,
        there: &Mutex<BTreeMap<String, u64>>,
        memory: &mut AlignedBuf,
    ) -> std::result::Result<(String, u64), Missed> {
        let path = Path::new("tenants").join(run.id.to_string()).join("entries");
        let (offset, len) = (run.first * ENTRY, run.len * ENTRY);
        let disk = &*self.inner.disk;
        let read = disk
            .open(&path, Mode::ReadDirect)
            .and_then(|file| fill(&*file, offset, len, memory));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if is_cut(&error) => {
                return Err(match self.inner.tenant_of(&run.id) {
                    Err(Error::UnknownTenant) => Missed::Replaced,
                    _ => Error::damage(&path, offset, "fewer entries than the catalog counts").into(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        let hash = short(&blake3::hash(bytes));
        // Two that are equal are written once.
        if there.lock().insert(hash.clone(), len) == Some(len) {
            return Ok((hash, 0));
        }
        let path = folder::entries_path(&hash);
        self.make_folder_of(&path)?;
        attestore_segment::write_file_paced(self.disk(), &path, &[bytes], &self.pace(), false)
            .map_err(io::Error::from)?;
        Ok((hash, len))
    }

    fn make_folder_of(&self, path: &Path) -> io::Result<()> {
        self.disk().create_dir_all(path.parent().unwrap_or(Path::new("")))
    }
}

/// A run of entries of a log.
struct Run {
    id: TenantId,
    first: u64,
    len: u64,
    /// As it is in the target, once it is there.
    hash: OnceLock<String>,
}

/// Where the sealed files that the catalog names are in a target.
fn named(inner: &Inner) -> Result<BTreeSet<PathBuf>> {
    let table = inner.catalog.read()?.open_table(tables::FILES).map_err(storage)?;
    let mut named = BTreeSet::new();
    for row in table.iter().map_err(storage)? {
        let row: FileRow = json(row.map_err(storage)?.1.value())?;
        named.insert(folder::blob_path(&row.id));
    }
    Ok(named)
}

/// Copies sealed files that the target lacks, ahead of the next backup.
///
/// # Errors
/// What the data directory or the target says.
pub(super) fn ahead(inner: &Inner, target: &Target) -> Result<()> {
    copy_sealed(inner, target, &Job::ahead(inner), true).map(drop)
}

/// Copies sealed files that the target lacks; returns their bytes, as far as they were not replaced meanwhile.
fn copy_sealed(inner: &Inner, target: &Target, job: &Job, ahead: bool) -> Result<u64> {
    let copying = Copying {
        inner,
        target,
        id: [0; 16],
        job,
        ahead,
        known: &Known::default(),
        key: &Key::random(&*inner.entropy),
    };
    match copying.blobs(&inner.catalog.snapshot()?) {
        Ok((_, copied)) => Ok(copied),
        Err(Missed::Replaced) => Ok(0),
        Err(Missed::Failed(error)) => Err(error),
    }
}

fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

/// An id that sorts by time.
pub(super) fn fresh_id(inner: &Inner) -> [u8; 16] {
    let mut id: [u8; 16] = random_array(&*inner.entropy);
    for (to, from) in id.iter_mut().zip(&inner.clock.now_ms().to_be_bytes()[2..]) {
        *to = *from;
    }
    id
}

/// Files that are copied at once. More are no faster on two cores that appends keep busy, and who appends waits for them.
const AT_ONCE: usize = 2;
/// Snapshots that a backup goes on with at most.
const ATTEMPTS: usize = 8;
/// Bytes of an entry.
const ENTRY: u64 = attestore_record::entry::ENTRY_BYTES as u64;
