//! Builds the sealed bytes of a segment.

use std::path::PathBuf;

use attestore_keys::{Key, NewKey, Slot, random_array};
use attestore_segment::{
    ContainerMeta, ContainerType, Salt, SegBuilder, SegOptions, SegRecord, SubBuilder, SubOptions, container,
};
use hashbrown::HashMap;
use zeroize::Zeroize;

use super::rewrite::Source;
use crate::catalog::{FileRow, FileType, hex};
use crate::instance::{Inner, file_context};
use crate::read::readers::segment_error;
use crate::tenant::{Ring, Tenant};
use crate::{Error, Result};

/// A sealed container that is not on disk yet.
pub(super) struct Sealed {
    pub(super) row: FileRow,
    pub(super) key: Key,
    pub(super) id: [u8; 16],
    pub(super) bytes: Vec<u8>,
}

impl Sealed {
    /// The key as it is hung into the tree.
    pub(super) fn new_key<'a>(&'a self, tenant: &Tenant, ring: &'a Ring) -> NewKey<'a> {
        NewKey {
            slot: Slot(self.row.slot),
            context: file_context(tenant, self.id, self.row.is_part()),
            wrap: Some(ring.current()),
            value: &self.key,
        }
    }
}

/// What all files of one segment share.
pub(super) struct Segment<'a> {
    pub(super) inner: &'a Inner,
    pub(super) tenant: &'a Tenant,
    pub(super) set: u64,
    pub(super) class: u16,
    /// Whether it becomes a part of an `l0` file; the path and offset are then set later.
    pub(super) part: bool,
    pub(super) records: &'a [Source],
}

impl Segment<'_> {
    /// Seals `.seg` and, if there are personal groups, `.sub`.
    ///
    /// # Errors
    /// What the catalog says, or [`Error::Io`] for what the format cannot hold.
    pub(super) fn seal(&self) -> Result<Vec<Sealed>> {
        let mut files = vec![self.seg()?];
        files.extend(self.sub()?);
        Ok(files)
    }

    /// Seals the `.idx` over the same records.
    pub(super) fn idx(&self, bundle: &[u8]) -> Sealed {
        let (id, slot, key) = self.fresh();
        self.container(FileType::Idx, id, slot, key, bundle)
    }

    fn seg(&self) -> Result<Sealed> {
        let mut builder = SegBuilder::new(SegOptions::default()).map_err(segment_error)?;
        let mut salted = None;
        for record in self.records {
            if salted != Some(record.salt)
                && let (Salt::Generation(number), Some(key)) = (record.salt, record.salt_key(self.tenant))
            {
                builder.salt_key(number, &key).map_err(segment_error)?;
                salted = Some(record.salt);
            }
            let stored = SegRecord {
                seq: record.seq(),
                salt: record.salt,
                groups: &record.commitments(),
                public: record.public(),
                idempotency: record.idempotency(),
            };
            builder.push(stored).map_err(segment_error)?;
        }
        let mut body = builder.finish().map_err(segment_error)?;
        let (id, slot, key) = self.fresh();
        let sealed = self.container(FileType::Seg, id, slot, key, &body);
        body.zeroize();
        Ok(sealed)
    }

    fn sub(&self) -> Result<Option<Sealed>> {
        let (id, slot, key) = self.fresh();
        let mut builder = SubBuilder::new(id, SubOptions::default()).map_err(segment_error)?;
        let mut set_keys: HashMap<Vec<attestore_record::Handle>, Option<Key>> = HashMap::new();
        for record in self.records {
            for (handles, group) in record.groups() {
                if !set_keys.contains_key(handles) {
                    set_keys.insert(handles.to_vec(), self.tenant.set_key(handles)?);
                }
                // A destroyed key leaves the commitment in the `.seg` and nothing here.
                let Some(Some(set_key)) = set_keys.get(handles) else {
                    continue;
                };
                let bytes = group.open(self.tenant, set_key)?;
                let raw: Vec<[u8; 16]> = handles.iter().map(|handle| *handle.as_bytes()).collect();
                builder
                    .push(record.seq(), &raw, set_key, record.public(), &bytes)
                    .map_err(segment_error)?;
            }
        }
        if builder.is_empty() {
            return Ok(None);
        }
        let body = builder.finish().map_err(segment_error)?;
        Ok(Some(self.container(FileType::Sub, id, slot, key, &body)))
    }

    fn fresh(&self) -> ([u8; 16], Slot, Key) {
        let entropy = &*self.inner.entropy;
        (
            random_array(entropy),
            self.inner.catalog.reserve(1),
            Key::random(entropy),
        )
    }

    fn container(&self, ty: FileType, id: [u8; 16], slot: Slot, key: Key, body: &[u8]) -> Sealed {
        let meta = ContainerMeta {
            ty: match ty {
                FileType::Seg => ContainerType::Seg,
                FileType::Sub => ContainerType::Sub,
                FileType::Idx => ContainerType::Idx,
            },
            id,
            slot: slot.0,
            tenant: *self.tenant.id.as_bytes(),
            class: self.class,
            set: self.set,
            generation: 0,
        };
        let bytes = container::seal(&meta, &key, body);
        let (first, last) = (&self.records[0], &self.records[self.records.len() - 1]);
        let path = if self.part {
            PathBuf::from("l0")
        } else {
            self.path(ty)
        };
        let row = FileRow {
            ty,
            set: self.set,
            generation: 0,
            class: self.class,
            path,
            offset: 0,
            length: bytes.len() as u64,
            id: hex(&id),
            slot: slot.0,
            min_seq: first.seq(),
            max_seq: last.seq(),
            count: self.records.len() as u64,
            min_time_ms: first.time_ms(),
            max_time_ms: last.time_ms(),
            checksum: hex(&blake3::hash(&bytes).as_bytes()[..16]),
            rewrites: 0,
            gone_by: self.tenant.gone.load().newest(),
            split: None,
        };
        Sealed { row, key, id, bytes }
    }

    fn path(&self, ty: FileType) -> PathBuf {
        self.tenant
            .dir()
            .join(format!("{:016x}.{:08x}.{}", self.set, 0, ty.extension()))
    }
}

/// Makes an error of what cannot be built.
pub(super) fn unbuildable(error: impl std::fmt::Display) -> Error {
    Error::Io(format!("segment: {error}"))
}
