//! Checks one tenant's records against its entries, and its entries against its tree.

use std::path::PathBuf;

use attestore_record::{Entry, entry::ENTRY_BYTES};
use attestore_tlog::{Frontier, Hash, TILE_HEIGHT, leaf_hash};

use super::Problem;
use crate::{
    error::Result,
    instance::Inner,
    read::{
        records::{self, Mismatch, Record},
        tree::{self, LogFiles},
    },
    tenant::{FileSet, Tenant, View},
};

/// What was checked of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) records: u64,
    pub(crate) groups_opened: u64,
    pub(crate) groups_erased: u64,
    pub(crate) nodes: u64,
    /// Root over all entries, as recomputed.
    pub(crate) root: Option<Hash>,
    pub(crate) problems: Vec<Problem>,
}

/// Checks every entry, stored node and record of a snapshot. `progress` gets how many of how many records are done.
pub(super) fn check_tenant(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    progress: &mut dyn FnMut(u64, u64),
) -> Checked {
    let mut walk = Walk::new(inner, tenant, view, Some(Bitmap::new(view.size)));
    let mut broken = walk.tree(&mut |_| Ok(()));
    for set in view.flushed.iter() {
        let before = walk.checked.records;
        broken = broken.and_then(|()| {
            walk.set(set, &mut |records| {
                progress(before + records, view.size);
                Ok(())
            })
        });
    }
    debug_assert!(broken.is_ok(), "nothing here breaks it off");
    let Walk {
        mut look,
        mut checked,
        ..
    } = walk;
    for record in view.tail.iter(view.tail.range()) {
        match records::from_tail(tenant, record, true) {
            Ok(opened) => check_record(tenant, &opened, &mut look, &mut checked),
            Err(error) => checked.problem(Problem::of(&error, "wal")),
        }
    }
    let missing = look.seen.as_ref().map(Bitmap::missing).unwrap_or_default();
    if let Some(first) = missing.first {
        let reason = format!(
            "{} records are in no segment, the first is {first}",
            missing.count
        );
        checked.problem(Problem::damage(tenant.dir(), 0, reason));
    }
    progress(checked.records, view.size);
    checked
}

/// Goes over the parts of one tenant's snapshot.
pub(crate) struct Walk<'a> {
    inner: &'a Inner,
    tenant: &'a Tenant,
    view: &'a View,
    look: Look<'a>,
    /// What was found so far.
    pub(crate) checked: Checked,
}

impl<'a> Walk<'a> {
    /// Begins. With `seen`, records that are stored twice in different segments are found too, for a bit a record.
    pub(crate) fn new(inner: &'a Inner, tenant: &'a Tenant, view: &'a View, seen: Option<Bitmap>) -> Self {
        let look = Look {
            reader: tree::reader(inner, tenant, view),
            entries: Vec::new(),
            first: 0,
            size: view.size,
            salts: records::SetSalts::default(),
            seen,
            erasures: None,
        };
        Self {
            inner,
            tenant,
            view,
            look,
            checked: Checked::default(),
        }
    }

    /// Recomputes the tree from the entries and holds stored nodes, frontier and root against it. `pace` gets the bytes that
    /// are read next.
    ///
    /// # Errors
    /// Those of `pace`.
    pub(crate) fn tree(&mut self, pace: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        check_tree(self.inner, self.tenant, self.view, &mut self.checked, pace)
    }

    /// Checks the records of one segment. `progress` gets how many of them are done, every [`PROGRESS_EVERY`].
    ///
    /// # Errors
    /// Those of `progress`.
    pub(crate) fn set(&mut self, set: &FileSet, progress: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let mut broken = Ok(());
        let mut records = 0;
        let visited = records::scan_set(self.inner, self.tenant, set, |record| {
            check_record(self.tenant, &record, &mut self.look, &mut self.checked);
            records += 1;
            if records % PROGRESS_EVERY == 0 {
                broken = progress(records);
                broken.clone()?;
            }
            Ok(())
        });
        broken?;
        if let Err(error) = visited {
            self.checked.problem(Problem::of(&error, &set.seg.path));
        }
        Ok(())
    }
}

