//! Checks one tenant's records against its entries, and its entries against its tree.

use std::path::PathBuf;

use attestore_record::{Entry, entry::ENTRY_BYTES};
use attestore_tlog::{Frontier, Hash, TILE_HEIGHT, leaf_hash};

use super::{
    Problem,
    gone::{GoneCheck, Tally},
    held::Held,
    reasons::Reasons,
    seqs::Seqs,
};
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
    /// Of all records, where all were looked at.
    pub(crate) tally: Tally,
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
    let mut walk = Walk::new(inner, tenant, view, Some(Whole::new(view.size)));
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
            Ok(opened) => drop(check_record(tenant, &opened, &mut look, &mut checked)),
            Err(error) => checked.problem(Problem::of(&error, "wal")),
        }
    }
    look.finish(tenant, &mut checked);
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
    /// Begins. With `whole`, what can be told only of all records together is found too, for two bits a record.
    pub(crate) fn new(inner: &'a Inner, tenant: &'a Tenant, view: &'a View, whole: Option<Whole>) -> Self {
        let look = Look {
            reader: tree::reader(inner, tenant, view),
            entries: Vec::new(),
            first: 0,
            size: view.size,
            salts: records::SetSalts::default(),
            whole,
            erasures: None,
            gone: GoneCheck::new(tenant.gone.load_full()),
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
        let mut held = Held::default();
        let before = self.checked.problems.len();
        let visited = records::scan_set(self.inner, self.tenant, set, |record| {
            if let Some(entry) = check_record(self.tenant, &record, &mut self.look, &mut self.checked) {
                held.add(record.seq, entry.time_ms);
            }
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
        if self.checked.problems.len() == before {
            let whole = self.look.whole.is_some();
            let problems = held.problems(self.inner, self.tenant, set, whole);
            problems
                .into_iter()
                .for_each(|problem| self.checked.problem(problem));
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
    /// Where all records are looked at in one go.
    whole: Option<Whole>,
    /// Whether a subject of the tenant was erased, once that was asked.
    erasures: Option<bool>,
    gone: GoneCheck,
}

impl Look<'_> {
    /// Whether any subject of the tenant was erased.
    fn has_erasures(&mut self, tenant: &Tenant) -> Result<bool> {
        match self.erasures {
            Some(known) => Ok(known),
            None => Ok(*self.erasures.insert(tenant.catalog.has_erasures(&tenant.id)?)),
        }
    }

    /// Reports what all records together lack.
    fn finish(&mut self, tenant: &Tenant, checked: &mut Checked) {
        let erased = self.has_erasures(tenant);
        let Some(whole) = &mut self.whole else { return };
        // Whoever decides what goes has its record in the log a moment before its rows.
        let gone = {
            let _decided = tenant.deciding.lock();
            tenant.gone.load_full()
        };
        let mut found = Vec::new();
        let tally = self
            .gone
            .finish(&gone, self.reader.source(), &mut whole.seen, &mut |reason| {
                found.push(reason)
            });
        match tally {
            Ok(tally) => checked.tally = tally,
            Err(error) => checked.problem(Problem::of(&error, tenant.dir())),
        }
        for reason in found {
            checked.problem(Problem::damage(tenant.dir(), 0, reason));
        }
        if let Some(first) = whole.seen.first_missing() {
            let count = whole.seen.size() - whole.seen.count(0..whole.seen.size());
            let reason =
                format!("{count} records are in no segment and not gone for a reason, the first is {first}");
            checked.problem(Problem::damage(tenant.dir(), 0, reason));
        }
        match erased {
            Err(error) => checked.problem(Problem::of(&error, tenant.dir())),
            Ok(erased) => {
                if let Some((count, first)) = whole.reasons.unexplained(erased) {
                    let reason = format!(
                        "{count} records lack personal groups that no erasure on record accounts for, the first is {first}"
                    );
                    checked.problem(Problem::damage(tenant.dir(), first, reason));
                }
            }
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

/// Checks a record against its entry, which is returned if that could be read.
fn check_record(
    tenant: &Tenant,
    record: &Record,
    look: &mut Look<'_>,
    checked: &mut Checked,
) -> Option<Entry> {
    checked.records += 1;
    let place = tenant.dir();
    let fresh = match &mut look.whole {
        Some(whole) => whole.seen.set(record.seq),
        None => record.seq < look.size,
    };
    if !fresh {
        let reason = format!("record {} is beyond the tree, or stored twice", record.seq);
        checked.problem(Problem::damage(place, 0, reason));
        return None;
    }
    let entry = match look.entry(record.seq) {
        Ok(entry) => entry,
        Err(error) => {
            checked.problem(Problem::of(&error, place));
            return None;
        }
    };
    match look.gone.take(record, &entry) {
        Ok(None) => {}
        Ok(Some(reason)) => {
            let reason = format!("record {}: {reason}", record.seq);
            checked.problem(Problem::damage(&place, record.seq, reason));
        }
        Err(error) => {
            checked.problem(Problem::of(&error, place));
            return Some(entry);
        }
    }
    let reason = match records::check(tenant, &mut look.salts, record, &entry) {
        Ok(_) if record.class != entry.class => Some("it is stored with another class than its entry's"),
        Ok(opened) => {
            checked.groups_opened += opened;
            match groups(tenant, record, &entry, look, checked) {
                Ok(reason) => reason,
                Err(error) => {
                    checked.problem(Problem::of(&error, place));
                    return Some(entry);
                }
            }
        }
        Err(Mismatch::Record) => Some("it is not what its entry commits to"),
        Err(Mismatch::Group) => Some("a personal group is not what the record commits to"),
        Err(Mismatch::Error(error)) => {
            checked.problem(Problem::of(&error, place));
            return Some(entry);
        }
    };
    if let Some(reason) = reason {
        let reason = format!("record {}: {reason}", record.seq);
        checked.problem(Problem::damage(place, record.seq, reason));
    }
    Some(entry)
}

/// Counts personal groups that are not there; says what is wrong with those that are, or that none may be missing.
fn groups(
    tenant: &Tenant,
    record: &Record,
    entry: &Entry,
    look: &mut Look<'_>,
    checked: &mut Checked,
) -> Result<Option<&'static str>> {
    let opened = record.personal.iter().filter_map(|group| match group {
        records::Personal::Opened { handles, .. } => Some(handles.as_slice()),
        records::Personal::Erased => None,
    });
    let opened: Vec<_> = opened.collect();
    // A record has one group for each set of subjects.
    let twice = opened
        .iter()
        .enumerate()
        .any(|(at, set)| opened[..at].contains(set));
    let gone = record.commitments.len().checked_sub(opened.len());
    let (Some(gone), false) = (gone, twice || record.personal.len() > record.commitments.len()) else {
        return Ok(Some("it has personal groups that it does not commit to"));
    };
    checked.groups_erased += gone as u64;
    let Some(whole) = &mut look.whole else {
        let unexplained = gone > 0 && !look.has_erasures(tenant)?;
        return Ok(unexplained.then_some("its personal groups are not all there"));
    };
    // Whether they may be is known once all erasures are.
    if gone > 0 {
        whole.reasons.gap(record.seq);
    } else {
        whole.reasons.take(record, entry)?;
    }
    Ok(None)
}

/// What can be told only of all records together.
pub(crate) struct Whole {
    /// Which records were seen.
    seen: Seqs,
    reasons: Reasons,
}

impl Whole {
    fn new(size: u64) -> Self {
        Self {
            seen: Seqs::new(size),
            reasons: Reasons::new(size),
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
