//! Opened sealed files and decoded blocks, kept within bounds.

use std::{io, sync::Arc};

use attestore_disk::Mode;
use attestore_segment::{Container, ContainerMeta, ContainerType, FileId, SegBlock, SegReader, SubReader};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    catalog::{FileRow, FileType},
    error::{Error, Result},
    instance::Inner,
    tenant::Tenant,
};

/// Caches of one instance.
pub struct Readers {
    segs: Cache<FileId, Arc<SegReader>>,
    subs: Cache<FileId, Arc<SubReader>>,
    blocks: Cache<(FileId, usize), Arc<SegBlock>, BlockWeight>,
}

#[derive(Clone)]
struct BlockWeight;

impl Weighter<(FileId, usize), Arc<SegBlock>> for BlockWeight {
    fn weight(&self, _: &(FileId, usize), block: &Arc<SegBlock>) -> u64 {
        block.memory_bytes() as u64 + 64
    }
}

impl Readers {
    /// Makes caches that hold at most `block_cache_bytes` of decoded blocks.
    pub fn new(block_cache_bytes: u64) -> Self {
        let blocks = usize::try_from(block_cache_bytes / BLOCK_BYTES_TYPICAL)
            .unwrap_or(usize::MAX)
            .clamp(16, 1 << 20);
        Self {
            segs: Cache::new(OPEN_FILES_MAX),
            subs: Cache::new(OPEN_FILES_MAX),
            blocks: Cache::with_weighter(blocks, block_cache_bytes, BlockWeight),
        }
    }

    /// Returns the opened `.seg` of a row.
    pub(crate) fn seg(&self, inner: &Inner, tenant: &Tenant, row: &FileRow) -> Result<Arc<SegReader>> {
        let id = row.container_id()?;
        if let Some(reader) = self.segs.get(&id) {
            return Ok(reader);
        }
        let reader = Arc::new(SegReader::open(container(inner, tenant, row)?).map_err(segment_error)?);
        self.segs.insert(id, Arc::clone(&reader));
        Ok(reader)
    }

    /// Returns the opened `.sub` of a row.
    pub(crate) fn sub(&self, inner: &Inner, tenant: &Tenant, row: &FileRow) -> Result<Arc<SubReader>> {
        let id = row.container_id()?;
        if let Some(reader) = self.subs.get(&id) {
            return Ok(reader);
        }
        let reader = Arc::new(SubReader::open(container(inner, tenant, row)?).map_err(segment_error)?);
        self.subs.insert(id, Arc::clone(&reader));
        Ok(reader)
    }

    /// Forgets files that are no longer there: each is a descriptor that keeps its bytes on the medium.
    pub(crate) fn forget<'a>(&self, rows: impl Iterator<Item = &'a FileRow>) {
        for id in rows.filter_map(|row| row.container_id().ok()) {
            self.segs.remove(&id);
            self.subs.remove(&id);
        }
    }

    /// Forgets decoded blocks of files whose records went: what is in memory goes too.
    pub(crate) fn forget_blocks<'a>(&self, rows: impl Iterator<Item = &'a FileRow>) {
        let gone: Vec<FileId> = rows.filter_map(|row| row.container_id().ok()).collect();
        self.blocks.retain(|(id, _), _| !gone.contains(id));
    }

    /// Returns a decoded block of a `.seg`.
    pub(crate) fn block(&self, reader: &SegReader, number: usize) -> Result<Arc<SegBlock>> {
        let key = (reader.container().meta().id, number);
        if let Some(block) = self.blocks.get(&key) {
            return Ok(block);
        }
        let block = reader.block(number).map_err(segment_error)?;
        self.blocks.insert(key, Arc::clone(&block));
        Ok(block)
    }
}

/// Opens the container that a row names.
///
/// # Errors
/// [`Error::Damage`], [`Error::Key`], [`Error::Io`].
pub(crate) fn container(inner: &Inner, tenant: &Tenant, row: &FileRow) -> Result<Container> {
    let meta = meta(tenant, row)?;
    let key = inner.file_key(tenant, row)?;
    let file = match inner.disk.open(&row.path, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(inner.missing(tenant, row)?);
        }
        file => file?,
    };
    Container::open(file, &row.path, row.offset, row.length, &key, &meta).map_err(segment_error)
}

/// What a container must say of itself to be the one of a row.
pub(crate) fn meta(tenant: &Tenant, row: &FileRow) -> Result<ContainerMeta> {
    Ok(ContainerMeta {
        ty: match row.ty {
            FileType::Seg => ContainerType::Seg,
            FileType::Sub => ContainerType::Sub,
            FileType::Idx => ContainerType::Idx,
        },
        id: row.container_id()?,
        slot: row.slot,
        tenant: *tenant.id.as_bytes(),
        class: row.class,
        set: row.set,
        generation: row.generation,
    })
}

/// Turns a failure of a sealed file into this crate's error.
pub(crate) fn segment_error(error: attestore_segment::Error) -> Error {
    use attestore_segment::Error as Segment;
    match error {
        Segment::Damage { path, offset, reason } => Error::Damage { path, offset, reason },
        error @ Segment::WrongKey { .. } => Error::Key(error.to_string()),
        Segment::SetKey(source) => match source.downcast::<Error>() {
            Ok(error) => *error,
            Err(source) => Error::Key(source.to_string()),
        },
        error => Error::Io(error.to_string()),
    }
}

/// Files of each kind that are kept open: each is a descriptor.
const OPEN_FILES_MAX: usize = 128;
const BLOCK_BYTES_TYPICAL: u64 = 64 << 10;