impl Checked {
    pub(crate) fn problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

/// Recomputes the tree from the entries and holds stored nodes, frontier and root against it.
fn check_tree(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    checked: &mut Checked,
    pace: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let reader = tree::reader(inner, tenant, view);
    let files = LogFiles::new(inner.disk.clone(), &tenant.id);
    let flushed = view.flushed_count();
    let mut frontier = Frontier::new();
    let mut last_ms = 0;
    let mut seq = 0;
    while seq < view.size {
        let end = view.size.min(seq + BATCH);
        pace((end - seq) * ENTRY_BYTES as u64)?;
        let entries = match reader.source().entries(seq..end) {
            Ok(entries) => entries,
            Err(error) => {
                checked.problem(Problem::of(&error, files.path(0)));
                return Ok(());
            }
        };
        for bytes in entries {
            check_entry(&bytes, seq, &mut last_ms, &files.path(0), checked);
            let mut stored = Vec::new();
            frontier.push_with(leaf_hash(&bytes), |level, index, hash| {
                if level % TILE_HEIGHT == 0 && (index + 1) << level <= flushed {
                    stored.push((level, index, hash));
                }
            });
            for (level, index, hash) in stored {
                check_node(&files, level, index, hash, checked);
            }
            seq += 1;
        }
    }
    let root = frontier.root();
    checked.root = Some(root);
    if root != view.root || frontier != view.frontier {
        let reason = format!(
            "the entries do not give the root that is recorded for size {}",
            view.size
        );
        checked.problem(Problem::damage(files.path(0), 0, reason));
    }
    Ok(())
}

fn check_entry(
    bytes: &[u8; ENTRY_BYTES],
    seq: u64,
    last_ms: &mut u64,
    path: &PathBuf,
    checked: &mut Checked,
) {
    let offset = seq * ENTRY_BYTES as u64;
    match Entry::from_bytes(bytes) {
        Err(error) => checked.problem(Problem::damage(path, offset, error.to_string())),
        Ok(entry) if entry.time_ms < *last_ms => {
            checked.problem(Problem::damage(
                path,
                offset,
                "its time is before that of the entry before",
            ));
        }
        Ok(entry) => *last_ms = entry.time_ms,
    }
}

fn check_node(files: &LogFiles, level: u8, index: u64, hash: Hash, checked: &mut Checked) {
    let mut found = Vec::with_capacity(1);
    let offset = index * Hash::LEN as u64;
    match files.nodes(level, index..index + 1, &mut found) {
        Err(error) => checked.problem(Problem::of(&error, files.path(level))),
        Ok(()) if found != [hash] => {
            checked.problem(Problem::damage(
                files.path(level),
                offset,
                "not the hash of the nodes below it",
            ));
        }
        Ok(()) => checked.nodes += 1,
    }
}

/// What checking many records keeps from one to the next.
struct Look<'a> {
    reader: tree::Reader<'a>,
    /// Entries from `first` on: reading each alone would be a call to the disk for each record.
    entries: Vec<[u8; ENTRY_BYTES]>,
    first: u64,
    size: u64,
    salts: records::SetSalts,
    /// Which records were seen, where all of them are looked at in one go.
    seen: Option<Bitmap>,
    /// Whether a subject of the tenant was erased, once that was asked.
    erasures: Option<bool>,
}

