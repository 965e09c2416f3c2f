//! Where the records of a new segment come from: the tail, or parts of `l0` files that are put together.

use std::sync::Arc;

use attestore_keys::Key;
use attestore_record::{Handle, RecordId};
use attestore_segment::{Group, Salt, SetKeyError, SetKeys};
use hashbrown::HashMap;

use crate::compact::left::Left;
use crate::instance::Inner;
use crate::read::readers::segment_error;
use crate::read::records::{Personal, personal};
use crate::tenant::{FileSet, TailGroup, TailRecord, Tenant};
use crate::{Error, Result};

/// A record on its way into a segment.
pub(super) struct Source {
    pub(super) salt: Salt,
    origin: Origin,
}

enum Origin {
    Tail(Arc<TailRecord>),
    Part(Box<PartRecord>),
}

/// A record of a part.
struct PartRecord {
    seq: u64,
    time_ms: u64,
    public: Vec<u8>,
    commitments: Vec<[u8; 32]>,
    idempotency: Option<u64>,
    salt_key: Option<Key>,
    groups: Vec<(Vec<Handle>, Vec<u8>)>,
}

/// The bytes of a personal group, sealed or not.
pub(super) enum GroupBytes<'a> {
    Sealed(&'a RecordId, &'a TailGroup),
    Opened(&'a [u8]),
}

impl GroupBytes<'_> {
    pub(super) fn open(&self, tenant: &Tenant, set_key: &Key) -> Result<Vec<u8>> {
        match self {
            Self::Sealed(id, group) => tenant.open_group(set_key, id, group),
            Self::Opened(bytes) => Ok(bytes.to_vec()),
        }
    }
}

impl Source {
    pub(super) fn tail(record: &Arc<TailRecord>) -> Self {
        Self {
            salt: Salt::Generation(record.generation),
            origin: Origin::Tail(Arc::clone(record)),
        }
    }

    pub(super) fn seq(&self) -> u64 {
        match &self.origin {
            Origin::Tail(record) => record.seq,
            Origin::Part(record) => record.seq,
        }
    }

    pub(super) fn time_ms(&self) -> u64 {
        match &self.origin {
            Origin::Tail(record) => record.entry.time_ms,
            Origin::Part(record) => record.time_ms,
        }
    }

    pub(super) fn public(&self) -> &[u8] {
        match &self.origin {
            Origin::Tail(record) => &record.public,
            Origin::Part(record) => &record.public,
        }
    }

    pub(super) fn commitments(&self) -> Vec<[u8; 32]> {
        match &self.origin {
            Origin::Tail(record) => record.commitments(),
            Origin::Part(record) => record.commitments.clone(),
        }
    }

    pub(super) fn idempotency(&self) -> Option<u64> {
        match &self.origin {
            Origin::Tail(record) => record.idempotency.map(|own| own.key),
            Origin::Part(record) => record.idempotency,
        }
    }

    /// The class key of the record's salt generation.
    pub(super) fn salt_key(&self, tenant: &Tenant) -> Option<Key> {
        match &self.origin {
            Origin::Tail(record) => tenant.salt_key(record.generation, record.entry.class),
            Origin::Part(record) => record.salt_key.as_ref().map(Key::duplicate),
        }
    }

    pub(super) fn groups(&self) -> Vec<(&[Handle], GroupBytes<'_>)> {
        match &self.origin {
            Origin::Tail(record) => record
                .groups
                .iter()
                .map(|group| (group.handles.as_slice(), GroupBytes::Sealed(&record.id, group)))
                .collect(),
            Origin::Part(record) => record
                .groups
                .iter()
                .map(|(handles, bytes)| (handles.as_slice(), GroupBytes::Opened(bytes)))
                .collect(),
        }
    }
}

/// Reads every record of a segment that is not gone.
///
/// # Errors
/// Damage, keys, or what the system says.
pub(super) fn read(inner: &Inner, tenant: &Tenant, set: &FileSet) -> Result<Vec<Source>> {
    let seg = inner.readers.seg(inner, tenant, &set.seg)?;
    let sub = set
        .sub
        .as_ref()
        .map(|row| inner.readers.sub(inner, tenant, row))
        .transpose()?;
    let keys: HashMap<u64, u64> = seg
        .idempotency_all()
        .map_err(segment_error)?
        .into_iter()
        .map(|(hash, seq)| (seq, hash))
        .collect();
    let times = super::tree::times(&*inner.disk, tenant, set.min_seq()..set.max_seq() + 1)?;
    let left = Left::of(&tenant.gone.load(), set, &seg)?;
    let mut records = Vec::new();
    for number in 0..seg.blocks().len() {
        let block = seg.block(number).map_err(segment_error)?;
        for record in block.iter().filter(|record| !left.has(record.seq)) {
            let salt_key = match record.salt {
                Salt::Generation(number) if left.takes_key(number) => None,
                Salt::Generation(number) => seg.salt_key(number).map(Key::duplicate),
                Salt::Explicit(_) => None,
            };
            let public = seg.public(&record).map_err(segment_error)?;
            let groups = match &sub {
                None => Vec::new(),
                Some(sub) => {
                    let groups = sub.groups(record.seq, &Keys(tenant));
                    opened(groups.map_err(segment_error)?, record.seq, &public, set)?
                }
            };
            let time = usize::try_from(record.seq - set.min_seq())
                .ok()
                .and_then(|at| times.get(at));
            let time_ms =
                *time.ok_or_else(|| Error::damage(&set.seg.path, set.seg.offset, "seq out of range"))?;
            records.push(Source {
                salt: left.salt(&seg, record.seq, record.salt, &public)?,
                origin: Origin::Part(Box::new(PartRecord {
                    seq: record.seq,
                    time_ms,
                    public,
                    commitments: record.groups.to_vec(),
                    idempotency: keys.get(&record.seq).copied(),
                    salt_key,
                    groups,
                })),
            });
        }
    }
    Ok(records)
}

/// The groups of a record that can be opened, whole.
fn opened(groups: Vec<Group>, seq: u64, public: &[u8], set: &FileSet) -> Result<Vec<(Vec<Handle>, Vec<u8>)>> {
    let mut opened = Vec::with_capacity(groups.len());
    for group in groups {
        if let Personal::Opened { handles, bytes } = personal(group, seq, public, set)? {
            opened.push((handles, bytes));
        }
    }
    Ok(opened)
}

struct Keys<'a>(&'a Tenant);

impl SetKeys for Keys<'_> {
    fn set_key(&self, handles: &[attestore_segment::Handle]) -> Result<Option<Key>, SetKeyError> {
        let handles: Vec<_> = handles.iter().map(|handle| Handle::from_bytes(*handle)).collect();
        self.0
            .set_key(&handles)
            .map_err(|error: Error| Box::new(error).into())
    }
}
