//! Opens records, from the tail or from sealed files, into one shape.

use std::{ops::ControlFlow, sync::Arc};

use attestore_keys::Key;
use attestore_record::{Entry, Handle, RecordId, SaltKey, commitment, view};
use attestore_segment::{
    BlockRecord, Group, ResolvedSalt, SegReader, SetKeyError, SetKeys, SubReader, SubScan,
};
use bytes::Bytes;
use hashbrown::HashMap;

use super::readers::segment_error;
use crate::{
    error::{Error, Result},
    forget::gone,
    instance::Inner,
    tenant::{FileSet, TailRecord, Tenant, View},
};

/// A record with everything that can still be opened of it.
pub(crate) struct Record {
    pub(crate) seq: u64,
    /// Retention class.
    pub(crate) class: u16,
    pub(crate) public: Bytes,
    /// Salt of the public group.
    pub(crate) salt: SaltSource,
    /// Commitments of all personal groups, ascending.
    pub(crate) commitments: Vec<[u8; 32]>,
    pub(crate) personal: Vec<Personal>,
}

/// Where the public group's salt comes from.
pub(crate) enum SaltSource {
    /// The salt key of the record's generation, held by the tenant (tail).
    Tail { generation: u32, class: u16 },
    /// As the sealed file says.
    Sealed(ResolvedSalt),
}

/// A personal group.
pub(crate) enum Personal {
    /// It could be opened.
    Opened {
        /// Its subjects, ascending.
        handles: Vec<Handle>,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A key of its subjects was destroyed.
    Erased,
}

impl Record {
    /// The bytes of the personal groups that could be opened.
    pub(crate) fn personal_bytes(&self) -> Vec<&[u8]> {
        self.personal
            .iter()
            .filter_map(|group| match group {
                Personal::Opened { bytes, .. } => Some(bytes.as_slice()),
                Personal::Erased => None,
            })
            .collect()
    }

    /// Whom the personal groups are about that could be opened.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        let opened = self.personal.iter().map(|group| match group {
            Personal::Opened { handles, .. } => handles.as_slice(),
            Personal::Erased => &[],
        });
        opened.flatten()
    }

    /// Tells whether all of it can be read: false once somebody whom it is about was erased, before and after the files are written
    /// anew without them.
    pub(crate) fn is_whole(&self) -> Result<bool> {
        view::is_whole(&self.public, &self.personal_bytes()).map_err(|error| malformed(self.seq, &error))
    }

    /// The record's id, from its public bytes.
    pub(crate) fn id(&self) -> Result<RecordId> {
        view::open(&self.public)
            .map(|opened| opened.id)
            .map_err(|error| malformed(self.seq, &error))
    }

    /// The salt of the public group.
    pub(crate) fn public_salt(&self, tenant: &Tenant, id: &RecordId) -> Result<[u8; 32]> {
        let of = |key: &Key| commitment::salt(key.expose(), id, commitment::PUBLIC_LABEL);
        Ok(match &self.salt {
            SaltSource::Tail { generation, class } => of(&tail_key(tenant, *generation, *class)?),
            SaltSource::Sealed(ResolvedSalt::Generation(key)) => of(key),
            SaltSource::Sealed(ResolvedSalt::Explicit(salt)) => *salt,
        })
    }
}

/// The keys of a tenant's sets of subjects, as sealed files ask for them.
pub(crate) struct SetKeysOf<'a>(pub(crate) &'a Tenant);

impl SetKeys for SetKeysOf<'_> {
    fn set_key(&self, handles: &[attestore_segment::Handle]) -> Result<Option<Key>, SetKeyError> {
        let handles: Vec<Handle> = handles.iter().copied().map(Handle::from_bytes).collect();
        self.0.set_key(&handles).map_err(Into::into)
    }
}

/// Salt keys of sets of subjects, for going through many records: finding one can cost a look into the catalog.
#[derive(Default)]
pub(crate) struct SetSalts(HashMap<Vec<Handle>, Option<SaltKey>>);