impl Look<'_> {
    /// Whether any subject of the tenant was erased.
    fn has_erasures(&mut self, tenant: &Tenant) -> Result<bool> {
        match self.erasures {
            Some(known) => Ok(known),
            None => Ok(*self.erasures.insert(tenant.catalog.has_erasures(&tenant.id)?)),
        }
    }

    fn entry(&mut self, seq: u64) -> Result<Entry> {
        let held = self.first..self.first + self.entries.len() as u64;
        if !held.contains(&seq) {
            let ahead = seq..self.size.min(seq.saturating_add(ENTRIES_AHEAD));
            // Where a run cannot be read, each record is told apart below.
            self.entries = self.reader.source().entries(ahead).unwrap_or_default();
            self.first = seq;
        }
        let at = usize::try_from(seq - self.first).ok();
        let bytes = at.and_then(|at| self.entries.get(at));
        match bytes.map(|bytes| Entry::from_bytes(bytes)) {
            Some(Ok(entry)) => Ok(entry),
            Some(Err(_)) | None => self.reader.source().entry(seq),
        }
    }
}

fn check_record(tenant: &Tenant, record: &Record, look: &mut Look<'_>, checked: &mut Checked) {
    checked.records += 1;
    let place = tenant.dir();
    let fresh = match &mut look.seen {
        Some(seen) => seen.set(record.seq),
        None => record.seq < look.size,
    };
    if !fresh {
        let reason = format!("record {} is beyond the tree, or stored twice", record.seq);
        return checked.problem(Problem::damage(place, 0, reason));
    }
    let entry = match look.entry(record.seq) {
        Ok(entry) => entry,
        Err(error) => return checked.problem(Problem::of(&error, place)),
    };
    let erased = record
        .personal
        .iter()
        .filter(|group| matches!(group, records::Personal::Erased))
        .count();
    checked.groups_erased += erased as u64;
    let reason = match records::check(tenant, &mut look.salts, record, &entry) {
        Ok(opened) => {
            checked.groups_opened += opened;
            let missing = record.commitments.len().saturating_sub(record.personal.len());
            if missing == 0 && record.personal.len() == record.commitments.len() {
                return;
            }
            match look.has_erasures(tenant) {
                // A rewrite leaves behind what no key opens any more; what is authentic says no more about it.
                Ok(true) if missing > 0 => {
                    checked.groups_erased += missing as u64;
                    return;
                }
                Ok(_) => "its personal groups are not all there",
                Err(error) => return checked.problem(Problem::of(&error, place)),
            }
        }
        Err(Mismatch::Record) => "it is not what its entry commits to",
        Err(Mismatch::Group) => "a personal group is not what the record commits to",
        Err(Mismatch::Error(error)) => return checked.problem(Problem::of(&error, place)),
    };
    checked.problem(Problem::damage(
        place,
        record.seq,
        format!("record {}: {reason}", record.seq),
    ));
}

/// Which records were seen.
pub(crate) struct Bitmap {
    words: Vec<u64>,
    size: u64,
}

#[derive(Default)]
struct Missing {
    count: u64,
    first: Option<u64>,
}

impl Bitmap {
    fn new(size: u64) -> Self {
        let words = usize::try_from(size.div_ceil(64)).unwrap_or(0);
        Self {
            words: vec![0; words],
            size,
        }
    }

    /// Notes a record; false if it is out of range or was seen before.
    fn set(&mut self, seq: u64) -> bool {
        let word = usize::try_from(seq / 64)
            .ok()
            .and_then(|at| self.words.get_mut(at));
        let Some(word) = word.filter(|_| seq < self.size) else {
            return false;
        };
        let bit = 1 << (seq % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn missing(&self) -> Missing {
        let absent = |seq: &u64| {
            let word = usize::try_from(seq / 64).ok().and_then(|at| self.words.get(at));
            word.is_none_or(|word| word & 1 << (seq % 64) == 0)
        };
        let seen: u64 = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
        let count = self.size.saturating_sub(seen);
        Missing {
            count,
            first: if count == 0 {
                None
            } else {
                (0..self.size).find(absent)
            },
        }
    }
}

const BATCH: u64 = 4096;
/// Entries read at once while records are checked.
const ENTRIES_AHEAD: u64 = 1024;
/// Records between two calls for progress.
pub(crate) const PROGRESS_EVERY: u64 = 1024;
/// Problems listed for one tenant; more say nothing new.
const PROBLEMS_MAX: usize = 1000;
