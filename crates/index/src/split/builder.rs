//! Records to a split in memory.

use std::io::Write as _;
use std::path::Path;

use tantivy::directory::{Directory, RamDirectory, TerminatingWrite, WritePtr};
use tantivy::fieldnorm::FieldNormsSerializer;
use tantivy::index::SegmentComponent;
use tantivy::postings::InvertedIndexSerializer;
use tantivy::store::{Compressor, StoreWriter, ZstdCompressor};
use tantivy::{Index, IndexMeta, IndexSettings};

use super::{Split, Summary, bundle};
use crate::Error;
use crate::document::{DocInput, Maker};
use crate::policy::IndexPolicy;
use crate::schema::fields;

/// Builds a split in memory, on the calling thread. Cheap enough to be made for a hundred records.
pub struct SplitBuilder {
    policy: IndexPolicy,
    maker: Maker,
    summary: Option<Summary>,
}

impl SplitBuilder {
    /// Makes an empty builder that indexes what a policy says.
    ///
    /// # Errors
    /// None today.
    pub fn new(policy: &IndexPolicy) -> Result<Self, Error> {
        Ok(Self {
            policy: policy.clone(),
            maker: Maker::new(policy),
            summary: None,
        })
    }

    /// Adds a record. Its seq must be higher than that of every record before.
    ///
    /// # Errors
    /// [`Error::Order`] when it is not; the builder is unchanged then.
    pub fn add(&mut self, input: &DocInput<'_>) -> Result<(), Error> {
        if let Some(summary) = self.summary.filter(|summary| input.seq <= summary.max_seq) {
            return Err(Error::Order {
                last: summary.max_seq,
                next: input.seq,
            });
        }
        let one = input.summary();
        self.maker.add(input);
        self.summary = Some(self.summary.map_or(one, |summary| summary.union(one)));
        Ok(())
    }

    /// Returns the number of records added.
    pub fn docs(&self) -> u64 {
        self.summary.map_or(0, |summary| summary.docs)
    }

    /// Returns the memory in use, roughly (bytes).
    pub fn memory(&self) -> usize {
        self.maker.memory()
    }

    /// Makes the split.
    ///
    /// # Errors
    /// [`Error::Empty`] when no record was added.
    pub fn finish(self) -> Result<Split, Error> {
        let summary = self.summary.ok_or(Error::Empty)?;
        let directory = RamDirectory::create();
        let (postings, mut columns) = self.maker.finish();
        let index = write(
            &self.policy,
            summary,
            &directory,
            |terms| Ok(postings.write(terms)?),
            |file| Ok(columns.write(file)?),
        )?;
        Split::open_bytes(bundle::assemble(&index, &directory, &self.policy, summary)?)
    }
}

/// Writes an index of one segment, as the library's own writer would, from what writes its terms and what writes its columns.
pub(super) fn write(
    policy: &IndexPolicy,
    summary: Summary,
    directory: &RamDirectory,
    terms: impl FnOnce(&mut InvertedIndexSerializer) -> Result<(), Error>,
    columns: impl FnOnce(&mut WritePtr) -> Result<(), Error>,
) -> Result<Index, Error> {
    let schema = fields().schema(policy);
    let index = Index::create(directory.clone(), schema.clone(), settings())?;
    let docs = u32::try_from(summary.docs)
        .map_err(|_| Error::Malformed("more records than a split can hold".to_owned()))?;
    let segment = index.new_segment().with_max_doc(docs);
    let open = |component| segment.open_write(component).map_err(tantivy::TantivyError::from);

    // No field has lengths.
    FieldNormsSerializer::from_write(open(SegmentComponent::FieldNorms)?)?.close()?;
    let mut serializer = InvertedIndexSerializer::open(&segment)?;
    terms(&mut serializer)?;
    serializer.close()?;

    let mut file = open(SegmentComponent::FastFields)?;
    columns(&mut file)?;
    file.flush()?;
    file.terminate()?;

    let IndexSettings {
        docstore_compression,
        docstore_compress_dedicated_thread,
        docstore_blocksize,
        ..
    } = settings();
    let mut store = StoreWriter::new(
        open(SegmentComponent::Store)?,
        docstore_compression,
        docstore_blocksize,
        docstore_compress_dedicated_thread,
    )?;
    for _ in 0..docs {
        store.store_bytes(&NOTHING_STORED)?;
    }
    store.close()?;

    let meta = IndexMeta {
        segments: vec![segment.meta().clone()],
        ..index.load_metas()?
    };
    let meta = serde_json::to_vec(&meta).map_err(|error| Error::Malformed(error.to_string()))?;
    index
        .directory()
        .atomic_write(Path::new(bundle::META), &meta)
        .map_err(tantivy::TantivyError::from)?;
    Ok(index)
}

/// A stored document of no values: their number, as the library writes it.
const NOTHING_STORED: [u8; 1] = [0x80];

/// Nothing is stored. The library keeps a few bytes for each record all the same, always the same ones: they go away
/// when compressed, and are not worth a thread.
fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::Zstd(ZstdCompressor::default()),
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}