impl SetSalts {
    /// Salt of a personal group: from the key of its set of subjects. `None` when that was destroyed.
    pub(crate) fn salt(
        &mut self,
        tenant: &Tenant,
        id: &RecordId,
        handles: &[Handle],
    ) -> Result<Option<[u8; 32]>> {
        if !self.0.contains_key(handles) {
            if self.0.len() >= SET_SALTS_MAX {
                self.0.clear();
            }
            let key = tenant.set_key(handles)?.map(|key| SaltKey::new(key.expose()));
            self.0.insert(handles.to_vec(), key);
        }
        let key = self.0.get(handles).and_then(Option::as_ref);
        Ok(key.map(|key| key.salt(id, &commitment::personal_label(handles))))
    }
}

/// Salt key of a record in the tail. It goes when the tail is flushed: a reader with an older snapshot looks again.
fn tail_key(tenant: &Tenant, generation: u32, class: u16) -> Result<Key> {
    let key = tenant.salt_key(generation, class);
    key.ok_or_else(|| {
        Error::Io(format!(
            "salt generation {generation} of the tail was closed meanwhile"
        ))
    })
}

/// Reads one record of a snapshot. With `personal` unset, personal groups are neither read nor opened.
///
/// # Errors
/// [`Error::UnknownRecord`] beyond the tree, [`Error::Gone`], [`Error::Damage`] where a record should be and is not,
/// [`Error::Key`], [`Error::Io`].
pub(crate) fn read(inner: &Inner, tenant: &Tenant, view: &View, seq: u64, personal: bool) -> Result<Record> {
    inner.counts.opened(1, personal);
    if let Some(record) = view.tail.get(seq) {
        return from_tail(tenant, record, personal);
    }
    if seq >= view.size {
        return Err(Error::UnknownRecord);
    }
    gone::check(inner, tenant, view, seq)?;
    for set in view.sets_at(seq) {
        let reader = inner.readers.seg(inner, tenant, &set.seg)?;
        let Some(number) = reader.block_of(seq) else {
            continue;
        };
        let block = inner.readers.block(&reader, number)?;
        let Some(found) = block.get(seq) else { continue };
        let groups = match &set.sub {
            Some(row) if personal && !found.groups.is_empty() => {
                let sub = inner.readers.sub(inner, tenant, row)?;
                sub.groups(seq, &SetKeysOf(tenant)).map_err(segment_error)?
            }
            _ => Vec::new(),
        };
        return sealed(&reader, set, &found, groups);
    }
    Err(missing_record(tenant, seq))
}

/// Whether one of `ranges`, which ascend, has all of `seqs`.
fn left_out(ranges: &[std::ops::Range<u64>], seqs: &std::ops::Range<u64>) -> bool {
    let at = ranges.partition_point(|range| range.end <= seqs.start);
    let range = ranges.get(at);
    range.is_some_and(|range| range.start <= seqs.start && seqs.end <= range.end)
}

/// Opens a record of the tail.
pub(crate) fn from_tail(tenant: &Tenant, record: &Arc<TailRecord>, personal: bool) -> Result<Record> {
    let mut groups = Vec::new();
    if personal {
        for (group, opened) in record.groups.iter().zip(tenant.open_groups(record)?) {
            groups.push(match opened {
                Some(bytes) => Personal::Opened {
                    handles: group.handles.clone(),
                    bytes,
                },
                None => Personal::Erased,
            });
        }
    }
    Ok(Record {
        seq: record.seq,
        class: record.entry.class,
        public: record.public.clone(),
        salt: SaltSource::Tail {
            generation: record.generation,
            class: record.entry.class,
        },
        commitments: record.commitments(),
        personal: groups,
    })
}

/// Visits the records of a segment, ascending, personal groups opened as far as they can be; those that are gone but still in
/// it too.
///
/// # Errors
/// As [`read`], and what `visit` returns.
pub(crate) fn scan_set(
    inner: &Inner,
    tenant: &Tenant,
    set: &FileSet,
    visit: impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    scan_range(inner, tenant, set, 0..u64::MAX, &[], visit)
}

/// As [`scan_set`], for the records in `seqs` only, and without those of some ranges, which ascend.
///
/// # Errors
/// As [`scan_set`].
pub(crate) fn scan_range(
    inner: &Inner,
    tenant: &Tenant,
    set: &FileSet,
    seqs: std::ops::Range<u64>,
    without: &[std::ops::Range<u64>],
    mut visit: impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    let reader = inner.readers.seg(inner, tenant, &set.seg)?;
    let sub = sub_reader(inner, tenant, set)?;
    let keys = SetKeysOf(tenant);
    // One scan for all blocks: it opens each block of the `.sub` about once, not once for each block of the `.seg`.
    let mut scan = sub.as_ref().map(|sub| sub.scanner(&keys));
    let first = reader
        .blocks()
        .partition_point(|entry| entry.last_seq < seqs.start);
    for (number, entry) in reader.blocks().iter().enumerate().skip(first) {
        let within = entry.first_seq.max(seqs.start)..entry.last_seq.saturating_add(1).min(seqs.end);
        if within.is_empty() {
            break;
        }
        if left_out(without, &within) {
            continue;
        }
        let mut groups = match &mut scan {
            Some(scan) => groups_of(scan, within.clone())?,
            None => HashMap::new(),
        };
        let block = reader.block(number).map_err(segment_error)?; // a scan would only flush the cache
        let stays = |seq: u64| within.contains(&seq) && !left_out(without, &(seq..seq + 1));
        for record in block.iter().filter(|record| stays(record.seq)) {
            let groups = groups.remove(&record.seq).unwrap_or_default();
            visit(sealed(&reader, set, &record, groups)?)?;
        }
    }
    Ok(())
}

/// Reads several records of a snapshot, block by block. `seqs` ascend; the records come in that order. With `personal`
/// unset, personal groups are neither read nor opened.
///
/// # Errors
/// As [`read`], and what `check` returns, which is asked between records.
pub(crate) fn read_many(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    seqs: &[u64],
    personal: bool,
    check: &dyn Fn() -> Result<()>,
) -> Result<Vec<Record>> {
    inner.counts.opened(seqs.len() as u64, personal);
    let in_tail = seqs.partition_point(|seq| *seq < view.flushed_count());
    let (sealed, tail) = seqs.split_at(in_tail);
    let mut records = Vec::with_capacity(seqs.len());
    for set in sets_of(view, sealed) {
        read_from(inner, tenant, set, sealed, personal, &mut records, check)?;
    }
    records.sort_unstable_by_key(|record| record.seq);
    let missing = sealed.iter().zip(
        records
            .iter()
            .map(|record| record.seq)
            .chain(std::iter::repeat(u64::MAX)),
    );
    if let Some((seq, _)) = missing.into_iter().find(|(wanted, found)| *wanted != found) {
        gone::check(inner, tenant, view, *seq)?;
        return Err(missing_record(tenant, *seq));
    }
    for seq in tail {
        let record = view.tail.get(*seq).ok_or(Error::UnknownRecord)?;
        records.push(from_tail(tenant, record, personal)?);
    }
    Ok(records)
}

/// The segments that may hold one of `seqs`, which ascend.
fn sets_of<'a>(view: &'a View, seqs: &'a [u64]) -> impl Iterator<Item = &'a FileSet> {
    view.flushed.iter().map(AsRef::as_ref).filter(|set| {
        let at = seqs.partition_point(|seq| *seq < set.min_seq());
        seqs.get(at).is_some_and(|seq| *seq <= set.max_seq())
    })
}

/// Reads those of `seqs` that one segment holds.
fn read_from(
    inner: &Inner,
    tenant: &Tenant,
    set: &FileSet,
    seqs: &[u64],
    personal: bool,
    records: &mut Vec<Record>,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let reader = inner.readers.seg(inner, tenant, &set.seg)?;
    let sub = if personal {
        sub_reader(inner, tenant, set)?
    } else {
        None
    };
    let keys = SetKeysOf(tenant);
    let mut scan = sub.as_ref().map(|sub| sub.scanner(&keys));
    let from = seqs.partition_point(|seq| *seq < set.min_seq());
    let to = seqs.partition_point(|seq| *seq <= set.max_seq());
    let wanted = seqs.get(from..to).unwrap_or_default();
    let mut groups: HashMap<u64, Vec<Group>> = HashMap::new();
    if let Some(scan) = &mut scan {
        let each = scan.visit_each(wanted, |seq, group| {
            groups.entry(seq).or_default().push(group);
            ControlFlow::Continue(())
        });
        each.map_err(segment_error)?;
    }
    for near in wanted.chunk_by(|a, b| reader.block_of(*a) == reader.block_of(*b)) {
        let Some(number) = near.first().and_then(|seq| reader.block_of(*seq)) else {
            continue;
        };
        let block = inner.readers.block(&reader, number)?;
        for found in near.iter().filter_map(|seq| block.get(*seq)) {
            let groups = groups.remove(&found.seq).unwrap_or_default();
            records.push(sealed(&reader, set, &found, groups)?);
        }
        check()?;
    }
    Ok(())
}

/// Opens the personal groups of a segment, if it has any.
pub(crate) fn sub_reader(inner: &Inner, tenant: &Tenant, set: &FileSet) -> Result<Option<Arc<SubReader>>> {
    let row = set.sub.as_ref();
    row.map(|row| inner.readers.sub(inner, tenant, row)).transpose()
}

/// A record that should be in a segment and is in none.
pub(crate) fn missing_record(tenant: &Tenant, seq: u64) -> Error {
    Error::damage(
        std::path::Path::new("tenants").join(tenant.id.to_string()),
        seq,
        format!("record {seq} is in no segment"),
    )
}

fn groups_of(scan: &mut SubScan<'_>, seqs: std::ops::Range<u64>) -> Result<HashMap<u64, Vec<Group>>> {
    let mut groups: HashMap<u64, Vec<Group>> = HashMap::new();
    scan.visit(seqs, |seq, group| {
        groups.entry(seq).or_default().push(group);
        ControlFlow::Continue(())
    })
    .map_err(segment_error)?;
    Ok(groups)
}

/// Makes a record of what its sealed files hold of it.
pub(crate) fn sealed(
    reader: &SegReader,
    set: &FileSet,
    record: &BlockRecord<'_>,
    groups: Vec<Group>,
) -> Result<Record> {
    let public = reader.public(record).map_err(segment_error)?;
    let groups = groups
        .into_iter()
        .map(|group| personal(group, record.seq, &public, set));
    let personal = groups.collect::<Result<_>>()?;
    Ok(Record {
        seq: record.seq,
        class: set.class,
        public: Bytes::from(public),
        salt: SaltSource::Sealed(reader.resolve(record.salt).map_err(segment_error)?),
        commitments: record.groups.to_vec(),
        personal,
    })
}

/// Makes a group whole by the public group of its record.
///
/// # Errors
/// [`Error::Damage`] when it does not fit there.
pub(crate) fn personal(group: Group, seq: u64, public: &[u8], set: &FileSet) -> Result<Personal> {
    let Group::Opened { handles, bytes } = group else {
        return Ok(Personal::Erased);
    };
    let bytes = bytes.restore(public).map_err(|malformed| {
        let row = set.sub.as_ref().unwrap_or(&set.seg);
        Error::damage(
            &row.path,
            row.offset,
            format!("record {seq}: {}", malformed.reason),
        )
    })?;
    Ok(Personal::Opened {
        handles: handles.into_iter().map(Handle::from_bytes).collect(),
        bytes,
    })
}

/// Checks that `entry` commits to the record; returns how many personal groups were opened and checked.
///
/// # Errors
/// A sentence saying what does not hold, or why it cannot be known.
pub(crate) fn check(
    tenant: &Tenant,
    salts: &mut SetSalts,
    record: &Record,
    entry: &Entry,
) -> Result<u64, Mismatch> {
    let id = record.id().map_err(Mismatch::Error)?;
    let salt = record.public_salt(tenant, &id).map_err(Mismatch::Error)?;
    let mut commitments = record.commitments.clone();
    let found = commitment::record_commitment(entry.version, &salt, &record.public, &mut commitments);
    if found != entry.commitment {
        return Err(Mismatch::Record);
    }
    let mut opened = 0;
    for group in &record.personal {
        let Personal::Opened { handles, bytes } = group else {
            continue;
        };
        let Some(salt) = salts.salt(tenant, &id, handles).map_err(Mismatch::Error)? else {
            continue;
        };
        let found = commitment::group_commitment(entry.version, &salt, bytes);
        if commitments.binary_search(&found).is_err() {
            return Err(Mismatch::Group);
        }
        opened += 1;
    }
    Ok(opened)
}

/// Why a record is not what its entry commits to.
pub(crate) enum Mismatch {
    /// The public bytes, the salt or the list of group commitments differ.
    Record,
    /// The bytes of a personal group differ.
    Group,
    /// It could not be found out.
    Error(Error),
}

pub(crate) fn malformed(seq: u64, error: &view::ViewError) -> Error {
    Error::damage("records", seq, format!("record {seq}: {error}"))
}

/// Sets whose salt keys are kept while many records are checked.
const SET_SALTS_MAX: usize = 65_536;
